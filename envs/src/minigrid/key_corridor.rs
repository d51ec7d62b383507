//! KeyCorridor: find the key, unlock the room, pick up the ball.
//!
//! # Description
//! A hallway with rooms on both sides. The ball is in a locked room on the right, its key in a room on the left, and doors
//! hide them until they are opened.
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
//! | 148 | `mission`: number of the mission: colour by name | 0 | 5 |
//!
//! Objects: 0 unseen, 1 empty, 2 wall, 4 door, 5 key, 6 ball, 7 box, 8 goal, 9 lava. Colours: 0 red, 1 green, 2 blue,
//! 3 purple, 4 yellow, 5 grey. States of a door: 0 open, 1 closed, 2 locked. Walls and shut doors hide what is behind.
//!
//! # Rewards
//! `1 − 0.9 · steps / max_steps` for picking up the ball, 0 otherwise.
//!
//! # Metrics
//! `success`: 1 if the episode ended with a reward above 0, else 0.
//!
//! # Starting state
//! Doors, colours, key, ball and the agent's place in the middle of the hallway are drawn uniformly.
//!
//! # Episode end
//! Terminated when the ball is picked up; truncated after 30 · (room size)² steps.
//!
//! # Arguments
//! `max_steps`: steps after which an episode is truncated, also the scale of the reward. The registered time limit holds
//! as well.
//!
//! # Version history
//! `-v0`: `S3R1`, `S3R2`, `S3R3`, `S4R3`, `S5R3` and `S6R3` (room size and rows of rooms).
//!
//! # Source
//! MiniGrid 3.2.0 `minigrid/envs/keycorridor.py` (Apache-2.0), whose trajectories it repeats, world generation included.
//!
//! # Deviations
//! 1. The mission is a number in the observation; `mission_text` gives its words.
//! 2. A placement that fails 1001 draws, or doors that do not connect all rooms in 5001, are an error in MiniGrid; here the
//!    world is drawn again.

use serde::{Deserialize, Serialize};

use super::cell::{Cell, Color, Object};
use super::family::{Family, Layout};
use super::room_grid::{LEFT, RoomGrid, RoomIndex, UP};
use super::sample::between;
use super::world::{GridAction, Outcome, World};
use crate::Pcg64;

const COLUMNS: usize = 3;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct KeyCorridor {
    room_size: i32,
    rows: usize,
    target: Cell,
}

impl KeyCorridor {
    pub(super) fn new(room_size: i32, rows: usize) -> Self {
        Self { room_size, rows, target: Cell::EMPTY }
    }
}

impl Family for KeyCorridor {
    fn page(&self) -> &'static str {
        include_str!("key_corridor.rs")
    }

    fn summary(&self) -> &'static str {
        "Find the key, unlock the room and pick up the ball."
    }

    fn layout(&self) -> Layout {
        RoomGrid::layout(self.room_size, self.rows, COLUMNS, 30 * self.room_size.pow(2) as u32)
    }

    fn num_missions(&self) -> usize {
        Color::BY_NAME.len()
    }

    fn mission(&self, index: usize) -> String {
        format!("pick up the {} ball", Color::BY_NAME[index].name())
    }

    fn generate(&mut self, world: &mut World, rng: &mut Pcg64) -> Option<usize> {
        let room = |column, row| RoomIndex { column, row };
        let mut rooms = RoomGrid::build(self.room_size, self.rows, COLUMNS, world, rng);
        for row in 1..self.rows {
            rooms.remove_wall(room(1, row), UP, world);
        }
        let locked = room(2, between(rng, 0, self.rows as i32) as usize);
        let (_, color) = rooms.add_locked_door(locked, LEFT, world, rng)?;
        self.target = rooms.add_object(locked, Object::Ball, None, world, rng)?;
        let of_key = room(0, between(rng, 0, self.rows as i32) as usize);
        rooms.add_object(of_key, Object::Key, Some(color), world, rng)?;
        rooms.place_agent(room(1, self.rows / 2), world, rng)?;
        rooms.connect_all(world, rng)?;
        Some(self.target.color().rank())
    }

    fn act(&mut self, world: &mut World, action: GridAction, _rng: &mut Pcg64) -> Outcome {
        let outcome = world.act(action);
        if action == GridAction::Pickup && world.carrying == self.target {
            return Outcome::ended(world.success_reward());
        }
        outcome
    }
}
