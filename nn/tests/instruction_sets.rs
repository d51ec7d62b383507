//! All instruction sets compute the same numbers, each the same bits every time.
//!
//! One test, because the choice of the set holds for the whole process.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use agon_nn::losses::categorical;
use agon_nn::{
    Activation, Adam, AdamConfig, Conv2d, ConvConfig, ImageShape, Init, InstructionSet, LayoutBuilder,
    Matrix, MlpConfig, Packed, Params, Scratch, Sequential, Tape, clip_grad_norm, kernels,
};

fn mlp(hidden: &[usize], activation: Activation) -> (Sequential, Params) {
    let mut builder = LayoutBuilder::new();
    let config = MlpConfig { hidden: hidden.to_vec(), activation };
    let orthogonal = Init::Orthogonal { gain: std::f32::consts::SQRT_2 };
    let mlp = config.build(&mut builder, "net", 5, 3, orthogonal, Init::PYTORCH_LINEAR).unwrap();
    (mlp, builder.build(3))
}

/// Convolutions by tiles, which are of two by two outputs for an image of 2 × 10, three for 6 × 9, and four for 8 × 7.
fn convolutions(height: usize, width: usize) -> (Sequential, Params) {
    let (mut builder, init) = (LayoutBuilder::new(), Init::PYTORCH_LINEAR);
    let mut conv = |name: &str, image: ImageShape, channels| {
        let config = ConvConfig::new(channels, 3).padding(1);
        Conv2d::new(&mut builder, name, image, config, Activation::Tanh, init).unwrap().dense()
    };
    let first = conv("0", ImageShape::new(16, height, width), 32);
    let second = conv("1", first.output_shape(), 16);
    let network = Sequential::new(vec![first.into(), second.into()]).unwrap();
    (network, builder.build(3))
}

/// A few training steps and some acting; everything that came out.
fn train((network, params): &(Sequential, Params), batch: usize) -> Vec<f32> {
    let (inputs, outputs, mut params) = (network.inputs(), network.outputs(), params.clone());
    // With a small eps the sign of a gradient that is nearly zero would decide a whole step.
    let config = AdamConfig { eps: 1e-3, ..AdamConfig::default() };
    let mut adam = Adam::new(config, params.len()).unwrap();
    let x: Vec<f32> = (0..inputs * batch).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
    let mut gradient = vec![0.0; params.len()];
    let mut seen = Vec::new();
    for _ in 0..3 {
        let input = Matrix::from_slice(batch, inputs, &x).unwrap();
        let mut tape = Tape::new();
        let y = network.forward(&params, &input, &mut tape).unwrap();
        let dy: Vec<f32> = y.as_slice().iter().map(|y| (y - 0.5) / batch as f32).collect();
        tape.backward(&params, &[(&y, &dy)], &mut gradient).unwrap();
        seen.push(clip_grad_norm(&mut gradient, 0.5));
        seen.extend_from_slice(&gradient);
        adam.step(&mut params, &gradient, 1e-3).unwrap();
    }
    seen.extend_from_slice(params.as_slice());
    let packed = Packed::new(network, &params).unwrap();
    let mut out = vec![0.0; batch * outputs];
    network.infer(&packed, &x, batch, &mut Scratch::new(), &mut out).unwrap();
    let mut log_probs = vec![0.0; out.len()];
    categorical::log_softmax_rows(&out, outputs, &mut log_probs).unwrap();
    seen.extend_from_slice(&log_probs);
    for function in [kernels::exp, kernels::tanh, kernels::sigmoid, kernels::relu] {
        let mut values = x.clone();
        function(&mut values);
        seen.extend_from_slice(&values);
    }
    seen
}

#[test]
fn sets_agree_and_each_repeats_its_bits() {
    let networks = [
        (mlp(&[64, 64], Activation::Tanh), 130),
        (mlp(&[33, 17], Activation::Relu), 130),
        (mlp(&[70], Activation::Gelu), 130),
        (mlp(&[], Activation::Tanh), 130),
        (convolutions(2, 10), 5),
        (convolutions(6, 9), 5),
        (convolutions(8, 7), 5),
    ];
    for (network, batch) in networks {
        InstructionSet::select(InstructionSet::Scalar).unwrap();
        let reference = train(&network, batch);
        for set in InstructionSet::ALL {
            if !set.is_available() {
                assert!(InstructionSet::select(set).is_err());
                continue;
            }
            InstructionSet::select(set).unwrap();
            assert_eq!(InstructionSet::current(), set);
            let first = train(&network, batch);
            let second = train(&network, batch);
            assert!(
                first.iter().zip(&second).all(|(a, b)| a.to_bits() == b.to_bits()),
                "{set} repeats its bits"
            );
            for (index, (got, expected)) in first.iter().zip(&reference).enumerate() {
                let difference = (got - expected).abs();
                assert!(
                    difference < 2e-5 || difference < 2e-4 * expected.abs(),
                    "{set} {:?} value {index}: expected {expected}, got {got}",
                    network.0
                );
            }
        }
    }
}
