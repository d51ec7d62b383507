//! Evaluation: a run's policy in environments and with seeds that training never saw.

use std::path::Path;

use agon_agents::EnvironmentLoop;
use agon_agents::policy::ActMode;
use agon_envs::random::SeedSequence;
use agon_envs::wrappers::Moments;
use agon_envs::{Pcg64, Registry, check};

use crate::acting::{Acting, fit, set_statistics};
use crate::config::{EnvConfig, RunConfig};
use crate::policy::{self, Which};
use crate::setup::Setup;
pub use crate::sinks::Evaluation;
use crate::{RunError, stats, streams};

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
}

impl Default for EvalOptions {
    fn default() -> Self {
        Self { episodes: 100, seed: None, stochastic: false, best: false }
    }
}

/// Evaluates the policy of a run or of a weight file.
///
/// # Errors
/// If there are no weights, the options are out of range, or the environment fails.
pub fn evaluate(setup: &Setup, path: &Path, options: &EvalOptions) -> Result<Evaluation, RunError> {
    if options.episodes == 0 {
        return Err(RunError::Config("episodes must be at least 1, got 0".to_owned()));
    }
    let which = if options.best { Which::Best } else { Which::Newest };
    let trained = policy::load_which(setup, path, which)?;
    let card = trained.card();
    let seed = options.seed.unwrap_or_else(|| streams::evaluation(card.seed));
    let mut probe = setup.registry.make(&card.env.id, &card.env.options(1))?;
    fit(&mut probe, &card.spaces, &card.statistics)?;
    play(&setup.registry, &card.env, trained.acting(), options.episodes, seed, options.stochastic)
}

/// The evaluation that is due at a step of training.
pub(crate) fn during_training(
    registry: &Registry,
    config: &RunConfig,
    acting: &Acting,
) -> Result<Evaluation, RunError> {
    let seed = streams::evaluation_at(config.seed, acting.env_steps);
    play(registry, &config.env, acting, config.eval.episodes, seed, config.eval.stochastic)
}

/// The mean return of random legal actions.
pub(crate) fn random_play(
    registry: &Registry,
    env: &EnvConfig,
    episodes: usize,
    seed: u64,
) -> Result<f64, RunError> {
    let mut rng = Pcg64::from_sequence(&SeedSequence::with_spawn_key(seed, &[2]));
    let played = run_episodes(registry, env, &[], episodes, seed, &mut |acting| {
        let EnvironmentLoop { simulator, now, actions, .. } = acting;
        check::random_actions(simulator, now, &mut rng, actions)?;
        Ok(simulator.step(actions, now)?)
    })?;
    Ok(stats::mean(&played.returns))
}

/// Plays episodes with a policy, in fresh environments of the given seed.
fn play(
    registry: &Registry,
    env: &EnvConfig,
    acting: &Acting,
    episodes: usize,
    seed: u64,
    stochastic: bool,
) -> Result<Evaluation, RunError> {
    let mode = if stochastic { ActMode::Explore } else { ActMode::Deterministic };
    let played = run_episodes(registry, env, &acting.statistics, episodes, seed, &mut |environments| {
        Ok(environments.tick(&*acting.policy, acting.env_steps, mode)?)
    })?;
    let Played { returns, lengths, metrics, names } = played;
    let of_metric = |(i, name): (usize, String)| {
        let values = metrics.iter().skip(i).step_by(metrics.len() / returns.len());
        (name, stats::mean(&values.copied().collect::<Vec<_>>()))
    };
    Ok(Evaluation {
        env_steps: acting.env_steps,
        episodes: returns.len(),
        mean_return: stats::mean(&returns),
        std_return: if returns.len() > 1 { stats::sample_std(&returns) } else { 0.0 },
        min_return: returns.iter().copied().fold(f64::INFINITY, f64::min),
        max_return: returns.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        mean_length: stats::mean(&lengths),
        env_metrics: names.into_iter().enumerate().map(of_metric).collect(),
        returns,
    })
}

/// Episodes that have been played.
struct Played {
    /// `[episodes]`.
    returns: Vec<f64>,
    /// `[episodes]`.
    lengths: Vec<f64>,
    /// `[episodes, M]`: the environment's own metrics.
    metrics: Vec<f64>,
    /// `[M]`.
    names: Vec<String>,
}

/// Plays `count` episodes, which `tick` acts in.
///
/// Each environment plays a fixed number of them: taking whichever end first would favour short ones.
fn run_episodes(
    registry: &Registry,
    env: &EnvConfig,
    statistics: &[Moments],
    count: usize,
    seed: u64,
    tick: &mut dyn FnMut(&mut EnvironmentLoop) -> Result<(), RunError>,
) -> Result<Played, RunError> {
    let num_envs = count.min(MAX_ENVS);
    let mut simulator = registry.make(&env.id, &env.options(num_envs))?;
    set_statistics(&mut simulator, statistics, true);
    let num_rows = simulator.num_rows();
    let mut quotas: Vec<usize> = (0..num_rows).map(|i| count.saturating_sub(i).div_ceil(num_rows)).collect();
    let mut now = simulator.new_batch();
    simulator.reset(seed, &mut now)?;
    let names = simulator.info().metrics.clone();
    let rng = Pcg64::from_sequence(&SeedSequence::with_spawn_key(seed, &[1]));
    let mut acting = EnvironmentLoop::new(simulator, now, rng);
    let mut played = Played { returns: Vec::new(), lengths: Vec::new(), metrics: Vec::new(), names };
    while played.returns.len() < count {
        tick(&mut acting)?;
        let width = played.names.len();
        for (i, ended) in acting.now.episodes.iter().enumerate() {
            let quota = &mut quotas[ended.row as usize];
            if *quota > 0 {
                *quota -= 1;
                played.returns.push(ended.episode_return);
                played.lengths.push(f64::from(ended.episode_length));
                played.metrics.extend_from_slice(&acting.now.episode_metrics[i * width..(i + 1) * width]);
            }
        }
    }
    Ok(played)
}
