//! Workers of one asynchronous run in other processes: what one of them does, and how the learner's side asks for it.

use std::sync::Mutex;
use std::time::Duration;

use agon::RunError;
use agon::runtime::remote::{Delivery, RemoteWorker, Workers};
use agon::runtime::{FragmentSource, Setup, SourceContext, remote};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::engine::failed;
use crate::error;

/// Adds this module's class.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Worker>()
}

/// Acts for a run whose learner is in another process.
#[pyclass(module = "agon._agon")]
struct Worker {
    worker: Mutex<RemoteWorker>,
}

impl Worker {
    /// Does something with the worker while Python does something else.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut RemoteWorker) -> Result<T, RunError> + Send,
    ) -> PyResult<T> {
        py.detach(|| {
            let mut worker = self.worker.lock().map_err(|_| RunError::WorkersGone)?;
            work(&mut worker)
        })
        .map_err(error::of_run)
    }
}

#[pymethods]
impl Worker {
    /// A worker of the run that the learner assigns it to.
    #[new]
    fn new(py: Python<'_>, assignment: &[u8]) -> PyResult<Self> {
        let worker = py.detach(|| RemoteWorker::new(&Setup::default(), assignment)).map_err(error::of_run)?;
        Ok(Self { worker: Mutex::new(worker) })
    }

    /// The version of the policy that it acts with; none before the first.
    #[getter]
    fn version(&self, py: Python<'_>) -> PyResult<Option<u64>> {
        self.with(py, |worker| Ok(worker.version()))
    }

    /// Acts with a policy from now on.
    fn take_policy(&self, py: Python<'_>, policy: &[u8]) -> PyResult<()> {
        self.with(py, |worker| worker.take_policy(policy))
    }

    /// A fragment of a shard, as bytes; `number` says how many the shard was asked for before.
    fn collect<'py>(&self, py: Python<'py>, shard: usize, number: u64) -> PyResult<Bound<'py, PyBytes>> {
        let fragment = self.with(py, |worker| worker.collect(shard, number))?;
        Ok(PyBytes::new(py, &fragment))
    }
}

/// The source of a run whose workers Python has: an `agon.ray.workers.Workers`, asked for a pool of them.
pub(crate) fn source(
    object: &Py<PyAny>,
    context: &SourceContext<'_>,
) -> Result<Box<dyn FragmentSource>, RunError> {
    let pool = Python::attach(|py| object.call_method0(py, "pool")).map_err(failed)?;
    remote::source(context, Box::new(Pool(pool)))
}

/// A `Pool` of `agon.ray.workers`.
struct Pool(Py<PyAny>);

impl Workers for Pool {
    fn begin(&mut self, assignment: Vec<u8>, numbers: &[u64]) -> Result<(), RunError> {
        Python::attach(|py| {
            let assignment = PyBytes::new(py, &assignment);
            self.0.call_method1(py, "begin", (assignment, numbers)).map(drop)
        })
        .map_err(failed)
    }

    fn publish(&mut self, version: u64, policy: Vec<u8>) -> Result<(), RunError> {
        Python::attach(|py| {
            let policy = PyBytes::new(py, &policy);
            self.0.call_method1(py, "publish", (version, policy)).map(drop)
        })
        .map_err(failed)
    }

    fn next(&mut self, wait: Duration) -> Result<Option<Delivery>, RunError> {
        let delivered: Option<(usize, u64, Vec<u8>, f64)> =
            Python::attach(|py| self.0.call_method1(py, "next", (wait.as_secs_f64(),))?.extract(py))
                .map_err(failed)?;
        Ok(delivered.map(|(shard, number, fragment, idle_s)| Delivery { fragment, shard, number, idle_s }))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // What cannot be ended any more has ended.
        let _ = Python::attach(|py| self.0.call_method0(py, "close"));
    }
}
