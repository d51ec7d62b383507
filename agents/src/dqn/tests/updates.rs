//! Targets, the loss and the target network by hand.

use super::*;

#[test]
fn the_double_target_is_the_target_networks_value_of_the_online_choice() {
    // Online [1, 2] prefers action 1; the target network [5, 3] gives it 3, and 5 to its own choice.
    for (double, terminated, target) in [
        (false, false, 0.5 + 0.5 * 5.0),
        (true, false, 0.5 + 0.5 * 3.0),
        (false, true, 0.5),
        (true, true, 0.5),
    ] {
        let mut dqn = with_values(DqnConfig { double, ..linear() }, [1.0, 2.0], [5.0, 3.0]);
        let report = dqn.learn(&[transition(terminated)], 1).unwrap();
        let error: f64 = 1.0 - target;
        assert!(
            (report.metrics[2] - 0.5 * error * error).abs() < 1e-6,
            "double {double}: {}",
            report.metrics[2]
        );
        assert!((report.metrics[3] - 1.0).abs() < 1e-6, "double {double}: {}", report.metrics[3]);
        // The update moves the value of action 0 towards the target, and that of action 1 not at all.
        let bias = dqn.algorithm.online.params.get("q.0.bias").unwrap();
        assert!((f64::from(bias[0]) - 1.0) * error < 0.0 && bias[1] == 2.0, "{bias:?}");
    }
}

#[test]
fn the_loss_is_linear_beyond_huber_delta() {
    let mut dqn = with_values(DqnConfig { huber_delta: 1.0, ..linear() }, [1.0, 2.0], [5.0, 3.0]);
    // An error of 2: 1 · (2 − 1/2).
    assert!((dqn.learn(&[transition(false)], 1).unwrap().metrics[2] - 1.5).abs() < 1e-6);
}

#[test]
fn the_target_network_is_copied_exactly_every_so_many_environment_steps() {
    // One step an iteration: at 3 and 6. Two: whenever a multiple of 3 was reached or passed, at 4, 6 and 10.
    for (stride, rounds, copied_at) in [(1, 7, [3, 6].as_slice()), (2, 5, &[4, 6, 10])] {
        let config = DqnConfig { target_network_frequency: 3, ..linear() };
        let mut dqn = with_values(config, [1.0, 2.0], [5.0, 3.0]);
        let mut expected = dqn.algorithm.target.part.params.as_slice().to_vec();
        for round in 1..=rounds {
            let env_steps = round * stride;
            // The copy is made before the round's update.
            let online = dqn.algorithm.online.params.as_slice().to_vec();
            let report = dqn.learn(&vec![transition(false); stride as usize], env_steps).unwrap();
            assert!(report.updates == round && dqn.algorithm.online.params.as_slice() != online);
            if copied_at.contains(&env_steps) {
                assert_ne!(online, expected);
                expected = online;
            }
            let target = &dqn.algorithm.target;
            assert_eq!(target.part.params.as_slice(), expected, "stride {stride}, after step {env_steps}");
            // The packed form that targets are computed with is the same network.
            let mut packed = [0.0; 2];
            let (network, scratch) = (&dqn.algorithm.network, &mut Scratch::default());
            network.infer(&target.packed, &[0.0; 4], 1, &[], scratch, &mut packed).unwrap();
            assert_eq!(packed.to_vec(), target.part.params.get("q.0.bias").unwrap());
        }
    }
}

#[test]
fn tau_moves_the_target_network_part_of_the_way() {
    let config = DqnConfig { target_network_frequency: 1, tau: 0.25, ..linear() };
    let mut dqn = with_values(config, [1.0, 2.0], [5.0, 3.0]);
    dqn.learn(&[transition(false)], 1).unwrap();
    let expected = [0.25 * 1.0 + 0.75 * 5.0, 0.25 * 2.0 + 0.75 * 3.0];
    assert_eq!(dqn.algorithm.target.part.params.get("q.0.bias").unwrap(), expected);
}

#[test]
fn nothing_is_learned_before_learning_starts() {
    let config = DqnConfig { learning_starts: 3, gradient_steps: 2, ..linear() };
    let mut dqn = Dqn::new(config, &mlp(&[], Activation::Tanh), &info()).unwrap();
    let first = dqn.algorithm.online.params.as_slice().to_vec();
    for step in 1..=3 {
        let report = dqn.learn(&[transition(false)], step).unwrap();
        assert!(report.metrics[2].is_nan() && report.metrics[3].is_nan(), "{:?}", report.metrics);
    }
    assert!(dqn.experience.updates == 0 && dqn.experience.replay.len() == 3);
    assert!(dqn.algorithm.online.params.as_slice() == first);
    assert!(dqn.learn(&[transition(false)], 4).unwrap().metrics[2].is_finite());
    assert_eq!(dqn.experience.updates, 2);
}

#[test]
fn steps_are_counted_by_environments_and_transitions_by_agents() {
    let registry = agon_envs::Registry::builtin();
    let spec = registry.get("Foraging-8x8-2p-2f-v3").unwrap();
    let config = DqnConfig { learning_starts: 8, ..small() };
    let mut trial = trial(&spec, &config, 4, 0);
    // Four environments of two agents each; eight steps of environments between rounds.
    assert_eq!((trial.info.num_rows(), trial.learner.num_steps()), (8, 2));
    assert_eq!(trial.iterate().unwrap().updates, 0);
    assert_eq!((trial.env_steps, trial.learner.experience.replay.len()), (8, 16));
    assert_eq!(trial.iterate().unwrap().updates, 2);
    assert_eq!((trial.env_steps, trial.learner.experience.replay.len()), (16, 32));
}
