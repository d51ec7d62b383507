//! PPO's loss, value and gradient together.

use crate::policy_gradient::{LossSums, PolicyLoss, Transition, TransitionGradient};

/// `max(−A r, −A clip(r, 1 ± ε)) + vf_coef · ½ max((V − G)², (clip(V) − G)²) − ent_coef · H` of a transition.
///
/// # Source
/// Schulman et al. (2017), equations 7 and 9; CleanRL 1.0 `ppo.py`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PpoLoss {
    /// How far the probability ratio may move, ε.
    pub(crate) clip_coef: f32,
    /// Whether value estimates are clipped to ε around the old ones.
    pub(crate) clip_vloss: bool,
    /// Weight of the entropy bonus.
    pub(crate) ent_coef: f32,
    /// Weight of the value loss.
    pub(crate) vf_coef: f32,
}

impl PolicyLoss for PpoLoss {
    fn gradient(&self, transition: &Transition, sums: &mut LossSums) -> TransitionGradient {
        let &Transition { log_prob, old_log_prob, advantage, value, old_value, target } = transition;
        let clip_coef = self.clip_coef;
        let log_ratio = log_prob - old_log_prob;
        let ratio = log_ratio.exp();
        let clipped_ratio = ratio.clamp(1.0 - clip_coef, 1.0 + clip_coef);
        let (surrogate, clipped) = (-advantage * ratio, -advantage * clipped_ratio);
        let log_prob_grad = if surrogate >= clipped { surrogate } else { 0.0 };

        let error = value - target;
        let mut squared = error * error;
        let mut value_grad = error;
        if self.clip_vloss {
            let moved = value - old_value;
            let clipped_error = old_value + moved.clamp(-clip_coef, clip_coef) - target;
            if clipped_error * clipped_error > squared {
                squared = clipped_error * clipped_error;
                value_grad = if moved.abs() <= clip_coef { clipped_error } else { 0.0 };
            }
        }
        sums.policy_loss += f64::from(surrogate.max(clipped));
        sums.value_loss += f64::from(0.5 * squared);
        sums.old_approx_kl -= f64::from(log_ratio);
        sums.approx_kl += f64::from(ratio - 1.0 - log_ratio);
        sums.clipfrac += if (ratio - 1.0).abs() > clip_coef { 1.0 } else { 0.0 };
        TransitionGradient { log_prob: log_prob_grad, value: self.vf_coef * value_grad }
    }

    fn ent_coef(&self) -> f32 {
        self.ent_coef
    }

    fn vf_coef(&self) -> f32 {
        self.vf_coef
    }
}
