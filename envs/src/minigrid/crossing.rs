//! LavaCrossing and SimpleCrossing: cross rivers by their only fords.
//!
//! # Description
//! Rivers of lava (or walls) run through the room from side to side; each has one opening for every stretch that the way to
//! the goal takes.
//!
//! # Action space
//! `Discrete(7)`: 0 turn left, 1 turn right, 2 go ahead, 3 pick up, 4 drop, 5 toggle (open or close what is ahead),
//! 6 done.
//!
//! # Observation space
//! `Dict`, packed in the order of names.
//!
//! | index | meaning | min | max |
//! |---|---|---|---|
//! | 0 | `direction`: 0 right, 1 down, 2 left, 3 up | 0 | 3 |
//! | 1–147 | `image` `[7, 7, 3]`: column, row, (object, colour, state) of the agent's window | 0 | 255 |
//! | 148 | `mission`: number of the mission (there is one) | 0 | 0 |
//!
//! Objects: 0 unseen, 1 empty, 2 wall, 4 door, 5 key, 6 ball, 7 box, 8 goal, 9 lava. Colours: 0 red, 1 green, 2 blue,
//! 3 purple, 4 yellow, 5 grey. States of a door: 0 open, 1 closed, 2 locked. Walls and shut doors hide what is behind.
//!
//! # Rewards
//! `1 − 0.9 · steps / max_steps` for reaching the goal, 0 otherwise.
//!
//! # Metrics
//! `success`: 1 if the episode ended with a reward above 0, else 0.
//!
//! # Starting state
//! The agent is at the top left, looking to the right, the goal at the bottom right. Rivers, the way through them and its
//! openings are drawn uniformly.
//!
//! # Episode end
//! Terminated on the goal and in lava; truncated after 4 · size² steps.
//!
//! # Arguments
//! `max_steps`: steps after which an episode is truncated, also the scale of the reward. The registered time limit holds
//! as well.
//!
//! # Version history
//! `-v0`: `S9N1`, `S9N2`, `S9N3` and `S11N5` (size and number of rivers) of both kinds.
//!
//! # Source
//! MiniGrid 3.2.0 `minigrid/envs/crossing.py` (Apache-2.0), whose trajectories it repeats, world generation included.
//!
//! # Deviations
//! 1. The mission is a number in the observation; `mission_text` gives its words.

use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::family::{Family, Layout};
use super::grid::{Area, Point};
use super::sample::between;
use super::world::World;
use crate::Pcg64;

/// Whether a river or a stretch of the way runs up and down or from left to right.
#[derive(Clone, Copy, PartialEq)]
enum Run {
    Vertical,
    Horizontal,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Crossing {
    size: i32,
    num_crossings: usize,
    lava: bool,
}

impl Crossing {
    pub(super) fn lava(size: i32, num_crossings: usize) -> Self {
        Self { size, num_crossings, lava: true }
    }

    pub(super) fn simple(size: i32, num_crossings: usize) -> Self {
        Self { size, num_crossings, lava: false }
    }

    /// Draws the rivers: the columns of the vertical ones and the rows of the horizontal ones, in order.
    fn draw_rivers(&self, rng: &mut Pcg64) -> (Vec<i32>, Vec<i32>) {
        let lines = || (2..self.size - 2).step_by(2);
        let mut rivers: Vec<(Run, i32)> = lines().map(|line| (Run::Vertical, line)).collect();
        rivers.extend(lines().map(|line| (Run::Horizontal, line)));
        rng.shuffle(&mut rivers);
        rivers.truncate(self.num_crossings);
        let sorted = |run| {
            let mut lines: Vec<i32> =
                rivers.iter().filter(|river| river.0 == run).map(|river| river.1).collect();
            lines.sort_unstable();
            lines
        };
        (sorted(Run::Vertical), sorted(Run::Horizontal))
    }

    /// Draws a way from the top left region to the bottom right one and opens every river where it is crossed.
    fn open_way(&self, columns: &[i32], rows: &[i32], world: &mut World, rng: &mut Pcg64) {
        let mut way = vec![Run::Horizontal; columns.len()];
        way.extend(rows.iter().map(|_| Run::Vertical));
        rng.shuffle(&mut way);
        let limits = |lines: &[i32]| [&[0], lines, &[self.size - 1]].concat();
        let (columns, rows) = (limits(columns), limits(rows));
        let (mut column, mut row) = (0, 0);
        for stretch in way {
            let opening = match stretch {
                Run::Horizontal => {
                    column += 1;
                    Point::new(columns[column], between(rng, rows[row] + 1, rows[row + 1]))
                }
                Run::Vertical => {
                    row += 1;
                    Point::new(between(rng, columns[column] + 1, columns[column + 1]), rows[row])
                }
            };
            world.grid.set(opening, Cell::EMPTY);
        }
    }
}

impl Family for Crossing {
    fn page(&self) -> &'static str {
        include_str!("crossing.rs")
    }

    fn summary(&self) -> &'static str {
        if self.lava { "Cross rivers of lava by their fords." } else { "Cross walls by their openings." }
    }

    fn layout(&self) -> Layout {
        let max_steps = 4 * self.size.pow(2) as u32;
        Layout { width: self.size, height: self.size, max_steps, see_through_walls: false }
    }

    fn mission(&self, _index: usize) -> String {
        let how = if self.lava { "avoid the lava" } else { "find the opening" };
        format!("{how} and get to the green goal square")
    }

    fn generate(&mut self, world: &mut World, rng: &mut Pcg64) -> Option<usize> {
        let size = self.size;
        world.grid.wall_rect(world.grid.area());
        world.put_agent(Point::new(1, 1), 0);
        world.grid.set(Point::new(size - 2, size - 2), Cell::GOAL);
        let river = if self.lava { Cell::LAVA } else { Cell::WALL };
        let (columns, rows) = self.draw_rivers(rng);
        for &row in &rows {
            world.grid.fill(Area::new(1, row, size - 2, 1), river);
        }
        for &column in &columns {
            world.grid.fill(Area::new(column, 1, 1, size - 2), river);
        }
        self.open_way(&columns, &rows, world, rng);
        Some(0)
    }
}
