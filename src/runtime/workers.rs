//! The learner's side of the workers: starting them, telling them what to do, taking what they make.
//!
//! In lockstep the learner waits for all shards. If they could have one thread only, they act on the learner's own: handing
//! over and back takes longer than a step of one environment, and, beside other work, a thousand times longer.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::{self, Scope};

use agon_agents::{Fragment, Learner};
use agon_envs::wrappers::Moments;
use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::shard::{SavedShard, Shard};
use super::worker::{self, Command, Links, Message, Published};
use crate::RunError;
use crate::config::Mode;

/// The workers, and what they act with.
pub(super) struct Workers {
    place: Place,
    policy: Arc<ArcSwap<Published>>,
    pub(super) blocked_ns: Arc<AtomicU64>,
    num_shards: usize,
    pub(super) version: u64,
}

/// Where shards act.
enum Place {
    /// On threads of their own; these are the learner's ends of their channels.
    Threads { commands: Vec<Sender<Command>>, messages: Receiver<Message>, empty: Sender<Fragment> },
    /// On the learner's thread, when it asks for fragments.
    Here { shards: Vec<Shard>, empty: Vec<Fragment> },
}

impl Workers {
    /// Starts up to `threads` workers and deals the shards out to them.
    pub(super) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        shards: Vec<Shard>,
        learner: &dyn Learner,
        statistics: Vec<Moments>,
        threads: usize,
        mode: Mode,
    ) -> Result<Self, RunError> {
        let num_shards = shards.len();
        let count = threads.clamp(1, num_shards);
        let policy = learner.policy()?;
        let shape = shards[0].fragment_shape(learner.num_steps(), &*policy);
        let policy = Arc::new(ArcSwap::from_pointee(Published { version: 0, policy, statistics }));
        let blocked_ns = Arc::new(AtomicU64::new(0));
        if mode == Mode::Lockstep && count == 1 {
            let empty = shards.iter().map(|_| Fragment::new(&shape)).collect();
            return Ok(Self {
                place: Place::Here { shards, empty },
                policy,
                blocked_ns,
                num_shards,
                version: 0,
            });
        }
        // Two fragments a shard: one that is filled while another is learned from.
        let (empty, empty_receiver) = bounded(2 * num_shards);
        for _ in 0..2 * num_shards {
            empty.send(Fragment::new(&shape)).map_err(|_| RunError::WorkersGone)?;
        }
        // Room for every fragment, every saved shard and a failure of each.
        let (message_sender, messages) = bounded(4 * num_shards);
        let mut dealt: Vec<Vec<Shard>> = (0..count).map(|_| Vec::new()).collect();
        for shard in shards {
            dealt[shard.index % count].push(shard);
        }
        let mut commands = Vec::with_capacity(count);
        for (index, shards) in dealt.into_iter().enumerate() {
            let (sender, receiver) = unbounded();
            commands.push(sender);
            let links = Links {
                commands: receiver,
                messages: message_sender.clone(),
                empty: empty_receiver.clone(),
                policy: Arc::clone(&policy),
                blocked_ns: Arc::clone(&blocked_ns),
            };
            thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn_scoped(scope, move || worker::run(shards, &links))
                .map_err(|error| RunError::Threads(error.to_string()))?;
        }
        let place = Place::Threads { commands, messages, empty };
        Ok(Self { place, policy, blocked_ns, num_shards, version: 0 })
    }

    /// Tells threads what to do. Shards that act here do it when they are asked.
    pub(super) fn command(&self, command: Command) -> Result<(), RunError> {
        let Place::Threads { commands, messages, .. } = &self.place else { return Ok(()) };
        commands.iter().try_for_each(|worker| worker.send(command)).map_err(|_| failure(messages))
    }

    /// One fragment of each shard in shard order, or as many in order of arrival.
    pub(super) fn fragments(&mut self, mode: Mode) -> Result<Vec<Fragment>, RunError> {
        let mut fragments = Vec::with_capacity(self.num_shards);
        match &mut self.place {
            Place::Threads { messages, .. } => {
                while fragments.len() < self.num_shards {
                    if let Message::Fragment(fragment) = receive(messages)? {
                        fragments.push(fragment);
                    }
                }
            }
            Place::Here { shards, empty } => {
                let published = self.policy.load_full();
                for shard in shards {
                    let mut fragment = empty.pop().ok_or(RunError::WorkersGone)?;
                    worker::collect_here(shard, &published, &mut fragment)?;
                    fragments.push(fragment);
                }
            }
        }
        if mode == Mode::Lockstep {
            fragments.sort_by_key(|fragment| fragment.shard);
        }
        Ok(fragments)
    }

    pub(super) fn publish(&mut self, learner: &dyn Learner, statistics: &[Moments]) -> Result<(), RunError> {
        self.version += 1;
        let statistics = statistics.to_vec();
        self.policy.store(Arc::new(Published {
            version: self.version,
            policy: learner.policy()?,
            statistics,
        }));
        Ok(())
    }

    pub(super) fn recycle(&mut self, fragments: Vec<Fragment>) {
        match &mut self.place {
            Place::Threads { empty, .. } => recycle(empty, fragments),
            Place::Here { empty, .. } => empty.extend(fragments),
        }
    }

    /// The state of every shard.
    ///
    /// Asynchronous workers may have to fill fragments before they see the command. Those are not part of the state: a
    /// resumed asynchronous run takes their steps again. They go straight back, for a worker may be waiting for one.
    pub(super) fn save(&mut self) -> Result<Vec<SavedShard>, RunError> {
        self.command(Command::Save)?;
        let (messages, empty) = match &mut self.place {
            Place::Here { shards, .. } => return shards.iter_mut().map(Shard::save).collect(),
            Place::Threads { messages, empty, .. } => (messages, empty),
        };
        let mut shards = Vec::new();
        while shards.len() < self.num_shards {
            match receive(messages)? {
                Message::Saved(index, saved) => shards.push((index, *saved)),
                Message::Fragment(fragment) => recycle(empty, vec![fragment]),
                Message::Failed(error) => return Err(error),
            }
        }
        shards.sort_by_key(|(index, _)| *index);
        Ok(shards.into_iter().map(|(_, saved)| saved).collect())
    }

    /// Lets go of every channel, so that workers that wait for one end.
    pub(super) fn end(&mut self) {
        self.place = Place::Here { shards: Vec::new(), empty: Vec::new() };
    }
}

fn receive(messages: &Receiver<Message>) -> Result<Message, RunError> {
    match messages.recv() {
        Ok(Message::Failed(error)) => Err(error),
        Ok(message) => Ok(message),
        Err(_) => Err(RunError::WorkersGone),
    }
}

fn recycle(empty: &Sender<Fragment>, fragments: Vec<Fragment>) {
    for fragment in fragments {
        // There are never more fragments than room for them; a failed send only means that the workers are gone.
        let _ = empty.try_send(fragment);
    }
}

/// Why the workers are gone, if they said.
fn failure(messages: &Receiver<Message>) -> RunError {
    let failed = messages
        .try_iter()
        .find_map(|message| if let Message::Failed(error) = message { Some(error) } else { None });
    failed.unwrap_or(RunError::WorkersGone)
}
