//! `RMSprop`, as PyTorch and as TensorFlow compute it.

use serde::{Deserialize, Serialize};

use super::{FLUSH_EVERY, Way, check_decay, check_lengths, check_not_negative, check_positive, run};
use crate::error::NnError;
use crate::kernels::{RmsPropScalars, RmsPropUpdate};
use crate::matrix::check_length;
use crate::params::Params;

/// Where ε stands, and what the mean square is at the start.
///
/// # Source
/// `torch.optim.RMSprop` (PyTorch 2.9), and `RMSpropTFLike` of stable-baselines3 2.7
/// (`common/sb2_compat/rmsprop_tf_like.py`), with which its A2C repeats the results that TensorFlow gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RmsPropForm {
    /// `√v + ε`; the mean square starts at zero, so that the first steps are long.
    #[default]
    PyTorch,
    /// `√(v + ε)`; the mean square starts at one.
    TensorFlow,
}

/// Settings of [`RmsProp`]; the learning rate is an argument of each step.
///
/// # Source
/// Defaults of `torch.optim.RMSprop` (PyTorch 2.9).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RmsPropConfig {
    /// Decay of the mean square, in 0..1; A2C has 0.99, DQN 0.95.
    pub alpha: f64,
    /// Added to the denominator, positive; A2C has 1e-5, DQN 0.01.
    pub eps: f64,
    /// Whether the mean of the gradient is taken away from the mean square (Graves 2013, as DQN did).
    pub centered: bool,
    /// Decay of the momentum buffer, in 0..1; 0 is without.
    pub momentum: f64,
    /// Factor of the parameters that is added to their gradients (L2 penalty), at least 0.
    pub weight_decay: f64,
    /// PyTorch's form or TensorFlow's.
    pub form: RmsPropForm,
}

impl Default for RmsPropConfig {
    fn default() -> Self {
        Self {
            alpha: 0.99,
            eps: 1e-8,
            centered: false,
            momentum: 0.0,
            weight_decay: 0.0,
            form: RmsPropForm::PyTorch,
        }
    }
}

impl RmsPropConfig {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`NnError::Config`] names the first field that breaks its bound.
    pub fn validate(&self) -> Result<(), NnError> {
        check_decay("alpha", self.alpha)?;
        check_positive("eps", self.eps)?;
        check_decay("momentum", self.momentum)?;
        check_not_negative("weight_decay", self.weight_decay)
    }

    fn has_momentum(&self) -> bool {
        self.momentum != 0.0
    }
}

/// The state of [`RmsProp`], complete: restored, it continues with the same bits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RmsPropState {
    /// Steps taken.
    pub step: u64,
    /// Running mean of the squared gradients.
    pub square_avg: Vec<f32>,
    /// Running mean of the gradients; empty unless centered.
    pub grad_avg: Vec<f32>,
    /// Running sum of the directions; empty without momentum.
    pub momentum_buffer: Vec<f32>,
}

/// The `RMSprop` optimizer over flat parameters.
///
/// ```text
/// v ← α·v + (1 − α)·g²         m ← α·m + (1 − α)·g
/// d = g / (√v + ε)             centered: v − m² for v;  TensorFlow's form: √(v + ε)
/// b ← μ·b + d                  without momentum b = d
/// θ ← θ − lr·b
/// ```
///
/// # Source
/// Hinton 2012, lecture 6 of "Neural Networks for Machine Learning"; see [`RmsPropForm`] for the implementations.
///
/// # Deviations
/// 1. A centered mean square that rounding leaves below zero is zero; PyTorch's root gives NaN.
/// 2. Denormal running values become zero now and then, see the [module](super).
#[derive(Debug, Clone)]
pub struct RmsProp {
    config: RmsPropConfig,
    state: RmsPropState,
}

impl RmsProp {
    /// Before its first step, for `len` values.
    ///
    /// # Errors
    /// [`NnError::Config`] if the configuration breaks a bound.
    pub fn new(config: RmsPropConfig, len: usize) -> Result<Self, NnError> {
        let start = match config.form {
            RmsPropForm::PyTorch => 0.0,
            RmsPropForm::TensorFlow => 1.0,
        };
        let zeros = |used| if used { vec![0.0; len] } else { Vec::new() };
        let state = RmsPropState {
            step: 0,
            square_avg: vec![start; len],
            grad_avg: zeros(config.centered),
            momentum_buffer: zeros(config.has_momentum()),
        };
        Self::from_state(config, state)
    }

    /// Continues from a saved state.
    ///
    /// # Errors
    /// [`NnError::Config`] if the configuration breaks a bound, [`NnError::Length`] if the state lacks running values
    /// that the configuration needs, or has others.
    pub fn from_state(config: RmsPropConfig, state: RmsPropState) -> Result<Self, NnError> {
        config.validate()?;
        let expected = |used| if used { state.square_avg.len() } else { 0 };
        check_length("grad_avg", expected(config.centered), state.grad_avg.len())?;
        check_length("momentum_buffer", expected(config.has_momentum()), state.momentum_buffer.len())?;
        Ok(Self { config, state })
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &RmsPropConfig {
        &self.config
    }

    /// The state, to be saved.
    #[must_use]
    pub fn state(&self) -> &RmsPropState {
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
        check_lengths(self.state.square_avg.len(), params, grads)?;
        self.state.step += 1;
        let config = self.config;
        let scalars = RmsPropScalars {
            weight_decay: config.weight_decay as f32,
            alpha: config.alpha as f32,
            one_minus_alpha: (1.0 - config.alpha) as f32,
            eps: config.eps as f32,
            eps_inside_root: config.form == RmsPropForm::TensorFlow,
            momentum: config.momentum as f32,
            negative_learning_rate: -learning_rate,
            flush: self.state.step.is_multiple_of(FLUSH_EVERY),
        };
        let RmsPropState { square_avg, grad_avg, momentum_buffer, .. } = &mut self.state;
        match (config.centered, config.has_momentum()) {
            (false, false) => {
                run(RmsPropUpdate::<false, false>(scalars), params, grads, [square_avg], way);
            }
            (false, true) => {
                let state = [square_avg.as_mut_slice(), momentum_buffer];
                run(RmsPropUpdate::<false, true>(scalars), params, grads, state, way);
            }
            (true, false) => {
                let state = [square_avg.as_mut_slice(), grad_avg];
                run(RmsPropUpdate::<true, false>(scalars), params, grads, state, way);
            }
            (true, true) => {
                let state = [square_avg.as_mut_slice(), grad_avg, momentum_buffer];
                run(RmsPropUpdate::<true, true>(scalars), params, grads, state, way);
            }
        }
        Ok(())
    }
}
