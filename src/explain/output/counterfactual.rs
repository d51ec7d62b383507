//! The smallest change of what is seen that would have changed what is done.
//!
//! Two searches: along each value by itself, which is what a reader follows, and along all of them at once by gradients.
//! Distances are in units of each value's standard deviation over what the policy saw. Changes stay within the space.

use agon_policy::{InputKind, InputPart};
use serde::Serialize;

use super::readout::Probe;
use crate::RunError;
use crate::explain::play::Step;
use crate::explain::subject::Subject;

/// Places along a value that are tried in each direction.
const PLACES: i32 = 40;
/// The nearest of them, and the ratio of each to the one before.
const NEAREST: f32 = 0.01;
const RATIO: f32 = 1.2;
/// Halvings of a distance.
const HALVINGS: usize = 20;
/// Steps along gradients.
const MOST_STEPS: usize = 30;
/// Values of categories and bytes that are tried.
const MOST_LEVELS: usize = 64;

/// What may be put in the place of each value.
pub(super) struct Places {
    /// Standard deviations, `[O]`.
    pub(super) scales: Vec<f32>,
    /// `[O]`.
    low: Vec<f32>,
    high: Vec<f32>,
    /// Of values that are not numbers, what was seen in their place; else empty.
    levels: Vec<Vec<f32>>,
}

/// A changed observation, and what is done then.
#[derive(Clone, Debug, Serialize)]
pub struct Counterfactual {
    /// Which step, over all episodes.
    pub step: usize,
    /// What is done as it is.
    pub action: String,
    /// What would be done.
    pub other: String,
    /// What is changed: name, from, to, unit.
    pub changes: Vec<(String, f32, f32, String)>,
    /// How far, in standard deviations: the root of the sum of squares.
    pub distance: f64,
}

impl Places {
    /// Of what a policy saw.
    pub(super) fn of(subject: &Subject, steps: &[Step]) -> Self {
        let mut places = Self { scales: Vec::new(), low: Vec::new(), high: Vec::new(), levels: Vec::new() };
        for part in &subject.program().inputs {
            for i in 0..part.len() {
                places.add(part, i, steps);
            }
        }
        places
    }

    fn add(&mut self, part: &InputPart, i: usize, steps: &[Step]) {
        let at = self.scales.len();
        let seen = || steps.iter().map(|step| step.observation[at]);
        let count = steps.len().max(1) as f32;
        let mean = seen().sum::<f32>() / count;
        let deviation = (seen().map(|value| (value - mean).powi(2)).sum::<f32>() / count).sqrt();
        let (least, most) = (seen().fold(f32::INFINITY, f32::min), seen().fold(f32::NEG_INFINITY, f32::max));
        let bound = |bounds: &[Option<f32>]| bounds.get(i).copied().flatten();
        // Where the space has no bounds, twice of what was seen has to do.
        let room = (most - least).max(1e-6);
        self.low.push(bound(&part.low).unwrap_or(least - room / 2.0));
        self.high.push(bound(&part.high).unwrap_or(most + room / 2.0));
        self.scales.push(if deviation > 0.0 { deviation } else { 1.0 });
        let mut levels = Vec::new();
        if part.kind != InputKind::Float {
            levels = seen().collect();
            levels.sort_unstable_by(f32::total_cmp);
            levels.dedup();
            levels.truncate(MOST_LEVELS);
            // A cell that never changed can still be filled, as others are.
            if part.kind == InputKind::Byte && levels == [0.0] {
                levels.push(255.0);
            }
        }
        self.levels.push(levels);
    }

    fn distance(&self, a: &[f32], b: &[f32]) -> f64 {
        let apart =
            a.iter().zip(b).zip(&self.scales).map(|((a, b), scale)| f64::from((a - b) / scale).powi(2));
        apart.sum::<f64>().sqrt()
    }
}

/// The smallest change of one value, and of several, that changes the action at a step; none where none was found.
pub(super) fn counterfactuals(
    probe: &Probe<'_>,
    places: &Places,
    number: usize,
) -> Result<(Option<Counterfactual>, Option<Counterfactual>), RunError> {
    let own = &probe.step.observation;
    let mut nearest: Option<(f64, Vec<f32>)> = None;
    for at in 0..own.len() {
        let found = match places.levels[at].is_empty() {
            true => along(probe, places, at)?,
            false => among(probe, places, at)?,
        };
        if let Some(changed) = found {
            let distance = places.distance(&changed, own);
            if nearest.as_ref().is_none_or(|(least, _)| distance < *least) {
                nearest = Some((distance, changed));
            }
        }
    }
    let several = by_gradient(probe, places)?;
    let told = |changed: Vec<f32>| tell(probe, places, number, &changed);
    let single = nearest.map(|(_, changed)| told(changed)).transpose()?;
    Ok((single, several.map(told).transpose()?))
}

fn changes_action(probe: &Probe<'_>, observation: &[f32]) -> Result<bool, RunError> {
    Ok(probe.opinion(observation)?.action != probe.step.opinion.action)
}

/// The nearest number in place of one that changes the action.
fn along(probe: &Probe<'_>, places: &Places, at: usize) -> Result<Option<Vec<f32>>, RunError> {
    let own = &probe.step.observation;
    let mut nearest: Option<f32> = None;
    for sign in [1.0, -1.0] {
        let mut inside = 0.0_f32;
        for place in 0..PLACES {
            let distance = NEAREST * RATIO.powi(place);
            if nearest.is_some_and(|nearest| distance > nearest.abs()) {
                break;
            }
            let moved = |distance: f32| {
                let mut observation = own.clone();
                let value = own[at] + sign * distance * places.scales[at];
                observation[at] = value.clamp(places.low[at].min(own[at]), places.high[at].max(own[at]));
                observation
            };
            if changes_action(probe, &moved(distance))? {
                let (mut near, mut far) = (inside, distance);
                for _ in 0..HALVINGS {
                    let middle = (near + far) / 2.0;
                    if changes_action(probe, &moved(middle))? { far = middle } else { near = middle }
                }
                if nearest.is_none_or(|nearest| far < nearest.abs()) {
                    nearest = Some(sign * far);
                }
                break;
            }
            inside = distance;
        }
    }
    Ok(nearest.map(|distance| {
        let mut observation = own.clone();
        let value = own[at] + distance * places.scales[at];
        observation[at] = value.clamp(places.low[at].min(own[at]), places.high[at].max(own[at]));
        observation
    }))
}

/// The nearest of the levels in place of one that changes the action.
fn among(probe: &Probe<'_>, places: &Places, at: usize) -> Result<Option<Vec<f32>>, RunError> {
    let own = &probe.step.observation;
    let mut levels: Vec<f32> = places.levels[at].iter().copied().filter(|&level| level != own[at]).collect();
    levels.sort_by(|a, b| (a - own[at]).abs().total_cmp(&(b - own[at]).abs()));
    for level in levels {
        let mut observation = own.clone();
        observation[at] = level;
        if changes_action(probe, &observation)? {
            return Ok(Some(observation));
        }
    }
    Ok(None)
}

/// A change of all numbers at once: steps to the nearest border between actions as gradients show it, then halvings of the way.
///
/// # Source
/// Moosavi-Dezfooli, Fawzi and Frossard 2016, *DeepFool*; distances in standard deviations.
fn by_gradient(probe: &Probe<'_>, places: &Places) -> Result<Option<Vec<f32>>, RunError> {
    let (choices, own) = (probe.subject.choices(), &probe.step.observation);
    if choices.len() != 1 || places.levels.iter().any(|levels| !levels.is_empty()) {
        return Ok(None);
    }
    let chosen = probe.step.opinion.action[0] as usize;
    let mut x = own.clone();
    for _ in 0..MOST_STEPS {
        let Some(step) = to_border(probe, places, &x, chosen)? else { return Ok(None) };
        for (i, value) in x.iter_mut().enumerate() {
            // A little further than to the border.
            let moved = *value + 1.02 * step[i];
            *value = moved.clamp(places.low[i].min(own[i]), places.high[i].max(own[i]));
        }
        if !changes_action(probe, &x)? {
            continue;
        }
        let (mut near, mut far) = (0.0_f32, 1.0_f32);
        let between =
            |share: f32| -> Vec<f32> { own.iter().zip(&x).map(|(a, b)| a + share * (b - a)).collect() };
        for _ in 0..HALVINGS {
            let middle = (near + far) / 2.0;
            if changes_action(probe, &between(middle))? { far = middle } else { near = middle }
        }
        return Ok(Some(between(far)));
    }
    Ok(None)
}

/// The shortest step to where another option would be as good, if logits were linear.
fn to_border(
    probe: &Probe<'_>,
    places: &Places,
    x: &[f32],
    chosen: usize,
) -> Result<Option<Vec<f32>>, RunError> {
    let policy = &probe.subject.policy;
    let trace = policy.trace(&probe.step.episode, x)?;
    let mut shortest: Option<(f32, Vec<f32>)> = None;
    for other in (0..trace.logits.len()).filter(|&other| other != chosen) {
        if probe.step.mask.get(other) == Some(&false) {
            continue;
        }
        let mut weights = vec![0.0; trace.logits.len()];
        (weights[other], weights[chosen]) = (1.0, -1.0);
        let gradient = match policy.gradient(&trace, &weights) {
            Ok(gradient) => gradient.observation,
            // Who has no gradient has the other search.
            Err(agon_policy::PolicyError::NoGradient(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let scaled: Vec<f32> =
            gradient.iter().zip(&places.scales).map(|(slope, scale)| slope * scale).collect();
        let square: f32 = scaled.iter().map(|slope| slope * slope).sum();
        let apart = (trace.logits[chosen] - trace.logits[other]).max(1e-6);
        let length = apart / square.sqrt();
        if square > 0.0 && shortest.as_ref().is_none_or(|(least, _)| length < *least) {
            let along =
                scaled.iter().zip(&places.scales).map(|(slope, scale)| apart / square * slope * scale);
            shortest = Some((length, along.collect()));
        }
    }
    Ok(shortest.map(|(_, step)| step))
}

/// A change in words.
fn tell(
    probe: &Probe<'_>,
    places: &Places,
    number: usize,
    changed: &[f32],
) -> Result<Counterfactual, RunError> {
    let (subject, own) = (probe.subject, &probe.step.observation);
    let changes = (0..own.len()).filter(|&i| own[i] != changed[i]).map(|i| {
        let feature = &subject.features.all[i];
        (feature.name.clone(), own[i], changed[i], feature.unit.clone())
    });
    Ok(Counterfactual {
        step: number,
        action: subject.action_words(&probe.step.opinion.action),
        other: subject.action_words(&probe.opinion(changed)?.action),
        changes: changes.collect(),
        distance: places.distance(changed, own),
    })
}
