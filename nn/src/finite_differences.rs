//! Comparison of gradients with central differences, for tests.

/// Compares a gradient with central differences of `f`, a reimplementation in `f64`.
///
/// The step 1e-4 leaves an error of about 1e-8 times the third derivative; the bound, 2e-4 of the greatest derivative
/// or absolutely, is what `f32` arithmetic needs.
#[track_caller]
pub(crate) fn assert_gradient(name: &str, f: impl Fn(&[f64]) -> f64, at: &[f32], gradient: &[f32]) {
    const STEP: f64 = 1e-4;
    assert_eq!(at.len(), gradient.len(), "{name}");
    let scale = gradient.iter().fold(1.0, |max: f64, &g| max.max(f64::from(g).abs()));
    let mut point = widen(at);
    for (index, &got) in gradient.iter().enumerate() {
        let middle = point[index];
        point[index] = middle + STEP;
        let up = f(&point);
        point[index] = middle - STEP;
        let down = f(&point);
        point[index] = middle;
        let expected = (up - down) / (2.0 * STEP);
        let error = (f64::from(got) - expected).abs();
        assert!(error < 2e-4 * scale, "{name}, derivative {index}: expected {expected}, got {got}");
    }
}

pub(crate) fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

/// `Σ values · weights`.
pub(crate) fn weighted_sum(values: &[f64], weights: &[f32]) -> f64 {
    values.iter().zip(weights).map(|(&x, &w)| x * f64::from(w)).sum()
}
