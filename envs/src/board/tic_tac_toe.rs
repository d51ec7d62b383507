//! Tic-tac-toe: three in a row on a board of nine squares.
//!
//! # Description
//! Two players, crosses and noughts, in turn occupy a square. Who has three in a row, a column or a diagonal wins.
//!
//! # Action space
//! `Discrete(9)`: the square, row by row from the top left. Occupied squares are masked out.
//!
//! # Observation space
//! Bytes `[3, 3, 3]`, 0 or 255, from the agent's side: plane 0 its own pieces, plane 1 the other side's, plane 2 is 255
//! everywhere if it is the agent's turn.
//!
//! # Rewards
//! 1 for a win, −1 for a loss, else 0.
//!
//! # Starting state
//! An empty board. Against an opponent the agent's side is drawn; if it is the second one, the opponent has moved already.
//!
//! # Episode end
//! Terminated when somebody wins or the board is full. There is no time limit.
//!
//! # Arguments
//! | argument | default | meaning |
//! |---|---|---|
//! | `opponent` | `"random"` | `"random"`: the environment answers with a uniformly random legal move; `"self"`: two agents, a row for each side, of which the one that is not to move may only take action 0, which is ignored |
//!
//! # Version history
//! v0: first version. Before observations had three planes, `opponent = "self"` was the default and one row acted for both sides.
//!
//! # Source
//! The rules of the game; the number of its games is 255168.
//!
//! # Deviations
//! None.

use super::game::{Bitboards, Rules, Side, Verdict, square_name};
use crate::{Canvas, Frame};

const LINES: [u64; 8] = [0o700, 0o070, 0o007, 0o444, 0o222, 0o111, 0o421, 0o124];
const FULL: u64 = 0o777;

/// The rules; see the [module's page](self).
#[derive(Clone, Copy, Debug)]
pub struct TicTacToe;

impl Rules for TicTacToe {
    type Position = Bitboards;

    const LETTERS: [char; 3] = ['.', 'X', 'O'];

    fn size(&self) -> [usize; 2] {
        [3, 3]
    }

    fn actions(&self) -> usize {
        9
    }

    fn start(&self) -> Bitboards {
        Bitboards::default()
    }

    fn to_move(&self, position: &Bitboards) -> Side {
        position.to_move
    }

    fn legal(&self, position: &Bitboards, legal: &mut [bool]) {
        let empty = FULL & !(position.own | position.other);
        for (square, legal) in legal.iter_mut().enumerate() {
            *legal = empty >> square & 1 == 1;
        }
    }

    fn play(&self, position: &mut Bitboards, action: usize) -> Option<Verdict> {
        position.own |= 1 << action;
        let mover = position.own;
        *position = position.swapped();
        if LINES.iter().any(|line| mover & line == *line) {
            Some(Verdict::Win)
        } else {
            (position.own | position.other == FULL).then_some(Verdict::Draw)
        }
    }

    fn piece(&self, position: &Bitboards, row: usize, column: usize) -> Option<Side> {
        position.holder((3 * row + column) as u32)
    }

    fn notation(&self, action: usize) -> String {
        square_name(action / 3, action % 3, 3)
    }

    fn draw(&self, position: &Bitboards) -> Frame {
        const CELL: f32 = 100.0;
        let mut canvas = Canvas::new(320, 320, [247, 244, 236]);
        for i in 1..3 {
            let at = 10.0 + i as f32 * CELL;
            canvas.line((at, 20.0), (at, 300.0), 5.0, [90, 90, 100]);
            canvas.line((20.0, at), (300.0, at), 5.0, [90, 90, 100]);
        }
        let [crosses, noughts] = position.colours();
        for i in 0..9 {
            let (x, y) = (60.0 + (i % 3) as f32 * CELL, 60.0 + (i / 3) as f32 * CELL);
            if crosses >> i & 1 == 1 {
                canvas.line((x - 27.0, y - 27.0), (x + 27.0, y + 27.0), 11.0, [205, 70, 60]);
                canvas.line((x - 27.0, y + 27.0), (x + 27.0, y - 27.0), 11.0, [205, 70, 60]);
            }
            if noughts >> i & 1 == 1 {
                canvas.circle_outline((x, y), 29.0, 11.0, [50, 100, 170]);
            }
        }
        canvas.into_frame()
    }
}

#[cfg(test)]
mod tests {
    use super::super::game::tests::moves;
    use super::*;

    fn games(position: &Bitboards) -> u64 {
        let after = |action| {
            let mut next = *position;
            if TicTacToe.play(&mut next, action).is_some() { 1 } else { games(&next) }
        };
        moves(&TicTacToe, position).into_iter().map(after).sum()
    }

    #[test]
    fn there_are_255168_games() {
        assert_eq!(games(&TicTacToe.start()), 255_168);
    }
}
