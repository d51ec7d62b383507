//! Evaluation: a run's policy in environments and with seeds that training never saw.

mod noise;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use agon_agents::policy::ActMode;
use agon_agents::{EnvironmentLoop, Policy};
use agon_envs::random::SeedSequence;
use agon_envs::wrappers::Moments;
use agon_envs::{Pcg64, Registry, VectorInfo, check};

use crate::acting::{Acting, fit, set_statistics};
use crate::config::{EVALUATION_LIMIT, EnvConfig, MOST_EPISODES, RunConfig};
use crate::policy::{self, TrainedPolicy, Which};
use crate::setup::Setup;
pub use crate::sinks::Evaluation;
use crate::{RunError, stats, streams};
pub(crate) use noise::normal;
pub use noise::{Spread, evaluate_with_noise, spread};

/// Environments that episodes are spread over.
const MAX_ENVS: usize = 64;

/// How to evaluate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvalOptions {
    /// Episodes; at least 1.
    pub episodes: usize,
    /// Seed of environments and sampling; by default one derived from the run's.
    pub seed: Option<u64>,
    /// Whether the policy acts as in training instead of taking its best action.
    pub stochastic: bool,
    /// Whether to take the best checkpoint instead of the newest: that of the best evaluation if there were any in
    /// training, else that of the highest mean return.
    pub best: bool,
    /// Steps after which an episode is cut where the environment has no time limit.
    pub max_episode_steps: u32,
}

impl Default for EvalOptions {
    fn default() -> Self {
        Self {
            episodes: 100,
            seed: None,
            stochastic: false,
            best: false,
            max_episode_steps: EVALUATION_LIMIT,
        }
    }
}

/// Evaluates the policy of a run or of a weight file.
///
/// # Errors
/// If there are no weights, the options are out of range, or the environment fails.
pub fn evaluate(setup: &Setup, path: &Path, options: &EvalOptions) -> Result<Evaluation, RunError> {
    let which = if options.best { Which::Best } else { Which::Newest };
    let trained = policy::load_which(setup, path, which)?;
    evaluate_in(setup, &trained, &trained.card().env, options)
}

/// Evaluates a policy in an environment that may have other settings than the one it was trained in. Which of a run's weights
/// they are has been decided already: `options.best` is not looked at.
///
/// # Errors
/// As [`evaluate`], and if the environment shows or takes something else than the policy's.
pub fn evaluate_in(
    setup: &Setup,
    trained: &TrainedPolicy,
    env: &EnvConfig,
    options: &EvalOptions,
) -> Result<Evaluation, RunError> {
    let played = evaluate_unless(setup, trained, env, options, &mut || false)?;
    played.ok_or_else(was_stopped)
}

/// As [`evaluate_in`], ended early if `gives_up` says so, which is asked between steps: nothing comes of it then.
///
/// # Errors
/// As [`evaluate_in`].
pub fn evaluate_unless(
    setup: &Setup,
    trained: &TrainedPolicy,
    env: &EnvConfig,
    options: &EvalOptions,
    gives_up: &mut dyn FnMut() -> bool,
) -> Result<Option<Evaluation>, RunError> {
    let episodes = prepared(setup, trained, env, options)?;
    play(&setup.registry, env, trained.acting(), &episodes, options.stochastic, gives_up)
}

/// The episodes of an evaluation, in an environment that shows and takes what the policy's does.
fn prepared(
    setup: &Setup,
    trained: &TrainedPolicy,
    env: &EnvConfig,
    options: &EvalOptions,
) -> Result<Episodes, RunError> {
    let card = trained.card();
    let episodes = Episodes::of(options, card.seed)?;
    let mut probe = setup.registry.make(&env.id, &env.options(1))?;
    fit(&mut probe, &card.spaces, &card.statistics)?;
    Ok(episodes)
}

/// Evaluates any policy, such as one of another program, in an environment whose observations it takes as they are. By default
/// the seed is that of a run with seed 0.
///
/// # Errors
/// As [`evaluate_in`].
pub fn evaluate_policy(
    setup: &Setup,
    policy: Arc<dyn Policy>,
    env: &EnvConfig,
    options: &EvalOptions,
) -> Result<Evaluation, RunError> {
    let episodes = Episodes::of(options, 0)?;
    let acting = Acting::of(policy, Vec::new(), 0);
    let played = play(&setup.registry, env, &acting, &episodes, options.stochastic, &mut || false)?;
    played.ok_or_else(was_stopped)
}

/// Of an evaluation that nobody stops.
fn was_stopped() -> RunError {
    RunError::Config("the evaluation was stopped".to_owned())
}

/// The evaluation that is due at a step of training; none if it was told to stop.
pub(crate) fn during_training(
    registry: &Registry,
    config: &RunConfig,
    acting: &Acting,
    is_stopped: &mut dyn FnMut() -> bool,
) -> Result<Option<Evaluation>, RunError> {
    let RunConfig { eval, .. } = config;
    let seed = streams::evaluation_at(config.seed, acting.env_steps);
    let episodes = Episodes { count: eval.episodes, seed, max_steps: eval.max_episode_steps };
    play(registry, &config.env, acting, &episodes, eval.stochastic, is_stopped)
}

/// The mean return of random legal actions.
pub(crate) fn random_play(
    registry: &Registry,
    env: &EnvConfig,
    episodes: usize,
    seed: u64,
) -> Result<f64, RunError> {
    let mut rng = Pcg64::from_sequence(&SeedSequence::with_spawn_key(seed, &[2]));
    let episodes = Episodes { count: episodes, seed, max_steps: EVALUATION_LIMIT };
    let played = episodes.play(registry, env, &[], &mut || false, &mut |acting| {
        let EnvironmentLoop { simulator, now, actions, .. } = acting;
        check::random_actions(simulator, now, &mut rng, actions)?;
        Ok(simulator.step(actions, now)?)
    })?;
    Ok(played.map_or(f64::NAN, |played| stats::mean(&played.returns())))
}

/// Plays episodes with a policy, in fresh environments.
fn play(
    registry: &Registry,
    env: &EnvConfig,
    acting: &Acting,
    episodes: &Episodes,
    stochastic: bool,
    is_stopped: &mut dyn FnMut() -> bool,
) -> Result<Option<Evaluation>, RunError> {
    let mode = if stochastic { ActMode::Explore } else { ActMode::Deterministic };
    let played = episodes.play(registry, env, &acting.statistics, is_stopped, &mut |environments| {
        Ok(environments.tick(&*acting.policy, acting.env_steps, mode)?)
    })?;
    Ok(played.map(|played| played.evaluation(acting.env_steps)))
}

/// Which episodes are played.
struct Episodes {
    /// How many, of environments.
    count: usize,
    seed: u64,
    /// Steps after which one is cut that has no other limit.
    max_steps: u32,
}

/// What one agent did in one episode of its environment.
#[derive(Clone, Copy, Default)]
struct Part {
    episode_return: f64,
    length: u32,
}

/// Episodes that have been played.
struct Played {
    /// `[episodes, agents]`.
    parts: Vec<Part>,
    /// `[episodes, agents, M]`: the environment's own metrics.
    metrics: Vec<f64>,
    /// `[M]`.
    names: Vec<String>,
    /// `[agents]`, or empty.
    teams: Vec<String>,
    agents: usize,
    /// The evaluation's own limit, where there is no other.
    limit: Option<u32>,
}

impl Played {
    /// `[episodes]`: means over agents.
    fn returns(&self) -> Vec<f64> {
        let mean =
            |parts: &[Part]| parts.iter().map(|part| part.episode_return).sum::<f64>() / self.agents as f64;
        self.parts.chunks(self.agents).map(mean).collect()
    }

    /// `[episodes]`: of the agent that went on longest.
    fn lengths(&self) -> Vec<f64> {
        let longest = |parts: &[Part]| f64::from(parts.iter().map(|part| part.length).max().unwrap_or(0));
        self.parts.chunks(self.agents).map(longest).collect()
    }

    /// The mean return of the agents that fit, added up in each episode.
    fn sum_of(&self, fits: impl Fn(usize) -> bool) -> f64 {
        let of_agents = self.parts.iter().enumerate().filter(|(i, _)| fits(i % self.agents));
        let episodes = (self.parts.len() / self.agents) as f64;
        of_agents.map(|(_, part)| part.episode_return).sum::<f64>() / episodes
    }

    fn teams(&self) -> BTreeMap<String, f64> {
        let team_of = |agent: usize| self.teams.get(agent).map_or("all", String::as_str);
        let agents = if self.agents > 1 { 0..self.agents } else { 0..0 };
        agents
            .map(|agent| (team_of(agent).to_owned(), self.sum_of(|other| team_of(other) == team_of(agent))))
            .collect()
    }

    fn evaluation(&self, env_steps: u64) -> Evaluation {
        let (returns, lengths) = (self.returns(), self.lengths());
        let of_metric = |(i, name): (usize, &String)| {
            let values: Vec<f64> = self.metrics.iter().skip(i).step_by(self.names.len()).copied().collect();
            (name.clone(), stats::mean_of_known(&values))
        };
        let agents = if self.agents > 1 { 0..self.agents } else { 0..0 };
        Evaluation {
            env_steps,
            episodes: returns.len(),
            cut: lengths.iter().filter(|&&length| Some(length as u32) == self.limit).count(),
            mean_return: stats::mean(&returns),
            std_return: if returns.len() > 1 { stats::sample_std(&returns) } else { 0.0 },
            min_return: returns.iter().copied().fold(f64::INFINITY, f64::min),
            max_return: returns.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            mean_length: stats::mean(&lengths),
            agents: agents.map(|agent| self.sum_of(|other| other == agent)).collect(),
            teams: self.teams(),
            env_metrics: self.names.iter().enumerate().map(of_metric).collect(),
            returns,
        }
    }
}

impl Episodes {
    /// Those of an evaluation of a policy that was trained with a seed.
    fn of(options: &EvalOptions, trained_with: u64) -> Result<Self, RunError> {
        let EvalOptions { episodes: count, seed, max_episode_steps: max_steps, .. } = *options;
        if !(1..=MOST_EPISODES).contains(&count) {
            return Err(RunError::Config(format!("episodes must be from 1 to {MOST_EPISODES}, got {count}")));
        }
        Ok(Self { count, seed: seed.unwrap_or_else(|| streams::evaluation(trained_with)), max_steps })
    }

    /// Plays them, acted in by `tick`; none if told to stop.
    ///
    /// Each environment plays a fixed number of them: taking whichever end first would favour short ones.
    fn play(
        &self,
        registry: &Registry,
        env: &EnvConfig,
        statistics: &[Moments],
        is_stopped: &mut dyn FnMut() -> bool,
        tick: &mut dyn FnMut(&mut EnvironmentLoop) -> Result<(), RunError>,
    ) -> Result<Option<Played>, RunError> {
        let Self { count, seed, max_steps } = *self;
        let num_envs = count.min(MAX_ENVS);
        let spec = registry.get(&env.id)?;
        let (options, endless) = env.options_with_limit(num_envs, &spec, max_steps);
        let mut simulator = spec.make(&options)?;
        set_statistics(&mut simulator, statistics, true);
        let mut now = simulator.new_batch();
        simulator.reset(seed, &mut now)?;
        let VectorInfo { metrics: names, teams, num_agents: agents, .. } = simulator.info().clone();
        let rng = Pcg64::from_sequence(&SeedSequence::with_spawn_key(seed, &[1]));
        let width = names.len();
        // Of the episode under way in each environment: who has ended, and their metrics.
        let mut parts: Vec<Option<Part>> = vec![None; num_envs * agents];
        let mut metrics = vec![0.0; parts.len() * width];
        let mut quotas: Vec<usize> =
            (0..num_envs).map(|env| count.saturating_sub(env).div_ceil(num_envs)).collect();
        let limit = endless.then_some(max_steps);
        let mut played = Played { parts: Vec::new(), metrics: Vec::new(), names, teams, agents, limit };
        let mut acting = EnvironmentLoop::new(simulator, now, rng);
        while played.parts.len() < count * agents {
            if is_stopped() {
                return Ok(None);
            }
            tick(&mut acting)?;
            for (i, ended) in acting.now.episodes.iter().enumerate() {
                let row = ended.row as usize;
                parts[row] =
                    Some(Part { episode_return: ended.episode_return, length: ended.episode_length });
                let own = &acting.now.episode_metrics[i * width..(i + 1) * width];
                metrics[row * width..(row + 1) * width].copy_from_slice(own);
                let env = row / agents;
                let rows = env * agents..(env + 1) * agents;
                // An agent that ended waits for its environment's others.
                let Some(whole) = parts[rows.clone()].iter().copied().collect::<Option<Vec<Part>>>() else {
                    continue;
                };
                parts[rows.clone()].fill(None);
                if quotas[env] > 0 {
                    quotas[env] -= 1;
                    played.parts.extend(whole);
                    played.metrics.extend_from_slice(&metrics[rows.start * width..rows.end * width]);
                }
            }
        }
        Ok(Some(played))
    }
}
