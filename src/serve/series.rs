//! From the rows of runs to what a chart draws: cleaned, averaged over seeds, and few enough.
//!
//! Charting libraries do odd things with what is not finite: lines through gaps, empty charts, curves that end. So a series
//! leaves here sorted, with one value at each x, and with `NaN`, which is `null` in JSON, where there is a gap; what was left
//! out is counted.

use std::ops::Range;

use super::table::is_missing;
use super::types::LeftOut;
use crate::plot::{self, Band};
use crate::stats::{self, Resamples, Resampling};

/// Resamples of an interval: the band of a page is looked at while it changes.
const RESAMPLES: usize = 400;

/// A place of a curve: x, and y or `NaN` for a gap.
pub(super) type Point = (f64, f64);

/// How curves are asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    /// What of x is looked at; all of it if none.
    pub(super) window: Option<(f64, f64)>,
    /// Stretches of x of which the lowest and the highest value are shown.
    pub(super) buckets: usize,
    /// Points of the trailing mean.
    pub(super) smooth: usize,
    /// Whether what is not positive has no place on the x axis.
    pub(super) log_x: bool,
    /// As `log_x`, of y.
    pub(super) log_y: bool,
    /// What surrounds the mean of several runs.
    pub(super) band: Band,
    /// Whether some rows are enough of files that were not read yet.
    pub(super) is_first_look: bool,
}

/// The columns of numbers that a curve is made of.
pub(super) struct Columns<'a> {
    /// Iterations and numbers of x.
    pub(super) x: (&'a [f64], &'a [f64]),
    /// Iterations and numbers of y.
    pub(super) y: (&'a [f64], &'a [f64]),
    /// Whether an iteration of y that x does not have takes the next one's.
    pub(super) takes_next: bool,
}

/// What is drawn of a curve, a number a place.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Shown {
    pub(super) x: Vec<f64>,
    pub(super) y: Vec<f64>,
    /// Ends of the band; empty for none.
    pub(super) low: Vec<f64>,
    pub(super) high: Vec<f64>,
    /// How many runs are behind each place; empty if it is always the same.
    pub(super) runs: Vec<usize>,
    /// Whether there are points that are not shown.
    pub(super) is_thinned: bool,
}

/// The points of a run, by increasing x, of equal ones the last row's.
pub(super) fn joined(columns: &Columns<'_>, left_out: &mut LeftOut) -> Vec<Point> {
    let (xs, ys) = (by_iteration(columns.x), by_iteration(columns.y));
    let rows = columns.y.1.iter().filter(|number| !is_missing(**number)).count();
    let mut points = Vec::with_capacity(ys.len());
    let mut next = 0;
    for (iteration, y) in ys {
        while next < xs.len() && xs[next].0 < iteration {
            next += 1;
        }
        if let Some(&(at, x)) = xs.get(next)
            && (at == iteration || columns.takes_next)
        {
            points.push((x, y));
        }
    }
    points.retain(|(x, _)| x.is_finite());
    last_of_each(&mut points);
    left_out.repeated += rows.saturating_sub(points.len());
    left_out.not_finite += points.iter().filter(|(_, y)| !y.is_finite()).count();
    points.iter_mut().filter(|(_, y)| !y.is_finite()).for_each(|(_, y)| *y = f64::NAN);
    points
}

/// Numbers by iteration, without those that are missing.
fn by_iteration((iterations, numbers): (&[f64], &[f64])) -> Vec<Point> {
    let pairs = iterations.iter().copied().zip(numbers.iter().copied());
    let mut found: Vec<Point> =
        pairs.filter(|(iteration, number)| !is_missing(*iteration) && !is_missing(*number)).collect();
    last_of_each(&mut found);
    found
}

/// Sorts by the first number, and keeps the last of those that are equal.
fn last_of_each(pairs: &mut Vec<Point>) {
    if pairs.is_sorted_by(|(a, _), (b, _)| a < b) {
        return;
    }
    pairs.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let mut kept: Vec<Point> = Vec::with_capacity(pairs.len());
    for &pair in &*pairs {
        match kept.last_mut() {
            Some(last) if last.0 == pair.0 => *last = pair,
            _ => kept.push(pair),
        }
    }
    *pairs = kept;
}

/// A run as it is drawn: smoothed, and without what a logarithmic axis has no place for.
pub(super) fn prepared(points: Vec<Point>, view: &View, left_out: &mut LeftOut) -> Vec<Point> {
    let mut points = points;
    if view.log_x {
        let before = points.len();
        points.retain(|(x, _)| *x > 0.0);
        left_out.not_positive += before - points.len();
    }
    if view.smooth > 1 {
        let pieces = points.chunk_by(|a, b| a.1.is_finite() == b.1.is_finite());
        let smoothed = |piece: &[Point]| match piece {
            [(_, y), ..] if y.is_finite() => plot::trailing_mean(piece, view.smooth),
            gap => gap.to_vec(),
        };
        points = pieces.flat_map(smoothed).collect();
    }
    points
}

/// The curve of one run or of several, as much of it as a view shows.
pub(super) fn shown(runs: &[Vec<Point>], view: &View, left_out: &mut LeftOut) -> Shown {
    let runs: Vec<&[Point]> = runs.iter().map(|run| &run[within(run, view.window)]).collect();
    let (points, counts) = match &runs[..] {
        [run] => (run.to_vec(), Vec::new()),
        runs => averaged(runs),
    };
    let positive = |y: f64| if view.log_y && y <= 0.0 { f64::NAN } else { y };
    let points: Vec<Point> = points
        .into_iter()
        .map(|(x, y)| {
            left_out.not_positive += usize::from(view.log_y && y <= 0.0);
            (x, positive(y))
        })
        .collect();
    let places = places(&points, view);
    let mut shown = Shown {
        x: places.iter().map(|(x, _)| *x).collect(),
        y: places.iter().map(|(_, index)| points[*index].1).collect(),
        is_thinned: places.len() < points.len(),
        ..Shown::default()
    };
    if counts.iter().any(|count| *count != counts[0]) {
        shown.runs = places.iter().map(|(_, index)| counts[*index]).collect();
    }
    if runs.len() > 1 && !matches!(view.band, Band::None | Band::Seeds) {
        let resamples: Vec<Resamples> = (0..=runs.len())
            .map(|runs| Resamples::new(runs, Resampling { resamples: RESAMPLES, seed: 0 }))
            .collect();
        let finite = || runs.iter().copied().flatten().map(|(_, y)| *y).filter(|y| y.is_finite());
        let seen = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
        for &(_, index) in &places {
            let values: Vec<f64> = runs.iter().filter_map(|run| value_at(run, points[index].0)).collect();
            let (low, high) = match values.len() {
                0 => (f64::NAN, f64::NAN),
                _ => plot::band(&values, view.band, seen, &resamples),
            };
            // Below what a logarithmic axis shows there is no place, but the band reaches down to it.
            let low = if view.log_y && low <= 0.0 { values_above_zero(&values) } else { low };
            shown.low.push(low);
            shown.high.push(positive(high));
        }
    }
    shown
}

fn values_above_zero(values: &[f64]) -> f64 {
    values.iter().copied().filter(|value| *value > 0.0).fold(f64::NAN, f64::min)
}

/// The points in a window, and one on each side of it, so that lines go on to its edges.
fn within(run: &[Point], window: Option<(f64, f64)>) -> Range<usize> {
    let Some((from, to)) = window else { return 0..run.len() };
    let first = run.partition_point(|(x, _)| *x < from);
    let last = run.partition_point(|(x, _)| *x <= to);
    first.saturating_sub(1)..(last + 1).min(run.len()).max(first.saturating_sub(1))
}

/// Points in a window, without neighbours.
pub(super) fn rows_within(run: &[Point], window: Option<(f64, f64)>) -> usize {
    let Some((from, to)) = window else { return run.len() };
    run.partition_point(|(x, _)| *x <= to).saturating_sub(run.partition_point(|(x, _)| *x < from))
}

/// The mean of runs wherever one of them has a point, and how many of them are there. Between those of its points a run is on
/// the straight line; where the number of runs changes the mean breaks.
fn averaged(runs: &[&[Point]]) -> (Vec<Point>, Vec<usize>) {
    let xs = all_xs(runs);
    let (mut points, mut counts): (Vec<Point>, Vec<usize>) = (Vec::new(), Vec::new());
    let mut next = vec![0; runs.len()];
    let mut values = Vec::with_capacity(runs.len());
    for x in xs {
        values.clear();
        for (run, next) in runs.iter().zip(&mut next) {
            while *next < run.len() && run[*next].0 < x {
                *next += 1;
            }
            values.extend(between(run, *next, x));
        }
        let mean = if values.is_empty() { f64::NAN } else { stats::mean(&values) };
        if let (Some(&count), Some(&(before, y))) = (counts.last(), points.last())
            && count != values.len()
            && y.is_finite()
            && mean.is_finite()
        {
            points.push((before + (x - before) / 2.0, f64::NAN));
            counts.push(values.len());
        }
        points.push((x, mean));
        counts.push(values.len());
    }
    (points, counts)
}

/// Every x that a run has, increasing.
fn all_xs(runs: &[&[Point]]) -> Vec<f64> {
    let xs_of = |run: &[Point]| run.iter().map(|(x, _)| *x).collect::<Vec<f64>>();
    let first = xs_of(runs.first().copied().unwrap_or_default());
    // Seeds of one experiment mostly have a row at the same steps.
    if runs
        .iter()
        .all(|run| run.len() == first.len() && run.iter().zip(&first).all(|((x, _), other)| x == other))
    {
        return first;
    }
    let mut xs: Vec<f64> = runs.iter().copied().flat_map(xs_of).collect();
    xs.sort_by(f64::total_cmp);
    xs.dedup();
    xs
}

/// The value of a run at x; none before it, behind it and in a gap.
fn value_at(run: &[Point], x: f64) -> Option<f64> {
    between(run, run.partition_point(|(at, _)| *at < x), x)
}

/// As [`value_at`], where `next` is the first point that is not before x.
fn between(run: &[Point], next: usize, x: f64) -> Option<f64> {
    let &(right, after) = run.get(next)?;
    if right == x {
        return Some(after).filter(|y| y.is_finite());
    }
    let &(left, before) = run.get(next.checked_sub(1)?)?;
    Some(before + (after - before) * ((x - left) / (right - left))).filter(|y| y.is_finite())
}

/// Where points are drawn, and which: all of them where they are few, else the lowest and the highest of each stretch of x, at
/// places that other curves of the same view have too.
fn places(points: &[Point], view: &View) -> Vec<(f64, usize)> {
    let all = || points.iter().enumerate().map(|(index, (x, _))| (*x, index)).collect();
    let (Some(&(first, _)), Some(&(last, _))) = (points.first(), points.last()) else { return Vec::new() };
    let (from, to) = view.window.unwrap_or((first, last));
    if points.len() <= 2 * view.buckets || from >= to {
        return all();
    }
    let scaled = |x: f64| if view.log_x { x.max(f64::MIN_POSITIVE).log10() } else { x };
    let unscaled = |x: f64| if view.log_x { 10_f64.powf(x) } else { x };
    let (begin, width) = (scaled(from), (scaled(to) - scaled(from)) / view.buckets as f64);
    let bucket_of = |x: f64| ((scaled(x) - begin) / width).floor();
    let mut places = Vec::new();
    let mut start = 0;
    for bucket in points.chunk_by(|a, b| bucket_of(a.0) == bucket_of(b.0)) {
        let range = start..start + bucket.len();
        start += bucket.len();
        let finite = || range.clone().filter(|index| points[*index].1.is_finite());
        let by_y = |a: &usize, b: &usize| points[*a].1.total_cmp(&points[*b].1);
        let number = bucket_of(bucket[0].0);
        let place = |share: f64| unscaled(begin + (number + share) * width);
        match (finite().min_by(by_y), finite().max_by(by_y)) {
            // Beyond the window's edges stand single neighbours.
            _ if bucket.len() == 1 => places.push((bucket[0].0, range.start)),
            (Some(low), Some(high)) if low == high => places.push((place(0.25), low)),
            (Some(low), Some(high)) => {
                places.extend([(place(0.25), low.min(high)), (place(0.75), low.max(high))]);
            }
            _ => places.push((place(0.5), range.start)),
        }
    }
    places
}

#[cfg(test)]
mod tests;
