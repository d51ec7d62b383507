//! How a layer with a state runs over a batch of sequences.

use crate::error::NnError;
use crate::matrix::check_length;

/// The length of a batch of sequences, where episodes begin in it, and how far gradients reach back.
///
/// # Example
/// ```
/// use agon_nn::Unroll;
///
/// // Four steps of two environments; the second one's third step begins an episode.
/// let resets = [false, false, false, false, false, true, false, false];
/// let unroll = Unroll::new(4).resets(&resets).truncate_every(2);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unroll<'a> {
    pub(crate) steps: usize,
    pub(crate) resets: &'a [bool],
    pub(crate) truncate_every: Option<usize>,
}

impl<'a> Unroll<'a> {
    /// `T` steps without resets or truncation.
    #[must_use]
    pub fn new(steps: usize) -> Self {
        Self { steps, resets: &[], truncate_every: None }
    }

    /// Sets the state to zeros before each flagged step, so that nothing passes it, forwards or backwards.
    ///
    /// # Shapes
    /// `[T, B]`; empty for no resets.
    #[must_use]
    pub fn resets(mut self, resets: &'a [bool]) -> Self {
        self.resets = resets;
        self
    }

    /// Truncated backpropagation through time: cuts the gradient of the state before every `steps`-th step.
    ///
    /// The state itself is carried on. The gradients are those of chunks of `steps` steps that are trained one after
    /// the other, each from the state that its predecessor ended with, as a constant.
    ///
    /// # Source
    /// Williams and Peng 1990, with equal distances.
    #[doc(alias = "TBPTT")]
    #[must_use]
    pub fn truncate_every(mut self, steps: usize) -> Self {
        self.truncate_every = Some(steps);
        self
    }

    /// Whether the gradient is cut between a step and the one before.
    pub(crate) fn is_cut(&self, step: usize) -> bool {
        step > 0 && self.truncate_every.is_some_and(|every| step.is_multiple_of(every))
    }

    /// Checks that there are `batch` sequences in `rows` rows.
    pub(crate) fn check(&self, rows: usize, batch: usize) -> Result<(), NnError> {
        let positive = |field, value| match value {
            0 => Err(NnError::Config { field, expected: "at least 1", got: "0".to_owned() }),
            _ => Ok(()),
        };
        positive("steps", self.steps)?;
        positive("truncate_every", self.truncate_every.unwrap_or(1))?;
        if self.steps.checked_mul(batch) != Some(rows) {
            let expected = self.steps.saturating_mul(batch);
            return Err(NnError::Rows { name: "input", expected, got: rows });
        }
        if self.resets.is_empty() { Ok(()) } else { check_length("resets", rows, self.resets.len()) }
    }
}

/// Sets the rows of flagged sequences to zeros; no flags are none.
pub(crate) fn clear_rows(resets: &[bool], width: usize, values: &mut [f32]) {
    for (row, _) in values.chunks_exact_mut(width).zip(resets).filter(|(_, reset)| **reset) {
        row.fill(0.0);
    }
}
