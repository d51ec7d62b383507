//! Othello: turn the other side's discs by enclosing them.
//!
//! # Description
//! Two players, black first, in turn place a disc such that it encloses, in at least one of the eight directions, a line of
//! the other side's discs; all discs so enclosed change sides. Who cannot move passes. When neither can, who has more
//! discs wins.
//!
//! # Action space
//! `Discrete(65)`, for `size = 6` `Discrete(37)`: the square, row by row from the top left; the last one is a pass. All but
//! the legal moves are masked out: passing is legal only where there is no other move.
//!
//! A pass is an action of its own so that the sides strictly alternate, which is what self-play relies on, and so that the
//! numbers of move sequences are the published ones, which count it.
//!
//! # Observation space
//! Bytes `[size, size, 3]`, 0 or 255, from the agent's side: plane 0 its own discs, plane 1 the other side's, plane 2 is 255
//! everywhere if it is the agent's turn.
//!
//! # Rewards
//! 1 for a win, −1 for a loss, else 0. One can make the last move and lose.
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
//! | `opponent` | `"random"` | `"random"`: the environment answers with a uniformly random legal move; `"self"`: two agents, a row for each side, of which the one that is not to move may only take action 0, which is ignored |
//! | `size` | 8 | rows and columns of the board: 6 or 8 |
//!
//! # Version history
//! v0: first version. Before observations had three planes, `opponent = "self"` was the default and one row acted for both sides.
//!
//! # Source
//! The rules of the World Othello Federation. With perfect play the second side wins on 6 × 6 by 4 discs (Feinstein 1993).
//!
//! # Deviations
//! None.

use serde::{Deserialize, Serialize};

use super::game::{Bitboards, Opponent, Rules, Side, Verdict, square_name};
use crate::{Canvas, EnvError, Frame};

const NOT_FIRST_COLUMN: u64 = 0xfefe_fefe_fefe_fefe;
const NOT_LAST_COLUMN: u64 = 0x7f7f_7f7f_7f7f_7f7f;

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OthelloArguments {
    /// Who moves for the other side.
    pub opponent: Opponent,
    /// Rows and columns: 6 or 8.
    pub size: usize,
}

impl Default for OthelloArguments {
    fn default() -> Self {
        Self { opponent: Opponent::default(), size: 8 }
    }
}

/// The rules; see the [module's page](self). A board of 6 × 6 lies in the middle of one of 8 × 8.
#[derive(Clone, Copy, Debug)]
pub struct Othello {
    size: usize,
    /// Its squares among those of 8 × 8.
    squares: u64,
}

impl Othello {
    /// On a board of 6 × 6 or 8 × 8.
    ///
    /// # Errors
    /// For other sizes.
    pub fn new(size: usize) -> Result<Self, EnvError> {
        match size {
            6 => Ok(Self { size, squares: 0x007e_7e7e_7e7e_7e00 }),
            8 => Ok(Self { size, squares: u64::MAX }),
            _ => Err(EnvError::Setting { field: "size", expected: "6 or 8", found: size.to_string() }),
        }
    }

    /// The action of passing.
    fn pass(self) -> usize {
        self.size * self.size
    }

    /// The bit of a square.
    #[inline]
    fn square(self, row: usize, column: usize) -> u32 {
        let edge = (8 - self.size) / 2;
        ((row + edge) * 8 + column + edge) as u32
    }

    /// The squares on which the side to move may place a disc.
    #[inline]
    fn moves(self, position: &Bitboards) -> u64 {
        moves(position.own, position.other) & self.squares
    }

    /// Discs of the first side, less those of the second.
    pub fn margin(position: &Bitboards) -> i32 {
        let [first, second] = position.colours().map(u64::count_ones);
        first as i32 - second as i32
    }
}

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
    type Position = Bitboards;

    const LETTERS: [char; 3] = ['.', 'B', 'W'];

    fn size(&self) -> [usize; 2] {
        [self.size; 2]
    }

    fn actions(&self) -> usize {
        self.pass() + 1
    }

    fn start(&self) -> Bitboards {
        Bitboards { own: 1 << 28 | 1 << 35, other: 1 << 27 | 1 << 36, to_move: Side::First }
    }

    fn to_move(&self, position: &Bitboards) -> Side {
        position.to_move
    }

    #[inline]
    fn legal(&self, position: &Bitboards, legal: &mut [bool]) {
        let moves = self.moves(position);
        for (action, legal) in legal[..self.pass()].iter_mut().enumerate() {
            *legal = moves >> self.square(action / self.size, action % self.size) & 1 == 1;
        }
        legal[self.pass()] = moves == 0;
    }

    #[inline]
    fn play(&self, position: &mut Bitboards, action: usize) -> Option<Verdict> {
        if action == self.pass() {
            *position = position.swapped();
            return None;
        }
        let square = 1 << self.square(action / self.size, action % self.size);
        let turned = turned(position.own, position.other, square);
        position.own |= square | turned;
        position.other &= !turned;
        let mover = *position;
        *position = position.swapped();
        if self.moves(position) != 0 || self.moves(&mover) != 0 {
            return None;
        }
        Some(match mover.own.count_ones().cmp(&mover.other.count_ones()) {
            std::cmp::Ordering::Greater => Verdict::Win,
            std::cmp::Ordering::Equal => Verdict::Draw,
            std::cmp::Ordering::Less => Verdict::Loss,
        })
    }

    /// In discs.
    fn margin(&self, end: &Bitboards, _: Verdict) -> i32 {
        // The turn has passed on.
        end.other.count_ones() as i32 - end.own.count_ones() as i32
    }

    #[inline]
    fn piece(&self, position: &Bitboards, row: usize, column: usize) -> Option<Side> {
        position.holder(self.square(row, column))
    }

    fn notation(&self, action: usize) -> String {
        if action == self.pass() {
            return "pass".to_owned();
        }
        // Rows are counted from the top here, as Othello players do.
        let (row, column) = (action / self.size, action % self.size);
        square_name(self.size - 1 - row, column, self.size)
    }

    fn draw(&self, position: &Bitboards) -> Frame {
        const CELL: f32 = 50.0;
        let size = self.size;
        let inside = size as f32 * CELL;
        let side = inside as u32 + 40;
        let mut canvas = Canvas::new(side, side, [74, 52, 36]);
        canvas.rect(20.0, 20.0, inside, inside, [30, 122, 74]);
        for i in 0..=size {
            let at = 20.0 + i as f32 * CELL;
            canvas.line((at, 20.0), (at, 20.0 + inside), 1.5, [16, 78, 46]);
            canvas.line((20.0, at), (20.0 + inside, at), 1.5, [16, 78, 46]);
        }
        let (near, far) = (20.0 + 2.0 * CELL, 20.0 + (size - 2) as f32 * CELL);
        for (x, y) in [(near, near), (far, near), (near, far), (far, far)] {
            canvas.circle((x, y), 4.0, [16, 78, 46]);
        }
        let legal = self.moves(position);
        for i in 0..size * size {
            let (row, column) = (i / size, i % size);
            let center = (45.0 + column as f32 * CELL, 45.0 + row as f32 * CELL);
            if let Some(holder) = self.piece(position, row, column) {
                canvas.circle((center.0 + 1.5, center.1 + 2.0), 20.5, [14, 66, 40]);
                canvas.circle(
                    center,
                    20.0,
                    if holder == Side::First { [28, 28, 30] } else { [244, 242, 236] },
                );
            } else if legal >> self.square(row, column) & 1 == 1 {
                let hint = if position.to_move == Side::First { [20, 88, 54] } else { [96, 170, 124] };
                canvas.circle(center, 5.0, hint);
            }
        }
        canvas.into_frame()
    }
}

#[cfg(test)]
mod tests {
    use super::super::game::tests::{moves, perft};
    use super::*;

    fn othello(size: usize) -> Othello {
        Othello::new(size).unwrap()
    }

    #[test]
    fn move_counts_are_the_known_ones() {
        let rules = othello(8);
        for (depth, count) in [4, 12, 56, 244, 1396, 8200, 55_092, 390_216].into_iter().enumerate() {
            assert_eq!(perft(&rules, &rules.start(), depth as u32 + 1), count, "depth {}", depth + 1);
        }
    }

    #[test]
    fn move_counts_with_the_first_passes_are_the_known_ones() {
        assert_eq!(perft(&othello(8), &othello(8).start(), 9), 3_005_288);
    }

    #[test]
    #[ignore = "slow: 24 million positions"]
    fn move_counts_of_ten_moves_are_the_known_ones() {
        // The published number counts the 228 games that end with the ninth move, too.
        assert_eq!(perft(&othello(8), &othello(8).start(), 10), 24_571_284 - 228);
    }

    #[test]
    fn the_small_board_stays_inside_its_edge() {
        let rules = othello(6);
        // The first move is the same up to symmetry, and the second has three answers, on both boards.
        assert_eq!([1, 2].map(|depth| perft(&rules, &rules.start(), depth)), [4, 12]);
        let mut rng = crate::Pcg64::seed_from(5);
        for _ in 0..200 {
            let mut position = rules.start();
            loop {
                let moves = moves(&rules, &position);
                let action = moves[rng.integers(0, moves.len() as i64) as usize];
                let over = rules.play(&mut position, action).is_some();
                assert_eq!((position.own | position.other) & !rules.squares, 0);
                if over {
                    break;
                }
            }
            assert!(Othello::margin(&position).abs() <= 36);
        }
        assert!(Othello::new(7).is_err());
    }

    #[test]
    fn the_shortest_game_leaves_one_side_without_discs() {
        // Black wins by wiping white out with its fifth disc.
        let rules = othello(8);
        let squares = ["e6", "f4", "e3", "f6", "g5", "d6", "e7", "f5", "c5"];
        let mut position = rules.start();
        let mut verdict = None;
        for name in squares {
            assert_eq!(verdict, None, "before {name}");
            let action = moves(&rules, &position).into_iter().find(|&action| rules.notation(action) == name);
            verdict = rules.play(&mut position, action.unwrap_or_else(|| panic!("{name} is not legal")));
        }
        assert_eq!(verdict, Some(Verdict::Win));
        assert_eq!((position.own, position.other.count_ones()), (0, 13));
    }
}
