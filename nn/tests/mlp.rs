//! Multi-layer perceptrons: gradients against finite differences, acting against learning, errors.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use agon_nn::{
    Activation, Init, LayoutBuilder, Linear, Matrix, MlpConfig, NnError, Packed, Params, Scratch, Sequential,
    Tape,
};
use proptest::prelude::*;

const ACTIVATIONS: [Activation; 8] = [
    Activation::Identity,
    Activation::Relu,
    Activation::Tanh,
    Activation::Sigmoid,
    Activation::Silu,
    Activation::Gelu,
    Activation::Elu,
    Activation::LeakyRelu,
];

fn network(inputs: usize, hidden: &[usize], outputs: usize, activation: Activation) -> (Sequential, Params) {
    let mut builder = LayoutBuilder::new();
    let config = MlpConfig { hidden: hidden.to_vec(), activation };
    let init = Init::PYTORCH_LINEAR;
    let mlp = config.build(&mut builder, "net", inputs, outputs, init, init).unwrap();
    (mlp, builder.build(5))
}

/// The layers of the same network.
fn linears(inputs: usize, hidden: &[usize], outputs: usize, activation: Activation) -> Vec<Linear> {
    let (mut builder, mut width) = (LayoutBuilder::new(), inputs);
    let mut linear = |index: usize, outputs, activation| {
        let name = format!("net.{}", 2 * index);
        let layer = Linear::new(&mut builder, &name, width, outputs, activation, Init::Zeros);
        width = outputs;
        layer
    };
    let mut layers: Vec<_> =
        hidden.iter().enumerate().map(|(index, &hidden)| linear(index, hidden, activation)).collect();
    layers.push(linear(hidden.len(), outputs, Activation::Identity));
    layers
}

fn values(len: usize, salt: usize) -> Vec<f32> {
    (0..len).map(|i| (((i + salt) * 7919 + 31 * salt) % 2003) as f32 / 1001.0 - 1.0).collect()
}

/// The network in `f64`, straight from the definition.
fn reference(layers: &[Linear], params: &[f64], x: &[f64]) -> Vec<f64> {
    layers.iter().fold(x.to_vec(), |x, layer| {
        let (weight, bias) = (layer.weight.read(params), layer.bias.read(params));
        (0..layer.outputs)
            .map(|o| {
                let z: f64 =
                    bias[o] + (0..layer.inputs).map(|i| x[i] * weight[o * layer.inputs + i]).sum::<f64>();
                match layer.activation {
                    Activation::Identity => z,
                    Activation::Relu => z.max(0.0),
                    Activation::Tanh => z.tanh(),
                    Activation::Sigmoid => 1.0 / (1.0 + (-z).exp()),
                    Activation::Silu => z / (1.0 + (-z).exp()),
                    Activation::Gelu => 0.5 * z * (1.0 + libm::erf(z / std::f64::consts::SQRT_2)),
                    Activation::Elu => {
                        if z > 0.0 {
                            z
                        } else {
                            z.exp_m1()
                        }
                    }
                    Activation::LeakyRelu => {
                        if z > 0.0 {
                            z
                        } else {
                            0.01 * z
                        }
                    }
                }
            })
            .collect()
    })
}

/// `Σ weights · outputs` of a batch in `f64`.
fn objective(layers: &[Linear], params: &[f64], x: &[f64], weights: &[f32]) -> f64 {
    x.chunks(layers[0].inputs)
        .zip(weights.chunks(layers[layers.len() - 1].outputs))
        .flat_map(|(x, weights)| {
            reference(layers, params, x)
                .into_iter()
                .zip(weights)
                .map(|(y, &w)| y * f64::from(w))
                .collect::<Vec<_>>()
        })
        .sum()
}

fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

/// Central difference of `f` in coordinate `index`; `None` next to a kink.
fn slope(mut f: impl FnMut(&[f64]) -> f64, at: &[f64], index: usize) -> Option<f64> {
    let mut side = |step: f64| {
        let mut moved = at.to_vec();
        moved[index] += step;
        f(&moved)
    };
    let (fine, coarse) = ((side(1e-6) - side(-1e-6)) / 2e-6, (side(1e-5) - side(-1e-5)) / 2e-5);
    ((fine - coarse).abs() < 1e-4).then_some(fine)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn gradients_agree_with_finite_differences(
        inputs in 1_usize..20,
        hidden in prop::collection::vec(1_usize..36, 0..3),
        outputs in 1_usize..12,
        batch in 1_usize..10,
        activation in prop::sample::select(ACTIVATIONS.to_vec()),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 24),
    ) {
        let (mlp, params) = network(inputs, &hidden, outputs, activation);
        let layers = linears(inputs, &hidden, outputs, activation);
        let x_values = values(batch * inputs, 1);
        let weights = values(batch * outputs, 2);
        let x = Matrix::from_slice(batch, inputs, &x_values).unwrap().tracked();
        let mut tape = Tape::new();
    let y = mlp.forward(&params, &x, &mut tape).unwrap();
        let (wide_params, wide_x) = (widen(params.as_slice()), widen(&x_values));
        for (row, x) in wide_x.chunks(inputs).enumerate() {
            for (o, expected) in reference(&layers, &wide_params, x).into_iter().enumerate() {
                let got = f64::from(y.as_slice()[row * outputs + o]);
                prop_assert!((got - expected).abs() < 1e-5, "output {got}, expected {expected}");
            }
        }
        let mut gradient = vec![f32::NAN; params.len()];
        let of_inputs = tape.backward(&params, &[(&y, &weights)], &mut gradient).unwrap();
        let of_x = of_inputs.get(&x).unwrap();
        for pick in picks {
            let index = pick.index(params.len());
            if let Some(expected) = slope(|p| objective(&layers, p, &wide_x, &weights), &wide_params, index) {
                let got = f64::from(gradient[index]);
                prop_assert!((got - expected).abs() < 1e-4 * (1.0 + expected.abs()), "parameter {index}: {got}, expected {expected}");
            }
            let index = pick.index(x_values.len());
            if let Some(expected) = slope(|x| objective(&layers, &wide_params, x, &weights), &wide_x, index) {
                let got = f64::from(of_x[index]);
                prop_assert!((got - expected).abs() < 1e-4 * (1.0 + expected.abs()), "input {index}: {got}, expected {expected}");
            }
        }
    }

    #[test]
    fn acting_gives_the_bits_of_learning_for_any_batch_size(
        inputs in 1_usize..80,
        hidden in prop::collection::vec(1_usize..140, 0..3),
        outputs in 1_usize..30,
        batch in 1_usize..230,
        activation in prop::sample::select(ACTIVATIONS.to_vec()),
    ) {
        let (mlp, params) = network(inputs, &hidden, outputs, activation);
        let x_values = values(batch * inputs, 3);
        let x = Matrix::from_slice(batch, inputs, &x_values).unwrap();
        let y = mlp.forward(&params, &x, &mut Tape::new()).unwrap();
        let packed = Packed::new(&mlp, &params).unwrap();
        let mut scratch = Scratch::new();
        let mut out = vec![f32::NAN; batch * outputs];
        mlp.infer(&packed, &x_values, batch, &mut scratch, &mut out).unwrap();
        prop_assert_eq!(bits(&out), bits(y.as_slice()));
        let row = batch / 2;
        let mut single = vec![f32::NAN; outputs];
        let x_row = &x_values[row * inputs..(row + 1) * inputs];
        mlp.infer(&packed, x_row, 1, &mut scratch, &mut single).unwrap();
        prop_assert_eq!(bits(&single), bits(&y.as_slice()[row * outputs..(row + 1) * outputs]));
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn large_batches_have_the_summed_gradient_of_their_rows() {
    let (mlp, params) = network(5, &[33, 65], 3, Activation::Tanh);
    let batch = 301;
    let (x, weights) = (values(batch * 5, 1), values(batch * 3, 2));
    let gradient_of = |rows: std::ops::Range<usize>| {
        let x = Matrix::from_slice(rows.len(), 5, &x[rows.start * 5..rows.end * 5]).unwrap();
        let mut tape = Tape::new();
        let y = mlp.forward(&params, &x, &mut tape).unwrap();
        let mut gradient = vec![f32::NAN; params.len()];
        tape.backward(&params, &[(&y, &weights[rows.start * 3..rows.end * 3])], &mut gradient).unwrap();
        gradient
    };
    let whole = gradient_of(0..batch);
    assert_eq!(bits(&whole), bits(&gradient_of(0..batch)), "twice the same");
    let mut summed = vec![0.0_f64; params.len()];
    for row in 0..batch {
        for (sum, x) in summed.iter_mut().zip(gradient_of(row..row + 1)) {
            *sum += f64::from(x);
        }
    }
    for (whole, summed) in whole.iter().zip(summed) {
        assert!((f64::from(*whole) - summed).abs() < 1e-4 * (1.0 + summed.abs()), "{whole} {summed}");
    }
}

#[test]
fn two_networks_share_a_tape_and_a_gradient() {
    let mut builder = LayoutBuilder::new();
    let (config, init) = (MlpConfig::default(), Init::PYTORCH_LINEAR);
    let actor = config.build(&mut builder, "actor", 4, 2, init, init).unwrap();
    let unused = builder.add("unused", &[7], Init::Zeros);
    let critic = config.build(&mut builder, "critic", 4, 1, init, init).unwrap();
    let params = builder.build(1);
    let names: Vec<_> = params.layout().specs().iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(
        names[..6],
        [
            "actor.0.weight",
            "actor.0.bias",
            "actor.2.weight",
            "actor.2.bias",
            "actor.4.weight",
            "actor.4.bias"
        ]
    );

    let x = Matrix::from_slice(3, 4, &values(12, 1)).unwrap();
    let (dlogits, dvalues) = (values(6, 2), values(3, 3));
    let mut tape = Tape::new();
    let logits = actor.forward(&params, &x, &mut tape).unwrap();
    let value = critic.forward(&params, &x, &mut tape).unwrap();
    let mut both = vec![f32::NAN; params.len()];
    tape.backward(&params, &[(&logits, &dlogits), (&value, &dvalues)], &mut both).unwrap();

    let mut alone = vec![f32::NAN; params.len()];
    let mut tape = Tape::new();
    let logits = actor.forward(&params, &x, &mut tape).unwrap();
    tape.backward(&params, &[(&logits, &dlogits)], &mut alone).unwrap();
    for spec in params.layout().specs() {
        if spec.name.starts_with("actor") {
            assert_eq!(spec.range.read(&both), spec.range.read(&alone));
        } else {
            assert!(spec.range.read(&alone).iter().all(|&x| x == 0.0), "no output depends on the critic");
        }
    }
    assert_eq!(unused.read(&both), [0.0; 7]);
}

#[test]
fn gradients_of_two_uses_of_a_network_are_summed() {
    let (mlp, params) = network(3, &[20], 2, Activation::Tanh);
    let (x1, x2) = (values(6, 1), values(9, 2));
    let (g1, g2) = (values(4, 3), values(6, 4));
    let gradient = |parts: &[(&[f32], &[f32])]| {
        let mut tape = Tape::new();
        let mut outputs = Vec::new();
        for (x, _) in parts {
            let x = Matrix::from_slice(x.len() / 3, 3, x).unwrap();
            let y = mlp.forward(&params, &x, &mut tape).unwrap();
            outputs.push(y);
        }
        let seeds: Vec<_> = outputs.iter().zip(parts).map(|(y, (_, g))| (y, *g)).collect();
        let mut gradient = vec![f32::NAN; params.len()];
        tape.backward(&params, &seeds, &mut gradient).unwrap();
        gradient
    };
    let both = gradient(&[(&x1, &g1), (&x2, &g2)]);
    for ((both, first), second) in both.iter().zip(gradient(&[(&x1, &g1)])).zip(gradient(&[(&x2, &g2)])) {
        assert!((both - (first + second)).abs() < 1e-6);
    }
}

#[test]
fn chained_networks_differentiate_through_each_other() {
    let (actor, actor_params) = network(3, &[16], 2, Activation::Relu);
    let (critic, critic_params) = network(2, &[16], 1, Activation::Tanh);
    let x = Matrix::from_slice(4, 3, &values(12, 1)).unwrap();
    let mut tape = Tape::new();
    let action = actor.forward(&actor_params, &x, &mut tape).unwrap();
    let value = critic.forward(&critic_params, &action, &mut tape).unwrap();
    let mut chained = vec![f32::NAN; actor_params.len()];
    tape.backward(&actor_params, &[(&value, &[1.0; 4])], &mut chained).unwrap();

    let given = Matrix::from_slice(4, 2, action.as_slice()).unwrap().tracked();
    let mut tape = Tape::new();
    let value = critic.forward(&critic_params, &given, &mut tape).unwrap();
    let mut of_critic = vec![f32::NAN; critic_params.len()];
    let inner = tape.backward(&critic_params, &[(&value, &[1.0; 4])], &mut of_critic).unwrap();
    let dactions = inner.get(&given).unwrap();

    let mut tape = Tape::new();
    let action = actor.forward(&actor_params, &x, &mut tape).unwrap();
    let mut direct = vec![f32::NAN; actor_params.len()];
    tape.backward(&actor_params, &[(&action, dactions)], &mut direct).unwrap();
    assert_eq!(chained, direct);
    assert!(chained.iter().any(|&x| x != 0.0));
}

#[test]
fn wrong_sizes_give_errors() {
    let (mlp, params) = network(3, &[8], 2, Activation::Tanh);
    let (other, small) = network(1, &[], 1, Activation::Tanh);
    let packed = Packed::new(&mlp, &params).unwrap();
    let mut scratch = Scratch::new();
    let message = |error: NnError| error.to_string();
    let mut infer =
        |x: &[f32], batch, out: &mut [f32]| mlp.infer(&packed, x, batch, &mut scratch, out).map_err(message);
    assert_eq!(infer(&[], 0, &mut []), Err("input must not be empty, got shape [0, 3]".into()));
    assert_eq!(infer(&[0.0; 5], 2, &mut [0.0; 4]), Err("input must hold 6 values, got 5".into()));
    assert_eq!(infer(&[0.0; 6], 2, &mut [0.0; 3]), Err("output must hold 4 values, got 3".into()));
    assert!(other.infer(&packed, &[0.0], 1, &mut Scratch::new(), &mut [0.0]).is_err());
    assert!(Packed::new(&mlp, &small).is_err());

    let x = Matrix::zeros(2, 4).unwrap();
    let error = mlp.forward(&params, &x, &mut Tape::new()).unwrap_err();
    assert_eq!(error.to_string(), "input must have 3 columns, got 4");
    let x = Matrix::zeros(2, 3).unwrap();
    let mut tape = Tape::new();
    let y = mlp.forward(&params, &x, &mut tape).unwrap();
    let error = tape.backward(&params, &[(&y, &[1.0; 3])], &mut vec![0.0; params.len()]).unwrap_err();
    assert_eq!(error.to_string(), "output gradient must hold 4 values, got 3");
    let error = Tape::new().backward(&params, &[], &mut [0.0; 2]).unwrap_err();
    assert_eq!(error.to_string(), format!("gradient buffer must hold {} values, got 2", params.len()));

    let config = MlpConfig { hidden: vec![4, 0], activation: Activation::Relu };
    assert_eq!(config.validate().unwrap_err().to_string(), "hidden must be widths of at least 1, got [4, 0]");
}

#[test]
fn nan_inputs_give_nan_outputs() {
    for activation in ACTIVATIONS {
        let (mlp, params) = network(3, &[20], 2, activation);
        let packed = Packed::new(&mlp, &params).unwrap();
        let mut out = [0.0; 2];
        mlp.infer(&packed, &[0.0, f32::NAN, 1.0], 1, &mut Scratch::new(), &mut out).unwrap();
        assert!(out.iter().all(|x| x.is_nan()), "{activation:?}");
    }
}
