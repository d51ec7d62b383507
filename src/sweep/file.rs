//! The sweep file.

use agon_agents::Algorithms;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Measure;
use super::search::{Parameter, parameters};
use crate::RunError;
use crate::config::{self, RunConfig, read_table};
use crate::presets;

/// What a sweep file says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepFile {
    /// The algorithm.
    pub algorithm: String,
    /// The environment's id.
    pub env: String,
    /// The preset; the default one of algorithm and environment if none is named, `none` for bare defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Seeds of each trial, from 1 on.
    #[serde(default = "one")]
    pub seeds: u64,
    /// The score of a run.
    #[serde(default = "last_100")]
    pub metric: Measure,
    /// How trials are chosen.
    pub strategy: Strategy,
    /// Settings of all trials, laid over the preset.
    #[serde(default)]
    pub settings: toml::Table,
    /// What is searched: `key.path = [values]` or `key.path = { kind = "log_uniform", low = …, high = … }`.
    pub parameters: toml::Table,
}

/// How trials are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Strategy {
    /// Every combination of the values.
    Grid {},
    /// Combinations drawn at random.
    Random {
        /// Number of trials.
        trials: usize,
        /// Seed of the draws.
        #[serde(default)]
        seed: u64,
    },
    /// Random combinations, of which the better ones are trained longer.
    ///
    /// # Source
    /// Jamieson and Talwalkar 2016, *Non-stochastic Best Arm Identification and Hyperparameter Optimization*; the rungs
    /// are those of Li et al. 2018, *Hyperband*, for one bracket.
    SuccessiveHalving {
        /// Number of trials at the first rung.
        trials: usize,
        /// Seed of the draws.
        #[serde(default)]
        seed: u64,
        /// One of `eta` trials goes on to the next rung, which is `eta` times as long.
        #[serde(default = "three")]
        eta: u64,
        /// Environment steps of the first rung.
        min_steps: u64,
    },
}

fn one() -> u64 {
    1
}

fn three() -> u64 {
    3
}

fn last_100() -> Measure {
    Measure::Last100
}

impl SweepFile {
    /// Reads and checks a sweep file.
    ///
    /// # Errors
    /// Naming the file, the key, what is allowed and what was found.
    pub fn load(path: &Path) -> Result<Self, RunError> {
        let named = |error: RunError| RunError::Config(format!("{}: {error}", path.display()));
        let file = config::from_table::<Self>(read_table(path)?).map_err(named)?;
        file.validate().map_err(named)?;
        Ok(file)
    }

    fn validate(&self) -> Result<(), RunError> {
        let at_least = |field: &str, bound: u64, found: u64| {
            let message = || format!("{field} must be at least {bound}, got {found}");
            if found < bound { Err(RunError::Config(message())) } else { Ok(()) }
        };
        at_least("seeds", 1, self.seeds)?;
        match self.strategy {
            Strategy::Grid {} => {}
            Strategy::Random { trials, .. } => at_least("strategy.trials", 1, trials as u64)?,
            Strategy::SuccessiveHalving { trials, eta, min_steps, .. } => {
                at_least("strategy.trials", 1, trials as u64)?;
                at_least("strategy.eta", 2, eta)?;
                at_least("strategy.min_steps", 1, min_steps)?;
            }
        }
        super::search::trials(&self.strategy, &self.parameters()?).map(|_| ())
    }

    /// What is searched, by key.
    ///
    /// # Errors
    /// If a parameter is no list and no range.
    pub fn parameters(&self) -> Result<Vec<Parameter>, RunError> {
        parameters(&self.parameters)
    }

    /// The interpreter of the environments of all trials, if they name one.
    pub(crate) fn python(&self) -> Option<String> {
        let table = self.base().ok()?;
        Some(table.get("env")?.get("python")?.as_str()?.to_owned())
    }

    /// Environment steps at which scores are taken, the whole run's last.
    pub(super) fn rungs(&self, total: u64) -> Result<Vec<u64>, RunError> {
        let Strategy::SuccessiveHalving { eta, min_steps, .. } = self.strategy else {
            return Ok(vec![total]);
        };
        if min_steps > total {
            return Err(RunError::Config(format!(
                "strategy.min_steps must be at most total_timesteps = {total}, got {min_steps}"
            )));
        }
        let longer = |&steps: &u64| steps.checked_mul(eta);
        let below = std::iter::successors(Some(min_steps), longer).take_while(|&steps| steps < total);
        Ok(below.chain([total]).collect())
    }

    /// How many of some trials go on to the next rung.
    pub(super) fn promoted(&self, trials: usize) -> usize {
        match self.strategy {
            Strategy::SuccessiveHalving { eta, .. } => (trials / eta as usize).max(1),
            _ => trials,
        }
    }

    /// The settings that all trials begin with.
    pub(super) fn base(&self) -> Result<toml::Table, RunError> {
        let mut table = presets::base(self.preset.as_deref(), &self.algorithm, &self.env)?;
        config::merge(&mut table, self.settings.clone());
        Ok(table)
    }

    /// A trial's configuration. Where scores are evaluations there must be some: at every rung at least.
    pub(super) fn config(
        &self,
        algorithms: &Algorithms,
        mut table: toml::Table,
    ) -> Result<RunConfig, RunError> {
        config::set_subject(&mut table, &self.algorithm, &self.env)?;
        let mut config = RunConfig::from_table(algorithms, table)?;
        if self.metric == Measure::FinalEvaluation && !config.eval.is_on() {
            config.eval.every = match self.strategy {
                Strategy::SuccessiveHalving { min_steps, .. } => min_steps,
                _ => config.total_timesteps,
            };
        }
        if let Strategy::SuccessiveHalving { min_steps, .. } = self.strategy
            && self.metric == Measure::FinalEvaluation
            && !min_steps.is_multiple_of(config.eval.every)
        {
            return Err(RunError::Config(format!(
                "eval.every must divide strategy.min_steps = {min_steps} where evaluations decide, got {}",
                config.eval.every
            )));
        }
        Ok(config)
    }
}
