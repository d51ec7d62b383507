//! The settings of DQN and of its named combinations.

use agon_nn::{Activation, AdamConfig, EncoderConfig, HeadConfig, ModelConfig, OptimizerConfig};
use serde::{Deserialize, Serialize};

use crate::augmentation::ReplayAugmentation;
use crate::coefficient::{Coefficient, auto, none};
use crate::exploration::Exploration;
use crate::replay::{PrioritizedConfig, Sampling};
use crate::settings::{
    Replaying, above_zero, at_least_one, at_least_zero, learning, replaying, shares_above_zero,
};
use crate::value_distribution::{C51Config, Distribution, IqnConfig, QrConfig};
use crate::{AgentError, RunInfo};

/// What an error costs, without a distribution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Half its square, and linear beyond `huber_delta`.
    #[default]
    Huber,
    /// Its square.
    Mse,
}

/// DQN's settings. The defaults are CleanRL's for classic control.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DqnConfig {
    /// Transitions that the replay buffer holds, rounded down to whole ticks of all environments; at least `batch_size`.
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
    /// Whether a step size that is a plain number falls linearly to zero over the run; a schedule is its own.
    pub anneal_lr: bool,
    /// Discount factor, 0 to 1.
    pub gamma: f64,
    /// Rewards that are summed before the target network is asked; at least 1.
    pub n_step: usize,
    /// Environment steps between updates of the target network; at least 1.
    pub target_network_frequency: u64,
    /// How far the target network moves to the online network: 1 is a copy; above 0, at most 1.
    pub tau: f64,
    /// Whether the online network chooses the action that the target network values.
    pub double: bool,
    /// Whether the head has a stream for the state's value and one for advantages; their hidden layers are `network.head`'s.
    pub dueling: bool,
    /// What is learned of the returns.
    pub distribution: Distribution,
    /// How minibatches are drawn.
    pub replay: Sampling,
    /// How their observations are changed; as they are by default.
    #[serde(with = "none")]
    pub augmentation: Option<ReplayAugmentation>,
    /// What an error costs, without a distribution.
    pub loss: Loss,
    /// Where the Huber loss, of errors or of quantiles, turns from squared to linear; above 0.
    pub huber_delta: f64,
    /// Weight of how far other actions are valued above the one that was taken, CQL's α, for values without a distribution; at
    /// least 0.
    pub cql_alpha: f64,
    /// Largest norm of a gradient; above 0.
    pub max_grad_norm: f64,
    /// Probability of a random action at first; 1 by default, and 0 if the network's head is noisy.
    #[serde(with = "auto")]
    pub start_e: Option<f64>,
    /// Probability of a random action in the end; 0.05 by default, and 0 if the network's head is noisy.
    #[serde(with = "auto")]
    pub end_e: Option<f64>,
    /// Share of the run over which it falls linearly, 0 to 1.
    pub exploration_fraction: f64,
    /// The optimizer. Its step size is `learning_rate`.
    pub optimizer: OptimizerConfig,
    /// Slices that a minibatch's gradient is summed over: as many threads can work on it. Part of the result.
    pub gradient_slices: usize,
}

impl Default for DqnConfig {
    fn default() -> Self {
        Self {
            buffer_size: 10_000,
            learning_starts: 10_000,
            train_frequency: 10,
            gradient_steps: 1,
            batch_size: 128,
            learning_rate: Coefficient::Constant(2.5e-4),
            anneal_lr: false,
            gamma: 0.99,
            n_step: 1,
            target_network_frequency: 500,
            tau: 1.0,
            double: false,
            dueling: false,
            distribution: Distribution::None,
            replay: Sampling::Uniform,
            augmentation: None,
            loss: Loss::Huber,
            huber_delta: 1.0,
            cql_alpha: 0.0,
            max_grad_norm: 10.0,
            start_e: None,
            end_e: None,
            exploration_fraction: 0.5,
            optimizer: OptimizerConfig::default(),
            gradient_slices: 2,
        }
    }
}

/// Adam with the ε of distributional agents: 0.01 over a minibatch of 128, CleanRL's and the papers' rule.
fn adam() -> OptimizerConfig {
    OptimizerConfig::Adam(AdamConfig { eps: 0.01 / 128.0, ..AdamConfig::default() })
}

impl DqnConfig {
    /// C51 as CleanRL has it for classic control (`c51.py`).
    pub fn c51() -> Self {
        let c51 = C51Config { v_min: -100.0, v_max: 100.0, atoms: 101 };
        Self { distribution: Distribution::C51(c51), optimizer: adam(), ..Self::default() }
    }

    /// QR-DQN with the paper's 200 quantiles, otherwise as [`Self::c51`].
    pub fn qr_dqn() -> Self {
        Self { distribution: Distribution::Qr(QrConfig::default()), optimizer: adam(), ..Self::default() }
    }

    /// IQN with the paper's numbers of samples, otherwise as [`Self::c51`].
    pub fn iqn() -> Self {
        Self { distribution: Distribution::Iqn(IqnConfig::default()), optimizer: adam(), ..Self::default() }
    }

    /// Rainbow's parts (Hessel et al. 2018, arXiv:1710.02298, table 1) on [`Self::c51`]: double, dueling, 3 steps,
    /// priorities with α = 0.5; with [`Self::rainbow_network`], noisy layers instead of ε.
    pub fn rainbow() -> Self {
        Self {
            double: true,
            dueling: true,
            n_step: 3,
            replay: Sampling::Prioritized(PrioritizedConfig { alpha: 0.5, ..PrioritizedConfig::default() }),
            ..Self::c51()
        }
    }

    /// Discrete CQL (Kumar et al. 2020) on double DQN: what d3rlpy 2.8 calls `DiscreteCQL`, with minibatches of 256.
    pub fn cql() -> Self {
        Self {
            cql_alpha: 1.0,
            double: true,
            batch_size: 256,
            learning_rate: Coefficient::Constant(3e-4),
            target_network_frequency: 1000,
            ..Self::default()
        }
    }

    /// The shape of the Q network by default, CleanRL's for classic control.
    pub fn default_network() -> ModelConfig {
        ModelConfig { encoder: EncoderConfig::mlp(&[120, 84], Activation::Relu), ..ModelConfig::default() }
    }

    /// As [`Self::default_network`], with noisy layers in the head.
    pub fn rainbow_network() -> ModelConfig {
        let head = HeadConfig { noisy: true, ..HeadConfig::default() };
        ModelConfig { head, ..Self::default_network() }
    }

    /// The random actions of a network that explores by noise or not.
    pub(crate) fn exploration(&self, noisy: bool) -> Exploration {
        let (start_e, end_e) = if noisy { (0.0, 0.0) } else { (1.0, 0.05) };
        Exploration {
            start_e: self.start_e.unwrap_or(start_e),
            end_e: self.end_e.unwrap_or(end_e),
            exploration_fraction: self.exploration_fraction,
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
        let frequency = ("target_network_frequency", self.target_network_frequency);
        at_least_one(&[("n_step", self.n_step as u64), frequency])?;
        let held = self.buffer_size / info.num_rows();
        if self.n_step > held {
            let expected = format!("at most the {held} steps that the replay buffer holds of an environment");
            return Err(AgentError::setting("n_step", expected, self.n_step));
        }
        above_zero(&[("huber_delta", self.huber_delta), ("max_grad_norm", self.max_grad_norm)])?;
        at_least_zero(&[("cql_alpha", self.cql_alpha)])?;
        if self.cql_alpha > 0.0 && self.distribution != Distribution::None {
            return Err(AgentError::setting("cql_alpha", "0 with a distribution of returns", self.cql_alpha));
        }
        shares_above_zero(&[("tau", self.tau)])?;
        self.exploration(false).validate()?;
        self.replay.validate()?;
        self.distribution.validate()
    }
}
