use std::fs;
use std::sync::Mutex;

use super::*;
use crate::sinks::watch;

const FILE: &str = r#"
    algorithm = "ppo"
    env = "CartPole-v1"
    preset = "none"
    seeds = 2

    [strategy]
    kind = "successive_halving"
    trials = 4
    eta = 2
    min_steps = 256

    [settings]
    total_timesteps = 1024
    num_envs = 4
    agent.num_steps = 32
    network.encoder.hidden = [8]

    [parameters]
    agent.learning_rate = { kind = "log_uniform", low = 1e-4, high = 1e-2 }
    agent.gamma = [0.9, 0.99]
"#;

fn file(text: &str) -> SweepFile {
    let file: SweepFile = config::from_table(text.parse().unwrap()).unwrap();
    file
}

fn run_until(file: &SweepFile, path: &Path, iterations: usize) -> Option<SweepReport> {
    let left = Mutex::new(iterations);
    let observe = |_: &Job| -> Box<dyn Sink + '_> {
        Box::new(watch(|_| {
            let mut left = left.lock().unwrap();
            *left = left.saturating_sub(1);
            *left > 0
        }))
    };
    run(&Setup::default(), file, path, 1, &observe).unwrap()
}

#[test]
fn halving_trains_the_better_trials_longer() {
    let directory = tempfile::tempdir().unwrap();
    let report = run_until(&file(FILE), directory.path(), usize::MAX).unwrap();
    let steps: Vec<u64> = report.trials.iter().map(|trial| trial.env_steps).collect();
    assert_eq!(steps, [1024, 512, 256, 256]);
    assert_eq!(report.trials[0].status, Status::Finished);
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    assert_eq!(read("trials.csv").lines().count(), 5);
    assert!(
        read("trials.csv").starts_with(
            "trial,agent.gamma,agent.learning_rate,status,env_steps,score,seed_1,seed_2,failure"
        )
    );
    assert!(read("table.md").contains("| rank | trial |"));
    for name in ["best.svg", "score_over_agent_learning_rate.svg", "score_over_agent_gamma.svg"] {
        assert!(directory.path().join(name).exists(), "{name}");
    }
    // A stopped trial is a run of full length that waits at a checkpoint.
    let stopped = report.trials[3].path.join("seed_1");
    assert_eq!(RunConfig::load(&stopped.join("config.toml")).unwrap().total_timesteps, 1024);
    assert!((256..512).contains(&crate::run::written::steps_done(&stopped).unwrap()));
    let metric = FILE.replace("seeds = 2", "seeds = 2\nmetric = 'final_evaluation'");
    let uneven = metric.replace("num_envs = 4", "num_envs = 4\neval.every = 100");
    let message = candidates(&Setup::default(), &file(&uneven), directory.path()).err().unwrap().to_string();
    assert!(message.contains("must divide strategy.min_steps = 256") && message.contains("100"), "{message}");
}

#[test]
fn a_sweep_that_was_stopped_anywhere_goes_on_to_the_same_table() {
    let directory = tempfile::tempdir().unwrap();
    let whole = directory.path().join("whole");
    run_until(&file(FILE), &whole, usize::MAX).unwrap();
    let expected = fs::read(whole.join("trials.csv")).unwrap();
    let stopped = directory.path().join("stopped");
    let mut stops = 0;
    while run_until(&file(FILE), &stopped, 5).is_none() {
        stops += 1;
    }
    assert!(stops > 3, "{stops}");
    assert!(expected == fs::read(stopped.join("trials.csv")).unwrap());
    // Rows of metrics that are far apart change nothing, and neither does asking again.
    let sparse = FILE.replace("num_envs = 4", "num_envs = 4\nruntime.log_every = 1000");
    let path = directory.path().join("sparse");
    for iterations in [7, usize::MAX, usize::MAX] {
        run_until(&file(&sparse), &path, iterations);
    }
    assert!(expected == fs::read(path.join("trials.csv")).unwrap());
}

#[test]
fn trials_that_diverge_are_reported_and_the_rest_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let grid = FILE
        .replace("kind = \"successive_halving\"", "kind = \"grid\"")
        .replace("trials = 4\n", "")
        .replace("eta = 2\n", "")
        .replace("min_steps = 256\n", "")
        .replace("{ kind = \"log_uniform\", low = 1e-4, high = 1e-2 }", "[1e-3, 1e30, 3e-4]");
    let report = run_until(&file(&grid), directory.path(), usize::MAX).unwrap();
    assert_eq!((report.succeeded().count(), report.failed().count()), (4, 2));
    for trial in report.failed() {
        assert_eq!(trial.values[1].as_float(), Some(1e30));
        let reason = trial.failure.clone().unwrap();
        assert!(reason.contains("at update"), "{reason}");
        assert!(report.table().contains(&reason));
    }
    let trials = fs::read_to_string(directory.path().join("trials.csv")).unwrap();
    assert_eq!(trials.lines().filter(|line| line.contains(",failed,")).count(), 2, "{trials}");
    // Asked for again, nothing is tried again and the same table comes out.
    let mut begun = 0;
    let begun_again = Mutex::new(&mut begun);
    let observe = |_: &Job| -> Box<dyn Sink + '_> {
        Box::new(watch(|_| {
            **begun_again.lock().unwrap() += 1;
            true
        }))
    };
    let again = run(&Setup::default(), &file(&grid), directory.path(), 1, &observe).unwrap().unwrap();
    assert_eq!(again, report);
    assert_eq!(begun, 0);
    // By itself a failed run can be tried again: a new version of an algorithm may not fail.
    let failed = report.failed().next().unwrap().path.join("seed_1");
    assert!(crate::run::Failure::load(&failed).unwrap().is_some());
    crate::runtime::resume(&Setup::default(), &failed, None, &mut |_| true).unwrap_err();
    assert!(crate::run::Failure::load(&failed).unwrap().is_none());
}

#[test]
fn a_changed_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let small = FILE.replace("trials = 4", "trials = 1").replace("seeds = 2", "seeds = 1");
    run_until(&file(&small), directory.path(), usize::MAX).unwrap();
    let other = small.replace("0.9, 0.99", "0.9, 0.98");
    let error = run(&Setup::default(), &file(&other), directory.path(), 1, &|_| Box::new(watch(|_| true)))
        .unwrap_err();
    let message = error.to_string();
    assert!(message.contains("parameters.agent.gamma: [0.9, 0.98] and [0.9, 0.99]"), "{message}");
}

#[test]
fn broken_trials_are_found_before_any_begins() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sweep");
    let broken = FILE.replace("agent.gamma = [0.9, 0.99]", "agent.gama = [0.9]");
    let error = run(&Setup::default(), &file(&broken), &path, 1, &|_| Box::new(watch(|_| true))).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("trial 1") && message.contains("unknown field `gama`"), "{message}");
    assert!(!path.exists(), "nothing was written");
}

#[test]
fn wrong_files_name_the_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sweep.toml");
    for (from, to, expected) in [
        ("eta = 2", "eta = 1", "strategy.eta must be at least 2, got 1"),
        ("seeds = 2", "seeds = 0", "seeds must be at least 1, got 0"),
        ("kind = \"successive_halving\"", "kind = \"bayes\"", "unknown variant `bayes`"),
        ("seeds = 2", "sead = 2", "unknown field `sead`"),
    ] {
        fs::write(&path, FILE.replace(from, to)).unwrap();
        let message = SweepFile::load(&path).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains("sweep.toml"), "{message}");
    }
    let long = file(&FILE.replace("min_steps = 256", "min_steps = 2000"));
    let message = long.rungs(1024).unwrap_err().to_string();
    assert!(message.contains("at most total_timesteps = 1024, got 2000"), "{message}");
    assert_eq!(file(FILE).rungs(1024).unwrap(), [256, 512, 1024]);
}

#[test]
fn the_example_is_a_sweep() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/sweeps/dqn_cartpole.toml");
    let file = SweepFile::load(&path).unwrap();
    let candidates = candidates(&Setup::default(), &file, Path::new("nowhere")).unwrap();
    assert_eq!(candidates.len(), 12);
}
