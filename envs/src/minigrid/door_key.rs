//! DoorKey: fetch the key, open the door, walk to the goal.
//!
//! # Description
//! A wall splits the room. The only way through is a locked door, and its key lies on the agent's side. Rewards are sparse:
//! random actions hardly ever succeed in the larger rooms.
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
//! Wall, door, key and agent are drawn uniformly; the goal is in the bottom right corner.
//!
//! # Episode end
//! Terminated on the goal; truncated after 10 · size² steps.
//!
//! # Arguments
//! `max_steps`: steps after which an episode is truncated, also the scale of the reward. The registered time limit holds
//! as well.
//!
//! # Version history
//! `-v0`: sizes 5, 6, 8 and 16.
//!
//! # Source
//! MiniGrid 3.2.0 `minigrid/envs/doorkey.py` (Apache-2.0), whose trajectories it repeats, world generation included.
//!
//! # Deviations
//! 1. The mission is a number in the observation; `mission_text` gives its words.

use serde::{Deserialize, Serialize};

use super::cell::{Cell, Color, DoorState, Object};
use super::family::{Family, Layout};
use super::grid::{Area, Point};
use super::sample::between;
use super::world::{UNLIMITED, World};
use crate::Pcg64;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct DoorKey {
    size: i32,
}

impl DoorKey {
    pub(super) fn new(size: i32) -> Self {
        Self { size }
    }
}

impl Family for DoorKey {
    fn page(&self) -> &'static str {
        include_str!("door_key.rs")
    }

    fn summary(&self) -> &'static str {
        "Fetch the key, open the door and walk to the goal."
    }

    fn layout(&self) -> Layout {
        let max_steps = 10 * self.size.pow(2) as u32;
        Layout { width: self.size, height: self.size, max_steps, see_through_walls: false }
    }

    fn mission(&self, _index: usize) -> String {
        "use the key to open the door and then get to the goal".to_owned()
    }

    fn generate(&mut self, world: &mut World, rng: &mut Pcg64) -> Option<usize> {
        let size = self.size;
        world.grid.wall_rect(world.grid.area());
        world.grid.set(Point::new(size - 2, size - 2), Cell::GOAL);
        let split = between(rng, 2, size - 2);
        world.grid.fill(Area::new(split, 0, 1, size), Cell::WALL);
        let near_side = Area::new(0, 0, split, size);
        world.place_agent(near_side, UNLIMITED, rng)?;
        let door = Point::new(split, between(rng, 1, size - 2));
        world.grid.set(door, Cell::door(Color::Yellow, DoorState::Locked));
        world.place(Cell::colored(Object::Key, Color::Yellow), near_side, rng)?;
        Some(0)
    }
}
