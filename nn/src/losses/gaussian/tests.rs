//! Hand-computed numbers, identities and gradients.

use proptest::prelude::*;

use super::super::test_support::{assert_derivative, values, widen};
use super::*;

/// Two batches of distributions, actions and weights.
#[derive(Debug, Clone)]
struct Case {
    dim: usize,
    mean: Vec<f32>,
    log_std: Vec<f32>,
    other_mean: Vec<f32>,
    other_log_std: Vec<f32>,
    actions: Vec<f32>,
    weights: Vec<f32>,
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = (1_usize..4, prop_oneof![4 => 1_usize..6, 1 => 250_usize..300]);
    (sizes, any::<bool>(), any::<bool>()).prop_flat_map(|((rows, dim), shared, other_shared)| {
        let count = rows * dim;
        let log_std = |shared| values(if shared { dim } else { count }, 1.0);
        (
            (values(count, 2.0), log_std(shared), values(count, 2.0), log_std(other_shared)),
            (values(count, 2.0), values(rows, 1.0)),
        )
            .prop_map(move |((mean, log_std, other_mean, other_log_std), (actions, weights))| Case {
                dim,
                mean,
                log_std,
                other_mean,
                other_log_std,
                actions,
                weights,
            })
    })
}

/// The sum over rows and components of `weights[row] · part(index, column)`, both of the means.
fn weighted(case: &Case, part: impl Fn(usize, usize) -> f64) -> f64 {
    (0..case.mean.len()).map(|i| f64::from(case.weights[i / case.dim]) * part(i, i % case.dim)).sum()
}

fn log_std_at(log_std: &[f64], dim: usize, index: usize, column: usize) -> f64 {
    if log_std.len() == dim { log_std[column] } else { log_std[index] }
}

fn dot(values: &[f32], weights: &[f32]) -> f64 {
    values.iter().zip(weights).map(|(&value, &weight)| f64::from(value) * f64::from(weight)).sum()
}

#[test]
fn values_are_those_computed_by_hand() {
    let gaussian = Gaussian::new(&[1.0, -1.0], &[0.0, std::f32::consts::LN_2], 2).unwrap();
    let mut out = [f32::NAN];
    // z is 2 and 1: −2 − ½ − ln 2 − ln 2π.
    gaussian.log_prob(&[3.0, 1.0], &mut out).unwrap();
    assert!((out[0] - (-2.5 - std::f32::consts::LN_2 - 1.837_877)).abs() < 1e-5);
    gaussian.entropy(&mut out).unwrap();
    assert!((out[0] - (1.0 + 1.837_877 + std::f32::consts::LN_2)).abs() < 1e-5);
    // From the standard normal distribution: ½ (1 + 1 − 1 − 0) + ½ (4 + 1 − 1 − 2 ln 2).
    let standard = Gaussian::new(&[0.0, 0.0], &[0.0, 0.0], 2).unwrap();
    gaussian.kl(&standard, &mut out).unwrap();
    assert!((out[0] - (2.5 - std::f32::consts::LN_2)).abs() < 1e-5);
    gaussian.kl(&gaussian, &mut out).unwrap();
    assert_eq!(out, [0.0]);
    let mut actions = [0.0; 2];
    gaussian.sample(&[1.0, -1.0], &mut actions).unwrap();
    assert!((actions[0] - 2.0).abs() < 1e-6 && (actions[1] + 3.0).abs() < 1e-6);
    assert_eq!(gaussian.mode(), [1.0, -1.0]);
}

#[test]
fn rows_have_the_same_bits_alone_and_in_a_batch() {
    let dim = 3;
    let mean: Vec<f32> = (0..dim * 200).map(|i| ((i * 7919) % 1000) as f32 / 300.0 - 1.5).collect();
    let log_std: Vec<f32> = mean.iter().map(|x| 0.3 * x - 0.5).collect();
    let actions: Vec<f32> = mean.iter().map(|x| 1.0 - x * x).collect();
    let (mut batch, mut row) = (vec![0.0; 200], [0.0]);
    Gaussian::new(&mean, &log_std, dim).unwrap().log_prob(&actions, &mut batch).unwrap();
    for (i, &expected) in batch.iter().enumerate() {
        let range = i * dim..(i + 1) * dim;
        let alone = Gaussian::new(&mean[range.clone()], &log_std[range.clone()], dim).unwrap();
        alone.log_prob(&actions[range], &mut row).unwrap();
        assert_eq!(row[0].to_bits(), expected.to_bits());
    }
}

#[test]
fn extreme_parameters_stay_finite() {
    let (mean, log_std) = ([1e4, -1e4, 0.0, 0.0], [20.0, -20.0, -20.0, 20.0]);
    let (other_mean, other_log_std) = ([-1e4, 1e4, 0.0, 1.0], [-20.0, 20.0, 20.0, -20.0]);
    let gaussian = Gaussian::new(&mean, &log_std, 4).unwrap();
    let other = Gaussian::new(&other_mean, &other_log_std, 4).unwrap();
    let (mut log_prob, mut entropy, mut kl) = ([0.0], [0.0], [0.0]);
    gaussian.log_prob(&other_mean, &mut log_prob).unwrap();
    gaussian.entropy(&mut entropy).unwrap();
    gaussian.kl(&other, &mut kl).unwrap();
    let (mut of_mean, mut of_log_std) = ([0.0; 4], [0.0; 4]);
    let mut gradient = GaussianGradient { mean: &mut of_mean, log_std: &mut of_log_std };
    gaussian.add_log_prob_gradient(&other_mean, &[1.0], &mut gradient).unwrap();
    gaussian.add_kl_gradient(&other, &[1.0], &mut gradient).unwrap();
    gaussian.add_kl_gradient_of_other(&other, &[1.0], &mut gradient).unwrap();
    let all = [log_prob, entropy, kl].concat();
    assert!(all.iter().chain(&of_mean).chain(&of_log_std).all(|x| x.is_finite()), "{all:?}");
}

#[test]
fn wrong_lengths_are_refused() {
    let values = [0.0; 6];
    assert!(Gaussian::new(&values, &values, 0).is_err());
    assert!(Gaussian::new(&values, &values, 4).is_err());
    assert!(Gaussian::new(&values, &values[..2], 3).is_err());
    let gaussian = Gaussian::new(&values, &values[..3], 3).unwrap();
    assert_eq!(gaussian.rows(), 2);
    assert!(gaussian.log_prob(&values[..3], &mut [0.0; 2]).is_err());
    assert!(gaussian.log_prob(&values, &mut [0.0; 3]).is_err());
    assert!(gaussian.sample(&values, &mut [0.0; 3]).is_err());
    let other = Gaussian::new(&values, &values, 2).unwrap();
    assert!(gaussian.kl(&other, &mut [0.0; 2]).is_err());
    // The gradient has the shape of the shared logarithms.
    let (mut of_mean, mut of_log_std) = ([0.0; 6], [0.0; 6]);
    let mut gradient = GaussianGradient { mean: &mut of_mean, log_std: &mut of_log_std };
    assert!(gaussian.add_log_prob_gradient(&values, &[1.0; 2], &mut gradient).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn log_probabilities_agree_with_finite_differences(case in cases()) {
        let gaussian = Gaussian::new(&case.mean, &case.log_std, case.dim).unwrap();
        let loss = |x: &[f64]| {
            let (mean, log_std) = x.split_at(case.mean.len());
            weighted(&case, |i, column| {
                let log_std = log_std_at(log_std, case.dim, i, column);
                let z = (f64::from(case.actions[i]) - mean[i]) / log_std.exp();
                -0.5 * z * z - log_std - 0.5 * (2.0 * std::f64::consts::PI).ln()
            })
        };
        let mut out = vec![0.0; gaussian.rows()];
        gaussian.log_prob(&case.actions, &mut out).unwrap();
        let at = [case.mean.clone(), case.log_std.clone()].concat();
        let exact = loss(&widen(&at));
        prop_assert!((dot(&out, &case.weights) - exact).abs() < 1e-5 * (1.0 + case.mean.len() as f64 * 10.0));
        let (mut of_mean, mut of_log_std) = (vec![0.0; case.mean.len()], vec![0.0; case.log_std.len()]);
        let mut gradient = GaussianGradient { mean: &mut of_mean, log_std: &mut of_log_std };
        gaussian.add_log_prob_gradient(&case.actions, &case.weights, &mut gradient).unwrap();
        assert_derivative(loss, &at, &[of_mean, of_log_std].concat());
    }

    #[test]
    fn entropies_agree_with_finite_differences(case in cases()) {
        let gaussian = Gaussian::new(&case.mean, &case.log_std, case.dim).unwrap();
        let loss = |log_std: &[f64]| {
            let constant = 0.5 + 0.5 * (2.0 * std::f64::consts::PI).ln();
            weighted(&case, |i, column| log_std_at(log_std, case.dim, i, column) + constant)
        };
        let (mut out, mut of_log_std) = (vec![0.0; gaussian.rows()], vec![0.0; case.log_std.len()]);
        gaussian.entropy(&mut out).unwrap();
        prop_assert!((dot(&out, &case.weights) - loss(&widen(&case.log_std))).abs() < 1e-3);
        gaussian.add_entropy_gradient(&case.weights, &mut of_log_std).unwrap();
        assert_derivative(loss, &case.log_std, &of_log_std);
    }

    #[test]
    fn divergences_agree_with_finite_differences(case in cases()) {
        let gaussian = Gaussian::new(&case.mean, &case.log_std, case.dim).unwrap();
        let other = Gaussian::new(&case.other_mean, &case.other_log_std, case.dim).unwrap();
        let (count, own) = (case.mean.len(), case.mean.len() + case.log_std.len());
        let loss = |x: &[f64]| {
            let ((mean, log_std), (other_mean, other_log_std)) =
                (x[..own].split_at(count), x[own..].split_at(count));
            weighted(&case, |i, column| {
                let log_std = log_std_at(log_std, case.dim, i, column);
                let other_log_std = log_std_at(other_log_std, case.dim, i, column);
                let distance = (mean[i] - other_mean[i]).powi(2);
                other_log_std - log_std
                    + ((2.0 * log_std).exp() + distance) / (2.0 * (2.0 * other_log_std).exp())
                    - 0.5
            })
        };
        let parts = [&case.mean, &case.log_std, &case.other_mean, &case.other_log_std];
        let at: Vec<f32> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let mut out = vec![0.0; gaussian.rows()];
        gaussian.kl(&other, &mut out).unwrap();
        let exact = loss(&widen(&at));
        prop_assert!((dot(&out, &case.weights) - exact).abs() < 1e-5 * (1.0 + case.mean.len() as f64 * 50.0));
        let mut gradient: Vec<Vec<f32>> = parts.iter().map(|part| vec![0.0; part.len()]).collect();
        let [of_mean, of_log_std, of_other_mean, of_other_log_std] = &mut gradient[..] else { unreachable!() };
        let mut of_own = GaussianGradient { mean: of_mean, log_std: of_log_std };
        gaussian.add_kl_gradient(&other, &case.weights, &mut of_own).unwrap();
        let mut of_other = GaussianGradient { mean: of_other_mean, log_std: of_other_log_std };
        gaussian.add_kl_gradient_of_other(&other, &case.weights, &mut of_other).unwrap();
        assert_derivative(loss, &at, &gradient.concat());
    }
}
