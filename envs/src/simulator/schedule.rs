//! The order of a tick, and the resources and components that the simulator shares with an environment's systems.

use bevy_ecs::prelude::*;
use bevy_ecs::query::{IterQueryData, QueryData, QueryFilter};
use serde::{Deserialize, Serialize};

use crate::Pcg64;
use crate::batch::{Action, ActionBatch, ActionSpec, ObsBuffer, ObsElement};
use crate::vector::{RowSet, VectorInfo};

/// What a query for contiguous columns relies on, as the text of an `expect`.
pub(crate) const IN_TABLES: &str = "the components of arenas and agents are stored in tables";

/// The system sets of a tick, in their order. `Autoreset` and a second `Observe` run only where an episode ended.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Read [`Actions`].
    Act,
    /// Advance the state.
    Dynamics,
    /// Write [`Outcomes`].
    Outcome,
    /// Write [`Observations`] for the arenas in [`Scope`].
    Observe,
    /// Start a new episode in the arenas in [`Scope`].
    Autoreset,
}

/// The number of an arena (an environment) in its world.
#[derive(Component, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Arena(pub u32);

impl Arena {
    /// The number as an index.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The batch row that an acting entity acts in and is observed in: of the arena itself, or of one of its agents.
#[derive(Component, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Row(pub u32);

impl Row {
    /// The row as an index.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Marks an acting entity of an arena with several agents ([`EcsEnv::num_agents`](super::EcsEnv::num_agents)).
///
/// Agents are spawned once, in row order, and never despawned: a query over agents meets the agents of arena 0, then
/// those of arena 1, and so on.
#[derive(Component, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Its arena.
    pub arena: Arena,
    /// Its number in the arena, from zero.
    pub index: u32,
}

/// Marks an entity that belongs to an arena without acting (a bullet, a car). Register its components with
/// [`SimulatorBuilder::member_component`](super::SimulatorBuilder::member_component).
#[derive(Component, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberOf(pub Arena);

/// An arena's own random generator: NumPy's PCG64, or another one chosen with
/// [`SimulatorBuilder::random`](super::SimulatorBuilder::random).
#[derive(Component, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvRng<R: Send + Sync + 'static = Pcg64>(pub R);

/// The actions of this tick, already checked.
#[derive(Resource)]
pub struct Actions {
    pub(super) batch: ActionBatch,
    pub(super) width: usize,
}

impl Actions {
    pub(super) fn new(spec: &ActionSpec, rows: usize) -> Self {
        Self { batch: ActionBatch::zeros(spec, rows), width: spec.width() }
    }

    /// The action of one row.
    #[inline]
    pub fn row(&self, row: Row) -> Action<'_> {
        self.batch.row(row.index(), self.width)
    }

    /// All discrete actions, `[N, width]`; empty if they are continuous.
    #[inline]
    pub fn indices(&self) -> &[u32] {
        self.batch.indices()
    }

    /// All continuous actions, `[N, width]`; empty if they are discrete.
    #[inline]
    pub fn values(&self) -> &[f32] {
        if let ActionBatch::Continuous(values) = &self.batch { values } else { &[] }
    }
}

/// The observation rows that `Observe` systems fill.
#[derive(Resource)]
pub struct Observations {
    pub(super) buffer: ObsBuffer,
    pub(super) width: usize,
}

impl Observations {
    pub(super) fn new(info: &VectorInfo) -> Self {
        let width = info.observation_len();
        Self { buffer: ObsBuffer::zeros(info.dtype(), info.num_rows() * width), width }
    }

    /// The row to write, as elements of the observation space's type.
    ///
    /// # Panics
    /// If `T` is not that type.
    #[inline]
    pub fn row_mut<T: ObsElement>(&mut self, row: Row) -> &mut [T] {
        let width = self.width;
        &mut self.rows_mut::<T>()[row.index() * width..(row.index() + 1) * width]
    }

    /// All rows, `[N, O]`.
    ///
    /// # Panics
    /// If `T` is not the observation space's element type.
    #[inline]
    #[expect(clippy::expect_used, reason = "the wrong element type is a bug of the environment's author")]
    pub fn rows_mut<T: ObsElement>(&mut self) -> &mut [T] {
        T::slice_mut(&mut self.buffer).expect("observation rows are of the observation space's element type")
    }
}

/// Reward and end of every row, filled by `Outcome` systems. All are running with reward zero when a tick begins.
#[derive(Resource)]
pub struct Outcomes {
    /// `[N]`.
    pub rewards: Vec<f64>,
    /// `[N]`; the dynamics reached an end.
    pub terminated: Vec<bool>,
    /// `[N]`; the environment cut the episode. Time limits are the simulator's.
    pub truncated: Vec<bool>,
}

impl Outcomes {
    pub(super) fn new(rows: usize) -> Self {
        Self { rewards: vec![0.0; rows], terminated: vec![false; rows], truncated: vec![false; rows] }
    }
}

/// Legal actions, `[N, A]`, filled by `Observe` systems of environments that have masks; empty for the others.
#[derive(Resource, Default)]
pub struct ActionMasks {
    pub(super) masks: Vec<bool>,
    pub(super) width: usize,
}

impl ActionMasks {
    pub(super) fn new(rows: usize, width: usize) -> Self {
        Self { masks: vec![true; rows * width], width }
    }

    /// The mask of one row, to be written.
    pub fn row_mut(&mut self, row: Row) -> &mut [bool] {
        &mut self.masks[row.index() * self.width..(row.index() + 1) * self.width]
    }
}

/// The arenas that `Observe` and `Autoreset` systems work on; in a tick, those that are stepped.
#[derive(Resource)]
pub struct Scope {
    envs: RowSet,
    /// Entities in scope, in order; unused when all are.
    arenas: Vec<Entity>,
    agents: Vec<Entity>,
}

impl Scope {
    pub(super) fn new(num_envs: usize) -> Self {
        Self { envs: RowSet::all(num_envs), arenas: Vec::new(), agents: Vec::new() }
    }

    /// Whether every arena is in scope (then iterating over whole columns is fastest).
    #[inline]
    pub fn is_all(&self) -> bool {
        self.envs.is_all()
    }

    /// Whether an arena is in scope.
    #[inline]
    pub fn contains(&self, arena: Arena) -> bool {
        self.envs.contains(arena.index())
    }

    /// The arenas in scope, by number. Arenas with one set of components lie in one column in this order, so a system
    /// can index a contiguous column with it.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = usize> + Clone {
        self.envs.iter()
    }

    /// Calls `f` for each arena in scope.
    #[inline]
    pub fn for_each<D: IterQueryData, F: QueryFilter>(
        &self,
        arenas: &mut Query<'_, '_, D, F>,
        f: impl FnMut(<D as QueryData>::Item<'_, '_>),
    ) {
        for_each(self.is_all(), &self.arenas, arenas, f);
    }

    /// Calls `f` for each agent of the arenas in scope.
    #[inline]
    pub fn for_each_agent<D: IterQueryData, F: QueryFilter>(
        &self,
        agents: &mut Query<'_, '_, D, F>,
        f: impl FnMut(<D as QueryData>::Item<'_, '_>),
    ) {
        for_each(self.is_all(), &self.agents, agents, f);
    }

    pub(super) fn set_all(&mut self) {
        self.envs.fill();
    }

    /// Puts the environments of `envs` in scope, given every arena's entity and every agent's.
    pub(super) fn set(&mut self, envs: &RowSet, arenas: &[Entity], agents: &[Entity]) {
        self.envs.copy_from(envs);
        self.arenas.clear();
        self.agents.clear();
        if envs.is_all() {
            return;
        }
        self.arenas.extend(envs.iter().map(|env| arenas[env]));
        let per_arena = agents.len() / arenas.len();
        if per_arena > 0 {
            envs.iter().for_each(|env| {
                self.agents.extend_from_slice(&agents[env * per_arena..(env + 1) * per_arena]);
            });
        }
    }
}

fn for_each<D: IterQueryData, F: QueryFilter>(
    all: bool,
    listed: &[Entity],
    query: &mut Query<'_, '_, D, F>,
    mut f: impl FnMut(<D as QueryData>::Item<'_, '_>),
) {
    if all {
        for item in query.iter_mut() {
            f(item);
        }
    } else {
        for &entity in listed {
            if let Ok(item) = query.get_mut(entity) {
                f(item);
            }
        }
    }
}
