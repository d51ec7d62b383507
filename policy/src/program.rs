//! A whole policy, from an environment's observation to its action.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::operation::Operation;

/// What a policy computes of one row: the parts of an observation, joined and prepared, go through the network, and an action
/// is read from what comes out.
///
/// All numbers are single precision unless said otherwise. Rows do not depend on each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyProgram {
    /// The parts of an observation, whose values are joined in this order.
    pub inputs: Vec<InputPart>,
    /// What is done to the joined values, in this order.
    pub preparation: Vec<Preparation>,
    /// The network.
    pub operations: Vec<Operation>,
    /// How an action is read from its outputs.
    pub decision: Decision,
    /// What is done to an action of numbers, in this order.
    pub adjustments: Vec<Adjustment>,
    /// What the environment takes.
    pub action: ActionSpace,
    /// Values of an action mask, one for each option of each choice; zero if the environment has none.
    pub mask_len: usize,
}

/// A parameter of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its sizes, as PyTorch has them.
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<f32>,
}

/// Parameters by the names that operations have for them.
pub type Parameters = BTreeMap<String, Parameter>;

/// A part of an observation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputPart {
    /// `obs`, and the names of entries after it: `obs.camera`.
    pub name: String,
    /// Of one row.
    pub shape: Vec<usize>,
    /// What its values are.
    pub kind: InputKind,
    /// Lower bounds, one for each value; none where there are none.
    #[serde(default)]
    pub low: Vec<Option<f32>>,
    /// Upper bounds.
    #[serde(default)]
    pub high: Vec<Option<f32>>,
}

impl InputPart {
    /// Values of a row.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What the values of an [`InputPart`] are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// Numbers.
    Float,
    /// Bytes, such as those of images.
    Byte,
    /// Integers: the index of a category, or bits.
    Integer,
}

/// What stands for the frames before an episode's first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// Copies of the first.
    #[default]
    Reset,
    /// Zeros.
    Zero,
}

/// A step between an observation and the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Preparation {
    /// The last observations of the episode as one, the newest last; its state is the older ones.
    ///
    /// A row of `groups × group_len` values becomes one of `groups × (frames · group_len)`.
    Stack {
        /// How many.
        frames: usize,
        /// Groups that are stacked each by itself.
        groups: usize,
        /// Values of a group.
        group_len: usize,
        /// What comes before the first.
        padding: Padding,
    },
    /// `clamp((x − mean) · scale, ±clip)`, in double precision until it is clipped.
    Normalize {
        /// Of each value.
        mean: Vec<f64>,
        /// Of each value.
        scale: Vec<f64>,
        /// Largest absolute value.
        clip: f32,
    },
    /// Values that are categories become unit vectors.
    OneHot {
        /// Categories of each value; zero where it stays a number.
        categories: Vec<usize>,
        /// The category that is the first of each value's.
        first: Vec<i64>,
    },
    /// Only these values, in this order.
    Select {
        /// Their indices.
        indices: Vec<usize>,
    },
    /// Some values become zero.
    Hide {
        /// Of each value whether it stays.
        shown: Vec<bool>,
    },
    /// Every value times this one.
    Scale {
        /// The factor.
        by: f32,
    },
}

/// How the best action is read from a row of a network's outputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Decision {
    /// The largest logit of each choice, of those that are legal.
    Categorical {
        /// Options of each choice.
        nvec: Vec<usize>,
    },
    /// The means, which come first, within the bounds; logarithms of standard deviations follow.
    Gaussian {
        /// Lower bounds.
        #[serde(with = "lower")]
        low: Vec<f32>,
        /// Upper bounds.
        #[serde(with = "upper")]
        high: Vec<f32>,
    },
    /// `tanh` of the means, which come first, from −1..1 to the bounds.
    Squashed {
        /// Lower bounds.
        low: Vec<f32>,
        /// Upper bounds.
        high: Vec<f32>,
    },
    /// The legal action of the highest value.
    Values {
        /// Actions.
        actions: usize,
    },
    /// As `Values`, of logits `[A, Z]` over evenly spaced returns.
    Categories {
        /// Actions.
        actions: usize,
        /// The returns.
        support: Vec<f32>,
    },
    /// As `Values`, of quantiles `[A, Z]`.
    Quantiles {
        /// Actions.
        actions: usize,
        /// Quantiles of each.
        quantiles: usize,
    },
}

/// A step between an action of numbers and the environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Adjustment {
    /// `clamp(low + (high − low) · (a − min) / (max − min), low, high)`.
    Rescale {
        /// Least action before.
        min: f32,
        /// Greatest action before.
        max: f32,
        /// Lower bounds after.
        low: Vec<f32>,
        /// Upper bounds after.
        high: Vec<f32>,
    },
    /// `clamp(a, low, high)`.
    Clip {
        /// Lower bounds.
        #[serde(with = "lower")]
        low: Vec<f32>,
        /// Upper bounds.
        #[serde(with = "upper")]
        high: Vec<f32>,
    },
}

/// What an environment takes of one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ActionSpace {
    /// An integer, `start..start + n`.
    Discrete {
        /// How many.
        n: usize,
        /// The first.
        start: i64,
    },
    /// An integer below each of these.
    MultiDiscrete {
        /// How many for each.
        nvec: Vec<usize>,
    },
    /// Bits.
    MultiBinary {
        /// How many.
        n: usize,
    },
    /// Numbers.
    Box {
        /// Of the array of them.
        shape: Vec<usize>,
        /// Lower bounds.
        #[serde(with = "lower")]
        low: Vec<f32>,
        /// Upper bounds.
        #[serde(with = "upper")]
        high: Vec<f32>,
    },
}

/// Bounds are JSON's `null` where there is none.
macro_rules! open_bounds {
    ($module:ident, $open:expr) => {
        mod $module {
            use serde::{Deserialize, Deserializer, Serialize, Serializer};

            pub(super) fn serialize<S: Serializer>(bounds: &[f32], to: S) -> Result<S::Ok, S::Error> {
                let bounds: Vec<Option<f32>> =
                    bounds.iter().map(|bound| bound.is_finite().then_some(*bound)).collect();
                bounds.serialize(to)
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f32>, D::Error> {
                let bounds = Vec::<Option<f32>>::deserialize(from)?;
                Ok(bounds.into_iter().map(|bound| bound.unwrap_or($open)).collect())
            }
        }
    };
}
open_bounds!(lower, f32::NEG_INFINITY);
open_bounds!(upper, f32::INFINITY);
