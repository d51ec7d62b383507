//! Settings that are refused, and those that change in the course of a run.

use super::*;
use crate::{Coefficient, Course};

/// Spoils a setting; the message that refuses it.
type Case = (fn(&mut PpoConfig), &'static str);

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let cases: [Case; 24] = [
        (|c| c.num_steps = 0, "num_steps must be at least 1, got 0"),
        (|c| c.update_epochs = 0, "update_epochs must be at least 1, got 0"),
        (|c| c.learning_rate = (0.0).into(), "learning_rate must be above 0, got 0"),
        (|c| c.learning_rate = (-1.0).into(), "learning_rate must be above 0, got -1"),
        (|c| c.learning_rate = (f64::NAN).into(), "learning_rate must be above 0, got NaN"),
        (|c| c.gamma = 1.5, "gamma must be between 0 and 1, got 1.5"),
        (|c| c.gamma = -0.5, "gamma must be between 0 and 1, got -0.5"),
        (|c| c.gamma = f64::NAN, "gamma must be between 0 and 1, got NaN"),
        (|c| c.gae_lambda = 1.5, "gae_lambda must be between 0 and 1, got 1.5"),
        (|c| c.gae_lambda = -0.5, "gae_lambda must be between 0 and 1, got -0.5"),
        (|c| c.clip_coef = (0.0).into(), "clip_coef must be above 0, got 0"),
        (|c| c.clip_coef = (f64::NAN).into(), "clip_coef must be above 0, got NaN"),
        (|c| c.ent_coef = (-0.5).into(), "ent_coef must be at least 0, got -0.5"),
        (|c| c.ent_coef = (f64::NAN).into(), "ent_coef must be at least 0, got NaN"),
        (|c| c.vf_coef = -0.5, "vf_coef must be at least 0, got -0.5"),
        (|c| c.max_grad_norm = 0.0, "max_grad_norm must be above 0, got 0"),
        (|c| c.max_grad_norm = f64::NAN, "max_grad_norm must be above 0, got NaN"),
        (|c| c.target_kl = Some(0.0), "target_kl must be above 0, got "),
        (
            |c| c.optimizer = OptimizerConfig::Adam(AdamConfig { eps: 0.0, ..Default::default() }),
            "optimizer.eps must be positive and finite, got 0",
        ),
        (|c| c.gradient_slices = Some(0), "gradient_slices must be between 1 and 64, got 0"),
        (|c| c.gradient_slices = Some(65), "gradient_slices must be between 1 and 64, got 65"),
        (
            |c| c.num_minibatches = 0,
            "num_minibatches must be a divisor of num_envs * num_agents * num_steps = 512, got 0",
        ),
        (
            |c| c.num_minibatches = 3,
            "num_minibatches must be a divisor of num_envs * num_agents * num_steps = 512, got 3",
        ),
        (
            |c| c.num_minibatches = 1024,
            "num_minibatches must be a divisor of num_envs * num_agents * num_steps = 512, got 1024",
        ),
    ];
    assert_eq!(refusal(PpoConfig::default(), &info()), "accepted");
    for (spoil, expected) in cases {
        let mut config = PpoConfig::default();
        spoil(&mut config);
        let message = refusal(config, &info());
        let matches =
            if expected.ends_with(' ') { message.starts_with(expected) } else { message == expected };
        assert!(matches, "expected `{expected}`, got `{message}`");
    }
}

#[test]
fn a_refused_target_kl_is_shown_as_it_was_written() {
    let message = refusal(PpoConfig { target_kl: Some(-0.5), ..PpoConfig::default() }, &info());
    assert_eq!(message, "target_kl must be above 0, got -0.5");
}

#[test]
fn unsupported_spaces_and_networks_are_refused() {
    let shifted = Space::discrete_from(1, 5).unwrap();
    let message = refusal(PpoConfig::default(), &with_spaces(&info(), |spaces| spaces.observation = shifted));
    assert!(message.starts_with("ppo needs categories that begin with zero, got "), "{message}");
    let noisy = ModelConfig {
        head: agon_nn::HeadConfig { noisy: true, ..Default::default() },
        ..ModelConfig::default()
    };
    let message = refusal_of(PpoConfig::default(), &noisy, &info());
    assert_eq!(message, "ppo needs network.head.noisy = false, got true");
    let empty = refusal_of(PpoConfig::default(), &mlp(&[64, 0], Activation::Tanh), &info());
    assert_eq!(empty, "encoder.hidden must be widths of at least 1, got [64, 0]");
    let unsuitable = refusal_of(PpoConfig::default(), &small_cnn(), &info());
    assert!(
        unsuitable.starts_with("encoder.kind must be") && unsuitable.contains("a vector of"),
        "{unsuitable}"
    );
}

#[test]
fn a_lost_reward_stops_learning_with_an_error() {
    assert_stops_at_a_lost_reward(|| trial(&spec_of(Bandit), &small(), 1, 0));
    let unnormalised = PpoConfig { norm_adv: false, ..small() };
    assert_stops_at_a_lost_reward(|| trial(&spec_of(Bandit), &unnormalised, 1, 0));
}

/// The learner of `config` after one iteration that begins `began` steps into a run of 10 iterations.
fn after_one_iteration(config: &PpoConfig, began: u64) -> (Ppo, LearnReport) {
    let mut trial = trial(&spec_of(Identity::default()), config, 10, 7);
    let fragments = trial.collect();
    let report = trial.learner.learn(&fragments, began + 128).unwrap();
    (trial.learner, report)
}

#[test]
fn the_learning_rate_is_annealed_from_its_start_to_zero() {
    let config = PpoConfig { learning_rate: 2e-2.into(), anneal_lr: true, ..small() };
    let constant = |rate: f64| PpoConfig { learning_rate: rate.into(), anneal_lr: false, ..small() };
    for (began, learning_rate) in [(0, 2e-2), (640, 1e-2), (960, 5e-3)] {
        let (annealed, report) = after_one_iteration(&config, began);
        assert!((report.metrics[0] - learning_rate).abs() < 1e-12, "{began}: {}", report.metrics[0]);
        let (expected, _) = after_one_iteration(&constant(learning_rate), 0);
        assert!(
            annealed.core.part.params.as_slice() == expected.core.part.params.as_slice(),
            "{began}: not a rate of {learning_rate}"
        );
    }
    let (_, unannealed) = after_one_iteration(&constant(2e-2), 640);
    assert_eq!(unannealed.metrics[0], 2e-2);
}

#[test]
fn the_clip_coefficient_is_annealed_if_asked_for() {
    let clipped_at = |clip_coef: f64, anneal_clip_coef, began| {
        let config = PpoConfig { clip_coef: clip_coef.into(), anneal_clip_coef, anneal_lr: false, ..small() };
        let (learner, report) = after_one_iteration(&config, began);
        (learner.core.part.params.as_slice().to_vec(), report.metrics[6])
    };
    assert!(clipped_at(0.25, true, 0) == clipped_at(0.25, false, 0));
    assert!(clipped_at(0.25, true, 640) == clipped_at(0.125, false, 0));
    assert!(clipped_at(0.25, false, 640) == clipped_at(0.25, false, 0));
    let (start, middle) = (clipped_at(0.25, true, 0).1, clipped_at(0.25, true, 640).1);
    assert!(middle > start, "clipfrac {start} at the start, {middle} in the middle");
}

#[test]
fn schedules_are_what_annealing_is_and_more() {
    let course =
        |start, end| Coefficient::Scheduled(Course::Linear { start, end, fraction: 1.0, warmup: 0.0 });
    let scheduled = PpoConfig {
        learning_rate: course(2e-2, 0.0),
        clip_coef: course(0.25, 0.0),
        ent_coef: course(0.0, 0.02),
        ..small()
    };
    let middle = PpoConfig {
        learning_rate: 1e-2.into(),
        clip_coef: 0.125.into(),
        ent_coef: 0.01.into(),
        anneal_lr: false,
        ..small()
    };
    let (a, b) = (after_one_iteration(&scheduled, 640).0, after_one_iteration(&middle, 0).0);
    assert!(a.core.part.params.as_slice() == b.core.part.params.as_slice());
}

#[test]
fn target_kl_ends_the_passes_early() {
    let updates = |target_kl| after_one_iteration(&PpoConfig { target_kl, ..small() }, 0).1.updates;
    assert_eq!(updates(None), 4 * 4);
    assert_eq!(updates(Some(1e3)), 4 * 4);
    // The first pass is always finished.
    assert_eq!(updates(Some(1e-9)), 4);
}
