//! A chain of layers on blocks of rows: what [`crate::Sequential`] and residual blocks are made of.

use std::ops::Range;
use std::sync::Arc;

use crate::input::Rows;
use crate::kernels::Pooled;
use crate::layer::{Gradient, Layer, Saved, Weights, aligned};

pub(crate) type Layers = [Arc<dyn Layer>];

/// Where each layer's packed weights lie in one buffer, and where they end.
#[derive(Clone, Debug)]
pub(crate) struct PackedRanges {
    ranges: Vec<Range<usize>>,
}

impl PackedRanges {
    /// All weights packed: for acting.
    pub(crate) fn all(layers: &Layers) -> Self {
        Self::when(layers, |_| true)
    }

    /// What a training step over a batch reads packed.
    pub(crate) fn for_batch(layers: &Layers, batch: usize) -> Self {
        Self::when(layers, |layer| layer.packs_for(batch))
    }

    fn when(layers: &Layers, packs: impl Fn(&dyn Layer) -> bool) -> Self {
        let mut end = 0;
        let ranges = layers.iter().map(|layer| {
            let start = end;
            end += if packs(&**layer) { aligned(layer.packed_len()) } else { 0 };
            start..end
        });
        Self { ranges: ranges.collect() }
    }

    pub(crate) fn len(&self) -> usize {
        self.ranges.last().map_or(0, |range| range.end)
    }

    pub(crate) fn pack(&self, layers: &Layers, params: &[f32], packed: &mut [f32]) {
        for (layer, range) in layers.iter().zip(&self.ranges) {
            if !range.is_empty() {
                layer.pack(params, &mut packed[range.clone()]);
            }
        }
    }
}

/// The weights of all layers of a chain.
#[derive(Clone, Copy)]
pub(crate) struct ChainWeights<'a> {
    pub(crate) packed: &'a [f32],
    pub(crate) ranges: &'a [Range<usize>],
    pub(crate) params: &'a [f32],
}

impl<'a> ChainWeights<'a> {
    pub(crate) fn new(packed: &'a [f32], ranges: &'a PackedRanges, params: &'a [f32]) -> Self {
        Self { packed, ranges: &ranges.ranges, params }
    }

    /// Those of some of the layers.
    pub(crate) fn of(self, layers: Range<usize>) -> Self {
        Self { ranges: &self.ranges[layers], ..self }
    }

    fn layer(&self, index: usize) -> Weights<'a> {
        Weights { packed: &self.packed[self.ranges[index].clone()], params: self.params }
    }
}

/// What a forward pass over a batch keeps of one layer, as ranges of one buffer.
#[derive(Clone, Debug)]
struct Region {
    /// What the layer itself asks for.
    kept: Range<usize>,
    /// The output; empty for the last layer, whose output the caller has.
    out: Range<usize>,
}

/// Where the activations of a chain lie, for a batch of some rows.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    regions: Vec<Region>,
    /// Of a row of each layer: what it keeps, what it puts out.
    widths: Vec<(usize, usize)>,
    len: usize,
}

impl Plan {
    /// For `batch` rows whose gradient is wanted, or not.
    pub(crate) fn new(layers: &Layers, batch: usize, keep: bool) -> Self {
        let mut end = 0;
        let mut region = |len: usize| {
            let start = end;
            end += aligned(len);
            start..start + len
        };
        let mut regions = Vec::with_capacity(layers.len());
        let mut widths = Vec::with_capacity(layers.len());
        for (index, layer) in layers.iter().enumerate() {
            let kept_len = if keep { layer.kept_len() } else { 0 };
            let last = index + 1 == layers.len();
            regions.push(Region {
                kept: region(batch * kept_len),
                out: region(if last { 0 } else { batch * layer.outputs() }),
            });
            widths.push((kept_len, layer.outputs()));
        }
        Self { regions, widths, len: end }
    }

    /// How many values the buffer must hold.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn kept(&self, index: usize, rows: &Range<usize>) -> Range<usize> {
        let (start, width) = (self.regions[index].kept.start, self.widths[index].0);
        start + rows.start * width..start + rows.end * width
    }

    fn out(&self, index: usize, rows: &Range<usize>) -> Range<usize> {
        let (start, width) = (self.regions[index].out.start, self.widths[index].1);
        start + rows.start * width..start + rows.end * width
    }
}

/// All layers for some rows of a batch; `x` and `out` hold only those rows.
pub(crate) fn forward(
    layers: &Layers,
    weights: ChainWeights<'_>,
    plan: &Plan,
    x: Rows<'_>,
    rows: Range<usize>,
    buffer: &mut [f32],
    out: &mut [f32],
) {
    for (index, layer) in layers.iter().enumerate() {
        // A layer's region begins after its predecessor's.
        let (before, from) = buffer.split_at_mut(plan.regions[index].kept.start);
        let input = if index == 0 { x } else { Rows::F32(&before[plan.out(index - 1, &rows)]) };
        let offset = before.len();
        let (kept, after) = from.split_at_mut(plan.regions[index].out.start - offset);
        let kept_range = plan.kept(index, &rows);
        let kept = &mut kept[kept_range.start - offset..kept_range.end - offset];
        let target = if index + 1 == layers.len() {
            &mut *out
        } else {
            &mut after[..][shifted(plan.out(index, &rows), plan.regions[index].out.start)]
        };
        layer.forward_rows(weights.layer(index), input, rows.len(), kept, target);
    }
}

/// How long the buffer of [`infer`] must be.
pub(crate) fn infer_len(layers: &Layers, rows: usize) -> usize {
    let width = layers.iter().skip(1).map(|layer| layer.inputs()).max().unwrap_or(0);
    2 * aligned(rows * width)
}

/// As [`forward`], keeping nothing: activations go back and forth between the halves of `buffer`.
pub(crate) fn infer(
    layers: &Layers,
    weights: ChainWeights<'_>,
    x: Rows<'_>,
    rows: usize,
    buffer: &mut [f32],
    out: &mut [f32],
) {
    let (mut before, mut after) = buffer.split_at_mut(infer_len(layers, rows) / 2);
    for (index, layer) in layers.iter().enumerate() {
        let input = if index == 0 { x } else { Rows::F32(&before[..rows * layer.inputs()]) };
        let target = if index + 1 == layers.len() { &mut *out } else { &mut after[..rows * layer.outputs()] };
        layer.forward_rows(weights.layer(index), input, rows, &mut [], target);
        std::mem::swap(&mut before, &mut after);
    }
}

fn shifted(range: Range<usize>, by: usize) -> Range<usize> {
    range.start - by..range.end - by
}

/// Where the parameter gradients of a chain go.
pub(crate) struct ChainGradient<'a> {
    pub(crate) flat: &'a mut [f32],
    /// Those of the layers, one after the other.
    pub(crate) scratch: &'a mut [f32],
    /// Of each layer, for each of its parameters.
    pub(crate) fresh: &'a [Vec<bool>],
    pub(crate) first: bool,
    pub(crate) last: bool,
}

/// How long the layers' scratch is altogether.
pub(crate) fn gradient_scratch_len(layers: &Layers) -> usize {
    layers.iter().map(|layer| aligned(layer.gradient_scratch_len())).sum()
}

/// What [`forward`] has left for [`backward`].
pub(crate) struct ChainSaved<'a> {
    pub(crate) weights: ChainWeights<'a>,
    pub(crate) plan: &'a Plan,
    pub(crate) buffer: &'a [f32],
}

/// The gradients for some rows of a batch; `x`, `out`, `dout` and `dx` hold only those rows. `dout` is used up.
pub(crate) fn backward(
    layers: &Layers,
    saved: &ChainSaved<'_>,
    (x, out): (Rows<'_>, &[f32]),
    rows: Range<usize>,
    dout: &mut [f32],
    mut gradient: Option<ChainGradient<'_>>,
    mut dx: Option<&mut [f32]>,
) {
    let width = layers.iter().skip(1).map(|layer| layer.inputs()).max().unwrap_or(0);
    let size = aligned(rows.len() * width);
    let mut deltas = Pooled::take(2 * size);
    let (mut here, mut there) = deltas.split_at_mut(size);
    let mut scratch_end = gradient.as_ref().map_or(0, |gradient| gradient.scratch.len());
    for (index, layer) in layers.iter().enumerate().rev() {
        let last = index + 1 == layers.len();
        let saved = Saved {
            weights: saved.weights.layer(index),
            x: if index == 0 { &[] } else { &saved.buffer[saved.plan.out(index - 1, &rows)] },
            out: if last { out } else { &saved.buffer[saved.plan.out(index, &rows)] },
            kept: &saved.buffer[saved.plan.kept(index, &rows)],
            rows: rows.len(),
        };
        let delta = if last { &mut *dout } else { &mut here[..rows.len() * layer.outputs()] };
        let own = gradient.as_mut().map(|gradient| {
            let len = layer.gradient_scratch_len();
            scratch_end -= aligned(len);
            Gradient {
                flat: &mut *gradient.flat,
                scratch: &mut gradient.scratch[scratch_end..scratch_end + len],
                fresh: &gradient.fresh[index],
                first: gradient.first,
                last: gradient.last,
            }
        });
        let target = if index == 0 { dx.take() } else { Some(&mut there[..rows.len() * layer.inputs()]) };
        if index == 0 {
            layer.backward_rows(&saved, x, delta, own, target);
        } else {
            layer.backward(&saved, delta, own, target);
        }
        std::mem::swap(&mut here, &mut there);
    }
}
