//! A vector of environments as a Python class; `agon/vector.py` makes a `gymnasium.vector.VectorEnv` of it.
//!
//! The main decision: every call gives fresh arrays that own what the simulators' buffers held, so that nothing a user (or a
//! library that shares memory, such as JAX or PyTorch through DLPack) keeps is written again. With `copy=False` the
//! observations are the same arrays each time, overwritten by each call.
//!
//! Python's lock is released while environments step. Another thread that calls meanwhile is refused, and nothing waits.

use std::sync::{Mutex, MutexGuard, TryLockError};

use agon_envs::{ActionBatch, ActionSpec, Autoreset, EnvError, MakeOptions, Space, WrapperConfig};
use numpy::{PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::error::{self, AgonError};
use crate::shards::{Ended, Outcome, Shards};
use crate::spaces::{array, describe};
use crate::values;

/// Adds this module's classes.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Vector>()
}

/// Many environments of one kind, stepped together.
#[pyclass(frozen, module = "agon._agon")]
struct Vector {
    state: Mutex<State>,
}

struct State {
    shards: Shards,
    /// The observations' arrays that are used again each time; none if they are fresh.
    reused: Option<Vec<Py<PyAny>>>,
    copy: bool,
    /// Whether an ended episode's last observation is told beside the next one's first.
    same_step: bool,
    /// Whether returns and lengths of ended episodes are told.
    statistics: bool,
    /// The process that it was made in: threads stay behind in a fork.
    process: u32,
}

#[pymethods]
impl Vector {
    /// Makes the environments: `num_envs` of `id`, split over `num_threads` threads.
    ///
    /// `max_episode_steps` is another time limit than the registered one, -1 none at all.
    #[new]
    #[pyo3(signature = (id, num_envs, *, num_threads, autoreset, arguments, wrappers, max_episode_steps, copy, statistics))]
    #[expect(
        clippy::too_many_arguments,
        clippy::needless_pass_by_value,
        reason = "keywords of a Python constructor, extracted"
    )]
    fn new(
        py: Python<'_>,
        id: &str,
        num_envs: usize,
        num_threads: usize,
        autoreset: &str,
        arguments: &Bound<'_, PyDict>,
        wrappers: Vec<Bound<'_, PyAny>>,
        max_episode_steps: Option<i64>,
        copy: bool,
        statistics: bool,
    ) -> PyResult<Self> {
        let options = MakeOptions {
            num_envs,
            args: values::table(arguments)?,
            max_episode_steps: max_episode_steps.map(time_limit).transpose()?,
            wrappers: wrappers.iter().map(wrapper).collect::<PyResult<_>>()?,
            autoreset: autoreset_of(autoreset)?,
            ..MakeOptions::default()
        };
        let same_step = options.autoreset == Autoreset::SameStep;
        let shards = py.detach(|| Shards::new(id, options, num_threads)).map_err(error::of_run)?;
        let process = std::process::id();
        Ok(Self { state: Mutex::new(State { shards, reused: None, copy, same_step, statistics, process }) })
    }

    /// What does not change: spaces, sizes and names.
    fn describe<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let state = self.lock()?;
        let info = state.shards.info();
        let told = PyDict::new(py);
        told.set_item("observation_space", describe(py, &info.observation_space)?)?;
        told.set_item("action_space", describe(py, &info.action_space)?)?;
        told.set_item("num_agents", info.num_agents)?;
        told.set_item("teams", &info.teams)?;
        told.set_item("turns", info.turns)?;
        told.set_item("mask_len", info.mask_len)?;
        told.set_item("metrics", &info.metrics)?;
        Ok(told)
    }

    /// Whether there was a reset.
    #[getter]
    fn started(&self) -> PyResult<bool> {
        Ok(self.lock()?.shards.is_started())
    }

    /// Starts episodes in the environments that `mask` chooses, all without one; those without a seed go on with their random
    /// streams. Gives the observations and the action masks, `None` where there are none.
    #[pyo3(signature = (seeds, mask = None))]
    fn reset<'py>(
        &self,
        py: Python<'py>,
        seeds: Vec<Option<Bound<'py, PyAny>>>,
        mask: Option<Vec<bool>>,
    ) -> PyResult<(Bound<'py, PyAny>, Option<Bound<'py, PyAny>>)> {
        let mut guard = self.lock()?;
        let state = &mut *guard;
        let shards = &mut state.shards;
        let expected = shards.num_envs;
        if seeds.len() != expected || mask.as_ref().is_some_and(|mask| mask.len() != expected) {
            return Err(PyValueError::new_err(format!("expected {expected} seeds and as long a mask")));
        }
        let seeds: Vec<Option<u64>> =
            seeds.iter().map(|seed| seed.as_ref().map(seed_of).transpose()).collect::<PyResult<_>>()?;
        let all: Option<Vec<u64>> = seeds.iter().copied().collect();
        let outcome = match (&mask, all) {
            (None, Some(seeds)) => py.detach(|| shards.reset(&seeds)),
            _ => {
                let is_chosen = |env: usize| mask.as_ref().is_none_or(|mask| mask[env]);
                let envs = seeds.into_iter().enumerate().filter(|&(env, _)| is_chosen(env));
                let envs: Vec<_> = envs.collect();
                py.detach(|| shards.reset_some(&envs))
            }
        };
        let outcome = outcome.map_err(error::of_env)?;
        let rows = state.shards.num_rows();
        let Outcome { observations, masks, .. } = outcome;
        Ok((state.observations(py, observations)?, masks_of(py, masks, rows)?))
    }

    /// Steps every environment: observations, rewards, terminated, truncated, action masks, the last observations of episodes
    /// that ended (of the same-step mode) and their statistics (if they were asked for). The last three are `None` where there
    /// are none.
    ///
    /// Last observations are a tuple of a flag an environment, an array of objects an environment, the numbers of those that
    /// ended and their observations as a batch; statistics one of these flags and numbers, returns, lengths and metrics.
    fn step<'py>(&self, py: Python<'py>, actions: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
        let mut guard = self.lock()?;
        let state = &mut *guard;
        take_actions(&mut state.shards, actions)?;
        let shards = &mut state.shards;
        let outcome = py.detach(|| shards.step()).map_err(error::of_env)?;
        let rows = shards.num_rows();
        let Outcome { observations, rewards, terminated, truncated, masks, ended } = outcome;
        let (last, statistics) = match ended {
            None => (None, None),
            Some(ended) => {
                let statistics = state.statistics.then(|| state.statistics(py, &ended)).transpose()?;
                (state.same_step.then(|| state.last(py, ended)).transpose()?, statistics)
            }
        };
        let none = || py.None().into_bound(py);
        PyTuple::new(
            py,
            [
                state.observations(py, observations)?,
                PyArray1::from_vec(py, rewards).into_any(),
                PyArray1::from_vec(py, terminated).into_any(),
                PyArray1::from_vec(py, truncated).into_any(),
                masks_of(py, masks, rows)?.unwrap_or_else(none),
                last.map_or_else(none, Bound::into_any),
                statistics.map_or_else(none, Bound::into_any),
            ],
        )
    }

    /// Whose turn it is in an environment, of its agents; 0 where all act at the same time.
    fn turn(&self, env: usize) -> PyResult<usize> {
        let mut guard = self.lock()?;
        Ok(guard.shards.holder(env).map_or(0, |(simulator, env)| simulator.turn(env)))
    }

    /// A picture `[height, width, 3]` of an environment; `None` if it cannot be drawn.
    fn render<'py>(&self, py: Python<'py>, env: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut guard = self.lock()?;
        let Some((simulator, env)) = guard.shards.holder(env) else { return Ok(None) };
        let Some(frame) = py.detach(|| simulator.render(env)) else { return Ok(None) };
        array(py, frame.rgb, &[frame.height as usize, frame.width as usize, 3]).map(Some)
    }

    /// An environment as text; `None` if it has no such form.
    fn render_text<'py>(&self, py: Python<'py>, env: usize) -> PyResult<Option<Bound<'py, PyString>>> {
        let mut guard = self.lock()?;
        let Some((simulator, env)) = guard.shards.holder(env) else { return Ok(None) };
        Ok(simulator.render_text(env).map(|text| PyString::new(py, &text)))
    }
}

impl Vector {
    fn lock(&self) -> PyResult<MutexGuard<'_, State>> {
        match self.state.try_lock() {
            Ok(state) if state.shards.has_threads() && state.process != std::process::id() => {
                Err(AgonError::new_err(
                    "this vector's threads stayed in the process that made it: make another one after a fork, or one of a \
                     single thread",
                ))
            }
            Ok(state) => Ok(state),
            Err(TryLockError::WouldBlock) => Err(AgonError::new_err(
                "this environment is in use by another thread: give each thread an environment of its own",
            )),
            Err(TryLockError::Poisoned(_)) => {
                Err(AgonError::new_err("this environment panicked before: make another one"))
            }
        }
    }
}

impl State {
    /// The arrays of a call's observations, in the structure of their space.
    fn observations<'py>(
        &mut self,
        py: Python<'py>,
        columns: Vec<crate::spaces::Column>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (layout, rows) = (&self.shards.layout, self.shards.num_rows());
        if let Some(reused) = &self.reused {
            let arrays: Vec<_> = reused.iter().map(|array| array.bind(py).clone()).collect();
            for (column, array) in columns.iter().zip(&arrays) {
                column.write_to(array)?;
            }
            return layout.structure(py, &arrays);
        }
        let arrays = layout.arrays(py, rows, columns)?;
        let structure = layout.structure(py, &arrays)?;
        if !self.copy {
            self.reused = Some(arrays.into_iter().map(Bound::unbind).collect());
        }
        Ok(structure)
    }

    /// The last observations of episodes that ended.
    fn last<'py>(&self, py: Python<'py>, ended: Ended) -> PyResult<Bound<'py, PyTuple>> {
        let (layout, rows) = (&self.shards.layout, self.shards.num_rows());
        let mut objects: Vec<Py<PyAny>> = (0..rows).map(|_| py.None()).collect();
        let flags = PyArray1::from_vec(py, self.flags(&ended.rows)).into_any();
        let parts = if layout.is_one_array() {
            None
        } else {
            let row = |index| layout.row(py, &ended.observations, index);
            Some((0..ended.rows.len()).map(row).collect::<PyResult<Vec<_>>>()?)
        };
        let arrays = layout.arrays(py, ended.rows.len(), ended.observations)?;
        let batch = layout.structure(py, &arrays)?;
        match parts {
            Some(parts) => {
                ended.rows.iter().zip(parts).for_each(|(&row, part)| objects[row as usize] = part.unbind());
            }
            // A view of the batch is quicker made than an array.
            None => {
                for (&row, part) in ended.rows.iter().zip(batch.try_iter()?) {
                    objects[row as usize] = part?.unbind();
                }
            }
        }
        let numbers = PyArray1::from_vec(py, ended.rows).into_any();
        let objects = PyArray1::from_vec(py, objects).into_any();
        PyTuple::new(py, [flags, objects, numbers, batch])
    }

    /// Returns, lengths and metrics of episodes that ended.
    fn statistics<'py>(&self, py: Python<'py>, ended: &Ended) -> PyResult<Bound<'py, PyTuple>> {
        let shape = [ended.rows.len(), self.shards.info().metrics.len()];
        PyTuple::new(
            py,
            [
                PyArray1::from_vec(py, self.flags(&ended.rows)).into_any(),
                PyArray1::from_slice(py, &ended.rows).into_any(),
                PyArray1::from_slice(py, &ended.returns).into_any(),
                PyArray1::from_slice(py, &ended.lengths).into_any(),
                array(py, ended.metrics.clone(), &shape)?,
            ],
        )
    }

    /// A flag a row, set for these.
    fn flags(&self, rows: &[i64]) -> Vec<bool> {
        let mut flags = vec![false; self.shards.num_rows()];
        rows.iter().for_each(|&row| flags[row as usize] = true);
        flags
    }
}

/// Action masks `[N, A]` as Gymnasium's spaces sample with them; none without.
fn masks_of(py: Python<'_>, masks: Vec<i8>, rows: usize) -> PyResult<Option<Bound<'_, PyAny>>> {
    if masks.is_empty() {
        return Ok(None);
    }
    let shape = [rows, masks.len() / rows];
    array(py, masks, &shape).map(Some)
}

/// Reads a batch of actions into the simulators' buffers.
fn take_actions(shards: &mut Shards, actions: &Bound<'_, PyAny>) -> PyResult<()> {
    let info = shards.info();
    let (rows, width) = (shards.num_rows(), info.action_spec.width());
    let start = if let Space::Discrete { start, .. } = &info.action_space { *start } else { 0 };
    let is_discrete = matches!(info.action_spec, ActionSpec::Discrete { .. });
    let space = info.action_space.clone();
    if is_discrete {
        let array = typed::<i64>(actions, "iub", "int64", rows * width, &space)?;
        let values = array.as_slice()?;
        let mut rest = values;
        let mut fits = true;
        for batch in shards.actions_mut() {
            let (own, others) = rest.split_at(batch.len());
            rest = others;
            for (to, &from) in batch.indices_mut().iter_mut().zip(own) {
                let index = from.wrapping_sub(start);
                *to = index as u32;
                fits &= index >> 32 == 0;
            }
        }
        if let (false, Some(at)) = (fits, values.iter().position(|value| (value - start) >> 32 != 0)) {
            let (row, found) = (at / width, values[at].to_string());
            return Err(error::of_env(EnvError::InvalidAction { row, space: space.to_string(), found }));
        }
        return Ok(());
    }
    let array = typed::<f32>(actions, "fiub", "float32", rows * width, &space)?;
    let mut rest = array.as_slice()?;
    for batch in shards.actions_mut() {
        let (own, others) = rest.split_at(batch.len());
        rest = others;
        if let ActionBatch::Continuous(values) = batch {
            values.copy_from_slice(own);
        }
    }
    Ok(())
}

/// The actions as a contiguous array of `T`: themselves if they are one, else a copy of what NumPy makes of them, if its kind is
/// one of `kinds`.
fn typed<'py, T: numpy::Element>(
    actions: &Bound<'py, PyAny>,
    kinds: &str,
    dtype: &str,
    len: usize,
    space: &Space,
) -> PyResult<PyReadonlyArrayDyn<'py, T>> {
    let wrong = |found: String| {
        PyValueError::new_err(format!("expected {len} numbers, actions of {space} each, got {found}"))
    };
    let array = match actions.cast::<PyArrayDyn<T>>() {
        Ok(array) if array.is_c_contiguous() => array.clone(),
        _ => {
            let numpy = actions.py().import("numpy")?;
            let any = numpy.call_method1("asarray", (actions,))?;
            let kind: String = any.getattr("dtype")?.getattr("kind")?.extract()?;
            if !kinds.contains(&kind) {
                return Err(wrong(format!("an array of {}", any.getattr("dtype")?)));
            }
            numpy.call_method1("ascontiguousarray", (any, dtype))?.cast_into::<PyArrayDyn<T>>()?
        }
    };
    if array.len() != len {
        return Err(wrong(format!("an array of shape {:?}", array.shape())));
    }
    array.try_readonly().map_err(|error| AgonError::new_err(format!("the actions: {error}")))
}

fn seed_of(seed: &Bound<'_, PyAny>) -> PyResult<u64> {
    seed.extract().map_err(|_| {
        PyValueError::new_err(format!("seed must be a whole number from 0 to 2^64 - 1, got {seed}"))
    })
}

/// A mode by the name of Gymnasium's enumeration.
fn autoreset_of(mode: &str) -> PyResult<Autoreset> {
    match mode {
        "NextStep" => Ok(Autoreset::NextStep),
        "SameStep" => Ok(Autoreset::SameStep),
        "Disabled" => Ok(Autoreset::Disabled),
        other => {
            let message = format!("autoreset must be NextStep, SameStep or Disabled, got {other}");
            Err(PyValueError::new_err(message))
        }
    }
}

fn time_limit(steps: i64) -> PyResult<Option<u32>> {
    match u32::try_from(steps) {
        Ok(steps) if steps > 0 => Ok(Some(steps)),
        _ if steps == -1 => Ok(None),
        _ => {
            let message = format!("max_episode_steps must be at least 1, or -1 for no limit, got {steps}");
            Err(PyValueError::new_err(message))
        }
    }
}

/// A wrapper: its kind, or a dictionary of its kind and settings.
fn wrapper(value: &Bound<'_, PyAny>) -> PyResult<WrapperConfig> {
    let table = if let Ok(kind) = value.cast::<PyString>() {
        let entries = PyDict::new(value.py());
        entries.set_item("kind", kind)?;
        values::table(&entries)?
    } else {
        values::table(value.cast::<PyDict>()?)?
    };
    table.try_into().map_err(|error: toml::de::Error| {
        PyValueError::new_err(format!("wrapper {}: {}", value, error.message()))
    })
}
