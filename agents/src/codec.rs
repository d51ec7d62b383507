//! Saved states as bytes.

use serde::{Serialize, de::DeserializeOwned};

use crate::AgentError;

/// A saved state as bytes.
///
/// # Errors
/// If it cannot be serialised.
pub fn encode(state: &impl Serialize) -> Result<Vec<u8>, AgentError> {
    postcard::to_stdvec(state).map_err(|error| AgentError::Restore(error.to_string()))
}

/// A saved state from bytes.
///
/// # Errors
/// [`AgentError::Restore`] if they are of another type.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, AgentError> {
    match postcard::take_from_bytes(bytes) {
        Ok((state, [])) => Ok(state),
        Ok((_, rest)) => {
            Err(AgentError::Restore(format!("expected the end, found {} more bytes", rest.len())))
        }
        Err(error) => Err(AgentError::Restore(error.to_string())),
    }
}
