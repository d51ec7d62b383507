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

mod config;
mod ensemble;

use std::ops::Range;
use std::sync::Arc;

use agon_nn::losses::mse;
use agon_nn::{Activation, EncoderConfig, Input, ModelConfig, Packed, Schedule, Scratch, Summary, Tape};

pub use config::BootstrappedDqnConfig;

use crate::experience::Experience;
use crate::exploration::best;
use crate::learner::{PolicyInfo, RunInfo, stream};
use crate::part::{Part, TARGET, Target, is_due};
use crate::policy::Policy;
use crate::replay::{NStep, ReplayBuffer, Sampling};
use crate::replay_learner::{Plan, ReplayAlgorithm, ReplayLearner};
use crate::slices::{Slice, for_each_slice};
use crate::td_sums::TdSums;
use crate::{AgentError, Weights, error};
use ensemble::{Ensemble, EnsemblePolicy, PRIOR, Prior};

/// The learner.
pub type BootstrappedDqn = ReplayLearner<EnsembleQLearning>;

/// The networks of bootstrapped DQN.
pub struct EnsembleQLearning {
    config: BootstrappedDqnConfig,
    learning_rate: Schedule,
    ensemble: Arc<Ensemble>,
    num_actions: usize,
    online: Part,
    target: Target<Vec<Packed>>,
    prior_part: Part,
    prior: Arc<Prior>,
    /// Decides which members learn from which steps.
    mask_seed: u64,
}

/// Working memory of one slice of the members.
#[derive(Debug, Default)]
pub struct SliceWork {
    scratch: Scratch,
    values: Vec<f32>,
    prior_values: Vec<f32>,
    q_grads: Vec<Vec<f32>>,
}

/// What all members learn from in an update.
struct Minibatch<'a> {
    replay: &'a ReplayBuffer,
    slots: &'a [u32],
    steps: Vec<NStep>,
    x: Input,
    next: Input,
}

impl EnsembleQLearning {
    /// Whether a member learns from a step: a number of 53 bits hashed from both, against `mask_prob`.
    fn learns(&self, member: usize, replay: &ReplayBuffer, slot: u32) -> bool {
        let step = replay.number(slot).wrapping_mul(self.config.ensemble as u64);
        let hash = mixed(self.mask_seed ^ mixed(step.wrapping_add(member as u64)));
        ((hash >> 11) as f64) < self.config.mask_prob * (1_u64 << 53) as f64
    }

    /// The losses of some members and their gradient.
    fn backward(
        &self,
        batch: &Minibatch<'_>,
        members: Range<usize>,
        work: &mut SliceWork,
        grads: &mut [f32],
    ) -> Result<TdSums, AgentError> {
        let (rows, actions) = (batch.slots.len(), self.num_actions);
        let SliceWork { scratch, values, prior_values, q_grads } = work;
        q_grads.resize(members.len(), Vec::new());
        let mut sums = TdSums { steps: rows * members.len(), ..TdSums::default() };
        let weight = 1.0 / (self.config.ensemble * rows) as f32;
        let mut tape = Tape::new();
        let mut outputs = Vec::new();
        for (grads, k) in q_grads.iter_mut().zip(members) {
            let network = &self.ensemble.members[k];
            let mut infer = |packed: &Packed, x: &Input, out: &mut Vec<f32>| {
                out.resize(rows * actions, 0.0);
                network.infer(packed, x, rows, scratch, out)
            };
            infer(&self.target.packed[k], &batch.next, values)?;
            infer(&self.prior.packed[k], &batch.next, prior_values)?;
            let pairs = values.iter_mut().zip(&*prior_values);
            pairs.for_each(|(value, prior)| *value += self.prior.scale * prior);
            infer(&self.prior.packed[k], &batch.x, prior_values)?;
            let learned = network.forward_input(&self.online.params, &batch.x, &mut tape)?;
            grads.clear();
            grads.resize(rows * actions, 0.0);
            for (row, (&slot, step)) in batch.slots.iter().zip(&batch.steps).enumerate() {
                let values = &values[row * actions..(row + 1) * actions];
                let next = values[best(values, batch.replay.next_mask(slot))];
                let following = if step.discount == 0.0 { 0.0 } else { step.discount * next };
                let chosen = row * actions + batch.replay.action(slot).index();
                let q_value = learned.as_slice()[chosen] + self.prior.scale * prior_values[chosen];
                sums.q_values += f64::from(q_value);
                let (loss, slope) = mse(q_value - (step.reward + following));
                // Lost rewards must not hide behind a mask.
                if self.learns(k, batch.replay, slot) || !loss.is_finite() {
                    sums.loss += f64::from(loss);
                    grads[chosen] = weight * slope;
                }
            }
            outputs.push(learned);
        }
        let pairs: Vec<_> = outputs.iter().zip(&*q_grads).map(|(out, grads)| (out, &grads[..])).collect();
        tape.backward(&self.online.params, &pairs, grads)?;
        Ok(sums)
    }
}

impl ReplayAlgorithm for EnsembleQLearning {
    type Config = BootstrappedDqnConfig;
    type Work = SliceWork;
    type Sums = TdSums;

    const METRICS: &'static [&'static str] = &["charts/learning_rate", "losses/td_loss", "losses/q_values"];

    /// bsuite's, for each member.
    fn default_network() -> ModelConfig {
        ModelConfig { encoder: EncoderConfig::mlp(&[50, 50], Activation::Relu), ..ModelConfig::default() }
    }

    fn new(
        config: BootstrappedDqnConfig,
        network: &ModelConfig,
        info: &RunInfo,
    ) -> Result<(Self, Plan), AgentError> {
        config.validate(info)?;
        let (ensemble, builder) = Ensemble::layout(&config, network, &info.spaces)?;
        let prior = builder.clone().build(stream(info.seed, 2));
        let params = builder.build(stream(info.seed, 0));
        let plan = Plan::of_steps(config.replaying(), Sampling::Uniform, info);
        let algorithm = Self {
            num_actions: ensemble.members[0].outputs(),
            prior: Arc::new(Prior::of(&ensemble, &prior, config.prior_scale)?),
            prior_part: Part::fixed(PRIOR, prior),
            target: Target { packed: ensemble.pack(&params)?, part: Part::fixed(TARGET, params.clone()) },
            online: Part::trained("", params, config.optimizer)?,
            mask_seed: stream(info.seed, 3),
            ensemble: Arc::new(ensemble),
            learning_rate: config.learning_rate.schedule(info.total_timesteps),
            config,
        };
        Ok((algorithm, plan))
    }

    fn policy_from(
        config: &BootstrappedDqnConfig,
        network: &ModelConfig,
        info: &PolicyInfo,
        weights: &Weights,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        let (ensemble, builder) = Ensemble::layout(config, network, &info.spaces)?;
        let [params, prior] = weights.params_of([("", builder.clone()), (PRIOR, builder)], &[TARGET])?;
        let prior = Prior::of(&ensemble, &prior, config.prior_scale)?;
        EnsemblePolicy::of(&Arc::new(ensemble), &params, &Arc::new(prior))
    }

    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        EnsemblePolicy::of(&self.ensemble, &self.online.params, &self.prior)
    }

    fn summary(&self) -> Summary {
        self.ensemble.summary.clone()
    }

    fn parts(&self) -> Vec<&Part> {
        vec![&self.online, &self.target.part, &self.prior_part]
    }

    fn parts_mut(&mut self) -> Vec<&mut Part> {
        vec![&mut self.online, &mut self.target.part, &mut self.prior_part]
    }

    fn refresh(&mut self) -> Result<(), AgentError> {
        self.target.packed = self.ensemble.pack(&self.target.part.params)?;
        let prior = Prior::of(&self.ensemble, &self.prior_part.params, self.config.prior_scale)?;
        self.prior = Arc::new(prior);
        Ok(())
    }

    fn before_round(&mut self, before: u64, now: u64) -> Result<(), AgentError> {
        if is_due(self.config.target_network_frequency, before, now) {
            self.target.follow(&self.online, 1.0, |params| self.ensemble.pack(params))?;
        }
        Ok(())
    }

    fn update(
        &mut self,
        experience: &mut Experience,
        slices: &mut [Slice<SliceWork, TdSums>],
        env_steps: u64,
    ) -> Result<TdSums, AgentError> {
        let (replay, slots) = (&experience.replay, experience.slots.as_slice());
        let gamma = self.config.gamma as f32;
        let batch = Minibatch {
            replay,
            slots,
            steps: slots.iter().map(|&slot| replay.n_step(slot, gamma, 1)).collect(),
            x: replay.observations(slots)?,
            next: replay.next_observations(slots)?,
        };
        let len = self.online.params.len();
        let sums = for_each_slice(slices, self.config.ensemble, len, |members, work, grads| {
            self.backward(&batch, members, work, grads)
        })?;
        error::ensure_finite("TD loss", sums.loss, experience.updates)?;
        self.online.descend(slices, self.config.max_grad_norm, self.learning_rate.at(env_steps))?;
        Ok(sums)
    }

    fn metrics(&self, sums: Option<&TdSums>, _experience: &Experience, env_steps: u64) -> Vec<f64> {
        let [loss, q_values] = TdSums::means(sums);
        vec![self.learning_rate.at(env_steps), loss, q_values]
    }

    fn own_seed(&self) -> u64 {
        self.mask_seed
    }

    fn set_own_seed(&mut self, seed: u64) {
        self.mask_seed = seed;
    }
}

/// The output function of SplitMix64 (Steele, Lea and Flood 2014).
fn mixed(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
