//! The variants and their named combinations.

use super::*;

fn noisy() -> ModelConfig {
    let head = HeadConfig { noisy: true, ..HeadConfig::default() };
    ModelConfig { head, ..network() }
}

/// With random actions besides the noise, so that every action is tried.
fn and_random(config: &DqnConfig) -> DqnConfig {
    DqnConfig { start_e: Some(1.0), end_e: Some(0.05), ..config.clone() }
}

/// Small forms of the variants, each by its name. Values of the wheel lie between 0 and 10.
fn variants() -> Vec<(&'static str, DqnConfig, ModelConfig)> {
    let prioritized = Sampling::Prioritized(PrioritizedConfig::default());
    let c51 = Distribution::C51(C51Config { v_min: 0.0, v_max: 12.0, atoms: 25 });
    let qr = Distribution::Qr(QrConfig { quantiles: 8 });
    let iqn = Distribution::Iqn(IqnConfig { samples: 8, target_samples: 8, acting_samples: 8, cosines: 16 });
    let rms = RmsPropConfig { alpha: 0.95, eps: 0.01, centered: true, ..RmsPropConfig::default() };
    let plain = [
        ("dueling", DqnConfig { dueling: true, ..small() }),
        ("3 steps", DqnConfig { n_step: 3, ..small() }),
        ("priorities", DqnConfig { replay: prioritized, ..small() }),
        ("squared error", DqnConfig { loss: Loss::Mse, ..small() }),
        (
            "centred RMSProp",
            DqnConfig { optimizer: OptimizerConfig::RmsProp(rms), learning_rate: 3e-3.into(), ..small() },
        ),
        ("c51", DqnConfig { distribution: c51, ..small() }),
        ("qr", DqnConfig { distribution: qr, ..small() }),
        ("iqn", DqnConfig { distribution: iqn, learning_rate: 3e-3.into(), ..small() }),
    ];
    let (double, dueling) = (true, true);
    let rainbow = DqnConfig { double, dueling, n_step: 3, replay: prioritized, distribution: c51, ..small() };
    let noisy_ones = [
        ("noisy", and_random(&small())),
        ("rainbow", and_random(&rainbow)),
        (
            "dueling noisy double iqn",
            and_random(&DqnConfig { double, dueling, distribution: iqn, ..small() }),
        ),
    ];
    let plain = plain.into_iter().map(|(name, config)| (name, config, network()));
    plain.chain(noisy_ones.into_iter().map(|(name, config)| (name, config, noisy()))).collect()
}

#[test]
fn every_variant_learns_the_identity() {
    for (name, config, network) in variants() {
        let spec = spec_of(Identity::default()).max_episode_steps(8);
        let mut trial = trial_of(&spec, &DqnConfig { gamma: 0.5, ..config }, &network, 300, 1);
        trial.run();
        let accuracy = trial.evaluate(200);
        assert!(accuracy >= 0.95, "{name}: {accuracy}");
    }
}

#[test]
fn every_variant_bootstraps_where_an_episode_is_cut() {
    let wheel = Wheel { rewards: [0.0, 0.0, 0.0, 8.0], state: 0 };
    let expected = wheel.values(0.5);
    for (name, config, network) in variants() {
        let spec = spec_of(wheel.clone()).max_episode_steps(2);
        let mut trial = trial_of(&spec, &DqnConfig { gamma: 0.5, ..config }, &network, 600, 2);
        trial.run();
        for (state, got) in q_values(&trial.learner).chunks_exact(2).enumerate() {
            for &got in got {
                let (got, want) = (f64::from(got), expected[state]);
                assert!(
                    (got - want).abs() <= 0.15 * want + 0.1,
                    "{name}, {state}: expected {want}, got {got}"
                );
            }
        }
    }
}

#[test]
fn threads_do_not_change_what_a_variant_learns() {
    let spec = spec_of(Identity::default()).max_episode_steps(5);
    for (_, config, network) in variants() {
        let config = DqnConfig { buffer_size: 40, learning_starts: 10, gradient_slices: 5, ..config };
        assert_threads_do_not_matter(|seed| trial_of(&spec, &config, &network, 10, seed));
    }
}

#[test]
fn a_restored_variant_continues_bit_for_bit() {
    let spec = spec_of(Identity::default()).max_episode_steps(5);
    for (_, config, network) in variants() {
        let config = DqnConfig { buffer_size: 20, batch_size: 16, learning_starts: 10, ..config };
        let trial = trial_of(&spec, &config, &network, 10, 1);
        assert_continues_after_restore(trial, |info| Dqn::new(config.clone(), &network, info));
    }
}

#[test]
fn a_lost_reward_stops_every_variant() {
    for (_, config, network) in variants() {
        let config = DqnConfig { learning_starts: 0, batch_size: 64, n_step: 1, ..config };
        assert_stops_at_a_lost_reward(|| trial_of(&spec_of(Bandit), &config, &network, 1, 0));
    }
}

#[test]
fn a_saved_state_without_priorities_is_refused_where_there_are_some() {
    let prioritized = DqnConfig { replay: Sampling::Prioritized(PrioritizedConfig::default()), ..small() };
    let saved = trial(&spec_of(Bandit), &small(), 1, 0).learner.save().unwrap();
    let error = trial(&spec_of(Bandit), &prioritized, 1, 0).learner.restore(&saved).unwrap_err();
    assert_eq!(
        error.to_string(),
        "saved learner cannot be restored: expected a replay buffer with priorities"
    );
}

#[test]
fn noisy_layers_explore_by_themselves_and_not_in_evaluation() {
    let epsilons = |config: DqnConfig| {
        let exploration = config.exploration(true);
        (exploration.start_e, exploration.end_e)
    };
    assert_eq!(epsilons(small()), (0.0, 0.0));
    assert_eq!(epsilons(DqnConfig { start_e: Some(0.5), ..small() }), (0.5, 0.0));
    let mut dqn = trial_of(&spec_of(Identity::default()), &small(), &noisy(), 200, 0).learner;
    let mut explored = std::collections::BTreeSet::new();
    let mut greedy = std::collections::BTreeSet::new();
    for _ in 0..50 {
        explored.insert(act(&dqn, FOUR_STATES.to_vec(), 4, 0, ActMode::Explore).0);
        greedy.insert(act(&dqn, FOUR_STATES.to_vec(), 4, 0, ActMode::Deterministic).0);
        let Dqn { algorithm, experience, .. } = &mut dqn;
        algorithm.after_round(experience);
    }
    assert!(explored.len() > 3 && greedy.len() == 1, "{explored:?} {greedy:?}");
}

#[test]
fn named_combinations_are_valid() {
    for config in [DqnConfig::c51(), DqnConfig::qr_dqn(), DqnConfig::iqn(), DqnConfig::rainbow()] {
        assert!(Dqn::new(config, &DqnConfig::rainbow_network(), &info()).is_ok());
    }
    let rainbow = DqnConfig::rainbow();
    assert!(rainbow.double && rainbow.dueling && rainbow.n_step == 3);
}
