//! A training that begins with given weights.

use std::fs;

use agon::runtime::{self, Setup};

use crate::{assert_same, common, train};

#[test]
fn a_training_begins_with_the_weights_of_another() {
    let setup = Setup::default();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let normalised = ["env.wrappers=[{kind='normalize_observation'}]"];
    for (algorithm, settings) in
        [("ppo", [&common::PPO[..], &normalised].concat()), ("dqn", common::DQN.to_vec())]
    {
        let (first, second, resumed) = (
            path(&format!("{algorithm}_1")),
            path(&format!("{algorithm}_2")),
            path(&format!("{algorithm}_3")),
        );
        train(&setup, algorithm, &settings, 2, &first);
        let begin = |run: &std::path::Path| {
            let mut config = common::config_of(algorithm, &settings);
            config.init_from = Some(first.clone());
            config.seed = 5;
            runtime::train(&setup, config, run, &mut |_| true).unwrap();
        };
        begin(&second);
        let read = |run: &std::path::Path, name: &str| fs::read(run.join(name)).unwrap();
        assert!(read(&first, "model.safetensors") == read(&second, "init.safetensors"));
        let early = |run: &std::path::Path| {
            let text = String::from_utf8(read(run, "episodes.csv")).unwrap();
            let returns = text
                .lines()
                .skip(1)
                .take(20)
                .map(|line| line.split(',').nth(3).unwrap().parse::<f64>().unwrap());
            returns.sum::<f64>() / 20.0
        };
        if algorithm == "ppo" {
            assert!(early(&second) > early(&first) + 10.0, "{} and {}", early(&first), early(&second));
        }
        // Killed before its first checkpoint, and the first run is gone: the copy is what it goes on from.
        begin(&resumed);
        fs::remove_dir_all(resumed.join("checkpoints")).unwrap();
        fs::create_dir(resumed.join("checkpoints")).unwrap();
        fs::rename(&first, path("moved")).unwrap();
        assert!(runtime::resume(&setup, &resumed, Some(1), &mut |_| true).unwrap().finished);
        assert_same(&second, &resumed, algorithm);
        fs::remove_dir_all(path("moved")).unwrap();
    }
}

#[test]
fn weights_that_do_not_fit_are_listed_and_nothing_is_begun() {
    let setup = Setup::default();
    let directory = tempfile::tempdir().unwrap();
    let first = directory.path().join("first");
    train(&setup, "ppo", &common::PPO, 2, &first);
    let mut config = common::config_of("ppo", &[&common::PPO[..], &["network.encoder.hidden=[48]"]].concat());
    config.init_from = Some(first.join("model.safetensors"));
    let second = directory.path().join("second");
    let message = runtime::train(&setup, config, &second, &mut |_| true).unwrap_err().to_string();
    for part in [
        "actor.encoder.0.weight must have shape [48, 4], got [32, 4]",
        "unexpected",
        "actor.encoder.2.weight",
    ] {
        assert!(message.contains(part), "`{part}` in {message}");
    }
    assert!(!second.exists());
}
