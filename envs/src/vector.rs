//! The vector environment: what the simulator's core and every wrapper are.
//!
//! # Design discussion
//!
//! * A [`VectorEnv`] steps `E` environments (*arenas*) at once. An arena has `A` acting rows (one, unless it is a
//!   multi-agent environment), so that a batch has `N = E * A` rows: row `e * A + a` is agent `a` of arena `e`.
//! * It never resets by itself. The [`Simulator`](crate::Simulator) on top of the stack owns autoreset, so a wrapper sees
//!   the observation that ended an episode like any other one, and `final_observations` cannot skip a wrapper.
//! * A call says which rows it is about. The others are *held*: what the buffers hold for them stays, and they are
//!   reset before they are stepped again. That is what next-step autoreset, action repeat and agents that end before
//!   their arena need, and nothing more.

use crate::batch::{ActionSpec, EpisodeStats, ObsBuffer, row_dtype};
use crate::random::Seed;
use crate::spaces::Dtype;
use crate::wrappers::{Frames, RunningStatistics};
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
    /// How observations repeat earlier ones of their episode, if a frame stack is the last that changed them.
    pub frames: Option<Frames>,
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
            final_observations: ObsBuffer::zeros(self.dtype(), 0),
        }
    }

    /// The rows of the given environments.
    pub fn rows_of<'a>(&self, envs: &'a RowSet) -> impl Iterator<Item = usize> + use<'a> {
        let agents = self.num_agents;
        envs.iter().flat_map(move |env| env * agents..(env + 1) * agents)
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
        self.clear();
        self.all = other.all;
        for &row in &other.rows {
            self.insert(row as usize);
        }
    }
}

/// Many environments stepped together; see the module's design discussion.
///
/// The simulator's core implements it, and so does every wrapper around another one; implement it for a wrapper of your
/// own and stack it with [`MakeOptions::wrap`](crate::MakeOptions::wrap).
pub trait VectorEnv: Send {
    /// Sizes and spaces.
    fn info(&self) -> &VectorInfo;

    /// Gives environment `e` the random stream of `seeds[e]` and starts an episode in each.
    ///
    /// # Errors
    /// If there is not one seed an environment.
    fn reset(&mut self, seeds: &[Seed], out: &mut StepBatch) -> Result<(), EnvError>;

    /// Starts a new episode in the given environments; their generators run on. Other rows of `out` stay as they are.
    ///
    /// # Errors
    /// None in the built-in environments.
    fn reset_envs(&mut self, envs: &RowSet, out: &mut StepBatch) -> Result<(), EnvError>;

    /// Steps the `active` rows and writes their observations, rewards, flags and masks. Other rows get reward zero and
    /// no flags, and keep their observation. `actions` have been checked.
    ///
    /// # Errors
    /// If an environment fails.
    fn step(&mut self, actions: &ActionBatch, active: &RowSet, out: &mut StepBatch) -> Result<(), EnvError>;

    /// Return and length so far of a row's episode.
    fn episode(&self, row: usize) -> EpisodeStats;

    /// The whole state.
    ///
    /// # Errors
    /// [`EnvError::Snapshot`] if it cannot be serialised.
    fn snapshot(&mut self) -> Result<Vec<u8>, EnvError>;

    /// Takes on a state saved by [`VectorEnv::snapshot`].
    ///
    /// # Errors
    /// [`EnvError::Snapshot`] if it belongs to something else or is damaged.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError>;

    /// A picture of an environment; none if it cannot be drawn.
    fn render(&mut self, env: usize) -> Option<Frame>;

    /// An environment as text; none if it has no such form.
    fn render_text(&mut self, env: usize) -> Option<String>;

    /// Sets an environment's state to one that has the given observation; false if it cannot. Counters and generators stay.
    fn assume(&mut self, env: usize, observation: &[f32]) -> bool;

    /// Visits the running statistics of the stack, the innermost first.
    fn visit_statistics(&mut self, visit: &mut dyn FnMut(&mut RunningStatistics));
}
