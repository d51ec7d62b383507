//! The gate of a gated transformer: a recurrent unit instead of a residual sum.

use agon_policy::Gate;

use crate::error::NnError;
use crate::init::Init;
use crate::kernels::{
    HighwayGradient, Left, Pooled, Right, Start, add, differentiate, gemm_blocked, gemm_strided, highway,
    highway_gradient, highway_reset_gradient, highway_resets, pack_transposed, packed_len,
};
use crate::layer::{LayerSummary, aligned};
use crate::linear::Activation;
use crate::matrix::Matrix;
use crate::operation::name_of;
use crate::params::{Layout, LayoutBuilder, ParamRange, Params};
use crate::tape::{Backward, ParamGradients, Tape};

/// A gate between a layer's input `x` and its output `y`.
///
/// `r = σ(W_r y + U_r x)`, `z = σ(W_z y + U_z x − b_g)`, `h = tanh(W_g y + U_g (r ⊙ x))`,
/// `g(x, y) = (1 − z) ⊙ x + z ⊙ h`.
///
/// # Shapes
/// `x`, `y` and the result: `[B, E]`. `<name>.weight_y`: `[3E, E]`, the rows of `W_r`, `W_z` and `W_g`;
/// `<name>.weight_x`: `[3E, E]`, those of `U_r`, `U_z` and `U_g`; `<name>.bias`: `[E]`, which is `b_g`.
///
/// # Source
/// Parisotto et al. 2020, arXiv:1910.06764, section 3.2 (gated recurrent unit); `b_g` starts at 2, near the identity.
#[derive(Debug, Clone, PartialEq)]
pub struct GruGate {
    weight_y: ParamRange,
    weight_x: ParamRange,
    bias: ParamRange,
    width: usize,
}

impl GruGate {
    /// Adds the gate's parameters to a layout.
    ///
    /// # Panics
    /// If the width is zero or a name is taken.
    pub fn new(builder: &mut LayoutBuilder, name: &str, width: usize) -> Self {
        assert!(width > 0, "a gate needs values");
        let shape = [3 * width, width];
        Self {
            weight_y: builder.add(&format!("{name}.weight_y"), &shape, Init::PYTORCH_LINEAR),
            weight_x: builder.add(&format!("{name}.weight_x"), &shape, Init::PYTORCH_LINEAR),
            bias: builder.add(&format!("{name}.bias"), &[width], Init::Constant(2.0)),
            width,
        }
    }

    /// Runs the gate, as one operation on the tape.
    ///
    /// # Shapes
    /// `x`, `y`: `[B, E]`; returns `[B, E]`.
    ///
    /// # Errors
    /// [`NnError::Columns`] or [`NnError::Rows`] if a matrix has another size, [`NnError::Length`] if `params` belong
    /// to another network.
    pub fn forward(
        &self,
        params: &Params,
        x: &Matrix,
        y: &Matrix,
        tape: &mut Tape,
    ) -> Result<Matrix, NnError> {
        for (name, matrix) in [("x", x), ("y", y)] {
            if matrix.columns() != self.width {
                return Err(NnError::Columns { name, expected: self.width, got: matrix.columns() });
            }
        }
        if x.rows() != y.rows() {
            return Err(NnError::Rows { name: "y", expected: x.rows(), got: y.rows() });
        }
        let mut packed = Pooled::take(self.packed_len());
        self.pack(params, &mut packed)?;
        let mut gates = Pooled::take(x.rows() * 4 * self.width);
        let out = Matrix::output(x.rows(), self.width, |out| {
            self.run(&packed, x.as_slice(), y.as_slice(), &mut gates, out);
        })?;
        if tape.is_recording() {
            let (gate, of_backward, kept_x, kept_y) = (self.clone(), params.clone(), x.clone(), y.clone());
            tape.record(params, &[x, y], &[&out], move |flow| {
                gate.backward(of_backward.as_slice(), &kept_x, &kept_y, gates, flow);
            });
        }
        Ok(out)
    }

    /// How many values [`Self::pack`] writes.
    pub(crate) fn packed_len(&self) -> usize {
        let width = self.width;
        packed_len(3 * width, width)
            + packed_len(2 * width, width)
            + packed_len(width, width)
            + aligned(3 * width)
    }

    /// Copies the weights out of the flat parameters, in the order in which [`Self::infer`] reads them.
    pub(crate) fn pack(&self, params: &Params, packed: &mut [f32]) -> Result<(), NnError> {
        let end = self.bias.range().end;
        if end > params.len() {
            return Err(NnError::Length { name: "parameters", expected: end, got: params.len() });
        }
        let (params, width) = (params.as_slice(), self.width);
        let (of_y, rest) = packed.split_at_mut(packed_len(3 * width, width));
        pack_transposed(self.weight_y.of(params), 3 * width, width, of_y);
        let (of_x, rest) = rest.split_at_mut(packed_len(2 * width, width));
        let (gates, candidate) = self.weight_x.of(params).split_at(2 * width * width);
        pack_transposed(gates, 2 * width, width, of_x);
        let (of_product, bias) = rest.split_at_mut(packed_len(width, width));
        pack_transposed(candidate, width, width, of_product);
        bias.fill(0.0);
        for (target, value) in bias[width..2 * width].iter_mut().zip(self.bias.of(params)) {
            *target = -value;
        }
        Ok(())
    }

    /// Runs the gate without a tape; the results are bit for bit those of [`Self::forward`].
    pub(crate) fn infer(&self, packed: &[f32], x: &[f32], y: &[f32], out: &mut [f32]) {
        let mut gates = Pooled::take(4 * x.len());
        self.run(packed, x, y, &mut gates, out);
    }

    /// Leaves `[r, z, h, r ⊙ x]` in the rows of `gates`.
    fn run(&self, packed: &[f32], x: &[f32], y: &[f32], gates: &mut [f32], out: &mut [f32]) {
        let (width, rows) = (self.width, x.len() / self.width);
        let (of_y, rest) = packed.split_at(packed_len(3 * width, width));
        let (of_x, rest) = rest.split_at(packed_len(2 * width, width));
        let (of_product, bias) = rest.split_at(packed_len(width, width));
        let left = |data| Left { data, row_stride: width, column_stride: 1 };
        let right = |data| Right::packed(data, width);
        gemm_strided((rows, 3 * width, width), left(y), right(of_y), Start::Bias(bias), gates, 4 * width);
        gemm_strided((rows, 2 * width, width), left(x), right(of_x), Start::Accumulate, gates, 4 * width);
        highway_resets(width, x, gates);
        let mut products = Pooled::take(x.len());
        for (target, gates) in products.chunks_exact_mut(width).zip(gates.chunks_exact(4 * width)) {
            target.copy_from_slice(&gates[3 * width..]);
        }
        let candidates = &mut gates[2 * width..];
        let shape = (rows, width, width);
        gemm_strided(shape, left(&products), right(of_product), Start::Accumulate, candidates, 4 * width);
        highway(width, x, gates, out);
    }

    fn backward(&self, params: &[f32], x: &Matrix, y: &Matrix, mut gates: Pooled, flow: Backward<'_>) {
        let Backward { mut outputs, mut inputs, params: of_params } = flow;
        let Some(delta) = outputs[0].take() else { return };
        let (width, rows, x_values) = (self.width, x.rows(), x.as_slice());
        let mut memory = Pooled::take(2 * x_values.len());
        let (of_x, of_product) = memory.split_at_mut(x_values.len());
        highway_gradient(HighwayGradient { width, x: x_values, gates: &mut gates, delta, of_x });
        let (of_gates, of_candidate) = self.weight_x.of(params).split_at(2 * width * width);
        let shape = (rows, width, width);
        gemm_blocked(
            shape,
            rows_of(&gates[2 * width..], width),
            of_candidate,
            width,
            Start::Zero,
            of_product,
            width,
        );
        highway_reset_gradient(HighwayGradient {
            width,
            x: x_values,
            gates: &mut gates,
            delta: of_product,
            of_x,
        });
        if let Some(mut target) = inputs[0].take() {
            let shape = (rows, width, 2 * width);
            gemm_blocked(shape, rows_of(&gates, width), of_gates, width, Start::Accumulate, of_x, width);
            target.fill(|target| target.copy_from_slice(of_x));
        }
        if let Some(target) = inputs[1].take() {
            let start = if target.fresh { Start::Zero } else { Start::Accumulate };
            let weight = self.weight_y.of(params);
            let shape = (rows, width, 3 * width);
            gemm_blocked(shape, rows_of(&gates, width), weight, width, start, target.values, width);
        }
        if let Some(of_params) = of_params {
            self.parameter_gradients(x_values, y.as_slice(), &mut gates, of_params);
        }
    }

    fn parameter_gradients(
        &self,
        x: &[f32],
        y: &[f32],
        gates: &mut [f32],
        mut of_params: ParamGradients<'_>,
    ) {
        let (width, rows) = (self.width, x.len() / self.width);
        let transposed = |data| Left { data, row_stride: 1, column_stride: 4 * width };
        let target = of_params.target(&self.weight_y);
        let start = if target.fresh { Start::Zero } else { Start::Accumulate };
        let shape = (3 * width, width, rows);
        gemm_blocked(shape, transposed(gates), y, width, start, target.values, width);
        let target = of_params.target(&self.weight_x);
        let start = if target.fresh { Start::Zero } else { Start::Accumulate };
        let (of_gates, of_candidate) = target.values.split_at_mut(2 * width * width);
        let shape = (2 * width, width, rows);
        gemm_blocked(shape, transposed(gates), x, width, start, of_gates, width);
        let (left, products) = (transposed(&gates[2 * width..]), &gates[3 * width..]);
        gemm_blocked((width, width, rows), left, products, 4 * width, start, of_candidate, width);
        let mut sums = Pooled::zeros(4 * width);
        differentiate(Activation::Identity, 4 * width, &[], gates, &mut sums);
        let of_z = &mut sums[width..2 * width];
        of_z.iter_mut().for_each(|sum| *sum = -*sum);
        add(of_params.sum_of(&self.bias), of_z);
    }

    /// What the gate computes.
    pub(crate) fn told(&self, layout: &Layout) -> Gate {
        let [weight_y, weight_x, bias] =
            [&self.weight_y, &self.weight_x, &self.bias].map(|range| name_of(layout, range));
        Gate { weight_y, weight_x, bias, width: self.width }
    }

    /// The gate's line of a summary.
    #[must_use]
    pub fn describe(&self) -> LayerSummary {
        let weights = self.weight_x.len() + self.weight_y.len();
        LayerSummary {
            layer: format!("GruGate({})", self.width),
            output_shape: vec![self.width],
            parameters: weights + self.bias.len(),
            flops: 2 * weights as u64,
        }
    }
}

/// The left operand whose rows lie among those of the gates.
fn rows_of(gates: &[f32], width: usize) -> Left<'_> {
    Left { data: gates, row_stride: 4 * width, column_stride: 1 }
}
