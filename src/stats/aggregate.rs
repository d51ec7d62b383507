//! One number for the scores of an algorithm over several environments and seeds, and comparisons of two algorithms.
//!
//! `scores[m]` are the final scores of environment `m`, one a run. Environments may have different numbers of runs; each
//! run counts the same, except in the mean and the median, where each environment does.
//!
//! # Source
//! Agarwal et al. 2021, *Deep Reinforcement Learning at the Edge of the Statistical Precipice*, and its library `rliable`
//! 1.2 (`metrics.py`, `library.py`), whose numbers these functions give.

use super::mean;

/// The mean of the middle half of the values; NaN without values.
///
/// `floor(n / 4)` values are left out on each side, as `scipy.stats.trim_mean(x, 0.25)` does: less than a quarter where
/// `n` is no multiple of 4.
///
/// # Shapes
/// `values`: `[n]`, in any order.
pub fn interquartile_mean(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let cut = sorted.len() / 4;
    mean(&sorted[cut..sorted.len() - cut])
}

/// The interquartile mean of all runs of all environments.
pub fn aggregate_iqm(scores: &[Vec<f64>]) -> f64 {
    interquartile_mean(&scores.concat())
}

/// The mean over environments of each environment's mean score.
pub fn aggregate_mean(scores: &[Vec<f64>]) -> f64 {
    mean(&environment_means(scores))
}

/// The median over environments of each environment's mean score.
pub fn aggregate_median(scores: &[Vec<f64>]) -> f64 {
    median(&environment_means(scores))
}

/// How far runs are below the target on average; what lies above it does not make up for it.
///
/// `gap = mean(max(0, target - x))`, over all runs of all environments. Meant for scores that are normalised such that
/// the target is 1.
pub fn optimality_gap(scores: &[Vec<f64>], target: f64) -> f64 {
    let gaps: Vec<f64> = scores.iter().flatten().map(|score| (target - score).max(0.0)).collect();
    mean(&gaps)
}

/// The probability that a run of X is better than one of Y in an environment chosen at random.
///
/// `P(X > Y) = 1/M Σ_m 1/(n_m k_m) Σ_i Σ_j S(x_mi, y_mj)` with `S = 1` where x is larger, 1/2 where they are equal and 0
/// else: the Mann-Whitney U statistic, divided by its maximum.
///
/// # Shapes
/// `x`, `y`: the scores of the same `M` environments in the same order.
pub fn probability_of_improvement(x: &[Vec<f64>], y: &[Vec<f64>]) -> f64 {
    let wins = |(x, y): (&Vec<f64>, &Vec<f64>)| {
        let of_one = |&a: &f64| {
            let points = y.iter().map(|&b| f64::from(u8::from(a > b)) + 0.5 * f64::from(u8::from(a == b)));
            points.sum::<f64>()
        };
        x.iter().map(of_one).sum::<f64>() / (x.len() * y.len()) as f64
    };
    let of_environments: Vec<f64> = x.iter().zip(y).map(wins).collect();
    mean(&of_environments)
}

/// The share of runs with a score above each of the given ones: a performance profile.
///
/// `F(tau) = mean(x > tau)`, over all runs of all environments.
pub fn performance_profile(scores: &[Vec<f64>], taus: &[f64]) -> Vec<f64> {
    let runs = scores.iter().map(Vec::len).sum::<usize>() as f64;
    let above = |tau: &f64| scores.iter().flatten().filter(|score| *score > tau).count() as f64 / runs;
    taus.iter().map(above).collect()
}

/// The middle of the values, or the mean of the two in the middle; NaN without values.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    super::quantile(&sorted, 0.5)
}

fn environment_means(scores: &[Vec<f64>]) -> Vec<f64> {
    scores.iter().map(|runs| mean(runs)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interquartile_mean_trims_like_scipy() {
        // n = 8: 2 on each side are left out; (3 + 4 + 5 + 6) / 4.
        assert_eq!(interquartile_mean(&[8.0, 1.0, 7.0, 2.0, 6.0, 3.0, 5.0, 4.0]), 4.5);
        // n = 5: int(1.25) = 1 on each side; (2 + 3 + 4) / 3.
        assert_eq!(interquartile_mean(&[1.0, 2.0, 3.0, 4.0, 100.0]), 3.0);
        // n = 7: int(1.75) = 1 on each side; (1 + 2 + 3 + 4 + 10) / 5.
        assert_eq!(interquartile_mean(&[-50.0, 1.0, 2.0, 3.0, 4.0, 10.0, 90.0]), 4.0);
        // n = 3: none.
        assert_eq!(interquartile_mean(&[1.0, 2.0, 6.0]), 3.0);
        assert!(interquartile_mean(&[]).is_nan());
    }

    #[test]
    fn environments_count_the_same_in_mean_and_median() {
        let scores = [vec![0.0, 2.0], vec![4.0], vec![10.0, 10.0, 10.0, 14.0]];
        // Means 1, 4 and 11.
        assert_eq!(aggregate_mean(&scores), 16.0 / 3.0);
        assert_eq!(aggregate_median(&scores), 4.0);
        assert_eq!(aggregate_median(&scores[..2]), 2.5);
        // Sorted 0 2 4 10 10 10 14, one left out on each side.
        assert_eq!(aggregate_iqm(&scores), 36.0 / 5.0);
    }

    #[test]
    fn the_gap_ignores_what_is_above_the_target() {
        // Below 1: by 0.5, 0.25, 0 and 0.
        assert_eq!(optimality_gap(&[vec![0.5, 3.0], vec![0.75, 1.0]], 1.0), 0.1875);
    }

    #[test]
    fn ties_are_half_an_improvement() {
        // Pairs of environment 1: (1,1) tie, (1,2) no, (3,1) yes, (3,2) yes: 2.5 of 4. Environment 2: all tie.
        let (x, y) = ([vec![1.0, 3.0], vec![5.0; 3]], [vec![1.0, 2.0], vec![5.0]]);
        assert_eq!(probability_of_improvement(&x, &y), f64::midpoint(0.625, 0.5));
        assert_eq!(probability_of_improvement(&y, &x), 1.0 - f64::midpoint(0.625, 0.5));
    }

    #[test]
    fn profiles_fall_from_one_to_zero() {
        let scores = [vec![1.0, 2.0], vec![2.0, 4.0]];
        assert_eq!(performance_profile(&scores, &[0.0, 1.0, 2.0, 3.0, 4.0]), [1.0, 0.75, 0.25, 0.25, 0.0]);
    }
}
