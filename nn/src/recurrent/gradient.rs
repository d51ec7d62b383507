//! Backpropagation through time.

use super::unroll::clear_rows;
use super::{Cell, Recurrent};
use crate::kernels::{
    GateGradient, Left, Pooled, Start, add, differentiate, gemm_blocked, gru_gradient, lstm_gradient,
    rnn_gradient,
};
use crate::linear::Activation;
use crate::matrix::Matrix;
use crate::params::Params;
use crate::tape::{Backward, ParamGradients, Target};

/// What a forward pass over a batch of sequences leaves for its gradient.
pub(super) struct Pass {
    pub(super) layer: Recurrent,
    pub(super) params: Params,
    pub(super) x: Matrix,
    pub(super) y: Matrix,
    /// `[T, B, columns]`.
    pub(super) gates: Pooled,
    /// The states before each step as the step has seen them, and that after the last one: `[T + 1, B, S]`.
    pub(super) states: Pooled,
    pub(super) steps: usize,
    pub(super) batch: usize,
    pub(super) resets: Vec<bool>,
    /// Before which steps the gradient is cut.
    pub(super) cuts: Vec<bool>,
}

impl Pass {
    pub(super) fn backward(mut self, flow: Backward<'_>) {
        let Backward { mut outputs, mut inputs, params } = flow;
        let of_last = outputs[1].take();
        let of_y = outputs[0].take();
        let [of_x, of_state] = [0, 1].map(|index| inputs[index].take());
        let mut carried = Pooled::take(self.batch * self.layer.state_len());
        match of_last {
            Some(of_last) => carried.copy_from_slice(of_last),
            None => carried.fill(0.0),
        }
        for step in (0..self.steps).rev() {
            self.step_back(step, of_y.as_deref().unwrap_or(&[]), &mut carried, of_state.is_some());
        }
        if let Some(mut of_state) = of_state {
            of_state.fill(|values| values.copy_from_slice(&carried));
        }
        if let Some(mut of_x) = of_x {
            self.input_gradient(&mut of_x);
        }
        if let Some(params) = params {
            self.parameter_gradients(params);
        }
    }

    /// From the gradient of the state after a step to that of the state before.
    fn step_back(&mut self, step: usize, of_y: &[f32], carried: &mut [f32], to_first: bool) {
        let (layer, batch) = (&self.layer, self.batch);
        let (hidden, columns, state_len) = (layer.hidden, layer.columns(), layer.state_len());
        let rows = |width: usize| step * batch * width..(step + 1) * batch * width;
        let gates = &mut self.gates[rows(columns)];
        let gradient = GateGradient {
            hidden,
            gates,
            before: &self.states[rows(state_len)],
            out: &self.y.as_slice()[rows(hidden)],
            of_out: of_y.get(rows(hidden)).unwrap_or(&[]),
            carried,
        };
        match layer.cell {
            Cell::Rnn => rnn_gradient(gradient),
            Cell::Gru => gru_gradient(gradient),
            Cell::Lstm => lstm_gradient(gradient),
        }
        if step == 0 && !to_first {
            return;
        }
        if self.cuts[step] {
            return carried.fill(0.0);
        }
        // Only a gated recurrent unit's hidden values also go on past the gates.
        let mut start = if layer.cell == Cell::Gru { Start::Accumulate } else { Start::Zero };
        let (products, count) = layer.hidden_products();
        for product in &products[..count] {
            let weight = &layer.weight_hh.of(self.params.as_slice())[product.rows.start * hidden..];
            let left = Left { data: &gates[product.column..], row_stride: columns, column_stride: 1 };
            gemm_blocked(
                (batch, hidden, product.rows.len()),
                left,
                weight,
                hidden,
                start,
                carried,
                state_len,
            );
            start = Start::Accumulate;
        }
        clear_rows(self.resets.get(step * batch..).unwrap_or(&[]), state_len, carried);
    }

    fn input_gradient(&self, of_x: &mut Target<'_>) {
        let layer = &self.layer;
        let shape = (self.steps * self.batch, layer.inputs, layer.gate_rows());
        let left = Left { data: &self.gates, row_stride: layer.columns(), column_stride: 1 };
        let weight = layer.weight_ih.of(self.params.as_slice());
        let start = if of_x.fresh { Start::Zero } else { Start::Accumulate };
        gemm_blocked(shape, left, weight, layer.inputs, start, of_x.values, layer.inputs);
    }

    fn parameter_gradients(&mut self, mut params: ParamGradients<'_>) {
        let layer = &self.layer;
        let (rows, columns, hidden) = (self.steps * self.batch, layer.columns(), layer.hidden);
        let transposed =
            |column: usize| Left { data: &self.gates[column..], row_stride: 1, column_stride: columns };
        let of_weight = params.target(&layer.weight_ih);
        let start = if of_weight.fresh { Start::Zero } else { Start::Accumulate };
        let shape = (layer.gate_rows(), layer.inputs, rows);
        gemm_blocked(
            shape,
            transposed(0),
            self.x.as_slice(),
            layer.inputs,
            start,
            of_weight.values,
            layer.inputs,
        );

        let of_weight = params.target(&layer.weight_hh);
        let start = if of_weight.fresh { Start::Zero } else { Start::Accumulate };
        let (products, count) = layer.hidden_products();
        for product in &products[..count] {
            let target = &mut of_weight.values[product.rows.start * hidden..product.rows.end * hidden];
            let shape = (product.rows.len(), hidden, rows);
            let left = transposed(product.column);
            gemm_blocked(shape, left, &self.states, layer.state_len(), start, target, hidden);
        }

        let mut sums = Pooled::zeros(columns);
        differentiate(Activation::Identity, columns, &[], &mut self.gates, &mut sums);
        add(params.sum_of(&layer.bias_ih), &sums[..layer.gate_rows()]);
        let of_bias = params.sum_of(&layer.bias_hh);
        for product in &products[..count] {
            let from = product.column..product.column + product.rows.len();
            add(&mut of_bias[product.rows.clone()], &sums[from]);
        }
    }
}
