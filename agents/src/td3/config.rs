//! TD3's settings.

use agon_nn::OptimizerConfig;
use serde::{Deserialize, Serialize};

use crate::coefficient::{Coefficient, none};
use crate::critics::{CriticsConfig, Reduction};
use crate::settings::{
    Replaying, above_zero, at_least_one, at_least_zero, learning, replaying, reset_every, shares_above_zero,
};
use crate::{AgentError, RunInfo};

/// How a policy is kept near the actions of recorded data, in squared distances between −1 and 1, means over dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BehaviorConfig {
    /// Weight of values, divided by the mean size of those of a slice of the minibatch: TD3+BC's α; above 0.
    pub q_weight: f64,
    /// Weight of the distance of the policy's actions; at least 0.
    pub actor: f64,
    /// Weight of the distance of the target policy's actions, which is taken off targets; at least 0.
    pub critic: f64,
}

impl Default for BehaviorConfig {
    /// TD3+BC's.
    fn default() -> Self {
        Self { q_weight: 2.5, actor: 1.0, critic: 0.0 }
    }
}

/// TD3's settings. The defaults are Stable-Baselines3's; actions count from −1 to 1 whatever their bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Td3Config {
    /// Transitions that the replay buffer holds; at least `batch_size`.
    pub buffer_size: usize,
    /// Environment steps with random actions before the first update.
    pub learning_starts: u64,
    /// Environment steps between rounds of updates; a multiple of `num_envs`, or a divisor of it: then each step of
    /// all environments is followed by as many rounds as it has steps for.
    pub train_frequency: usize,
    /// Updates in a round; at least 1.
    pub gradient_steps: usize,
    /// Transitions of a minibatch; at least 1.
    pub batch_size: usize,
    /// The optimizers' step size; above 0, or a schedule.
    pub learning_rate: Coefficient,
    /// Whether a step size that is a plain number falls linearly to zero over the run; a schedule is its own.
    pub anneal_lr: bool,
    /// Discount factor, 0 to 1.
    pub gamma: f64,
    /// How far target networks move in an update; above 0, at most 1.
    pub tau: f64,
    /// Updates of the critics for each one of the policy and the target networks; at least 1.
    pub policy_frequency: u64,
    /// Standard deviation of the noise on the target policy's actions; at least 0.
    pub policy_noise: f64,
    /// Largest size of that noise; at least 0.
    pub noise_clip: f64,
    /// Standard deviation of the noise on the actions that explore; at least 0.
    pub exploration_noise: f64,
    /// How the policy is kept near the actions of recorded data; not at all by default.
    #[serde(with = "none")]
    pub behavior: Option<BehaviorConfig>,
    /// How many critics there are, and which of them are asked.
    pub critics: CriticsConfig,
    /// Updates after which all networks and optimizers begin anew, while the replay stays; never by default.
    #[serde(with = "none")]
    pub reset_every: Option<u64>,
    /// What takes the gradient steps.
    pub optimizer: OptimizerConfig,
    /// Slices that a minibatch's gradient is summed over: as many threads can work on it. Part of the result.
    pub gradient_slices: usize,
}

impl Default for Td3Config {
    fn default() -> Self {
        Self {
            buffer_size: 1_000_000,
            learning_starts: 100,
            train_frequency: 1,
            gradient_steps: 1,
            batch_size: 256,
            learning_rate: Coefficient::Constant(1e-3),
            anneal_lr: false,
            gamma: 0.99,
            tau: 0.005,
            policy_frequency: 2,
            policy_noise: 0.2,
            noise_clip: 0.5,
            exploration_noise: 0.1,
            behavior: None,
            critics: CriticsConfig { policy_reduction: Reduction::First, ..CriticsConfig::default() },
            reset_every: None,
            optimizer: OptimizerConfig::default(),
            gradient_slices: 2,
        }
    }
}

impl Td3Config {
    /// TD3+BC (Fujimoto and Gu 2021).
    pub fn td3_bc() -> Self {
        Self {
            learning_rate: Coefficient::Constant(3e-4),
            behavior: Some(BehaviorConfig::default()),
            ..Self::default()
        }
    }

    /// ReBRAC (Tarasov et al. 2023): the critics are kept near the data too, and have layer norms if `network` does.
    pub fn rebrac() -> Self {
        let behavior = BehaviorConfig { q_weight: 1.0, actor: 0.1, critic: 0.1 };
        Self {
            batch_size: 1024,
            learning_rate: Coefficient::Constant(1e-3),
            behavior: Some(behavior),
            ..Self::default()
        }
    }

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
        shares_above_zero(&[("tau", self.tau)])?;
        self.critics.validate()?;
        reset_every(self.reset_every)?;
        if let Some(behavior) = &self.behavior {
            above_zero(&[("behavior.q_weight", behavior.q_weight)])?;
            at_least_zero(&[("behavior.actor", behavior.actor), ("behavior.critic", behavior.critic)])?;
        }
        at_least_one(&[("policy_frequency", self.policy_frequency)])?;
        at_least_zero(&[
            ("policy_noise", self.policy_noise),
            ("noise_clip", self.noise_clip),
            ("exploration_noise", self.exploration_noise),
        ])
    }
}
