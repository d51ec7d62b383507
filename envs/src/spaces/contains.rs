//! Membership of values and packed rows, with errors that say where and why.
//!
//! Success allocates nothing: an error is made at the leaf that fails, and its path grows on the way out.

use super::{BoxSpace, Dtype, Space, SpaceError, Value};

impl Space {
    /// Checks that `value` belongs to the space.
    ///
    /// # Errors
    /// Names the first place that does not fit, what was expected there and what was found: wrong kind, wrong number of
    /// elements, missing or unknown entry, out of range, NaN.
    pub fn contains(&self, value: &Value) -> Result<(), SpaceError> {
        match (self, value) {
            (Self::Discrete { n, start }, &Value::Discrete(value)) => check_integer(value, *start, *n),
            (Self::Box(space), Value::Box(data)) if space.dtype() == Dtype::F32 => {
                check_len(data.len(), space.len(), "numbers")?;
                check_box(space, data.iter().copied())
            }
            (Self::Box(space), Value::BoxU8(data)) if space.dtype() == Dtype::U8 => {
                check_len(data.len(), space.len(), "bytes")?;
                check_box(space, data.iter().copied().map(f32::from))
            }
            (Self::MultiDiscrete { nvec }, Value::MultiDiscrete(values)) => {
                check_len(values.len(), nvec.len(), "integers")?;
                each(nvec.iter().zip(values), |(&n, &value)| check_integer(value, 0, n))
            }
            (Self::MultiBinary { n }, Value::MultiBinary(bits)) => check_len(bits.len(), *n, "bits"),
            (Self::Dict(spaces), Value::Dict(values)) => {
                for (name, space) in spaces {
                    let value =
                        values.get(name).ok_or_else(|| SpaceError::mismatch(space.to_string(), "no entry"));
                    value.and_then(|value| space.contains(value)).map_err(|e| e.within(name))?;
                }
                match values.keys().find(|name| !spaces.contains_key(*name)) {
                    Some(name) => {
                        Err(SpaceError::mismatch("no such entry", values[name].describe()).within(name))
                    }
                    None => Ok(()),
                }
            }
            (Self::Tuple(spaces), Value::Tuple(values)) => {
                check_len(values.len(), spaces.len(), "entries")?;
                each(spaces.iter().zip(values), |(space, value)| space.contains(value))
            }
            _ => Err(SpaceError::mismatch(format!("a value of {self}"), value.describe())),
        }
    }

    /// Checks that a packed row belongs to the space. Allocates nothing on success.
    ///
    /// # Errors
    /// As [`Space::contains`]; a number that should be an integer and is not is one more reason.
    pub fn contains_packed(&self, row: &[f32]) -> Result<(), SpaceError> {
        check_len(row.len(), self.packed_len(), "numbers").map_err(|e| e.within("row"))?;
        let mut rest = row;
        self.check_front(&mut rest)
    }

    /// Takes this space's numbers off the front of a row of sufficient length and checks them.
    fn check_front(&self, row: &mut &[f32]) -> Result<(), SpaceError> {
        match self {
            Self::Dict(spaces) => {
                spaces.iter().try_for_each(|(name, space)| space.check_front(row).map_err(|e| e.within(name)))
            }
            Self::Tuple(spaces) => each(spaces.iter(), |space| space.check_front(row)),
            leaf => {
                let (front, rest) = row.split_at(leaf.packed_len());
                *row = rest;
                leaf.check_leaf(front)
            }
        }
    }

    fn check_leaf(&self, row: &[f32]) -> Result<(), SpaceError> {
        match self {
            Self::Discrete { n, start } => check_packed_integer(row[0], *start, *n),
            Self::Box(space) => check_box(space, row.iter().copied()),
            Self::MultiDiscrete { nvec } => {
                each(nvec.iter().zip(row), |(&n, &number)| check_packed_integer(number, 0, n))
            }
            Self::MultiBinary { .. } => each(row.iter(), |&number| check_packed_integer(number, 0, 2)),
            Self::Dict(_) | Self::Tuple(_) => Ok(()),
        }
    }
}

/// Checks the items in order; an error says at which index.
fn each<T>(
    items: impl Iterator<Item = T>,
    mut check: impl FnMut(T) -> Result<(), SpaceError>,
) -> Result<(), SpaceError> {
    items.enumerate().try_for_each(|(i, item)| check(item).map_err(|e| e.at(i)))
}

fn check_len(found: usize, expected: usize, what: &str) -> Result<(), SpaceError> {
    if found == expected {
        return Ok(());
    }
    Err(SpaceError::mismatch(format!("{expected} {what}"), format!("{found}")))
}

fn check_integer(value: i64, start: i64, n: usize) -> Result<(), SpaceError> {
    let last = start + n as i64 - 1;
    if (start..=last).contains(&value) {
        return Ok(());
    }
    Err(SpaceError::mismatch(format!("an integer in [{start}, {last}]"), value.to_string()))
}

/// Constructors keep integers within what `f32` holds exactly, so the bounds convert without loss.
fn check_packed_integer(number: f32, start: i64, n: usize) -> Result<(), SpaceError> {
    let last = start + n as i64 - 1;
    if (start as f32..=last as f32).contains(&number) && number.fract() == 0.0 {
        return Ok(());
    }
    Err(SpaceError::mismatch(format!("an integer in [{start}, {last}]"), number.to_string()))
}

fn check_box(space: &BoxSpace, data: impl Iterator<Item = f32>) -> Result<(), SpaceError> {
    let whole = space.dtype() == Dtype::U8;
    for (index, (number, (low, high))) in data.zip(space.low().iter().zip(space.high())).enumerate() {
        if !(number >= *low && number <= *high) || (whole && number.fract() != 0.0) {
            let kind = if whole { "whole number" } else { "number" };
            let error = SpaceError::mismatch(format!("a {kind} in [{low}, {high}]"), number.to_string());
            return Err(unravel(index, space.shape()).into_iter().rev().fold(error, SpaceError::at));
        }
    }
    Ok(())
}

/// The index in each dimension of the `index`-th element of a row-major array.
fn unravel(mut index: usize, shape: &[usize]) -> Vec<usize> {
    let mut indices = vec![0; shape.len()];
    for (out, dim) in indices.iter_mut().zip(shape).rev() {
        *out = index % dim;
        index /= dim;
    }
    indices
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested() -> Space {
        Space::dict([
            ("position", Space::box_f32(&[-4.8, f32::NEG_INFINITY], &[4.8, f32::INFINITY]).unwrap()),
            ("gear", Space::discrete_from(-1, 3).unwrap()),
            (
                "hand",
                Space::tuple([Space::multi_discrete(&[3, 2]).unwrap(), Space::multi_binary(2).unwrap()])
                    .unwrap(),
            ),
        ])
        .unwrap()
    }

    fn value(position: &[f32], gear: i64, hand: &[i64]) -> Value {
        Value::dict([
            ("position", Value::Box(position.to_vec())),
            ("gear", Value::Discrete(gear)),
            (
                "hand",
                Value::Tuple(vec![
                    Value::MultiDiscrete(hand.to_vec()),
                    Value::MultiBinary(vec![true, false]),
                ]),
            ),
        ])
    }

    fn message(result: Result<(), SpaceError>) -> String {
        result.unwrap_err().within("observation").to_string()
    }

    #[test]
    fn members_are_contained() {
        assert_eq!(nested().contains(&value(&[4.8, f32::INFINITY], -1, &[2, 1])), Ok(()));
        assert_eq!(nested().contains_packed(&[-1.0, 2.0, 1.0, 1.0, 0.0, 4.8, -1e30]), Ok(()));
    }

    #[test]
    fn errors_name_path_expectation_and_finding() {
        let space = nested();
        let contains = |value: &Value| message(space.contains(value));
        assert_eq!(
            contains(&value(&[5.0, 0.0], 0, &[0, 0])),
            "observation.position[0]: expected a number in [-4.8, 4.8], got 5"
        );
        assert_eq!(
            contains(&value(&[0.0, f32::NAN], 0, &[0, 0])),
            "observation.position[1]: expected a number in [-inf, inf], got NaN"
        );
        assert_eq!(contains(&value(&[0.0], 0, &[0, 0])), "observation.position: expected 2 numbers, got 1");
        assert_eq!(
            contains(&value(&[0.0, 0.0], 2, &[0, 0])),
            "observation.gear: expected an integer in [-1, 1], got 2"
        );
        assert_eq!(
            contains(&value(&[0.0, 0.0], 0, &[0, 2])),
            "observation.hand[0][1]: expected an integer in [0, 1], got 2"
        );
        assert_eq!(contains(&Value::Discrete(3)).split_once(", got ").unwrap().1, "the integer 3");
    }

    #[test]
    fn entries_must_match_exactly() {
        let space = Space::dict([("a", Space::discrete(2).unwrap())]).unwrap();
        assert_eq!(
            message(space.contains(&Value::dict::<&str>([]))),
            "observation.a: expected Discrete(2), got no entry"
        );
        let both = Value::dict([("a", Value::Discrete(0)), ("b", Value::Box(vec![0.0; 3]))]);
        assert_eq!(
            message(space.contains(&both)),
            "observation.b: expected no such entry, got 3 float32 numbers"
        );
    }

    #[test]
    fn bytes_and_floats_are_different_kinds() {
        let image = Space::image_u8(&[2]).unwrap();
        assert_eq!(image.contains(&Value::BoxU8(vec![0, 255])), Ok(()));
        assert_eq!(
            message(image.contains(&Value::Box(vec![0.0, 255.0]))),
            "observation: expected a value of Box(0, 255, (2,), uint8), got 2 float32 numbers"
        );
        assert!(Space::box_uniform(0.0, 255.0, &[2]).unwrap().contains(&Value::BoxU8(vec![0, 255])).is_err());
    }

    #[test]
    fn indices_of_arrays_have_every_dimension() {
        let image = Space::image_u8(&[2, 3, 4]).unwrap();
        let mut row = [0.0; 24];
        row[23] = 256.0;
        assert_eq!(
            message(image.contains_packed(&row)),
            "observation[1][2][3]: expected a whole number in [0, 255], got 256"
        );
        row[23] = 0.5;
        assert!(message(image.contains_packed(&row)).ends_with("got 0.5"));
        let number = Space::box_uniform(0.0, 1.0, &[]).unwrap();
        assert_eq!(
            message(number.contains_packed(&[2.0])),
            "observation: expected a number in [0, 1], got 2"
        );
    }

    #[test]
    fn packed_rows_are_checked_like_values() {
        let space = nested();
        let contains = |row: &[f32]| message(space.contains_packed(row));
        assert_eq!(
            contains(&[0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
            "observation.gear: expected an integer in [-1, 1], got 0.5"
        );
        assert_eq!(
            contains(&[0.0, 0.0, f32::NAN, 0.0, 0.0, 0.0, 0.0]),
            "observation.hand[0][1]: expected an integer in [0, 1], got NaN"
        );
        assert_eq!(
            contains(&[0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0]),
            "observation.hand[1][1]: expected an integer in [0, 1], got 2"
        );
        assert_eq!(
            contains(&[0.0, 0.0, 0.0, 0.0, 0.0, -5.0, 0.0]),
            "observation.position[0]: expected a number in [-4.8, 4.8], got -5"
        );
        assert_eq!(contains(&[0.0; 6]), "observation.row: expected 7 numbers, got 6");
    }
}
