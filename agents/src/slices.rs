//! Work on minibatches in a fixed number of slices.
//!
//! A gradient step on a small network takes 100 µs, and waking a sleeping thread up to half of that. So a round of
//! updates has its threads join once and then alternate: one thread does the serial part of an update while the others
//! spin, then all of them take slices. A thread that never comes (its pool is busy with other things) is not waited for.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

/// Spins before a waiting thread lets others run: about 50 µs.
const SPINS: u32 = 2000;

/// Alternates between `serial`, on this thread alone, and `parallel`, for each slice, until `serial` returns false.
///
/// `serial` has the state to itself, and the slices' workspaces; `parallel` shares the state and has its own workspace.
/// Which thread takes which slice is left open: slices share nothing they write, so results do not depend on it.
///
/// # Errors
/// The first error of `serial`, or of the first slice that failed; nothing runs after it.
pub(crate) fn alternate<S, W, E>(
    state: &mut S,
    slices: &mut [W],
    mut serial: impl FnMut(&mut S, &mut [&mut W]) -> Result<bool, E>,
    parallel: impl Fn(&S, usize, &mut W) -> Result<(), E> + Sync,
) -> Result<(), E>
where
    S: Send + Sync,
    W: Send,
    E: Send,
{
    let helpers = rayon::current_num_threads().min(slices.len()) - 1;
    if helpers == 0 {
        loop {
            if !serial(state, &mut slices.iter_mut().collect::<Vec<_>>())? {
                return Ok(());
            }
            slices.iter_mut().enumerate().try_for_each(|(slice, work)| parallel(state, slice, work))?;
        }
    }
    let team = Team {
        state: RwLock::new(state),
        slices: slices.iter_mut().map(|work| Mutex::new((work, Ok(())))).collect(),
        unclaimed: AtomicUsize::new(0),
        finished: AtomicUsize::new(0),
        ended: AtomicBool::new(false),
        parallel,
    };
    rayon::in_place_scope(|scope| {
        // Set on every way out, a panic of `serial` included: helpers must not wait for ever.
        let _end = SetOnDrop(&team.ended);
        for _ in 0..helpers {
            scope.spawn(|_| team.help());
        }
        team.lead(&mut serial)
    })
}

/// Runs `work` once for each slice.
///
/// # Errors
/// The error of the first slice that failed.
pub(crate) fn for_each_slice<W: Send, E: Send>(
    slices: &mut [W],
    work: impl Fn(usize, &mut W) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let mut rounds = 0;
    let once = |(): &mut (), _: &mut [&mut W]| {
        rounds += 1;
        Ok(rounds == 1)
    };
    alternate(&mut (), slices, once, |(), slice, workspace| work(slice, workspace))
}

/// What the threads of [`alternate`] share.
struct Team<'a, S, W, E, P> {
    state: RwLock<&'a mut S>,
    slices: Vec<Mutex<(&'a mut W, Result<(), E>)>>,
    /// Slices that nobody has taken yet, counted down from the end.
    unclaimed: AtomicUsize,
    /// Slices of this round that are done.
    finished: AtomicUsize,
    ended: AtomicBool,
    parallel: P,
}

impl<S, W, E, P> Team<'_, S, W, E, P>
where
    S: Send + Sync,
    W: Send,
    E: Send,
    P: Fn(&S, usize, &mut W) -> Result<(), E> + Sync,
{
    fn lead(&self, serial: &mut impl FnMut(&mut S, &mut [&mut W]) -> Result<bool, E>) -> Result<(), E> {
        loop {
            {
                let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
                let mut guards: Vec<_> = self.slices.iter().map(lock).collect();
                for guard in &mut guards {
                    std::mem::replace(&mut guard.1, Ok(()))?;
                }
                let mut works: Vec<&mut W> = guards.iter_mut().map(|guard| &mut *guard.0).collect();
                if !serial(&mut state, &mut works)? {
                    return Ok(());
                }
            }
            self.finished.store(0, Ordering::Relaxed);
            self.unclaimed.store(self.slices.len(), Ordering::Release);
            while self.take_slice() {}
            wait_until(|| self.finished.load(Ordering::Acquire) == self.slices.len());
        }
    }

    fn help(&self) {
        loop {
            wait_until(|| self.ended.load(Ordering::Acquire) || self.unclaimed.load(Ordering::Acquire) > 0);
            if self.ended.load(Ordering::Acquire) {
                return;
            }
            while self.take_slice() {}
        }
    }

    /// Takes a slice and works on it; false if none is left.
    fn take_slice(&self) -> bool {
        let claim = |left: usize| left.checked_sub(1);
        let Ok(left) = self.unclaimed.fetch_update(Ordering::AcqRel, Ordering::Acquire, claim) else {
            return false;
        };
        // Counted even if the work panics: the panic reaches the leader when the scope ends, not by silence.
        let _count = AddOnDrop(&self.finished);
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let mut slot = lock(&self.slices[left - 1]);
        let (work, result) = &mut *slot;
        *result = (self.parallel)(&state, left - 1, work);
        true
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait_until(ready: impl Fn() -> bool) {
    let mut spins = 0;
    while !ready() {
        if spins < SPINS {
            spins += 1;
            std::hint::spin_loop();
        } else {
            std::thread::yield_now();
        }
    }
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

struct AddOnDrop<'a>(&'a AtomicUsize);

impl Drop for AddOnDrop<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

/// The rows of one of `slices` nearly equal parts of `rows`.
pub(crate) fn slice_range(rows: usize, slices: usize, slice: usize) -> Range<usize> {
    rows * slice / slices..rows * (slice + 1) / slices
}

/// Adds the gradients of slices 1.. to that of slice 0, in order.
pub(crate) fn sum_in_order<'a>(total: &mut [f32], others: impl Iterator<Item = &'a [f32]>) {
    for other in others {
        for (sum, value) in total.iter_mut().zip(other) {
            *sum += value;
        }
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

    /// Rounds in which every slice adds the round's number to its sum.
    fn rounds(threads: usize, rounds: u64) -> (u64, Vec<u64>) {
        let (mut state, mut slices) = (0_u64, vec![0_u64; 3]);
        in_pool(threads, || {
            alternate(
                &mut state,
                &mut slices,
                |round, sums| {
                    *round += 1;
                    assert!(sums.iter().all(|sum| **sum == (*round - 1) * *round / 2), "a round is whole");
                    Ok::<_, ()>(*round <= rounds)
                },
                |round, _, sum| {
                    *sum += round;
                    Ok(())
                },
            )
        })
        .unwrap();
        (state, slices)
    }

    #[test]
    fn every_slice_runs_once_a_round_for_any_number_of_threads() {
        for threads in [1, 2, 3, 5] {
            assert_eq!(rounds(threads, 500), (501, vec![500 * 501 / 2; 3]));
        }
    }

    #[test]
    fn an_error_of_a_slice_ends_the_rounds() {
        for threads in [1, 2] {
            let (mut state, mut slices) = (0, vec![(); 2]);
            let result = in_pool(threads, || {
                alternate(
                    &mut state,
                    &mut slices,
                    |round, _| {
                        *round += 1;
                        Ok(true)
                    },
                    |round, slice, ()| if *round == 3 && slice == 1 { Err("third") } else { Ok(()) },
                )
            });
            assert_eq!((result, state), (Err("third"), 3));
        }
    }

    #[test]
    fn busy_pools_do_not_block_each_other() {
        in_pool(2, || {
            rayon::join(|| rounds_here(200), || rounds_here(200));
        });
    }

    fn rounds_here(rounds: u64) {
        let (mut state, mut slices) = (0_u64, vec![0_u64; 2]);
        let serial = |round: &mut u64, _: &mut [&mut u64]| {
            *round += 1;
            Ok::<_, ()>(*round <= rounds)
        };
        let parallel = |round: &u64, _: usize, sum: &mut u64| {
            *sum += round;
            Ok(())
        };
        alternate(&mut state, &mut slices, serial, parallel).unwrap();
        assert_eq!(slices, vec![rounds * (rounds + 1) / 2; 2]);
    }

    #[test]
    #[should_panic(expected = "a slice broke")]
    fn a_panic_of_a_slice_is_passed_on() {
        in_pool(2, || {
            let serial = |_: &mut (), _: &mut [&mut ()]| Ok::<_, ()>(true);
            let _ = alternate(&mut (), &mut [(), ()], serial, |(), slice, ()| {
                assert!(slice == 0, "a slice broke");
                Ok(())
            });
        });
    }
}
