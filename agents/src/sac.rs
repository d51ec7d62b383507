//! SAC: soft actor-critic, for continuous and for discrete actions.
//!
//! The policy maximises return and entropy; how much entropy is worth, the temperature α, is learned so that the entropy
//! stays at a target. Values come from two critics and their slowly following copies. Each iteration adds its fragments
//! to the replay buffer and then takes `gradient_steps` updates of critics, policy and temperature.
//!
//! # Source
//! Haarnoja et al. (2018), arXiv:1812.05905; Christodoulou (2019), arXiv:1910.07207, for discrete actions;
//! Stable-Baselines3 2.x `sac.py` and CleanRL 1.0 `sac_atari.py` for names and defaults.
//!
//! # Deviations
//! 1. The critics are updated first, then the policy against the new critics, then the temperature (Stable-Baselines3
//!    begins with the temperature).
//! 2. Truncated transitions bootstrap from their final observation.
//! 3. A minibatch's gradient is summed over `gradient_slices` slices in a fixed order.

mod continuous;
mod discrete;

use std::sync::Arc;

use agon_envs::{ActionSpec, Pcg64};
use agon_nn::{
    Activation, EncoderConfig, Head, HeadSpec, Init, LayoutBuilder, Model, ModelConfig, Observation,
    Optimizer, OptimizerConfig, OptimizerState, Params, Sequential, Summary,
};
use serde::{Deserialize, Serialize};

use crate::algorithms::Algorithm;
use crate::chunks::{ChunkStore, restore_whole, save_whole};
use crate::critics::{CRITICS, CriticSums, SavedCritics, TARGET_CRITICS, TwinCritics};
use crate::error::ensure;
use crate::learner::{
    LearnReport, Learner, PolicyInfo, RunInfo, Spaces, decode, encode, restored_optimizer, restored_params,
    stream,
};
use crate::network;
use crate::off_policy::{OffPolicySettings, Schedule};
use crate::replay::{ReplayBuffer, ReplayShape, SavedReplay};
use crate::schedule::LinearSchedule;
use crate::slices::{awake, descend, for_each_slice, slice_range};
use crate::{AgentError, Fragment, Policy, Weights};
use continuous::Continuous;
use discrete::Discrete;

/// SAC's settings. The defaults are Stable-Baselines3's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SacConfig {
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
    /// The temperature α, if it is not learned; at least 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ent_coef: Option<f64>,
    /// The entropy that a learned temperature keeps. By default minus the number of dimensions; of discrete actions, 0.89
    /// of the largest one there is (CleanRL's).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_entropy: Option<f64>,
    /// What takes the gradient steps.
    pub optimizer: OptimizerConfig,
    /// Slices that a minibatch's gradient is summed over: as many threads can work on it. Part of the result.
    pub gradient_slices: usize,
}

impl Default for SacConfig {
    fn default() -> Self {
        Self {
            buffer_size: 1_000_000,
            learning_starts: 100,
            train_frequency: 1,
            gradient_steps: 1,
            batch_size: 256,
            learning_rate: 3e-4,
            anneal_lr: false,
            gamma: 0.99,
            tau: 0.005,
            ent_coef: None,
            target_entropy: None,
            optimizer: OptimizerConfig::default(),
            gradient_slices: 2,
        }
    }
}

impl SacConfig {
    fn settings(&self) -> OffPolicySettings {
        OffPolicySettings {
            buffer_size: self.buffer_size,
            train_frequency: self.train_frequency,
            gradient_steps: self.gradient_steps,
            batch_size: self.batch_size,
            learning_rate: self.learning_rate,
            gamma: self.gamma,
            tau: self.tau,
            gradient_slices: self.gradient_slices,
        }
    }
}

/// What the two kinds of actions differ in.
enum Kind {
    Continuous(Continuous),
    Discrete(Discrete),
}

impl Kind {
    /// What the critics read, and their head.
    fn critics(&self, observation: Observation, spaces: &Spaces) -> Result<(Observation, Head), AgentError> {
        match (self, observation) {
            (Self::Discrete(discrete), observation) => Ok((observation, discrete.critic_head())),
            (Self::Continuous(continuous), Observation::Vector(width)) => {
                Ok((Observation::Vector(width + continuous.dimensions()), Head::Value))
            }
            (Self::Continuous(_), _) => {
                let (expected, found) = ("a vector of numbers", spaces.observation.to_string());
                Err(AgentError::Unsupported { algorithm: "sac", expected, found })
            }
        }
    }

    fn default_target_entropy(&self) -> f64 {
        match self {
            Self::Continuous(continuous) => -(continuous.dimensions() as f64),
            Self::Discrete(discrete) => discrete.default_target_entropy(),
        }
    }

    /// A snapshot that acts.
    fn policy(
        &self,
        actor: &Sequential,
        params: &Params,
        learning_starts: u64,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        match self {
            Self::Continuous(kind) => kind.policy(actor, params, learning_starts),
            Self::Discrete(kind) => kind.policy(actor, params, learning_starts),
        }
    }
}

/// What a slice of an update reads.
struct Update<'a> {
    replay: &'a ReplayBuffer,
    actor: &'a Sequential,
    actor_params: &'a Params,
    critics: &'a TwinCritics,
    gamma: f32,
    alpha: f32,
    /// One over the transitions of the minibatch.
    scale: f32,
}

/// Working memory of one gradient slice.
#[derive(Debug, Default)]
struct SliceWork {
    grads: Vec<f32>,
    critic: CriticSums,
    actor: ActorSums,
}

/// Sums over the rows of a slice.
#[derive(Clone, Copy, Debug, Default)]
struct ActorSums {
    loss: f64,
    entropy: f64,
}

/// The name of the temperature's logarithm.
const LOG_ALPHA: &str = "log_alpha";

/// The learner.
pub struct Sac {
    config: SacConfig,
    kind: Kind,
    actor: Sequential,
    actor_summary: Summary,
    actor_params: Params,
    actor_optimizer: Optimizer,
    critics: TwinCritics,
    /// The logarithm of the temperature.
    log_alpha: Params,
    alpha_optimizer: Optimizer,
    target_entropy: f64,
    rng: Pcg64,
    replay: ReplayBuffer,
    updates: u64,
    schedule: Schedule,
    learning_rate: LinearSchedule,
    slices: Vec<SliceWork>,
    slots: Vec<u32>,
    /// Standard normal numbers of an update.
    noise: Vec<f32>,
}

/// What is saved of a learner beside its full chunks.
#[derive(Serialize, Deserialize)]
struct Saved {
    actor_params: Vec<f32>,
    actor_optimizer: OptimizerState,
    critics: SavedCritics,
    log_alpha: Vec<f32>,
    alpha_optimizer: OptimizerState,
    rng: Pcg64,
    replay: SavedReplay,
    updates: u64,
}

impl Sac {
    /// The kind of actions, the policy's network, and its parameters to be.
    fn layout(network: &ModelConfig, spaces: &Spaces) -> Result<(Kind, Model, LayoutBuilder), AgentError> {
        network::check_no_memory("sac", network)?;
        network::check_not_noisy("sac", network)?;
        let observation = network::observation("sac", &spaces.observation)?;
        let (kind, head) = match &spaces.action {
            ActionSpec::Discrete { .. } => {
                let discrete = Discrete::new(spaces)?;
                let head = discrete.head();
                (Kind::Discrete(discrete), head)
            }
            ActionSpec::Continuous { .. } => {
                let continuous = Continuous::new(spaces)?;
                let head = continuous.head();
                (Kind::Continuous(continuous), head)
            }
        };
        let mut builder = LayoutBuilder::new();
        let init = Init::PYTORCH_LINEAR;
        let spec = HeadSpec { name: "actor.head".to_owned(), head, init };
        let actor = Model::new(&mut builder, "actor.", &observation, network, &[spec], init)?;
        Ok((kind, actor, builder))
    }

    /// The temperature.
    fn alpha(&self) -> f32 {
        match self.config.ent_coef {
            Some(fixed) => fixed as f32,
            None => self.log_alpha.as_slice()[0].exp(),
        }
    }

    /// Runs `work` on every slice of the minibatch.
    fn for_each_slice(
        &self,
        slices: &mut [SliceWork],
        work: impl Fn(&Update<'_>, &[u32], std::ops::Range<usize>, &mut SliceWork) -> Result<(), AgentError>
        + Sync,
    ) -> Result<(), AgentError> {
        let update = Update {
            replay: &self.replay,
            actor: &self.actor,
            actor_params: &self.actor_params,
            critics: &self.critics,
            gamma: self.config.gamma as f32,
            alpha: self.alpha(),
            scale: 1.0 / self.slots.len() as f32,
        };
        let count = slices.len();
        for_each_slice(slices, |slice, own| {
            let range = slice_range(self.slots.len(), count, slice);
            work(&update, &self.slots[range.clone()], range, own)
        })
    }

    /// One update of critics, policy and temperature.
    fn update(&mut self, slices: &mut [SliceWork], learning_rate: f64) -> Result<UpdateSums, AgentError> {
        self.slots.clear();
        self.replay.sample(self.config.batch_size, &mut self.rng, &mut self.slots);
        if let Kind::Continuous(continuous) = &self.kind {
            continuous.draw_noise(self.slots.len(), &mut self.rng, &mut self.noise);
        }
        self.for_each_slice(slices, |update, slots, range, work| {
            work.grads.resize(self.critics.params.len(), 0.0);
            work.critic = CriticSums::default();
            if slots.is_empty() {
                work.grads.fill(0.0);
                return Ok(());
            }
            let SliceWork { grads, critic, .. } = work;
            *critic = match &self.kind {
                Kind::Continuous(kind) => kind.critic_gradient(update, slots, &self.noise, range, grads)?,
                Kind::Discrete(kind) => kind.critic_gradient(update, slots, grads)?,
            };
            Ok(())
        })?;
        let mut critic = CriticSums::default();
        slices.iter().for_each(|work| critic.add(&work.critic));
        self.check("critic loss", critic.loss)?;
        let (total, others) = split(slices)?;
        self.critics.step(total, &others, f64::INFINITY, learning_rate)?;

        self.for_each_slice(slices, |update, slots, range, work| {
            work.grads.resize(self.actor_params.len(), 0.0);
            work.actor = ActorSums::default();
            if slots.is_empty() {
                work.grads.fill(0.0);
                return Ok(());
            }
            let SliceWork { grads, actor, .. } = work;
            *actor = match &self.kind {
                Kind::Continuous(kind) => kind.actor_gradient(update, slots, &self.noise, range, grads)?,
                Kind::Discrete(kind) => kind.actor_gradient(update, slots, grads)?,
            };
            Ok(())
        })?;
        let sums = slices.iter().map(|work| work.actor);
        let actor = sums.fold(ActorSums::default(), |sum, part| ActorSums {
            loss: sum.loss + part.loss,
            entropy: sum.entropy + part.entropy,
        });
        self.check("actor loss", actor.loss)?;
        let (total, others) = split(slices)?;
        let (params, optimizer) = (&mut self.actor_params, &mut self.actor_optimizer);
        descend(params, optimizer, total, &others, f64::INFINITY, learning_rate)?;

        if self.config.ent_coef.is_none() {
            // The gradient of −ln α (H̄ − H): too little entropy raises α.
            let excess = actor.entropy / self.slots.len() as f64 - self.target_entropy;
            self.alpha_optimizer.step(&mut self.log_alpha, &[excess as f32], learning_rate as f32)?;
        }
        self.critics.follow(self.config.tau)?;
        self.updates += 1;
        Ok(UpdateSums { critic, actor })
    }

    fn check(&self, what: &'static str, value: f64) -> Result<(), AgentError> {
        if value.is_finite() {
            return Ok(());
        }
        Err(AgentError::NotFinite { what, value, update: self.updates })
    }

    /// A round of updates; gives their sums.
    fn train(&mut self, slices: &mut [SliceWork], learning_rate: f64) -> Result<UpdateSums, AgentError> {
        let mut sums = UpdateSums::default();
        for _ in 0..self.config.gradient_steps {
            let update = self.update(slices, learning_rate)?;
            sums.critic.add(&update.critic);
            sums.actor.loss += update.actor.loss;
            sums.actor.entropy += update.actor.entropy;
        }
        Ok(sums)
    }
}

/// Sums over the transitions of updates.
#[derive(Clone, Copy, Debug, Default)]
struct UpdateSums {
    critic: CriticSums,
    actor: ActorSums,
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

impl Algorithm for Sac {
    type Config = SacConfig;

    /// Of policy and critics, each a network of its own: Stable-Baselines3's.
    fn default_network() -> ModelConfig {
        ModelConfig { encoder: EncoderConfig::mlp(&[256, 256], Activation::Relu), ..ModelConfig::default() }
    }

    fn new(config: SacConfig, network: &ModelConfig, info: &RunInfo) -> Result<Self, AgentError> {
        let schedule = config.settings().validate(info)?;
        let alpha = config.ent_coef.unwrap_or(1.0);
        ensure(alpha >= 0.0 && alpha.is_finite(), "ent_coef", "at least 0", alpha)?;
        let (kind, actor, builder) = Self::layout(network, &info.spaces)?;
        let actor_params = builder.build(stream(info.seed, 0));
        let observation = network::observation("sac", &info.spaces.observation)?;
        let (read, head) = kind.critics(observation, &info.spaces)?;
        let critics = TwinCritics::new(&read, network, &head, config.optimizer, stream(info.seed, 2))?;
        let mut builder = LayoutBuilder::new();
        builder.add(LOG_ALPHA, &[1], Init::Constant(alpha.max(f64::MIN_POSITIVE).ln() as f32));
        Ok(Self {
            actor: actor.chain(0)?,
            actor_summary: actor.summary().clone(),
            actor_optimizer: Optimizer::new(config.optimizer, actor_params.len())?,
            actor_params,
            critics,
            log_alpha: builder.build(0),
            alpha_optimizer: Optimizer::new(config.optimizer, 1)?,
            target_entropy: config.target_entropy.unwrap_or_else(|| kind.default_target_entropy()),
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
            kind,
            config,
        })
    }

    fn policy_from(
        config: &SacConfig,
        network: &ModelConfig,
        info: &PolicyInfo,
        weights: &Weights,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        let (kind, actor, builder) = Self::layout(network, &info.spaces)?;
        let mut params = builder.build(0);
        weights.fill_all(&mut [("", &mut params)], &[CRITICS, TARGET_CRITICS, LOG_ALPHA])?;
        kind.policy(&actor.chain(0)?, &params, config.learning_starts)
    }
}

impl Learner for Sac {
    fn num_steps(&self) -> usize {
        self.schedule.num_steps
    }

    fn metric_names(&self) -> &'static [&'static str] {
        &[
            "charts/learning_rate",
            "losses/qf_loss",
            "losses/qf_values",
            "losses/actor_loss",
            "losses/entropy",
            "losses/alpha",
        ]
    }

    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        self.kind.policy(&self.actor, &self.actor_params, self.config.learning_starts)
    }

    fn learn(&mut self, fragments: &[Fragment], env_steps: u64) -> Result<LearnReport, AgentError> {
        self.replay.extend(fragments, |_, _| ());
        let learning_rate = self.learning_rate.at(env_steps);
        let mut metrics =
            vec![learning_rate, f64::NAN, f64::NAN, f64::NAN, f64::NAN, f64::from(self.alpha())];
        if env_steps > self.config.learning_starts && !self.replay.is_empty() {
            // Taken out, so that slices can be written while they all read the rest of the learner.
            let mut slices = std::mem::take(&mut self.slices);
            let outcome = awake(slices.len() - 1, || self.train(&mut slices, learning_rate));
            self.slices = slices;
            let sums = outcome?;
            let rows = (self.config.gradient_steps * self.config.batch_size) as f64;
            let means = [sums.critic.loss, sums.critic.values / 2.0, sums.actor.loss, sums.actor.entropy];
            metrics[1..5].iter_mut().zip(means).for_each(|(metric, sum)| *metric = sum / rows);
        }
        Ok(LearnReport { updates: self.updates, metrics })
    }

    fn weights(&self) -> Weights {
        let mut weights = Weights::new();
        weights.add("", &self.actor_params);
        self.critics.add_weights(&mut weights);
        weights.add("", &self.log_alpha);
        weights
    }

    fn load_weights(&mut self, weights: &Weights) -> Result<(), AgentError> {
        let [critics, targets] = self.critics.networks_mut();
        weights
            .fill_all(&mut [("", &mut self.actor_params), critics, targets, ("", &mut self.log_alpha)], &[])
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
            actor_optimizer: self.actor_optimizer.state(),
            critics: self.critics.save(),
            log_alpha: self.log_alpha.as_slice().to_vec(),
            alpha_optimizer: self.alpha_optimizer.state(),
            rng: self.rng.clone(),
            replay: self.replay.save(chunks)?,
            updates: self.updates,
        })
    }

    fn restore_with(&mut self, saved: &[u8], chunks: &dyn ChunkStore) -> Result<(), AgentError> {
        let saved: Saved = decode(saved)?;
        // Everything is checked before anything is taken on; the critics check themselves.
        let actor_params = restored_params(&self.actor_params, &saved.actor_params)?;
        let actor_optimizer =
            restored_optimizer(&self.actor_optimizer, saved.actor_optimizer, &actor_params)?;
        let log_alpha = restored_params(&self.log_alpha, &saved.log_alpha)?;
        let alpha_optimizer = restored_optimizer(&self.alpha_optimizer, saved.alpha_optimizer, &log_alpha)?;
        let replay = self.replay.restored(saved.replay, chunks)?;
        self.critics.restore(saved.critics)?;
        (self.actor_params, self.actor_optimizer) = (actor_params, actor_optimizer);
        (self.log_alpha, self.alpha_optimizer) = (log_alpha, alpha_optimizer);
        (self.rng, self.replay, self.updates) = (saved.rng, replay, saved.updates);
        Ok(())
    }
}
