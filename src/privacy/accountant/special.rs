//! Logarithms of tails.

use statrs::function::erf::erfc;

/// `ln erfc(x)`, for large x by its asymptotic series.
///
/// # Source
/// Abramowitz and Stegun 1964, 7.1.23.
pub(super) fn ln_erfc(x: f64) -> f64 {
    if x < 8.0 {
        return erfc(x).ln();
    }
    let square = 1.0 / (2.0 * x * x);
    // The terms fall until far beyond what is summed here.
    let series =
        1.0 + square * (-1.0 + square * (3.0 + square * (-15.0 + square * (105.0 - 945.0 * square))));
    -x * x - (x * std::f64::consts::PI.sqrt()).ln() + series.ln()
}

/// `ln(exp(a) + exp(b))`.
pub(super) fn ln_add(a: f64, b: f64) -> f64 {
    let (low, high) = (a.min(b), a.max(b));
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// `ln(exp(a) - exp(b))` for a of at least b.
pub(super) fn ln_sub(a: f64, b: f64) -> f64 {
    if b == f64::NEG_INFINITY {
        a
    } else if a <= b {
        f64::NEG_INFINITY
    } else if a - b > 700.0 {
        // The difference is the larger one, to the last bit.
        a
    } else {
        b + (a - b).exp_m1().ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_of_tails_go_on_where_the_tails_vanish() {
        // SciPy 1.17: log(2) + log_ndtr(-x sqrt(2)).
        for (x, expected) in [
            (-1.0, 0.611_232_317_678_070_5),
            (1.0, -1.849_605_509_933_248),
            (7.9, -65.057_084_784_802_5),
            (8.1, -68.281_709_783_309_2),
            (30.0, -903.974_117_110_644_2),
        ] {
            assert!((ln_erfc(x) - expected).abs() < 1e-7, "{x}: {} {expected}", ln_erfc(x));
        }
    }

    #[test]
    fn sums_and_differences_of_exponentials() {
        assert!((ln_add(1000.0, 1000.0) - (1000.0 + 2.0_f64.ln())).abs() < 1e-12);
        assert!((ln_sub(3.0_f64.ln(), 2.0_f64.ln()) - 0.0).abs() < 1e-12);
        assert_eq!(ln_sub(2000.0, 1.0), 2000.0);
        assert_eq!(ln_sub(5.0, f64::NEG_INFINITY), 5.0);
        assert_eq!(ln_sub(5.0, 5.0), f64::NEG_INFINITY);
    }
}
