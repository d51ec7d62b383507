//! A network's operations as nodes.
//!
//! Everything is written in the simplest operators, one step of an episode at a time: recurrent layers as products and gates
//! rather than as ONNX's sequence operators, whose order of gates, layouts and initial states runtimes treat differently.

use agon_policy::{
    Activation, LEAKY_RELU_SLOPE, Operation, Parameters, Quantization, RecurrentKind, StoredMap,
};

use super::graph::{Element, Graph, float, int, ints};
use super::states::States;
use crate::RunError;

/// Writes operations into a graph.
pub(super) struct Network<'a> {
    pub(super) graph: &'a mut Graph,
    pub(super) parameters: &'a Parameters,
    pub(super) states: &'a mut States,
}

/// A value `[batch, …]`: rows of numbers, or images.
#[derive(Clone)]
struct Value {
    name: String,
    /// `[C, H, W]`; rows if there is none.
    image: Option<[usize; 3]>,
}

impl Network<'_> {
    /// What the operations make of rows.
    pub(super) fn run(&mut self, operations: &[Operation], rows: &str) -> Result<String, RunError> {
        let value = self.chain(operations, Value { name: rows.to_owned(), image: None })?;
        Ok(self.rows(value))
    }

    fn chain(&mut self, operations: &[Operation], value: Value) -> Result<Value, RunError> {
        operations.iter().try_fold(value, |value, operation| self.apply(operation, value))
    }

    /// The value as rows.
    fn rows(&mut self, value: Value) -> String {
        match value.image {
            Some(shape) => self.graph.reshape(&value.name, &[shape.iter().product()]),
            None => value.name,
        }
    }

    /// The value as images.
    fn images(&mut self, value: Value, shape: [usize; 3]) -> String {
        match value.image {
            Some(found) if found == shape => value.name,
            _ => {
                let rows = self.rows(value);
                self.graph.reshape(&rows, &shape)
            }
        }
    }

    fn apply(&mut self, operation: &Operation, value: Value) -> Result<Value, RunError> {
        if let (Operation::Quantized { .. } | Operation::Sparse { .. }, Some(stored)) =
            (operation, StoredMap::of(operation)?)
        {
            return self.compressed(&stored, value);
        }
        if let Some(image) = self.spatial(operation, &value)? {
            return Ok(image);
        }
        let x = self.rows(value);
        let name = match operation {
            Operation::Linear { weight, bias, .. } => self.linear(&x, weight, bias)?,
            Operation::LayerNorm { weight, bias, eps, .. } => {
                let (weight, bias) = (self.parameter(weight)?, self.parameter(bias)?);
                let attributes = vec![int("axis", -1), float("epsilon", *eps)];
                self.graph.op_with("LayerNormalization", &[&x, &weight, &bias], attributes)
            }
            Operation::RmsNorm { weight, eps, .. } => self.rms_norm(&x, weight, *eps)?,
            Operation::OneHot { categories } => {
                let columns = categories.iter().enumerate();
                let columns: Vec<(usize, Option<i64>)> = columns
                    .flat_map(|(index, &n)| (0..n).map(move |category| (index, Some(category as i64))))
                    .collect();
                one_hot(self.graph, &x, &columns)
            }
            Operation::Embedding { weight, width, first } => {
                let weight = self.parameter(weight)?;
                let first_rows: Vec<i64> = first.iter().map(|&row| row as i64).collect();
                let (indices, offsets) =
                    (self.graph.cast(&x, Element::Integer), self.graph.integers(&first_rows));
                let indices = self.graph.op("Add", &[&indices, &offsets]);
                let vectors = self.graph.op("Gather", &[&weight, &indices]);
                self.graph.reshape(&vectors, &[first.len() * width])
            }
            Operation::Parallel { branches } => {
                let mut parts = Vec::new();
                for branch in branches {
                    let [from, to] = branch.columns;
                    let columns = self.graph.slice(&x, 1, from, to);
                    parts.push(self.run(&branch.operations, &columns)?);
                }
                self.graph.concat(&parts, 1)
            }
            Operation::Dueling { actions, atoms } => self.dueling(&x, *actions, *atoms),
            Operation::Append { parameter, width } => {
                let appended = self.parameter(parameter)?;
                // As many rows as there are.
                let shape = self.graph.op("Shape", &[&x]);
                let (rows, width) =
                    (self.graph.slice(&shape, 0, 0, 1), self.graph.integers(&[*width as i64]));
                let shape = self.graph.concat(&[rows, width], 0);
                let appended = self.graph.op("Expand", &[&appended, &shape]);
                self.graph.concat(&[x, appended], 1)
            }
            Operation::Recurrent { cell, weight_ih, weight_hh, bias_ih, bias_hh, hidden, .. } => {
                self.recurrent(&x, *cell, [weight_ih, weight_hh, bias_ih, bias_hh], *hidden)?
            }
            Operation::Attention(attention) => self.attention(&x, attention)?,
            Operation::ImplicitQuantiles { cosines, embedding, head } => {
                self.implicit_quantiles(&x, cosines, embedding, head)?
            }
            Operation::Opaque { layer } => return Err(unknown(layer)),
            Operation::Activation { .. }
            | Operation::Conv2d { .. }
            | Operation::Pool2d { .. }
            | Operation::ChannelsFirst { .. }
            | Operation::Quantized { .. }
            | Operation::Sparse { .. }
            | Operation::Residual { .. } => return Err(unknown("a layer of images")),
        };
        Ok(Value { name, image: None })
    }

    /// Operations of which images stay images; nothing for the others.
    fn spatial(&mut self, operation: &Operation, value: &Value) -> Result<Option<Value>, RunError> {
        let value = value.clone();
        Ok(Some(match operation {
            Operation::Activation { function } => {
                Value { name: self.activation(*function, &value.name), image: value.image }
            }
            Operation::Conv2d { weight, bias, input, output, kernel, stride, padding, dilation, groups } => {
                let x = self.images(value, *input);
                let (weight, bias) = (self.parameter(weight)?, self.parameter(bias)?);
                let sizes = [kernel, stride, padding, dilation];
                let name = self.convolution([&x, &weight, &bias], sizes, *groups);
                Value { name, image: Some(*output) }
            }
            Operation::Pool2d { average, input, output, kernel, stride, padding } => {
                let x = self.images(value, *input);
                let [height, width] = *padding;
                let mut attributes = vec![
                    ints("kernel_shape", kernel),
                    ints("strides", stride),
                    ints("pads", &[height, width, height, width]),
                ];
                let op = if *average { "AveragePool" } else { "MaxPool" };
                if *average {
                    attributes.push(int("count_include_pad", 1));
                }
                Value { name: self.graph.op_with(op, &[&x], attributes), image: Some(*output) }
            }
            Operation::ChannelsFirst { output } => {
                let [channels, height, width] = *output;
                let rows = self.rows(value);
                let x = self.graph.reshape(&rows, &[height, width, channels]);
                let name = self.graph.op_with("Transpose", &[&x], vec![ints("perm", &[0, 3, 1, 2])]);
                Value { name, image: Some(*output) }
            }
            Operation::Residual { operations } => {
                let inner = self.chain(operations, value.clone())?;
                let (x, inner, image) = match (value.image, inner.image) {
                    (Some(a), Some(b)) if a == b => (value.name, inner.name, Some(a)),
                    _ => (self.rows(value), self.rows(inner), None),
                };
                Value { name: self.graph.op("Add", &[&x, &inner]), image }
            }
            _ => return Ok(None),
        }))
    }

    /// A map whose weight is stored otherwise: integers and bytes are dequantised before the map of numbers, which runtimes run
    /// as one of integers; zeros are written out.
    fn compressed(&mut self, stored: &StoredMap<'_>, value: Value) -> Result<Value, RunError> {
        let weight = match stored.scales(self.parameters)? {
            Some(scales) => {
                let integers = stored.stored(self.parameters)?;
                let weight = self.graph.signed_bytes(stored.weight, &stored.shape(), &integers);
                let scales = self.graph.floats(&[scales.len()], &scales);
                let zeros = self.graph.bytes(Element::SignedByte, &[stored.rows], vec![0; stored.rows]);
                let inputs = [weight.as_str(), &scales, &zeros];
                self.graph.op_with("DequantizeLinear", &inputs, vec![int("axis", 0)])
            }
            None => {
                let weights = stored.weights(self.parameters)?;
                self.graph.parameter(stored.weight, &stored.shape(), &weights)
            }
        };
        let bias = self.parameter(stored.bias)?;
        let value = match stored.input {
            Some(Quantization { scale, zero_point }) => {
                let scale = self.graph.number(scale);
                let zero = self.graph.bytes(Element::Byte, &[], vec![zero_point]);
                let bytes = self.graph.op("QuantizeLinear", &[&value.name, &scale, &zero]);
                Value {
                    name: self.graph.op("DequantizeLinear", &[&bytes, &scale, &zero]),
                    image: value.image,
                }
            }
            None => value,
        };
        match stored.map {
            Operation::Conv2d { input, output, kernel, stride, padding, dilation, groups, .. } => {
                let x = self.images(value, *input);
                let name =
                    self.convolution([&x, &weight, &bias], [kernel, stride, padding, dilation], *groups);
                Ok(Value { name, image: Some(*output) })
            }
            _ => {
                let x = self.rows(value);
                let name = self.graph.op_with("Gemm", &[&x, &weight, &bias], vec![int("transB", 1)]);
                Ok(Value { name, image: None })
            }
        }
    }

    fn convolution(&mut self, inputs: [&str; 3], sizes: [&[usize; 2]; 4], groups: usize) -> String {
        let [kernel, stride, &[height, width], dilation] = sizes;
        let attributes = vec![
            ints("kernel_shape", kernel),
            ints("strides", stride),
            ints("pads", &[height, width, height, width]),
            ints("dilations", dilation),
            int("group", groups as i64),
        ];
        self.graph.op_with("Conv", &inputs, attributes)
    }

    pub(super) fn parameter(&mut self, name: &str) -> Result<String, RunError> {
        let Some(parameter) = self.parameters.get(name) else {
            return Err(RunError::Policy(format!("expected a parameter {name}, found none")));
        };
        Ok(self.graph.parameter(name, &parameter.shape, &parameter.values))
    }

    fn linear(&mut self, x: &str, weight: &str, bias: &str) -> Result<String, RunError> {
        let (weight, bias) = (self.parameter(weight)?, self.parameter(bias)?);
        Ok(self.graph.op_with("Gemm", &[x, &weight, &bias], vec![int("transB", 1)]))
    }

    fn activation(&mut self, function: Activation, x: &str) -> String {
        let graph = &mut *self.graph;
        match function {
            Activation::Identity => x.to_owned(),
            Activation::Relu => graph.op("Relu", &[x]),
            Activation::Tanh => graph.op("Tanh", &[x]),
            Activation::Sigmoid => graph.op("Sigmoid", &[x]),
            Activation::Silu => {
                let gate = graph.op("Sigmoid", &[x]);
                graph.op("Mul", &[x, &gate])
            }
            // `Gelu` is an operator from opset 20 on.
            Activation::Gelu => {
                let [scale, half, one] =
                    [std::f32::consts::FRAC_1_SQRT_2, 0.5, 1.0].map(|value| graph.number(value));
                let scaled = graph.op("Mul", &[x, &scale]);
                let erf = graph.op("Erf", &[&scaled]);
                let share = graph.op("Add", &[&erf, &one]);
                let halved = graph.op("Mul", &[x, &half]);
                graph.op("Mul", &[&halved, &share])
            }
            Activation::Elu => graph.op_with("Elu", &[x], vec![float("alpha", 1.0)]),
            Activation::LeakyRelu => graph.op_with("LeakyRelu", &[x], vec![float("alpha", LEAKY_RELU_SLOPE)]),
        }
    }

    fn rms_norm(&mut self, x: &str, weight: &str, eps: f32) -> Result<String, RunError> {
        let weight = self.parameter(weight)?;
        let graph = &mut *self.graph;
        let squares = graph.op("Mul", &[x, x]);
        let mean = self.mean(&squares, -1);
        let graph = &mut *self.graph;
        let eps = graph.number(eps);
        let mean = graph.op("Add", &[&mean, &eps]);
        let root = graph.op("Sqrt", &[&mean]);
        let normed = graph.op("Div", &[x, &root]);
        Ok(graph.op("Mul", &[&normed, &weight]))
    }

    /// The mean along an axis, which stays.
    fn mean(&mut self, x: &str, axis: i64) -> String {
        let axes = self.graph.integers(&[axis]);
        self.graph.op("ReduceMean", &[x, &axes])
    }

    fn dueling(&mut self, x: &str, actions: usize, atoms: usize) -> String {
        let parts = self.graph.split(x, 1, &[atoms, actions * atoms]);
        let value = self.graph.reshape(&parts[0], &[1, atoms]);
        let advantages = self.graph.reshape(&parts[1], &[actions, atoms]);
        let mean = self.mean(&advantages, 1);
        let centred = self.graph.op("Sub", &[&advantages, &mean]);
        let values = self.graph.op("Add", &[&value, &centred]);
        self.graph.reshape(&values, &[actions * atoms])
    }

    fn recurrent(
        &mut self,
        x: &str,
        cell: RecurrentKind,
        names: [&String; 4],
        hidden: usize,
    ) -> Result<String, RunError> {
        let [weight_ih, weight_hh, bias_ih, bias_hh] = names;
        let h = self.states.take(self.graph, "h")?;
        let h = self.graph.reshape(&h, &[hidden]);
        let of_x = self.linear(x, weight_ih, bias_ih)?;
        let of_h = self.linear(&h, weight_hh, bias_hh)?;
        let next = match cell {
            RecurrentKind::Rnn => {
                let sum = self.graph.op("Add", &[&of_x, &of_h]);
                self.graph.op("Tanh", &[&sum])
            }
            RecurrentKind::Gru => {
                let of_x = self.graph.split(&of_x, 1, &[hidden; 3]);
                let of_h = self.graph.split(&of_h, 1, &[hidden; 3]);
                let graph = &mut *self.graph;
                let mut gate = |index: usize| {
                    let sum = graph.op("Add", &[&of_x[index], &of_h[index]]);
                    graph.op("Sigmoid", &[&sum])
                };
                let (reset, update) = (gate(0), gate(1));
                let candidate = graph.op("Mul", &[&reset, &of_h[2]]);
                let candidate = graph.op("Add", &[&of_x[2], &candidate]);
                let candidate = graph.op("Tanh", &[&candidate]);
                let kept = graph.op("Sub", &[&h, &candidate]);
                let kept = graph.op("Mul", &[&update, &kept]);
                graph.op("Add", &[&candidate, &kept])
            }
            RecurrentKind::Lstm => {
                let c = self.states.take(self.graph, "c")?;
                let graph = &mut *self.graph;
                let c = graph.reshape(&c, &[hidden]);
                let sums = graph.op("Add", &[&of_x, &of_h]);
                let gates = graph.split(&sums, 1, &[hidden; 4]);
                let [input, forget, output] = [0, 1, 3].map(|gate| graph.op("Sigmoid", &[&gates[gate]]));
                let candidate = graph.op("Tanh", &[&gates[2]]);
                let kept = graph.op("Mul", &[&forget, &c]);
                let added = graph.op("Mul", &[&input, &candidate]);
                let c = graph.op("Add", &[&kept, &added]);
                let shown = graph.op("Tanh", &[&c]);
                let h = graph.op("Mul", &[&output, &shown]);
                let c = graph.reshape(&c, &[1, hidden]);
                self.states.give("c", c);
                h
            }
        };
        let state = self.graph.reshape(&next, &[1, hidden]);
        self.states.give("h", state);
        Ok(next)
    }

    fn implicit_quantiles(
        &mut self,
        x: &str,
        cosines: &[Vec<f32>],
        embedding: &[Operation],
        head: &[Operation],
    ) -> Result<String, RunError> {
        let (places, count) = (cosines.len(), cosines.first().map_or(0, Vec::len));
        let cosines = self.graph.floats(&[places, count], &cosines.concat());
        let embedded = self.run(embedding, &cosines)?;
        let x = self.graph.unsqueeze(x, &[1]);
        let merged = self.graph.op("Mul", &[&x, &embedded]);
        // Rows of all places beside each other, through the head, and back.
        let width = self.graph.op("Shape", &[&embedded]);
        let (width, any) = (self.graph.slice(&width, 0, 1, 2), self.graph.integers(&[-1]));
        let shape = self.graph.concat(&[any, width], 0);
        let rows = self.graph.op("Reshape", &[&merged, &shape]);
        let quantiles = self.run(head, &rows)?;
        let shape = self.graph.integers(&[-1, places as i64, actions_of(head)? as i64]);
        let quantiles = self.graph.op("Reshape", &[&quantiles, &shape]);
        let mean = self.mean(&quantiles, 1);
        Ok(self.graph.reshape(&mean, &[actions_of(head)?]))
    }
}

/// How many values a head gives.
fn actions_of(head: &[Operation]) -> Result<usize, RunError> {
    match head.last() {
        Some(Operation::Dueling { actions, atoms }) => Ok(actions * atoms),
        Some(Operation::Linear { outputs, .. }) => Ok(*outputs),
        _ => Err(unknown("a head that ends in something else than values")),
    }
}

/// Columns of rows: the value at an index, or 1 if it is a category and else 0.
pub(super) fn one_hot(graph: &mut Graph, x: &str, columns: &[(usize, Option<i64>)]) -> String {
    let indices: Vec<i64> = columns.iter().map(|(index, _)| *index as i64).collect();
    let indices = graph.integers(&indices);
    let values = graph.op_with("Gather", &[x, &indices], vec![int("axis", 1)]);
    let categories: Vec<f32> = columns.iter().map(|(_, category)| category.unwrap_or(0) as f32).collect();
    let categories = graph.floats(&[1, columns.len()], &categories);
    let is_category = graph.op("Equal", &[&values, &categories]);
    let hot = graph.cast(&is_category, Element::Float);
    if columns.iter().all(|(_, category)| category.is_some()) {
        return hot;
    }
    let flags = columns.iter().map(|(_, category)| u8::from(category.is_some())).collect();
    let flags = graph.bytes(Element::Bool, &[1, columns.len()], flags);
    graph.op("Where", &[&flags, &hot, &values])
}

fn unknown(layer: &str) -> RunError {
    RunError::Policy(format!("expected layers that ONNX has, found {layer}"))
}
