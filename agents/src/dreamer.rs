//! Dreamer: a world model is learned from what happened, and the policy from what the model makes up.
//!
//! The world model ([`agon_nn::rssm`]) compresses observations into a state and predicts the next one, rewards and ends. From each
//! state of replayed sequences it imagines some steps under the policy; values are learned from the λ-returns of these, and the policy
//! by its log-probabilities, weighed by how much better a return was than the value.
//!
//! ```text
//! world    −ln p(o | s) − ln p(r | s) − ln p(c | s) + β_dyn max(f, KL(sg(q) ‖ p)) + β_rep max(f, KL(q ‖ sg(p)))
//! critic   −w ln p(G^λ | s)
//! policy   −w sg((G^λ − V(s)) / max(1, S)) ln π(a | s) − w η H(π(· | s))
//! ```
//!
//! `S` is the range from the 5 % to the 95 % quantile of returns, averaged over updates; `w` the discounted probability that a
//! state is reached. An update has no gradient through the imagined steps.
//!
//! # Source
//! Hafner et al. (2023), "Mastering Diverse Domains through World Models", arXiv:2301.04104v1, for everything but: returns of
//! continuous actions by log-probabilities, from the later version (2025, Nature 640).
//!
//! # Deviations
//! 1. Small networks; a gated recurrent unit without normalisation and without blocks.
//! 2. What ended an episode is a moment of its own, so that a terminal state is one that is never acted in.
//! 3. Pixels are told by the logits of their shares of white, not with squared errors.
//! 4. An evaluation takes the most probable latent variables and the best action instead of draws.
//! 5. Sequences begin where fragments began, with the state that acting had there, instead of anywhere with zeros.
//! 6. Rewards and values have fewer bins (`bins`), from `−bins_limit` to `bins_limit`.
//! 7. Imagination begins at every `imagination_stride`-th moment.
//! 8. Adam with clipped gradients, as in the first version; step sizes are larger, as the networks are small.

mod actions;
mod config;
mod dream;
mod imagination;
mod policy;
mod sight;
mod world;

use std::sync::Arc;

use agon_envs::Pcg64;
use agon_nn::losses::mixed_categorical::MixedProbs;
use agon_nn::{
    Activation, EncoderConfig, Init, LayoutBuilder, Matrix, ModelConfig, Params, Schedule, Sequential,
    Summary, Tape,
};

pub use config::DreamerConfig;

use crate::experience::Experience;
use crate::learner::{PolicyInfo, RunInfo, Spaces, stream};
use crate::network::perceptron;
use crate::part::Part;
use crate::policy::Policy;
use crate::replay::ReplayBuffer;
use crate::replay_learner::{Plan, ReplayAlgorithm, ReplayLearner};
use crate::settings::replaying_sequences;
use crate::slices::{self, Slice, Sums, for_each_slice};
use crate::world_model::acts::uniform;
use crate::world_model::numbers::distributions;
use crate::world_model::sequences::Sequences;
use crate::{AgentError, Weights, error};
use actions::{Actions, PolicyGradient};
use imagination::{ImaginationScratch, Imagined, Imagining, Minds};
use policy::{DreamerPolicy, Remembered};
use world::{World, WorldSums};

/// What the world model's tensors are called, before their own names.
const WORLD: &str = "world.";
/// What the critic's are.
const CRITIC: &str = "critic.";
/// What those of its slow copy are.
const SLOW_CRITIC: &str = "slow_critic.";
/// What the range of returns is called.
const RETURNS: &str = "returns.";

/// The learner.
pub type Dreamer = ReplayLearner<DreamerNetworks>;

/// The networks of Dreamer.
pub struct DreamerNetworks {
    config: DreamerConfig,
    world: Arc<World>,
    actions: Actions,
    actor_chain: Sequential,
    critic_chain: Sequential,
    summary: Summary,
    actor: Part,
    of_world: Part,
    critic: Part,
    slow_critic: Part,
    /// The 5 % and the 95 % quantile of returns, averaged over updates.
    returns: Part,
    learning_rates: [Schedule; 3],
    ent_coef: Schedule,
}

/// Working memory of one slice of a minibatch, and what its phases hand on.
#[derive(Debug, Default)]
pub struct SliceWork {
    sequences: Sequences,
    scratch: ImaginationScratch,
    probs: MixedProbs,
    rng: Option<Pcg64>,
    /// The states that imagination begins with, `[N, F]`, and whether anything follows them, `[N]`.
    states: Vec<f32>,
    continues: Vec<bool>,
    imagined: Imagined,
}

/// Sums over updates.
#[derive(Clone, Copy, Debug, Default)]
pub struct DreamerSums {
    world: WorldSums,
    actor_loss: f64,
    critic_loss: f64,
    entropy: f64,
    returns: f64,
    steps: usize,
}

impl Sums for DreamerSums {
    fn add(&mut self, other: &Self) {
        self.world.add(&other.world);
        self.actor_loss += other.actor_loss;
        self.critic_loss += other.critic_loss;
        self.entropy += other.entropy;
        self.returns += other.returns;
        self.steps += other.steps;
    }
}

/// Policy and world model, and their parameters to be.
struct Minded {
    world: World,
    of_world: LayoutBuilder,
    actions: Actions,
    actor: Sequential,
    of_actor: LayoutBuilder,
    summary: Summary,
}

impl DreamerNetworks {
    fn layout(config: &DreamerConfig, network: &ModelConfig, spaces: &Spaces) -> Result<Minded, AgentError> {
        let actions = Actions::new(config, spaces)?;
        let (world, of_world) = World::layout(config, network, spaces, &actions)?;
        let mut of_actor = LayoutBuilder::new();
        let (features, deep) = (world.rssm.features(), (config.hidden, config.head_layers));
        let head = (actions.head(), Init::Orthogonal { gain: 0.01 });
        let actor = perceptron(&mut of_actor, "actor", features, deep, head)?;
        let mut parts = actor.summary().parts.clone();
        parts.extend(world.summary.parts.iter().cloned());
        let (actor, summary) = (actor.chain(0)?, Summary { parts });
        Ok(Minded { world, of_world, actions, actor, of_actor, summary })
    }

    /// The world model's gradient of the sequences that begin at some slots.
    fn observe(
        &self,
        replay: &ReplayBuffer,
        starts: &[u32],
        seed: u64,
        work: &mut SliceWork,
        grads: &mut [f32],
    ) -> Result<DreamerSums, AgentError> {
        let (rows, steps) = (starts.len(), self.config.sequence_length);
        let remembered = Remembered::of(&self.world, &self.actions);
        let (mut deterministic, mut latents, mut befores) = (Vec::new(), Vec::new(), Vec::new());
        for &start in starts {
            remembered.read(replay.state(start), &mut deterministic, &mut latents, &mut befores);
        }
        work.sequences.read(replay, &self.actions.acts, starts, &befores, steps);
        let mut rng = Pcg64::seed_from(seed);
        let noise: Vec<f32> =
            (0..steps * rows * self.world.rssm.latents()).map(|_| uniform(&mut rng)).collect();
        work.rng = Some(rng);
        let deterministic = Matrix::from_slice(rows, self.world.rssm.deterministic(), &deterministic)?;
        let latents = Matrix::from_slice(rows, self.world.rssm.latent_values(), &latents)?;
        let seen = replay.moments(work.sequences.moments.iter().copied())?;
        let scale = 1.0 / (self.config.batch_size * steps) as f32;
        let (params, before) = (&self.of_world.params, (&deterministic, &latents));
        let (sums, states) =
            self.world.backward(params, &work.sequences, seen, (&noise, before), scale, grads)?;
        // All moments have their turn from update to update.
        let (stride, width) = (self.config.imagination_stride, states.columns());
        let first = (seed % stride as u64) as usize;
        work.states.clear();
        work.continues.clear();
        for step in (first..steps).step_by(stride) {
            let of_step = step * rows..(step + 1) * rows;
            work.states.extend_from_slice(&states.as_slice()[of_step.start * width..of_step.end * width]);
            work.continues.extend_from_slice(&work.sequences.continues[of_step]);
        }
        Ok(DreamerSums { world: sums, ..DreamerSums::default() })
    }

    /// How much returns differ, at least 1; moves their range towards those of this update.
    fn return_range(&mut self, slices: &[Slice<SliceWork, DreamerSums>], first: bool) -> f32 {
        let mut returns: Vec<f32> =
            slices.iter().flat_map(|slice| &slice.work.imagined.returns).copied().collect();
        returns.sort_unstable_by(f32::total_cmp);
        let quantile = |share: f64| returns[((returns.len() - 1) as f64 * share).round() as usize];
        let decay = if first { 0.0 } else { self.config.return_decay as f32 };
        let place = self.returns.params.layout().specs()[0].range.range();
        let range = &mut self.returns.params.as_mut_slice()[place];
        for (value, quantile) in range.iter_mut().zip([quantile(0.05), quantile(0.95)]) {
            *value = decay * *value + (1.0 - decay) * quantile;
        }
        (range[1] - range[0]).max(1.0)
    }

    /// The policy's gradient of imagined trajectories.
    fn actor_gradient(
        &self,
        work: &mut SliceWork,
        (range, ent_coef): (f32, f32),
        grads: &mut [f32],
    ) -> Result<DreamerSums, AgentError> {
        let (imagined, scale) = (&work.imagined, self.scale());
        let steps = imagined.returns.len();
        let features = self.states(imagined)?;
        let mut tape = Tape::new();
        let outputs = self.actor_chain.forward(&self.actor.params, &features, &mut tape)?;
        let rows = imagined.weights.iter().zip(imagined.returns.iter().zip(&imagined.values));
        let advantages = rows.map(|(weight, (value, baseline))| (*weight, (value - baseline) / range));
        let weights: Vec<f32> = advantages.map(|(weight, advantage)| scale * weight * advantage).collect();
        let entropy_weights: Vec<f32> =
            imagined.weights.iter().map(|weight| scale * ent_coef * weight).collect();
        let factors = PolicyGradient { weights: &weights, entropy_weights: &entropy_weights };
        let mut gradient = vec![0.0; outputs.as_slice().len()];
        let entropy = self.actions.gradient(
            outputs.as_slice(),
            &imagined.drawn,
            &factors,
            &mut work.probs,
            &mut gradient,
        )?;
        tape.backward(&self.actor.params, &[(&outputs, &gradient)], grads)?;
        let actor_loss = -weights.iter().map(|&weight| f64::from(weight)).sum::<f64>();
        let returns = imagined.returns.iter().map(|&value| f64::from(value)).sum();
        Ok(DreamerSums { actor_loss, entropy, returns, steps, ..DreamerSums::default() })
    }

    /// The critic's gradient of imagined trajectories.
    fn critic_gradient(&self, work: &SliceWork, grads: &mut [f32]) -> Result<DreamerSums, AgentError> {
        let (imagined, two_hot) = (&work.imagined, &self.world.two_hot);
        let (bins, scale, slow) = (two_hot.bins(), self.scale(), self.config.slow_coef as f32);
        let features = self.states(imagined)?;
        let mut tape = Tape::new();
        let logits = self.critic_chain.forward(&self.critic.params, &features, &mut tape)?;
        let (log_probs, probs) = distributions(logits.as_slice(), bins)?;
        let mut gradient = vec![0.0; logits.as_slice().len()];
        let mut critic_loss = 0.0;
        for (row, slopes) in gradient.chunks_exact_mut(bins).enumerate() {
            let range = row * bins..(row + 1) * bins;
            let (log_probs, probs) = (&log_probs[range.clone()], &probs[range]);
            let weight = scale * imagined.weights[row];
            let loss = two_hot.add_loss(imagined.returns[row], log_probs, probs, weight, slopes)?;
            two_hot.add_loss(imagined.slow_values[row], log_probs, probs, weight * slow, slopes)?;
            critic_loss += f64::from(imagined.weights[row] * loss);
        }
        tape.backward(&self.critic.params, &[(&logits, &gradient)], grads)?;
        Ok(DreamerSums { critic_loss, ..DreamerSums::default() })
    }

    /// The states in which imagined steps were taken, `[H · N, F]`.
    fn states(&self, imagined: &Imagined) -> Result<Matrix, AgentError> {
        let (steps, width) = (imagined.returns.len(), self.world.rssm.features());
        Ok(Matrix::from_slice(steps, width, &imagined.features[..steps * width])?)
    }

    /// One over the imagined steps of an update.
    fn scale(&self) -> f32 {
        1.0 / (self.config.imagined() * self.config.horizon) as f32
    }
}

impl ReplayAlgorithm for DreamerNetworks {
    type Config = DreamerConfig;
    type Work = SliceWork;
    type Sums = DreamerSums;

    const METRICS: &'static [&'static str] = &[
        "charts/learning_rate",
        "losses/world_loss",
        "losses/observation_loss",
        "losses/reward_loss",
        "losses/continuation_loss",
        "losses/divergence",
        "losses/actor_loss",
        "losses/critic_loss",
        "losses/entropy",
        "charts/imagined_return",
        "charts/return_range",
    ];

    fn default_network() -> ModelConfig {
        let (hidden, activation, layer_norm) = (vec![128], Activation::Silu, true);
        let encoder = EncoderConfig::Mlp { hidden, activation, layer_norm };
        ModelConfig { encoder, ..ModelConfig::default() }
    }

    fn new(config: DreamerConfig, network: &ModelConfig, info: &RunInfo) -> Result<(Self, Plan), AgentError> {
        config.validate(info)?;
        let Minded { world, of_world, actions, actor, of_actor, mut summary } =
            Self::layout(&config, network, &info.spaces)?;
        let mut builder = LayoutBuilder::new();
        let (features, deep) = (world.rssm.features(), (config.hidden, config.head_layers));
        // Values begin as zeros, whatever the state.
        let head = (agon_nn::Head::Q { actions: config.bins }, Init::Zeros);
        let critic = perceptron(&mut builder, "critic", features, deep, head)?;
        summary.parts.extend(critic.summary().parts.iter().cloned());
        let of_critic = builder.build(stream(info.seed, 3));
        let mut range = LayoutBuilder::new();
        range.add("range", &[2], Init::Zeros);
        let remembered = Remembered::of(&world, &actions).len();
        let plan = Plan::of_sequences("dreamer", replaying_sequences!(config), remembered, info)?;
        let total = info.total_timesteps;
        let rates = [config.learning_rate, config.actor_learning_rate, config.critic_learning_rate];
        let algorithm = Self {
            actor: Part::trained("", of_actor.build(stream(info.seed, 0)), config.optimizer)?,
            of_world: Part::trained(WORLD, of_world.build(stream(info.seed, 2)), config.optimizer)?,
            slow_critic: Part::fixed(SLOW_CRITIC, of_critic.clone()),
            critic: Part::trained(CRITIC, of_critic, config.optimizer)?,
            returns: Part::fixed(RETURNS, range.build(0)),
            world: Arc::new(world),
            actor_chain: actor,
            critic_chain: critic.chain(0)?,
            learning_rates: rates.map(|rate| rate.schedule(total)),
            ent_coef: config.ent_coef.schedule(total),
            actions,
            summary,
            config,
        };
        Ok((algorithm, plan))
    }

    fn policy_from(
        config: &DreamerConfig,
        network: &ModelConfig,
        info: &PolicyInfo,
        weights: &Weights,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        let minded = Self::layout(config, network, &info.spaces)?;
        let networks = [("", minded.of_actor), (WORLD, minded.of_world)];
        let [of_actor, of_world]: [Params; 2] =
            weights.params_of(networks, &[CRITIC, SLOW_CRITIC, RETURNS])?;
        let world = Arc::new(minded.world);
        DreamerPolicy::of(&world, &of_world, &minded.actions, (&minded.actor, &of_actor))
    }

    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        let actor = (&self.actor_chain, &self.actor.params);
        DreamerPolicy::of(&self.world, &self.of_world.params, &self.actions, actor)
    }

    fn summary(&self) -> Summary {
        self.summary.clone()
    }

    fn parts(&self) -> Vec<&Part> {
        vec![&self.actor, &self.of_world, &self.critic, &self.slow_critic, &self.returns]
    }

    fn parts_mut(&mut self) -> Vec<&mut Part> {
        vec![&mut self.actor, &mut self.of_world, &mut self.critic, &mut self.slow_critic, &mut self.returns]
    }

    /// One update of world model, policy and critic.
    fn update(
        &mut self,
        experience: &mut Experience,
        slices: &mut [Slice<SliceWork, DreamerSums>],
        env_steps: u64,
    ) -> Result<DreamerSums, AgentError> {
        let (rows, updates) = (experience.slots.len(), experience.updates);
        let (clip, rates) = (self.config.max_grad_norm, self.learning_rates.map(|rate| rate.at(env_steps)));
        let seed = experience.rng.next_u64();
        let mut sums = for_each_slice(slices, rows, self.of_world.params.len(), |range, work, grads| {
            let seed = stream(seed, range.start as u32);
            self.observe(&experience.replay, &experience.slots[range], seed, work, grads)
        })?;
        error::ensure_finite("world model's loss", sums.world.total(), updates)?;
        self.of_world.descend(slices, clip, rates[0])?;

        let imagining = Imagining::new(
            &self.config,
            (&self.world, &self.actions),
            (&self.actor_chain, &self.critic_chain),
            &Minds {
                world: &self.of_world.params,
                actor: &self.actor.params,
                critic: &self.critic.params,
                slow_critic: &self.slow_critic.params,
            },
        )?;
        slices::for_each(slices, |_, slice| {
            let SliceWork { scratch, rng, states, continues, imagined, .. } = &mut slice.work;
            let Some(rng) = rng else { return Ok(()) };
            imagining.imagine(states, continues, rng, scratch, imagined)
        })?;
        drop(imagining);
        let range = self.return_range(slices, updates == 0);

        let ent_coef = self.ent_coef.at(env_steps) as f32;
        let actor = for_each_slice(slices, rows, self.actor.params.len(), |_, work, grads| {
            self.actor_gradient(work, (range, ent_coef), grads)
        })?;
        error::ensure_finite("actor loss", actor.actor_loss, updates)?;
        self.actor.descend(slices, clip, rates[1])?;
        let critic = for_each_slice(slices, rows, self.critic.params.len(), |_, work, grads| {
            self.critic_gradient(work, grads)
        })?;
        error::ensure_finite("critic loss", critic.critic_loss, updates)?;
        self.critic.descend(slices, clip, rates[2])?;
        self.slow_critic.follow(&self.critic, self.config.tau)?;
        sums.add(&actor);
        sums.add(&critic);
        Ok(sums)
    }

    fn metrics(&self, sums: Option<&DreamerSums>, _experience: &Experience, env_steps: u64) -> Vec<f64> {
        let rate = self.learning_rates[0].at(env_steps);
        let range = &self.returns.params.as_slice()[..2];
        let range = f64::from(range[1]) - f64::from(range[0]);
        let Some(sums) = sums else { return [&[rate][..], &[f64::NAN; 10][..]].concat() };
        let world = &sums.world;
        let of_moments =
            [world.total(), world.observation, world.reward, world.continuation, world.divergence];
        let mut metrics = vec![rate];
        metrics.extend(of_moments.map(|sum| sum / world.moments as f64));
        // The policy's loss is a mean of each update already.
        let updates = world.moments as f64 / (self.config.batch_size * self.config.sequence_length) as f64;
        metrics.push(sums.actor_loss / updates);
        metrics.extend([sums.critic_loss, sums.entropy, sums.returns].map(|sum| sum / sums.steps as f64));
        metrics.push(range);
        metrics
    }
}

#[cfg(test)]
mod tests;
