//! Which environments there are: versioned ids, and how each is made.
//!
//! A registry is a value, not a global: a program starts from [`Registry::builtin`] and adds its own environments. This
//! module knows no environment; the built-in ones are put together above their families.

mod options;
mod spec;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use options::{MakeOptions, NoArguments, WorkerOptions, Wrap};
pub(crate) use spec::read;
pub use spec::{EnvSpec, Keys};

use crate::{EnvError, Simulator, mixture};

/// The known environments, by id.
#[derive(Clone, Default)]
pub struct Registry {
    specs: BTreeMap<String, EnvSpec>,
    /// By prefix.
    families: BTreeMap<String, Arc<Family>>,
}

/// Makes the environment of an id that begins with a family's prefix.
type Family = dyn Fn(&str) -> EnvSpec + Send + Sync;

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

    /// With environments that nobody can list: those whose id begins with `prefix`, each made by `family` from the whole id.
    /// Whether there is one of an id is known when it is made.
    #[must_use]
    pub fn with_family(
        mut self,
        prefix: &str,
        family: impl Fn(&str) -> EnvSpec + Send + Sync + 'static,
    ) -> Self {
        self.families.insert(prefix.to_owned(), Arc::new(family));
        self
    }

    /// The environment registered under `id`, or of the family that it names; [`mixture::ID`] is one of several of these.
    ///
    /// # Errors
    /// [`EnvError::UnknownId`] with the nearest ids.
    pub fn get(&self, id: &str) -> Result<Cow<'_, EnvSpec>, EnvError> {
        if let Some(spec) = self.specs.get(id) {
            return Ok(Cow::Borrowed(spec));
        }
        if id == mixture::ID {
            return Ok(Cow::Owned(mixture::spec(self.clone())));
        }
        match self.families.iter().find(|(prefix, _)| id.starts_with(prefix.as_str())) {
            Some((_, family)) => Ok(Cow::Owned(family(id))),
            None => Err(EnvError::UnknownId { id: id.to_owned(), nearest: nearest(id, self.specs.keys()) }),
        }
    }

    /// Builds the environment registered under `id`.
    ///
    /// # Errors
    /// As [`Registry::get`] and [`EnvSpec::make`].
    pub fn make(&self, id: &str, options: &MakeOptions) -> Result<Simulator, EnvError> {
        self.get(id)?.make(options)
    }

    /// All environments but those of families, by id.
    pub fn iter(&self) -> impl Iterator<Item = &EnvSpec> {
        self.specs.values()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("specs", &self.specs)
            .field("families", &self.families.keys())
            .finish()
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
