//! The page.

use super::hacking::Suspicion;
use super::{Measured, RobustnessOptions};
use crate::RunError;
use crate::page::Page;
use crate::plot::{Line, PlotOptions, draw_lines};
use crate::stats::Estimate;
use crate::text::{significant, table};

/// Writes what was measured.
pub(super) fn write(
    page: &mut Page,
    all: &[Measured],
    suspicions: Option<&[Suspicion]>,
    options: &RobustnessOptions,
) -> Result<(), RunError> {
    let Some(usual) = all.first() else { return Ok(()) };
    page.paragraph(&format!(
        "Over {} episodes with seed {} each; intervals are of 95 %, over episodes. Noise and radii are in standard deviations of \
         each number that the environment shows.",
        options.episodes, options.seed
    ));
    page.finding(format!("Undisturbed it returns {}.", told(&usual.episode_return)));
    for (kind, words) in [
        ("noise", "With noise of"),
        ("random direction", "With every number moved at random by"),
        ("PGD", "Deceived (PGD) within a radius of"),
        ("delay", "With actions late by"),
        ("dynamics", "With"),
    ] {
        // The strongest says what is left.
        if let Some(last) = all.iter().rfind(|measured| measured.kind == kind) {
            page.finding(format!("{words} {} it returns {}.", last.level, told(&last.episode_return)));
        }
    }
    page.heading(2, "Under disturbance");
    let row = |measured: &Measured| {
        let changed = measured.changed.map_or("–".to_owned(), |share| format!("{:.1} %", 100.0 * share));
        vec![measured.kind.clone(), measured.level.clone(), told(&measured.episode_return), changed]
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    page.paragraph(&table(&["disturbance", "size", "return", "decisions changed"], &rows));
    picture(page, all, usual)?;
    if let Some(suspicions) = suspicions {
        page.heading(2, "Signs of reward hacking");
        match suspicions {
            [] => page.paragraph("No metric of the run's episodes clearly fell while the return rose."),
            found => {
                for Suspicion { metric, returns: [before, after], values: [was, is], .. } in found {
                    page.finding(format!(
                        "While the return rose from {} to {}, `{metric}` went from {} to {}.",
                        significant(*before, 3),
                        significant(*after, 3),
                        significant(*was, 3),
                        significant(*is, 3)
                    ));
                }
            }
        }
        page.numbers("suspicions", &suspicions)?;
    }
    page.numbers("measured", &all)
}

/// Returns over radii.
fn picture(page: &mut Page, all: &[Measured], usual: &Measured) -> Result<(), RunError> {
    let line = |kind: &str| {
        let of_kind: Vec<(f64, &Estimate)> = std::iter::once(usual)
            .chain(all.iter().filter(|measured| measured.kind == kind))
            .filter_map(|measured| Some((measured.size?, &measured.episode_return)))
            .collect();
        Line {
            label: kind.to_owned(),
            num_runs: 1,
            points: of_kind.iter().map(|(size, estimate)| (*size, estimate.value)).collect(),
            band: of_kind.iter().map(|(_, estimate)| (estimate.low, estimate.high)).collect(),
            joined: true,
        }
    };
    let lines: Vec<Line> = ["noise", "random direction", "FGSM", "PGD"]
        .into_iter()
        .map(line)
        .filter(|line| line.points.len() > 1)
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    let options = PlotOptions {
        title: "What is left of the return".to_owned(),
        x_label: "size in standard deviations of what is seen".to_owned(),
        y_label: "episodic return".to_owned(),
        notes: vec!["band: 95 % interval, bootstrapped over episodes".to_owned()],
        ..PlotOptions::default()
    };
    page.picture("returns", "returns under disturbance", &draw_lines(&lines, &options)?)
}

fn told(estimate: &Estimate) -> String {
    let Estimate { value, low, high } = estimate;
    let digits = if value.abs() < 10.0 { 3 } else { 1 };
    format!("{value:.digits$} [{low:.digits$}, {high:.digits$}]")
}
