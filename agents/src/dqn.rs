//! DQN and what became of it: Q-learning with a replay buffer and a target network, with independent switches.
//!
//! The switches are
//! `double`, `dueling`, `n_step`, `replay` (priorities), `distribution` (C51, quantiles, implicit quantiles), and noisy layers
//! (`network.head.noisy`); one learner has them all, so that any combination is a configuration. Rainbow, C51, QR-DQN and
//! IQN are names for some.
//!
//! # Source
//! Mnih et al. (2015); van Hasselt et al. (2016) for `double`; Wang et al. (2016) for `dueling`; Schaul et al. (2016) for
//! priorities; Fortunato et al. (2018) for noisy layers; Bellemare et al. (2017), Dabney et al. (2018a, 2018b) for
//! distributions; Hessel et al. (2018) for all together; Kumar et al. (2020), arXiv:2006.04779, for `cql_alpha`; Kostrikov, Yarats and Fergus (2021) for `augmentation`. CleanRL 1.0 `dqn.py` for names and metrics, Stable-Baselines3 2.x
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

use std::sync::Arc;

use agon_nn::{Init, LayoutBuilder, ModelConfig, Schedule, Summary};

pub use config::{DqnConfig, Loss};

use crate::augmentation::ReplayViews;
use crate::experience::Experience;
use crate::guide::Guide;
use crate::learner::{PolicyInfo, RunInfo, Spaces, stream};
use crate::part::{Part, TARGET, Target, is_due};
use crate::policy::Policy;
use crate::q_network::{PackedQ, QNetwork, QShape, Returns};
use crate::q_policy::QPolicy;
use crate::replay_learner::{Plan, ReplayAlgorithm, ReplayLearner};
use crate::slices::{Slice, for_each_slice, slice_range};
use crate::td_sums::TdSums;
use crate::{AgentError, Weights, error};
use minibatch::{SliceWork, Steps, Update};

/// The learner.
pub type Dqn = ReplayLearner<QLearning>;

/// The networks of DQN and its variants.
pub struct QLearning {
    config: DqnConfig,
    network: Arc<QNetwork>,
    online: Part,
    target: Target<PackedQ>,
    epsilon: Schedule,
    learning_rate: Schedule,
    /// Places of quantiles, `[B, Z]`, and of those of targets, `[B, M]`; empty unless quantiles are implicit.
    taus: Vec<f32>,
    target_taus: Vec<f32>,
    views: ReplayViews,
    /// A teacher, and how much it counts.
    teacher: Option<(Guide, f32)>,
}

impl QLearning {
    /// The Q network, and its parameters to be.
    fn layout(
        config: &DqnConfig,
        network: &ModelConfig,
        spaces: &Spaces,
    ) -> Result<(QNetwork, LayoutBuilder), AgentError> {
        config.distribution.validate()?;
        let shape = QShape {
            distribution: config.distribution,
            dueling: config.dueling,
            network,
            // PyTorch's default for linear layers, which CleanRL and Stable-Baselines3 keep.
            init: Init::PYTORCH_LINEAR,
        };
        QNetwork::of("dqn", shape, spaces)
    }

    /// Draws what an update needs beside its minibatch: places of quantiles, and new noise.
    fn draw(&mut self, experience: &mut Experience) -> Result<(), AgentError> {
        let Experience { rng, slots, .. } = experience;
        if let Returns::Implicit(iqn) = &self.network.returns {
            let Self { taus, target_taus, .. } = self;
            for (taus, samples) in [(taus, iqn.samples), (target_taus, iqn.target_samples)] {
                taus.clear();
                taus.extend((0..slots.len() * samples).map(|_| rng.random() as f32));
            }
        }
        if self.network.is_noisy() {
            self.network.resample_noise(&mut self.online.params, rng);
            self.network.resample_noise(&mut self.target.part.params, rng);
            self.refresh()?;
        }
        Ok(())
    }
}

impl ReplayAlgorithm for QLearning {
    type Config = DqnConfig;
    type Work = SliceWork;
    type Sums = TdSums;

    const METRICS: &'static [&'static str] = &[
        "charts/learning_rate",
        "charts/epsilon",
        "losses/td_loss",
        "losses/q_values",
        "charts/beta",
        "losses/teacher_loss",
        "charts/teacher_coef",
        "losses/cql_loss",
    ];

    fn default_network() -> ModelConfig {
        DqnConfig::default_network()
    }

    fn new(config: DqnConfig, network: &ModelConfig, info: &RunInfo) -> Result<(Self, Plan), AgentError> {
        config.validate(info)?;
        let (network, builder) = Self::layout(&config, network, &info.spaces)?;
        let params = builder.build(stream(info.seed, 0));
        let plan = Plan::of_steps(config.replaying(), config.replay, info);
        let (rate, total) = (config.learning_rate, info.total_timesteps);
        let algorithm = Self {
            target: Target { packed: network.pack(&params)?, part: Part::fixed(TARGET, params.clone()) },
            online: Part::trained("", params, config.optimizer)?,
            epsilon: config.exploration(network.is_noisy()).epsilon(total),
            learning_rate: rate.annealed(config.anneal_lr, total),
            taus: Vec::new(),
            target_taus: Vec::new(),
            teacher: None,
            views: ReplayViews::of(config.augmentation.as_ref(), &info.spaces)?,
            network: Arc::new(network),
            config,
        };
        Ok((algorithm, plan))
    }

    fn policy_from(
        config: &DqnConfig,
        network: &ModelConfig,
        info: &PolicyInfo,
        weights: &Weights,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        let (network, builder) = Self::layout(config, network, &info.spaces)?;
        let params = weights.params(builder, &[TARGET])?;
        let epsilon = config.exploration(network.is_noisy()).epsilon(info.total_timesteps);
        QPolicy::of(&Arc::new(network), &params, epsilon)
    }

    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        QPolicy::of(&self.network, &self.online.params, self.epsilon)
    }

    fn summary(&self) -> Summary {
        self.network.summary().clone()
    }

    fn parts(&self) -> Vec<&Part> {
        vec![&self.online, &self.target.part]
    }

    fn parts_mut(&mut self) -> Vec<&mut Part> {
        vec![&mut self.online, &mut self.target.part]
    }

    fn refresh(&mut self) -> Result<(), AgentError> {
        self.target.packed = self.network.pack(&self.target.part.params)?;
        Ok(())
    }

    /// Draws the noise that the first fragment is acted with.
    fn begin(&mut self, experience: &mut Experience) {
        self.after_round(experience);
    }

    /// Moves the target network to the online one if a multiple of `target_network_frequency` was passed.
    fn before_round(&mut self, before: u64, now: u64) -> Result<(), AgentError> {
        if is_due(self.config.target_network_frequency, before, now) {
            self.target.follow(&self.online, self.config.tau, |params| self.network.pack(params))?;
        }
        Ok(())
    }

    fn update(
        &mut self,
        experience: &mut Experience,
        slices: &mut [Slice<SliceWork, TdSums>],
        env_steps: u64,
    ) -> Result<TdSums, AgentError> {
        self.draw(experience)?;
        let seed = self.views.seed(&mut experience.rng);
        let online = if self.config.double { Some(self.network.pack(&self.online.params)?) } else { None };
        let update = Update {
            config: &self.config,
            network: &self.network,
            params: &self.online.params,
            online: online.as_ref(),
            target: &self.target.packed,
            replay: &experience.replay,
            views: &self.views,
            seed,
            teacher: self.teacher.as_ref().map(|(guide, coef)| (guide, *coef)),
            updates: experience.updates,
        };
        let (rows, len) = (experience.slots.len(), self.online.params.len());
        let sums = for_each_slice(slices, rows, len, |range, work, grads| {
            let part = |values: &[f32]| {
                let width = values.len() / rows;
                range.start * width..range.end * width
            };
            let steps = Steps {
                first: range.start,
                weights: &experience.weights[part(&experience.weights)],
                taus: &self.taus[part(&self.taus)],
                target_taus: &self.target_taus[part(&self.target_taus)],
                slots: &experience.slots[range.clone()],
            };
            update.backward(steps, work, grads)
        })?;
        error::ensure_finite("TD loss", sums.loss, experience.updates)?;
        let count = slices.len();
        for (index, slice) in slices.iter().enumerate() {
            experience.learned_from(slice_range(rows, count, index), &slice.work.errors);
        }
        self.online.descend(slices, self.config.max_grad_norm, self.learning_rate.at(env_steps))?;
        Ok(sums)
    }

    fn follow(&mut self, guide: Guide) -> Result<(), AgentError> {
        if guide.is_privileged() {
            let (expected, found) = ("ppo, whose teacher may see more than it does", "dqn".to_owned());
            return Err(AgentError::Unsupported { algorithm: "learning from a teacher", expected, found });
        }
        if !matches!(self.network.returns, Returns::Mean) || !guide.chooses() {
            let (expected, found) = ("values without a distribution of returns", "others".to_owned());
            return Err(AgentError::Unsupported { algorithm: "learning from a teacher", expected, found });
        }
        self.teacher = Some((guide, 0.0));
        Ok(())
    }

    fn set_guidance(&mut self, coef: f64) {
        self.teacher.iter_mut().for_each(|(_, now)| *now = coef as f32);
    }

    /// Draws the noise that the next fragment is acted with.
    fn after_round(&mut self, experience: &mut Experience) {
        if self.network.is_noisy() {
            self.network.resample_noise(&mut self.online.params, &mut experience.rng);
        }
    }

    fn metrics(&self, sums: Option<&TdSums>, experience: &Experience, env_steps: u64) -> Vec<f64> {
        let [loss, q_values] = TdSums::means(sums);
        let rate = self.learning_rate.at(env_steps);
        let coef = self.teacher.as_ref().map_or(f64::NAN, |(_, coef)| f64::from(*coef));
        let teacher_loss = match sums {
            Some(sums) if coef > 0.0 => sums.teacher_loss / sums.steps as f64,
            _ => f64::NAN,
        };
        let cql_loss = match sums {
            Some(sums) if self.config.cql_alpha > 0.0 => sums.cql_loss / sums.steps as f64,
            _ => f64::NAN,
        };
        let beta = experience.beta(env_steps);
        vec![rate, self.epsilon.at(env_steps), loss, q_values, beta, teacher_loss, coef, cql_loss]
    }
}

#[cfg(test)]
mod tests;
