//! The gates of recurrent cells: one step of a batch, and its gradient.
//!
//! A state's row is the hidden values, of an LSTM followed by the cell's. Pre-activations are replaced by activations,
//! which are all that the gradient needs; these in turn by the gradients of the pre-activations.

use pulp::{Simd, WithSimd};

use super::math;
use super::rows::{RowFunction, map_rows, parts, parts_mut};
use super::simd::dispatch;

/// One step: from pre-activations and the state before to the state after.
pub(crate) struct GateStep<'a> {
    /// Number of hidden values.
    pub(crate) hidden: usize,
    /// `[B, columns]`; overwritten by what the gradient needs.
    pub(crate) gates: &'a mut [f32],
    /// The state before, `[B, S]`.
    pub(crate) before: &'a [f32],
    /// The state after, `[B, S]`.
    pub(crate) after: &'a mut [f32],
    /// The output, `[B, H]`.
    pub(crate) out: &'a mut [f32],
}

/// The gradient of one step.
pub(crate) struct GateGradient<'a> {
    /// Number of hidden values.
    pub(crate) hidden: usize,
    /// What [`GateStep`] has left, `[B, columns]`; overwritten by the pre-activations' gradients.
    pub(crate) gates: &'a mut [f32],
    /// The state before, `[B, S]`.
    pub(crate) before: &'a [f32],
    /// The output, `[B, H]`.
    pub(crate) out: &'a [f32],
    /// The gradient of the output, `[B, H]`; empty for zeros.
    pub(crate) of_out: &'a [f32],
    /// The gradient of the state after, `[B, S]`; overwritten by that of the state before, as far as that does not pass
    /// the pre-activations: of an LSTM only the cell's half, of a tanh cell nothing.
    pub(crate) carried: &'a mut [f32],
}

/// `h' = tanh a`, in rows `[a]`.
pub(crate) fn rnn_step(step: GateStep<'_>) {
    step.check(1, 1);
    dispatch(Rnn(step));
}

/// The gradient of [`rnn_step`].
pub(crate) fn rnn_gradient(gradient: GateGradient<'_>) {
    gradient.check(1, 1);
    dispatch(RnnGradient(gradient));
}

/// `r = σ(a_r)`, `z = σ(a_z)`, `n = tanh(a_n + r · m)`, `h' = (1 − z) · n + z · h`, in rows `[a_r, a_z, a_n, m]`.
pub(crate) fn gru_step(step: GateStep<'_>) {
    step.check(4, 1);
    dispatch(Gru(step));
}

/// The gradient of [`gru_step`].
pub(crate) fn gru_gradient(gradient: GateGradient<'_>) {
    gradient.check(4, 1);
    dispatch(GruGradient(gradient));
}

/// `i, f, o = σ(a)`, `g = tanh a_g`, `c' = f · c + i · g`, `h' = o · tanh c'`, in rows `[a_i, a_f, a_g, a_o, tanh c']`.
pub(crate) fn lstm_step(step: GateStep<'_>) {
    step.check(5, 2);
    dispatch(Lstm(step));
}

/// The gradient of [`lstm_step`].
pub(crate) fn lstm_gradient(gradient: GateGradient<'_>) {
    gradient.check(5, 2);
    dispatch(LstmGradient(gradient));
}

impl GateStep<'_> {
    /// Checks the lengths for rows of `columns` and `states` times the hidden values.
    fn check(&self, columns: usize, states: usize) {
        let values = self.out.len();
        assert!(self.hidden > 0 && values.is_multiple_of(self.hidden), "rows of {}", self.hidden);
        assert!(self.gates.len() == columns * values, "{columns} columns of gates");
        assert!(self.before.len() == states * values && self.after.len() == states * values, "the states");
    }
}

impl GateGradient<'_> {
    fn check(&self, columns: usize, states: usize) {
        let values = self.out.len();
        assert!(self.hidden > 0 && values.is_multiple_of(self.hidden), "rows of {}", self.hidden);
        assert!(self.gates.len() == columns * values, "{columns} columns of gates");
        assert!(self.before.len() == states * values && self.carried.len() == states * values, "the states");
        assert!(self.of_out.is_empty() || self.of_out.len() == values, "a gradient for each output");
    }
}

struct Rnn<'a>(GateStep<'a>);

impl WithSimd for Rnn<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let GateStep { gates, after, out, .. } = self.0;
        map_rows(simd, [gates], [], [after, out], RnnValues);
    }
}

#[derive(Clone, Copy)]
struct RnnValues;

impl RowFunction<1, 0, 2> for RnnValues {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, [a]: [S::f32s; 1], []: [S::f32s; 0]) -> ([S::f32s; 0], [S::f32s; 2]) {
        let h = math::tanh(simd, a);
        ([], [h, h])
    }
}

struct RnnGradient<'a>(GateGradient<'a>);

impl WithSimd for RnnGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let GateGradient { gates, out, of_out, carried, .. } = self.0;
        if !of_out.is_empty() {
            add_row(simd, carried, of_out);
        }
        map_rows(simd, [out, carried], [], [gates], RnnSlope);
    }
}

#[derive(Clone, Copy)]
struct RnnSlope;

impl RowFunction<2, 0, 1> for RnnSlope {
    #[inline(always)]
    fn apply<S: Simd>(
        self,
        simd: S,
        [h, of_h]: [S::f32s; 2],
        []: [S::f32s; 0],
    ) -> ([S::f32s; 0], [S::f32s; 1]) {
        ([], [simd.mul_f32s(of_h, one_minus_square(simd, h))])
    }
}

struct Gru<'a>(GateStep<'a>);

impl WithSimd for Gru<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let GateStep { hidden, gates, before, after, out } = self.0;
        let states = before.chunks_exact(hidden).zip(after.chunks_exact_mut(hidden));
        for ((gates, out), (before, after)) in
            gates.chunks_exact_mut(4 * hidden).zip(out.chunks_exact_mut(hidden)).zip(states)
        {
            let [r, z, n, m] = parts_mut(gates, hidden);
            map_rows(simd, [before, m], [r, z, n], [after, out], GruValues);
        }
    }
}

#[derive(Clone, Copy)]
struct GruValues;

impl RowFunction<2, 3, 2> for GruValues {
    #[inline(always)]
    fn apply<S: Simd>(
        self,
        simd: S,
        [h, m]: [S::f32s; 2],
        [r, z, n]: [S::f32s; 3],
    ) -> ([S::f32s; 3], [S::f32s; 2]) {
        let (r, z) = (math::sigmoid(simd, r), math::sigmoid(simd, z));
        let n = math::tanh(simd, simd.mul_add_e_f32s(r, m, n));
        let new = simd.mul_add_e_f32s(z, simd.sub_f32s(h, n), n);
        ([r, z, n], [new, new])
    }
}

struct GruGradient<'a>(GateGradient<'a>);

impl WithSimd for GruGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let GateGradient { hidden, gates, before, of_out, carried, .. } = self.0;
        let of_outs = of_out.chunks_exact(hidden).map(Some).chain(std::iter::repeat(None));
        let rows = gates.chunks_exact_mut(4 * hidden).zip(before.chunks_exact(hidden));
        for ((gates, before), (of_out, carried)) in rows.zip(of_outs.zip(carried.chunks_exact_mut(hidden))) {
            if let Some(of_out) = of_out {
                add_row(simd, carried, of_out);
            }
            let [r, z, n, m] = parts_mut(gates, hidden);
            map_rows(simd, [before], [r, z, n, m, carried], [], GruSlopes);
        }
    }
}

#[derive(Clone, Copy)]
struct GruSlopes;

impl RowFunction<1, 5, 0> for GruSlopes {
    #[inline(always)]
    fn apply<S: Simd>(
        self,
        simd: S,
        [h]: [S::f32s; 1],
        [r, z, n, m, of_h]: [S::f32s; 5],
    ) -> ([S::f32s; 5], [S::f32s; 0]) {
        let not_z = simd.sub_f32s(simd.splat_f32s(1.0), z);
        let of_n = simd.mul_f32s(simd.mul_f32s(of_h, not_z), one_minus_square(simd, n));
        let of_z = simd.mul_f32s(simd.mul_f32s(of_h, simd.sub_f32s(h, n)), simd.mul_f32s(z, not_z));
        let of_r = simd.mul_f32s(simd.mul_f32s(of_n, m), sigmoid_slope(simd, r));
        ([of_r, of_z, of_n, simd.mul_f32s(of_n, r), simd.mul_f32s(of_h, z)], [])
    }
}

struct Lstm<'a>(GateStep<'a>);

impl WithSimd for Lstm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let GateStep { hidden, gates, before, after, out } = self.0;
        let states = before.chunks_exact(2 * hidden).zip(after.chunks_exact_mut(2 * hidden));
        for ((gates, out), (before, after)) in
            gates.chunks_exact_mut(5 * hidden).zip(out.chunks_exact_mut(hidden)).zip(states)
        {
            let [i, f, g, o, tanh_cell] = parts_mut(gates, hidden);
            let [new_hidden, new_cell] = parts_mut(after, hidden);
            let outs = [tanh_cell, new_hidden, new_cell, out];
            map_rows(simd, [&before[hidden..]], [i, f, g, o], outs, LstmValues);
        }
    }
}

#[derive(Clone, Copy)]
struct LstmValues;

impl RowFunction<1, 4, 4> for LstmValues {
    #[inline(always)]
    fn apply<S: Simd>(
        self,
        simd: S,
        [c]: [S::f32s; 1],
        [i, f, g, o]: [S::f32s; 4],
    ) -> ([S::f32s; 4], [S::f32s; 4]) {
        let (i, f) = (math::sigmoid(simd, i), math::sigmoid(simd, f));
        let (g, o) = (math::tanh(simd, g), math::sigmoid(simd, o));
        let c = simd.mul_add_e_f32s(f, c, simd.mul_f32s(i, g));
        let tanh_cell = math::tanh(simd, c);
        let h = simd.mul_f32s(o, tanh_cell);
        ([i, f, g, o], [tanh_cell, h, c, h])
    }
}

struct LstmGradient<'a>(GateGradient<'a>);

impl WithSimd for LstmGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let GateGradient { hidden, gates, before, of_out, carried, .. } = self.0;
        let of_outs = of_out.chunks_exact(hidden).map(Some).chain(std::iter::repeat(None));
        let rows = gates.chunks_exact_mut(5 * hidden).zip(before.chunks_exact(2 * hidden));
        for ((gates, before), (of_out, carried)) in
            rows.zip(of_outs.zip(carried.chunks_exact_mut(2 * hidden)))
        {
            let [i, f, g, o, tanh_cell] = parts_mut(gates, hidden);
            let [of_hidden, of_cell] = parts_mut(carried, hidden);
            if let Some(of_out) = of_out {
                add_row(simd, of_hidden, of_out);
            }
            let [_, cell] = parts(before, hidden);
            map_rows(simd, [cell, tanh_cell, of_hidden], [i, f, g, o, of_cell], [], LstmSlopes);
        }
    }
}

#[derive(Clone, Copy)]
struct LstmSlopes;

impl RowFunction<3, 5, 0> for LstmSlopes {
    #[inline(always)]
    fn apply<S: Simd>(
        self,
        simd: S,
        [c, tanh_cell, of_h]: [S::f32s; 3],
        [i, f, g, o, of_c]: [S::f32s; 5],
    ) -> ([S::f32s; 5], [S::f32s; 0]) {
        let of_tanh = simd.mul_f32s(of_h, o);
        let of_c = simd.mul_add_e_f32s(of_tanh, one_minus_square(simd, tanh_cell), of_c);
        let of_i = simd.mul_f32s(simd.mul_f32s(of_c, g), sigmoid_slope(simd, i));
        let of_f = simd.mul_f32s(simd.mul_f32s(of_c, c), sigmoid_slope(simd, f));
        let of_g = simd.mul_f32s(simd.mul_f32s(of_c, i), one_minus_square(simd, g));
        let of_o = simd.mul_f32s(simd.mul_f32s(of_h, tanh_cell), sigmoid_slope(simd, o));
        ([of_i, of_f, of_g, of_o, simd.mul_f32s(of_c, f)], [])
    }
}

/// `target += values`.
#[inline(always)]
fn add_row<S: Simd>(simd: S, target: &mut [f32], values: &[f32]) {
    map_rows(simd, [values], [target], [], Sum);
}

#[derive(Clone, Copy)]
struct Sum;

impl RowFunction<1, 1, 0> for Sum {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, [x]: [S::f32s; 1], [sum]: [S::f32s; 1]) -> ([S::f32s; 1], [S::f32s; 0]) {
        ([simd.add_f32s(sum, x)], [])
    }
}

/// The derivative of tanh from its value.
#[inline(always)]
pub(super) fn one_minus_square<S: Simd>(simd: S, y: S::f32s) -> S::f32s {
    simd.negate_mul_add_e_f32s(y, y, simd.splat_f32s(1.0))
}

/// The derivative of the logistic function from its value.
#[inline(always)]
pub(super) fn sigmoid_slope<S: Simd>(simd: S, y: S::f32s) -> S::f32s {
    simd.mul_f32s(y, simd.sub_f32s(simd.splat_f32s(1.0), y))
}

#[cfg(test)]
mod tests {
    use super::super::simd::dispatch_to;
    use super::*;
    use crate::instruction_set::InstructionSet;

    /// One step and its gradient; the size is no multiple of any vector width.
    fn run(set: InstructionSet) -> Vec<f32> {
        let (hidden, batch) = (19, 3);
        let value = |i: usize| ((i * 7919 + 13) % 211) as f32 / 50.0 - 2.0;
        let values = |count: usize| (0..count).map(value).collect::<Vec<f32>>();
        let (mut gates, before) = (values(batch * 5 * hidden), values(batch * 2 * hidden));
        let (mut after, mut out) = (vec![0.0; batch * 2 * hidden], vec![0.0; batch * hidden]);
        let step = GateStep { hidden, gates: &mut gates, before: &before, after: &mut after, out: &mut out };
        dispatch_to(set, Lstm(step));
        let (mut carried, of_out) = (values(batch * 2 * hidden), values(batch * hidden));
        dispatch_to(
            set,
            LstmGradient(GateGradient {
                hidden,
                gates: &mut gates,
                before: &before,
                out: &out,
                of_out: &of_out,
                carried: &mut carried,
            }),
        );
        [gates, after, out, carried].concat()
    }

    #[test]
    fn instruction_sets_agree() {
        let expected = run(InstructionSet::Scalar);
        for set in InstructionSet::ALL.into_iter().filter(|set| set.is_available()) {
            for (index, (got, expected)) in run(set).iter().zip(&expected).enumerate() {
                assert!((got - expected).abs() < 1e-5, "{set} {index}: {got} {expected}");
            }
        }
    }
}
