//! Between a data set's columns and an environment's packed rows.

use agon_data::{Array, Column, DataError, Dtype as DataDtype, Space as DataSpace};
use agon_envs::spaces::Dtype;
use agon_envs::{Action, ActionBatch, ActionSpec, ObsBuffer, Space};

use crate::RunError;

/// A space as data sets say it.
pub(crate) fn space_of(space: &Space) -> DataSpace {
    match space {
        Space::Discrete { n, start } => DataSpace::Discrete { start: *start, n: *n as i64 },
        Space::Box(bounds) => DataSpace::Box {
            dtype: dtype_of(bounds.dtype()),
            shape: bounds.shape().to_vec(),
            low: bounds.low().iter().copied().map(f64::from).collect(),
            high: bounds.high().iter().copied().map(f64::from).collect(),
        },
        Space::MultiDiscrete { nvec } => DataSpace::MultiDiscrete {
            dtype: DataDtype::I64,
            shape: vec![nvec.len()],
            nvec: nvec.iter().map(|&n| n as i64).collect(),
            start: vec![0; nvec.len()],
        },
        Space::MultiBinary { n } => DataSpace::MultiBinary { shape: vec![*n] },
        Space::Dict(parts) => {
            DataSpace::Dict(parts.iter().map(|(name, part)| (name.clone(), space_of(part))).collect())
        }
        Space::Tuple(parts) => DataSpace::Tuple(parts.iter().map(space_of).collect()),
    }
}

fn dtype_of(dtype: Dtype) -> DataDtype {
    match dtype {
        Dtype::F32 => DataDtype::F32,
        Dtype::U8 => DataDtype::U8,
    }
}

/// Refuses a data set whose values are of another kind or shape than an environment's. Bounds may differ, and how wide numbers
/// are.
pub(crate) fn ensure_alike(set: &str, what: &str, env: &Space, data: &DataSpace) -> Result<(), RunError> {
    if are_alike(env, data) {
        return Ok(());
    }
    Err(RunError::Config(format!("data.sets: {set}: expected {what} of {env}, found {data}")))
}

fn are_alike(env: &Space, data: &DataSpace) -> bool {
    match (env, data) {
        (Space::Discrete { n, start }, DataSpace::Discrete { start: other, n: count }) => {
            *n as i64 == *count && start == other
        }
        (Space::Box(bounds), DataSpace::Box { dtype, shape, .. }) => {
            let bytes = [bounds.dtype() == Dtype::U8, *dtype == DataDtype::U8];
            bounds.shape() == shape && bytes[0] == bytes[1]
        }
        (Space::MultiDiscrete { nvec }, DataSpace::MultiDiscrete { nvec: other, start, .. }) => {
            nvec.iter().map(|&n| n as i64).eq(other.iter().copied()) && start.iter().all(|&start| start == 0)
        }
        (Space::MultiBinary { n }, DataSpace::MultiBinary { shape }) => shape.iter().product::<usize>() == *n,
        (Space::Dict(parts), DataSpace::Dict(others)) => {
            parts.len() == others.len()
                && parts.iter().all(|(name, part)| {
                    others.iter().any(|(other, space)| other == name && are_alike(part, space))
                })
        }
        (Space::Tuple(parts), DataSpace::Tuple(others)) => {
            parts.len() == others.len()
                && parts.iter().zip(others).all(|(part, other)| are_alike(part, other))
        }
        _ => false,
    }
}

/// Packed rows of a column, `[rows, O]`: bytes where the environment's are.
///
/// # Errors
/// If the column is of another kind or shape, a number is not finite, or a category is none of its space.
pub(crate) fn observations(space: &Space, column: &Column, place: &str) -> Result<ObsBuffer, RunError> {
    if let (Space::Box(bounds), Column::Array(array)) = (space, column)
        && bounds.dtype() == Dtype::U8
        && array.dtype() == DataDtype::U8
        && array.shape() == bounds.shape()
    {
        return Ok(ObsBuffer::U8(array.bytes().to_vec()));
    }
    Ok(ObsBuffer::F32(packed(space, column, place)?))
}

/// Packed rows of a column, `[rows, O]`.
fn packed(space: &Space, column: &Column, place: &str) -> Result<Vec<f32>, RunError> {
    let (rows, width) = (column.rows()?, space.packed_len());
    let mut out = vec![0.0; rows * width];
    write_packed(space, column, place, &mut out, (width, 0))?;
    Ok(out)
}

/// Writes a column into rows of `width` numbers, from place `at` of each on.
fn write_packed(
    space: &Space,
    column: &Column,
    place: &str,
    out: &mut [f32],
    (width, at): (usize, usize),
) -> Result<(), RunError> {
    let part = |name: &str| {
        let missing = || wrong(place, &format!("with the part {name}"), "without");
        column.part(name).ok_or_else(missing)
    };
    match (space, column) {
        (Space::Dict(parts), _) => {
            let mut at = at;
            for (name, space) in parts {
                write_packed(space, part(name)?, &format!("{place}.{name}"), out, (width, at))?;
                at += space.packed_len();
            }
            Ok(())
        }
        (Space::Tuple(parts), Column::Tuple(columns)) if parts.len() == columns.len() => {
            let mut at = at;
            for (index, (space, column)) in parts.iter().zip(columns).enumerate() {
                write_packed(space, column, &format!("{place}.{index}"), out, (width, at))?;
                at += space.packed_len();
            }
            Ok(())
        }
        (leaf, Column::Array(array)) => {
            let len = leaf.packed_len();
            if array.shape().iter().product::<usize>() != len {
                let found = format!("{:?}", array.shape());
                return Err(wrong(place, &format!("of {len} numbers a row"), &found));
            }
            let numbers = array.to_f32();
            for (row, (numbers, out)) in
                numbers.chunks_exact(len).zip(out.chunks_exact_mut(width)).enumerate()
            {
                let is_whole = match leaf {
                    Space::Box(_) => numbers.iter().all(|number| number.is_finite()),
                    _ => leaf.contains_packed(numbers).is_ok(),
                };
                if !is_whole {
                    let found = format!("{numbers:?} in row {row}");
                    return Err(wrong(place, &format!("finite and of {leaf}"), &found));
                }
                out[at..at + len].copy_from_slice(numbers);
            }
            Ok(())
        }
        (leaf, _) => Err(wrong(place, &format!("an array of {leaf}"), "something else")),
    }
}

/// Actions of a column, as learners take them.
///
/// # Errors
/// As [`observations`].
pub(crate) fn actions(space: &Space, column: &Column, place: &str) -> Result<ActionBatch, RunError> {
    let mut rows = packed(space, column, place)?;
    Ok(match ActionSpec::of(space)? {
        ActionSpec::Continuous { .. } => ActionBatch::Continuous(rows),
        ActionSpec::Discrete { .. } => {
            let starts = starts(space);
            rows.iter_mut().zip(starts.iter().cycle()).for_each(|(number, start)| *number -= start);
            ActionBatch::Discrete(rows.into_iter().map(|number| number as u32).collect())
        }
    })
}

/// What an action's indices count from, where its space does not begin with zero: a number for each of a packed row.
fn starts(space: &Space) -> Vec<f32> {
    match space {
        Space::Discrete { start, .. } => vec![*start as f32],
        Space::Dict(parts) => parts.values().flat_map(starts).collect(),
        Space::Tuple(parts) => parts.iter().flat_map(starts).collect(),
        leaf => vec![0.0; leaf.packed_len()],
    }
}

/// The packed row of an action.
pub(crate) fn packed_action(space: &Space, action: Action<'_>) -> Vec<f32> {
    match action {
        Action::Discrete(indices) => {
            indices.iter().zip(starts(space)).map(|(&index, start)| index as f32 + start).collect()
        }
        Action::Continuous(numbers) => numbers.to_vec(),
    }
}

/// A column of packed rows, `[rows, O]`.
///
/// # Errors
/// If the rows are of another length.
pub(crate) fn column_of(space: &Space, rows: &ObsBuffer) -> Result<Column, RunError> {
    if let (Space::Box(bounds), ObsBuffer::U8(bytes)) = (space, rows) {
        return Ok(Column::Array(Array::new(DataDtype::U8, bounds.shape().to_vec(), bytes.clone())?));
    }
    Ok(part_of(space, rows.as_f32(), (space.packed_len(), 0))?)
}

/// The column of the numbers from place `at` of each row of `width` numbers on.
fn part_of(space: &Space, rows: &[f32], (width, at): (usize, usize)) -> Result<Column, DataError> {
    let mut next = at;
    let mut part = |space: &Space| {
        let column = part_of(space, rows, (width, next));
        next += space.packed_len();
        column
    };
    let numbers = || rows.chunks_exact(width).flat_map(|row| &row[at..at + space.packed_len()]);
    Ok(match space {
        Space::Dict(parts) => Column::Dict(
            parts
                .iter()
                .map(|(name, space)| Ok((name.clone(), part(space)?)))
                .collect::<Result<_, DataError>>()?,
        ),
        Space::Tuple(parts) => Column::Tuple(parts.iter().map(part).collect::<Result<_, _>>()?),
        Space::Box(bounds) => {
            let bytes = match bounds.dtype() {
                Dtype::F32 => numbers().flat_map(|number| number.to_le_bytes()).collect(),
                Dtype::U8 => numbers().map(|&number| number as u8).collect(),
            };
            Column::Array(Array::new(dtype_of(bounds.dtype()), bounds.shape().to_vec(), bytes)?)
        }
        Space::MultiBinary { n } => {
            Column::Array(Array::new(DataDtype::I8, vec![*n], numbers().map(|&bit| bit as u8).collect())?)
        }
        Space::Discrete { .. } | Space::MultiDiscrete { .. } => {
            let bytes = numbers().flat_map(|&number| (number as i64).to_le_bytes()).collect();
            let shape = if let Space::MultiDiscrete { nvec } = space { vec![nvec.len()] } else { Vec::new() };
            Column::Array(Array::new(DataDtype::I64, shape, bytes)?)
        }
    })
}

fn wrong(place: &str, expected: &str, found: &str) -> RunError {
    RunError::Config(format!("{place} must be {expected}, got {found}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested() -> Space {
        Space::dict([
            ("position", Space::box_f32(&[-4.0, -1.0], &[4.0, 1.0]).unwrap()),
            ("gear", Space::discrete_from(-1, 3).unwrap()),
            (
                "hand",
                Space::tuple([Space::multi_discrete(&[3, 2]).unwrap(), Space::multi_binary(2).unwrap()])
                    .unwrap(),
            ),
        ])
        .unwrap()
    }

    #[test]
    fn rows_of_any_space_go_to_columns_and_back() {
        let rows = vec![-1.0, 2.0, 1.0, 1.0, 0.0, 3.5, -0.25, 1.0, 0.0, 0.0, 0.0, 1.0, -3.0, 1.0];
        let column = column_of(&nested(), &ObsBuffer::F32(rows.clone())).unwrap();
        assert_eq!(column.rows().unwrap(), 2);
        assert_eq!(observations(&nested(), &column, "observations").unwrap(), ObsBuffer::F32(rows));
        ensure_alike("a/b-v0", "observations", &nested(), &space_of(&nested())).unwrap();
        let image = Space::image_u8(&[2, 3]).unwrap();
        let bytes = ObsBuffer::U8((0..12).collect());
        let column = column_of(&image, &bytes).unwrap();
        assert_eq!(observations(&image, &column, "observations").unwrap(), bytes);
    }

    #[test]
    fn actions_count_from_zero_whatever_their_space_begins_with() {
        let space = Space::discrete_from(-1, 3).unwrap();
        let column = Column::Array(Array::from_i64(&[-1, 1, 0]));
        assert_eq!(actions(&space, &column, "actions").unwrap(), ActionBatch::Discrete(vec![0, 2, 1]));
        assert_eq!(packed_action(&space, Action::Discrete(&[2])), [1.0]);
    }

    #[test]
    fn what_is_none_of_the_space_is_refused_by_its_place() {
        let space = Space::discrete(3).unwrap();
        let column = Column::Array(Array::from_i64(&[0, 3]));
        let error = actions(&space, &column, "actions of episode 4").unwrap_err().to_string();
        let expected = "actions of episode 4 must be finite and of Discrete(3), got [3.0] in row 1";
        assert_eq!(error, expected);
        let column = Column::Array(Array::from_f64(&[f64::NAN]));
        let error = observations(&Space::box_f32(&[0.0], &[1.0]).unwrap(), &column, "x").unwrap_err();
        assert!(error.to_string().contains("NaN"), "{error}");
        let other =
            ensure_alike("a/b-v0", "actions", &space, &DataSpace::Discrete { start: 1, n: 3 }).unwrap_err();
        assert!(
            other
                .to_string()
                .contains("data.sets: a/b-v0: expected actions of Discrete(3), found Discrete(3, start=1)"),
            "{other}"
        );
    }
}
