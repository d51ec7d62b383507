//! How long one decision of an exported policy takes, in agon-policy or in tract; `policy_latency.py` adds onnxruntime.
//!
//! ```sh
//! cargo bench --bench policy_latency -- policy.safetensors
//! cargo bench --bench policy_latency -- policy.onnx
//! ```
//!
//! The policy has no memory and observes one array of floats. Printed is the median over blocks, in nanoseconds. One runtime a
//! process: vector instructions of one slow the other down where they leave the registers' upper halves in use.
#![allow(clippy::print_stdout, reason = "a program that prints what it measured")]

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use agon_policy::{Action, InputPart, PortablePolicy};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid as _;

/// Decisions of a block, and blocks.
const DECISIONS: usize = 20_000;
const BLOCKS: usize = 15;

fn main() -> Result<(), Box<dyn Error>> {
    let mut files = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let file = files.next().ok_or("expected a file, as in `policy_latency policy.safetensors`")?;
    let nanoseconds = if file.ends_with(".onnx") { tract(&file)? } else { portable(&file)? };
    println!("{nanoseconds:.1}");
    Ok(())
}

fn portable(file: &str) -> Result<f64, Box<dyn Error>> {
    let policy = PortablePolicy::from_safetensors(&std::fs::read(file)?)?;
    let mut episode = policy.begin();
    let width = policy.program().inputs.iter().map(InputPart::len).sum();
    median(width, |observation| {
        match black_box(policy.act(&mut episode, observation, &[])?) {
            Action::Discrete(choices) => black_box(choices[0] as f32),
            Action::Continuous(numbers) => black_box(numbers[0]),
        };
        Ok(())
    })
}

fn tract(file: &str) -> Result<f64, Box<dyn Error>> {
    let graph = tract_onnx::onnx().model_for_path(file)?;
    let width = graph.input_fact(0)?.shape.dim(1).and_then(|size| size.concretize());
    let width = width
        .and_then(|size| size.to_i64().ok())
        .and_then(|size| usize::try_from(size).ok())
        .ok_or("expected an observation `[batch, size]`")?;
    let graph = graph.with_input_fact(0, f32::fact([1, width]).into())?.into_optimized()?.into_runnable()?;
    let mut state = graph.spawn()?;
    median(width, |observation| {
        let input = Tensor::from_shape(&[1, width], observation)?;
        black_box(state.run(tvec!(input.into_tvalue()))?);
        Ok(())
    })
}

/// The median time of a decision, over blocks.
fn median(
    width: usize,
    mut decide: impl FnMut(&[f32]) -> Result<(), Box<dyn Error>>,
) -> Result<f64, Box<dyn Error>> {
    let value = |row: usize, i: usize| ((row * 7 + i * 3) % 11) as f32 / 110.0 - 0.05;
    let observations: Vec<Vec<f32>> =
        (0..64).map(|row| (0..width).map(|i| value(row, i)).collect()).collect();
    let mut blocks = Vec::new();
    for _ in 0..BLOCKS {
        let began = Instant::now();
        for at in 0..DECISIONS {
            decide(&observations[at % 64])?;
        }
        blocks.push(began.elapsed().as_nanos() as f64 / DECISIONS as f64);
    }
    blocks.sort_by(f64::total_cmp);
    Ok(blocks[BLOCKS / 2])
}
