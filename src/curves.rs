//! Curves of runs and experiments that a user names, in one picture.

use std::path::Path;

use crate::RunError;
use crate::compare::Contestant;
use crate::plot::{self, Curve, Picture, PlotError, PlotOptions, XAxis};
use crate::run::RunDirectory;
use crate::score::Measure;

/// A picture of curves.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// The picture; its notes are for whoever looks at it.
    pub picture: Picture,
    /// A line for each directory that has nothing to draw where another one has.
    pub left_out: Vec<String>,
}

/// A curve and how its runs were trained.
struct Loaded {
    curve: Curve,
    /// Runs that were trained side by side; none where nothing says so.
    side_by_side: Option<usize>,
}

/// Draws a metric of runs, a curve for each label. The options' labels of the axes and notes are set here.
///
/// # Errors
/// If none of the runs has such a metric.
pub fn draw(contestants: &[Contestant], x: XAxis, y: &str, options: PlotOptions) -> Result<Drawn, RunError> {
    let (loaded, left_out) = load(contestants, x, y)?;
    let known = [Measure::Last100, Measure::FinalEvaluation];
    let y_label = match known.into_iter().find(|measure| measure.metric() == y) {
        Some(measure) => measure.axis().to_owned(),
        None => y.rsplit('/').next().unwrap_or(y).replace('_', " "),
    };
    let notes = if x == XAxis::Seconds { cores(&loaded).into_iter().collect() } else { Vec::new() };
    let options = PlotOptions { x_label: x.label().to_owned(), y_label, notes, ..options };
    let curves: Vec<Curve> = loaded.into_iter().map(|loaded| loaded.curve).collect();
    Ok(Drawn { picture: plot::draw(&curves, &options)?, left_out })
}

/// The curves, and a line for each directory that has none to draw where another one has.
fn load(contestants: &[Contestant], x: XAxis, y: &str) -> Result<(Vec<Loaded>, Vec<String>), RunError> {
    let unnamed: Vec<&Path> =
        contestants.iter().filter(|one| one.label.is_none()).map(|one| one.path.as_path()).collect();
    let mut names = plot::names(&unnamed).into_iter();
    let (mut loaded, mut left_out, mut errors) = (Vec::<Loaded>::new(), Vec::new(), Vec::new());
    for Contestant { label, path } in contestants {
        let is_named = label.is_some();
        let label = label.clone().or_else(|| names.next());
        let found = plot::load_curve(path, x, y, label).and_then(|curve| {
            let mut points = curve.runs.iter().flatten();
            let label = Some(curve.label.clone());
            if points.any(|(_, y)| y.is_finite()) { Ok(curve) } else { Err(PlotError::NoData { label }) }
        });
        let curve = match found {
            Ok(curve) => curve,
            Err(error) => {
                left_out.push(format!("left out {}: {error}", path.display()));
                errors.push(error);
                continue;
            }
        };
        let side_by_side = side_by_side(path);
        // Directories of one name are one curve.
        let before = loaded.iter_mut().find(|before| is_named && before.curve.label == curve.label);
        match before {
            Some(before) => {
                before.curve.runs.extend(curve.runs);
                before.side_by_side = before.side_by_side.max(side_by_side);
            }
            None => loaded.push(Loaded { curve, side_by_side }),
        }
    }
    match errors.into_iter().next() {
        Some(error) if loaded.is_empty() => Err(error.into()),
        _ => Ok((loaded, left_out)),
    }
}

/// Most runs that were trained beside one of a directory's, itself included, as far as they say so.
fn side_by_side(path: &Path) -> Option<usize> {
    let runs = plot::run_dirs(path).unwrap_or_default();
    let made_by = runs.iter().filter_map(|run| RunDirectory::open(run).ok()?.1.made_by);
    made_by.filter_map(|made_by| made_by.side_by_side).max()
}

/// What has to be known of seconds where some runs shared the cores of a machine.
fn cores(loaded: &[Loaded]) -> Option<String> {
    if loaded.iter().all(|one| one.side_by_side.is_none_or(|runs| runs == 1)) {
        return None;
    }
    let describe = |one: &Loaded| {
        let name = &one.curve.label;
        match one.side_by_side {
            Some(1) => format!("{name} ran alone"),
            Some(runs) => format!("{name} ran {runs} at a time"),
            None => format!("{name} does not say how"),
        }
    };
    let list: Vec<String> = loaded.iter().map(describe).collect();
    Some(format!("seconds do not compare where runs shared cores: {}", list.join(", ")))
}
