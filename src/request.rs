//! What a user asks to be trained: an algorithm and an environment, with settings laid over a preset's; and where the run is
//! kept if nobody says.
//!
//! The command line and the Python package ask in the same words and so begin the same runs.

use std::path::{Path, PathBuf};
use std::{fs, io, iter};

use crate::config::{self, MadeBy, RunConfig};
use crate::error::AtPath;
use crate::presets;
use crate::run::directory;
use crate::setup::Setup;
use crate::{RunError, runtime};

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

/// Where what is asked for is to be kept.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The directory of runs.
    pub out: &'a Path,
    /// The name in it; without one [`default_name`], or that and the first number that is free.
    pub name: Option<&'a str>,
    /// Whether a run or experiment of that name is removed first.
    pub replace: bool,
}

impl Place<'_> {
    /// Makes room for a run or for an experiment of several seeds: a directory that holds nothing but what one has begun with.
    ///
    /// What is removed is removed last: once nothing can be refused any more of what is to be begun.
    ///
    /// # Errors
    /// If the name is empty, the directory has files in it that are no run's, or what is in it is to be removed and in use, or
    /// wanted by what is to be begun; and with `replace`, what [`runtime::check`] gives.
    pub fn make_room(&self, setup: &Setup, config: &RunConfig, seeds: u64) -> Result<PathBuf, RunError> {
        let name = match self.name {
            Some(name) if Path::new(name).file_name().is_none() => {
                let message = format!("the name of a run must be that of a directory, got {name:?}");
                return Err(RunError::Config(message));
            }
            Some(name) => name.to_owned(),
            None => default_name(config, seeds),
        };
        let path = self.out.join(&name);
        if self.name.is_none() && !self.replace {
            return reserve(self.out, &name);
        }
        if !path.exists() {
            return Ok(path);
        }
        if self.replace {
            refuse_own_source(config, &path)?;
            runtime::check(setup, config)?;
            directory::remove(&path)?;
        } else {
            directory::refuse_others_files(&path)?;
        }
        Ok(path)
    }
}

/// Makes the first directory of a name, or of the name and a number, that does not exist: who asks next gets another one.
fn reserve(out: &Path, name: &str) -> Result<PathBuf, RunError> {
    fs::create_dir_all(out).at("cannot create", out)?;
    let numbered = (2_u64..).map(|number| out.join(format!("{name}-{number}")));
    for path in iter::once(out.join(name)).chain(numbered) {
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.at("cannot create", &path).map(|()| path),
        }
    }
    Err(RunError::Config(format!("all numbers are taken of {name} in {}", out.display())))
}

/// Refuses to remove what a run is to begin with, or to learn from.
fn refuse_own_source(config: &RunConfig, path: &Path) -> Result<(), RunError> {
    let given = [("init_from", &config.init_from), ("teacher.policy", &config.teacher.policy)];
    for (field, from) in given {
        let is_within =
            |from: &PathBuf| Some(from.canonicalize().ok()?.starts_with(path.canonicalize().ok()?));
        if let Some(from) = from
            && is_within(from) == Some(true)
        {
            return Err(RunError::Config(format!(
                "{field} must be outside of {}, which is to be replaced, got {}: choose another name",
                path.display(),
                from.display()
            )));
        }
    }
    Ok(())
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

    fn place<'a>(out: &'a Path, name: Option<&'a str>, replace: bool) -> Place<'a> {
        Place { out, name, replace }
    }

    #[test]
    fn a_taken_name_gets_the_next_free_number() {
        let (setup, out) = (Setup::default(), tempfile::tempdir().unwrap());
        let config = REQUEST.configure(&setup, |_| Ok(())).unwrap();
        let unnamed = || place(out.path(), None, false).make_room(&setup, &config, 1).unwrap();
        let name = default_name(&config, 1);
        // Nothing is in them yet, and still nobody else gets them.
        assert_eq!(unnamed(), out.path().join(&name));
        assert_eq!(unnamed(), out.path().join(format!("{name}-2")));
        assert_eq!(unnamed(), out.path().join(format!("{name}-3")));
    }

    #[test]
    fn nothing_is_removed_for_a_run_that_cannot_begin_and_nothing_of_somebody_elses() {
        let (setup, out) = (Setup::default(), tempfile::tempdir().unwrap());
        let mut config = REQUEST.configure(&setup, |_| Ok(())).unwrap();
        REQUEST.settle(&setup, &mut config).unwrap();
        let path = out.path().join("run");
        let room = |config: &RunConfig, replace| {
            place(out.path(), Some("run"), replace).make_room(&setup, config, 1).map_err(|e| e.to_string())
        };
        let begin = || drop(directory::RunDirectory::create(&path, &config, &Default::default()).unwrap());
        begin();
        let nothing = RunConfig { init_from: Some(out.path().join("none.safetensors")), ..config.clone() };
        assert!(room(&nothing, true).unwrap_err().contains("none.safetensors"));
        let itself = RunConfig { init_from: Some(path.clone()), ..config.clone() };
        assert!(room(&itself, true).unwrap_err().contains("init_from must be outside of"));
        assert!(directory::RunDirectory::exists(&path), "it is still there");
        assert_eq!(room(&config, true), Ok(path.clone()));
        assert!(!path.exists());
        // What a process leaves that is killed before a run has begun is in nobody's way.
        fs::create_dir_all(path.join("checkpoints")).unwrap();
        fs::write(path.join(".config.toml.7-0.tmp"), "half").unwrap();
        fs::write(path.join("run.lock"), "").unwrap();
        assert_eq!(room(&config, false), Ok(path.clone()));
        assert_eq!(room(&config, true), Ok(path.clone()));
        assert!(!path.exists());
        fs::create_dir(&path).unwrap();
        fs::write(path.join("thesis.txt"), "x").unwrap();
        for replace in [false, true] {
            let message = room(&config, replace).unwrap_err();
            assert!(message.contains("thesis.txt"), "{message}");
        }
        assert!(path.join("thesis.txt").exists());
        let unnamed = place(out.path(), Some(""), false).make_room(&setup, &config, 1);
        assert!(unnamed.unwrap_err().to_string().contains("the name of a run"));
    }
}
