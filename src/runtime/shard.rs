//! A shard: some environments in one world, and the actor that acts in them.

use agon_agents::Fragment;
use agon_agents::environment_loop::{EnvironmentLoop, SavedLoop};
use agon_envs::{EnvSpec, Pcg64, Seed};
use serde::{Deserialize, Serialize};

use crate::acting::{Acting, set_statistics};
use crate::config::RunConfig;
use crate::{RunError, streams};

/// One shard of a run, owned by one worker at a time.
pub(super) struct Shard {
    pub(super) index: usize,
    acting: EnvironmentLoop,
    /// Fragments made so far.
    fragments: u64,
    /// Acting rows of the whole run.
    run_rows: usize,
}

/// What is saved of a shard.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SavedShard {
    acting: SavedLoop,
    fragments: u64,
}

impl Shard {
    /// Makes the shard's environments and starts an episode in each, from the run's seed.
    pub(super) fn new(index: usize, spec: &EnvSpec, config: &RunConfig) -> Result<Self, RunError> {
        let num_envs = config.shard_envs();
        let mut simulator = spec.make(&config.env.options(num_envs))?;
        let mut now = simulator.new_batch();
        let envs = index * num_envs..(index + 1) * num_envs;
        let seeds: Vec<Seed> = envs.map(|env| streams::environment(config.seed, env)).collect();
        simulator.reset_with(&seeds, &mut now)?;
        let actor_stream = streams::actor(config.seed, index);
        let run_rows = config.num_envs * simulator.num_agents();
        let acting = EnvironmentLoop::new(simulator, now, Pcg64::from_sequence(&actor_stream));
        Ok(Self { index, acting, fragments: 0, run_rows })
    }

    /// Acts for one fragment.
    pub(super) fn collect(&mut self, acting: &Acting, fragment: &mut Fragment) -> Result<(), RunError> {
        set_statistics(&mut self.acting.simulator, &acting.statistics, false);
        let run_rows = self.run_rows as u64;
        let before = self.fragments * fragment.shape.num_steps as u64 * run_rows;
        fragment.shard = self.index;
        fragment.policy_version = acting.version;
        self.acting.fill(fragment, &*acting.policy, before, run_rows)?;
        self.fragments += 1;
        fragment.news.clear();
        self.acting.simulator.visit_statistics(&mut |statistics| fragment.news.push(statistics.take_news()));
        Ok(())
    }

    /// The shard's whole state.
    pub(super) fn save(&mut self) -> Result<SavedShard, RunError> {
        Ok(SavedShard { acting: self.acting.save()?, fragments: self.fragments })
    }

    /// Takes on a saved state.
    pub(super) fn restore(&mut self, saved: SavedShard) -> Result<(), RunError> {
        self.acting.restore(saved.acting)?;
        self.fragments = saved.fragments;
        Ok(())
    }
}
