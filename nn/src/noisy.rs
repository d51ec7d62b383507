//! A linear layer whose weights carry learned noise, for exploration.

use std::sync::Arc;

use agon_policy::Operation;
use rand::{Rng, RngExt as _};
use rand_distr::StandardNormal;

use crate::init::Init;
use crate::kernels::{
    Left, Pooled, Right, Start, activate, differentiate, gemm, pack_transposed, packed_len,
};
use crate::layer::{Gradient, Layer, LayerSummary, Saved, Weights, aligned};
use crate::linear::Activation;
use crate::operation::{self, name_of};
use crate::params::{Layout, LayoutBuilder, ParamRange, Params};

/// `y = activation(x · (μ + σ ∘ ε)ᵀ + μ_b + σ_b ∘ ε_b)` with factorised Gaussian noise `ε = f(p) f(q)ᵀ`, `ε_b = f(p)`,
/// `f(z) = sign(z)·√|z|`.
///
/// The noise lies among the parameters as the buffers `epsilon_out` and `epsilon_in`, so that a snapshot of the
/// parameters acts with the noise it was taken with, and a checkpoint holds it. It starts as zero, which is the network
/// of the means, for evaluation; [`NoisyLinear::resample`] draws it.
///
/// # Shapes
/// `x`: `[B, inputs]`; `weight_mu`, `weight_sigma`: `[outputs, inputs]`; `bias_mu`, `bias_sigma`, `epsilon_out`:
/// `[outputs]`; `epsilon_in`: `[inputs]`; `y`: `[B, outputs]`.
///
/// # Source
/// Fortunato et al. 2018, arXiv:1706.10295, equations 9 to 11 and section 3.2.
#[derive(Debug, Clone, PartialEq)]
pub struct NoisyLinear {
    weight_mu: ParamRange,
    weight_sigma: ParamRange,
    bias_mu: ParamRange,
    bias_sigma: ParamRange,
    epsilon_in: ParamRange,
    epsilon_out: ParamRange,
    inputs: usize,
    outputs: usize,
    activation: Activation,
}

impl NoisyLinear {
    /// The paper's first standard deviation, times `√inputs`.
    pub const SIGMA: f32 = 0.5;

    /// Adds the layer's parameters to a layout, initialised as in the paper: means uniform within `±1/√inputs`,
    /// deviations `sigma/√inputs`.
    ///
    /// # Panics
    /// If a size is zero or a name is taken.
    pub fn new(
        builder: &mut LayoutBuilder,
        name: &str,
        inputs: usize,
        outputs: usize,
        activation: Activation,
        sigma: f32,
    ) -> Self {
        assert!(inputs > 0 && outputs > 0, "a layer needs inputs and outputs, got {inputs} and {outputs}");
        let mean = Init::UniformFanIn { fan_in: inputs };
        let deviation = Init::Constant(sigma / (inputs as f32).sqrt());
        let mut add = |part: &str, shape: &[usize], init| builder.add(&format!("{name}.{part}"), shape, init);
        Self {
            weight_mu: add("weight_mu", &[outputs, inputs], mean),
            weight_sigma: add("weight_sigma", &[outputs, inputs], deviation),
            bias_mu: add("bias_mu", &[outputs], mean),
            bias_sigma: add("bias_sigma", &[outputs], deviation),
            epsilon_in: builder.add_buffer(&format!("{name}.epsilon_in"), &[inputs], Init::Zeros),
            epsilon_out: builder.add_buffer(&format!("{name}.epsilon_out"), &[outputs], Init::Zeros),
            inputs,
            outputs,
            activation,
        }
    }

    /// Draws new noise.
    pub fn resample(&self, params: &mut Params, rng: &mut impl Rng) {
        for range in [&self.epsilon_in, &self.epsilon_out] {
            for value in range.of_mut(params.as_mut_slice()) {
                let z: f64 = rng.sample(StandardNormal);
                *value = (z.abs().sqrt().copysign(z)) as f32;
            }
        }
    }

    /// Sets the noise to zero.
    pub fn silence(&self, params: &mut Params) {
        for range in [&self.epsilon_in, &self.epsilon_out] {
            range.of_mut(params.as_mut_slice()).fill(0.0);
        }
    }

    fn packed_weight_len(&self) -> usize {
        aligned(packed_len(self.outputs, self.inputs))
    }
}

impl Layer for NoisyLinear {
    fn inputs(&self) -> usize {
        self.inputs
    }

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn parameters(&self) -> Vec<&ParamRange> {
        vec![&self.weight_mu, &self.weight_sigma, &self.bias_mu, &self.bias_sigma]
    }

    fn buffers(&self) -> Vec<&ParamRange> {
        vec![&self.epsilon_in, &self.epsilon_out]
    }

    /// The noisy weight transposed, the noisy bias, and the noisy weight as it is.
    fn packed_len(&self) -> usize {
        self.packed_weight_len() + aligned(self.outputs) + aligned(self.weight_mu.len())
    }

    fn pack(&self, params: &[f32], packed: &mut [f32]) {
        let (transposed, rest) = packed.split_at_mut(self.packed_weight_len());
        let (bias, weight) = rest.split_at_mut(aligned(self.outputs));
        let (epsilon_in, epsilon_out) = (self.epsilon_in.of(params), self.epsilon_out.of(params));
        let rows = self.weight_mu.of(params).chunks_exact(self.inputs);
        let rows = rows.zip(self.weight_sigma.of(params).chunks_exact(self.inputs)).zip(epsilon_out);
        for (((mu, sigma), &out), weight) in rows.zip(weight.chunks_exact_mut(self.inputs)) {
            for (((weight, mu), sigma), epsilon) in weight.iter_mut().zip(mu).zip(sigma).zip(epsilon_in) {
                *weight = mu + sigma * (out * epsilon);
            }
        }
        let biases = self.bias_mu.of(params).iter().zip(self.bias_sigma.of(params)).zip(epsilon_out);
        for (bias, ((mu, sigma), epsilon)) in bias.iter_mut().zip(biases) {
            *bias = mu + sigma * epsilon;
        }
        pack_transposed(weight, self.outputs, self.inputs, transposed);
    }

    fn kept_len(&self) -> usize {
        if self.activation.keeps_preactivation() { self.outputs } else { 0 }
    }

    fn forward(&self, weights: Weights<'_>, x: &[f32], rows: usize, kept: &mut [f32], out: &mut [f32]) {
        let (transposed, bias) = weights.packed.split_at(self.packed_weight_len());
        let right = Right::packed(transposed, self.inputs);
        let shape = (rows, self.outputs, self.inputs);
        gemm(shape, Left::rows(x, self.inputs), right, Start::Bias(bias), out);
        if !kept.is_empty() {
            kept.copy_from_slice(out);
        }
        activate(self.activation, out);
    }

    /// The gradients of the noisy weight and bias.
    fn gradient_scratch_len(&self) -> usize {
        aligned(self.weight_mu.len()) + self.outputs
    }

    fn backward(
        &self,
        saved: &Saved<'_>,
        delta: &mut [f32],
        gradient: Option<Gradient<'_>>,
        dx: Option<&mut [f32]>,
    ) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        let kept = if self.activation.keeps_preactivation() { saved.kept } else { saved.out };
        if let Some(Gradient { flat, scratch, fresh, first, last }) = gradient {
            if first {
                scratch.fill(0.0);
            }
            let (weight, bias) = scratch.split_at_mut(aligned(self.weight_mu.len()));
            differentiate(self.activation, outputs, kept, delta, bias);
            let shape = (outputs, inputs, saved.rows);
            let left = Left::transposed(delta, outputs);
            gemm(shape, left, Right::rows(saved.x, inputs), Start::Accumulate, weight);
            if last {
                let epsilon_in = self.epsilon_in.of(saved.weights.params);
                let epsilon_out = self.epsilon_out.of(saved.weights.params);
                let mut put = |range: &ParamRange, fresh: bool, values: &mut dyn Iterator<Item = f32>| {
                    for (sum, value) in range.of_mut(flat).iter_mut().zip(values) {
                        *sum = if fresh { value } else { *sum + value };
                    }
                };
                let noise =
                    epsilon_out.iter().flat_map(|out| epsilon_in.iter().map(move |epsilon| out * epsilon));
                put(&self.weight_mu, fresh[0], &mut weight.iter().copied());
                put(&self.weight_sigma, fresh[1], &mut weight.iter().zip(noise).map(|(d, e)| d * e));
                put(&self.bias_mu, fresh[2], &mut bias.iter().copied());
                put(&self.bias_sigma, fresh[3], &mut bias.iter().zip(epsilon_out).map(|(d, e)| d * e));
            }
        } else {
            let mut unwanted = Pooled::take(outputs);
            differentiate(self.activation, outputs, kept, delta, &mut unwanted);
        }
        if let Some(dx) = dx {
            let weight = &saved.weights.packed[self.packed_weight_len() + aligned(outputs)..];
            let right = Right::rows(&weight[..self.weight_mu.len()], inputs);
            gemm((saved.rows, inputs, outputs), Left::rows(delta, outputs), right, Start::Zero, dx);
        }
    }

    fn operations(&self, layout: &Layout) -> Vec<Operation> {
        let (weight, bias) = (name_of(layout, &self.weight_mu), name_of(layout, &self.bias_mu));
        // Without its noise, as it acts when it does not explore.
        let linear = Operation::Linear { weight, bias, inputs: self.inputs, outputs: self.outputs };
        std::iter::once(linear).chain(operation::activation(self.activation)).collect()
    }

    fn describe(&self) -> LayerSummary {
        LayerSummary {
            layer: format!("NoisyLinear({}, {}, {})", self.inputs, self.outputs, self.activation),
            output_shape: vec![self.outputs],
            parameters: self.parameters().iter().map(|range| range.len()).sum(),
            flops: 2 * self.weight_mu.len() as u64,
        }
    }
}

impl From<NoisyLinear> for Arc<dyn Layer> {
    fn from(layer: NoisyLinear) -> Self {
        Arc::new(layer)
    }
}
