//! The same bits for any number of threads and after a restore; states that are refused.

use super::*;

#[test]
fn a_step_in_which_an_agent_took_no_part_teaches_nothing() {
    let spec = spec_of(Identity::default());
    let learned = |active: bool, reward: f32| {
        let mut trial = trial(&spec, &small(), 1, 5);
        let mut fragments = trial.collect();
        let fragment = &mut fragments[0];
        let row = 3 * fragment.shape.num_rows();
        // The row's agent ended in the tick before.
        fragment.terminated[row - fragment.shape.num_rows()] = true;
        fragment.active[row] = active;
        fragment.rewards[row] = reward;
        trial.learner.learn(&fragments, trial.env_steps).unwrap();
        trial.learner.core.part.params.as_slice().to_vec()
    };
    assert_eq!(learned(false, 0.0), learned(false, 1000.0), "its reward counts for nothing");
    assert_ne!(learned(true, 0.0), learned(true, 1000.0), "that of a transition counts");
}

fn sliced() -> PpoConfig {
    PpoConfig { gradient_slices: Some(5), ..small() }
}

#[test]
fn threads_do_not_change_the_result() {
    let spec = spec_of(Identity::default()).max_episode_steps(5);
    assert_threads_do_not_matter(|seed| trial(&spec, &sliced(), 10, seed));
}

#[test]
fn a_restored_learner_continues_bit_for_bit() {
    let spec = spec_of(Identity::default()).max_episode_steps(5);
    assert_continues_after_restore(trial(&spec, &sliced(), 10, 1), |info| {
        Ppo::new(sliced(), &network(), info)
    });
}

#[test]
fn damaged_states_are_refused() {
    assert_refuses_damage(&mut trial(&spec_of(Bandit), &small(), 1, 0).learner);
}

#[test]
fn states_of_another_network_are_refused() {
    let bandit = trial(&spec_of(Bandit), &small(), 1, 0).learner;
    let mut identity = trial(&spec_of(Identity::default()), &small(), 1, 0).learner;
    let error = identity.restore(&bandit.save().unwrap()).unwrap_err();
    let (expected, got) = (identity.core.part.params.len(), bandit.core.part.params.len());
    assert_eq!(
        error.to_string(),
        format!("saved learner cannot be restored: expected {expected} weights, got {got}")
    );
}

#[test]
fn states_of_another_optimizer_are_refused() {
    let mut learner = trial(&spec_of(Bandit), &small(), 1, 0).learner;
    let mut saved: policy_gradient_learner::Saved<Saved> =
        crate::codec::decode(&learner.save().unwrap()).unwrap();
    let Some(OptimizerState::Adam(adam)) = &mut saved.core.parts[0].optimizer else {
        panic!("the default is Adam")
    };
    adam.exp_avg.pop();
    adam.exp_avg_sq.pop();
    let error = learner.restore(&crate::codec::encode(&saved).unwrap());
    assert!(matches!(error, Err(AgentError::Restore(_))), "{error:?}");
}

#[test]
fn states_with_bytes_left_over_are_refused() {
    let mut learner = trial(&spec_of(Bandit), &small(), 1, 0).learner;
    let mut saved = learner.save().unwrap();
    saved.push(0);
    let error = learner.restore(&saved);
    assert!(matches!(error, Err(AgentError::Restore(_))), "{error:?}");
}
