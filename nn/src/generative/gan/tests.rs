use rand::RngExt as _;
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng as _;

use super::*;
use crate::generative::standard_normal;
use crate::optim::{Adam, AdamConfig};

/// Four normal distributions with deviation 0.1, at the corners of a square.
const CENTERS: [[f32; 2]; 4] = [[1.5, 1.5], [-1.5, 1.5], [-1.5, -1.5], [1.5, -1.5]];

fn mixture(rows: usize, rng: &mut Pcg64) -> Matrix {
    let mut samples = standard_normal(rows, 2, rng).unwrap();
    for sample in samples.as_mut_slice().as_chunks_mut::<2>().0 {
        let center = CENTERS[rng.random_range(0..CENTERS.len())];
        *sample = [0, 1].map(|axis| center[axis] + 0.1 * sample[axis]);
    }
    samples
}

fn small() -> GanConfig {
    let mlp = |activation| MlpConfig { hidden: vec![5], activation };
    GanConfig { latents: 3, generator: mlp(Activation::Tanh), discriminator: mlp(Activation::Tanh) }
}

/// Networks with their parameters, ready to be used.
fn build(config: &GanConfig, seed: u64) -> (Gan, Params, Params) {
    let (mut generator, mut discriminator) = (LayoutBuilder::new(), LayoutBuilder::new());
    let gan = config.build(&mut generator, &mut discriminator, 2).unwrap();
    let (generator, mut discriminator) = (generator.build(seed), discriminator.build(seed + 100));
    gan.power_iteration(&mut discriminator, SpectralNorm::FIRST_ITERATIONS).unwrap();
    (gan, generator, discriminator)
}

/// The slope of `f` along `gradient`, by central differences, must be the gradient's length.
fn assert_slope(params: &Params, gradient: &[f32], mut f: impl FnMut(&Params) -> f32) {
    let length = gradient.iter().map(|&d| f64::from(d).powi(2)).sum::<f64>().sqrt();
    assert!(length > 1e-3, "a gradient of {length} shows nothing");
    let mut side = |step: f64| {
        let mut moved = params.clone();
        for (value, &d) in moved.as_mut_slice().iter_mut().zip(gradient) {
            *value = (f64::from(*value) + step * f64::from(d) / length) as f32;
        }
        f64::from(f(&moved))
    };
    let slope = (side(1e-2) - side(-1e-2)) / 2e-2;
    assert!((slope - length).abs() < 2e-3 * length, "slope {slope}, expected {length}");
}

#[test]
fn gradients_of_both_losses_agree_with_finite_differences() {
    let (gan, generator, discriminator) = build(&small(), 1);
    let mut rng = Pcg64::seed_from_u64(0);
    let (real, noise) = (mixture(30, &mut rng), standard_normal(20, 3, &mut rng).unwrap());
    let mut gradient = vec![f32::NAN; discriminator.len()];
    gan.discriminator_loss(&generator, &discriminator, &real, &noise, &mut gradient).unwrap();
    assert_slope(&discriminator, &gradient, |moved| {
        let mut unused = vec![0.0; moved.len()];
        gan.discriminator_loss(&generator, moved, &real, &noise, &mut unused).unwrap()
    });
    let mut gradient = vec![f32::NAN; generator.len()];
    gan.generator_loss(&generator, &discriminator, &noise, &mut gradient).unwrap();
    assert_slope(&generator, &gradient, |moved| {
        let mut unused = vec![0.0; moved.len()];
        gan.generator_loss(moved, &discriminator, &noise, &mut unused).unwrap()
    });
}

#[test]
fn losses_are_those_of_the_logits() {
    let (gan, generator, discriminator) = build(&small(), 2);
    let mut rng = Pcg64::seed_from_u64(0);
    let (real, noise) = (mixture(6, &mut rng), standard_normal(4, 3, &mut rng).unwrap());
    let logits = |samples: &Matrix| {
        let logits = gan.discriminator().forward(&discriminator, samples, &mut Tape::inference()).unwrap();
        logits.as_slice().iter().map(|&x| f64::from(x)).collect::<Vec<_>>()
    };
    let mean = |x: Vec<f64>, sign: f64| {
        x.iter().map(|x| (1.0 + (sign * x).exp()).ln()).sum::<f64>() / x.len() as f64
    };
    let fake = gan.generate(&generator, &noise).unwrap();
    let mut gradient = vec![0.0; discriminator.len()];
    let loss = gan.discriminator_loss(&generator, &discriminator, &real, &noise, &mut gradient).unwrap();
    assert!((f64::from(loss) - mean(logits(&real), -1.0) - mean(logits(&fake), 1.0)).abs() < 1e-6);
    let mut gradient = vec![0.0; generator.len()];
    let loss = gan.generator_loss(&generator, &discriminator, &noise, &mut gradient).unwrap();
    assert!((f64::from(loss) - mean(logits(&fake), -1.0)).abs() < 1e-6);
}

#[test]
fn the_generator_covers_all_modes_of_a_mixture() {
    let mlp = |activation| MlpConfig { hidden: vec![64, 64], activation };
    let config =
        GanConfig { latents: 4, generator: mlp(Activation::Relu), discriminator: mlp(Activation::LeakyRelu) };
    for seed in 0..3 {
        let (gan, mut generator, mut discriminator) = build(&config, seed);
        let adam = AdamConfig { beta1: 0.5, ..AdamConfig::default() };
        let mut of_generator = Adam::new(adam, generator.len()).unwrap();
        let mut of_discriminator = Adam::new(adam, discriminator.len()).unwrap();
        let (mut dgenerator, mut ddiscriminator) =
            (vec![0.0; generator.len()], vec![0.0; discriminator.len()]);
        let mut rng = Pcg64::seed_from_u64(seed);
        for _ in 0..1500 {
            let (real, noise) = (mixture(64, &mut rng), standard_normal(64, 4, &mut rng).unwrap());
            gan.power_iteration(&mut discriminator, 1).unwrap();
            gan.discriminator_loss(&generator, &discriminator, &real, &noise, &mut ddiscriminator).unwrap();
            of_discriminator.step(&mut discriminator, &ddiscriminator, 2e-3).unwrap();
            let noise = standard_normal(64, 4, &mut rng).unwrap();
            gan.generator_loss(&generator, &discriminator, &noise, &mut dgenerator).unwrap();
            of_generator.step(&mut generator, &dgenerator, 1e-3).unwrap();
        }
        let samples = gan.generate(&generator, &standard_normal(1000, 4, &mut rng).unwrap()).unwrap();
        let (mut counts, mut distance) = ([0; 4], 0.0);
        for sample in samples.as_slice().chunks_exact(2) {
            let distances = CENTERS.map(|center| (sample[0] - center[0]).hypot(sample[1] - center[1]));
            let nearest = (0..4).min_by(|&a, &b| distances[a].total_cmp(&distances[b])).unwrap();
            distance += distances[nearest] / 1000.0;
            if distances[nearest] < 0.4 {
                counts[nearest] += 1;
            }
        }
        assert!(counts.iter().all(|&count| count >= 100), "seed {seed}: samples near each mode {counts:?}");
        assert!(distance < 0.35, "seed {seed}: mean distance to the nearest mode {distance}");
    }
}

#[test]
fn networks_that_do_not_fit_are_refused() {
    let (gan, generator, discriminator) = build(&small(), 0);
    let error = Gan::new(gan.generator().clone(), gan.generator().clone(), Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "the discriminator's input must have 2 columns, got 3");
    let mut builder = LayoutBuilder::new();
    let init = Init::Zeros;
    let two = MlpConfig::default().build(&mut builder, "two", 2, 2, init, init).unwrap();
    let error = Gan::new(gan.generator().clone(), two, Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "the discriminator's output must have 1 columns, got 2");

    let (real, noise) = (Matrix::zeros(2, 2).unwrap(), Matrix::zeros(2, 3).unwrap());
    let error = gan.discriminator_loss(&generator, &discriminator, &real, &noise, &mut [0.0]).unwrap_err();
    let expected = format!("gradient buffer must hold {} values, got 1", discriminator.len());
    assert_eq!(error.to_string(), expected);
    let error = gan.generator_loss(&generator, &discriminator, &real, &mut vec![0.0; generator.len()]);
    assert_eq!(error.unwrap_err().to_string(), "input must have 3 columns, got 2");
    let mut builders = [LayoutBuilder::new(), LayoutBuilder::new()];
    let [a, b] = &mut builders;
    let error = GanConfig { latents: 0, ..small() }.build(a, b, 2).unwrap_err();
    assert_eq!(error.to_string(), "latents must be at least 1, got 0");
    let error = small().build(a, b, 0).unwrap_err();
    assert_eq!(error.to_string(), "inputs must be at least 1, got 0");
}
