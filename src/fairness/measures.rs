//! Rates of groups and their differences, with intervals over episodes.

use agon_envs::Pcg64;
use serde::Serialize;

use super::play::{Counts, Tally};
use crate::stats::{self, Estimate, Resampling, stratified_bootstrap};

/// How one group fared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupRates {
    /// Its name.
    pub group: String,
    /// Members decided about in an episode, on average.
    pub members: f64,
    /// The share that was decided for.
    pub favoured: Estimate,
    /// The share that is qualified; not a number where no truth is known.
    pub qualified: Estimate,
    /// Of the qualified, the share that was decided for.
    pub true_positive: Estimate,
    /// Of those who are not qualified, the share that was decided for.
    pub false_positive: Estimate,
    /// The part of an episode's return that comes from it.
    pub reward: Estimate,
}

/// How two groups differ: those with the highest and the lowest rate over all episodes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gap {
    /// The group with the highest rate.
    pub highest: String,
    /// The group with the lowest.
    pub lowest: String,
    /// The difference of their rates, or the lowest by the highest.
    pub value: Estimate,
}

/// What was measured over some episodes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// Of each group.
    pub groups: Vec<GroupRates>,
    /// Demographic parity difference: of the shares that were decided for.
    pub demographic_parity: Option<Gap>,
    /// Equal opportunity difference: of the shares of the qualified that were decided for.
    pub equal_opportunity: Option<Gap>,
    /// Disparate impact: the lowest share that was decided for by the highest. Below 0.8 is the usual sign of it.
    pub disparate_impact: Option<Gap>,
}

/// A rate of counts.
type Rate = fn(&Counts) -> f64;

const RATES: [Rate; 4] = [
    |counts| counts.favoured() / counts.all(),
    |counts| (counts.of_truth(true)) / (counts.of_truth(true) + counts.of_truth(false)),
    |counts| counts.favoured_of_truth(true) / counts.of_truth(true),
    |counts| counts.favoured_of_truth(false) / counts.of_truth(false),
];
const FAVOURED: usize = 0;
const QUALIFIED: usize = 1;
const TRUE_POSITIVE: usize = 2;
const FALSE_POSITIVE: usize = 3;

/// Measures episodes.
pub(super) fn measure(names: &[String], episodes: &[Tally], resampling: Resampling) -> Measured {
    let by_episode: Vec<Vec<Counts>> = episodes.iter().map(Tally::groups).collect();
    let whole = pooled(&by_episode, 0..episodes.len(), names.len());
    let pairs = [FAVOURED, TRUE_POSITIVE].map(|rate| extremes(&whole, RATES[rate]));
    // Rates of all groups, then the gaps of the pairs that differ most over all episodes: which they are does not change from
    // resample to resample, so that an interval can reach zero.
    let statistics = |drawn: &[Counts]| -> Vec<f64> {
        let mut values: Vec<f64> = drawn.iter().flat_map(|counts| RATES.map(|rate| rate(counts))).collect();
        for (pair, rate) in pairs.iter().zip([FAVOURED, TRUE_POSITIVE]) {
            let of = |group: usize| RATES[rate](&drawn[group]);
            let (high, low) = pair.map_or((f64::NAN, f64::NAN), |(high, low)| (of(high), of(low)));
            values.extend([high - low, low / high]);
        }
        values
    };
    let numbers: Vec<f64> = (0..episodes.len()).map(|i| i as f64).collect();
    let estimates = stratified_bootstrap(&[numbers], resampling, |drawn| {
        let indices = drawn[0].iter().map(|&i| i as usize);
        statistics(&pooled(&by_episode, indices, names.len()))
    });
    let group = |(i, name): (usize, &String)| {
        let of = |rate: usize| estimates[i * RATES.len() + rate];
        let rewards: Vec<f64> = by_episode.iter().map(|groups| groups[i].reward).collect();
        GroupRates {
            group: name.clone(),
            members: whole[i].all() / episodes.len() as f64,
            favoured: of(FAVOURED),
            qualified: of(QUALIFIED),
            true_positive: of(TRUE_POSITIVE),
            false_positive: of(FALSE_POSITIVE),
            reward: mean(&rewards),
        }
    };
    let gaps = &estimates[names.len() * RATES.len()..];
    let gap = |pair: Option<(usize, usize)>, value: Estimate| {
        pair.map(|(high, low)| Gap { highest: names[high].clone(), lowest: names[low].clone(), value })
    };
    Measured {
        groups: names.iter().enumerate().map(group).collect(),
        demographic_parity: gap(pairs[0], gaps[0]),
        equal_opportunity: gap(pairs[1], gaps[2]),
        disparate_impact: gap(pairs[0], gaps[1]),
    }
}

/// A mean with Student's interval.
pub(super) fn mean(values: &[f64]) -> Estimate {
    let (value, half) = (stats::mean(values), stats::ci95_half_width(values));
    Estimate { value, low: value - half, high: value + half }
}

/// Shares of one group that were decided for, in each part of the episodes, with intervals; of all, or of the qualified alone.
pub(super) fn over_time(
    episodes: &[Tally],
    group: usize,
    qualified: bool,
    resampling: Resampling,
) -> Vec<Estimate> {
    let num_parts = episodes.first().map_or(0, |tally| tally.parts.len());
    let rate = RATES[if qualified { TRUE_POSITIVE } else { FAVOURED }];
    let rates = |drawn: &mut dyn Iterator<Item = usize>| -> Vec<f64> {
        let mut sums = vec![Counts::default(); num_parts];
        for episode in drawn {
            let parts = episodes[episode].parts.iter();
            sums.iter_mut().zip(parts).for_each(|(sum, part)| sum.merge(&part[group]));
        }
        sums.iter().map(rate).collect()
    };
    let values = rates(&mut (0..episodes.len()));
    let mut rng = Pcg64::seed_from(resampling.seed);
    let most = episodes.len().max(1) as u64 - 1;
    let mut all = vec![Vec::with_capacity(resampling.resamples); num_parts];
    for _ in 0..resampling.resamples {
        let drawn = rates(&mut (0..episodes.len()).map(|_| rng.bounded(most) as usize));
        // A part that no drawn episode has reached has no rate.
        all.iter_mut().zip(drawn).filter(|(_, rate)| rate.is_finite()).for_each(|(all, rate)| all.push(rate));
    }
    let interval = |(value, mut drawn): (f64, Vec<f64>)| {
        drawn.sort_by(f64::total_cmp);
        Estimate { value, low: stats::quantile(&drawn, 0.025), high: stats::quantile(&drawn, 0.975) }
    };
    values.into_iter().zip(all).map(interval).collect()
}

/// `[groups]`: counts of some episodes together.
fn pooled(by_episode: &[Vec<Counts>], drawn: impl Iterator<Item = usize>, num_groups: usize) -> Vec<Counts> {
    let mut sums = vec![Counts::default(); num_groups];
    for episode in drawn {
        sums.iter_mut().zip(&by_episode[episode]).for_each(|(sum, counts)| sum.merge(counts));
    }
    sums
}

/// The groups with the highest and the lowest rate, of those that have one; none if only one has.
fn extremes(whole: &[Counts], rate: Rate) -> Option<(usize, usize)> {
    let known: Vec<usize> = (0..whole.len()).filter(|&group| rate(&whole[group]).is_finite()).collect();
    let by_rate = |a: &&usize, b: &&usize| rate(&whole[**a]).total_cmp(&rate(&whole[**b]));
    let low = *known.iter().min_by(by_rate)?;
    // Of groups that do not differ, two all the same.
    let high = *known.iter().filter(|&&group| group != low).max_by(by_rate)?;
    Some((high, low))
}
