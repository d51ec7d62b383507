//! Learning in imagination, what sequences are made of, parity, settings.

use agon_envs::{ActionBatch, EnvSpec, ObsBuffer};

use super::*;
use crate::replay::Moment;
use crate::test_support::{
    Aim, Bandit, Identity, Recall, Trial, TrialConfig, Wheel, assert_continues_after_restore,
    assert_refuses_damage, assert_stops_at_a_lost_reward, assert_threads_do_not_matter, info_of_four_numbers,
    mlp, spec_of,
};
use crate::world_model::Lived;
use crate::{Algorithm, Learner};

fn small() -> DreamerConfig {
    DreamerConfig {
        buffer_size: 4000,
        learning_starts: 64,
        num_steps: 4,
        sequence_length: 8,
        batch_size: 8,
        gradient_steps: 1,
        learning_rate: 3e-3.into(),
        actor_learning_rate: 3e-3.into(),
        critic_learning_rate: 3e-3.into(),
        gamma: 0.9,
        horizon: 5,
        imagination_stride: 1,
        deterministic: 16,
        latents: 4,
        classes: 4,
        hidden: 24,
        head_layers: 1,
        bins: 21,
        bins_limit: 5.0,
        free_nats: 0.1,
        ..DreamerConfig::default()
    }
}

fn network() -> ModelConfig {
    mlp(&[24], Activation::Silu)
}

fn trial(spec: &EnvSpec, config: &DreamerConfig, iterations: u64, seed: u64) -> Trial<Dreamer> {
    let total_timesteps = iterations * 4 * config.num_steps as u64;
    let sizes = TrialConfig { num_envs: 4, num_shards: 2, total_timesteps, seed };
    Trial::new(spec, sizes, |info| Dreamer::new(config.clone(), &network(), info))
}

#[test]
fn what_pays_is_done() {
    for seed in 0..3 {
        let mut trial = trial(&spec_of(Bandit), &small(), 150, seed);
        trial.run();
        let mean = trial.evaluate(100);
        assert!(mean >= 0.99, "seed {seed}: {mean}");
    }
}

#[test]
fn what_was_seen_before_is_recalled() {
    for seed in 0..2 {
        let config = DreamerConfig { sequence_length: 16, gamma: 0.97, gradient_steps: 2, ..small() };
        let mut trial = trial(&spec_of(Recall::default()), &config, 400, seed);
        trial.run();
        let accuracy = 4.0 * trial.evaluate(400);
        assert!(accuracy >= 0.95, "seed {seed}: {accuracy}");
    }
}

#[test]
fn numbers_are_aimed_at() {
    let config = DreamerConfig {
        gradient_steps: 2,
        horizon: 2,
        gamma: 0.0,
        latents: 8,
        classes: 8,
        bins_limit: 1.0,
        observation_coef: 20.0,
        ..small()
    };
    let mut trial = trial(&spec_of(Aim::default()).max_episode_steps(8), &config, 500, 1);
    trial.run();
    // Doing nothing loses a third.
    let lost = trial.evaluate(200);
    assert!(lost >= -0.08, "{lost}");
}

#[test]
fn threads_do_not_change_the_result() {
    let spec = spec_of(Identity::default()).max_episode_steps(5);
    let config = DreamerConfig { learning_starts: 10, gradient_slices: 3, imagination_stride: 2, ..small() };
    assert_threads_do_not_matter(|seed| trial(&spec, &config, 8, seed));
}

#[test]
fn a_restored_learner_continues_bit_for_bit() {
    let spec = spec_of(Identity::default()).max_episode_steps(5);
    let config = DreamerConfig { buffer_size: 200, learning_starts: 10, ..small() };
    let mut trial = trial(&spec, &config, 40, 1);
    (0..5).for_each(|_| drop(trial.iterate().unwrap()));
    assert_continues_after_restore(trial, |info| Dreamer::new(config.clone(), &network(), info));
}

#[test]
fn damaged_states_are_refused() {
    let mut trial = trial(&spec_of(Bandit), &small(), 20, 0);
    trial.run();
    assert_refuses_damage(&mut trial.learner);
}

#[test]
fn a_lost_reward_stops_learning_with_an_error() {
    let config = DreamerConfig { learning_starts: 0, num_steps: 8, batch_size: 64, ..small() };
    assert_stops_at_a_lost_reward(|| trial(&spec_of(Bandit), &config, 1, 0));
}

#[test]
fn what_ends_an_episode_is_a_moment_of_its_own() {
    // Every third step is cut; nothing terminates.
    let wheel = Wheel { rewards: [1.0, 2.0, 3.0, 4.0], state: 0 };
    let config = DreamerConfig { learning_starts: 1_000_000, ..small() };
    let mut trial = trial(&spec_of(wheel).max_episode_steps(3), &config, 4, 1);
    trial.run();
    let (replay, mut sequences) = (&trial.learner.experience.replay, Sequences::default());
    let actions = Actions::new(&config, &trial.info.spaces).unwrap();
    let mut starts = Vec::new();
    replay.sample_sequences(8, 1, &mut Pcg64::seed_from(0), &mut starts);
    sequences.read(replay, &actions.acts, &starts, &[0.25, 0.75], 8);
    // Whatever tick it begins with: three steps of an episode, and what the last of them led to.
    let ends: Vec<usize> = (0..8).filter(|&t| matches!(sequences.moments[t], Moment::After(_))).collect();
    assert!(ends.len() >= 2 && ends.windows(2).all(|pair| pair[1] - pair[0] == 4), "{ends:?}");
    for t in 0..8 {
        let begins = t > 0 && ends.contains(&(t - 1));
        assert!(sequences.continues[t], "nothing terminates");
        let done = &sequences.actions[2 * t..2 * t + 2];
        if sequences.resets[t] {
            assert_eq!((done, sequences.rewards[t], sequences.paid[t]), ([0.0; 2].as_slice(), 0.0, true));
        } else if t == 0 {
            assert_eq!((done, sequences.paid[t]), ([0.25, 0.75].as_slice(), false));
        } else {
            assert!(done.iter().sum::<f32>() == 1.0 && sequences.rewards[t] >= 1.0);
        }
        assert!(sequences.resets[t] || !begins, "an episode begins after one has ended");
    }
}

#[test]
fn a_dream_sees_as_long_as_it_may_and_then_goes_on() {
    let mut trial = trial(&spec_of(Recall::default()), &small(), 100, 0);
    trial.run();
    let policy = trial.learner.policy().unwrap();
    let model = policy.world_model().unwrap();
    // A cue, and what follows it whatever is done; the second episode has the other cue.
    let episode = |cue: [f32; 2], later: f32| {
        let rows = [[cue[0], cue[1], 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, later, 0.0]];
        ObsBuffer::F32(rows.concat())
    };
    let actions = ActionBatch::Discrete(vec![1, 0]);
    let dream = |observations: &ObsBuffer, context: usize| {
        model.dream(&Lived { observations, actions: &actions, steps: 2 }, context).unwrap()
    };
    let whole = dream(&episode([1.0, 0.0], 1.0), 3);
    assert_eq!(whole.reconstructed, whole.imagined, "all of it was seen");
    let blind = dream(&episode([1.0, 0.0], 1.0), 1);
    assert_eq!(blind.imagined[..4], blind.reconstructed[..4]);
    // What is not looked at changes nothing of what is imagined.
    let other = dream(&episode([1.0, 0.0], 9.0), 1);
    assert_eq!(other.imagined, blind.imagined);
    assert_ne!(other.reconstructed, blind.reconstructed);
    assert_eq!([blind.rewards.len(), blind.continues.len()], [3, 3]);
    assert!(blind.continues.iter().all(|share| (0.0..=1.0).contains(share)));
    let short = Lived { observations: &ObsBuffer::F32(vec![0.0; 4]), actions: &actions, steps: 2 };
    let error = model.dream(&short, 1).unwrap_err().to_string();
    assert!(error.contains("12 values of 3 observations"), "{error}");
    let observations = episode([1.0, 0.0], 1.0);
    let lived = Lived { observations: &observations, actions: &actions, steps: 2 };
    assert!(model.dream(&lived, 0).is_err() && model.dream(&lived, 4).is_err());
}

#[test]
fn settings_out_of_range_are_named() {
    let info = info_of_four_numbers(4);
    let error = |config: DreamerConfig| match Dreamer::new(config, &network(), &info) {
        Ok(_) => panic!("expected an error"),
        Err(error) => error.to_string(),
    };
    for (config, expected) in [
        (
            DreamerConfig { sequence_length: 6, ..small() },
            "sequence_length must be a multiple of num_steps = 4, got 6",
        ),
        (
            DreamerConfig { imagination_stride: 3, ..small() },
            "imagination_stride must be a divisor of sequence_length = 8, got 3",
        ),
        (DreamerConfig { bins: 4, ..small() }, "bins"),
        (DreamerConfig { hidden: 0, ..small() }, "hidden must be between 1 and 8192, got 0"),
        (DreamerConfig { uniform: 1.0, ..small() }, "uniform"),
        (DreamerConfig { horizon: 0, ..small() }, "horizon must be at least 1, got 0"),
        (DreamerConfig { tau: 0.0, ..small() }, "tau must be above 0 and at most 1, got 0"),
        (DreamerConfig { buffer_size: 10, ..small() }, "buffer_size must be at least 2 sequences"),
    ] {
        let error = error(config);
        assert!(error.contains(expected), "{error}");
    }
}
