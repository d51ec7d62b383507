//! Binary cross-entropy.

/// Binary cross-entropy of a logit with a target in 0..1, and its derivative with respect to the logit.
///
/// `−t ln σ(x) − (1 − t) ln(1 − σ(x)) = max(x, 0) − t·x + ln(1 + e^−|x|)`, with derivative `σ(x) − t`; finite for
/// every finite logit.
///
/// # Source
/// `torch.nn.functional.binary_cross_entropy_with_logits` (PyTorch 2.9).
#[must_use]
#[inline]
pub fn bce_with_logits(logit: f32, target: f32) -> (f32, f32) {
    let (softplus, sigmoid) = softplus(logit);
    (softplus - target * logit, sigmoid - target)
}

/// `ln(1 + e^x)`, and its derivative `1 / (1 + e^−x)`.
#[inline]
pub(super) fn softplus(x: f32) -> (f32, f32) {
    let small = libm::expf(-x.abs());
    let derivative = if x >= 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) };
    (max_or_nan(x) + libm::log1pf(small), derivative)
}

/// `max(x, 0)`, and NaN for NaN.
fn max_or_nan(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::test_support::assert_derivative;
    use super::*;

    fn exact(logit: f64, target: f64) -> f64 {
        let sigmoid = 1.0 / (1.0 + (-logit).exp());
        -target * sigmoid.ln() - (1.0 - target) * (1.0 - sigmoid).ln()
    }

    #[test]
    fn values_are_those_computed_by_hand() {
        let (value, derivative) = bce_with_logits(0.0, 1.0);
        assert!((value - std::f32::consts::LN_2).abs() < 1e-7);
        assert_eq!(derivative, -0.5);
    }

    #[test]
    fn extreme_logits_give_finite_values() {
        assert_eq!(bce_with_logits(1e4, 0.0), (1e4, 1.0));
        assert_eq!(bce_with_logits(-1e4, 1.0), (1e4, -1.0));
        assert_eq!(bce_with_logits(1e4, 1.0), (0.0, 0.0));
        assert_eq!(bce_with_logits(-1e4, 0.0), (0.0, 0.0));
        assert!(bce_with_logits(f32::NAN, 0.0).0.is_nan() && bce_with_logits(f32::NAN, 0.0).1.is_nan());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn the_derivative_agrees_with_finite_differences(logit in -8.0_f32..8.0, target in 0.0_f32..1.0) {
            let (value, derivative) = bce_with_logits(logit, target);
            let exact = |x: &[f64]| exact(x[0], f64::from(target));
            prop_assert!((f64::from(value) - exact(&[f64::from(logit)])).abs() < 1e-5);
            assert_derivative(exact, &[logit], &[derivative]);
        }
    }
}
