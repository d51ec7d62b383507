//! BC: behavioural cloning, a policy that does what recorded data did.
//!
//! # Source
//! Pomerleau (1991); d3rlpy 2.8 `BC` and `DiscreteBC` for settings.
//!
//! # Deviations
//! 1. Choices are learned without action masks: what was illegal is never in the data, and acting does not choose it.
//! 2. Of a network with a memory, sequences begin with a memory of nothing, in the middle of an episode too.
//! 3. A minibatch's gradient is summed over `gradient_slices` slices in a fixed order.

use std::sync::Arc;

use agon_nn::{ModelConfig, OptimizerConfig, Schedule, Summary};
use serde::{Deserialize, Serialize};

use crate::behavior::{Behavior, BehaviorSums, recorded_actions};
use crate::coefficient::Coefficient;
use crate::experience::Experience;
use crate::learner::{PolicyInfo, RunInfo, stream};
use crate::part::Part;
use crate::replay_learner::{Plan, ReplayAlgorithm, ReplayLearner};
use crate::settings::{Learning, rows};
use crate::slices::{Slice, for_each_slice};
use crate::{AgentError, Policy, Weights, critics, error};

/// The learner.
pub type Bc = ReplayLearner<Cloning>;

/// BC's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BcConfig {
    /// Steps of a minibatch; at least 1.
    pub batch_size: usize,
    /// Steps of an episode that a network with a memory learns from at once, at most: those up to a drawn one, from a memory of
    /// nothing on. A minibatch is `batch_size / sequence_length` sequences then, at least one. At least 1; nothing without a memory.
    pub sequence_length: usize,
    /// Step size; above 0, or a schedule.
    pub learning_rate: Coefficient,
    /// Whether a step size that is a plain number falls linearly to zero over the run; a schedule is its own.
    pub anneal_lr: bool,
    /// What takes the gradient steps.
    pub optimizer: OptimizerConfig,
    /// Slices that a minibatch's gradient is summed over: as many threads can work on it. Part of the result.
    pub gradient_slices: usize,
}

impl Default for BcConfig {
    fn default() -> Self {
        Self {
            batch_size: 256,
            sequence_length: 32,
            learning_rate: Coefficient::Constant(1e-3),
            anneal_lr: false,
            optimizer: OptimizerConfig::default(),
            gradient_slices: 2,
        }
    }
}

impl BcConfig {
    /// Checks every setting's range.
    ///
    /// # Errors
    /// [`AgentError::Setting`] naming the setting, what is allowed and what was found.
    pub fn validate(&self) -> Result<(), AgentError> {
        let Self { learning_rate, optimizer, gradient_slices, .. } = *self;
        Learning { learning_rate, gamma: 1.0, gradient_slices: Some(gradient_slices), optimizer }
            .validate()?;
        rows(&[("batch_size", self.batch_size as u64), ("sequence_length", self.sequence_length as u64)])
    }
}

/// The network of BC.
pub struct Cloning {
    config: BcConfig,
    behavior: Behavior,
    actor: Part,
    learning_rate: Schedule,
}

impl ReplayAlgorithm for Cloning {
    type Config = BcConfig;
    type Work = ();
    type Sums = BehaviorSums;

    const METRICS: &'static [&'static str] = &["charts/learning_rate", "losses/bc_loss"];
    const READS_NEXT: bool = false;

    fn default_network() -> ModelConfig {
        critics::default_network()
    }

    fn new(config: BcConfig, network: &ModelConfig, info: &RunInfo) -> Result<(Self, Plan), AgentError> {
        config.validate()?;
        let (behavior, builder) = Behavior::remembering("bc", network, &info.spaces)?;
        let each = if behavior.remembers() { config.sequence_length } else { 1 };
        let units = (config.batch_size / each).max(1);
        let plan = Plan::of_recorded_steps("bc", units, config.gradient_slices, info)?;
        let learning_rate = config.learning_rate.annealed(config.anneal_lr, info.total_timesteps);
        let actor = Part::trained("", builder.build(stream(info.seed, 0)), config.optimizer)?;
        Ok((Self { config, behavior, actor, learning_rate }, plan))
    }

    fn policy_from(
        _config: &BcConfig,
        network: &ModelConfig,
        info: &PolicyInfo,
        weights: &Weights,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        let (behavior, builder) = Behavior::remembering("bc", network, &info.spaces)?;
        behavior.policy(&weights.params(builder, &[])?)
    }

    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        self.behavior.policy(&self.actor.params)
    }

    fn summary(&self) -> Summary {
        self.behavior.summary().clone()
    }

    fn parts(&self) -> Vec<&Part> {
        vec![&self.actor]
    }

    fn parts_mut(&mut self) -> Vec<&mut Part> {
        vec![&mut self.actor]
    }

    fn update(
        &mut self,
        experience: &mut Experience,
        slices: &mut [Slice<(), BehaviorSums>],
        env_steps: u64,
    ) -> Result<BehaviorSums, AgentError> {
        let Experience { replay, slots, .. } = &*experience;
        let params = &self.actor.params;
        let len = if self.behavior.remembers() { self.config.sequence_length } else { 1 };
        let steps: usize = slots.iter().map(|&slot| replay.context(slot, len).count()).sum();
        let scale = 1.0 / steps as f32;
        let sums = for_each_slice(slices, slots.len(), params.len(), |range, (), grads| {
            let slots = &slots[range];
            if self.behavior.remembers() {
                return self.behavior.regress_sequences(params, replay, (slots, len), scale, grads);
            }
            let weights = vec![scale; slots.len()];
            let actions = recorded_actions(replay, slots);
            self.behavior.regress(params, &replay.observations(slots)?, &actions, &weights, grads)
        })?;
        error::ensure_finite("BC loss", sums.loss, experience.updates)?;
        self.actor.descend(slices, f64::INFINITY, self.learning_rate.at(env_steps))?;
        Ok(sums)
    }

    fn metrics(&self, sums: Option<&BehaviorSums>, _experience: &Experience, env_steps: u64) -> Vec<f64> {
        let loss = sums.map_or(f64::NAN, |sums| sums.loss / sums.rows as f64);
        vec![self.learning_rate.at(env_steps), loss]
    }
}
