//! Maps whose weight is stored as integers, or without its zeros: how it is read back.

use serde::{Deserialize, Serialize};

use crate::arithmetic;
use crate::error::PolicyError;
use crate::operation::Operation;
use crate::program::{Parameter, Parameters};

/// Values that the weight of a map may have.
const MOST_WEIGHTS: usize = 1 << 26;

/// Bytes that a row of integers may be multiplied with: sums fit in 32 bits.
const MOST_BYTES: usize = 1 << 16;

/// How a number becomes a byte: `q = clamp(round(x / scale) + zero_point, 0, 255)`, which stands for
/// `scale · (q − zero_point)`. Ties go to the even integer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantization {
    /// What a step stands for.
    pub scale: f32,
    /// The byte of zero.
    pub zero_point: u8,
}

impl Quantization {
    /// The byte of a number, as all runners compute it: the quotient is a product with the inverse of the scale.
    #[must_use]
    pub fn byte(&self, x: f32) -> u8 {
        let zero = f32::from(self.zero_point);
        let steps = arithmetic::nearest((x * self.inverse()).clamp(-zero, 255.0 - zero));
        (steps + i32::from(self.zero_point)) as u8
    }

    /// `1 / scale`.
    #[must_use]
    pub fn inverse(&self) -> f32 {
        1.0 / self.scale
    }

    pub(crate) fn check(&self) -> Result<(), PolicyError> {
        if self.scale.is_finite() && self.scale > 0.0 && self.inverse().is_finite() {
            return Ok(());
        }
        let (what, expected) = ("the scale of a layer's input".to_owned(), "a positive number".to_owned());
        Err(PolicyError::Size { what, expected, found: self.scale.to_string() })
    }
}

/// A linear map or convolution as it is stored: [`Operation::Linear`] or [`Operation::Conv2d`], perhaps within
/// [`Operation::Sparse`] and [`Operation::Quantized`].
#[derive(Clone, Debug, PartialEq)]
pub struct StoredMap<'a> {
    /// The linear map or convolution itself.
    pub map: &'a Operation,
    /// The name of its weight.
    pub weight: &'a str,
    /// The name of its bias.
    pub bias: &'a str,
    /// The name of the scales of its integers, if they are some.
    pub scale: Option<&'a str>,
    /// The name of the places of what is stored of it, if that is not all.
    pub places: Option<&'a str>,
    /// How its inputs become integers, if they do.
    pub input: Option<Quantization>,
    /// Rows of the weight: outputs, or channels that come out.
    pub rows: usize,
    /// Columns of the weight: inputs, or the values of a patch.
    pub columns: usize,
}

impl<'a> StoredMap<'a> {
    /// The map of an operation; none if it is no map.
    ///
    /// # Errors
    /// If there is something else within, or the weight has too many values.
    pub fn of(operation: &'a Operation) -> Result<Option<Self>, PolicyError> {
        let wrong = |found: &Operation| {
            let what = "the map of compressed weights".to_owned();
            let expected = "a linear map or a convolution".to_owned();
            Err(PolicyError::Size { what, expected, found: found.name().to_owned() })
        };
        let (mut map, mut scale, mut places, mut input) = (operation, None, None, None);
        if let Operation::Quantized { map: inner, scale: of_weight, input: of_input } = map {
            (map, scale, input) = (&**inner, Some(of_weight.as_str()), *of_input);
        }
        if let Operation::Sparse { map: inner, places: at } = map {
            (map, places) = (&**inner, Some(at.as_str()));
        }
        let (weight, bias, rows, columns) = match map {
            Operation::Linear { weight, bias, inputs, outputs } => (weight, bias, *outputs, Some(*inputs)),
            Operation::Conv2d { weight, bias, input, output, kernel, groups, .. } => {
                let channels = input[0].checked_div(*groups).unwrap_or(0);
                let area = channels.checked_mul(kernel[0]).and_then(|size| size.checked_mul(kernel[1]));
                (weight, bias, output[0], area)
            }
            _ if std::ptr::eq(map, operation) => return Ok(None),
            other => return wrong(other),
        };
        let len = columns.and_then(|columns| columns.checked_mul(rows));
        let (Some(columns), Some(1..=MOST_WEIGHTS)) = (columns, len) else {
            let (what, expected) = ("a weight".to_owned(), format!("1 to {MOST_WEIGHTS} values"));
            return Err(PolicyError::Size { what, expected, found: format!("{rows} times {columns:?}") });
        };
        if let Some(input) = input {
            input.check()?;
            if columns > MOST_BYTES {
                let (what, found) = ("a row of integers".to_owned(), columns.to_string());
                return Err(PolicyError::Size {
                    what,
                    expected: format!("at most {MOST_BYTES} values"),
                    found,
                });
            }
            if places.is_some() {
                let what = "the input of a map without its zeros".to_owned();
                let (expected, found) = ("numbers".to_owned(), "bytes".to_owned());
                return Err(PolicyError::Size { what, expected, found });
            }
        }
        Ok(Some(Self { map, weight, bias, scale, places, input, rows, columns }))
    }

    /// Sizes of its weight, without what compresses it.
    #[must_use]
    pub fn shape(&self) -> Vec<usize> {
        match self.map {
            Operation::Conv2d { input, output, kernel, groups, .. } => {
                vec![output[0], input[0] / groups.max(&1), kernel[0], kernel[1]]
            }
            _ => vec![self.rows, self.columns],
        }
    }

    /// The weight as it is stored, `[rows, columns]`, zeros included: integers if there are scales, else numbers.
    ///
    /// # Errors
    /// If a parameter is missing, of another size, or has values that it may not have.
    pub fn stored(&self, parameters: &Parameters) -> Result<Vec<f32>, PolicyError> {
        let len = self.rows * self.columns;
        let weight = match self.places {
            None => values(parameters, self.weight, &self.shape())?.to_vec(),
            Some(places) => {
                let bits = values(parameters, places, &[len.div_ceil(8)])?;
                check_integers(places, bits, 0.0..=255.0)?;
                let is_there = |at: &usize| (bits[at / 8] as u8 >> (at % 8)) & 1 == 1;
                let there: Vec<usize> = (0..len).filter(is_there).collect();
                let mut weight = vec![0.0; len];
                let found = values(parameters, self.weight, &[there.len()])?;
                there.into_iter().zip(found).for_each(|(at, value)| weight[at] = *value);
                weight
            }
        };
        if self.scale.is_some() {
            check_integers(self.weight, &weight, -127.0..=127.0)?;
        }
        Ok(weight)
    }

    /// The scale of each row, if the weight is integers.
    ///
    /// # Errors
    /// As [`Self::stored`].
    pub fn scales(&self, parameters: &Parameters) -> Result<Option<Vec<f32>>, PolicyError> {
        let scale = self.scale.map(|name| values(parameters, name, &[self.rows]).map(<[f32]>::to_vec));
        scale.transpose()
    }

    /// The weight as numbers, `[rows, columns]`.
    ///
    /// # Errors
    /// As [`Self::stored`].
    pub fn weights(&self, parameters: &Parameters) -> Result<Vec<f32>, PolicyError> {
        let mut weight = self.stored(parameters)?;
        if let Some(scales) = self.scales(parameters)? {
            let rows = weight.chunks_exact_mut(self.columns).zip(scales);
            rows.for_each(|(row, scale)| row.iter_mut().for_each(|value| *value *= scale));
        }
        Ok(weight)
    }

    /// The bias, `[rows]`.
    ///
    /// # Errors
    /// As [`Self::stored`].
    pub fn biases(&self, parameters: &Parameters) -> Result<Vec<f32>, PolicyError> {
        values(parameters, self.bias, &[self.rows]).map(<[f32]>::to_vec)
    }
}

/// The values of a parameter of a shape.
pub(crate) fn values<'a>(
    parameters: &'a Parameters,
    name: &str,
    shape: &[usize],
) -> Result<&'a [f32], PolicyError> {
    let Some(Parameter { shape: own, values }) = parameters.get(name) else {
        return Err(PolicyError::Parameter(name.to_owned()));
    };
    let len = shape.iter().try_fold(1_usize, |len, &size| len.checked_mul(size));
    if own != shape || Some(values.len()) != len {
        let (expected, found) = (format!("{shape:?}"), format!("{own:?}"));
        return Err(PolicyError::Size { what: name.to_owned(), expected, found });
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(PolicyError::NotFinite { what: "a parameter", index, value: values[index] }),
        None => Ok(values),
    }
}

fn check_integers(
    name: &str,
    values: &[f32],
    range: std::ops::RangeInclusive<f32>,
) -> Result<(), PolicyError> {
    match values.iter().find(|value| value.fract() != 0.0 || !range.contains(value)) {
        Some(value) => {
            let expected = format!("integers from {} to {}", range.start(), range.end());
            Err(PolicyError::Size { what: name.to_owned(), expected, found: value.to_string() })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_nearest_and_ties_are_even() {
        let quantization = Quantization { scale: 0.5, zero_point: 10 };
        let cases = [
            (0.0, 10),
            (0.25, 10),
            (0.75, 12),
            (-0.25, 10),
            (-0.75, 8),
            (1e9, 255),
            (-1e9, 0),
            (122.5, 255),
            (122.24, 254),
        ];
        for (x, byte) in cases {
            assert_eq!(quantization.byte(x), byte, "{x}");
        }
    }

    #[test]
    fn what_is_not_there_is_zero_and_integers_have_the_scale_of_their_row() {
        let name = |name: &str| name.to_owned();
        let map = Box::new(Operation::Linear { weight: name("w"), bias: name("b"), inputs: 3, outputs: 2 });
        let sparse = Operation::Sparse { map, places: name("p") };
        let whole = Operation::Quantized { map: Box::new(sparse), scale: name("s"), input: None };
        let parameter = |values: &[f32]| Parameter { shape: vec![values.len()], values: values.to_vec() };
        let mut parameters = Parameters::from([
            (name("w"), parameter(&[5.0, -127.0])),
            (name("b"), parameter(&[1.0, 2.0])),
            (name("p"), parameter(&[f32::from(0b010_100_u8)])),
            (name("s"), parameter(&[0.5, 2.0])),
        ]);
        let stored = StoredMap::of(&whole).unwrap().unwrap();
        assert_eq!(stored.weights(&parameters).unwrap(), [0.0, 0.0, 2.5, 0.0, -254.0, 0.0]);
        assert_eq!(stored.biases(&parameters).unwrap(), [1.0, 2.0]);
        for (wrong, part) in [(&[5.0, 0.5][..], "integers"), (&[5.0, 200.0], "integers"), (&[5.0], "[2]")] {
            parameters.insert(name("w"), parameter(wrong));
            let message = stored.weights(&parameters).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
        let twice = Operation::Sparse { map: Box::new(whole), places: name("p") };
        assert!(StoredMap::of(&twice).unwrap_err().to_string().contains("a linear map or a convolution"));
    }
}
