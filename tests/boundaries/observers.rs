//! What a program adds to its setup sees a run, may have it saved or stopped, and changes none of its bits.

use std::fs;
use std::sync::{Arc, Mutex};

use agon::RunError;
use agon::runtime::{self, Setup};
use agon::sinks::{Beginning, EpisodeRow, MetricsRow, Outcome, Progress, Signal, Sink, TimingRow};

use crate::{DECIDED, assert_same, common, train};

#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    begun: u32,
    /// What the sink had saved before.
    resumed_with: Option<Vec<u8>>,
    episodes: u64,
    rows: u64,
    saved: u64,
    outcome: Option<(bool, u64)>,
    metric_names: Vec<&'static str>,
}

#[derive(Clone, Default)]
struct Watcher {
    seen: Arc<Mutex<Seen>>,
    wish: Option<(u64, Signal)>,
}

impl Sink for Watcher {
    fn name(&self) -> &str {
        "watcher"
    }

    fn begin(&mut self, beginning: &Beginning<'_>) -> Result<(), RunError> {
        assert!(beginning.path.join("config.toml").exists());
        let mut seen = self.seen.lock().unwrap();
        seen.begun += 1;
        seen.resumed_with = beginning.saved.map(<[u8]>::to_vec);
        seen.metric_names = beginning.metric_names.to_vec();
        Ok(())
    }

    fn episode(&mut self, row: &EpisodeRow<'_>) -> Result<(), RunError> {
        let mut seen = self.seen.lock().unwrap();
        seen.episodes += 1;
        assert_eq!(row.episode % 1_000_000, seen.episodes % 1_000_000);
        Ok(())
    }

    fn metrics(&mut self, row: &MetricsRow<'_>, timing: &TimingRow) -> Result<(), RunError> {
        let mut seen = self.seen.lock().unwrap();
        assert_eq!(row.learner.len(), seen.metric_names.len());
        assert!(timing.seconds > 0.0);
        seen.rows += 1;
        Ok(())
    }

    fn iteration(&mut self, progress: &Progress<'_>) -> Result<Signal, RunError> {
        Ok(match self.wish {
            Some((at, wish)) if progress.env_steps == at => wish,
            _ => Signal::Continue,
        })
    }

    fn save(&mut self) -> Result<Vec<u8>, RunError> {
        let mut seen = self.seen.lock().unwrap();
        seen.saved += 1;
        Ok(seen.episodes.to_le_bytes().to_vec())
    }

    fn end(&mut self, outcome: &Outcome) -> Result<(), RunError> {
        self.seen.lock().unwrap().outcome = Some((outcome.finished, outcome.env_steps));
        Ok(())
    }
}

#[test]
fn a_sink_sees_everything_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    train(&Setup::default(), "ppo", &common::PPO, 2, &path("alone"));
    let watcher = Watcher { wish: Some((1024, Signal::Save)), ..Watcher::default() };
    let made = watcher.clone();
    let setup = Setup::default().with_sink(move || made.clone());
    train(&setup, "ppo", &common::PPO, 2, &path("watched"));
    assert_same(&path("alone"), &path("watched"), "a sink");
    let seen = watcher.seen.lock().unwrap().clone();
    let lines =
        |name: &str| fs::read_to_string(path("watched").join(name)).unwrap().lines().count() as u64 - 1;
    assert_eq!((seen.begun, seen.episodes, seen.rows), (1, lines("episodes.csv"), lines("metrics.csv")));
    assert_eq!(seen.outcome, Some((true, 16384)));
    // Every 2048 steps, and once more where the sink asked for it: in lockstep the next iteration had begun.
    assert_eq!(seen.saved, 16384 / 2048 + 1);
}

#[test]
fn a_sink_stops_a_run_and_goes_on_from_what_it_saved() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    train(&Setup::default(), "dqn", &common::DQN, 2, &path("whole"));
    let watcher = Watcher { wish: Some((2500, Signal::Stop)), ..Watcher::default() };
    let made = watcher.clone();
    let setup = Setup::default().with_sink(move || made.clone());
    let stopped =
        runtime::train(&setup, common::config_of("dqn", &common::DQN), &path("stopped"), &mut |_| true)
            .unwrap();
    assert_eq!(
        (stopped.finished, stopped.env_steps),
        (false, 2550),
        "the iteration that had begun is finished"
    );
    let episodes = watcher.seen.lock().unwrap().episodes;
    assert!(runtime::resume(&setup, &path("stopped"), None, &mut |_| true).unwrap().finished);
    let seen = watcher.seen.lock().unwrap().clone();
    assert_eq!(seen.resumed_with, Some(episodes.to_le_bytes().to_vec()));
    assert_same(&path("whole"), &path("stopped"), "a stop");
    assert_eq!(DECIDED.len(), 3);
}

/// Fails in an iteration.
struct Fails;

impl Sink for Fails {
    fn name(&self) -> &str {
        "fails"
    }

    fn iteration(&mut self, progress: &Progress<'_>) -> Result<Signal, RunError> {
        if progress.env_steps > 5000 {
            Err(RunError::Config("the sink is full".to_owned()))
        } else {
            Ok(Signal::Continue)
        }
    }
}

#[test]
fn a_sink_that_fails_ends_the_run_which_stays_whole() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run");
    let setup = Setup::default().with_sink(|| Fails);
    let error =
        runtime::train(&setup, common::config_of("ppo", &common::PPO), &run, &mut |_| true).unwrap_err();
    assert_eq!(error.to_string(), "the sink is full");
    assert!(runtime::resume(&Setup::default(), &run, None, &mut |_| true).unwrap().finished);
}
