//! Rows of observations, as a chunk keeps them.
//!
//! The main decision: bytes that are all 0 or 255, as planes of zeros and ones are, are kept eight to a byte. That is seen
//! from the bytes alone, so no environment has to say it; a column that is given another byte turns into bytes.

use agon_envs::ObsBuffer;
use agon_envs::batch::ObsElement;
use agon_envs::spaces::Dtype;
use serde::{Deserialize, Serialize};

use crate::bits::{BITS, pack, unpack, unpacked};

/// Rows of one length. The first two kinds are saved as an [`ObsBuffer`] is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Column {
    /// Numbers.
    F32(Vec<f32>),
    /// Bytes.
    U8(Vec<u8>),
    /// Bytes that are all 0 or 255, a bit each, from the least of a byte on; each row begins with a byte of its own.
    Bits(Vec<u8>),
}

/// An element type of rows that are read from a column.
pub(crate) trait Element: ObsElement {
    /// Copies a row.
    ///
    /// # Panics
    /// If the column is of another type, or has no such row.
    fn read(column: &Column, row: usize, out: &mut [Self]);
}

impl Element for f32 {
    fn read(column: &Column, row: usize, out: &mut [Self]) {
        let len = out.len();
        match column {
            Column::F32(values) => out.copy_from_slice(&values[row * len..(row + 1) * len]),
            Column::U8(_) | Column::Bits(_) => panic!("expected observations of numbers, got bytes"),
        }
    }
}

impl Element for u8 {
    fn read(column: &Column, row: usize, out: &mut [Self]) {
        let len = out.len();
        match column {
            Column::U8(values) => out.copy_from_slice(&values[row * len..(row + 1) * len]),
            Column::Bits(bits) => {
                let width = len.div_ceil(BITS);
                unpack(&bits[row * width..(row + 1) * width], out);
            }
            Column::F32(_) => panic!("expected observations of bytes, got numbers"),
        }
    }
}

impl Column {
    /// Without rows.
    pub(crate) fn new(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Self::F32(Vec::new()),
            Dtype::U8 => Self::Bits(Vec::new()),
        }
    }

    /// The element type.
    pub(crate) fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::U8(_) | Self::Bits(_) => Dtype::U8,
        }
    }

    /// Whether there are exactly so many rows of `len` elements.
    pub(crate) fn has_rows(&self, rows: usize, len: usize) -> bool {
        match self {
            Self::F32(values) => values.len() == rows * len,
            Self::U8(values) => values.len() == rows * len,
            Self::Bits(bits) => bits.len() == rows * len.div_ceil(BITS),
        }
    }

    /// Appends rows of `len` elements: `count` elements of `from`, from `at` on.
    ///
    /// # Panics
    /// If the element types differ.
    pub(crate) fn append(&mut self, len: usize, from: &ObsBuffer, at: usize, count: usize) {
        match (&mut *self, from) {
            (Self::F32(to), ObsBuffer::F32(from)) => to.extend_from_slice(&from[at..at + count]),
            (Self::U8(to), ObsBuffer::U8(from)) => to.extend_from_slice(&from[at..at + count]),
            (Self::Bits(to), ObsBuffer::U8(from)) => {
                let rows = &from[at..at + count];
                let held = to.len();
                let width = len.div_ceil(BITS);
                to.resize(held + rows.len() / len * width, 0);
                let packed = to[held..].chunks_exact_mut(width);
                if !rows.chunks_exact(len).zip(packed).all(|(row, to)| pack(row, to)) {
                    to.truncate(held);
                    let mut bytes = unpacked(to, len);
                    bytes.extend_from_slice(rows);
                    *self = Self::U8(bytes);
                }
            }
            (_, from) => panic!("expected observations of {:?}, got {:?}", self.dtype(), from.dtype()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(column: &Column, count: usize, len: usize) -> Vec<u8> {
        let mut out = vec![7; count * len];
        out.chunks_exact_mut(len).enumerate().for_each(|(row, out)| u8::read(column, row, out));
        out
    }

    proptest! {
        #[test]
        fn rows_are_read_as_they_were_appended(
            len in 1..40_usize,
            lit in proptest::collection::vec(any::<bool>(), 40 * 6),
            other in proptest::option::of((0..6 * 40_usize, any::<u8>())),
        ) {
            let mut bytes: Vec<u8> = lit.iter().map(|&lit| if lit { 255 } else { 0 }).collect();
            bytes.truncate(6 * len);
            if let Some((at, value)) = other {
                bytes[at % (6 * len)] = value;
            }
            let from = ObsBuffer::U8(bytes.clone());
            let mut column = Column::new(Dtype::U8);
            for (first, count) in [(0, 1), (1, 3), (4, 0), (4, 2)] {
                column.append(len, &from, first * len, count * len);
            }
            prop_assert!(column.has_rows(6, len) && !column.has_rows(7, len));
            prop_assert_eq!(rows(&column, 6, len), bytes.clone());
            let two_valued = bytes.iter().all(|&byte| byte == 0 || byte == 255);
            prop_assert_eq!(matches!(column, Column::Bits(_)), two_valued);
        }
    }

    #[test]
    fn eight_bytes_take_one() {
        let mut column = Column::new(Dtype::U8);
        column.append(10, &ObsBuffer::U8(vec![255, 0, 0, 0, 0, 0, 0, 255, 255, 255]), 0, 10);
        assert_eq!(column, Column::Bits(vec![0b1000_0001, 0b11]));
    }

    #[test]
    fn numbers_and_bytes_are_saved_as_buffers_are() {
        for (column, buffer) in [
            (Column::F32(vec![1.5, -2.0]), ObsBuffer::F32(vec![1.5, -2.0])),
            (Column::U8(vec![3, 4]), ObsBuffer::U8(vec![3, 4])),
        ] {
            assert_eq!(crate::codec::encode(&column).unwrap(), crate::codec::encode(&buffer).unwrap());
        }
    }
}
