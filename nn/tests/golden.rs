//! Agreement of layers with numbers recorded from PyTorch (`/tests/golden/nn`).

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use agon_nn::{
    Activation, BatchNorm2d, Conv2d, ConvConfig, ConvTranspose2d, ConvTransposeConfig, Embedding, Init,
    LayoutBuilder, Linear, Matrix, Norm, Packed, Params, Pool2d, PoolConfig, Scratch, Sequential, Tape,
    check_finite,
};
use common::Golden;

/// Checks outputs and all gradients of a row-wise network against a recording; `file` names its parameters there.
fn check(golden: &Golden, network: &Sequential, mut params: Params, file: impl Fn(&str) -> String) {
    for spec in params.layout().clone().specs() {
        spec.range.write(&golden.floats(&format!("w.{}", file(&spec.name))), params.as_mut_slice());
    }
    let rows = golden.floats("x0").len() / network.inputs();
    let x = Matrix::from_slice(rows, network.inputs(), &golden.floats("x0")).unwrap().tracked();
    let mut tape = Tape::new();
    let y = network.forward(&params, &x, &mut tape).unwrap();
    golden.check("y0", y.as_slice());
    let mut gradient = vec![f32::NAN; params.len()];
    let of_inputs = tape.backward(&params, &[(&y, &golden.floats("g0"))], &mut gradient).unwrap();
    check_finite(params.layout(), &gradient).unwrap();
    for spec in params.layout().specs() {
        golden.check(&format!("dw.{}", file(&spec.name)), &spec.range.read(&gradient));
    }
    golden.check("dx0", of_inputs.get(&x).unwrap());

    // Acting gives the same bits.
    let packed = Packed::new(network, &params).unwrap();
    let mut out = vec![f32::NAN; y.as_slice().len()];
    network.infer(&packed, x.as_slice(), rows, &mut Scratch::new(), &mut out).unwrap();
    assert_eq!(out, y.as_slice());
}

/// The name without the prefix of the layer.
fn unprefixed(name: &str) -> String {
    name.trim_start_matches("l.").to_owned()
}

#[test]
fn linear_layers_agree_with_pytorch() {
    for (name, activation) in [
        ("identity", Activation::Identity),
        ("relu", Activation::Relu),
        ("tanh", Activation::Tanh),
        ("sigmoid", Activation::Sigmoid),
        ("silu", Activation::Silu),
        ("gelu", Activation::Gelu),
        ("elu", Activation::Elu),
        ("leaky_relu", Activation::LeakyRelu),
    ] {
        let golden = Golden::read(&format!("linear_{name}"));
        let (inputs, outputs) = (golden.shape("x0")[1], golden.shape("y0")[1]);
        let mut builder = LayoutBuilder::new();
        let linear = Linear::new(&mut builder, "l", inputs, outputs, activation, Init::Zeros);
        let network = Sequential::new(vec![linear.into()]).unwrap();
        check(&golden, &network, builder.build(0), unprefixed);
    }
}

#[test]
fn norms_agree_with_pytorch() {
    type Make = fn(&mut LayoutBuilder, &str, usize, f32) -> Norm;
    let cases: [(&str, Make, f32); 2] = [("layer_norm", Norm::layer, 1e-5), ("rms_norm", Norm::rms, 1e-6)];
    for (name, make, eps) in cases {
        let golden = Golden::read(name);
        let mut builder = LayoutBuilder::new();
        let norm = make(&mut builder, "l", golden.shape("x0")[1], eps);
        let network = Sequential::new(vec![norm.into()]).unwrap();
        check(&golden, &network, builder.build(0), unprefixed);
    }
}

#[test]
fn convolutions_agree_with_pytorch() {
    for (name, image, config) in [
        ("minatar", [4, 10, 10], ConvConfig::new(16, 3)),
        ("nature1", [4, 36, 36], ConvConfig::new(8, 8).stride(4)),
        ("nature2", [8, 8, 8], ConvConfig::new(12, 4).stride(2)),
        ("pad", [3, 9, 7], ConvConfig::new(5, 3).padding(1)),
        ("stride_pad", [3, 9, 8], ConvConfig::new(5, 3).stride(2).padding(1)),
        ("dilated", [2, 11, 11], ConvConfig::new(3, 3).padding(2).dilation(2)),
        ("grouped", [4, 8, 8], ConvConfig::new(6, 3).padding(1).groups(2)),
        ("one_by_one", [6, 5, 5], ConvConfig::new(4, 1)),
    ] {
        let golden = Golden::read(&format!("conv2d_{name}"));
        let mut builder = LayoutBuilder::new();
        let conv =
            Conv2d::new(&mut builder, "l", image.into(), config, Activation::Identity, Init::Zeros).unwrap();
        let network = Sequential::new(vec![conv.into()]).unwrap();
        check(&golden, &network, builder.build(0), unprefixed);
    }
}

#[test]
fn transposed_convolutions_agree_with_pytorch() {
    for (name, image, config) in [
        ("conv_transpose2d", [6, 5, 5], ConvTransposeConfig::new(4, 4, 2).padding(1)),
        (
            "conv_transpose2d_outpad",
            [3, 4, 4],
            ConvTransposeConfig::new(2, 3, 2).padding(1).output_padding(1),
        ),
    ] {
        let golden = Golden::read(name);
        let mut builder = LayoutBuilder::new();
        let (activation, init) = (Activation::Identity, Init::Zeros);
        let layer = ConvTranspose2d::new(&mut builder, "l", image.into(), config, activation, init).unwrap();
        let network = Sequential::new(vec![layer.into()]).unwrap();
        check(&golden, &network, builder.build(0), unprefixed);
    }
}

#[test]
fn pooling_agrees_with_pytorch() {
    for (name, image, config) in [
        ("max_pool2d", [3, 6, 8], PoolConfig::new(2, 2, 0)),
        ("max_pool2d_3s2", [3, 9, 9], PoolConfig::new(3, 2, 1)),
        ("avg_pool2d", [3, 6, 8], PoolConfig::new(2, 2, 0)),
    ] {
        let make = if name.starts_with("max") { Pool2d::max } else { Pool2d::average };
        let network = Sequential::new(vec![make(image.into(), config).unwrap().into()]).unwrap();
        check(&Golden::read(name), &network, LayoutBuilder::new().build(0), unprefixed);
    }
}

#[test]
fn embeddings_agree_with_pytorch() {
    let golden = Golden::read("embedding");
    let indices: Vec<f32> = golden.indices("index").into_iter().map(|index| index as f32).collect();
    let [categories, width] = golden.shape("w.weight")[..] else { panic!("a matrix") };
    let mut builder = LayoutBuilder::new();
    let layer = Embedding::new(&mut builder, "l", categories, width, 5, Init::Zeros);
    let mut params = builder.build(0);
    params.as_mut_slice().copy_from_slice(&golden.floats("w.weight"));
    let network = Sequential::new(vec![layer.into()]).unwrap();
    let mut tape = Tape::new();
    let x = Matrix::from_slice(indices.len() / 5, 5, &indices).unwrap();
    let y = network.forward(&params, &x, &mut tape).unwrap();
    golden.check("y0", y.as_slice());
    let mut gradient = vec![f32::NAN; params.len()];
    tape.backward(&params, &[(&y, &golden.floats("g0"))], &mut gradient).unwrap();
    golden.check("dw.weight", &gradient);
}

#[test]
fn batch_norm_in_training_agrees_with_pytorch() {
    let golden = Golden::read("batch_norm2d_train");
    let mut builder = LayoutBuilder::new();
    let norm = BatchNorm2d::new(&mut builder, "l", [3, 5, 5].into()).unwrap();
    let mut params = builder.build(0);
    for spec in params.layout().clone().specs().iter().filter(|spec| spec.learned) {
        let name = format!("w.{}", unprefixed(&spec.name));
        spec.range.write(&golden.floats(&name), params.as_mut_slice());
    }
    let x = Matrix::from_slice(4, 75, &golden.floats("x0")).unwrap().tracked();
    let mut tape = Tape::new();
    let (y, statistics) = norm.forward_train(&params, &x, &mut tape).unwrap();
    golden.check("y0", y.as_slice());
    let mut gradient = vec![f32::NAN; params.len()];
    let of_inputs = tape.backward(&params, &[(&y, &golden.floats("g0"))], &mut gradient).unwrap();
    golden.check("dx0", of_inputs.get(&x).unwrap());
    for spec in params.layout().specs() {
        match spec.learned {
            true => golden.check(&format!("dw.{}", unprefixed(&spec.name)), &spec.range.read(&gradient)),
            false => {
                assert!(spec.range.read(&gradient).iter().all(|&d| d == 0.0), "a buffer has no gradient");
            }
        }
    }

    // After one batch the running statistics have come a tenth of the way.
    norm.track(&mut params, &statistics).unwrap();
    for (channel, (mean, var)) in statistics.mean.iter().zip(&statistics.variance).enumerate() {
        assert_eq!(params.get("l.running_mean").unwrap()[channel], 0.1 * mean);
        assert_eq!(params.get("l.running_var").unwrap()[channel], 0.9 + 0.1 * var);
    }
}
