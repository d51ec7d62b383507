//! SAC's settings.

use agon_envs::ActionSpec;
use agon_nn::OptimizerConfig;
use serde::{Deserialize, Serialize};

use crate::augmentation::ReplayAugmentation;
use crate::coefficient::{Coefficient, auto, none};
use crate::critics::CriticsConfig;
use crate::error::ensure;
use crate::settings::{
    Replaying, at_least_one, at_least_zero, learning, replaying, reset_every, samples, shares_above_zero,
};
use crate::{AgentError, RunInfo};

/// SAC's settings. The defaults are Stable-Baselines3's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SacConfig {
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
    /// Updates of the critics for each one of the policy and the temperature; at least 1.
    pub policy_frequency: u64,
    /// How many critics there are, and which of them are asked.
    pub critics: CriticsConfig,
    /// Updates after which all networks, the temperature and the optimizers begin anew, while the replay stays; never by default.
    #[serde(with = "none")]
    pub reset_every: Option<u64>,
    /// Whether targets count the entropy of what follows. The policy is paid for its own either way.
    pub backup_entropy: bool,
    /// Weight of how far other actions are valued above the one that was taken, CQL's α, of continuous actions; at least 0.
    pub cql_alpha: f64,
    /// Other actions that this is estimated from: as many of chance, of the policy and of the policy in the next state; at least 1.
    pub cql_actions: usize,
    /// Whether the policy's actions are not pushed below the return that followed in the data, discounted: Cal-QL.
    pub cql_calibrated: bool,
    /// The temperature α, if it is not learned; at least 0.
    #[serde(with = "auto")]
    pub ent_coef: Option<f64>,
    /// The entropy that a learned temperature keeps. By default minus the number of dimensions; of discrete actions, half
    /// of the largest one there is: CleanRL's 0.89 of it cannot be reached where one action is clearly better.
    #[serde(with = "auto")]
    pub target_entropy: Option<f64>,
    /// How the observations of minibatches are changed, the policy's too; as they are by default.
    #[serde(with = "none")]
    pub augmentation: Option<ReplayAugmentation>,
    /// What takes the gradient steps.
    pub optimizer: OptimizerConfig,
    /// Slices that a minibatch's gradient is summed over: as many threads can work on it. Part of the result.
    pub gradient_slices: usize,
}

impl Default for SacConfig {
    fn default() -> Self {
        Self {
            buffer_size: 1_000_000,
            learning_starts: 100,
            train_frequency: 1,
            gradient_steps: 1,
            batch_size: 256,
            learning_rate: Coefficient::Constant(3e-4),
            anneal_lr: false,
            gamma: 0.99,
            tau: 0.005,
            policy_frequency: 1,
            critics: CriticsConfig::default(),
            reset_every: None,
            backup_entropy: true,
            cql_alpha: 0.0,
            cql_actions: 10,
            cql_calibrated: false,
            ent_coef: None,
            target_entropy: None,
            augmentation: None,
            optimizer: OptimizerConfig::default(),
            gradient_slices: 2,
        }
    }
}

impl SacConfig {
    /// CQL for continuous actions (Kumar et al. 2020), as the authors have it for locomotion: targets without entropy.
    pub fn cql() -> Self {
        Self { cql_alpha: 5.0, backup_entropy: false, ..Self::default() }
    }

    /// Cal-QL (Nakamoto et al. 2023): [`Self::cql`], calibrated.
    pub fn cal_ql() -> Self {
        Self { cql_calibrated: true, ..Self::cql() }
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
        at_least_one(&[("policy_frequency", self.policy_frequency)])?;
        self.critics.validate()?;
        reset_every(self.reset_every)?;
        at_least_zero(&[("cql_alpha", self.cql_alpha)])?;
        samples(&[("cql_actions", self.cql_actions as u64)])?;
        let is_conservative = self.cql_alpha > 0.0;
        let (discrete, continuous) =
            ("0 for discrete actions, which `cql` is for", "none with cql_alpha above 0");
        let is_discrete = matches!(info.spaces.action, ActionSpec::Discrete { .. });
        ensure(!(is_conservative && is_discrete), "cql_alpha", discrete, self.cql_alpha)?;
        let is_changed = is_conservative && self.augmentation.is_some();
        ensure(!is_changed, "augmentation", continuous, "transformations")?;
        at_least_zero(&[("ent_coef", self.ent_coef.unwrap_or(1.0))])
    }
}
