//! The same seed gives the same bytes: for any number of threads, and train after train.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::path::Path;

use agon::RunError;
use agon::config::RunConfig;
use agon::runtime::{self, Setup};
use common::Case;

const FILES: [&str; 3] = ["model.safetensors", "metrics.csv", "episodes.csv"];

fn train(algorithm: &str, settings: &[&str], threads: usize, seed: u64) -> Vec<Vec<u8>> {
    let directory = tempfile::tempdir().unwrap();
    let mut config = common::config_of(algorithm, settings);
    config.runtime.threads = threads;
    config.seed = seed;
    let run = directory.path().join("run");
    let outcome = runtime::train(&Setup::default(), config, &run, &mut |_| true).unwrap();
    assert!(outcome.finished);
    FILES.iter().map(|name| fs::read(run.join(name)).unwrap()).collect()
}

fn threads_change_nothing(algorithm: &str, settings: &[&str]) {
    let one = train(algorithm, settings, 1, 7);
    for threads in [2, 4] {
        let found = train(algorithm, settings, threads, 7);
        for ((name, expected), found) in FILES.iter().zip(&one).zip(found) {
            assert!(*expected == found, "{algorithm} with {settings:?}, {threads} threads: {name} differs");
        }
    }
    assert_ne!(one, train(algorithm, settings, 2, 8), "another seed gives another run");
}

#[test]
fn every_algorithm_is_the_same_for_any_number_of_threads() {
    for Case { algorithm, settings } in common::cases() {
        threads_change_nothing(algorithm, &settings);
    }
}

/// Settings that say nothing of shards and slices, and are enough work for 16 of each.
const MANY: [&str; 5] = [
    "num_envs=512",
    "total_timesteps=32768",
    "agent.num_steps=16",
    "network.encoder.hidden=[32, 32]",
    "runtime.checkpoint_every=8192",
];

#[test]
fn sixteen_threads_have_work_without_being_asked_to_and_change_nothing() {
    let (one, few) = (["agent.num_minibatches=1"], ["agent.num_minibatches=2", "agent.update_epochs=2"]);
    for (algorithm, more) in [("ppo", &few[..]), ("pqn", &few[..]), ("appo", &few[..]), ("impala", &one[..])]
    {
        let settings = [&MANY[..], more].concat();
        let mut config = common::config_of(algorithm, &settings);
        let setup = Setup::default();
        config.resolve(&setup.registry, &setup.algorithms).unwrap();
        let slices = config.agent["gradient_slices"].as_integer();
        assert_eq!((config.runtime.num_shards, slices), (16, Some(16)), "{algorithm}");
        let expected = train(algorithm, &settings, 1, 7);
        for threads in [2, 4, 16] {
            assert!(train(algorithm, &settings, threads, 7) == expected, "{algorithm}, {threads} threads");
        }
    }
}

#[test]
fn a_resumed_run_keeps_the_shards_and_slices_that_are_recorded() {
    let (setup, directory) = (Setup::default(), tempfile::tempdir().unwrap());
    let set = ["runtime.num_shards=4", "agent.gradient_slices=3"];
    for (name, set, recorded) in [("open", &[][..], (16, 16)), ("set", &set[..], (4, 3))] {
        let settings = [&MANY[..], &["agent.num_minibatches=2", "agent.update_epochs=2"], set].concat();
        let run = directory.path().join(name);
        let recorded_in = |run: &Path| {
            let config = RunConfig::load(&run.join("config.toml")).unwrap();
            let slices = config.agent["gradient_slices"].as_integer();
            (config.runtime.num_shards, slices.and_then(|slices| usize::try_from(slices).ok()).unwrap())
        };
        let config = common::config_of("ppo", &settings);
        let mut iterations = 0;
        let stopped = runtime::train(&setup, config, &run, &mut |_| {
            iterations += 1;
            iterations < 2
        });
        assert!(!stopped.unwrap().finished);
        assert_eq!(recorded_in(&run), recorded);
        assert!(runtime::resume(&setup, &run, Some(2), &mut |_| true).unwrap().finished);
        assert_eq!(recorded_in(&run), recorded);
        assert!(files(&run) == train("ppo", &settings, 1, 1), "{name}");
    }
}

#[test]
fn every_algorithm_that_is_asked_to_stop_resumes_to_the_same_bytes() {
    for Case { algorithm, settings } in common::cases() {
        resumes_to_the_same_bytes(algorithm, &settings);
    }
}

#[test]
fn no_algorithm_is_left_out() {
    let cases = common::cases();
    for algorithm in Setup::default().algorithms.iter() {
        let name = algorithm.name();
        assert!(cases.iter().any(|case| case.algorithm == name), "no short run of `{name}`");
    }
}

fn resumes_to_the_same_bytes(algorithm: &str, settings: &[&str]) {
    let whole = train(algorithm, settings, 2, 1);
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run");
    let setup = Setup::default();
    let config = common::config_of(algorithm, settings);
    let mut iterations = 0;
    let stopped = runtime::train(&setup, config, &run, &mut |_| {
        iterations += 1;
        iterations < 11
    });
    assert!(!stopped.unwrap().finished);
    let resumed = runtime::resume(&setup, &run, Some(1), &mut |_| true).unwrap();
    assert!(resumed.finished);
    for ((name, expected), found) in FILES.iter().zip(&whole).zip(files(&run)) {
        assert!(*expected == found, "{algorithm} with {settings:?}: {name} differs");
    }
    // Resuming a finished run changes nothing.
    assert!(runtime::resume(&setup, &run, None, &mut |_| true).unwrap().finished);
    assert_eq!(files(&run), whole);
}

fn files(run: &Path) -> Vec<Vec<u8>> {
    FILES.iter().map(|name| fs::read(run.join(name)).unwrap()).collect()
}

#[test]
fn asynchronous_runs_end_and_resume() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run");
    let setup = Setup::default();
    let mut config = common::config_of("ppo", &common::PPO);
    config.runtime.mode = agon::config::Mode::Async;
    // A checkpoint an iteration: workers are told to save while they wait for fragments.
    config.runtime.checkpoint_every = 512;
    config.runtime.threads = 3;
    let mut stop_at = 8;
    let stopped = runtime::train(&setup, config, &run, &mut |_| {
        stop_at -= 1;
        stop_at > 0
    });
    let stopped = stopped.unwrap();
    assert!(!stopped.finished);
    let resumed = runtime::resume(&setup, &run, None, &mut |_| true).unwrap();
    assert!(resumed.finished && resumed.env_steps >= 16_384 && resumed.env_steps > stopped.env_steps);
}

#[test]
fn a_damaged_checkpoint_is_passed_over_and_a_run_without_a_whole_one_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run");
    let setup = Setup::default();
    let mut config = common::config_of("ppo", &common::PPO);
    config.runtime.checkpoint_every = 4096;
    runtime::train(&setup, config, &run, &mut |_| true).unwrap();
    let whole = files(&run);
    let mut checkpoints: Vec<_> =
        fs::read_dir(run.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path()).collect();
    checkpoints.sort();
    let damage = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        fs::write(path, bytes).unwrap();
    };
    damage(checkpoints.last().unwrap());
    runtime::resume(&setup, &run, None, &mut |_| true).unwrap();
    assert_eq!(files(&run), whole, "the run went on from the checkpoint before");
    for path in fs::read_dir(run.join("checkpoints")).unwrap() {
        damage(&path.unwrap().path());
    }
    let error = runtime::resume(&setup, &run, None, &mut |_| true).unwrap_err();
    assert!(matches!(error, RunError::Checkpoint { .. }) && error.to_string().contains("damaged"), "{error}");
}
