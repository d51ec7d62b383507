//! MinAtar Breakout: keep a ball in play with a paddle and break bricks.
//!
//! # Description
//! A ball flies diagonally, a cell a step, and bounces off the walls, the bricks and the paddle on the bottom row. Three
//! rows of bricks lie near the top; when all are broken they return the next time the ball comes down.
//!
//! # Action space
//! `-v0`: `Discrete(6)`: 0 nothing, 1 left, 2 up, 3 right, 4 down, 5 fire; up, down and fire do nothing.
//! `-v1`: `Discrete(3)`: 0 nothing, 1 left, 2 right.
//!
//! # Observation space
//! `Box(0, 255, (10, 10, 4), uint8)`, row, column, channel, 0 or 255:
//!
//! | channel | meaning |
//! |---|---|
//! | 0 | paddle |
//! | 1 | ball |
//! | 2 | trail: where the ball was a step before |
//! | 3 | brick |
//!
//! # Rewards
//! 1 for each brick.
//!
//! # Starting state
//! The ball is in row 3, in the left or the right column, and flies down and inwards; the paddle is in column 4.
//!
//! # Episode end
//! Terminated when the ball passes the paddle. There is no time limit.
//!
//! # Arguments
//! | argument | default | meaning |
//! |---|---|---|
//! | `sticky_action_prob` | 0.1 | probability that the last action is repeated instead of the chosen one |
//! | `difficulty_ramping` | true | of no effect in this game |
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

use serde::{Deserialize, Serialize};

use super::game::{Channel, Game, GameAction, Image, Outcome, SIDE, set};
use crate::random::Mt19937;

const BOTTOM: u8 = SIDE as u8 - 1;
/// Bricks lie in rows 1 to 3 only; bit `10 * (row - 1) + column` is one.
const WALL: u32 = (1 << 30) - 1;
/// The observation's cell of the first brick.
const FIRST_BRICK: usize = SIDE;

/// The state of a game.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Breakout {
    paddle: u8,
    ball: (u8, u8),
    /// Where the ball was a step before.
    trail: (u8, u8),
    direction: Direction,
    bricks: u32,
    /// Whether the ball touched a brick in the last step: it breaks no other in this one.
    struck: bool,
}

/// Where the ball flies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Direction {
    right: bool,
    down: bool,
}

fn brick((x, y): (u8, u8)) -> u32 {
    if (1..=3).contains(&y) { 1 << (10 * (y - 1) + x) } else { 0 }
}

impl Game<4> for Breakout {
    const MINIMAL_ACTIONS: &'static [GameAction] = &[GameAction::Noop, GameAction::Left, GameAction::Right];

    const CHANNELS: [Channel; 4] = [
        Channel { name: "paddle", letter: '=', color: [240, 240, 245] },
        Channel { name: "ball", letter: 'o', color: [255, 209, 102] },
        Channel { name: "trail", letter: '~', color: [128, 108, 70] },
        Channel { name: "brick", letter: '#', color: [225, 87, 89] },
    ];

    fn reset(&mut self, rng: &mut Mt19937) {
        let from_right = rng.below(2) == 1;
        let ball = (if from_right { BOTTOM } else { 0 }, 3);
        *self = Self {
            paddle: 4,
            ball,
            trail: ball,
            direction: Direction { right: !from_right, down: true },
            bricks: WALL,
            struck: false,
        };
    }

    #[inline]
    fn step(&mut self, action: GameAction, _ramping: bool, _rng: &mut Mt19937) -> Outcome {
        let mut outcome = Outcome::default();
        self.paddle = action.column(self.paddle);
        let (old_x, old_y) = self.ball;
        self.trail = self.ball;
        let mut x = if self.direction.right { old_x + 1 } else { old_x.wrapping_sub(1) };
        if x > BOTTOM {
            x = old_x;
            self.direction.right ^= true;
        }
        let mut y = if self.direction.down { old_y + 1 } else { old_y.wrapping_sub(1) };
        let hit = self.bricks & brick((x, y));
        if y > BOTTOM {
            y = 0;
            self.direction.down = true;
        } else if hit != 0 {
            // A ball that has just broken a brick flies on into the next one.
            if !self.struck {
                outcome.reward = 1;
                self.bricks ^= hit;
                y = old_y;
                self.direction.down ^= true;
            }
        } else if y == BOTTOM {
            if self.bricks == 0 {
                self.bricks = WALL;
            }
            if old_x == self.paddle {
                self.direction.down ^= true;
                y = old_y;
            } else if x == self.paddle {
                self.direction.right ^= true;
                self.direction.down ^= true;
                y = old_y;
            } else {
                outcome.terminated = true;
            }
        }
        self.struck = hit != 0;
        self.ball = (x, y);
        outcome
    }

    #[inline]
    fn observe(&self, image: &mut Image<4>) {
        for (i, cell) in image[FIRST_BRICK..FIRST_BRICK + 30].iter_mut().enumerate() {
            // Whole cells, the brick's channel last: the compiler writes several at a time.
            *cell = ((self.bricks >> i & 1) * 0xff00_0000).to_le_bytes();
        }
        set(image, self.paddle, BOTTOM, 0);
        set(image, self.ball.0, self.ball.1, 1);
        set(image, self.trail.0, self.trail.1, 2);
    }
}
