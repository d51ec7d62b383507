//! What an agent remembers from step to step: recurrent layers and transformers behind one interface.
//!
//! The state of an environment is one flat row of numbers, zeros at the start of an episode. [`Memory::forward`] runs
//! whole sequences on a tape, to learn; [`Memory::step`] runs one step of each environment, to act, with the same bits.

mod ring;
mod stack;
#[cfg(test)]
mod tests;

use agon_policy::Operation;
use serde::{Deserialize, Serialize};

pub(crate) use self::ring::Ring;
use self::stack::{PackedStack, Stack};
use crate::attention::Position;
use crate::error::NnError;
use crate::kernels::AlignedBuffer;
use crate::layer::LayerSummary;
use crate::matrix::{Matrix, check_length};
use crate::params::{Layout, LayoutBuilder, Params};
use crate::recurrent::{Cell, Recurrent, RecurrentInit, Unroll};
use crate::tape::Tape;

/// What is remembered from step to step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum MemoryConfig {
    /// Nothing.
    #[default]
    None,
    /// Elman's recurrent network, see [`Cell::Rnn`].
    Rnn {
        /// Number of hidden values, at least 1.
        #[serde(default = "hidden_values")]
        hidden: usize,
        /// How the weights start.
        #[serde(default)]
        init: RecurrentInit,
    },
    /// A gated recurrent unit, see [`Cell::Gru`].
    Gru {
        /// Number of hidden values, at least 1.
        #[serde(default = "hidden_values")]
        hidden: usize,
        /// How the weights start.
        #[serde(default)]
        init: RecurrentInit,
    },
    /// A long short-term memory, see [`Cell::Lstm`].
    Lstm {
        /// Number of hidden values, at least 1.
        #[serde(default = "hidden_values")]
        hidden: usize,
        /// How the weights start.
        #[serde(default)]
        init: RecurrentInit,
    },
    /// Transformer blocks with residual sums and GELU, and a norm at the end.
    Transformer(TransformerConfig),
    /// Blocks of the gated transformer, with ReLU.
    Gtrxl(TransformerConfig),
}

/// As many as CleanRL's `ppo_atari_lstm.py` has.
fn hidden_values() -> usize {
    128
}

/// The sizes of a transformer that attends to the last steps of an episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TransformerConfig {
    /// Number of blocks, at least 1.
    pub layers: usize,
    /// Attention heads of a block, at least 1.
    pub heads: usize,
    /// Number of values of a token, and of the output; a multiple of `heads`.
    pub width: usize,
    /// Hidden units of a block's feed-forward network, at least 1.
    pub feed_forward: usize,
    /// How many steps a step attends to in each block, its own included, at least 1.
    pub window: usize,
    /// How a step knows its place in the episode.
    pub position: Position,
}

impl Default for TransformerConfig {
    /// Two blocks of width 64 that attend to 64 steps.
    fn default() -> Self {
        Self { layers: 2, heads: 4, width: 64, feed_forward: 256, window: 64, position: Position::Rotary }
    }
}

/// A memory: where its parameters lie, and its sizes.
///
/// # Shapes
/// `T` steps of `B` environments: `x`: `[T, B, F]`, `y`: `[T, B, H]`, `resets`: `[T, B]`, states: `[B, S]`. A state's
/// row holds, of a recurrent memory, the hidden values, and after them the cell's of an LSTM; of a transformer, the
/// number of steps since the episode began, and for each block the keys `[H, window]` and the values `[window, H]` of
/// the last steps, step `p` of the episode at place `p % window`. It counts up to 2²⁴ steps of an episode.
#[derive(Debug, Clone)]
pub struct Memory {
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Recurrent(Box<Recurrent>),
    Stack(Box<Stack>),
}

impl Memory {
    /// Adds the memory's parameters to a layout; nothing if the configuration asks for none.
    ///
    /// Recurrent parameters are named as [`Recurrent`]'s, `<prefix>.weight_ih_l0`, …; a transformer's are
    /// `<prefix>.input.*`, `<prefix>.position.weight` if it is learned, `<prefix>.layers.0.*`, … as
    /// [`crate::TransformerBlock`]'s, and `<prefix>.norm.*`.
    ///
    /// # Errors
    /// [`NnError::Config`] if a size is out of its bounds.
    ///
    /// # Panics
    /// If `inputs` is zero or a name is taken.
    pub fn new(
        builder: &mut LayoutBuilder,
        prefix: &str,
        inputs: usize,
        config: &MemoryConfig,
    ) -> Result<Option<Self>, NnError> {
        let recurrent = |builder, cell, hidden, init| match (hidden, init) {
            (0, _) => Err(NnError::Config { field: "hidden", expected: "at least 1", got: "0".to_owned() }),
            (_, RecurrentInit::Chrono { longest }) if longest < 2 || cell == Cell::Rnn => {
                Err(NnError::Config {
                    field: "init",
                    expected: "chrono of at least 2, for a GRU or LSTM",
                    got: format!("chrono of {longest} for {cell:?}"),
                })
            }
            _ => Ok(Kind::Recurrent(Box::new(Recurrent::new(builder, prefix, cell, inputs, hidden, init)))),
        };
        let kind = match *config {
            MemoryConfig::None => return Ok(None),
            MemoryConfig::Rnn { hidden, init } => recurrent(builder, Cell::Rnn, hidden, init)?,
            MemoryConfig::Gru { hidden, init } => recurrent(builder, Cell::Gru, hidden, init)?,
            MemoryConfig::Lstm { hidden, init } => recurrent(builder, Cell::Lstm, hidden, init)?,
            MemoryConfig::Transformer(config) => {
                Kind::Stack(Box::new(Stack::new(builder, prefix, inputs, &config, false)?))
            }
            MemoryConfig::Gtrxl(config) => {
                Kind::Stack(Box::new(Stack::new(builder, prefix, inputs, &config, true)?))
            }
        };
        Ok(Some(Self { kind }))
    }

    /// `F`, the number of values that a step reads.
    #[must_use]
    pub fn inputs(&self) -> usize {
        match &self.kind {
            Kind::Recurrent(layer) => layer.inputs,
            Kind::Stack(stack) => stack.inputs(),
        }
    }

    /// `H`, the number of values that a step puts out.
    #[must_use]
    pub fn outputs(&self) -> usize {
        match &self.kind {
            Kind::Recurrent(layer) => layer.hidden,
            Kind::Stack(stack) => stack.width(),
        }
    }

    /// `S`, the number of values of an environment's state.
    #[must_use]
    pub fn state_len(&self) -> usize {
        match &self.kind {
            Kind::Recurrent(layer) => layer.state_len(),
            Kind::Stack(stack) => stack.state_len(),
        }
    }

    /// A line for each layer; operations are those of one step of one environment, of a transformer with a full window.
    #[must_use]
    pub fn describe(&self) -> Vec<LayerSummary> {
        match &self.kind {
            Kind::Recurrent(layer) => vec![layer.describe()],
            Kind::Stack(stack) => stack.describe(),
        }
    }

    /// What the memory computes of a step; `layout` has the names of its parameters.
    #[must_use]
    pub fn operations(&self, layout: &Layout) -> Vec<Operation> {
        match &self.kind {
            Kind::Recurrent(layer) => vec![layer.operation(layout)],
            Kind::Stack(stack) => vec![stack.operation(layout)],
        }
    }

    /// Runs sequences on a tape; returns the outputs and the last state.
    ///
    /// A state is set to zeros before each step whose flag in `resets` is set. Gradients flow inside the sequences and
    /// into `x`; into and out of the states only if they are recurrent: the keys and values that a transformer carries
    /// are constants, as in Transformer-XL.
    ///
    /// # Shapes
    /// `x`: `[T · B, F]`, `state`: `[B, S]`, `resets`: `[T · B]`, or empty for none; returns `[T · B, H]` and `[B, S]`.
    ///
    /// # Errors
    /// [`NnError::Columns`] or [`NnError::Rows`] if a matrix has another size, [`NnError::Length`] if `resets` have or
    /// `params` belong to another network, [`NnError::Config`] if `steps` is zero.
    pub fn forward(
        &self,
        params: &Params,
        x: &Matrix,
        steps: usize,
        state: &Matrix,
        resets: &[bool],
        tape: &mut Tape,
    ) -> Result<(Matrix, Matrix), NnError> {
        self.unroll(params, x, state, &Unroll::new(steps).resets(resets), tape)
    }

    /// As [`Self::forward`], with truncated backpropagation through time where `unroll` asks for it.
    ///
    /// # Errors
    /// As [`Self::forward`], and [`NnError::Config`] for a transformer with truncation: nothing flows between its states.
    pub fn unroll(
        &self,
        params: &Params,
        x: &Matrix,
        state: &Matrix,
        unroll: &Unroll<'_>,
        tape: &mut Tape,
    ) -> Result<(Matrix, Matrix), NnError> {
        match &self.kind {
            Kind::Recurrent(layer) => layer.forward(params, x, state, unroll, tape),
            Kind::Stack(stack) => stack.forward(params, x, state, unroll, tape),
        }
    }

    /// Runs one step of each environment without a tape; the results are bit for bit those of [`Self::forward`].
    ///
    /// # Shapes
    /// `x`: `[B, F]`, `resets`: `[B]`, or empty for none, `state`: `[B, S]`, `out`: `[B, H]`.
    ///
    /// # Errors
    /// [`NnError::Empty`] without environments, [`NnError::Length`] if a slice has the wrong length or `packed` was
    /// made of another network.
    pub fn step(
        &self,
        packed: &PackedMemory,
        x: &[f32],
        resets: &[bool],
        state: &mut [f32],
        out: &mut [f32],
    ) -> Result<(), NnError> {
        let batch = x.len() / self.inputs();
        match (&self.kind, &packed.kind) {
            (Kind::Recurrent(layer), PackedKind::Recurrent(packed)) => {
                layer.step(packed, x, batch, resets, state, out)
            }
            (Kind::Stack(stack), PackedKind::Stack(packed)) => {
                stack.step(packed, x, batch, resets, state, out)
            }
            _ => Err(other_packed()),
        }
    }
}

/// A memory's weights in the order in which acting reads them: made once for each published snapshot.
#[derive(Debug, Clone)]
pub struct PackedMemory {
    kind: PackedKind,
}

#[derive(Clone)]
enum PackedKind {
    Recurrent(AlignedBuffer),
    Stack(Box<PackedStack>),
}

impl std::fmt::Debug for PackedKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Recurrent(_) => "Recurrent",
            Self::Stack(_) => "Stack",
        })
    }
}

impl PackedMemory {
    /// Copies the memory's weights out of `params`.
    ///
    /// # Errors
    /// [`NnError::Length`] if `params` belong to another network.
    pub fn new(memory: &Memory, params: &Params) -> Result<Self, NnError> {
        let kind = match &memory.kind {
            Kind::Recurrent(_) => PackedKind::Recurrent(AlignedBuffer::default()),
            Kind::Stack(stack) => PackedKind::Stack(Box::new(PackedStack::new(stack, params)?)),
        };
        let mut packed = Self { kind };
        packed.update(memory, params)?;
        Ok(packed)
    }

    /// Copies the memory's weights again, into the same memory.
    ///
    /// # Errors
    /// [`NnError::Length`] if `params` belong to another network, [`NnError::Config`] if this was made of another
    /// kind of memory.
    pub fn update(&mut self, memory: &Memory, params: &Params) -> Result<(), NnError> {
        match (&memory.kind, &mut self.kind) {
            (Kind::Recurrent(layer), PackedKind::Recurrent(packed)) => {
                packed.reserve_len(layer.packed_len());
                layer.pack(params, packed)
            }
            (Kind::Stack(stack), PackedKind::Stack(packed)) => packed.update(stack, params),
            _ => Err(other_packed()),
        }
    }
}

fn other_packed() -> NnError {
    let expected = "made of the same kind of memory";
    NnError::Config { field: "packed memory", expected, got: "another kind".to_owned() }
}

/// Checks the lengths of a step's slices.
fn check_step(
    (batch, inputs, outputs, state_len): (usize, usize, usize, usize),
    x: &[f32],
    resets: &[bool],
    state: &[f32],
    out: &[f32],
) -> Result<(), NnError> {
    crate::matrix::check_not_empty("input", batch, inputs)?;
    check_length("input", batch * inputs, x.len())?;
    check_length("state", batch * state_len, state.len())?;
    check_length("output", batch * outputs, out.len())?;
    if resets.is_empty() { Ok(()) } else { check_length("resets", batch, resets.len()) }
}
