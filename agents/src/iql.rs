//! IQL: implicit Q-learning, which learns from recorded data without ever asking about an action that is not in them.
//!
//! A value function is regressed on action values with more weight on errors from below (an expectile), so that it is the
//! value of the better ones of the actions that were taken; action values are regressed on it, and the policy on the actions
//! with weights that grow with their advantage.
//!
//! # Source
//! Kostrikov, Nair and Levine (2021), arXiv:2110.06169, and the authors' implementation for the order of an update.
//!
//! # Deviations
//! 1. A policy of numbers is one action, learned by weighted squared distances, not a normal distribution of learned width
//!    (CORL's `iql_deterministic`).
//! 2. Step sizes are the same for all networks and do not fall along a cosine; no dropout.
//! 3. A minibatch's gradient is summed over `gradient_slices` slices in a fixed order.

mod config;

use std::ops::Range;
use std::sync::Arc;

use agon_nn::{
    Head, HeadSpec, Init, Input, LayoutBuilder, Model, ModelConfig, Schedule, Sequential, Summary, Tape,
};

pub use config::IqlConfig;

use crate::behavior::{Behavior, BehaviorSums, advantage_weights, recorded_actions};
use crate::critics::{CRITICS, CriticSums, Critics, CriticsConfig, Reads, TARGET_CRITICS};
use crate::experience::Experience;
use crate::learner::{PolicyInfo, RunInfo, stream};
use crate::part::Part;
use crate::replay_learner::{Plan, ReplayAlgorithm, ReplayLearner};
use crate::slices::{Slice, Sums, for_each_slice};
use crate::{AgentError, Policy, Weights, critics, error, network};

/// The learner.
pub type Iql = ReplayLearner<ImplicitQ>;

/// What the value function's tensors are called, before their own names.
const VALUE: &str = "value.";

/// The networks of IQL.
pub struct ImplicitQ {
    config: IqlConfig,
    behavior: Behavior,
    reads: Reads,
    actor: Part,
    value_chain: Sequential,
    value_summary: Summary,
    value: Part,
    critics: Critics,
    learning_rate: Schedule,
}

/// Sums over the rows of updates.
#[derive(Clone, Copy, Debug, Default)]
pub struct IqlSums {
    critic: CriticSums,
    value_loss: f64,
    values: f64,
    advantage_weights: f64,
    behavior: BehaviorSums,
}

impl Sums for IqlSums {
    fn add(&mut self, other: &Self) {
        self.critic.add(&other.critic);
        self.value_loss += other.value_loss;
        self.values += other.values;
        self.advantage_weights += other.advantage_weights;
        self.behavior.add(&other.behavior);
    }
}

/// What a slice keeps from one part of an update to the next: action values of the target networks, `[B]`.
#[derive(Debug, Default)]
pub struct SliceWork {
    action_values: Vec<f32>,
}

impl ImplicitQ {
    /// Values of some observations, `[B]`.
    fn values(&self, x: &Input) -> Result<Vec<f32>, AgentError> {
        let values = self.value_chain.forward_input(&self.value.params, x, &mut Tape::inference())?;
        Ok(values.as_slice().to_vec())
    }

    /// The value function's gradient: of `|τ − 1[Q − V < 0]| (Q − V)²`.
    fn value_gradient(
        &self,
        experience: &Experience,
        range: Range<usize>,
        work: &mut SliceWork,
        grads: &mut [f32],
    ) -> Result<IqlSums, AgentError> {
        let Experience { replay, slots: all, .. } = experience;
        let (slots, scale) = (&all[range], 1.0 / all.len() as f32);
        let x = replay.observations(slots)?;
        let (read, chosen) = self.reads.steps(replay, slots, &x)?;
        work.action_values = Reads::of_chosen(&self.critics.target_values(&read)?, &chosen);
        let mut tape = Tape::new();
        let values = self.value_chain.forward_input(&self.value.params, &x, &mut tape)?;
        let (expectile, mut sums) = (self.config.expectile as f32, IqlSums::default());
        let pairs = values.as_slice().iter().zip(&work.action_values);
        let gradient: Vec<f32> = pairs
            .map(|(value, action_value)| {
                let error = action_value - value;
                let weight = if error < 0.0 { 1.0 - expectile } else { expectile };
                sums.value_loss += f64::from(weight * error * error);
                sums.values += f64::from(*value);
                -2.0 * scale * weight * error
            })
            .collect();
        tape.backward(&self.value.params, &[(&values, &gradient)], grads)?;
        Ok(sums)
    }

    /// The policy's gradient: of `−min(exp(β (Q − V)), w) log π(a|s)`.
    fn actor_gradient(
        &self,
        experience: &Experience,
        range: Range<usize>,
        work: &SliceWork,
        grads: &mut [f32],
    ) -> Result<IqlSums, AgentError> {
        let Experience { replay, slots: all, .. } = experience;
        let (slots, scale) = (&all[range], 1.0 / all.len() as f32);
        let x = replay.observations(slots)?;
        let (beta, most) = (self.config.temperature as f32, self.config.max_weight as f32);
        let mut sums = IqlSums::default();
        let mut weights = advantage_weights(&work.action_values, &self.values(&x)?, beta, most);
        sums.advantage_weights = weights.iter().map(|&weight| f64::from(weight)).sum();
        weights.iter_mut().for_each(|weight| *weight *= scale);
        let actions = recorded_actions(replay, slots);
        sums.behavior = self.behavior.regress(&self.actor.params, &x, &actions, &weights, grads)?;
        Ok(sums)
    }

    /// Critics' gradient: `y = r + γ (1 − terminated) V(s')`.
    fn critic_gradient(
        &self,
        experience: &Experience,
        range: Range<usize>,
        grads: &mut [f32],
    ) -> Result<IqlSums, AgentError> {
        let Experience { replay, slots: all, .. } = experience;
        let (slots, scale) = (&all[range], 1.0 / all.len() as f32);
        let next_values = self.values(&replay.next_observations(slots)?)?;
        let targets: Vec<f32> = slots
            .iter()
            .zip(next_values)
            .map(|(&slot, next)| {
                let following = if replay.terminated(slot) { 0.0 } else { next };
                replay.reward(slot) + self.config.gamma as f32 * following
            })
            .collect();
        let (read, chosen) = self.reads.steps(replay, slots, &replay.observations(slots)?)?;
        let critic = self.critics.regress(&read, &chosen, &targets, scale, grads)?;
        Ok(IqlSums { critic, ..IqlSums::default() })
    }
}

impl ReplayAlgorithm for ImplicitQ {
    type Config = IqlConfig;
    type Work = SliceWork;
    type Sums = IqlSums;

    const METRICS: &'static [&'static str] = &[
        "charts/learning_rate",
        "losses/qf_loss",
        "losses/qf_values",
        "losses/value_loss",
        "losses/values",
        "losses/actor_loss",
        "charts/advantage_weight",
    ];

    fn default_network() -> ModelConfig {
        critics::default_network()
    }

    fn new(config: IqlConfig, network: &ModelConfig, info: &RunInfo) -> Result<(Self, Plan), AgentError> {
        config.validate()?;
        let (behavior, builder) = Behavior::layout("iql", network, &info.spaces)?;
        let behavior = behavior.exploring(config.exploration_noise);
        let plan = Plan::with_recorded_steps("iql", config.replaying(), info)?;
        let (reads, read, head) = Reads::of("iql", &info.spaces)?;
        let mut value_builder = LayoutBuilder::new();
        let init = Init::PYTORCH_LINEAR;
        let spec = HeadSpec { name: "head".to_owned(), head: Head::Value, init };
        let observation = network::observation("iql", &info.spaces.observation)?;
        let value = Model::new(&mut value_builder, "", &observation, network, &[spec], init)?;
        let algorithm = Self {
            actor: Part::trained("", builder.build(stream(info.seed, 0)), config.optimizer)?,
            value_chain: value.chain(0)?,
            value_summary: value.summary().clone(),
            value: Part::trained(VALUE, value_builder.build(stream(info.seed, 3)), config.optimizer)?,
            critics: Critics::new(
                CriticsConfig::default(),
                &read,
                network,
                &head,
                config.optimizer,
                stream(info.seed, 2),
            )?,
            learning_rate: config.learning_rate.annealed(config.anneal_lr, info.total_timesteps),
            behavior,
            reads,
            config,
        };
        Ok((algorithm, plan))
    }

    fn policy_from(
        config: &IqlConfig,
        network: &ModelConfig,
        info: &PolicyInfo,
        weights: &Weights,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        let (behavior, builder) = Behavior::layout("iql", network, &info.spaces)?;
        let params = weights.params(builder, &[VALUE, CRITICS, TARGET_CRITICS])?;
        behavior.exploring(config.exploration_noise).policy(&params)
    }

    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        self.behavior.policy(&self.actor.params)
    }

    fn summary(&self) -> Summary {
        let parts = [self.behavior.summary(), &self.value_summary, &self.critics.summary];
        Summary { parts: parts.map(|summary| summary.parts.clone()).concat() }
    }

    fn parts(&self) -> Vec<&Part> {
        vec![&self.actor, &self.value, &self.critics.online, &self.critics.target]
    }

    fn parts_mut(&mut self) -> Vec<&mut Part> {
        vec![&mut self.actor, &mut self.value, &mut self.critics.online, &mut self.critics.target]
    }

    /// The value function, the policy, the critics, and what follows them, in this order.
    fn update(
        &mut self,
        experience: &mut Experience,
        slices: &mut [Slice<SliceWork, IqlSums>],
        env_steps: u64,
    ) -> Result<IqlSums, AgentError> {
        let (rows, rate) = (experience.slots.len(), self.learning_rate.at(env_steps));
        let mut sums = for_each_slice(slices, rows, self.value.params.len(), |range, work, grads| {
            self.value_gradient(experience, range, work, grads)
        })?;
        error::ensure_finite("value loss", sums.value_loss, experience.updates)?;
        self.value.descend(slices, f64::INFINITY, rate)?;
        let actor = for_each_slice(slices, rows, self.actor.params.len(), |range, work, grads| {
            self.actor_gradient(experience, range, work, grads)
        })?;
        error::ensure_finite("actor loss", actor.behavior.loss, experience.updates)?;
        self.actor.descend(slices, f64::INFINITY, rate)?;
        let critic = for_each_slice(slices, rows, self.critics.online.params.len(), |range, _, grads| {
            self.critic_gradient(experience, range, grads)
        })?;
        error::ensure_finite("critic loss", critic.critic.loss, experience.updates)?;
        self.critics.descend(slices, rate)?;
        self.critics.follow(self.config.tau)?;
        sums.add(&actor);
        sums.add(&critic);
        Ok(sums)
    }

    fn metrics(&self, sums: Option<&IqlSums>, _experience: &Experience, env_steps: u64) -> Vec<f64> {
        let rate = self.learning_rate.at(env_steps);
        let Some(sums) = sums else { return [vec![rate], vec![f64::NAN; 6]].concat() };
        let rows = sums.behavior.rows as f64;
        let of_rows = [
            sums.critic.loss,
            sums.critic.values / 2.0,
            sums.value_loss,
            sums.values,
            sums.behavior.loss,
            sums.advantage_weights,
        ];
        std::iter::once(rate).chain(of_rows.map(|sum| sum / rows)).collect()
    }
}
