use super::*;

use crate::runtime::{self, Setup};

/// A run of some steps, which may begin with another one's weights.
fn train(path: &Path, seed: u64, init_from: Option<&Path>) {
    let mut config = RunConfig { seed, total_timesteps: 256, num_envs: 2, ..RunConfig::default() };
    config.env.id = "CartPole-v1".to_owned();
    config.agent.insert("num_steps".to_owned(), 32.into());
    config.init_from = init_from.map(Path::to_owned);
    runtime::train(&Setup::default(), config, path, &mut |progress| progress.env_steps < 128).unwrap();
}

/// The checks of a chain that do not hold, with those of the runs that it came from.
fn broken(chain: &Chain) -> Vec<Check> {
    let own = chain.checks.iter().filter(|check| !check.holds()).cloned();
    own.chain(chain.parents.iter().flat_map(broken)).collect()
}

#[test]
fn a_run_records_what_began_it_and_what_went_on_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run");
    train(&run, 3, None);
    let before = records(&run).unwrap();
    assert_eq!((before.len(), before[0].env_steps, before[0].seed), (1, 0, 3));
    assert_eq!(before[0].program.version, env!("CARGO_PKG_VERSION"));
    assert!(before[0].machine.cores > 0 && before[0].machine.memory_bytes > 0, "{:?}", before[0].machine);
    runtime::extend(&run, 512).unwrap();
    runtime::resume(&Setup::default(), &run, Some(1), &mut |_| true).unwrap();
    let after = records(&run).unwrap();
    assert_eq!(after.len(), 2);
    assert_eq!(after[0], before[0], "what is recorded stays");
    assert_eq!((after[1].env_steps, after[1].total_timesteps, after[1].threads), (128, 512, 1));
    assert_eq!(after[1].settings_sha256, after[0].settings_sha256, "neither length nor threads decide bits");
    let chain = Chain::of(&run).unwrap();
    assert!(chain.holds(), "{:?}", broken(&chain));
}

#[test]
fn a_damaged_record_keeps_no_run_from_going_on_and_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run");
    train(&run, 3, None);
    fs::write(run.join(PROVENANCE), b"{\"at\": \xff").unwrap();
    runtime::resume(&Setup::default(), &run, None, &mut |_| true).unwrap();
    assert!(Chain::of(&run).unwrap_err().chain().contains("provenance.jsonl"));
    let whole = fs::read(run.join(PROVENANCE)).unwrap();
    let second = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    fs::write(run.join(PROVENANCE), [b"{}\n", &whole[second..]].concat()).unwrap();
    let message = Chain::of(&run).unwrap_err().to_string();
    assert!(message.contains("expected a record in line 1: missing field"), "{message}");
}

#[test]
fn a_chain_goes_back_to_the_first_run_and_names_what_changed() {
    let directory = tempfile::tempdir().unwrap();
    let [first, second, third] = ["first", "second", "third"].map(|name| directory.path().join(name));
    train(&first, 1, None);
    train(&second, 2, Some(&first));
    train(&third, 3, Some(&second.join("model.safetensors")));
    let chain = Chain::of(&third).unwrap();
    assert!(chain.holds(), "{:?}", broken(&chain));
    let input = &chain.records[0].inputs[0];
    assert_eq!(input.origin, Path::new("../second/model.safetensors"));
    let made_by = input.made_by.as_ref().unwrap();
    assert_eq!((made_by.seed, made_by.env_steps), (2, 128));
    assert_eq!(chain.parents[0].parents[0].records[0].seed, 1);

    // Trained on: the original is not what the second run began with any more. Its own copy is.
    runtime::resume(&Setup::default(), &first, None, &mut |_| true).unwrap();
    let changed = broken(&Chain::of(&third).unwrap());
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert!(changed[0].what.ends_with("first/model.safetensors"), "{changed:?}");
    assert!(matches!(changed[0].found, Found::Other(_)), "{changed:?}");
    fs::remove_dir_all(&first).unwrap();
    let missing = broken(&Chain::of(&third).unwrap());
    assert_eq!((missing.len(), &missing[0].found), (1, &Found::Nothing));

    let copy = third.join(INIT);
    fs::write(&copy, "something else").unwrap();
    let config = third.join(CONFIG);
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("seed = 3", "seed = 4")).unwrap();
    let whats: Vec<String> =
        broken(&Chain::of(&third).unwrap()).into_iter().map(|check| check.what).collect();
    assert_eq!(whats[..3], ["settings in config.toml", "settings in model.safetensors", INIT]);
}

#[test]
fn settings_have_the_hash_of_their_canonical_json() {
    let directory = tempfile::tempdir().unwrap();
    let written = "seed = 1\nalgorithm = \"x\"\ninit_from = \"a\"\ntotal_timesteps = 5\n[runtime]\nthreads = 2\n\
                   mode = \"lockstep\"\n[made_by]\ninstruction_set = \"avx2\"\n";
    fs::write(directory.path().join(CONFIG), written).unwrap();
    let json = r#"{"algorithm":"x","runtime":{"instruction_set":"avx2","mode":"lockstep"},"seed":1}"#;
    let expected = hash::hex(&hash::of_bytes(json.as_bytes()));
    assert_eq!(settings_sha256(directory.path()).unwrap(), expected);
}

#[test]
fn an_experiments_copy_is_of_what_the_experiment_was_given() {
    let directory = tempfile::tempdir().unwrap();
    let (given, experiment) = (directory.path().join("given"), directory.path().join("experiment"));
    train(&given, 1, None);
    let mut config = RunConfig { total_timesteps: 64, num_envs: 2, ..RunConfig::default() };
    config.env.id = "CartPole-v1".to_owned();
    config.agent.insert("num_steps".to_owned(), 32.into());
    config.init_from = Some(given.clone());
    let runs = experiment::seed_runs(&experiment, 1, 2);
    let observe = |_: &experiment::SeedRun| Box::new(crate::sinks::watch(|_: &_| true)) as Box<_>;
    experiment::train(&Setup::default(), &config, &experiment, &runs, &observe).unwrap();
    experiment::extend(&experiment, 128).unwrap();
    assert_eq!(experiment::origin(&experiment.join(INIT)).unwrap(), Some(given));
    let chain = Chain::of(&experiment.join("seed_2")).unwrap();
    assert!(chain.holds(), "{:?}", broken(&chain));
    assert_eq!(chain.records[0].inputs[0].origin, Path::new("../../given/model.safetensors"));
}
