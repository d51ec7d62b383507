//! What is made of runs that there are: `plot`, `compare`, `eval` and `record` as a user meets them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::path::Path;

use common::run;

/// Trains for a moment into `results/NAME`.
fn train(directory: &Path, name: &str, more: &[&str]) -> String {
    let mut arguments = vec!["train", "ppo", "CartPole-v1", "--total-timesteps", "4096", "--name", name];
    arguments.extend(more);
    succeed(directory, &arguments)
}

/// Runs `agon` and gives what it prints.
fn succeed(directory: &Path, arguments: &[&str]) -> String {
    let (output, text) = run(directory, arguments);
    assert!(output.status.success(), "{arguments:?}: {text}");
    text
}

#[test]
fn plots_name_their_curves_and_say_what_they_leave_out() {
    let directory = tempfile::tempdir().unwrap();
    train(directory.path(), "many", &["--seeds", "2"]);
    train(directory.path(), "alone", &[]);
    fs::write(directory.path().join("results/notes.txt"), "no run").unwrap();
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();

    let arguments = ["plot", "results/many", "results/alone", "results/notes.txt", "--out", "a/new/one.svg"];
    let text = succeed(directory.path(), &arguments);
    assert!(
        text.contains("left out results/notes.txt") && text.contains("bootstrapped over seeds"),
        "{text}"
    );
    let picture = read("a/new/one.svg");
    for label in ["many (n = 2)", "alone (n = 1)"] {
        assert!(picture.contains(&format!("aria-label=\"{label}\"")), "{label}");
    }

    // Directories of one name are one curve; seeds are runs like any other, and told apart by their paths.
    succeed(directory.path(), &["plot", "x=results/many", "x=results/alone", "--out", "two.svg"]);
    assert!(read("two.svg").contains("aria-label=\"x (n = 3)\""));
    fs::create_dir(directory.path().join("other")).unwrap();
    fs::rename(directory.path().join("results/alone"), directory.path().join("other/seed_1")).unwrap();
    succeed(directory.path(), &["plot", "results/many/seed_1", "other/seed_1", "--out", "three.svg"]);
    let picture = read("three.svg");
    assert!(
        picture.contains("aria-label=\"many/seed_1\"") && picture.contains("aria-label=\"other/seed_1\"")
    );

    let (output, text) = run(directory.path(), &["plot", "results/notes.txt", "--out", "never.svg"]);
    assert!(!output.status.success() && text.contains("notes.txt"), "{text}");
}

#[test]
fn seconds_of_runs_that_shared_cores_are_marked() {
    let directory = tempfile::tempdir().unwrap();
    train(directory.path(), "shared", &["--seeds", "2", "--threads", "2"]);
    train(directory.path(), "alone", &[]);
    let plot = |more: &[&str]| {
        succeed(
            directory.path(),
            &[&["plot", "results/shared", "results/alone", "--out", "x.svg"], more].concat(),
        )
    };
    let text = plot(&["--x", "seconds"]);
    assert!(text.contains("shared ran 2 at a time, alone ran alone"), "{text}");
    assert!(!plot(&[]).contains("at a time"), "steps are no seconds");
}
