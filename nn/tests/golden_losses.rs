//! Agreement of losses with numbers recorded from PyTorch (`/tests/golden/nn`).
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use agon_nn::kernels;
use agon_nn::losses::distributional::{Support, c51_project, quantile_huber};
use agon_nn::losses::gaussian::{Gaussian, GaussianGradient};
use agon_nn::losses::squashed_gaussian::SquashedGaussian;
use agon_nn::losses::{
    add_gaussian_kl_standard_gradient, bce_with_logits, categorical, gaussian_kl_standard, huber, mse,
};
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

/// The mean over the batch, and the weight of each row in it.
fn mean(values: &[f32]) -> (f32, Vec<f32>) {
    let weight = 1.0 / values.len() as f32;
    (weight * values.iter().sum::<f32>(), vec![weight; values.len()])
}

#[test]
fn binary_cross_entropy_agrees_with_pytorch() {
    let golden = Golden::read("loss_bce_with_logits");
    let (logits, targets) = (golden.floats("x.logits"), golden.floats("c.target"));
    let losses = logits.iter().zip(&targets).map(|(&logit, &target)| bce_with_logits(logit, target));
    let (values, derivatives): (Vec<f32>, Vec<f32>) = losses.unzip();
    let (value, weights) = mean(&values);
    golden.check("y", &[value]);
    let gradient: Vec<f32> = derivatives.iter().zip(weights).map(|(d, weight)| d * weight).collect();
    golden.check("dx.logits", &gradient);
}

#[test]
fn gaussian_log_probabilities_agree_with_pytorch() {
    let golden = Golden::read("loss_gaussian_log_prob");
    let (means, log_std) = (golden.floats("x.mean"), golden.floats("x.log_std"));
    let actions = golden.floats("c.action");
    let gaussian = Gaussian::new(&means, &log_std, golden.shape("x.mean")[1]).unwrap();
    let mut log_probs = vec![0.0; gaussian.rows()];
    gaussian.log_prob(&actions, &mut log_probs).unwrap();
    let (value, weights) = mean(&log_probs);
    golden.check("y", &[value]);
    let (mut of_mean, mut of_log_std) = (vec![0.0; means.len()], vec![0.0; log_std.len()]);
    let mut gradient = GaussianGradient { mean: &mut of_mean, log_std: &mut of_log_std };
    gaussian.add_log_prob_gradient(&actions, &weights, &mut gradient).unwrap();
    golden.check("dx.mean", &of_mean);
    golden.check("dx.log_std", &of_log_std);
}

#[test]
fn squashed_gaussian_log_probabilities_agree_with_pytorch() {
    let golden = Golden::read("loss_squashed_gaussian_log_prob");
    let (means, log_std) = (golden.floats("x.mean"), golden.floats("x.log_std"));
    let noise = golden.floats("c.eps");
    let gaussian = Gaussian::new(&means, &log_std, golden.shape("x.mean")[1]).unwrap();
    let squashed = SquashedGaussian::new(gaussian);
    let (mut actions, mut log_probs) = (vec![0.0; means.len()], vec![0.0; gaussian.rows()]);
    squashed.sample_with_log_prob(&noise, &mut actions, &mut log_probs).unwrap();
    let (value, weights) = mean(&log_probs);
    golden.check("y", &[value]);
    let mut pre_tanh = vec![0.0; means.len()];
    gaussian.sample(&noise, &mut pre_tanh).unwrap();
    squashed.log_prob_of_pre_tanh(&pre_tanh, &mut log_probs).unwrap();
    golden.check("y", &[mean(&log_probs).0]);
    let (mut of_mean, mut of_log_std) = (vec![0.0; means.len()], vec![0.0; means.len()]);
    let mut gradient = GaussianGradient { mean: &mut of_mean, log_std: &mut of_log_std };
    squashed.add_reparameterized_gradient(&noise, &actions, &weights, None, &mut gradient).unwrap();
    golden.check("dx.mean", &of_mean);
    golden.check("dx.log_std", &of_log_std);
}

#[test]
fn the_divergence_from_the_standard_normal_distribution_agrees_with_pytorch() {
    let golden = Golden::read("loss_gaussian_kl_standard");
    let (means, log_var) = (golden.floats("x.mean"), golden.floats("x.log_var"));
    let mut kl = vec![0.0; golden.shape("x.mean")[0]];
    gaussian_kl_standard(&means, &log_var, &mut kl).unwrap();
    let (value, weights) = mean(&kl);
    golden.check("y", &[value]);
    let (mut of_mean, mut of_log_var) = (vec![0.0; means.len()], vec![0.0; means.len()]);
    add_gaussian_kl_standard_gradient(&means, &log_var, &weights, &mut of_mean, &mut of_log_var).unwrap();
    golden.check("dx.mean", &of_mean);
    golden.check("dx.log_var", &of_log_var);
}

#[test]
fn quantile_regression_agrees_with_pytorch() {
    let golden = Golden::read("loss_quantile_huber");
    let (quantiles, targets) = (golden.floats("x.theta"), golden.floats("c.target"));
    let rows = golden.shape("x.theta")[0];
    let weights = vec![1.0 / rows as f32; rows];
    let (mut losses, mut gradient) = (vec![0.0; rows], vec![f32::NAN; quantiles.len()]);
    let kappa = golden.floats("c.kappa")[0];
    quantile_huber(&quantiles, &targets, kappa, &weights, &mut losses, &mut gradient).unwrap();
    golden.check("y", &[mean(&losses).0]);
    golden.check("dx.theta", &gradient);
}

#[test]
fn projected_distributions_agree_with_pytorch() {
    let golden = Golden::read("c51_projection");
    let [gamma, v_min, v_max] = ["gamma", "v_min", "v_max"].map(|name| golden.floats(name)[0]);
    let support = Support::new(v_min, v_max, golden.shape("prob")[1]).unwrap();
    let terminated = golden.flags("terminated");
    let discounts: Vec<f32> = terminated.iter().map(|&ended| if ended { 0.0 } else { gamma }).collect();
    let mut projected = vec![f32::NAN; golden.floats("prob").len()];
    c51_project(&support, &golden.floats("prob"), &golden.floats("reward"), &discounts, &mut projected)
        .unwrap();
    golden.check("projected", &projected);
}
