//! What actor-critics that learn from a replay buffer have in common: their settings' bounds and when they learn.

use crate::AgentError;
use crate::error::{ensure, positive};
use crate::learner::RunInfo;

/// The settings of an actor-critic with a replay buffer.
pub(crate) struct OffPolicySettings {
    pub(crate) buffer_size: usize,
    pub(crate) train_frequency: usize,
    pub(crate) gradient_steps: usize,
    pub(crate) batch_size: usize,
    pub(crate) learning_rate: f64,
    pub(crate) gamma: f64,
    pub(crate) tau: f64,
    pub(crate) gradient_slices: usize,
}

/// When an algorithm learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// Ticks of a fragment.
    pub(crate) num_steps: usize,
}

impl OffPolicySettings {
    /// Checks every setting's range.
    pub(crate) fn validate(&self, info: &RunInfo) -> Result<Schedule, AgentError> {
        let Self { batch_size, buffer_size, gradient_steps, learning_rate, gamma, tau, .. } = *self;
        ensure(batch_size > 0, "batch_size", "at least 1", batch_size)?;
        ensure(buffer_size >= batch_size, "buffer_size", "at least batch_size", buffer_size)?;
        let rows = "at least num_envs * num_agents";
        ensure(buffer_size >= info.num_rows(), "buffer_size", rows, buffer_size)?;
        ensure(u32::try_from(buffer_size).is_ok(), "buffer_size", "below 2^32", buffer_size)?;
        ensure(gradient_steps > 0, "gradient_steps", "at least 1", gradient_steps)?;
        ensure(positive(learning_rate), "learning_rate", "above 0", learning_rate)?;
        ensure((0.0..=1.0).contains(&gamma), "gamma", "between 0 and 1", gamma)?;
        ensure(tau > 0.0 && tau <= 1.0, "tau", "above 0 and at most 1", tau)?;
        let slices = self.gradient_slices;
        ensure((1..=64).contains(&slices), "gradient_slices", "between 1 and 64", slices)?;
        let num_envs = info.num_envs;
        if self.train_frequency == 0 || !self.train_frequency.is_multiple_of(num_envs) {
            let expected = format!("a multiple of num_envs = {num_envs}");
            return Err(AgentError::setting("train_frequency", expected, self.train_frequency));
        }
        Ok(Schedule { num_steps: self.train_frequency / num_envs })
    }
}

#[cfg(test)]
mod tests;
