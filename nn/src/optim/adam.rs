//! Adam.

use serde::{Deserialize, Serialize};

use super::{FLUSH_EVERY, Way, check_decay, check_lengths, check_not_negative, check_positive, run};
use crate::error::NnError;
use crate::kernels::AdamUpdate;
use crate::matrix::check_length;
use crate::params::Params;

/// Settings of [`Adam`]; the learning rate is an argument of each step.
///
/// # Source
/// Kingma and Ba 2015, arXiv:1412.6980; defaults of `torch.optim.Adam` (PyTorch 2.9).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamConfig {
    /// Decay of the mean of gradients, in 0..1.
    pub beta1: f64,
    /// Decay of the mean of squared gradients, in 0..1.
    pub beta2: f64,
    /// Added to the denominator, positive; CleanRL's PPO uses 1e-5.
    pub eps: f64,
    /// Factor of the parameters that is added to their gradients (L2 penalty, not `AdamW`), at least 0.
    pub weight_decay: f64,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 }
    }
}

impl AdamConfig {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`NnError::Config`] names the first field that breaks its bound.
    pub fn validate(&self) -> Result<(), NnError> {
        check_decay("beta1", self.beta1)?;
        check_decay("beta2", self.beta2)?;
        check_positive("eps", self.eps)?;
        check_not_negative("weight_decay", self.weight_decay)
    }
}

/// The state of [`Adam`], complete: restored, it continues with the same bits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamState {
    /// Steps taken.
    pub step: u64,
    /// Running mean of the gradients.
    pub exp_avg: Vec<f32>,
    /// Running mean of the squared gradients.
    pub exp_avg_sq: Vec<f32>,
}

/// The Adam optimizer over flat parameters.
///
/// ```text
/// m ← β₁·m + (1 − β₁)·g        v ← β₂·v + (1 − β₂)·g²
/// θ ← θ − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)
/// ```
///
/// # Source
/// `torch.optim.Adam` (PyTorch 2.9), including the place of ε.
///
/// # Deviations
/// 1. Denormal means become zero now and then, see the [module](super).
#[derive(Debug, Clone)]
pub struct Adam {
    config: AdamConfig,
    state: AdamState,
}

impl Adam {
    /// Before its first step, for `len` values.
    ///
    /// # Errors
    /// [`NnError::Config`] if the configuration breaks a bound.
    pub fn new(config: AdamConfig, len: usize) -> Result<Self, NnError> {
        Self::from_state(config, AdamState { step: 0, exp_avg: vec![0.0; len], exp_avg_sq: vec![0.0; len] })
    }

    /// Continues from a saved state.
    ///
    /// # Errors
    /// [`NnError::Config`] if the configuration breaks a bound, [`NnError::Length`] if the two means differ in length.
    pub fn from_state(config: AdamConfig, state: AdamState) -> Result<Self, NnError> {
        config.validate()?;
        check_length("exp_avg_sq", state.exp_avg.len(), state.exp_avg_sq.len())?;
        Ok(Self { config, state })
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &AdamConfig {
        &self.config
    }

    /// The state, to be saved.
    #[must_use]
    pub fn state(&self) -> &AdamState {
        &self.state
    }

    /// One step on the calling thread.
    ///
    /// # Errors
    /// [`NnError::Length`] if `params` or `grads` do not have this optimizer's length; nothing changes then.
    pub fn step(&mut self, params: &mut Params, grads: &[f32], learning_rate: f32) -> Result<(), NnError> {
        self.advance(params, grads, learning_rate, Way::Alone)
    }

    /// One step against `factor · grads`, on the threads of the [team](crate::team); without a factor the bits of [`Self::step`].
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn step_shared(
        &mut self,
        params: &mut Params,
        grads: &[f32],
        factor: f32,
        learning_rate: f32,
    ) -> Result<(), NnError> {
        self.advance(params, grads, learning_rate, Way::Shared { factor })
    }

    fn advance(
        &mut self,
        params: &mut Params,
        grads: &[f32],
        learning_rate: f32,
        way: Way,
    ) -> Result<(), NnError> {
        let penalty = self.config.weight_decay as f32;
        self.advance_with::<false>(penalty, params, grads, learning_rate, way)
    }

    /// One step; `weight_decay` as [`AdamUpdate`] has it for `DECOUPLED`.
    pub(super) fn advance_with<const DECOUPLED: bool>(
        &mut self,
        weight_decay: f32,
        params: &mut Params,
        grads: &[f32],
        learning_rate: f32,
        way: Way,
    ) -> Result<(), NnError> {
        check_lengths(self.state.exp_avg.len(), params, grads)?;
        self.state.step += 1;
        let AdamConfig { beta1, beta2, eps, .. } = self.config;
        let step = self.state.step as f64;
        let correction1 = 1.0 - beta1.powf(step);
        let correction2 = 1.0 - beta2.powf(step);
        let rule = AdamUpdate::<DECOUPLED> {
            weight_decay,
            beta1: beta1 as f32,
            one_minus_beta1: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            one_minus_beta2: (1.0 - beta2) as f32,
            inverse_sqrt_correction2: correction2.sqrt().recip() as f32,
            eps: eps as f32,
            flush: self.state.step.is_multiple_of(FLUSH_EVERY),
            negative_step_size: (-f64::from(learning_rate) / correction1) as f32,
        };
        run(rule, params, grads, [&mut self.state.exp_avg, &mut self.state.exp_avg_sq], way);
        Ok(())
    }
}
