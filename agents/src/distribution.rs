//! What a policy's outputs mean: the distribution of its actions.
//!
//! Acting and learning compute log-probabilities with the same functions, so the probability ratio of an action right
//! after acting is exactly one.

use agon_envs::{ActionBatch, ActionSpec, Pcg64};
use agon_nn::Head;
use agon_nn::losses::choices::Choices;
use agon_nn::losses::gaussian::{Gaussian, GaussianGradient};
use rand_distr::{Distribution as _, StandardNormal};

use crate::AgentError;
use crate::divergence::{self, Pair};
use crate::policy::{ActMode, ActOutput};
use crate::policy_data::PolicyData;
use crate::program::Decision;

/// The distribution of actions that a row of a network's outputs stands for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Distribution {
    /// One choice or several independent ones, given by logits.
    Categorical {
        /// Options of each choice.
        nvec: Vec<usize>,
    },
    /// Independent normal distributions, given by means and logarithms of standard deviations.
    Gaussian {
        /// Lower bounds of the actions that environments get.
        low: Vec<f32>,
        /// Upper bounds.
        high: Vec<f32>,
    },
}

/// Log-probabilities and entropies of a batch of actions, and what their gradients need.
#[derive(Debug, Default)]
pub(crate) struct Evaluated {
    /// `[B]`.
    pub(crate) log_probs: Vec<f32>,
    /// `[B]`.
    pub(crate) entropies: Vec<f32>,
    /// Probabilities of discrete actions.
    choices: Choices,
    /// Means of continuous ones, `[B, D]`.
    means: Vec<f32>,
    /// Logarithms of standard deviations, `[B, D]`.
    log_stds: Vec<f32>,
}

impl Distribution {
    /// The distribution for an action space.
    pub(crate) fn of(spec: &ActionSpec) -> Self {
        match spec {
            ActionSpec::Discrete { nvec } => {
                Self::Categorical { nvec: nvec.iter().map(|&n| n as usize).collect() }
            }
            ActionSpec::Continuous { low, high } => Self::Gaussian { low: low.clone(), high: high.clone() },
        }
    }

    /// The head of a network that puts out its parameters.
    pub(crate) fn head(&self) -> Head {
        match self {
            Self::Categorical { nvec } => match nvec[..] {
                [actions] => Head::Categorical { actions },
                _ => Head::MultiCategorical { nvec: nvec.clone() },
            },
            Self::Gaussian { low, .. } => Head::Gaussian { dimensions: low.len() },
        }
    }

    /// How its best action is read from a row of outputs.
    pub(crate) fn decision(&self) -> Decision {
        match self.clone() {
            Self::Categorical { nvec } => Decision::Categorical { nvec },
            Self::Gaussian { low, high } => Decision::Gaussian { low, high },
        }
    }

    /// Number of values of a row of outputs, `P`.
    pub(crate) fn outputs(&self) -> usize {
        self.head().outputs()
    }

    /// What is recorded with an action.
    pub(crate) fn policy_data(&self) -> PolicyData {
        match self {
            Self::Categorical { .. } => PolicyData::discrete(),
            Self::Gaussian { low, .. } => PolicyData::continuous(low.len()),
        }
    }

    /// Chooses an action for each row. Continuous ones are clipped to their bounds; learned from is the one before.
    ///
    /// # Shapes
    /// `outputs`: `[N, P]`, `masks`: `[N, P]` or empty.
    pub(crate) fn act(
        &self,
        outputs: &[f32],
        masks: &[bool],
        mode: ActMode,
        rng: &mut Pcg64,
        (choices, buffer): (&mut Choices, &mut Vec<f32>),
        to: ActOutput<'_>,
    ) -> Result<(), AgentError> {
        let ActOutput { actions, policy_data } = to;
        match self {
            Self::Categorical { nvec } => {
                choices.evaluate(outputs, mask_of(masks), nvec)?;
                let actions = actions.indices_mut().chunks_exact_mut(nvec.len());
                let data = self.policy_data().rows_mut(policy_data);
                for (row, (actions, (log_prob, _))) in actions.zip(data).enumerate() {
                    *log_prob = 0.0;
                    for (choice, action) in actions.iter_mut().enumerate() {
                        let (chosen, of_chosen) = match mode {
                            ActMode::Explore => choices.sample(row, choice, rng.random() as f32),
                            ActMode::Deterministic => choices.mode(row, choice),
                        };
                        *action = chosen as u32;
                        *log_prob += of_chosen;
                    }
                }
            }
            Self::Gaussian { low, high } => {
                let dimensions = low.len();
                let rows = outputs.len() / (2 * dimensions);
                buffer.resize(3 * rows * dimensions + rows, 0.0);
                let (means, rest) = buffer.split_at_mut(rows * dimensions);
                let (log_stds, rest) = rest.split_at_mut(rows * dimensions);
                let (raw, log_probs) = rest.split_at_mut(rows * dimensions);
                split_rows(outputs, dimensions, means, log_stds);
                let gaussian = Gaussian::new(means, log_stds, dimensions)?;
                if mode == ActMode::Explore {
                    let noise: Vec<f32> = (0..raw.len()).map(|_| StandardNormal.sample(&mut *rng)).collect();
                    gaussian.sample(&noise, raw)?;
                } else {
                    raw.copy_from_slice(means);
                }
                gaussian.log_prob(raw, log_probs)?;
                let ActionBatch::Continuous(actions) = actions else {
                    return Err(other_actions());
                };
                let bounds = low.iter().zip(high).cycle();
                for ((action, &raw), (&low, &high)) in actions.iter_mut().zip(&*raw).zip(bounds) {
                    *action = raw.clamp(low, high);
                }
                let recorded = log_probs.iter().zip(raw.chunks_exact(dimensions));
                for ((log_prob, to), (now, raw)) in self.policy_data().rows_mut(policy_data).zip(recorded) {
                    *log_prob = *now;
                    to.copy_from_slice(raw);
                }
            }
        }
        Ok(())
    }

    /// Log-probabilities and entropies of the given actions.
    ///
    /// # Shapes
    /// `outputs`: `[B, P]`, `masks`: `[B, P]` or empty, `actions`: `[B, W]`.
    pub(crate) fn evaluate(
        &self,
        outputs: &[f32],
        masks: &[bool],
        actions: &ActionBatch,
        out: &mut Evaluated,
    ) -> Result<(), AgentError> {
        let rows = outputs.len() / self.outputs();
        out.log_probs.resize(rows, 0.0);
        out.entropies.resize(rows, 0.0);
        match (self, actions) {
            (Self::Categorical { nvec }, ActionBatch::Discrete(actions)) => {
                out.choices.evaluate(outputs, mask_of(masks), nvec)?;
                out.choices.entropies(&mut out.entropies)?;
                out.choices.log_probs(actions, &mut out.log_probs)?;
            }
            (Self::Gaussian { low, .. }, ActionBatch::Continuous(actions)) => {
                out.means.resize(rows * low.len(), 0.0);
                out.log_stds.resize(rows * low.len(), 0.0);
                split_rows(outputs, low.len(), &mut out.means, &mut out.log_stds);
                let gaussian = Gaussian::new(&out.means, &out.log_stds, low.len())?;
                gaussian.log_prob(actions, &mut out.log_probs)?;
                gaussian.entropy(&mut out.entropies)?;
            }
            _ => return Err(other_actions()),
        }
        Ok(())
    }

    /// The gradient of `Σ_b log_prob_grads[b] · log_prob[b] + entropy_grads[b] · entropy[b]` with respect to the outputs.
    ///
    /// # Shapes
    /// `log_prob_grads`, `entropy_grads`: `[B]`; `out`: `[B, P]`, overwritten.
    pub(crate) fn gradient(
        &self,
        evaluated: &Evaluated,
        actions: &ActionBatch,
        log_prob_grads: &[f32],
        entropy_grads: &[f32],
        out: &mut [f32],
    ) -> Result<(), AgentError> {
        match (self, actions) {
            (Self::Categorical { .. }, ActionBatch::Discrete(actions)) => {
                evaluated.choices.gradient(actions, log_prob_grads, entropy_grads, out)?;
            }
            (Self::Gaussian { low, .. }, ActionBatch::Continuous(actions)) => {
                let (dimensions, Evaluated { means, log_stds, .. }) = (low.len(), evaluated);
                let gaussian = Gaussian::new(means, log_stds, dimensions)?;
                let mut gradients = vec![0.0; 2 * means.len()];
                let (mean, log_std) = gradients.split_at_mut(means.len());
                let mut gradient = GaussianGradient { mean, log_std };
                gaussian.add_log_prob_gradient(actions, log_prob_grads, &mut gradient)?;
                gaussian.add_entropy_gradient(entropy_grads, gradient.log_std)?;
                let rows = mean.chunks_exact(dimensions).zip(log_std.chunks_exact(dimensions));
                for (out, (mean, log_std)) in out.chunks_exact_mut(2 * dimensions).zip(rows) {
                    out[..dimensions].copy_from_slice(mean);
                    out[dimensions..].copy_from_slice(log_std);
                }
            }
            _ => return Err(other_actions()),
        }
        Ok(())
    }
}

impl Distribution {
    /// How far its actions are from those of other outputs: the weighted sum of divergences of rows, whose gradient is added.
    ///
    /// # Shapes
    /// `masks`: `[B, P]` or empty; `gradient`: `[B, P]`.
    pub(crate) fn add_divergence(
        &self,
        pair: Pair<'_>,
        masks: &[bool],
        gradient: &mut [f32],
    ) -> Result<f64, AgentError> {
        match self {
            Self::Categorical { nvec } => divergence::add_of_choices(pair, masks, nvec, 1.0, gradient),
            Self::Gaussian { low, .. } => divergence::add_of_gaussians(pair, low.len(), gradient),
        }
    }
}

pub(crate) fn other_actions() -> AgentError {
    let (expected, found) = ("actions of the environment's kind", "another kind".to_owned());
    AgentError::Unsupported { algorithm: "the policy", expected, found }
}

/// The masks, if there are any.
fn mask_of(masks: &[bool]) -> Option<&[bool]> {
    (!masks.is_empty()).then_some(masks)
}

/// Rows of means and logarithms of standard deviations, as two matrices.
fn split_rows(rows: &[f32], dimensions: usize, means: &mut [f32], log_stds: &mut [f32]) {
    let to = means.chunks_exact_mut(dimensions).zip(log_stds.chunks_exact_mut(dimensions));
    for (row, (means, log_stds)) in rows.chunks_exact(2 * dimensions).zip(to) {
        means.copy_from_slice(&row[..dimensions]);
        log_stds.copy_from_slice(&row[dimensions..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The weighted sum of log-probabilities and entropies, and its gradient.
    fn weighted(
        distribution: &Distribution,
        outputs: &[f32],
        masks: &[bool],
        actions: &ActionBatch,
    ) -> (f64, Vec<f32>) {
        let mut evaluated = Evaluated::default();
        distribution.evaluate(outputs, masks, actions, &mut evaluated).unwrap();
        let rows = evaluated.log_probs.len();
        let weights: Vec<f32> = (0..rows).map(|row| 0.7 - 0.4 * row as f32).collect();
        let entropy_weights: Vec<f32> = (0..rows).map(|row| 0.2 + 0.1 * row as f32).collect();
        let mut gradient = vec![f32::NAN; outputs.len()];
        distribution.gradient(&evaluated, actions, &weights, &entropy_weights, &mut gradient).unwrap();
        let terms = evaluated.log_probs.iter().zip(&weights);
        let entropies = evaluated.entropies.iter().zip(&entropy_weights);
        (terms.chain(entropies).map(|(value, weight)| f64::from(value * weight)).sum(), gradient)
    }

    fn assert_gradient(distribution: &Distribution, rows: usize, masks: &[bool], actions: &ActionBatch) {
        let mut rng = Pcg64::seed_from(4);
        let mut outputs: Vec<f32> =
            (0..rows * distribution.outputs()).map(|_| rng.uniform(-1.0, 1.0) as f32).collect();
        let (_, gradient) = weighted(distribution, &outputs, masks, actions);
        let step = 1.0 / 256.0;
        for (i, &gradient) in gradient.iter().enumerate() {
            let at = outputs[i];
            let mut value = |x: f32| {
                outputs[i] = x;
                weighted(distribution, &outputs, masks, actions).0
            };
            let difference = (value(at + step) - value(at - step)) / f64::from(2.0 * step);
            outputs[i] = at;
            assert!((difference - f64::from(gradient)).abs() < 1e-3, "output {i}: {difference}, {gradient}");
        }
    }

    #[test]
    fn gradients_equal_finite_differences() {
        let one = Distribution::of(&ActionSpec::Discrete { nvec: vec![4] });
        assert_gradient(&one, 3, &[], &ActionBatch::Discrete(vec![0, 3, 2]));
        let several = Distribution::of(&ActionSpec::Discrete { nvec: vec![2, 3] });
        let actions = ActionBatch::Discrete(vec![0, 2, 1, 1]);
        assert_gradient(&several, 2, &[], &actions);
        let masks = [true, false, true, false, true, true, true, true, true, false];
        assert_gradient(&several, 2, &masks, &actions);
        let box_spec = ActionSpec::Continuous { low: vec![-1.0; 2], high: vec![1.0; 2] };
        let actions = ActionBatch::Continuous(vec![0.5, -1.5, 2.0, 0.0]);
        assert_gradient(&Distribution::of(&box_spec), 2, &[], &actions);
    }

    #[test]
    fn what_acting_records_is_what_learning_computes() {
        let mut rng = Pcg64::seed_from(9);
        let specs = [
            ActionSpec::Discrete { nvec: vec![3] },
            ActionSpec::Discrete { nvec: vec![2, 3, 2] },
            ActionSpec::Continuous { low: vec![-0.5, -2.0], high: vec![0.5, 2.0] },
        ];
        for spec in specs {
            let distribution = Distribution::of(&spec);
            let (rows, layout) = (50, distribution.policy_data());
            let outputs: Vec<f32> =
                (0..rows * distribution.outputs()).map(|_| rng.uniform(-1.0, 1.0) as f32).collect();
            let mut actions = ActionBatch::zeros(&spec, rows);
            let mut data = vec![0.0; rows * layout.width()];
            let to = ActOutput { actions: &mut actions, policy_data: &mut data };
            let scratch = (&mut Choices::default(), &mut Vec::new());
            distribution.act(&outputs, &[], ActMode::Explore, &mut rng, scratch, to).unwrap();
            if let ActionBatch::Continuous(clipped) = &actions {
                assert!(clipped.chunks_exact(2).all(|a| a[0].abs() <= 0.5 && a[1].abs() <= 2.0));
            }
            let actions = layout.learned_actions(&actions, &data);
            if let ActionBatch::Continuous(raw) = &actions {
                assert!(raw.chunks_exact(2).any(|a| a[0].abs() > 0.5), "some were clipped");
            }
            let mut evaluated = Evaluated::default();
            distribution.evaluate(&outputs, &[], &actions, &mut evaluated).unwrap();
            let recorded: Vec<f32> = layout.log_probs(&data).collect();
            assert_eq!(evaluated.log_probs, recorded, "{spec:?}");
        }
    }

    #[test]
    fn the_best_action_is_the_most_probable_and_legal_one() {
        let distribution = Distribution::of(&ActionSpec::Discrete { nvec: vec![3, 2] });
        let (outputs, masks) = ([5.0, 1.0, 2.0, 0.0, 1.0], [false, true, true, true, true]);
        let (mut actions, mut data) = (ActionBatch::Discrete(vec![0; 2]), vec![0.0]);
        let to = ActOutput { actions: &mut actions, policy_data: &mut data };
        let mut rng = Pcg64::seed_from(0);
        let scratch = (&mut Choices::default(), &mut Vec::new());
        distribution.act(&outputs, &masks, ActMode::Deterministic, &mut rng, scratch, to).unwrap();
        assert_eq!(actions, ActionBatch::Discrete(vec![2, 1]));
    }
}
