//! Multi-layer perceptrons: for learning on a tape, for acting on packed weights.

use std::fmt;
use std::sync::Arc;

use dfdx::tensor::{Cpu, Tape as DfdxTape, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::NnError;
use crate::init::Init;
use crate::kernels::AlignedBuffer;
use crate::linear::{Activation, Linear};
use crate::matrix::{Matrix, check_length, check_not_empty};
use crate::operation;
use crate::params::{LayoutBuilder, Params};
use crate::stack;
use crate::tape::Tape;

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
}

/// A multi-layer perceptron: linear layers with an activation between them, as one fused operation.
///
/// Parameters are named as those of `torch.nn.Sequential(Linear, activation, Linear, …)`:
/// `<prefix>.0.weight`, `<prefix>.0.bias`, `<prefix>.2.weight`, …
///
/// # Shapes
/// `[B, inputs]` to `[B, outputs]`.
#[derive(Debug, Clone)]
pub struct Mlp {
    layers: Arc<[Linear]>,
}

impl Mlp {
    /// Adds the network's parameters to a layout.
    ///
    /// # Panics
    /// If a size is zero or a name is taken.
    pub fn new(
        builder: &mut LayoutBuilder,
        prefix: &str,
        inputs: usize,
        config: &MlpConfig,
        outputs: usize,
        hidden_init: Init,
        output_init: Init,
    ) -> Self {
        let mut layers = Vec::with_capacity(config.hidden.len() + 1);
        let mut width = inputs;
        for (index, &hidden) in config.hidden.iter().enumerate() {
            let name = format!("{prefix}.{}", 2 * index);
            layers.push(Linear::new(builder, &name, width, hidden, config.activation, hidden_init));
            width = hidden;
        }
        let name = format!("{prefix}.{}", 2 * config.hidden.len());
        layers.push(Linear::new(builder, &name, width, outputs, Activation::Identity, output_init));
        Self { layers: layers.into() }
    }

    /// The layers, from the input on.
    #[must_use]
    pub fn layers(&self) -> &[Linear] {
        &self.layers
    }

    /// Number of inputs of a row.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.layers[0].inputs
    }

    /// Number of outputs of a row.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.layers[self.layers.len() - 1].outputs
    }

    /// Runs the network on a batch, as one operation on the tape.
    ///
    /// # Shapes
    /// `x`: `[B, inputs]`; returns `[B, outputs]`.
    ///
    /// # Errors
    /// [`NnError::Columns`] if `x` has another width, [`NnError::Length`] if `params` belong to another network.
    pub fn forward(&self, params: &Params, x: &Matrix, tape: Tape) -> Result<(Matrix, Tape), NnError> {
        operation::forward(&self.layers, params, x, tape)
    }

    /// Runs the network on a dfdx tensor, as one operation on the tape that the tensor carries.
    ///
    /// With a tape, the gradient of `x` is always computed; [`Self::forward`] leaves it out where nobody wants it.
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
        operation::forward_tensor(&self.layers, params, x)
    }

    /// Runs the network on a batch without a tape and without allocating.
    ///
    /// Each row's result is bit for bit that of [`Self::forward`], whatever the batch size.
    ///
    /// # Shapes
    /// `x`: `[batch, inputs]`, `out`: `[batch, outputs]`.
    ///
    /// # Errors
    /// [`NnError::Empty`] if `batch` is zero, [`NnError::Length`] if a slice has the wrong length or `packed` was
    /// made of another network.
    pub fn infer(
        &self,
        packed: &PackedMlp,
        x: &[f32],
        batch: usize,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), NnError> {
        check_not_empty("input", batch, self.inputs())?;
        check_length("input", batch * self.inputs(), x.len())?;
        check_length("output", batch * self.outputs(), out.len())?;
        check_length("packed weights", stack::packed_stack_len(&self.layers), packed.values.len())?;
        scratch.values.reserve_len(stack::scratch_len(&self.layers));
        stack::forward_only(&self.layers, &packed.values, x, batch, &mut scratch.values, out);
        Ok(())
    }
}

/// An [`Mlp`]'s weights in the order in which inference reads them: made once for each published snapshot.
#[derive(Clone)]
pub struct PackedMlp {
    values: AlignedBuffer,
}

impl PackedMlp {
    /// Copies the network's weights out of `params`.
    ///
    /// # Errors
    /// [`NnError::Length`] if `params` belong to another network.
    pub fn new(mlp: &Mlp, params: &Params) -> Result<Self, NnError> {
        let mut packed = Self { values: AlignedBuffer::default() };
        packed.update(mlp, params)?;
        Ok(packed)
    }

    /// Copies the network's weights again, into the same memory.
    ///
    /// # Errors
    /// [`NnError::Length`] if `params` belong to another network.
    pub fn update(&mut self, mlp: &Mlp, params: &Params) -> Result<(), NnError> {
        operation::check_stack(&mlp.layers, params)?;
        self.values.reserve_len(stack::packed_stack_len(&mlp.layers));
        stack::pack(&mlp.layers, params.as_slice(), &mut self.values);
        Ok(())
    }
}

impl fmt::Debug for PackedMlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackedMlp").field("len", &self.values.len()).finish()
    }
}

/// Working memory of [`Mlp::infer`]: one for each thread, for any networks.
#[derive(Default)]
pub struct Scratch {
    values: AlignedBuffer,
}

impl Scratch {
    /// Without memory; the first use takes it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch").field("len", &self.values.len()).finish()
    }
}
