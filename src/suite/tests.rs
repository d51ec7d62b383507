use std::fs;

use super::*;
use crate::sinks::watch;

const FILE: &str = r#"
[[entry]]
name = "small"
algorithm = "ppo"
env = "CartPole-v1"
settings = { total_timesteps = 2048, num_envs = 4, agent.num_steps = 32, network.encoder.hidden = [8] }
seeds = 2
measure = { kind = "last_100" }
published = "500"
source = "a paper"
wanted = { mean = 5.0 }
group = "both"

[[entry]]
name = "fast"
preset = "ppo-cartpole"
settings = { total_timesteps = 1024 }
seeds = 2
measure = { kind = "final_evaluation", episodes = 3 }
published = "500"
source = "another paper"
wanted = { every_seed = 1000.0 }
run = "alone"
group = "both"
label = "preset"
"#;
const DOCUMENT: &str =
    "# Results\n\n<!-- suite: begin (written by `agon suite`) -->\nold\n<!-- suite: end -->\nend\n";

fn suite(directory: &Path, text: &str) -> Result<Suite, RunError> {
    fs::write(directory.join("suite.toml"), text).unwrap();
    Suite::load(&Setup::default(), &directory.join("suite.toml"))
}

fn run(suite: &Suite, only: Option<&str>) -> Result<bool, RunError> {
    let failed = suite.run(&Setup::default(), only, 2, &|_| Box::new(watch(|_| true)))?;
    Ok(failed.is_some_and(|failed| failed.is_empty()))
}

#[test]
fn entries_are_trained_measured_and_reported_once() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("README.md"), DOCUMENT).unwrap();
    let setup = Setup::default();
    let of = suite(directory.path(), FILE).unwrap();
    assert!(run(&of, Some("sm*")).unwrap());
    let current = |suite: &Suite| -> Vec<bool> {
        suite.standings(&setup).unwrap().iter().map(|standing| standing.is_current).collect()
    };
    assert_eq!(current(&of), [true, false]);
    assert!(run(&of, None).unwrap());
    assert_eq!(current(&of), [true, true]);
    of.report(&setup).unwrap();
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    let table = read("README.md");
    assert!(table.starts_with("# Results\n") && table.ends_with("<!-- suite: end -->\nend\n"), "{table}");
    for part in [
        "[CartPole-v1](reference/small/curve.svg)",
        "mean ≥ 5: reached",
        "every seed ≥ 1000: **missed**",
        "3 greedy episodes at the end",
        "500 (another paper)",
    ] {
        assert!(table.contains(part), "expected `{part}` in {table}");
    }
    assert!(!table.contains("old"));
    for name in ["small/config.toml", "small/curve.svg", "fast/curve.csv", "group_both.svg"] {
        assert!(directory.path().join("reference").join(name).exists(), "{name}");
    }
    let scores = read("reference/fast/scores.csv");
    assert!(
        scores.starts_with(
            "seed,score,settings,measure,env_steps,wall_s,steps_per_second,runs_at_once,machine\n"
        ),
        "{scores}"
    );

    // What is recorded is enough: nothing is trained again, and the table stays as it is.
    fs::remove_dir_all(directory.path().join("suite")).unwrap();
    assert!(run(&of, None).unwrap());
    assert!(!directory.path().join("suite").exists());
    of.report(&setup).unwrap();
    assert_eq!(read("README.md"), table);

    // A setting that was recorded before it existed has its default.
    let path = directory.path().join("reference/small/config.toml");
    let config = fs::read_to_string(&path).unwrap();
    assert!(config.contains("vf_coef = "), "{config}");
    let older: Vec<&str> = config.lines().filter(|line| !line.starts_with("vf_coef")).collect();
    fs::write(&path, older.join("\n")).unwrap();
    assert_eq!(current(&of), [true, true]);

    let changed = suite(directory.path(), &FILE.replace("episodes = 3", "episodes = 4")).unwrap();
    assert_eq!(current(&changed), [true, false]);
    let changed = suite(directory.path(), &FILE.replace("num_steps = 32", "num_steps = 64")).unwrap();
    assert_eq!(current(&changed), [false, true]);
}

#[test]
fn seeds_of_a_behaviour_experiment_differ_in_size() {
    const EXPERIMENT: &str = r#"
[[entry]]
name = "memory"
algorithm = "ppo"
env = "bsuite/memory_len-v0"
settings = { num_envs = 4, agent.num_steps = 32, network.encoder.hidden = [8] }
each_seed = [
    { env.args.memory_length = 1, total_timesteps = 4096 },
    { env.args.memory_length = 50, total_timesteps = 8192 },
]
seeds = 2
measure = { kind = "experiment", episodes = 100 }
published = "-"
source = "-"
wanted = { mean_at_most = 0.5 }
"#;
    let directory = tempfile::tempdir().unwrap();
    let of = suite(directory.path(), EXPERIMENT).unwrap();
    assert!(run(&of, None).unwrap());
    let setup = Setup::default();
    let standing = of.standings(&setup).unwrap().remove(0);
    assert!(standing.is_current);
    fs::write(directory.path().join("README.md"), DOCUMENT).unwrap();
    of.report(&setup).unwrap();
    let table = fs::read_to_string(directory.path().join("README.md")).unwrap();
    assert!(table.contains("4.1k to 8.2k"), "{table}");
    let rows = standing.reference.unwrap().seeds;
    assert_eq!(rows.iter().map(|row| row.env_steps).collect::<Vec<_>>(), [4096, 8192]);
    assert!(rows[1].settings.contains("memory_length = 50"), "{}", rows[1].settings);
    assert_eq!(rows[1].score, 0.0, "an MLP remembers nothing");
    let changed = suite(directory.path(), &EXPERIMENT.replace("50,", "49,")).unwrap();
    assert!(!changed.standings(&setup).unwrap()[0].is_current);
    let longer = suite(directory.path(), &EXPERIMENT.replace("episodes = 100", "episodes = 1000")).unwrap();
    let message = run(&longer, None).unwrap_err().to_string();
    assert!(message.contains("expected 1000 episodes to score, found"), "{message}");
}

#[test]
fn a_stopped_suite_goes_on_to_the_same_scores() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| {
        fs::create_dir_all(directory.path().join(name)).unwrap();
        directory.path().join(name)
    };
    let (whole, stopped) = (suite(&path("a"), FILE).unwrap(), suite(&path("b"), FILE).unwrap());
    run(&whole, Some("small")).unwrap();
    let mut stops = 0;
    loop {
        let left = Mutex::new(6);
        let observe = |_: &Job| -> Box<dyn Sink + '_> {
            Box::new(watch(|_| {
                let mut left = left.lock().unwrap();
                *left -= 1;
                *left > 0
            }))
        };
        if stopped.run(&Setup::default(), Some("small"), 1, &observe).unwrap().is_some() {
            break;
        }
        stops += 1;
    }
    assert!(stops > 1);
    let scores = |suite: &Suite| {
        Reference::load(&suite.reference_path(&suite.file.entries[0])).unwrap().unwrap().scores()
    };
    assert_eq!(scores(&whole), scores(&stopped));
}

#[test]
fn wrong_files_name_the_entry() {
    let directory = tempfile::tempdir().unwrap();
    for (from, to, expected) in [
        ("name = \"fast\"", "name = \"small\"", "entry `small`: two entries have this name"),
        ("name = \"fast\"", "name = \"a/b\"", "got `a/b`"),
        ("seeds = 2", "seeds = 0", "entry `small`: seeds must be at least 1"),
        ("preset = \"ppo-cartpole\"", "", "expected a `preset`, or `algorithm` and `env`"),
        (
            "preset = \"ppo-cartpole\"",
            "preset = \"ppo-cartpole\"\nenv = \"Taxi-v4\"",
            "is for CartPole-v1, got env Taxi-v4",
        ),
        ("agent.num_steps", "agent.nun_steps", "entry `small`: "),
        ("kind = \"last_100\"", "kind = \"last\"", "unknown variant `last`"),
        (
            "seeds = 2",
            "seeds = 2\neach_seed = [{}, {}, {}]",
            "each_seed must be at most seeds = 2 settings, got 3",
        ),
        ("seeds = 2", "seeds = 2\neach_seed = [{}, { num_envs = \"no\" }]", "entry `small`: "),
        (
            "kind = \"last_100\"",
            "kind = \"experiment\", episodes = 9",
            "expected an environment with a score of its own",
        ),
        ("episodes = 3", "episodes = 0", "measure.episodes must be at least 1"),
        (
            "wanted = { mean = 5.0 }",
            "wanted = { seeds = { count = 3, score = 1.0 } }",
            "at most seeds = 2, got 3",
        ),
        ("label = \"preset\"", "", "group `both`: two entries"),
    ] {
        let message = suite(directory.path(), &FILE.replace(from, to)).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains("suite.toml"), "`{to}`: {message}");
    }
    let of = suite(directory.path(), FILE).unwrap();
    let message = run(&of, Some("dqn-*")).unwrap_err().to_string();
    assert!(message.contains("expected one of small, fast"), "{message}");
    fs::write(directory.path().join("README.md"), "no markers").unwrap();
    assert!(of.report(&Setup::default()).unwrap_err().to_string().contains("suite: begin"));
}

#[test]
fn the_suite_of_the_results_is_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("results/suite.toml");
    let of = Suite::load(&Setup::default(), &path).unwrap();
    assert!(of.file.entries.iter().any(|entry| entry.name == "ppo-cartpole"));
}

#[test]
fn patterns_fit_whole_names() {
    for (pattern, name, fits) in [
        ("*", "ppo-cartpole", true),
        ("ppo-*", "ppo-cartpole", true),
        ("ppo-*", "dqn-cartpole", false),
        ("*-cart????", "ppo-cartpole", true),
        ("ppo", "ppo-cartpole", false),
        ("p*o*e", "ppo-cartpole", true),
        ("", "", true),
    ] {
        assert_eq!(file::matches(Some(pattern), name), fits, "{pattern} {name}");
    }
}

#[test]
fn wanted_scores_are_reached_or_not() {
    let scores = [1.0, 2.0, 3.0];
    for (wanted, reached) in [
        (Wanted::Mean(2.0), true),
        (Wanted::Mean(2.5), false),
        // Student's quantile for two degrees of freedom is 4.303, so the interval is 2 ± 2.484.
        (Wanted::Interval(4.48), true),
        (Wanted::Interval(4.49), false),
        (Wanted::MeanAtMost(2.0), true),
        (Wanted::MeanAtMost(1.5), false),
        (Wanted::EverySeed(1.0), true),
        (Wanted::EverySeed(1.5), false),
        (Wanted::Seeds { count: 2, score: 2.0 }, true),
        (Wanted::Seeds { count: 3, score: 2.0 }, false),
    ] {
        assert_eq!(wanted.is_reached(&scores), reached, "{wanted:?}");
    }
}
