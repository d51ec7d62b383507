use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng as _;

use super::*;
use crate::conv::ConvConfig;
use crate::finite_differences::assert_gradient;
use crate::image::ImageShape;
use crate::linear::Activation;
use crate::optim::{Adam, AdamConfig};
use crate::params::{Layout, LayoutBuilder};

fn values(len: usize, salt: usize) -> Vec<f32> {
    (0..len).map(|i| (((i + salt) * 7919 + 31 * salt) % 2003) as f32 / 1001.0 - 1.0).collect()
}

/// The parameters, in the order of the layout.
fn params_of(layout: &Layout, flat: &[f64]) -> Vec<Vec<f64>> {
    layout.specs().iter().map(|spec| spec.range.read(flat)).collect()
}

/// A `tanh` layer and a linear one in `f64`; moves `at` past their parameters.
fn mlp(params: &[Vec<f64>], at: &mut usize, sizes: [usize; 3], x: &[f64]) -> Vec<f64> {
    let mut layer = |x: &[f64], outputs: usize| -> Vec<f64> {
        let (weight, bias) = (&params[*at], &params[*at + 1]);
        *at += 2;
        let dot = |o: usize| weight[o * x.len()..].iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
        (0..outputs).map(|o| dot(o) + bias[o]).collect()
    };
    let hidden: Vec<f64> = layer(x, sizes[1]).into_iter().map(f64::tanh).collect();
    layer(&hidden, sizes[2])
}

/// The negative bound of a row from its definition.
fn bound(likelihood: Likelihood, beta: f64, params: &[Vec<f64>], x: &[f64], noise: &[f32]) -> f64 {
    let (latents, mut at) = (noise.len(), 0);
    let posterior = mlp(params, &mut at, [x.len(), 5, 2 * latents], x);
    let (means, log_vars) = posterior.split_at(latents);
    let z: Vec<f64> =
        (0..latents).map(|i| means[i] + (0.5 * log_vars[i]).exp() * f64::from(noise[i])).collect();
    let outputs = mlp(params, &mut at, [latents, 5, likelihood.outputs() * x.len()], &z);
    let kl: f64 =
        (0..latents).map(|i| 0.5 * (means[i].powi(2) + log_vars[i].exp() - 1.0 - log_vars[i])).sum();
    let normal = |x: f64, mean: f64, log_var: f64| {
        0.5 * ((2.0 * std::f64::consts::PI).ln() + log_var + (x - mean).powi(2) / log_var.exp())
    };
    let value = |i: usize| match likelihood {
        Likelihood::Bernoulli => {
            let p = 1.0 / (1.0 + (-outputs[i]).exp());
            -x[i] * p.ln() - (1.0 - x[i]) * (1.0 - p).ln()
        }
        Likelihood::UnitGaussian => normal(x[i], outputs[i], 0.0),
        Likelihood::Gaussian => normal(x[i], outputs[i], outputs[x.len() + i]),
    };
    (0..x.len()).map(value).sum::<f64>() + beta * kl
}

#[test]
fn the_bound_and_its_gradient_agree_with_the_definition() {
    for likelihood in [Likelihood::Bernoulli, Likelihood::UnitGaussian, Likelihood::Gaussian] {
        let (inputs, latents, rows) = (4, 2, 3);
        let config = VaeConfig {
            latents,
            likelihood,
            beta: 0.7,
            hidden: vec![5],
            activation: Activation::Tanh,
            ..VaeConfig::default()
        };
        let mut builder = LayoutBuilder::new();
        let vae = config.build(&mut builder, "vae", inputs).unwrap();
        let params = builder.build(3);
        let x: Vec<f32> = values(rows * inputs, 1).into_iter().map(f32::abs).collect();
        let (noise, weights) = (values(rows * latents, 2), values(rows, 3));
        let layout = params.layout().clone();
        let loss = |params: &[f64], row: usize| {
            let x: Vec<f64> = x[row * inputs..][..inputs].iter().map(|&x| f64::from(x)).collect();
            let tensors = params_of(&layout, params);
            bound(likelihood, 0.7, &tensors, &x, &noise[row * latents..][..latents])
        };
        let mut tape = Tape::new();
        let x = Matrix::from_slice(rows, inputs, &x).unwrap();
        let noise = Matrix::from_slice(rows, latents, &noise).unwrap();
        let step = vae.loss(&params, &x, &noise, &mut tape).unwrap();
        let wide: Vec<f64> = params.as_slice().iter().map(|&x| f64::from(x)).collect();
        let mut mean = 0.0;
        for (row, &got) in step.loss.as_slice().iter().enumerate() {
            let expected = loss(&wide, row);
            assert!((f64::from(got) - expected).abs() < 1e-5, "{likelihood:?}: {got}, expected {expected}");
            mean += f64::from(got) / rows as f64;
        }
        let total = f64::from(step.reconstruction) + 0.7 * f64::from(step.kl);
        assert!((total - mean).abs() < 1e-5, "{total} {mean}");
        let mut gradient = vec![f32::NAN; params.len()];
        tape.backward(&params, &[(&step.loss, &weights)], &mut gradient).unwrap();
        let weighted =
            |params: &[f64]| (0..rows).map(|row| f64::from(weights[row]) * loss(params, row)).sum();
        assert_gradient(&format!("{likelihood:?}"), weighted, params.as_slice(), &gradient);
    }
}

#[test]
fn a_latent_variable_without_noise_is_its_mean() {
    let mut builder = LayoutBuilder::new();
    let vae = VaeConfig { latents: 3, hidden: vec![8], ..VaeConfig::default() };
    let vae = vae.build(&mut builder, "vae", 6).unwrap();
    let params = builder.build(0);
    let x = Matrix::from_slice(2, 6, &values(12, 1)).unwrap();
    let posterior = vae.encode(&params, &x).unwrap();
    let zeros = Matrix::zeros(2, 3).unwrap();
    let latents = reparameterize(&params, &posterior, &zeros, &mut Tape::inference()).unwrap();
    let means: Vec<f32> = posterior.as_slice().chunks_exact(6).flat_map(|row| &row[..3]).copied().collect();
    assert_eq!(latents.as_slice(), means);
    let decoded = vae.decode(&params, &latents).unwrap();
    assert!(decoded.as_slice().iter().all(|&p| p > 0.0 && p < 1.0), "probabilities");
}

#[test]
fn convolutional_decoders_mirror_their_encoders() {
    let image = ImageShape::new(2, 9, 8);
    let convs = vec![ConvConfig::new(4, 3).stride(2).padding(1), ConvConfig::new(6, 3).stride(2)];
    let config = VaeConfig {
        latents: 3,
        likelihood: Likelihood::Gaussian,
        convs,
        hidden: vec![10],
        activation: Activation::Tanh,
        ..VaeConfig::default()
    };
    let mut builder = LayoutBuilder::new();
    let vae = config.build_for_images(&mut builder, "vae", image).unwrap();
    let mut params = builder.build(1);
    let lines =
        |network: &Sequential| network.summary().into_iter().map(|line| line.layer).collect::<Vec<_>>();
    assert_eq!(
        lines(vae.encoder()),
        [
            "Conv2d(2, 4, 3x3, stride 2x2, padding 1x1, tanh)",
            "Conv2d(4, 6, 3x3, stride 2x2, tanh)",
            "Linear(12, 10, tanh)",
            "Linear(10, 6, identity)",
        ]
    );
    assert_eq!(
        lines(vae.decoder()),
        [
            "Linear(3, 10, tanh)",
            "Linear(10, 12, tanh)",
            "ConvTranspose2d(6, 4, 3x3, stride 2x2, output padding 0x1, tanh)",
            "ConvTranspose2d(4, 4, 3x3, stride 2x2, padding 1x1, output padding 0x1, identity)",
        ]
    );
    let names: Vec<&str> = params.layout().specs().iter().map(|spec| spec.name.as_str()).collect();
    for name in [
        "encoder.0",
        "encoder.2",
        "encoder.5",
        "encoder.7",
        "decoder.0",
        "decoder.2",
        "decoder.5",
        "decoder.7",
    ] {
        assert!(names.contains(&format!("vae.{name}.weight").as_str()), "{name} of {names:?}");
    }

    // The slope along the gradient is its squared length.
    let x = Matrix::from_slice(2, image.len(), &values(2 * image.len(), 1)).unwrap();
    let noise = Matrix::from_slice(2, 3, &values(6, 2)).unwrap();
    let mut tape = Tape::new();
    let step = vae.loss(&params, &x, &noise, &mut tape).unwrap();
    let mut gradient = vec![f32::NAN; params.len()];
    tape.backward(&params, &[(&step.loss, &[1.0, -0.5])], &mut gradient).unwrap();
    let length = gradient.iter().map(|&d| f64::from(d).powi(2)).sum::<f64>().sqrt();
    let start = params.as_slice().to_vec();
    let mut value = |step: f64| {
        for ((value, start), d) in params.as_mut_slice().iter_mut().zip(&start).zip(&gradient) {
            *value = (f64::from(*start) + step * f64::from(*d) / length) as f32;
        }
        let loss = vae.loss(&params, &x, &noise, &mut Tape::inference()).unwrap().loss;
        f64::from(loss.as_slice()[0]) - 0.5 * f64::from(loss.as_slice()[1])
    };
    let slope = (value(3e-3) - value(-3e-3)) / 6e-3;
    assert!((slope - length).abs() < 2e-3 * length, "slope {slope}, expected {length}");
}

/// Trains for some steps with a learning rate that falls to zero; gives the first loss in nats, and the mean of the
/// last tenth of the steps.
fn train(
    vae: &Vae,
    params: &mut Params,
    rng: &mut Pcg64,
    (steps, learning_rate): (usize, f32),
    batch: impl Fn(&mut Pcg64) -> Matrix,
) -> (f32, f32) {
    let mut adam = Adam::new(AdamConfig::default(), params.len()).unwrap();
    let mut gradient = vec![0.0; params.len()];
    let mut losses = Vec::new();
    for step in 0..steps {
        let x = batch(rng);
        let noise = standard_normal(x.rows(), vae.latents(), rng).unwrap();
        let mut tape = Tape::new();
        let result = vae.loss(params, &x, &noise, &mut tape).unwrap();
        let weights = vec![1.0 / x.rows() as f32; x.rows()];
        tape.backward(params, &[(&result.loss, &weights)], &mut gradient).unwrap();
        losses.push(result.reconstruction + result.kl);
        let left = 1.0 - step as f32 / steps as f32;
        adam.step(params, &gradient, learning_rate * left).unwrap();
    }
    let last = &losses[steps - steps / 10..];
    (losses[0], last.iter().sum::<f32>() / last.len() as f32)
}

/// Bars are images of four by four pixels with one full line or one full column. Eight images that are equally likely
/// have an entropy of ln 8 = 2.08 nats, below which no bound can come. Pixels that are independent of each other,
/// which is what a decoder without latent variables knows, need 16 times 0.56 = 9.0 nats.
#[test]
fn training_on_bars_approaches_their_entropy() {
    let pixel = |bar: usize, pixel: usize| if bar < 4 { pixel / 4 == bar } else { pixel % 4 == bar - 4 };
    let bars: Vec<f32> = (0..8 * 16).map(|i| f32::from(pixel(i / 16, i % 16))).collect();
    for seed in 0..3 {
        let config = VaeConfig { latents: 2, hidden: vec![32, 32], ..VaeConfig::default() };
        let mut builder = LayoutBuilder::new();
        let vae = config.build(&mut builder, "vae", 16).unwrap();
        let mut params = builder.build(seed);
        let mut rng = Pcg64::seed_from_u64(seed);
        let batch = |_: &mut Pcg64| Matrix::from_slice(64, 16, &bars.repeat(8)).unwrap();
        let (first, last) = train(&vae, &mut params, &mut rng, (2000, 5e-3), batch);
        assert!(first > 10.0, "an untrained decoder needs a bit for each pixel, got {first}");
        assert!(last > 2.08 && last < 3.4, "seed {seed}: {last} nats");
        let samples = vae.sample(&params, 400, &mut rng).unwrap();
        let distance =
            |sample: &[f32], bar: &[f32]| sample.iter().zip(bar).map(|(a, b)| (a - b).abs()).sum::<f32>();
        let is_bar = |sample: &&[f32]| bars.chunks_exact(16).any(|bar| distance(sample, bar) < 1.5);
        let count = samples.as_slice().chunks_exact(16).filter(is_bar).count();
        assert!(count >= 260, "seed {seed}: {count} of 400 samples are bars");
    }
}

/// With linear networks the model is factor analysis, whose bound is tight: it reaches the entropy of the data,
/// `½ ln det(2πe C)`. Here `C` has the eigenvalues 4.25, 1.25, 0.25 and 0.25, which makes 5.124 nats.
#[test]
fn linear_networks_learn_two_factors_of_four_numbers_exactly() {
    for seed in 0..3 {
        let config = VaeConfig {
            latents: 2,
            likelihood: Likelihood::Gaussian,
            hidden: Vec::new(),
            ..VaeConfig::default()
        };
        let mut builder = LayoutBuilder::new();
        let vae = config.build(&mut builder, "vae", 4).unwrap();
        let mut params = builder.build(seed);
        let mut rng = Pcg64::seed_from_u64(seed);
        let batch = |rng: &mut Pcg64| {
            let normal = standard_normal(128, 6, rng).unwrap();
            let rows = normal.as_slice().as_chunks::<6>().0.iter().flat_map(|&[a, b, ref noise @ ..]| {
                let factors = [a + 0.5 * b, a - 0.5 * b, a + 0.5 * b, a - 0.5 * b];
                [0, 1, 2, 3].map(|i| factors[i] + 0.5 * noise[i])
            });
            Matrix::from_slice(128, 4, &rows.collect::<Vec<_>>()).unwrap()
        };
        let (first, last) = train(&vae, &mut params, &mut rng, (4000, 1e-2), batch);
        assert!(first > 6.0, "seed {seed}: {first} nats before training");
        assert!((last - 5.124).abs() < 0.06, "seed {seed}: {last} nats");
        // Noise of deviation ½, of which latent variables know nothing: e^log_var = ¼.
        let at_origin = Matrix::zeros(1, 2).unwrap();
        let outputs = vae.decoder().forward(&params, &at_origin, &mut Tape::inference()).unwrap();
        for log_var in &outputs.as_slice()[4..] {
            assert!((log_var.exp() - 0.25).abs() < 0.04, "seed {seed}: variance {}", log_var.exp());
        }
    }
}

#[test]
fn networks_and_matrices_that_do_not_fit_are_refused() {
    let mut builder = LayoutBuilder::new();
    let config = VaeConfig { latents: 2, hidden: vec![4], ..VaeConfig::default() };
    let vae = config.build(&mut builder, "vae", 5).unwrap();
    let params = builder.build(0);
    let loss = |x: (usize, usize), noise: (usize, usize)| {
        let (x, noise) = (Matrix::zeros(x.0, x.1).unwrap(), Matrix::zeros(noise.0, noise.1).unwrap());
        vae.loss(&params, &x, &noise, &mut Tape::new()).unwrap_err().to_string()
    };
    assert_eq!(loss((3, 4), (3, 2)), "input must have 5 columns, got 4");
    assert_eq!(loss((3, 5), (3, 1)), "noise must have 2 columns, got 1");
    assert_eq!(loss((3, 5), (2, 2)), "noise must have 3 rows, got 2");
    let new = |likelihood, beta| {
        let networks = (vae.encoder().clone(), vae.decoder().clone());
        Vae::new(networks.0, networks.1, likelihood, beta).unwrap_err().to_string()
    };
    assert_eq!(new(Likelihood::Gaussian, 1.0), "the decoder's output must have 10 columns, got 5");
    assert_eq!(new(Likelihood::Bernoulli, f32::NAN), "beta must be finite and at least 0, got NaN");
    let swapped = Vae::new(vae.decoder().clone(), vae.encoder().clone(), Likelihood::Bernoulli, 1.0);
    assert_eq!(swapped.unwrap_err().to_string(), "the encoder's output must have 10 columns, got 5");

    let build =
        |config: VaeConfig| config.build(&mut LayoutBuilder::new(), "vae", 5).unwrap_err().to_string();
    let ok = VaeConfig::default;
    assert_eq!(build(VaeConfig { latents: 0, ..ok() }), "latents must be at least 1, got 0");
    assert_eq!(build(VaeConfig { beta: -1.0, ..ok() }), "beta must be finite and at least 0, got -1");
    assert_eq!(build(VaeConfig { hidden: vec![0], ..ok() }), "hidden must be widths of at least 1, got [0]");
    let convs = vec![ConvConfig::new(4, 3)];
    assert_eq!(build(VaeConfig { convs, ..ok() }), "convs must be none, for rows without shape, got 1");
    let convs = vec![ConvConfig::new(4, 1).dilation(2)];
    let config = VaeConfig { convs, ..ok() };
    let error = config.build_for_images(&mut LayoutBuilder::new(), "vae", ImageShape::new(1, 4, 4));
    assert_eq!(
        error.unwrap_err().to_string(),
        "convs must be without groups and dilation, got 1 groups and dilation [2, 2]"
    );
}
