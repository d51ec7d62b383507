//! The random network distillation bonus.

use super::*;

fn curious() -> PpoConfig {
    let rnd = RndConfig { learning_rate: 1e-3, features: 16, ..RndConfig::default() };
    PpoConfig { rnd: Some(rnd), learning_rate: 3e-3.into(), anneal_lr: false, gamma: 0.99, ..small() }
}

#[test]
fn a_long_corridor_is_passed_with_the_bonus_only() {
    let spec = spec_of(Corridor::default()).max_episode_steps(48);
    let found = |rnd: bool, seed| {
        // Advantages as they are: normalised, the errors of a critic that has seen no reward weigh as much as any others,
        // and some policies drift through the corridor.
        let config = PpoConfig { norm_adv: false, rnd: curious().rnd.filter(|_| rnd), ..curious() };
        let mut trial = trial(&spec, &config, 100, seed);
        trial.run();
        let last = &trial.episode_returns[trial.episode_returns.len() - 50..];
        last.iter().sum::<f64>() / 50.0
    };
    for seed in 0..3 {
        let (with, without) = (found(true, seed), found(false, seed));
        assert!(with >= 0.9, "seed {seed}: {with}");
        assert!(without == 0.0, "seed {seed} without the bonus: {without}");
    }
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

#[test]
fn what_is_summed_of_a_shard_is_its_own_in_any_order_of_arrival() {
    let spec = spec_of(Corridor::default()).max_episode_steps(9);
    let learned = |reversed: bool| {
        let mut trial = trial(&spec, &curious(), 10, 4);
        // What the first shard remembers is seen in its sums for a while.
        trial.learner.algorithm.rnd.as_mut().unwrap().sums[0].fill(10.0);
        for _ in 0..3 {
            let mut fragments = trial.collect();
            if reversed {
                fragments.reverse();
            }
            trial.learner.algorithm.rnd.as_mut().unwrap().learn(&fragments).unwrap();
        }
        trial.learner.algorithm.rnd.unwrap().sums
    };
    // Statistics over all shards are added up in another order: the last digits differ.
    let (in_order, reversed) = (learned(false), learned(true));
    let pairs = || in_order.iter().flatten().zip(reversed.iter().flatten());
    assert!(pairs().all(|(a, b)| (a - b).abs() <= 0.02 * a.abs()), "{in_order:?} {reversed:?}");
    assert!((in_order[0][0] - in_order[1][0]).abs() > 0.05 * in_order[0][0].abs(), "shards differ");
}

#[test]
fn rows_that_took_no_part_have_no_bonus_and_teach_none() {
    let learned = |spoil: fn(&mut Fragment)| {
        let mut trial = trial(&spec_of(Identity::default()), &curious(), 1, 5);
        let mut fragments = trial.collect();
        // The second row of the first shard waits from the fourth tick on.
        let rows = fragments[0].shape.num_rows();
        (3..32).for_each(|tick| fragments[0].active[tick * rows + 1] = false);
        spoil(&mut fragments[0]);
        let (bonus, _) = trial.learner.algorithm.rnd.as_mut().unwrap().learn(&fragments).unwrap();
        (bonus.rewards, trial.learner.algorithm.rnd.unwrap().save().sums)
    };
    let plain = learned(|_| ());
    let spoiled = learned(|fragment| {
        let ObsBuffer::F32(values) = &mut fragment.observations else { panic!("numbers") };
        // What the waiting row is said to observe.
        let (rows, len) = (fragment.shape.num_rows(), fragment.shape.observation_len);
        (5..33).for_each(|tick| values[(tick * rows + 1) * len..(tick * rows + 2) * len].fill(1e6));
    });
    assert_eq!(plain, spoiled);
    assert!((3..32).all(|tick| plain.0[0][tick * 2 + 1] == 0.0));
}
