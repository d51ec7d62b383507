//! DeepSea: dive to a treasure that only one sequence of actions finds.
//!
//! # Description
//! A grid of N by N; each step goes down one row, to the left or to the right. Going right costs a little, and only the
//! bottom right corner pays: 2^N paths, one of them good. Which action means right is drawn for each cell.
//!
//! # Action space
//! `Discrete(2)`: left or right, by a mapping that differs from cell to cell.
//!
//! # Observation space
//! `Box(0, 1, (N, N))`: 1 where the diver is; all zero at the end.
//!
//! # Rewards
//! −0.01/N for a step to the right, 1 for a step to the right in the last column: 0.99 for the best path. If stochastic, a
//! step to the right succeeds with a chance of 1 − 1/N, and normal noise is added at both ends of the last row.
//!
//! # Starting state
//! The top left corner.
//!
//! # Episode end
//! Terminated after N steps.
//!
//! # Arguments
//! | argument | default | meaning |
//! |---|---|---|
//! | `size` | 10 | N; bsuite runs 10, 12, … 50 |
//! | `mapping_seed` | 42 | which action means right where |
//! | `randomize_actions` | true | false: 1 is right everywhere |
//!
//! # Version history
//! v0: as in bsuite.
//!
//! # Source
//! Osband et al. (2020), "Behaviour Suite for Reinforcement Learning"; `bsuite/environments/deep_sea.py`.
//!
//! # Deviations
//! 1. Random draws are of another generator, of the same distribution.

use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::out_of_range;
use crate::random::Mt19937;
use crate::{Action, Canvas, Env, EnvError, Frame, Pcg64, Space, Step};

const MOVE_COST: f64 = 0.01;

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeepSeaArgs {
    /// Rows and columns.
    pub size: usize,
    /// Which action means right where.
    pub mapping_seed: u32,
    /// Whether the meaning of actions differs from cell to cell.
    pub randomize_actions: bool,
}

impl Default for DeepSeaArgs {
    fn default() -> Self {
        Self { size: 10, mapping_seed: 42, randomize_actions: true }
    }
}

/// The environment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeepSea {
    size: usize,
    stochastic: bool,
    /// The action that means right in each cell, row-major.
    right: Vec<bool>,
    row: usize,
    column: usize,
}

impl DeepSea {
    /// With the given arguments.
    ///
    /// # Errors
    /// If the size is not between 2 and 200.
    pub fn new(args: DeepSeaArgs, stochastic: bool) -> Result<Self, EnvError> {
        let size = args.size;
        if !(2..=200).contains(&size) {
            return Err(out_of_range("size", "between 2 and 200", size));
        }
        let mut rng = Mt19937::seed_from(args.mapping_seed);
        // NumPy's binomial(1, 0.5) is whether a uniform draw exceeds a half.
        let mut draw = || !args.randomize_actions || rng.random_sample() > 0.5;
        let right = (0..size * size).map(|_| draw()).collect();
        Ok(Self { size, stochastic, right, row: 0, column: 0 })
    }

    fn observe(&self, obs: &mut [f32]) {
        obs.fill(0.0);
        if self.row < self.size {
            obs[self.row * self.size + self.column] = 1.0;
        }
    }
}

impl Env for DeepSea {
    type Obs = f32;

    #[expect(clippy::expect_used, reason = "constant bounds")]
    fn observation_space(&self) -> Space {
        Space::box_uniform(0.0, 1.0, &[self.size, self.size]).expect("constant bounds are in order")
    }

    #[expect(clippy::expect_used, reason = "a constant")]
    fn action_space(&self) -> Space {
        Space::discrete(2).expect("two is not zero")
    }

    fn reset(&mut self, _rng: &mut Pcg64, obs: &mut [f32]) {
        (self.row, self.column) = (0, 0);
        self.observe(obs);
    }

    fn step(&mut self, action: Action<'_>, rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        let (n, last) = (self.size as f64, self.size - 1);
        let row = self.row.min(last);
        let right = (action.index() == 1) == self.right[row * self.size + self.column];
        let mut reward = if right && self.column == last { 1.0 } else { 0.0 };
        if self.stochastic && row == last && (self.column == 0 || self.column == last) {
            let noise: f64 = StandardNormal.sample(rng);
            reward += noise;
        }
        if right {
            reward -= MOVE_COST / n;
            if !self.stochastic || rng.random() > 1.0 / n {
                self.column = (self.column + 1).min(last);
            }
        } else {
            self.column = self.column.saturating_sub(1);
        }
        self.row = row + 1;
        self.observe(obs);
        if self.row == self.size { Step::terminated(reward) } else { Step::running(reward) }
    }

    fn render(&self) -> Option<Frame> {
        let cell = (400 / self.size).max(2) as f32;
        let side = (cell * self.size as f32) as u32;
        let mut canvas = Canvas::new(side, side, [12, 40, 90]);
        for row in 0..self.size {
            let depth = 1.0 - row as f32 / self.size as f32;
            let water =
                [(20.0 + 40.0 * depth) as u8, (60.0 + 110.0 * depth) as u8, (120.0 + 110.0 * depth) as u8];
            // Below the diagonal, where no path leads, is rock.
            canvas.rect(0.0, row as f32 * cell, (row + 1) as f32 * cell, cell, water);
        }
        let center = |row: usize, column: usize| ((column as f32 + 0.5) * cell, (row as f32 + 0.5) * cell);
        canvas.circle(center(self.size - 1, self.size - 1), cell * 0.35, [250, 210, 60]);
        canvas.circle(center(self.row.min(self.size - 1), self.column), cell * 0.4, [240, 110, 70]);
        Some(canvas.into_frame())
    }

    fn render_text(&self) -> Option<String> {
        let cell = |row: usize, column: usize| match () {
            () if (row, column) == (self.row, self.column) => '@',
            () if row == self.size - 1 && column == self.size - 1 => '$',
            () if column <= row => '.',
            () => ' ',
        };
        let lines =
            (0..self.size).map(|row| (0..self.size).map(|column| cell(row, column)).collect::<String>());
        Some(lines.collect::<Vec<_>>().join("\n"))
    }
}
