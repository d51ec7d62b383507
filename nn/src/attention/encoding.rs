//! Encodings of positions that a configuration asks for, with their parameters: on a tape, and token by token.

use std::rc::Rc;

use agon_policy::AttentionPosition;

use super::multi_head::check_rotary;
use super::position::{Angles, Position, add_learned};
use crate::error::NnError;
use crate::kernels::add;
use crate::layer::LayerSummary;
use crate::matrix::{Matrix, check_length};
use crate::operation::name_of;
use crate::params::{Layout, LayoutBuilder, ParamRange, Params};
use crate::tape::{Backward, Tape};

/// How tokens learn of their positions: what is added to them, or the angles that queries and keys are rotated by.
#[derive(Debug, Clone)]
pub(crate) enum Encoding {
    None,
    Learned(ParamRange),
    Sinusoidal(Angles),
    Rotary(Angles),
}

impl Encoding {
    /// Adds the encoding's parameters, `<name>.weight` if they are learned, to a layout.
    ///
    /// # Errors
    /// [`NnError::Config`] without positions, or if the heads' width is odd and positions are rotary.
    pub(crate) fn new(
        builder: &mut LayoutBuilder,
        name: &str,
        position: Position,
        (width, heads): (usize, usize),
    ) -> Result<Self, NnError> {
        Ok(match position {
            Position::None => Self::None,
            Position::Learned { positions: 0 } => {
                let (field, got) = ("position.learned.positions", "0".to_owned());
                return Err(NnError::Config { field, expected: "at least 1", got });
            }
            Position::Learned { positions } => Self::Learned(add_learned(builder, name, positions, width)),
            Position::Sinusoidal => Self::Sinusoidal(Angles::new(width)),
            Position::Rotary => {
                check_rotary(width / heads)?;
                Self::Rotary(Angles::new(width / heads))
            }
        })
    }

    /// The line of the learned encodings in a summary, if there are any.
    pub(crate) fn describe(&self) -> Option<LayerSummary> {
        let Self::Learned(table) = self else { return None };
        let (layer, output_shape) = (format!("LearnedPosition{:?}", table.shape()), vec![table.shape()[1]]);
        Some(LayerSummary { layer, output_shape, parameters: table.len(), flops: 0 })
    }

    /// What it is, told.
    pub(crate) fn told(&self, layout: &Layout) -> AttentionPosition {
        match self {
            Self::None => AttentionPosition::None,
            Self::Learned(table) => {
                AttentionPosition::Learned { table: name_of(layout, table), positions: table.shape()[0] }
            }
            Self::Sinusoidal(_) => AttentionPosition::Sinusoidal,
            Self::Rotary(_) => AttentionPosition::Rotary,
        }
    }

    /// How many values the learned encodings have.
    pub(crate) fn table_len(&self) -> usize {
        if let Self::Learned(range) = self { range.len() } else { 0 }
    }

    /// The learned encodings among the parameters; empty if there are none.
    ///
    /// # Errors
    /// [`NnError::Length`] if the parameters belong to another network.
    pub(crate) fn table<'a>(&self, params: &'a Params) -> Result<&'a [f32], NnError> {
        let Self::Learned(table) = self else { return Ok(&[]) };
        if table.range().end > params.len() {
            let (expected, got) = (table.range().end, params.len());
            return Err(NnError::Length { name: "parameters", expected, got });
        }
        Ok(table.of(params.as_slice()))
    }

    /// Adds the encoding of a position to a token; `table` holds the learned ones.
    pub(crate) fn add_to(&self, table: &[f32], position: usize, row: &mut [f32]) {
        match self {
            Self::None | Self::Rotary(_) => {}
            Self::Sinusoidal(angles) => angles.add_to(position, row),
            Self::Learned(range) => {
                let (count, width) = (range.shape()[0], row.len());
                let at = position.min(count - 1) * width;
                add(row, &table[at..at + width]);
            }
        }
    }

    /// Adds the encodings of positions, one a row, to tokens, as one operation on the tape.
    ///
    /// # Errors
    /// [`NnError::Length`] if there is not one position a row, or the parameters belong to another network.
    pub(crate) fn encode(
        &self,
        params: &Params,
        tokens: Matrix,
        positions: &Rc<[u32]>,
        tape: &mut Tape,
    ) -> Result<Matrix, NnError> {
        check_length("positions", tokens.rows(), positions.len())?;
        if matches!(self, Self::None | Self::Rotary(_)) {
            return Ok(tokens);
        }
        let table = self.table(params)?;
        let width = tokens.columns();
        let out = Matrix::output(tokens.rows(), width, |out| {
            out.copy_from_slice(tokens.as_slice());
            for (row, &position) in out.chunks_exact_mut(width).zip(&**positions) {
                self.add_to(table, position as usize, row);
            }
        })?;
        let (encoding, positions) = (self.clone(), Rc::clone(positions));
        tape.record(params, &[&tokens], &[&out], move |flow| {
            let Backward { outputs, inputs, params } = flow;
            let Some(Some(delta)) = outputs.into_iter().next() else { return };
            if let (Self::Learned(table), Some(mut params)) = (&encoding, params) {
                let width = table.shape()[1];
                let target = params.sum_of(table);
                for (delta, &position) in delta.chunks_exact(width).zip(&*positions) {
                    let row = (position as usize).min(table.shape()[0] - 1);
                    add(&mut target[row * width..(row + 1) * width], delta);
                }
            }
            for mut input in inputs.into_iter().flatten() {
                input.fill(|target| target.copy_from_slice(delta));
            }
        });
        Ok(out)
    }
}
