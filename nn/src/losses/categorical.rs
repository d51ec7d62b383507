//! The categorical distribution given by logits: `p = softmax(logits)`.
//!
//! Batch forms take rows of `n` logits and work in steps: [`log_softmax_rows`], then [`exp`] of a copy
//! for the probabilities, then entropies, draws and gradients from these two. The functions of one row compute
//! the same log-probabilities, bit for bit, so that a policy ratio right after acting is exactly one.
//!
//! A mask has a flag for each logit, false where the action is not allowed. Masked actions have probability exactly
//! zero, log-probability −∞ and no gradient, whatever their logits.

use crate::error::NnError;
use crate::kernels::{exp, ln};
use crate::matrix::check_length;

/// Values that are exponentiated together when rows are short.
const CHUNK: usize = 256;

/// As [`CHUNK`], for a few short rows.
const SMALL_CHUNK: usize = 32;

/// `out[b, a] = logits[b, a] − ln Σ exp(logits[b, ·])`.
///
/// # Shapes
/// `logits`, `out`: `[B, n]`.
///
/// # Errors
/// [`NnError::Length`] if the lengths differ or are no multiple of `n`, [`NnError::Empty`] if `n` is zero.
pub fn log_softmax_rows(logits: &[f32], n: usize, out: &mut [f32]) -> Result<(), NnError> {
    check_rows(logits, n, out)?;
    out.copy_from_slice(logits);
    normalize_rows(n, out);
    Ok(())
}

/// As [`log_softmax_rows`], over the allowed actions only; −∞ for the others.
///
/// # Shapes
/// `logits`, `mask`, `out`: `[B, n]`.
///
/// # Errors
/// As [`log_softmax_rows`], and [`NnError::AllActionsMasked`] if a row allows no action.
pub fn masked_log_softmax_rows(
    logits: &[f32],
    mask: &[bool],
    n: usize,
    out: &mut [f32],
) -> Result<(), NnError> {
    check_rows(logits, n, out)?;
    check_length("mask", logits.len(), mask.len())?;
    if let Some(row) = mask.chunks_exact(n).position(|row| row.iter().all(|&allowed| !allowed)) {
        return Err(NnError::AllActionsMasked { row });
    }
    for ((out, &logit), &allowed) in out.iter_mut().zip(logits).zip(mask) {
        *out = if !allowed { f32::NEG_INFINITY } else { logit };
    }
    normalize_rows(n, out);
    Ok(())
}

/// `out[b, a] = exp(logits[b, a]) / Σ exp(logits[b, ·])`.
///
/// # Shapes
/// `logits`, `out`: `[B, n]`.
///
/// # Errors
/// As [`log_softmax_rows`].
pub fn softmax_rows(logits: &[f32], n: usize, out: &mut [f32]) -> Result<(), NnError> {
    log_softmax_rows(logits, n, out)?;
    exp(out);
    Ok(())
}

fn check_rows(logits: &[f32], n: usize, out: &[f32]) -> Result<(), NnError> {
    if n == 0 {
        return Err(NnError::Empty { name: "logits", rows: logits.len(), columns: 0 });
    }
    check_length("logits", logits.len().next_multiple_of(n), logits.len())?;
    check_length("output", logits.len(), out.len())
}

/// Subtracts each row's log-sum-exp.
pub(super) fn normalize_rows(n: usize, rows: &mut [f32]) {
    if rows.len() <= SMALL_CHUNK {
        normalize_chunks::<SMALL_CHUNK>(n, rows);
    } else {
        normalize_chunks::<CHUNK>(n, rows);
    }
}

/// Takes the exponentials and logarithms of several rows together, up to `C` values.
fn normalize_chunks<const C: usize>(n: usize, rows: &mut [f32]) {
    let (mut exponentials, mut sums) = ([0.0; C], [0.0; C]);
    let rows_per_chunk = (C / n).max(1);
    for chunk in rows.chunks_mut(rows_per_chunk * n) {
        let count = chunk.len() / n;
        for row in chunk.chunks_exact_mut(n) {
            // A NaN is passed over here and turns up in the sum.
            let max = row.iter().fold(f32::NEG_INFINITY, |max, &x| if x > max { x } else { max });
            row.iter_mut().for_each(|x| *x -= max);
        }
        sums[..count].fill(0.0);
        for part in chunk.chunks(C) {
            let exponentials = &mut exponentials[..part.len()];
            exponentials.copy_from_slice(part);
            exp(exponentials);
            // Whole short rows, or a part of one long row.
            for (sum, row) in sums.iter_mut().zip(exponentials.chunks(n)) {
                *sum += row.iter().sum::<f32>();
            }
        }
        ln(&mut sums[..count]);
        for (row, &log_sum) in chunk.chunks_exact_mut(n).zip(&sums) {
            row.iter_mut().for_each(|x| *x -= log_sum);
        }
    }
}

/// `out[b] = −Σ p ln p` of each row.
///
/// # Shapes
/// `log_probs`, `probs`: `[B, n]`, `out`: `[B]`.
///
/// # Errors
/// [`NnError::Length`] unless `out` has a value for each row of `n`, and both others have the same length.
pub fn entropy_rows(log_probs: &[f32], probs: &[f32], n: usize, out: &mut [f32]) -> Result<(), NnError> {
    check_length("log_probs", out.len() * n, log_probs.len())?;
    check_length("probs", log_probs.len(), probs.len())?;
    for ((log_probs, probs), entropy) in log_probs.chunks_exact(n).zip(probs.chunks_exact(n)).zip(out) {
        *entropy = entropy_of(log_probs, probs);
    }
    Ok(())
}

pub(super) fn entropy_of(log_probs: &[f32], probs: &[f32]) -> f32 {
    -probs.iter().zip(log_probs).map(|(&prob, &log_prob)| plogp(prob, log_prob)).sum::<f32>()
}

/// `p ln p`, zero for `p = 0`.
fn plogp(prob: f32, log_prob: f32) -> f32 {
    if prob == 0.0 { 0.0 } else { prob * log_prob }
}

/// Adds the gradient of `weight · ln p[action]` with respect to one row of logits: `weight · (1[a = action] − p[a])`.
///
/// # Panics
/// If the slices differ in length or `action` is out of range.
#[inline]
pub fn add_log_prob_gradient(probs: &[f32], action: usize, weight: f32, gradient: &mut [f32]) {
    assert_eq!(probs.len(), gradient.len(), "a gradient for each logit");
    for (gradient, prob) in gradient.iter_mut().zip(probs) {
        *gradient -= weight * prob;
    }
    gradient[action] += weight;
}

/// Adds the gradient of `weight · entropy` with respect to one row of logits: `−weight · p[a] · (ln p[a] + entropy)`.
///
/// # Panics
/// If the slices differ in length.
#[inline]
pub fn add_entropy_gradient(
    log_probs: &[f32],
    probs: &[f32],
    entropy: f32,
    weight: f32,
    gradient: &mut [f32],
) {
    assert!(probs.len() == gradient.len() && log_probs.len() == gradient.len(), "a gradient for each logit");
    for ((gradient, &prob), &log_prob) in gradient.iter_mut().zip(probs).zip(log_probs) {
        *gradient -= weight * (plogp(prob, log_prob) + prob * entropy);
    }
}

/// `out[b] = KL(p ‖ q) = Σ p (ln p − ln q)` of each row; infinite where `p` has an action that `q` has masked.
///
/// # Shapes
/// `log_probs`, `probs` (of `p`), `other_log_probs` (of `q`): `[B, n]`, `out`: `[B]`.
///
/// # Errors
/// [`NnError::Length`] unless `out` has a value for each row of `n`, and all others have the same length.
pub fn kl_rows(
    log_probs: &[f32],
    probs: &[f32],
    other_log_probs: &[f32],
    n: usize,
    out: &mut [f32],
) -> Result<(), NnError> {
    check_length("log_probs", out.len() * n, log_probs.len())?;
    check_length("probs", log_probs.len(), probs.len())?;
    check_length("other_log_probs", log_probs.len(), other_log_probs.len())?;
    for (row, kl) in out.iter_mut().enumerate() {
        let range = row * n..(row + 1) * n;
        *kl = kl_of(&log_probs[range.clone()], &probs[range.clone()], &other_log_probs[range]);
    }
    Ok(())
}

pub(super) fn kl_of(log_probs: &[f32], probs: &[f32], other_log_probs: &[f32]) -> f32 {
    let values = log_probs.iter().zip(probs).zip(other_log_probs);
    values.map(|((&log_prob, &prob), &other)| log_ratio_part(prob, log_prob, other)).sum()
}

/// `p (ln p − ln q)`, zero for `p = 0`.
fn log_ratio_part(prob: f32, log_prob: f32, other_log_prob: f32) -> f32 {
    if prob == 0.0 { 0.0 } else { prob * (log_prob - other_log_prob) }
}

/// Adds the gradient of `weight · KL(p ‖ q)` with respect to one row of the logits of `p`:
/// `weight · p[a] · (ln p[a] − ln q[a] − KL)`.
///
/// # Panics
/// If the slices differ in length.
#[inline]
pub fn add_kl_gradient(
    log_probs: &[f32],
    probs: &[f32],
    other_log_probs: &[f32],
    kl: f32,
    weight: f32,
    gradient: &mut [f32],
) {
    let n = gradient.len();
    assert!(
        log_probs.len() == n && probs.len() == n && other_log_probs.len() == n,
        "a gradient for each logit"
    );
    for (a, gradient) in gradient.iter_mut().enumerate() {
        *gradient += weight * (log_ratio_part(probs[a], log_probs[a], other_log_probs[a]) - probs[a] * kl);
    }
}

/// Adds the gradient of `weight · KL(p ‖ q)` with respect to one row of the logits of `q`: `weight · (q[a] − p[a])`.
///
/// # Panics
/// If the slices differ in length.
#[inline]
pub fn add_kl_gradient_of_other(probs: &[f32], other_probs: &[f32], weight: f32, gradient: &mut [f32]) {
    let n = gradient.len();
    assert!(probs.len() == n && other_probs.len() == n, "a gradient for each logit");
    for ((gradient, &prob), &other) in gradient.iter_mut().zip(probs).zip(other_probs) {
        *gradient += weight * (other - prob);
    }
}

/// `ln p[action]` of one row of logits.
///
/// # Panics
/// If `action` is out of range.
#[must_use]
pub fn log_prob(logits: &[f32], action: usize) -> f32 {
    with_row(logits, None, |row| row[action])
}

/// As [`log_prob`], over the allowed actions only; −∞ for a masked action.
///
/// # Panics
/// If `action` is out of range, or the mask has another length.
#[must_use]
pub fn masked_log_prob(logits: &[f32], mask: &[bool], action: usize) -> f32 {
    with_row(logits, Some(mask), |row| row[action])
}

/// `−Σ p ln p` of one row of logits.
#[must_use]
pub fn entropy(logits: &[f32]) -> f32 {
    with_row(logits, None, entropy_of_row)
}

/// As [`entropy`], over the allowed actions only.
///
/// # Panics
/// If the mask has another length.
#[must_use]
pub fn masked_entropy(logits: &[f32], mask: &[bool]) -> f32 {
    with_row(logits, Some(mask), entropy_of_row)
}

/// Draws an action by inverting the distribution function at `u`, uniform in `0..1`.
///
/// The smallest action whose cumulative probability exceeds `u`.
#[must_use]
pub fn sample(logits: &[f32], u: f32) -> usize {
    with_row(logits, None, |row| sample_row(row, u))
}

/// As [`sample`], over the allowed actions only.
///
/// # Panics
/// If the mask has another length.
#[must_use]
pub fn masked_sample(logits: &[f32], mask: &[bool], u: f32) -> usize {
    with_row(logits, Some(mask), |row| sample_row(row, u))
}

/// Draws an action from a row of probabilities; see [`sample`].
#[must_use]
#[inline]
pub fn sample_probs(probs: &[f32], u: f32) -> usize {
    let (mut cumulative, mut last) = (0.0, 0);
    for (action, &prob) in probs.iter().enumerate() {
        if prob > 0.0 {
            cumulative += prob;
            last = action;
            if cumulative > u {
                return action;
            }
        }
    }
    // Rounding may leave the sum just below u: then the last possible action.
    last
}

/// Draws an action from a row of log-probabilities; see [`sample`].
#[must_use]
pub fn sample_log_probs(log_probs: &[f32], u: f32) -> usize {
    with_copy(log_probs, |row| sample_row(row, u))
}

/// Draws from log-probabilities, which become probabilities.
fn sample_row(row: &mut [f32], u: f32) -> usize {
    exp(row);
    sample_probs(row, u)
}

/// The entropy of one row of log-probabilities.
fn entropy_of_row(row: &mut [f32]) -> f32 {
    let mut probs = [0.0; SMALL_CHUNK];
    let parts = row.chunks(SMALL_CHUNK).map(|part| {
        let probs = &mut probs[..part.len()];
        probs.copy_from_slice(part);
        exp(probs);
        entropy_of(part, probs)
    });
    parts.sum()
}

/// The most probable action; the first among equals.
#[must_use]
#[doc(alias = "argmax")]
pub fn mode(logits: &[f32]) -> usize {
    best(logits.iter().copied().enumerate())
}

/// As [`mode`], over the allowed actions only.
#[must_use]
pub fn masked_mode(logits: &[f32], mask: &[bool]) -> usize {
    best(logits.iter().copied().enumerate().filter(|&(action, _)| mask[action]))
}

fn best(mut candidates: impl Iterator<Item = (usize, f32)>) -> usize {
    let Some(first) = candidates.next() else { return 0 };
    candidates.fold(first, |best, next| if next.1 > best.1 { next } else { best }).0
}

/// Gives `f` the log-probabilities of one row of logits.
fn with_row<T>(logits: &[f32], mask: Option<&[bool]>, f: impl FnOnce(&mut [f32]) -> T) -> T {
    with_copy(logits, |row| {
        if let Some(mask) = mask {
            assert_eq!(mask.len(), row.len(), "a mask for each logit");
            for (x, &allowed) in row.iter_mut().zip(mask) {
                if !allowed {
                    *x = f32::NEG_INFINITY;
                }
            }
        }
        if !row.is_empty() {
            normalize_rows(row.len(), row);
        }
        f(row)
    })
}

/// Gives `f` a copy of the values: on the stack, or on the heap if there are many.
fn with_copy<T>(values: &[f32], f: impl FnOnce(&mut [f32]) -> T) -> T {
    let (mut short, mut long);
    let copy = if values.len() <= SMALL_CHUNK {
        short = [0.0; SMALL_CHUNK];
        &mut short[..values.len()]
    } else {
        long = vec![0.0; values.len()];
        &mut long[..]
    };
    copy.copy_from_slice(values);
    f(copy)
}

#[cfg(test)]
mod tests;
