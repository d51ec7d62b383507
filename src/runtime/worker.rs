//! Worker threads: each owns some shards and streams their fragments to the learner.
//!
//! Full fragments go to the learner and empty ones come back through bounded crossbeam channels (lock-free while neither
//! side waits), so the steady state allocates nothing, and a slow learner holds the workers back. Policies are published
//! by an atomic pointer swap.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use agon_agents::Fragment;
use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, Sender, TryRecvError};

use super::shard::{SavedShard, Shard};
use crate::RunError;
use crate::acting::Acting;

/// What the learner tells a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Make one fragment of each shard.
    Collect,
    /// Make fragments until told otherwise.
    Run,
    /// Send every shard's state, and wait.
    Save,
}

/// What a worker tells the learner.
#[expect(clippy::large_enum_variant, reason = "a box would be an allocation for each fragment")]
pub(super) enum Message {
    /// A full fragment.
    Fragment(Fragment),
    /// A shard's state.
    Saved(usize, Box<SavedShard>),
    /// The worker failed and is gone.
    Failed(RunError),
}

/// The ends of the channels that a worker holds.
pub(super) struct Links {
    pub(super) commands: Receiver<Command>,
    pub(super) messages: Sender<Message>,
    pub(super) empty: Receiver<Fragment>,
    pub(super) acting: Arc<ArcSwap<Acting>>,
    /// Nanoseconds that workers spent waiting for empty fragments or room in the queue: the learner's back-pressure.
    pub(super) blocked_ns: Arc<AtomicU64>,
}

/// Runs a worker until its commands end. A panic becomes a message.
pub(super) fn run(mut shards: Vec<Shard>, links: &Links) {
    let mut current = shards.first().map_or(0, |shard| shard.index);
    if let Err(error) = guarded(&mut current, |current| serve(&mut shards, links, current)) {
        // If the learner is gone too there is nobody left to tell.
        let _ = links.messages.send(Message::Failed(error));
    }
}

/// Makes one fragment on the learner's own thread.
pub(super) fn collect_here(
    shard: &mut Shard,
    acting: &Acting,
    fragment: &mut Fragment,
) -> Result<(), RunError> {
    guarded(&mut shard.index.clone(), |_| shard.collect(acting, fragment))
}

/// Work on shards, `current` being the one that it has come to, whose panic is an error.
fn guarded(
    current: &mut usize,
    work: impl FnOnce(&mut usize) -> Result<(), RunError>,
) -> Result<(), RunError> {
    catch_unwind(AssertUnwindSafe(|| work(current))).unwrap_or_else(|panic| {
        Err(RunError::WorkerPanic { shard: *current, message: panic_message(&*panic) })
    })
}

fn serve(shards: &mut [Shard], links: &Links, current: &mut usize) -> Result<(), RunError> {
    let mut running = false;
    // Under `Run` the shards take turns, so that a command is noticed after one fragment.
    let mut turns: VecDeque<usize> = (0..shards.len()).collect();
    loop {
        let command = if running {
            match links.commands.try_recv() {
                Ok(command) => Some(command),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
        } else {
            match links.commands.recv() {
                Ok(command) => Some(command),
                Err(_) => return Ok(()),
            }
        };
        let goes_on = match command {
            Some(Command::Save) => {
                running = false;
                save(shards, links)?
            }
            Some(Command::Collect) => {
                let mut goes_on = true;
                for shard in shards.iter_mut() {
                    goes_on = goes_on && collect(shard, links, current)?;
                }
                goes_on
            }
            Some(Command::Run) => {
                running = true;
                true
            }
            None => {
                let turn = turns.pop_front().unwrap_or(0);
                turns.push_back(turn);
                collect(&mut shards[turn], links, current)?
            }
        };
        if !goes_on {
            return Ok(());
        }
    }
}

/// Makes one fragment; false if the learner is gone.
fn collect(shard: &mut Shard, links: &Links, current: &mut usize) -> Result<bool, RunError> {
    *current = shard.index;
    let Ok(mut fragment) = timed(links, || links.empty.try_recv().or_else(|_| links.empty.recv())) else {
        return Ok(false);
    };
    let acting = links.acting.load_full();
    shard.collect(&acting, &mut fragment)?;
    Ok(timed(links, || links.messages.send(Message::Fragment(fragment)).is_ok()))
}

fn save(shards: &mut [Shard], links: &Links) -> Result<bool, RunError> {
    for shard in shards {
        let saved = Box::new(shard.save()?);
        if links.messages.send(Message::Saved(shard.index, saved)).is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Adds the time that `wait` takes to the back-pressure counter.
fn timed<T>(links: &Links, wait: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = wait();
    let nanoseconds = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    links.blocked_ns.fetch_add(nanoseconds, Ordering::Relaxed);
    result
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
