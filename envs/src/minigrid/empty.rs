//! Empty: walk to the goal in an empty room.
//!
//! # Description
//! One room, no obstacles: the shortest test that an agent learns at all.
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
//! 3 purple, 4 yellow, 5 grey. States of a door: 0 open, 1 closed, 2 locked. Nothing hides anything.
//!
//! # Rewards
//! `1 − 0.9 · steps / max_steps` for reaching the goal, 0 otherwise.
//!
//! # Metrics
//! `success`: 1 if the episode ended with a reward above 0, else 0.
//!
//! # Starting state
//! The goal is in the bottom right corner. The agent starts at the top left and looks to the right; with `Random` in the id
//! it starts anywhere, looking anywhere.
//!
//! # Episode end
//! Terminated on the goal; truncated after 4 · size² steps.
//!
//! # Arguments
//! `max_steps`: steps after which an episode is truncated, also the scale of the reward. The registered time limit holds
//! as well.
//!
//! # Version history
//! `-v0`: sizes 5, 6, 8 and 16; `Random` of sizes 5 and 6.
//!
//! # Source
//! MiniGrid 3.2.0 `minigrid/envs/empty.py` (Apache-2.0), whose trajectories it repeats, world generation included.
//!
//! # Deviations
//! 1. The mission is a number in the observation; `mission_text` gives its words.

use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::family::{Family, Layout};
use super::grid::Point;
use super::world::{UNLIMITED, World};
use crate::Pcg64;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Empty {
    size: i32,
    random_start: bool,
}

impl Empty {
    pub(super) fn new(size: i32) -> Self {
        Self { size, random_start: false }
    }

    pub(super) fn random(size: i32) -> Self {
        Self { size, random_start: true }
    }
}

impl Family for Empty {
    fn page(&self) -> &'static str {
        include_str!("empty.rs")
    }

    fn summary(&self) -> &'static str {
        "Walk to the goal in an empty room."
    }

    fn layout(&self) -> Layout {
        let max_steps = 4 * self.size.pow(2) as u32;
        Layout { width: self.size, height: self.size, max_steps, see_through_walls: true }
    }

    fn mission(&self, _index: usize) -> String {
        "get to the green goal square".to_owned()
    }

    fn generate(&mut self, world: &mut World, rng: &mut Pcg64) -> Option<usize> {
        let area = world.grid.area();
        world.grid.wall_rect(area);
        world.grid.set(Point::new(self.size - 2, self.size - 2), Cell::GOAL);
        if self.random_start {
            world.place_agent(area, UNLIMITED, rng)?;
        } else {
            world.put_agent(Point::new(1, 1), 0);
        }
        Some(0)
    }
}
