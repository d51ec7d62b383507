//! The settings of bootstrapped DQN.

use agon_nn::OptimizerConfig;
use serde::{Deserialize, Serialize};

use crate::coefficient::Coefficient;
use crate::settings::{
    Replaying, above_zero, at_least_one, at_least_zero, learning, replaying, shares_above_zero,
};
use crate::{AgentError, RunInfo};

/// Settings of bootstrapped DQN. The defaults are bsuite's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BootstrappedDqnConfig {
    /// Transitions that the replay buffer holds; at least `batch_size`.
    pub buffer_size: usize,
    /// Environment steps before the first update.
    pub learning_starts: u64,
    /// Environment steps between rounds of updates; a multiple of `num_envs`, or a divisor of it: then each step of
    /// all environments is followed by as many rounds as it has steps for.
    pub train_frequency: usize,
    /// Updates in a round; at least 1.
    pub gradient_steps: usize,
    /// Transitions of a minibatch; at least 1.
    pub batch_size: usize,
    /// Step size; above 0, or a schedule.
    pub learning_rate: Coefficient,
    /// Discount factor, 0 to 1.
    pub gamma: f64,
    /// Environment steps between copies to the target networks; at least 1.
    pub target_network_frequency: u64,
    /// Members; at least 1.
    pub ensemble: usize,
    /// Factor of the networks that never learn; at least 0.
    pub prior_scale: f64,
    /// Probability that a member learns from a step; above 0, at most 1.
    pub mask_prob: f64,
    /// Largest norm of a gradient; above 0.
    pub max_grad_norm: f64,
    /// The optimizer. Its step size is `learning_rate`.
    pub optimizer: OptimizerConfig,
    /// Slices that the members are divided into: as many threads can work on them. Part of the result.
    pub gradient_slices: usize,
}

impl Default for BootstrappedDqnConfig {
    fn default() -> Self {
        Self {
            buffer_size: 10_000,
            learning_starts: 128,
            train_frequency: 1,
            gradient_steps: 1,
            batch_size: 128,
            learning_rate: Coefficient::Constant(1e-3),
            gamma: 0.99,
            target_network_frequency: 4,
            ensemble: 20,
            prior_scale: 3.0,
            mask_prob: 0.5,
            max_grad_norm: 10.0,
            optimizer: OptimizerConfig::default(),
            gradient_slices: 2,
        }
    }
}

impl BootstrappedDqnConfig {
    /// How steps are replayed.
    pub(crate) fn replaying(&self) -> Replaying {
        replaying!(self)
    }

    /// Checks every setting's range.
    ///
    /// # Errors
    /// [`AgentError::Setting`] naming the setting, what is allowed and what was found.
    pub fn validate(&self, info: &RunInfo) -> Result<(), AgentError> {
        learning!(self).validate()?;
        self.replaying().validate(info)?;
        let frequency = ("target_network_frequency", self.target_network_frequency);
        at_least_one(&[frequency, ("ensemble", self.ensemble as u64)])?;
        above_zero(&[("max_grad_norm", self.max_grad_norm)])?;
        at_least_zero(&[("prior_scale", self.prior_scale)])?;
        shares_above_zero(&[("mask_prob", self.mask_prob)])
    }
}
