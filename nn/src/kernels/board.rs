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

/// Where a leader puts one job after another, and helpers take parts of them.
///
/// A leader does whatever nobody takes, so that a job ends whether or not there are helpers.
#[derive(Default)]
pub(crate) struct Board {
    /// How many parts the job has, times 2³², and the next one that nobody has taken.
    parts: Apart<AtomicU64>,
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
        // SAFETY: the reference is used by threads that have taken a part and not finished it (`help`), and this function
        // returns when all parts are finished: neither does it outlive the borrow, nor is the cell read while it changes.
        unsafe { *self.job.get() = Some(std::mem::transmute::<&Job<'_>, &'static Job<'static>>(job)) };
        self.finished.0.store(0, Ordering::Relaxed);
        self.parts.0.store(u64::from(count) << 32, Ordering::Release);
        while self.help() {}
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

    /// Does one part if there is one that nobody has taken; whether there was.
    pub(crate) fn help(&self) -> bool {
        let Some(part) = self.take() else { return false };
        // SAFETY: a part is taken and not finished, so that the leader waits; it wrote the cell before it published the parts.
        let job = unsafe { *self.job.get() };
        if let Some(job) = job
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| job(part)))
        {
            *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
        }
        self.finished.0.fetch_add(1, Ordering::Release);
        true
    }

    /// The next part, which is then the caller's alone.
    fn take(&self) -> Option<usize> {
        let mut parts = self.parts.0.load(Ordering::Acquire);
        loop {
            let (count, next) = (parts >> 32, parts & u64::from(u32::MAX));
            if next >= count {
                return None;
            }
            // Whatever job the parts are of: the one whose part this is cannot end before the part does.
            match self.parts.0.compare_exchange_weak(parts, parts + 1, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Some(next as usize),
                Err(now) => parts = now,
            }
        }
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
