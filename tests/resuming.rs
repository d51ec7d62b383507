//! How runs and experiments go on: extended, with seeds added, replaced, and never with what is not theirs.
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

const TRAIN: [&str; 7] = ["train", "ppo", "CartPole-v1", "--preset", "none", "--total-timesteps", "1024"];

/// Runs the program, which must succeed.
fn done(directory: &Path, arguments: &[&str]) -> String {
    let (output, text) = run(directory, arguments);
    assert!(output.status.success(), "{arguments:?}: {text}");
    text
}

/// Runs the program, which must fail.
fn refused(directory: &Path, arguments: &[&str]) -> String {
    let (output, text) = run(directory, arguments);
    assert!(!output.status.success(), "{arguments:?}: {text}");
    text
}

fn train(directory: &Path, more: &[&str]) -> String {
    done(directory, &[&TRAIN[..], more].concat())
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "expected `{from}` in {text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn an_extended_run_says_so_and_is_the_same_however_often_it_is_interrupted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    for name in ["a", "b"] {
        train(path, &["--name", name]);
        let text = done(path, &["resume", &format!("results/{name}"), "--total-timesteps", "2k"]);
        assert!(text.contains("to 2000 steps instead of 1024") && text.contains("schedules"), "{text}");
        assert!(text.contains("finished after 2048 steps"), "{text}");
    }
    // Extended once more, in two parts: the first one ends at a checkpoint before the end.
    done(path, &["resume", "results/a", "--total-timesteps", "4096"]);
    edit(&path.join("results/b/config.toml"), "total_timesteps = 2000", "total_timesteps = 4096");
    done(path, &["resume", "results/b"]);
    for file in ["model.safetensors", "metrics.csv", "episodes.csv"] {
        let read = |name: &str| fs::read(path.join("results").join(name).join(file)).unwrap();
        assert!(read("a") == read("b"), "{file} differs");
    }
    let text = refused(path, &["resume", "results/a", "--total-timesteps", "3000"]);
    assert!(text.contains("more than the 4096 steps") && text.contains("3000"), "{text}");
}

#[test]
fn an_experiment_is_extended_and_takes_more_seeds() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    train(path, &["--name", "x", "--seeds", "2"]);
    let text = train(path, &["--name", "x", "--seeds", "4"]);
    assert!((1..=4).all(|seed| text.contains(&format!("seed {seed}: finished"))), "{text}");
    train(path, &["--name", "whole", "--seeds", "4"]);
    let read = |name: &str, seed: u64| {
        fs::read(path.join(format!("results/{name}/seed_{seed}/model.safetensors"))).unwrap()
    };
    assert!((1..=4).all(|seed| read("x", seed) == read("whole", seed)));
    for (more, expected) in [
        (vec!["--seeds", "5", "--set", "agent.gamma=0.5"], "agent.gamma: 0.5 and 0.99"),
        (vec!["--seeds", "3"], "with seed 4, which is not among those asked for"),
        (vec!["--seeds", "4"], "of the same seeds"),
    ] {
        let text = refused(path, &[&TRAIN[..], &["--name", "x"], &more].concat());
        assert!(text.contains("holds an experiment already") && text.contains(expected), "{text}");
    }
    let text = done(path, &["resume", "results/x", "--total-timesteps", "2048"]);
    assert!(text.contains("seed 4: finished after 2048 steps"), "{text}");
    let text = done(path, &["resume", "results/x"]);
    assert!(text.contains("seed 1: ") && text.contains("2048 steps"), "it stays extended: {text}");
}

#[test]
fn a_command_can_be_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    for name in ["ppo_CartPole-v1_1", "ppo_CartPole-v1_1-2", "ppo_CartPole-v1_1-3"] {
        let text = train(path, &[]);
        assert!(text.contains(&format!("run: results/{name}\n")), "{text}");
    }
    let config = path.join("results/ppo_CartPole-v1_1/config.toml");
    train(path, &["--force", "--set", "agent.gamma=0.5"]);
    assert!(fs::read_to_string(config).unwrap().contains("gamma = 0.5"));
    train(path, &["--name", "x", "--seeds", "2"]);
    train(path, &["--name", "x", "--force"]);
    assert!(path.join("results/x/config.toml").exists() && !path.join("results/x/seed_1").exists());
    // What is no run is not replaced.
    fs::create_dir_all(path.join("results/mine")).unwrap();
    fs::write(path.join("results/mine/notes.txt"), "mine").unwrap();
    for more in [&["--name", "mine"][..], &["--name", "mine", "--force"]] {
        let text = refused(path, &[&TRAIN[..], more].concat());
        let expected = "expected a run, an experiment or an empty directory, found notes.txt in it";
        assert!(text.contains(expected), "{text}");
    }
    assert!(path.join("results/mine/notes.txt").exists());
    let left = fs::read_dir(path.join("results")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().starts_with('.')));
}

#[test]
fn what_a_command_says_twice_or_wrongly_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for (more, expected) in [
        (vec!["--name", ".."], "expected the name of a directory, got `..`"),
        (vec!["--name", "a/b"], "expected the name of a directory, got `a/b`"),
        (vec!["--name", ""], "expected the name of a directory, got ``"),
        (vec!["--set", "algorithm=dqn"], "--set algorithm=dqn: the arguments before the options say ppo"),
        (
            vec!["--set", "env.id=Acrobot-v1"],
            "--set env.id=Acrobot-v1: the arguments before the options say CartPole-v1",
        ),
        (vec!["--seed", "18446744073709551615", "--seeds", "3"], "seed must be at most 9223372036854775807"),
        (vec!["--set", "num_envs=0"], "num_envs: must be at least 1, got 0"),
        (vec!["--checkpoint-every", "often"], "expected a number of steps"),
    ] {
        let text = refused(directory.path(), &[&TRAIN[..], &more].concat());
        assert!(text.contains(expected), "{more:?}: {text}");
        assert!(!directory.path().join("results").exists(), "{more:?}");
    }
}

#[test]
fn what_belongs_to_another_run_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    train(path, &["--name", "one"]);
    train(path, &["--name", "two", "--seed", "2"]);
    train(path, &["--name", "half", "--set", "agent.gamma=0.5"]);
    done(
        path,
        &["train", "a2c", "CartPole-v1", "--preset", "none", "--total-timesteps", "1024", "--name", "a2c"],
    );
    let copy = |from: &str, to: &str| {
        fs::copy(path.join("results").join(from), path.join("results").join(to)).unwrap();
    };
    let config = path.join("results/one/config.toml");
    let own = fs::read(&config).unwrap();
    for (other, expected) in [
        ("two", "seed is 1 in the file and 2 in config.toml"),
        ("half", "agent.gamma is 0.99 in the file and 0.5 in config.toml"),
        ("a2c", "algorithm is \"ppo\" in the file and \"a2c\" in config.toml"),
    ] {
        copy(&format!("{other}/config.toml"), "one/config.toml");
        for command in ["resume", "eval"] {
            let text = refused(path, &[command, "results/one"]);
            assert!(text.contains("belongs to a run of other settings"), "{text}");
            assert!(text.contains(expected), "{command} with {other}'s config.toml: {text}");
        }
    }
    let text = refused(path, &["record", "results/one", "--out", "x.gif"]);
    assert!(text.contains("belongs to a run of other settings"), "{text}");
    fs::write(&config, own).unwrap();
    done(path, &["resume", "results/one"]);
    // The files of another run, instead of its configuration.
    copy("two/model.safetensors", "one/model.safetensors");
    let text = refused(path, &["eval", "results/one"]);
    assert!(text.contains("model.safetensors") && text.contains("seed is 2 in the file and 1"), "{text}");
    let text = done(path, &["resume", "results/one"]);
    assert!(text.contains("seed 1"), "the run has its own weights in its checkpoint: {text}");
    done(path, &["eval", "results/one", "--episodes", "1"]);
}

#[test]
fn what_may_change_in_a_configuration_does() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    train(path, &["--name", "a"]);
    let config = path.join("results/a/config.toml");
    edit(&config, "threads = ", "threads = 1");
    edit(&config, "log_every = 0", "log_every = 512");
    done(path, &["resume", "results/a", "--total-timesteps", "2048"]);
    edit(&config, "learning_rate = ", "learning_rate = 1");
    let text = refused(path, &["resume", "results/a"]);
    assert!(text.contains("agent.learning_rate is "), "{text}");
    fs::write(&config, "").unwrap();
    let text = refused(path, &["resume", "results/a"]);
    assert!(text.contains("results/a/config.toml: expected env.id, found none"), "{text}");
}

#[test]
fn an_older_checkpoint_is_used_with_a_word() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    train(path, &["--name", "a", "--checkpoint-every", "512"]);
    let newest = path.join("results/a/checkpoints/step_000000001024.ckpt");
    let mut bytes = fs::read(&newest).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&newest, bytes).unwrap();
    for more in [&[][..], &["--json"]] {
        let text = done(path, &[&["resume", "results/a"], more].concat());
        if more.is_empty() {
            let expected = "step_000000001024.ckpt: expected checksum";
            assert!(text.contains(expected) && text.contains("older checkpoint of step 512"), "{text}");
        }
    }
}
