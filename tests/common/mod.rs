//! What the integration tests share: small runs of each algorithm.
#![allow(dead_code, reason = "not every test program uses all of it")]

use std::path::Path;
use std::process::{Command, Output};

use agon::agents::Algorithms;
use agon::config::{self, RunConfig};

/// Settings of a PPO run of a few thousand steps in four shards.
pub(crate) const PPO: [&str; 7] = [
    "num_envs=16",
    "runtime.num_shards=4",
    "total_timesteps=16384",
    "agent.num_steps=32",
    "agent.gradient_slices=4",
    "network.encoder.hidden=[32,32]",
    "runtime.checkpoint_every=2048",
];

/// Two tasks for one agent, one of which looks back.
const TASKS: [&str; 2] = [
    "env.id=mixture",
    "env.tasks=[{id='Acrobot-v1', max_episode_steps=50}, {id='CartPole-v1', wrappers=[{kind='frame_stack', num_stack=2}]}]",
];

/// Settings of a DQN run of a few thousand steps in two shards.
pub(crate) const DQN: [&str; 10] = [
    "num_envs=2",
    "runtime.num_shards=2",
    "total_timesteps=6000",
    "agent.learning_starts=500",
    "agent.train_frequency=50",
    "agent.gradient_steps=20",
    "agent.batch_size=32",
    "agent.buffer_size=2000",
    "network.encoder.hidden=[32,32]",
    "runtime.checkpoint_every=1000",
];

/// Settings of a PQN run of a few thousand steps in two shards.
const PQN: [&str; 6] = [
    "num_envs=8",
    "runtime.num_shards=2",
    "total_timesteps=8192",
    "agent.num_steps=32",
    "network.encoder.hidden=[32]",
    "runtime.checkpoint_every=2048",
];

/// Settings of an R2D2 run of a few thousand steps in two shards.
const R2D2: [&str; 8] = [
    "env.id=CartPoleNoVel-v1",
    "num_envs=4",
    "runtime.num_shards=2",
    "total_timesteps=4000",
    "agent.learning_starts=500",
    "agent.batch_size=8",
    "agent.buffer_size=2000",
    "network={encoder={kind='mlp', hidden=[16]}, memory={kind='lstm', hidden=16}}",
];

/// Settings that a few thousand steps of any policy-gradient algorithm with a memory have in common.
const REMEMBERING: [&str; 6] = [
    "env.id=CartPoleNoVel-v1",
    "num_envs=8",
    "runtime.num_shards=4",
    "total_timesteps=8192",
    "agent.num_steps=32",
    "agent.share_encoder=true",
];

/// Settings of a short run of an actor-critic with a replay buffer.
pub(crate) const CONTINUOUS: [&str; 9] = [
    "env.id=Pendulum-v1",
    "num_envs=2",
    "runtime.num_shards=2",
    "total_timesteps=1200",
    "agent.train_frequency=20",
    "agent.gradient_steps=10",
    "agent.batch_size=32",
    "network.encoder.hidden=[32,32]",
    "runtime.checkpoint_every=200",
];

/// World models with a controller that evolves.
const VMC: [&str; 19] = [
    "env.id=CartPole-v1",
    "num_envs=2",
    "runtime.num_shards=2",
    "total_timesteps=1200",
    "agent.buffer_size=600",
    "agent.learning_starts=100",
    "agent.num_steps=4",
    "agent.sequence_length=8",
    "agent.batch_size=4",
    "agent.gradient_steps=1",
    "agent.horizon=4",
    "agent.latents=4",
    "agent.hidden=16",
    "agent.dreams=2",
    "agent.population=8",
    "agent.evolution_starts=10",
    "agent.bins=21",
    "network.memory={kind='lstm', hidden=16}",
    "runtime.checkpoint_every=200",
];

/// Settings of a short run that imagines.
const DREAMER: [&str; 17] = [
    "env.id=CartPole-v1",
    "num_envs=2",
    "runtime.num_shards=2",
    "total_timesteps=1200",
    "agent.buffer_size=600",
    "agent.learning_starts=100",
    "agent.num_steps=4",
    "agent.sequence_length=8",
    "agent.batch_size=4",
    "agent.gradient_steps=1",
    "agent.horizon=4",
    "agent.deterministic=16",
    "agent.latents=4",
    "agent.classes=4",
    "agent.hidden=16",
    "agent.bins=21",
    "runtime.checkpoint_every=200",
];

/// Many critics, some of which are asked, and networks that begin anew.
const ENSEMBLE: [&str; 3] = [
    "agent.critics={count=4, targets=2, policy_reduction='mean', layer_norm=true, dropout=0.1}",
    "agent.policy_frequency=5",
    "agent.reset_every=75",
];

/// Settings of a short run of a search in games against oneself, with everything that chance decides in them.
const SEARCH: [&str; 10] = [
    "env.id=TicTacToe-v0",
    "env.args.opponent=self",
    "num_envs=8",
    "runtime.num_shards=2",
    "total_timesteps=1600",
    "agent.num_steps=5",
    "agent.buffer_size=400",
    "agent.learning_starts=100",
    "agent.batch_size=32",
    "runtime.checkpoint_every=200",
];

/// Settings of a short run that learns from what random actions did in CartPole.
const RECORDED: [&str; 6] = [
    concat!("data.sets=['", env!("CARGO_MANIFEST_DIR"), "/tests/golden/data/cartpole/random-v0']"),
    "total_timesteps=4000",
    "agent.batch_size=32",
    "network.encoder.hidden=[32]",
    "runtime.checkpoint_every=500",
    "runtime.log_every=100",
];

/// Settings of a run that acts and imitates what random actions did in CartPole.
const IMITATING: [&str; 2] = [
    concat!("data.sets=['", env!("CARGO_MANIFEST_DIR"), "/tests/golden/data/cartpole/random-v0']"),
    "agent.imitation={updates=2, batch_size=32, hidden=[16]}",
];

/// Settings of a run that imitates a small policy that PPO learned in CartPole.
const APPRENTICE: [&str; 2] = [
    concat!("teacher.policy='", env!("CARGO_MANIFEST_DIR"), "/tests/golden/cartpole_teacher.safetensors'"),
    "agent.gradient_steps=10",
];

/// Settings of runs that act in CartPole and in Pendulum, and learn from what random actions did there too.
const BESIDE: [&str; 3] = [
    concat!("data.sets=['", env!("CARGO_MANIFEST_DIR"), "/tests/golden/data/cartpole/random-v0']"),
    "data.acts=true",
    "eval.every=600",
];
const BESIDE_NUMBERS: [&str; 5] = [
    concat!("data.sets=['", env!("CARGO_MANIFEST_DIR"), "/tests/golden/data/pendulum/random-v0']"),
    "data.acts=true",
    "data.share=0.3",
    "eval.every=600",
    "eval.episodes=2",
];

/// As [`RECORDED`] in Pendulum, whose observations are normalised by the data.
const RECORDED_NUMBERS: [&str; 7] = [
    "env.id=Pendulum-v1",
    concat!("data.sets=['", env!("CARGO_MANIFEST_DIR"), "/tests/golden/data/pendulum/random-v0']"),
    "env.wrappers=[{kind='normalize_observation'}]",
    "total_timesteps=3000",
    "agent.batch_size=32",
    "network.encoder.hidden=[32]",
    "runtime.checkpoint_every=500",
];

/// Recorded data of two tasks, which are the same data here.
const RECORDED_TASKS: [&str; 3] = [
    "env.id=mixture",
    "env.tasks=[{id='CartPole-v1', name='short'}, {id='CartPole-v1', name='long', args={length=1.0}}]",
    concat!(
        "data.sets=['",
        env!("CARGO_MANIFEST_DIR"),
        "/tests/golden/data/cartpole/random-v0', '",
        env!("CARGO_MANIFEST_DIR"),
        "/tests/golden/data/cartpole/random-v0']"
    ),
];

/// A small transformer over the last steps of an episode, and as little work as it needs.
const SEQUENCES: [&str; 5] = [
    "total_timesteps=1500",
    "runtime.checkpoint_every=400",
    "agent.batch_size=8",
    "network.encoder.hidden=[8]",
    "network.memory={layers=2, heads=2, width=8, feed_forward=16, window=5, position={learned={positions=20}}}",
];

/// A short run of an algorithm: its name, and its settings.
pub(crate) struct Case {
    pub(crate) algorithm: &'static str,
    pub(crate) settings: Vec<&'static str>,
}

/// Short runs of every algorithm and of what decides its state: what holds for all of them is tested on these.
pub(crate) fn cases() -> Vec<Case> {
    let case = |algorithm, parts: &[&[&'static str]]| Case { algorithm, settings: parts.concat() };
    let lstm = ["network.memory={kind='lstm', hidden=16}", "agent.sequence_length=16"];
    let gtrxl = ["network.memory={kind='gtrxl', layers=1, heads=2, width=16, feed_forward=32, window=8}"];
    let normalised = ["env.wrappers=[{kind='normalize_observation'}, {kind='normalize_reward', gamma=0.98}]"];
    let constrained = [
        "env.id=Fairness/Lending-v0",
        "env.wrappers=[{kind='fairness_penalty', parity='opportunity', learning_rate=0.01}]",
    ];
    let shorter = ["total_timesteps=1200", "agent.gradient_steps=4", "runtime.checkpoint_every=200"];
    let views =
        ["agent.augmentation={transformations=[{kind='negate', actions=[1, 0]}], target_views=2, views=2}"];
    let league = ["env.id=TicTacToe-v0", "env.args.opponent=self", "league={share=0.6, every=2000, size=3}"];
    let openings = [
        "agent.search={simulations=8, outcomes=0, full_probability=0.5, cheap_simulations=3, openings={moves=3}, resignation={value=0.3}}",
        "network.encoder={kind='residual', channels=16, blocks=1, planes=4}",
    ];
    let bounds = ["agent.search={simulations=8, outcomes=0, looks=3, kind={puct={forced_playouts=2.0}}}"];
    let symmetric = [
        "agent.symmetries=[{kind='symmetry', group='square', actions='cells'}]",
        "network.encoder={kind='mlp', hidden=[16]}",
    ];
    let alone = [
        "env={id='CartPole-v1', args={}}",
        "agent.gamma=0.97",
        "agent.td_steps=10",
        "agent.search={simulations=4, outcomes=2}",
        "network.encoder={kind='mlp', hidden=[16]}",
    ];
    vec![
        case("ppo", &[&PPO]),
        case("ppo", &[&PPO, &normalised]),
        case("ppo", &[&PPO, &constrained]),
        case("ppo", &[&PPO, &["env.id=Foraging-8x8-2p-2f-v3"]]),
        case("ppo", &[&PPO, &["env.id=Pendulum-v1"]]),
        case("ppo", &[&PPO, &TASKS, &["env.mixture={sampling='learning_progress', normalize_rewards=true}"]]),
        case("ppo", &[&PPO, &TASKS, &["agent.popart={beta=0.2}"]]),
        case("dqn", &[&DQN, &TASKS]),
        case("ppo", &[&REMEMBERING, &lstm]),
        case("ppo", &[&REMEMBERING, &gtrxl]),
        case("ppo", &[&PPO, &["agent.rnd={features=16}"]]),
        case("ppo", &[&PPO, &["agent.augmentation={transformations=[{kind='noise', std=0.1}]}"]]),
        case("ppo", &[&PPO, &["pruning={sparsity=0.9, weights=['actor.']}"]]),
        case("ppo", &[&PPO, &league]),
        case("a2c", &[&PPO]),
        case("a2c", &[&PPO, &["agent.private={clip_norm=0.5}"]]),
        case("impala", &[&PPO]),
        case("appo", &[&REMEMBERING, &lstm]),
        case("sac", &[&CONTINUOUS]),
        case("sac", &[&CONTINUOUS, &["env.id=CartPole-v1"]]),
        case("sac", &[&CONTINUOUS, &ENSEMBLE]),
        case("td3", &[&CONTINUOUS]),
        case("pqn", &[&PQN]),
        case("dqn", &[&DQN]),
        case("dqn", &[&DQN, &["runtime.log_every=250"]]),
        case("dqn", &[&DQN, &shorter, &views]),
        case("dqn", &[&DQN, &shorter, &["pruning={sparsity=0.8, end=1.0}"]]),
        case("c51", &[&DQN, &shorter]),
        case("qr-dqn", &[&DQN, &shorter]),
        case("iqn", &[&DQN, &shorter]),
        case("rainbow", &[&DQN, &shorter]),
        case("bootstrapped-dqn", &[&DQN, &shorter, &["agent.ensemble=3"]]),
        case("r2d2", &[&R2D2]),
        case("dreamer", &[&DREAMER]),
        case("dreamer", &[&DREAMER, &["env.id=Pendulum-v1"]]),
        case("vmc", &[&VMC]),
        case("vmc", &[&VMC, &["env.id=Pendulum-v1", "network.encoder={kind='mlp', hidden=[16]}"]]),
        case("gail", &[&PPO, &IMITATING]),
        case("airl", &[&PPO, &IMITATING]),
        case("dagger", &[&DQN, &APPRENTICE]),
        case("bc", &[&RECORDED, &["data.best=0.5"]]),
        case("bc", &[&RECORDED, &["network.memory={kind='gru', hidden=16}", "agent.sequence_length=8"]]),
        case("iql", &[&RECORDED]),
        case("iql", &[&RECORDED, &["data.storage='disk'"]]),
        case("iql", &[&RECORDED_NUMBERS]),
        case("cql", &[&RECORDED]),
        case("dt", &[&RECORDED, &SEQUENCES]),
        case("dt", &[&RECORDED_NUMBERS, &SEQUENCES]),
        case("dt", &[&RECORDED, &RECORDED_TASKS, &SEQUENCES]),
        case("dqn", &[&RECORDED, &["agent.replay={kind='prioritized'}"]]),
        case("cql-sac", &[&RECORDED_NUMBERS, &["total_timesteps=1500", "agent.cql_actions=3"]]),
        case("cal-ql", &[&CONTINUOUS, &BESIDE_NUMBERS, &["total_timesteps=600", "agent.cql_actions=3"]]),
        case("awac", &[&RECORDED]),
        case("awac", &[&CONTINUOUS, &BESIDE_NUMBERS]),
        case("td3-bc", &[&RECORDED_NUMBERS]),
        case("rebrac", &[&RECORDED_NUMBERS]),
        case("dqn", &[&DQN, &shorter, &BESIDE]),
        case("sac", &[&CONTINUOUS, &BESIDE_NUMBERS]),
        case("iql", &[&CONTINUOUS, &BESIDE_NUMBERS]),
        case("alphazero", &[&SEARCH, &openings]),
        case("alphazero", &[&SEARCH, &bounds, &symmetric]),
        case("alphazero", &[&SEARCH, &alone]),
        case("dqn", &[&DQN, &shorter, &["env.wrappers=[{kind='frame_stack'}]"]]),
    ]
}

/// A run's configuration from settings.
pub(crate) fn config_of(algorithm: &str, settings: &[&str]) -> RunConfig {
    config_with(&Algorithms::builtin(), algorithm, settings)
}

/// As [`config_of`], of a program with algorithms or parts of networks of its own.
pub(crate) fn config_with(algorithms: &Algorithms, algorithm: &str, settings: &[&str]) -> RunConfig {
    let mut table = toml::Table::new();
    let fixed = [format!("algorithm={algorithm}"), "env.id=CartPole-v1".to_owned()];
    for setting in fixed.iter().map(String::as_str).chain(settings.iter().copied()) {
        config::set(&mut table, setting).unwrap();
    }
    RunConfig::from_table(algorithms, table).unwrap()
}

/// The `agon` program, in a directory.
pub(crate) fn agon(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agon"));
    command.current_dir(directory).args(arguments);
    command
}

/// Runs the program and gives its output as text.
pub(crate) fn run(directory: &Path, arguments: &[&str]) -> (Output, String) {
    let output = agon(directory, arguments).output().unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, text)
}
