use proptest::prelude::*;

use super::super::test_support::{assert_derivative, log_softmax, values};
use super::*;

const LOGITS: [f32; 4] = [0.1, -2.0, 1.5, 0.7];

fn softmax(logits: &[f32]) -> Vec<f64> {
    let sum: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
    logits.iter().map(|&x| f64::from(x).exp() / sum).collect()
}

#[test]
fn log_probabilities_and_entropy_agree_with_their_definitions() {
    let p = softmax(&LOGITS);
    for (action, p) in p.iter().enumerate() {
        assert!((f64::from(log_prob(&LOGITS, action)) - p.ln()).abs() < 1e-6);
    }
    let expected: f64 = -p.iter().map(|p| p * p.ln()).sum::<f64>();
    assert!((f64::from(entropy(&LOGITS)) - expected).abs() < 1e-6);
    assert!((entropy(&[3.0; 8]) - 8.0_f32.ln()).abs() < 1e-6);
}

#[test]
fn rows_have_the_same_bits_alone_and_in_a_batch() {
    for n in [1, 2, 3, 18, 100, 300] {
        let logits: Vec<f32> = (0..n * 300).map(|i| ((i * 7919) % 1000) as f32 / 100.0 - 5.0).collect();
        let mut batch = vec![0.0; logits.len()];
        log_softmax_rows(&logits, n, &mut batch).unwrap();
        let (mut probs, mut entropies) = (vec![0.0; logits.len()], vec![0.0; 300]);
        softmax_rows(&logits, n, &mut probs).unwrap();
        entropy_rows(&batch, &probs, n, &mut entropies).unwrap();
        for (row, (logits, batch)) in logits.chunks(n).zip(batch.chunks(n)).enumerate() {
            for action in [0, n / 2, n - 1] {
                assert_eq!(log_prob(logits, action).to_bits(), batch[action].to_bits(), "n {n} row {row}");
            }
            assert!((entropy(logits) - entropies[row]).abs() < 1e-5);
            let sum: f32 = batch.iter().map(|x| x.exp()).sum();
            assert!((sum - 1.0).abs() < 1e-5);
        }
    }
}

#[test]
fn huge_logits_do_not_overflow() {
    assert_eq!(log_prob(&[1e30, 0.0], 0), 0.0);
    assert_eq!(log_prob(&[-1e30, -1e30], 1), -std::f32::consts::LN_2);
    assert_eq!(entropy(&[1e30, 0.0]), 0.0);
    assert!(log_prob(&[f32::NAN, 0.0], 1).is_nan());
}

#[test]
fn sampling_inverts_the_distribution_function() {
    let p = softmax(&LOGITS);
    let mut counts = [0; 4];
    for i in 0..10_000 {
        counts[sample(&LOGITS, (i as f32 + 0.5) / 10_000.0)] += 1;
    }
    for (count, p) in counts.iter().zip(&p) {
        assert!((f64::from(*count) - p * 10_000.0).abs() < 2.0);
    }
    assert_eq!(sample(&LOGITS, 0.0), 0);
    assert_eq!(sample(&LOGITS, 1.0), 3);
    assert_eq!(sample(&[0.0, -1e30], 1.0), 0);
    assert_eq!(mode(&LOGITS), 2);
    assert_eq!(mode(&[1.0, 1.0]), 0);
}

#[test]
fn masked_actions_are_never_drawn_and_have_no_gradient() {
    let mask = [true, false, false, true];
    let (a, b) = (log_prob(&[0.1, 0.7], 0), log_prob(&[0.1, 0.7], 1));
    assert_eq!(masked_log_prob(&LOGITS, &mask, 0), a);
    assert_eq!(masked_log_prob(&LOGITS, &mask, 3), b);
    assert_eq!(masked_log_prob(&LOGITS, &mask, 2), f32::NEG_INFINITY);
    assert_eq!(masked_entropy(&LOGITS, &mask), entropy(&[0.1, 0.7]));
    assert_eq!(masked_mode(&LOGITS, &mask), 3);
    for i in 0..=100 {
        assert!([0, 3].contains(&masked_sample(&LOGITS, &mask, i as f32 / 100.0)));
    }
    let mut log_probs = [0.0; 4];
    masked_log_softmax_rows(&LOGITS, &mask, 4, &mut log_probs).unwrap();
    let (mut probs, mut gradient) = (log_probs, [0.0; 4]);
    exp(&mut probs);
    assert_eq!(probs[1..3], [0.0, 0.0]);
    add_log_prob_gradient(&probs, 0, 1.0, &mut gradient);
    add_entropy_gradient(&log_probs, &probs, masked_entropy(&LOGITS, &mask), 1.0, &mut gradient);
    assert_eq!(gradient[1..3], [0.0, 0.0]);
    assert!(gradient.iter().all(|x| x.is_finite()));
}

#[test]
fn gradients_agree_with_finite_differences() {
    let (mut log_probs, mut probs) = ([0.0; 4], [0.0; 4]);
    log_softmax_rows(&LOGITS, 4, &mut log_probs).unwrap();
    softmax_rows(&LOGITS, 4, &mut probs).unwrap();
    let (mut of_log_prob, mut of_entropy) = ([0.0; 4], [0.0; 4]);
    add_log_prob_gradient(&probs, 3, 2.0, &mut of_log_prob);
    add_entropy_gradient(&log_probs, &probs, entropy(&LOGITS), 2.0, &mut of_entropy);
    let value = |logits: &[f32]| {
        let p = softmax(logits);
        (2.0 * p[3].ln(), -2.0 * p.iter().map(|p| p * p.ln()).sum::<f64>())
    };
    for i in 0..4 {
        let (mut up, mut down) = (LOGITS, LOGITS);
        up[i] += 1e-2;
        down[i] -= 1e-2;
        let (up, down, step) = (value(&up), value(&down), f64::from(up[i]) - f64::from(down[i]));
        assert!((f64::from(of_log_prob[i]) - (up.0 - down.0) / step).abs() < 1e-4);
        assert!((f64::from(of_entropy[i]) - (up.1 - down.1) / step).abs() < 1e-4);
    }
}

#[test]
fn wrong_sizes_are_refused() {
    let mut out = [0.0; 4];
    assert!(log_softmax_rows(&LOGITS, 3, &mut out).is_err());
    assert!(log_softmax_rows(&LOGITS, 0, &mut out).is_err());
    assert!(log_softmax_rows(&LOGITS, 4, &mut out[..3]).is_err());
    let error = masked_log_softmax_rows(&LOGITS, &[true, true, false, false], 2, &mut out).unwrap_err();
    assert_eq!(error.to_string(), "mask must allow at least one action in each row, got none in row 1");
}

#[test]
fn divergences_are_those_computed_by_hand() {
    // Of (1/2, 1/2) from (1/4, 3/4): ½ ln 2 + ½ ln(2/3).
    let (p, q) = ([0.5_f32.ln(); 2], [0.25_f32.ln(), 0.75_f32.ln()]);
    let mut kl = [f32::NAN];
    kl_rows(&p, &[0.5, 0.5], &q, 2, &mut kl).unwrap();
    assert!((kl[0] - 0.143_841).abs() < 1e-6);
    kl_rows(&p, &[0.5, 0.5], &p, 2, &mut kl).unwrap();
    assert_eq!(kl, [0.0]);
    // An action that only q has costs nothing, one that only p has everything.
    let sure = [0.0, f32::NEG_INFINITY];
    kl_rows(&sure, &[1.0, 0.0], &p, 2, &mut kl).unwrap();
    assert_eq!(kl, [std::f32::consts::LN_2]);
    kl_rows(&p, &[0.5, 0.5], &sure, 2, &mut kl).unwrap();
    assert_eq!(kl, [f32::INFINITY]);
    assert!(kl_rows(&p, &[0.5, 0.5], &q, 1, &mut kl).is_err());
}

#[test]
fn divergences_of_extreme_logits_stay_finite() {
    let logits = [[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]];
    let (mut log_probs, mut probs) = ([[0.0; 3]; 2], [[0.0; 3]; 2]);
    for row in 0..2 {
        log_softmax_rows(&logits[row], 3, &mut log_probs[row]).unwrap();
        softmax_rows(&logits[row], 3, &mut probs[row]).unwrap();
    }
    let (mut kl, mut of_p, mut of_q) = ([0.0], [0.0; 3], [0.0; 3]);
    kl_rows(&log_probs[0], &probs[0], &log_probs[1], 3, &mut kl).unwrap();
    assert_eq!(kl, [2e4]);
    add_kl_gradient(&log_probs[0], &probs[0], &log_probs[1], kl[0], 1.0, &mut of_p);
    add_kl_gradient_of_other(&probs[0], &probs[1], 1.0, &mut of_q);
    assert_eq!((of_p, of_q), ([0.0; 3], [-1.0, 1.0, 0.0]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn gradients_of_random_rows_agree_with_finite_differences(
        (logits, others, mask, action) in (1_usize..40).prop_flat_map(|n| {
            (values(n, 4.0), values(n, 4.0), prop::collection::vec(any::<bool>(), n), 0..n)
        })
    ) {
        let (n, mut mask) = (logits.len(), mask);
        mask[action] = true;
        let rows = [logits.clone(), others.clone()].map(|logits| {
            let mut log_probs = vec![0.0; n];
            masked_log_softmax_rows(&logits, &mask, n, &mut log_probs).unwrap();
            let mut probs = log_probs.clone();
            exp(&mut probs);
            (log_probs, probs)
        });
        let [(log_probs, probs), (other_log_probs, other_probs)] = rows;

        let mut gradient = vec![0.0; n];
        add_log_prob_gradient(&probs, action, 0.7, &mut gradient);
        assert_derivative(|x| 0.7 * log_softmax(x, &mask)[action], &logits, &gradient);
        prop_assert!(gradient.iter().zip(&mask).all(|(&g, &allowed)| allowed || g == 0.0));

        let entropy_of = |x: &[f64]| -> f64 {
            log_softmax(x, &mask).iter().filter(|x| x.is_finite()).map(|x| -x * x.exp()).sum()
        };
        gradient.fill(0.0);
        add_entropy_gradient(&log_probs, &probs, masked_entropy(&logits, &mask), 0.7, &mut gradient);
        assert_derivative(|x| 0.7 * entropy_of(x), &logits, &gradient);
        prop_assert!(gradient.iter().zip(&mask).all(|(&g, &allowed)| allowed || g == 0.0));

        let kl_of = |x: &[f64]| -> f64 {
            let (p, q) = x.split_at(n);
            let pairs = log_softmax(p, &mask).into_iter().zip(log_softmax(q, &mask));
            pairs.filter(|(p, _)| p.is_finite()).map(|(p, q)| p.exp() * (p - q)).sum()
        };
        let (mut kl, mut of_p, mut of_q) = ([0.0], vec![0.0; n], vec![0.0; n]);
        kl_rows(&log_probs, &probs, &other_log_probs, n, &mut kl).unwrap();
        add_kl_gradient(&log_probs, &probs, &other_log_probs, kl[0], 0.7, &mut of_p);
        add_kl_gradient_of_other(&probs, &other_probs, 0.7, &mut of_q);
        prop_assert!(of_p.iter().chain(&of_q).zip(mask.iter().cycle()).all(|(&g, &allowed)| allowed || g == 0.0));
        let both = [logits, others].concat();
        assert_derivative(|x| 0.7 * kl_of(x), &both, &[of_p, of_q].concat());
        let exact = kl_of(&super::super::test_support::widen(&both));
        prop_assert!((f64::from(kl[0]) - exact).abs() < 1e-5);
    }
}
