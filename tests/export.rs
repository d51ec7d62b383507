//! Exported policies do in other runtimes what they do here, through the ends of episodes: every encoder, memory and head.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use agon::agents::distillation::DistillationConfig;
use agon::compress::{Compression, Pruning, compress};
use agon::export::{Answer, Export, Recording};
use agon::policy::{self, TrainedPolicy};
use agon::runtime::{self, Setup};
use safetensors::{Dtype, SafeTensors};
use tract_onnx::prelude::*;

/// Largest difference of a number, relative to numbers above one.
const TOLERANCE: f32 = 1e-5;

/// A policy of a run of a few steps: weights are those of the beginning, more or less.
fn policy_of(algorithm: &str, settings: &[&str], directory: &Path) -> TrainedPolicy {
    let short: &[&str] = match algorithm {
        "ppo" | "a2c" => &["num_envs=2", "total_timesteps=128", "agent.num_steps=64", "runtime.num_shards=1"],
        _ => &[
            "num_envs=1",
            "total_timesteps=64",
            "agent.learning_starts=32",
            "agent.batch_size=8",
            "runtime.num_shards=1",
        ],
    };
    let config = common::config_of(algorithm, &[short, settings].concat());
    runtime::train(&Setup::default(), config, directory, &mut |_| true).unwrap();
    policy::load(directory).unwrap()
}

/// The tensors of a recording, or of what a runtime gave, by name.
type Tensors = BTreeMap<String, Tensor>;

fn recorded(recording: &Recording) -> Tensors {
    let bytes = recording.to_safetensors().unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |view: &safetensors::tensor::TensorView<'_>| {
        let dtype = match view.dtype() {
            Dtype::F32 => DatumType::F32,
            Dtype::I64 => DatumType::I64,
            Dtype::U8 => DatumType::U8,
            Dtype::BOOL => DatumType::Bool,
            other => panic!("{other:?}"),
        };
        tensor_of(dtype, view.shape(), view.data())
    };
    file.iter().map(|(name, view)| (name.to_owned(), tensor(&view))).collect()
}

fn tensor_of(dtype: DatumType, shape: &[usize], bytes: &[u8]) -> Tensor {
    match dtype {
        DatumType::F32 => {
            let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            Tensor::from_shape(shape, &values).unwrap()
        }
        DatumType::I64 => {
            let values: Vec<i64> = bytes.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect();
            Tensor::from_shape(shape, &values).unwrap()
        }
        DatumType::U8 => Tensor::from_shape(shape, bytes).unwrap(),
        _ => Tensor::from_shape(shape, &bytes.iter().map(|&byte| byte != 0).collect::<Vec<_>>()).unwrap(),
    }
}

/// A file that a runtime has read.
struct Session {
    inputs: Vec<String>,
    outputs: Vec<String>,
    run: Box<dyn Fn(TVec<TValue>) -> TVec<TValue>>,
}

impl Session {
    fn new(file: &[u8], optimised: bool) -> Self {
        let model = tract_onnx::onnx().model_for_read(&mut &*file).unwrap();
        let names = |outlets: &[OutletId]| -> Vec<String> {
            outlets.iter().map(|outlet| model.node(outlet.node).name.clone()).collect()
        };
        let (inputs, outputs) =
            (names(model.input_outlets().unwrap()), names(model.output_outlets().unwrap()));
        let typed = if optimised { model.into_optimized() } else { model.into_typed() };
        let runnable = typed.unwrap().into_runnable().unwrap();
        Self { inputs, outputs, run: Box::new(move |inputs| runnable.run(inputs).unwrap()) }
    }

    fn run(&self, given: &Tensors) -> Tensors {
        let inputs = self.inputs.iter().map(|name| given[name].clone().into_tvalue()).collect();
        let outputs = (self.run)(inputs).into_iter().map(TValue::into_tensor);
        self.outputs.iter().cloned().zip(outputs).collect()
    }
}

fn assert_close(found: &Tensor, expected: &Tensor, what: &str) -> f32 {
    assert_eq!(found.shape(), expected.shape(), "{what}");
    assert_eq!(found.datum_type(), expected.datum_type(), "{what}");
    if found.datum_type() != DatumType::F32 {
        assert_eq!(found, expected, "{what}");
        return 0.0;
    }
    let (found, expected) =
        (found.to_plain_array_view::<f32>().unwrap(), expected.to_plain_array_view::<f32>().unwrap());
    let difference = |(a, b): (&f32, &f32)| (a - b).abs() / b.abs().max(1.0);
    let largest = found.iter().zip(expected.iter()).map(difference).fold(0.0, f32::max);
    assert!(largest <= TOLERANCE, "{what}: {largest}");
    largest
}

/// Row `step` of every tensor.
fn row(tensors: &Tensors, step: usize) -> Tensors {
    let row = |(name, tensor): (&String, &Tensor)| (name.clone(), tensor.slice(0, step, step + 1).unwrap());
    tensors.iter().map(row).collect()
}

/// Compares a runtime with a recording: all steps as one batch, and one after the other with the states that it gives itself.
fn assert_replays(file: &[u8], recording: &Recording, what: &str) -> f32 {
    let expected = recorded(recording);
    let mut largest: f32 = 0.0;
    for optimised in [false, true] {
        let what = format!("{what}, optimised: {optimised}");
        let session = Session::new(file, optimised);
        for (name, tensor) in session.run(&expected) {
            largest =
                largest.max(assert_close(&tensor, &expected[&name], &format!("{what}, a batch, {name}")));
        }
        let mut states = row(&expected, 0);
        for step in 0..recording.steps.min(60) {
            let expected = row(&expected, step);
            let mut given = expected.clone();
            given.extend(
                states.iter().filter(|(name, _)| name.ends_with("_in")).map(|(n, t)| (n.clone(), t.clone())),
            );
            let outputs = session.run(&given);
            for (name, tensor) in &outputs {
                let what = format!("{what}, step {step}, {name}");
                largest = largest.max(assert_close(tensor, &expected[name], &what));
            }
            states = outputs
                .into_iter()
                .filter_map(|(name, tensor)| Some((format!("{}_in", name.strip_suffix("_out")?), tensor)))
                .collect();
        }
    }
    largest
}

fn assert_exports(algorithm: &str, settings: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let trained = policy_of(algorithm, settings, &directory.path().join("run"));
    let export = Export::of(&trained).unwrap();
    let recording = export.record(&Setup::default(), &trained, 3).unwrap();
    assert!(recording.steps > 20, "{algorithm} {settings:?}: {}", recording.steps);
    let what = format!("{algorithm} {settings:?}");
    for answer in [Answer::Actions, Answer::Logits] {
        let largest = assert_replays(&export.to_onnx(answer).unwrap(), &recording, &what);
        println!("{what}, {answer:?}: {largest:e}");
    }
}

const CONTINUOUS: &str = "env.id=Pendulum-v1";
const HIDDEN: &str = "env.id=CartPoleNoVel-v1";

#[test]
fn encoders() {
    assert_exports("ppo", &["network.encoder={kind='identity'}"]);
    for activation in ["relu", "tanh", "sigmoid", "silu", "gelu", "elu", "leaky_relu"] {
        let encoder = format!(
            "network.encoder={{kind='mlp', hidden=[16,16], activation='{activation}', layer_norm=true}}"
        );
        assert_exports("ppo", &[&encoder]);
    }
    let breakout = "env.id=MinAtar/Breakout-v0";
    for encoder in [
        "{kind='minatar_cnn'}",
        "{kind='impala', channels=[4,8], hidden=16}",
        "{kind='residual', channels=16, blocks=1, planes=4}",
        "{kind='cnn', layer_norm=true}",
    ] {
        assert_exports("ppo", &[breakout, &format!("network.encoder={encoder}")]);
    }
    assert_exports("ppo", &["env.id=FrozenLake-v1", "network.encoder={kind='embedding'}"]);
    assert_exports("ppo", &["env.id=Taxi-v4", "network.encoder={kind='mlp', hidden=[8]}"]);
    assert_exports("ppo", &["env.id=Blackjack-v1", "network.encoder={kind='dict'}"]);
    assert_exports("ppo", &["env.id=MiniGrid-DoorKey-5x5-v0"]);
}

#[test]
fn memories() {
    for memory in ["rnn", "gru", "lstm"] {
        let memory = format!("network.memory={{kind='{memory}', hidden=12}}");
        assert_exports(
            "ppo",
            &[
                HIDDEN,
                "agent.share_encoder=true",
                "agent.sequence_length=16",
                "agent.num_minibatches=2",
                &memory,
            ],
        );
    }
    for kind in ["transformer", "gtrxl"] {
        for position in ["'none'", "{learned={positions=8}}", "'sinusoidal'", "'rotary'"] {
            let memory = format!(
                "network.memory={{kind='{kind}', layers=2, heads=2, width=12, feed_forward=16, window=5, position={position}}}"
            );
            assert_exports("ppo", &[HIDDEN, "agent.share_encoder=true", "agent.num_minibatches=2", &memory]);
        }
    }
    let one = "network.memory={kind='transformer', layers=1, heads=1, width=8, feed_forward=16, window=1}";
    assert_exports("ppo", &[HIDDEN, "agent.share_encoder=true", "agent.num_minibatches=2", one]);
}

#[test]
fn heads() {
    assert_exports("a2c", &[CONTINUOUS]);
    for algorithm in ["dqn", "qr-dqn", "iqn"] {
        assert_exports(algorithm, &["network.encoder.hidden=[16]"]);
    }
    // Values are sums over returns: these decide how far they are from exact ones.
    let returns = ["agent.distribution.v_min=-1", "agent.distribution.v_max=1"];
    for algorithm in ["c51", "rainbow"] {
        assert_exports(algorithm, &[&returns[..], &["network.encoder.hidden=[16]"]].concat());
    }
    assert_exports("bootstrapped-dqn", &["agent.ensemble=3"]);
    for algorithm in ["sac", "td3"] {
        assert_exports(algorithm, &[CONTINUOUS, "network.encoder.hidden=[16]"]);
    }
    assert_exports("sac", &["network.encoder.hidden=[16]"]);
    assert_exports(
        "r2d2",
        &[HIDDEN, "network={encoder={kind='mlp', hidden=[16]}, memory={kind='lstm', hidden=16}}"],
    );
    // Masks, and agents that act beside each other.
    assert_exports("ppo", &["env.id=TicTacToe-v0"]);
    assert_exports("ppo", &["env.id=Foraging-8x8-2p-2f-v3"]);
}

#[test]
fn wrappers() {
    let wrapped = |settings: &[&str], wrappers: &str| {
        let wrappers = format!("env.wrappers=[{wrappers}]");
        assert_exports("ppo", &[settings, &[&wrappers]].concat());
    };
    wrapped(&[], "{kind='normalize_observation'}, {kind='normalize_reward'}");
    for padding in ["reset", "zero"] {
        let stack = format!("{{kind='frame_stack', num_stack=3, padding='{padding}'}}");
        wrapped(&[], &stack);
        wrapped(&["env.id=MinAtar/Breakout-v0"], &stack);
    }
    wrapped(
        &[],
        "{kind='frame_stack', num_stack=2}, {kind='normalize_observation'}, {kind='frame_stack', num_stack=3}",
    );
    wrapped(&[], "{kind='mask_observation', indices=[1,3]}");
    wrapped(&[], "{kind='mask_observation', indices=[1,3], drop=true}");
    wrapped(&["env.id=MiniGrid-DoorKey-5x5-v0"], "{kind='flatten_observation', categories=[11,6,3]}");
    wrapped(&["env.id=Blackjack-v1"], "{kind='flatten_observation'}");
    wrapped(&[CONTINUOUS], "{kind='rescale_action', min=-3.0, max=1.0}");
    wrapped(&[CONTINUOUS], "{kind='clip_action'}");
}

#[test]
fn compressed_policies() {
    let distillation = DistillationConfig { updates: 64, ..DistillationConfig::default() };
    let pruned = Some((Pruning::Gradual, 0.8));
    let int8 = Compression { int8: true, episodes: 2, distillation, ..Compression::default() };
    let both = Compression { prune: pruned, shrink: true, ..int8.clone() };
    let cases = [
        ("dqn", &["network.encoder.hidden=[16,16]"][..], &int8),
        ("dqn", &["network.encoder.hidden=[16,16]"], &both),
        ("ppo", &["env.wrappers=[{kind='normalize_observation'}]"], &int8),
        ("ppo", &["env.id=MinAtar/Breakout-v0", "network.encoder={kind='minatar_cnn', hidden=16}"], &int8),
        ("ppo", &[CONTINUOUS], &both),
    ];
    for (algorithm, settings, options) in cases {
        let directory = tempfile::tempdir().unwrap();
        let trained = policy_of(algorithm, settings, &directory.path().join("run"));
        let setup = Setup::default();
        let steps = compress(&setup, Export::of(&trained).unwrap(), options).unwrap();
        let (first, last) = (&steps[0], &steps[steps.len() - 1]);
        assert!(last.report.parameter_bytes < first.report.parameter_bytes, "{algorithm} {settings:?}");
        let again = compress(&setup, Export::of(&trained).unwrap(), options).unwrap();
        assert_eq!(again[again.len() - 1].export.parameters, last.export.parameters, "the same seed");
        for step in &steps {
            let recording = step.export.record_itself(&setup, 3).unwrap();
            let what = format!("{algorithm} {settings:?} {}", step.report.name);
            for answer in [Answer::Actions, Answer::Logits] {
                let largest = assert_replays(&step.export.to_onnx(answer).unwrap(), &recording, &what);
                println!("{what}, {answer:?}: {largest:e}");
            }
        }
    }
}
