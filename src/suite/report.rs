//! The suite's plots and table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Entry, Reference, Standing, Suite};
use crate::RunError;
use crate::error::AtPath;
use crate::plot::{self, Curve, PlotError, PlotOptions};
use crate::run::directory::write_atomically;
use crate::score::Measure;
use crate::stats;
use crate::text::{duration, human, table};

/// The markers that the table lies between.
const BEGIN: &str = "<!-- suite: begin (written by `agon suite`) -->";
const END: &str = "<!-- suite: end -->";

/// Draws the curve of every entry and of every group.
pub(super) fn draw(suite: &Suite, standings: &[Standing<'_>]) -> Result<(), RunError> {
    let mut groups: BTreeMap<&str, Vec<(&Standing<'_>, &Reference)>> = BTreeMap::new();
    for standing in standings {
        let Some(reference) = &standing.reference else { continue };
        let entry = standing.entry;
        let options = PlotOptions {
            threshold: entry.wanted.map(|wanted| (wanted.score(), format!("wanted: {}", wanted.score()))),
            ..options(&reference.config.env.id, entry.has_lengths())
        };
        save(&[curve_of(entry, reference)], &options, &suite.reference_path(entry).join("curve.svg"))?;
        if let Some(group) = &entry.group {
            groups.entry(group).or_default().push((standing, reference));
        }
    }
    for (group, members) in groups {
        let curves: Vec<Curve> =
            members.iter().map(|(standing, reference)| curve_of(standing.entry, reference)).collect();
        let in_percent = members.iter().all(|(standing, _)| standing.entry.has_lengths());
        let envs: BTreeSet<&str> =
            members.iter().map(|(_, reference)| reference.config.env.id.as_str()).collect();
        let title = envs.into_iter().collect::<Vec<_>>().join(", ");
        save(
            &curves,
            &options(&title, in_percent),
            &suite.directory.join(format!("reference/group_{group}.svg")),
        )?;
    }
    Ok(())
}

/// The learning curve of an entry. Runs of several lengths are drawn over the share of their steps.
fn curve_of(entry: &Entry, reference: &Reference) -> Curve {
    let mut curve = reference.curve(entry.label(&reference.config));
    if entry.has_lengths() {
        for run in &mut curve.runs {
            let end = run.last().map_or(1.0, |&(step, _)| step);
            run.iter_mut().for_each(|(step, _)| *step *= 100.0 / end);
        }
    }
    curve
}

fn options(title: &str, in_percent: bool) -> PlotOptions {
    let x_label = if in_percent { "environment steps, % of each run" } else { "environment steps" };
    PlotOptions {
        title: title.to_owned(),
        x_label: x_label.to_owned(),
        y_label: Measure::Last100.axis().to_owned(),
        ..Default::default()
    }
}

fn save(curves: &[Curve], options: &PlotOptions, path: &Path) -> Result<(), RunError> {
    match plot::save(curves, options, path) {
        // No episode has ended, so there is nothing to draw.
        Err(PlotError::NoData { .. }) => Ok(()),
        saved => Ok(saved?),
    }
}

/// Writes the table into a document, between its markers. One that does not exist begins with a title.
pub(super) fn write_table(suite: &Suite, standings: &[Standing<'_>]) -> Result<(), RunError> {
    let document = &suite.document();
    let text = if document.exists() {
        std::fs::read_to_string(document).at("cannot read", document)?
    } else {
        format!("# Results\n\n{BEGIN}\n{END}\n")
    };
    let places = text.find(BEGIN).and_then(|begin| {
        let after = begin + BEGIN.len();
        Some((after, after + text[after..].find(END)?))
    });
    let Some((begin, end)) = places else {
        return Err(RunError::Config(format!(
            "{}: expected the lines `{BEGIN}` and `{END}` that the table goes between, found none",
            document.display()
        )));
    };
    let written = format!("{}\n\n{}\n{}", &text[..begin], markdown(&suite.name, standings), &text[end..]);
    if written == text { Ok(()) } else { write_atomically(document, written.as_bytes()) }
}

/// The table and what has to be known of it.
fn markdown(name: &str, standings: &[Standing<'_>]) -> String {
    let header = [
        "environment",
        "algorithm",
        "steps",
        "seeds",
        "score, mean ± 95 %",
        "lowest seed",
        "measured on",
        "wanted",
        "published",
        "time",
        "steps/s",
    ];
    let recorded = || standings.iter().filter_map(|standing| Some((standing, standing.reference.as_ref()?)));
    let rows: Vec<Vec<String>> = recorded().map(|(standing, reference)| row(standing, reference)).collect();
    let machines: BTreeSet<&str> = recorded()
        .flat_map(|(_, reference)| reference.seeds.iter().map(|row| row.machine.as_str()))
        .collect();
    let machines: Vec<&str> = machines.into_iter().collect();
    format!(
        "Measured on {}. Every row has a directory in `reference/` with the configuration, the scores of all seeds and \
         the curve; `agon suite {name}` trains what is missing. The interval is Student's, over seeds; seeds of experiments \
         have other sizes. Time \
         and steps a second are medians of whole runs, logs and checkpoints included; where seeds ran side by side, a \
         run had one core of the machine.\n\n{}\n",
        machines.join("; and on "),
        table(&header, &rows)
    )
}

fn row(standing: &Standing<'_>, reference: &Reference) -> Vec<String> {
    let entry = standing.entry;
    let scores = reference.scores();
    // One number of decimals for a row.
    let decimals = if scores.iter().any(|score| score.abs() >= 10.0) { 1 } else { 3 };
    let number = |value: f64| format!("{value:.decimals$}");
    let half_width = stats::ci95_half_width(&scores);
    let mean = if half_width.is_nan() {
        number(stats::mean(&scores))
    } else {
        format!("{} ± {}", number(stats::mean(&scores)), number(half_width))
    };
    let median = |value: fn(&super::SeedScore) -> f64| {
        stats::median(&reference.seeds.iter().map(value).collect::<Vec<_>>())
    };
    let rate = median(|row| row.steps_per_second);
    let verdict = |reached: bool| if reached { "reached" } else { "**missed**" };
    let speed = match entry.wanted_steps_per_second {
        Some(wanted) => {
            format!("{} (wanted {}: {})", human(rate), human(wanted), verdict(rate >= wanted))
        }
        None => human(rate),
    };
    let at_once = reference.seeds.iter().map(|row| row.runs_at_once).max().unwrap_or(1);
    let alone = if at_once == 1 { "" } else { ", side by side" };
    let lengths = || reference.seeds.iter().map(|row| row.env_steps);
    let steps = match (lengths().min(), lengths().max()) {
        (Some(least), Some(most)) if entry.has_lengths() => {
            format!("{} to {}", human(least as f64), human(most as f64))
        }
        _ => human(reference.config.total_timesteps as f64),
    };
    let stale = if standing.is_current { "" } else { " (of other settings than the file's)" };
    vec![
        format!("[{}](reference/{}/curve.svg)", reference.config.env.id, entry.name),
        format!("{}{stale}", entry.label(&reference.config)),
        steps,
        reference.seeds.len().to_string(),
        mean,
        number(scores.iter().copied().fold(f64::INFINITY, f64::min)),
        reference.seeds.first().map_or(String::new(), |row| row.measure.clone()),
        entry.wanted.map_or("–".to_owned(), |wanted| {
            format!("{}: {}", wanted.label(), verdict(wanted.is_reached(&scores)))
        }),
        match (&entry.published, &entry.source) {
            (None, _) => "–".to_owned(),
            (Some(published), None) => published.clone(),
            (Some(published), Some(source)) => format!("{published} ({source})"),
        },
        duration(median(|row| row.wall_s)),
        format!("{speed}{alone}"),
    ]
}
