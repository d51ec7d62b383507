//! State that belongs to rows, as columns that can be copied and saved a few rows at a time.
//!
//! What a wrapper counts or draws for a row lies in one column or several. Whoever lists them
//! ([`Wrapper::visit_columns`](crate::wrappers::Wrapper::visit_columns)) has said all that is needed to save a whole batch, to
//! save one environment of it, and to copy one environment onto another.

use std::ops::Range;

use serde::{Serialize, de::DeserializeOwned};

use crate::{ActionBatch, EnvError};

/// Values of rows, some of them for each row. It has them from the start: a snapshot may be taken before the first reset.
pub trait Column {
    /// Copies the values of the rows `from` to as many rows that begin with `to`.
    fn copy(&mut self, from: Range<usize>, to: usize);

    /// The values of some rows.
    ///
    /// # Errors
    /// [`EnvError::Snapshot`] if they cannot be serialised.
    fn save(&self, rows: Range<usize>) -> Result<Vec<u8>, EnvError>;

    /// Gives some rows the values that [`Column::save`] gave for as many rows.
    ///
    /// # Errors
    /// [`EnvError::Snapshot`] if they are of another number of rows or damaged.
    fn load(&mut self, rows: Range<usize>, bytes: &[u8]) -> Result<(), EnvError>;
}

/// One value a row.
impl<T: Clone + Serialize + DeserializeOwned> Column for Vec<T> {
    fn copy(&mut self, from: Range<usize>, to: usize) {
        copy_values(self, from, to);
    }

    fn save(&self, rows: Range<usize>) -> Result<Vec<u8>, EnvError> {
        to_bytes(self.get(rows.clone()).ok_or_else(|| too_short(self.len(), rows))?)
    }

    fn load(&mut self, rows: Range<usize>, bytes: &[u8]) -> Result<(), EnvError> {
        let len = self.len();
        load_values(self.get_mut(rows.clone()).ok_or_else(|| too_short(len, rows))?, bytes)
    }
}

/// A column of a wrapper of one's own that was not given a value for every row.
fn too_short(len: usize, rows: Range<usize>) -> EnvError {
    EnvError::Snapshot(format!(
        "a column must have a value for each row, got {len} values for row {}",
        rows.end - 1
    ))
}

/// The action of each row.
#[derive(Clone, Debug)]
pub struct ActionColumn {
    /// `[N, width]`.
    pub batch: ActionBatch,
    /// Values of an action; at least 1.
    pub width: usize,
}

impl Column for ActionColumn {
    fn copy(&mut self, from: Range<usize>, to: usize) {
        let (from, to) = (from.start * self.width..from.end * self.width, to * self.width);
        match &mut self.batch {
            ActionBatch::Discrete(values) => copy_values(values, from, to),
            ActionBatch::Continuous(values) => copy_values(values, from, to),
        }
    }

    fn save(&self, rows: Range<usize>) -> Result<Vec<u8>, EnvError> {
        let range = rows.start * self.width..rows.end * self.width;
        match &self.batch {
            ActionBatch::Discrete(values) => to_bytes(&values[range]),
            ActionBatch::Continuous(values) => to_bytes(&values[range]),
        }
    }

    fn load(&mut self, rows: Range<usize>, bytes: &[u8]) -> Result<(), EnvError> {
        let range = rows.start * self.width..rows.end * self.width;
        match &mut self.batch {
            ActionBatch::Discrete(values) => load_values(&mut values[range], bytes),
            ActionBatch::Continuous(values) => load_values(&mut values[range], bytes),
        }
    }
}

fn copy_values<T: Clone>(values: &mut [T], from: Range<usize>, to: usize) {
    for (source, target) in from.zip(to..) {
        values[target] = values[source].clone();
    }
}

fn load_values<T: DeserializeOwned>(values: &mut [T], bytes: &[u8]) -> Result<(), EnvError> {
    let saved: Vec<T> = from_bytes(bytes)?;
    if saved.len() != values.len() {
        let message = format!("expected {} values of a column, found {}", values.len(), saved.len());
        return Err(EnvError::Snapshot(message));
    }
    values.iter_mut().zip(saved).for_each(|(value, saved)| *value = saved);
    Ok(())
}

/// A state as bytes.
pub(crate) fn to_bytes(state: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, EnvError> {
    postcard::to_stdvec(state).map_err(|error| EnvError::Snapshot(error.to_string()))
}

/// A state from bytes, which must hold nothing else.
pub(crate) fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, EnvError> {
    match postcard::take_from_bytes(bytes) {
        Ok((state, [])) => Ok(state),
        Ok((_, rest)) => {
            Err(EnvError::Snapshot(format!("expected the end, found {} more bytes", rest.len())))
        }
        Err(error) => Err(EnvError::Snapshot(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_left_over_are_refused() {
        let bytes = to_bytes(&vec![1_u32, 2]).unwrap();
        assert_eq!(from_bytes::<Vec<u32>>(&bytes).unwrap(), [1, 2]);
        let message = from_bytes::<Vec<u32>>(&[&bytes[..], &[0]].concat()).unwrap_err().to_string();
        assert!(message.contains("expected the end, found 1 more bytes"), "{message}");
    }
}
