//! Chains of layers beside each other: parts of an observation, or streams of a head.

use std::ops::Range;
use std::sync::Arc;

use agon_policy::{Operation, OperationBranch};

use crate::chain::{self, ChainGradient, ChainSaved, ChainWeights, PackedRanges, Plan};
use crate::error::NnError;
use crate::input::Rows;
use crate::kernels::Pooled;
use crate::layer::{Gradient, Layer, LayerSummary, Saved, Weights, aligned};
use crate::params::{Layout, ParamRange};

/// A chain of a [`Parallel`] layer: its name, the columns that it reads, and its layers.
pub type ParallelBranch = (String, Range<usize>, Vec<Arc<dyn Layer>>);

/// Chains that each read some columns of the input; their outputs are joined in order.
///
/// Columns may be read by several chains (then their gradients are added) or by none (then they have none).
///
/// # Shapes
/// `x`: `[B, inputs]`, `y`: `[B, Σ outputs of the chains]`.
#[derive(Debug, Clone)]
pub struct Parallel {
    inputs: usize,
    outputs: usize,
    branches: Vec<Branch>,
}

#[derive(Debug, Clone)]
struct Branch {
    name: String,
    columns: Range<usize>,
    /// Where its outputs lie in a row.
    outputs: Range<usize>,
    layers: Vec<Arc<dyn Layer>>,
    ranges: PackedRanges,
}

/// What a branch keeps of a row: its input, what is inside, its output.
struct Kept<'a> {
    x: &'a mut [f32],
    inside: &'a mut [f32],
    out: &'a mut [f32],
}

impl Branch {
    fn width(&self) -> usize {
        self.columns.len()
    }

    /// Values that are kept of a row, rounded up so that the inner plan of any number of rows fits.
    fn kept_len(&self) -> usize {
        let inside: usize =
            self.layers.iter().map(|layer| aligned(layer.kept_len()) + aligned(layer.outputs())).sum();
        aligned(self.width()) + inside + aligned(self.outputs.len())
    }

    /// Cuts memory for `rows` rows.
    fn cut<'a>(&self, plan: &Plan, rows: usize, memory: &'a mut [f32]) -> Kept<'a> {
        let (x, rest) = memory.split_at_mut(aligned(rows * self.width()));
        let (inside, out) = rest.split_at_mut(plan.len());
        Kept { x: &mut x[..rows * self.width()], inside, out: &mut out[..rows * self.outputs.len()] }
    }
}

impl Parallel {
    /// Chains with their names and the columns that they read, out of `inputs`.
    ///
    /// # Errors
    /// [`NnError::Config`] without chains, or with one without layers or columns; [`NnError::Columns`] if one does not
    /// fit its columns, or they lie outside the input.
    pub fn new(inputs: usize, branches: Vec<ParallelBranch>) -> Result<Self, NnError> {
        let empty = branches.is_empty() || branches.iter().any(|(_, _, layers)| layers.is_empty());
        if empty {
            let (expected, got) = ("chains of at least one layer", "an empty one".into());
            return Err(NnError::Config { field: "branches", expected, got });
        }
        let mut end = 0;
        let mut built = Vec::with_capacity(branches.len());
        for (name, columns, layers) in branches {
            if columns.end > inputs {
                return Err(NnError::Columns { name: "the input", expected: columns.end, got: inputs });
            }
            if columns.is_empty() {
                let got = format!("{columns:?}");
                return Err(NnError::Config { field: "columns", expected: "at least one", got });
            }
            let mut width = columns.len();
            for layer in &layers {
                if layer.inputs() != width {
                    let expected = layer.inputs();
                    return Err(NnError::Columns { name: "the input of a layer", expected, got: width });
                }
                width = layer.outputs();
            }
            let ranges = PackedRanges::all(&layers);
            built.push(Branch { name, columns, outputs: end..end + width, layers, ranges });
            end += width;
        }
        Ok(Self { inputs, outputs: end, branches: built })
    }
}

/// Copies some columns of each row.
fn gather(x: &[f32], stride: usize, columns: &Range<usize>, out: &mut [f32]) {
    for (row, out) in x.chunks_exact(stride).zip(out.chunks_exact_mut(columns.len())) {
        out.copy_from_slice(&row[columns.clone()]);
    }
}

impl Layer for Parallel {
    fn inputs(&self) -> usize {
        self.inputs
    }

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn parameters(&self) -> Vec<&ParamRange> {
        self.branches
            .iter()
            .flat_map(|branch| branch.layers.iter().flat_map(|layer| layer.parameters()))
            .collect()
    }

    fn buffers(&self) -> Vec<&ParamRange> {
        self.branches
            .iter()
            .flat_map(|branch| branch.layers.iter().flat_map(|layer| layer.buffers()))
            .collect()
    }

    fn packed_len(&self) -> usize {
        self.branches.iter().map(|branch| branch.ranges.len()).sum()
    }

    fn pack(&self, params: &[f32], mut packed: &mut [f32]) {
        for branch in &self.branches {
            let (own, rest) = packed.split_at_mut(branch.ranges.len());
            branch.ranges.pack(&branch.layers, params, own);
            packed = rest;
        }
    }

    fn kept_len(&self) -> usize {
        self.branches.iter().map(Branch::kept_len).sum()
    }

    fn forward(&self, weights: Weights<'_>, x: &[f32], rows: usize, kept: &mut [f32], out: &mut [f32]) {
        let keep = !kept.is_empty();
        let mut own = Pooled::take(if keep { 0 } else { rows * self.kept_len() });
        let mut memory = if keep { kept } else { &mut own[..] };
        let mut packed = weights.packed;
        for branch in &self.branches {
            let plan = Plan::new(&branch.layers, rows, keep);
            let (mine, rest) = memory.split_at_mut(rows * branch.kept_len());
            memory = rest;
            let kept = branch.cut(&plan, rows, mine);
            gather(x, self.inputs, &branch.columns, kept.x);
            let (own, rest) = packed.split_at(branch.ranges.len());
            packed = rest;
            let weights = ChainWeights::new(own, &branch.ranges, weights.params);
            chain::forward(&branch.layers, weights, &plan, Rows::F32(kept.x), 0..rows, kept.inside, kept.out);
            let width = branch.outputs.len();
            for (out, from) in out.chunks_exact_mut(self.outputs).zip(kept.out.chunks_exact(width)) {
                out[branch.outputs.clone()].copy_from_slice(from);
            }
        }
    }

    fn gradient_scratch_len(&self) -> usize {
        self.branches.iter().map(|branch| chain::gradient_scratch_len(&branch.layers)).sum()
    }

    fn backward(
        &self,
        saved: &Saved<'_>,
        delta: &mut [f32],
        mut gradient: Option<Gradient<'_>>,
        mut dx: Option<&mut [f32]>,
    ) {
        let rows = saved.rows;
        if let Some(dx) = &mut dx {
            dx.fill(0.0);
        }
        let (mut packed, mut memory) = (saved.weights.packed, saved.kept);
        let (mut scratch_start, mut first_parameter) = (0, 0);
        for branch in &self.branches {
            let plan = Plan::new(&branch.layers, rows, true);
            let (mine, rest) = memory.split_at(rows * branch.kept_len());
            memory = rest;
            let (x, rest) = mine.split_at(aligned(rows * branch.width()));
            let (inside, out) = rest.split_at(plan.len());
            let (own, rest) = packed.split_at(branch.ranges.len());
            packed = rest;
            let weights = ChainWeights::new(own, &branch.ranges, saved.weights.params);
            let width = branch.outputs.len();
            let mut values = Pooled::take(rows * (width + branch.width()));
            let (dout, own_dx) = values.split_at_mut(rows * width);
            gather(delta, self.outputs, &branch.outputs, dout);
            let scratch_len = chain::gradient_scratch_len(&branch.layers);
            let mut fresh: Vec<Vec<bool>> = Vec::new();
            let own_gradient = gradient.as_mut().map(|gradient| {
                for layer in &branch.layers {
                    let count = layer.parameters().len();
                    fresh.push(gradient.fresh[first_parameter..first_parameter + count].to_vec());
                    first_parameter += count;
                }
                ChainGradient {
                    flat: &mut *gradient.flat,
                    scratch: &mut gradient.scratch[scratch_start..scratch_start + scratch_len],
                    fresh: &fresh,
                    first: gradient.first,
                    last: gradient.last,
                }
            });
            scratch_start += scratch_len;
            chain::backward(
                &branch.layers,
                &ChainSaved { weights, plan: &plan, buffer: inside },
                (Rows::F32(&x[..rows * branch.width()]), &out[..rows * width]),
                0..rows,
                dout,
                own_gradient,
                dx.is_some().then_some(&mut *own_dx),
            );
            if let Some(dx) = &mut dx {
                for (dx, own) in dx.chunks_exact_mut(self.inputs).zip(own_dx.chunks_exact(branch.width())) {
                    let columns = dx[branch.columns.clone()].iter_mut();
                    columns.zip(own).for_each(|(sum, own)| *sum += own);
                }
            }
        }
    }

    fn operations(&self, layout: &Layout) -> Vec<Operation> {
        let branch = |branch: &Branch| OperationBranch {
            columns: [branch.columns.start, branch.columns.end],
            operations: branch.layers.iter().flat_map(|layer| layer.operations(layout)).collect(),
        };
        vec![Operation::Parallel { branches: self.branches.iter().map(branch).collect() }]
    }

    fn describe(&self) -> LayerSummary {
        let mut summary =
            LayerSummary { layer: String::new(), output_shape: vec![self.outputs], parameters: 0, flops: 0 };
        let mut names = Vec::new();
        for branch in &self.branches {
            let inner: Vec<LayerSummary> = branch.layers.iter().map(|layer| layer.describe()).collect();
            summary.parameters += inner.iter().map(|layer| layer.parameters).sum::<usize>();
            summary.flops += inner.iter().map(|layer| layer.flops).sum::<u64>();
            let layers: Vec<String> = inner.into_iter().map(|layer| layer.layer).collect();
            names.push(format!("{}: {}", branch.name, layers.join(" → ")));
        }
        summary.layer = format!("Parallel({})", names.join("; "));
        summary
    }

    fn is_spatial(&self) -> bool {
        self.branches.iter().any(|branch| branch.layers[0].is_spatial())
    }

    fn rows_at_once(&self) -> usize {
        let layers = self.branches.iter().flat_map(|branch| &branch.layers);
        layers.map(|layer| layer.rows_at_once()).max().unwrap_or(1)
    }
}

impl From<Parallel> for Arc<dyn Layer> {
    fn from(layer: Parallel) -> Self {
        Arc::new(layer)
    }
}
