//! Othello: turn the other side's discs by enclosing them.
//!
//! # Description
//! Two players, black first, in turn place a disc such that it encloses, in at least one of the eight directions, a line of
//! the other side's discs; all discs so enclosed change sides. Who cannot move passes. When neither can, who has more
//! discs wins.
//!
//! # Action space
//! `Discrete(65)`: the square, row by row from the top left; 64 is a pass. All but the legal moves are masked out: passing
//! is legal only where there is no other move.
//!
//! A pass is an action of its own so that the sides strictly alternate, which is what self-play relies on, and so that the
//! numbers of move sequences are the published ones, which count it.
//!
//! # Observation space
//! Bytes `[8, 8, 2]`, 0 or 255, from the side of whoever is to move: plane 0 its own discs, plane 1 the other side's.
//! Against an opponent always from the agent's side.
//!
//! # Rewards
//! With `opponent = "self"` the reward is that of the side that just moved: 1 if its move ended the game with a win, −1
//! if with a loss (in this game one can make the last move and lose), else 0. The next observation is the *other* side's,
//! so the value of what follows has to be taken with the opposite sign. Against an opponent: 1 for a win, −1 for a loss,
//! else 0.
//!
//! # Starting state
//! Four discs in the middle. Against an opponent the agent's side is drawn; if it is the second one, the opponent has
//! moved already.
//!
//! # Episode end
//! Terminated when neither side can move. There is no time limit.
//!
//! # Arguments
//! | argument | default | meaning |
//! |---|---|---|
//! | `opponent` | `"self"` | `"self"`: the row acts for both sides in turn; `"random"`: the environment answers with a uniformly random legal move |
//!
//! # Version history
//! v0: first version.
//!
//! # Source
//! The rules of the World Othello Federation.
//!
//! # Deviations
//! None.

use super::game::{Position, Rules, Verdict};
use crate::{Canvas, Frame};

/// The action of passing.
const PASS: usize = 64;
const NOT_FIRST_COLUMN: u64 = 0xfefe_fefe_fefe_fefe;
const NOT_LAST_COLUMN: u64 = 0x7f7f_7f7f_7f7f_7f7f;

/// The rules; see the [module's page](self).
#[derive(Clone, Copy, Debug)]
pub struct Othello;

/// A direction: by how many bits a step shifts, and which squares it cannot come to.
#[derive(Clone, Copy)]
struct Direction {
    shift: i32,
    reach: u64,
}

const DIRECTIONS: [Direction; 8] = [
    Direction { shift: 1, reach: NOT_FIRST_COLUMN },
    Direction { shift: -1, reach: NOT_LAST_COLUMN },
    Direction { shift: 8, reach: u64::MAX },
    Direction { shift: -8, reach: u64::MAX },
    Direction { shift: 9, reach: NOT_FIRST_COLUMN },
    Direction { shift: -9, reach: NOT_LAST_COLUMN },
    Direction { shift: 7, reach: NOT_LAST_COLUMN },
    Direction { shift: -7, reach: NOT_FIRST_COLUMN },
];

impl Direction {
    #[inline]
    fn step(self, board: u64) -> u64 {
        let moved = if self.shift > 0 { board << self.shift } else { board >> -self.shift };
        moved & self.reach
    }

    /// The squares of `other` that lie in unbroken lines from `board` in this direction.
    #[inline]
    fn lines(self, board: u64, other: u64) -> u64 {
        let mut line = self.step(board) & other;
        for _ in 0..5 {
            line |= self.step(line) & other;
        }
        line
    }
}

/// The squares on which `own` may place a disc.
#[inline]
fn moves(own: u64, other: u64) -> u64 {
    let ends = DIRECTIONS.iter().fold(0, |ends, d| ends | d.step(d.lines(own, other)));
    ends & !(own | other)
}

/// The discs that change sides when `own` places one on `square`.
#[inline]
fn turned(own: u64, other: u64, square: u64) -> u64 {
    DIRECTIONS.iter().fold(0, |all, d| {
        let line = d.lines(square, other);
        if d.step(line) & own == 0 { all } else { all | line }
    })
}

impl Rules for Othello {
    const ROWS: usize = 8;
    const COLUMNS: usize = 8;
    const ACTIONS: usize = 65;
    const LETTERS: [char; 3] = ['.', 'B', 'W'];

    fn start() -> Position {
        Position { own: 1 << 28 | 1 << 35, other: 1 << 27 | 1 << 36, first_to_move: true }
    }

    #[inline]
    fn legal(position: Position) -> u128 {
        match moves(position.own, position.other) {
            0 => 1 << PASS,
            moves => u128::from(moves),
        }
    }

    #[inline]
    fn play(position: &mut Position, action: usize) -> Option<Verdict> {
        if action == PASS {
            *position = position.swapped();
            return None;
        }
        let square = 1 << action;
        let turned = turned(position.own, position.other, square);
        position.own |= square | turned;
        position.other &= !turned;
        let Position { own, other, .. } = *position;
        *position = position.swapped();
        if moves(other, own) != 0 || moves(own, other) != 0 {
            return None;
        }
        Some(match own.count_ones().cmp(&other.count_ones()) {
            std::cmp::Ordering::Greater => Verdict::Win,
            std::cmp::Ordering::Equal => Verdict::Draw,
            std::cmp::Ordering::Less => Verdict::Loss,
        })
    }

    fn draw(position: Position) -> Frame {
        const CELL: f32 = 50.0;
        let mut canvas = Canvas::new(440, 440, [74, 52, 36]);
        canvas.rect(20.0, 20.0, 400.0, 400.0, [30, 122, 74]);
        for i in 0..9 {
            let at = 20.0 + i as f32 * CELL;
            canvas.line((at, 20.0), (at, 420.0), 1.5, [16, 78, 46]);
            canvas.line((20.0, at), (420.0, at), 1.5, [16, 78, 46]);
        }
        for (x, y) in [(120.0, 120.0), (320.0, 120.0), (120.0, 320.0), (320.0, 320.0)] {
            canvas.circle((x, y), 4.0, [16, 78, 46]);
        }
        let [black, white] = position.colours();
        let legal = moves(position.own, position.other);
        for i in 0..64 {
            let center = (45.0 + (i % 8) as f32 * CELL, 45.0 + (i / 8) as f32 * CELL);
            if (black | white) >> i & 1 == 1 {
                let is_black = black >> i & 1 == 1;
                canvas.circle((center.0 + 1.5, center.1 + 2.0), 20.5, [14, 66, 40]);
                canvas.circle(center, 20.0, if is_black { [28, 28, 30] } else { [244, 242, 236] });
            } else if legal >> i & 1 == 1 {
                canvas.circle(
                    center,
                    5.0,
                    if position.first_to_move { [20, 88, 54] } else { [96, 170, 124] },
                );
            }
        }
        canvas.into_frame()
    }
}

#[cfg(test)]
mod tests {
    use super::super::game::tests::perft;
    use super::*;

    #[test]
    fn move_counts_are_the_known_ones() {
        for (depth, count) in [4, 12, 56, 244, 1396, 8200, 55_092, 390_216].into_iter().enumerate() {
            assert_eq!(perft::<Othello>(Othello::start(), depth as u32 + 1), count, "depth {}", depth + 1);
        }
    }

    #[test]
    fn move_counts_with_the_first_passes_are_the_known_ones() {
        assert_eq!(perft::<Othello>(Othello::start(), 9), 3_005_288);
    }

    #[test]
    #[ignore = "slow: 24 million positions"]
    fn move_counts_of_ten_moves_are_the_known_ones() {
        assert_eq!(perft::<Othello>(Othello::start(), 10), 24_571_284);
    }

    #[test]
    fn the_shortest_game_leaves_one_side_without_discs() {
        // Black wins by wiping white out with its fifth disc.
        let squares = ["e6", "f4", "e3", "f6", "g5", "d6", "e7", "f5", "c5"];
        let mut position = Othello::start();
        let mut verdict = None;
        for name in squares {
            assert_eq!(verdict, None, "before {name}");
            let bytes = name.as_bytes();
            let action = usize::from(bytes[1] - b'1') * 8 + usize::from(bytes[0] - b'a');
            assert!(Othello::legal(position) >> action & 1 == 1, "{name}");
            verdict = Othello::play(&mut position, action);
        }
        assert_eq!(verdict, Some(Verdict::Win));
        assert_eq!((position.own, position.other.count_ones()), (0, 13));
    }
}
