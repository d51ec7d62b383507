//! Shards in other processes as the source of fragments, whoever brings bytes there and back.
//!
//! The learner's side is a thread that asks [`Workers`] for fragments, hands them newer policies, and unpacks and checks what
//! comes while the learner learns. It waits where the learner is slow, and then nobody is asked for more. The other side is a
//! [`RemoteWorker`]. Neither knows what carries the bytes.

mod wire;
mod worker;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use agon_agents::codec::{decode, encode};
use agon_agents::{AgentError, Fragment, Weights};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::shard::SavedShard;
use super::source::{FragmentSource, SourceContext};
use crate::RunError;
use crate::acting::Acting;
use crate::jobs::lock;
use wire::SentPolicy;
use worker::Assignment;
pub use worker::RemoteWorker;

/// How long workers are waited for at a time.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long nothing may come from any worker: as long as an environment of another process may take to answer.
const PATIENCE: Duration = Duration::from_secs(300);

/// A fragment that has come from a worker.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// What [`RemoteWorker::collect`] gave.
    pub fragment: Vec<u8>,
    /// The shard that it was asked for.
    pub shard: usize,
    /// How many fragments the shard had been asked for before.
    pub number: u64,
    /// Seconds that the worker had nothing to do before it.
    pub idle_s: f64,
}

/// Whoever has [`RemoteWorker`]s work in other processes.
///
/// A fragment of a shard is asked for by its number. Where a worker is lost, another one takes its place and begins its shards
/// anew at the numbers that it is asked for first; numbers need not come in order.
pub trait Workers: Send {
    /// Gives the workers their shards: every shard belongs to one. `numbers` are those of each shard's next fragment.
    ///
    /// # Errors
    /// If there are no workers to be had.
    fn begin(&mut self, assignment: Vec<u8>, numbers: &[u64]) -> Result<(), RunError>;

    /// Says what fragments are acted with that are asked for from now on, for [`RemoteWorker::take_policy`].
    ///
    /// # Errors
    /// If it cannot be sent.
    fn publish(&mut self, version: u64, policy: Vec<u8>) -> Result<(), RunError>;

    /// Waits so long for a fragment of any shard, and asks its worker for another one. Only so many are asked for at a time.
    ///
    /// # Errors
    /// What a worker failed with.
    fn next(&mut self, wait: Duration) -> Result<Option<Delivery>, RunError>;
}

/// A source whose shards belong to workers elsewhere, of an asynchronous run.
///
/// # Errors
/// If the workers cannot begin.
pub fn source(
    context: &SourceContext<'_>,
    mut workers: Box<dyn Workers>,
) -> Result<Box<dyn FragmentSource>, RunError> {
    let num_shards = context.config.runtime.num_shards;
    let numbers = match context.saved {
        None => vec![0; num_shards],
        Some(saved) => decode::<Vec<SavedShard>>(saved)?.iter().map(SavedShard::fragments).collect(),
    };
    if numbers.len() != num_shards {
        let message = format!("expected {num_shards} shards, found {}", numbers.len());
        return Err(AgentError::Restore(message).into());
    }
    workers.begin(Assignment::of(context)?.pack()?, &numbers)?;
    let shared = Arc::new(Shared {
        newest: Mutex::new(Some((Arc::clone(&context.acting), context.weights.clone()))),
        idle_ns: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
    });
    let most = wire::most_bytes(context.shape, &context.acting.statistics);
    // An iteration is unpacked while the one before is learned from.
    let (sender, fragments) = bounded(num_shards);
    let pump = Pump { workers, shared: Arc::clone(&shared), fragments: sender, most };
    let pump = thread::Builder::new()
        .name("fragments".to_owned())
        .spawn(move || pump.run())
        .map_err(|error| RunError::Threads(error.to_string()))?;
    Ok(Box::new(Elsewhere { shared, fragments, numbers, pump: Some(pump) }))
}

/// What the learner and the thread beside it share.
struct Shared {
    /// What was published last, if it has not been sent.
    newest: Mutex<Option<(Arc<Acting>, Weights)>>,
    /// Nanoseconds that workers had nothing to do.
    idle_ns: AtomicU64,
    /// Whether the learner is gone.
    is_over: AtomicBool,
}

/// The learner's side.
struct Elsewhere {
    shared: Arc<Shared>,
    fragments: Receiver<Result<(u64, Fragment), RunError>>,
    /// Of each shard's next fragment.
    numbers: Vec<u64>,
    pump: Option<JoinHandle<()>>,
}

impl FragmentSource for Elsewhere {
    fn begin(&mut self) -> Result<(), RunError> {
        Ok(())
    }

    fn fragments(&mut self, gives_up: &mut dyn FnMut() -> bool) -> Result<Option<Vec<Fragment>>, RunError> {
        let mut fragments = Vec::with_capacity(self.numbers.len());
        while fragments.len() < self.numbers.len() {
            let (number, fragment) = match self.fragments.recv_timeout(LOOK_EVERY) {
                Ok(received) => received?,
                Err(RecvTimeoutError::Timeout) if gives_up() => return Ok(None),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Err(RunError::WorkersGone),
            };
            // What it says of its shard is validated with all the rest.
            if let Some(next) = self.numbers.get_mut(fragment.shard) {
                *next = (*next).max(number.saturating_add(1));
            }
            fragments.push(fragment);
        }
        Ok(Some(fragments))
    }

    fn publish(&mut self, acting: Arc<Acting>, weights: &dyn Fn() -> Weights) {
        *lock(&self.shared.newest) = Some((acting, weights()));
    }

    /// How many fragments each shard has made: a resumed run begins its environments anew, wherever they are.
    fn save(&mut self) -> Result<Vec<u8>, RunError> {
        let shards: Vec<SavedShard> =
            self.numbers.iter().map(|&number| SavedShard::begun_anew(number)).collect();
        Ok(encode(&shards)?)
    }

    fn take_blocked_s(&mut self) -> f64 {
        self.shared.idle_ns.swap(0, Ordering::Relaxed) as f64 / 1e9
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // A thread that waits for room ends when nobody is there to make some.
        self.fragments = bounded(0).1;
        if let Some(pump) = self.pump.take() {
            // If it panicked, the learner has seen that nothing comes any more.
            let _ = pump.join();
        }
    }
}

/// The thread beside the learner.
struct Pump {
    workers: Box<dyn Workers>,
    shared: Arc<Shared>,
    fragments: Sender<Result<(u64, Fragment), RunError>>,
    /// Bytes of a fragment before it is packed, at most.
    most: u64,
}

impl Pump {
    fn run(mut self) {
        let mut heard = Instant::now();
        while !self.shared.is_over.load(Ordering::Relaxed) {
            let received = match self.receive() {
                Ok(None) if heard.elapsed() < PATIENCE => continue,
                Ok(None) => {
                    let seconds = PATIENCE.as_secs();
                    Err(RunError::Source(format!("no worker has sent anything for {seconds} s")))
                }
                Ok(Some(received)) => Ok(received),
                Err(error) => Err(error),
            };
            let is_last = received.is_err();
            if self.fragments.send(received).is_err() || is_last {
                break;
            }
            // While there was no room, nobody was listened to.
            heard = Instant::now();
        }
    }

    /// Sends what was published last, and waits a little for a fragment.
    fn receive(&mut self) -> Result<Option<(u64, Fragment)>, RunError> {
        let newest = lock(&self.shared.newest).take();
        if let Some((acting, weights)) = newest {
            let Acting { version, env_steps, ref statistics, .. } = *acting;
            let policy = SentPolicy::new(version, env_steps, statistics, &weights).pack()?;
            self.workers.publish(version, policy)?;
        }
        let Some(delivery) = self.workers.next(LOOK_EVERY)? else { return Ok(None) };
        let idle = Duration::try_from_secs_f64(delivery.idle_s).unwrap_or_default();
        self.shared.idle_ns.fetch_add(u64::try_from(idle.as_nanos()).unwrap_or(0), Ordering::Relaxed);
        let fragment = wire::unpack_fragment(&delivery.fragment, self.most)?;
        if fragment.shard != delivery.shard {
            let (expected, found) = (delivery.shard, fragment.shard);
            return Err(RunError::Source(format!(
                "a fragment of shard {expected} was asked for, got one of {found}"
            )));
        }
        Ok(Some((delivery.number, fragment)))
    }
}

#[cfg(test)]
mod tests;
