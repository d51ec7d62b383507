//! Observations that are kept outside of memory: recorded ones that do not fit into it.

use std::fmt::Debug;
use std::sync::Arc;

use super::column::{Column, Element};
use crate::AgentError;
use crate::bits::BITS;

/// Keeps rows of bytes somewhere else, such as in a file.
pub trait RowStore: Debug + Send + Sync {
    /// Keeps bytes, and says where.
    ///
    /// # Errors
    /// [`AgentError::Chunk`] if they cannot be kept.
    fn keep(&self, bytes: &[u8]) -> Result<u64, AgentError>;

    /// Reads as many bytes from a place on as there is room for.
    ///
    /// # Errors
    /// [`AgentError::Chunk`] if they cannot be read.
    fn read(&self, at: u64, out: &mut [u8]) -> Result<(), AgentError>;

    /// Is told of what will soon be read, places and lengths, so that it can be at hand by then. Changes nothing else.
    fn expect(&self, rows: Vec<(u64, usize)>);
}

/// How the elements of a column are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    F32,
    U8,
    Bits,
}

impl Kind {
    /// Bytes of a row of `len` elements.
    fn row_bytes(self, len: usize) -> usize {
        match self {
            Self::F32 => 4 * len,
            Self::U8 => len,
            Self::Bits => len.div_ceil(BITS),
        }
    }
}

/// A column that was put away.
#[derive(Clone, Debug)]
pub(super) struct AwayColumn {
    store: Arc<dyn RowStore>,
    kind: Kind,
    at: u64,
}

impl PartialEq for AwayColumn {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.store, &other.store) && (self.kind, self.at) == (other.kind, other.at)
    }
}

impl AwayColumn {
    /// Puts the rows of a column away, which has none after that.
    ///
    /// # Errors
    /// If they cannot be kept.
    pub(super) fn put(column: &mut Column, store: &Arc<dyn RowStore>) -> Result<Self, AgentError> {
        let (kind, at) = match column {
            Column::F32(values) => {
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                (Kind::F32, store.keep(&bytes)?)
            }
            Column::U8(bytes) => (Kind::U8, store.keep(bytes)?),
            Column::Bits(bits) => (Kind::Bits, store.keep(bits)?),
        };
        *column = Column::new(column.dtype());
        Ok(Self { store: Arc::clone(store), kind, at })
    }

    /// Where a row of `len` elements lies, and how many bytes it takes.
    pub(super) fn place(&self, row: usize, len: usize) -> (u64, usize) {
        let bytes = self.kind.row_bytes(len);
        (self.at + (row * bytes) as u64, bytes)
    }

    /// Copies a row.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn read<T: Element>(&self, row: usize, out: &mut [T]) -> Result<(), AgentError> {
        let (at, bytes) = self.place(row, out.len());
        let mut row = vec![0; bytes];
        self.store.read(at, &mut row)?;
        let column = match self.kind {
            Kind::F32 => {
                let (values, _) = row.as_chunks::<4>();
                Column::F32(values.iter().map(|value| f32::from_le_bytes(*value)).collect())
            }
            Kind::U8 => Column::U8(row),
            Kind::Bits => Column::Bits(row),
        };
        T::read(&column, 0, out);
        Ok(())
    }
}
