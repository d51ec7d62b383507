//! CQL's term for continuous actions: critics are lowered at actions that the policy or chance would take, and raised at those
//! that the data did.
//!
//! ```text
//! α_CQL (log ∫ exp Q(s, b) db − Q(s, a)) + ½ (Q(s, a) − y)²
//! ```
//!
//! The integral, over −1..1 in each dimension, is a mean over `3 n` actions with importance weights: `n` of chance, `n` of the
//! policy at `s` and `n` of the policy at `s'`, all of them valued at `s`.
//!
//! # Source
//! Kumar et al. (2020), arXiv:2006.04779, equation 4 and appendix F; Nakamoto et al. (2023), arXiv:2303.05479, equation 5, for
//! `cql_calibrated`.

use std::ops::Range;

use agon_envs::Pcg64;
use agon_nn::{Input, Matrix, Tape};
use rand_distr::{Distribution as _, StandardNormal};

use super::continuous::{Continuous, Parameters};
use super::{SacConfig, Update};
use crate::AgentError;
use crate::critics::{CriticSums, concatenated};

/// The term's settings, and what an update draws for it.
#[derive(Clone, Debug)]
pub(super) struct Conservative {
    alpha: f32,
    /// Actions of each kind, `n`.
    actions: usize,
    calibrated: bool,
    /// `[3 n, B, D]`: `n` actions of chance, and noise of the policy at `s` and at `s'`.
    draws: Vec<f32>,
}

/// What is known of the actions of a slice, of each step one after the other: `[3 n, B]`.
struct Others<'a> {
    /// Logarithms of the densities that they were drawn from.
    log_densities: &'a [f32],
    /// What the policy's actions are worth at least, `[B]`; empty if that is not asked.
    bounds: &'a [f32],
}

impl Conservative {
    /// As the settings say; none without the term.
    pub(super) fn of(config: &SacConfig) -> Option<Self> {
        let (alpha, actions) = (config.cql_alpha as f32, config.cql_actions);
        let calibrated = config.cql_calibrated;
        (config.cql_alpha > 0.0).then(|| Self { alpha, actions, calibrated, draws: Vec::new() })
    }

    /// Draws for an update of so many rows of so many numbers.
    pub(super) fn draw(&mut self, rows: usize, dimensions: usize, rng: &mut Pcg64) {
        let numbers = self.actions * rows * dimensions;
        self.draws.clear();
        self.draws.extend((0..numbers).map(|_| rng.uniform(-1.0, 1.0) as f32));
        self.draws.extend((0..2 * numbers).map(|_| -> f32 { StandardNormal.sample(rng) }));
    }

    /// What was drawn for some rows, of some of the actions.
    fn draws(&self, actions: Range<usize>, rows: &Range<usize>, dimensions: usize) -> Vec<f32> {
        let block = self.draws.len() / (3 * self.actions);
        let own = rows.start * dimensions..rows.end * dimensions;
        actions.flat_map(|action| &self.draws[action * block..][own.clone()]).copied().collect()
    }

    /// Critics' gradient of both terms, over the rows of a slice.
    ///
    /// # Shapes
    /// `observations`: `[B, O]`; `taken`: `[B, D]`; `targets`: `[B]`; `next`: the policy at `s'`.
    pub(super) fn gradient(
        &self,
        kind: &Continuous,
        update: &Update<'_>,
        (slots, range): (&[u32], Range<usize>),
        (observations, taken, next): (&Input, &[f32], &Parameters),
        targets: &[f32],
        grads: &mut [f32],
    ) -> Result<CriticSums, AgentError> {
        let (rows, dimensions, count) = (slots.len(), kind.dimensions(), self.actions);
        let outputs =
            update.actor.forward_input(update.actor_params, observations, &mut Tape::inference())?;
        let now = Parameters::of(outputs.as_slice(), dimensions);
        let chance = -(dimensions as f32) * std::f32::consts::LN_2;
        let mut actions = taken.to_vec();
        actions.extend(self.draws(0..count, &range, dimensions));
        let mut log_densities = vec![chance; count * rows];
        for (policy, first) in [(&now, count), (next, 2 * count)] {
            let repeated = policy.repeated(count);
            let noise = self.draws(first..first + count, &range, dimensions);
            let (mut drawn, mut log_probs) = (vec![0.0; noise.len()], vec![0.0; count * rows]);
            let distribution = repeated.distribution(dimensions)?;
            distribution.sample_with_log_prob(&noise, &mut drawn, &mut log_probs)?;
            actions.extend(drawn);
            log_densities.extend(log_probs);
        }
        let calibrated: &[u32] = if self.calibrated { slots } else { &[] };
        let bounds: Vec<f32> = calibrated.iter().map(|&slot| return_to_go(update, slot)).collect();
        let x = Input::Floats(concatenated(&repeated(observations, 1 + 3 * count)?, &actions, dimensions)?);
        let others = Others { log_densities: &log_densities, bounds: &bounds };
        let (scale, mut sums) = (update.scale, CriticSums::default());
        update.critics.gradient(&x, grads, |values, gradient| {
            let (values, of_others) = values.split_at(rows);
            let (gradient, of_others_gradient) = gradient.split_at_mut(rows);
            let push = scale * self.alpha;
            let integrals = others.log_integrals(count, rows, of_others, push, of_others_gradient);
            for (row, (value, target)) in values.iter().zip(targets).enumerate() {
                let error = value - target;
                gradient[row] = scale * error - push;
                sums.loss += f64::from(0.5 * error * error);
                sums.values += f64::from(*value);
                sums.gap += f64::from(integrals[row] - value);
            }
        })?;
        Ok(sums)
    }
}

/// As many times a batch of observations, one after the other.
fn repeated(observations: &Input, times: usize) -> Result<Input, AgentError> {
    let Input::Floats(rows) = observations else { return Ok(observations.clone()) };
    let values = rows.as_slice().repeat(times);
    Ok(Input::Floats(Matrix::from_slice(times * rows.rows(), rows.columns(), &values)?))
}

/// The discounted rewards from a step to the end of its episode; below everything where that goes on still.
fn return_to_go(update: &Update<'_>, slot: u32) -> f32 {
    let rest = update.replay.n_step(slot, update.gamma, usize::MAX);
    if update.replay.ended(rest.last) { rest.reward } else { f32::NEG_INFINITY }
}

impl Others<'_> {
    /// `log (1 / 3n) Σ_j exp Q_j / p_j` of each step, `[B]`; writes its gradient, times `push`, over zeros.
    ///
    /// # Shapes
    /// `values` and `gradient`: `[3 n, B]`.
    fn log_integrals(
        &self,
        count: usize,
        rows: usize,
        values: &[f32],
        push: f32,
        gradient: &mut [f32],
    ) -> Vec<f32> {
        let mut logits = vec![0.0; 3 * count];
        let of_row = |row: usize| {
            let bound = self.bounds.get(row).copied().unwrap_or(f32::NEG_INFINITY);
            let raised = |j: usize| j >= count && values[j * rows + row] < bound;
            for (j, logit) in logits.iter_mut().enumerate() {
                let value = if raised(j) { bound } else { values[j * rows + row] };
                *logit = value - self.log_densities[j * rows + row];
            }
            // A NaN shows in the sum.
            let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = logits.iter().map(|logit| (logit - most).exp()).sum();
            for (j, logit) in logits.iter().enumerate().filter(|(j, _)| !raised(*j)) {
                gradient[j * rows + row] = push * (logit - most).exp() / sum;
            }
            most + (sum / (3 * count) as f32).ln()
        };
        (0..rows).map(of_row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of six actions, two of a kind, of one step, and the logarithms of their densities.
    const VALUES: [f32; 6] = [0.5, -1.0, 2.0, 0.25, 1.5, -0.5];
    const LOG_DENSITIES: [f32; 6] = [-0.7, -0.7, 0.3, -1.0, 0.1, -0.4];

    fn integral(values: &[f32], bounds: &[f32], gradient: &mut [f32]) -> f32 {
        let others = Others { log_densities: &LOG_DENSITIES, bounds };
        others.log_integrals(2, 1, values, 1.0, gradient)[0]
    }

    #[test]
    fn a_constant_value_has_the_integral_of_a_constant() {
        // Drawn by chance from two dimensions: ∫ exp c over a square of 4.
        let others = Others { log_densities: &[-2.0 * std::f32::consts::LN_2; 6], bounds: &[] };
        let found = others.log_integrals(2, 1, &[1.25; 6], 1.0, &mut [0.0; 6])[0];
        assert!((found - (1.25 + 4.0_f32.ln())).abs() < 1e-6, "{found}");
    }

    #[test]
    fn the_integral_is_the_mean_of_weighted_exponentials() {
        let sum: f64 = VALUES
            .iter()
            .zip(LOG_DENSITIES)
            .map(|(&value, density)| (f64::from(value) - f64::from(density)).exp())
            .sum();
        let found = integral(&VALUES, &[], &mut [0.0; 6]);
        assert!((f64::from(found) - (sum / 6.0).ln()).abs() < 1e-6, "{found}");
    }

    #[test]
    fn its_gradient_equals_finite_differences() {
        for bounds in [&[][..], &[0.3]] {
            let mut gradient = [0.0; 6];
            integral(&VALUES, bounds, &mut gradient);
            for i in 0..6 {
                let at = |step: f32| {
                    let mut values = VALUES;
                    values[i] += step;
                    integral(&values, bounds, &mut [0.0; 6])
                };
                let difference = (at(1.0 / 64.0) - at(-1.0 / 64.0)) * 32.0;
                assert!(
                    (difference - gradient[i]).abs() < 1e-3,
                    "{bounds:?}, {i}: {difference} {gradient:?}"
                );
            }
        }
    }

    #[test]
    fn calibrated_values_of_the_policys_actions_are_not_pushed_below_the_bound() {
        let mut gradient = [0.0; 6];
        let found = integral(&VALUES, &[0.3], &mut gradient);
        // The fourth and the sixth are the policy's and below; the second is of chance.
        assert!(gradient[3] == 0.0 && gradient[5] == 0.0 && gradient[1] > 0.0, "{gradient:?}");
        let raised = [0.5, -1.0, 2.0, 0.3, 1.5, 0.3];
        assert_eq!(found, integral(&raised, &[], &mut [0.0; 6]));
    }
}
