//! 2048: slide tiles of a 4 × 4 board; equal ones that meet become one of twice the number.
//!
//! # Description
//! A move slides all tiles as far as they go. Two tiles of the same number that meet merge into one of their sum, each tile
//! once a move, the ones nearest the edge first. Then a new tile, 2 with probability 0.9, else 4, appears on an empty square.
//! Chance has a say in every step, so that a search needs `outcomes` of at least 1.
//!
//! # Action space
//! `Discrete(4)`: 0 up, 1 right, 2 down, 3 left. Moves that change nothing are masked out; one that is made all the same
//! changes nothing and brings no tile.
//!
//! # Observation space
//! Bytes `[4, 4, 16]`, 0 or 255, the top row first: plane 0 says which squares are empty, plane `k` which hold the tile `2^k`.
//!
//! # Rewards
//! The sum of the tiles that merging made: the score of the game.
//!
//! # Starting state
//! Two tiles on squares of an empty board.
//!
//! # Episode end
//! Terminated when no move changes anything. There is no time limit.
//!
//! # Metrics
//! `max_tile`: the greatest tile on the board.
//!
//! # Arguments
//! None.
//!
//! # Version history
//! v0: first version.
//!
//! # Source
//! The game by Gabriele Cirulli (2014), whose rules these are.
//!
//! # Deviations
//! 1. Tiles of 32768 do not merge: 65536 would have no plane.
//! 2. An episode goes on after 2048.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::{Action, Canvas, Env, Frame, Pcg64, Space, Step};

/// Rows and columns.
const SIDE: usize = 4;
const SQUARES: usize = SIDE * SIDE;
/// Kinds of squares: empty, and each tile.
const KINDS: usize = 16;
/// The exponent of the greatest tile.
const GREATEST: u16 = 15;

/// A row slid to its low end: what becomes of it, and the sum of the tiles that were made.
#[derive(Clone, Copy, Default)]
struct Slid {
    row: u16,
    score: u32,
}

/// Every row of four exponents, four bits each, slid.
static SLIDES: LazyLock<Vec<Slid>> = LazyLock::new(|| (0..=u16::MAX).map(slide).collect());

/// Slides a row to its low end.
fn slide(row: u16) -> Slid {
    let mut slid = Slid::default();
    let (mut at, mut waiting) = (0, 0);
    let mut put = |exponent: u16| {
        slid.row |= exponent << (4 * at);
        at += 1;
    };
    for square in 0..SIDE {
        let exponent = row >> (4 * square) & 0xf;
        if exponent == 0 {
            continue;
        }
        if waiting == exponent && exponent < GREATEST {
            put(exponent + 1);
            slid.score += 1 << (exponent + 1);
            waiting = 0;
        } else {
            if waiting > 0 {
                put(waiting);
            }
            waiting = exponent;
        }
    }
    if waiting > 0 {
        put(waiting);
    }
    slid
}

/// A board: the exponents of all squares, four bits each, the top left one lowest; 0 where it is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Board(u64);

impl Board {
    #[inline]
    fn exponent(self, square: usize) -> usize {
        (self.0 >> (4 * square) & 0xf) as usize
    }

    /// Rows become columns.
    #[inline]
    fn transposed(self) -> Self {
        let x = self.0;
        // Squares within blocks of two by two change places, then the blocks.
        let x =
            x & 0xf0f0_0f0f_f0f0_0f0f | (x & 0x0000_f0f0_0000_f0f0) << 12 | (x & 0x0f0f_0000_0f0f_0000) >> 12;
        Self(
            x & 0xff00_ff00_00ff_00ff | (x & 0x0000_0000_ff00_ff00) << 24 | (x & 0x00ff_00ff_0000_0000) >> 24,
        )
    }

    /// The left becomes the right.
    #[inline]
    fn mirrored(self) -> Self {
        let x = self.0;
        let x = (x & 0x0f0f_0f0f_0f0f_0f0f) << 4 | (x & 0xf0f0_f0f0_f0f0_f0f0) >> 4;
        Self((x & 0x00ff_00ff_00ff_00ff) << 8 | (x & 0xff00_ff00_ff00_ff00) >> 8)
    }

    /// All rows slid to the left; the sum of the tiles that were made.
    #[inline]
    fn slid_left(self) -> (Self, u32) {
        let (mut board, mut score) = (0, 0);
        for row in 0..SIDE {
            let Slid { row: slid, score: made } = SLIDES[(self.0 >> (16 * row) & 0xffff) as usize];
            board |= u64::from(slid) << (16 * row);
            score += made;
        }
        (Self(board), score)
    }

    /// The board after an action, before the new tile; the sum of the tiles that were made.
    #[inline]
    fn moved(self, action: usize) -> (Self, u32) {
        match action {
            0 => {
                let (board, score) = self.transposed().slid_left();
                (board.transposed(), score)
            }
            1 => {
                let (board, score) = self.mirrored().slid_left();
                (board.mirrored(), score)
            }
            2 => {
                let (board, score) = self.transposed().mirrored().slid_left();
                (board.mirrored().transposed(), score)
            }
            _ => self.slid_left(),
        }
    }

    fn can_move(self, action: usize) -> bool {
        self.moved(action).0 != self
    }

    /// Puts a new tile on one of the empty squares, if there is one.
    fn add_tile(&mut self, rng: &mut Pcg64) {
        let empty = || (0..SQUARES).filter(|&square| self.exponent(square) == 0);
        let count = empty().count();
        if count == 0 {
            return;
        }
        let square = empty().nth(rng.integers(0, count as i64) as usize).unwrap_or(0);
        let exponent = if rng.random() < 0.9 { 1 } else { 2 };
        self.0 |= exponent << (4 * square);
    }
}

/// The environment; see the [module's page](self).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Game2048 {
    board: Board,
}

impl Game2048 {
    fn observe(&self, obs: &mut [u8]) {
        obs.fill(0);
        for (square, planes) in obs.chunks_exact_mut(KINDS).enumerate() {
            planes[self.board.exponent(square)] = 255;
        }
    }
}

impl Env for Game2048 {
    type Obs = u8;

    #[expect(clippy::expect_used, reason = "a constant")]
    fn observation_space(&self) -> Space {
        Space::image_u8(&[SIDE, SIDE, KINDS]).expect("a board is not empty")
    }

    #[expect(clippy::expect_used, reason = "a constant")]
    fn action_space(&self) -> Space {
        Space::discrete(4).expect("four is not zero")
    }

    fn reset(&mut self, rng: &mut Pcg64, obs: &mut [u8]) {
        self.board = Board::default();
        self.board.add_tile(rng);
        self.board.add_tile(rng);
        self.observe(obs);
    }

    fn step(&mut self, action: Action<'_>, rng: &mut Pcg64, obs: &mut [u8]) -> Step {
        let (board, score) = self.board.moved(action.index());
        if board != self.board {
            self.board = board;
            self.board.add_tile(rng);
        }
        self.observe(obs);
        let reward = f64::from(score);
        if (0..4).any(|action| self.board.can_move(action)) {
            Step::running(reward)
        } else {
            Step::terminated(reward)
        }
    }

    fn has_action_mask(&self) -> bool {
        true
    }

    /// After the end every action is allowed: the next one is ignored.
    fn action_mask(&self, mask: &mut [bool]) {
        for (action, allowed) in mask.iter_mut().enumerate() {
            *allowed = self.board.can_move(action);
        }
        if !mask.contains(&true) {
            mask.fill(true);
        }
    }

    fn metric_names(&self) -> &'static [&'static str] {
        &["max_tile"]
    }

    fn metrics(&self, out: &mut [f64]) {
        let greatest = (0..SQUARES).map(|square| self.board.exponent(square)).max().unwrap_or(0);
        out[0] = if greatest == 0 { 0.0 } else { f64::from(1_u32 << greatest) };
    }

    fn render(&self) -> Option<Frame> {
        const CELL: f32 = 90.0;
        const GAP: f32 = 10.0;
        let side = (SIDE as f32 * (CELL + GAP) + GAP) as u32;
        let mut canvas = Canvas::new(side, side, [187, 173, 160]);
        for square in 0..SQUARES {
            let exponent = self.board.exponent(square);
            let x = GAP + (square % SIDE) as f32 * (CELL + GAP);
            let y = GAP + (square / SIDE) as f32 * (CELL + GAP);
            canvas.rect(x, y, CELL, CELL, COLOURS[exponent.min(COLOURS.len() - 1)]);
            if exponent > 0 {
                let ink = if exponent < 3 { [119, 110, 101] } else { [249, 246, 242] };
                let number = (1_u32 << exponent).to_string();
                let size = if number.len() < 4 { 40.0 } else { 30.0 };
                canvas.text_centered((x + CELL / 2.0, y + CELL / 2.0), &number, size, ink);
            }
        }
        Some(canvas.into_frame())
    }

    fn render_text(&self) -> Option<String> {
        let square = |square| match self.board.exponent(square) {
            0 => "    .".to_owned(),
            exponent => format!("{:5}", 1_u32 << exponent),
        };
        let row = |row: usize| (0..SIDE).map(|column| square(SIDE * row + column)).collect::<String>();
        Some((0..SIDE).map(row).collect::<Vec<_>>().join("\n"))
    }
}

/// Colours of an empty square and of the tiles 2, 4, 8 and so on; the last one is that of all greater ones.
const COLOURS: [[u8; 3]; 13] = [
    [205, 193, 180],
    [238, 228, 218],
    [237, 224, 200],
    [242, 177, 121],
    [245, 149, 99],
    [246, 124, 95],
    [246, 94, 59],
    [237, 207, 114],
    [237, 204, 97],
    [237, 200, 80],
    [237, 197, 63],
    [237, 194, 46],
    [60, 58, 50],
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A board of numbers, row by row.
    fn board(numbers: [u32; SQUARES]) -> Board {
        let exponent = |number: u32| if number == 0 { 0 } else { u64::from(number.ilog2()) };
        let squares = numbers.into_iter().enumerate();
        Board(squares.fold(0, |board, (square, number)| board | exponent(number) << (4 * square)))
    }

    #[test]
    fn equal_tiles_merge_once_and_nearest_the_edge_first() {
        for (row, slid, score) in [
            ([2, 2, 2, 0], [4, 2, 0, 0], 4),
            ([2, 2, 2, 2], [4, 4, 0, 0], 8),
            ([4, 2, 2, 0], [4, 4, 0, 0], 4),
            ([2, 0, 0, 2], [4, 0, 0, 0], 4),
            ([0, 4, 2, 2], [4, 4, 0, 0], 4),
            ([8, 4, 2, 0], [8, 4, 2, 0], 0),
            ([0, 1024, 0, 1024], [2048, 0, 0, 0], 2048),
            ([32768, 32768, 0, 0], [32768, 32768, 0, 0], 0),
        ] {
            let full = |row: [u32; 4]| {
                let mut numbers = [0; SQUARES];
                numbers[4..8].copy_from_slice(&row);
                board(numbers)
            };
            assert_eq!(full(row).moved(3), (full(slid), score), "{row:?}");
        }
    }

    #[test]
    fn all_directions_are_the_left_of_a_turned_board() {
        let start = board([2, 0, 0, 2, 4, 4, 8, 8, 0, 0, 2, 0, 2, 0, 2, 8]);
        for (action, moved, score) in [
            (0, [2, 4, 8, 2, 4, 0, 4, 16, 2, 0, 0, 0, 0, 0, 0, 0], 20),
            (1, [0, 0, 0, 4, 0, 0, 8, 16, 0, 0, 0, 2, 0, 0, 4, 8], 32),
            (2, [0, 0, 0, 0, 2, 0, 0, 0, 4, 0, 8, 2, 2, 4, 4, 16], 20),
            (3, [4, 0, 0, 0, 8, 16, 0, 0, 2, 0, 0, 0, 4, 8, 0, 0], 32),
        ] {
            assert_eq!(start.moved(action), (board(moved), score), "action {action}");
        }
    }

    #[test]
    fn a_game_ends_where_nothing_moves_and_new_tiles_are_mostly_twos() {
        let (mut env, mut rng) = (Game2048::default(), Pcg64::seed_from(1));
        let (mut obs, mut mask, mut tiles) = ([0; SQUARES * KINDS], [false; 4], [0; 2]);
        for _ in 0..50 {
            env.reset(&mut rng, &mut obs);
            assert_eq!((0..SQUARES).filter(|&square| env.board.exponent(square) > 0).count(), 2);
            loop {
                env.action_mask(&mut mask);
                let allowed: Vec<u32> = (0..4).filter(|&action| mask[action as usize]).collect();
                let action = allowed[rng.integers(0, allowed.len() as i64) as usize];
                let (slid, score) = env.board.moved(action as usize);
                let step = env.step(Action::Discrete(&[action]), &mut rng, &mut obs);
                assert_eq!(step.reward, f64::from(score));
                let new: Vec<usize> = (0..SQUARES)
                    .filter(|&square| env.board.exponent(square) != slid.exponent(square))
                    .map(|square| env.board.exponent(square))
                    .collect();
                assert_eq!(new.len(), 1);
                tiles[new[0] - 1] += 1;
                assert_eq!(obs.iter().filter(|&&byte| byte == 255).count(), SQUARES);
                if step.outcome == crate::Outcome::Terminated {
                    break;
                }
            }
            assert!((0..4).all(|action| !env.board.can_move(action)));
        }
        let share = f64::from(tiles[0]) / f64::from(tiles[0] + tiles[1]);
        // Six standard deviations of about 6,000 draws.
        assert!((share - 0.9).abs() < 0.024, "{share} of {tiles:?}");
    }

    #[test]
    fn a_move_that_changes_nothing_brings_no_tile() {
        let mut env = Game2048 { board: board([2, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]) };
        let before = env.board;
        let step = env.step(Action::Discrete(&[3]), &mut Pcg64::seed_from(1), &mut [0; SQUARES * KINDS]);
        assert_eq!((env.board, step), (before, Step::running(0.0)));
    }
}
