//! GoToDoor: stop in front of the door that the mission names.
//!
//! # Description
//! A room with a door of another colour in each wall. The agent is to go to the one that the mission names and say that it is
//! done.
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
//! 3 purple, 4 yellow, 5 grey. States of a door: 0 open, 1 closed, 2 locked. Nothing hides anything.
//!
//! # Rewards
//! `1 − 0.9 · steps / max_steps` for being done beside the named door, 0 otherwise.
//!
//! # Metrics
//! `success`: 1 if the episode ended with a reward above 0, else 0.
//!
//! # Starting state
//! The room's size (from 5 up to the id's), doors, colours, agent and target are drawn uniformly.
//!
//! # Episode end
//! Terminated when the agent is done and when it toggles; truncated after 4 · size² steps.
//!
//! # Arguments
//! `max_steps`: steps after which an episode is truncated, also the scale of the reward. The registered time limit holds
//! as well.
//!
//! # Version history
//! `-v0`: sizes 5, 6 and 8.
//!
//! # Source
//! MiniGrid 3.2.0 `minigrid/envs/gotodoor.py` (Apache-2.0), whose trajectories it repeats, world generation included.
//!
//! # Deviations
//! 1. The mission is a number in the observation; `mission_text` gives its words.

use serde::{Deserialize, Serialize};

use super::cell::{Cell, Color, DoorState};
use super::family::{Family, Layout};
use super::grid::{Area, Point};
use super::sample::{between, pick_color};
use super::world::{GridAction, Outcome, UNLIMITED, World};
use crate::Pcg64;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct GoToDoor {
    size: i32,
    /// The named door.
    target: Point,
}

impl GoToDoor {
    pub(super) fn new(size: i32) -> Self {
        Self { size, target: Point::default() }
    }
}

/// Four different colours.
fn draw_colors(rng: &mut Pcg64) -> [Color; 4] {
    let mut colors = [Color::Red; 4];
    let mut drawn = 0;
    while drawn < colors.len() {
        let color = pick_color(rng);
        if !colors[..drawn].contains(&color) {
            colors[drawn] = color;
            drawn += 1;
        }
    }
    colors
}

impl Family for GoToDoor {
    fn page(&self) -> &'static str {
        include_str!("go_to_door.rs")
    }

    fn summary(&self) -> &'static str {
        "Stop in front of the door that the mission names."
    }

    fn layout(&self) -> Layout {
        let max_steps = 4 * self.size.pow(2) as u32;
        Layout { width: self.size, height: self.size, max_steps, see_through_walls: true }
    }

    fn num_missions(&self) -> usize {
        Color::BY_NAME.len()
    }

    fn mission(&self, index: usize) -> String {
        format!("go to the {} door", Color::BY_NAME[index].name())
    }

    fn generate(&mut self, world: &mut World, rng: &mut Pcg64) -> Option<usize> {
        let (width, height) = (between(rng, 5, self.size + 1), between(rng, 5, self.size + 1));
        let room = Area::new(0, 0, width, height);
        world.grid.wall_rect(room);
        let doors = [
            Point::new(between(rng, 2, width - 2), 0),
            Point::new(between(rng, 2, width - 2), height - 1),
            Point::new(0, between(rng, 2, height - 2)),
            Point::new(width - 1, between(rng, 2, height - 2)),
        ];
        let colors = draw_colors(rng);
        for (door, color) in doors.into_iter().zip(colors) {
            world.grid.set(door, Cell::door(color, DoorState::Closed));
        }
        world.place_agent(room, UNLIMITED, rng)?;
        let target = between(rng, 0, 4) as usize;
        self.target = doors[target];
        Some(colors[target].rank())
    }

    fn act(&mut self, world: &mut World, action: GridAction, _rng: &mut Pcg64) -> Outcome {
        let outcome = world.act(action);
        let (agent, target) = (world.agent, self.target);
        match action {
            GridAction::Done if agent.x.abs_diff(target.x) + agent.y.abs_diff(target.y) == 1 => {
                Outcome::ended(world.success_reward())
            }
            GridAction::Done | GridAction::Toggle => Outcome::ended(0.0),
            _ => outcome,
        }
    }
}
