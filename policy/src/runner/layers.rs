//! Layers that are ready to run on one row.

use crate::activation::Activation;
use crate::arithmetic;
use crate::operation::RecurrentKind;

use super::attention::AttentionLayer;
use super::maps::Linear;

/// Rows that are not in use, so that no step allocates after the first.
#[derive(Clone, Debug, Default)]
pub(super) struct Pool {
    rows: Vec<Vec<f32>>,
    /// Of integers.
    integers: Vec<i16>,
}

impl Pool {
    /// A row of this many values, which are anything.
    pub(super) fn take(&mut self, len: usize) -> Vec<f32> {
        let mut row = self.rows.pop().unwrap_or_default();
        row.resize(len, 0.0);
        row
    }

    /// Takes a row back.
    pub(super) fn put(&mut self, row: Vec<f32>) {
        self.rows.push(row);
    }

    /// Memory for a row of integers, for one map after the other.
    pub(super) fn integers(&mut self, len: usize) -> &mut [i16] {
        self.integers.resize(self.integers.len().max(len), 0);
        &mut self.integers[..len]
    }
}

/// Windows of an image: where each begins, and which of its values lie inside.
#[derive(Debug)]
pub(super) struct Windows {
    pub(super) input: [usize; 3],
    pub(super) output: [usize; 3],
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) padding: [usize; 2],
    pub(super) dilation: [usize; 2],
}

impl Windows {
    /// Calls `visit` with the place of a window's value in the window, and where it lies in the plane if it does.
    pub(super) fn each(&self, y: usize, x: usize, mut visit: impl FnMut(usize, Option<usize>)) {
        let [_, height, width] = self.input;
        for ky in 0..self.kernel[0] {
            let row = (y * self.stride[0] + ky * self.dilation[0]).checked_sub(self.padding[0]);
            for kx in 0..self.kernel[1] {
                let column = (x * self.stride[1] + kx * self.dilation[1]).checked_sub(self.padding[1]);
                let at = match (row, column) {
                    (Some(row), Some(column)) if row < height && column < width => Some(row * width + column),
                    _ => None,
                };
                visit(ky * self.kernel[1] + kx, at);
            }
        }
    }
}

/// A layer on one row.
#[derive(Debug)]
pub(super) enum Layer {
    Linear(Linear),
    Activation(Activation),
    MeanNorm {
        weight: Vec<f32>,
        bias: Vec<f32>,
        eps: f32,
    },
    RmsNorm {
        weight: Vec<f32>,
        eps: f32,
    },
    Conv {
        windows: Windows,
        /** For each group. */
        groups: Vec<Linear>,
    },
    Pool {
        windows: Windows,
        average: bool,
    },
    ChannelsFirst([usize; 3]),
    OneHot(Vec<usize>),
    Embedding {
        table: Vec<f32>,
        width: usize,
        first: Vec<usize>,
    },
    Residual(Vec<Layer>),
    /// The columns that each reads, and how many values it gives.
    Parallel(Vec<(std::ops::Range<usize>, Vec<Layer>)>),
    Dueling {
        actions: usize,
        atoms: usize,
    },
    Append(Vec<f32>),
    Recurrent {
        cell: RecurrentKind,
        of_x: Linear,
        of_h: Linear,
        hidden: usize,
        state: usize,
    },
    Attention(Box<AttentionLayer>),
    Implicit {
        places: Vec<Vec<f32>>,
        head: Vec<Layer>,
        outputs: usize,
    },
}

/// Runs layers one after the other on `x`, whose size becomes that of what comes out.
pub(super) fn run(layers: &[Layer], x: &mut Vec<f32>, memory: &mut [f32], pool: &mut Pool) {
    for layer in layers {
        layer.run(x, memory, pool);
    }
}

impl Layer {
    /// What it is called.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Linear(_) => "linear",
            Self::Activation(Activation::Identity) => "identity",
            Self::Activation(Activation::Relu) => "relu",
            Self::Activation(Activation::Tanh) => "tanh",
            Self::Activation(Activation::Sigmoid) => "sigmoid",
            Self::Activation(Activation::Silu) => "silu",
            Self::Activation(Activation::Gelu) => "gelu",
            Self::Activation(Activation::Elu) => "elu",
            Self::Activation(Activation::LeakyRelu) => "leaky_relu",
            Self::MeanNorm { .. } => "layer_norm",
            Self::RmsNorm { .. } => "rms_norm",
            Self::Conv { .. } => "conv2d",
            Self::Pool { .. } => "pool2d",
            Self::ChannelsFirst(_) => "channels_first",
            Self::OneHot(_) => "one_hot",
            Self::Embedding { .. } => "embedding",
            Self::Residual(_) => "residual",
            Self::Parallel(_) => "parallel",
            Self::Dueling { .. } => "dueling",
            Self::Append(_) => "append",
            Self::Recurrent { cell: RecurrentKind::Rnn, .. } => "rnn",
            Self::Recurrent { cell: RecurrentKind::Gru, .. } => "gru",
            Self::Recurrent { cell: RecurrentKind::Lstm, .. } => "lstm",
            Self::Attention(_) => "attention",
            Self::Implicit { .. } => "implicit_quantiles",
        }
    }

    /// `[C, H, W]` of what comes out, if that is an image.
    pub(super) fn image(&self) -> Option<[usize; 3]> {
        match self {
            Self::Conv { windows, .. } | Self::Pool { windows, .. } => Some(windows.output),
            Self::ChannelsFirst(output) => Some(*output),
            _ => None,
        }
    }

    /// The chains of layers inside of it, one for each run of them.
    pub(super) fn chains(&self) -> Vec<&[Layer]> {
        match self {
            Self::Residual(layers) => vec![layers],
            Self::Parallel(branches) => branches.iter().map(|(_, layers)| layers.as_slice()).collect(),
            Self::Implicit { places, head, .. } => vec![head; places.len()],
            Self::Attention(attention) => attention.chains(),
            _ => Vec::new(),
        }
    }

    pub(super) fn run(&self, x: &mut Vec<f32>, memory: &mut [f32], pool: &mut Pool) {
        match self {
            Self::Linear(linear) => {
                let mut out = pool.take(linear.outputs());
                linear.run(x, &mut out, pool);
                pool.put(std::mem::replace(x, out));
            }
            Self::Activation(function) => arithmetic::activate(*function, x),
            Self::MeanNorm { weight, bias, eps } => {
                arithmetic::normalize(x, *eps);
                for (value, (weight, bias)) in x.iter_mut().zip(weight.iter().zip(bias)) {
                    *value = *value * weight + bias;
                }
            }
            Self::RmsNorm { weight, eps } => {
                let squares = x.iter().map(|value| value * value).sum::<f32>() / x.len() as f32;
                let scale = 1.0 / libm::sqrtf(squares + eps);
                x.iter_mut().zip(weight).for_each(|(value, weight)| *value *= scale * weight);
            }
            Self::Conv { windows, groups } => convolve(windows, groups, x, pool),
            Self::Pool { windows, average } => pool_windows(windows, *average, x, pool),
            Self::ChannelsFirst([channels, height, width]) => {
                let pixels = height * width;
                let mut out = pool.take(x.len());
                for (pixel, values) in x.chunks_exact(*channels).enumerate() {
                    for (channel, &value) in values.iter().enumerate() {
                        out[channel * pixels + pixel] = value;
                    }
                }
                pool.put(std::mem::replace(x, out));
            }
            Self::OneHot(categories) => {
                let mut out = pool.take(categories.iter().sum());
                out.fill(0.0);
                let mut start = 0;
                for (&value, &n) in x.iter().zip(categories) {
                    if let Some(slot) = out[start..start + n].get_mut(value as usize) {
                        *slot = 1.0;
                    }
                    start += n;
                }
                pool.put(std::mem::replace(x, out));
            }
            Self::Embedding { table, width, first } => {
                let mut out = pool.take(first.len() * width);
                for ((out, &value), &first) in out.chunks_exact_mut(*width).zip(&*x).zip(first) {
                    let row = first.saturating_add(value as usize).min(table.len() / width - 1);
                    out.copy_from_slice(&table[row * width..(row + 1) * width]);
                }
                pool.put(std::mem::replace(x, out));
            }
            Self::Residual(layers) => {
                let mut inner = pool.take(x.len());
                inner.copy_from_slice(x);
                run(layers, &mut inner, memory, pool);
                x.iter_mut().zip(&inner).for_each(|(x, inner)| *x += inner);
                pool.put(inner);
            }
            Self::Parallel(branches) => {
                let mut out = pool.take(0);
                for (columns, layers) in branches {
                    let mut part = pool.take(columns.len());
                    part.copy_from_slice(&x[columns.clone()]);
                    run(layers, &mut part, memory, pool);
                    out.extend_from_slice(&part);
                    pool.put(part);
                }
                pool.put(std::mem::replace(x, out));
            }
            Self::Dueling { actions, atoms } => {
                let (value, advantages) = x.split_at_mut(*atoms);
                for (atom, value) in value.iter().enumerate() {
                    let places = || (0..*actions).map(|action| action * atoms + atom);
                    let mean = places().map(|at| advantages[at]).sum::<f32>() / *actions as f32;
                    places().for_each(|at| advantages[at] = value + (advantages[at] - mean));
                }
                x.drain(..*atoms);
            }
            Self::Append(values) => x.extend_from_slice(values),
            Self::Recurrent { cell, of_x, of_h, hidden, state } => {
                recur(*cell, [of_x, of_h], *hidden, &mut memory[*state..], x, pool);
            }
            Self::Attention(attention) => attention.run(x, memory, pool),
            Self::Implicit { places, head, outputs } => {
                let mut sums = pool.take(*outputs);
                sums.fill(0.0);
                for place in places {
                    let mut at = pool.take(x.len());
                    at.iter_mut().zip(&*x).zip(place).for_each(|((at, x), place)| *at = x * place);
                    run(head, &mut at, memory, pool);
                    sums.iter_mut().zip(&at).for_each(|(sum, value)| *sum += value);
                    pool.put(at);
                }
                sums.iter_mut().for_each(|sum| *sum /= places.len() as f32);
                pool.put(std::mem::replace(x, sums));
            }
        }
    }
}

fn convolve(windows: &Windows, groups: &[Linear], x: &mut Vec<f32>, pool: &mut Pool) {
    let [channels, height, width] = windows.input;
    let [filters, out_height, out_width] = windows.output;
    let (of_group, area) = (channels / groups.len(), windows.kernel[0] * windows.kernel[1]);
    let filters_of_group = filters / groups.len();
    let mut patch = pool.take(of_group * area);
    let mut sums = pool.take(filters_of_group);
    let mut out = pool.take(filters * out_height * out_width);
    for (group, linear) in groups.iter().enumerate() {
        let planes = &x[group * of_group * height * width..(group + 1) * of_group * height * width];
        for y in 0..out_height {
            for column in 0..out_width {
                windows.each(y, column, |place, at| {
                    for (channel, plane) in planes.chunks_exact(height * width).enumerate() {
                        patch[channel * area + place] = at.map_or(0.0, |at| plane[at]);
                    }
                });
                linear.run(&patch, &mut sums, pool);
                for (filter, &sum) in sums.iter().enumerate() {
                    out[((group * filters_of_group + filter) * out_height + y) * out_width + column] = sum;
                }
            }
        }
    }
    pool.put(patch);
    pool.put(sums);
    pool.put(std::mem::replace(x, out));
}

fn pool_windows(windows: &Windows, average: bool, x: &mut Vec<f32>, pool: &mut Pool) {
    let [_, height, width] = windows.input;
    let [channels, out_height, out_width] = windows.output;
    let area = (windows.kernel[0] * windows.kernel[1]) as f32;
    let mut out = pool.take(channels * out_height * out_width);
    let planes = x.chunks_exact(height * width).zip(out.chunks_exact_mut(out_height * out_width));
    for (plane, out) in planes {
        for y in 0..out_height {
            for column in 0..out_width {
                let (mut sum, mut largest) = (0.0, f32::NEG_INFINITY);
                windows.each(y, column, |_, at| {
                    if let Some(at) = at {
                        sum += plane[at];
                        largest = largest.max(plane[at]);
                    }
                });
                out[y * out_width + column] = if average { sum / area } else { largest };
            }
        }
    }
    pool.put(std::mem::replace(x, out));
}

/// One step of a recurrent layer, whose state is at the front of `memory`.
fn recur(
    cell: RecurrentKind,
    [of_x, of_h]: [&Linear; 2],
    hidden: usize,
    memory: &mut [f32],
    x: &mut Vec<f32>,
    pool: &mut Pool,
) {
    let (h, rest) = memory.split_at_mut(hidden);
    let (mut a, mut b) = (pool.take(of_x.outputs()), pool.take(of_h.outputs()));
    of_x.run(x, &mut a, pool);
    of_h.run(h, &mut b, pool);
    match cell {
        RecurrentKind::Rnn => {
            for (h, (a, b)) in h.iter_mut().zip(a.iter().zip(&b)) {
                *h = arithmetic::tanh(a + b);
            }
        }
        RecurrentKind::Gru => {
            for (j, h) in h.iter_mut().enumerate() {
                let (z, n) = (hidden + j, 2 * hidden + j);
                let reset = arithmetic::sigmoid(a[j] + b[j]);
                let update = arithmetic::sigmoid(a[z] + b[z]);
                let candidate = arithmetic::tanh(a[n] + reset * b[n]);
                *h = candidate + update * (*h - candidate);
            }
        }
        RecurrentKind::Lstm => {
            for (j, (h, c)) in h.iter_mut().zip(&mut rest[..hidden]).enumerate() {
                let gate = |index: usize| a[index * hidden + j] + b[index * hidden + j];
                let kept = arithmetic::sigmoid(gate(1)) * *c;
                *c = kept + arithmetic::sigmoid(gate(0)) * arithmetic::tanh(gate(2));
                *h = arithmetic::sigmoid(gate(3)) * arithmetic::tanh(*c);
            }
        }
    }
    x.clear();
    x.extend_from_slice(h);
    pool.put(a);
    pool.put(b);
}
