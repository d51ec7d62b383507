//! A shard: some environments in one world, and the actor that acts in them.

use agon_agents::environment_loop::{EnvironmentLoop, SavedLoop};
use agon_agents::policy::Policy;
use agon_agents::{Fragment, FragmentShape, RunInfo, learner};
use agon_envs::random::SeedSequence;
use agon_envs::wrappers::{Moments, RunningStatistics};
use agon_envs::{EnvSpec, Pcg64, Seed, Simulator};
use serde::{Deserialize, Serialize};

use super::worker::Published;
use crate::RunError;
use crate::config::RunConfig;

/// Keys of a run's independent random streams; the learner has 0 to 15 to itself.
const ENV_STREAMS: u32 = 16;
const ACTOR_STREAMS: u32 = 17;

/// One shard of a run, owned by one worker at a time.
pub(super) struct Shard {
    pub(super) index: usize,
    acting: EnvironmentLoop,
    /// Fragments made so far.
    fragments: u64,
    /// Environments of the whole run.
    run_envs: usize,
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
        let first = (index * num_envs) as u32;
        let seeds: Vec<Seed> =
            (0..num_envs as u32).map(|env| Seed::derived(config.seed, &[ENV_STREAMS, first + env])).collect();
        simulator.reset_with(&seeds, &mut now)?;
        let actor_stream = SeedSequence::with_spawn_key(config.seed, &[ACTOR_STREAMS, index as u32]);
        let acting = EnvironmentLoop::new(simulator, now, Pcg64::from_sequence(&actor_stream));
        Ok(Self { index, acting, fragments: 0, run_envs: config.num_envs })
    }

    /// What an algorithm must know of the run.
    pub(super) fn run_info(&self, config: &RunConfig) -> RunInfo {
        RunInfo {
            spaces: self.acting.spaces(),
            num_envs: self.run_envs,
            num_agents: self.acting.simulator.num_agents(),
            num_shards: config.runtime.num_shards,
            total_timesteps: config.total_timesteps,
            seed: config.seed,
        }
    }

    /// The sizes of this shard's fragments.
    pub(super) fn fragment_shape(&self, num_steps: usize, policy: &dyn Policy) -> FragmentShape {
        self.acting.fragment_shape(num_steps, policy)
    }

    /// Acts for one fragment.
    pub(super) fn collect(&mut self, published: &Published, fragment: &mut Fragment) -> Result<(), RunError> {
        set_statistics(&mut self.acting.simulator, &published.statistics, false);
        let run_envs = self.run_envs as u64;
        let before = self.fragments * fragment.shape.num_steps as u64 * run_envs;
        fragment.shard = self.index;
        fragment.policy_version = published.version;
        self.acting.fill(fragment, &*published.policy, before, run_envs)?;
        self.fragments += 1;
        fragment.news.clear();
        self.acting.simulator.visit_statistics(&mut |statistics| fragment.news.push(statistics.take_news()));
        Ok(())
    }

    /// The moments that the run's statistics begin with, the innermost wrapper's first.
    pub(super) fn fresh_statistics(&mut self) -> Vec<Moments> {
        let mut moments = Vec::new();
        self.acting.simulator.visit_statistics(&mut |statistics| {
            let width = statistics.moments().mean.len();
            moments.push(RunningStatistics::new(width).moments().clone());
        });
        moments
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

/// Has a simulator's running statistics go on from the given moments, frozen for evaluation.
pub(crate) fn set_statistics(simulator: &mut Simulator, moments: &[Moments], frozen: bool) {
    let mut moments = moments.iter();
    simulator.visit_statistics(&mut |statistics| {
        statistics.freeze(frozen);
        if let Some(moments) = moments.next() {
            statistics.set_moments(moments);
        }
    });
}

/// A stream of the run for evaluation, which must share nothing with training.
pub(crate) fn evaluation_seed(seed: u64) -> u64 {
    learner::stream(seed, 18)
}

/// The stream of the evaluation at a step of training. Each one has other episodes, so that the best evaluation is not
/// the one that suits a single set of them.
pub(crate) fn evaluation_seed_at(seed: u64, env_steps: u64) -> u64 {
    SeedSequence::with_spawn_key(seed, &[19, env_steps as u32, (env_steps >> 32) as u32]).seed()
}
