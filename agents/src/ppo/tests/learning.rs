//! Tasks whose answer is known.

use super::*;

/// Acts for the rows of `observations`; gives actions and their log-probabilities.
fn act(ppo: &Ppo, observations: &[f32], rows: usize, masks: &[bool], mode: ActMode) -> (Vec<u32>, Vec<f32>) {
    let policy = ppo.policy().unwrap();
    let observations = ObsBuffer::F32(observations.to_vec());
    let input = ActInput {
        observations: &observations,
        num_rows: rows,
        action_masks: masks,
        resets: &[],
        rewards: &[],
        tasks: &[],
        env_steps: 0,
        mode,
    };
    let (mut actions, mut log_probs) = (ActionBatch::Discrete(vec![0; rows]), vec![0.0; rows]);
    let output = ActOutput { actions: &mut actions, policy_data: &mut log_probs };
    policy.act(&input, &mut Actor::new(Pcg64::seed_from(2)), output).unwrap();
    (actions.indices().to_vec(), log_probs)
}

#[test]
fn the_better_arm_of_a_bandit_is_learned() {
    for seed in 0..3 {
        let mut trial = trial(&spec_of(Bandit), &small(), 30, seed);
        trial.run();
        let (arm, log_prob) = act(&trial.learner, &[1.0], 1, &[], ActMode::Deterministic);
        let prob = log_prob[0].exp();
        assert!(arm == [1] && prob >= 0.95, "seed {seed}: arm {arm:?} with probability {prob}");
        let last = &trial.episode_returns[trial.episode_returns.len() - 200..];
        let mean = last.iter().sum::<f64>() / 200.0;
        assert!(mean >= 0.9, "seed {seed}: the last episodes pay {mean}");
    }
}

#[test]
fn an_image_of_bytes_is_learned_from_with_and_without_a_shared_encoder() {
    for (seed, share_encoder) in [(0, false), (1, true), (2, true)] {
        let config = PpoConfig { share_encoder, ..small() };
        let spec = spec_of(BrightHalf::default()).max_episode_steps(8);
        let mut trial = trial_of(&spec, &config, &small_cnn(), 40, seed);
        trial.run();
        assert_eq!(trial.evaluate(20), 1.0, "seed {seed}");
    }
}

#[test]
fn a_shared_encoder_has_its_parameters_once() {
    let names = |share_encoder| {
        let learner = trial(&spec_of(Bandit), &PpoConfig { share_encoder, ..small() }, 1, 0).learner;
        let names: Vec<String> =
            learner.core.part.params.layout().specs().iter().map(|spec| spec.name.clone()).collect();
        (names, learner.summary().unwrap().parameters(), learner.core.part.params.layout().values_len())
    };
    let (own, own_counted, own_len) = names(false);
    assert!(
        own.contains(&"actor.encoder.0.weight".to_owned()) && own.contains(&"critic.head.0.bias".to_owned())
    );
    let (shared, shared_counted, shared_len) = names(true);
    assert!(shared.contains(&"encoder.0.weight".to_owned()) && shared.contains(&"critic.0.bias".to_owned()));
    assert_eq!((own_counted, shared_counted), (own_len, shared_len));
}

#[test]
fn identity_is_learned() {
    for seed in 0..3 {
        let mut trial = trial(&spec_of(Identity::default()).max_episode_steps(8), &small(), 60, seed);
        trial.run();
        let accuracy = trial.evaluate(200);
        assert!(accuracy >= 0.95, "seed {seed}: {accuracy}");
    }
}

/// Settings for values far from zero: no clipping of what they may move, room for large gradients.
fn for_values() -> PpoConfig {
    PpoConfig { clip_vloss: false, max_grad_norm: 10.0, ..small() }
}

fn assert_values(wheel: &Wheel, gamma: f64, max_episode_steps: u32, seed: u64) {
    let expected = wheel.values(gamma);
    let spec = spec_of(wheel.clone()).max_episode_steps(max_episode_steps);
    let mut trial = trial(&spec, &PpoConfig { gamma, ..for_values() }, 120, seed);
    trial.run();
    for (state, (got, want)) in values(&trial.learner).into_iter().zip(expected).enumerate() {
        assert!(
            (f64::from(got) - want).abs() <= 0.1 * want,
            "seed {seed}: {state}: expected {want}, got {got}"
        );
    }
}

#[test]
fn truncation_bootstraps_so_that_a_constant_reward_is_worth_one_over_one_minus_gamma() {
    let wheel = Wheel { rewards: [1.0; 4], state: 0 };
    assert!((wheel.values(0.9)[0] - 10.0).abs() < 1e-9);
    for seed in 0..3 {
        assert_values(&wheel, GAMMA, 3, seed);
    }
}

#[test]
fn truncation_bootstraps_from_the_final_observation_and_not_from_the_next_episode() {
    // Every step is truncated. Values double from state to state, 1.07 to 8.53; with the next episode's first
    // observation instead, which may be any state, they were 2, 2, 2 and 10.
    let wheel = Wheel { rewards: [0.0, 0.0, 0.0, 8.0], state: 0 };
    for seed in 0..3 {
        assert_values(&wheel, 0.5, 1, seed);
    }
}

#[test]
fn termination_does_not_bootstrap() {
    let expected = 1.0 + GAMMA + GAMMA.powi(2) + GAMMA.powi(3);
    for seed in 0..3 {
        let mut trial = trial(&spec_of(FourSteps::default()), &for_values(), 60, seed);
        trial.run();
        let got = f64::from(values(&trial.learner)[0]);
        assert!((got - expected).abs() <= 0.1 * expected, "seed {seed}: expected {expected}, got {got}");
    }
}

#[test]
fn illegal_actions_are_never_taken() {
    let learner = trial(&spec_of(Identity::default()), &small(), 1, 0).learner;
    let mut rng = Pcg64::seed_from(8);
    let observations = FOUR_STATES.repeat(100);
    let masks: Vec<bool> = (0..400)
        .flat_map(|_| {
            let legal = rng.bounded(3);
            [0, 1, 2, 3].map(|action| action == legal || rng.random() < 0.3)
        })
        .collect();
    for mode in [ActMode::Explore, ActMode::Deterministic] {
        let (actions, log_probs) = act(&learner, &observations, 400, &masks, mode);
        for (row, (&action, &log_prob)) in actions.iter().zip(&log_probs).enumerate() {
            let mask = &masks[row * 4..(row + 1) * 4];
            assert!(mask[action as usize], "{mode:?} took {action} of {mask:?}");
            let alone = mask.iter().filter(|legal| **legal).count() == 1;
            assert!(log_prob <= 0.0 && (log_prob == 0.0) == alone, "{log_prob} of {mask:?}");
        }
    }
}
