//! The page.

use std::path::Path;

use super::{ContextMap, ContextOptions};
use crate::RunError;
use crate::page::Page;
use crate::plot::{Matrix, Shades, matrix};
use crate::stats::Estimate;
use crate::text::significant;

/// Writes the maps and what they say.
pub(super) fn write(
    page: &mut Page,
    own: (&Path, &ContextMap),
    beside: Option<(&Path, &ContextMap)>,
    options: &ContextOptions,
) -> Result<(), RunError> {
    page.paragraph(&format!(
        "Mean returns of {} episodes a policy in each cell, with seed {} each. Framed cells are those whose values training drew.",
        options.episodes, options.seed
    ));
    let sides = [("map", Some(own)), ("beside", beside)];
    let maps = || sides.iter().filter_map(|(_, side)| side.map(|(_, map)| map));
    let all: Vec<f64> = maps().flat_map(|map| map.returns.iter().flatten().copied()).collect();
    // Both maps have one scale.
    let ends = [f64::INFINITY, f64::NEG_INFINITY];
    let scale = all.iter().fold(ends, |[low, high], &value| [low.min(value), high.max(value)]);
    for (name, side) in sides {
        let Some((path, map)) = side else { continue };
        let of_seeds = if map.policies == 1 { String::new() } else { format!(", {} seeds", map.policies) };
        page.heading(2, &format!("{}{of_seeds}", path.display()));
        findings(page, path, map, options);
        page.picture(name, "mean returns over contexts", &matrix(&picture(path, map, options, scale))?)?;
        page.numbers(name, map)?;
    }
    let axes = options.axes.iter().map(|axis| (axis.argument.as_str(), axis.values.as_slice()));
    page.numbers("axes", &axes.collect::<Vec<_>>())
}

fn findings(page: &mut Page, path: &Path, map: &ContextMap, options: &ContextOptions) {
    let name = path.display();
    let trained = options.axes.iter().zip(&map.trained).map(|(axis, range)| match range {
        Some([low, high]) if low == high => format!("{} = {low}", axis.argument),
        Some([low, high]) => format!("{} from {low} to {high}", axis.argument),
        None => format!("the standard {}", axis.argument),
    });
    page.paragraph(&format!("Trained on {}.", trained.collect::<Vec<_>>().join(" and ")));
    let cells = map.returns.len() * map.returns[0].len();
    if let Some(estimate) = &map.interpolation {
        page.finding(format!(
            "{name} returns {} within what it was trained on ({} of {cells} cells).",
            told(estimate, map.policies),
            map.inside
        ));
    }
    if let Some(estimate) = &map.extrapolation {
        let (value, at) = least(map, options);
        page.finding(format!(
            "{name} returns {} {}; the least of all cells is {}, with {at}.",
            told(estimate, map.policies),
            if map.inside == 0 { "over the grid" } else { "beyond" },
            significant(value, 3)
        ));
    }
}

/// The smallest return and where it is.
fn least(map: &ContextMap, options: &ContextOptions) -> (f64, String) {
    let cells = map.returns.iter().enumerate().flat_map(|(row, values)| {
        values.iter().enumerate().map(move |(column, &value)| (value, [column, row]))
    });
    let smallest = cells.min_by(|(a, _), (b, _)| a.total_cmp(b)).unwrap_or((f64::NAN, [0, 0]));
    let at = options
        .axes
        .iter()
        .zip(smallest.1)
        .map(|(axis, index)| format!("{} = {}", axis.argument, axis.values[index]));
    (smallest.0, at.collect::<Vec<_>>().join(" and "))
}

fn picture(path: &Path, map: &ContextMap, options: &ContextOptions, scale: [f64; 2]) -> Matrix {
    let (columns, rows) = (&options.axes[0], options.axes.get(1));
    let title = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let mut labels = rows.map_or(vec![String::new()], super::Axis::labels);
    let mut values = map.returns.clone();
    // As in a graph, larger values are further up.
    labels.reverse();
    values.reverse();
    let frame = (map.inside > 0).then(|| {
        let within = |values: &[f64], range: Option<[f64; 2]>| {
            let [low, high] = range.unwrap_or([f64::NEG_INFINITY, f64::INFINITY]);
            let held = values.iter().enumerate().filter(|(_, value)| (low..=high).contains(value));
            let held: Vec<usize> = held.map(|(index, _)| index).collect();
            held[0]..held[held.len() - 1] + 1
        };
        let across = within(&columns.values, map.trained[0]);
        let up = rows.map_or(0..1, |axis| within(&axis.values, map.trained[1]));
        (values.len() - up.end..values.len() - up.start, across)
    });
    let x_label = match rows {
        Some(rows) => format!("{} (rows: {})", columns.argument, rows.argument),
        None => columns.argument.clone(),
    };
    Matrix {
        title,
        x_label,
        rows: labels,
        columns: columns.labels(),
        values,
        shades: Shades::Between(scale),
        frame,
    }
}

fn told(estimate: &Estimate, policies: usize) -> String {
    let Estimate { value, low, high } = estimate;
    match policies {
        1 => significant(*value, 4),
        _ => format!("{} [{}, {}]", significant(*value, 4), significant(*low, 4), significant(*high, 4)),
    }
}
