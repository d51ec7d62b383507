//! The three boundaries, as a user's program crosses them: policies made from weights, fragments that come from elsewhere,
//! environments that are no ECS world; and what observes a run, and parts of networks of one's own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

#[path = "../common/mod.rs"]
mod common;

mod environments;
mod failing_runs;
mod numbers;
mod observers;
mod parts;
mod policies;
mod sources;
mod transfer;
mod warm_starts;

use std::fs;
use std::path::Path;

use agon::runtime::{self, Setup};

/// What a configuration decides of a run, to the byte.
const DECIDED: [&str; 3] = ["model.safetensors", "metrics.csv", "episodes.csv"];

/// Trains to the end.
fn train(setup: &Setup, algorithm: &str, settings: &[&str], threads: usize, run: &Path) {
    let mut config = common::config_with(&setup.algorithms, algorithm, settings);
    config.runtime.threads = threads;
    assert!(runtime::train(setup, config, run, &mut |_| true).unwrap().finished);
}

/// Trains until an iteration, and then to the end.
fn train_in_two(setup: &Setup, algorithm: &str, settings: &[&str], stop_after: usize, run: &Path) {
    let mut iterations = 0;
    let config = common::config_with(&setup.algorithms, algorithm, settings);
    let stopped = runtime::train(setup, config, run, &mut |_| {
        iterations += 1;
        iterations < stop_after
    });
    assert!(!stopped.unwrap().finished);
    assert!(runtime::resume(setup, run, None, &mut |_| true).unwrap().finished);
}

fn assert_same(a: &Path, b: &Path, what: &str) {
    for file in DECIDED {
        let read = |run: &Path| fs::read(run.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(read(a) == read(b), "{what}: {file}");
    }
}
