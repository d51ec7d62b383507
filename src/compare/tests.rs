use std::fs;

use super::*;
use crate::config::RunConfig;

/// A finished run of an algorithm in an environment, without having trained.
fn run(path: &Path, algorithm: &str, env: &str, seed: u64, score: f64, evaluation: Option<f64>) {
    fs::create_dir_all(path).unwrap();
    let mut config =
        RunConfig { algorithm: algorithm.to_owned(), seed, total_timesteps: 10, ..Default::default() };
    config.env.id = env.to_owned();
    config.eval.every = u64::from(evaluation.is_some()) * 10;
    fs::write(path.join("config.toml"), toml::to_string(&config).unwrap()).unwrap();
    let metrics = format!("iteration,global_step,updates,charts/episodic_return\n1,10,1,{score}\n");
    fs::write(path.join("metrics.csv"), metrics).unwrap();
    if let Some(evaluation) = evaluation {
        let text = format!("iteration,global_step,eval/mean_return\n1,10,{evaluation}\n");
        fs::write(path.join("evaluations.csv"), text).unwrap();
    }
}

fn experiment(path: &Path, algorithm: &str, env: &str, scores: &[f64]) -> Contestant {
    for (seed, &score) in (1..).zip(scores) {
        run(&path.join(format!("seed_{seed}")), algorithm, env, seed, score, None);
    }
    Contestant { label: None, path: path.to_owned() }
}

fn options(normalize: &[&str]) -> CompareOptions {
    let normalize = normalize.iter().map(|text| Normalization::parse(text).unwrap()).collect();
    CompareOptions { normalize, resampling: Resampling { resamples: 2000, seed: 1 }, ..Default::default() }
}

fn refusal(contestants: &[Contestant], options: &CompareOptions) -> String {
    compare(&Setup::default(), contestants, options).unwrap_err().to_string()
}

#[test]
fn one_environment_is_compared_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let ppo = experiment(&dir.path().join("a"), "ppo", "CartPole-v1", &[1.0, 2.0, 3.0, 4.0]);
    let dqn = experiment(&dir.path().join("b"), "dqn", "CartPole-v1", &[2.0, 2.0, 0.0, 0.0]);
    let found = compare(&Setup::default(), &[ppo, dqn], &options(&[])).unwrap();
    assert_eq!(found.measure, Measure::Last100);
    let [ppo, dqn] = &found.algorithms[..] else { panic!("{found:?}") };
    assert_eq!((ppo.label.as_str(), ppo.iqm.value, dqn.iqm.value), ("PPO", 2.5, 1.0));
    assert!(ppo.optimality_gap.is_none());
    // 1: half of two, 2: two and half of two, 3 and 4: all.
    let improvement = &found.improvements[0];
    assert_eq!((improvement.label.as_str(), improvement.over.as_str()), ("PPO", "DQN"));
    assert_eq!(improvement.probability.value, (2.0 + 3.0 + 4.0 + 4.0) / 16.0);
    let profiles = found.profiles(Resampling::default());
    assert_eq!((profiles[0].points[0].1, profiles[0].points[200].1), (1.0, 0.0));
}

#[test]
fn several_environments_are_normalised() {
    let dir = tempfile::tempdir().unwrap();
    let cartpole = experiment(&dir.path().join("a"), "ppo", "CartPole-v1", &[250.0, 500.0]);
    let acrobot = experiment(&dir.path().join("b"), "ppo", "Acrobot-v1", &[-300.0, -100.0]);
    let both = [cartpole, acrobot];
    let message = refusal(&both, &options(&[]));
    assert!(message.contains("normalised") && message.contains("--normalize"), "{message}");
    let ranges = ["CartPole-v1=0..500", "-500..threshold"];
    let found = compare(&Setup::default(), &both, &options(&ranges)).unwrap();
    // Sorted by id; Acrobot's threshold is -100.
    assert_eq!(found.algorithms[0].scores, [[0.5, 1.0], [0.5, 1.0]]);
    assert_eq!(found.algorithms[0].optimality_gap.unwrap().value, 0.25);
    let random = compare(&Setup::default(), &both[..1], &options(&["random..500"])).unwrap();
    let (low, _) = random.environments[0].references.unwrap();
    assert!((15.0..30.0).contains(&low), "random play of CartPole lasts about 22 steps, got {low}");
}

#[test]
fn evaluations_count_where_all_runs_have_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    run(&path("a"), "ppo", "CartPole-v1", 1, 1.0, Some(100.0));
    run(&path("b"), "dqn", "CartPole-v1", 1, 2.0, Some(200.0));
    run(&path("c"), "dqn", "CartPole-v1", 1, 3.0, None);
    let named = |names: &[&str]| -> Vec<Contestant> {
        names.iter().map(|name| Contestant { label: None, path: path(name) }).collect()
    };
    let means = |names: &[&str]| -> Vec<f64> {
        let found = compare(&Setup::default(), &named(names), &options(&[])).unwrap();
        found.algorithms.iter().map(|row| row.mean.value).collect()
    };
    assert_eq!(means(&["a", "b"]), [100.0, 200.0]);
    assert_eq!(means(&["a", "c"]), [1.0, 3.0]);
    let wanted = CompareOptions { measure: Some(Measure::FinalEvaluation), ..options(&[]) };
    let message = refusal(&named(&["a", "c"]), &wanted);
    assert!(message.contains("expected a run with evaluations"), "{message}");
}

#[test]
fn groups_that_mix_settings_or_repeat_seeds_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    run(&path("a"), "ppo", "CartPole-v1", 1, 1.0, None);
    run(&path("b"), "ppo", "CartPole-v1", 2, 2.0, Some(1.0));
    let parse = |text: String| Contestant::parse(&text);
    let (a, b) = (path("a").display().to_string(), path("b").display().to_string());
    let message = refusal(&[parse(a.clone()), parse(b.clone())], &options(&[]));
    assert!(message.contains("seed and nothing else") && message.contains("mine="), "{message}");
    assert!(refusal(&[parse(a.clone()), parse(a.clone())], &options(&[])).contains("seed and nothing else"));
    let found = compare(&Setup::default(), &[parse(a.clone()), parse(format!("other={b}"))], &options(&[]));
    assert_eq!(found.unwrap().algorithms[1].label, "other");

    run(&path("c"), "dqn", "Acrobot-v1", 1, 1.0, None);
    let message = refusal(&[parse(a), parse(path("c").display().to_string())], &options(&["0..1"]));
    assert!(message.contains("PPO in CartPole-v1 and DQN in Acrobot-v1"), "{message}");
}

#[test]
fn ranges_are_read_or_refused() {
    let parsed = Normalization::parse("Acrobot-v1=-500..-80.5").unwrap();
    assert_eq!(parsed.env.as_deref(), Some("Acrobot-v1"));
    assert_eq!((parsed.low, parsed.high), (Reference::Score(-500.0), Reference::Score(-80.5)));
    let parsed = Normalization::parse("random..threshold").unwrap();
    assert_eq!((parsed.env, parsed.low, parsed.high), (None, Reference::Random, Reference::Threshold));
    for text in ["500", "low..500", "1..NaN", "=..", ""] {
        let message = Normalization::parse(text).unwrap_err().to_string();
        assert!(message.contains("expected LOW..HIGH"), "{message}");
    }
}
