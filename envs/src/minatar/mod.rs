//! MinAtar: five miniature Atari games on a 10 by 10 grid.

use crate::{EnvError, Registry};

/// Adds the environments of this module.
pub(crate) fn register(_registry: &mut Registry) -> Result<(), EnvError> {
    Ok(())
}
