//! PutNear: put one object next to another.
//!
//! # Description
//! Keys, balls and boxes lie in a room; the mission names one to be moved and one next to which it is to be put.
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
//! | 148 | `mission`: number of the mission: ((colour · 3 + kind) · 6 + colour) · 3 + kind | 0 | 323 |
//!
//! Objects: 0 unseen, 1 empty, 2 wall, 4 door, 5 key, 6 ball, 7 box, 8 goal, 9 lava. Colours: 0 red, 1 green, 2 blue,
//! 3 purple, 4 yellow, 5 grey. States of a door: 0 open, 1 closed, 2 locked. Nothing hides anything.
//!
//! # Rewards
//! `1 − 0.9 · steps / max_steps` for dropping the named object within one cell (diagonals too) of where the other
//! one lay at the start, 0 otherwise.
//!
//! # Metrics
//! `success`: 1 if the episode ended with a reward above 0, else 0.
//!
//! # Starting state
//! Objects of different kinds or colours, no two next to each other, and agent, object and target are drawn uniformly.
//!
//! # Episode end
//! Terminated when the wrong object is picked up and when anything is dropped or tried to be; truncated after 5 · size steps.
//!
//! # Arguments
//! `max_steps`: steps after which an episode is truncated, also the scale of the reward. The registered time limit holds
//! as well.
//!
//! # Version history
//! `-v0`: size 6 with 2 objects, size 8 with 3.
//!
//! # Source
//! MiniGrid 3.2.0 `minigrid/envs/putnear.py` (Apache-2.0), whose trajectories it repeats, world generation included.
//!
//! # Deviations
//! 1. The mission is a number in the observation; `mission_text` gives its words.

use serde::{Deserialize, Serialize};

use super::cell::{Cell, Color, Object};
use super::family::{Family, Layout};
use super::grid::Point;
use super::sample::{between, pick, pick_color};
use super::world::{GridAction, Outcome, UNLIMITED, World};
use crate::Pcg64;

const KINDS: [Object; 3] = [Object::Key, Object::Ball, Object::Box];
/// Colours times kinds.
const NUM_OBJECTS: usize = 18;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PutNear {
    size: i32,
    num_objects: usize,
    /// The object to move.
    moved: Cell,
    /// Where the other one lay at the start.
    target: Point,
}

impl PutNear {
    pub(super) fn new(size: i32, num_objects: usize) -> Self {
        Self { size, num_objects, moved: Cell::EMPTY, target: Point::default() }
    }
}

/// An object's number in a mission.
fn number(object: Cell) -> usize {
    let kind = KINDS.iter().position(|&kind| object.is(kind)).unwrap_or(0);
    object.color().rank() * KINDS.len() + kind
}

/// The words for an object's number.
fn words(number: usize) -> String {
    format!("{} {}", Color::BY_NAME[number / KINDS.len()].name(), KINDS[number % KINDS.len()].name())
}

/// Whether two cells touch, diagonally too, or are the same.
fn near(a: Point, b: Point) -> bool {
    a.x.abs_diff(b.x) <= 1 && a.y.abs_diff(b.y) <= 1
}

impl Family for PutNear {
    fn page(&self) -> &'static str {
        include_str!("put_near.rs")
    }

    fn summary(&self) -> &'static str {
        "Put one object next to another."
    }

    fn layout(&self) -> Layout {
        let max_steps = 5 * self.size as u32;
        Layout { width: self.size, height: self.size, max_steps, see_through_walls: true }
    }

    fn num_missions(&self) -> usize {
        NUM_OBJECTS * NUM_OBJECTS
    }

    fn mission(&self, index: usize) -> String {
        format!("put the {} near the {}", words(index / NUM_OBJECTS), words(index % NUM_OBJECTS))
    }

    fn generate(&mut self, world: &mut World, rng: &mut Pcg64) -> Option<usize> {
        let area = world.grid.area();
        world.grid.wall_rect(area);
        let mut objects: Vec<(Cell, Point)> = Vec::with_capacity(self.num_objects);
        while objects.len() < self.num_objects {
            let kind = pick(rng, &KINDS);
            let object = Cell::colored(kind, pick_color(rng));
            if objects.iter().any(|other| other.0 == object) {
                continue;
            }
            let crowded = |at| objects.iter().any(|other| near(at, other.1));
            let at = world.place_unless(object, area, UNLIMITED, crowded, rng)?;
            objects.push((object, at));
        }
        world.place_agent(area, UNLIMITED, rng)?;
        let count = objects.len() as i32;
        let moved = between(rng, 0, count);
        let target = loop {
            let target = between(rng, 0, count);
            if target != moved {
                break objects[target as usize];
            }
        };
        self.moved = objects[moved as usize].0;
        self.target = target.1;
        Some(number(self.moved) * NUM_OBJECTS + number(target.0))
    }

    fn act(&mut self, world: &mut World, action: GridAction, _rng: &mut Pcg64) -> Outcome {
        let carried = world.carrying;
        let outcome = world.act(action);
        let front = world.front();
        match action {
            GridAction::Pickup if world.carrying != Cell::EMPTY && world.carrying != self.moved => {
                Outcome::ended(0.0)
            }
            GridAction::Drop if carried != Cell::EMPTY => {
                let dropped = world.grid.get(front) == carried;
                let success = dropped && near(front, self.target);
                Outcome::ended(if success { world.success_reward() } else { 0.0 })
            }
            _ => outcome,
        }
    }
}
