//! PQN's settings.

use agon_nn::OptimizerConfig;
use serde::{Deserialize, Serialize};

use crate::coefficient::{Coefficient, auto};
use crate::exploration::Exploration;
use crate::settings::{above_zero, at_least_one, learning, shares, updates};
use crate::{AgentError, RunInfo};

/// PQN's settings. The defaults are CleanRL's for classic control.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PqnConfig {
    /// Ticks of a rollout; at least 1.
    pub num_steps: usize,
    /// Minibatches of a pass; at most as many as a rollout has transitions.
    pub num_minibatches: usize,
    /// Passes over a rollout; at least 1.
    pub update_epochs: usize,
    /// Step size; above 0, or a schedule.
    pub learning_rate: Coefficient,
    /// Whether a step size that is a plain number falls linearly to zero over the run; a schedule is its own.
    pub anneal_lr: bool,
    /// Discount factor, 0 to 1.
    pub gamma: f64,
    /// `λ`: 0 bootstraps after each step, 1 at the end only.
    pub q_lambda: f64,
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
    /// Slices that a minibatch's gradient is summed over: as many threads can work on it. Part of the result. By default as
    /// many as its rows and the networks' size are worth, up to 16; never what the machine has.
    #[serde(with = "auto")]
    pub gradient_slices: Option<usize>,
}

impl Default for PqnConfig {
    fn default() -> Self {
        Self {
            num_steps: 128,
            num_minibatches: 4,
            update_epochs: 4,
            learning_rate: Coefficient::Constant(2.5e-4),
            anneal_lr: true,
            gamma: 0.99,
            q_lambda: 0.65,
            max_grad_norm: 10.0,
            start_e: 1.0,
            end_e: 0.05,
            exploration_fraction: 0.5,
            optimizer: OptimizerConfig::default(),
            gradient_slices: None,
        }
    }
}

impl PqnConfig {
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
        at_least_one(&[("num_steps", self.num_steps as u64)])?;
        updates(&[("update_epochs", self.update_epochs as u64)])?;
        let most = self.num_steps.saturating_mul(info.num_rows());
        if !(1..=most).contains(&self.num_minibatches) {
            let expected = format!("between 1 and num_envs * num_agents * num_steps = {most}");
            return Err(AgentError::setting("num_minibatches", expected, self.num_minibatches));
        }
        above_zero(&[("max_grad_norm", self.max_grad_norm)])?;
        shares(&[("q_lambda", self.q_lambda)])?;
        self.exploration().validate()
    }
}
