//! Networks of operations: a program's network as a chain that learns, or as maps that act on batches.

use std::sync::Arc;

use agon_policy::{Activation, Operation, Parameters, Quantization, StoredMap};

use crate::conv::{Conv2d, ConvConfig};
use crate::error::NnError;
use crate::image::{ChannelsFirst, ImageShape};
use crate::init::Init;
use crate::kernels::{IntegerWeight, SparseScratch, SparseWeight, Target, activate, padded, to_bytes};
use crate::layer::Layer;
use crate::linear::Linear;
use crate::model::{Dueling, FreeLogStd};
use crate::norm::Norm;
use crate::parallel::{Parallel, ParallelBranch};
use crate::params::{LayoutBuilder, Params};
use crate::residual::{Activate, Residual};
use crate::sequential::{Packed, Scratch, Sequential};

/// A chain of layers made of operations, and its parameters.
#[derive(Clone, Debug)]
pub struct ToldChain {
    /// The layers.
    pub chain: Sequential,
    /// Their parameters.
    pub params: Params,
    /// Of each parameter its name in the layout, and the one that the operations have for it, in order.
    pub names: Vec<(String, String)>,
}

impl ToldChain {
    /// The chain of operations on rows of `width` values: linear maps, convolutions, activations, norms, streams, residual blocks
    /// and deviations after their means, compressed weights as the numbers that they stand for.
    ///
    /// # Errors
    /// If there is another operation, or parameters do not fit.
    pub fn new(operations: &[Operation], parameters: &Parameters, width: usize) -> Result<Self, NnError> {
        let mut teller =
            Teller { builder: LayoutBuilder::new(), names: Vec::new(), values: Vec::new(), parameters };
        let chain = Sequential::new(teller.layers(operations, width)?)?;
        let Teller { builder, names, values, .. } = teller;
        let mut params = builder.zeros();
        let layout = Arc::clone(params.layout());
        for ((own, _), values) in names.iter().zip(&values) {
            let Some(spec) = layout.find(own) else { continue };
            spec.range.write(values, params.as_mut_slice());
        }
        Ok(Self { chain, params, names })
    }
}

/// Makes layers of operations.
struct Teller<'a> {
    builder: LayoutBuilder,
    names: Vec<(String, String)>,
    values: Vec<Vec<f32>>,
    parameters: &'a Parameters,
}

impl Teller<'_> {
    fn layers(&mut self, operations: &[Operation], mut width: usize) -> Result<Vec<Arc<dyn Layer>>, NnError> {
        let mut layers: Vec<Arc<dyn Layer>> = Vec::new();
        let mut rest = operations;
        while let [operation, after @ ..] = rest {
            rest = after;
            let layer = match StoredMap::of(operation)? {
                Some(stored) => {
                    let mut activation = Activation::Identity;
                    if let [Operation::Activation { function }, after @ ..] = rest {
                        (activation, rest) = (*function, after);
                    }
                    self.map(&stored, activation)?
                }
                None => self.other(operation, width)?,
            };
            if layer.inputs() != width {
                let (expected, got) = (layer.inputs(), width);
                return Err(NnError::Columns { name: "the input of a layer", expected, got });
            }
            width = layer.outputs();
            layers.push(layer);
        }
        Ok(layers)
    }

    /// The layout's name of what is added next.
    fn next(&self) -> String {
        self.names.len().to_string()
    }

    /// Remembers a parameter of a layer, and what it begins with.
    fn remember(&mut self, own: String, theirs: &str, values: Vec<f32>) {
        self.names.push((own, theirs.to_owned()));
        self.values.push(values);
    }

    fn map(&mut self, stored: &StoredMap<'_>, activation: Activation) -> Result<Arc<dyn Layer>, NnError> {
        let (name, init) = (self.next(), Init::Zeros);
        let (weights, biases) = (stored.weights(self.parameters)?, stored.biases(self.parameters)?);
        let layer: Arc<dyn Layer> = match stored.map {
            Operation::Conv2d { input, output, kernel, stride, padding, dilation, groups, .. } => {
                let [channels, height, width] = *input;
                let config = ConvConfig {
                    channels: output[0],
                    kernel: *kernel,
                    stride: *stride,
                    padding: *padding,
                    dilation: *dilation,
                    groups: *groups,
                };
                let image = ImageShape::new(channels, height, width);
                let conv = Conv2d::new(&mut self.builder, &name, image, config, activation, init)?;
                if <[usize; 3]>::from(conv.output_shape()) != *output {
                    let (expected, got) = (output.iter().product(), conv.output_shape().len());
                    return Err(NnError::Length { name: "a convolution's output", expected, got });
                }
                conv.into()
            }
            _ => {
                let (inputs, outputs) = (stored.columns, stored.rows);
                Linear::new(&mut self.builder, &name, inputs, outputs, activation, init).into()
            }
        };
        self.remember(format!("{name}.weight"), stored.weight, weights);
        self.remember(format!("{name}.bias"), stored.bias, biases);
        Ok(layer)
    }

    fn other(&mut self, operation: &Operation, width: usize) -> Result<Arc<dyn Layer>, NnError> {
        let parameter = |name: &str| self.parameters.get(name).map(|found| found.values.clone());
        Ok(match operation {
            Operation::Activation { function } => Activate::new(*function, &[width]).into(),
            Operation::LayerNorm { weight, bias, width, eps } => {
                let (values, biases) = (parameter(weight), parameter(bias));
                let (Some(values), Some(biases)) = (values, biases) else { return Err(untold(operation)) };
                let name = self.next();
                let norm = Norm::layer(&mut self.builder, &name, *width, *eps);
                check(values.len() == *width && biases.len() == *width, operation)?;
                self.remember(format!("{name}.weight"), weight, values);
                self.remember(format!("{name}.bias"), bias, biases);
                norm.into()
            }
            Operation::ChannelsFirst { output: [channels, height, width] } => {
                ChannelsFirst::new(ImageShape::new(*channels, *height, *width)).into()
            }
            Operation::Dueling { actions, atoms } => Arc::new(Dueling { actions: *actions, atoms: *atoms }),
            Operation::Residual { operations } => Residual::new(self.layers(operations, width)?)?.into(),
            Operation::Parallel { branches } => {
                let mut built: Vec<ParallelBranch> = Vec::new();
                for (index, branch) in branches.iter().enumerate() {
                    let [from, to] = branch.columns;
                    check(from < to && to <= width, operation)?;
                    built.push((index.to_string(), from..to, self.layers(&branch.operations, to - from)?));
                }
                Parallel::new(width, built)?.into()
            }
            Operation::Append { parameter: theirs, width: own } => {
                let Some(values) = parameter(theirs) else { return Err(untold(operation)) };
                check(values.len() == *own && *own == width, operation)?;
                let name = self.next();
                let layer = FreeLogStd::new(&mut self.builder, &name, *own);
                self.remember(name, theirs, values);
                Arc::new(layer)
            }
            other => return Err(untold(other)),
        })
    }
}

fn check(holds: bool, operation: &Operation) -> Result<(), NnError> {
    if holds { Ok(()) } else { Err(untold(operation)) }
}

fn untold(operation: &Operation) -> NnError {
    let expected = "maps, activations, layer norms, streams and residual blocks whose parameters fit";
    NnError::Config { field: "the operations of a network", expected, got: operation.name().to_owned() }
}

/// A network of operations that acts on batches: compressed weights as they are stored, all others as layers of a chain.
///
/// A row's result does not depend on the rows beside it.
#[derive(Debug)]
pub struct ToldNetwork {
    parts: Vec<Part>,
    inputs: usize,
    outputs: usize,
}

/// Neighbouring operations that are run together.
#[derive(Debug)]
enum Part {
    Chain { chain: Sequential, packed: Packed },
    Integer { weight: IntegerWeight, input: Quantization, rectify: bool },
    Sparse(SparseWeight),
    Activation(Activation),
}

/// Memory of a [`ToldNetwork`]: nothing is allocated once it has grown.
#[derive(Debug, Default)]
pub struct ToldScratch {
    before: Vec<f32>,
    after: Vec<f32>,
    bytes: Vec<u8>,
    bytes_after: Vec<u8>,
    sparse: SparseScratch,
    chain: Scratch,
}

impl ToldNetwork {
    /// The network of operations on rows of `width` values.
    ///
    /// # Errors
    /// As [`ToldChain::new`], and where a compressed convolution has inputs of bytes, or a stream has compressed weights.
    pub fn new(operations: &[Operation], parameters: &Parameters, inputs: usize) -> Result<Self, NnError> {
        let (mut parts, mut width) = (Vec::new(), inputs);
        let mut plain = 0;
        let mut rest = operations;
        let is_compressed = |operation: &Operation| -> Result<bool, NnError> {
            let stored = StoredMap::of(operation)?;
            Ok(stored.is_some_and(|stored| stored.input.is_some() || stored.places.is_some()))
        };
        while !rest.is_empty() {
            while plain < rest.len() && !is_compressed(&rest[plain])? {
                plain += 1;
            }
            let (before, after) = rest.split_at(plain);
            (rest, plain) = (after, 0);
            if !before.is_empty() {
                let ToldChain { chain, params, .. } = ToldChain::new(before, parameters, width)?;
                width = chain.outputs();
                parts.push(Part::Chain { packed: Packed::new(&chain, &params)?, chain });
            }
            let Some((operation, after)) = rest.split_first() else { break };
            let Some(stored) = StoredMap::of(operation)? else { break };
            rest = after;
            check(matches!(stored.map, Operation::Linear { .. }), operation)?;
            if stored.columns != width {
                return Err(NnError::Columns {
                    name: "the input of a map",
                    expected: stored.columns,
                    got: width,
                });
            }
            width = stored.rows;
            let follows = match rest {
                [Operation::Activation { function }, after @ ..] => {
                    rest = after;
                    *function
                }
                _ => Activation::Identity,
            };
            parts.push(match (stored.input, stored.scales(parameters)?) {
                (Some(input), Some(scales)) => {
                    let weight: Vec<i8> =
                        stored.stored(parameters)?.iter().map(|&value| value as i8).collect();
                    let weight = IntegerWeight::new(&weight, &scales, &stored.biases(parameters)?, input);
                    Part::Integer { weight, input, rectify: follows == Activation::Relu }
                }
                _ => {
                    Part::Sparse(SparseWeight::new(&stored.weights(parameters)?, &stored.biases(parameters)?))
                }
            });
            let is_done = matches!(parts.last(), Some(Part::Integer { rectify: true, .. }));
            if !is_done && follows != Activation::Identity {
                parts.push(Part::Activation(follows));
            }
        }
        if parts.is_empty() {
            parts.push(Part::Activation(Activation::Identity));
        }
        Ok(Self { parts, inputs, outputs: width })
    }

    /// Values of a row that it reads.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Values of a row that it gives.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Runs it on a batch; the result lies in `out`.
    ///
    /// # Shapes
    /// `x`: `[B, inputs]`, `out`: `[B, outputs]`.
    ///
    /// # Errors
    /// If there are no rows, or not whole ones.
    pub fn run(&self, x: &[f32], scratch: &mut ToldScratch, out: &mut Vec<f32>) -> Result<(), NnError> {
        let rows = x.len() / self.inputs;
        if rows == 0 || !x.len().is_multiple_of(self.inputs) {
            let expected = rows.max(1) * self.inputs;
            return Err(NnError::Length { name: "rows of a network", expected, got: x.len() });
        }
        let ToldScratch { before, after, bytes, bytes_after, sparse, chain: of_chain } = scratch;
        let mut x = Some(x);
        for (index, part) in self.parts.iter().enumerate() {
            // Of what is read, `None` is what the part before has left in `before`, or in `bytes`.
            match part {
                Part::Chain { chain, packed } => {
                    after.resize(rows * chain.outputs(), 0.0);
                    chain.infer(packed, x.take().unwrap_or(before), rows, of_chain, after)?;
                    std::mem::swap(before, after);
                }
                Part::Sparse(weight) => {
                    after.resize(rows * weight.outputs(), 0.0);
                    weight.run(x.take().unwrap_or(before), sparse, after);
                    std::mem::swap(before, after);
                }
                Part::Activation(function) => {
                    if let Some(x) = x.take() {
                        before.clear();
                        before.extend_from_slice(x);
                    }
                    activate(*function, before);
                }
                Part::Integer { weight, input, rectify } => {
                    if !self.gives_bytes(index.wrapping_sub(1)) {
                        let x = x.take().unwrap_or(before);
                        let width = x.len() / rows;
                        bytes.resize(rows * padded(width), 0);
                        to_bytes(x, width, *input, bytes);
                    }
                    match self.parts.get(index + 1) {
                        Some(Part::Integer { input: next, .. }) => {
                            bytes_after.resize(rows * padded(weight.outputs()), 0);
                            weight.run(bytes, rows, *rectify, Target::Bytes(bytes_after, *next));
                            std::mem::swap(bytes, bytes_after);
                        }
                        _ => {
                            after.resize(rows * weight.outputs(), 0.0);
                            weight.run(bytes, rows, *rectify, Target::Numbers(after));
                            std::mem::swap(before, after);
                        }
                    }
                }
            }
        }
        std::mem::swap(out, before);
        Ok(())
    }

    /// Whether a part leaves bytes for the next one.
    fn gives_bytes(&self, index: usize) -> bool {
        let next = index.checked_add(1).and_then(|next| self.parts.get(next));
        matches!((self.parts.get(index), next), (Some(Part::Integer { .. }), Some(Part::Integer { .. })))
    }
}

#[cfg(test)]
mod tests {
    use agon_policy::{
        ActionSpace, Decision, InputKind, InputPart, Parameter, PolicyProgram, PortablePolicy,
    };

    use super::*;

    /// Three maps in a form, with rectifiers or `tanh` between them.
    fn network(form: &str, function: Activation) -> (Vec<Operation>, Parameters) {
        let (mut operations, mut parameters) = (Vec::new(), Parameters::new());
        for (layer, (inputs, outputs)) in [(5, 40), (40, 33), (33, 3)].into_iter().enumerate() {
            let name = |part: &str| format!("{layer}.{part}");
            let (len, noise) = (inputs * outputs, |i: usize| ((i * 37 + layer) % 255) as f32 - 127.0);
            let linear = Operation::Linear { weight: name("weight"), bias: name("bias"), inputs, outputs };
            let mut add = |part: &str, shape: &[usize], values: Vec<f32>| {
                parameters.insert(name(part), Parameter { shape: shape.to_vec(), values });
            };
            add("bias", &[outputs], (0..outputs).map(|i| noise(i) * 1e-2).collect());
            add("scale", &[outputs], (0..outputs).map(|i| 1e-3 + noise(i).abs() * 1e-5).collect());
            let is_there = |at: &usize| at % 9 == 4;
            let bits = |byte: usize| {
                (0..8)
                    .filter(|bit| byte * 8 + bit < len && is_there(&(byte * 8 + bit)))
                    .map(|bit| 1 << bit)
                    .sum::<u8>()
            };
            add(
                "places",
                &[len.div_ceil(8)],
                (0..len.div_ceil(8)).map(|byte| f32::from(bits(byte))).collect(),
            );
            let whole = |scale: f32| (0..len).map(|i| noise(i) * scale).collect::<Vec<f32>>();
            let kept: Vec<f32> = (0..len).filter(is_there).map(|i| noise(i) * 1e-2).collect();
            let input = Quantization { scale: 0.02, zero_point: if layer == 0 { 128 } else { 3 } };
            operations.push(match form {
                "sparse" => {
                    add("weight", &[kept.len()], kept);
                    Operation::Sparse { map: Box::new(linear), places: name("places") }
                }
                "numbers" => {
                    add("weight", &[outputs, inputs], whole(1e-2));
                    linear
                }
                _ => {
                    add("weight", &[outputs, inputs], whole(1.0));
                    let input = (form == "integers").then_some(input);
                    Operation::Quantized { map: Box::new(linear), scale: name("scale"), input }
                }
            });
            if layer < 2 {
                operations.push(Operation::Activation { function });
            }
        }
        (operations, parameters)
    }

    fn portable(operations: Vec<Operation>, parameters: &Parameters) -> PortablePolicy {
        let (kind, low, high) = (InputKind::Float, Vec::new(), Vec::new());
        let program = PolicyProgram {
            inputs: vec![InputPart { name: "obs".to_owned(), shape: vec![5], kind, low, high }],
            preparation: Vec::new(),
            operations,
            decision: Decision::Values { actions: 3 },
            adjustments: Vec::new(),
            action: ActionSpace::Discrete { n: 3, start: 0 },
            mask_len: 0,
        };
        PortablePolicy::new(program, parameters).unwrap()
    }

    #[test]
    fn batches_are_what_the_portable_runner_makes_of_rows() {
        for form in ["numbers", "integers of the weight", "integers", "sparse"] {
            for function in [Activation::Relu, Activation::Identity, Activation::Tanh] {
                let (operations, parameters) = network(form, function);
                let whole = ToldNetwork::new(&operations, &parameters, 5).unwrap();
                let policy = portable(operations, &parameters);
                for rows in [1, 7, 64, 70] {
                    let x: Vec<f32> = (0..rows * 5).map(|i| ((i * 31) % 41) as f32 * 0.1 - 2.0).collect();
                    let mut out = Vec::new();
                    whole.run(&x, &mut ToldScratch::default(), &mut out).unwrap();
                    for (x, found) in x.chunks_exact(5).zip(out.chunks_exact(3)) {
                        let mut episode = policy.begin();
                        let expected = policy.logits(&mut episode, x, &[]).unwrap();
                        // The hyperbolic tangents of both are not the same to the last place.
                        let is_exact = function != Activation::Tanh && matches!(form, "integers" | "sparse");
                        for (a, b) in found.iter().zip(expected) {
                            let bound = if is_exact { 0.0 } else { 1e-2 * b.abs().max(1.0) };
                            assert!(
                                (a - b).abs() <= bound,
                                "{form} {function:?} {rows}: {found:?} {expected:?}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn chains_learn_from_the_numbers_that_compressed_weights_stand_for() {
        let (operations, parameters) = network("integers of the weight", Activation::Relu);
        let told = ToldChain::new(&operations, &parameters, 5).unwrap();
        assert_eq!(told.names[0], ("0.weight".to_owned(), "0.weight".to_owned()));
        let weight = told.params.get("0.weight").unwrap();
        assert_eq!(weight[1], parameters["0.weight"].values[1] * parameters["0.scale"].values[0]);
        let opaque = Operation::Opaque { layer: "mine".to_owned() };
        let error = ToldChain::new(&[opaque], &parameters, 5).unwrap_err().to_string();
        assert!(error.contains("got mine"), "{error}");
        assert!(ToldNetwork::new(&operations, &parameters, 6).is_err());
    }
}
