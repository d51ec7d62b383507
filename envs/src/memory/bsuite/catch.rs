//! Catch: move a paddle under a falling ball.
//!
//! # Description
//! A ball falls down one of five columns of a board of ten rows; the paddle on the bottom row is to be under it.
//!
//! # Action space
//! `Discrete(3)`: 0 left, 1 stay, 2 right.
//!
//! # Observation space
//! `Box(0, 1, (10, 5))`: 1 where the ball or the paddle is.
//!
//! # Rewards
//! 1 if the ball is caught, −1 if not, in the last step; 0 before.
//!
//! # Starting state
//! The ball in the top row, in a random column; the paddle in the middle.
//!
//! # Episode end
//! Terminated when the ball reaches the bottom row, after 9 steps.
//!
//! # Arguments
//! None. bsuite runs it 20 times for 10,000 episodes.
//!
//! # Version history
//! v0: as in bsuite.
//!
//! # Source
//! Osband et al. (2020), "Behaviour Suite for Reinforcement Learning"; `bsuite/environments/catch.py`.
//!
//! # Deviations
//! 1. Random draws are of another generator, of the same distribution.

use serde::{Deserialize, Serialize};

use crate::{Action, Canvas, Env, Frame, Pcg64, Space, Step};

const ROWS: usize = 10;
const COLUMNS: usize = 5;

/// The environment; see the [module's page](self).
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Catch {
    ball: (usize, usize),
    paddle: usize,
}

impl Catch {
    fn observe(self, obs: &mut [f32]) {
        obs.fill(0.0);
        obs[self.ball.0 * COLUMNS + self.ball.1] = 1.0;
        obs[(ROWS - 1) * COLUMNS + self.paddle] = 1.0;
    }
}

impl Env for Catch {
    type Obs = f32;

    #[expect(clippy::expect_used, reason = "constant bounds")]
    fn observation_space(&self) -> Space {
        Space::box_uniform(0.0, 1.0, &[ROWS, COLUMNS]).expect("constant bounds are in order")
    }

    #[expect(clippy::expect_used, reason = "a constant")]
    fn action_space(&self) -> Space {
        Space::discrete(3).expect("three is not zero")
    }

    fn reset(&mut self, rng: &mut Pcg64, obs: &mut [f32]) {
        *self = Self { ball: (0, rng.integers(0, COLUMNS as i64) as usize), paddle: COLUMNS / 2 };
        self.observe(obs);
    }

    fn step(&mut self, action: Action<'_>, _rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        self.paddle = (self.paddle + action.index()).clamp(1, COLUMNS) - 1;
        self.ball.0 = (self.ball.0 + 1).min(ROWS - 1);
        self.observe(obs);
        if self.ball.0 < ROWS - 1 {
            return Step::running(0.0);
        }
        Step::terminated(if self.ball.1 == self.paddle { 1.0 } else { -1.0 })
    }

    fn render(&self) -> Option<Frame> {
        const CELL: f32 = 32.0;
        let mut canvas = Canvas::new(COLUMNS as u32 * 32, ROWS as u32 * 32, [24, 28, 40]);
        canvas.rect(self.paddle as f32 * CELL, (ROWS - 1) as f32 * CELL + 20.0, CELL, 12.0, [120, 200, 255]);
        let (row, column) = (self.ball.0 as f32, self.ball.1 as f32);
        canvas.circle((column * CELL + 16.0, row * CELL + 16.0), 11.0, [255, 190, 80]);
        Some(canvas.into_frame())
    }

    fn render_text(&self) -> Option<String> {
        let cell = |row: usize, column: usize| match () {
            () if (row, column) == self.ball => 'o',
            () if row == ROWS - 1 && column == self.paddle => '=',
            () => '.',
        };
        let lines = (0..ROWS).map(|row| (0..COLUMNS).map(|column| cell(row, column)).collect::<String>());
        Some(lines.collect::<Vec<_>>().join("\n"))
    }
}
