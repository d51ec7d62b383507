//! Explaining a policy by what it gives out: along an episode, by what it depends on, by what would have changed it, and by where
//! it matters.

mod counterfactual;
mod critical;
mod importance;
mod readout;

use agon_envs::{Frame, render};
use serde::Serialize;

pub use counterfactual::Counterfactual;
pub use critical::Criticality;
pub(super) use importance::spaced;
pub use importance::{Importance, ImportanceOptions};
pub(super) use readout::{Probe, scores_words};

use super::play::{Step, episodes};
use super::subject::{Subject, probabilities};
use crate::page::Page;
use crate::plot::{self, Bar, Line, PlotOptions};
use crate::setup::Setup;
use crate::text::{significant, table};
use crate::{RunError, stats};
use counterfactual::{Places, counterfactuals};

/// Steps that are looked at, at most.
const MOST_STEPS: usize = 5000;
/// Of them those that importance by permutation goes by, and that counterfactuals are sought for.
const PERMUTED: usize = 500;
const CHANGED: usize = 40;
/// Counterfactuals that are told.
const TOLD: usize = 8;
/// Options or numbers that are drawn, at most.
const MOST_LINES: usize = 8;
/// Frames of a sheet, and their longest side.
const SHEET: usize = 6;
const SHEET_SIDE: u32 = 220;

/// What was found out about a policy's outputs.
#[derive(Clone, Debug, Serialize)]
pub struct OutputReport {
    /// Steps that were looked at.
    pub steps: usize,
    /// Of each part of an observation how much it matters.
    pub importance: Vec<Importance>,
    /// Changes of one value.
    pub single: Vec<Counterfactual>,
    /// Changes of several.
    pub several: Vec<Counterfactual>,
    /// Where it matters what is done; none where actions are numbers.
    pub criticality: Option<Criticality>,
}

/// Writes the section about outputs.
///
/// # Errors
/// If the environment fails or a file cannot be written.
pub fn explain(
    setup: &Setup,
    subject: &Subject,
    options: &ImportanceOptions,
    page: &mut Page,
) -> Result<OutputReport, RunError> {
    let mut frames = Vec::new();
    let first = episodes(setup, subject, options.seed, 1, MOST_STEPS, Some(&mut |frame| frames.push(frame)))?;
    let others = agon_envs::random::SeedSequence::with_spawn_key(options.seed, &[13]).seed();
    let steps = episodes(setup, subject, others, options.episodes, MOST_STEPS, None)?;
    page.heading(2, "Output");
    timeline(subject, &first, page)?;
    let criticality = match subject.is_continuous() {
        true => None,
        false => Some(critical::explain(setup, subject, &first, &steps, &frames, options, page)?),
    };
    let chosen: Vec<Step> = spaced(steps.len(), PERMUTED).into_iter().map(|i| steps[i].clone()).collect();
    let found = importance::importance(setup, subject, &chosen, options)?;
    importance_section(subject, &found, options, page)?;
    let (single, several) = changes(subject, &steps, page)?;
    let report = OutputReport { steps: steps.len(), importance: found, single, several, criticality };
    page.numbers("output", &report)?;
    Ok(report)
}

/// Probabilities or values, and what is expected, along an episode.
fn timeline(subject: &Subject, steps: &[Step], page: &mut Page) -> Result<(), RunError> {
    let choices = subject.choices();
    let names: Vec<String> = subject.actions.concat();
    let numbers = |step: &Step| match (choices.is_empty(), subject.has_values()) {
        (true, _) => step.opinion.action.clone(),
        (false, true) => step.opinion.logits.clone(),
        (false, false) => {
            let mut shares = probabilities(&choices, &step.opinion.logits);
            let illegal = shares.iter_mut().zip(&step.mask).filter(|(_, legal)| !**legal);
            illegal.for_each(|(share, _)| *share = 0.0);
            shares
        }
    };
    let y_label = match (choices.is_empty(), subject.has_values()) {
        (true, _) => "action",
        (false, true) => "value of an action",
        (false, false) => "probability",
    };
    page.heading(3, "Along an episode");
    let line = |label: &str, value: &dyn Fn(&Step) -> f32| Line {
        label: label.to_owned(),
        num_runs: 1,
        // The least number stands for what is illegal.
        points: steps
            .iter()
            .map(|step| (step.step as f64, f64::from(value(step))))
            .map(|(x, y)| (x, if y > -1e30 { y } else { f64::NAN }))
            .collect(),
        band: Vec::new(),
        joined: true,
    };
    let mut lines: Vec<Line> = names
        .iter()
        .enumerate()
        .map(|(i, name)| line(name, &|step| numbers(step).get(i).copied().unwrap_or(f32::NAN)))
        .collect();
    let left_out = keep_most_varied(&mut lines);
    let total: f64 = steps.iter().map(|step| step.reward).sum();
    let labels = |title: &str, y_label: &str| PlotOptions {
        title: title.to_owned(),
        x_label: "step of the episode".to_owned(),
        y_label: y_label.to_owned(),
        ..PlotOptions::default()
    };
    let options = labels(&format!("What it would do, {}", subject.env.id), y_label);
    page.picture("actions", "Actions along an episode", &plot::draw_lines(&lines, &options)?)?;
    if left_out > 0 {
        page.paragraph(&format!(
            "Of {} these are the {MOST_LINES} that vary most along the episode.",
            names.len()
        ));
    }
    if steps.iter().all(|step| step.value.is_some()) {
        let mut rest = total;
        let mut returns = Vec::new();
        for step in steps {
            returns.push((step.step as f64, rest));
            rest -= step.reward;
        }
        let real = Line {
            label: "what came, undiscounted".to_owned(),
            num_runs: 1,
            points: returns,
            band: Vec::new(),
            joined: true,
        };
        let lines = [line("expected", &|step| step.value.unwrap_or(f32::NAN)), real];
        let picture = plot::draw_lines(&lines, &labels("What it expects of the rest", "return"))?;
        page.picture("values", "Expected return along an episode", &picture)?;
    }
    page.paragraph(&format!(
        "An episode of {} steps with a return of {}.",
        steps.len(),
        significant(total, 4)
    ));
    Ok(())
}

fn importance_section(
    subject: &Subject,
    found: &[Importance],
    options: &ImportanceOptions,
    page: &mut Page,
) -> Result<(), RunError> {
    page.heading(3, "What it depends on");
    let changes = if subject.is_continuous() { "action moves by" } else { "action changes" };
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|part| {
            let changes = match subject.is_continuous() {
                true => significant(part.changes, 3),
                false => format!("{} %", significant(100.0 * part.changes, 3)),
            };
            vec![
                part.name.clone(),
                changes,
                format!(
                    "{} ± {}",
                    significant(part.return_loss, 3),
                    significant(part.return_loss_half_width, 2)
                ),
                format!("{} ± {}", significant(part.shapley, 3), significant(part.shapley_half_width, 2)),
            ]
        })
        .collect();
    let header = ["part", changes, "return lost", "mean absolute Shapley value"];
    page.paragraph(&table(&header, &rows));
    let best = found.iter().fold(None, |best: Option<&Importance>, part| match best {
        Some(best) if best.return_loss >= part.return_loss => Some(best),
        _ => Some(part),
    });
    if let Some(best) = best {
        page.finding(format!(
            "It depends most on {}: seen as at other steps, the return falls by {} ± {}.",
            best.name,
            significant(best.return_loss, 3),
            significant(best.return_loss_half_width, 2)
        ));
    }
    page.paragraph(&format!(
        "A part is seen as it was at another step: how often that changes the action, and what it costs over {} episodes. \
         Shapley values share out {} among the parts, against what it is at other steps, over {} orders at each of {} steps. \
         Parts that depend on each other are torn apart by all of this: what comes of it are states that may not exist.",
        options.episodes,
        scores_words(subject),
        options.orders,
        options.steps
    ));
    let bars = |value: fn(&Importance) -> (f64, f64)| -> Vec<Bar> {
        let bar = |part: &Importance| {
            let (value, half_width) = value(part);
            Bar { label: part.name.clone(), value, half_width }
        };
        found.iter().map(bar).collect()
    };
    if found.iter().all(|part| part.return_loss == 0.0 && part.return_loss_half_width == 0.0) {
        page.paragraph("Whatever part is seen as at another step, the return stays as it is.");
    } else {
        let lost = bars(|part| (part.return_loss, part.return_loss_half_width));
        let picture = plot::bars("Permutation", "return lost, with its 95 % interval", &lost)?;
        page.picture("permutation", "Importance by permutation", &picture)?;
    }
    let shapley = bars(|part| (part.shapley, part.shapley_half_width));
    let label = format!("mean absolute share of {}", scores_words(subject));
    page.picture("shapley", "Importance by Shapley values", &plot::bars("Shapley values", &label, &shapley)?)
}

/// Seeks counterfactuals and tells the nearest of them.
fn changes(
    subject: &Subject,
    steps: &[Step],
    page: &mut Page,
) -> Result<(Vec<Counterfactual>, Vec<Counterfactual>), RunError> {
    let (mut single, mut several) = (Vec::new(), Vec::new());
    if subject.is_continuous() {
        // Actions that are numbers change with anything.
        return Ok((single, several));
    }
    page.heading(3, "What would have changed it");
    let places = Places::of(subject, steps);
    let indices = spaced(steps.len(), CHANGED);
    for &index in &indices {
        let probe = Probe::new(subject, &steps[index]);
        let (one, more) = counterfactuals(&probe, &places, index)?;
        single.extend(one);
        several.extend(more);
    }
    let mean = |found: &[Counterfactual]| {
        let distances: Vec<f64> = found.iter().map(|found| found.distance).collect();
        if distances.is_empty() { "–".to_owned() } else { significant(stats::mean(&distances), 3) }
    };
    page.finding(format!(
        "At {} of {} steps the change of one value would have changed the action, {} standard deviations away in the mean{}.",
        single.len(),
        indices.len(),
        mean(&single),
        match several.is_empty() {
            true => String::new(),
            false => format!("; of several values together {}", mean(&several)),
        }
    ));
    let told = |found: &Counterfactual| {
        let step = &steps[found.step];
        let change = |(name, from, to, unit): &(String, f32, f32, String)| {
            let [from, to] = [from, to].map(|value| significant(f64::from(*value), 3));
            format!("{name} {from} → {to} {unit}").trim_end().to_owned()
        };
        let changes: Vec<String> = found.changes.iter().map(change).collect();
        vec![
            format!("{}, {}", step.number + 1, step.step),
            found.action.clone(),
            changes.join(", "),
            found.other.clone(),
            significant(found.distance, 3),
        ]
    };
    let header = ["episode, step", "what it does", "if", "it would", "standard deviations"];
    for (title, found) in [("One value:", &single), ("Several values:", &several)] {
        if found.is_empty() || (title.starts_with("Several") && found[0].changes.len() > 12) {
            continue;
        }
        let rows: Vec<Vec<String>> = spaced(found.len(), TOLD).into_iter().map(|i| told(&found[i])).collect();
        page.paragraph(title);
        page.paragraph(&table(&header, &rows));
    }
    Ok((single, several))
}

/// Keeps those lines that vary most, in their order, and says how many were left out.
fn keep_most_varied(lines: &mut Vec<Line>) -> usize {
    let spread = |line: &Line| {
        let values = line.points.iter().map(|(_, y)| *y).filter(|y| y.is_finite());
        let (least, most) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| (low.min(y), high.max(y)));
        if most > least { most - least } else { 0.0 }
    };
    let left_out = lines.len().saturating_sub(MOST_LINES);
    if left_out > 0 {
        let spreads: Vec<f64> = lines.iter().map(spread).collect();
        let mut order: Vec<usize> = (0..lines.len()).collect();
        order.sort_by(|&a, &b| spreads[b].total_cmp(&spreads[a]).then(a.cmp(&b)));
        order.truncate(MOST_LINES);
        let mut at = 0..;
        lines.retain(|_| at.next().is_some_and(|index| order.contains(&index)));
    }
    left_out
}

/// Frames of some steps beside each other, with text below each.
fn sheet(frames: &[Frame], steps: &[(usize, String)]) -> Option<Frame> {
    let chosen: Vec<(String, Frame)> = steps
        .iter()
        .filter_map(|(index, text)| {
            let frame = frames.get(*index)?;
            let factor = SHEET_SIDE / frame.width.max(frame.height).max(1);
            Some((text.clone(), frame.enlarged(factor).shrunk(SHEET_SIDE)))
        })
        .collect();
    (!chosen.is_empty()).then(|| render::contact_sheet(&chosen, SHEET))
}

#[cfg(test)]
mod tests;
