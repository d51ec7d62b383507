use super::*;

fn curve(runs: Vec<Vec<Point>>) -> Curve {
    Curve { label: "PPO".to_owned(), runs }
}

fn options() -> PlotOptions {
    PlotOptions::default()
}

fn series(runs: Vec<Vec<Point>>, options: &PlotOptions) -> Series {
    Series::new(&curve(runs), options).unwrap()
}

/// Points at 0, 1, …, `end` on a line of some height and slope.
fn run(end: i32, height: f64, slope: f64) -> Vec<Point> {
    (0..=end).map(f64::from).map(|x| (x, height + slope * x)).collect()
}

#[test]
fn moving_average_looks_back_only() {
    let run = [(0.0, 1.0), (1.0, 3.0), (2.0, 5.0), (3.0, 100.0)];
    assert_eq!(trailing_mean(&run, 2), [(0.0, 1.0), (1.0, 2.0), (2.0, 4.0), (3.0, 52.5)]);
    assert_eq!(trailing_mean(&run, 0), run);
}

#[test]
fn values_that_are_not_finite_leave_a_gap() {
    let run = vec![(0.0, 1.0), (1.0, 2.0), (2.0, f64::NAN), (3.0, 3.0), (4.0, f64::INFINITY), (5.0, 1.0)];
    let single = series(vec![run.clone()], &options());
    let lines: Vec<_> = single.stretches.iter().map(|stretch| stretch.points.clone()).collect();
    assert_eq!(lines, [vec![(0.0, 1.0), (1.0, 2.0)], vec![(3.0, 3.0)], vec![(5.0, 1.0)]]);
    assert!(single.has_gap && single.stretches.iter().all(|stretch| !stretch.is_partial));
    // Beside a seed without one the mean goes on over that.
    let both = series(vec![run, vec![(0.0, 0.0), (5.0, 0.0)]], &options());
    assert!(both.stretches.iter().any(|stretch| stretch.is_partial));
    assert!(both.xs().fold(0.0, f64::max) == 5.0);
}

#[test]
fn smoothed_single_run_keeps_the_unsmoothed_one() {
    let smooth = PlotOptions { smooth: 2, ..options() };
    let series = series(vec![vec![(0.0, 1.0), (1.0, 3.0)]], &smooth);
    assert_eq!(series.stretches[0].points, [(0.0, 1.0), (1.0, 2.0)]);
    assert_eq!(series.faint, [[(0.0, 1.0), (1.0, 3.0)]]);
}

#[test]
fn a_short_seed_does_not_end_the_curve() {
    let series = series(vec![run(100, 1.0, 0.0), run(100, 3.0, 0.0), run(40, 8.0, 0.0)], &options());
    let [whole, rest] = &series.stretches[..] else { panic!("{:?}", series.stretches) };
    assert!(!whole.is_partial && rest.is_partial);
    assert_eq!((whole.points[0], *whole.points.last().unwrap()), ((0.0, 4.0), (40.0, 4.0)));
    assert_eq!((rest.points[0], *rest.points.last().unwrap()), ((40.0, 2.0), (100.0, 2.0)));
    // Of two and of three seeds the interval is their range.
    assert!(whole.band.iter().all(|band| *band == (1.0, 8.0)));
    assert!(rest.band.iter().all(|band| *band == (1.0, 3.0)));
    assert_eq!((series.count.runs, series.count.fewer.as_str()), (3, "2 from 40"));
}

#[test]
fn what_is_missing_is_said_briefly() {
    let later = |from: i32| (from..=100).map(|x| (f64::from(x), 1.0)).collect::<Vec<_>>();
    let fewer = |runs| series(runs, &options()).count.fewer;
    assert_eq!(fewer(vec![run(100, 0.0, 1.0), later(20)]), "1 until 20");
    assert_eq!(fewer(vec![run(100, 0.0, 1.0), later(1)]), "", "a beginning without an ended episode");
    assert_eq!(fewer(vec![run(100, 0.0, 1.0), run(100, 0.0, 2.0)]), "");
    let four = [100, 90, 80, 70].map(|end| run(end, 0.0, 1.0)).to_vec();
    assert_eq!(fewer(four), "1 at times");
    let apart = vec![vec![(0.0, 1.0), (1.0, 1.0)], vec![(2.0, 1.0), (3.0, 1.0)]];
    assert_eq!(fewer(apart), "1 until 1, 1 from 2");
}

#[test]
fn several_runs_are_averaged_on_grids_that_do_not_match() {
    // y = x and y = x + 2, both from 1 to 9.
    let a: Vec<_> = (1..=9).map(|i| (f64::from(i), f64::from(i))).collect();
    let b: Vec<_> = (0..=5).map(|i| 1.0 + 1.6 * f64::from(i)).map(|x| (x, x + 2.0)).collect();
    let series = series(vec![a, b, vec![]], &options());
    let [stretch] = &series.stretches[..] else { panic!("{:?}", series.stretches) };
    assert_eq!((series.count.runs, stretch.points.len()), (2, GRID_POINTS));
    assert_eq!((stretch.points[0].0, stretch.points[GRID_POINTS - 1].0), (1.0, 9.0));
    for ((x, y), (low, high)) in stretch.points.iter().zip(&stretch.band) {
        assert!((y - (x + 1.0)).abs() < 1e-12);
        assert!((high - y - 1.0).abs() < 1e-9 && (y - low - 1.0).abs() < 1e-9);
    }
}

#[test]
fn bands_are_what_they_are_called_and_stay_within_what_was_seen() {
    let runs = || vec![run(10, 0.0, 0.0), run(10, 4.0, 0.0), run(10, 500.0, 0.0)];
    let band = |band| series(runs(), &PlotOptions { band, ..options() }).stretches[0].band.first().copied();
    assert_eq!(band(Band::Interval), Some((0.0, 500.0)));
    assert_eq!(band(Band::Range), Some((0.0, 500.0)));
    // The mean is 168, s = 287.5: both deviations would leave 0 … 500 on one side.
    let (low, high) = band(Band::StandardDeviation).unwrap();
    assert!(low == 0.0 && (high - 455.53).abs() < 0.01, "{low} {high}");
    let (low, high) = band(Band::StandardError).unwrap();
    assert!((low - 2.0).abs() < 0.01 && (high - 334.0).abs() < 0.01, "{low} {high}");
    assert_eq!((band(Band::Seeds), band(Band::None)), (None, None));
    let seeds = series(runs(), &PlotOptions { band: Band::Seeds, ..options() });
    assert_eq!(seeds.faint, runs());
}

#[test]
fn logarithms_leave_out_what_has_none() {
    let log = PlotOptions { log_x: true, log_y: true, ..options() };
    let single = series(vec![vec![(0.0, 1.0), (1.0, 10.0), (10.0, -1.0), (100.0, 0.1)]], &log);
    let lines: Vec<_> = single.stretches.iter().map(|stretch| stretch.points.clone()).collect();
    assert_eq!(lines, [vec![(0.0, 1.0)], vec![(2.0, -1.0)]]);
    assert!(single.left_out && !single.has_gap);
    // The mean is taken before the logarithm; a band that reaches 0 goes on below the plot.
    let mean = series(vec![vec![(1.0, 0.0), (10.0, 0.0)], vec![(1.0, 20.0), (10.0, 20.0)]], &log);
    assert_eq!(mean.stretches[0].points[0], (0.0, 1.0));
    assert_eq!(mean.stretches[0].band[0], (f64::NEG_INFINITY, 20_f64.log10()));
    assert!(!mean.left_out);
    let nothing = Series::new(&curve(vec![vec![(1.0, -1.0)]]), &log).unwrap_err();
    assert_eq!(nothing.to_string(), "no data to plot: `PPO` has no points that can be shown");
}

#[test]
fn curves_without_points_are_errors() {
    let error = Series::new(&curve(vec![vec![(f64::NAN, 1.0)], vec![]]), &options()).unwrap_err();
    assert_eq!(error.to_string(), "no data to plot: `PPO` has no points that can be shown");
}

#[test]
fn runs_that_share_one_point_have_one() {
    let series = series(vec![vec![(5.0, 1.0)], vec![(5.0, 3.0)]], &options());
    let [stretch] = &series.stretches[..] else { panic!("{:?}", series.stretches) };
    assert_eq!((&stretch.points[..], stretch.band.len()), (&[(5.0, 2.0)][..], 1));
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
