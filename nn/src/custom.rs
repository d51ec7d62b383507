//! Parts of a network that their authors write in dfdx's tensor operations.
//!
//! The layers of this crate are fused and know their gradients; a new idea should not have to. A [`CustomPart`] says in dfdx
//! what it computes, and dfdx's tape differentiates it. Registered under a name ([`CustomParts`]), it is an encoder like
//! any other (`network.encoder = { kind = "custom", part = "fourier" }`): it has named parameters, trains inside every
//! algorithm, is saved and resumed, and gives the same bits for any number of threads.
//!
//! # Design discussion
//! * dfdx sees [`ROWS`] rows at a time, always: the order in which its matrix product sums may depend on the number of rows,
//!   and a row's result must not. What is missing of the last rows is filled with zeros.
//! * The backward pass computes the forward pass again, with a tape, instead of keeping dfdx's tensors: nothing of dfdx
//!   lives longer than a call.
//!
//! # Example
//! ```
//! use agon_nn::custom::{CustomPart, PartParameter, PartWeights, Traced};
//! use agon_nn::dfdx::prelude::*;
//! use agon_nn::Init;
//!
//! /// `[sin(x W), cos(x W)]`, with frequencies that are learned.
//! #[derive(Clone, Debug)]
//! struct Fourier {
//!     frequencies: usize,
//! }
//!
//! impl CustomPart for Fourier {
//!     fn outputs(&self, _inputs: usize) -> usize {
//!         2 * self.frequencies
//!     }
//!     fn parameters(&self, inputs: usize) -> Vec<PartParameter> {
//!         vec![PartParameter::new("frequencies", (inputs, self.frequencies), Init::Normal { std: 1.0 })]
//!     }
//!     fn forward(&self, weights: &PartWeights, x: Traced) -> Traced {
//!         let angles = x.matmul(weights.get(0));
//!         (angles.retaped::<OwnedTape<f32, Cpu>>().sin(), angles.cos()).concat_along(Axis::<1>)
//!     }
//! }
//! # agon_nn::custom::check_part(&Fourier { frequencies: 4 }, 3).unwrap();
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use dfdx::shapes::HasShape as _;
use dfdx::tensor::{Cpu, Gradients, OwnedTape, Tensor, TensorFromVec as _, Trace as _};
use dfdx::tensor_ops::{Backward as _, SumTo as _, TryMatMul as _};
use serde::{Deserialize, Serialize};

use crate::error::NnError;
use crate::init::Init;
use crate::layer::{Gradient, Layer, LayerSummary, Saved, Weights, aligned};
use crate::matrix::Matrix;
use crate::params::{LayoutBuilder, ParamRange, Params};
use crate::sequential::Sequential;
use crate::tape::Tape;

/// Rows that a part computes at a time.
pub const ROWS: usize = 32;

/// Numbers on their way through a part, with dfdx's tape: a batch `[ROWS, columns]`, or a parameter.
pub type Traced = Tensor<(usize, usize), f32, Cpu, OwnedTape<f32, Cpu>>;

/// The same without a tape.
type Plain = Tensor<(usize, usize), f32, Cpu>;

/// The parameters of a part, as [`CustomPart::parameters`] lists them.
#[derive(Debug)]
pub struct PartWeights(Vec<Plain>);

impl PartWeights {
    /// One of the parameters, on a tape of its own: whatever is made of it is differentiated.
    ///
    /// # Panics
    /// If there is no such parameter.
    #[must_use]
    pub fn get(&self, index: usize) -> Traced {
        self.0[index].leaky_trace()
    }

    /// One of the parameters, a single row, repeated for every row of a batch: a bias.
    ///
    /// # Panics
    /// If there is no such parameter, or it has several rows.
    #[must_use]
    pub fn in_every_row(&self, index: usize) -> Traced {
        let ones = device().tensor_from_vec(vec![1.0; ROWS], (ROWS, 1));
        ones.leaky_trace().matmul(self.get(index))
    }
}

/// A parameter that a part asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct PartParameter {
    /// Its name in weight files, after the part's own.
    pub name: String,
    /// Rows and columns.
    pub shape: (usize, usize),
    /// How it begins.
    pub init: Init,
}

impl PartParameter {
    /// A parameter of a name, a shape and an initialisation.
    #[must_use]
    pub fn new(name: &str, shape: (usize, usize), init: Init) -> Self {
        Self { name: name.to_owned(), shape, init }
    }
}

/// A function of each row of a batch by itself, written in dfdx operations.
///
/// It must be a function of its input and weights alone: no random numbers, no state, and no mixing of rows.
/// [`check_part`] tests that, and its gradients, as an author's own test.
pub trait CustomPart: fmt::Debug + Send + Sync {
    /// Number of values of an output row, from that of an input row.
    fn outputs(&self, inputs: usize) -> usize;

    /// The parameters, in the order in which [`CustomPart::forward`] gets them.
    fn parameters(&self, _inputs: usize) -> Vec<PartParameter> {
        Vec::new()
    }

    /// Computes rows.
    ///
    /// # Shapes
    /// `x`: `[ROWS, inputs]`; returns `[ROWS, outputs]`.
    fn forward(&self, weights: &PartWeights, x: Traced) -> Traced;
}

/// Settings of a part: numbers by name.
pub type PartArguments = BTreeMap<String, f64>;

type MakePart = dyn Fn(&PartArguments) -> Result<Arc<dyn CustomPart>, String> + Send + Sync;

/// The parts that a program knows, by name.
#[derive(Clone, Default)]
pub struct CustomParts(BTreeMap<String, Arc<MakePart>>);

impl CustomParts {
    /// Without parts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a part under a name, in place of one that has it. `make` gets the settings, and says what is wrong with them.
    pub fn register<P: CustomPart + 'static>(
        &mut self,
        name: &str,
        make: impl Fn(&PartArguments) -> Result<P, String> + Send + Sync + 'static,
    ) {
        let make = move |arguments: &PartArguments| Ok(Arc::new(make(arguments)?) as Arc<dyn CustomPart>);
        self.0.insert(name.to_owned(), Arc::new(make));
    }

    fn make(&self, name: &str, arguments: &PartArguments) -> Result<Arc<dyn CustomPart>, NnError> {
        let Some(make) = self.0.get(name) else {
            let known = self.0.keys().cloned().collect::<Vec<_>>().join(", ");
            let got = if known.is_empty() {
                format!("{name}, and the program registers none")
            } else {
                format!("{name}; there are {known}")
            };
            let expected = "a part that the program registers";
            return Err(NnError::Config { field: "network.encoder.part", expected, got });
        };
        let wrong = |got| NnError::Config {
            field: "network.encoder.arguments",
            expected: "what the part takes",
            got,
        };
        make(arguments).map_err(wrong)
    }
}

impl fmt::Debug for CustomParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A part by name, as settings have it; [`crate::ModelConfig::bind`] finds it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartName {
    name: String,
    #[serde(skip)]
    part: Option<Arc<dyn CustomPart>>,
}

impl PartialEq for PartName {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl PartName {
    pub(crate) fn bind(&mut self, parts: &CustomParts, arguments: &PartArguments) -> Result<(), NnError> {
        self.part = Some(parts.make(&self.name, arguments)?);
        Ok(())
    }

    /// The layer, whose parameters are added to a layout.
    pub(crate) fn build(
        &self,
        builder: &mut LayoutBuilder,
        prefix: &str,
        inputs: usize,
    ) -> Result<Arc<dyn Layer>, NnError> {
        let Some(part) = &self.part else {
            let expected = "a part that the program registers";
            return Err(NnError::Config { field: "network.encoder.part", expected, got: self.name.clone() });
        };
        Ok(Arc::new(CustomLayer::new(builder, prefix, &self.name, Arc::clone(part), inputs)?))
    }
}

/// One device, without dfdx's allocation cache: `TensorCache::try_pop` of dfdx 0.13 looks for a block under a read lock and
/// takes it under a write lock, so two threads that want the last block of a size panic.
fn device() -> &'static Cpu {
    static DEVICE: LazyLock<Cpu> = LazyLock::new(|| Cpu::seed_from_u64(0));
    &DEVICE
}

/// A part as a layer.
#[derive(Debug)]
struct CustomLayer {
    name: String,
    part: Arc<dyn CustomPart>,
    inputs: usize,
    outputs: usize,
    parameters: Vec<ParamRange>,
}

impl CustomLayer {
    fn new(
        builder: &mut LayoutBuilder,
        prefix: &str,
        name: &str,
        part: Arc<dyn CustomPart>,
        inputs: usize,
    ) -> Result<Self, NnError> {
        let outputs = part.outputs(inputs);
        if outputs == 0 {
            let (field, expected) = ("the outputs of a custom part", "at least 1");
            return Err(NnError::Config { field, expected, got: "0".to_owned() });
        }
        let add = |parameter: PartParameter| {
            let (rows, columns) = parameter.shape;
            builder.add(&format!("{prefix}.{}", parameter.name), &[rows, columns], parameter.init)
        };
        let parameters: Vec<ParamRange> = part.parameters(inputs).into_iter().map(add).collect();
        let layer = Self { name: name.to_owned(), part, inputs, outputs, parameters };
        // dfdx checks shapes at run time, by panics; what a part gives is known from one try.
        let zeros: Vec<f32> = vec![0.0; layer.parameters.iter().map(ParamRange::len).sum()];
        let try_it = || {
            let weights = layer.weights(Weights { packed: &zeros, params: &[] });
            *layer.part.forward(&weights, padded(&[], inputs).leaky_trace()).shape()
        };
        let got = match catch_unwind(AssertUnwindSafe(try_it)) {
            Ok(shape) if shape == (ROWS, outputs) => return Ok(layer),
            Ok((rows, columns)) => format!("[{rows}, {columns}] of `{name}`, whose outputs are {outputs}"),
            Err(_) => format!("a panic of `{name}` with {inputs} inputs"),
        };
        let (field, expected) = ("the output of a custom part", "[ROWS, outputs]");
        Err(NnError::Config { field, expected, got })
    }

    /// The parameters as dfdx tensors.
    fn weights(&self, weights: Weights<'_>) -> PartWeights {
        let mut start = 0;
        let mut tensor = |parameter: &ParamRange| {
            let values = if weights.params.is_empty() {
                let values = &weights.packed[start..start + parameter.len()];
                start += parameter.len();
                values
            } else {
                parameter.of(weights.params)
            };
            let shape = (parameter.shape()[0], parameter.shape()[1]);
            device().tensor_from_vec(values.to_vec(), shape)
        };
        PartWeights(self.parameters.iter().map(&mut tensor).collect())
    }
}

/// Up to [`ROWS`] rows as a tensor of that many, the others zero.
fn padded(rows: &[f32], columns: usize) -> Plain {
    let mut values = rows.to_vec();
    values.resize(ROWS * columns, 0.0);
    device().tensor_from_vec(values, (ROWS, columns))
}

/// The gradient of a tensor; zeros where nothing depends on it.
#[expect(clippy::expect_used, reason = "dfdx's processor device allocates or aborts")]
fn gradient_of<'a>(gradients: &'a mut Gradients<f32, Cpu>, tensor: &Plain) -> &'a [f32] {
    gradients.get_or_alloc_mut(tensor).expect("allocations do not fail")
}

impl Layer for CustomLayer {
    fn inputs(&self) -> usize {
        self.inputs
    }

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn parameters(&self) -> Vec<&ParamRange> {
        self.parameters.iter().collect()
    }

    fn packed_len(&self) -> usize {
        aligned(self.parameters.iter().map(ParamRange::len).sum())
    }

    fn pack(&self, params: &[f32], packed: &mut [f32]) {
        let mut start = 0;
        for parameter in &self.parameters {
            packed[start..start + parameter.len()].copy_from_slice(parameter.of(params));
            start += parameter.len();
        }
    }

    fn packs_for(&self, _batch: usize) -> bool {
        false
    }

    fn forward(&self, weights: Weights<'_>, x: &[f32], _rows: usize, _kept: &mut [f32], out: &mut [f32]) {
        let weights = self.weights(weights);
        for (x, out) in x.chunks(ROWS * self.inputs).zip(out.chunks_mut(ROWS * self.outputs)) {
            let y = self.part.forward(&weights, padded(x, self.inputs).leaky_trace());
            out.copy_from_slice(&y.as_vec()[..out.len()]);
        }
    }

    fn backward(
        &self,
        saved: &Saved<'_>,
        delta: &mut [f32],
        mut gradient: Option<Gradient<'_>>,
        mut dx: Option<&mut [f32]>,
    ) {
        if let Some(gradient) = &mut gradient
            && gradient.first
        {
            for (parameter, _) in self.parameters.iter().zip(gradient.fresh).filter(|(_, fresh)| **fresh) {
                parameter.of_mut(gradient.flat).fill(0.0);
            }
        }
        let weights = self.weights(saved.weights);
        let blocks = saved.x.chunks(ROWS * self.inputs).zip(delta.chunks(ROWS * self.outputs));
        for (block, (x, delta)) in blocks.enumerate() {
            let input = padded(x, self.inputs);
            let y = self.part.forward(&weights, input.leaky_trace());
            // The gradient of this sum is the product of the part's Jacobian with the output's gradient.
            let mut slopes = (y * padded(delta, self.outputs)).sum::<(), _>().backward();
            if let Some(gradient) = &mut gradient {
                for (parameter, weight) in self.parameters.iter().zip(&weights.0) {
                    let target = parameter.of_mut(gradient.flat);
                    target
                        .iter_mut()
                        .zip(gradient_of(&mut slopes, weight))
                        .for_each(|(sum, slope)| *sum += slope);
                }
            }
            if let Some(dx) = &mut dx {
                let start = block * ROWS * self.inputs;
                dx[start..start + x.len()].copy_from_slice(&gradient_of(&mut slopes, &input)[..x.len()]);
            }
        }
    }

    fn describe(&self) -> LayerSummary {
        LayerSummary {
            layer: format!("Custom({}, {:?})", self.name, self.part),
            output_shape: vec![self.outputs],
            parameters: self.parameters.iter().map(ParamRange::len).sum(),
            // What a part computes is its own affair; its products are at least these.
            flops: 2 * self.parameters.iter().map(|parameter| parameter.len() as u64).sum::<u64>(),
        }
    }
}

/// Tries a part as its author's test should: that a row's result depends on no other row, bit for bit, and that the gradients
/// are those of finite differences.
///
/// # Errors
/// [`NnError::Config`] saying what does not hold.
pub fn check_part(part: &(impl CustomPart + Clone + 'static), inputs: usize) -> Result<(), NnError> {
    let mut builder = LayoutBuilder::new();
    let layer: Arc<dyn Layer> =
        Arc::new(CustomLayer::new(&mut builder, "part", "part", Arc::new(part.clone()), inputs)?);
    let (params, outputs) = (builder.build(1), layer.outputs());
    let chain = Sequential::new(vec![layer])?;
    let broken = |expected, got| Err(NnError::Config { field: "a custom part", expected, got });
    let numbers = |count: usize| (0..count).map(|i| (i as f32 * 0.73).sin()).collect::<Vec<f32>>();
    let rows = ROWS + 5;
    let values = numbers(rows * inputs);
    let run = |params: &Params, x: &[f32]| -> Result<Vec<f32>, NnError> {
        let x = Matrix::from_slice(x.len() / inputs, inputs, x)?;
        Ok(chain.forward(params, &x, &mut Tape::inference())?.as_slice().to_vec())
    };
    let together = run(&params, &values)?;
    for (row, x) in values.chunks_exact(inputs).enumerate() {
        if run(&params, x)? != together[row * outputs..(row + 1) * outputs] {
            return broken("rows that do not influence each other", format!("another result of row {row}"));
        }
    }
    let x = Matrix::from_slice(rows, inputs, &values)?.tracked();
    let (mut tape, slopes) = (Tape::new(), numbers(rows * outputs));
    let y = chain.forward(&params, &x, &mut tape)?;
    let mut gradient = vec![0.0; params.len()];
    let of_inputs = tape.backward(&params, &[(&y, &slopes)], &mut gradient)?;
    let loss = |y: &[f32]| y.iter().zip(&slopes).map(|(y, slope)| f64::from(y * slope)).sum::<f64>();
    let differs = |found: f32, above: f64, below: f64| {
        let expected = (above - below) / (2.0 * f64::from(STEP));
        (f64::from(found) - expected).abs() > 2e-2 * (1.0 + expected.abs())
    };
    for (i, &found) in gradient.iter().enumerate() {
        let at = |step: f32| {
            let mut moved = params.clone();
            moved.as_mut_slice()[i] += step;
            Ok::<_, NnError>(loss(&run(&moved, &values)?))
        };
        if differs(found, at(STEP)?, at(-STEP)?) {
            return broken("the gradient of finite differences", format!("{found} for parameter {i}"));
        }
    }
    for (i, &found) in of_inputs.get(&x).unwrap_or(&[]).iter().enumerate() {
        let at = |step: f32| {
            let mut moved = values.clone();
            moved[i] += step;
            Ok::<_, NnError>(loss(&run(&params, &moved)?))
        };
        if differs(found, at(STEP)?, at(-STEP)?) {
            return broken("the gradient of finite differences", format!("{found} for input {i}"));
        }
    }
    Ok(())
}

/// Step of finite differences: large enough that rounding does not show.
const STEP: f32 = 1e-2;

#[cfg(test)]
mod tests;
