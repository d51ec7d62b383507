//! `Value`: one element of a space.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One element of a [`Space`](super::Space); its variant must be that of the space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// An integer.
    Discrete(i64),
    /// The elements of an `f32` array, row-major; the space knows the shape.
    Box(Vec<f32>),
    /// The elements of an array of bytes, row-major; the space knows the shape.
    BoxU8(Vec<u8>),
    /// The index chosen in each factor.
    MultiDiscrete(Vec<i64>),
    /// Bits.
    MultiBinary(Vec<bool>),
    /// Named values.
    Dict(BTreeMap<String, Value>),
    /// Values in order.
    Tuple(Vec<Value>),
}

impl Value {
    /// Named values from pairs; of two values with one name the later one stays.
    pub fn dict<N: Into<String>>(entries: impl IntoIterator<Item = (N, Self)>) -> Self {
        Self::Dict(entries.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// What the value is, in words for an error.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Discrete(value) => format!("the integer {value}"),
            Self::Box(data) => format!("{} float32 numbers", data.len()),
            Self::BoxU8(data) => format!("{} bytes", data.len()),
            Self::MultiDiscrete(data) => format!("{} integers", data.len()),
            Self::MultiBinary(data) => format!("{} bits", data.len()),
            Self::Dict(entries) => format!("a dict of {}", entries.len()),
            Self::Tuple(entries) => format!("a tuple of {}", entries.len()),
        }
    }
}
