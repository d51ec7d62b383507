//! From the runs of a curve to what is drawn: smoothing, a common grid, mean and confidence band.

use super::{Curve, Line, PlotError};
use crate::stats;

/// Points of the grid that several runs are averaged on.
const GRID_POINTS: usize = 200;
/// Single runs are thinned to about twice as many points; a plot has no more pixels to show them.
const MAX_BUCKETS: usize = 1000;

/// A curve, ready to be drawn.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub(super) label: String,
    /// Number of runs.
    pub(super) num_runs: usize,
    /// The smoothed run, or the mean of the smoothed runs.
    pub(super) line: Vec<(f64, f64)>,
    /// Lower and upper end of the 95 % confidence interval at each point of the line; empty for a single run.
    pub(super) band: Vec<(f64, f64)>,
    /// Lowest and highest y of the smoothed runs.
    pub(super) range: (f64, f64),
    /// The run before smoothing; empty for several runs or without smoothing.
    pub(super) unsmoothed: Vec<(f64, f64)>,
    /// Whether points are joined; else each is a dot.
    pub(super) joined: bool,
}

impl Series {
    /// Cleans, smooths and averages the runs of a curve; runs without points do not count.
    pub(super) fn new(curve: &Curve, smooth: usize) -> Result<Self, PlotError> {
        let runs: Vec<_> = curve.runs.iter().map(|run| clean(run)).filter(|run| !run.is_empty()).collect();
        let label = curve.label.clone();
        let num_runs = runs.len();
        match &runs[..] {
            [] => Err(PlotError::NoData { label: Some(label) }),
            [run] => {
                let unsmoothed = if smooth > 1 { thin(run) } else { Vec::new() };
                let line = thin(&trailing_mean(run, smooth));
                let range = range_of(line.iter().map(|(_, y)| *y));
                Ok(Self { label, num_runs, line, band: Vec::new(), range, unsmoothed, joined: true })
            }
            _ => {
                let smoothed: Vec<_> = runs.iter().map(|run| trailing_mean(run, smooth)).collect();
                let grid = common_grid(&smoothed).map_err(|(begin, end)| PlotError::NoOverlap {
                    label: label.clone(),
                    begin,
                    end,
                })?;
                let factor = stats::t_critical_95(num_runs) / (num_runs as f64).sqrt();
                let (mut line, mut band, mut range) =
                    (Vec::new(), Vec::new(), (f64::INFINITY, f64::NEG_INFINITY));
                for x in grid {
                    let values: Vec<f64> = smoothed.iter().map(|run| interpolate(run, x)).collect();
                    let (mean, half_width) = (stats::mean(&values), factor * stats::sample_std(&values));
                    let (low, high) = range_of(values.into_iter());
                    range = (range.0.min(low), range.1.max(high));
                    line.push((x, mean));
                    band.push((mean - half_width, mean + half_width));
                }
                Ok(Self { label, num_runs, line, band, range, unsmoothed: Vec::new(), joined: true })
            }
        }
    }
}

impl Series {
    /// A line as it is, without points that are not finite.
    pub(super) fn of_line(line: &Line) -> Result<Self, PlotError> {
        let finite = |&&(x, y): &&(f64, f64)| x.is_finite() && y.is_finite();
        let bands = line.band.iter().map(Some).chain(std::iter::repeat(None));
        let kept = || line.points.iter().zip(bands.clone()).filter(|(point, _)| finite(point));
        let points: Vec<_> = kept().map(|(&point, _)| point).collect();
        if points.is_empty() {
            return Err(PlotError::NoData { label: Some(line.label.clone()) });
        }
        Ok(Self {
            label: line.label.clone(),
            num_runs: line.num_runs,
            band: kept().filter_map(|(_, band)| band.copied()).collect(),
            range: range_of(points.iter().map(|(_, y)| *y)),
            line: points,
            unsmoothed: Vec::new(),
            joined: line.joined,
        })
    }

    /// The same over the logarithm of x, without points whose x has none.
    pub(super) fn over_log10(mut self) -> Result<Self, PlotError> {
        let positive: Vec<bool> = self.line.iter().map(|(x, _)| *x > 0.0).collect();
        let mut keep = positive.iter();
        self.band.retain(|_| keep.next().copied().unwrap_or(false));
        self.line.retain(|(x, _)| *x > 0.0);
        self.unsmoothed.retain(|(x, _)| *x > 0.0);
        if self.line.is_empty() {
            return Err(PlotError::NoData { label: Some(self.label) });
        }
        for (x, _) in self.line.iter_mut().chain(&mut self.unsmoothed) {
            *x = x.log10();
        }
        Ok(self)
    }
}

/// The smallest and the largest of some numbers.
pub(super) fn range_of(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    numbers
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), number| (low.min(number), high.max(number)))
}

/// The finite points of a run, by increasing x.
fn clean(run: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut points: Vec<_> = run.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    points.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    points
}

/// `y_i = mean(y_{i-window+1} ..= y_i)`; the first points are averaged over those there are.
fn trailing_mean(run: &[(f64, f64)], window: usize) -> Vec<(f64, f64)> {
    let window = window.max(1);
    let mean_until = |i: usize| {
        let recent = &run[(i + 1).saturating_sub(window)..=i];
        recent.iter().map(|(_, y)| y).sum::<f64>() / recent.len() as f64
    };
    run.iter().enumerate().map(|(i, &(x, _))| (x, mean_until(i))).collect()
}

/// Evenly spaced x over the range that all runs share; else where it would begin and end.
fn common_grid(runs: &[Vec<(f64, f64)>]) -> Result<impl Iterator<Item = f64>, (f64, f64)> {
    let firsts = runs.iter().filter_map(|run| run.first()).map(|(x, _)| *x);
    let lasts = runs.iter().filter_map(|run| run.last()).map(|(x, _)| *x);
    let (begin, end) = (firsts.fold(f64::NEG_INFINITY, f64::max), lasts.fold(f64::INFINITY, f64::min));
    if begin > end {
        return Err((begin, end));
    }
    let points = if begin < end { GRID_POINTS } else { 1 };
    let step = (end - begin) / (GRID_POINTS - 1) as f64;
    Ok((0..points).map(move |i| if i + 1 == points { end } else { begin + i as f64 * step }))
}

/// The y at `x` on the straight line between the neighbouring points of a run that is not empty.
fn interpolate(run: &[(f64, f64)], x: f64) -> f64 {
    let right = run.partition_point(|&(run_x, _)| run_x < x).min(run.len() - 1);
    let ((x0, y0), (x1, y1)) = (run[right.saturating_sub(1)], run[right]);
    if x1 > x0 { y0 + (y1 - y0) * ((x - x0) / (x1 - x0)).clamp(0.0, 1.0) } else { y1 }
}

/// Keeps the lowest and the highest point of each of many equal stretches of x, so that the line looks the same.
fn thin(run: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if run.len() <= 2 * MAX_BUCKETS {
        return run.to_vec();
    }
    let (begin, end) = (run[0].0, run[run.len() - 1].0);
    let bucket_of = |x: f64| ((x - begin) / (end - begin) * MAX_BUCKETS as f64) as usize;
    let mut thinned = vec![run[0]];
    for bucket in run.chunk_by(|a, b| bucket_of(a.0) == bucket_of(b.0)) {
        let by_y = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        if let (Some(&low), Some(&high)) = (bucket.iter().min_by(by_y), bucket.iter().max_by(by_y)) {
            thinned.extend(if low.0 <= high.0 { [low, high] } else { [high, low] });
        }
    }
    thinned.push(run[run.len() - 1]);
    thinned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(runs: Vec<Vec<(f64, f64)>>) -> Curve {
        Curve { label: "PPO".to_owned(), runs }
    }

    #[test]
    fn moving_average_looks_back_only() {
        let run = [(0.0, 1.0), (1.0, 3.0), (2.0, 5.0), (3.0, 100.0)];
        assert_eq!(trailing_mean(&run, 2), [(0.0, 1.0), (1.0, 2.0), (2.0, 4.0), (3.0, 52.5)]);
        assert_eq!(trailing_mean(&run, 0), run);
    }

    #[test]
    fn single_run_is_drawn_as_it_is() {
        let run = vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0)];
        let series = Series::new(&curve(vec![run]), 1).unwrap();
        assert_eq!(series.line, [(0.0, 1.0), (2.0, 3.0)]);
        assert!(series.band.is_empty() && series.unsmoothed.is_empty());
        assert_eq!(series.num_runs, 1);
    }

    #[test]
    fn smoothed_single_run_keeps_the_unsmoothed_one() {
        let series = Series::new(&curve(vec![vec![(0.0, 1.0), (1.0, 3.0)]]), 2).unwrap();
        assert_eq!(series.line, [(0.0, 1.0), (1.0, 2.0)]);
        assert_eq!(series.unsmoothed, [(0.0, 1.0), (1.0, 3.0)]);
    }

    #[test]
    fn several_runs_are_averaged_over_their_common_range() {
        // y = x and y = x + 2 on grids that do not match; common range 1 to 9.
        let a: Vec<_> = (0..=9).map(|i| (f64::from(i), f64::from(i))).collect();
        let b: Vec<_> = (0..=7).map(|i| 1.0 + 1.5 * f64::from(i)).map(|x| (x, x + 2.0)).collect();
        let series = Series::new(&curve(vec![a, b, vec![]]), 1).unwrap();
        assert_eq!((series.num_runs, series.line.len()), (2, GRID_POINTS));
        assert_eq!((series.line[0].0, series.line[GRID_POINTS - 1].0), (1.0, 9.0));
        // t_{0.975, 1} s / sqrt(2) with s = sqrt(2): 12.7062
        for ((x, y), (low, high)) in series.line.iter().zip(&series.band) {
            assert!((y - (x + 1.0)).abs() < 1e-12);
            assert!((high - y - 12.7062).abs() < 1e-4 && (y - low - 12.7062).abs() < 1e-4);
        }
    }

    #[test]
    fn curves_without_points_are_errors() {
        let error = Series::new(&curve(vec![vec![(f64::NAN, 1.0)], vec![]]), 1).unwrap_err();
        assert_eq!(error.to_string(), "no data to plot: `PPO` has no finite points");
    }

    #[test]
    fn runs_without_a_common_range_are_errors() {
        let runs = vec![vec![(0.0, 1.0), (1.0, 1.0)], vec![(2.0, 1.0), (3.0, 1.0)]];
        let error = Series::new(&curve(runs), 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the runs of `PPO` have no common range of x, the last begins at 2 and the first ends at 1"
        );
    }

    #[test]
    fn runs_that_share_one_point_have_one() {
        let series = Series::new(&curve(vec![vec![(5.0, 1.0)], vec![(5.0, 3.0)]]), 1).unwrap();
        assert_eq!((series.line, series.band.len()), (vec![(5.0, 2.0)], 1));
    }

    #[test]
    fn interpolation_meets_the_points_and_survives_steps() {
        let run = [(0.0, 0.0), (1.0, 2.0), (1.0, 4.0), (3.0, 0.0)];
        assert_eq!(interpolate(&run, 0.5), 1.0);
        assert_eq!(interpolate(&run, 2.0), 2.0);
        assert_eq!((interpolate(&run, 0.0), interpolate(&run, 3.0)), (0.0, 0.0));
    }

    #[test]
    fn thinning_keeps_extremes_and_ends() {
        let run: Vec<_> =
            (0..100_000).map(|i| (f64::from(i), if i == 51_234 { 7.0 } else { f64::from(i % 2) })).collect();
        let thinned = thin(&run);
        assert!(thinned.len() <= 2 * MAX_BUCKETS + 4, "{} points", thinned.len());
        assert!(thinned.contains(&(51_234.0, 7.0)));
        assert_eq!((thinned[0], thinned[thinned.len() - 1]), (run[0], run[99_999]));
        assert!(thinned.is_sorted_by(|a, b| a.0 <= b.0));
    }
}
