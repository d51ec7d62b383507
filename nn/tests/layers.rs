//! Row-wise layers against their definitions: outputs, gradients, acting against learning, bytes, NaN.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use agon_nn::{
    Activation, BatchNorm2d, BitMatrix, ByteMatrix, ConvConfig, ConvTransposeConfig, Embedding, ImageShape,
    Init, Input, LayoutBuilder, Linear, Matrix, NoisyLinear, Packed, Params, Pool2d, PoolConfig, Rows,
    Scratch, Sequential, Tape,
};
use common::ACTIVATIONS;
use common::naive::{Network, RandomChain, Spec};
use proptest::prelude::*;
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng as _;

/// Of a row's output, relative to its greatest value or to one.
const OUTPUT_TOLERANCE: f64 = 3e-5;

/// Of a derivative, relative to the greatest of its tensor or to one.
const GRADIENT_TOLERANCE: f64 = 2e-4;

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

/// Central difference of `f` in coordinate `index`; `None` next to a kink.
fn slope(f: impl Fn(&[f64]) -> f64, at: &[f64], index: usize) -> Option<f64> {
    let side = |step: f64| {
        let mut moved = at.to_vec();
        moved[index] += step;
        f(&moved)
    };
    let (fine, coarse) = ((side(1e-6) - side(-1e-6)) / 2e-6, (side(1e-5) - side(-1e-5)) / 2e-5);
    ((fine - coarse).abs() < 1e-4 * (1.0 + fine.abs())).then_some(fine)
}

fn dot(values: &[f64], weights: &[f32]) -> f64 {
    values.iter().zip(weights).map(|(&x, &w)| x * f64::from(w)).sum()
}

/// All that must hold of any row-wise network.
fn check(specs: &[Spec], batch: usize, seed: u64) -> Result<(), TestCaseError> {
    check_thinned(specs, batch, 1.0, seed)
}

/// The same of a convolution by tiles, in which what is not a number spoils all that is near.
fn check_tiled(spec: Spec, batch: usize, seed: u64) -> Result<(), TestCaseError> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let network = Network::new(&[spec], &mut rng);
    let x = network.inputs(batch, &mut rng);
    check_gradients(&network, &x, &mut rng)?;
    check_acting(&network, &x, &mut rng)?;
    check_bytes(&network, batch, &mut rng)?;
    check_nan(&network, &x, true, &mut rng)
}

/// The same with inputs of which only a share is not zero.
fn check_thinned(specs: &[Spec], batch: usize, share: f64, seed: u64) -> Result<(), TestCaseError> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let network = Network::new(specs, &mut rng);
    let mut x = network.inputs(batch, &mut rng);
    x.iter_mut().filter(|_| !rng.random_bool(share)).for_each(|x| *x = 0.0);
    check_gradients(&network, &x, &mut rng)?;
    check_acting(&network, &x, &mut rng)?;
    check_bytes(&network, batch, &mut rng)?;
    check_nan(&network, &x, false, &mut rng)
}

/// Outputs against the definitions, gradients against finite differences of them.
fn check_gradients(network: &Network, x: &[f32], rng: &mut Pcg64) -> Result<(), TestCaseError> {
    let (inputs, outputs) = (network.chain.inputs(), network.chain.outputs());
    let batch = x.len() / inputs;
    let weights: Vec<f32> = (0..batch * outputs).map(|_| rng.random_range(-1.0..1.0)).collect();
    let input = Matrix::from_slice(batch, inputs, x).unwrap().tracked();
    let mut tape = Tape::new();
    let y = network.chain.forward(&network.params, &input, &mut tape).unwrap();
    let (wide_params, wide_x) = (widen(network.params.as_slice()), widen(x));
    for (row, (x, y)) in wide_x.chunks_exact(inputs).zip(y.as_slice().chunks_exact(outputs)).enumerate() {
        let expected = network.reference(&wide_params, x);
        prop_assert_eq!(expected.len(), outputs);
        let bound = OUTPUT_TOLERANCE * expected.iter().fold(1.0, |max: f64, y| max.max(y.abs()));
        for (o, (&got, expected)) in y.iter().zip(expected).enumerate() {
            let error = (f64::from(got) - expected).abs();
            prop_assert!(error < bound, "row {row}, output {o}: {got}, expected {expected}");
        }
    }

    let mut gradient = vec![f32::NAN; network.params.len()];
    let of_inputs = tape.backward(&network.params, &[(&y, &weights)], &mut gradient).unwrap();
    let of_x = of_inputs.get(&input).unwrap();
    let objective = |params: &[f64]| {
        let rows = wide_x.chunks_exact(inputs).zip(weights.chunks_exact(outputs));
        rows.map(|(x, weights)| dot(&network.reference(params, x), weights)).sum()
    };
    for spec in network.params.layout().specs() {
        let own = spec.range.read(&gradient);
        if !spec.learned {
            prop_assert!(own.iter().all(|&d| d == 0.0), "{} is a buffer", spec.name);
            continue;
        }
        let scale = own.iter().fold(1.0, |max: f64, &d| max.max(f64::from(d).abs()));
        for _ in 0..3 {
            let index = rng.random_range(spec.range.range());
            if let Some(expected) = slope(objective, &wide_params, index) {
                let error = (f64::from(gradient[index]) - expected).abs();
                let at = index - spec.range.range().start;
                prop_assert!(
                    error < GRADIENT_TOLERANCE * scale,
                    "{}[{at}]: {}, expected {expected}",
                    spec.name,
                    gradient[index]
                );
            }
        }
    }
    let scale = of_x.iter().fold(1.0, |max: f64, &d| max.max(f64::from(d).abs()));
    let categories: Vec<usize> = network.categories().into_iter().map(|(column, _)| column).collect();
    for _ in 0..8 {
        let (row, column) = (rng.random_range(0..batch), rng.random_range(0..inputs));
        let got = of_x[row * inputs + column];
        if categories.contains(&column) {
            continue;
        }
        let x = &wide_x[row * inputs..(row + 1) * inputs];
        let weights = &weights[row * outputs..(row + 1) * outputs];
        if let Some(expected) = slope(|x| dot(&network.reference(&wide_params, x), weights), x, column) {
            let error = (f64::from(got) - expected).abs();
            prop_assert!(
                error < GRADIENT_TOLERANCE * scale,
                "row {row}, input {column}: {got}, expected {expected}"
            );
        }
    }

    // Without a wanted input gradient, and in one block more or less, the parameters' gradient is the same.
    let plain = Matrix::from_slice(batch, inputs, x).unwrap();
    let mut tape = Tape::new();
    let again = network.chain.forward(&network.params, &plain, &mut tape).unwrap();
    let mut untracked = vec![f32::NAN; network.params.len()];
    tape.backward(&network.params, &[(&again, &weights)], &mut untracked).unwrap();
    prop_assert_eq!(bits(&untracked), bits(&gradient));
    Ok(())
}

/// Acting gives the bits of learning, for the whole batch, a part of it and a row.
fn check_acting(network: &Network, x: &[f32], rng: &mut Pcg64) -> Result<(), TestCaseError> {
    let (inputs, outputs) = (network.chain.inputs(), network.chain.outputs());
    let batch = x.len() / inputs;
    let input = Matrix::from_slice(batch, inputs, x).unwrap();
    let y = network.chain.forward(&network.params, &input, &mut Tape::new()).unwrap();
    let packed = Packed::new(&network.chain, &network.params).unwrap();
    let mut scratch = Scratch::new();
    let (start, row) = (rng.random_range(0..batch), rng.random_range(0..batch));
    for rows in [0..batch, start..batch, row..row + 1] {
        let mut out = vec![f32::NAN; rows.len() * outputs];
        let x = &x[rows.start * inputs..rows.end * inputs];
        network.chain.infer(&packed, x, rows.len(), &mut scratch, &mut out).unwrap();
        prop_assert_eq!(bits(&out), bits(&y.as_slice()[rows.start * outputs..rows.end * outputs]));
    }
    Ok(())
}

/// Bytes give the bits of the floats that they stand for.
fn check_bytes(network: &Network, batch: usize, rng: &mut Pcg64) -> Result<(), TestCaseError> {
    if !network.categories().is_empty() {
        return Ok(());
    }
    let (inputs, outputs, scale) = (network.chain.inputs(), network.chain.outputs(), 1.0 / 255.0);
    let bytes: Vec<u8> = (0..batch * inputs).map(|_| rng.random()).collect();
    let floats: Vec<f32> = bytes.iter().map(|&byte| scale * f32::from(byte)).collect();
    let weights: Vec<f32> = (0..batch * outputs).map(|_| rng.random_range(-1.0..1.0)).collect();
    let learn = |input: &Input| {
        let mut tape = Tape::new();
        let y = network.chain.forward_input(&network.params, input, &mut tape).unwrap();
        let mut gradient = vec![f32::NAN; network.params.len()];
        tape.backward(&network.params, &[(&y, &weights)], &mut gradient).unwrap();
        (bits(y.as_slice()), bits(&gradient))
    };
    let of_floats = learn(&Input::from(&Matrix::from_slice(batch, inputs, &floats).unwrap()));
    let of_bytes = learn(&ByteMatrix::from_slice(batch, inputs, &bytes, scale).unwrap().into());
    prop_assert_eq!(&of_bytes, &of_floats);
    let packed = Packed::new(&network.chain, &network.params).unwrap();
    let mut out = vec![f32::NAN; batch * outputs];
    let rows = Rows::U8 { values: &bytes, scale };
    network.chain.infer(&packed, rows, batch, &mut Scratch::new(), &mut out).unwrap();
    prop_assert_eq!(bits(&out), of_floats.0);

    // Bits are bytes of two values.
    let share = rng.random_range(0.0..1.0);
    let bytes: Vec<u8> = (0..batch * inputs).map(|_| if rng.random_bool(share) { 255 } else { 0 }).collect();
    let eight = |bytes: &[u8]| bytes.iter().rev().fold(0, |bits, &byte| bits << 1 | byte & 1);
    let eights: Vec<u8> = bytes.chunks(inputs).flat_map(|row| row.chunks(8).map(eight)).collect();
    let of_bytes = learn(&ByteMatrix::from_slice(batch, inputs, &bytes, scale).unwrap().into());
    let of_bits = learn(&BitMatrix::new(batch, inputs, eights.clone(), 1.0).unwrap().into());
    prop_assert_eq!(&of_bits, &of_bytes);
    let rows = Rows::Bits { bits: &eights, columns: inputs, value: 1.0 };
    network.chain.infer(&packed, rows, batch, &mut Scratch::new(), &mut out).unwrap();
    prop_assert_eq!(bits(&out), of_bytes.0);
    Ok(())
}

/// NaN goes where the definitions say, perhaps further within its row, and into no other row.
fn check_nan(network: &Network, x: &[f32], further: bool, rng: &mut Pcg64) -> Result<(), TestCaseError> {
    let (inputs, outputs) = (network.chain.inputs(), network.chain.outputs());
    let batch = x.len() / inputs;
    let run = |x: &[f32]| {
        let input = Matrix::from_slice(batch, inputs, x).unwrap();
        network.chain.forward(&network.params, &input, &mut Tape::inference()).unwrap()
    };
    let mut spoilt = x.to_vec();
    let at = rng.random_range(0..x.len());
    spoilt[at] = f32::NAN;
    let (whole, got) = (run(x), run(&spoilt));
    let row = at / inputs;
    let flat = widen(network.params.as_slice());
    let expected = network.reference(&flat, &widen(&spoilt[row * inputs..(row + 1) * inputs]));
    for (index, (&got, &whole)) in got.as_slice().iter().zip(whole.as_slice()).enumerate() {
        if index / outputs == row {
            let expected = expected[index % outputs].is_nan();
            let agrees = got.is_nan() == expected || (further && got.is_nan());
            prop_assert!(agrees, "output {} of input {}: {got}", index % outputs, at % inputs);
        } else {
            prop_assert_eq!(got.to_bits(), whole.to_bits());
        }
    }
    Ok(())
}

fn activation() -> impl Strategy<Value = Activation> {
    prop::sample::select(ACTIVATIONS.to_vec())
}

fn image(channels: usize, size: usize) -> impl Strategy<Value = ImageShape> {
    (1..=channels, 1..=size, 1..=size)
        .prop_map(|(channels, height, width)| ImageShape::new(channels, height, width))
}

fn pair(range: std::ops::Range<usize>) -> impl Strategy<Value = [usize; 2]> {
    prop::array::uniform2(range)
}

fn conv() -> impl Strategy<Value = Spec> {
    let sizes = (image(3, 9), 1..4_usize, pair(1..5), pair(1..4), pair(0..3), pair(1..3), 1..4_usize);
    (sizes, activation()).prop_filter_map("the kernel must fit", |(sizes, activation)| {
        let (image, channels, kernel, stride, padding, dilation, groups) = sizes;
        let image = ImageShape::new(image.channels * groups, image.height, image.width);
        let config = ConvConfig { channels: channels * groups, kernel, stride, padding, dilation, groups };
        config.output_shape(image).ok()?;
        Some(Spec::Conv { image, config, activation })
    })
}

/// Sizes where vectors are filled, and one more or less.
fn wide_conv() -> impl Strategy<Value = Spec> {
    (prop::sample::select(vec![15_usize, 16, 17, 33]), 1..4_usize, activation()).prop_map(
        |(channels, inputs, activation)| {
            let image = ImageShape::new(inputs, 6, 5);
            Spec::Conv { image, config: ConvConfig::new(channels, 3).padding(1), activation }
        },
    )
}

/// Kernels of 3 × 3 between so many channels that they are computed by transformed tiles, of all sizes.
fn tiled_conv() -> impl Strategy<Value = Spec> {
    let sizes =
        (prop::sample::select(vec![16_usize, 32]), 3..14_usize, 3..14_usize, pair(0..3), activation());
    sizes.prop_map(|(inputs, height, width, padding, activation)| {
        let config = ConvConfig { padding, ..ConvConfig::new(80, 3) };
        Spec::Conv { image: ImageShape::new(inputs, height, width), config, activation }
    })
}

fn transposed() -> impl Strategy<Value = Spec> {
    let sizes = (image(4, 6), 1..6_usize, pair(1..5), pair(1..4), pair(0..3), pair(0..3));
    (sizes, activation()).prop_filter_map("something must be left", |(sizes, activation)| {
        let (image, channels, kernel, stride, padding, output_padding) = sizes;
        let config = ConvTransposeConfig { channels, kernel, stride, padding, output_padding };
        config.output_shape(image).ok()?;
        Some(Spec::Transposed { image, config, activation })
    })
}

fn pool() -> impl Strategy<Value = Spec> {
    let sizes = (image(4, 9), pair(1..5), pair(1..4), pair(0..3), any::<bool>());
    sizes.prop_filter_map("the window must fit", |(image, kernel, stride, padding, max)| {
        let config = PoolConfig { kernel, stride, padding };
        config.output_shape(image).ok()?;
        Some(Spec::Pool { image, config, max })
    })
}

fn norm() -> impl Strategy<Value = Spec> {
    (1..70_usize, any::<bool>(), prop::sample::select(vec![1e-5_f32, 1e-2]))
        .prop_map(|(width, rms, eps)| Spec::Norm { width, rms, eps })
}

fn noisy() -> impl Strategy<Value = Spec> {
    (1..40_usize, 1..40_usize, activation()).prop_map(|(inputs, outputs, activation)| Spec::Noisy {
        inputs,
        outputs,
        activation,
    })
}

fn embedding() -> impl Strategy<Value = Spec> {
    (prop::collection::vec(1..7_usize, 1..4), 1..20_usize, any::<bool>()).prop_map(
        |(nvec, width, of_each)| {
            let nvec = if of_each { nvec } else { vec![nvec[0]; nvec.len()] };
            Spec::Embedding { nvec, width, of_each }
        },
    )
}

/// Layers without parameters of their own, on images and rows.
fn plain() -> impl Strategy<Value = Spec> {
    prop_oneof![
        prop::collection::vec(1..7_usize, 1..4).prop_map(|nvec| Spec::OneHot { nvec }),
        image(5, 6).prop_map(|image| Spec::ChannelsFirst { image }),
        image(5, 6).prop_map(|image| Spec::BatchNorm { image }),
        (1..40_usize, activation())
            .prop_map(|(width, activation)| Spec::Activate { shape: vec![width], activation }),
        (image(3, 5), activation()).prop_map(|(image, activation)| Spec::Activate {
            shape: <[usize; 3]>::from(image).to_vec(),
            activation,
        }),
    ]
}

/// Batches that blocks of 16, 48 and 96 rows cut into pieces, more often small ones.
fn batch() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 1..20_usize, 1 => 20..110_usize]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn convolutions_are_what_they_are_defined_as(spec in conv(), batch in batch(), seed: u64) {
        check(&[spec], batch, seed)?;
    }

    #[test]
    fn convolutions_of_sparse_images_are_what_they_are_defined_as(
        spec in prop_oneof![conv(), wide_conv()], batch in 1..20_usize, share in 0.0..0.4, seed: u64
    ) {
        check_thinned(&[spec], batch, share, seed)?;
    }

    #[test]
    fn transposed_convolutions_are_what_they_are_defined_as(spec in transposed(), batch in batch(), seed: u64) {
        check(&[spec], batch, seed)?;
    }

    #[test]
    fn pools_are_what_they_are_defined_as(spec in pool(), batch in batch(), seed: u64) {
        check(&[spec], batch, seed)?;
    }

    #[test]
    fn norms_are_what_they_are_defined_as(spec in norm(), batch in batch(), seed: u64) {
        check(&[spec], batch, seed)?;
    }

    #[test]
    fn noisy_layers_are_what_they_are_defined_as(spec in noisy(), batch in batch(), seed: u64) {
        check(&[spec], batch, seed)?;
    }

    #[test]
    fn embeddings_are_what_they_are_defined_as(spec in embedding(), batch in batch(), seed: u64) {
        check(&[spec], batch, seed)?;
    }

    #[test]
    fn layers_without_weights_are_what_they_are_defined_as(spec in plain(), batch in batch(), seed: u64) {
        check(&[spec], batch, seed)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn convolutions_around_the_width_of_vectors_are_what_they_are_defined_as(
        spec in wide_conv(), batch in 1..20_usize, seed: u64
    ) {
        check(&[spec], batch, seed)?;
    }

    #[test]
    fn convolutions_by_tiles_are_what_they_are_defined_as(spec in tiled_conv(), batch in 1..20_usize, seed: u64) {
        check_tiled(spec, batch, seed)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn random_chains_are_what_they_are_defined_as(seed: u64, depth in 1..7_usize, batch in batch()) {
        let specs = RandomChain { rng: &mut Pcg64::seed_from_u64(seed) }.chain(depth);
        check(&specs, batch, seed)?;
    }
}

/// Outputs and gradients of a batch norm in training, in `f64`: `y`, and `Σ weights · y`.
fn batch_norm(x: &[f64], params: &[f64], image: ImageShape) -> Vec<f64> {
    let (plane, channels) = (image.height * image.width, image.channels);
    let mut y = vec![0.0; x.len()];
    for channel in 0..channels {
        let of_channel: Vec<usize> = (0..x.len()).filter(|i| i / plane % channels == channel).collect();
        let count = of_channel.len() as f64;
        let mean = of_channel.iter().map(|&i| x[i]).sum::<f64>() / count;
        let variance = of_channel.iter().map(|&i| (x[i] - mean).powi(2)).sum::<f64>() / count;
        for i in of_channel {
            let unit = (x[i] - mean) / (variance + f64::from(1e-5_f32)).sqrt();
            y[i] = unit * params[channel] + params[channels + channel];
        }
    }
    y
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn batch_norms_in_training_agree_with_finite_differences(
        image in image(4, 4), batch in 2..12_usize, seed: u64
    ) {
        let mut rng = Pcg64::seed_from_u64(seed);
        let mut builder = LayoutBuilder::new();
        let norm = BatchNorm2d::new(&mut builder, "l", image).unwrap();
        let mut params = builder.build(0);
        let learned: Vec<usize> = params
            .layout()
            .specs()
            .iter()
            .filter(|spec| spec.learned)
            .flat_map(|spec| spec.range.range())
            .collect();
        learned.iter().for_each(|&at| params.as_mut_slice()[at] = rng.random_range(-1.0..1.0));
        let of_learned = |params: &[f64]| -> Vec<f64> { learned.iter().map(|&at| params[at]).collect() };
        let x: Vec<f32> = (0..batch * image.len()).map(|_| rng.random_range(-1.0..1.0)).collect();
        let weights: Vec<f32> = (0..x.len()).map(|_| rng.random_range(-1.0..1.0)).collect();
        let input = Matrix::from_slice(batch, image.len(), &x).unwrap().tracked();
        let mut tape = Tape::new();
        let (y, statistics) = norm.forward_train(&params, &input, &mut tape).unwrap();
        let (wide_params, wide_x) = (widen(params.as_slice()), widen(&x));
        for (&got, expected) in y.as_slice().iter().zip(batch_norm(&wide_x, &of_learned(&wide_params), image)) {
            prop_assert!((f64::from(got) - expected).abs() < 2e-4 * (1.0 + expected.abs()));
        }
        let mut gradient = vec![f32::NAN; params.len()];
        let of_inputs = tape.backward(&params, &[(&y, &weights)], &mut gradient).unwrap();
        let of_x = of_inputs.get(&input).unwrap();
        let scale = |values: &[f32]| values.iter().fold(1.0, |max: f64, &d| max.max(f64::from(d).abs()));
        for &index in &learned {
            let objective = |params: &[f64]| dot(&batch_norm(&wide_x, &of_learned(params), image), &weights);
            if let Some(expected) = slope(objective, &wide_params, index) {
                let error = (f64::from(gradient[index]) - expected).abs();
                prop_assert!(error < 5e-4 * scale(&gradient), "parameter {index}: {}, expected {expected}", gradient[index]);
            }
        }
        for _ in 0..12 {
            let index = rng.random_range(0..x.len());
            let objective = |x: &[f64]| dot(&batch_norm(x, &of_learned(&wide_params), image), &weights);
            if let Some(expected) = slope(objective, &wide_x, index) {
                let error = (f64::from(of_x[index]) - expected).abs();
                prop_assert!(error < 5e-4 * scale(of_x), "input {index}: {}, expected {expected}", of_x[index]);
            }
        }
        // The running statistics go a tenth of the way to the batch's, of which the variance is unbiased.
        norm.track(&mut params, &statistics).unwrap();
        let plane = image.height * image.width;
        for channel in 0..image.channels {
            let values: Vec<f64> =
                (0..x.len()).filter(|i| i / plane % image.channels == channel).map(|i| wide_x[i]).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64;
            let [running_mean, running_var] =
                ["l.running_mean", "l.running_var"].map(|name| f64::from(params.get(name).unwrap()[channel]));
            prop_assert!((running_mean - 0.1 * mean).abs() < 1e-6);
            prop_assert!((running_var - 0.9 - 0.1 * variance).abs() < 1e-6);
        }
    }
}

#[test]
fn of_equal_maxima_the_first_gets_the_gradient() {
    let image = ImageShape::new(1, 2, 2);
    let network =
        Sequential::new(vec![Pool2d::max(image, PoolConfig::new(2, 2, 0)).unwrap().into()]).unwrap();
    let params = LayoutBuilder::new().build(0);
    let x = Matrix::from_slice(1, 4, &[1.0, 7.0, 7.0, 7.0]).unwrap().tracked();
    let mut tape = Tape::new();
    let y = network.forward(&params, &x, &mut tape).unwrap();
    let of_inputs = tape.backward(&params, &[(&y, &[3.0])], &mut []).unwrap();
    assert_eq!(of_inputs.get(&x).unwrap(), [0.0, 3.0, 0.0, 0.0]);
}

#[test]
fn an_input_that_is_no_category_gives_nan_and_no_gradient() {
    let mut builder = LayoutBuilder::new();
    let table = Embedding::of_each(&mut builder, "l", &[2, 3], 2, Init::Normal { std: 1.0 });
    let params = builder.build(0);
    let network = Sequential::new(vec![table.into()]).unwrap();
    for wrong in [-1.0, 2.0, 0.5, f32::NAN, f32::INFINITY, 1e30, -0.25] {
        let x = Matrix::from_slice(1, 2, &[wrong, 2.0]).unwrap().tracked();
        let mut tape = Tape::new();
        let y = network.forward(&params, &x, &mut tape).unwrap();
        assert!(y.as_slice()[..2].iter().all(|y| y.is_nan()), "{wrong}");
        assert_eq!(y.as_slice()[2..], params.as_slice()[8..], "the second table's third vector");
        let mut gradient = vec![f32::NAN; params.len()];
        let of_inputs = tape.backward(&params, &[(&y, &[1.0, 2.0, 3.0, 4.0])], &mut gradient).unwrap();
        assert_eq!(gradient, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0, 4.0]);
        assert_eq!(of_inputs.get(&x).unwrap(), [0.0, 0.0]);
    }
}

#[test]
fn silenced_noise_leaves_the_means() {
    let mut builder = LayoutBuilder::new();
    let noisy = NoisyLinear::new(&mut builder, "l", 5, 3, Activation::Tanh, NoisyLinear::SIGMA);
    let mut params = builder.build(2);
    let mut means = LayoutBuilder::new();
    let linear = Linear::new(&mut means, "l", 5, 3, Activation::Tanh, Init::Zeros);
    let mut means = means.build(0);
    for (plain, mean) in [(&linear.weight, "l.weight_mu"), (&linear.bias, "l.bias_mu")] {
        plain.write(&params.get(mean).unwrap(), means.as_mut_slice());
    }
    let linear = Sequential::new(vec![linear.into()]).unwrap();
    let network = Sequential::new(vec![noisy.clone().into()]).unwrap();
    let x = Matrix::from_slice(2, 5, &[0.1, -0.4, 0.9, 0.3, -0.2, 1.0, 0.5, -0.5, 0.0, 0.7]).unwrap();
    let run =
        |network: &Sequential, params: &Params| network.forward(params, &x, &mut Tape::inference()).unwrap();
    let expected = run(&linear, &means);
    let differs =
        |y: &Matrix| y.as_slice().iter().zip(expected.as_slice()).any(|(y, e)| (y - e).abs() > 1e-3);
    assert!(!differs(&run(&network, &params)), "noise starts as zero");
    noisy.resample(&mut params, &mut Pcg64::seed_from_u64(1));
    let first = run(&network, &params);
    assert!(differs(&first));
    noisy.resample(&mut params, &mut Pcg64::seed_from_u64(2));
    assert_ne!(run(&network, &params).as_slice(), first.as_slice());
    noisy.silence(&mut params);
    assert!(!differs(&run(&network, &params)));
}
