//! PQN: parallel Q-learning on what was just experienced, with λ-returns and LayerNorm instead of replay and target network.
//!
//! Each iteration takes one fragment of every shard, computes the λ-returns of the greedy policy with the weights that
//! acted, and makes several passes of minibatch updates towards them.
//!
//! # Source
//! Gallici et al. (2024), arXiv:2407.04811; Peng and Williams (1994) for the returns; CleanRL 1.0 `pqn.py` for names,
//! defaults and metrics.
//!
//! # Deviations
//! 1. Adam by default; the paper and CleanRL have RAdam.
//! 2. Truncated steps bootstrap from their final observation, where every action counts as allowed; the reference
//!    implementations take them for ends.
//! 3. The end of an episode cuts the λ-return; CleanRL's carries `λ G` of the next episode over it.
//! 4. A minibatch's gradient is summed over `gradient_slices` slices in a fixed order.

use std::sync::Arc;

use agon_envs::{ObsBuffer, Pcg64};
use agon_nn::losses::mse;
use agon_nn::{
    Activation, EncoderConfig, Head, HeadSpec, Init, LayoutBuilder, MemoryState, Model, ModelConfig,
    ModelScratch, Optimizer, OptimizerConfig, OptimizerState, PackedModel, Params, Sequential, Summary, Tape,
};
use serde::{Deserialize, Serialize};

use crate::epsilon_greedy::{EpsilonGreedy, greedy, mask_of};
use crate::error::{ensure, positive};
use crate::learner::{
    LearnReport, Learner, RunInfo, decode, encode, restored_optimizer, restored_params, single_discrete,
    stream,
};
use crate::network;
use crate::policy::Policy;
use crate::returns::{Trajectory, gae};
use crate::schedule::LinearSchedule;
use crate::slices::{awake, descend, for_each_slice, slice_range};
use crate::{AgentError, Fragment};

/// PQN's settings. The defaults are CleanRL's for classic control.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PqnConfig {
    /// Ticks of a rollout, in every environment; at least 1.
    pub num_steps: usize,
    /// Minibatches that a rollout is divided into; divides the number of its steps.
    pub num_minibatches: usize,
    /// Passes over a rollout; at least 1.
    pub update_epochs: usize,
    /// The optimizer's step size; above 0.
    pub learning_rate: f64,
    /// Whether the step size falls linearly to zero over the run.
    pub anneal_lr: bool,
    /// Discount factor, 0 to 1.
    pub gamma: f64,
    /// λ of the returns, 0 (one step) to 1 (to the end of the rollout).
    pub q_lambda: f64,
    /// Largest norm of a gradient; above 0.
    pub max_grad_norm: f64,
    /// Probability of a random action at first, 0 to 1.
    pub start_e: f64,
    /// Probability of a random action in the end, 0 to 1.
    pub end_e: f64,
    /// Share of the run over which it falls linearly, 0 to 1.
    pub exploration_fraction: f64,
    /// What takes the gradient steps.
    pub optimizer: OptimizerConfig,
    /// Slices that a minibatch's gradient is summed over: as many threads can work on it. Part of the result.
    pub gradient_slices: usize,
    /// The shape of the Q network. Without a LayerNorm in its encoder learning may diverge.
    pub network: ModelConfig,
}

impl Default for PqnConfig {
    fn default() -> Self {
        let encoder =
            EncoderConfig::Mlp { hidden: vec![120, 84], activation: Activation::Relu, layer_norm: true };
        Self {
            num_steps: 128,
            num_minibatches: 4,
            update_epochs: 4,
            learning_rate: 2.5e-4,
            anneal_lr: true,
            gamma: 0.99,
            q_lambda: 0.65,
            max_grad_norm: 10.0,
            start_e: 1.0,
            end_e: 0.05,
            exploration_fraction: 0.5,
            optimizer: OptimizerConfig::default(),
            gradient_slices: 2,
            network: ModelConfig { encoder, ..ModelConfig::default() },
        }
    }
}

impl PqnConfig {
    /// Checks every setting's range.
    fn validate(&self, num_envs: usize) -> Result<(), AgentError> {
        for (field, value) in [("num_steps", self.num_steps), ("update_epochs", self.update_epochs)] {
            ensure(value > 0, field, "at least 1", value)?;
        }
        for (field, value) in [("learning_rate", self.learning_rate), ("max_grad_norm", self.max_grad_norm)] {
            ensure(positive(value), field, "above 0", value)?;
        }
        for (field, value) in [
            ("gamma", self.gamma),
            ("q_lambda", self.q_lambda),
            ("start_e", self.start_e),
            ("end_e", self.end_e),
            ("exploration_fraction", self.exploration_fraction),
        ] {
            ensure((0.0..=1.0).contains(&value), field, "between 0 and 1", value)?;
        }
        let slices = self.gradient_slices;
        ensure((1..=64).contains(&slices), "gradient_slices", "between 1 and 64", slices)?;
        let steps = num_envs * self.num_steps;
        if self.num_minibatches == 0 || !steps.is_multiple_of(self.num_minibatches) {
            let expected = format!("a divisor of num_envs * num_steps = {steps}");
            return Err(AgentError::setting("num_minibatches", expected, self.num_minibatches));
        }
        self.optimizer.validate()?;
        network::check_no_memory("pqn", &self.network)?;
        network::check_not_noisy("pqn", &self.network)
    }
}

/// The learner.
pub struct Pqn {
    config: PqnConfig,
    model: Arc<Model>,
    chain: Sequential,
    params: Params,
    optimizer: Optimizer,
    rng: Pcg64,
    updates: u64,
    epsilon: LinearSchedule,
    learning_rate: LinearSchedule,
    shards: Vec<ShardWork>,
    rollout: Rollout,
    slices: Vec<SliceWork>,
}

/// Working memory for one shard's returns.
#[derive(Debug, Default)]
struct ShardWork {
    scratch: ModelScratch,
    /// `[T + 1, N, A]`, or of the final observations.
    q: Vec<f32>,
    /// `[T + 1, N]`: of the best allowed action.
    values: Vec<f32>,
    next_values: Vec<f32>,
    /// `[T, N]`.
    returns: Vec<f32>,
}

/// The steps of all shards, one after the other.
struct Rollout {
    observations: ObsBuffer,
    actions: Vec<u32>,
    returns: Vec<f32>,
    /// Rows that took part in their tick.
    rows: Vec<u32>,
}

/// Working memory and sums of one gradient slice.
#[derive(Debug, Default)]
struct SliceWork {
    grads: Vec<f32>,
    output_grads: Vec<f32>,
    sums: Sums,
}

/// Sums over steps.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    loss: f64,
    q: f64,
    steps: usize,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.q += other.q;
        self.steps += other.steps;
    }
}

/// What is saved of a learner.
#[derive(Serialize, Deserialize)]
struct Saved {
    params: Vec<f32>,
    optimizer: OptimizerState,
    rng: Pcg64,
    updates: u64,
}

impl Pqn {
    /// Builds the learner with a network initialised from the run's seed.
    ///
    /// # Errors
    /// If a setting is out of range, or the action space is not one `Discrete`.
    pub fn new(config: PqnConfig, info: &RunInfo) -> Result<Self, AgentError> {
        config.validate(info.num_envs)?;
        let actions = single_discrete("pqn", &info.action_spec)?;
        let observation = network::observation("pqn", &info.observation_space)?;
        // CleanRL's gain, of the last layer too.
        let init = Init::Orthogonal { gain: std::f32::consts::SQRT_2 };
        let mut builder = LayoutBuilder::new();
        let head = HeadSpec { name: "q".to_owned(), head: Head::Q { actions }, init };
        let model = Model::new(&mut builder, "", &observation, &config.network, &[head], init)?;
        let params = builder.build(stream(info.seed, 0));
        let total = info.total_timesteps;
        Ok(Self {
            chain: model.chain(0)?,
            model: Arc::new(model),
            optimizer: Optimizer::new(config.optimizer, params.len())?,
            params,
            rng: Pcg64::seed_from(stream(info.seed, 1)),
            updates: 0,
            epsilon: LinearSchedule {
                start: config.start_e,
                end: config.end_e,
                duration: config.exploration_fraction * total as f64,
            },
            learning_rate: LinearSchedule::annealed(config.learning_rate, config.anneal_lr, total),
            shards: (0..info.num_shards).map(|_| ShardWork::default()).collect(),
            rollout: Rollout {
                observations: ObsBuffer::zeros(network::dtype(&info.observation_space), 0),
                actions: Vec::new(),
                returns: Vec::new(),
                rows: Vec::new(),
            },
            slices: (0..config.gradient_slices).map(|_| SliceWork::default()).collect(),
            config,
        })
    }

    /// `G_t = r_t + γ ((1 − λ) max_a Q(s_{t+1}, a) + λ G_{t+1})` of a fragment, with `λ G` only inside an episode.
    fn returns(
        &self,
        packed: &PackedModel,
        fragment: &Fragment,
        work: &mut ShardWork,
    ) -> Result<(), AgentError> {
        let (rows, num_envs, len) =
            (fragment.rows(), fragment.shape.num_envs, fragment.shape.observation_len);
        let actions = self.model.outputs(0);
        let ShardWork { scratch, q, values, next_values, returns } = work;
        let mut best = |observations, count, masks: &[bool], values: &mut Vec<f32>| {
            q.resize(count * actions, 0.0);
            let memory = &mut MemoryState::none();
            self.model.infer(packed, observations, count, memory, scratch, &mut [&mut q[..]])?;
            let rows = q.chunks_exact(actions).enumerate();
            values.clear();
            values.extend(rows.map(|(row, q)| q[greedy(q, mask_of(masks, row, actions))]));
            Ok::<_, AgentError>(())
        };
        let ends = fragment.final_rows.len();
        if ends > 0 {
            let finals = network::first_rows(&fragment.final_observations, ends, len);
            best(finals, ends, &[], next_values)?;
        }
        let observations = network::rows(&fragment.observations);
        best(observations, rows + num_envs, &fragment.action_masks, values)?;
        let of_finals = std::mem::take(next_values);
        next_values.extend_from_slice(&values[num_envs..]);
        for (&row, &value) in fragment.final_rows.iter().zip(&of_finals) {
            next_values[row as usize] = value;
        }
        returns.resize(rows, 0.0);
        let trajectory = Trajectory {
            num_envs,
            rewards: &fragment.rewards,
            values: &values[..rows],
            next_values,
            terminated: &fragment.terminated,
            truncated: &fragment.truncated,
        };
        // The λ-return is the generalised advantage plus the value, whatever values are of.
        gae(&trajectory, self.config.gamma as f32, self.config.q_lambda as f32, returns);
        returns.iter_mut().zip(&*values).for_each(|(sum, value)| *sum += value);
        Ok(())
    }

    /// The returns of all fragments, flattened with their steps.
    fn gather(&mut self, fragments: &[Fragment]) -> Result<(), AgentError> {
        let packed = PackedModel::new(&self.model, &self.params)?;
        let mut shards = std::mem::take(&mut self.shards);
        let outcome =
            for_each_slice(&mut shards, |shard, work| self.returns(&packed, &fragments[shard], work));
        self.shards = shards;
        outcome?;
        let Rollout { observations, actions, returns, rows } = &mut self.rollout;
        observations.resize(0);
        actions.clear();
        returns.clear();
        rows.clear();
        for (fragment, work) in fragments.iter().zip(&self.shards) {
            let first = actions.len() as u32;
            rows.extend((first..).zip(&fragment.active).filter(|(_, active)| **active).map(|(row, _)| row));
            let len = fragment.rows() * fragment.shape.observation_len;
            observations.extend_from(&fragment.observations, 0, len);
            actions.extend_from_slice(fragment.actions.indices());
            returns.extend_from_slice(&work.returns);
        }
        Ok(())
    }

    /// The gradient of `(Q(s, a) − G)²` over a slice of a minibatch of `count` steps.
    fn backward(&self, rows: &[u32], count: usize, work: &mut SliceWork) -> Result<(), AgentError> {
        work.grads.resize(self.params.len(), 0.0);
        work.sums = Sums { steps: rows.len(), ..Sums::default() };
        if rows.is_empty() {
            work.grads.fill(0.0);
            return Ok(());
        }
        let (rollout, actions) = (&self.rollout, self.model.outputs(0));
        let x = network::gather(&rollout.observations, self.model.inputs(), rows)?;
        let mut tape = Tape::new();
        let q = self.chain.forward_input(&self.params, &x, &mut tape)?;
        work.output_grads.clear();
        work.output_grads.resize(rows.len() * actions, 0.0);
        for (index, &row) in rows.iter().enumerate() {
            let taken = index * actions + rollout.actions[row as usize] as usize;
            let value = q.as_slice()[taken];
            let (loss, slope) = mse(value - rollout.returns[row as usize]);
            work.output_grads[taken] = slope / count as f32;
            work.sums.loss += f64::from(loss);
            work.sums.q += f64::from(value);
        }
        tape.backward(&self.params, &[(&q, work.output_grads.as_slice())], &mut work.grads)?;
        Ok(())
    }

    /// One gradient step on some rows of the rollout.
    fn update(
        &mut self,
        rows: &[u32],
        slices: &mut [SliceWork],
        learning_rate: f64,
    ) -> Result<Sums, AgentError> {
        if rows.is_empty() {
            // Where most agents have ended there can be minibatches without a step.
            return Ok(Sums::default());
        }
        let count = slices.len();
        for_each_slice(slices, |slice, work| {
            self.backward(&rows[slice_range(rows.len(), count, slice)], rows.len(), work)
        })?;
        let mut sums = Sums::default();
        slices.iter().for_each(|work| sums.add(&work.sums));
        if !sums.loss.is_finite() {
            return Err(AgentError::NotFinite { what: "TD loss", value: sums.loss, update: self.updates });
        }
        let Some((first, others)) = slices.split_first_mut() else { return Ok(sums) };
        let gradients: Vec<&[f32]> = others.iter().map(|work| work.grads.as_slice()).collect();
        let (params, optimizer) = (&mut self.params, &mut self.optimizer);
        let max_grad_norm = self.config.max_grad_norm;
        descend(params, optimizer, &mut first.grads, &gradients, max_grad_norm, learning_rate)?;
        self.updates += 1;
        Ok(sums)
    }

    /// Passes over the rollout, each in a new random order.
    fn passes(&mut self, slices: &mut [SliceWork], learning_rate: f64) -> Result<Sums, AgentError> {
        let mut sums = Sums::default();
        let mut order = std::mem::take(&mut self.rollout.rows);
        for _ in 0..self.config.update_epochs {
            self.rng.shuffle(&mut order);
            for index in 0..self.config.num_minibatches {
                let rows = &order[slice_range(order.len(), self.config.num_minibatches, index)];
                sums.add(&self.update(rows, slices, learning_rate)?);
            }
        }
        self.rollout.rows = order;
        Ok(sums)
    }
}

impl Learner for Pqn {
    fn num_steps(&self) -> usize {
        self.config.num_steps
    }

    fn metric_names(&self) -> &'static [&'static str] {
        &["charts/learning_rate", "charts/epsilon", "losses/td_loss", "losses/q_values"]
    }

    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        Ok(Arc::new(EpsilonGreedy {
            model: Arc::clone(&self.model),
            packed: PackedModel::new(&self.model, &self.params)?,
            epsilon: self.epsilon,
        }))
    }

    fn learn(&mut self, fragments: &[Fragment], env_steps: u64) -> Result<LearnReport, AgentError> {
        self.gather(fragments)?;
        // The step size goes by where the rollout began: the first update has the full one.
        let steps: usize = fragments.iter().map(Fragment::rows).sum();
        let learning_rate = self.learning_rate.at(env_steps - steps as u64);
        // Taken out, so that slices can be written while they all read the rest of the learner.
        let mut slices = std::mem::take(&mut self.slices);
        let outcome = awake(slices.len() - 1, || self.passes(&mut slices, learning_rate));
        self.slices = slices;
        let sums = outcome?;
        let mean = |sum: f64| sum / sums.steps as f64;
        let epsilon = self.epsilon.at(env_steps);
        Ok(LearnReport {
            updates: self.updates,
            metrics: vec![learning_rate, epsilon, mean(sums.loss), mean(sums.q)],
        })
    }

    fn params(&self) -> Option<&Params> {
        Some(&self.params)
    }

    fn summary(&self) -> Option<Summary> {
        Some(self.model.summary().clone())
    }

    fn save(&self) -> Result<Vec<u8>, AgentError> {
        encode(&Saved {
            params: self.params.as_slice().to_vec(),
            optimizer: self.optimizer.state(),
            rng: self.rng.clone(),
            updates: self.updates,
        })
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), AgentError> {
        let saved: Saved = decode(saved)?;
        let params = restored_params(&self.params, &saved.params)?;
        let optimizer = restored_optimizer(&self.optimizer, saved.optimizer, &params)?;
        (self.params, self.optimizer) = (params, optimizer);
        (self.rng, self.updates) = (saved.rng, saved.updates);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
