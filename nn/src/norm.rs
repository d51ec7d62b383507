//! Normalisation of each row by itself: LayerNorm and RMSNorm.

use std::sync::Arc;

use agon_policy::Operation;

use crate::init::Init;
use crate::kernels::{NormKind, Pooled, add, normalize_rows, normalize_rows_backward};
use crate::layer::{Gradient, Layer, LayerSummary, Saved, Weights, aligned};
use crate::operation::name_of;
use crate::params::{Layout, LayoutBuilder, ParamRange};

/// A layer that brings each row to a common scale, and then scales its columns.
///
/// # Shapes
/// `x`, `y`: `[B, width]`; `weight`, `bias`: `[width]`.
#[derive(Debug, Clone, PartialEq)]
#[doc(alias = "LayerNorm", alias = "RMSNorm")]
pub struct Norm {
    kind: NormKind,
    weight: ParamRange,
    bias: Option<ParamRange>,
    width: usize,
    eps: f32,
}

impl Norm {
    /// PyTorch's ε of a LayerNorm.
    pub const LAYER_EPS: f32 = 1e-5;

    /// PyTorch's ε of an RMSNorm where none is given.
    pub const RMS_EPS: f32 = f32::EPSILON;

    /// LayerNorm: `y = (x − mean x) / √(var x + ε) · weight + bias`, with the biased variance.
    ///
    /// Adds `<name>.weight`, ones, and `<name>.bias`, zeros, to a layout.
    ///
    /// # Panics
    /// If the width is zero or a name is taken.
    ///
    /// # Source
    /// `torch.nn.LayerNorm` (PyTorch 2.9); Ba, Kiros and Hinton 2016, arXiv:1607.06450.
    pub fn layer(builder: &mut LayoutBuilder, name: &str, width: usize, eps: f32) -> Self {
        let mut norm = Self::rms(builder, name, width, eps);
        norm.kind = NormKind::Layer;
        norm.bias = Some(builder.add(&format!("{name}.bias"), &[width], Init::Zeros));
        norm
    }

    /// RMSNorm: `y = x / √(mean x² + ε) · weight`.
    ///
    /// Adds `<name>.weight`, ones, to a layout.
    ///
    /// # Panics
    /// If the width is zero or the name is taken.
    ///
    /// # Source
    /// `torch.nn.RMSNorm` (PyTorch 2.9); Zhang and Sennrich 2019, arXiv:1910.07467.
    pub fn rms(builder: &mut LayoutBuilder, name: &str, width: usize, eps: f32) -> Self {
        assert!(width > 0, "a row needs values to normalise");
        let weight = builder.add(&format!("{name}.weight"), &[width], Init::Constant(1.0));
        Self { kind: NormKind::Rms, weight, bias: None, width, eps }
    }
}

impl Layer for Norm {
    fn inputs(&self) -> usize {
        self.width
    }

    fn outputs(&self) -> usize {
        self.width
    }

    fn parameters(&self) -> Vec<&ParamRange> {
        [Some(&self.weight), self.bias.as_ref()].into_iter().flatten().collect()
    }

    fn packed_len(&self) -> usize {
        2 * aligned(self.width)
    }

    fn pack(&self, params: &[f32], packed: &mut [f32]) {
        let (weight, bias) = packed.split_at_mut(aligned(self.width));
        weight[..self.width].copy_from_slice(self.weight.of(params));
        match &self.bias {
            Some(range) => bias[..self.width].copy_from_slice(range.of(params)),
            None => bias[..self.width].fill(0.0),
        }
    }

    /// The mean and the factor of each row.
    fn kept_len(&self) -> usize {
        2
    }

    fn forward(&self, weights: Weights<'_>, x: &[f32], _: usize, kept: &mut [f32], out: &mut [f32]) {
        let (weight, bias) = weights.packed.split_at(aligned(self.width));
        normalize_rows(self.kind, self.eps, &weight[..self.width], &bias[..self.width], x, kept, out);
    }

    /// The sums for weight and bias.
    fn gradient_scratch_len(&self) -> usize {
        2 * self.width
    }

    fn backward(
        &self,
        saved: &Saved<'_>,
        delta: &mut [f32],
        gradient: Option<Gradient<'_>>,
        dx: Option<&mut [f32]>,
    ) {
        let weight = &saved.weights.packed[..self.width];
        let Some(Gradient { flat, scratch, fresh, first, last }) = gradient else {
            let mut unwanted = Pooled::zeros(2 * self.width);
            return normalize_rows_backward(self.kind, weight, saved.x, saved.kept, delta, &mut unwanted, dx);
        };
        if first {
            scratch.fill(0.0);
        }
        normalize_rows_backward(self.kind, weight, saved.x, saved.kept, delta, scratch, dx);
        if last {
            let sums = scratch.chunks_exact(self.width);
            for ((range, sums), &fresh) in self.parameters().into_iter().zip(sums).zip(fresh) {
                let target = range.of_mut(flat);
                if fresh { target.copy_from_slice(sums) } else { add(target, sums) }
            }
        }
    }

    fn operations(&self, layout: &Layout) -> Vec<Operation> {
        let (weight, width, eps) = (name_of(layout, &self.weight), self.width, self.eps);
        vec![match &self.bias {
            Some(bias) => Operation::LayerNorm { weight, bias: name_of(layout, bias), width, eps },
            None => Operation::RmsNorm { weight, width, eps },
        }]
    }

    fn describe(&self) -> LayerSummary {
        let name = if self.kind == NormKind::Layer { "LayerNorm" } else { "RMSNorm" };
        LayerSummary {
            layer: format!("{name}({})", self.width),
            output_shape: vec![self.width],
            parameters: self.parameters().iter().map(|range| range.len()).sum(),
            flops: 0,
        }
    }
}

impl From<Norm> for Arc<dyn Layer> {
    fn from(layer: Norm) -> Self {
        Arc::new(layer)
    }
}
