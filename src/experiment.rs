//! Experiments: one configuration, several seeds, one curve.
//!
//! One seed is a plain run. Several make a directory with one run for each (`seed_1`, `seed_2`, …) and a learning curve
//! with a confidence band. Seeds run side by side where cores allow; in lockstep mode that changes no result.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use crate::RunError;
use crate::config::RunConfig;
use crate::error::AtPath;
use crate::plot::{self, PlotError, PlotOptions, XAxis};
use crate::run::directory::CONFIG;
use crate::runtime::{self, Observer, Outcome, Setup};

/// The metric of learning curves.
pub const RETURN_METRIC: &str = "charts/episodic_return";

/// One seed of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct SeedRun {
    /// The seed.
    pub seed: u64,
    /// Its run directory.
    pub path: PathBuf,
}

/// The runs of an experiment in `path`: the directory itself for one seed, sub-directories for several.
pub fn seed_runs(path: &Path, first_seed: u64, seeds: u64) -> Vec<SeedRun> {
    if seeds <= 1 {
        return vec![SeedRun { seed: first_seed, path: path.to_owned() }];
    }
    let run = |seed: u64| SeedRun { seed, path: path.join(format!("seed_{seed}")) };
    (first_seed..first_seed + seeds).map(run).collect()
}

/// The directories of the runs in a directory: itself if it is a run, else those of an experiment, by seed.
///
/// # Errors
/// If it is neither.
pub fn find_runs(path: &Path) -> Result<Vec<PathBuf>, RunError> {
    if path.join(CONFIG).exists() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in path.read_dir().at("cannot read", path)? {
        let run = entry.at("cannot read", path)?.path();
        let seed = run.file_name().and_then(|name| name.to_str()?.strip_prefix("seed_")?.parse::<u64>().ok());
        if let Some(seed) = seed.filter(|_| run.join(CONFIG).exists()) {
            found.push((seed, run));
        }
    }
    found.sort();
    if found.is_empty() {
        let message = "expected a run or an experiment (a directory with a config.toml, or with runs seed_1, \
                       seed_2, …), found neither";
        return Err(RunError::Directory { path: path.to_owned(), message: message.to_owned() });
    }
    Ok(found.into_iter().map(|(_, run)| run).collect())
}

/// Trains every run of an experiment and draws its curve. `observe` makes the observer of each run.
///
/// # Errors
/// The first run's error, after all others have ended; or a curve that cannot be written.
pub fn train<'a>(
    setup: &Setup,
    config: &RunConfig,
    path: &Path,
    runs: &[SeedRun],
    observe: &(dyn Fn(&SeedRun) -> Box<Observer<'a>> + Sync),
) -> Result<Vec<Outcome>, RunError> {
    let cores = config.threads();
    let at_once = cores.min(runs.len()).max(1);
    let train_one = |run: &SeedRun| {
        let mut config = config.clone();
        config.seed = run.seed;
        config.runtime.threads = (cores / at_once).max(1);
        runtime::train(setup, config, &run.path, &mut *observe(run))
    };
    let queue: Mutex<VecDeque<usize>> = Mutex::new((0..runs.len()).collect());
    let outcomes: Mutex<Vec<Option<Result<Outcome, RunError>>>> =
        Mutex::new(runs.iter().map(|_| None).collect());
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let next = lock(&queue).pop_front();
                    let Some(index) = next else { return };
                    let outcome = train_one(&runs[index]);
                    lock(&outcomes)[index] = Some(outcome);
                }
            });
        }
    });
    let outcomes: Vec<Outcome> =
        std::mem::take(&mut *lock(&outcomes)).into_iter().flatten().collect::<Result<_, _>>()?;
    draw_curve(setup, path, config)?;
    Ok(outcomes)
}

/// Draws `curve.svg` and `curve.png` of a run or an experiment. Nothing is drawn while no episode has ended.
///
/// # Errors
/// If the metrics cannot be read or a picture cannot be written.
pub fn draw_curve(setup: &Setup, path: &Path, config: &RunConfig) -> Result<(), RunError> {
    let label = Some(config.algorithm.to_uppercase());
    let curve = plot::load_curve(path, XAxis::Steps, RETURN_METRIC, label)?;
    let threshold = setup.registry.get(&config.env.id)?.threshold();
    let options = PlotOptions {
        title: config.env.id.clone(),
        x_label: XAxis::Steps.label().to_owned(),
        y_label: "mean return of the last 100 episodes".to_owned(),
        threshold: threshold.map(|threshold| (threshold, format!("solved: {threshold}"))),
        ..Default::default()
    };
    for name in ["curve.svg", "curve.png"] {
        match plot::save(std::slice::from_ref(&curve), &options, &path.join(name)) {
            Err(PlotError::NoData { .. }) => return Ok(()),
            saved => saved?,
        }
    }
    Ok(())
}

/// A poisoned lock only means that another run panicked; what it guards is whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
