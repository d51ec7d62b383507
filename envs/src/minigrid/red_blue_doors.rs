//! RedBlueDoors: open the red door first, then the blue one.
//!
//! # Description
//! A room has a red door on its left and a blue one on its right. The agent must remember whether the red one is open, since
//! it hardly ever sees both.
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
//! `1 − 0.9 · steps / max_steps` for opening the blue door while the red one is open, 0 otherwise.
//!
//! # Metrics
//! `success`: 1 if the episode ended with a reward above 0, else 0.
//!
//! # Starting state
//! The agent is anywhere in the room in the middle; the doors are closed and drawn uniformly along their walls.
//!
//! # Episode end
//! Terminated when the blue door is open; truncated after 20 · size² steps.
//!
//! # Arguments
//! `max_steps`: steps after which an episode is truncated, also the scale of the reward. The registered time limit holds
//! as well.
//!
//! # Version history
//! `-v0`: sizes 6 and 8 (the grid is twice as wide as high).
//!
//! # Source
//! MiniGrid 3.2.0 `minigrid/envs/redbluedoors.py` (Apache-2.0), whose trajectories it repeats, world generation included.
//!
//! # Deviations
//! 1. The mission is a number in the observation; `mission_text` gives its words.

use serde::{Deserialize, Serialize};

use super::cell::{Cell, Color, DoorState};
use super::family::{Family, Layout};
use super::grid::{Area, Point};
use super::sample::between;
use super::world::{GridAction, Outcome, UNLIMITED, World};
use crate::Pcg64;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RedBlueDoors {
    size: i32,
    red_door: Point,
    blue_door: Point,
}

impl RedBlueDoors {
    pub(super) fn new(size: i32) -> Self {
        Self { size, red_door: Point::default(), blue_door: Point::default() }
    }
}

impl Family for RedBlueDoors {
    fn page(&self) -> &'static str {
        include_str!("red_blue_doors.rs")
    }

    fn summary(&self) -> &'static str {
        "Open the red door first, then the blue one."
    }

    fn layout(&self) -> Layout {
        let max_steps = 20 * self.size.pow(2) as u32;
        Layout { width: 2 * self.size, height: self.size, max_steps, see_through_walls: false }
    }

    fn mission(&self, _index: usize) -> String {
        "open the red door then the blue door".to_owned()
    }

    fn generate(&mut self, world: &mut World, rng: &mut Pcg64) -> Option<usize> {
        let (size, left) = (self.size, self.size / 2);
        let room = Area::new(left, 0, size, size);
        world.grid.wall_rect(world.grid.area());
        world.grid.wall_rect(room);
        world.place_agent(room, UNLIMITED, rng)?;
        self.red_door = Point::new(left, between(rng, 1, size - 1));
        self.blue_door = Point::new(left + size - 1, between(rng, 1, size - 1));
        world.grid.set(self.red_door, Cell::door(Color::Red, DoorState::Closed));
        world.grid.set(self.blue_door, Cell::door(Color::Blue, DoorState::Closed));
        Some(0)
    }

    fn act(&mut self, world: &mut World, action: GridAction, _rng: &mut Pcg64) -> Outcome {
        let red_was_open = world.grid.get(self.red_door).is_open_door();
        let outcome = world.act(action);
        if !world.grid.get(self.blue_door).is_open_door() {
            return outcome;
        }
        Outcome::ended(if red_was_open { world.success_reward() } else { 0.0 })
    }
}
