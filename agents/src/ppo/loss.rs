//! PPO's loss, value and gradient together.

use agon_nn::kernels::exp;

use crate::AgentError;
use crate::policy::log_softmax;

/// What the loss reads of a part of a minibatch: `B` rows.
#[derive(Clone, Copy, Debug)]
pub struct LossInput<'a> {
    /// Number of actions, `A`.
    pub num_actions: usize,
    /// `[B, A]`: the current policy.
    pub logits: &'a [f32],
    /// `[B]`: the current value estimates.
    pub values: &'a [f32],
    /// `[B]`.
    pub actions: &'a [u32],
    /// `[B]`: log-probabilities under the policy that acted.
    pub old_log_probs: &'a [f32],
    /// `[B]`.
    pub advantages: &'a [f32],
    /// `[B]`: what values are regressed on.
    pub returns: &'a [f32],
    /// `[B]`: value estimates before the update.
    pub old_values: &'a [f32],
    /// `[B, A]`, or empty: legal actions.
    pub action_masks: &'a [bool],
}

/// The loss's coefficients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossCoefficients {
    /// How far the probability ratio may move, ε.
    pub clip_coef: f32,
    /// Whether value estimates are clipped to ε around the old ones.
    pub clip_vloss: bool,
    /// Weight of the entropy bonus.
    pub ent_coef: f32,
    /// Weight of the value loss.
    pub vf_coef: f32,
}

/// Sums over rows; divided by the number of rows they are CleanRL's metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossSums {
    /// Clipped surrogate loss.
    pub policy_loss: f64,
    /// Half the squared error of the values.
    pub value_loss: f64,
    /// Entropy of the policy.
    pub entropy: f64,
    /// `−log ratio`.
    pub old_approx_kl: f64,
    /// `ratio − 1 − log ratio`: Schulman's estimator k3.
    pub approx_kl: f64,
    /// Rows whose ratio left `1 ± ε`.
    pub clipfrac: f64,
}

impl LossSums {
    /// Adds another part's sums.
    pub fn add(&mut self, other: &Self) {
        self.policy_loss += other.policy_loss;
        self.value_loss += other.value_loss;
        self.entropy += other.entropy;
        self.old_approx_kl += other.old_approx_kl;
        self.approx_kl += other.approx_kl;
        self.clipfrac += other.clipfrac;
    }
}

/// `mean(max(−A r, −A clip(r, 1 ± ε))) + vf_coef · ½ mean(max((V − G)², (clip(V) − G)²)) − ent_coef · mean(H)`, where
/// `scale` is one over the rows of the whole minibatch.
///
/// # Shapes
/// `logit_grads`: `[B, A]`, `value_grads`: `[B]`; both are overwritten with the loss's gradient. `probs`: `[B, A]`, working
/// memory.
///
/// # Errors
/// If a row's mask allows no action.
///
/// # Source
/// Schulman et al. (2017), equations 7 and 9; CleanRL 1.0 `ppo.py`.
pub fn ppo_loss(
    input: &LossInput<'_>,
    coefficients: &LossCoefficients,
    scale: f32,
    probs: &mut [f32],
    logit_grads: &mut [f32],
    value_grads: &mut [f32],
) -> Result<LossSums, AgentError> {
    let LossCoefficients { clip_coef, clip_vloss, ent_coef, vf_coef } = *coefficients;
    let mut sums = LossSums::default();
    let n = input.num_actions;
    // The gradient buffer first holds the log-probabilities.
    log_softmax(input.logits, n, input.action_masks, logit_grads)?;
    probs.copy_from_slice(logit_grads);
    exp(probs);
    for (row, (log_probs, probs)) in logit_grads.chunks_exact_mut(n).zip(probs.chunks_exact(n)).enumerate() {
        let action = input.actions[row] as usize;
        let advantage = input.advantages[row];
        let log_ratio = log_probs[action] - input.old_log_probs[row];
        let ratio = log_ratio.exp();
        let clipped_ratio = ratio.clamp(1.0 - clip_coef, 1.0 + clip_coef);
        let (surrogate, clipped) = (-advantage * ratio, -advantage * clipped_ratio);
        let ratio_grad = if surrogate >= clipped { scale * surrogate } else { 0.0 };

        // A masked action has probability zero, log-probability −∞, and no part in anything.
        let mut entropy = 0.0;
        for (prob, log_prob) in probs.iter().zip(log_probs.iter()) {
            entropy -= if *prob > 0.0 { prob * log_prob } else { 0.0 };
        }
        for (prob, grad) in probs.iter().zip(log_probs.iter_mut()) {
            let entropy_grad = if *prob > 0.0 { prob * (*grad + entropy) } else { 0.0 };
            *grad = scale * ent_coef * entropy_grad - ratio_grad * prob;
        }
        log_probs[action] += ratio_grad;

        let (value, old_value, target) = (input.values[row], input.old_values[row], input.returns[row]);
        let error = value - target;
        let mut squared = error * error;
        let mut value_grad = error;
        if clip_vloss {
            let moved = value - old_value;
            let clipped_error = old_value + moved.clamp(-clip_coef, clip_coef) - target;
            if clipped_error * clipped_error > squared {
                squared = clipped_error * clipped_error;
                value_grad = if moved.abs() <= clip_coef { clipped_error } else { 0.0 };
            }
        }
        value_grads[row] = scale * vf_coef * value_grad;

        sums.policy_loss += f64::from(surrogate.max(clipped));
        sums.value_loss += f64::from(0.5 * squared);
        sums.entropy += f64::from(entropy);
        sums.old_approx_kl -= f64::from(log_ratio);
        sums.approx_kl += f64::from(ratio - 1.0 - log_ratio);
        sums.clipfrac += if (ratio - 1.0).abs() > clip_coef { 1.0 } else { 0.0 };
    }
    Ok(sums)
}
