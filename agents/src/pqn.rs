//! PQN: Q-learning on parallel environments with λ-returns, without a replay buffer and without a target network.
//!
//! ```text
//! G_t = r_t + γ (1 − terminated_t) (λ c_t G_{t+1} + (1 − λ c_t) max_a Q(s'_t, a))
//! ```
//!
//! with `c_t = 0` where the episode was cut at `t` or the rollout ends, else 1. A normalised network (LayerNorm) keeps the
//! bootstrapping stable. Each iteration makes several passes over one rollout, as PPO does.
//!
//! # Source
//! Gallici et al. (2024), arXiv:2407.04811; CleanRL 1.0 `pqn.py` for names, metrics and defaults.
//!
//! # Deviations
//! 1. Truncated transitions bootstrap from their final observation.
//! 2. Values of the λ-returns are those of the network at the end of the rollout, with which it also acted.
//! 3. Adam instead of `RAdam`, which differs in its first steps.

use std::sync::Arc;

use agon_envs::{ObsBuffer, Pcg64};
use agon_nn::losses::mse;
use agon_nn::{
    Activation, EncoderConfig, Init, LayoutBuilder, ModelConfig, Optimizer, OptimizerConfig, OptimizerState,
    Params, Scratch, Summary, Tape,
};
use serde::{Deserialize, Serialize};

use crate::algorithms::Algorithm;
use crate::dqn::Distribution;
use crate::dqn::policy::DqnPolicy;
use crate::dqn::q_network::{PackedQ, QNetwork, QShape, best};
use crate::error::{ensure, positive};
use crate::learner::{
    LearnReport, Learner, PolicyInfo, RunInfo, Spaces, decode, encode, restored_optimizer, restored_params,
    stream,
};
use crate::network;
use crate::policy::Policy;
use crate::returns::{self, Trajectory};
use crate::schedule::LinearSchedule;
use crate::slices::{awake, descend, for_each_slice, slice_range};
use crate::{AgentError, Fragment, Weights};

/// PQN's settings. The defaults are CleanRL's for classic control.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PqnConfig {
    /// Ticks of a rollout; at least 1.
    pub num_steps: usize,
    /// Minibatches of a pass; at most as many as a rollout has transitions.
    pub num_minibatches: usize,
    /// Passes over a rollout; at least 1.
    pub update_epochs: usize,
    /// Step size; above 0.
    pub learning_rate: f64,
    /// Whether the step size falls linearly to zero.
    pub anneal_lr: bool,
    /// Discount factor, 0 to 1.
    pub gamma: f64,
    /// `λ`: 0 bootstraps after each step, 1 at the end only.
    pub q_lambda: f64,
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

impl Default for PqnConfig {
    fn default() -> Self {
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
        }
    }
}

impl PqnConfig {
    /// Checks every setting's range.
    ///
    /// # Errors
    /// [`AgentError::Setting`] naming the setting, what is allowed and what was found.
    pub fn validate(&self, info: &RunInfo) -> Result<(), AgentError> {
        ensure(self.num_steps > 0, "num_steps", "at least 1", self.num_steps)?;
        ensure(self.update_epochs > 0, "update_epochs", "at least 1", self.update_epochs)?;
        let most = self.num_steps * info.num_rows();
        if !(1..=most).contains(&self.num_minibatches) {
            let expected = format!("between 1 and num_envs * num_agents * num_steps = {most}");
            return Err(AgentError::setting("num_minibatches", expected, self.num_minibatches));
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
        Ok(self.optimizer.validate()?)
    }
}

/// All transitions of an iteration.
#[derive(Debug)]
struct Rollout {
    /// `[R, O]`.
    observations: ObsBuffer,
    /// `[R]`.
    actions: Vec<u32>,
    /// `[R]`: λ-returns.
    returns: Vec<f32>,
    /// Rows to learn from: those that took part.
    rows: Vec<u32>,
}

/// Working memory and results of one slice.
#[derive(Debug, Default)]
struct SliceWork {
    q_grads: Vec<f32>,
    grads: Vec<f32>,
    loss: f64,
    q_sum: f64,
}

/// Working memory of one fragment.
#[derive(Debug, Default)]
struct FragmentWork {
    scratch: Scratch,
    buffer: Vec<f32>,
    q_values: Vec<f32>,
    values: Vec<f32>,
    next_values: Vec<f32>,
    returns: Vec<f32>,
}

/// The learner.
pub struct Pqn {
    config: PqnConfig,
    network: Arc<QNetwork>,
    observation_len: usize,
    params: Params,
    optimizer: Optimizer,
    rng: Pcg64,
    updates: u64,
    epsilon: LinearSchedule,
    learning_rate: LinearSchedule,
    rollout: Rollout,
    shards: Vec<FragmentWork>,
    slices: Vec<SliceWork>,
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
    /// The Q network, and its parameters to be.
    fn layout(network: &ModelConfig, spaces: &Spaces) -> Result<(QNetwork, LayoutBuilder), AgentError> {
        network::check_not_noisy("pqn", network)?;
        let shape = QShape {
            distribution: Distribution::None,
            dueling: false,
            network,
            init: Init::Orthogonal { gain: std::f32::consts::SQRT_2 },
        };
        QNetwork::of("pqn", shape, spaces)
    }

    fn epsilon(config: &PqnConfig, total_timesteps: u64) -> LinearSchedule {
        let duration = config.exploration_fraction * total_timesteps as f64;
        LinearSchedule { start: config.start_e, end: config.end_e, duration }
    }

    /// The λ-returns of a fragment.
    fn estimate(
        &self,
        packed: &PackedQ,
        fragment: &Fragment,
        work: &mut FragmentWork,
    ) -> Result<(), AgentError> {
        let (n, rows) = (fragment.shape.num_rows(), fragment.rows());
        self.greedy_values(packed, &fragment.observations, &fragment.action_masks, rows + n, work)?;
        std::mem::swap(&mut work.values, &mut work.next_values);
        work.values.clear();
        work.values.extend_from_slice(&work.next_values[..rows]);
        work.next_values.drain(..n);
        if !fragment.final_rows.is_empty() {
            let all = std::mem::take(&mut work.values);
            self.greedy_values(packed, &fragment.final_observations, &[], fragment.final_rows.len(), work)?;
            for (&row, &value) in fragment.final_rows.iter().zip(&work.values) {
                work.next_values[row as usize] = value;
            }
            work.values = all;
        }
        work.returns.resize(rows, 0.0);
        let trajectory = Trajectory {
            num_rows: n,
            rewards: &fragment.rewards,
            values: &work.values,
            next_values: &work.next_values,
            terminated: &fragment.terminated,
            truncated: &fragment.truncated,
        };
        let (gamma, lambda) = (self.config.gamma as f32, self.config.q_lambda as f32);
        returns::gae(&trajectory, gamma, lambda, &mut work.returns);
        work.returns.iter_mut().zip(&work.values).for_each(|(advantage, value)| *advantage += value);
        Ok(())
    }

    /// Writes `max_a Q(s, a)` over the allowed actions of the first `rows` observations to `work.values`.
    fn greedy_values(
        &self,
        packed: &PackedQ,
        observations: &ObsBuffer,
        masks: &[bool],
        rows: usize,
        work: &mut FragmentWork,
    ) -> Result<(), AgentError> {
        let actions = self.network.actions;
        let FragmentWork { scratch, buffer, q_values, values, .. } = work;
        q_values.resize(rows * actions, 0.0);
        let x = network::first_rows(observations, rows, self.observation_len);
        self.network.values(packed, x, rows, scratch, buffer, q_values)?;
        values.clear();
        values.extend(
            q_values.chunks_exact(actions).enumerate().map(|(row, q_values)| {
                q_values[best(q_values, masks.get(row * actions..(row + 1) * actions))]
            }),
        );
        Ok(())
    }

    /// Everything of an iteration, flattened.
    fn fill_rollout(&mut self, fragments: &[Fragment]) {
        let Rollout { observations, actions, returns, rows } = &mut self.rollout;
        observations.resize(0);
        actions.clear();
        returns.clear();
        rows.clear();
        for (fragment, work) in fragments.iter().zip(&self.shards) {
            let first = actions.len() as u32;
            observations.extend_from(&fragment.observations, 0, fragment.rows() * self.observation_len);
            actions.extend_from_slice(fragment.actions.indices());
            returns.extend_from_slice(&work.returns);
            let active = fragment.active.iter().enumerate().filter(|(_, active)| **active);
            rows.extend(active.map(|(row, _)| first + row as u32));
        }
    }

    /// The mean squared error of some rows, and its gradient.
    fn backward(&self, rows: &[u32], minibatch: usize, work: &mut SliceWork) -> Result<(), AgentError> {
        work.grads.resize(self.params.len(), 0.0);
        (work.loss, work.q_sum) = (0.0, 0.0);
        if rows.is_empty() {
            work.grads.fill(0.0);
            return Ok(());
        }
        let x = network::gather(&self.rollout.observations, self.observation_len, rows)?;
        let mut tape = Tape::new();
        let q_values = self.network.forward(&self.params, &x, &[], &mut tape)?;
        let actions = self.network.actions;
        work.q_grads.clear();
        work.q_grads.resize(rows.len() * actions, 0.0);
        let scale = 1.0 / minibatch as f32;
        for (i, &row) in rows.iter().enumerate() {
            let chosen = i * actions + self.rollout.actions[row as usize] as usize;
            let q_value = q_values.as_slice()[chosen];
            let (loss, slope) = mse(q_value - self.rollout.returns[row as usize]);
            work.q_grads[chosen] = scale * slope;
            work.loss += f64::from(loss);
            work.q_sum += f64::from(q_value);
        }
        tape.backward(&self.params, &[(&q_values, work.q_grads.as_slice())], &mut work.grads)?;
        Ok(())
    }

    /// One gradient step; gives the sums of losses and values.
    fn update(&mut self, rows: &[u32], slices: &mut [SliceWork], lr: f64) -> Result<(f64, f64), AgentError> {
        let count = slices.len();
        for_each_slice(slices, |slice, work| {
            self.backward(&rows[slice_range(rows.len(), count, slice)], rows.len(), work)
        })?;
        let (loss, q_sum) = slices.iter().fold((0.0, 0.0), |(l, q), work| (l + work.loss, q + work.q_sum));
        if !f64::is_finite(loss) {
            return Err(AgentError::NotFinite { what: "TD loss", value: loss, update: self.updates });
        }
        let Some((first, others)) = slices.split_first_mut() else { return Ok((loss, q_sum)) };
        let gradients: Vec<&[f32]> = others.iter().map(|work| work.grads.as_slice()).collect();
        let clip = self.config.max_grad_norm;
        descend(&mut self.params, &mut self.optimizer, &mut first.grads, &gradients, clip, lr)?;
        self.updates += 1;
        Ok((loss, q_sum))
    }

    /// All passes over the rollout; gives the means of losses and values.
    fn passes(&mut self, slices: &mut [SliceWork], lr: f64) -> Result<(f64, f64), AgentError> {
        let mut order = std::mem::take(&mut self.rollout.rows);
        let (mut loss, mut q_sum, mut learned) = (0.0, 0.0, 0);
        for _ in 0..self.config.update_epochs {
            self.rng.shuffle(&mut order);
            for index in 0..self.config.num_minibatches {
                let rows = &order[slice_range(order.len(), self.config.num_minibatches, index)];
                if !rows.is_empty() {
                    let sums = self.update(rows, slices, lr)?;
                    (loss, q_sum, learned) = (loss + sums.0, q_sum + sums.1, learned + rows.len());
                }
            }
        }
        self.rollout.rows = order;
        Ok((loss / learned as f64, q_sum / learned as f64))
    }
}

impl Algorithm for Pqn {
    type Config = PqnConfig;

    /// CleanRL's for classic control.
    fn default_network() -> ModelConfig {
        let encoder =
            EncoderConfig::Mlp { hidden: vec![120, 84], activation: Activation::Relu, layer_norm: true };
        ModelConfig { encoder, ..ModelConfig::default() }
    }

    fn new(config: PqnConfig, network: &ModelConfig, info: &RunInfo) -> Result<Self, AgentError> {
        config.validate(info)?;
        let (network, builder) = Self::layout(network, &info.spaces)?;
        let params = builder.build(stream(info.seed, 0));
        let dtype = network::dtype(&info.spaces.observation);
        let total = info.total_timesteps;
        Ok(Self {
            network: Arc::new(network),
            observation_len: info.spaces.observation.packed_len(),
            optimizer: Optimizer::new(config.optimizer, params.len())?,
            params,
            rng: Pcg64::seed_from(stream(info.seed, 1)),
            updates: 0,
            epsilon: Self::epsilon(&config, total),
            learning_rate: LinearSchedule::annealed(config.learning_rate, config.anneal_lr, total),
            rollout: Rollout {
                observations: ObsBuffer::zeros(dtype, 0),
                actions: Vec::new(),
                returns: Vec::new(),
                rows: Vec::new(),
            },
            shards: (0..info.num_shards).map(|_| FragmentWork::default()).collect(),
            slices: (0..config.gradient_slices).map(|_| SliceWork::default()).collect(),
            config,
        })
    }

    fn policy_from(
        config: &PqnConfig,
        network: &ModelConfig,
        info: &PolicyInfo,
        weights: &Weights,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        let (network, builder) = Self::layout(network, &info.spaces)?;
        let mut params = builder.build(0);
        weights.fill("", &mut params)?;
        DqnPolicy::of(&Arc::new(network), &params, Self::epsilon(config, info.total_timesteps))
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
        DqnPolicy::of(&self.network, &self.params, self.epsilon)
    }

    fn learn(&mut self, fragments: &[Fragment], env_steps: u64) -> Result<LearnReport, AgentError> {
        let steps: usize = fragments.iter().map(Fragment::env_steps).sum();
        let lr = self.learning_rate.at(env_steps - steps as u64);
        let packed = self.network.pack(&self.params)?;
        let mut shards = std::mem::take(&mut self.shards);
        let estimated =
            for_each_slice(&mut shards, |shard, work| self.estimate(&packed, &fragments[shard], work));
        self.shards = shards;
        estimated?;
        self.fill_rollout(fragments);
        let mut slices = std::mem::take(&mut self.slices);
        let outcome = awake(slices.len() - 1, || self.passes(&mut slices, lr));
        self.slices = slices;
        let (loss, q_mean) = outcome?;
        let epsilon = self.epsilon.at(env_steps);
        Ok(LearnReport { updates: self.updates, metrics: vec![lr, epsilon, loss, q_mean] })
    }

    fn weights(&self) -> Weights {
        let mut weights = Weights::new();
        weights.add("", &self.params);
        weights
    }

    fn load_weights(&mut self, weights: &Weights) -> Result<(), AgentError> {
        weights.fill("", &mut self.params)
    }

    fn summary(&self) -> Option<Summary> {
        Some(self.network.summary().clone())
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
        // Everything is checked before anything is taken on.
        let params = restored_params(&self.params, &saved.params)?;
        self.optimizer = restored_optimizer(&self.optimizer, saved.optimizer, &params)?;
        self.params = params;
        self.rng = saved.rng;
        self.updates = saved.updates;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
