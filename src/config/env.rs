//! Settings of the environment.

use agon_envs::mixture::{MixtureConfig, TaskConfig, TaskSampling};
use agon_envs::{EnvSpec, MakeOptions, WorkerOptions, WrapperConfig};
use serde::{Deserialize, Serialize};

use crate::RunError;

/// What ids of environments begin with that a class or another callable of Python makes.
pub(crate) const CALLABLE: &str = "python:";

/// Which environment, and how it is made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnvConfig {
    /// The registered id.
    pub id: String,
    /// Another time limit than the registered one, in steps; 0 for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_episode_steps: Option<u32>,
    /// The environment's own arguments.
    pub args: toml::Table,
    /// Tasks that one agent learns together: the environments of the id `mixture`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskConfig>,
    /// How they are mixed.
    #[serde(skip_serializing_if = "is_default")]
    pub mixture: MixtureConfig,
    /// Wrappers around it, the innermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wrappers: Vec<WrapperConfig>,
    /// Of an environment of Python: a module, or a file that ends in `.py`, that is imported first, such as one that registers
    /// the id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// Of an environment that a callable of Python makes: the callable, pickled, as text. It is loaded only where whoever runs
    /// this program says that it is trusted. Not kept in weight files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pickle: Option<String>,
    /// Of an environment of Python: whether its action masks are used, those of the method `action_masks` or of
    /// `info["action_mask"]`. Where nothing is said, if a first reset gives some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_masks: Option<bool>,
    /// Of an environment of Python: names of numbers in its infos whose last values are metrics of an episode. Where nothing is
    /// said, `is_success` and `success` if a first reset gives them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Vec<String>>,
    /// Of an environment of Python: the interpreter; where none is named, that of the environment variable `AGON_PYTHON`, or
    /// `python3`. Never part of the result, and not kept in weight files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// Of an environment of Python: seconds that its process may take to answer, 300 where nothing is said; at least 1. Never
    /// part of the result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u32>,
}

impl EnvConfig {
    /// The ids of the environment and of its tasks.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.id.as_str()).chain(self.tasks.iter().map(|task| task.id.as_str()))
    }

    /// How to make `num_envs` of it for an evaluation, and whether its episodes have no other limit than the evaluation's.
    pub(crate) fn options_with_limit(
        &self,
        num_envs: usize,
        spec: &EnvSpec,
        limit: u32,
    ) -> (MakeOptions, bool) {
        let mut options = self.options(num_envs);
        let endless = options.max_episode_steps.unwrap_or(spec.time_limit()).is_none();
        if endless {
            options.max_episode_steps = Some(Some(limit));
        }
        // Whatever training made of its tasks, each has its share of the episodes.
        options.mixture.sampling = TaskSampling::RoundRobin;
        (options, endless)
    }

    /// Replaces the callable that makes it.
    ///
    /// # Errors
    /// If it is none that a pickled callable makes.
    pub fn hand_over(&mut self, pickle: &str) -> Result<(), RunError> {
        if !self.id.starts_with(CALLABLE) {
            return Err(RunError::Config(format!(
                "only an environment that a callable makes ({CALLABLE}…) can be handed over, found {}",
                self.id
            )));
        }
        self.pickle = Some(pickle.to_owned());
        Ok(())
    }

    /// How to make `num_envs` of it.
    pub fn options(&self, num_envs: usize) -> MakeOptions {
        let max_episode_steps = self.max_episode_steps.map(|limit| (limit > 0).then_some(limit));
        MakeOptions {
            num_envs,
            args: self.args.clone(),
            max_episode_steps,
            wrappers: self.wrappers.clone(),
            worker: WorkerOptions {
                python: self.python.clone(),
                module: self.module.clone(),
                pickle: self.pickle.clone(),
                action_masks: self.action_masks,
                metrics: self.metrics.clone(),
                timeout_s: self.timeout_s,
            },
            tasks: self.tasks.clone(),
            mixture: self.mixture.clone(),
            ..Default::default()
        }
    }
}

/// Whether nothing is said of how tasks are mixed.
fn is_default(mixture: &MixtureConfig) -> bool {
    *mixture == MixtureConfig::default()
}
