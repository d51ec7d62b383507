//! The weights of a recurrent layer in the order in which a step reads them, and the step.

use super::unroll::clear_rows;
use super::{Cell, Recurrent};
use crate::error::NnError;
use crate::kernels::{
    GateStep, Left, Pooled, Right, Start, gemm_strided, gru_step, lstm_step, pack_transposed, packed_len,
    rnn_step,
};
use crate::layer::aligned;
use crate::matrix::{check_length, check_not_empty};
use crate::params::Params;

impl Recurrent {
    /// How many values [`Recurrent::pack`] writes.
    #[must_use]
    pub fn packed_len(&self) -> usize {
        let (products, count) = self.hidden_products();
        let of_hidden: usize =
            products[..count].iter().map(|product| packed_len(product.rows.len(), self.hidden)).sum();
        packed_len(self.gate_rows(), self.inputs) + of_hidden + 2 * aligned(self.gate_rows())
    }

    /// Copies the weights out of the flat parameters, in the order in which [`Recurrent::step`] reads them.
    ///
    /// # Errors
    /// [`NnError::Length`] if `packed` is not [`Recurrent::packed_len`] long or `params` belong to another network.
    pub fn pack(&self, params: &Params, packed: &mut [f32]) -> Result<(), NnError> {
        self.check_params(params)?;
        check_length("packed weights", self.packed_len(), packed.len())?;
        let (params, hidden) = (params.as_slice(), self.hidden);
        let (of_input, mut rest) = packed.split_at_mut(packed_len(self.gate_rows(), self.inputs));
        pack_transposed(self.weight_ih.of(params), self.gate_rows(), self.inputs, of_input);
        let (products, count) = self.hidden_products();
        for product in &products[..count] {
            let (target, after) = rest.split_at_mut(packed_len(product.rows.len(), hidden));
            let rows = product.rows.start * hidden..product.rows.end * hidden;
            pack_transposed(&self.weight_hh.of(params)[rows], product.rows.len(), hidden, target);
            rest = after;
        }
        // Both biases of a sum are added once and for all.
        let (input_bias, hidden_bias) = rest.split_at_mut(aligned(self.gate_rows()));
        input_bias[..self.gate_rows()].copy_from_slice(self.bias_ih.of(params));
        hidden_bias[..self.gate_rows()].copy_from_slice(self.bias_hh.of(params));
        for product in products[..count].iter().filter(|product| !product.separate) {
            for (sum, &bias) in
                input_bias[product.rows.clone()].iter_mut().zip(&hidden_bias[product.rows.clone()])
            {
                *sum += bias;
            }
        }
        Ok(())
    }

    /// Computes one step of a batch without a tape, and without allocating once its memory is warm.
    ///
    /// The results are bit for bit those of [`Recurrent::forward`], whatever the batch size.
    ///
    /// # Shapes
    /// `x`: `[B, F]`, `resets`: `[B]` or empty for none, `state`: `[B, S]`, `out`: `[B, H]`.
    ///
    /// # Errors
    /// [`NnError::Empty`] if `batch` is zero, [`NnError::Length`] if a slice has the wrong length.
    pub fn step(
        &self,
        packed: &[f32],
        x: &[f32],
        batch: usize,
        resets: &[bool],
        state: &mut [f32],
        out: &mut [f32],
    ) -> Result<(), NnError> {
        check_not_empty("input", batch, self.inputs)?;
        check_length("packed weights", self.packed_len(), packed.len())?;
        check_length("input", batch * self.inputs, x.len())?;
        check_length("state", batch * self.state_len(), state.len())?;
        check_length("output", batch * self.hidden, out.len())?;
        if !resets.is_empty() {
            check_length("resets", batch, resets.len())?;
        }
        let mut memory = Pooled::take(state.len() + batch * self.columns());
        let (before, gates) = memory.split_at_mut(state.len());
        before.copy_from_slice(state);
        clear_rows(resets, self.state_len(), before);
        self.multiply_inputs(packed, x, batch, gates);
        self.advance(packed, batch, gates, before, state, out);
        Ok(())
    }

    /// The products with the inputs of any number of rows.
    pub(super) fn multiply_inputs(&self, packed: &[f32], x: &[f32], rows: usize, gates: &mut [f32]) {
        let (weight, _) = packed.split_at(packed_len(self.gate_rows(), self.inputs));
        let bias = &packed[packed.len() - 2 * aligned(self.gate_rows())..];
        gemm_strided(
            (rows, self.gate_rows(), self.inputs),
            Left::rows(x, self.inputs),
            Right::packed(weight, self.inputs),
            Start::Bias(bias),
            gates,
            self.columns(),
        );
    }

    /// One step from the products with its inputs and the state before, which is already cleared where it has to be.
    pub(super) fn advance(
        &self,
        packed: &[f32],
        batch: usize,
        gates: &mut [f32],
        before: &[f32],
        after: &mut [f32],
        out: &mut [f32],
    ) {
        let hidden = self.hidden;
        let (mut rest, biases) = packed.split_at(packed.len() - aligned(self.gate_rows()));
        rest = &rest[packed_len(self.gate_rows(), self.inputs)..];
        let (products, count) = self.hidden_products();
        for product in &products[..count] {
            let (weight, others) = rest.split_at(packed_len(product.rows.len(), hidden));
            rest = others;
            let left = Left { data: before, row_stride: self.state_len(), column_stride: 1 };
            let start =
                if product.separate { Start::Bias(&biases[product.rows.clone()]) } else { Start::Accumulate };
            gemm_strided(
                (batch, product.rows.len(), hidden),
                left,
                Right::packed(weight, hidden),
                start,
                &mut gates[product.column..],
                self.columns(),
            );
        }
        let step = GateStep { hidden, gates, before, after, out };
        match self.cell {
            Cell::Rnn => rnn_step(step),
            Cell::Gru => gru_step(step),
            Cell::Lstm => lstm_step(step),
        }
    }
}
