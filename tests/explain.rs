//! Explanations from the command line: pages, findings, and sources that do what the tree does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::path::Path;

fn run(directory: &Path, arguments: &[&str]) -> String {
    let output = common::agon(directory, arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_policy_of_masked_actions_is_explained_and_the_same_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let train = ["train", "ppo", "CartPole-v1+Acrobot-v1", "--total-timesteps", "16384", "--name", "run"];
    run(path, &train);
    let explain = |out| {
        run(
            path,
            &[
                "explain",
                "results/run",
                "--by",
                "output,surrogate",
                "--leaves",
                "4",
                "--rounds",
                "2",
                "--out",
                out,
            ],
        )
    };
    let told = explain("a");
    explain("b");
    for finding in
        ["critical tenth", "It depends most on", "would have changed the action", "In place of the policy"]
    {
        assert!(told.contains(finding), "{told}\nlacks {finding}");
    }
    let read = |folder: &str, name: &str| fs::read(path.join(folder).join(name)).unwrap();
    for name in ["explain.md", "explain.json", "surrogate.rs", "tree.svg", "actions.svg"] {
        assert!(read("a", name) == read("b", name), "{name} differs");
    }
    let page = String::from_utf8(read("a", "explain.md")).unwrap();
    let pictures = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let mut seen = 0;
    for file in pictures {
        assert!(!read("a", file).is_empty(), "{file}");
        seen += 1;
    }
    assert!(seen > 5, "{page}");
    // What is written is a program: of a row of eight values, and of which actions are legal.
    let source = String::from_utf8(read("a", "surrogate.rs")).unwrap();
    assert!(source.contains("pub fn act(obs: &[f32], legal: &[bool])"), "{source}");
    let checked = "import surrogate; assert surrogate.act([0.0] * 8, [False, True, False]) == 1";
    let python =
        std::process::Command::new("python3").args(["-c", checked]).current_dir(path.join("a")).output();
    assert!(python.as_ref().is_ok_and(|output| output.status.success()), "{python:?}");
}

#[test]
fn pictures_and_internals_of_a_run_are_written_with_what_was_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let short = ["--set", "agent.learning_starts=200", "--set", "runtime.checkpoint_every=300"];
    let train = ["train", "dqn", "MinAtar/Breakout-v0", "--total-timesteps", "900", "--name", "run"];
    run(path, &[&train[..], &short].concat());
    let ways = ["explain", "results/run", "--by", "pictures,internals", "--film", "4", "--states", "60"];
    let told = run(path, &[&ways[..], &["--probe", "ball", "--baseline", "mean", "--out", "why"]].concat());
    for finding in [
        "speaks most",
        "sum to the output's difference within 1 % at",
        "With all weights drawn anew",
        "are dead",
        "A weighted sum of the last layer reads",
        "the weights' norm goes from",
    ] {
        assert!(told.contains(finding), "{told}\nlacks {finding}");
    }
    let page = fs::read_to_string(path.join("why/explain.md")).unwrap();
    let mut seen = Vec::new();
    for file in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(fs::metadata(path.join("why").join(file)).unwrap().len() > 500, "{file}");
        seen.push(file);
    }
    for name in ["heat.png", "heat.gif", "sanity.svg", "probes.svg", "units.png", "cka_checkpoints.svg"] {
        assert!(seen.contains(&name), "{seen:?} lacks {name}");
    }
    let numbers: serde_json::Value =
        serde_json::from_slice(&fs::read(path.join("why/explain.json")).unwrap()).unwrap();
    assert_eq!(numbers["pictures"]["baseline"], "mean");
    let completeness = &numbers["pictures"]["completeness"];
    assert_eq!(completeness["complete"], completeness["steps"]);
    assert!(completeness["worst"].as_f64().unwrap() <= 0.01 && completeness["steps"].as_u64().unwrap() > 20);
    assert_eq!(numbers["pictures"]["sanity"].as_array().unwrap().len(), 5);
    let quantities = numbers["internals"]["quantities"].as_array().unwrap();
    assert!(quantities.iter().all(|name| name.as_str().unwrap().contains("ball")), "{quantities:?}");
}

/// Settings of a world model that is learned in seconds, and of runs that hardly learn.
const SMALL_DREAMS: [&str; 18] = [
    "--preset",
    "none",
    "--total-timesteps",
    "400",
    "--set",
    "agent.learning_starts=200",
    "--set",
    "agent.deterministic=16",
    "--set",
    "agent.latents=4",
    "--set",
    "agent.classes=4",
    "--set",
    "agent.hidden=16",
    "--set",
    "agent.horizon=4",
    "--set",
    "agent.batch_size=4",
];

/// A run of V-M-C that takes a second.
const SMALL_VMC: [&str; 16] = [
    "--preset",
    "none",
    "--total-timesteps",
    "400",
    "--set",
    "agent.learning_starts=200",
    "--set",
    "agent.population=8",
    "--set",
    "agent.latents=4",
    "--set",
    "agent.dreams=4",
    "--set",
    "agent.horizon=4",
    "--set",
    "agent.batch_size=4",
];

#[test]
fn dreams_are_curves_of_numbers_and_films_of_images() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let of_numbers = ["dream_0.svg", "dream_3.png", "dream_rewards.svg"];
    let of_images = ["dream.png", "dream_film.gif", "dream_continues.svg"];
    for (algorithm, env, name, files) in [
        ("dreamer", "CartPole-v1", "numbers", of_numbers),
        ("dreamer", "MinAtar/Breakout-v0", "images", of_images),
        ("vmc", "CartPole-v1", "coded", of_numbers),
        ("vmc", "MinAtar/Breakout-v0", "pictures", of_images),
    ] {
        let settings = if algorithm == "vmc" { &SMALL_VMC[..] } else { &SMALL_DREAMS };
        run(path, &[&["train", algorithm, env, "--name", name][..], settings].concat());
        let source = format!("results/{name}");
        let explain = |out: &str| {
            run(
                path,
                &["explain", &source, "--by", "dreams", "--context", "3", "--steps", "20", "--out", out],
            )
        };
        let told = explain("a");
        assert!(told.contains("imagined from step 3 on"), "{told}");
        explain("b");
        for file in files.into_iter().chain(["explain.md", "explain.json"]) {
            let [a, b] = ["a", "b"].map(|folder| fs::read(path.join(folder).join(file)).unwrap());
            assert!(!a.is_empty() && a == b, "{file} differs");
        }
        let page = fs::read_to_string(path.join("a/explain.md")).unwrap();
        assert!(page.contains("What its world model imagines"), "{page}");
    }
    run(path, &["train", "dqn", "CartPole-v1", "--total-timesteps", "600", "--name", "dqn"]);
    let output =
        common::agon(path, &["explain", "results/dqn", "--by", "dreams", "--out", "c"]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("the policy is of dqn, which has no world model"), "{error}");
}
