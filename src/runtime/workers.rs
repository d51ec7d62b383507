//! The learner's side of the worker threads: starting them, telling them what to do, taking what they make.

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

/// The worker threads and the learner's ends of their channels.
pub(super) struct Workers {
    commands: Vec<Sender<Command>>,
    messages: Receiver<Message>,
    empty: Sender<Fragment>,
    policy: Arc<ArcSwap<Published>>,
    pub(super) blocked_ns: Arc<AtomicU64>,
    num_shards: usize,
    pub(super) version: u64,
}

impl Workers {
    /// Starts up to `threads` workers and deals the shards out to them.
    pub(super) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        shards: Vec<Shard>,
        learner: &dyn Learner,
        statistics: Vec<Moments>,
        threads: usize,
    ) -> Result<Self, RunError> {
        let num_shards = shards.len();
        let policy = learner.policy()?;
        // Two fragments a shard: one that is filled while another is learned from.
        let (empty, empty_receiver) = bounded(2 * num_shards);
        let shape = shards[0].fragment_shape(learner.num_steps(), &*policy);
        for _ in 0..2 * num_shards {
            empty.send(Fragment::new(&shape)).map_err(|_| RunError::WorkersGone)?;
        }
        // Room for every fragment, every saved shard and a failure of each.
        let (message_sender, messages) = bounded(4 * num_shards);
        let policy = Arc::new(ArcSwap::from_pointee(Published { version: 0, policy, statistics }));
        let blocked_ns = Arc::new(AtomicU64::new(0));
        let count = threads.clamp(1, num_shards);
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
        Ok(Self { commands, messages, empty, policy, blocked_ns, num_shards, version: 0 })
    }

    pub(super) fn command(&self, command: Command) -> Result<(), RunError> {
        self.commands.iter().try_for_each(|worker| worker.send(command)).map_err(|_| self.failure())
    }

    /// Why the workers are gone, if they said.
    fn failure(&self) -> RunError {
        let mut messages = self.messages.try_iter();
        let failed = messages
            .find_map(|message| if let Message::Failed(error) = message { Some(error) } else { None });
        failed.unwrap_or(RunError::WorkersGone)
    }

    fn receive(&self) -> Result<Message, RunError> {
        match self.messages.recv() {
            Ok(Message::Failed(error)) => Err(error),
            Ok(message) => Ok(message),
            Err(_) => Err(RunError::WorkersGone),
        }
    }

    /// One fragment of each shard in shard order, or as many in order of arrival.
    pub(super) fn fragments(&self, mode: Mode) -> Result<Vec<Fragment>, RunError> {
        let mut fragments = Vec::with_capacity(self.num_shards);
        while fragments.len() < self.num_shards {
            if let Message::Fragment(fragment) = self.receive()? {
                fragments.push(fragment);
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

    pub(super) fn recycle(&self, fragments: Vec<Fragment>) {
        for fragment in fragments {
            // There are never more fragments than room for them; a failed send only means that the workers are gone.
            let _ = self.empty.try_send(fragment);
        }
    }

    /// The state of every shard.
    ///
    /// Asynchronous workers may have to fill fragments before they see the command. Those are not part of the state: a
    /// resumed asynchronous run takes their steps again. They go straight back, for a worker may be waiting for one.
    pub(super) fn save(&self) -> Result<Vec<SavedShard>, RunError> {
        self.command(Command::Save)?;
        let mut shards = Vec::new();
        while shards.len() < self.num_shards {
            match self.receive()? {
                Message::Saved(index, saved) => shards.push((index, *saved)),
                Message::Fragment(fragment) => self.recycle(vec![fragment]),
                Message::Failed(error) => return Err(error),
            }
        }
        shards.sort_by_key(|(index, _)| *index);
        Ok(shards.into_iter().map(|(_, saved)| saved).collect())
    }

    /// Lets go of every channel, so that workers that wait for one end.
    pub(super) fn end(&mut self) {
        self.commands.clear();
        self.empty = bounded(0).0;
        self.messages = bounded(0).1;
    }
}
