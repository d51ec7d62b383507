//! The log files of a run.
//!
//! What the configuration decides and what the clock decides never share a file: `metrics.csv`, `episodes.csv` and
//! `evaluations.csv` of a resumed run equal those of an uninterrupted one to the byte, `timing.csv` holds the rest.
//! Checkpoints note how long each file was and the checksum of what it held; resuming makes sure of it and cuts them there.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use agon_agents::codec::encode;

use super::kept::{self, Counted, Kept};
use super::{Beginning, EpisodeRow, Evaluation, MetricsRow, Outcome, Sink, TimingRow};
use crate::RunError;
use crate::error::AtPath;

/// Columns of `metrics.csv` before the environment's and the learner's.
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
/// Columns of `evaluations.csv` before the environment's own metrics.
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
/// The column of `episodes.csv` that says which of an environment's agents an episode is of, if there are several.
const AGENT_COLUMN: &str = "agent";
/// The file of evaluations.
pub const EVALUATIONS: &str = "evaluations.csv";

/// Writes `metrics.csv`, `episodes.csv`, `timing.csv` and, of a run with evaluations, `evaluations.csv`.
#[derive(Debug, Default)]
pub struct CsvLog {
    files: Option<Files>,
}

#[derive(Debug)]
struct Files {
    metrics: Csv,
    episodes: Csv,
    timing: Csv,
    evaluations: Option<Csv>,
    num_agents: usize,
    env_metrics: Vec<String>,
}

impl Files {
    fn create(beginning: &Beginning<'_>) -> Result<Self, RunError> {
        let file = |name: &str| beginning.path.join(name);
        let of_env = |prefix: &str| -> Vec<String> {
            beginning.env_metrics.iter().map(|name| format!("{prefix}{name}")).collect()
        };
        let columns = |fixed: &[&str], more: &[String]| -> Vec<String> {
            fixed.iter().map(|&column| column.to_owned()).chain(more.iter().cloned()).collect()
        };
        let mut metric_columns = columns(&METRIC_COLUMNS, &of_env("env/"));
        metric_columns.extend(beginning.metric_names.iter().map(|&name| name.to_owned()));
        let mut episode_columns = columns(&EPISODE_COLUMNS, &[]);
        if beginning.num_agents > 1 {
            episode_columns.push(AGENT_COLUMN.to_owned());
        }
        episode_columns.extend(of_env("env/"));
        let evaluations = || Csv::create(file(EVALUATIONS), &columns(&EVALUATION_COLUMNS, &of_env("eval/")));
        Ok(Self {
            metrics: Csv::create(file("metrics.csv"), &metric_columns)?,
            episodes: Csv::create(file("episodes.csv"), &episode_columns)?,
            timing: Csv::create(file("timing.csv"), &columns(&TIMING_COLUMNS, &[]))?,
            evaluations: beginning.config.eval.is_on().then(evaluations).transpose()?,
            num_agents: beginning.num_agents,
            env_metrics: beginning.env_metrics.to_vec(),
        })
    }

    /// The files as they were at a checkpoint.
    fn reopen(beginning: &Beginning<'_>, kept: &[Kept]) -> Result<Self, RunError> {
        let file = |name: &str| beginning.path.join(name);
        let expected = 3 + usize::from(beginning.config.eval.is_on());
        let (&[metrics, episodes, timing, ref evaluations @ ..], true) = (kept, kept.len() == expected)
        else {
            let found = kept.len();
            let message = format!("expected a checkpoint that notes {expected} log files, found {found}");
            return Err(RunError::Directory { path: beginning.path.to_owned(), message });
        };
        let evaluations = evaluations.first().map(|&kept| Csv::reopen(file(EVALUATIONS), kept));
        Ok(Self {
            metrics: Csv::reopen(file("metrics.csv"), metrics)?,
            episodes: Csv::reopen(file("episodes.csv"), episodes)?,
            timing: Csv::reopen(file("timing.csv"), timing)?,
            evaluations: evaluations.transpose()?,
            num_agents: beginning.num_agents,
            env_metrics: beginning.env_metrics.to_vec(),
        })
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Csv> {
        [&mut self.metrics, &mut self.episodes, &mut self.timing].into_iter().chain(&mut self.evaluations)
    }

    fn flush(&mut self) -> Result<(), RunError> {
        self.all().try_for_each(|csv| csv.file.flush().at("cannot write", &csv.path))
    }
}

impl Sink for CsvLog {
    fn name(&self) -> &str {
        "csv"
    }

    fn begin(&mut self, beginning: &Beginning<'_>) -> Result<(), RunError> {
        self.files = Some(match beginning.saved {
            None => Files::create(beginning)?,
            Some(saved) => {
                let kept: Vec<Kept> = beginning.saved_state(saved)?;
                Files::reopen(beginning, &kept)?
            }
        });
        Ok(())
    }

    fn episode(&mut self, row: &EpisodeRow<'_>) -> Result<(), RunError> {
        let Some(files) = &mut self.files else { return Ok(()) };
        let EpisodeRow { episode, env_steps, env, agent, stats, env_metrics } = *row;
        let (episode_return, episode_length) = (stats.episode_return, stats.episode_length);
        let mut line = format!("{episode},{env_steps},{env},{episode_return},{episode_length}");
        if files.num_agents > 1 {
            line.push_str(&format!(",{agent}"));
        }
        push_values(&mut line, env_metrics);
        files.episodes.line(&line)
    }

    fn metrics(&mut self, row: &MetricsRow<'_>, timing: &TimingRow) -> Result<(), RunError> {
        let Some(files) = &mut self.files else { return Ok(()) };
        let MetricsRow { iteration, env_steps, updates, episodes, .. } = *row;
        let mut line = format!("{iteration},{env_steps},{updates},{episodes}");
        push_values(&mut line, &[row.mean_return, row.mean_length]);
        push_values(&mut line, row.env_metrics);
        push_values(&mut line, row.learner);
        files.metrics.line(&line)?;
        let TimingRow { seconds, steps_per_second, policy_lag, learner_wait_s, worker_blocked_s, learn_s } =
            *timing;
        files.timing.line(&format!(
            "{iteration},{env_steps},{seconds:.6},{steps_per_second:.1},{policy_lag:.3},{learner_wait_s:.6},{worker_blocked_s:.6},{learn_s:.6}"
        ))?;
        files.flush()
    }

    fn evaluation(&mut self, iteration: u64, evaluation: &Evaluation) -> Result<(), RunError> {
        let Some(files) = &mut self.files else { return Ok(()) };
        let Some(csv) = &mut files.evaluations else { return Ok(()) };
        let mut line = format!("{iteration},{},{}", evaluation.env_steps, evaluation.episodes);
        push_values(&mut line, &evaluation.summary());
        let of_env = files.env_metrics.iter().map(|name| evaluation.env_metrics.get(name).copied());
        push_values(&mut line, &of_env.map(|value| value.unwrap_or(f64::NAN)).collect::<Vec<_>>());
        csv.line(&line)?;
        files.flush()
    }

    fn save(&mut self) -> Result<Vec<u8>, RunError> {
        let Some(files) = &mut self.files else { return Ok(Vec::new()) };
        files.flush()?;
        let mut kept = Vec::new();
        for csv in files.all() {
            csv.file.get_ref().sync_data().at("cannot write", &csv.path)?;
            kept.push(csv.counted.up_to_end(&csv.path)?);
        }
        Ok(encode(&kept)?)
    }

    fn end(&mut self, _outcome: &Outcome) -> Result<(), RunError> {
        self.files.as_mut().map_or(Ok(()), Files::flush)
    }
}

/// Appends a column a value. What there is not yet stays empty.
fn push_values(line: &mut String, values: &[f64]) {
    for value in values {
        line.push(',');
        if !value.is_nan() {
            line.push_str(&value.to_string());
        }
    }
}

/// A CSV file open for appending.
#[derive(Debug)]
struct Csv {
    path: PathBuf,
    file: BufWriter<File>,
    /// What the last checkpoint has noted.
    counted: Counted,
}

impl Csv {
    fn create(path: PathBuf, columns: &[String]) -> Result<Self, RunError> {
        let file = File::create(&path).at("cannot create", &path)?;
        let mut csv = Self { path, file: BufWriter::new(file), counted: Counted::default() };
        csv.line(&columns.join(","))?;
        Ok(csv)
    }

    fn reopen(path: PathBuf, kept: Kept) -> Result<Self, RunError> {
        let (file, counted) = kept::reopen(&path, kept)?;
        Ok(Self { path, file: BufWriter::new(file), counted })
    }

    fn line(&mut self, line: &str) -> Result<(), RunError> {
        writeln!(self.file, "{line}").at("cannot write", &self.path)
    }
}
