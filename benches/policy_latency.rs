//! How long one decision takes, of an exported policy in agon-policy and in tract; `policy_latency.py` adds onnxruntime.
//!
//! ```sh
//! cargo bench --bench policy_latency -- policy.safetensors policy.onnx
//! ```
//!
//! Both files are of one policy without memory, whose observation is one array of floats. Blocks of decisions alternate between
//! the two; printed are JSON and medians over blocks, in nanoseconds.
#![allow(clippy::print_stdout, reason = "a program that prints what it measured")]

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use agon_policy::{Action, PortablePolicy};
use tract_onnx::prelude::*;

/// Decisions of a block, and blocks.
const DECISIONS: usize = 20_000;
const BLOCKS: usize = 15;

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let [portable, onnx] = &paths[..] else {
        return Err("expected two files, as in `policy_latency policy.safetensors policy.onnx`".into());
    };
    let policy = PortablePolicy::from_safetensors(&std::fs::read(portable)?)?;
    let width: usize = policy.program().inputs.iter().map(agon_policy::InputPart::len).sum();
    let graph = tract_onnx::onnx().model_for_path(onnx)?;
    let graph = graph.with_input_fact(0, f32::fact([1, width]).into())?.into_optimized()?.into_runnable()?;
    let observations: Vec<Vec<f32>> = (0..64)
        .map(|row| (0..width).map(|i| ((row * 7 + i * 3) % 11) as f32 / 110.0 - 0.05).collect())
        .collect();
    let mut episode = policy.begin();
    let mut state = graph.spawn()?;
    let (mut ours, mut tracts) = (Vec::new(), Vec::new());
    for _ in 0..BLOCKS {
        let began = Instant::now();
        for at in 0..DECISIONS {
            let action = policy.act(&mut episode, &observations[at % 64][..], &[])?;
            match black_box(action) {
                Action::Discrete(choices) => black_box(choices[0] as f32),
                Action::Continuous(numbers) => black_box(numbers[0]),
            };
        }
        ours.push(began.elapsed().as_nanos() as f64 / DECISIONS as f64);
        let began = Instant::now();
        for at in 0..DECISIONS {
            let input = Tensor::from_shape(&[1, width], &observations[at % 64])?;
            black_box(state.run(tvec!(input.into_tvalue()))?);
        }
        tracts.push(began.elapsed().as_nanos() as f64 / DECISIONS as f64);
    }
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    println!("{{\"agon-policy\": {:.1}, \"tract\": {:.1}}}", median(&mut ours), median(&mut tracts));
    Ok(())
}
