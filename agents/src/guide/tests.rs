use agon_envs::EnvSpec;
use agon_nn::Activation;

use super::*;
use crate::Algorithm;
use crate::Learner;
use crate::RunInfo;
use crate::dqn::{Dqn, DqnConfig};
use crate::ppo::{Ppo, PpoConfig};
use crate::test_support::{
    Boxed, Identity, Trial, TrialConfig, assert_continues_after_restore, assert_threads_do_not_matter, mlp,
    spec_of,
};

fn spec() -> EnvSpec {
    spec_of(Identity::default()).max_episode_steps(5)
}

/// PPO or DQN, which may have a teacher that counts so much.
fn student(name: &str, teacher: Option<(&Guide, f64)>, info: &RunInfo) -> Result<Boxed, AgentError> {
    let network = mlp(&[16], Activation::Tanh);
    let mut learner: Box<dyn Learner> = match name {
        "ppo" => {
            let config = PpoConfig { num_steps: 32, learning_rate: 5e-3.into(), ..PpoConfig::default() };
            Box::new(Ppo::new(config, &network, info)?)
        }
        _ => {
            let config = DqnConfig {
                learning_starts: 64,
                train_frequency: 8,
                gradient_steps: 4,
                batch_size: 32,
                learning_rate: 5e-3.into(),
                gamma: 0.5,
                ..DqnConfig::default()
            };
            Box::new(Dqn::new(config, &network, info)?)
        }
    };
    if let Some((guide, coef)) = teacher {
        learner.follow(guide.clone())?;
        learner.set_guidance(coef);
    }
    Ok(Boxed(learner))
}

fn trial(name: &str, teacher: Option<(&Guide, f64)>, iterations: u64, seed: u64) -> Trial<Boxed> {
    let sizes = TrialConfig { num_envs: 4, num_shards: 2, total_timesteps: 128 * iterations, seed };
    Trial::new(&spec(), sizes, |info| student(name, teacher, info))
}

/// A teacher that has learned to do what is asked, and one that is wrong everywhere.
fn teacher(name: &str, rewards: bool) -> Guide {
    let iterations = if name == "ppo" { 40 } else { 400 };
    let mut trial = trial(name, None, iterations, 9);
    (0..iterations).for_each(|_| drop(trial.iterate().unwrap()));
    assert!(trial.evaluate(100) > 0.95, "{name}: {}", trial.evaluate(100));
    Guide::new(&*trial.learner.policy().unwrap(), &trial.info, 0.1, rewards).unwrap()
}

#[test]
fn a_student_of_a_teacher_alone_does_what_it_does() {
    for of in ["ppo", "dqn"] {
        let guide = teacher(of, false);
        for name in ["ppo", "dqn"] {
            let iterations = if name == "ppo" { 15 } else { 100 };
            let mut student = trial(name, Some((&guide, 1.0)), iterations, 1);
            let reports: Vec<_> = (0..iterations).map(|_| student.iterate().unwrap()).collect();
            let score = student.evaluate(100);
            assert!(score > 0.95, "{name} of {of}: {score}");
            let names = student.learner.metric_names();
            let place = names.iter().position(|name| *name == "losses/teacher_loss").unwrap();
            let losses: Vec<f64> =
                reports.iter().map(|report| report.metrics[place]).filter(|l| l.is_finite()).collect();
            assert!(losses[losses.len() - 1] < 0.5 * losses[0], "{name} of {of}: {losses:?}");
        }
    }
}

#[test]
fn a_teacher_that_counts_nothing_changes_nothing() {
    let guide = teacher("ppo", true);
    for name in ["ppo", "dqn"] {
        let learned = |teacher: Option<(&Guide, f64)>| {
            let mut trial = trial(name, teacher, 12, 1);
            (0..12).for_each(|_| drop(trial.iterate().unwrap()));
            trial.learner.save().unwrap()
        };
        assert_eq!(learned(Some((&guide, 0.0))), learned(None), "{name}");
        assert_ne!(learned(Some((&guide, 0.5))), learned(None), "{name}");
    }
}

#[test]
fn without_rewards_a_teacher_that_counts_nothing_teaches_nothing() {
    let guide = teacher("ppo", false);
    for name in ["ppo", "dqn"] {
        let acting = |iterations: u64| {
            let mut trial = trial(name, Some((&guide, 0.0)), 12, 1);
            (0..iterations).for_each(|_| drop(trial.iterate().unwrap()));
            let weights = trial.learner.weights();
            let of_actions = weights
                .iter()
                .filter(|(name, ..)| !name.contains("critic"))
                .map(|(_, _, values)| values.to_vec());
            of_actions.collect::<Vec<_>>()
        };
        assert_eq!(acting(0), acting(12), "{name}");
    }
}

#[test]
fn threads_and_restoring_change_nothing() {
    let guide = teacher("ppo", true);
    for name in ["ppo", "dqn"] {
        let started = |seed| {
            let mut trial = trial(name, Some((&guide, 0.5)), 20, seed);
            (0..10).for_each(|_| drop(trial.iterate().unwrap()));
            trial
        };
        assert_threads_do_not_matter(started);
        assert_continues_after_restore(started(1), |info| student(name, Some((&guide, 0.5)), info));
    }
}
