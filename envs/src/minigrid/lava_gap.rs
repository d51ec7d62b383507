//! LavaGap: walk through the gap in a strip of lava.
//!
//! # Description
//! A strip of lava with one gap stands between the agent and the goal.
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
//! The agent is at the top left, looking to the right, the goal at the bottom right; strip and gap are drawn uniformly.
//!
//! # Episode end
//! Terminated on the goal and in lava; truncated after 4 · size² steps.
//!
//! # Arguments
//! `max_steps`: steps after which an episode is truncated, also the scale of the reward. The registered time limit holds
//! as well.
//!
//! # Version history
//! `-v0`: sizes 5, 6 and 7.
//!
//! # Source
//! MiniGrid 3.2.0 `minigrid/envs/lavagap.py` (Apache-2.0), whose trajectories it repeats, world generation included.
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

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LavaGap {
    size: i32,
}

impl LavaGap {
    pub(super) fn new(size: i32) -> Self {
        Self { size }
    }
}

impl Family for LavaGap {
    fn page(&self) -> &'static str {
        include_str!("lava_gap.rs")
    }

    fn summary(&self) -> &'static str {
        "Walk through the gap in a strip of lava."
    }

    fn layout(&self) -> Layout {
        let max_steps = 4 * self.size.pow(2) as u32;
        Layout { width: self.size, height: self.size, max_steps, see_through_walls: false }
    }

    fn mission(&self, _index: usize) -> String {
        "avoid the lava and get to the green goal square".to_owned()
    }

    fn generate(&mut self, world: &mut World, rng: &mut Pcg64) -> Option<usize> {
        let size = self.size;
        world.grid.wall_rect(world.grid.area());
        world.put_agent(Point::new(1, 1), 0);
        world.grid.set(Point::new(size - 2, size - 2), Cell::GOAL);
        let gap = Point::new(between(rng, 2, size - 2), between(rng, 1, size - 1));
        world.grid.fill(Area::new(gap.x, 1, 1, size - 2), Cell::LAVA);
        world.grid.set(gap, Cell::EMPTY);
        Some(0)
    }
}
