//! Weights travel to PyTorch and back: `tests/pytorch_roundtrip.py` loads ours, compares outputs, and gives its own.
//!
//! Runs where Python has PyTorch and safetensors (`AGON_PYTHON` names another interpreter than `python3`), and says so
//! where it does not.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use agon_nn::{
    Activation, AttentionMask, BatchNorm2d, BlockConfig, Cell, ConvConfig, ConvTranspose2d,
    ConvTransposeConfig, Embedding, EncoderConfig, ImageShape, Init, Layer, LayoutBuilder, Linear, Matrix,
    MlpConfig, Norm, Observation, Params, Recurrent, RecurrentInit, SelfAttention, Sequential, SpectralNorm,
    Tape, TransformerBlock, Unroll, weights,
};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

type Forward = Box<dyn Fn(&Params, &Matrix) -> Matrix>;

/// A network under the name of its PyTorch twin.
struct Case {
    name: &'static str,
    params: Params,
    forward: Forward,
    x: Matrix,
    /// The input's shape in PyTorch.
    shape: Vec<usize>,
}

const INIT: Init = Init::PYTORCH_LINEAR;

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i * 7919 % 2003) as f32 / 1001.0 - 1.0).collect()
}

/// A chain of layers; `shape` is that of the input in PyTorch, the batch first.
fn chain(name: &'static str, shape: &[usize], make: impl FnOnce(&mut LayoutBuilder) -> Sequential) -> Case {
    let mut builder = LayoutBuilder::new();
    let network = make(&mut builder);
    let rows = shape.iter().product::<usize>() / network.inputs();
    Case {
        name,
        params: builder.build(1),
        x: Matrix::from_slice(rows, network.inputs(), &values(rows * network.inputs())).unwrap(),
        forward: Box::new(move |params, x| network.forward(params, x, &mut Tape::inference()).unwrap()),
        shape: shape.to_vec(),
    }
}

fn encoder(name: &'static str, json: &str, shape: &[usize], observation: &Observation) -> Case {
    let config: EncoderConfig = serde_json::from_str(json).unwrap();
    chain(name, shape, |builder| {
        Sequential::new(config.build(builder, "net", observation, INIT).unwrap()).unwrap()
    })
}

fn recurrent(name: &'static str, cell: Cell) -> Case {
    let (steps, batch) = (6, 3);
    let mut builder = LayoutBuilder::new();
    let layer = Recurrent::new(&mut builder, "net", cell, 5, 7, RecurrentInit::Uniform);
    Case {
        name,
        params: builder.build(1),
        forward: Box::new(move |params, x| {
            let state = Matrix::zeros(batch, layer.state_len()).unwrap();
            layer.forward(params, x, &state, &Unroll::new(steps), &mut Tape::inference()).unwrap().0
        }),
        x: Matrix::from_slice(steps * batch, 5, &values(steps * batch * 5)).unwrap(),
        shape: vec![steps, batch, 5],
    }
}

fn attention(name: &'static str, make: impl FnOnce(&mut LayoutBuilder) -> Forward) -> Case {
    let mut builder = LayoutBuilder::new();
    let forward = make(&mut builder);
    let x = Matrix::from_slice(2 * 5, 12, &values(120)).unwrap();
    Case { name, params: builder.build(1), forward, x, shape: vec![2, 5, 12] }
}

fn cases() -> Vec<Case> {
    let image = |channels, height, width| Observation::Image {
        shape: ImageShape::new(channels, height, width),
        channels_last: false,
    };
    vec![
        chain("mlp", &[4, 5], |builder| {
            let config = MlpConfig { hidden: vec![16, 12], activation: Activation::Tanh };
            config.build(builder, "net", 5, 3, INIT, INIT).unwrap()
        }),
        encoder("nature_cnn", r#"{"kind": "nature_cnn"}"#, &[2, 4, 84, 84], &image(4, 84, 84)),
        encoder("minatar_cnn", r#"{"kind": "minatar_cnn"}"#, &[3, 4, 10, 10], &image(4, 10, 10)),
        encoder(
            "impala",
            r#"{"kind": "impala", "channels": [4, 6], "hidden": 16}"#,
            &[2, 3, 13, 11],
            &image(3, 13, 11),
        ),
        embedding(),
        chain("layer_norm", &[4, 9], |builder| one(Norm::layer(builder, "net", 9, Norm::LAYER_EPS))),
        chain("rms_norm", &[4, 9], |builder| one(Norm::rms(builder, "net", 9, 1e-6))),
        chain("batch_norm", &[2, 3, 4, 5], |builder| {
            one(BatchNorm2d::new(builder, "net", ImageShape::new(3, 4, 5)).unwrap())
        }),
        chain("conv_transpose", &[2, 3, 5, 4], |builder| {
            let config = ConvTransposeConfig::new(5, 4, 2).padding(1).output_padding(1);
            let image = ImageShape::new(3, 5, 4);
            one(ConvTranspose2d::new(builder, "net", image, config, Activation::Identity, INIT).unwrap())
        }),
        spectral_norm(),
        recurrent("rnn", Cell::Rnn),
        recurrent("gru", Cell::Gru),
        recurrent("lstm", Cell::Lstm),
        attention("attention", |builder| {
            let layer = SelfAttention::new(builder, "net", 12, 3).unwrap();
            Box::new(move |params, x| {
                layer.forward(params, x, 2, &AttentionMask::none(), &mut Tape::inference()).unwrap()
            })
        }),
        attention("transformer", |builder| {
            let config = BlockConfig { width: 12, heads: 3, feed_forward: 20, activation: Activation::Gelu };
            let block = TransformerBlock::pre_norm(builder, "net", &config).unwrap();
            Box::new(move |params, x| {
                block.forward(params, x, 2, &AttentionMask::none(), &mut Tape::inference()).unwrap()
            })
        }),
    ]
}

fn one(layer: impl Into<Arc<dyn Layer>>) -> Sequential {
    Sequential::new(vec![layer.into()]).unwrap()
}

/// With the singular vectors that PyTorch's module would have after its construction.
fn spectral_norm() -> Case {
    let mut norms = Vec::new();
    let mut case = chain("spectral_norm", &[3, 2, 5, 4], |builder| {
        let (image, config) = (ImageShape::new(2, 5, 4), ConvConfig::new(6, 3));
        norms.push(SpectralNorm::conv2d(builder, "net.0", image, config, Activation::Relu, INIT).unwrap());
        norms.push(SpectralNorm::linear(builder, "net.3", 36, 4, Activation::Tanh, INIT));
        Sequential::new(norms.iter().map(|norm| norm.clone().into()).collect()).unwrap()
    });
    for norm in &norms {
        norm.power_iteration(&mut case.params, SpectralNorm::FIRST_ITERATIONS).unwrap();
    }
    case
}

/// One table for two indices.
fn embedding() -> Case {
    let mut case = chain("embedding", &[3, 2], |builder| {
        let table = Embedding::new(builder, "net.0", 7, 4, 2, Init::Normal { std: 1.0 });
        let linear = Linear::new(builder, "net.2", 8, 6, Activation::Tanh, INIT);
        Sequential::new(vec![table.into(), linear.into()]).unwrap()
    });
    case.x = Matrix::from_slice(3, 2, &[0.0, 6.0, 3.0, 2.0, 5.0, 5.0]).unwrap();
    case
}

fn save(path: &Path, tensors: &[(&str, Vec<usize>, &[f32])]) {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, values)| values.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, shape, _), bytes)| (*name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn weights_travel_to_pytorch_and_back() {
    let python = std::env::var("AGON_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let probe = Command::new(&python).args(["-c", "import torch, safetensors"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        println!("skipped: {python} has no PyTorch with safetensors");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, part: &str| folder.path().join(format!("{name}.{part}.safetensors"));
    for case in cases() {
        let y = (case.forward)(&case.params, &case.x);
        let weights = weights::to_safetensors(&case.params, &BTreeMap::new()).unwrap();
        std::fs::write(file(case.name, "weights"), weights).unwrap();
        let out = vec![y.rows(), y.columns()];
        let tensors = [("x", case.shape.clone(), case.x.as_slice()), ("y", out, y.as_slice())];
        save(&file(case.name, "io"), &tensors);
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/pytorch_roundtrip.py");
    let output = Command::new(&python).arg(script).arg(folder.path()).output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{}{}", said[0], said[1]);
    println!("{}", said[0].trim_end());
    for mut case in cases() {
        let bytes = std::fs::read(file(case.name, "back")).unwrap();
        weights::load_safetensors(&mut case.params, &bytes).unwrap();
        let got = (case.forward)(&case.params, &case.x);
        let bytes = std::fs::read(file(case.name, "back_io")).unwrap();
        let expected = SafeTensors::deserialize(&bytes).unwrap();
        let (expected, _) = expected.tensor("y").unwrap().data().as_chunks::<4>();
        assert_eq!(expected.len(), got.as_slice().len(), "{}", case.name);
        for (got, expected) in got.as_slice().iter().zip(expected.iter().map(|&x| f32::from_le_bytes(x))) {
            let difference = (got - expected).abs();
            let close = difference <= 1e-5 || difference <= 1e-4 * expected.abs();
            assert!(close, "{}: {got}, expected {expected}", case.name);
        }
    }
}
