//! TD3: twin delayed deep deterministic policy gradient.
//!
//! A deterministic policy climbs the first of two critics, half as often as these learn; targets come from slowly
//! following copies of policy and critics, at actions with clipped noise. Each iteration adds its fragments to the replay
//! buffer and then takes `gradient_steps` updates.
//!
//! # Source
//! Fujimoto et al. (2018), arXiv:1802.09477; Stable-Baselines3 2.x `td3.py` and CleanRL 1.0 `td3_continuous_action.py` for
//! names and defaults.
//!
//! # Deviations
//! 1. Truncated transitions bootstrap from their final observation.
//! 2. A minibatch's gradient is summed over `gradient_slices` slices in a fixed order.

use std::ops::Range;
use std::sync::Arc;

use agon_envs::Pcg64;
use agon_nn::kernels::tanh;
use agon_nn::{
    Activation, EncoderConfig, Head, HeadSpec, Init, Input, LayoutBuilder, Model, ModelConfig, Observation,
    Optimizer, OptimizerConfig, OptimizerState, Packed, Params, Sequential, Summary, Tape,
};
use rand_distr::{Distribution as _, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::action_box::ActionBox;
use crate::algorithms::Algorithm;
use crate::chunks::{ChunkStore, restore_whole, save_whole};
use crate::critics::{CRITICS, CriticSums, SavedCritics, TARGET_CRITICS, TwinCritics, concatenated};
use crate::dqn::TARGET;
use crate::error::ensure;
use crate::learner::{
    LearnReport, Learner, PolicyInfo, RunInfo, Spaces, decode, encode, restored_optimizer, restored_params,
    stream,
};
use crate::network;
use crate::off_policy::{OffPolicySettings, Schedule};
use crate::policy::{ActInput, ActMode, ActOutput, Actor, Policy};
use crate::replay::{ReplayBuffer, ReplayShape, SavedReplay};
use crate::schedule::LinearSchedule;
use crate::slices::{awake, descend, for_each_slice, slice_range};
use crate::{AgentError, Fragment, Weights};

/// TD3's settings. The defaults are Stable-Baselines3's; actions count from −1 to 1 whatever their bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Td3Config {
    /// Transitions that the replay buffer holds; at least `batch_size`.
    pub buffer_size: usize,
    /// Environment steps with random actions before the first update.
    pub learning_starts: u64,
    /// Environment steps between rounds of updates; a multiple of `num_envs`.
    pub train_frequency: usize,
    /// Updates in a round; at least 1.
    pub gradient_steps: usize,
    /// Transitions of a minibatch; at least 1.
    pub batch_size: usize,
    /// The optimizers' step size; above 0.
    pub learning_rate: f64,
    /// Whether the step size falls linearly to zero over the run.
    pub anneal_lr: bool,
    /// Discount factor, 0 to 1.
    pub gamma: f64,
    /// How far target networks move in an update; above 0, at most 1.
    pub tau: f64,
    /// Updates of the critics for each one of the policy and the target networks; at least 1.
    pub policy_frequency: u64,
    /// Standard deviation of the noise on the target policy's actions; at least 0.
    pub policy_noise: f64,
    /// Largest size of that noise; at least 0.
    pub noise_clip: f64,
    /// Standard deviation of the noise on the actions that explore; at least 0.
    pub exploration_noise: f64,
    /// What takes the gradient steps.
    pub optimizer: OptimizerConfig,
    /// Slices that a minibatch's gradient is summed over: as many threads can work on it. Part of the result.
    pub gradient_slices: usize,
}

impl Default for Td3Config {
    fn default() -> Self {
        Self {
            buffer_size: 1_000_000,
            learning_starts: 100,
            train_frequency: 1,
            gradient_steps: 1,
            batch_size: 256,
            learning_rate: 1e-3,
            anneal_lr: false,
            gamma: 0.99,
            tau: 0.005,
            policy_frequency: 2,
            policy_noise: 0.2,
            noise_clip: 0.5,
            exploration_noise: 0.1,
            optimizer: OptimizerConfig::default(),
            gradient_slices: 2,
        }
    }
}

impl Td3Config {
    fn validate(&self, info: &RunInfo) -> Result<Schedule, AgentError> {
        for (field, value) in [
            ("policy_noise", self.policy_noise),
            ("noise_clip", self.noise_clip),
            ("exploration_noise", self.exploration_noise),
        ] {
            ensure(value >= 0.0 && value.is_finite(), field, "at least 0", value)?;
        }
        ensure(self.policy_frequency > 0, "policy_frequency", "at least 1", self.policy_frequency)?;
        let settings = OffPolicySettings {
            buffer_size: self.buffer_size,
            train_frequency: self.train_frequency,
            gradient_steps: self.gradient_steps,
            batch_size: self.batch_size,
            learning_rate: self.learning_rate,
            gamma: self.gamma,
            tau: self.tau,
            gradient_slices: self.gradient_slices,
        };
        settings.validate(info)
    }
}

/// Working memory of one gradient slice.
#[derive(Debug, Default)]
struct SliceWork {
    grads: Vec<f32>,
    critic: CriticSums,
    /// Minus the sum of the values that the policy's actions have.
    actor_loss: f64,
}

/// The learner.
pub struct Td3 {
    config: Td3Config,
    bounds: ActionBox,
    actor: Sequential,
    actor_summary: Summary,
    actor_params: Params,
    actor_target: Params,
    actor_optimizer: Optimizer,
    critics: TwinCritics,
    rng: Pcg64,
    replay: ReplayBuffer,
    updates: u64,
    schedule: Schedule,
    learning_rate: LinearSchedule,
    slices: Vec<SliceWork>,
    slots: Vec<u32>,
    /// Noise on the target policy's actions, `[B, D]`.
    noise: Vec<f32>,
}

/// What is saved of a learner beside its full chunks.
#[derive(Serialize, Deserialize)]
struct Saved {
    actor_params: Vec<f32>,
    actor_target: Vec<f32>,
    actor_optimizer: OptimizerState,
    critics: SavedCritics,
    rng: Pcg64,
    replay: SavedReplay,
    updates: u64,
}

impl Td3 {
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

    /// Critics' gradient: `y = r + γ (1 − terminated) min Q_target(s', clip(π_target(s') + ε))`.
    fn critic_gradient(&self, range: Range<usize>, grads: &mut [f32]) -> Result<CriticSums, AgentError> {
        let (slots, dimensions) = (&self.slots[range.clone()], self.bounds.dimensions());
        let next = self.replay.next_observations(slots)?;
        let outputs = self.actor.forward_input(&self.actor_target, &next, &mut Tape::inference())?;
        let mut actions = outputs.as_slice().to_vec();
        tanh(&mut actions);
        let noise = &self.noise[range.start * dimensions..range.end * dimensions];
        actions
            .iter_mut()
            .zip(noise)
            .for_each(|(action, noise)| *action = (*action + noise).clamp(-1.0, 1.0));
        let next_values =
            self.critics.target_values(&Input::Floats(concatenated(&next, &actions, dimensions)?))?;
        let mut taken = vec![0.0; actions.len()];
        let mut targets = Vec::with_capacity(slots.len());
        for ((&slot, action), next_value) in
            slots.iter().zip(taken.chunks_exact_mut(dimensions)).zip(next_values)
        {
            self.bounds.read(self.replay.action(slot).values(), action);
            let following = if self.replay.terminated(slot) { 0.0 } else { next_value };
            targets.push(self.replay.reward(slot) + self.config.gamma as f32 * following);
        }
        let x = concatenated(&self.replay.observations(slots)?, &taken, dimensions)?;
        let scale = 1.0 / self.slots.len() as f32;
        self.critics.regress(&Input::Floats(x), &vec![0; slots.len()], &targets, scale, grads)
    }

    /// The policy's gradient of `−Q₁(s, π(s))`; gives the sum of that.
    fn actor_gradient(&self, range: Range<usize>, grads: &mut [f32]) -> Result<f64, AgentError> {
        let (slots, dimensions) = (&self.slots[range], self.bounds.dimensions());
        let observations = self.replay.observations(slots)?;
        let mut tape = Tape::new();
        let outputs = self.actor.forward_input(&self.actor_params, &observations, &mut tape)?;
        let mut actions = outputs.as_slice().to_vec();
        tanh(&mut actions);
        let x = concatenated(&observations, &actions, dimensions)?;
        let (width, scale) = (x.columns(), 1.0 / self.slots.len() as f32);
        let (values, of_input) = self.critics.input_gradient(x, false, -scale, &self.actor_params)?;
        let of_actions = of_input.chunks_exact(width).flat_map(|row| &row[width - dimensions..]);
        let of_outputs: Vec<f32> =
            of_actions.zip(&actions).map(|(gradient, action)| gradient * (1.0 - action * action)).collect();
        tape.backward(&self.actor_params, &[(&outputs, &of_outputs)], grads)?;
        Ok(-values.iter().map(|&value| f64::from(value)).sum::<f64>())
    }

    /// One update of the critics and, when its turn comes, of the policy; gives the critics' sums and the policy's loss.
    fn update(
        &mut self,
        slices: &mut [SliceWork],
        learning_rate: f64,
    ) -> Result<(CriticSums, Option<f64>), AgentError> {
        self.slots.clear();
        self.replay.sample(self.config.batch_size, &mut self.rng, &mut self.slots);
        let (std, bound) = (self.config.policy_noise as f32, self.config.noise_clip as f32);
        self.noise.clear();
        for _ in 0..self.slots.len() * self.bounds.dimensions() {
            let noise: f32 = StandardNormal.sample(&mut self.rng);
            self.noise.push((std * noise).clamp(-bound, bound));
        }
        let count = slices.len();
        for_each_slice(slices, |slice, work| {
            let range = slice_range(self.slots.len(), count, slice);
            work.grads.clear();
            work.grads.resize(self.critics.params.len(), 0.0);
            work.critic = match range.is_empty() {
                true => CriticSums::default(),
                false => self.critic_gradient(range, &mut work.grads)?,
            };
            Ok::<_, AgentError>(())
        })?;
        let mut sums = CriticSums::default();
        slices.iter().for_each(|work| sums.add(&work.critic));
        self.check("critic loss", sums.loss)?;
        let (total, others) = split(slices)?;
        self.critics.step(total, &others, f64::INFINITY, learning_rate)?;
        self.updates += 1;
        if !self.updates.is_multiple_of(self.config.policy_frequency) {
            return Ok((sums, None));
        }
        for_each_slice(slices, |slice, work| {
            let range = slice_range(self.slots.len(), count, slice);
            work.grads.clear();
            work.grads.resize(self.actor_params.len(), 0.0);
            work.actor_loss = match range.is_empty() {
                true => 0.0,
                false => self.actor_gradient(range, &mut work.grads)?,
            };
            Ok::<_, AgentError>(())
        })?;
        let loss = slices.iter().map(|work| work.actor_loss).sum();
        self.check("actor loss", loss)?;
        let (total, others) = split(slices)?;
        let (params, optimizer) = (&mut self.actor_params, &mut self.actor_optimizer);
        descend(params, optimizer, total, &others, f64::INFINITY, learning_rate)?;
        self.actor_target.lerp_from(&self.actor_params, self.config.tau as f32)?;
        self.critics.follow(self.config.tau)?;
        Ok((sums, Some(loss)))
    }

    fn check(&self, what: &'static str, value: f64) -> Result<(), AgentError> {
        if value.is_finite() {
            return Ok(());
        }
        Err(AgentError::NotFinite { what, value, update: self.updates })
    }

    /// A round of updates; gives the means of critics' loss, values and policy's loss.
    fn train(&mut self, slices: &mut [SliceWork], learning_rate: f64) -> Result<[f64; 3], AgentError> {
        let (mut sums, mut actor_loss, mut actor_updates) = (CriticSums::default(), 0.0, 0);
        for _ in 0..self.config.gradient_steps {
            let (update, loss) = self.update(slices, learning_rate)?;
            sums.add(&update);
            actor_loss += loss.unwrap_or(0.0);
            actor_updates += u32::from(loss.is_some());
        }
        let batch = self.config.batch_size as f64;
        let rows = self.config.gradient_steps as f64 * batch;
        Ok([sums.loss / rows, sums.values / 2.0 / rows, actor_loss / batch / f64::from(actor_updates)])
    }
}

/// The first slice's gradient, which the others are added to, and those.
fn split(slices: &mut [SliceWork]) -> Result<(&mut [f32], Vec<&[f32]>), AgentError> {
    match slices.split_first_mut() {
        Some((first, others)) => {
            Ok((&mut first.grads, others.iter().map(|work| work.grads.as_slice()).collect()))
        }
        None => Err(AgentError::setting("gradient_slices", "at least 1", 0)),
    }
}

impl Algorithm for Td3 {
    type Config = Td3Config;

    /// Of policy and critics, each a network of its own: Stable-Baselines3's.
    fn default_network() -> ModelConfig {
        ModelConfig { encoder: EncoderConfig::mlp(&[256, 256], Activation::Relu), ..ModelConfig::default() }
    }

    fn new(config: Td3Config, network: &ModelConfig, info: &RunInfo) -> Result<Self, AgentError> {
        let schedule = config.validate(info)?;
        let (bounds, actor, actor_summary, builder) = Self::layout(network, &info.spaces)?;
        let actor_params = builder.build(stream(info.seed, 0));
        let read = Observation::Vector(actor.inputs() + bounds.dimensions());
        let seed = stream(info.seed, 2);
        Ok(Self {
            actor,
            actor_summary,
            actor_optimizer: Optimizer::new(config.optimizer, actor_params.len())?,
            actor_target: actor_params.clone(),
            actor_params,
            critics: TwinCritics::new(&read, network, &Head::Value, config.optimizer, seed)?,
            rng: Pcg64::seed_from(stream(info.seed, 1)),
            replay: ReplayBuffer::new(config.buffer_size, ReplayShape::of(info)),
            updates: 0,
            schedule,
            learning_rate: LinearSchedule::annealed(
                config.learning_rate,
                config.anneal_lr,
                info.total_timesteps,
            ),
            slices: (0..config.gradient_slices).map(|_| SliceWork::default()).collect(),
            slots: Vec::new(),
            noise: Vec::new(),
            bounds,
            config,
        })
    }

    fn policy_from(
        config: &Td3Config,
        network: &ModelConfig,
        info: &PolicyInfo,
        weights: &Weights,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        let (bounds, actor, _, builder) = Self::layout(network, &info.spaces)?;
        let mut params = builder.build(0);
        weights.fill_all(&mut [("", &mut params)], &[TARGET, CRITICS, TARGET_CRITICS])?;
        Td3Policy::of(&actor, &params, &bounds, config)
    }
}

impl Learner for Td3 {
    fn num_steps(&self) -> usize {
        self.schedule.num_steps
    }

    fn metric_names(&self) -> &'static [&'static str] {
        &["charts/learning_rate", "losses/qf_loss", "losses/qf_values", "losses/actor_loss"]
    }

    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        Td3Policy::of(&self.actor, &self.actor_params, &self.bounds, &self.config)
    }

    fn learn(&mut self, fragments: &[Fragment], env_steps: u64) -> Result<LearnReport, AgentError> {
        self.replay.extend(fragments, |_, _| ());
        let learning_rate = self.learning_rate.at(env_steps);
        let mut metrics = vec![learning_rate, f64::NAN, f64::NAN, f64::NAN];
        if env_steps > self.config.learning_starts && !self.replay.is_empty() {
            // Taken out, so that slices can be written while they all read the rest of the learner.
            let mut slices = std::mem::take(&mut self.slices);
            let outcome = awake(slices.len() - 1, || self.train(&mut slices, learning_rate));
            self.slices = slices;
            metrics[1..].copy_from_slice(&outcome?);
        }
        Ok(LearnReport { updates: self.updates, metrics })
    }

    fn weights(&self) -> Weights {
        let mut weights = Weights::new();
        weights.add("", &self.actor_params);
        weights.add(TARGET, &self.actor_target);
        self.critics.add_weights(&mut weights);
        weights
    }

    fn load_weights(&mut self, weights: &Weights) -> Result<(), AgentError> {
        let [critics, targets] = self.critics.networks_mut();
        let (actor, target) = (&mut self.actor_params, &mut self.actor_target);
        weights.fill_all(&mut [("", actor), (TARGET, target), critics, targets], &[])
    }

    fn summary(&self) -> Option<Summary> {
        let parts = [self.actor_summary.parts.clone(), self.critics.summary.parts.clone()].concat();
        Some(Summary { parts })
    }

    fn memory_bytes(&self) -> u64 {
        self.replay.memory_bytes()
    }

    fn save(&self) -> Result<Vec<u8>, AgentError> {
        save_whole(self)
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), AgentError> {
        restore_whole(self, saved)
    }

    fn save_with(&self, chunks: &mut dyn ChunkStore) -> Result<Vec<u8>, AgentError> {
        encode(&Saved {
            actor_params: self.actor_params.as_slice().to_vec(),
            actor_target: self.actor_target.as_slice().to_vec(),
            actor_optimizer: self.actor_optimizer.state(),
            critics: self.critics.save(),
            rng: self.rng.clone(),
            replay: self.replay.save(chunks)?,
            updates: self.updates,
        })
    }

    fn restore_with(&mut self, saved: &[u8], chunks: &dyn ChunkStore) -> Result<(), AgentError> {
        let saved: Saved = decode(saved)?;
        // Everything is checked before anything is taken on; the critics check themselves.
        let actor_params = restored_params(&self.actor_params, &saved.actor_params)?;
        let actor_target = restored_params(&self.actor_params, &saved.actor_target)?;
        let optimizer = restored_optimizer(&self.actor_optimizer, saved.actor_optimizer, &actor_params)?;
        let replay = self.replay.restored(saved.replay, chunks)?;
        self.critics.restore(saved.critics)?;
        (self.actor_params, self.actor_target) = (actor_params, actor_target);
        self.actor_optimizer = optimizer;
        (self.rng, self.replay, self.updates) = (saved.rng, replay, saved.updates);
        Ok(())
    }
}

/// A snapshot of the policy; random before learning starts.
struct Td3Policy {
    actor: Sequential,
    packed: Packed,
    bounds: ActionBox,
    learning_starts: u64,
    exploration_noise: f32,
}

impl Td3Policy {
    /// A snapshot of a policy with these parameters.
    fn of(
        actor: &Sequential,
        params: &Params,
        bounds: &ActionBox,
        config: &Td3Config,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        Ok(Arc::new(Self {
            packed: Packed::new(actor, params)?,
            actor: actor.clone(),
            bounds: bounds.clone(),
            learning_starts: config.learning_starts,
            exploration_noise: config.exploration_noise as f32,
        }))
    }
}

impl Policy for Td3Policy {
    fn act(&self, input: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        let Actor { rng, scratch, outputs, .. } = actor;
        outputs.resize(input.num_rows * self.bounds.dimensions(), 0.0);
        if input.mode == ActMode::Explore && input.env_steps < self.learning_starts {
            outputs.iter_mut().for_each(|action| *action = rng.uniform(-1.0, 1.0) as f32);
        } else {
            let observations = network::rows(input.observations);
            self.actor.infer(&self.packed, observations, input.num_rows, scratch, outputs)?;
            tanh(outputs);
            if input.mode == ActMode::Explore {
                for action in outputs.iter_mut() {
                    let noise: f32 = StandardNormal.sample(&mut *rng);
                    *action = (*action + self.exploration_noise * noise).clamp(-1.0, 1.0);
                }
            }
        }
        self.bounds.write(outputs, output.actions);
        Ok(())
    }
}
