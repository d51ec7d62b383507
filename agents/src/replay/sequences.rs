//! Consecutive steps of one row: from where a fragment began, what recurrent networks learn from, and up to any step, what is
//! learned from what came before it.

use agon_envs::Pcg64;

use super::ReplayBuffer;
use super::stream::Stream;

impl ReplayBuffer {
    /// Ticks at which whole sequences of `len` ticks begin: the first, and how many.
    fn beginnings(&self, stream: &Stream, len: usize) -> (u64, u64) {
        let period = self.layout.shape.state_period as u64;
        let first = stream.begin(&self.layout).div_ceil(period) * period;
        let last = stream.end().saturating_sub(len as u64) / period * period;
        let whole = stream.end() >= first + len as u64;
        (first, if whole { (last - first) / period + 1 } else { 0 })
    }

    /// Number of sequences of `len` ticks that are held.
    pub fn sequences(&self, len: usize) -> usize {
        let count = |stream| self.beginnings(stream, len).1 as usize;
        self.streams.iter().map(count).sum::<usize>() * self.layout.shape.num_rows
    }

    /// Draws the first slots of `count` sequences of `len` ticks uniformly, with replacement.
    ///
    /// # Panics
    /// If there is none.
    pub fn sample_sequences(&self, len: usize, count: usize, rng: &mut Pcg64, slots: &mut Vec<u32>) {
        let rows = self.layout.shape.num_rows as u64;
        let total = self.sequences(len) as u64;
        assert!(total > 0, "cannot sample from a replay buffer without whole sequences");
        for _ in 0..count {
            let mut index = rng.bounded(total - 1);
            for (number, stream) in self.streams.iter().enumerate() {
                let (first, begins) = self.beginnings(stream, len);
                if index < begins * rows {
                    let tick = first + index / rows * self.layout.shape.state_period as u64;
                    slots.push(self.slot(number, tick, (index % rows) as usize));
                    break;
                }
                index -= begins * rows;
            }
        }
    }

    /// The first slots of the sequences of `len` ticks that became whole with the last fragment of a stream.
    pub fn newest_sequences(&self, stream: usize, len: usize) -> impl Iterator<Item = u32> {
        let (first, begins) = self.beginnings(&self.streams[stream], len);
        let rows = if begins > 0 { self.layout.shape.num_rows } else { 0 };
        let tick = first + begins.saturating_sub(1) * self.layout.shape.state_period as u64;
        (0..rows).map(move |row| self.slot(stream, tick, row))
    }

    /// The slot of the same row so many ticks later.
    pub fn following(&self, slot: u32, ticks: usize) -> u32 {
        self.slot_after(slot, ticks as u64)
    }

    /// Whether as many ticks are held as there is room for.
    pub fn is_full(&self) -> bool {
        self.streams.iter().all(|stream| stream.end() >= self.layout.capacity)
    }

    /// The rows of all streams: each is a history of steps.
    pub fn histories(&self) -> usize {
        self.streams.len() * self.layout.shape.num_rows
    }

    /// The slots of a history that are held, the oldest first.
    ///
    /// # Panics
    /// If there is no such history.
    pub fn history(&self, index: usize) -> impl DoubleEndedIterator<Item = u32> {
        let (stream, row) = (index / self.layout.shape.num_rows, index % self.layout.shape.num_rows);
        let (begin, end) = (self.streams[stream].begin(&self.layout), self.streams[stream].end());
        (begin..end).map(move |tick| self.slot(stream, tick, row))
    }

    /// The last steps of an episode up to one of them, as many as `len` at most, the oldest first.
    pub fn context(&self, slot: u32, len: usize) -> impl Iterator<Item = u32> {
        let (layout, stream, last, row) = self.place(slot);
        let oldest = stream.begin(layout).max((last + 1).saturating_sub(len as u64));
        let mut first = last;
        while first > oldest && !stream.flags(layout, first, row).reset() {
            first -= 1;
        }
        let ticks = (last - first) as usize;
        let capacity = layout.capacity;
        // So many ticks before is the rest of a turn later.
        let preceding = move |ticks: u64| self.slot_after(slot, capacity - ticks % capacity);
        (0..=ticks).map(move |tick| preceding((ticks - tick) as u64))
    }

    /// Whether an episode began with a step.
    pub fn reset(&self, slot: u32) -> bool {
        self.flags(slot).reset()
    }

    /// Whether an episode ended with a step, of itself or by a limit.
    pub fn ended(&self, slot: u32) -> bool {
        self.flags(slot).ended()
    }

    /// Whether a row took part in a step.
    pub fn active(&self, slot: u32) -> bool {
        self.flags(slot).active()
    }
}
