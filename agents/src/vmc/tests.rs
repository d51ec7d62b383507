//! Learning in dreams, parity, settings.

use agon_envs::{ActionBatch, EnvSpec, ObsBuffer};
use agon_nn::Activation;

use super::*;
use crate::test_support::{
    Aim, Bandit, Identity, Recall, Trial, TrialConfig, assert_continues_after_restore, assert_refuses_damage,
    assert_stops_at_a_lost_reward, assert_threads_do_not_matter, info_of_four_numbers, mlp, spec_of,
};
use crate::world_model::Lived;
use crate::{Algorithm, Learner};

fn small() -> VmcConfig {
    VmcConfig {
        buffer_size: 4000,
        learning_starts: 64,
        num_steps: 4,
        sequence_length: 8,
        batch_size: 8,
        gradient_steps: 2,
        learning_rate: 3e-3.into(),
        gamma: 0.9,
        latents: 4,
        components: 2,
        hidden: 16,
        bins: 21,
        bins_limit: 5.0,
        horizon: 5,
        dreams: 4,
        population: 16,
        evolution_starts: 50,
        ..VmcConfig::default()
    }
}

fn network() -> ModelConfig {
    let memory = MemoryConfig::Lstm { hidden: 16, init: RecurrentInit::default() };
    ModelConfig { memory, ..mlp(&[16], Activation::Relu) }
}

fn trial(spec: &EnvSpec, config: &VmcConfig, iterations: u64, seed: u64) -> Trial<Vmc> {
    let total_timesteps = iterations * 4 * config.num_steps as u64;
    let sizes = TrialConfig { num_envs: 4, num_shards: 2, total_timesteps, seed };
    Trial::new(spec, sizes, |info| Vmc::new(config.clone(), &network(), info))
}

#[test]
fn what_pays_is_done() {
    for seed in 0..3 {
        let mut trial = trial(&spec_of(Bandit), &small(), 150, seed);
        trial.run();
        let mean = trial.evaluate(100);
        assert!(mean >= 0.99, "seed {seed}: {mean}");
    }
}

#[test]
fn what_was_seen_before_is_recalled() {
    for seed in 0..2 {
        let config =
            VmcConfig { sequence_length: 16, epsilon: 0.3, evolution_starts: 200, dreams: 8, ..small() };
        let mut trial = trial(&spec_of(Recall::default()), &config, 500, seed);
        trial.run();
        let accuracy = 4.0 * trial.evaluate(400);
        assert!(accuracy >= 0.95, "seed {seed}: {accuracy}");
    }
}

#[test]
fn numbers_are_aimed_at() {
    let config =
        VmcConfig { horizon: 2, gamma: 0.0, epsilon: 0.3, dreams: 8, evolution_starts: 200, ..small() };
    let mut trial = trial(&spec_of(Aim::default()).max_episode_steps(8), &config, 500, 1);
    trial.run();
    // Doing nothing loses a third.
    let lost = trial.evaluate(200);
    assert!(lost >= -0.03, "{lost}");
}

#[test]
fn threads_do_not_change_the_result() {
    let spec = spec_of(Identity::default()).max_episode_steps(5);
    let config = VmcConfig { learning_starts: 10, evolution_starts: 2, gradient_slices: 3, ..small() };
    assert_threads_do_not_matter(|seed| trial(&spec, &config, 8, seed));
}

#[test]
fn a_restored_learner_continues_bit_for_bit() {
    let spec = spec_of(Identity::default()).max_episode_steps(5);
    let config = VmcConfig { buffer_size: 200, learning_starts: 10, evolution_starts: 2, ..small() };
    let mut trial = trial(&spec, &config, 40, 1);
    (0..5).for_each(|_| drop(trial.iterate().unwrap()));
    assert_continues_after_restore(trial, |info| Vmc::new(config.clone(), &network(), info));
}

#[test]
fn damaged_states_are_refused() {
    let mut trial = trial(&spec_of(Bandit), &small(), 20, 0);
    trial.run();
    assert_refuses_damage(&mut trial.learner);
}

#[test]
fn a_lost_reward_stops_learning_with_an_error() {
    let config =
        VmcConfig { learning_starts: 0, evolution_starts: 0, num_steps: 8, batch_size: 64, ..small() };
    assert_stops_at_a_lost_reward(|| trial(&spec_of(Bandit), &config, 1, 0));
}

#[test]
fn a_dream_is_what_was_seen_until_it_goes_on_by_itself() {
    let mut trial = trial(&spec_of(Bandit), &small(), 100, 2);
    trial.run();
    let policy = trial.learner.policy().unwrap();
    let model = policy.world_model().unwrap();
    let width = trial.learner.algorithm.minds.vision.len();
    let observations = ObsBuffer::F32(vec![1.0; 2 * width]);
    let actions = ActionBatch::Discrete(vec![1]);
    let lived = Lived { observations: &observations, actions: &actions, steps: 1 };
    let seen = model.dream(&lived, 2).unwrap();
    assert_eq!(seen.reconstructed, seen.imagined);
    assert_eq!((seen.reconstructed.len(), seen.rewards.len()), (2 * width, 2));
    let blind = model.dream(&lived, 1).unwrap();
    assert_eq!(blind.reconstructed, seen.reconstructed);
    assert_eq!(blind.imagined[..width], seen.imagined[..width]);
    for context in [0, 3] {
        assert!(model.dream(&lived, context).unwrap_err().to_string().contains("context"));
    }
    let short = ObsBuffer::F32(vec![0.0; width]);
    let error = model.dream(&Lived { observations: &short, ..lived }, 1).unwrap_err().to_string();
    assert!(error.contains("observations"), "{error}");
}

#[test]
fn images_come_back_with_their_channels_where_they_were() {
    use agon_envs::Space;
    use agon_envs::spaces::{BoxSpace, Dtype};

    let space = BoxSpace::uniform(0.0, 255.0, &[4, 5, 2], Dtype::U8).unwrap();
    let mut info = info_of_four_numbers(1);
    info.spaces.observation = Space::Box(space);
    let network = ModelConfig { encoder: EncoderConfig::Auto, ..network() };
    let (minds, [of_vision, _]) = Minds::layout(&small(), &network, &info.spaces).unwrap();
    let bytes: Vec<u8> = (0..40).collect();
    let read = minds.vision.read(Rows::U8 { values: &bytes, scale: 1.0 }).unwrap();
    // The first plane has every second value.
    assert_eq!(read.as_slice()[..3], [0.0, 2.0, 4.0]);
    assert_eq!(read.as_slice()[20..23], [1.0, 3.0, 5.0]);
    let params = of_vision.build(0);
    let latents = Matrix::from_slice(1, 4, &[0.3, -0.5, 0.1, 1.0]).unwrap();
    let planes = minds.vision.vae().decode(&params, &latents).unwrap();
    let told = minds.vision.told(&params, latents.as_slice()).unwrap();
    for (told, plane) in [(told[2], 1), (told[1], 20)] {
        assert!((told - 255.0 * planes.as_slice()[plane]).abs() < 1e-3);
    }
}

#[test]
fn what_cannot_be_learned_from_is_refused_with_what_is_expected() {
    let info = info_of_four_numbers(1);
    let error = |config: VmcConfig, network: ModelConfig, info: &RunInfo| {
        Vmc::new(config, &network, info).err().map(|error| error.to_string()).unwrap_or_default()
    };
    for (config, named) in [
        (VmcConfig { dreams: 3, ..small() }, "dreams"),
        (VmcConfig { population: 3, ..small() }, "population"),
        (VmcConfig { greatest_std: 0.001, ..small() }, "greatest_std"),
        (VmcConfig { weight_decay: 1.0, ..small() }, "weight_decay"),
        (VmcConfig { temperature: 0.0, ..small() }, "temperature"),
        (VmcConfig { sequence_length: 6, ..small() }, "sequence_length"),
    ] {
        let error = error(config, network(), &info);
        assert!(error.contains(named), "{named}: {error}");
    }
    let plain = mlp(&[8], Activation::Tanh);
    assert!(error(small(), plain, &info).contains("network.memory"));
    let normed = EncoderConfig::Mlp { hidden: vec![8], activation: Activation::Tanh, layer_norm: true };
    assert!(error(small(), ModelConfig { encoder: normed, ..network() }, &info).contains("layer_norm"));
    let mut categories = info.clone();
    categories.spaces.observation = agon_envs::Space::Discrete { n: 3, start: 0 };
    assert!(error(small(), network(), &categories).contains("a vector or an image"));
}
