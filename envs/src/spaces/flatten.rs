//! Flat rows: Gymnasium's flattening, choices as one-hot vectors.
//!
//! # Source
//! `gymnasium.spaces.utils.{flatdim, flatten, unflatten}`, Gymnasium 1.3.0; always `f32`, where Gymnasium keeps the
//! number type of the space.

use super::{Dtype, Space, SpaceError, Value};

impl Space {
    /// The length of a flat row.
    #[doc(alias = "flatdim")]
    pub fn flat_len(&self) -> usize {
        match self {
            Self::Discrete { n, .. } | Self::MultiBinary { n } => *n,
            Self::Box(space) => space.len(),
            Self::MultiDiscrete { nvec } => nvec.iter().sum(),
            Self::Dict(spaces) => spaces.values().map(Self::flat_len).sum(),
            Self::Tuple(spaces) => spaces.iter().map(Self::flat_len).sum(),
        }
    }

    /// A value as a flat row of [`Space::flat_len`] numbers.
    ///
    /// # Errors
    /// If the value does not belong to the space.
    pub fn flatten(&self, value: &Value) -> Result<Vec<f32>, SpaceError> {
        self.contains(value)?;
        let mut row = Vec::with_capacity(self.flat_len());
        self.append_flat(value, &mut row);
        Ok(row)
    }

    /// The value of a flat row.
    ///
    /// # Errors
    /// If the row has another length, a choice is not one-hot, or a number is out of range.
    pub fn unflatten(&self, row: &[f32]) -> Result<Value, SpaceError> {
        if row.len() != self.flat_len() {
            let expected = format!("{} numbers", self.flat_len());
            return Err(SpaceError::mismatch(expected, format!("{}", row.len())).within("row"));
        }
        let mut rest = row;
        self.take_flat(&mut rest)
    }

    /// Appends a value of this space.
    fn append_flat(&self, value: &Value, row: &mut Vec<f32>) {
        match (self, value) {
            (Self::Discrete { n, start }, Value::Discrete(value)) => append_one_hot(row, *n, value - start),
            (_, Value::Box(data)) => row.extend_from_slice(data),
            (_, Value::BoxU8(data)) => row.extend(data.iter().copied().map(f32::from)),
            (Self::MultiDiscrete { nvec }, Value::MultiDiscrete(values)) => {
                nvec.iter().zip(values).for_each(|(&n, &value)| append_one_hot(row, n, value));
            }
            (_, Value::MultiBinary(bits)) => row.extend(bits.iter().copied().map(f32::from)),
            (Self::Dict(spaces), Value::Dict(values)) => {
                spaces.values().zip(values.values()).for_each(|(space, value)| space.append_flat(value, row));
            }
            (Self::Tuple(spaces), Value::Tuple(values)) => {
                spaces.iter().zip(values).for_each(|(space, value)| space.append_flat(value, row));
            }
            _ => unreachable!("a value of another kind was refused by `contains`"),
        }
    }

    /// Takes this space's numbers off the front of a row of sufficient length.
    fn take_flat(&self, row: &mut &[f32]) -> Result<Value, SpaceError> {
        let mut take = |n: usize| {
            let (front, rest) = row.split_at(n);
            *row = rest;
            front
        };
        Ok(match self {
            Self::Discrete { n, start } => Value::Discrete(start + hot_index(take(*n))?),
            Self::Box(space) => {
                let data = take(space.len());
                self.contains_packed(data)?;
                match space.dtype() {
                    Dtype::F32 => Value::Box(data.to_vec()),
                    Dtype::U8 => Value::BoxU8(data.iter().map(|&number| number as u8).collect()),
                }
            }
            Self::MultiDiscrete { nvec } => {
                let choose = |(i, &n): (usize, &usize)| hot_index(take(n)).map_err(|e| e.at(i));
                Value::MultiDiscrete(nvec.iter().enumerate().map(choose).collect::<Result<_, _>>()?)
            }
            Self::MultiBinary { n } => {
                let data = take(*n);
                self.contains_packed(data)?;
                Value::MultiBinary(data.iter().map(|&number| number == 1.0).collect())
            }
            Self::Dict(spaces) => {
                let entry = |(name, space): (&String, &Self)| {
                    Ok((name.clone(), space.take_flat(row).map_err(|e| e.within(name))?))
                };
                Value::Dict(spaces.iter().map(entry).collect::<Result<_, _>>()?)
            }
            Self::Tuple(spaces) => {
                let entry = |(i, space): (usize, &Self)| space.take_flat(row).map_err(|e| e.at(i));
                Value::Tuple(spaces.iter().enumerate().map(entry).collect::<Result<_, _>>()?)
            }
        })
    }
}

fn append_one_hot(row: &mut Vec<f32>, n: usize, index: i64) {
    row.extend((0..n as i64).map(|i| f32::from(i == index)));
}

fn hot_index(row: &[f32]) -> Result<i64, SpaceError> {
    let mut hot = row.iter().enumerate().filter(|&(_, &number)| number != 0.0);
    match (hot.next(), hot.next()) {
        (Some((index, &1.0)), None) => Ok(index as i64),
        _ => Err(SpaceError::mismatch(format!("a one-hot vector of length {}", row.len()), shorten(row))),
    }
}

/// The numbers of a row for an error, at most eight of them.
fn shorten(row: &[f32]) -> String {
    if row.len() <= 8 { format!("{row:?}") } else { format!("{:?} and {} more", &row[..8], row.len() - 8) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_become_one_hot() {
        let space = Space::discrete_from(5, 3).unwrap();
        assert_eq!(space.flatten(&Value::Discrete(6)), Ok(vec![0.0, 1.0, 0.0]));
        assert_eq!(space.unflatten(&[0.0, 0.0, 1.0]), Ok(Value::Discrete(7)));

        let space = Space::multi_discrete(&[2, 3]).unwrap();
        assert_eq!(space.flatten(&Value::MultiDiscrete(vec![1, 0])), Ok(vec![0.0, 1.0, 1.0, 0.0, 0.0]));
        assert_eq!(space.unflatten(&[1.0, 0.0, 0.0, 0.0, 1.0]), Ok(Value::MultiDiscrete(vec![0, 2])));
    }

    #[test]
    fn containers_are_concatenated_in_the_order_of_names() {
        let space = Space::dict([
            ("z", Space::multi_binary(2).unwrap()),
            ("a", Space::box_f32(&[-1.0], &[1.0]).unwrap()),
            ("m", Space::tuple([Space::discrete(2).unwrap(), Space::image_u8(&[1]).unwrap()]).unwrap()),
        ])
        .unwrap();
        let value = Value::dict([
            ("z", Value::MultiBinary(vec![true, false])),
            ("m", Value::Tuple(vec![Value::Discrete(1), Value::BoxU8(vec![9])])),
            ("a", Value::Box(vec![0.5])),
        ]);
        let row = space.flatten(&value).unwrap();
        assert_eq!(row, [0.5, 0.0, 1.0, 9.0, 1.0, 0.0]);
        assert_eq!(space.unflatten(&row), Ok(value));
    }

    #[test]
    fn rows_that_are_not_flat_values_are_errors() {
        let space = Space::tuple([Space::multi_discrete(&[2, 2]).unwrap()]).unwrap();
        let message = |row: &[f32]| space.unflatten(row).unwrap_err().to_string();
        assert_eq!(
            message(&[1.0, 0.0, 0.0, 0.0]),
            "[0][1]: expected a one-hot vector of length 2, got [0.0, 0.0]"
        );
        assert_eq!(
            message(&[1.0, 1.0, 1.0, 0.0]),
            "[0][0]: expected a one-hot vector of length 2, got [1.0, 1.0]"
        );
        assert_eq!(
            message(&[f32::NAN, 0.0, 1.0, 0.0]),
            "[0][0]: expected a one-hot vector of length 2, got [NaN, 0.0]"
        );
        assert_eq!(message(&[1.0]), "row: expected 4 numbers, got 1");

        let space = Space::discrete(10).unwrap();
        let message = space.unflatten(&[0.0; 10]).unwrap_err().to_string();
        assert!(message.ends_with("0.0] and 2 more"), "{message}");
    }
}
