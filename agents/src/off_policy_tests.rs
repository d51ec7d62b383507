//! Off-policy evaluation against returns that are known.

use agon_envs::{ActionBatch, EnvSpec, ObsBuffer};
use agon_nn::{Activation, Input, Matrix};

use crate::fitted_q::{FittedQ, FittedQConfig};
use crate::importance::{WeighedEpisode, effective_episodes, weighted_per_decision};
use crate::offline_tests::{Expert, Half, aim, build, identity, random, trial};
use crate::target_policy::TargetPolicy;
use crate::test_support::{Identity, Trial, TrialConfig, mlp, spec_of};
use crate::{Fragment, Learner, Policy, RunInfo};

/// What was cloned of a recorder, as off-policy evaluation asks it.
fn clone_of(spec: &EnvSpec, recorder: &dyn Policy, sampled: bool) -> TargetPolicy {
    let settings = "batch_size = 64\nlearning_rate = 5e-3";
    let sizes = TrialConfig { num_envs: 1, num_shards: 1, total_timesteps: 1500, seed: 9 };
    let mut cloned =
        Trial::recorded(spec, sizes, (recorder, 1500, false), |info| build("bc", settings, info));
    cloned.run();
    TargetPolicy::new(&*cloned.learner.policy().unwrap(), &cloned.info.spaces, sampled).unwrap()
}

/// The first observations of the episodes of a fragment.
fn beginnings(data: &Fragment, info: &RunInfo) -> Input {
    let width = info.spaces.observation.packed_len();
    let ObsBuffer::F32(values) = &data.observations else { unreachable!("numbers") };
    let rows: Vec<f32> = values
        .chunks_exact(width)
        .zip(&data.resets)
        .filter(|(_, begins)| **begins)
        .flat_map(|(row, _)| row)
        .copied()
        .collect();
    Input::Floats(Matrix::from_slice(rows.len() / width, width, &rows).unwrap())
}

#[test]
fn fitted_values_are_the_returns_of_the_policy_and_not_of_the_data() {
    // Random actions are paid 1/4 a step, the expert 1 for ever; who always does 0.5 loses 1/3 + 1/4 on average.
    let loss = -(1.0 / 3.0 + 0.25);
    for (spec, target, expected) in [
        (identity(), clone_of(&identity(), &Expert(0), false), 1.0 / (1.0 - 0.5)),
        (aim(), clone_of(&aim(), &Half, false), loss / (1.0 - 0.5)),
    ] {
        let data = trial("bc", "", &spec, &random(&spec), 4);
        let config =
            FittedQConfig { batch_size: 64, learning_rate: 3e-3, gamma: 0.5, tau: 0.05, gradient_slices: 2 };
        let network = mlp(&[32], Activation::Relu);
        let recorded = data.recorded.unwrap();
        let mut fitted = FittedQ::new(config, Some(&network), &data.info, target).unwrap();
        let error = fitted.update().unwrap_err().to_string();
        assert_eq!(error, "fitted Q evaluation needs recorded steps, got none");
        fitted.remember(&recorded).unwrap();
        (0..2000).for_each(|_| assert!(fitted.update().unwrap().is_finite()));
        let values = fitted.values(&beginnings(&recorded, &data.info)).unwrap();
        let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64;
        assert!((mean - expected).abs() < 0.08, "expected {expected}, got {mean}");
    }
}

#[test]
fn fitted_values_have_the_same_bits_for_any_number_of_threads() {
    let data = trial("bc", "", &identity(), &random(&identity()), 4);
    let recorded = data.recorded.unwrap();
    let fit = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let config = FittedQConfig { batch_size: 32, gradient_slices: 4, ..FittedQConfig::default() };
            let target = clone_of(&identity(), &Expert(0), false);
            let mut fitted = FittedQ::new(config, None, &data.info, target).unwrap();
            fitted.remember(&recorded).unwrap();
            (0..20).for_each(|_| assert!(fitted.update().unwrap().is_finite()));
            fitted.values(&beginnings(&recorded, &data.info)).unwrap()
        })
    };
    assert_eq!(fit(1), fit(4));
}

#[test]
fn weighed_rewards_are_those_of_the_policy() {
    let spec = spec_of(Identity::default()).max_episode_steps(2);
    let data = trial("bc", "", &spec, &random(&spec), 4).recorded.unwrap();
    let ObsBuffer::F32(observations) = &data.observations else { unreachable!("numbers") };
    let ActionBatch::Discrete(actions) = &data.actions else { unreachable!("choices") };
    // An expert is paid 1 in each of both steps; one that does something at random in a step of four is paid 13/16.
    for (target, expected, error) in [
        (clone_of(&identity(), &Expert(0), false), 1.5, 1e-9),
        (clone_of(&identity(), &Expert(4), true), 1.5 * 13.0 / 16.0, 0.08),
    ] {
        let x =
            Input::Floats(Matrix::from_slice(actions.len(), 4, &observations[..4 * actions.len()]).unwrap());
        let probs = target.doing(&x).unwrap();
        let log_ratio = |step: usize| f64::from(4.0 * probs[4 * step + actions[step] as usize]).ln();
        let episodes: Vec<WeighedEpisode> = (0..actions.len() / 2)
            .map(|episode| WeighedEpisode {
                log_ratios: vec![log_ratio(2 * episode), log_ratio(2 * episode + 1)],
                rewards: [0, 1].map(|t| f64::from(data.rewards[2 * episode + t])).to_vec(),
            })
            .collect();
        let all: Vec<&WeighedEpisode> = episodes.iter().collect();
        let found = weighted_per_decision(&all, 0.5).unwrap();
        assert!((found - expected).abs() < error, "expected {expected}, got {found}");
        let effective = effective_episodes(&episodes);
        assert!(effective > 20.0 && effective < episodes.len() as f64, "{effective}");
    }
}

#[test]
fn policies_that_cannot_be_evaluated_are_refused_by_what_they_lack() {
    let data = trial("iql", "", &aim(), &random(&aim()), 4);
    let policy = data.learner.policy().unwrap();
    let error = TargetPolicy::new(&*policy, &data.info.spaces, true).unwrap_err().to_string();
    assert!(error.starts_with("off-policy evaluation needs probabilities of a choice"), "{error}");
    let error = TargetPolicy::new(&Half, &data.info.spaces, false).unwrap_err().to_string();
    assert!(error.contains("a policy that is one network without a memory"), "{error}");
    let target = TargetPolicy::new(&*policy, &data.info.spaces, false).unwrap();
    let refused = |config: FittedQConfig, info: &RunInfo| {
        FittedQ::new(config, None, info, target.clone()).unwrap_err().to_string()
    };
    let config = FittedQConfig { gamma: 1.5, ..FittedQConfig::default() };
    assert_eq!(refused(config, &data.info), "gamma must be between 0 and 1, got 1.5");
    let nothing = RunInfo { recorded: None, ..data.info.clone() };
    assert_eq!(
        refused(FittedQConfig::default(), &nothing),
        "fitted Q evaluation needs recorded data, got none"
    );
}
