//! Fetch: pick up the object that the mission names.
//!
//! # Description
//! Keys and balls of random colours lie in a room; the mission names one of them.
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
//! | 148 | `mission`: number of the mission: (wording · 6 + colour by name) · 2 + kind (key, ball) | 0 | 59 |
//!
//! Objects: 0 unseen, 1 empty, 2 wall, 4 door, 5 key, 6 ball, 7 box, 8 goal, 9 lava. Colours: 0 red, 1 green, 2 blue,
//! 3 purple, 4 yellow, 5 grey. States of a door: 0 open, 1 closed, 2 locked. Nothing hides anything.
//!
//! # Rewards
//! `1 − 0.9 · steps / max_steps` for picking up an object of the named kind and colour, 0 otherwise.
//!
//! # Metrics
//! `success`: 1 if the episode ended with a reward above 0, else 0.
//!
//! # Starting state
//! Objects, agent, target and the mission's wording are drawn uniformly.
//!
//! # Episode end
//! Terminated when anything is picked up; truncated after 5 · size² steps.
//!
//! # Arguments
//! `max_steps`: steps after which an episode is truncated, also the scale of the reward. The registered time limit holds
//! as well.
//!
//! # Version history
//! `-v0`: sizes 5 and 6 with 2 objects, size 8 with 3.
//!
//! # Source
//! MiniGrid 3.2.0 `minigrid/envs/fetch.py` (Apache-2.0), whose trajectories it repeats, world generation included.
//!
//! # Deviations
//! 1. The mission is a number in the observation; `mission_text` gives its words.

use serde::{Deserialize, Serialize};

use super::cell::{Cell, Color, Object};
use super::family::{Family, Layout};
use super::sample::{between, pick, pick_color};
use super::world::{GridAction, Outcome, UNLIMITED, World};
use crate::Pcg64;

const WORDINGS: [&str; 5] = ["get a", "go get a", "fetch a", "go fetch a", "you must fetch a"];
const KINDS: [Object; 2] = [Object::Key, Object::Ball];

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Fetch {
    size: i32,
    num_objects: usize,
    /// The object to fetch.
    target: Cell,
}

impl Fetch {
    pub(super) fn new(size: i32, num_objects: usize) -> Self {
        Self { size, num_objects, target: Cell::EMPTY }
    }
}

impl Family for Fetch {
    fn page(&self) -> &'static str {
        include_str!("fetch.rs")
    }

    fn summary(&self) -> &'static str {
        "Pick up the object that the mission names."
    }

    fn layout(&self) -> Layout {
        let max_steps = 5 * self.size.pow(2) as u32;
        Layout { width: self.size, height: self.size, max_steps, see_through_walls: true }
    }

    fn num_missions(&self) -> usize {
        WORDINGS.len() * Color::BY_NAME.len() * KINDS.len()
    }

    fn mission(&self, index: usize) -> String {
        let (wording, color, kind) = (WORDINGS[index / 12], Color::BY_NAME[index / 2 % 6], KINDS[index % 2]);
        format!("{wording} {} {}", color.name(), kind.name())
    }

    fn generate(&mut self, world: &mut World, rng: &mut Pcg64) -> Option<usize> {
        let area = world.grid.area();
        world.grid.wall_rect(area);
        let mut objects = Vec::with_capacity(self.num_objects);
        for _ in 0..self.num_objects {
            let kind = pick(rng, &KINDS);
            let object = Cell::colored(kind, pick_color(rng));
            world.place(object, area, rng)?;
            objects.push(object);
        }
        world.place_agent(area, UNLIMITED, rng)?;
        self.target = pick(rng, &objects);
        let wording = between(rng, 0, WORDINGS.len() as i32) as usize;
        let kind = usize::from(self.target.is(Object::Ball));
        Some((wording * 6 + self.target.color().rank()) * 2 + kind)
    }

    fn act(&mut self, world: &mut World, action: GridAction, _rng: &mut Pcg64) -> Outcome {
        let outcome = world.act(action);
        if world.carrying == Cell::EMPTY {
            outcome
        } else if world.carrying == self.target {
            Outcome::ended(world.success_reward())
        } else {
            Outcome::ended(0.0)
        }
    }
}
