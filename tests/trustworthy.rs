//! Reports on fairness, privacy and robustness from the command line: what they find, their pictures, and the same again.
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

fn refused(directory: &Path, arguments: &[&str]) -> String {
    let output = common::agon(directory, arguments).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// That a page's pictures are there, and two folders hold the same page and numbers.
fn check_page(directory: &Path, [a, b]: [&str; 2], name: &str) -> String {
    let read = |folder: &str, file: &str| fs::read(directory.join(folder).join(file)).unwrap();
    for ending in ["md", "json"] {
        let file = format!("{name}.{ending}");
        assert!(read(a, &file) == read(b, &file), "{file} differs");
    }
    let page = String::from_utf8(read(a, &format!("{name}.md"))).unwrap();
    let pictures: Vec<&str> = page.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(!pictures.is_empty(), "{page}");
    for file in pictures {
        assert!(!read(a, file).is_empty(), "{file}");
    }
    page
}

#[test]
fn a_lender_is_reported_on_beside_rules_and_the_same_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let train = ["train", "ppo", "Fairness/Lending-v0", "--total-timesteps", "8192", "--name", "run"];
    run(path, &train);
    let report =
        |out| run(path, &["fairness", "results/run", "--episodes", "6", "--seed", "3", "--out", out]);
    let told = report("a");
    report("b");
    for finding in ["The return is", "demographic parity difference", "wrote a/fairness.md"] {
        assert!(told.contains(finding), "{told}\nlacks {finding}");
    }
    let page = check_page(path, ["a", "b"], "fairness");
    for part in ["maximum reward rule", "equal opportunity rule", "random actions", "score_disadvantaged"] {
        assert!(page.contains(part), "{page}\nlacks {part}");
    }
    let numbers: serde_json::Value =
        serde_json::from_slice(&fs::read(path.join("a/fairness.json")).unwrap()).unwrap();
    let rule = numbers["reports"].as_array().unwrap().iter().find(|r| r["actor"] == "maximum reward rule");
    let groups = rule.unwrap()["groups"].as_array().unwrap();
    // The rule is the same for both groups, and the advantaged have the better scores.
    let favoured = |group: usize| groups[group]["favoured"]["value"].as_f64().unwrap();
    assert!(favoured(0) > favoured(1) + 0.05, "{groups:?}");
}

#[test]
fn environments_without_groups_and_other_actions_than_choices_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    run(path, &["train", "ppo", "Pendulum-v1", "--total-timesteps", "4096", "--name", "run"]);
    let error = refused(path, &["fairness", "results/run", "--out", "a"]);
    assert!(error.contains("at least two groups"), "{error}");
    let error = refused(path, &["privacy", "results/run", "--out", "a"]);
    assert!(error.contains("actions are choices"), "{error}");
}

#[test]
fn what_students_give_away_and_what_a_policy_withstands_is_told_the_same_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    run(path, &["train", "ppo", "CartPole-v1", "--total-timesteps", "16384", "--name", "run"]);
    let privacy = |out| {
        let few = ["--trajectories", "20", "--steps", "20", "--updates", "30", "--episodes", "5"];
        run(path, &[&["privacy", "results/run", "--out", out][..], &few].concat())
    };
    let told = privacy("a");
    privacy("b");
    for finding in ["without protection", "with DP-SGD", "at an ε of at most"] {
        assert!(told.contains(finding), "{told}\nlacks {finding}");
    }
    assert!(check_page(path, ["a", "b"], "privacy").contains("attack, calibrated"));
    let robustness = |out| {
        let few = ["--episodes", "4", "--noise", "0.5", "--radius", "0.3", "--delay", "3"];
        let shift = ["--shift", "gravity=20.0"];
        run(path, &[&["robustness", "results/run", "--out", out][..], &few, &shift].concat())
    };
    let told = robustness("c");
    robustness("d");
    for finding in ["Undisturbed", "Deceived (PGD)", "late by 3 steps", "gravity=20.0"] {
        assert!(told.contains(finding), "{told}\nlacks {finding}");
    }
    let page = check_page(path, ["c", "d"], "robustness");
    assert!(page.contains("Signs of reward hacking"), "{page}");
    let unknown = refused(path, &["robustness", "results/run", "--out", "e", "--shift", "wind=1.0"]);
    assert!(unknown.contains("wind"), "{unknown}");
}

#[test]
fn steps_with_noise_are_accounted_for() {
    let directory = tempfile::tempdir().unwrap();
    let account = |more: &[&str]| {
        let usual = ["privacy", "account", "--sample-rate", "0.01", "--steps", "1000", "--delta", "1e-5"];
        run(directory.path(), &[&usual[..], more].concat())
    };
    let told = account(&["--noise-multiplier", "1"]);
    assert!(told.contains("RDP: ε ≤ 2.101") && told.contains("PRV: ε ≤ 1.838, estimate 1.828"), "{told}");
    assert!(account(&["--epsilon", "2.101"]).contains("noise multiplier 1.000"));
    let json: serde_json::Value =
        serde_json::from_str(&account(&["--noise-multiplier", "1", "--json"])).unwrap();
    assert!((json["prv"]["upper"].as_f64().unwrap() - 1.838).abs() < 1e-3, "{json}");
}
