//! The suite file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::config::{self, MadeBy, RunConfig, read_table};
use crate::presets;
use crate::runtime::Setup;

/// What a suite file says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteFile {
    /// The entries, as `[[entry]]`, in the order of the table.
    #[serde(rename = "entry")]
    pub entries: Vec<Entry>,
}

/// One algorithm in one environment, and what is expected of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name, which its directories have.
    pub name: String,
    /// The preset; without one, algorithm and environment must be named.
    pub preset: Option<String>,
    /// The algorithm, if there is no preset.
    pub algorithm: Option<String>,
    /// The environment's id, if there is no preset or it is for several environments.
    pub env: Option<String>,
    /// Settings laid over the preset.
    #[serde(default)]
    pub settings: toml::Table,
    /// Settings that seeds differ in: seed `n` has the `n`-th, laid over all others. The last is followed by the first.
    #[serde(default)]
    pub each_seed: Vec<toml::Table>,
    /// Number of seeds, from 1 on.
    pub seeds: u64,
    /// How a run is scored.
    pub measure: Measured,
    /// The published figure, as text, if there is one.
    pub published: Option<String>,
    /// Where it is published.
    pub source: Option<String>,
    /// What is wanted of the scores, if anything is.
    pub wanted: Option<Wanted>,
    /// Steps a second that are wanted.
    pub wanted_steps_per_second: Option<f64>,
    /// Whether seeds share the cores with other runs or each has all of them to itself, for the sake of its speed.
    #[serde(default)]
    pub run: Side,
    /// Entries of a group are drawn together.
    pub group: Option<String>,
    /// The name in the group's plot; the algorithm's by default.
    pub label: Option<String>,
}

/// How a run is scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Measured {
    /// The mean return of an evaluation of the final policy, in fresh environments.
    FinalEvaluation {
        /// Episodes.
        episodes: usize,
        /// Whether the policy acts as in training instead of taking its best action.
        #[serde(default)]
        stochastic: bool,
    },
    /// The mean return of the last 100 training episodes.
    #[serde(rename = "last_100")]
    Last100 {},
    /// The environment's own score of the first episodes (`EnvSpec::score`). An entry's mean is that of an experiment over
    /// sizes if its seeds have the sizes.
    Experiment {
        /// So many of them.
        episodes: usize,
    },
}

impl Measured {
    /// What it is, for the table.
    pub fn label(self) -> String {
        match self {
            Self::FinalEvaluation { episodes, stochastic } => {
                let how = if stochastic { "sampled" } else { "greedy" };
                format!("{episodes} {how} episodes at the end")
            }
            Self::Last100 {} => "last 100 training episodes".to_owned(),
            Self::Experiment { episodes } => {
                format!("the environment's score of {episodes} training episodes")
            }
        }
    }
}

/// What is wanted of the scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Wanted {
    /// The mean over seeds is at least this.
    Mean(f64),
    /// The 95 % interval of the mean reaches this: as good as a published figure, as far as the seeds can tell.
    Interval(f64),
    /// The mean over seeds is at most this: a negative control.
    MeanAtMost(f64),
    /// The score of every seed is at least this.
    EverySeed(f64),
    /// The score of so many seeds is at least this.
    Seeds {
        /// So many.
        count: usize,
        /// This.
        score: f64,
    },
}

impl Wanted {
    /// The score that is to be reached.
    pub fn score(self) -> f64 {
        match self {
            Self::Mean(score)
            | Self::Interval(score)
            | Self::MeanAtMost(score)
            | Self::EverySeed(score)
            | Self::Seeds { score, .. } => score,
        }
    }

    /// What it is, for the table.
    pub fn label(self) -> String {
        match self {
            Self::Mean(score) => format!("mean ≥ {score}"),
            Self::Interval(score) => format!("interval reaches {score}"),
            Self::MeanAtMost(score) => format!("mean ≤ {score}"),
            Self::EverySeed(score) => format!("every seed ≥ {score}"),
            Self::Seeds { count, score } => format!("{count} seeds ≥ {score}"),
        }
    }

    /// Whether scores are what is wanted.
    pub fn is_reached(self, scores: &[f64]) -> bool {
        match self {
            Self::Mean(score) => crate::stats::mean(scores) >= score,
            // One seed has no interval.
            Self::Interval(score) => {
                crate::stats::mean(scores) + crate::stats::ci95_half_width(scores) >= score
            }
            Self::MeanAtMost(score) => crate::stats::mean(scores) <= score,
            Self::EverySeed(score) => !scores.is_empty() && scores.iter().all(|&found| found >= score),
            Self::Seeds { count, score } => scores.iter().filter(|&&found| found >= score).count() >= count,
        }
    }
}

/// What an entry's runs share the machine with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// As many runs as there are cores.
    #[default]
    SideBySide,
    /// Nothing: each seed runs alone on all cores.
    Alone,
}

impl SuiteFile {
    pub(super) fn load(setup: &Setup, path: &Path) -> Result<Self, RunError> {
        let named = |error: RunError| RunError::Config(format!("{}: {error}", path.display()));
        let file = config::from_table::<Self>(read_table(path)?).map_err(named)?;
        file.validate(setup).map_err(named)?;
        Ok(file)
    }

    fn validate(&self, setup: &Setup) -> Result<(), RunError> {
        let mut names = BTreeSet::new();
        for entry in &self.entries {
            let named = |error: RunError| RunError::Config(format!("entry `{}`: {error}", entry.name));
            if !names.insert(&entry.name) {
                return Err(named(RunError::Config("two entries have this name".to_owned())));
            }
            entry.validate(setup).map_err(named)?;
        }
        let mut labels: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for entry in &self.entries {
            let Some(group) = &entry.group else { continue };
            let label = entry.label(&entry.config(setup)?);
            if !labels.entry(group).or_default().insert(label.clone()) {
                let message = "two entries of a group have the same name in its plot: give them a `label`";
                return Err(RunError::Config(format!("group `{group}`: {message}, got `{label}` twice")));
            }
        }
        Ok(())
    }
}

impl Entry {
    fn validate(&self, setup: &Setup) -> Result<(), RunError> {
        let wrong = |message: String| Err(RunError::Config(message));
        let is_plain = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        for name in std::iter::once(&self.name).chain(&self.group) {
            if !is_plain(name) {
                return wrong(format!("a name is made of letters, digits, `-`, `_` and `.`, got `{name}`"));
            }
        }
        if self.seeds == 0 {
            return wrong("seeds must be at least 1, got 0".to_owned());
        }
        if let Measured::FinalEvaluation { episodes: 0, .. } | Measured::Experiment { episodes: 0 } =
            self.measure
        {
            return wrong("measure.episodes must be at least 1, got 0".to_owned());
        }
        if self.each_seed.len() as u64 > self.seeds {
            let (settings, seeds) = (self.each_seed.len(), self.seeds);
            return wrong(format!("each_seed must be at most seeds = {seeds} settings, got {settings}"));
        }
        if let Some(Wanted::Seeds { count, .. }) = self.wanted
            && count as u64 > self.seeds
        {
            return wrong(format!("wanted.seeds.count must be at most seeds = {}, got {count}", self.seeds));
        }
        let config = self.config(setup)?;
        if let Measured::Experiment { .. } = self.measure {
            crate::score::experiment(&setup.registry, &config)?;
        }
        (1..=self.each_seed.len() as u64).try_for_each(|seed| self.config_of(setup, seed).map(|_| ()))
    }

    /// Whether its seeds are trained for different numbers of steps.
    pub(super) fn has_lengths(&self) -> bool {
        self.each_seed.iter().any(|own| own.contains_key("total_timesteps"))
    }

    /// The settings that a seed does not share with all others.
    pub fn own_settings(&self, seed: u64) -> toml::Table {
        let index = seed.saturating_sub(1) as usize % self.each_seed.len().max(1);
        self.each_seed.get(index).cloned().unwrap_or_default()
    }

    /// The configuration, complete, with the first seed.
    ///
    /// # Errors
    /// If neither a preset nor algorithm and environment are named, or the settings are broken.
    pub fn config(&self, setup: &Setup) -> Result<RunConfig, RunError> {
        self.config_of(setup, 1)
    }

    /// The configuration of a seed, complete.
    ///
    /// # Errors
    /// As [`Self::config`].
    pub fn config_of(&self, setup: &Setup, seed: u64) -> Result<RunConfig, RunError> {
        let (mut table, algorithm, env) = match (&self.preset, &self.algorithm, &self.env) {
            (Some(name), None, env) => {
                let preset = presets::get(name)?;
                let env = env.as_deref().unwrap_or(preset.env()).to_owned();
                if !preset.envs().any(|id| id == env) {
                    let known = preset.envs().collect::<Vec<_>>().join(", ");
                    return Err(RunError::Config(format!("preset {name} is for {known}, got env {env}")));
                }
                let algorithm = preset.algorithm().to_owned();
                (preset.config, algorithm, env)
            }
            (None, Some(algorithm), Some(env)) => (toml::Table::new(), algorithm.clone(), env.clone()),
            _ => {
                let message = "expected a `preset`, or `algorithm` and `env` without one";
                return Err(RunError::Config(message.to_owned()));
            }
        };
        config::merge(&mut table, self.settings.clone());
        config::merge(&mut table, self.own_settings(seed));
        config::set_subject(&mut table, &algorithm, &env)?;
        let mut config = RunConfig::from_table(&setup.algorithms, table)?;
        config.seed = seed;
        config.resolve(&setup.registry, &setup.algorithms)?;
        config.made_by = Some(MadeBy::this_program(&config)?);
        Ok(config)
    }

    /// The name in a plot.
    pub fn label(&self, config: &RunConfig) -> String {
        self.label.clone().unwrap_or_else(|| config.algorithm.to_uppercase())
    }
}

/// Whether a name fits a pattern, in which `*` stands for any characters and `?` for any one; no pattern fits all.
pub(super) fn matches(pattern: Option<&str>, name: &str) -> bool {
    fn fits(pattern: &[char], name: &[char]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            (['*', rest @ ..], _) => (0..=name.len()).any(|skipped| fits(rest, &name[skipped..])),
            (['?', rest @ ..], [_, name @ ..]) => fits(rest, name),
            ([a, rest @ ..], [b, name @ ..]) => a == b && fits(rest, name),
            _ => false,
        }
    }
    let characters = |text: &str| text.chars().collect::<Vec<_>>();
    pattern.is_none_or(|pattern| fits(&characters(pattern), &characters(name)))
}
