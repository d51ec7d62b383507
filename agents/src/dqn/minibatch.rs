//! The loss of a minibatch: targets from the target network, and the gradient of the Q network's numbers.

use agon_nn::losses::categorical::log_softmax_rows;
use agon_nn::losses::distributional::{
    add_cross_entropy_gradient, c51_project, cross_entropy_rows, quantile_huber, quantile_huber_at,
};
use agon_nn::losses::{huber, mse};
use agon_nn::{Input, Matrix, Params, Scratch, Tape};

use super::config::{DqnConfig, Loss};
use crate::augmentation::{ReplayViews, View, repeated};
use crate::divergence::{Pair, add_of_choices};
use crate::exploration::best;
use crate::guide::Guide;
use crate::q_network::{PackedQ, QNetwork, Returns};
use crate::replay::{NStep, ReplayBuffer};
use crate::td_sums::TdSums;
use crate::{AgentError, error};

/// What the slices of a minibatch read.
pub(super) struct Update<'a> {
    pub(super) config: &'a DqnConfig,
    pub(super) network: &'a QNetwork,
    pub(super) params: &'a Params,
    /// The online network as of this update, if it chooses the target's action.
    pub(super) online: Option<&'a PackedQ>,
    pub(super) target: &'a PackedQ,
    pub(super) replay: &'a ReplayBuffer,
    pub(super) views: &'a ReplayViews,
    /// Decides the views.
    pub(super) seed: u64,
    /// A teacher, and how much it counts.
    pub(super) teacher: Option<(&'a Guide, f32)>,
    /// Updates before this one.
    pub(super) updates: u64,
}

/// The steps of a minibatch, or of a slice of it.
#[derive(Clone, Copy)]
pub(super) struct Steps<'a> {
    /// The place of the first one in its minibatch.
    pub(super) first: usize,
    pub(super) slots: &'a [u32],
    /// Importance weights, `[B]`; empty if all are one.
    pub(super) weights: &'a [f32],
    /// Places of quantiles, `[B, Z]`, and of those of targets, `[B, M]`; empty unless quantiles are implicit.
    pub(super) taus: &'a [f32],
    pub(super) target_taus: &'a [f32],
}

/// Working memory and results of one slice.
#[derive(Debug, Default)]
pub struct SliceWork {
    scratch: Scratch,
    buffer: Vec<f32>,
    steps: Vec<NStep>,
    lasts: Vec<u32>,
    /// The target network's numbers, and the values that actions are chosen by, `[K·B, A]`.
    next_numbers: Vec<f32>,
    next_values: Vec<f32>,
    /// `[views·B, M]`.
    targets: Vec<f32>,
    /// The numbers of the actions that were taken, `[views·B, Z]`, and their gradients.
    chosen: Vec<f32>,
    chosen_grads: Vec<f32>,
    /// A view's target, `[M]`.
    projected: Vec<f32>,
    row_weights: Vec<f32>,
    output_grads: Vec<f32>,
    losses: Vec<f32>,
    /// Errors by which steps get their priorities, `[B]`.
    pub(super) errors: Vec<f32>,
}

impl Update<'_> {
    /// The losses of some steps and their gradient.
    pub(super) fn backward(
        &self,
        steps: Steps<'_>,
        work: &mut SliceWork,
        grads: &mut [f32],
    ) -> Result<TdSums, AgentError> {
        work.errors.clear();
        self.write_targets(steps, work)?;
        let (rows, views) = (steps.slots.len(), self.views.of_observations);
        let (slots, weights, taus) =
            (repeated(steps.slots, views), repeated(steps.weights, views), repeated(steps.taus, views));
        let targets = work.targets.len();
        (1..views).for_each(|_| work.targets.extend_from_within(..targets));
        let view = self.views.observations(self.seed, steps.first, self.replay.observations(&slots)?)?;
        let mut tape = Tape::new();
        let numbers = self.network.forward(self.params, &view.input, &taus, &mut tape)?;
        let atoms = self.network.atoms();
        let action = |row: usize| view.actions.choice(row, self.replay.action(slots[row]).index());
        work.chosen.clear();
        for row in 0..slots.len() {
            let (first, step) = self.network.place(row, action(row), atoms);
            work.chosen.extend(numbers.as_slice()[first..].iter().step_by(step).take(atoms));
        }
        let scale = 1.0 / (self.config.batch_size * views) as f32;
        work.row_weights.clear();
        work.row_weights.extend((0..slots.len()).map(|row| scale * weights.get(row).copied().unwrap_or(1.0)));
        let q_values = self.write_losses(&taus, work)?;
        work.output_grads.clear();
        work.output_grads.resize(numbers.as_slice().len(), 0.0);
        for (row, grads) in work.chosen_grads.chunks_exact(atoms).enumerate() {
            let (first, step) = self.network.place(row, action(row), atoms);
            let places = work.output_grads[first..].iter_mut().step_by(step);
            places.zip(grads).for_each(|(place, &grad)| *place = grad);
        }
        let teacher_loss = match self.teacher {
            Some(teacher) => self.follow(teacher, &view.input, numbers.as_slice(), scale, work)?,
            None => 0.0,
        };
        let cql_loss = self.stay_conservative(&numbers, scale, action, work);
        tape.backward(self.params, &[(&numbers, work.output_grads.as_slice())], grads)?;
        let weighted = work.losses.iter().zip(&work.row_weights);
        let loss =
            weighted.map(|(&loss, &weight)| f64::from(loss) * f64::from(weight / scale) / views as f64).sum();
        average(&mut work.errors, views);
        let [q_values, teacher_loss, cql_loss] =
            [q_values, teacher_loss, cql_loss].map(|sum| sum / views as f64);
        Ok(TdSums { loss, q_values, teacher_loss, cql_loss, steps: rows })
    }

    /// Adds the gradient of `α (log Σ_a exp Q(s, a) − Q(s, a_t))`; gives the sum over rows without `α`.
    fn stay_conservative(
        &self,
        values: &Matrix,
        scale: f32,
        action: impl Fn(usize) -> usize,
        work: &mut SliceWork,
    ) -> f64 {
        let (alpha, actions) = (self.config.cql_alpha as f32, self.network.actions);
        if alpha == 0.0 {
            return 0.0;
        }
        let mut sum = 0.0;
        let rows = values.as_slice().chunks_exact(actions).zip(work.output_grads.chunks_exact_mut(actions));
        for (row, (values, grads)) in rows.enumerate() {
            let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let total: f32 = values.iter().map(|value| (value - most).exp()).sum();
            let taken = action(row);
            sum += f64::from(most + total.ln() - values[taken]);
            for (choice, (grad, value)) in grads.iter_mut().zip(values).enumerate() {
                let share = (value - most).exp() / total;
                *grad += scale * alpha * (share - if choice == taken { 1.0 } else { 0.0 });
            }
        }
        sum
    }

    /// Adds the gradient of how far preferences are from a teacher's; gives the sum over rows.
    fn follow(
        &self,
        (guide, coef): (&Guide, f32),
        x: &Input,
        values: &[f32],
        scale: f32,
        work: &mut SliceWork,
    ) -> Result<f64, AgentError> {
        if !guide.rewards() {
            work.output_grads.fill(0.0);
        }
        if coef == 0.0 {
            return Ok(0.0);
        }
        let (actions, temperature) = (self.network.actions, guide.temperature());
        // Both are divided by the temperature, of which the gradient is a multiple.
        let target: Vec<f32> = guide.outputs(x)?.iter().map(|preference| preference * temperature).collect();
        let weight = coef * scale / temperature;
        let weights = vec![weight; x.rows()];
        let pair = Pair { target: &target, outputs: values, weights: &weights };
        let loss = add_of_choices(pair, &[], &[actions], temperature, &mut work.output_grads)?;
        Ok(loss / f64::from(weight))
    }

    /// `Σ_{k<n} γ^k r_k + γ^n Z(s', a')` for the best allowed `a'`, as a number, probabilities or quantiles: the mean over the
    /// views of what steps led to, or the quantiles of all of them.
    fn write_targets(&self, steps: Steps<'_>, work: &mut SliceWork) -> Result<(), AgentError> {
        let (network, gamma) = (self.network, self.config.gamma as f32);
        let (steps_len, views) = (steps.slots.len(), self.views.of_targets);
        let (actions, atoms) = (network.actions, network.target_atoms());
        work.steps.clear();
        work.steps
            .extend(steps.slots.iter().map(|&slot| self.replay.n_step(slot, gamma, self.config.n_step)));
        work.lasts.clear();
        work.lasts.extend(work.steps.iter().map(|step| step.last));
        (1..views).for_each(|_| work.lasts.extend_from_within(..steps_len));
        let next = self.replay.next_observations(&work.lasts)?;
        let View { input: next, actions: moved } = self.views.targets(self.seed, steps.first, next)?;
        let (rows, taus) = (work.lasts.len(), repeated(steps.target_taus, views));
        work.next_numbers.resize(rows * actions * atoms, 0.0);
        work.next_values.resize(rows * actions, 0.0);
        let SliceWork { scratch, buffer, next_numbers, next_values, .. } = work;
        network.infer(self.target, &next, rows, &taus, scratch, next_numbers)?;
        match (self.online, &network.returns) {
            (Some(online), _) => network.values(online, &next, rows, scratch, buffer, next_values)?,
            (None, Returns::Mean) => next_values.copy_from_slice(next_numbers),
            (None, Returns::Implicit(_)) => {
                network.values(self.target, &next, rows, scratch, buffer, next_values)?;
            }
            (None, _) => {
                buffer.clear();
                buffer.extend_from_slice(next_numbers);
                network.means(buffer, rows, atoms, next_values)?;
            }
        }
        // Quantiles of all views are beside each other, everything else is averaged.
        let beside = matches!(network.returns, Returns::Quantiles(_) | Returns::Implicit(_));
        let (width, share) = if beside { (views * atoms, 1.0) } else { (atoms, 1.0 / views as f32) };
        work.targets.clear();
        work.targets.resize(steps_len * width, 0.0);
        work.projected.resize(atoms, 0.0);
        for row in 0..rows {
            let (view, index) = (row / steps_len, row % steps_len);
            let step = work.steps[index];
            // The support of a distribution would hide it.
            error::ensure_finite("n-step return", f64::from(step.reward), self.updates)?;
            let values = &work.next_values[row * actions..(row + 1) * actions];
            let mask = self.replay.next_mask(step.last).map(|mask| moved.options(row, mask));
            let action = best(values, mask.as_deref());
            let (first, stride) = network.place(row, action, atoms);
            let numbers = work.next_numbers[first..].iter().step_by(stride).take(atoms).copied();
            if let Returns::Categories(support) = &network.returns {
                work.buffer.clear();
                work.buffer.extend(numbers);
                work.buffer.resize(2 * atoms, 0.0);
                let (logits, probs) = work.buffer.split_at_mut(atoms);
                agon_nn::losses::categorical::softmax_rows(logits, atoms, probs)?;
                c51_project(support, probs, &[step.reward], &[step.discount], &mut work.projected)?;
            } else {
                // A product with zero would let what follows an end through if it were no number.
                let following = |number: f32| if step.discount == 0.0 { 0.0 } else { step.discount * number };
                let pairs = work.projected.iter_mut().zip(numbers);
                pairs.for_each(|(target, number)| *target = step.reward + following(number));
            }
            let first = index * width + if beside { view * atoms } else { 0 };
            let targets = work.targets[first..first + atoms].iter_mut().zip(&work.projected);
            targets.for_each(|(target, number)| *target += share * number);
        }
        Ok(())
    }

    /// The loss of each view of a step, the gradient of its numbers, and its error; gives the sum of values.
    fn write_losses(&self, taus: &[f32], work: &mut SliceWork) -> Result<f64, AgentError> {
        let (rows, atoms) = (work.row_weights.len(), self.network.atoms());
        let delta = self.config.huber_delta as f32;
        let SliceWork { chosen, chosen_grads: grads, targets, row_weights, losses, errors, .. } = work;
        losses.resize(rows, 0.0);
        grads.resize(rows * atoms, 0.0);
        let mean = |values: &[f32]| f64::from(values.iter().sum::<f32>()) / atoms as f64;
        let mut q_sum = 0.0;
        match &self.network.returns {
            Returns::Mean => {
                errors.extend(chosen.iter().zip(&*targets).map(|(value, target)| value - target));
                for (row, &error) in errors.iter().enumerate() {
                    let (loss, slope) = match self.config.loss {
                        Loss::Huber => huber(error, delta),
                        Loss::Mse => mse(error),
                    };
                    (losses[row], grads[row]) = (loss, row_weights[row] * slope);
                    q_sum += f64::from(chosen[row]);
                }
            }
            Returns::Categories(support) => {
                let mut log_probs = vec![0.0; chosen.len()];
                log_softmax_rows(chosen, atoms, &mut log_probs)?;
                cross_entropy_rows(&log_probs, targets, atoms, losses)?;
                log_probs.iter_mut().for_each(|log_prob| *log_prob = log_prob.exp());
                grads.fill(0.0);
                for (row, probs) in log_probs.chunks_exact(atoms).enumerate() {
                    let range = row * atoms..(row + 1) * atoms;
                    let (targets, grads) = (&targets[range.clone()], &mut grads[range]);
                    add_cross_entropy_gradient(probs, targets, row_weights[row], grads);
                    let mut value = [0.0];
                    support.expected_values(probs, &mut value)?;
                    q_sum += f64::from(value[0]);
                }
                errors.extend_from_slice(losses);
            }
            Returns::Quantiles(_) | Returns::Implicit(_) => {
                if taus.is_empty() {
                    quantile_huber(chosen, targets, delta, row_weights, losses, grads)?;
                } else {
                    quantile_huber_at(chosen, taus, targets, delta, row_weights, losses, grads)?;
                }
                q_sum = chosen.chunks_exact(atoms).map(mean).sum();
                errors.extend_from_slice(losses);
            }
        }
        Ok(q_sum)
    }
}

/// The mean of each step's values over its views.
fn average(values: &mut Vec<f32>, views: usize) {
    let steps = values.len() / views;
    for view in 1..views {
        (0..steps).for_each(|step| values[step] += values[view * steps + step]);
    }
    values.truncate(steps);
    if views > 1 {
        values.iter_mut().for_each(|value| *value /= views as f32);
    }
}
