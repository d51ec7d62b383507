//! Where a run comes from: what worked on it, when, on which machine, and from which files.
//!
//! `config.toml` says what a run is; `provenance.jsonl` beside it says who made it, one record of JSON a line for each process
//! that began it or went on with it. Nothing reads it to train: a run that another machine resumes has the same bits and one
//! record more. [`Chain`] goes back from a run to those that its weights came from and checks every hash on the way.

mod chain;
mod machine;
mod repository;

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::config::{RunConfig, read_table};
use crate::error::AtPath;
use crate::experiment;
use crate::hash;
use crate::policy::{self, Which};
use crate::run::directory::{CONFIG, INIT, RunInputs, TEACHER, write_atomically};
use crate::run::{RunDirectory, identity};
use crate::text;
pub use chain::{Chain, Check, Found};
pub use machine::{Machine, Program};
pub use repository::Repository;

/// The file of a run's records.
pub const PROVENANCE: &str = "provenance.jsonl";

/// What a process that worked on a run says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When it began to, in UTC.
    pub at: String,
    /// Environment steps that the run had taken by then.
    pub env_steps: u64,
    /// Environment steps that it was to have.
    pub total_timesteps: u64,
    /// The run's seed.
    pub seed: u64,
    /// SHA-256 of the settings that decide the run's bits, see [`settings_sha256`].
    pub settings_sha256: String,
    /// The instruction set that it used.
    pub instruction_set: String,
    /// Threads of workers and of the learner each.
    pub threads: usize,
    /// The command line.
    pub command: String,
    /// The program.
    pub program: Program,
    /// The repository that it was started in; none outside of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
    /// The machine.
    pub machine: Machine,
    /// Files that the run began with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
}

/// A file that a run began with, of which it keeps a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The setting that named it.
    pub setting: String,
    /// The copy in the run's directory.
    pub file: String,
    /// Where the original was, as seen from the run's directory.
    pub origin: PathBuf,
    /// SHA-256 of its content.
    pub sha256: String,
    /// What the file said of itself; none of a file that another program wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<Maker>,
}

/// What a weight file says of the run that wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maker {
    /// Agon's version.
    pub version: String,
    /// The algorithm.
    pub algorithm: String,
    /// The environment's id.
    pub env: String,
    /// The seed.
    pub seed: u64,
    /// Environment steps that it was trained for.
    pub env_steps: u64,
}

/// Records that this process works on a run whose lock it has, from `env_steps` on; `given` are the weight files that the run was
/// given when it began.
pub(crate) fn record(
    run: &RunDirectory,
    config: &RunConfig,
    env_steps: u64,
    given: &RunInputs,
) -> Result<(), RunError> {
    let mut inputs = Vec::new();
    for (setting, file, from, bytes) in [
        ("init_from", INIT, &config.init_from, &given.init),
        ("teacher.policy", TEACHER, &config.teacher.policy, &given.teacher),
    ] {
        if let (Some(from), Some(bytes)) = (from, bytes) {
            inputs.push(input(run, (setting, file), from, bytes)?);
        }
    }
    let here = std::env::current_dir().unwrap_or_default();
    let record = Record {
        at: text::utc(SystemTime::now()),
        env_steps,
        total_timesteps: config.total_timesteps,
        seed: config.seed,
        settings_sha256: settings_sha256(run.path())?,
        instruction_set: config.instruction_set()?.to_string(),
        threads: config.threads(),
        command: text::command_line(),
        program: Program::this(),
        repository: Repository::around(&here),
        machine: Machine::this(),
        inputs,
    };
    let line = serde_json::to_string(&record).map_err(|error| RunError::Config(error.to_string()))?;
    let path = run.file(PROVENANCE);
    // Whatever is there: a damaged record keeps no run from going on.
    let mut lines = match fs::read(&path) {
        Ok(lines) => lines,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).at("cannot read", &path),
    };
    if lines.last().is_some_and(|last| *last != b'\n') {
        lines.push(b'\n');
    }
    lines.extend_from_slice(line.as_bytes());
    lines.push(b'\n');
    write_atomically(&path, &lines)
}

/// The records of a run, the first one first; none if it was made before there were any.
///
/// # Errors
/// If the file cannot be read or is broken.
pub fn records(run: &Path) -> Result<Vec<Record>, RunError> {
    let path = run.join(PROVENANCE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(&path).at("cannot read", &path)?;
    let parse = |(index, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| {
            RunError::Config(format!("{}: expected a record in line {}: {error}", path.display(), index + 1))
        })
    };
    text.lines().enumerate().map(parse).collect()
}

/// SHA-256 of the settings that decide a run's bits, in hexadecimal digits: of its `config.toml` as JSON without spaces, keys
/// in alphabetical order, without what may change when a run goes on (threads, when to save and to log, how long it is) and
/// what says where its parts are; and with the instruction set that is used.
///
/// # Errors
/// If there is no `config.toml` or it is broken.
pub fn settings_sha256(run: &Path) -> Result<String, RunError> {
    // As they are written: another version may know more settings.
    let settings = identity::deciding(read_table(&run.join(CONFIG))?);
    let json = serde_json::to_string(&settings).map_err(|error| RunError::Config(error.to_string()))?;
    Ok(hash::hex(&hash::of_bytes(json.as_bytes())))
}

/// A weight file that a run was given by a setting and keeps a copy of.
fn input(
    run: &RunDirectory,
    (setting, copy): (&str, &str),
    from: &Path,
    bytes: &[u8],
) -> Result<Input, RunError> {
    // The run has begun with it already: what is no file of this program's is somebody else's.
    let card = policy::parse(from, bytes).ok().map(|(card, _)| card);
    let origin = experiment::origin(from)?.unwrap_or_else(|| from.to_owned());
    let origin = policy::weight_file(&origin, Which::Newest).unwrap_or(origin);
    Ok(Input {
        setting: setting.to_owned(),
        file: copy.to_owned(),
        origin: seen_from(run.path(), &origin),
        sha256: hash::hex(&hash::of_bytes(bytes)),
        made_by: card.map(|card| Maker {
            version: card.version,
            algorithm: card.algorithm,
            env: card.env.id,
            seed: card.seed,
            env_steps: card.env_steps,
        }),
    })
}

/// A path as seen from a directory: where both are moved together, it still holds. Absolute if the two have nothing in common.
fn seen_from(directory: &Path, path: &Path) -> PathBuf {
    let (Ok(directory), Ok(path)) = (directory.canonicalize(), path.canonicalize()) else {
        return std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    };
    let same = directory.components().zip(path.components()).take_while(|(a, b)| a == b).count();
    let is_root = |part: Component<'_>| matches!(part, Component::RootDir | Component::Prefix(_));
    if path.components().take(same).all(is_root) {
        return path;
    }
    let up = directory.components().skip(same).map(|_| Component::ParentDir);
    up.chain(path.components().skip(same)).collect()
}

#[cfg(test)]
mod tests;
