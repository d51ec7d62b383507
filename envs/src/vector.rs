//! The vector environment: what steps many environments at once. An ECS world is one, and so is every wrapper.
//!
//! # Design discussion
//!
//! * A [`VectorEnv`] steps `E` environments (*arenas*) at once. An arena has `A` acting rows (one, unless it is a
//!   multi-agent environment), so that a batch has `N = E * A` rows: row `e * A + a` is agent `a` of arena `e`.
//! * It never resets by itself. The [`Simulator`](crate::Simulator) on top of the stack owns autoreset, so a wrapper sees
//!   the observation that ended an episode like any other one, and `final_observations` cannot skip a wrapper.
//! * A step is two halves, [`VectorEnv::send`] and [`VectorEnv::receive`], so that an environment in another process can
//!   work between them. Whoever has nothing to gain from it does all in [`VectorEnv::step`].
//! * Not every environment can be saved. One that can overrides [`VectorEnv::snapshot_support`] and the five methods
//!   below it; for all others they are errors that say so.
//! * A call says which rows it is about. The others are *held*: what the buffers hold for them stays, and they are
//!   reset before they are stepped again. That is what next-step autoreset, action repeat and agents that end before
//!   their arena need, and nothing more.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::batch::{ActionSpec, EpisodeStats, ObsBuffer, row_dtype};
use crate::frames::Frames;
use crate::groups::Decision;
use crate::random::Seed;
use crate::spaces::Dtype;
use crate::statistics::RunningStatistics;
use crate::{ActionBatch, EnvError, Frame, Space, StepBatch};

/// The sizes and spaces of a vector environment.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorInfo {
    /// Space of one row's observations.
    pub observation_space: Space,
    /// Space of one row's actions.
    pub action_space: Space,
    /// The batch form of the action space.
    pub action_spec: ActionSpec,
    /// Length of an action mask, `A`; zero where the environment has none.
    pub mask_len: usize,
    /// Number of environments (arenas), `E`.
    pub num_envs: usize,
    /// Acting rows of each environment.
    pub num_agents: usize,
    /// The team of each agent of an environment, `num_agents` names; empty where all are one team.
    pub teams: Vec<String>,
    /// How observations repeat earlier ones of their episode, if a frame stack is the last that changed them.
    pub frames: Option<Frames>,
    /// Whether the agents of an environment move one at a time ([`VectorEnv::turn`]): whatever the others do is ignored.
    pub turns: bool,
    /// How the options of a discrete action are written, as moves of a game are; empty where they have no names.
    pub action_names: Vec<String>,
    /// Names of the environment's own metrics of an episode, `M` of them, such as `success`.
    pub metrics: Vec<String>,
    /// Names of the groups whose members are decided about ([`crate::groups`]); empty where there are none.
    pub groups: Vec<String>,
    /// Names of the tasks that environments play ([`crate::mixture`]); empty where there is but one.
    pub tasks: Vec<String>,
    /// Space of what a teacher sees of one row, where that is kept beside observations ([`MakeOptions::privileged`]).
    ///
    /// [`MakeOptions::privileged`]: crate::MakeOptions::privileged
    pub privileged: Option<Space>,
}

/// What an environment of another program is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The packages that decide what it does, and their versions.
    pub versions: BTreeMap<String, String>,
    /// What whoever watches a run should know of it, a sentence each.
    pub remarks: Vec<String>,
}

impl VectorInfo {
    /// Rows of a batch, `N`.
    pub fn num_rows(&self) -> usize {
        self.num_envs * self.num_agents
    }

    /// Length of an observation row, `O`.
    pub fn observation_len(&self) -> usize {
        self.observation_space.packed_len()
    }

    /// Element type of observation rows.
    pub fn dtype(&self) -> Dtype {
        row_dtype(&self.observation_space)
    }

    /// Buffers of the right sizes.
    pub fn new_batch(&self) -> StepBatch {
        let rows = self.num_rows();
        StepBatch {
            observations: ObsBuffer::zeros(self.dtype(), rows * self.observation_len()),
            rewards: vec![0.0; rows],
            terminated: vec![false; rows],
            truncated: vec![false; rows],
            action_masks: vec![true; rows * self.mask_len],
            active: vec![true; rows],
            episodes: Vec::with_capacity(rows),
            episode_metrics: Vec::new(),
            final_observations: ObsBuffer::zeros(self.dtype(), 0),
            decisions: Vec::new(),
        }
    }

    /// The rows of an environment.
    pub fn rows_of_env(&self, env: usize) -> Range<usize> {
        env * self.num_agents..(env + 1) * self.num_agents
    }

    /// The rows of the given environments.
    pub fn rows_of<'a>(&self, envs: &'a RowSet) -> impl Iterator<Item = usize> + use<'a> {
        let agents = self.num_agents;
        envs.iter().flat_map(move |env| env * agents..(env + 1) * agents)
    }
}

impl StepBatch {
    /// Copies the rows of environment `from` of another batch onto those of `to`. The lists of ended episodes stay.
    ///
    /// # Panics
    /// If an environment does not exist, or a batch is not one of a simulator whose rows are as `info` says.
    pub fn copy_env_from(&mut self, source: &Self, from: usize, to: usize, info: &VectorInfo) {
        let (len, mask_len) = (info.observation_len(), info.mask_len);
        for (from, to) in info.rows_of_env(from).zip(info.rows_of_env(to)) {
            self.observations.copy_range(to * len, &source.observations, from * len, len);
            let mask = &source.action_masks[from * mask_len..(from + 1) * mask_len];
            self.action_masks[to * mask_len..(to + 1) * mask_len].copy_from_slice(mask);
            self.rewards[to] = source.rewards[from];
            self.terminated[to] = source.terminated[from];
            self.truncated[to] = source.truncated[from];
            self.active[to] = source.active[from];
        }
    }

    /// Copies the rows of environment `from` onto those of `to`, as [`VectorEnv::fork`] does with its state: what is acted in
    /// next is then the same in both. The lists of ended episodes stay.
    ///
    /// # Panics
    /// If an environment does not exist, or the batch is not one of `info`.
    pub fn copy_env(&mut self, from: usize, to: usize, info: &VectorInfo) {
        let (source, target) = (info.rows_of_env(from), info.rows_of_env(to).start);
        let scaled = |len: usize| (source.start * len..source.end * len, target * len);
        let (range, at) = scaled(info.observation_len());
        self.observations.copy_within(range.start, at, range.len());
        let (range, at) = scaled(info.mask_len);
        self.action_masks.copy_within(range, at);
        self.rewards.copy_within(source.clone(), target);
        for flags in [&mut self.terminated, &mut self.truncated, &mut self.active] {
            flags.copy_within(source.clone(), target);
        }
    }
}

/// A set of rows (or of environments) that remembers whether it is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowSet {
    all: bool,
    rows: Vec<u32>,
    contains: Vec<bool>,
}

impl RowSet {
    /// No rows out of `len`.
    pub fn none(len: usize) -> Self {
        Self { all: false, rows: Vec::new(), contains: vec![false; len] }
    }

    /// All of `len` rows.
    pub fn all(len: usize) -> Self {
        Self { all: true, ..Self::none(len) }
    }

    /// Whether it holds every row: then whole columns can be worked on.
    #[inline]
    pub fn is_all(&self) -> bool {
        self.all
    }

    /// Whether it holds no row.
    pub fn is_empty(&self) -> bool {
        !self.all && self.rows.is_empty()
    }

    /// Whether it holds `row`.
    #[inline]
    pub fn contains(&self, row: usize) -> bool {
        self.all || self.contains[row]
    }

    /// The rows, in increasing order if they were added so.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = usize> + Clone {
        let whole = if self.all { self.contains.len() } else { 0 };
        (0..whole).chain(self.rows.iter().map(|&row| row as usize))
    }

    /// Makes it hold every row.
    pub fn fill(&mut self) {
        self.clear();
        self.all = true;
    }

    /// Makes it hold none.
    pub fn clear(&mut self) {
        self.all = false;
        for row in self.rows.drain(..) {
            self.contains[row as usize] = false;
        }
    }

    /// Adds a row; rows must be added once.
    #[inline]
    pub fn insert(&mut self, row: usize) {
        debug_assert!(!self.all && !self.contains[row], "a row is added once");
        self.rows.push(row as u32);
        self.contains[row] = true;
    }

    /// Makes it hold the same rows as `other`.
    pub fn copy_from(&mut self, other: &Self) {
        self.all = other.all;
        self.rows.clone_from(&other.rows);
        self.contains.clone_from(&other.contains);
    }

    /// Makes it hold the rows whose flag is set, one flag a row.
    pub fn copy_flags(&mut self, flags: impl Iterator<Item = bool>) {
        self.all = false;
        self.contains.clear();
        self.contains.extend(flags);
        // Every row is written down, and stays if it is held: there is no branch to guess.
        self.rows.clear();
        self.rows.resize(self.contains.len(), 0);
        let mut held = 0;
        for (row, &contains) in self.contains.iter().enumerate() {
            self.rows[held] = row as u32;
            held += usize::from(contains);
        }
        self.rows.truncate(held);
    }

    /// Copies `width` values of each held row.
    pub(crate) fn copy_rows<T: Copy>(&self, to: &mut [T], from: &[T], width: usize) {
        if self.all {
            to.copy_from_slice(from);
        } else if width == 1 {
            for ((to, &from), &contains) in to.iter_mut().zip(from).zip(&self.contains) {
                *to = if contains { from } else { *to };
            }
        } else {
            for row in self.iter() {
                to[row * width..(row + 1) * width].copy_from_slice(&from[row * width..(row + 1) * width]);
            }
        }
    }
}

/// Many environments stepped together; see the module's design discussion.
///
/// Register one of your own with [`EnvSpec::vector`](crate::EnvSpec::vector). A wrapper of your own is best written as hooks
/// ([`Wrapper`](crate::wrappers::Wrapper)), which hand on what they do not change, and stacked with
/// [`MakeOptions::wrap`](crate::MakeOptions::wrap).
///
/// # Panics
/// Methods that take the number of an environment or row may panic if there is no such one: the
/// [`Simulator`](crate::Simulator) checks it.
pub trait VectorEnv: Send {
    /// Sizes and spaces.
    fn info(&self) -> &VectorInfo;

    /// Gives environment `e` the random stream of `seeds[e]` and starts an episode in each. Fills all of `out` but the lists
    /// of ended episodes and the active rows, which are the simulator's.
    ///
    /// # Errors
    /// If there is not one seed an environment.
    fn reset(&mut self, seeds: &[Seed], out: &mut StepBatch) -> Result<(), EnvError>;

    /// Starts a new episode in the given environments and writes its observations and masks; their generators run on.
    /// Everything else of `out` stays, rewards and flags of these environments included.
    ///
    /// # Errors
    /// If an environment fails.
    fn reset_envs(&mut self, envs: &RowSet, out: &mut StepBatch) -> Result<(), EnvError>;

    /// The first half of a step: hands over the actions of the `active` rows. `actions` have been checked.
    ///
    /// Next comes [`VectorEnv::receive`]; the simulator sees to it.
    ///
    /// # Errors
    /// If an environment fails.
    fn send(&mut self, actions: &ActionBatch, active: &RowSet) -> Result<(), EnvError>;

    /// The second half of a step: writes observations, rewards, flags and masks of the rows that were sent as active. Other
    /// rows get reward zero and no flags, and keep their observation and mask, which `out` still holds from the last call.
    ///
    /// # Errors
    /// If an environment fails.
    fn receive(&mut self, out: &mut StepBatch) -> Result<(), EnvError>;

    /// Both halves of a step; the same bits.
    ///
    /// # Errors
    /// As [`VectorEnv::send`] and [`VectorEnv::receive`].
    fn step(&mut self, actions: &ActionBatch, active: &RowSet, out: &mut StepBatch) -> Result<(), EnvError> {
        self.send(actions, active)?;
        self.receive(out)
    }

    /// Return and length so far of a row's episode; none if nobody counts them. An environment need not:
    /// [`Monitor`](crate::Monitor) does, above each that is registered.
    fn episode(&self, _row: usize) -> Option<EpisodeStats> {
        None
    }

    /// Writes the environment's own metrics of a row's episode so far, as [`VectorInfo::metrics`] names them. Called when it
    /// ended, before the reset, and only if there are any. Not a number is one that this episode does not have.
    ///
    /// # Shapes
    /// `out`: `[M]`, zeros.
    fn episode_metrics(&self, _row: usize, _out: &mut [f64]) {}

    /// Appends what a row decided about members of groups in its last step, also if that ended its episode; called before the
    /// reset, and only if there are groups ([`VectorInfo::groups`]).
    fn decisions(&self, _row: usize, _out: &mut Vec<Decision>) {}

    /// Which task an environment plays now, of those that [`VectorInfo::tasks`] names; asked only if there are any.
    fn task(&self, _env: usize) -> usize {
        0
    }

    /// Whose turn it is in an environment, of its agents; zero where all act at the same time ([`VectorInfo::turns`]).
    fn turn(&self, _env: usize) -> usize {
        0
    }

    /// What a teacher sees of each row since the last reset or step, `[N, Q]`; none if nobody keeps it.
    fn privileged(&self) -> Option<&ObsBuffer> {
        None
    }

    /// Whether it goes on from the observations that the caller's buffer holds from the last call, as a frame stack does.
    /// Whoever changes observations around such an environment must do so in a copy.
    fn reads_back(&self) -> bool {
        false
    }

    /// What an environment of another program is made of; none for one of this program.
    fn origin(&self) -> Option<&Origin> {
        None
    }

    /// Whether snapshots can be taken, and single environments be saved, loaded and forked.
    ///
    /// # Errors
    /// [`EnvError::NotSnapshotable`] with the reason if they cannot, which is the default.
    fn snapshot_support(&self) -> Result<(), EnvError> {
        Err(EnvError::NotSnapshotable { reason: "it saves no state".to_owned() })
    }

    /// The whole state.
    ///
    /// # Errors
    /// [`EnvError::NotSnapshotable`], or [`EnvError::Snapshot`] if the state cannot be serialised.
    fn snapshot(&mut self) -> Result<Vec<u8>, EnvError> {
        Err(unsupported("snapshot"))
    }

    /// Takes on a state saved by [`VectorEnv::snapshot`].
    ///
    /// # Errors
    /// [`EnvError::NotSnapshotable`], or [`EnvError::Snapshot`] if it belongs to something else or is damaged.
    fn restore(&mut self, _snapshot: &[u8]) -> Result<(), EnvError> {
        Err(unsupported("restore"))
    }

    /// The state of one environment: its generator, its agents, and what is counted of its episode. Statistics that rows
    /// share are not part of it.
    ///
    /// # Errors
    /// As [`VectorEnv::snapshot`].
    fn save_env(&mut self, _env: usize) -> Result<Vec<u8>, EnvError> {
        Err(unsupported("save_env"))
    }

    /// Gives one environment a state saved by [`VectorEnv::save_env`], of any environment of the same kind.
    ///
    /// # Errors
    /// As [`VectorEnv::restore`].
    fn load_env(&mut self, _env: usize, _saved: &[u8]) -> Result<(), EnvError> {
        Err(unsupported("load_env"))
    }

    /// Gives environment `to` the state of environment `from`: the same as saving and loading it, but cheaper.
    ///
    /// # Errors
    /// [`EnvError::NotSnapshotable`].
    fn fork(&mut self, _from: usize, _to: usize) -> Result<(), EnvError> {
        Err(unsupported("fork"))
    }

    /// Gives one environment another random stream; its state stays. A fork that is to have a future of its own needs it.
    ///
    /// # Errors
    /// [`EnvError::NotSnapshotable`].
    fn reseed(&mut self, _env: usize, _seed: &Seed) -> Result<(), EnvError> {
        Err(unsupported("reseed"))
    }

    /// A picture of an environment; none if it cannot be drawn.
    fn render(&mut self, _env: usize) -> Option<Frame> {
        None
    }

    /// An environment as text; none if it has no such form.
    fn render_text(&mut self, _env: usize) -> Option<String> {
        None
    }

    /// Sets an environment's state to one that has the given observation; false if it cannot. Counters and generators stay.
    fn assume(&mut self, _env: usize, _observation: &[f32]) -> bool {
        false
    }

    /// Visits the running statistics of the stack, the innermost first.
    fn visit_statistics(&mut self, _visit: &mut dyn FnMut(&mut RunningStatistics)) {}
}

/// Why a method of snapshots that an environment does not implement fails.
fn unsupported(method: &str) -> EnvError {
    EnvError::NotSnapshotable { reason: format!("it does not implement {method}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_insertions_make_the_same_set() {
        let flags = [true, false, false, true, true, false];
        let mut inserted = RowSet::none(6);
        (0..6).filter(|&row| flags[row]).for_each(|row| inserted.insert(row));
        let mut of_flags = RowSet::all(6);
        of_flags.copy_flags(flags.into_iter());
        assert_eq!(of_flags, inserted);
        assert_eq!(of_flags.iter().collect::<Vec<_>>(), [0, 3, 4]);
        assert!(!of_flags.is_all() && !of_flags.is_empty());
        let mut copy = RowSet::default();
        copy.copy_from(&of_flags);
        assert_eq!(copy, inserted);
        copy.clear();
        assert_eq!(copy, RowSet::none(6));
        of_flags.copy_flags([false; 6].into_iter());
        assert!(of_flags.is_empty());
    }

    #[test]
    fn only_held_rows_are_copied() {
        let mut rows = RowSet::none(3);
        rows.insert(0);
        rows.insert(2);
        let mut single = [1, 2, 3];
        rows.copy_rows(&mut single, &[7, 8, 9], 1);
        assert_eq!(single, [7, 2, 9]);
        let mut pairs = [0.0; 6];
        rows.copy_rows(&mut pairs, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2);
        assert_eq!(pairs, [1.0, 2.0, 0.0, 0.0, 5.0, 6.0]);
        RowSet::all(3).copy_rows(&mut pairs, &[9.0; 6], 2);
        assert_eq!(pairs, [9.0; 6]);
    }
}
