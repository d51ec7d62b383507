//! DT's settings.

use agon_nn::{AdamWConfig, OptimizerConfig};
use serde::{Deserialize, Serialize};

use crate::AgentError;
use crate::coefficient::{Coefficient, Course, none};
use crate::error::ensure;
use crate::settings::{Learning, above_zero, rows};

/// DT's settings. The defaults are the paper's for Gym but for the step size, which is that of a smaller network. How many steps
/// a step sees is `network.memory.window`, 20 by default: the paper's K.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DtConfig {
    /// Steps of a minibatch, each learned from with all of those that it sees; at least 1.
    pub batch_size: usize,
    /// Step size; above 0, or a schedule. By default it rises over the first tenth of the run, as the paper's.
    pub learning_rate: Coefficient,
    /// Return of an episode, undiscounted, that a policy aims at; none for the best of the data. Others can be asked for in an
    /// evaluation (`agon eval RUN --target-return`).
    #[serde(with = "none")]
    #[doc(alias = "target_rtg")]
    pub target_return: Option<f64>,
    /// What returns are divided by; above 0, none for the greatest return-to-go of the data, whatever its sign.
    #[serde(with = "none")]
    #[doc(alias = "rtg_scale")]
    pub return_scale: Option<f64>,
    /// Largest norm of a gradient; above 0.
    pub max_grad_norm: f64,
    /// What takes the gradient steps.
    pub optimizer: OptimizerConfig,
    /// Slices that a minibatch's gradient is summed over: as many threads can work on it. Part of the result.
    pub gradient_slices: usize,
}

impl Default for DtConfig {
    fn default() -> Self {
        let (start, end, fraction, warmup) = (1e-3, 1e-3, 1.0, 0.1);
        Self {
            batch_size: 64,
            learning_rate: Coefficient::Scheduled(Course::Linear { start, end, fraction, warmup }),
            target_return: None,
            return_scale: None,
            max_grad_norm: 0.25,
            optimizer: OptimizerConfig::AdamW(AdamWConfig { weight_decay: 1e-4, ..AdamWConfig::default() }),
            gradient_slices: 2,
        }
    }
}

impl DtConfig {
    /// Checks every setting's range.
    ///
    /// # Errors
    /// [`AgentError::Setting`] naming the setting, what is allowed and what was found.
    pub fn validate(&self) -> Result<(), AgentError> {
        let Self { learning_rate, optimizer, gradient_slices, .. } = *self;
        Learning { learning_rate, gamma: 1.0, gradient_slices: Some(gradient_slices), optimizer }
            .validate()?;
        rows(&[("batch_size", self.batch_size as u64)])?;
        let (scale, target) = (self.return_scale.unwrap_or(1.0), self.target_return.unwrap_or(0.0));
        above_zero(&[("max_grad_norm", self.max_grad_norm), ("return_scale", scale)])?;
        ensure((scale as f32) > 0.0 && (scale as f32).is_finite(), "return_scale", "a positive f32", scale)?;
        ensure((target as f32).is_finite(), "target_return", "a finite f32", target)
    }
}
