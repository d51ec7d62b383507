//! The values of many steps, a row a step.

mod array;

pub use array::Array;

use crate::{DataError, Space};

/// The values of many steps, in the shape that their [`Space`] gives them.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// An array of numbers a row.
    Array(Array),
    /// A text a row.
    Text(Vec<String>),
    /// A JPEG file a row, as Minari stores the frames of [image spaces](Space::is_image):
    /// [`decode`](Column::decode) gives their pixels.
    Jpeg(Vec<Vec<u8>>),
    /// Named parts, each of as many rows.
    Dict(Vec<(String, Column)>),
    /// Parts by position, each of as many rows.
    Tuple(Vec<Column>),
}

impl Column {
    /// How many rows, 0 where there is no part.
    ///
    /// # Errors
    /// [`DataError::Mismatch`] where two parts have different numbers of rows.
    pub fn rows(&self) -> Result<usize, DataError> {
        let mut leaves = Vec::new();
        self.leaf_rows("column", &mut leaves);
        let Some((_, rows)) = leaves.first().cloned() else {
            return Ok(0);
        };
        match leaves.into_iter().find(|(_, other)| *other != rows) {
            Some((place, other)) => Err(DataError::mismatch(place, format!("of {rows} rows"), other)),
            None => Ok(rows),
        }
    }

    /// The array, where this is one.
    #[must_use]
    pub fn as_array(&self) -> Option<&Array> {
        match self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }

    /// The part of that name, where this is a dictionary that has it.
    #[must_use]
    pub fn part(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Dict(parts) => parts.iter().find(|(other, _)| other == name).map(|(_, part)| part),
            _ => None,
        }
    }

    /// The same rows with the frames of every JPEG column as arrays of pixels.
    ///
    /// A frame is not what the agent saw: JPEG keeps an approximation of it. Other decoders may also differ from this one
    /// by a few units a pixel.
    ///
    /// # Errors
    /// [`DataError::Mismatch`] for a frame that is damaged or not of the size of its space.
    pub fn decode(self, space: &Space) -> Result<Self, DataError> {
        self.decode_at(space, "column")
    }

    fn decode_at(self, space: &Space, place: &str) -> Result<Self, DataError> {
        match (self, space) {
            (Self::Jpeg(frames), Space::Box { shape, .. }) => {
                crate::jpeg::decode(&frames, shape, place).map(Self::Array)
            }
            (Self::Dict(parts), Space::Dict(spaces)) => {
                let decode =
                    |(name, part): (String, Self)| match spaces.iter().find(|(other, _)| *other == name) {
                        Some((_, space)) => {
                            part.decode_at(space, &format!("{place}.{name}")).map(|part| (name, part))
                        }
                        None => Ok((name, part)),
                    };
                parts.into_iter().map(decode).collect::<Result<_, _>>().map(Self::Dict)
            }
            (Self::Tuple(parts), Space::Tuple(spaces)) => {
                let parts = parts.into_iter().zip(spaces).enumerate();
                parts
                    .map(|(index, (part, space))| part.decode_at(space, &format!("{place}.{index}")))
                    .collect::<Result<_, _>>()
                    .map(Self::Tuple)
            }
            (column, _) => Ok(column),
        }
    }

    /// Checks kind, shape and number of rows. Bounds are not checked: environments leave them.
    pub(crate) fn check(&self, space: &Space, rows: usize, place: &str) -> Result<(), DataError> {
        match (self, space) {
            (Self::Dict(parts), Space::Dict(spaces)) => {
                let names: Vec<_> = parts.iter().map(|(name, _)| name.as_str()).collect();
                let expected: Vec<_> = spaces.iter().map(|(name, _)| name.as_str()).collect();
                if names != expected {
                    return Err(DataError::mismatch(
                        place,
                        format!("of the parts {expected:?}"),
                        format!("{names:?}"),
                    ));
                }
                let mut pairs = parts.iter().zip(spaces);
                pairs.try_for_each(|((name, part), (_, space))| {
                    part.check(space, rows, &format!("{place}.{name}"))
                })
            }
            (Self::Tuple(parts), Space::Tuple(spaces)) => {
                if parts.len() != spaces.len() {
                    return Err(DataError::mismatch(
                        place,
                        format!("of {} parts", spaces.len()),
                        parts.len(),
                    ));
                }
                let mut pairs = parts.iter().zip(spaces).enumerate();
                pairs.try_for_each(|(index, (part, space))| {
                    part.check(space, rows, &format!("{place}.{index}"))
                })
            }
            (Self::Jpeg(frames), _) if space.is_image() => expect_rows(frames.len(), rows, place),
            (Self::Text(texts), Space::Text { .. }) => expect_rows(texts.len(), rows, place),
            (Self::Array(array), _) => match space.array_kind() {
                Some((dtype, shape)) => {
                    array.expect_kind(dtype, shape, place)?;
                    expect_rows(array.rows(), rows, place)
                }
                None => Err(DataError::mismatch(place, format!("what {} holds", space.kind()), "an array")),
            },
            _ => Err(DataError::mismatch(place, format!("what {} holds", space.kind()), self.kind())),
        }
    }

    /// Checks the number of rows of every part.
    pub(crate) fn check_rows(&self, rows: usize, place: &str) -> Result<(), DataError> {
        let mut leaves = Vec::new();
        self.leaf_rows(place, &mut leaves);
        leaves.into_iter().try_for_each(|(place, found)| expect_rows(found, rows, &place))
    }

    /// Whether every part of an image space is of JPEG frames, or none is.
    pub(crate) fn frames_are(&self, jpeg: bool, space: &Space) -> bool {
        match (self, space) {
            (Self::Dict(parts), Space::Dict(spaces)) => {
                parts.iter().zip(spaces).all(|((_, part), (_, space))| part.frames_are(jpeg, space))
            }
            (Self::Tuple(parts), Space::Tuple(spaces)) => {
                parts.iter().zip(spaces).all(|(part, space)| part.frames_are(jpeg, space))
            }
            _ => !space.is_image() || matches!(self, Self::Jpeg(_)) == jpeg,
        }
    }

    /// Adds rows of the same kind and shape.
    pub(crate) fn append(&mut self, more: Self, place: &str) -> Result<(), DataError> {
        let (kind, other) = (self.kind(), more.kind());
        match (self, more) {
            (Self::Array(array), Self::Array(more)) => array.append(&more, place),
            (Self::Text(texts), Self::Text(more)) => {
                texts.extend(more);
                Ok(())
            }
            (Self::Jpeg(frames), Self::Jpeg(more)) => {
                frames.extend(more);
                Ok(())
            }
            (Self::Dict(parts), Self::Dict(more)) if parts.len() == more.len() => {
                let mut pairs = parts.iter_mut().zip(more);
                pairs.try_for_each(|((name, part), (_, more))| part.append(more, &format!("{place}.{name}")))
            }
            (Self::Tuple(parts), Self::Tuple(more)) if parts.len() == more.len() => {
                let mut pairs = parts.iter_mut().zip(more).enumerate();
                pairs.try_for_each(|(index, (part, more))| part.append(more, &format!("{place}.{index}")))
            }
            _ => Err(DataError::mismatch(place, format!("{kind} in every batch"), other)),
        }
    }

    /// Bytes of all values.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Array(array) => array.bytes().len(),
            Self::Text(texts) => texts.iter().map(String::len).sum(),
            Self::Jpeg(frames) => frames.iter().map(Vec::len).sum(),
            Self::Dict(parts) => parts.iter().map(|(_, part)| part.size()).sum(),
            Self::Tuple(parts) => parts.iter().map(Self::size).sum(),
        }
    }

    /// What it is, for an error.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Array(_) => "an array",
            Self::Text(_) => "texts",
            Self::Jpeg(_) => "JPEG frames",
            Self::Dict(_) => "named parts",
            Self::Tuple(_) => "parts by position",
        }
    }

    fn leaf_rows(&self, place: &str, leaves: &mut Vec<(String, usize)>) {
        match self {
            Self::Array(array) => leaves.push((place.to_owned(), array.rows())),
            Self::Text(texts) => leaves.push((place.to_owned(), texts.len())),
            Self::Jpeg(frames) => leaves.push((place.to_owned(), frames.len())),
            Self::Dict(parts) => {
                parts.iter().for_each(|(name, part)| part.leaf_rows(&format!("{place}.{name}"), leaves));
            }
            Self::Tuple(parts) => {
                let parts = parts.iter().enumerate();
                parts.for_each(|(index, part)| part.leaf_rows(&format!("{place}.{index}"), leaves));
            }
        }
    }
}

fn expect_rows(found: usize, rows: usize, place: &str) -> Result<(), DataError> {
    if found == rows { Ok(()) } else { Err(DataError::mismatch(place, format!("of {rows} rows"), found)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dtype;

    #[test]
    fn parts_of_different_lengths_are_named() {
        let column = Column::Dict(vec![
            ("a".to_owned(), Column::Array(Array::from_f64(&[1.0, 2.0]))),
            ("b".to_owned(), Column::Tuple(vec![Column::Text(vec!["x".to_owned()])])),
        ]);
        let error = column.rows().expect_err("two lengths").to_string();
        assert_eq!(error, "column.b.0 must be of 2 rows, got 1");
    }

    #[test]
    fn a_column_must_be_what_its_space_says() {
        let space = Space::Dict(vec![("a".to_owned(), Space::Discrete { start: 0, n: 2 })]);
        let column = |array| Column::Dict(vec![("a".to_owned(), Column::Array(array))]);
        column(Array::from_i64(&[0, 1])).check(&space, 2, "actions").expect("right");
        let error =
            column(Array::from_f64(&[0.0, 1.0])).check(&space, 2, "actions").expect_err("floats").to_string();
        assert_eq!(error, "actions.a must be int64 of shape [], got float64 of shape []");
        let array = Array::new(Dtype::I64, vec![], vec![0; 24]).expect("three rows");
        let error = column(array).check(&space, 2, "actions").expect_err("three rows").to_string();
        assert_eq!(error, "actions.a must be of 2 rows, got 3");
    }
}
