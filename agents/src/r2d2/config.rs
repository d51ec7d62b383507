//! R2D2's settings.

use agon_nn::{AdamConfig, OptimizerConfig};
use serde::{Deserialize, Serialize};

use crate::coefficient::{Coefficient, none};
use crate::error::ensure;
use crate::exploration::Exploration;
use crate::replay::{PrioritizedConfig, Sampling};
use crate::settings::{above_zero, addressable, at_least_one, learning, shares, updates};
use crate::{AgentError, RunInfo};

/// R2D2's settings. The defaults are the paper's in kind, and small enough for one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct R2d2Config {
    /// Transitions that the replay buffer holds.
    pub buffer_size: usize,
    /// Environment steps before the first update.
    pub learning_starts: u64,
    /// Ticks of a fragment, and from the beginning of a sequence to that of the next; at least 1.
    pub num_steps: usize,
    /// Steps of a sequence that only bring the state up to date. With `learn_steps` a multiple of `num_steps`.
    pub burn_in: usize,
    /// Steps of a sequence that are learned from; at least 1.
    pub learn_steps: usize,
    /// Updates in a round, after each fragment; at least 1.
    pub gradient_steps: usize,
    /// Sequences of a minibatch; at least 1.
    pub batch_size: usize,
    /// Step size; above 0, or a schedule.
    pub learning_rate: Coefficient,
    /// Discount factor, 0 to 1.
    pub gamma: f64,
    /// Rewards that are summed before the target network is asked; at least 1.
    pub n_step: usize,
    /// Updates between copies to the target network; at least 1.
    pub target_update_period: u64,
    /// Whether the online network chooses the action that the target network values.
    pub double: bool,
    /// Whether the head has a stream for the state's value and one for advantages.
    pub dueling: bool,
    /// ε of the values' scale `h`; none to learn them as they are.
    #[serde(with = "none")]
    pub rescale: Option<f64>,
    /// How sequences are drawn.
    pub replay: Sampling,
    /// Share of the largest error of a sequence in its priority, 0 to 1; the mean has the rest.
    pub priority_eta: f64,
    /// Largest norm of a gradient; above 0.
    pub max_grad_norm: f64,
    /// Probability of a random action at first.
    pub start_e: f64,
    /// Probability of a random action in the end.
    pub end_e: f64,
    /// Share of the run over which it falls linearly, 0 to 1.
    pub exploration_fraction: f64,
    /// The optimizer. Its step size is `learning_rate`.
    pub optimizer: OptimizerConfig,
    /// Slices that a minibatch's gradient is summed over: as many threads can work on it. Part of the result.
    pub gradient_slices: usize,
}

impl Default for R2d2Config {
    fn default() -> Self {
        let prioritized =
            PrioritizedConfig { alpha: 0.9, beta_start: 0.6, beta_end: 0.6, ..PrioritizedConfig::default() };
        Self {
            buffer_size: 100_000,
            learning_starts: 1000,
            num_steps: 20,
            burn_in: 20,
            learn_steps: 40,
            gradient_steps: 1,
            batch_size: 64,
            learning_rate: Coefficient::Constant(1e-4),
            gamma: 0.997,
            n_step: 5,
            target_update_period: 2500,
            double: true,
            dueling: true,
            rescale: Some(1e-3),
            replay: Sampling::Prioritized(prioritized),
            priority_eta: 0.9,
            max_grad_norm: 40.0,
            start_e: 1.0,
            end_e: 0.05,
            exploration_fraction: 0.2,
            optimizer: OptimizerConfig::Adam(AdamConfig { eps: 1e-3, ..AdamConfig::default() }),
            gradient_slices: 2,
        }
    }
}

impl R2d2Config {
    /// Steps of a sequence.
    pub fn sequence_length(&self) -> usize {
        self.burn_in.saturating_add(self.learn_steps)
    }

    /// Random actions and when they are taken.
    pub(super) fn exploration(&self) -> Exploration {
        let &Self { start_e, end_e, exploration_fraction, .. } = self;
        Exploration { start_e, end_e, exploration_fraction }
    }

    /// Checks every setting's range.
    ///
    /// # Errors
    /// [`AgentError::Setting`] naming the setting, what is allowed and what was found.
    pub fn validate(&self, info: &RunInfo) -> Result<(), AgentError> {
        learning!(self).validate()?;
        at_least_one(&[
            ("num_steps", self.num_steps as u64),
            ("learn_steps", self.learn_steps as u64),
            ("batch_size", self.batch_size as u64),
            ("n_step", self.n_step as u64),
            ("target_update_period", self.target_update_period),
        ])?;
        updates(&[("gradient_steps", self.gradient_steps as u64)])?;
        ensure(self.buffer_size > 0, "buffer_size", "at least 1", self.buffer_size)?;
        // More than a buffer holds is its own fault, not the buffer's.
        if self.burn_in > self.buffer_size {
            let expected = format!("at most buffer_size = {}", self.buffer_size);
            return Err(AgentError::setting("burn_in", expected, self.burn_in));
        }
        let length = self.sequence_length();
        if !length.is_multiple_of(self.num_steps) {
            let expected = format!("a multiple of num_steps = {}", self.num_steps);
            return Err(AgentError::setting("burn_in + learn_steps", expected, length));
        }
        if self.n_step > length {
            let expected = format!("at most burn_in + learn_steps = {length}");
            return Err(AgentError::setting("n_step", expected, self.n_step));
        }
        let least = length.saturating_mul(2 * info.num_rows());
        if self.buffer_size < least {
            let expected = format!("at least 2 sequences of each agent of each environment = {least}");
            return Err(AgentError::setting("buffer_size", expected, self.buffer_size));
        }
        addressable(self.buffer_size)?;
        above_zero(&[("max_grad_norm", self.max_grad_norm), ("rescale", self.rescale.unwrap_or(1.0))])?;
        shares(&[("priority_eta", self.priority_eta)])?;
        self.exploration().validate()?;
        self.replay.validate()
    }
}
