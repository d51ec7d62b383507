//! Exported files that are read again, and the environments that they were trained in.

use std::collections::BTreeMap;
use std::sync::Arc;

use agon_envs::WrapperConfig;

use super::Export;
use crate::RunError;
use crate::config::EnvConfig;
use crate::evaluate::{self, EvalOptions, Evaluation};
use crate::policy::ToldPolicy;
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
    let mut env = EnvConfig { id: id.clone(), ..EnvConfig::default() };
    if let Some(args) = about.get("environment_arguments") {
        env.args = serde_json::from_str(args)
            .map_err(|error| format!("expected arguments of the environment, got {args} ({error})"))?;
    }
    if let Some(steps) = about.get("environment_max_episode_steps") {
        let steps = steps
            .parse()
            .map_err(|_| format!("expected a time limit of the environment in steps, got {steps}"))?;
        env.max_episode_steps = Some(steps);
    }
    if let Some(wrappers) = about.get("environment_wrappers") {
        let all: Vec<WrapperConfig> = serde_json::from_str(wrappers)
            .map_err(|error| format!("expected wrappers of the environment, got {wrappers} ({error})"))?;
        env.wrappers = all.into_iter().filter(is_of_the_world).collect();
    }
    Ok(Some(env))
}

/// Whether a wrapper changes the world, and neither what a policy sees of it nor the scale of its actions and rewards.
fn is_of_the_world(wrapper: &WrapperConfig) -> bool {
    matches!(
        wrapper,
        WrapperConfig::TimeLimit { .. }
            | WrapperConfig::StickyAction { .. }
            | WrapperConfig::ActionRepeat { .. }
            | WrapperConfig::ObservationNoise { .. }
    )
}
