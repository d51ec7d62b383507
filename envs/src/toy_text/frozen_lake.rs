//! FrozenLake: cross a frozen lake without falling into a hole.
//!
//! # Description
//! A walk from the start to the goal over a grid of ice with holes. The ice is slippery: the agent may slide to the side.
//!
//! # Action space
//! `Discrete(4)`: 0 left, 1 down, 2 right, 3 up.
//!
//! # Observation space
//! `Discrete(rows * columns)`: `row * columns + column` of the agent.
//!
//! # Rewards
//! `reward_schedule`: 1 at the goal, 0 in a hole, 0 on ice.
//!
//! # Starting state
//! The start, marked `S`; one of them if there are several.
//!
//! # Episode end
//! Terminated in a hole or at the goal; truncated after 100 steps (`FrozenLake-v1`, 4 by 4) or 200 (`FrozenLake8x8-v1`).
//!
//! # Arguments
//! | argument | default | meaning |
//! |---|---|---|
//! | `map_name` | `"4x4"` or `"8x8"` | one of the two maps |
//! | `desc` | none | a map of one's own: rows of `S`, `F`, `H` and `G` |
//! | `is_slippery` | true | whether the agent may slide |
//! | `success_rate` | 1/3 | chance to move as meant on slippery ice; else to one of the two sides |
//! | `reward_schedule` | `[1, 0, 0]` | rewards at the goal, in a hole, on ice |
//!
//! # Version history
//! v1: as in Gymnasium.
//!
//! # Source
//! Gymnasium 1.3 `gymnasium/envs/toy_text/frozen_lake.py`, whose trajectories it repeats.
//!
//! # Deviations
//! None in the dynamics. Pictures are our own.

use serde::{Deserialize, Serialize};

use super::tabular::{self, LastAction, State, Table, Transition};
use crate::simulator::{EcsEnv, SimulatorBuilder};
use crate::{Canvas, EnvError, Frame, Space};

const MAP_4X4: [&str; 4] = ["SFFF", "FHFH", "FFFH", "HFFG"];
const MAP_8X8: [&str; 8] =
    ["SFFFFFFF", "FFFFFFFF", "FFFHFFFF", "FFFFFHFF", "FFFHFFFF", "FHHFFFHF", "FHFFHFHF", "FFFHFFFG"];

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FrozenLakeArgs {
    /// `4x4` or `8x8`; by default that of the id.
    pub map_name: Option<String>,
    /// A map of one's own.
    pub desc: Option<Vec<String>>,
    /// Whether the agent may slide.
    pub is_slippery: bool,
    /// Chance to move as meant on slippery ice.
    pub success_rate: f64,
    /// Rewards at the goal, in a hole, on ice.
    pub reward_schedule: [f64; 3],
}

impl Default for FrozenLakeArgs {
    fn default() -> Self {
        Self {
            map_name: None,
            desc: None,
            is_slippery: true,
            success_rate: 1.0 / 3.0,
            reward_schedule: [1.0, 0.0, 0.0],
        }
    }
}

/// A lake.
#[derive(Clone, Debug)]
pub struct FrozenLake {
    /// Row-major letters.
    cells: Vec<u8>,
    columns: usize,
    args: FrozenLakeArgs,
}

impl FrozenLake {
    /// A lake of the given arguments; `map_name` is the id's map.
    ///
    /// # Errors
    /// If the map is unknown, not a rectangle of the four letters, or lacks a start or a goal, or the rate is none.
    pub fn new(args: FrozenLakeArgs, map_name: &str) -> Result<Self, EnvError> {
        let wrong = |field, expected, found: String| EnvError::Setting { field, expected, found };
        let rows: Vec<String> = match (&args.desc, args.map_name.as_deref().unwrap_or(map_name)) {
            (Some(desc), _) => desc.clone(),
            (None, "4x4") => MAP_4X4.map(str::to_owned).to_vec(),
            (None, "8x8") => MAP_8X8.map(str::to_owned).to_vec(),
            (None, other) => return Err(wrong("map_name", "4x4 or 8x8", other.to_owned())),
        };
        let columns = rows.first().map_or(0, String::len);
        let cells: Vec<u8> = rows.iter().flat_map(|row| row.bytes()).collect();
        let regular = columns > 0 && rows.iter().all(|row| row.len() == columns);
        let lettered = cells.iter().all(|cell| b"SFHG".contains(cell));
        if !regular || !lettered || !cells.contains(&b'S') || !cells.contains(&b'G') || cells.len() > 10_000 {
            let expected = "rows of one length of the letters S, F, H and G, with a start and a goal";
            return Err(wrong("desc", expected, format!("{rows:?}")));
        }
        if !(0.0..=1.0).contains(&args.success_rate) {
            return Err(wrong("success_rate", "between 0 and 1", args.success_rate.to_string()));
        }
        if args.reward_schedule.iter().any(|reward| !reward.is_finite()) {
            return Err(wrong("reward_schedule", "finite numbers", format!("{:?}", args.reward_schedule)));
        }
        Ok(Self { cells, columns, args })
    }

    fn transitions(&self, state: usize, action: usize) -> Vec<Transition> {
        let [goal, hole, ice] = self.args.reward_schedule;
        if b"GH".contains(&self.cells[state]) {
            return vec![Transition { probability: 1.0, next: state as u16, reward: 0.0, terminated: true }];
        }
        let outcome = |direction: usize, probability: f64| {
            let next = self.moved(state, direction);
            let (reward, terminated) = match self.cells[next] {
                b'G' => (goal, true),
                b'H' => (hole, true),
                _ => (ice, false),
            };
            Transition { probability, next: next as u16, reward, terminated }
        };
        if !self.args.is_slippery {
            return vec![outcome(action, 1.0)];
        }
        let fail = (1.0 - self.args.success_rate) / 2.0;
        vec![
            outcome((action + 3) % 4, fail),
            outcome(action, self.args.success_rate),
            outcome((action + 1) % 4, fail),
        ]
    }

    fn moved(&self, state: usize, direction: usize) -> usize {
        let (row, column) = (state / self.columns, state % self.columns);
        let last_row = self.cells.len() / self.columns - 1;
        let (row, column) = match direction {
            0 => (row, column.saturating_sub(1)),
            1 => ((row + 1).min(last_row), column),
            2 => (row, (column + 1).min(self.columns - 1)),
            _ => (row.saturating_sub(1), column),
        };
        row * self.columns + column
    }

    fn draw(&self, state: usize, last_action: Option<u8>) -> Frame {
        const TILE: f32 = 64.0;
        let (columns, rows) = (self.columns as f32, (self.cells.len() / self.columns) as f32);
        let mut canvas = Canvas::new((columns * TILE) as u32, (rows * TILE) as u32, [221, 238, 250]);
        for (i, &cell) in self.cells.iter().enumerate() {
            let (x, y) = ((i % self.columns) as f32 * TILE, (i / self.columns) as f32 * TILE);
            let center = (x + TILE / 2.0, y + TILE / 2.0);
            match cell {
                b'H' => {
                    let water = if i == state { [20, 20, 60] } else { [44, 84, 150] };
                    canvas.circle(center, TILE * 0.4, [150, 190, 225]);
                    canvas.circle(center, TILE * 0.35, water);
                }
                b'G' => {
                    canvas.rect(x + 14.0, y + 26.0, 36.0, 26.0, [196, 40, 60]);
                    canvas.rect(x + 29.0, y + 26.0, 6.0, 26.0, [250, 214, 80]);
                    canvas.rect(x + 10.0, y + 20.0, 44.0, 9.0, [220, 60, 80]);
                }
                b'S' => canvas.rect(x + 14.0, y + 14.0, 36.0, 36.0, [190, 205, 215]),
                _ => {}
            }
            canvas.rect_outline(x, y, TILE, TILE, 1.0, [170, 200, 220]);
        }
        let (x, y) =
            ((state % self.columns) as f32 * TILE + 32.0, (state / self.columns) as f32 * TILE + 32.0);
        canvas.circle((x, y + 6.0), 14.0, [60, 140, 70]);
        canvas.circle((x, y - 12.0), 9.0, [235, 195, 160]);
        if let Some(action) = last_action {
            let (dx, dy) = [(-1.0, 0.0), (0.0, 1.0), (1.0, 0.0), (0.0, -1.0)][usize::from(action) % 4];
            canvas.line((x, y + 6.0), (x + 20.0 * dx, y + 6.0 + 20.0 * dy), 4.0, [30, 80, 40]);
        }
        canvas.into_frame()
    }

    fn write(&self, state: usize) -> String {
        let letter = |(i, &cell): (usize, &u8)| if i == state { '@' } else { char::from(cell) };
        let letters: Vec<char> = self.cells.iter().enumerate().map(letter).collect();
        letters.chunks(self.columns).map(String::from_iter).collect::<Vec<_>>().join("\n")
    }
}

impl EcsEnv for FrozenLake {
    #[expect(clippy::expect_used, reason = "a map has at least one cell and few of them")]
    fn observation_space(&self) -> Space {
        Space::discrete(self.cells.len()).expect("a map is not empty")
    }

    #[expect(clippy::expect_used, reason = "a constant")]
    fn action_space(&self) -> Space {
        Space::discrete(4).expect("four is not zero")
    }

    fn build(&self, simulator: &mut SimulatorBuilder) {
        let starts: Vec<f64> = self.cells.iter().map(|&cell| f64::from(u8::from(cell == b'S'))).collect();
        let table = Table::new(self.cells.len(), 4, |state, action| self.transitions(state, action), &starts);
        tabular::build(simulator, table);
        let (drawn, written) = (self.clone(), self.clone());
        simulator.draw(move |world, arena| {
            let state = usize::from(world.get::<State>(arena)?.0);
            Some(drawn.draw(state, world.get::<LastAction>(arena)?.0))
        });
        simulator.write(move |world, arena| Some(written.write(usize::from(world.get::<State>(arena)?.0))));
    }
}
