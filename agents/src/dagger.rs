//! DAgger: imitation of a teacher in the states that the student comes to.
//!
//! The student acts, all that it saw is kept, and it is regressed on what the teacher would have done there. Unlike BC it learns
//! what to do after its own mistakes.
//!
//! # Source
//! Ross, Gordon and Bagnell (2011), arXiv:1011.0686, algorithm 3.1 with `β = 0`.
//!
//! # Deviations
//! 1. The student acts from the first step on; the paper's first iteration is acted by the teacher.
//! 2. Updates follow every few steps on draws from everything so far, instead of training anew after each iteration.
//! 3. Choices are learned without action masks; a minibatch's gradient is summed over slices in a fixed order.

use std::sync::Arc;

use agon_nn::{ModelConfig, OptimizerConfig, Schedule, Summary};
use serde::{Deserialize, Serialize};

use crate::behavior::{Behavior, BehaviorSums};
use crate::coefficient::Coefficient;
use crate::experience::Experience;
use crate::guide::Guide;
use crate::learner::{PolicyInfo, RunInfo, stream};
use crate::part::Part;
use crate::replay::Sampling;
use crate::replay_learner::{Plan, ReplayAlgorithm, ReplayLearner};
use crate::settings::{Learning, Replaying, replaying};
use crate::slices::{Slice, for_each_slice};
use crate::{AgentError, Policy, Weights, critics, error};

/// The learner.
pub type Dagger = ReplayLearner<Aggregation>;

/// DAgger's settings. The teacher is the run's, `teacher.policy`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DaggerConfig {
    /// Steps that are kept, the newest ones; at least `batch_size`.
    pub buffer_size: usize,
    /// Environment steps before the first update.
    pub learning_starts: u64,
    /// Environment steps between rounds of updates; a multiple of `num_envs`, or a divisor of it: then each step of
    /// all environments is followed by as many rounds as it has steps for.
    pub train_frequency: usize,
    /// Updates in a round; at least 1.
    pub gradient_steps: usize,
    /// Steps of a minibatch; at least 1.
    pub batch_size: usize,
    /// Step size; above 0, or a schedule.
    pub learning_rate: Coefficient,
    /// Whether a step size that is a plain number falls linearly to zero over the run; a schedule is its own.
    pub anneal_lr: bool,
    /// What takes the gradient steps.
    pub optimizer: OptimizerConfig,
    /// Slices that a minibatch's gradient is summed over: as many threads can work on it. Part of the result.
    pub gradient_slices: usize,
}

impl Default for DaggerConfig {
    fn default() -> Self {
        Self {
            buffer_size: 1_000_000,
            learning_starts: 256,
            train_frequency: 64,
            gradient_steps: 16,
            batch_size: 128,
            learning_rate: Coefficient::Constant(1e-3),
            anneal_lr: false,
            optimizer: OptimizerConfig::default(),
            gradient_slices: 2,
        }
    }
}

impl DaggerConfig {
    fn replaying(&self) -> Replaying {
        replaying!(self)
    }

    /// Checks every setting's range.
    ///
    /// # Errors
    /// [`AgentError::Setting`] naming the setting, what is allowed and what was found.
    pub fn validate(&self, info: &RunInfo) -> Result<(), AgentError> {
        let Self { learning_rate, optimizer, gradient_slices, .. } = *self;
        Learning { learning_rate, gamma: 1.0, gradient_slices: Some(gradient_slices), optimizer }
            .validate()?;
        self.replaying().validate(info)
    }
}

/// The network of DAgger, and whom it follows.
pub struct Aggregation {
    config: DaggerConfig,
    behavior: Behavior,
    actor: Part,
    teacher: Option<Guide>,
    learning_rate: Schedule,
}

impl ReplayAlgorithm for Aggregation {
    type Config = DaggerConfig;
    type Work = ();
    type Sums = BehaviorSums;

    const METRICS: &'static [&'static str] = &["charts/learning_rate", "losses/imitation_loss"];

    fn default_network() -> ModelConfig {
        critics::default_network()
    }

    fn new(config: DaggerConfig, network: &ModelConfig, info: &RunInfo) -> Result<(Self, Plan), AgentError> {
        config.validate(info)?;
        let (behavior, builder) = Behavior::layout("dagger", network, &info.spaces)?;
        let plan = Plan::of_steps(config.replaying(), Sampling::Uniform, info);
        let learning_rate = config.learning_rate.annealed(config.anneal_lr, info.total_timesteps);
        let actor = Part::trained("", builder.build(stream(info.seed, 0)), config.optimizer)?;
        Ok((Self { config, behavior, actor, teacher: None, learning_rate }, plan))
    }

    fn policy_from(
        _config: &DaggerConfig,
        network: &ModelConfig,
        info: &PolicyInfo,
        weights: &Weights,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        let (behavior, builder) = Behavior::layout("dagger", network, &info.spaces)?;
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

    fn follow(&mut self, guide: Guide) -> Result<(), AgentError> {
        if guide.is_privileged() {
            let (expected, found) = ("ppo, whose teacher may see more than it does", "dagger".to_owned());
            return Err(AgentError::Unsupported { algorithm: "learning from a teacher", expected, found });
        }
        self.teacher = Some(guide);
        Ok(())
    }

    fn before_round(&mut self, _before: u64, _now: u64) -> Result<(), AgentError> {
        self.ensure_ready()
    }

    fn ensure_ready(&self) -> Result<(), AgentError> {
        if self.teacher.is_some() {
            return Ok(());
        }
        let (expected, found) = ("a teacher (teacher.policy)", "none".to_owned());
        Err(AgentError::Unsupported { algorithm: "dagger", expected, found })
    }

    fn update(
        &mut self,
        experience: &mut Experience,
        slices: &mut [Slice<(), BehaviorSums>],
        env_steps: u64,
    ) -> Result<BehaviorSums, AgentError> {
        let Experience { replay, slots, .. } = &*experience;
        let (params, scale) = (&self.actor.params, 1.0 / self.config.batch_size as f32);
        let sums = for_each_slice(slices, slots.len(), params.len(), |range, (), grads| {
            let x = replay.observations(&slots[range.clone()])?;
            let Some(teacher) = &self.teacher else { return Ok(BehaviorSums::default()) };
            let weights = vec![scale; range.len()];
            self.behavior.regress(params, &x, &teacher.actions(&x)?, &weights, grads)
        })?;
        error::ensure_finite("imitation loss", sums.loss, experience.updates)?;
        self.actor.descend(slices, f64::INFINITY, self.learning_rate.at(env_steps))?;
        Ok(sums)
    }

    fn metrics(&self, sums: Option<&BehaviorSums>, _experience: &Experience, env_steps: u64) -> Vec<f64> {
        let loss = sums.map_or(f64::NAN, |sums| sums.loss / sums.rows as f64);
        vec![self.learning_rate.at(env_steps), loss]
    }
}
