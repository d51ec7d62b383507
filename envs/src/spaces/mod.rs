//! Spaces: which observations and actions an environment knows, and how they are drawn, checked and laid out.
//!
//! A [`Space`] describes, a [`Value`] is one element. What the simulator and the networks move around is neither: it is
//! a **packed row**, one fixed-length run of `f32` per environment, so that a batch of any space is one matrix without a
//! per-value allocation. Flattening, as Gymnasium defines it, is the one-hot layout that networks read.
//!
//! | space | packed row | flat row |
//! |---|---|---|
//! | `Discrete` | 1 number, the value | `n` numbers, one-hot |
//! | `Box` | its elements, row-major | the same |
//! | `MultiDiscrete` | 1 number a factor | one-hot of each factor |
//! | `MultiBinary` | `n` numbers, 0 or 1 | the same |
//! | `Dict`, `Tuple` | the rows of the entries, in order | the same |
//!
//! Every value of a space has exactly one row of each kind: integers are limited to what `f32` holds exactly.
//!
//! # Source
//! `gymnasium.spaces` and `gymnasium.spaces.utils`, Gymnasium 1.3.0.

mod boxes;
mod contains;
mod display;
mod error;
mod flatten;
mod image;
mod pack;
mod sample;
pub(crate) mod saved;
mod value;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use boxes::{BoxSpace, Dtype};
pub use error::SpaceError;
pub use image::ImageLayout;
pub use value::Value;

use saved::SavedSpace;

/// The largest magnitude below which every integer is an `f32`: 2^24.
const MAX_EXACT: i64 = 1 << 24;

/// A set of observations or actions.
///
/// Build one with the constructors, which check it; the methods rely on what they check.
///
/// ```
/// # use agon_envs::spaces::Space;
/// # fn main() -> Result<(), agon_envs::spaces::SpaceError> {
/// let space = Space::dict([
///     ("position", Space::box_f32(&[-4.8, f32::NEG_INFINITY], &[4.8, f32::INFINITY])?),
///     ("gear", Space::discrete(5)?),
/// ])?;
/// assert_eq!(space.to_string(), "Dict('gear': Discrete(5), 'position': Box([-4.8 -inf], [4.8 inf], (2,), float32))");
/// assert_eq!((space.packed_len(), space.flat_len()), (3, 7));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "SavedSpace", try_from = "SavedSpace")]
pub enum Space {
    /// The integers `start..start + n`.
    Discrete {
        /// Number of values.
        n: usize,
        /// The smallest value.
        start: i64,
    },
    /// An array of numbers with bounds.
    Box(BoxSpace),
    /// Several independent choices, the `i`-th among `0..nvec[i]`.
    MultiDiscrete {
        /// Number of values of each choice.
        nvec: Vec<usize>,
    },
    /// Several independent bits.
    MultiBinary {
        /// Number of bits.
        n: usize,
    },
    /// Named spaces, ordered by name.
    Dict(BTreeMap<String, Space>),
    /// Spaces in order.
    Tuple(Vec<Space>),
}

impl Space {
    /// The integers below `n`.
    ///
    /// # Errors
    /// If `n` is 0 or exceeds 2^24.
    pub fn discrete(n: usize) -> Result<Self, SpaceError> {
        Self::discrete_from(0, n)
    }

    /// The `n` integers from `start` on.
    ///
    /// # Errors
    /// If `n` is 0 or a value lies outside of ±2^24.
    pub fn discrete_from(start: i64, n: usize) -> Result<Self, SpaceError> {
        if n == 0 {
            return Err(SpaceError::invalid("Discrete", "n must be at least 1, got 0"));
        }
        let last = i64::try_from(n - 1).ok().and_then(|span| start.checked_add(span));
        if start < -MAX_EXACT || last.is_none_or(|last| last > MAX_EXACT) {
            let problem = format!("values must lie within ±{MAX_EXACT}, got start = {start} and n = {n}");
            return Err(SpaceError::invalid("Discrete", problem));
        }
        Ok(Self::Discrete { n, start })
    }

    /// A vector of `f32`, each element with its own bounds; infinite bounds are open.
    ///
    /// # Errors
    /// If the bounds are empty or differ in length, if a bound is NaN, or if a lower one exceeds its upper one.
    pub fn box_f32(low: &[f32], high: &[f32]) -> Result<Self, SpaceError> {
        BoxSpace::new(low.to_vec(), high.to_vec(), vec![low.len()], Dtype::F32).map(Self::Box)
    }

    /// An array of `f32` with the same bounds for every element.
    ///
    /// # Errors
    /// If a dimension is 0, a bound is NaN, or `low` exceeds `high`.
    pub fn box_uniform(low: f32, high: f32, shape: &[usize]) -> Result<Self, SpaceError> {
        BoxSpace::uniform(low, high, shape, Dtype::F32).map(Self::Box)
    }

    /// An array of bytes, 0 to 255, such as an image.
    ///
    /// # Errors
    /// If a dimension is 0.
    pub fn image_u8(shape: &[usize]) -> Result<Self, SpaceError> {
        BoxSpace::uniform(0.0, 255.0, shape, Dtype::U8).map(Self::Box)
    }

    /// Independent choices, the `i`-th among `0..nvec[i]`.
    ///
    /// # Errors
    /// If there are no choices, or one has no value or more than 2^24.
    pub fn multi_discrete(nvec: &[usize]) -> Result<Self, SpaceError> {
        if nvec.is_empty() {
            return Err(SpaceError::invalid("MultiDiscrete", "nvec must not be empty"));
        }
        if let Some((i, n)) = nvec.iter().enumerate().find(|&(_, &n)| n == 0 || n > MAX_EXACT as usize) {
            let problem = format!("nvec must lie between 1 and {MAX_EXACT}, got {n} at index {i}");
            return Err(SpaceError::invalid("MultiDiscrete", problem));
        }
        Ok(Self::MultiDiscrete { nvec: nvec.to_vec() })
    }

    /// `n` bits.
    ///
    /// # Errors
    /// If `n` is 0.
    pub fn multi_binary(n: usize) -> Result<Self, SpaceError> {
        if n == 0 {
            return Err(SpaceError::invalid("MultiBinary", "n must be at least 1, got 0"));
        }
        Ok(Self::MultiBinary { n })
    }

    /// Named spaces. Their order is that of the names, whatever order they are given in.
    ///
    /// # Errors
    /// If there are no entries or a name occurs twice.
    pub fn dict<N: Into<String>>(entries: impl IntoIterator<Item = (N, Self)>) -> Result<Self, SpaceError> {
        let mut spaces = BTreeMap::new();
        for (name, space) in entries {
            let name = name.into();
            if spaces.contains_key(&name) {
                return Err(SpaceError::invalid("Dict", format!("names must differ, got `{name}` twice")));
            }
            spaces.insert(name, space);
        }
        if spaces.is_empty() {
            return Err(SpaceError::invalid("Dict", "at least one entry is needed, got none"));
        }
        Ok(Self::Dict(spaces))
    }

    /// Spaces in order.
    ///
    /// # Errors
    /// If there are none.
    pub fn tuple(spaces: impl IntoIterator<Item = Self>) -> Result<Self, SpaceError> {
        let spaces: Vec<Self> = spaces.into_iter().collect();
        if spaces.is_empty() {
            return Err(SpaceError::invalid("Tuple", "at least one space is needed, got none"));
        }
        Ok(Self::Tuple(spaces))
    }

    /// The shape of the array that a value is in Gymnasium; `Dict` and `Tuple` have none.
    pub fn shape(&self) -> Option<Vec<usize>> {
        match self {
            Self::Discrete { .. } => Some(vec![]),
            Self::Box(space) => Some(space.shape().to_vec()),
            Self::MultiDiscrete { nvec } => Some(vec![nvec.len()]),
            Self::MultiBinary { n } => Some(vec![*n]),
            Self::Dict(_) | Self::Tuple(_) => None,
        }
    }

    /// The name of the kind of space, as in Gymnasium.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Discrete { .. } => "Discrete",
            Self::Box(_) => "Box",
            Self::MultiDiscrete { .. } => "MultiDiscrete",
            Self::MultiBinary { .. } => "MultiBinary",
            Self::Dict(_) => "Dict",
            Self::Tuple(_) => "Tuple",
        }
    }
}

impl From<BoxSpace> for Space {
    fn from(space: BoxSpace) -> Self {
        Self::Box(space)
    }
}

#[cfg(test)]
mod tests;
