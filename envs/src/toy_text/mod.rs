//! Toy text: small tabular worlds.

use crate::{EnvError, Registry};

/// Adds the environments of this module.
pub(crate) fn register(_registry: &mut Registry) -> Result<(), EnvError> {
    Ok(())
}
