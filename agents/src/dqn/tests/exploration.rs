//! Random actions and their schedule.

use super::*;

#[test]
fn at_epsilon_one_every_action_is_random_and_the_network_is_not_asked() {
    // Without observations the network would refuse to run.
    let (actions, _) = act(&exploring(), vec![], 4000, 0, ActMode::Explore);
    let counts = [0, 1, 2, 3].map(|action| actions.iter().filter(|&&a| a == action).count());
    // 1000 each with a deviation of 27; five of them.
    assert!(counts.iter().all(|&count| count.abs_diff(1000) < 137), "{counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), 4000);
}

#[test]
fn at_epsilon_zero_every_action_is_greedy_and_nothing_is_drawn() {
    let dqn = exploring();
    let greedy: Vec<u32> = q_values(&dqn).chunks_exact(4).map(|q| best(q, None) as u32).collect();
    let observations = FOUR_STATES.repeat(50);
    for (env_steps, mode) in [(800, ActMode::Explore), (5000, ActMode::Explore), (0, ActMode::Deterministic)]
    {
        let (actions, rng) = act(&dqn, observations.clone(), 200, env_steps, mode);
        assert_eq!(actions, greedy.repeat(50));
        assert_eq!(rng, Pcg64::seed_from(2));
    }
}

#[test]
fn half_way_half_of_the_actions_are_random() {
    let dqn = exploring();
    let greedy: Vec<u32> = q_values(&dqn).chunks_exact(4).map(|q| best(q, None) as u32).collect();
    let (actions, _) = act(&dqn, FOUR_STATES.repeat(1000), 4000, 400, ActMode::Explore);
    let other = actions.iter().zip(greedy.repeat(1000)).filter(|(a, g)| **a != *g).count();
    // A random action is another one in 3 of 4 cases: 1500 with a deviation of 31; five of them.
    assert!(other.abs_diff(1500) < 155, "{other} of 4000");
}

#[test]
fn epsilon_is_reported_as_scheduled() {
    let config = DqnConfig { learning_starts: u64::MAX, end_e: Some(0.2), ..small() };
    let mut trial = trial(&spec_of(Bandit), &config, 4, 0);
    // Of 32 steps the first 16 explore less and less.
    let epsilons: Vec<f64> = (0..4).map(|_| trial.iterate().unwrap().metrics[1]).collect();
    let expected = [0.6, 0.2, 0.2, 0.2];
    assert!(epsilons.iter().zip(expected).all(|(e, want)| (e - want).abs() < 1e-12), "{epsilons:?}");
}

#[test]
fn equal_values_are_broken_by_the_first_action() {
    assert_eq!(best(&[1.0, 3.0, 3.0], None), 1);
    assert_eq!(best(&[f32::NEG_INFINITY, f32::NEG_INFINITY], None), 0);
    assert_eq!(best(&[5.0, 3.0, 3.0], Some(&[false, true, true])), 1);
    assert_eq!(best(&[f32::NAN; 3], Some(&[false, false, true])), 2);
}
