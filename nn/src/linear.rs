//! One linear layer with its activation.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::init::Init;
use crate::kernels::{
    Left, Pooled, Right, Start, activate, differentiate, dot_rows, gemm, pack_transposed, packed_len,
    transpose_into,
};
use crate::layer::{Gradient, Layer, LayerSummary, Saved, Weights, aligned};
use crate::params::{LayoutBuilder, ParamRange};

/// The slope of [`Activation::LeakyRelu`] below zero (PyTorch's default).
pub const LEAKY_RELU_SLOPE: f32 = 0.01;

/// An elementwise function after a linear layer, as PyTorch defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x`.
    Identity,
    /// `max(0, x)`.
    Relu,
    /// `tanh x`.
    #[default]
    Tanh,
    /// `1 / (1 + e^−x)`.
    Sigmoid,
    /// `x / (1 + e^−x)`.
    #[doc(alias = "Swish")]
    Silu,
    /// `x · Φ(x)` with the normal distribution function (not its tanh approximation).
    Gelu,
    /// `x` above zero, `e^x − 1` below.
    Elu,
    /// `x` above zero, [`LEAKY_RELU_SLOPE`]` · x` below.
    LeakyRelu,
}

impl Activation {
    /// Whether the derivative needs the argument; else it is computed from the function's value.
    pub(crate) fn keeps_preactivation(self) -> bool {
        matches!(self, Self::Silu | Self::Gelu)
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "identity",
            Self::Relu => "relu",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
            Self::Silu => "silu",
            Self::Gelu => "gelu",
            Self::Elu => "elu",
            Self::LeakyRelu => "leaky_relu",
        })
    }
}

/// A linear layer, `y = activation(x · weightᵀ + bias)`: where its parameters lie, and their sizes.
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
        assert!(inputs > 0 && outputs > 0, "a layer needs inputs and outputs, got {inputs} and {outputs}");
        let bias_init = match init {
            Init::KaimingUniform { .. } => Init::UniformFanIn { fan_in: inputs },
            _ => Init::Zeros,
        };
        let weight = builder.add(&format!("{name}.weight"), &[outputs, inputs], init);
        let bias = builder.add(&format!("{name}.bias"), &[outputs], bias_init);
        Self { weight, bias, inputs, outputs, activation }
    }
}

impl Linear {
    /// Few outputs are dot products along the inputs; more are tiles of a product with the transposed weight.
    fn prefers_dot(&self) -> bool {
        // In vector operations: a dot product ends with a sum over the lanes, worth about eight.
        let dot = self.outputs * (self.inputs.div_ceil(16) + 8);
        let tile = self.inputs * self.outputs.div_ceil(16);
        dot < tile
    }

    fn packed_weight_len(&self) -> usize {
        aligned(if self.prefers_dot() { self.weight.len() } else { packed_len(self.outputs, self.inputs) })
    }

    /// Few inputs fill a vector badly; then the transposed gradient is computed, whose vectors run along the outputs.
    fn prefers_transposed_gradient(&self) -> bool {
        2 * self.inputs * self.outputs.div_ceil(16) <= self.outputs * self.inputs.div_ceil(16)
    }

    /// The product before the activation.
    fn multiply(&self, weights: Weights<'_>, x: &[f32], rows: usize, out: &mut [f32]) {
        let shape = (rows, self.outputs, self.inputs);
        if weights.packed.is_empty() {
            let (weight, bias) = (self.weight.of(weights.params), self.bias.of(weights.params));
            if self.prefers_dot() {
                return dot_rows(shape, x, weight, bias, out);
            }
            // A small batch: its rows are fewer to transpose than the weight's.
            let mut transposed = Pooled::take(rows * (self.inputs + self.outputs));
            let (x_transposed, out_transposed) = transposed.split_at_mut(rows * self.inputs);
            transpose_into(x, rows, self.inputs, false, x_transposed);
            gemm(
                (self.outputs, rows, self.inputs),
                Left::rows(weight, self.inputs),
                Right::rows(x_transposed, rows),
                Start::RowBias(bias),
                out_transposed,
            );
            return transpose_into(out_transposed, self.outputs, rows, false, out);
        }
        let (weight, bias) = weights.packed.split_at(self.packed_weight_len());
        if self.prefers_dot() {
            dot_rows(shape, x, weight, bias, out);
        } else {
            let right = Right::packed(weight, self.inputs);
            gemm(shape, Left::rows(x, self.inputs), right, Start::Bias(bias), out);
        }
    }
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

    fn packed_len(&self) -> usize {
        self.packed_weight_len() + aligned(self.outputs)
    }

    fn pack(&self, params: &[f32], packed: &mut [f32]) {
        let (weight, bias) = packed.split_at_mut(self.packed_weight_len());
        if self.prefers_dot() {
            weight[..self.weight.len()].copy_from_slice(self.weight.of(params));
        } else {
            pack_transposed(self.weight.of(params), self.outputs, self.inputs, weight);
        }
        bias[..self.outputs].copy_from_slice(self.bias.of(params));
    }

    fn packs_for(&self, batch: usize) -> bool {
        !self.prefers_dot() && batch * (self.inputs + self.outputs) >= self.inputs * self.outputs
    }

    fn kept_len(&self) -> usize {
        if self.activation.keeps_preactivation() { self.outputs } else { 0 }
    }

    fn forward(&self, weights: Weights<'_>, x: &[f32], rows: usize, kept: &mut [f32], out: &mut [f32]) {
        self.multiply(weights, x, rows, out);
        if !kept.is_empty() {
            kept.copy_from_slice(out);
        }
        activate(self.activation, out);
    }

    fn gradient_scratch_len(&self) -> usize {
        if self.prefers_transposed_gradient() { self.weight.len() } else { 0 }
    }

    fn backward(
        &self,
        saved: &Saved<'_>,
        delta: &mut [f32],
        gradient: Option<Gradient<'_>>,
        dx: Option<&mut [f32]>,
    ) {
        let (inputs, outputs, rows) = (self.inputs, self.outputs, saved.rows);
        let kept = if self.activation.keeps_preactivation() { saved.kept } else { saved.out };
        if let Some(gradient) = gradient {
            let [fresh_weight, fresh_bias] = [0, 1].map(|index| gradient.first && gradient.fresh[index]);
            let bias = self.bias.of_mut(gradient.flat);
            if fresh_bias {
                bias.fill(0.0);
            }
            differentiate(self.activation, outputs, kept, delta, bias);
            if self.prefers_transposed_gradient() {
                let target = gradient.scratch;
                let start = if gradient.first { Start::Zero } else { Start::Accumulate };
                let left = Left::transposed(saved.x, inputs);
                gemm((inputs, outputs, rows), left, Right::rows(delta, outputs), start, target);
                if gradient.last {
                    let weight = self.weight.of_mut(gradient.flat);
                    transpose_into(target, inputs, outputs, !gradient.fresh[0], weight);
                }
            } else {
                let start = if fresh_weight { Start::Zero } else { Start::Accumulate };
                let weight = self.weight.of_mut(gradient.flat);
                let left = Left::transposed(delta, outputs);
                gemm((outputs, inputs, rows), left, Right::rows(saved.x, inputs), start, weight);
            }
        } else {
            let mut unwanted = Pooled::take(outputs);
            differentiate(self.activation, outputs, kept, delta, &mut unwanted);
        }
        if let Some(dx) = dx {
            let weight = Right::rows(self.weight.of(saved.weights.params), inputs);
            gemm((rows, inputs, outputs), Left::rows(delta, outputs), weight, Start::Zero, dx);
        }
    }

    fn describe(&self) -> LayerSummary {
        LayerSummary {
            layer: format!("Linear({}, {}, {})", self.inputs, self.outputs, self.activation),
            output_shape: vec![self.outputs],
            parameters: self.weight.len() + self.bias.len(),
            flops: 2 * self.weight.len() as u64,
        }
    }
}

impl From<Linear> for Arc<dyn Layer> {
    fn from(layer: Linear) -> Self {
        Arc::new(layer)
    }
}
