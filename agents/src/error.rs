//! The one error type of the crate.

use agon_envs::EnvError;
use agon_nn::NnError;

use crate::weights::Misfits;

/// What can go wrong in an algorithm.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// No algorithm is registered under the name.
    #[error("unknown algorithm `{name}`, expected one of {known}")]
    UnknownAlgorithm {
        /// The name asked for.
        name: String,
        /// The registered names.
        known: String,
    },
    /// An algorithm is already registered under the name.
    #[error("algorithm `{0}` is registered already")]
    DuplicateAlgorithm(String),
    /// The configuration has an unknown key or a value of the wrong type.
    #[error("{0}")]
    Config(String),
    /// A policy cannot act on what it is shown.
    #[error("{0}")]
    Policy(String),
    /// Something was asked of an algorithm's networks, and it has none.
    #[error("algorithm `{0}` has no networks")]
    NoNetworks(String),
    /// A setting is out of range.
    #[error("{field} must be {expected}, got {found}")]
    Setting {
        /// The setting's name, with its path where that is known.
        field: String,
        /// What is allowed.
        expected: String,
        /// What was given.
        found: String,
    },
    /// The algorithm cannot act in the environment.
    #[error("{algorithm} needs {expected}, got {found}")]
    Unsupported {
        /// The algorithm.
        algorithm: &'static str,
        /// What it can do.
        expected: &'static str,
        /// What the environment has.
        found: String,
    },
    /// An update was given up because the one who asked for it no longer wants it.
    #[error("the update was given up")]
    GivenUp,
    /// A loss or gradient became NaN or infinite.
    #[error(
        "{what} became {value} at update {update}: lower the learning rate, or look at the rewards and observations"
    )]
    NotFinite {
        /// `policy loss`, `value loss`, …
        what: &'static str,
        /// The value.
        value: f64,
        /// Gradient updates taken before.
        update: u64,
    },
    /// A saved learner does not fit this one, or is damaged.
    #[error("saved learner cannot be restored: {0}")]
    Restore(String),
    /// Weights do not fit the networks that should take them on.
    #[error("weights do not fit the networks: {0}")]
    Weights(Misfits),
    /// A fragment from outside is not what an environment loop could have filled.
    #[error("fragment of shard {shard}: {what} must be {expected}, got {found}")]
    Fragment {
        /// The shard that it says it is of.
        shard: usize,
        /// What is wrong.
        what: String,
        /// What is allowed.
        expected: String,
        /// What it holds.
        found: String,
    },
    /// A chunk of a replay buffer cannot be kept or read.
    #[error("chunk {key} of the replay buffer: {message}")]
    Chunk {
        /// Its key.
        key: String,
        /// What is wrong.
        message: String,
    },
    /// A network operation failed.
    #[error(transparent)]
    Network(#[from] NnError),
    /// An environment failed.
    #[error(transparent)]
    Environment(#[from] EnvError),
}

impl AgentError {
    /// A setting out of range.
    pub fn setting(field: &'static str, expected: impl Into<String>, found: impl std::fmt::Display) -> Self {
        Self::Setting { field: field.to_owned(), expected: expected.into(), found: found.to_string() }
    }

    /// The same error with the path of its setting among those of a run.
    pub(crate) fn with_path(self) -> Self {
        match self {
            Self::Setting { field, expected, found } => {
                Self::Setting { field: format!("agent.{field}"), expected, found }
            }
            Self::Network(error @ NnError::Within { part: OPTIMIZER | DISTRIBUTION, .. }) => {
                Self::Network(error.within("agent"))
            }
            Self::Network(error) => Self::Network(error.within("network")),
            other => other,
        }
    }
}

/// The table of the settings of a distribution of returns.
pub(crate) const DISTRIBUTION: &str = "distribution";
/// The table of the optimizer's settings.
pub(crate) const OPTIMIZER: &str = "optimizer";

/// Checks that a setting holds, or names it with what is allowed and what was found.
pub(crate) fn ensure(
    holds: bool,
    field: &'static str,
    expected: &'static str,
    found: impl std::fmt::Display,
) -> Result<(), AgentError> {
    if holds { Ok(()) } else { Err(AgentError::setting(field, expected, found)) }
}

/// Checks that a loss is a finite number, after so many updates.
pub(crate) fn ensure_finite(what: &'static str, value: f64, update: u64) -> Result<(), AgentError> {
    if value.is_finite() { Ok(()) } else { Err(AgentError::NotFinite { what, value, update }) }
}

/// Whether a number is above zero and finite.
pub(crate) fn positive(value: f64) -> bool {
    value > 0.0 && value.is_finite()
}
