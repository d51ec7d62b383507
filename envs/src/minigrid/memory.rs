//! Memory: remember an object and go to its like at the end of a hallway.
//!
//! # Description
//! The room at the start shows a green key or ball. At the end of the hallway are one of each; the agent must go to the one
//! that it saw.
//!
//! # Action space
//! `Discrete(7)`: 0 turn left, 1 turn right, 2 go ahead, 4 drop, 3 and 5 toggle (nothing here can be toggled), 6 done.
//! Nothing can be picked up.
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
//! `1 − 0.9 · steps / max_steps` for going to the matching object, 0 otherwise.
//!
//! # Metrics
//! `success`: 1 if the episode ended with a reward above 0, else 0.
//!
//! # Starting state
//! The agent looks to the right from anywhere in the start room's and the hallway's middle row. Objects, and with `Random` in
//! the id the length of the hallway, are drawn uniformly.
//!
//! # Episode end
//! Terminated beside either object at the end; truncated after 5 · size² steps.
//!
//! # Arguments
//! `max_steps`: steps after which an episode is truncated, also the scale of the reward. The registered time limit holds
//! as well.
//!
//! # Version history
//! `-v0`: sizes 7, 9, 11 and 13; `S13Random` and `S17Random`.
//!
//! # Source
//! MiniGrid 3.2.0 `minigrid/envs/memory.py` (Apache-2.0), whose trajectories it repeats, world generation included.
//!
//! # Deviations
//! 1. The mission is a number in the observation; `mission_text` gives its words.

use serde::{Deserialize, Serialize};

use super::cell::{Cell, Color, Object};
use super::family::{Family, Layout};
use super::grid::{Area, Point};
use super::sample::{between, pick};
use super::world::{GridAction, Outcome, World};
use crate::Pcg64;

const KEY: Cell = Cell::colored(Object::Key, Color::Green);
const BALL: Cell = Cell::colored(Object::Ball, Color::Green);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Memory {
    size: i32,
    random_length: bool,
    /// The cell beside the matching object.
    success: Point,
    /// The cell beside the other one.
    failure: Point,
}

impl Memory {
    pub(super) fn new(size: i32) -> Self {
        Self { size, random_length: false, success: Point::default(), failure: Point::default() }
    }

    pub(super) fn random_length(size: i32) -> Self {
        Self { random_length: true, ..Self::new(size) }
    }

    /// Walls of the start room, of the hallway up to column `end`, and of the passage across it.
    fn build_walls(&self, end: i32, world: &mut World) {
        let (middle, grid) = (self.size / 2, &mut world.grid);
        grid.wall_rect(grid.area());
        for side in [-1, 1] {
            grid.fill(Area::new(1, middle + 2 * side, 4, 1), Cell::WALL);
            grid.fill(Area::new(4, middle + side, 1, 1), Cell::WALL);
            grid.fill(Area::new(5, middle + side, (end - 5).max(0), 1), Cell::WALL);
        }
        grid.fill(Area::new(end, 0, 1, self.size), Cell::WALL);
        grid.set(Point::new(end, middle), Cell::EMPTY);
        grid.fill(Area::new(end + 2, 0, 1, self.size), Cell::WALL);
    }
}

impl Family for Memory {
    fn page(&self) -> &'static str {
        include_str!("memory.rs")
    }

    fn summary(&self) -> &'static str {
        "Remember an object and go to its like at the end of a hallway."
    }

    fn layout(&self) -> Layout {
        let max_steps = 5 * self.size.pow(2) as u32;
        Layout { width: self.size, height: self.size, max_steps, see_through_walls: false }
    }

    fn mission(&self, _index: usize) -> String {
        "go to the matching object at the end of the hallway".to_owned()
    }

    fn generate(&mut self, world: &mut World, rng: &mut Pcg64) -> Option<usize> {
        let (size, middle) = (self.size, self.size / 2);
        let end = if self.random_length { between(rng, 4, size - 2) } else { size - 3 };
        self.build_walls(end, world);
        world.put_agent(Point::new(between(rng, 1, end + 1), middle), 0);
        let shown = pick(rng, &[KEY, BALL]);
        world.grid.set(Point::new(1, middle - 1), shown);
        let [upper, lower] = pick(rng, &[[BALL, KEY], [KEY, BALL]]);
        world.grid.set(Point::new(end + 1, middle - 2), upper);
        world.grid.set(Point::new(end + 1, middle + 2), lower);
        let [by_upper, by_lower] = [middle - 1, middle + 1].map(|y| Point::new(end + 1, y));
        (self.success, self.failure) =
            if shown == upper { (by_upper, by_lower) } else { (by_lower, by_upper) };
        Some(0)
    }

    fn act(&mut self, world: &mut World, action: GridAction, _rng: &mut Pcg64) -> Outcome {
        let action = if action == GridAction::Pickup { GridAction::Toggle } else { action };
        let outcome = world.act(action);
        if world.agent == self.success {
            Outcome::ended(world.success_reward())
        } else if world.agent == self.failure {
            Outcome::ended(0.0)
        } else {
            outcome
        }
    }
}
