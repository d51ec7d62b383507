//! A run's checkpoints beside each other: how its errors in solved positions and its ratings went.

use std::path::Path;

use super::elo::Rating;
use super::solved::{self, SolvedOptions, SolvedRow};
use crate::RunError;
use crate::experiment::find_runs;
use crate::plot::{Band, Curve, Line, Picture, PlotOptions, XAxis, draw, draw_lines, load_series};
use crate::policy::Which;
use crate::run::RunDirectory;
use crate::setup::Setup;

/// What one checkpoint of a run does in solved positions.
#[derive(Clone, Debug, PartialEq)]
pub struct Rung {
    /// The number of the run, among those of its experiment.
    pub run: usize,
    /// Environment steps of training.
    pub env_steps: u64,
    /// Hours of training, if the run has written them down.
    pub hours: Option<f64>,
    /// A row for each set of positions.
    pub rows: Vec<SolvedRow>,
}

/// Has every checkpoint whose weights are kept move in all positions of a file: those of a run, or of all runs of an experiment.
/// `told` hears of each.
///
/// # Errors
/// As [`solved::judge`], and if a run keeps no weights.
pub fn climb(
    setup: &Setup,
    options: &SolvedOptions,
    told: &mut dyn FnMut(&Rung) -> Result<(), RunError>,
) -> Result<Vec<Rung>, RunError> {
    let mut rungs = Vec::new();
    for (number, run) in find_runs(&options.source)?.into_iter().enumerate() {
        let hours = Hours::of(&run);
        for env_steps in kept(&run)? {
            let which = Which::Step(env_steps);
            let rows =
                solved::judge(setup, &SolvedOptions { source: run.clone(), which, ..options.clone() })?;
            let rung = Rung { run: number, env_steps, hours: hours.at(env_steps), rows };
            told(&rung)?;
            rungs.push(rung);
        }
    }
    Ok(rungs)
}

/// Steps of the checkpoints whose weights a run keeps, at least one.
///
/// # Errors
/// If it keeps none.
pub(super) fn kept(run: &Path) -> Result<Vec<u64>, RunError> {
    let steps = RunDirectory::at(run).kept_models()?;
    if steps.is_empty() {
        let message =
            "expected weights of checkpoints in models/, found none: train with runtime.keep_models=true";
        return Err(RunError::Directory { path: run.to_owned(), message: message.to_owned() });
    }
    Ok(steps)
}

/// What a run took for its steps.
struct Hours(Vec<(f64, f64)>);

impl Hours {
    fn of(run: &Path) -> Self {
        // A run without times has none: its steps are drawn.
        Self(load_series(run, XAxis::Steps, "seconds").unwrap_or_default())
    }

    fn at(&self, env_steps: u64) -> Option<f64> {
        let row = self.0.iter().find(|(steps, _)| *steps >= env_steps as f64)?;
        Some(row.1 / 3600.0)
    }
}

/// The share of outcome errors in each set over the hours of training, or over steps where hours are not known.
///
/// # Errors
/// If there is nothing to draw.
pub fn errors_picture(rungs: &[Rung]) -> Result<Picture, RunError> {
    let has_hours = rungs.iter().all(|rung| rung.hours.is_some());
    let runs = rungs.iter().map(|rung| rung.run + 1).max().unwrap_or(0);
    let sets: Vec<String> =
        rungs.first().map_or(Vec::new(), |rung| rung.rows.iter().map(|row| row.set.clone()).collect());
    let curves: Vec<Curve> = sets
        .into_iter()
        .enumerate()
        .map(|(set, label)| {
            let point = |rung: &Rung| {
                let row = &rung.rows[set];
                let x = rung.hours.filter(|_| has_hours).unwrap_or(rung.env_steps as f64);
                (x, 100.0 * row.outcome_errors as f64 / row.count as f64)
            };
            let of_run = |run| rungs.iter().filter(|rung| rung.run == run).map(point).collect();
            Curve { label, runs: (0..runs).map(of_run).collect() }
        })
        .collect();
    let options = PlotOptions {
        title: "Moves that give away a win or a draw".to_owned(),
        x_label: if has_hours { "hours of training" } else { "environment steps" }.to_owned(),
        y_label: "outcome errors, %".to_owned(),
        band: Band::Range,
        ..PlotOptions::default()
    };
    Ok(draw(&curves, &options)?)
}

/// Ratings of the players that are checkpoints (`PATH@STEP`) over their steps, a line for each run; the others are left out.
///
/// # Errors
/// If none is a checkpoint.
pub fn elo_picture(players: &[String], ratings: &[Rating]) -> Result<Picture, RunError> {
    let mut lines: Vec<Line> = Vec::new();
    let mut points: Vec<(&str, u64, Rating)> = players
        .iter()
        .zip(ratings)
        .filter_map(|(player, rating)| {
            let (run, step) = player.rsplit_once('@')?;
            Some((run, step.parse().ok()?, *rating))
        })
        .collect();
    points.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
    for (run, step, Rating { elo, low, high }) in points {
        if lines.last().is_none_or(|line| line.label != run) {
            let (points, band) = (Vec::new(), Vec::new());
            lines.push(Line { label: run.to_owned(), num_runs: 1, points, band, joined: true });
        }
        if let Some(line) = lines.last_mut() {
            line.points.push((step as f64, elo));
            line.band.push((low, high));
        }
    }
    let options = PlotOptions {
        title: "Ratings of checkpoints".to_owned(),
        y_label: "Elo".to_owned(),
        notes: vec!["band: 95 % interval, bootstrapped over games; the mean of all players is 0".to_owned()],
        ..PlotOptions::default()
    };
    Ok(draw_lines(&lines, &options)?)
}
