//! Sweeps and comparisons: what trials and algorithms scored, and what that says.

use std::path::{Path, PathBuf};

use super::library::{Entry, Library};
use super::places;
use super::types::{Compared, ComparedOne, Kind, ParameterOf, SweepOf, TrialOf};
use crate::RunError;
use crate::compare::{self, CompareOptions, Contestant, Normalization};
use crate::run::directory::CONFIG;
use crate::score::{self, Measure};
use crate::setup::Setup;
use crate::stats::{self, Resampling};
use crate::sweep::{Range, SweepFile};

/// Resamples of a comparison's intervals: a page waits for them.
const RESAMPLES: usize = 2000;
/// Groups that the values of a setting that is a number are put into.
const GROUPS: usize = 4;
/// Trials below which nothing is said of a setting.
const FEWEST: usize = 6;

/// What a sweep's trials scored.
///
/// # Errors
/// If its file is broken, or it is no sweep.
pub(super) fn sweep(library: &Library, key: u32, entry: &Entry) -> Result<SweepOf, RunError> {
    if entry.kind != Kind::Sweep {
        let message = "expected a sweep: a directory that `agon sweep` has made".to_owned();
        return Err(RunError::Directory { path: entry.path.clone(), message });
    }
    let file = entry.path.join("sweep.toml");
    ensure_inside(&file)?;
    let file = SweepFile::load(&file)?;
    let parameters = file.parameters()?;
    let mut trials = Vec::new();
    for item in library.inside(key) {
        let Some(trial) = library.entry(item.key) else { continue };
        let Some(first) = trial.runs.first() else { continue };
        let score = match &file.metric {
            Measure::FinalEvaluation => item.evaluation,
            Measure::Last100 => item.score,
            Measure::Metric(_) => last_of(&trial.runs, &file.metric),
        };
        let values = parameters.iter().map(|parameter| library.value(first, &parameter.key)).collect();
        let env_steps = item.env_steps / trial.runs.len().max(1) as u64;
        let (id, name) = (item.id.clone(), item.name.clone());
        trials.push(TrialOf { key: item.key, id, name, state: item.state, env_steps, score, values });
    }
    trials.sort_by(|a, b| {
        let score = |trial: &TrialOf| trial.score.unwrap_or(f64::NEG_INFINITY);
        score(b).total_cmp(&score(a))
    });
    // Scores after different numbers of steps do not compare; an iteration more or less does not matter.
    let longest =
        trials.iter().filter(|trial| trial.score.is_some()).map(|trial| trial.env_steps).max().unwrap_or(0);
    let is_compared =
        |trial: &&TrialOf| trial.score.is_some() && trial.env_steps as f64 >= 0.95 * longest as f64;
    let compared: Vec<&TrialOf> = trials.iter().filter(is_compared).collect();
    let scores: Vec<f64> = compared.iter().filter_map(|trial| trial.score).collect();
    let describe = |(index, parameter): (usize, &crate::sweep::Parameter)| {
        let values: Vec<&(String, Option<f64>)> = compared.iter().map(|trial| &trial.values[index]).collect();
        let numbers: Option<Vec<f64>> = values.iter().map(|(_, number)| *number).collect();
        ParameterOf {
            key: parameter.key.clone(),
            is_log: is_log(&parameter.range, numbers.as_deref().unwrap_or_default()),
            share: share(&groups(&values, numbers.as_deref()), &scores),
            trend: numbers.and_then(|numbers| rank_correlation(&numbers, &scores)),
        }
    };
    let parameters = parameters.iter().enumerate().map(describe).collect();
    Ok(SweepOf { metric: file.metric.label(), parameters, compared: compared.len(), trials })
}

/// The mean of the last values of a metric that the environment has by itself.
fn last_of(runs: &[PathBuf], metric: &Measure) -> Option<f64> {
    let last = |run: &PathBuf| {
        ensure_plain(run).ok()?;
        score::at(run, metric, u64::MAX).ok().flatten()
    };
    let scores: Option<Vec<f64>> = runs.iter().map(last).collect();
    scores.map(|scores| stats::mean(&scores)).filter(|score| score.is_finite())
}

fn is_log(range: &Range, numbers: &[f64]) -> bool {
    let ends = || {
        (numbers.iter().copied().fold(f64::INFINITY, f64::min), numbers.iter().copied().fold(0.0, f64::max))
    };
    match range {
        Range::LogUniform { .. } => true,
        Range::Choice { .. } => ends().0 > 0.0 && ends().1 / ends().0 >= 50.0,
        Range::Uniform { .. } | Range::Integer { .. } => false,
    }
}

/// The group of each trial by one of its settings: its value, or of many different numbers one of a few ranges with as many
/// trials each.
fn groups(values: &[&(String, Option<f64>)], numbers: Option<&[f64]>) -> Vec<usize> {
    let mut texts: Vec<&str> = values.iter().map(|(text, _)| text.as_str()).collect();
    texts.sort_unstable();
    texts.dedup();
    if let Some(numbers) = numbers.filter(|_| texts.len() > GROUPS) {
        let ranks = stats::ranks(numbers);
        return ranks.iter().map(|rank| (rank * GROUPS as f64 / ranks.len() as f64) as usize).collect();
    }
    values.iter().map(|(text, _)| texts.partition_point(|other| *other < text.as_str())).collect()
}

/// The share of the variance of scores that groups explain, beyond what as many groups explain by chance: `ε²`, not below 0.
///
/// # Source
/// Kelley 1935, *An Unbiased Correlation Ratio Measure*.
fn share(groups: &[usize], scores: &[f64]) -> Option<f64> {
    let count = groups.iter().max().map_or(0, |group| group + 1);
    let members = |group: usize| -> Vec<f64> {
        groups.iter().zip(scores).filter(|(found, _)| **found == group).map(|(_, score)| *score).collect()
    };
    let all: Vec<Vec<f64>> = (0..count).map(members).filter(|members| !members.is_empty()).collect();
    if scores.len() < FEWEST || all.len() < 2 || scores.len() <= all.len() {
        return None;
    }
    let squares = |values: &[f64]| {
        let mean = stats::mean(values);
        values.iter().map(|value| (value - mean).powi(2)).sum::<f64>()
    };
    let within = all.iter().map(|members| squares(members)).sum::<f64>() / (scores.len() - all.len()) as f64;
    let total = squares(scores) / (scores.len() - 1) as f64;
    Some(if total > 0.0 { (1.0 - within / total).max(0.0) } else { 0.0 })
}

/// Spearman's rank correlation; none of few numbers, or where one of both is always the same.
fn rank_correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    stats::rank_correlation(a, b).filter(|_| a.len() >= FEWEST)
}

/// Compares what was chosen, each under its own name.
///
/// # Errors
/// As [`compare::compare`].
pub(super) fn compare(
    setup: &Setup,
    chosen: &[(String, Entry)],
    measure: &str,
    normalize: Option<&str>,
) -> Result<Compared, RunError> {
    for run in chosen.iter().flat_map(|(_, entry)| &entry.runs) {
        ensure_plain(run)?;
    }
    let contestants: Vec<Contestant> = chosen
        .iter()
        .flat_map(|(label, entry)| entry.runs.iter().map(move |path| (label, path)))
        .map(|(label, path)| Contestant { label: Some(label.clone()), path: path.clone() })
        .collect();
    let resampling = Resampling { resamples: RESAMPLES, seed: 0 };
    let options = CompareOptions {
        measure: Measure::named(measure),
        normalize: normalize.map(Normalization::parse).transpose()?.into_iter().collect(),
        resampling,
    };
    let found = compare::compare(setup, &contestants, &options)?;
    let profiles = found.profiles(resampling);
    let one = |(aggregates, line): (&compare::Aggregates, &crate::plot::Line)| {
        let (x, y) = line.points.iter().copied().unzip();
        let (low, high) = line.band.iter().copied().unzip();
        ComparedOne {
            label: aggregates.label.clone(),
            runs: aggregates.runs,
            iqm: aggregates.iqm,
            mean: aggregates.mean,
            median: aggregates.median,
            profile: [x, y, low, high],
        }
    };
    let name = |path: &Path| {
        let owner = chosen.iter().find(|(_, entry)| entry.runs.iter().any(|run| run == path));
        owner.map_or_else(
            || path.display().to_string(),
            |(label, entry)| match entry.kind {
                Kind::Run => label.clone(),
                _ => format!("{label}/{}", path.file_name().unwrap_or_default().to_string_lossy()),
            },
        )
    };
    Ok(Compared {
        measure: found.measure.label(),
        is_normalised: found.is_normalised(),
        algorithms: found.algorithms.iter().zip(&profiles).map(one).collect(),
        improvements: found
            .improvements
            .into_iter()
            .map(|one| (one.label, one.over, one.probability))
            .collect(),
        left_out: found.left_out.into_iter().map(|one| (name(&one.path), one.reason)).collect(),
    })
}

/// Refuses a run of whose files one is a link: what it leads to would be read, and told in an error.
fn ensure_plain(run: &Path) -> Result<(), RunError> {
    let files =
        [CONFIG, "metrics.csv", "timing.csv", "evaluations.csv", "episodes.csv"].map(|name| run.join(name));
    files.iter().filter(|file| file.symlink_metadata().is_ok()).try_for_each(|file| ensure_inside(file))
}

fn ensure_inside(file: &Path) -> Result<(), RunError> {
    if places::is_inside(file) {
        return Ok(());
    }
    Err(RunError::Directory { path: file.to_owned(), message: "expected a file, found a link".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_decides_the_score_explains_all_of_it_and_one_that_does_not_nothing() {
        let scores = [1.0, 1.0, 1.0, 5.0, 5.0, 5.0];
        assert_eq!(share(&[0, 0, 0, 1, 1, 1], &scores), Some(1.0));
        assert_eq!(share(&[0, 1, 0, 1, 0, 1], &scores).map(|share| share < 0.05), Some(true));
        assert_eq!(share(&[0, 0, 1, 1], &scores[..4]), None, "four trials say nothing");
        assert_eq!(share(&[0; 6], &scores), None, "there is nothing to compare");
    }

    #[test]
    fn many_numbers_are_put_into_as_large_groups_and_few_values_stay_apart() {
        let texts: Vec<(String, Option<f64>)> =
            (0..8).map(|i| (i.to_string(), Some(f64::from(7 - i)))).collect();
        let values: Vec<&(String, Option<f64>)> = texts.iter().collect();
        let numbers: Vec<f64> = texts.iter().filter_map(|(_, number)| *number).collect();
        assert_eq!(groups(&values, Some(&numbers)), [3, 3, 2, 2, 1, 1, 0, 0]);
        assert_eq!(groups(&values[..2], Some(&numbers[..2])), [0, 1]);
    }

    #[test]
    fn trends_go_by_ranks() {
        let numbers = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0];
        assert_eq!(rank_correlation(&numbers, &[1.0, 2.0, 3.0, 4.0, 5.0, 60.0]), Some(1.0));
        assert_eq!(rank_correlation(&numbers, &[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]), Some(-1.0));
        assert_eq!(rank_correlation(&[1.0; 6], &numbers), None);
        assert_eq!(stats::ranks(&[3.0, 1.0, 3.0]), [1.5, 0.0, 1.5]);
    }
}
