//! What a run's configuration says of the program that made it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::RunConfig;
use crate::RunError;
use crate::text;

/// What made a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MadeBy {
    /// Version of this crate.
    pub version: String,
    /// The command line.
    pub command: String,
    /// The instruction set that was used.
    pub instruction_set: String,
    /// The preset that the settings began with; `none` for the algorithm's bare defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Runs that were trained at once on the same cores when it began, itself included: its seconds are theirs too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side_by_side: Option<usize>,
    /// Why the run cannot be resumed exactly; none if it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inexact: Option<String>,
    /// Versions of the packages that an environment of another program is made of. The run goes on with the same ones only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env_versions: BTreeMap<String, String>,
}

impl MadeBy {
    /// This program, with the arguments that it was started with.
    ///
    /// # Errors
    /// If the configuration's instruction set is not to be had.
    pub fn this_program(config: &RunConfig) -> Result<Self, RunError> {
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command: text::command_line(),
            instruction_set: config.instruction_set()?.to_string(),
            preset: None,
            side_by_side: None,
            inexact: None,
            env_versions: BTreeMap::new(),
        })
    }
}
