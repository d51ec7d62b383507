//! Fitted Q evaluation: action values of a given policy, learned from what others did.
//!
//! ```text
//! (Q(s, a) − r − γ (1 − terminated) E_{a' ~ π(s')} Q_target(s', a'))²
//! ```
//!
//! The value of the policy is the mean of `E_{a ~ π(s)} Q(s, a)` over the first observations of episodes.
//!
//! # Source
//! Le, Voloshin and Yue (2019), arXiv:1903.08738; Paine et al. (2020), arXiv:2007.09055, section 3.
//!
//! # Deviations
//! 1. Targets come from a copy that follows slowly (`tau`), not from one that is set every so many updates; values are numbers, not
//!    distributions.
//! 2. A policy of numbers is asked for its best action.

use agon_nn::{Input, ModelConfig, OptimizerConfig};
use serde::{Deserialize, Serialize};

use crate::coefficient::Coefficient;
use crate::critics::{Critics, CriticsConfig, Reads};
use crate::experience::{Experience, Unit};
use crate::learner::{RunInfo, stream};
use crate::replay::{ReplayShape, Sampling};
use crate::settings::{Learning, addressable, rows, shares_above_zero};
use crate::slices::{Slice, Sums, for_each_slice, slices};
use crate::target_policy::TargetPolicy;
use crate::{AgentError, Fragment, critics, error};

/// Settings of a fitted Q evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FittedQConfig {
    /// Steps of a minibatch; at least 1.
    pub batch_size: usize,
    /// The optimizer's step size; above 0.
    pub learning_rate: f64,
    /// Discount factor, 0 to 1.
    pub gamma: f64,
    /// How far target networks move in an update; above 0, at most 1.
    pub tau: f64,
    /// Slices that a minibatch's gradient is summed over: as many threads can work on it. Part of the result.
    pub gradient_slices: usize,
}

impl Default for FittedQConfig {
    fn default() -> Self {
        Self { batch_size: 256, learning_rate: 3e-4, gamma: 0.99, tau: 0.005, gradient_slices: 2 }
    }
}

impl FittedQConfig {
    /// Checks every setting's range.
    ///
    /// # Errors
    /// [`AgentError::Setting`] naming the setting, what is allowed and what was found.
    pub fn validate(&self) -> Result<(), AgentError> {
        let Self { gamma, gradient_slices, .. } = *self;
        let (learning_rate, optimizer) =
            (Coefficient::Constant(self.learning_rate), OptimizerConfig::default());
        Learning { learning_rate, gamma, gradient_slices: Some(gradient_slices), optimizer }.validate()?;
        rows(&[("batch_size", self.batch_size as u64)])?;
        shares_above_zero(&[("tau", self.tau)])
    }
}

/// Sum of losses over rows.
#[derive(Clone, Copy, Debug, Default)]
struct LossSum(f64);

impl Sums for LossSum {
    fn add(&mut self, other: &Self) {
        self.0 += other.0;
    }
}

/// Action values of a policy in training.
pub struct FittedQ {
    config: FittedQConfig,
    policy: TargetPolicy,
    reads: Reads,
    critics: Critics,
    experience: Experience,
    slices: Vec<Slice<(), LossSum>>,
}

impl std::fmt::Debug for FittedQ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FittedQ").field("config", &self.config).finish_non_exhaustive()
    }
}

impl FittedQ {
    /// Random values of a policy, with networks of a shape, or two layers of 256 units; `info` says how much was recorded.
    ///
    /// # Errors
    /// If a setting is out of range, nothing was recorded, or the spaces are of other kinds.
    pub fn new(
        config: FittedQConfig,
        network: Option<&ModelConfig>,
        info: &RunInfo,
        policy: TargetPolicy,
    ) -> Result<Self, AgentError> {
        config.validate()?;
        let subject = "fitted Q evaluation";
        let (expected, found) = ("recorded data", "none".to_owned());
        let unsupported = AgentError::Unsupported { algorithm: subject, expected, found };
        let steps = info.recorded_alone().ok_or(unsupported)?;
        let capacity = usize::try_from(steps).unwrap_or(usize::MAX);
        addressable(capacity)?;
        let network = network.cloned().unwrap_or_else(critics::default_network);
        let (reads, read, head) = Reads::of(subject, &info.spaces)?;
        let one = CriticsConfig { count: 1, targets: 1, ..CriticsConfig::default() };
        let optimizer = OptimizerConfig::default();
        let critics = Critics::new(one, &read, &network, &head, optimizer, stream(info.seed, 2))?;
        let shape = ReplayShape::of(info);
        let experience = Experience::new(capacity, shape, Sampling::Uniform, Unit::Step, info);
        Ok(Self { config, policy, reads, critics, experience, slices: slices(config.gradient_slices) })
    }

    /// Takes over some of the recorded steps, in their order.
    ///
    /// # Errors
    /// As [`Learner::remember`](crate::Learner::remember).
    pub fn remember(&mut self, recorded: &Fragment) -> Result<(), AgentError> {
        self.experience.remember_recorded(recorded)
    }

    /// Takes an update; gives the mean loss of its minibatch.
    ///
    /// # Errors
    /// If nothing was remembered, or the loss or its gradient is not finite.
    pub fn update(&mut self) -> Result<f64, AgentError> {
        if self.experience.held() == 0 {
            let (algorithm, expected) = ("fitted Q evaluation", "recorded steps");
            return Err(AgentError::Unsupported { algorithm, expected, found: "none".to_owned() });
        }
        let Self { config, policy, reads, critics, experience, slices } = self;
        experience.draw(config.batch_size, 0);
        let len = critics.online.params.len();
        let (replay, all, scale) = (&experience.replay, &experience.slots, 1.0 / config.batch_size as f32);
        let sums = for_each_slice(slices, all.len(), len, |range, (), grads| {
            let slots = &all[range];
            let next = replay.next_observations(slots)?;
            let values = reads.expected(&next, &policy.doing(&next)?, |x| critics.target_values(x))?;
            let target = |(&slot, next): (&u32, f32)| {
                let following = if replay.terminated(slot) { 0.0 } else { next };
                replay.reward(slot) + config.gamma as f32 * following
            };
            let targets: Vec<f32> = slots.iter().zip(values).map(target).collect();
            let (read, chosen) = reads.steps(replay, slots, &replay.observations(slots)?)?;
            let sums = critics.regress(&read, &chosen, &targets, scale, grads)?;
            Ok::<_, AgentError>(LossSum(sums.loss))
        })?;
        error::ensure_finite("evaluation loss", sums.0, experience.updates)?;
        critics.descend(slices, config.learning_rate)?;
        critics.follow(config.tau)?;
        experience.updates += 1;
        Ok(sums.0 / config.batch_size as f64)
    }

    /// What the policy is worth from some observations on, `[B]`.
    ///
    /// # Errors
    /// If rows are of another width.
    pub fn values(&self, x: &Input) -> Result<Vec<f32>, AgentError> {
        self.reads.expected(x, &self.policy.doing(x)?, |x| self.critics.values(x))
    }
}
