//! What a network reads: floats, or bytes that are scaled as they are read.

use std::ops::Range;
use std::sync::Arc;

use crate::error::NnError;
use crate::kernels::{Bits, Pooled, scale_bytes, unpack_bits};
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

/// A row-major `[rows, columns]` matrix whose elements are zero or one value, a bit each: planes of zeros and ones.
///
/// A row takes whole bytes, whose lowest bits come first; bits beyond the columns are zero.
#[derive(Debug, Clone)]
pub struct BitMatrix {
    rows: usize,
    columns: usize,
    value: f32,
    bits: Arc<Vec<u8>>,
}

impl BitMatrix {
    /// Of the bytes of all rows; a set bit stands for `value`.
    ///
    /// # Errors
    /// [`NnError::Empty`] without rows or columns, [`NnError::Length`] unless there are a row's bytes for each row.
    pub fn new(rows: usize, columns: usize, bits: Vec<u8>, value: f32) -> Result<Self, NnError> {
        check_not_empty("bit matrix", rows, columns)?;
        check_length("bit matrix", rows * columns.div_ceil(8), bits.len())?;
        Ok(Self { rows, columns, value, bits: Arc::new(bits) })
    }
}

impl From<BitMatrix> for Input {
    fn from(matrix: BitMatrix) -> Self {
        Self::Bits(matrix)
    }
}

/// The input of a network on a tape. Clones share the values.
#[derive(Debug, Clone)]
pub enum Input {
    /// Floats; tracked or not.
    Floats(Matrix),
    /// Bytes.
    Bytes(ByteMatrix),
    /// Bits.
    Bits(BitMatrix),
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
            Self::Bits(matrix) => matrix.rows,
        }
    }

    /// Number of columns: the values of a row.
    #[must_use]
    pub fn columns(&self) -> usize {
        match self {
            Self::Floats(matrix) => matrix.columns(),
            Self::Bytes(matrix) => matrix.columns,
            Self::Bits(matrix) => matrix.columns,
        }
    }

    /// The floats, whose gradient may be wanted.
    pub(crate) fn matrix(&self) -> Option<&Matrix> {
        match self {
            Self::Floats(matrix) => Some(matrix),
            Self::Bytes(_) | Self::Bits(_) => None,
        }
    }

    pub(crate) fn as_rows(&self) -> Rows<'_> {
        match self {
            Self::Floats(matrix) => Rows::F32(matrix.as_slice()),
            Self::Bytes(matrix) => Rows::U8 { values: &matrix.values, scale: matrix.scale },
            Self::Bits(matrix) => {
                Rows::Bits { bits: &matrix.bits, columns: matrix.columns, value: matrix.value }
            }
        }
    }
}

/// Borrowed rows: floats, bytes with their scale, or bits with the value of a set one.
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
    /// Bits, see [`BitMatrix`].
    Bits {
        /// The bytes of all rows.
        bits: &'a [u8],
        /// Bits of a row.
        columns: usize,
        /// What a set bit stands for.
        value: f32,
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
    ///
    /// # Panics
    /// If there are fewer rows, or the rows of bits have another width.
    #[must_use]
    pub fn of(self, width: usize, rows: &Range<usize>) -> Rows<'a> {
        let range = rows.start * width..rows.end * width;
        match self {
            Self::F32(values) => Self::F32(&values[range]),
            Self::U8 { values, scale } => Self::U8 { values: &values[range], scale },
            Self::Bits { bits, columns, value } => {
                let stride = columns.div_ceil(8);
                Self::Bits { bits: &bits[rows.start * stride..rows.end * stride], columns, value }
            }
        }
    }

    /// The number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::U8 { values, .. } => values.len(),
            Self::Bits { bits, columns, .. } => bits.len() / columns.div_ceil(8).max(1) * columns,
        }
    }

    /// Whether there are no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes all values as floats.
    ///
    /// # Panics
    /// If there are more or fewer than `out` has room for.
    pub fn copy_to(self, out: &mut [f32]) {
        match self {
            Self::F32(values) => out.copy_from_slice(values),
            Self::U8 { values, scale } => scale_bytes(values, scale, out),
            Self::Bits { bits, columns, value } => unpack_bits(Bits::new(bits, columns, value), out),
        }
    }

    /// Gives `body` some rows of `width` values as floats.
    pub(crate) fn block<T>(&self, width: usize, rows: &Range<usize>, body: impl FnOnce(&[f32]) -> T) -> T {
        let rows = self.of(width, rows);
        if let Self::F32(values) = rows {
            return body(values);
        }
        let mut floats = Pooled::take(rows.len());
        rows.copy_to(&mut floats);
        body(&floats)
    }
}
