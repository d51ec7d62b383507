//! Agreement of optimizers with numbers recorded from PyTorch (`/tests/golden/nn`).
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use agon_nn::{
    AdamConfig, AdamWConfig, Init, LayoutBuilder, Optimizer, OptimizerConfig, RmsPropConfig, SgdConfig,
    clip_grad_norm,
};
use common::Golden;

/// Six steps on the recorded gradients, compared after each.
fn check(name: &str, config: impl FnOnce(&dyn Fn(&str) -> f64) -> OptimizerConfig) {
    let golden = Golden::read(name);
    let config = config(&|setting| f64::from(golden.floats(setting)[0]));
    let (initial, grads) = (golden.floats("w0"), golden.floats("grads"));
    let mut builder = LayoutBuilder::new();
    builder.add("w", &golden.shape("w0"), Init::Zeros);
    let mut params = builder.build(0);
    params.as_mut_slice().copy_from_slice(&initial);
    let mut optimizer = Optimizer::new(config, initial.len()).unwrap();
    let mut path = Vec::new();
    for grads in grads.chunks_exact(initial.len()) {
        optimizer.step(&mut params, grads, golden.floats("lr")[0]).unwrap();
        path.extend_from_slice(params.as_slice());
    }
    golden.check("w", &path);
    // The path must really leave the start: small steps would pass the tolerance otherwise.
    let moved = path.iter().zip(initial.iter().cycle()).map(|(now, start)| (now - start).abs());
    assert!(moved.fold(0.0, f32::max) > 2e-3, "{name}");
}

#[test]
fn adam_agrees_with_pytorch() {
    check("optim_adam", |get| OptimizerConfig::Adam(AdamConfig { eps: get("eps"), ..AdamConfig::default() }));
}

#[test]
fn adamw_agrees_with_pytorch() {
    check("optim_adamw", |get| {
        OptimizerConfig::AdamW(AdamWConfig {
            eps: get("eps"),
            weight_decay: get("weight_decay"),
            ..AdamWConfig::default()
        })
    });
}

#[test]
fn rmsprop_agrees_with_pytorch() {
    for (name, centered) in [("optim_rmsprop", false), ("optim_rmsprop_centered", true)] {
        check(name, |get| {
            OptimizerConfig::RmsProp(RmsPropConfig {
                alpha: get("alpha"),
                eps: get("eps"),
                centered,
                ..RmsPropConfig::default()
            })
        });
    }
}

#[test]
fn stochastic_gradient_descent_agrees_with_pytorch() {
    for (name, nesterov) in [("optim_sgd_momentum", false), ("optim_sgd_nesterov", true)] {
        check(name, |get| {
            OptimizerConfig::Sgd(SgdConfig { momentum: get("momentum"), nesterov, weight_decay: 0.0 })
        });
    }
}

#[test]
fn clipping_agrees_with_pytorch() {
    let golden = Golden::read("clip_grad_norm");
    let (first, second) = (golden.floats("g0"), golden.floats("g1"));
    let mut grads = [first.as_slice(), &second].concat();
    let norm = clip_grad_norm(&mut grads, golden.floats("max_norm")[0]);
    golden.check("norm", &[norm]);
    golden.check("c0", &grads[..first.len()]);
    golden.check("c1", &grads[first.len()..]);
}
