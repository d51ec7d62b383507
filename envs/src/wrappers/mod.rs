//! Wrappers: parts that change what an agent sees of an environment or does to it, stacked by configuration or in code.
//!
//! A [`Wrapper`] is a set of hooks: actions on their way in, outcomes and observations on their way out. [`Wrapped`] puts
//! one around a [`VectorEnv`] and is a [`VectorEnv`] itself. Hooks work on whole batches and in place where the
//! observation keeps its size, so a wrapper costs the work it does and no copy more. The first of a list is the innermost.
//!
//! Random wrappers own a stream for each row, grown from the environment's seed and the wrapper's place in the stack:
//! a row's trajectory never depends on what else is in the batch.

mod actions;
mod config;
mod fairness;
mod frame_stack;
mod images;
mod normalize;
mod observations;
mod outcomes;
mod pictures;
mod privileged;
mod video;
mod wrapped;

use crate::batch::EpisodeStats;
use crate::vector::{RowSet, VectorEnv, VectorInfo};
use crate::{ActionBatch, EnvError, ObsBuffer, Seed, StepBatch};

pub use actions::{ActionRepeat, ClipAction, RescaleAction, StickyAction};
pub use config::WrapperConfig;
pub use fairness::{FairnessPenalty, Parity};
pub use frame_stack::FrameStack;
pub use images::{RandomCrop, RandomShift};
pub use normalize::{NormalizeObservation, NormalizeReward};
pub use observations::{FlattenObservation, MaskObservation, ObservationNoise};
pub use outcomes::{ClipReward, RecordStatistics, TimeLimit};
pub use pictures::RenderObservation;
pub(crate) use privileged::Privileged;
pub use video::RecordVideo;
pub use wrapped::Wrapped;

pub use crate::columns::Column;
pub use crate::frames::{Frames, Padding};
pub use crate::statistics::{Moments, RunningStatistics};

/// Whether rows have just been reset or stepped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// An episode began: the observation is its first.
    Reset,
    /// A step was taken.
    Step,
}

/// What a hook may look at while it changes a batch.
pub struct Context<'a> {
    /// The rows concerned.
    pub rows: &'a RowSet,
    /// What happened to them.
    pub moment: Moment,
    /// The observations inside, `[N, O]`, if the wrapper changes their size or space; else none, and the batch holds
    /// them, to be changed in place.
    pub inner: Option<&'a ObsBuffer>,
    /// The wrapped environment, for pictures.
    pub env: &'a mut dyn VectorEnv,
}

/// The hooks of a wrapper. All have defaults that do nothing.
pub trait Wrapper: Send {
    /// Its name in configurations and snapshots.
    fn name(&self) -> &'static str;

    /// Sizes and spaces outside, from those inside.
    ///
    /// # Errors
    /// [`EnvError::Wrapper`] if it does not fit the environment inside.
    fn info(&self, inner: &VectorInfo) -> Result<VectorInfo, EnvError> {
        Ok(inner.clone())
    }

    /// Whether it changes observations. One that says so never changes what the environment inside goes on from: where that
    /// is the caller's buffer, as with a frame stack, it works on a copy.
    fn changes_observations(&self) -> bool {
        true
    }

    /// Whether it goes on from the observations that the caller's buffer holds; see [`VectorEnv::reads_back`].
    fn reads_back(&self) -> bool {
        false
    }

    /// How observations outside repeat earlier ones, from how those inside do. A wrapper that leaves observations and the
    /// number of steps alone hands on what it gets.
    fn frames(&self, inner: Option<Frames>) -> Option<Frames> {
        if self.changes_observations() || self.repeats() > 1 { None } else { inner }
    }

    /// Steps of the environment inside for each one outside; at least 1.
    fn repeats(&self) -> u32 {
        1
    }

    /// Whether [`Wrapper::actions`] changes actions: else they are handed through without a copy.
    fn changes_actions(&self) -> bool {
        false
    }

    /// Changes the actions of the active rows on their way in.
    fn actions(&mut self, _actions: &mut ActionBatch, _active: &RowSet) {}

    /// Gets the seeds of all environments before they are reset.
    fn seed(&mut self, _seeds: &[Seed], _info: &VectorInfo) {}

    /// Gets another seed of one environment, whose state stays.
    fn reseed(&mut self, _env: usize, _seed: &Seed, _info: &VectorInfo) {}

    /// Changes the batch on its way out: observations, rewards and flags of the rows concerned.
    ///
    /// # Errors
    /// If it cannot do its work, such as writing a file.
    fn after(&mut self, _context: Context<'_>, _out: &mut StepBatch) -> Result<(), EnvError> {
        Ok(())
    }

    /// Return and length so far of a row's episode, if this wrapper counts them.
    fn episode(&self, _row: usize) -> Option<EpisodeStats> {
        None
    }

    /// What a teacher sees of each row, `[N, Q]`, if this wrapper keeps it.
    fn privileged(&self) -> Option<&ObsBuffer> {
        None
    }

    /// The running statistics, if it has any.
    fn statistics(&mut self) -> Option<&mut RunningStatistics> {
        None
    }

    /// Visits the columns of its state that belong to rows, in a fixed order. Nothing else is needed for them to be part of
    /// snapshots and to follow an environment that is saved, loaded or forked.
    fn visit_columns(&mut self, _visit: &mut dyn FnMut(&mut dyn Column)) {}

    /// The state that belongs to no row, such as running statistics.
    ///
    /// # Errors
    /// [`EnvError::Snapshot`].
    fn save_shared(&self) -> Result<Vec<u8>, EnvError> {
        Ok(Vec::new())
    }

    /// Takes on a state saved by [`Wrapper::save_shared`].
    ///
    /// # Errors
    /// [`EnvError::Snapshot`] if it does not fit or is damaged.
    fn load_shared(&mut self, _bytes: &[u8]) -> Result<(), EnvError> {
        Ok(())
    }
}

/// A wrapper that does not fit, or is set up wrongly.
fn refused(wrapper: &'static str, message: impl Into<String>) -> EnvError {
    EnvError::Wrapper { wrapper, message: message.into() }
}

#[cfg(test)]
mod tests;
