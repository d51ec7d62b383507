//! How an environment is made.

use std::fmt;
use std::sync::Arc;

use crate::{Autoreset, EnvError, MixtureConfig, TaskConfig, VectorEnv, WrapperConfig};

/// Arguments of an environment that takes none.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoArguments {}

/// How the process is started that environments of another program live in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerOptions {
    /// The interpreter; where none is named, that of the environment variable `AGON_PYTHON`, or `python3`.
    pub python: Option<String>,
    /// A module, or a file that ends in `.py`, that is imported first, which registers environments.
    pub module: Option<String>,
    /// The callable that makes an environment, pickled, as text.
    pub pickle: Option<String>,
    /// Whether there are action masks; where nothing is said, if the environment gives them.
    pub action_masks: Option<bool>,
    /// Which entries of the infos are metrics of an episode; where nothing is said, whether it was a success.
    pub metrics: Option<Vec<String>>,
    /// Seconds that a step may take, after which the process counts as hanging.
    pub timeout_s: Option<u32>,
}

/// How to make an environment.
#[derive(Clone)]
pub struct MakeOptions {
    /// Number of environments in the simulator.
    pub num_envs: usize,
    /// The environment's own arguments.
    pub args: toml::Table,
    /// Another time limit than the registered one: `Some(None)` for no limit.
    pub max_episode_steps: Option<Option<u32>>,
    /// Wrappers around the environment, the innermost first.
    pub wrappers: Vec<WrapperConfig>,
    /// Wrappers of one's own around those, the innermost first.
    pub wrap: Vec<Arc<Wrap>>,
    /// Keeps observations as they are after so many wrappers, the environment's own counted first, for a teacher that sees more
    /// than the others show: [`VectorEnv::privileged`].
    pub privileged: Option<usize>,
    /// When ended episodes are reset.
    pub autoreset: Autoreset,
    /// Of environments of another program only.
    pub worker: WorkerOptions,
    /// Of a mixture only: its tasks.
    pub tasks: Vec<TaskConfig>,
    /// Of a mixture only: how they are mixed.
    pub mixture: MixtureConfig,
}

/// Puts a wrapper of one's own around an environment; [`Wrapped::new`](crate::wrappers::Wrapped::new) makes one of hooks.
pub type Wrap = dyn Fn(Box<dyn VectorEnv>) -> Result<Box<dyn VectorEnv>, EnvError> + Send + Sync;

impl fmt::Debug for MakeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MakeOptions")
            .field("num_envs", &self.num_envs)
            .field("args", &self.args)
            .field("max_episode_steps", &self.max_episode_steps)
            .field("wrappers", &self.wrappers)
            .field("privileged", &self.privileged)
            .field("autoreset", &self.autoreset)
            .field("worker", &self.worker)
            .field("tasks", &self.tasks)
            .field("mixture", &self.mixture)
            .finish_non_exhaustive()
    }
}

impl Default for MakeOptions {
    fn default() -> Self {
        Self {
            num_envs: 1,
            args: toml::Table::new(),
            max_episode_steps: None,
            wrappers: Vec::new(),
            wrap: Vec::new(),
            privileged: None,
            autoreset: Autoreset::default(),
            worker: WorkerOptions::default(),
            tasks: Vec::new(),
            mixture: MixtureConfig::default(),
        }
    }
}
