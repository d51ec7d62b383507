//! A chunk: the columns of some consecutive ticks of one stream.

use std::sync::Arc;

use agon_envs::batch::ObsElement;
use agon_envs::spaces::Dtype;
use agon_envs::wrappers::Frames;
use agon_envs::{ActionBatch, ActionSpec, ObsBuffer};
use serde::{Deserialize, Serialize};

use super::away::{AwayColumn, RowStore};
use super::column::{Column, Element};
use crate::{AgentError, Fragment, RunInfo, network};

/// What a buffer keeps of each step.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayShape {
    /// Shards: streams that advance each for itself.
    pub num_streams: usize,
    /// Acting rows of each stream, `N`.
    pub num_rows: usize,
    /// Length of an observation row, `O`.
    pub observation_len: usize,
    /// Element type of observations.
    pub dtype: Dtype,
    /// How observations are stacked, if they are: only the newest frame is kept then.
    pub frames: Option<Frames>,
    /// What actions look like.
    pub action_spec: ActionSpec,
    /// Length of an action mask; zero without masks.
    pub mask_len: usize,
    /// Numbers that the policy remembers of each row; zero without a memory.
    pub state_len: usize,
    /// Every how many ticks they are kept: the ticks of a fragment.
    pub state_period: usize,
}

impl ReplayShape {
    /// Of the steps of a run whose policies remember nothing.
    pub fn of(info: &RunInfo) -> Self {
        Self {
            num_streams: info.num_shards,
            num_rows: info.shard_rows(),
            observation_len: info.spaces.observation.packed_len(),
            dtype: network::dtype(&info.spaces.observation),
            frames: info.spaces.frames.filter(|frames| frames.num_stack > 1),
            action_spec: info.spaces.action.clone(),
            mask_len: info.spaces.mask_len,
            state_len: 0,
            state_period: 1,
        }
    }

    /// Elements kept of an observation, `F`.
    pub(super) fn frame_len(&self) -> usize {
        self.frames.map_or(self.observation_len, |frames| frames.frame_len())
    }

    /// Most bytes that a saved chunk of so many ticks takes, every step of it the last one of an episode.
    pub(super) fn most_bytes(&self, ticks: u64) -> u64 {
        let element = match self.dtype {
            Dtype::F32 => 4,
            Dtype::U8 => 1,
        };
        let numbers = self.action_spec.width() as u64 + 1;
        let row = 2 * element * self.frame_len() as u64
            + numbers * NUMBER_BYTES
            + (4 + 1 + self.mask_len + 4 * self.state_len) as u64;
        // The lengths of the columns, and what kinds they are of.
        const HEADS: u64 = 16 * NUMBER_BYTES;
        HEADS.saturating_add(ticks.saturating_mul(self.num_rows as u64).saturating_mul(row))
    }

    /// Bytes of one tick of a stream, final observations left out.
    pub(super) fn tick_bytes(&self) -> u64 {
        match self.dtype {
            Dtype::F32 => self.tick_bytes_with(4 * self.frame_len()),
            Dtype::U8 => self.tick_bytes_with(self.frame_len()),
        }
    }

    /// The least that [`Self::tick_bytes`] can be: bytes that are all 0 or 255 are kept as bits.
    pub(super) fn least_tick_bytes(&self) -> u64 {
        match self.dtype {
            Dtype::F32 => self.tick_bytes(),
            Dtype::U8 => self.tick_bytes_with(self.frame_len().div_ceil(8)),
        }
    }

    /// What they are without observations.
    pub(super) fn tick_bytes_without_observations(&self) -> u64 {
        self.tick_bytes_with(0)
    }

    fn tick_bytes_with(&self, frame_bytes: usize) -> u64 {
        let row = frame_bytes + 4 * self.action_spec.width() + 4 + 1 + self.mask_len;
        let state = (4 * self.state_len).div_ceil(self.state_period);
        (self.num_rows * (row + state)) as u64
    }
}

/// Most bytes of a number as it is saved: it takes seven bits a byte.
const NUMBER_BYTES: u64 = 10;

const TERMINATED: u8 = 1;
const TRUNCATED: u8 = 2;
const RESET: u8 = 4;
const ACTIVE: u8 = 8;

/// What happened to a row in a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags(u8);

impl Flags {
    fn of(fragment: &Fragment, row: usize) -> Self {
        let flag = |holds, flag| if holds { flag } else { 0 };
        Self(
            flag(fragment.terminated[row], TERMINATED)
                | flag(fragment.truncated[row], TRUNCATED)
                | flag(fragment.resets[row], RESET)
                | flag(fragment.active[row], ACTIVE),
        )
    }

    pub(super) fn terminated(self) -> bool {
        self.0 & TERMINATED != 0
    }

    /// Whether an episode ended, of itself or by a limit.
    pub(super) fn ended(self) -> bool {
        self.0 & (TERMINATED | TRUNCATED) != 0
    }

    /// Whether an episode began with this tick's observation.
    pub(super) fn reset(self) -> bool {
        self.0 & RESET != 0
    }

    pub(super) fn active(self) -> bool {
        self.0 & ACTIVE != 0
    }
}

/// Up to `chunk_ticks` ticks of the `N` rows of a stream: row `i` of tick `t` is entry `t * N + i` of every column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Chunk {
    /// `[T, N, F]`.
    observations: Column,
    /// `[T, N, W]`.
    actions: ActionBatch,
    /// `[T, N]`.
    rewards: Vec<f32>,
    /// `[T, N]`, see [`Flags`].
    flags: Vec<u8>,
    /// `[T, N, A]`.
    masks: Vec<bool>,
    /// Entries of the steps that ended an episode, increasing.
    final_entries: Vec<u32>,
    /// `[final_entries.len(), F]`: what those steps led to.
    finals: Column,
    /// `[·, N, S]`: what the policy remembered before the ticks that begin a fragment.
    states: Vec<f32>,
    /// Observations and final ones, where those columns were put away. Such a chunk is never saved.
    #[serde(skip)]
    away: Option<[AwayColumn; 2]>,
}

impl Chunk {
    pub(super) fn new(shape: &ReplayShape) -> Self {
        Self {
            observations: Column::new(shape.dtype),
            actions: ActionBatch::zeros(&shape.action_spec, 0),
            rewards: Vec::new(),
            flags: Vec::new(),
            masks: Vec::new(),
            final_entries: Vec::new(),
            finals: Column::new(shape.dtype),
            states: Vec::new(),
            away: None,
        }
    }

    /// Whether its observations were put away.
    pub(super) fn is_away(&self) -> bool {
        self.away.is_some()
    }

    /// Puts its observations away. Nothing can be added after that.
    ///
    /// # Errors
    /// If they cannot be kept.
    pub(super) fn put_away(&mut self, store: &Arc<dyn RowStore>) -> Result<(), AgentError> {
        let observations = AwayColumn::put(&mut self.observations, store)?;
        self.away = Some([observations, AwayColumn::put(&mut self.finals, store)?]);
        Ok(())
    }

    /// Adds where the frame of a step and, if it ended an episode, that which it led to were put.
    pub(super) fn places(&self, entry: usize, len: usize, out: &mut Vec<(u64, usize)>) {
        let Some([observations, finals]) = &self.away else { return };
        out.push(observations.place(entry, len));
        if let Ok(index) = self.final_entries.binary_search(&(entry as u32)) {
            out.push(finals.place(index, len));
        }
    }

    /// Appends tick `t` of a fragment.
    pub(super) fn push(&mut self, shape: &ReplayShape, fragment: &Fragment, t: usize) {
        let n = shape.num_rows;
        let rows = t * n..(t + 1) * n;
        keep_frames(shape, &mut self.observations, &fragment.observations, rows.start, n);
        let width = shape.action_spec.width();
        match (&mut self.actions, &fragment.actions) {
            (ActionBatch::Discrete(to), ActionBatch::Discrete(from)) => {
                to.extend_from_slice(&from[rows.start * width..rows.end * width]);
            }
            (ActionBatch::Continuous(to), ActionBatch::Continuous(from)) => {
                to.extend_from_slice(&from[rows.start * width..rows.end * width]);
            }
            _ => panic!("action batches are of different kinds"),
        }
        let masks = rows.start * shape.mask_len..rows.end * shape.mask_len;
        self.masks.extend_from_slice(&fragment.action_masks[masks]);
        if t == 0 && shape.state_len > 0 {
            self.states.extend_from_slice(&fragment.policy_state);
        }
        for row in rows {
            let flags = Flags::of(fragment, row);
            if let Some(index) = fragment.final_index(row) {
                self.final_entries.push(self.flags.len() as u32);
                keep_frames(shape, &mut self.finals, &fragment.final_observations, index, 1);
            }
            self.rewards.push(fragment.rewards[row]);
            self.flags.push(flags.0);
        }
    }

    pub(super) fn flags(&self, entry: usize) -> Flags {
        Flags(self.flags[entry])
    }

    pub(super) fn reward(&self, entry: usize) -> f32 {
        self.rewards[entry]
    }

    pub(super) fn actions(&self) -> &ActionBatch {
        &self.actions
    }

    pub(super) fn mask(&self, entry: usize, mask_len: usize) -> &[bool] {
        &self.masks[entry * mask_len..(entry + 1) * mask_len]
    }

    /// The `S` numbers of a row; `index` counts the fragments that begin in this chunk.
    pub(super) fn state(&self, index: usize, row: usize, shape: &ReplayShape) -> &[f32] {
        let at = (index * shape.num_rows + row) * shape.state_len;
        &self.states[at..at + shape.state_len]
    }

    /// Reads the frame that was observed before a step.
    ///
    /// # Errors
    /// If it was put away and cannot be read.
    pub(super) fn read_frame<T: Element>(&self, entry: usize, out: &mut [T]) -> Result<(), AgentError> {
        match &self.away {
            Some([observations, _]) => observations.read(entry, out)?,
            None => T::read(&self.observations, entry, out),
        }
        Ok(())
    }

    /// Reads the frame that a step which ended an episode led to; false if it ended none.
    ///
    /// # Errors
    /// As [`Self::read_frame`].
    pub(super) fn read_final_frame<T: Element>(
        &self,
        entry: usize,
        out: &mut [T],
    ) -> Result<bool, AgentError> {
        if !self.flags(entry).ended() {
            return Ok(false);
        }
        let Ok(index) = self.final_entries.binary_search(&(entry as u32)) else { return Ok(false) };
        match &self.away {
            Some([_, finals]) => finals.read(index, out)?,
            None => T::read(&self.finals, index, out),
        }
        Ok(true)
    }

    /// Whether every column has the length that `ticks` ticks have, and `states` states.
    pub(super) fn is_whole(&self, shape: &ReplayShape, ticks: usize, states: usize) -> bool {
        let rows = ticks * shape.num_rows;
        let (frame, width) = (shape.frame_len(), shape.action_spec.width());
        let discrete = matches!(self.actions, ActionBatch::Discrete(_));
        let ended = |entry: &usize| self.flags(*entry).active() && self.flags(*entry).ended();
        self.observations.has_rows(rows, frame)
            && self.observations.dtype() == shape.dtype
            && self.actions.len() == rows * width
            && self.actions_are_legal(shape)
            && discrete == matches!(shape.action_spec, ActionSpec::Discrete { .. })
            && self.rewards.len() == rows
            && self.flags.len() == rows
            && self.masks.len() == rows * shape.mask_len
            && self.finals.has_rows(self.final_entries.len(), frame)
            && self.finals.dtype() == shape.dtype
            && (0..rows).filter(ended).eq(self.final_entries.iter().map(|&entry| entry as usize))
            && self.states.len() == states * shape.num_rows * shape.state_len
    }

    /// Whether every index is one of its branch's choices, so that it can be an index.
    fn actions_are_legal(&self, shape: &ReplayShape) -> bool {
        match (&self.actions, &shape.action_spec) {
            (ActionBatch::Discrete(indices), ActionSpec::Discrete { nvec }) => indices
                .iter()
                .zip(nvec.iter().cycle())
                .all(|(index, &choices)| i64::from(*index) < i64::from(choices)),
            _ => true,
        }
    }
}

/// As [`append_frames`], to a column.
fn keep_frames(shape: &ReplayShape, to: &mut Column, from: &ObsBuffer, first: usize, count: usize) {
    let len = shape.frame_len();
    if shape.frames.is_none() {
        return to.append(len, from, first * len, count * len);
    }
    let mut frames = ObsBuffer::zeros(shape.dtype, 0);
    append_frames(shape, &mut frames, from, first, count);
    to.append(len, &frames, 0, count * len);
}

/// Appends `count` observations from row `first` on: the newest frame of each where they are stacks.
pub(super) fn append_frames(
    shape: &ReplayShape,
    to: &mut ObsBuffer,
    from: &ObsBuffer,
    first: usize,
    count: usize,
) {
    let len = shape.observation_len;
    let Some(frames) = shape.frames else { return to.extend_from(from, first * len, count * len) };
    let at = to.len();
    to.resize(at + count * frames.frame_len());
    match (to, from) {
        (ObsBuffer::F32(to), ObsBuffer::F32(from)) => {
            newest_frames(frames, &mut to[at..], &from[first * len..]);
        }
        (ObsBuffer::U8(to), ObsBuffer::U8(from)) => {
            newest_frames(frames, &mut to[at..], &from[first * len..]);
        }
        (to, from) => panic!("observation buffers differ: {:?} and {:?}", to.dtype(), from.dtype()),
    }
}

fn newest_frames<T: ObsElement>(frames: Frames, to: &mut [T], from: &[T]) {
    let len = frames.frame_len();
    for (frame, stack) in to.chunks_exact_mut(len).zip(from.chunks_exact(len * frames.num_stack)) {
        frames.newest(stack, frame);
    }
}
