//! What a run's directory says of it, read again only where a file has changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::places;
use super::table;
use super::types::State;
use crate::config::{self, flatten};
use crate::run::Failure;
use crate::run::directory::{CONFIG, MODEL, RunLock};
use crate::run::written;
use crate::sinks::EVALUATIONS;

/// Rows that the speed of a run is taken over while it runs.
const LATELY: usize = 16;

/// A file's length and time of its last change: what tells whether it has to be read again.
type Stamp = Option<(u64, SystemTime)>;

/// What is known of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Looked {
    stamps: [Stamp; 4],
    pub(super) settings: Vec<(String, toml::Value)>,
    pub(super) unreadable: Option<String>,
    pub(super) state: Option<State>,
    pub(super) failure: Option<Failure>,
    pub(super) env_steps: u64,
    pub(super) score: Option<f64>,
    pub(super) evaluation: Option<f64>,
    pub(super) seconds: Option<f64>,
    pub(super) lately: Option<f64>,
    pub(super) has_policy: bool,
    /// Names of all columns that are metrics.
    pub(super) metrics: Vec<String>,
}

/// The files that numbers are read from, and the first of their columns that is a metric.
pub(super) const LOGS: [(&str, usize); 3] = [("metrics.csv", 3), (EVALUATIONS, 2), ("timing.csv", 2)];

impl Looked {
    /// Looks at a run's directory, and says whether its settings are others than before.
    pub(super) fn look(&mut self, path: &Path) -> bool {
        let files: [PathBuf; 4] = [CONFIG, LOGS[0].0, LOGS[1].0, LOGS[2].0].map(|name| path.join(name));
        let stamps = files.clone().map(|file| stamp(&file));
        let changed: Vec<bool> = stamps.iter().zip(&self.stamps).map(|(new, old)| new != old).collect();
        self.stamps = stamps;
        if changed[0] && self.stamps[0].is_some() {
            self.read_config(&files[0]);
        }
        if changed[1] {
            let row = self.readable(1, &files).and_then(|file| written::last_row(file.parent()?).ok()?);
            self.env_steps = row.map_or(0, |row| row.env_steps);
            self.score = row.map(|row| row.mean_return).filter(|score| score.is_finite());
        }
        if changed[2] {
            self.evaluation = column(&self.last(2, &files, 1), "eval/mean_return").pop();
        }
        if changed[3] {
            let last = self.last(3, &files, LATELY);
            self.seconds = column(&last, "seconds").pop();
            let lately = column(&last, "steps_per_second");
            self.lately = (!lately.is_empty()).then(|| crate::stats::mean(&lately));
        }
        if changed[1..].contains(&true) {
            self.metrics = (1..files.len()).flat_map(|at| self.columns(at, &files)).collect();
        }
        self.has_policy = stamp(&path.join(MODEL)).is_some();
        let failed = stamp(&path.join("failure.toml")).is_some();
        self.failure = failed.then(|| Failure::load(path).ok().flatten()).flatten();
        self.state = Some(self.judge(path));
        changed[0]
    }

    fn judge(&self, path: &Path) -> State {
        let total = self.integer("total_timesteps").unwrap_or(u64::MAX);
        match () {
            () if stamp(&path.join("run.lock")).is_some() && RunLock::is_held(path) => State::Running,
            () if self.failure.is_some() => State::Failed,
            () if self.env_steps >= total && self.has_policy => State::Finished,
            () if self.env_steps == 0 => State::Waiting,
            () => State::Stopped,
        }
    }

    fn read_config(&mut self, file: &Path) {
        (self.settings, self.unreadable) = (Vec::new(), None);
        match config::read_table(file) {
            Ok(mut table) => {
                table.remove("made_by");
                flatten("", &table, &mut self.settings);
            }
            Err(error) => self.unreadable = Some(error.chain()),
        }
    }

    /// A file of numbers, if there is one that may be read.
    fn readable<'a>(&self, at: usize, files: &'a [PathBuf; 4]) -> Option<&'a Path> {
        self.stamps[at].is_some().then_some(files[at].as_path())
    }

    /// The columns and the last lines of a file.
    fn last(&self, at: usize, files: &[PathBuf; 4], count: usize) -> (Vec<String>, Vec<String>) {
        let file = self.readable(at, files);
        file.and_then(|file| table::last_lines(file, count).ok()).unwrap_or_default()
    }

    fn columns(&self, at: usize, files: &[PathBuf; 4]) -> Vec<String> {
        let columns = self.readable(at, files).and_then(|file| table::columns(file).ok()).unwrap_or_default();
        columns.into_iter().skip(LOGS[at - 1].1).collect()
    }

    /// A setting by its whole key.
    pub(super) fn setting(&self, key: &str) -> Option<&toml::Value> {
        self.settings.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub(super) fn text(&self, key: &str) -> String {
        self.setting(key).and_then(toml::Value::as_str).unwrap_or_default().to_owned()
    }

    pub(super) fn integer(&self, key: &str) -> Option<u64> {
        self.setting(key)?.as_integer()?.try_into().ok()
    }

    /// When one of its files last changed, in seconds since 1970.
    pub(super) fn changed(&self) -> f64 {
        let times = self.stamps.iter().flatten().filter_map(|(_, time)| time.duration_since(UNIX_EPOCH).ok());
        times.map(|time| time.as_secs_f64()).fold(0.0, f64::max)
    }

    /// Environment steps a second: lately while it runs, else over all of its work.
    pub(super) fn speed(&self) -> Option<f64> {
        match self.state {
            Some(State::Running) => self.lately,
            _ => self.seconds.filter(|seconds| *seconds > 0.0).map(|seconds| self.env_steps as f64 / seconds),
        }
    }
}

/// The numbers of a column of some lines.
fn column((names, lines): &(Vec<String>, Vec<String>), name: &str) -> Vec<f64> {
    let Some(index) = names.iter().position(|found| found == name) else { return Vec::new() };
    let number = |line: &String| line.split(',').nth(index)?.parse().ok().filter(|n: &f64| n.is_finite());
    lines.iter().filter_map(number).collect()
}

/// The stamp of a file; none of what is no file or a link.
fn stamp(file: &Path) -> Stamp {
    let metadata = fs::symlink_metadata(file).ok().filter(fs::Metadata::is_file)?;
    Some((metadata.len(), metadata.modified().ok()?))
}

/// The rows of numbers of a run that a page may look at.
pub(super) fn log_file(run: &Path, name: &str) -> Option<PathBuf> {
    Some(run.join(name)).filter(|file| places::is_inside(file))
}
