//! Presets: settings with a source, kept as TOML files in `src/presets/`.
//!
//! To add one, write the file and name it in the list below.

use serde::Deserialize;

use crate::RunError;

/// The preset files: name and text.
const FILES: &[(&str, &str)] = &[
    ("a2c-cartpole", include_str!("presets/a2c-cartpole.toml")),
    ("a2c-memory-len", include_str!("presets/a2c-memory-len.toml")),
    ("airl-cartpole", include_str!("presets/airl-cartpole.toml")),
    ("airl-lunarlander", include_str!("presets/airl-lunarlander.toml")),
    ("airl-pendulum", include_str!("presets/airl-pendulum.toml")),
    ("alphazero-connect-four", include_str!("presets/alphazero-connect-four.toml")),
    ("alphazero-go", include_str!("presets/alphazero-go.toml")),
    ("alphazero-othello", include_str!("presets/alphazero-othello.toml")),
    ("alphazero-tic-tac-toe", include_str!("presets/alphazero-tic-tac-toe.toml")),
    ("appo-cartpole", include_str!("presets/appo-cartpole.toml")),
    ("bootstrapped-dqn-deep-sea", include_str!("presets/bootstrapped-dqn-deep-sea.toml")),
    ("c51-cartpole", include_str!("presets/c51-cartpole.toml")),
    ("double-dqn-minatar", include_str!("presets/double-dqn-minatar.toml")),
    ("dqn-acrobot", include_str!("presets/dqn-acrobot.toml")),
    ("dqn-bsuite", include_str!("presets/dqn-bsuite.toml")),
    ("dqn-cartpole", include_str!("presets/dqn-cartpole.toml")),
    ("dqn-cartpole-zoo", include_str!("presets/dqn-cartpole-zoo.toml")),
    ("dqn-lunarlander", include_str!("presets/dqn-lunarlander.toml")),
    ("dqn-minatar", include_str!("presets/dqn-minatar.toml")),
    ("dqn-mountaincar", include_str!("presets/dqn-mountaincar.toml")),
    ("dreamer-cartpole", include_str!("presets/dreamer-cartpole.toml")),
    ("dreamer-pendulum", include_str!("presets/dreamer-pendulum.toml")),
    ("droq", include_str!("presets/droq.toml")),
    ("gail-cartpole", include_str!("presets/gail-cartpole.toml")),
    ("gail-lunarlander", include_str!("presets/gail-lunarlander.toml")),
    ("gail-pendulum", include_str!("presets/gail-pendulum.toml")),
    ("impala-cartpole", include_str!("presets/impala-cartpole.toml")),
    ("iqn-cartpole", include_str!("presets/iqn-cartpole.toml")),
    ("ppo-2048", include_str!("presets/ppo-2048.toml")),
    ("ppo-acrobot", include_str!("presets/ppo-acrobot.toml")),
    ("ppo-cartpole", include_str!("presets/ppo-cartpole.toml")),
    ("ppo-cartpole-novel", include_str!("presets/ppo-cartpole-novel.toml")),
    ("ppo-cartpole-novel-throughput", include_str!("presets/ppo-cartpole-novel-throughput.toml")),
    ("ppo-cartpole-throughput", include_str!("presets/ppo-cartpole-throughput.toml")),
    ("ppo-doorkey", include_str!("presets/ppo-doorkey.toml")),
    ("ppo-foraging", include_str!("presets/ppo-foraging.toml")),
    ("ppo-lunarlander", include_str!("presets/ppo-lunarlander.toml")),
    ("ppo-minatar", include_str!("presets/ppo-minatar.toml")),
    ("ppo-minatar-breakout", include_str!("presets/ppo-minatar-breakout.toml")),
    ("ppo-minatar-seaquest", include_str!("presets/ppo-minatar-seaquest.toml")),
    ("ppo-minigrid-memory", include_str!("presets/ppo-minigrid-memory.toml")),
    ("ppo-mountaincar", include_str!("presets/ppo-mountaincar.toml")),
    ("ppo-pendulum", include_str!("presets/ppo-pendulum.toml")),
    ("ppo-poc-memory", include_str!("presets/ppo-poc-memory.toml")),
    ("ppo-repeat-previous", include_str!("presets/ppo-repeat-previous.toml")),
    ("ppo-rnd-deep-sea", include_str!("presets/ppo-rnd-deep-sea.toml")),
    ("pqn-cartpole", include_str!("presets/pqn-cartpole.toml")),
    ("pqn-minatar", include_str!("presets/pqn-minatar.toml")),
    ("pqn-minatar-mlp", include_str!("presets/pqn-minatar-mlp.toml")),
    ("qr-dqn-acrobot", include_str!("presets/qr-dqn-acrobot.toml")),
    ("qr-dqn-cartpole", include_str!("presets/qr-dqn-cartpole.toml")),
    ("qr-dqn-mountaincar", include_str!("presets/qr-dqn-mountaincar.toml")),
    ("r2d2-cartpole-novel", include_str!("presets/r2d2-cartpole-novel.toml")),
    ("rainbow-cartpole", include_str!("presets/rainbow-cartpole.toml")),
    ("redq", include_str!("presets/redq.toml")),
    ("rlpd", include_str!("presets/rlpd.toml")),
    ("sac-lunarlander", include_str!("presets/sac-lunarlander.toml")),
    ("sac-pendulum", include_str!("presets/sac-pendulum.toml")),
    ("sac-resets", include_str!("presets/sac-resets.toml")),
    ("td3-pendulum", include_str!("presets/td3-pendulum.toml")),
    ("vmc-cartpole", include_str!("presets/vmc-cartpole.toml")),
    ("vmc-pendulum", include_str!("presets/vmc-pendulum.toml")),
];

/// The name that stands for no preset.
pub const NONE: &str = "none";

/// Settings for an algorithm in an environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Preset {
    /// The name, as given on the command line.
    pub name: &'static str,
    /// One sentence for listings.
    pub summary: String,
    /// Where the numbers come from.
    pub source: String,
    /// Whether it is used where none is named.
    pub default: bool,
    /// Other environments that the same settings are for.
    pub also_for: Vec<String>,
    /// A partial configuration.
    pub config: toml::Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PresetFile {
    summary: String,
    source: String,
    default: bool,
    #[serde(default)]
    also_for: Vec<String>,
    config: toml::Table,
}

impl Preset {
    /// Name of the algorithm it is for.
    pub fn algorithm(&self) -> &str {
        self.config.get("algorithm").and_then(toml::Value::as_str).unwrap_or_default()
    }

    /// Id of the environment it is for.
    pub fn env(&self) -> &str {
        let id = self.config.get("env").and_then(|env| env.get("id"));
        id.and_then(toml::Value::as_str).unwrap_or_default()
    }

    /// Ids of all environments it is for.
    pub fn envs(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.env()).chain(self.also_for.iter().map(String::as_str))
    }
}

/// All presets, by name.
///
/// # Errors
/// If a preset file is broken, which a test rules out.
pub fn all() -> Result<Vec<Preset>, RunError> {
    let read = |(name, text): (&'static str, &str)| {
        let file: PresetFile =
            toml::from_str(text).map_err(|error| RunError::Config(format!("preset {name}: {error}")))?;
        let PresetFile { summary, source, default, also_for, config } = file;
        Ok(Preset { name, summary, source, default, also_for, config })
    };
    FILES.iter().copied().map(read).collect()
}

/// The preset of a name.
///
/// # Errors
/// If there is none; the error lists those there are.
pub fn get(name: &str) -> Result<Preset, RunError> {
    let presets = all()?;
    let known = presets.iter().map(|preset| preset.name).collect::<Vec<_>>().join(", ");
    let unknown = || RunError::Config(format!("unknown preset `{name}`, expected one of {known}"));
    presets.into_iter().find(|preset| preset.name == name).ok_or_else(unknown)
}

/// The preset that is used for an algorithm in an environment where none is named.
///
/// # Errors
/// As [`all`].
pub fn default_for(algorithm: &str, env: &str) -> Result<Option<Preset>, RunError> {
    let fits = |preset: &Preset| {
        preset.default && preset.algorithm() == algorithm && preset.envs().any(|id| id == env)
    };
    Ok(all()?.into_iter().find(fits))
}

/// The preset that the settings of an algorithm in an environment begin with: the one that is named, the default one if none
/// is, or none at all for the name `none` and where there is no default.
///
/// # Errors
/// If the preset is unknown or for another algorithm.
pub fn choose(name: Option<&str>, algorithm: &str, env: &str) -> Result<Option<Preset>, RunError> {
    let preset = match name {
        Some(NONE) => None,
        Some(name) => Some(get(name)?),
        None => default_for(algorithm, env)?,
    };
    match preset {
        Some(preset) if preset.algorithm() != algorithm => Err(RunError::Config(format!(
            "preset {} is for {}, got algorithm {algorithm}",
            preset.name,
            preset.algorithm()
        ))),
        chosen => Ok(chosen),
    }
}

/// The settings of the preset that [`choose`] gives; none without one.
///
/// # Errors
/// As [`choose`].
pub fn base(name: Option<&str>, algorithm: &str, env: &str) -> Result<toml::Table, RunError> {
    Ok(choose(name, algorithm, env)?.map_or_else(toml::Table::new, |preset| preset.config))
}

/// What a run records of the preset that [`choose`] gives.
///
/// # Errors
/// As [`choose`].
pub fn chosen_name(name: Option<&str>, algorithm: &str, env: &str) -> Result<String, RunError> {
    Ok(choose(name, algorithm, env)?.map_or(NONE, |preset| preset.name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RunConfig;
    use crate::runtime::{self, Setup};

    #[test]
    fn every_preset_is_a_valid_configuration() {
        let setup = Setup::default();
        for preset in all().unwrap() {
            for env in preset.envs() {
                let mut config = RunConfig::from_table(&setup.algorithms, preset.config.clone()).unwrap();
                config.env.id = env.to_owned();
                config.resolve(&setup.registry, &setup.algorithms).unwrap();
                let algorithm = setup.algorithms.get(&config.algorithm).unwrap();
                match runtime::summary(&setup, &config) {
                    // Whoever imitates needs somebody to imitate, whom the command line names.
                    Err(error) if algorithm.takes_demonstrations() => {
                        assert!(error.chain().contains("--data ID"), "{}: {}", preset.name, error.chain());
                    }
                    made => drop(made.unwrap()),
                }
            }
            assert!(!preset.summary.is_empty() && !preset.source.is_empty(), "{}", preset.name);
        }
    }

    #[test]
    fn every_file_is_listed() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/presets");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = files.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        let mut listed: Vec<String> = FILES.iter().map(|(name, _)| format!("{name}.toml")).collect();
        listed.sort();
        assert_eq!(names, listed, "files of src/presets and the list above");
    }

    #[test]
    fn unknown_presets_list_the_known_ones() {
        let message = get("ppo-cartpol").unwrap_err().to_string();
        assert!(message.contains("ppo-cartpol`") && message.contains("dqn-cartpole"), "{message}");
    }
}
