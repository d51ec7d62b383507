//! Optimizers over flat parameters, gradient clipping and the check for lost gradients.
//!
//! Every optimizer has a configuration, a complete state and two forms of a step: on the calling thread, and on the
//! threads of a [team] with the same bits. [`Optimizer`] is any of them, chosen by a configuration file.
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
pub use clip::{check_finite, clip_coefficient, clip_grad_norm, sum_grads};
pub use optimizer::{Optimizer, OptimizerConfig, OptimizerState};
pub use rmsprop::{RmsProp, RmsPropConfig, RmsPropForm, RmsPropState};
pub use sgd::{Sgd, SgdConfig, SgdState};

use std::sync::Arc;

use pulp::Simd;

use crate::error::NnError;
use crate::kernels::{Update, update};
use crate::matrix::check_length;
use crate::params::Params;
use crate::team;

/// How many steps lie between two that set denormal running values to zero: doing it always would cost a fifth of
/// the step.
const FLUSH_EVERY: u64 = 64;

/// Values that one thread takes at a time, or a multiple; a multiple of every vector width.
const CHUNK: usize = 1024;

/// How a step is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// On the calling thread.
    Alone,
    /// On the threads of the team, against a multiple of the gradient.
    Shared { factor: f32 },
}

/// A rule that sees a multiple of the gradient.
#[derive(Clone, Copy)]
struct Scaled<U> {
    rule: U,
    factor: f32,
}

impl<U: Update<N>, const N: usize> Update<N> for Scaled<U> {
    #[inline(always)]
    fn apply<S: Simd>(
        self,
        simd: S,
        param: S::f32s,
        grad: S::f32s,
        state: [S::f32s; N],
    ) -> (S::f32s, [S::f32s; N]) {
        self.rule.apply(simd, param, simd.mul_f32s(grad, simd.splat_f32s(self.factor)), state)
    }
}

/// Updates all parameters with their running values, which are as long as the gradients; buffers keep their values.
fn run<const N: usize>(
    rule: impl Update<N>,
    params: &mut Params,
    grads: &[f32],
    state: [&mut [f32]; N],
    way: Way,
) {
    let layout = Arc::clone(params.layout());
    let buffers: Vec<Vec<f32>> = layout.buffers().map(|range| range.of(params.as_slice()).to_vec()).collect();
    let values = params.as_mut_slice();
    match way {
        Way::Alone => update(rule, values, grads, state),
        Way::Shared { factor } => run_shared(Scaled { rule, factor }, values, grads, state),
    }
    for (range, kept) in layout.buffers().zip(buffers) {
        range.of_mut(values).copy_from_slice(&kept);
    }
}

/// Some of the values that a step updates.
struct Part<'a, const N: usize> {
    params: &'a mut [f32],
    grads: &'a [f32],
    state: [&'a mut [f32]; N],
}

/// Each value is updated for itself, so the cut into parts does not show in the result.
fn run_shared<const N: usize>(
    rule: impl Update<N>,
    params: &mut [f32],
    grads: &[f32],
    state: [&mut [f32]; N],
) {
    let len = part_len(grads.len());
    if len >= grads.len() {
        return update(rule, params, grads, state);
    }
    let mut states = state.map(|values| values.chunks_mut(len));
    let pairs = params.chunks_mut(len).zip(grads.chunks(len));
    let mut parts: Vec<Part<'_, N>> = pairs
        .map(|(params, grads)| {
            // Equally long slices have equally many chunks.
            let state = states.each_mut().map(|chunks| chunks.next().unwrap_or_default());
            Part { params, grads, state }
        })
        .collect();
    team::for_each(&mut parts, |_, Part { params, grads, state }| {
        update(rule, params, grads, state.each_mut().map(|values| &mut **values));
    });
}

/// How many of `len` values a thread of the team takes at a time: a multiple of [`CHUNK`].
fn part_len(len: usize) -> usize {
    len.div_ceil(team::members()).next_multiple_of(CHUNK)
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
