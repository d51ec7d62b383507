//! Which environments there are: versioned ids, and how each is made.
//!
//! A registry is a value, not a global: a program starts from [`Registry::builtin`] and adds its own environments. This
//! module knows no environment; the built-in ones are put together above their families.

mod options;
mod spec;

use std::collections::BTreeMap;

pub use options::{MakeOptions, NoArguments, Wrap};
pub use spec::{EnvSpec, Keys};

use crate::{EnvError, Simulator};

/// The known environments, by id.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    specs: BTreeMap<String, EnvSpec>,
}

impl Registry {
    /// A registry without environments.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Adds an environment.
    ///
    /// # Errors
    /// If the id does not read `Name-vN` or is taken.
    pub fn register(&mut self, spec: EnvSpec) -> Result<(), EnvError> {
        let id = spec.id().to_owned();
        if !is_versioned(&id) {
            return Err(EnvError::MalformedId(id));
        }
        if self.specs.contains_key(&id) {
            return Err(EnvError::DuplicateId(id));
        }
        self.specs.insert(id, spec);
        Ok(())
    }

    /// The environment registered under `id`.
    ///
    /// # Errors
    /// [`EnvError::UnknownId`] with the nearest ids.
    pub fn get(&self, id: &str) -> Result<&EnvSpec, EnvError> {
        self.specs
            .get(id)
            .ok_or_else(|| EnvError::UnknownId { id: id.to_owned(), nearest: nearest(id, self.specs.keys()) })
    }

    /// Builds the environment registered under `id`.
    ///
    /// # Errors
    /// As [`Registry::get`] and [`EnvSpec::make`].
    pub fn make(&self, id: &str, options: &MakeOptions) -> Result<Simulator, EnvError> {
        self.get(id)?.make(options)
    }

    /// All environments, by id.
    pub fn iter(&self) -> impl Iterator<Item = &EnvSpec> {
        self.specs.values()
    }
}

fn is_versioned(id: &str) -> bool {
    let Some((name, version)) = id.rsplit_once("-v") else { return false };
    let named = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-/".contains(c)) && !name.is_empty();
    named && !version.is_empty() && version.chars().all(|c| c.is_ascii_digit())
}

/// The up to three names nearest to `id`, best first; none if nothing is near.
fn nearest<'a>(id: &str, names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let lower = id.to_lowercase();
    let mut scored: Vec<(f64, &String)> =
        names.map(|name| (strsim::jaro_winkler(&lower, &name.to_lowercase()), name)).collect();
    scored.retain(|(score, _)| *score > 0.75);
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(3).map(|(_, name)| name.clone()).collect()
}
