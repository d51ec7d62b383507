//! The way back from a run to those that its weights came from.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Input, Record, records, settings_sha256};
use crate::RunError;
use crate::hash;
use crate::policy;
use crate::run::{RunDirectory, identity};

/// Runs that a chain goes back through at most.
const MOST: usize = 100;

/// A run, and what it came from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chain {
    /// Its directory.
    pub run: PathBuf,
    /// The algorithm.
    pub algorithm: String,
    /// The environment's id.
    pub env: String,
    /// What worked on it; empty for a run that was made before this was recorded.
    pub records: Vec<Record>,
    /// What was checked.
    pub checks: Vec<Check>,
    /// The runs that its inputs came from, where they still are.
    pub parents: Vec<Chain>,
}

/// A hash that was recorded, and what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What has the hash.
    pub what: String,
    /// The recorded SHA-256.
    pub expected: String,
    /// What is there now.
    pub found: Found,
}

/// What stands in the place of something that was hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// The same.
    Same,
    /// Something else, with this SHA-256, or that is wrong in this way.
    Other(String),
    /// Nothing.
    Nothing,
}

impl Check {
    /// Compares with a recorded hash.
    fn new(what: String, expected: &str, found: Option<String>) -> Self {
        let found = match found {
            None => Found::Nothing,
            Some(found) if found == expected => Found::Same,
            Some(other) => Found::Other(other),
        };
        Self { what, expected: expected.to_owned(), found }
    }

    /// Whether the hash holds.
    pub fn holds(&self) -> bool {
        self.found == Found::Same
    }
}

impl Chain {
    /// Goes back from a run, and hashes what was recorded on the way.
    ///
    /// # Errors
    /// If it is no run, has no records, or a file of it or of a run that it came from cannot be read.
    pub fn of(run: &Path) -> Result<Self, RunError> {
        let chain = Self::back_from(run, &mut Vec::new())?;
        if chain.records.is_empty() {
            let message =
                "expected records of its provenance (provenance.jsonl), found none: the run was made without";
            return Err(RunError::Directory { path: run.to_owned(), message: message.to_owned() });
        }
        Ok(chain)
    }

    /// Whether all hashes hold, of this run and of those it came from.
    pub fn holds(&self) -> bool {
        self.checks.iter().all(Check::holds) && self.parents.iter().all(Self::holds)
    }

    fn back_from(run: &Path, seen: &mut Vec<PathBuf>) -> Result<Self, RunError> {
        let (directory, config) = RunDirectory::open(run)?;
        let records = records(run)?;
        let mut checks = Vec::new();
        if let Some(last) = records.last() {
            checks.push(Check::new(
                "settings in config.toml".to_owned(),
                &last.settings_sha256,
                Some(settings_sha256(run)?),
            ));
        }
        if directory.model().exists()
            && let Some(last) = records.last()
        {
            // What the file says of itself must be what the run is.
            let found = policy::read(&directory.model())
                .and_then(|(card, _)| identity::check_card(&directory.model(), &card, &config));
            let found = found.map_or_else(|error| Found::Other(error.to_string()), |()| Found::Same);
            let (what, expected) = ("settings in model.safetensors".to_owned(), last.settings_sha256.clone());
            checks.push(Check { what, expected, found });
        }
        let mut parents = Vec::new();
        for input in records.iter().flat_map(|record| &record.inputs) {
            let copy = run.join(&input.file);
            checks.push(Check::new(input.file.clone(), &input.sha256, hash_at(&copy)?));
            let origin = original(run, input)?;
            checks.push(Check::new(origin.0.display().to_string(), &input.sha256, origin.1));
            let parent = origin.0.parent().filter(|parent| RunDirectory::exists(parent));
            if let Some(parent) = parent {
                let known = parent.canonicalize().unwrap_or_else(|_| parent.to_owned());
                if seen.len() < MOST && !seen.contains(&known) {
                    seen.push(known);
                    parents.push(Self::back_from(parent, seen)?);
                }
            }
        }
        let (run, algorithm, env) = (run.to_owned(), config.algorithm, config.env.id);
        Ok(Self { run, algorithm, env, records, checks, parents })
    }
}

/// The file that a run began with a copy of, and its hash: the newest weights of a run may have become its best since.
fn original(run: &Path, input: &Input) -> Result<(PathBuf, Option<String>), RunError> {
    let named = run.join(&input.origin);
    let named = named.canonicalize().map_or(named, |path| shortened(&path));
    let found = hash_at(&named)?;
    if found.as_ref() == Some(&input.sha256) {
        return Ok((named, found));
    }
    if let Some(parent) = named.parent().filter(|parent| RunDirectory::exists(parent)) {
        let directory = RunDirectory::at(parent);
        for other in [directory.model(), directory.best_model()] {
            let hash = hash_at(&other)?;
            if hash.as_ref() == Some(&input.sha256) {
                return Ok((other, hash));
            }
        }
    }
    Ok((named, found))
}

/// A path as seen from the working directory, if it is in there.
fn shortened(path: &Path) -> PathBuf {
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    here.ok().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path).to_owned()
}

/// The hash of a file; none if there is none.
fn hash_at(path: &Path) -> Result<Option<String>, RunError> {
    if !path.is_file() {
        return Ok(None);
    }
    hash::of_file(path).map(|digest| Some(hash::hex(&digest)))
}
