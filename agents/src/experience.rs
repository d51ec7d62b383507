//! What a learner remembers and draws its minibatches from: a replay buffer, with priorities or without, and a generator.

use agon_envs::Pcg64;
use agon_nn::Schedule;
use serde::{Deserialize, Serialize};

use crate::chunks::ChunkStore;
use crate::learner::{RunInfo, stream};
use crate::replay::{Priorities, ReplayBuffer, ReplayShape, Sampling, SavedPriorities, SavedReplay};
use crate::{AgentError, Fragment};

/// What is drawn: single steps, or sequences of as many ticks, each named by its first step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Step,
    Sequence(usize),
}

/// A replay buffer and the minibatch that was drawn from it last.
#[derive(Debug)]
pub struct Experience {
    pub(crate) replay: ReplayBuffer,
    priorities: Option<Priorities>,
    beta: Schedule,
    unit: Unit,
    pub(crate) rng: Pcg64,
    /// Gradient updates taken.
    pub(crate) updates: u64,
    /// The units of the last minibatch, `[B]`.
    pub(crate) slots: Vec<u32>,
    /// Their importance weights, `[B]`; empty if all are one.
    pub(crate) weights: Vec<f32>,
    /// Whether it was recorded before the run, whose checkpoints then do not keep it.
    recorded: bool,
}

/// What is saved of one, beside the buffer's full chunks.
#[derive(Serialize, Deserialize)]
pub(crate) struct SavedExperience {
    /// None of what was recorded before the run.
    replay: Option<SavedReplay>,
    priorities: Option<SavedPriorities>,
    rng: Pcg64,
    updates: u64,
}

impl Experience {
    /// Without steps.
    pub(crate) fn new(
        capacity: usize,
        shape: ReplayShape,
        sampling: Sampling,
        unit: Unit,
        info: &RunInfo,
    ) -> Self {
        let replay = ReplayBuffer::new(capacity, shape);
        let (priorities, beta) = match sampling {
            Sampling::Uniform => (None, Schedule::constant(f64::NAN)),
            Sampling::Prioritized(prioritized) => {
                let priorities = Priorities::new(prioritized, replay.slots());
                (Some(priorities), prioritized.beta(info.total_timesteps))
            }
        };
        let rng = Pcg64::seed_from(stream(info.seed, 1));
        let (recorded, slots, weights) = (info.recorded_alone().is_some(), Vec::new(), Vec::new());
        Self { replay, priorities, beta, unit, rng, updates: 0, slots, weights, recorded }
    }

    /// Adds the steps of fragments.
    pub(crate) fn remember(&mut self, fragments: &[Fragment]) {
        let Self { replay, priorities, unit, .. } = self;
        for fragment in fragments {
            replay.extend(fragment, |slot, learnable| {
                if let Some(priorities) = priorities {
                    priorities.added(slot, learnable && *unit == Unit::Step);
                }
            });
            if let (Unit::Sequence(len), Some(priorities)) = (&unit, &mut *priorities) {
                let whole = replay.newest_sequences(fragment.shard, *len);
                whole.for_each(|slot| priorities.added(slot, true));
            }
        }
    }

    /// Units held.
    pub(crate) fn held(&self) -> usize {
        match self.unit {
            Unit::Step => self.replay.len(),
            Unit::Sequence(len) => self.replay.sequences(len),
        }
    }

    /// Draws the next minibatch of so many units.
    pub(crate) fn draw(&mut self, count: usize, env_steps: u64) {
        self.slots.clear();
        self.weights.clear();
        let (held, beta) = (self.held(), self.beta(env_steps));
        let Self { replay, priorities, rng, slots, weights, .. } = self;
        match (priorities, self.unit) {
            (Some(priorities), _) => priorities.sample(count, held, beta, rng, slots, weights),
            (None, Unit::Step) => replay.sample(count, rng, slots),
            (None, Unit::Sequence(len)) => replay.sample_sequences(len, count, rng, slots),
        }
    }

    /// Sets the priorities of some units of the last minibatch by the errors that they were learned from with.
    pub(crate) fn learned_from(&mut self, units: std::ops::Range<usize>, errors: &[f32]) {
        if let Some(priorities) = &mut self.priorities {
            priorities.update(&self.slots[units], errors);
        }
    }

    /// A seed of new networks where an update begins with such: every so many updates, if at all.
    ///
    /// # Source
    /// Nikishin et al. (2022), arXiv:2205.07802; D'Oro et al. (2023), "Sample-efficient reinforcement learning by breaking the
    /// replay ratio barrier": what was learned first is forgotten, what was seen is kept.
    pub(crate) fn reset_seed(&mut self, every: Option<u64>) -> Option<u64> {
        let due = every.is_some_and(|every| self.updates > 0 && self.updates.is_multiple_of(every));
        due.then(|| self.rng.next_u64())
    }

    /// How much of the bias of priorities is undone; NaN without.
    pub(crate) fn beta(&self, env_steps: u64) -> f64 {
        self.beta.at(env_steps)
    }

    /// Bytes that a full buffer takes with its priorities.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.replay.memory_bytes() + self.priorities.as_ref().map_or(0, Priorities::memory_bytes)
    }

    /// Hands the buffer's full chunks to the store and gives the rest; nothing of what was recorded before the run.
    ///
    /// # Errors
    /// If a chunk cannot be kept.
    pub(crate) fn save(&self, chunks: &mut dyn ChunkStore) -> Result<SavedExperience, AgentError> {
        Ok(SavedExperience {
            replay: if self.recorded { None } else { Some(self.replay.save(chunks)?) },
            priorities: self.priorities.as_ref().map(Priorities::save),
            rng: self.rng.clone(),
            updates: self.updates,
        })
    }

    /// As this one, with a saved state.
    ///
    /// # Errors
    /// [`AgentError::Restore`] if it is of another shape or damaged, [`AgentError::Chunk`] if a chunk is missing.
    pub(crate) fn restored(
        &self,
        saved: SavedExperience,
        chunks: &dyn ChunkStore,
    ) -> Result<Self, AgentError> {
        let SavedExperience { replay, priorities, rng, updates } = saved;
        let priorities = match (&self.priorities, priorities) {
            (Some(priorities), Some(saved)) => Some(priorities.restored(saved)?),
            (None, None) => None,
            (expected, _) => {
                let expected = if expected.is_some() { "priorities" } else { "no priorities" };
                return Err(AgentError::Restore(format!("expected a replay buffer with {expected}")));
            }
        };
        let replay = match (replay, self.recorded) {
            (Some(replay), false) => self.replay.restored(replay, chunks)?,
            (None, true) => self.replay.clone(),
            (_, recorded) => {
                let expected = if recorded { "recorded before the run" } else { "of the run itself" };
                return Err(AgentError::Restore(format!("expected experience that was {expected}")));
            }
        };
        let (beta, unit, recorded) = (self.beta, self.unit, self.recorded);
        let (slots, weights) = (Vec::new(), Vec::new());
        Ok(Self { replay, priorities, beta, unit, rng, updates, slots, weights, recorded })
    }
}
