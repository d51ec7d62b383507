//! Measurements of this machine: simulation, networks and training.

pub mod nn;

use std::time::{Duration, Instant};

use agon_envs::{ActionBatch, ActionSpec, EnvSpec, MakeOptions, Pcg64, check};
use agon_nn::InstructionSet;
use serde::Serialize;

use crate::RunError;
use crate::config::RunConfig;
use crate::evaluate::{EvalOptions, evaluate};
use crate::presets::{self, Preset};
use crate::runtime::{self, Setup};

/// Repetitions that a median is taken over.
const REPETITIONS: usize = 7;
/// Ticks that are timed together, at least.
const MIN_TICKS: usize = 16;

/// Simulation speed of an environment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SimulationRow {
    /// The environment.
    pub env: String,
    /// Environments stepped together.
    pub num_envs: usize,
    /// Environment steps a second on one core, the median.
    pub steps_per_second: f64,
    /// The best repetition.
    pub best: f64,
}

/// Measures simulation with random actions on one core, observations written; making the actions is counted.
///
/// # Errors
/// If an environment is unknown or fails, or a batch size is zero.
pub fn simulation(
    setup: &Setup,
    ids: &[String],
    batches: &[usize],
    seconds: f64,
) -> Result<Vec<SimulationRow>, RunError> {
    let specs: Vec<&EnvSpec> = if ids.is_empty() {
        setup.registry.iter().collect()
    } else {
        ids.iter().map(|id| setup.registry.get(id)).collect::<Result<_, _>>()?
    };
    let mut rows = Vec::new();
    for spec in specs {
        for &num_envs in batches {
            let mut rates = simulate(spec, num_envs, seconds)?;
            rates.sort_by(f64::total_cmp);
            rows.push(SimulationRow {
                env: spec.id().to_owned(),
                num_envs,
                steps_per_second: median(&rates),
                best: rates[rates.len() - 1],
            });
        }
    }
    Ok(rows)
}

fn simulate(spec: &EnvSpec, num_envs: usize, seconds: f64) -> Result<Vec<f64>, RunError> {
    let mut simulator = spec.make(&MakeOptions { num_envs, ..Default::default() })?;
    let mut out = simulator.new_batch();
    simulator.reset(0, &mut out)?;
    let mut actions = ActionBatch::zeros(simulator.action_spec(), num_envs);
    let mut rng = Pcg64::seed_from(1);
    let budget = Duration::from_secs_f64(seconds.max(0.01) / REPETITIONS as f64);
    let mut rates = Vec::with_capacity(REPETITIONS);
    for _ in 0..REPETITIONS {
        let (start, mut ticks) = (Instant::now(), 0);
        while start.elapsed() < budget {
            for _ in 0..MIN_TICKS {
                match (simulator.action_spec(), &mut actions) {
                    // One draw makes 64 coin flips: the bench measures the simulator, not the generator.
                    (ActionSpec::Discrete { nvec }, ActionBatch::Discrete(values)) if *nvec == [2] => {
                        for values in values.chunks_mut(64) {
                            let mut bits = rng.next_u64();
                            for value in values {
                                *value = (bits & 1) as u32;
                                bits >>= 1;
                            }
                        }
                    }
                    _ => check::random_actions(&simulator, &out, &mut rng, &mut actions)?,
                }
                simulator.step(&actions, &mut out)?;
            }
            ticks += MIN_TICKS;
        }
        rates.push((ticks * num_envs) as f64 / start.elapsed().as_secs_f64());
    }
    Ok(rates)
}

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
        let mut config = RunConfig::from_table(preset.config.clone())?;
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
    for values in [&mut rates, &mut solve_seconds, &mut finals, &mut evaluations] {
        values.sort_by(f64::total_cmp);
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

/// The middle of sorted values.
fn median(sorted: &[f64]) -> f64 {
    let n = sorted.len();
    match n {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
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
