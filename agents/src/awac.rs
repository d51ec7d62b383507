//! AWAC: advantage-weighted actor-critic, which learns from recorded data and goes on where it acts.
//!
//! Critics learn the values of what the policy does; the policy is regressed on what was done, with weights that grow with how
//! much better that was than what the policy would do.
//!
//! # Source
//! Nair et al. (2020), arXiv:2006.09359, algorithm 1; CORL's `awac.py` for settings and the order of an update.
//!
//! # Deviations
//! 1. A policy of numbers is one action, learned by weighted squared distances, not a normal distribution of learned width; its
//!    advantages are those over that action.
//! 2. Weights are cut at `max_weight` and not normalised over the minibatch (CORL's).
//! 3. A minibatch's gradient is summed over `gradient_slices` slices in a fixed order.

mod config;

use std::ops::Range;
use std::sync::Arc;

use agon_nn::{Input, ModelConfig, Schedule, Summary};

pub use config::AwacConfig;

use crate::behavior::{Behavior, BehaviorSums, advantage_weights, recorded_actions};
use crate::critics::{CRITICS, CriticSums, Critics, CriticsConfig, Reads, TARGET_CRITICS};
use crate::experience::Experience;
use crate::learner::{PolicyInfo, RunInfo, stream};
use crate::part::Part;
use crate::replay_learner::{Plan, ReplayAlgorithm, ReplayLearner};
use crate::slices::{Slice, Sums, for_each_slice};
use crate::{AgentError, Policy, Weights, critics, error};

/// The learner.
pub type Awac = ReplayLearner<AdvantageWeighted>;

/// The networks of AWAC.
pub struct AdvantageWeighted {
    config: AwacConfig,
    behavior: Behavior,
    reads: Reads,
    actor: Part,
    critics: Critics,
    learning_rate: Schedule,
}

/// Sums over the rows of updates.
#[derive(Clone, Copy, Debug, Default)]
pub struct AwacSums {
    critic: CriticSums,
    advantage_weights: f64,
    behavior: BehaviorSums,
}

impl Sums for AwacSums {
    fn add(&mut self, other: &Self) {
        self.critic.add(&other.critic);
        self.advantage_weights += other.advantage_weights;
        self.behavior.add(&other.behavior);
    }
}

impl AdvantageWeighted {
    /// The values of what the policy does, as some networks have them, `[B]`.
    fn values(
        &self,
        x: &Input,
        networks: impl FnOnce(&Input) -> Result<Vec<f32>, AgentError>,
    ) -> Result<Vec<f32>, AgentError> {
        self.reads.expected(x, &self.behavior.doing(&self.actor.params, x)?, networks)
    }

    /// Critics' gradient: `y = r + γ (1 − terminated) E min Q_target(s', π(s'))`.
    fn critic_gradient(
        &self,
        experience: &Experience,
        range: Range<usize>,
        grads: &mut [f32],
    ) -> Result<AwacSums, AgentError> {
        let Experience { replay, slots: all, .. } = experience;
        let (slots, scale) = (&all[range], 1.0 / all.len() as f32);
        let next = replay.next_observations(slots)?;
        let next_values = self.values(&next, |x| self.critics.target_values(x))?;
        let target = |(&slot, next): (&u32, f32)| {
            let following = if replay.terminated(slot) { 0.0 } else { next };
            replay.reward(slot) + self.config.gamma as f32 * following
        };
        let targets: Vec<f32> = slots.iter().zip(next_values).map(target).collect();
        let (read, chosen) = self.reads.steps(replay, slots, &replay.observations(slots)?)?;
        let critic = self.critics.regress(&read, &chosen, &targets, scale, grads)?;
        Ok(AwacSums { critic, ..AwacSums::default() })
    }

    /// The policy's gradient: of `−min(exp(β (Q(s, a) − E Q(s, π(s)))), w) log π(a|s)`.
    fn actor_gradient(
        &self,
        experience: &Experience,
        range: Range<usize>,
        grads: &mut [f32],
    ) -> Result<AwacSums, AgentError> {
        let Experience { replay, slots: all, .. } = experience;
        let (slots, scale) = (&all[range], 1.0 / all.len() as f32);
        let x = replay.observations(slots)?;
        let (read, chosen) = self.reads.steps(replay, slots, &x)?;
        let action_values = Reads::of_chosen(&self.critics.values(&read)?, &chosen);
        let values = self.values(&x, |x| self.critics.values(x))?;
        let (beta, most) = (self.config.temperature as f32, self.config.max_weight as f32);
        let mut weights = advantage_weights(&action_values, &values, beta, most);
        let advantage_weights = weights.iter().map(|&weight| f64::from(weight)).sum();
        weights.iter_mut().for_each(|weight| *weight *= scale);
        let actions = recorded_actions(replay, slots);
        let behavior = self.behavior.regress(&self.actor.params, &x, &actions, &weights, grads)?;
        Ok(AwacSums { behavior, advantage_weights, ..AwacSums::default() })
    }
}

impl ReplayAlgorithm for AdvantageWeighted {
    type Config = AwacConfig;
    type Work = ();
    type Sums = AwacSums;

    const METRICS: &'static [&'static str] = &[
        "charts/learning_rate",
        "losses/qf_loss",
        "losses/qf_values",
        "losses/actor_loss",
        "charts/advantage_weight",
    ];

    fn default_network() -> ModelConfig {
        critics::default_network()
    }

    fn new(config: AwacConfig, network: &ModelConfig, info: &RunInfo) -> Result<(Self, Plan), AgentError> {
        config.validate()?;
        let (behavior, builder) = Behavior::layout("awac", network, &info.spaces)?;
        let plan = Plan::with_recorded_steps("awac", config.replaying(), info)?;
        let (reads, read, head) = Reads::of("awac", &info.spaces)?;
        let (settings, optimizer, seed) = (CriticsConfig::default(), config.optimizer, stream(info.seed, 2));
        let algorithm = Self {
            actor: Part::trained("", builder.build(stream(info.seed, 0)), optimizer)?,
            critics: Critics::new(settings, &read, network, &head, optimizer, seed)?,
            learning_rate: config.learning_rate.annealed(config.anneal_lr, info.total_timesteps),
            behavior: behavior.exploring(config.exploration_noise),
            reads,
            config,
        };
        Ok((algorithm, plan))
    }

    fn policy_from(
        config: &AwacConfig,
        network: &ModelConfig,
        info: &PolicyInfo,
        weights: &Weights,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        let (behavior, builder) = Behavior::layout("awac", network, &info.spaces)?;
        let params = weights.params(builder, &[CRITICS, TARGET_CRITICS])?;
        behavior.exploring(config.exploration_noise).policy(&params)
    }

    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        self.behavior.policy(&self.actor.params)
    }

    fn summary(&self) -> Summary {
        let parts = [self.behavior.summary(), &self.critics.summary];
        Summary { parts: parts.map(|summary| summary.parts.clone()).concat() }
    }

    fn parts(&self) -> Vec<&Part> {
        vec![&self.actor, &self.critics.online, &self.critics.target]
    }

    fn parts_mut(&mut self) -> Vec<&mut Part> {
        vec![&mut self.actor, &mut self.critics.online, &mut self.critics.target]
    }

    /// The critics, and the policy against the new ones.
    fn update(
        &mut self,
        experience: &mut Experience,
        slices: &mut [Slice<(), AwacSums>],
        env_steps: u64,
    ) -> Result<AwacSums, AgentError> {
        let (rows, rate) = (experience.slots.len(), self.learning_rate.at(env_steps));
        let len = self.critics.online.params.len();
        let mut sums = for_each_slice(slices, rows, len, |range, (), grads| {
            self.critic_gradient(experience, range, grads)
        })?;
        error::ensure_finite("critic loss", sums.critic.loss, experience.updates)?;
        self.critics.descend(slices, rate)?;
        let actor = for_each_slice(slices, rows, self.actor.params.len(), |range, (), grads| {
            self.actor_gradient(experience, range, grads)
        })?;
        error::ensure_finite("actor loss", actor.behavior.loss, experience.updates)?;
        self.actor.descend(slices, f64::INFINITY, rate)?;
        self.critics.follow(self.config.tau)?;
        sums.add(&actor);
        Ok(sums)
    }

    fn metrics(&self, sums: Option<&AwacSums>, _experience: &Experience, env_steps: u64) -> Vec<f64> {
        let rate = self.learning_rate.at(env_steps);
        let Some(sums) = sums else { return [vec![rate], vec![f64::NAN; 4]].concat() };
        let (rows, critics) = (sums.behavior.rows as f64, self.critics.count() as f64);
        let of_rows =
            [sums.critic.loss, sums.critic.values / critics, sums.behavior.loss, sums.advantage_weights];
        std::iter::once(rate).chain(of_rows.map(|sum| sum / rows)).collect()
    }
}
