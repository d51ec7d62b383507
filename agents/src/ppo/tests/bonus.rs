//! The random network distillation bonus.

use super::*;

fn curious() -> PpoConfig {
    let rnd = RndConfig { learning_rate: 1e-3, features: 16, ..RndConfig::default() };
    PpoConfig { rnd: Some(rnd), learning_rate: 3e-3, anneal_lr: false, gamma: 0.99, ..small() }
}

#[test]
fn a_long_corridor_is_passed_with_the_bonus_only() {
    let spec = spec_of(Corridor::default()).max_episode_steps(40);
    let found = |config: &PpoConfig, seed| {
        let mut trial = trial(&spec, config, 200, seed);
        trial.run();
        let last = &trial.episode_returns[trial.episode_returns.len() - 50..];
        last.iter().sum::<f64>() / 50.0
    };
    for seed in 0..3 {
        let with = found(&curious(), seed);
        assert!(with >= 0.9, "seed {seed}: {with}");
    }
    let without = found(&PpoConfig { rnd: None, ..curious() }, 0);
    assert!(without < 0.1, "without the bonus: {without}");
}

#[test]
fn the_bonus_of_what_is_seen_often_falls() {
    let mut trial = trial(&spec_of(Wheel { rewards: [0.0; 4], state: 0 }), &curious(), 60, 1);
    let loss = |report: LearnReport| report.metrics[8];
    let first = loss(trial.iterate().unwrap());
    let last = (0..59).map(|_| loss(trial.iterate().unwrap())).last().unwrap();
    assert!(last < 0.2 * first, "first {first}, last {last}");
}

#[test]
fn the_bonus_is_the_same_for_any_number_of_threads_and_after_a_restore() {
    let make = |seed| trial(&spec_of(Corridor::default()).max_episode_steps(9), &curious(), 10, seed);
    assert_threads_do_not_matter(make);
    assert_continues_after_restore(make(1), |info| Ppo::new(curious(), &network(), info));
    assert_refuses_damage(&mut make(0).learner);
    let mut without = trial(&spec_of(Corridor::default()), &small(), 1, 0).learner;
    let error = without.restore(&make(0).learner.save().unwrap()).unwrap_err();
    assert!(error.to_string().contains("expected no bonus"), "{error}");
}
