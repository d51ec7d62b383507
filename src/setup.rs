//! What a program is made of: its environments, its algorithms and what observes its runs.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use agon_agents::Algorithms;
use agon_envs::Registry;

#[cfg(unix)]
use crate::config::CALLABLE;
use crate::engine::Engine;
#[cfg(unix)]
use crate::foreign;
use crate::runtime::MakeSources;
use crate::signing::REQUIRE_SIGNATURE;
use crate::sinks::Sink;

/// Makes a sink for each run.
pub type MakeSink = dyn Fn() -> Box<dyn Sink> + Send + Sync;

/// What runs are made of, beside their configurations.
#[derive(Clone)]
pub struct Setup {
    /// The known environments.
    pub registry: Registry,
    /// The known algorithms.
    pub algorithms: Algorithms,
    /// What observes every run beside its log files.
    pub sinks: Vec<Arc<MakeSink>>,
    /// Where jobs are done, if not on this machine's cores.
    pub engine: Option<Arc<dyn Engine>>,
    /// Where the fragments of asynchronous runs come from, if not from shards in this process.
    pub source: Option<Arc<MakeSources>>,
    /// The file of a public key: policies are loaded only if its private key has signed them, see [`crate::signing`]. By default
    /// what the variable `AGON_REQUIRE_SIGNATURE` names. Runs that are resumed are one's own, and need none.
    pub require_signature: Option<PathBuf>,
}

impl Setup {
    /// Has every run observed by a sink of one's own.
    #[must_use]
    pub fn with_sink<S: Sink + 'static>(mut self, make: impl Fn() -> S + Send + Sync + 'static) -> Self {
        self.sinks.push(Arc::new(move || Box::new(make())));
        self
    }
}

impl Default for Setup {
    fn default() -> Self {
        let registry = Registry::builtin();
        #[cfg(unix)]
        let registry = registry
            .with_family(foreign::PREFIX, foreign::spec)
            .with_family(CALLABLE, foreign::callable_spec);
        let key = std::env::var_os(REQUIRE_SIGNATURE).filter(|key| !key.is_empty());
        Self {
            registry,
            algorithms: Algorithms::builtin(),
            sinks: Vec::new(),
            engine: None,
            source: None,
            require_signature: key.map(PathBuf::from),
        }
    }
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup")
            .field("registry", &self.registry)
            .field("algorithms", &self.algorithms)
            .field("sinks", &self.sinks.len())
            .field("engine", &self.engine)
            .field("source", &self.source.is_some())
            .field("require_signature", &self.require_signature)
            .finish()
    }
}
