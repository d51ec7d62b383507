//! Scratch memory on cache-line boundaries, and the pool it comes from.

use std::cell::RefCell;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// One cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; Line::LEN]);

impl Line {
    const LEN: usize = 16;
    const ZERO: Self = Self([0.0; Self::LEN]);
}

/// A growable buffer of `f32` that starts on a cache line.
#[derive(Clone, Default)]
pub(crate) struct AlignedBuffer {
    lines: Vec<Line>,
    len: usize,
}

impl AlignedBuffer {
    /// A buffer of `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        Self { lines: vec![Line::ZERO; len.div_ceil(Line::LEN)], len }
    }

    /// Makes the buffer hold `len` values, whatever they are: old contents may shine through.
    pub(crate) fn reserve_len(&mut self, len: usize) {
        let lines = len.div_ceil(Line::LEN);
        if self.lines.len() < lines {
            self.lines.resize(lines, Line::ZERO);
        }
        self.len = len;
    }

    /// How many values fit without allocating.
    fn capacity(&self) -> usize {
        self.lines.len() * Line::LEN
    }
}

impl Deref for AlignedBuffer {
    type Target = [f32];

    #[inline]
    fn deref(&self) -> &[f32] {
        // SAFETY: `lines` holds at least `len` initialised values without padding (`reserve_len`).
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for AlignedBuffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

/// How many buffers a thread keeps; more than a training step has in use at once.
const POOL_SIZE: usize = 64;

thread_local! {
    static POOL: RefCell<Vec<AlignedBuffer>> = const { RefCell::new(Vec::new()) };
}

/// A buffer that goes back to its thread's pool when dropped.
pub(crate) struct Pooled(AlignedBuffer);

impl Pooled {
    /// A buffer of `len` unspecified values, reused if the pool has one that is large enough.
    pub(crate) fn take(len: usize) -> Self {
        let reused = POOL.with_borrow_mut(|pool| {
            let fitting = pool.iter().enumerate().filter(|(_, buffer)| buffer.capacity() >= len);
            let best = fitting.min_by_key(|(_, buffer)| buffer.capacity()).map(|(index, _)| index);
            best.map(|index| pool.swap_remove(index))
        });
        let mut buffer = reused.unwrap_or_default();
        buffer.reserve_len(len);
        if cfg!(debug_assertions) {
            // What is read before it is written shows in every result.
            buffer.fill(f32::NAN);
        }
        Self(buffer)
    }

    /// As [`Self::take`], all zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let mut buffer = Self::take(len);
        buffer.fill(0.0);
        buffer
    }
}

impl Clone for Pooled {
    fn clone(&self) -> Self {
        let mut copy = Self::take(self.len());
        copy.copy_from_slice(self);
        copy
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        // While the thread ends the pool may be gone; the buffer is freed then.
        let _ = POOL.try_with(|pool| {
            if let Ok(mut pool) = pool.try_borrow_mut() {
                if pool.len() == POOL_SIZE {
                    pool.remove(0);
                }
                pool.push(buffer);
            }
        });
    }
}

impl fmt::Debug for Pooled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pooled").field("len", &self.len()).finish()
    }
}

impl Deref for Pooled {
    type Target = [f32];

    #[inline]
    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Pooled {
    #[inline]
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_start_on_cache_lines_and_are_reused() {
        let first = Pooled::take(100);
        let address = first.as_ptr() as usize;
        assert_eq!(address % 64, 0);
        assert_eq!(first.len(), 100);
        drop(first);
        assert_eq!(Pooled::take(90).as_ptr() as usize, address);
    }
}
