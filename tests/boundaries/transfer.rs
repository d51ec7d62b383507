//! What a run takes over from another one: tensors that fit, tensors that stay as they are, and what a teacher does.

use std::fs;
use std::path::Path;

use agon::agents::Weights;
use agon::config::RunConfig;
use agon::experiment;
use agon::runtime::{self, Setup};
use agon::sinks::{Progress, watch};
use agon::transfer::report;
use agon::transfer::{TransferMode, taken_over};

use crate::{assert_same, common, train};

fn weights(run: &Path) -> Vec<(String, Vec<f32>)> {
    let weights = Weights::from_safetensors(&fs::read(run.join("model.safetensors")).unwrap()).unwrap();
    weights.iter().map(|(name, _, values)| (name.to_owned(), values.to_vec())).collect()
}

fn fits(name: &str) -> bool {
    name.contains("encoder.2.")
}

fn run_to_end(config: RunConfig, run: &Path) {
    assert!(runtime::train(&Setup::default(), config, run, &mut |_| true).unwrap().finished);
}

#[test]
fn an_environment_of_another_shape_takes_over_what_fits() {
    let setup = Setup::default();
    let directory = tempfile::tempdir().unwrap();
    let (cartpole, acrobot) = (directory.path().join("cartpole"), directory.path().join("acrobot"));
    train(&setup, "ppo", &common::PPO, 1, &cartpole);
    let settings = [&common::PPO[..], &["env.id=Acrobot-v1", "total_timesteps=2048"]].concat();
    let mut config = common::config_of("ppo", &settings);
    config.init_from = Some(cartpole.clone());
    let message = runtime::train(&setup, config.clone(), &acrobot, &mut |_| true).unwrap_err().to_string();
    assert!(message.contains("encoder.0.weight"), "{message}");
    assert!(!acrobot.exists());

    config.transfer.mode = TransferMode::Matching;
    let names: Vec<String> =
        weights(&cartpole).into_iter().map(|(name, _)| name).filter(|name| fits(name)).collect();
    assert!(!names.is_empty());
    config.transfer.freeze.clone_from(&names);
    let transfer = taken_over(&setup, &config).unwrap();
    let (taken, all) = transfer.taken();
    assert!(taken > 32 * 32 && taken < all, "{taken} of {all}");
    run_to_end(config, &acrobot);
    let (before, after) = (weights(&cartpole), weights(&acrobot));
    for (name, values) in &before {
        let found = after.iter().find(|(other, _)| other == name).map(|(_, values)| values);
        // What is frozen is the first run's to the bit; what did not fit began anew.
        assert_eq!(found == Some(values), fits(name), "{name}");
    }
}

#[test]
fn heads_that_are_reset_begin_anew_and_rules_without_weights_are_refused() {
    let setup = Setup::default();
    let directory = tempfile::tempdir().unwrap();
    let first = directory.path().join("first");
    train(&setup, "dqn", &common::DQN, 1, &first);
    let mut config = common::config_of("dqn", &common::DQN);
    config.transfer.reset = vec!["q.".to_owned()];
    let message = config.clone().resolve(&setup.registry, &setup.algorithms).unwrap_err().to_string();
    assert!(message.contains("init_from"), "{message}");
    config.init_from = Some(first);
    let transfer = taken_over(&setup, &config).unwrap();
    let reset: Vec<&str> = transfer
        .tensors
        .iter()
        .filter(|tensor| tensor.fate == agon::agents::transfer::Fate::Reset)
        .map(|tensor| tensor.name.as_str())
        .collect();
    assert_eq!(reset, ["q.0.weight", "q.0.bias", "target.q.0.weight", "target.q.0.bias"]);
    config.transfer.reset = vec!["value.".to_owned()];
    let message = taken_over(&setup, &config).unwrap_err().to_string();
    assert!(message.contains("transfer.reset must be"), "{message}");
    assert!(message.contains("encoder.0.weight") && message.contains("value."), "{message}");
    config.transfer.reset.clear();
    config.transfer.freeze = vec!["actor.".to_owned()];
    let message = taken_over(&setup, &config).unwrap_err().to_string();
    assert!(message.contains("transfer.freeze must be a prefix") && message.contains("actor."), "{message}");
}

/// A student's run that is stopped once, and goes on where its teacher is gone.
fn in_two(config: &RunConfig, run: &Path, teacher: &Path) {
    let setup = Setup::default();
    let half = config.total_timesteps / 2;
    let observer = &mut |progress: &Progress<'_>| progress.env_steps < half;
    assert!(!runtime::train(&setup, config.clone(), run, observer).unwrap().finished);
    let hidden = teacher.with_extension("hidden");
    fs::rename(teacher, &hidden).unwrap();
    assert!(runtime::resume(&setup, run, Some(1), &mut |_| true).unwrap().finished);
    fs::rename(hidden, teacher).unwrap();
}

#[test]
fn a_student_goes_on_with_the_same_bits_where_its_teacher_is_gone() {
    let setup = Setup::default();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let teacher = path("teacher");
    train(&setup, "ppo", &common::PPO, 2, &teacher);
    for (algorithm, settings) in [("ppo", &common::PPO[..]), ("dqn", &common::DQN[..])] {
        let mut config = common::config_of(algorithm, settings);
        (config.seed, config.runtime.threads) = (5, 2);
        config.teacher.policy = Some(teacher.clone());
        let (whole, in_parts) = (path(algorithm), path(&format!("{algorithm}_in_two")));
        run_to_end(config.clone(), &whole);
        in_two(&config, &in_parts, &teacher);
        assert_same(&whole, &in_parts, algorithm);
        // The weight is whole at first and falls with the score that the teacher's file says.
        let coefs = column(&whole, "charts/teacher_coef");
        assert!(coefs[0] > 0.5 && coefs[coefs.len() - 1] < coefs[0], "{algorithm}: {coefs:?}");
    }
    let found = report::compare(&teacher, &path("ppo"), None, None).unwrap();
    assert_eq!((found.scratch.len(), found.differences.len()), (1, 3));
    assert!(found.differences[1].difference.value > 0.0, "a student of a teacher is ahead of it: {found:?}");
}

/// Settings of a student of its teacher alone, and of one that remembers.
const OF_TEACHER: [&str; 3] =
    ["total_timesteps=32768", "agent.learning_rate=3e-3", "teacher={decay='constant', rewards=false}"];
const REMEMBERS: [&str; 2] = ["network.memory={kind='gru', hidden=16}", "agent.share_encoder=true"];

#[test]
fn a_teacher_that_sees_more_is_shown_more() {
    let setup = Setup::default();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let teacher = path("teacher");
    train(&setup, "ppo", &[&common::PPO[..], &OF_TEACHER[..2]].concat(), 2, &teacher);
    let hidden = "env.wrappers=[{kind='mask_observation', indices=[1, 3]}]";
    let normalised =
        "env.wrappers=[{kind='mask_observation', indices=[1, 3], drop=true}, {kind='normalize_observation'}]";
    let noisy = "env.wrappers=[{kind='observation_noise', std=0.01}]";
    let limited = "env.wrappers=[{kind='time_limit', max_episode_steps=100}]";
    let (any, alike, apart) = (0.0..f64::INFINITY, 0.0..0.2, 0.3..2.0);
    for (name, settings, seen, rest) in [
        ("novel", &[&REMEMBERS[..], &["env.id=CartPoleNoVel-v1"]].concat(), Some(0), any.clone()),
        ("normalised", &[&REMEMBERS[..], &[normalised]].concat(), Some(0), any),
        ("noisy", &vec![noisy], Some(0), alike.clone()),
        ("limited", &vec![limited], None, alike),
        // A teacher that saw no velocities either would be reached.
        ("hidden", &vec![hidden], Some(0), apart),
    ] {
        let mut config = common::config_of("ppo", &[&common::PPO[..], &OF_TEACHER, settings].concat());
        (config.seed, config.runtime.threads) = (5, 2);
        config.teacher.policy = Some(teacher.clone());
        let (whole, in_parts) = (path(name), path(&format!("{name}_in_two")));
        run_to_end(config.clone(), &whole);
        in_two(&config, &in_parts, &teacher);
        assert_same(&whole, &in_parts, name);
        let settled = RunConfig::load(&whole.join("config.toml")).unwrap();
        assert_eq!(settled.teacher.wrappers, seen, "{name}");
        assert_eq!(config.first_difference(&settled).filter(|found| found.contains("teacher")), None);
        let losses = column(&whole, "losses/teacher_loss");
        assert!(rest.contains(&(losses[losses.len() - 1] / losses[0])), "{name}: {losses:?}");
    }
    let error = report::compare(&teacher, &path("novel"), None, None).unwrap_err().to_string();
    assert!(error.contains("found CartPole-v1 in") && error.contains("CartPoleNoVel-v1 in"), "{error}");
    let mut config = common::config_of("dqn", &[&common::DQN[..], &["env.id=CartPoleNoVel-v1"]].concat());
    config.teacher.policy = Some(teacher);
    let message = runtime::train(&setup, config, &path("dqn"), &mut |_| true).unwrap_err().to_string();
    assert!(message.contains("ppo, whose teacher may see more"), "{message}");
}

/// The numbers of a column of a run's metrics.
fn column(run: &Path, name: &str) -> Vec<f64> {
    let metrics = fs::read_to_string(run.join("metrics.csv")).unwrap();
    let mut rows = csv::Reader::from_reader(metrics.as_bytes());
    let at = rows.headers().unwrap().iter().position(|header| header == name).unwrap();
    rows.records().map(|row| row.unwrap()[at].parse().unwrap()).collect()
}

#[test]
fn seeds_of_an_experiment_have_one_copy_of_their_teacher_and_go_on_with_it() {
    let setup = Setup::default();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (teacher, all, alone) = (path("teacher"), path("all"), path("alone"));
    train(&setup, "ppo", &common::PPO, 2, &teacher);
    let mut config = common::config_of("ppo", &common::PPO);
    config.teacher.policy = Some(teacher.clone());
    run_to_end(config.clone(), &alone);
    let runs = experiment::seed_runs(&all, 1, 2);
    config.runtime.threads = 1;
    // Stopped while the first seed learns, so that the second one has not begun when the teacher goes.
    let stopped = experiment::train(&setup, &config, &all, &runs, &|_| {
        Box::new(watch(|progress| progress.env_steps < 8000))
    });
    assert!(stopped.unwrap()[1].outcome().is_none());
    fs::remove_dir_all(&teacher).unwrap();
    let outcomes = experiment::resume(&setup, &all, None, &|_| Box::new(watch(|_| true))).unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.outcome().is_some_and(|outcome| outcome.finished)));
    assert_same(&all.join("seed_1"), &alone, "the first seed");
    // Asked for again, and further than they were to go, they are the same runs.
    experiment::extend(&all, 20_480).unwrap();
    let outcomes = experiment::resume(&setup, &all, None, &|_| Box::new(watch(|_| true))).unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.outcome().is_some_and(|outcome| outcome.finished)));
}

#[test]
fn teachers_that_do_not_suit_are_refused_before_anything_begins() {
    let setup = Setup::default();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (teacher, run) = (path("teacher"), path("run"));
    let short = ["total_timesteps=2048"];
    train(&setup, "ppo", &[&common::PPO[..], &short].concat(), 1, &teacher);
    let normalised = "env.wrappers=[{kind='normalize_observation'}]";
    let normal = path("normal");
    train(&setup, "ppo", &[&common::PPO[..], &short, &[normalised]].concat(), 1, &normal);
    let refused_of = |teacher: &Path, algorithm: &str, settings: &[&str]| {
        let mut config = common::config_of(algorithm, settings);
        config.teacher.policy = Some(teacher.to_owned());
        let message = runtime::train(&setup, config, &run, &mut |_| true).unwrap_err().to_string();
        assert!(!run.exists());
        message
    };
    let refused = |algorithm: &str, settings: &[&str]| refused_of(&teacher, algorithm, settings);
    let message = refused("ppo", &[&common::PPO[..], &["env.id=Acrobot-v1"]].concat());
    assert!(message.contains("observes"), "{message}");
    let message = refused_of(&normal, "ppo", &[&common::PPO[..], &[normalised]].concat());
    assert!(message.contains("normalised"), "{message}");
    let message = refused("ppo", &[&common::PPO[..], &["teacher={wrappers=1}"]].concat());
    assert!(message.contains("privileged must be at most the number of wrappers, got 1 of 0"), "{message}");
    let message = refused("sac", &["num_envs=2"]);
    assert!(message.contains("learning from a teacher"), "{message}");
    let message = refused("c51", &common::DQN);
    assert!(message.contains("learning from a teacher"), "{message}");
    let message = refused("ppo", &[&common::PPO[..], &["teacher={coef=-1.0}"]].concat());
    assert!(message.contains("teacher.coef must be above 0, got -1"), "{message}");
}
