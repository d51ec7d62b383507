//! From the runs of a curve to what is drawn: smoothing, a common grid, the mean and what surrounds it.
//!
//! A run is a list of *pieces*: it breaks where a value is not finite. Where some seeds are missing (they ended earlier, began
//! later, or have a gap) the mean goes on over those that are there, as a *stretch* of its own.

use super::svg::Point;
use super::ticks::short;
use super::{Band, Curve, Line, PlotError, PlotOptions};
use crate::stats::{self, Resamples, Resampling};

/// Points of the grid that several runs are averaged on.
const GRID_POINTS: usize = 200;
/// Single runs are thinned to about twice as many points; a plot has no more pixels to show them.
const MAX_BUCKETS: usize = 1000;
/// Resamples of a band.
const RESAMPLES: usize = 2000;
/// Stretches with fewer seeds that are left out, as a share of the whole range of x: before every seed has ended an episode,
/// and where whole iterations make one end a little later.
const SHORTEST_BEGINNING: f64 = 0.02;
const SHORTEST_END: f64 = 0.002;
/// Stretches with fewer seeds that a legend lists; of more it says from how many to how many.
const LISTED: usize = 2;

/// A curve, ready to be drawn.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    /// Its name.
    pub(super) label: String,
    /// Number of runs, and where there are fewer.
    pub(super) count: Count,
    /// The smoothed run, or the mean of the smoothed runs.
    pub(super) stretches: Vec<Stretch>,
    /// Thin lines: the run before smoothing, or each seed.
    pub(super) faint: Vec<Vec<Point>>,
    /// Whether points are joined; else each is a dot.
    pub(super) joined: bool,
    /// Whether points were left out because an axis is logarithmic.
    pub(super) left_out: bool,
    /// Whether values that are not finite left a gap.
    pub(super) has_gap: bool,
}

/// A line without a break, over the same runs all along.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Stretch {
    pub(super) points: Vec<Point>,
    /// Lower and upper end of the band at each point; empty for none.
    pub(super) band: Vec<(f64, f64)>,
    /// Whether runs of the curve are missing.
    pub(super) is_partial: bool,
}

/// Number of runs behind a curve.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Count {
    /// All of them.
    pub(super) runs: usize,
    /// Where there are fewer, for the legend: such as `2 from 40k`.
    pub(super) fewer: String,
}

impl Series {
    /// Cleans, smooths and averages the runs of a curve; runs without points do not count.
    pub(super) fn new(curve: &Curve, options: &PlotOptions) -> Result<Self, PlotError> {
        let mut left_out = false;
        let mut runs: Vec<Vec<Vec<Point>>> = Vec::new();
        for run in &curve.runs {
            let (pieces, dropped) = pieces(run, options.log_x);
            left_out |= dropped;
            if !pieces.is_empty() {
                runs.push(pieces);
            }
        }
        let has_gap = runs.iter().any(|pieces| pieces.len() > 1);
        let smoothed: Vec<Vec<Vec<Point>>> = runs
            .iter()
            .map(|pieces| pieces.iter().map(|piece| trailing_mean(piece, options.smooth)).collect())
            .collect();
        let thinned = |runs: &[Vec<Vec<Point>>]| runs.iter().flatten().map(|piece| thin(piece)).collect();
        let (mut stretches, mut faint, mut count) =
            (Vec::new(), Vec::new(), Count { runs: runs.len(), fewer: String::new() });
        match &smoothed[..] {
            [] => {}
            [run] => {
                let points = run.iter().map(|piece| thin(piece));
                stretches = points.map(|points| Stretch { points, ..Stretch::default() }).collect();
                if options.smooth > 1 {
                    faint = thinned(&runs);
                }
            }
            _ => {
                (stretches, count) = mean_stretches(&smoothed, options);
                if options.band == Band::Seeds {
                    faint = thinned(&smoothed);
                }
            }
        }
        let label = curve.label.clone();
        let series = Self { label, count, stretches, faint, joined: true, left_out, has_gap };
        series.finish(options)
    }

    /// A line as it is, broken where it is not finite.
    pub(super) fn of_line(line: &Line, options: &PlotOptions) -> Result<Self, PlotError> {
        let mut stretches = vec![Stretch::default()];
        let (mut left_out, mut has_gap) = (false, false);
        for (i, &(x, y)) in line.points.iter().enumerate() {
            let position = if options.log_x { x.log10() } else { x };
            if !(position.is_finite() && y.is_finite()) {
                left_out |= options.log_x && x <= 0.0;
                has_gap |= !(x.is_finite() && y.is_finite());
                stretches.push(Stretch::default());
            } else if let Some(stretch) = stretches.last_mut() {
                stretch.points.push((position, y));
                stretch.band.extend(line.band.get(i));
            }
        }
        let count = Count { runs: line.num_runs, fewer: String::new() };
        let label = line.label.clone();
        let joined = line.joined;
        Self { label, count, stretches, faint: Vec::new(), joined, left_out, has_gap }.finish(options)
    }

    /// Takes logarithms of y if wanted, and refuses what has nothing to draw.
    fn finish(mut self, options: &PlotOptions) -> Result<Self, PlotError> {
        if options.log_y {
            let mut dropped = false;
            let mut logged = |stretches: Vec<Stretch>| -> Vec<Stretch> {
                let all: Vec<_> = stretches.into_iter().map(over_log10).collect();
                dropped |= all.iter().any(|(_, dropped)| *dropped);
                all.into_iter().flat_map(|(stretches, _)| stretches).collect()
            };
            let as_stretch = |points| Stretch { points, ..Stretch::default() };
            let faint = self.faint.into_iter().map(as_stretch).collect();
            self.stretches = logged(self.stretches);
            self.faint = logged(faint).into_iter().map(|stretch| stretch.points).collect();
            self.left_out |= dropped;
        }
        self.stretches.retain(|stretch| !stretch.points.is_empty());
        if self.stretches.is_empty() {
            return Err(PlotError::NoData { label: Some(self.label) });
        }
        Ok(self)
    }

    /// All of its x.
    pub(super) fn xs(&self) -> impl Iterator<Item = f64> {
        self.stretches.iter().flat_map(|stretch| stretch.points.iter().map(|(x, _)| *x))
    }

    /// All of its y, thin lines and finite ends of bands included.
    pub(super) fn ys(&self) -> impl Iterator<Item = f64> {
        let lines = self.stretches.iter().map(|stretch| &stretch.points).chain(&self.faint);
        let bands =
            self.stretches.iter().flat_map(|stretch| &stretch.band).flat_map(|&(low, high)| [low, high]);
        lines.flatten().map(|(_, y)| *y).chain(bands.filter(|y| y.is_finite()))
    }
}

/// The smallest and the largest of some numbers.
pub(super) fn range_of(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    numbers
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), number| (low.min(number), high.max(number)))
}

/// The finite stretches of a run by increasing x, or by its logarithm; and whether that left something out.
fn pieces(run: &[Point], log_x: bool) -> (Vec<Vec<Point>>, bool) {
    let mut points: Vec<Point> = run.iter().copied().filter(|(x, _)| x.is_finite()).collect();
    points.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let before = points.len();
    if log_x {
        points.retain(|(x, _)| *x > 0.0);
        points.iter_mut().for_each(|(x, _)| *x = x.log10());
    }
    let dropped = points.len() < before;
    let pieces = points.split(|(_, y)| !y.is_finite()).filter(|piece| !piece.is_empty());
    (pieces.map(<[Point]>::to_vec).collect(), dropped)
}

/// The logarithms of a stretch, broken where there is none; and whether that left something out.
fn over_log10(stretch: Stretch) -> (Vec<Stretch>, bool) {
    let mut stretches = vec![Stretch { is_partial: stretch.is_partial, ..Stretch::default() }];
    let mut dropped = false;
    for (i, (x, y)) in stretch.points.into_iter().enumerate() {
        if y <= 0.0 {
            dropped = true;
            stretches.push(Stretch { is_partial: stretch.is_partial, ..Stretch::default() });
        } else if let Some(last) = stretches.last_mut() {
            last.points.push((x, y.log10()));
            // The logarithm of what is not positive lies below every plot.
            let log10 = |end: f64| if end > 0.0 { end.log10() } else { f64::NEG_INFINITY };
            last.band.extend(stretch.band.get(i).map(|&(low, high)| (log10(low), log10(high))));
        }
    }
    (stretches, dropped)
}

/// Where runs are averaged, and which of them are there.
struct Sample {
    x: f64,
    present: Vec<bool>,
    values: Vec<f64>,
}

/// The mean of several runs, in stretches over which the same runs are there.
fn mean_stretches(runs: &[Vec<Vec<Point>>], options: &PlotOptions) -> (Vec<Stretch>, Count) {
    let (samples, most) = (samples(runs), runs.len());
    let groups: Vec<&[Sample]> =
        samples.chunk_by(|a, b| a.present == b.present).filter(|group| !group[0].values.is_empty()).collect();
    let groups = without_short_ends(&groups, most);
    // Bands of deviations would go beyond what was ever seen, and beyond what can be.
    let seen = range_of(runs.iter().flatten().flatten().map(|(_, y)| *y));
    let resamples: Vec<Resamples> =
        (0..=most).map(|runs| Resamples::new(runs, Resampling { resamples: RESAMPLES, seed: 0 })).collect();
    let stretch = |group: &&[Sample]| {
        let points = group.iter().map(|sample| (sample.x, stats::mean(&sample.values))).collect();
        let has_band = group[0].values.len() > 1 && !matches!(options.band, Band::Seeds | Band::None);
        let with_band = if has_band { group } else { &[][..] };
        let ends = |sample: &Sample| band(&sample.values, options.band, seen, &resamples);
        Stretch {
            points,
            band: with_band.iter().map(ends).collect(),
            is_partial: group[0].values.len() < most,
        }
    };
    let fewer = fewer(&groups, most, options.log_x);
    (groups.iter().map(stretch).collect(), Count { runs: most, fewer })
}

/// Lower and upper end of a band around the mean of some values.
pub(crate) fn band(values: &[f64], band: Band, seen: (f64, f64), resamples: &[Resamples]) -> (f64, f64) {
    let around_mean = |half_width: f64| {
        let mean = stats::mean(values);
        ((mean - half_width).max(seen.0), (mean + half_width).min(seen.1))
    };
    match band {
        Band::Interval => {
            let estimate = resamples[values.len()].mean(values);
            (estimate.low, estimate.high)
        }
        Band::StandardError => around_mean(stats::sample_std(values) / (values.len() as f64).sqrt()),
        Band::StandardDeviation => around_mean(stats::sample_std(values)),
        Band::Range | Band::Seeds | Band::None => range_of(values.iter().copied()),
    }
}

/// Samples all runs on an even grid and, from both sides, where one of them begins or ends.
fn samples(runs: &[Vec<Vec<Point>>]) -> Vec<Sample> {
    let ends = |piece: &Vec<Point>| [piece[0].0, piece[piece.len() - 1].0];
    let mut changes: Vec<f64> = runs.iter().flatten().flat_map(ends).collect();
    changes.sort_by(f64::total_cmp);
    changes.dedup();
    let (begin, end) = range_of(changes.iter().copied());
    let step = (end - begin) / (GRID_POINTS - 1) as f64;
    let grid = (0..GRID_POINTS).map(|i| begin + i as f64 * step);
    // A point of the grid beside a change would draw a jump twice.
    let is_apart = |x: &f64| {
        let next = changes.partition_point(|change| change < x);
        changes[next.saturating_sub(1)..].iter().take(2).all(|change| (change - x).abs() > step * 0.5)
    };
    let mut places: Vec<(f64, Side)> =
        grid.filter(is_apart).filter(|x| *x < end).map(|x| (x, Side::At)).collect();
    for &change in &changes {
        places.extend([Side::Before, Side::At, Side::After].map(|side| (change, side)));
    }
    places.sort_by(|(a, side_a), (b, side_b)| a.total_cmp(b).then(side_a.cmp(side_b)));
    let mut samples: Vec<Sample> = places.into_iter().map(|(x, side)| sample(runs, x, side)).collect();
    // Where nothing changes between two sides of a place they are one point.
    samples.dedup_by(|b, a| a.x == b.x && a.present == b.present);
    samples
}

/// From where a place is looked at: a run that begins there is not there before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Before,
    At,
    After,
}

fn sample(runs: &[Vec<Vec<Point>>], x: f64, side: Side) -> Sample {
    let covers = |piece: &&Vec<Point>| {
        let (begin, end) = (piece[0].0, piece[piece.len() - 1].0);
        match side {
            Side::Before => begin < x && x <= end,
            Side::At => begin <= x && x <= end,
            Side::After => begin <= x && x < end,
        }
    };
    let found: Vec<Option<f64>> =
        runs.iter().map(|pieces| pieces.iter().find(covers).map(|piece| interpolate(piece, x))).collect();
    let present = found.iter().map(Option::is_some).collect();
    Sample { x, present, values: found.into_iter().flatten().collect() }
}

/// Leaves out what is not worth a stretch of its own: before all runs have begun, and after one has ended a little earlier.
fn without_short_ends<'a>(groups: &[&'a [Sample]], all: usize) -> Vec<&'a [Sample]> {
    let is_whole = |group: &&[Sample]| group[0].values.len() == all;
    let x_of = |group: Option<&&[Sample]>, first: bool| {
        group
            .and_then(|group| if first { group.first() } else { group.last() })
            .map_or(0.0, |sample| sample.x)
    };
    let (begin, end) = (x_of(groups.first(), true), x_of(groups.last(), false));
    let range = end - begin;
    let (Some(first), Some(last)) = (groups.iter().position(is_whole), groups.iter().rposition(is_whole))
    else {
        return groups.to_vec();
    };
    let from = if x_of(groups.get(first), true) - begin <= range * SHORTEST_BEGINNING { first } else { 0 };
    let until =
        if end - x_of(groups.get(last), false) <= range * SHORTEST_END { last + 1 } else { groups.len() };
    groups[from..until].to_vec()
}

/// Where a curve has fewer runs than elsewhere, for its legend.
fn fewer(groups: &[&[Sample]], most: usize, log_x: bool) -> String {
    // A place that is looked at from two sides alone is no stretch.
    let is_long = |group: &&&[Sample]| group[0].x < group[group.len() - 1].x;
    let counts: Vec<(usize, f64, f64)> = groups
        .iter()
        .filter(is_long)
        .map(|group| (group[0].values.len(), group[0].x, group[group.len() - 1].x))
        .collect();
    let missing: Vec<usize> = (0..counts.len()).filter(|&i| counts[i].0 < most).collect();
    if missing.is_empty() {
        return String::new();
    }
    if missing.len() > LISTED {
        let least = counts.iter().map(|(runs, ..)| *runs).min().unwrap_or(most);
        return format!("{least} at times");
    }
    let text = |x: f64| short(if log_x { 10_f64.powf(x) } else { x });
    let describe = |&i: &usize| {
        let (runs, begin, end) = counts[i];
        match (i, i + 1 == counts.len()) {
            (_, true) => format!("{runs} from {}", text(begin)),
            (0, false) => format!("{runs} until {}", text(end)),
            _ => format!("{runs} from {} to {}", text(begin), text(end)),
        }
    };
    missing.iter().map(describe).collect::<Vec<_>>().join(", ")
}

/// `y_i = mean(y_{i-window+1} ..= y_i)`; the first points are averaged over those there are.
pub(crate) fn trailing_mean(run: &[Point], window: usize) -> Vec<Point> {
    let window = window.max(1);
    let mean_until = |i: usize| {
        let recent = &run[(i + 1).saturating_sub(window)..=i];
        recent.iter().map(|(_, y)| y).sum::<f64>() / recent.len() as f64
    };
    run.iter().enumerate().map(|(i, &(x, _))| (x, mean_until(i))).collect()
}

/// The y at `x` on the straight line between the neighbouring points of a run that is not empty.
fn interpolate(run: &[Point], x: f64) -> f64 {
    let right = run.partition_point(|&(run_x, _)| run_x < x).min(run.len() - 1);
    let ((x0, y0), (x1, y1)) = (run[right.saturating_sub(1)], run[right]);
    if x1 > x0 { y0 + (y1 - y0) * ((x - x0) / (x1 - x0)).clamp(0.0, 1.0) } else { y1 }
}

/// Keeps the lowest and the highest point of each of many equal stretches of x, so that the line looks the same.
fn thin(run: &[Point]) -> Vec<Point> {
    if run.len() <= 2 * MAX_BUCKETS {
        return run.to_vec();
    }
    let (begin, end) = (run[0].0, run[run.len() - 1].0);
    let bucket_of = |x: f64| ((x - begin) / (end - begin) * MAX_BUCKETS as f64) as usize;
    let mut thinned = vec![run[0]];
    for bucket in run.chunk_by(|a, b| bucket_of(a.0) == bucket_of(b.0)) {
        let by_y = |a: &&Point, b: &&Point| a.1.total_cmp(&b.1);
        if let (Some(&low), Some(&high)) = (bucket.iter().min_by(by_y), bucket.iter().max_by(by_y)) {
            thinned.extend(if low.0 <= high.0 { [low, high] } else { [high, low] });
        }
    }
    thinned.push(run[run.len() - 1]);
    thinned
}

#[cfg(test)]
mod tests;
