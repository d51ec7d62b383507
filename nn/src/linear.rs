//! One linear layer with its activation.

use std::ops::Range;
use std::sync::Arc;

pub use agon_policy::{Activation, LEAKY_RELU_SLOPE};

use agon_policy::Operation;

use crate::init::Init;
use crate::input::Rows;
use crate::kernels::{
    Bits, Bytes, Floats, Left, PANEL, Pooled, Right, Sparse, Start, activate, differentiate, dot_rows, gemm,
    gemm_strided, transpose_into,
};
use crate::layer::{Gradient, Layer, LayerSummary, Saved, Weights};
use crate::operation::{self, name_of};
use crate::params::{Layout, LayoutBuilder, ParamRange};

/// A linear layer, `y = activation(x · weightᵀ + bias)`: where its parameters lie, and their sizes.
///
/// The weight is stored transposed, as products and sparse inputs read it, but for layers of few outputs, which are dot
/// products along the inputs.
///
/// # Shapes
/// `x`: `[B, inputs]`, `weight`: `[outputs, inputs]`, `bias`: `[outputs]`, `y`: `[B, outputs]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// The weight, named `<name>.weight`.
    pub weight: ParamRange,
    /// The bias, named `<name>.bias`.
    pub bias: ParamRange,
    /// Number of inputs.
    pub inputs: usize,
    /// Number of outputs.
    pub outputs: usize,
    /// What follows the linear map.
    pub activation: Activation,
    /// Which outputs of a wider weight and bias these are, if it is shared.
    part: Option<Range<usize>>,
}

/// Runs a body on rows that are mostly zero, whatever they are made of, and says whether they are.
macro_rules! with_sparse {
    ($rows:expr, $width:expr, |$sparse:ident| $body:expr) => {
        match $rows {
            Rows::F32(values) => Sparse::of(Floats::new(values, $width)).map(|$sparse| $body).is_some(),
            Rows::U8 { values, scale } => {
                Sparse::of(Bytes::new(values, $width, scale)).map(|$sparse| $body).is_some()
            }
            Rows::Bits { bits, columns, value } => {
                Sparse::of(Bits::new(bits, columns, value)).map(|$sparse| $body).is_some()
            }
        }
    };
}

impl Linear {
    /// Adds the layer's parameters to a layout.
    ///
    /// The bias starts at zero, except with [`Init::KaimingUniform`], where it starts as PyTorch's
    /// ([`Init::UniformFanIn`]).
    ///
    /// # Panics
    /// If a size is zero or the name is taken.
    pub fn new(
        builder: &mut LayoutBuilder,
        name: &str,
        inputs: usize,
        outputs: usize,
        activation: Activation,
        init: Init,
    ) -> Self {
        let bias_init = match init {
            Init::KaimingUniform { .. } => Init::UniformFanIn { fan_in: inputs },
            _ => Init::Zeros,
        };
        Self::with_inits(builder, name, [inputs, outputs], activation, [init, bias_init])
    }

    /// As [`Self::new`], with the weight's and the bias' initialisation.
    pub(crate) fn with_inits(
        builder: &mut LayoutBuilder,
        name: &str,
        [inputs, outputs]: [usize; 2],
        activation: Activation,
        [init, bias_init]: [Init; 2],
    ) -> Self {
        let weight = Self::add_weight(builder, &format!("{name}.weight"), [inputs, outputs], init);
        let bias = builder.add(&format!("{name}.bias"), &[outputs], bias_init);
        Self { weight, bias, inputs, outputs, activation, part: None }
    }

    /// Adds a weight `[outputs, inputs]`, stored as the layer reads it.
    pub(crate) fn add_weight(
        builder: &mut LayoutBuilder,
        name: &str,
        [inputs, outputs]: [usize; 2],
        init: Init,
    ) -> ParamRange {
        assert!(inputs > 0 && outputs > 0, "a layer needs inputs and outputs, got {inputs} and {outputs}");
        let shape = [outputs, inputs];
        if prefers_dot(inputs, outputs) {
            builder.add(name, &shape, init)
        } else {
            builder.add_transposed(name, &shape, init)
        }
    }

    /// Some outputs of a weight that several layers share, which is stored transposed.
    pub(crate) fn part(weight: &ParamRange, bias: &ParamRange, part: Range<usize>) -> Self {
        let (weight, bias, inputs) = (weight.clone(), bias.clone(), weight.shape()[1]);
        let (outputs, activation) = (part.len(), Activation::Identity);
        Self { weight, bias, inputs, outputs, activation, part: Some(part) }
    }

    /// The distance of the rows of the stored weight.
    fn stride(&self) -> usize {
        self.weight.shape()[0]
    }

    /// The transposed weight and the bias, from the layer's first output on.
    fn stored<'a>(&self, params: &'a [f32]) -> (&'a [f32], &'a [f32]) {
        let first = self.part.as_ref().map_or(0, |part| part.start);
        (&self.weight.of(params)[first..], &self.bias.of(params)[first..][..self.outputs])
    }

    /// The product before the activation.
    fn multiply(&self, params: &[f32], x: Rows<'_>, rows: usize, out: &mut [f32]) {
        let (weight, bias) = self.stored(params);
        if self.weight.is_transposed() && self.multiply_sparse((weight, bias), x, out) {
            return;
        }
        x.block(self.inputs, &(0..rows), |x| {
            let shape = (rows, self.outputs, self.inputs);
            if !self.weight.is_transposed() {
                return dot_rows(shape, x, weight, bias, out);
            }
            let right = Right { data: weight, row_stride: self.stride(), panel_stride: PANEL };
            gemm(shape, Left::rows(x, self.inputs), right, Start::Bias(bias), out);
        });
    }

    /// The product of rows that are mostly zero; false if they are not.
    fn multiply_sparse(&self, (weight, bias): (&[f32], &[f32]), x: Rows<'_>, out: &mut [f32]) -> bool {
        let (right, bias, n) = ((weight, self.stride()), Some(bias), self.outputs);
        with_sparse!(x, self.inputs, |rows| rows.times(right, bias, out, n))
    }

    /// Adds up the gradient of the weight; `delta` is that of the product.
    fn weight_gradient(&self, x: Rows<'_>, rows: usize, delta: &[f32], weight: &mut [f32], fresh: bool) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        let start = |fresh: bool| if fresh { Start::Zero } else { Start::Accumulate };
        if !self.weight.is_transposed() {
            return x.block(inputs, &(0..rows), |x| {
                let (left, right) = (Left::transposed(delta, outputs), Right::rows(x, inputs));
                gemm((outputs, inputs, rows), left, right, start(fresh), weight);
            });
        }
        // Others may add to the other outputs before and after.
        let fresh = match &self.part {
            Some(_) if fresh => {
                weight.fill(0.0);
                false
            }
            _ => fresh,
        };
        let first = self.part.as_ref().map_or(0, |part| part.start);
        let (weight, stride) = (&mut weight[first..], self.stride());
        if with_sparse!(x, inputs, |rows| rows.transposed_times(
            delta,
            !fresh,
            (&mut *weight, stride),
            outputs
        )) {
            return;
        }
        x.block(inputs, &(0..rows), |x| {
            let (left, right) = (Left::transposed(x, inputs), Right::rows(delta, outputs));
            gemm_strided((inputs, outputs, rows), left, right, start(fresh), weight, stride);
        });
    }

    /// The gradient of the input; `turned` is the weight `[outputs, inputs]`, if there is such a copy.
    fn input_gradient(
        &self,
        params: &[f32],
        turned: Option<&[f32]>,
        rows: usize,
        delta: &[f32],
        dx: &mut [f32],
    ) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        let (weight, _) = self.stored(params);
        let row_major = if self.weight.is_transposed() { turned } else { Some(weight) };
        if let Some(weight) = row_major {
            return match Sparse::of(Floats::new(delta, outputs)) {
                Some(sparse) => sparse.times((weight, inputs), None, dx, inputs),
                None => {
                    let (left, right) = (Left::rows(delta, outputs), Right::rows(weight, inputs));
                    gemm((rows, inputs, outputs), left, right, Start::Zero, dx);
                }
            };
        }
        // Few rows: fewer to turn than the weight's.
        let mut own = Pooled::take(rows * (inputs + outputs));
        let (delta_turned, dx_turned) = own.split_at_mut(rows * outputs);
        transpose_into(delta, rows, outputs, false, delta_turned);
        let left = Left { data: weight, row_stride: self.stride(), column_stride: 1 };
        gemm((inputs, rows, outputs), left, Right::rows(delta_turned, rows), Start::Zero, dx_turned);
        transpose_into(dx_turned, inputs, rows, false, dx);
    }

    /// Copies the weight `[outputs, inputs]` out of the transposed one.
    fn turn(&self, params: &[f32], turned: &mut [f32]) {
        let (weight, _) = self.stored(params);
        if self.part.is_none() {
            return transpose_into(weight, self.inputs, self.outputs, false, turned);
        }
        for (input, row) in weight.chunks(self.stride()).enumerate() {
            for (output, &value) in row[..self.outputs].iter().enumerate() {
                turned[output * self.inputs + input] = value;
            }
        }
    }
}

/// Few outputs are dot products along the inputs; more are tiles of a product with the transposed weight.
fn prefers_dot(inputs: usize, outputs: usize) -> bool {
    // In vector operations: a dot product ends with a sum over the lanes, worth about eight.
    let dot = outputs * (inputs.div_ceil(16) + 8);
    let tile = inputs * outputs.div_ceil(16);
    dot < tile
}

impl Layer for Linear {
    fn inputs(&self) -> usize {
        self.inputs
    }

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn parameters(&self) -> Vec<&ParamRange> {
        vec![&self.weight, &self.bias]
    }

    fn kept_len(&self) -> usize {
        if self.activation.keeps_preactivation() { self.outputs } else { 0 }
    }

    fn forward(&self, weights: Weights<'_>, x: &[f32], rows: usize, kept: &mut [f32], out: &mut [f32]) {
        self.forward_rows(weights, Rows::F32(x), rows, kept, out);
    }

    fn forward_rows(
        &self,
        weights: Weights<'_>,
        x: Rows<'_>,
        rows: usize,
        kept: &mut [f32],
        out: &mut [f32],
    ) {
        self.multiply(weights.params, x, rows, out);
        if !kept.is_empty() {
            kept.copy_from_slice(out);
        }
        activate(self.activation, out);
    }

    /// The weight `[outputs, inputs]`, for the gradients of the inputs.
    fn gradient_scratch_len(&self) -> usize {
        if self.weight.is_transposed() { self.inputs * self.outputs } else { 0 }
    }

    fn backward(
        &self,
        saved: &Saved<'_>,
        delta: &mut [f32],
        gradient: Option<Gradient<'_>>,
        dx: Option<&mut [f32]>,
    ) {
        self.backward_rows(saved, Rows::F32(saved.x), delta, gradient, dx);
    }

    fn backward_rows(
        &self,
        saved: &Saved<'_>,
        x: Rows<'_>,
        delta: &mut [f32],
        gradient: Option<Gradient<'_>>,
        dx: Option<&mut [f32]>,
    ) {
        let (outputs, rows, params) = (self.outputs, saved.rows, saved.weights.params);
        let kept = if self.activation.keeps_preactivation() { saved.kept } else { saved.out };
        let mut turned = None;
        if let Some(Gradient { flat, scratch, fresh, first, last }) = gradient {
            let [fresh_weight, fresh_bias] = [0, 1].map(|index| first && fresh[index]);
            let bias = self.bias.of_mut(flat);
            if fresh_bias {
                bias.fill(0.0);
            }
            let start = self.part.as_ref().map_or(0, |part| part.start);
            differentiate(self.activation, outputs, kept, delta, &mut bias[start..][..outputs]);
            self.weight_gradient(x, rows, delta, self.weight.of_mut(flat), fresh_weight);
            let few = first && last && rows * (self.inputs + outputs) < self.inputs * outputs;
            if dx.is_some() && !few && self.weight.is_transposed() {
                if first {
                    self.turn(params, scratch);
                }
                turned = Some(&*scratch);
            }
        } else {
            let mut unwanted = Pooled::take(outputs);
            differentiate(self.activation, outputs, kept, delta, &mut unwanted);
        }
        if let Some(dx) = dx {
            self.input_gradient(params, turned, rows, delta, dx);
        }
    }

    fn operations(&self, layout: &Layout) -> Vec<Operation> {
        let (weight, bias) = (name_of(layout, &self.weight), name_of(layout, &self.bias));
        let linear = Operation::Linear { weight, bias, inputs: self.inputs, outputs: self.outputs };
        std::iter::once(linear).chain(operation::activation(self.activation)).collect()
    }

    fn describe(&self) -> LayerSummary {
        let parameters = self.inputs * self.outputs + self.outputs;
        LayerSummary {
            layer: format!("Linear({}, {}, {})", self.inputs, self.outputs, self.activation),
            output_shape: vec![self.outputs],
            parameters,
            flops: 2 * (self.inputs * self.outputs) as u64,
        }
    }
}

impl From<Linear> for Arc<dyn Layer> {
    fn from(layer: Linear) -> Self {
        Arc::new(layer)
    }
}
