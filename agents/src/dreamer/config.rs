//! Dreamer's settings.

use agon_nn::losses::two_hot::TwoHot;
use agon_nn::rssm::{Divergence, RssmConfig};
use agon_nn::{AdamConfig, OptimizerConfig};
use serde::{Deserialize, Serialize};

use crate::coefficient::Coefficient;
use crate::error::ensure;
use crate::settings::{above_zero, at_least_zero, learning, replaying_sequences, rows, samples, shares};
use crate::{AgentError, RunInfo};

/// Most values of a layer or a state of a world model.
const MOST_VALUES: usize = 1 << 13;

/// Dreamer's settings. The defaults are small: for vectors of numbers, on a few cores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DreamerConfig {
    /// Transitions that the replay buffer holds.
    pub buffer_size: usize,
    /// Environment steps before the first update.
    pub learning_starts: u64,
    /// Ticks of a fragment, and from the beginning of a replayed sequence to that of the next; at least 1.
    pub num_steps: usize,
    /// Ticks of a replayed sequence, a multiple of `num_steps`. Final observations are moments of their own, for which the last ticks
    /// make room.
    pub sequence_length: usize,
    /// Sequences of a minibatch; at least 1.
    pub batch_size: usize,
    /// Updates in a round, after each fragment; at least 1.
    pub gradient_steps: usize,
    /// Step size of the world model; above 0, or a schedule.
    pub learning_rate: Coefficient,
    /// Step size of the policy; above 0, or a schedule.
    pub actor_learning_rate: Coefficient,
    /// Step size of the critic; above 0, or a schedule.
    pub critic_learning_rate: Coefficient,
    /// Discount factor, 0 to 1.
    pub gamma: f64,
    /// λ of the returns of imagined trajectories, 0 to 1.
    pub return_lambda: f64,
    /// Imagined steps; at least 1.
    pub horizon: usize,
    /// From every how many moments of a sequence imagination begins, a divisor of `sequence_length`: 1 is all of them, as in the
    /// paper. Imagining is most of the computation.
    pub imagination_stride: usize,
    /// Values of the world model's deterministic state.
    pub deterministic: usize,
    /// Categorical latent variables.
    pub latents: usize,
    /// Classes of each.
    pub classes: usize,
    /// Width of all layers of the world model, the policy and the critic.
    pub hidden: usize,
    /// Hidden layers of the decoder, the policy and the critic; those of reward and continuation have one.
    pub head_layers: usize,
    /// Bins of rewards and values, an odd number of at least 3.
    pub bins: usize,
    /// Greatest logarithm that bins stand for; above 0 and at most 80.
    pub bins_limit: f64,
    /// Share of latent variables' and discrete actions' probabilities that is uniform, at least 0 and below 1.
    pub uniform: f64,
    /// Weight of what is told of observations; above 0. Numbers are told with squared errors: those that differ by little are told
    /// only where this is great enough to pay for the latent variables that hold them.
    pub observation_coef: f64,
    /// Divergence between what was observed and what was expected that a state has for free, in nats.
    pub free_nats: f64,
    /// Weight of the divergence where it draws the expectation to what was observed.
    pub dynamics_coef: f64,
    /// Weight of the divergence where it draws what was observed to the expectation.
    pub representation_coef: f64,
    /// Weight of the policy's entropy; at least 0, or a schedule.
    pub ent_coef: Coefficient,
    /// Share of the critic that its slow copy takes over with each update, above 0 and at most 1.
    pub tau: f64,
    /// Weight of the slow copy's values among what the critic learns; at least 0.
    pub slow_coef: f64,
    /// How much of the range of returns stays from update to update, 0 to 1.
    pub return_decay: f64,
    /// Largest norm of a gradient; above 0.
    pub max_grad_norm: f64,
    /// The optimizer of all networks. Its step sizes are the learning rates.
    pub optimizer: OptimizerConfig,
    /// Slices that a minibatch's gradient is summed over: as many threads can work on it. Part of the result.
    pub gradient_slices: usize,
}

impl Default for DreamerConfig {
    fn default() -> Self {
        Self {
            buffer_size: 200_000,
            learning_starts: 1024,
            num_steps: 8,
            sequence_length: 32,
            batch_size: 16,
            gradient_steps: 4,
            learning_rate: Coefficient::Constant(6e-4),
            actor_learning_rate: Coefficient::Constant(3e-4),
            critic_learning_rate: Coefficient::Constant(3e-4),
            gamma: 0.997,
            return_lambda: 0.95,
            horizon: 15,
            imagination_stride: 2,
            deterministic: 128,
            latents: 16,
            classes: 16,
            hidden: 128,
            head_layers: 2,
            bins: 61,
            bins_limit: 15.0,
            uniform: 0.01,
            observation_coef: 1.0,
            free_nats: 1.0,
            dynamics_coef: 0.5,
            representation_coef: 0.1,
            ent_coef: Coefficient::Constant(3e-4),
            tau: 0.02,
            slow_coef: 1.0,
            return_decay: 0.99,
            max_grad_norm: 100.0,
            optimizer: OptimizerConfig::Adam(AdamConfig { eps: 1e-8, ..AdamConfig::default() }),
            gradient_slices: 2,
        }
    }
}

impl DreamerConfig {
    /// Trajectories that are imagined in an update.
    pub(super) fn imagined(&self) -> usize {
        self.batch_size * (self.sequence_length / self.imagination_stride)
    }

    pub(super) fn rssm(&self) -> RssmConfig {
        let &Self { deterministic, latents, classes, hidden, uniform, .. } = self;
        RssmConfig { deterministic, latents, classes, hidden, uniform: uniform as f32 }
    }

    pub(super) fn divergence(&self) -> Divergence {
        Divergence {
            dynamics: self.dynamics_coef as f32,
            representation: self.representation_coef as f32,
            free: self.free_nats as f32,
        }
    }

    pub(super) fn two_hot(&self) -> Result<TwoHot, AgentError> {
        Ok(TwoHot::new(self.bins, self.bins_limit as f32)?)
    }

    /// Checks every setting's range.
    ///
    /// # Errors
    /// [`AgentError::Setting`] naming the setting, what is allowed and what was found.
    pub fn validate(&self, info: &RunInfo) -> Result<(), AgentError> {
        learning!(self).validate()?;
        self.actor_learning_rate.ensure_above_zero("actor_learning_rate")?;
        self.critic_learning_rate.ensure_above_zero("critic_learning_rate")?;
        self.ent_coef.ensure_at_least_zero("ent_coef")?;
        replaying_sequences!(self).validate(info)?;
        if self.imagination_stride == 0 || !self.sequence_length.is_multiple_of(self.imagination_stride) {
            let expected = format!("a divisor of sequence_length = {}", self.sequence_length);
            return Err(AgentError::setting("imagination_stride", expected, self.imagination_stride));
        }
        samples(&[("horizon", self.horizon as u64), ("head_layers", self.head_layers as u64)])?;
        // All imagined states are held at once.
        let states = replaying_sequences!(self).moments();
        rows(&[("batch_size * sequence_length * horizon", states.saturating_mul(self.horizon as u64))])?;
        for (field, value) in [
            ("deterministic", self.deterministic),
            ("latents", self.latents),
            ("classes", self.classes),
            ("latents * classes", self.latents.saturating_mul(self.classes)),
            ("hidden", self.hidden),
        ] {
            ensure((1..=MOST_VALUES).contains(&value), field, "between 1 and 8192", value)?;
        }
        let odd = self.bins % 2 == 1 && (3..=MOST_VALUES).contains(&self.bins);
        ensure(odd, "bins", "odd, and between 3 and 8192", self.bins)?;
        let within = self.bins_limit > 0.0 && self.bins_limit <= 80.0;
        ensure(within, "bins_limit", "above 0 and at most 80", self.bins_limit)?;
        ensure((0.0..1.0).contains(&self.uniform), "uniform", "at least 0 and below 1", self.uniform)?;
        shares(&[("return_lambda", self.return_lambda), ("return_decay", self.return_decay)])?;
        ensure(self.tau > 0.0 && self.tau <= 1.0, "tau", "above 0 and at most 1", self.tau)?;
        at_least_zero(&[
            ("free_nats", self.free_nats),
            ("dynamics_coef", self.dynamics_coef),
            ("representation_coef", self.representation_coef),
            ("slow_coef", self.slow_coef),
        ])?;
        above_zero(&[("max_grad_norm", self.max_grad_norm), ("observation_coef", self.observation_coef)])
    }
}
