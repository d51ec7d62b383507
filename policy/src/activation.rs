//! Functions of single values.

use std::fmt;

use serde::{Deserialize, Serialize};

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
    #[must_use]
    pub fn keeps_preactivation(self) -> bool {
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
