//! What a run writes as it goes: CSV files and TensorBoard events.
//!
//! What the configuration decides and what the clock decides never share a file: `metrics.csv`, `episodes.csv` and
//! `evaluations.csv` of a resumed run equal those of an uninterrupted one to the byte, `timing.csv` holds the rest.
//! Checkpoints note how long each file was; resuming cuts them there.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::RunDirectory;
use crate::RunError;
use crate::error::AtPath;
use crate::evaluate::Evaluation;
use crate::tensorboard::EventWriter;

/// Columns of `metrics.csv` before the learner's.
pub const METRIC_COLUMNS: [&str; 6] =
    ["iteration", "global_step", "updates", "episodes", "charts/episodic_return", "charts/episodic_length"];
/// Columns of `timing.csv`.
pub const TIMING_COLUMNS: [&str; 8] = [
    "iteration",
    "global_step",
    "seconds",
    "steps_per_second",
    "policy_lag",
    "learner_wait_s",
    "worker_blocked_s",
    "learn_s",
];
/// Columns of `evaluations.csv`.
pub const EVALUATION_COLUMNS: [&str; 8] = [
    "iteration",
    "global_step",
    "eval/episodes",
    "eval/mean_return",
    "eval/std_return",
    "eval/min_return",
    "eval/max_return",
    "eval/mean_length",
];
const EPISODE_COLUMNS: [&str; 5] = ["episode", "global_step", "env", "episodic_return", "episodic_length"];
/// The file of evaluations.
pub const EVALUATIONS: &str = "evaluations.csv";
const EVENTS_PREFIX: &str = "events.out.tfevents.";

/// One row of `metrics.csv`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MetricsRow<'a> {
    pub(crate) iteration: u64,
    pub(crate) env_steps: u64,
    pub(crate) updates: u64,
    pub(crate) episodes: u64,
    pub(crate) mean_return: f64,
    pub(crate) mean_length: f64,
    pub(crate) learner: &'a [f64],
}

/// One row of `episodes.csv`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EpisodeRow {
    pub(crate) episode: u64,
    pub(crate) env_steps: u64,
    pub(crate) env: usize,
    pub(crate) episode_return: f64,
    pub(crate) episode_length: u32,
}

/// The columns of `timing.csv` after iteration and step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimingRow {
    pub(crate) seconds: f64,
    pub(crate) steps_per_second: f64,
    pub(crate) policy_lag: f64,
    pub(crate) learner_wait_s: f64,
    pub(crate) worker_blocked_s: f64,
    pub(crate) learn_s: f64,
}

/// The log files of a run.
#[derive(Debug)]
pub(crate) struct RunLog {
    metrics: Csv,
    episodes: Csv,
    timing: Csv,
    /// Only of a run with evaluations.
    evaluations: Option<Csv>,
    events: EventWriter,
    metric_names: &'static [&'static str],
}

impl RunLog {
    /// Starts the files of a new run.
    pub(crate) fn create(
        run: &RunDirectory,
        metric_names: &'static [&'static str],
        evaluates: bool,
    ) -> Result<Self, RunError> {
        remove_events(run.path())?;
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let events_path = run.file(&format!("{EVENTS_PREFIX}{seconds}.agon"));
        let metric_columns: Vec<&str> = METRIC_COLUMNS.iter().chain(metric_names).copied().collect();
        Ok(Self {
            metrics: Csv::create(run.file("metrics.csv"), &metric_columns)?,
            episodes: Csv::create(run.file("episodes.csv"), &EPISODE_COLUMNS)?,
            timing: Csv::create(run.file("timing.csv"), &TIMING_COLUMNS)?,
            evaluations: evaluates
                .then(|| Csv::create(run.file(EVALUATIONS), &EVALUATION_COLUMNS))
                .transpose()?,
            events: EventWriter::create(&events_path)?,
            metric_names,
        })
    }

    /// Reopens the files of a run, cut to the lengths that its checkpoint noted.
    pub(crate) fn reopen(
        run: &RunDirectory,
        metric_names: &'static [&'static str],
        evaluates: bool,
        lengths: &[u64],
    ) -> Result<Self, RunError> {
        let expected = 4 + usize::from(evaluates);
        let (&[metrics, episodes, timing, events, ref evaluations @ ..], true) =
            (lengths, lengths.len() == expected)
        else {
            let found = lengths.len();
            let message = format!("expected a checkpoint that notes {expected} log lengths, found {found}");
            return Err(RunError::Directory { path: run.path().to_owned(), message });
        };
        let Some(events_path) = find_events(run.path())?.pop() else {
            return Err(missing(run, EVENTS_PREFIX));
        };
        cut(&events_path, events)?;
        Ok(Self {
            metrics: Csv::reopen(run.file("metrics.csv"), metrics)?,
            episodes: Csv::reopen(run.file("episodes.csv"), episodes)?,
            timing: Csv::reopen(run.file("timing.csv"), timing)?,
            evaluations: evaluations
                .first()
                .map(|&length| Csv::reopen(run.file(EVALUATIONS), length))
                .transpose()?,
            events: EventWriter::append(&events_path)?,
            metric_names,
        })
    }

    pub(crate) fn episode(&mut self, row: &EpisodeRow) -> Result<(), RunError> {
        let EpisodeRow { episode, env_steps, env, episode_return, episode_length } = row;
        self.episodes.line(format_args!("{episode},{env_steps},{env},{episode_return},{episode_length}"))
    }

    /// Writes an iteration's rows and flushes all files.
    pub(crate) fn iteration(&mut self, row: &MetricsRow<'_>, timing: &TimingRow) -> Result<(), RunError> {
        let MetricsRow { iteration, env_steps, updates, episodes, mean_return, mean_length, learner } = *row;
        let mut line = format!("{iteration},{env_steps},{updates},{episodes}");
        for value in [mean_return, mean_length].iter().chain(learner) {
            line.push(',');
            // What there is not yet stays empty.
            if !value.is_nan() {
                line.push_str(&value.to_string());
            }
        }
        self.metrics.line(format_args!("{line}"))?;
        let TimingRow { seconds, steps_per_second, policy_lag, learner_wait_s, worker_blocked_s, learn_s } =
            *timing;
        self.timing.line(format_args!(
            "{iteration},{env_steps},{seconds:.6},{steps_per_second:.1},{policy_lag:.3},{learner_wait_s:.6},{worker_blocked_s:.6},{learn_s:.6}"
        ))?;
        self.scalars(row, timing)?;
        self.flush()
    }

    /// Writes an evaluation's row.
    pub(crate) fn evaluation(&mut self, iteration: u64, evaluation: &Evaluation) -> Result<(), RunError> {
        let Evaluation {
            env_steps,
            episodes,
            mean_return,
            std_return,
            min_return,
            max_return,
            mean_length,
            ..
        } = *evaluation;
        if let Some(csv) = &mut self.evaluations {
            csv.line(format_args!(
                "{iteration},{env_steps},{episodes},{mean_return},{std_return},{min_return},{max_return},{mean_length}"
            ))?;
        }
        let wall_time = wall_time();
        let values = [mean_return, std_return, min_return, max_return, mean_length];
        for (tag, value) in EVALUATION_COLUMNS[3..].iter().zip(values) {
            self.events.scalar(tag, env_steps, wall_time, value)?;
        }
        self.flush()
    }

    fn scalars(&mut self, row: &MetricsRow<'_>, timing: &TimingRow) -> Result<(), RunError> {
        let wall_time = wall_time();
        let fixed = [
            ("charts/episodic_return", row.mean_return),
            ("charts/episodic_length", row.mean_length),
            ("charts/SPS", timing.steps_per_second),
        ];
        let learner = self.metric_names.iter().copied().zip(row.learner.iter().copied());
        for (tag, value) in fixed.into_iter().chain(learner) {
            if !value.is_nan() {
                self.events.scalar(tag, row.env_steps, wall_time, value)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), RunError> {
        let fixed = [&mut self.metrics, &mut self.episodes, &mut self.timing];
        for csv in fixed.into_iter().chain(&mut self.evaluations) {
            csv.file.flush().at("cannot write", &csv.path)?;
        }
        Ok(self.events.flush()?)
    }

    /// Flushes and gives the files' lengths, in the order that [`RunLog::reopen`] takes.
    pub(crate) fn lengths(&mut self) -> Result<Vec<u64>, RunError> {
        self.flush()?;
        let fixed: [&Path; 4] =
            [&self.metrics.path, &self.episodes.path, &self.timing.path, self.events.path()];
        let paths = fixed.into_iter().chain(self.evaluations.iter().map(|csv| csv.path.as_path()));
        paths.map(|path| Ok(path.metadata().at("cannot read", path)?.len())).collect()
    }

    /// Makes what was written so far survive a power cut.
    pub(crate) fn sync(&self) -> Result<(), RunError> {
        for csv in [&self.metrics, &self.episodes, &self.timing].into_iter().chain(&self.evaluations) {
            csv.file.get_ref().sync_data().at("cannot write", &csv.path)?;
        }
        Ok(())
    }
}

/// Seconds since 1970, as TensorBoard wants them.
fn wall_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// A CSV file open for appending.
#[derive(Debug)]
struct Csv {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Csv {
    fn create(path: PathBuf, columns: &[&str]) -> Result<Self, RunError> {
        let file = File::create(&path).at("cannot create", &path)?;
        let mut csv = Self { path, file: BufWriter::new(file) };
        csv.line(format_args!("{}", columns.join(",")))?;
        Ok(csv)
    }

    fn reopen(path: PathBuf, length: u64) -> Result<Self, RunError> {
        let file = cut(&path, length)?;
        Ok(Self { path, file: BufWriter::new(file) })
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) -> Result<(), RunError> {
        writeln!(self.file, "{line}").at("cannot write", &self.path)
    }
}

/// Opens a file at its end after cutting it to a length that it must have reached.
fn cut(path: &Path, length: u64) -> Result<File, RunError> {
    let mut file = OpenOptions::new().write(true).open(path).at("cannot open", path)?;
    let found = file.metadata().at("cannot read", path)?.len();
    if found < length {
        let message =
            format!("expected at least the {length} bytes that the checkpoint noted, found {found}");
        return Err(RunError::Directory { path: path.to_owned(), message });
    }
    file.set_len(length).at("cannot cut", path)?;
    file.seek(SeekFrom::End(0)).at("cannot write", path)?;
    Ok(file)
}

fn find_events(directory: &Path) -> Result<Vec<PathBuf>, RunError> {
    let mut found = Vec::new();
    for entry in directory.read_dir().at("cannot read", directory)? {
        let entry = entry.at("cannot read", directory)?;
        if entry.file_name().to_string_lossy().starts_with(EVENTS_PREFIX) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn remove_events(directory: &Path) -> Result<(), RunError> {
    for path in find_events(directory)? {
        std::fs::remove_file(&path).at("cannot remove", &path)?;
    }
    Ok(())
}

fn missing(run: &RunDirectory, name: &str) -> RunError {
    let message = format!("expected a file {name}*, found none");
    RunError::Directory { path: run.path().to_owned(), message }
}
