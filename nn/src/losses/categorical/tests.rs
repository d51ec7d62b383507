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
