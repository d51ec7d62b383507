//! Optimizers over flat parameters, gradient clipping and the check for lost gradients.
//!
//! Every optimizer has a configuration, a complete state and two forms of a step: on the calling thread, and on the
//! threads of a rayon pool with the same bits. [`Optimizer`] is any of them, chosen by a configuration file.
//!
//! # Deviations
//! What all of them do otherwise than PyTorch: every 64th step, running values below the smallest normal `f32`
//! (1.2e-38) become zero. Those of a dead unit decay into denormals otherwise, stay there, and make a step take
//! twice as long.

mod adam;
mod adamw;
mod clip;
mod optimizer;
mod rmsprop;
mod sgd;

pub use adam::{Adam, AdamConfig, AdamState};
pub use adamw::{AdamW, AdamWConfig};
pub use clip::{check_finite, clip_grad_norm};
pub use optimizer::{Optimizer, OptimizerConfig, OptimizerState};
pub use rmsprop::{RmsProp, RmsPropConfig, RmsPropForm, RmsPropState};
pub use sgd::{Sgd, SgdConfig, SgdState};

use std::sync::Arc;

use crate::error::NnError;
use crate::kernels::{Update, update};
use crate::matrix::check_length;
use crate::params::Params;

/// How many steps lie between two that set denormal running values to zero: doing it always would cost a fifth of
/// the step.
const FLUSH_EVERY: u64 = 64;

/// Values that one thread updates at a time; a multiple of every vector width.
const CHUNK: usize = 8192;

/// From this many values on a parallel step uses several threads.
const PARALLEL_FROM: usize = 32_768;

/// Where a step runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Threads {
    /// On the calling thread.
    One,
    /// On the threads of the current rayon pool, if there are enough values for them.
    Pool,
}

/// Updates all parameters with their running values, which are as long as the gradients; buffers keep their values.
fn run<const N: usize>(
    rule: impl Update<N>,
    params: &mut Params,
    grads: &[f32],
    state: [&mut [f32]; N],
    threads: Threads,
) {
    let layout = Arc::clone(params.layout());
    let buffers: Vec<Vec<f32>> = layout.buffers().map(|range| range.of(params.as_slice()).to_vec()).collect();
    let values = params.as_mut_slice();
    run_over(rule, values, grads, state, threads);
    for (range, kept) in layout.buffers().zip(buffers) {
        range.of_mut(values).copy_from_slice(&kept);
    }
}

fn run_over<const N: usize>(
    rule: impl Update<N>,
    params: &mut [f32],
    grads: &[f32],
    state: [&mut [f32]; N],
    threads: Threads,
) {
    if threads == Threads::One || grads.len() < PARALLEL_FROM || rayon::current_num_threads() == 1 {
        update(rule, params, grads, state);
    } else {
        run_parallel(rule, params, grads, state);
    }
}

/// Halves the values until each part is a chunk.
fn run_parallel<const N: usize>(
    rule: impl Update<N>,
    params: &mut [f32],
    grads: &[f32],
    mut state: [&mut [f32]; N],
) {
    // Every value is updated for itself, so the cut into chunks does not show in the result.
    if grads.len() <= CHUNK {
        update(rule, params, grads, state);
        return;
    }
    let middle = (grads.len() / 2).next_multiple_of(CHUNK);
    let (params, later_params) = params.split_at_mut(middle);
    let (grads, later_grads) = grads.split_at(middle);
    let later_state = state.each_mut().map(|part| {
        let (first, later) = std::mem::take(part).split_at_mut(middle);
        *part = first;
        later
    });
    rayon::join(
        || run_parallel(rule, params, grads, state),
        || run_parallel(rule, later_params, later_grads, later_state),
    );
}

/// Checks that parameters and gradients have the optimizer's length.
fn check_lengths(len: usize, params: &Params, grads: &[f32]) -> Result<(), NnError> {
    check_length("parameters", len, params.len())?;
    check_length("gradients", len, grads.len())
}

/// Checks that a decay is in `0..1`.
fn check_decay(field: &'static str, value: f64) -> Result<(), NnError> {
    check(field, (0.0..1.0).contains(&value), "at least 0 and less than 1", value)
}

fn check_positive(field: &'static str, value: f64) -> Result<(), NnError> {
    check(field, value > 0.0 && value.is_finite(), "positive and finite", value)
}

fn check_not_negative(field: &'static str, value: f64) -> Result<(), NnError> {
    check(field, value >= 0.0 && value.is_finite(), "at least 0 and finite", value)
}

fn check(field: &'static str, holds: bool, expected: &'static str, got: f64) -> Result<(), NnError> {
    if holds { Ok(()) } else { Err(NnError::Config { field, expected, got: got.to_string() }) }
}

#[cfg(test)]
mod tests;
