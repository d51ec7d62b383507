//! The same bits for any number of threads and after a restore; states that are refused.

use agon_nn::OptimizerState;

use super::*;
use crate::codec::{decode, encode};
use crate::replay_learner::Saved;

fn sliced() -> DqnConfig {
    DqnConfig { buffer_size: 40, learning_starts: 10, gradient_slices: 5, double: true, ..small() }
}

/// Enough weights for Adam to take several threads.
fn wide() -> ModelConfig {
    mlp(&[256, 128], Activation::Relu)
}

#[test]
fn threads_do_not_change_the_result() {
    let spec = spec_of(Identity::default()).max_episode_steps(5);
    assert_threads_do_not_matter(|seed| trial_of(&spec, &sliced(), &wide(), 10, seed));
}

#[test]
fn a_restored_learner_continues_bit_for_bit() {
    // The replay buffer is full when it is saved, and its oldest transitions are replaced after.
    let config = DqnConfig { buffer_size: 20, batch_size: 16, ..sliced() };
    let spec = spec_of(Identity::default()).max_episode_steps(5);
    let trial = trial_of(&spec, &config, &wide(), 10, 1);
    assert_continues_after_restore(trial, |info| Dqn::new(config.clone(), &wide(), info));
}

#[test]
fn damaged_states_are_refused() {
    let mut trial = trial(&spec_of(Bandit), &small(), 20, 0);
    trial.run();
    assert_refuses_damage(&mut trial.learner);
}

#[test]
fn states_of_another_network_are_refused() {
    let bandit = trial(&spec_of(Bandit), &small(), 1, 0).learner;
    let mut identity = trial(&spec_of(Identity::default()), &small(), 1, 0).learner;
    let error = identity.restore(&bandit.save().unwrap()).unwrap_err();
    let len = |dqn: &Dqn| dqn.algorithm.online.params.len();
    let (expected, got) = (len(&identity), len(&bandit));
    assert_eq!(
        error.to_string(),
        format!("saved learner cannot be restored: expected {expected} weights, got {got}")
    );
}

#[test]
fn states_of_another_optimizer_are_refused() {
    let mut learner = trial(&spec_of(Bandit), &small(), 1, 0).learner;
    let mut store = crate::chunks::MemoryStore::default();
    let mut saved: Saved = decode(&learner.save_with(&mut store).unwrap()).unwrap();
    let Some(OptimizerState::Adam(adam)) = &mut saved.parts[0].optimizer else {
        panic!("the default is Adam")
    };
    adam.exp_avg.pop();
    adam.exp_avg_sq.pop();
    let error = learner.restore_with(&encode(&saved).unwrap(), &store);
    assert!(matches!(error, Err(AgentError::Restore(_))), "{error:?}");
}

#[test]
fn states_with_another_replay_buffer_are_refused() {
    let mut learner = trial(&spec_of(Bandit), &small(), 1, 0).learner;
    let larger = trial(&spec_of(Bandit), &DqnConfig { buffer_size: 2000, ..small() }, 1, 0).learner;
    let error = learner.restore(&larger.save().unwrap());
    assert!(matches!(error, Err(AgentError::Restore(_))), "{error:?}");
}
