//! Plain Python data as TOML, the form in which settings and arguments arrive.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString};
use toml::{Table, Value};

/// A dictionary as a table; entries that are `None` are left out.
pub(crate) fn table(values: &Bound<'_, PyDict>) -> PyResult<Table> {
    let mut table = Table::new();
    for (key, value) in values {
        let key: String = key.extract()?;
        if !value.is_none() {
            let value = value_of(&value).map_err(|error| within(&key, &error, values.py()))?;
            table.insert(key, value);
        }
    }
    Ok(table)
}

/// A value: a bool, number, string, dictionary, or a sequence or array of these.
fn value_of(value: &Bound<'_, PyAny>) -> PyResult<Value> {
    if value.is_instance_of::<PyBool>() {
        return Ok(Value::Boolean(value.extract()?));
    }
    if value.is_instance_of::<PyInt>() {
        return Ok(Value::Integer(value.extract()?));
    }
    if value.is_instance_of::<PyFloat>() {
        return Ok(Value::Float(value.extract()?));
    }
    if value.is_instance_of::<PyString>() {
        return Ok(Value::String(value.extract()?));
    }
    if let Ok(entries) = value.cast::<PyDict>() {
        return table(entries).map(Value::Table);
    }
    // NumPy's arrays and numbers become lists and numbers of Python.
    if let Ok(plain) = value.call_method0("tolist") {
        return value_of(&plain);
    }
    match value.try_iter() {
        Ok(items) => items.map(|item| value_of(&item?)).collect::<PyResult<_>>().map(Value::Array),
        Err(_) => {
            let kind = value.get_type().qualname()?;
            Err(PyValueError::new_err(format!("expected a bool, number, string, list or dict, got {kind}")))
        }
    }
}

/// Names the entry in an error.
fn within(key: &str, error: &PyErr, py: Python<'_>) -> PyErr {
    PyValueError::new_err(format!("{key}: {}", error.value(py)))
}
