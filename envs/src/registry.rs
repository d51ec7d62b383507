//! Which environments there are: versioned ids, their time limits, thresholds and arguments.
//!
//! A registry is a value, not a global: a program starts from [`Registry::builtin`] and adds its own environments.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::simulator::{SingleEnv, WorldEnv};
use crate::{Autoreset, EcsEnv, Env, EnvError, Simulator, VectorEnv, WrapperConfig};

type Entry = dyn Fn(&str, &toml::Table) -> Result<Box<dyn EcsEnv>, EnvError> + Send + Sync;

/// One registered environment.
#[derive(Clone)]
pub struct EnvSpec {
    id: String,
    summary: String,
    page: &'static str,
    wrappers: Vec<WrapperConfig>,
    chaotic_after: Option<u32>,
    max_episode_steps: Option<u32>,
    reward_threshold: Option<f64>,
    entry: Arc<Entry>,
}

impl EnvSpec {
    /// An environment made of components and systems. `make` gets the arguments, read from a TOML table.
    pub fn ecs<A, E>(id: &str, make: impl Fn(A) -> Result<E, EnvError> + Send + Sync + 'static) -> Self
    where
        A: DeserializeOwned,
        E: EcsEnv,
    {
        let entry = move |id: &str, args: &toml::Table| {
            let args = A::deserialize(args.clone()).map_err(|error| EnvError::Arguments {
                id: id.to_owned(),
                message: error.to_string().trim_end().to_owned(),
            })?;
            Ok(Box::new(make(args)?) as Box<dyn EcsEnv>)
        };
        Self {
            id: id.to_owned(),
            summary: String::new(),
            page: "",
            wrappers: Vec::new(),
            chaotic_after: None,
            max_episode_steps: None,
            reward_threshold: None,
            entry: Arc::new(entry),
        }
    }

    /// An environment that is a plain struct.
    ///
    /// `make` gets the arguments, read from a TOML table; use a struct with `#[serde(deny_unknown_fields)]`, or
    /// [`NoArguments`].
    pub fn single<A, E>(id: &str, make: impl Fn(A) -> Result<E, EnvError> + Send + Sync + 'static) -> Self
    where
        A: DeserializeOwned,
        E: Env,
    {
        Self::ecs(id, move |args: A| make(args).map(SingleEnv))
    }

    /// The same environment under another id, to be registered beside it with other wrappers or limits.
    #[must_use]
    pub fn renamed(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self
    }

    /// Steps after which an episode is truncated.
    #[must_use]
    pub fn max_episode_steps(mut self, steps: u32) -> Self {
        self.max_episode_steps = Some(steps);
        self
    }

    /// Mean return from which the task counts as solved.
    #[must_use]
    pub fn reward_threshold(mut self, threshold: f64) -> Self {
        self.reward_threshold = Some(threshold);
        self
    }

    /// One sentence for listings.
    #[must_use]
    pub fn summary(mut self, summary: &str) -> Self {
        self.summary = summary.to_owned();
        self
    }

    /// Steps of an episode after which rounding decides its trajectory: a recording is verified step by step from there on,
    /// each from the recorded observation ([`SimulatorBuilder::assume`](crate::SimulatorBuilder::assume)).
    #[must_use]
    pub fn chaotic_after(mut self, steps: u32) -> Self {
        self.chaotic_after = Some(steps);
        self
    }

    /// The argument of [`EnvSpec::chaotic_after`].
    pub fn chaos(&self) -> Option<u32> {
        self.chaotic_after
    }

    /// A wrapper that is part of the registered environment; the first one added is the innermost.
    #[must_use]
    pub fn wrapper(mut self, wrapper: WrapperConfig) -> Self {
        self.wrappers.push(wrapper);
        self
    }

    /// The source file whose module documentation (`//!` lines) is the environment's page: `include_str!("file.rs")`.
    #[must_use]
    pub fn page(mut self, source: &'static str) -> Self {
        self.page = source;
        self
    }

    /// The environment's page in Markdown: the `//!` lines of the file given to [`EnvSpec::page`]. Empty without one.
    pub fn page_text(&self) -> String {
        let lines = self.page.lines().map_while(|line| line.strip_prefix("//!"));
        lines.map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line))).collect()
    }

    /// The id, `Name-vN`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The sentence for listings.
    pub fn summary_text(&self) -> &str {
        &self.summary
    }

    /// The default time limit in steps.
    pub fn time_limit(&self) -> Option<u32> {
        self.max_episode_steps
    }

    /// The mean return from which the task counts as solved.
    pub fn threshold(&self) -> Option<f64> {
        self.reward_threshold
    }

    /// Builds the environment.
    ///
    /// # Errors
    /// If the arguments do not fit, or as [`Simulator::new`].
    pub fn make(&self, options: &MakeOptions) -> Result<Simulator, EnvError> {
        let env = (self.entry)(&self.id, &options.args)?;
        let limit = options.max_episode_steps.unwrap_or(self.max_episode_steps);
        let mut env: Box<dyn VectorEnv> = Box::new(WorldEnv::new(&*env, options.num_envs, limit)?);
        for (depth, wrapper) in self.wrappers.iter().chain(&options.wrappers).enumerate() {
            env = wrapper.wrap(env, depth as u32)?;
        }
        for wrap in &options.wrap {
            env = wrap(env)?;
        }
        Ok(Simulator::over(env, options.autoreset))
    }
}

impl fmt::Debug for EnvSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvSpec")
            .field("id", &self.id)
            .field("max_episode_steps", &self.max_episode_steps)
            .field("reward_threshold", &self.reward_threshold)
            .finish_non_exhaustive()
    }
}

/// Arguments of an environment that takes none.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoArguments {}

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
    /// When ended episodes are reset.
    pub autoreset: Autoreset,
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
            .field("autoreset", &self.autoreset)
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
            autoreset: Autoreset::default(),
        }
    }
}

/// The known environments, by id.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    specs: BTreeMap<String, EnvSpec>,
}

impl Registry {
    /// A registry without environments.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The built-in environments.
    ///
    /// # Panics
    /// Never: the built-in ids are valid and distinct, which a test shows.
    #[expect(clippy::expect_used, reason = "constant ids, tested")]
    pub fn builtin() -> Self {
        let mut registry = Self::empty();
        for register in [
            crate::classic::register,
            crate::toy_text::register,
            crate::minatar::register,
            crate::minigrid::register,
            crate::physics::register,
            crate::memory::register,
            crate::multi_agent::register,
            crate::board::register,
        ] {
            register(&mut registry).expect("built-in ids are valid and distinct");
        }
        registry
    }

    /// Adds an environment.
    ///
    /// # Errors
    /// If the id does not read `Name-vN` or is taken.
    pub fn register(&mut self, spec: EnvSpec) -> Result<(), EnvError> {
        if !is_versioned(&spec.id) {
            return Err(EnvError::MalformedId(spec.id));
        }
        if self.specs.contains_key(&spec.id) {
            return Err(EnvError::DuplicateId(spec.id));
        }
        self.specs.insert(spec.id.clone(), spec);
        Ok(())
    }

    /// The environment registered under `id`.
    ///
    /// # Errors
    /// [`EnvError::UnknownId`] with the nearest ids.
    pub fn get(&self, id: &str) -> Result<&EnvSpec, EnvError> {
        self.specs
            .get(id)
            .ok_or_else(|| EnvError::UnknownId { id: id.to_owned(), nearest: nearest(id, self.specs.keys()) })
    }

    /// Builds the environment registered under `id`.
    ///
    /// # Errors
    /// As [`Registry::get`] and [`EnvSpec::make`].
    pub fn make(&self, id: &str, options: &MakeOptions) -> Result<Simulator, EnvError> {
        self.get(id)?.make(options)
    }

    /// All environments, by id.
    pub fn iter(&self) -> impl Iterator<Item = &EnvSpec> {
        self.specs.values()
    }
}

fn is_versioned(id: &str) -> bool {
    let Some((name, version)) = id.rsplit_once("-v") else { return false };
    let named = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-/".contains(c)) && !name.is_empty();
    named && !version.is_empty() && version.chars().all(|c| c.is_ascii_digit())
}

/// The up to three names nearest to `id`, best first; none if nothing is near.
fn nearest<'a>(id: &str, names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let lower = id.to_lowercase();
    let mut scored: Vec<(f64, &String)> =
        names.map(|name| (strsim::jaro_winkler(&lower, &name.to_lowercase()), name)).collect();
    scored.retain(|(score, _)| *score > 0.75);
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(3).map(|(_, name)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classic::CartPole;

    #[test]
    fn unknown_ids_name_the_nearest_ones() {
        let error = Registry::builtin().get("Cartpole-v2").unwrap_err();
        let expected = "unknown environment `Cartpole-v2`: did you mean `CartPole-v0`, `CartPole-v1`";
        assert!(error.to_string().starts_with(expected), "{error}");
        let error = Registry::builtin().get("zzz").unwrap_err();
        assert_eq!(error.to_string(), "unknown environment `zzz`");
    }

    #[test]
    fn ids_must_be_versioned_and_unique() {
        let mut registry = Registry::builtin();
        let spec = |id| EnvSpec::ecs(id, |args: CartPole| Ok(args));
        assert!(matches!(registry.register(spec("CartPole-v1")), Err(EnvError::DuplicateId(_))));
        for id in ["CartPole", "-v1", "A-v", "A-vx", "A b-v1"] {
            assert!(matches!(registry.register(spec(id)), Err(EnvError::MalformedId(_))), "{id}");
        }
        assert!(registry.register(spec("mine/CartPole-v12")).is_ok());
    }

    #[test]
    fn unknown_arguments_are_refused() {
        let mut options = MakeOptions::default();
        options.args.insert("gravity".into(), toml::Value::Float(1.0));
        let error = Registry::builtin().make("CartPole-v1", &options).unwrap_err().to_string();
        assert!(error.contains("gravity") && error.contains("sutton_barto_reward"), "{error}");
    }
}
