//! The loss of replayed sequences.

use agon_nn::{Input, Matrix, MemoryState, Model, ModelScratch, PackedModel, Params, Tape, Unroll};

use super::R2d2Config;
use crate::exploration::best;
use crate::replay::ReplayBuffer;
use crate::td_sums::TdSums;
use crate::{AgentError, error};

/// The scale that values are learned in: `h(x) = sign(x) (√(|x| + 1) − 1) + ε x`.
pub(super) fn rescaled(x: f32, eps: f32) -> f32 {
    ((x.abs() + 1.0).sqrt() - 1.0).copysign(x) + eps * x
}

/// `h⁻¹`.
pub(super) fn unscaled(y: f32, eps: f32) -> f32 {
    let (y, eps) = (f64::from(y), f64::from(eps));
    let root = (1.0 + 4.0 * eps * (y.abs() + 1.0 + eps)).sqrt();
    ((((root - 1.0) / (2.0 * eps)).powi(2) - 1.0) as f32).copysign(y as f32)
}

/// What the slices of a minibatch read.
pub(super) struct Update<'a> {
    pub(super) config: &'a R2d2Config,
    pub(super) model: &'a Model,
    pub(super) params: &'a Params,
    pub(super) online: &'a PackedModel,
    pub(super) target: &'a PackedModel,
    pub(super) replay: &'a ReplayBuffer,
    pub(super) updates: u64,
}

/// Working memory and results of one slice.
#[derive(Debug, Default)]
pub struct SliceWork {
    scratch: ModelScratch,
    /// `[B, S]` and a copy.
    state: Vec<f32>,
    branch: Vec<f32>,
    /// `[B, A]`: of the observations that steps are taken in, and of those that end a sequence or an episode.
    values: Vec<f32>,
    finals: Vec<f32>,
    online_next: Vec<Vec<f32>>,
    target_next: Vec<Vec<f32>>,
    q_grads: Vec<f32>,
    /// `η max |error| + (1 − η) mean |error|` of each sequence.
    pub(super) priorities: Vec<f32>,
}

impl Update<'_> {
    /// The loss of the sequences that begin at `starts`, and its gradient.
    pub(super) fn backward(
        &self,
        starts: &[u32],
        weights: &[f32],
        work: &mut SliceWork,
        grads: &mut [f32],
    ) -> Result<TdSums, AgentError> {
        let (rows, actions) = (starts.len(), self.model.outputs(0));
        let (burn_in, learn) = (self.config.burn_in, self.config.learn_steps);
        work.priorities.clear();
        let mut sums = TdSums::default();
        let slots = |from: usize, count: usize| -> Vec<u32> {
            (from..from + count)
                .flat_map(|t| starts.iter().map(move |&start| self.replay.following(start, t)))
                .collect()
        };
        let mut online_next = std::mem::take(&mut work.online_next);
        let mut target_next = std::mem::take(&mut work.target_next);
        self.next_values(self.target, starts, &mut target_next, work)?;
        self.next_values(self.online, starts, &mut online_next, work)?;

        let resets = |slots: &[u32]| slots.iter().map(|&slot| self.replay.reset(slot)).collect::<Vec<bool>>();
        let mut state = Matrix::from_slice(rows, self.model.state_len(), &self.stored_states(starts))?;
        if burn_in > 0 {
            let before = slots(0, burn_in);
            let (x, flags) = (self.replay.observations(&before)?, resets(&before));
            let unroll = Unroll::new(burn_in).resets(&flags);
            let mut none = Tape::inference();
            let output = self.model.forward_sequence(self.params, &x, &state, &unroll, &mut none)?;
            state = output.state.unwrap_or(state);
        }
        let learned = slots(burn_in, learn);
        let (x, flags): (Input, _) = (self.replay.observations(&learned)?, resets(&learned));
        let unroll = Unroll::new(learn).resets(&flags);
        let mut tape = Tape::new();
        let output = self.model.forward_sequence(self.params, &x, &state, &unroll, &mut tape)?;
        let q_values = &output.heads[0];

        work.q_grads.clear();
        work.q_grads.resize(learn * rows * actions, 0.0);
        let scale = 1.0 / (self.config.batch_size * learn) as f32;
        for (b, &start) in starts.iter().enumerate() {
            let weight = weights.get(b).copied().unwrap_or(1.0);
            let (mut largest, mut sum, mut count) = (0.0_f32, 0.0, 0);
            for t in 0..learn {
                let slot = self.replay.following(start, burn_in + t);
                if !self.replay.active(slot) {
                    continue;
                }
                let target = self.target_of(start, b, burn_in + t, &online_next, &target_next)?;
                let chosen = (t * rows + b) * actions + self.replay.action(slot).index();
                let error = q_values.as_slice()[chosen] - target;
                work.q_grads[chosen] = weight * scale * error;
                sums.loss += f64::from(weight * 0.5 * error * error);
                sums.q_values += f64::from(q_values.as_slice()[chosen]);
                (largest, sum, count) = (largest.max(error.abs()), sum + error.abs(), count + 1);
            }
            sums.steps += count;
            let eta = self.config.priority_eta as f32;
            work.priorities.push(eta * largest + (1.0 - eta) * sum / count.max(1) as f32);
        }
        tape.backward(self.params, &[(q_values, work.q_grads.as_slice())], grads)?;
        (work.online_next, work.target_next) = (online_next, target_next);
        Ok(sums)
    }

    fn stored_states(&self, starts: &[u32]) -> Vec<f32> {
        starts.iter().flat_map(|&start| self.replay.state(start)).copied().collect()
    }

    /// The target of step `t` of sequence `b`.
    fn target_of(
        &self,
        start: u32,
        b: usize,
        t: usize,
        online_next: &[Vec<f32>],
        target_next: &[Vec<f32>],
    ) -> Result<f32, AgentError> {
        let left = self.config.sequence_length() - t;
        let slot = self.replay.following(start, t);
        let step = self.replay.n_step(slot, self.config.gamma as f32, self.config.n_step.min(left));
        error::ensure_finite("n-step return", f64::from(step.reward), self.updates)?;
        // The step within the sequence after which the target network is asked.
        let last = t + step.steps - 1;
        let actions = self.model.outputs(0);
        let range = b * actions..(b + 1) * actions;
        let values = &target_next[last][range.clone()];
        let chooser = if self.config.double { &online_next[last][range] } else { values };
        let eps = self.config.rescale.map(|eps| eps as f32);
        let next = values[best(chooser, self.replay.next_mask(step.last))];
        let next = eps.map_or(next, |eps| unscaled(next, eps));
        let target = step.reward + if step.discount == 0.0 { 0.0 } else { step.discount * next };
        Ok(eps.map_or(target, |eps| rescaled(target, eps)))
    }

    /// A network's values of what each step of the sequences led to, `[T][B, A]`, from the stored states on.
    fn next_values(
        &self,
        packed: &PackedModel,
        starts: &[u32],
        out: &mut Vec<Vec<f32>>,
        work: &mut SliceWork,
    ) -> Result<(), AgentError> {
        let (rows, length) = (starts.len(), self.config.sequence_length());
        let SliceWork { scratch, state, branch, values, finals, .. } = work;
        *state = self.stored_states(starts);
        [&mut *values, finals]
            .into_iter()
            .for_each(|values| values.resize(rows * self.model.outputs(0), 0.0));
        out.resize(length, Vec::new());
        let mut step = |x: &Input, state: &mut [f32], resets: &[bool], values: &mut Vec<f32>| {
            let mut memory = MemoryState { state, resets };
            self.model.infer(packed, x, rows, &mut memory, scratch, &mut [values])
        };
        let none = vec![false; rows];
        for t in 0..length {
            let slots: Vec<u32> = starts.iter().map(|&start| self.replay.following(start, t)).collect();
            let resets: Vec<bool> = slots.iter().map(|&slot| self.replay.reset(slot)).collect();
            step(&self.replay.observations(&slots)?, state, &resets, values)?;
            if t > 0 {
                out[t - 1].clone_from(values);
                self.overwrite_ended(&mut out[t - 1], finals, starts, t - 1);
            }
            if t + 1 == length || slots.iter().any(|&slot| self.replay.ended(slot)) {
                // Beside the sequence: a final observation is not what the next step is taken in.
                branch.clone_from(state);
                step(&self.replay.next_observations(&slots)?, branch, &none, finals)?;
            }
        }
        out[length - 1].clone_from(finals);
        Ok(())
    }

    /// Takes the values of final observations where an episode ended.
    fn overwrite_ended(&self, values: &mut [f32], finals: &[f32], starts: &[u32], t: usize) {
        for (b, &start) in starts.iter().enumerate() {
            if self.replay.ended(self.replay.following(start, t)) {
                let actions = self.model.outputs(0);
                let range = b * actions..(b + 1) * actions;
                values[range.clone()].copy_from_slice(&finals[range]);
            }
        }
    }
}
