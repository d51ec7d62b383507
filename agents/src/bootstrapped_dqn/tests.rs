//! Learning on tasks whose answer is known, deep exploration, masks, parity, settings.

use agon_envs::{EnvSpec, MakeOptions, Pcg64, Registry};
use agon_nn::Sequential;

use super::*;
use crate::policy::{ActInput, ActMode, ActOutput, Actor};
use crate::test_support::{
    Bandit, FOUR_STATES, FourSteps, Identity, Trial, TrialConfig, Wheel, assert_continues_after_restore,
    assert_refuses_damage, assert_stops_at_a_lost_reward, assert_threads_do_not_matter, info_of_four_numbers,
    mlp, spec_of,
};
use crate::{Algorithm, Learner};

fn small() -> BootstrappedDqnConfig {
    BootstrappedDqnConfig {
        buffer_size: 1000,
        learning_starts: 100,
        train_frequency: 8,
        gradient_steps: 2,
        batch_size: 32,
        learning_rate: 1e-2.into(),
        gamma: 0.9,
        target_network_frequency: 10,
        ensemble: 5,
        prior_scale: 1.0,
        ..BootstrappedDqnConfig::default()
    }
}

fn trial(
    spec: &EnvSpec,
    config: &BootstrappedDqnConfig,
    iterations: u64,
    seed: u64,
) -> Trial<BootstrappedDqn> {
    trial_of(spec, config, &mlp(&[16], Activation::Tanh), iterations, seed)
}

fn trial_of(
    spec: &EnvSpec,
    config: &BootstrappedDqnConfig,
    network: &ModelConfig,
    iterations: u64,
    seed: u64,
) -> Trial<BootstrappedDqn> {
    let total_timesteps = iterations * config.train_frequency as u64;
    let sizes = TrialConfig { num_envs: 4, num_shards: 2, total_timesteps, seed };
    Trial::new(spec, sizes, |info| BootstrappedDqn::new(config.clone(), network, info))
}

/// Each member's action values of the four one-hot states, `[K][4, A]`.
fn q_values(learner: &BootstrappedDqn) -> Vec<Vec<f32>> {
    let learner = &learner.algorithm;
    let packed = learner.ensemble.pack(&learner.online.params).unwrap();
    let values = |packed: &Packed, network: &Sequential| {
        let mut out = vec![0.0; 4 * learner.num_actions];
        network.infer(packed, &FOUR_STATES, 4, &mut Scratch::default(), &mut out).unwrap();
        out
    };
    let members = learner.ensemble.members.iter().zip(packed.iter().zip(&learner.prior.packed));
    members
        .map(|(network, (packed, prior))| {
            let priors = values(prior, network);
            values(packed, network).iter().zip(priors).map(|(q, p)| q + learner.prior.scale * p).collect()
        })
        .collect()
}

#[test]
fn the_better_arm_of_a_bandit_is_learned() {
    for seed in 0..3 {
        let mut trial = trial(&spec_of(Bandit), &small(), 100, seed);
        trial.run();
        assert_eq!(trial.evaluate(20), 1.0, "seed {seed}");
    }
}

#[test]
fn identity_is_learned() {
    for seed in 0..3 {
        let spec = spec_of(Identity::default()).max_episode_steps(8);
        let config = BootstrappedDqnConfig { gamma: 0.5, ensemble: 10, prior_scale: 3.0, ..small() };
        let mut trial = trial(&spec, &config, 400, seed);
        trial.run();
        let accuracy = trial.evaluate(200);
        assert!(accuracy >= 0.95, "seed {seed}: {accuracy}");
    }
}

#[test]
fn every_member_bootstraps_where_an_episode_is_cut_and_not_where_it_ends() {
    let wheel = Wheel { rewards: [0.0, 0.0, 0.0, 8.0], state: 0 };
    let expected = wheel.values(0.5);
    let config = BootstrappedDqnConfig { gamma: 0.5, ..small() };
    let mut cut = trial(&spec_of(wheel).max_episode_steps(1), &config, 500, 1);
    cut.run();
    for member in q_values(&cut.learner) {
        for (state, got) in member.chunks_exact(2).enumerate() {
            // The greedy action: what a member never does it may misjudge.
            let (got, want) = (f64::from(got[0].max(got[1])), expected[state]);
            assert!((got - want).abs() <= 0.1 * want + 0.1, "{state}: expected {want}, got {got}");
        }
    }
    let mut ends = trial(&spec_of(FourSteps::default()), &small(), 300, 2);
    ends.run();
    let expected = 1.0 + 0.9 + 0.9_f64.powi(2) + 0.9_f64.powi(3);
    for member in q_values(&ends.learner) {
        let got = f64::from(member[0].max(member[1]));
        assert!((got - expected).abs() <= 0.1 * expected, "{got}");
    }
}

#[test]
fn an_episode_follows_one_member() {
    let learner = trial(&spec_of(Identity::default()), &small(), 1, 0).learner;
    let policy = learner.policy().unwrap();
    let observations = agon_envs::ObsBuffer::F32(FOUR_STATES.repeat(25));
    let mut actor = Actor::new(Pcg64::seed_from(1));
    actor.state = vec![0.0; 100];
    let mut act = |resets: &[bool]| {
        let input = ActInput {
            observations: &observations,
            num_rows: 100,
            action_masks: &[],
            resets,
            rewards: &[],
            tasks: &[],
            env_steps: 0,
            mode: ActMode::Explore,
        };
        let mut actions = agon_envs::ActionBatch::Discrete(vec![9; 100]);
        policy.act(&input, &mut actor, ActOutput { actions: &mut actions, policy_data: &mut [] }).unwrap();
        (actor.state.clone(), actions)
    };
    let (members, actions) = act(&[true; 100]);
    assert!((0..5).all(|k| members.contains(&(k as f32))), "{members:?}");
    assert_eq!(act(&[false; 100]), (members.clone(), actions), "the same member chooses the same");
    assert_ne!(act(&[true; 100]).0, members);
    let values = q_values(&learner);
    assert!(values[0] != values[1], "members differ");
}

#[test]
fn about_so_many_members_learn_from_a_step_and_always_the_same() {
    let config = BootstrappedDqnConfig { ensemble: 20, mask_prob: 0.3, ..small() };
    let mut trial = trial(&spec_of(Bandit), &config, 20, 0);
    trial.run();
    let masks = |learner: &BootstrappedDqn| -> Vec<bool> {
        (0..80)
            .flat_map(|slot| (0..20).map(move |k| (k, slot)))
            .map(|(k, slot)| learner.algorithm.learns(k, &learner.experience.replay, slot))
            .collect()
    };
    let drawn = masks(&trial.learner);
    let count = drawn.iter().filter(|&&learns| learns).count();
    // 480 with a deviation of 18; five of them.
    assert!(count.abs_diff(480) < 90, "{count}");
    assert_eq!(masks(&trial.learner), drawn);
    trial.learner.algorithm.config.mask_prob = 1.0;
    assert!(masks(&trial.learner).iter().all(|&learns| learns));
}

#[test]
fn threads_do_not_change_the_result() {
    let spec = spec_of(Identity::default()).max_episode_steps(5);
    let config =
        BootstrappedDqnConfig { buffer_size: 40, learning_starts: 10, gradient_slices: 3, ..small() };
    assert_threads_do_not_matter(|seed| trial(&spec, &config, 10, seed));
}

#[test]
fn a_restored_learner_continues_bit_for_bit() {
    let spec = spec_of(Identity::default()).max_episode_steps(5);
    let config = BootstrappedDqnConfig { buffer_size: 20, batch_size: 16, learning_starts: 10, ..small() };
    assert_continues_after_restore(trial(&spec, &config, 10, 1), |info| {
        BootstrappedDqn::new(config.clone(), &mlp(&[16], Activation::Tanh), info)
    });
}

#[test]
fn damaged_states_are_refused() {
    let mut trial = trial(&spec_of(Bandit), &small(), 20, 0);
    trial.run();
    assert_refuses_damage(&mut trial.learner);
}

#[test]
fn a_lost_reward_stops_learning_with_an_error() {
    let config = BootstrappedDqnConfig { learning_starts: 0, batch_size: 64, ..small() };
    assert_stops_at_a_lost_reward(|| trial(&spec_of(Bandit), &config, 1, 0));
}

#[test]
fn a_small_deep_sea_is_crossed() {
    let registry = Registry::builtin();
    let spec = registry.get("bsuite/deep_sea-v0").unwrap();
    assert_eq!(spec.make(&MakeOptions::default()).unwrap().observation_len(), 100);
    // Each of 2000 episodes has one chance in 1024 of finding the treasure by random actions.
    let config = BootstrappedDqnConfig {
        ensemble: 8,
        learning_starts: 128,
        train_frequency: 4,
        gradient_steps: 1,
        batch_size: 64,
        learning_rate: 2e-3.into(),
        buffer_size: 10_000,
        prior_scale: 3.0,
        gamma: 0.99,
        target_network_frequency: 4,
        ..small()
    };
    let mut trial = trial_of(&spec, &config, &mlp(&[32], Activation::Relu), 5000, 0);
    trial.run();
    let last = &trial.episode_returns[trial.episode_returns.len() - 100..];
    let mean = last.iter().sum::<f64>() / 100.0;
    assert!(mean > 0.5, "the last episodes return {mean}");
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    type Case = (fn(&mut BootstrappedDqnConfig), &'static str);
    let cases: [Case; 7] = [
        (|c| c.batch_size = 0, "batch_size must be at least 1, got 0"),
        (|c| c.buffer_size = 3, "batch_size must be at most buffer_size = 3, got 32"),
        (|c| c.ensemble = 0, "ensemble must be at least 1, got 0"),
        (|c| c.prior_scale = -1.0, "prior_scale must be at least 0, got -1"),
        (|c| c.mask_prob = 0.0, "mask_prob must be above 0 and at most 1, got 0"),
        (|c| c.target_network_frequency = 0, "target_network_frequency must be at least 1, got 0"),
        (|c| c.train_frequency = 3, "train_frequency must be a multiple or a divisor of num_envs = 4, got 3"),
    ];
    for (spoil, expected) in cases {
        let mut config = small();
        spoil(&mut config);
        assert_eq!(config.validate(&info_of_four_numbers(4)).unwrap_err().to_string(), expected);
    }
    let mut noisy = BootstrappedDqn::default_network();
    noisy.head.noisy = true;
    let refused = BootstrappedDqn::new(small(), &noisy, &info_of_four_numbers(4)).err().unwrap().to_string();
    assert_eq!(refused, "bootstrapped-dqn needs network.head.noisy = false, got true");
}
