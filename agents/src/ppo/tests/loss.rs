//! The loss against PyTorch, and its gradients against finite differences.

use super::*;

/// A batch of the loss's inputs, owned.
struct Batch {
    num_actions: usize,
    logits: Vec<f32>,
    values: Vec<f32>,
    actions: Vec<u32>,
    old_log_probs: Vec<f32>,
    advantages: Vec<f32>,
    returns: Vec<f32>,
    old_values: Vec<f32>,
    action_masks: Vec<bool>,
}

/// Sums, gradient of the logits, gradient of the values.
type LossAndGradients = (LossSums, Vec<f32>, Vec<f32>);

impl Batch {
    fn evaluate(&self, loss: &PpoLoss, scale: f32) -> LossAndGradients {
        self.try_evaluate(loss, scale).unwrap()
    }

    fn try_evaluate(&self, loss: &PpoLoss, scale: f32) -> Result<LossAndGradients, AgentError> {
        let distribution = Distribution::Categorical { nvec: vec![self.num_actions] };
        let mut evaluated = Evaluated::default();
        let actions = ActionBatch::Discrete(self.actions.clone());
        distribution.evaluate(&self.logits, &self.action_masks, &actions, &mut evaluated)?;
        let rows = self.values.len();
        let (mut log_prob_grads, mut value_grads) = (vec![0.0; rows], vec![0.0; rows]);
        let transitions = Transitions {
            log_probs: &evaluated.log_probs,
            old_log_probs: &self.old_log_probs,
            advantages: &self.advantages,
            values: &self.values,
            old_values: &self.old_values,
            targets: &self.returns,
        };
        let gradients = TransitionGradients { log_probs: &mut log_prob_grads, values: &mut value_grads };
        let mut sums = loss.gradients(&transitions, gradients);
        sums.entropy = evaluated.entropies.iter().map(|&entropy| f64::from(entropy)).sum();
        log_prob_grads.iter_mut().chain(&mut value_grads).for_each(|grad| *grad *= scale);
        let entropy_grads = vec![-scale * loss.ent_coef(); rows];
        let mut logit_grads = vec![f32::NAN; self.logits.len()];
        distribution.gradient(&evaluated, &actions, &log_prob_grads, &entropy_grads, &mut logit_grads)?;
        Ok((sums, logit_grads, value_grads))
    }

    /// Every combination of the loss's branches, each away from where they meet: ratios inside and outside `1 ± 0.2`,
    /// both signs of the advantage, values moved by less and more than 0.2, targets on both sides.
    fn of_all_branches(masked: bool) -> Self {
        let num_actions = 4;
        let mut rng = Pcg64::seed_from(11);
        let mut batch = Self {
            num_actions,
            logits: vec![],
            values: vec![],
            actions: vec![],
            old_log_probs: vec![],
            advantages: vec![],
            returns: vec![],
            old_values: vec![],
            action_masks: vec![],
        };
        for case in 0..64 {
            let ratio = [0.5_f32, 0.9, 1.1, 1.6][case % 4];
            let advantage = [0.7, -1.3][case / 4 % 2];
            let moved = [-0.5, -0.1, 0.1, 0.5][case / 8 % 4];
            let error = [-1.0, 1.0][case / 32];
            let action = rng.bounded(3) as usize;
            let logits: Vec<f32> = (0..num_actions).map(|_| rng.uniform(-1.5, 1.5) as f32).collect();
            let mask: Vec<bool> = (0..num_actions).map(|a| a == action || rng.random() < 0.6).collect();
            let log_prob = match masked {
                true => categorical::masked_log_prob(&logits, &mask, action),
                false => categorical::log_prob(&logits, action),
            };
            let value = rng.uniform(-1.0, 1.0) as f32;
            batch.logits.extend(logits);
            batch.actions.push(action as u32);
            batch.old_log_probs.push(log_prob - ratio.ln());
            batch.advantages.push(advantage);
            batch.values.push(value);
            batch.old_values.push(value - moved);
            batch.returns.push(value - error);
            if masked {
                batch.action_masks.extend(mask);
            }
        }
        batch
    }
}

fn total(sums: &LossSums, coefficients: &PpoLoss) -> f64 {
    let (ent_coef, vf_coef) = (f64::from(coefficients.ent_coef), f64::from(coefficients.vf_coef));
    sums.policy_loss + vf_coef * sums.value_loss - ent_coef * sums.entropy
}

/// Within 1e-4 of the expected number, or 1e-5 absolutely.
fn assert_close(what: &str, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len());
    for (i, (got, want)) in got.iter().zip(expected).enumerate() {
        assert!(
            (got - want).abs() <= (1e-4 * want.abs()).max(1e-5),
            "{what} {i}: expected {want}, got {got}"
        );
    }
}

#[test]
fn loss_and_gradients_equal_the_reference() {
    let golden = Golden::load("loss_ppo_clip.safetensors");
    let batch = Batch {
        num_actions: 5,
        logits: golden.floats("x.logits"),
        values: golden.floats("x.value"),
        actions: golden.indices("c.action"),
        old_log_probs: golden.floats("c.old_log_prob"),
        advantages: golden.floats("c.advantage"),
        returns: golden.floats("c.ret"),
        old_values: golden.floats("c.old_value"),
        action_masks: vec![],
    };
    let coefficients = PpoLoss {
        clip_coef: golden.floats("c.clip_coef")[0],
        clip_vloss: true,
        ent_coef: golden.floats("c.ent_coef")[0],
        vf_coef: golden.floats("c.vf_coef")[0],
    };
    let scale = 1.0 / batch.values.len() as f32;
    let (sums, logit_grads, value_grads) = batch.evaluate(&coefficients, scale);
    assert_close("loss", &[total(&sums, &coefficients) as f32 * scale], &golden.floats("y"));
    assert_close("gradient of logit", &logit_grads, &golden.floats("dx.logits"));
    assert_close("gradient of value", &value_grads, &golden.floats("dx.value"));
}

#[test]
fn gradients_equal_finite_differences() {
    // A step of 2^-8 leaves rounding errors of some 1e-5 and truncation errors of some 1e-5.
    let (step, tolerance) = (1.0 / 256.0, 5e-4);
    for (masked, clip_vloss) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut batch = Batch::of_all_branches(masked);
        let coefficients = PpoLoss { clip_coef: 0.2, clip_vloss, ent_coef: 0.3, vf_coef: 0.8 };
        let (_, logit_grads, value_grads) = batch.evaluate(&coefficients, 1.0);
        let mut check = |what: &str, i: usize, grad: f32, input: fn(&mut Batch) -> &mut Vec<f32>| {
            let at = input(&mut batch)[i];
            let mut loss_at = |x: f32| {
                input(&mut batch)[i] = x;
                total(&batch.evaluate(&coefficients, 1.0).0, &coefficients)
            };
            let difference = (loss_at(at + step) - loss_at(at - step)) / (2.0 * f64::from(step));
            input(&mut batch)[i] = at;
            let close = (difference - f64::from(grad)).abs() <= tolerance;
            assert!(
                close,
                "{what} {i}, masked {masked}, clip_vloss {clip_vloss}: {difference} against {grad}"
            );
        };
        for (i, &grad) in logit_grads.iter().enumerate() {
            check("logit", i, grad, |batch| &mut batch.logits);
        }
        for (i, &grad) in value_grads.iter().enumerate() {
            check("value", i, grad, |batch| &mut batch.values);
        }
    }
}

#[test]
fn masked_actions_get_exactly_zero_gradient() {
    let batch = Batch::of_all_branches(true);
    let coefficients = PpoLoss { clip_coef: 0.2, clip_vloss: true, ent_coef: 0.3, vf_coef: 0.8 };
    let (_, logit_grads, _) = batch.evaluate(&coefficients, 1.0);
    let masked = logit_grads.iter().zip(&batch.action_masks).filter(|(_, legal)| !**legal);
    let grads: Vec<f32> = masked.map(|(&grad, _)| grad).collect();
    assert!(grads.len() > 40 && grads.iter().all(|&grad| grad == 0.0), "{grads:?}");
}

#[test]
fn a_mask_that_allows_nothing_is_an_error() {
    let mut batch = Batch::of_all_branches(true);
    batch.action_masks[8..12].fill(false);
    let coefficients = PpoLoss { clip_coef: 0.2, clip_vloss: true, ent_coef: 0.3, vf_coef: 0.8 };
    let error = batch.try_evaluate(&coefficients, 1.0).unwrap_err();
    assert_eq!(error.to_string(), "mask must allow at least one action in each row, got none in row 2");
}

#[test]
fn metrics_of_the_loss_count_what_they_say() {
    let batch = Batch::of_all_branches(false);
    let coefficients = PpoLoss { clip_coef: 0.2, clip_vloss: false, ent_coef: 0.0, vf_coef: 1.0 };
    let (sums, ..) = batch.evaluate(&coefficients, 1.0);
    // Of the ratios 0.5, 0.9, 1.1 and 1.6, sixteen rows each, two are outside 1 ± 0.2.
    assert_eq!(sums.clipfrac, 32.0);
    let log_ratios = [0.5_f64, 0.9, 1.1, 1.6].map(f64::ln);
    let old_approx_kl = -16.0 * log_ratios.iter().sum::<f64>();
    let approx_kl = 16.0 * (0.5 + 0.9 + 1.1 + 1.6 - 4.0) + old_approx_kl;
    assert!((sums.old_approx_kl - old_approx_kl).abs() < 1e-4, "{}", sums.old_approx_kl);
    assert!((sums.approx_kl - approx_kl).abs() < 1e-4, "{}", sums.approx_kl);
    // All errors are 1 in size.
    assert!((sums.value_loss - 32.0).abs() < 1e-4, "{}", sums.value_loss);
}
