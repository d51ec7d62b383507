//! Hand-computed numbers, identities and gradients.

use proptest::prelude::*;

use super::super::test_support::{assert_derivative, values, widen};
use super::*;

fn exact_log_prob(pre_tanh: f64, mean: f64, log_std: f64) -> f64 {
    let z = (pre_tanh - mean) / log_std.exp();
    let tanh = pre_tanh.tanh();
    -0.5 * z * z - log_std - 0.5 * (2.0 * std::f64::consts::PI).ln() - (1.0 - tanh * tanh).ln()
}

#[test]
fn the_density_integrates_to_one() {
    let (mean, log_std) = ([0.3], [-0.4]);
    let squashed = SquashedGaussian::new(Gaussian::new(&mean, &log_std, 1).unwrap());
    let steps: i32 = 20_000;
    let mut sum = 0.0;
    for i in 0..steps {
        let (mut u, mut log_prob) = ([2.0 * (i as f32 + 0.5) / steps as f32 - 1.0], [0.0]);
        unsquash(&mut u);
        squashed.log_prob_of_pre_tanh(&u, &mut log_prob).unwrap();
        sum += f64::from(log_prob[0]).exp() * 2.0 / f64::from(steps);
    }
    assert!((sum - 1.0).abs() < 1e-4, "{sum}");
}

#[test]
fn draws_and_their_log_probabilities_belong_together() {
    let (mean, log_std, noise) = ([0.5, -1.0, 0.0, 2.0], [0.0, -1.0, 0.5, -0.5], [1.0, -0.5, 0.0, 0.3]);
    let squashed = SquashedGaussian::new(Gaussian::new(&mean, &log_std, 2).unwrap());
    let (mut plain, mut actions, mut log_probs) = ([0.0; 4], [0.0; 4], [0.0; 2]);
    squashed.sample(&noise, &mut plain).unwrap();
    squashed.sample_with_log_prob(&noise, &mut actions, &mut log_probs).unwrap();
    assert_eq!(plain, actions);
    for (row, &log_prob) in log_probs.iter().enumerate() {
        let exact: f64 = (2 * row..2 * row + 2)
            .map(|i| {
                let [mean, log_std, noise] = [mean[i], log_std[i], noise[i]].map(f64::from);
                let pre_tanh = mean + log_std.exp() * noise;
                assert!((f64::from(actions[i]) - pre_tanh.tanh()).abs() < 1e-6);
                exact_log_prob(pre_tanh, mean, log_std)
            })
            .sum();
        assert!((f64::from(log_prob) - exact).abs() < 1e-5);
    }
    let mut recorded = actions;
    unsquash(&mut recorded);
    let mut again = [0.0; 2];
    squashed.log_prob_of_pre_tanh(&recorded, &mut again).unwrap();
    assert!(again.iter().zip(&log_probs).all(|(a, b)| (a - b).abs() < 1e-4));
    squashed.mode(&mut actions).unwrap();
    assert!(actions.iter().zip(&mean).all(|(a, m)| (a - m.tanh()).abs() < 1e-6));
}

#[test]
fn saturated_actions_have_finite_log_probabilities() {
    let mut u = [-1.0, 1.0, 0.0, 2.0, 0.5];
    unsquash(&mut u);
    assert!((u[0] + 8.317_766).abs() < 1e-4 && u[1] == -u[0] && u[2] == 0.0 && u[3] == u[1]);
    assert!((u[4] - 0.549_306_1).abs() < 1e-6);

    let (mean, log_std, noise) = ([1e4, -1e4, 0.0], [20.0, -20.0, 20.0], [3.0, -3.0, 3.0]);
    let squashed = SquashedGaussian::new(Gaussian::new(&mean, &log_std, 3).unwrap());
    let (mut actions, mut log_probs) = ([0.0; 3], [0.0]);
    squashed.sample_with_log_prob(&noise, &mut actions, &mut log_probs).unwrap();
    assert_eq!(actions, [1.0, -1.0, 1.0]);
    assert!(log_probs[0].is_finite());
    let (mut of_mean, mut of_log_std) = ([0.0; 3], [0.0; 3]);
    let mut gradient = GaussianGradient { mean: &mut of_mean, log_std: &mut of_log_std };
    squashed.add_reparameterized_gradient(&noise, &actions, &[1.0], Some(&[1.0; 3]), &mut gradient).unwrap();
    assert_eq!(of_mean, [2.0, -2.0, 2.0]);
    assert!(of_log_std.iter().all(|x| x.is_finite()));
}

#[test]
fn wrong_lengths_are_refused() {
    let squashed = SquashedGaussian::new(Gaussian::new(&[0.0; 4], &[0.0; 2], 2).unwrap());
    assert!(squashed.sample(&[0.0; 3], &mut [0.0; 4]).is_err());
    assert!(squashed.sample_with_log_prob(&[0.0; 4], &mut [0.0; 4], &mut [0.0; 4]).is_err());
    assert!(squashed.mode(&mut [0.0; 3]).is_err());
    let (mut of_mean, mut of_log_std) = ([0.0; 4], [0.0; 2]);
    let mut gradient = GaussianGradient { mean: &mut of_mean, log_std: &mut of_log_std };
    let zeros = [0.0; 4];
    let mut add = |noise: &[f32], actions: &[f32], weights: &[f32], of_actions: Option<&[f32]>| {
        squashed.add_reparameterized_gradient(noise, actions, weights, of_actions, &mut gradient)
    };
    assert!(add(&zeros, &zeros, &[0.0; 2], None).is_ok());
    assert!(add(&zeros[1..], &zeros, &[0.0; 2], None).is_err());
    assert!(add(&zeros, &zeros[1..], &[0.0; 2], None).is_err());
    assert!(add(&zeros, &zeros, &[0.0; 1], None).is_err());
    assert!(add(&zeros, &zeros, &[0.0; 2], Some(&zeros[1..])).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_reparameterized_gradient_agrees_with_finite_differences(
        (dim, shared, mean, log_std, noise, weights, of_actions) in (
            1_usize..4, prop_oneof![4 => 1_usize..6, 1 => 250_usize..300], any::<bool>()
        ).prop_flat_map(|(rows, dim, shared)| {
            let count = rows * dim;
            let log_std = values(if shared { dim } else { count }, 1.0);
            (Just(dim), Just(shared), values(count, 1.5), log_std, values(count, 2.0), values(rows, 1.0), values(count, 1.0))
        })
    ) {
        let squashed = SquashedGaussian::new(Gaussian::new(&mean, &log_std, dim).unwrap());
        let loss = |x: &[f64]| -> f64 {
            let (mean, log_std) = x.split_at(mean.len());
            (0..mean.len()).map(|i| {
                let log_std = if shared { log_std[i % dim] } else { log_std[i] };
                let pre_tanh = mean[i] + log_std.exp() * f64::from(noise[i]);
                f64::from(weights[i / dim]) * exact_log_prob(pre_tanh, mean[i], log_std)
                    + f64::from(of_actions[i]) * pre_tanh.tanh()
            }).sum()
        };
        let (mut actions, mut log_probs) = (vec![0.0; mean.len()], vec![0.0; weights.len()]);
        squashed.sample_with_log_prob(&noise, &mut actions, &mut log_probs).unwrap();
        let at = [mean.clone(), log_std.clone()].concat();
        let value: f32 = log_probs.iter().zip(&weights).map(|(x, w)| x * w).sum::<f32>()
            + actions.iter().zip(&of_actions).map(|(x, w)| x * w).sum::<f32>();
        prop_assert!((f64::from(value) - loss(&widen(&at))).abs() < 1e-5 * (1.0 + mean.len() as f64 * 5.0));
        let (mut of_mean, mut of_log_std) = (vec![0.0; mean.len()], vec![0.0; log_std.len()]);
        let mut gradient = GaussianGradient { mean: &mut of_mean, log_std: &mut of_log_std };
        squashed
            .add_reparameterized_gradient(&noise, &actions, &weights, Some(&of_actions), &mut gradient)
            .unwrap();
        assert_derivative(loss, &at, &[of_mean, of_log_std].concat());
    }

    #[test]
    fn the_gradient_of_a_given_action_is_that_of_the_gaussian(
        (mean, log_std, action) in (-1.0_f32..1.0, -1.0_f32..1.0, -0.95_f32..0.95)
    ) {
        let mut u = [action];
        unsquash(&mut u);
        let (mean, log_std) = ([mean], [log_std]);
        let gaussian = Gaussian::new(&mean, &log_std, 1).unwrap();
        let (mut of_mean, mut of_log_std) = ([0.0], [0.0]);
        let mut gradient = GaussianGradient { mean: &mut of_mean, log_std: &mut of_log_std };
        gaussian.add_log_prob_gradient(&u, &[1.0], &mut gradient).unwrap();
        let loss = |x: &[f64]| exact_log_prob(f64::from(action).atanh(), x[0], x[1]);
        assert_derivative(loss, &[mean[0], log_std[0]], &[of_mean[0], of_log_std[0]]);
    }
}
