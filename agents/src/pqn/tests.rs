//! Learning on tasks whose answer is known; returns by hand; masks; parity; settings.

use agon_envs::spaces::Dtype;
use agon_envs::{ActionSpec, EnvSpec};

use super::*;
use crate::FragmentShape;
use crate::test_support::{
    Bandit, BrightHalf, FOUR_STATES, FourSteps, Identity, Trial, TrialConfig, Wheel,
    assert_continues_after_restore, assert_refuses_damage, assert_stops_at_a_lost_reward,
    assert_threads_do_not_matter, mlp, small_cnn, spec_of,
};

const GAMMA: f64 = 0.9;

fn normalised(hidden: &[usize]) -> ModelConfig {
    let encoder =
        EncoderConfig::Mlp { hidden: hidden.to_vec(), activation: Activation::Relu, layer_norm: true };
    ModelConfig { encoder, ..ModelConfig::default() }
}

fn small() -> PqnConfig {
    PqnConfig {
        num_steps: 16,
        learning_rate: 1e-2,
        gamma: GAMMA,
        network: normalised(&[16]),
        ..PqnConfig::default()
    }
}

fn trial(spec: &EnvSpec, config: &PqnConfig, iterations: usize, seed: u64) -> Trial<Pqn> {
    let total_timesteps = (iterations * 8 * config.num_steps) as u64;
    let sizes = TrialConfig { num_envs: 8, num_shards: 2, total_timesteps, seed };
    Trial::new(spec, sizes, |info| Pqn::new(config.clone(), info))
}

/// The action values of the four one-hot states, `[4, A]`.
fn q_values(pqn: &Pqn) -> Vec<f32> {
    let packed = PackedModel::new(&pqn.model, &pqn.params).unwrap();
    let mut out = vec![0.0; 4 * pqn.model.outputs(0)];
    let mut scratch = ModelScratch::default();
    let memory = &mut MemoryState::none();
    pqn.model.infer(&packed, &FOUR_STATES, 4, memory, &mut scratch, &mut [&mut out[..]]).unwrap();
    out
}

#[test]
fn the_better_arm_of_a_bandit_is_learned() {
    // A single observation has no deviation that a LayerNorm could hide.
    for seed in 0..3 {
        let mut trial = trial(&spec_of(Bandit), &small(), 20, seed);
        trial.run();
        assert_eq!(trial.evaluate(20), 1.0, "seed {seed}");
    }
}

#[test]
fn identity_is_learned() {
    for seed in 0..3 {
        let spec = spec_of(Identity::default()).max_episode_steps(8);
        let mut trial = trial(&spec, &PqnConfig { gamma: 0.5, ..small() }, 40, seed);
        trial.run();
        let accuracy = trial.evaluate(200);
        assert!(accuracy >= 0.95, "seed {seed}: {accuracy}");
    }
}

#[test]
fn an_image_of_bytes_is_learned_from() {
    let mut network = small_cnn();
    if let EncoderConfig::Cnn { layer_norm, .. } = &mut network.encoder {
        *layer_norm = true;
    }
    let config = PqnConfig { network, learning_rate: 3e-3, gamma: 0.5, ..small() };
    for seed in 0..3 {
        let mut trial = trial(&spec_of(BrightHalf::default()).max_episode_steps(8), &config, 30, seed);
        trial.run();
        assert_eq!(trial.evaluate(20), 1.0, "seed {seed}");
    }
}

fn assert_values(wheel: &Wheel, gamma: f64, max_episode_steps: u32, seed: u64) {
    let expected = wheel.values(gamma);
    let spec = spec_of(wheel.clone()).max_episode_steps(max_episode_steps);
    let mut trial = trial(&spec, &PqnConfig { gamma, ..small() }, 120, seed);
    trial.run();
    for (state, got) in q_values(&trial.learner).chunks_exact(2).enumerate() {
        for &got in got {
            let want = expected[state];
            let close = (f64::from(got) - want).abs() <= 0.1 * want;
            assert!(close, "seed {seed}: {state}: expected {want}, got {got}");
        }
    }
}

#[test]
fn truncation_bootstraps_so_that_a_constant_reward_is_worth_one_over_one_minus_gamma() {
    let wheel = Wheel { rewards: [1.0; 4], state: 0 };
    for seed in 0..3 {
        assert_values(&wheel, GAMMA, 3, seed);
    }
}

#[test]
fn truncation_bootstraps_from_the_final_observation_and_not_from_the_next_episode() {
    let wheel = Wheel { rewards: [0.0, 0.0, 0.0, 8.0], state: 0 };
    for seed in 0..3 {
        assert_values(&wheel, 0.5, 1, seed);
    }
}

#[test]
fn termination_does_not_bootstrap() {
    let expected = 1.0 + GAMMA + GAMMA.powi(2) + GAMMA.powi(3);
    for seed in 0..3 {
        let mut trial = trial(&spec_of(FourSteps::default()), &small(), 100, seed);
        trial.run();
        for got in &q_values(&trial.learner)[..2] {
            let close = (f64::from(*got) - expected).abs() <= 0.1 * expected;
            assert!(close, "seed {seed}: expected {expected}, got {got}");
        }
    }
}

/// A learner whose network gives the same three action values everywhere, and a fragment of one environment.
fn constant(values: [f32; 3], num_steps: usize) -> (Pqn, Fragment) {
    let network = mlp(&[], Activation::Relu);
    let config = PqnConfig { num_steps, num_minibatches: 1, gamma: 0.5, q_lambda: 0.5, network, ..small() };
    let info = RunInfo {
        observation_space: agon_envs::Space::box_f32(&[0.0; 2], &[1.0; 2]).unwrap(),
        frames: None,
        action_spec: ActionSpec::Discrete { nvec: vec![3] },
        mask_len: 3,
        num_envs: 1,
        num_shards: 1,
        total_timesteps: 100,
        seed: 0,
    };
    let mut pqn = Pqn::new(config, &info).unwrap();
    let bias = pqn.params.layout().find("q.0.bias").unwrap().range.range();
    pqn.params.as_mut_slice().fill(0.0);
    pqn.params.as_mut_slice()[bias].copy_from_slice(&values);
    let fragment = Fragment::new(&FragmentShape {
        num_steps,
        num_envs: 1,
        observation_len: 2,
        dtype: Dtype::F32,
        action_spec: info.action_spec.clone(),
        policy_data_width: 0,
        policy_state_len: 0,
        mask_len: 3,
    });
    (pqn, fragment)
}

#[test]
fn returns_are_those_computed_by_hand() {
    let (mut pqn, mut fragment) = constant([1.0, 8.0, 2.0], 4);
    fragment.rewards.copy_from_slice(&[1.0, 2.0, 3.0, 4.0]);
    // The best action may not be taken after the second step.
    fragment.action_masks[2 * 3 + 1] = false;
    pqn.gather(std::slice::from_ref(&fragment)).unwrap();
    // 4 + 8/2 = 8; 3 + (8 + 8)/4 = 7; 2 + (2 + 7)/4 = 4.25; 1 + (8 + 4.25)/4 = 4.0625.
    assert_eq!(pqn.rollout.returns, [4.0625, 4.25, 7.0, 8.0]);
    // Truncation at the second step: 2 + 8/2, since a final observation has no mask; then 1 + (8 + 6)/4.
    fragment.truncated[1] = true;
    fragment.final_rows.push(1);
    fragment.final_observations.resize(2);
    pqn.gather(std::slice::from_ref(&fragment)).unwrap();
    assert_eq!(pqn.rollout.returns, [4.5, 6.0, 7.0, 8.0]);
    // Termination: 2; then 1 + (8 + 2)/4.
    (fragment.truncated[1], fragment.terminated[1]) = (false, true);
    pqn.gather(std::slice::from_ref(&fragment)).unwrap();
    assert_eq!(pqn.rollout.returns, [3.5, 2.0, 7.0, 8.0]);
}

#[test]
fn the_loss_is_the_squared_error_of_the_action_that_was_taken() {
    let (mut pqn, mut fragment) = constant([1.0, 8.0, 2.0], 1);
    fragment.terminated[0] = true;
    fragment.rewards[0] = 3.0;
    pqn.config.update_epochs = 1;
    let report = pqn.learn(&[fragment], 1).unwrap();
    assert_eq!((report.updates, report.metrics[2], report.metrics[3]), (1, 4.0, 1.0));
    let bias = pqn.params.get("q.0.bias").unwrap();
    assert!(bias[0] > 1.0 && bias[1..] == [8.0, 2.0], "{bias:?}");
}

#[test]
fn rows_that_took_no_part_are_not_learned_from() {
    let (mut pqn, mut fragment) = constant([1.0, 8.0, 2.0], 4);
    fragment.active.copy_from_slice(&[true, true, false, false]);
    pqn.gather(std::slice::from_ref(&fragment)).unwrap();
    assert_eq!(pqn.rollout.rows, [0, 1]);
    fragment.active.fill(false);
    let before = pqn.params.as_slice().to_vec();
    assert_eq!(pqn.learn(&[fragment], 4).unwrap().updates, 0);
    assert_eq!(pqn.params.as_slice(), before);
}

#[test]
fn threads_do_not_matter() {
    let config = PqnConfig { gradient_slices: 3, ..small() };
    assert_threads_do_not_matter(|seed| trial(&spec_of(Identity::default()), &config, 10, seed));
}

#[test]
fn a_restored_learner_continues_bit_for_bit() {
    let spec = spec_of(Identity::default()).max_episode_steps(8);
    assert_continues_after_restore(trial(&spec, &small(), 10, 1), |info| Pqn::new(small(), info));
}

#[test]
fn damage_and_lost_rewards_are_refused() {
    assert_refuses_damage(&mut trial(&spec_of(Bandit), &small(), 4, 0).learner);
    assert_stops_at_a_lost_reward(|| trial(&spec_of(Identity::default()), &small(), 4, 0));
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let lstm = agon_nn::MemoryConfig::Lstm { hidden: 4, init: Default::default() };
    let network = ModelConfig { memory: lstm, ..ModelConfig::default() };
    for (config, message) in [
        (PqnConfig { num_steps: 0, ..small() }, "num_steps must be at least 1, got 0"),
        (PqnConfig { q_lambda: 1.5, ..small() }, "q_lambda must be between 0 and 1, got 1.5"),
        (PqnConfig { learning_rate: 0.0, ..small() }, "learning_rate must be above 0, got 0"),
        (
            PqnConfig { num_minibatches: 3, ..small() },
            "num_minibatches must be a divisor of num_envs * num_steps = 128, got 3",
        ),
        (PqnConfig { network, ..small() }, "pqn needs network.memory.kind = \"none\", got Lstm"),
    ] {
        let error = config.validate(8).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
}
