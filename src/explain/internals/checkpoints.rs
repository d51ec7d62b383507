//! A run's checkpoints beside each other: whether its network loses the ability to learn.

use std::path::Path;

use agon_policy::{Operation, Parameters};
use serde::Serialize;

use super::activations::{Site, sites};
use super::rank::ranks;
use super::similarity::Alignment;
use super::units::count;
use crate::RunError;
use crate::explain::play::Step;
use crate::explain::subject::{Subject, best};
use crate::policy::{self, Which};
use crate::run::{RunDirectory, checkpoint};
use crate::setup::Setup;

/// A checkpoint at the states that all are seen at.
#[derive(Clone, Debug, Serialize)]
pub struct CheckpointReport {
    /// Environment steps.
    pub env_steps: u64,
    /// `‖θ‖` of the parameters that the policy acts with.
    pub weight_norm: f64,
    /// `‖θ − θ'‖ / ‖θ'‖` with the parameters of the checkpoint before; none of the first.
    pub moved: Option<f64>,
    /// Of all rectifiers, the share that is dead.
    pub dead: f64,
    /// Of all units of layers with an activation function, the share that is dormant.
    pub dormant: f64,
    /// The share of units that are saturated.
    pub saturated: f64,
    /// The last layer before the outputs: its rank, see [`super::Ranks::srank`].
    pub srank: usize,
    /// Similarity of that layer with the newest checkpoint's.
    pub cka: f64,
    /// The share of states at which it would do what the newest does; none where actions are numbers.
    pub same_action: Option<f64>,
}

/// What checkpoints are compared by.
#[derive(Clone, Debug, Serialize)]
pub struct CheckpointsReport {
    /// The oldest first.
    pub checkpoints: Vec<CheckpointReport>,
    /// Names of layers.
    pub layers: Vec<String>,
    /// Similarity of the oldest checkpoint's layers (rows) with the newest's.
    pub cka: Vec<Vec<f64>>,
}

/// A checkpoint's policy at some states.
struct Seen {
    env_steps: u64,
    parameters: Vec<f32>,
    sites: Vec<Site>,
    alignments: Vec<Alignment>,
}

/// Compares the checkpoints that a run keeps; none if there are fewer than two, or it is a weight file.
///
/// # Errors
/// If one cannot be loaded.
pub(super) fn compare(
    setup: &Setup,
    path: &Path,
    steps: &[Step],
    indices: &[usize],
) -> Result<Option<CheckpointsReport>, RunError> {
    if !path.is_dir() {
        return Ok(None);
    }
    let kept = checkpoint::steps(&RunDirectory::at(path).checkpoints())?;
    let (mut all, mut choices) = (Vec::new(), Vec::new());
    for env_steps in kept {
        let subject = Subject::of(setup, policy::load_which(setup, path, Which::Step(env_steps))?)?;
        let sites = sites(&subject.policy, steps, indices)?;
        choices = subject.choices();
        let alignments = sites.iter().map(Alignment::of).collect();
        let parameters = used(&subject.program().operations, &subject.export.parameters);
        all.push(Seen { env_steps, parameters, sites, alignments });
    }
    all.sort_by_key(|seen| seen.env_steps);
    let [oldest, .., newest] = all.as_slice() else { return Ok(None) };
    let masks: Vec<&[bool]> = indices.iter().map(|&state| &steps[state].mask[..]).collect();
    let before = std::iter::once(None).chain(all.iter().map(Some));
    let told = |(seen, before)| CheckpointReport {
        same_action: same_action(seen, newest, &choices, &masks),
        ..report(seen, before, newest)
    };
    let checkpoints = all.iter().zip(before).map(told).collect();
    let cka =
        oldest.alignments.iter().map(|own| newest.alignments.iter().map(|other| own.with(other)).collect());
    let layers = newest.sites.iter().map(|site| site.name.clone()).collect();
    Ok(Some(CheckpointsReport { checkpoints, layers, cka: cka.collect() }))
}

/// The parameters that operations have, one after the other.
fn used(operations: &[Operation], parameters: &Parameters) -> Vec<f32> {
    let names = operations.iter().flat_map(Operation::flat).flat_map(Operation::parameters);
    names
        .filter_map(|name| parameters.get(name))
        .flat_map(|parameter| parameter.values.iter().copied())
        .collect()
}

fn report(seen: &Seen, before: Option<&Seen>, newest: &Seen) -> CheckpointReport {
    let norm = |values: &[f32]| values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    let moved = before.filter(|before| before.parameters.len() == seen.parameters.len()).map(|before| {
        let pairs = seen.parameters.iter().zip(&before.parameters);
        let difference: Vec<f32> = pairs.map(|(own, other)| own - other).collect();
        norm(&difference) / norm(&before.parameters).max(f64::MIN_POSITIVE)
    });
    // Neither what is read nor the outputs.
    let hidden = &seen.sites[1..seen.sites.len() - 1];
    let counts: Vec<_> = hidden.iter().map(count).collect();
    let units = counts.iter().map(|count| count.units).sum::<usize>().max(1) as f64;
    let relu = |site: &&Site| site.name.ends_with("relu");
    let rectifiers = hidden.iter().filter(relu).map(Site::units).sum::<usize>().max(1) as f64;
    let share =
        |of: fn(&super::UnitCounts) -> usize, all: f64| counts.iter().map(of).sum::<usize>() as f64 / all;
    let last = seen.sites.len().saturating_sub(2);
    CheckpointReport {
        env_steps: seen.env_steps,
        weight_norm: norm(&seen.parameters),
        moved,
        dead: share(|count| count.dead, rectifiers),
        dormant: share(|count| count.dormant, units),
        saturated: share(|count| count.saturated, units),
        srank: ranks(&seen.sites[last]).srank,
        cka: seen.alignments[last].with(&newest.alignments[last]),
        same_action: None,
    }
}

/// How often the best options are the same ones.
fn same_action(seen: &Seen, newest: &Seen, choices: &[usize], masks: &[&[bool]]) -> Option<f64> {
    let (Some(own), Some(other)) = (seen.sites.last(), newest.sites.last()) else { return None };
    let options = |site: &Site, state: usize| best(choices, site.row(state), masks[state]);
    let is_same = |state: &usize| options(own, *state) == options(other, *state);
    let same = (0..own.states()).filter(is_same).count();
    (!choices.is_empty()).then(|| same as f64 / own.states().max(1) as f64)
}
