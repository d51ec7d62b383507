//! What a transfer brought: runs that began with weights beside runs that began anew.
//!
//! # Source
//! Taylor and Stone (2009), "Transfer Learning for Reinforcement Learning Domains: A Survey", section 3: jump start, asymptotic
//! performance, total reward and time to threshold.

use std::path::Path;

use serde::Serialize;

use crate::RunError;
use crate::experiment;
use crate::plot::{self, XAxis};
use crate::run::RunDirectory;
use crate::score::Measure;
use crate::stats::{self, Estimate, Resampling, stratified_bootstrap};

/// The figures of one run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RunFigures {
    /// The first score of its curve.
    pub start: f64,
    /// The last one.
    pub end: f64,
    /// The mean over environment steps.
    pub mean: f64,
    /// Environment steps until the curve first reached the threshold; none if it never did.
    pub steps_to_threshold: Option<f64>,
    /// Environment steps of its curve.
    pub steps: f64,
}

/// One figure of both sides: its means over runs, and how much more it is with what was taken over.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// `jump start`, `mean score` or `final score`.
    pub figure: &'static str,
    /// The mean of runs that began anew.
    pub scratch: f64,
    /// The mean of runs that began with weights.
    pub transferred: f64,
    /// The difference, with its 95 % interval; the interval has no ends where a side is a single run.
    pub difference: Estimate,
}

/// What a transfer brought.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What scores are.
    pub measure: String,
    /// The score that is to be reached.
    pub threshold: f64,
    /// Runs that began anew.
    pub scratch: Vec<RunFigures>,
    /// Runs that began with weights.
    pub transferred: Vec<RunFigures>,
    /// Jump start, mean score and final score.
    pub differences: Vec<Difference>,
    /// Median steps to the threshold, of runs that began anew and of the others; none if fewer than half reached it.
    pub median_steps: [Option<f64>; 2],
}

impl Report {
    /// Whether the transfer did harm: the whole interval of the difference of mean or of final scores is below zero.
    pub fn is_negative(&self) -> bool {
        self.differences[1..].iter().any(|difference| difference.difference.high < 0.0)
    }

    /// Steps to the threshold as a share of what it takes from scratch; none where fewer than half of the runs got there.
    pub fn share_of_steps(&self) -> Option<f64> {
        let [scratch, transferred] = self.median_steps;
        Some(transferred? / scratch?)
    }
}

/// The environment of a run or an experiment.
fn environment(path: &Path) -> Result<String, RunError> {
    let config = match experiment::is_experiment(path) {
        true => experiment::open(path)?.0,
        false => RunDirectory::open(path)?.1,
    };
    Ok(config.env.id)
}

/// The points of a run's curve: environment steps and scores.
type RunCurve = Vec<(f64, f64)>;

/// Compares runs, or experiments of several seeds. Scores are those of evaluations where all runs have some, else of the last 100
/// training episodes; the threshold is by default nine tenths of the way from the first to the last mean score from scratch.
///
/// # Errors
/// If a directory is no run, a run has no scores, or both sides are of different environments.
pub fn compare(
    scratch: &Path,
    transferred: &Path,
    measure: Option<Measure>,
    threshold: Option<f64>,
) -> Result<Report, RunError> {
    let [own, other] = [scratch, transferred].map(environment);
    let (own, other) = (own?, other?);
    if own != other {
        return Err(RunError::Config(format!(
            "expected runs in one environment, whose scores can be compared, found {own} in {} and {other} in {}",
            scratch.display(),
            transferred.display()
        )));
    }
    let curves = |measure: &Measure| -> Result<[Vec<RunCurve>; 2], RunError> {
        let of = |path| Ok::<_, RunError>(plot::load_curve(path, XAxis::Steps, measure.metric(), None)?.runs);
        let sides = [of(scratch)?, of(transferred)?];
        let sides = sides.map(|runs| -> Vec<RunCurve> {
            let finite = |run: RunCurve| run.into_iter().filter(|(_, y)| y.is_finite()).collect();
            runs.into_iter().map(finite).collect()
        });
        match sides.iter().flatten().any(Vec::is_empty) {
            true => Err(plot::PlotError::NoData { label: Some(measure.label()) }.into()),
            false => Ok(sides),
        }
    };
    let (measure, sides) = match measure {
        Some(measure) => {
            let sides = curves(&measure)?;
            (measure, sides)
        }
        None => match curves(&Measure::FinalEvaluation) {
            Ok(sides) => (Measure::FinalEvaluation, sides),
            Err(_) => (Measure::Last100, curves(&Measure::Last100)?),
        },
    };
    let ends = |run: &RunCurve| (run[0].1, run[run.len() - 1].1);
    let (starts, finals): (Vec<f64>, Vec<f64>) = sides[0].iter().map(ends).unzip();
    let threshold = threshold.unwrap_or_else(|| {
        let (start, end) = (stats::mean(&starts), stats::mean(&finals));
        start + 0.9 * (end - start)
    });
    let [scratch, transferred] =
        sides.map(|runs| -> Vec<RunFigures> { runs.iter().map(|run| figures(run, threshold)).collect() });
    let differences = [
        ("jump start", (|run| run.start) as fn(&RunFigures) -> f64),
        ("mean score", |run| run.mean),
        ("final score", |run| run.end),
    ]
    .map(|(figure, of)| difference(figure, &scratch, &transferred, of));
    let median_steps = [&scratch, &transferred].map(|runs| median_steps(runs));
    let measure = measure.axis().to_owned();
    Ok(Report { measure, threshold, scratch, transferred, differences: differences.to_vec(), median_steps })
}

fn figures(run: &[(f64, f64)], threshold: f64) -> RunFigures {
    // A score stands from its step until the next one, as what the agent had by then.
    let mut area = 0.0;
    for pair in run.windows(2) {
        area += (pair[1].0 - pair[0].0) * 0.5 * (pair[0].1 + pair[1].1);
    }
    let (first, last) = (run[0], run[run.len() - 1]);
    let width = last.0 - first.0;
    RunFigures {
        start: first.1,
        end: last.1,
        mean: if width > 0.0 { area / width } else { last.1 },
        steps_to_threshold: run.iter().find(|(_, y)| *y >= threshold).map(|(x, _)| *x),
        steps: last.0,
    }
}

fn difference(
    figure: &'static str,
    scratch: &[RunFigures],
    transferred: &[RunFigures],
    of: impl Fn(&RunFigures) -> f64,
) -> Difference {
    let strata = [scratch, transferred].map(|runs| runs.iter().map(&of).collect::<Vec<f64>>());
    let minus = |strata: &[Vec<f64>]| vec![stats::mean(&strata[1]) - stats::mean(&strata[0])];
    let mut difference = stratified_bootstrap(&strata, Resampling::default(), minus)[0];
    if strata.iter().any(|runs| runs.len() < 2) {
        // One run says nothing of how others would differ.
        (difference.low, difference.high) = (f64::NAN, f64::NAN);
    }
    Difference { figure, scratch: stats::mean(&strata[0]), transferred: stats::mean(&strata[1]), difference }
}

/// The median, in which a run that never got there took longer than any other.
fn median_steps(runs: &[RunFigures]) -> Option<f64> {
    let steps = |run: &RunFigures| run.steps_to_threshold.unwrap_or(f64::INFINITY);
    let median = stats::median(&runs.iter().map(steps).collect::<Vec<_>>());
    median.is_finite().then_some(median)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_curve() {
        let run = [(0.0, 1.0), (10.0, 3.0), (30.0, 5.0)];
        let found = figures(&run, 3.0);
        assert_eq!((found.start, found.end, found.steps_to_threshold), (1.0, 5.0, Some(10.0)));
        // (10 · 2 + 20 · 4) / 30.
        assert!((found.mean - 100.0 / 30.0).abs() < 1e-12);
        assert_eq!(figures(&run, 6.0).steps_to_threshold, None);
        assert_eq!(figures(&[(5.0, 2.0)], 1.0).mean, 2.0);
    }

    #[test]
    fn runs_that_never_got_there_take_longest() {
        let run = |steps_to_threshold| RunFigures {
            start: 0.0,
            end: 0.0,
            mean: 0.0,
            steps_to_threshold,
            steps: 9.0,
        };
        assert_eq!(median_steps(&[run(Some(3.0)), run(None), run(Some(5.0))]), Some(5.0));
        assert_eq!(median_steps(&[run(Some(3.0)), run(None), run(None)]), None);
    }

    #[test]
    fn harm_is_said_only_where_the_interval_says_so() {
        let runs = |scores: [f64; 3]| scores.map(|end| figures(&[(0.0, 0.0), (1.0, end)], 5.0));
        let report = |transferred: [f64; 3]| {
            let (scratch, transferred) = (runs([9.0, 10.0, 11.0]), runs(transferred));
            let differences = [
                difference("jump start", &scratch, &transferred, |run| run.start),
                difference("mean score", &scratch, &transferred, |run| run.mean),
                difference("final score", &scratch, &transferred, |run| run.end),
            ];
            Report {
                measure: String::new(),
                threshold: 5.0,
                scratch: scratch.to_vec(),
                transferred: transferred.to_vec(),
                differences: differences.to_vec(),
                median_steps: [None, None],
            }
        };
        assert!(report([1.0, 2.0, 3.0]).is_negative());
        assert!(!report([9.0, 10.0, 10.5]).is_negative());
        let one = |end: f64| vec![figures(&[(0.0, 0.0), (1.0, end)], 5.0)];
        let alone = difference("final score", &one(9.0), &one(1.0), |run| run.end);
        assert!(alone.difference.value == -8.0 && alone.difference.high.is_nan());
        let differences = vec![alone.clone(), alone.clone(), alone];
        let single =
            Report { scratch: one(9.0), transferred: one(1.0), differences, ..report([1.0, 2.0, 3.0]) };
        assert!(!single.is_negative(), "a single run on each side proves no harm");
    }
}
