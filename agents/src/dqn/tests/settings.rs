//! Settings that are refused.

use super::*;

fn refusal(config: DqnConfig, info: &RunInfo) -> String {
    Dqn::new(config, &DqnConfig::default_network(), info)
        .err()
        .map_or_else(|| "accepted".to_owned(), |error| error.to_string())
}

/// Spoils a setting; the message that refuses it.
type Case = (fn(&mut DqnConfig), &'static str);

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let cases: [Case; 33] = [
        (|c| c.batch_size = 0, "batch_size must be at least 1, got 0"),
        (|c| c.buffer_size = 127, "batch_size must be at most buffer_size = 127, got 128"),
        (|c| c.buffer_size = 1 << 32, "buffer_size must be below 2^32, got 4294967296"),
        (|c| c.gradient_steps = 0, "gradient_steps must be at least 1, got 0"),
        (|c| c.learning_rate = (0.0).into(), "learning_rate must be above 0, got 0"),
        (|c| c.learning_rate = (f64::NAN).into(), "learning_rate must be above 0, got NaN"),
        (|c| c.gamma = 1.5, "gamma must be between 0 and 1, got 1.5"),
        (|c| c.gamma = f64::NAN, "gamma must be between 0 and 1, got NaN"),
        (|c| c.target_network_frequency = 0, "target_network_frequency must be at least 1, got 0"),
        (|c| c.tau = 0.0, "tau must be above 0 and at most 1, got 0"),
        (|c| c.tau = 1.5, "tau must be above 0 and at most 1, got 1.5"),
        (|c| c.tau = f64::NAN, "tau must be above 0 and at most 1, got NaN"),
        (|c| c.huber_delta = 0.0, "huber_delta must be above 0, got 0"),
        (|c| c.max_grad_norm = -1.0, "max_grad_norm must be above 0, got -1"),
        (|c| c.start_e = Some(1.5), "start_e must be between 0 and 1, got 1.5"),
        (|c| c.start_e = Some(f64::NAN), "start_e must be between 0 and 1, got NaN"),
        (|c| c.end_e = Some(-0.5), "end_e must be between 0 and 1, got -0.5"),
        (|c| c.exploration_fraction = 2.0, "exploration_fraction must be between 0 and 1, got 2"),
        (|c| c.exploration_fraction = -1.0, "exploration_fraction must be between 0 and 1, got -1"),
        (|c| c.gradient_slices = 0, "gradient_slices must be between 1 and 64, got 0"),
        (|c| c.gradient_slices = 65, "gradient_slices must be between 1 and 64, got 65"),
        (|c| c.train_frequency = 0, "train_frequency must be a multiple or a divisor of num_envs = 4, got 0"),
        (
            |c| c.train_frequency = 10,
            "train_frequency must be a multiple or a divisor of num_envs = 4, got 10",
        ),
        (|c| c.train_frequency = 3, "train_frequency must be a multiple or a divisor of num_envs = 4, got 3"),
        (|c| c.n_step = 0, "n_step must be at least 1, got 0"),
        (
            |c| c.n_step = 2501,
            "n_step must be at most the 2500 steps that the replay buffer holds of an environment, got 2501",
        ),
        (|c| c.buffer_size = 3, "batch_size must be at most buffer_size = 3, got 128"),
        (
            |c| (c.batch_size, c.buffer_size) = (1, 3),
            "buffer_size must be at least num_envs * num_agents, got 3",
        ),
        (
            |c| c.distribution = Distribution::C51(C51Config { v_min: 10.0, ..C51Config::default() }),
            "distribution.v_min must be finite and less than v_max, got 10 to 10",
        ),
        (
            |c| c.distribution = Distribution::Qr(QrConfig { quantiles: 0 }),
            "distribution.quantiles must be at least 1, got 0",
        ),
        (
            |c| c.distribution = Distribution::Iqn(IqnConfig { cosines: 0, ..IqnConfig::default() }),
            "distribution.cosines must be at least 1, got 0",
        ),
        (
            |c| {
                let alpha = PrioritizedConfig { alpha: 2.0, ..PrioritizedConfig::default() };
                c.replay = Sampling::Prioritized(alpha);
            },
            "replay.alpha must be between 0 and 1, got 2",
        ),
        (
            |c| c.optimizer = OptimizerConfig::Adam(AdamConfig { beta1: 1.0, ..AdamConfig::default() }),
            "optimizer.beta1 must be",
        ),
    ];
    let (valid, info) =
        (DqnConfig { train_frequency: 8, ..DqnConfig::default() }, RunInfo { num_envs: 4, ..info() });
    assert_eq!(refusal(valid.clone(), &info), "accepted");
    for (spoil, expected) in cases {
        let mut config = valid.clone();
        spoil(&mut config);
        let message = refusal(config, &info);
        assert!(message.starts_with(expected), "expected {expected}, got {message}");
    }
}

#[test]
fn unsupported_spaces_are_refused() {
    let continuous = ActionSpec::of(&Space::box_uniform(-1.0, 1.0, &[2]).unwrap()).unwrap();
    for spec in [continuous, ActionSpec::Discrete { nvec: vec![2, 3] }] {
        let message = refusal(linear(), &with_spaces(&info(), |spaces| spaces.action = spec));
        assert!(message.starts_with("dqn needs a Discrete action space, got "), "{message}");
    }
    let shifted = Space::discrete_from(1, 5).unwrap();
    let message = refusal(linear(), &with_spaces(&info(), |spaces| spaces.observation = shifted));
    assert!(message.starts_with("dqn needs categories that begin with zero, got "), "{message}");
    let network = ModelConfig {
        memory: agon_nn::MemoryConfig::Gru { hidden: 4, init: agon_nn::RecurrentInit::default() },
        ..mlp(&[8], Activation::Tanh)
    };
    let refusal = |network| Dqn::new(linear(), &network, &info()).err().unwrap().to_string();
    let message = refusal(network);
    assert!(message.starts_with("dqn needs network.memory.kind = \"none\", got "), "{message}");
    assert_eq!(refusal(mlp(&[0], Activation::Tanh)), "encoder.hidden must be widths of at least 1, got [0]");
}

#[test]
fn a_lost_reward_stops_learning_with_an_error() {
    // All 8 transitions of the first iteration are drawn 64 times over.
    let config = DqnConfig { learning_starts: 0, batch_size: 64, ..small() };
    assert_stops_at_a_lost_reward(|| trial(&spec_of(Bandit), &config, 1, 0));
}
