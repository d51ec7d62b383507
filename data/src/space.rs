//! What an observation or an action may be: the spaces of Gymnasium, as Minari writes them into its metadata.

mod json;

use std::fmt;

use crate::{DataError, Dtype, Value};

/// The set that every observation, or every action, of a data set is from.
#[derive(Clone, Debug, PartialEq)]
pub enum Space {
    /// Numbers between two bounds.
    Box {
        /// The kind of the numbers.
        dtype: Dtype,
        /// How many, in each dimension.
        shape: Vec<usize>,
        /// The least of each number, may be `-Infinity`. Integers beyond 2^53 are rounded, and are written no less than the
        /// least of the kind.
        low: Vec<f64>,
        /// The greatest of each number, may be `Infinity`. Integers as in `low`.
        high: Vec<f64>,
    },
    /// One of `n` integers from `start`, stored as `int64`.
    Discrete {
        /// The least.
        start: i64,
        /// How many.
        n: i64,
    },
    /// Several integers, each one of `nvec` from `start`.
    MultiDiscrete {
        /// The kind of the integers.
        dtype: Dtype,
        /// How many, in each dimension.
        shape: Vec<usize>,
        /// How many values each may have.
        nvec: Vec<i64>,
        /// The least value of each.
        start: Vec<i64>,
    },
    /// Several values of 0 or 1, stored as `int8`.
    MultiBinary {
        /// How many, in each dimension.
        shape: Vec<usize>,
    },
    /// A text.
    Text {
        /// The most characters.
        max_length: u64,
        /// The fewest characters.
        min_length: u64,
        /// The characters that may stand in it.
        charset: String,
    },
    /// Named parts, in order.
    Dict(Vec<(String, Space)>),
    /// Parts by position.
    Tuple(Vec<Space>),
}

/// Bounds that are written out at most, where they differ.
const MOST_BOUNDS: usize = 8;

/// As Gymnasium prints a space; of many bounds that differ the first ones.
impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Box { dtype, shape, low, high } => {
                write!(f, "Box({}, {}, {}, {dtype})", bounds(low), bounds(high), tuple(shape))
            }
            Self::Discrete { start: 0, n } => write!(f, "Discrete({n})"),
            Self::Discrete { start, n } => write!(f, "Discrete({n}, start={start})"),
            Self::MultiDiscrete { nvec, .. } => write!(f, "MultiDiscrete([{}])", joined(nvec, " ")),
            Self::MultiBinary { shape } => match shape[..] {
                [n] => write!(f, "MultiBinary({n})"),
                _ => write!(f, "MultiBinary({})", tuple(shape)),
            },
            Self::Text { max_length, min_length, .. } => write!(f, "Text({min_length}, {max_length})"),
            Self::Dict(parts) => {
                let parts: Vec<String> =
                    parts.iter().map(|(name, part)| format!("'{name}': {part}")).collect();
                write!(f, "Dict({})", parts.join(", "))
            }
            Self::Tuple(parts) => write!(f, "Tuple({})", joined(parts, ", ")),
        }
    }
}

fn joined(values: &[impl fmt::Display], between: &str) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
}

/// A shape as Python writes it: a tuple of one element ends in a comma.
fn tuple(shape: &[usize]) -> String {
    if let [one] = shape { format!("({one},)") } else { format!("({})", joined(shape, ", ")) }
}

/// One number if all are the same.
fn bounds(all: &[f64]) -> String {
    match all {
        [first, others @ ..] if others.iter().all(|other| other == first) => first.to_string(),
        _ if all.len() > MOST_BOUNDS => format!("[{} ...]", joined(&all[..MOST_BOUNDS], " ")),
        _ => format!("[{}]", joined(all, " ")),
    }
}

impl Space {
    /// Reads the text that Minari's `serialize_space` writes.
    ///
    /// # Errors
    /// [`DataError::Json`] for what is no JSON, [`DataError::Mismatch`] or [`DataError::Unsupported`] naming the part of
    /// the space that is not as it should be.
    pub fn parse(json: &str) -> Result<Self, DataError> {
        json::read(&Value::parse(json)?, "space")
    }

    /// The text that Minari's `deserialize_space` reads.
    #[must_use]
    pub fn to_json(&self) -> String {
        json::write(self).to_json()
    }

    /// Whether Minari takes such arrays for images, which it stores as JPEG unless it is told not to: two or three
    /// dimensions of which the first two are at least 32, and numbers of `uint8` from 0 to 255.
    #[must_use]
    #[doc(alias = "is_image_space")]
    pub fn is_image(&self) -> bool {
        match self {
            Self::Box { dtype: Dtype::U8, shape, low, high } => {
                matches!(shape.as_slice(), [height, width] | [height, width, _] if *height >= 32 && *width >= 32)
                    && low.iter().all(|bound| *bound == 0.0)
                    && high.iter().all(|bound| *bound == 255.0)
            }
            _ => false,
        }
    }

    /// Whether the space or a part of it [is an image](Self::is_image).
    #[must_use]
    pub fn has_image(&self) -> bool {
        match self {
            Self::Dict(parts) => parts.iter().any(|(_, part)| part.has_image()),
            Self::Tuple(parts) => parts.iter().any(Self::has_image),
            _ => self.is_image(),
        }
    }

    /// Kind and shape of one value, where the values of the space are arrays.
    #[must_use]
    pub fn array_kind(&self) -> Option<(Dtype, &[usize])> {
        match self {
            Self::Box { dtype, shape, .. } | Self::MultiDiscrete { dtype, shape, .. } => {
                Some((*dtype, shape))
            }
            Self::Discrete { .. } => Some((Dtype::I64, &[])),
            Self::MultiBinary { shape } => Some((Dtype::I8, shape)),
            Self::Text { .. } | Self::Dict(_) | Self::Tuple(_) => None,
        }
    }

    /// The name of the kind of space.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Box { .. } => "Box",
            Self::Discrete { .. } => "Discrete",
            Self::MultiDiscrete { .. } => "MultiDiscrete",
            Self::MultiBinary { .. } => "MultiBinary",
            Self::Text { .. } => "Text",
            Self::Dict(_) => "Dict",
            Self::Tuple(_) => "Tuple",
        }
    }
}

/// The two spaces of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Spaces {
    /// What is observed.
    pub observation: Space,
    /// What is done.
    pub action: Space,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(text: &str) -> Space {
        let space = Space::parse(text).expect("text is right");
        assert_eq!(space.to_json(), text);
        space
    }

    #[test]
    fn every_space_is_written_as_it_was_read() {
        round_trip(
            r#"{"type": "Box", "dtype": "float32", "shape": [2], "low": [-Infinity, -0.41887903213500977], "high": [Infinity, 0.5]}"#,
        );
        round_trip(r#"{"type": "Box", "dtype": "float64", "shape": [], "low": -1.0, "high": 1.0}"#);
        round_trip(
            r#"{"type": "Box", "dtype": "int16", "shape": [2, 1], "low": [[0], [1]], "high": [[2], [3]]}"#,
        );
        round_trip(r#"{"type": "Discrete", "dtype": "int64", "start": -3, "n": 5}"#);
        round_trip(
            r#"{"type": "MultiDiscrete", "dtype": "int64", "nvec": [[2, 3], [4, 5]], "start": [[0, 0], [1, 1]]}"#,
        );
        round_trip(r#"{"type": "MultiBinary", "n": 4}"#);
        round_trip(r#"{"type": "MultiBinary", "n": [2, 3]}"#);
        round_trip(
            r#"{"type": "Dict", "subspaces": {"b": {"type": "Tuple", "subspaces": [{"type": "Text", "max_length": 4, "min_length": 1, "charset": "ab\u00e9"}]}, "a": {"type": "MultiBinary", "n": 1}}}"#,
        );
    }

    #[test]
    fn spaces_are_said_as_gymnasium_says_them() {
        for (text, said) in [
            (r#"{"type": "Discrete", "dtype": "int64", "start": -3, "n": 5}"#, "Discrete(5, start=-3)"),
            (r#"{"type": "Discrete", "dtype": "int64", "start": 0, "n": 5}"#, "Discrete(5)"),
            (
                r#"{"type": "Box", "dtype": "float32", "shape": [2], "low": [-Infinity, -0.5], "high": [1.0, 1.0]}"#,
                "Box([-inf -0.5], 1, (2,), float32)",
            ),
            (
                r#"{"type": "MultiDiscrete", "dtype": "int64", "nvec": [2, 3], "start": [0, 0]}"#,
                "MultiDiscrete([2 3])",
            ),
            (
                r#"{"type": "Dict", "subspaces": {"b": {"type": "Tuple", "subspaces": [{"type": "MultiBinary", "n": 4}]}}}"#,
                "Dict('b': Tuple(MultiBinary(4)))",
            ),
        ] {
            assert_eq!(Space::parse(text).expect("text is right").to_string(), said);
        }
        let low: Vec<f64> = (0..9).map(f64::from).collect();
        let space = Space::Box { dtype: Dtype::F32, shape: vec![3, 3], high: vec![9.0; 9], low };
        assert_eq!(space.to_string(), "Box([0 1 2 3 4 5 6 7 ...], 9, (3, 3), float32)");
    }

    #[test]
    fn bounds_of_wide_integers_stay_within_their_kind() {
        let text = r#"{"type": "Box", "dtype": "int64", "shape": [1], "low": [-9223372036854775808], "high": [9223372036854775807]}"#;
        round_trip(text);
        round_trip(
            r#"{"type": "Box", "dtype": "uint64", "shape": [1], "low": [0], "high": [18446744073709551615]}"#,
        );
    }

    #[test]
    fn only_large_byte_arrays_with_full_bounds_are_images() {
        let image = |shape: Vec<usize>, high: f64| {
            let count = shape.iter().product();
            Space::Box { dtype: Dtype::U8, shape, low: vec![0.0; count], high: vec![high; count] }.is_image()
        };
        assert!(image(vec![32, 32, 3], 255.0) && image(vec![40, 32], 255.0));
        assert!(
            !image(vec![31, 32, 3], 255.0)
                && !image(vec![32, 32], 254.0)
                && !image(vec![32, 32, 3, 1], 255.0)
        );
    }

    #[test]
    fn malformed_spaces_name_the_part() {
        for (text, part) in [
            (r#"{"type": "Graph"}"#, "space"),
            (r#"{"type": "Dict", "subspaces": {"a": {"type": "MultiBinary"}}}"#, "space.a.n"),
            (r#"{"type": "Box", "dtype": "float16", "shape": [], "low": 0, "high": 1}"#, "space.dtype"),
            (r#"{"type": "Box", "dtype": "int8", "shape": [2], "low": [0], "high": [1, 1]}"#, "space.low"),
            (r#"{"type": "Box", "dtype": "int8", "shape": [0], "low": [], "high": []}"#, "space.shape"),
            (
                r#"{"type": "Box", "dtype": "int8", "shape": [4611686018427387904, 8], "low": [0], "high": [1]}"#,
                "space.shape",
            ),
            (
                r#"{"type": "MultiDiscrete", "dtype": "int64", "nvec": [[1], [1, 2]], "start": 0}"#,
                "space.nvec",
            ),
            (r#"{"type": "Discrete", "n": 0}"#, "space.n"),
            ("3", "space"),
        ] {
            let error = Space::parse(text).expect_err(text).to_string();
            assert!(error.starts_with(&format!("{part} ")), "{error}");
        }
    }
}
