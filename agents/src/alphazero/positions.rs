//! The newest positions of all episodes that are over, and what is to be learned of them.
//!
//! They are kept in chunks that do not change once they are full, so that a checkpoint writes the new ones only.

use std::collections::VecDeque;

use agon_envs::spaces::Dtype;
use agon_envs::{ObsBuffer, Pcg64};
use agon_nn::{Input, Matrix};
use serde::{Deserialize, Serialize};

use crate::bits::BITS;
use crate::chunks::ChunkStore;
use crate::codec::{decode, encode};
use crate::replay::column::{Column, Element};
use crate::search::{Depth, Recorded};
use crate::{AgentError, Fragment, network};

/// Bytes of a chunk, about.
const CHUNK_BYTES: u64 = 1 << 21;
/// A buffer has at least so many chunks.
const CHUNKS: u64 = 8;
/// More positions than any run has.
const MOST: u64 = 1 << 60;

/// The sizes of a position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Shape {
    pub(super) dtype: Dtype,
    pub(super) observation_len: usize,
    pub(super) actions: usize,
}

/// A position that was searched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    /// `[O]`.
    observation: Column,
    /// `[A]`: what was allowed.
    mask: Vec<bool>,
    /// `[A]`: the search's probabilities.
    policy: Vec<f32>,
    /// The search's value.
    pub(super) value: f32,
    full: bool,
    /// Whether the episode came to something else, by a random move.
    pub(super) was_left: bool,
    /// Whether a side had given the game up.
    pub(super) was_resigned: bool,
    /// Whether the search's value is proven.
    is_proven: bool,
}

/// Positions, column by column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Chunk {
    observations: Column,
    masks: Vec<bool>,
    policies: Vec<f32>,
    values: Vec<f32>,
    full: Vec<bool>,
}

impl Chunk {
    fn new(shape: &Shape) -> Self {
        Self {
            observations: Column::new(shape.dtype),
            masks: Vec::new(),
            policies: Vec::new(),
            values: Vec::new(),
            full: Vec::new(),
        }
    }

    fn is_whole(&self, shape: &Shape, len: usize) -> bool {
        self.observations.dtype() == shape.dtype
            && self.observations.has_rows(len, shape.observation_len)
            && self.masks.len() == len * shape.actions
            && self.masks.chunks_exact(shape.actions).all(|mask| mask.contains(&true))
            && self.policies.len() == len * shape.actions
            && self.values.len() == len
            && self.full.len() == len
    }
}

/// The newest positions; they are counted from the run's beginning.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Positions {
    shape: Shape,
    capacity: u64,
    chunk_len: u64,
    chunks: VecDeque<Chunk>,
    /// Number of the first chunk that is kept.
    first_chunk: u64,
    /// Positions ever added.
    end: u64,
}

/// What is saved of them beside full chunks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SavedPositions {
    /// See [`Positions::sizes`].
    sizes: [u64; 4],
    first_chunk: u64,
    end: u64,
    open: Option<Chunk>,
}

/// Some of them, as a network reads them.
pub(super) struct Drawn {
    /// `[B, O]`.
    pub(super) observations: Input,
    /// `[B, A]`.
    pub(super) masks: Vec<bool>,
    /// `[B, A]`.
    pub(super) policies: Vec<f32>,
    /// `[B]`: what values learn.
    pub(super) values: Vec<f32>,
    /// `[B]`: whether probabilities are learned.
    pub(super) full: Vec<bool>,
}

impl Positions {
    /// Room for so many.
    pub(super) fn new(capacity: usize, shape: Shape) -> Self {
        let capacity = capacity as u64;
        let most = (CHUNK_BYTES / least_bytes(&shape)).min(capacity / CHUNKS).max(1);
        // The greatest power of two that is no greater.
        let chunk_len = 1 << most.ilog2();
        Self { shape, capacity, chunk_len, chunks: VecDeque::new(), first_chunk: 0, end: 0 }
    }

    /// Positions held.
    pub(super) fn len(&self) -> usize {
        self.end.min(self.capacity) as usize
    }

    /// Bytes that a full buffer takes at least.
    pub(super) fn memory_bytes(&self) -> u64 {
        (self.capacity + self.chunk_len) * least_bytes(&self.shape)
    }

    /// A position of a fragment's step, with what was recorded of its search.
    pub(super) fn position(&self, fragment: &Fragment, step: usize, recorded: &Recorded<'_>) -> Position {
        let Shape { dtype, observation_len: len, actions } = self.shape;
        let mut observation = Column::new(dtype);
        observation.append(len, &fragment.observations, step * len, len);
        let masks = fragment.shape.mask_len;
        let mask = if masks > 0 {
            fragment.action_masks[step * masks..(step + 1) * masks].to_vec()
        } else {
            vec![true; actions]
        };
        Position {
            observation,
            mask,
            policy: recorded.policy.to_vec(),
            value: recorded.value,
            full: recorded.depth == Depth::Full,
            was_left: false,
            was_resigned: recorded.depth == Depth::Resigned,
            is_proven: recorded.proven,
        }
    }

    /// Whether a position is of these sizes.
    pub(super) fn fits(&self, position: &Position) -> bool {
        let Shape { dtype, observation_len, actions } = self.shape;
        position.observation.dtype() == dtype
            && position.observation.has_rows(1, observation_len)
            && position.mask.len() == actions
            && position.mask.contains(&true)
            && position.policy.len() == actions
    }

    /// Adds a position with what came of it, and lets go of the oldest.
    pub(super) fn push(&mut self, position: &Position, returns: f32, search_value: f32) {
        if self.end.is_multiple_of(self.chunk_len) {
            self.chunks.push_back(Chunk::new(&self.shape));
        }
        let Some(chunk) = self.chunks.back_mut() else { return };
        let len = self.shape.observation_len;
        let row = read(&position.observation, 0, len);
        chunk.observations.append(len, &row, 0, len);
        chunk.masks.extend_from_slice(&position.mask);
        chunk.policies.extend_from_slice(&position.policy);
        let search_value = if position.was_left || position.is_proven { 1.0 } else { search_value };
        chunk.values.push((1.0 - search_value) * returns + search_value * position.value);
        chunk.full.push(position.full);
        self.end += 1;
        while self.first_chunk < self.first_needed() {
            self.chunks.pop_front();
            self.first_chunk += 1;
        }
    }

    /// What saved positions must have in common with those that take them on: how many there may be, those of a chunk, and
    /// lengths of an observation and a policy.
    fn sizes(&self) -> [u64; 4] {
        let Shape { observation_len, actions, .. } = self.shape;
        [self.capacity, self.chunk_len, observation_len as u64, actions as u64]
    }

    fn first_needed(&self) -> u64 {
        self.end.saturating_sub(self.capacity) / self.chunk_len
    }

    /// Draws so many positions uniformly, with replacement.
    ///
    /// # Panics
    /// If there are none.
    pub(super) fn draw(&self, count: usize, rng: &mut Pcg64, out: &mut Vec<u64>) {
        let held = self.len() as u64;
        assert!(held > 0, "cannot draw from no positions");
        out.clear();
        out.extend((0..count).map(|_| self.end - held + rng.bounded(held - 1)));
    }

    /// The chunk of a position and its place in it.
    fn place(&self, position: u64) -> (&Chunk, usize) {
        let chunk = &self.chunks[(position / self.chunk_len - self.first_chunk) as usize];
        (chunk, (position % self.chunk_len) as usize)
    }

    /// Reads positions that were drawn.
    ///
    /// # Errors
    /// If there are none.
    pub(super) fn gather(&self, drawn: &[u64]) -> Result<Drawn, AgentError> {
        let Shape { dtype, observation_len: len, actions } = self.shape;
        let rows = drawn.len();
        let (mut masks, mut policies) = (Vec::new(), Vec::new());
        let (mut values, mut full) = (Vec::new(), Vec::new());
        let mut observations = ObsBuffer::zeros(dtype, rows * len);
        for (row, &position) in drawn.iter().enumerate() {
            let (chunk, at) = self.place(position);
            match &mut observations {
                ObsBuffer::F32(all) => {
                    f32::read(&chunk.observations, at, &mut all[row * len..(row + 1) * len]);
                }
                ObsBuffer::U8(all) => u8::read(&chunk.observations, at, &mut all[row * len..(row + 1) * len]),
            }
            masks.extend_from_slice(&chunk.masks[at * actions..(at + 1) * actions]);
            policies.extend_from_slice(&chunk.policies[at * actions..(at + 1) * actions]);
            values.push(chunk.values[at]);
            full.push(chunk.full[at]);
        }
        let observations = match observations {
            ObsBuffer::F32(all) => Input::Floats(Matrix::from_slice(rows, len, &all)?),
            ObsBuffer::U8(all) => network::bytes(rows, len, all)?,
        };
        Ok(Drawn { observations, masks, policies, values, full })
    }

    /// Hands the full chunks to the store and gives the rest.
    pub(super) fn save(&self, store: &mut dyn ChunkStore) -> Result<SavedPositions, AgentError> {
        let full = self.end / self.chunk_len;
        for (number, chunk) in (self.first_chunk..full).zip(&self.chunks) {
            store.put(&key(number), &mut || encode(chunk))?;
        }
        let is_open = !self.end.is_multiple_of(self.chunk_len);
        let open = is_open.then(|| self.chunks.back().cloned()).flatten();
        Ok(SavedPositions { sizes: self.sizes(), first_chunk: self.first_chunk, end: self.end, open })
    }

    /// The counterpart of [`Self::save`]: as these, with what was saved.
    pub(super) fn restored(&self, saved: SavedPositions, store: &dyn ChunkStore) -> Result<Self, AgentError> {
        let SavedPositions { sizes, first_chunk, end, open } = saved;
        let damaged = |what: &str| AgentError::Restore(format!("positions of another shape: {what}"));
        let mut positions =
            Self { first_chunk, end, chunks: VecDeque::new(), shape: self.shape.clone(), ..*self };
        if sizes != self.sizes() {
            return Err(damaged("their sizes"));
        }
        if end > MOST
            || first_chunk != positions.first_needed()
            || open.is_some() == end.is_multiple_of(self.chunk_len)
        {
            return Err(damaged("their chunks"));
        }
        let most = 64 + self.chunk_len * most_bytes(&self.shape);
        for number in first_chunk..end / self.chunk_len {
            positions.chunks.push_back(decode(&store.get(&key(number), most)?)?);
        }
        positions.chunks.extend(open);
        for (number, chunk) in (first_chunk..).zip(&positions.chunks) {
            let len = end.min((number + 1) * self.chunk_len) - number * self.chunk_len;
            if !chunk.is_whole(&self.shape, len as usize) {
                return Err(damaged("a chunk's columns"));
            }
        }
        Ok(positions)
    }
}

/// A row of a column.
fn read(column: &Column, row: usize, len: usize) -> ObsBuffer {
    let mut out = ObsBuffer::zeros(column.dtype(), len);
    match &mut out {
        ObsBuffer::F32(out) => f32::read(column, row, out),
        ObsBuffer::U8(out) => u8::read(column, row, out),
    }
    out
}

/// Bytes of a position's other columns: a probability and a flag an action, a value and a flag.
fn other_bytes(shape: &Shape) -> u64 {
    5 * shape.actions as u64 + 5
}

/// Bytes of a position at least.
fn least_bytes(shape: &Shape) -> u64 {
    let observation = match shape.dtype {
        Dtype::F32 => 4 * shape.observation_len,
        Dtype::U8 => shape.observation_len.div_ceil(BITS),
    };
    observation as u64 + other_bytes(shape)
}

/// Bytes of a position at most.
fn most_bytes(shape: &Shape) -> u64 {
    4 * shape.observation_len as u64 + other_bytes(shape)
}

fn key(chunk: u64) -> String {
    format!("positions-{chunk:08}")
}
