//! Gomoku: five stones in a row on the crossings of a Go board.
//!
//! # Description
//! Two players, black first, in turn place a stone on an empty point. Who has five stones or more in a row, a column or a
//! diagonal wins (freestyle: longer lines count, and nothing is forbidden to black).
//!
//! # Action space
//! `Discrete(81)`, in general `size * size`: the point, row by row from the top left. Occupied points are masked out.
//!
//! # Observation space
//! Bytes `[size, size, 3]`, 0 or 255, from the agent's side: plane 0 its own stones, plane 1 the other side's, plane 2 is 255
//! everywhere if it is the agent's turn.
//!
//! # Rewards
//! 1 for a win, −1 for a loss, else 0.
//!
//! # Starting state
//! An empty board. Against an opponent the agent's side is drawn; if it is white, the opponent has moved already.
//!
//! # Episode end
//! Terminated when somebody wins or the board is full, which is a draw. There is no time limit.
//!
//! # Arguments
//! | argument | default | meaning |
//! |---|---|---|
//! | `opponent` | `"random"` | `"random"`: the environment answers with a uniformly random legal move; `"self"`: two agents, a row for each side, of which the one that is not to move may only take action 0, which is ignored |
//! | `size` | 9 | rows and columns of the board: 5 to 11 |
//! | `row` | 5 | stones in a row that win: 3 to `size` |
//!
//! # Version history
//! v0: first version.
//!
//! # Source
//! The rules of the game, in its freestyle form.
//!
//! # Deviations
//! Boards are at most 11 points wide; players use 15 or 19.

use serde::{Deserialize, Serialize};

use super::game::{Opponent, Rules, Side, Verdict, square_name};
use super::goban;
use super::stones::Stones;
use crate::{EnvError, Frame};

/// Rows and columns of the largest board.
const LARGEST: usize = 11;
/// The letters of the columns.
const COLUMNS: &[u8; LARGEST] = b"abcdefghijk";

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GomokuArguments {
    /// Who moves for the other side.
    pub opponent: Opponent,
    /// Rows and columns: 5 to 11.
    pub size: usize,
    /// Stones in a row that win: 3 to `size`.
    pub row: usize,
}

impl Default for GomokuArguments {
    fn default() -> Self {
        Self { opponent: Opponent::default(), size: 9, row: 5 }
    }
}

/// The rules; see the [module's page](self). Bits are points, row by row from the top left.
#[derive(Clone, Copy, Debug)]
pub struct Gomoku {
    size: usize,
    row: usize,
}

impl Gomoku {
    /// On a board of `size` rows, with `row` stones in a row to win.
    ///
    /// # Errors
    /// If `size` is not 5 to 11, or `row` not 3 to `size`.
    pub fn new(size: usize, row: usize) -> Result<Self, EnvError> {
        if !(5..=LARGEST).contains(&size) {
            return Err(EnvError::Setting { field: "size", expected: "5 to 11", found: size.to_string() });
        }
        if !(3..=size).contains(&row) {
            return Err(EnvError::Setting { field: "row", expected: "3 to size", found: row.to_string() });
        }
        Ok(Self { size, row })
    }

    /// Whether a line that wins leads through a stone.
    #[inline]
    fn wins(&self, stones: u128, row: usize, column: usize) -> bool {
        let run = |down: isize, across: isize| {
            let steps = (1..self.row as isize).take_while(|step| {
                let place = (row.checked_add_signed(step * down), column.checked_add_signed(step * across));
                let (Some(row), Some(column)) = place else { return false };
                row < self.size && column < self.size && stones >> (row * self.size + column) & 1 == 1
            });
            steps.count()
        };
        let lines = [(0, 1), (1, 0), (1, 1), (1, -1)];
        lines.into_iter().any(|(down, across)| 1 + run(down, across) + run(-down, -across) >= self.row)
    }
}

impl Rules for Gomoku {
    type Position = Stones;

    const LETTERS: [char; 3] = ['.', 'X', 'O'];

    fn size(&self) -> [usize; 2] {
        [self.size; 2]
    }

    fn actions(&self) -> usize {
        self.size * self.size
    }

    fn start(&self) -> Stones {
        Stones::default()
    }

    fn to_move(&self, position: &Stones) -> Side {
        position.to_move
    }

    #[inline]
    fn legal(&self, position: &Stones, legal: &mut [bool]) {
        let taken = position.taken();
        for (bit, legal) in legal.iter_mut().enumerate() {
            *legal = taken >> bit & 1 == 0;
        }
    }

    #[inline]
    fn play(&self, position: &mut Stones, action: usize) -> Option<Verdict> {
        let stones = position.place(action as u32);
        if self.wins(stones, action / self.size, action % self.size) {
            Some(Verdict::Win)
        } else {
            (position.taken().count_ones() as usize == self.actions()).then_some(Verdict::Draw)
        }
    }

    #[inline]
    fn piece(&self, position: &Stones, row: usize, column: usize) -> Option<Side> {
        position.holder((row * self.size + column) as u32)
    }

    fn notation(&self, action: usize) -> String {
        square_name(action / self.size, action % self.size, self.size)
    }

    fn draw(&self, position: &Stones) -> Frame {
        goban::draw(self.size, COLUMNS, |row, column| self.piece(position, row, column))
    }
}

#[cfg(test)]
mod tests {
    use super::super::game::tests::{moves, perft};
    use super::*;
    use crate::board::BoardGame;
    use crate::registry::NoArguments;
    use crate::{EnvSpec, MakeOptions, Pcg64, Registry, check_env};

    fn gomoku(size: usize, row: usize) -> Gomoku {
        Gomoku::new(size, row).unwrap()
    }

    /// Whether a line of at least `row` stones lies anywhere, looked for from every point.
    fn has_line(rules: &Gomoku, stones: u128) -> bool {
        let (size, length) = (rules.size as i32, rules.row as i32);
        let held = |row: i32, column: i32| {
            (0..size).contains(&row)
                && (0..size).contains(&column)
                && stones >> (row * size + column) & 1 == 1
        };
        let from = |row: i32, column: i32| {
            [(0, 1), (1, 0), (1, 1), (1, -1)]
                .into_iter()
                .any(|(down, across)| (0..length).all(|step| held(row + step * down, column + step * across)))
        };
        (0..size).any(|row| (0..size).any(|column| from(row, column)))
    }

    #[test]
    fn move_counts_are_those_of_the_formula_as_long_as_nobody_can_have_won() {
        let (small, large) = (gomoku(5, 5), gomoku(11, 5));
        let counts = [1, 2, 3, 4].map(|depth| perft(&small, &small.start(), depth));
        assert_eq!(counts, [25, 25 * 24, 25 * 24 * 23, 25 * 24 * 23 * 22]);
        let counts = [1, 2, 3].map(|depth| perft(&large, &large.start(), depth));
        assert_eq!(counts, [121, 121 * 120, 121 * 120 * 119]);
    }

    #[test]
    fn games_that_end_early_are_missing_from_the_move_counts() {
        // Of the 48 lines of three on 5 × 5 (15 rows, 15 columns, 18 diagonals), the first side has made one after five
        // moves in 3! orders of its stones, with two of the other 22 points for the second side in either order.
        let rules = gomoku(5, 3);
        let all: u64 = (20..=25).product();
        assert_eq!(perft(&rules, &rules.start(), 6), all - 48 * 6 * 22 * 21 * 20);
    }

    #[test]
    fn random_games_end_when_a_line_is_there_or_the_board_is_full() {
        let mut rng = Pcg64::seed_from(2);
        let mut seen = [0, 0];
        for (size, row) in [(5, 3), (5, 5), (9, 5), (11, 5), (11, 11)] {
            let rules = gomoku(size, row);
            for _ in 0..100 {
                let mut position = rules.start();
                loop {
                    let legal = moves(&rules, &position);
                    let action = legal[rng.integers(0, legal.len() as i64) as usize];
                    let mover = position.to_move;
                    let verdict = rules.play(&mut position, action);
                    let expected = if has_line(&rules, position.held[mover.index()]) {
                        Some(Verdict::Win)
                    } else {
                        (legal.len() == 1).then_some(Verdict::Draw)
                    };
                    assert_eq!(verdict, expected, "size {size}, row {row}");
                    if let Some(verdict) = verdict {
                        seen[usize::from(verdict == Verdict::Draw)] += 1;
                        break;
                    }
                }
            }
        }
        assert!(seen[0] > 100 && seen[1] > 50, "wins and draws: {seen:?}");
    }

    #[test]
    fn lines_are_seen_in_all_directions_and_do_not_wrap() {
        let rules = gomoku(9, 5);
        let wins = |points: &[(usize, usize)]| {
            let stones = points.iter().fold(0_u128, |set, &(row, column)| set | 1 << (row * 9 + column));
            let all: Vec<bool> =
                points.iter().map(|&(row, column)| rules.wins(stones, row, column)).collect();
            assert!(all.iter().all(|&wins| wins == all[0]), "{points:?}: {all:?}");
            all[0]
        };
        assert!(wins(&[(0, 4), (0, 5), (0, 6), (0, 7), (0, 8)]));
        assert!(wins(&[(4, 0), (5, 0), (6, 0), (7, 0), (8, 0)]));
        assert!(wins(&[(4, 4), (5, 5), (6, 6), (7, 7), (8, 8)]));
        assert!(wins(&[(0, 8), (1, 7), (2, 6), (3, 5), (4, 4)]));
        assert!(!wins(&[(0, 4), (0, 5), (0, 6), (0, 7)]));
        assert!(!wins(&[(0, 6), (0, 7), (0, 8), (1, 0), (1, 1)]), "a row does not go on in the next one");
        assert!(!wins(&[(3, 6), (4, 7), (5, 8), (7, 0), (8, 1)]), "nor does a diagonal");
    }

    #[test]
    fn six_in_a_row_win_too() {
        let rules = gomoku(9, 5);
        let mut position = rules.start();
        let black = [0, 1, 2, 4, 5];
        for (&black, white) in black.iter().zip([80, 78, 76, 74, 72]) {
            assert_eq!(rules.play(&mut position, black), None);
            assert_eq!(rules.play(&mut position, white), None);
        }
        assert_eq!(rules.play(&mut position, 3), Some(Verdict::Win));
    }

    #[test]
    fn points_are_named_from_the_bottom_left() {
        let rules = gomoku(9, 5);
        assert_eq!([0, 8, 72, 80].map(|action| rules.notation(action)), ["a9", "i9", "a1", "i1"]);
    }

    #[test]
    fn pictures_show_stones_of_both_sides() {
        let rules = gomoku(9, 5);
        let mut position = rules.start();
        let mut frames = vec![rules.draw(&position)];
        for action in [40, 41] {
            assert_eq!(rules.play(&mut position, action), None);
            frames.push(rules.draw(&position));
        }
        assert!(frames[0] != frames[1] && frames[1] != frames[2]);
    }

    #[test]
    fn games_against_a_random_player_and_against_oneself_keep_the_contract() {
        let random = check_env(&Registry::builtin().get("Gomoku-v0").unwrap()).unwrap();
        assert!(random.episodes > 20 && random.seeds_differ && random.snapshots, "{random:?}");
        let own =
            EnvSpec::ecs("A-v0", |_: NoArguments| Ok(BoardGame::new(Gomoku::new(5, 4)?, Opponent::SelfPlay)));
        let own = check_env(&own).unwrap();
        assert!(own.episodes > 50 && own.snapshots, "{own:?}");
    }

    #[test]
    fn arguments_that_are_unknown_or_out_of_range_are_refused() {
        let refusal = |name: &str, value: toml::Value| {
            let mut options = MakeOptions::default();
            options.args.insert(name.into(), value);
            Registry::builtin().make("Gomoku-v0", &options).unwrap_err().to_string()
        };
        assert!(refusal("size", 4.into()).contains("size must be 5 to 11, got 4"));
        assert!(refusal("size", 12.into()).contains("size must be 5 to 11, got 12"));
        assert!(refusal("row", 10.into()).contains("row must be 3 to size, got 10"));
        assert!(refusal("row", 2.into()).contains("row must be 3 to size, got 2"));
        assert!(refusal("opponent", "perfect".into()).contains("perfect"));
        assert!(refusal("komi", 1.into()).contains("komi"));
    }
}
