//! Tic-tac-toe: three in a row on a board of nine squares.
//!
//! # Description
//! Two players, crosses and noughts, in turn occupy a square. Who has three in a row, a column or a diagonal wins.
//!
//! # Action space
//! `Discrete(9)`: the square, row by row from the top left. Occupied squares are masked out.
//!
//! # Observation space
//! Bytes `[3, 3, 2]`, 0 or 255, from the side of whoever is to move: plane 0 its own pieces, plane 1 the other side's.
//! Against an opponent always from the agent's side.
//!
//! # Rewards
//! With `opponent = "self"` the reward is that of the side that just moved: 1 for a winning move, else 0. The next
//! observation is the *other* side's, so the value of what follows has to be taken with the opposite sign. Against an
//! opponent: 1 for a win, −1 for a loss, else 0.
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
//! | `opponent` | `"self"` | `"self"`: the row acts for both sides in turn; `"random"`: the environment answers with a uniformly random legal move |
//!
//! # Version history
//! v0: first version.
//!
//! # Source
//! The rules of the game; the number of its games is 255168.
//!
//! # Deviations
//! None.

use super::game::{Position, Rules, Verdict};
use crate::{Canvas, Frame};

const LINES: [u64; 8] = [0o700, 0o070, 0o007, 0o444, 0o222, 0o111, 0o421, 0o124];
const FULL: u64 = 0o777;

/// The rules; see the [module's page](self).
#[derive(Clone, Copy, Debug)]
pub struct TicTacToe;

impl Rules for TicTacToe {
    const ROWS: usize = 3;
    const COLUMNS: usize = 3;
    const ACTIONS: usize = 9;
    const LETTERS: [char; 3] = ['.', 'X', 'O'];

    fn start() -> Position {
        Position { own: 0, other: 0, first_to_move: true }
    }

    fn legal(position: Position) -> u128 {
        u128::from(FULL & !(position.own | position.other))
    }

    fn play(position: &mut Position, action: usize) -> Option<Verdict> {
        position.own |= 1 << action;
        let mover = position.own;
        *position = position.swapped();
        if LINES.iter().any(|line| mover & line == *line) {
            Some(Verdict::Win)
        } else {
            (position.own | position.other == FULL).then_some(Verdict::Draw)
        }
    }

    fn draw(position: Position) -> Frame {
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
    use super::*;

    fn games(position: Position) -> u64 {
        let moves = (0..9).filter(|action| TicTacToe::legal(position) >> action & 1 == 1);
        moves
            .map(|action| {
                let mut next = position;
                if TicTacToe::play(&mut next, action).is_some() { 1 } else { games(next) }
            })
            .sum()
    }

    #[test]
    fn there_are_255168_games() {
        assert_eq!(games(TicTacToe::start()), 255_168);
    }
}
