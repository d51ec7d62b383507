//! What observes a run: every episode, every row of metrics, every evaluation goes to each of the run's sinks.
//!
//! The log files ([`CsvLog`]), TensorBoard's events ([`TensorBoard`]) and the progress bar of the command line are sinks, and
//! so is what a program adds to its [`Setup`](crate::runtime::Setup). A sink looks and may ask for a checkpoint or an end
//! ([`Signal`]); it cannot change a bit of the training.

mod csv;
mod kept;
mod rows;
mod tensorboard;

use std::path::Path;

use agon_agents::Weights;
use agon_agents::codec::decode;
use serde::de::DeserializeOwned;

use crate::RunError;
use crate::config::RunConfig;
pub use csv::{CsvLog, EVALUATION_COLUMNS, EVALUATIONS, METRIC_COLUMNS, TIMING_COLUMNS};
pub use rows::{
    EpisodeRow, Evaluation, MetricsRow, Outcome, Progress, RECENT_EPISODES, RETURN_METRIC, TimingRow,
};
pub use tensorboard::TensorBoard;

/// What a sink asks of the run that it observes. Of several sinks the strongest wish counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Go on.
    #[default]
    Continue,
    /// Take a checkpoint at the next possible point, and go on.
    Save,
    /// Take a checkpoint at the next possible point, and stop there; the run can be resumed.
    Stop,
}

/// What a sink is told when a run begins or goes on.
#[derive(Clone, Copy, Debug)]
pub struct Beginning<'a> {
    /// The run's directory.
    pub path: &'a Path,
    /// Its complete configuration.
    pub config: &'a RunConfig,
    /// Names of the learner's metrics.
    pub metric_names: &'a [&'static str],
    /// Names of the environment's own metrics.
    pub env_metrics: &'a [String],
    /// Acting rows of an environment.
    pub num_agents: usize,
    /// What whoever watches should know before it begins: a damaged checkpoint that was passed over, another length than the
    /// run had before.
    pub notes: &'a [String],
    /// What [`Sink::save`] gave at the checkpoint that the run goes on from; none of a run that begins, or that had no such
    /// sink then.
    pub saved: Option<&'a [u8]>,
}

impl Beginning<'_> {
    /// What a sink has saved, from its bytes.
    fn saved_state<T: DeserializeOwned>(&self, saved: &[u8]) -> Result<T, RunError> {
        decode(saved).map_err(|error| {
            let message = format!("what the checkpoint has noted of log files: {error}");
            RunError::Directory { path: self.path.to_owned(), message }
        })
    }
}

/// Observes a run. All hooks but the name have defaults that do nothing.
///
/// An error of a sink ends the run; what it has saved stays whole.
pub trait Sink: Send {
    /// Under which its state is kept in checkpoints; different for all sinks of a run.
    fn name(&self) -> &str;

    /// The run begins or goes on.
    ///
    /// # Errors
    /// If it cannot observe this run.
    fn begin(&mut self, _beginning: &Beginning<'_>) -> Result<(), RunError> {
        Ok(())
    }

    /// An episode has ended. Called in the order of their ends.
    ///
    /// # Errors
    /// If it cannot be kept.
    fn episode(&mut self, _row: &EpisodeRow<'_>) -> Result<(), RunError> {
        Ok(())
    }

    /// A row of metrics is due: at most one an iteration (`runtime.log_every`).
    ///
    /// # Errors
    /// If it cannot be kept.
    fn metrics(&mut self, _row: &MetricsRow<'_>, _timing: &TimingRow) -> Result<(), RunError> {
        Ok(())
    }

    /// An evaluation took place.
    ///
    /// # Errors
    /// If it cannot be kept.
    fn evaluation(&mut self, _iteration: u64, _evaluation: &Evaluation) -> Result<(), RunError> {
        Ok(())
    }

    /// An iteration is over. The answer is heeded at its end or at that of the next one, which may have begun.
    ///
    /// # Errors
    /// If it cannot go on.
    fn iteration(&mut self, _progress: &Progress<'_>) -> Result<Signal, RunError> {
        Ok(Signal::Continue)
    }

    /// Something is wrong that ends nothing: to be said to a user.
    fn warning(&mut self, _message: &str) {}

    /// Asked now and then within long work, such as an evaluation. [`Signal::Stop`] ends it at once: what it would have given is
    /// lost, and the run stops at its last checkpoint, from which it does it again.
    fn poll(&mut self) -> Signal {
        Signal::Continue
    }

    /// A checkpoint is about to be taken: the learner's parameters as they are. Only of runs that ask for it
    /// (`runtime.histograms`).
    ///
    /// # Errors
    /// If it cannot be kept.
    fn weights(&mut self, _env_steps: u64, _weights: &Weights) -> Result<(), RunError> {
        Ok(())
    }

    /// A checkpoint is taken: makes what was written durable, and gives what is needed to go on from here.
    ///
    /// # Errors
    /// If it cannot be written.
    fn save(&mut self) -> Result<Vec<u8>, RunError> {
        Ok(Vec::new())
    }

    /// The run is over.
    ///
    /// # Errors
    /// If it cannot end.
    fn end(&mut self, _outcome: &Outcome) -> Result<(), RunError> {
        Ok(())
    }
}

/// What [`watch`] makes.
pub struct Watch<F>(F);

impl<F: FnMut(&Progress<'_>) -> bool + Send> Sink for Watch<F> {
    fn name(&self) -> &str {
        "watch"
    }

    fn iteration(&mut self, progress: &Progress<'_>) -> Result<Signal, RunError> {
        Ok(if (self.0)(progress) { Signal::Continue } else { Signal::Stop })
    }
}

/// A sink of a function that is called after each iteration; false asks for a checkpoint and the end.
pub fn watch<F: FnMut(&Progress<'_>) -> bool + Send>(f: F) -> Watch<F> {
    Watch(f)
}

/// The sinks of one run, as one.
#[derive(Default)]
pub(crate) struct Sinks<'a>(Vec<Box<dyn Sink + 'a>>);

impl<'a> Sinks<'a> {
    pub(crate) fn push(&mut self, sink: Box<dyn Sink + 'a>) {
        self.0.push(sink);
    }

    /// Begins all of them, each with what it saved.
    pub(crate) fn begin(
        &mut self,
        beginning: &Beginning<'_>,
        saved: &[(String, Vec<u8>)],
    ) -> Result<(), RunError> {
        for sink in &mut self.0 {
            let own = saved.iter().find(|(name, _)| name == sink.name());
            sink.begin(&Beginning { saved: own.map(|(_, saved)| saved.as_slice()), ..*beginning })?;
        }
        Ok(())
    }

    pub(crate) fn episode(&mut self, row: &EpisodeRow<'_>) -> Result<(), RunError> {
        self.0.iter_mut().try_for_each(|sink| sink.episode(row))
    }

    pub(crate) fn metrics(&mut self, row: &MetricsRow<'_>, timing: &TimingRow) -> Result<(), RunError> {
        self.0.iter_mut().try_for_each(|sink| sink.metrics(row, timing))
    }

    pub(crate) fn evaluation(&mut self, iteration: u64, evaluation: &Evaluation) -> Result<(), RunError> {
        self.0.iter_mut().try_for_each(|sink| sink.evaluation(iteration, evaluation))
    }

    pub(crate) fn iteration(&mut self, progress: &Progress<'_>) -> Result<Signal, RunError> {
        let mut strongest = Signal::Continue;
        for sink in &mut self.0 {
            strongest = strongest.max(sink.iteration(progress)?);
        }
        Ok(strongest)
    }

    pub(crate) fn warning(&mut self, message: &str) {
        self.0.iter_mut().for_each(|sink| sink.warning(message));
    }

    /// Whether long work is to end at once.
    pub(crate) fn is_stopped(&mut self) -> bool {
        self.0.iter_mut().any(|sink| sink.poll() == Signal::Stop)
    }

    pub(crate) fn weights(&mut self, env_steps: u64, weights: &Weights) -> Result<(), RunError> {
        self.0.iter_mut().try_for_each(|sink| sink.weights(env_steps, weights))
    }

    /// What every sink goes on from, by name.
    pub(crate) fn save(&mut self) -> Result<Vec<(String, Vec<u8>)>, RunError> {
        self.0.iter_mut().map(|sink| Ok((sink.name().to_owned(), sink.save()?))).collect()
    }

    pub(crate) fn end(&mut self, outcome: &Outcome) -> Result<(), RunError> {
        self.0.iter_mut().try_for_each(|sink| sink.end(outcome))
    }
}
