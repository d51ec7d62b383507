//! `AdamW`: Adam with decoupled weight decay.
//!
//! A type of its own and not a setting of Adam, as in PyTorch: the same field `weight_decay` has another meaning and
//! another default, so a configuration must not be able to mix up the two.

use serde::{Deserialize, Serialize};

use super::{Adam, AdamConfig, AdamState, Way};
use crate::error::NnError;
use crate::params::Params;

/// Settings of [`AdamW`]; the learning rate is an argument of each step.
///
/// # Source
/// Loshchilov and Hutter 2019, arXiv:1711.05101; defaults of `torch.optim.AdamW` (PyTorch 2.9).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamWConfig {
    /// Decay of the mean of gradients, in 0..1.
    pub beta1: f64,
    /// Decay of the mean of squared gradients, in 0..1.
    pub beta2: f64,
    /// Added to the denominator, positive.
    pub eps: f64,
    /// Times the learning rate, the part of every parameter that a step takes away, at least 0.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        let AdamConfig { beta1, beta2, eps, .. } = AdamConfig::default();
        Self { beta1, beta2, eps, weight_decay: 0.01 }
    }
}

impl AdamWConfig {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`NnError::Config`] names the first field that breaks its bound.
    pub fn validate(&self) -> Result<(), NnError> {
        let Self { beta1, beta2, eps, weight_decay } = *self;
        AdamConfig { beta1, beta2, eps, weight_decay }.validate()
    }
}

/// The `AdamW` optimizer over flat parameters: `θ ← (1 − lr · λ) · θ`, then a step of [`Adam`] without a penalty.
///
/// Its state is that of Adam.
///
/// # Source
/// `torch.optim.AdamW` (PyTorch 2.9).
///
/// # Deviations
/// 1. Denormal means become zero now and then, see the [module](super).
#[derive(Debug, Clone)]
pub struct AdamW {
    config: AdamWConfig,
    adam: Adam,
}

impl AdamW {
    /// Before its first step, for `len` values.
    ///
    /// # Errors
    /// [`NnError::Config`] if the configuration breaks a bound.
    pub fn new(config: AdamWConfig, len: usize) -> Result<Self, NnError> {
        Self::from_state(config, AdamState { step: 0, exp_avg: vec![0.0; len], exp_avg_sq: vec![0.0; len] })
    }

    /// Continues from a saved state.
    ///
    /// # Errors
    /// [`NnError::Config`] if the configuration breaks a bound, [`NnError::Length`] if the two means differ in length.
    pub fn from_state(config: AdamWConfig, state: AdamState) -> Result<Self, NnError> {
        config.validate()?;
        let AdamWConfig { beta1, beta2, eps, .. } = config;
        let adam = Adam::from_state(AdamConfig { beta1, beta2, eps, weight_decay: 0.0 }, state)?;
        Ok(Self { config, adam })
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &AdamWConfig {
        &self.config
    }

    /// The state, to be saved.
    #[must_use]
    pub fn state(&self) -> &AdamState {
        self.adam.state()
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
        let kept = (1.0 - f64::from(learning_rate) * self.config.weight_decay) as f32;
        self.adam.advance_with::<true>(kept, params, grads, learning_rate, way)
    }
}
