//! A batch of sequences as one operation on a tape.

use super::Recurrent;
use super::gradient::Pass;
use super::unroll::{Unroll, clear_rows};
use crate::error::NnError;
use crate::kernels::Pooled;
use crate::matrix::Matrix;
use crate::params::Params;
use crate::tape::Tape;

impl Recurrent {
    /// Runs a batch of sequences, as one operation on the tape; returns the outputs and the last state.
    ///
    /// Both results, the input and the first state are differentiable (as far as they are
    /// [tracked](Matrix::tracked)).
    ///
    /// # Shapes
    /// `x`: `[T, B, F]` as `T · B` rows, `state`: `[B, S]`; returns `[T, B, H]` as `T · B` rows, and `[B, S]`.
    ///
    /// # Errors
    /// [`NnError::Columns`] or [`NnError::Rows`] if a matrix has another size, [`NnError::Length`] if there are
    /// resets for other than `T · B` steps or `params` belong to another network, [`NnError::Config`] if a number of
    /// steps is zero.
    pub fn forward(
        &self,
        params: &Params,
        x: &Matrix,
        state: &Matrix,
        unroll: &Unroll<'_>,
        tape: &mut Tape,
    ) -> Result<(Matrix, Matrix), NnError> {
        let batch = self.check(params, x, state, unroll)?;
        let mut packed = Pooled::take(self.packed_len());
        self.pack(params, &mut packed)?;
        let mut gates = Pooled::take(x.rows() * self.columns());
        self.multiply_inputs(&packed, x.as_slice(), x.rows(), &mut gates);
        // The states before all steps, and after the last one.
        let (of_step, width) = (batch * self.state_len(), batch * self.hidden);
        let mut states = Pooled::take((unroll.steps + 1) * of_step);
        states[..of_step].copy_from_slice(state.as_slice());
        let y = Matrix::output(x.rows(), self.hidden, |out| {
            for (step, (out, gates)) in
                out.chunks_exact_mut(width).zip(gates.chunks_exact_mut(batch * self.columns())).enumerate()
            {
                let (before, after) = states[step * of_step..].split_at_mut(of_step);
                clear_rows(unroll.resets.get(step * batch..).unwrap_or(&[]), self.state_len(), before);
                self.advance(&packed, batch, gates, before, &mut after[..of_step], out);
            }
        })?;
        let last = Matrix::output(batch, self.state_len(), |out| {
            out.copy_from_slice(&states[unroll.steps * of_step..]);
        })?;
        if tape.is_recording() {
            let pass = Pass {
                layer: self.clone(),
                params: params.clone(),
                x: x.clone(),
                y: y.clone(),
                gates,
                states,
                steps: unroll.steps,
                batch,
                resets: unroll.resets.to_vec(),
                cuts: (0..unroll.steps).map(|step| unroll.is_cut(step)).collect(),
            };
            tape.record(params, &[x, state], &[&y, &last], move |flow| pass.backward(flow));
        }
        Ok((y, last))
    }
}
