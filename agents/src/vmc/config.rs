//! V-M-C's settings.

use agon_nn::losses::gaussian_mixture::GaussianMixture;
use agon_nn::losses::two_hot::TwoHot;
use agon_nn::{AdamConfig, OptimizerConfig};
use serde::{Deserialize, Serialize};

use crate::coefficient::Coefficient;
use crate::error::ensure;
use crate::settings::{above_zero, at_least_zero, learning, replaying_sequences, rows, samples, shares};
use crate::{AgentError, RunInfo};

/// Most bins of a reward.
const MOST_BINS: usize = 1 << 13;

/// V-M-C's settings. `network.encoder` is that of V, whose decoder mirrors it, and `network.memory` is M's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VmcConfig {
    /// Transitions that the replay buffer holds.
    pub buffer_size: usize,
    /// Environment steps before the first update, with random actions.
    pub learning_starts: u64,
    /// Ticks of a fragment, and from the beginning of a replayed sequence to that of the next; at least 1.
    pub num_steps: usize,
    /// Ticks of a replayed sequence, a multiple of `num_steps`.
    pub sequence_length: usize,
    /// Sequences of a minibatch; at least 1.
    pub batch_size: usize,
    /// Updates in a round, after each fragment, each with a generation of controllers; at least 1.
    pub gradient_steps: usize,
    /// Step size of V and M; above 0, or a schedule.
    pub learning_rate: Coefficient,
    /// Discount factor of rewards in a dream, 0 to 1.
    pub gamma: f64,
    /// Latent variables, V's summary of an observation.
    pub latents: usize,
    /// Weight of V's KL divergence; at least 0.
    pub beta: f64,
    /// Standard deviation around V's reconstructions of numbers, in symmetric logarithms; above 0. What differs by less is hardly
    /// told. Pixels have none.
    pub observation_std: f64,
    /// Gaussians of M's prediction of each latent variable.
    pub components: usize,
    /// Width of the hidden layer between M's memory and each of its predictions.
    pub hidden: usize,
    /// Bins of rewards, an odd number of at least 3.
    pub bins: usize,
    /// Greatest logarithm that bins stand for; above 0 and at most 80.
    pub bins_limit: f64,
    /// How uncertain dreams are: 1 is as M predicts, above it more; above 0.
    pub temperature: f64,
    /// Dreamed steps of a controller's trial; at least 1.
    pub horizon: usize,
    /// Sequences of a minibatch in which a dream of all controllers begins, at a moment that is drawn; a divisor of `batch_size`.
    pub dreams: usize,
    /// Controllers of a generation; at least 4.
    pub population: usize,
    /// Standard deviation of the first generation's weights; above 0.
    pub initial_std: f64,
    /// Least step size of the evolution, so that the search never ends while V and M go on learning; above 0.
    pub least_std: f64,
    /// Greatest step size of the evolution; at least `least_std`. Without a bound, controllers that M has no opinion of yet drift to
    /// weights so large that no small step matters.
    pub greatest_std: f64,
    /// Updates of V and M before the first generation.
    pub evolution_starts: u64,
    /// How much the mean controller's weights shrink with each generation, at least 0 and below 1.
    pub weight_decay: f64,
    /// Probability of a random action, 0 to 1.
    pub epsilon: f64,
    /// Largest norm of a gradient; above 0.
    pub max_grad_norm: f64,
    /// The optimizer of V and M. Its step size is the learning rate.
    pub optimizer: OptimizerConfig,
    /// Slices that a minibatch's gradient is summed over: as many threads can work on it. Part of the result.
    pub gradient_slices: usize,
}

impl Default for VmcConfig {
    fn default() -> Self {
        Self {
            buffer_size: 200_000,
            learning_starts: 1024,
            num_steps: 8,
            sequence_length: 32,
            batch_size: 16,
            gradient_steps: 4,
            learning_rate: Coefficient::Constant(1e-3),
            gamma: 0.99,
            latents: 16,
            beta: 1.0,
            observation_std: 0.05,
            components: 5,
            hidden: 128,
            bins: 61,
            bins_limit: 15.0,
            temperature: 1.0,
            horizon: 50,
            dreams: 8,
            population: 32,
            initial_std: 0.1,
            least_std: 0.01,
            greatest_std: 0.5,
            evolution_starts: 200,
            weight_decay: 0.01,
            epsilon: 0.1,
            max_grad_norm: 10.0,
            optimizer: OptimizerConfig::Adam(AdamConfig { eps: 1e-8, ..AdamConfig::default() }),
            gradient_slices: 2,
        }
    }
}

impl VmcConfig {
    pub(super) fn gaussians(&self) -> Result<GaussianMixture, AgentError> {
        Ok(GaussianMixture::new(self.components)?)
    }

    pub(super) fn two_hot(&self) -> Result<TwoHot, AgentError> {
        Ok(TwoHot::new(self.bins, self.bins_limit as f32)?)
    }

    /// Every how many sequences of a minibatch are dreamed on.
    pub(super) fn dream_stride(&self) -> usize {
        self.batch_size / self.dreams
    }

    /// Checks every setting's range.
    ///
    /// # Errors
    /// [`AgentError::Setting`] naming the setting, what is allowed and what was found.
    pub fn validate(&self, info: &RunInfo) -> Result<(), AgentError> {
        learning!(self).validate()?;
        replaying_sequences!(self).validate(info)?;
        samples(&[
            ("latents", self.latents as u64),
            ("components", self.components as u64),
            ("hidden", self.hidden as u64),
            ("horizon", self.horizon as u64),
            ("population", self.population as u64),
        ])?;
        ensure(self.population >= 4, "population", "at least 4", self.population)?;
        let predicted = (self.latents as u64).saturating_mul(self.components as u64);
        samples(&[("latents * components", predicted)])?;
        if self.dreams == 0 || !self.batch_size.is_multiple_of(self.dreams) {
            let expected = format!("a divisor of batch_size = {}", self.batch_size);
            return Err(AgentError::setting("dreams", expected, self.dreams));
        }
        rows(&[("dreams * population", (self.dreams as u64).saturating_mul(self.population as u64))])?;
        let odd = self.bins % 2 == 1 && (3..=MOST_BINS).contains(&self.bins);
        ensure(odd, "bins", "odd, and between 3 and 8192", self.bins)?;
        let within = self.bins_limit > 0.0 && self.bins_limit <= 80.0;
        ensure(within, "bins_limit", "above 0 and at most 80", self.bins_limit)?;
        shares(&[("epsilon", self.epsilon)])?;
        at_least_zero(&[("beta", self.beta)])?;
        above_zero(&[
            ("observation_std", self.observation_std),
            ("temperature", self.temperature),
            ("initial_std", self.initial_std),
            ("least_std", self.least_std),
            ("greatest_std", self.greatest_std),
            ("max_grad_norm", self.max_grad_norm),
        ])?;
        if self.least_std > self.greatest_std {
            let expected = format!("at most greatest_std = {}", self.greatest_std);
            return Err(AgentError::setting("least_std", expected, self.least_std));
        }
        let share = (0.0..1.0).contains(&self.weight_decay);
        ensure(share, "weight_decay", "at least 0 and below 1", self.weight_decay)
    }
}
