//! Whose a checkpoint or a weight file is: the settings that decided its bits.
//!
//! They are kept as they are and not as a hash, so that a difference can be named. What may change while a run goes on is
//! left out: threads, when to save and to log, and how long the run is.

use std::path::Path;

use crate::RunError;
use crate::config::{self, ALGORITHM, RunConfig};
use crate::policy::Card;

/// Settings that may change from one resume to the next, and say nothing of whose a file is.
const FREE: [&str; 3] = ["threads", "checkpoint_every", "log_every"];

/// The same among the environment's: how its process is started, and a callable that can be handed over again.
const FREE_OF_ENV: [&str; 3] = ["python", "timeout_s", "pickle"];

/// The key of the instruction set.
const INSTRUCTION_SET: &str = "instruction_set";

/// Differences that an error names at most.
const NAMED: usize = 5;

/// The settings that decide the bits of a run, of any length.
pub(crate) fn of(config: &RunConfig) -> Result<toml::Table, RunError> {
    let table = toml::Table::try_from(config).map_err(|error| RunError::Config(error.to_string()))?;
    let used = match &config.made_by {
        Some(made_by) => made_by.instruction_set.clone(),
        None => config.instruction_set()?.to_string(),
    };
    Ok(without_free(table, Some(used)))
}

/// The same of a `config.toml` as it is written.
pub(crate) fn deciding(table: toml::Table) -> toml::Table {
    let made_by = table.get("made_by").and_then(toml::Value::as_table);
    let used = made_by.and_then(|made_by| made_by.get(INSTRUCTION_SET)?.as_str()).map(str::to_owned);
    without_free(table, used)
}

/// Settings without those that may change, and with the instruction set that was used.
fn without_free(mut table: toml::Table, instruction_set: Option<String>) -> toml::Table {
    // Runs keep a copy of the weights that they begin with; where the original was says nothing.
    for key in ["made_by", "init_from", "total_timesteps"] {
        table.remove(key);
    }
    if let Some(toml::Value::Table(teacher)) = table.get_mut("teacher") {
        teacher.remove("policy");
    }
    // Data are known by their checksum, wherever they lie.
    if let Some(toml::Value::Table(data)) = table.get_mut("data") {
        data.remove("sets");
        data.remove("storage");
    }
    if let Some(toml::Value::Table(env)) = table.get_mut("env") {
        FREE_OF_ENV.iter().for_each(|key| drop(env.remove(*key)));
    }
    if let Some(toml::Value::Table(runtime)) = table.get_mut("runtime") {
        FREE.iter().for_each(|key| drop(runtime.remove(*key)));
        if let Some(used) = instruction_set {
            runtime.insert(INSTRUCTION_SET.to_owned(), used.into());
        }
    }
    table
}

/// Refuses a file whose settings are not those of the run that it lies in.
pub(crate) fn check(file: &Path, saved: &toml::Table, run: &toml::Table) -> Result<(), RunError> {
    let mut differences = Vec::new();
    let text = |value: Option<&toml::Value>| value.map_or("none".to_owned(), ToString::to_string);
    let mut differs = |key: &str, saved: Option<&toml::Value>, run: Option<&toml::Value>| {
        differences.push(format!("{key} is {} in the file and {} in config.toml", text(saved), text(run)));
    };
    // All settings of another algorithm are other ones.
    let algorithms = [saved.get(ALGORITHM), run.get(ALGORITHM)];
    if algorithms[0] == algorithms[1] {
        config::differences(saved, run, &mut differs);
    } else {
        differs(ALGORITHM, algorithms[0], algorithms[1]);
    }
    if differences.is_empty() {
        return Ok(());
    }
    let more = differences.len().saturating_sub(NAMED);
    differences.truncate(NAMED);
    let mut message = differences.join("; ");
    if more > 0 {
        message.push_str(&format!("; and {more} more"));
    }
    Err(RunError::OtherRun { path: file.to_owned(), message })
}

/// Refuses a weight file that is not of the run that it lies in.
pub(crate) fn check_card(file: &Path, card: &Card, config: &RunConfig) -> Result<(), RunError> {
    let run = of(config)?;
    let of_card = RunConfig {
        algorithm: card.algorithm.clone(),
        seed: card.seed,
        env: card.env.clone(),
        agent: card.agent.clone(),
        network: card.network.clone(),
        ..config.clone()
    };
    check(file, &of(&of_card)?, &run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides_bits_is_named_and_what_may_change_is_not() {
        let config = RunConfig::default();
        let mut other = config.clone();
        other.runtime.threads = 7;
        other.runtime.checkpoint_every = 5;
        other.runtime.log_every = 5;
        other.total_timesteps = 9;
        let (saved, run) = (of(&config).unwrap(), of(&other).unwrap());
        assert!(check(Path::new("a"), &saved, &run).is_ok());
        other.seed = 2;
        other.agent.insert("gamma".to_owned(), 0.5.into());
        let message = check(Path::new("a"), &saved, &of(&other).unwrap()).unwrap_err().to_string();
        let expected = "a belongs to a run of other settings: agent.gamma is none in the file and 0.5 in \
                        config.toml; seed is 1 in the file and 2 in config.toml";
        assert_eq!(message, expected);
    }
}
