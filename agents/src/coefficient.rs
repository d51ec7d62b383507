//! Numbers of a run's settings that may change over the run, and settings that may be left to the algorithm.

use agon_nn::Schedule;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::AgentError;
use crate::error::{ensure, positive};

/// A number throughout a run, such as `3e-4`, or one that changes over it, such as
/// `{ kind = "linear", start = 3e-4, end = 0.0 }`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Coefficient {
    /// The same number throughout.
    Constant(f64),
    /// One that changes.
    Scheduled(Course),
}

/// How a number changes over a run. Shares are those of the run's environment steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Course {
    /// A straight line.
    Linear {
        /// The number at first.
        start: f64,
        /// The number in the end.
        end: f64,
        /// Share of the run after which the end is reached, above 0 and at most 1.
        #[serde(default = "whole")]
        fraction: f64,
        /// Share of the run over which it rises from zero to `start`; 0 is without.
        #[serde(default)]
        warmup: f64,
    },
    /// Half a wave of a cosine: flat at both ends.
    Cosine {
        /// The number at first.
        start: f64,
        /// The number in the end.
        end: f64,
        /// Share of the run after which the end is reached, above 0 and at most 1.
        #[serde(default = "whole")]
        fraction: f64,
        /// Share of the run over which it rises from zero to `start`; 0 is without.
        #[serde(default)]
        warmup: f64,
    },
}

fn whole() -> f64 {
    1.0
}

impl From<f64> for Coefficient {
    fn from(number: f64) -> Self {
        Self::Constant(number)
    }
}

impl Coefficient {
    /// The number at first, warm-ups apart, and in the end.
    fn ends(&self) -> (f64, f64) {
        match *self {
            Self::Constant(number) => (number, number),
            Self::Scheduled(Course::Linear { start, end, .. } | Course::Cosine { start, end, .. }) => {
                (start, end)
            }
        }
    }

    /// Checks that it is at least zero throughout, and finite.
    pub(crate) fn ensure_at_least_zero(&self, field: &'static str) -> Result<(), AgentError> {
        let (start, end) = self.ends();
        for number in [start, end] {
            ensure(number >= 0.0 && number.is_finite(), field, "at least 0", number)?;
        }
        let Self::Scheduled(
            Course::Linear { fraction, warmup, .. } | Course::Cosine { fraction, warmup, .. },
        ) = *self
        else {
            return Ok(());
        };
        ensure(
            (0.0..1.0).contains(&warmup) && warmup < fraction && fraction <= 1.0,
            field,
            "a schedule with 0 <= warmup < fraction <= 1",
            format!("warmup {warmup} and fraction {fraction}"),
        )
    }

    /// Checks that it begins above zero and does not fall below it.
    pub(crate) fn ensure_above_zero(&self, field: &'static str) -> Result<(), AgentError> {
        let start = self.ends().0;
        ensure(positive(start), field, "above 0", start)?;
        self.ensure_at_least_zero(field)
    }

    /// The number over a run of so many environment steps.
    #[must_use]
    pub fn schedule(&self, total_timesteps: u64) -> Schedule {
        let steps = |share: f64| share * total_timesteps as f64;
        match *self {
            Self::Constant(value) => Schedule::constant(value),
            Self::Scheduled(Course::Linear { start, end, fraction, warmup }) => {
                let (duration, warmup_steps) = (steps(fraction), steps(warmup) as u64);
                Schedule::Linear { start, end, duration, warmup_steps }
            }
            Self::Scheduled(Course::Cosine { start, end, fraction, warmup }) => {
                let (duration, warmup_steps) = (steps(fraction), steps(warmup) as u64);
                Schedule::Cosine { start, end, duration, warmup_steps }
            }
        }
    }

    /// As [`Self::schedule`]; a constant falls linearly to zero if it is annealed.
    #[must_use]
    pub fn annealed(&self, anneal: bool, total_timesteps: u64) -> Schedule {
        match *self {
            Self::Constant(start) => Schedule::annealed(start, anneal, total_timesteps),
            Self::Scheduled(_) => self.schedule(total_timesteps),
        }
    }
}

impl Serialize for Coefficient {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Constant(number) => number.serialize(serializer),
            Self::Scheduled(course) => course.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Coefficient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::Float(number) => Ok(Self::Constant(number)),
            toml::Value::Integer(number) => Ok(Self::Constant(number as f64)),
            table @ toml::Value::Table(_) => Course::deserialize(table)
                .map(Self::Scheduled)
                .map_err(|error| D::Error::custom(error.message())),
            other => Err(D::Error::custom(format!(
                "expected a number, or a schedule as in {{ kind = \"linear\", start = 3e-4, end = 0.0 }}, got {other}"
            ))),
        }
    }
}

/// A setting that may be left out, written as a word so that a complete configuration names it.
macro_rules! optional {
    ($module:ident, $word:literal, $doc:literal) => {
        #[doc = $doc]
        pub(crate) mod $module {
            use serde::de::{DeserializeOwned, Error as _};
            use serde::{Deserialize as _, Deserializer, Serialize, Serializer};

            const WORD: &str = $word;

            pub(crate) fn serialize<T: Serialize, S: Serializer>(
                value: &Option<T>,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                match value {
                    Some(value) => value.serialize(serializer),
                    None => WORD.serialize(serializer),
                }
            }

            pub(crate) fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Option<T>, D::Error> {
                match toml::Value::deserialize(deserializer)? {
                    toml::Value::String(word) if word == WORD => Ok(None),
                    // Settings that are numbers with a point may be written without.
                    value => T::deserialize(value).map(Some).map_err(|error| {
                        D::Error::custom(format!("{} (or \"{WORD}\")", error.message().trim_end()))
                    }),
                }
            }
        }
    };
}

optional!(auto, "auto", "`None` as `\"auto\"`: the algorithm finds a value that suits.");
optional!(none, "none", "`None` as `\"none\"`: what the setting is for is left out.");

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Settings {
        rate: Coefficient,
        #[serde(with = "auto", default)]
        target: Option<f64>,
        #[serde(with = "none", default)]
        length: Option<usize>,
    }

    fn read(text: &str) -> Result<Settings, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn numbers_and_schedules_are_read_and_written() {
        for (text, at) in [
            ("rate = 2", [2.0, 2.0, 2.0]),
            ("rate = { kind = 'linear', start = 1.0, end = 0.0 }", [1.0, 0.5, 0.0]),
            ("rate = { kind = 'linear', start = 1, end = 0.0, fraction = 0.5 }", [1.0, 0.0, 0.0]),
            (
                "rate = { kind = 'cosine', start = 2.0, end = 1.0, warmup = 0.25, fraction = 0.75 }",
                [0.0, 1.5, 1.0],
            ),
        ] {
            let settings = read(text).unwrap();
            let schedule = settings.rate.schedule(100);
            let found = [0, 50, 100].map(|step| schedule.at(step));
            assert!(found.iter().zip(at).all(|(a, b)| (a - b).abs() < 1e-12), "{text}: {found:?}");
            settings.rate.ensure_above_zero("rate").unwrap();
            assert_eq!(read(&toml::to_string(&settings).unwrap()).unwrap(), settings);
        }
        assert_eq!(Coefficient::Constant(1.0).annealed(true, 10).at(5), 0.5);
    }

    #[test]
    fn settings_that_are_left_to_the_algorithm_are_words() {
        let settings = read("rate = 1.0\ntarget = 'auto'\nlength = 4").unwrap();
        assert_eq!((settings.target, settings.length), (None, Some(4)));
        let text = toml::to_string(&Settings { length: None, ..settings }).unwrap();
        assert!(text.contains("target = \"auto\"") && text.contains("length = \"none\""), "{text}");
    }

    #[test]
    fn what_is_neither_is_refused_with_what_was_expected() {
        for (text, parts) in [
            ("rate = 'fast'", vec!["expected a number, or a schedule", "fast"]),
            ("rate = { kind = 'step', start = 1.0, end = 0.0 }", vec!["step", "linear"]),
            ("rate = { kind = 'linear', start = 1.0, stop = 0.0 }", vec!["stop", "end"]),
            ("rate = 1\ntarget = 'none'", vec!["none", "auto"]),
            ("rate = 1\nlength = -1", vec!["-1", "none"]),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(parts.iter().all(|part| message.contains(part)), "{text}: {message}");
        }
        for (text, expected) in [
            ("rate = 0.0", "rate must be above 0, got 0"),
            ("rate = nan", "rate must be above 0, got NaN"),
            ("rate = { kind = 'linear', start = 1.0, end = -1.0 }", "rate must be at least 0, got -1"),
            (
                "rate = { kind = 'linear', start = 1.0, end = 0.0, warmup = 1.0 }",
                "0 <= warmup < fraction <= 1",
            ),
            (
                "rate = { kind = 'linear', start = 1.0, end = 0.0, fraction = nan }",
                "0 <= warmup < fraction <= 1",
            ),
        ] {
            let message = read(text).unwrap().rate.ensure_above_zero("rate").unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
