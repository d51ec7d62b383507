//! Trained policies, called with arrays.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use agon::export::{Answer, Export, Format};
use agon::policy::{self, Observed, TrainedPolicy, Which};
use agon::runtime::Setup;
use agon_envs::{ActionBatch, ObsRow, WrapperConfig};
use agon_policy::Parameter;
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error;
use crate::report::report;
use crate::spaces::{self, array};

/// Adds this module's classes and functions.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Policy>()?;
    module.add_class::<Episodes>()?;
    module.add_function(wrap_pyfunction!(load, module)?)?;
    module.add_function(wrap_pyfunction!(tensors, module)?)
}

/// A trained policy: weights, normalisation and everything else that acting needs.
#[pyclass(frozen, module = "agon._agon")]
struct Policy {
    /// It acts in no episode itself.
    trained: Mutex<TrainedPolicy>,
}

impl Policy {
    fn trained(&self) -> MutexGuard<'_, TrainedPolicy> {
        self.trained.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The policy of a run or of a weight file: the newest, the best, or that of the checkpoint after `step` environment steps.
#[pyfunction]
#[pyo3(signature = (path, *, best=false, step=None))]
fn load(py: Python<'_>, path: PathBuf, best: bool, step: Option<u64>) -> PyResult<Policy> {
    let which = match (best, step) {
        (true, Some(_)) => return Err(PyValueError::new_err("either best or step, got both")),
        (true, None) => Which::Best,
        (false, Some(step)) => Which::Step(step),
        (false, None) => Which::Newest,
    };
    let trained = py.detach(|| policy::load_which(&Setup::default(), &path, which)).map_err(error::of_run)?;
    Ok(Policy { trained: Mutex::new(trained) })
}

/// The tensors of a weight file by name, of all networks.
#[pyfunction]
fn tensors(py: Python<'_>, path: PathBuf) -> PyResult<Bound<'_, PyDict>> {
    let (_, weights) = py.detach(|| policy::read(&path)).map_err(error::of_run)?;
    let tensors = PyDict::new(py);
    for (name, shape, values) in weights.iter() {
        tensors.set_item(name, array(py, values.to_vec(), shape)?)?;
    }
    Ok(tensors)
}

#[pymethods]
impl Policy {
    /// What it is: algorithm, settings, networks, environment, spaces, statistics, score.
    fn card<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        report(py, self.trained().card())
    }

    /// The environment's spaces of one row's observations and actions, described.
    fn spaces<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let trained = self.trained();
        let spaces = &trained.card().env_spaces;
        Ok((spaces::describe(py, &spaces.observation)?, spaces::describe(py, &spaces.action)?))
    }

    /// What it computes, from its environment's observations to its actions, and the parameters that this names.
    fn portable<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyDict>)> {
        let (program, named) = self.trained().portable().map_err(error::of_run)?;
        let parameters = PyDict::new(py);
        for (name, Parameter { shape, values }) in named {
            parameters.set_item(name, array(py, values, &shape)?)?;
        }
        Ok((report(py, &program)?, parameters))
    }

    /// Writes it as an ONNX or safetensors file, as the name ends, and a recording beside it; gives the recording's path and its
    /// steps.
    #[pyo3(signature = (out, *, logits, license, seed))]
    fn export(
        &self,
        py: Python<'_>,
        out: PathBuf,
        logits: bool,
        license: Option<String>,
        seed: u64,
    ) -> PyResult<(PathBuf, usize)> {
        let trained = self.trained().anew();
        let format = match Format::of(&out) {
            Some(Format::Onnx(_)) if logits => Format::Onnx(Answer::Logits),
            Some(Format::Safetensors) if logits => {
                return Err(PyValueError::new_err("logits are for ONNX files: agon-policy gives both"));
            }
            Some(format) => format,
            None => {
                let message =
                    format!("expected a file that ends in .onnx or .safetensors, got {}", out.display());
                return Err(PyValueError::new_err(message));
            }
        };
        let written = py.detach(move || {
            let setup = Setup::default();
            let mut export = Export::of(&trained)?.with_meaning(&setup.registry)?;
            export.about.extend(license.map(|license| ("license".to_owned(), license)));
            export.write(&setup, &trained, format, seed, &out)
        });
        let written = written.map_err(error::of_run)?;
        Ok((written.recording, written.steps))
    }

    /// The same policy, aiming at another return of an episode.
    fn aiming_at(&self, target_return: f64) -> PyResult<Self> {
        let aiming = self.trained().aiming_at(target_return).map_err(error::of_run)?;
        Ok(Self { trained: Mutex::new(aiming) })
    }

    /// Episodes to act in. Its best actions are taken, or with a `seed` actions are drawn as in training.
    #[pyo3(signature = (seed=None))]
    fn episodes(&self, seed: Option<u64>) -> Episodes {
        let policy = self.trained().anew();
        let policy = match seed {
            Some(seed) => policy.stochastic(seed),
            None => policy,
        };
        Episodes { state: Mutex::new(Acting { policy, rows: None }) }
    }
}

/// Episodes that a policy acts in, and what it remembers of them.
#[pyclass(frozen, module = "agon._agon")]
struct Episodes {
    state: Mutex<Acting>,
}

/// A policy in episodes, and how many of them there are: none before the first call.
struct Acting {
    policy: TrainedPolicy,
    rows: Option<usize>,
}

impl Acting {
    /// Whether what is done depends on earlier steps of an episode.
    fn remembers(&self) -> bool {
        let stacks =
            |wrapper: &WrapperConfig| matches!(wrapper, WrapperConfig::FrameStack { num_stack: 2.., .. });
        self.policy.acting().policy.state_len() > 0 || self.policy.card().env.wrappers.iter().any(stacks)
    }
}

/// Rows of observations, of either type.
#[derive(FromPyObject)]
enum Rows<'py> {
    Floats(PyReadonlyArray1<'py, f32>),
    Bytes(PyReadonlyArray1<'py, u8>),
}

#[pymethods]
impl Episodes {
    /// The actions for `N` rows of packed observations, one after the other, `[N * O]`: indices from zero `[N, W]`, or numbers
    /// `[N, W]`. `rows` is `N`, `starts` are the environments whose episodes begin here, all at the first call, and `rewards` what
    /// the last actions were paid, `[N]`.
    fn act<'py>(
        &self,
        py: Python<'py>,
        observations: Rows<'py>,
        rows: usize,
        masks: Option<PyReadonlyArray1<'py, bool>>,
        starts: Option<PyReadonlyArray1<'py, bool>>,
        rewards: Option<PyReadonlyArray1<'py, f64>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let contiguous = |_| PyTypeError::new_err("expected arrays whose values lie one after the other");
        let observations = match &observations {
            Rows::Floats(rows) => ObsRow::F32(rows.as_slice().map_err(contiguous)?),
            Rows::Bytes(rows) => ObsRow::U8(rows.as_slice().map_err(contiguous)?),
        };
        let flags = |flags: &Option<PyReadonlyArray1<'py, bool>>| match flags {
            Some(flags) => flags.as_slice().map(<[bool]>::to_vec).map_err(contiguous),
            None => Ok(Vec::new()),
        };
        let (masks, starts) = (flags(&masks)?, flags(&starts)?);
        let rewards = match &rewards {
            Some(rewards) => rewards.as_slice().map(<[f64]>::to_vec).map_err(contiguous)?,
            None => Vec::new(),
        };
        let Ok(mut state) = self.state.try_lock() else {
            return Err(PyRuntimeError::new_err("these episodes are being acted in by another thread"));
        };
        if let Some(before) = state.rows.filter(|&before| before != rows)
            && state.remembers()
            && !(starts.len() == rows && starts.iter().all(|&start| start))
        {
            return Err(PyValueError::new_err(format!(
                "expected {before} observations, as many as before, got {rows}: this policy remembers its episodes, begin \
                 others with None for a state"
            )));
        }
        let (action_masks, episode_starts) = (&masks, &starts);
        let observed = Observed { observations, action_masks, episode_starts, rewards: &rewards };
        let Acting { policy, rows: known } = &mut *state;
        let actions = policy.act_in(&observed).map_err(error::of_run)?;
        *known = Some(rows);
        Ok(match actions {
            ActionBatch::Discrete(indices) => {
                let indices: Vec<i64> = indices.iter().map(|&index| i64::from(index)).collect();
                PyArray1::from_vec(py, indices).into_any()
            }
            ActionBatch::Continuous(values) => PyArray1::from_slice(py, values).into_any(),
        })
    }

    /// Forgets all episodes: the next call begins new ones.
    fn reset(&self) -> PyResult<()> {
        match self.state.try_lock() {
            Ok(mut state) => {
                state.policy.reset();
                state.rows = None;
            }
            Err(_) => {
                return Err(PyRuntimeError::new_err("these episodes are being acted in by another thread"));
            }
        }
        Ok(())
    }
}
