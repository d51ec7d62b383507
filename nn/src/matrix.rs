//! Batches of rows: what layers read and write.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::NnError;
use crate::kernels::Pooled;

/// A row-major `[rows, columns]` matrix that remembers whether a tape needs its gradient.
///
/// Images are rows of `channels · height · width` values, sequences `[T, B, F]` have `T · B` rows of `F` values.
///
/// Clones share the values until one is changed, and are the same to a tape. The memory comes from the thread's pool and
/// goes back there: a training step that is repeated allocates nothing large.
#[derive(Clone)]
pub struct Matrix {
    values: Arc<Pooled>,
    rows: usize,
    columns: usize,
    id: MatrixId,
    tracked: bool,
}

/// Identity of a matrix on a tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct MatrixId(u64);

impl MatrixId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Matrix {
    /// What `write` makes of unspecified values.
    fn new(rows: usize, columns: usize, write: impl FnOnce(&mut [f32])) -> Result<Self, NnError> {
        check_not_empty("matrix", rows, columns)?;
        let mut values = Pooled::take(rows * columns);
        write(&mut values);
        Ok(Self { values: Arc::new(values), rows, columns, id: MatrixId::next(), tracked: false })
    }

    /// All zeros.
    ///
    /// # Errors
    /// [`NnError::Empty`] without rows or columns.
    pub fn zeros(rows: usize, columns: usize) -> Result<Self, NnError> {
        Self::new(rows, columns, |values| values.fill(0.0))
    }

    /// A copy of `values`, row after row.
    ///
    /// # Errors
    /// [`NnError::Empty`] without rows or columns, [`NnError::Length`] unless there are `rows * columns` values.
    pub fn from_slice(rows: usize, columns: usize, values: &[f32]) -> Result<Self, NnError> {
        check_length("matrix", rows * columns, values.len())?;
        Self::new(rows, columns, |matrix| matrix.copy_from_slice(values))
    }

    /// What an operation returns: the values that `write` fills in, all of them.
    pub(crate) fn output(
        rows: usize,
        columns: usize,
        write: impl FnOnce(&mut [f32]),
    ) -> Result<Self, NnError> {
        Ok(Self::new(rows, columns, write)?.tracked())
    }

    pub(crate) fn id(&self) -> MatrixId {
        self.id
    }

    /// Asks tapes to compute the gradient of this input, see [`crate::InputGradients::get`].
    ///
    /// Outputs of layers are tracked anyway; other inputs are not, which saves the first layer a product.
    #[must_use]
    pub fn tracked(mut self) -> Self {
        self.tracked = true;
        self
    }

    /// Whether a tape computes this matrix' gradient.
    #[must_use]
    pub fn is_tracked(&self) -> bool {
        self.tracked
    }

    /// Number of rows: the batch size.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns: the features of a row.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The values, row after row.
    #[must_use]
    pub fn as_slice(&self) -> &[f32] {
        &self.values
    }

    /// The values, to change them; copied first if a clone or a tape shares them.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        Arc::<Pooled>::make_mut(&mut self.values)
    }

    /// Overwrites the values.
    ///
    /// # Errors
    /// [`NnError::Length`] unless there are `rows * columns` values.
    pub fn copy_from_slice(&mut self, values: &[f32]) -> Result<(), NnError> {
        check_length("matrix", self.rows * self.columns, values.len())?;
        self.as_mut_slice().copy_from_slice(values);
        Ok(())
    }
}

impl fmt::Debug for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matrix")
            .field("shape", &[self.rows, self.columns])
            .field("values", &self.as_slice())
            .finish_non_exhaustive()
    }
}

/// `got` must be `expected`.
pub(crate) fn check_length(name: &'static str, expected: usize, got: usize) -> Result<(), NnError> {
    if expected == got { Ok(()) } else { Err(NnError::Length { name, expected, got }) }
}

/// A matrix must have rows and columns.
pub(crate) fn check_not_empty(name: &'static str, rows: usize, columns: usize) -> Result<(), NnError> {
    if rows == 0 || columns == 0 { Err(NnError::Empty { name, rows, columns }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_sizes_are_refused() {
        let error = Matrix::from_slice(2, 3, &[0.0; 5]).unwrap_err();
        assert_eq!(error.to_string(), "matrix must hold 6 values, got 5");
        let error = Matrix::zeros(0, 3).unwrap_err();
        assert_eq!(error.to_string(), "matrix must not be empty, got shape [0, 3]");
    }

    #[test]
    fn changing_a_clone_leaves_the_original() {
        let original = Matrix::from_slice(1, 2, &[1.0, 2.0]).unwrap();
        let mut clone = original.clone();
        clone.copy_from_slice(&[3.0, 4.0]).unwrap();
        assert_eq!((original.as_slice(), clone.as_slice()), ([1.0, 2.0].as_slice(), [3.0, 4.0].as_slice()));
    }
}
