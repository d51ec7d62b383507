//! Masks of legal actions.

use super::*;

#[test]
fn masked_actions_are_not_taken() {
    let dqn = exploring();
    let policy = dqn.policy().unwrap();
    let observations = ObsBuffer::F32(FOUR_STATES.repeat(100));
    let masks = [false, true, false, true].repeat(400);
    for (env_steps, mode) in [(0, ActMode::Explore), (400, ActMode::Explore), (0, ActMode::Deterministic)] {
        let input = ActInput {
            observations: &observations,
            num_rows: 400,
            action_masks: &masks,
            resets: &[],
            rewards: &[],
            tasks: &[],
            env_steps,
            mode,
        };
        let mut actions = ActionBatch::Discrete(vec![9; 400]);
        let mut actor = Actor::new(Pcg64::seed_from(2));
        policy.act(&input, &mut actor, ActOutput { actions: &mut actions, policy_data: &mut [] }).unwrap();
        let counts = [0, 1, 2, 3].map(|a| actions.indices().iter().filter(|&&action| action == a).count());
        assert!(counts[0] == 0 && counts[2] == 0, "{counts:?}");
        if env_steps == 0 && mode == ActMode::Explore {
            assert!(counts[1].abs_diff(200) < 50, "{counts:?}");
        }
    }
}

#[test]
fn targets_are_taken_over_allowed_actions() {
    // The target network [5, 3] is asked for action 1, as action 0 is not allowed.
    for double in [false, true] {
        let info = with_spaces(&info(), |spaces| spaces.mask_len = 2);
        let config = DqnConfig { double, ..linear() };
        let mut dqn = with_values_in(config, [1.0, 2.0], [5.0, 3.0], &info);
        let mut fragment = Fragment::new(&FragmentShape { mask_len: 2, ..transition(false).shape });
        fragment.rewards[0] = 0.5;
        fragment.action_masks = vec![true, true, false, true];
        let error: f64 = 1.0 - (0.5 + 0.5 * 3.0);
        let loss = dqn.learn(&[fragment], 1).unwrap().metrics[2];
        assert!((loss - 0.5 * error * error).abs() < 1e-6, "double {double}: {loss}");
    }
}
