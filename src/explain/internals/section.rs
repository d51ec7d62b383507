//! The section about what happens inside: tables, maps, and states that units respond to.

use std::path::Path;

use agon_envs::Frame;

use super::activations::Site;
use super::{CheckpointsReport, InternalsReport, UnitReport};
use crate::RunError;
use crate::explain::pictures::{Grid, beside, drawn, overlay, resized};
use crate::explain::play::Step;
use crate::explain::subject::Subject;
use crate::page::Page;
use crate::plot::{self, Line, Matrix, PlotOptions, Shades};
use crate::run::RunDirectory;
use crate::setup::Setup;
use crate::text::{human, significant, table};

const SIDE: u32 = 130;
const MOST_NORMS: usize = 6;
/// From how much more of the variance on a layer is said to have made something.
const GAIN: f64 = 0.05;

/// What pictures are made of.
pub(super) struct Looks<'a> {
    pub(super) setup: &'a Setup,
    pub(super) subject: &'a Subject,
    pub(super) steps: &'a [Step],
    pub(super) frames: &'a [Frame],
    pub(super) indices: &'a [usize],
    pub(super) sites: &'a [Site],
}

/// Writes all of it.
pub(super) fn write(
    looks: &Looks<'_>,
    path: &Path,
    report: &InternalsReport,
    page: &mut Page,
) -> Result<(), RunError> {
    page.heading(2, "Internals");
    page.paragraph(&format!(
        "Measured at {} states of the policy's own episodes. Of layers of images a unit is a channel.",
        report.states
    ));
    layers(report, page);
    probes(report, page)?;
    similarity(report, page)?;
    units(looks, report, page)?;
    weights(report, page);
    if let Some(found) = &report.checkpoints {
        checkpoints(found, page)?;
    }
    norms(path, page)
}

fn layers(report: &InternalsReport, page: &mut Page) {
    page.heading(3, "Units and directions");
    let rows: Vec<Vec<String>> = report
        .layers
        .iter()
        .map(|layer| {
            let units = layer.units;
            let numbers =
                [layer.values, units.units, units.dead, units.dormant, units.saturated, layer.ranks.srank];
            let numbers = numbers.iter().map(ToString::to_string);
            let others = [layer.ranks.stable, layer.ranks.effective].map(|rank| significant(rank, 3));
            std::iter::once(layer.name.clone()).chain(numbers).chain(others).collect()
        })
        .collect();
    let header = [
        "layer",
        "values",
        "units",
        "dead",
        "dormant",
        "saturated",
        "srank",
        "stable rank",
        "effective rank",
    ];
    page.paragraph(&table(&header, &rows));
    page.paragraph(
        "Dead: zero at every state, of rectifiers. Dormant: a mean size of at most 0.025 of the layer's mean. Saturated: within \
         0.01 of an end of its function at 95 % of states. srank: how many singular values of the activations make up 99 % of \
         their sum. Stable rank: the sum of their squares by the largest square. Effective rank: the exponential of the entropy \
         of their shares.",
    );
    let hidden = &report.layers[1..report.layers.len() - 1];
    let sum =
        |of: fn(&super::UnitCounts) -> usize| hidden.iter().map(|layer| of(&layer.units)).sum::<usize>();
    if let Some(last) = hidden.last() {
        page.finding(format!(
            "Of {} units {} are dead, {} dormant and {} saturated; the last layer ({}) uses {} of {} directions.",
            sum(|units| units.units),
            sum(|units| units.dead),
            sum(|units| units.dormant),
            sum(|units| units.saturated),
            last.name,
            last.ranks.srank,
            last.values
        ));
    }
}

fn probes(report: &InternalsReport, page: &mut Page) -> Result<(), RunError> {
    if report.quantities.is_empty() {
        return Ok(());
    }
    page.heading(3, "What can be read of its layers");
    page.paragraph(
        "R² of a weighted sum of a layer's values (ridge regression, its penalty chosen by other episodes), in episodes that \
         nothing was fitted on or chosen by. 1: the quantity is there; 0 or less: no better than its mean.",
    );
    let values: Vec<Vec<f64>> = (0..report.quantities.len())
        .map(|quantity| {
            let of = |layer: &super::LayerReport| layer.probes[quantity].unwrap_or(f64::NAN);
            report.layers.iter().map(of).collect()
        })
        .collect();
    let told = Matrix {
        title: "R² in other episodes".to_owned(),
        x_label: String::new(),
        rows: report.quantities.clone(),
        columns: report.layers.iter().map(|layer| layer.name.clone()).collect(),
        values: values.clone(),
        shades: Shades::Shares,
        frame: None,
    };
    page.picture("probes", "What can be read of layers", &plot::matrix(&told)?)?;
    // What the last layer has made of what it was shown.
    let last = report.layers.len().saturating_sub(2);
    let gain = |row: &Vec<f64>| row[last].max(0.0) - row[0].max(0.0);
    let known = || (0..values.len()).filter(|&i| values[i][last].is_finite() && values[i][0].is_finite());
    let gained = known().max_by(|&a, &b| gain(&values[a]).total_cmp(&gain(&values[b])));
    let kept = known().max_by(|&a, &b| values[a][last].total_cmp(&values[b][last]));
    if let Some(most) = gained.filter(|&most| gain(&values[most]) > GAIN).or(kept) {
        page.finding(format!(
            "A weighted sum of the last layer reads {} with R² {:.2}; of what the network is shown, with {:.2}.",
            report.quantities[most], values[most][last], values[most][0]
        ));
    }
    Ok(())
}

fn similarity(report: &InternalsReport, page: &mut Page) -> Result<(), RunError> {
    page.heading(3, "How alike layers see states");
    let names: Vec<String> = report.layers.iter().map(|layer| layer.name.clone()).collect();
    let told = Matrix {
        title: "Similarity of layers (linear CKA)".to_owned(),
        x_label: String::new(),
        rows: names.clone(),
        columns: names,
        values: report.cka.clone(),
        shades: Shades::Shares,
        frame: None,
    };
    page.picture("cka", "Similarity of layers", &plot::matrix(&told)?)
}

fn units(looks: &Looks<'_>, report: &InternalsReport, page: &mut Page) -> Result<(), RunError> {
    if report.units.is_empty() {
        return Ok(());
    }
    page.heading(3, "What units respond to");
    page.paragraph(
        "The most selective units: 0 is a unit that responds to all states alike, 1 one that responds to a single state. What \
         goes with a unit's response, by their correlation over states:",
    );
    let rows: Vec<Vec<String>> = report
        .units
        .iter()
        .map(|unit| {
            let goes = unit.goes_with.iter().map(|(name, found)| format!("{name} ({found:.2})"));
            let goes = goes.collect::<Vec<_>>().join(", ");
            vec![unit.layer.clone(), unit.unit.to_string(), format!("{:.2}", unit.selectivity), goes]
        })
        .collect();
    page.paragraph(&table(&["layer", "unit", "selectivity", "goes with"], &rows));
    let mut cells = Vec::new();
    let columns = report.units.iter().map(|unit| unit.top_states.len()).max().unwrap_or(0);
    for unit in report.units.iter().filter(|unit| unit.top_states.len() == columns) {
        cells.extend(unit.top_states.iter().filter_map(|&state| looks.at(unit, state)));
    }
    if columns > 0 && !cells.is_empty() {
        page.paragraph("The states of their largest responses, a unit a row:");
        page.frame("units", "What units respond to", &beside(&cells, columns, SIDE))?;
    }
    Ok(())
}

impl Looks<'_> {
    /// A state that a unit responds to: where in it, of channels of images.
    fn at(&self, unit: &UnitReport, state: usize) -> Option<(String, Frame)> {
        let Self { setup, subject, steps, frames, indices, sites } = self;
        let site = sites.iter().find(|site| site.name == unit.layer)?;
        let values = site.unit(state, unit.unit);
        let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let text = format!("unit {}: {}", unit.unit, significant(f64::from(largest), 2));
        let grid = Grid::of(&subject.program().inputs);
        let is_drawn = setup.registry.get(&subject.env.id).is_ok_and(|spec| spec.frames_are_observations());
        let frame = frames.get(indices[state]).cloned();
        let (Some(grid), Some([_, height, width])) = (grid, site.image) else {
            let shown = || Some(drawn(grid?, &steps[indices[state]].observation));
            return frame.or_else(shown).map(|frame| (text, frame));
        };
        let below =
            frame.filter(|_| is_drawn).unwrap_or_else(|| drawn(grid, &steps[indices[state]].observation));
        let map: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
        let cells = resized(&map, [height, width], [grid.height, grid.width]);
        Some((text, overlay(&below, grid, &cells, true)))
    }
}

fn weights(report: &InternalsReport, page: &mut Page) {
    page.heading(3, "Weights");
    let rows: Vec<Vec<String>> = report
        .weights
        .iter()
        .map(|own| {
            let norms = [own.norm, own.root_mean_square].map(|norm| significant(norm, 3));
            [vec![own.name.clone(), own.values.to_string()], norms.to_vec()].concat()
        })
        .collect();
    page.paragraph(&table(&["weights of", "numbers", "norm", "root mean square"], &rows));
}

fn checkpoints(found: &CheckpointsReport, page: &mut Page) -> Result<(), RunError> {
    page.heading(3, "Checkpoints");
    let share = |value: f64| format!("{} %", significant(100.0 * value, 3));
    let rows: Vec<Vec<String>> = found
        .checkpoints
        .iter()
        .map(|own| {
            vec![
                own.env_steps.to_string(),
                significant(own.weight_norm, 4),
                own.moved.map_or_else(|| "–".to_owned(), |moved| significant(moved, 3)),
                share(own.dead),
                share(own.dormant),
                share(own.saturated),
                own.srank.to_string(),
                format!("{:.3}", own.cka),
                own.same_action.map_or_else(|| "–".to_owned(), share),
            ]
        })
        .collect();
    let header = [
        "steps",
        "weight norm",
        "moved since the one before",
        "dead",
        "dormant",
        "saturated",
        "srank of the last layer",
        "its CKA with the newest",
        "same action as the newest",
    ];
    page.paragraph(&table(&header, &rows));
    page.paragraph(
        "At the same states. A network loses the ability to learn where dead and dormant units and weights grow and the rank \
         falls (Lyle et al. 2023, Sokar et al. 2023).",
    );
    let told = Matrix {
        title: "Oldest checkpoint (rows) and newest (columns), CKA".to_owned(),
        x_label: String::new(),
        rows: found.layers.clone(),
        columns: found.layers.clone(),
        values: found.cka.clone(),
        shades: Shades::Shares,
        frame: None,
    };
    page.picture("cka_checkpoints", "Similarity of checkpoints", &plot::matrix(&told)?)?;
    if let [first, .., last] = found.checkpoints.as_slice() {
        page.finding(format!(
            "From step {} to {} the weights' norm goes from {} to {}, dormant units from {} to {}, the last layer's srank from {} to {}.",
            human(first.env_steps as f64),
            human(last.env_steps as f64),
            significant(first.weight_norm, 3),
            significant(last.weight_norm, 3),
            share(first.dormant),
            share(last.dormant),
            first.srank,
            last.srank
        ));
    }
    Ok(())
}

/// Norms that a run has logged over training.
fn norms(path: &Path, page: &mut Page) -> Result<(), RunError> {
    let metrics = RunDirectory::at(path).file("metrics.csv");
    if !metrics.is_file() {
        return Ok(());
    }
    let columns = plot::load_columns(&metrics)?;
    let Some((_, steps)) = columns.iter().find(|(name, _)| name == "global_step") else { return Ok(()) };
    let is_norm = |name: &str| name.contains("norm") || name.contains("dormant") || name.contains("rank");
    let lines: Vec<Line> = columns
        .iter()
        .filter(|(name, values)| is_norm(name) && values.iter().any(|value| value.is_finite()))
        .take(MOST_NORMS)
        .map(|(name, values)| Line {
            label: name.clone(),
            num_runs: 1,
            points: steps.iter().copied().zip(values.iter().copied()).collect(),
            band: Vec::new(),
            joined: true,
        })
        .collect();
    if lines.is_empty() {
        page.paragraph("The run has logged no norms of weights or gradients.");
        return Ok(());
    }
    page.heading(3, "Norms over training");
    let options = PlotOptions {
        title: "Norms over training".to_owned(),
        y_label: "norm".to_owned(),
        log_y: true,
        ..PlotOptions::default()
    };
    page.picture("norms", "Norms over training", &plot::draw_lines(&lines, &options)?)
}
