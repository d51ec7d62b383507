//! A run's metrics as TensorBoard events, in one file that a resumed run goes on in.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use agon_agents::codec::encode;

use super::csv::EVALUATION_COLUMNS;
use super::kept::{self, Counted, Kept};
use super::{Beginning, Evaluation, MetricsRow, Sink, TimingRow};
use crate::RunError;
use crate::error::AtPath;
use crate::tensorboard::EventWriter;

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
            self.events = Some(EventWriter::create(&path)?);
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

    fn save(&mut self) -> Result<Vec<u8>, RunError> {
        let Some(events) = &mut self.events else { return Ok(Vec::new()) };
        events.flush()?;
        Ok(encode(&self.counted.up_to_end(events.path())?)?)
    }
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
