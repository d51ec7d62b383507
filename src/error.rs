//! The error type of runs.

use std::io;
use std::path::{Path, PathBuf};

use agon_agents::AgentError;
use agon_envs::EnvError;
use agon_nn::NnError;

use crate::plot::PlotError;
use crate::tensorboard::EventFileError;

/// What can go wrong in a run or around it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A file cannot be read or written.
    #[error("{action} {}", .path.display())]
    Io {
        /// `cannot write`, `cannot read`, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// The configuration is broken.
    #[error("{0}")]
    Config(String),
    /// A directory is no run, or one in use.
    #[error("{}: {message}", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A run needs more memory than there is.
    #[error("at least {needed} of memory are needed, of which {parts}, but only {available} are available")]
    Memory {
        /// What the run needs.
        needed: String,
        /// What of it is for what.
        parts: String,
        /// What there is.
        available: String,
    },
    /// A checkpoint is damaged.
    #[error("checkpoint {}: {message}", .path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What was expected and found.
        message: String,
    },
    /// A checkpoint or a weight file lies in the directory of a run of other settings.
    #[error("{} belongs to a run of other settings: {message}", .path.display())]
    OtherRun {
        /// The file.
        path: PathBuf,
        /// The settings that differ, with both values.
        message: String,
    },
    /// A weight file is damaged or of another kind.
    #[error("weights {}: {message}", .path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What was expected and found.
        message: String,
    },
    /// A signature does not hold, or there is none where one is demanded.
    #[error("signature of {}: {message}", .path.display())]
    Signature {
        /// What is signed, or the signature or key.
        path: PathBuf,
        /// What was expected and found.
        message: String,
    },
    /// A policy's program is wrong, or was called with something that it cannot act on.
    #[error(transparent)]
    Portable(#[from] agon_policy::PolicyError),
    /// A policy was called with something that it cannot act on.
    #[error("{0}")]
    Policy(String),
    /// A worker thread panicked.
    #[error("the worker of shard {shard} panicked: {message}")]
    WorkerPanic {
        /// The shard it was stepping.
        shard: usize,
        /// The panic's message.
        message: String,
    },
    /// The worker threads are gone without a word.
    #[error("the worker threads ended before the run did")]
    WorkersGone,
    /// A source of fragments broke its promise.
    #[error("source of fragments: {0}")]
    Source(String),
    /// An engine could not have something done elsewhere.
    #[error("{0}")]
    Engine(String),
    /// A thread or thread pool could not be started.
    #[error("cannot start threads: {0}")]
    Threads(String),
    /// A data set cannot be read or written.
    #[error(transparent)]
    Data(#[from] agon_data::DataError),
    /// An environment failed.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// An algorithm failed.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// A network failed.
    #[error(transparent)]
    Network(#[from] NnError),
    /// A TensorBoard file cannot be written.
    #[error(transparent)]
    Events(#[from] EventFileError),
    /// A plot failed.
    #[error(transparent)]
    Plot(#[from] PlotError),
}

impl RunError {
    /// Whether it is the run's own: it would fail so again, and other runs would not.
    pub(crate) fn is_of_run(&self) -> bool {
        matches!(self, Self::Agent(_) | Self::Env(_) | Self::Network(_) | Self::WorkerPanic { .. })
    }

    /// The error and its causes in one line.
    pub(crate) fn chain(&self) -> String {
        let causes = std::iter::successors(std::error::Error::source(self), |error| error.source());
        std::iter::once(self.to_string())
            .chain(causes.map(ToString::to_string))
            .collect::<Vec<_>>()
            .join(": ")
    }
}

/// Names the file in the error of an operation on it.
pub(crate) trait AtPath<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, RunError>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, RunError> {
        self.map_err(|source| RunError::Io { action, path: path.to_owned(), source })
    }
}
