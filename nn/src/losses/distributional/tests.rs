//! Hand-computed numbers, identities and gradients.

use proptest::prelude::*;

use super::super::test_support::{assert_derivative, log_softmax, values, widen};
use super::*;
use crate::losses::categorical;

#[test]
fn the_support_is_even_and_has_an_expected_value() {
    let support = Support::new(-1.0, 3.0, 5).unwrap();
    assert_eq!((support.atoms(), support.spacing()), (5, 1.0));
    assert_eq!([0, 1, 4].map(|atom| support.value(atom)), [-1.0, 0.0, 3.0]);
    let mut out = [0.0; 2];
    let probs = [0.0, 0.0, 0.0, 0.0, 1.0, 0.5, 0.0, 0.0, 0.5, 0.0];
    support.expected_values(&probs, &mut out).unwrap();
    assert_eq!(out, [3.0, 0.5]);
    assert!(support.expected_values(&probs, &mut [0.0]).is_err());
}

#[test]
fn bad_supports_are_refused() {
    for (v_min, v_max, atoms) in [(1.0, 1.0, 5), (f32::NAN, 1.0, 5), (0.0, f32::INFINITY, 5), (0.0, 1.0, 1)] {
        assert!(Support::new(v_min, v_max, atoms).is_err(), "{v_min} {v_max} {atoms}");
    }
    let error = Support::new(2.0, 1.0, 5).unwrap_err();
    assert_eq!(error.to_string(), "v_min must be finite and less than v_max, got 2 to 1");
}

#[test]
fn projections_are_those_computed_by_hand() {
    let support = Support::new(-1.0, 1.0, 3).unwrap();
    let project = |probs: [f32; 3], reward, discount| {
        let mut out = [f32::NAN; 3];
        c51_project(&support, &probs, &[reward], &[discount], &mut out).unwrap();
        out
    };
    // Unmoved, moved by one atom, by half an atom, beyond the end, and terminated.
    assert_eq!(project([0.2, 0.3, 0.5], 0.0, 1.0), [0.2, 0.3, 0.5]);
    assert_eq!(project([0.5, 0.5, 0.0], 1.0, 1.0), [0.0, 0.5, 0.5]);
    assert_eq!(project([0.5, 0.5, 0.0], 0.5, 1.0), [0.25, 0.5, 0.25]);
    assert_eq!(project([0.25, 0.25, 0.5], -9.0, 1.0), [1.0, 0.0, 0.0]);
    assert_eq!(project([0.25, 0.25, 0.5], 0.25, 0.0), [0.0, 0.75, 0.25]);
    assert!(project([0.0, 1.0, 0.0], f32::NAN, 1.0)[0].is_nan());
    assert_eq!(project([0.0, 1.0, 0.0], f32::INFINITY, 1.0), [0.0, 0.0, 1.0]);
}

#[test]
fn the_cross_entropy_ignores_atoms_without_target() {
    let mut out = [0.0];
    cross_entropy_rows(&[0.5_f32.ln(), f32::NEG_INFINITY], &[1.0, 0.0], 2, &mut out).unwrap();
    assert_eq!(out, [std::f32::consts::LN_2]);
}

#[test]
fn quantile_losses_are_those_computed_by_hand() {
    // τ is ¼ and ¾; the errors are 2 and −0.5: ¼ · 1.5 + ¼ · 0.125.
    let (mut loss, mut gradient) = ([f32::NAN], [f32::NAN; 2]);
    quantile_huber(&[0.0, 2.5], &[2.0], 1.0, &[3.0], &mut loss, &mut gradient).unwrap();
    assert!((loss[0] - 0.406_25).abs() < 1e-6);
    assert_eq!(gradient, [-0.75, 0.375]);
    assert!(quantile_huber(&[0.0], &[0.0], 0.0, &[1.0], &mut loss, &mut gradient[..1]).is_err());
    assert!(quantile_huber(&[0.0], &[], 1.0, &[1.0], &mut loss, &mut gradient[..1]).is_err());
    assert!(quantile_huber(&[0.0; 3], &[0.0; 2], 1.0, &[1.0; 2], &mut [0.0; 2], &mut [0.0; 3]).is_err());
}

#[test]
fn quantiles_may_lie_anywhere() {
    let (quantiles, targets, weights) = ([0.0, 2.5, -1.0, 0.5], [2.0, 1.0, 3.0, -2.0], [3.0, 1.0]);
    let (mut expected, mut slopes) = ([0.0; 2], [0.0; 4]);
    quantile_huber(&quantiles, &targets, 1.0, &weights, &mut expected, &mut slopes).unwrap();
    let (mut loss, mut gradient) = ([0.0; 2], [0.0; 4]);
    let taus = [0.25, 0.75, 0.25, 0.75];
    quantile_huber_at(&quantiles, &taus, &targets, 1.0, &weights, &mut loss, &mut gradient).unwrap();
    assert_eq!((loss, gradient), (expected, slopes));
    // τ = 0.9 of an error of 2, and 1 − 0.9 of one of −0.5.
    let (mut loss, mut gradient) = ([0.0], [0.0; 2]);
    quantile_huber_at(&[0.0, 2.5], &[0.9, 0.9], &[2.0], 1.0, &[1.0], &mut loss, &mut gradient).unwrap();
    assert!((loss[0] - (0.9 * 1.5 + 0.1 * 0.125)).abs() < 1e-6);
    assert!((gradient[0] + 0.9).abs() < 1e-6 && (gradient[1] - 0.05).abs() < 1e-6);
    assert!(quantile_huber_at(&[0.0], &[], &[0.0], 1.0, &[1.0], &mut loss, &mut gradient[..1]).is_err());
}

#[test]
fn extreme_quantiles_have_bounded_gradients() {
    let (mut loss, mut gradient) = ([0.0], [0.0; 2]);
    quantile_huber(&[1e4, -1e4], &[0.0], 1.0, &[1.0], &mut loss, &mut gradient).unwrap();
    assert!(loss[0].is_finite());
    assert_eq!(gradient, [0.75, -0.75]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn projections_keep_mass_and_inside_the_support_the_mean(
        (logits, reward, discount) in (2_usize..60).prop_flat_map(|n| (values(n, 3.0), -1.0_f32..1.0, 0.0_f32..0.7))
    ) {
        let support = Support::new(-5.0, 5.0, logits.len()).unwrap();
        let mut probs = vec![0.0; logits.len()];
        categorical::softmax_rows(&logits, logits.len(), &mut probs).unwrap();
        let mut projected = vec![0.0; logits.len()];
        c51_project(&support, &probs, &[reward], &[discount], &mut projected).unwrap();
        prop_assert!(projected.iter().all(|&p| (-1e-6..1.001).contains(&p)));
        prop_assert!((projected.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        // The reward and the discounted support lie inside, so nothing is clipped.
        let (mut before, mut after) = ([0.0], [0.0]);
        support.expected_values(&probs, &mut before).unwrap();
        support.expected_values(&projected, &mut after).unwrap();
        prop_assert!((after[0] - (reward + discount * before[0])).abs() < 1e-4);
    }

    #[test]
    fn the_cross_entropy_gradient_agrees_with_finite_differences(
        (logits, targets, weight) in (1_usize..60).prop_flat_map(|n| (values(n, 3.0), values(n, 1.0), -1.0_f32..1.0))
    ) {
        let n = logits.len();
        let targets: Vec<f32> = targets.iter().map(|t| t.abs()).collect();
        let loss = |x: &[f64]| {
            let log_probs = log_softmax(x, &vec![true; n]);
            -f64::from(weight) * log_probs.iter().zip(&targets).map(|(l, &t)| l * f64::from(t)).sum::<f64>()
        };
        let (mut log_probs, mut probs, mut value) = (vec![0.0; n], vec![0.0; n], [0.0]);
        categorical::log_softmax_rows(&logits, n, &mut log_probs).unwrap();
        categorical::softmax_rows(&logits, n, &mut probs).unwrap();
        cross_entropy_rows(&log_probs, &targets, n, &mut value).unwrap();
        prop_assert!((f64::from(weight * value[0]) - loss(&widen(&logits))).abs() < 1e-3);
        let mut gradient = vec![0.0; n];
        add_cross_entropy_gradient(&probs, &targets, weight, &mut gradient);
        assert_derivative(loss, &logits, &gradient);
    }

    #[test]
    fn the_quantile_gradient_agrees_with_finite_differences(
        (n, m, quantiles, targets, weights, kappa) in (1_usize..4, 1_usize..9, 1_usize..9).prop_flat_map(
            |(rows, n, m)| {
                (Just(n), Just(m), values(rows * n, 3.0), values(rows * m, 3.0), values(rows, 1.0), 0.3_f32..2.0)
            }
        )
    ) {
        let kappa64 = f64::from(kappa);
        let loss = |x: &[f64]| {
            let part = |i: usize, j: usize| {
                let row = i / n;
                let tau = ((i % n) as f64 + 0.5) / n as f64;
                let error = f64::from(targets[row * m + j]) - x[i];
                let huber = if error.abs() <= kappa64 {
                    0.5 * error * error
                } else {
                    kappa64 * (error.abs() - 0.5 * kappa64)
                };
                let below = if error < 0.0 { 1.0 } else { 0.0 };
                f64::from(weights[row]) * (tau - below).abs() * huber / (kappa64 * m as f64)
            };
            (0..x.len()).flat_map(|i| (0..m).map(move |j| (i, j))).map(|(i, j)| part(i, j)).sum::<f64>()
        };
        let (mut out, mut gradient) = (vec![0.0; weights.len()], vec![0.0; quantiles.len()]);
        quantile_huber(&quantiles, &targets, kappa, &weights, &mut out, &mut gradient).unwrap();
        let value: f32 = out.iter().zip(&weights).map(|(x, w)| x * w).sum();
        prop_assert!((f64::from(value) - loss(&widen(&quantiles))).abs() < 1e-3);
        // The derivative is continuous: near a kink the differences are off by no more than the step.
        assert_derivative(loss, &quantiles, &gradient);
    }
}
