//! Work on minibatches in a fixed number of slices.
//!
//! A gradient step on a small network takes 100 µs, and waking a sleeping thread up to half of that. So over a round of
//! updates the threads that will take slices are kept awake ([`awake`]); what they do is ordinary rayon work.

use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use agon_nn::{Optimizer, Params, check_finite, clip_grad_norm};
use rayon::prelude::*;

use crate::AgentError;

/// Looks for work before a thread that finds none lets others run: about 50 µs.
const IDLE_LOOKS: u32 = 500;
/// Values from which a sum of gradients is worth several threads.
const PARALLEL_FROM: usize = 1 << 15;
/// Values that one thread sums at a time.
const SUM_CHUNK: usize = 1 << 13;

thread_local! {
    /// Whether this thread is running the work of [`awake`], and so must not become a helper.
    static LEADING: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` while up to `helpers` other threads of the pool look for work instead of sleeping.
pub(crate) fn awake<R>(helpers: usize, work: impl FnOnce() -> R) -> R {
    let helpers = helpers.min(rayon::current_num_threads() - 1);
    if helpers == 0 || LEADING.get() {
        return work();
    }
    let ended = AtomicBool::new(false);
    rayon::in_place_scope(|scope| {
        // Dropped on every way out, a panic of `work` included: helpers must not look for ever.
        let _end = End(&ended);
        LEADING.set(true);
        for _ in 0..helpers {
            scope.spawn(|_| help(&ended));
        }
        work()
    })
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        LEADING.set(false);
        self.0.store(true, Ordering::Release);
    }
}

/// Takes whatever work the pool has until `ended`.
fn help(ended: &AtomicBool) {
    let mut idle = 0;
    // A leader that waits for a slice may be given this task: it has its own work.
    while !LEADING.get() && !ended.load(Ordering::Acquire) {
        if rayon::yield_now() == Some(rayon::Yield::Executed) {
            idle = 0;
        } else if idle < IDLE_LOOKS {
            idle += 1;
            std::hint::spin_loop();
        } else {
            std::thread::yield_now();
        }
    }
}

/// Runs `work` on each workspace, on as many threads as there are.
///
/// Workspaces share nothing they write, so results do not depend on the threads.
///
/// # Errors
/// The error of one that failed.
pub(crate) fn for_each<W: Send, E: Send>(
    workspaces: &mut [W],
    work: impl Fn(usize, &mut W) -> Result<(), E> + Sync,
) -> Result<(), E> {
    if let [only] = workspaces {
        return work(0, only);
    }
    workspaces
        .par_iter_mut()
        .enumerate()
        .with_max_len(1)
        .try_for_each(|(index, workspace)| work(index, workspace))
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

/// Adds the gradients of the other slices to that of the first, in order.
fn sum_in_order(total: &mut [f32], others: &[&[f32]]) {
    let sum_from = |start: usize, total: &mut [f32]| {
        for other in others {
            for (sum, value) in total.iter_mut().zip(&other[start..]) {
                *sum += value;
            }
        }
    };
    if total.len() < PARALLEL_FROM {
        sum_from(0, total);
    } else {
        total
            .par_chunks_mut(SUM_CHUNK)
            .enumerate()
            .for_each(|(chunk, total)| sum_from(chunk * SUM_CHUNK, total));
    }
}

/// Sums the slices' gradients, clips the sum and takes an optimizer step with it.
///
/// # Errors
/// If the gradient is not finite, naming the parameter.
pub(crate) fn descend<W, S>(
    params: &mut Params,
    optimizer: &mut Optimizer,
    slices: &mut [Slice<W, S>],
    max_grad_norm: f64,
    learning_rate: f64,
) -> Result<(), AgentError> {
    let Some((first, others)) = slices.split_first_mut() else { return Ok(()) };
    let total = &mut first.grads;
    let others: Vec<&[f32]> = others.iter().map(|slice| slice.grads.as_slice()).collect();
    sum_in_order(total, &others);
    let norm = clip_grad_norm(total, max_grad_norm as f32);
    if !norm.is_finite() {
        check_finite(params.layout(), total)?;
    }
    Ok(optimizer.step_parallel(params, total, learning_rate as f32)?)
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
    fn gradients_are_summed_alike_for_every_size_and_number_of_threads() {
        for len in [5, PARALLEL_FROM + 3] {
            let gradient =
                |seed: usize| (0..len).map(|i| ((i * 7 + seed) % 13) as f32 * 0.1).collect::<Vec<_>>();
            let (first, second, third) = (gradient(1), gradient(2), gradient(3));
            let expected: Vec<f32> = (0..len).map(|i| first[i] + second[i] + third[i]).collect();
            for threads in [1, 2, 4] {
                let mut total = first.clone();
                in_pool(threads, || sum_in_order(&mut total, &[&second, &third]));
                assert!(total == expected, "{len} values, {threads} threads");
            }
        }
    }

    /// Many short rounds of slices; gives each slice's sum of the rounds' numbers.
    fn rounds(count: u64) -> Vec<u64> {
        let mut sums = vec![0; 3];
        awake(2, || {
            for round in 1..=count {
                for_each(&mut sums, |_, sum| {
                    *sum += round;
                    Ok::<_, ()>(())
                })
                .unwrap();
            }
        });
        sums
    }

    #[test]
    fn every_slice_runs_once_a_round_for_any_number_of_threads() {
        for threads in [1, 2, 3, 5] {
            assert_eq!(in_pool(threads, || rounds(500)), [500 * 501 / 2; 3]);
        }
    }

    #[test]
    fn leaders_of_one_pool_do_not_block_each_other() {
        for _ in 0..20 {
            let (a, b) = in_pool(2, || rayon::join(|| rounds(100), || rounds(100)));
            assert_eq!((a, b), (vec![5050; 3], vec![5050; 3]));
        }
    }

    #[test]
    #[should_panic(expected = "a slice broke")]
    fn a_panic_of_a_slice_is_passed_on_and_ends_the_helpers() {
        in_pool(2, || {
            awake(1, || {
                let _ = for_each(&mut [(), ()], |slice, ()| {
                    assert!(slice == 0, "a slice broke");
                    Ok::<_, ()>(())
                });
            });
        });
    }
}
