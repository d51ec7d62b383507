//! Measurements of this machine: simulation, networks and training.

pub mod env;
pub mod nn;
pub mod policy;
pub mod search;

use agon_nn::InstructionSet;
use serde::Serialize;

use crate::RunError;
use crate::config::RunConfig;
use crate::evaluate::{EvalOptions, evaluate};
use crate::presets::{self, Preset};
use crate::runtime::{self, Setup};
use crate::stats::median;

/// Seconds of a measurement at most: a day.
const MOST_SECONDS: f64 = 86_400.0;

/// Refuses seconds that nothing can be measured for.
fn check_seconds(seconds: f64) -> Result<(), RunError> {
    if seconds > 0.0 && seconds <= MOST_SECONDS {
        return Ok(());
    }
    Err(RunError::Config(format!("seconds must be above 0 and at most {MOST_SECONDS}, got {seconds}")))
}

/// Repetitions that a median is taken over.
const REPETITIONS: usize = 7;
/// Training speed and result of a preset over seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainingRow {
    /// The preset.
    pub preset: String,
    /// Seeds, trained one after the other.
    pub seeds: u64,
    /// Environment steps of each.
    pub total_timesteps: u64,
    /// Environment steps a second of whole runs, files and checkpoints included; the median.
    pub steps_per_second: f64,
    /// Seeds whose mean return of the last 100 episodes reached the environment's threshold.
    pub solved: u64,
    /// Seconds until then, the median with unsolved seeds as infinite; none if more than half are unsolved.
    pub seconds_to_solve: Option<f64>,
    /// Mean return of the last 100 episodes at the end, the median.
    pub final_return: f64,
    /// Mean return of 100 episodes of the greedy policy in fresh environments, the median.
    pub evaluation: f64,
    /// Seeds whose 100 greedy episodes all gave the time limit's return (500 for CartPole-v1).
    pub evaluation_perfect: u64,
}

/// Trains presets over seeds and measures. Runs are written to a temporary directory.
///
/// # Errors
/// If a preset is unknown or a run fails.
pub fn training(
    setup: &Setup,
    names: &[String],
    seeds: u64,
    threads: usize,
) -> Result<Vec<TrainingRow>, RunError> {
    let chosen: Vec<Preset> = if names.is_empty() {
        presets::all()?
    } else {
        names.iter().map(|name| presets::get(name)).collect::<Result<_, _>>()?
    };
    chosen.iter().map(|preset| train_preset(setup, preset, seeds, threads)).collect()
}

fn train_preset(setup: &Setup, preset: &Preset, seeds: u64, threads: usize) -> Result<TrainingRow, RunError> {
    let threshold = setup.registry.get(preset.env())?.threshold().unwrap_or(f64::INFINITY);
    let limit = setup.registry.get(preset.env())?.time_limit().map_or(f64::INFINITY, f64::from);
    let (mut rates, mut solve_seconds, mut finals, mut evaluations) = (vec![], vec![], vec![], vec![]);
    let mut perfect = 0;
    let mut total_timesteps = 0;
    for seed in 1..=seeds {
        let mut config = RunConfig::from_table(&setup.algorithms, preset.config.clone())?;
        config.seed = seed;
        config.runtime.threads = threads;
        total_timesteps = config.total_timesteps;
        let path =
            std::env::temp_dir().join(format!("agon-bench-{}-{}-{seed}", std::process::id(), preset.name));
        let mut solved_at = f64::INFINITY;
        let outcome = runtime::train(setup, config, &path, &mut |progress| {
            if progress.mean_return >= threshold {
                solved_at = solved_at.min(progress.seconds);
            }
            true
        })?;
        let evaluation = evaluate(setup, &path, &EvalOptions::default())?;
        // A temporary directory that stays is untidy, not wrong.
        let _ = std::fs::remove_dir_all(&path);
        rates.push(outcome.env_steps as f64 / outcome.seconds);
        solve_seconds.push(solved_at);
        finals.push(outcome.mean_return);
        evaluations.push(evaluation.mean_return);
        perfect += u64::from(evaluation.min_return >= limit);
    }
    Ok(TrainingRow {
        preset: preset.name.to_owned(),
        seeds,
        total_timesteps,
        steps_per_second: median(&rates),
        solved: solve_seconds.iter().filter(|seconds| seconds.is_finite()).count() as u64,
        seconds_to_solve: Some(median(&solve_seconds)).filter(|seconds| seconds.is_finite()),
        final_return: median(&finals),
        evaluation: median(&evaluations),
        evaluation_perfect: perfect,
    })
}

/// One line about the machine that was measured.
pub fn machine() -> String {
    let model = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let model = model.unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    format!("{model}, {cores} cores, {}", InstructionSet::current())
}
