//! Numbers of one kind, a row a step, as bytes.

use crate::{DataError, Dtype};

/// Rows of numbers of one kind and shape, little-endian, the last dimension innermost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Array {
    /// Rows from bytes, of which each holds an array of that shape.
    ///
    /// # Errors
    /// [`DataError::Mismatch`] where a dimension is 0, the bytes are no whole number of rows, or a truth value is neither
    /// 0 nor 1.
    pub fn new(dtype: Dtype, shape: Vec<usize>, bytes: Vec<u8>) -> Result<Self, DataError> {
        let size = shape.iter().try_fold(dtype.size(), |size, dimension| size.checked_mul(*dimension));
        let Some(size) = size.filter(|size| *size > 0) else {
            return Err(DataError::mismatch(
                "shape of an array",
                "of at least 1 in each dimension",
                format!("{shape:?}"),
            ));
        };
        if !bytes.len().is_multiple_of(size) {
            return Err(DataError::mismatch(
                "bytes of an array",
                format!("whole rows of {size}"),
                bytes.len(),
            ));
        }
        if dtype == Dtype::Bool
            && let Some(byte) = bytes.iter().find(|byte| **byte > 1)
        {
            return Err(DataError::mismatch("a truth value", "0 or 1", byte));
        }
        Ok(Self { dtype, shape, bytes })
    }

    /// A number a row.
    #[must_use]
    pub fn from_f64(values: &[f64]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { dtype: Dtype::F64, shape: Vec::new(), bytes }
    }

    /// An integer a row.
    #[must_use]
    pub fn from_i64(values: &[i64]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { dtype: Dtype::I64, shape: Vec::new(), bytes }
    }

    /// A truth value a row.
    #[must_use]
    pub fn from_bool(values: &[bool]) -> Self {
        Self {
            dtype: Dtype::Bool,
            shape: Vec::new(),
            bytes: values.iter().map(|value| u8::from(*value)).collect(),
        }
    }

    /// Rows of `f32`, each of that shape.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_f32(shape: Vec<usize>, values: &[f32]) -> Result<Self, DataError> {
        Self::new(Dtype::F32, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// The kind of the numbers.
    #[must_use]
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The shape of one row.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// All rows, little-endian.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.bytes.len() / self.row_size()
    }

    /// Bytes of one row.
    #[must_use]
    pub fn row_size(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }

    /// The bytes of all rows.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// All numbers, the rows one after the other.
    ///
    /// # Errors
    /// [`DataError::Mismatch`] for an integer beyond 2^53 that `f64` does not have.
    pub fn to_f64(&self) -> Result<Vec<f64>, DataError> {
        let exact = |integer: i128| {
            let number = integer as f64;
            if number as i128 == integer {
                Ok(number)
            } else {
                Err(DataError::mismatch("an integer", "one that float64 has", integer))
            }
        };
        match self.dtype {
            Dtype::F32 => Ok(self.numbers(f32::from_le_bytes).map(f64::from).collect()),
            Dtype::F64 => Ok(self.numbers(f64::from_le_bytes).collect()),
            Dtype::I64 => self.numbers(i64::from_le_bytes).map(|integer| exact(integer.into())).collect(),
            Dtype::U64 => self.numbers(u64::from_le_bytes).map(|integer| exact(integer.into())).collect(),
            _ => Ok(self.to_i64()?.into_iter().map(|integer| integer as f64).collect()),
        }
    }

    /// All numbers, the rows one after the other, each rounded to the nearest `f32`.
    #[must_use]
    pub fn to_f32(&self) -> Vec<f32> {
        match self.dtype {
            Dtype::Bool | Dtype::U8 => self.bytes.iter().map(|byte| f32::from(*byte)).collect(),
            Dtype::I8 => self.numbers(i8::from_le_bytes).map(f32::from).collect(),
            Dtype::I16 => self.numbers(i16::from_le_bytes).map(f32::from).collect(),
            Dtype::U16 => self.numbers(u16::from_le_bytes).map(f32::from).collect(),
            Dtype::I32 => self.numbers(i32::from_le_bytes).map(|integer| integer as f32).collect(),
            Dtype::U32 => self.numbers(u32::from_le_bytes).map(|integer| integer as f32).collect(),
            Dtype::I64 => self.numbers(i64::from_le_bytes).map(|integer| integer as f32).collect(),
            Dtype::U64 => self.numbers(u64::from_le_bytes).map(|integer| integer as f32).collect(),
            Dtype::F32 => self.numbers(f32::from_le_bytes).collect(),
            Dtype::F64 => self.numbers(f64::from_le_bytes).map(|number| number as f32).collect(),
        }
    }

    /// All numbers, the rows one after the other.
    ///
    /// # Errors
    /// [`DataError::Mismatch`] for a number that is no integer of 64 bits.
    pub fn to_i64(&self) -> Result<Vec<i64>, DataError> {
        let whole = |number: f64| {
            let integer = number as i64;
            if integer as f64 == number && integer != i64::MAX {
                Ok(integer)
            } else {
                Err(DataError::mismatch("a number", "an integer of 64 bits", number))
            }
        };
        match self.dtype {
            Dtype::Bool | Dtype::U8 => Ok(self.bytes.iter().map(|byte| i64::from(*byte)).collect()),
            Dtype::I8 => Ok(self.numbers(i8::from_le_bytes).map(i64::from).collect()),
            Dtype::I16 => Ok(self.numbers(i16::from_le_bytes).map(i64::from).collect()),
            Dtype::U16 => Ok(self.numbers(u16::from_le_bytes).map(i64::from).collect()),
            Dtype::I32 => Ok(self.numbers(i32::from_le_bytes).map(i64::from).collect()),
            Dtype::U32 => Ok(self.numbers(u32::from_le_bytes).map(i64::from).collect()),
            Dtype::I64 => Ok(self.numbers(i64::from_le_bytes).collect()),
            Dtype::U64 => self
                .numbers(u64::from_le_bytes)
                .map(|integer| {
                    i64::try_from(integer)
                        .map_err(|_| DataError::mismatch("a number", "an integer of 64 bits", integer))
                })
                .collect(),
            Dtype::F32 => self.numbers(f32::from_le_bytes).map(|number| whole(number.into())).collect(),
            Dtype::F64 => self.numbers(f64::from_le_bytes).map(whole).collect(),
        }
    }

    /// All truth values, of which integers may be 0 and 1.
    ///
    /// # Errors
    /// [`DataError::Mismatch`] for any other number.
    pub fn to_bool(&self) -> Result<Vec<bool>, DataError> {
        let integers = self.to_i64()?.into_iter();
        integers
            .map(|integer| match integer {
                0 => Ok(false),
                1 => Ok(true),
                _ => Err(DataError::mismatch("a truth value", "0 or 1", integer)),
            })
            .collect()
    }

    pub(crate) fn append(&mut self, more: &Self, place: &str) -> Result<(), DataError> {
        more.expect_kind(self.dtype, &self.shape, place)?;
        self.bytes.extend_from_slice(&more.bytes);
        Ok(())
    }

    pub(crate) fn expect_kind(&self, dtype: Dtype, shape: &[usize], place: &str) -> Result<(), DataError> {
        if self.dtype == dtype && self.shape == shape {
            return Ok(());
        }
        let found = format!("{} of shape {:?}", self.dtype, self.shape);
        Err(DataError::mismatch(place, format!("{dtype} of shape {shape:?}"), found))
    }

    fn numbers<const SIZE: usize, Number>(
        &self,
        read: fn([u8; SIZE]) -> Number,
    ) -> impl Iterator<Item = Number> {
        self.bytes.as_chunks::<SIZE>().0.iter().map(move |chunk| read(*chunk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accessors_keep_every_number_or_say_that_they_cannot() {
        assert_eq!(Array::from_f64(&[1.0, -2.0]).to_i64().expect("integers"), [1, -2]);
        for number in [0.5, f64::NAN, f64::INFINITY, 9_223_372_036_854_775_808.0] {
            Array::from_f64(&[number]).to_i64().expect_err("no integer");
        }
        assert_eq!(Array::from_i64(&[1 << 60]).to_f64().expect("a power of two"), [(1_u64 << 60) as f64]);
        Array::from_i64(&[(1 << 60) + 1]).to_f64().expect_err("float64 has no such integer");
        Array::from_i64(&[i64::MAX]).to_f64().expect_err("float64 has no such integer");
        assert_eq!(Array::from_f64(&[0.1]).to_f32(), [0.1]);
        Array::from_i64(&[2]).to_bool().expect_err("neither 0 nor 1");
    }

    #[test]
    fn bytes_must_be_whole_rows() {
        Array::new(Dtype::F32, vec![2], vec![0; 12]).expect_err("one row and a half");
        Array::new(Dtype::F32, vec![0], vec![]).expect_err("rows of nothing");
        Array::new(Dtype::F32, vec![usize::MAX, 2], vec![]).expect_err("rows beyond counting");
        Array::new(Dtype::Bool, vec![], vec![2]).expect_err("no truth value");
        assert_eq!(Array::new(Dtype::F32, vec![3, 2], vec![0; 48]).expect("two rows").rows(), 2);
    }
}
