//! What the tabular worlds share: a table of transitions, sampled as Gymnasium samples it.
//!
//! A world is a table of states and actions; an arena is one number. Every step and every reset draws one number, also
//! where the outcome is certain, because the reference does.

use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};

use crate::simulator::{Actions, EnvRng, IN_TABLES, Observations, Outcomes, Row, Scope, SimulatorBuilder};

/// One possible outcome of an action.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Transition {
    pub(super) probability: f64,
    pub(super) next: u16,
    pub(super) reward: f64,
    pub(super) terminated: bool,
}

/// Up to three outcomes of an action in a state.
#[derive(Clone, Copy, Debug)]
struct Cell {
    /// Running sums of the probabilities, in the reference's order of additions.
    sums: [f64; 3],
    rewards: [f32; 3],
    next: [u16; 3],
    terminated: [bool; 3],
}

/// A tabular world.
#[derive(Resource, Clone, Debug)]
pub(super) struct Table {
    num_actions: usize,
    cells: Vec<Cell>,
    /// Running sums of the starting states' probabilities.
    starts: Vec<f64>,
}

impl Table {
    /// A world of the given transitions (one to three for each state and action) and weights of starting states.
    pub(super) fn new(
        num_states: usize,
        num_actions: usize,
        mut transitions: impl FnMut(usize, usize) -> Vec<Transition>,
        starts: &[f64],
    ) -> Self {
        let mut cells = Vec::with_capacity(num_states * num_actions);
        for state in 0..num_states {
            for action in 0..num_actions {
                let outcomes = transitions(state, action);
                let last = outcomes.len() - 1;
                let at = |i: usize| outcomes[i.min(last)];
                let mut sum = 0.0;
                let sums = std::array::from_fn(|i| {
                    sum += if i <= last { outcomes[i].probability } else { 0.0 };
                    sum
                });
                cells.push(Cell {
                    sums,
                    rewards: std::array::from_fn(|i| at(i).reward as f32),
                    next: std::array::from_fn(|i| at(i).next),
                    terminated: std::array::from_fn(|i| at(i).terminated),
                });
            }
        }
        let total: f64 = starts.iter().sum();
        let mut sum = 0.0;
        let starts = starts.iter().map(|weight| {
            sum += weight / total;
            sum
        });
        Self { num_actions, cells, starts: starts.collect() }
    }

    /// The first state whose running sum exceeds the draw, and 0 if there is none.
    fn start(&self, draw: f64) -> u16 {
        let first = self.starts.partition_point(|&sum| sum <= draw);
        if first < self.starts.len() { first as u16 } else { 0 }
    }
}

/// The state of an arena.
#[derive(Component, Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct State(pub(super) u16);

/// The action taken last, for the picture.
#[derive(Component, Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct LastAction(pub(super) Option<u8>);

/// Adds the systems of a tabular world.
pub(super) fn build(simulator: &mut SimulatorBuilder, table: Table) {
    simulator
        .constant(table)
        .arena_component(State::default())
        .arena_component(LastAction::default())
        .outcome(step)
        .observe(observe)
        .reset(reset);
}

#[expect(clippy::expect_used, reason = "these components are never sparse")]
pub(super) fn step(
    table: Res<Table>,
    actions: Res<Actions>,
    mut outcomes: ResMut<Outcomes>,
    mut arenas: Query<(&Row, &mut State, &mut LastAction, &mut EnvRng)>,
) {
    let outcomes = &mut *outcomes;
    for (rows, mut states, mut last, mut rngs) in arenas.contiguous_iter_mut().expect(IN_TABLES) {
        let range = rows[0].index()..rows[0].index() + rows.len();
        let (states, rngs) = (states.bypass_change_detection(), rngs.bypass_change_detection());
        let last = last.bypass_change_detection();
        let (rewards, flags) =
            (&mut outcomes.rewards[range.clone()], &mut outcomes.terminated[range.clone()]);
        let columns = states.iter_mut().zip(rngs).zip(last).zip(&actions.indices()[range]);
        for ((((state, rng), last), &action), (reward, terminated)) in
            columns.zip(rewards.iter_mut().zip(flags))
        {
            let draw = rng.0.random();
            let cell = &table.cells[usize::from(state.0) * table.num_actions + action as usize];
            let [first, second, third] = cell.sums;
            // Sums that end just below one leave a draw without an outcome: the reference then takes the first.
            let chosen = usize::from(draw >= first) + usize::from(draw >= second);
            let chosen = if draw >= third { 0 } else { chosen };
            state.0 = cell.next[chosen];
            *reward = f64::from(cell.rewards[chosen]);
            *terminated = cell.terminated[chosen];
            last.0 = Some(action as u8);
        }
    }
}

#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn observe(scope: Res<Scope>, mut observations: ResMut<Observations>, arenas: Query<(&Row, &State)>) {
    let out = observations.rows_mut::<f32>();
    for (rows, states) in arenas.contiguous_iter().expect(IN_TABLES) {
        let first = rows[0].index();
        if scope.is_all() {
            for (out, state) in out[first..].iter_mut().zip(states) {
                *out = f32::from(state.0);
            }
        } else {
            for env in scope.iter() {
                out[env] = f32::from(states[env - first].0);
            }
        }
    }
}

#[expect(clippy::expect_used, reason = "these components are never sparse")]
pub(super) fn reset(
    table: Res<Table>,
    scope: Res<Scope>,
    mut arenas: Query<(&Row, &mut State, &mut LastAction, &mut EnvRng)>,
) {
    for (rows, mut states, mut last, mut rngs) in arenas.contiguous_iter_mut().expect(IN_TABLES) {
        let (states, rngs) = (states.bypass_change_detection(), rngs.bypass_change_detection());
        let (last, first) = (last.bypass_change_detection(), rows[0].index());
        for env in scope.iter() {
            states[env - first].0 = table.start(rngs[env - first].0.random());
            last[env - first].0 = None;
        }
    }
}
