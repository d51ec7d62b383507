//! Learning on tasks whose answer is known, λ-returns by hand, parity, settings.

use agon_envs::{ActionSpec, EnvSpec, Space};
use agon_nn::ConvConfig;
use agon_nn::MemoryConfig;

use super::*;
use crate::test_support::{
    Bandit, BrightHalf, FOUR_STATES, FourSteps, Identity, Trial, TrialConfig, Wheel,
    assert_continues_after_restore, assert_refuses_damage, assert_stops_at_a_lost_reward,
    assert_threads_do_not_matter, info_of_four_numbers, spec_of, with_spaces,
};

fn small() -> PqnConfig {
    PqnConfig {
        num_steps: 8,
        num_minibatches: 2,
        update_epochs: 2,
        learning_rate: 1e-2.into(),
        gamma: 0.9,
        end_e: 0.1,
        ..PqnConfig::default()
    }
}

fn network() -> ModelConfig {
    let encoder = EncoderConfig::Mlp { hidden: vec![16], activation: Activation::Relu, layer_norm: true };
    ModelConfig { encoder, ..ModelConfig::default() }
}

fn trial(spec: &EnvSpec, config: &PqnConfig, iterations: u64, seed: u64) -> Trial<Pqn> {
    trial_of(spec, config, &network(), iterations, seed)
}

fn trial_of(
    spec: &EnvSpec,
    config: &PqnConfig,
    network: &ModelConfig,
    iterations: u64,
    seed: u64,
) -> Trial<Pqn> {
    let total_timesteps = iterations * 4 * config.num_steps as u64;
    let sizes = TrialConfig { num_envs: 4, num_shards: 2, total_timesteps, seed };
    Trial::new(spec, sizes, |info| Pqn::new(config.clone(), network, info))
}

/// The action values of the four one-hot states, `[4, A]`.
fn q_values(pqn: &Pqn) -> Vec<f32> {
    let packed = pqn.network.pack(&pqn.online.params).unwrap();
    let mut out = vec![0.0; 4 * pqn.network.actions];
    let (mut scratch, mut buffer) = (Scratch::default(), Vec::new());
    pqn.network.values(&packed, &FOUR_STATES, 4, &mut scratch, &mut buffer, &mut out).unwrap();
    out
}

#[test]
fn the_better_arm_of_a_bandit_is_learned() {
    for seed in 0..3 {
        let mut trial = trial(&spec_of(Bandit), &small(), 60, seed);
        trial.run();
        assert_eq!(trial.evaluate(20), 1.0, "seed {seed}");
    }
}

#[test]
fn identity_is_learned() {
    for seed in 0..3 {
        let spec = spec_of(Identity::default()).max_episode_steps(8);
        let mut trial = trial(&spec, &PqnConfig { gamma: 0.5, ..small() }, 150, seed);
        trial.run();
        let accuracy = trial.evaluate(200);
        assert!(accuracy >= 0.95, "seed {seed}: {accuracy}");
    }
}

#[test]
fn an_image_of_bytes_is_learned_from() {
    let (convs, hidden) = (vec![ConvConfig::new(4, 3)], vec![16]);
    let encoder = EncoderConfig::Cnn { convs, hidden, activation: Activation::Relu, layer_norm: true };
    let network = ModelConfig { encoder, ..ModelConfig::default() };
    let config = PqnConfig { gamma: 0.5, learning_rate: 3e-3.into(), ..small() };
    let spec = spec_of(BrightHalf::default()).max_episode_steps(8);
    let mut trial = trial_of(&spec, &config, &network, 150, 1);
    trial.run();
    assert_eq!(trial.evaluate(20), 1.0);
}

#[test]
fn values_bootstrap_where_an_episode_is_cut_and_not_where_it_ends() {
    for (lambda, seed) in [(0.0, 0), (0.65, 1), (1.0, 2)] {
        let wheel = Wheel { rewards: [0.0, 0.0, 0.0, 8.0], state: 0 };
        let expected = wheel.values(0.5);
        let config = PqnConfig { gamma: 0.5, q_lambda: lambda, ..small() };
        let mut cut = trial(&spec_of(wheel).max_episode_steps(2), &config, 400, seed);
        cut.run();
        for (state, got) in q_values(&cut.learner).chunks_exact(2).enumerate() {
            for &got in got {
                let (got, want) = (f64::from(got), expected[state]);
                assert!(
                    (got - want).abs() <= 0.1 * want + 0.1,
                    "λ {lambda}, {state}: expected {want}, got {got}"
                );
            }
        }
        let mut ends =
            trial(&spec_of(FourSteps::default()), &PqnConfig { q_lambda: lambda, ..small() }, 300, seed);
        ends.run();
        let expected = 1.0 + 0.9 + 0.9_f64.powi(2) + 0.9_f64.powi(3);
        for got in &q_values(&ends.learner)[..2] {
            assert!((f64::from(*got) - expected).abs() <= 0.1 * expected, "λ {lambda}: {got}");
        }
    }
}

#[test]
fn threads_do_not_change_the_result() {
    let spec = spec_of(Identity::default()).max_episode_steps(5);
    assert_threads_do_not_matter(|seed| {
        trial(&spec, &PqnConfig { gradient_slices: Some(5), ..small() }, 10, seed)
    });
}

#[test]
fn a_restored_learner_continues_bit_for_bit() {
    let spec = spec_of(Identity::default()).max_episode_steps(5);
    assert_continues_after_restore(trial(&spec, &small(), 10, 1), |info| Pqn::new(small(), &network(), info));
}

#[test]
fn damaged_states_are_refused() {
    let mut trial = trial(&spec_of(Bandit), &small(), 5, 0);
    trial.run();
    assert_refuses_damage(&mut trial.learner);
}

#[test]
fn a_lost_reward_stops_learning_with_an_error() {
    assert_stops_at_a_lost_reward(|| trial(&spec_of(Bandit), &small(), 1, 0));
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    type Case = (fn(&mut PqnConfig), &'static str);
    let cases: [Case; 7] = [
        (|c| c.num_steps = 0, "num_steps must be at least 1, got 0"),
        (|c| c.update_epochs = 0, "update_epochs must be at least 1, got 0"),
        (
            |c| c.num_minibatches = 0,
            "num_minibatches must be between 1 and num_envs * num_agents * num_steps = 32, got 0",
        ),
        (
            |c| c.num_minibatches = 33,
            "num_minibatches must be between 1 and num_envs * num_agents * num_steps = 32, got 33",
        ),
        (|c| c.learning_rate = (0.0).into(), "learning_rate must be above 0, got 0"),
        (|c| c.q_lambda = 1.5, "q_lambda must be between 0 and 1, got 1.5"),
        (|c| c.gradient_slices = Some(0), "gradient_slices must be between 1 and 64, got 0"),
    ];
    for (spoil, expected) in cases {
        let mut config = small();
        spoil(&mut config);
        let message = config.validate(&info_of_four_numbers(4)).unwrap_err().to_string();
        assert!(message.starts_with(expected), "expected {expected}, got {message}");
    }
    let continuous = ActionSpec::of(&Space::box_uniform(-1.0, 1.0, &[2]).unwrap()).unwrap();
    let box_info = with_spaces(&info_of_four_numbers(4), |spaces| spaces.action = continuous);
    let refusal = |network, info| Pqn::new(small(), &network, info).err().unwrap().to_string();
    let message = refusal(network(), &box_info);
    assert!(message.starts_with("pqn needs a Discrete action space, got "), "{message}");
    let (mut noisy, mut remembering, info) = (network(), network(), info_of_four_numbers(4));
    noisy.head.noisy = true;
    assert_eq!(refusal(noisy, &info), "pqn needs network.head.noisy = false, got true");
    remembering.memory = MemoryConfig::Gru { hidden: 4, init: agon_nn::RecurrentInit::default() };
    let message = refusal(remembering, &info);
    assert!(message.starts_with("pqn needs network.memory.kind = \"none\", got"), "{message}");
}
