//! Data sets as a user makes and uses them: recorded, described, converted, mixed, learned from; and refused where they are not
//! what the run is of.
//!
//! With `AGON_TEST_PYTHON`, an interpreter that has Minari, h5py, pyarrow, Pillow and Gymnasium, that loads them too.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use agon::data;
use serde_json::Value;

/// Runs the program with data sets under `root`; gives what it prints, or its error.
fn agon(root: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = common::agon(root, arguments);
    let output = command.env("MINARI_DATASETS_PATH", root.join("sets")).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

fn record(root: &Path, source: &str, id: &str, more: &[&str]) {
    let fixed = ["data", "record", source, "--episodes", "12", "--out", id];
    agon(root, &[&fixed, more].concat()).unwrap();
}

/// What `data info` says of a set, without its id and format.
fn info(root: &Path, id: &str) -> Value {
    let mut told: Value =
        serde_json::from_str(&agon(root, &["data", "info", id, "--json"]).unwrap()).unwrap();
    let told = told.as_array_mut().unwrap()[0].as_object_mut().unwrap();
    told.remove("id");
    told.remove("format");
    Value::Object(told.clone())
}

#[test]
fn a_data_set_is_the_same_in_every_layout() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    for env in ["CartPole-v1", "Pendulum-v1", "MinAtar/Breakout-v0", "Taxi-v4", "Blackjack-v1"] {
        let name = env.to_lowercase().replace(['/', '-'], "_");
        let id = |what: &str| format!("{name}/{what}-v0");
        record(root, env, &id("hdf5"), &[]);
        let expected = info(root, &id("hdf5"));
        assert_eq!(expected["episodes"], 12, "{env}");
        for format in ["arrow", "parquet"] {
            let converted = ["data", "convert", &id("hdf5"), "--format", format, "--out", &id(format)];
            agon(root, &converted).unwrap();
            assert_eq!(info(root, &id(format)), expected, "{env} as {format}");
            let told = agon(root, &["data", "check", &id(format)]).unwrap();
            if env == "Blackjack-v1" {
                // A hand is soon dealt twice.
                continue;
            }
            assert!(told.contains("as it should be"), "{env} as {format}: {told}");
        }
        // Recorded again it is the same, episode by episode.
        record(root, env, &id("again"), &["--format", "arrow"]);
        assert_eq!(info(root, &id("again")), expected, "{env} again");
    }
}

#[test]
fn mixed_sets_keep_episodes_and_seeds_and_no_id_is_taken_twice() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    record(root, "CartPole-v1", "a-v0", &["--seed", "5", "--author", "Ada"]);
    record(root, "CartPole-v1", "b-v0", &["--seed", "100", "--format", "parquet", "--author", "Bo"]);
    agon(root, &["data", "mix", "a-v0", "b-v0", "--each", "4", "--out", "mixed-v0"]).unwrap();
    let set = data::open(root.join("sets/mixed-v0").to_str().unwrap()).unwrap();
    let seeds: Vec<i64> = (0..set.len()).map(|index| set.episode(index).unwrap().seed.unwrap()).collect();
    assert_eq!(seeds, [5, 6, 7, 8, 100, 101, 102, 103]);
    assert_eq!(set.metadata().author, ["Ada", "Bo"]);
    let error = agon(root, &["data", "mix", "a-v0", "--out", "b-v0"]).unwrap_err();
    assert!(error.contains("b-v0 must not exist yet"), "{error}");
    record(root, "Pendulum-v1", "other-v0", &[]);
    let error = agon(root, &["data", "mix", "a-v0", "other-v0", "--out", "c-v0"]).unwrap_err();
    assert!(error.contains("other-v0: expected observations of"), "{error}");
    assert!(!root.join("sets/c-v0").exists());
    let error = agon(root, &["data", "info", "none-v0"]).unwrap_err();
    assert!(error.contains("none-v0"), "{error}");
    let listed = agon(root, &["data", "list"]).unwrap();
    assert!(["a-v0", "b-v0", "mixed-v0", "other-v0"].iter().all(|id| listed.contains(id)), "{listed}");
}

#[test]
fn a_policy_that_sees_normalised_observations_is_recorded_with_what_they_were() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let train = [
        "train",
        "ppo",
        "Pendulum-v1",
        "--preset",
        "none",
        "--total-timesteps",
        "2000",
        "--name",
        "run",
        "--set",
        "env.wrappers=[{kind='normalize_observation'}, {kind='normalize_reward'}]",
        "--set",
        "runtime.keep_models=true",
        "--checkpoint-every",
        "500",
    ];
    agon(root, &train).unwrap();
    record(root, "results/run", "final-v0", &[]);
    record(root, "results/run", "way-v0", &["--all-until", "1500", "--stochastic"]);
    for id in ["final-v0", "way-v0"] {
        let told = info(root, id);
        let part = &told["parts"][0]["numbers"];
        // The speed reaches beyond 1, and neither angle does; rewards are the environment's own.
        assert!(part["max"].as_f64().unwrap() > 1.5 && part["min"].as_f64().unwrap() >= -8.0, "{told}");
        assert!(told["returns"]["mean"].as_f64().unwrap() < -200.0, "{told}");
    }
}

#[test]
fn a_run_learns_from_the_data_that_it_began_with_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    record(root, "CartPole-v1", "random-v0", &[]);
    let train = |algorithm: &str, env: &str, more: &[&str]| {
        let fixed = ["train", algorithm, env, "--total-timesteps", "400", "--name", "run", "--force"];
        agon(root, &[&fixed, more].concat())
    };
    // An experiment that is asked for again goes on.
    let seeds = [
        "train",
        "bc",
        "CartPole-v1",
        "--data",
        "random-v0",
        "--total-timesteps",
        "300",
        "--seeds",
        "2",
        "--name",
        "two",
    ];
    agon(root, &seeds).unwrap();
    agon(root, &["resume", "results/two", "--total-timesteps", "500"]).unwrap();
    train("bc", "CartPole-v1", &["--data", "random-v0"]).unwrap();
    let rows = fs::read_to_string(root.join("results/run/evaluations.csv")).unwrap();
    assert!(rows.lines().count() > 3, "evaluations are part of the run: {rows}");
    // The same content elsewhere is the same data.
    agon(root, &["data", "convert", "random-v0", "--format", "parquet", "--out", "moved-v0"]).unwrap();
    let config = root.join("results/run/config.toml");
    let moved = fs::read_to_string(&config).unwrap().replace("random-v0", "moved-v0");
    fs::write(&config, &moved).unwrap();
    agon(root, &["resume", "results/run", "--total-timesteps", "600"]).unwrap();
    let config_now = fs::read_to_string(&config).unwrap().replace("moved-v0", "random-v0");
    fs::write(&config, config_now).unwrap();
    // The same id, another content.
    fs::remove_dir_all(root.join("sets/random-v0")).unwrap();
    record(root, "CartPole-v1", "random-v0", &["--seed", "1000"]);
    let error = agon(root, &["resume", "results/run", "--total-timesteps", "800"]).unwrap_err();
    assert!(error.contains("expected the data that the run began with"), "{error}");
    for (algorithm, env, more, expected) in [
        ("bc", "CartPole-v1", vec![], "bc needs recorded data (--data ID), got none"),
        ("dagger", "CartPole-v1", vec![], "dagger needs a teacher (teacher.policy), got none"),
        ("bc", "Pendulum-v1", vec!["--data", "random-v0"], "expected observations of Box"),
        (
            "ppo",
            "CartPole-v1",
            vec!["--data", "random-v0"],
            "needs gail, airl, or an algorithm with a replay buffer",
        ),
        ("r2d2", "CartPole-v1", vec!["--data", "random-v0"], "needs algorithms that learn from single steps"),
        (
            "bc",
            "CartPole-v1",
            vec!["--data", "random-v0", "--set", "data.best=0"],
            "data.best must be above 0",
        ),
        ("bc", "CartPole-v1", vec!["--set", "data.best=0.1"], "data.sets must be ids of data sets"),
        ("iql", "CartPole-v1", vec!["--data", "none-v0"], "none-v0"),
        ("iql", "CartPole-v1", vec!["--data", "no id"], "id"),
        ("cql", "CartPole-v1", vec!["--data", "random-v0", "--async"], "expected a run that does not act"),
    ] {
        let error = train(algorithm, env, &more).unwrap_err();
        assert!(error.contains(expected), "{algorithm} on {env} with {more:?}: {error}");
    }
}

#[test]
fn an_end_amid_an_episode_is_refused_where_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    record(root, "CartPole-v1", "whole-v0", &[]);
    let set = data::open(root.join("sets/whole-v0").to_str().unwrap()).unwrap();
    let mut episode = set.episode(0).unwrap();
    episode.terminations[1] = true;
    let metadata = agon_data::Metadata { dataset_id: "cut-v0".parse().unwrap(), ..set.metadata().clone() };
    let mut writer = agon_data::Writer::create(&root.join("sets"), metadata).unwrap();
    writer.push(&episode).unwrap();
    writer.finish().unwrap();
    let checked = common::agon(root, &["data", "check", "cut-v0"])
        .env("MINARI_DATASETS_PATH", root.join("sets"))
        .output()
        .unwrap();
    let told = String::from_utf8(checked.stdout).unwrap();
    assert!(told.contains("episode 0 ends at step 1 and goes on"), "{told}");
    assert_eq!(checked.status.code(), Some(1), "{told}");
    let error = agon(root, &["train", "bc", "CartPole-v1", "--data", "cut-v0"]).unwrap_err();
    assert!(error.contains("episode 0 of cut-v0 must go on, got an end at step 1"), "{error}");
    let seed = i64::MAX.to_string();
    let error =
        agon(root, &["data", "record", "CartPole-v1", "--seed", &seed, "--out", "late-v0"]).unwrap_err();
    assert!(error.contains("the seeds of all episodes must be at most"), "{error}");
}

#[test]
fn minari_reads_what_is_recorded_and_gymnasium_plays_it_again() {
    let Ok(python) = std::env::var("AGON_TEST_PYTHON") else {
        eprintln!("skipped: AGON_TEST_PYTHON names no interpreter");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    for format in ["hdf5", "arrow", "parquet"] {
        record(root, "CartPole-v1", &format!("cartpole/{format}-v0"), &["--format", format]);
        record(root, "Pendulum-v1", &format!("pendulum/{format}-v0"), &["--format", format]);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/load_with_minari.py");
    let output =
        Command::new(python).arg(script).env("MINARI_DATASETS_PATH", root.join("sets")).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
}

#[test]
fn policies_are_evaluated_from_what_others_did() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let train = |algorithm: &str, env: &str, name: &str| {
        let sizes = ["--preset", "none", "--total-timesteps", "1000", "--name", name];
        let small = ["--set", "network.encoder.hidden=[16]"];
        agon(root, &[&["train", algorithm, env], &sizes[..], &small].concat()).unwrap();
    };
    train("ppo", "CartPole-v1", "run");
    record(root, "results/run", "own-v0", &["--stochastic"]);
    record(root, "CartPole-v1", "random-v0", &[]);
    let evaluate = |set: &str, more: &[&str]| -> Result<Value, String> {
        let fixed = ["data", "evaluate", set, "--policy", "results/run", "--json", "--updates", "200"];
        agon(root, &[&fixed, more].concat()).map(|told| serde_json::from_str(&told).unwrap())
    };
    // Of the policy's own episodes every ratio is one.
    let wis = ["--method", "wis", "--stochastic", "--gamma", "1"];
    let own = evaluate("own-v0", &[&wis[..], &["--behavior", "results/run"]].concat()).unwrap();
    let mean = info(root, "own-v0")["returns"]["mean"].as_f64().unwrap();
    assert!((own["value"]["value"].as_f64().unwrap() - mean).abs() < 1e-6, "{own} and {mean}");
    assert!((own["effective_episodes"].as_f64().unwrap() - 12.0).abs() < 1e-6, "{own}");
    let between = own["value"]["low"].as_f64().unwrap()..own["value"]["high"].as_f64().unwrap();
    assert!(between.contains(&mean), "{own}");
    // Of random episodes it is worth less than all of them.
    for behavior in [&["--behavior", "random"][..], &[]] {
        let other = evaluate("random-v0", &[&wis[..], behavior].concat()).unwrap();
        let effective = other["effective_episodes"].as_f64().unwrap();
        assert!(effective > 1.0 && effective < 12.0, "{other}");
        assert!(other["value"]["value"].as_f64().unwrap() > 5.0, "{other}");
    }
    // Nobody did by chance what the best actions are, from the beginning to the end.
    let error = evaluate("random-v0", &["--method", "wis", "--behavior", "random"]).unwrap_err();
    assert!(error.contains("some episode does what the policy would do"), "{error}");
    let fitted = evaluate("random-v0", &[]).unwrap();
    assert!(
        fitted["loss"].as_f64().unwrap().is_finite() && fitted["effective_episodes"].is_null(),
        "{fitted}"
    );
    assert_eq!(fitted, evaluate("random-v0", &["--method", "fqe"]).unwrap(), "the same seed gives the same");
    let error = evaluate("random-v0", &["--gamma", "1.5"]).unwrap_err();
    assert!(error.contains("gamma must be between 0 and 1, got 1.5"), "{error}");
    train("td3", "Pendulum-v1", "numbers");
    record(root, "Pendulum-v1", "swings-v0", &[]);
    let of_numbers = |method: &str| {
        let fixed = ["data", "evaluate", "swings-v0", "--policy", "results/numbers", "--updates", "20"];
        agon(root, &[&fixed[..], &["--method", method]].concat())
    };
    assert!(of_numbers("fqe").unwrap().contains("discounted return"));
    let error = of_numbers("wis").unwrap_err();
    assert!(error.contains("expected a policy of one choice, found numbers"), "{error}");
    let error = agon(root, &["data", "evaluate", "swings-v0", "--policy", "results/run"]).unwrap_err();
    assert!(error.contains("expected observations of"), "{error}");
}

#[test]
fn several_tasks_are_learned_from_the_data_of_each() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    for (env, id) in [
        ("CartPole-v1", "cart/random-v0"),
        ("Acrobot-v1", "acro/random-v0"),
        ("MountainCar-v0", "car/random-v0"),
    ] {
        agon(root, &["data", "record", env, "--episodes", "2", "--out", id]).unwrap();
    }
    let train = |algorithm: &str, more: &[&str]| {
        let fixed = [
            "train",
            algorithm,
            "CartPole-v1+Acrobot-v1",
            "--total-timesteps",
            "200",
            "--name",
            "run",
            "--force",
        ];
        agon(root, &[&fixed, more].concat())
    };
    let small = ["--set", "network.memory={layers=1, heads=1, width=8, feed_forward=8, window=4}"];
    // Whatever the order: a set says what it is of.
    for sets in [["cart/random-v0", "acro/random-v0"], ["acro/random-v0", "cart/random-v0"]] {
        train("dt", &[&["--data", sets[0], "--data", sets[1]], &small[..]].concat()).unwrap();
    }
    let weights = fs::read(root.join("results/run/model.safetensors")).unwrap();
    let weights = safetensors::SafeTensors::deserialize(&weights).unwrap();
    let returns = weights.tensor("returns").unwrap();
    let values: Vec<f32> =
        returns.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    // Best and largest of each: CartPole pays what Acrobot costs.
    assert_eq!(returns.shape(), [2, 2]);
    assert!(
        values[0] > 0.0 && values[0] == values[1] && values[2] == -500.0 && values[3] == 500.0,
        "{values:?}"
    );
    let rows = fs::read_to_string(root.join("results/run/evaluations.csv")).unwrap();
    assert_eq!(rows.lines().count(), 3, "{rows}");
    train("bc", &["--data", "cart/random-v0", "--data", "acro/random-v0"]).unwrap();
    let error = train("bc", &["--data", "car/random-v0"]).unwrap_err();
    assert!(
        error.contains("one of the tasks CartPole-v1, Acrobot-v1, found car/random-v0, of MountainCar-v0"),
        "{error}"
    );
    let framed = ["--data", "cart/random-v0", "--set", "env.wrappers=[{kind='frame_stack', num_stack=2}]"];
    let error = train("bc", &framed).unwrap_err();
    assert!(error.contains("env.wrappers: expected none that change observations"), "{error}");
}

#[test]
fn recorded_observations_on_disk_change_no_bit() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    record(root, "MinAtar/Breakout-v0", "breakout/random-v0", &[]);
    let train = |algorithm: &str, storage: &str| {
        let storage = format!("data.storage='{storage}'");
        let fixed =
            ["train", algorithm, "MinAtar/Breakout-v0", "--data", "breakout/random-v0", "--preset", "none"];
        let more = ["--total-timesteps", "300", "--name", &storage[14..18], "--force", "--set", &storage];
        let mut command = common::agon(root, &[&fixed[..], &more].concat());
        let output = command.env("MINARI_DATASETS_PATH", root.join("sets")).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        if output.status.success() { Ok(told) } else { Err(told) }
    };
    let model = |name: &str| fs::read(root.join("results").join(name).join("model.safetensors")).unwrap();
    for algorithm in ["bc", "dqn"] {
        assert!(!train(algorithm, "memory").unwrap().contains("on disk"));
        let told = train(algorithm, "disk").unwrap();
        assert!(told.contains("kept on disk"), "{told}");
        assert!(model("memo") == model("disk"), "{algorithm}");
    }
    let left = fs::read_dir(root.join("results/disk")).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with('.')).collect();
    assert!(left.is_empty(), "{left:?}");
    let error = train("gail", "disk").unwrap_err();
    assert!(error.contains("data.storage") && error.contains("replay buffer"), "{error}");
}

#[test]
fn a_run_acts_and_learns_from_data_too() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    record(root, "Pendulum-v1", "swings-v0", &[]);
    let train = |algorithm: &str, name: &str, more: &[&str]| {
        let fixed = ["train", algorithm, "Pendulum-v1", "--preset", "none", "--name", name];
        let small = ["--set", "network.encoder.hidden=[16]", "--set", "agent.batch_size=16"];
        agon(root, &[&fixed, &small[..], more].concat())
    };
    let data = ["--data", "swings-v0"];
    let both = [&data[..], &["--acts", "--set", "eval.every=300", "--set", "eval.episodes=1"]].concat();
    train("sac", "sac", &[&both[..], &["--total-timesteps", "300"]].concat()).unwrap();
    let config = fs::read_to_string(root.join("results/sac/config.toml")).unwrap();
    assert!(config.contains("acts = true") && config.contains("checksum = "), "{config}");
    let episodes = fs::read_to_string(root.join("results/sac/episodes.csv")).unwrap();
    assert_eq!(episodes.lines().count(), 2, "an episode of 200 steps ended: {episodes}");
    // What IQL learned from the data alone goes on in the environment.
    train("iql", "alone", &[&data[..], &["--total-timesteps", "200"]].concat()).unwrap();
    let begun = ["--init-from", "results/alone", "--total-timesteps", "200"];
    train("iql", "beside", &[&both[..], &begun].concat()).unwrap();
    for (algorithm, more, expected) in [
        ("sac", &["--acts"][..], "data.sets must be ids of data sets"),
        ("bc", &both[..], "bc needs recorded data alone (data.acts = false), got a run that acts too"),
        ("cql", &data[..], "cql needs a Discrete action space"),
        (
            "sac",
            &["--data", "swings-v0", "--acts", "--set", "data.share=1.0"],
            "data.share must be above 0 and below 1",
        ),
    ] {
        let error = train(algorithm, "refused", more).unwrap_err();
        assert!(error.contains(expected), "{algorithm}: {error}");
    }
    let ppo = ["train", "ppo", "Pendulum-v1", "--preset", "none", "--data", "swings-v0", "--acts"];
    let error = agon(root, &ppo).unwrap_err();
    assert!(error.contains("learning from recorded data needs"), "{error}");
}
