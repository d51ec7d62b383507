//! Board games for two players who move in turn.

use crate::{EnvError, Registry};

/// Adds the environments of this module.
pub(crate) fn register(_registry: &mut Registry) -> Result<(), EnvError> {
    Ok(())
}
