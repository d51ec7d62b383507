//! Agreement of optimizers with numbers recorded from PyTorch (`/tests/golden/nn`).

mod common;

use agon_nn::{Adam, AdamConfig, Init, LayoutBuilder, clip_grad_norm};
use common::Golden;

#[test]
fn adam_agrees_with_pytorch() {
    let golden = Golden::read("optim_adam");
    let (initial, grads, path) = (golden.floats("w0"), golden.floats("grads"), golden.floats("w"));
    let len = initial.len();
    let mut builder = LayoutBuilder::new();
    builder.add("w", &golden.shape("w0"), Init::Zeros);
    let mut params = builder.build(0);
    params.as_mut_slice().copy_from_slice(&initial);
    let config = AdamConfig { eps: f64::from(golden.floats("eps")[0]), ..AdamConfig::default() };
    let mut adam = Adam::new(config, len).unwrap();
    let mut got = Vec::new();
    for grads in grads.chunks_exact(len) {
        adam.step(&mut params, grads, golden.floats("lr")[0]).unwrap();
        got.extend_from_slice(params.as_slice());
    }
    assert_eq!(got.len(), path.len());
    golden.check("w", &got);
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
