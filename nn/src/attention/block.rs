//! Transformer blocks: attention and a feed-forward network, each with a norm before it and its input beside it.

use agon_policy::{AttentionBlock, Operation};
use serde::{Deserialize, Serialize};

use super::gate::GruGate;
use super::heads::{Order, Shape};
use super::mask::AttentionMask;
use super::multi_head::{Projections, attention_flops, sequence_len};
use super::tokens::{Projected, Tokens};
use crate::error::NnError;
use crate::init::Init;
use crate::kernels::{AlignedBuffer, Pooled, add};
use crate::layer::LayerSummary;
use crate::linear::{Activation, Linear};
use crate::matrix::Matrix;
use crate::norm::Norm;
use crate::params::{Layout, LayoutBuilder, Params};
use crate::residual::Residual;
use crate::sequential::{Packed, Scratch, Sequential};
use crate::tape::{Backward, Tape};

/// The sizes of a transformer block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockConfig {
    /// `E`, the number of values of a token; a multiple of `heads`.
    pub width: usize,
    /// Attention heads, at least 1.
    pub heads: usize,
    /// Hidden units of the feed-forward network, at least 1.
    pub feed_forward: usize,
    /// What follows the hidden units.
    pub activation: Activation,
}

/// A transformer block.
///
/// [`Self::pre_norm`]: `y = x + attention(norm1(x))`, `out = y + linear2(activation(linear1(norm2(y))))`.
///
/// [`Self::gated`]: `y = gate1(x, relu(attention(norm1(x))))`,
/// `out = gate2(y, relu(linear2(activation(linear1(norm2(y))))))`.
///
/// # Shapes
/// `[B, L, E]` as `B · L` rows to the same. Parameters: `<name>.self_attn.*` as [`super::SelfAttention`],
/// `linear1`, `linear2`, `norm1` and `norm2` with weight and bias, and of a gated block `gate1.*` and `gate2.*` as
/// [`GruGate`].
///
/// # Source
/// `torch.nn.TransformerEncoderLayer(norm_first=True)` (PyTorch 2.9) for the first; GTrXL (Parisotto et al. 2020,
/// arXiv:1910.06764, section 3) for the second.
///
/// # Deviations
/// 1. There is no dropout.
/// 2. Where GTrXL has Transformer-XL's relative encoding of positions, this block leaves them to its caller; see
///    [`super::Position`].
#[derive(Debug, Clone)]
#[doc(alias = "TransformerEncoderLayer", alias = "GTrXL")]
pub struct TransformerBlock {
    /// The norm, and the projection to queries, keys and values.
    input: Sequential,
    output: Sequential,
    /// With its residual sum unless the block is gated.
    feed_forward: Sequential,
    gates: Option<[GruGate; 2]>,
    width: usize,
    heads: usize,
}

impl TransformerBlock {
    /// A block with residual sums.
    ///
    /// # Errors
    /// [`NnError::Config`] unless `heads` divides `width`, all sizes at least one.
    ///
    /// # Panics
    /// If a name is taken.
    pub fn pre_norm(builder: &mut LayoutBuilder, name: &str, config: &BlockConfig) -> Result<Self, NnError> {
        Self::new(builder, name, config, false)
    }

    /// A block of the gated transformer.
    ///
    /// # Errors
    /// As [`Self::pre_norm`].
    ///
    /// # Panics
    /// If a name is taken.
    pub fn gated(builder: &mut LayoutBuilder, name: &str, config: &BlockConfig) -> Result<Self, NnError> {
        Self::new(builder, name, config, true)
    }

    fn new(
        builder: &mut LayoutBuilder,
        name: &str,
        config: &BlockConfig,
        gated: bool,
    ) -> Result<Self, NnError> {
        let &BlockConfig { width, heads, feed_forward, activation } = config;
        if feed_forward == 0 {
            return Err(NnError::Config {
                field: "feed_forward",
                expected: "at least 1",
                got: "0".to_owned(),
            });
        }
        let mut projections = Projections::new(builder, &format!("{name}.self_attn"), width, heads)?;
        let last = if gated { Activation::Relu } else { Activation::Identity };
        projections.output.activation = last;
        let init = Init::PYTORCH_LINEAR;
        let linear1 = Linear::new(builder, &format!("{name}.linear1"), width, feed_forward, activation, init);
        let linear2 = Linear::new(builder, &format!("{name}.linear2"), feed_forward, width, last, init);
        let norm1 = Norm::layer(builder, &format!("{name}.norm1"), width, Norm::LAYER_EPS);
        let norm2 = Norm::layer(builder, &format!("{name}.norm2"), width, Norm::LAYER_EPS);
        let layers = vec![norm2.into(), linear1.into(), linear2.into()];
        let gate =
            |builder: &mut LayoutBuilder, index| GruGate::new(builder, &format!("{name}.gate{index}"), width);
        Ok(Self {
            input: Sequential::new(vec![norm1.into(), projections.input(0..3).into()])?,
            output: Sequential::new(vec![projections.output.into()])?,
            feed_forward: if gated {
                Sequential::new(layers)?
            } else {
                Sequential::new(vec![Residual::new(layers)?.into()])?
            },
            gates: gated.then(|| [gate(builder, 1), gate(builder, 2)]),
            width,
            heads,
        })
    }

    /// Runs the block on a tape.
    ///
    /// # Shapes
    /// `x`: `[B, L, E]` as `B · L` rows; returns the same.
    ///
    /// # Errors
    /// [`NnError::Config`] unless `batch` divides the rows, [`NnError::Columns`] if `x` has another width,
    /// [`NnError::Length`] if the mask is of another size or `params` belong to another network.
    pub fn forward(
        &self,
        params: &Params,
        x: &Matrix,
        batch: usize,
        mask: &AttentionMask<'_>,
        tape: &mut Tape,
    ) -> Result<Matrix, NnError> {
        let len = sequence_len("input", x, batch)?;
        mask.check(batch, len, len)?;
        let qkv = self.project(params, x, tape)?;
        let tokens = Tokens {
            shape: self.shape(batch, len, len),
            order: Order::SequenceFirst,
            rotary: None,
            carried: 0,
        };
        let projected = Projected::Joint(&qkv);
        let rows = tokens.gather(projected);
        let context = tokens.attend(params, projected, rows, mask, None, tape)?;
        self.finish(params, x, &context, tape)
    }

    pub(crate) fn shape(&self, batch: usize, queries: usize, keys: usize) -> Shape {
        Shape { batch, queries, keys, heads: self.heads, width: self.width }
    }

    /// Queries, keys and values of the tokens.
    pub(crate) fn project(&self, params: &Params, x: &Matrix, tape: &mut Tape) -> Result<Matrix, NnError> {
        self.input.forward(params, x, tape)
    }

    /// What follows attention.
    pub(crate) fn finish(
        &self,
        params: &Params,
        x: &Matrix,
        context: &Matrix,
        tape: &mut Tape,
    ) -> Result<Matrix, NnError> {
        let attended = self.output.forward(params, context, tape)?;
        let Some([gate1, gate2]) = &self.gates else {
            let y = sum(params, x, &attended, tape)?;
            return self.feed_forward.forward(params, &y, tape);
        };
        let y = gate1.forward(params, x, &attended, tape)?;
        let fed = self.feed_forward.forward(params, &y, tape)?;
        gate2.forward(params, &y, &fed, tape)
    }

    /// What the block computes of a token.
    pub(crate) fn operation(&self, layout: &Layout) -> AttentionBlock {
        let fed = self.feed_forward.operations(layout);
        AttentionBlock {
            project: self.input.operations(layout),
            attended: self.output.operations(layout),
            // Its sum is the block's where there are no gates.
            feed_forward: match fed.as_slice() {
                [Operation::Residual { operations }] => operations.clone(),
                _ => fed,
            },
            gates: self.gates.as_ref().map(|gates| gates.each_ref().map(|gate| gate.told(layout))),
        }
    }

    /// The block's line of a summary; its operations are those of a token that attends to `len` keys.
    #[must_use]
    pub fn describe(&self, len: usize) -> LayerSummary {
        let chains = [&self.input, &self.output, &self.feed_forward];
        let chains = chains.into_iter().flat_map(|chain| chain.summary());
        let lines: Vec<LayerSummary> =
            chains.chain(self.gates.iter().flatten().map(GruGate::describe)).collect();
        let name = if self.gates.is_some() { "GtrxlBlock" } else { "TransformerBlock" };
        LayerSummary {
            layer: format!("{name}({}, {} heads)", self.width, self.heads),
            output_shape: vec![self.width],
            parameters: lines.iter().map(|line| line.parameters).sum(),
            flops: lines.iter().map(|line| line.flops).sum::<u64>() + attention_flops(self.width, len),
        }
    }
}

/// `a + b`, as one operation on the tape.
fn sum(params: &Params, a: &Matrix, b: &Matrix, tape: &mut Tape) -> Result<Matrix, NnError> {
    let out = Matrix::output(a.rows(), a.columns(), |out| {
        out.copy_from_slice(a.as_slice());
        add(out, b.as_slice());
    })?;
    tape.record(params, &[a, b], &[&out], |flow| {
        let Backward { outputs, inputs, .. } = flow;
        let Some(Some(delta)) = outputs.into_iter().next() else { return };
        for mut input in inputs.into_iter().flatten() {
            if input.fresh {
                input.fill(|target| target.copy_from_slice(delta));
            } else {
                add(input.values, delta);
            }
        }
    });
    Ok(out)
}

/// A block's weights in the order in which acting reads them.
#[derive(Clone)]
pub(crate) struct PackedBlock {
    input: Packed,
    output: Packed,
    feed_forward: Packed,
    gates: Option<[AlignedBuffer; 2]>,
}

impl PackedBlock {
    pub(crate) fn new(block: &TransformerBlock, params: &Params) -> Result<Self, NnError> {
        let mut packed = Self {
            input: Packed::new(&block.input, params)?,
            output: Packed::new(&block.output, params)?,
            feed_forward: Packed::new(&block.feed_forward, params)?,
            gates: block.gates.is_some().then(Default::default),
        };
        packed.pack_gates(block, params)?;
        Ok(packed)
    }

    /// Copies the weights again, into the same memory.
    pub(crate) fn update(&mut self, block: &TransformerBlock, params: &Params) -> Result<(), NnError> {
        self.input.update(&block.input, params)?;
        self.output.update(&block.output, params)?;
        self.feed_forward.update(&block.feed_forward, params)?;
        self.pack_gates(block, params)
    }

    fn pack_gates(&mut self, block: &TransformerBlock, params: &Params) -> Result<(), NnError> {
        for (gate, packed) in block.gates.iter().flatten().zip(self.gates.iter_mut().flatten()) {
            packed.reserve_len(gate.packed_len());
            gate.pack(params, packed)?;
        }
        Ok(())
    }
}

impl TransformerBlock {
    /// As [`Self::project`], without a tape.
    pub(crate) fn infer_project(
        &self,
        packed: &PackedBlock,
        x: &[f32],
        scratch: &mut Scratch,
        qkv: &mut [f32],
    ) -> Result<(), NnError> {
        self.input.infer(&packed.input, x, x.len() / self.width, scratch, qkv)
    }

    /// As [`Self::finish`], without a tape; replaces `x` by the block's output.
    pub(crate) fn infer_finish(
        &self,
        packed: &PackedBlock,
        x: &mut [f32],
        context: &[f32],
        scratch: &mut Scratch,
    ) -> Result<(), NnError> {
        let batch = x.len() / self.width;
        let mut memory = Pooled::take(2 * x.len());
        let (attended, y) = memory.split_at_mut(x.len());
        self.output.infer(&packed.output, context, batch, scratch, attended)?;
        let (Some([gate1, gate2]), Some([packed1, packed2])) = (&self.gates, &packed.gates) else {
            y.copy_from_slice(x);
            add(y, attended);
            return self.feed_forward.infer(&packed.feed_forward, &*y, batch, scratch, x);
        };
        gate1.infer(packed1, x, attended, y);
        let fed = attended;
        self.feed_forward.infer(&packed.feed_forward, &*y, batch, scratch, fed)?;
        gate2.infer(packed2, y, fed, x);
        Ok(())
    }
}
