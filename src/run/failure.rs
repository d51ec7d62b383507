//! Why a run failed, kept beside it so that an experiment or sweep does not walk into the same wall each time it goes on.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::directory::write_atomically;
use crate::RunError;
use crate::config::{from_table, read_table};
use crate::error::AtPath;

/// The file's name.
const FAILURE: &str = "failure.toml";

/// Why a run failed. It stands for the run until the run is resumed by itself, or the file is removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Environment steps that the run had written down.
    pub env_steps: u64,
    /// The error.
    pub reason: String,
}

impl Failure {
    fn path(run: &Path) -> PathBuf {
        run.join(FAILURE)
    }

    /// The failure of a run, if it has one.
    ///
    /// # Errors
    /// If the file cannot be read or is broken.
    pub fn load(run: &Path) -> Result<Option<Self>, RunError> {
        let path = Self::path(run);
        if !path.exists() {
            return Ok(None);
        }
        let named = |error| RunError::Config(format!("{}: {error}", path.display()));
        from_table(read_table(&path)?).map(Some).map_err(named)
    }

    /// Writes it into the run's directory.
    pub(crate) fn save(&self, run: &Path) -> Result<(), RunError> {
        let text = toml::to_string(self).map_err(|error| RunError::Config(error.to_string()))?;
        write_atomically(&Self::path(run), text.as_bytes())
    }

    /// Forgets a run's failure: it is tried again.
    pub(crate) fn clear(run: &Path) -> Result<(), RunError> {
        let path = Self::path(run);
        if path.exists() { fs::remove_file(&path).at("cannot remove", &path) } else { Ok(()) }
    }
}
