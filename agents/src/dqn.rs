//! DQN and what became of it: Q-learning with a replay buffer and a target network, with independent switches.
//!
//! Each iteration adds its fragments to the replay buffer and then takes `gradient_steps` updates. The switches are
//! `double`, `dueling`, `n_step`, `replay` (priorities), `distribution` (C51, quantiles, implicit quantiles), and noisy layers
//! (`network.head.noisy`); one learner has them all, so that any combination is a configuration. Rainbow, C51, QR-DQN and
//! IQN are names for some.
//!
//! # Source
//! Mnih et al. (2015); van Hasselt et al. (2016) for `double`; Wang et al. (2016) for `dueling`; Schaul et al. (2016) for
//! priorities; Fortunato et al. (2018) for noisy layers; Bellemare et al. (2017), Dabney et al. (2018a, 2018b) for
//! distributions; Hessel et al. (2018) for all together. CleanRL 1.0 `dqn.py` for names and metrics, Stable-Baselines3 2.x
//! `dqn.py` for `gradient_steps` and gradient clipping.
//!
//! # Deviations
//! 1. The target network is updated before a round of gradient updates, not after it (as in Stable-Baselines3, where it
//!    happens while acting). With a `target_network_frequency` below `train_frequency` that is once a round.
//! 2. Truncated transitions bootstrap from their final observation; where they do, every action counts as allowed.
//! 3. A minibatch's gradient is summed over `gradient_slices` slices in a fixed order.
//! 4. An n-step return that would reach beyond the newest step is cut there and bootstraps with the power of γ that it got to.
//! 5. Importance weights are divided by the largest of the minibatch, not of the buffer.
//! 6. With several gradient steps a round, noise is drawn for each of them, and once for the acting of the next fragment.
//! 7. Implicit quantiles choose actions by the mean over evenly spaced places, not over drawn ones.

mod config;
mod minibatch;
pub(crate) mod policy;
pub(crate) mod q_network;

use std::sync::Arc;

use agon_envs::Pcg64;
use agon_nn::{Init, LayoutBuilder, ModelConfig, Optimizer, OptimizerState, Params, Summary};
use serde::{Deserialize, Serialize};

pub use config::{C51Config, Distribution, DqnConfig, IqnConfig, Loss, QrConfig, Sampling};

use crate::algorithms::Algorithm;
use crate::chunks::{ChunkStore, restore_whole, save_whole};
use crate::learner::{
    LearnReport, Learner, PolicyInfo, RunInfo, Spaces, decode, encode, restored_optimizer, restored_params,
    stream,
};
use crate::policy::Policy;
use crate::replay::{Priorities, ReplayBuffer, ReplayShape, SavedPriorities, SavedReplay};
use crate::schedule::LinearSchedule;
use crate::slices::{awake, descend, for_each_slice, slice_range};
use crate::{AgentError, Fragment, Weights};
use minibatch::{SliceWork, Steps, Update};
use policy::DqnPolicy;
use q_network::{PackedQ, QNetwork, QShape, Returns};

/// What the target network's tensors are called, before their own names.
pub(crate) const TARGET: &str = "target.";

/// The learner.
pub struct Dqn {
    config: DqnConfig,
    network: Arc<QNetwork>,
    params: Params,
    /// The online network as of this update, if it chooses the target's action.
    online: Option<PackedQ>,
    target: PackedQ,
    target_params: Params,
    optimizer: Optimizer,
    rng: Pcg64,
    replay: ReplayBuffer,
    priorities: Option<Priorities>,
    updates: u64,
    learning_rate: LinearSchedule,
    epsilon: LinearSchedule,
    beta: LinearSchedule,
    num_steps: usize,
    minibatch: Minibatch,
    slices: Vec<SliceWork>,
}

/// The steps of an update and the random numbers that go with them.
#[derive(Debug, Default)]
struct Minibatch {
    slots: Vec<u32>,
    weights: Vec<f32>,
    taus: Vec<f32>,
    target_taus: Vec<f32>,
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

/// Sums over the steps of a round of updates.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    loss: f64,
    q: f64,
}

impl Dqn {
    /// The Q network, and its parameters to be.
    fn layout(
        config: &DqnConfig,
        network: &ModelConfig,
        spaces: &Spaces,
    ) -> Result<(QNetwork, LayoutBuilder), AgentError> {
        let shape = QShape {
            distribution: config.distribution,
            dueling: config.dueling,
            network,
            // PyTorch's default for linear layers, which CleanRL and Stable-Baselines3 keep.
            init: Init::PYTORCH_LINEAR,
        };
        QNetwork::of("dqn", shape, spaces)
    }

    fn epsilon(config: &DqnConfig, network: &QNetwork, total_timesteps: u64) -> LinearSchedule {
        let (start, end) = config.epsilon(network.is_noisy());
        LinearSchedule { start, end, duration: config.exploration_fraction * total_timesteps as f64 }
    }
    /// Draws the next minibatch, and new noise.
    fn begin_update(&mut self, env_steps: u64) -> Result<(), AgentError> {
        let Minibatch { slots, weights, taus, target_taus } = &mut self.minibatch;
        slots.clear();
        weights.clear();
        let count = self.config.batch_size;
        match &self.priorities {
            None => self.replay.sample(count, &mut self.rng, slots),
            Some(priorities) => {
                let beta = self.beta.at(env_steps);
                priorities.sample(count, self.replay.len(), beta, &mut self.rng, slots, weights);
            }
        }
        if let Returns::Implicit(iqn) = &self.network.returns {
            for (taus, samples) in [(taus, iqn.samples), (target_taus, iqn.target_samples)] {
                taus.clear();
                taus.extend((0..count * samples).map(|_| self.rng.random() as f32));
            }
        }
        if self.network.is_noisy() {
            self.network.resample_noise(&mut self.params, &mut self.rng);
            self.network.resample_noise(&mut self.target_params, &mut self.rng);
            self.target = self.network.pack(&self.target_params)?;
        }
        if self.config.double {
            self.online = Some(self.network.pack(&self.params)?);
        }
        Ok(())
    }

    /// Sums the slices' gradients and takes the step.
    fn finish_update(&mut self, slices: &mut [SliceWork], learning_rate: f64) -> Result<Sums, AgentError> {
        let sums = slices
            .iter()
            .fold(Sums::default(), |sums, work| Sums { loss: sums.loss + work.loss, q: sums.q + work.q_sum });
        if !sums.loss.is_finite() {
            return Err(AgentError::NotFinite { what: "TD loss", value: sums.loss, update: self.updates });
        }
        if let Some(priorities) = &mut self.priorities {
            let count = slices.len();
            for (slice, work) in slices.iter().enumerate() {
                let range = slice_range(self.minibatch.slots.len(), count, slice);
                priorities.update(&self.minibatch.slots[range], &work.errors);
            }
        }
        let Some((first, others)) = slices.split_first_mut() else { return Ok(sums) };
        let gradients: Vec<&[f32]> = others.iter().map(|work| work.grads.as_slice()).collect();
        descend(
            &mut self.params,
            &mut self.optimizer,
            &mut first.grads,
            &gradients,
            self.config.max_grad_norm,
            learning_rate,
        )?;
        self.updates += 1;
        Ok(sums)
    }

    /// A round of updates.
    fn train(&mut self, slices: &mut [SliceWork], env_steps: u64) -> Result<Sums, AgentError> {
        let mut total = Sums::default();
        let learning_rate = self.learning_rate.at(env_steps);
        let count = slices.len();
        for _ in 0..self.config.gradient_steps {
            self.begin_update(env_steps)?;
            let update = Update {
                config: &self.config,
                network: &self.network,
                params: &self.params,
                online: self.online.as_ref(),
                target: &self.target,
                replay: &self.replay,
                updates: self.updates,
            };
            let minibatch = &self.minibatch;
            for_each_slice(slices, |slice, work| update.backward(minibatch.slice(count, slice), work))?;
            let sums = self.finish_update(slices, learning_rate)?;
            total = Sums { loss: total.loss + sums.loss, q: total.q + sums.q };
        }
        if self.network.is_noisy() {
            self.network.resample_noise(&mut self.params, &mut self.rng);
        }
        Ok(total)
    }

    /// Moves the target network to the online one if a multiple of `target_network_frequency` was passed.
    fn update_target(&mut self, steps_before: u64, env_steps: u64) -> Result<(), AgentError> {
        let frequency = self.config.target_network_frequency;
        if env_steps / frequency > steps_before / frequency {
            self.target_params.lerp_from(&self.params, self.config.tau as f32)?;
            self.target = self.network.pack(&self.target_params)?;
        }
        Ok(())
    }
}

impl Minibatch {
    /// One of `slices` nearly equal parts.
    fn slice(&self, slices: usize, slice: usize) -> Steps<'_> {
        let rows = self.slots.len();
        let range = slice_range(rows, slices, slice);
        let part = |values: &'_ [f32]| {
            let width = values.len() / rows;
            range.start * width..range.end * width
        };
        Steps {
            weights: &self.weights[part(&self.weights)],
            taus: &self.taus[part(&self.taus)],
            target_taus: &self.target_taus[part(&self.target_taus)],
            slots: &self.slots[range.clone()],
        }
    }
}

impl Algorithm for Dqn {
    type Config = DqnConfig;

    fn default_network() -> ModelConfig {
        DqnConfig::default_network()
    }

    fn new(config: DqnConfig, network: &ModelConfig, info: &RunInfo) -> Result<Self, AgentError> {
        config.validate(info)?;
        let (network, builder) = Self::layout(&config, network, &info.spaces)?;
        let mut params = builder.build(stream(info.seed, 0));
        let mut rng = Pcg64::seed_from(stream(info.seed, 1));
        let target_params = params.clone();
        if network.is_noisy() {
            network.resample_noise(&mut params, &mut rng);
        }
        let replay = ReplayBuffer::new(config.buffer_size, ReplayShape::of(info));
        let (priorities, beta) = match config.replay {
            Sampling::Uniform => (None, LinearSchedule { start: f64::NAN, end: f64::NAN, duration: 0.0 }),
            Sampling::Prioritized(prioritized) => {
                let priorities = Priorities::new(prioritized, replay.slots());
                (Some(priorities), prioritized.beta(info.total_timesteps))
            }
        };
        Ok(Self {
            online: None,
            target: network.pack(&target_params)?,
            target_params,
            optimizer: Optimizer::new(config.optimizer, params.len())?,
            rng,
            replay,
            priorities,
            updates: 0,
            learning_rate: LinearSchedule::annealed(
                config.learning_rate,
                config.anneal_lr,
                info.total_timesteps,
            ),
            epsilon: Self::epsilon(&config, &network, info.total_timesteps),
            beta,
            num_steps: config.train_frequency / info.num_envs,
            minibatch: Minibatch::default(),
            slices: (0..config.gradient_slices).map(|_| SliceWork::default()).collect(),
            network: Arc::new(network),
            params,
            config,
        })
    }

    fn policy_from(
        config: &DqnConfig,
        network: &ModelConfig,
        info: &PolicyInfo,
        weights: &Weights,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        let (network, builder) = Self::layout(config, network, &info.spaces)?;
        let mut params = builder.build(0);
        weights.fill_all(&mut [("", &mut params)], &[TARGET])?;
        let epsilon = Self::epsilon(config, &network, info.total_timesteps);
        DqnPolicy::of(&Arc::new(network), &params, epsilon)
    }
}

impl Learner for Dqn {
    fn num_steps(&self) -> usize {
        self.num_steps
    }

    fn metric_names(&self) -> &'static [&'static str] {
        &["charts/learning_rate", "charts/epsilon", "losses/td_loss", "losses/q_values", "charts/beta"]
    }

    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        DqnPolicy::of(&self.network, &self.params, self.epsilon)
    }

    fn learn(&mut self, fragments: &[Fragment], env_steps: u64) -> Result<LearnReport, AgentError> {
        let priorities = &mut self.priorities;
        self.replay.extend(fragments, |slot, learnable| {
            if let Some(priorities) = priorities {
                priorities.added(slot, learnable);
            }
        });
        let mut sums = Sums { loss: f64::NAN, q: f64::NAN };
        let steps: usize = fragments.iter().map(Fragment::env_steps).sum();
        self.update_target(env_steps - steps as u64, env_steps)?;
        if env_steps > self.config.learning_starts && !self.replay.is_empty() {
            // Taken out, so that slices can be written while they all read the rest of the learner.
            let mut slices = std::mem::take(&mut self.slices);
            let outcome = awake(slices.len() - 1, || self.train(&mut slices, env_steps));
            self.slices = slices;
            sums = outcome?;
        }
        let rows = (self.config.gradient_steps * self.config.batch_size) as f64;
        let [learning_rate, epsilon, beta] =
            [self.learning_rate, self.epsilon, self.beta].map(|schedule| schedule.at(env_steps));
        Ok(LearnReport {
            updates: self.updates,
            metrics: vec![learning_rate, epsilon, sums.loss / rows, sums.q / rows, beta],
        })
    }

    fn weights(&self) -> Weights {
        let mut weights = Weights::new();
        weights.add("", &self.params);
        weights.add(TARGET, &self.target_params);
        weights
    }

    fn load_weights(&mut self, weights: &Weights) -> Result<(), AgentError> {
        weights.fill_all(&mut [("", &mut self.params), (TARGET, &mut self.target_params)], &[])?;
        self.target = self.network.pack(&self.target_params)?;
        Ok(())
    }

    fn summary(&self) -> Option<Summary> {
        Some(self.network.summary().clone())
    }

    fn memory_bytes(&self) -> u64 {
        // A leaf and an inner node of eight bytes for each slot.
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
        self.target = self.network.pack(&target_params)?;
        (self.params, self.target_params, self.optimizer) = (params, target_params, optimizer);
        (self.replay, self.priorities) = (replay, priorities);
        self.rng = saved.rng;
        self.updates = saved.updates;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
