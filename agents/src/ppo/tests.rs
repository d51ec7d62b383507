//! Tests of PPO by subject, and what they share.

mod bonus;
mod learning;
mod loss;
mod parity;
mod settings;
mod spaces;

use agon_envs::{ActionBatch, ActionSpec, EnvSpec, ObsBuffer, Space};
use agon_nn::losses::categorical;
use agon_nn::{
    Activation, MemoryConfig, MemoryState, ModelScratch, OptimizerState, PackedModel, RecurrentInit,
    TransformerConfig,
};

use super::*;
use crate::distribution::{Distribution, Evaluated};
use crate::policy_gradient::{LossSums, PolicyLoss, Transition};
use crate::test_support::{
    Aim, Bandit, BrightHalf, Corridor, FOUR_STATES, FourSteps, Golden, Identity, Recall, Trial, TrialConfig,
    Wheel, assert_continues_after_restore, assert_refuses_damage, assert_stops_at_a_lost_reward,
    assert_threads_do_not_matter, mlp, small_cnn, spec_of,
};
use crate::{ActInput, ActMode, ActOutput, Actor};

const GAMMA: f64 = 0.9;

fn small() -> PpoConfig {
    PpoConfig {
        num_steps: 32,
        learning_rate: 1e-2,
        gamma: GAMMA,
        network: mlp(&[16], Activation::Tanh),
        ..PpoConfig::default()
    }
}

fn trial(spec: &EnvSpec, config: &PpoConfig, iterations: u64, seed: u64) -> Trial<Ppo> {
    let total_timesteps = iterations * 4 * config.num_steps as u64;
    let sizes = TrialConfig { num_envs: 4, num_shards: 2, total_timesteps, seed };
    Trial::new(spec, sizes, |info| Ppo::new(config.clone(), info))
}

/// The critic's values of the four one-hot states.
fn values(ppo: &Ppo) -> [f32; 4] {
    let critic = &ppo.core.networks.critic;
    let packed = PackedModel::new(critic, &ppo.core.params).unwrap();
    let (mut scratch, mut out) = (ModelScratch::default(), [0.0; 4]);
    critic.infer(&packed, &FOUR_STATES, 4, &mut MemoryState::none(), &mut scratch, &mut [&mut out]).unwrap();
    out
}

/// A run of 4 environments with a `Box` of 4 numbers and 2 actions.
fn info() -> RunInfo {
    RunInfo {
        observation_space: Space::box_f32(&[0.0; 4], &[1.0; 4]).unwrap(),
        frames: None,
        action_spec: ActionSpec::Discrete { nvec: vec![2] },
        mask_len: 0,
        num_envs: 4,
        num_shards: 1,
        total_timesteps: 1000,
        seed: 0,
    }
}

fn refusal(config: PpoConfig, info: &RunInfo) -> String {
    Ppo::new(config, info).err().map_or_else(|| "accepted".to_owned(), |error| error.to_string())
}
