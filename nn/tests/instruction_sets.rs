//! All instruction sets compute the same numbers, each the same bits every time.
//!
//! One test, because the choice of the set holds for the whole process.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use agon_nn::losses::categorical;
use agon_nn::{
    Activation, Adam, AdamConfig, Init, InstructionSet, LayoutBuilder, Matrix, MlpConfig, Packed, Scratch,
    Tape, clip_grad_norm, kernels,
};

/// A few training steps and some acting; everything that came out.
fn train(hidden: &[usize], activation: Activation) -> Vec<f32> {
    let mut builder = LayoutBuilder::new();
    let config = MlpConfig { hidden: hidden.to_vec(), activation };
    let orthogonal = Init::Orthogonal { gain: std::f32::consts::SQRT_2 };
    let mlp = config.build(&mut builder, "net", 5, 3, orthogonal, Init::PYTORCH_LINEAR).unwrap();
    let mut params = builder.build(3);
    let mut adam = Adam::new(AdamConfig::default(), params.len()).unwrap();
    let x: Vec<f32> = (0..5 * 130).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
    let mut gradient = vec![0.0; params.len()];
    let mut seen = Vec::new();
    for _ in 0..3 {
        let input = Matrix::from_slice(130, 5, &x).unwrap();
        let mut tape = Tape::new();
        let y = mlp.forward(&params, &input, &mut tape).unwrap();
        let dy: Vec<f32> = y.as_slice().iter().map(|y| (y - 0.5) / 130.0).collect();
        tape.backward(&params, &[(&y, &dy)], &mut gradient).unwrap();
        seen.push(clip_grad_norm(&mut gradient, 0.5));
        seen.extend_from_slice(&gradient);
        adam.step(&mut params, &gradient, 1e-3).unwrap();
    }
    seen.extend_from_slice(params.as_slice());
    let packed = Packed::new(&mlp, &params).unwrap();
    let mut out = vec![0.0; 130 * 3];
    mlp.infer(&packed, &x, 130, &mut Scratch::new(), &mut out).unwrap();
    let mut log_probs = vec![0.0; out.len()];
    categorical::log_softmax_rows(&out, 3, &mut log_probs).unwrap();
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
    for (hidden, activation) in [
        (vec![64, 64], Activation::Tanh),
        (vec![33, 17], Activation::Relu),
        (vec![70], Activation::Gelu),
        (vec![], Activation::Tanh),
    ] {
        InstructionSet::select(InstructionSet::Scalar).unwrap();
        let reference = train(&hidden, activation);
        for set in InstructionSet::ALL {
            if !set.is_available() {
                assert!(InstructionSet::select(set).is_err());
                continue;
            }
            InstructionSet::select(set).unwrap();
            assert_eq!(InstructionSet::current(), set);
            let first = train(&hidden, activation);
            let second = train(&hidden, activation);
            assert!(
                first.iter().zip(&second).all(|(a, b)| a.to_bits() == b.to_bits()),
                "{set} repeats its bits"
            );
            for (index, (got, expected)) in first.iter().zip(&reference).enumerate() {
                let difference = (got - expected).abs();
                assert!(
                    difference < 2e-5 || difference < 2e-4 * expected.abs(),
                    "{set} {hidden:?} {activation:?} value {index}: expected {expected}, got {got}"
                );
            }
        }
    }
}
