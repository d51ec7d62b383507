//! MinAtar Asterix: collect gold and avoid enemies that cross eight lanes.
//!
//! # Description
//! Enemies and gold enter at the left or the right and cross one of eight lanes, one to a lane at most. Touching gold
//! gives a point, touching an enemy ends the game. They appear and move faster as the game goes on.
//!
//! # Action space
//! `-v0`: `Discrete(6)`: 0 nothing, 1 left, 2 up, 3 right, 4 down, 5 fire; fire does nothing.
//! `-v1`: `Discrete(5)`: the same without fire.
//!
//! # Observation space
//! `Box(0, 255, (10, 10, 4), uint8)`, row, column, channel, 0 or 255:
//!
//! | channel | meaning |
//! |---|---|
//! | 0 | player |
//! | 1 | enemy |
//! | 2 | trail: the cell behind an enemy or gold, which tells where it goes |
//! | 3 | gold |
//!
//! # Rewards
//! 1 for each gold.
//!
//! # Starting state
//! The player is in column 5 and row 5; the lanes, rows 1 to 8, are empty. The first spawn is in step 11.
//!
//! # Episode end
//! Terminated when the player touches an enemy. There is no time limit.
//!
//! # Arguments
//! | argument | default | meaning |
//! |---|---|---|
//! | `sticky_action_prob` | 0.1 | probability that the last action is repeated instead of the chosen one |
//! | `difficulty_ramping` | true | spawns and moves come faster every 102 steps, nine times |
//!
//! # Version history
//! v1: the actions that have an effect. v0: all six.
//!
//! # Source
//! Young and Tian (2019), "MinAtar: An Atari-Inspired Testbed for Thorough and Reproducible Reinforcement Learning
//! Experiments"; trajectories are those of minatar 1.0.15, written from a description of its behaviour.
//!
//! # Deviations
//! 1. A set bit is 255 instead of true: networks scale bytes by 1/255 and see 0 and 1.
//! 2. A reset with a seed also forgets the last action, so that a seed gives one trajectory; the original keeps it.
//!
//! # Design
//! Whoever is in a lane is an element of the arena's own component, not an entity. Of the five games this one suits entities
//! best, since its rules do not depend on the order in which lanes are visited. Written that way (`asterix/entities.rs`,
//! a test shows that its trajectories are the same), 1024 environments make 9.0 million steps a second on one core, with
//! the struct 16.3 million: spawning and despawning move components between tables, and a member finds its player only
//! through its arena's number. In Seaquest the order counts, and each entity would need a number to be sorted by.

use serde::{Deserialize, Serialize};

use super::game::{Channel, Game, GameAction, Image, Outcome, SIDE, ahead, behind, in_grid, set, set_if};
use crate::random::Mt19937;

const LANES: usize = 8;
/// Steps from one ramp to the next, less the two that the countdown to below zero takes.
const RAMP_STEPS: i8 = 100;

/// Who is in a lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    #[default]
    Nobody,
    Enemy,
    Gold,
}

/// A lane and who crosses it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Lane {
    kind: Kind,
    x: u8,
    right: bool,
}

/// The state of a game.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Asterix {
    x: u8,
    y: u8,
    /// Lane `i` is row `i + 1`.
    lanes: [Lane; LANES],
    timing: Timing,
}

/// When the next spawn, move and ramp come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Timing {
    spawn_period: u8,
    spawn_clock: u8,
    move_period: u8,
    move_clock: u8,
    ramp_clock: i8,
    level: u8,
}

impl Timing {
    const START: Self = Self {
        spawn_period: 10,
        spawn_clock: 10,
        move_period: 5,
        move_clock: 5,
        ramp_clock: RAMP_STEPS,
        level: 0,
    };

    /// Counts down by a step; with `ramping`, shortens the periods when their time has come.
    #[inline]
    fn tick(&mut self, ramping: bool) {
        self.spawn_clock -= 1;
        self.move_clock -= 1;
        if !ramping || (self.spawn_period <= 1 && self.move_period <= 1) {
            return;
        }
        if self.ramp_clock >= 0 {
            self.ramp_clock -= 1;
            return;
        }
        if self.move_period > 1 && self.level % 2 == 1 {
            self.move_period -= 1;
        }
        self.spawn_period = (self.spawn_period - 1).max(1);
        self.level += 1;
        self.ramp_clock = RAMP_STEPS;
    }
}

impl Asterix {
    /// Puts somebody into an empty lane. Direction and kind are drawn even where all lanes are taken.
    #[cold]
    fn spawn(&mut self, rng: &mut Mt19937) {
        let right = rng.random_sample() < 0.5;
        let kind = if rng.random_sample() < 1.0 / 3.0 { Kind::Gold } else { Kind::Enemy };
        let is_empty = |lane: &&mut Lane| lane.kind == Kind::Nobody;
        let empty = self.lanes.iter_mut().filter(is_empty).count();
        if empty == 0 {
            return;
        }
        let chosen = rng.below(empty);
        if let Some(lane) = self.lanes.iter_mut().filter(is_empty).nth(chosen) {
            *lane = Lane { kind, x: if right { 0 } else { SIDE as u8 - 1 }, right };
        }
    }

    /// Gold that the player touches is taken, an enemy ends the game. Only the player's own lane can hold either.
    #[inline]
    fn touch(&mut self, outcome: &mut Outcome) {
        let lane = &mut self.lanes[usize::from(self.y) - 1];
        if lane.kind != Kind::Nobody && lane.x == self.x {
            if lane.kind == Kind::Gold {
                lane.kind = Kind::Nobody;
                outcome.reward += 1;
            } else {
                outcome.terminated = true;
            }
        }
    }
}

impl Game<4> for Asterix {
    const MINIMAL_ACTIONS: &'static [GameAction] =
        &[GameAction::Noop, GameAction::Left, GameAction::Up, GameAction::Right, GameAction::Down];

    const CHANNELS: [Channel; 4] = [
        Channel { name: "player", letter: 'A', color: [86, 204, 242] },
        Channel { name: "enemy", letter: 'x', color: [235, 87, 87] },
        Channel { name: "trail", letter: '~', color: [110, 114, 140] },
        Channel { name: "gold", letter: '$', color: [255, 209, 102] },
    ];

    fn reset(&mut self, _rng: &mut Mt19937) {
        *self = Self { x: 5, y: 5, lanes: Default::default(), timing: Timing::START };
    }

    #[inline]
    fn step(&mut self, action: GameAction, ramping: bool, rng: &mut Mt19937) -> Outcome {
        let mut outcome = Outcome::default();
        if self.timing.spawn_clock == 0 {
            self.spawn(rng);
            self.timing.spawn_clock = self.timing.spawn_period;
        }
        self.x = action.column(self.x);
        self.y = action.row(self.y, 1, LANES as u8);
        self.touch(&mut outcome);
        if self.timing.move_clock == 0 {
            self.timing.move_clock = self.timing.move_period;
            for lane in &mut self.lanes {
                lane.x = ahead(lane.x, lane.right);
                lane.kind = if in_grid(lane.x) { lane.kind } else { Kind::Nobody };
            }
            self.touch(&mut outcome);
        }
        self.timing.tick(ramping);
        outcome
    }

    #[inline]
    fn observe(&self, image: &mut Image<4>) {
        for (row, lane) in (1..).zip(&self.lanes) {
            let trail = behind(lane.x, lane.right);
            set_if(image, lane.kind == Kind::Enemy, lane.x, row, 1);
            set_if(image, lane.kind != Kind::Nobody && in_grid(trail), trail, row, 2);
            set_if(image, lane.kind == Kind::Gold, lane.x, row, 3);
        }
        set(image, self.x, self.y, 0);
    }
}

#[cfg(test)]
mod entities;
