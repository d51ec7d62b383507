//! `AlphaZero`'s settings.

use agon_nn::{EncoderConfig, HeadConfig, ModelConfig, OptimizerConfig};
use serde::{Deserialize, Serialize};

use crate::augmentation::Transformation;
use crate::coefficient::{Coefficient, auto};
use crate::error::ensure;
use crate::search::SearchConfig;
use crate::settings::{above_zero, at_least_one, learning, shares};
use crate::{AgentError, RunInfo};

/// Most positions that a buffer may hold.
const MOST_POSITIONS: usize = 100_000_000;
/// Most that a position may be learned from, on average.
const MOST_REPLAYS: f64 = 1000.0;

/// `AlphaZero`'s settings. The defaults are for games on small boards and a few cores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlphaZeroConfig {
    /// Ticks of a fragment, after which the network learns; at least 1.
    pub num_steps: usize,
    /// The search before each move.
    pub search: SearchConfig,
    /// Positions that are kept; at least `batch_size`.
    pub buffer_size: usize,
    /// Positions that there must be before the network learns.
    pub learning_starts: usize,
    /// How often a position is learned from, on average; above 0.
    pub replay_ratio: f64,
    /// Positions of a minibatch; at least 1.
    pub batch_size: usize,
    /// Step size; above 0, or a schedule.
    pub learning_rate: Coefficient,
    /// Whether a step size that is a plain number falls linearly to zero over the run; a schedule is its own.
    pub anneal_lr: bool,
    /// Discount factor, 0 to 1; of a game 1.
    pub gamma: f64,
    /// Weight of the squared error of values; above 0.
    pub vf_coef: f64,
    /// Share of the search's own value in what values learn, 0 to 1; the rest is what came of the episode.
    pub search_value: f64,
    /// Steps after which the return of a position is the search's value instead of what the episode came to; 0 for none. Long
    /// episodes need it.
    pub td_steps: usize,
    /// Largest norm of a gradient; above 0.
    pub max_grad_norm: f64,
    /// Mirrors and turns under which the game is the same: a position is learned from in a random one of its looks. None by
    /// default.
    pub symmetries: Vec<Transformation>,
    /// The optimizer. Its step size is `learning_rate`.
    pub optimizer: OptimizerConfig,
    /// Slices that a minibatch's gradient is summed over: as many threads can work on it. Part of the result. By default as
    /// many as its rows and the networks' size are worth, up to 16; never what the machine has.
    #[serde(with = "auto")]
    pub gradient_slices: Option<usize>,
}

impl Default for AlphaZeroConfig {
    fn default() -> Self {
        Self {
            num_steps: 16,
            search: SearchConfig::default(),
            buffer_size: 500_000,
            learning_starts: 20_000,
            replay_ratio: 4.0,
            batch_size: 512,
            learning_rate: Coefficient::Constant(1e-3),
            anneal_lr: true,
            gamma: 1.0,
            vf_coef: 1.0,
            search_value: 0.0,
            td_steps: 0,
            max_grad_norm: 5.0,
            symmetries: Vec::new(),
            optimizer: OptimizerConfig::default(),
            gradient_slices: None,
        }
    }
}

impl AlphaZeroConfig {
    /// A small residual tower, whose heads have a hidden layer.
    pub(super) fn default_network() -> ModelConfig {
        let encoder = EncoderConfig::Residual { channels: 32, blocks: 4, planes: 8, hidden: Vec::new() };
        let head = HeadConfig { hidden: vec![64], activation: agon_nn::Activation::Relu, noisy: false };
        ModelConfig { encoder, head, ..ModelConfig::default() }
    }

    /// Checks every setting's range.
    ///
    /// # Errors
    /// [`AgentError::Setting`] naming the setting, what is allowed and what was found.
    pub fn validate(&self, info: &RunInfo) -> Result<(), AgentError> {
        learning!(self).validate()?;
        self.search.validate()?;
        self.search.check_looks(!self.symmetries.is_empty())?;
        at_least_one(&[("num_steps", self.num_steps as u64), ("batch_size", self.batch_size as u64)])?;
        above_zero(&[
            ("max_grad_norm", self.max_grad_norm),
            ("vf_coef", self.vf_coef),
            ("replay_ratio", self.replay_ratio),
        ])?;
        ensure(self.replay_ratio <= MOST_REPLAYS, "replay_ratio", "at most 1000", self.replay_ratio)?;
        shares(&[("search_value", self.search_value)])?;
        let size = self.buffer_size;
        ensure(size >= self.batch_size, "buffer_size", "at least batch_size", size)?;
        ensure(size <= MOST_POSITIONS, "buffer_size", "at most 100000000", size)?;
        ensure(self.learning_starts <= size, "learning_starts", "at most buffer_size", self.learning_starts)?;
        ensure(info.num_agents <= 2, "num_agents", "1, or 2 that move in turn", info.num_agents)
    }
}
