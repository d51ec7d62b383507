//! What holds for every optimizer, and hand-computed steps of each.

use super::*;
use crate::init::Init;
use crate::params::LayoutBuilder;

fn params(len: usize) -> Params {
    let mut builder = LayoutBuilder::new();
    builder.add("w", &[len], Init::Normal { std: 1.0 });
    builder.build(1)
}

fn params_of(values: &[f32]) -> Params {
    let mut params = params(values.len());
    params.as_mut_slice().copy_from_slice(values);
    params
}

fn gradient(len: usize, step: usize) -> Vec<f32> {
    (0..len).map(|i| (((i * 31 + step * 17) % 97) as f32 - 48.0) / 20.0).collect()
}

/// Every kernel, with the settings that lead to it.
fn all() -> Vec<OptimizerConfig> {
    let mut all = vec![
        OptimizerConfig::Adam(AdamConfig { weight_decay: 0.01, ..AdamConfig::default() }),
        OptimizerConfig::AdamW(AdamWConfig::default()),
        OptimizerConfig::Sgd(SgdConfig { weight_decay: 0.1, ..SgdConfig::default() }),
        OptimizerConfig::Sgd(SgdConfig { momentum: 0.9, ..SgdConfig::default() }),
        OptimizerConfig::Sgd(SgdConfig { momentum: 0.9, nesterov: true, ..SgdConfig::default() }),
    ];
    for form in [RmsPropForm::PyTorch, RmsPropForm::TensorFlow] {
        for (centered, momentum) in [(false, 0.0), (false, 0.9), (true, 0.0), (true, 0.9)] {
            let config = RmsPropConfig { form, centered, momentum, ..RmsPropConfig::default() };
            all.push(OptimizerConfig::RmsProp(config));
        }
    }
    all
}

/// One parameter's path under constant settings.
fn path(config: OptimizerConfig, start: f32, grads: &[f32], learning_rate: f32) -> Vec<f32> {
    let mut params = params_of(&[start]);
    let mut optimizer = Optimizer::new(config, 1).unwrap();
    let step = |&grad| {
        optimizer.step(&mut params, &[grad], learning_rate).unwrap();
        params.as_slice()[0]
    };
    grads.iter().map(step).collect()
}

fn assert_close(got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len());
    for (got_one, expected_one) in got.iter().zip(expected) {
        assert!((got_one - expected_one).abs() < 1e-6, "expected {expected:?}, got {got:?}");
    }
}

#[test]
fn a_restored_state_continues_with_the_same_bits() {
    for config in all() {
        let (mut straight, mut optimizer) = (params(37), Optimizer::new(config, 37).unwrap());
        for step in 0..3 {
            optimizer.step(&mut straight, &gradient(37, step), 3e-3).unwrap();
        }
        let text = serde_json::to_string(&(optimizer.config(), optimizer.state())).unwrap();
        let (saved_config, saved): (OptimizerConfig, OptimizerState) = serde_json::from_str(&text).unwrap();
        assert_eq!((saved_config, &saved), (config, &optimizer.state()));
        let (mut resumed, mut other) =
            (straight.clone(), Optimizer::from_state(saved_config, saved).unwrap());
        for step in 3..6 {
            optimizer.step(&mut straight, &gradient(37, step), 3e-3).unwrap();
            other.step(&mut resumed, &gradient(37, step), 3e-3).unwrap();
        }
        assert_eq!(straight.as_slice(), resumed.as_slice(), "{config:?}");
        assert_eq!(optimizer.state(), other.state());
    }
}

#[test]
fn threads_do_not_change_the_bits() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    for config in all() {
        for len in [CHUNK - 1, 7 * CHUNK + 5] {
            let (mut one, mut many) = (params(len), params(len));
            let (mut alone, mut shared) =
                (Optimizer::new(config, len).unwrap(), Optimizer::new(config, len).unwrap());
            for step in 0..3 {
                let grads = gradient(len, step);
                alone.step(&mut one, &grads, 1e-3).unwrap();
                let step = || shared.step_shared(&mut many, &grads, 1.0, 1e-3);
                pool.install(|| team::gather(2, step)).unwrap();
            }
            assert!(one.as_slice() == many.as_slice(), "{config:?} {len}");
            assert!(alone.state() == shared.state(), "{config:?} {len}");
        }
    }
}

#[test]
fn a_factor_scales_the_gradient() {
    for config in all() {
        let (mut scaled, mut factored) = (params(20), params(20));
        let grads = gradient(20, 1);
        let half: Vec<f32> = grads.iter().map(|grad| 0.5 * grad).collect();
        Optimizer::new(config, 20).unwrap().step(&mut scaled, &half, 1e-3).unwrap();
        Optimizer::new(config, 20).unwrap().step_shared(&mut factored, &grads, 0.5, 1e-3).unwrap();
        assert!(scaled.as_slice() == factored.as_slice(), "{config:?}");
    }
}

#[test]
fn a_value_does_not_feel_its_place() {
    for config in all() {
        let (len, start) = (53, 0.7);
        let mut params = params_of(&[start; 53]);
        let mut optimizer = Optimizer::new(config, len).unwrap();
        for step in 0..3 {
            optimizer.step(&mut params, &[0.3 - step as f32; 53], 1e-2).unwrap();
        }
        assert!(
            params.as_slice().iter().all(|w| w.to_bits() == params.as_slice()[0].to_bits()),
            "{config:?}"
        );
        assert_ne!(params.as_slice()[0], start);
    }
}

#[test]
fn running_values_of_dead_parameters_become_zero() {
    let adam = OptimizerConfig::Adam(AdamConfig::default());
    let momentum = OptimizerConfig::Sgd(SgdConfig { momentum: 0.9, ..SgdConfig::default() });
    let centered = OptimizerConfig::RmsProp(RmsPropConfig {
        alpha: 0.9,
        centered: true,
        momentum: 0.9,
        ..RmsPropConfig::default()
    });
    for config in [adam, momentum, centered] {
        let (mut params, mut optimizer) = (params(20), Optimizer::new(config, 20).unwrap());
        optimizer.step(&mut params, &[1e-3; 20], 1e-3).unwrap();
        for _ in 0..1024 {
            optimizer.step(&mut params, &[0.0; 20], 1e-3).unwrap();
        }
        match optimizer.state() {
            OptimizerState::Adam(state) | OptimizerState::AdamW(state) => {
                assert_eq!(state.exp_avg, [0.0; 20]);
                assert!(state.exp_avg_sq.iter().all(|&v| v > 0.0));
            }
            OptimizerState::RmsProp(state) => {
                assert_eq!(state.square_avg, [0.0; 20]);
                assert_eq!(state.grad_avg, [0.0; 20]);
                assert_eq!(state.momentum_buffer, [0.0; 20]);
            }
            OptimizerState::Sgd(state) => assert_eq!(state.momentum_buffer, [0.0; 20]),
        }
        assert!(params.as_slice().iter().all(|w| w.is_finite()));
    }
}

#[test]
fn a_published_snapshot_does_not_move() {
    let mut params = params(5);
    let snapshot = params.clone();
    let before = snapshot.as_slice().to_vec();
    Adam::new(AdamConfig::default(), 5).unwrap().step(&mut params, &[1.0; 5], 0.1).unwrap();
    assert_eq!(snapshot.as_slice(), before);
    assert_ne!(params.as_slice(), before);
}

#[test]
fn the_first_adam_step_moves_by_the_learning_rate_against_the_sign() {
    let mut params = params(3);
    let before = params.as_slice().to_vec();
    let mut adam = Adam::new(AdamConfig::default(), 3).unwrap();
    adam.step(&mut params, &[0.3, -7.0, 0.0], 0.01).unwrap();
    for ((now, then), sign) in params.as_slice().iter().zip(before).zip([1.0, -1.0, 0.0]) {
        assert!((then - now - 0.01 * sign).abs() < 1e-6);
    }
}

#[test]
fn decoupled_decay_shrinks_parameters_without_entering_the_means() {
    let config = AdamWConfig { weight_decay: 0.5, ..AdamWConfig::default() };
    let mut params = params_of(&[2.0]);
    let mut adamw = AdamW::new(config, 1).unwrap();
    adamw.step(&mut params, &[0.0], 0.1).unwrap();
    assert_close(params.as_slice(), &[2.0 * (1.0 - 0.1 * 0.5)]);
    assert_eq!(adamw.state().exp_avg, [0.0]);
    // Without decay it is Adam.
    let config = AdamWConfig { weight_decay: 0.0, ..config };
    let grads = [0.3, -1.0, 0.2];
    assert_eq!(
        path(OptimizerConfig::AdamW(config), 2.0, &grads, 0.1),
        path(OptimizerConfig::Adam(AdamConfig::default()), 2.0, &grads, 0.1)
    );
}

#[test]
fn sgd_steps_are_those_computed_by_hand() {
    let sgd = |momentum, nesterov, weight_decay| {
        path(OptimizerConfig::Sgd(SgdConfig { momentum, nesterov, weight_decay }), 1.0, &[1.0, 2.0], 0.1)
    };
    assert_close(&sgd(0.0, false, 0.0), &[0.9, 0.7]);
    // The penalised gradients are 1.5 and 2.425.
    assert_close(&sgd(0.0, false, 0.5), &[0.85, 0.6075]);
    // The buffer is 1, then 0.5 · 1 + 2.
    assert_close(&sgd(0.5, false, 0.0), &[0.9, 0.65]);
    // The directions are 1 + 0.5 · 1, then 2 + 0.5 · 2.5.
    assert_close(&sgd(0.5, true, 0.0), &[0.85, 0.525]);
}

#[test]
fn rmsprop_steps_are_those_computed_by_hand() {
    let rmsprop = |form, centered, momentum| {
        let config = RmsPropConfig { alpha: 0.75, eps: 0.25, centered, momentum, weight_decay: 0.0, form };
        path(OptimizerConfig::RmsProp(config), 1.0, &[2.0, 2.0], 0.1)
    };
    // The mean square is 1, then 1.75; from one it would be 1.75, then 2.3125.
    let plain = [0.2 / 1.25, 0.2 / (1.75_f32.sqrt() + 0.25)];
    assert_close(&rmsprop(RmsPropForm::PyTorch, false, 0.0), &[1.0 - plain[0], 1.0 - plain[0] - plain[1]]);
    let inside = [0.2 / 2.0_f32.sqrt(), 0.2 / 2.5625_f32.sqrt()];
    let tensorflow = rmsprop(RmsPropForm::TensorFlow, false, 0.0);
    assert_close(&tensorflow, &[1.0 - inside[0], 1.0 - inside[0] - inside[1]]);
    let second = 0.5 * plain[0] + plain[1];
    assert_close(&rmsprop(RmsPropForm::PyTorch, false, 0.5), &[1.0 - plain[0], 1.0 - plain[0] - second]);
    // The mean is 0.5, then 0.875: variances 0.75 and 0.984375.
    let centered = [0.2 / (0.75_f32.sqrt() + 0.25), 0.2 / (0.984_375_f32.sqrt() + 0.25)];
    let got = rmsprop(RmsPropForm::PyTorch, true, 0.0);
    assert_close(&got, &[1.0 - centered[0], 1.0 - centered[0] - centered[1]]);
    // From one the variances are 1.75 − 0.25 and 2.3125 − 0.765625; a quarter more under the root.
    let inside = [0.2 / 1.75_f32.sqrt(), 0.2 / 1.796_875_f32.sqrt()];
    let got = rmsprop(RmsPropForm::TensorFlow, true, 0.5);
    assert_close(&got, &[1.0 - inside[0], 1.0 - inside[0] - 0.5 * inside[0] - inside[1]]);
}

#[test]
fn a_constant_gradient_does_not_break_centered_rmsprop() {
    let config = RmsPropConfig { centered: true, eps: 1e-4, alpha: 0.9, ..RmsPropConfig::default() };
    // Many gradients, so that rounding leaves the variance of some of them below zero.
    let grads: Vec<f32> = (0..400).map(|i| 0.01 + 0.37 * i as f32).collect();
    let mut params = params_of(&[0.0; 400]);
    let mut rmsprop = RmsProp::new(config, 400).unwrap();
    for _ in 0..500 {
        let before = params.clone();
        rmsprop.step(&mut params, &grads, 1e-3).unwrap();
        let below = |(now, then)| now < then;
        assert!(params.as_slice().iter().zip(before.as_slice()).all(below));
    }
    let (square_avg, grad_avg) = (&rmsprop.state().square_avg, &rmsprop.state().grad_avg);
    assert!(square_avg.iter().zip(grad_avg).any(|(v, m)| m.mul_add(-m, *v) < 0.0));
}

#[test]
fn the_kind_chooses_the_optimizer() {
    let parse = |text: &str| serde_json::from_str::<OptimizerConfig>(text);
    assert_eq!(parse(r#"{"kind":"adam"}"#).unwrap(), OptimizerConfig::default());
    assert_eq!(parse(r#"{"kind":"adamw"}"#).unwrap(), OptimizerConfig::AdamW(AdamWConfig::default()));
    let tensorflow = RmsPropConfig { form: RmsPropForm::TensorFlow, ..RmsPropConfig::default() };
    assert_eq!(
        parse(r#"{"kind":"rmsprop","form":"tensorflow"}"#).unwrap(),
        OptimizerConfig::RmsProp(tensorflow)
    );
    let sgd = SgdConfig { momentum: 0.9, ..SgdConfig::default() };
    assert_eq!(parse(r#"{"kind":"sgd","momentum":0.9}"#).unwrap(), OptimizerConfig::Sgd(sgd));
    for wrong in [r#"{"kind":"lion"}"#, r#"{"kind":"sgd","alpha":0.9}"#, "{}"] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn bad_settings_are_refused() {
    let message = |config| Optimizer::new(config, 1).unwrap_err().to_string();
    let adam = AdamConfig { beta1: 1.0, ..AdamConfig::default() };
    assert_eq!(message(OptimizerConfig::Adam(adam)), "beta1 must be at least 0 and less than 1, got 1");
    let adamw = AdamWConfig { weight_decay: -1.0, ..AdamWConfig::default() };
    assert_eq!(message(OptimizerConfig::AdamW(adamw)), "weight_decay must be at least 0 and finite, got -1");
    let rmsprop = RmsPropConfig { eps: 0.0, ..RmsPropConfig::default() };
    assert_eq!(message(OptimizerConfig::RmsProp(rmsprop)), "eps must be positive and finite, got 0");
    let sgd = SgdConfig { nesterov: true, ..SgdConfig::default() };
    assert_eq!(message(OptimizerConfig::Sgd(sgd)), "momentum must be positive if nesterov is true, got 0");
}

#[test]
fn a_state_that_does_not_fit_is_refused() {
    let sgd = Optimizer::new(OptimizerConfig::Sgd(SgdConfig::default()), 3).unwrap();
    let error = Optimizer::from_state(OptimizerConfig::default(), sgd.state()).unwrap_err();
    assert_eq!(error.to_string(), "optimizer.kind must be adam, got a state of sgd");
    let momentum = OptimizerConfig::Sgd(SgdConfig { momentum: 0.9, ..SgdConfig::default() });
    let error = Optimizer::from_state(momentum, sgd.state()).unwrap_err();
    assert_eq!(error.to_string(), "momentum_buffer must hold 3 values, got 0");
    let plain = Optimizer::new(OptimizerConfig::RmsProp(RmsPropConfig::default()), 3).unwrap();
    let centered = OptimizerConfig::RmsProp(RmsPropConfig { centered: true, ..RmsPropConfig::default() });
    let error = Optimizer::from_state(centered, plain.state()).unwrap_err();
    assert_eq!(error.to_string(), "grad_avg must hold 3 values, got 0");
}

#[test]
fn wrong_lengths_change_nothing() {
    for config in all() {
        let (mut params, mut optimizer) = (params(4), Optimizer::new(config, 3).unwrap());
        let (before, state) = (params.clone(), optimizer.state());
        assert_eq!((optimizer.len(), optimizer.is_empty()), (3, false));
        assert!(optimizer.step(&mut params, &[1.0; 3], 0.1).is_err());
        let mut fitting = params_of(&[0.0; 3]);
        assert!(optimizer.step_shared(&mut fitting, &[1.0; 4], 1.0, 0.1).is_err());
        assert_eq!(params.as_slice(), before.as_slice());
        assert_eq!(optimizer.state(), state);
    }
}

#[test]
fn buffers_are_left_alone() {
    let mut builder = LayoutBuilder::new();
    builder.add("w", &[3], Init::Constant(2.0));
    let running = builder.add_buffer("running", &[2], Init::Constant(5.0));
    let params = builder.build(0);
    let configs = [
        OptimizerConfig::Adam(AdamConfig { weight_decay: 0.1, ..AdamConfig::default() }),
        OptimizerConfig::AdamW(AdamWConfig { weight_decay: 0.1, ..AdamWConfig::default() }),
        OptimizerConfig::RmsProp(RmsPropConfig { weight_decay: 0.1, ..RmsPropConfig::default() }),
        OptimizerConfig::Sgd(SgdConfig { weight_decay: 0.1, ..SgdConfig::default() }),
    ];
    for config in configs {
        let mut params = params.clone();
        let mut optimizer = Optimizer::new(config, params.len()).unwrap();
        let gradient: Vec<f32> = (0..params.len()).map(|i| f32::from(i < 3)).collect();
        optimizer.step(&mut params, &gradient, 0.1).unwrap();
        assert_eq!(running.of(params.as_slice()), [5.0; 2], "{config:?}");
        assert!(params.get("w").unwrap().iter().all(|&w| w < 2.0), "{config:?}");
    }
}
