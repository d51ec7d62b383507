//! Ray as an engine: what Python's objects do, as Rust's traits ask for it. Ray itself is in `python/agon/ray/`.

use std::ffi::OsString;
use std::sync::Arc;

use agon::RunError;
use agon::cli::{self, EngineOptions, Spread};
use agon::engine::{Engine, News, Order};
use agon::jobs;
use agon::runtime::Setup;
use agon::sinks::{Signal, watch};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::attend::attend;
use crate::error::AgonError;
use crate::workers;

/// Adds this module's functions.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(main, module)?)?;
    module.add_function(wrap_pyfunction!(fulfil, module)?)
}

/// The program `agon` with its arguments, the first of which is its name; `connect(address, spread, threads)` connects to Ray.
/// Gives the exit code.
#[pyfunction]
fn main(py: Python<'_>, arguments: Vec<OsString>, connect: Py<PyAny>) -> u8 {
    py.detach(|| {
        let connect = |options: &EngineOptions, setup: Setup| {
            let EngineOptions { address, spread, threads, .. } = options;
            let spread = match spread {
                Spread::Runs => "runs",
                Spread::Workers => "workers",
            };
            Python::attach(|py| {
                let engine = connect.call1(py, (address, spread, threads))?;
                setup_with(setup, Some(engine.bind(py)))
            })
            .map_err(failed)
        };
        cli::main_with(&Setup::default(), &arguments, Some(&connect))
    })
}

/// Does a job that an engine has sent, and gives how it ended, for the sender.
#[pyfunction]
fn fulfil<'py>(py: Python<'py>, job: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let setup = Setup::default();
    let ended = attend(py, None, |desk| {
        let sink = watch(|_| !desk.is_stopped());
        jobs::fulfil(&setup, job, Box::new(sink))
    })?;
    Ok(PyBytes::new(py, &ended))
}

/// A setup whose runs, or the workers of whose runs, are an engine's, if there is one: the engine's `spread` says which.
pub(crate) fn setup_with(mut setup: Setup, engine: Option<&Bound<'_, PyAny>>) -> PyResult<Setup> {
    let Some(engine) = engine else { return Ok(setup) };
    if engine.getattr("spread")?.extract::<String>()? == "workers" {
        let object = engine.clone().unbind();
        setup.source = Some(Arc::new(move |context| workers::source(&object, context)));
    } else {
        setup.engine = Some(Arc::new(Runs::new(engine)?));
    }
    Ok(setup)
}

/// What Python raised.
pub(crate) fn failed(error: PyErr) -> RunError {
    Python::attach(|py| {
        let is_own = error.is_instance_of::<AgonError>(py);
        RunError::Engine(if is_own { error.value(py).to_string() } else { error.to_string() })
    })
}

/// Runs as tasks: an `agon.ray.runs.Runs`.
struct Runs {
    object: Py<PyAny>,
    described: String,
    threads: usize,
    places: usize,
}

impl Runs {
    fn new(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self {
            described: object.call_method0("describe")?.extract()?,
            threads: object.getattr("threads")?.extract()?,
            places: object.getattr("places")?.extract()?,
            object: object.clone().unbind(),
        })
    }
}

impl Engine for Runs {
    fn describe(&self) -> String {
        self.described.clone()
    }

    fn threads(&self) -> usize {
        self.threads
    }

    fn places(&self) -> usize {
        self.places
    }

    fn work(&self, orders: &[Order], hear: &mut dyn FnMut(News) -> Signal) -> Result<(), RunError> {
        let work = Python::attach(|py| {
            let orders = orders.iter().map(|order| (&order.name, PyBytes::new(py, &order.job)));
            let orders = PyList::new(py, orders.collect::<Vec<_>>())?;
            self.object.call_method1(py, "begin", (orders,))
        })
        .map_err(failed)?;
        let mut stopped = false;
        loop {
            // None when all are fulfilled; an index of none when there is nothing new.
            let news = Python::attach(|py| work.call_method0(py, "news")?.extract(py)).map_err(failed)?;
            let news: Option<(Option<usize>, Vec<u8>)> = news;
            let news = match news {
                None => return Ok(()),
                Some((None, _)) => News::None,
                Some((Some(order), ended)) => News::Fulfilled(order, ended),
            };
            if hear(news) == Signal::Stop && !stopped {
                stopped = true;
                Python::attach(|py| work.call_method0(py, "stop")).map_err(failed)?;
            }
        }
    }
}
