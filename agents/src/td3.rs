//! TD3: twin delayed deep deterministic policy gradient.
//!
//! A deterministic policy climbs the first of two critics, half as often as these learn; targets come from slowly
//! following copies of policy and critics, at actions with clipped noise.
//!
//! # Source
//! Fujimoto et al. (2018), arXiv:1802.09477; Stable-Baselines3 2.x `td3.py` and CleanRL 1.0 `td3_continuous_action.py` for
//! names and defaults; Fujimoto and Gu (2021), arXiv:2106.06860, for TD3+BC and Tarasov et al. (2023), arXiv:2305.09836, for
//! ReBRAC, both `behavior`.
//!
//! # Deviations
//! 1. Truncated transitions bootstrap from their final observation.
//! 2. A minibatch's gradient is summed over `gradient_slices` slices in a fixed order; with `behavior` each slice divides by
//!    the mean size of its own values.
//! 3. ReBRAC's distances are means over dimensions, not sums, and its networks are those of `network`: critics have as many
//!    layers as the policy.

mod config;
mod policy;

use std::ops::Range;
use std::sync::Arc;

use agon_nn::kernels::tanh;
use agon_nn::{
    Head, HeadSpec, Init, Input, LayoutBuilder, Model, ModelConfig, Observation, Schedule, Sequential,
    Summary, Tape,
};
use rand_distr::{Distribution as _, StandardNormal};

pub use config::{BehaviorConfig, Td3Config};

use crate::action_box::ActionBox;
use crate::critics::{CRITICS, CriticSums, Critics, TARGET_CRITICS, concatenated};
use crate::experience::Experience;
use crate::learner::{PolicyInfo, RunInfo, Spaces, stream};
use crate::part::{Part, TARGET};
use crate::replay::Sampling;
use crate::replay_learner::{Plan, ReplayAlgorithm, ReplayLearner};
use crate::slices::{Slice, Sums, for_each_slice};
use crate::{AgentError, Policy, Weights, critics, error, network};
use policy::Td3Policy;

/// The learner.
pub type Td3 = ReplayLearner<TwinDelayed>;

/// The networks of TD3.
pub struct TwinDelayed {
    config: Td3Config,
    bounds: ActionBox,
    chain: Sequential,
    actor_summary: Summary,
    actor: Part,
    target: Part,
    critics: Critics,
    /// What a new policy is made of.
    layout: LayoutBuilder,
    learning_rate: Schedule,
    /// Noise on the target policy's actions, `[B, D]`.
    noise: Vec<f32>,
}

/// Sums over the rows of updates.
#[derive(Clone, Copy, Debug, Default)]
pub struct Td3Sums {
    critic: CriticSums,
    /// Minus the sum of the values that the policy's actions have.
    actor_loss: f64,
    actor_updates: u32,
}

impl Sums for Td3Sums {
    fn add(&mut self, other: &Self) {
        self.critic.add(&other.critic);
        self.actor_loss += other.actor_loss;
        self.actor_updates += other.actor_updates;
    }
}

impl TwinDelayed {
    /// The bounds of actions, the policy's network, and its parameters to be.
    fn layout(
        network: &ModelConfig,
        spaces: &Spaces,
    ) -> Result<(ActionBox, Sequential, Summary, LayoutBuilder), AgentError> {
        network::check_no_memory("td3", network)?;
        network::check_not_noisy("td3", network)?;
        let bounds = ActionBox::of("td3", &spaces.action)?;
        let observation = network::observation("td3", &spaces.observation)?;
        let Observation::Vector(_) = observation else {
            let (expected, found) = ("a vector of numbers", spaces.observation.to_string());
            return Err(AgentError::Unsupported { algorithm: "td3", expected, found });
        };
        let mut builder = LayoutBuilder::new();
        let init = Init::PYTORCH_LINEAR;
        // A number for each dimension, before its hyperbolic tangent.
        let head = Head::Q { actions: bounds.dimensions() };
        let spec = HeadSpec { name: "actor.head".to_owned(), head, init };
        let actor = Model::new(&mut builder, "actor.", &observation, network, &[spec], init)?;
        Ok((bounds, actor.chain(0)?, actor.summary().clone(), builder))
    }

    /// Critics' gradient: `y = r + γ (1 − terminated) min Q_target(s', clip(π_target(s') + ε))`, or as `critics` says.
    fn critic_gradient(
        &self,
        experience: &Experience,
        range: Range<usize>,
        grads: &mut [f32],
    ) -> Result<CriticSums, AgentError> {
        let Experience { replay, slots: all, .. } = experience;
        let (slots, dimensions) = (&all[range.clone()], self.bounds.dimensions());
        let next = replay.next_observations(slots)?;
        let outputs = self.chain.forward_input(&self.target.params, &next, &mut Tape::inference())?;
        let mut actions = outputs.as_slice().to_vec();
        tanh(&mut actions);
        let noise = &self.noise[range.start * dimensions..range.end * dimensions];
        actions
            .iter_mut()
            .zip(noise)
            .for_each(|(action, noise)| *action = (*action + noise).clamp(-1.0, 1.0));
        let mut next_values =
            self.critics.target_values(&Input::Floats(concatenated(&next, &actions, dimensions)?))?;
        if let Some(behavior) = self.config.behavior.filter(|behavior| behavior.critic > 0.0) {
            let mut recorded = vec![0.0; dimensions];
            let rows = slots.iter().zip(actions.chunks_exact(dimensions)).zip(&mut next_values);
            for ((&slot, action), value) in rows {
                if let Some(next) = replay.next_action(slot) {
                    self.bounds.read(next.values(), &mut recorded);
                    *value -= behavior.critic as f32 * mean_square(action, &recorded);
                }
            }
        }
        let mut taken = vec![0.0; actions.len()];
        let mut targets = Vec::with_capacity(slots.len());
        for ((&slot, action), next_value) in
            slots.iter().zip(taken.chunks_exact_mut(dimensions)).zip(next_values)
        {
            self.bounds.read(replay.action(slot).values(), action);
            let following = if replay.terminated(slot) { 0.0 } else { next_value };
            targets.push(replay.reward(slot) + self.config.gamma as f32 * following);
        }
        let x = concatenated(&replay.observations(slots)?, &taken, dimensions)?;
        let scale = 1.0 / all.len() as f32;
        self.critics.regress(&Input::Floats(x), &vec![0; slots.len()], &targets, scale, grads)
    }

    /// The policy's gradient of `−Q₁(s, π(s))`; gives the sum of that.
    fn actor_gradient(
        &self,
        experience: &Experience,
        range: Range<usize>,
        grads: &mut [f32],
    ) -> Result<f64, AgentError> {
        let Experience { replay, slots: all, .. } = experience;
        let (slots, dimensions) = (&all[range], self.bounds.dimensions());
        let observations = replay.observations(slots)?;
        let mut tape = Tape::new();
        let outputs = self.chain.forward_input(&self.actor.params, &observations, &mut tape)?;
        let mut actions = outputs.as_slice().to_vec();
        tanh(&mut actions);
        let x = concatenated(&observations, &actions, dimensions)?;
        let (width, scale) = (x.columns(), 1.0 / all.len() as f32);
        let (values, of_input) = self.critics.input_gradient(x, -scale, &self.actor.params)?;
        let of_actions = of_input.chunks_exact(width).flat_map(|row| &row[width - dimensions..]);
        let mut of_actions: Vec<f32> = of_actions.copied().collect();
        if let Some(behavior) = self.config.behavior {
            let size = values.iter().map(|value| value.abs()).sum::<f32>() / values.len() as f32;
            // Values that are all zero say nothing of what is better.
            let weight = behavior.q_weight as f32 / size.max(f32::MIN_POSITIVE);
            let pull = scale * 2.0 * behavior.actor as f32 / dimensions as f32;
            let mut taken = vec![0.0; dimensions];
            for (row, &slot) in slots.iter().enumerate() {
                self.bounds.read(replay.action(slot).values(), &mut taken);
                let own = row * dimensions..(row + 1) * dimensions;
                for ((gradient, action), taken) in
                    of_actions[own.clone()].iter_mut().zip(&actions[own]).zip(&taken)
                {
                    *gradient = weight * *gradient + pull * (action - taken.clamp(-1.0, 1.0));
                }
            }
        }
        let of_outputs: Vec<f32> = of_actions
            .iter()
            .zip(&actions)
            .map(|(gradient, action)| gradient * (1.0 - action * action))
            .collect();
        tape.backward(&self.actor.params, &[(&outputs, &of_outputs)], grads)?;
        Ok(-values.iter().map(|&value| f64::from(value)).sum::<f64>())
    }

    /// Draws the noise on the target policy's actions.
    fn draw_noise(&mut self, experience: &mut Experience) {
        let (std, bound) = (self.config.policy_noise as f32, self.config.noise_clip as f32);
        let numbers = experience.slots.len() * self.bounds.dimensions();
        self.noise.clear();
        self.noise.extend((0..numbers).map(|_| {
            let noise: f32 = StandardNormal.sample(&mut experience.rng);
            (std * noise).clamp(-bound, bound)
        }));
    }
}

impl ReplayAlgorithm for TwinDelayed {
    type Config = Td3Config;
    type Work = ();
    type Sums = Td3Sums;

    const METRICS: &'static [&'static str] =
        &["charts/learning_rate", "losses/qf_loss", "losses/qf_values", "losses/actor_loss"];

    fn default_network() -> ModelConfig {
        critics::default_network()
    }

    fn new(config: Td3Config, network: &ModelConfig, info: &RunInfo) -> Result<(Self, Plan), AgentError> {
        config.validate(info)?;
        let (bounds, chain, actor_summary, builder) = Self::layout(network, &info.spaces)?;
        let params = builder.clone().build(stream(info.seed, 0));
        let read = Observation::Vector(chain.inputs() + bounds.dimensions());
        let seed = stream(info.seed, 2);
        let critics = Critics::new(config.critics, &read, network, &Head::Value, config.optimizer, seed)?;
        let plan = Plan::of_steps(config.replaying(), Sampling::Uniform, info);
        let (rate, total) = (config.learning_rate, info.total_timesteps);
        let algorithm = Self {
            chain,
            actor_summary,
            target: Part::fixed(TARGET, params.clone()),
            actor: Part::trained("", params, config.optimizer)?,
            critics,
            layout: builder,
            learning_rate: rate.annealed(config.anneal_lr, total),
            noise: Vec::new(),
            bounds,
            config,
        };
        Ok((algorithm, plan))
    }

    fn policy_from(
        config: &Td3Config,
        network: &ModelConfig,
        info: &PolicyInfo,
        weights: &Weights,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        let (bounds, chain, _, builder) = Self::layout(network, &info.spaces)?;
        let params = weights.params(builder, &[TARGET, CRITICS, TARGET_CRITICS])?;
        Td3Policy::of(&chain, &params, &bounds, config)
    }

    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        Td3Policy::of(&self.chain, &self.actor.params, &self.bounds, &self.config)
    }

    fn summary(&self) -> Summary {
        Summary { parts: [&self.actor_summary, &self.critics.summary].map(|s| s.parts.clone()).concat() }
    }

    fn parts(&self) -> Vec<&Part> {
        vec![&self.actor, &self.target, &self.critics.online, &self.critics.target]
    }

    fn parts_mut(&mut self) -> Vec<&mut Part> {
        vec![&mut self.actor, &mut self.target, &mut self.critics.online, &mut self.critics.target]
    }

    /// One update of the critics and, when its turn comes, of the policy.
    fn update(
        &mut self,
        experience: &mut Experience,
        slices: &mut [Slice<(), Td3Sums>],
        env_steps: u64,
    ) -> Result<Td3Sums, AgentError> {
        if let Some(seed) = experience.reset_seed(self.config.reset_every) {
            self.actor.reset(&self.layout.clone().build(stream(seed, 0)))?;
            self.target.reset(&self.actor.params)?;
            self.critics.reset(stream(seed, 2))?;
        }
        self.draw_noise(experience);
        self.critics.draw(&mut experience.rng);
        let (rows, rate) = (experience.slots.len(), self.learning_rate.at(env_steps));
        let len = self.critics.online.params.len();
        let sums = for_each_slice(slices, rows, len, |range, (), grads| {
            let critic = self.critic_gradient(experience, range, grads)?;
            Ok::<_, AgentError>(Td3Sums { critic, ..Td3Sums::default() })
        })?;
        error::ensure_finite("critic loss", sums.critic.loss, experience.updates)?;
        self.critics.descend(slices, rate)?;
        if !(experience.updates + 1).is_multiple_of(self.config.policy_frequency) {
            return Ok(sums);
        }
        let actor = for_each_slice(slices, rows, self.actor.params.len(), |range, (), grads| {
            let actor_loss = self.actor_gradient(experience, range, grads)?;
            Ok::<_, AgentError>(Td3Sums { actor_loss, ..Td3Sums::default() })
        })?;
        error::ensure_finite("actor loss", actor.actor_loss, experience.updates)?;
        self.actor.descend(slices, f64::INFINITY, rate)?;
        self.target.follow(&self.actor, self.config.tau)?;
        self.critics.follow(self.config.tau)?;
        Ok(Td3Sums { critic: sums.critic, actor_updates: 1, ..actor })
    }

    fn metrics(&self, sums: Option<&Td3Sums>, _experience: &Experience, env_steps: u64) -> Vec<f64> {
        let rate = self.learning_rate.at(env_steps);
        let Some(sums) = sums else { return vec![rate, f64::NAN, f64::NAN, f64::NAN] };
        let batch = self.config.batch_size as f64;
        let rows = self.config.gradient_steps as f64 * batch;
        let actor_loss = sums.actor_loss / batch / f64::from(sums.actor_updates);
        vec![
            rate,
            sums.critic.loss / rows,
            sums.critic.values / self.critics.count() as f64 / rows,
            actor_loss,
        ]
    }
}

/// The mean squared distance of two actions; what was recorded may lie beyond its bounds.
fn mean_square(action: &[f32], recorded: &[f32]) -> f32 {
    let squares = action.iter().zip(recorded).map(|(a, b)| (a - b.clamp(-1.0, 1.0)).powi(2));
    squares.sum::<f32>() / action.len() as f32
}
