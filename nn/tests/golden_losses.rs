//! Agreement of losses with numbers recorded from PyTorch (`/tests/golden/nn`).
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use agon_nn::kernels;
use agon_nn::losses::{categorical, huber, mse};
use common::Golden;

#[test]
fn regression_losses_agree_with_pytorch() {
    type Loss = fn(f32) -> (f32, f32);
    let cases: [(&str, Loss); 2] = [("loss_huber", |x| huber(x, 1.0)), ("loss_mse", mse)];
    for (name, loss) in cases {
        let golden = Golden::read(name);
        let (pred, target) = (golden.floats("x.pred"), golden.floats("c.target"));
        let scale = 1.0 / pred.len() as f32;
        let (mut mean, mut gradient) = (0.0, Vec::new());
        for (pred, target) in pred.iter().zip(&target) {
            let (value, derivative) = loss(pred - target);
            mean += scale * value;
            gradient.push(scale * derivative);
        }
        golden.check("y", &[mean]);
        golden.check("dx.pred", &gradient);
    }
}

/// Mean log-probability of the recorded actions and its gradient, times `sign`.
fn check_log_prob(golden: &Golden, mask: Option<&[bool]>, sign: f32) {
    let (logits, actions) = (golden.floats("x.logits"), golden.indices("c.action"));
    let n = golden.shape("x.logits")[1];
    let mut log_probs = vec![0.0; logits.len()];
    match mask {
        Some(mask) => categorical::masked_log_softmax_rows(&logits, mask, n, &mut log_probs).unwrap(),
        None => categorical::log_softmax_rows(&logits, n, &mut log_probs).unwrap(),
    }
    let mut probs = log_probs.clone();
    kernels::exp(&mut probs);
    let weight = sign / actions.len() as f32;
    let (mut mean, mut gradient) = (0.0, vec![0.0; logits.len()]);
    for (row, &action) in actions.iter().enumerate() {
        let range = row * n..(row + 1) * n;
        mean += weight * log_probs[range.start + action];
        categorical::add_log_prob_gradient(&probs[range.clone()], action, weight, &mut gradient[range]);
    }
    golden.check("y", &[mean]);
    golden.check("dx.logits", &gradient);
}

#[test]
fn cross_entropy_agrees_with_pytorch() {
    check_log_prob(&Golden::read("loss_cross_entropy"), None, -1.0);
}

#[test]
fn masked_log_probabilities_agree_with_pytorch() {
    let golden = Golden::read("loss_masked_categorical_log_prob");
    check_log_prob(&golden, Some(&golden.flags("c.mask")), 1.0);
}

#[test]
fn categorical_entropy_agrees_with_pytorch() {
    let golden = Golden::read("loss_categorical_entropy");
    let logits = golden.floats("x.logits");
    let (rows, n) = (golden.shape("x.logits")[0], golden.shape("x.logits")[1]);
    let (mut log_probs, mut entropies) = (vec![0.0; logits.len()], vec![0.0; rows]);
    categorical::log_softmax_rows(&logits, n, &mut log_probs).unwrap();
    let mut probs = vec![0.0; logits.len()];
    categorical::softmax_rows(&logits, n, &mut probs).unwrap();
    categorical::entropy_rows(&log_probs, &probs, n, &mut entropies).unwrap();
    let weight = 1.0 / rows as f32;
    let mut gradient = vec![0.0; logits.len()];
    for (row, &entropy) in entropies.iter().enumerate() {
        let range = row * n..(row + 1) * n;
        let (log_probs, probs) = (&log_probs[range.clone()], &probs[range.clone()]);
        categorical::add_entropy_gradient(log_probs, probs, entropy, weight, &mut gradient[range]);
    }
    golden.check("y", &[weight * entropies.iter().sum::<f32>()]);
    golden.check("dx.logits", &gradient);
}
