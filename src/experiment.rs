//! Experiments: one configuration, several seeds, one curve.
//!
//! One seed is a plain run. Several make a directory with one run for each (`seed_1`, `seed_2`, …) and a learning curve
//! with a confidence band. Seeds run side by side where cores allow; in lockstep mode that changes no result.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::config::{self, RunConfig};
use crate::error::AtPath;
use crate::jobs::{self, Ended, Job};
use crate::plot::{self, PlotError, PlotOptions, XAxis};
use crate::policy;
use crate::run::directory::{CONFIG, INIT, RunLock, TEACHER, write_atomically};
use crate::run::{Failure, RunDirectory};
use crate::runtime;
use crate::score::EVALUATION_METRIC;
use crate::setup::Setup;
use crate::sinks::{RETURN_METRIC, Sink};

/// The file that says what an experiment of several seeds is made of.
const EXPERIMENT: &str = "experiment.toml";

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
    (first_seed..first_seed.saturating_add(seeds)).map(run).collect()
}

/// The directories of the runs in a directory: itself if it is a run, else those of an experiment, by seed.
///
/// # Errors
/// If it is neither.
pub fn find_runs(path: &Path) -> Result<Vec<PathBuf>, RunError> {
    if path.join(CONFIG).exists() {
        return Ok(vec![path.to_owned()]);
    }
    let found = begun_runs(path)?;
    if !found.is_empty() {
        return Ok(found);
    }
    let message = "expected a run or an experiment (a directory with a config.toml, or with runs seed_1, \
                   seed_2, …), found neither";
    Err(RunError::Directory { path: path.to_owned(), message: message.to_owned() })
}

/// The runs of an experiment that have begun, by seed.
pub(crate) fn begun_runs(path: &Path) -> Result<Vec<PathBuf>, RunError> {
    let mut found = Vec::new();
    for entry in path.read_dir().at("cannot read", path)? {
        let run = entry.at("cannot read", path)?.path();
        let seed = run.file_name().and_then(|name| name.to_str()?.strip_prefix("seed_")?.parse::<u64>().ok());
        if let Some(seed) = seed.filter(|_| run.join(CONFIG).exists()) {
            found.push((seed, run));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, run)| run).collect())
}

/// What an experiment of several seeds is made of, kept in its directory so that it can be resumed as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Experiment {
    seeds: Vec<u64>,
    config: RunConfig,
}

/// Trains every run of an experiment and draws its curve. Where there is an experiment of some of the seeds and the same
/// settings already, the other seeds are added to it. `observe` makes the sink that observes each run. Once one is
/// told to stop no other one is begun; [`resume`] goes on. One that fails by itself stops no other one.
///
/// # Errors
/// If one of the runs exists already; the first error that is not of one run alone, after those under way have ended; or a
/// curve that cannot be written.
pub fn train<'a>(
    setup: &Setup,
    config: &RunConfig,
    path: &Path,
    runs: &[SeedRun],
    observe: &(dyn Fn(&SeedRun) -> Box<dyn Sink + 'a> + Sync),
) -> Result<Vec<Ended>, RunError> {
    if let [run] = runs
        && run.path == path
    {
        refuse_existing(path)?;
        return go_on(setup, config, path, runs, observe);
    }
    let mut config = config.clone();
    config.resolve(&setup.registry, &setup.algorithms)?;
    let seeds: Vec<u64> = runs.iter().map(|run| run.seed).collect();
    let read =
        |from: &Option<PathBuf>| from.as_deref().map(|from| policy::read_file(setup, from)).transpose();
    let (init, teacher) = (read(&config.init_from)?, read(&config.teacher.policy)?);
    let taken = |path: &Path| match is_experiment(path) {
        true => refuse_other(setup, &config, path, &seeds),
        false => RunDirectory::refuse_existing(path),
    };
    let _lock = RunLock::claim(path, taken)?;
    for run in runs.iter().filter(|_| !is_experiment(path)) {
        RunDirectory::refuse_existing(&run.path)?;
    }
    for (bytes, file) in [(init, INIT), (teacher, TEACHER)] {
        if let Some(bytes) = bytes {
            write_atomically(&path.join(file), &bytes)?;
        }
    }
    write(path, &Experiment { seeds, config: config.clone() })?;
    begin_with_copy(&mut config, path);
    go_on(&of_copy(setup), &config, path, runs, observe)
}

/// The copy that an experiment made of its weights is its own, and not signed.
fn of_copy(setup: &Setup) -> Setup {
    Setup { require_signature: None, ..setup.clone() }
}

/// Refuses a directory that holds an experiment.
fn refuse_existing(path: &Path) -> Result<(), RunError> {
    if !is_experiment(path) {
        return RunDirectory::refuse_existing(path);
    }
    let message =
        "holds an experiment already: continue it with `agon resume`, or choose another --name or --out";
    Err(RunError::Directory { path: path.to_owned(), message: message.to_owned() })
}

/// Refuses an experiment that the given seeds cannot be added to: of other settings, or of seeds that are not among them.
fn refuse_other(setup: &Setup, config: &RunConfig, path: &Path, seeds: &[u64]) -> Result<(), RunError> {
    let (mut found, runs) = open(path)?;
    found.resolve(&setup.registry, &setup.algorithms)?;
    let wrong = |reason: String| {
        let message = format!(
            "holds an experiment already{reason}: continue it with `agon resume`, or choose another --name or --out"
        );
        Err(RunError::Directory { path: path.to_owned(), message })
    };
    if let Some(difference) = config.first_difference(&found) {
        return wrong(format!(" of other settings, wanted and found are {difference}"));
    }
    let given = |config: &RunConfig| config.init_from.is_some() || config.teacher.policy.is_some();
    if given(config) || given(&found) {
        return wrong(", and one with given weights takes no more seeds".to_owned());
    }
    match runs.iter().find(|run| !seeds.contains(&run.seed)) {
        Some(run) => wrong(format!(" with seed {}, which is not among those asked for", run.seed)),
        None if runs.len() == seeds.len() => wrong(" of the same seeds".to_owned()),
        None => Ok(()),
    }
}

/// Writes what an experiment is made of.
fn write(path: &Path, experiment: &Experiment) -> Result<(), RunError> {
    let text = toml::to_string(experiment).map_err(|error| RunError::Config(error.to_string()))?;
    write_atomically(&path.join(EXPERIMENT), text.as_bytes())
}

/// Has every run of an experiment end after another number of environment steps, see [`runtime::extend`].
///
/// # Errors
/// If there is no experiment, it or one of its runs is in use, or one is trained for more steps.
pub fn extend(path: &Path, total_timesteps: u64) -> Result<(), RunError> {
    let _lock = RunLock::take(path)?;
    let (mut config, runs) = open(path)?;
    let begun = runs.iter().filter(|run| RunDirectory::exists(&run.path));
    for run in begun {
        runtime::extend(&run.path, total_timesteps)?;
    }
    config.total_timesteps = total_timesteps;
    rewrite(path, config, &runs)
}

/// Gives every run of an experiment the callable that makes its environment anew, see [`runtime::hand_over`].
///
/// # Errors
/// If there is no experiment, it or one of its runs is in use, or its environment is none that was pickled.
pub fn hand_over(path: &Path, pickle: &str) -> Result<(), RunError> {
    let _lock = RunLock::take(path)?;
    let (mut config, runs) = open(path)?;
    for run in runs.iter().filter(|run| RunDirectory::exists(&run.path)) {
        runtime::hand_over(&run.path, pickle)?;
    }
    config.env.hand_over(pickle)?;
    rewrite(path, config, &runs)
}

fn rewrite(path: &Path, mut config: RunConfig, runs: &[SeedRun]) -> Result<(), RunError> {
    // Where the copy came from stays known.
    let before = read(path)?.config;
    (config.init_from, config.teacher.policy) = (before.init_from, before.teacher.policy);
    write(path, &Experiment { seeds: runs.iter().map(|run| run.seed).collect(), config })
}

/// All seeds begin with the experiment's own copy of the weights that it was given, whenever they begin.
fn begin_with_copy(config: &mut RunConfig, path: &Path) {
    for (given, file) in [(&mut config.init_from, INIT), (&mut config.teacher.policy, TEACHER)] {
        if given.is_some() {
            *given = Some(path.join(file));
        }
    }
}

/// Where the weights came from of which a file is an experiment's copy; none if it is no such copy.
pub(crate) fn origin(file: &Path) -> Result<Option<PathBuf>, RunError> {
    match file.parent() {
        Some(directory) if is_experiment(directory) => {
            let config = || Ok::<_, RunError>(read(directory)?.config);
            match file.file_name().and_then(|name| name.to_str()) {
                Some(INIT) => Ok(config()?.init_from),
                Some(TEACHER) => Ok(config()?.teacher.policy),
                _ => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

/// Whether a directory holds an experiment of several seeds.
pub fn is_experiment(path: &Path) -> bool {
    path.join(EXPERIMENT).exists()
}

/// The configuration and the runs of an experiment, those that have not begun included.
///
/// # Errors
/// If there is none in the directory or its file is broken.
pub fn open(path: &Path) -> Result<(RunConfig, Vec<SeedRun>), RunError> {
    let Experiment { seeds, mut config } = read(path)?;
    begin_with_copy(&mut config, path);
    let runs = seeds.into_iter().map(|seed| SeedRun { seed, path: path.join(format!("seed_{seed}")) });
    Ok((config, runs.collect()))
}

/// Reads what an experiment is made of.
fn read(path: &Path) -> Result<Experiment, RunError> {
    let file = path.join(EXPERIMENT);
    let named = |error: &dyn std::fmt::Display| RunError::Config(format!("{}: {error}", file.display()));
    let mut table = config::read_table(&file)?;
    let seeds: Vec<u64> = match table.remove("seeds").map(toml::Value::try_into) {
        Some(seeds) => seeds.map_err(|error| named(&error))?,
        None => return Err(named(&"expected `seeds`, found none")),
    };
    let config = table.remove("config").and_then(|config| config.as_table().cloned()).unwrap_or_default();
    let config = config::from_table::<RunConfig>(config).map_err(|error| named(&error))?;
    Ok(Experiment { seeds, config })
}

/// Goes on with every run of an experiment that is not finished, those that have not begun included, and draws its curve.
///
/// # Errors
/// As [`train`].
pub fn resume<'a>(
    setup: &Setup,
    path: &Path,
    threads: Option<usize>,
    observe: &(dyn Fn(&SeedRun) -> Box<dyn Sink + 'a> + Sync),
) -> Result<Vec<Ended>, RunError> {
    let _lock = RunLock::take(path)?;
    let (mut config, runs) = open(path)?;
    config.runtime.threads = threads.unwrap_or(config.runtime.threads);
    go_on(&of_copy(setup), &config, path, &runs, observe)
}

/// Goes on with one run, and draws its curve.
///
/// # Errors
/// As [`runtime::resume`].
pub fn resume_run<'a>(
    setup: &Setup,
    path: &Path,
    threads: Option<usize>,
    observe: &(dyn Fn(&SeedRun) -> Box<dyn Sink + 'a> + Sync),
) -> Result<(SeedRun, Ended), RunError> {
    let (_, mut config) = RunDirectory::open(path)?;
    let run = SeedRun { seed: config.seed, path: path.to_owned() };
    let ended = if setup.engine.is_some() {
        Failure::clear(path)?;
        config.runtime.threads = threads.unwrap_or(config.runtime.threads);
        go_on(setup, &config, path, std::slice::from_ref(&run), observe)?.pop()
    } else {
        let outcome = runtime::resume_with(setup, path, threads, observe(&run))?;
        draw_curve(setup, path, &config)?;
        Some(if outcome.finished { Ended::Reached(outcome) } else { Ended::Stopped(outcome) })
    };
    Ok((run, ended.unwrap_or(Ended::Waiting)))
}

fn go_on<'a>(
    setup: &Setup,
    config: &RunConfig,
    path: &Path,
    runs: &[SeedRun],
    observe: &(dyn Fn(&SeedRun) -> Box<dyn Sink + 'a> + Sync),
) -> Result<Vec<Ended>, RunError> {
    let job = |run: &SeedRun| {
        let config = RunConfig { seed: run.seed, ..config.clone() };
        Job { name: String::new(), config, path: run.path.clone(), until: u64::MAX }
    };
    let jobs: Vec<Job> = runs.iter().map(job).collect();
    let observe_job = |job: &Job| observe(&SeedRun { seed: job.config.seed, path: job.path.clone() });
    let cores = config.threads();
    let ended = jobs::work_all(setup, &jobs, cores, cores, &observe_job)?;
    // A run that failed at its beginning has nothing to be drawn, and its failure is what there is to tell.
    if plot::run_dirs(path).is_ok() {
        draw_curve(setup, path, config)?;
    }
    Ok(ended)
}

/// Draws `curve.svg` and `curve.png` of a run or an experiment. Nothing is drawn while no episode has ended.
///
/// # Errors
/// If the metrics cannot be read or a picture cannot be written.
pub fn draw_curve(setup: &Setup, path: &Path, config: &RunConfig) -> Result<(), RunError> {
    let label = Some(config.algorithm.to_uppercase());
    let (metric, x_label, y_label) = match config.data.is_alone() {
        true => (EVALUATION_METRIC, "updates", "mean return of evaluations"),
        false => (RETURN_METRIC, XAxis::Steps.label(), "mean return of the last 100 episodes"),
    };
    let curve = plot::load_curve(path, XAxis::Steps, metric, label)?;
    let threshold = setup.registry.get(&config.env.id)?.threshold();
    let options = PlotOptions {
        title: config.env.id.clone(),
        x_label: x_label.to_owned(),
        y_label: y_label.to_owned(),
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
