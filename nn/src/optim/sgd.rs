//! Stochastic gradient descent.

use serde::{Deserialize, Serialize};

use super::{FLUSH_EVERY, Way, check, check_decay, check_lengths, check_not_negative, run};
use crate::error::NnError;
use crate::kernels::SgdUpdate;
use crate::matrix::check_length;
use crate::params::Params;

/// Settings of [`Sgd`]; the learning rate is an argument of each step.
///
/// # Source
/// Defaults of `torch.optim.SGD` (PyTorch 2.9).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SgdConfig {
    /// Decay of the momentum buffer, in 0..1; 0 is without.
    pub momentum: f64,
    /// Whether the momentum looks one step ahead (Nesterov); needs momentum.
    pub nesterov: bool,
    /// Factor of the parameters that is added to their gradients (L2 penalty), at least 0.
    pub weight_decay: f64,
}

impl SgdConfig {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`NnError::Config`] names the first field that breaks its bound.
    pub fn validate(&self) -> Result<(), NnError> {
        check_decay("momentum", self.momentum)?;
        check_not_negative("weight_decay", self.weight_decay)?;
        let holds = !self.nesterov || self.has_momentum();
        check("momentum", holds, "positive if nesterov is true", self.momentum)
    }

    fn has_momentum(&self) -> bool {
        self.momentum != 0.0
    }
}

/// The state of [`Sgd`], complete: restored, it continues with the same bits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SgdState {
    /// Steps taken.
    pub step: u64,
    /// Number of values that are optimised.
    pub len: usize,
    /// Running sum of the gradients; empty without momentum.
    pub momentum_buffer: Vec<f32>,
}

/// Stochastic gradient descent over flat parameters.
///
/// ```text
/// b ← μ·b + g
/// θ ← θ − lr·b                 Nesterov: θ − lr·(g + μ·b);  without momentum: θ − lr·g
/// ```
///
/// # Source
/// `torch.optim.SGD` (PyTorch 2.9) with dampening 0.
///
/// # Deviations
/// 1. A denormal momentum buffer becomes zero now and then, see the [module](super).
#[derive(Debug, Clone)]
pub struct Sgd {
    config: SgdConfig,
    state: SgdState,
}

impl Sgd {
    /// Before its first step, for `len` values.
    ///
    /// # Errors
    /// [`NnError::Config`] if the configuration breaks a bound.
    pub fn new(config: SgdConfig, len: usize) -> Result<Self, NnError> {
        let momentum_buffer = if config.has_momentum() { vec![0.0; len] } else { Vec::new() };
        Self::from_state(config, SgdState { step: 0, len, momentum_buffer })
    }

    /// Continues from a saved state.
    ///
    /// # Errors
    /// [`NnError::Config`] if the configuration breaks a bound, [`NnError::Length`] if the state lacks a momentum
    /// buffer that the configuration needs, or has one that it does not.
    pub fn from_state(config: SgdConfig, state: SgdState) -> Result<Self, NnError> {
        config.validate()?;
        let expected = if config.has_momentum() { state.len } else { 0 };
        check_length("momentum_buffer", expected, state.momentum_buffer.len())?;
        Ok(Self { config, state })
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &SgdConfig {
        &self.config
    }

    /// The state, to be saved.
    #[must_use]
    pub fn state(&self) -> &SgdState {
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
        check_lengths(self.state.len, params, grads)?;
        self.state.step += 1;
        let rule = SgdUpdate {
            weight_decay: self.config.weight_decay as f32,
            momentum: self.config.momentum as f32,
            nesterov: self.config.nesterov,
            negative_learning_rate: -learning_rate,
            flush: self.state.step.is_multiple_of(FLUSH_EVERY),
        };
        if self.config.has_momentum() {
            run(rule, params, grads, [&mut self.state.momentum_buffer], way);
        } else {
            run::<0>(rule, params, grads, [], way);
        }
        Ok(())
    }
}
