//! Agon as a Python module: `agon._agon`, the compiled half of the package `agon-rl`.
//!
//! The main decision: Rust holds what is fast or must be exact (environments, runs, policies) and hands over NumPy arrays
//! and plain data; the Python files in `python/agon/` make of them what users know: Gymnasium's and PettingZoo's classes.
//! Each module here registers its own classes and functions.
#![allow(clippy::needless_pass_by_value, reason = "what Python passes arrives as values")]

mod attend;
mod engine;
mod environments;
mod error;
mod many;
mod policy;
mod report;
mod results;
mod shards;
mod spaces;
mod training;
mod values;
mod vector;
mod workers;

use pyo3::prelude::*;

/// Keeps large blocks instead of giving them back to the system: the arrays of every step are of the same few sizes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The compiled half of the package `agon`.
#[pymodule(gil_used = false)]
fn _agon(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    error::register(module)?;
    environments::register(module)?;
    vector::register(module)?;
    training::register(module)?;
    engine::register(module)?;
    many::register(module)?;
    workers::register(module)?;
    results::register(module)?;
    policy::register(module)
}
