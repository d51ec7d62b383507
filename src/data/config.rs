//! Settings of recorded experience.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::error::AtPath;

/// Recorded experience that a run learns from instead of acting: its steps are updates then, and it has one environment, the
/// evaluations'. Or, with `acts`, beside what it does itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Ids of data sets under the root of Minari's, or directories of data sets; one after the other. None for a run that acts.
    pub sets: Vec<String>,
    /// Share of the episodes that are learned from, those of the greatest return; above 0, at most 1.
    pub best: f64,
    /// Whether the run acts too: its steps are environment steps then, and a replay buffer has both. Always of gail and airl.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub acts: bool,
    /// Share of a minibatch that is recorded, where a run acts too and has a replay buffer; above 0, below 1.
    pub share: f64,
    /// Where what was observed is kept while it is learned from. The results are the same.
    #[serde(skip_serializing_if = "Storage::is_auto")]
    pub storage: Storage,
    /// Checksum of what is learned from; written, and compared when the run goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
}

/// Where recorded observations are kept while a run learns from them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// In memory if they fit, else on disk.
    #[default]
    Auto,
    /// In memory.
    Memory,
    /// In a file of the run's directory that is gone when the run ends; what is needed next is read ahead. Of algorithms with a
    /// replay buffer.
    Disk,
}

impl Storage {
    fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

impl Default for DataConfig {
    fn default() -> Self {
        Self { sets: Vec::new(), best: 1.0, acts: false, share: 0.5, storage: Storage::Auto, checksum: None }
    }
}

impl DataConfig {
    /// Whether there is recorded experience to learn from.
    pub fn is_on(&self) -> bool {
        !self.sets.is_empty()
    }

    /// Whether there is nothing else to learn from: the run does not act.
    pub fn is_alone(&self) -> bool {
        self.is_on() && !self.acts
    }

    /// With directories of data sets by their whole paths, so that the run can go on from elsewhere.
    ///
    /// # Errors
    /// If a directory cannot be read.
    pub(crate) fn settle(&mut self) -> Result<(), RunError> {
        for set in &mut self.sets {
            let path = Path::new(&*set);
            if super::is_set(path) {
                *set = path.canonicalize().at("cannot read", path)?.to_string_lossy().into_owned();
            }
        }
        Ok(())
    }

    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Checks every setting's range.
    ///
    /// # Errors
    /// Naming the field, what is allowed and what was found.
    pub fn validate(&self) -> Result<(), RunError> {
        let wrong = |field: &str, expected: &str, found: &dyn std::fmt::Display| {
            Err(RunError::Config(format!("data.{field} must be {expected}, got {found}")))
        };
        if !(self.best > 0.0 && self.best <= 1.0) {
            return wrong("best", "above 0 and at most 1", &self.best);
        }
        if !(self.share > 0.0 && self.share < 1.0) {
            return wrong("share", "above 0 and below 1", &self.share);
        }
        if !self.is_on() && !self.is_default() {
            return wrong("sets", "ids of data sets where there are other settings of them", &"none");
        }
        Ok(())
    }
}
