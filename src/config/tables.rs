//! Settings as tables: read from files and assignments, laid over each other, compared.

use std::collections::BTreeSet;
use std::path::Path;

use agon_envs::mixture;
use serde::de::DeserializeOwned;

use super::{ALGORITHM, CALLABLE, KIND};
use crate::RunError;
use crate::error::AtPath;
use crate::text;

/// Says which algorithm and environment settings are for. Several ids, joined by `+`, are the tasks of a mixture; what is said
/// of them already stays.
pub(crate) fn set_subject(table: &mut toml::Table, algorithm: &str, env: &str) -> Result<(), RunError> {
    set_value(table, ALGORITHM, toml::Value::String(algorithm.to_owned()))?;
    let Some(ids) = several(env) else {
        return set_value(table, "env.id", toml::Value::String(env.to_owned()));
    };
    set_value(table, "env.id", toml::Value::String(mixture::ID.to_owned()))?;
    let given = table.get("env").and_then(|env| env.get("tasks")).and_then(toml::Value::as_array);
    let id_of = |task: &toml::Value| task.get("id").and_then(toml::Value::as_str).map(str::to_owned);
    match given.map(|tasks| tasks.iter().map(id_of).collect::<Vec<_>>()) {
        None => {
            let task = |id: &str| toml::Value::Table([("id".to_owned(), id.into())].into_iter().collect());
            set_value(table, "env.tasks", toml::Value::Array(ids.into_iter().map(task).collect()))
        }
        Some(given) if given.iter().map(Option::as_deref).eq(ids.iter().copied().map(Some)) => Ok(()),
        Some(_) => Err(RunError::Config(format!("env.tasks are others than the arguments name: {env}"))),
    }
}

/// The ids of a mixture that is named by them; none if it is one. The path of a Python file may have a `+` of its own: callables
/// are tasks in `env.tasks` only.
pub(crate) fn several(env: &str) -> Option<Vec<&str>> {
    (env.contains('+') && !env.contains(CALLABLE)).then(|| env.split('+').collect())
}

/// Reads a value from a table; an error names the key.
pub(crate) fn from_table<T: DeserializeOwned>(table: toml::Table) -> Result<T, RunError> {
    serde_path_to_error::deserialize(table).map_err(|error| {
        let path = error.path().to_string();
        let message = error.inner().to_string();
        // What follows the first line repeats the path.
        let message = message.lines().next().unwrap_or_default();
        RunError::Config(if path == "." { message.to_owned() } else { format!("{path}: {message}") })
    })
}

/// Reads a TOML file as a table.
///
/// # Errors
/// If the file cannot be read or is no TOML; the error shows the line.
pub fn read_table(path: &Path) -> Result<toml::Table, RunError> {
    let text = std::fs::read_to_string(path).at("cannot read", path)?;
    text.parse().map_err(|error| RunError::Config(format!("{}: {error}", path.display())))
}

/// The first key, in alphabetical order, whose value differs in two tables, with both values.
pub(crate) fn first_difference(a: &toml::Table, b: &toml::Table) -> Option<String> {
    /// What is longer, such as a pickled callable, is cut in an error.
    const SHOWN: usize = 200;
    let text = |value: Option<&toml::Value>| {
        let text = value.map_or("none".to_owned(), ToString::to_string);
        if text.chars().nth(SHOWN).is_none() {
            text
        } else {
            text.chars().take(SHOWN).chain(['…']).collect()
        }
    };
    let mut first = None;
    differences(a, b, &mut |key, a, b| {
        first.get_or_insert_with(|| format!("{key}: {} and {}", text(a), text(b)));
    });
    first
}

/// What is told of a key whose value differs in two tables, and of both values.
type Differs<'a> = dyn FnMut(&str, Option<&toml::Value>, Option<&toml::Value>) + 'a;

/// Every key, in alphabetical order, whose value differs in two tables, with both values.
pub(crate) fn differences(a: &toml::Table, b: &toml::Table, found: &mut Differs<'_>) {
    let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    for key in keys {
        match (a.get(key), b.get(key)) {
            (Some(toml::Value::Table(a)), Some(toml::Value::Table(b))) => {
                differences(a, b, &mut |inner, a, b| found(&format!("{key}.{inner}"), a, b));
            }
            (a, b) if a == b => {}
            (a, b) => found(key, a, b),
        }
    }
}

/// The values of a table by their whole keys. A table's kind comes first: another one replaces the settings of the kind before.
pub(crate) fn flatten(path: &str, table: &toml::Table, found: &mut Vec<(String, toml::Value)>) {
    let kind = table.iter().filter(|(key, _)| *key == KIND);
    for (key, value) in kind.chain(table.iter().filter(|(key, _)| *key != KIND)) {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match value {
            toml::Value::Table(inner) => flatten(&path, inner, found),
            value => found.push((path, value.clone())),
        }
    }
}

/// Lays one `key.path=value` onto a table. The value is TOML; what is no TOML is a string.
///
/// # Errors
/// [`RunError::Config`] if there is no `=`, an empty key, or a key inside something that is no table.
pub fn set(table: &mut toml::Table, assignment: &str) -> Result<(), RunError> {
    set_by("--set", table, assignment)
}

/// As [`set`], of a flag of another name, which errors say.
///
/// # Errors
/// As there.
pub(crate) fn set_by(flag: &str, table: &mut toml::Table, assignment: &str) -> Result<(), RunError> {
    let named = |message: &str| RunError::Config(format!("{flag} {assignment}: {message}"));
    let Some((path, text)) = assignment.split_once('=') else {
        return Err(named("expected key.path=value"));
    };
    let value = format!("value = {text}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut parsed| parsed.remove("value"))
        .map(|value| whole_power(value, text))
        .unwrap_or_else(|| toml::Value::String(text.trim().to_owned()));
    set_value(table, path.trim(), value).map_err(|error| named(&error.to_string()))
}

/// `1e6` is a million, whatever kind of number a setting is; `1.0e6` stays what TOML makes of it.
fn whole_power(value: toml::Value, text: &str) -> toml::Value {
    match value {
        toml::Value::Float(number) if !text.contains('.') => {
            text::whole(number).map_or(value, |whole| toml::Value::Integer(whole as i64))
        }
        value => value,
    }
}

/// Lays one value onto a table, at a path of keys.
///
/// # Errors
/// [`RunError::Config`] for an empty key, or a key inside something that is no table.
pub fn set_value(table: &mut toml::Table, path: &str, value: toml::Value) -> Result<(), RunError> {
    let keys: Vec<&str> = path.split('.').collect();
    if keys.iter().any(|key| key.is_empty()) {
        return Err(RunError::Config(format!("expected a key, got `{path}`")));
    }
    let (last, parents) = keys.split_last().unwrap_or((&"", &[]));
    let mut table = table;
    for key in parents {
        let entry = table.entry((*key).to_owned()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        let toml::Value::Table(inner) = entry else {
            return Err(RunError::Config(format!("`{key}` is a value, not a table")));
        };
        table = inner;
    }
    if *last == KIND && table.get(KIND).is_some_and(|kind| *kind != value) {
        // The other settings belong to the kind before.
        table.clear();
    }
    table.insert((*last).to_owned(), value);
    Ok(())
}
