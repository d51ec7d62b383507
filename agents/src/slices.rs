//! Work on minibatches in a fixed number of slices, on the threads of a [`team`].

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use agon_nn::team;
use agon_nn::{Optimizer, Params, check_finite, clip_coefficient, sum_grads};

use crate::AgentError;

/// Runs `work` while up to `helpers` other threads of the pool wait for parts of what it does.
pub(crate) fn awake<R>(helpers: usize, work: impl FnOnce() -> R) -> R {
    team::gather(helpers, work)
}

/// Runs `work` on each workspace, on the threads that are [`awake`].
///
/// Workspaces share nothing they write, so results do not depend on the threads.
///
/// # Errors
/// That of the first one that failed.
pub(crate) fn for_each<W: Send, E: Send>(
    workspaces: &mut [W],
    work: impl Fn(usize, &mut W) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let failed: Mutex<Option<(usize, E)>> = Mutex::new(None);
    team::for_each(workspaces, |index, workspace| {
        let Err(error) = work(index, workspace) else { return };
        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.as_ref().is_none_or(|(first, _)| index < *first) {
            *failed = Some((index, error));
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.map_or(Ok(()), |(_, error)| Err(error))
}

/// What is summed over the rows of a minibatch.
pub trait Sums: Default + Send {
    /// Adds another part's sums.
    fn add(&mut self, other: &Self);
}

/// One slice of a minibatch: working memory, the gradient of its rows, and their sums.
#[derive(Debug, Default)]
pub struct Slice<W, S> {
    grads: Vec<f32>,
    /// Kept from minibatch to minibatch.
    pub(crate) work: W,
    /// Of the rows of the last minibatch.
    pub(crate) sums: S,
}

/// So many slices.
pub(crate) fn slices<W: Default, S: Default>(count: usize) -> Vec<Slice<W, S>> {
    (0..count).map(|_| Slice { grads: Vec::new(), work: W::default(), sums: S::default() }).collect()
}

/// Has `work` overwrite the gradient of `len` parameters for the rows of each slice of a minibatch; gives the sums over all.
///
/// A slice without rows has a gradient of zeros and is not worked on.
///
/// # Errors
/// The error of a slice that failed.
pub(crate) fn for_each_slice<W: Send, S: Sums, E: Send>(
    slices: &mut [Slice<W, S>],
    rows: usize,
    len: usize,
    work: impl Fn(Range<usize>, &mut W, &mut [f32]) -> Result<S, E> + Sync,
) -> Result<S, E> {
    let count = slices.len();
    for_each(slices, |index, slice| {
        let range = slice_range(rows, count, index);
        slice.grads.resize(len, 0.0);
        slice.sums = S::default();
        if range.is_empty() {
            slice.grads.fill(0.0);
        } else {
            slice.sums = work(range, &mut slice.work, &mut slice.grads)?;
        }
        Ok(())
    })?;
    let mut total = S::default();
    slices.iter().for_each(|slice| total.add(&slice.sums));
    Ok(total)
}

/// The rows of one of `slices` nearly equal parts of `rows`.
pub(crate) fn slice_range(rows: usize, slices: usize, slice: usize) -> Range<usize> {
    rows * slice / slices..rows * (slice + 1) / slices
}

/// Makes the gradients of some parameters zero in all slices.
pub(crate) fn forget<W, S>(slices: &mut [Slice<W, S>], ranges: impl Iterator<Item = Range<usize>>) {
    for range in ranges {
        slices.iter_mut().for_each(|slice| slice.grads[range.clone()].fill(0.0));
    }
}

/// Adds to the sum over slices.
pub(crate) fn add<W, S>(slices: &mut [Slice<W, S>], what: impl FnOnce(&mut [f32])) {
    if let Some(first) = slices.first_mut() {
        what(&mut first.grads);
    }
}

/// Changes the gradient of each slice.
pub(crate) fn each_gradient<W, S>(slices: &mut [Slice<W, S>], change: impl Fn(&mut [f32])) {
    slices.iter_mut().for_each(|slice| change(&mut slice.grads));
}

/// Sums the slices' gradients, clips the sum and takes an optimizer step with it, by ranges of parameters. Gives the sum's norm
/// before it was clipped.
///
/// # Errors
/// If the gradient is not finite, naming the parameter.
pub(crate) fn descend<W, S>(
    params: &mut Params,
    optimizer: &mut Optimizer,
    slices: &mut [Slice<W, S>],
    max_grad_norm: f64,
    learning_rate: f64,
) -> Result<f32, AgentError> {
    let Some((first, others)) = slices.split_first_mut() else { return Ok(0.0) };
    let total = &mut first.grads;
    let others: Vec<&[f32]> = others.iter().map(|slice| slice.grads.as_slice()).collect();
    let norm = sum_grads(total, &others);
    if !norm.is_finite() {
        check_finite(params.layout(), total)?;
    }
    let factor = clip_coefficient(norm, max_grad_norm as f32);
    optimizer.step_shared(params, total, factor, learning_rate as f32)?;
    Ok(norm)
}

#[cfg(test)]
impl Sums for f32 {
    fn add(&mut self, other: &Self) {
        *self += other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
    }

    #[test]
    fn slices_cover_all_rows_once() {
        for (rows, slices) in [(10, 3), (2, 4), (256, 2), (1, 1)] {
            let covered: Vec<usize> =
                (0..slices).flat_map(|slice| slice_range(rows, slices, slice)).collect();
            assert_eq!(covered, (0..rows).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_error_of_the_first_slice_that_failed_is_given() {
        for threads in [1, 3] {
            let outcome = in_pool(threads, || {
                awake(2, || for_each(&mut [0; 5], |slice, _| if slice < 2 { Ok(()) } else { Err(slice) }))
            });
            assert_eq!(outcome, Err(2));
        }
    }
}
