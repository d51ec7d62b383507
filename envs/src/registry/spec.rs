//! One registered environment: how it is made, and what people and programs are told of it.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::options::{MakeOptions, WorkerOptions, Wrap};
use crate::simulator::{SingleEnv, WorldEnv};
use crate::wrappers::{Privileged, Wrapped};
use crate::{EcsEnv, Env, EnvError, Monitor, Simulator, VectorEnv, WrapperConfig, mixture};

/// Makes environments and their monitor: from an id, the options and the time limit.
type Make = dyn Fn(&str, &MakeOptions, Option<u32>) -> Result<Box<dyn VectorEnv>, EnvError> + Send + Sync;
/// Scores the returns of an experiment's episodes, given the id and the arguments.
type Score = dyn Fn(&str, &toml::Table, &[f64]) -> Result<f64, EnvError> + Send + Sync;

/// One registered environment.
#[derive(Clone)]
pub struct EnvSpec {
    id: String,
    /// The id that it had before it was renamed.
    first_id: Option<String>,
    summary: String,
    page: &'static str,
    wrappers: Vec<WrapperConfig>,
    wrap: Vec<Arc<Wrap>>,
    chaotic_after: Option<u32>,
    max_episode_steps: Option<u32>,
    reward_threshold: Option<f64>,
    keys: Option<Keys>,
    draws_observation: bool,
    score: Option<Arc<Score>>,
    is_mixture: bool,
    make: Arc<Make>,
}

/// What a player's keys mean in an environment of one discrete action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Actions of left, up, right and down.
    pub moves: [u32; 4],
    /// Actions of the two buttons.
    pub buttons: [u32; 2],
    /// What is done without a key.
    pub idle: u32,
    /// Whether the environment goes on without waiting for a key.
    pub real_time: bool,
}

impl EnvSpec {
    /// Any vector environment. `make` gets the arguments, read from a TOML table, and the number of environments.
    ///
    /// For arguments use a struct with `#[serde(deny_unknown_fields)]`, or [`NoArguments`](super::NoArguments). Time limit,
    /// episode statistics, wrappers and autoreset are put above what `make` gives.
    pub fn vector<A, V>(
        id: &str,
        make: impl Fn(A, usize) -> Result<V, EnvError> + Send + Sync + 'static,
    ) -> Self
    where
        A: DeserializeOwned,
        V: VectorEnv + 'static,
    {
        Self::made_by(id, move |id, options, limit| {
            if options.worker != WorkerOptions::default() {
                let message = "module, pickle, action_masks, metrics, python and timeout_s are for environments of Python, which this is not";
                return Err(EnvError::Arguments { id: id.to_owned(), message: message.to_owned() });
            }
            let env = make(read(id, &options.args)?, options.num_envs)?;
            Ok(Box::new(Monitor::new(env, limit)?))
        })
    }

    /// Environments that live in another process. `make` gets all options, and uses their number, arguments and worker.
    pub fn foreign<V>(
        id: &str,
        make: impl Fn(&str, &MakeOptions) -> Result<V, EnvError> + Send + Sync + 'static,
    ) -> Self
    where
        V: VectorEnv + 'static,
    {
        Self::made_by(id, move |id, options, limit| Ok(Box::new(Monitor::new(make(id, options)?, limit)?)))
    }

    /// An environment that is made of others: `make` gets all options but wrappers, and sees to time limits and monitors.
    pub(crate) fn mixture<V>(
        id: &str,
        make: impl Fn(&MakeOptions) -> Result<V, EnvError> + Send + Sync + 'static,
    ) -> Self
    where
        V: VectorEnv + 'static,
    {
        let mut spec = Self::made_by(id, move |_, options, _| Ok(Box::new(make(options)?)));
        spec.is_mixture = true;
        spec
    }

    fn made_by(
        id: &str,
        make: impl Fn(&str, &MakeOptions, Option<u32>) -> Result<Box<dyn VectorEnv>, EnvError>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self {
            id: id.to_owned(),
            first_id: None,
            summary: String::new(),
            page: "",
            wrappers: Vec::new(),
            wrap: Vec::new(),
            chaotic_after: None,
            max_episode_steps: None,
            reward_threshold: None,
            keys: None,
            draws_observation: false,
            score: None,
            is_mixture: false,
            make: Arc::new(make),
        }
    }

    /// An environment made of components and systems.
    pub fn ecs<A, E>(id: &str, make: impl Fn(A) -> Result<E, EnvError> + Send + Sync + 'static) -> Self
    where
        A: DeserializeOwned,
        E: EcsEnv,
    {
        Self::vector(id, move |args: A, num_envs| WorldEnv::new(&make(args)?, num_envs))
    }

    /// An environment that is a plain struct.
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
        let before = std::mem::replace(&mut self.id, id.to_owned());
        self.first_id.get_or_insert(before);
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

    /// A wrapper of one's own that is part of the registered environment, around those of [`EnvSpec::wrapper`] and inside
    /// those of a run's settings; the first one added is the innermost.
    ///
    /// [`Wrapped::new`](crate::wrappers::Wrapped::new) makes one of hooks.
    #[must_use]
    pub fn wrapped(
        mut self,
        wrap: impl Fn(Box<dyn VectorEnv>) -> Result<Box<dyn VectorEnv>, EnvError> + Send + Sync + 'static,
    ) -> Self {
        self.wrap.push(Arc::new(wrap));
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

    /// What the page says under a heading, such as `Observation space`; none if it has no such section.
    pub fn page_section(&self, title: &str) -> Option<String> {
        let page = self.page_text();
        let after = page.split_once(&format!("# {title}\n"))?.1;
        let section = after.split_once("\n# ").map_or(after, |(section, _)| section);
        Some(section.trim().to_owned())
    }

    /// What a player's keys mean.
    #[must_use]
    pub fn keys(mut self, keys: Keys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// The argument of [`EnvSpec::keys`].
    pub fn player_keys(&self) -> Option<Keys> {
        self.keys
    }

    /// Frames show the image of an observation and nothing else, each of its cells where it lies.
    #[must_use]
    pub fn draws_observation(mut self) -> Self {
        self.draws_observation = true;
        self
    }

    /// Whether [`EnvSpec::draws_observation`] was said.
    pub fn frames_are_observations(&self) -> bool {
        self.draws_observation
    }

    /// How an experiment is scored: a function of its arguments and the returns of its episodes in order.
    #[must_use]
    pub fn score<A: DeserializeOwned>(
        mut self,
        score: impl Fn(A, &[f64]) -> f64 + Send + Sync + 'static,
    ) -> Self {
        self.score = Some(Arc::new(move |id, args, returns| Ok(score(read(id, args)?, returns))));
        self
    }

    /// Whether there is a score beside the mean return.
    pub fn has_score(&self) -> bool {
        self.score.is_some()
    }

    /// The score of an experiment with these arguments; none where there is no such score.
    ///
    /// # Errors
    /// If the arguments do not fit.
    pub fn score_of(&self, args: &toml::Table, returns: &[f64]) -> Result<Option<f64>, EnvError> {
        self.score.as_ref().map(|score| score(&self.id, args, returns)).transpose()
    }

    /// The id of the environment inside, which it was renamed from, and all wrappers around that where a run adds some, the
    /// innermost first. None if some of them are no settings.
    pub fn stack(&self, wrappers: &[WrapperConfig]) -> Option<(&str, Vec<WrapperConfig>)> {
        if self.first_id.is_some() && !self.wrap.is_empty() {
            return None;
        }
        let all = self.wrappers.iter().chain(wrappers).cloned().collect();
        Some((self.first_id.as_deref().unwrap_or(&self.id), all))
    }

    /// How many wrappers are part of the registered environment.
    pub fn own_wrappers(&self) -> usize {
        self.wrappers.len()
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

    /// Builds the environment, its monitor and its wrappers.
    ///
    /// # Errors
    /// If the arguments do not fit, the environment cannot be made, or a wrapper does not fit it.
    pub fn make(&self, options: &MakeOptions) -> Result<Simulator, EnvError> {
        let (spec, settings) = (self.clone(), options.clone());
        let copies = move |num_envs| spec.make_vector(&MakeOptions { num_envs, ..settings.clone() });
        Ok(Simulator::over(self.make_vector(options)?, options.autoreset).named(&self.id).with_copies(copies))
    }

    /// The same without what a simulator puts on top: autoreset and checked actions.
    pub(crate) fn make_vector(&self, options: &MakeOptions) -> Result<Box<dyn VectorEnv>, EnvError> {
        if !(options.tasks.is_empty() || self.is_mixture) {
            let message = format!("env.tasks are of the environment `{}`, which this is not", mixture::ID);
            return Err(EnvError::Arguments { id: self.id.clone(), message });
        }
        let limit = options.max_episode_steps.unwrap_or(self.max_episode_steps);
        let mut env = (self.make)(&self.id, options, limit)?;
        let most = self.wrappers.len() + options.wrappers.len();
        if let Some(found) = options.privileged.filter(|after| *after > most) {
            let (expected, found) = ("at most the number of wrappers", format!("{found} of {most}"));
            return Err(EnvError::Setting { field: "privileged", expected, found });
        }
        let keep = |env: Box<dyn VectorEnv>, after: usize| -> Result<Box<dyn VectorEnv>, EnvError> {
            if options.privileged != Some(after) {
                return Ok(env);
            }
            let privileged = Privileged::new(env.info());
            Ok(Box::new(Wrapped::new(env, privileged)?))
        };
        for (depth, wrapper) in self.wrappers.iter().enumerate() {
            env = wrapper.wrap(keep(env, depth)?, depth as u32)?;
        }
        // Wrappers that are no settings count as the environment itself.
        for wrap in &self.wrap {
            env = wrap(env)?;
        }
        for (depth, wrapper) in (self.wrappers.len()..).zip(&options.wrappers) {
            env = wrapper.wrap(keep(env, depth)?, depth as u32)?;
        }
        env = keep(env, most)?;
        for wrap in &options.wrap {
            env = wrap(env)?;
        }
        Ok(env)
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

/// An environment's arguments, from a table.
pub(crate) fn read<A: DeserializeOwned>(id: &str, args: &toml::Table) -> Result<A, EnvError> {
    A::deserialize(args.clone()).map_err(|error| EnvError::Arguments {
        id: id.to_owned(),
        message: error.to_string().trim_end().to_owned(),
    })
}
