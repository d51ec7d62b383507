//! Settings: their layers, their errors, and what follows from them.

use agon_nn::EncoderConfig;

use super::*;

fn resolved(assignments: &[&str]) -> Result<RunConfig, RunError> {
    let mut table: toml::Table = "env.id = 'CartPole-v1'".parse().unwrap();
    for assignment in assignments {
        set(&mut table, assignment)?;
    }
    let algorithms = Algorithms::builtin();
    let mut config = RunConfig::from_table(&algorithms, table)?;
    config.resolve(&Registry::builtin(), &algorithms)?;
    Ok(config)
}

fn refusal(assignment: &str) -> String {
    resolved(&[assignment]).unwrap_err().to_string()
}

#[test]
fn set_reaches_every_layer() {
    let config = resolved(&[
        "seed=7",
        "runtime.num_shards = 2",
        "network.encoder.hidden=[32, 32]",
        "agent.gamma=0.5",
        "env.args.sutton_barto_reward=true",
        "runtime.mode=async",
    ])
    .unwrap();
    assert_eq!((config.seed, config.runtime.num_shards, config.runtime.mode), (7, 2, Mode::Async));
    let Some(ModelConfig { encoder: EncoderConfig::Mlp { hidden, .. }, .. }) = config.network else {
        panic!("expected an MLP, got {:?}", config.network)
    };
    assert_eq!(hidden, [32, 32]);
    assert_eq!(config.agent["num_steps"].as_integer(), Some(128), "defaults are filled in");
}

#[test]
fn shards_and_slices_follow_from_the_configuration_where_it_does_not_say() {
    let slices = |config: &RunConfig| config.agent["gradient_slices"].as_integer();
    for (num_envs, shards) in [(1, 1), (8, 1), (63, 1), (64, 2), (100, 2), (128, 4), (512, 16), (4096, 16)] {
        let config = resolved(&[&format!("num_envs={num_envs}"), "agent.num_minibatches=1"]).unwrap();
        assert_eq!(config.runtime.num_shards, shards, "{num_envs} environments");
    }
    let many = ["num_envs=512", "agent.num_steps=32", "agent.num_minibatches=8"];
    let config = resolved(&many).unwrap();
    assert_eq!((config.runtime.num_shards, slices(&config)), (16, Some(16)));
    // What is set wins, and what was found once is set.
    let set = ["runtime.num_shards=2", "agent.gradient_slices=3"];
    let explicit = resolved(&[&many[..], &set].concat()).unwrap();
    assert_eq!((explicit.runtime.num_shards, slices(&explicit)), (2, Some(3)));
    let mut again = config.clone();
    again.resolve(&Registry::builtin(), &Algorithms::builtin()).unwrap();
    assert_eq!(again, config);
    // Minibatches of 128 rows are worth two threads, those of 32 are not.
    assert_eq!(slices(&resolved(&["num_envs=4"]).unwrap()), Some(2));
    assert_eq!(slices(&resolved(&["num_envs=1"]).unwrap()), Some(1));
}

#[test]
fn wrong_settings_name_the_key_the_value_and_what_is_allowed() {
    for (assignment, parts) in [
        ("sead=1", vec!["sead", "seed"]),
        ("agent.gama=1", vec!["gama", "gamma"]),
        ("network.encoder.hiden=[1]", vec!["network.encoder", "hiden", "hidden"]),
        ("network.encoder.hidden=[8, 100000000]", vec!["network.encoder.hidden", "16777216", "100000000"]),
        ("network=5", vec!["network must be a table", "5"]),
        ("network.encoder.kind=cn", vec!["network.encoder", "cn", "nature_cnn"]),
        ("agent.network.encoder.kind=mlp", vec!["agent.network", "top level"]),
        ("seed=fast", vec!["seed", "fast"]),
        ("agent.gamma=high", vec!["agent.gamma", "high"]),
        ("runtime.num_shards=3", vec!["runtime.num_shards", "divisor", "4", "3"]),
        ("eval.episodes=0", vec!["eval.episodes", "from 1 to", "0"]),
        ("runtime.mode=slow", vec!["runtime.mode", "slow", "lockstep"]),
        ("runtime.instruction_set=mmx", vec!["runtime.instruction_set", "mmx", "avx2"]),
        ("env.id=CartPol-v1", vec!["CartPol-v1", "CartPole-v1"]),
        ("algorithm=pp", vec!["pp", "ppo"]),
        ("seed", vec!["expected key.path=value"]),
        ("seed.x.=1", vec!["expected a key"]),
        ("num_envs=0", vec!["num_envs", "at least 1", "got 0"]),
        ("total_timesteps=1.5", vec!["total_timesteps", "1.5", "number of steps"]),
        ("total_timesteps=many", vec!["total_timesteps", "many", "number of steps"]),
        ("runtime.checkpoint_every=-1", vec!["runtime.checkpoint_every", "-1", "number of steps"]),
        ("eval.every=1e30", vec!["eval.every", "number of steps"]),
    ] {
        let message = refusal(assignment);
        for part in parts {
            assert!(message.contains(part), "`{assignment}`: expected `{part}` in `{message}`");
        }
    }
}

#[test]
fn numbers_of_steps_may_be_powers_and_have_units() {
    let config = resolved(&[
        "total_timesteps=1e6",
        "runtime.checkpoint_every=100_000",
        "runtime.log_every=10k",
        "eval.every='0.5M'",
        "agent.num_steps=1e2",
        "agent.learning_rate=1e0",
    ])
    .unwrap();
    let RuntimeConfig { checkpoint_every, log_every, .. } = config.runtime;
    assert_eq!((config.total_timesteps, checkpoint_every, log_every), (1_000_000, 100_000, 10_000));
    assert_eq!((config.eval.every, config.agent["num_steps"].as_integer()), (500_000, Some(100)));
    assert_eq!(config.agent["learning_rate"].as_float(), Some(1.0));
}

#[test]
fn evaluations_are_due_at_multiples_and_at_the_end() {
    let eval = EvalConfig { every: 100, ..EvalConfig::default() };
    let due = |before, now| eval.is_due(before, now, 250);
    assert_eq!(
        [due(0, 96), due(96, 100), due(96, 128), due(100, 199), due(192, 256)],
        [false, true, true, false, true]
    );
    assert!(!EvalConfig::default().is_due(0, 250, 250), "off by default");
}

#[test]
fn another_kind_replaces_the_settings_of_the_first() {
    let config = resolved(&["network.encoder.kind=minatar_cnn"]).unwrap();
    let network = toml::Table::try_from(config.network.unwrap()).unwrap();
    assert_eq!(network["encoder"]["channels"].as_integer(), Some(16), "defaults of the new kind");
    assert!(!network["encoder"].as_table().unwrap().contains_key("activation"));
}

#[test]
fn differences_are_named_and_seeds_are_none() {
    let config = resolved(&["seed=3"]).unwrap();
    let other = |assignments| resolved(assignments).unwrap();
    assert_eq!(config.first_difference(&other(&["seed=4", "runtime.threads=2"])), None);
    let found = config.first_difference(&other(&["agent.gamma=0.5", "num_envs=8"]));
    assert_eq!(found.as_deref(), Some("agent.gamma: 0.99 and 0.5"));
    let found = config.first_difference(&other(&["env.max_episode_steps=9"]));
    assert_eq!(found.as_deref(), Some("env.max_episode_steps: none and 9"));
}

#[test]
fn a_written_config_reads_back_the_same() {
    let config = resolved(&["seed=3"]).unwrap();
    let text = toml::to_string(&config).unwrap();
    assert_eq!(RunConfig::from_table(&Algorithms::builtin(), text.parse().unwrap()).unwrap(), config);
    let written: RunConfig = from_table(text.parse().unwrap()).unwrap();
    assert_eq!(written, config);
}

#[test]
fn what_is_no_assignment_is_named_with_its_flag() {
    let message = set_by("--shift", &mut toml::Table::new(), "gravity").unwrap_err().to_string();
    assert!(message.starts_with("--shift gravity: expected key.path=value"), "{message}");
}
