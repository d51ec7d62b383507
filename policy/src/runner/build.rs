//! Layers of operations: parameters are taken from where their names say, and every size is checked before it is believed.

use crate::compressed::{self, StoredMap};
use crate::error::PolicyError;
use crate::operation::{Attention, AttentionBlock, AttentionPosition, Gate, Operation, RecurrentKind};
use crate::program::Parameters;

use super::attention::{AttentionLayer, Block, GateLayer, Place};
use super::layers::{Layer, Windows};
use super::maps::Linear;

/// Values that a row may have, and an episode's memory: what no parameter has to justify.
const MOST_VALUES: usize = 1 << 26;

/// Builds layers one after the other.
pub(super) struct Builder<'a> {
    pub(super) parameters: &'a Parameters,
    /// Where the next state lies in an episode's memory.
    pub(super) offset: usize,
}

/// An error unless two sizes are the same.
pub(super) fn same(what: &str, expected: usize, found: usize) -> Result<(), PolicyError> {
    if expected == found {
        return Ok(());
    }
    let (expected, found) = (format!("{expected} values"), found.to_string());
    Err(PolicyError::Size { what: what.to_owned(), expected, found })
}

/// A product of sizes that is no more than a row may have.
pub(super) fn product(what: &str, sizes: &[usize]) -> Result<usize, PolicyError> {
    let len = sizes.iter().try_fold(1_usize, |len, &size| len.checked_mul(size));
    match len {
        Some(len) if len <= MOST_VALUES && len > 0 => Ok(len),
        _ => {
            let (expected, found) = (format!("1 to {MOST_VALUES} values"), format!("{sizes:?}"));
            Err(PolicyError::Size { what: what.to_owned(), expected, found })
        }
    }
}

impl Builder<'_> {
    /// The layers of operations on rows of `width` values, and the width of what comes out.
    pub(super) fn chain(
        &mut self,
        operations: &[Operation],
        mut width: usize,
    ) -> Result<(Vec<Layer>, usize), PolicyError> {
        let mut layers = Vec::new();
        for operation in operations {
            let (layer, outputs) = self.layer(operation, width)?;
            layers.push(layer);
            width = outputs;
        }
        Ok((layers, width))
    }

    fn layer(&mut self, operation: &Operation, width: usize) -> Result<(Layer, usize), PolicyError> {
        if let Some(stored) = StoredMap::of(operation)? {
            return self.map(&stored, width);
        }
        Ok(match operation {
            Operation::Linear { .. }
            | Operation::Conv2d { .. }
            | Operation::Quantized { .. }
            | Operation::Sparse { .. } => return Err(PolicyError::Opaque(operation.name().to_owned())),
            Operation::Activation { function } => (Layer::Activation(*function), width),
            Operation::LayerNorm { weight, bias, width: own, eps } => {
                same("a norm's input", *own, width)?;
                let (weight, bias) = (self.values(weight, &[width])?, self.values(bias, &[width])?);
                (Layer::MeanNorm { weight: weight.to_vec(), bias: bias.to_vec(), eps: *eps }, width)
            }
            Operation::RmsNorm { weight, width: own, eps } => {
                same("a norm's input", *own, width)?;
                (Layer::RmsNorm { weight: self.values(weight, &[width])?.to_vec(), eps: *eps }, width)
            }
            Operation::Pool2d { average, input, output, kernel, stride, padding } => {
                let (input, output) = (*input, *output);
                let (kernel, stride, padding, dilation) = (*kernel, *stride, *padding, [1; 2]);
                let windows = Windows { input, output, kernel, stride, padding, dilation };
                check_windows(&windows, width)?;
                same("a pool's channels", input[0], output[0])?;
                (Layer::Pool { windows, average: *average }, output.iter().product())
            }
            Operation::ChannelsFirst { output } => {
                same("an image", product("an image", output)?, width)?;
                (Layer::ChannelsFirst(*output), width)
            }
            Operation::OneHot { categories } => {
                same("categories", categories.len(), width)?;
                let outputs = categories.iter().try_fold(0_usize, |sum, &n| sum.checked_add(n));
                let outputs = product("unit vectors", &[outputs.unwrap_or(usize::MAX)])?;
                (Layer::OneHot(categories.clone()), outputs)
            }
            Operation::Embedding { weight, width: of_each, first } => {
                same("categories", first.len(), width)?;
                let table = self.table(weight, *of_each)?;
                let outputs = product("vectors of categories", &[first.len(), *of_each])?;
                (Layer::Embedding { table, width: *of_each, first: first.clone() }, outputs)
            }
            Operation::Residual { operations } => {
                let (layers, outputs) = self.chain(operations, width)?;
                same("what is added to a layer's input", width, outputs)?;
                (Layer::Residual(layers), width)
            }
            Operation::Parallel { branches } => {
                let (mut parts, mut outputs) = (Vec::new(), 0);
                for branch in branches {
                    let [from, to] = branch.columns;
                    if from > to || to > width {
                        let found = format!("{from}..{to}");
                        let (what, expected) =
                            ("columns of a branch".to_owned(), format!("a part of 0..{width}"));
                        return Err(PolicyError::Size { what, expected, found });
                    }
                    let (layers, own) = self.chain(&branch.operations, to - from)?;
                    outputs += own;
                    parts.push((from..to, layers));
                }
                (Layer::Parallel(parts), product("branches", &[outputs])?)
            }
            Operation::Dueling { actions, atoms } => {
                let outputs = product("values of actions", &[*actions, *atoms])?;
                same("a value and advantages", outputs + atoms, width)?;
                (Layer::Dueling { actions: *actions, atoms: *atoms }, outputs)
            }
            Operation::Append { parameter, width: own } => {
                let values = self.values(parameter, &[1, *own])?.to_vec();
                (Layer::Append(values), product("a row", &[width + own])?)
            }
            Operation::Recurrent { cell, weight_ih, weight_hh, bias_ih, bias_hh, inputs, hidden } => {
                same("a recurrent layer's input", *inputs, width)?;
                let gates = match cell {
                    RecurrentKind::Rnn => 1,
                    RecurrentKind::Gru => 3,
                    RecurrentKind::Lstm => 4,
                };
                let rows = product("gates", &[gates, *hidden])?;
                let of_x = self.linear(weight_ih, Some(bias_ih), *inputs, rows)?;
                let of_h = self.linear(weight_hh, Some(bias_hh), *hidden, rows)?;
                let state = self.offset;
                self.offset += hidden * if *cell == RecurrentKind::Lstm { 2 } else { 1 };
                (Layer::Recurrent { cell: *cell, of_x, of_h, hidden: *hidden, state }, *hidden)
            }
            Operation::Attention(attention) => {
                let layer = self.attention(attention, width)?;
                let outputs = layer.1;
                (Layer::Attention(Box::new(layer.0)), outputs)
            }
            Operation::ImplicitQuantiles { cosines, embedding, head } => {
                let (mut places, remembered) = (Vec::new(), self.offset);
                for cosines in cosines {
                    let (layers, own) = self.chain(embedding, cosines.len())?;
                    same("an embedding", width, own)?;
                    same("what an embedding remembers", remembered, self.offset)?;
                    let mut place = cosines.clone();
                    super::layers::run(&layers, &mut place, &mut [], &mut super::Pool::default());
                    places.push(place);
                }
                product("places", &[places.len()])?;
                let (head, outputs) = self.chain(head, width)?;
                (Layer::Implicit { places, head, outputs }, outputs)
            }
            Operation::Opaque { layer } => return Err(PolicyError::Opaque(layer.clone())),
        })
    }

    /// The values of a parameter of a shape.
    fn values(&self, name: &str, shape: &[usize]) -> Result<&[f32], PolicyError> {
        product(name, shape)?;
        compressed::values(self.parameters, name, shape)
    }

    /// A table of rows of `width` values.
    fn table(&self, name: &str, width: usize) -> Result<Vec<f32>, PolicyError> {
        let rows = self.parameters.get(name).and_then(|parameter| parameter.shape.first()).copied();
        Ok(self.values(name, &[rows.unwrap_or(0), width])?.to_vec())
    }

    fn linear(
        &self,
        weight: &str,
        bias: Option<&str>,
        inputs: usize,
        outputs: usize,
    ) -> Result<Linear, PolicyError> {
        let weight = transposed(self.values(weight, &[outputs, inputs])?, inputs);
        let bias = match bias {
            Some(bias) => self.values(bias, &[outputs])?.to_vec(),
            None => vec![0.0; outputs],
        };
        Ok(Linear::Dense { weight, bias })
    }

    /// A linear map or convolution, however its weight is stored.
    fn map(&self, stored: &StoredMap<'_>, width: usize) -> Result<(Layer, usize), PolicyError> {
        let StoredMap { rows, columns, .. } = *stored;
        let Operation::Conv2d { input, output, kernel, stride, padding, dilation, groups, .. } = stored.map
        else {
            same("a linear layer's input", columns, width)?;
            return Ok((Layer::Linear(Linear::of(stored, 0..rows, self.parameters)?), rows));
        };
        let (input, output, groups) = (*input, *output, *groups);
        let (kernel, stride, padding, dilation) = (*kernel, *stride, *padding, *dilation);
        let windows = Windows { input, output, kernel, stride, padding, dilation };
        check_windows(&windows, width)?;
        let ([channels, ..], [filters, ..]) = (windows.input, windows.output);
        if groups == 0 || !channels.is_multiple_of(groups) || !filters.is_multiple_of(groups) {
            let (what, found) = ("groups".to_owned(), groups.to_string());
            let expected = format!("a divisor of {channels} and {filters}");
            return Err(PolicyError::Size { what, expected, found });
        }
        let of_group = filters / groups;
        let parts = (0..groups).map(|group| group * of_group..(group + 1) * of_group);
        let groups = parts.map(|rows| Linear::of(stored, rows, self.parameters)).collect::<Result<_, _>>()?;
        Ok((Layer::Conv { groups, windows }, output.iter().product()))
    }

    fn attention(&mut self, told: &Attention, inputs: usize) -> Result<(AttentionLayer, usize), PolicyError> {
        let &Attention { width, heads, window, .. } = told;
        if heads == 0 || !width.is_multiple_of(heads) {
            let (what, found) = ("heads".to_owned(), heads.to_string());
            return Err(PolicyError::Size { what, expected: format!("a divisor of {width}"), found });
        }
        let ring = product("keys and values", &[2, told.blocks.len(), window, width])?;
        let state = self.offset;
        self.offset += 1 + ring;
        let (input, own) = self.chain(&told.input, inputs)?;
        same("a token", width, own)?;
        let place = match &told.position {
            AttentionPosition::None => Place::None,
            AttentionPosition::Learned { table, .. } => Place::Learned(self.table(table, width)?),
            AttentionPosition::Sinusoidal => Place::Sinusoidal,
            AttentionPosition::Rotary if (width / heads).is_multiple_of(2) => Place::Rotary,
            AttentionPosition::Rotary => {
                let (what, found) = ("a head's width".to_owned(), (width / heads).to_string());
                return Err(PolicyError::Size { what, expected: "an even number".to_owned(), found });
            }
        };
        let blocks = told.blocks.iter().map(|block| self.block(block, width));
        let blocks = blocks.collect::<Result<_, _>>()?;
        let (output, outputs) = self.chain(&told.output, width)?;
        Ok((AttentionLayer { input, place, width, heads, window, blocks, output, state }, outputs))
    }

    fn block(&mut self, told: &AttentionBlock, width: usize) -> Result<Block, PolicyError> {
        let (project, own) = self.chain(&told.project, width)?;
        same("query, key and value", 3 * width, own)?;
        let (attended, own) = self.chain(&told.attended, width)?;
        same("what follows attention", width, own)?;
        let (feed_forward, own) = self.chain(&told.feed_forward, width)?;
        same("a feed-forward network", width, own)?;
        let gates = match &told.gates {
            Some([first, second]) => Some([self.gate(first, width)?, self.gate(second, width)?]),
            None => None,
        };
        Ok(Block { project, attended, feed_forward, gates })
    }

    fn gate(&self, told: &Gate, width: usize) -> Result<GateLayer, PolicyError> {
        same("a gate's input", told.width, width)?;
        let of_y = self.linear(&told.weight_y, None, width, 3 * width)?;
        let weight = self.values(&told.weight_x, &[3 * width, width])?;
        let (of_gates, of_kept) = weight.split_at(2 * width * width);
        let bias = self.values(&told.bias, &[width])?;
        let bias = std::iter::repeat_n(0.0, width).chain(bias.iter().map(|bias| -bias));
        Ok(GateLayer {
            of_y,
            of_x: Linear::Dense { weight: transposed(of_gates, width), bias: bias.collect() },
            of_kept: Linear::Dense { weight: transposed(of_kept, width), bias: vec![0.0; width] },
        })
    }
}

/// Columns as rows.
pub(super) fn transposed(weight: &[f32], inputs: usize) -> Vec<f32> {
    let outputs = weight.len() / inputs;
    (0..weight.len()).map(|at| weight[at % outputs * inputs + at / outputs]).collect()
}

/// Checks that windows lie within what an image of `width` values and its border have.
fn check_windows(windows: &Windows, width: usize) -> Result<(), PolicyError> {
    let Windows { input, output, kernel, stride, padding, dilation } = windows;
    same("an image", product("an image", input)?, width)?;
    product("an image", output)?;
    product("a window", &[input[0], kernel[0], kernel[1]])?;
    for axis in 0..2 {
        let size = |index: usize| [stride[axis], padding[axis], dilation[axis], kernel[axis]][index];
        if (0..4).any(|index| size(index) > MOST_VALUES) || size(0) == 0 || size(2) == 0 || size(3) == 0 {
            let found = format!("{:?}", [size(0), size(1), size(2), size(3)]);
            let (what, expected) = ("stride, padding, dilation and kernel".to_owned(), "sizes".to_owned());
            return Err(PolicyError::Size { what, expected, found });
        }
        let extent = (size(3) - 1) * size(2) + 1;
        let places = (input[axis + 1] + 2 * size(1)).checked_sub(extent).map(|room| room / size(0) + 1);
        same("windows along an axis", places.unwrap_or(0), output[axis + 1])?;
    }
    Ok(())
}
