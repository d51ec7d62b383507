//! MultiRoom: walk through a chain of rooms to the goal.
//!
//! # Description
//! Rooms of random sizes form a chain; a closed door leads from each to the next. The goal is in the last one.
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
//! Rooms, doors, their colours (never twice the same in a row), agent and goal are drawn at random.
//!
//! # Episode end
//! Terminated on the goal; truncated after 20 steps a room.
//!
//! # Arguments
//! `max_steps`: steps after which an episode is truncated, also the scale of the reward. The registered time limit holds
//! as well.
//!
//! # Version history
//! `N2-S4-v0`: 2 rooms of size 4. `N4-S5-v1`: 4 rooms up to size 5; `N4-S5-v0`: the same with 6 rooms, by an old mistake that
//! MiniGrid keeps. `N6-v0`: 6 rooms up to size 10.
//!
//! # Source
//! MiniGrid 3.2.0 `minigrid/envs/multiroom.py` (Apache-2.0), whose trajectories it repeats, world generation included.
//!
//! # Deviations
//! 1. The mission is a number in the observation; `mission_text` gives its words.

use serde::{Deserialize, Serialize};

use super::cell::{Cell, Color, DoorState};
use super::family::{Family, Layout};
use super::grid::{Area, Point};
use super::sample::{between, pick};
use super::world::{UNLIMITED, World};
use crate::Pcg64;

const SIZE: i32 = 25;
const MIN_ROOM_SIZE: i32 = 4;
/// Tries to put a next room behind a room.
const NEXT_ROOM_TRIES: usize = 8;

/// Walls of a room: right, bottom, left, top.
const RIGHT: i32 = 0;
const BOTTOM: i32 = 1;
const LEFT: i32 = 2;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct MultiRoom {
    num_rooms: usize,
    max_room_size: i32,
}

/// A room and the door through which the agent comes into it.
#[derive(Clone, Copy)]
struct Room {
    area: Area,
    entry: Point,
}

impl MultiRoom {
    pub(super) fn new(num_rooms: usize, max_room_size: i32) -> Self {
        Self { num_rooms, max_room_size }
    }

    /// Places a room behind an entry and then the rest of the chain behind the room. Gives whether this room fitted: a
    /// chain that breaks off later is kept as it is.
    fn extend(&self, chain: &mut Vec<Room>, wall: i32, entry: Point, rng: &mut Pcg64) -> bool {
        let mut side = || between(rng, MIN_ROOM_SIZE, self.max_room_size + 1);
        let size = Point::new(side(), side());
        let top = if chain.is_empty() { entry } else { behind(wall, entry, size, rng) };
        let area = Area { top, size };
        if !fits(area, chain) {
            return false;
        }
        chain.push(Room { area, entry });
        if chain.len() == self.num_rooms {
            return true;
        }
        for _ in 0..NEXT_ROOM_TRIES {
            let others: [i32; 3] = std::array::from_fn(|i| i as i32 + i32::from(i as i32 >= wall));
            let exit_wall = pick(rng, &others);
            let exit = match exit_wall {
                RIGHT => Point::new(top.x + size.x - 1, top.y + between(rng, 1, size.y - 1)),
                BOTTOM => Point::new(top.x + between(rng, 1, size.x - 1), top.y + size.y - 1),
                LEFT => Point::new(top.x, top.y + between(rng, 1, size.y - 1)),
                _ => Point::new(top.x + between(rng, 1, size.x - 1), top.y),
            };
            if self.extend(chain, (exit_wall + 2) % 4, exit, rng) {
                break;
            }
        }
        true
    }
}

/// Top left of a room that has its entry in the given wall.
fn behind(wall: i32, entry: Point, size: Point, rng: &mut Pcg64) -> Point {
    let mut along = |at: i32, size: i32| between(rng, at - size + 2, at);
    match wall {
        RIGHT => Point::new(entry.x - size.x + 1, along(entry.y, size.y)),
        BOTTOM => Point::new(along(entry.x, size.x), entry.y - size.y + 1),
        LEFT => Point::new(entry.x, along(entry.y, size.y)),
        _ => Point::new(along(entry.x, size.x), entry.y),
    }
}

/// Whether a room lies in the world and clear of all rooms but the last, whose wall it shares.
fn fits(room: Area, chain: &[Room]) -> bool {
    let (top, size) = (room.top, room.size);
    // The rules for the two axes differ in MiniGrid, and so do those for the two sides.
    let inside = top.x >= 0 && top.y >= 0 && top.x + size.x <= SIZE && top.y + size.y < SIZE;
    let clear_of = |other: Area| {
        top.x + size.x < other.top.x
            || other.top.x + other.size.x <= top.x
            || top.y + size.y < other.top.y
            || other.top.y + other.size.y <= top.y
    };
    let earlier = &chain[..chain.len().saturating_sub(1)];
    inside && earlier.iter().all(|other| clear_of(other.area))
}

impl Family for MultiRoom {
    fn page(&self) -> &'static str {
        include_str!("multi_room.rs")
    }

    fn summary(&self) -> &'static str {
        "Walk through a chain of rooms to the goal."
    }

    fn layout(&self) -> Layout {
        let max_steps = 20 * self.num_rooms as u32;
        Layout { width: SIZE, height: SIZE, max_steps, see_through_walls: false }
    }

    fn mission(&self, _index: usize) -> String {
        "traverse the rooms to get to the goal".to_owned()
    }

    fn generate(&mut self, world: &mut World, rng: &mut Pcg64) -> Option<usize> {
        let mut chain = Vec::with_capacity(self.num_rooms);
        while chain.len() < self.num_rooms {
            chain.clear();
            let entry = Point::new(between(rng, 0, SIZE - 2), between(rng, 0, SIZE - 2));
            self.extend(&mut chain, LEFT, entry, rng);
        }
        let mut previous = None;
        for (index, room) in chain.iter().enumerate() {
            world.grid.wall_rect(room.area);
            if index > 0 {
                let color = draw_other_color(previous, rng);
                world.grid.set(room.entry, Cell::door(color, DoorState::Closed));
                previous = Some(color);
            }
        }
        world.place_agent(chain.first()?.area, UNLIMITED, rng)?;
        world.place(Cell::GOAL, chain.last()?.area, rng)?;
        Some(0)
    }
}

/// A colour other than the previous door's.
fn draw_other_color(previous: Option<Color>, rng: &mut Pcg64) -> Color {
    match previous {
        None => pick(rng, &Color::BY_NAME),
        Some(previous) => {
            let rank = between(rng, 0, 5) as usize;
            Color::BY_NAME[rank + usize::from(rank >= previous.rank())]
        }
    }
}
