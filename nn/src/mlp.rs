//! Multi-layer perceptrons: linear layers with an activation between them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::NnError;
use crate::init::Init;
use crate::layer::Layer;
use crate::linear::{Activation, Linear};
use crate::norm::Norm;
use crate::params::LayoutBuilder;
use crate::residual::Activate;
use crate::sequential::Sequential;

/// The hidden layers of a multi-layer perceptron.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MlpConfig {
    /// The width of each hidden layer, from the input on; without any the network is one linear layer.
    pub hidden: Vec<usize>,
    /// What follows each hidden layer; the output has none.
    pub activation: Activation,
}

impl Default for MlpConfig {
    /// Two hidden layers of 64 with tanh, as CleanRL's PPO.
    fn default() -> Self {
        Self { hidden: vec![64, 64], activation: Activation::Tanh }
    }
}

impl MlpConfig {
    /// Checks the widths.
    ///
    /// # Errors
    /// [`NnError::Config`] if a width is zero.
    pub fn validate(&self) -> Result<(), NnError> {
        if self.hidden.contains(&0) {
            let got = format!("{:?}", self.hidden);
            return Err(NnError::Config { field: "hidden", expected: "widths of at least 1", got });
        }
        Ok(())
    }

    /// Adds the network's parameters to a layout; the output layer has no activation.
    ///
    /// Parameters are named as those of `torch.nn.Sequential(Linear, activation, Linear, …)`:
    /// `<prefix>.0.weight`, `<prefix>.0.bias`, `<prefix>.2.weight`, …
    ///
    /// # Shapes
    /// `[B, inputs]` to `[B, outputs]`.
    ///
    /// # Errors
    /// As [`Self::validate`].
    ///
    /// # Panics
    /// If `inputs` or `outputs` is zero, or a name is taken.
    pub fn build(
        &self,
        builder: &mut LayoutBuilder,
        prefix: &str,
        inputs: usize,
        outputs: usize,
        hidden_init: Init,
        output_init: Init,
    ) -> Result<Sequential, NnError> {
        let hidden = (&self.hidden[..], self.activation, false);
        let mut layers = hidden_layers(builder, prefix, 0, inputs, hidden, hidden_init)?;
        let width = self.hidden.last().copied().unwrap_or(inputs);
        let name = format!("{prefix}.{}", 2 * self.hidden.len());
        layers.push(Linear::new(builder, &name, width, outputs, Activation::Identity, output_init).into());
        Sequential::new(layers)
    }
}

/// Linear layers, with a LayerNorm before each activation or without; `first` is the index of the first one among its siblings.
pub(crate) fn hidden_layers(
    builder: &mut LayoutBuilder,
    prefix: &str,
    first: usize,
    inputs: usize,
    (hidden, activation, layer_norm): (&[usize], Activation, bool),
    init: Init,
) -> Result<Vec<Arc<dyn Layer>>, NnError> {
    MlpConfig { hidden: hidden.to_vec(), activation }.validate()?;
    let (mut layers, mut width, mut index): (Vec<Arc<dyn Layer>>, _, _) = (Vec::new(), inputs, first);
    for &hidden in hidden {
        let fused = if layer_norm { Activation::Identity } else { activation };
        layers.push(Linear::new(builder, &format!("{prefix}.{index}"), width, hidden, fused, init).into());
        index += 1;
        if layer_norm {
            let name = format!("{prefix}.{index}");
            layers.push(Norm::layer(builder, &name, hidden, Norm::LAYER_EPS).into());
            layers.push(Activate::new(activation, &[hidden]).into());
            index += 1;
        }
        index += 1;
        width = hidden;
    }
    Ok(layers)
}
