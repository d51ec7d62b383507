//! An environment of your own as a plain struct, trained with PPO.
//!
//! `cargo run --release --example 02_custom_env`: a mean return of 0.79 of at most 0.81 in 200,000 steps.
#![allow(clippy::expect_used, clippy::print_stdout)]

use agon::config::RunConfig;
use agon::envs::registry::NoArguments;
use agon::envs::{Action, Env, EnvSpec, Pcg64, Space, Step};
use agon::runtime::{self, Setup};
use serde::{Deserialize, Serialize};

/// Walk along a corridor to the flag; it is at a random place, and every step costs.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Corridor {
    position: f32,
    flag: f32,
}

impl Env for Corridor {
    type Obs = f32;

    fn observation_space(&self) -> Space {
        Space::box_uniform(-20.0, 20.0, &[2]).expect("valid bounds")
    }

    fn action_space(&self) -> Space {
        Space::discrete(3).expect("left, stay, right")
    }

    fn reset(&mut self, rng: &mut Pcg64, obs: &mut [f32]) {
        (self.position, self.flag) = (0.0, rng.integers(-9, 10) as f32);
        obs.copy_from_slice(&[self.position, self.flag]);
    }

    fn step(&mut self, action: Action<'_>, _rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        self.position = (self.position + action.index() as f32 - 1.0).clamp(-10.0, 10.0);
        obs.copy_from_slice(&[self.position, self.flag]);
        if self.position == self.flag { Step::terminated(1.0) } else { Step::running(-0.05) }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut setup = Setup::default();
    let make = |_: NoArguments| Ok(Corridor::default());
    setup.registry.register(EnvSpec::single("Corridor-v0", make).max_episode_steps(50))?;

    let mut config = RunConfig { total_timesteps: 200_000, num_envs: 64, ..Default::default() };
    config.env.id = "Corridor-v0".to_owned();
    config.agent = "learning_rate = 1e-3\nnum_steps = 32".parse()?;
    let path = std::env::temp_dir().join(format!("agon-corridor-{}", std::process::id()));
    let outcome = runtime::train(&setup, config, &path, &mut |_| true)?;
    println!("mean return {:.3} after {} steps", outcome.mean_return, outcome.env_steps);
    println!("{:.0} steps a second", outcome.env_steps as f64 / outcome.seconds);
    Ok(())
}
