//! R2D2: recurrent Q-learning from replayed sequences.
//!
//! Sequences begin where a fragment began, with the state that the acting network had there. The first `burn_in` steps
//! only bring that state up to date; the others are learned from, with double Q-learning, n steps and values under
//! `h(x) = sign(x) (√(|x| + 1) − 1) + ε x`.
//!
//! ```text
//! y_t = h(Σ_{k<m} γ^k r_{t+k} + γ^m h⁻¹(Q_target(s_{t+m}, argmax_a Q(s_{t+m}, a))))
//! ```
//!
//! # Source
//! Kapturowski et al. (2019), "Recurrent Experience Replay in Distributed Reinforcement Learning", section 2.3 and table 2.
//!
//! # Deviations
//! 1. Acting is ε-greedy with one ε that falls over the run, not a ladder of them over actors.
//! 2. Sequences may cross the end of an episode, where the state is set to zeros, instead of being cut there.
//! 3. An n-step return that would reach beyond its sequence bootstraps at the sequence's end.
//! 4. Truncated transitions bootstrap from their final observation.
//! 5. Importance weights have a constant β where the settings say so; the paper's is 0.6.

mod loss;

use std::sync::Arc;

use agon_envs::Pcg64;
use agon_nn::{
    Activation, AdamConfig, EncoderConfig, Head, HeadSpec, Init, LayoutBuilder, MemoryConfig, MemoryState,
    Model, ModelConfig, Optimizer, OptimizerConfig, OptimizerState, PackedModel, Params, Summary,
};
use serde::{Deserialize, Serialize};

use crate::algorithms::Algorithm;
use crate::chunks::{ChunkStore, restore_whole, save_whole};
use crate::dqn::q_network::best;
use crate::dqn::{Sampling, TARGET};
use crate::error::{ensure, positive};
use crate::learner::{
    LearnReport, Learner, PolicyInfo, RunInfo, Spaces, decode, encode, restored_optimizer, restored_params,
    single_discrete, stream,
};
use crate::network;
use crate::policy::{ActInput, ActMode, ActOutput, Actor, Policy};
use crate::replay::{Priorities, PrioritizedConfig, ReplayBuffer, ReplayShape, SavedPriorities, SavedReplay};
use crate::schedule::LinearSchedule;
use crate::slices::{awake, descend, for_each_slice, slice_range};
use crate::{AgentError, Fragment, Weights};
use loss::{SliceWork, Update};

/// R2D2's settings. The defaults are the paper's in kind, and small enough for one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct R2d2Config {
    /// Steps that the replay buffer holds.
    pub buffer_size: usize,
    /// Environment steps before the first update.
    pub learning_starts: u64,
    /// Ticks of a fragment, and from the beginning of a sequence to that of the next; at least 1.
    pub num_steps: usize,
    /// Steps of a sequence that only bring the state up to date. With `learn_steps` a multiple of `num_steps`.
    pub burn_in: usize,
    /// Steps of a sequence that are learned from; at least 1.
    pub learn_steps: usize,
    /// Updates in a round, after each fragment; at least 1.
    pub gradient_steps: usize,
    /// Sequences of a minibatch; at least 1.
    pub batch_size: usize,
    /// Step size; above 0.
    pub learning_rate: f64,
    /// Discount factor, 0 to 1.
    pub gamma: f64,
    /// Rewards that are summed before the target network is asked; at least 1.
    pub n_step: usize,
    /// Updates between copies to the target network; at least 1.
    pub target_update_period: u64,
    /// Whether the online network chooses the action that the target network values.
    pub double: bool,
    /// Whether the head has a stream for the state's value and one for advantages.
    pub dueling: bool,
    /// ε of the values' scale `h`; none to learn them as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rescale: Option<f64>,
    /// How sequences are drawn.
    pub replay: Sampling,
    /// Share of the largest error of a sequence in its priority, 0 to 1; the mean has the rest.
    pub priority_eta: f64,
    /// Largest norm of a gradient; above 0.
    pub max_grad_norm: f64,
    /// Probability of a random action at first.
    pub start_e: f64,
    /// Probability of a random action in the end.
    pub end_e: f64,
    /// Share of the run over which it falls linearly, 0 to 1.
    pub exploration_fraction: f64,
    /// The optimizer. Its step size is `learning_rate`.
    pub optimizer: OptimizerConfig,
    /// Slices that a minibatch's gradient is summed over: as many threads can work on it. Part of the result.
    pub gradient_slices: usize,
}

impl Default for R2d2Config {
    fn default() -> Self {
        let prioritized =
            PrioritizedConfig { alpha: 0.9, beta_start: 0.6, beta_end: 0.6, ..PrioritizedConfig::default() };
        Self {
            buffer_size: 100_000,
            learning_starts: 1000,
            num_steps: 20,
            burn_in: 20,
            learn_steps: 40,
            gradient_steps: 1,
            batch_size: 64,
            learning_rate: 1e-4,
            gamma: 0.997,
            n_step: 5,
            target_update_period: 2500,
            double: true,
            dueling: true,
            rescale: Some(1e-3),
            replay: Sampling::Prioritized(prioritized),
            priority_eta: 0.9,
            max_grad_norm: 40.0,
            start_e: 1.0,
            end_e: 0.05,
            exploration_fraction: 0.2,
            optimizer: OptimizerConfig::Adam(AdamConfig { eps: 1e-3, ..AdamConfig::default() }),
            gradient_slices: 2,
        }
    }
}

impl R2d2Config {
    /// Steps of a sequence.
    pub fn sequence_length(&self) -> usize {
        self.burn_in + self.learn_steps
    }

    /// Checks every setting's range.
    ///
    /// # Errors
    /// [`AgentError::Setting`] naming the setting, what is allowed and what was found.
    pub fn validate(&self, info: &RunInfo) -> Result<(), AgentError> {
        for (field, value) in [
            ("num_steps", self.num_steps as u64),
            ("learn_steps", self.learn_steps as u64),
            ("gradient_steps", self.gradient_steps as u64),
            ("batch_size", self.batch_size as u64),
            ("n_step", self.n_step as u64),
            ("target_update_period", self.target_update_period),
        ] {
            ensure(value > 0, field, "at least 1", value)?;
        }
        let length = self.sequence_length();
        if !length.is_multiple_of(self.num_steps) {
            let expected = format!("a multiple of num_steps = {}", self.num_steps);
            return Err(AgentError::setting("burn_in + learn_steps", expected, length));
        }
        let least = 2 * length * info.num_rows();
        if self.buffer_size < least {
            let expected = format!("at least 2 sequences of each agent of each environment = {least}");
            return Err(AgentError::setting("buffer_size", expected, self.buffer_size));
        }
        ensure(u32::try_from(self.buffer_size).is_ok(), "buffer_size", "below 2^32", self.buffer_size)?;
        for (field, value) in [
            ("learning_rate", self.learning_rate),
            ("max_grad_norm", self.max_grad_norm),
            ("rescale", self.rescale.unwrap_or(1.0)),
        ] {
            ensure(positive(value), field, "above 0", value)?;
        }
        for (field, value) in [
            ("gamma", self.gamma),
            ("priority_eta", self.priority_eta),
            ("start_e", self.start_e),
            ("end_e", self.end_e),
            ("exploration_fraction", self.exploration_fraction),
        ] {
            ensure((0.0..=1.0).contains(&value), field, "between 0 and 1", value)?;
        }
        let slices = self.gradient_slices;
        ensure((1..=64).contains(&slices), "gradient_slices", "between 1 and 64", slices)?;
        self.optimizer.validate()?;
        if let Sampling::Prioritized(prioritized) = &self.replay {
            prioritized.validate()?;
        }
        Ok(())
    }
}

/// A snapshot of the recurrent Q network, with its exploration.
struct RecurrentPolicy {
    model: Arc<Model>,
    packed: PackedModel,
    num_actions: usize,
    epsilon: LinearSchedule,
}

impl RecurrentPolicy {
    /// A snapshot of a network with these parameters.
    fn of(
        model: &Arc<Model>,
        params: &Params,
        epsilon: LinearSchedule,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        let (packed, num_actions) = (PackedModel::new(model, params)?, model.outputs(0));
        Ok(Arc::new(Self { model: Arc::clone(model), packed, num_actions, epsilon }))
    }
}

impl Policy for RecurrentPolicy {
    fn state_len(&self) -> usize {
        self.model.state_len()
    }

    fn act(&self, input: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        let Actor { rng, state, model_scratch, outputs, .. } = actor;
        let epsilon = match input.mode {
            ActMode::Explore => self.epsilon.at(input.env_steps),
            ActMode::Deterministic => 0.0,
        };
        outputs.resize(input.num_rows * self.num_actions, 0.0);
        let mut memory = MemoryState { state, resets: input.resets };
        let x = network::rows(input.observations);
        // Even where all actions are random: the state must move on.
        self.model.infer(&self.packed, x, input.num_rows, &mut memory, model_scratch, &mut [outputs])?;
        for (row, action) in output.actions.indices_mut().iter_mut().enumerate() {
            let range = row * self.num_actions..(row + 1) * self.num_actions;
            let mask = input.action_masks.get(range.clone());
            *action = if epsilon > 0.0 && rng.random() < epsilon {
                network::random_action(self.num_actions, mask, rng)
            } else {
                best(&outputs[range], mask) as u32
            };
        }
        Ok(())
    }
}

/// The learner.
pub struct R2d2 {
    config: R2d2Config,
    model: Arc<Model>,
    summary: Summary,
    num_actions: usize,
    params: Params,
    target_params: Params,
    target: PackedModel,
    optimizer: Optimizer,
    rng: Pcg64,
    replay: ReplayBuffer,
    priorities: Option<Priorities>,
    updates: u64,
    epsilon: LinearSchedule,
    beta: LinearSchedule,
    slots: Vec<u32>,
    weights: Vec<f32>,
    slices: Vec<SliceWork>,
}

/// What is saved of a learner.
#[derive(Serialize, Deserialize)]
struct Saved {
    params: Vec<f32>,
    target_params: Vec<f32>,
    optimizer: OptimizerState,
    rng: Pcg64,
    replay: SavedReplay,
    priorities: Option<SavedPriorities>,
    updates: u64,
}

impl R2d2 {
    /// The Q network, and its parameters to be.
    fn layout(
        config: &R2d2Config,
        network: &ModelConfig,
        spaces: &Spaces,
    ) -> Result<(Model, LayoutBuilder), AgentError> {
        if network.memory == MemoryConfig::None {
            let (algorithm, expected) = ("r2d2", "a network with a memory");
            return Err(AgentError::Unsupported { algorithm, expected, found: "none".to_owned() });
        }
        network::check_not_noisy("r2d2", network)?;
        let actions = single_discrete("r2d2", &spaces.action)?;
        let observation = network::observation("r2d2", &spaces.observation)?;
        let mut builder = LayoutBuilder::new();
        let head = if config.dueling { Head::Dueling { actions } } else { Head::Q { actions } };
        let init = Init::PYTORCH_LINEAR;
        let head = HeadSpec { name: "q".to_owned(), head, init };
        let model = Model::new(&mut builder, "", &observation, network, &[head], init)?;
        Ok((model, builder))
    }

    fn epsilon(config: &R2d2Config, total_timesteps: u64) -> LinearSchedule {
        let duration = config.exploration_fraction * total_timesteps as f64;
        LinearSchedule { start: config.start_e, end: config.end_e, duration }
    }

    /// Adds fragments, and the sequences that became whole with them.
    fn remember(&mut self, fragments: &[Fragment]) {
        let length = self.config.sequence_length();
        for fragment in fragments {
            let priorities = &mut self.priorities;
            self.replay.extend(std::slice::from_ref(fragment), |slot, _| {
                if let Some(priorities) = priorities {
                    priorities.added(slot, false);
                }
            });
            if let Some(priorities) = &mut self.priorities {
                let whole = self.replay.newest_sequences(fragment.shard, length);
                whole.for_each(|slot| priorities.added(slot, true));
            }
        }
    }

    /// Draws the sequences of the next minibatch.
    fn draw(&mut self, env_steps: u64) {
        self.slots.clear();
        self.weights.clear();
        let (length, count) = (self.config.sequence_length(), self.config.batch_size);
        match &self.priorities {
            None => self.replay.sample_sequences(length, count, &mut self.rng, &mut self.slots),
            Some(priorities) => {
                let (held, beta) = (self.replay.sequences(length), self.beta.at(env_steps));
                let (slots, weights) = (&mut self.slots, &mut self.weights);
                priorities.sample(count, held, beta, &mut self.rng, slots, weights);
            }
        }
    }

    /// One gradient step; gives the sums of losses and values, and how many steps they are over.
    fn update(&mut self, slices: &mut [SliceWork], env_steps: u64) -> Result<(f64, f64, usize), AgentError> {
        self.draw(env_steps);
        let online = PackedModel::new(&self.model, &self.params)?;
        let update = Update {
            config: &self.config,
            model: &self.model,
            num_actions: self.num_actions,
            params: &self.params,
            online: &online,
            target: &self.target,
            replay: &self.replay,
            updates: self.updates,
        };
        let (count, rows) = (slices.len(), self.slots.len());
        for_each_slice(slices, |slice, work| {
            let range = slice_range(rows, count, slice);
            let weights = self.weights.get(range.clone()).unwrap_or(&[]);
            update.backward(&self.slots[range], weights, work)
        })?;
        let sums = slices.iter().fold((0.0, 0.0, 0), |(loss, q, learned), work| {
            (loss + work.loss, q + work.q_sum, learned + work.learned)
        });
        if !f64::is_finite(sums.0) {
            return Err(AgentError::NotFinite { what: "TD loss", value: sums.0, update: self.updates });
        }
        if let Some(priorities) = &mut self.priorities {
            for (slice, work) in slices.iter().enumerate() {
                priorities.update(&self.slots[slice_range(rows, count, slice)], &work.priorities);
            }
        }
        let Some((first, others)) = slices.split_first_mut() else { return Ok(sums) };
        let gradients: Vec<&[f32]> = others.iter().map(|work| work.grads.as_slice()).collect();
        let (clip, lr) = (self.config.max_grad_norm, self.config.learning_rate);
        descend(&mut self.params, &mut self.optimizer, &mut first.grads, &gradients, clip, lr)?;
        self.updates += 1;
        if self.updates.is_multiple_of(self.config.target_update_period) {
            self.target_params = self.params.clone();
            self.target = PackedModel::new(&self.model, &self.target_params)?;
        }
        Ok(sums)
    }

    /// A round of updates; gives the means of losses and values.
    fn train(&mut self, slices: &mut [SliceWork], env_steps: u64) -> Result<(f64, f64), AgentError> {
        let (mut loss, mut q_sum, mut learned) = (0.0, 0.0, 0);
        for _ in 0..self.config.gradient_steps {
            let sums = self.update(slices, env_steps)?;
            (loss, q_sum, learned) = (loss + sums.0, q_sum + sums.1, learned + sums.2);
        }
        Ok((loss / learned as f64, q_sum / learned as f64))
    }
}

impl Algorithm for R2d2 {
    type Config = R2d2Config;

    /// It needs a memory.
    fn default_network() -> ModelConfig {
        ModelConfig {
            encoder: EncoderConfig::mlp(&[64], Activation::Relu),
            memory: MemoryConfig::Lstm { hidden: 64, init: agon_nn::RecurrentInit::default() },
            ..ModelConfig::default()
        }
    }

    fn new(config: R2d2Config, network: &ModelConfig, info: &RunInfo) -> Result<Self, AgentError> {
        config.validate(info)?;
        let (model, builder) = Self::layout(&config, network, &info.spaces)?;
        let params = builder.build(stream(info.seed, 0));
        let shape = ReplayShape {
            state_len: model.state_len(),
            state_period: config.num_steps,
            ..ReplayShape::of(info)
        };
        let replay = ReplayBuffer::new(config.buffer_size, shape);
        let (priorities, beta) = match config.replay {
            Sampling::Uniform => (None, LinearSchedule { start: f64::NAN, end: f64::NAN, duration: 0.0 }),
            Sampling::Prioritized(prioritized) => {
                let priorities = Priorities::new(prioritized, replay.slots());
                (Some(priorities), prioritized.beta(info.total_timesteps))
            }
        };
        Ok(Self {
            num_actions: model.outputs(0),
            summary: model.summary().clone(),
            target: PackedModel::new(&model, &params)?,
            target_params: params.clone(),
            optimizer: Optimizer::new(config.optimizer, params.len())?,
            rng: Pcg64::seed_from(stream(info.seed, 1)),
            replay,
            priorities,
            updates: 0,
            epsilon: Self::epsilon(&config, info.total_timesteps),
            beta,
            slots: Vec::new(),
            weights: Vec::new(),
            slices: (0..config.gradient_slices).map(|_| SliceWork::default()).collect(),
            model: Arc::new(model),
            params,
            config,
        })
    }

    fn policy_from(
        config: &R2d2Config,
        network: &ModelConfig,
        info: &PolicyInfo,
        weights: &Weights,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        let (model, builder) = Self::layout(config, network, &info.spaces)?;
        let mut params = builder.build(0);
        weights.fill_all(&mut [("", &mut params)], &[TARGET])?;
        RecurrentPolicy::of(&Arc::new(model), &params, Self::epsilon(config, info.total_timesteps))
    }
}

impl Learner for R2d2 {
    fn num_steps(&self) -> usize {
        self.config.num_steps
    }

    fn metric_names(&self) -> &'static [&'static str] {
        &["charts/learning_rate", "charts/epsilon", "losses/td_loss", "losses/q_values", "charts/beta"]
    }

    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        RecurrentPolicy::of(&self.model, &self.params, self.epsilon)
    }

    fn learn(&mut self, fragments: &[Fragment], env_steps: u64) -> Result<LearnReport, AgentError> {
        self.remember(fragments);
        let (mut loss, mut q_mean) = (f64::NAN, f64::NAN);
        let whole = self.replay.sequences(self.config.sequence_length());
        if env_steps > self.config.learning_starts && whole > 0 {
            let mut slices = std::mem::take(&mut self.slices);
            let outcome = awake(slices.len() - 1, || self.train(&mut slices, env_steps));
            self.slices = slices;
            (loss, q_mean) = outcome?;
        }
        let (epsilon, beta) = (self.epsilon.at(env_steps), self.beta.at(env_steps));
        let metrics = vec![self.config.learning_rate, epsilon, loss, q_mean, beta];
        Ok(LearnReport { updates: self.updates, metrics })
    }

    fn weights(&self) -> Weights {
        let mut weights = Weights::new();
        weights.add("", &self.params);
        weights.add(TARGET, &self.target_params);
        weights
    }

    fn load_weights(&mut self, weights: &Weights) -> Result<(), AgentError> {
        weights.fill_all(&mut [("", &mut self.params), (TARGET, &mut self.target_params)], &[])?;
        self.target = PackedModel::new(&self.model, &self.target_params)?;
        Ok(())
    }

    fn summary(&self) -> Option<Summary> {
        Some(self.summary.clone())
    }

    fn memory_bytes(&self) -> u64 {
        let priorities =
            if self.priorities.is_some() { 16 * self.replay.slots().next_power_of_two() } else { 0 };
        self.replay.memory_bytes() + priorities as u64
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
            priorities: self.priorities.as_ref().map(Priorities::save),
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
        let priorities = Priorities::restored_where_used(self.priorities.as_ref(), saved.priorities)?;
        self.target = PackedModel::new(&self.model, &target_params)?;
        (self.params, self.target_params, self.optimizer) = (params, target_params, optimizer);
        (self.replay, self.priorities) = (replay, priorities);
        (self.rng, self.updates) = (saved.rng, saved.updates);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
