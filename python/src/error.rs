//! Errors of Agon as Python exceptions: what the caller passed is a `ValueError`, everything else an `AgonError`.

use std::io::ErrorKind;
use std::iter::{once, successors};

use agon::RunError;
use agon::nn::NnError;
use agon_agents::AgentError;
use agon_envs::EnvError;
use pyo3::exceptions::{PyFileNotFoundError, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

pyo3::create_exception!(
    agon,
    AgonError,
    PyRuntimeError,
    "What goes wrong in an environment or a run and is not a bad argument."
);

/// Adds the exceptions to the module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("AgonError", module.py().get_type::<AgonError>())
}

/// An environment's error.
pub(crate) fn of_env(error: EnvError) -> PyErr {
    let message = chain(&error);
    if is_argument(&error) { PyValueError::new_err(message) } else { AgonError::new_err(message) }
}

/// A run's error.
pub(crate) fn of_run(error: RunError) -> PyErr {
    let message = chain(&error);
    match &error {
        RunError::Io { source, .. } if source.kind() == ErrorKind::NotFound => {
            PyFileNotFoundError::new_err(message)
        }
        RunError::Io { .. } => PyOSError::new_err(message),
        RunError::Config(_)
        | RunError::Policy(_)
        | RunError::Network(NnError::Config { .. } | NnError::Within { .. }) => {
            PyValueError::new_err(message)
        }
        RunError::Env(error) if is_argument(error) => PyValueError::new_err(message),
        RunError::Agent(error) if is_setting(error) => PyValueError::new_err(message),
        _ => AgonError::new_err(message),
    }
}

/// Whether the caller asked for something that no algorithm has.
fn is_setting(error: &AgentError) -> bool {
    match error {
        AgentError::UnknownAlgorithm { .. }
        | AgentError::Config(_)
        | AgentError::NoNetworks(_)
        | AgentError::Setting { .. }
        | AgentError::Unsupported { .. }
        | AgentError::Network(NnError::Config { .. } | NnError::Within { .. }) => true,
        AgentError::Environment(error) => is_argument(error),
        _ => false,
    }
}

/// Whether the caller passed something that cannot be.
fn is_argument(error: &EnvError) -> bool {
    matches!(
        error,
        EnvError::UnknownId { .. }
            | EnvError::Arguments { .. }
            | EnvError::Setting { .. }
            | EnvError::Wrapper { .. }
            | EnvError::ActionShape { .. }
            | EnvError::InvalidAction { .. }
            | EnvError::MaskedAction { .. }
    )
}

/// An error and its causes in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = successors(error.source(), |error| error.source());
    once(error.to_string()).chain(causes.map(ToString::to_string)).collect::<Vec<_>>().join(": ")
}
