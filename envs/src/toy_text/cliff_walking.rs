//! CliffWalking: walk along a cliff to the goal without stepping over its edge.
//!
//! # Description
//! A grid of 4 by 12; the cliff runs along the bottom row between the start and the goal. A step into it sends the agent
//! back to the start.
//!
//! # Action space
//! `Discrete(4)`: 0 up, 1 right, 2 down, 3 left.
//!
//! # Observation space
//! `Discrete(48)`: `row * 12 + column` of the agent.
//!
//! # Rewards
//! −1 a step, −100 for a step into the cliff.
//!
//! # Starting state
//! The bottom left corner, 36.
//!
//! # Episode end
//! Terminated at the goal, the bottom right corner. There is no time limit.
//!
//! # Arguments
//! `is_slippery` (false; true in `CliffWalkingSlippery-v1`): whether the agent moves to one of the sides of the direction
//! it meant with a chance of 1/3 each.
//!
//! # Version history
//! v1: as in Gymnasium.
//!
//! # Source
//! Sutton and Barto, "Reinforcement Learning: An Introduction", example 6.6; Gymnasium 1.3
//! `gymnasium/envs/toy_text/cliffwalking.py`, whose trajectories it repeats.
//!
//! # Deviations
//! None in the dynamics. Pictures are our own.

use serde::{Deserialize, Serialize};

use super::tabular::{self, State, Table, Transition};
use crate::simulator::{EcsEnv, SimulatorBuilder};
use crate::{Canvas, Frame, Space};

const ROWS: usize = 4;
const COLUMNS: usize = 12;
const START: usize = 36;
const GOAL: usize = 47;

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CliffWalking {
    /// Whether the agent may slide to the side; by default what the id says.
    pub is_slippery: Option<bool>,
}

impl CliffWalking {
    /// With what the id says filled in.
    pub(super) fn or(self, slippery: bool) -> Self {
        Self { is_slippery: Some(self.is_slippery.unwrap_or(slippery)) }
    }

    fn transitions(self, state: usize, action: usize) -> Vec<Transition> {
        let outcome = |direction: usize, probability: f64| {
            let (row, column) = (state / COLUMNS, state % COLUMNS);
            let (row, column) = match direction {
                0 => (row.saturating_sub(1), column),
                1 => (row, (column + 1).min(COLUMNS - 1)),
                2 => ((row + 1).min(ROWS - 1), column),
                _ => (row, column.saturating_sub(1)),
            };
            let next = row * COLUMNS + column;
            if is_cliff(next) {
                return Transition { probability, next: START as u16, reward: -100.0, terminated: false };
            }
            Transition { probability, next: next as u16, reward: -1.0, terminated: next == GOAL }
        };
        if self.is_slippery == Some(true) {
            [(action + 3) % 4, action, (action + 1) % 4]
                .map(|direction| outcome(direction, 1.0 / 3.0))
                .to_vec()
        } else {
            vec![outcome(action, 1.0)]
        }
    }
}

fn is_cliff(state: usize) -> bool {
    (START + 1..GOAL).contains(&state)
}

impl EcsEnv for CliffWalking {
    #[expect(clippy::expect_used, reason = "a constant")]
    fn observation_space(&self) -> Space {
        Space::discrete(ROWS * COLUMNS).expect("a grid is not empty")
    }

    #[expect(clippy::expect_used, reason = "a constant")]
    fn action_space(&self) -> Space {
        Space::discrete(4).expect("four is not zero")
    }

    fn build(&self, simulator: &mut SimulatorBuilder) {
        let mut starts = vec![0.0; ROWS * COLUMNS];
        starts[START] = 1.0;
        let table = Table::new(ROWS * COLUMNS, 4, |state, action| self.transitions(state, action), &starts);
        tabular::build(simulator, table);
        simulator.draw(|world, arena| Some(draw(usize::from(world.get::<State>(arena)?.0))));
        simulator.write(|world, arena| Some(write(usize::from(world.get::<State>(arena)?.0))));
    }
}

fn draw(state: usize) -> Frame {
    const TILE: f32 = 50.0;
    let mut canvas = Canvas::new(COLUMNS as u32 * 50, ROWS as u32 * 50, [120, 176, 96]);
    for i in 0..ROWS * COLUMNS {
        let (x, y) = ((i % COLUMNS) as f32 * TILE, (i / COLUMNS) as f32 * TILE);
        let fill = if is_cliff(i) { [70, 52, 44] } else { [120 + (i as u8 % 2) * 6, 176, 96] };
        canvas.rect(x, y, TILE, TILE, fill);
        if is_cliff(i) {
            canvas.polygon(&[(x, y), (x + TILE, y), (x + TILE * 0.5, y + 14.0)], [120, 176, 96]);
        }
        canvas.rect_outline(x, y, TILE, TILE, 0.5, [90, 130, 75]);
    }
    let center = |i: usize| ((i % COLUMNS) as f32 * TILE + 25.0, (i / COLUMNS) as f32 * TILE + 25.0);
    canvas.text_centered(center(START), "S", 24.0, [255, 255, 255]);
    canvas.text_centered(center(GOAL), "G", 24.0, [255, 255, 255]);
    let (x, y) = center(state);
    canvas.circle((x, y + 5.0), 12.0, [40, 60, 160]);
    canvas.circle((x, y - 10.0), 8.0, [235, 195, 160]);
    canvas.into_frame()
}

fn write(state: usize) -> String {
    let letter = |i: usize| match i {
        i if i == state => 'x',
        GOAL => 'T',
        i if is_cliff(i) => 'C',
        _ => 'o',
    };
    let letters: Vec<char> = (0..ROWS * COLUMNS).map(letter).collect();
    letters.chunks(COLUMNS).map(String::from_iter).collect::<Vec<_>>().join("\n")
}
