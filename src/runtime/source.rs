//! Where fragments come from.
//!
//! The learner does not care who acts: shards in this process ([`InProcess`](super::InProcess)), files, or other machines.
//! Whatever makes fragments is a [`FragmentSource`]; what comes from outside this process is validated before anything is
//! learned from it.

use std::sync::Arc;

use agon_agents::{Fragment, FragmentShape, RunInfo, Weights};

use crate::RunError;
use crate::acting::Acting;
use crate::config::RunConfig;

/// Makes the fragments that a run learns from.
///
/// # Design discussion
///
/// * An iteration is `begin`, `fragments`, `publish`, `recycle`. In lockstep mode a source acts between `begin` and
///   `fragments` only, with the policy published last, and gives one fragment of each shard in shard order; then runs are
///   reproducible. In asynchronous mode it may act all the time, and gives any `num_shards` fragments.
/// * `save` is called between two iterations, before the next `begin`. What it gives is handed to whatever makes the source
///   when the run is resumed.
pub trait FragmentSource: Send {
    /// Asks for the fragments of the next iteration. Called once before each [`FragmentSource::fragments`].
    ///
    /// # Errors
    /// If nobody is there to make them.
    fn begin(&mut self) -> Result<(), RunError>;

    /// The fragments of an iteration, as many as the run has shards. Waits for them; one that may wait long asks now and then
    /// whether its caller `gives_up`, and has none then.
    ///
    /// # Errors
    /// If acting failed.
    fn fragments(&mut self, gives_up: &mut dyn FnMut() -> bool) -> Result<Option<Vec<Fragment>>, RunError>;

    /// Says what the fragments that are begun from now on are acted with. `weights` gives those that its policy is made of, for
    /// whoever acts where the policy itself cannot go.
    fn publish(&mut self, acting: Arc<Acting>, weights: &dyn Fn() -> Weights);

    /// Takes fragments back that were learned from, so that their memory is used again.
    fn recycle(&mut self, _fragments: Vec<Fragment>) {}

    /// Everything that decides the next fragments.
    ///
    /// # Errors
    /// If it cannot be saved.
    fn save(&mut self) -> Result<Vec<u8>, RunError>;

    /// Whether fragments are to be validated before they are learned from.
    fn is_outside(&self) -> bool {
        true
    }

    /// Seconds, since the last call, that acting waited for the learner.
    fn take_blocked_s(&mut self) -> f64 {
        0.0
    }
}

/// What a source is made for.
#[derive(Clone, Debug)]
pub struct SourceContext<'a> {
    /// The run's complete configuration.
    pub config: &'a RunConfig,
    /// Spaces and sizes of the run.
    pub info: &'a RunInfo,
    /// The sizes of each fragment.
    pub shape: &'a FragmentShape,
    /// What the first fragments are acted with.
    pub acting: Arc<Acting>,
    /// The weights that its policy is made of.
    pub weights: &'a Weights,
    /// What [`FragmentSource::save`] gave at the checkpoint that the run goes on from.
    pub saved: Option<&'a [u8]>,
}

/// Makes the source of a run.
pub type MakeSource<'a> =
    dyn FnOnce(&SourceContext<'_>) -> Result<Box<dyn FragmentSource>, RunError> + Send + 'a;

/// Makes the sources of many runs.
pub type MakeSources = dyn Fn(&SourceContext<'_>) -> Result<Box<dyn FragmentSource>, RunError> + Send + Sync;
