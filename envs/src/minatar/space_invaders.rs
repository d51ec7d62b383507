//! MinAtar Space Invaders: shoot marching aliens before they land.
//!
//! # Description
//! Aliens march to one side, step down at the edge and march back, faster as they get fewer. The alien nearest to the
//! cannon's column shoots every tenth step; the cannon every fifth. A cleared wave is followed by a faster one.
//!
//! # Action space
//! `-v0`: `Discrete(6)`: 0 nothing, 1 left, 2 up, 3 right, 4 down, 5 fire; up and down do nothing.
//! `-v1`: `Discrete(4)`: 0 nothing, 1 left, 2 right, 3 fire.
//!
//! # Observation space
//! `Box(0, 255, (10, 10, 6), uint8)`, row, column, channel, 0 or 255:
//!
//! | channel | meaning |
//! |---|---|
//! | 0 | cannon |
//! | 1 | alien |
//! | 2 | alien, while they march to the left |
//! | 3 | alien, while they march to the right |
//! | 4 | shot of the cannon |
//! | 5 | shot of an alien |
//!
//! # Rewards
//! 1 for each alien.
//!
//! # Starting state
//! The cannon is in column 5 of the bottom row; 24 aliens fill columns 2 to 7 of the first four rows and march to the
//! left. Nothing in this game is random but the sticky actions.
//!
//! # Episode end
//! Terminated when the cannon is hit, or an alien reaches it or lands. There is no time limit.
//!
//! # Arguments
//! | argument | default | meaning |
//! |---|---|---|
//! | `sticky_action_prob` | 0.1 | probability that the last action is repeated instead of the chosen one |
//! | `difficulty_ramping` | true | each of the first six new waves is faster than the one before |
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

use super::game::{CELLS, Channel, Game, GameAction, Image, Outcome, SIDE, set};
use crate::random::Mt19937;

const BOTTOM: u8 = SIDE as u8 - 1;
const GRID: Grid = Grid((1 << CELLS) - 1);
/// Column 0.
const LEFT_EDGE: Grid = Grid(GRID.0 / ((1 << SIDE) - 1));
const RIGHT_EDGE: Grid = Grid(LEFT_EDGE.0 << BOTTOM);
const BOTTOM_ROW: Grid = Grid(((1 << SIDE) - 1) << (CELLS - SIDE));
/// Columns 2 to 7 of rows 0 to 3.
const WAVE: Grid = {
    let row = 0b00_1111_1100;
    Grid(row | row << SIDE | row << (2 * SIDE) | row << (3 * SIDE))
};
const START_PERIOD: u8 = 12;
const SHORTEST_PERIOD: u8 = 6;
const ALIEN_GUN_PERIOD: u8 = 10;
const GUN_PERIOD: u8 = 5;

/// A set of cells: bit `10 * row + column`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Grid(u128);

impl Grid {
    fn cell(x: u8, y: u8) -> Self {
        Self(1 << (SIDE * usize::from(y) + usize::from(x)))
    }

    fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Calls `f` with the number of each cell, ascending.
    #[inline]
    fn for_each(self, mut f: impl FnMut(usize)) {
        // Two machine words: going through one of 128 bits costs twice as much.
        for (mut word, first) in [(self.0 as u64, 0), ((self.0 >> 64) as u64, 64)] {
            while word != 0 {
                f(first + word.trailing_zeros() as usize);
                word &= word - 1;
            }
        }
    }
}

/// The state of a game.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SpaceInvaders {
    aliens: Grid,
    shots: Grid,
    alien_shots: Grid,
    /// Column of the cannon.
    x: u8,
    /// Whether the aliens march to the right.
    right: bool,
    /// Steps between moves of a whole wave.
    alien_period: u8,
    move_clock: u8,
    alien_gun_clock: u8,
    gun_clock: u8,
}

impl SpaceInvaders {
    /// Moves the aliens; says whether one lands.
    fn march(&mut self) -> bool {
        let edge = if self.right { RIGHT_EDGE } else { LEFT_EDGE };
        if !self.aliens.meets(edge) {
            self.aliens.0 = if self.right { self.aliens.0 << 1 } else { self.aliens.0 >> 1 };
            return false;
        }
        self.right = !self.right;
        let lands = self.aliens.meets(BOTTOM_ROW);
        // What has landed reappears in the first row, which is seen on the terminal step only.
        self.aliens = Grid((self.aliens.0 << SIDE | self.aliens.0 >> (CELLS - SIDE)) & GRID.0);
        lands
    }

    /// The lowest alien of the column nearest to the cannon, the left one of two equally near.
    fn shooter(&self) -> Grid {
        let column = |x: u8| Grid(self.aliens.0 & LEFT_EDGE.0 << x);
        let nearest = (0..SIDE as u8).filter(|&x| column(x).0 != 0).min_by_key(|&x| x.abs_diff(self.x));
        nearest.map_or(Grid(0), |x| Grid(1 << column(x).0.ilog2()))
    }
}

impl Game<6> for SpaceInvaders {
    const MINIMAL_ACTIONS: &'static [GameAction] =
        &[GameAction::Noop, GameAction::Left, GameAction::Right, GameAction::Fire];

    const CHANNELS: [Channel; 6] = [
        Channel { name: "cannon", letter: 'A', color: [86, 204, 242] },
        Channel { name: "alien", letter: 'W', color: [111, 207, 151] },
        Channel { name: "marching left", letter: '<', color: [111, 207, 151] },
        Channel { name: "marching right", letter: '>', color: [155, 231, 120] },
        Channel { name: "shot", letter: '\'', color: [255, 240, 200] },
        Channel { name: "alien's shot", letter: '!', color: [235, 87, 87] },
    ];

    fn reset(&mut self, _rng: &mut Mt19937) {
        *self = Self {
            aliens: WAVE,
            shots: Grid(0),
            alien_shots: Grid(0),
            x: 5,
            right: false,
            alien_period: START_PERIOD,
            move_clock: START_PERIOD,
            alien_gun_clock: ALIEN_GUN_PERIOD,
            gun_clock: 0,
        };
    }

    #[inline]
    fn step(&mut self, action: GameAction, ramping: bool, _rng: &mut Mt19937) -> Outcome {
        let mut outcome = Outcome::default();
        if action == GameAction::Fire && self.gun_clock == 0 {
            self.shots.0 |= Grid::cell(self.x, BOTTOM).0;
            self.gun_clock = GUN_PERIOD;
        }
        self.x = action.column(self.x);
        let cannon = Grid::cell(self.x, BOTTOM);
        self.shots.0 >>= SIDE;
        self.alien_shots = Grid(self.alien_shots.0 << SIDE & GRID.0);
        outcome.terminated = self.alien_shots.meets(cannon) | self.aliens.meets(cannon);
        if self.move_clock == 0 {
            self.move_clock = (self.aliens.0.count_ones() as u8).min(self.alien_period);
            outcome.terminated |= self.march() | self.aliens.meets(cannon);
        }
        if self.alien_gun_clock == 0 {
            self.alien_gun_clock = ALIEN_GUN_PERIOD;
            self.alien_shots.0 |= self.shooter().0;
        }
        let hits = self.aliens.0 & self.shots.0;
        if hits != 0 {
            self.aliens.0 ^= hits;
            self.shots.0 ^= hits;
            outcome.reward = hits.count_ones();
        }
        self.gun_clock = self.gun_clock.saturating_sub(1);
        self.move_clock -= 1;
        self.alien_gun_clock -= 1;
        if self.aliens.0 == 0 {
            self.alien_period -= u8::from(ramping && self.alien_period > SHORTEST_PERIOD);
            self.aliens = WAVE;
        }
        outcome
    }

    #[inline]
    fn observe(&self, image: &mut Image<6>) {
        let alien = if self.right { [0, 255, 0, 255, 0, 0] } else { [0, 255, 255, 0, 0, 0] };
        self.aliens.for_each(|cell| image[cell] = alien);
        self.shots.for_each(|cell| image[cell][4] = u8::MAX);
        self.alien_shots.for_each(|cell| image[cell][5] = u8::MAX);
        set(image, self.x, BOTTOM, 0);
    }
}
