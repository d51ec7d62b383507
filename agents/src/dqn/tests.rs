//! Tests of DQN by subject, and what they share.

mod augmentation;
mod exploration;
mod learning;
mod masks;
mod parity;
mod settings;
mod updates;
mod variants;

use agon_envs::{ActionBatch, ActionSpec, EnvSpec, ObsBuffer, Pcg64, Space};
use agon_nn::{Activation, AdamConfig, HeadConfig, ModelConfig, OptimizerConfig, RmsPropConfig, Scratch};

use super::*;
use crate::exploration::best;
use crate::policy::{ActInput, ActMode, ActOutput, Actor};
use crate::replay::{PrioritizedConfig, Sampling};
use crate::test_support::{
    Bandit, BrightHalf, FOUR_STATES, FourSteps, Identity, Trial, TrialConfig, Wheel,
    assert_continues_after_restore, assert_refuses_damage, assert_stops_at_a_lost_reward,
    assert_threads_do_not_matter, info_of_four_numbers, mlp, shape_of_four_numbers, small_cnn, spec_of,
    with_spaces,
};
use crate::value_distribution::{C51Config, Distribution, IqnConfig, QrConfig};
use crate::{Algorithm, Fragment, FragmentShape, Learner};

const GAMMA: f64 = 0.9;

fn small() -> DqnConfig {
    DqnConfig {
        buffer_size: 1000,
        learning_starts: 100,
        train_frequency: 8,
        gradient_steps: 2,
        batch_size: 32,
        learning_rate: 1e-2.into(),
        gamma: GAMMA,
        target_network_frequency: 10,
        ..DqnConfig::default()
    }
}

fn network() -> ModelConfig {
    mlp(&[16], Activation::Tanh)
}

fn trial(spec: &EnvSpec, config: &DqnConfig, iterations: u64, seed: u64) -> Trial<Dqn> {
    trial_of(spec, config, &network(), iterations, seed)
}

fn trial_of(
    spec: &EnvSpec,
    config: &DqnConfig,
    network: &ModelConfig,
    iterations: u64,
    seed: u64,
) -> Trial<Dqn> {
    let total_timesteps = iterations * config.train_frequency as u64;
    let sizes = TrialConfig { num_envs: 4, num_shards: 2, total_timesteps, seed };
    Trial::new(spec, sizes, |info| Dqn::new(config.clone(), network, info))
}

/// The action values of the four one-hot states, `[4, A]`.
fn q_values(dqn: &Dqn) -> Vec<f32> {
    let network = &dqn.algorithm.network;
    let packed = network.pack(&network.silent(&dqn.algorithm.online.params)).unwrap();
    let mut out = vec![0.0; 4 * network.actions];
    let (mut scratch, mut buffer) = (Scratch::default(), Vec::new());
    network.values(&packed, &FOUR_STATES, 4, &mut scratch, &mut buffer, &mut out).unwrap();
    out
}

/// Acts once for `rows` rows; gives the actions and the generator after.
fn act(dqn: &Dqn, observations: Vec<f32>, rows: usize, env_steps: u64, mode: ActMode) -> (Vec<u32>, Pcg64) {
    let policy = dqn.policy().unwrap();
    let observations = ObsBuffer::F32(observations);
    let input = ActInput {
        observations: &observations,
        num_rows: rows,
        action_masks: &[],
        resets: &[],
        rewards: &[],
        tasks: &[],
        env_steps,
        mode,
    };
    let mut actions = ActionBatch::Discrete(vec![9; rows]);
    let mut actor = Actor::new(Pcg64::seed_from(2));
    policy.act(&input, &mut actor, ActOutput { actions: &mut actions, policy_data: &mut [] }).unwrap();
    (actions.indices().to_vec(), actor.rng)
}

/// ε falls from 1 to 0 over the first 800 of 1600 steps.
fn exploring() -> Dqn {
    let config = DqnConfig { start_e: Some(1.0), end_e: Some(0.0), exploration_fraction: 0.5, ..small() };
    trial(&spec_of(Identity::default()), &config, 200, 0).learner
}

/// One step of one environment, with a reward of 0.5 for action 0.
fn transition(terminated: bool) -> Fragment {
    let mut fragment = Fragment::new(&shape_of_four_numbers(1));
    fragment.rewards[0] = 0.5;
    fragment.terminated[0] = terminated;
    if terminated {
        fragment.final_rows.push(0);
        fragment.final_observations.resize(4);
    }
    fragment
}

fn info() -> RunInfo {
    info_of_four_numbers(1)
}

/// A Q network that learns from each single step.
fn linear() -> DqnConfig {
    DqnConfig {
        learning_starts: 0,
        train_frequency: 1,
        gradient_steps: 1,
        gamma: 0.5,
        huber_delta: 100.0,
        ..small()
    }
}

/// A learner whose networks give the same action values everywhere.
fn with_values(config: DqnConfig, online: [f32; 2], target: [f32; 2]) -> Dqn {
    with_values_in(config, online, target, &info())
}

fn with_values_in(config: DqnConfig, online: [f32; 2], target: [f32; 2], info: &RunInfo) -> Dqn {
    let mut dqn = Dqn::new(config, &mlp(&[], Activation::Tanh), info).unwrap();
    let QLearning { online: online_part, target: target_part, .. } = &mut dqn.algorithm;
    for (params, values) in [(&mut online_part.params, online), (&mut target_part.part.params, target)] {
        let bias = params.layout().find("q.0.bias").unwrap().range.range();
        params.as_mut_slice().fill(0.0);
        params.as_mut_slice()[bias].copy_from_slice(&values);
    }
    dqn.algorithm.refresh().unwrap();
    dqn
}
