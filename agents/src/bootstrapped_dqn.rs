//! Bootstrapped DQN with randomised priors: an ensemble of Q networks whose disagreement explores deeply.
//!
//! Member `k` is `Q_k(s, a) = f_k(s, a) + prior_scale · p_k(s, a)`: a network that learns, and one that never does. Each episode
//! follows one member greedily, so that it goes on where that member hopes for something. Each step is learned from by a
//! random part of the members.
//!
//! ```text
//! y_k = r + γ (1 − terminated) max_a' Q_k,target(s', a')       L = mean_k,b m_k (Q_k(s, a) − y_k)²
//! ```
//!
//! # Source
//! Osband et al. (2016), arXiv:1602.04621; Osband et al. (2018), arXiv:1806.03335 for priors;
//! bsuite `baselines/tf/boot_dqn/agent.py` for the settings.
//!
//! # Deviations
//! 1. Truncated transitions bootstrap from their final observation.
//! 2. No ε beside the ensemble; bsuite's agent acts at random with probability 10 / (10 + t).
//! 3. Which members learn from a step is a hash of the step and the seed, so that it is drawn once and kept nowhere.
//! 4. Weights start orthogonal, biases as PyTorch's; Sonnet has truncated normal weights of the same size, and zeros.
//! 5. The best action, for evaluation, is that of the members' mean.

use std::sync::Arc;

use agon_envs::Pcg64;
use agon_nn::losses::mse;
use agon_nn::{
    Activation, EncoderConfig, Head, HeadSpec, Init, Input, LayoutBuilder, Model, ModelConfig, Optimizer,
    OptimizerConfig, OptimizerState, Packed, Params, Scratch, Sequential, Summary, Tape,
};
use serde::{Deserialize, Serialize};

use crate::algorithms::Algorithm;
use crate::chunks::{ChunkStore, restore_whole, save_whole};
use crate::dqn::TARGET;
use crate::dqn::q_network::best;
use crate::error::{ensure, positive};
use crate::learner::{
    LearnReport, Learner, PolicyInfo, RunInfo, Spaces, decode, encode, restored_optimizer, restored_params,
    single_discrete, stream,
};
use crate::network;
use crate::policy::{ActInput, ActMode, ActOutput, Actor, Policy};
use crate::replay::{NStep, ReplayBuffer, ReplayShape, SavedReplay};
use crate::slices::{awake, descend, for_each_slice, slice_range};
use crate::{AgentError, Fragment, Weights};

/// Settings of bootstrapped DQN. The defaults are bsuite's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BootstrappedDqnConfig {
    /// Steps that the replay buffer holds; at least `batch_size`.
    pub buffer_size: usize,
    /// Environment steps before the first update.
    pub learning_starts: u64,
    /// Environment steps between rounds of updates; a multiple of `num_envs`.
    pub train_frequency: usize,
    /// Updates in a round; at least 1.
    pub gradient_steps: usize,
    /// Transitions of a minibatch; at least 1.
    pub batch_size: usize,
    /// Step size; above 0.
    pub learning_rate: f64,
    /// Discount factor, 0 to 1.
    pub gamma: f64,
    /// Environment steps between copies to the target networks; at least 1.
    pub target_network_frequency: u64,
    /// Members; at least 1.
    pub ensemble: usize,
    /// Factor of the networks that never learn; at least 0.
    pub prior_scale: f64,
    /// Probability that a member learns from a step; above 0, at most 1.
    pub mask_prob: f64,
    /// Largest norm of a gradient; above 0.
    pub max_grad_norm: f64,
    /// The optimizer. Its step size is `learning_rate`.
    pub optimizer: OptimizerConfig,
    /// Slices that the members are divided into: as many threads can work on them. Part of the result.
    pub gradient_slices: usize,
}

impl Default for BootstrappedDqnConfig {
    fn default() -> Self {
        Self {
            buffer_size: 10_000,
            learning_starts: 128,
            train_frequency: 1,
            gradient_steps: 1,
            batch_size: 128,
            learning_rate: 1e-3,
            gamma: 0.99,
            target_network_frequency: 4,
            ensemble: 20,
            prior_scale: 3.0,
            mask_prob: 0.5,
            max_grad_norm: 10.0,
            optimizer: OptimizerConfig::default(),
            gradient_slices: 2,
        }
    }
}

impl BootstrappedDqnConfig {
    /// Checks every setting's range.
    ///
    /// # Errors
    /// [`AgentError::Setting`] naming the setting, what is allowed and what was found.
    pub fn validate(&self, info: &RunInfo) -> Result<(), AgentError> {
        let num_envs = info.num_envs;
        ensure(self.batch_size > 0, "batch_size", "at least 1", self.batch_size)?;
        ensure(self.buffer_size >= self.batch_size, "buffer_size", "at least batch_size", self.buffer_size)?;
        let row_names = "at least num_envs * num_agents";
        ensure(self.buffer_size >= info.num_rows(), "buffer_size", row_names, self.buffer_size)?;
        ensure(u32::try_from(self.buffer_size).is_ok(), "buffer_size", "below 2^32", self.buffer_size)?;
        for (field, value) in [
            ("gradient_steps", self.gradient_steps as u64),
            ("target_network_frequency", self.target_network_frequency),
            ("ensemble", self.ensemble as u64),
        ] {
            ensure(value > 0, field, "at least 1", value)?;
        }
        for (field, value) in [("learning_rate", self.learning_rate), ("max_grad_norm", self.max_grad_norm)] {
            ensure(positive(value), field, "above 0", value)?;
        }
        ensure((0.0..=1.0).contains(&self.gamma), "gamma", "between 0 and 1", self.gamma)?;
        let scale = self.prior_scale;
        ensure(scale >= 0.0 && scale.is_finite(), "prior_scale", "at least 0", scale)?;
        let mask_prob = self.mask_prob;
        ensure(mask_prob > 0.0 && mask_prob <= 1.0, "mask_prob", "above 0 and at most 1", mask_prob)?;
        let slices = self.gradient_slices;
        ensure((1..=64).contains(&slices), "gradient_slices", "between 1 and 64", slices)?;
        if self.train_frequency == 0 || !self.train_frequency.is_multiple_of(num_envs) {
            let expected = format!("a multiple of num_envs = {num_envs}");
            return Err(AgentError::setting("train_frequency", expected, self.train_frequency));
        }
        Ok(self.optimizer.validate()?)
    }
}

/// What the tensors of the networks that never learn are called, before their own names.
const PRIOR: &str = "prior.";

/// Networks of the same shape beside each other, in one set of parameters.
struct Ensemble {
    members: Vec<Sequential>,
    summary: Summary,
}

impl Ensemble {
    fn layout(
        config: &BootstrappedDqnConfig,
        network: &ModelConfig,
        spaces: &Spaces,
    ) -> Result<(Self, LayoutBuilder), AgentError> {
        network::check_not_noisy("bootstrapped-dqn", network)?;
        network::check_no_memory("bootstrapped-dqn", network)?;
        let actions = single_discrete("bootstrapped-dqn", &spaces.action)?;
        let observation = network::observation("bootstrapped-dqn", &spaces.observation)?;
        let mut builder = LayoutBuilder::new();
        let init = Init::Orthogonal { gain: 1.0 };
        let (mut members, mut parts) = (Vec::new(), Vec::new());
        for k in 0..config.ensemble {
            let head = HeadSpec { name: format!("{k}.q"), head: Head::Q { actions }, init };
            let prefix = format!("{k}.");
            let model = Model::new(&mut builder, &prefix, &observation, network, &[head], init)?;
            members.push(model.chain(0)?);
            parts.extend(model.summary().parts.clone());
        }
        Ok((Self { members, summary: Summary { parts } }, builder))
    }

    fn pack(&self, params: &Params) -> Result<Vec<Packed>, AgentError> {
        Ok(self.members.iter().map(|member| Packed::new(member, params)).collect::<Result<_, _>>()?)
    }
}

/// The networks that never learn.
struct Prior {
    params: Params,
    packed: Vec<Packed>,
    scale: f32,
}

impl Prior {
    fn of(ensemble: &Ensemble, params: Params, scale: f32) -> Result<Self, AgentError> {
        Ok(Self { packed: ensemble.pack(&params)?, params, scale })
    }
}

/// A snapshot of the ensemble. An actor's state is the member that each row follows.
struct EnsemblePolicy {
    ensemble: Arc<Ensemble>,
    packed: Vec<Packed>,
    prior: Arc<Prior>,
    num_actions: usize,
}

impl EnsemblePolicy {
    /// A snapshot of an ensemble with these parameters.
    fn of(
        ensemble: &Arc<Ensemble>,
        params: &Params,
        prior: &Arc<Prior>,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        Ok(Arc::new(Self {
            packed: ensemble.pack(params)?,
            num_actions: ensemble.members[0].outputs(),
            ensemble: Arc::clone(ensemble),
            prior: Arc::clone(prior),
        }))
    }

    /// Adds a member's values in one observation to `out`.
    fn add_values(
        &self,
        member: usize,
        x: agon_nn::Rows<'_>,
        scratch: &mut Scratch,
        buffer: &mut Vec<f32>,
        out: &mut [f32],
    ) -> Result<(), AgentError> {
        let network = &self.ensemble.members[member];
        buffer.resize(self.num_actions, 0.0);
        for (packed, scale) in [(&self.packed[member], 1.0), (&self.prior.packed[member], self.prior.scale)] {
            network.infer(packed, x, 1, scratch, buffer)?;
            out.iter_mut().zip(&*buffer).for_each(|(sum, value)| *sum += scale * value);
        }
        Ok(())
    }
}

impl Policy for EnsemblePolicy {
    fn state_len(&self) -> usize {
        1
    }

    fn act(&self, input: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        let Actor { rng, state, scratch, outputs, buffer, .. } = actor;
        let members = self.ensemble.members.len();
        let width = self.ensemble.members[0].inputs();
        for (row, action) in output.actions.indices_mut().iter_mut().enumerate() {
            if input.resets[row] {
                state[row] = rng.bounded(members as u64 - 1) as f32;
            }
            outputs.clear();
            outputs.resize(self.num_actions, 0.0);
            let x = network::row(input.observations, row, width);
            let asked = match input.mode {
                ActMode::Explore => state[row] as usize..state[row] as usize + 1,
                ActMode::Deterministic => 0..members,
            };
            for member in asked {
                self.add_values(member, x, scratch, buffer, outputs)?;
            }
            let mask = input.action_masks.get(row * self.num_actions..(row + 1) * self.num_actions);
            *action = best(outputs, mask) as u32;
        }
        Ok(())
    }
}

/// Working memory and results of one slice of the members.
#[derive(Debug, Default)]
struct SliceWork {
    scratch: Scratch,
    values: Vec<f32>,
    prior_values: Vec<f32>,
    q_grads: Vec<Vec<f32>>,
    grads: Vec<f32>,
    loss: f64,
    q_sum: f64,
}

/// What all members learn from in an update.
struct Minibatch {
    slots: Vec<u32>,
    steps: Vec<NStep>,
    x: Input,
    next: Input,
}

/// The learner.
pub struct BootstrappedDqn {
    config: BootstrappedDqnConfig,
    ensemble: Arc<Ensemble>,
    num_actions: usize,
    params: Params,
    target_params: Params,
    target: Vec<Packed>,
    prior: Arc<Prior>,
    optimizer: Optimizer,
    rng: Pcg64,
    /// Decides which members learn from which steps.
    mask_seed: u64,
    replay: ReplayBuffer,
    updates: u64,
    num_steps: usize,
    slices: Vec<SliceWork>,
}

/// What is saved of a learner.
#[derive(Serialize, Deserialize)]
struct Saved {
    params: Vec<f32>,
    target_params: Vec<f32>,
    prior: Vec<f32>,
    optimizer: OptimizerState,
    rng: Pcg64,
    mask_seed: u64,
    replay: SavedReplay,
    updates: u64,
}

impl BootstrappedDqn {
    fn draw(&mut self) -> Result<Minibatch, AgentError> {
        let mut slots = Vec::new();
        self.replay.sample(self.config.batch_size, &mut self.rng, &mut slots);
        let gamma = self.config.gamma as f32;
        let steps: Vec<NStep> = slots.iter().map(|&slot| self.replay.n_step(slot, gamma, 1)).collect();
        let (x, next) = (self.replay.observations(&slots)?, self.replay.next_observations(&slots)?);
        Ok(Minibatch { slots, steps, x, next })
    }

    /// Whether a member learns from a step: a number of 53 bits hashed from both, against `mask_prob`.
    fn learns(&self, member: usize, slot: u32) -> bool {
        let step = self.replay.number(slot).wrapping_mul(self.config.ensemble as u64);
        let hash = mixed(self.mask_seed ^ mixed(step.wrapping_add(member as u64)));
        ((hash >> 11) as f64) < self.config.mask_prob * (1_u64 << 53) as f64
    }

    /// The losses of some members and their gradient.
    fn backward(&self, batch: &Minibatch, slice: usize, work: &mut SliceWork) -> Result<(), AgentError> {
        let members = slice_range(self.config.ensemble, self.config.gradient_slices, slice);
        let (rows, actions) = (batch.slots.len(), self.num_actions);
        work.grads.resize(self.params.len(), 0.0);
        work.q_grads.resize(members.len(), Vec::new());
        (work.loss, work.q_sum) = (0.0, 0.0);
        if members.is_empty() {
            work.grads.fill(0.0);
            return Ok(());
        }
        let weight = 1.0 / (self.config.ensemble * rows) as f32;
        let mut tape = Tape::new();
        let mut outputs = Vec::new();
        for (grads, k) in work.q_grads.iter_mut().zip(members) {
            let network = &self.ensemble.members[k];
            let [next_values, prior_values] = [&mut work.values, &mut work.prior_values];
            let mut infer = |packed: &Packed, x: &Input, out: &mut Vec<f32>| {
                out.resize(rows * actions, 0.0);
                network.infer(packed, x, rows, &mut work.scratch, out)
            };
            infer(&self.target[k], &batch.next, next_values)?;
            infer(&self.prior.packed[k], &batch.next, prior_values)?;
            let pairs = next_values.iter_mut().zip(&*prior_values);
            pairs.for_each(|(value, prior)| *value += self.prior.scale * prior);
            infer(&self.prior.packed[k], &batch.x, prior_values)?;
            let learned = network.forward_input(&self.params, &batch.x, &mut tape)?;
            grads.clear();
            grads.resize(rows * actions, 0.0);
            for (row, (&slot, step)) in batch.slots.iter().zip(&batch.steps).enumerate() {
                let next_values = &next_values[row * actions..(row + 1) * actions];
                let next = next_values[best(next_values, self.replay.next_mask(slot))];
                let following = if step.discount == 0.0 { 0.0 } else { step.discount * next };
                let chosen = row * actions + self.replay.action(slot).index();
                let q_value = learned.as_slice()[chosen] + self.prior.scale * prior_values[chosen];
                work.q_sum += f64::from(q_value);
                let (loss, slope) = mse(q_value - (step.reward + following));
                // Lost rewards must not hide behind a mask.
                if self.learns(k, slot) || !loss.is_finite() {
                    work.loss += f64::from(loss);
                    grads[chosen] = weight * slope;
                }
            }
            outputs.push(learned);
        }
        let pairs: Vec<_> = outputs.iter().zip(&work.q_grads).map(|(out, grads)| (out, &grads[..])).collect();
        tape.backward(&self.params, &pairs, &mut work.grads)?;
        Ok(())
    }

    /// A round of updates; gives the sums of losses and values.
    fn train(&mut self, slices: &mut [SliceWork]) -> Result<(f64, f64), AgentError> {
        let (mut loss, mut q_sum) = (0.0, 0.0);
        for _ in 0..self.config.gradient_steps {
            let batch = self.draw()?;
            for_each_slice(slices, |slice, work| self.backward(&batch, slice, work))?;
            loss += slices.iter().map(|work| work.loss).sum::<f64>();
            q_sum += slices.iter().map(|work| work.q_sum).sum::<f64>();
            if !loss.is_finite() {
                return Err(AgentError::NotFinite { what: "TD loss", value: loss, update: self.updates });
            }
            let Some((first, others)) = slices.split_first_mut() else { continue };
            let gradients: Vec<&[f32]> = others.iter().map(|work| work.grads.as_slice()).collect();
            let (clip, lr) = (self.config.max_grad_norm, self.config.learning_rate);
            descend(&mut self.params, &mut self.optimizer, &mut first.grads, &gradients, clip, lr)?;
            self.updates += 1;
        }
        Ok((loss, q_sum))
    }
}

/// The output function of SplitMix64 (Steele, Lea and Flood 2014).
fn mixed(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Algorithm for BootstrappedDqn {
    type Config = BootstrappedDqnConfig;

    /// bsuite's, for each member.
    fn default_network() -> ModelConfig {
        ModelConfig { encoder: EncoderConfig::mlp(&[50, 50], Activation::Relu), ..ModelConfig::default() }
    }

    fn new(config: BootstrappedDqnConfig, network: &ModelConfig, info: &RunInfo) -> Result<Self, AgentError> {
        config.validate(info)?;
        let (ensemble, builder) = Ensemble::layout(&config, network, &info.spaces)?;
        let prior = builder.clone().build(stream(info.seed, 2));
        let params = builder.build(stream(info.seed, 0));
        Ok(Self {
            num_actions: ensemble.members[0].outputs(),
            target: ensemble.pack(&params)?,
            target_params: params.clone(),
            prior: Arc::new(Prior::of(&ensemble, prior, config.prior_scale as f32)?),
            optimizer: Optimizer::new(config.optimizer, params.len())?,
            rng: Pcg64::seed_from(stream(info.seed, 1)),
            mask_seed: stream(info.seed, 3),
            replay: ReplayBuffer::new(config.buffer_size, ReplayShape::of(info)),
            updates: 0,
            num_steps: config.train_frequency / info.num_envs,
            slices: (0..config.gradient_slices).map(|_| SliceWork::default()).collect(),
            ensemble: Arc::new(ensemble),
            params,
            config,
        })
    }

    fn policy_from(
        config: &BootstrappedDqnConfig,
        network: &ModelConfig,
        info: &PolicyInfo,
        weights: &Weights,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        let (ensemble, builder) = Ensemble::layout(config, network, &info.spaces)?;
        let (mut params, mut prior) = (builder.clone().build(0), builder.build(0));
        weights.fill_all(&mut [("", &mut params), (PRIOR, &mut prior)], &[TARGET])?;
        let prior = Prior::of(&ensemble, prior, config.prior_scale as f32)?;
        EnsemblePolicy::of(&Arc::new(ensemble), &params, &Arc::new(prior))
    }
}

impl Learner for BootstrappedDqn {
    fn num_steps(&self) -> usize {
        self.num_steps
    }

    fn metric_names(&self) -> &'static [&'static str] {
        &["charts/learning_rate", "losses/td_loss", "losses/q_values"]
    }

    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        EnsemblePolicy::of(&self.ensemble, &self.params, &self.prior)
    }

    fn learn(&mut self, fragments: &[Fragment], env_steps: u64) -> Result<LearnReport, AgentError> {
        self.replay.extend(fragments, |_, _| {});
        let steps: usize = fragments.iter().map(Fragment::env_steps).sum();
        let frequency = self.config.target_network_frequency;
        if env_steps / frequency > (env_steps - steps as u64) / frequency {
            self.target_params = self.params.clone();
            self.target = self.ensemble.pack(&self.target_params)?;
        }
        let (mut loss, mut q_sum) = (f64::NAN, f64::NAN);
        if env_steps > self.config.learning_starts && !self.replay.is_empty() {
            let mut slices = std::mem::take(&mut self.slices);
            let outcome = awake(slices.len() - 1, || self.train(&mut slices));
            self.slices = slices;
            (loss, q_sum) = outcome?;
        }
        let rows = (self.config.gradient_steps * self.config.batch_size * self.config.ensemble) as f64;
        let metrics = vec![self.config.learning_rate, loss / rows, q_sum / rows];
        Ok(LearnReport { updates: self.updates, metrics })
    }

    fn weights(&self) -> Weights {
        let mut weights = Weights::new();
        weights.add("", &self.params);
        weights.add(TARGET, &self.target_params);
        weights.add(PRIOR, &self.prior.params);
        weights
    }

    fn load_weights(&mut self, weights: &Weights) -> Result<(), AgentError> {
        let mut prior = self.prior.params.clone();
        let (online, target) = (&mut self.params, &mut self.target_params);
        weights.fill_all(&mut [("", online), (TARGET, target), (PRIOR, &mut prior)], &[])?;
        self.target = self.ensemble.pack(&self.target_params)?;
        self.prior = Arc::new(Prior::of(&self.ensemble, prior, self.prior.scale)?);
        Ok(())
    }

    fn summary(&self) -> Option<Summary> {
        Some(self.ensemble.summary.clone())
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
            params: self.params.as_slice().to_vec(),
            target_params: self.target_params.as_slice().to_vec(),
            prior: self.prior.params.as_slice().to_vec(),
            optimizer: self.optimizer.state(),
            rng: self.rng.clone(),
            mask_seed: self.mask_seed,
            replay: self.replay.save(chunks)?,
            updates: self.updates,
        })
    }

    fn restore_with(&mut self, saved: &[u8], chunks: &dyn ChunkStore) -> Result<(), AgentError> {
        let saved: Saved = decode(saved)?;
        // Everything is checked before anything is taken on.
        let params = restored_params(&self.params, &saved.params)?;
        let target_params = restored_params(&self.params, &saved.target_params)?;
        let prior = restored_params(&self.prior.params, &saved.prior)?;
        let optimizer = restored_optimizer(&self.optimizer, saved.optimizer, &params)?;
        let replay = self.replay.restored(saved.replay, chunks)?;
        self.target = self.ensemble.pack(&target_params)?;
        self.prior = Arc::new(Prior::of(&self.ensemble, prior, self.prior.scale)?);
        (self.params, self.target_params, self.optimizer) = (params, target_params, optimizer);
        (self.rng, self.mask_seed, self.replay) = (saved.rng, saved.mask_seed, replay);
        self.updates = saved.updates;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
