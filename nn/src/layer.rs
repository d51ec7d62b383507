//! What a row-wise layer is: a function of each row of a batch by itself.
//!
//! Linear maps, convolutions, pooling and normalisation of a row are layers in this sense; attention and recurrence,
//! which mix rows, are not. A chain of layers is one operation on a tape, [`crate::Sequential`], which decides how
//! many rows go through it at a time.

use std::fmt;

use agon_policy::Operation;
use serde::Serialize;

use crate::input::Rows;
use crate::params::{Layout, ParamRange};

/// A row-wise layer with parameters in a flat buffer.
///
/// Rows must not influence each other, and a row's result must not depend, bit for bit, on how many rows are computed
/// at once. Slices have the lengths that are stated here; the caller checks them.
///
/// # Design discussion
/// The methods work on slices, not on tensors, so that a chain decides where values lie: a block of rows passes
/// through all layers while it is in the cache.
pub trait Layer: fmt::Debug + Send + Sync {
    /// Number of values of an input row.
    fn inputs(&self) -> usize;

    /// Number of values of an output row.
    fn outputs(&self) -> usize;

    /// The layer's parameters; [`Gradient::fresh`] has a flag for each.
    fn parameters(&self) -> Vec<&ParamRange> {
        Vec::new()
    }

    /// What the layer reads besides its parameters: values among them that are not learned.
    fn buffers(&self) -> Vec<&ParamRange> {
        Vec::new()
    }

    /// How many values [`Layer::pack`] writes: a multiple of 16, at least as many as the layer has parameters to read.
    fn packed_len(&self) -> usize {
        0
    }

    /// Copies the weights out of the flat parameters, in the order in which [`Layer::forward`] reads them.
    fn pack(&self, params: &[f32], packed: &mut [f32]) {
        let _ = (params, packed);
    }

    /// Whether a training step over a batch of `batch` rows is faster with packed weights.
    fn packs_for(&self, batch: usize) -> bool {
        let _ = batch;
        true
    }

    /// How many values of a row [`Layer::backward`] needs besides input and output.
    fn kept_len(&self) -> usize {
        0
    }

    /// Computes `rows` rows.
    ///
    /// `kept` is empty if no gradient will be wanted.
    ///
    /// # Shapes
    /// `x`: `[rows, inputs]`, `kept`: `[rows, kept_len]` in the layer's own order, `out`: `[rows, outputs]`.
    fn forward(&self, weights: Weights<'_>, x: &[f32], rows: usize, kept: &mut [f32], out: &mut [f32]);

    /// As [`Self::forward`], of rows as they came in. A layer that has no use for bytes is given floats.
    fn forward_rows(
        &self,
        weights: Weights<'_>,
        x: Rows<'_>,
        rows: usize,
        kept: &mut [f32],
        out: &mut [f32],
    ) {
        x.block(self.inputs(), &(0..rows), |x| self.forward(weights, x, rows, kept, out));
    }

    /// How many values [`Gradient::scratch`] has.
    fn gradient_scratch_len(&self) -> usize {
        0
    }

    /// Computes the gradients for some rows of a batch, the same rows as [`Layer::forward`] has computed at once.
    ///
    /// The gradient of the parameters is added up over the blocks of a batch; `dx` is overwritten.
    ///
    /// # Shapes
    /// `delta`, the gradient of the output, which may be used up: `[rows, outputs]`, `dx`: `[rows, inputs]`.
    fn backward(
        &self,
        saved: &Saved<'_>,
        delta: &mut [f32],
        gradient: Option<Gradient<'_>>,
        dx: Option<&mut [f32]>,
    );

    /// As [`Self::backward`], of rows as they came in: [`Saved::x`] is not looked at.
    fn backward_rows(
        &self,
        saved: &Saved<'_>,
        x: Rows<'_>,
        delta: &mut [f32],
        gradient: Option<Gradient<'_>>,
        dx: Option<&mut [f32]>,
    ) {
        x.block(self.inputs(), &(0..saved.rows), |x| {
            self.backward(&Saved { x, ..*saved }, delta, gradient, dx);
        });
    }

    /// The layer's line of a summary.
    fn describe(&self) -> LayerSummary;

    /// What the layer computes; `layout` has the names of its parameters.
    fn operations(&self, layout: &Layout) -> Vec<Operation> {
        let _ = layout;
        vec![Operation::Opaque { layer: self.describe().layer }]
    }

    /// Whether the layer's work on one row keeps a processor busy: then few rows go through it at a time.
    fn is_spatial(&self) -> bool {
        false
    }

    /// How many rows a spatial layer wants at a time, if it gains by more than one.
    fn rows_at_once(&self) -> usize {
        1
    }
}

/// The weights of one layer.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// What [`Layer::pack`] has written; empty if it has not been called.
    pub packed: &'a [f32],
    /// All parameters.
    pub params: &'a [f32],
}

/// What [`Layer::backward`] reads.
#[derive(Clone, Copy, Debug)]
pub struct Saved<'a> {
    /// The weights of the forward pass.
    pub weights: Weights<'a>,
    /// The input.
    pub x: &'a [f32],
    /// The output.
    pub out: &'a [f32],
    /// What the forward pass has kept.
    pub kept: &'a [f32],
    /// Number of rows.
    pub rows: usize,
}

/// Where [`Layer::backward`] puts the gradients of the parameters.
#[derive(Debug)]
pub struct Gradient<'a> {
    /// The flat gradient of all parameters of the network.
    pub flat: &'a mut [f32],
    /// The layer's own memory, kept from block to block of a batch; its first contents are unspecified.
    pub scratch: &'a mut [f32],
    /// For each parameter, whether the first block must overwrite `flat` and not add to it.
    pub fresh: &'a [bool],
    /// Whether this is the batch's first block.
    pub first: bool,
    /// Whether this is the batch's last block: then `flat` must hold the sum.
    pub last: bool,
}

/// One line of a network's summary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerSummary {
    /// The layer and its settings, as PyTorch prints them.
    pub layer: String,
    /// The shape of a row's output.
    pub output_shape: Vec<usize>,
    /// The number of parameters.
    pub parameters: usize,
    /// Floating-point operations of a row's forward pass: two for each multiplication with addition of a matrix
    /// product; elementwise functions are not counted.
    pub flops: u64,
}

/// Rounds up to whole cache lines.
pub(crate) fn aligned(len: usize) -> usize {
    len.next_multiple_of(16)
}
