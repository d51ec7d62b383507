//! A chain of linear layers as one fused operation: the forward pass, and its gradient.
//!
//! Both run over blocks of rows, all layers for one block before the next, so that activations stay in the cache.
//! A row's result does not depend on the block it falls in.

use std::ops::Range;

use crate::kernels::{
    Init, Left, Pooled, Right, activate, differentiate, dot_rows, gemm, pack_transposed, packed_len,
    transpose_into,
};
use crate::linear::{Activation, Linear};

/// Rows that go through all layers together.
fn block_rows(layers: &[Linear]) -> usize {
    if max_width(layers) <= 128 { 96 } else { 48 }
}

fn max_width(layers: &[Linear]) -> usize {
    layers.iter().map(|layer| layer.outputs).max().unwrap_or(0)
}

/// Rounds up to whole cache lines.
fn aligned(len: usize) -> usize {
    len.next_multiple_of(16)
}

// --- weights ---------------------------------------------------------------------------------------------------

/// Few outputs are dot products along the inputs; more are tiles of a product with the transposed weight.
fn prefers_dot(layer: &Linear) -> bool {
    // In vector operations: a dot product ends with a sum over the lanes, worth about eight.
    let dot = layer.outputs * (layer.inputs.div_ceil(16) + 8);
    let tile = layer.inputs * layer.outputs.div_ceil(16);
    dot < tile
}

fn packed_weight_len(layer: &Linear) -> usize {
    aligned(if prefers_dot(layer) { layer.weight.len() } else { packed_len(layer.outputs, layer.inputs) })
}

fn packed_layer_len(layer: &Linear) -> usize {
    packed_weight_len(layer) + aligned(layer.outputs)
}

/// How many values [`pack`] writes.
pub(crate) fn packed_stack_len(layers: &[Linear]) -> usize {
    layers.iter().map(packed_layer_len).sum()
}

/// Copies weights and biases in the order in which [`forward`] reads them.
pub(crate) fn pack(layers: &[Linear], params: &[f32], mut packed: &mut [f32]) {
    for layer in layers {
        let (weight, rest) = packed.split_at_mut(packed_weight_len(layer));
        if prefers_dot(layer) {
            weight[..layer.weight.len()].copy_from_slice(layer.weight.of(params));
        } else {
            pack_transposed(layer.weight.of(params), layer.outputs, layer.inputs, weight);
        }
        let (bias, rest) = rest.split_at_mut(aligned(layer.outputs));
        bias[..layer.outputs].copy_from_slice(layer.bias.of(params));
        packed = rest;
    }
}

// --- forward ---------------------------------------------------------------------------------------------------

/// What a forward pass over `rows` rows keeps of one layer, as ranges of one buffer.
struct Kept {
    /// The activations; empty for the last layer, whose activations are the output.
    activations: Range<usize>,
    /// The pre-activations; empty if the derivative does not need them.
    preactivations: Range<usize>,
}

impl Kept {
    fn of(layers: &[Linear], rows: usize) -> impl Iterator<Item = Self> + '_ {
        let mut end = 0;
        let mut region = move |len: usize| {
            let start = end;
            end += aligned(len);
            start..start + len
        };
        layers.iter().enumerate().map(move |(index, layer)| {
            let len = rows * layer.outputs;
            Self {
                activations: region(if index + 1 == layers.len() { 0 } else { len }),
                preactivations: region(if layer.activation.keeps_preactivation() { len } else { 0 }),
            }
        })
    }

    /// The part of `region` that belongs to some rows.
    fn rows(region: &Range<usize>, rows: &Range<usize>, width: usize) -> Range<usize> {
        if region.is_empty() {
            return 0..0;
        }
        region.start + rows.start * width..region.start + rows.end * width
    }
}

/// How long the buffer must be that [`forward`] keeps `rows` rows in.
fn kept_len(layers: &[Linear], rows: usize) -> usize {
    layers
        .iter()
        .map(|layer| {
            aligned(rows * layer.outputs) * (1 + usize::from(layer.activation.keeps_preactivation()))
        })
        .sum()
}

/// Forward pass that keeps what the gradient needs.
pub(crate) fn forward_keeping(
    layers: &[Linear],
    params: &[f32],
    x: &[f32],
    batch: usize,
    out: &mut [f32],
) -> Pooled {
    let mut packed = Pooled::take(packed_stack_len(layers));
    pack(layers, params, &mut packed);
    let mut kept = Pooled::take(kept_len(layers, batch));
    for rows in blocks(layers, batch) {
        forward_block(layers, &packed, x, batch, rows, &mut kept, out);
    }
    kept
}

/// How long the scratch buffer of [`forward_only`] must be.
pub(crate) fn scratch_len(layers: &[Linear]) -> usize {
    kept_len(layers, block_rows(layers))
}

/// Forward pass that keeps nothing: same results as [`forward_keeping`], bit for bit.
pub(crate) fn forward_only(
    layers: &[Linear],
    packed: &[f32],
    x: &[f32],
    batch: usize,
    scratch: &mut [f32],
    out: &mut [f32],
) {
    let (inputs, outputs) = (layers[0].inputs, layers[layers.len() - 1].outputs);
    for rows in blocks(layers, batch) {
        let (x, out) = (&x[rows.start * inputs..], &mut out[rows.start * outputs..]);
        forward_block(layers, packed, x, rows.len(), 0..rows.len(), scratch, out);
    }
}

fn blocks(layers: &[Linear], batch: usize) -> impl Iterator<Item = Range<usize>> {
    let step = block_rows(layers);
    (0..batch).step_by(step).map(move |start| start..(start + step).min(batch))
}

/// All layers for some rows; `kept` is laid out for `batch` rows.
fn forward_block(
    layers: &[Linear],
    mut packed: &[f32],
    x: &[f32],
    batch: usize,
    rows: Range<usize>,
    kept: &mut [f32],
    out: &mut [f32],
) {
    let mut previous = 0..0;
    for (index, (layer, region)) in layers.iter().zip(Kept::of(layers, batch)).enumerate() {
        let (inputs, outputs) = (layer.inputs, layer.outputs);
        let (weight, rest) = packed.split_at(packed_weight_len(layer));
        let (bias, rest) = rest.split_at(aligned(outputs));
        packed = rest;
        // A layer's region begins after its predecessor's.
        let (before, from) = kept.split_at_mut(region.activations.start);
        let input = if index == 0 { &x[rows.start * inputs..rows.end * inputs] } else { &before[previous] };
        let (target, preactivations) =
            from.split_at_mut(region.preactivations.start - region.activations.start);
        let target = if index + 1 == layers.len() {
            &mut out[rows.start * outputs..rows.end * outputs]
        } else {
            &mut target[rows.start * outputs..rows.end * outputs]
        };
        let shape = (rows.len(), outputs, inputs);
        if prefers_dot(layer) {
            dot_rows(shape, input, weight, bias, target);
        } else {
            let left = Left { data: input, row_stride: inputs, column_stride: 1 };
            gemm(shape, left, Right::packed(weight, inputs), Init::Bias(bias), target);
        }
        if layer.activation.keeps_preactivation() {
            preactivations[rows.start * outputs..rows.end * outputs].copy_from_slice(target);
        }
        activate(layer.activation, target);
        previous = Kept::rows(&region.activations, &rows, outputs);
    }
}

// --- gradient --------------------------------------------------------------------------------------------------

/// Where parameter gradients go.
pub(crate) trait Sink {
    /// The flat gradient buffer.
    fn values(&mut self) -> &mut [f32];

    /// Whether the range holds no gradient yet, asked once for each parameter.
    fn is_first(&mut self, range: Range<usize>) -> bool;
}

/// What [`backward`] reads.
pub(crate) struct Saved<'a> {
    pub(crate) layers: &'a [Linear],
    pub(crate) params: &'a [f32],
    pub(crate) x: &'a [f32],
    pub(crate) kept: &'a [f32],
    /// The output's values; needed only if the last layer's derivative is a function of them.
    pub(crate) out: &'a [f32],
}

/// Adds up the gradients: of the parameters into `sink`, of the input into `dx`. `dout` is used up.
pub(crate) fn backward(
    saved: &Saved<'_>,
    dout: &mut [f32],
    mut sink: Option<&mut dyn Sink>,
    mut dx: Option<&mut [f32]>,
) {
    let layers = saved.layers;
    let batch = dout.len() / layers[layers.len() - 1].outputs;
    let regions: Vec<Kept> = Kept::of(layers, batch).collect();
    let width = max_width(layers);
    let mut scratch = Pooled::take(2 * aligned(block_rows(layers) * width) + aligned(width));
    let (deltas, unwanted_bias) = scratch.split_at_mut(2 * aligned(block_rows(layers) * width));
    let (mut here, mut there) = deltas.split_at_mut(aligned(block_rows(layers) * width));
    let mut transposed = Pooled::take(
        layers.iter().filter(|layer| prefers_transposed(layer)).map(|layer| layer.weight.len()).sum(),
    );

    let fresh: Vec<[bool; 2]> = match &mut sink {
        None => Vec::new(),
        Some(sink) => layers
            .iter()
            .map(|layer| [sink.is_first(layer.weight.range()), sink.is_first(layer.bias.range())])
            .collect(),
    };
    for rows in blocks(layers, batch) {
        let first_block = rows.start == 0;
        let mut transposed_end = transposed.len();
        for (index, layer) in layers.iter().enumerate().rev() {
            let (inputs, outputs) = (layer.inputs, layer.outputs);
            let last = index + 1 == layers.len();
            let delta = if last {
                &mut dout[rows.start * outputs..rows.end * outputs]
            } else {
                &mut here[..rows.len() * outputs]
            };
            let kept = match (layer.activation.keeps_preactivation(), last) {
                (true, _) => &saved.kept[Kept::rows(&regions[index].preactivations, &rows, outputs)],
                (false, false) => &saved.kept[Kept::rows(&regions[index].activations, &rows, outputs)],
                (false, true) if layer.activation == Activation::Identity => &[],
                (false, true) => &saved.out[rows.start * outputs..rows.end * outputs],
            };
            let input = if index == 0 {
                &saved.x[rows.start * inputs..rows.end * inputs]
            } else {
                &saved.kept[Kept::rows(&regions[index - 1].activations, &rows, inputs)]
            };
            if let Some(sink) = &mut sink {
                let [fresh_weight, fresh_bias] = fresh[index];
                let bias = layer.bias.of_mut(sink.values());
                if first_block && fresh_bias {
                    bias.fill(0.0);
                }
                differentiate(layer.activation, outputs, kept, delta, bias);
                if prefers_transposed(layer) {
                    let target = &mut transposed[transposed_end - layer.weight.len()..transposed_end];
                    transposed_end -= layer.weight.len();
                    let left = Left { data: input, row_stride: 1, column_stride: inputs };
                    let init = if first_block { Init::Zero } else { Init::Accumulate };
                    gemm((inputs, outputs, rows.len()), left, Right::rows(delta, outputs), init, target);
                    if rows.end == batch {
                        transpose_into(
                            target,
                            inputs,
                            outputs,
                            !fresh_weight,
                            layer.weight.of_mut(sink.values()),
                        );
                    }
                } else {
                    let left = Left { data: delta, row_stride: 1, column_stride: outputs };
                    let init = if first_block && fresh_weight { Init::Zero } else { Init::Accumulate };
                    let target = layer.weight.of_mut(sink.values());
                    gemm((outputs, inputs, rows.len()), left, Right::rows(input, inputs), init, target);
                }
            } else {
                differentiate(layer.activation, outputs, kept, delta, unwanted_bias);
            }
            let (target, init) = match &mut dx {
                _ if index > 0 => (&mut there[..rows.len() * inputs], Init::Zero),
                Some(dx) => (&mut dx[rows.start * inputs..rows.end * inputs], Init::Accumulate),
                None => continue,
            };
            let left = Left { data: delta, row_stride: outputs, column_stride: 1 };
            gemm(
                (rows.len(), inputs, outputs),
                left,
                Right::rows(layer.weight.of(saved.params), inputs),
                init,
                target,
            );
            std::mem::swap(&mut here, &mut there);
        }
    }
}

/// Few inputs fill a vector badly; then the transposed gradient is computed, whose vectors run along the outputs.
fn prefers_transposed(layer: &Linear) -> bool {
    2 * layer.inputs * layer.outputs.div_ceil(16) <= layer.outputs * layer.inputs.div_ceil(16)
}
