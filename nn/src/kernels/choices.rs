//! Softmax over columns: rows lie side by side in a vector, the options of a choice one after the other.
//!
//! A row has few options, too few to fill a vector; there are always rows enough. What is computed for a row depends on its
//! own values alone.

use pulp::{Simd, WithSimd};

use super::math;
use super::simd::{dispatch, load_at, store_at};

/// Replaces logits by log-probabilities, and writes the probabilities.
///
/// # Shapes
/// `log_probs`, `probs`: `[options, rows]`.
pub(crate) fn normalize_columns(rows: usize, log_probs: &mut [f32], probs: &mut [f32]) {
    assert!(rows > 0 && log_probs.len().is_multiple_of(rows), "columns of {rows}");
    assert_eq!(log_probs.len(), probs.len(), "a probability for each logit");
    dispatch(Normalize { rows, log_probs, probs });
}

struct Normalize<'a> {
    rows: usize,
    log_probs: &'a mut [f32],
    probs: &'a mut [f32],
}

impl WithSimd for Normalize<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows, log_probs, probs } = self;
        let len = log_probs.len();
        let (log_probs, probs) = (log_probs.as_mut_ptr(), probs.as_mut_ptr());
        let mut at = 0;
        while at < rows {
            // SAFETY: at < rows, and the column's start + rows <= len, the length of both slices.
            unsafe {
                // A NaN is passed over here and turns up in the sum.
                let mut max = simd.splat_f32s(f32::NEG_INFINITY);
                let mut column = 0;
                while column < len {
                    let x = load_at(simd, log_probs.add(column), at, rows);
                    max = simd.select_f32s(simd.greater_than_f32s(x, max), x, max);
                    column += rows;
                }
                let mut sum = simd.splat_f32s(0.0);
                column = 0;
                while column < len {
                    let x = simd.sub_f32s(load_at(simd, log_probs.add(column), at, rows), max);
                    store_at(simd, log_probs.add(column), at, rows, x);
                    sum = simd.add_f32s(sum, math::exp(simd, x));
                    column += rows;
                }
                let log_sum = math::ln(simd, sum);
                column = 0;
                while column < len {
                    let x = simd.sub_f32s(load_at(simd, log_probs.add(column), at, rows), log_sum);
                    store_at(simd, log_probs.add(column), at, rows, x);
                    store_at(simd, probs.add(column), at, rows, math::exp(simd, x));
                    column += rows;
                }
            }
            at += S::F32_LANES;
        }
    }
}

/// `p ln p`, zero for `p = 0`.
#[inline(always)]
fn plogp<S: Simd>(simd: S, log_prob: S::f32s, prob: S::f32s) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    simd.select_f32s(simd.equal_f32s(prob, zero), zero, simd.mul_f32s(prob, log_prob))
}

/// Overwrites `out` with `−Σ p ln p` over the options.
///
/// # Shapes
/// `log_probs`, `probs`: `[options, rows]`, `out`: `[rows]`.
pub(crate) fn entropy_columns(log_probs: &[f32], probs: &[f32], out: &mut [f32]) {
    assert!(log_probs.len() == probs.len() && probs.len().is_multiple_of(out.len().max(1)));
    dispatch(Entropy { log_probs, probs, out });
}

struct Entropy<'a> {
    log_probs: &'a [f32],
    probs: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Entropy<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { log_probs, probs, out } = self;
        let (rows, len) = (out.len(), probs.len());
        let mut at = 0;
        while at < rows {
            let mut sum = simd.splat_f32s(0.0);
            let mut column = 0;
            // SAFETY: at < rows, and the column's start + rows <= len, the length of both slices.
            unsafe {
                while column < len {
                    let log_prob = load_at(simd, log_probs.as_ptr().add(column), at, rows);
                    let prob = load_at(simd, probs.as_ptr().add(column), at, rows);
                    sum = simd.add_f32s(sum, plogp(simd, log_prob, prob));
                    column += rows;
                }
                store_at(simd, out.as_mut_ptr(), at, rows, simd.neg_f32s(sum));
            }
            at += S::F32_LANES;
        }
    }
}

/// What [`gradient_columns`] reads of one choice.
pub(crate) struct ChoiceGradient<'a> {
    /// `[options, rows]`.
    pub(crate) log_probs: &'a [f32],
    /// `[options, rows]`.
    pub(crate) probs: &'a [f32],
    /// What was chosen, `[rows]`.
    pub(crate) chosen: &'a [f32],
    /// Weights of the logarithm of its probability, `[rows]`.
    pub(crate) log_prob_weights: &'a [f32],
    /// Entropies of this choice, `[rows]`.
    pub(crate) entropies: &'a [f32],
    /// Their weights, `[rows]`.
    pub(crate) entropy_weights: &'a [f32],
}

/// Overwrites `out` with the gradient of `w · ln p[chosen] + v · H` with respect to the logits:
/// `w · (1[a = chosen] − p[a]) − v · p[a] · (ln p[a] + H)`.
///
/// # Shapes
/// `out`: `[options, rows]`.
pub(crate) fn gradient_columns(choice: &ChoiceGradient<'_>, out: &mut [f32]) {
    let rows = choice.chosen.len();
    let lengths = [choice.log_prob_weights.len(), choice.entropies.len(), choice.entropy_weights.len()];
    assert!(lengths == [rows; 3], "{rows} rows");
    assert!(
        choice.log_probs.len() == out.len() && choice.probs.len() == out.len(),
        "a gradient for each logit"
    );
    assert!(out.len().is_multiple_of(rows.max(1)), "columns of {rows}");
    dispatch(Gradient { choice, out });
}

struct Gradient<'a> {
    choice: &'a ChoiceGradient<'a>,
    out: &'a mut [f32],
}

impl WithSimd for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { choice, out } = self;
        let (rows, len) = (choice.chosen.len(), out.len());
        let out = out.as_mut_ptr();
        let mut at = 0;
        while at < rows {
            // SAFETY: at < rows, the length of what is read of rows; the column's start + rows <= len, that of the others.
            unsafe {
                let of_row = |values: &[f32]| load_at(simd, values.as_ptr(), at, rows);
                let (chosen, weight) = (of_row(choice.chosen), of_row(choice.log_prob_weights));
                let (entropy, entropy_weight) = (of_row(choice.entropies), of_row(choice.entropy_weights));
                let (mut column, mut option) = (0, 0);
                while column < len {
                    let log_prob = load_at(simd, choice.log_probs.as_ptr().add(column), at, rows);
                    let prob = load_at(simd, choice.probs.as_ptr().add(column), at, rows);
                    let surprise = simd.add_f32s(plogp(simd, log_prob, prob), simd.mul_f32s(prob, entropy));
                    let of_entropy = simd.neg_f32s(simd.mul_f32s(entropy_weight, surprise));
                    let away = simd.sub_f32s(of_entropy, simd.mul_f32s(weight, prob));
                    let is_chosen = simd.equal_f32s(chosen, simd.splat_f32s(option as f32));
                    let value = simd.select_f32s(is_chosen, simd.add_f32s(away, weight), away);
                    store_at(simd, out.add(column), at, rows, value);
                    (column, option) = (column + rows, option + 1);
                }
            }
            at += S::F32_LANES;
        }
    }
}
