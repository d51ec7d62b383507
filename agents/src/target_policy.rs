//! A trained policy as off-policy evaluation asks it: what it would do where others were, in batches.

use agon_envs::ActionSpec;
use agon_nn::kernels::tanh;
use agon_nn::losses::categorical::softmax_rows;
use agon_nn::{Input, Tape, ToldChain};

use crate::action_box::ActionBox;
use crate::exploration::best;
use crate::learner::{Spaces, single_discrete};
use crate::program::{Decision, Program};
use crate::{AgentError, Policy};

/// What is evaluated, in messages.
const SUBJECT: &str = "off-policy evaluation";

/// A policy without a memory, of one choice or of numbers.
#[derive(Clone, Debug)]
pub struct TargetPolicy {
    chain: ToldChain,
    decision: Decision,
    kind: Kind,
    /// Whether its choices are drawn from its probabilities, and not its best ones.
    sampled: bool,
}

/// What it does.
#[derive(Clone, Debug)]
enum Kind {
    /// One of so many options.
    Choice(usize),
    Numbers(ActionBox),
}

impl TargetPolicy {
    /// Of a policy in these spaces; `sampled` as in training, where that is a matter of probabilities, or by its best actions.
    ///
    /// # Errors
    /// [`AgentError::Unsupported`] if it has a memory, cannot be told, needs action masks, or has no probabilities and should.
    pub fn new(policy: &dyn Policy, spaces: &Spaces, sampled: bool) -> Result<Self, AgentError> {
        let unsuited = |expected, found: &str| {
            Err(AgentError::Unsupported { algorithm: SUBJECT, expected, found: found.to_owned() })
        };
        let program = if policy.state_len() > 0 { None } else { policy.program() };
        let Some(Program { operations, parameters, decision }) = program else {
            return unsuited("a policy that is one network without a memory", "another one");
        };
        if spaces.mask_len > 0 {
            return unsuited("an environment without action masks", "one with masks");
        }
        let kind = match &spaces.action {
            ActionSpec::Discrete { .. } => Kind::Choice(single_discrete(SUBJECT, &spaces.action)?),
            ActionSpec::Continuous { .. } => Kind::Numbers(ActionBox::of(SUBJECT, &spaces.action)?),
        };
        if sampled && !matches!(decision, Decision::Categorical { .. }) {
            return unsuited("probabilities of a choice for actions as in training", "a policy without");
        }
        let chain = ToldChain::new(&operations, &parameters, spaces.observation.packed_len())?;
        Ok(Self { chain, decision, kind, sampled })
    }

    /// Number of options; none of numbers.
    pub fn options(&self) -> Option<usize> {
        match &self.kind {
            Kind::Choice(options) => Some(*options),
            Kind::Numbers(_) => None,
        }
    }

    /// What it does: the probabilities of its choice, `[B, A]`, or its numbers between −1 and 1, `[B, D]`.
    ///
    /// # Errors
    /// If rows are of another width.
    pub fn doing(&self, x: &Input) -> Result<Vec<f32>, AgentError> {
        let outputs = self.chain.chain.forward_input(&self.chain.params, x, &mut Tape::inference())?;
        let outputs = outputs.as_slice();
        match &self.kind {
            Kind::Choice(options) => self.probabilities(outputs, *options),
            Kind::Numbers(bounds) => {
                let dimensions = bounds.dimensions();
                // Means come first.
                let rows = outputs.chunks_exact(outputs.len() / x.rows().max(1));
                let mut means: Vec<f32> = rows.flat_map(|row| &row[..dimensions]).copied().collect();
                if let Decision::Gaussian { low, high } = &self.decision {
                    let mut scaled = vec![0.0; dimensions];
                    for row in means.chunks_exact_mut(dimensions) {
                        let ends = low.iter().zip(high);
                        row.iter_mut()
                            .zip(ends)
                            .for_each(|(mean, (low, high))| *mean = mean.clamp(*low, *high));
                        bounds.read(row, &mut scaled);
                        row.copy_from_slice(&scaled);
                    }
                } else {
                    tanh(&mut means);
                }
                Ok(means)
            }
        }
    }

    fn probabilities(&self, outputs: &[f32], options: usize) -> Result<Vec<f32>, AgentError> {
        let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
        let preferences: Vec<f32> = match &self.decision {
            Decision::Quantiles { quantiles, .. } => outputs.chunks_exact(*quantiles).map(mean).collect(),
            Decision::Categories { support, .. } => {
                let mut probs = vec![0.0; outputs.len()];
                softmax_rows(outputs, support.len(), &mut probs)?;
                let expected = |probs: &[f32]| probs.iter().zip(support).map(|(p, z)| p * z).sum();
                probs.chunks_exact(support.len()).map(expected).collect()
            }
            _ => outputs.to_vec(),
        };
        let mut probs = vec![0.0; preferences.len()];
        if self.sampled {
            softmax_rows(&preferences, options, &mut probs)?;
        } else {
            for (probs, row) in probs.chunks_exact_mut(options).zip(preferences.chunks_exact(options)) {
                probs[best(row, None)] = 1.0;
            }
        }
        Ok(probs)
    }
}
