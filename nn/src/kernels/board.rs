//! A job whose parts several threads take, one after the other.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Looks for the last part to be finished before a leader lets other threads run: about 20 µs.
const LOOKS: u32 = 1000;

/// What does one part of a job, by its number.
type Job<'a> = dyn Fn(usize) + Sync + 'a;

/// A value on cache lines of its own, which nothing beside it takes from another core.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart<T>(T);

/// Where a leader puts one job after another, and members take parts of them.
///
/// Each member has parts of its own, the same ones of jobs with as many parts, so that what it works on stays in its core's
/// caches; who has done them takes parts of others. So a job ends whether or not anybody helps the leader.
pub(crate) struct Board {
    /// Of each member, the leader first: the end of its parts, times 2³², and the next one that nobody has taken.
    parts: Box<[Apart<AtomicU64>]>,
    finished: Apart<AtomicUsize>,
    /// Whether there is a leader.
    led: AtomicBool,
    job: UnsafeCell<Option<&'static Job<'static>>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `job` is the only part that is not `Sync` by itself. It is written by the leader, of which there is one (`led`),
// while no part is outstanding, and read by threads that have taken a part that they have not finished. What it refers to
// may be called from any thread.
unsafe impl Sync for Board {}

impl Board {
    /// For so many members, the leader included.
    pub(crate) fn new(members: usize) -> Self {
        Self {
            parts: (0..members.max(1)).map(|_| Apart::default()).collect(),
            finished: Apart::default(),
            led: AtomicBool::new(false),
            job: UnsafeCell::new(None),
            panic: Mutex::new(None),
        }
    }

    /// How many members there are, the leader included.
    pub(crate) fn members(&self) -> usize {
        self.parts.len()
    }

    /// Does all parts of a job, with those who help.
    ///
    /// Inside a part of another job of this board, all parts are done on the calling thread.
    ///
    /// # Panics
    /// As a part does, when all the others are done.
    pub(crate) fn run(&self, count: u32, job: &Job<'_>) {
        if self.led.swap(true, Ordering::Acquire) {
            return (0..count as usize).for_each(job);
        }
        // SAFETY: the reference is used by threads that have taken a part and not finished it (`work`), and this function
        // returns when all parts are finished: neither does it outlive the borrow, nor is the cell read while it changes.
        unsafe {
            *self.job.get() = Some(std::mem::transmute::<&Job<'_>, &'static Job<'static>>(job));
        }
        self.finished.0.store(0, Ordering::Relaxed);
        // Others first: they begin while the leader still deals its own.
        for (member, parts) in self.parts.iter().enumerate().rev() {
            let (start, end) = self.own(count, member);
            parts.0.store(u64::from(end) << 32 | u64::from(start), Ordering::Release);
        }
        self.help(0);
        let mut looks = 0;
        while self.finished.0.load(Ordering::Acquire) < count as usize {
            if looks < LOOKS {
                looks += 1;
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
        let panic = self.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.led.store(false, Ordering::Release);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// The parts of a member: one each if there are no more parts than members.
    fn own(&self, count: u32, member: usize) -> (u32, u32) {
        let members = self.parts.len() as u64;
        if u64::from(count) <= members {
            let start = count.min(member as u32);
            return (start, count.min(start + 1));
        }
        let at = |member: u64| (u64::from(count) * member / members) as u32;
        (at(member as u64), at(member as u64 + 1))
    }

    /// Does the parts that a member has, if it has any, and then those of others that nobody has taken; whether it had any.
    pub(crate) fn help(&self, member: usize) -> bool {
        let has = self.work(member);
        // Who waits looks at its own place alone, for each look at another's makes it slower to write there.
        if has || member == 0 {
            let others = (1..self.parts.len()).map(|distance| (member + distance) % self.parts.len());
            others.for_each(|other| {
                self.work(other);
            });
        }
        has
    }

    /// Does the parts of one member that nobody has taken; whether there was one.
    fn work(&self, member: usize) -> bool {
        let mut done = 0;
        while let Some(part) = take(&self.parts[member].0) {
            // SAFETY: a part is taken and not finished, so that the leader waits; it wrote the cell before it published
            // the parts.
            let job = unsafe { *self.job.get() };
            if let Some(job) = job
                && let Err(panic) = catch_unwind(AssertUnwindSafe(|| job(part)))
            {
                *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
            self.finished.0.fetch_add(1, Ordering::Release);
            done += 1;
        }
        done > 0
    }

    /// Does `work` on each item, with those who help. As [`Self::run`].
    pub(crate) fn for_each<T: Send>(&self, items: &mut [T], work: &(impl Fn(usize, &mut T) + Sync)) {
        assert!(u32::try_from(items.len()).is_ok(), "{} items", items.len());
        let base = Items(items.as_mut_ptr());
        self.run(items.len() as u32, &|index| {
            // SAFETY: `run` gives each number below the number of items once, and returns when all parts are done.
            work(index, unsafe { &mut *base.at(index) });
        });
    }
}

/// The first of some items, each of which one thread works on.
struct Items<T>(*mut T);

// SAFETY: `Board::for_each` hands each item to one thread, and items may be sent.
unsafe impl<T: Send> Sync for Items<T> {}

impl<T> Items<T> {
    /// # Safety
    /// `index` must be less than the number of items.
    unsafe fn at(&self, index: usize) -> *mut T {
        // SAFETY: the caller vouches for the place.
        unsafe { self.0.add(index) }
    }
}

/// The next part, which is then the caller's alone.
fn take(parts: &AtomicU64) -> Option<usize> {
    let mut now = parts.load(Ordering::Acquire);
    loop {
        let (end, next) = (now >> 32, now & u64::from(u32::MAX));
        if next >= end {
            return None;
        }
        // Whatever job the parts are of: the one whose part this is cannot end before the part does.
        match parts.compare_exchange_weak(now, now + 1, Ordering::Acquire, Ordering::Acquire) {
            Ok(_) => return Some(next as usize),
            Err(other) => now = other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_dealt_out_once() {
        for members in [1, 2, 3, 16] {
            let board = Board::new(members);
            for count in [0, 1, 2, 5, 16, 100] {
                let dealt: Vec<u32> = (0..members)
                    .flat_map(|member| {
                        let (start, end) = board.own(count, member);
                        start..end
                    })
                    .collect();
                assert!(dealt.into_iter().eq(0..count), "{count} parts, {members} members");
            }
        }
    }
}
