//! The chain rule for attention at one step: keys and values of earlier steps are constants.

use crate::arithmetic;
use crate::error::PolicyError;

use super::super::gradient::Reverse;
use super::super::layers::Pool;
use super::super::trace::Kept;
use super::{Attended, AttendedBlock, AttentionLayer, GateLayer, Place, wave};

impl AttentionLayer {
    /// From the gradient with respect to what it gave to that with respect to what it was given.
    pub(in crate::runner) fn reverse(
        &self,
        attended: &Attended,
        chains: &[Vec<Kept>],
        grad: &[f32],
        reverse: &mut Reverse,
    ) -> Result<Vec<f32>, PolicyError> {
        // The input's chain, three of each block, the output's.
        let mut grad = grad.to_vec();
        reverse.chain(&self.output, &chains[chains.len() - 1], &mut grad)?;
        for (index, (block, own)) in self.blocks.iter().zip(&attended.blocks).enumerate().rev() {
            let chains = &chains[1 + 3 * index..4 + 3 * index];
            let gate = |which: usize| block.gates.as_ref().map(|gates| &gates[which]);
            let (mut of_x, mut of_y) = join_input(gate(1), &own.middle, &own.fed, &grad)?;
            reverse.chain(&block.feed_forward, &chains[2], &mut of_y)?;
            of_x.iter_mut().zip(&of_y).for_each(|(sum, grad)| *sum += grad);
            let (mut of_x, mut of_context) = join_input(gate(0), &own.x, &own.attended, &of_x)?;
            reverse.chain(&block.attended, &chains[1], &mut of_context)?;
            let mut of_qkv = self.attend_input(own, attended.position, &of_context);
            reverse.chain(&block.project, &chains[0], &mut of_qkv)?;
            of_x.iter_mut().zip(&of_qkv).for_each(|(sum, grad)| *sum += grad);
            grad = of_x;
        }
        // What a position adds is a constant.
        reverse.chain(&self.input, &chains[0], &mut grad)?;
        Ok(grad)
    }

    /// With respect to the step's own query, key and value, one after the other.
    fn attend_input(&self, own: &AttendedBlock, position: usize, grad: &[f32]) -> Vec<f32> {
        let (width, head_width) = (self.width, self.width / self.heads);
        let scale = 1.0 / libm::sqrtf(head_width as f32);
        let steps = own.keys.len() / width;
        let mut all = vec![0.0; 3 * width];
        let (of_query, rest) = all.split_at_mut(width);
        let (of_key, of_value) = rest.split_at_mut(width);
        for head in 0..self.heads {
            let columns = head * head_width..(head + 1) * head_width;
            let weights = &own.weights[head * steps..(head + 1) * steps];
            let row = |rows: &[f32], step: usize, column: usize| rows[step * width + column];
            let along: Vec<f32> = (0..steps)
                .map(|step| columns.clone().map(|column| grad[column] * row(&own.values, step, column)).sum())
                .collect();
            let mean: f32 = along.iter().zip(weights).map(|(along, weight)| along * weight).sum();
            for (step, (along, weight)) in along.iter().zip(weights).enumerate() {
                let of_score = scale * weight * (along - mean);
                for column in columns.clone() {
                    of_query[column] += of_score * row(&own.keys, step, column);
                    if step + 1 == steps {
                        of_key[column] = of_score * own.query[column];
                    }
                }
            }
            let own_weight = weights[steps - 1];
            columns.for_each(|column| of_value[column] = own_weight * grad[column]);
        }
        if matches!(self.place, Place::Rotary) {
            rotate_back(&mut all[..2 * width], head_width, position);
        }
        all
    }
}

/// With respect to `x` and `y` of a sum or a gate.
fn join_input(
    gate: Option<&GateLayer>,
    x: &[f32],
    y: &[f32],
    grad: &[f32],
) -> Result<(Vec<f32>, Vec<f32>), PolicyError> {
    let Some(gate) = gate else { return Ok((grad.to_vec(), grad.to_vec())) };
    let (width, mut pool) = (x.len(), Pool::default());
    let (mut of_y, mut of_x) = (vec![0.0; 3 * width], vec![0.0; 2 * width]);
    gate.of_y.run(y, &mut of_y, &mut pool);
    gate.of_x.run(x, &mut of_x, &mut pool);
    let share = |part: usize, j: usize| arithmetic::sigmoid(of_y[part * width + j] + of_x[part * width + j]);
    let kept: Vec<f32> = (0..width).map(|j| share(0, j) * x[j]).collect();
    let mut candidate = vec![0.0; width];
    gate.of_kept.run(&kept, &mut candidate, &mut pool);
    // Of the parts `r z h`, before their functions.
    let mut parts = vec![0.0; 3 * width];
    let mut grad_x = vec![0.0; width];
    for j in 0..width {
        let update = share(1, j);
        let candidate = arithmetic::tanh(of_y[2 * width + j] + candidate[j]);
        parts[width + j] = grad[j] * (candidate - x[j]) * update * (1.0 - update);
        parts[2 * width + j] = grad[j] * update * (1.0 - candidate * candidate);
        grad_x[j] = grad[j] * (1.0 - update);
    }
    for (j, of_kept) in gate.of_kept.gradient(&parts[2 * width..])?.into_iter().enumerate() {
        let reset = share(0, j);
        parts[j] = of_kept * x[j] * reset * (1.0 - reset);
        grad_x[j] += of_kept * reset;
    }
    let through = gate.of_x.gradient(&parts[..2 * width])?;
    grad_x.iter_mut().zip(&through).for_each(|(sum, grad)| *sum += grad);
    Ok((grad_x, gate.of_y.gradient(&parts)?))
}

/// The transpose of [`super::rotate`].
fn rotate_back(heads: &mut [f32], width: usize, position: usize) {
    for head in heads.chunks_exact_mut(width) {
        let (left, right) = head.split_at_mut(width / 2);
        for (i, (x, y)) in left.iter_mut().zip(right).enumerate() {
            let (sine, cosine) = wave(position, i, width / 2);
            (*x, *y) = (*x * cosine + *y * sine, *y * cosine - *x * sine);
        }
    }
}
