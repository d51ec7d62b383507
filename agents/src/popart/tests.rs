use agon_envs::mixture::MixtureEnv;
use agon_envs::registry::NoArguments;
use agon_envs::{EnvSpec, MakeOptions, ObsBuffer, Registry, TaskConfig};
use agon_nn::{Activation, ModelConfig};

use super::*;
use crate::policy::{ActInput, ActMode};
use crate::ppo::{Ppo, PpoConfig};
use crate::test_support::{
    Trial, TrialConfig, Wheel, assert_continues_after_restore, assert_threads_do_not_matter, mlp, spec_of,
};
use crate::{Algorithm, Learner};

const GAMMA: f64 = 0.9;
const REWARDS: [f64; 4] = [1.0, 0.0, 2.0, 5.0];
/// How many times as much the second task pays, and what it pays beside.
const LARGE: f64 = 1000.0;

fn small() -> Wheel {
    Wheel { rewards: REWARDS, state: 0 }
}

fn large() -> Wheel {
    Wheel { rewards: REWARDS.map(|reward| LARGE * reward), state: 0 }
}

/// Two wheels of which one pays a thousand times as much.
fn two_wheels() -> EnvSpec {
    EnvSpec::vector("Wheels-v0", |_: NoArguments, num_envs| {
        let mut registry = Registry::empty();
        for (id, wheel) in [("Small-v0", small()), ("Large-v0", large())] {
            let spec = EnvSpec::single(id, move |_: NoArguments| Ok(wheel.clone())).max_episode_steps(3);
            registry.register(spec).unwrap();
        }
        let tasks = vec![TaskConfig::of("Small-v0"), TaskConfig::of("Large-v0")];
        MixtureEnv::new(&registry, &MakeOptions { num_envs, tasks, ..MakeOptions::default() })
    })
}

fn config() -> PpoConfig {
    PpoConfig {
        num_steps: 32,
        learning_rate: 1e-2.into(),
        gamma: GAMMA,
        vf_coef: 1.0,
        clip_vloss: false,
        popart: Some(PopArtConfig::default()),
        ..PpoConfig::default()
    }
}

fn trial(
    spec: &EnvSpec,
    config: &PpoConfig,
    network: &ModelConfig,
    iterations: u64,
    seed: u64,
) -> Trial<Ppo> {
    let sizes = TrialConfig { num_envs: 8, num_shards: 2, total_timesteps: iterations * 8 * 32, seed };
    Trial::new(spec, sizes, |info| Ppo::new(config.clone(), network, info))
}

fn network() -> ModelConfig {
    mlp(&[16], Activation::Tanh)
}

/// What is expected of the four states of each of `tasks`.
fn values(trial: &Trial<Ppo>, tasks: usize) -> Vec<Vec<f32>> {
    let policy = trial.learner.policy().unwrap();
    let of_task = |task: usize| {
        let mut observations = Vec::new();
        for state in 0..4 {
            observations.extend((0..4).map(|place| if place == state { 1.0 } else { 0.0 }));
            if tasks > 1 {
                observations.extend((0..tasks).map(|other| if other == task { 1.0 } else { 0.0 }));
            }
        }
        let input = ActInput {
            observations: &ObsBuffer::F32(observations),
            num_rows: 4,
            action_masks: &[],
            resets: &[],
            rewards: &[],
            tasks: &[task as u32; 4],
            env_steps: 0,
            mode: ActMode::Deterministic,
        };
        policy.values(&input, &[]).unwrap().unwrap()
    };
    (0..tasks).map(of_task).collect()
}

fn assert_close(found: &[f32], wheel: &Wheel, what: &str) {
    for (state, (found, expected)) in found.iter().zip(wheel.values(GAMMA)).enumerate() {
        let off = (f64::from(*found) - expected).abs();
        assert!(off <= 0.1 * expected, "{what}, state {state}: expected {expected}, got {found}");
    }
}

#[test]
fn values_of_tasks_with_rewards_a_thousand_times_as_large_are_learned_beside_each_other() {
    for (seed, share_encoder) in [(0, false), (1, true), (2, false)] {
        let config = PpoConfig { share_encoder, ..config() };
        let mut trial = trial(&two_wheels(), &config, &network(), 150, seed);
        trial.run();
        let found = values(&trial, 2);
        assert_close(&found[0], &small(), "the small one");
        assert_close(&found[1], &large(), "the large one");
    }
}

#[test]
fn without_it_they_are_not() {
    let mut trial = trial(&two_wheels(), &PpoConfig { popart: None, ..config() }, &network(), 150, 0);
    trial.run();
    let found = values(&trial, 2).into_iter().zip([small(), large()]);
    let off = found.flat_map(|(found, wheel)| {
        let pairs = found.into_iter().zip(wheel.values(GAMMA));
        pairs.map(|(found, expected)| (f64::from(found) - expected).abs() / expected).collect::<Vec<_>>()
    });
    assert!(off.fold(0.0, f64::max) > 0.5);
}

#[test]
fn one_task_is_normalised_too() {
    let spec = spec_of(large()).max_episode_steps(3);
    let mut trial = trial(&spec, &config(), &network(), 150, 0);
    trial.run();
    assert_close(&values(&trial, 1)[0], &large(), "the only one");
}

/// Fragments whose value targets are given, with the task of each.
fn rollout(trial: &mut Trial<Ppo>, targets: impl Fn(usize) -> f32) -> (Vec<Fragment>, Vec<ShardWork>) {
    let fragments = trial.collect();
    let work = fragments.iter().map(|fragment| {
        let mut work = ShardWork::default();
        work.returns = fragment.tasks.iter().map(|&task| targets(task as usize)).collect();
        work
    });
    let work = work.collect();
    (fragments, work)
}

#[test]
fn values_stay_when_statistics_move_and_statistics_are_those_of_the_targets() {
    let mut trial = trial(&two_wheels(), &config(), &network(), 150, 0);
    (0..3).for_each(|_| drop(trial.iterate().unwrap()));
    let popart = trial.learner.core.networks.popart.clone().unwrap();
    let (fragments, work) = rollout(&mut trial, |task| [-700.0, 4e5][task]);
    let (before, expected) = (popart.scales(&trial.learner.core.part.params), values(&trial, 2));
    popart.follow(&mut trial.learner.core.part.params, &fragments, &work, 0.25);
    let now = popart.scales(&trial.learner.core.part.params);
    // It is the fourth rollout: 1/4 of the way, and the targets have no spread of their own.
    for (task, target) in [-700.0, 4e5].into_iter().enumerate() {
        let (mean, std) = (before.mean[task], before.std[task]);
        let moved = 0.75 * mean + 0.25 * target;
        assert!((now.mean[task] - moved).abs() <= 1e-4 * moved.abs(), "mean {task}");
        let spread = (0.75 * std * std + 0.1875 * (target - mean) * (target - mean)).sqrt();
        assert!((now.std[task] - spread).abs() <= 1e-4 * spread, "deviation {task}");
    }
    for (found, (expected, std)) in values(&trial, 2).iter().zip(expected.iter().zip(&now.std)) {
        for (found, expected) in found.iter().zip(expected) {
            // A step of f32 as large as the new scale.
            assert!((found - expected).abs() <= 1e-5 * std, "expected {expected}, got {found}");
        }
    }
}

#[test]
fn a_task_that_nobody_played_keeps_its_statistics() {
    let mut trial = trial(&two_wheels(), &config(), &network(), 150, 0);
    trial.iterate().unwrap();
    let popart = trial.learner.core.networks.popart.clone().unwrap();
    let (mut fragments, work) = rollout(&mut trial, |_| 9.0);
    for fragment in &mut fragments {
        fragment.active = fragment.tasks.iter().map(|&task| task == 1).collect();
    }
    let before = popart.scales(&trial.learner.core.part.params);
    popart.follow(&mut trial.learner.core.part.params, &fragments, &work, 0.5);
    let now = popart.scales(&trial.learner.core.part.params);
    assert_eq!((now.mean[0], now.std[0]), (before.mean[0], before.std[0]));
    assert!(now.mean[1] < before.mean[1]);
}

#[test]
fn nobody_says_what_is_expected_where_the_task_is_not_known() {
    let trial = trial(&two_wheels(), &config(), &network(), 150, 0);
    let input = ActInput {
        observations: &ObsBuffer::F32(vec![0.0; 6]),
        num_rows: 1,
        action_masks: &[],
        resets: &[],
        rewards: &[],
        tasks: &[],
        env_steps: 0,
        mode: ActMode::Deterministic,
    };
    assert_eq!(trial.learner.policy().unwrap().values(&input, &[]).unwrap(), None);
}

#[test]
fn threads_do_not_matter_and_it_continues_after_a_restore() {
    let make = |seed| trial(&two_wheels(), &config(), &network(), 150, seed);
    assert_threads_do_not_matter(make);
    assert_continues_after_restore(make(1), |info| Ppo::new(config(), &network(), info));
}

#[test]
fn settings_out_of_bounds_are_refused() {
    let refused = |config: PpoConfig| {
        let info = trial(&two_wheels(), &PpoConfig { popart: None, ..config.clone() }, &network(), 1, 0).info;
        Ppo::new(config, &network(), &info).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let config_of = |beta| PpoConfig { popart: Some(PopArtConfig { beta }), ..config() };
    for beta in [0.0, 1.5, f64::NAN] {
        let message = refused(config_of(beta));
        assert!(message.starts_with("popart.beta must be above 0 and at most 1"), "{message}");
    }
    let message = refused(PpoConfig { rnd: Some(crate::rnd::RndConfig::default()), ..config() });
    assert!(message.starts_with("popart must be none beside a bonus"), "{message}");
}
