//! A run's configuration: what a TOML file, a preset and `--set` say together.
//!
//! Settings come in layers, later ones over earlier ones: the algorithm's defaults, a preset, a file, `--set`. The
//! result is written to the run directory complete, so that it alone repeats the run.

mod env;
mod made_by;
mod tables;

use std::fmt;
use std::path::{Path, PathBuf};

pub use agon_agents::algorithms::{KIND, merge};
use agon_agents::learner::Spaces;
use agon_agents::{Algorithms, RunInfo};
use agon_envs::{MakeOptions, Registry, Simulator, mixture};
use agon_nn::{InstructionSet, ModelConfig};
use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::RunError;
use crate::data::{self, DataConfig};
use crate::error::AtPath;
use crate::league::LeagueConfig;
use crate::pruning::PruningConfig;
use crate::teacher::TeacherConfig;
use crate::text;
use crate::transfer::TransferConfig;
pub(crate) use env::CALLABLE;
pub use env::EnvConfig;
pub use made_by::MadeBy;
pub(crate) use tables::{differences, first_difference, flatten, from_table, set_by, set_subject, several};
pub use tables::{read_table, set, set_value};

/// Everything that decides a run, and how it is run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// Name of the algorithm.
    pub algorithm: String,
    /// Seed of networks, environments and exploration.
    pub seed: u64,
    /// Environment steps of the run, rounded up to whole iterations.
    #[serde(deserialize_with = "read_steps")]
    pub total_timesteps: u64,
    /// Environments stepped together, a multiple of `runtime.num_shards`. Where settings do not say, 0 until
    /// [`RunConfig::resolve`] makes it the algorithm's own number, which is 1 for most with a replay buffer and 4 for the others.
    #[serde(deserialize_with = "read_num_envs", skip_serializing_if = "is_zero")]
    pub num_envs: usize,
    /// The environment.
    pub env: EnvConfig,
    /// How the work is divided and saved.
    pub runtime: RuntimeConfig,
    /// Evaluations on the way.
    pub eval: EvalConfig,
    /// The algorithm's own settings.
    pub agent: toml::Table,
    /// The shape of the algorithm's networks; none where the algorithm has none, or, before [`RunConfig::resolve`], for its
    /// own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<ModelConfig>,
    /// Weights to begin with instead of random ones: a weight file, or a run whose newest are meant. A copy of them is kept in
    /// the run's directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_from: Option<PathBuf>,
    /// What becomes of these weights, and which parameters learn how fast.
    #[serde(skip_serializing_if = "TransferConfig::is_default")]
    pub transfer: TransferConfig,
    /// A trained policy to learn from, and how much that counts.
    #[serde(skip_serializing_if = "TeacherConfig::is_default")]
    pub teacher: TeacherConfig,
    /// Which weights become zero while it learns.
    #[serde(skip_serializing_if = "PruningConfig::is_default")]
    pub pruning: PruningConfig,
    /// Past selves that it plays against.
    #[serde(skip_serializing_if = "LeagueConfig::is_default")]
    pub league: LeagueConfig,
    /// Recorded experience to learn from instead of acting.
    #[serde(skip_serializing_if = "DataConfig::is_default")]
    pub data: DataConfig,
    /// What made the run; written, never read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_by: Option<MadeBy>,
    /// Whether nobody has chosen an encoder, so that [`RunConfig::resolve`] finds one that suits the observations.
    #[serde(skip)]
    pub fit_encoder: bool,
}

/// How fragments reach the learner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Every iteration waits for all shards and learns in their order: reproducible.
    #[default]
    Lockstep,
    /// Fragments are learned from as they come: fastest, not reproducible.
    Async,
}

/// How the work is divided and saved. Only `num_shards` and `instruction_set` change results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuntimeConfig {
    /// Worlds that the environments are divided into, each with its own random streams: as many threads can act. Part of the
    /// result. 0 for one for every 32 environments, up to 16, whatever the machine has.
    pub num_shards: usize,
    /// Threads of workers and learner each; 0 for one a core. Never changes results in lockstep mode.
    pub threads: usize,
    /// How fragments reach the learner.
    pub mode: Mode,
    /// Environment steps between checkpoints; 0 for a tenth of the run.
    #[serde(deserialize_with = "read_steps")]
    pub checkpoint_every: u64,
    /// Environment steps between rows of `metrics.csv`, which are means over the iterations between them; 0 for at most
    /// 10,000 rows a run.
    #[serde(deserialize_with = "read_steps")]
    pub log_every: u64,
    /// Whether TensorBoard's events have histograms of all parameters at every checkpoint. Never changes results.
    pub histograms: bool,
    /// Whether the weights of every regular checkpoint are kept, in `models/`, for ladders of a run's selves. Never changes
    /// results.
    pub keep_models: bool,
    /// `auto` for the best that the processor has, or `scalar`, `avx2`, `avx512`. Part of the result.
    pub instruction_set: String,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        let instruction_set = AUTO.to_owned();
        let (num_shards, threads, mode) = (0, 0, Mode::Lockstep);
        Self {
            num_shards,
            threads,
            mode,
            checkpoint_every: 0,
            log_every: 0,
            histograms: false,
            keep_models: false,
            instruction_set,
        }
    }
}

/// Evaluations during training, in environments and with seeds of their own. They never change the training.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvalConfig {
    /// Environment steps between evaluations, the last one at the end of the run; 0 for none.
    #[serde(deserialize_with = "read_steps")]
    pub every: u64,
    /// Episodes of each evaluation.
    pub episodes: usize,
    /// Whether the policy acts as in training instead of taking its best action.
    pub stochastic: bool,
    /// Steps after which an episode is cut where the environment has no time limit: a policy may never reach an end.
    pub max_episode_steps: u32,
}

/// Steps after which an evaluation cuts an episode that has no other limit.
pub const EVALUATION_LIMIT: u32 = 100_000;

impl Default for EvalConfig {
    fn default() -> Self {
        Self { every: 0, episodes: 20, stochastic: false, max_episode_steps: EVALUATION_LIMIT }
    }
}

impl EvalConfig {
    /// Whether there are evaluations.
    pub fn is_on(&self) -> bool {
        self.every > 0
    }

    /// Whether one is due between two counts of environment steps of a run of `total_timesteps`.
    pub fn is_due(&self, before: u64, now: u64, total_timesteps: u64) -> bool {
        self.is_on() && (now >= total_timesteps || now / self.every > before / self.every)
    }
}

/// The key of the networks' settings, at the top level of a run.
const NETWORK: &str = "network";
/// The key of the algorithm's name.
pub(crate) const ALGORITHM: &str = "algorithm";

/// Episodes of an evaluation at most.
pub(crate) const MOST_EPISODES: usize = 1_000_000;

/// The largest size in a network's settings.
const MOST_SIZE: i64 = 1 << 24;

/// Rows of `metrics.csv` that a run has at most unless it asks for more.
const MOST_ROWS: u64 = 10_000;

/// The word for what is left to the algorithm, or to the processor.
const AUTO: &str = "auto";

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            algorithm: "ppo".to_owned(),
            seed: 1,
            total_timesteps: 500_000,
            num_envs: 0,
            env: EnvConfig::default(),
            runtime: RuntimeConfig::default(),
            eval: EvalConfig::default(),
            agent: toml::Table::new(),
            network: None,
            init_from: None,
            transfer: TransferConfig::default(),
            teacher: TeacherConfig::default(),
            pruning: PruningConfig::default(),
            league: LeagueConfig::default(),
            data: DataConfig::default(),
            made_by: None,
            fit_encoder: false,
        }
    }
}

impl RunConfig {
    /// Reads a configuration from settings, laid over the algorithm's own shape of networks.
    ///
    /// # Errors
    /// [`RunError::Config`] naming the key, what was expected and what was found, or an unknown algorithm.
    pub fn from_table(algorithms: &Algorithms, mut table: toml::Table) -> Result<Self, RunError> {
        let network = table.remove(NETWORK);
        let mut config: Self = from_table(table)?;
        let given = match network {
            None => toml::Table::new(),
            Some(toml::Value::Table(network)) => network,
            Some(other) => {
                let message = format!("{NETWORK} must be a table with encoder, memory and head, got {other}");
                return Err(RunError::Config(message));
            }
        };
        config.fit_encoder = !given.contains_key("encoder");
        config.network = algorithms.get(&config.algorithm)?.resolve_network(&given)?;
        Ok(config)
    }

    /// Reads a complete configuration from a file: a run's `config.toml`.
    ///
    /// # Errors
    /// If the file cannot be read or is broken.
    pub fn load(path: &Path) -> Result<Self, RunError> {
        Self::parse(path, &std::fs::read(path).at("cannot read", path)?)
    }

    /// Reads the content of a run's `config.toml`; its path is for errors.
    pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, RunError> {
        let named = |error| RunError::Config(format!("{}: {error}", path.display()));
        let text = std::str::from_utf8(bytes).map_err(|error| named(RunError::Config(error.to_string())))?;
        let table =
            text.parse().map_err(|error: toml::de::Error| named(RunError::Config(error.to_string())))?;
        let config: Self = from_table(table).map_err(named)?;
        if config.env.id.is_empty() {
            return Err(named(RunError::Config("expected env.id, found none".to_owned())));
        }
        Ok(config)
    }

    /// The text of a `config.toml`.
    ///
    /// # Errors
    /// If a number is too large for TOML.
    pub(crate) fn to_toml(&self) -> Result<String, RunError> {
        toml::to_string(self).map_err(|error| RunError::Config(error.to_string()))
    }

    /// Fills in the algorithm's defaults and checks everything that can be checked before a run starts.
    ///
    /// # Errors
    /// Naming the key, what is allowed and what was found.
    pub fn resolve(&mut self, registry: &Registry, algorithms: &Algorithms) -> Result<(), RunError> {
        let wrong = |field: &str, expected: &str, found: &dyn std::fmt::Display| {
            Err(RunError::Config(format!("{field} must be {expected}, got {found}")))
        };
        if self.env.id.is_empty() && !self.env.tasks.is_empty() {
            mixture::ID.clone_into(&mut self.env.id);
        }
        registry.get(&self.env.id)?;
        if self.agent.contains_key(NETWORK) {
            let found = "it among the agent's";
            return wrong("agent.network", "at the top level, as network.encoder.kind", &found);
        }
        let algorithm = algorithms.get(&self.algorithm)?;
        self.agent = algorithm.resolve(&self.agent)?;
        if self.network.is_none() {
            self.network = algorithm.default_network();
            self.fit_encoder = true;
        }
        ensure_finite("agent", &self.agent)?;
        if let Some(network) = &self.network {
            ensure_finite(NETWORK, &toml::Table::try_from(network).unwrap_or_default())?;
        }
        let fits = std::mem::take(&mut self.fit_encoder) && self.network.is_some();
        let is_open = self.agent.values().any(|value| value.as_str() == Some(AUTO));
        // What is wrong with an environment that cannot be made is reported by whoever makes it.
        let probe = if fits || is_open { registry.make(&self.env.id, &self.options(1)).ok() } else { None };
        if let (true, Some(probe), Some(network)) = (fits, &probe, &mut self.network) {
            *network = algorithm.fit_network(network, probe.observation_space())?;
        }
        if let Some(network) = &mut self.network {
            check_sizes(NETWORK, &toml::Value::try_from(&*network).unwrap_or(toml::Value::Boolean(false)))?;
            network.bind(algorithms.parts())?;
        }
        self.transfer.validate(self.init_from.is_some())?;
        self.teacher.validate()?;
        self.pruning.validate()?;
        self.league.validate()?;
        self.data.validate()?;
        self.data.settle()?;
        if self.data.is_on() {
            self.data.acts |= algorithm.takes_demonstrations();
            self.learn_from_data()?;
        }
        if self.total_timesteps == 0 {
            return wrong("total_timesteps", "at least 1", &self.total_timesteps);
        }
        // TOML has no larger integers, and a config.toml must hold them.
        for (field, value) in [("seed", self.seed), ("total_timesteps", self.total_timesteps)] {
            if i64::try_from(value).is_err() {
                return wrong(field, &format!("at most {}", i64::MAX), &value);
            }
        }
        if self.num_envs == 0 {
            self.num_envs = algorithm.num_envs();
        }
        if self.runtime.num_shards == 0 {
            self.runtime.num_shards = shards_of(self.num_envs);
        }
        let shards = self.runtime.num_shards;
        if !self.num_envs.is_multiple_of(shards) {
            let expected = format!("a divisor of num_envs = {}", self.num_envs);
            return wrong("runtime.num_shards", &expected, &shards);
        }
        if self.runtime.threads > 1024 {
            return wrong("runtime.threads", "at most 1024 (0 for one a core)", &self.runtime.threads);
        }
        if !(1..=MOST_EPISODES).contains(&self.eval.episodes) {
            return wrong("eval.episodes", &format!("from 1 to {MOST_EPISODES}"), &self.eval.episodes);
        }
        if self.eval.max_episode_steps == 0 {
            return wrong("eval.max_episode_steps", "at least 1", &0);
        }
        self.instruction_set()?;
        if let (true, Some(probe)) = (is_open, &probe) {
            let info = self.run_info(probe);
            self.agent = algorithm.settle(&self.agent, self.network.as_ref(), &info)?;
        }
        Ok(())
    }

    /// Settles what a run with data needs nobody to say, above all one that does not act.
    fn learn_from_data(&mut self) -> Result<(), RunError> {
        if !self.eval.is_on() {
            self.eval.every = (self.total_timesteps / data::EVALUATIONS).max(1);
        }
        if self.data.acts {
            return Ok(());
        }
        let acts = [
            (self.runtime.mode == Mode::Async, "runtime.mode = \"async\""),
            (self.league.is_on(), "a league"),
        ];
        if let Some((_, found)) = acts.iter().find(|(is_on, _)| *is_on) {
            return Err(RunError::Config(format!(
                "data.sets: expected a run that does not act, found {found}"
            )));
        }
        (self.num_envs, self.runtime.num_shards) = (1, 1);
        Ok(())
    }

    /// What an algorithm must know of the run, of which this is one environment.
    pub(crate) fn run_info(&self, simulator: &Simulator) -> RunInfo {
        RunInfo {
            spaces: Spaces {
                observation: simulator.observation_space().clone(),
                frames: simulator.info().frames,
                action: simulator.action_spec().clone(),
                mask_len: simulator.mask_len(),
                tasks: simulator.info().tasks.clone(),
            },
            num_envs: self.num_envs,
            num_agents: simulator.num_agents(),
            num_shards: self.runtime.num_shards,
            total_timesteps: self.total_timesteps,
            seed: self.seed,
            privileged: simulator.info().privileged.clone(),
            recorded: None,
        }
    }

    /// How to make `num_envs` of the environment for training: with what the run's teacher sees beside what the policy does.
    pub(crate) fn options(&self, num_envs: usize) -> MakeOptions {
        MakeOptions { privileged: self.teacher.wrappers, ..self.env.options(num_envs) }
    }

    /// The kind of the networks' encoder, as settings name it; none without networks.
    pub fn encoder_kind(&self) -> Option<String> {
        let encoder = toml::Table::try_from(&self.network.as_ref()?.encoder).ok()?;
        encoder.get(KIND).and_then(toml::Value::as_str).map(str::to_owned)
    }

    /// The instruction set that the run uses on this machine.
    ///
    /// # Errors
    /// If the name is unknown or the processor lacks it.
    pub fn instruction_set(&self) -> Result<InstructionSet, RunError> {
        let name = &self.runtime.instruction_set;
        if name == AUTO {
            return Ok(InstructionSet::detect());
        }
        let named = |error| RunError::Config(format!("runtime.instruction_set: {error} (or `{AUTO}`)"));
        let set: InstructionSet = name.parse().map_err(named)?;
        if set.is_available() {
            return Ok(set);
        }
        Err(RunError::Config(format!("runtime.instruction_set: this processor has no {set}, use `{AUTO}`")))
    }

    /// The first setting that decides results and differs from another configuration's, with both values; seeds apart. What only
    /// a run finds out, and one of both leaves open, is no difference.
    pub fn first_difference(&self, other: &Self) -> Option<String> {
        let deciding = |own: &Self, other: &Self| {
            let wrappers = own.teacher.wrappers.or(other.teacher.wrappers);
            let teacher = TeacherConfig { wrappers, ..own.teacher.clone() };
            let checksum = own.data.checksum.clone().or_else(|| other.data.checksum.clone());
            let data = DataConfig { checksum, ..own.data.clone() };
            Self { teacher, data, ..own.clone() }.deciding()
        };
        first_difference(&deciding(self, other), &deciding(other, self))
    }

    /// Every setting that decides results by its whole key, the seed included.
    pub fn hyper_parameters(&self) -> Vec<(String, toml::Value)> {
        let mut table = self.deciding();
        if let Some(toml::Value::Table(env)) = table.get_mut("env") {
            // Nobody reads it.
            env.remove("pickle");
        }
        table.insert("seed".to_owned(), toml::Value::Integer(self.seed.cast_signed()));
        let mut found = Vec::new();
        flatten("", &table, &mut found);
        found
    }

    /// What decides results, without the seed. Bits of other instruction sets differ, not what is measured.
    fn deciding(&self) -> toml::Table {
        let mut table = toml::Table::try_from(self).unwrap_or_default();
        table.remove("seed");
        table.remove("made_by");
        // Runs keep a copy of the weights that they begin with; where the original was says nothing.
        table.remove("init_from");
        if let Some(toml::Value::Table(teacher)) = table.get_mut("teacher") {
            teacher.remove("policy");
        }
        if let Some(toml::Value::Table(data)) = table.get_mut("data") {
            data.remove("storage");
        }
        if let Some(toml::Value::Table(runtime)) = table.get_mut("runtime") {
            for key in ["threads", "checkpoint_every", "log_every", "histograms", "instruction_set"] {
                runtime.remove(key);
            }
        }
        table
    }

    /// Threads that the run uses on this machine.
    pub fn threads(&self) -> usize {
        available_threads(self.runtime.threads)
    }

    /// Environment steps between checkpoints.
    pub fn checkpoint_every(&self) -> u64 {
        match self.runtime.checkpoint_every {
            0 => (self.total_timesteps / 10).max(1),
            steps => steps,
        }
    }

    /// Environment steps between rows of metrics.
    pub fn log_every(&self) -> u64 {
        match self.runtime.log_every {
            0 => (self.total_timesteps / MOST_ROWS).max(1),
            steps => steps,
        }
    }

    /// Environments of one shard.
    pub fn shard_envs(&self) -> usize {
        self.num_envs / self.runtime.num_shards.max(1)
    }
}

/// Shards of a run that does not say: the largest divisor of its environments with which each has at least 32, up to 16. Less
/// are sooner stepped than a thread is told to.
fn shards_of(num_envs: usize) -> usize {
    const ENVS: usize = 32;
    const MOST: usize = 16;
    (1..=(num_envs / ENVS).min(MOST)).rev().find(|shards| num_envs.is_multiple_of(*shards)).unwrap_or(1)
}

/// A number of threads as settings give it, 0 for one a core.
pub fn available_threads(threads: usize) -> usize {
    match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

/// Refuses integers of a network's settings that no network has, so that nothing overflows before its memory is counted. What
/// the settings of a program's own part mean is its own business.
fn check_sizes(path: &str, value: &toml::Value) -> Result<(), RunError> {
    match value {
        toml::Value::Integer(size) if *size > MOST_SIZE => {
            Err(RunError::Config(format!("{path} must be at most {MOST_SIZE}, got {size}")))
        }
        toml::Value::Array(values) => values.iter().try_for_each(|value| check_sizes(path, value)),
        toml::Value::Table(table) if table.get(KIND).and_then(toml::Value::as_str) != Some("custom") => {
            table.iter().try_for_each(|(key, value)| check_sizes(&format!("{path}.{key}"), value))
        }
        _ => Ok(()),
    }
}

/// Reads a number of steps: an integer, a whole number such as `1e6`, or a text such as `"10k"`.
pub(crate) fn read_steps<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct Steps;
    impl Visitor<'_> for Steps {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number of steps, such as 5000, 100_000, 1e6 or \"10k\"")
        }

        fn visit_u64<E: de::Error>(self, value: u64) -> Result<u64, E> {
            Ok(value)
        }

        fn visit_i64<E: de::Error>(self, value: i64) -> Result<u64, E> {
            u64::try_from(value).map_err(|_| E::invalid_value(Unexpected::Signed(value), &self))
        }

        fn visit_f64<E: de::Error>(self, value: f64) -> Result<u64, E> {
            text::whole(value).ok_or_else(|| E::invalid_value(Unexpected::Float(value), &self))
        }

        fn visit_str<E: de::Error>(self, value: &str) -> Result<u64, E> {
            text::steps(value).map_err(|_| E::invalid_value(Unexpected::Str(value), &self))
        }
    }
    deserializer.deserialize_any(Steps)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Reads a number of environments, of which there must be one at least.
fn read_num_envs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    match usize::deserialize(deserializer)? {
        0 => {
            let message = "must be at least 1, got 0; leave it out for the algorithm's own number";
            Err(de::Error::custom(message))
        }
        num_envs => Ok(num_envs),
    }
}

/// Refuses numbers that are not finite, at any depth of settings.
fn ensure_finite(path: &str, settings: &toml::Table) -> Result<(), RunError> {
    fn check(path: &str, value: &toml::Value) -> Result<(), RunError> {
        match value {
            toml::Value::Float(number) if !number.is_finite() => {
                let found = if number.is_nan() { "NaN".to_owned() } else { number.to_string() };
                Err(RunError::Config(format!("{path} must be a finite number, got {found}")))
            }
            toml::Value::Array(values) => values.iter().try_for_each(|value| check(path, value)),
            toml::Value::Table(table) => ensure_finite(path, table),
            _ => Ok(()),
        }
    }
    settings.iter().try_for_each(|(key, value)| check(&format!("{path}.{key}"), value))
}

#[cfg(test)]
mod tests;
