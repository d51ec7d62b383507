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
    let found = compare(&Setup::default(), &named(&["a", "c"]), &wanted).unwrap();
    assert_eq!((found.algorithms.len(), found.left_out[0].path.clone()), (1, path("c")));
    assert!(found.left_out[0].reason.starts_with("expected a run with evaluations"), "{found:?}");
    let message = refusal(&named(&["c"]), &wanted);
    assert!(message.contains("expected a run with evaluations"), "{message}");
}

#[test]
fn runs_of_other_settings_are_told_apart_by_their_directories_or_refused_under_one_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    run(&path("a"), "ppo", "CartPole-v1", 1, 1.0, None);
    run(&path("b"), "ppo", "CartPole-v1", 2, 2.0, Some(1.0));
    run(&path("c"), "ppo", "CartPole-v1", 3, 3.0, None);
    let text = |name: &str| path(name).display().to_string();
    let parse = |texts: &[String]| texts.iter().map(|text| Contestant::parse(text)).collect::<Vec<_>>();
    let found = compare(&Setup::default(), &parse(&["a", "b", "c", "a"].map(text)), &options(&[])).unwrap();
    let groups: Vec<_> = found.algorithms.iter().map(|row| (row.label.as_str(), row.runs)).collect();
    assert_eq!(groups, [("PPO", 2), ("PPO (b)", 1)]);
    let [again] = &found.left_out[..] else { panic!("{found:?}") };
    assert!(again.reason.contains("the same settings and seed as"), "{again:?}");
    let named = ["a", "b"].map(|name| format!("mine={}", text(name)));
    let message = refusal(&parse(&named), &options(&[]));
    assert!(
        message.contains("seed and nothing else") && message.contains("eval.every: 0 and 10"),
        "{message}"
    );
}

#[test]
fn what_does_not_compare_is_left_out_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    run(&path("a"), "ppo", "CartPole-v1", 1, 1.0, None);
    run(&path("b"), "dqn", "CartPole-v1", 1, 2.0, None);
    run(&path("c"), "sac", "Pendulum-v1", 1, 3.0, None);
    run(&path("d"), "ppo", "Acrobot-v1", 1, 3.0, None);
    run(&path("e"), "ppo", "CartPole-v1", 2, 1.0, None);
    fs::write(
        path("e").join("metrics.csv"),
        "iteration,global_step,updates,charts/episodic_return\n1,5,1,1\n",
    )
    .unwrap();
    fs::create_dir(path("f")).unwrap();
    fs::write(path("notes.txt"), "no run").unwrap();
    let all: Vec<Contestant> = ["a", "b", "c", "d", "e", "f", "notes.txt"]
        .map(|name| Contestant { label: None, path: path(name) })
        .to_vec();
    let found = compare(&Setup::default(), &all, &options(&[])).unwrap();
    let labels: Vec<_> = found.algorithms.iter().map(|row| row.label.as_str()).collect();
    assert_eq!(labels, ["PPO", "DQN"]);
    let reason = |name: &str| {
        let of_path = |left_out: &&LeftOut| left_out.path == path(name);
        found.left_out.iter().find(of_path).map(|left_out| left_out.reason.as_str()).unwrap_or_default()
    };
    assert_eq!(reason("c"), "it ran in Pendulum-v1, compared is CartPole-v1");
    assert_eq!(reason("d"), "it ran in Acrobot-v1, compared is CartPole-v1");
    assert!(reason("e").contains("after 5 of 10 steps"), "{}", reason("e"));
    assert!(reason("f").starts_with("expected a run or an experiment"), "{}", reason("f"));
    assert!(reason("notes.txt").contains("cannot read"), "{}", reason("notes.txt"));
    let nothing = refusal(&all[5..], &options(&[]));
    assert!(nothing.contains("got none") && nothing.contains("notes.txt"), "{nothing}");
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
