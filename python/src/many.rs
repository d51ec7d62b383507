//! Many runs of one file: sweeps and suites.

use std::path::PathBuf;

use agon::RunError;
use agon::config::available_threads;
use agon::jobs::Job;
use agon::runtime::Setup;
use agon::suite::{Standing, Suite};
use agon::sweep::{SweepFile, run as run_sweep};
use pyo3::prelude::*;
use serde::Serialize;

use crate::attend::{Watcher, attend};
use crate::engine::setup_with;
use crate::report::report;

/// Adds this module's functions.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(sweep, module)?)?;
    module.add_function(wrap_pyfunction!(suite, module)?)
}

/// Runs a sweep file in a directory, or goes on with it. Gives its trials, the best first; none if it was told to stop.
#[pyfunction]
#[pyo3(signature = (file, path, *, threads=None, watch=None, each_iteration=false, engine=None))]
fn sweep<'py>(
    py: Python<'py>,
    file: PathBuf,
    path: PathBuf,
    threads: Option<usize>,
    watch: Option<&Bound<'py, PyAny>>,
    each_iteration: bool,
    engine: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let setup = setup_with(Setup::default(), engine)?;
    let watcher = watch.map(|watch| Watcher { watch, each_iteration });
    let found = attend(py, watcher, |desk| {
        let file = SweepFile::load(&file)?;
        let observe = |job: &Job| desk.sink(&job.path, job.config.seed);
        run_sweep(&setup, &file, &path, available_threads(threads.unwrap_or(0)), &observe)
    })?;
    report(py, &found)
}

/// How an entry of a suite stands.
#[derive(Serialize)]
struct Entry {
    name: String,
    /// Whether what is recorded has the settings, seeds and measure that the file asks for.
    done: bool,
    /// The score of each seed that is recorded.
    scores: Vec<f64>,
    /// Whether they are what the file wants; none if it wants nothing, or nothing is recorded.
    reached: Option<bool>,
    /// Why seeds failed, by name.
    failures: Vec<String>,
}

impl Entry {
    fn of(standing: &Standing<'_>, failures: &[(String, String)]) -> Self {
        let name = standing.entry.name.clone();
        let scores = standing.reference.as_ref().map_or_else(Vec::new, |reference| reference.scores());
        let wanted = standing.entry.wanted.filter(|_| !scores.is_empty());
        let own =
            failures.iter().filter(|(run, _)| run.rsplit_once(" seed ").is_some_and(|(of, _)| of == name));
        Self {
            done: standing.is_current,
            reached: wanted.map(|wanted| wanted.is_reached(&scores)),
            failures: own.map(|(run, reason)| format!("{run}: {reason}")).collect(),
            scores,
            name,
        }
    }
}

/// Trains and measures the entries of a suite file that are not done, and writes plots and table. Gives how every entry stands.
#[pyfunction]
#[pyo3(signature = (file, *, only=None, threads=None, watch=None, each_iteration=false, engine=None))]
fn suite<'py>(
    py: Python<'py>,
    file: PathBuf,
    only: Option<&str>,
    threads: Option<usize>,
    watch: Option<&Bound<'py, PyAny>>,
    each_iteration: bool,
    engine: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let setup = setup_with(Setup::default(), engine)?;
    let watcher = watch.map(|watch| Watcher { watch, each_iteration });
    let found = attend(py, watcher, |desk| -> Result<Vec<Entry>, RunError> {
        let suite = Suite::load(&setup, &file)?;
        let observe = |job: &Job| desk.sink(&job.path, job.config.seed);
        let cores = available_threads(threads.unwrap_or(0));
        let failed = suite.run(&setup, only, cores, &observe)?.unwrap_or_default();
        suite.report(&setup)?;
        let failures: Vec<(String, String)> =
            failed.into_iter().map(|(run, failure)| (run, failure.reason)).collect();
        Ok(suite.standings(&setup)?.iter().map(|standing| Entry::of(standing, &failures)).collect())
    })?;
    report(py, &found)
}
