//! Any of the optimizers, chosen by a configuration.

use serde::{Deserialize, Serialize};

use super::{
    Adam, AdamConfig, AdamState, AdamW, AdamWConfig, RmsProp, RmsPropConfig, RmsPropState, Sgd, SgdConfig,
    SgdState,
};
use crate::error::NnError;
use crate::params::Params;

/// Which optimizer, with its settings.
///
/// # Example
/// ```
/// use agon_nn::{OptimizerConfig, RmsPropConfig};
///
/// let config: OptimizerConfig = serde_json::from_str(r#"{ "kind": "rmsprop", "alpha": 0.95 }"#)?;
/// assert_eq!(config, OptimizerConfig::RmsProp(RmsPropConfig { alpha: 0.95, ..Default::default() }));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum OptimizerConfig {
    /// [`Adam`].
    Adam(AdamConfig),
    /// [`AdamW`].
    AdamW(AdamWConfig),
    /// [`RmsProp`].
    RmsProp(RmsPropConfig),
    /// [`Sgd`].
    Sgd(SgdConfig),
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self::Adam(AdamConfig::default())
    }
}

impl OptimizerConfig {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`NnError::Config`] names the first field that breaks its bound.
    pub fn validate(&self) -> Result<(), NnError> {
        match self {
            Self::Adam(config) => config.validate(),
            Self::AdamW(config) => config.validate(),
            Self::RmsProp(config) => config.validate(),
            Self::Sgd(config) => config.validate(),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Adam(_) => "adam",
            Self::AdamW(_) => "adamw",
            Self::RmsProp(_) => "rmsprop",
            Self::Sgd(_) => "sgd",
        }
    }
}

/// The state of an [`Optimizer`], complete: restored, it continues with the same bits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerState {
    /// Of [`Adam`].
    Adam(AdamState),
    /// Of [`AdamW`].
    AdamW(AdamState),
    /// Of [`RmsProp`].
    RmsProp(RmsPropState),
    /// Of [`Sgd`].
    Sgd(SgdState),
}

impl OptimizerState {
    fn kind(&self) -> &'static str {
        match self {
            Self::Adam(_) => "adam",
            Self::AdamW(_) => "adamw",
            Self::RmsProp(_) => "rmsprop",
            Self::Sgd(_) => "sgd",
        }
    }
}

/// An optimizer over flat parameters.
#[derive(Debug, Clone)]
pub enum Optimizer {
    /// [`Adam`].
    Adam(Adam),
    /// [`AdamW`].
    AdamW(AdamW),
    /// [`RmsProp`].
    RmsProp(RmsProp),
    /// [`Sgd`].
    Sgd(Sgd),
}

impl Optimizer {
    /// Before its first step, for `len` values.
    ///
    /// # Errors
    /// [`NnError::Config`] if the configuration breaks a bound.
    pub fn new(config: OptimizerConfig, len: usize) -> Result<Self, NnError> {
        Ok(match config {
            OptimizerConfig::Adam(config) => Self::Adam(Adam::new(config, len)?),
            OptimizerConfig::AdamW(config) => Self::AdamW(AdamW::new(config, len)?),
            OptimizerConfig::RmsProp(config) => Self::RmsProp(RmsProp::new(config, len)?),
            OptimizerConfig::Sgd(config) => Self::Sgd(Sgd::new(config, len)?),
        })
    }

    /// Continues from a saved state.
    ///
    /// # Errors
    /// [`NnError::Config`] if the configuration breaks a bound or the state is that of another optimizer,
    /// [`NnError::Length`] if the state's parts do not fit each other or the configuration.
    pub fn from_state(config: OptimizerConfig, state: OptimizerState) -> Result<Self, NnError> {
        Ok(match (config, state) {
            (OptimizerConfig::Adam(config), OptimizerState::Adam(state)) => {
                Self::Adam(Adam::from_state(config, state)?)
            }
            (OptimizerConfig::AdamW(config), OptimizerState::AdamW(state)) => {
                Self::AdamW(AdamW::from_state(config, state)?)
            }
            (OptimizerConfig::RmsProp(config), OptimizerState::RmsProp(state)) => {
                Self::RmsProp(RmsProp::from_state(config, state)?)
            }
            (OptimizerConfig::Sgd(config), OptimizerState::Sgd(state)) => {
                Self::Sgd(Sgd::from_state(config, state)?)
            }
            (config, state) => {
                return Err(NnError::Config {
                    field: "optimizer.kind",
                    expected: config.kind(),
                    got: format!("a state of {}", state.kind()),
                });
            }
        })
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> OptimizerConfig {
        match self {
            Self::Adam(optimizer) => OptimizerConfig::Adam(*optimizer.config()),
            Self::AdamW(optimizer) => OptimizerConfig::AdamW(*optimizer.config()),
            Self::RmsProp(optimizer) => OptimizerConfig::RmsProp(*optimizer.config()),
            Self::Sgd(optimizer) => OptimizerConfig::Sgd(*optimizer.config()),
        }
    }

    /// A copy of the state, to be saved.
    #[must_use]
    pub fn state(&self) -> OptimizerState {
        match self {
            Self::Adam(optimizer) => OptimizerState::Adam(optimizer.state().clone()),
            Self::AdamW(optimizer) => OptimizerState::AdamW(optimizer.state().clone()),
            Self::RmsProp(optimizer) => OptimizerState::RmsProp(optimizer.state().clone()),
            Self::Sgd(optimizer) => OptimizerState::Sgd(optimizer.state().clone()),
        }
    }

    /// The number of values that it optimises.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Adam(optimizer) => optimizer.state().exp_avg.len(),
            Self::AdamW(optimizer) => optimizer.state().exp_avg.len(),
            Self::RmsProp(optimizer) => optimizer.state().square_avg.len(),
            Self::Sgd(optimizer) => optimizer.state().len,
        }
    }

    /// Whether it optimises no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One step on the calling thread.
    ///
    /// # Errors
    /// [`NnError::Length`] if `params` or `grads` do not have this optimizer's length; nothing changes then.
    pub fn step(&mut self, params: &mut Params, grads: &[f32], learning_rate: f32) -> Result<(), NnError> {
        match self {
            Self::Adam(optimizer) => optimizer.step(params, grads, learning_rate),
            Self::AdamW(optimizer) => optimizer.step(params, grads, learning_rate),
            Self::RmsProp(optimizer) => optimizer.step(params, grads, learning_rate),
            Self::Sgd(optimizer) => optimizer.step(params, grads, learning_rate),
        }
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
        match self {
            Self::Adam(optimizer) => optimizer.step_shared(params, grads, factor, learning_rate),
            Self::AdamW(optimizer) => optimizer.step_shared(params, grads, factor, learning_rate),
            Self::RmsProp(optimizer) => optimizer.step_shared(params, grads, factor, learning_rate),
            Self::Sgd(optimizer) => optimizer.step_shared(params, grads, factor, learning_rate),
        }
    }
}
