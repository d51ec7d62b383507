//! What came out of runs: their files as columns, evaluations, curves and comparisons.

use std::path::PathBuf;

use agon::RunError;
use agon::compare::{CompareOptions, Comparison, Contestant, Normalization};
use agon::config::RunConfig;
use agon::curves::{self, Drawn};
use agon::evaluate::{EvalOptions, evaluate_unless};
use agon::experiment;
use agon::plot::{Band, PlotOptions, XAxis, load_columns};
use agon::policy::{self, Which};
use agon::run::RunDirectory;
use agon::runtime::Setup;
use agon::score::Measure;
use agon::stats::Resampling;
use numpy::PyArray1;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::attend::attend;
use crate::error;
use crate::report::report;

/// Adds this module's functions.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(runs, module)?)?;
    module.add_function(wrap_pyfunction!(config, module)?)?;
    module.add_function(wrap_pyfunction!(columns, module)?)?;
    module.add_function(wrap_pyfunction!(evaluate, module)?)?;
    module.add_function(wrap_pyfunction!(plot, module)?)?;
    module.add_function(wrap_pyfunction!(compare, module)?)
}

/// The directories of the runs in a directory: itself if it is a run, else those of an experiment, by seed.
#[pyfunction]
fn runs(path: PathBuf) -> PyResult<Vec<PathBuf>> {
    experiment::find_runs(&path).map_err(error::of_run)
}

/// The complete configuration of a run.
#[pyfunction]
fn config(py: Python<'_>, path: PathBuf) -> PyResult<Bound<'_, PyAny>> {
    let (_, config): (_, RunConfig) = RunDirectory::open(&path).map_err(error::of_run)?;
    report(py, &config)
}

/// A table of numbers, such as `metrics.csv`, as arrays by name. What is empty is NaN.
#[pyfunction]
fn columns(py: Python<'_>, path: PathBuf) -> PyResult<Bound<'_, PyDict>> {
    let table = py.detach(|| load_columns(&path)).map_err(|error| error::of_run(error.into()))?;
    let columns = PyDict::new(py);
    for (name, values) in table {
        columns.set_item(name, PyArray1::from_vec(py, values))?;
    }
    Ok(columns)
}

/// Evaluates the policy of a run or of a weight file in fresh episodes, in environments of another callable if one is given.
#[pyfunction]
#[pyo3(signature = (path, *, episodes, seed, stochastic, best, max_episode_steps, pickle=None))]
#[expect(clippy::too_many_arguments, reason = "keywords of a Python function")]
fn evaluate(
    py: Python<'_>,
    path: PathBuf,
    episodes: usize,
    seed: Option<u64>,
    stochastic: bool,
    best: bool,
    max_episode_steps: Option<u32>,
    pickle: Option<String>,
) -> PyResult<Bound<'_, PyAny>> {
    let default = EvalOptions::default();
    let max_episode_steps = max_episode_steps.unwrap_or(default.max_episode_steps);
    let options = EvalOptions { episodes, seed, stochastic, best, max_episode_steps };
    let evaluation = attend(py, None, |desk| {
        let setup = Setup::default();
        let trained = policy::load_which(&setup, &path, if best { Which::Best } else { Which::Newest })?;
        let mut env = trained.card().env.clone();
        if let Some(pickle) = &pickle {
            env.hand_over(pickle)?;
        }
        evaluate_unless(&setup, &trained, &env, &options, &mut || desk.is_stopped())
    })?;
    report(py, &evaluation)
}

fn contestants(runs: Vec<(Option<String>, PathBuf)>) -> Vec<Contestant> {
    runs.into_iter().map(|(label, path)| Contestant { label, path }).collect()
}

/// Draws learning curves. Gives the picture as SVG, and what is to be said of it; with `out` it is written there too.
#[pyfunction]
#[pyo3(signature = (runs, *, out, x, y, band, title, smooth, log_x, log_y))]
#[expect(clippy::too_many_arguments, reason = "keywords of a Python function")]
fn plot(
    py: Python<'_>,
    runs: Vec<(Option<String>, PathBuf)>,
    out: Option<PathBuf>,
    x: &str,
    y: &str,
    band: &str,
    title: String,
    smooth: usize,
    log_x: bool,
    log_y: bool,
) -> PyResult<(String, Vec<String>)> {
    let x =
        chosen("x", x, &[("steps", XAxis::Steps), ("seconds", XAxis::Seconds), ("updates", XAxis::Updates)])?;
    let band = chosen(
        "band",
        band,
        &[
            ("ci", Band::Interval),
            ("se", Band::StandardError),
            ("std", Band::StandardDeviation),
            ("minmax", Band::Range),
            ("seeds", Band::Seeds),
            ("none", Band::None),
        ],
    )?;
    let options = PlotOptions { title, smooth, band, log_x, log_y, ..PlotOptions::default() };
    let drawn = py.detach(|| -> Result<_, RunError> {
        let Drawn { picture, mut left_out } = curves::draw(&contestants(runs), x, y, options)?;
        if let Some(out) = &out {
            picture.save(out)?;
        }
        left_out.extend(picture.notes);
        Ok((picture.svg, left_out))
    });
    drawn.map_err(error::of_run)
}

/// The value of a name.
fn chosen<T: Copy>(what: &str, name: &str, choices: &[(&str, T)]) -> PyResult<T> {
    choices.iter().find(|(known, _)| *known == name).map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<&str> = choices.iter().map(|(known, _)| *known).collect();
        PyValueError::new_err(format!("{what} must be one of {}, got {name:?}", known.join(", ")))
    })
}

/// Compares runs by their scores.
#[pyfunction]
#[pyo3(signature = (runs, *, score, normalize, resamples, seed))]
fn compare(
    py: Python<'_>,
    runs: Vec<(Option<String>, PathBuf)>,
    score: String,
    normalize: Vec<String>,
    resamples: usize,
    seed: u64,
) -> PyResult<Bound<'_, PyAny>> {
    let compared = py.detach(|| -> Result<Comparison, RunError> {
        let options = CompareOptions {
            measure: Measure::named(&score),
            normalize: normalize.iter().map(|text| Normalization::parse(text)).collect::<Result<_, _>>()?,
            resampling: Resampling { resamples, seed },
        };
        agon::compare::compare(&Setup::default(), &contestants(runs), &options)
    });
    report(py, &compared.map_err(error::of_run)?)
}
