//! A stream: the newest ticks of one shard, in chunks.

use std::collections::VecDeque;
use std::sync::Arc;

use agon_envs::wrappers::{Frames, Padding};
use agon_envs::{ActionBatch, ObsBuffer};
use serde::{Deserialize, Serialize};

use super::away::RowStore;
use super::chunk::{Chunk, Flags, ReplayShape, append_frames};
use super::column::Element;
use crate::chunks::ChunkStore;
use crate::codec::{decode, encode};
use crate::{AgentError, Fragment};

/// Ticks are counted from the run's beginning. Those from [`Stream::begin`] to [`Stream::end`] are the buffer's; some
/// older ones are kept while their chunk is needed, or for the stacks of frames that reach back to them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stream {
    chunks: VecDeque<Chunk>,
    /// Number of the first chunk that is kept.
    first_chunk: u64,
    /// Ticks ever added.
    end: u64,
    /// `[N, F]`: what was observed after the last tick.
    newest: ObsBuffer,
    /// `[N, A]`.
    newest_masks: Vec<bool>,
    /// Steps of the buffer's ticks in which rows took part.
    active: usize,
}

/// What a buffer keeps of each tick, and of how many.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    pub(super) shape: ReplayShape,
    /// Ticks of a chunk.
    pub(super) chunk_ticks: u64,
    /// Ticks of the buffer.
    pub(super) capacity: u64,
}

impl Layout {
    /// What a saved buffer must have in common with the one that takes it on: ticks of the buffer and of a chunk, streams,
    /// rows, and lengths of an observation and of what is kept of it.
    pub(super) fn sizes(&self) -> [u64; 6] {
        let shape = &self.shape;
        let lens = [shape.num_streams, shape.num_rows, shape.observation_len, shape.frame_len()];
        let [streams, rows, observation, frame] = lens.map(|len| len as u64);
        [self.capacity, self.chunk_ticks, streams, rows, observation, frame]
    }
}

/// More ticks than any run has.
const MOST_TICKS: u64 = 1 << 60;

/// What is saved of a stream beside its full chunks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SavedStream {
    first_chunk: u64,
    end: u64,
    newest: ObsBuffer,
    newest_masks: Vec<bool>,
    open: Option<Chunk>,
}

impl Stream {
    pub(super) fn new(shape: &ReplayShape) -> Self {
        Self {
            chunks: VecDeque::new(),
            first_chunk: 0,
            end: 0,
            newest: ObsBuffer::zeros(shape.dtype, 0),
            newest_masks: Vec::new(),
            active: 0,
        }
    }

    /// Ticks ever added.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The oldest tick of the buffer.
    pub(super) fn begin(&self, layout: &Layout) -> u64 {
        self.end.saturating_sub(layout.capacity)
    }

    /// Steps of the buffer's ticks in which rows took part.
    pub(super) fn active(&self) -> usize {
        self.active
    }

    /// Appends the ticks of a fragment, and lets go of the oldest.
    pub(super) fn extend(&mut self, layout: &Layout, fragment: &Fragment) {
        let shape = &layout.shape;
        for t in 0..fragment.shape.num_steps {
            if self.end.is_multiple_of(layout.chunk_ticks) {
                self.chunks.push_back(Chunk::new(shape));
            }
            if let Some(chunk) = self.chunks.back_mut() {
                chunk.push(shape, fragment, t);
            }
            self.active += self.active_at(layout, self.end);
            if self.end >= layout.capacity {
                self.active -= self.active_at(layout, self.end - layout.capacity);
            }
            self.end += 1;
            let first_needed = self.first_needed(layout);
            while self.first_chunk < first_needed {
                self.chunks.pop_front();
                self.first_chunk += 1;
            }
        }
        let last = fragment.shape.num_steps * shape.num_rows;
        self.newest.resize(0);
        append_frames(shape, &mut self.newest, &fragment.observations, last, shape.num_rows);
        self.newest_masks.clear();
        self.newest_masks.extend_from_slice(&fragment.action_masks[last * shape.mask_len..]);
    }

    /// The first chunk of which a tick is the buffer's, or belongs to a stack of frames of one that is.
    fn first_needed(&self, layout: &Layout) -> u64 {
        let history = layout.shape.frames.map_or(0, |frames| frames.num_stack as u64 - 1);
        self.begin(layout).saturating_sub(history) / layout.chunk_ticks
    }

    fn active_at(&self, layout: &Layout, tick: u64) -> usize {
        let shape = &layout.shape;
        (0..shape.num_rows).filter(|&row| self.flags(layout, tick, row).active()).count()
    }

    /// The chunk of a tick and the entry in it.
    fn place(&self, layout: &Layout, tick: u64, row: usize) -> (&Chunk, usize) {
        let shape = &layout.shape;
        let chunk = &self.chunks[(tick / layout.chunk_ticks - self.first_chunk) as usize];
        (chunk, (tick % layout.chunk_ticks) as usize * shape.num_rows + row)
    }

    pub(super) fn flags(&self, layout: &Layout, tick: u64, row: usize) -> Flags {
        let (chunk, entry) = self.place(layout, tick, row);
        chunk.flags(entry)
    }

    pub(super) fn reward(&self, layout: &Layout, tick: u64, row: usize) -> f32 {
        let (chunk, entry) = self.place(layout, tick, row);
        chunk.reward(entry)
    }

    /// The actions of a chunk, and the entry in them.
    pub(super) fn action(&self, layout: &Layout, tick: u64, row: usize) -> (&ActionBatch, usize) {
        let (chunk, entry) = self.place(layout, tick, row);
        (chunk.actions(), entry)
    }

    /// What the policy remembered before a tick that begins a fragment.
    pub(super) fn state(&self, layout: &Layout, tick: u64, row: usize) -> &[f32] {
        let shape = &layout.shape;
        let (chunk, _) = self.place(layout, tick, row);
        let first = (tick - tick % layout.chunk_ticks).div_ceil(shape.state_period as u64);
        chunk.state((tick / shape.state_period as u64 - first) as usize, row, shape)
    }

    /// The mask of what may be done after a tick that ended no episode.
    pub(super) fn next_mask(&self, layout: &Layout, tick: u64, row: usize) -> &[bool] {
        let shape = &layout.shape;
        if tick + 1 == self.end {
            return &self.newest_masks[row * shape.mask_len..(row + 1) * shape.mask_len];
        }
        let (chunk, entry) = self.place(layout, tick + 1, row);
        chunk.mask(entry, shape.mask_len)
    }

    /// Writes what was observed before a step, over zeros. `frame` is working memory of a frame.
    pub(super) fn observation<T: Element>(
        &self,
        layout: &Layout,
        (tick, row): (u64, usize),
        frame: &mut [T],
        out: &mut [T],
    ) -> Result<(), AgentError> {
        let (chunk, entry) = self.place(layout, tick, row);
        let Some(frames) = layout.shape.frames else { return chunk.read_frame(entry, out) };
        chunk.read_frame(entry, frame)?;
        let before = if chunk.flags(entry).reset() { None } else { tick.checked_sub(1) };
        self.stack(layout, frames, before, row, frame, out)
    }

    /// Writes what a step led to, over zeros: the final observation where it ended an episode.
    pub(super) fn next_observation<T: Element>(
        &self,
        layout: &Layout,
        (tick, row): (u64, usize),
        frame: &mut [T],
        out: &mut [T],
    ) -> Result<(), AgentError> {
        let (chunk, entry) = self.place(layout, tick, row);
        let newest = if layout.shape.frames.is_some() { &mut *frame } else { &mut *out };
        if !chunk.read_final_frame(entry, newest)? {
            self.read_frame(layout, tick + 1, row, newest)?;
        }
        match layout.shape.frames {
            Some(frames) => self.stack(layout, frames, Some(tick), row, frame, out),
            None => Ok(()),
        }
    }

    /// Reads the frame of a tick, the one after the last included.
    fn read_frame<T: Element>(
        &self,
        layout: &Layout,
        tick: u64,
        row: usize,
        out: &mut [T],
    ) -> Result<(), AgentError> {
        if tick == self.end {
            let (newest, len) = (T::slice(&self.newest).unwrap_or(&[]), out.len());
            out.copy_from_slice(&newest[row * len..(row + 1) * len]);
            return Ok(());
        }
        let (chunk, entry) = self.place(layout, tick, row);
        chunk.read_frame(entry, out)
    }

    /// Writes an observation from its newest frame, which is in `frame`, and those of the episode up to tick `before`.
    fn stack<T: Element>(
        &self,
        layout: &Layout,
        frames: Frames,
        mut before: Option<u64>,
        row: usize,
        frame: &mut [T],
        out: &mut [T],
    ) -> Result<(), AgentError> {
        frames.put(out, frames.num_stack - 1, frame);
        for place in (0..frames.num_stack - 1).rev() {
            match before.filter(|tick| tick / layout.chunk_ticks >= self.first_chunk) {
                Some(tick) => {
                    self.read_frame(layout, tick, row, frame)?;
                    let first = self.flags(layout, tick, row).reset();
                    before = if first { None } else { tick.checked_sub(1) };
                }
                None if frames.padding == Padding::Zero => return Ok(()),
                // The oldest frame again.
                None => before = None,
            }
            frames.put(out, place, frame);
        }
        Ok(())
    }

    /// Puts the observations of all full chunks away.
    ///
    /// # Errors
    /// If they cannot be kept.
    pub(super) fn put_away(&mut self, layout: &Layout, store: &Arc<dyn RowStore>) -> Result<(), AgentError> {
        let full = (self.end / layout.chunk_ticks - self.first_chunk) as usize;
        for chunk in self.chunks.range_mut(..full).rev() {
            // Those before it are too.
            if chunk.is_away() {
                break;
            }
            chunk.put_away(store)?;
        }
        Ok(())
    }

    /// Adds where the frames were put that a step, and with `next` what it led to, are read from.
    pub(super) fn places(
        &self,
        layout: &Layout,
        (tick, row): (u64, usize),
        next: bool,
        out: &mut Vec<(u64, usize)>,
    ) {
        let history = layout.shape.frames.map_or(0, |frames| frames.num_stack as u64 - 1);
        let first = tick.saturating_sub(history).max(self.first_chunk * layout.chunk_ticks);
        for tick in first..(tick + 1 + u64::from(next)).min(self.end) {
            let (chunk, entry) = self.place(layout, tick, row);
            chunk.places(entry, layout.shape.frame_len(), out);
        }
    }

    /// Hands the full chunks to the store and gives the rest.
    pub(super) fn save(
        &self,
        index: usize,
        layout: &Layout,
        store: &mut dyn ChunkStore,
    ) -> Result<SavedStream, AgentError> {
        let full = self.end / layout.chunk_ticks;
        for (number, chunk) in (self.first_chunk..full).zip(&self.chunks) {
            store.put(&key(index, number), &mut || encode(chunk))?;
        }
        Ok(SavedStream {
            first_chunk: self.first_chunk,
            end: self.end,
            newest: self.newest.clone(),
            newest_masks: self.newest_masks.clone(),
            open: if self.end.is_multiple_of(layout.chunk_ticks) {
                None
            } else {
                self.chunks.back().cloned()
            },
        })
    }

    /// The counterpart of [`Self::save`].
    pub(super) fn restored(
        layout: &Layout,
        index: usize,
        saved: SavedStream,
        store: &dyn ChunkStore,
    ) -> Result<Self, AgentError> {
        let shape = &layout.shape;
        let SavedStream { first_chunk, end, newest, newest_masks, open } = saved;
        let damaged = |what: &str| AgentError::Restore(format!("a replay buffer of another shape: {what}"));
        let full = end / layout.chunk_ticks;
        let rows = if end == 0 { 0 } else { shape.num_rows };
        if newest.dtype() != shape.dtype
            || newest.len() != rows * shape.frame_len()
            || newest_masks.len() != rows * shape.mask_len
        {
            return Err(damaged("its newest observations"));
        }
        let mut stream = Self { chunks: VecDeque::new(), first_chunk, end, newest, newest_masks, active: 0 };
        if end > MOST_TICKS
            || first_chunk != stream.first_needed(layout)
            || open.is_some() == end.is_multiple_of(layout.chunk_ticks)
        {
            return Err(damaged("its chunks"));
        }
        let most = shape.most_bytes(layout.chunk_ticks);
        for number in first_chunk..full {
            stream.chunks.push_back(decode(&store.get(&key(index, number), most)?)?);
        }
        stream.chunks.extend(open);
        let period = shape.state_period as u64;
        for (number, chunk) in (first_chunk..).zip(&stream.chunks) {
            let (from, to) = (number * layout.chunk_ticks, end.min((number + 1) * layout.chunk_ticks));
            let states = to.div_ceil(period) - from.div_ceil(period);
            if !chunk.is_whole(shape, (to - from) as usize, states as usize) {
                return Err(damaged("a chunk's columns"));
            }
        }
        stream.active = (stream.begin(layout)..end).map(|tick| stream.active_at(layout, tick)).sum();
        Ok(stream)
    }
}

fn key(stream: usize, chunk: u64) -> String {
    format!("replay-{stream}-{chunk:08}")
}
