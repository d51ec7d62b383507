//! A wrapper of one's own, in training: rewards of `MountainCar` that show the way up.
//!
//! The shaping is potential-based, so the best policy stays the best one: each step adds `γ Φ(s') − Φ(s)`.
//!
//! # Source
//! Ng, Harada and Russell (1999), "Policy Invariance Under Reward Transformations".
#![allow(clippy::print_stdout)]

use agon::envs::wrappers::{Column, Context, Moment, Wrapped, Wrapper};
use agon::envs::{EnvError, StepBatch};
use agon::runtime::{self, Setup};
use agon::{RunError, config::RunConfig};

/// The potential of each row's last observation; its columns follow snapshots, so that runs resume exactly.
struct Shaping {
    potentials: Vec<f64>,
}

impl Wrapper for Shaping {
    fn name(&self) -> &'static str {
        "shaping"
    }

    fn changes_observations(&self) -> bool {
        false
    }

    fn after(&mut self, context: Context<'_>, out: &mut StepBatch) -> Result<(), EnvError> {
        for row in context.rows.iter() {
            // Height and energy, as far as position and speed tell them.
            let (position, speed) =
                (out.observations.as_f32()[2 * row], out.observations.as_f32()[2 * row + 1]);
            let potential = f64::from((3.0 * position).sin() + 100.0 * speed.abs());
            if context.moment == Moment::Step {
                out.rewards[row] += 0.99 * potential - self.potentials[row];
            }
            self.potentials[row] = potential;
        }
        Ok(())
    }

    fn visit_columns(&mut self, visit: &mut dyn FnMut(&mut dyn Column)) {
        visit(&mut self.potentials);
    }
}

fn main() -> Result<(), RunError> {
    let mut setup = Setup::default();
    let shaped = setup.registry.get("MountainCar-v0")?.into_owned().renamed("ShapedMountainCar-v0");
    setup.registry.register(shaped.wrapped(|env| {
        let potentials = vec![0.0; env.info().num_rows()];
        Ok(Box::new(Wrapped::new(env, Shaping { potentials })?))
    }))?;

    let mut config = RunConfig { total_timesteps: 20_000, ..RunConfig::default() };
    config.env.id = "ShapedMountainCar-v0".to_owned();
    let directory = std::env::temp_dir().join(format!("agon-shaping-{}", std::process::id()));
    let outcome = runtime::train(&setup, config, &directory, &mut |_| true)?;
    // Returns are the environment's own: the monitor stands inside all wrappers.
    println!("mean return of the last 100 episodes: {:.1}", outcome.mean_return);
    let _ = std::fs::remove_dir_all(directory);
    Ok(())
}
