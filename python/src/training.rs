//! Training: runs that begin and go on.

use std::path::PathBuf;

use agon::RunError;
use agon::config::{RunConfig, merge, set_value};
use agon::experiment::{self, SeedRun};
use agon::jobs::Ended;
use agon::memory;
use agon::request::{Place, Request};
use agon::runtime::{self, Setup};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde::Serialize;
use toml::Table;

use crate::attend::{Watcher, attend};
use crate::engine::setup_with;
use crate::error;
use crate::report::report;
use crate::values;

/// Adds this module's functions.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(configure, module)?)?;
    module.add_function(wrap_pyfunction!(train, module)?)?;
    module.add_function(wrap_pyfunction!(resume, module)?)?;
    module.add_function(wrap_pyfunction!(algorithms, module)?)
}

/// How a seed's run ended.
#[derive(Serialize)]
struct RunEnded {
    run: PathBuf,
    seed: u64,
    finished: bool,
    env_steps: u64,
    /// Of the last 100 episodes; none before one has ended.
    mean_return: Option<f64>,
    seconds: f64,
    /// Why it failed, if it did by itself.
    failure: Option<String>,
}

impl RunEnded {
    fn of((run, ended): (SeedRun, Ended)) -> Self {
        let outcome = ended.outcome();
        Self {
            run: run.path,
            seed: run.seed,
            finished: outcome.is_some_and(|outcome| outcome.finished),
            env_steps: match ended.failure() {
                Some(failure) => failure.env_steps,
                None => outcome.map_or(0, |outcome| outcome.env_steps),
            },
            mean_return: outcome.map(|outcome| outcome.mean_return).filter(|mean| !mean.is_nan()),
            seconds: outcome.map_or(0.0, |outcome| outcome.seconds),
            failure: ended.failure().map(|failure| failure.reason.clone()),
        }
    }
}

/// How a training ended.
#[derive(Serialize)]
struct Trained {
    path: PathBuf,
    runs: Vec<RunEnded>,
}

/// The names of all algorithms.
#[pyfunction]
fn algorithms() -> Vec<String> {
    Setup::default().algorithms.iter().map(|spec| spec.name().to_owned()).collect()
}

/// The complete configuration that [`train`] would begin a run with.
#[pyfunction]
#[pyo3(signature = (algorithm, env, settings, *, preset=None))]
fn configure<'py>(
    py: Python<'py>,
    algorithm: &str,
    env: &str,
    settings: &Bound<'py, PyDict>,
    preset: Option<&str>,
) -> PyResult<Bound<'py, PyAny>> {
    let settings = values::table(settings)?;
    let setup = Setup::default();
    let request = Request { algorithm, env, preset };
    let configured = py.detach(|| {
        let mut config = request.configure(&setup, |table| lay(table, settings))?;
        request.settle(&setup, &mut config)?;
        Ok(config)
    });
    report(py, &configured.map_err(error::of_run)?)
}

/// Trains an algorithm in an environment: one run, or several seeds side by side. Gives a dictionary with the `path` and
/// how each of the `runs` ended.
///
/// `watch` is called with a dictionary, after every iteration or now and then, and stops the runs by `False`.
#[pyfunction]
#[pyo3(signature = (
    algorithm, env, settings, *, preset=None, seed=None, seeds=1, total_timesteps=None, threads=None, out, name=None,
    force=false, watch=None, each_iteration=false, engine=None,
))]
#[expect(clippy::too_many_arguments, reason = "keywords of a Python function")]
fn train<'py>(
    py: Python<'py>,
    algorithm: &str,
    env: &str,
    settings: &Bound<'py, PyDict>,
    preset: Option<&str>,
    seed: Option<u64>,
    seeds: u64,
    total_timesteps: Option<u64>,
    threads: Option<usize>,
    out: PathBuf,
    name: Option<&str>,
    force: bool,
    watch: Option<&Bound<'py, PyAny>>,
    each_iteration: bool,
    engine: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let settings = values::table(settings)?;
    let setup = setup_with(Setup::default(), engine)?;
    let request = Request { algorithm, env, preset };
    let prepared = py.detach(|| -> Result<_, RunError> {
        let mut config = request.configure(&setup, |table| lay(table, settings))?;
        config.seed = seed.unwrap_or(config.seed);
        config.total_timesteps = total_timesteps.unwrap_or(config.total_timesteps);
        config.runtime.threads = threads.unwrap_or(config.runtime.threads);
        request.settle(&setup, &mut config)?;
        if seeds == 0 {
            return Err(RunError::Config("seeds must be at least 1, got 0".to_owned()));
        }
        let last = RunConfig { seed: config.seed.saturating_add(seeds - 1), ..config.clone() };
        last.clone().resolve(&setup.registry, &setup.algorithms)?;
        if setup.engine.is_none() {
            let needs = runtime::memory_needs(&setup, &config)?;
            memory::ensure_fits(&needs, (seeds as usize).min(config.threads()))?;
        }
        let path = Place { out: &out, name, replace: force }.make_room(&setup, &config, seeds)?;
        let runs = experiment::seed_runs(&path, config.seed, seeds);
        Ok((config, path, runs))
    });
    let (config, path, runs) = prepared.map_err(error::of_run)?;
    let watcher = watch.map(|watch| Watcher { watch, each_iteration });
    let ended = attend(py, watcher, |desk| {
        let observe = |run: &SeedRun| desk.sink(&run.path, run.seed);
        let ended = experiment::train(&setup, &config, &path, &runs, &observe);
        // A place that was made for a run that did not begin.
        ended.inspect_err(|_| drop(std::fs::remove_dir(&path)))
    })?;
    let runs = runs.into_iter().zip(ended).map(RunEnded::of).collect();
    report(py, &Trained { path, runs })
}

/// Lays settings over others; a key may be a whole path, such as `agent.num_steps`.
fn lay(table: &mut Table, settings: Table) -> Result<(), RunError> {
    for (path, value) in settings {
        let mut over = Table::new();
        set_value(&mut over, &path, value)?;
        merge(table, over);
    }
    Ok(())
}

/// Goes on with a run or an experiment from its newest checkpoint, to another length if one is given, and with another callable
/// that makes its environments. Gives what [`train`] gives.
#[pyfunction]
#[pyo3(signature = (
    path, *, total_timesteps=None, threads=None, pickle=None, watch=None, each_iteration=false, engine=None,
))]
#[expect(clippy::too_many_arguments, reason = "keywords of a Python function")]
fn resume<'py>(
    py: Python<'py>,
    path: PathBuf,
    total_timesteps: Option<u64>,
    threads: Option<usize>,
    pickle: Option<String>,
    watch: Option<&Bound<'py, PyAny>>,
    each_iteration: bool,
    engine: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let setup = setup_with(Setup::default(), engine)?;
    let watcher = watch.map(|watch| Watcher { watch, each_iteration });
    let runs = attend(py, watcher, |desk| {
        match &pickle {
            Some(pickle) if experiment::is_experiment(&path) => experiment::hand_over(&path, pickle)?,
            Some(pickle) => runtime::hand_over(&path, pickle)?,
            None => {}
        }
        if experiment::is_experiment(&path) {
            if let Some(total_timesteps) = total_timesteps {
                experiment::extend(&path, total_timesteps)?;
            }
            let (_, runs) = experiment::open(&path)?;
            let observe = |run: &SeedRun| desk.sink(&run.path, run.seed);
            let ended = experiment::resume(&setup, &path, threads, &observe)?;
            return Ok(runs.into_iter().zip(ended).map(RunEnded::of).collect());
        }
        if let Some(total_timesteps) = total_timesteps {
            runtime::extend(&path, total_timesteps)?;
        }
        let observe = |run: &SeedRun| desk.sink(&path, run.seed);
        experiment::resume_run(&setup, &path, threads, &observe).map(|ended| vec![RunEnded::of(ended)])
    })?;
    report(py, &Trained { path, runs })
}
