//! Bits of steps and sequences, gradients, divergences by hand.

use super::graph::draw;
use super::*;
use crate::losses::mixed_categorical::MixedProbs;
use crate::matrix::Matrix;
use crate::params::Params;
use crate::tape::Tape;

const STEPS: usize = 4;
const ROWS: usize = 3;

fn model(classes: usize) -> (Rssm, Params) {
    let mut builder = LayoutBuilder::new();
    let config = RssmConfig { deterministic: 6, latents: 2, classes, hidden: 5, uniform: 0.01 };
    let rssm = Rssm::new(&mut builder, "rssm", (4, 2), &config).unwrap();
    (rssm, builder.build(3))
}

/// Numbers between −1 and 1 that look random.
fn numbers(count: usize, phase: f32) -> Vec<f32> {
    (0..count).map(|index| (index as f32 * 1.7 + phase).sin()).collect()
}

/// What the sequences of a test are made of: embedded observations, actions, resets, noise, first states.
struct Data {
    embedded: Matrix,
    actions: Vec<f32>,
    resets: Vec<bool>,
    noise: Vec<f32>,
    deterministic: Matrix,
    latents: Matrix,
}

impl Data {
    fn of(rssm: &Rssm) -> Self {
        let count = STEPS * ROWS;
        let mut resets = vec![false; count];
        // The second row's third step begins an episode.
        resets[2 * ROWS + 1] = true;
        let deterministic = numbers(ROWS * rssm.deterministic(), 0.5);
        let latents = numbers(ROWS * rssm.latent_values(), 0.9);
        Self {
            embedded: Matrix::from_slice(count, 4, &numbers(count * 4, 0.0)).unwrap(),
            actions: numbers(count * 2, 0.3),
            resets,
            noise: numbers(count * rssm.latents(), 0.7).iter().map(|x| x.abs().min(0.999)).collect(),
            deterministic: Matrix::from_slice(ROWS, rssm.deterministic(), &deterministic).unwrap(),
            latents: Matrix::from_slice(ROWS, rssm.latent_values(), &latents).unwrap(),
        }
    }

    fn sequence(&self) -> Sequence<'_> {
        Sequence {
            actions: &self.actions,
            resets: &self.resets,
            noise: &self.noise,
            deterministic: &self.deterministic,
            latents: &self.latents,
        }
    }
}

#[test]
fn steps_have_the_bits_of_sequences() {
    let (rssm, params) = model(3);
    let data = Data::of(&rssm);
    let observed = rssm.observe(&params, &data.embedded, &data.sequence(), &mut Tape::inference()).unwrap();
    let (packed, mut scratch) = (PackedRssm::new(&rssm, &params).unwrap(), RssmScratch::default());
    let mut deterministic = data.deterministic.as_slice().to_vec();
    let mut latents = data.latents.as_slice().to_vec();
    for step in 0..STEPS {
        let rows = |width: usize| step * ROWS * width..(step + 1) * ROWS * width;
        let before = (&latents[..], &data.actions[rows(2)]);
        rssm.advance(&packed, before, &data.resets[rows(1)], &mut deterministic, &mut scratch).unwrap();
        let seen = (&deterministic[..], &data.embedded.as_slice()[rows(4)]);
        let noise = Latents::Drawn(&data.noise[rows(2)]);
        rssm.posterior(&packed, seen, noise, &mut scratch, &mut latents).unwrap();
        let features: Vec<f32> = deterministic
            .chunks_exact(6)
            .zip(latents.chunks_exact(6))
            .flat_map(|(hidden, latents)| [hidden, latents].concat())
            .collect();
        assert_eq!(features, &observed.features.as_slice()[rows(12)], "step {step}");
    }
    assert_eq!(rssm.classes_of(&latents).count(), ROWS * 2);
}

#[test]
fn nothing_passes_the_beginning_of_an_episode() {
    let (rssm, params) = model(3);
    let mut data = Data::of(&rssm);
    let features = |data: &Data| {
        let tape = &mut Tape::inference();
        let observed = rssm.observe(&params, &data.embedded, &data.sequence(), tape).unwrap();
        observed.features.as_slice().to_vec()
    };
    let before = features(&data);
    // Something else is seen in the first step of all rows.
    data.embedded.as_mut_slice()[..ROWS * 4].fill(9.0);
    let after = features(&data);
    assert_ne!(before, after, "something else was seen");
    for step in 2..STEPS {
        let range = (step * ROWS + 1) * 12..(step * ROWS + 2) * 12;
        assert_eq!(before[range.clone()], after[range], "step {step} of the row that began again");
    }
}

/// With one class there is nothing to draw, and what is left is smooth.
#[test]
fn gradients_of_the_deterministic_path_are_those_of_differences() {
    let (rssm, mut params) = model(1);
    let data = Data::of(&rssm);
    let weights = numbers(STEPS * ROWS * rssm.features(), 0.2);
    let value = |params: &Params| -> f64 {
        let observed =
            rssm.observe(params, &data.embedded, &data.sequence(), &mut Tape::inference()).unwrap();
        let pairs = observed.features.as_slice().iter().zip(&weights);
        pairs.map(|(&x, &weight)| f64::from(x) * f64::from(weight)).sum()
    };
    let mut tape = Tape::new();
    let observed = rssm.observe(&params, &data.embedded, &data.sequence(), &mut tape).unwrap();
    let mut gradient = vec![0.0; params.len()];
    tape.backward(&params, &[(&observed.features, &weights)], &mut gradient).unwrap();
    for name in
        ["rssm.input.0.weight", "rssm.input.1.weight", "rssm.cell.weight_hh_l0", "rssm.cell.bias_ih_l0"]
    {
        let range = params.layout().find(name).unwrap().range.range();
        for index in range.clone().step_by(range.len().div_ceil(5)) {
            let middle = params.as_slice()[index];
            let mut at = |x: f32| {
                params.as_mut_slice()[index] = x;
                value(&params)
            };
            let expected = (at(middle + 1e-2) - at(middle - 1e-2)) / 2e-2;
            at(middle);
            let got = f64::from(gradient[index]);
            assert!((got - expected).abs() <= 5e-3 * expected.abs().max(1.0), "{name}: {got} and {expected}");
        }
    }
}

#[test]
fn draws_pass_their_gradient_to_the_probabilities() {
    let mixed = MixedCategorical::new(3, 0.1).unwrap();
    let (_, params) = model(3);
    let logits = Matrix::from_slice(1, 6, &[0.1, 0.9, -0.4, 2.0, 0.0, 0.3]).unwrap().tracked();
    let mut tape = Tape::new();
    let drawn = draw(&params, mixed, &logits, &[0.05, 0.99], &mut tape).unwrap();
    assert_eq!(drawn.as_slice(), [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    let weights = [0.5, -1.0, 2.0, 0.0, 1.0, -0.3];
    let mut unused = vec![0.0; params.len()];
    let gradients = tape.backward(&params, &[(&drawn, &weights)], &mut unused).unwrap();
    let mut probs = MixedProbs::default();
    mixed.probs(logits.as_slice(), &mut probs).unwrap();
    let mut expected = weights;
    mixed.differentiate(&probs, &mut expected).unwrap();
    assert_eq!(gradients.get(&logits), Some(expected.as_slice()));
}

#[test]
fn the_divergence_is_zero_where_nothing_was_learned_by_looking() {
    let (rssm, _) = model(3);
    let logits = numbers(6, 0.1);
    let divergence = Divergence { dynamics: 0.5, representation: 0.1, free: 0.0 };
    let (mut gradient, mut out) = (DivergenceGradient::default(), [f32::NAN]);
    rssm.divergence(&divergence, (&logits, &logits), &[1.0], &mut gradient, &mut out).unwrap();
    assert!(out[0].abs() < 1e-6);
    let all = gradient.posterior.iter().chain(&gradient.prior);
    assert!(all.clone().all(|slope| slope.abs() < 1e-6), "{:?}", all.collect::<Vec<_>>());
}

#[test]
fn each_side_of_the_divergence_has_its_own_gradient() {
    let (rssm, _) = model(3);
    let (posterior, prior) = (numbers(12, 0.1), numbers(12, 0.8));
    let divergence = Divergence { dynamics: 0.5, representation: 0.1, free: 0.0 };
    let weights = [2.0, -1.0];
    let kl = |posterior: &[f32], prior: &[f32], divergence: &Divergence| {
        let (mut gradient, mut out) = (DivergenceGradient::default(), [f32::NAN; 2]);
        rssm.divergence(divergence, (posterior, prior), &weights, &mut gradient, &mut out).unwrap();
        (weights[0] * out[0] + weights[1] * out[1], gradient, out)
    };
    let (_, gradient, out) = kl(&posterior, &prior, &divergence);
    for (index, (of_posterior, of_prior)) in gradient.posterior.iter().zip(&gradient.prior).enumerate() {
        let moved = |values: &[f32], by: f32| {
            let mut values = values.to_vec();
            values[index] += by;
            values
        };
        let difference = |up: f32, down: f32| (up - down) / 2e-2;
        let value = |posterior: &[f32], prior: &[f32]| kl(posterior, prior, &divergence).0;
        let expected = 0.1
            * difference(value(&moved(&posterior, 1e-2), &prior), value(&moved(&posterior, -1e-2), &prior));
        assert!((of_posterior - expected).abs() < 2e-3, "{index}: {of_posterior} and {expected}");
        let expected = 0.5
            * difference(value(&posterior, &moved(&prior, 1e-2)), value(&posterior, &moved(&prior, -1e-2)));
        assert!((of_prior - expected).abs() < 2e-3, "{index}: {of_prior} and {expected}");
    }
    // What is free has no gradient.
    let free = Divergence { free: out[0].max(out[1]) + 0.1, ..divergence };
    let (_, gradient, _) = kl(&posterior, &prior, &free);
    assert!(gradient.posterior.iter().chain(&gradient.prior).all(|&slope| slope == 0.0));
}

#[test]
fn sizes_that_do_not_fit_are_errors() {
    let (rssm, params) = model(3);
    let data = Data::of(&rssm);
    let short = Sequence { noise: &data.noise[1..], ..data.sequence() };
    let error = rssm.observe(&params, &data.embedded, &short, &mut Tape::new()).unwrap_err().to_string();
    assert_eq!(error, "noise must hold 24 values, got 23");
    let config = RssmConfig { deterministic: 6, latents: 0, classes: 3, hidden: 5, uniform: 0.01 };
    let error = Rssm::new(&mut LayoutBuilder::new(), "rssm", (4, 2), &config).unwrap_err().to_string();
    assert!(error.contains("latents"), "{error}");
}
