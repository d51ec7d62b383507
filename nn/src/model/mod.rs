//! Networks as agents need them: an encoder, a memory, and heads, built from a configuration.
//!
//! ```text
//! observation ─► encoder ─► memory ─► head ─► logits, values, …
//!                                  └► head
//! ```
//!
//! Without a memory, a model with one head is a single chain of layers, one operation on the tape.

mod encoder;
mod head;
mod implicit;
mod summary;

pub use encoder::{EncoderConfig, Observation};
pub(crate) use head::{Dueling, FreeLogStd};
pub use head::{Head, HeadConfig, HeadInit};
pub use implicit::{ImplicitConfig, ImplicitQuantiles, PackedImplicit};
pub use summary::Summary;

use agon_policy::Operation;
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::custom::CustomParts;
use crate::error::NnError;
use crate::init::Init;
use crate::input::{Input, Rows};
use crate::linear::Activation;
use crate::matrix::{Matrix, check_length};
use crate::memory::{Memory, MemoryConfig, PackedMemory};
use crate::noisy::NoisyLinear;
use crate::params::{Layout, LayoutBuilder, Params};
use crate::recurrent::Unroll;
use crate::residual::Activate;
use crate::sequential::{Packed, Scratch, Sequential};
use crate::tape::Tape;

/// The shape of a network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// From observations to features.
    pub encoder: EncoderConfig,
    /// What is remembered from step to step.
    pub memory: MemoryConfig,
    /// The layers of each head before its output.
    pub head: HeadConfig,
}

impl ModelConfig {
    /// Values of a network of this shape with one head of one value, without making it.
    ///
    /// # Errors
    /// As [`Model::new`].
    pub fn len(&self, observation: &Observation) -> Result<usize, NnError> {
        let mut builder = LayoutBuilder::new();
        let heads = [HeadSpec { name: "head".to_owned(), head: Head::Value, init: Init::Zeros }];
        Model::new(&mut builder, "", observation, self, &heads, Init::Zeros)?;
        Ok(builder.layout().len())
    }

    /// Finds the program's own parts that settings name; without such parts there is nothing to do.
    ///
    /// # Errors
    /// [`NnError::Config`] if there is no such part, or it does not take its settings.
    pub fn bind(&mut self, parts: &CustomParts) -> Result<(), NnError> {
        self.encoder.bind(parts)
    }
}

/// A head of a model: its name, what it puts out, and how its output layer starts.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadSpec {
    /// The prefix of its parameters' names.
    pub name: String,
    /// What it puts out.
    pub head: Head,
    /// The output layer's initialisation.
    pub init: Init,
}

/// An encoder, a memory and heads.
///
/// # Shapes
/// Observations `[T·B, observation]`, `T` steps of `B` environments each, row `t·B + b`; a state row for each
/// environment, `[B, state]`; each head `[T·B, outputs]`.
#[derive(Debug, Clone)]
pub struct Model {
    /// With the single head's layers if there is no memory.
    encoder: Option<Sequential>,
    memory: Option<Memory>,
    heads: Vec<HeadLayers>,
    noisy: Vec<NoisyLinear>,
    inputs: usize,
    summary: Summary,
}

#[derive(Debug, Clone)]
struct HeadLayers {
    /// Nothing if the encoder has them.
    layers: Option<Sequential>,
    outputs: usize,
}

/// What a model puts out.
#[derive(Debug, Clone)]
pub struct ModelOutput {
    /// Each head's output, in the order of the heads.
    pub heads: Vec<Matrix>,
    /// The state after the last step, `[B, state]`; nothing without a memory.
    pub state: Option<Matrix>,
}

impl Model {
    /// Adds the parameters to a layout: `<prefix>encoder.*`, `<prefix>memory.*`, and each head's under its own name.
    ///
    /// `init` is that of all layers but the heads' outputs. The prefix is empty or ends with a dot.
    ///
    /// # Errors
    /// [`NnError::Config`] if a size is out of its bounds, the encoder does not suit the observation, or there are no
    /// heads.
    ///
    /// # Panics
    /// If two heads have the same name.
    pub fn new(
        builder: &mut LayoutBuilder,
        prefix: &str,
        observation: &Observation,
        config: &ModelConfig,
        heads: &[HeadSpec],
        init: Init,
    ) -> Result<Self, NnError> {
        if heads.is_empty() {
            return Err(NnError::Config { field: "heads", expected: "at least one", got: "none".into() });
        }
        let encoder_name = format!("{prefix}encoder");
        let mut encoder = config
            .encoder
            .build(builder, &encoder_name, observation, init)
            .map_err(|error| error.within("encoder"))?;
        let mut parts = vec![(encoder_name, encoder.iter().map(|layer| layer.describe()).collect())];
        let mut features = encoder.last().map_or(observation.len(), |layer| layer.outputs());
        let memory_name = format!("{prefix}memory");
        let memory = Memory::new(builder, &memory_name, features, &config.memory)
            .map_err(|error| error.within("memory"))?;
        if let Some(memory) = &memory {
            features = memory.outputs();
            parts.push((memory_name, memory.describe()));
        }
        let mut noisy = Vec::new();
        let mut built_heads = Vec::new();
        for spec in heads {
            let head_init = HeadInit { hidden: init, output: spec.init };
            let built = spec.head.build(builder, &spec.name, features, &config.head, head_init);
            let mut built = built.map_err(|error| error.within("head"))?;
            noisy.append(&mut built.noisy);
            parts.push((spec.name.clone(), built.layers.iter().map(|layer| layer.describe()).collect()));
            let outputs = spec.head.outputs();
            if memory.is_none() && heads.len() == 1 {
                encoder.append(&mut built.layers);
                built_heads.push(HeadLayers { layers: None, outputs });
            } else {
                built_heads.push(HeadLayers { layers: Some(Sequential::new(built.layers)?), outputs });
            }
        }
        let encoder = if encoder.is_empty() { None } else { Some(Sequential::new(encoder)?) };
        let summary = Summary { parts };
        Ok(Self { encoder, memory, heads: built_heads, noisy, inputs: observation.len(), summary })
    }

    /// Number of values of an observation.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Number of values of a head's output row.
    ///
    /// # Panics
    /// If there is no such head.
    #[must_use]
    pub fn outputs(&self, head: usize) -> usize {
        self.heads[head].outputs
    }

    /// Number of values that are remembered of an environment; zeros are the state before an episode.
    #[must_use]
    pub fn state_len(&self) -> usize {
        self.memory.as_ref().map_or(0, Memory::state_len)
    }

    /// The layers as a table.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// What the model computes for one of its heads; `layout` has the names of its parameters.
    ///
    /// # Panics
    /// If there is no such head.
    #[must_use]
    pub fn operations(&self, head: usize, layout: &Layout) -> Vec<Operation> {
        let chain = |layers: &Option<Sequential>| {
            layers.as_ref().map_or_else(Vec::new, |layers| layers.operations(layout))
        };
        let memory = self.memory.as_ref().map_or_else(Vec::new, |memory| memory.operations(layout));
        [chain(&self.encoder), memory, chain(&self.heads[head].layers)].concat()
    }

    /// Whether layers carry noise, so that [`Self::resample_noise`] matters.
    #[must_use]
    pub fn is_noisy(&self) -> bool {
        !self.noisy.is_empty()
    }

    /// Draws the noise of noisy layers anew.
    pub fn resample_noise(&self, params: &mut Params, rng: &mut impl Rng) {
        self.noisy.iter().for_each(|layer| layer.resample(params, rng));
    }

    /// Sets the noise of noisy layers to zero, for evaluation.
    pub fn silence_noise(&self, params: &mut Params) {
        self.noisy.iter().for_each(|layer| layer.silence(params));
    }

    /// The encoder with one of the heads as a single chain, for a model without a memory.
    ///
    /// It shares the parameters: what reads one head need not compute the others.
    ///
    /// # Errors
    /// [`NnError::Config`] if the model has a memory or no such head.
    pub fn chain(&self, head: usize) -> Result<Sequential, NnError> {
        let Some(built) = self.heads.get(head) else {
            let (expected, got) = ("one of the model's heads", head.to_string());
            return Err(NnError::Config { field: "head", expected, got });
        };
        self.check_no_memory()?;
        match (&self.encoder, &built.layers) {
            (Some(encoder), Some(head)) => encoder.then(head),
            (Some(chain), None) | (None, Some(chain)) => Ok(chain.clone()),
            (None, None) => Sequential::new(Vec::new()),
        }
    }

    /// The model with only one of its heads, as its first.
    ///
    /// It shares the parameters: what reads one head need not compute the others.
    ///
    /// # Errors
    /// [`NnError::Config`] if there is no such head.
    pub fn with_head(&self, head: usize) -> Result<Self, NnError> {
        let mut one = self.clone();
        if self.memory.is_none() {
            one.encoder = Some(self.chain(head)?);
            one.heads = vec![HeadLayers { layers: None, outputs: self.heads[head].outputs }];
            return Ok(one);
        }
        let Some(built) = self.heads.get(head) else {
            let (expected, got) = ("one of the model's heads", head.to_string());
            return Err(NnError::Config { field: "head", expected, got });
        };
        one.heads = vec![built.clone()];
        Ok(one)
    }

    fn check_no_memory(&self) -> Result<(), NnError> {
        if self.memory.is_some() {
            let expected = "none where there is no sequence";
            return Err(NnError::Config { field: "memory", expected, got: "a memory".into() });
        }
        Ok(())
    }

    /// Runs a model without a memory on a batch.
    ///
    /// # Errors
    /// As the layers', and [`NnError::Config`] if the model has a memory.
    pub fn forward(&self, params: &Params, x: &Input, tape: &mut Tape) -> Result<Vec<Matrix>, NnError> {
        self.check_no_memory()?;
        self.forward_heads(params, &self.encode(params, x, tape)?, tape)
    }

    /// Runs the model on some steps of several environments, from their states before the first one.
    ///
    /// Without a memory the state is not read.
    ///
    /// # Shapes
    /// `x`: `[T·B, inputs]`, `state`: `[B, state_len]`.
    ///
    /// # Errors
    /// As the layers', and [`NnError::Length`] or [`NnError::Rows`] if state or resets do not fit the steps.
    pub fn forward_sequence(
        &self,
        params: &Params,
        x: &Input,
        state: &Matrix,
        unroll: &Unroll<'_>,
        tape: &mut Tape,
    ) -> Result<ModelOutput, NnError> {
        let features = self.encode(params, x, tape)?;
        let Some(memory) = &self.memory else {
            return Ok(ModelOutput { heads: self.forward_heads(params, &features, tape)?, state: None });
        };
        let (features, state) = memory.unroll(params, &features, state, unroll, tape)?;
        Ok(ModelOutput { heads: self.forward_heads(params, &features, tape)?, state: Some(state) })
    }

    fn encode(&self, params: &Params, x: &Input, tape: &mut Tape) -> Result<Matrix, NnError> {
        if x.columns() != self.inputs {
            return Err(NnError::Columns { name: "observation", expected: self.inputs, got: x.columns() });
        }
        match (&self.encoder, x) {
            (Some(encoder), _) => encoder.forward_input(params, x, tape),
            (None, Input::Floats(x)) => Ok(x.clone()),
            (None, Input::Bytes(_) | Input::Bits(_)) => {
                let identity = Activate::new(Activation::Identity, &[self.inputs]);
                Sequential::new(vec![identity.into()])?.forward_input(params, x, tape)
            }
        }
    }

    fn forward_heads(
        &self,
        params: &Params,
        features: &Matrix,
        tape: &mut Tape,
    ) -> Result<Vec<Matrix>, NnError> {
        let heads = self.heads.iter().map(|head| match &head.layers {
            Some(layers) => layers.forward(params, features, tape),
            None => Ok(features.clone()),
        });
        heads.collect()
    }

    /// One step of acting: no tape, and no allocation once the buffers have grown.
    ///
    /// The numbers are those of the forward pass, bit for bit.
    ///
    /// # Shapes
    /// `x`: `[batch, inputs]`, `state`: `[batch, state_len]`, moved on in place, `resets`: `[batch]` or empty for none,
    /// `out`: `[batch, outputs]` for each head.
    ///
    /// # Errors
    /// [`NnError::Empty`] if `batch` is zero, [`NnError::Length`] if a slice has the wrong length or `packed` was made of
    /// another model.
    pub fn infer<'a>(
        &self,
        packed: &PackedModel,
        x: impl Into<Rows<'a>>,
        batch: usize,
        memory: &mut MemoryState<'_>,
        scratch: &mut ModelScratch,
        out: &mut [&mut [f32]],
    ) -> Result<(), NnError> {
        let x = x.into();
        check_length("outputs", self.heads.len(), out.len())?;
        check_length("packed heads", self.heads.len(), packed.heads.len())?;
        let ModelScratch { layers, features, remembered } = scratch;
        if let ([head], [out], Some(encoder), None) =
            (&self.heads[..], &mut *out, &self.encoder, &self.memory)
            && head.layers.is_none()
        {
            let Some(packed) = &packed.encoder else {
                return Err(NnError::Length { name: "packed weights", expected: 1, got: 0 });
            };
            return encoder.infer(packed, x, batch, layers, out);
        }
        match (&self.encoder, &packed.encoder) {
            (Some(encoder), Some(packed)) => {
                features.resize(batch * encoder.outputs(), 0.0);
                encoder.infer(packed, x, batch, layers, features)?;
            }
            _ => {
                check_length("input", batch * self.inputs, x.len())?;
                features.resize(x.len(), 0.0);
                x.block(self.inputs, &(0..batch), |x| features.copy_from_slice(x));
            }
        }
        let mut input = &*features;
        if let (Some(memory_layers), Some(packed)) = (&self.memory, &packed.memory) {
            remembered.resize(batch * memory_layers.outputs(), 0.0);
            memory_layers.step(packed, features, memory.resets, memory.state, remembered)?;
            input = remembered;
        }
        for ((head, packed), out) in self.heads.iter().zip(&packed.heads).zip(out) {
            match (&head.layers, packed) {
                (Some(head), Some(packed)) => head.infer(packed, input, batch, layers, out)?,
                _ => {
                    check_length("output", input.len(), out.len())?;
                    out.copy_from_slice(input);
                }
            }
        }
        Ok(())
    }
}

/// The memory of the environments that a model acts in.
#[derive(Debug)]
pub struct MemoryState<'a> {
    /// `[batch, state_len]`.
    pub state: &'a mut [f32],
    /// Where an episode begins with this step, `[batch]`.
    pub resets: &'a [bool],
}

impl MemoryState<'_> {
    /// Of a model without a memory.
    #[must_use]
    pub fn none() -> Self {
        Self { state: &mut [], resets: &[] }
    }
}

/// A model's weights in the order in which acting reads them.
#[derive(Debug, Clone)]
pub struct PackedModel {
    encoder: Option<Packed>,
    memory: Option<PackedMemory>,
    heads: Vec<Option<Packed>>,
}

impl PackedModel {
    /// Copies the model's weights out of `params`.
    ///
    /// # Errors
    /// [`NnError::Length`] if `params` belong to another network.
    pub fn new(model: &Model, params: &Params) -> Result<Self, NnError> {
        let pack = |layers: &Option<Sequential>| {
            layers.as_ref().map(|layers| Packed::new(layers, params)).transpose()
        };
        Ok(Self {
            encoder: pack(&model.encoder)?,
            memory: model.memory.as_ref().map(|memory| PackedMemory::new(memory, params)).transpose()?,
            heads: model.heads.iter().map(|head| pack(&head.layers)).collect::<Result<_, _>>()?,
        })
    }
}

/// Working memory of [`Model::infer`]: one for each thread, for any models.
#[derive(Debug, Default)]
pub struct ModelScratch {
    layers: Scratch,
    features: Vec<f32>,
    remembered: Vec<f32>,
}
