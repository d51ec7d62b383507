//! Connect Four: four in a row of discs that fall down columns.
//!
//! # Description
//! Two players in turn drop a disc into one of seven columns of six squares; it falls onto the discs that lie there. Who
//! has four in a row, a column or a diagonal wins.
//!
//! # Action space
//! `Discrete(7)`: the column, from the left. Full columns are masked out.
//!
//! # Observation space
//! Bytes `[6, 7, 3]`, 0 or 255, the top row first, from the agent's side: plane 0 its own discs, plane 1 the other side's,
//! plane 2 is 255 everywhere if it is the agent's turn.
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
//! The rules of the game; the bitboard of John Tromp's `fhourstones`, seven bits a column, of which the highest stays
//! empty so that no line runs from one column into the next.
//!
//! # Deviations
//! None.

use super::game::{Bitboards, Rules, Side, Verdict};
use crate::{Canvas, Frame};

const ROWS: usize = 6;
const COLUMNS: usize = 7;
/// Bits of a column, the empty one on top included.
const HEIGHT: usize = ROWS + 1;
/// The lowest square of every column.
const BOTTOM: u64 = 0x0000_0408_1020_4081;
const FULL: u64 = BOTTOM * 0b11_1111;

/// The rules; see the [module's page](self).
#[derive(Clone, Copy, Debug)]
pub struct ConnectFour;

/// Whether four of the bits lie in a row: along columns, rows and both diagonals.
#[inline]
fn has_four(board: u64) -> bool {
    [1, HEIGHT, HEIGHT - 1, HEIGHT + 1].iter().any(|&step| {
        let pairs = board & board >> step;
        pairs & pairs >> (2 * step) != 0
    })
}

/// The bit of a square.
#[inline]
fn square(row: usize, column: usize) -> u32 {
    (column * HEIGHT + ROWS - 1 - row) as u32
}

impl Rules for ConnectFour {
    type Position = Bitboards;

    const LETTERS: [char; 3] = ['.', 'X', 'O'];

    fn size(&self) -> [usize; 2] {
        [ROWS, COLUMNS]
    }

    fn actions(&self) -> usize {
        COLUMNS
    }

    fn start(&self) -> Bitboards {
        Bitboards::default()
    }

    fn to_move(&self, position: &Bitboards) -> Side {
        position.to_move
    }

    #[inline]
    fn legal(&self, position: &Bitboards, legal: &mut [bool]) {
        let taken = position.own | position.other;
        for (column, legal) in legal.iter_mut().enumerate() {
            *legal = taken >> (column * HEIGHT + ROWS - 1) & 1 == 0;
        }
    }

    #[inline]
    fn play(&self, position: &mut Bitboards, action: usize) -> Option<Verdict> {
        // Adding a one at the bottom of a column carries it to the lowest empty square.
        let column = 0b11_1111 << (action * HEIGHT);
        let taken = position.own | position.other;
        position.own |= ((taken & column) + (1 << (action * HEIGHT))) & column;
        let won = has_four(position.own);
        *position = position.swapped();
        if won {
            Some(Verdict::Win)
        } else {
            (position.own | position.other == FULL).then_some(Verdict::Draw)
        }
    }

    #[inline]
    fn piece(&self, position: &Bitboards, row: usize, column: usize) -> Option<Side> {
        position.holder(square(row, column))
    }

    /// The column, from 1 at the left.
    fn notation(&self, action: usize) -> String {
        (action + 1).to_string()
    }

    fn draw(&self, position: &Bitboards) -> Frame {
        const CELL: f32 = 60.0;
        let mut canvas = Canvas::new(460, 410, [238, 242, 248]);
        canvas.rect(10.0, 10.0, 440.0, 380.0, [38, 84, 168]);
        canvas.rect(0.0, 390.0, 460.0, 12.0, [28, 62, 128]);
        let [first, second] = position.colours();
        for row in 0..ROWS {
            for column in 0..COLUMNS {
                let bit = 1 << square(row, column);
                let center = (50.0 + column as f32 * CELL, 50.0 + row as f32 * CELL);
                let (fill, edge) = if first & bit != 0 {
                    ([222, 66, 58], [178, 44, 40])
                } else if second & bit != 0 {
                    ([246, 204, 64], [206, 162, 36])
                } else {
                    ([238, 242, 248], [28, 62, 128])
                };
                canvas.circle(center, 25.0, fill);
                canvas.circle_outline(center, 23.5, 3.0, edge);
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
        let start = ConnectFour.start();
        for (depth, count) in [7, 49, 343, 2401, 16_807, 117_649, 823_536, 5_673_234].into_iter().enumerate()
        {
            assert_eq!(perft(&ConnectFour, &start, depth as u32 + 1), count, "depth {}", depth + 1);
        }
    }

    #[test]
    fn lines_are_seen_in_all_directions_and_do_not_wrap() {
        let board = |squares: &[(usize, usize)]| {
            squares.iter().fold(0, |board, &(row, column)| board | 1 << square(row, column))
        };
        assert!(has_four(board(&[(5, 3), (4, 3), (3, 3), (2, 3)])));
        assert!(has_four(board(&[(0, 3), (0, 4), (0, 5), (0, 6)])));
        assert!(has_four(board(&[(5, 0), (4, 1), (3, 2), (2, 3)])));
        assert!(has_four(board(&[(2, 0), (3, 1), (4, 2), (5, 3)])));
        assert!(!has_four(board(&[(1, 0), (0, 0), (5, 1), (4, 1)])));
        assert!(!has_four(board(&[(0, 0), (0, 1), (0, 2), (0, 4)])));
    }

    #[test]
    fn a_full_board_without_a_line_is_a_draw() {
        let mut position = ConnectFour.start();
        let columns = [0, 1, 0, 1, 1, 0, 1, 0, 0, 1, 0, 1, 2, 3, 2, 3, 3, 2, 3, 2, 2, 3, 2, 3];
        let rest = [4, 5, 4, 5, 5, 4, 5, 4, 4, 5, 4, 5, 6, 6, 6, 6, 6, 6];
        let moves: Vec<usize> = columns.into_iter().chain(rest).collect();
        let (&last, before) = moves.split_last().unwrap();
        for &column in before {
            assert_eq!(ConnectFour.play(&mut position, column), None);
        }
        assert_eq!(ConnectFour.play(&mut position, last), Some(Verdict::Draw));
    }
}
