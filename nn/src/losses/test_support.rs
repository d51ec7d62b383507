//! Random inputs, and the comparison of gradients with finite differences.

use proptest::prelude::*;

use crate::finite_differences::assert_gradient;

pub(super) use crate::finite_differences::widen;

/// Compares a gradient with central differences of `f`, a reimplementation in `f64`.
#[track_caller]
pub(super) fn assert_derivative(f: impl Fn(&[f64]) -> f64, at: &[f32], gradient: &[f32]) {
    assert_gradient("the loss", f, at, gradient);
}

/// `count` values in −`bound`..`bound`.
pub(super) fn values(count: usize, bound: f32) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(-bound..bound, count)
}

/// The logarithms of the probabilities of one row of logits, over the allowed actions.
pub(super) fn log_softmax(logits: &[f64], mask: &[bool]) -> Vec<f64> {
    let sum: f64 = logits.iter().zip(mask).filter(|(_, allowed)| **allowed).map(|(x, _)| x.exp()).sum();
    let log_prob = |(x, &allowed): (&f64, &bool)| if allowed { x - sum.ln() } else { f64::NEG_INFINITY };
    logits.iter().zip(mask).map(log_prob).collect()
}
