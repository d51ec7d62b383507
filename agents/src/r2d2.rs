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

mod config;
mod loss;
mod policy;

use std::sync::Arc;

use agon_nn::{
    Activation, EncoderConfig, Head, HeadSpec, Init, LayoutBuilder, MemoryConfig, Model, ModelConfig,
    PackedModel, RecurrentInit, Schedule, Summary,
};

pub use config::R2d2Config;

use crate::experience::{Experience, Unit};
use crate::learner::{PolicyInfo, RunInfo, Spaces, single_discrete, stream};
use crate::part::{Part, TARGET, Target};
use crate::policy::Policy;
use crate::replay::ReplayShape;
use crate::replay_learner::{Plan, ReplayAlgorithm, ReplayLearner};
use crate::slices::{Slice, for_each_slice, slice_range};
use crate::td_sums::TdSums;
use crate::{AgentError, Weights, error, network};
use loss::{SliceWork, Update};
use policy::RecurrentPolicy;

/// The learner.
pub type R2d2 = ReplayLearner<RecurrentQLearning>;

/// The networks of R2D2.
pub struct RecurrentQLearning {
    config: R2d2Config,
    learning_rate: Schedule,
    model: Arc<Model>,
    online: Part,
    target: Target<PackedModel>,
    epsilon: Schedule,
}

impl RecurrentQLearning {
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
}

impl ReplayAlgorithm for RecurrentQLearning {
    type Config = R2d2Config;
    type Work = SliceWork;
    type Sums = TdSums;

    const METRICS: &'static [&'static str] =
        &["charts/learning_rate", "charts/epsilon", "losses/td_loss", "losses/q_values", "charts/beta"];

    fn default_network() -> ModelConfig {
        ModelConfig {
            encoder: EncoderConfig::mlp(&[64], Activation::Relu),
            memory: MemoryConfig::Lstm { hidden: 64, init: RecurrentInit::default() },
            ..ModelConfig::default()
        }
    }

    fn new(config: R2d2Config, network: &ModelConfig, info: &RunInfo) -> Result<(Self, Plan), AgentError> {
        config.validate(info)?;
        let (model, builder) = Self::layout(&config, network, &info.spaces)?;
        let params = builder.build(stream(info.seed, 0));
        let plan = Plan {
            buffer_size: config.buffer_size,
            shape: ReplayShape {
                state_len: model.state_len(),
                state_period: config.num_steps,
                ..ReplayShape::of(info)
            },
            sampling: config.replay,
            unit: Unit::Sequence(config.sequence_length()),
            learning_starts: config.learning_starts,
            num_steps: config.num_steps,
            gradient_steps: config.gradient_steps,
            batch_size: config.batch_size,
            gradient_slices: config.gradient_slices,
        };
        let packed = PackedModel::new(&model, &params)?;
        let algorithm = Self {
            target: Target { part: Part::fixed(TARGET, params.clone()), packed },
            online: Part::trained("", params, config.optimizer)?,
            epsilon: config.exploration().epsilon(info.total_timesteps),
            model: Arc::new(model),
            learning_rate: config.learning_rate.schedule(info.total_timesteps),
            config,
        };
        Ok((algorithm, plan))
    }

    fn policy_from(
        config: &R2d2Config,
        network: &ModelConfig,
        info: &PolicyInfo,
        weights: &Weights,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        let (model, builder) = Self::layout(config, network, &info.spaces)?;
        let params = weights.params(builder, &[TARGET])?;
        let epsilon = config.exploration().epsilon(info.total_timesteps);
        RecurrentPolicy::of(&Arc::new(model), &params, epsilon)
    }

    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        RecurrentPolicy::of(&self.model, &self.online.params, self.epsilon)
    }

    fn summary(&self) -> Summary {
        self.model.summary().clone()
    }

    fn parts(&self) -> Vec<&Part> {
        vec![&self.online, &self.target.part]
    }

    fn parts_mut(&mut self) -> Vec<&mut Part> {
        vec![&mut self.online, &mut self.target.part]
    }

    fn refresh(&mut self) -> Result<(), AgentError> {
        self.target.packed = PackedModel::new(&self.model, &self.target.part.params)?;
        Ok(())
    }

    fn update(
        &mut self,
        experience: &mut Experience,
        slices: &mut [Slice<SliceWork, TdSums>],
        env_steps: u64,
    ) -> Result<TdSums, AgentError> {
        let online = PackedModel::new(&self.model, &self.online.params)?;
        let update = Update {
            config: &self.config,
            model: &self.model,
            params: &self.online.params,
            online: &online,
            target: &self.target.packed,
            replay: &experience.replay,
            updates: experience.updates,
        };
        let (rows, len) = (experience.slots.len(), self.online.params.len());
        let sums = for_each_slice(slices, rows, len, |range, work, grads| {
            let weights = experience.weights.get(range.clone()).unwrap_or(&[]);
            update.backward(&experience.slots[range], weights, work, grads)
        })?;
        error::ensure_finite("TD loss", sums.loss, experience.updates)?;
        let count = slices.len();
        for (index, slice) in slices.iter().enumerate() {
            experience.learned_from(slice_range(rows, count, index), &slice.work.priorities);
        }
        self.online.descend(slices, self.config.max_grad_norm, self.learning_rate.at(env_steps))?;
        if (experience.updates + 1).is_multiple_of(self.config.target_update_period) {
            let pack = |params: &_| Ok(PackedModel::new(&self.model, params)?);
            self.target.follow(&self.online, 1.0, pack)?;
        }
        Ok(sums)
    }

    fn metrics(&self, sums: Option<&TdSums>, experience: &Experience, env_steps: u64) -> Vec<f64> {
        let [loss, q_values] = TdSums::means(sums);
        let (epsilon, beta) = (self.epsilon.at(env_steps), experience.beta(env_steps));
        vec![self.learning_rate.at(env_steps), epsilon, loss, q_values, beta]
    }
}

#[cfg(test)]
mod tests;
