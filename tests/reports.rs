//! What is said of runs while they are trained and made of them later: progress, `plot`, `compare`, `eval` and `record` as a
//! user meets them.
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

/// Trains for a moment into `results/NAME`.
fn train(directory: &Path, name: &str, more: &[&str]) -> String {
    let mut arguments = vec!["train", "ppo", "CartPole-v1", "--total-timesteps", "4096", "--name", name];
    arguments.extend(more);
    succeed(directory, &arguments)
}

/// Runs `agon` and gives what it prints.
fn succeed(directory: &Path, arguments: &[&str]) -> String {
    let (output, text) = run(directory, arguments);
    assert!(output.status.success(), "{arguments:?}: {text}");
    text
}

#[test]
fn plots_name_their_curves_and_say_what_they_leave_out() {
    let directory = tempfile::tempdir().unwrap();
    train(directory.path(), "many", &["--seeds", "2"]);
    train(directory.path(), "alone", &[]);
    fs::write(directory.path().join("results/notes.txt"), "no run").unwrap();
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();

    let arguments = ["plot", "results/many", "results/alone", "results/notes.txt", "--out", "a/new/one.svg"];
    let text = succeed(directory.path(), &arguments);
    assert!(
        text.contains("left out results/notes.txt") && text.contains("bootstrapped over seeds"),
        "{text}"
    );
    let picture = read("a/new/one.svg");
    for label in ["many (n = 2)", "alone (n = 1)"] {
        assert!(picture.contains(&format!("aria-label=\"{label}\"")), "{label}");
    }

    // Directories of one name are one curve; seeds are runs like any other, and told apart by their paths.
    succeed(directory.path(), &["plot", "x=results/many", "x=results/alone", "--out", "two.svg"]);
    assert!(read("two.svg").contains("aria-label=\"x (n = 3)\""));
    fs::create_dir(directory.path().join("other")).unwrap();
    fs::rename(directory.path().join("results/alone"), directory.path().join("other/seed_1")).unwrap();
    succeed(directory.path(), &["plot", "results/many/seed_1", "other/seed_1", "--out", "three.svg"]);
    let picture = read("three.svg");
    assert!(
        picture.contains("aria-label=\"many/seed_1\"") && picture.contains("aria-label=\"other/seed_1\"")
    );

    let (output, text) = run(directory.path(), &["plot", "results/notes.txt", "--out", "never.svg"]);
    assert!(!output.status.success() && text.contains("notes.txt"), "{text}");
}

#[test]
fn seconds_of_runs_that_shared_cores_are_marked() {
    let directory = tempfile::tempdir().unwrap();
    train(directory.path(), "shared", &["--seeds", "2", "--threads", "2"]);
    train(directory.path(), "alone", &[]);
    let plot = |more: &[&str]| {
        succeed(
            directory.path(),
            &[&["plot", "results/shared", "results/alone", "--out", "x.svg"], more].concat(),
        )
    };
    let text = plot(&["--x", "seconds"]);
    assert!(text.contains("shared ran 2 at a time, alone ran alone"), "{text}");
    assert!(!plot(&[]).contains("at a time"), "steps are no seconds");
}

#[test]
fn the_preset_is_said_and_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let recorded = |name: &str| {
        let path = directory.path().join("results").join(name).join("config.toml");
        let config: toml::Table = fs::read_to_string(path).unwrap().parse().unwrap();
        config["made_by"]["preset"].as_str().unwrap().to_owned()
    };
    assert!(train(directory.path(), "default", &[]).contains("preset: ppo-cartpole"));
    assert_eq!(recorded("default"), "ppo-cartpole");
    assert!(train(directory.path(), "bare", &["--preset", "none"]).contains("preset: none"));
    assert_eq!(recorded("bare"), "none");
}

#[test]
fn experiments_say_how_far_they_are_and_finished_runs_that_they_were() {
    let directory = tempfile::tempdir().unwrap();
    let text = train(directory.path(), "many", &["--seeds", "3"]);
    assert!(text.contains("total: 100%  3 of 3 runs done"), "{text}");
    assert!(text.contains("seed 2: finished after 4096 steps"), "{text}");
    let text = succeed(directory.path(), &["resume", "results/many"]);
    assert!(text.contains("seed 2: finished already, after 4096 steps"), "{text}");
    let text = succeed(directory.path(), &["resume", "results/many/seed_1"]);
    assert!(text.contains("seed 1: finished already, after 4096 steps"), "{text}");
    let json = succeed(directory.path(), &["resume", "results/many/seed_1", "--json"]);
    let summary: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(summary[0]["finished_before"], true);
}

#[test]
fn evaluations_take_experiments_checkpoints_and_other_settings_of_the_environment() {
    let directory = tempfile::tempdir().unwrap();
    train(directory.path(), "many", &["--seeds", "2", "--checkpoint-every", "2048"]);
    let json = |arguments: &[&str]| -> serde_json::Value {
        let text = succeed(directory.path(), &[&["eval", "--episodes", "5", "--json"], arguments].concat());
        serde_json::from_str(&text).unwrap()
    };
    let all = json(&["results/many"]);
    assert_eq!(all["seeds"].as_array().unwrap().len(), 2);
    let one = json(&["results/many/seed_2"]);
    assert_eq!(all["seeds"][1]["returns"], one["returns"]);
    let means = [0, 1].map(|i| all["seeds"][i]["mean_return"].as_f64().unwrap());
    assert!((all["mean_return"]["value"].as_f64().unwrap() - (means[0] + means[1]) / 2.0).abs() < 1e-9);
    let text = succeed(directory.path(), &["eval", "results/many", "--episodes", "5"]);
    assert!(
        text.contains("seed 1: 5 episodes after 4096 steps") && text.contains("2 seeds: mean return"),
        "{text}"
    );

    // The newest checkpoint is the run's newest policy; an older one is another.
    assert_eq!(json(&["results/many/seed_2", "--checkpoint", "4096"])["returns"], one["returns"]);
    let older = json(&["results/many/seed_2", "--checkpoint", "2048"]);
    assert_eq!(older["env_steps"], 2048);
    assert_ne!(older["returns"], one["returns"]);
    let refused = |arguments: &[&str], parts: &[&str]| {
        let (output, text) = run(directory.path(), arguments);
        assert!(!output.status.success() && parts.iter().all(|part| text.contains(part)), "{text}");
    };
    refused(&["eval", "results/many/seed_2", "--checkpoint", "7"], &["4096, 2048", "got 7"]);
    refused(&["eval", "results/many/seed_2", "--set", "agent.gamma=1"], &["agent.gamma=1", "environment"]);
    refused(&["eval", "results/many/seed_2", "--arg", "wind=1"], &["wind"]);

    let short = json(&["results/many/seed_2", "--set", "env.max_episode_steps=3"]);
    assert_eq!(short["max_return"], 3.0);
}

#[test]
fn a_sweep_ends_with_the_command_of_its_winner() {
    let directory = tempfile::tempdir().unwrap();
    let file = r#"
        algorithm = "ppo"
        env = "CartPole-v1"
        preset = "none"
        metric = "final_evaluation"
        strategy = { kind = "grid" }
        settings.total_timesteps = 1024
        settings.network.encoder = { hidden = [16, 16], kind = "mlp", activation = "tanh" }
        settings.env.wrappers = [{ kind = "frame_stack", num_stack = 2 }]
        parameters.agent.learning_rate = [1e-3, 3e-4]
        parameters.network.encoder.activation = ["relu"]
    "#;
    fs::write(directory.path().join("lr.toml"), file).unwrap();
    let text = succeed(directory.path(), &["sweep", "lr.toml"]);
    assert!(text.contains("total: 100%  2 of 2 runs done"), "{text}");
    let command =
        text.lines().find(|line| line.trim_start().starts_with("agon train ppo CartPole-v1")).unwrap();
    let script = format!("agon() {{ \"$AGON\" \"$@\"; }}; {command} --name winner");
    let status = std::process::Command::new("sh")
        .args(["-c", &script])
        .env("AGON", env!("CARGO_BIN_EXE_agon"))
        .current_dir(directory.path())
        .status()
        .unwrap();
    assert!(status.success(), "{script}");
    let config = |path: &str| {
        let text =
            fs::read_to_string(directory.path().join("results").join(path).join("config.toml")).unwrap();
        let mut config: toml::Table = text.parse().unwrap();
        config.remove("made_by");
        config["runtime"].as_table_mut().unwrap().remove("threads");
        config
    };
    let best = text.lines().find(|line| line.starts_with("| 1 ")).unwrap().split('|').nth(2).unwrap().trim();
    assert_eq!(config("winner"), config(&format!("lr/trial_00{best}/seed_1")));
}

#[test]
fn histograms_change_no_bit_of_a_run() {
    let directory = tempfile::tempdir().unwrap();
    train(directory.path(), "plain", &[]);
    train(directory.path(), "seen", &["--histograms", "--checkpoint-every", "1024"]);
    let read =
        |run: &str, file: &str| fs::read(directory.path().join("results").join(run).join(file)).unwrap();
    for file in ["metrics.csv", "episodes.csv", "model.safetensors"] {
        assert!(read("plain", file) == read("seen", file), "{file} differs");
    }
    let events = |run: &str| {
        let mut entries = fs::read_dir(directory.path().join("results").join(run)).unwrap();
        let is_events = |name: &str| name.starts_with("events.out.tfevents.");
        let found = entries.find(|entry| is_events(&entry.as_ref().unwrap().file_name().to_string_lossy()));
        fs::read(found.unwrap().unwrap().path()).unwrap()
    };
    let count = |run: &str| events(run).windows(8).filter(|bytes| *bytes == b"weights/").count();
    assert_eq!(count("plain"), 0);
    assert!(count("seen") >= 4 * 4, "at each of four checkpoints every tensor");
}

#[test]
fn films_and_sheets_are_written_by_their_ending() {
    let directory = tempfile::tempdir().unwrap();
    for (name, begin) in
        [("new/film.webp", &b"RIFF"[..]), ("new/film.gif", b"GIF89a"), ("new/sheet.png", b"\x89PNG")]
    {
        succeed(directory.path(), &["record", "MinAtar/Breakout-v0", "--max-frames", "5", "--out", name]);
        assert!(fs::read(directory.path().join(name)).unwrap().starts_with(begin), "{name}");
    }
    let (output, text) = run(directory.path(), &["record", "MinAtar/Breakout-v0", "--out", "film.mp4"]);
    assert!(!output.status.success() && text.contains(".gif, .webp or .png"), "{text}");
}
