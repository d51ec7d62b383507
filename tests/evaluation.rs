//! Evaluations during training: rows of their own, and not a bit of the training changed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::path::Path;

use agon::RunError;
use agon::agents::search::SearchConfig;
use agon::evaluate::{EvalOptions, evaluate, evaluate_in};
use agon::policy;
use agon::runtime::{self, Setup};
use agon::sinks::{Progress, Signal, Sink};

const TRAINING: [&str; 3] = ["model.safetensors", "metrics.csv", "episodes.csv"];
const EVALUATIONS: &str = "evaluations.csv";
/// Running statistics, which every shard shares, and evaluations that checkpoints do not coincide with.
const EVALUATED: [&str; 3] =
    ["env.wrappers=[{kind='normalize_observation'}]", "eval.every=3000", "eval.episodes=7"];

fn train(algorithm: &str, settings: &[&str], threads: usize, run: &Path) {
    let mut config = common::config_of(algorithm, settings);
    config.runtime.threads = threads;
    assert!(runtime::train(&Setup::default(), config, run, &mut |_| true).unwrap().finished);
}

fn read(run: &Path, name: &str) -> Vec<u8> {
    fs::read(run.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn evaluations_change_nothing(algorithm: &str, settings: &[&str], more: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let wrapped = [settings, &EVALUATED[..1]].concat();
    train(algorithm, &wrapped, 2, &path("without"));
    let evaluated = [settings, &EVALUATED, more].concat();
    for (threads, name) in [(1, "one"), (4, "four")] {
        train(algorithm, &evaluated, threads, &path(name));
        for file in TRAINING {
            assert!(read(&path("without"), file) == read(&path(name), file), "{file}, {threads} threads");
        }
    }
    assert!(!path("without").join(EVALUATIONS).exists());
    let table = String::from_utf8(read(&path("one"), EVALUATIONS)).unwrap();
    assert_eq!(table.as_bytes(), read(&path("four"), EVALUATIONS));
    let total = common::config_of(algorithm, &evaluated).total_timesteps;
    assert_eq!(table.lines().count() as u64, 1 + total.div_ceil(3000), "{table}");
    assert!(table.lines().all(|line| line.split(',').count() == 8), "{table}");
}

#[test]
fn ppo_learns_the_same_with_evaluations_for_any_number_of_threads() {
    evaluations_change_nothing("ppo", &common::PPO, &[]);
}

#[test]
fn dqn_learns_the_same_with_stochastic_evaluations_for_any_number_of_threads() {
    evaluations_change_nothing("dqn", &common::DQN, &["eval.stochastic=true"]);
}

#[test]
fn a_stopped_run_resumes_to_the_same_evaluations() {
    let directory = tempfile::tempdir().unwrap();
    let settings = [&common::PPO[..], &EVALUATED].concat();
    let path = |name: &str| directory.path().join(name);
    train("ppo", &settings, 2, &path("whole"));
    for stop_after in [5, 6, 17] {
        let run = path(&format!("stopped_{stop_after}"));
        let mut iterations = 0;
        let config = common::config_of("ppo", &settings);
        let stopped = runtime::train(&Setup::default(), config, &run, &mut |_| {
            iterations += 1;
            iterations < stop_after
        });
        assert!(!stopped.unwrap().finished);
        assert!(runtime::resume(&Setup::default(), &run, Some(1), &mut |_| true).unwrap().finished);
        for file in TRAINING.iter().chain(&[EVALUATIONS]) {
            assert!(read(&path("whole"), file) == read(&run, file), "stopped after {stop_after}: {file}");
        }
    }
}

#[test]
fn the_best_checkpoint_is_that_of_the_best_evaluation() {
    let directory = tempfile::tempdir().unwrap();
    let settings = [&common::PPO[..], &EVALUATED].concat();
    train("ppo", &settings, 2, directory.path());
    let table = String::from_utf8(read(directory.path(), EVALUATIONS)).unwrap();
    let column = |line: &str, index: usize| line.split(',').nth(index).unwrap().parse::<f64>().unwrap();
    let rows: Vec<(f64, f64)> =
        table.lines().skip(1).map(|line| (column(line, 3), column(line, 1))).collect();
    // The first of equals, which is the one that was kept.
    let best = rows.iter().copied().reduce(|a, b| if b.0 > a.0 { b } else { a }).unwrap();
    let options = EvalOptions { episodes: 1, best: true, ..EvalOptions::default() };
    let evaluation = evaluate(&Setup::default(), directory.path(), &options).unwrap();
    assert_eq!(evaluation.env_steps as f64, best.1, "{table}");
}

#[test]
fn episodes_are_those_of_environments_whatever_their_agents() {
    let directory = tempfile::tempdir().unwrap();
    train("ppo", &[&common::PPO[..], &["env.id=SimpleTag-v3"]].concat(), 2, directory.path());
    let evaluated = |episodes| {
        let options = EvalOptions { episodes, ..EvalOptions::default() };
        evaluate(&Setup::default(), directory.path(), &options).unwrap()
    };
    let (three, four) = (evaluated(3), evaluated(4));
    assert_eq!((three.returns.len(), four.returns.len()), (3, 4));
    // The environments of the same seed play the same episodes, and one more.
    assert_eq!(three.returns, four.returns[..3]);
    for evaluation in [&three, &four] {
        let (agents, teams) = (&evaluation.agents, &evaluation.teams);
        assert_eq!((agents.len(), teams.len()), (4, 2));
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9 * a.abs().max(1.0);
        assert!(close(agents[..3].iter().sum(), teams["adversary"]) && close(agents[3], teams["good"]));
        assert!(close(agents.iter().sum::<f64>() / 4.0, evaluation.mean_return));
    }
}

/// Wants long work to end.
struct Impatient;

impl Sink for Impatient {
    fn name(&self) -> &str {
        "impatient"
    }

    fn poll(&mut self) -> Signal {
        Signal::Stop
    }

    fn iteration(&mut self, _: &Progress<'_>) -> Result<Signal, RunError> {
        Ok(Signal::Continue)
    }
}

#[test]
fn an_evaluation_that_never_ends_ends_when_the_run_is_to_stop() {
    let directory = tempfile::tempdir().unwrap();
    let endless = [
        "env.id=MountainCar-v0",
        "env.max_episode_steps=0",
        "eval.max_episode_steps=4000000000",
        "eval.every=4096",
        "eval.episodes=2",
    ];
    let config = common::config_of("ppo", &[&common::PPO[..], &endless].concat());
    let run = directory.path().join("run");
    let outcome = runtime::train_with(&Setup::default(), config, &run, Box::new(Impatient)).unwrap();
    // It goes on from the checkpoint before: the evaluation, and all it may decide, is done again.
    assert!(!outcome.finished && outcome.env_steps < 4096, "{outcome:?}");
    assert!(fs::read_dir(run.join("checkpoints")).unwrap().count() > 0);
}

#[test]
fn an_episode_that_nothing_ends_is_cut() {
    let directory = tempfile::tempdir().unwrap();
    let endless = ["env.id=Pendulum-v1", "env.max_episode_steps=0", "eval.every=8192", "eval.episodes=3"];
    let cut = ["eval.max_episode_steps=250"];
    train("ppo", &[&common::PPO[..], &endless, &cut].concat(), 2, directory.path());
    let table = String::from_utf8(read(directory.path(), EVALUATIONS)).unwrap();
    assert!(table.lines().skip(1).all(|line| line.contains("250")), "{table}");
    let options = EvalOptions { episodes: 2, max_episode_steps: 300, ..EvalOptions::default() };
    let evaluation = evaluate(&Setup::default(), directory.path(), &options).unwrap();
    assert_eq!((evaluation.cut, evaluation.mean_length), (2, 300.0));
}

#[test]
fn a_search_goes_on_from_what_ppo_learned() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run");
    // Few steps, so that there is something left to be found: merges that pay at once.
    train("ppo", &[&common::PPO[..], &["env.id=Game2048-v0", "total_timesteps=4096"]].concat(), 2, &run);
    let setup = Setup::default();
    let options = EvalOptions { episodes: 16, ..EvalOptions::default() };
    let plain = policy::load(&run).unwrap();
    let env = plain.card().env.clone();
    let before = evaluate_in(&setup, &plain, &env, &options).unwrap().mean_return;
    let settings = SearchConfig { outcomes: 2, ..plain.search_settings() };
    let ahead = plain.looking_ahead(settings.clone()).unwrap();
    let after = evaluate_in(&setup, &ahead, &env, &options).unwrap().mean_return;
    assert!(after > 1.2 * before, "{before} without a search, {after} with one");
    assert_eq!(ahead.search_settings(), settings);
    // A policy without values, and one that remembers.
    let lstm = ["network.memory={kind='lstm', hidden=16}", "agent.sequence_length=16"];
    let remembering = ["agent.share_encoder=true"];
    for (name, algorithm, settings) in [
        ("dqn", "dqn", common::DQN.to_vec()),
        ("lstm", "ppo", [&common::PPO[..], &remembering, &lstm].concat()),
    ] {
        let run = directory.path().join(name);
        train(algorithm, &settings, 2, &run);
        let trained = policy::load(&run).unwrap();
        let settings = trained.search_settings();
        let error = trained.looking_ahead(settings).err().unwrap().to_string();
        assert!(error.contains("a policy with a value function"), "{error}");
    }
}
