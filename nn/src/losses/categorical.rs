//! The categorical distribution given by logits: `p = softmax(logits)`.
//!
//! Batch forms take rows of `n` logits and work in two steps: [`log_softmax_rows`] once, then everything else from
//! the log-probabilities. The functions of one row compute the same bits as the batch forms, so that a policy ratio
//! right after acting is exactly one.
//!
//! A mask has a flag for each logit, false where the action is not allowed. Masked actions have probability exactly
//! zero, log-probability −∞ and no gradient, whatever their logits.

use crate::error::NnError;
use crate::kernels::{exp, ln};
use crate::matrix::check_length;

/// Values that are exponentiated together when rows are short.
const CHUNK: usize = 256;

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

fn check_rows(logits: &[f32], n: usize, out: &[f32]) -> Result<(), NnError> {
    if n == 0 {
        return Err(NnError::Empty { name: "logits", rows: logits.len(), columns: 0 });
    }
    check_length("logits", logits.len().next_multiple_of(n), logits.len())?;
    check_length("output", logits.len(), out.len())
}

/// Subtracts each row's log-sum-exp. Exponentials and logarithms of several rows are taken together.
fn normalize_rows(n: usize, rows: &mut [f32]) {
    let mut exponentials = [0.0; CHUNK];
    let mut sums = [0.0; CHUNK];
    let rows_per_chunk = (CHUNK / n).max(1);
    for chunk in rows.chunks_mut(rows_per_chunk * n) {
        let count = chunk.len() / n;
        for row in chunk.chunks_exact_mut(n) {
            let max =
                row.iter().fold(f32::NEG_INFINITY, |max, &x| if x > max || x.is_nan() { x } else { max });
            row.iter_mut().for_each(|x| *x -= max);
        }
        sums[..count].fill(0.0);
        for (index, part) in chunk.chunks(CHUNK).enumerate() {
            let exponentials = &mut exponentials[..part.len()];
            exponentials.copy_from_slice(part);
            exp(exponentials);
            if n > CHUNK {
                // One long row, part after part.
                sums[0] += exponentials.iter().sum::<f32>();
            } else {
                debug_assert_eq!(index, 0, "short rows come in one part");
                for (sum, row) in sums.iter_mut().zip(exponentials.chunks_exact(n)) {
                    *sum = row.iter().sum();
                }
            }
        }
        ln(&mut sums[..count]);
        for (row, &log_sum) in chunk.chunks_exact_mut(n).zip(&sums) {
            row.iter_mut().for_each(|x| *x -= log_sum);
        }
    }
}

/// `out[b] = −Σ p ln p` of each row, from log-probabilities.
///
/// # Shapes
/// `log_probs`: `[B, n]`, `out`: `[B]`.
///
/// # Errors
/// [`NnError::Length`] unless `out` has a value for each row of `n`.
pub fn entropy_rows(log_probs: &[f32], n: usize, out: &mut [f32]) -> Result<(), NnError> {
    check_length("log_probs", out.len() * n, log_probs.len())?;
    let mut probs = [0.0; CHUNK];
    for (row, entropy) in log_probs.chunks_exact(n).zip(out) {
        *entropy = 0.0;
        for part in row.chunks(CHUNK) {
            let probs = &mut probs[..part.len()];
            probs.copy_from_slice(part);
            exp(probs);
            *entropy -= part.iter().zip(&*probs).map(|(&log_prob, &prob)| plogp(prob, log_prob)).sum::<f32>();
        }
    }
    Ok(())
}

/// `p ln p`, zero for `p = 0`.
fn plogp(prob: f32, log_prob: f32) -> f32 {
    if prob == 0.0 { 0.0 } else { prob * log_prob }
}

/// Adds the gradient of `weight · ln p[action]` with respect to one row of logits: `weight · (1[a = action] − p[a])`.
///
/// # Panics
/// If the slices differ in length or `action` is out of range.
pub fn add_log_prob_gradient(log_probs: &[f32], action: usize, weight: f32, gradient: &mut [f32]) {
    assert_eq!(log_probs.len(), gradient.len(), "a gradient for each logit");
    for_each_prob(log_probs, |a, prob| gradient[a] -= weight * prob);
    gradient[action] += weight;
}

/// Adds the gradient of `weight · entropy` with respect to one row of logits: `−weight · p[a] · (ln p[a] + entropy)`.
///
/// # Panics
/// If the slices differ in length.
pub fn add_entropy_gradient(log_probs: &[f32], entropy: f32, weight: f32, gradient: &mut [f32]) {
    assert_eq!(log_probs.len(), gradient.len(), "a gradient for each logit");
    for_each_prob(log_probs, |a, prob| {
        gradient[a] -= weight * (plogp(prob, log_probs[a]) + prob * entropy);
    });
}

fn for_each_prob(log_probs: &[f32], mut f: impl FnMut(usize, f32)) {
    let mut probs = [0.0; CHUNK];
    for (index, part) in log_probs.chunks(CHUNK).enumerate() {
        let probs = &mut probs[..part.len()];
        probs.copy_from_slice(part);
        exp(probs);
        probs.iter().enumerate().for_each(|(a, &prob)| f(index * CHUNK + a, prob));
    }
}

/// `ln p[action]` of one row of logits.
///
/// # Panics
/// If `action` is out of range.
#[must_use]
pub fn log_prob(logits: &[f32], action: usize) -> f32 {
    with_row(logits, None, |log_probs| log_probs[action])
}

/// As [`log_prob`], over the allowed actions only; −∞ for a masked action.
///
/// # Panics
/// If `action` is out of range, or the mask has another length.
#[must_use]
pub fn masked_log_prob(logits: &[f32], mask: &[bool], action: usize) -> f32 {
    with_row(logits, Some(mask), |log_probs| log_probs[action])
}

/// `−Σ p ln p` of one row of logits.
#[must_use]
pub fn entropy(logits: &[f32]) -> f32 {
    with_row(logits, None, entropy_of)
}

/// As [`entropy`], over the allowed actions only.
///
/// # Panics
/// If the mask has another length.
#[must_use]
pub fn masked_entropy(logits: &[f32], mask: &[bool]) -> f32 {
    with_row(logits, Some(mask), entropy_of)
}

fn entropy_of(log_probs: &[f32]) -> f32 {
    let mut entropy = 0.0;
    for_each_prob(log_probs, |a, prob| entropy += plogp(prob, log_probs[a]));
    -entropy
}

/// Draws an action by inverting the distribution function at `u`, uniform in `0..1`.
///
/// The smallest action whose cumulative probability exceeds `u`.
#[must_use]
pub fn sample(logits: &[f32], u: f32) -> usize {
    with_row(logits, None, |log_probs| invert(log_probs, u))
}

/// As [`sample`], over the allowed actions only.
///
/// # Panics
/// If the mask has another length.
#[must_use]
pub fn masked_sample(logits: &[f32], mask: &[bool], u: f32) -> usize {
    with_row(logits, Some(mask), |log_probs| invert(log_probs, u))
}

/// Draws an action from a row of log-probabilities; see [`sample`].
#[must_use]
pub fn sample_log_probs(log_probs: &[f32], u: f32) -> usize {
    invert(log_probs, u)
}

fn invert(log_probs: &[f32], u: f32) -> usize {
    let (mut cumulative, mut chosen, mut last) = (0.0, None, 0);
    for_each_prob(log_probs, |a, prob| {
        if prob > 0.0 {
            cumulative += prob;
            last = a;
            if chosen.is_none() && cumulative > u {
                chosen = Some(a);
            }
        }
    });
    // Rounding may leave the sum just below u: then the last possible action.
    chosen.unwrap_or(last)
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

/// Log-probabilities of one row on the stack, or on the heap if it is long.
fn with_row<T>(logits: &[f32], mask: Option<&[bool]>, f: impl FnOnce(&[f32]) -> T) -> T {
    let mut short = [0.0; CHUNK];
    let mut long = Vec::new();
    let row = match short.get_mut(..logits.len()) {
        Some(row) => row,
        None => {
            long.resize(logits.len(), 0.0);
            &mut long
        }
    };
    row.copy_from_slice(logits);
    if let Some(mask) = mask {
        assert_eq!(mask.len(), logits.len(), "a mask for each logit");
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
}

#[cfg(test)]
mod tests;
