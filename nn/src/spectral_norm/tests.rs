use proptest::prelude::*;

use super::*;
use crate::finite_differences::assert_gradient;
use crate::matrix::Matrix;
use crate::sequential::{Packed, Scratch, Sequential};
use crate::tape::Tape;

fn values(len: usize, salt: usize) -> Vec<f32> {
    (0..len).map(|i| (((i + salt) * 7919 + 31 * salt) % 2003) as f32 / 1001.0 - 1.0).collect()
}

/// `σ` of a weight `[rows, v.len()]` in `f64`.
fn sigma(weight: &[f64], u: &[f32], v: &[f32]) -> f64 {
    let row = |row: &[f64]| row.iter().zip(v).map(|(w, &v)| w * f64::from(v)).sum::<f64>();
    weight.chunks_exact(v.len()).zip(u).map(|(w, &u)| f64::from(u) * row(w)).sum()
}

#[test]
fn the_greatest_singular_value_becomes_one() {
    let mut builder = LayoutBuilder::new();
    let init = Init::Constant(0.0);
    let layer = SpectralNorm::linear(&mut builder, "l", 3, 2, Activation::Identity, init);
    let mut params = builder.build(0);
    // [[3, 0, 0], [0, 4, 0]] has the singular values 4 and 3.
    layer.weight.write(&[3.0, 0.0, 0.0, 0.0, 4.0, 0.0], params.as_mut_slice());
    layer.power_iteration(&mut params, 60).unwrap();
    assert!((layer.sigma(params.as_slice()) - 4.0).abs() < 1e-5);
    let network = Sequential::new(vec![layer.into()]).unwrap();
    let x = Matrix::from_slice(1, 3, &[1.0, 2.0, 5.0]).unwrap();
    let y = network.forward(&params, &x, &mut Tape::inference()).unwrap();
    assert!((y.as_slice()[0] - 0.75).abs() < 1e-5 && (y.as_slice()[1] - 2.0).abs() < 1e-5, "{y:?}");
}

/// One iteration of PyTorch on a given weight, done by hand: `u = W v / ‖W v‖`, `v = Wᵀ u / ‖Wᵀ u‖`.
#[test]
fn a_power_iteration_moves_u_first() {
    let mut builder = LayoutBuilder::new();
    let layer = SpectralNorm::linear(&mut builder, "l", 2, 2, Activation::Identity, Init::Zeros);
    let mut params = builder.build(0);
    layer.weight.write(&[1.0, 2.0, 2.0, 0.0], params.as_mut_slice());
    layer.v.of_mut(params.as_mut_slice()).copy_from_slice(&[1.0, 0.0]);
    layer.power_iteration(&mut params, 1).unwrap();
    let near = |got: &[f32], expected: [f32; 2]| {
        assert!(got.iter().zip(expected).all(|(got, expected)| (got - expected).abs() < 1e-6), "{got:?}");
    };
    // u = [1, 2] / √5; Wᵀ u = [5, 2] / √5.
    near(layer.u.of(params.as_slice()), [0.447_213_6, 0.894_427_2]);
    near(layer.v.of(params.as_slice()), [0.928_476_7, 0.371_390_7]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn gradients_of_linear_layers_agree_with_finite_differences(
        inputs in 1_usize..20,
        outputs in 1_usize..20,
        rows in 1_usize..130,
        iterations in 1_usize..4,
    ) {
        let mut builder = LayoutBuilder::new();
        builder.add("before", &[3], Init::Zeros);
        let init = Init::Normal { std: 0.5 };
        let layer = SpectralNorm::linear(&mut builder, "l", inputs, outputs, Activation::Identity, init);
        let mut params = builder.build(9);
        layer.power_iteration(&mut params, 3 + iterations).unwrap();
        let [u, v] = [&layer.u, &layer.v].map(|range| range.of(params.as_slice()).to_vec());
        let (weight, bias) = (layer.weight.clone(), layer.bias.range());
        prop_assume!(sigma(&widen(&weight.read(params.as_slice())), &u, &v) > 0.1);
        let (x, seeds) = (values(rows * inputs, 1), values(rows * outputs, 2));
        let reference = |params: &[f64], x: &[f64], row: usize, o: usize| {
            let weight = weight.read(params);
            let sigma = sigma(&weight, &u, &v);
            let x = &x[row * inputs..(row + 1) * inputs];
            params[bias.clone()][o] + (0..inputs).map(|i| x[i] * weight[o * inputs + i] / sigma).sum::<f64>()
        };
        let loss = |params: &[f64], x: &[f64]| -> f64 {
            let pairs = (0..rows).flat_map(|row| (0..outputs).map(move |o| (row, o)));
            pairs.map(|(row, o)| f64::from(seeds[row * outputs + o]) * reference(params, x, row, o)).sum()
        };
        let network = Sequential::new(vec![layer.into()]).unwrap();
        let input = Matrix::from_slice(rows, inputs, &x).unwrap().tracked();
        let mut tape = Tape::new();
        let y = network.forward(&params, &input, &mut tape).unwrap();
        let (wide, wide_x) = (widen(params.as_slice()), widen(&x));
        for (index, &got) in y.as_slice().iter().enumerate() {
            let expected = reference(&wide, &wide_x, index / outputs, index % outputs);
            prop_assert!((f64::from(got) - expected).abs() < 1e-5 * (1.0 + expected.abs()), "{got}, expected {expected}");
        }
        let mut gradient = vec![f32::NAN; params.len()];
        let of_inputs = tape.backward(&params, &[(&y, &seeds)], &mut gradient).unwrap();
        // The vectors are constants of the gradient.
        let learned = bias.end;
        prop_assert!(gradient[learned..].iter().all(|&d| d == 0.0));
        let of_learned = |at: &[f64]| loss(&[at, &wide[learned..]].concat(), &wide_x);
        assert_gradient("parameters", of_learned, &params.as_slice()[..learned], &gradient[..learned]);
        let of_x = of_inputs.get(&input).unwrap();
        let step = 1e-4;
        for index in [0, x.len() / 2, x.len() - 1] {
            let side = |step: f64| {
                let mut moved = wide_x.clone();
                moved[index] += step;
                loss(&wide, &moved)
            };
            let expected = (side(step) - side(-step)) / (2.0 * step);
            prop_assert!((f64::from(of_x[index]) - expected).abs() < 1e-4 * (1.0 + expected.abs()));
        }

        let packed = Packed::new(&network, &params).unwrap();
        let mut out = vec![f32::NAN; rows * outputs];
        network.infer(&packed, &x, rows, &mut Scratch::new(), &mut out).unwrap();
        prop_assert_eq!(out, y.as_slice());
    }
}

#[test]
fn a_convolution_is_that_with_the_divided_weight() {
    let (image, config) = (ImageShape::new(4, 6, 5), ConvConfig::new(6, 3).padding(1).groups(2));
    let (mut builder, init) = (LayoutBuilder::new(), Init::Normal { std: 0.4 });
    let act = Activation::Tanh;
    let layer = SpectralNorm::conv2d(&mut builder, "l", image, config.clone(), act, init).unwrap();
    let mut params = builder.build(4);
    layer.power_iteration(&mut params, 20).unwrap();
    let sigma = layer.sigma(params.as_slice());
    let mut builder = LayoutBuilder::new();
    let plain = Conv2d::new(&mut builder, "l", image, config, act, init).unwrap();
    let mut plain_params = builder.build(0);
    let learned = layer.bias.range().end;
    plain_params.as_mut_slice().copy_from_slice(&params.as_slice()[..learned]);
    let weights = layer.weight.len();
    plain_params.as_mut_slice()[..weights].iter_mut().for_each(|w| *w /= sigma);
    let (u, v) = (layer.u.of(params.as_slice()).to_vec(), layer.v.of(params.as_slice()).to_vec());

    let rows = 5;
    let x = Matrix::from_slice(rows, image.len(), &values(rows * image.len(), 1)).unwrap().tracked();
    let pass = |network: Sequential, params: &Params| {
        let mut tape = Tape::new();
        let y = network.forward(params, &x, &mut tape).unwrap();
        let seeds = values(y.as_slice().len(), 2);
        let mut gradient = vec![f32::NAN; params.len()];
        let of_inputs = tape.backward(params, &[(&y, &seeds)], &mut gradient).unwrap();
        (y, gradient, of_inputs.get(&x).unwrap().to_vec())
    };
    let (y, gradient, dx) = pass(Sequential::new(vec![layer.into()]).unwrap(), &params);
    let (plain_y, plain_gradient, plain_dx) =
        pass(Sequential::new(vec![plain.into()]).unwrap(), &plain_params);
    assert_eq!((y.as_slice(), dx), (plain_y.as_slice(), plain_dx));
    assert_eq!(gradient[weights..learned], plain_gradient[weights..]);
    let along: f64 = plain_gradient[..weights]
        .iter()
        .zip(plain_params.as_slice())
        .map(|(&d, &w)| f64::from(d) * f64::from(w))
        .sum();
    for (index, &got) in gradient[..weights].iter().enumerate() {
        let direction = f64::from(u[index / v.len()]) * f64::from(v[index % v.len()]);
        let expected = (f64::from(plain_gradient[index]) - along * direction) / f64::from(sigma);
        assert!(
            (f64::from(got) - expected).abs() < 1e-4 * (1.0 + expected.abs()),
            "{got}, expected {expected}"
        );
    }
}

#[test]
fn parameters_of_another_network_are_refused() {
    let mut builder = LayoutBuilder::new();
    let layer = SpectralNorm::linear(&mut builder, "l", 2, 3, Activation::Relu, Init::Zeros);
    let mut other = LayoutBuilder::new();
    other.add("weight", &[9], Init::Zeros);
    let mut other = other.build(0);
    let error = layer.power_iteration(&mut other, 1).unwrap_err();
    assert_eq!(error.to_string(), "parameters must hold 50 values, got 9");
    // The buffers belong to what a network reads, too.
    let network = Sequential::new(vec![layer.into()]).unwrap();
    let error = network.forward(&other, &Matrix::zeros(1, 2).unwrap(), &mut Tape::new()).unwrap_err();
    assert_eq!(error.to_string(), "parameters must hold 50 values, got 9");
    assert_eq!(network.summary()[0].layer, "SpectralNorm(Linear(2, 3, relu))");
}
