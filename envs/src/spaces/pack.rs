//! Packed rows: the layout in which the simulator and the networks hold values.

use super::{Dtype, Space, SpaceError, Value};

impl Space {
    /// The length of a packed row.
    pub fn packed_len(&self) -> usize {
        match self {
            Self::Discrete { .. } => 1,
            Self::Box(space) => space.len(),
            Self::MultiDiscrete { nvec } => nvec.len(),
            Self::MultiBinary { n } => *n,
            Self::Dict(spaces) => spaces.values().map(Self::packed_len).sum(),
            Self::Tuple(spaces) => spaces.iter().map(Self::packed_len).sum(),
        }
    }

    /// Writes a value as a packed row.
    ///
    /// # Shapes
    /// `row`: [`Space::packed_len`] numbers.
    ///
    /// # Errors
    /// If the value does not belong to the space or the row has another length; nothing is written then.
    pub fn pack(&self, value: &Value, row: &mut [f32]) -> Result<(), SpaceError> {
        if row.len() != self.packed_len() {
            let expected = format!("room for {} numbers", self.packed_len());
            return Err(SpaceError::mismatch(expected, format!("{}", row.len())).within("row"));
        }
        self.contains(value)?;
        let mut slots = row.iter_mut();
        visit_packed(value, &mut |number| {
            if let Some(slot) = slots.next() {
                *slot = number;
            }
        });
        Ok(())
    }

    /// The value of a packed row.
    ///
    /// # Errors
    /// As [`Space::contains_packed`].
    pub fn unpack(&self, row: &[f32]) -> Result<Value, SpaceError> {
        self.contains_packed(row)?;
        let mut rest = row;
        Ok(self.take_value(&mut rest))
    }

    /// Takes this space's numbers off the front of a row that was checked.
    fn take_value(&self, row: &mut &[f32]) -> Value {
        let mut take = |n: usize| {
            let (front, rest) = row.split_at(n);
            *row = rest;
            front.iter()
        };
        match self {
            Self::Discrete { .. } => Value::Discrete(take(1).sum::<f32>() as i64),
            Self::Box(space) => match space.dtype() {
                Dtype::F32 => Value::Box(take(space.len()).copied().collect()),
                Dtype::U8 => Value::BoxU8(take(space.len()).map(|&number| number as u8).collect()),
            },
            Self::MultiDiscrete { nvec } => {
                Value::MultiDiscrete(take(nvec.len()).map(|&number| number as i64).collect())
            }
            Self::MultiBinary { n } => Value::MultiBinary(take(*n).map(|&number| number == 1.0).collect()),
            Self::Dict(spaces) => Value::Dict(
                spaces.iter().map(|(name, space)| (name.clone(), space.take_value(row))).collect(),
            ),
            Self::Tuple(spaces) => Value::Tuple(spaces.iter().map(|space| space.take_value(row)).collect()),
        }
    }
}

/// Hands over the numbers of a value's packed row in order.
fn visit_packed(value: &Value, write: &mut impl FnMut(f32)) {
    match value {
        Value::Discrete(value) => write(*value as f32),
        Value::Box(data) => data.iter().for_each(|&number| write(number)),
        Value::BoxU8(data) => data.iter().for_each(|&byte| write(f32::from(byte))),
        Value::MultiDiscrete(values) => values.iter().for_each(|&value| write(value as f32)),
        Value::MultiBinary(bits) => bits.iter().for_each(|&bit| write(f32::from(bit))),
        Value::Dict(entries) => entries.values().for_each(|value| visit_packed(value, write)),
        Value::Tuple(entries) => entries.iter().for_each(|value| visit_packed(value, write)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_hold_one_number_a_choice_in_the_order_of_names() {
        let space = Space::dict([
            ("b", Space::discrete_from(-3, 9).unwrap()),
            (
                "a",
                Space::tuple([Space::multi_discrete(&[5, 2]).unwrap(), Space::multi_binary(2).unwrap()])
                    .unwrap(),
            ),
            ("c", Space::image_u8(&[1, 2]).unwrap()),
        ])
        .unwrap();
        let value = Value::dict([
            (
                "a",
                Value::Tuple(vec![Value::MultiDiscrete(vec![4, 1]), Value::MultiBinary(vec![false, true])]),
            ),
            ("b", Value::Discrete(-2)),
            ("c", Value::BoxU8(vec![7, 255])),
        ]);
        let mut row = vec![f32::NAN; space.packed_len()];
        space.pack(&value, &mut row).unwrap();
        assert_eq!(row, [4.0, 1.0, 0.0, 1.0, -2.0, 7.0, 255.0]);
        assert_eq!(space.unpack(&row), Ok(value));
    }

    #[test]
    fn largest_integers_are_exact_in_a_row() {
        for (start, n) in [((1 << 24) - 1, 2), (-(1 << 24), 2)] {
            let space = Space::discrete_from(start, n).unwrap();
            for value in [start, start + 1] {
                let mut row = [0.0];
                space.pack(&Value::Discrete(value), &mut row).unwrap();
                assert_eq!(space.unpack(&row), Ok(Value::Discrete(value)));
            }
        }
    }

    #[test]
    fn nothing_is_written_on_an_error() {
        let space = Space::multi_discrete(&[2, 2]).unwrap();
        let mut row = [9.0, 9.0];
        assert!(space.pack(&Value::MultiDiscrete(vec![1, 2]), &mut row).is_err());
        assert_eq!(row, [9.0, 9.0]);
        let error = space.pack(&Value::MultiDiscrete(vec![1, 1]), &mut row[..1]).unwrap_err();
        assert_eq!(error.to_string(), "row: expected room for 2 numbers, got 1");
    }
}
