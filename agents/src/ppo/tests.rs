//! Tests of PPO by subject, and what they share.

mod augmentation;
mod bonus;
mod learning;
mod loss;
mod parity;
mod settings;
mod spaces;

use agon_envs::{ActionBatch, EnvSpec, ObsBuffer, Pcg64, Space};
use agon_nn::losses::categorical;
use agon_nn::{
    Activation, MemoryConfig, MemoryState, ModelScratch, OptimizerState, PackedModel, RecurrentInit,
    TransformerConfig,
};

use super::*;
use crate::distribution::{Distribution, Evaluated};
use crate::policy_gradient_learner;
use crate::policy_loss::{LossSums, PolicyLoss, TransitionGradients, Transitions};
use crate::test_support::{
    Aim, Bandit, BrightHalf, Corridor, FOUR_STATES, FourSteps, Golden, Identity, Recall, Trial, TrialConfig,
    Wheel, assert_continues_after_restore, assert_refuses_damage, assert_stops_at_a_lost_reward,
    assert_threads_do_not_matter, info_of_four_numbers, mlp, small_cnn, spec_of, with_spaces,
};
use crate::{ActInput, ActMode, ActOutput, Actor, Algorithm, LearnReport, Learner};

const GAMMA: f64 = 0.9;

fn small() -> PpoConfig {
    PpoConfig { num_steps: 32, learning_rate: 1e-2.into(), gamma: GAMMA, ..PpoConfig::default() }
}

fn network() -> ModelConfig {
    mlp(&[16], Activation::Tanh)
}

fn trial(spec: &EnvSpec, config: &PpoConfig, iterations: u64, seed: u64) -> Trial<Ppo> {
    trial_of(spec, config, &network(), iterations, seed)
}

fn trial_of(
    spec: &EnvSpec,
    config: &PpoConfig,
    network: &ModelConfig,
    iterations: u64,
    seed: u64,
) -> Trial<Ppo> {
    let total_timesteps = iterations * 4 * config.num_steps as u64;
    let sizes = TrialConfig { num_envs: 4, num_shards: 2, total_timesteps, seed };
    Trial::new(spec, sizes, |info| Ppo::new(config.clone(), network, info))
}

/// The critic's values of the four one-hot states.
fn values(ppo: &Ppo) -> [f32; 4] {
    let critic = &ppo.core.networks.critic;
    let packed = PackedModel::new(critic, &ppo.core.part.params).unwrap();
    let (mut scratch, mut out) = (ModelScratch::default(), [0.0; 4]);
    critic.infer(&packed, &FOUR_STATES, 4, &mut MemoryState::none(), &mut scratch, &mut [&mut out]).unwrap();
    out
}

/// A run of 4 environments with a `Box` of 4 numbers and 2 actions.
fn info() -> RunInfo {
    info_of_four_numbers(4)
}

fn refusal(config: PpoConfig, info: &RunInfo) -> String {
    refusal_of(config, &ModelConfig::default(), info)
}

fn refusal_of(config: PpoConfig, network: &ModelConfig, info: &RunInfo) -> String {
    Ppo::new(config, network, info).err().map_or_else(|| "accepted".to_owned(), |error| error.to_string())
}
