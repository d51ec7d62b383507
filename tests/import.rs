//! ONNX files of other programs act here as they do there, and exported policies as the runs that they come from.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use agon::agents::policy::{ActInput, ActMode, ActOutput, Actor, Policy};
use agon::config::EnvConfig;
use agon::envs::random::SeedSequence;
use agon::envs::{ActionBatch, ObsBuffer, Pcg64, VectorInfo};
use agon::evaluate::{EvalOptions, evaluate};
use agon::import::{OnnxModel, OnnxPolicy};
use agon::runtime::{self, Setup};
use safetensors::{Dtype, SafeTensors};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/onnx").join(name)
}

fn info_of(env: &str) -> VectorInfo {
    let setup = Setup::default();
    setup.registry.make(env, &EnvConfig::default().options(1)).unwrap().info().clone()
}

fn policy_of(path: &Path, env: &str) -> Result<OnnxPolicy, String> {
    let model = OnnxModel::open(path).map_err(|error| error.to_string())?;
    model.policy(&info_of(env)).map_err(|error| error.to_string())
}

fn numbers(view: &safetensors::tensor::TensorView<'_>) -> Vec<f32> {
    assert_eq!(view.dtype(), Dtype::F32);
    view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

#[test]
fn files_of_other_programs_act_as_they_do_there() {
    for (name, env) in [
        ("sb3_ppo", "CartPole-v1"),
        ("sb3_sac", "Pendulum-v1"),
        ("q_network", "CartPole-v1"),
        ("convolution", "MinAtar/Breakout-v0"),
        ("categories", "FrozenLake-v1"),
        ("rsl_rl_lstm", "Pendulum-v1"),
        ("rsl_rl_gru", "Pendulum-v1"),
    ] {
        let policy = policy_of(&golden(&format!("{name}.onnx")), env).unwrap();
        let spec = info_of(env).action_spec;
        let bytes = fs::read(golden(&format!("{name}.safetensors"))).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let (observations, starts) = (file.tensor("observations").unwrap(), file.tensor("starts").unwrap());
        let expected = numbers(&file.tensor("actions").unwrap());
        let [steps, rows] = starts.shape() else { panic!("{:?}", starts.shape()) };
        let resets: Vec<bool> = numbers(&starts).iter().map(|&start| start > 0.0).collect();
        let mut actor = Actor::new(Pcg64::from_sequence(&SeedSequence::new(0)));
        actor.state = vec![7.0; rows * policy.state_len()]; // what an episode before has left
        let mut found = Vec::new();
        for step in 0..*steps {
            let observations = match observations.dtype() {
                Dtype::U8 => {
                    let values = observations.data();
                    ObsBuffer::U8(values[step * values.len() / steps..][..values.len() / steps].to_vec())
                }
                _ => {
                    let values = numbers(&observations);
                    ObsBuffer::F32(values[step * values.len() / steps..][..values.len() / steps].to_vec())
                }
            };
            let mut actions = ActionBatch::zeros(&spec, *rows);
            let input = ActInput {
                observations: &observations,
                num_rows: *rows,
                action_masks: &[],
                resets: &resets[step * rows..(step + 1) * rows],
                rewards: &[],
                tasks: &[],
                env_steps: 0,
                mode: ActMode::Deterministic,
            };
            policy
                .act(&input, &mut actor, ActOutput { actions: &mut actions, policy_data: &mut [] })
                .unwrap();
            match actions {
                ActionBatch::Discrete(actions) => found.extend(actions.iter().map(|&action| action as f32)),
                ActionBatch::Continuous(actions) => found.extend(actions),
            }
        }
        assert_eq!(found.len(), expected.len(), "{name}");
        for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert!((found - expected).abs() <= 1e-5, "{name}, value {at}: {found} instead of {expected}");
        }
        assert!(expected.iter().any(|action| *action != expected[0]), "{name} always does the same");
    }
}

#[test]
fn an_exported_policy_has_the_returns_of_its_run() {
    let directory = tempfile::tempdir().unwrap();
    for (name, algorithm, settings) in [
        (
            "statistics",
            "ppo",
            &["env.wrappers=[{kind='normalize_observation'},{kind='frame_stack',num_stack=3}]"][..],
        ),
        (
            "memory",
            "ppo",
            &["env.id=CartPoleNoVel-v1", "agent.share_encoder=true", "network.memory={kind='lstm',hidden=8}"],
        ),
        ("masks", "dqn", &["env.id=TicTacToe-v0", "network.encoder={kind='mlp',hidden=[16]}"]),
        ("bounds", "sac", &["env.id=Pendulum-v1", "network.encoder={kind='mlp',hidden=[16]}"]),
        ("sticky", "dqn", &["env.id=MinAtar/Breakout-v0", "env.wrappers=[{kind='sticky_action'}]"]),
        ("limit", "ppo", &["env.id=CartPole-v1", "env.max_episode_steps=9"]),
    ] {
        let short: &[&str] = match algorithm {
            "ppo" => &["total_timesteps=2048", "num_envs=4", "agent.num_steps=128", "runtime.num_shards=1"],
            _ => &["total_timesteps=400", "num_envs=1", "agent.learning_starts=100", "runtime.num_shards=1"],
        };
        let run = directory.path().join(name);
        let config = common::config_of(algorithm, &[short, settings].concat());
        runtime::train(&Setup::default(), config, &run, &mut |_| true).unwrap();
        let file = run.join("policy.onnx");
        let (output, text) = common::run(directory.path(), &["export", run.to_str().unwrap()]);
        assert!(output.status.success(), "{text}");
        let options = EvalOptions { episodes: 30, seed: Some(5), ..EvalOptions::default() };
        let expected = evaluate(&Setup::default(), &run, &options).unwrap();
        let model = OnnxModel::open(&file).unwrap();
        let env = model.environment_or(None).unwrap();
        let has = |key: &str, text: &str| model.metadata()[key].contains(text);
        for key in ["observation_meaning", "action_meaning"] {
            assert!(has(key, " ") && !has(key, "# "), "{name}: {}", model.metadata()[key]);
        }
        let found = model.evaluate(&Setup::default(), &env, &options).unwrap();
        assert_eq!(found.env_steps, expected.env_steps);
        let pairs = found.returns.iter().zip(&expected.returns);
        let apart = pairs
            .map(|(found, expected)| (found - expected).abs() / expected.abs().max(1.0))
            .fold(0.0, f64::max);
        assert!(apart <= 1e-5, "{name}: {apart}, {:?} and {:?}", found.returns, expected.returns);
    }
}

#[test]
fn the_program_evaluates_an_onnx_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = golden("sb3_ppo.onnx");
    let file = file.to_str().unwrap();
    let (output, text) =
        common::run(directory.path(), &["eval", file, "CartPole-v1", "--episodes", "20", "--json"]);
    assert!(output.status.success(), "{text}");
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(found["mean_return"].as_f64().unwrap() > 300.0, "{text}");
    for (arguments, expected) in [
        (&[file][..], "names no environment: expected one, as in"),
        (&[file, "CartPole-v1", "--best"], "an ONNX file has one policy"),
        (
            &[file, "Pendulum-v1"],
            "expected an input for rows of shape [3], with a batch of any size or of 1, found `input` [1, 4]",
        ),
        (&["results/run", "CartPole-v1"], "only an ONNX file is told its environment"),
    ] {
        let (output, text) = common::run(directory.path(), &[&["eval"], arguments].concat());
        assert!(!output.status.success() && text.contains(expected), "{arguments:?}: {text}");
    }
}

#[test]
fn what_does_not_fit_is_named() {
    for (name, env, expected) in [
        ("q_network", "Acrobot-v1", "expected an input for rows of shape [6]"),
        ("sb3_sac", "MountainCarContinuous-v0", "expected an input for rows of shape [2]"),
        ("convolution", "MinAtar/Freeway-v0", "expected an input for rows of shape [10, 10, 7]"),
        ("rsl_rl_gru", "LunarLander-v3", "expected an input for rows of shape [8]"),
        ("categories", "CliffWalking-v1", "the environment shows Discrete(48)"),
    ] {
        let error = policy_of(&golden(&format!("{name}.onnx")), env).err().unwrap();
        assert!(error.contains(expected), "{name} in {env}: {error}");
    }
}

#[test]
fn damaged_files_are_refused_and_never_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("damaged.onnx");
    for name in ["q_network.onnx", "rsl_rl_lstm.onnx", "sb3_sac.onnx"] {
        let whole = fs::read(golden(name)).unwrap();
        for end in (0..whole.len()).step_by(whole.len() / 40) {
            fs::write(&path, &whole[..end]).unwrap();
            // The end of a graph may be missing without harm; most of it may not.
            let _ = policy_of(&path, "CartPole-v1");
        }
        for place in (0..whole.len()).step_by(whole.len() / 150) {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x41;
            fs::write(&path, &damaged).unwrap();
            let _ = policy_of(&path, "CartPole-v1");
        }
    }
    for content in [&b""[..], b"not a graph", b"PK\x03\x04"] {
        fs::write(&path, content).unwrap();
        let error = policy_of(&path, "CartPole-v1").err().unwrap();
        assert!(error.contains("expected an ONNX file"), "{error}");
    }
    assert!(
        policy_of(&directory.path().join("none.onnx"), "CartPole-v1").err().unwrap().contains("cannot read")
    );
}

#[test]
fn a_demanded_signature_is_of_the_graph_with_all_its_weights() {
    let directory = tempfile::tempdir().unwrap();
    let key = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/signing").join(name);
        path.to_str().unwrap().to_owned()
    };
    let (private, public) = (key("test_only_p256.pem"), key("test_only_p256.pub"));
    for name in ["q_network.onnx", "sb3_ppo.onnx", "sb3_ppo.onnx.data"] {
        fs::copy(golden(name), directory.path().join(name)).unwrap();
    }
    let eval = |file: &str| {
        let arguments = ["eval", file, "CartPole-v1", "--episodes", "1", "--require-signature", &public];
        let (output, text) = common::run(directory.path(), &arguments);
        (output.status.success(), text)
    };
    let (passes, text) = eval("q_network.onnx");
    assert!(!passes && text.contains("a signature is required"), "{text}");
    for name in ["q_network.onnx", "sb3_ppo.onnx"] {
        let (output, text) = common::run(directory.path(), &["sign", name, "--key", &private]);
        assert!(output.status.success(), "{text}");
    }
    let (passes, text) = eval("q_network.onnx");
    assert!(passes, "{text}");
    let (passes, text) = eval("sb3_ppo.onnx");
    assert!(!passes && text.contains("expected all weights in the file"), "{text}");
}
