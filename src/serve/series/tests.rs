use super::*;

const VIEW: View = View {
    window: None,
    buckets: 500,
    smooth: 1,
    log_x: false,
    log_y: false,
    band: Band::Range,
    is_first_look: false,
};

fn line(length: u32) -> Vec<Point> {
    (0..length).map(|i| (f64::from(i), f64::from(i % 7))).collect()
}

#[test]
fn a_run_that_went_back_has_one_value_at_each_x_by_its_last_row() {
    let iterations = [1.0, 2.0, 3.0, 2.0, 3.0, 4.0];
    let steps = [10.0, 20.0, 30.0, 20.0, 30.0, 40.0];
    let y = [1.0, 2.0, 3.0, 5.0, f64::INFINITY, f64::from_bits(0x7ff8_0000_0000_0a60)];
    let mut left_out = LeftOut::default();
    let columns = Columns { x: (&iterations, &steps), y: (&iterations, &y), takes_next: false };
    let points = joined(&columns, &mut left_out);
    assert_eq!(points[..2], [(10.0, 1.0), (20.0, 5.0)]);
    assert!(points[2].0 == 30.0 && points[2].1.is_nan() && points.len() == 3);
    assert_eq!((left_out.repeated, left_out.not_finite), (2, 1));
}

#[test]
fn an_evaluation_without_a_row_of_its_own_takes_the_next_one() {
    let columns =
        Columns { x: (&[1.0, 4.0], &[0.5, 2.0]), y: (&[1.0, 3.0, 5.0], &[7.0, 8.0, 9.0]), takes_next: true };
    assert_eq!(joined(&columns, &mut LeftOut::default()), [(0.5, 7.0), (2.0, 8.0)]);
}

#[test]
fn few_points_are_shown_as_they_are_and_many_keep_their_extremes() {
    let mut left_out = LeftOut::default();
    let few = line(1000);
    let shown_few = shown(std::slice::from_ref(&few), &VIEW, &mut left_out);
    assert!(!shown_few.is_thinned);
    assert_eq!(shown_few.x.iter().copied().zip(shown_few.y).collect::<Vec<_>>(), few);
    let mut many = line(100_000);
    many[31_415].1 = 1e6;
    many[77_777].1 = -1e6;
    let shown = shown(&[many], &VIEW, &mut left_out);
    assert!(shown.is_thinned && shown.x.len() <= 1001 && shown.x.is_sorted_by(|a, b| a < b));
    for (x, y) in [(31_415.0, 1e6), (77_777.0, -1e6)] {
        let at = shown.y.iter().position(|found| *found == y).unwrap();
        assert!((shown.x[at] - x).abs() <= 200.0, "{} is beside {x}", shown.x[at]);
    }
}

#[test]
fn a_window_shows_what_is_in_it_and_a_neighbour_on_each_side() {
    let view = View { window: Some((100.5, 200.5)), ..VIEW };
    let shown = shown(&[line(1000)], &view, &mut LeftOut::default());
    assert_eq!((shown.x[0], shown.x[shown.x.len() - 1], shown.x.len()), (100.0, 201.0, 102));
    assert_eq!(rows_within(&line(1000), view.window), 100);
}

#[test]
fn gaps_stay_gaps_and_smoothing_does_not_reach_over_them() {
    let mut run = line(10);
    run[4].1 = f64::NAN;
    let view = View { smooth: 3, ..VIEW };
    let smoothed = prepared(run, &view, &mut LeftOut::default());
    assert!(smoothed[4].1.is_nan());
    assert_eq!((smoothed[3].1, smoothed[5].1, smoothed[6].1), (2.0, 5.0, 5.5));
    let mut long = line(10_000);
    long[2_000..4_000].iter_mut().for_each(|(_, y)| *y = f64::NAN);
    let shown = shown(&[long], &VIEW, &mut LeftOut::default());
    assert_eq!(
        shown.y.iter().filter(|y| y.is_nan()).count(),
        100,
        "a place for each stretch without a value"
    );
}

#[test]
fn a_logarithmic_axis_has_no_place_for_zero_and_says_how_many_it_left_out() {
    let mut left_out = LeftOut::default();
    let view = View { log_x: true, log_y: true, ..VIEW };
    let run = prepared(vec![(0.0, 5.0), (1.0, 0.0), (2.0, -1.0), (3.0, 10.0)], &view, &mut left_out);
    let shown = shown(&[run], &view, &mut left_out);
    assert_eq!(shown.x, [1.0, 2.0, 3.0]);
    assert!(shown.y[0].is_nan() && shown.y[1].is_nan() && shown.y[2] == 10.0);
    assert_eq!(left_out.not_positive, 3);
}

#[test]
fn the_mean_breaks_where_a_seed_ends_and_the_band_is_of_those_that_are_there() {
    let runs = [vec![(0.0, 1.0), (10.0, 3.0), (20.0, 5.0)], vec![(0.0, 3.0), (10.0, 5.0)]];
    let shown = shown(&runs, &VIEW, &mut LeftOut::default());
    assert_eq!(shown.x, [0.0, 10.0, 15.0, 20.0]);
    assert_eq!((shown.y[0], shown.y[1], shown.y[3]), (2.0, 4.0, 5.0));
    assert!(shown.y[2].is_nan());
    assert_eq!((shown.low[0], shown.high[0], shown.low[3], shown.high[3]), (1.0, 3.0, 5.0, 5.0));
    assert_eq!(shown.runs, [2, 2, 1, 1]);
}

#[test]
fn seeds_with_other_steps_are_averaged_on_the_lines_between_their_points() {
    let runs = [vec![(0.0, 0.0), (10.0, 10.0)], vec![(0.0, 2.0), (5.0, 7.0), (10.0, 12.0)]];
    let shown = shown(&runs, &VIEW, &mut LeftOut::default());
    assert_eq!((shown.x, shown.y), (vec![0.0, 5.0, 10.0], vec![1.0, 6.0, 11.0]));
    assert!(shown.runs.is_empty());
}
