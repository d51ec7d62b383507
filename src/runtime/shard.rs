//! A shard: some environments in one world, and the actor that acts in them.

use agon_agents::policy::{ActInput, ActMode, ActOutput, Actor, Policy};
use agon_agents::{Fragment, FragmentShape, RunInfo, learner};
use agon_envs::random::SeedSequence;
use agon_envs::{ActionBatch, EnvSpec, ObsBuffer, Pcg64, Simulator, StepBatch};
use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::config::RunConfig;

/// Keys of a run's independent random streams; the learner has 0 to 15 to itself.
const ENV_STREAMS: u32 = 16;
const ACTOR_STREAMS: u32 = 17;

/// One shard of a run, owned by one worker at a time.
pub(super) struct Shard {
    pub(super) index: usize,
    simulator: Simulator,
    actor: Actor,
    now: StepBatch,
    actions: ActionBatch,
    policy_data: Vec<f32>,
    /// Fragments made so far.
    fragments: u64,
    /// Environments of the whole run.
    run_envs: usize,
}

/// What is saved of a shard.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SavedShard {
    simulator: Vec<u8>,
    actor_rng: Pcg64,
    observations: ObsBuffer,
    action_masks: Vec<bool>,
    fragments: u64,
}

impl Shard {
    /// Makes the shard's environments and starts an episode in each, from the run's seed.
    pub(super) fn new(index: usize, spec: &EnvSpec, config: &RunConfig) -> Result<Self, RunError> {
        let num_envs = config.shard_envs();
        let mut simulator = spec.make(&config.env.options(num_envs))?;
        let mut now = simulator.new_batch();
        let first = (index * num_envs) as u32;
        let rng = |key: &[u32]| Pcg64::from_sequence(&SeedSequence::with_spawn_key(config.seed, key));
        let rngs = (0..num_envs as u32).map(|row| rng(&[ENV_STREAMS, first + row])).collect();
        simulator.reset_with(rngs, &mut now)?;
        let actions = ActionBatch::zeros(simulator.action_spec(), num_envs);
        let actor = Actor::new(rng(&[ACTOR_STREAMS, index as u32]));
        let run_envs = config.num_envs;
        Ok(Self { index, simulator, actor, now, actions, policy_data: Vec::new(), fragments: 0, run_envs })
    }

    /// What an algorithm must know of the run.
    pub(super) fn run_info(&self, config: &RunConfig) -> RunInfo {
        RunInfo {
            observation_space: self.simulator.observation_space().clone(),
            action_spec: self.simulator.action_spec().clone(),
            mask_len: self.simulator.mask_len(),
            num_envs: config.num_envs,
            num_shards: config.runtime.num_shards,
            total_timesteps: config.total_timesteps,
            seed: config.seed,
        }
    }

    /// The sizes of this shard's fragments.
    pub(super) fn fragment_shape(&self, num_steps: usize, policy: &dyn Policy) -> FragmentShape {
        FragmentShape {
            num_steps,
            num_envs: self.simulator.num_envs(),
            observation_len: self.simulator.observation_len(),
            dtype: self.now.observations.dtype(),
            action_spec: self.simulator.action_spec().clone(),
            policy_data_width: policy.data_width(),
            mask_len: self.simulator.mask_len(),
        }
    }

    /// Acts for one fragment.
    pub(super) fn collect(
        &mut self,
        policy: &dyn Policy,
        version: u64,
        fragment: &mut Fragment,
    ) -> Result<(), RunError> {
        let num_envs = self.simulator.num_envs();
        let num_steps = fragment.shape.num_steps;
        let run_envs = self.run_envs as u64;
        let before = self.fragments * num_steps as u64 * run_envs;
        self.policy_data.resize(num_envs * policy.data_width(), 0.0);
        fragment.shard = self.index;
        fragment.policy_version = version;
        fragment.begin(&self.now);
        for t in 0..num_steps {
            let input = ActInput {
                observations: &self.now.observations,
                num_envs,
                action_masks: &self.now.action_masks,
                env_steps: before + t as u64 * run_envs,
                mode: ActMode::Explore,
            };
            let output = ActOutput { actions: &mut self.actions, policy_data: &mut self.policy_data };
            policy.act(&input, &mut self.actor, output)?;
            self.simulator.step(&self.actions, &mut self.now)?;
            fragment.record(t, &self.actions, &self.policy_data, &self.now);
        }
        self.fragments += 1;
        Ok(())
    }

    /// The shard's whole state.
    pub(super) fn save(&mut self) -> Result<SavedShard, RunError> {
        Ok(SavedShard {
            simulator: self.simulator.snapshot()?,
            actor_rng: self.actor.rng.clone(),
            observations: self.now.observations.clone(),
            action_masks: self.now.action_masks.clone(),
            fragments: self.fragments,
        })
    }

    /// Takes on a saved state.
    pub(super) fn restore(&mut self, saved: SavedShard) -> Result<(), RunError> {
        self.simulator.restore(&saved.simulator)?;
        if saved.observations.len() != self.now.observations.len() {
            return Err(RunError::Config(format!(
                "shard {}: expected {} saved observations, got {}",
                self.index,
                self.now.observations.len(),
                saved.observations.len()
            )));
        }
        self.actor.rng = saved.actor_rng;
        self.now.observations = saved.observations;
        self.now.action_masks = saved.action_masks;
        self.fragments = saved.fragments;
        Ok(())
    }
}

/// A stream of the run for evaluation, which must share nothing with training.
pub(crate) fn evaluation_seed(seed: u64) -> u64 {
    learner::stream(seed, 18)
}
