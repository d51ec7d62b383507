//! PPO's loss, value and gradient together.

use crate::policy_loss::{BLOCK, Column, LossSums, PolicyLoss, TransitionGradients, Transitions, sum};

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
    fn block(
        &self,
        transitions: &Transitions<'_>,
        ratios: &[f32],
        gradients: TransitionGradients<'_>,
        sums: &mut LossSums,
    ) {
        let mut losses: Column = [0.0; BLOCK];
        let losses = &mut losses[..ratios.len()];
        let (lowest, highest) = (1.0 - self.clip_coef, 1.0 + self.clip_coef);
        let policy = ratios.iter().zip(transitions.advantages);
        for ((loss, gradient), (&ratio, advantage)) in losses.iter_mut().zip(gradients.log_probs).zip(policy)
        {
            let clipped_ratio = clamped(ratio, lowest, highest);
            let (surrogate, clipped) = (-advantage * ratio, -advantage * clipped_ratio);
            *gradient = if surrogate >= clipped { surrogate } else { 0.0 };
            *loss = if surrogate < clipped { clipped } else { surrogate };
        }
        sums.policy_loss += sum(losses);
        for (loss, ratio) in losses.iter_mut().zip(ratios) {
            *loss = if (ratio - 1.0).abs() > self.clip_coef { 1.0 } else { 0.0 };
        }
        sums.clipfrac += sum(losses);
        self.values(transitions, losses, gradients.values);
        sums.value_loss += sum(losses);
    }

    fn ent_coef(&self) -> f32 {
        self.ent_coef
    }

    fn vf_coef(&self) -> f32 {
        self.vf_coef
    }
}

impl PpoLoss {
    /// Losses and gradients of the values.
    fn values(&self, transitions: &Transitions<'_>, losses: &mut [f32], gradients: &mut [f32]) {
        let clip_coef = if self.clip_vloss { self.clip_coef } else { f32::INFINITY };
        let of_values = transitions.values.iter().zip(transitions.old_values).zip(transitions.targets);
        for ((loss, gradient), ((value, old_value), target)) in
            losses.iter_mut().zip(gradients).zip(of_values)
        {
            let (error, moved) = (value - target, value - old_value);
            // Where nothing is clipped both errors are one, but for rounding: the first counts then.
            let clipped_error = old_value + clamped(moved, -clip_coef, clip_coef) - target;
            let inside = moved.abs() <= clip_coef;
            let is_worse = !inside && clipped_error * clipped_error > error * error;
            let counted = if is_worse { clipped_error } else { error };
            *loss = 0.5 * counted * counted;
            *gradient = if is_worse { 0.0 } else { self.vf_coef * error };
        }
    }
}

/// `x` between two bounds; NaN stays NaN.
fn clamped(x: f32, lowest: f32, highest: f32) -> f32 {
    let above = if x < lowest { lowest } else { x };
    if above > highest { highest } else { above }
}
