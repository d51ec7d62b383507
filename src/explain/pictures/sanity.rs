//! Whether explanations depend on what was learned: they must change when weights are drawn anew, layer after layer.
//!
//! # Source
//! Adebayo et al. 2018, *Sanity checks for saliency maps*: the cascading randomisation test.

use agon_envs::Pcg64;
use agon_envs::random::SeedSequence;
use agon_policy::{Parameters, PortablePolicy};
use serde::Serialize;

use super::attribution::{Attribution, Method, Reference, attribute, normal};
use super::point::Point;
use super::view::View;
use crate::explain::subject::Subject;
use crate::{RunError, stats};

/// How explanations of a method change.
#[derive(Clone, Debug, Serialize)]
pub struct Sanity {
    /// Which method.
    pub method: Method,
    /// Mean rank correlation with the explanations of what was learned, with the last layer's weights drawn anew, with those of
    /// the last two, and so on; the last one is of a network that has learned nothing.
    pub correlations: Vec<f64>,
}

/// The layers whose weights are drawn anew, the last first: what they are called.
pub(super) fn layers(subject: &Subject) -> Vec<String> {
    let names = |(index, (name, _)): (usize, (String, Vec<String>))| format!("{index} {name}");
    let mut names: Vec<String> = weighted(subject).into_iter().enumerate().map(names).collect();
    names.reverse();
    names
}

/// Operations with parameters, and these.
fn weighted(subject: &Subject) -> Vec<(String, Vec<String>)> {
    let all = subject.program().operations.iter().flat_map(agon_policy::Operation::flat);
    let own = all.map(|operation| {
        let parameters = operation.parameters().into_iter().map(str::to_owned).collect();
        (operation.name().to_owned(), parameters)
    });
    own.filter(|(_, parameters): &(_, Vec<String>)| !parameters.is_empty()).collect()
}

/// Policies whose last layers have weights that were drawn anew: one more with each.
///
/// # Errors
/// If a policy cannot be made.
pub(super) fn randomized(subject: &Subject, seed: u64, draw: u32) -> Result<Vec<PortablePolicy>, RunError> {
    let mut rng = Pcg64::from_sequence(&SeedSequence::with_spawn_key(seed, &[20, draw]));
    let mut parameters: Parameters = subject.export.parameters.clone();
    let mut policies = Vec::new();
    for (_, names) in weighted(subject).into_iter().rev() {
        for name in names {
            let Some(parameter) = parameters.get_mut(&name) else { continue };
            let squares: f64 = parameter.values.iter().map(|&value| f64::from(value).powi(2)).sum();
            let size = (squares / parameter.values.len().max(1) as f64).sqrt();
            parameter.values.iter_mut().for_each(|value| *value = (size * normal(&mut rng)) as f32);
        }
        policies.push(PortablePolicy::new(subject.program().clone(), &parameters)?);
    }
    Ok(policies)
}

/// Runs the check for a method at some steps; none if it does not suit the network, or an observation has a single value.
///
/// # Errors
/// If a layer has no gradient that the method needs.
pub(super) fn check(
    method: Method,
    points: &[Point<'_>],
    draws: &[Vec<PortablePolicy>],
    reference: &Reference,
    view: &View,
) -> Result<Option<Sanity>, RunError> {
    let mut sums = vec![Vec::new(); draws.first().map_or(0, Vec::len)];
    let ranges = view.of_values(&reference.ranges.iter().map(|&range| f64::from(range)).collect::<Vec<_>>());
    for point in points {
        let Some(real) = attribute(method, point, reference, view)? else { return Ok(None) };
        let changes = changes(point, reference, view);
        let compared = |found: &Attribution| compared(method, found, &changes, &ranges);
        let real = compared(&real);
        if real.len() < 2 {
            continue;
        }
        for policies in draws {
            for (policy, found) in policies.iter().zip(&mut sums) {
                let other = attribute(method, &point.with_policy(policy), reference, view)?;
                let other = other.as_ref().map(compared).unwrap_or_default();
                // What is the same everywhere is like nothing.
                found.push(stats::rank_correlation(&real, &other).unwrap_or(0.0));
            }
        }
    }
    // A single value has no order.
    if sums.iter().any(Vec::is_empty) {
        return Ok(None);
    }
    let correlations = sums.iter().map(|found| stats::mean(found)).collect();
    Ok(Some(Sanity { method, correlations }))
}

/// Of each value of an observation whether it differs from the baseline anywhere.
fn changes(point: &Point<'_>, reference: &Reference, view: &View) -> Vec<bool> {
    let pairs = point.inputs.iter().zip(&reference.baseline);
    let differs: Vec<f64> = pairs.map(|(x, baseline)| f64::from(u8::from(x != baseline))).collect();
    view.of_values(&differs).iter().map(|&count| count > 0.0).collect()
}

/// What of an explanation is compared: cells of maps that have no values, else values. What does not depend on weights would look
/// alike: slopes are compared without how far an input ranges, and of methods that give nothing where the observation is as in
/// the baseline only the other values.
fn compared(method: Method, attribution: &Attribution, changes: &[bool], ranges: &[f64]) -> Vec<f64> {
    match (&attribution.of_values, &attribution.of_cells) {
        (Some(values), _) if method.is_signed() => {
            values.iter().zip(changes).filter(|(_, changes)| **changes).map(|(value, _)| *value).collect()
        }
        (Some(values), _) => {
            // Values that are hidden have no slope, whatever is learned.
            let shown = values.iter().zip(ranges).filter(|(_, range)| **range > 0.0);
            shown.map(|(value, range)| value / range).collect()
        }
        (None, Some(cells)) => cells.clone(),
        (None, None) => Vec::new(),
    }
}
