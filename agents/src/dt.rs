//! DT: the decision transformer, which learns what recorded data did given the return that followed, and acts by asking for a
//! high one.
//!
//! Each step of an episode is three tokens of a causal transformer ([`agon_nn::Gpt`]): the return-to-go, what was observed, and
//! what was done. The output at an observation predicts the action, from the last `network.memory.window` steps:
//!
//! ```text
//! R̂_t = Σ_{k ≥ t} r_k          loss = −log π(a_t | R̂_{t−K+1}, s_{t−K+1}, a_{t−K+1}, …, R̂_t, s_t)
//! ```
//!
//! or the squared distance of numbers between −1 and 1. There are no values and nothing is bootstrapped. Acting, the return-to-go
//! is `target_return` at first and falls by each reward.
//!
//! # Design discussion
//!
//! * What a policy must know of the data, its best return and the scale of returns, lies among the weights, as a buffer that is
//!   not learned (`returns`): a policy is made from weights alone.
//! * A minibatch is of steps, each with those before it, and not of sequences that begin somewhere: what a step sees of its past
//!   is what it would see when acting, and `Experience` draws steps anyway.
//! * A window that slides is computed anew, see [`agon_nn::gpt`].
//!
//! # Source
//! Chen et al. (2021), "Decision Transformer: Reinforcement Learning via Sequence Modeling", arXiv:2106.01345, algorithm 1 and
//! tables 8 and 9, and the authors' implementation.
//!
//! # Deviations
//! 1. There is no dropout; the paper's is 0.1.
//! 2. A minibatch is of steps with what came before them, drawn alike; the authors' is of sequences from a step on, of episodes
//!    drawn by their lengths. Theirs too is a mean over all steps of the sequences.
//! 3. The target is the best return of the data, of a row's task if there are several, unless one is set, and returns are divided
//!    by the greatest return-to-go of the data, not by chosen numbers.
//! 4. Steps beyond `network.memory.position`'s share the last encoding.
//! 5. Choices are learned without action masks: what was illegal is never in the data, and acting does not choose it.
//! 6. Observations are not normalised unless the run's wrappers do so.
//! 7. The network is 64 wide with 4 heads, GELU throughout, and PyTorch's initialisation; the paper's 128 with one, ReLU (Gym) or
//!    GELU (Atari), and GPT-2's.
//! 8. A minibatch's gradient is summed over `gradient_slices` slices in a fixed order.

mod config;
mod network;
mod policy;
#[cfg(test)]
mod tests;
mod trajectories;

use std::ops::Range;
use std::sync::Arc;

use agon_nn::{
    Activation, EncoderConfig, GptInput, Input, MemoryConfig, ModelConfig, Position, Schedule, Summary, Tape,
    TransformerConfig,
};

pub use config::DtConfig;

use crate::behavior::{BehaviorSums, recorded_actions};
use crate::experience::Experience;
use crate::learner::{PolicyInfo, RunInfo, stream};
use crate::part::Part;
use crate::replay::ReplayBuffer;
use crate::replay_learner::{Plan, ReplayAlgorithm, ReplayLearner};
use crate::slices::{Slice, for_each_slice};
use crate::{AgentError, Fragment, Policy, Weights, error};
use network::Network;
use policy::ReturnConditioned;
use trajectories::Trajectories;

/// The learner.
pub type Dt = ReplayLearner<DecisionTransformer>;

/// The network of DT, and what it knows of the data.
#[doc(alias = "DT")]
pub struct DecisionTransformer {
    config: DtConfig,
    network: Arc<Network>,
    model: Part,
    learning_rate: Schedule,
    /// The tasks of recorded steps, in their order, and how many tasks there are.
    tasks: Vec<u32>,
    num_tasks: usize,
    /// None before all data are there.
    trajectories: Option<Trajectories>,
}

/// Steps that are learned from, each with what came before it in its episode.
struct Contexts {
    /// Slots, one context after the other, each from its oldest step on.
    slots: Vec<u32>,
    /// Where each context lies among them.
    ranges: Vec<Range<usize>>,
}

impl Contexts {
    /// Of so many steps each, at most.
    fn of(replay: &ReplayBuffer, ends: &[u32], len: usize) -> Self {
        let mut slots = Vec::with_capacity(ends.len() * len);
        let ranges = ends.iter().map(|&end| {
            let first = slots.len();
            slots.extend(replay.context(end, len));
            first..slots.len()
        });
        let ranges = ranges.collect();
        Self { slots, ranges }
    }
}

impl DecisionTransformer {
    /// The gradient of the mean loss over all steps of all contexts, for some of these.
    fn backward(
        &self,
        replay: &ReplayBuffer,
        trajectories: &Trajectories,
        contexts: &Contexts,
        range: Range<usize>,
        grads: &mut [f32],
    ) -> Result<BehaviorSums, AgentError> {
        let ranges = &contexts.ranges[range];
        let longest = ranges.iter().map(ExactSizeIterator::len).max().unwrap_or(1);
        let (mut padded, mut wanted) = (Vec::with_capacity(ranges.len() * longest), Vec::new());
        for range in ranges {
            wanted.extend((padded.len()..).take(range.len()).map(|row| row as u32));
            let own = &contexts.slots[range.clone()];
            padded.extend_from_slice(own);
            // What follows the last step has no say, whatever it is.
            padded.extend(own.last().into_iter().cycle().take(longest - own.len()));
        }
        let learned: Vec<u32> = wanted.iter().map(|&row| padded[row as usize]).collect();
        let params = &self.model.params;
        let returns = self.network.returns(params);
        let scaled = |&slot: &u32| trajectories.return_to_go(slot) / returns[trajectories.task(slot)].scale;
        let returns_to_go: Vec<f32> = padded.iter().map(scaled).collect();
        let positions: Vec<u32> = padded.iter().map(|&slot| trajectories.timestep(slot)).collect();
        let parts = [
            Input::Floats(Network::matrix(&returns_to_go, 1)?),
            replay.observations(&padded)?,
            Input::Floats(self.network.actions(&recorded_actions(replay, &padded))?),
        ];
        let x = GptInput { parts: &parts, positions: &positions, sequences: ranges.len(), wanted: &wanted };
        let mut tape = Tape::new();
        let outputs = self.network.gpt.forward(params, &x, &mut tape)?;
        let actions = recorded_actions(replay, &learned);
        let weights = vec![1.0 / contexts.slots.len() as f32; learned.len()];
        let mut gradient = vec![0.0; outputs.as_slice().len()];
        let loss = self.network.regressed.loss(outputs.as_slice(), &actions, &weights, &mut gradient)?;
        tape.backward(params, &[(&outputs, &gradient)], grads)?;
        Ok(BehaviorSums { loss, rows: learned.len() })
    }
}

impl ReplayAlgorithm for DecisionTransformer {
    type Config = DtConfig;
    type Work = ();
    type Sums = BehaviorSums;

    const METRICS: &'static [&'static str] = &["charts/learning_rate", "losses/action_loss"];
    const READS_NEXT: bool = false;

    fn default_network() -> ModelConfig {
        ModelConfig {
            encoder: EncoderConfig::mlp(&[], Activation::Relu),
            memory: MemoryConfig::Transformer(TransformerConfig {
                layers: 3,
                heads: 4,
                width: 64,
                feed_forward: 256,
                window: 20,
                position: Position::Learned { positions: 1000 },
            }),
            ..ModelConfig::default()
        }
    }

    fn new(config: DtConfig, network: &ModelConfig, info: &RunInfo) -> Result<(Self, Plan), AgentError> {
        config.validate()?;
        let (network, builder) = Network::layout(network, &info.spaces)?;
        let plan = Plan::of_recorded_steps("dt", config.batch_size, config.gradient_slices, info)?;
        let algorithm = Self {
            network: Arc::new(network),
            model: Part::trained("", builder.build(stream(info.seed, 0)), config.optimizer)?,
            learning_rate: config.learning_rate.schedule(info.total_timesteps),
            tasks: Vec::new(),
            num_tasks: info.spaces.tasks.len().max(1),
            trajectories: None,
            config,
        };
        Ok((algorithm, plan))
    }

    fn policy_from(
        config: &DtConfig,
        network: &ModelConfig,
        info: &PolicyInfo,
        weights: &Weights,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        let (network, builder) = Network::layout(network, &info.spaces)?;
        ReturnConditioned::of(&Arc::new(network), &weights.params(builder, &[])?, config.target_return)
    }

    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        ReturnConditioned::of(&self.network, &self.model.params, self.config.target_return)
    }

    fn summary(&self) -> Summary {
        self.network.gpt.summary().clone()
    }

    fn parts(&self) -> Vec<&Part> {
        vec![&self.model]
    }

    fn parts_mut(&mut self) -> Vec<&mut Part> {
        vec![&mut self.model]
    }

    fn hears(&mut self, recorded: &Fragment) {
        if recorded.tasks.is_empty() {
            self.tasks.resize(self.tasks.len() + recorded.rows(), 0);
        } else {
            self.tasks.extend_from_slice(&recorded.tasks);
        }
    }

    /// Returns-to-go of all steps, and what a policy must know of them.
    fn recorded(&mut self, experience: &Experience) -> Result<(), AgentError> {
        let tasks = std::mem::take(&mut self.tasks);
        let trajectories = Trajectories::of(&experience.replay, tasks, self.num_tasks)?;
        let mut returns = trajectories.returns();
        if let Some(scale) = self.config.return_scale {
            returns.iter_mut().for_each(|returns| returns.scale = scale as f32);
        }
        self.network.set_returns(&mut self.model.params, &returns);
        self.trajectories = Some(trajectories);
        Ok(())
    }

    fn update(
        &mut self,
        experience: &mut Experience,
        slices: &mut [Slice<(), BehaviorSums>],
        env_steps: u64,
    ) -> Result<BehaviorSums, AgentError> {
        let Some(trajectories) = &self.trajectories else {
            let (algorithm, expected) = ("dt", "all of its recorded data before it learns");
            return Err(AgentError::Unsupported { algorithm, expected, found: "a part".to_owned() });
        };
        let (replay, window) = (&experience.replay, self.network.gpt.window());
        let contexts = Contexts::of(replay, &experience.slots, window);
        let (rows, len) = (experience.slots.len(), self.model.params.len());
        let sums = for_each_slice(slices, rows, len, |range, (), grads| {
            self.backward(replay, trajectories, &contexts, range, grads)
        })?;
        error::ensure_finite("action loss", sums.loss, experience.updates)?;
        self.model.descend(slices, self.config.max_grad_norm, self.learning_rate.at(env_steps))?;
        Ok(sums)
    }

    fn metrics(&self, sums: Option<&BehaviorSums>, _experience: &Experience, env_steps: u64) -> Vec<f64> {
        let loss = sums.map_or(f64::NAN, |sums| sums.loss / sums.rows as f64);
        vec![self.learning_rate.at(env_steps), loss]
    }
}
