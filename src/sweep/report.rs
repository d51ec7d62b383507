//! What a sweep leaves behind: `trials.csv`, `table.md`, and plots.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Candidate, Measure, Range, SweepFile, Trial};
use crate::RunError;
use crate::error::AtPath;
use crate::plot::{self, Line, PlotError, PlotOptions, XAxis};
use crate::stats;
use crate::text::{human, table};

/// Trials whose curves are drawn.
const BEST: usize = 5;

/// What a sweep found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepReport {
    /// What scores are.
    pub metric: Measure,
    /// The settings that were searched.
    pub parameters: Vec<String>,
    /// The trials, those that were trained longest first and the best of them before the others; those that failed last.
    pub trials: Vec<TrialRow>,
}

/// Whether a trial was trained to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It was.
    Finished,
    /// It was stopped at a rung.
    Stopped,
    /// One of its runs failed.
    Failed,
}

/// A trial of a report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrialRow {
    /// Its number.
    pub trial: usize,
    /// Its values, in the order of the report's parameters.
    pub values: Vec<toml::Value>,
    /// Whether it was trained to its end.
    pub status: Status,
    /// Environment steps that its score was taken after, or that it had taken when it failed.
    pub env_steps: u64,
    /// Why it failed, if it did.
    pub failure: Option<String>,
    /// The mean score over seeds; none if a seed has no score.
    pub score: Option<f64>,
    /// The score of each seed.
    pub seeds: Vec<Option<f64>>,
    /// The directory of its runs.
    pub path: PathBuf,
}

impl SweepReport {
    pub(super) fn new(file: &SweepFile, candidates: &[Candidate], total: u64) -> Self {
        let row = |candidate: &Candidate| {
            let failure = candidate.failure.as_ref();
            let score = Some(candidate.score()).filter(|score| score.is_finite() && failure.is_none());
            TrialRow {
                trial: candidate.trial.number,
                values: candidate.trial.values.iter().map(|(_, value)| value.clone()).collect(),
                status: match failure {
                    Some(_) => Status::Failed,
                    None if candidate.steps >= total => Status::Finished,
                    None => Status::Stopped,
                },
                env_steps: failure.map_or(candidate.steps, |failure| failure.env_steps),
                failure: failure.map(|failure| failure.reason.clone()),
                score,
                seeds: if failure.is_some() {
                    vec![None; file.seeds as usize]
                } else {
                    candidate.scores.clone()
                },
                path: candidate.path.clone(),
            }
        };
        let mut order: Vec<&Candidate> = candidates.iter().collect();
        order.sort_by(|a, b| {
            let failed = |candidate: &Candidate| candidate.failure.is_some();
            failed(a).cmp(&failed(b)).then(b.steps.cmp(&a.steps)).then(b.score().total_cmp(&a.score()))
        });
        let first = candidates.first().map_or(&[][..], |candidate| &candidate.trial.values);
        let parameters = first.iter().map(|(key, _)| key.clone()).collect();
        Self { metric: file.metric.clone(), parameters, trials: order.into_iter().map(row).collect() }
    }

    /// The trials that have a score, or never will for another reason than a failure.
    pub fn succeeded(&self) -> impl Iterator<Item = &TrialRow> {
        self.trials.iter().filter(|trial| trial.status != Status::Failed)
    }

    /// The trials that failed.
    pub fn failed(&self) -> impl Iterator<Item = &TrialRow> {
        self.trials.iter().filter(|trial| trial.status == Status::Failed)
    }

    /// The trials as a table in Markdown, the best first; those that failed, with their reasons, in a table of their own.
    pub fn table(&self) -> String {
        let mut failed: Vec<&TrialRow> = self.failed().collect();
        if failed.is_empty() {
            return self.table_of_scores();
        }
        failed.sort_by_key(|trial| trial.trial);
        let mut header: Vec<&str> = vec!["failed trial"];
        header.extend(self.parameters.iter().map(String::as_str));
        header.extend(["env steps", "reason"]);
        let row = |trial: &&TrialRow| {
            let mut cells = vec![trial.trial.to_string()];
            cells.extend(trial.values.iter().map(ToString::to_string));
            cells.extend([trial.env_steps.to_string(), trial.failure.clone().unwrap_or_default()]);
            cells
        };
        let failures = table(&header, &failed.iter().map(row).collect::<Vec<_>>());
        format!("{}\n\n{failures}", self.table_of_scores())
    }

    fn table_of_scores(&self) -> String {
        let mut header: Vec<&str> = vec!["rank", "trial"];
        header.extend(self.parameters.iter().map(String::as_str));
        header.extend(["env steps", "score", "standard deviation"]);
        let score = |score: Option<f64>| score.map_or("–".to_owned(), |score| format!("{score:.2}"));
        let row = |(rank, trial): (usize, &TrialRow)| {
            let seeds: Vec<f64> = trial.seeds.iter().flatten().copied().collect();
            let spread = Some(stats::sample_std(&seeds)).filter(|spread| spread.is_finite());
            let mut cells = vec![rank.to_string(), trial.trial.to_string()];
            cells.extend(trial.values.iter().map(ToString::to_string));
            cells.extend([trial.env_steps.to_string(), score(trial.score), score(spread)]);
            cells
        };
        table(&header, &(1..).zip(self.succeeded()).map(row).collect::<Vec<_>>())
    }

    /// Writes `trials.csv` and `table.md`.
    pub(super) fn write(&self, path: &Path) -> Result<(), RunError> {
        let csv_path = path.join("trials.csv");
        let failed = |error: csv::Error| RunError::Io {
            action: "cannot write",
            path: path.join("trials.csv"),
            source: error.into(),
        };
        let mut csv = csv::Writer::from_path(&csv_path).map_err(failed)?;
        let seeds = self.trials.first().map_or(0, |trial| trial.seeds.len());
        let mut header: Vec<String> = vec!["trial".to_owned()];
        header.extend(self.parameters.iter().cloned());
        header.extend(["status", "env_steps", "score"].map(str::to_owned));
        header.extend((1..=seeds).map(|seed| format!("seed_{seed}")));
        header.push("failure".to_owned());
        csv.write_record(&header).map_err(failed)?;
        let mut trials: Vec<&TrialRow> = self.trials.iter().collect();
        trials.sort_by_key(|trial| trial.trial);
        let number = |score: Option<f64>| score.map_or(String::new(), |score| score.to_string());
        for trial in trials {
            let status = match trial.status {
                Status::Finished => "finished",
                Status::Stopped => "stopped",
                Status::Failed => "failed",
            };
            let mut record = vec![trial.trial.to_string()];
            record.extend(trial.values.iter().map(ToString::to_string));
            record.extend([status.to_owned(), trial.env_steps.to_string(), number(trial.score)]);
            record.extend(trial.seeds.iter().map(|&score| number(score)));
            record.push(trial.failure.clone().unwrap_or_default());
            csv.write_record(&record).map_err(failed)?;
        }
        csv.flush().at("cannot write", &csv_path)?;
        let table_path = path.join("table.md");
        let text = format!("Score: {}.\n\n{}\n", self.metric.label(), self.table());
        std::fs::write(&table_path, text).at("cannot write", &table_path)
    }
}

/// Draws the score over each parameter that is a number, and the curves of the best trials.
pub(super) fn draw(file: &SweepFile, report: &SweepReport, path: &Path) -> Result<(), RunError> {
    for (index, parameter) in file.parameters()?.iter().enumerate() {
        let numeric = |value: &toml::Value| value.as_float().or_else(|| value.as_integer().map(|n| n as f64));
        // Scores after different numbers of steps do not compare: each rung has its colour.
        let rungs: BTreeSet<u64> = report.succeeded().map(|trial| trial.env_steps).collect();
        let dots = |&steps: &u64| {
            let trials = report.succeeded().filter(|trial| trial.env_steps == steps);
            let points: Vec<(f64, f64)> =
                trials.filter_map(|trial| Some((numeric(&trial.values[index])?, trial.score?))).collect();
            let label =
                if rungs.len() > 1 { format!("after {} steps", human(steps as f64)) } else { String::new() };
            Line { label, num_runs: 1, points, band: Vec::new(), joined: false }
        };
        let lines: Vec<Line> = rungs.iter().rev().map(dots).filter(|line| !line.points.is_empty()).collect();
        if lines.is_empty() {
            continue;
        }
        let spread = |values: &[toml::Value]| {
            let numbers = || values.iter().filter_map(numeric);
            let (low, high) = (numbers().fold(f64::INFINITY, f64::min), numbers().fold(0.0, f64::max));
            low > 0.0 && high / low >= 50.0
        };
        let options = PlotOptions {
            title: format!("{} in {}", file.algorithm.to_uppercase(), file.env),
            x_label: parameter.key.clone(),
            y_label: file.metric.label().to_owned(),
            log_x: match &parameter.range {
                Range::LogUniform { .. } => true,
                Range::Choice { values } => spread(values),
                _ => false,
            },
            ..Default::default()
        };
        let name = parameter.key.replace('.', "_");
        plot::save_lines(&lines, &options, &path.join(format!("score_over_{name}.svg")))?;
    }
    draw_best(file, report, path)
}

fn draw_best(file: &SweepFile, report: &SweepReport, path: &Path) -> Result<(), RunError> {
    let curve = |trial: &TrialRow| {
        let values = report.parameters.iter().cloned().zip(trial.values.clone()).collect();
        let label = Trial { number: trial.trial, values }.to_string();
        plot::load_curve(&trial.path, XAxis::Steps, file.metric.metric(), Some(label))
    };
    let curves = report.succeeded().take(BEST).map(curve).collect::<Result<Vec<_>, _>>()?;
    let options = PlotOptions {
        title: format!("{} in {}: the best trials", file.algorithm.to_uppercase(), file.env),
        y_label: file.metric.axis().to_owned(),
        ..Default::default()
    };
    match plot::save(&curves, &options, &path.join("best.svg")) {
        // Nothing has ended, so there is nothing to draw.
        Err(PlotError::NoData { .. }) => Ok(()),
        saved => Ok(saved?),
    }
}
