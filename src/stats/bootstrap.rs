//! Confidence intervals by resampling.

use agon_envs::Pcg64;

use super::quantile;

/// How a bootstrap is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resampling {
    /// Number of resamples; at least 1.
    pub resamples: usize,
    /// Seed of the draws: the same seed gives the same intervals.
    pub seed: u64,
}

impl Default for Resampling {
    /// As many resamples as `rliable` takes by default.
    fn default() -> Self {
        Self { resamples: 50_000, seed: 0 }
    }
}

/// A statistic with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Estimate {
    /// The statistic of the values themselves.
    pub value: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end of the interval.
    pub high: f64,
}

/// Statistics of strata with their 95 % intervals, by the stratified percentile bootstrap.
///
/// A resample draws from each stratum as many values as it has, with replacement. The interval lies between the 2.5 and
/// the 97.5 percentile of a statistic over all resamples.
///
/// # Shapes
/// `strata[m]` are the values of one stratum, such as the runs of one environment; `statistics` gives as many numbers for
/// any values of the same shape.
///
/// # Source
/// Agarwal et al. 2021, section 4.1; `rliable` 1.2, `get_interval_estimates` with `method = "percentile"`.
pub fn stratified_bootstrap(
    strata: &[Vec<f64>],
    resampling: Resampling,
    statistics: impl Fn(&[Vec<f64>]) -> Vec<f64>,
) -> Vec<Estimate> {
    let values = statistics(strata);
    let mut rng = Pcg64::seed_from(resampling.seed);
    let mut resample = strata.to_vec();
    let mut drawn: Vec<Vec<f64>> = vec![Vec::with_capacity(resampling.resamples); values.len()];
    for _ in 0..resampling.resamples {
        for (stratum, from) in resample.iter_mut().zip(strata) {
            stratum.fill_with(|| from[rng.bounded(from.len() as u64 - 1) as usize]);
        }
        for (all, value) in drawn.iter_mut().zip(statistics(&resample)) {
            all.push(value);
        }
    }
    let interval = |(value, mut drawn): (f64, Vec<f64>)| {
        drawn.sort_by(f64::total_cmp);
        Estimate { value, low: quantile(&drawn, 0.025), high: quantile(&drawn, 0.975) }
    };
    values.into_iter().zip(drawn).map(interval).collect()
}

/// Resamples of some runs, drawn once: the means along a curve get intervals of the same draws, so that a band is smooth
/// where its curve is.
#[derive(Clone, Debug)]
pub struct Resamples {
    runs: usize,
    /// `[resamples, runs]`: which run is drawn.
    drawn: Vec<usize>,
}

impl Resamples {
    /// Draws resamples of `runs` runs, with replacement; at least one run and one resample.
    pub fn new(runs: usize, resampling: Resampling) -> Self {
        let runs = runs.max(1);
        let mut rng = Pcg64::seed_from(resampling.seed);
        let draws = runs * resampling.resamples.max(1);
        let drawn = (0..draws).map(|_| rng.bounded(runs as u64 - 1) as usize).collect();
        Self { runs, drawn }
    }

    /// The mean of one value a run with its 95 % interval, by the percentile bootstrap. It lies within the values: those of
    /// two and of three runs are so few that it is their range.
    ///
    /// # Source
    /// Efron and Tibshirani 1993, *An Introduction to the Bootstrap*, section 13.3.
    pub fn mean(&self, values: &[f64]) -> Estimate {
        let bounds = || {
            (
                values.iter().copied().fold(f64::INFINITY, f64::min),
                values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            )
        };
        let (lowest, highest) = bounds();
        let value = super::mean(values);
        if values.len() != self.runs {
            return Estimate { value, low: f64::NAN, high: f64::NAN };
        }
        let mean_of = |run: &[usize]| run.iter().map(|&i| values[i]).sum::<f64>() / self.runs as f64;
        let mut means: Vec<f64> = self.drawn.chunks_exact(self.runs).map(mean_of).collect();
        means.sort_unstable_by(f64::total_cmp);
        // Rounding must not leave the range of the values.
        let end = |q| quantile(&means, q).clamp(lowest, highest);
        Estimate { value, low: end(0.025), high: end(0.975) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{aggregate_iqm, aggregate_mean, probability_of_improvement};

    fn interval(strata: &[Vec<f64>], statistic: fn(&[Vec<f64>]) -> f64) -> (f64, f64, f64) {
        let resampling = Resampling { resamples: 20_000, seed: 3 };
        let estimate = stratified_bootstrap(strata, resampling, |strata| vec![statistic(strata)])[0];
        (estimate.low, estimate.value, estimate.high)
    }

    #[test]
    fn intervals_of_few_values_are_those_of_all_their_resamples() {
        // Ones among five draws are binomial(5, 1/5): P(0) = 0.328 > 0.025, P(≤ 2) = 0.942 < 0.975 < 0.993 = P(≤ 3).
        assert_eq!(interval(&[vec![0.0, 0.0, 1.0, 0.0, 0.0]], aggregate_mean), (0.0, 0.2, 0.6));
        // Of three draws from three, each of the 27 resamples is as likely: all equal to one value in 1/27 > 0.025.
        assert_eq!(interval(&[vec![3.0, 0.0, 6.0]], aggregate_mean), (0.0, 3.0, 6.0));
        // The middle three of five draws: sums are 0 where at most one is 1 (0.737), 1, 2 and 3 where two, three and
        // more are; P(≤ 2) = 0.942 and P(≤ 3) = 0.993.
        assert_eq!(interval(&[vec![0.0, 0.0, 0.0, 0.0, 1.0]], aggregate_iqm), (0.0, 0.0, 2.0 / 3.0));
    }

    #[test]
    fn means_along_a_curve_have_the_intervals_of_the_bootstrap() {
        let resampling = Resampling { resamples: 2000, seed: 0 };
        let mean = |values: &[f64]| {
            let Estimate { value, low, high } = Resamples::new(values.len(), resampling).mean(values);
            (low, value, high)
        };
        // Two draws from two are one of them twice in half of all resamples, three from three in a ninth.
        assert_eq!(mean(&[1.0, 3.0]), (1.0, 2.0, 3.0));
        assert_eq!(mean(&[3.0, 0.0, 6.0]), (0.0, 3.0, 6.0));
        assert_eq!(mean(&[0.0, 0.0, 1.0, 0.0, 0.0]), (0.0, 0.2, 0.6));
        assert_eq!(mean(&[0.1; 7]), (0.1, super::super::mean(&[0.1; 7]), 0.1));
        let ten: Vec<f64> = (0..10).map(f64::from).collect();
        let (low, value, high) = mean(&ten);
        // The standard error is 0.908: the normal interval would be 2.72 to 6.28.
        assert!((low - 2.7).abs() < 0.15 && value == 4.5 && (high - 6.3).abs() < 0.15, "{low} {high}");
    }

    #[test]
    fn strata_are_not_mixed() {
        // Within each environment all runs are equal: nothing is uncertain.
        assert_eq!(interval(&[vec![0.0; 3], vec![1.0; 4]], aggregate_mean), (0.5, 0.5, 0.5));
        // The first varies, with 1/4, 1/2, 1/4 for its means 0, 1, 2; the second does not.
        assert_eq!(interval(&[vec![0.0, 2.0], vec![5.0; 4]], aggregate_mean), (2.5, 3.0, 3.5));
    }

    #[test]
    fn pairs_are_resampled_on_both_sides() {
        let of_pair = |strata: &[Vec<f64>]| probability_of_improvement(&strata[..1], &strata[1..]);
        let pair = [vec![0.0, 2.0], vec![1.0]];
        // x is drawn as 0 0, 0 2 or 2 2.
        assert_eq!(interval(&pair, of_pair), (0.0, 0.5, 1.0));
    }

    #[test]
    fn the_seed_decides() {
        let strata = [(0..10).map(f64::from).collect::<Vec<_>>()];
        let draw = |seed| {
            let resampling = Resampling { resamples: 100, seed };
            stratified_bootstrap(&strata, resampling, |strata| vec![aggregate_mean(strata)])
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
