//! What a run must know of its environment before there are shards: asked of a single one.

use std::collections::{BTreeMap, BTreeSet};

use agon_agents::environment_loop::privileged_row;
use agon_agents::{FragmentShape, Policy, RunInfo};
use agon_envs::wrappers::{Moments, RunningStatistics};
use agon_envs::{EnvSpec, MakeOptions, Origin, Simulator, VectorInfo};

use crate::RunError;
use crate::config::RunConfig;
use crate::memory;
use crate::policy::{EnvSpaces, drawn};

/// One environment of a run.
pub(super) struct Probe {
    /// Wrapped like all of them.
    simulator: Simulator,
    /// What it is without the run's wrappers.
    env_spaces: EnvSpaces,
}

impl Probe {
    pub(super) fn new(spec: &EnvSpec, config: &RunConfig) -> Result<Self, RunError> {
        let options = config.options(1);
        let is_wrapped = !options.wrappers.is_empty() || options.privileged.is_some();
        let inside = drawn(&options.wrappers).to_vec();
        let mut bare = spec.make(&MakeOptions { wrappers: inside, privileged: None, ..options.clone() })?;
        let mut statistics = 0;
        bare.visit_statistics(&mut |_| statistics += 1);
        let env_spaces = EnvSpaces {
            observation: bare.observation_space().clone(),
            action: bare.action_space().clone(),
            mask_len: bare.mask_len(),
            num_agents: bare.num_agents(),
            wrappers: spec.own_wrappers(),
            statistics,
            groups: bare.info().groups.clone(),
        };
        Ok(Self { simulator: if is_wrapped { spec.make(&options)? } else { bare }, env_spaces })
    }

    /// Spaces of the environment without the run's wrappers.
    pub(super) fn env_spaces(&self) -> &EnvSpaces {
        &self.env_spaces
    }

    /// Names of the environment's own metrics.
    pub(super) fn env_metrics(&self) -> &[String] {
        &self.simulator.info().metrics
    }

    /// Bytes that one more environment takes at least.
    pub(super) fn bytes(&mut self) -> u64 {
        memory::of_environment(&mut self.simulator)
    }

    /// Why a run of the environment cannot be resumed exactly; none if it can.
    pub(super) fn inexact(&self) -> Option<String> {
        self.simulator.snapshot_support().err().map(|error| error.to_string())
    }

    /// What the environment is made of, if it is another program's.
    pub(super) fn origin(&self) -> Origin {
        self.simulator.origin().cloned().unwrap_or_default()
    }

    /// Refuses to go on with an environment of other versions than the run began with.
    pub(super) fn check_versions(&self, began_with: &BTreeMap<String, String>) -> Result<(), RunError> {
        let now = self.origin().versions;
        let text = |version: Option<&String>| version.map_or_else(|| "none".to_owned(), Clone::clone);
        let differs = |name: &&String| began_with.get(*name) != now.get(*name);
        let names: BTreeSet<&String> = began_with.keys().chain(now.keys()).filter(differs).collect();
        if began_with.is_empty() || names.is_empty() {
            return Ok(());
        }
        let found = names
            .into_iter()
            .map(|name| format!("{name} {} and not {}", text(began_with.get(name)), text(now.get(name))));
        Err(RunError::Config(format!(
            "the run began in environments of {}: go on with an interpreter (env.python) that has the former",
            found.collect::<Vec<_>>().join(", of ")
        )))
    }

    /// Sizes of the environment, in what is put around it.
    pub(super) fn info(&self) -> &VectorInfo {
        self.simulator.info()
    }

    /// What an algorithm must know of the run.
    pub(super) fn run_info(&self, config: &RunConfig) -> RunInfo {
        config.run_info(&self.simulator)
    }

    /// The moments that the run's statistics begin with, the innermost wrapper's first.
    pub(super) fn fresh_statistics(&mut self) -> Vec<Moments> {
        let mut moments = Vec::new();
        self.simulator.visit_statistics(&mut |statistics| {
            let width = statistics.moments().mean.len();
            moments.push(RunningStatistics::new(width).moments().clone());
        });
        moments
    }

    /// The sizes of a shard's fragments.
    pub(super) fn fragment_shape(
        &self,
        config: &RunConfig,
        num_steps: usize,
        policy: &dyn Policy,
    ) -> FragmentShape {
        let simulator = &self.simulator;
        FragmentShape {
            num_steps,
            num_envs: config.shard_envs(),
            num_agents: simulator.num_agents(),
            observation_len: simulator.observation_len(),
            dtype: simulator.info().dtype(),
            action_spec: simulator.action_spec().clone(),
            policy_data_width: policy.data_width(),
            policy_state_len: policy.state_len(),
            mask_len: simulator.mask_len(),
            num_metrics: simulator.info().metrics.len(),
            num_tasks: simulator.info().tasks.len(),
            privileged: privileged_row(simulator.info()),
        }
    }
}
