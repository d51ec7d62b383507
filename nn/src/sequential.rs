//! A chain of layers as one fused operation on a tape.
//!
//! The chain is cut into stages, and a batch goes through a stage in blocks of rows, all layers for one block before
//! the next: small weights and a block's activations stay in the cache together. A row's result does not depend on
//! the block it falls in.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use agon_policy::Operation;

use crate::chain::{self, ChainGradient, ChainSaved, ChainWeights, PackedRanges, Plan};
use crate::error::NnError;
use crate::input::{Input, Rows};
use crate::kernels::{AlignedBuffer, Pooled};
use crate::layer::{Layer, LayerSummary, aligned};
use crate::matrix::{Matrix, check_length, check_not_empty};
use crate::params::{Layout, Params};
use crate::tape::{Backward, ParamGradients, Tape, Target};

/// Row-wise layers, each fed by the one before it.
///
/// # Shapes
/// `[B, inputs]` to `[B, outputs]`.
///
/// # Example
/// ```
/// use agon_nn::{
///     Activation, Conv2d, ConvConfig, ImageShape, Init, LayoutBuilder, Linear, Matrix, Sequential, Tape,
/// };
///
/// let (mut builder, init) = (LayoutBuilder::new(), Init::PYTORCH_LINEAR);
/// let image = ImageShape::new(4, 10, 10);
/// let conv = Conv2d::new(&mut builder, "0", image, ConvConfig::new(16, 3), Activation::Relu, init)?;
/// let flat = conv.output_shape().len();
/// let head = Linear::new(&mut builder, "3", flat, 6, Activation::Identity, init);
/// let network = Sequential::new(vec![conv.into(), head.into()])?;
/// let params = builder.build(0);
/// let images = Matrix::zeros(1, image.len())?;
/// let q = network.forward(&params, &images, &mut Tape::inference())?;
/// assert_eq!((q.rows(), q.columns()), (1, 6));
/// # Ok::<(), agon_nn::NnError>(())
/// ```
#[derive(Clone)]
pub struct Sequential {
    layers: Arc<[Arc<dyn Layer>]>,
    stages: Arc<[Stage]>,
    /// Where the weights for acting lie.
    ranges: Arc<PackedRanges>,
    /// The end of the last parameter.
    params_end: usize,
}

/// Neighbouring layers that a block of rows passes at once.
#[derive(Clone, Debug)]
struct Stage {
    layers: Range<usize>,
    block_rows: usize,
}

impl Sequential {
    /// A chain of at least one layer.
    ///
    /// # Errors
    /// [`NnError::Config`] without layers, [`NnError::Columns`] if a layer does not fit its predecessor.
    pub fn new(layers: Vec<Arc<dyn Layer>>) -> Result<Self, NnError> {
        if layers.is_empty() {
            return Err(NnError::Config {
                field: "layers",
                expected: "at least one layer",
                got: "none".into(),
            });
        }
        for pair in layers.windows(2) {
            let (expected, got) = (pair[1].inputs(), pair[0].outputs());
            if expected != got {
                return Err(NnError::Columns { name: "the input of a layer", expected, got });
            }
        }
        let ranges = layers.iter().flat_map(|layer| layer.parameters().into_iter().chain(layer.buffers()));
        let params_end = ranges.map(|range| range.range().end).max();
        Ok(Self {
            stages: stages(&layers).into(),
            ranges: Arc::new(PackedRanges::all(&layers)),
            params_end: params_end.unwrap_or(0),
            layers: layers.into(),
        })
    }

    /// The layers, from the input on.
    #[must_use]
    pub fn layers(&self) -> &[Arc<dyn Layer>] {
        &self.layers
    }

    /// This chain followed by another.
    ///
    /// # Errors
    /// [`NnError::Columns`] if the two do not fit.
    pub fn then(&self, next: &Self) -> Result<Self, NnError> {
        Self::new(self.layers.iter().chain(&*next.layers).cloned().collect())
    }

    /// Number of values of an input row.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.layers[0].inputs()
    }

    /// Number of values of an output row.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.layers[self.layers.len() - 1].outputs()
    }

    /// A line for each layer.
    #[must_use]
    pub fn summary(&self) -> Vec<LayerSummary> {
        self.layers.iter().map(|layer| layer.describe()).collect()
    }

    /// What the network computes; `layout` has the names of its parameters.
    #[must_use]
    pub fn operations(&self, layout: &Layout) -> Vec<Operation> {
        self.layers.iter().flat_map(|layer| layer.operations(layout)).collect()
    }

    /// Runs the network on a batch, as one operation on the tape.
    ///
    /// # Shapes
    /// `x`: `[B, inputs]`; returns `[B, outputs]`.
    ///
    /// # Errors
    /// [`NnError::Columns`] if `x` has another width, [`NnError::Length`] if `params` belong to another network.
    pub fn forward(&self, params: &Params, x: &Matrix, tape: &mut Tape) -> Result<Matrix, NnError> {
        self.forward_input(params, &Input::from(x), tape)
    }

    /// As [`Self::forward`], of floats or of bytes.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn forward_input(&self, params: &Params, x: &Input, tape: &mut Tape) -> Result<Matrix, NnError> {
        self.check(params, x.columns())?;
        let batch = x.rows();
        let mut pass = None;
        let out = Matrix::output(batch, self.outputs(), |out| {
            pass = Some(self.run(params.as_slice(), x.as_rows(), batch, tape.is_recording(), out));
        })?;
        let (Some(pass), true) = (pass, tape.is_recording()) else { return Ok(out) };
        let (network, of_backward, kept_x, kept_out) = (self.clone(), params.clone(), x.clone(), out.clone());
        let inputs: Vec<&Matrix> = x.matrix().into_iter().collect();
        tape.record(params, &inputs, &[&out], move |flow| {
            let Backward { mut outputs, mut inputs, params } = flow;
            let Some(dout) = outputs[0].take() else { return };
            let dx = inputs.first_mut().and_then(Option::take);
            let ends = Ends { params: of_backward.as_slice(), x: kept_x.as_rows(), out: kept_out.as_slice() };
            network.run_backward(&pass, &ends, dout, params, dx);
        });
        Ok(out)
    }

    /// Runs the network on a batch without a tape, in the scratch memory: nothing large is allocated once that has grown.
    ///
    /// Each row's result is bit for bit that of [`Self::forward`], whatever the batch size.
    ///
    /// # Shapes
    /// `x`: `[batch, inputs]`, `out`: `[batch, outputs]`.
    ///
    /// # Errors
    /// [`NnError::Empty`] if `batch` is zero, [`NnError::Length`] if a slice has the wrong length or `packed` was
    /// made of another network.
    pub fn infer<'a>(
        &self,
        packed: &Packed,
        x: impl Into<Rows<'a>>,
        batch: usize,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), NnError> {
        let x = x.into();
        check_not_empty("input", batch, self.inputs())?;
        check_not_empty("output", batch, self.outputs())?;
        check_length("input", batch * self.inputs(), x.len())?;
        check_length("output", batch * self.outputs(), out.len())?;
        check_length("packed weights", self.ranges.len(), packed.values.len())?;
        check_length("packed parameters", self.params_end, packed.params_end)?;
        let weights = ChainWeights::new(&packed.values, &self.ranges, packed.params.as_slice());
        let between = self.between_len(batch);
        let stage_len =
            |stage: &Stage| chain::infer_len(&self.layers[stage.layers.clone()], stage.block_rows.min(batch));
        let buffer_len = self.stages.iter().map(stage_len).max().unwrap_or(0);
        scratch.values.reserve_len(2 * between + buffer_len);
        let (betweens, buffer) = scratch.values.split_at_mut(2 * between);
        let (mut before, mut after) = betweens.split_at_mut(between);
        for (index, stage) in self.stages.iter().enumerate() {
            let layers = &self.layers[stage.layers.clone()];
            let (first, last) = (index == 0, index + 1 == self.stages.len());
            let (inputs, outputs) = (layers[0].inputs(), layers[layers.len() - 1].outputs());
            let input = if first { x } else { Rows::F32(&before[..batch * inputs]) };
            let target = if last { &mut *out } else { &mut after[..batch * outputs] };
            for rows in blocks(batch, stage.block_rows) {
                let out = &mut target[rows.start * outputs..rows.end * outputs];
                let (weights, x) = (weights.of(stage.layers.clone()), input.of(inputs, &rows));
                chain::infer(layers, weights, x, rows.len(), buffer, out);
            }
            std::mem::swap(&mut before, &mut after);
        }
        Ok(())
    }

    /// The parameters must reach as far as the last layer's, and the input have the first layer's width.
    fn check(&self, params: &Params, columns: usize) -> Result<(), NnError> {
        if self.params_end > params.len() {
            return Err(NnError::Length { name: "parameters", expected: self.params_end, got: params.len() });
        }
        if columns != self.inputs() {
            return Err(NnError::Columns { name: "input", expected: self.inputs(), got: columns });
        }
        Ok(())
    }

    /// The longest batch of values between two stages.
    fn between_len(&self, batch: usize) -> usize {
        let inner = self.stages.iter().skip(1).map(|stage| self.layers[stage.layers.start].inputs());
        aligned(batch * inner.max().unwrap_or(0))
    }

    /// Forward pass; with `keep` it returns what the gradient needs.
    fn run(&self, params: &[f32], x: Rows<'_>, batch: usize, keep: bool, out: &mut [f32]) -> Pass {
        let ranges = PackedRanges::for_batch(&self.layers, batch);
        let mut packed = Pooled::take(ranges.len());
        ranges.pack(&self.layers, params, &mut packed);
        let mut stages: Vec<StagePass> = Vec::with_capacity(self.stages.len());
        for (index, stage) in self.stages.iter().enumerate() {
            let layers = &self.layers[stage.layers.clone()];
            let last = index + 1 == self.stages.len();
            let (inputs, outputs) = (layers[0].inputs(), layers[layers.len() - 1].outputs());
            let plan = Plan::new(layers, batch, keep);
            let mut buffer = Pooled::take(plan.len());
            let mut between = Pooled::take(if last { 0 } else { batch * outputs });
            let input = stages.last().map_or(x, |stage| Rows::F32(&stage.out));
            let target = if last { &mut *out } else { &mut between[..] };
            let weights = ChainWeights::new(&packed, &ranges, params).of(stage.layers.clone());
            for rows in blocks(batch, stage.block_rows) {
                let out = &mut target[rows.start * outputs..rows.end * outputs];
                let x = input.of(inputs, &rows);
                chain::forward(layers, weights, &plan, x, rows.clone(), &mut buffer, out);
            }
            stages.push(StagePass { plan, buffer, out: between });
        }
        Pass { batch, ranges, packed, stages }
    }

    /// Adds up the parameters' gradient, and writes or adds that of the input. `dout` is used up.
    fn run_backward(
        &self,
        pass: &Pass,
        ends: &Ends<'_>,
        dout: &mut [f32],
        mut params: Option<ParamGradients<'_>>,
        mut dx: Option<Target<'_>>,
    ) {
        let batch = pass.batch;
        let weights = ChainWeights::new(&pass.packed, &pass.ranges, ends.params);
        // The gradient of the stage's output, but for the last stage, whose it is `dout`.
        let mut delta: Option<Pooled> = None;
        for (index, stage) in self.stages.iter().enumerate().rev() {
            let layers = &self.layers[stage.layers.clone()];
            let (inputs, outputs) = (layers[0].inputs(), layers[layers.len() - 1].outputs());
            let StagePass { plan, buffer, out } = &pass.stages[index];
            let input = if index == 0 { ends.x } else { Rows::F32(&pass.stages[index - 1].out) };
            let out = if index + 1 == self.stages.len() { ends.out } else { &out[..] };
            let saved = ChainSaved { weights: weights.of(stage.layers.clone()), plan, buffer };
            let fresh: Vec<Vec<bool>> = match &mut params {
                None => Vec::new(),
                Some(params) => layers
                    .iter()
                    .map(|layer| layer.parameters().into_iter().map(|range| params.is_fresh(range)).collect())
                    .collect(),
            };
            let mut scratch = Pooled::take(match &params {
                Some(_) => chain::gradient_scratch_len(layers),
                None => 0,
            });
            // The input's gradient may have to be added to another one; those between stages are overwritten.
            let direct = index > 0 || dx.as_ref().is_some_and(|dx| dx.fresh);
            let wanted = index > 0 || dx.is_some();
            let mut own = Pooled::take(if index > 0 || (wanted && !direct) { batch * inputs } else { 0 });
            for rows in blocks(batch, stage.block_rows) {
                let dout = match &mut delta {
                    Some(delta) => &mut delta[rows.start * outputs..rows.end * outputs],
                    None => &mut dout[rows.start * outputs..rows.end * outputs],
                };
                let target = match &mut dx {
                    _ if !wanted => None,
                    Some(dx) if index == 0 && direct => {
                        Some(&mut dx.values[rows.start * inputs..rows.end * inputs])
                    }
                    _ => Some(&mut own[rows.start * inputs..rows.end * inputs]),
                };
                let gradient = params.as_mut().map(|params| ChainGradient {
                    flat: params.values(),
                    scratch: &mut scratch,
                    fresh: &fresh,
                    first: rows.start == 0,
                    last: rows.end == batch,
                });
                let out = &out[rows.start * outputs..rows.end * outputs];
                let ends = (input.of(inputs, &rows), out);
                chain::backward(layers, &saved, ends, rows.clone(), dout, gradient, target);
            }
            if index > 0 {
                delta = Some(own);
            } else if let (Some(dx), false) = (&mut dx, direct) {
                dx.fill(|values| values.copy_from_slice(&own));
            }
        }
    }
}

impl fmt::Debug for Sequential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.layers.iter().map(|layer| layer.describe().layer)).finish()
    }
}

/// What a forward pass leaves for its gradient.
struct Pass {
    batch: usize,
    ranges: PackedRanges,
    packed: Pooled,
    stages: Vec<StagePass>,
}

struct StagePass {
    plan: Plan,
    buffer: Pooled,
    /// The stage's output; empty for the last.
    out: Pooled,
}

/// What lies at both ends of a [`Pass`].
struct Ends<'a> {
    params: &'a [f32],
    x: Rows<'a>,
    out: &'a [f32],
}

/// Cuts a chain into stages: images by themselves, and dense layers by themselves.
fn stages(layers: &[Arc<dyn Layer>]) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        match stages.last_mut() {
            Some(stage) if layers[stage.layers.start].is_spatial() == layer.is_spatial() => {
                stage.layers.end = index + 1;
            }
            _ => stages.push(Stage { layers: index..index + 1, block_rows: 0 }),
        }
    }
    for stage in &mut stages {
        stage.block_rows = block_rows(&layers[stage.layers.clone()]);
    }
    stages
}

/// Rows that go through all layers of a stage together.
fn block_rows(layers: &[Arc<dyn Layer>]) -> usize {
    /// Values of a block's activations that should stay in the cache.
    const SPATIAL: usize = 16 * 1024;
    let widest = layers.iter().map(|layer| layer.outputs()).max().unwrap_or(0);
    if layers[0].is_spatial() {
        let row: usize = layers.iter().map(|layer| layer.inputs() + layer.outputs()).sum();
        let wanted = layers.iter().map(|layer| layer.rows_at_once()).max().unwrap_or(1);
        (SPATIAL / row.max(1)).clamp(1, 16).max(wanted)
    } else if widest <= 128 {
        64
    } else {
        48
    }
}

/// The blocks of a batch.
fn blocks(batch: usize, step: usize) -> impl Iterator<Item = Range<usize>> {
    (0..batch).step_by(step).map(move |start| start..(start + step).min(batch))
}

/// A network's weights as acting reads them: made once for each published snapshot.
///
/// Most layers read the parameters as they lie, which are shared and not copied; the others have theirs packed.
#[derive(Clone)]
pub struct Packed {
    values: AlignedBuffer,
    params: Params,
    /// The end of the last parameter that the network reads.
    params_end: usize,
}

impl Packed {
    /// Takes the network's weights out of `params`.
    ///
    /// # Errors
    /// [`NnError::Length`] if `params` belong to another network.
    pub fn new(network: &Sequential, params: &Params) -> Result<Self, NnError> {
        let (values, params_end) = (AlignedBuffer::default(), network.params_end);
        let mut packed = Self { values, params: params.clone(), params_end };
        packed.update(network, params)?;
        Ok(packed)
    }

    /// Takes the network's weights again, into the same memory.
    ///
    /// # Errors
    /// [`NnError::Length`] if `params` belong to another network.
    pub fn update(&mut self, network: &Sequential, params: &Params) -> Result<(), NnError> {
        network.check(params, network.inputs())?;
        self.values.reserve_len(network.ranges.len());
        network.ranges.pack(&network.layers, params.as_slice(), &mut self.values);
        (self.params, self.params_end) = (params.clone(), network.params_end);
        Ok(())
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packed").field("len", &self.values.len()).field("params", &self.params).finish()
    }
}

/// Working memory of [`Sequential::infer`]: one for each thread, for any networks.
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
