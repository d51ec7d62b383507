//! What a learner remembers and draws its minibatches from: a replay buffer, with priorities or without, and a generator.
//!
//! What was recorded before a run that acts too is a part of the buffer that is drawn by itself: of each minibatch, one share is
//! recorded and the rest the run's own (Ball et al. 2023, arXiv:2302.02948, "symmetric sampling").

use std::sync::Arc;

use agon_envs::Pcg64;
use agon_envs::random::SeedSequence;
use agon_nn::Schedule;
use serde::{Deserialize, Serialize};

use crate::chunks::ChunkStore;
use crate::learner::{RunInfo, stream};
use crate::replay::{
    Priorities, ReplayBuffer, ReplayShape, RowStore, Sampling, SavedPriorities, SavedReplay,
};
use crate::{AgentError, Fragment};

/// Key of the stream of seeds of draws from recorded experience.
const DRAWS: u32 = 16;

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
    /// Share of a minibatch that was recorded before the run, of a run that acts too.
    share: Option<f64>,
    /// Seed of the draws from what was recorded, of a run that has nothing else: each of them is known before its turn.
    draws: u64,
    /// Where what was observed before the run is kept, if not in memory.
    away: Option<Arc<dyn RowStore>>,
    /// Whether what steps led to is read too.
    pub(crate) reads_next: bool,
}

/// What is saved of one, beside the buffer's full chunks.
#[derive(Serialize, Deserialize)]
pub(crate) struct SavedExperience {
    /// None of what was recorded before the run.
    replay: Option<SavedReplay>,
    priorities: Option<SavedPriorities>,
    rng: Pcg64,
    draws: u64,
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
        let (mut replay, beside) = (ReplayBuffer::new(capacity, shape), info.recorded_beside());
        if let Some(recorded) = beside {
            replay = replay.with_recorded(recorded.steps as usize);
        }
        let (priorities, beta) = match sampling {
            Sampling::Uniform => (None, Schedule::constant(f64::NAN)),
            Sampling::Prioritized(prioritized) => {
                let priorities = Priorities::new(prioritized, replay.slots());
                (Some(priorities), prioritized.beta(info.total_timesteps))
            }
        };
        let rng = Pcg64::seed_from(stream(info.seed, 1));
        let (recorded, slots, weights) = (info.recorded_alone().is_some(), Vec::new(), Vec::new());
        let share = beside.map(|recorded| recorded.share);
        let draws = stream(info.seed, DRAWS);
        Self {
            replay,
            priorities,
            beta,
            unit,
            rng,
            updates: 0,
            slots,
            weights,
            recorded,
            share,
            draws,
            away: None,
            reads_next: true,
        }
    }

    /// Keeps what was observed before the run elsewhere than in memory, from now on.
    pub(crate) fn keep_recorded_in(&mut self, store: Arc<dyn RowStore>) {
        self.away = Some(store);
    }

    /// Adds steps that were recorded before the run.
    ///
    /// # Errors
    /// If they are kept elsewhere and cannot be.
    pub(crate) fn remember_recorded(&mut self, fragment: &Fragment) -> Result<(), AgentError> {
        match self.share {
            Some(_) => self.replay.extend_recorded(fragment),
            None => self.remember(std::slice::from_ref(fragment)),
        }
        self.away.as_ref().map_or(Ok(()), |store| self.replay.put_away(store))
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

    /// Units of the run's own, or all that it learns from, that are held.
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
        if self.recorded && self.priorities.is_none() && self.unit == Unit::Step {
            self.draw_recorded(count);
            return;
        }
        let Self { replay, priorities, rng, slots, weights, share, .. } = self;
        match (priorities, self.unit) {
            (Some(priorities), _) => priorities.sample(count, held, beta, rng, slots, weights),
            (None, Unit::Step) => match share {
                Some(share) => draw_both(replay, count, *share, rng, slots),
                None => replay.sample(count, rng, slots),
            },
            (None, Unit::Sequence(len)) => replay.sample_sequences(len, count, rng, slots),
        }
        if let Some(store) = &self.away {
            store.expect(self.replay.places(&self.slots, self.reads_next));
        }
    }

    /// Draws the minibatch of this update from what was recorded, and has that of the next one brought near.
    fn draw_recorded(&mut self, count: usize) {
        let draw = |replay: &ReplayBuffer, update: u64, slots: &mut Vec<u32>| {
            let mut rng = Pcg64::from_sequence(&SeedSequence::with_spawn_key(
                self.draws,
                &[update as u32, (update >> 32) as u32],
            ));
            replay.sample(count, &mut rng, slots);
        };
        draw(&self.replay, self.updates, &mut self.slots);
        if let Some(store) = &self.away {
            let mut next = Vec::with_capacity(count);
            draw(&self.replay, self.updates + 1, &mut next);
            store.expect(self.replay.places(&next, self.reads_next));
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
        let replay = match self.away {
            Some(_) => self.replay.memory_bytes_when_away(),
            None => self.replay.memory_bytes(),
        };
        replay + self.priorities.as_ref().map_or(0, Priorities::memory_bytes)
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
            draws: self.draws,
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
        let SavedExperience { replay, priorities, rng, draws, updates } = saved;
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
        let (beta, unit, recorded, share) = (self.beta, self.unit, self.recorded, self.share);
        let (slots, weights, away, reads_next) = (Vec::new(), Vec::new(), self.away.clone(), self.reads_next);
        Ok(Self {
            replay,
            priorities,
            beta,
            unit,
            rng,
            updates,
            slots,
            weights,
            recorded,
            share,
            draws,
            away,
            reads_next,
        })
    }
}

/// Draws steps of which a share was recorded and the others are the run's own, evenly among each other, so that each slice of a
/// minibatch has of both; only recorded ones where the run has none yet.
fn draw_both(replay: &ReplayBuffer, count: usize, share: f64, rng: &mut Pcg64, slots: &mut Vec<u32>) {
    let share = if replay.is_empty() { 1.0 } else { share };
    let before = |place: usize| (place as f64 * share).floor();
    for place in 0..count {
        if before(place + 1) > before(place) {
            replay.sample_recorded(1, rng, slots);
        } else {
            replay.sample(1, rng, slots);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learner::Recorded;
    use crate::test_support::{info_of_four_numbers, shape_of_four_numbers};

    /// Steps whose rewards count on from a number, the last of which ends an episode.
    fn fragment(steps: usize, first: f32) -> Fragment {
        let mut fragment = Fragment::new(&shape_of_four_numbers(steps));
        fragment.rewards.iter_mut().enumerate().for_each(|(t, reward)| *reward = first + t as f32);
        fragment.terminated[steps - 1] = true;
        fragment.final_rows = vec![steps as u32 - 1];
        fragment.final_observations.resize(4);
        fragment
    }

    fn experience(share: f64) -> Experience {
        let recorded = Some(Recorded { steps: 5, acts: true, share });
        let info = RunInfo { recorded, ..info_of_four_numbers(1) };
        let mut experience = Experience::new(8, ReplayShape::of(&info), Sampling::Uniform, Unit::Step, &info);
        experience.remember_recorded(&fragment(2, 100.0)).unwrap();
        experience.remember_recorded(&fragment(3, 200.0)).unwrap();
        experience
    }

    #[test]
    fn a_minibatch_has_its_share_of_recorded_steps_evenly_among_its_own() {
        for (share, expected) in [(0.5, [0, 1, 0, 1, 0, 1, 0, 1]), (0.25, [0, 0, 0, 1, 0, 0, 0, 1])] {
            let mut experience = experience(share);
            experience.draw(64, 0);
            assert!(experience.slots.iter().all(|&slot| experience.replay.reward(slot) >= 100.0));
            experience.remember(&[fragment(4, 1.0)]);
            experience.draw(64, 0);
            let recorded = |slot: &u32| usize::from(experience.replay.reward(*slot) >= 100.0);
            for part in experience.slots.chunks(8) {
                assert_eq!(part.iter().map(recorded).collect::<Vec<_>>(), expected);
            }
            let mut rewards: Vec<f32> =
                experience.slots.iter().map(|&slot| experience.replay.reward(slot)).collect();
            rewards.sort_by(f32::total_cmp);
            rewards.dedup();
            assert_eq!(rewards, [1.0, 2.0, 3.0, 4.0, 100.0, 101.0, 200.0, 201.0, 202.0]);
        }
    }

    #[test]
    fn recorded_steps_know_what_follows_them_and_are_not_saved() {
        let mut experience = experience(0.5);
        // More of its own than the buffer holds: what was recorded stays.
        (0..5).for_each(|_| experience.remember(&[fragment(4, 1.0)]));
        let replay = &experience.replay;
        let slot = (8..13).find(|&slot| replay.reward(slot) == 200.0).unwrap();
        let sum = replay.n_step(slot, 0.5, 9);
        assert_eq!((sum.reward, sum.steps, sum.discount), (200.0 + 100.5 + 50.5, 3, 0.0));
        assert_eq!(replay.reward(sum.last), 202.0);
        assert!(replay.next_action(slot).is_some() && replay.next_action(sum.last).is_none());
        let numbers: std::collections::BTreeSet<u64> = (0..13).map(|slot| replay.number(slot)).collect();
        assert_eq!(numbers.len(), 13);
        let mut chunks = crate::chunks::MemoryStore::default();
        let saved = experience.save(&mut chunks).unwrap();
        let restored = self::experience(0.5).restored(saved, &chunks).unwrap();
        assert!(restored.replay == experience.replay);
    }
}
