use super::*;
use crate::config::RunConfig;
use crate::{policy, runtime};

/// The built-in environments and algorithms.
pub(super) fn setup() -> Setup {
    Setup::default()
}

/// A policy after a few steps of training.
pub(super) fn trained(algorithm: &str, env: &str) -> Subject {
    let directory = tempfile::tempdir().unwrap();
    let mut config = RunConfig { total_timesteps: 600, num_envs: 2, ..RunConfig::default() };
    config.algorithm = algorithm.to_owned();
    config.env.id = env.to_owned();
    let small = if algorithm == "dqn" { ("learning_starts", 200) } else { ("num_steps", 64) };
    config.agent.insert(small.0.to_owned(), small.1.into());
    runtime::train(&setup(), config, directory.path(), &mut |_| true).unwrap();
    Subject::of(&setup(), policy::load(directory.path()).unwrap()).unwrap()
}
