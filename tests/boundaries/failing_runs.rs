//! Runs that fail by themselves, beside others that do not.

use agon::envs::registry::NoArguments;
use agon::envs::{Action, Env, EnvSpec, Pcg64, Space, Step};
use agon::experiment;
use agon::runtime::Setup;
use agon::sinks::watch;
use serde::{Deserialize, Serialize};

use crate::common;

/// Breaks after some steps with some seeds.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Fragile {
    steps: u32,
    breaks: bool,
}

impl Env for Fragile {
    type Obs = f32;

    fn observation_space(&self) -> Space {
        Space::box_uniform(-1.0, 1.0, &[2]).unwrap()
    }

    fn action_space(&self) -> Space {
        Space::discrete(2).unwrap()
    }

    fn reset(&mut self, rng: &mut Pcg64, obs: &mut [f32]) {
        obs.fill(0.0);
        if self.steps == 0 {
            self.breaks = rng.random() < 0.05;
        }
    }

    fn step(&mut self, _: Action<'_>, _: &mut Pcg64, obs: &mut [f32]) -> Step {
        self.steps += 1;
        obs.fill(if self.breaks && self.steps > 300 { f32::NAN } else { 0.5 });
        Step::running(1.0)
    }
}

#[test]
fn a_seed_that_fails_stops_no_other_one() {
    let mut setup = Setup::default();
    let spec = EnvSpec::single("Fragile-v0", |_: NoArguments| Ok(Fragile::default()));
    setup.registry.register(spec.max_episode_steps(50)).unwrap();
    let mut config = common::config_of("ppo", &common::PPO);
    config.env.id = "Fragile-v0".to_owned();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("experiment");
    let runs = experiment::seed_runs(&path, 1, 4);
    let ended = experiment::train(&setup, &config, &path, &runs, &|_| Box::new(watch(|_| true))).unwrap();
    let failed: Vec<u64> = runs
        .iter()
        .zip(&ended)
        .filter(|(_, ended)| ended.failure().is_some())
        .map(|(run, _)| run.seed)
        .collect();
    assert!(!failed.is_empty() && failed.len() < 4, "{ended:?}");
    assert!(ended.iter().all(|ended| ended.failure().is_some() || ended.outcome().unwrap().finished));
    let reason = &ended.iter().find_map(|ended| ended.failure()).unwrap().reason;
    assert!(reason.contains("`Fragile-v0` produced NaN as number 0 of the observation of row"), "{reason}");
    assert!(path.join("curve.svg").exists(), "the others have their curve");
    let again =
        experiment::resume(&setup, &path, None, &|_| Box::new(watch(|_| panic!("nothing is left to do"))));
    assert!(again.unwrap().iter().map(|ended| ended.failure()).eq(ended.iter().map(|ended| ended.failure())));
}
