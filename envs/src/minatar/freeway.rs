//! MinAtar Freeway: bring a chicken across eight lanes of traffic.
//!
//! # Description
//! A chicken hops from the bottom row to the top one, at most every third step. Eight cars, one a lane, drive at their
//! own speeds and around the edge; one that hits the chicken sends it back to the bottom row. Each crossing changes the
//! cars' speeds.
//!
//! # Action space
//! `-v0`: `Discrete(6)`: 0 nothing, 1 left, 2 up, 3 right, 4 down, 5 fire; left, right and fire do nothing.
//! `-v1`: `Discrete(3)`: 0 nothing, 1 up, 2 down.
//!
//! # Observation space
//! `Box(0, 255, (10, 10, 7), uint8)`, row, column, channel, 0 or 255:
//!
//! | channel | meaning |
//! |---|---|
//! | 0 | chicken |
//! | 1 | car |
//! | 2 to 6 | the cell behind a car, in the channel of its speed: a car of channel `1 + k` moves every `k + 1` steps |
//!
//! # Rewards
//! 1 for each crossing.
//!
//! # Starting state
//! The chicken is in column 4 of the bottom row; the cars are in column 0, with random speeds and directions.
//!
//! # Episode end
//! Terminated by the game's own clock in step 2501, and never earlier.
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
//! 3. A direction drawn as exactly one half, a chance of 2^-53, is right; the original's car would never move.

use serde::{Deserialize, Serialize};

use super::game::{Channel, Game, GameAction, Image, Outcome, SIDE, behind, set};
use crate::random::Mt19937;

const CARS: usize = 8;
/// Column of the chicken.
const COLUMN: u8 = 4;
const BOTTOM: u8 = SIDE as u8 - 1;
/// Steps from one hop to the next.
const HOP_PERIOD: u8 = 3;
const TIME_LIMIT: i16 = 2500;
const MAX_PERIOD: usize = 5;

/// The state of a game. The cars are columns of bytes: all eight move at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Freeway {
    /// Columns of the cars; car `i` is in row `i + 1`.
    x: [u8; CARS],
    /// Steps until each car moves.
    clock: [u8; CARS],
    /// Steps that each car waits between moves, 1 to 5.
    period: [u8; CARS],
    right: [bool; CARS],
    /// Row of the chicken.
    y: u8,
    hop_clock: u8,
    time_left: i16,
}

impl Freeway {
    #[cold]
    fn randomize_cars(&mut self, rng: &mut Mt19937) {
        for period in &mut self.period {
            *period = 1 + rng.below(MAX_PERIOD) as u8;
        }
        for right in &mut self.right {
            *right = rng.random_sample() >= 0.5;
        }
        self.clock = self.period;
    }

    /// The column of the car in the chicken's row, if it has one.
    fn car_beside(&self) -> Option<u8> {
        self.x.get(usize::from(self.y.wrapping_sub(1))).copied()
    }

    /// Moves the cars whose clock has run down and winds their clocks up again.
    ///
    /// All eight at once, as the bytes of a word: no byte leaves 0 to 127, so none carries into its neighbour.
    #[inline]
    fn drive(&mut self) {
        const ONES: u64 = 0x0101_0101_0101_0101;
        // A byte is 1 where the byte of `word` is at least `least`.
        let at_least = |word: u64, least: u64| (word + (128 - least) * ONES) >> 7 & ONES;
        let [x, clock, period, right] =
            [self.x, self.clock, self.period, self.right.map(u8::from)].map(u64::from_le_bytes);
        let moves = ONES ^ at_least(clock, 1);
        let to_right = x + (moves & right);
        let to_right = to_right - 10 * at_least(to_right, 10);
        let left = moves & !right;
        let x = to_right + 10 * (left & (ONES ^ at_least(x, 1))) - left;
        let clock = clock - (ONES ^ moves) + (period & (moves * 255));
        (self.x, self.clock) = (x.to_le_bytes(), clock.to_le_bytes());
    }
}

/// The column in the grid that stands for one just outside of it.
#[inline]
fn around(x: u8) -> u8 {
    let x = if x == SIDE as u8 { 0 } else { x };
    if x == u8::MAX { BOTTOM } else { x }
}

impl Game<7> for Freeway {
    const MINIMAL_ACTIONS: &'static [GameAction] = &[GameAction::Noop, GameAction::Up, GameAction::Down];

    const CHANNELS: [Channel; 7] = [
        Channel { name: "chicken", letter: 'C', color: [255, 240, 200] },
        Channel { name: "car", letter: 'o', color: [235, 87, 87] },
        Channel { name: "moves every 2 steps", letter: '1', color: [255, 159, 67] },
        Channel { name: "every 3", letter: '2', color: [254, 202, 87] },
        Channel { name: "every 4", letter: '3', color: [111, 207, 151] },
        Channel { name: "every 5", letter: '4', color: [86, 180, 233] },
        Channel { name: "every 6", letter: '5', color: [140, 122, 230] },
    ];

    fn reset(&mut self, rng: &mut Mt19937) {
        self.randomize_cars(rng);
        self.x = [0; CARS];
        self.y = BOTTOM;
        self.hop_clock = HOP_PERIOD;
        self.time_left = TIME_LIMIT;
    }

    #[inline]
    fn step(&mut self, action: GameAction, _ramping: bool, rng: &mut Mt19937) -> Outcome {
        let mut outcome = Outcome::default();
        if self.hop_clock == 0 && (action == GameAction::Up || action == GameAction::Down) {
            self.hop_clock = HOP_PERIOD;
            self.y = action.row(self.y, 0, BOTTOM);
        }
        if self.y == 0 {
            outcome.reward = 1;
            self.randomize_cars(rng);
            self.y = BOTTOM;
        }
        // Only the car in the chicken's own row can hit it, before or after it moves.
        let before = self.car_beside();
        self.drive();
        let hit = before == Some(COLUMN) || self.car_beside() == Some(COLUMN);
        self.y = if hit { BOTTOM } else { self.y };
        self.hop_clock = self.hop_clock.saturating_sub(1);
        self.time_left -= 1;
        outcome.terminated = self.time_left < 0;
        outcome
    }

    #[inline]
    fn observe(&self, image: &mut Image<7>) {
        for (row, i) in (1..).zip(0..CARS) {
            set(image, self.x[i], row, 1);
            let trail = around(behind(self.x[i], self.right[i]));
            set(image, trail, row, 1 + usize::from(self.period[i]));
        }
        set(image, COLUMN, self.y, 0);
    }
}
