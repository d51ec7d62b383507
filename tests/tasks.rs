//! One agent that learns several tasks: from the command line to logs and evaluations of each task.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::path::Path;

use agon::config::RunConfig;

const RUN: &str = "results/ppo_mixture_1";

fn run(directory: &Path, arguments: &[&str]) -> String {
    let output = common::agon(directory, arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// The values of a column where there are some.
fn column(table: &str, name: &str) -> Vec<f64> {
    let mut rows = csv::Reader::from_reader(table.as_bytes());
    let at = rows.headers().unwrap().iter().position(|header| header == name);
    let at = at.unwrap_or_else(|| panic!("no column {name} in {}", table.lines().next().unwrap()));
    rows.records().filter_map(|row| row.unwrap()[at].parse().ok()).collect()
}

#[test]
fn ids_joined_by_plus_are_learned_together_and_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let settings = [
        "--set",
        "num_envs=8",
        "--set",
        "total_timesteps=16384",
        "--set",
        "env.mixture.sampling=round_robin",
    ];
    run(directory.path(), &[&["train", "ppo", "CartPole-v1+Acrobot-v1"], &settings[..]].concat());
    let kept = directory.path().join(RUN);
    let config = RunConfig::load(&kept.join("config.toml")).unwrap();
    let ids: Vec<&str> = config.env.tasks.iter().map(|task| task.id.as_str()).collect();
    assert_eq!((config.env.id.as_str(), ids), ("mixture", vec!["CartPole-v1", "Acrobot-v1"]));

    let episodes = fs::read_to_string(kept.join("episodes.csv")).unwrap();
    let (cartpole, acrobot) =
        (column(&episodes, "env/CartPole-v1/return"), column(&episodes, "env/Acrobot-v1/return"));
    assert_eq!(cartpole.len() + acrobot.len(), episodes.lines().count() - 1);
    assert!(cartpole.iter().all(|&score| score > 0.0) && acrobot.iter().all(|&score| score < 0.0));
    assert!(cartpole.len().abs_diff(acrobot.len()) <= 8, "{} and {}", cartpole.len(), acrobot.len());
    let metrics = fs::read_to_string(kept.join("metrics.csv")).unwrap();
    assert!(!column(&metrics, "env/CartPole-v1/length").is_empty());

    let told = run(directory.path(), &["eval", RUN, "--episodes", "10"]);
    assert!(told.contains("CartPole-v1/return") && told.contains("Acrobot-v1/length"), "{told}");
    // An exported policy knows its tasks, and a smaller one too.
    run(directory.path(), &["export", RUN, "--format", "safetensors", "--out", "policy.safetensors"]);
    let of_export = run(directory.path(), &["eval", "policy.safetensors", "--episodes", "10"]);
    assert_eq!(of_export.lines().skip(1).collect::<Vec<_>>(), told.lines().skip(1).collect::<Vec<_>>());
    let small = ["--quantize", "int8", "--episodes", "4", "--out", "small.safetensors"];
    run(directory.path(), &[&["compress", RUN], &small[..]].concat());
    let of_small = run(directory.path(), &["eval", "small.safetensors", "--episodes", "4"]);
    assert!(of_small.contains("CartPole-v1/return"), "{of_small}");
}

#[test]
fn tasks_that_are_not_those_of_the_arguments_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["train", "ppo", "CartPole-v1+Acrobot-v1", "--set", "env.tasks=[{id='CartPole-v1'}]"];
    let output = common::agon(directory.path(), &arguments).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && message.contains("others than the arguments name"), "{message}");
}

#[test]
fn contexts_are_mapped_within_and_beyond_what_was_trained_on() {
    let directory = tempfile::tempdir().unwrap();
    let ranges = ["--set", "env.args.length=[0.4,0.8]", "--set", "env.args.gravity=[8,12]"];
    let shown = ["--set", "env.args.show_context=[\"length\"]", "--total-timesteps", "4096"];
    let train = ["train", "ppo", "CartPole-v1", "--name", "ranges", "--seeds", "2"];
    run(directory.path(), &[&train[..], &ranges, &shown].concat());
    run(directory.path(), &["train", "ppo", "CartPole-v1", "--name", "one", "--total-timesteps", "4096"]);
    let grid = ["--grid", "length=0.4:1.2:3", "--grid", "gravity=8,12", "--episodes", "4"];
    let map = ["contexts", "results/ranges", "--beside", "results/one", "--out", "map"];
    let told = run(directory.path(), &[&map[..], &grid].concat());
    assert!(told.contains("results/ranges returns") && told.contains("(4 of 6 cells)"), "{told}");
    assert!(told.contains("results/one returns") && told.contains("over the grid"), "{told}");
    let read = |name: &str| fs::read_to_string(directory.path().join("map").join(name)).unwrap();
    let page = read("contexts.md");
    assert!(page.contains("Trained on length from 0.4 to 0.8 and gravity from 8 to 12."), "{page}");
    assert!(read("map.svg").contains("aria-label=\"length (rows: gravity)\""));
    // A cell is what `eval` says of these arguments, in the mean of both seeds.
    let evaluated = |seed: &str| {
        let policy = format!("results/ranges/{seed}");
        let settings = ["--set", "env.args.length=1.2", "--set", "env.args.gravity=12.0"];
        let told = run(
            directory.path(),
            &[&["eval", &policy, "--episodes", "4", "--seed", "0", "--json"], &settings[..]].concat(),
        );
        serde_json::from_str::<serde_json::Value>(&told).unwrap()["mean_return"].as_f64().unwrap()
    };
    let numbers: serde_json::Value = serde_json::from_str(&read("contexts.json")).unwrap();
    let cell = numbers["map"]["returns"][1][2].as_f64().unwrap();
    assert!((cell - f64::midpoint(evaluated("seed_1"), evaluated("seed_2"))).abs() < 1e-9, "{cell}");
    let unknown = ["contexts", "results/one", "--grid", "colour=1,2", "--out", "x"];
    let output = common::agon(directory.path(), &unknown).output().unwrap();
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("colour"));
}
