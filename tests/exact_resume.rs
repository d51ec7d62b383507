//! Kill a run with SIGKILL at random moments, resume it to its end, and find the same bytes as without.
//!
//! `AGON_KILLS` says at how many moments (3 by default); `results/reference/exact_resume.md` shows 20.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use agon::envs::Pcg64;

/// Everything that a run's configuration decides.
const FILES: [&str; 4] = ["model.safetensors", "metrics.csv", "episodes.csv", "evaluations.csv"];

fn contents(run: &Path) -> Vec<Vec<u8>> {
    FILES
        .iter()
        .map(|name| fs::read(run.join(name)).unwrap_or_else(|error| panic!("{name}: {error}")))
        .collect()
}

/// Iterations that a run has written down.
fn rows(run: &Path) -> usize {
    fs::read_to_string(run.join("metrics.csv")).map_or(0, |text| text.lines().count().saturating_sub(1))
}

fn survives_kills(algorithm: &str, settings: &[&str]) {
    let kills: u32 =
        std::env::var("AGON_KILLS").map_or(3, |text| text.parse().expect("AGON_KILLS is a number"));
    let directory = tempfile::tempdir().unwrap();
    let assignments: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let train = |name: &'static str| {
        let mut arguments = vec![
            "train",
            algorithm,
            "CartPole-v1",
            "--preset",
            "none",
            "--eval-every",
            "1500",
            "--name",
            name,
        ];
        arguments.extend(&assignments);
        common::agon(directory.path(), &arguments)
    };
    assert!(train("whole").stderr(Stdio::null()).stdout(Stdio::null()).status().unwrap().success());
    let expected = contents(&directory.path().join("results/whole"));

    let iterations = rows(&directory.path().join("results/whole"));
    let mut rng = Pcg64::seed_from(2026);
    let mut interrupted = 0;
    for kill in 0..kills {
        let run = directory.path().join("results/killed");
        let _ = fs::remove_dir_all(&run);
        let mut child = train("killed").stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        // A random place in the run's progress, and a random moment after it.
        let place = rng.integers(0, (iterations - 2) as i64) as usize;
        while rows(&run) < place && child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_micros(200));
        }
        let moment = Duration::from_secs_f64(rng.uniform(0.0, 0.01));
        thread::sleep(moment);
        child.kill().unwrap();
        interrupted += u32::from(!child.wait().unwrap().success());
        let moment = format!("{moment:?} after iteration {place}");
        if run.join("config.toml").exists() {
            let (output, text) = common::run(directory.path(), &["resume", "results/killed"]);
            assert!(output.status.success(), "kill {kill}, {moment}: {text}");
        } else {
            // Killed before there was a run: there is nothing to resume, and nothing in the way of starting it.
            assert!(train("killed").output().unwrap().status.success());
        }
        for ((name, expected), found) in FILES.iter().zip(&expected).zip(contents(&run)) {
            assert!(*expected == found, "kill {kill}, {moment}: {name} differs from the uninterrupted run's");
        }
    }
    println!(
        "{algorithm}: {kills} of {kills} resumed runs have the same bytes, {interrupted} were killed under way"
    );
    assert!(interrupted > 0, "no kill came before the end");
}

#[test]
fn ppo_resumes_to_the_same_bytes_after_sigkill() {
    survives_kills("ppo", &common::PPO);
}

#[test]
fn dqn_resumes_to_the_same_bytes_after_sigkill() {
    survives_kills("dqn", &common::DQN);
}

#[test]
fn what_a_policy_remembers_resumes_to_the_same_bytes_after_sigkill() {
    let case = common::cases().into_iter().find(|case| case.settings.iter().any(|s| s.contains("lstm")));
    let common::Case { algorithm, settings } = case.unwrap();
    survives_kills(algorithm, &settings);
}
