//! A quantity that is varied, and the values that it takes.

use std::str::FromStr;

use toml::Value;

use crate::RunError;

/// The most values of a quantity.
const MOST: usize = 200;

/// An argument of an environment, and the values it takes in turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Name of the argument.
    pub argument: String,
    /// Its values, increasing; at least one.
    pub values: Vec<f64>,
}

impl FromStr for Axis {
    type Err = RunError;

    /// `length=0.2:2:10`, ten values from 0.2 to 2; or `length=0.5,1,2`.
    fn from_str(text: &str) -> Result<Self, RunError> {
        let wrong = || {
            RunError::Config(format!(
                "expected NAME=FROM:TO:COUNT with increasing ends and 2 to {MOST} values, or NAME=A,B,… with increasing values, got `{text}`"
            ))
        };
        let (argument, told) = text.split_once('=').ok_or_else(wrong)?;
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|value| value.is_finite());
        let values: Vec<f64> = match told.split(':').collect::<Vec<_>>()[..] {
            [list] => list.split(',').map(number).collect::<Option<_>>().ok_or_else(wrong)?,
            [from, to, count] => {
                let (from, to) = number(from).zip(number(to)).ok_or_else(wrong)?;
                let count = count.trim().parse::<usize>().ok().filter(|count| (2..=MOST).contains(count));
                let last = count.ok_or_else(wrong)? - 1;
                // Values that are round stay round.
                let value = |index: usize| from + (to - from) * index as f64 / last as f64;
                (0..=last).map(|index| (value(index) * 1e9).round() / 1e9).collect()
            }
            _ => return Err(wrong()),
        };
        let increase = values.windows(2).all(|pair| pair[0] < pair[1]);
        if argument.trim().is_empty() || !increase || values.len() > MOST {
            return Err(wrong());
        }
        Ok(Self { argument: argument.trim().to_owned(), values })
    }
}

impl Axis {
    /// The values as text.
    pub(super) fn labels(&self) -> Vec<String> {
        self.values.iter().map(f64::to_string).collect()
    }

    /// What an environment's arguments say of the quantity; none if they leave it at the standard value.
    pub(super) fn trained(&self, args: &toml::Table) -> Option<[f64; 2]> {
        let number =
            |value: &Value| value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64));
        match args.get(&self.argument)? {
            Value::Array(ends) => Some([number(ends.first()?)?, number(ends.last()?)?]),
            value => number(value).map(|value| [value; 2]),
        }
    }
}
