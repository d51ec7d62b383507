//! The order of a tick, and the resources and components that the simulator shares with an environment's systems.

use bevy_ecs::prelude::*;
use bevy_ecs::query::{IterQueryData, QueryData, QueryFilter};
use serde::{Deserialize, Serialize};

use crate::Pcg64;
use crate::batch::{Action, ActionBatch, ObsBuffer, ObsElement};

/// The system sets of a tick, in their order. `Autoreset` and a second `Observe` run only where an episode ended.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Read [`Actions`].
    Act,
    /// Advance the state.
    Dynamics,
    /// Write [`Outcomes`].
    Outcome,
    /// The simulator's own: time limits and episode statistics.
    Score,
    /// Write [`Observations`] for the arenas in [`Scope`].
    Observe,
    /// Start a new episode in the arenas in [`Scope`].
    Autoreset,
}

/// The batch row that an arena acts in and is observed in.
#[derive(Component, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Row(pub u32);

impl Row {
    /// The row as an index.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Marks an entity that belongs to an arena without being it (a bullet, a car). Register its components with
/// [`SimulatorBuilder::member_component`](super::SimulatorBuilder::member_component).
#[derive(Component, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberOf(pub Row);

/// An arena's own random generator.
#[derive(Component, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvRng(pub Pcg64);

/// The actions of this tick, already checked.
#[derive(Resource)]
pub struct Actions {
    pub(super) batch: ActionBatch,
    pub(super) width: usize,
}

impl Actions {
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

/// Legal actions, `[N, A]`, filled by `Observe` systems of environments that have masks; empty for the others.
#[derive(Resource, Default)]
pub struct ActionMasks {
    pub(super) masks: Vec<bool>,
    pub(super) width: usize,
}

impl ActionMasks {
    /// The mask of one row, to be written.
    pub fn row_mut(&mut self, row: Row) -> &mut [bool] {
        &mut self.masks[row.index() * self.width..(row.index() + 1) * self.width]
    }
}

/// The arenas that `Observe` and `Autoreset` systems work on.
#[derive(Resource, Default)]
pub struct Scope {
    pub(super) all: bool,
    /// Entities in scope, in row order; unused when all are.
    pub(super) arenas: Vec<Entity>,
    /// Whether a row is in scope; unused when all are.
    pub(super) rows: Vec<bool>,
}

impl Scope {
    /// Whether every arena is in scope (then iterating over whole columns is fastest).
    #[inline]
    pub fn is_all(&self) -> bool {
        self.all
    }

    /// Whether the arena of `row` is in scope.
    #[inline]
    pub fn contains(&self, row: Row) -> bool {
        self.all || self.rows[row.index()]
    }

    /// Calls `f` for each arena in scope.
    #[inline]
    pub fn for_each<D: IterQueryData, F: QueryFilter>(
        &self,
        arenas: &mut Query<'_, '_, D, F>,
        mut f: impl FnMut(<D as QueryData>::Item<'_, '_>),
    ) {
        if self.all {
            for item in arenas.iter_mut() {
                f(item);
            }
        } else {
            for &arena in &self.arenas {
                if let Ok(item) = arenas.get_mut(arena) {
                    f(item);
                }
            }
        }
    }

    pub(super) fn set_all(&mut self) {
        self.all = true;
    }

    /// Puts the listed rows in scope; `arena_of` maps a row to its entity.
    pub(super) fn set_rows(&mut self, rows: impl Iterator<Item = u32>, arena_of: &[Entity]) {
        self.all = false;
        self.arenas.clear();
        self.rows.clear();
        self.rows.resize(arena_of.len(), false);
        for row in rows {
            self.arenas.push(arena_of[row as usize]);
            self.rows[row as usize] = true;
        }
    }
}
