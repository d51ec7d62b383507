//! Evaluation of a policy that sees the environment less well than in training.

use agon_agents::EnvironmentLoop;
use agon_agents::policy::ActMode;
use agon_envs::random::SeedSequence;
use agon_envs::spaces::Dtype;
use agon_envs::{ObsBuffer, Pcg64, Space};

use super::{EvalOptions, Evaluation, prepared};
use crate::RunError;
use crate::config::EnvConfig;
use crate::policy::TrainedPolicy;
use crate::setup::Setup;

/// How far the numbers of an observation spread while a policy plays, `[O]`: their standard deviations.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread(Vec<f64>);

/// Plays episodes with a policy's best actions and measures how far what it sees spreads, wrappers included. None where it sees
/// bytes or categories, which have no noise of this kind.
///
/// # Errors
/// As [`super::evaluate_in`].
pub fn spread(
    setup: &Setup,
    trained: &TrainedPolicy,
    env: &EnvConfig,
    options: &EvalOptions,
) -> Result<Option<Spread>, RunError> {
    if !has_numbers_alone(&trained.card().spaces.observation) {
        return Ok(None);
    }
    let (episodes, acting) = (prepared(setup, trained, env, options)?, trained.acting());
    // Of each number: how many, mean, squared distances from it.
    let (mut count, mut means, mut squares) = (0.0_f64, Vec::new(), Vec::new());
    episodes.play(&setup.registry, env, &acting.statistics, &mut || false, &mut |environments| {
        if let ObsBuffer::F32(values) = &environments.now.observations {
            let width = environments.simulator.observation_len();
            means.resize(width, 0.0_f64);
            squares.resize(width, 0.0_f64);
            for row in values.chunks(width) {
                count += 1.0;
                for ((value, mean), square) in row.iter().zip(&mut means).zip(&mut squares) {
                    let apart = f64::from(*value) - *mean;
                    *mean += apart / count;
                    *square += apart * (f64::from(*value) - *mean);
                }
            }
        }
        Ok(environments.tick(&*acting.policy, acting.env_steps, ActMode::Deterministic)?)
    })?;
    let deviations: Vec<f64> = squares.iter().map(|square| (square / count).sqrt()).collect();
    Ok((!deviations.is_empty()).then_some(Spread(deviations)))
}

/// Whether noise can be added to whatever an observation is made of.
fn has_numbers_alone(space: &Space) -> bool {
    match space {
        Space::Box(bounds) => bounds.dtype() == Dtype::F32,
        Space::Dict(parts) => parts.values().all(has_numbers_alone),
        Space::Tuple(parts) => parts.iter().all(has_numbers_alone),
        Space::Discrete { .. } | Space::MultiDiscrete { .. } | Space::MultiBinary { .. } => false,
    }
}

/// Evaluates a policy that sees everything with Gaussian noise: of each number `scale` times its [`Spread`]. The environment
/// itself is undisturbed. Best actions only: `options.stochastic` is not looked at.
///
/// # Errors
/// As [`super::evaluate_in`].
pub fn evaluate_with_noise(
    setup: &Setup,
    trained: &TrainedPolicy,
    env: &EnvConfig,
    options: &EvalOptions,
    spread: &Spread,
    scale: f64,
) -> Result<Evaluation, RunError> {
    let (episodes, acting) = (prepared(setup, trained, env, options)?, trained.acting());
    let mut rng = Pcg64::from_sequence(&SeedSequence::with_spawn_key(episodes.seed, &[3]));
    let played =
        episodes.play(&setup.registry, env, &acting.statistics, &mut || false, &mut |environments| {
            disturb(environments, spread, scale, &mut rng);
            Ok(environments.tick(&*acting.policy, acting.env_steps, ActMode::Deterministic)?)
        })?;
    let stopped = || RunError::Config("the evaluation was stopped".to_owned());
    Ok(played.ok_or_else(stopped)?.evaluation(acting.env_steps))
}

/// Adds noise to what is acted on next.
fn disturb(environments: &mut EnvironmentLoop, Spread(deviations): &Spread, scale: f64, rng: &mut Pcg64) {
    if let ObsBuffer::F32(values) = &mut environments.now.observations {
        for (value, deviation) in values.iter_mut().zip(deviations.iter().cycle()) {
            *value += (scale * deviation * normal(rng)) as f32;
        }
    }
}

/// A number of the standard normal distribution (Box and Muller).
pub(crate) fn normal(rng: &mut Pcg64) -> f64 {
    // Never zero.
    let radius = (-2.0 * (1.0 - rng.random()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_and_bytes_have_no_noise() {
        let seen = |id: &str| {
            let simulator = agon_envs::Registry::builtin().make(id, &Default::default()).unwrap();
            has_numbers_alone(simulator.observation_space())
        };
        let expected = [true, false, false];
        assert_eq!(["CartPole-v1", "RepeatPreviousEasy-v0", "MinAtar/Breakout-v0"].map(seen), expected);
    }

    #[test]
    fn noise_has_mean_zero_and_deviation_one() {
        let mut rng = Pcg64::seed_from(1);
        let numbers: Vec<f64> = (0..100_000).map(|_| normal(&mut rng)).collect();
        let (mean, deviation) = (crate::stats::mean(&numbers), crate::stats::sample_std(&numbers));
        assert!(mean.abs() < 0.02 && (deviation - 1.0).abs() < 0.02, "{mean} {deviation}");
    }
}
