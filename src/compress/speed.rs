//! How long decisions take: the network alone, on recorded states.

use std::hint::black_box;
use std::time::Instant;

use agon_nn::{ToldNetwork, ToldScratch};
use agon_policy::{InputKind, InputPart, PortablePolicy};
use serde::Serialize;

use crate::RunError;
use crate::export::Export;

/// Rows of a batch.
const BATCH: usize = 64;
/// Times that are taken; the least counts.
const REPETITIONS: usize = 200;
/// Seconds of one of them at least.
const SECONDS: f64 = 0.001;

/// Microseconds of one decision.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Speed {
    /// One row at a time, by the crate that a robot would use.
    pub portable_us: f64,
    /// One row at a time, by the kernels.
    pub single_us: f64,
    /// Of a batch of 64, by the kernels: its time divided by 64.
    pub batch_us: f64,
}

/// Measures a program's network on rows of what it reads.
pub(super) fn speed(export: &Export, (states, width): (&[f32], usize)) -> Result<Speed, RunError> {
    let mut alone = export.program.clone();
    let (name, kind) = ("obs".to_owned(), InputKind::Float);
    let (low, high) = (Vec::new(), Vec::new());
    alone.inputs = vec![InputPart { name, shape: vec![width], kind, low, high }];
    alone.preparation.clear();
    let portable = PortablePolicy::new(alone, &export.parameters)?;
    let network = ToldNetwork::new(&export.program.operations, &export.parameters, width)?;
    let (mut scratch, mut out) = (ToldScratch::default(), Vec::new());
    let mut episode = portable.begin();
    let rows = states.len() / width;
    let row = |index: usize, count: usize| {
        let first = index * count % (rows - count + 1);
        &states[first * width..(first + count) * width]
    };
    let mask = vec![true; export.program.mask_len];
    Ok(Speed {
        portable_us: time(&mut |index| {
            black_box(portable.act(&mut episode, row(index, 1), &mask)?);
            Ok(())
        })?,
        single_us: time(&mut |index| Ok(network.run(black_box(row(index, 1)), &mut scratch, &mut out)?))?,
        batch_us: time(&mut |index| {
            Ok(network.run(black_box(row(index, BATCH)), &mut scratch, &mut out)?)
        })? / BATCH as f64,
    })
}

/// Microseconds of a call: the least of many short times, which others on the machine disturb least.
fn time(call: &mut dyn FnMut(usize) -> Result<(), RunError>) -> Result<f64, RunError> {
    let mut least = f64::INFINITY;
    for _ in 0..REPETITIONS {
        let (started, mut calls) = (Instant::now(), 0_usize);
        while started.elapsed().as_secs_f64() < SECONDS {
            for _ in 0..16 {
                call(calls)?;
                calls += 1;
            }
        }
        least = least.min(started.elapsed().as_secs_f64() * 1e6 / calls as f64);
    }
    Ok(least)
}
