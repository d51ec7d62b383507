//! GPT over steps of several tokens: a causal transformer whose sequences interleave tokens of different kinds.
//!
//! ```text
//! parts of a step ─► embeddings ─► + the step's position ─► norm ─► blocks ─► norm ─► head
//! ```
//!
//! A sequence is at most `window` steps long. [`Gpt::forward`] runs whole sequences on a tape, to learn; [`Gpt::extend`] goes on
//! with sequences that grow token by token, with the same bits: keys and values of tokens that have been seen are kept in the
//! sequence's state while it fits its window. Where the oldest step has to go, what the other tokens had attended to goes with
//! it, and the window is computed anew: that of a cache which slides would be something else in every block but the first.

mod rows;
#[cfg(test)]
mod tests;
mod window;

use std::rc::Rc;
use std::sync::Arc;

use crate::attention::{AttentionMask, BlockConfig, Encoding, Position, TransformerBlock};
use crate::embedding::OneHot;
use crate::error::NnError;
use crate::init::Init;
use crate::input::Input;
use crate::layer::Layer;
use crate::linear::{Activation, Linear};
use crate::matrix::{Matrix, check_length};
use crate::memory::{Ring, TransformerConfig};
use crate::model::{EncoderConfig, HeadConfig, HeadInit, HeadSpec, Observation, Summary};
use crate::norm::Norm;
use crate::params::{LayoutBuilder, Params};
use crate::sequential::Sequential;
use crate::tape::Tape;
use rows::{interleave, pick};
pub use window::{GptTokens, PackedGpt};

/// A kind of token: every step has one of each.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenKind {
    /// What its parameters' names begin with.
    pub name: String,
    /// What it is made of.
    pub observation: Observation,
    /// From that to features, which a linear map makes a token of.
    pub encoder: EncoderConfig,
}

/// A GPT with one head, which reads the outputs of one kind of token.
///
/// # Shapes
/// `B` sequences of `T` steps, at most `window`, of `M` kinds of tokens of width `E`. Parameters: of each kind
/// `<prefix><kind>.encoder.*` and the linear map `<prefix><kind>.weight` and `.bias`; `<prefix>position.weight` if positions are
/// learned; `<prefix>norm_in.*`; `<prefix>layers.0.*`, … as [`TransformerBlock::pre_norm`]'s; `<prefix>norm.*`; the head's under
/// its own name.
///
/// # Source
/// Radford et al. 2019 (GPT-2) for the blocks; Chen et al. 2021, arXiv:2106.01345, for tokens of several kinds that share a
/// step's position, and for the norm before the blocks.
///
/// # Deviations
/// 1. There is no dropout.
/// 2. Weights start as PyTorch's linear layers do, not from a normal distribution of deviation 0.02.
#[derive(Debug, Clone)]
#[doc(alias = "GPT2Model", alias = "DecisionTransformer")]
pub struct Gpt {
    /// From each kind's part to its token.
    embeddings: Vec<Sequential>,
    position: Encoding,
    norm: Sequential,
    blocks: Vec<TransformerBlock>,
    /// With the norm before it.
    head: Sequential,
    /// Which kind of token it reads.
    read: usize,
    /// Of all tokens of a window.
    ring: Ring,
    /// Steps of a window.
    window: usize,
    summary: Summary,
}

/// Sequences that learning runs on, all padded to the same number of steps.
#[derive(Debug, Clone, Copy)]
pub struct GptInput<'a> {
    /// Of each kind of token what it is made of, `[B · T, ·]`: step `t` of sequence `b` in row `b · T + t`.
    pub parts: &'a [Input],
    /// `[B · T]`: the position of each step.
    pub positions: &'a [u32],
    /// `B`.
    pub sequences: usize,
    /// The rows, of the `B · T`, whose outputs are wanted, increasing. What follows the last wanted step of a sequence is
    /// padding: it has no say in anything.
    pub wanted: &'a [u32],
}

impl Gpt {
    /// Adds the parameters to a layout.
    ///
    /// `init` is that of embeddings and hidden layers of the head. The prefix is empty or ends with a dot.
    ///
    /// # Errors
    /// [`NnError::Config`] if a size is out of its bounds, an encoder does not suit its observation, positions are rotary (the
    /// tokens of a step are at the same place), there are no kinds, or the head reads one that there is not.
    ///
    /// # Panics
    /// If two kinds have the same name.
    pub fn new(
        builder: &mut LayoutBuilder,
        prefix: &str,
        kinds: &[TokenKind],
        config: &TransformerConfig,
        (read, head, head_config): (usize, &HeadSpec, &HeadConfig),
        init: Init,
    ) -> Result<Self, NnError> {
        let &TransformerConfig { layers, heads, width, feed_forward, window, position } = config;
        let refused = |field, expected, got| NnError::Config { field, expected, got }.within("memory");
        for (field, value) in [
            ("layers", layers),
            ("heads", heads),
            ("width", width),
            ("feed_forward", feed_forward),
            ("window", window),
        ] {
            if value == 0 {
                return Err(refused(field, "at least 1", "0".to_owned()));
            }
        }
        if position == Position::Rotary {
            let expected = "none, learned or sinusoidal: the tokens of a step share its place";
            return Err(refused("position", expected, "rotary".to_owned()));
        }
        if read >= kinds.len() {
            let (expected, got) = ("one of the kinds of tokens", format!("{read} of {}", kinds.len()));
            return Err(NnError::Config { field: "read", expected, got });
        }
        let Some(tokens) = window.checked_mul(kinds.len()) else {
            let expected = "a number of tokens that memory has room for";
            return Err(refused("window", expected, window.to_string()));
        };
        let mut parts = Vec::new();
        let embeddings = kinds.iter().map(|kind| {
            let name = format!("{prefix}{}", kind.name);
            let chain = kind.build(builder, &name, width, init).map_err(|error| error.within("encoder"))?;
            parts.push((name, chain.summary()));
            Ok(chain)
        });
        let embeddings = embeddings.collect::<Result<_, NnError>>()?;
        let name = format!("{prefix}position");
        let position = Encoding::new(builder, &name, position, (width, heads));
        let position = position.map_err(|error| error.within("memory"))?;
        parts.extend(position.describe().map(|line| (name, vec![line])));
        let norm = Norm::layer(builder, &format!("{prefix}norm_in"), width, Norm::LAYER_EPS);
        let norm = Sequential::new(vec![norm.into()])?;
        parts.push((format!("{prefix}norm_in"), norm.summary()));
        let block = BlockConfig { width, heads, feed_forward, activation: Activation::Gelu };
        let blocks = (0..layers)
            .map(|layer| TransformerBlock::pre_norm(builder, &format!("{prefix}layers.{layer}"), &block));
        let blocks = blocks.collect::<Result<Vec<_>, _>>().map_err(|error| error.within("memory"))?;
        parts.push((format!("{prefix}layers"), blocks.iter().map(|block| block.describe(tokens)).collect()));
        let last: Arc<dyn Layer> =
            Norm::layer(builder, &format!("{prefix}norm"), width, Norm::LAYER_EPS).into();
        let inits = HeadInit { hidden: init, output: head.init };
        let built = head.head.build(builder, &head.name, width, head_config, inits);
        let built = built.map_err(|error| error.within("head"))?;
        let head_chain = Sequential::new(std::iter::once(last).chain(built.layers).collect())?;
        parts.push((head.name.clone(), head_chain.summary()));
        let ring = Ring { window: tokens, width, heads };
        let summary = Summary { parts };
        Ok(Self { embeddings, position, norm, blocks, head: head_chain, read, ring, window, summary })
    }

    /// Steps of a sequence, at most.
    #[must_use]
    pub fn window(&self) -> usize {
        self.window
    }

    /// `E`, the number of values of a token.
    #[must_use]
    pub fn width(&self) -> usize {
        self.ring.width
    }

    /// Number of values that the head puts out.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.head.outputs()
    }

    /// The layers as a table; the operations of a block are those of a token at the end of a full window.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Number of kinds of tokens, `M`.
    fn kinds(&self) -> usize {
        self.embeddings.len()
    }

    /// Runs sequences on a tape; gives the head's outputs of the wanted steps, `[wanted, outputs]`.
    ///
    /// A token attends to those before it in its sequence, and to itself: an output depends on the parts of its step up to the
    /// kind that the head reads, and on all parts of the steps before.
    ///
    /// # Errors
    /// [`NnError::Config`] if sequences are longer than the window, have not all the same length, or a wanted row is none of
    /// theirs; [`NnError::Length`] or [`NnError::Columns`] if parts or positions are of other sizes, or `params` belong to
    /// another network.
    pub fn forward(&self, params: &Params, x: &GptInput<'_>, tape: &mut Tape) -> Result<Matrix, NnError> {
        self.check(x)?;
        let kinds = self.kinds();
        let parts = self.embeddings.iter().zip(x.parts);
        let parts = parts.map(|(embedding, part)| embedding.forward_input(params, part, tape));
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let mut tokens = interleave(params, &parts, tape)?;
        let positions = x.positions.iter().flat_map(|&position| std::iter::repeat_n(position, kinds));
        let positions: Rc<[u32]> = positions.collect();
        tokens = self.position.encode(params, tokens, &positions, tape)?;
        tokens = self.norm.forward(params, &tokens, tape)?;
        let mask = AttentionMask::none().causal();
        for block in &self.blocks {
            tokens = block.forward(params, &tokens, x.sequences, &mask, tape)?;
        }
        let wanted: Rc<[u32]> = x.wanted.iter().map(|&row| row * kinds as u32 + self.read as u32).collect();
        let read = pick(params, &tokens, &wanted, tape)?;
        self.head.forward(params, &read, tape)
    }

    fn check(&self, x: &GptInput<'_>) -> Result<(), NnError> {
        check_length("parts", self.kinds(), x.parts.len())?;
        let rows = x.positions.len();
        x.parts.iter().try_for_each(|part| check_length("rows of a part", rows, part.rows()))?;
        if x.sequences == 0 || !rows.is_multiple_of(x.sequences) {
            let got = format!("{rows} steps in {} sequences", x.sequences);
            return Err(NnError::Config { field: "sequences", expected: "a divisor of the steps", got });
        }
        let steps = rows / x.sequences;
        if steps > self.window {
            let (expected, got) = ("no more steps than the window", format!("{steps} of {}", self.window));
            return Err(NnError::Config { field: "steps", expected, got });
        }
        if let Some(row) = x.wanted.iter().find(|row| **row as usize >= rows) {
            let (expected, got) = ("rows of the sequences", format!("{row} of {rows}"));
            return Err(NnError::Config { field: "wanted", expected, got });
        }
        Ok(())
    }
}

impl TokenKind {
    /// The layers from what it is made of to its token.
    fn build(
        &self,
        builder: &mut LayoutBuilder,
        name: &str,
        width: usize,
        init: Init,
    ) -> Result<Sequential, NnError> {
        let mut layers = self.encoder.build(builder, &format!("{name}.encoder"), &self.observation, init)?;
        if let (true, Observation::Discrete(nvec)) = (layers.is_empty(), &self.observation) {
            layers.push(OneHot::new(nvec).into());
        }
        let features = layers.last().map_or(self.observation.len(), |layer| layer.outputs());
        layers.push(Linear::new(builder, name, features, width, Activation::Identity, init).into());
        Sequential::new(layers)
    }
}
