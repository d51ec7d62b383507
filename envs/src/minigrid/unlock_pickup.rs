//! UnlockPickup: pick up the box behind a locked door.
//!
//! # Description
//! Two rooms with a locked door between them; the key lies in the agent's room, the box in the other one.
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
//! `1 − 0.9 · steps / max_steps` for picking up the box, 0 otherwise.
//!
//! # Metrics
//! `success`: 1 if the episode ended with a reward above 0, else 0.
//!
//! # Starting state
//! Box, door, their colours, key and agent are drawn uniformly.
//!
//! # Episode end
//! Terminated when the box is picked up; truncated after 288 steps.
//!
//! # Arguments
//! `max_steps`: steps after which an episode is truncated, also the scale of the reward. The registered time limit holds
//! as well.
//!
//! # Version history
//! `-v0`: the only one.
//!
//! # Source
//! MiniGrid 3.2.0 `minigrid/envs/unlockpickup.py` (Apache-2.0), whose trajectories it repeats, world generation included.
//!
//! # Deviations
//! 1. The mission is a number in the observation; `mission_text` gives its words.
//! 2. A placement that fails 1001 draws is an error in MiniGrid; here the world is drawn again.

use serde::{Deserialize, Serialize};

use super::cell::{Cell, Color, Object};
use super::family::{Family, Layout};
use super::room_grid::{LEFT_ROOM, RIGHT, RIGHT_ROOM, RoomGrid};
use super::world::{GridAction, Outcome, World};
use crate::Pcg64;

const ROOM_SIZE: i32 = 6;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct UnlockPickup {
    target: Cell,
}

impl UnlockPickup {
    pub(super) fn new() -> Self {
        Self { target: Cell::EMPTY }
    }
}

impl Family for UnlockPickup {
    fn page(&self) -> &'static str {
        include_str!("unlock_pickup.rs")
    }

    fn summary(&self) -> &'static str {
        "Pick up the box behind a locked door."
    }

    fn layout(&self) -> Layout {
        RoomGrid::layout(ROOM_SIZE, 1, 2, 8 * ROOM_SIZE.pow(2) as u32)
    }

    fn num_missions(&self) -> usize {
        Color::BY_NAME.len()
    }

    fn mission(&self, index: usize) -> String {
        format!("pick up the {} box", Color::BY_NAME[index].name())
    }

    fn generate(&mut self, world: &mut World, rng: &mut Pcg64) -> Option<usize> {
        let mut rooms = RoomGrid::build(ROOM_SIZE, 1, 2, world, rng);
        self.target = rooms.add_object(RIGHT_ROOM, Object::Box, None, world, rng)?;
        let (_, color) = rooms.add_locked_door(LEFT_ROOM, RIGHT, world, rng)?;
        rooms.add_object(LEFT_ROOM, Object::Key, Some(color), world, rng)?;
        rooms.place_agent(LEFT_ROOM, world, rng)?;
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
