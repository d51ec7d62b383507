//! Tasks whose answer is known.

use super::*;

#[test]
fn the_better_arm_of_a_bandit_is_learned() {
    for (seed, double) in [(0, false), (1, true), (2, false)] {
        let mut trial = trial(&spec_of(Bandit), &DqnConfig { double, ..small() }, 100, seed);
        trial.run();
        assert_eq!(trial.evaluate(20), 1.0, "seed {seed}");
        let last = &trial.episode_returns[trial.episode_returns.len() - 200..];
        let mean = last.iter().sum::<f64>() / 200.0;
        assert!(mean >= 0.9, "seed {seed}: the last episodes pay {mean}");
    }
}

#[test]
fn an_image_of_bytes_is_learned_from() {
    let config = DqnConfig { learning_rate: 3e-3.into(), gamma: 0.5, ..small() };
    let spec = spec_of(BrightHalf::default()).max_episode_steps(8);
    for seed in 0..3 {
        let mut trial = trial_of(&spec, &config, &small_cnn(), 300, seed);
        trial.run();
        assert_eq!(trial.evaluate(20), 1.0, "seed {seed}");
    }
}

#[test]
fn identity_is_learned() {
    for (seed, double) in [(0, false), (1, true), (2, false)] {
        let spec = spec_of(Identity::default()).max_episode_steps(8);
        let mut trial = trial(&spec, &DqnConfig { double, gamma: 0.5, ..small() }, 300, seed);
        trial.run();
        let accuracy = trial.evaluate(200);
        assert!(accuracy >= 0.95, "seed {seed}: {accuracy}");
    }
}

fn assert_values(wheel: &Wheel, gamma: f64, max_episode_steps: u32, seed: u64) {
    let expected = wheel.values(gamma);
    let spec = spec_of(wheel.clone()).max_episode_steps(max_episode_steps);
    let mut trial = trial(&spec, &DqnConfig { gamma, ..small() }, 500, seed);
    trial.run();
    for (state, got) in q_values(&trial.learner).chunks_exact(2).enumerate() {
        for &got in got {
            let want = expected[state];
            assert!(
                (f64::from(got) - want).abs() <= 0.1 * want,
                "seed {seed}: {state}: expected {want}, got {got}"
            );
        }
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
        let mut trial = trial(&spec_of(FourSteps::default()), &small(), 300, seed);
        trial.run();
        for got in &q_values(&trial.learner)[..2] {
            let close = (f64::from(*got) - expected).abs() <= 0.1 * expected;
            assert!(close, "seed {seed}: expected {expected}, got {got}");
        }
    }
}
