//! Multi-head attention with its projections.

use std::rc::Rc;

use super::heads::{Order, Shape};
use super::mask::AttentionMask;
use super::position::Angles;
use super::tokens::{Projected, Tokens};
use crate::error::NnError;
use crate::init::Init;
use crate::layer::LayerSummary;
use crate::linear::{Activation, Linear};
use crate::matrix::Matrix;
use crate::params::{LayoutBuilder, ParamRange, Params};
use crate::sequential::Sequential;
use crate::tape::Tape;

/// Multi-head attention of tokens to their own sequence.
///
/// `y = concat_h(softmax(q_h k_hᵀ / √d + mask) v_h) W_outᵀ + b_out` with `[q, k, v] = x W_inᵀ + b_in` and `d = E / heads`.
///
/// # Shapes
/// `x`, `y`: `[B, L, E]` as `B · L` rows. `in_proj_weight`: `[3E, E]`, `in_proj_bias`: `[3E]`, `out_proj.weight`:
/// `[E, E]`, `out_proj.bias`: `[E]`.
///
/// # Source
/// `torch.nn.MultiheadAttention` (PyTorch 2.9); Vaswani et al. 2017, arXiv:1706.03762, section 3.2.
///
/// # Deviations
/// 1. There is no dropout.
/// 2. A query whose keys are all masked gets weights of zero, where PyTorch has NaN.
#[derive(Debug, Clone)]
#[doc(alias = "MultiheadAttention")]
pub struct SelfAttention {
    input: Sequential,
    output: Sequential,
    heads: usize,
}

/// Multi-head attention of one batch of sequences to another, which gives keys and values.
///
/// # Shapes
/// As [`SelfAttention`]; the other sequences: `[B, K, E]` as `B · K` rows.
///
/// # Source
/// As [`SelfAttention`], with `key = value`.
///
/// # Deviations
/// As [`SelfAttention`].
#[derive(Debug, Clone)]
#[doc(alias = "MultiheadAttention")]
pub struct CrossAttention {
    queries: Sequential,
    keys_values: Sequential,
    output: Sequential,
    heads: usize,
}

/// Where the parameters of an attention layer lie.
pub(super) struct Projections {
    in_weight: ParamRange,
    in_bias: ParamRange,
    pub(super) output: Linear,
    width: usize,
}

impl Projections {
    /// Adds the parameters, initialised as PyTorch's.
    pub(super) fn new(
        builder: &mut LayoutBuilder,
        name: &str,
        width: usize,
        heads: usize,
    ) -> Result<Self, NnError> {
        if heads == 0 || width == 0 || !width.is_multiple_of(heads) {
            let got = format!("{heads} heads of a width of {width}");
            return Err(NnError::Config {
                field: "heads",
                expected: "at least 1 and a divisor of the width",
                got,
            });
        }
        // √(6 / (E + 3E)), PyTorch's xavier_uniform_ of the whole matrix.
        let xavier = Init::KaimingUniform { a: 1.732_050_8 };
        let in_weight =
            builder.add_transposed(&format!("{name}.in_proj_weight"), &[3 * width, width], xavier);
        let in_bias = builder.add(&format!("{name}.in_proj_bias"), &[3 * width], Init::Zeros);
        let inits = [Init::PYTORCH_LINEAR, Init::Zeros];
        let name = format!("{name}.out_proj");
        let output = Linear::with_inits(builder, &name, [width; 2], Activation::Identity, inits);
        Ok(Self { in_weight, in_bias, output, width })
    }

    /// The projection to some of queries (0), keys (1) and values (2).
    pub(super) fn input(&self, parts: std::ops::Range<usize>) -> Linear {
        Linear::part(&self.in_weight, &self.in_bias, parts.start * self.width..parts.end * self.width)
    }
}

/// Checks that a matrix holds `batch` sequences of one length; returns the length.
pub(super) fn sequence_len(name: &'static str, x: &Matrix, batch: usize) -> Result<usize, NnError> {
    if batch == 0 || !x.rows().is_multiple_of(batch) {
        let got = format!("{} rows of {name} in {batch} sequences", x.rows());
        return Err(NnError::Config { field: "batch", expected: "a divisor of the number of rows", got });
    }
    Ok(x.rows() / batch)
}

impl SelfAttention {
    /// Adds the layer's parameters to a layout.
    ///
    /// # Errors
    /// [`NnError::Config`] unless `heads` divides `width`, both at least one.
    ///
    /// # Panics
    /// If a name is taken.
    pub fn new(builder: &mut LayoutBuilder, name: &str, width: usize, heads: usize) -> Result<Self, NnError> {
        let projections = Projections::new(builder, name, width, heads)?;
        let input = Sequential::new(vec![projections.input(0..3).into()])?;
        Ok(Self { input, output: Sequential::new(vec![projections.output.into()])?, heads })
    }

    /// Attends on a tape.
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
        self.run(params, x, batch, mask, None, None, tape)
    }

    /// As [`Self::forward`], and rotates queries and keys by the tokens' places, see
    /// [`Position::Rotary`](super::Position::Rotary).
    ///
    /// # Errors
    /// As [`Self::forward`], and [`NnError::Config`] if the heads' width is odd.
    pub fn forward_rotary(
        &self,
        params: &Params,
        x: &Matrix,
        batch: usize,
        mask: &AttentionMask<'_>,
        tape: &mut Tape,
    ) -> Result<Matrix, NnError> {
        let head_width = self.output.inputs() / self.heads;
        check_rotary(head_width)?;
        let len = sequence_len("input", x, batch)?;
        let positions: Rc<[u32]> = (0..x.rows()).map(|row| (row % len) as u32).collect();
        self.run(params, x, batch, mask, Some((Angles::new(head_width), positions)), None, tape)
    }

    /// As [`Self::forward`], and returns the attention weights, through which gradients flow as well.
    ///
    /// # Shapes
    /// The weights: `[B, heads, L, L]` as `B · heads · L` rows, a row for each query.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn forward_with_weights(
        &self,
        params: &Params,
        x: &Matrix,
        batch: usize,
        mask: &AttentionMask<'_>,
        tape: &mut Tape,
    ) -> Result<(Matrix, Matrix), NnError> {
        let len = sequence_len("input", x, batch)?;
        let mut weights = self.tokens(batch, len, None).weights()?;
        let out = self.run(params, x, batch, mask, None, Some(&mut weights), tape)?;
        Ok((out, weights))
    }

    #[expect(clippy::too_many_arguments, reason = "what its callers have, and two choices")]
    fn run(
        &self,
        params: &Params,
        x: &Matrix,
        batch: usize,
        mask: &AttentionMask<'_>,
        rotary: Option<(Angles, Rc<[u32]>)>,
        weights: Option<&mut Matrix>,
        tape: &mut Tape,
    ) -> Result<Matrix, NnError> {
        let len = sequence_len("input", x, batch)?;
        mask.check(batch, len, len)?;
        let qkv = self.input.forward(params, x, tape)?;
        let tokens = self.tokens(batch, len, rotary);
        let projected = Projected::Joint(&qkv);
        let rows = tokens.gather(projected);
        let context = tokens.attend(params, projected, rows, mask, weights, tape)?;
        self.output.forward(params, &context, tape)
    }

    fn tokens(&self, batch: usize, len: usize, rotary: Option<(Angles, Rc<[u32]>)>) -> Tokens {
        let shape = Shape { batch, queries: len, keys: len, heads: self.heads, width: self.output.inputs() };
        Tokens { shape, order: Order::SequenceFirst, rotary, carried: 0 }
    }

    /// The layer's line of a summary; its operations are those of a token in a sequence of `len`.
    #[must_use]
    pub fn describe(&self, len: usize) -> LayerSummary {
        describe("SelfAttention", &[&self.input, &self.output], self.output.inputs(), self.heads, len)
    }
}

impl CrossAttention {
    /// Adds the layer's parameters to a layout, with the names and shapes of [`SelfAttention`].
    ///
    /// # Errors
    /// [`NnError::Config`] unless `heads` divides `width`, both at least one.
    ///
    /// # Panics
    /// If a name is taken.
    pub fn new(builder: &mut LayoutBuilder, name: &str, width: usize, heads: usize) -> Result<Self, NnError> {
        let projections = Projections::new(builder, name, width, heads)?;
        Ok(Self {
            queries: Sequential::new(vec![projections.input(0..1).into()])?,
            keys_values: Sequential::new(vec![projections.input(1..3).into()])?,
            output: Sequential::new(vec![projections.output.into()])?,
            heads,
        })
    }

    /// Attends to another batch of sequences on a tape; returns the output and the attention weights.
    ///
    /// # Shapes
    /// `x`: `[B, L, E]` as `B · L` rows, `others`: `[B, K, E]` as `B · K` rows; returns `[B, L, E]`, and
    /// `[B, heads, L, K]` as `B · heads · L` rows.
    ///
    /// # Errors
    /// [`NnError::Config`] unless `batch` divides the rows of both, [`NnError::Columns`] if one has another width,
    /// [`NnError::Length`] if the mask is of another size or `params` belong to another network.
    pub fn forward(
        &self,
        params: &Params,
        x: &Matrix,
        others: &Matrix,
        batch: usize,
        mask: &AttentionMask<'_>,
        tape: &mut Tape,
    ) -> Result<(Matrix, Matrix), NnError> {
        let (queries, keys) = (sequence_len("input", x, batch)?, sequence_len("others", others, batch)?);
        mask.check(batch, queries, keys)?;
        let q = self.queries.forward(params, x, tape)?;
        let kv = self.keys_values.forward(params, others, tape)?;
        let shape = Shape { batch, queries, keys, heads: self.heads, width: self.output.inputs() };
        let tokens = Tokens { shape, order: Order::SequenceFirst, rotary: None, carried: 0 };
        let projected = Projected::Split(&q, &kv);
        let rows = tokens.gather(projected);
        let mut weights = tokens.weights()?;
        let context = tokens.attend(params, projected, rows, mask, Some(&mut weights), tape)?;
        Ok((self.output.forward(params, &context, tape)?, weights))
    }

    /// The layer's line of a summary; its operations are those of a token and of one of `len` others.
    #[must_use]
    pub fn describe(&self, len: usize) -> LayerSummary {
        let layers = [&self.queries, &self.keys_values, &self.output];
        describe("CrossAttention", &layers, self.output.inputs(), self.heads, len)
    }
}

/// Rotations turn pairs of columns.
pub(super) fn check_rotary(head_width: usize) -> Result<(), NnError> {
    if head_width.is_multiple_of(2) {
        return Ok(());
    }
    let expected = "an even number for each head if positions are rotary";
    Err(NnError::Config { field: "width", expected, got: head_width.to_string() })
}

/// Projections, and for each of `len` keys a product for the score and one for the output.
fn describe(name: &str, layers: &[&Sequential], width: usize, heads: usize, len: usize) -> LayerSummary {
    let lines: Vec<LayerSummary> = layers.iter().flat_map(|layer| layer.summary()).collect();
    LayerSummary {
        layer: format!("{name}({width}, {heads} heads)"),
        output_shape: vec![width],
        parameters: lines.iter().map(|line| line.parameters).sum(),
        flops: lines.iter().map(|line| line.flops).sum::<u64>() + attention_flops(width, len),
    }
}

/// Operations of one query's attention to `len` keys.
pub(super) fn attention_flops(width: usize, len: usize) -> u64 {
    4 * (len * width) as u64
}
