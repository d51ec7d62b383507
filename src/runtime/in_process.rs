//! Shards in this process as the source of fragments.
//!
//! In lockstep the learner waits for all shards. If they could have one thread only, they act on the learner's own: handing
//! over and back takes longer than a step of one environment, and, beside other work, a thousand times longer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use agon_agents::{Fragment, FragmentShape, Weights};
use agon_envs::EnvSpec;
use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::shard::{SavedShard, Shard};
use super::source::{FragmentSource, SourceContext};
use super::worker::{self, Command, Links, Message};
use crate::RunError;
use crate::acting::Acting;
use crate::config::Mode;

/// The shards of a run, on threads of their own or on the learner's.
pub(super) struct InProcess {
    place: Place,
    mode: Mode,
    acting: Arc<ArcSwap<Acting>>,
    blocked_ns: Arc<AtomicU64>,
    num_shards: usize,
}

/// Where shards act.
enum Place {
    Threads(Threads),
    /// On the learner's thread, when it asks for fragments.
    Here {
        shards: Vec<Shard>,
        empty: Vec<Fragment>,
    },
}

/// Worker threads, and the learner's ends of their channels.
struct Threads {
    commands: Vec<Sender<Command>>,
    messages: Receiver<Message>,
    empty: Sender<Fragment>,
    /// Of asynchronous workers: whether they were told to run.
    running: bool,
    workers: Vec<JoinHandle<()>>,
}

impl InProcess {
    /// Makes the shards, as they were saved if they were, and deals them out to up to `threads` workers.
    pub(super) fn new(spec: &EnvSpec, context: &SourceContext<'_>, threads: usize) -> Result<Self, RunError> {
        let config = context.config;
        let num_shards = config.runtime.num_shards;
        let mut shards: Vec<Shard> =
            (0..num_shards).map(|index| Shard::new(index, spec, config)).collect::<Result<_, _>>()?;
        if let Some(saved) = context.saved {
            restore(&mut shards, saved)?;
        }
        let acting = Arc::new(ArcSwap::new(Arc::clone(&context.acting)));
        let blocked_ns = Arc::new(AtomicU64::new(0));
        let count = threads.clamp(1, num_shards);
        let mode = config.runtime.mode;
        let place = if mode == Mode::Lockstep && count == 1 {
            let empty = shards.iter().map(|_| Fragment::new(context.shape)).collect();
            Place::Here { shards, empty }
        } else {
            Place::Threads(Threads::start(shards, count, context.shape, &acting, &blocked_ns)?)
        };
        Ok(Self { place, mode, acting, blocked_ns, num_shards })
    }
}

/// Takes on the saved states of all shards.
fn restore(shards: &mut [Shard], saved: &[u8]) -> Result<(), RunError> {
    let saved: Vec<SavedShard> = agon_agents::codec::decode(saved)?;
    if saved.len() != shards.len() {
        let message = format!("expected {} shards, found {}", shards.len(), saved.len());
        return Err(agon_agents::AgentError::Restore(message).into());
    }
    shards.iter_mut().zip(saved).try_for_each(|(shard, saved)| shard.restore(saved))
}

impl FragmentSource for InProcess {
    fn begin(&mut self) -> Result<(), RunError> {
        let Place::Threads(threads) = &mut self.place else { return Ok(()) };
        match self.mode {
            Mode::Lockstep => threads.command(Command::Collect),
            Mode::Async if threads.running => Ok(()),
            Mode::Async => {
                threads.running = true;
                threads.command(Command::Run)
            }
        }
    }

    fn fragments(&mut self, _gives_up: &mut dyn FnMut() -> bool) -> Result<Option<Vec<Fragment>>, RunError> {
        let mut fragments = Vec::with_capacity(self.num_shards);
        match &mut self.place {
            Place::Threads(threads) => {
                while fragments.len() < self.num_shards {
                    if let Message::Fragment(fragment) = threads.receive()? {
                        fragments.push(fragment);
                    }
                }
            }
            Place::Here { shards, empty } => {
                let acting = self.acting.load_full();
                for shard in shards {
                    let mut fragment = empty.pop().ok_or(RunError::WorkersGone)?;
                    worker::collect_here(shard, &acting, &mut fragment)?;
                    fragments.push(fragment);
                }
            }
        }
        if self.mode == Mode::Lockstep {
            fragments.sort_by_key(|fragment| fragment.shard);
        }
        Ok(Some(fragments))
    }

    fn publish(&mut self, acting: Arc<Acting>, _weights: &dyn Fn() -> Weights) {
        self.acting.store(acting);
    }

    fn recycle(&mut self, fragments: Vec<Fragment>) {
        match &mut self.place {
            Place::Threads(threads) => threads.recycle(fragments),
            Place::Here { empty, .. } => empty.extend(fragments),
        }
    }

    /// The state of every shard.
    ///
    /// Asynchronous workers may have to fill fragments before they see the command. Those are not part of the state: a
    /// resumed asynchronous run takes their steps again. They go straight back, for a worker may be waiting for one.
    fn save(&mut self) -> Result<Vec<u8>, RunError> {
        let shards = match &mut self.place {
            Place::Here { shards, .. } => shards.iter_mut().map(Shard::save).collect::<Result<_, _>>()?,
            Place::Threads(threads) => threads.save(self.num_shards)?,
        };
        let shards: Vec<SavedShard> = shards;
        Ok(agon_agents::codec::encode(&shards)?)
    }

    fn is_outside(&self) -> bool {
        false
    }

    fn take_blocked_s(&mut self) -> f64 {
        self.blocked_ns.swap(0, Ordering::Relaxed) as f64 / 1e9
    }
}

impl Threads {
    /// Starts `count` workers and deals the shards out to them.
    fn start(
        shards: Vec<Shard>,
        count: usize,
        shape: &FragmentShape,
        acting: &Arc<ArcSwap<Acting>>,
        blocked_ns: &Arc<AtomicU64>,
    ) -> Result<Self, RunError> {
        let num_shards = shards.len();
        // Two fragments a shard: one that is filled while another is learned from.
        let (empty, empty_receiver) = bounded(2 * num_shards);
        for _ in 0..2 * num_shards {
            empty.send(Fragment::new(shape)).map_err(|_| RunError::WorkersGone)?;
        }
        // Room for every fragment, every saved shard and a failure of each.
        let (message_sender, messages) = bounded(4 * num_shards);
        let mut dealt: Vec<Vec<Shard>> = (0..count).map(|_| Vec::new()).collect();
        for shard in shards {
            dealt[shard.index % count].push(shard);
        }
        let mut threads = Self {
            commands: Vec::with_capacity(count),
            messages,
            empty,
            running: false,
            workers: Vec::new(),
        };
        for (index, shards) in dealt.into_iter().enumerate() {
            let (sender, receiver) = unbounded();
            threads.commands.push(sender);
            let links = Links {
                commands: receiver,
                messages: message_sender.clone(),
                empty: empty_receiver.clone(),
                acting: Arc::clone(acting),
                blocked_ns: Arc::clone(blocked_ns),
            };
            let worker = thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || worker::run(shards, &links))
                .map_err(|error| RunError::Threads(error.to_string()))?;
            threads.workers.push(worker);
        }
        Ok(threads)
    }

    fn command(&self, command: Command) -> Result<(), RunError> {
        for sender in &self.commands {
            sender.send(command).map_err(|_| self.failure())?;
        }
        Ok(())
    }

    fn receive(&self) -> Result<Message, RunError> {
        match self.messages.recv() {
            Ok(Message::Failed(error)) => Err(error),
            Ok(message) => Ok(message),
            Err(_) => Err(RunError::WorkersGone),
        }
    }

    fn recycle(&self, fragments: Vec<Fragment>) {
        for fragment in fragments {
            // There are never more fragments than room for them; a failed send only means that the workers are gone.
            let _ = self.empty.try_send(fragment);
        }
    }

    fn save(&mut self, num_shards: usize) -> Result<Vec<SavedShard>, RunError> {
        self.command(Command::Save)?;
        self.running = false;
        let mut shards = Vec::new();
        while shards.len() < num_shards {
            match self.receive()? {
                Message::Saved(index, saved) => shards.push((index, *saved)),
                Message::Fragment(fragment) => self.recycle(vec![fragment]),
                Message::Failed(error) => return Err(error),
            }
        }
        shards.sort_by_key(|(index, _)| *index);
        Ok(shards.into_iter().map(|(_, saved)| saved).collect())
    }

    /// Why the workers are gone, if they said.
    fn failure(&self) -> RunError {
        let said = |message| if let Message::Failed(error) = message { Some(error) } else { None };
        self.messages.try_iter().find_map(said).unwrap_or(RunError::WorkersGone)
    }
}

impl Drop for Threads {
    /// Lets go of every channel, so that workers that wait for one end, and waits for them.
    fn drop(&mut self) {
        self.commands.clear();
        (self.messages, self.empty) = (bounded(0).1, bounded(0).0);
        for worker in self.workers.drain(..) {
            // A worker's panic has become a message.
            let _ = worker.join();
        }
    }
}
