//! Evolution of a vector of weights: covariance matrix adaptation with a diagonal matrix.
//!
//! # Source
//! Ros and Hansen 2008, "A Simple Modification in CMA-ES Achieving Linear Time and Space Complexity"; parameters: Hansen 2016,
//! arXiv:1604.00772, with the diagonal's learning rate of the former. With bounds of the step size.

use agon_envs::Pcg64;
use agon_nn::{Init, Layout, LayoutBuilder, Params};
use rand_distr::{Distribution as _, StandardNormal};

/// Sizes that do not change.
#[derive(Clone, Debug)]
pub(super) struct Evolution {
    /// Weights that evolve, `N`.
    len: usize,
    population: usize,
    /// Of the step size.
    bounds: [f64; 2],
    /// Of the better half, the best first; they sum to one.
    weights: Vec<f64>,
    /// `1 / Σ w²`.
    effective: f64,
}

/// A generation.
#[derive(Clone, Debug, Default)]
pub(super) struct Generation {
    /// `[P, N]`: draws of the standard normal distribution, before they are scaled.
    noise: Vec<f32>,
    /// `[P, N]`: weights.
    pub(super) candidates: Vec<f32>,
}

/// What is remembered from generation to generation, by name.
const STEP_SIZE: &str = "step_size";
const GENERATIONS: &str = "generations";
const STDS: &str = "stds";
const STEP_PATH: &str = "step_path";
const SCALE_PATH: &str = "scale_path";

impl Evolution {
    pub(super) fn new(len: usize, population: usize, bounds: [f64; 2]) -> Self {
        let parents = population / 2;
        let raw = (1..=parents).map(|rank| (parents as f64 + 0.5).ln() - (rank as f64).ln());
        let raw: Vec<f64> = raw.collect();
        let sum: f64 = raw.iter().sum();
        let weights: Vec<f64> = raw.iter().map(|weight| weight / sum).collect();
        let effective = 1.0 / weights.iter().map(|weight| weight * weight).sum::<f64>();
        Self { len, population, bounds, weights, effective }
    }

    /// What is remembered of it, before the first generation.
    pub(super) fn begin(&self, initial_std: f64) -> Params {
        let mut builder = LayoutBuilder::new();
        builder.add(STEP_SIZE, &[1], Init::Constant(initial_std as f32));
        builder.add(GENERATIONS, &[1], Init::Zeros);
        builder.add(STDS, &[self.len], Init::Constant(1.0));
        builder.add(STEP_PATH, &[self.len], Init::Zeros);
        builder.add(SCALE_PATH, &[self.len], Init::Zeros);
        builder.build(0)
    }

    /// The step size that comes next.
    pub(super) fn step_size(state: &Params) -> f32 {
        state.get(STEP_SIZE).map_or(f32::NAN, |values| values[0])
    }

    /// Draws a generation around the mean, `[N]`.
    pub(super) fn draw(&self, state: &Params, mean: &[f32], rng: &mut Pcg64, out: &mut Generation) {
        let (step, stds) = (Self::step_size(state), values(state, STDS));
        out.noise.clear();
        out.noise.extend((0..self.population * self.len).map(|_| -> f32 { StandardNormal.sample(rng) }));
        out.candidates.clear();
        let places = mean.iter().zip(stds).cycle();
        out.candidates.extend(out.noise.iter().zip(places).map(|(z, (mean, std))| mean + step * std * z));
    }

    /// Moves the mean, and how the next generation is drawn, towards the candidates of the greatest fitness, `[P]`.
    pub(super) fn select(
        &self,
        state: &mut Params,
        mean: &mut [f32],
        generation: &Generation,
        fitness: &[f64],
    ) {
        let n = self.len as f64;
        let mut ranking: Vec<usize> = (0..self.population).collect();
        ranking.sort_by(|&a, &b| fitness[b].total_cmp(&fitness[a]));
        let best: Vec<(f64, &[f32])> = self
            .weights
            .iter()
            .zip(&ranking)
            .map(|(&weight, &index)| (weight, &generation.noise[index * self.len..(index + 1) * self.len]))
            .collect();
        let effective = self.effective;
        let step_rate = (effective + 2.0) / (n + effective + 3.0);
        let damping = 1.0 + 2.0 * (((effective - 1.0) / (n + 1.0)).sqrt() - 1.0).max(0.0) + step_rate;
        let path_rate = 4.0 / (n + 4.0);
        let full_rate = 2.0 / (n + std::f64::consts::SQRT_2).powi(2) / effective
            + (1.0 - 1.0 / effective) * ((2.0 * effective - 1.0) / ((n + 2.0).powi(2) + effective)).min(1.0);
        let scale_rate = ((n + 2.0) / 3.0 * full_rate).min(1.0);
        let usual = n.sqrt() * (1.0 - 1.0 / (4.0 * n) + 1.0 / (21.0 * n * n));

        let step = f64::from(Self::step_size(state));
        let generations = f64::from(values(state, GENERATIONS)[0]) + 1.0;
        let layout = state.layout().clone();
        let all = state.as_mut_slice();
        let mut squares = 0.0;
        let [steps_at, stds_at, scales_at] = [STEP_PATH, STDS, SCALE_PATH].map(|name| first(&layout, name));
        for place in 0..self.len {
            let moved: f64 = best.iter().map(|(weight, noise)| weight * f64::from(noise[place])).sum();
            let std = f64::from(all[stds_at + place]);
            let path = f64::from(all[steps_at + place]) * (1.0 - step_rate)
                + (step_rate * (2.0 - step_rate) * effective).sqrt() * moved;
            all[steps_at + place] = path as f32;
            squares += path * path;
            mean[place] = (f64::from(mean[place]) + step * std * moved) as f32;
        }
        let length = squares.sqrt();
        let warm = (1.0 - (1.0 - step_rate).powf(2.0 * generations)).sqrt();
        let far = length / warm >= (1.4 + 2.0 / (n + 1.0)) * usual;
        for place in 0..self.len {
            let moved: f64 = best.iter().map(|(weight, noise)| weight * f64::from(noise[place])).sum();
            let spread: f64 =
                best.iter().map(|(weight, noise)| weight * f64::from(noise[place]).powi(2)).sum();
            let variance = f64::from(all[stds_at + place]).powi(2);
            let pull = if far { 0.0 } else { (path_rate * (2.0 - path_rate) * effective).sqrt() };
            let path = f64::from(all[scales_at + place]) * (1.0 - path_rate) + pull * variance.sqrt() * moved;
            all[scales_at + place] = path as f32;
            let next = variance * (1.0 - scale_rate)
                + scale_rate / effective * path * path
                + scale_rate * (1.0 - 1.0 / effective) * variance * spread;
            all[stds_at + place] = next.sqrt().max(f64::from(f32::MIN_POSITIVE)) as f32;
        }
        let next = step * (step_rate / damping * (length / usual - 1.0)).min(1.0).exp();
        all[first(&layout, STEP_SIZE)] = next.clamp(self.bounds[0], self.bounds[1]) as f32;
        all[first(&layout, GENERATIONS)] = generations as f32;
    }
}

/// Where a tensor begins.
fn first(layout: &Layout, name: &str) -> usize {
    layout.find(name).map_or(0, |spec| spec.range.range().start)
}

fn values<'a>(state: &'a Params, name: &str) -> &'a [f32] {
    let range = state.layout().find(name).map_or(0..0, |spec| spec.range.range());
    &state.as_slice()[range]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean after some generations, and the step size.
    fn evolved(generations: usize, fitness: impl Fn(&[f32]) -> f64) -> (Vec<f32>, f32) {
        let evolution = Evolution::new(6, 12, [1e-4, 1e3]);
        let (mut state, mut mean) = (evolution.begin(0.3), vec![1.0; 6]);
        let (mut rng, mut generation) = (Pcg64::seed_from(3), Generation::default());
        for _ in 0..generations {
            evolution.draw(&state, &mean, &mut rng, &mut generation);
            let all: Vec<f64> = generation.candidates.chunks_exact(6).map(&fitness).collect();
            evolution.select(&mut state, &mut mean, &generation, &all);
        }
        (mean, Evolution::step_size(&state))
    }

    #[test]
    fn a_bowl_of_unequal_sides_is_descended() {
        let ellipsoid = |x: &[f32]| {
            let axes = x.iter().enumerate();
            -axes.map(|(axis, x)| 1000_f64.powf(axis as f64 / 5.0) * f64::from(*x).powi(2)).sum::<f64>()
        };
        let (mean, step) = evolved(300, ellipsoid);
        assert!(ellipsoid(&mean) > -1e-5, "{mean:?}");
        assert!(step < 0.01, "{step}");
    }

    #[test]
    fn a_slope_makes_steps_grow_and_nothing_makes_them_stay() {
        let (mean, step) = evolved(50, |x| f64::from(x[0]));
        assert!(mean[0] > 10.0 && step > 0.6, "{mean:?} {step}");
        // Of equal fitness the first are taken, whatever they are.
        let (mean, step) = evolved(50, |_| 0.0);
        assert!(mean.iter().all(|x| x.abs() < 10.0) && (0.01..3.0).contains(&step), "{mean:?} {step}");
    }

    #[test]
    fn steps_have_a_least_size_and_lost_fitness_is_no_panic() {
        let (mean, step) = evolved(400, |x| -x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>());
        assert!(step >= 1e-4 && mean.iter().all(|x| x.abs() < 0.01), "{mean:?} {step}");
        assert!(evolved(3, |_| f64::NAN).0.iter().all(|x| x.is_finite()));
    }
}
