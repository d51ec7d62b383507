//! Which algorithms there are: names, settings, and how learners and policies are built from them.
//!
//! Like the environment registry, a value and not a global: a program adds its own algorithms to
//! [`Algorithms::builtin`].

mod builtin;

use std::collections::BTreeMap;
use std::sync::Arc;

use agon_envs::Space;
use agon_nn::{CustomParts, ModelConfig};
use serde::{Serialize, de::DeserializeOwned};

use crate::algorithm::Algorithm;
use crate::learner::{Learner, PolicyInfo, RunInfo, Spaces};
use crate::{AgentError, Policy, Weights, network};

type Resolve = dyn Fn(&toml::Table) -> Result<toml::Table, AgentError> + Send + Sync;
type Build = dyn Fn(&toml::Table, Option<&ModelConfig>, &RunInfo) -> Result<Box<dyn Learner>, AgentError>
    + Send
    + Sync;
type Settle =
    dyn Fn(&toml::Table, Option<&ModelConfig>, &RunInfo) -> Result<toml::Table, AgentError> + Send + Sync;
type MakePolicy = dyn Fn(&toml::Table, Option<&ModelConfig>, &PolicyInfo, &Weights) -> Result<Arc<dyn Policy>, AgentError>
    + Send
    + Sync;

/// Environments of a run, CleanRL's for classic control.
const NUM_ENVS: usize = 4;

/// One registered algorithm.
#[derive(Clone)]
pub struct AlgorithmSpec {
    name: String,
    summary: String,
    num_envs: usize,
    network: Option<ModelConfig>,
    networks: u64,
    demonstrations: bool,
    hint: Option<&'static str>,
    resolve: Arc<Resolve>,
    settle: Arc<Settle>,
    build: Arc<Build>,
    policy: Arc<MakePolicy>,
    settings_type: Option<&'static str>,
}

impl std::fmt::Debug for AlgorithmSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AlgorithmSpec").field("name", &self.name).finish_non_exhaustive()
    }
}

impl AlgorithmSpec {
    /// An algorithm without networks, whose settings are `C` (use `#[serde(deny_unknown_fields)]`; missing keys come from
    /// `C::default()`) and whose learner `build` makes.
    pub fn new<C, L>(
        name: &str,
        summary: &str,
        build: impl Fn(C, &RunInfo) -> Result<L, AgentError> + Send + Sync + 'static,
    ) -> Self
    where
        C: Default + Serialize + DeserializeOwned + 'static,
        L: Learner + 'static,
    {
        let own_name = name.to_owned();
        Self {
            name: name.to_owned(),
            summary: summary.to_owned(),
            num_envs: NUM_ENVS,
            network: None,
            networks: 0,
            demonstrations: false,
            hint: None,
            resolve: Arc::new(|settings| complete(C::default, settings)),
            settle: Arc::new(|settings, _, _| Ok(settings.clone())),
            build: Arc::new(move |settings, _, info| {
                Ok(Box::new(build(read(C::default, settings)?, info)?) as Box<dyn Learner>)
            }),
            policy: Arc::new(move |_, _, _, _| Err(AgentError::NoNetworks(own_name.clone()))),
            settings_type: short_name::<C>(),
        }
    }

    /// An algorithm with networks, and its settings where none are given.
    pub fn of<A: Algorithm>(name: &str, summary: &str, defaults: fn() -> A::Config) -> Self {
        // Who asks without a network gets the one that the learner would have by default.
        let or_default = |network: Option<&ModelConfig>| network.cloned().unwrap_or_else(A::default_network);
        Self {
            name: name.to_owned(),
            summary: summary.to_owned(),
            num_envs: NUM_ENVS,
            network: Some(A::default_network()),
            networks: 1,
            demonstrations: false,
            hint: None,
            resolve: Arc::new(move |settings| complete(defaults, settings)),
            settle: Arc::new(move |settings, network, info| {
                as_table(&A::settled(read(defaults, settings)?, &or_default(network), info))
            }),
            build: Arc::new(move |settings, network, info| {
                let learner = A::new(read(defaults, settings)?, &or_default(network), info)?;
                Ok(Box::new(learner) as Box<dyn Learner>)
            }),
            policy: Arc::new(move |settings, network, info, weights| {
                A::policy_from(&read(defaults, settings)?, &or_default(network), info, weights)
            }),
            settings_type: short_name::<A::Config>(),
        }
    }

    /// Sets how many environments a run has that does not say; else four.
    #[must_use]
    pub fn with_num_envs(mut self, num_envs: usize) -> Self {
        self.num_envs = num_envs;
        self
    }

    /// Says that a learner acts where it has recorded experience too: what others did is what it learns to do.
    #[must_use]
    pub fn with_demonstrations(mut self) -> Self {
        self.demonstrations = true;
        self
    }

    /// Whether a learner acts where it has recorded experience too.
    pub fn takes_demonstrations(&self) -> bool {
        self.demonstrations
    }

    /// Says what else there is where an environment does not suit the algorithm.
    #[must_use]
    pub fn with_hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// What does not suit the algorithm, under the name that it was asked for by and with what else there is.
    fn named(&self, error: AgentError) -> AgentError {
        match (error, self.hint) {
            (AgentError::Unsupported { expected, found, .. }, Some(hint)) => {
                AgentError::Config(format!("{} needs {expected}, got {found}; {hint}", self.name))
            }
            (error, _) => error,
        }
    }

    /// Sets how many networks of the run's shape a learner has, for an estimate of its memory; else one.
    #[must_use]
    pub fn with_networks(mut self, networks: u64) -> Self {
        self.networks = networks;
        self
    }

    /// Bytes that a learner's networks take at least, before any of them is made; [`u64::MAX`] if they cannot be counted.
    pub fn network_bytes(&self, network: Option<&ModelConfig>, spaces: &Spaces) -> u64 {
        // Of one that learns: values, a gradient and two moments; the copy that acts; what a checkpoint has of values and moments.
        const LEARNED: u64 = 4 * (4 + 1 + 3);
        const FOLLOWING: u64 = 4;
        let Some(network) = network.or(self.network.as_ref()) else { return 0 };
        // What cannot be built says so when it is.
        let size = network::observation("", &spaces.observation)
            .ok()
            .and_then(|observation| network.len(&observation).ok())
            .unwrap_or(0) as u64;
        let Some(others) = self.networks.checked_sub(1) else { return 0 };
        size.saturating_mul(LEARNED + others * FOLLOWING)
    }

    /// Sets the shape of the networks of a run that does not say, for an algorithm that has networks.
    #[must_use]
    pub fn with_network(mut self, network: ModelConfig) -> Self {
        self.network = Some(network);
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

    /// The name of the type of its settings, by which their doc comments are found.
    pub fn settings_type(&self) -> Option<&str> {
        self.settings_type
    }

    /// One sentence for listings.
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// The shape of the networks of a run that does not say; none if the algorithm has no networks.
    pub fn default_network(&self) -> Option<ModelConfig> {
        self.network.clone()
    }

    /// All settings: the given ones and the defaults of the others.
    ///
    /// # Errors
    /// [`AgentError::Config`] for an unknown key or a wrong type.
    pub fn resolve(&self, settings: &toml::Table) -> Result<toml::Table, AgentError> {
        (self.resolve)(settings)
    }

    /// All settings of a run, with those numbers filled in that are left to the algorithm and decide results.
    ///
    /// # Errors
    /// [`AgentError::Config`] for an unknown key or a wrong type.
    pub fn settle(
        &self,
        settings: &toml::Table,
        network: Option<&ModelConfig>,
        info: &RunInfo,
    ) -> Result<toml::Table, AgentError> {
        (self.settle)(settings, network.or(self.network.as_ref()), info)
    }

    /// The shape of the networks: the given settings laid over the default's.
    ///
    /// # Errors
    /// [`AgentError::Config`] with the whole path of an unknown key or a wrong type, and [`AgentError::NoNetworks`] if there
    /// are settings for networks that the algorithm does not have.
    pub fn resolve_network(&self, settings: &toml::Table) -> Result<Option<ModelConfig>, AgentError> {
        match &self.network {
            Some(network) => read_over("network", network, settings).map(Some),
            None if settings.is_empty() => Ok(None),
            None => Err(AgentError::NoNetworks(self.name.clone())),
        }
    }

    /// The shape of networks with an encoder that suits the observations, if it has linear layers.
    ///
    /// # Errors
    /// [`AgentError::Unsupported`] if no network reads such observations.
    pub fn fit_network(&self, network: &ModelConfig, space: &Space) -> Result<ModelConfig, AgentError> {
        let observation = crate::network::observation("a network", space)?;
        Ok(ModelConfig { encoder: network.encoder.fitting(&observation), ..network.clone() })
    }

    /// Builds the learner, with networks of the default shape if none is given.
    ///
    /// # Errors
    /// If a setting is unknown, of the wrong type or out of range, or the environment does not suit the algorithm.
    pub fn build(
        &self,
        settings: &toml::Table,
        network: Option<&ModelConfig>,
        info: &RunInfo,
    ) -> Result<Box<dyn Learner>, AgentError> {
        (self.build)(settings, network.or(self.network.as_ref()), info)
            .map_err(|error| self.named(error.with_path()))
    }

    /// The policy that a learner with these weights publishes, without the learner: no optimizer, replay or shards.
    ///
    /// # Errors
    /// As [`Self::build`], [`AgentError::Weights`] if the weights are of other networks, and [`AgentError::NoNetworks`] if
    /// the algorithm has none.
    pub fn policy(
        &self,
        settings: &toml::Table,
        network: Option<&ModelConfig>,
        info: &PolicyInfo,
        weights: &Weights,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        (self.policy)(settings, network.or(self.network.as_ref()), info, weights)
            .map_err(AgentError::with_path)
    }
}

/// The last part of a type's path.
fn short_name<T>() -> Option<&'static str> {
    std::any::type_name::<T>().rsplit("::").next()
}

/// Reads an algorithm's settings laid over the defaults.
fn read<C: Serialize + DeserializeOwned>(
    defaults: fn() -> C,
    settings: &toml::Table,
) -> Result<C, AgentError> {
    read_over("agent", &defaults(), settings)
}

/// All of an algorithm's settings as a table.
fn complete<C: Serialize + DeserializeOwned>(
    defaults: fn() -> C,
    settings: &toml::Table,
) -> Result<toml::Table, AgentError> {
    as_table(&read(defaults, settings)?)
}

fn as_table(config: &impl Serialize) -> Result<toml::Table, AgentError> {
    toml::Table::try_from(config).map_err(|error| AgentError::Config(error.to_string()))
}

/// The path of what is wrong, where it is known to be inside a table that has a `kind`, the one setting without which the table
/// can be read; or in one of a single setting, which the kind of a table may be too.
fn within_kind<C: DeserializeOwned>(mut path: String, table: &toml::Table) -> String {
    fn at<'a>(table: &'a mut toml::Table, path: &str) -> Option<&'a mut toml::Table> {
        path.split('.').try_fold(table, |table, key| table.get_mut(key)?.as_table_mut())
    }
    let keys_at = |path: &str| -> Vec<String> {
        at(&mut table.clone(), path).map_or(Vec::new(), |inner| inner.keys().cloned().collect())
    };
    for key in keys_at(&path).into_iter().filter(|key| key != KIND) {
        let mut without = table.clone();
        at(&mut without, &path).and_then(|inner| inner.remove(&key));
        if C::deserialize(without).is_ok() {
            path = format!("{path}.{key}");
            break;
        }
    }
    while let [key] = &keys_at(&path)[..] {
        path = format!("{path}.{key}");
    }
    path
}

/// Reads settings laid over other ones, so that a nested table may name some of its keys only. Errors begin with what
/// the settings are of.
fn read_over<C: Serialize + DeserializeOwned>(
    of: &str,
    defaults: &C,
    settings: &toml::Table,
) -> Result<C, AgentError> {
    let mut table = toml::Table::try_from(defaults).map_err(|error| AgentError::Config(error.to_string()))?;
    merge(&mut table, settings.clone());
    serde_path_to_error::deserialize(table.clone()).map_err(|error| {
        let path = within_kind::<C>(error.path().to_string(), &table);
        let message = error.inner().to_string();
        // What follows the first line repeats the path, and "tagged enum" is the code's own word.
        let message = message.lines().next().unwrap_or_default();
        let message = match message.split_once(", expected internally tagged enum") {
            Some((found, _)) => format!("{found}, expected a table with `kind`"),
            None => message.to_owned(),
        };
        // Unknown keys are reported at their table, named in the message.
        AgentError::Config(match path.as_str() {
            "." => format!("{of}: {message}"),
            path => format!("{of}.{path}: {message}"),
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
    parts: CustomParts,
}

impl Algorithms {
    /// No algorithms.
    pub fn empty() -> Self {
        Self::default()
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

    /// The parts of networks that a program brings beside the built-in ones.
    pub fn parts(&self) -> &CustomParts {
        &self.parts
    }

    /// The parts of networks, to register one's own: `network.encoder = { kind = "custom", part = NAME }` names them.
    pub fn parts_mut(&mut self) -> &mut CustomParts {
        &mut self.parts
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

#[cfg(test)]
mod tests;
