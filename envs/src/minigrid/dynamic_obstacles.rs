//! Dynamic-Obstacles: reach the goal without running into moving balls.
//!
//! # Description
//! Blue balls wander through the room, each to a random free cell next to it in every step, before the agent acts.
//!
//! # Action space
//! `Discrete(3)`: 0 turn left, 1 turn right, 2 go ahead.
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
//! 3 purple, 4 yellow, 5 grey. States of a door: 0 open, 1 closed, 2 locked. Nothing hides anything.
//!
//! # Rewards
//! `1 − 0.9 · steps / max_steps` for reaching the goal; −1 for walking ahead when a ball or a wall stood there
//! before the balls moved; 0 otherwise.
//!
//! # Metrics
//! `success`: 1 if the episode ended with a reward above 0, else 0.
//!
//! # Starting state
//! The goal is at the bottom right, the balls anywhere. The agent is at the top left and looks to the right; with `Random` in
//! the id it starts anywhere.
//!
//! # Episode end
//! Terminated on the goal and by a collision; truncated after 4 · size² steps.
//!
//! # Arguments
//! `max_steps`: steps after which an episode is truncated, also the scale of the reward. The registered time limit holds
//! as well.
//!
//! # Version history
//! `-v0`: sizes 5, 6, 8 and 16 with 2, 3, 4 and 8 balls; `Random` of sizes 5 and 6.
//!
//! # Source
//! MiniGrid 3.2.0 `minigrid/envs/dynamicobstacles.py` (Apache-2.0), whose trajectories it repeats, world generation included.
//!
//! # Deviations
//! 1. The mission is a number in the observation; `mission_text` gives its words.
//! 2. A ball that finds no cell in 101 draws when the world is made is an error in MiniGrid; here the world is drawn again.

use serde::{Deserialize, Serialize};

use super::cell::{Cell, Color, Object};
use super::family::{Family, Layout};
use super::grid::{Area, Point};
use super::world::{GridAction, Outcome, UNLIMITED, World};
use crate::Pcg64;

const OBSTACLE: Cell = Cell::colored(Object::Ball, Color::Blue);
/// Draws after which an obstacle stays where it is, less one.
const MAX_TRIES: u32 = 100;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct DynamicObstacles {
    size: i32,
    random_start: bool,
    /// Where the obstacles are.
    obstacles: Vec<Point>,
}

impl DynamicObstacles {
    pub(super) fn new(size: i32, num_obstacles: usize) -> Self {
        Self { size, random_start: false, obstacles: vec![Point::default(); num_obstacles] }
    }

    pub(super) fn random(size: i32, num_obstacles: usize) -> Self {
        Self { random_start: true, ..Self::new(size, num_obstacles) }
    }

    fn move_obstacles(&mut self, world: &mut World, rng: &mut Pcg64) {
        for obstacle in &mut self.obstacles {
            let around = Area::new(obstacle.x - 1, obstacle.y - 1, 3, 3);
            if let Some(to) = world.place_unless(OBSTACLE, around, MAX_TRIES, |_| false, rng) {
                world.grid.set(*obstacle, Cell::EMPTY);
                *obstacle = to;
            }
        }
    }
}

impl Family for DynamicObstacles {
    fn page(&self) -> &'static str {
        include_str!("dynamic_obstacles.rs")
    }

    fn summary(&self) -> &'static str {
        "Reach the goal without running into moving balls."
    }

    fn layout(&self) -> Layout {
        let max_steps = 4 * self.size.pow(2) as u32;
        Layout { width: self.size, height: self.size, max_steps, see_through_walls: true }
    }

    fn num_actions(&self) -> usize {
        3
    }

    fn mission(&self, _index: usize) -> String {
        "get to the green goal square".to_owned()
    }

    fn generate(&mut self, world: &mut World, rng: &mut Pcg64) -> Option<usize> {
        let area = world.grid.area();
        world.grid.wall_rect(area);
        world.grid.set(Point::new(self.size - 2, self.size - 2), Cell::GOAL);
        if self.random_start {
            world.place_agent(area, UNLIMITED, rng)?;
        } else {
            world.put_agent(Point::new(1, 1), 0);
        }
        for obstacle in &mut self.obstacles {
            *obstacle = world.place_unless(OBSTACLE, area, MAX_TRIES, |_| false, rng)?;
        }
        Some(0)
    }

    fn act(&mut self, world: &mut World, action: GridAction, rng: &mut Pcg64) -> Outcome {
        let ahead = world.grid.get(world.front());
        self.move_obstacles(world, rng);
        let outcome = world.act(action);
        // What stood ahead before the obstacles moved counts, even if the way is free by now.
        let collision = ahead != Cell::EMPTY && !ahead.is(Object::Goal);
        if action == GridAction::Forward && collision { Outcome::ended(-1.0) } else { outcome }
    }
}
