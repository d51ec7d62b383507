//! A run's metrics as TensorBoard events, in one file that a resumed run goes on in.
//!
//! The file begins with the run's settings, as hyper-parameters that runs are compared by and as a text. A resume cuts it where
//! the checkpoint was taken: what came after is written again.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use agon_agents::Weights;
use agon_agents::codec::encode;

use super::csv::EVALUATION_COLUMNS;
use super::kept::{self, Counted, Kept};
use super::{Beginning, Evaluation, MetricsRow, Outcome, Sink, TimingRow};
use crate::RunError;
use crate::config::RunConfig;
use crate::error::AtPath;
use crate::tensorboard::{EventWriter, Hparam};

const EVENTS_PREFIX: &str = "events.out.tfevents.";

/// Writes `events.out.tfevents.*`.
#[derive(Debug, Default)]
pub struct TensorBoard {
    events: Option<EventWriter>,
    /// What of the file the last checkpoint has noted.
    counted: Counted,
    metric_names: Vec<&'static str>,
    env_metrics: Vec<String>,
}

impl TensorBoard {
    fn scalars<'a>(
        &mut self,
        env_steps: u64,
        values: impl Iterator<Item = (&'a str, f64)>,
    ) -> Result<(), RunError> {
        let Some(events) = &mut self.events else { return Ok(()) };
        let wall_time = wall_time();
        for (tag, value) in values.filter(|(_, value)| !value.is_nan()) {
            events.scalar(tag, env_steps, wall_time, value)?;
        }
        Ok(events.flush()?)
    }
}

impl Sink for TensorBoard {
    fn name(&self) -> &str {
        "tensorboard"
    }

    fn begin(&mut self, beginning: &Beginning<'_>) -> Result<(), RunError> {
        self.metric_names = beginning.metric_names.to_vec();
        self.env_metrics = beginning.env_metrics.to_vec();
        let directory = beginning.path;
        let broken = |message: String| RunError::Directory { path: directory.to_owned(), message };
        let Some(saved) = beginning.saved else {
            for path in find_events(directory)? {
                std::fs::remove_file(&path).at("cannot remove", &path)?;
            }
            let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let path = directory.join(format!("{EVENTS_PREFIX}{seconds}.agon"));
            let mut events = EventWriter::create(&path)?;
            let wall_time = wall_time();
            events.hparams(&hparams(beginning.config), wall_time)?;
            events.text("config", 0, wall_time, &config_text(beginning.config)?)?;
            self.events = Some(events);
            return Ok(());
        };
        let kept: Kept = beginning.saved_state(saved)?;
        let path = find_events(directory)?.pop();
        let path = path.ok_or_else(|| broken(format!("expected a file {EVENTS_PREFIX}*, found none")))?;
        (_, self.counted) = kept::reopen(&path, kept)?;
        self.events = Some(EventWriter::append(&path)?);
        Ok(())
    }

    fn metrics(&mut self, row: &MetricsRow<'_>, timing: &TimingRow) -> Result<(), RunError> {
        let fixed = [
            ("charts/episodic_return", row.mean_return),
            ("charts/episodic_length", row.mean_length),
            ("charts/SPS", timing.steps_per_second),
        ];
        let names: Vec<String> = self.env_metrics.iter().map(|name| format!("env/{name}")).collect();
        let of_env = names.iter().map(String::as_str).zip(row.env_metrics.iter().copied());
        let learner: Vec<(&str, f64)> =
            self.metric_names.iter().copied().zip(row.learner.iter().copied()).collect();
        self.scalars(row.env_steps, fixed.into_iter().chain(of_env).chain(learner))
    }

    fn evaluation(&mut self, _iteration: u64, evaluation: &Evaluation) -> Result<(), RunError> {
        let of_env = evaluation.env_metrics.iter().map(|(name, &value)| (format!("eval/{name}"), value));
        let of_env: Vec<(String, f64)> = of_env.collect();
        let of_env = of_env.iter().map(|(name, value)| (name.as_str(), *value));
        let fixed = EVALUATION_COLUMNS[3..].iter().copied().zip(evaluation.summary());
        self.scalars(evaluation.env_steps, fixed.chain(of_env))
    }

    fn weights(&mut self, env_steps: u64, weights: &Weights) -> Result<(), RunError> {
        let Some(events) = &mut self.events else { return Ok(()) };
        let wall_time = wall_time();
        for (name, _, values) in weights.iter() {
            events.histogram(&format!("weights/{name}"), env_steps, wall_time, values)?;
        }
        Ok(events.flush()?)
    }

    fn end(&mut self, outcome: &Outcome) -> Result<(), RunError> {
        let Some(events) = &mut self.events else { return Ok(()) };
        if outcome.finished {
            events.hparams_end(wall_time())?;
        }
        Ok(events.flush()?)
    }

    fn save(&mut self) -> Result<Vec<u8>, RunError> {
        let Some(events) = &mut self.events else { return Ok(Vec::new()) };
        events.flush()?;
        Ok(encode(&self.counted.up_to_end(events.path())?)?)
    }
}

/// The settings that decide a run, as TensorBoard takes them: lists as texts.
fn hparams(config: &RunConfig) -> Vec<(String, Hparam)> {
    let hparam = |value: toml::Value| match value {
        toml::Value::Boolean(value) => Hparam::Bool(value),
        toml::Value::Integer(number) => Hparam::Number(number as f64),
        toml::Value::Float(number) => Hparam::Number(number),
        toml::Value::String(text) => Hparam::Text(text),
        other => Hparam::Text(other.to_string()),
    };
    config.hyper_parameters().into_iter().map(|(key, value)| (key, hparam(value))).collect()
}

/// The whole configuration as a block of code in Markdown.
fn config_text(config: &RunConfig) -> Result<String, RunError> {
    let text = toml::to_string(config).map_err(|error| RunError::Config(error.to_string()))?;
    Ok(text.lines().map(|line| format!("    {line}\n")).collect())
}

/// Seconds since 1970, as TensorBoard wants them.
fn wall_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn row(sink: &mut TensorBoard, env_steps: u64) {
        let row = MetricsRow {
            iteration: 1,
            env_steps,
            updates: 1,
            episodes: 1,
            mean_return: env_steps as f64,
            mean_length: 1.0,
            env_metrics: &[],
            learner: &[],
        };
        let timing = TimingRow {
            seconds: 1.0,
            steps_per_second: 1.0,
            policy_lag: 0.0,
            learner_wait_s: 0.0,
            worker_blocked_s: 0.0,
            learn_s: 0.0,
        };
        sink.metrics(&row, &timing).unwrap();
    }

    #[test]
    fn a_resume_cuts_the_events_where_the_checkpoint_was_taken() {
        let directory = tempfile::tempdir().unwrap();
        let config = RunConfig::default();
        let begin = |saved: Option<&[u8]>| {
            let mut sink = TensorBoard::default();
            let beginning = Beginning {
                path: directory.path(),
                config: &config,
                metric_names: &[],
                env_metrics: &[],
                num_agents: 1,
                notes: &[],
                saved,
            };
            sink.begin(&beginning).unwrap();
            sink
        };
        let content = || std::fs::read(&find_events(directory.path()).unwrap()[0]).unwrap();
        let mut sink = begin(None);
        row(&mut sink, 100);
        let saved = sink.save().unwrap();
        let at_checkpoint = content();
        row(&mut sink, 200);
        drop(sink);
        assert!(content().len() > at_checkpoint.len());
        let sink = begin(Some(&saved));
        assert_eq!(content(), at_checkpoint, "steps after the checkpoint are taken again");
        drop(sink);
        for text in [&b"_hparams_/session_start_info"[..], b"total_timesteps = 500000"] {
            assert!(content().windows(text.len()).any(|bytes| bytes == text));
        }
    }
}
