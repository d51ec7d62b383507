//! AWAC's settings.

use agon_nn::OptimizerConfig;
use serde::{Deserialize, Serialize};

use crate::AgentError;
use crate::coefficient::Coefficient;
use crate::settings::{Learning, Replaying, above_zero, at_least_zero, replaying, rows, shares_above_zero};

/// AWAC's settings. The defaults are CORL's for locomotion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AwacConfig {
    /// Of a run that acts: its own transitions that the replay buffer holds; at least `batch_size`.
    pub buffer_size: usize,
    /// Of a run that acts: environment steps before the first update.
    pub learning_starts: u64,
    /// Of a run that acts: environment steps between rounds of updates; a multiple of `num_envs`, or a divisor of it: then each
    /// step of all environments is followed by as many rounds as it has steps for.
    pub train_frequency: usize,
    /// Of a run that acts: updates in a round; at least 1.
    pub gradient_steps: usize,
    /// Of a run that acts: standard deviation of the noise on numbers, which count from −1 to 1; at least 0. Choices are drawn.
    pub exploration_noise: f64,
    /// Steps of a minibatch; at least 1.
    pub batch_size: usize,
    /// The optimizers' step size; above 0, or a schedule.
    pub learning_rate: Coefficient,
    /// Whether a step size that is a plain number falls linearly to zero over the run; a schedule is its own.
    pub anneal_lr: bool,
    /// Discount factor, 0 to 1.
    pub gamma: f64,
    /// How far target networks move in an update; above 0, at most 1.
    pub tau: f64,
    /// How fast weights grow with advantages, 1 / λ of the paper; at least 0, which is BC.
    pub temperature: f64,
    /// Largest weight of a step; above 0.
    pub max_weight: f64,
    /// What takes the gradient steps.
    pub optimizer: OptimizerConfig,
    /// Slices that a minibatch's gradient is summed over: as many threads can work on it. Part of the result.
    pub gradient_slices: usize,
}

impl Default for AwacConfig {
    fn default() -> Self {
        Self {
            buffer_size: 1_000_000,
            learning_starts: 0,
            train_frequency: 1,
            gradient_steps: 1,
            exploration_noise: 0.1,
            batch_size: 256,
            learning_rate: Coefficient::Constant(3e-4),
            anneal_lr: false,
            gamma: 0.99,
            tau: 0.005,
            temperature: 1.0,
            max_weight: 100.0,
            optimizer: OptimizerConfig::default(),
            gradient_slices: 2,
        }
    }
}

impl AwacConfig {
    /// How steps are replayed.
    pub(crate) fn replaying(&self) -> Replaying {
        replaying!(self)
    }

    /// Checks every setting's range.
    ///
    /// # Errors
    /// [`AgentError::Setting`] naming the setting, what is allowed and what was found.
    pub fn validate(&self) -> Result<(), AgentError> {
        let Self { learning_rate, gamma, optimizer, gradient_slices, .. } = *self;
        Learning { learning_rate, gamma, gradient_slices: Some(gradient_slices), optimizer }.validate()?;
        rows(&[("batch_size", self.batch_size as u64)])?;
        shares_above_zero(&[("tau", self.tau)])?;
        at_least_zero(&[("temperature", self.temperature), ("exploration_noise", self.exploration_noise)])?;
        above_zero(&[("max_weight", self.max_weight)])
    }
}
