//! Sweeps: many trials of one algorithm in one environment, each with other parameters.
//!
//! A sweep is a file and a directory. The file decides everything, so asking for it again goes on where a kill or Ctrl-C
//! left it: finished trials are not repeated, half-done ones resume from their checkpoints. Successive halving stops
//! trials at a checkpoint at their rung and resumes those that are promoted; a schedule, such as a learning rate's,
//! keeps the length of the whole run.

mod command;
mod file;
mod report;
mod search;

use std::path::{Path, PathBuf};

pub use command::train_command;
pub use file::{Strategy, SweepFile};
pub use report::{Status, SweepReport, TrialRow};
pub use search::{Parameter, Range, Trial};

use crate::RunError;
use crate::config::{self, MadeBy, RunConfig, read_table};
use crate::error::AtPath;
use crate::jobs::{self, Ended, Job};
use crate::presets;
use crate::run::Failure;
use crate::run::directory::write_atomically;
use crate::score::{self, Measure};
use crate::setup::Setup;
use crate::sinks::Sink;
use crate::stats;

/// The copy of the sweep file in the sweep's directory.
const SWEEP: &str = "sweep.toml";

/// A trial and how far it has got.
struct Candidate {
    trial: Trial,
    /// Where its runs are.
    path: PathBuf,
    /// Its configuration with the first seed.
    config: RunConfig,
    /// Environment steps that it was last brought to, and the score of each seed there.
    steps: u64,
    scores: Vec<Option<f64>>,
    /// Why it failed, if one of its runs did: the first one's reason.
    failure: Option<Failure>,
}

impl Candidate {
    /// Mean over seeds; the lowest of all if a seed has no score.
    fn score(&self) -> f64 {
        let scores: Option<Vec<f64>> = self.scores.iter().copied().collect();
        scores.map_or(f64::NEG_INFINITY, |scores| stats::mean(&scores))
    }

    fn jobs(&self, file: &SweepFile, until: u64) -> Vec<Job> {
        let job = |seed: u64| Job {
            name: format!("trial {} seed {seed}", self.trial.number),
            config: RunConfig { seed, ..self.config.clone() },
            path: self.path.join(format!("seed_{seed}")),
            until,
        };
        (1..=file.seeds).map(job).collect()
    }
}

/// Runs a sweep in a directory, or goes on with it, and writes its tables and plots. None if it was told to stop.
///
/// A trial that fails by itself is reported as failed, and the rest goes on.
///
/// # Errors
/// If the directory holds another sweep, a trial's configuration is broken, or the first error that is not of one run alone.
pub fn run<'a>(
    setup: &Setup,
    file: &SweepFile,
    path: &Path,
    cores: usize,
    observe: &(dyn Fn(&Job) -> Box<dyn Sink + 'a> + Sync),
) -> Result<Option<SweepReport>, RunError> {
    let mut candidates = candidates(setup, file, path)?;
    let total = candidates.iter().map(|c| c.config.total_timesteps).max().unwrap_or(0);
    let rungs = file.rungs(total)?;
    claim(file, path)?;
    let mut active: Vec<usize> = (0..candidates.len()).collect();
    for (rung, &until) in rungs.iter().enumerate() {
        let jobs: Vec<Job> = active.iter().flat_map(|&index| candidates[index].jobs(file, until)).collect();
        let ended = jobs::work_all(setup, &jobs, cores, cores, observe)?;
        if !ended.iter().all(Ended::is_settled) {
            return Ok(None);
        }
        for (&index, ended) in active.iter().zip(ended.chunks(file.seeds as usize)) {
            candidates[index].failure = ended.iter().find_map(Ended::failure).cloned();
        }
        active.retain(|&index| candidates[index].failure.is_none());
        for &index in &active {
            let candidate = &mut candidates[index];
            candidate.steps = until;
            // The last iteration may end after the last step that was asked for.
            let scored_at = if until >= total { u64::MAX } else { until };
            candidate.scores = candidate
                .jobs(file, until)
                .iter()
                .map(|job| score::at(&job.path, &file.metric, scored_at))
                .collect::<Result<_, _>>()?;
        }
        if rung + 1 < rungs.len() {
            // Of equals the earlier trial goes on.
            active.sort_by(|&a, &b| candidates[b].score().total_cmp(&candidates[a].score()).then(a.cmp(&b)));
            active.truncate(file.promoted(active.len()));
            active.sort_unstable();
        }
    }
    let report = SweepReport::new(file, &candidates, total);
    report.write(path)?;
    report::draw(file, &report, path)?;
    Ok(Some(report))
}

/// Runs that a sweep brings to a step, those of every rung, and the environment steps of all of them together; fewer if trials
/// fail.
///
/// # Errors
/// If a trial's configuration is broken.
pub fn plan(setup: &Setup, file: &SweepFile, path: &Path) -> Result<(usize, u64), RunError> {
    let candidates = candidates(setup, file, path)?;
    let total = candidates.iter().map(|c| c.config.total_timesteps).max().unwrap_or(0);
    let (mut trials, mut runs, mut env_steps) = (candidates.len(), 0, 0_u64);
    for until in file.rungs(total)? {
        let of_rung = trials * file.seeds as usize;
        runs += of_rung;
        env_steps = env_steps.saturating_add(until.saturating_mul(of_rung as u64));
        trials = file.promoted(trials);
    }
    Ok((runs, env_steps))
}

/// All trials with their configurations, checked before any of them begins.
fn candidates(setup: &Setup, file: &SweepFile, path: &Path) -> Result<Vec<Candidate>, RunError> {
    let base = file.base()?;
    let trials = search::trials(&file.strategy, &file.parameters()?)?;
    let width = trials.len().to_string().len().max(3);
    let candidate = |trial: Trial| {
        let named = |error: RunError| RunError::Config(format!("trial {} ({trial}): {error}", trial.number));
        let mut table = base.clone();
        for (key, value) in &trial.values {
            config::set_value(&mut table, key, value.clone()).map_err(named)?;
        }
        let mut config = file.config(&setup.algorithms, table).map_err(named)?;
        config.resolve(&setup.registry, &setup.algorithms).map_err(named)?;
        let preset = presets::chosen_name(file.preset.as_deref(), &file.algorithm, &file.env)?;
        config.made_by = Some(MadeBy { preset: Some(preset), ..MadeBy::this_program(&config)? });
        let path = path.join(format!("trial_{:0width$}", trial.number));
        Ok(Candidate { trial, path, config, steps: 0, scores: Vec::new(), failure: None })
    };
    trials.into_iter().map(candidate).collect()
}

/// Makes a directory the sweep's, or finds that it is.
fn claim(file: &SweepFile, path: &Path) -> Result<(), RunError> {
    let copy = path.join(SWEEP);
    let text = toml::to_string(file).map_err(|error| RunError::Config(error.to_string()))?;
    if !copy.exists() {
        std::fs::create_dir_all(path).at("cannot create", path)?;
        return write_atomically(&copy, text.as_bytes());
    }
    let wanted: toml::Table = text.parse().unwrap_or_default();
    let Some(difference) = config::first_difference(&wanted, &read_table(&copy)?) else { return Ok(()) };
    let message = format!(
        "holds a sweep of another file, wanted and found are {difference}: choose another --name, or undo the change"
    );
    Err(RunError::Directory { path: path.to_owned(), message })
}

#[cfg(test)]
mod tests;
