//! DQN: deep Q-learning with a replay buffer and a target network.
//!
//! Each iteration adds its fragments to the replay buffer and then takes `gradient_steps` updates.
//!
//! # Source
//! Mnih et al. (2015); van Hasselt et al. (2016) for `double`; CleanRL 1.0 `dqn.py` for names and metrics,
//! Stable-Baselines3 2.x `dqn.py` for `gradient_steps` and gradient clipping.
//!
//! # Deviations
//! 1. The target network is updated before a round of gradient updates, not after it (as in Stable-Baselines3, where it
//!    happens while acting). With a `target_network_frequency` below `train_frequency` that is once a round.
//! 2. Truncated transitions bootstrap from their final observation.
//! 3. A minibatch's gradient is summed over `gradient_slices` slices in a fixed order.

use std::sync::Arc;

use agon_envs::Pcg64;
use agon_nn::losses::huber;
use agon_nn::{
    Activation, EncoderConfig, Head, HeadSpec, Init, LayoutBuilder, Model, ModelConfig, Optimizer,
    OptimizerConfig, OptimizerState, Packed, Params, Scratch, Sequential, Summary, Tape,
};
use serde::{Deserialize, Serialize};

use crate::chunks::{ChunkStore, restore_whole, save_whole};
use crate::error::{ensure, positive};
use crate::learner::{
    LearnReport, Learner, RunInfo, decode, encode, restored_optimizer, restored_params, single_discrete,
    stream,
};
use crate::network;
use crate::policy::{ActInput, ActMode, ActOutput, Actor, Policy};
use crate::replay::{ReplayBuffer, ReplayShape, SavedReplay};
use crate::schedule::LinearSchedule;
use crate::slices::{awake, descend, for_each_slice, slice_range};
use crate::{AgentError, Fragment};

/// DQN's settings. The defaults are CleanRL's for classic control.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DqnConfig {
    /// Transitions that the replay buffer holds; at least `batch_size`.
    pub buffer_size: usize,
    /// Environment steps before the first update.
    pub learning_starts: u64,
    /// Environment steps between rounds of updates; a multiple of `num_envs`.
    pub train_frequency: usize,
    /// Updates in a round; at least 1.
    pub gradient_steps: usize,
    /// Transitions of a minibatch; at least 1.
    pub batch_size: usize,
    /// Adam's step size; above 0.
    pub learning_rate: f64,
    /// Discount factor, 0 to 1.
    pub gamma: f64,
    /// Environment steps between updates of the target network; at least 1.
    pub target_network_frequency: u64,
    /// How far the target network moves to the online network: 1 is a copy; above 0, at most 1.
    pub tau: f64,
    /// Whether the online network chooses the action that the target network values.
    pub double: bool,
    /// Where the Huber loss turns from squared to linear; above 0.
    pub huber_delta: f64,
    /// Largest norm of a gradient; above 0.
    pub max_grad_norm: f64,
    /// Probability of a random action at first.
    pub start_e: f64,
    /// Probability of a random action in the end.
    pub end_e: f64,
    /// Share of the run over which it falls linearly, 0 to 1.
    pub exploration_fraction: f64,
    /// Slices that a minibatch's gradient is summed over: as many threads can work on it. Part of the result.
    pub gradient_slices: usize,
    /// The shape of the Q network.
    pub network: ModelConfig,
}

impl Default for DqnConfig {
    fn default() -> Self {
        Self {
            buffer_size: 10_000,
            learning_starts: 10_000,
            train_frequency: 10,
            gradient_steps: 1,
            batch_size: 128,
            learning_rate: 2.5e-4,
            gamma: 0.99,
            target_network_frequency: 500,
            tau: 1.0,
            double: false,
            huber_delta: 1.0,
            max_grad_norm: 10.0,
            start_e: 1.0,
            end_e: 0.05,
            exploration_fraction: 0.5,
            gradient_slices: 2,
            network: ModelConfig {
                encoder: EncoderConfig::mlp(&[120, 84], Activation::Relu),
                ..ModelConfig::default()
            },
        }
    }
}

impl DqnConfig {
    /// Checks every setting's range.
    ///
    /// # Errors
    /// [`AgentError::Setting`] naming the setting, what is allowed and what was found.
    pub fn validate(&self, num_envs: usize) -> Result<(), AgentError> {
        ensure(self.batch_size > 0, "batch_size", "at least 1", self.batch_size)?;
        ensure(self.buffer_size >= self.batch_size, "buffer_size", "at least batch_size", self.buffer_size)?;
        ensure(self.buffer_size >= num_envs, "buffer_size", "at least num_envs", self.buffer_size)?;
        ensure(u32::try_from(self.buffer_size).is_ok(), "buffer_size", "below 2^32", self.buffer_size)?;
        ensure(self.gradient_steps > 0, "gradient_steps", "at least 1", self.gradient_steps)?;
        ensure(positive(self.learning_rate), "learning_rate", "above 0", self.learning_rate)?;
        ensure((0.0..=1.0).contains(&self.gamma), "gamma", "between 0 and 1", self.gamma)?;
        ensure(
            self.target_network_frequency > 0,
            "target_network_frequency",
            "at least 1",
            self.target_network_frequency,
        )?;
        ensure(self.tau > 0.0 && self.tau <= 1.0, "tau", "above 0 and at most 1", self.tau)?;
        ensure(positive(self.huber_delta), "huber_delta", "above 0", self.huber_delta)?;
        ensure(positive(self.max_grad_norm), "max_grad_norm", "above 0", self.max_grad_norm)?;
        ensure((0.0..=1.0).contains(&self.start_e), "start_e", "between 0 and 1", self.start_e)?;
        ensure((0.0..=1.0).contains(&self.end_e), "end_e", "between 0 and 1", self.end_e)?;
        ensure(
            (0.0..=1.0).contains(&self.exploration_fraction),
            "exploration_fraction",
            "between 0 and 1",
            self.exploration_fraction,
        )?;
        ensure(
            (1..=64).contains(&self.gradient_slices),
            "gradient_slices",
            "between 1 and 64",
            self.gradient_slices,
        )?;
        if self.train_frequency == 0 || !self.train_frequency.is_multiple_of(num_envs) {
            return Err(AgentError::setting(
                "train_frequency",
                format!("a multiple of num_envs = {num_envs}"),
                self.train_frequency,
            ));
        }
        network::check_feed_forward("dqn", &self.network)
    }
}

/// A snapshot of the Q network, with its exploration.
struct DqnPolicy {
    network: Sequential,
    packed: Packed,
    num_actions: usize,
    epsilon: LinearSchedule,
}

impl Policy for DqnPolicy {
    fn act(&self, input: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        let Actor { rng, scratch, outputs, .. } = actor;
        let epsilon = match input.mode {
            ActMode::Explore => self.epsilon.at(input.env_steps),
            ActMode::Deterministic => 0.0,
        };
        // Which rows explore is drawn first: if all do, the network need not run.
        let actions = output.actions.indices_mut();
        let mut greedy = false;
        for action in actions.iter_mut() {
            *action = EXPLOIT;
            if epsilon > 0.0 && rng.random() < epsilon {
                *action = rng.bounded(self.num_actions as u64 - 1) as u32;
            }
            greedy |= *action == EXPLOIT;
        }
        if !greedy {
            return Ok(());
        }
        outputs.resize(input.num_envs * self.num_actions, 0.0);
        let observations = network::rows(input.observations);
        self.network.infer(&self.packed, observations, input.num_envs, scratch, outputs)?;
        for (action, q_values) in actions.iter_mut().zip(outputs.chunks_exact(self.num_actions)) {
            if *action == EXPLOIT {
                *action = best(q_values) as u32;
            }
        }
        Ok(())
    }
}

/// Marks a row whose action the network chooses.
const EXPLOIT: u32 = u32::MAX;

/// The action of the highest value; the first of equals.
fn best(q_values: &[f32]) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (action, &value) in q_values.iter().enumerate() {
        if value > best.1 {
            best = (action, value);
        }
    }
    best.0
}

/// Working memory of one gradient slice.
#[derive(Debug, Default)]
struct SliceWork {
    scratch: Scratch,
    next_values: Vec<f32>,
    online_next_values: Vec<f32>,
    q_grads: Vec<f32>,
    grads: Vec<f32>,
    loss: f64,
    q_sum: f64,
}

/// The learner.
pub struct Dqn {
    config: DqnConfig,
    network: Sequential,
    summary: Summary,
    num_actions: usize,
    params: Params,
    /// The online network as of this update, if it chooses the target's action.
    online: Option<Packed>,
    target: Packed,
    target_params: Params,
    optimizer: Optimizer,
    rng: Pcg64,
    replay: ReplayBuffer,
    updates: u64,
    epsilon: LinearSchedule,
    num_steps: usize,
    slices: Vec<SliceWork>,
    slots: Vec<u32>,
}

/// What is saved of a learner.
#[derive(Serialize, Deserialize)]
struct Saved {
    params: Vec<f32>,
    target_params: Vec<f32>,
    optimizer: OptimizerState,
    rng: Pcg64,
    replay: SavedReplay,
    updates: u64,
}

impl Dqn {
    /// Builds the learner with networks initialised from the run's seed.
    ///
    /// # Errors
    /// If a setting is out of range, the action space is not one `Discrete`, or the environment masks actions.
    pub fn new(config: DqnConfig, info: &RunInfo) -> Result<Self, AgentError> {
        config.validate(info.num_envs)?;
        let num_actions = single_discrete("dqn", &info.action_spec)?;
        let observation = network::observation("dqn", &info.observation_space)?;
        if info.mask_len > 0 {
            let (expected, found) =
                ("an environment without action masks", format!("{} masks", info.mask_len));
            return Err(AgentError::Unsupported { algorithm: "dqn", expected, found });
        }
        let mut builder = LayoutBuilder::new();
        // PyTorch's default for linear layers, which CleanRL and Stable-Baselines3 keep.
        let init = Init::PYTORCH_LINEAR;
        let head = HeadSpec { name: "q".to_owned(), head: Head::Q { actions: num_actions }, init };
        let model = Model::new(&mut builder, "", &observation, &config.network, &[head], init)?;
        let network = model.chain(0)?;
        let params = builder.build(stream(info.seed, 0));
        Ok(Self {
            num_actions,
            online: None,
            target: Packed::new(&network, &params)?,
            target_params: params.clone(),
            optimizer: Optimizer::new(OptimizerConfig::default(), params.len())?,
            rng: Pcg64::seed_from(stream(info.seed, 1)),
            replay: ReplayBuffer::new(config.buffer_size, ReplayShape::of(info)),
            summary: model.summary().clone(),
            updates: 0,
            epsilon: LinearSchedule {
                start: config.start_e,
                end: config.end_e,
                duration: config.exploration_fraction * info.total_timesteps as f64,
            },
            num_steps: config.train_frequency / info.num_envs,
            slices: (0..config.gradient_slices).map(|_| SliceWork::default()).collect(),
            slots: Vec::new(),
            network,
            params,
            config,
        })
    }

    /// Samples the next minibatch.
    fn begin_update(&mut self) -> Result<(), AgentError> {
        self.slots.clear();
        self.replay.sample(self.config.batch_size, &mut self.rng, &mut self.slots);
        if self.config.double {
            self.online = Some(Packed::new(&self.network, &self.params)?);
        }
        Ok(())
    }

    /// Sums the slices' gradients and takes the step; gives the sums of loss and Q values.
    fn finish_update(&mut self, slices: &mut [SliceWork]) -> Result<(f64, f64), AgentError> {
        let Some((first, others)) = slices.split_first_mut() else { return Ok((0.0, 0.0)) };
        let loss = others.iter().fold(first.loss, |sum, work| sum + work.loss);
        let q_sum = others.iter().fold(first.q_sum, |sum, work| sum + work.q_sum);
        if !loss.is_finite() {
            return Err(AgentError::NotFinite { what: "TD loss", value: loss, update: self.updates });
        }
        let gradients: Vec<&[f32]> = others.iter().map(|work| work.grads.as_slice()).collect();
        let max_grad_norm = self.config.max_grad_norm;
        descend(
            &mut self.params,
            &mut self.optimizer,
            &mut first.grads,
            &gradients,
            max_grad_norm,
            self.config.learning_rate,
        )?;
        self.updates += 1;
        Ok((loss, q_sum))
    }

    /// A round of updates; gives the sums of loss and Q values.
    fn train(&mut self, slices: &mut [SliceWork]) -> Result<(f64, f64), AgentError> {
        let (mut loss, mut q_sum) = (0.0, 0.0);
        for _ in 0..self.config.gradient_steps {
            self.begin_update()?;
            for_each_slice(slices, |slice, work| self.backward(slice, work))?;
            let sums = self.finish_update(slices)?;
            loss += sums.0;
            q_sum += sums.1;
        }
        Ok((loss, q_sum))
    }

    /// Moves the target network to the online one if a multiple of `target_network_frequency` was passed.
    fn update_target(&mut self, steps_before: u64, env_steps: u64) -> Result<(), AgentError> {
        let frequency = self.config.target_network_frequency;
        if env_steps / frequency > steps_before / frequency {
            self.target_params.lerp_from(&self.params, self.config.tau as f32)?;
            self.target = Packed::new(&self.network, &self.target_params)?;
        }
        Ok(())
    }

    /// Huber loss of `Q(s, a) − (r + γ (1 − terminated) max_a' Q_target(s', a'))`, and its gradient.
    fn backward(&self, slice: usize, work: &mut SliceWork) -> Result<(), AgentError> {
        let slots = &self.slots[slice_range(self.slots.len(), self.config.gradient_slices, slice)];
        let (rows, actions) = (slots.len(), self.num_actions);
        work.grads.resize(self.params.len(), 0.0);
        (work.loss, work.q_sum) = (0.0, 0.0);
        if rows == 0 {
            work.grads.fill(0.0);
            return Ok(());
        }
        let next_observations = self.replay.next_observations(slots)?;
        work.next_values.resize(rows * actions, 0.0);
        let SliceWork { scratch, next_values, online_next_values, .. } = work;
        self.network.infer(&self.target, &next_observations, rows, scratch, next_values)?;
        if let Some(online) = &self.online {
            online_next_values.resize(rows * actions, 0.0);
            self.network.infer(online, &next_observations, rows, scratch, online_next_values)?;
        }
        let x = self.replay.observations(slots)?;
        let mut tape = Tape::new();
        let q_values = self.network.forward_input(&self.params, &x, &mut tape)?;

        work.q_grads.clear();
        work.q_grads.resize(rows * actions, 0.0);
        let scale = 1.0 / self.config.batch_size as f32;
        for (row, &slot) in slots.iter().enumerate() {
            let range = row * actions..(row + 1) * actions;
            let next_values = &work.next_values[range.clone()];
            let chooser = if self.online.is_some() { &work.online_next_values[range] } else { next_values };
            let next_value = if self.replay.terminated(slot) { 0.0 } else { next_values[best(chooser)] };
            let target = self.replay.reward(slot) + self.config.gamma as f32 * next_value;
            let chosen = row * actions + self.replay.action(slot).index();
            let q_value = q_values.as_slice()[chosen];
            let (loss, grad) = huber(q_value - target, self.config.huber_delta as f32);
            work.q_grads[chosen] = scale * grad;
            work.loss += f64::from(loss);
            work.q_sum += f64::from(q_value);
        }
        tape.backward(&self.params, &[(&q_values, work.q_grads.as_slice())], &mut work.grads)?;
        Ok(())
    }
}

impl Learner for Dqn {
    fn num_steps(&self) -> usize {
        self.num_steps
    }

    fn metric_names(&self) -> &'static [&'static str] {
        &["charts/learning_rate", "charts/epsilon", "losses/td_loss", "losses/q_values"]
    }

    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        Ok(Arc::new(DqnPolicy {
            network: self.network.clone(),
            packed: Packed::new(&self.network, &self.params)?,
            num_actions: self.num_actions,
            epsilon: self.epsilon,
        }))
    }

    fn learn(&mut self, fragments: &[Fragment], env_steps: u64) -> Result<LearnReport, AgentError> {
        self.replay.extend(fragments, |_, _| {});
        let (mut loss, mut q_sum) = (f64::NAN, f64::NAN);
        let steps: usize = fragments.iter().map(Fragment::rows).sum();
        self.update_target(env_steps - steps as u64, env_steps)?;
        if env_steps > self.config.learning_starts {
            // Taken out, so that slices can be written while they all read the rest of the learner.
            let mut slices = std::mem::take(&mut self.slices);
            let outcome = awake(slices.len() - 1, || self.train(&mut slices));
            self.slices = slices;
            (loss, q_sum) = outcome?;
        }
        let rows = (self.config.gradient_steps * self.config.batch_size) as f64;
        let epsilon = self.epsilon.at(env_steps);
        Ok(LearnReport {
            updates: self.updates,
            metrics: vec![self.config.learning_rate, epsilon, loss / rows, q_sum / rows],
        })
    }

    fn params(&self) -> Option<&Params> {
        Some(&self.params)
    }

    fn summary(&self) -> Option<Summary> {
        Some(self.summary.clone())
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
            optimizer: self.optimizer.state(),
            rng: self.rng.clone(),
            replay: self.replay.save(chunks)?,
            updates: self.updates,
        })
    }

    fn restore_with(&mut self, saved: &[u8], chunks: &dyn ChunkStore) -> Result<(), AgentError> {
        let saved: Saved = decode(saved)?;
        // Everything is checked before anything is taken on.
        let params = restored_params(&self.params, &saved.params)?;
        let target_params = restored_params(&self.params, &saved.target_params)?;
        let optimizer = restored_optimizer(&self.optimizer, saved.optimizer, &params)?;
        let replay = self.replay.restored(saved.replay, chunks)?;
        self.target = Packed::new(&self.network, &target_params)?;
        (self.params, self.target_params, self.optimizer) = (params, target_params, optimizer);
        self.rng = saved.rng;
        self.replay = replay;
        self.updates = saved.updates;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
