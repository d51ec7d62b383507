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
