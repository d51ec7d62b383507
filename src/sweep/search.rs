//! What is searched, and the trials that a strategy makes of it.

use std::fmt;

use agon_envs::Pcg64;
use serde::{Deserialize, Serialize};

use super::Strategy;
use crate::RunError;
use crate::config::{self, KIND};

/// Most trials of a grid.
const MAX_TRIALS: usize = 10_000;
/// Significant digits of drawn numbers: as many as a table shows, so that a table repeats the trial.
const DIGITS: usize = 4;

/// One setting that is searched.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// The setting, such as `agent.learning_rate`.
    pub key: String,
    /// Its values.
    pub range: Range,
}

/// The values of a parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Range {
    /// One of a list; what a plain list in the file means.
    Choice {
        /// The list.
        values: Vec<toml::Value>,
    },
    /// A number, every one as likely.
    Uniform {
        /// The lowest.
        low: f64,
        /// The highest.
        high: f64,
    },
    /// A number, every order of magnitude as likely.
    LogUniform {
        /// The lowest, above 0.
        low: f64,
        /// The highest.
        high: f64,
    },
    /// A whole number, every one as likely.
    Integer {
        /// The lowest.
        low: i64,
        /// The highest, included.
        high: i64,
    },
}

/// One combination of values.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Its number, from 1 on.
    pub number: usize,
    /// Settings and their values.
    pub values: Vec<(String, toml::Value)>,
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (key, value)) in self.values.iter().enumerate() {
            let name = key.rsplit('.').next().unwrap_or(key);
            write!(f, "{}{name}={value}", if i > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

/// The parameters of a file's table: lists and ranges at any depth.
pub(super) fn parameters(table: &toml::Table) -> Result<Vec<Parameter>, RunError> {
    let mut found = Vec::new();
    collect("", table, &mut found)?;
    if found.is_empty() {
        return Err(RunError::Config("parameters must name at least one setting, got none".to_owned()));
    }
    found.iter().try_for_each(Parameter::validate)?;
    Ok(found)
}

fn collect(prefix: &str, table: &toml::Table, found: &mut Vec<Parameter>) -> Result<(), RunError> {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let range = match value {
            toml::Value::Array(values) => Range::Choice { values: values.clone() },
            toml::Value::Table(range) if range.contains_key(KIND) => config::from_table(range.clone())
                .map_err(|error| RunError::Config(format!("parameters.{key}: {error}")))?,
            toml::Value::Table(inner) => {
                collect(&key, inner, found)?;
                continue;
            }
            other => {
                return Err(RunError::Config(format!(
                    "parameters.{key} must be a list of values or a range, as in {{ kind = \"log_uniform\", low = \
                     1e-4, high = 1e-2 }}, got {other}"
                )));
            }
        };
        found.push(Parameter { key, range });
    }
    Ok(())
}

impl Parameter {
    fn validate(&self) -> Result<(), RunError> {
        let wrong = |bound: &str, found: String| {
            Err(RunError::Config(format!("parameters.{}: {bound}, got {found}", self.key)))
        };
        if ["seed", "algorithm", "env.id"].contains(&self.key.as_str()) {
            let message =
                "is no parameter: a sweep file names it at its top level (`seeds`, `algorithm`, `env`)";
            return Err(RunError::Config(format!("parameters.{} {message}", self.key)));
        }
        match &self.range {
            Range::Choice { values } if values.is_empty() => {
                wrong("the list must not be empty", "[]".to_owned())
            }
            &Range::Uniform { low, high } if !(low < high && (high - low).is_finite()) => {
                wrong("low must be below high", format!("{low} and {high}"))
            }
            &Range::LogUniform { low, high } if !(0.0 < low && low < high && high.is_finite()) => {
                wrong("low must be above 0 and below high", format!("{low} and {high}"))
            }
            &Range::Integer { low, high } if low >= high => {
                wrong("low must be below high", format!("{low} and {high}"))
            }
            _ => Ok(()),
        }
    }

    fn draw(&self, rng: &mut Pcg64) -> toml::Value {
        match &self.range {
            Range::Choice { values } => values[rng.bounded(values.len() as u64 - 1) as usize].clone(),
            &Range::Uniform { low, high } => rounded(rng.uniform(low, high), low, high),
            &Range::LogUniform { low, high } => rounded(rng.uniform(low.ln(), high.ln()).exp(), low, high),
            &Range::Integer { low, high } => toml::Value::Integer(rng.integers(low, high.saturating_add(1))),
        }
    }
}

/// A number of few digits, which hides what platforms' logarithms differ in.
fn rounded(number: f64, low: f64, high: f64) -> toml::Value {
    let text = format!("{number:.*e}", DIGITS - 1);
    toml::Value::Float(text.parse().unwrap_or(number).clamp(low, high))
}

/// The trials of a strategy. A longer random search begins with the trials of a shorter one.
pub(super) fn trials(strategy: &Strategy, parameters: &[Parameter]) -> Result<Vec<Trial>, RunError> {
    let combinations = match *strategy {
        Strategy::Grid {} => grid(parameters)?,
        Strategy::Random { trials, seed } | Strategy::SuccessiveHalving { trials, seed, .. } => {
            let mut rng = Pcg64::seed_from(seed);
            let mut draw = || parameters.iter().map(|parameter| parameter.draw(&mut rng)).collect();
            (0..trials).map(|_| draw()).collect::<Vec<Vec<toml::Value>>>()
        }
    };
    let keys = || parameters.iter().map(|parameter| parameter.key.clone());
    let trial = |(number, values)| Trial { number, values: keys().zip(values).collect() };
    Ok((1..).zip(combinations).map(trial).collect())
}

/// Every combination, the last parameter changing first.
fn grid(parameters: &[Parameter]) -> Result<Vec<Vec<toml::Value>>, RunError> {
    let mut combinations: Vec<Vec<toml::Value>> = vec![Vec::new()];
    for parameter in parameters {
        let Range::Choice { values } = &parameter.range else {
            return Err(RunError::Config(format!(
                "parameters.{} must be a list in a grid, got a range: give values, or use the strategy `random`",
                parameter.key
            )));
        };
        let count = combinations.len() * values.len();
        if count > MAX_TRIALS {
            return Err(RunError::Config(format!(
                "a grid has at most {MAX_TRIALS} trials, got {count} and more"
            )));
        }
        let longer = |combination: Vec<toml::Value>| {
            values.iter().map(move |value| [combination.as_slice(), std::slice::from_ref(value)].concat())
        };
        combinations = combinations.into_iter().flat_map(longer).collect();
    }
    Ok(combinations)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<Parameter>, RunError> {
        parameters(&text.parse().unwrap())
    }

    #[test]
    fn grids_have_every_combination() {
        let found = parsed("agent.gamma = [0.9, 0.99]\nagent.batch_size = [1, 2, 3]").unwrap();
        let trials = trials(&Strategy::Grid {}, &found).unwrap();
        let texts: Vec<String> = trials.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 6);
        assert_eq!(
            texts[..3],
            ["batch_size=1, gamma=0.9", "batch_size=1, gamma=0.99", "batch_size=2, gamma=0.9"]
        );
        assert_eq!((trials[0].number, trials[5].number), (1, 6));
    }

    #[test]
    fn draws_lie_in_their_ranges_and_repeat() {
        let text = r#"
            a.uniform = { kind = "uniform", low = -1.0, high = 1.0 }
            a.log = { kind = "log_uniform", low = 1e-4, high = 1e-2 }
            a.whole = { kind = "integer", low = 2, high = 4 }
            a.choice = ["relu", "tanh"]
        "#;
        let found = parsed(text).unwrap();
        let draw =
            |trials_wanted, seed| trials(&Strategy::Random { trials: trials_wanted, seed }, &found).unwrap();
        let drawn = draw(300, 7);
        assert_eq!(drawn[..20], draw(20, 7), "a longer search begins with a shorter one");
        assert_ne!(drawn[..20], draw(20, 8));
        let values = |key: &str| -> Vec<toml::Value> {
            let of = |trial: &Trial| trial.values.iter().find(|(name, _)| name == key).unwrap().1.clone();
            drawn.iter().map(of).collect()
        };
        let floats: Vec<f64> = values("a.log").iter().map(|value| value.as_float().unwrap()).collect();
        assert!(floats.iter().all(|value| (1e-4..=1e-2).contains(value)));
        let below = floats.iter().filter(|value| **value < 1e-3).count();
        assert!(
            (110..190).contains(&below),
            "half of them lie below the geometric middle, got {below} of 300"
        );
        let mut whole: Vec<i64> = values("a.whole").iter().map(|value| value.as_integer().unwrap()).collect();
        whole.sort_unstable();
        whole.dedup();
        assert_eq!(whole, [2, 3, 4]);
    }

    #[test]
    fn wrong_parameters_are_named() {
        for (text, expected) in [
            ("", "at least one setting"),
            ("agent.gamma = 0.9", "parameters.agent.gamma must be a list of values or a range"),
            ("agent.gamma = []", "must not be empty"),
            ("a = { kind = 'uniform', low = 1.0, high = 1.0 }", "low must be below high, got 1 and 1"),
            ("a = { kind = 'log_uniform', low = 0.0, high = 1.0 }", "above 0"),
            ("a = { kind = 'integer', low = 3, high = 2 }", "got 3 and 2"),
            ("a = { kind = 'normal', low = 3, high = 2 }", "unknown variant `normal`"),
            ("seed = [1, 2]", "parameters.seed is no parameter"),
        ] {
            let message = parsed(text).unwrap_err().to_string();
            assert!(message.contains(expected), "`{text}`: expected `{expected}` in `{message}`");
        }
        let range = parsed("a = { kind = 'integer', low = 1, high = 2 }").unwrap();
        let message = trials(&Strategy::Grid {}, &range).unwrap_err().to_string();
        assert!(message.contains("parameters.a must be a list in a grid"), "{message}");
    }
}
