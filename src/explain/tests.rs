use super::*;
use crate::config::{self, RunConfig};
use crate::{policy, runtime};

/// The built-in environments and algorithms.
pub(super) fn setup() -> Setup {
    Setup::default()
}

/// A policy after a few steps of training.
pub(super) fn trained(algorithm: &str, env: &str) -> Subject {
    trained_with(algorithm, env, &[])
}

/// As [`trained`], with settings.
pub(super) fn trained_with(algorithm: &str, env: &str, settings: &[&str]) -> Subject {
    let directory = tempfile::tempdir().unwrap();
    train(algorithm, env, settings, directory.path());
    Subject::of(&setup(), policy::load(directory.path()).unwrap()).unwrap()
}

/// A run of a few steps.
pub(super) fn train(algorithm: &str, env: &str, settings: &[&str], directory: &Path) {
    let small = match algorithm {
        "ppo" => &["agent.num_steps=64", "agent.num_minibatches=2"][..],
        _ => &["agent.learning_starts=200"],
    };
    let mut table = toml::Table::new();
    let own = [format!("algorithm={algorithm}"), format!("env.id={env}")];
    let fixed = own.iter().map(String::as_str).chain(["total_timesteps=600", "num_envs=2"]);
    for setting in fixed.chain(small.iter().copied()).chain(settings.iter().copied()) {
        config::set(&mut table, setting).unwrap();
    }
    let config = RunConfig::from_table(&setup().algorithms, table).unwrap();
    runtime::train(&setup(), config, directory, &mut |_| true).unwrap();
}
