//! Statistics of the order of numbers.

use super::mean;

/// Spearman's rank correlation; none where one of both is always the same.
///
/// The correlation of ranks, of which equal numbers share the mean of theirs.
pub fn rank_correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let (a, b) = (ranks(a), ranks(b));
    let (mean_a, mean_b) = (mean(&a), mean(&b));
    let sum = |f: fn(f64, f64) -> f64| a.iter().zip(&b).map(|(a, b)| f(a - mean_a, b - mean_b)).sum::<f64>();
    let correlation = sum(|a, b| a * b) / (sum(|a, _| a * a) * sum(|_, b| b * b)).sqrt();
    correlation.is_finite().then_some(correlation)
}

/// Ranks from 0 on.
pub(crate) fn ranks(numbers: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
    let mut ranks = vec![0.0; numbers.len()];
    let mut first = 0.0;
    for equal in order.chunk_by(|&a, &b| numbers[a] == numbers[b]) {
        let count = equal.len() as f64;
        equal.iter().for_each(|&index| ranks[index] = first + (count - 1.0) / 2.0);
        first += count;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_share_the_mean_of_their_ranks() {
        assert_eq!(ranks(&[5.0, -1.0, 5.0, 0.0, 5.0]), [3.0, 0.0, 3.0, 1.0, 3.0]);
    }

    #[test]
    fn order_alone_counts() {
        assert_eq!(rank_correlation(&[1.0, 2.0, 3.0], &[0.1, 100.0, 101.0]), Some(1.0));
        assert_eq!(rank_correlation(&[1.0, 2.0, 3.0], &[3.0, 2.0, -9.0]), Some(-1.0));
        // Ranks 0 1 2 3 and 1 0 3 2: 1 − 6 · 4 / (4 · 15).
        let found = rank_correlation(&[1.0, 2.0, 3.0, 4.0], &[2.0, 1.0, 4.0, 3.0]).unwrap();
        assert!((found - 0.6).abs() < 1e-12, "{found}");
        assert_eq!(rank_correlation(&[1.0, 2.0], &[7.0, 7.0]), None);
    }
}
