//! A crate of one's own: an environment, a reward wrapper, and Agon's whole command line over them.
//!
//! `agon new NAME` makes a crate of these files. Then, in it:
//!
//! ```text
//! cargo run --release -- envs check Corridor-v0
//! cargo run --release -- train ppo Corridor-v0 --set num_envs=64 --total-timesteps 200k
//! cargo run --release -- train ppo HastyCorridor-v0
//! ```
#![allow(clippy::print_stderr)]

mod corridor;
mod haste;

use std::process::ExitCode;

use agon::envs::wrappers::Wrapped;
use agon::envs::{EnvError, EnvSpec};
use agon::runtime::Setup;

fn main() -> ExitCode {
    let mut setup = Setup::default();
    match register(&mut setup) {
        Ok(()) => agon::cli::main(&setup),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Adds what this crate brings to what Agon has.
fn register(setup: &mut Setup) -> Result<(), EnvError> {
    let corridor = EnvSpec::single("Corridor-v0", |arguments: corridor::Arguments| arguments.make())
        .summary("Walk along a corridor to the flag.")
        .max_episode_steps(50);
    // The same environment with other rewards. Returns in logs and plots stay those of the environment itself.
    let hasty = corridor
        .clone()
        .renamed("HastyCorridor-v0")
        .summary("The corridor, where waiting costs more and more.")
        .wrapped(|env| {
            let haste = haste::Haste::new(env.info().num_rows());
            Ok(Box::new(Wrapped::new(env, haste)?))
        });
    setup.registry.register(corridor)?;
    setup.registry.register(hasty)
}
