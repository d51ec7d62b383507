use agon_nn::{Activation, OptimizerConfig, SgdConfig};

use super::*;
use crate::a2c::{A2c, A2cConfig};
use crate::test_support::{Aim, Identity, Trial, TrialConfig, assert_threads_do_not_matter, mlp, spec_of};
use crate::{Algorithm, Fragment, Learner, RunInfo};

const ROWS: usize = 8;

/// Plain gradient descent, so that a step is the gradient.
fn config(private: Option<PrivateGradientConfig>) -> A2cConfig {
    A2cConfig {
        num_steps: 10,
        learning_rate: 1.0.into(),
        max_grad_norm: 1e9,
        optimizer: OptimizerConfig::Sgd(SgdConfig::default()),
        gradient_slices: Some(3),
        private,
        ..A2cConfig::default()
    }
}

fn build(private: Option<PrivateGradientConfig>, info: &RunInfo) -> Result<A2c, AgentError> {
    A2c::new(config(private), &mlp(&[8], Activation::Tanh), info)
}

fn trial(private: Option<PrivateGradientConfig>, seed: u64) -> Trial<A2c> {
    let sizes = TrialConfig { num_envs: ROWS, num_shards: 2, total_timesteps: 100_000, seed };
    let spec = spec_of(Identity::default()).max_episode_steps(5);
    Trial::new(&spec, sizes, |info| build(private, info))
}

/// The parameters before and after a step on some fragments.
fn step(private: Option<PrivateGradientConfig>, change: impl Fn(&mut [Fragment])) -> [Vec<f32>; 2] {
    let mut trial = trial(private, 5);
    let weights =
        |learner: &A2c| learner.weights().iter().flat_map(|(_, _, values)| values.to_vec()).collect();
    let before = weights(&trial.learner);
    let mut fragments: Vec<Fragment> = trial.collect();
    change(&mut fragments);
    let report = trial.learner.learn(&fragments, 80).unwrap();
    let clipped = report.metrics[report.metrics.len() - 1];
    assert_eq!(clipped.is_nan(), private.is_none());
    [before, weights(&trial.learner)]
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn without_a_bound_and_noise_the_gradient_is_the_usual_one() {
    let private = PrivateGradientConfig { clip_norm: 1e6, noise_multiplier: 0.0 };
    let [before, usual] = step(None, |_| {});
    let [_, found] = step(Some(private), |_| {});
    assert!(distance(&before, &usual) > 1e-3);
    assert!(distance(&usual, &found) < 1e-5, "{} apart", distance(&usual, &found));
}

#[test]
fn no_trajectory_moves_the_parameters_further_than_its_bound() {
    let change = |fragments: &mut [Fragment]| {
        // Another person in the place of one: other rewards by far, in row 1 of the second shard.
        let rows = fragments[1].shape.num_rows();
        fragments[1].rewards.iter_mut().skip(1).step_by(rows).for_each(|reward| *reward = 1e6);
    };
    for clip_norm in [0.1, 0.5] {
        let private = PrivateGradientConfig { clip_norm, noise_multiplier: 0.0 };
        let ([before, one], [_, other]) = (step(Some(private), |_| {}), step(Some(private), change));
        let (moved, apart) = (distance(&before, &one), distance(&one, &other));
        assert!(moved <= clip_norm * 1.0001, "all of them move it by {moved}");
        let bound = 2.0 * clip_norm / ROWS as f64;
        assert!(apart > 0.2 * bound && apart <= bound * 1.0001, "{apart} of {bound}");
    }
}

#[test]
fn noise_has_the_deviation_that_is_promised() {
    let of =
        |noise_multiplier| step(Some(PrivateGradientConfig { clip_norm: 0.5, noise_multiplier }), |_| {});
    let ([_, without], [_, with]) = (of(0.0), of(20.0));
    let count = without.len() as f64;
    let deviation = distance(&without, &with) / count.sqrt();
    let expected = 20.0 * 0.5 / ROWS as f64;
    // The deviation of so many numbers is known to one part in the root of twice their number.
    assert!((deviation / expected - 1.0).abs() < 4.0 / (2.0 * count).sqrt(), "{deviation} of {expected}");
}

#[test]
fn threads_change_nothing() {
    assert_threads_do_not_matter(|seed| trial(Some(PrivateGradientConfig::default()), seed));
}

#[test]
fn what_would_mix_trajectories_is_refused() {
    let private = Some(PrivateGradientConfig::default());
    let info = trial(private, 1).info;
    let refusal = |config: A2cConfig, info: &RunInfo| {
        A2c::new(config, &mlp(&[8], Activation::Tanh), info).err().map_or_else(String::new, |e| e.to_string())
    };
    let found = refusal(A2cConfig { norm_adv: true, ..config(private) }, &info);
    assert!(found.contains("norm_adv must be false with private"), "{found}");
    let found = refusal(A2cConfig { sequence_length: Some(5), ..config(private) }, &info);
    assert!(found.contains("sequence_length must be that of num_steps"), "{found}");
    let found = refusal(config(private), &RunInfo { num_agents: 2, ..info.clone() });
    assert!(found.contains("private must be none in environments of several agents"), "{found}");
    let negative = PrivateGradientConfig { noise_multiplier: -1.0, ..PrivateGradientConfig::default() };
    let found = refusal(config(Some(negative)), &info);
    assert!(found.contains("private.noise_multiplier must be at least 0, got -1"), "{found}");
    let none = PrivateGradientConfig { clip_norm: 0.0, ..PrivateGradientConfig::default() };
    assert!(refusal(config(Some(none)), &info).contains("private.clip_norm must be above 0"));
}

#[test]
fn numbers_for_actions_are_protected_as_well() {
    let sizes = TrialConfig { num_envs: ROWS, num_shards: 2, total_timesteps: 1000, seed: 2 };
    let spec = spec_of(Aim::default()).max_episode_steps(5);
    let mut trial = Trial::new(&spec, sizes, |info| build(Some(PrivateGradientConfig::default()), info));
    assert_eq!(trial.iterate().unwrap().updates, 1);
}
