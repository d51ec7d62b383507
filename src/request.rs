//! What a user asks to be trained: an algorithm and an environment, with settings laid over a preset's; and where the run is
//! kept if nobody says.
//!
//! The command line and the Python package ask in the same words and so begin the same runs.

use std::path::{Path, PathBuf};

use crate::RunError;
use crate::config::{self, MadeBy, RunConfig};
use crate::presets;
use crate::setup::Setup;

/// An algorithm to be trained in an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The algorithm's name.
    pub algorithm: &'a str,
    /// The environment's id; or those of several, joined by `+`, that one agent learns together.
    pub env: &'a str,
    /// The preset whose settings are the first layer: the one that suits if none is named, none at all if it is
    /// [`presets::NONE`].
    pub preset: Option<&'a str>,
}

impl Request<'_> {
    /// The configuration: the preset's settings, and what `lay` lays over them.
    ///
    /// # Errors
    /// If there is no such preset or algorithm, what `lay` gives, or settings of the wrong kind. The environment is looked for
    /// when the configuration is resolved.
    pub fn configure(
        &self,
        setup: &Setup,
        lay: impl FnOnce(&mut toml::Table) -> Result<(), RunError>,
    ) -> Result<RunConfig, RunError> {
        let mut table = presets::base(self.preset, self.algorithm, self.preset_env())?;
        lay(&mut table)?;
        config::set_subject(&mut table, self.algorithm, self.env)?;
        RunConfig::from_table(&setup.algorithms, table)
    }

    /// Completes a configuration, and has it say what made it. Gives the name of the preset.
    ///
    /// # Errors
    /// As [`RunConfig::resolve`].
    pub fn settle(&self, setup: &Setup, config: &mut RunConfig) -> Result<String, RunError> {
        config.resolve(&setup.registry, &setup.algorithms)?;
        let preset = presets::chosen_name(self.preset, self.algorithm, self.preset_env())?;
        let made_by = MadeBy::this_program(config)?;
        config.made_by = Some(MadeBy { preset: Some(preset.clone()), ..made_by });
        Ok(preset)
    }
}

impl<'a> Request<'a> {
    /// The environment whose preset suits: of several the first.
    fn preset_env(&self) -> &'a str {
        config::several(self.env).map_or(self.env, |ids| ids[0])
    }
}

/// The name of a run, or of an experiment of several seeds.
pub fn default_name(config: &RunConfig, seeds: u64) -> String {
    let RunConfig { algorithm, seed, .. } = config;
    let env = config.env.id.replace(['/', ':'], "_");
    match seeds {
        1 => format!("{algorithm}_{env}_{seed}"),
        _ => format!("{algorithm}_{env}_seeds_{seed}-{}", seed.saturating_add(seeds - 1)),
    }
}

/// The first directory of a name, or of the name and a number, that does not exist; with `replace`, that of the name.
pub fn free_path(out: &Path, name: &str, replace: bool) -> PathBuf {
    let named = out.join(name);
    if replace || !named.exists() {
        return named;
    }
    let numbered = (2_u64..).map(|number| out.join(format!("{name}-{number}")));
    numbered.into_iter().find(|path| !path.exists()).unwrap_or(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: Request<'_> = Request { algorithm: "ppo", env: "CartPole-v1", preset: None };

    #[test]
    fn settings_lie_over_the_presets_and_the_subject_over_both() {
        let setup = Setup::default();
        let lay = |table: &mut toml::Table| {
            config::set_value(table, "agent.num_steps", toml::Value::Integer(7))?;
            config::set_value(table, "env.id", toml::Value::String("Acrobot-v1".to_owned()))
        };
        let mut config = REQUEST.configure(&setup, lay).unwrap();
        assert_eq!(REQUEST.settle(&setup, &mut config).unwrap(), "ppo-cartpole");
        assert_eq!(config.env.id, "CartPole-v1");
        assert_eq!(config.agent["num_steps"], toml::Value::Integer(7));
        assert_eq!(config.made_by.unwrap().preset.as_deref(), Some("ppo-cartpole"));
    }

    #[test]
    fn ids_joined_by_plus_are_tasks_and_the_path_of_a_callable_is_one_environment() {
        let setup = Setup::default();
        let configured = |env| Request { env, ..REQUEST }.configure(&setup, |_| Ok(())).unwrap().env;
        let several = configured("CartPole-v1+Acrobot-v1");
        let ids: Vec<&str> = several.tasks.iter().map(|task| task.id.as_str()).collect();
        assert_eq!((several.id.as_str(), ids), ("mixture", vec!["CartPole-v1", "Acrobot-v1"]));
        let one = configured("python:c++/env.py:MyEnv");
        assert_eq!((one.id.as_str(), one.tasks.len()), ("python:c++/env.py:MyEnv", 0));
    }

    #[test]
    fn runs_are_named_after_what_they_train() {
        let setup = Setup::default();
        let request = Request { env: "MinAtar/Breakout-v0", ..REQUEST };
        let config = RunConfig { seed: 3, ..request.configure(&setup, |_| Ok(())).unwrap() };
        assert_eq!(default_name(&config, 1), "ppo_MinAtar_Breakout-v0_3");
        assert_eq!(default_name(&config, 2), "ppo_MinAtar_Breakout-v0_seeds_3-4");
    }

    #[test]
    fn a_taken_name_gets_the_next_free_number() {
        let out = tempfile::tempdir().unwrap();
        std::fs::create_dir(out.path().join("run")).unwrap();
        std::fs::create_dir(out.path().join("run-2")).unwrap();
        assert_eq!(free_path(out.path(), "run", false), out.path().join("run-3"));
        assert_eq!(free_path(out.path(), "run", true), out.path().join("run"));
    }
}
