//! How much each part of an observation matters: by permutation, and by Shapley values.

use agon_envs::Pcg64;
use agon_envs::random::SeedSequence;
use serde::Serialize;

use super::readout::Probe;
use crate::explain::play::{Step, Teacher, Until, play};
use crate::explain::subject::Subject;
use crate::setup::Setup;
use crate::{RunError, stats};

/// A part of an observation, and how much it matters.
#[derive(Clone, Debug, Serialize)]
pub struct Importance {
    /// Which part.
    pub name: String,
    /// The share of steps at which another step's values here change the action; of actions that are numbers the root mean
    /// square of the change.
    pub changes: f64,
    /// What the return loses when values here always come from another step.
    pub return_loss: f64,
    /// Half of the width of the loss's 95 % interval.
    pub return_loss_half_width: f64,
    /// Mean absolute Shapley value.
    pub shapley: f64,
    /// Half of the width of its 95 % interval over steps.
    pub shapley_half_width: f64,
}

/// How importance is measured.
#[derive(Clone, Copy, Debug)]
pub struct ImportanceOptions {
    /// Episodes of each return.
    pub episodes: usize,
    /// Steps whose Shapley values are computed.
    pub steps: usize,
    /// Orders of parts that are drawn for each.
    pub orders: usize,
    /// Seed of everything.
    pub seed: u64,
}

impl Default for ImportanceOptions {
    fn default() -> Self {
        Self { episodes: 20, steps: 40, orders: 50, seed: 0 }
    }
}

/// Importance of each part, in the order of [`crate::explain::Features::groups`]. `steps` are those that values come from.
///
/// # Errors
/// If the environment or the policy fails.
pub(super) fn importance(
    setup: &Setup,
    subject: &Subject,
    steps: &[Step],
    options: &ImportanceOptions,
) -> Result<Vec<Importance>, RunError> {
    let rng = |key| Pcg64::from_sequence(&SeedSequence::with_spawn_key(options.seed, &[10, key]));
    let changes = changes(subject, steps, &mut rng(0))?;
    let (whole, losses) = losses(setup, subject, steps, options)?;
    let shapley = shapley(subject, steps, options, &mut rng(1))?;
    let groups = subject.features.groups.iter().enumerate();
    Ok(groups
        .map(|(i, group)| {
            let own: Vec<f64> = shapley.iter().map(|values| values[i].abs()).collect();
            let lost: Vec<f64> =
                whole.iter().zip(&losses[i]).map(|(whole, without)| whole - without).collect();
            Importance {
                name: group.name.clone(),
                changes: changes[i],
                return_loss: stats::mean(&lost),
                return_loss_half_width: half_width(&lost),
                shapley: stats::mean(&own),
                shapley_half_width: half_width(&own),
            }
        })
        .collect())
}

fn half_width(values: &[f64]) -> f64 {
    if values.len() > 1 { stats::ci95_half_width(values) } else { 0.0 }
}

/// Puts another observation's values into a part of one.
fn exchange(observation: &mut [f32], other: &[f32], part: &[usize]) {
    part.iter().for_each(|&i| observation[i] = other[i]);
}

/// How often, or how far, actions change.
fn changes(subject: &Subject, steps: &[Step], rng: &mut Pcg64) -> Result<Vec<f64>, RunError> {
    let mut found = Vec::new();
    for group in &subject.features.groups {
        let others = rng.permutation(steps.len());
        let mut sum = 0.0;
        for (step, other) in steps.iter().zip(others) {
            let mut observation = step.observation.clone();
            exchange(&mut observation, &steps[other].observation, &group.values);
            let action = Probe::new(subject, step).opinion(&observation)?.action;
            sum += match subject.is_continuous() {
                true => action.iter().zip(&step.opinion.action).map(|(a, b)| f64::from(a - b).powi(2)).sum(),
                false => f64::from(u8::from(action != step.opinion.action)),
            };
        }
        let mean = sum / steps.len().max(1) as f64;
        found.push(if subject.is_continuous() { mean.sqrt() } else { mean });
    }
    Ok(found)
}

/// Returns of the policy as it is, and of one that sees in each part what was there at another step.
fn losses(
    setup: &Setup,
    subject: &Subject,
    steps: &[Step],
    options: &ImportanceOptions,
) -> Result<(Vec<f64>, Vec<Vec<f64>>), RunError> {
    let seed = SeedSequence::with_spawn_key(options.seed, &[11]).seed();
    let returns = |part: &[usize], key: u32| {
        let mut rng = Pcg64::from_sequence(&SeedSequence::with_spawn_key(options.seed, &[12, key]));
        let mut teacher = Teacher::new(subject);
        play(setup, subject, seed, Until::Episodes(options.episodes), &mut |seen| {
            let mut observation = seen.observation.to_vec();
            let other = &steps[rng.bounded(steps.len() as u64 - 1) as usize].observation;
            exchange(&mut observation, other, part);
            let changed = crate::explain::play::Seen { observation: &observation, ..*seen };
            Ok(teacher.opinion(&changed)?.action)
        })
    };
    let whole = returns(&[], 0)?;
    let groups = subject.features.groups.iter().zip(1..);
    let losses = groups.map(|(group, key)| returns(&group.values, key)).collect::<Result<_, _>>()?;
    Ok((whole, losses))
}

/// Shapley values of the parts for the sum of scores at some steps, `[steps, parts]`, by drawing orders and other steps.
///
/// # Source
/// Štrumbelj and Kononenko 2014, *Explaining prediction models and individual predictions with feature contributions*.
pub(super) fn shapley(
    subject: &Subject,
    steps: &[Step],
    options: &ImportanceOptions,
    rng: &mut Pcg64,
) -> Result<Vec<Vec<f64>>, RunError> {
    let groups = &subject.features.groups;
    let mut found = Vec::new();
    for index in spaced(steps.len(), options.steps) {
        let probe = Probe::new(subject, &steps[index]);
        let score = |observation: &[f32]| -> Result<f64, RunError> {
            let scores = probe.scores(&probe.opinion(observation)?);
            Ok(scores.iter().map(|&score| f64::from(score)).sum())
        };
        let mut sums = vec![0.0; groups.len()];
        for _ in 0..options.orders {
            let other = &steps[rng.bounded(steps.len() as u64 - 1) as usize];
            let mut observation = other.observation.clone();
            let mut before = score(&observation)?;
            for group in rng.permutation(groups.len()) {
                exchange(&mut observation, &steps[index].observation, &groups[group].values);
                let after = score(&observation)?;
                sums[group] += after - before;
                before = after;
            }
        }
        found.push(sums.into_iter().map(|sum| sum / options.orders.max(1) as f64).collect());
    }
    Ok(found)
}

/// So many of some indices at most, as far apart as can be.
pub(in crate::explain) fn spaced(len: usize, count: usize) -> Vec<usize> {
    let count = count.min(len);
    (0..count).map(|i| i * len / count).collect()
}
