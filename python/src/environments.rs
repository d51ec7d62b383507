//! Which environments there are, and what is told of each.

use agon_envs::{MakeOptions, Registry};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error;

/// Adds this module's functions.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(environments, module)?)?;
    module.add_function(wrap_pyfunction!(environment, module)?)
}

/// The ids of all environments, in order of the alphabet.
#[pyfunction]
fn environments() -> Vec<String> {
    Registry::builtin().iter().map(|spec| spec.id().to_owned()).collect()
}

/// What is told of an environment: `id`, `summary`, `page`, `num_agents`, `is_board` (against itself its agents move in turn),
/// and `max_episode_steps` and `reward_threshold`, which are `None` where there are none.
#[pyfunction]
fn environment<'py>(py: Python<'py>, id: &str) -> PyResult<Bound<'py, PyDict>> {
    let registry = Registry::builtin();
    let spec = registry.get(id).map_err(error::of_env)?;
    let told = PyDict::new(py);
    told.set_item("id", spec.id())?;
    told.set_item("summary", spec.summary_text())?;
    told.set_item("page", spec.page_text())?;
    let made = spec.make(&MakeOptions::default()).map_err(error::of_env)?;
    told.set_item("num_agents", made.num_agents())?;
    let mut against_itself = MakeOptions::default();
    against_itself.args.insert("opponent".to_owned(), "self".into());
    told.set_item("is_board", spec.make(&against_itself).is_ok_and(|made| made.info().turns))?;
    told.set_item("max_episode_steps", spec.time_limit())?;
    told.set_item("reward_threshold", spec.threshold())?;
    Ok(told)
}
