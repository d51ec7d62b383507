//! A step whose decision is attributed: what the network reads there, and the number that is attributed.

use agon_policy::{Episode, Observation, PortablePolicy, Trace};

use crate::RunError;
use crate::explain::play::Step;
use crate::explain::subject::Subject;

/// A number that a policy chooses by.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// The sum of the values of these options.
    Values(Vec<usize>),
    /// The logarithm of the probability of one option of each choice.
    LogProbability {
        /// Options of each choice.
        choices: Vec<usize>,
        /// One of each, counted over all choices.
        chosen: Vec<usize>,
        /// Which options are legal; empty where all are.
        mask: Vec<bool>,
    },
    /// One of the numbers that an action is made of, before it is cut off at its bounds.
    Number(usize),
}

impl Target {
    /// What was chosen at a step; of actions that are numbers the one of this index.
    pub(in crate::explain) fn of(subject: &Subject, step: &Step, number: usize) -> Self {
        let choices = subject.choices();
        if choices.is_empty() {
            return Self::Number(number);
        }
        let mut first = 0;
        let mut chosen = Vec::with_capacity(choices.len());
        for (options, &index) in choices.iter().zip(&step.opinion.action) {
            chosen.push(first + index as usize);
            first += options;
        }
        match subject.has_values() {
            true => Self::Values(chosen),
            false => Self::LogProbability { choices, chosen, mask: step.mask.clone() },
        }
    }

    /// The number, by what a policy chooses by.
    pub fn score(&self, logits: &[f32]) -> f64 {
        match self {
            Self::Values(chosen) => chosen.iter().map(|&index| f64::from(logits[index])).sum(),
            Self::LogProbability { chosen, .. } => {
                let of_chosen: f64 = chosen.iter().map(|&index| f64::from(logits[index])).sum();
                of_chosen - self.shares(logits).map(|(_, log_sum)| log_sum).sum::<f64>()
            }
            Self::Number(index) => f64::from(logits[*index]),
        }
    }

    /// Its derivatives with respect to what a policy chooses by.
    pub fn slopes(&self, logits: &[f32]) -> Vec<f32> {
        let mut slopes = vec![0.0; logits.len()];
        match self {
            Self::Values(chosen) => chosen.iter().for_each(|&index| slopes[index] = 1.0),
            Self::LogProbability { chosen, mask, .. } => {
                for (options, log_sum) in self.shares(logits) {
                    for index in options.filter(|&index| mask.is_empty() || mask[index]) {
                        slopes[index] = -(f64::from(logits[index]) - log_sum).exp() as f32;
                    }
                }
                chosen.iter().for_each(|&index| slopes[index] += 1.0);
            }
            Self::Number(index) => slopes[*index] = 1.0,
        }
        slopes
    }

    /// Of each choice its options and `log Σ exp` over the legal ones.
    fn shares<'a>(&'a self, logits: &'a [f32]) -> impl Iterator<Item = (std::ops::Range<usize>, f64)> + 'a {
        let (choices, mask): (&[usize], &[bool]) = match self {
            Self::LogProbability { choices, mask, .. } => (choices, mask),
            Self::Values(_) | Self::Number(_) => (&[], &[]),
        };
        let mut first = 0;
        choices.iter().map(move |&options| {
            let own = first..first + options;
            first += options;
            let legal = own.clone().filter(|&index| mask.is_empty() || mask[index]);
            let legal: Vec<f64> = legal.map(|index| f64::from(logits[index])).collect();
            let largest = legal.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = legal.iter().map(|logit| (logit - largest).exp()).sum();
            (own, largest + sum.ln())
        })
    }
}

/// A step of a policy.
#[derive(Clone)]
pub struct Point<'a> {
    policy: &'a PortablePolicy,
    /// After what stands before the network.
    episode: Episode,
    /// What the network reads, with categories as vectors.
    pub inputs: Vec<f32>,
    /// What is attributed.
    pub target: Target,
}

impl<'a> Point<'a> {
    /// A step, after what an episode remembers.
    ///
    /// # Errors
    /// If the observation is none of the policy's.
    pub fn new(
        policy: &'a PortablePolicy,
        mut episode: Episode,
        observation: &[f32],
        target: Target,
    ) -> Result<Self, RunError> {
        let mut inputs = Vec::with_capacity(policy.network_inputs());
        if policy.program().takes_bytes() {
            let bytes: Vec<u8> = observation.iter().map(|&value| value.round() as u8).collect();
            policy.prepare(&mut episode, Observation::Bytes(&bytes), &mut inputs)?;
        } else {
            policy.prepare(&mut episode, observation, &mut inputs)?;
        }
        let inputs = policy.smooth_inputs(&inputs)?;
        Ok(Self { policy, episode, inputs, target })
    }

    /// The same step of the same network with other weights; vectors of categories stay as they are.
    #[must_use]
    pub fn with_policy(&self, policy: &'a PortablePolicy) -> Self {
        Self { policy, ..self.clone() }
    }

    /// What the layers give for other inputs of the network.
    ///
    /// # Errors
    /// If there are not as many.
    pub fn trace(&self, inputs: &[f32]) -> Result<Trace, RunError> {
        Ok(self.policy.trace_network(&self.episode, inputs)?)
    }

    /// The attributed number for other inputs of the network.
    ///
    /// # Errors
    /// If there are not as many.
    pub fn score(&self, inputs: &[f32]) -> Result<f64, RunError> {
        Ok(self.target.score(&self.trace(inputs)?.logits))
    }

    /// The attributed number, and its derivatives with respect to the inputs and to what each layer gave.
    ///
    /// # Errors
    /// If there are not as many inputs, or a layer has no gradient.
    pub fn slopes(&self, inputs: &[f32]) -> Result<(f64, Trace, agon_policy::Gradient), RunError> {
        let trace = self.trace(inputs)?;
        let gradient = self.policy.gradient(&trace, &self.target.slopes(&trace.logits))?;
        Ok((self.target.score(&trace.logits), trace, gradient))
    }

    /// The policy.
    pub fn policy(&self) -> &'a PortablePolicy {
        self.policy
    }
}
