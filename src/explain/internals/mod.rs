//! Explaining a policy by what happens inside of its network: units that do nothing, how many directions are used, what units
//! respond to, what can be read of a layer, how alike layers and a run's checkpoints see things, and whether the network loses
//! the ability to learn.

mod activations;
mod checkpoints;
mod probe;
mod quantities;
mod rank;
mod section;
mod similarity;
mod units;

use std::path::Path;

use agon_envs::Frame;
use agon_envs::random::SeedSequence;
use agon_policy::Operation;
use serde::Serialize;

use activations::sites;
pub use activations::{Ends, Site};
pub use checkpoints::{CheckpointReport, CheckpointsReport};
pub use probe::{Split, probe};
pub use quantities::Quantity;
use quantities::quantities;
pub use rank::{Ranks, ranks};
pub use similarity::Alignment;
pub use units::UnitCounts;

use super::output::spaced;
use super::play::{Step, episodes};
use super::subject::Subject;
use crate::RunError;
use crate::page::Page;
use crate::setup::Setup;

/// Steps of episodes that states are chosen from, and their longest pictures' side.
const MOST_STEPS: usize = 3000;
const FRAME_SIDE: u32 = 160;

/// How a network is looked into.
#[derive(Clone, Debug)]
pub struct InternalsOptions {
    /// States that all is measured at; at least 10.
    pub states: usize,
    /// Episodes that they are taken from; at least 1.
    pub episodes: usize,
    /// Parts of names of quantities that are probed for; by default those of the observation, their changes, and what is to come.
    pub probes: Vec<String>,
    /// Seed of episodes.
    pub seed: u64,
}

impl Default for InternalsOptions {
    fn default() -> Self {
        Self { states: 400, episodes: 20, probes: Vec::new(), seed: 0 }
    }
}

/// A layer.
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    /// Its place and kind.
    pub name: String,
    /// Values of a state: of an image those of all pixels.
    pub values: usize,
    /// Its units.
    pub units: UnitCounts,
    /// Directions that it uses.
    pub ranks: Ranks,
    /// Held-out `R²` of each quantity; none of those that do not change where it is judged.
    pub probes: Vec<Option<f64>>,
}

/// Weights of an operation.
#[derive(Clone, Debug, Serialize)]
pub struct WeightReport {
    /// Its place among those with weights, and kind.
    pub name: String,
    /// How many numbers it has.
    pub values: usize,
    /// `‖θ‖`.
    pub norm: f64,
    /// `‖θ‖ / √n`.
    pub root_mean_square: f64,
}

/// A unit, and what it responds to.
#[derive(Clone, Debug, Serialize)]
pub struct UnitReport {
    /// The layer.
    pub layer: String,
    /// Which of its units.
    pub unit: usize,
    /// From 0, all states alike, to 1, a single one.
    pub selectivity: f64,
    /// Quantities that go with its response, and their correlations, the strongest first.
    pub goes_with: Vec<(String, f64)>,
    /// The states of its largest responses.
    pub top_states: Vec<usize>,
}

/// What was found inside of a network.
#[derive(Clone, Debug, Serialize)]
pub struct InternalsReport {
    /// States.
    pub states: usize,
    /// What is probed for.
    pub quantities: Vec<String>,
    /// From what the network reads to what the policy chooses by.
    pub layers: Vec<LayerReport>,
    /// Its weights.
    pub weights: Vec<WeightReport>,
    /// Similarity of layers.
    pub cka: Vec<Vec<f64>>,
    /// Selective units.
    pub units: Vec<UnitReport>,
    /// A run's checkpoints.
    pub checkpoints: Option<CheckpointsReport>,
}

/// Writes the section about what happens inside; `path` is the run that checkpoints and metrics come from.
///
/// # Errors
/// If the environment fails, a quantity is asked for that there is not, a checkpoint cannot be loaded, or a file cannot be written.
pub fn explain(
    setup: &Setup,
    path: &Path,
    subject: &Subject,
    options: &InternalsOptions,
    page: &mut Page,
) -> Result<InternalsReport, RunError> {
    let mut frames: Vec<Frame> = Vec::new();
    let seed = SeedSequence::with_spawn_key(options.seed, &[22]).seed();
    let mut keep = |frame: Frame| frames.push(frame.shrunk(FRAME_SIDE));
    let steps = episodes(setup, subject, seed, options.episodes, MOST_STEPS, Some(&mut keep))?;
    let indices = spaced(steps.len(), options.states);
    let sites = sites(&subject.policy, &steps, &indices)?;
    let (found, names) = quantities(&subject.features, &steps, &indices, &options.probes);
    if found.is_empty() && !options.probes.is_empty() {
        let message =
            format!("expected parts of names of quantities, found {:?}: there are {names:?}", options.probes);
        return Err(RunError::Config(message));
    }
    let of_episodes: Vec<usize> = indices.iter().map(|&state| steps[state].number).collect();
    let split = Split::of(&of_episodes);
    let values: Vec<Vec<f64>> = found.iter().map(|quantity| quantity.values.clone()).collect();
    let layers: Vec<LayerReport> = sites
        .iter()
        .map(|site| LayerReport {
            name: site.name.clone(),
            values: site.width,
            units: units::count(site),
            ranks: ranks(site),
            probes: probe(site, &values, &split),
        })
        .collect();
    let alignments: Vec<Alignment> = sites.iter().map(Alignment::of).collect();
    let of_layer = |own: &Alignment| alignments.iter().map(|other| own.with(other)).collect();
    let report = InternalsReport {
        states: indices.len(),
        quantities: found.iter().map(|quantity| quantity.name.clone()).collect(),
        layers,
        weights: weights(subject),
        cka: alignments.iter().map(of_layer).collect(),
        units: selective(&sites, &found, &steps, &indices),
        checkpoints: checkpoints::compare(setup, path, &steps, &indices)?,
    };
    let looks =
        section::Looks { setup, subject, steps: &steps, frames: &frames, indices: &indices, sites: &sites };
    section::write(&looks, path, &report, page)?;
    page.numbers("internals", &report)?;
    Ok(report)
}

/// Norms of what operations have for weights.
fn weights(subject: &Subject) -> Vec<WeightReport> {
    let parameters = &subject.export.parameters;
    let operations = subject.program().operations.iter().flat_map(Operation::flat);
    let weighted = operations.filter(|operation| !operation.parameters().is_empty());
    weighted
        .enumerate()
        .map(|(index, operation)| {
            let names = operation.parameters();
            let values = names.iter().filter_map(|name| parameters.get(*name)).flat_map(|own| &own.values);
            let (count, squares) = values.fold((0_usize, 0.0), |(count, squares), &value| {
                (count + 1, squares + f64::from(value).powi(2))
            });
            WeightReport {
                name: format!("{index} {}", operation.name()),
                values: count,
                norm: squares.sqrt(),
                root_mean_square: (squares / count.max(1) as f64).sqrt(),
            }
        })
        .collect()
}

/// The most selective units of the last image, and of the last layer before the outputs.
fn selective(sites: &[Site], quantities: &[Quantity], steps: &[Step], indices: &[usize]) -> Vec<UnitReport> {
    const UNITS: usize = 6;
    const STATES: usize = 5;
    const APART: usize = 10;
    let hidden = &sites[1..sites.len() - 1];
    let last = hidden.len().checked_sub(1);
    let image = hidden.iter().rposition(|site| site.image.is_some()).filter(|image| Some(*image) != last);
    let places: Vec<(usize, usize)> =
        indices.iter().map(|&state| (steps[state].number, steps[state].step)).collect();
    let mut found = Vec::new();
    for site in image.into_iter().chain(last).map(|index| &hidden[index]) {
        for (unit, selectivity) in units::most_selective(site, UNITS) {
            let responses = units::responses(site, unit);
            found.push(UnitReport {
                layer: site.name.clone(),
                unit,
                selectivity,
                goes_with: goes_with(&responses, quantities),
                top_states: units::top_states(&responses, &places, STATES, APART),
            });
        }
    }
    found
}

/// The quantities that a response goes with most.
fn goes_with(responses: &[f64], quantities: &[Quantity]) -> Vec<(String, f64)> {
    const TOLD: usize = 2;
    let of = |quantity: &Quantity| {
        let found = correlation(responses, &quantity.values);
        found.is_finite().then(|| (quantity.name.clone(), found))
    };
    let mut found: Vec<(String, f64)> = quantities.iter().filter_map(of).collect();
    found.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
    found.truncate(TOLD);
    found
}

/// Pearson's.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let (mean_a, mean_b) = (crate::stats::mean(a), crate::stats::mean(b));
    let sum =
        |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(a, b)| f(a - mean_a, b - mean_b)).sum::<f64>();
    sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
}

#[cfg(test)]
mod tests;
