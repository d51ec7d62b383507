//! Networks chosen by `network.*`: images are learned from, by any number of threads the same way, and through a resume.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;

use agon::RunError;
use agon::agents::Algorithms;
use agon::config;
use agon::config::RunConfig;
use agon::envs::registry::NoArguments;
use agon::envs::{Action, Env, EnvSpec, Pcg64, Space, Step};
use agon::runtime::{self, Setup};
use serde::{Deserialize, Serialize};

/// A bright pixel in an image of 10 by 10, two channels: name the quadrant it is in.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Quadrant {
    quadrant: usize,
}

impl Quadrant {
    fn draw(&mut self, rng: &mut Pcg64, obs: &mut [u8]) {
        obs.fill(0);
        let [y, x] = [0, 1].map(|_| rng.bounded(9) as usize);
        self.quadrant = 2 * usize::from(y >= 5) + usize::from(x >= 5);
        obs[2 * (10 * y + x)] = 255;
        obs[2 * (10 * x + y) + 1] = 100;
    }
}

impl Env for Quadrant {
    type Obs = u8;

    fn observation_space(&self) -> Space {
        Space::image_u8(&[10, 10, 2]).unwrap()
    }

    fn action_space(&self) -> Space {
        Space::discrete(4).unwrap()
    }

    fn reset(&mut self, rng: &mut Pcg64, obs: &mut [u8]) {
        self.draw(rng, obs);
    }

    fn step(&mut self, action: Action<'_>, rng: &mut Pcg64, obs: &mut [u8]) -> Step {
        let reward = if action.index() == self.quadrant { 1.0 } else { 0.0 };
        self.draw(rng, obs);
        Step::running(reward)
    }
}

fn setup() -> Setup {
    let mut setup = Setup::default();
    let make = |_: NoArguments| Ok(Quadrant::default());
    setup.registry.register(EnvSpec::single("Quadrant-v0", make).max_episode_steps(10)).unwrap();
    setup
}

fn config_of(algorithm: &str, settings: &[&str]) -> RunConfig {
    read_config(algorithm, settings).unwrap()
}

fn read_config(algorithm: &str, settings: &[&str]) -> Result<RunConfig, RunError> {
    let mut table = toml::Table::new();
    let fixed = [format!("algorithm={algorithm}"), "env.id=Quadrant-v0".to_owned()];
    for setting in fixed.iter().map(String::as_str).chain(settings.iter().copied()) {
        config::set(&mut table, setting).unwrap();
    }
    RunConfig::from_table(&Algorithms::builtin(), table)
}

const PPO: [&str; 8] = [
    "num_envs=16",
    "runtime.num_shards=4",
    "total_timesteps=16384",
    "agent.num_steps=32",
    "agent.gradient_slices=4",
    "agent.learning_rate=2e-3",
    "agent.share_encoder=true",
    "network.encoder.kind=cnn",
];

fn read(run: &Path) -> [Vec<u8>; 2] {
    ["model.safetensors", "metrics.csv"].map(|name| fs::read(run.join(name)).unwrap())
}

#[test]
fn a_cnn_learns_from_images_the_same_way_with_any_number_of_threads() {
    let directory = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for threads in [1, 2, 4] {
        let run = directory.path().join(threads.to_string());
        let mut config = config_of("ppo", &PPO);
        config.runtime.threads = threads;
        let outcome = runtime::train(&setup(), config, &run, &mut |_| true).unwrap();
        // A guess gives 2.5 of 10.
        assert!(outcome.mean_return > 8.0, "{}", outcome.mean_return);
        files.push(read(&run));
    }
    assert!(files[0] == files[1] && files[1] == files[2], "threads change nothing");
    let text = fs::read_to_string(directory.path().join("1/config.toml")).unwrap();
    let saved: toml::Table = text.parse().unwrap();
    assert_eq!(saved["network"]["encoder"]["kind"].as_str(), Some("cnn"));
}

#[test]
fn a_cnn_run_that_was_stopped_resumes_to_the_same_bytes() {
    for (algorithm, settings) in [
        ("ppo", &PPO[..]),
        (
            "dqn",
            &[
                "total_timesteps=3000",
                "num_envs=2",
                "agent.learning_starts=500",
                "agent.train_frequency=50",
                "agent.gradient_steps=10",
                "agent.buffer_size=1000",
                "agent.batch_size=32",
                "network.encoder.kind=minatar_cnn",
                "network.encoder.channels=8",
            ],
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (whole, cut) = (directory.path().join("whole"), directory.path().join("cut"));
        runtime::train(&setup(), config_of(algorithm, settings), &whole, &mut |_| true).unwrap();
        let mut calls = 0;
        let stopped = runtime::train(&setup(), config_of(algorithm, settings), &cut, &mut |_| {
            calls += 1;
            calls < 9
        });
        assert!(!stopped.unwrap().finished);
        assert!(runtime::resume(&setup(), &cut, None, &mut |_| true).unwrap().finished);
        assert!(read(&whole) == read(&cut), "{algorithm} continues bit for bit");
    }
}

#[test]
fn networks_that_do_not_fit_are_refused_before_the_run_begins() {
    for (setting, parts) in [
        ("network.encoder.kind=embedding", ["encoder.kind", "categories", "an image [2, 10, 10]"]),
        ("network.encoder.kind=nature_cnn", ["kernel", "no larger than the padded image", "4"]),
        ("network.memory.kind=gru", ["share_encoder must be true", "memory", "false"]),
        ("network.encoder.kind=resnet", ["network.encoder", "resnet", "impala"]),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let run = directory.path().join("run");
        let trained = read_config("ppo", &[setting])
            .and_then(|config| runtime::train(&setup(), config, &run, &mut |_| true));
        let error = trained.unwrap_err();
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(error) = source {
            text += &format!(": {error}");
            source = error.source();
        }
        for part in parts {
            assert!(text.contains(part), "{setting}: expected `{part}` in `{text}`");
        }
        assert!(!run.exists(), "{setting}: nothing is written");
    }
}
