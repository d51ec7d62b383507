//! The one error type of the crate.

use crate::spaces::SpaceError;

/// What can go wrong when an environment is made, stepped, saved or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvError {
    /// No environment is registered under the id.
    #[error("unknown environment `{id}`{}", suggestion(.nearest))]
    UnknownId {
        /// The id asked for.
        id: String,
        /// The nearest registered ids, best first.
        nearest: Vec<String>,
    },
    /// The id does not read `Name-vN`.
    #[error("environment id must be `Name-vN` (letters, digits, `_`, `-`, `/`, then a version), got `{0}`")]
    MalformedId(String),
    /// An environment is already registered under the id.
    #[error("environment `{0}` is registered already")]
    DuplicateId(String),
    /// The arguments do not fit the environment.
    #[error("arguments of `{id}`: {message}")]
    Arguments {
        /// The environment.
        id: String,
        /// What was expected and found.
        message: String,
    },
    /// A setting of the simulator is out of range.
    #[error("{field} must be {expected}, got {found}")]
    Setting {
        /// The setting's name.
        field: &'static str,
        /// What is allowed.
        expected: &'static str,
        /// What was given.
        found: String,
    },
    /// The action space cannot be stepped in a batch.
    #[error(
        "an action space that can be stepped is Discrete, MultiDiscrete, MultiBinary or a float32 Box, or a Dict or Tuple of \
         parts that are all such boxes or none, got {0}"
    )]
    ActionSpace(String),
    /// A batch of actions is of the wrong kind or size.
    #[error("expected {expected} actions, got {found}")]
    ActionShape {
        /// Kind and number of values expected.
        expected: String,
        /// Kind and number of values found.
        found: String,
    },
    /// One action is not in the action space.
    #[error("action of row {row} is not in {space}: got {found}")]
    InvalidAction {
        /// Row of the batch.
        row: usize,
        /// The action space.
        space: String,
        /// The offending value.
        found: String,
    },
    /// An action that the environment's mask forbids in its current state.
    #[error("action {action} of row {row}, branch {branch}, is not legal now: allowed are {allowed:?}")]
    MaskedAction {
        /// Row of the batch.
        row: usize,
        /// Branch of the action space, from zero.
        branch: usize,
        /// The action.
        action: u32,
        /// The actions that the mask allows.
        allowed: Vec<u32>,
    },
    /// A step after the end of an episode, with autoreset disabled.
    #[error(
        "row {row} was stepped after its episode ended: reset its environment first (autoreset is disabled)"
    )]
    StepAfterEnd {
        /// Row of the batch.
        row: usize,
    },
    /// A step before the first reset.
    #[error("the simulator was stepped before its first reset")]
    StepBeforeReset,
    /// A step was received that was not sent.
    #[error("there is no step to receive: send one first")]
    NothingSent,
    /// Something else was asked for between the halves of a step.
    #[error("{method} was called between send and receive: receive the step first")]
    StepInFlight {
        /// The method.
        method: &'static str,
    },
    /// The environment produced a number that is not finite.
    #[error(
        "{} produced {value} as {} of row {row}: rewards and observations must be finite numbers",
        subject(env),
        number(index)
    )]
    NotANumber {
        /// The environment's id; empty where nobody knows it.
        env: String,
        /// Row of the batch.
        row: usize,
        /// Index in the row's observation; none for a reward.
        index: Option<usize>,
        /// The value.
        value: f64,
    },
    /// A row that goes on may do nothing.
    #[error(
        "{} allows no action in row {row}, branch {branch}: the mask of a row that goes on must allow one",
        subject(env)
    )]
    NoLegalAction {
        /// The environment's id; empty where nobody knows it.
        env: String,
        /// Row of the batch.
        row: usize,
        /// Branch of the action space, from zero.
        branch: usize,
    },
    /// The environment failed, for a reason that it gives itself.
    #[error("the environment failed: {0}")]
    Failed(String),
    /// An environment of another program failed there.
    #[error("{} failed{}: {message}{}", subject(env), in_row(*row), after_line(traceback))]
    Raised {
        /// The environment's id.
        env: String,
        /// Row of the batch; none where it is about all of them.
        row: Option<usize>,
        /// What the program says.
        message: String,
        /// Where in that program, over several lines; empty where it does not say.
        traceback: String,
    },
    /// The process that environments live in is gone, or does not answer.
    #[error("the worker process of {} (rows {} to {}) {message}", subject(env), rows.start, rows.end - 1)]
    Worker {
        /// The environments' id.
        env: String,
        /// Rows of the batch, at least one.
        rows: std::ops::Range<usize>,
        /// What became of it.
        message: String,
    },
    /// The environment's state cannot be saved.
    #[error("the environment cannot be saved: {reason}")]
    NotSnapshotable {
        /// Why not.
        reason: String,
    },
    /// A snapshot does not belong to this simulator, or is damaged.
    #[error("snapshot cannot be restored: {0}")]
    Snapshot(String),
    /// The systems of an environment cannot be put in one order.
    #[error("the environment's systems cannot be scheduled: {0}")]
    Schedule(String),
    /// A value is not in its space.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// The environment breaks the contract that [`crate::check_env`] checks.
    #[error("`{id}` breaks the environment contract: {message}")]
    Contract {
        /// The environment.
        id: String,
        /// The rule, what was expected and found.
        message: String,
    },
    /// A wrapper does not fit what it is put around, or is set up wrongly.
    #[error("wrapper {wrapper}: {message}")]
    Wrapper {
        /// Its name.
        wrapper: &'static str,
        /// What was expected and found.
        message: String,
    },
    /// A picture cannot be written.
    #[error("picture {}: {message}", path.display())]
    Picture {
        /// The file.
        path: std::path::PathBuf,
        /// What went wrong.
        message: String,
    },
    /// A recorded trajectory cannot be read.
    #[error("recording {path}: {message}")]
    Recording {
        /// The file.
        path: String,
        /// What is wrong with it.
        message: String,
    },
}

impl EnvError {
    /// The same error of a batch whose rows begin at `first` of a larger one, such as a run's.
    #[must_use]
    pub fn offset(mut self, first: usize) -> Self {
        match &mut self {
            Self::InvalidAction { row, .. }
            | Self::MaskedAction { row, .. }
            | Self::StepAfterEnd { row }
            | Self::NotANumber { row, .. }
            | Self::NoLegalAction { row, .. }
            | Self::Raised { row: Some(row), .. } => *row += first,
            Self::Worker { rows, .. } => *rows = rows.start + first..rows.end + first,
            _ => {}
        }
        self
    }

    /// The same error, of the environment of this id where it names none.
    pub(crate) fn named(mut self, id: &str) -> Self {
        if let Self::NotANumber { env, .. } | Self::NoLegalAction { env, .. } = &mut self
            && env.is_empty()
        {
            id.clone_into(env);
        }
        self
    }
}

fn subject(env: &str) -> String {
    if env.is_empty() { "the environment".to_owned() } else { format!("`{env}`") }
}

fn in_row(row: Option<usize>) -> String {
    row.map_or_else(String::new, |row| format!(" in row {row}"))
}

fn after_line(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("\n{}", text.trim_end()) }
}

fn number(index: &Option<usize>) -> String {
    index.map_or_else(|| "the reward".to_owned(), |index| format!("number {index} of the observation"))
}

fn suggestion(nearest: &[String]) -> String {
    if nearest.is_empty() { String::new() } else { format!(": did you mean `{}`?", nearest.join("`, `")) }
}
