//! Flip a bit at every byte of a small run's files, cut each of them at every 64th byte, and resume or evaluate: the right
//! result, an older checkpoint that is named, or an error; never a panic, and never much memory.
//!
//! A sample runs with the suite; all of it with `cargo test --release --test damage -- --ignored --nocapture`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use agon::RunError;
use agon::config::RunConfig;
use agon::evaluate::{EvalOptions, evaluate};
use agon::runtime::{self, Setup};
use agon::sinks::{Beginning, Sink};

/// Files of a run that its configuration decides to the byte.
const DECIDED: [&str; 4] = ["model.safetensors", "metrics.csv", "episodes.csv", "evaluations.csv"];

/// Memory beyond that of an undamaged run that reading a damaged one may take.
const MOST_BYTES: u64 = 100 << 20;

/// Files by their paths in a directory.
type Files = BTreeMap<PathBuf, Vec<u8>>;

fn read_files(directory: &Path) -> Files {
    let mut files = Files::new();
    for parent in [directory.to_owned(), directory.join("checkpoints")] {
        for entry in fs::read_dir(&parent).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                let path = entry.path();
                files.insert(path.strip_prefix(directory).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn write_files(directory: &Path, files: &Files) {
    let _ = fs::remove_dir_all(directory);
    fs::create_dir_all(directory.join("checkpoints")).unwrap();
    for (path, content) in files {
        fs::write(directory.join(path), content).unwrap();
    }
}

/// Most memory that this process has had, where the system tells.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Keeps what a run says before it goes on.
struct Notes<'a>(&'a mut Vec<String>);

impl Sink for Notes<'_> {
    fn name(&self) -> &str {
        "notes"
    }

    fn begin(&mut self, beginning: &Beginning<'_>) -> Result<(), RunError> {
        self.0.extend_from_slice(beginning.notes);
        Ok(())
    }
}

/// A run that was stopped on its way, and how it ends.
struct Victim {
    name: &'static str,
    stopped: Files,
    ended: Files,
    /// Of the newest weights, and of the best.
    returns: [Vec<f64>; 2],
}

/// What became of damaged runs.
#[derive(Default)]
struct Tally {
    right: usize,
    older: usize,
    refused: usize,
}

impl Victim {
    fn new(name: &'static str, algorithm: &str, settings: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let setup = Setup::default();
        let (whole, stopped) = (directory.path().join("whole"), directory.path().join("stopped"));
        let config = || common::config_of(algorithm, settings);
        runtime::train(&setup, config(), &whole, &mut |_| true).unwrap();
        let outcome =
            runtime::train(&setup, config(), &stopped, &mut |progress| progress.env_steps < 60).unwrap();
        assert!(!outcome.finished);
        let returns = [false, true]
            .map(|best| evaluate(&setup, &stopped, &EvalOptions { best, ..options() }).unwrap().returns);
        Self { name, stopped: read_files(&stopped), ended: read_files(&whole), returns }
    }

    /// Resumes the run with one file damaged; the result must be the right one.
    fn resume(&self, directory: &Path, file: &Path, tally: &mut Tally) {
        let mut notes = Vec::new();
        match runtime::resume_with(&Setup::default(), directory, None, Box::new(Notes(&mut notes))) {
            Err(_) => tally.refused += 1,
            Ok(_) => {
                let checkpoint = file.extension().is_some_and(|kind| kind == "ckpt" || kind == "chunk");
                let older = notes.iter().any(|note| note.contains("going on from the older checkpoint"));
                assert!(!older || checkpoint && notes.iter().all(|note| note.contains(name_of(file))));
                tally.older += usize::from(older);
                tally.right += usize::from(!older);
                if self.may_differ(directory, file) {
                    return;
                }
                for decided in DECIDED {
                    let found = fs::read(directory.join(decided)).unwrap();
                    assert!(found == self.ended[Path::new(decided)], "{decided} differs");
                }
            }
        }
    }

    /// Whether a changed configuration is one of those that may change, and changes what is written down.
    fn may_differ(&self, directory: &Path, file: &Path) -> bool {
        if name_of(file) != "config.toml" {
            return false;
        }
        let directory = directory.join("config.toml");
        let found = RunConfig::load(&directory).unwrap();
        fs::write(&directory, &self.stopped[file]).unwrap();
        let expected = RunConfig::load(&directory).unwrap();
        found.total_timesteps != expected.total_timesteps
            || found.runtime.log_every != expected.runtime.log_every
    }

    /// Evaluates the newest weights of a run with one file damaged, or the best where those are.
    fn evaluate(&self, directory: &Path, file: &str, tally: &mut Tally) {
        let best = file == "best.safetensors";
        match evaluate(&Setup::default(), directory, &EvalOptions { best, ..options() }) {
            Err(_) => tally.refused += 1,
            Ok(evaluation) => {
                assert_eq!(evaluation.returns, self.returns[usize::from(best)]);
                tally.right += 1;
            }
        }
    }

    /// Damages every file in every way, or in one of `every` ways.
    fn suffer(&self, every: usize) {
        let directory = tempfile::tempdir().unwrap();
        let run = directory.path().join("run");
        let mut ignored = Tally::default();
        for _ in 0..3 {
            write_files(&run, &self.stopped);
            self.resume(&run, Path::new("none"), &mut ignored);
            self.evaluate(&run, "model.safetensors", &mut ignored);
            self.evaluate(&run, "best.safetensors", &mut ignored);
        }
        assert_eq!(ignored.refused, 0, "an undamaged run goes on");
        let before = peak_memory();
        for (file, content) in &self.stopped {
            let mut tally = Tally::default();
            let flips = (0..content.len()).step_by(every).map(|at| {
                let mut damaged = content.clone();
                damaged[at] ^= 1 << (at % 8);
                (format!("a flipped bit at byte {at}"), damaged)
            });
            let cuts = (0..content.len())
                .step_by(64 * every.min(4))
                .map(|at| (format!("cut to {at} bytes"), content[..at].to_vec()));
            for (what, damaged) in flips.chain(cuts) {
                let named = format!("{}: {} with {what}", self.name, file.display());
                let mut files = self.stopped.clone();
                files.insert(file.clone(), damaged);
                write_files(&run, &files);
                let read = ["config.toml", "model.safetensors", "best.safetensors"].contains(&name_of(file));
                let result = catch_unwind(AssertUnwindSafe(|| {
                    if read {
                        self.evaluate(&run, name_of(file), &mut tally);
                    }
                    self.resume(&run, file, &mut tally);
                }));
                assert!(result.is_ok(), "{named}");
                let more = peak_memory().saturating_sub(before);
                assert!(more < MOST_BYTES, "{named}: {more} bytes more than an undamaged run");
            }
            let Tally { right, older, refused } = tally;
            println!(
                "{} {}, {} bytes: {right} right, {older} from an older checkpoint, {refused} refused",
                self.name,
                file.display(),
                content.len()
            );
        }
    }
}

fn name_of(file: &Path) -> &str {
    file.file_name().unwrap().to_str().unwrap()
}

fn options() -> EvalOptions {
    EvalOptions { episodes: 1, ..EvalOptions::default() }
}

fn victims() -> [Victim; 2] {
    let shared = ["runtime.checkpoint_every=32", "eval.every=64", "eval.episodes=1", "runtime.threads=1"];
    let dqn = [
        "total_timesteps=128",
        "agent.buffer_size=64",
        "agent.train_frequency=4",
        "agent.learning_starts=8",
        "agent.batch_size=4",
        "network.encoder.hidden=[4]",
        "env.max_episode_steps=8",
    ];
    let ppo = [
        "num_envs=2",
        "total_timesteps=128",
        "agent.num_steps=8",
        "agent.num_minibatches=2",
        "network.encoder.hidden=[4]",
        "env.max_episode_steps=8",
        "env.wrappers=[{kind='normalize_observation'}]",
    ];
    [
        Victim::new("dqn", "dqn", &[&dqn[..], &shared].concat()),
        Victim::new("ppo", "ppo", &[&ppo[..], &shared].concat()),
    ]
}

#[test]
fn a_sample_of_damaged_files_is_read_right_or_refused() {
    for victim in victims() {
        victim.suffer(211);
    }
}

#[test]
#[ignore = "slow: minutes in a release build"]
fn every_damaged_file_is_read_right_or_refused() {
    for victim in victims() {
        victim.suffer(1);
    }
}
