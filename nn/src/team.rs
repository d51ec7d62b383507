//! Several threads that work on one thing, phase by phase.
//!
//! A gradient step on a small network takes 50 µs, and waking a sleeping thread as long. So over a round of steps the threads
//! that will help are kept awake ([`gather`]): they watch a board on which the thread that leads puts one job after another,
//! and a job begins on them within a tenth of a microsecond. Threads are those of the current rayon pool; none is spawned.
//!
//! Parts share nothing they write, so results do not depend on who does them.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::kernels::Board;

/// Looks for a part before a helper that finds none looks for other work of the pool and lets others run: about 50 µs.
const IDLE_LOOKS: u32 = 2000;

thread_local! {
    /// The board of the team that this thread leads.
    static BOARD: RefCell<Option<Arc<Board>>> = const { RefCell::new(None) };
    /// Whether this thread leads a team or helps one, and so must not join another.
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` while up to `helpers` other threads of the pool wait for parts of what it does.
pub fn gather<R>(helpers: usize, work: impl FnOnce() -> R) -> R {
    if helpers == 0 || BUSY.get() {
        return work();
    }
    let helpers = helpers.min(rayon::current_num_threads() - 1);
    if helpers == 0 {
        return work();
    }
    let (board, ended) = (Arc::new(Board::new(helpers + 1)), AtomicBool::new(false));
    rayon::in_place_scope(|scope| {
        // Dropped on every way out, a panic of `work` included: helpers must not look for ever.
        let _end = End(&ended);
        BUSY.set(true);
        BOARD.set(Some(Arc::clone(&board)));
        for member in 1..=helpers {
            let (board, ended) = (&board, &ended);
            scope.spawn(move |_| help(board, member, ended));
        }
        work()
    })
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        BOARD.set(None);
        BUSY.set(false);
        self.0.store(true, Ordering::Release);
    }
}

/// Takes parts, and whatever other work the pool has, until `ended`.
fn help(board: &Board, member: usize, ended: &AtomicBool) {
    // A thread that leads, or helps already further up its stack, may be given this task: it has its own work.
    if BUSY.replace(true) {
        return;
    }
    let mut idle = 0;
    while !ended.load(Ordering::Acquire) {
        if board.help(member) {
            idle = 0;
        } else if idle < IDLE_LOOKS {
            idle += 1;
            std::hint::spin_loop();
        } else if rayon::yield_now() != Some(rayon::Yield::Executed) {
            std::thread::yield_now();
        }
    }
    BUSY.set(false);
}

/// How many threads [`for_each`] can count on.
#[must_use]
pub fn members() -> usize {
    BOARD.with_borrow(|board| board.as_ref().map_or(1, |board| board.members()))
}

/// Does `work` on each item, on the threads of the team that this thread leads; on this thread if it leads none.
///
/// # Panics
/// As `work` does, when all the others are done.
pub fn for_each<T: Send>(items: &mut [T], work: impl Fn(usize, &mut T) + Sync) {
    let board = if items.len() > 1 { BOARD.with_borrow(Clone::clone) } else { None };
    match board {
        Some(board) => board.for_each(items, &work),
        None => items.iter_mut().enumerate().for_each(|(index, item)| work(index, item)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
    }

    /// Many short phases; gives each item's sum of the phases' numbers.
    fn phases(count: u64, items: usize) -> Vec<u64> {
        let mut sums = vec![0; items];
        gather(3, || {
            for phase in 1..=count {
                for_each(&mut sums, |_, sum| *sum += phase);
            }
        });
        sums
    }

    #[test]
    fn every_item_is_worked_on_once_a_phase_for_any_number_of_threads() {
        for threads in [1, 2, 3, 5] {
            for items in [0, 1, 2, 7] {
                assert_eq!(in_pool(threads, || phases(500, items)), vec![500 * 501 / 2; items]);
            }
        }
    }

    #[test]
    fn what_a_phase_has_written_the_next_one_reads() {
        let values = in_pool(4, || {
            gather(3, || {
                let mut values = vec![0_u64; 8];
                for _ in 0..500 {
                    let before = values.clone();
                    for_each(&mut values, |index, value| *value = before[(index + 1) % 8] + index as u64);
                }
                values
            })
        });
        let mut expected = vec![0_u64; 8];
        for _ in 0..500 {
            expected = (0..8).map(|index| expected[(index + 1) % 8] + index as u64).collect();
        }
        assert_eq!(values, expected);
    }

    #[test]
    fn leaders_of_one_pool_do_not_block_each_other() {
        for _ in 0..20 {
            let (a, b) = in_pool(2, || rayon::join(|| phases(100, 3), || phases(100, 3)));
            assert_eq!((a, b), (vec![5050; 3], vec![5050; 3]));
        }
    }

    #[test]
    fn a_phase_inside_a_part_runs_on_its_thread() {
        let sums = in_pool(3, || {
            gather(2, || {
                let mut outer = vec![0_u64; 4];
                for_each(&mut outer, |_, sum| {
                    let mut inner = [0_u64; 5];
                    for_each(&mut inner, |index, value| *value = index as u64);
                    *sum = inner.iter().sum();
                });
                outer
            })
        });
        assert_eq!(sums, [10; 4]);
    }

    #[test]
    fn other_work_of_the_pool_still_finds_threads() {
        let sum = in_pool(2, || gather(1, || rayon::join(|| phases(10, 2), || phases(10, 2))));
        assert_eq!(sum, (vec![55; 2], vec![55; 2]));
    }

    #[test]
    fn a_panic_of_a_part_is_passed_on_after_the_others_and_the_team_goes_on() {
        in_pool(2, || {
            gather(1, || {
                for panics in 0..3 {
                    let mut done = [false; 3];
                    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        for_each(&mut done, |index, done| {
                            assert!(index != panics, "part {index} broke");
                            *done = true;
                        });
                    }));
                    let message = outcome.unwrap_err().downcast::<String>().unwrap();
                    assert_eq!(*message, format!("part {panics} broke"));
                    assert_eq!(done.iter().filter(|done| **done).count(), 2);
                }
                let mut after = [0; 3];
                for_each(&mut after, |_, value| *value = 1);
                assert_eq!(after, [1; 3]);
            });
        });
    }

    #[test]
    #[should_panic(expected = "the leader broke")]
    fn a_panic_of_the_leader_ends_the_helpers() {
        in_pool(2, || gather(1, || panic!("the leader broke")));
    }
}
