//! Agreement of attention with numbers recorded from PyTorch (`/tests/golden/nn`).

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use agon_nn::{
    Activation, AttentionMask, BlockConfig, CrossAttention, LayoutBuilder, Matrix, Params, SelfAttention,
    Tape, TransformerBlock,
};
use common::Golden;

const HEADS: usize = 3;

/// The parameters of a recording.
fn recorded(golden: &Golden, builder: LayoutBuilder) -> Params {
    let mut params = builder.build(0);
    for spec in params.layout().clone().specs() {
        let values = golden.floats(&format!("w.{}", spec.name.trim_start_matches("l.")));
        spec.range.write(&values, params.as_mut_slice());
    }
    params
}

/// An input of a recording, `[B, L, E]` as rows.
fn input(golden: &Golden, name: &str) -> Matrix {
    let shape = golden.shape(name);
    Matrix::from_slice(shape[0] * shape[1], shape[2], &golden.floats(name)).unwrap().tracked()
}

/// Checks outputs and all gradients.
fn check(golden: &Golden, params: &Params, inputs: &[&Matrix], outputs: &[Matrix], tape: Tape) {
    let gradients: Vec<Vec<f32>> = (0..outputs.len()).map(|i| golden.floats(&format!("g{i}"))).collect();
    let losses: Vec<(&Matrix, &[f32])> =
        outputs.iter().zip(&gradients).map(|(output, gradient)| (output, &gradient[..])).collect();
    for (i, output) in outputs.iter().enumerate() {
        golden.check(&format!("y{i}"), output.as_slice());
    }
    let mut gradient = vec![f32::NAN; params.len()];
    let of_inputs = tape.backward(params, &losses, &mut gradient).unwrap();
    for (i, input) in inputs.iter().enumerate() {
        golden.check(&format!("dx{i}"), of_inputs.get(input).unwrap());
    }
    for spec in params.layout().specs() {
        let name = format!("dw.{}", spec.name.trim_start_matches("l."));
        golden.check(&name, &spec.range.read(&gradient));
    }
}

fn check_self(name: &str, mask: &AttentionMask<'_>) {
    let golden = Golden::read(name);
    let x = input(&golden, "x0");
    let mut builder = LayoutBuilder::new();
    let layer = SelfAttention::new(&mut builder, "l", x.columns(), HEADS).unwrap();
    let params = recorded(&golden, builder);
    let mut tape = Tape::new();
    let y = layer.forward(&params, &x, golden.shape("x0")[0], mask, &mut tape).unwrap();
    check(&golden, &params, &[&x], &[y], tape);
}

#[test]
fn self_attention_with_its_weights_agrees_with_pytorch() {
    let golden = Golden::read("mha");
    let x = input(&golden, "x0");
    let mut builder = LayoutBuilder::new();
    let layer = SelfAttention::new(&mut builder, "l", x.columns(), HEADS).unwrap();
    let params = recorded(&golden, builder);
    let (batch, mask) = (golden.shape("x0")[0], AttentionMask::none());
    let mut tape = Tape::new();
    let (y, weights) = layer.forward_with_weights(&params, &x, batch, &mask, &mut tape).unwrap();
    check(&golden, &params, &[&x], &[y, weights], tape);
}

#[test]
fn masked_attention_agrees_with_pytorch() {
    check_self("mha_causal", &AttentionMask::none().causal());
    let padding = Golden::read("mha_padded").flags("key_padding_mask");
    check_self("mha_padded", &AttentionMask::none().key_padding(&padding));
    let segments = Golden::read("mha_causal_segments").indices("segments");
    let segments: Vec<u32> = segments.into_iter().map(|segment| u32::try_from(segment).unwrap()).collect();
    check_self("mha_causal_segments", &AttentionMask::none().causal().segments(&segments));
}

#[test]
fn cross_attention_agrees_with_pytorch() {
    let golden = Golden::read("mha_cross");
    let (x, others) = (input(&golden, "x0"), input(&golden, "x1"));
    let mut builder = LayoutBuilder::new();
    let layer = CrossAttention::new(&mut builder, "l", x.columns(), HEADS).unwrap();
    let params = recorded(&golden, builder);
    let (batch, mask) = (golden.shape("x0")[0], AttentionMask::none());
    let mut tape = Tape::new();
    let (y, _) = layer.forward(&params, &x, &others, batch, &mask, &mut tape).unwrap();
    check(&golden, &params, &[&x, &others], &[y], tape);
}

#[test]
fn transformer_blocks_agree_with_pytorch() {
    let golden = Golden::read("transformer_block_prenorm");
    let x = input(&golden, "x0");
    let config = BlockConfig {
        width: x.columns(),
        heads: HEADS,
        feed_forward: golden.shape("w.linear1.weight")[0],
        activation: Activation::Gelu,
    };
    let mut builder = LayoutBuilder::new();
    let block = TransformerBlock::pre_norm(&mut builder, "l", &config).unwrap();
    let params = recorded(&golden, builder);
    let mut tape = Tape::new();
    let mask = AttentionMask::none().causal();
    let y = block.forward(&params, &x, golden.shape("x0")[0], &mask, &mut tape).unwrap();
    check(&golden, &params, &[&x], &[y], tape);
}
