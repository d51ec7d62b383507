//! Every number of every algorithm's settings at values that make no sense: refused by its path, or a run that ends.
//!
//! The settings are those of the algorithms' own tables, so a new one is tried without a word here.

use agon::RunError;
use agon::agents::Algorithms;
use agon::config::{self, RunConfig};
use agon::runtime::{self, Setup};

use crate::common;

/// What is tried, as TOML.
const VALUES: [&str; 8] =
    ["0", "-1", "nan", "inf", "-inf", "1000000000000000000", "1e18", "'a word where a number belongs'"];

/// The paths of the numbers in a table, those in lists included.
fn numbers(path: &str, value: &toml::Value, found: &mut Vec<(String, bool)>) {
    match value {
        toml::Value::Integer(_) | toml::Value::Float(_) => found.push((path.to_owned(), false)),
        // What is left to the algorithm may be a number too.
        toml::Value::String(word) if ["auto", "none"].contains(&word.as_str()) && !path.ends_with("kind") => {
            found.push((path.to_owned(), false));
        }
        toml::Value::Array(values) if values.iter().any(toml::Value::is_integer) => {
            found.push((path.to_owned(), true));
        }
        // A schedule is one setting, which may be a number.
        toml::Value::Table(table) if ["start", "end"].iter().all(|key| table.contains_key(*key)) => {
            found.push((path.to_owned(), false));
        }
        toml::Value::Table(table) => {
            for (key, value) in table {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                numbers(&path, value, found);
            }
        }
        _ => {}
    }
}

/// One setting of a small run, and what it is set to.
struct Attempt {
    algorithm: &'static str,
    base: toml::Table,
    path: String,
    value: String,
}

fn attempts() -> Vec<Attempt> {
    let algorithms = Algorithms::builtin();
    let mut seen = Vec::new();
    let mut attempts = Vec::new();
    for case in common::cases() {
        if seen.contains(&case.algorithm) {
            continue;
        }
        seen.push(case.algorithm);
        let mut config = common::config_of(case.algorithm, &case.settings);
        config.resolve(&Setup::default().registry, &algorithms).unwrap();
        config.total_timesteps = 2000;
        let base = toml::Table::try_from(&config).unwrap();
        let mut found = Vec::new();
        numbers("", &toml::Value::Table(base.clone()), &mut found);
        // The word of `runtime.instruction_set` is no number that was left out.
        found.retain(|(path, _)| path != "runtime.instruction_set" && path != "seed");
        for (path, in_list) in found {
            for value in VALUES {
                let value = if in_list { format!("[{value}]") } else { value.to_owned() };
                let (algorithm, base, path) = (case.algorithm, base.clone(), path.clone());
                attempts.push(Attempt { algorithm, base, path, value });
            }
        }
    }
    assert!(seen.len() > 12 && attempts.len() > 2000, "{} attempts of {seen:?}", attempts.len());
    attempts
}

/// Trains for an iteration; refusals must name the setting and leave nothing behind.
fn attempt(attempt: &Attempt) -> Result<(), String> {
    let Attempt { algorithm, base, path, value } = attempt;
    let what = format!("{algorithm} {path}={value}");
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run");
    let mut table = base.clone();
    let trained = config::set(&mut table, &format!("{path}={value}"))
        .and_then(|()| RunConfig::from_table(&Algorithms::builtin(), table))
        .and_then(|config| runtime::train(&Setup::default(), config, &run, &mut |_| false));
    let Err(error) = trained else { return Ok(()) };
    // A loss that diverges is a run's own failure, with a directory of its own.
    if error.to_string().contains("at update") || error.to_string().contains("must be finite") && run.exists()
    {
        return Ok(());
    }
    if run.exists() {
        return Err(format!("{what}: a directory is left by `{error}`"));
    }
    let names_it = error.to_string().contains(path.as_str());
    if names_it || matches!(error, RunError::Memory { .. }) {
        Ok(())
    } else {
        Err(format!("{what}: `{error}`"))
    }
}

#[test]
fn numbers_that_make_no_sense_are_refused_by_name_or_end() {
    let attempts = attempts();
    let caught = |one: &Attempt| {
        let attempt = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| attempt(one)));
        attempt.unwrap_or_else(|_| Err(format!("{} {}={}: panicked", one.algorithm, one.path, one.value)))
    };
    let wrong: Vec<String> = attempts.iter().filter_map(|one| caught(one).err()).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), attempts.len(), wrong.join("\n"));
}
