//! SAC and TD3 on tasks whose answer is known; gradients; parity; settings.

use agon_envs::{ActionSpec, EnvSpec, Space};
use agon_nn::{Activation, ModelConfig};

use crate::augmentation::ReplayAugmentation;
use crate::sac::{CriticsConfig, Reduction, Sac, SacConfig};
use crate::td3::{Td3, Td3Config};
use crate::test_support::{
    Aim, Bandit, Boxed, BrightHalf, Identity, Trial, TrialConfig, assert_continues_after_restore,
    assert_refuses_damage, assert_stops_at_a_lost_reward, assert_threads_do_not_matter, mlp, small_cnn,
    spec_of, with_spaces,
};
use crate::{AgentError, Algorithm, Learner, RunInfo};

/// Which learner with which settings.
#[derive(Clone, Debug)]
enum AnyConfig {
    Sac(SacConfig),
    Td3(Td3Config),
}

impl AnyConfig {
    fn build(&self, info: &RunInfo) -> Result<Boxed, AgentError> {
        let hidden = if matches!(self, Self::Sac(_)) { 16 } else { 32 };
        self.build_of(&mlp(&[hidden], Activation::Tanh), info)
    }

    fn build_of(&self, network: &ModelConfig, info: &RunInfo) -> Result<Boxed, AgentError> {
        Ok(match self {
            Self::Sac(config) => Boxed(Box::new(Sac::new(config.clone(), network, info)?)),
            Self::Td3(config) => Boxed(Box::new(Td3::new(config.clone(), network, info)?)),
        })
    }
}

fn sac() -> SacConfig {
    SacConfig {
        buffer_size: 2000,
        learning_starts: 100,
        train_frequency: 8,
        gradient_steps: 4,
        batch_size: 32,
        learning_rate: 5e-3.into(),
        gamma: 0.5,
        tau: 0.05,
        ..SacConfig::default()
    }
}

fn td3() -> Td3Config {
    Td3Config {
        buffer_size: 2000,
        learning_starts: 100,
        train_frequency: 8,
        gradient_steps: 4,
        batch_size: 32,
        learning_rate: 3e-3.into(),
        gamma: 0.5,
        tau: 0.05,
        exploration_noise: 0.4,
        ..Td3Config::default()
    }
}

fn trial(spec: &EnvSpec, config: &AnyConfig, iterations: u64, seed: u64) -> Trial<Boxed> {
    let sizes = TrialConfig { num_envs: 4, num_shards: 2, total_timesteps: 8 * iterations, seed };
    Trial::new(spec, sizes, |info| config.build(info))
}

fn both() -> [AnyConfig; 2] {
    [AnyConfig::Sac(sac()), AnyConfig::Td3(td3())]
}

#[test]
fn continuous_actions_are_learned() {
    for config in both() {
        for seed in 0..3 {
            let spec = spec_of(Aim::default()).max_episode_steps(8);
            let mut trial = trial(&spec, &config, 400, seed);
            trial.run();
            let reward = trial.evaluate(100);
            assert!(reward > -0.02, "seed {seed}: {reward} with {config:?}");
        }
    }
}

#[test]
fn the_better_arm_of_a_bandit_is_learned() {
    for seed in 0..3 {
        let config = SacConfig { target_entropy: Some(0.1), ..sac() };
        let mut trial = trial(&spec_of(Bandit), &AnyConfig::Sac(config), 200, seed);
        trial.run();
        assert_eq!(trial.evaluate(20), 1.0, "seed {seed}");
        let last = &trial.episode_returns[trial.episode_returns.len() - 200..];
        let mean = last.iter().sum::<f64>() / 200.0;
        assert!(mean >= 0.9, "seed {seed}: the last episodes pay {mean}");
    }
}

#[test]
fn identity_is_learned_from_numbers_and_from_images() {
    for seed in 0..3 {
        let spec = spec_of(Identity::default()).max_episode_steps(8);
        let mut trial = trial(&spec, &AnyConfig::Sac(sac()), 300, seed);
        trial.run();
        let accuracy = trial.evaluate(200);
        assert!(accuracy >= 0.95, "seed {seed}: {accuracy}");
    }
    let config = AnyConfig::Sac(SacConfig { learning_rate: 3e-3.into(), ..sac() });
    let spec = spec_of(BrightHalf::default()).max_episode_steps(8);
    let sizes = TrialConfig { num_envs: 4, num_shards: 2, total_timesteps: 8 * 300, seed: 0 };
    let mut trial = Trial::new(&spec, sizes, |info| config.build_of(&small_cnn(), info));
    trial.run();
    assert_eq!(trial.evaluate(20), 1.0);
}

#[test]
fn the_temperature_keeps_the_entropy_at_its_target() {
    let target = -0.5;
    let config = SacConfig { target_entropy: Some(target), ..sac() };
    let mut trial = trial(&spec_of(Aim::default()).max_episode_steps(8), &AnyConfig::Sac(config), 600, 0);
    let mut entropies = Vec::new();
    while trial.env_steps < trial.info.total_timesteps {
        entropies.push(trial.iterate().unwrap().metrics[4]);
    }
    let last = &entropies[entropies.len() - 100..];
    let mean = last.iter().sum::<f64>() / 100.0;
    assert!((mean - target).abs() < 0.3, "expected {target}, got {mean}");
}

/// A reward of 1 a step, cut after three: worth `1 / (1 − γ)` for ever.
#[test]
fn truncation_bootstraps_from_the_final_observation() {
    let wheel = crate::test_support::Wheel { rewards: [1.0; 4], state: 0 };
    let spec = spec_of(wheel).max_episode_steps(3);
    let config = SacConfig { gamma: 0.9, ent_coef: Some(0.0), ..sac() };
    let mut trial = trial(&spec, &AnyConfig::Sac(config), 800, 1);
    let mut values = f64::NAN;
    while trial.env_steps < trial.info.total_timesteps {
        values = trial.iterate().unwrap().metrics[2];
    }
    assert!((values - 10.0).abs() < 1.0, "expected 10, got {values}");
}

/// Many updates a step from an ensemble, of networks that begin anew now and then.
fn efficient() -> [AnyConfig; 2] {
    let critics = CriticsConfig { count: 4, targets: 2, policy_reduction: Reduction::Mean, ..sac().critics };
    let sac = SacConfig { critics, policy_frequency: 2, reset_every: Some(14), ..sac() };
    let critics = CriticsConfig { count: 3, layer_norm: true, ..td3().critics };
    [AnyConfig::Sac(sac), AnyConfig::Td3(Td3Config { critics, reset_every: Some(14), ..td3() })]
}

#[test]
fn an_ensemble_with_many_updates_a_step_and_resets_learns() {
    for seed in 0..3 {
        let critics =
            CriticsConfig { count: 5, layer_norm: true, policy_reduction: Reduction::Mean, ..sac().critics };
        let config =
            SacConfig { critics, gradient_steps: 32, policy_frequency: 8, reset_every: Some(1500), ..sac() };
        let spec = spec_of(Aim::default()).max_episode_steps(8);
        let mut trial = trial(&spec, &AnyConfig::Sac(config), 150, seed);
        trial.run();
        let reward = trial.evaluate(100);
        assert!(reward > -0.02, "seed {seed}: {reward}");
    }
}

#[test]
fn a_reset_begins_anew_with_the_same_replay() {
    for config in efficient() {
        let mut trial = trial(&spec_of(Aim::default()).max_episode_steps(5), &config, 40, 1);
        let mut sizes = Vec::new();
        while trial.env_steps < trial.info.total_timesteps {
            let updates = trial.iterate().unwrap().updates;
            let weights = trial.learner.weights();
            let critics = weights.iter().filter(|(name, ..)| name.starts_with("critics.q1.head"));
            sizes.push((updates, critics.map(|(_, _, values)| values.to_vec()).last().unwrap()));
        }
        // Steps of Adam are about the step size each; a reset is another network.
        let moved = |pair: &[(u64, Vec<f32>)]| {
            let apart = pair[0].1.iter().zip(&pair[1].1).map(|(a, b)| (a - b).abs());
            apart.fold(0.0, f32::max)
        };
        for pair in sizes.windows(2).filter(|pair| pair[1].0 > pair[0].0) {
            // An update whose number is a multiple of 14 begins with new networks.
            let is_reset = (pair[1].0 - 1) / 14 > pair[0].0.saturating_sub(1) / 14;
            assert!(
                is_reset || moved(pair) < 0.05,
                "updates {} to {}: {}",
                pair[0].0,
                pair[1].0,
                moved(pair)
            );
        }
        assert!(sizes.windows(2).any(|pair| moved(pair) > 0.05), "nothing began anew");
    }
}

#[test]
fn threads_and_restores_change_nothing() {
    for config in both().into_iter().chain(efficient()) {
        let make = |seed| trial(&spec_of(Aim::default()).max_episode_steps(5), &config, 40, seed);
        let started = |seed| {
            let mut trial = make(seed);
            (0..20).for_each(|_| drop(trial.iterate().unwrap()));
            trial
        };
        assert_threads_do_not_matter(started);
        assert_continues_after_restore(started(1), |info| config.build(info));
        assert_refuses_damage(&mut started(0).learner);
    }
    let discrete = AnyConfig::Sac(SacConfig { gradient_slices: 3, ..sac() });
    let make = |seed| {
        let mut trial = trial(&spec_of(Identity::default()).max_episode_steps(5), &discrete, 40, seed);
        (0..20).for_each(|_| drop(trial.iterate().unwrap()));
        trial
    };
    assert_threads_do_not_matter(make);
    assert_continues_after_restore(make(1), |info| discrete.build(info));
}

fn augmented(transformation: &str, target_views: usize, views: usize) -> SacConfig {
    let text = format!("transformations = [{{ {transformation} }}]");
    let settings: ReplayAugmentation = toml::from_str(&text).unwrap();
    let augmentation = Some(ReplayAugmentation { target_views, views, ..settings });
    SacConfig { augmentation, gradient_slices: 3, learning_starts: 16, ..sac() }
}

#[test]
fn threads_and_restores_change_nothing_with_views() {
    let config = AnyConfig::Sac(augmented("kind = 'noise', std = 0.1", 2, 2));
    for spec in [spec_of(Aim::default()), spec_of(Identity::default())] {
        let spec = spec.max_episode_steps(5);
        let started = |seed| {
            let mut trial = trial(&spec, &config, 10, seed);
            (0..5).for_each(|_| drop(trial.iterate().unwrap()));
            trial
        };
        assert_threads_do_not_matter(started);
        assert_continues_after_restore(started(1), |info| config.build(info));
    }
}

#[test]
fn sac_views_that_change_nothing_give_the_losses_of_none() {
    let same = "kind = 'scale', low = 1.0, high = 1.0";
    // Of discrete actions, for which no noise is drawn.
    let spec = spec_of(Identity::default()).max_episode_steps(5);
    let first_metrics = |config: SacConfig| {
        let config = AnyConfig::Sac(SacConfig { gradient_steps: 1, batch_size: 2, ..config });
        let mut trial = trial(&spec, &config, 3, 1);
        (0..3).map(|_| trial.iterate().unwrap().metrics).find(|metrics| metrics[1].is_finite()).unwrap()
    };
    let (views, expected) =
        (augmented(same, 3, 4), SacConfig { augmentation: None, ..augmented(same, 1, 1) });
    let (views, expected) = (first_metrics(views), first_metrics(expected));
    let near = views.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5 || a.is_nan() && b.is_nan());
    assert!(near, "{views:?} {expected:?}");
}

#[test]
fn a_lost_reward_stops_learning_with_an_error() {
    // A batch that is many times the buffer's contents draws every transition.
    let sac = SacConfig { learning_starts: 0, batch_size: 256, ..sac() };
    let td3 = Td3Config { learning_starts: 0, batch_size: 256, ..td3() };
    for config in [AnyConfig::Sac(sac), AnyConfig::Td3(td3)] {
        assert_stops_at_a_lost_reward(|| trial(&spec_of(Aim::default()), &config, 40, 0));
    }
}

#[test]
fn settings_and_spaces_that_do_not_suit_are_refused_by_name() {
    let info = trial(&spec_of(Aim::default()), &both()[0], 1, 0).info;
    let refusal = |config: AnyConfig, info: &RunInfo| {
        config.build(info).err().map_or_else(String::new, |e| e.to_string())
    };
    let of_sac = |spoil: fn(&mut SacConfig)| {
        let mut config = sac();
        spoil(&mut config);
        refusal(AnyConfig::Sac(config), &info)
    };
    let of_td3 = |spoil: fn(&mut Td3Config)| {
        let mut config = td3();
        spoil(&mut config);
        refusal(AnyConfig::Td3(config), &info)
    };
    assert_eq!(of_sac(|_| ()), "");
    assert_eq!(of_sac(|c| c.tau = 0.0), "tau must be above 0 and at most 1, got 0");
    assert_eq!(of_sac(|c| c.ent_coef = Some(-1.0)), "ent_coef must be at least 0, got -1");
    assert_eq!(
        of_sac(|c| c.train_frequency = 6),
        "train_frequency must be a multiple or a divisor of num_envs = 4, got 6"
    );
    assert_eq!(of_sac(|c| c.buffer_size = 8), "batch_size must be at most buffer_size = 8, got 32");
    assert_eq!(of_sac(|c| c.policy_frequency = 0), "policy_frequency must be at least 1, got 0");
    assert_eq!(of_sac(|c| c.reset_every = Some(0)), "reset_every must be at least 1, got 0");
    assert_eq!(of_sac(|c| c.critics.count = 0), "critics.count must be between 1 and 64, got 0");
    assert_eq!(
        of_td3(|c| c.critics.targets = 3),
        "critics.targets must be between 1 and critics.count = 2, got 3"
    );
    assert_eq!(of_td3(|c| c.policy_frequency = 0), "policy_frequency must be at least 1, got 0");
    assert_eq!(of_td3(|c| c.noise_clip = -1.0), "noise_clip must be at least 0, got -1");
    let discrete = with_spaces(&info, |spaces| spaces.action = ActionSpec::Discrete { nvec: vec![3] });
    assert!(refusal(both()[1].clone(), &discrete).starts_with("td3 needs actions with finite bounds"));
    let image = with_spaces(&info, |spaces| spaces.observation = Space::image_u8(&[4, 4, 2]).unwrap());
    assert!(refusal(both()[0].clone(), &image).starts_with("sac needs a vector of numbers, got "));
    let several = with_spaces(&info, |spaces| spaces.action = ActionSpec::Discrete { nvec: vec![3, 2] });
    assert!(refusal(both()[0].clone(), &several).starts_with("sac needs a Discrete action space"));
}
