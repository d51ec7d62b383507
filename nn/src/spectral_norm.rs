//! Layers whose weight is divided by its greatest singular value.

use std::sync::Arc;

use crate::conv::{Conv2d, ConvConfig};
use crate::error::NnError;
use crate::image::ImageShape;
use crate::init::Init;
use crate::layer::{Gradient, Layer, LayerSummary, Saved, Weights, aligned};
use crate::linear::{Activation, Linear};
use crate::params::{LayoutBuilder, ParamRange, Params};

#[cfg(test)]
mod tests;

/// A linear layer or a convolution that works with `W / σ`, `σ = uᵀ W v` the weight's greatest singular value.
///
/// The singular vectors `u` and `v` are buffers among the parameters. [`SpectralNorm::power_iteration`] moves them
/// towards those of the weight, `u ← W v / ‖W v‖`, `v ← Wᵀ u / ‖Wᵀ u‖`; between two calls they are constants, of which
/// the gradient knows nothing: `dW = (dŴ − ⟨dŴ, Ŵ⟩ u vᵀ) / σ` with `Ŵ = W / σ`. They start at random, so that a new
/// network needs [`SpectralNorm::FIRST_ITERATIONS`] of them before its first use, and training one before each step.
///
/// # Shapes
/// As the layer inside; `W` is its weight as a matrix `[outputs, …]`. Parameters:
/// `<name>.parametrizations.weight.original` and `<name>.bias`; buffers: `<name>.parametrizations.weight.0._u`,
/// `[outputs]`, and `._v`, `[len / outputs]`.
///
/// # Source
/// `torch.nn.utils.parametrizations.spectral_norm` (PyTorch 2.9); Miyato et al. 2018, arXiv:1802.05957.
#[derive(Debug, Clone)]
pub struct SpectralNorm {
    /// The layer inside, whose parameters lie in a buffer of its own: the divided weight, then the bias.
    inner: Arc<dyn Layer>,
    weight: ParamRange,
    bias: ParamRange,
    u: ParamRange,
    v: ParamRange,
}

/// Where `σ` lies among the packed weights takes a cache line.
const SIGMA_LEN: usize = 16;

impl SpectralNorm {
    /// Power iterations of a new network, as PyTorch makes them.
    pub const FIRST_ITERATIONS: usize = 15;

    /// Around a linear layer, whose parameters are added to a layout as those of [`Linear::new`].
    ///
    /// # Panics
    /// If a size is zero or a name is taken.
    pub fn linear(
        builder: &mut LayoutBuilder,
        name: &str,
        inputs: usize,
        outputs: usize,
        activation: Activation,
        init: Init,
    ) -> Self {
        let inner = Linear::new(&mut LayoutBuilder::new(), name, inputs, outputs, activation, init);
        let shape = inner.weight.shape().to_vec();
        Self::around(builder, name, inner.into(), &shape, init)
    }

    /// Around a convolution, whose parameters are added to a layout as those of [`Conv2d::new`].
    ///
    /// # Errors
    /// As [`ConvConfig::output_shape`].
    ///
    /// # Panics
    /// If a name is taken.
    pub fn conv2d(
        builder: &mut LayoutBuilder,
        name: &str,
        input: ImageShape,
        config: ConvConfig,
        activation: Activation,
        init: Init,
    ) -> Result<Self, NnError> {
        let [height, width] = config.kernel;
        let (outputs, groups) = (config.channels, config.groups);
        let inner = Conv2d::new(&mut LayoutBuilder::new(), name, input, config, activation, init)?;
        let shape = [outputs, input.channels / groups, height, width];
        Ok(Self::around(builder, name, inner.into(), &shape, init))
    }

    fn around(
        builder: &mut LayoutBuilder,
        name: &str,
        inner: Arc<dyn Layer>,
        shape: &[usize],
        init: Init,
    ) -> Self {
        let (rows, columns) = (shape[0], shape[1..].iter().product());
        let bias_init = match init {
            Init::KaimingUniform { .. } => Init::UniformFanIn { fan_in: columns },
            _ => Init::Zeros,
        };
        let part = |part: &str| format!("{name}.parametrizations.weight.{part}");
        let random = Init::Normal { std: 1.0 };
        // As the layer inside reads it.
        let transposed = inner.parameters().iter().any(|range| range.is_transposed());
        let weight = match transposed {
            true => builder.add_transposed(&part("original"), shape, init),
            false => builder.add(&part("original"), shape, init),
        };
        Self {
            inner,
            weight,
            bias: builder.add(&format!("{name}.bias"), &[rows], bias_init),
            u: builder.add_buffer(&part("0._u"), &[rows], random),
            v: builder.add_buffer(&part("0._v"), &[columns], random),
        }
    }

    /// Moves the singular vectors towards those of the weight.
    ///
    /// # Errors
    /// [`NnError::Length`] if `params` belong to another network.
    pub fn power_iteration(&self, params: &mut Params, iterations: usize) -> Result<(), NnError> {
        let end = self.v.range().end;
        if params.len() < end {
            return Err(NnError::Length { name: "parameters", expected: end, got: params.len() });
        }
        let weight = self.weight.read(params.as_slice());
        let mut u = widen(self.u.of(params.as_slice()));
        let mut v = widen(self.v.of(params.as_slice()));
        for _ in 0..iterations {
            for (u, row) in u.iter_mut().zip(weight.chunks_exact(v.len())) {
                *u = dot(row, &v);
            }
            normalize(&mut u);
            v.fill(0.0);
            for (u, row) in u.iter().zip(weight.chunks_exact(v.len())) {
                v.iter_mut().zip(row).for_each(|(v, &w)| *v += u * f64::from(w));
            }
            normalize(&mut v);
        }
        for (range, values) in [(&self.u, &u), (&self.v, &v)] {
            let target = range.of_mut(params.as_mut_slice());
            target.iter_mut().zip(values).for_each(|(target, &value)| *target = value as f32);
        }
        Ok(())
    }

    /// `uᵀ W v`.
    fn sigma(&self, params: &[f32]) -> f32 {
        let v = widen(self.v.of(params));
        let weight = self.weight.read(params);
        let rows = weight.chunks_exact(v.len());
        rows.zip(self.u.of(params)).map(|(row, &u)| f64::from(u) * dot(row, &v)).sum::<f64>() as f32
    }

    /// Where the bias of the layer inside lies, after its weight.
    fn inner_bias(&self) -> usize {
        aligned(self.weight.len())
    }

    /// The length of the buffer of the layer inside.
    fn inner_len(&self) -> usize {
        self.inner_bias() + self.bias.len()
    }

    /// What the layer inside reads.
    fn inner_weights<'a>(&self, weights: Weights<'a>) -> Weights<'a> {
        let (params, rest) = weights.packed.split_at(aligned(self.inner_len()));
        Weights { packed: &rest[SIGMA_LEN..], params: &params[..self.inner_len()] }
    }
}

fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

fn dot(a: &[f32], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(&a, b)| f64::from(a) * b).sum()
}

/// Brings a vector to length one, unless it is about zero.
fn normalize(values: &mut [f64]) {
    let norm = values.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-12);
    values.iter_mut().for_each(|x| *x /= norm);
}

impl Layer for SpectralNorm {
    fn inputs(&self) -> usize {
        self.inner.inputs()
    }

    fn outputs(&self) -> usize {
        self.inner.outputs()
    }

    fn parameters(&self) -> Vec<&ParamRange> {
        vec![&self.weight, &self.bias]
    }

    fn buffers(&self) -> Vec<&ParamRange> {
        vec![&self.u, &self.v]
    }

    /// The divided weight and the bias, `σ`, and what the layer inside packs.
    fn packed_len(&self) -> usize {
        aligned(self.inner_len()) + SIGMA_LEN + aligned(self.inner.packed_len())
    }

    fn pack(&self, params: &[f32], packed: &mut [f32]) {
        let sigma = self.sigma(params);
        let (own, rest) = packed.split_at_mut(aligned(self.inner_len()));
        let (weight, bias) = own.split_at_mut(self.inner_bias());
        weight.iter_mut().zip(self.weight.of(params)).for_each(|(to, from)| *to = from / sigma);
        bias[..self.bias.len()].copy_from_slice(self.bias.of(params));
        let (sigma_line, of_inner) = rest.split_at_mut(SIGMA_LEN);
        sigma_line.fill(sigma);
        self.inner.pack(&own[..self.inner_len()], of_inner);
    }

    fn kept_len(&self) -> usize {
        self.inner.kept_len()
    }

    fn forward(&self, weights: Weights<'_>, x: &[f32], rows: usize, kept: &mut [f32], out: &mut [f32]) {
        self.inner.forward(self.inner_weights(weights), x, rows, kept, out);
    }

    /// The gradients of the divided weight and the bias, and the scratch of the layer inside.
    fn gradient_scratch_len(&self) -> usize {
        aligned(self.inner_len()) + self.inner.gradient_scratch_len()
    }

    fn backward(
        &self,
        saved: &Saved<'_>,
        delta: &mut [f32],
        gradient: Option<Gradient<'_>>,
        dx: Option<&mut [f32]>,
    ) {
        let weights = self.inner_weights(saved.weights);
        let inner_saved = Saved { weights, ..*saved };
        let Some(Gradient { flat, scratch, fresh, first, last }) = gradient else {
            return self.inner.backward(&inner_saved, delta, None, dx);
        };
        let (own, inner_scratch) = scratch.split_at_mut(aligned(self.inner_len()));
        let own = &mut own[..self.inner_len()];
        let of_inner = Gradient { flat: &mut *own, scratch: inner_scratch, fresh: &[true; 2], first, last };
        self.inner.backward(&inner_saved, delta, Some(of_inner), dx);
        if !last {
            return;
        }
        let params = saved.weights.params;
        let sigma = saved.weights.packed[aligned(self.inner_len())];
        let (dweight, dbias) = own.split_at(self.inner_bias());
        let dweight = &dweight[..self.weight.len()];
        let along: f64 = dweight.iter().zip(weights.params).map(|(&d, &w)| f64::from(d) * f64::from(w)).sum();
        let (mut outer, mut inner) = (self.u.of(params), self.v.of(params));
        if self.weight.is_transposed() {
            std::mem::swap(&mut outer, &mut inner);
        }
        let directions = outer.iter().flat_map(|a| inner.iter().map(move |b| a * b));
        let values = dweight.iter().zip(directions).map(|(d, uv)| (d - along as f32 * uv) / sigma);
        for (sum, value) in self.weight.of_mut(flat).iter_mut().zip(values) {
            *sum = if fresh[0] { value } else { *sum + value };
        }
        for (sum, &value) in self.bias.of_mut(flat).iter_mut().zip(dbias) {
            *sum = if fresh[1] { value } else { *sum + value };
        }
    }

    fn describe(&self) -> LayerSummary {
        let inner = self.inner.describe();
        LayerSummary { layer: format!("SpectralNorm({})", inner.layer), ..inner }
    }

    fn is_spatial(&self) -> bool {
        self.inner.is_spatial()
    }

    fn rows_at_once(&self) -> usize {
        self.inner.rows_at_once()
    }
}

impl From<SpectralNorm> for Arc<dyn Layer> {
    fn from(layer: SpectralNorm) -> Self {
        Arc::new(layer)
    }
}
