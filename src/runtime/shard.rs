//! A shard: some environments stepped together, and the actor that acts in them.

use std::ops::Range;

use agon_agents::environment_loop::{EnvironmentLoop, SavedLoop};
use agon_agents::rivals::Rivals;
use agon_agents::{AgentError, Fragment};
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
    /// The run's seed.
    seed: u64,
    /// Its environments among those of the run.
    envs: Range<usize>,
    /// Environments of the whole run.
    run_envs: usize,
    /// Share of episodes against a past self.
    league_share: f64,
}

/// What is saved of a shard.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SavedShard {
    /// Nothing if the environments cannot be saved: then they begin anew.
    acting: Option<SavedLoop>,
    fragments: u64,
}

impl SavedShard {
    /// Of a shard that has made so many fragments, and whose environments begin anew.
    pub(super) fn begun_anew(fragments: u64) -> Self {
        Self { acting: None, fragments }
    }

    /// Fragments made.
    pub(super) fn fragments(&self) -> u64 {
        self.fragments
    }
}

impl Shard {
    /// Makes the shard's environments and starts an episode in each, from the run's seed.
    pub(super) fn new(index: usize, spec: &EnvSpec, config: &RunConfig) -> Result<Self, RunError> {
        let num_envs = config.shard_envs();
        let mut simulator = spec.make(&config.options(num_envs))?;
        let mut now = simulator.new_batch();
        let envs = index * num_envs..(index + 1) * num_envs;
        let seeds: Vec<Seed> = envs.clone().map(|env| streams::environment(config.seed, env)).collect();
        let first = envs.start * simulator.num_agents();
        simulator.reset_with(&seeds, &mut now).map_err(|error| error.offset(first))?;
        let rng = Pcg64::from_sequence(&streams::actor(config.seed, index));
        let acting = EnvironmentLoop::new(simulator, now, rng);
        Ok(Self {
            index,
            acting,
            fragments: 0,
            seed: config.seed,
            envs,
            run_envs: config.num_envs,
            league_share: config.league.share,
        })
    }

    /// Acts for one fragment.
    pub(super) fn collect(&mut self, acting: &Acting, fragment: &mut Fragment) -> Result<(), RunError> {
        set_statistics(&mut self.acting.simulator, &acting.statistics, false);
        let run_envs = self.run_envs as u64;
        let before = self.fragments * fragment.shape.num_steps as u64 * run_envs;
        fragment.shard = self.index;
        fragment.policy_version = acting.version;
        let first = self.index * self.acting.simulator.num_rows();
        let rivals = Rivals { past: &acting.past, share: self.league_share };
        self.acting.fill_against(&rivals, fragment, &*acting.policy, before, run_envs).map_err(|error| {
            match error {
                AgentError::Environment(error) => AgentError::Environment(error.offset(first)),
                other => other,
            }
        })?;
        self.fragments += 1;
        fragment.news.clear();
        self.acting.simulator.visit_statistics(&mut |statistics| fragment.news.push(statistics.take_news()));
        Ok(())
    }

    /// The shard's whole state.
    pub(super) fn save(&mut self) -> Result<SavedShard, RunError> {
        let can_be_saved = self.acting.simulator.snapshot_support().is_ok();
        let acting = can_be_saved.then(|| self.acting.save()).transpose()?;
        Ok(SavedShard { acting, fragments: self.fragments })
    }

    /// Takes on a saved state.
    pub(super) fn restore(&mut self, saved: SavedShard) -> Result<(), RunError> {
        self.fragments = saved.fragments;
        match saved.acting {
            Some(acting) => self.acting.restore(acting)?,
            None => {
                let seed = |env| streams::environment_begun_anew(self.seed, env, saved.fragments);
                let seeds: Vec<Seed> = self.envs.clone().map(seed).collect();
                let rng = streams::actor_begun_anew(self.seed, self.index, saved.fragments);
                self.acting.begin_anew(&seeds, Pcg64::from_sequence(&rng))?;
            }
        }
        Ok(())
    }
}
