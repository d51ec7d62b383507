//! How the inputs of a map become bytes: by the values that they have on states that the policy visits.

use agon_policy::Quantization;
use serde::{Deserialize, Serialize};

/// By what the range of a map's inputs is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Calibration {
    /// The least and the greatest value.
    MinMax,
    /// What all but one value in ten thousand lie within.
    Percentile,
    /// The share of the range of all values, from 0.3 on, whose bytes have the least squared error.
    #[default]
    Mse,
}

/// Values left out on each side by [`Calibration::Percentile`].
const TAIL: f64 = 0.5e-4;
/// Shares of the range that [`Calibration::Mse`] tries.
const SHARES: u32 = 36;
/// Values that it looks at, at most.
const SAMPLE: usize = 1 << 15;

/// The bytes of values; zero is one of them.
pub(super) fn quantization(values: &[f32], calibration: Calibration) -> Quantization {
    let (low, high) = values.iter().fold((0.0_f32, 0.0_f32), |(low, high), &x| (low.min(x), high.max(x)));
    match calibration {
        Calibration::MinMax => of_range(low, high),
        Calibration::Percentile => {
            let mut sorted = values.to_vec();
            sorted.sort_by(f32::total_cmp);
            let last = sorted.len().saturating_sub(1);
            let at = |share: f64| sorted.get((share * last as f64).round() as usize).copied().unwrap_or(0.0);
            of_range(at(TAIL).min(0.0), at(1.0 - TAIL).max(0.0))
        }
        Calibration::Mse => {
            // Odd, so that it does not fall on the same column of every row.
            let step = (values.len() / SAMPLE).max(1) | 1;
            let error = |quantization: &Quantization| -> f64 {
                let errors = values.iter().step_by(step).map(|&x| {
                    let steps = i32::from(quantization.byte(x)) - i32::from(quantization.zero_point);
                    f64::from(x - steps as f32 * quantization.scale).powi(2)
                });
                errors.sum()
            };
            let shares = (0..SHARES).map(|share| 1.0 - share as f32 * 0.02);
            let tried = shares.map(|share| of_range(share * low, share * high));
            let best = tried.map(|tried| (error(&tried), tried)).min_by(|a, b| a.0.total_cmp(&b.0));
            best.map_or_else(|| of_range(low, high), |(_, quantization)| quantization)
        }
    }
}

/// Bytes from the lower to the upper bound, one of which is zero at least.
fn of_range(low: f32, high: f32) -> Quantization {
    let scale = (high - low) / 255.0;
    if !(scale.is_finite() && scale > f32::MIN_POSITIVE) {
        return Quantization { scale: 1.0, zero_point: 0 };
    }
    Quantization { scale, zero_point: (-low / scale).round().clamp(0.0, 255.0) as u8 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_begin_and_end_with_the_values() {
        let values = [-1.0, 0.5, 4.0];
        let found = quantization(&values, Calibration::MinMax);
        assert_eq!((found.byte(-1.0), found.byte(0.0), found.byte(4.0)), (0, 51, 255));
        let positive = quantization(&[1.0, 2.0], Calibration::MinMax);
        assert_eq!((positive.zero_point, positive.byte(2.0)), (0, 255));
        assert_eq!(quantization(&[0.0], Calibration::Mse).byte(0.0), 0);
    }

    #[test]
    fn one_outlier_does_not_take_the_range_of_all_others() {
        let mut values: Vec<f32> = (0..100_000).map(|i| (i % 1000) as f32 * 1e-3).collect();
        values.push(3.0);
        assert!(quantization(&values, Calibration::MinMax).scale > 0.011);
        assert!(quantization(&values, Calibration::Percentile).scale < 0.005);
        assert!(quantization(&values, Calibration::Mse).scale < 0.006);
    }
}
