//! The settings of DQN and of its named combinations.

use agon_nn::losses::distributional::Support;
use agon_nn::{Activation, AdamConfig, EncoderConfig, HeadConfig, ModelConfig, NnError, OptimizerConfig};
use serde::{Deserialize, Serialize};

use crate::error::{ensure, positive};
use crate::replay::PrioritizedConfig;
use crate::{AgentError, RunInfo};

/// What is learned of the returns of an action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Distribution {
    /// Their mean.
    #[default]
    None,
    /// Probabilities of fixed returns.
    C51(C51Config),
    /// Quantiles at fixed places.
    Qr(QrConfig),
    /// Quantiles at any place.
    Iqn(IqnConfig),
}

/// Settings of [`Distribution::C51`].
///
/// # Source
/// Bellemare et al. (2017), arXiv:1707.06887, section 5.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct C51Config {
    /// The least return; below `v_max`.
    pub v_min: f64,
    /// The greatest return.
    pub v_max: f64,
    /// Number of returns; at least 2.
    pub atoms: usize,
}

impl Default for C51Config {
    fn default() -> Self {
        Self { v_min: -10.0, v_max: 10.0, atoms: 51 }
    }
}

impl C51Config {
    pub(super) fn support(&self) -> Result<Support, NnError> {
        Support::new(self.v_min as f32, self.v_max as f32, self.atoms)
    }
}

/// Settings of [`Distribution::Qr`].
///
/// # Source
/// Dabney et al. (2018a), arXiv:1710.10044, section 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QrConfig {
    /// Number of quantiles; at least 1.
    pub quantiles: usize,
}

impl Default for QrConfig {
    fn default() -> Self {
        Self { quantiles: 200 }
    }
}

/// Settings of [`Distribution::Iqn`].
///
/// # Source
/// Dabney et al. (2018b), arXiv:1806.06923, section 4: 64 cosines, 64 samples, 32 to choose actions with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IqnConfig {
    /// Quantiles that a loss is taken over, `N`; at least 1.
    pub samples: usize,
    /// Quantiles of its target, `N'`; at least 1.
    pub target_samples: usize,
    /// Quantiles whose mean an action is chosen by, `K`; at least 1.
    pub acting_samples: usize,
    /// Cosines that a place is seen as; at least 1.
    pub cosines: usize,
}

impl Default for IqnConfig {
    fn default() -> Self {
        Self { samples: 64, target_samples: 64, acting_samples: 32, cosines: 64 }
    }
}

/// How minibatches are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Sampling {
    /// Every step alike.
    #[default]
    Uniform,
    /// Steps with a large error more often.
    Prioritized(PrioritizedConfig),
}

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
    /// Steps that the replay buffer holds, rounded down to whole ticks of all environments; at least `batch_size`.
    pub buffer_size: usize,
    /// Environment steps before the first update.
    pub learning_starts: u64,
    /// Environment steps between rounds of updates; a multiple of `num_envs`.
    pub train_frequency: usize,
    /// Updates in a round; at least 1.
    pub gradient_steps: usize,
    /// Transitions of a minibatch; at least 1.
    pub batch_size: usize,
    /// Step size; above 0.
    pub learning_rate: f64,
    /// Whether the step size falls linearly to zero.
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
    /// What an error costs, without a distribution.
    pub loss: Loss,
    /// Where the Huber loss, of errors or of quantiles, turns from squared to linear; above 0.
    pub huber_delta: f64,
    /// Largest norm of a gradient; above 0.
    pub max_grad_norm: f64,
    /// Probability of a random action at first; 1 by default, and 0 if the network's head is noisy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_e: Option<f64>,
    /// Probability of a random action in the end; 0.05 by default, and 0 if the network's head is noisy.
    #[serde(skip_serializing_if = "Option::is_none")]
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
            learning_rate: 2.5e-4,
            anneal_lr: false,
            gamma: 0.99,
            n_step: 1,
            target_network_frequency: 500,
            tau: 1.0,
            double: false,
            dueling: false,
            distribution: Distribution::None,
            replay: Sampling::Uniform,
            loss: Loss::Huber,
            huber_delta: 1.0,
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

    /// The shape of the Q network by default, CleanRL's for classic control.
    pub fn default_network() -> ModelConfig {
        ModelConfig { encoder: EncoderConfig::mlp(&[120, 84], Activation::Relu), ..ModelConfig::default() }
    }

    /// As [`Self::default_network`], with noisy layers in the head.
    pub fn rainbow_network() -> ModelConfig {
        let head = HeadConfig { noisy: true, ..HeadConfig::default() };
        ModelConfig { head, ..Self::default_network() }
    }

    /// Probabilities of a random action at first and in the end, of a network that explores by noise or not.
    pub fn epsilon(&self, noisy: bool) -> (f64, f64) {
        let defaults = if noisy { (0.0, 0.0) } else { (1.0, 0.05) };
        (self.start_e.unwrap_or(defaults.0), self.end_e.unwrap_or(defaults.1))
    }

    /// Checks every setting's range.
    ///
    /// # Errors
    /// [`AgentError::Setting`] naming the setting, what is allowed and what was found.
    pub fn validate(&self, info: &RunInfo) -> Result<(), AgentError> {
        let num_envs = info.num_envs;
        ensure(self.batch_size > 0, "batch_size", "at least 1", self.batch_size)?;
        ensure(self.buffer_size >= self.batch_size, "buffer_size", "at least batch_size", self.buffer_size)?;
        let row_names = "at least num_envs * num_agents";
        ensure(self.buffer_size >= info.num_rows(), "buffer_size", row_names, self.buffer_size)?;
        ensure(u32::try_from(self.buffer_size).is_ok(), "buffer_size", "below 2^32", self.buffer_size)?;
        for (field, value) in [
            ("gradient_steps", self.gradient_steps as u64),
            ("n_step", self.n_step as u64),
            ("target_network_frequency", self.target_network_frequency),
        ] {
            ensure(value > 0, field, "at least 1", value)?;
        }
        for (field, value) in [
            ("learning_rate", self.learning_rate),
            ("huber_delta", self.huber_delta),
            ("max_grad_norm", self.max_grad_norm),
        ] {
            ensure(positive(value), field, "above 0", value)?;
        }
        ensure(self.tau > 0.0 && self.tau <= 1.0, "tau", "above 0 and at most 1", self.tau)?;
        for (field, value) in [
            ("gamma", self.gamma),
            ("start_e", self.start_e.unwrap_or(1.0)),
            ("end_e", self.end_e.unwrap_or(0.0)),
            ("exploration_fraction", self.exploration_fraction),
        ] {
            ensure((0.0..=1.0).contains(&value), field, "between 0 and 1", value)?;
        }
        let slices = self.gradient_slices;
        ensure((1..=64).contains(&slices), "gradient_slices", "between 1 and 64", slices)?;
        if self.train_frequency == 0 || !self.train_frequency.is_multiple_of(num_envs) {
            let expected = format!("a multiple of num_envs = {num_envs}");
            return Err(AgentError::setting("train_frequency", expected, self.train_frequency));
        }
        self.optimizer.validate()?;
        if let Sampling::Prioritized(prioritized) = &self.replay {
            prioritized.validate()?;
        }
        self.validate_distribution()
    }

    fn validate_distribution(&self) -> Result<(), AgentError> {
        match &self.distribution {
            Distribution::None => Ok(()),
            Distribution::C51(c51) => Ok(c51.support().map(drop)?),
            Distribution::Qr(QrConfig { quantiles }) => {
                ensure(*quantiles > 0, "distribution.quantiles", "at least 1", quantiles)
            }
            Distribution::Iqn(iqn) => {
                for (field, value) in [
                    ("distribution.samples", iqn.samples),
                    ("distribution.target_samples", iqn.target_samples),
                    ("distribution.acting_samples", iqn.acting_samples),
                    ("distribution.cosines", iqn.cosines),
                ] {
                    ensure(value > 0, field, "at least 1", value)?;
                }
                Ok(())
            }
        }
    }
}
