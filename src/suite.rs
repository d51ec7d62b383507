//! The suite: the evidence that algorithms learn what is published, and how fast.
//!
//! A suite file lists entries; the directory it lies in gets everything else:
//!
//! | path | content |
//! |---|---|
//! | `suite/<entry>/seed_<n>/` | the raw runs, which need not be kept |
//! | `reference/<entry>/config.toml` | the complete configuration of the first seed |
//! | `reference/<entry>/scores.csv` | one row a seed: score, seconds, steps a second, machine |
//! | `reference/<entry>/curve.csv` | the learning curve, at most 400 points a seed |
//! | `reference/<entry>/curve.svg` | its picture |
//! | `reference/group_<group>.svg` | the curves of a group's entries together |
//! | `README.md` | the table, between two markers |
//!
//! An entry whose reference has the wanted settings, seeds and measure is done. Of the others whatever is missing is
//! trained, so asking for a suite again goes on where a kill left it.

mod file;
mod reference;
mod report;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

pub use file::{Entry, Measured, Side, SuiteFile, Wanted};
pub use reference::{Reference, SeedScore};

use crate::jobs::{self, Ended, Job};
use crate::run::Failure;
use crate::setup::Setup;
use crate::sinks::Sink;
use crate::{RunError, bench};

/// A suite: its file and the directory around it.
#[derive(Clone, Debug, PartialEq)]
pub struct Suite {
    /// What the file says.
    pub file: SuiteFile,
    /// The path of the file, as it was given.
    name: String,
    directory: PathBuf,
}

/// An entry and whether its reference is what the file asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing<'a> {
    /// The entry.
    pub entry: &'a Entry,
    /// What is recorded of it.
    pub reference: Option<Reference>,
    /// Whether that is of the wanted settings, seeds and measure.
    pub is_current: bool,
}

impl Suite {
    /// Reads and checks a suite file.
    ///
    /// # Errors
    /// Naming the file, the entry, what is allowed and what was found.
    pub fn load(setup: &Setup, path: &Path) -> Result<Self, RunError> {
        let file = SuiteFile::load(setup, path)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let name = path.display().to_string();
        Ok(Self { file, name, directory: parent.unwrap_or(Path::new(".")).to_owned() })
    }

    /// Where an entry's evidence is.
    pub fn reference_path(&self, entry: &Entry) -> PathBuf {
        self.directory.join("reference").join(&entry.name)
    }

    /// Where an entry's raw runs are.
    pub fn runs_path(&self, entry: &Entry) -> PathBuf {
        self.directory.join("suite").join(&entry.name)
    }

    /// The document that has the table.
    pub fn document(&self) -> PathBuf {
        self.directory.join("README.md")
    }

    /// How every entry stands, in the order of the file.
    ///
    /// # Errors
    /// If what is recorded of one cannot be read.
    pub fn standings(&self, setup: &Setup) -> Result<Vec<Standing<'_>>, RunError> {
        let standing = |entry| {
            let reference = Reference::load(&self.reference_path(entry))?;
            let wanted = entry.config(setup)?;
            let is_current =
                reference.as_ref().is_some_and(|reference| reference.is_of(setup, entry, &wanted));
            Ok(Standing { entry, reference, is_current })
        };
        self.file.entries.iter().map(standing).collect()
    }

    /// How many runs the entries of some names that are not done have, and how many environment steps in all.
    ///
    /// # Errors
    /// If what is recorded cannot be read, or settings are broken.
    pub fn plan(&self, setup: &Setup, only: Option<&str>) -> Result<(usize, u64), RunError> {
        let (mut runs, mut env_steps) = (0, 0_u64);
        for standing in self.standings(setup)? {
            let entry = standing.entry;
            if standing.is_current || !file::matches(only, &entry.name) {
                continue;
            }
            for seed in 1..=entry.seeds {
                runs += 1;
                env_steps = env_steps.saturating_add(entry.config_of(setup, seed)?.total_timesteps);
            }
        }
        Ok((runs, env_steps))
    }

    /// Trains and measures the entries of some names that are not done. Gives the runs that failed, by name, or none if it was
    /// told to stop. An entry with such a run stays undone.
    ///
    /// Entries that are measured for speed run alone, one seed after the other, on all cores; the seeds of all others
    /// share the cores. Those of an engine share its cluster; entries that are measured for speed stay on this machine.
    ///
    /// # Errors
    /// If no entry has such a name, or the first error that is not of one run alone.
    pub fn run<'a>(
        &self,
        setup: &Setup,
        only: Option<&str>,
        cores: usize,
        observe: &(dyn Fn(&Job) -> Box<dyn Sink + 'a> + Sync),
    ) -> Result<Option<Vec<(String, Failure)>>, RunError> {
        let standings = self.standings(setup)?;
        let chosen: Vec<&Standing<'_>> =
            standings.iter().filter(|s| file::matches(only, &s.entry.name)).collect();
        if chosen.is_empty() {
            let names: Vec<&str> = self.file.entries.iter().map(|entry| entry.name.as_str()).collect();
            return Err(RunError::Config(format!(
                "--only {} fits no entry, expected one of {}",
                only.unwrap_or("*"),
                names.join(", ")
            )));
        }
        let missing: Vec<&Entry> = chosen.iter().filter(|s| !s.is_current).map(|s| s.entry).collect();
        let (alone, shared): (Vec<&Entry>, Vec<&Entry>) =
            missing.into_iter().partition(|entry| entry.run == Side::Alone);
        let Some(mut failed) = self.train(setup, &shared, cores, cores, observe)? else { return Ok(None) };
        let here = Setup { engine: None, ..setup.clone() };
        for entry in alone {
            let Some(more) = self.train(&here, &[entry], cores, 1, observe)? else { return Ok(None) };
            failed.extend(more);
        }
        Ok(Some(failed))
    }

    /// Trains the seeds of entries and records each entry as soon as its last one ends. Gives those that failed; none if told
    /// to stop.
    fn train<'a>(
        &self,
        setup: &Setup,
        entries: &[&Entry],
        cores: usize,
        at_once: usize,
        observe: &(dyn Fn(&Job) -> Box<dyn Sink + 'a> + Sync),
    ) -> Result<Option<Vec<(String, Failure)>>, RunError> {
        let mut jobs = Vec::new();
        let mut entry_of = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            for seed in 1..=entry.seeds {
                let name = format!("{} seed {seed}", entry.name);
                let path = self.runs_path(entry).join(format!("seed_{seed}"));
                jobs.push(Job { name, config: entry.config_of(setup, seed)?, path, until: u64::MAX });
                entry_of.push(index);
            }
        }
        let left: Mutex<Vec<u64>> = Mutex::new(entries.iter().map(|entry| entry.seeds).collect());
        let places = setup.engine.as_ref().map_or(at_once, |engine| engine.places());
        let together = places.clamp(1, jobs.len().max(1));
        let done = |index: usize| {
            let index = entry_of[index];
            let is_last = {
                let mut left = jobs::lock(&left);
                left[index] -= 1;
                left[index] == 0
            };
            if is_last { self.record(setup, entries[index], together) } else { Ok(()) }
        };
        let ended = jobs::work_all_then(setup, &jobs, cores, at_once, observe, &done)?;
        if !ended.iter().all(Ended::is_settled) {
            return Ok(None);
        }
        let failed = jobs.into_iter().zip(ended).filter_map(|(job, ended)| match ended {
            Ended::Failed(failure) => Some((job.name, failure)),
            _ => None,
        });
        Ok(Some(failed.collect()))
    }

    /// Measures an entry's finished runs and writes its reference.
    fn record(&self, setup: &Setup, entry: &Entry, together: usize) -> Result<(), RunError> {
        let runs: Vec<PathBuf> =
            (1..=entry.seeds).map(|seed| self.runs_path(entry).join(format!("seed_{seed}"))).collect();
        let machine = setup.engine.as_ref().map_or_else(bench::machine, |engine| engine.describe());
        let reference = Reference::measure(setup, entry, &runs, together, &machine)?;
        reference.write(&self.reference_path(entry))
    }

    /// Draws every plot and writes the table, from what is recorded.
    ///
    /// # Errors
    /// If a file cannot be read or written, or the document has no markers.
    pub fn report(&self, setup: &Setup) -> Result<(), RunError> {
        let standings = self.standings(setup)?;
        report::draw(self, &standings)?;
        report::write_table(self, &standings)
    }
}

#[cfg(test)]
mod tests;
