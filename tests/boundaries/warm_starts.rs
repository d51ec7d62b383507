//! A training that begins with given weights.

use std::collections::BTreeMap;
use std::fs;

use agon::agents::Weights;
use agon::experiment;
use agon::export::Format;
use agon::runtime::{self, Setup};
use agon::sinks::watch;
use agon::transfer::TransferMode;

use crate::{assert_same, common, train, train_in_two};

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

#[test]
fn tensors_that_another_program_has_written_are_begun_with() {
    let setup = Setup::default();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    train(&setup, "ppo", &common::PPO, 2, &path("first"));
    let weights = Weights::from_safetensors(&fs::read(path("first/model.safetensors")).unwrap()).unwrap();
    // What PyTorch's `save_file` writes has names, shapes and values, and says nothing of itself.
    fs::write(path("plain.safetensors"), weights.to_safetensors(&BTreeMap::new()).unwrap()).unwrap();
    let begun = |from: &str, run: &str| {
        let mut config = common::config_of("ppo", &common::PPO);
        config.init_from = Some(path(from));
        runtime::train(&setup, config, &path(run), &mut |_| true).map_err(|error| error.to_string())
    };
    begun("first", "of_a_run").unwrap();
    begun("plain.safetensors", "of_tensors").unwrap();
    for file in ["metrics.csv", "episodes.csv"] {
        assert_eq!(
            fs::read(path("of_a_run").join(file)).unwrap(),
            fs::read(path("of_tensors").join(file)).unwrap()
        );
    }
    let actor = weights.iter().filter(|(name, ..)| name.starts_with("actor."));
    let actor = actor.map(|(name, shape, values)| (name.to_owned(), shape.to_vec(), values.to_vec()));
    let actor = Weights::from_tensors(actor).unwrap().to_safetensors(&BTreeMap::new()).unwrap();
    fs::write(path("actor.safetensors"), actor).unwrap();
    let message = begun("actor.safetensors", "of_an_actor").unwrap_err();
    assert!(message.contains("of another program") && message.contains("critic.head.0.bias"), "{message}");
    // An export has only what acts, and says so.
    let policy = agon::policy::load(path("first")).unwrap();
    let export = agon::export::Export::of(&policy).unwrap();
    assert!(export.parameters.keys().all(|name| name.starts_with("actor.")), "a critic does not act");
    fs::write(path("export.safetensors"), export.to_safetensors().unwrap()).unwrap();
    let message = begun("export.safetensors", "of_an_export").unwrap_err();
    assert!(message.contains("found a policy for other programs"), "{message}");
    // And no export takes the place of a run's weights.
    let model = path("first/model.safetensors");
    let before = fs::read(&model).unwrap();
    let message = export.write(&setup, &policy, Format::Safetensors, 0, &model).unwrap_err().to_string();
    assert!(message.contains("found a run's weights there"), "{message}");
    assert!(fs::read(&model).unwrap() == before);
    export.write(&setup, &policy, Format::Safetensors, 0, &path("a/new/directory.safetensors")).unwrap();
}

#[test]
fn matching_weights_of_which_nothing_matches_are_refused() {
    let setup = Setup::default();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    train(&setup, "dqn", &common::DQN, 1, &path("dqn"));
    let mut config = common::config_of("ppo", &common::PPO);
    (config.init_from, config.transfer.mode) = (Some(path("dqn")), TransferMode::Matching);
    let message = runtime::train(&setup, config, &path("ppo"), &mut |_| true).unwrap_err().to_string();
    assert!(message.contains("at least one tensor fits") && message.contains("none that does"), "{message}");
    assert!(!path("ppo").exists());
}

#[test]
fn seeds_of_an_experiment_begin_with_one_copy_of_the_weights() {
    let setup = Setup::default();
    let directory = tempfile::tempdir().unwrap();
    let first = directory.path().join("first");
    train(&setup, "ppo", &common::PPO, 2, &first);
    let given = directory.path().join("given.safetensors");
    fs::copy(first.join("model.safetensors"), &given).unwrap();
    let mut config = common::config_of("ppo", &common::PPO);
    config.init_from = Some(given.clone());
    let path = directory.path().join("seeds");
    let runs = experiment::seed_runs(&path, 1, 2);
    // The first seed is stopped, so that the second one has not begun when the original goes.
    config.runtime.threads = 1;
    let stopped = experiment::train(&setup, &config, &path, &runs, &|_| Box::new(watch(|_| false))).unwrap();
    assert!(stopped[1].outcome().is_none());
    fs::remove_file(&given).unwrap();
    let outcomes = experiment::resume(&setup, &path, None, &|_| Box::new(watch(|_| true))).unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.outcome().is_some_and(|outcome| outcome.finished)));
    let copy = |run: &str| fs::read(path.join(run).join("init.safetensors")).unwrap();
    assert!(
        copy("seed_1") == copy("seed_2")
            && copy("seed_1") == fs::read(path.join("init.safetensors")).unwrap()
    );
}

#[test]
fn a_stop_does_not_decide_what_is_best() {
    let setup = Setup::default();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    train(&setup, "ppo", &common::PPO, 2, &path("whole"));
    for stop_after in [9, 14, 23, 29] {
        let run = path(&format!("stopped_{stop_after}"));
        train_in_two(&setup, "ppo", &common::PPO, stop_after, &run);
        let best = |run: &std::path::Path| fs::read(run.join("best.safetensors")).unwrap();
        assert!(best(&path("whole")) == best(&run), "stopped after {stop_after}");
    }
}
