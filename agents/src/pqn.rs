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

mod config;

use std::collections::BTreeMap;
use std::sync::Arc;

use agon_envs::{ObsBuffer, Pcg64};
use agon_nn::losses::mse;
use agon_nn::{
    Activation, EncoderConfig, Init, LayoutBuilder, ModelConfig, Schedule, Scratch, Summary, Tape,
};
use serde::{Deserialize, Serialize};

pub use config::PqnConfig;

use crate::algorithm::Algorithm;
use crate::codec::{decode, encode};
use crate::division::{self, Minibatch};
use crate::exploration::{best, mask_of};
use crate::learner::{self, GivesUp, LearnReport, Learner, Norms, PolicyInfo, RunInfo, Spaces, stream};
use crate::observations::Observations;
use crate::part::{self, Part, SavedPart};
use crate::permutation;
use crate::policy::Policy;
use crate::q_network::{PackedQ, QNetwork, QShape};
use crate::q_policy::QPolicy;
use crate::returns::{self, Trajectory};
use crate::slices::{Slice, Sums, awake, for_each, for_each_slice, slice_range, slices};
use crate::td_sums::TdSums;
use crate::value_distribution::Distribution;
use crate::{AgentError, Fragment, Weights, error, network};

/// Passes whose orders are made at once.
const AHEAD: usize = 8;

/// All transitions of an iteration.
#[derive(Debug)]
struct Rollout {
    /// `[R, O]`.
    observations: Observations,
    /// `[R]`.
    actions: Vec<u32>,
    /// `[R]`: λ-returns.
    returns: Vec<f32>,
    /// Rows to learn from: those that took part.
    rows: Vec<u32>,
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
    online: Part,
    rng: Pcg64,
    updates: u64,
    epsilon: Schedule,
    learning_rate: Schedule,
    rollout: Rollout,
    shards: Vec<FragmentWork>,
    /// Gradients of the network's values beside those of its parameters.
    slices: Vec<Slice<Vec<f32>, TdSums>>,
    minibatch_rows: usize,
}

/// What is saved of a learner.
#[derive(Serialize, Deserialize)]
struct Saved {
    parts: Vec<SavedPart>,
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

    /// A minibatch of a run.
    fn minibatch(config: &PqnConfig, network: &QNetwork, info: &RunInfo) -> Minibatch {
        let rows = info.num_rows().saturating_mul(config.num_steps) / config.num_minibatches.max(1);
        Minibatch::new(network.summary(), &info.spaces, rows, 1)
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
            q_values
                .chunks_exact(actions)
                .enumerate()
                .map(|(row, q_values)| q_values[best(q_values, mask_of(masks, actions, row))]),
        );
        Ok(())
    }

    /// Everything of an iteration, flattened.
    fn fill_rollout(&mut self, fragments: &[Fragment]) -> Result<(), AgentError> {
        let Rollout { observations, actions, returns, rows } = &mut self.rollout;
        observations.fill(fragments, |fragment| &fragment.observations)?;
        actions.clear();
        returns.clear();
        rows.clear();
        for (fragment, work) in fragments.iter().zip(&self.shards) {
            let first = actions.len() as u32;
            actions.extend_from_slice(fragment.actions.indices());
            returns.extend_from_slice(&work.returns);
            let active = fragment.active.iter().enumerate().filter(|(_, active)| **active);
            rows.extend(active.map(|(row, _)| first + row as u32));
        }
        Ok(())
    }

    /// The squared errors of some rows of a minibatch, and the gradient of their mean over all of it.
    fn backward(
        &self,
        rows: &[u32],
        minibatch: usize,
        q_grads: &mut Vec<f32>,
        grads: &mut [f32],
    ) -> Result<TdSums, AgentError> {
        let x = self.rollout.observations.gather(rows)?;
        let mut tape = Tape::new();
        let q_values = self.network.forward(&self.online.params, &x, &[], &mut tape)?;
        let actions = self.network.actions;
        q_grads.clear();
        q_grads.resize(rows.len() * actions, 0.0);
        let scale = 1.0 / minibatch as f32;
        let mut sums = TdSums { steps: rows.len(), ..TdSums::default() };
        for (i, &row) in rows.iter().enumerate() {
            let chosen = i * actions + self.rollout.actions[row as usize] as usize;
            let q_value = q_values.as_slice()[chosen];
            let (loss, slope) = mse(q_value - self.rollout.returns[row as usize]);
            q_grads[chosen] = scale * slope;
            sums.loss += f64::from(loss);
            sums.q_values += f64::from(q_value);
        }
        tape.backward(&self.online.params, &[(&q_values, q_grads.as_slice())], grads)?;
        Ok(sums)
    }

    /// All passes over the rollout, a gradient step for each minibatch.
    fn passes(
        &mut self,
        slices: &mut [Slice<Vec<f32>, TdSums>],
        learning_rate: f64,
        gives_up: &mut GivesUp<'_>,
    ) -> Result<TdSums, AgentError> {
        let (all, mut rows) = (std::mem::take(&mut self.rollout.rows), Vec::new());
        let mut total = TdSums::default();
        for first in (0..self.config.update_epochs).step_by(AHEAD) {
            let count = AHEAD.min(self.config.update_epochs - first);
            let seeds: Vec<u64> = (0..count).map(|_| self.rng.next_u64()).collect();
            for order in permutation::orders(&seeds, all.len()) {
                for index in 0..self.config.num_minibatches {
                    learner::go_on(gives_up)?;
                    let range = slice_range(order.len(), self.config.num_minibatches, index);
                    rows.clear();
                    rows.extend(order[range].iter().map(|&place| all[place as usize]));
                    total.add(&self.update(&rows, slices, learning_rate)?);
                }
            }
        }
        self.rollout.rows = all;
        Ok(total)
    }

    /// One gradient step on some rows.
    fn update(
        &mut self,
        rows: &[u32],
        slices: &mut [Slice<Vec<f32>, TdSums>],
        learning_rate: f64,
    ) -> Result<TdSums, AgentError> {
        if rows.is_empty() {
            return Ok(TdSums::default());
        }
        let len = self.online.params.len();
        let sums = for_each_slice(slices, rows.len(), len, |range, q_grads, grads| {
            self.backward(&rows[range], rows.len(), q_grads, grads)
        })?;
        error::ensure_finite("TD loss", sums.loss, self.updates)?;
        self.online.descend(slices, self.config.max_grad_norm, learning_rate)?;
        self.updates += 1;
        Ok(sums)
    }

    /// One iteration, while the threads that will learn are awake.
    fn iterate(
        &mut self,
        fragments: &[Fragment],
        env_steps: u64,
        gives_up: &mut GivesUp<'_>,
    ) -> Result<LearnReport, AgentError> {
        let steps: usize = fragments.iter().map(Fragment::env_steps).sum();
        let learning_rate = self.learning_rate.at(env_steps - steps as u64);
        let packed = self.network.pack(&self.online.params)?;
        let mut shards = std::mem::take(&mut self.shards);
        let estimated =
            for_each(&mut shards, |position, work| self.estimate(&packed, &fragments[position], work));
        self.shards = shards;
        estimated?;
        self.fill_rollout(fragments)?;
        let mut slices = std::mem::take(&mut self.slices);
        let outcome = self.passes(&mut slices, learning_rate, gives_up);
        self.slices = slices;
        let [loss, q_values] = TdSums::means(Some(&outcome?));
        let metrics = vec![learning_rate, self.epsilon.at(env_steps), loss, q_values];
        Ok(LearnReport { updates: self.updates, metrics })
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
        let online = Part::trained("", params, config.optimizer)?;
        let dtype = network::dtype(&info.spaces.observation);
        let total = info.total_timesteps;
        let minibatch = Self::minibatch(&config, &network, info);
        Ok(Self {
            minibatch_rows: minibatch.units,
            slices: slices(config.gradient_slices.unwrap_or_else(|| minibatch.slices())),
            network: Arc::new(network),
            observation_len: info.spaces.observation.packed_len(),
            online,
            rng: Pcg64::seed_from(stream(info.seed, 1)),
            updates: 0,
            epsilon: config.exploration().epsilon(total),
            learning_rate: config.learning_rate.annealed(config.anneal_lr, total),
            rollout: Rollout {
                observations: Observations::new(dtype, info.spaces.observation.packed_len()),
                actions: Vec::new(),
                returns: Vec::new(),
                rows: Vec::new(),
            },
            shards: (0..info.num_shards).map(|_| FragmentWork::default()).collect(),
            config,
        })
    }

    fn settled(config: PqnConfig, network: &ModelConfig, info: &RunInfo) -> PqnConfig {
        let layout = || Self::layout(network, &info.spaces).ok();
        let suitable = || Some(Self::minibatch(&config, &layout()?.0, info).slices());
        PqnConfig { gradient_slices: config.gradient_slices.or_else(suitable), ..config }
    }

    fn policy_from(
        config: &PqnConfig,
        network: &ModelConfig,
        info: &PolicyInfo,
        weights: &Weights,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        let (network, builder) = Self::layout(network, &info.spaces)?;
        let params = weights.params(builder, &[])?;
        let epsilon = config.exploration().epsilon(info.total_timesteps);
        QPolicy::of(&Arc::new(network), &params, epsilon)
    }
}

impl Learner for Pqn {
    fn num_steps(&self) -> usize {
        self.config.num_steps
    }

    fn metric_names(&self) -> &'static [&'static str] {
        &["charts/learning_rate", "charts/epsilon", "losses/td_loss", "losses/q_values"]
    }

    fn remarks(&self, threads: usize) -> Vec<String> {
        let settings = "fewer agent.num_minibatches, more agent.num_steps or num_envs";
        division::remark(self.minibatch_rows, self.slices.len(), threads, settings).into_iter().collect()
    }

    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        QPolicy::of(&self.network, &self.online.params, self.epsilon)
    }

    fn learn_unless(
        &mut self,
        fragments: &[Fragment],
        env_steps: u64,
        gives_up: &mut GivesUp<'_>,
    ) -> Result<LearnReport, AgentError> {
        let helpers = self.slices.len().max(self.shards.len()) - 1;
        awake(helpers, || self.iterate(fragments, env_steps, gives_up))
    }

    fn take_norms(&mut self) -> Option<Norms> {
        part::take_norms(&mut [&mut self.online])
    }

    fn weights(&self) -> Weights {
        part::weights(&[&self.online])
    }

    fn set_learning_rates(&mut self, rates: &BTreeMap<String, f64>) -> Result<(), AgentError> {
        part::set_rates(&mut [&mut self.online], rates)
    }

    fn set_pruned(&mut self, prefixes: &[String]) -> Result<(), AgentError> {
        part::set_pruned(&mut [&mut self.online], prefixes)
    }

    fn prune(&mut self, sparsity: f64) -> Result<(), AgentError> {
        part::prune(&mut [&mut self.online], sparsity);
        Ok(())
    }

    fn load_weights(&mut self, weights: &Weights) -> Result<(), AgentError> {
        part::load_weights(&mut [&mut self.online], weights)
    }

    fn summary(&self) -> Option<Summary> {
        Some(self.network.summary().clone())
    }

    fn save(&self) -> Result<Vec<u8>, AgentError> {
        encode(&Saved { parts: part::save(&[&self.online]), rng: self.rng.clone(), updates: self.updates })
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), AgentError> {
        let saved: Saved = decode(saved)?;
        part::restored(&[&self.online], saved.parts)?.put(&mut [&mut self.online]);
        (self.rng, self.updates) = (saved.rng, saved.updates);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
