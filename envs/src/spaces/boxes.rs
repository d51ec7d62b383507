//! `Box`: an array of numbers, each with its own bounds.

use serde::{Deserialize, Serialize};

use super::SpaceError;

/// The number type of a [`BoxSpace`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit floating point numbers.
    F32,
    /// Bytes.
    U8,
}

/// The bounds of an array of numbers, row-major.
///
/// Invariant: `low`, `high` and the product of `shape` have one length, at least 1; `low[i] <= high[i]`; the bounds of
/// bytes are whole numbers from 0 to 255.
#[derive(Clone, Debug, PartialEq)]
pub struct BoxSpace {
    low: Vec<f32>,
    high: Vec<f32>,
    shape: Vec<usize>,
    dtype: Dtype,
}

impl BoxSpace {
    /// An array of the given shape with bounds for each element, both included; infinite bounds are open.
    ///
    /// # Errors
    /// If the shape is empty in a dimension or does not fit the bounds, if a bound is NaN or not a value of the number
    /// type, or if a lower bound exceeds its upper one.
    pub fn new(low: Vec<f32>, high: Vec<f32>, shape: Vec<usize>, dtype: Dtype) -> Result<Self, SpaceError> {
        let len = element_count(&shape)?;
        if low.len() != len || high.len() != len {
            return Err(SpaceError::invalid(
                "Box",
                format!(
                    "a shape of {len} elements needs as many bounds, got {} low and {} high",
                    low.len(),
                    high.len()
                ),
            ));
        }
        for (i, (&low, &high)) in low.iter().zip(&high).enumerate() {
            check_bounds(low, high, dtype).map_err(|problem| {
                SpaceError::invalid(
                    "Box",
                    format!("{problem}, got low = {low} and high = {high} at index {i}"),
                )
            })?;
        }
        Ok(Self { low, high, shape, dtype })
    }

    /// An array of the given shape with the same bounds for every element.
    ///
    /// # Errors
    /// As [`BoxSpace::new`].
    pub fn uniform(low: f32, high: f32, shape: &[usize], dtype: Dtype) -> Result<Self, SpaceError> {
        let len = element_count(shape)?;
        Self::new(vec![low; len], vec![high; len], shape.to_vec(), dtype)
    }

    /// Lower bounds, row-major.
    pub fn low(&self) -> &[f32] {
        &self.low
    }

    /// Upper bounds, row-major.
    pub fn high(&self) -> &[f32] {
        &self.high
    }

    /// Length of each dimension; empty for a single number.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Number of elements, the product of the shape.
    #[expect(clippy::len_without_is_empty, reason = "a box is never empty")]
    pub fn len(&self) -> usize {
        self.low.len()
    }

    /// Whether every element is bounded on both sides.
    pub fn is_bounded(&self) -> bool {
        self.low.iter().chain(&self.high).all(|bound| bound.is_finite())
    }
}

fn element_count(shape: &[usize]) -> Result<usize, SpaceError> {
    match shape.iter().try_fold(1_usize, |len, &dim| len.checked_mul(dim)) {
        Some(len) if len > 0 => Ok(len),
        _ => Err(SpaceError::invalid(
            "Box",
            format!("every dimension must be at least 1, got shape {shape:?}"),
        )),
    }
}

fn check_bounds(low: f32, high: f32, dtype: Dtype) -> Result<(), &'static str> {
    let is_byte = |bound: f32| (0.0..=255.0).contains(&bound) && bound.fract() == 0.0;
    if low.is_nan() || high.is_nan() {
        Err("bounds must not be NaN")
    } else if low > high {
        Err("low must not exceed high")
    } else if low == f32::INFINITY || high == f32::NEG_INFINITY {
        Err("only low may be -inf and only high may be inf")
    } else if dtype == Dtype::U8 && !(is_byte(low) && is_byte(high)) {
        Err("bounds of bytes must be whole numbers from 0 to 255")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_boxes_are_refused_with_a_reason() {
        let message = |low: &[f32], high: &[f32], shape: &[usize], dtype| {
            BoxSpace::new(low.to_vec(), high.to_vec(), shape.to_vec(), dtype).unwrap_err().to_string()
        };
        assert_eq!(
            message(&[0.0, 2.0], &[1.0, 1.0], &[2], Dtype::F32),
            "invalid Box space: low must not exceed high, got low = 2 and high = 1 at index 1"
        );
        assert_eq!(
            message(&[f32::NAN], &[1.0], &[], Dtype::F32),
            "invalid Box space: bounds must not be NaN, got low = NaN and high = 1 at index 0"
        );
        assert_eq!(
            message(&[0.0], &[1.0, 1.0], &[2], Dtype::F32),
            "invalid Box space: a shape of 2 elements needs as many bounds, got 1 low and 2 high"
        );
        assert_eq!(
            message(&[], &[], &[3, 0], Dtype::F32),
            "invalid Box space: every dimension must be at least 1, got shape [3, 0]"
        );
        assert_eq!(
            message(&[0.5], &[256.0], &[1], Dtype::U8),
            "invalid Box space: bounds of bytes must be whole numbers from 0 to 255, got low = 0.5 and high = 256 at index 0"
        );
        assert!(
            message(&[f32::INFINITY], &[f32::INFINITY], &[1], Dtype::F32).contains("only low may be -inf")
        );
        assert!(message(&[], &[], &[usize::MAX, 2], Dtype::F32).contains("every dimension"));
    }

    #[test]
    fn shape_without_dimensions_is_one_number() {
        let space = BoxSpace::uniform(-1.0, 1.0, &[], Dtype::F32).unwrap();
        assert_eq!((space.len(), space.shape(), space.is_bounded()), (1, &[][..], true));
    }
}
