//! A teacher: what a trained policy would do where a student is, for the student to come nearer to it while it learns.
//!
//! The teacher is a network and never changes; how much it counts falls as the student learns, which whoever drives the learner
//! says. Policies learn from its probabilities (kickstarting), action values from what they would be if they were its preferences
//! (`QDagger`); without rewards both are on-policy distillation.
//!
//! # Source
//! Schmitt et al. (2018), arXiv:1803.03835 (kickstarting), equation 3; Agarwal et al. (2022), arXiv:2206.01626 (`QDagger`),
//! equation 2; Rusu et al. (2016), arXiv:1511.06295 (policy distillation).

use agon_envs::{ActionBatch, ActionSpec};
use agon_nn::losses::categorical::softmax_rows;
use agon_nn::{Input, Tape, ToldChain};

use crate::learner::RunInfo;
use crate::program::{Decision, Program};
use crate::settings::above_zero;
use crate::{AgentError, Policy};

/// A teacher.
#[derive(Clone, Debug)]
pub struct Guide {
    chain: ToldChain,
    decision: Decision,
    temperature: f32,
    /// Whether the student learns from rewards too.
    rewards: bool,
    /// Whether it sees something else than the student.
    privileged: bool,
}

impl Guide {
    /// Of a policy that does what a student in a run does, and sees the same, or what the run keeps for it ([`RunInfo::privileged`]).
    /// Values of actions, the teacher's and the student's, are divided by `temperature` before they are preferences. Without
    /// `rewards` only the teacher counts.
    ///
    /// # Errors
    /// If the policy has a memory or another network that cannot be told, or sees or does other things.
    pub fn new(
        policy: &dyn Policy,
        info: &RunInfo,
        temperature: f64,
        rewards: bool,
    ) -> Result<Self, AgentError> {
        above_zero(&[("temperature", temperature)])?;
        let unsuited = |found: String| {
            let expected = "a teacher without a memory, whose actions are the student's";
            AgentError::Unsupported { algorithm: "learning from a teacher", expected, found }
        };
        let program = if policy.state_len() > 0 { None } else { policy.program() };
        let Some(Program { operations, parameters, decision }) = program else {
            return Err(unsuited("one with a memory, or that cannot be told".to_owned()));
        };
        let seen = info.privileged.as_ref().unwrap_or(&info.spaces.observation);
        let chain = ToldChain::new(&operations, &parameters, seen.packed_len())?;
        let privileged = info.privileged.is_some();
        let guide = Self { chain, decision, temperature: temperature as f32, rewards, privileged };
        let fits = match (&guide.decision, &info.spaces.action) {
            (Decision::Categorical { nvec }, ActionSpec::Discrete { nvec: own }) => {
                nvec.iter().map(|&n| n as u32).eq(own.iter().copied())
            }
            (Decision::Gaussian { low, .. }, ActionSpec::Continuous { low: own, .. }) => {
                low.len() == own.len() && guide.chain.chain.outputs() == 2 * own.len()
            }
            (decision, ActionSpec::Discrete { nvec }) => {
                values_of(decision).map(|n| n as u32) == single(nvec)
            }
            _ => false,
        };
        if fits { Ok(guide) } else { Err(unsuited(format!("{:?}", guide.decision))) }
    }

    /// Whether the student learns from rewards too.
    pub(crate) fn rewards(&self) -> bool {
        self.rewards
    }

    /// Whether it sees something else than the student.
    pub(crate) fn is_privileged(&self) -> bool {
        self.privileged
    }

    /// What values are divided by before they are preferences.
    pub(crate) fn temperature(&self) -> f32 {
        self.temperature
    }

    /// Whether it has preferences among the options of one choice.
    pub(crate) fn chooses(&self) -> bool {
        !matches!(self.decision, Decision::Gaussian { .. })
    }

    /// What it would do: logits, or means and logarithms of standard deviations.
    ///
    /// # Shapes
    /// `[B, P]`.
    ///
    /// # Errors
    /// If rows are of another width.
    pub(crate) fn outputs(&self, x: &Input) -> Result<Vec<f32>, AgentError> {
        let out = self.chain.chain.forward_input(&self.chain.params, x, &mut Tape::inference())?;
        let numbers = out.as_slice();
        let means = |atoms: usize, mean: &dyn Fn(&[f32]) -> f32| -> Vec<f32> {
            numbers.chunks_exact(atoms).map(|atoms| mean(atoms) / self.temperature).collect()
        };
        Ok(match &self.decision {
            Decision::Values { .. } => means(1, &|value| value[0]),
            Decision::Quantiles { quantiles, .. } => {
                means(*quantiles, &|values| values.iter().sum::<f32>() / values.len() as f32)
            }
            Decision::Categories { support, .. } => {
                let mut probs = vec![0.0; numbers.len()];
                softmax_rows(numbers, support.len(), &mut probs)?;
                let expected = |probs: &[f32]| probs.iter().zip(support).map(|(p, z)| p * z).sum::<f32>();
                probs.chunks_exact(support.len()).map(|probs| expected(probs) / self.temperature).collect()
            }
            _ => numbers.to_vec(),
        })
    }
}

impl Guide {
    /// What it would do, as an environment takes it: the best options, or means within their bounds.
    ///
    /// # Shapes
    /// `[B, W]`.
    ///
    /// # Errors
    /// As [`Self::outputs`].
    pub(crate) fn actions(&self, x: &Input) -> Result<ActionBatch, AgentError> {
        let outputs = self.outputs(x)?;
        let width = outputs.len() / x.rows();
        Ok(match &self.decision {
            Decision::Gaussian { low, high } => {
                let bounds = low.iter().zip(high);
                let means = outputs.chunks_exact(width).flat_map(|row| {
                    row.iter().zip(bounds.clone()).map(|(mean, (low, high))| mean.clamp(*low, *high))
                });
                ActionBatch::Continuous(means.collect())
            }
            decision => {
                let nvec = match decision {
                    Decision::Categorical { nvec } => nvec.clone(),
                    _ => vec![width],
                };
                let mut best = Vec::with_capacity(x.rows() * nvec.len());
                for mut row in outputs.chunks_exact(width) {
                    for &options in &nvec {
                        let (own, rest) = row.split_at(options);
                        row = rest;
                        best.push(crate::exploration::best(own, None) as u32);
                    }
                }
                ActionBatch::Discrete(best)
            }
        })
    }
}

/// The actions that a teacher has values for.
fn values_of(decision: &Decision) -> Option<usize> {
    match decision {
        Decision::Values { actions }
        | Decision::Categories { actions, .. }
        | Decision::Quantiles { actions, .. } => Some(*actions),
        _ => None,
    }
}

/// The options of the only choice.
fn single(nvec: &[u32]) -> Option<u32> {
    match nvec {
        [options] => Some(*options),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
