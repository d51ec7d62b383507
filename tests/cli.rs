//! The `agon` program as a user meets it: what it prints, what it writes, how it exits.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::path::Path;

use common::run;

/// Trains PPO for a moment into `results/NAME`.
fn train(directory: &Path, name: &str, more: &[&str]) -> String {
    let mut arguments = vec!["train", "ppo", "CartPole-v1", "--total-timesteps", "4096", "--name", name];
    arguments.extend(more);
    let (output, text) = run(directory, &arguments);
    assert!(output.status.success(), "{text}");
    text
}

#[test]
fn training_writes_a_whole_run_directory() {
    let directory = tempfile::tempdir().unwrap();
    let text = train(directory.path(), "one", &[]);
    assert!(text.contains("learning curve: results/one/curve.svg"), "{text}");
    assert!(text.contains("steps/s"), "{text}");
    let path = directory.path().join("results/one");
    for name in [
        "config.toml",
        "metrics.csv",
        "episodes.csv",
        "timing.csv",
        "model.safetensors",
        "curve.svg",
        "curve.png",
    ] {
        assert!(path.join(name).metadata().unwrap().len() > 0, "{name}");
    }
    let events = fs::read_dir(&path).unwrap().filter(|entry| {
        entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("events.out.tfevents.")
    });
    assert_eq!(events.count(), 1);
    let config = fs::read_to_string(path.join("config.toml")).unwrap();
    for part in ["gae_lambda = 0.8", "[made_by]", "version = ", "command = ", "instruction_set = "] {
        assert!(config.contains(part), "expected `{part}` in {config}");
    }
    let metrics = fs::read_to_string(path.join("metrics.csv")).unwrap();
    let header = metrics.lines().next().unwrap();
    for name in ["global_step", "charts/episodic_return", "losses/policy_loss", "losses/explained_variance"] {
        assert!(header.split(',').any(|column| column == name), "{header}");
    }
    assert_eq!(metrics.lines().count(), 1 + 4096 / 256, "a row an iteration");
    let rows: Vec<usize> = metrics.lines().map(|line| line.split(',').count()).collect();
    assert!(rows.iter().all(|&columns| columns == rows[0]), "every row has the header's columns");
}

#[test]
fn a_run_is_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    train(directory.path(), "one", &[]);
    let before = fs::read(directory.path().join("results/one/metrics.csv")).unwrap();
    let (output, text) = run(directory.path(), &["train", "ppo", "CartPole-v1", "--name", "one"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("holds a run already") && text.contains("agon resume"), "{text}");
    assert_eq!(fs::read(directory.path().join("results/one/metrics.csv")).unwrap(), before);
}

#[test]
fn a_written_config_repeats_the_run() {
    let directory = tempfile::tempdir().unwrap();
    train(directory.path(), "one", &["--seed", "5", "--set", "agent.gamma=0.9"]);
    train(directory.path(), "two", &["--preset", "none", "--config", "results/one/config.toml"]);
    for name in ["metrics.csv", "model.safetensors"] {
        let read = |run: &str| fs::read(directory.path().join("results").join(run).join(name)).unwrap();
        assert!(read("one") == read("two"), "{name} differs");
    }
}

#[test]
fn several_seeds_share_a_curve_and_are_each_a_run() {
    let directory = tempfile::tempdir().unwrap();
    train(directory.path(), "many", &["--seeds", "3"]);
    train(directory.path(), "alone", &["--seed", "2"]);
    let path = directory.path().join("results/many");
    assert!(path.join("curve.svg").exists());
    let read = |path: &Path| fs::read(path.join("metrics.csv")).unwrap();
    assert_eq!(
        read(&path.join("seed_2")),
        read(&directory.path().join("results/alone")),
        "seeds do not touch each other"
    );
    assert_ne!(read(&path.join("seed_1")), read(&path.join("seed_2")));
    let arguments = ["plot", "results/many", "results/alone", "--x", "seconds", "--out", "both.png"];
    let (output, text) = run(directory.path(), &arguments);
    assert!(output.status.success(), "{text}");
    assert!(fs::read(directory.path().join("both.png")).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn an_experiment_resumes_as_a_whole() {
    let directory = tempfile::tempdir().unwrap();
    train(directory.path(), "whole", &["--seeds", "3"]);
    train(directory.path(), "cut", &["--seeds", "3"]);
    let path = directory.path().join("results/cut");
    // As a kill would leave it: one seed finished, one cut short before its first checkpoint, one not begun.
    fs::remove_dir_all(path.join("seed_3")).unwrap();
    for checkpoint in fs::read_dir(path.join("seed_2/checkpoints")).unwrap() {
        fs::remove_file(checkpoint.unwrap().path()).unwrap();
    }
    fs::remove_file(path.join("seed_2/model.safetensors")).unwrap();
    let before = fs::metadata(path.join("seed_1/model.safetensors")).unwrap().modified().unwrap();
    let (output, text) = run(directory.path(), &["resume", "results/cut"]);
    assert!(output.status.success() && text.contains("seed 3: finished"), "{text}");
    for seed in 1..=3 {
        let read = |name: &str| {
            fs::read(directory.path().join(format!("results/{name}/seed_{seed}/metrics.csv"))).unwrap()
        };
        assert!(read("whole") == read("cut"), "seed {seed}");
    }
    let after = fs::metadata(path.join("seed_1/model.safetensors")).unwrap().modified().unwrap();
    assert_eq!(before, after, "a finished seed stays as it is");
    let (output, text) =
        run(directory.path(), &["train", "ppo", "CartPole-v1", "--seeds", "4", "--name", "whole"]);
    assert!(!output.status.success() && text.contains("experiment already"), "{text}");
}

#[test]
fn a_killed_sweep_goes_on_to_the_same_table() {
    let directory = tempfile::tempdir().unwrap();
    let file = r#"
        algorithm = "ppo"
        env = "CartPole-v1"
        seeds = 2
        metric = "final_evaluation"
        strategy = { kind = "successive_halving", trials = 6, min_steps = 1024 }
        settings.total_timesteps = 8192
        parameters.agent.learning_rate = { kind = "log_uniform", low = 1e-4, high = 1e-2 }
    "#;
    fs::write(directory.path().join("lr.toml"), file).unwrap();
    let (output, text) = run(directory.path(), &["sweep", "lr.toml"]);
    assert!(output.status.success() && text.contains("| rank |"), "{text}");
    let killed = directory.path().join("results/killed");
    let mut trials = 0;
    for place in ["trial_001/seed_1", "trial_003/seed_2", "trial_006/seed_1"] {
        let mut child =
            common::agon(directory.path(), &["sweep", "lr.toml", "--name", "killed", "--threads", "1"])
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
        while !killed.join(place).join("metrics.csv").exists() {
            assert!(child.try_wait().unwrap().is_none(), "the sweep ended before {place} began");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        trials = fs::read_dir(&killed).unwrap().count();
    }
    assert!(trials >= 7, "six trials and the sweep's file");
    let (output, text) = run(directory.path(), &["sweep", "lr.toml", "--name", "killed"]);
    assert!(output.status.success(), "{text}");
    let read = |name: &str| fs::read(directory.path().join("results").join(name).join("trials.csv")).unwrap();
    assert!(read("lr") == read("killed"));
    fs::write(directory.path().join("lr.toml"), file.replace("1e-4", "1e-3")).unwrap();
    let (output, text) = run(directory.path(), &["sweep", "lr.toml", "--name", "killed"]);
    assert!(!output.status.success() && text.contains("holds a sweep of another file"), "{text}");
}

#[test]
fn comparisons_have_tables_profiles_and_json() {
    let directory = tempfile::tempdir().unwrap();
    train(directory.path(), "a", &["--seeds", "2", "--eval-every", "2048"]);
    train(directory.path(), "b", &["--seeds", "2", "--set", "agent.gamma=0.5", "--eval-every", "2048"]);
    let arguments = ["compare", "far=results/a", "near=results/b", "--resamples", "500"];
    let (output, text) = run(directory.path(), &[&arguments[..], &["--out", "profile.svg"]].concat());
    assert!(output.status.success(), "{text}");
    for part in ["final evaluation", "| far ", "| near ", "interquartile mean", "probability", "profile.svg"]
    {
        assert!(text.contains(part), "expected `{part}` in {text}");
    }
    assert!(directory.path().join("profile.svg").exists());
    let json = || run(directory.path(), &[&arguments[..], &["--json"]].concat()).1;
    let report: serde_json::Value = serde_json::from_str(&json()).unwrap();
    assert_eq!(report["algorithms"][1]["runs"], 2);
    assert_eq!(json(), json(), "the same seed gives the same intervals");
    let (output, text) = run(directory.path(), &["compare", "x=results/a", "x=results/b"]);
    assert_eq!((output.status.code(), text.contains("seed and nothing else")), (Some(2), true), "{text}");
    fs::write(directory.path().join("results/notes.txt"), "no run").unwrap();
    let arguments = ["compare", "results/a", "results/b", "results/notes.txt", "--resamples", "500"];
    let (output, text) = run(directory.path(), &arguments);
    assert!(output.status.success() && text.contains("| PPO (b) "), "{text}");
    assert!(text.contains("left out results/notes.txt: "), "{text}");
    let arguments = ["plot", "results/a", "--y", "eval/mean_return", "--out", "eval.svg"];
    assert!(run(directory.path(), &arguments).0.status.success());
}

#[test]
fn evaluation_repeats_itself_and_reports_every_statistic() {
    let directory = tempfile::tempdir().unwrap();
    train(directory.path(), "one", &[]);
    let evaluate = || run(directory.path(), &["eval", "results/one", "--episodes", "7", "--json"]).1;
    let first = evaluate();
    assert_eq!(first, evaluate());
    let report: serde_json::Value = serde_json::from_str(&first).unwrap();
    let returns: Vec<f64> =
        report["returns"].as_array().unwrap().iter().map(|r| r.as_f64().unwrap()).collect();
    assert_eq!(returns.len(), 7);
    let mean = returns.iter().sum::<f64>() / 7.0;
    assert!((report["mean_return"].as_f64().unwrap() - mean).abs() < 1e-9);
    assert_eq!(report["min_return"].as_f64().unwrap(), returns.iter().copied().fold(f64::INFINITY, f64::min));
    let (output, text) = run(directory.path(), &["eval", "results/one", "--episodes", "0"]);
    assert_eq!(
        (output.status.code(), text.contains("episodes must be from 1 to")),
        (Some(2), true),
        "{text}"
    );
}

#[test]
fn a_weight_file_alone_is_evaluated_recorded_and_begun_with() {
    let directory = tempfile::tempdir().unwrap();
    train(directory.path(), "one", &[]);
    fs::rename(
        directory.path().join("results/one/model.safetensors"),
        directory.path().join("it.safetensors"),
    )
    .unwrap();
    fs::remove_dir_all(directory.path().join("results")).unwrap();
    let succeeds = |arguments: &[&str], expected: &str| {
        let (output, text) = run(directory.path(), arguments);
        assert!(output.status.success() && text.contains(expected), "{arguments:?}: {text}");
    };
    succeeds(&["eval", "it.safetensors", "--episodes", "3"], "3 episodes after 4096 steps");
    succeeds(&["record", "it.safetensors", "--out", "it.png", "--max-frames", "30"], "wrote it.png");
    succeeds(&["bench", "policy", "it.safetensors"], "loaded in");
    train(directory.path(), "two", &["--init-from", "it.safetensors"]);
    for (arguments, expected) in [
        (vec!["record", "nowhere.safetensors"], "nowhere.safetensors"),
        (vec!["eval", "it.safetensors", "--best"], "a weight file has one policy"),
    ] {
        let (output, text) = run(directory.path(), &arguments);
        assert!(!output.status.success() && text.contains(expected), "{arguments:?}: {text}");
    }
}

#[test]
fn wrong_usage_exits_with_2_and_says_what_is_allowed() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (vec!["train", "ppo", "CartPole-v1", "--set", "agent.gama=1"], "unknown field `gama`"),
        (vec!["train", "ppo", "CartPole-v1", "--set", "agent.clip_coef=wide"], "agent.clip_coef"),
        (vec!["train", "ppo", "CartPole-v1", "--preset", "nope"], "expected one of"),
        (vec!["train", "dqn", "CartPole-v1", "--preset", "ppo-cartpole"], "is for ppo"),
        (vec!["train", "ppo", "CartPole-v1", "--seeds", "0"], "--seeds"),
        (vec!["presets", "nothing"], "no preset has `nothing`"),
        (vec!["train"], "Usage"),
        (vec!["fly"], "unrecognized subcommand"),
    ] {
        let (output, text) = run(directory.path(), &arguments);
        assert!(text.contains(expected), "{arguments:?}: expected `{expected}` in {text}");
        assert!(matches!(output.status.code(), Some(1 | 2)), "{arguments:?}");
    }
    assert!(!directory.path().join("results").exists(), "nothing was written");
}

#[test]
fn verification_fails_for_another_trajectory() {
    let directory = tempfile::tempdir().unwrap();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/env/CartPole-v1.csv.gz");
    let (output, text) = run(directory.path(), &["envs", "verify", golden, "--tolerance", "1e-6"]);
    assert!(output.status.success() && text.contains("CartPole-v1: ok (2400 steps"), "{text}");

    let recording = "seed,step,action,reward,terminated,truncated,obs\n\
        0,0,,,,,0.013696168549358845,-0.023021329194307327,-0.04590264707803726,-0.04834723472595215\n\
        0,1,0,1.0,0,0,0.013235742226243019,-0.21745604276657104,-0.04686959087848663,0.3295069843530655\n";
    fs::write(directory.path().join("CartPole-v1.csv"), recording).unwrap();
    let (output, text) = run(directory.path(), &["envs", "verify", "CartPole-v1.csv"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("DIFFERS") && text.contains("seed 0, step 1, observation[3]"), "{text}");
    fs::write(directory.path().join("CartPole-v1.csv"), "a,b\n1,2\n").unwrap();
    let (output, text) = run(directory.path(), &["envs", "verify", "CartPole-v1.csv"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("expected the columns seed,step,action"), "{text}");
}

#[test]
fn listings_name_what_there_is() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (vec!["envs", "list"], "CartPole-v1"),
        (vec!["envs", "info", "CartPole-v1"], "Discrete(2)"),
        (vec!["envs", "check"], "CartPole-v1: ok"),
        (vec!["presets"], "ppo-cartpole"),
        (vec!["presets", "cartpole"], "source: rl-baselines3-zoo"),
        (vec!["completions", "bash"], "complete"),
        (vec!["completions", "zsh"], "MinAtar/Breakout-v0"),
        (vec!["sweep", "--help"], "Examples:"),
        (vec!["suite", "--help"], "Examples:"),
        (vec!["compare", "--help"], "Examples:"),
        (vec!["train", "--help"], "Examples:"),
        (vec!["bench", "env", "--seconds", "0.05", "--num-envs", "8"], "CartPole-v1"),
    ] {
        let (output, text) = run(directory.path(), &arguments);
        assert!(output.status.success() && text.contains(expected), "{arguments:?}: {text}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_stops_at_a_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["train", "ppo", "CartPole-v1", "--total-timesteps", "10000000", "--name", "long"];
    let child = common::agon(directory.path(), &arguments)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let metrics = directory.path().join("results/long/metrics.csv");
    while fs::read_to_string(&metrics).map_or(0, |text| text.lines().count()) < 5 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let interrupt =
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(text.contains("continue with: agon resume results/long"), "{text}");
    let checkpoints = fs::read_dir(directory.path().join("results/long/checkpoints")).unwrap().count();
    assert_eq!(checkpoints, 1);
}

#[test]
fn a_model_is_answered_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    train(path, "first", &[]);
    train(path, "second", &["--init-from", "results/first", "--seed", "2"]);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/signing");
    let key = |name: &str| golden.join(name).to_str().unwrap().to_owned();
    let (private, public, other) =
        (key("test_only_p256.pem"), key("test_only_p256.pub"), key("test_only_p384.pub"));
    let agon = |arguments: &[&str]| {
        let (output, text) = run(path, arguments);
        (output.status.code(), text)
    };
    let (code, text) = agon(&["provenance", "results/second"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("holds    init.safetensors") && text.contains("from results/first: ppo on"),
        "{text}"
    );
    let (code, text) = agon(&["card", "results/second", "--episodes", "2", "--license", "MIT"]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = agon(&["card", "results/second", "--episodes", "2"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("README.md: exists already"), "{text}");
    let (code, text) = agon(&["sign", "results/second", "--key", &private]);
    assert_eq!(code, Some(0), "{text}");
    let verify = ["verify", "results/second", "--key", &public];
    assert_eq!(agon(&verify).0, Some(0));
    let eval = |run: &str, key: &str| agon(&["eval", run, "--episodes", "1", "--require-signature", key]);
    assert_eq!(eval("results/second", &public).0, Some(0));
    let (code, text) = eval("results/second", &other);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("it is of another key"), "{text}");
    let (code, text) = eval("results/first", &public);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("a signature is required, expected one (model.sig), found none"), "{text}");
    let (code, text) = agon(&["resume", "results/second", "--require-signature", &public]);
    assert_eq!(code, Some(2), "{text}");
    fs::remove_dir_all(path.join("results/first")).unwrap();
    fs::write(path.join("results/second/README.md"), "better").unwrap();
    let (code, text) = agon(&verify);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("it is not as it was signed: changed: README.md"), "{text}");
    let (code, text) = agon(&["provenance", "results/second"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("MISSING") && text.contains("first/model.safetensors"), "{text}");
}

/// A program in place of Python that has all packages, says what it is asked to run, and ends with 7.
#[cfg(unix)]
#[test]
fn an_engine_is_reached_through_python_or_what_is_missing_is_said() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = tempfile::tempdir().unwrap();
    let python = directory.path().join("python");
    fs::write(&python, "#!/bin/sh\nif [ \"$1\" = -m ]; then shift; echo \"$@\"; exit 7; fi\n").unwrap();
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
    let train = |python: &str, more: &[&str]| {
        let python = format!("env.python={python}");
        let arguments = ["train", "ppo", "CartPole-v1", "--set", &python, "--engine", "ray"];
        run(directory.path(), &[&arguments[..], more].concat())
    };
    let python = python.to_str().unwrap();
    let (output, text) = train(python, &["--address", "10.0.0.1:6379"]);
    assert_eq!(output.status.code(), Some(7), "{text}");
    assert!(text.starts_with("agon.ray train ppo CartPole-v1 --set env.python="), "{text}");
    assert!(text.trim_end().ends_with("--engine ray --address 10.0.0.1:6379"), "{text}");
    fs::write(python, "#!/bin/sh\necho it has no ray >&2; exit 1\n").unwrap();
    let (output, text) = train(python, &[]);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains("needs Python with the packages agon-rl and ray") && text.contains("it has no ray"),
        "{text}"
    );
    let (output, text) = train("/nowhere/python", &[]);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("/nowhere/python (env.python, AGON_PYTHON): No such file"), "{text}");
    let (output, text) = run(directory.path(), &["train", "ppo", "CartPole-v1", "--address", "auto"]);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("say --engine ray too"), "{text}");
    assert!(!directory.path().join("results").exists());
}

#[test]
fn a_compression_that_nothing_would_come_of_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (&[][..], "expected something to be done"),
        (&["--quantize", "int8", "--set", "network.encoder.hidden=[8]"], "is for --distill: expected both"),
        (&["--shrink", "--set", "distillation.updates=5"], "--prune gradual or --aware: expected both"),
        (&["--shrink", "--aware"], "--aware is for --quantize int8"),
    ] {
        let output =
            common::agon(directory.path(), &[&["compress", "run"], arguments].concat()).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && message.contains(expected), "{arguments:?}: {message}");
    }
}
