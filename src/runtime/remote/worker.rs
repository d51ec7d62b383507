//! A worker in another process: it owns shards, and acts in them with the policies that it is sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use agon_agents::codec::{decode, encode};
use agon_agents::{Fragment, FragmentShape, RunInfo};
use agon_envs::EnvSpec;
use agon_nn::InstructionSet;
use serde::{Deserialize, Serialize};

use super::wire::{SentPolicy, pack_fragment};
use crate::RunError;
use crate::acting::{Acting, check_widths};
use crate::config::{self, RunConfig};
use crate::runtime::probe::Probe;
use crate::runtime::shard::{SavedShard, Shard};
use crate::runtime::source::SourceContext;
use crate::setup::Setup;

/// What a worker must know of its run.
#[derive(Serialize, Deserialize)]
pub(super) struct Assignment {
    /// Of this crate: others may mean something else by the same bytes.
    version: String,
    /// The complete configuration as TOML, which can say what every setting may be.
    config: String,
    info: RunInfo,
    shape: FragmentShape,
}

impl Assignment {
    pub(super) fn of(context: &SourceContext<'_>) -> Result<Self, RunError> {
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config: context.config.to_toml()?,
            info: context.info.clone(),
            shape: context.shape.clone(),
        })
    }

    pub(super) fn pack(&self) -> Result<Vec<u8>, RunError> {
        Ok(encode(self)?)
    }
}

/// Acts for a run whose learner is in another process.
pub struct RemoteWorker {
    setup: Setup,
    spec: EnvSpec,
    config: RunConfig,
    info: RunInfo,
    /// The widths of the run's running statistics.
    widths: Vec<usize>,
    shards: BTreeMap<usize, Shard>,
    acting: Option<Arc<Acting>>,
    fragment: Fragment,
}

impl RemoteWorker {
    /// A worker of the run that [`Workers::begin`](super::Workers::begin) was given.
    ///
    /// # Errors
    /// If the run is of another version of this crate, or its environment is not the same here.
    pub fn new(setup: &Setup, assignment: &[u8]) -> Result<Self, RunError> {
        let Assignment { version, config, info, shape } = decode(assignment)?;
        if version != env!("CARGO_PKG_VERSION") {
            let own = env!("CARGO_PKG_VERSION");
            return Err(RunError::Engine(format!(
                "a worker of Agon {own} was given a run of Agon {version}: install the same version on all machines"
            )));
        }
        let table = config.parse().map_err(|error: toml::de::Error| RunError::Config(error.to_string()))?;
        let mut config: RunConfig = config::from_table(table)?;
        config.resolve(&setup.registry, &setup.algorithms)?;
        InstructionSet::select(InstructionSet::detect())?;
        let spec = setup.registry.get(&config.env.id)?.into_owned();
        let mut probe = Probe::new(&spec, &config)?;
        if let Some(made_by) = &config.made_by {
            probe.check_versions(&made_by.env_versions)?;
        }
        let found = probe.run_info(&config);
        if found.spaces != info.spaces {
            let (expected, found) = (&info.spaces, &found.spaces);
            return Err(RunError::Engine(format!(
                "the environment of this machine is another one than the learner's: expected {expected:?}, found {found:?}"
            )));
        }
        let widths = probe.fresh_statistics().iter().map(|moments| moments.mean.len()).collect();
        let (setup, fragment) = (setup.clone(), Fragment::new(&shape));
        Ok(Self { setup, spec, config, info, widths, shards: BTreeMap::new(), acting: None, fragment })
    }

    /// The version of the policy that it acts with; none before the first.
    pub fn version(&self) -> Option<u64> {
        self.acting.as_ref().map(|acting| acting.version)
    }

    /// Acts with a policy from now on.
    ///
    /// # Errors
    /// If it is damaged, or not of this run.
    pub fn take_policy(&mut self, policy: &[u8]) -> Result<(), RunError> {
        let sent = SentPolicy::unpack(policy)?;
        check_widths(&self.widths, &sent.statistics)?;
        let (version, env_steps, statistics) = (sent.version, sent.env_steps, sent.statistics.clone());
        let algorithm = self.setup.algorithms.get(&self.config.algorithm)?;
        let info = self.info.policy_info();
        let policy =
            algorithm.policy(&self.config.agent, self.config.network.as_ref(), &info, &sent.weights()?)?;
        self.acting = Some(Arc::new(Acting { version, ..Acting::of(policy, statistics, env_steps) }));
        Ok(())
    }

    /// A fragment of a shard, as bytes. A shard that the worker does not have begins with the number that it is asked for first:
    /// its environments as the run's do at 0, and otherwise anew.
    ///
    /// # Errors
    /// If there was no policy, there is no such shard, or acting failed.
    pub fn collect(&mut self, shard: usize, number: u64) -> Result<Vec<u8>, RunError> {
        let Some(acting) = &self.acting else {
            return Err(RunError::Engine(
                "a worker was asked for a fragment before it had a policy".to_owned(),
            ));
        };
        let num_shards = self.config.runtime.num_shards;
        if shard >= num_shards {
            return Err(RunError::Engine(format!("expected a shard below {num_shards}, got {shard}")));
        }
        let own = match self.shards.entry(shard) {
            std::collections::btree_map::Entry::Occupied(own) => own.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => {
                let mut begun = Shard::new(shard, &self.spec, &self.config)?;
                if number > 0 {
                    begun.restore(SavedShard::begun_anew(number))?;
                }
                place.insert(begun)
            }
        };
        own.collect(acting, &mut self.fragment)?;
        pack_fragment(&self.fragment)
    }
}
