//! One linear layer with its activation.

use std::sync::Arc;

use dfdx::tensor::{Cpu, Tape as DfdxTape, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::NnError;
use crate::init::Init;
use crate::matrix::Matrix;
use crate::operation;
use crate::params::{LayoutBuilder, ParamRange, Params};
use crate::tape::Tape;

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

    /// Runs the layer on a batch, as one operation on the tape.
    ///
    /// # Shapes
    /// `x`: `[B, inputs]`; returns `[B, outputs]`.
    ///
    /// # Errors
    /// [`NnError::Columns`] if `x` has another width, [`NnError::Length`] if `params` belong to another network.
    pub fn forward(&self, params: &Params, x: &Matrix, tape: Tape) -> Result<(Matrix, Tape), NnError> {
        operation::forward(&Arc::from([self.clone()]), params, x, tape)
    }

    /// Runs the layer on a dfdx tensor, as one operation on the tape that the tensor carries.
    ///
    /// # Shapes
    /// `x`: `[B, inputs]`; returns `[B, outputs]`.
    ///
    /// # Errors
    /// As [`Self::forward`], and [`NnError::Empty`] for an empty batch.
    pub fn forward_tensor<T: DfdxTape<f32, Cpu>>(
        &self,
        params: &Params,
        x: Tensor<(usize, usize), f32, Cpu, T>,
    ) -> Result<Tensor<(usize, usize), f32, Cpu, T>, NnError> {
        operation::forward_tensor(&Arc::from([self.clone()]), params, x)
    }
}
