//! Settings of a mixture of tasks.

use serde::{Deserialize, Serialize};

use crate::{EnvError, WrapperConfig};

/// One task of a mixture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskConfig {
    /// The registered id.
    pub id: String,
    /// What logs call it; the id where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its share, beside the others'; positive.
    #[serde(default = "one")]
    pub weight: f64,
    /// The environment's own arguments.
    #[serde(default)]
    pub args: toml::Table,
    /// Wrappers around it, the innermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wrappers: Vec<WrapperConfig>,
    /// Another time limit than the registered one, in steps; 0 for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_episode_steps: Option<u32>,
    /// The returns that count as 0 and as 1: an episode's return is told as its place between them. All tasks have this, or
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returns: Option<[f64; 2]>,
}

impl TaskConfig {
    /// An environment as it is registered.
    #[must_use]
    pub fn of(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            name: None,
            weight: 1.0,
            args: toml::Table::new(),
            wrappers: Vec::new(),
            max_episode_steps: None,
            returns: None,
        }
    }

    /// What logs call it.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }
}

/// How tasks are mixed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MixtureConfig {
    /// Which task an environment turns to when an episode ends.
    pub sampling: TaskSampling,
    /// How observations of several spaces become those of one.
    pub observations: ObservationUnion,
    /// How actions of several spaces become those of one.
    pub actions: ActionUnion,
    /// Whether the task is not to be seen: with padded observations no unit vector (or planes) of it is added.
    pub hide_task: bool,
    /// Whether each task's rewards are divided by the deviation of their own discounted returns (`normalize_reward`).
    pub normalize_rewards: bool,
}

/// Which task an environment turns to when an episode ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskSampling {
    /// The one that has had the fewest steps in that environment, for its weight: steps are shared as the weights are.
    #[default]
    Steps,
    /// One after the other, whatever their weights.
    RoundRobin,
    /// At random, by weight: episodes are shared as the weights are.
    Random,
    /// At random, by weight and by how fast its returns change, in either direction (Matiisen et al. 2017, arXiv:1707.00183);
    /// a fifth of the episodes by weight alone.
    LearningProgress,
}

/// How observations of several spaces become those of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObservationUnion {
    /// Zeros at the end: of a vector's values, or of an image's rows, columns and planes.
    #[default]
    Padded,
    /// A dict with a part for each task, under its name, which is zero while another is played, and the part `task`: an input
    /// a task, with the encoder `dict`.
    Separate,
}

/// How actions of several spaces become those of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionUnion {
    /// Choices by their number: action 0 of each task is action 0. Numbers from −1 to 1, the surplus without effect.
    #[default]
    Shared,
    /// Choices beside each other, each task's own: an output a task.
    Separate,
}

/// Refuses tasks that cannot be told apart or have no share.
pub(super) fn check(tasks: &[TaskConfig]) -> Result<(), EnvError> {
    if tasks.is_empty() {
        return Err(refused("env.tasks must name at least one environment, got none"));
    }
    for (i, task) in tasks.iter().enumerate() {
        let name = task.name();
        if tasks[..i].iter().any(|other| other.name() == name) {
            let message = format!("the names of tasks must differ, got {name} twice: give one a `name`");
            return Err(refused(&message));
        }
        if name == super::union::TASK || name.is_empty() || name.contains([',', '"', '\n']) {
            let expected = "a name with letters and no comma or quotation mark, other than `task`";
            return Err(refused(&format!("a task must have {expected}, got {name:?}")));
        }
        if !(task.weight > 0.0 && task.weight.is_finite()) {
            return Err(refused(&format!("weight of {name} must be positive, got {}", task.weight)));
        }
        if let Some([low, high]) = task.returns
            && !(low < high && low.is_finite() && high.is_finite())
        {
            let message = format!("returns of {name} must be two numbers in order, got {low} and {high}");
            return Err(refused(&message));
        }
        if task.returns.is_some() != tasks[0].returns.is_some() {
            let message =
                format!("all tasks must have `returns`, or none: {name} is not as {}", tasks[0].name());
            return Err(refused(&message));
        }
    }
    Ok(())
}

/// A mixture that cannot be made.
pub(super) fn refused(message: &str) -> EnvError {
    EnvError::Arguments { id: super::ID.to_owned(), message: message.to_owned() }
}

fn one() -> f64 {
    1.0
}
