//! Learning where something must be remembered, values by hand, parity, settings.

use agon_envs::EnvSpec;
use agon_nn::OptimizerConfig;

use super::loss::{rescaled, unscaled};
use super::*;
use crate::Algorithm;
use crate::replay::Sampling;
use crate::test_support::{
    Bandit, Identity, Recall, Trial, TrialConfig, Wheel, assert_continues_after_restore,
    assert_refuses_damage, assert_stops_at_a_lost_reward, assert_threads_do_not_matter, info_of_four_numbers,
    mlp, spec_of,
};

fn small() -> R2d2Config {
    R2d2Config {
        buffer_size: 2000,
        learning_starts: 100,
        num_steps: 4,
        burn_in: 4,
        learn_steps: 8,
        gradient_steps: 2,
        batch_size: 16,
        learning_rate: 5e-3.into(),
        gamma: 0.9,
        n_step: 2,
        target_update_period: 20,
        optimizer: OptimizerConfig::default(),
        exploration_fraction: 0.5,
        ..R2d2Config::default()
    }
}

fn network() -> ModelConfig {
    let memory = MemoryConfig::Gru { hidden: 16, init: agon_nn::RecurrentInit::default() };
    ModelConfig { memory, ..mlp(&[16], Activation::Tanh) }
}

fn trial(spec: &EnvSpec, config: &R2d2Config, iterations: u64, seed: u64) -> Trial<R2d2> {
    let total_timesteps = iterations * 4 * config.num_steps as u64;
    let sizes = TrialConfig { num_envs: 4, num_shards: 2, total_timesteps, seed };
    Trial::new(spec, sizes, |info| R2d2::new(config.clone(), &network(), info))
}

#[test]
fn values_are_scaled_and_back() {
    assert!((rescaled(3.0, 1e-3) - 1.003).abs() < 1e-6 && rescaled(-3.0, 1e-3) == -rescaled(3.0, 1e-3));
    for x in [-1e4, -30.0, -1.0, -0.01, 0.0, 0.5, 2.0, 100.0, 1e5_f32] {
        let back = unscaled(rescaled(x, 1e-3), 1e-3);
        assert!((back - x).abs() <= 1e-3 * x.abs() + 1e-5, "{x} came back as {back}");
    }
}

#[test]
fn what_was_seen_before_is_recalled() {
    for (seed, replay, rescale) in
        [(0, R2d2Config::default().replay, Some(1e-3)), (1, Sampling::Uniform, None)]
    {
        let config = R2d2Config { replay, rescale, ..small() };
        let mut trial = trial(&spec_of(Recall::default()), &config, 600, seed);
        trial.run();
        let accuracy = 4.0 * trial.evaluate(400);
        assert!(accuracy >= 0.95, "seed {seed}: {accuracy}");
    }
}

#[test]
fn truncation_bootstraps_from_the_final_observation() {
    // Every second step is cut; values double from state to state, 1.07 to 8.53.
    let wheel = Wheel { rewards: [0.0, 0.0, 0.0, 8.0], state: 0 };
    let expected = wheel.values(0.5).iter().sum::<f64>() / 4.0;
    for rescale in [Some(1e-3), None] {
        let config = R2d2Config { gamma: 0.5, rescale, ..small() };
        let mut trial = trial(&spec_of(wheel.clone()).max_episode_steps(2), &config, 600, 1);
        let mut q_values = Vec::new();
        while trial.env_steps < trial.info.total_timesteps {
            q_values.push(trial.iterate().unwrap().metrics[3]);
        }
        let mean = q_values[q_values.len() - 50..].iter().sum::<f64>() / 50.0;
        // On the scale that is learned in, and over the states as they come.
        let scaled = |v: f64| rescale.map_or(v, |eps| f64::from(rescaled(v as f32, eps as f32)));
        let want = wheel.values(0.5).map(scaled).iter().sum::<f64>() / 4.0;
        assert!((mean - want).abs() <= 0.1 * want, "expected {want} ({expected}), got {mean}");
    }
}

#[test]
fn threads_do_not_change_the_result() {
    let spec = spec_of(Identity::default()).max_episode_steps(5);
    let config = R2d2Config { learning_starts: 10, gradient_slices: 3, ..small() };
    assert_threads_do_not_matter(|seed| trial(&spec, &config, 10, seed));
}

#[test]
fn a_restored_learner_continues_bit_for_bit() {
    let spec = spec_of(Identity::default()).max_episode_steps(5);
    let config = R2d2Config { buffer_size: 200, learning_starts: 10, target_update_period: 3, ..small() };
    for config in [R2d2Config { replay: Sampling::Uniform, ..config.clone() }, config] {
        let mut trial = trial(&spec, &config, 40, 1);
        (0..5).for_each(|_| drop(trial.iterate().unwrap()));
        assert_continues_after_restore(trial, |info| R2d2::new(config.clone(), &network(), info));
    }
}

#[test]
fn damaged_states_are_refused() {
    let mut trial = trial(&spec_of(Bandit), &small(), 20, 0);
    trial.run();
    assert_refuses_damage(&mut trial.learner);
}

#[test]
fn a_lost_reward_stops_learning_with_an_error() {
    // One fragment is a sequence, so that what is lost is drawn at once.
    let config = R2d2Config { learning_starts: 0, num_steps: 8, burn_in: 0, batch_size: 64, ..small() };
    assert_stops_at_a_lost_reward(|| trial(&spec_of(Bandit), &config, 1, 0));
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    type Case = (fn(&mut R2d2Config), &'static str);
    let cases: [Case; 7] = [
        (|c| c.num_steps = 0, "num_steps must be at least 1, got 0"),
        (|c| c.burn_in = 3, "burn_in + learn_steps must be a multiple of num_steps = 4, got 11"),
        (
            |c| c.buffer_size = 50,
            "buffer_size must be at least 2 sequences of each agent of each environment = 96, got 50",
        ),
        (|c| c.target_update_period = 0, "target_update_period must be at least 1, got 0"),
        (|c| c.rescale = Some(0.0), "rescale must be above 0, got 0"),
        (|c| c.priority_eta = 2.0, "priority_eta must be between 0 and 1, got 2"),
        (|c| c.gamma = -0.5, "gamma must be between 0 and 1, got -0.5"),
    ];
    for (spoil, expected) in cases {
        let mut config = small();
        spoil(&mut config);
        assert_eq!(config.validate(&info_of_four_numbers(4)).unwrap_err().to_string(), expected);
    }
    let refusal = |network| R2d2::new(small(), &network, &info_of_four_numbers(4)).err().unwrap().to_string();
    assert_eq!(refusal(mlp(&[16], Activation::Tanh)), "r2d2 needs a network with a memory, got none");
    let mut noisy = network();
    noisy.head.noisy = true;
    assert_eq!(refusal(noisy), "r2d2 needs network.head.noisy = false, got true");
}
