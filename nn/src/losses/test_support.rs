//! Random inputs, and the comparison of gradients with finite differences.

use proptest::prelude::*;

/// Compares a gradient with central differences of `f`, a reimplementation in `f64`.
///
/// The step 1e-4 leaves an error of about 1e-8 times the third derivative. The bound, 2e-4 of the greatest derivative or
/// absolutely, is what `f32` arithmetic needs.
#[track_caller]
pub(super) fn assert_derivative(f: impl Fn(&[f64]) -> f64, at: &[f32], gradient: &[f32]) {
    assert_eq!(at.len(), gradient.len());
    const STEP: f64 = 1e-4;
    let scale = gradient.iter().fold(1.0, |max: f64, &g| max.max(f64::from(g).abs()));
    let mut point: Vec<f64> = at.iter().map(|&x| f64::from(x)).collect();
    for (index, &got) in gradient.iter().enumerate() {
        let middle = point[index];
        point[index] = middle + STEP;
        let up = f(&point);
        point[index] = middle - STEP;
        let down = f(&point);
        point[index] = middle;
        let expected = (up - down) / (2.0 * STEP);
        let error = (f64::from(got) - expected).abs();
        assert!(error < 2e-4 * scale, "derivative {index}: expected {expected}, got {got}");
    }
}

/// `count` values in −`bound`..`bound`.
pub(super) fn values(count: usize, bound: f32) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(-bound..bound, count)
}

pub(super) fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

/// The logarithms of the probabilities of one row of logits, over the allowed actions.
pub(super) fn log_softmax(logits: &[f64], mask: &[bool]) -> Vec<f64> {
    let sum: f64 = logits.iter().zip(mask).filter(|(_, allowed)| **allowed).map(|(x, _)| x.exp()).sum();
    let log_prob = |(x, &allowed): (&f64, &bool)| if allowed { x - sum.ln() } else { f64::NEG_INFINITY };
    logits.iter().zip(mask).map(log_prob).collect()
}
