//! Which algorithms there are: names, settings and how a learner is built from them.
//!
//! Like the environment registry, a value and not a global: a program adds its own algorithms to
//! [`Algorithms::builtin`].

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};

use crate::AgentError;
use crate::a2c::{A2c, A2cConfig};
use crate::bootstrapped_dqn::{BootstrappedDqn, BootstrappedDqnConfig};
use crate::dqn::{Dqn, DqnConfig};
use crate::impala::{Impala, ImpalaConfig};
use crate::learner::{Learner, RunInfo};
use crate::ppo::{Ppo, PpoConfig};
use crate::pqn::{Pqn, PqnConfig};
use crate::r2d2::{R2d2, R2d2Config};
use crate::sac::{Sac, SacConfig};
use crate::td3::{Td3, Td3Config};

type Resolve = dyn Fn(&toml::Table) -> Result<toml::Table, AgentError> + Send + Sync;
type Build = dyn Fn(&toml::Table, &RunInfo) -> Result<Box<dyn Learner>, AgentError> + Send + Sync;

/// Environments of a run, CleanRL's for classic control.
const NUM_ENVS: usize = 4;

/// One registered algorithm.
#[derive(Clone)]
pub struct AlgorithmSpec {
    name: String,
    summary: String,
    num_envs: usize,
    resolve: Arc<Resolve>,
    build: Arc<Build>,
}

impl std::fmt::Debug for AlgorithmSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AlgorithmSpec").field("name", &self.name).finish_non_exhaustive()
    }
}

impl AlgorithmSpec {
    /// An algorithm whose settings are `C` (use `#[serde(deny_unknown_fields)]`; missing keys
    /// come from `C::default()`) and whose learner `build` makes.
    pub fn new<C, L>(
        name: &str,
        summary: &str,
        build: impl Fn(C, &RunInfo) -> Result<L, AgentError> + Send + Sync + 'static,
    ) -> Self
    where
        C: Default + Serialize + DeserializeOwned + 'static,
        L: Learner + 'static,
    {
        Self::with_defaults(name, summary, C::default, build)
    }

    /// As [`Self::new`], with other settings where none are given.
    pub fn with_defaults<C, L>(
        name: &str,
        summary: &str,
        defaults: fn() -> C,
        build: impl Fn(C, &RunInfo) -> Result<L, AgentError> + Send + Sync + 'static,
    ) -> Self
    where
        C: Serialize + DeserializeOwned + 'static,
        L: Learner + 'static,
    {
        let resolve = move |settings: &toml::Table| {
            let config = read(defaults, settings)?;
            toml::Table::try_from(&config).map_err(|error| AgentError::Config(error.to_string()))
        };
        let build = move |settings: &toml::Table, info: &RunInfo| {
            Ok(Box::new(build(read(defaults, settings)?, info)?) as Box<dyn Learner>)
        };
        Self {
            name: name.to_owned(),
            summary: summary.to_owned(),
            num_envs: NUM_ENVS,
            resolve: Arc::new(resolve),
            build: Arc::new(build),
        }
    }

    /// Sets how many environments a run has that does not say; else four.
    #[must_use]
    pub fn with_num_envs(mut self, num_envs: usize) -> Self {
        self.num_envs = num_envs;
        self
    }

    /// How many environments a run has that does not say.
    pub fn num_envs(&self) -> usize {
        self.num_envs
    }

    /// The name, as given on the command line.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One sentence for listings.
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// All settings: the given ones and the defaults of the others.
    ///
    /// # Errors
    /// [`AgentError::Config`] for an unknown key or a wrong type.
    pub fn resolve(&self, settings: &toml::Table) -> Result<toml::Table, AgentError> {
        (self.resolve)(settings)
    }

    /// Builds the learner.
    ///
    /// # Errors
    /// If a setting is unknown, of the wrong type or out of range, or the environment does not suit the algorithm.
    pub fn build(&self, settings: &toml::Table, info: &RunInfo) -> Result<Box<dyn Learner>, AgentError> {
        (self.build)(settings, info)
    }
}

/// Reads settings laid over the defaults, so that a nested table may name some of its keys only.
fn read<C: Serialize + DeserializeOwned>(
    defaults: fn() -> C,
    settings: &toml::Table,
) -> Result<C, AgentError> {
    let mut table =
        toml::Table::try_from(defaults()).map_err(|error| AgentError::Config(error.to_string()))?;
    merge(&mut table, settings.clone());
    serde_path_to_error::deserialize(table).map_err(|error| {
        let path = error.path().to_string();
        let message = error.inner().to_string();
        let message = message.trim_end();
        // Unknown keys are reported at their table, named in the message.
        AgentError::Config(match path.as_str() {
            "." => format!("agent: {message}"),
            path if path.starts_with("network") => format!("{path}: {message}"),
            path => format!("agent.{path}: {message}"),
        })
    })
}

/// The key that says which variant the other settings of its table belong to.
pub const KIND: &str = "kind";

/// Lays `over` onto `base`, table by table; a table of another `kind` replaces the one before.
pub fn merge(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(over)) => {
                if let (Some(before), Some(kind)) = (base.get(KIND), over.get(KIND))
                    && before != kind
                {
                    base.clear();
                }
                merge(base, over);
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// The known algorithms, by name.
#[derive(Clone, Debug, Default)]
pub struct Algorithms {
    specs: BTreeMap<String, AlgorithmSpec>,
}

impl Algorithms {
    /// No algorithms.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The built-in algorithms.
    ///
    /// # Panics
    /// Never: the names are distinct, which a test shows.
    #[expect(clippy::expect_used, reason = "constant names, tested")]
    pub fn builtin() -> Self {
        let mut algorithms = Self::empty();
        let ppo = AlgorithmSpec::new(
            "ppo",
            "Proximal policy optimisation with clipping (on-policy).",
            |config: PpoConfig, info: &RunInfo| Ppo::new(config, info),
        );
        let a2c = AlgorithmSpec::new(
            "a2c",
            "Synchronous advantage actor-critic (on-policy).",
            |config: A2cConfig, info: &RunInfo| A2c::new(config, info),
        );
        let impala = AlgorithmSpec::new(
            "impala",
            "Actor-critic with V-trace, for asynchronous acting.",
            |config: ImpalaConfig, info: &RunInfo| Impala::new(config, info),
        );
        let appo = AlgorithmSpec::with_defaults(
            "appo",
            "PPO's clipped objective with V-trace, for asynchronous acting.",
            ImpalaConfig::appo,
            |config: ImpalaConfig, info: &RunInfo| Impala::new(config, info),
        );
        let dqn = AlgorithmSpec::new(
            "dqn",
            "Deep Q-learning with a replay buffer and a target network (off-policy).",
            |config: DqnConfig, info: &RunInfo| Dqn::new(config, info),
        );
        let sac = AlgorithmSpec::new(
            "sac",
            "Soft actor-critic with a learned temperature, continuous or discrete (off-policy).",
            |config: SacConfig, info: &RunInfo| Sac::new(config, info),
        );
        let td3 = AlgorithmSpec::new(
            "td3",
            "Twin delayed deterministic policy gradient, continuous (off-policy).",
            |config: Td3Config, info: &RunInfo| Td3::new(config, info),
        );
        let variant = |name, summary, defaults| {
            let build = |config: DqnConfig, info: &RunInfo| Dqn::new(config, info);
            AlgorithmSpec::with_defaults(name, summary, defaults, build)
        };
        let c51 = variant("c51", "DQN with a categorical distribution of returns.", DqnConfig::c51);
        let qr_dqn = variant("qr-dqn", "DQN with quantiles of returns.", DqnConfig::qr_dqn);
        let iqn = variant("iqn", "DQN with implicit quantiles of returns.", DqnConfig::iqn);
        let rainbow = variant(
            "rainbow",
            "DQN with double Q-learning, dueling, n steps, priorities, C51 and noisy layers.",
            DqnConfig::rainbow,
        );
        let pqn = AlgorithmSpec::new(
            "pqn",
            "Parallel Q-learning with λ-returns, without replay and target network.",
            |config: PqnConfig, info: &RunInfo| Pqn::new(config, info),
        );
        let bootstrapped_dqn = AlgorithmSpec::new(
            "bootstrapped-dqn",
            "An ensemble of Q networks with random priors, for deep exploration.",
            |config: BootstrappedDqnConfig, info: &RunInfo| BootstrappedDqn::new(config, info),
        );
        let r2d2 = AlgorithmSpec::new(
            "r2d2",
            "Recurrent Q-learning from replayed sequences, for environments that must be remembered.",
            |config: R2d2Config, info: &RunInfo| R2d2::new(config, info),
        );
        for spec in [a2c, appo, impala, ppo, pqn, r2d2] {
            algorithms.register(spec).expect("built-in names are distinct");
        }
        // Those that learn after a few steps of one environment, as in their papers.
        for spec in [bootstrapped_dqn, c51, dqn, iqn, qr_dqn, rainbow, sac, td3] {
            algorithms.register(spec.with_num_envs(1)).expect("built-in names are distinct");
        }
        algorithms
    }

    /// Adds an algorithm.
    ///
    /// # Errors
    /// [`AgentError::DuplicateAlgorithm`] if the name is taken.
    pub fn register(&mut self, spec: AlgorithmSpec) -> Result<(), AgentError> {
        if self.specs.contains_key(&spec.name) {
            return Err(AgentError::DuplicateAlgorithm(spec.name));
        }
        self.specs.insert(spec.name.clone(), spec);
        Ok(())
    }

    /// The algorithm of a name.
    ///
    /// # Errors
    /// [`AgentError::UnknownAlgorithm`] with the known ones.
    pub fn get(&self, name: &str) -> Result<&AlgorithmSpec, AgentError> {
        self.specs.get(name).ok_or_else(|| AgentError::UnknownAlgorithm {
            name: name.to_owned(),
            known: self.specs.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }

    /// All algorithms, by name.
    pub fn iter(&self) -> impl Iterator<Item = &AlgorithmSpec> {
        self.specs.values()
    }
}
