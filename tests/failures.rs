//! What goes wrong in a run ends it with a clear error, and loses nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use agon::RunError;
use agon::config::RunConfig;
use agon::envs::registry::NoArguments;
use agon::envs::{Action, Env, EnvSpec, Pcg64, Space, Step};
use agon::runtime::{self, Setup};
use serde::{Deserialize, Serialize};

/// Breaks in its own way after some steps.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Breaks {
    steps: u32,
    how: How,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum How {
    Panic,
    NanReward,
    NanObservation,
}

impl Env for Breaks {
    type Obs = f32;

    fn observation_space(&self) -> Space {
        Space::box_uniform(-1.0, 1.0, &[2]).unwrap()
    }

    fn action_space(&self) -> Space {
        Space::discrete(2).unwrap()
    }

    fn reset(&mut self, _: &mut Pcg64, obs: &mut [f32]) {
        obs.fill(0.0);
    }

    fn step(&mut self, _: Action<'_>, rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        self.steps += 1;
        obs.fill(rng.random() as f32);
        let breaks = self.steps > 600;
        match self.how {
            How::Panic => assert!(!breaks, "the wheel came off"),
            How::NanReward if breaks => return Step::running(f64::NAN),
            How::NanObservation if breaks => obs.fill(f32::NAN),
            _ => {}
        }
        Step::running(1.0)
    }
}

/// Trains until it breaks; gives the error and whether the run can still be resumed up to the breaking point.
fn break_run(how: How) -> RunError {
    let mut setup = Setup::default();
    let make = move |_: NoArguments| Ok(Breaks { steps: 0, how });
    setup.registry.register(EnvSpec::single("Breaks-v0", make).max_episode_steps(50)).unwrap();
    let mut config = common::config_of("ppo", &common::PPO);
    config.env.id = "Breaks-v0".to_owned();
    // One worker: it is always the same shard that breaks first.
    config.runtime.threads = 1;
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run");
    let error = runtime::train(&setup, config, &run, &mut |_| true).unwrap_err();
    let checkpoints = fs::read_dir(run.join("checkpoints")).unwrap().count();
    assert!(checkpoints > 0, "the last checkpoint is kept");
    // It is whole: the run goes on from it, and breaks at the same place.
    let again = runtime::resume(&setup, &run, None, &mut |_| true).unwrap_err();
    assert_eq!(again.to_string(), error.to_string());
    error
}

#[test]
fn a_worker_that_panics_stops_the_run_with_its_message() {
    let message = break_run(How::Panic).to_string();
    assert!(message.contains("panicked") && message.contains("the wheel came off"), "{message}");
}

#[test]
fn a_reward_that_is_not_a_number_stops_the_run() {
    let message = break_run(How::NanReward).to_string();
    let expected = "`Breaks-v0` produced NaN as the reward of row ";
    assert!(message.contains(expected), "{message}");
}

#[test]
fn an_observation_that_is_not_a_number_is_named() {
    let message = break_run(How::NanObservation).to_string();
    let expected = "`Breaks-v0` produced NaN as number 0 of the observation of row ";
    assert!(message.contains(expected), "{message}");
}

#[test]
fn a_loss_that_is_not_a_number_stops_the_run() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = common::config_of("ppo", &common::PPO);
    config.agent.insert("learning_rate".to_owned(), 1e30.into());
    let run = directory.path().join("run");
    let message = runtime::train(&Setup::default(), config, &run, &mut |_| true).unwrap_err().to_string();
    assert!(message.contains("became") && message.contains("at update"), "{message}");
}

#[test]
fn a_full_disk_stops_the_run_with_the_file_named() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run");
    let setup = Setup::default();
    let config = common::config_of("ppo", &common::PPO);
    let mut iterations = 0;
    runtime::train(&setup, config, &run, &mut |_| {
        iterations += 1;
        iterations < 6
    })
    .unwrap();
    // Every write to this file fails as on a full disk.
    let fresh = directory.path().join("fresh");
    fs::create_dir_all(fresh.join("checkpoints")).unwrap();
    symlink("/dev/full", fresh.join("metrics.csv")).unwrap();
    let error =
        runtime::train(&setup, common::config_of("ppo", &common::PPO), &fresh, &mut |_| true).unwrap_err();
    let RunError::Io { path, source, .. } = &error else { panic!("expected an I/O error, got {error}") };
    assert!(path.ends_with("metrics.csv"), "{}", path.display());
    assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
    // The other run is untouched by all this.
    assert!(runtime::resume(&setup, &run, None, &mut |_| true).unwrap().finished);
}

#[test]
fn a_run_in_use_is_not_touched_by_a_second_process() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run");
    let setup = Setup::default();
    let mut refused = None;
    let inner = run.clone();
    let inner_setup = setup.clone();
    runtime::train(&setup, common::config_of("ppo", &common::PPO), &run, &mut |_| {
        if refused.is_none() {
            refused = Some(runtime::resume(&inner_setup, &inner, None, &mut |_| true));
        }
        true
    })
    .unwrap();
    let message = refused.unwrap().unwrap_err().to_string();
    assert!(message.contains("another process is running it"), "{message}");
}

/// The chunk files of a run, by name.
fn chunks(run: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(run.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path());
    let mut chunks: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|e| e == "chunk")).collect();
    chunks.sort();
    chunks
}

fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_checkpoint_whose_chunk_is_damaged_is_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run");
    let setup = Setup::default();
    runtime::train(&setup, common::config_of("dqn", &common::DQN), &run, &mut |_| true).unwrap();
    let expected = fs::read(run.join("model.safetensors")).unwrap();
    // The newest chunk: the checkpoint before the last one does not refer to it.
    let newest = chunks(&run).pop().unwrap();
    for break_it in [damage, |path: &Path| fs::remove_file(path).unwrap()] {
        break_it(&newest);
        fs::remove_file(run.join("model.safetensors")).unwrap();
        assert!(runtime::resume(&setup, &run, None, &mut |_| true).unwrap().finished);
        assert!(expected == fs::read(run.join("model.safetensors")).unwrap());
        assert!(newest.exists(), "what was lost is written again");
    }
    chunks(&run).iter().for_each(|path| damage(path));
    let message = runtime::resume(&setup, &run, None, &mut |_| true).unwrap_err().to_string();
    assert!(message.contains(".chunk") && message.contains("the file is damaged"), "{message}");
}

#[test]
fn only_chunks_that_a_kept_checkpoint_refers_to_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run");
    let setup = Setup::default();
    let mut config = common::config_of("dqn", &common::DQN);
    let mut most = 0;
    config.total_timesteps = 12_000;
    runtime::train(&setup, config, &run, &mut |_| {
        most = most.max(chunks(&run).len());
        true
    })
    .unwrap();
    // Two shards of 1000 ticks, in chunks of 64 ticks, of three checkpoints at most (the best may be an old one).
    assert!(most <= 3 * 2 * 17, "{most}");
}

#[test]
fn a_replay_buffer_that_does_not_fit_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run");
    let mut config = common::config_of("dqn", &common::DQN);
    config.env.id = "MinAtar/Breakout-v0".to_owned();
    config.agent.insert("buffer_size".to_owned(), 4_000_000_000_i64.into());
    let message = runtime::train(&Setup::default(), config, &run, &mut |_| true).unwrap_err().to_string();
    assert!(message.contains("of replay when it is full (agent.buffer_size)"), "{message}");
    assert!(!run.exists(), "nothing was begun");
}

#[test]
fn sizes_that_cannot_be_had_are_refused_before_there_is_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    for (algorithm, setting, parts) in [
        ("ppo", "agent.num_steps=1e9", vec!["at least", "GiB", "of fragments (agent.num_steps, num_envs)"]),
        ("ppo", "num_envs=1e15", vec!["at least", "of environments (num_envs)"]),
        (
            "ppo",
            "network.encoder.hidden=[100000000]",
            vec!["network.encoder.hidden must be at most 16777216"],
        ),
        ("dqn", "network.encoder.hidden=[10000000, 10000000]", vec!["of networks and optimizers (network)"]),
        (
            "ppo",
            "env.wrappers=[{kind='frame_stack', num_stack=1000000000}]",
            vec!["num_stack must be at most"],
        ),
        ("ppo", "env.wrappers=[{kind='action_repeat', repeats=1000000000}]", vec!["repeats must be at most"]),
        ("rainbow", "agent.buffer_size=4_000_000_000", vec!["of replay when it is full (agent.buffer_size)"]),
        ("ppo", "eval.episodes=1e10", vec!["eval.episodes must be from 1 to"]),
        (
            "ppo",
            "network.memory={kind='lstm', hidden=10_000_000}",
            vec!["of networks and optimizers (network)"],
        ),
    ] {
        let fixed = ["train", algorithm, "CartPole-v1", "--preset", "none", "--name", "t", "--set"];
        let (output, text) = common::run(directory.path(), &[&fixed[..], &[setting]].concat());
        assert!(!output.status.success(), "{setting}: {text}");
        for part in parts {
            assert!(text.contains(part), "`{setting}`: expected `{part}` in `{text}`");
        }
        assert!(!directory.path().join("results").exists(), "{setting}");
    }
}

/// Starts two `train`s of different settings in one directory at the same moment, and gives how the first one ended.
fn two_trains_at_once(directory: &Path) -> bool {
    let train = |gamma: &str| {
        let gamma = format!("agent.gamma={gamma}");
        let fixed = ["train", "ppo", "CartPole-v1", "--preset", "none", "--total-timesteps", "512"];
        common::agon(directory, &[&fixed[..], &["--name", "t", "--set", &gamma]].concat())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let both = [("0.99", train("0.99")), ("0.5", train("0.5"))];
    let ended = both.map(|(gamma, child)| (gamma, child.wait_with_output().unwrap()));
    let winner = ended.iter().position(|(_, output)| output.status.success()).expect("one of them trains");
    let (_, lost) = &ended[1 - winner];
    let message = String::from_utf8_lossy(&lost.stderr);
    assert!(!lost.status.success(), "both trained");
    assert!(
        message.contains("another process is running it") || message.contains("holds a run"),
        "{message}"
    );
    let run = directory.join("results/t");
    let config = RunConfig::load(&run.join("config.toml")).unwrap();
    assert_eq!(config.agent["gamma"].to_string(), ended[winner].0, "the loser changed the configuration");
    // What the winner has written is of its settings, and goes on.
    assert!(runtime::resume(&Setup::default(), &run, None, &mut |_| true).unwrap().finished);
    let left: Vec<_> = fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".tmp")), "{left:?}");
    winner == 0
}

fn pairs_of_trains(count: usize) {
    let directory = tempfile::tempdir().unwrap();
    let mut first = 0;
    for _ in 0..count {
        first += usize::from(two_trains_at_once(directory.path()));
        fs::remove_dir_all(directory.path().join("results")).unwrap();
    }
    println!("{count} pairs, of which the first won {first}; no loser changed anything");
}

#[test]
fn of_two_trains_in_one_directory_the_loser_changes_nothing() {
    pairs_of_trains(5);
}

#[test]
#[ignore = "slow: a minute"]
fn of_a_hundred_pairs_of_trains_no_loser_changes_anything() {
    pairs_of_trains(100);
}
