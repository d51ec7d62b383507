//! Scaled dot-product attention of all heads on gathered rows, and its gradient.
//!
//! Queries, keys and values of a sequence lie together, `[B, L, E]` with a head's columns next to each other. An output
//! is a chain of multiply-adds over the keys in their order, so that masked keys in between change no bit of it.

use super::mask::AttentionMask;
use crate::kernels::{
    Left, Pooled, Right, Start, gemm_strided, softmax_gradient, softmax_rows, transpose_into,
};

/// The sizes of a batch of sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) batch: usize,
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    pub(crate) heads: usize,
    pub(crate) width: usize,
}

impl Shape {
    pub(crate) fn head_width(&self) -> usize {
        self.width / self.heads
    }

    /// `1 / √d`.
    pub(crate) fn scale(&self) -> f32 {
        1.0 / (self.head_width() as f32).sqrt()
    }

    /// Number of scores of a head in a sequence.
    pub(crate) fn scores(&self) -> usize {
        self.queries * self.keys
    }

    /// Number of scores altogether.
    pub(crate) fn weights_len(&self) -> usize {
        self.batch * self.heads * self.scores()
    }
}

/// In which order the rows of a batch of sequences lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Step `t` of sequence `b` in row `b · L + t`.
    SequenceFirst,
    /// Step `t` of sequence `b` in row `t · B + b`.
    StepFirst,
}

impl Order {
    /// The first row of a sequence, and the distance of its rows.
    pub(crate) fn rows(self, batch: usize, len: usize, sequence: usize) -> (usize, usize) {
        match self {
            Self::SequenceFirst => (sequence * len, 1),
            Self::StepFirst => (sequence, batch),
        }
    }
}

/// What attention reads, `[B, L, E]` each.
#[derive(Clone, Copy)]
pub(crate) struct Gathered<'a> {
    pub(crate) queries: &'a [f32],
    pub(crate) keys: &'a [f32],
    pub(crate) values: &'a [f32],
}

/// A matrix with a stride between its rows.
fn strided(data: &[f32], stride: usize) -> (Left<'_>, Right<'_>) {
    let left = Left { data, row_stride: stride, column_stride: 1 };
    (left, Right { row_stride: stride, ..Right::rows(data, stride) })
}

/// `weights = softmax(q kᵀ / √d + mask)`, `out = weights · v`; `out` has its rows in `order`.
pub(crate) fn attend(
    shape: Shape,
    x: Gathered<'_>,
    mask: &AttentionMask<'_>,
    weights: &mut [f32],
    order: Order,
    out: &mut [f32],
) {
    let Shape { batch, queries, keys, heads, width } = shape;
    let head_width = shape.head_width();
    let mut additive = Pooled::take(if mask.is_none() { 0 } else { shape.scores() });
    let mut transposed = Pooled::take(keys * width);
    for (sequence, weights) in weights.chunks_exact_mut(heads * shape.scores()).take(batch).enumerate() {
        if !mask.is_none() && (sequence == 0 || !mask.is_shared()) {
            mask.write(sequence, queries, keys, &mut additive);
        }
        let of_keys = sequence * keys * width..(sequence + 1) * keys * width;
        transpose_into(&x.keys[of_keys.clone()], keys, width, false, &mut transposed);
        let (first, distance) = order.rows(batch, queries, sequence);
        for (head, weights) in weights.chunks_exact_mut(shape.scores()).enumerate() {
            let column = head * head_width;
            let (query, _) = strided(&x.queries[sequence * queries * width + column..], width);
            let right = Right::rows(&transposed[column * keys..], keys);
            gemm_strided((queries, keys, head_width), query, right, Start::Zero, weights, keys);
            softmax_rows(keys, shape.scale(), &additive, weights);
            let (_, values) = strided(&x.values[of_keys.start + column..], width);
            let target = &mut out[first * width + column..];
            let left = Left::rows(weights, keys);
            gemm_strided((queries, head_width, keys), left, values, Start::Zero, target, distance * width);
        }
    }
}

/// Where the gradients go, `[B, L, E]` each, overwritten.
pub(crate) struct GatheredGradient<'a> {
    pub(crate) queries: &'a mut [f32],
    pub(crate) keys: &'a mut [f32],
    pub(crate) values: &'a mut [f32],
}

/// The gradient of [`attend`] from that of its output, if there is one, and of its weights, if there is one.
pub(crate) fn attend_backward(
    shape: Shape,
    x: Gathered<'_>,
    weights: &[f32],
    order: Order,
    of_out: Option<&[f32]>,
    of_weights: Option<&[f32]>,
    target: &mut GatheredGradient<'_>,
) {
    let Shape { batch, queries, keys, heads, width } = shape;
    let head_width = shape.head_width();
    let mut memory = Pooled::take(keys * width + shape.scores());
    let (transposed, delta) = memory.split_at_mut(keys * width);
    if of_out.is_none() {
        target.values.fill(0.0);
    }
    for (index, weights) in weights.chunks_exact(shape.scores()).take(batch * heads).enumerate() {
        let (sequence, head) = (index / heads, index % heads);
        let column = head * head_width;
        let (of_queries, of_keys) = (sequence * queries * width, sequence * keys * width);
        if head == 0 {
            transpose_into(&x.values[of_keys..], keys, width, false, transposed);
        }
        match of_weights {
            Some(of_weights) => {
                delta.copy_from_slice(&of_weights[index * shape.scores()..][..shape.scores()]);
            }
            None => delta.fill(0.0),
        }
        if let Some(of_out) = of_out {
            let (first, distance) = order.rows(batch, queries, sequence);
            let (left, right) = strided(&of_out[first * width + column..], distance * width);
            let values = Right::rows(&transposed[column * keys..], keys);
            gemm_strided((queries, keys, head_width), left, values, Start::Accumulate, delta, keys);
            let target = &mut target.values[of_keys + column..];
            let left = Left::transposed(weights, keys);
            gemm_strided((keys, head_width, queries), left, right, Start::Zero, target, width);
        }
        softmax_gradient(keys, shape.scale(), weights, delta);
        let (_, right) = strided(&x.keys[of_keys + column..], width);
        let of_query = &mut target.queries[of_queries + column..];
        gemm_strided(
            (queries, head_width, keys),
            Left::rows(delta, keys),
            right,
            Start::Zero,
            of_query,
            width,
        );
        let (_, right) = strided(&x.queries[of_queries + column..], width);
        let of_key = &mut target.keys[of_keys + column..];
        gemm_strided(
            (keys, head_width, queries),
            Left::transposed(delta, keys),
            right,
            Start::Zero,
            of_key,
            width,
        );
    }
}
