//! Comparing algorithms: aggregate scores with intervals, probabilities of improvement, performance profiles.
//!
//! Runs are grouped by label and environment. A group holds runs that differ in their seeds alone: anything else would pass the
//! spread of settings off as that of seeds. Without a label of its own a run has its algorithm's name, and runs of the same
//! algorithm with other settings are told apart by their directories. What does not compare is left out, with its reason, so
//! that a whole directory of results can be asked about.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::RunError;
use crate::config::EnvConfig;
use crate::evaluate;
use crate::experiment;
use crate::plot::Line;
use crate::runtime::Setup;
use crate::score::{Measure, RunScores};
use crate::stats::{self, Estimate, Resampling, stratified_bootstrap};

/// Points of a performance profile.
const PROFILE_POINTS: usize = 201;
/// Resamples of a profile's band; `rliable`'s default.
const PROFILE_RESAMPLES: usize = 2000;
/// Episodes of random play that a `random` reference is the mean of.
const RANDOM_EPISODES: usize = 100;

/// A run or an experiment to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contestant {
    /// The label; the algorithm's name in capitals by default.
    pub label: Option<String>,
    /// The directory of a run or an experiment.
    pub path: PathBuf,
}

impl Contestant {
    /// Reads `PATH` or `LABEL=PATH`.
    pub fn parse(text: &str) -> Self {
        match text.split_once('=') {
            // A path that exists is a path, whatever is in it.
            Some((label, path)) if !label.is_empty() && !Path::new(text).exists() => {
                Self { label: Some(label.to_owned()), path: path.into() }
            }
            _ => Self { label: None, path: text.into() },
        }
    }
}

/// One end of a normalisation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reference {
    /// The mean return of random play.
    Random,
    /// The environment's threshold.
    Threshold,
    /// A number.
    Score(f64),
}

/// Scores at which a normalised score is 0 and 1, of one environment or of all.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalization {
    /// The environment; none for all that are not named.
    pub env: Option<String>,
    /// The score that becomes 0.
    pub low: Reference,
    /// The score that becomes 1.
    pub high: Reference,
}

impl Normalization {
    /// Reads `LOW..HIGH` or `ENV=LOW..HIGH`, each end a number, `random` or `threshold`.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn parse(text: &str) -> Result<Self, RunError> {
        let wrong = || {
            RunError::Config(format!(
                "--normalize {text}: expected LOW..HIGH or ENV=LOW..HIGH, each end a number, `random` or `threshold`"
            ))
        };
        let (env, range) = match text.split_once('=') {
            Some((env, range)) => (Some(env.to_owned()), range),
            None => (None, text),
        };
        let reference = |text: &str| match text.trim() {
            "random" => Ok(Reference::Random),
            "threshold" => Ok(Reference::Threshold),
            number => {
                number.parse().ok().filter(|n: &f64| n.is_finite()).map(Reference::Score).ok_or_else(wrong)
            }
        };
        let (low, high) = range.split_once("..").ok_or_else(wrong)?;
        Ok(Self { env, low: reference(low)?, high: reference(high)? })
    }
}

/// How to compare.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CompareOptions {
    /// The score of a run; by default its final evaluation where all runs have one, else its last training episodes.
    pub measure: Option<Measure>,
    /// How scores are normalised; not at all if empty.
    pub normalize: Vec<Normalization>,
    /// How intervals are drawn.
    pub resampling: Resampling,
}

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// What scores are.
    pub measure: Measure,
    /// The environments and their references.
    pub environments: Vec<Environment>,
    /// Aggregates, in the order of the arguments.
    pub algorithms: Vec<Aggregates>,
    /// Probabilities of improvement, for every ordered pair.
    pub improvements: Vec<Improvement>,
    /// What does not compare with these.
    pub left_out: Vec<LeftOut>,
}

/// Something that is not part of a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The directory or file.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

impl LeftOut {
    fn new(path: &Path, reason: impl Into<String>) -> Self {
        Self { path: path.to_owned(), reason: reason.into() }
    }

    fn because(path: &Path, error: &RunError) -> Self {
        match error {
            // Its path is said already.
            RunError::Directory { path: of, message } if of == path => Self::new(path, message.as_str()),
            error => Self::new(path, error.chain()),
        }
    }
}

/// An environment of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Environment {
    /// Its id.
    pub id: String,
    /// The scores that become 0 and 1; none without normalisation.
    pub references: Option<(f64, f64)>,
}

/// The aggregate scores of an algorithm.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Aggregates {
    /// Its label.
    pub label: String,
    /// Number of runs, over all environments.
    pub runs: usize,
    /// Scores by environment, normalised if asked for, in the order of the environments.
    pub scores: Vec<Vec<f64>>,
    /// Interquartile mean.
    pub iqm: Estimate,
    /// Mean over environments.
    pub mean: Estimate,
    /// Median over environments.
    pub median: Estimate,
    /// Optimality gap; of normalised scores only.
    pub optimality_gap: Option<Estimate>,
}

/// How probable it is that a run of one algorithm is better than one of another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Improvement {
    /// The one that might be better.
    pub label: String,
    /// The other one.
    pub over: String,
    /// `P(X > Y)`.
    pub probability: Estimate,
}

/// The runs of one label: those of each environment.
struct Group {
    label: String,
    runs: BTreeMap<String, Vec<RunScores>>,
}

/// Resamples of a bootstrap at most: they are kept to find their percentiles.
const MOST_RESAMPLES: usize = 1_000_000;

/// Compares runs and experiments. What is no finished run, ran in other environments than the others or has no such score is
/// left out.
///
/// # Errors
/// If nothing is left, if runs that are given one name differ in more than their seed, or if several environments are compared
/// without normalisation.
pub fn compare(
    setup: &Setup,
    contestants: &[Contestant],
    options: &CompareOptions,
) -> Result<Comparison, RunError> {
    let resamples = options.resampling.resamples;
    if !(1..=MOST_RESAMPLES).contains(&resamples) {
        let message = format!("the number of resamples must be from 1 to {MOST_RESAMPLES}, got {resamples}");
        return Err(RunError::Config(message));
    }
    let mut left_out = Vec::new();
    let mut groups = load_groups(contestants, &mut left_out)?;
    keep_common_environments(&mut groups, &mut left_out);
    let measure = options.measure.clone().unwrap_or_else(|| {
        let mut all_runs = groups.iter().flat_map(|group| group.runs.values().flatten());
        let evaluated = all_runs.all(|run| run.final_evaluation.is_some());
        if evaluated { Measure::FinalEvaluation } else { Measure::Last100 }
    });
    keep_scored(&mut groups, &measure, &mut left_out);
    keep_common_environments(&mut groups, &mut left_out);
    let Some(first) = groups.first() else {
        let reasons: Vec<String> =
            left_out.iter().map(|LeftOut { path, reason }| format!("{}: {reason}", path.display())).collect();
        let message = format!("expected at least one run to compare, got none ({})", reasons.join("; "));
        return Err(RunError::Config(message));
    };
    let environments: Vec<Environment> = first
        .runs
        .iter()
        .map(|(id, runs)| {
            let references = references(setup, &runs[0].config.env, &options.normalize)?;
            Ok(Environment { id: id.clone(), references })
        })
        .collect::<Result<_, RunError>>()?;
    let normalised = environments.iter().all(|env| env.references.is_some());
    if environments.len() > 1 && !normalised {
        let ids: Vec<&String> = first.runs.keys().collect();
        let message = "scores of several environments can only be aggregated once they are normalised: \
                       give --normalize, for example `random..threshold`, or `ENV=LOW..HIGH` for each";
        return Err(RunError::Config(format!("{message} (got {})", listed(&ids))));
    }
    let algorithms = groups
        .iter()
        .map(|group| {
            let scores = scores(group, &measure, &environments)?;
            Ok(aggregate(group.label.clone(), scores, normalised, options.resampling))
        })
        .collect::<Result<Vec<_>, RunError>>()?;
    let improvements = improvements(&algorithms, options.resampling);
    Ok(Comparison { measure, environments, algorithms, improvements, left_out })
}

/// Reads all runs and puts them into groups.
fn load_groups(contestants: &[Contestant], left_out: &mut Vec<LeftOut>) -> Result<Vec<Group>, RunError> {
    let mut groups: Vec<Group> = Vec::new();
    for contestant in contestants {
        let paths = match experiment::find_runs(&contestant.path) {
            Ok(paths) => paths,
            Err(error) => {
                left_out.push(LeftOut::because(&contestant.path, &error));
                continue;
            }
        };
        for path in paths {
            match RunScores::load(&path) {
                Ok(run) => add(&mut groups, contestant, run, left_out)?,
                Err(error) => left_out.push(LeftOut::because(&path, &error)),
            }
        }
    }
    Ok(groups)
}

/// Puts a run into the group of its name, or of its algorithm and settings.
fn add(
    groups: &mut Vec<Group>,
    contestant: &Contestant,
    run: RunScores,
    left_out: &mut Vec<LeftOut>,
) -> Result<(), RunError> {
    let algorithm = run.config.algorithm.to_uppercase();
    let path = &contestant.path;
    let directory =
        path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into());
    let labels = match &contestant.label {
        Some(label) => vec![label.clone()],
        None => vec![
            algorithm.clone(),
            format!("{algorithm} ({directory})"),
            format!("{algorithm} ({})", path.display()),
        ],
    };
    let env = run.config.env.id.clone();
    let mut chosen = None;
    for label in labels {
        let group = groups.iter().find(|group| group.label == label);
        let mut others = group.and_then(|group| group.runs.get(&env)).into_iter().flatten();
        let Some((other, difference)) =
            others.find_map(|other| Some((other, other.config.first_difference(&run.config)?)))
        else {
            chosen = Some(label);
            break;
        };
        if contestant.label.is_some() {
            return Err(RunError::Config(format!(
                "runs of one name must differ in their seed and nothing else, got {} and {} ({difference}): give each a \
                 name of its own",
                other.path.display(),
                run.path.display(),
            )));
        }
    }
    // Directories of one path have all been tried: what is left is the same experiment with seeds of several settings.
    let label = chosen.unwrap_or_else(|| run.path.display().to_string());
    let index = groups.iter().position(|group| group.label == label).unwrap_or_else(|| {
        groups.push(Group { label, runs: BTreeMap::new() });
        groups.len() - 1
    });
    let runs = groups[index].runs.entry(env).or_default();
    match runs.iter().find(|other| other.config.seed == run.config.seed) {
        Some(other) => {
            let reason = format!("the same settings and seed as {}", other.path.display());
            left_out.push(LeftOut::new(&run.path, reason));
        }
        None => runs.push(run),
    }
    Ok(())
}

/// Leaves out runs in environments that not all algorithms have, and algorithms without the environment that most have.
fn keep_common_environments(groups: &mut Vec<Group>, left_out: &mut Vec<LeftOut>) {
    let ids: BTreeSet<String> = groups.iter().flat_map(|group| group.runs.keys().cloned()).collect();
    let having = |id: &String| groups.iter().filter(|group| group.runs.contains_key(id)).count();
    // Of equals the first one that was named.
    let first = |id: &String| groups.iter().position(|group| group.runs.contains_key(id));
    let Some(common) = ids.iter().max_by_key(|id| (having(id), std::cmp::Reverse(first(id)))) else { return };
    let (kept, others): (Vec<Group>, Vec<Group>) =
        groups.drain(..).partition(|group| group.runs.contains_key(common));
    let everywhere: Vec<&String> =
        ids.iter().filter(|id| kept.iter().all(|group| group.runs.contains_key(*id))).collect();
    let reason = |id: &String| format!("it ran in {id}, compared is {}", listed(&everywhere));
    let mut leave_out = |id: &String, runs: &[RunScores]| {
        left_out.extend(runs.iter().map(|run| LeftOut::new(&run.path, reason(id))));
    };
    for group in &others {
        group.runs.iter().for_each(|(id, runs)| leave_out(id, runs));
    }
    for mut group in kept {
        group.runs.retain(|id, runs| {
            let stays = everywhere.contains(&id);
            if !stays {
                leave_out(id, runs);
            }
            stays
        });
        groups.push(group);
    }
}

/// Leaves out runs without a score.
fn keep_scored(groups: &mut Vec<Group>, measure: &Measure, left_out: &mut Vec<LeftOut>) {
    for group in &mut *groups {
        for runs in group.runs.values_mut() {
            runs.retain(|run| match run.get(measure) {
                Ok(_) => true,
                Err(error) => {
                    left_out.push(LeftOut::because(&run.path, &error));
                    false
                }
            });
        }
        group.runs.retain(|_, runs| !runs.is_empty());
    }
    groups.retain(|group| !group.runs.is_empty());
}

/// The scores that normalise those of an environment.
fn references(
    setup: &Setup,
    env: &EnvConfig,
    normalize: &[Normalization],
) -> Result<Option<(f64, f64)>, RunError> {
    let named = normalize.iter().find(|one| one.env.as_deref() == Some(&env.id));
    let Some(chosen) = named.or_else(|| normalize.iter().find(|one| one.env.is_none())) else {
        return Ok(None);
    };
    let score = |reference| match reference {
        Reference::Score(score) => Ok(score),
        Reference::Random => evaluate::random_play(&setup.registry, env, RANDOM_EPISODES, 0),
        Reference::Threshold => setup.registry.get(&env.id)?.threshold().ok_or_else(|| {
            let message = "has no threshold to normalise by: give a number";
            RunError::Config(format!("{} {message}, as in `{}=random..500`", env.id, env.id))
        }),
    };
    let (low, high) = (score(chosen.low)?, score(chosen.high)?);
    if low < high {
        return Ok(Some((low, high)));
    }
    Err(RunError::Config(format!(
        "the low reference must be below the high one, got {low} and {high} for {}",
        env.id
    )))
}

fn scores(group: &Group, measure: &Measure, environments: &[Environment]) -> Result<Vec<Vec<f64>>, RunError> {
    let of_environment = |env: &Environment| {
        let (low, high) = env.references.unwrap_or((0.0, 1.0));
        let normalised = |run: &RunScores| Ok((run.get(measure)? - low) / (high - low));
        group.runs[&env.id].iter().map(normalised).collect()
    };
    environments.iter().map(of_environment).collect()
}

fn aggregate(label: String, scores: Vec<Vec<f64>>, normalised: bool, resampling: Resampling) -> Aggregates {
    let statistics = |scores: &[Vec<f64>]| {
        vec![
            stats::aggregate_iqm(scores),
            stats::aggregate_mean(scores),
            stats::aggregate_median(scores),
            stats::optimality_gap(scores, 1.0),
        ]
    };
    let estimates = stratified_bootstrap(&scores, resampling, statistics);
    Aggregates {
        label,
        runs: scores.iter().map(Vec::len).sum(),
        scores,
        iqm: estimates[0],
        mean: estimates[1],
        median: estimates[2],
        optimality_gap: normalised.then_some(estimates[3]),
    }
}

fn improvements(algorithms: &[Aggregates], resampling: Resampling) -> Vec<Improvement> {
    let pairs = algorithms.iter().flat_map(|x| algorithms.iter().map(move |y| (x, y)));
    let improvement = |(x, y): (&Aggregates, &Aggregates)| {
        let pair = [x.scores.clone(), y.scores.clone()].concat();
        let environments = x.scores.len();
        let statistic = |pair: &[Vec<f64>]| {
            vec![stats::probability_of_improvement(&pair[..environments], &pair[environments..])]
        };
        let probability = stratified_bootstrap(&pair, resampling, statistic)[0];
        Improvement { label: x.label.clone(), over: y.label.clone(), probability }
    };
    pairs.filter(|(x, y)| x.label != y.label).map(improvement).collect()
}

impl Comparison {
    /// The performance profiles of all algorithms, with bootstrapped 95 % bands.
    pub fn profiles(&self, resampling: Resampling) -> Vec<Line> {
        let all = || self.algorithms.iter().flat_map(|algorithm| algorithm.scores.iter().flatten());
        let low = all().copied().fold(f64::INFINITY, f64::min);
        let high = all().copied().fold(f64::NEG_INFINITY, f64::max);
        let margin = if low < high { 0.03 * (high - low) } else { 0.5 };
        let (low, high) = (low - margin, high + margin);
        let step = (high - low) / (PROFILE_POINTS - 1) as f64;
        let taus: Vec<f64> = (0..PROFILE_POINTS).map(|i| low + i as f64 * step).collect();
        let resampling = Resampling { resamples: resampling.resamples.min(PROFILE_RESAMPLES), ..resampling };
        let profile = |algorithm: &Aggregates| {
            let shares = stratified_bootstrap(&algorithm.scores, resampling, |scores| {
                stats::performance_profile(scores, &taus)
            });
            Line {
                label: algorithm.label.clone(),
                num_runs: algorithm.runs,
                points: taus.iter().zip(&shares).map(|(&tau, share)| (tau, share.value)).collect(),
                band: shares.iter().map(|share| (share.low, share.high)).collect(),
                joined: true,
            }
        };
        self.algorithms.iter().map(profile).collect()
    }

    /// Whether scores are normalised.
    pub fn is_normalised(&self) -> bool {
        self.environments.iter().all(|env| env.references.is_some())
    }
}

fn listed(ids: &[&String]) -> String {
    ids.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
