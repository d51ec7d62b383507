//! FourRooms: find the goal in four connected rooms.
//!
//! # Description
//! Four rooms in a square, connected by a gap in each wall between two of them.
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
//! Gaps, agent and goal are drawn uniformly.
//!
//! # Episode end
//! Terminated on the goal; truncated after 100 steps.
//!
//! # Arguments
//! `max_steps`: steps after which an episode is truncated, also the scale of the reward. The registered time limit holds
//! as well.
//!
//! # Version history
//! `-v0`: the only one.
//!
//! # Source
//! MiniGrid 3.2.0 `minigrid/envs/fourrooms.py` (Apache-2.0), whose trajectories it repeats, world generation included.
//!
//! # Deviations
//! 1. The mission is a number in the observation; `mission_text` gives its words.

use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::family::{Family, Layout};
use super::grid::{Area, Point};
use super::sample::between;
use super::world::{UNLIMITED, World};
use crate::Pcg64;

const SIZE: i32 = 19;
/// Cells from a room's wall to the next room's.
const ROOM: i32 = SIZE / 2;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct FourRooms;

impl Family for FourRooms {
    fn page(&self) -> &'static str {
        include_str!("four_rooms.rs")
    }

    fn summary(&self) -> &'static str {
        "Find the goal in four connected rooms."
    }

    fn layout(&self) -> Layout {
        Layout { width: SIZE, height: SIZE, max_steps: 100, see_through_walls: false }
    }

    fn mission(&self, _index: usize) -> String {
        "reach the goal".to_owned()
    }

    fn generate(&mut self, world: &mut World, rng: &mut Pcg64) -> Option<usize> {
        let area = world.grid.area();
        world.grid.wall_rect(area);
        for row in 0..2 {
            for column in 0..2 {
                let (left, top) = (column * ROOM, row * ROOM);
                if column == 0 {
                    world.grid.fill(Area::new(left + ROOM, top, 1, ROOM), Cell::WALL);
                    let gap = Point::new(left + ROOM, between(rng, top + 1, top + ROOM));
                    world.grid.set(gap, Cell::EMPTY);
                }
                if row == 0 {
                    world.grid.fill(Area::new(left, top + ROOM, ROOM, 1), Cell::WALL);
                    let gap = Point::new(between(rng, left + 1, left + ROOM), top + ROOM);
                    world.grid.set(gap, Cell::EMPTY);
                }
            }
        }
        world.place_agent(area, UNLIMITED, rng)?;
        world.place(Cell::GOAL, area, rng)?;
        Some(0)
    }
}
