//! Normalisation of each channel over a batch of images.

use std::sync::Arc;

use crate::error::NnError;
use crate::image::ImageShape;
use crate::init::Init;
use crate::layer::{Gradient, Layer, LayerSummary, Saved, Weights, aligned};
use crate::matrix::{Matrix, check_length};
use crate::params::{LayoutBuilder, ParamRange, Params};
use crate::tape::{Backward, Tape};

/// `y = (x − mean) / √(var + ε) · weight + bias` for each channel.
///
/// In training, mean and biased variance are those of the batch, which [`BatchNorm2d::forward_train`] also returns;
/// [`BatchNorm2d::track`] then moves the running statistics, which are buffers among the parameters. For evaluation it
/// is a [`Layer`] with the running statistics.
///
/// # Shapes
/// `x`, `y`: `[B, C·H·W]`; `weight`, `bias`, `running_mean`, `running_var`: `[C]`.
///
/// # Source
/// `torch.nn.BatchNorm2d` (PyTorch 2.9); Ioffe and Szegedy 2015, arXiv:1502.03167.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchNorm2d {
    weight: ParamRange,
    bias: ParamRange,
    running_mean: ParamRange,
    running_var: ParamRange,
    shape: ImageShape,
    eps: f32,
    momentum: f32,
}

/// Mean and variance of each channel of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchStatistics {
    /// The means.
    pub mean: Vec<f32>,
    /// The unbiased variances, as the running statistics have them.
    pub variance: Vec<f32>,
}

impl BatchNorm2d {
    /// Adds the layer's parameters and buffers to a layout, with PyTorch's ε = 1e-5 and momentum 0.1.
    ///
    /// # Errors
    /// [`NnError::Config`] if the image has no values.
    ///
    /// # Panics
    /// If a name is taken.
    pub fn new(builder: &mut LayoutBuilder, name: &str, shape: ImageShape) -> Result<Self, NnError> {
        if shape.is_empty() {
            let got = shape.to_string();
            return Err(NnError::Config { field: "image shape", expected: "sizes of at least 1", got });
        }
        let channels = [shape.channels];
        let (ones, zeros) = (Init::Constant(1.0), Init::Zeros);
        Ok(Self {
            weight: builder.add(&format!("{name}.weight"), &channels, ones),
            bias: builder.add(&format!("{name}.bias"), &channels, zeros),
            running_mean: builder.add_buffer(&format!("{name}.running_mean"), &channels, zeros),
            running_var: builder.add_buffer(&format!("{name}.running_var"), &channels, ones),
            shape,
            eps: 1e-5,
            momentum: 0.1,
        })
    }

    fn plane(&self) -> usize {
        self.shape.height * self.shape.width
    }

    /// Normalises with the statistics of the batch.
    ///
    /// # Errors
    /// [`NnError::Columns`] if `x` has another width, [`NnError::Length`] if `params` belong to another network,
    /// [`NnError::Config`] if each channel has a single value, which has no variance.
    pub fn forward_train(
        &self,
        params: &Params,
        x: &Matrix,
        tape: &mut Tape,
    ) -> Result<(Matrix, BatchStatistics), NnError> {
        let (len, plane, channels) = (self.shape.len(), self.plane(), self.shape.channels);
        if x.columns() != len {
            return Err(NnError::Columns { name: "input", expected: len, got: x.columns() });
        }
        let end = self.running_var.range().end;
        if params.len() < end {
            return Err(NnError::Length { name: "parameters", expected: end, got: params.len() });
        }
        let count = x.rows() * plane;
        if count < 2 {
            let expected = "more than one value for each channel";
            return Err(NnError::Config { field: "batch", expected, got: "one".into() });
        }
        let (mut means, mut factors) = (vec![0.0; channels], vec![0.0; channels]);
        let mut variance = vec![0.0; channels];
        for channel in 0..channels {
            let values = || planes(x.as_slice(), len, plane, channel).flatten().map(|&x| f64::from(x));
            let mean = values().sum::<f64>() / count as f64;
            let squares: f64 = values().map(|x| (x - mean).powi(2)).sum();
            means[channel] = mean as f32;
            factors[channel] = (squares / count as f64 + f64::from(self.eps)).sqrt().recip() as f32;
            variance[channel] = (squares / (count - 1) as f64) as f32;
        }
        let (weight, bias) = (self.weight.of(params.as_slice()), self.bias.of(params.as_slice()));
        let y = Matrix::output(x.rows(), len, |y| {
            for (index, (y, x)) in y.chunks_exact_mut(plane).zip(x.as_slice().chunks_exact(plane)).enumerate()
            {
                let channel = index % channels;
                let factor = factors[channel] * weight[channel];
                for (y, x) in y.iter_mut().zip(x) {
                    *y = (x - means[channel]) * factor + bias[channel];
                }
            }
        })?;
        let statistics = BatchStatistics { mean: means.clone(), variance };
        let (layer, kept_x, kept_params) = (self.clone(), x.clone(), params.clone());
        tape.record(params, &[x], &[&y], move |flow| {
            layer.backward_train(flow, &kept_params, kept_x.as_slice(), &means, &factors);
        });
        Ok((y, statistics))
    }

    /// With `u` the normalised input: `dx = factor · weight · (dy − mean(dy) − u · mean(dy · u))` for each channel.
    fn backward_train(&self, flow: Backward<'_>, params: &Params, x: &[f32], means: &[f32], factors: &[f32]) {
        let Backward { outputs, mut inputs, params: mut sink } = flow;
        let [Some(dy)] = &outputs[..] else { return };
        let (len, plane, channels) = (self.shape.len(), self.plane(), self.shape.channels);
        let count = (x.len() / channels) as f64;
        let (mut dweight, mut dbias) = (vec![0.0_f64; channels], vec![0.0_f64; channels]);
        for channel in 0..channels {
            let pairs =
                planes(x, len, plane, channel).flatten().zip(planes(dy, len, plane, channel).flatten());
            for (&x, &dy) in pairs {
                dweight[channel] += f64::from(dy * (x - means[channel]) * factors[channel]);
                dbias[channel] += f64::from(dy);
            }
        }
        if let Some(sink) = &mut sink {
            for (range, sums) in [(&self.weight, &dweight), (&self.bias, &dbias)] {
                let target = sink.sum_of(range);
                target.iter_mut().zip(sums).for_each(|(target, &sum)| *target += sum as f32);
            }
        }
        let weight = self.weight.of(params.as_slice());
        if let Some(target) = inputs.first_mut().and_then(Option::as_mut) {
            target.fill(|dx| {
                let planes =
                    dx.chunks_exact_mut(plane).zip(x.chunks_exact(plane).zip(dy.chunks_exact(plane)));
                for (index, (dx, (x, dy))) in planes.enumerate() {
                    let channel = index % channels;
                    let (of_unit, of_mean) =
                        ((dweight[channel] / count) as f32, (dbias[channel] / count) as f32);
                    for (dx, (x, dy)) in dx.iter_mut().zip(x.iter().zip(dy)) {
                        let unit = (x - means[channel]) * factors[channel];
                        *dx = factors[channel] * weight[channel] * (dy - of_mean - unit * of_unit);
                    }
                }
            });
        }
    }

    /// Moves the running statistics towards those of a batch: `running = 0.9 · running + 0.1 · batch`.
    ///
    /// Best after the tape has run: before, it shares the parameters, and they would be copied.
    ///
    /// # Errors
    /// [`NnError::Length`] if the statistics or the parameters belong to another layer.
    pub fn track(&self, params: &mut Params, statistics: &BatchStatistics) -> Result<(), NnError> {
        let (expected, end) = (self.shape.channels, self.running_var.range().end);
        check_length("means", expected, statistics.mean.len())?;
        check_length("variances", expected, statistics.variance.len())?;
        if params.len() < end {
            return Err(NnError::Length { name: "parameters", expected: end, got: params.len() });
        }
        for (range, batch) in
            [(&self.running_mean, &statistics.mean), (&self.running_var, &statistics.variance)]
        {
            for (running, batch) in range.of_mut(params.as_mut_slice()).iter_mut().zip(batch) {
                *running = (1.0 - self.momentum) * *running + self.momentum * batch;
            }
        }
        Ok(())
    }
}

/// The planes of one channel of all images.
fn planes(values: &[f32], len: usize, plane: usize, channel: usize) -> impl Iterator<Item = &[f32]> {
    values.chunks_exact(len).map(move |image| &image[channel * plane..(channel + 1) * plane])
}

impl Layer for BatchNorm2d {
    fn inputs(&self) -> usize {
        self.shape.len()
    }

    fn outputs(&self) -> usize {
        self.shape.len()
    }

    fn parameters(&self) -> Vec<&ParamRange> {
        vec![&self.weight, &self.bias]
    }

    fn buffers(&self) -> Vec<&ParamRange> {
        vec![&self.running_mean, &self.running_var]
    }

    /// For each channel the mean, `1 / √(var + ε)`, the weight and the bias.
    fn packed_len(&self) -> usize {
        aligned(4 * self.shape.channels)
    }

    fn pack(&self, params: &[f32], packed: &mut [f32]) {
        for (channel, packed) in
            packed.as_chunks_mut::<4>().0.iter_mut().take(self.shape.channels).enumerate()
        {
            let factor = (self.running_var.of(params)[channel] + self.eps).sqrt().recip();
            let mean = self.running_mean.of(params)[channel];
            *packed = [mean, factor, self.weight.of(params)[channel], self.bias.of(params)[channel]];
        }
    }

    fn forward(&self, weights: Weights<'_>, x: &[f32], _: usize, _: &mut [f32], out: &mut [f32]) {
        let channels = weights.packed.as_chunks::<4>().0.iter().take(self.shape.channels).cycle();
        let planes = x.chunks_exact(self.plane()).zip(out.chunks_exact_mut(self.plane()));
        for ((x, out), &[mean, factor, weight, bias]) in planes.zip(channels) {
            for (out, x) in out.iter_mut().zip(x) {
                *out = (x - mean) * factor * weight + bias;
            }
        }
    }

    /// For weight and bias.
    fn gradient_scratch_len(&self) -> usize {
        2 * self.shape.channels
    }

    fn backward(
        &self,
        saved: &Saved<'_>,
        delta: &mut [f32],
        gradient: Option<Gradient<'_>>,
        dx: Option<&mut [f32]>,
    ) {
        let (plane, channels) = (self.plane(), self.shape.channels);
        let (constants, _) = saved.weights.packed.as_chunks::<4>();
        if let Some(Gradient { flat, scratch, fresh, first, last }) = gradient {
            if first {
                scratch.fill(0.0);
            }
            let (dweight, dbias) = scratch.split_at_mut(channels);
            for (index, (x, delta)) in saved.x.chunks_exact(plane).zip(delta.chunks_exact(plane)).enumerate()
            {
                let channel = index % channels;
                let [mean, factor, ..] = constants[channel];
                dweight[channel] += x.iter().zip(delta).map(|(x, d)| d * (x - mean) * factor).sum::<f32>();
                dbias[channel] += delta.iter().sum::<f32>();
            }
            if last {
                for ((range, sums), &fresh) in
                    [(&self.weight, &*dweight), (&self.bias, &*dbias)].into_iter().zip(fresh)
                {
                    for (target, sum) in range.of_mut(flat).iter_mut().zip(sums) {
                        *target = if fresh { *sum } else { *target + sum };
                    }
                }
            }
        }
        if let Some(dx) = dx {
            for (index, (dx, delta)) in dx.chunks_exact_mut(plane).zip(delta.chunks_exact(plane)).enumerate()
            {
                let [_, factor, weight, _] = constants[index % channels];
                dx.iter_mut().zip(delta).for_each(|(dx, delta)| *dx = delta * (factor * weight));
            }
        }
    }

    fn describe(&self) -> LayerSummary {
        LayerSummary {
            layer: format!("BatchNorm2d({})", self.shape.channels),
            output_shape: <[usize; 3]>::from(self.shape).to_vec(),
            parameters: self.weight.len() + self.bias.len(),
            flops: 0,
        }
    }

    fn is_spatial(&self) -> bool {
        true
    }
}

impl From<BatchNorm2d> for Arc<dyn Layer> {
    fn from(layer: BatchNorm2d) -> Self {
        Arc::new(layer)
    }
}
