//! The keys and values of the last steps of an episode, in an environment's state.
//!
//! Keys lie transposed, so that the scores of all places are one product; step `p` of the episode has place
//! `p % window`. What is read in the order of time is read in at most two runs of places.

use std::ops::Range;

use crate::kernels::{Left, Pooled, Right, Start, divide_rows, gemm_strided, softmax_numerators};

/// The sizes of one block's keys and values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ring {
    pub(crate) window: usize,
    pub(crate) width: usize,
    pub(crate) heads: usize,
}

impl Ring {
    /// How many values a block's ring has in a state.
    pub(crate) fn len(&self) -> usize {
        2 * self.window * self.width
    }

    /// Puts a step's key and value into the ring.
    pub(crate) fn write(&self, ring: &mut [f32], position: usize, key: &[f32], value: &[f32]) {
        let place = position % self.window;
        let (keys, values) = ring.split_at_mut(self.window * self.width);
        for (row, &key) in keys.chunks_exact_mut(self.window).zip(key) {
            row[place] = key;
        }
        values[place * self.width..(place + 1) * self.width].copy_from_slice(value);
    }

    /// Copies a step's key and value out of the ring.
    pub(crate) fn read(&self, ring: &[f32], position: usize, key: &mut [f32], value: &mut [f32]) {
        let place = position % self.window;
        let (keys, values) = ring.split_at(self.window * self.width);
        for (row, key) in keys.chunks_exact(self.window).zip(key) {
            *key = row[place];
        }
        value.copy_from_slice(&values[place * self.width..(place + 1) * self.width]);
    }

    /// Attends to the steps up to `position`, the last one written.
    ///
    /// Sums run from the oldest step to the newest, as those over sequences do: the results are the same bit for bit.
    pub(crate) fn attend(&self, ring: &[f32], position: usize, query: &[f32], out: &mut [f32]) {
        let Self { window, width, heads } = *self;
        let head_width = width / heads;
        let count = window.min(position + 1);
        let (keys, values) = ring.split_at(window * width);
        let mut memory = Pooled::take(heads * count + heads + count);
        let (weights, rest) = memory.split_at_mut(heads * count);
        let (sums, ones) = rest.split_at_mut(heads);
        ones.fill(1.0);
        for (head, weights) in weights.chunks_exact_mut(count).enumerate() {
            let column = head * head_width;
            let right = Right { row_stride: window, ..Right::rows(&keys[column * window..], count) };
            let left = Left::rows(&query[column..], head_width);
            gemm_strided((1, count, head_width), left, right, Start::Zero, weights, count);
        }
        softmax_numerators(count, 1.0 / (head_width as f32).sqrt(), &[], weights);
        let oldest = if count < window { 0 } else { (position + 1) % window };
        let runs = [oldest..count, 0..oldest];
        let start = |run: &Range<usize>| if run.end == count { Start::Zero } else { Start::Accumulate };
        for run in runs.iter().filter(|run| !run.is_empty()) {
            let left = Left { data: &weights[run.start..], row_stride: count, column_stride: 1 };
            gemm_strided((heads, 1, run.len()), left, Right::rows(ones, 1), start(run), sums, 1);
        }
        divide_rows(count, sums, weights);
        for (head, weights) in weights.chunks_exact(count).enumerate() {
            let column = head * head_width;
            for run in runs.iter().filter(|run| !run.is_empty()) {
                let values = &values[run.start * width + column..];
                let right = Right { row_stride: width, ..Right::rows(values, head_width) };
                let left = Left::rows(&weights[run.clone()], run.len());
                gemm_strided(
                    (1, head_width, run.len()),
                    left,
                    right,
                    start(run),
                    &mut out[column..],
                    head_width,
                );
            }
        }
    }
}
