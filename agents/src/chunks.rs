//! Parts of a learner's state that do not change once they are full, so that a checkpoint need not write them again.
//!
//! A replay buffer of a million transitions grows by a few thousand between two checkpoints. It hands its full chunks
//! to a [`ChunkStore`] by key, and the store asks for the bytes of those it does not have.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::AgentError;

/// Keeps chunks by key.
pub trait ChunkStore {
    /// Makes sure that the chunk of a key is kept. `content` is called only if it is not yet; a key always stands for
    /// the same bytes within a run.
    ///
    /// # Errors
    /// [`AgentError::Chunk`] if it cannot be kept.
    fn put(
        &mut self,
        key: &str,
        content: &mut dyn FnMut() -> Result<Vec<u8>, AgentError>,
    ) -> Result<(), AgentError>;

    /// The chunk of a key, which takes at most `most` bytes.
    ///
    /// # Errors
    /// [`AgentError::Chunk`] if there is none, or it is damaged or larger.
    fn get(&self, key: &str, most: u64) -> Result<Vec<u8>, AgentError>;
}

/// Chunks in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStore(BTreeMap<String, Vec<u8>>);

impl ChunkStore for MemoryStore {
    fn put(
        &mut self,
        key: &str,
        content: &mut dyn FnMut() -> Result<Vec<u8>, AgentError>,
    ) -> Result<(), AgentError> {
        if !self.0.contains_key(key) {
            self.0.insert(key.to_owned(), content()?);
        }
        Ok(())
    }

    fn get(&self, key: &str, _most: u64) -> Result<Vec<u8>, AgentError> {
        let missing = || AgentError::Chunk { key: key.to_owned(), message: "there is none".to_owned() };
        self.0.get(key).cloned().ok_or_else(missing)
    }
}
