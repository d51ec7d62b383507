//! Agreement with single categorical distributions, and gradients.

use proptest::prelude::*;

use super::super::test_support::{assert_derivative, log_softmax, values, widen};
use super::*;
use crate::kernels::exp;

/// One row: logits, another's logits, a mask that allows the actions, actions, and one number for each component.
#[derive(Debug, Clone)]
struct Case {
    nvec: Vec<usize>,
    logits: Vec<f32>,
    others: Vec<f32>,
    mask: Vec<bool>,
    actions: Vec<usize>,
    u: Vec<f32>,
}

fn cases() -> impl Strategy<Value = Case> {
    prop::collection::vec(1_usize..6, 1..5).prop_flat_map(|nvec| {
        let len = row_len(&nvec);
        let actions: Vec<_> = nvec.iter().map(|&n| 0..n).collect();
        let masks = prop::collection::vec(any::<bool>(), len);
        let u = prop::collection::vec(0.0_f32..1.0, nvec.len());
        (Just(nvec), values(len, 4.0), values(len, 4.0), masks, actions, u).prop_map(
            |(nvec, logits, others, mut mask, actions, u)| {
                let mut start = 0;
                for (n, action) in nvec.iter().zip(&actions) {
                    mask[start + action] = true;
                    start += n;
                }
                Case { nvec, logits, others, mask, actions, u }
            },
        )
    })
}

fn log_probs_and_probs(logits: &[f32], mask: &[bool], nvec: &[usize]) -> (Vec<f32>, Vec<f32>) {
    let mut log_probs = vec![0.0; logits.len()];
    log_softmax_rows(logits, Some(mask), nvec, &mut log_probs).unwrap();
    let mut probs = log_probs.clone();
    exp(&mut probs);
    (log_probs, probs)
}

fn exact_log_softmax(logits: &[f64], mask: &[bool], nvec: &[usize]) -> Vec<f64> {
    parts(logits, nvec).zip(parts(mask, nvec)).flat_map(|(logits, mask)| log_softmax(logits, mask)).collect()
}

#[test]
fn one_component_is_the_categorical_distribution() {
    let logits: Vec<f32> = (0..60).map(|i| ((i * 37) % 23) as f32 / 5.0 - 2.0).collect();
    let (mut ours, mut theirs) = (vec![0.0; 60], vec![0.0; 60]);
    log_softmax_rows(&logits, None, &[6], &mut ours).unwrap();
    categorical::log_softmax_rows(&logits, 6, &mut theirs).unwrap();
    assert_eq!(ours, theirs);
}

#[test]
fn rows_have_the_same_bits_alone_and_in_a_batch() {
    for nvec in [vec![3, 3, 3], vec![2, 5, 1, 40], vec![7]] {
        let len = row_len(&nvec);
        let logits: Vec<f32> = (0..len * 9).map(|i| ((i * 7919) % 1000) as f32 / 100.0 - 5.0).collect();
        let (mut batch, mut row) = (vec![0.0; logits.len()], vec![0.0; len]);
        log_softmax_rows(&logits, None, &nvec, &mut batch).unwrap();
        for (logits, batch) in logits.chunks(len).zip(batch.chunks(len)) {
            log_softmax_rows(logits, None, &nvec, &mut row).unwrap();
            assert_eq!(row, batch, "{nvec:?}");
        }
    }
}

#[test]
fn extreme_logits_and_masks_leave_exact_zeros() {
    let nvec = [2, 3];
    let (logits, mask) = ([1e4, -1e4, 1e4, -1e4, 1e4], [true, true, true, true, false]);
    let (log_probs, probs) = log_probs_and_probs(&logits, &mask, &nvec);
    assert_eq!(log_probs, [0.0, -2e4, 0.0, -2e4, f32::NEG_INFINITY]);
    assert_eq!(probs, [1.0, 0.0, 1.0, 0.0, 0.0]);
    let mut gradient = [0.0; 5];
    add_log_prob_gradient(&probs, &nvec, &[1, 1], 1.0, &mut gradient);
    assert_eq!(gradient, [-1.0, 1.0, -1.0, 1.0, 0.0]);
    add_entropy_gradient(&log_probs, &probs, &nvec, 1.0, &mut gradient);
    add_kl_gradient(&log_probs, &probs, &log_probs, &nvec, 1.0, &mut gradient);
    add_kl_gradient_of_other(&probs, &probs, 1.0, &mut gradient);
    assert_eq!(gradient, [-1.0, 1.0, -1.0, 1.0, 0.0]);
    let mut actions = [9; 2];
    for u in [0.0, 0.5, 1.0] {
        sample_probs(&probs, &nvec, &[u; 2], &mut actions);
        assert_eq!(actions, [0, 0]);
    }
}

#[test]
fn each_component_draws_with_its_own_number() {
    let (mut actions, mut best) = ([0; 2], [0; 2]);
    let probs = [0.25, 0.75, 0.5, 0.2, 0.3];
    for (u, expected) in [([0.2, 0.6], [0, 1]), ([0.3, 0.1], [1, 0]), ([0.99, 0.75], [1, 2])] {
        sample_probs(&probs, &[2, 3], &u, &mut actions);
        assert_eq!(actions, expected);
    }
    mode(&probs, &[2, 3], &mut best);
    assert_eq!(best, [1, 0]);
}

#[test]
fn wrong_sizes_are_refused() {
    let mut out = [0.0; 5];
    for nvec in [&[][..], &[5, 0], &[2, 2]] {
        assert!(log_softmax_rows(&[0.0; 5], None, nvec, &mut out).is_err(), "{nvec:?}");
    }
    let error = log_softmax_rows(&[0.0; 5], None, &[], &mut out).unwrap_err();
    let message = "nvec must be at least one component, each with at least one action, got []";
    assert_eq!(error.to_string(), message);
    let mask = [true, true, false, false, false];
    let error = log_softmax_rows(&[0.0; 5], Some(&mask), &[2, 3], &mut out).unwrap_err();
    assert_eq!(error.to_string(), "mask must allow at least one action in each row, got none in row 0");
    assert!(log_prob_rows(&[0.0; 5], &[2, 3], &[0], &mut out[..1]).is_err());
    assert!(log_prob_rows(&[0.0; 5], &[2, 3], &[0, 0], &mut out[..2]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn values_and_gradients_agree_with_the_definitions(case in cases()) {
        let Case { nvec, logits, others, mask, actions, u } = case;
        let len = logits.len();
        let (log_probs, probs) = log_probs_and_probs(&logits, &mask, &nvec);
        let (other_log_probs, other_probs) = log_probs_and_probs(&others, &mask, &nvec);
        let masked_zero = |gradient: &[f32]| gradient.iter().zip(&mask).all(|(&g, &allowed)| allowed || g == 0.0);
        prop_assert!(masked_zero(&probs));

        let log_prob_of = |x: &[f64]| -> f64 {
            let log_probs = exact_log_softmax(x, &mask, &nvec);
            parts(&log_probs, &nvec).zip(&actions).map(|(part, &action)| part[action]).sum()
        };
        let (mut value, mut gradient) = ([0.0], vec![0.0; len]);
        log_prob_rows(&log_probs, &nvec, &actions, &mut value).unwrap();
        prop_assert!((f64::from(value[0]) - log_prob_of(&widen(&logits))).abs() < 1e-4);
        add_log_prob_gradient(&probs, &nvec, &actions, -0.6, &mut gradient);
        assert_derivative(|x| -0.6 * log_prob_of(x), &logits, &gradient);
        prop_assert!(masked_zero(&gradient));

        let entropy_of = |x: &[f64]| -> f64 {
            let log_probs = exact_log_softmax(x, &mask, &nvec);
            log_probs.iter().filter(|x| x.is_finite()).map(|x| -x * x.exp()).sum()
        };
        gradient.fill(0.0);
        entropy_rows(&log_probs, &probs, &nvec, &mut value).unwrap();
        prop_assert!((f64::from(value[0]) - entropy_of(&widen(&logits))).abs() < 1e-4);
        add_entropy_gradient(&log_probs, &probs, &nvec, -0.6, &mut gradient);
        assert_derivative(|x| -0.6 * entropy_of(x), &logits, &gradient);
        prop_assert!(masked_zero(&gradient));

        let kl_of = |x: &[f64]| -> f64 {
            let (p, q) = x.split_at(len);
            let (p, q) = (exact_log_softmax(p, &mask, &nvec), exact_log_softmax(q, &mask, &nvec));
            p.iter().zip(&q).filter(|(p, _)| p.is_finite()).map(|(p, q)| p.exp() * (p - q)).sum()
        };
        let (mut of_p, mut of_q) = (vec![0.0; len], vec![0.0; len]);
        kl_rows(&log_probs, &probs, &other_log_probs, &nvec, &mut value).unwrap();
        let both = [logits.clone(), others].concat();
        prop_assert!((f64::from(value[0]) - kl_of(&widen(&both))).abs() < 1e-4);
        add_kl_gradient(&log_probs, &probs, &other_log_probs, &nvec, -0.6, &mut of_p);
        add_kl_gradient_of_other(&probs, &other_probs, -0.6, &mut of_q);
        prop_assert!(masked_zero(&of_p) && masked_zero(&of_q));
        assert_derivative(|x| -0.6 * kl_of(x), &both, &[of_p, of_q].concat());

        let mut drawn = vec![0; nvec.len()];
        sample_probs(&probs, &nvec, &u, &mut drawn);
        let mut start = 0;
        for (k, &n) in nvec.iter().enumerate() {
            prop_assert!(mask[start + drawn[k]]);
            prop_assert_eq!(drawn[k], categorical::sample_probs(&probs[start..start + n], u[k]));
            start += n;
        }
    }
}
