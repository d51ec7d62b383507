//! MiniGrid: grid worlds seen through a small window.

use crate::{EnvError, Registry};

/// Adds the environments of this module.
pub(crate) fn register(_registry: &mut Registry) -> Result<(), EnvError> {
    Ok(())
}

/// The text of a mission.
pub fn mission_text(_id: &str, _index: usize) -> Option<String> {
    None
}
