//! What networks compute: a list of operations, each on the rows that the one before gives.

use serde::{Deserialize, Serialize};

use crate::activation::Activation;
use crate::compressed::Quantization;

/// A function of a row, with the names of its parameters. Images are channels-first; shapes are those of one row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Operation {
    /// `y = W x + b`.
    Linear {
        /// `[outputs, inputs]`.
        weight: String,
        /// `[outputs]`.
        bias: String,
        /// Values of `x`.
        inputs: usize,
        /// Values of `y`.
        outputs: usize,
    },
    /// A function of each value.
    Activation {
        /// Which.
        function: Activation,
    },
    /// `y = w ⊙ (x − mean x) / √(var x + eps) + b`.
    LayerNorm {
        /// `[width]`.
        weight: String,
        /// `[width]`.
        bias: String,
        /// Values of `x`.
        width: usize,
        /// Added to the variance.
        eps: f32,
    },
    /// `y = w ⊙ x / √(mean x² + eps)`.
    RmsNorm {
        /// `[width]`.
        weight: String,
        /// Values of `x`.
        width: usize,
        /// Added to the mean square.
        eps: f32,
    },
    /// A convolution over an image.
    Conv2d {
        /// `[channels, input channels / groups, kernel height, kernel width]`.
        weight: String,
        /// `[channels]`.
        bias: String,
        /// The image, `[C, H, W]`.
        input: [usize; 3],
        /// What comes out.
        output: [usize; 3],
        /// Height and width of the kernel.
        kernel: [usize; 2],
        /// Distance between patches.
        stride: [usize; 2],
        /// Zeros on both sides.
        padding: [usize; 2],
        /// Distance between the elements of a patch.
        dilation: [usize; 2],
        /// Groups of channels.
        groups: usize,
    },
    /// The largest value or the mean of each window.
    Pool2d {
        /// Whether the mean.
        average: bool,
        /// The image, `[C, H, W]`.
        input: [usize; 3],
        /// What comes out.
        output: [usize; 3],
        /// Height and width of a window.
        kernel: [usize; 2],
        /// Distance between windows.
        stride: [usize; 2],
        /// Border on both sides, which never is a maximum and counts as zeros in a mean.
        padding: [usize; 2],
    },
    /// From `[H, W, C]` to `[C, H, W]`.
    ChannelsFirst {
        /// What comes out.
        output: [usize; 3],
    },
    /// A unit vector for each category.
    OneHot {
        /// Categories of each index.
        categories: Vec<usize>,
    },
    /// A learned vector for each category.
    Embedding {
        /// `[all rows, width]`.
        weight: String,
        /// Values of a vector.
        width: usize,
        /// For each index the first of its rows in the table.
        first: Vec<usize>,
    },
    /// `y = x + f(x)`.
    Residual {
        /// `f`.
        operations: Vec<Operation>,
    },
    /// Lists beside each other, whose results are joined.
    Parallel {
        /// The lists.
        branches: Vec<OperationBranch>,
    },
    /// From a value and the advantages of actions to their values, `[A, Z]`: `v + a − mean a`.
    Dueling {
        /// Actions.
        actions: usize,
        /// Numbers for each.
        atoms: usize,
    },
    /// Appends a parameter to each row.
    Append {
        /// `[1, width]`.
        parameter: String,
        /// Its values.
        width: usize,
    },
    /// A recurrent layer, whose state is the hidden values, and of an LSTM the cell's after them.
    Recurrent {
        /// Which.
        cell: RecurrentKind,
        /// `[gates · hidden, inputs]`.
        weight_ih: String,
        /// `[gates · hidden, hidden]`.
        weight_hh: String,
        /// `[gates · hidden]`.
        bias_ih: String,
        /// `[gates · hidden]`.
        bias_hh: String,
        /// Values of `x`.
        inputs: usize,
        /// Values of `y`.
        hidden: usize,
    },
    /// A transformer that attends to the last steps of an episode.
    Attention(Box<Attention>),
    /// The mean over places `τ` of `head(x ⊙ embedding(c(τ)))`.
    ImplicitQuantiles {
        /// For each place its cosines, `cos(π j τ)`.
        cosines: Vec<Vec<f32>>,
        /// From the cosines to as many values as `x` has.
        embedding: Vec<Operation>,
        /// From the product to the quantiles of actions at a place.
        head: Vec<Operation>,
    },
    /// A linear map or convolution whose weight is integers: `W = scale ⊙ Q`, a scale for each output.
    ///
    /// With `input`, `x` becomes bytes first and sums are those of integers, exactly:
    /// `y = scale_x · scale ⊙ (Q (x_q − zero_point)) + b`.
    Quantized {
        /// The map, of numbers: [`Self::Linear`], [`Self::Conv2d`], or of one of these [`Self::Sparse`]. Its weight's values are
        /// integers from −127 to 127.
        map: Box<Operation>,
        /// `[outputs]`, or of a convolution `[channels]`.
        scale: String,
        /// How `x` becomes bytes; none if it stays numbers, as before a map without its zeros.
        input: Option<Quantization>,
    },
    /// A linear map or convolution of whose weight only some values are stored, one after the other; all others are zero.
    Sparse {
        /// The map, [`Self::Linear`] or [`Self::Conv2d`]; its weight's shape is `[values that are stored]`.
        map: Box<Operation>,
        /// `[⌈values of the whole weight / 8⌉]`, bytes: a bit for each value, the lowest first, whether it is stored.
        places: String,
    },
    /// Something that is not told of.
    Opaque {
        /// As a summary names it.
        layer: String,
    },
}

/// One list of [`Operation::Parallel`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperationBranch {
    /// The columns that it reads: the first, and the one after the last.
    pub columns: [usize; 2],
    /// What it computes.
    pub operations: Vec<Operation>,
}

/// A recurrent cell, as PyTorch has it; gates in PyTorch's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecurrentKind {
    /// `h' = tanh(W x + b + U h + c)`.
    Rnn,
    /// Gates `r z n`; the product with `h` and its bias come before the reset.
    Gru,
    /// Gates `i f g o`.
    Lstm,
}

/// The parts of [`Operation::Attention`].
///
/// Of a step at position `p` of its episode: tokens `h = input(x)`, to which the position is added; for each block keys and
/// values are kept, and the step attends to those of the last `window` steps, its own included.
///
/// Its state is `p`, and of each block the keys and the values of the last steps, the newest last, `[window, width]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attention {
    /// From `x` to a token.
    pub input: Vec<Operation>,
    /// How a step knows its place.
    pub position: AttentionPosition,
    /// Values of a token.
    pub width: usize,
    /// Heads, which share the width.
    pub heads: usize,
    /// Steps that a step attends to.
    pub window: usize,
    /// One after the other.
    pub blocks: Vec<AttentionBlock>,
    /// After the last block.
    pub output: Vec<Operation>,
}

/// How a step of [`Attention`] knows its position `p`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AttentionPosition {
    /// Not at all.
    None,
    /// Row `min(p, positions − 1)` of a table is added.
    Learned {
        /// `[positions, width]`.
        table: String,
        /// Its rows.
        positions: usize,
    },
    /// `sin(p / 10000^(2i/width))` is added in column `2i`, the cosine in column `2i + 1`.
    Sinusoidal,
    /// Of each head's `d` columns of queries and keys, `j` and `j + d/2` are rotated by the angle `p / 10000^(2j/d)`.
    Rotary,
}

/// A block of [`Attention`]: `y = x + attended`, then `y + feed_forward(y)`, or gates in place of both sums.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttentionBlock {
    /// From a token to query, key and value, one after the other.
    pub project: Vec<Operation>,
    /// What follows attention.
    pub attended: Vec<Operation>,
    /// From `y`.
    pub feed_forward: Vec<Operation>,
    /// In place of the first and the second sum.
    pub gates: Option<[Gate; 2]>,
}

/// A gate between `x` and `y`, whose parts are `r z h`: `r = σ(W_r y + U_r x)`, `z = σ(W_z y + U_z x − b)`,
/// `h = tanh(W_h y + U_h (r ⊙ x))`, and the result `(1 − z) ⊙ x + z ⊙ h`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// `W`, `[3 width, width]`.
    pub weight_y: String,
    /// `U`, `[3 width, width]`.
    pub weight_x: String,
    /// `b`, `[width]`.
    pub bias: String,
    /// Values of `x`.
    pub width: usize,
}

impl Operation {
    /// What a part of it is called that is not told of, if there is one.
    #[must_use]
    pub fn opaque(&self) -> Option<&str> {
        match self {
            Self::Opaque { layer } => Some(layer),
            Self::Residual { operations } => operations.iter().find_map(Self::opaque),
            Self::Parallel { branches } => {
                branches.iter().flat_map(|branch| &branch.operations).find_map(Self::opaque)
            }
            Self::ImplicitQuantiles { embedding, head, .. } => {
                embedding.iter().chain(head).find_map(Self::opaque)
            }
            Self::Attention(attention) => {
                let blocks = attention.blocks.iter();
                let blocks = blocks.flat_map(|block| [&block.project, &block.attended, &block.feed_forward]);
                let chains = [&attention.input, &attention.output].into_iter().chain(blocks);
                chains.flatten().find_map(Self::opaque)
            }
            Self::Quantized { map, .. } | Self::Sparse { map, .. } => map.opaque(),
            Self::Linear { .. }
            | Self::Activation { .. }
            | Self::LayerNorm { .. }
            | Self::RmsNorm { .. }
            | Self::Conv2d { .. }
            | Self::Pool2d { .. }
            | Self::ChannelsFirst { .. }
            | Self::OneHot { .. }
            | Self::Embedding { .. }
            | Self::Dueling { .. }
            | Self::Append { .. }
            | Self::Recurrent { .. } => None,
        }
    }

    /// It and all operations within it but the map of compressed weights, in order.
    #[must_use]
    pub fn flat(&self) -> Vec<&Self> {
        let within: Vec<&Vec<Self>> = match self {
            Self::Residual { operations } => vec![operations],
            Self::Parallel { branches } => branches.iter().map(|branch| &branch.operations).collect(),
            Self::ImplicitQuantiles { embedding, head, .. } => vec![embedding, head],
            Self::Attention(attention) => {
                let blocks = attention.blocks.iter();
                let blocks = blocks.flat_map(|block| [&block.project, &block.attended, &block.feed_forward]);
                [&attention.input].into_iter().chain(blocks).chain([&attention.output]).collect()
            }
            _ => Vec::new(),
        };
        let within = within.into_iter().flatten().flat_map(Self::flat);
        [self].into_iter().chain(within).collect()
    }

    /// The names of its own parameters; not of operations within it, see [`Self::flat`].
    #[must_use]
    pub fn parameters(&self) -> Vec<&str> {
        match self {
            Self::Linear { weight, bias, .. }
            | Self::LayerNorm { weight, bias, .. }
            | Self::Conv2d { weight, bias, .. } => vec![weight, bias],
            Self::RmsNorm { weight, .. } | Self::Embedding { weight, .. } => vec![weight],
            Self::Append { parameter, .. } => vec![parameter],
            Self::Recurrent { weight_ih, weight_hh, bias_ih, bias_hh, .. } => {
                vec![weight_ih, weight_hh, bias_ih, bias_hh]
            }
            Self::Attention(attention) => {
                let table = match &attention.position {
                    AttentionPosition::Learned { table, .. } => Some(table.as_str()),
                    _ => None,
                };
                let gates = attention.blocks.iter().flat_map(|block| block.gates.iter().flatten());
                let gates = gates.flat_map(|gate| [&gate.weight_y[..], &gate.weight_x, &gate.bias]);
                table.into_iter().chain(gates).collect()
            }
            Self::Quantized { map, scale, .. } => [map.parameters(), vec![scale]].concat(),
            Self::Sparse { map, places } => [map.parameters(), vec![places]].concat(),
            Self::Activation { .. }
            | Self::Pool2d { .. }
            | Self::ChannelsFirst { .. }
            | Self::OneHot { .. }
            | Self::Residual { .. }
            | Self::Parallel { .. }
            | Self::Dueling { .. }
            | Self::ImplicitQuantiles { .. }
            | Self::Opaque { .. } => Vec::new(),
        }
    }

    /// What it is called in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Linear { .. } => "linear",
            Self::Activation { .. } => "activation",
            Self::LayerNorm { .. } => "layer_norm",
            Self::RmsNorm { .. } => "rms_norm",
            Self::Conv2d { .. } => "conv2d",
            Self::Pool2d { .. } => "pool2d",
            Self::ChannelsFirst { .. } => "channels_first",
            Self::OneHot { .. } => "one_hot",
            Self::Embedding { .. } => "embedding",
            Self::Residual { .. } => "residual",
            Self::Parallel { .. } => "parallel",
            Self::Dueling { .. } => "dueling",
            Self::Append { .. } => "append",
            Self::Recurrent { .. } => "recurrent",
            Self::Attention(_) => "attention",
            Self::ImplicitQuantiles { .. } => "implicit_quantiles",
            Self::Quantized { .. } => "quantized",
            Self::Sparse { .. } => "sparse",
            Self::Opaque { layer } => layer,
        }
    }
}
