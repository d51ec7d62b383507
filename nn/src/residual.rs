//! Activations by themselves, and layers beside the identity.

use std::sync::Arc;

use agon_policy::Operation;

use crate::chain::{self, ChainGradient, ChainSaved, ChainWeights, PackedRanges, Plan};
use crate::error::NnError;
use crate::input::Rows;
use crate::kernels::{Pooled, activate, add, differentiate};
use crate::layer::{Gradient, Layer, LayerSummary, Saved, Weights, aligned};
use crate::linear::Activation;
use crate::operation;
use crate::params::{Layout, ParamRange};

/// An activation that follows no linear map: `y = activation(x)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Activate {
    activation: Activation,
    shape: Vec<usize>,
    spatial: bool,
}

impl Activate {
    /// On rows of any shape, of which only the number of values matters.
    #[must_use]
    pub fn new(activation: Activation, shape: &[usize]) -> Self {
        Self { activation, shape: shape.to_vec(), spatial: shape.len() > 1 }
    }

    fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Layer for Activate {
    fn inputs(&self) -> usize {
        self.len()
    }

    fn outputs(&self) -> usize {
        self.len()
    }

    fn forward(&self, _: Weights<'_>, x: &[f32], _: usize, _: &mut [f32], out: &mut [f32]) {
        out.copy_from_slice(x);
        activate(self.activation, out);
    }

    fn backward(
        &self,
        saved: &Saved<'_>,
        delta: &mut [f32],
        _: Option<Gradient<'_>>,
        dx: Option<&mut [f32]>,
    ) {
        let Some(dx) = dx else { return };
        let kept = if self.activation.keeps_preactivation() { saved.x } else { saved.out };
        let mut unwanted = Pooled::take(self.len());
        differentiate(self.activation, self.len(), kept, delta, &mut unwanted);
        dx.copy_from_slice(delta);
    }

    fn operations(&self, _: &Layout) -> Vec<Operation> {
        operation::activation(self.activation).into_iter().collect()
    }

    fn describe(&self) -> LayerSummary {
        LayerSummary {
            layer: format!("Activate({})", self.activation),
            output_shape: self.shape.clone(),
            parameters: 0,
            flops: 0,
        }
    }

    fn is_spatial(&self) -> bool {
        self.spatial
    }
}

impl From<Activate> for Arc<dyn Layer> {
    fn from(layer: Activate) -> Self {
        Arc::new(layer)
    }
}

/// A chain of layers beside the identity: `y = x + f(x)`.
#[derive(Debug, Clone)]
pub struct Residual {
    layers: Vec<Arc<dyn Layer>>,
    ranges: PackedRanges,
    /// Of one row.
    kept_len: usize,
}

impl Residual {
    /// Around the layers, at least one.
    ///
    /// # Errors
    /// [`NnError::Config`] without layers, [`NnError::Columns`] if a layer does not fit its predecessor or the last
    /// one the input.
    pub fn new(layers: Vec<Arc<dyn Layer>>) -> Result<Self, NnError> {
        let (Some(first), Some(last)) = (layers.first(), layers.last()) else {
            return Err(NnError::Config {
                field: "layers",
                expected: "at least one layer",
                got: "none".into(),
            });
        };
        let ends = [(first.inputs(), last.outputs())];
        let joints = layers.windows(2).map(|pair| (pair[1].inputs(), pair[0].outputs()));
        for (expected, got) in joints.chain(ends) {
            if expected != got {
                return Err(NnError::Columns { name: "the input of a layer", expected, got });
            }
        }
        let kept_len = layers.iter().map(|layer| aligned(layer.kept_len()) + aligned(layer.outputs())).sum();
        Ok(Self { ranges: PackedRanges::all(&layers), kept_len, layers })
    }

    fn plan(&self, rows: usize, keep: bool) -> Plan {
        Plan::new(&self.layers, rows, keep)
    }
}

impl Layer for Residual {
    fn inputs(&self) -> usize {
        self.layers[0].inputs()
    }

    fn outputs(&self) -> usize {
        self.inputs()
    }

    fn parameters(&self) -> Vec<&ParamRange> {
        self.layers.iter().flat_map(|layer| layer.parameters()).collect()
    }

    fn buffers(&self) -> Vec<&ParamRange> {
        self.layers.iter().flat_map(|layer| layer.buffers()).collect()
    }

    fn packed_len(&self) -> usize {
        self.ranges.len()
    }

    fn pack(&self, params: &[f32], packed: &mut [f32]) {
        self.ranges.pack(&self.layers, params, packed);
    }

    /// The activations of the layers inside, and the chain's output, of which the sum is made.
    fn kept_len(&self) -> usize {
        self.kept_len
    }

    fn forward(&self, weights: Weights<'_>, x: &[f32], rows: usize, kept: &mut [f32], out: &mut [f32]) {
        let keep = !kept.is_empty();
        let plan = self.plan(rows, keep);
        let mut own = Pooled::take(if keep { 0 } else { plan.len() + x.len() });
        let buffer = if keep { kept } else { &mut own[..] };
        let (buffer, inner) = buffer.split_at_mut(plan.len());
        let inner = &mut inner[..x.len()];
        let weights = ChainWeights::new(weights.packed, &self.ranges, weights.params);
        chain::forward(&self.layers, weights, &plan, Rows::F32(x), 0..rows, buffer, inner);
        out.copy_from_slice(x);
        add(out, inner);
    }

    fn gradient_scratch_len(&self) -> usize {
        chain::gradient_scratch_len(&self.layers)
    }

    fn backward(
        &self,
        saved: &Saved<'_>,
        delta: &mut [f32],
        gradient: Option<Gradient<'_>>,
        dx: Option<&mut [f32]>,
    ) {
        let plan = self.plan(saved.rows, true);
        let (buffer, inner) = saved.kept.split_at(plan.len());
        let weights = ChainWeights::new(saved.weights.packed, &self.ranges, saved.weights.params);
        let chain_saved = ChainSaved { weights, plan: &plan, buffer };
        let mut of_inner = Pooled::take(delta.len());
        of_inner.copy_from_slice(delta);
        let mut fresh = Vec::new();
        let gradient = gradient.map(|gradient| {
            let mut flags = gradient.fresh.iter().copied();
            for layer in &self.layers {
                fresh.push(flags.by_ref().take(layer.parameters().len()).collect());
            }
            let Gradient { flat, scratch, first, last, .. } = gradient;
            ChainGradient { flat, scratch, fresh: &fresh, first, last }
        });
        let ends = (Rows::F32(saved.x), &inner[..delta.len()]);
        match dx {
            Some(dx) => {
                chain::backward(
                    &self.layers,
                    &chain_saved,
                    ends,
                    0..saved.rows,
                    &mut of_inner,
                    gradient,
                    Some(dx),
                );
                add(dx, delta);
            }
            None => {
                chain::backward(
                    &self.layers,
                    &chain_saved,
                    ends,
                    0..saved.rows,
                    &mut of_inner,
                    gradient,
                    None,
                );
            }
        }
    }

    fn operations(&self, layout: &Layout) -> Vec<Operation> {
        let operations = self.layers.iter().flat_map(|layer| layer.operations(layout)).collect();
        vec![Operation::Residual { operations }]
    }

    fn describe(&self) -> LayerSummary {
        let inner: Vec<LayerSummary> = self.layers.iter().map(|layer| layer.describe()).collect();
        let names: Vec<&str> = inner.iter().map(|summary| summary.layer.as_str()).collect();
        LayerSummary {
            layer: format!("Residual({})", names.join(", ")),
            output_shape: inner.last().map(|summary| summary.output_shape.clone()).unwrap_or_default(),
            parameters: inner.iter().map(|summary| summary.parameters).sum(),
            flops: inner.iter().map(|summary| summary.flops).sum(),
        }
    }

    fn is_spatial(&self) -> bool {
        self.layers[0].is_spatial()
    }

    fn rows_at_once(&self) -> usize {
        self.layers.iter().map(|layer| layer.rows_at_once()).max().unwrap_or(1)
    }
}

impl From<Residual> for Arc<dyn Layer> {
    fn from(layer: Residual) -> Self {
        Arc::new(layer)
    }
}
