//! How well losses tell what was learned from.

use crate::stats::{Estimate, Resampling, stratified_bootstrap};

/// Resamples of an interval.
const RESAMPLES: usize = 2000;

/// The area under the curve of saying "learned" where the loss is low: the chance that a member's loss is below another's, half
/// where they are equal. Its interval is bootstrapped over trajectories, members and others apart.
///
/// # Source
/// Mann and Whitney 1947; Bamber 1975.
pub(super) fn area(members: &[f64], others: &[f64], seed: u64) -> Estimate {
    let strata = [members.to_vec(), others.to_vec()];
    let resampling = Resampling { resamples: RESAMPLES, seed };
    let estimates = stratified_bootstrap(&strata, resampling, |strata| vec![of(&strata[0], &strata[1])]);
    estimates.first().copied().unwrap_or(Estimate { value: f64::NAN, low: f64::NAN, high: f64::NAN })
}

fn of(members: &[f64], others: &[f64]) -> f64 {
    let mut sorted = others.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let above = |loss: &f64| {
        let not_above = sorted.partition_point(|other| other <= loss);
        let below = sorted.partition_point(|other| other < loss);
        (sorted.len() - not_above) as f64 + 0.5 * (not_above - below) as f64
    };
    members.iter().map(above).sum::<f64>() / (members.len() * sorted.len()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_shares_of_pairs() {
        assert_eq!(of(&[1.0, 2.0], &[3.0, 4.0]), 1.0);
        assert_eq!(of(&[3.0, 4.0], &[1.0, 2.0]), 0.0);
        assert_eq!(of(&[1.0, 1.0], &[1.0]), 0.5);
        // Of six pairs four are right and one is equal.
        assert_eq!(of(&[1.0, 3.0], &[2.0, 3.0, 4.0]), 4.5 / 6.0);
    }

    #[test]
    fn intervals_hold_what_is_guessed_where_nothing_is_known() {
        let mut rng = agon_envs::Pcg64::seed_from(1);
        let mut draw = || (0..200).map(|_| rng.random()).collect::<Vec<f64>>();
        let (members, others) = (draw(), draw());
        let found = area(&members, &others, 0);
        assert!(found.low < 0.5 && found.high > 0.5 && found.high - found.low < 0.15, "{found:?}");
    }
}
