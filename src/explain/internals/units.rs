//! Units: those that do nothing any more, and what the others respond to.

use serde::Serialize;

use super::activations::{Ends, Site};

/// A unit whose mean size is at most this share of its layer's is dormant.
const DORMANT: f64 = 0.025;
/// A unit is saturated if it lies this close to an end of its function at so many states.
const CLOSE: f32 = 0.01;
const MOSTLY: f64 = 0.95;
/// A unit that is told of responds at this share of states at least, or its best ones are chance.
const LEAST: f64 = 0.01;

/// How many units of a layer do what. Of an image a unit is a channel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct UnitCounts {
    /// All.
    pub units: usize,
    /// Rectifiers that give zero at every state.
    pub dead: usize,
    /// Units whose mean size is at most 0.025 of the layer's mean (Sokar et al. 2023, *The dormant neuron phenomenon*); dead ones
    /// are among them.
    pub dormant: usize,
    /// Units that lie within 0.01 of an end of their function at 95 % of states.
    pub saturated: usize,
}

/// Counts a layer's units.
pub(super) fn count(site: &Site) -> UnitCounts {
    let (states, units) = (site.states(), site.units());
    let sizes: Vec<f64> = (0..units).map(|unit| mean_size(site, unit)).collect();
    let mean = sizes.iter().sum::<f64>() / units.max(1) as f64;
    let is_dead = |unit: &usize| {
        site.ends() == Ends::Zero
            && (0..states).all(|state| site.unit(state, *unit).iter().all(|value| *value <= 0.0))
    };
    let is_saturated = |unit: &usize| {
        let Ends::Both([low, high]) = site.ends() else { return false };
        let at_end = |value: &f32| *value <= f32::from(low) + CLOSE || *value >= f32::from(high) - CLOSE;
        let ended = (0..states).filter(|&state| site.unit(state, *unit).iter().all(at_end)).count();
        ended as f64 >= MOSTLY * states as f64
    };
    UnitCounts {
        units,
        dead: (0..units).filter(is_dead).count(),
        dormant: sizes.iter().filter(|size| **size <= DORMANT * mean).count(),
        saturated: (0..units).filter(is_saturated).count(),
    }
}

/// Mean absolute value over states, and over the pixels of a channel.
fn mean_size(site: &Site, unit: usize) -> f64 {
    let (mut sum, mut count) = (0.0, 0_usize);
    for state in 0..site.states() {
        let values = site.unit(state, unit);
        sum += values.iter().map(|value| f64::from(value.abs())).sum::<f64>();
        count += values.len();
    }
    sum / count.max(1) as f64
}

/// A unit's response at each state: of a channel its largest value.
pub(super) fn responses(site: &Site, unit: usize) -> Vec<f64> {
    let largest = |values: &[f32]| values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    (0..site.states()).map(|state| f64::from(largest(site.unit(state, unit)))).collect()
}

/// How much a unit responds to few states only: 0 if to all alike, 1 if to a single one.
///
/// `(1 − (E r)² / E r²) / (1 − 1/S)` of responses above their smallest.
///
/// # Source
/// Vinje and Gallant 2000, *Sparse coding and decorrelation in primary visual cortex during natural vision*.
pub(super) fn selectivity(responses: &[f64]) -> f64 {
    let low = responses.iter().copied().fold(f64::INFINITY, f64::min);
    let count = responses.len() as f64;
    let mean = responses.iter().map(|value| value - low).sum::<f64>() / count;
    let squares = responses.iter().map(|value| (value - low).powi(2)).sum::<f64>() / count;
    if squares <= 0.0 || count < 2.0 { 0.0 } else { (1.0 - mean * mean / squares) / (1.0 - 1.0 / count) }
}

/// The most selective units of those that respond at some states, the most selective first.
pub(super) fn most_selective(site: &Site, count: usize) -> Vec<(usize, f64)> {
    let mut found: Vec<(usize, f64)> = (0..site.units())
        .filter_map(|unit| {
            let responses = responses(site, unit);
            let (low, high) = responses
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &r| (low.min(r), high.max(r)));
            let strong = responses.iter().filter(|r| **r > f64::midpoint(low, high)).count();
            let is_there = high > low && strong as f64 >= LEAST * responses.len() as f64;
            is_there.then(|| (unit, selectivity(&responses)))
        })
        .collect();
    found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    found.truncate(count);
    found
}

/// States of the largest responses, none within `apart` of another in the same episode.
pub(super) fn top_states(
    responses: &[f64],
    places: &[(usize, usize)],
    count: usize,
    apart: usize,
) -> Vec<usize> {
    let mut order: Vec<usize> = (0..responses.len()).collect();
    order.sort_by(|&a, &b| responses[b].total_cmp(&responses[a]).then(a.cmp(&b)));
    let mut found: Vec<usize> = Vec::new();
    for state in order {
        let (episode, step) = places[state];
        let is_near = |other: &usize| places[*other].0 == episode && places[*other].1.abs_diff(step) < apart;
        if !found.iter().any(is_near) {
            found.push(state);
        }
        if found.len() == count {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(name: &str, image: Option<[usize; 3]>, width: usize, values: &[f32]) -> Site {
        Site { name: name.to_owned(), image, width, values: values.to_vec() }
    }

    #[test]
    fn units_that_do_nothing_are_counted() {
        // The first is dead, the second nearly so, the third works.
        let relu = site("1 relu", None, 3, &[0.0, 0.01, 2.0, 0.0, 0.0, 4.0]);
        assert_eq!(count(&relu), UnitCounts { units: 3, dead: 1, dormant: 2, saturated: 0 });
        let tanh = site("1 tanh", None, 2, &[1.0, 0.2, -0.995, 0.999]);
        assert_eq!(count(&tanh), UnitCounts { units: 2, dead: 0, dormant: 0, saturated: 1 });
        // Of an image a channel is dead if all its pixels are.
        let image = site("1 relu", Some([2, 1, 2]), 4, &[0.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(count(&image), UnitCounts { units: 2, dead: 1, dormant: 1, saturated: 0 });
        assert_eq!(responses(&image, 1), [3.0, 0.0]);
    }

    #[test]
    fn selectivity_goes_from_none_to_one() {
        assert_eq!(selectivity(&[2.0; 5]), 0.0);
        assert!((selectivity(&[0.0, 0.0, 0.0, 7.0]) - 1.0).abs() < 1e-12);
        // Half of the states: (1 − 1/2) / (1 − 1/4).
        assert!((selectivity(&[-1.0, 1.0, -1.0, 1.0]) - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn top_states_are_not_neighbours() {
        let places = [(0, 0), (0, 1), (0, 9), (1, 0)];
        assert_eq!(top_states(&[3.0, 4.0, 1.0, 2.0], &places, 3, 5), [1, 3, 2]);
    }
}
