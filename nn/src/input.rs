//! What a network reads: floats, or bytes that are scaled as they are read.

use std::ops::Range;
use std::sync::Arc;

use crate::error::NnError;
use crate::kernels::{Pooled, scale_bytes};
use crate::matrix::{Matrix, check_length, check_not_empty};

/// A row-major `[rows, columns]` matrix of bytes, read as `scale · byte`: images, as replay buffers keep them.
///
/// Only the block of rows that a network works on exists as floats.
#[derive(Debug, Clone)]
pub struct ByteMatrix {
    rows: usize,
    columns: usize,
    scale: f32,
    values: Arc<Vec<u8>>,
}

impl ByteMatrix {
    /// Of `values`, row after row; `scale` is 1/255 for images.
    ///
    /// # Errors
    /// [`NnError::Empty`] without rows or columns, [`NnError::Length`] unless there are `rows * columns` values.
    pub fn new(rows: usize, columns: usize, values: Vec<u8>, scale: f32) -> Result<Self, NnError> {
        check_not_empty("byte matrix", rows, columns)?;
        check_length("byte matrix", rows * columns, values.len())?;
        Ok(Self { rows, columns, scale, values: Arc::new(values) })
    }

    /// Of a copy of `values`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn from_slice(rows: usize, columns: usize, values: &[u8], scale: f32) -> Result<Self, NnError> {
        Self::new(rows, columns, values.to_vec(), scale)
    }

    /// Number of rows: the batch size.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns: the values of a row.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }
}

/// The input of a network on a tape. Clones share the values.
#[derive(Debug, Clone)]
pub enum Input {
    /// Floats; tracked or not.
    Floats(Matrix),
    /// Bytes.
    Bytes(ByteMatrix),
}

impl From<&Matrix> for Input {
    fn from(matrix: &Matrix) -> Self {
        Self::Floats(matrix.clone())
    }
}

impl From<ByteMatrix> for Input {
    fn from(matrix: ByteMatrix) -> Self {
        Self::Bytes(matrix)
    }
}

impl Input {
    /// Number of rows: the batch size.
    #[must_use]
    pub fn rows(&self) -> usize {
        match self {
            Self::Floats(matrix) => matrix.rows(),
            Self::Bytes(matrix) => matrix.rows,
        }
    }

    /// Number of columns: the values of a row.
    #[must_use]
    pub fn columns(&self) -> usize {
        match self {
            Self::Floats(matrix) => matrix.columns(),
            Self::Bytes(matrix) => matrix.columns,
        }
    }

    /// The floats, whose gradient may be wanted.
    pub(crate) fn matrix(&self) -> Option<&Matrix> {
        match self {
            Self::Floats(matrix) => Some(matrix),
            Self::Bytes(_) => None,
        }
    }

    pub(crate) fn as_rows(&self) -> Rows<'_> {
        match self {
            Self::Floats(matrix) => Rows::F32(matrix.as_slice()),
            Self::Bytes(matrix) => Rows::U8 { values: &matrix.values, scale: matrix.scale },
        }
    }
}

/// Borrowed rows: floats, or bytes with their scale.
#[derive(Debug, Clone, Copy)]
pub enum Rows<'a> {
    /// Floats.
    F32(&'a [f32]),
    /// Bytes, read as `scale · byte`.
    U8 {
        /// The bytes.
        values: &'a [u8],
        /// The value of a one.
        scale: f32,
    },
}

impl<'a> From<&'a [f32]> for Rows<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self::F32(values)
    }
}

impl<'a> From<&'a Vec<f32>> for Rows<'a> {
    fn from(values: &'a Vec<f32>) -> Self {
        Self::F32(values)
    }
}

impl<'a, const N: usize> From<&'a [f32; N]> for Rows<'a> {
    fn from(values: &'a [f32; N]) -> Self {
        Self::F32(values)
    }
}

impl<'a> From<&'a Input> for Rows<'a> {
    fn from(input: &'a Input) -> Self {
        input.as_rows()
    }
}

impl<'a> Rows<'a> {
    /// Some rows of `width` values.
    pub(crate) fn of(self, width: usize, rows: &Range<usize>) -> Rows<'a> {
        let range = rows.start * width..rows.end * width;
        match self {
            Self::F32(values) => Self::F32(&values[range]),
            Self::U8 { values, scale } => Self::U8 { values: &values[range], scale },
        }
    }

    /// The number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::U8 { values, .. } => values.len(),
        }
    }

    /// Whether there are no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives `body` some rows of `width` values as floats.
    pub(crate) fn block<T>(&self, width: usize, rows: &Range<usize>, body: impl FnOnce(&[f32]) -> T) -> T {
        let range = rows.start * width..rows.end * width;
        match *self {
            Self::F32(values) => body(&values[range]),
            Self::U8 { values, scale } => {
                let mut floats = Pooled::take(range.len());
                scale_bytes(&values[range], scale, &mut floats);
                body(&floats)
            }
        }
    }
}
