//! Contexts: physics that differs from episode to episode, so that generalisation over it can be learned and measured.
//!
//! A quantity of an environment, such as gravity, is an argument: a number, or a range that each episode draws it from, after
//! its starting state and from the same stream. What is drawn can be shown beside an observation. An environment whose
//! quantities are all the standard ones, and none shown, has no context at all and runs as if there were none.
//!
//! # Source
//! Benjamins et al. (2023), "Contextualize Me", arXiv:2202.04500 (CARL), whose quantities these are.
//!
//! # Deviations
//! 1. A shown quantity is its ratio to the standard value, 1 for the standard environment, instead of the value itself.

use bevy_ecs::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::simulator::{EnvRng, Observations, Row, Scope};
use crate::spaces::SpaceError;
use crate::{EnvError, Pcg64, Space};

/// The most quantities that an environment has.
const MOST: usize = 6;

/// A physical quantity as an argument: a number, or `[low, high]`, which each episode draws it from uniformly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quantity {
    /// The same in every episode.
    Fixed(f64),
    /// Drawn uniformly between these.
    Range([f64; 2]),
}

/// A quantity as settings have it.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number or a range [low, high]")]
enum Written {
    Fixed(f64),
    Range([f64; 2]),
}

/// A number or a pair in settings; in snapshots, which do not say what comes, always a pair.
impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if !to.is_human_readable() {
            return self.bounds().serialize(to);
        }
        match *self {
            Self::Fixed(value) => Written::Fixed(value).serialize(to),
            Self::Range(bounds) => Written::Range(bounds).serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if !from.is_human_readable() {
            let [low, high] = <[f64; 2]>::deserialize(from)?;
            return Ok(if low == high { Self::Fixed(low) } else { Self::Range([low, high]) });
        }
        Ok(match Written::deserialize(from)? {
            Written::Fixed(value) => Self::Fixed(value),
            Written::Range(bounds) => Self::Range(bounds),
        })
    }
}

impl From<f64> for Quantity {
    fn from(value: f64) -> Self {
        Self::Fixed(value)
    }
}

impl std::fmt::Display for Quantity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(value) => write!(f, "{value}"),
            Self::Range([low, high]) => write!(f, "[{low}, {high}]"),
        }
    }
}

impl Quantity {
    /// The smallest and the largest value.
    pub(crate) fn bounds(self) -> [f64; 2] {
        match self {
            Self::Fixed(value) => [value; 2],
            Self::Range(bounds) => bounds,
        }
    }

    /// The value of an episode; a fixed one draws nothing.
    pub(crate) fn draw(self, rng: &mut Pcg64) -> f64 {
        match self {
            Self::Fixed(value) => value,
            Self::Range([low, high]) if low == high => low,
            Self::Range([low, high]) => rng.uniform(low, high),
        }
    }
}

/// What an environment has of a quantity.
#[derive(Debug)]
pub(crate) struct Standard {
    /// The argument's name.
    pub(crate) name: &'static str,
    /// The standard environment's value.
    pub(crate) value: f64,
    /// What a value must be, in words and as a test.
    pub(crate) expected: &'static str,
    pub(crate) fits: fn(f64) -> bool,
}

impl Standard {
    /// A quantity that is positive.
    pub(crate) const fn positive(name: &'static str, value: f64) -> Self {
        Self { name, value, expected: "positive", fits: |value| value > 0.0 }
    }

    /// A quantity that may be any number.
    pub(crate) const fn any(name: &'static str, value: f64) -> Self {
        Self { name, value, expected: "a finite number", fits: |_| true }
    }
}

/// The quantities that an environment was given, and which of them are shown.
#[derive(Clone, Debug, Resource)]
pub(crate) struct Context {
    standards: &'static [Standard],
    given: Vec<Quantity>,
    shown: Vec<usize>,
}

/// What an arena's episode has drawn, in the order of the environment's quantities.
#[derive(Component, Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Drawn(pub(crate) [f64; MOST]);

impl Context {
    /// Of quantities in the order of `standards`; `shown` names those that are shown.
    ///
    /// # Errors
    /// If a value is out of bounds, a range has no order, or a name is none of a quantity.
    pub(crate) fn new(
        id: &str,
        standards: &'static [Standard],
        given: &[Quantity],
        shown: &[String],
    ) -> Result<Self, EnvError> {
        let refused = |message: String| EnvError::Arguments { id: id.to_owned(), message };
        for (standard, quantity) in standards.iter().zip(given) {
            let Standard { name, expected, fits, .. } = standard;
            let [low, high] = quantity.bounds();
            let is_fit = |value: f64| value.is_finite() && fits(value);
            if !(is_fit(low) && is_fit(high) && low <= high) {
                return Err(refused(match quantity {
                    Quantity::Fixed(value) => format!("{name} must be {expected}, got {value}"),
                    Quantity::Range(_) => {
                        format!("{name} must be a range [low, high], both {expected}, got {quantity}")
                    }
                }));
            }
        }
        let index = |name: &String| {
            let found = standards.iter().position(|standard| standard.name == name);
            let names = || standards.iter().map(|standard| standard.name).collect::<Vec<_>>().join(", ");
            found.ok_or_else(|| refused(format!("show_context names {name}, expected some of {}", names())))
        };
        let shown = shown.iter().map(index).collect::<Result<_, _>>()?;
        Ok(Self { standards, given: given.to_vec(), shown })
    }

    /// Which quantities are shown, by their place among the standards.
    pub(crate) fn shown(&self) -> &[usize] {
        &self.shown
    }

    /// Whether this is the standard environment, with nothing to draw and nothing to show.
    pub(crate) fn is_standard(&self) -> bool {
        let mut pairs = self.standards.iter().zip(&self.given);
        self.shown.is_empty() && pairs.all(|(standard, given)| given.bounds() == [standard.value; 2])
    }

    /// The observation space with what is shown after the environment's own values.
    pub(crate) fn space(&self, low: &[f32], high: &[f32]) -> Result<Space, SpaceError> {
        let (mut low, mut high) = (low.to_vec(), high.to_vec());
        low.resize(low.len() + self.shown.len(), f32::NEG_INFINITY);
        high.resize(low.len(), f32::INFINITY);
        Space::box_f32(&low, &high)
    }

    /// The quantities of an episode.
    pub(crate) fn draw(&self, rng: &mut Pcg64) -> Drawn {
        let mut drawn = Drawn::default();
        drawn.0.iter_mut().zip(&self.given).for_each(|(value, quantity)| *value = quantity.draw(rng));
        drawn
    }

    /// Writes what is shown of an episode's quantities: their ratios to the standard ones.
    pub(crate) fn show(&self, drawn: &Drawn, out: &mut [f32]) {
        for (out, &index) in out.iter_mut().zip(&self.shown) {
            *out = (drawn.0[index] / self.standards[index].value) as f32;
        }
    }
}

/// Draws the quantities of the arenas that start anew; it runs after their states are drawn.
pub(crate) fn draw_context(
    scope: Res<Scope>,
    context: Res<Context>,
    mut arenas: Query<(&mut EnvRng, &mut Drawn)>,
) {
    scope.for_each(&mut arenas, |(mut rng, mut drawn)| *drawn = context.draw(&mut rng.0));
}

/// Writes the values of an arena's row: its own, and what is shown of its context.
pub(crate) fn write_row(
    observations: &mut Observations,
    row: Row,
    own: &[f32],
    context: &Context,
    drawn: &Drawn,
) {
    let (values, shown) = observations.row_mut(row).split_at_mut(own.len());
    values.copy_from_slice(own);
    context.show(drawn, shown);
}

#[cfg(test)]
mod tests;
