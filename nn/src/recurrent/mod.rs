//! Recurrent layers: Elman's network, the gated recurrent unit and the long short-term memory.
//!
//! A sequence is one operation on a tape: one product for the inputs of all steps, then for each step one product with
//! the state and one pass over the gates; the gradient's products with the weights go over all steps again. What has no
//! tape acts step by step on packed weights, with the same bits.

mod gradient;
mod sequence;
mod step;
#[cfg(test)]
mod tests;
mod unroll;

use std::ops::Range;

use agon_policy::{Operation, RecurrentKind};
use serde::{Deserialize, Serialize};

pub use self::unroll::Unroll;
use crate::error::NnError;
use crate::init::Init;
use crate::layer::LayerSummary;
use crate::matrix::Matrix;
use crate::operation::name_of;
use crate::params::{Layout, LayoutBuilder, ParamRange, Params};

/// What a recurrent layer computes in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cell {
    /// `h' = tanh(W_ih x + b_ih + W_hh h + b_hh)`: `torch.nn.RNN`.
    #[doc(alias = "Elman")]
    Rnn,
    /// `r, z = σ(W_ih x + b_ih + W_hh h + b_hh)`, `n = tanh(W_ih x + b_ih + r ⊙ (W_hh h + b_hh))`,
    /// `h' = (1 − z) ⊙ n + z ⊙ h`: `torch.nn.GRU`.
    Gru,
    /// `i, f, o = σ(W_ih x + b_ih + W_hh h + b_hh)`, `g = tanh(…)`, `c' = f ⊙ c + i ⊙ g`, `h' = o ⊙ tanh c'`:
    /// `torch.nn.LSTM`.
    Lstm,
}

impl Cell {
    /// Rows of the weights for each hidden value.
    fn gates(self) -> usize {
        match self {
            Self::Rnn => 1,
            Self::Gru => 3,
            Self::Lstm => 4,
        }
    }

    /// Columns that are kept of a step for each hidden value: the gates, and what their gradient needs besides.
    fn columns(self) -> usize {
        match self {
            Self::Rnn => 1,
            Self::Gru => 4,
            Self::Lstm => 5,
        }
    }

    /// Values of the state for each hidden value.
    fn states(self) -> usize {
        match self {
            Self::Rnn | Self::Gru => 1,
            Self::Lstm => 2,
        }
    }

    /// The sign by which a greater bias of each gate lets the cell remember longer, zero where it has no part in it.
    fn remembering(self) -> &'static [f32] {
        match self {
            Self::Rnn => &[],
            Self::Gru => &[0.0, 1.0, 0.0],
            Self::Lstm => &[-1.0, 1.0, 0.0, 0.0],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Rnn => "RNN",
            Self::Gru => "GRU",
            Self::Lstm => "LSTM",
        }
    }
}

/// How the weights of a recurrent layer start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecurrentInit {
    /// Everything uniform within `±1/√H`, as PyTorch.
    #[default]
    Uniform,
    /// Orthogonal weights with gain 1 and biases of zero, as CleanRL's `ppo_atari_lstm.py`.
    Orthogonal,
    /// Orthogonal weights, and biases with which the units of an LSTM or GRU remember spans of different lengths
    /// ([`Init::Chrono`]); with biases of zero they lose half of it in every step.
    Chrono {
        /// The longest span, in steps, at least 2.
        longest: usize,
    },
}

/// A recurrent layer: where its parameters lie, and their sizes.
///
/// # Shapes
/// With `G` gates (1, 3 or 4), `H` hidden values and `F` inputs: `weight_ih_l0`: `[G·H, F]`, `weight_hh_l0`: `[G·H, H]`,
/// `bias_ih_l0` and `bias_hh_l0`: `[G·H]`, in PyTorch's order of gates: `r, z, n` and `i, f, g, o`. A row of the state
/// has `S` values: the hidden ones, and after them the cell's if it is an LSTM.
///
/// # Source
/// `torch.nn.RNN`, `GRU` and `LSTM` of one layer (PyTorch 2.9). Elman 1990; Cho et al. 2014, arXiv:1406.1078;
/// Hochreiter and Schmidhuber 1997.
///
/// # Example
/// ```
/// use agon_nn::{Cell, LayoutBuilder, Matrix, Recurrent, RecurrentInit, Tape, Unroll};
///
/// let mut builder = LayoutBuilder::new();
/// let lstm = Recurrent::new(&mut builder, "lstm", Cell::Lstm, 3, 8, RecurrentInit::Uniform);
/// let params = builder.build(0);
/// let (steps, batch) = (5, 2);
/// let x = Matrix::zeros(steps * batch, 3)?;
/// let state = Matrix::zeros(batch, lstm.state_len())?;
/// let (y, state) = lstm.forward(&params, &x, &state, &Unroll::new(steps), &mut Tape::new())?;
/// assert_eq!((y.rows(), y.columns(), state.columns()), (10, 8, 16));
/// # Ok::<(), agon_nn::NnError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Recurrent {
    /// What a step computes.
    pub cell: Cell,
    /// The weight of the input, named `<name>.weight_ih_l0`.
    pub weight_ih: ParamRange,
    /// The weight of the hidden values, named `<name>.weight_hh_l0`.
    pub weight_hh: ParamRange,
    /// The bias of the input, named `<name>.bias_ih_l0`.
    pub bias_ih: ParamRange,
    /// The bias of the hidden values, named `<name>.bias_hh_l0`.
    pub bias_hh: ParamRange,
    /// Number of inputs.
    pub inputs: usize,
    /// Number of hidden values, which are the outputs.
    pub hidden: usize,
}

impl Recurrent {
    /// Adds the layer's parameters to a layout.
    ///
    /// # Panics
    /// If a size is zero or a name is taken, or if [`RecurrentInit::Chrono`] is asked for spans of less than 2 steps or
    /// for an RNN, which has no gates.
    pub fn new(
        builder: &mut LayoutBuilder,
        name: &str,
        cell: Cell,
        inputs: usize,
        hidden: usize,
        init: RecurrentInit,
    ) -> Self {
        assert!(
            inputs > 0 && hidden > 0,
            "a layer needs inputs and hidden values, got {inputs} and {hidden}"
        );
        let orthogonal = Init::Orthogonal { gain: 1.0 };
        let (weight, bias_ih, bias_hh) = match init {
            RecurrentInit::Uniform => {
                let uniform = Init::UniformFanIn { fan_in: hidden };
                (uniform, uniform, uniform)
            }
            RecurrentInit::Orthogonal => (orthogonal, Init::Zeros, Init::Zeros),
            RecurrentInit::Chrono { longest } => {
                assert!(
                    longest >= 2 && cell != Cell::Rnn,
                    "chrono needs gates and spans of at least 2, got {longest} for {cell:?}"
                );
                (orthogonal, Init::Chrono { gates: cell.remembering(), longest }, Init::Zeros)
            }
        };
        let rows = cell.gates() * hidden;
        Self {
            cell,
            weight_ih: builder.add(&format!("{name}.weight_ih_l0"), &[rows, inputs], weight),
            weight_hh: builder.add(&format!("{name}.weight_hh_l0"), &[rows, hidden], weight),
            bias_ih: builder.add(&format!("{name}.bias_ih_l0"), &[rows], bias_ih),
            bias_hh: builder.add(&format!("{name}.bias_hh_l0"), &[rows], bias_hh),
            inputs,
            hidden,
        }
    }

    /// `S`, the number of values of a state's row.
    #[must_use]
    pub fn state_len(&self) -> usize {
        self.cell.states() * self.hidden
    }

    /// The layer's line of a summary; its operations are those of one step of one row.
    #[must_use]
    pub fn describe(&self) -> LayerSummary {
        let weights = self.weight_ih.len() + self.weight_hh.len();
        LayerSummary {
            layer: format!("{}({}, {})", self.cell.name(), self.inputs, self.hidden),
            output_shape: vec![self.hidden],
            parameters: weights + self.bias_ih.len() + self.bias_hh.len(),
            flops: 2 * weights as u64,
        }
    }

    /// What the layer computes.
    pub(crate) fn operation(&self, layout: &Layout) -> Operation {
        Operation::Recurrent {
            cell: match self.cell {
                Cell::Rnn => RecurrentKind::Rnn,
                Cell::Gru => RecurrentKind::Gru,
                Cell::Lstm => RecurrentKind::Lstm,
            },
            weight_ih: name_of(layout, &self.weight_ih),
            weight_hh: name_of(layout, &self.weight_hh),
            bias_ih: name_of(layout, &self.bias_ih),
            bias_hh: name_of(layout, &self.bias_hh),
            inputs: self.inputs,
            hidden: self.hidden,
        }
    }

    /// Rows of the weights.
    fn gate_rows(&self) -> usize {
        self.cell.gates() * self.hidden
    }

    /// Columns that are kept of a step.
    fn columns(&self) -> usize {
        self.cell.columns() * self.hidden
    }

    /// The products with the hidden values: which rows of the weight belong to which column on.
    ///
    /// A gated recurrent unit multiplies its candidate's product by a gate before the input's is added, so that this
    /// product stands by itself.
    fn hidden_products(&self) -> ([HiddenProduct; 2], usize) {
        let hidden = self.hidden;
        let product = |rows: Range<usize>, column, separate| HiddenProduct { rows, column, separate };
        match self.cell {
            Cell::Rnn | Cell::Lstm => ([product(0..self.gate_rows(), 0, false), product(0..0, 0, false)], 1),
            Cell::Gru => {
                ([product(0..2 * hidden, 0, false), product(2 * hidden..3 * hidden, 3 * hidden, true)], 2)
            }
        }
    }

    fn check_params(&self, params: &Params) -> Result<(), NnError> {
        if self.bias_hh.range().end > params.len() {
            let expected = self.bias_hh.range().end;
            return Err(NnError::Length { name: "parameters", expected, got: params.len() });
        }
        Ok(())
    }

    /// Checks the sizes of a batch of sequences; returns the batch size.
    fn check(
        &self,
        params: &Params,
        x: &Matrix,
        state: &Matrix,
        unroll: &Unroll<'_>,
    ) -> Result<usize, NnError> {
        self.check_params(params)?;
        for (name, expected, got) in
            [("input", self.inputs, x.columns()), ("state", self.state_len(), state.columns())]
        {
            if expected != got {
                return Err(NnError::Columns { name, expected, got });
            }
        }
        unroll.check(x.rows(), state.rows())?;
        Ok(state.rows())
    }
}

/// A product of a step with the hidden values.
struct HiddenProduct {
    /// The rows of `weight_hh`.
    rows: Range<usize>,
    /// The first column of its results.
    column: usize,
    /// Whether it starts from its own bias, and is not added to the input's product.
    separate: bool,
}
