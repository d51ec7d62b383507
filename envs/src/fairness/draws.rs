//! Draws of distributions.

use rand_distr::{Distribution, StandardNormal};

use crate::Pcg64;

/// A number of a normal distribution.
pub(super) fn normal(rng: &mut Pcg64, mean: f64, std: f64) -> f64 {
    let standard: f64 = StandardNormal.sample(rng);
    mean + std * standard
}

/// A count of a Poisson distribution, by multiplying uniform numbers (Knuth, volume 2, 3.4.1). Needs about `rate` draws.
pub(super) fn poisson(rng: &mut Pcg64, rate: f64) -> u32 {
    let limit = (-rate).exp();
    let (mut count, mut product) = (0, rng.random());
    while product > limit {
        count += 1;
        product *= rng.random();
    }
    count
}

/// How many of `trials` succeed.
pub(super) fn binomial(rng: &mut Pcg64, trials: u32, chance: f64) -> u32 {
    (0..trials).filter(|_| rng.random() < chance).count() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and variance of many draws.
    fn moments(mut draw: impl FnMut(&mut Pcg64) -> f64) -> (f64, f64) {
        const DRAWS: usize = 40_000;
        let mut rng = Pcg64::seed_from(1);
        let draws: Vec<f64> = (0..DRAWS).map(|_| draw(&mut rng)).collect();
        let mean = draws.iter().sum::<f64>() / DRAWS as f64;
        (mean, draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / DRAWS as f64)
    }

    #[test]
    fn draws_have_the_moments_of_their_distributions() {
        // Standard errors of the means are below 0.012.
        let (mean, variance) = moments(|rng| normal(rng, 0.8, 0.3));
        assert!((mean - 0.8).abs() < 0.01 && (variance - 0.09).abs() < 0.005, "{mean} {variance}");
        let (mean, variance) = moments(|rng| f64::from(poisson(rng, 4.0)));
        assert!((mean - 4.0).abs() < 0.05 && (variance - 4.0).abs() < 0.15, "{mean} {variance}");
        let (mean, variance) = moments(|rng| f64::from(binomial(rng, 10, 0.3)));
        assert!((mean - 3.0).abs() < 0.05 && (variance - 2.1).abs() < 0.1, "{mean} {variance}");
        assert_eq!(poisson(&mut Pcg64::seed_from(1), 0.0), 0);
    }
}
