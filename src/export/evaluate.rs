//! Exported files that are read again, and the environments that they were trained in.

use std::collections::BTreeMap;
use std::sync::Arc;

use agon_envs::WrapperConfig;
use serde::de::DeserializeOwned;

use super::Export;
use crate::RunError;
use crate::config::EnvConfig;
use crate::evaluate::{self, EvalOptions, Evaluation};
use crate::policy::{ToldPolicy, of_the_world};
use crate::setup::Setup;
use crate::streams;

impl Export {
    /// What [`Self::to_safetensors`] wrote; none if it is a safetensors file of something else.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Option<Self>, RunError> {
        let contents = agon_policy::from_safetensors(bytes)?;
        Ok(contents.map(|(program, parameters, about)| Self { program, parameters, about }))
    }

    /// The environment that it was trained in: id, arguments, and those of its wrappers that change the world and are not part of
    /// the program. None if that is not told.
    ///
    /// # Errors
    /// If it is told and cannot be read.
    pub fn environment(&self) -> Result<Option<EnvConfig>, RunError> {
        environment(&self.about).map_err(RunError::Policy)
    }

    /// Evaluates the policy, by default in the episodes of an evaluation of the run that it is of.
    ///
    /// # Errors
    /// As [`evaluate::evaluate_policy`].
    pub fn evaluate(
        &self,
        setup: &Setup,
        env: &EnvConfig,
        options: &EvalOptions,
    ) -> Result<Evaluation, RunError> {
        let number = |key: &str| self.about.get(key).and_then(|text| text.parse::<u64>().ok());
        let seed = options.seed.or_else(|| number("seed").map(streams::evaluation));
        let policy = Arc::new(ToldPolicy::new(self.program.clone(), &self.parameters)?);
        let found = evaluate::evaluate_policy(setup, policy, env, &EvalOptions { seed, ..*options })?;
        Ok(Evaluation { env_steps: number("env_steps").unwrap_or(0), ..found })
    }
}

/// The environment of what a file tells; the error says what was expected and found.
pub(crate) fn environment(about: &BTreeMap<String, String>) -> Result<Option<EnvConfig>, String> {
    let Some(id) = about.get("environment") else { return Ok(None) };
    let all: Vec<WrapperConfig> = read(about, "environment_wrappers", "wrappers of the environment")?;
    // A film of an evaluation is nobody's wish.
    let is_kept = |wrapper: &WrapperConfig| !matches!(wrapper, WrapperConfig::RecordVideo { .. });
    Ok(Some(EnvConfig {
        id: id.clone(),
        args: read(about, "environment_arguments", "arguments of the environment")?,
        max_episode_steps: read(
            about,
            "environment_max_episode_steps",
            "a time limit of the environment in steps",
        )?,
        tasks: read(about, "environment_tasks", "tasks of the environment")?,
        mixture: read(about, "environment_mixture", "how the environment's tasks are mixed")?,
        wrappers: of_the_world(&all).into_iter().filter(is_kept).collect(),
        ..EnvConfig::default()
    }))
}

/// What is told under a key, as JSON; the default where nothing is.
fn read<T: DeserializeOwned + Default>(
    about: &BTreeMap<String, String>,
    key: &str,
    what: &str,
) -> Result<T, String> {
    let Some(text) = about.get(key) else { return Ok(T::default()) };
    serde_json::from_str(text).map_err(|error| format!("expected {what}, got {text} ({error})"))
}
