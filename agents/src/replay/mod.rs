//! Experience replay: the newest steps of a run, column by column, and ways to draw from them.
//!
//! The main decision: a buffer holds *streams*, one a shard, of consecutive ticks, and not single transitions. What a step
//! led to is the observation of the tick after it, so no observation is kept twice; only what ended an episode is kept
//! beside it. A stack of frames is kept as its newest frame and put together when it is drawn, and bytes that are all 0 or
//! 255 as bits. n-step returns and sequences follow a row's ticks, so they know where an episode ended and where the data
//! end.
//!
//! A stream is a queue of chunks that do not change once they are full. Nothing is overwritten: the oldest chunk is
//! dropped when none of its ticks is needed. So a checkpoint writes the chunks that are new, see
//! [`ChunkStore`].
//!
//! What was recorded before the run, where the run has that beside its own steps, is a buffer of its own inside, whose slots
//! follow the run's: whoever reads a step need not know where it is from. It is drawn by itself
//! ([`ReplayBuffer::sample_recorded`]), never let go of and never saved.
//!
//! A step is named by its *slot*: `(stream * capacity + tick mod capacity) * N + row`, below [`ReplayBuffer::slots`]. It
//! stands for the same step until it is `capacity` ticks old.

mod away;
mod chunk;
pub(crate) mod column;
mod prioritized;
mod sequences;
mod stream;
mod sum_tree;

use std::sync::Arc;

use agon_envs::spaces::Dtype;
use agon_envs::{Action, Pcg64};
use agon_nn::{Input, Matrix};
use serde::{Deserialize, Serialize};

pub use away::RowStore;
pub use chunk::ReplayShape;
pub use prioritized::{Priorities, PrioritizedConfig, Sampling, SavedPriorities};
pub use sum_tree::SumTree;

use crate::chunks::ChunkStore;
use crate::{AgentError, Fragment, network};
use chunk::Flags;
use column::Element;
use stream::{Layout, SavedStream, Stream};

/// Bytes of a chunk, about: a file of this size is written in a few milliseconds.
const CHUNK_BYTES: u64 = 1 << 21;
/// A buffer has at least so many chunks, so that the part of the oldest that is no longer needed is small.
const CHUNKS: u64 = 8;

/// The newest steps of all streams.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayBuffer {
    layout: Layout,
    streams: Vec<Stream>,
    /// What was recorded before the run, beside its own steps.
    recorded: Option<Arc<ReplayBuffer>>,
}

/// What is saved of a buffer beside its full chunks.
#[derive(Debug, Serialize, Deserialize)]
pub struct SavedReplay {
    /// See [`Layout::sizes`].
    sizes: [u64; 6],
    streams: Vec<SavedStream>,
}

/// The sum of some rewards, and what follows them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NStep {
    /// `Σ_{k<m} γ^k r_{t+k}`.
    pub reward: f32,
    /// How many rewards, `m`.
    pub steps: usize,
    /// Factor of the value of what the last step led to: `γ^m`, or zero where it terminated.
    pub discount: f32,
    /// The last step.
    pub last: u32,
}

/// When something was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Where a step was taken.
    Before(u32),
    /// Where it led to: the final observation if it ended an episode.
    After(u32),
}

impl ReplayBuffer {
    /// An empty buffer for `capacity` steps, rounded down to whole ticks of all rows. Its memory grows with its contents.
    ///
    /// # Panics
    /// If `capacity` is less than a tick, or not below 2³².
    pub fn new(capacity: usize, shape: ReplayShape) -> Self {
        let ticks = capacity / (shape.num_streams * shape.num_rows);
        assert!(ticks > 0, "a replay buffer holds at least one tick of all rows");
        assert!(u32::try_from(capacity).is_ok(), "slots are numbers of 32 bits");
        let most = (CHUNK_BYTES / shape.tick_bytes()).min(ticks as u64 / CHUNKS).max(1);
        // The greatest power of two that is no greater.
        let chunk_ticks = 1 << most.ilog2();
        let streams = (0..shape.num_streams).map(|_| Stream::new(&shape)).collect();
        Self { layout: Layout { shape, chunk_ticks, capacity: ticks as u64 }, streams, recorded: None }
    }

    /// With room for so many steps that were recorded before the run, one stream of them.
    ///
    /// # Panics
    /// If there are none, or not below 2³² with the run's own.
    #[must_use]
    pub fn with_recorded(mut self, steps: usize) -> Self {
        let slots = self.slots().saturating_add(steps);
        assert!(u32::try_from(slots).is_ok(), "slots are numbers of 32 bits");
        let shape = ReplayShape { num_streams: 1, num_rows: 1, ..self.layout.shape.clone() };
        self.recorded = Some(Arc::new(Self::new(steps, shape)));
        self
    }

    /// Number of slots of the run's own steps: those of a full buffer.
    pub fn slots(&self) -> usize {
        self.layout.capacity as usize * self.layout.shape.num_rows * self.streams.len()
    }

    /// Bytes that a full buffer takes at least, final observations of episodes left out: those of an environment whose
    /// observations are bytes may all be 0 or 255, which take a bit each.
    pub fn memory_bytes(&self) -> u64 {
        let recorded = self.recorded.as_ref().map_or(0, |recorded| recorded.memory_bytes());
        recorded + self.most_ticks() * self.layout.shape.least_tick_bytes()
    }

    /// As [`Self::memory_bytes`], where observations are [put away](Self::put_away).
    pub fn memory_bytes_when_away(&self) -> u64 {
        match &self.recorded {
            Some(recorded) => {
                let own = self.most_ticks() * self.layout.shape.least_tick_bytes();
                own + recorded.memory_bytes_when_away()
            }
            None => self.most_ticks() * self.layout.shape.tick_bytes_without_observations(),
        }
    }

    /// Ticks of a full buffer, of all streams.
    fn most_ticks(&self) -> u64 {
        let history = self.layout.shape.frames.map_or(0, |frames| frames.num_stack as u64);
        (self.layout.capacity + self.layout.chunk_ticks + history) * self.streams.len() as u64
    }

    /// The run's own steps that are held, those in which a row took no part left out.
    pub fn len(&self) -> usize {
        self.streams.iter().map(Stream::active).sum()
    }

    /// Whether there is no step of the run's own to learn from.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds the ticks of a fragment. `added` is told of every slot that is written, and whether it is a step to learn from:
    /// rows that took no part in a tick are not.
    ///
    /// # Panics
    /// If the fragment is of another shape, or of a shard that the buffer does not have.
    pub fn extend(&mut self, fragment: &Fragment, mut added: impl FnMut(u32, bool)) {
        let stream = &mut self.streams[fragment.shard];
        let first = stream.end();
        stream.extend(&self.layout, fragment);
        let rows = self.layout.shape.num_rows;
        for t in 0..fragment.shape.num_steps {
            for row in 0..rows {
                let slot = self.slot(fragment.shard, first + t as u64, row);
                added(slot, fragment.active[t * rows + row]);
            }
        }
    }

    /// Adds the ticks of a fragment to what was recorded before the run.
    ///
    /// # Panics
    /// If the buffer has no room for such, or the fragment is of another shape.
    pub fn extend_recorded(&mut self, fragment: &Fragment) {
        let recorded = self.recorded.as_mut().map(Arc::make_mut);
        let recorded = recorded.unwrap_or_else(|| panic!("the buffer has no room for recorded steps"));
        recorded.extend(fragment, |_, _| ());
    }

    fn slot(&self, stream: usize, tick: u64, row: usize) -> u32 {
        let Layout { shape, capacity, .. } = &self.layout;
        ((stream as u64 * capacity + tick % capacity) * shape.num_rows as u64 + row as u64) as u32
    }

    /// Of a slot of a recorded step, the buffer that it is in and its slot there.
    fn in_recorded(&self, slot: u32) -> Option<(&Self, u32)> {
        let recorded = self.recorded.as_deref()?;
        Some((recorded, slot.checked_sub(self.slots() as u32)?))
    }

    /// Where a slot that is held lies: the layout of its buffer, its stream, tick and row.
    fn place(&self, slot: u32) -> (&Layout, &Stream, u64, usize) {
        if let Some((recorded, slot)) = self.in_recorded(slot) {
            return recorded.place(slot);
        }
        let Layout { shape, capacity, .. } = &self.layout;
        let (slot, rows) = (u64::from(slot), shape.num_rows as u64);
        let (stream, position) = (slot / rows / capacity, slot / rows % capacity);
        let stream = &self.streams[stream as usize];
        let last = stream.end() - 1;
        let age = (last % capacity + capacity - position) % capacity;
        (&self.layout, stream, last - age, (slot % rows) as usize)
    }

    /// The slot of the same row `ticks` ticks later.
    fn slot_after(&self, slot: u32, ticks: u64) -> u32 {
        if let Some((recorded, own)) = self.in_recorded(slot) {
            return slot - own + recorded.slot_after(own, ticks);
        }
        let (slot, rows) = (u64::from(slot), self.layout.shape.num_rows as u64);
        let (stream, position) = (slot / rows / self.layout.capacity, slot / rows % self.layout.capacity);
        let later = (position + ticks) % self.layout.capacity;
        ((stream * self.layout.capacity + later) * rows + slot % rows) as u32
    }

    /// A number that no other step of the run has: its tick, stream and row. Those of recorded steps count down from the largest.
    pub fn number(&self, slot: u32) -> u64 {
        if let Some((recorded, slot)) = self.in_recorded(slot) {
            return !recorded.number(slot);
        }
        let (_, _, tick, row) = self.place(slot);
        let (streams, rows) = (self.streams.len() as u64, self.layout.shape.num_rows as u64);
        let stream = u64::from(slot) / rows / self.layout.capacity;
        (tick * streams + stream) * rows + row as u64
    }

    fn flags(&self, slot: u32) -> Flags {
        let (layout, stream, tick, row) = self.place(slot);
        stream.flags(layout, tick, row)
    }

    /// Draws `count` of the run's own steps uniformly, with replacement.
    ///
    /// # Panics
    /// If the buffer is empty.
    pub fn sample(&self, count: usize, rng: &mut Pcg64, slots: &mut Vec<u32>) {
        assert!(!self.is_empty(), "cannot sample from an empty replay buffer");
        let held =
            |stream: &Stream| stream.end().min(self.layout.capacity) * self.layout.shape.num_rows as u64;
        let total: u64 = self.streams.iter().map(held).sum();
        let per_stream = self.layout.capacity * self.layout.shape.num_rows as u64;
        let wanted = slots.len() + count;
        while slots.len() < wanted {
            let mut index = rng.bounded(total - 1);
            let mut first = 0;
            for stream in &self.streams {
                let held = held(stream);
                if index < held {
                    break;
                }
                index -= held;
                first += per_stream;
            }
            let slot = (first + index) as u32;
            if self.flags(slot).active() {
                slots.push(slot);
            }
        }
    }

    /// As [`Self::sample`], of the steps that were recorded before the run.
    ///
    /// # Panics
    /// If there are none.
    pub fn sample_recorded(&self, count: usize, rng: &mut Pcg64, slots: &mut Vec<u32>) {
        let first = slots.len();
        if let Some(recorded) = &self.recorded {
            recorded.sample(count, rng, slots);
        }
        assert!(slots.len() == first + count, "there are no recorded steps to sample");
        slots[first..].iter_mut().for_each(|slot| *slot += self.slots() as u32);
    }

    /// The observations that steps were taken in, as a network reads them: `[slots.len(), O]`.
    ///
    /// # Errors
    /// If there are no slots.
    pub fn observations(&self, slots: &[u32]) -> Result<Input, AgentError> {
        self.moments(slots.iter().map(|&slot| Moment::Before(slot)))
    }

    /// What steps led to, as a network reads it: `[slots.len(), O]`. The final observation where one ended an episode.
    ///
    /// # Errors
    /// If there are no slots.
    pub fn next_observations(&self, slots: &[u32]) -> Result<Input, AgentError> {
        self.moments(slots.iter().map(|&slot| Moment::After(slot)))
    }

    /// What was observed at some moments, as a network reads it: `[moments.len(), O]`.
    ///
    /// # Errors
    /// If there are no moments.
    pub fn moments(&self, moments: impl ExactSizeIterator<Item = Moment>) -> Result<Input, AgentError> {
        let (count, width) = (moments.len(), self.layout.shape.observation_len);
        match self.layout.shape.dtype {
            Dtype::F32 => {
                let mut matrix = Matrix::zeros(count, width)?;
                self.write(moments, matrix.as_mut_slice())?;
                Ok(Input::Floats(matrix))
            }
            Dtype::U8 => {
                let mut values = vec![0; count * width];
                self.write(moments, &mut values)?;
                network::bytes(count, width, values)
            }
        }
    }

    fn write<T: Element>(
        &self,
        moments: impl Iterator<Item = Moment>,
        out: &mut [T],
    ) -> Result<(), AgentError> {
        let shape = &self.layout.shape;
        let mut frame = vec![T::default(); if shape.frames.is_some() { shape.frame_len() } else { 0 }];
        for (moment, out) in moments.zip(out.chunks_exact_mut(shape.observation_len)) {
            let (Moment::Before(slot) | Moment::After(slot)) = moment;
            let (layout, stream, tick, row) = self.place(slot);
            match moment {
                Moment::Before(_) => stream.observation(layout, (tick, row), &mut frame, out)?,
                Moment::After(_) => stream.next_observation(layout, (tick, row), &mut frame, out)?,
            }
        }
        Ok(())
    }

    /// Puts what was observed in the steps that were recorded before the run, or in all, if it has no such beside its own, away.
    /// The newest steps stay, until they are enough.
    ///
    /// # Errors
    /// If it cannot be kept.
    pub fn put_away(&mut self, store: &Arc<dyn RowStore>) -> Result<(), AgentError> {
        match self.recorded.as_mut().map(Arc::make_mut) {
            Some(recorded) => recorded.put_away(store),
            None => self.streams.iter_mut().try_for_each(|stream| stream.put_away(&self.layout, store)),
        }
    }

    /// Where what was observed in some steps, and with `next` what they led to, was put.
    pub fn places(&self, slots: &[u32], next: bool) -> Vec<(u64, usize)> {
        let mut places = Vec::new();
        for &slot in slots {
            let (layout, stream, tick, row) = self.place(slot);
            stream.places(layout, (tick, row), next, &mut places);
        }
        places
    }

    /// The action of a step.
    pub fn action(&self, slot: u32) -> Action<'_> {
        let (layout, stream, tick, row) = self.place(slot);
        let (actions, entry) = stream.action(layout, tick, row);
        actions.row(entry, self.layout.shape.action_spec.width())
    }

    /// What was done after a step; none where its episode ended with it, or the data do.
    pub fn next_action(&self, slot: u32) -> Option<Action<'_>> {
        let (layout, stream, tick, row) = self.place(slot);
        let goes_on = !stream.flags(layout, tick, row).ended() && tick + 1 < stream.end();
        goes_on.then(|| self.action(self.slot_after(slot, 1)))
    }

    /// The reward of a step.
    pub fn reward(&self, slot: u32) -> f32 {
        let (layout, stream, tick, row) = self.place(slot);
        stream.reward(layout, tick, row)
    }

    /// Whether nothing follows a step. Truncated steps bootstrap like any other.
    pub fn terminated(&self, slot: u32) -> bool {
        self.flags(slot).terminated()
    }

    /// What may be done after a step; none without masks, and none for a final observation, whose mask nobody knows: there
    /// every action may be taken.
    pub fn next_mask(&self, slot: u32) -> Option<&[bool]> {
        let (layout, stream, tick, row) = self.place(slot);
        let known = layout.shape.mask_len > 0 && !stream.flags(layout, tick, row).ended();
        known.then(|| stream.next_mask(layout, tick, row))
    }

    /// What the policy remembered before a step that begins a fragment: `[S]`.
    pub fn state(&self, slot: u32) -> &[f32] {
        let (layout, stream, tick, row) = self.place(slot);
        stream.state(layout, tick, row)
    }

    /// Up to `n` rewards from a step on, and what follows: fewer where the episode or the data end.
    ///
    /// # Panics
    /// If `n` is zero.
    ///
    /// # Source
    /// Sutton and Barto (2018), equation 7.1.
    pub fn n_step(&self, slot: u32, gamma: f32, n: usize) -> NStep {
        assert!(n > 0, "n must be at least 1");
        let (layout, stream, first, row) = self.place(slot);
        let (mut reward, mut discount, mut tick) = (0.0, 1.0, first);
        loop {
            reward += discount * stream.reward(layout, tick, row);
            discount *= gamma;
            let flags = stream.flags(layout, tick, row);
            if flags.terminated() {
                discount = 0.0;
            }
            if flags.ended() || tick + 1 == first.saturating_add(n as u64) || tick + 1 == stream.end() {
                let last = self.slot_after(slot, tick - first);
                return NStep { reward, steps: (tick - first) as usize + 1, discount, last };
            }
            tick += 1;
        }
    }

    /// Hands the full chunks to the store and gives the rest; nothing of what was recorded before the run.
    ///
    /// # Errors
    /// If a chunk cannot be kept.
    pub fn save(&self, store: &mut dyn ChunkStore) -> Result<SavedReplay, AgentError> {
        let streams = self.streams.iter().enumerate();
        let saved = streams.map(|(index, stream)| stream.save(index, &self.layout, store));
        Ok(SavedReplay { sizes: self.layout.sizes(), streams: saved.collect::<Result<_, _>>()? })
    }

    /// A buffer of this one's shape with saved contents, and with this one's recorded steps.
    ///
    /// # Errors
    /// [`AgentError::Restore`] if they are of another shape or damaged, [`AgentError::Chunk`] if a chunk is missing.
    pub fn restored(&self, saved: SavedReplay, store: &dyn ChunkStore) -> Result<Self, AgentError> {
        let (expected, found) = (self.layout.sizes(), saved.sizes);
        if found != expected || saved.streams.len() != self.streams.len() {
            let message = format!("expected a replay buffer of the sizes {expected:?}, got {found:?}");
            return Err(AgentError::Restore(message));
        }
        let streams = saved.streams.into_iter().enumerate();
        let streams = streams.map(|(index, saved)| Stream::restored(&self.layout, index, saved, store));
        let (layout, recorded) = (self.layout.clone(), self.recorded.clone());
        Ok(Self { layout, streams: streams.collect::<Result<_, _>>()?, recorded })
    }
}

#[cfg(test)]
mod tests;
