//! Statistics of a few independent numbers, such as the final returns of several seeds.
//!
//! With three to ten seeds the normal approximation understates the uncertainty by half, so intervals of a mean are
//! Student's, and those of every other statistic are bootstrapped.

mod aggregate;
mod bootstrap;
mod rank;

pub use aggregate::{
    aggregate_iqm, aggregate_mean, aggregate_median, interquartile_mean, median, optimality_gap,
    performance_profile, probability_of_improvement,
};
pub use bootstrap::{Estimate, Resamples, Resampling, stratified_bootstrap};
pub use rank::rank_correlation;
pub(crate) use rank::ranks;

use statrs::distribution::{ContinuousCDF, StudentsT};

/// The arithmetic mean; NaN without values.
///
/// `mean(x) = Σ x_i / n`
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The mean of the values that are numbers; NaN without any.
pub fn mean_of_known(values: &[f64]) -> f64 {
    let known: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    mean(&known)
}

/// The sample standard deviation, with n - 1 degrees of freedom; NaN with fewer than two values.
///
/// `s(x) = sqrt(Σ (x_i - mean)² / (n - 1))`
pub fn sample_std(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return f64::NAN;
    }
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

/// Half the width of Student's 95 % confidence interval of the mean; NaN with fewer than two values.
///
/// `t_{0.975, n - 1} s(x) / sqrt(n)`: the interval is `mean ± half width`.
pub fn ci95_half_width(values: &[f64]) -> f64 {
    t_critical_95(values.len()) * sample_std(values) / (values.len() as f64).sqrt()
}

/// The factor of the 95 % interval: the 0.975 quantile of Student's t with `n - 1` degrees of freedom; NaN if `n < 2`.
pub fn t_critical_95(n: usize) -> f64 {
    if n < 2 {
        return f64::NAN;
    }
    StudentsT::new(0.0, 1.0, (n - 1) as f64).map_or(f64::NAN, |t| t.inverse_cdf(0.975))
}

/// The value below which a share `q` of sorted values lies, on the straight line between the two next to it; NaN without
/// values.
///
/// Element `q (n - 1)`, as `numpy.quantile` gives by default.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    if sorted.is_empty() {
        return f64::NAN;
    }
    let place = q * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    // Of equals nothing is lost to rounding.
    if below == above { below } else { below + place.fract() * (above - below) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_deviation_of_five_numbers() {
        // Deviations -4, -2, 0, 2, 4: squares sum to 40, 40 / 4 = 10.
        let values = [1.0, 3.0, 5.0, 7.0, 9.0];
        assert_eq!(mean(&values), 5.0);
        assert!((sample_std(&values) - 10.0_f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (n, quantile) in [(2, 12.706205), (3, 4.302653), (5, 2.776445), (10, 2.262157), (31, 2.042272)] {
            assert!((t_critical_95(n) - quantile).abs() < 1e-6, "n = {n}: {}", t_critical_95(n));
        }
    }

    #[test]
    fn quantiles_lie_between_values() {
        let sorted = [1.0, 2.0, 4.0, 8.0, 16.0];
        for (q, value) in [(0.0, 1.0), (0.25, 2.0), (0.375, 3.0), (0.5, 4.0), (0.9, 12.8), (1.0, 16.0)] {
            assert!((quantile(&sorted, q) - value).abs() < 1e-12, "{q}");
        }
        assert!(quantile(&[], 0.5).is_nan());
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
    }

    #[test]
    fn interval_of_five_numbers() {
        // 2.776445 * sqrt(10) / sqrt(5) = 2.776445 * sqrt(2)
        let half_width = ci95_half_width(&[1.0, 3.0, 5.0, 7.0, 9.0]);
        assert!((half_width - 2.776445 * 2.0_f64.sqrt()).abs() < 1e-5);
        assert_eq!(ci95_half_width(&[4.0, 4.0, 4.0]), 0.0);
    }

    #[test]
    fn too_few_values_give_nan() {
        assert!(mean(&[]).is_nan());
        assert!(
            sample_std(&[1.0]).is_nan() && ci95_half_width(&[1.0]).is_nan() && ci95_half_width(&[]).is_nan()
        );
        assert_eq!(mean(&[2.5]), 2.5);
    }
}
