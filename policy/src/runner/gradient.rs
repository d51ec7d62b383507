//! The chain rule for layers on one row.

use crate::activation::{Activation, LEAKY_RELU_SLOPE};
use crate::arithmetic;
use crate::error::PolicyError;
use crate::operation::RecurrentKind;

use super::layers::{Layer, Pool, Windows};
use super::maps::Linear;
use super::trace::Kept;

/// Runs layers one after the other as [`super::layers::run`] does, and keeps what each was given and gave.
pub(super) fn keep(layers: &[Layer], x: &mut Vec<f32>, memory: &mut [f32], pool: &mut Pool) -> Vec<Kept> {
    layers.iter().map(|layer| keep_layer(layer, x, memory, pool)).collect()
}

pub(super) fn keep_layer(layer: &Layer, x: &mut Vec<f32>, memory: &mut [f32], pool: &mut Pool) -> Kept {
    let input = x.clone();
    let (mut before, mut attended) = (Vec::new(), None);
    let parts = match layer {
        Layer::Residual(layers) => {
            let mut inner = x.clone();
            let kept = keep(layers, &mut inner, memory, pool);
            x.iter_mut().zip(&inner).for_each(|(x, inner)| *x += inner);
            vec![kept]
        }
        Layer::Parallel(branches) => {
            let mut out = Vec::new();
            let parts = branches.iter().map(|(columns, layers)| {
                let mut part = x[columns.clone()].to_vec();
                let kept = keep(layers, &mut part, memory, pool);
                out.extend_from_slice(&part);
                kept
            });
            let parts = parts.collect();
            *x = out;
            parts
        }
        Layer::Implicit { places, head, outputs } => {
            let mut sums = vec![0.0; *outputs];
            let parts = places.iter().map(|place| {
                let mut at: Vec<f32> = x.iter().zip(place).map(|(x, place)| x * place).collect();
                let kept = keep(head, &mut at, memory, pool);
                sums.iter_mut().zip(&at).for_each(|(sum, value)| *sum += value);
                kept
            });
            let parts = parts.collect();
            sums.iter_mut().for_each(|sum| *sum /= places.len() as f32);
            *x = sums;
            parts
        }
        Layer::Recurrent { cell, hidden, state, .. } => {
            let width = hidden * if *cell == RecurrentKind::Lstm { 2 } else { 1 };
            before = memory[*state..*state + width].to_vec();
            layer.run(x, memory, pool);
            Vec::new()
        }
        Layer::Attention(attention) => {
            let (own, chains) = attention.keep(x, memory, pool);
            attended = Some(Box::new(own));
            chains
        }
        _ => {
            layer.run(x, memory, pool);
            Vec::new()
        }
    };
    Kept { input, output: x.clone(), memory: before, attended, is_smooth: false, parts }
}

/// Gradients on the way back, with those of what each layer gave.
#[derive(Default)]
pub(super) struct Reverse {
    /// The last layer's first.
    layers: Vec<Vec<f32>>,
}

impl Reverse {
    /// Gradients with respect to what each layer gave, the first layer's first.
    pub(super) fn into_layers(mut self) -> Vec<Vec<f32>> {
        self.layers.reverse();
        self.layers
    }

    /// From the gradient with respect to what a chain gave to that with respect to what it was given.
    pub(super) fn chain(
        &mut self,
        layers: &[Layer],
        kept: &[Kept],
        grad: &mut Vec<f32>,
    ) -> Result<(), PolicyError> {
        for (layer, kept) in layers.iter().zip(kept).rev() {
            self.layers.push(grad.clone());
            *grad = self.layer(layer, kept, grad)?;
        }
        Ok(())
    }

    fn layer(&mut self, layer: &Layer, kept: &Kept, grad: &[f32]) -> Result<Vec<f32>, PolicyError> {
        let Kept { input, output, memory, attended, is_smooth, parts } = kept;
        Ok(match layer {
            Layer::Linear(linear) => linear.gradient(grad)?,
            Layer::Activation(function) => {
                let slopes = input.iter().zip(output).map(|(&x, &y)| slope(*function, x, y));
                slopes.zip(grad).map(|(slope, grad)| slope * grad).collect()
            }
            Layer::MeanNorm { weight, eps, .. } => {
                let weighted: Vec<f32> =
                    grad.iter().zip(weight).map(|(grad, weight)| grad * weight).collect();
                norm_input(input, &weighted, *eps)
            }
            Layer::RmsNorm { weight, eps } => {
                let count = input.len() as f32;
                let squares = input.iter().map(|value| value * value).sum::<f32>() / count;
                let scale = 1.0 / libm::sqrtf(squares + eps);
                let weighted = || grad.iter().zip(weight).map(|(grad, weight)| grad * weight);
                let along: f32 = weighted().zip(input).map(|(grad, x)| grad * x).sum();
                let back = scale * scale * scale * along / count;
                weighted().zip(input).map(|(grad, x)| scale * grad - back * x).collect()
            }
            Layer::Conv { windows, groups } => convolution_input(windows, groups, grad)?,
            Layer::Pool { windows, average } => pool_input(windows, *average, input, grad),
            Layer::ChannelsFirst([channels, height, width]) => {
                let pixels = height * width;
                let at = |i: usize| grad[i % channels * pixels + i / channels];
                (0..grad.len()).map(at).collect()
            }
            Layer::OneHot(_) | Layer::Embedding { .. } if *is_smooth => grad.to_vec(),
            // Categories have no neighbours.
            Layer::OneHot(_) | Layer::Embedding { .. } => vec![0.0; input.len()],
            Layer::Residual(layers) => {
                let mut inner = grad.to_vec();
                self.chain(layers, &parts[0], &mut inner)?;
                grad.iter().zip(&inner).map(|(grad, inner)| grad + inner).collect()
            }
            Layer::Parallel(branches) => {
                let mut sums = vec![0.0; input.len()];
                let (mut end, mut start) = (grad.len(), input.len());
                // Backwards, as everything here.
                for ((columns, layers), kept) in branches.iter().zip(parts).rev() {
                    let width = kept.last().map_or(columns.len(), |last| last.output.len());
                    let mut own = grad[end - width..end].to_vec();
                    end -= width;
                    self.chain(layers, kept, &mut own)?;
                    // Branches have columns of their own where categories are vectors.
                    start = start.saturating_sub(own.len());
                    let columns = if *is_smooth { start..start + own.len() } else { columns.clone() };
                    sums[columns].iter_mut().zip(&own).for_each(|(sum, grad)| *sum += grad);
                }
                sums
            }
            Layer::Dueling { actions, atoms } => {
                let mut all = vec![0.0; input.len()];
                let (value, advantages) = all.split_at_mut(*atoms);
                for (atom, value) in value.iter_mut().enumerate() {
                    let places = || (0..*actions).map(|action| action * atoms + atom);
                    let sum: f32 = places().map(|at| grad[at]).sum();
                    *value = sum;
                    places().for_each(|at| advantages[at] = grad[at] - sum / *actions as f32);
                }
                all
            }
            Layer::Append(_) => grad[..input.len()].to_vec(),
            Layer::Recurrent { cell, of_x, of_h, hidden, .. } => {
                let gates = recurrent_gates(*cell, [of_x, of_h], *hidden, memory, kept, grad);
                of_x.gradient(&gates)?
            }
            Layer::Implicit { places, head, .. } => {
                let mut sums = vec![0.0; input.len()];
                let share: Vec<f32> = grad.iter().map(|grad| grad / places.len() as f32).collect();
                for (place, kept) in places.iter().zip(parts).rev() {
                    let mut own = share.clone();
                    self.chain(head, kept, &mut own)?;
                    let own = own.iter().zip(place);
                    sums.iter_mut().zip(own).for_each(|(sum, (grad, place))| *sum += grad * place);
                }
                sums
            }
            Layer::Attention(attention) => match attended {
                Some(attended) => attention.reverse(attended, parts, grad, self)?,
                None => return Err(PolicyError::NoGradient(layer.name())),
            },
        })
    }
}

/// The derivative of a function at `x`, where it is `y`.
fn slope(function: Activation, x: f32, y: f32) -> f32 {
    let above = |below: f32| if x > 0.0 { 1.0 } else { below };
    match function {
        Activation::Identity => 1.0,
        Activation::Relu => above(0.0),
        Activation::Tanh => 1.0 - y * y,
        Activation::Sigmoid => y * (1.0 - y),
        Activation::Silu => {
            let sigmoid = arithmetic::sigmoid(x);
            sigmoid * (1.0 + x * (1.0 - sigmoid))
        }
        Activation::Gelu => {
            let cumulative = 0.5 * (1.0 + libm::erff(x * core::f32::consts::FRAC_1_SQRT_2));
            let density = libm::expf(-0.5 * x * x) / libm::sqrtf(2.0 * core::f32::consts::PI);
            cumulative + x * density
        }
        Activation::Elu => above(y + 1.0),
        Activation::LeakyRelu => above(LEAKY_RELU_SLOPE),
    }
}

/// Of `(x − mean x) / √(var x + eps)`.
fn norm_input(x: &[f32], grad: &[f32], eps: f32) -> Vec<f32> {
    let count = x.len() as f32;
    let mean = x.iter().sum::<f32>() / count;
    let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / count;
    let scale = 1.0 / libm::sqrtf(variance + eps);
    let of_mean = grad.iter().sum::<f32>() / count;
    let along = grad.iter().zip(x).map(|(grad, x)| grad * (x - mean) * scale).sum::<f32>() / count;
    grad.iter().zip(x).map(|(grad, x)| scale * (grad - of_mean - (x - mean) * scale * along)).collect()
}

fn convolution_input(windows: &Windows, groups: &[Linear], grad: &[f32]) -> Result<Vec<f32>, PolicyError> {
    let [channels, height, width] = windows.input;
    let [filters, out_height, out_width] = windows.output;
    let (of_group, area) = (channels / groups.len(), windows.kernel[0] * windows.kernel[1]);
    let filters_of_group = filters / groups.len();
    let mut sums = vec![0.0; channels * height * width];
    for (group, linear) in groups.iter().enumerate() {
        let planes = &mut sums[group * of_group * height * width..(group + 1) * of_group * height * width];
        for y in 0..out_height {
            for column in 0..out_width {
                let of_filter = |filter: usize| {
                    grad[((group * filters_of_group + filter) * out_height + y) * out_width + column]
                };
                let own: Vec<f32> = (0..filters_of_group).map(of_filter).collect();
                let patch = linear.gradient(&own)?;
                windows.each(y, column, |place, at| {
                    let Some(at) = at else { return };
                    for (channel, plane) in planes.chunks_exact_mut(height * width).enumerate() {
                        plane[at] += patch[channel * area + place];
                    }
                });
            }
        }
    }
    Ok(sums)
}

fn pool_input(windows: &Windows, average: bool, input: &[f32], grad: &[f32]) -> Vec<f32> {
    let [_, height, width] = windows.input;
    let [_, out_height, out_width] = windows.output;
    let area = (windows.kernel[0] * windows.kernel[1]) as f32;
    let mut sums = vec![0.0; input.len()];
    let planes = input.chunks_exact(height * width).zip(sums.chunks_exact_mut(height * width));
    for ((plane, sums), grad) in planes.zip(grad.chunks_exact(out_height * out_width)) {
        for y in 0..out_height {
            for column in 0..out_width {
                let grad = grad[y * out_width + column];
                let mut largest = None;
                windows.each(y, column, |_, at| match at {
                    Some(at) if average => sums[at] += grad / area,
                    Some(at) if largest.is_none_or(|best: usize| plane[at] > plane[best]) => {
                        largest = Some(at);
                    }
                    _ => {}
                });
                if let Some(at) = largest.filter(|_| !average) {
                    sums[at] += grad;
                }
            }
        }
    }
    sums
}

/// The gradient with respect to `W x + b` of a recurrent layer's gates, from that with respect to its hidden values.
fn recurrent_gates(
    cell: RecurrentKind,
    [of_x, of_h]: [&Linear; 2],
    hidden: usize,
    memory: &[f32],
    kept: &Kept,
    grad: &[f32],
) -> Vec<f32> {
    let (h, cells) = memory.split_at(hidden);
    let (mut a, mut b) = (vec![0.0; of_x.outputs()], vec![0.0; of_h.outputs()]);
    let mut pool = Pool::default();
    of_x.run(&kept.input, &mut a, &mut pool);
    of_h.run(h, &mut b, &mut pool);
    let mut gates = vec![0.0; a.len()];
    for (j, &grad) in grad.iter().enumerate() {
        match cell {
            RecurrentKind::Rnn => gates[j] = grad * (1.0 - kept.output[j] * kept.output[j]),
            RecurrentKind::Gru => {
                let (z, n) = (hidden + j, 2 * hidden + j);
                let reset = arithmetic::sigmoid(a[j] + b[j]);
                let update = arithmetic::sigmoid(a[z] + b[z]);
                let candidate = arithmetic::tanh(a[n] + reset * b[n]);
                gates[n] = grad * (1.0 - update) * (1.0 - candidate * candidate);
                gates[z] = grad * (h[j] - candidate) * update * (1.0 - update);
                gates[j] = gates[n] * b[n] * reset * (1.0 - reset);
            }
            RecurrentKind::Lstm => {
                let gate = |index: usize| a[index * hidden + j] + b[index * hidden + j];
                let [input, forget, output] = [0, 1, 3].map(|index| arithmetic::sigmoid(gate(index)));
                let candidate = arithmetic::tanh(gate(2));
                let shown = arithmetic::tanh(forget * cells[j] + input * candidate);
                let of_cell = grad * output * (1.0 - shown * shown);
                gates[j] = of_cell * candidate * input * (1.0 - input);
                gates[hidden + j] = of_cell * cells[j] * forget * (1.0 - forget);
                gates[2 * hidden + j] = of_cell * input * (1.0 - candidate * candidate);
                gates[3 * hidden + j] = grad * shown * output * (1.0 - output);
            }
        }
    }
    gates
}

#[cfg(test)]
mod tests;
