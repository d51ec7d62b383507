//! Kill runs with SIGKILL at random moments, resume them to their end, and find the same bytes as without.
//!
//! Every algorithm, wrapped and multi-agent environments, memories; killed once, killed again while it goes on, killed
//! while it is being resumed. `AGON_KILLS` says how often each is killed (1 by default), `AGON_KILLED`
//! of which algorithm only; `results/README.md` shows more.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use agon::envs::Pcg64;

/// Everything that a run's configuration decides.
const FILES: [&str; 4] = ["model.safetensors", "metrics.csv", "episodes.csv", "evaluations.csv"];

/// A run of the program that is to be killed.
struct Victim<'a> {
    directory: &'a Path,
    arguments: Vec<&'a str>,
    run: PathBuf,
    /// Iterations of the whole run.
    iterations: usize,
    kills: u32,
}

fn contents(run: &Path) -> Vec<Vec<u8>> {
    let read = |name: &&str| fs::read(run.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    FILES.iter().map(read).collect()
}

/// Iterations that a run has written down.
fn rows(run: &Path) -> usize {
    fs::read_to_string(run.join("metrics.csv")).map_or(0, |text| text.lines().count().saturating_sub(1))
}

fn quiet(directory: &Path, arguments: &[&str]) -> Child {
    common::agon(directory, arguments).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
}

impl Victim<'_> {
    /// Starts the run, or goes on with it.
    fn start(&self) -> Child {
        match self.run.join("config.toml").exists() {
            true => quiet(self.directory, &["resume", "results/killed"]),
            false => quiet(self.directory, &self.arguments),
        }
    }

    /// Kills a process at a random moment after the run has come to a place, if it has not ended by then.
    fn kill_at(&mut self, mut child: Child, place: usize, rng: &mut Pcg64) {
        while rows(&self.run) < place && child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_micros(200));
        }
        thread::sleep(Duration::from_secs_f64(rng.uniform(0.0, 0.01)));
        self.kill(child);
    }

    fn kill(&mut self, mut child: Child) {
        child.kill().unwrap();
        self.kills += u32::from(!child.wait().unwrap().success());
    }

    /// One of the ways to be killed.
    fn suffer(&mut self, rng: &mut Pcg64) -> &'static str {
        let place = rng.integers(0, self.iterations.saturating_sub(2).max(1) as i64) as usize;
        let child = self.start();
        self.kill_at(child, place, rng);
        match rng.integers(0, 3) {
            0 => "killed",
            1 => {
                let further = rng.integers(place as i64, self.iterations as i64) as usize;
                let child = self.start();
                self.kill_at(child, further, rng);
                "killed twice"
            }
            _ => {
                for _ in 0..2 {
                    let child = self.start();
                    thread::sleep(Duration::from_secs_f64(rng.uniform(0.0, 0.03)));
                    self.kill(child);
                }
                "killed, and twice while it was being resumed"
            }
        }
    }
}

#[test]
fn every_algorithm_resumes_to_the_same_bytes_after_sigkill() {
    let times: u32 =
        std::env::var("AGON_KILLS").map_or(1, |text| text.parse().expect("AGON_KILLS is a number"));
    let mut rng = Pcg64::seed_from(2026);
    let mut kills = 0;
    let only = std::env::var("AGON_KILLED").ok();
    for common::Case { algorithm, settings } in common::cases() {
        if only.as_ref().is_some_and(|only| only != algorithm) {
            continue;
        }
        let env = settings
            .iter()
            .rev()
            .find_map(|setting| setting.strip_prefix("env.id="))
            .unwrap_or("CartPole-v1");
        let directory = tempfile::tempdir().unwrap();
        let arguments = |name: &'static str| {
            let fixed = ["train", algorithm, env, "--preset", "none", "--eval-every", "1500"];
            let more = ["--set", "eval.episodes=3", "--name", name];
            let assignments = settings.iter().flat_map(|setting| ["--set", setting]);
            fixed.into_iter().chain(more).chain(assignments).collect::<Vec<_>>()
        };
        assert!(quiet(directory.path(), &arguments("whole")).wait().unwrap().success());
        let whole = directory.path().join("results/whole");
        let expected = contents(&whole);
        let mut victim = Victim {
            directory: directory.path(),
            arguments: arguments("killed"),
            run: directory.path().join("results/killed"),
            iterations: rows(&whole),
            kills: 0,
        };
        for _ in 0..times {
            let _ = fs::remove_dir_all(&victim.run);
            let how = victim.suffer(&mut rng);
            let what = format!("{algorithm} with {settings:?}, {how}");
            assert!(victim.start().wait().unwrap().success(), "{what}");
            for ((name, expected), found) in FILES.iter().zip(&expected).zip(contents(&victim.run)) {
                assert!(*expected == found, "{what}: {name} differs from the uninterrupted run's");
            }
        }
        kills += victim.kills;
        println!("{algorithm} on {env}: {} kills, all with the same bytes", victim.kills);
    }
    println!("{kills} kills in all, all with the same bytes");
    assert!(kills > 0, "no kill came before the end");
}
