//! Hex: join two opposite edges of the board by a chain of stones.
//!
//! # Description
//! Two players in turn place a stone on an empty cell of a rhombus of hexagons. The first side's edges are the top and the
//! bottom one, the second side's the left and the right one; who joins its edges by a chain of its stones wins. One of
//! the two always does, and only one. As the first move is worth a lot, the second side may answer it by a swap: the stone
//! becomes its own and is mirrored along the main diagonal, which makes it to the second side what it was to the first.
//!
//! # Action space
//! `Discrete(122)`, in general `size * size + 1`: the cell, row by row from the top left; the last one is the swap, and is
//! not there where `swap` is false. All but the legal moves are masked out: the swap is legal in the second move only.
//!
//! # Observation space
//! Bytes `[size, size, 4]`, 0 or 255, from the agent's side: plane 0 its own stones, plane 1 the other side's, plane 2 is 255
//! everywhere if it is the agent's turn, plane 3 if the agent is the first side, whose edges are the top and the bottom.
//! A cell's neighbours are the cells left and right of it, above and below it, above to the right and below to the left.
//!
//! # Rewards
//! 1 for a win, −1 for a loss, else 0. There are no draws.
//!
//! # Starting state
//! An empty board. Against an opponent the agent's side is drawn; if it is the second one, the opponent has moved already.
//!
//! # Episode end
//! Terminated when somebody has joined its edges, at the latest when the board is full. There is no time limit.
//!
//! # Arguments
//! | argument | default | meaning |
//! |---|---|---|
//! | `opponent` | `"random"` | `"random"`: the environment answers with a uniformly random legal move; `"self"`: two agents, a row for each side, of which the one that is not to move may only take action 0, which is ignored |
//! | `size` | 11 | rows and columns of the board: 3 to 11 |
//! | `swap` | true | whether the second side may swap |
//!
//! # Version history
//! v0: first version.
//!
//! # Source
//! The rules of Piet Hein's and John Nash's game. Without a swap the first side wins with perfect play on every board (Nash);
//! with it, the second one.
//!
//! # Deviations
//! A swap mirrors the stone. Where players change seats instead, the stone stays and the edges change sides, which is the
//! same game.

use serde::{Deserialize, Serialize};

use super::game::{Opponent, Rules, Side, Verdict, square_name};
use super::stones::{Stones, flood};
use crate::render::Color;
use crate::{Canvas, EnvError, Frame};

/// Rows and columns of the largest board.
const LARGEST: usize = 11;

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HexArguments {
    /// Who moves for the other side.
    pub opponent: Opponent,
    /// Rows and columns: 3 to 11.
    pub size: usize,
    /// Whether the second side may take over the first stone.
    pub swap: bool,
}

impl Default for HexArguments {
    fn default() -> Self {
        Self { opponent: Opponent::default(), size: LARGEST, swap: true }
    }
}

/// The rules; see the [module's page](self). Bits are cells, row by row from the top left.
#[derive(Clone, Copy, Debug)]
pub struct Hex {
    size: usize,
    swap: bool,
    /// The two edges of either side.
    edges: [[u128; 2]; 2],
}

impl Hex {
    /// On a board of `size` rows, with or without a swap.
    ///
    /// # Errors
    /// If `size` is not 3 to 11.
    pub fn new(size: usize, swap: bool) -> Result<Self, EnvError> {
        if !(3..=LARGEST).contains(&size) {
            return Err(EnvError::Setting { field: "size", expected: "3 to 11", found: size.to_string() });
        }
        let top = (1_u128 << size) - 1;
        let left = (0..size).fold(0, |left, row| left | 1_u128 << (row * size));
        let edges = [[top, top << (size * (size - 1))], [left, left << (size - 1)]];
        Ok(Self { size, swap, edges })
    }

    /// The action of swapping.
    fn swap_action(&self) -> usize {
        self.size * self.size
    }

    /// Whether the side to move may swap.
    #[inline]
    fn may_swap(&self, position: &Stones) -> bool {
        self.swap && position.to_move == Side::Second && position.taken().count_ones() == 1
    }

    /// The neighbours of a set of cells, and some bits beyond the last cell.
    #[inline]
    fn next_to(&self, set: u128) -> u128 {
        let [left, right] = self.edges[Side::Second.index()];
        let (not_first, not_last) = (set & !left, set & !right);
        let straight = not_last << 1 | not_first >> 1 | set << self.size | set >> self.size;
        straight | not_last >> (self.size - 1) | not_first << (self.size - 1)
    }

    /// Whether stones of a side join its edges.
    #[inline]
    fn joins(&self, side: Side, stones: u128) -> bool {
        let [from, to] = self.edges[side.index()];
        flood(from, stones, |set| self.next_to(set)) & to != 0
    }
}

impl Rules for Hex {
    type Position = Stones;

    const EXTRA_PLANES: usize = 1;

    const LETTERS: [char; 3] = ['.', 'X', 'O'];

    fn size(&self) -> [usize; 2] {
        [self.size; 2]
    }

    fn actions(&self) -> usize {
        self.size * self.size + usize::from(self.swap)
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
        let (cells, swap) = legal.split_at_mut(self.size * self.size);
        for (bit, legal) in cells.iter_mut().enumerate() {
            *legal = taken >> bit & 1 == 0;
        }
        swap.fill(self.may_swap(position));
    }

    #[inline]
    fn play(&self, position: &mut Stones, action: usize) -> Option<Verdict> {
        if action == self.swap_action() {
            let stone = position.held[Side::First.index()].trailing_zeros() as usize;
            let (row, column) = (stone / self.size, stone % self.size);
            position.held[Side::First.index()] = 0;
            position.place((column * self.size + row) as u32);
            return None;
        }
        let mover = position.to_move;
        let stones = position.place(action as u32);
        self.joins(mover, stones).then_some(Verdict::Win)
    }

    #[inline]
    fn piece(&self, position: &Stones, row: usize, column: usize) -> Option<Side> {
        position.holder((row * self.size + column) as u32)
    }

    /// Whether one is the first side.
    #[inline]
    fn is_set(&self, _position: &Stones, _plane: usize, seen_from: Side) -> bool {
        seen_from == Side::First
    }

    fn notation(&self, action: usize) -> String {
        if action == self.swap_action() {
            return "swap".to_owned();
        }
        // Rows are counted from the top here, as Hex players do.
        let (row, column) = (action / self.size, action % self.size);
        square_name(self.size - 1 - row, column, self.size)
    }

    fn draw(&self, position: &Stones) -> Frame {
        let picture = Picture { size: self.size };
        let mut canvas = picture.board();
        for row in 0..self.size {
            for column in 0..self.size {
                if let Some(side) = self.piece(position, row, column) {
                    picture.stone(&mut canvas, row, column, side);
                }
            }
        }
        canvas.into_frame()
    }

    /// Each row is indented by one more space, so that neighbours stand near each other.
    fn text(&self, position: &Stones) -> Vec<String> {
        let letter = |row, column| match self.piece(position, row, column) {
            None => Self::LETTERS[0],
            Some(side) => Self::LETTERS[1 + side.index()],
        };
        let line = |row| {
            let cells: Vec<String> = (0..self.size).map(|column| letter(row, column).to_string()).collect();
            format!("{}{}", " ".repeat(row), cells.join(" "))
        };
        (0..self.size).map(line).collect()
    }
}

/// Pixels from the middle of a cell to its corners.
const RADIUS: f32 = 24.0;
/// Pixels from the middle of a cell to the middle of its sides.
const APOTHEM: f32 = RADIUS * 0.866_025_4;
/// The part of a cell that lies inside of the lines.
const INNER: f32 = 0.96;
/// Pixels around the board.
const MARGIN: f32 = 44.0;
const PAPER: Color = [246, 242, 233];
const CELL: Color = [232, 216, 184];
const GRID: Color = [158, 136, 100];
const LABEL: Color = [112, 96, 72];
const SHADOW: Color = [186, 168, 134];
/// Rims, bodies and lights of stones of either side; edges have the colour of the body.
const COLOURS: [[Color; 3]; 2] =
    [[[150, 36, 34], [206, 62, 54], [234, 128, 116]], [[26, 66, 132], [48, 104, 184], [122, 168, 226]]];

/// Where the cells of a picture lie: corners up, each row half a cell further to the right.
struct Picture {
    size: usize,
}

impl Picture {
    fn center(&self, row: usize, column: usize) -> (f32, f32) {
        let x = MARGIN + APOTHEM * (1 + 2 * column + row) as f32;
        (x, MARGIN + RADIUS * (1.0 + 1.5 * row as f32))
    }

    /// A corner of a cell, from the upper one clockwise.
    fn corner(&self, row: usize, column: usize, corner: usize) -> (f32, f32) {
        let (x, y) = self.center(row, column);
        let across = [0.0, 1.0, 1.0, 0.0, -1.0, -1.0][corner];
        let down = [-1.0, -0.5, 0.5, 1.0, 0.5, -0.5][corner];
        (x + APOTHEM * across, y + RADIUS * down)
    }

    /// The line along an edge of the board: the corners that its cells have there, clockwise. The two blunt corners of the
    /// board are the middle of a side of their cell, and belong to both edges half.
    fn edge(&self, cells: impl Iterator<Item = (usize, usize)>, corners: [usize; 3]) -> Vec<(f32, f32)> {
        cells.flat_map(|(row, column)| corners.map(|corner| self.corner(row, column, corner))).collect()
    }

    fn board(&self) -> Canvas {
        let last = self.size - 1;
        let (right, bottom) = (self.corner(last, last, 2).0, self.corner(last, last, 3).1);
        let mut canvas = Canvas::new((right + MARGIN) as u32, (bottom + MARGIN) as u32, PAPER);
        let mut top = self.edge((0..=last).map(|column| (0, column)), [5, 0, 1]);
        let mut right = self.edge((0..=last).map(|row| (row, last)), [0, 1, 2]);
        let mut bottom = self.edge((0..=last).rev().map(|column| (last, column)), [2, 3, 4]);
        let mut left = self.edge((0..=last).rev().map(|row| (row, 0)), [3, 4, 5]);
        for (before, after) in [(&mut top, &mut right), (&mut bottom, &mut left)] {
            if let ([.., from, to], [first, ..]) = (&mut before[..], &mut after[..]) {
                *to = ((from.0 + to.0) / 2.0, (from.1 + to.1) / 2.0);
                *first = *to;
            }
        }
        for (side, edges) in [(Side::First, [top, bottom]), (Side::Second, [right, left])] {
            for edge in edges {
                canvas.polyline(&edge, 14.0, COLOURS[side.index()][1]);
            }
        }
        for row in 0..self.size {
            for column in 0..self.size {
                let corners: [_; 6] = std::array::from_fn(|corner| self.corner(row, column, corner));
                let (x, y) = self.center(row, column);
                canvas.polygon(&corners, GRID);
                // A smaller cell in a larger one is drawn much faster than a line around it.
                canvas.polygon(&corners.map(|(a, b)| (x + INNER * (a - x), y + INNER * (b - y))), CELL);
            }
        }
        for i in 0..self.size {
            let ((x, y), (left, middle)) = (self.center(0, i), self.center(i, 0));
            let letter = char::from(b'a' + i as u8).to_string();
            canvas.text_centered((x - 0.6 * APOTHEM, y - 1.9 * RADIUS), &letter, 16.0, LABEL);
            canvas.text_centered((left - 2.0 * APOTHEM, middle), &(i + 1).to_string(), 16.0, LABEL);
        }
        canvas
    }

    fn stone(&self, canvas: &mut Canvas, row: usize, column: usize, side: Side) {
        const STONE: f32 = APOTHEM * 0.8;
        let (x, y) = self.center(row, column);
        let [rim, body, light] = COLOURS[side.index()];
        canvas.circle((x + 1.5, y + 2.5), STONE, SHADOW);
        canvas.circle((x, y), STONE, rim);
        canvas.circle((x - 0.5, y - 0.7), STONE * 0.91, body);
        canvas.circle((x - STONE * 0.33, y - STONE * 0.38), STONE * 0.26, light);
    }
}

#[cfg(test)]
mod tests {
    use super::super::game::tests::{moves, perft};
    use super::*;
    use crate::board::BoardGame;
    use crate::registry::NoArguments;
    use crate::{EnvSpec, MakeOptions, Pcg64, Registry, check_env};

    fn hex(size: usize, swap: bool) -> Hex {
        Hex::new(size, swap).unwrap()
    }

    /// The position after moves by name, none of which ends the game.
    fn after(rules: &Hex, names: &[&str]) -> Stones {
        let mut position = rules.start();
        for name in names {
            let legal = moves(rules, &position);
            let action = legal.into_iter().find(|&action| rules.notation(action) == *name);
            let action = action.unwrap_or_else(|| panic!("{name} is not legal"));
            assert_eq!(rules.play(&mut position, action), None, "{name}");
        }
        position
    }

    #[test]
    fn every_full_board_has_exactly_one_winner() {
        let mut rng = Pcg64::seed_from(11);
        for size in 3..=LARGEST {
            let rules = hex(size, false);
            let cells = (1_u128 << (size * size)) - 1;
            for _ in 0..2000 {
                let mut first = 0_u128;
                for bit in 0..size * size {
                    first |= (rng.integers(0, 2) as u128) << bit;
                }
                let winners = [rules.joins(Side::First, first), rules.joins(Side::Second, cells & !first)];
                assert_ne!(winners[0], winners[1], "{size}: {first:b}");
            }
        }
    }

    #[test]
    fn random_games_end_with_a_win_of_the_side_that_moved_last() {
        let mut rng = Pcg64::seed_from(3);
        for size in [3, 5, 11] {
            let rules = hex(size, true);
            for _ in 0..100 {
                let mut position = rules.start();
                let verdict = loop {
                    let legal = moves(&rules, &position);
                    let action = legal[rng.integers(0, legal.len() as i64) as usize];
                    if let Some(verdict) = rules.play(&mut position, action) {
                        break verdict;
                    }
                };
                let [first, second] = position.held;
                assert_eq!((verdict, first & second), (Verdict::Win, 0));
                let wins = [rules.joins(Side::First, first), rules.joins(Side::Second, second)];
                assert_eq!(wins, [position.to_move == Side::Second, position.to_move == Side::First]);
            }
        }
    }

    #[test]
    fn move_counts_are_those_of_the_formula_as_long_as_nobody_can_have_won() {
        // The third stone of a side is the first that can end a game.
        let (without, with) = (hex(3, false), hex(3, true));
        let counts = |rules: &Hex| [1, 2, 3, 4, 5].map(|depth| perft(rules, &rules.start(), depth));
        let plain = [9, 9 * 8, 9 * 8 * 7, 9 * 8 * 7 * 6, 9 * 8 * 7 * 6 * 5];
        assert_eq!(counts(&without), plain);
        // After a swap one stone lies on the board, as if the first side had begun anew.
        let swapped = [0, 9, 9 * 8, 9 * 8 * 7, 9 * 8 * 7 * 6];
        assert_eq!(counts(&with), std::array::from_fn(|i| plain[i] + swapped[i]));
        let large = hex(11, true);
        assert_eq!([1, 2].map(|depth| perft(&large, &large.start(), depth)), [121, 121 * 121]);
    }

    #[test]
    fn a_swap_mirrors_the_stone_and_makes_it_the_second_sides() {
        let rules = hex(5, true);
        let position = after(&rules, &["d2", "swap"]);
        assert_eq!(position.taken().count_ones(), 1);
        assert_eq!((rules.piece(&position, 3, 1), position.to_move), (Some(Side::Second), Side::First));
        assert_eq!(rules.piece(&position, 1, 3), None);
        assert!(moves(&rules, &position).contains(&(5 + 3)), "the cell is free again");
    }

    #[test]
    fn only_the_second_move_may_be_a_swap() {
        let rules = hex(4, true);
        let legal = |names: &[&str]| moves(&rules, &after(&rules, names)).contains(&rules.swap_action());
        assert!(!legal(&[]));
        assert!(legal(&["b2"]));
        for names in [&["b2", "swap"][..], &["b2", "c3"], &["b2", "swap", "c3"], &["b2", "c3", "a1"]] {
            assert!(!legal(names), "{names:?}");
        }
        assert_eq!(hex(4, false).actions(), 16);
    }

    #[test]
    fn chains_lead_along_the_six_neighbours_and_not_around_the_board() {
        let rules = hex(3, false);
        let set = |cells: &[(usize, usize)]| {
            cells.iter().fold(0_u128, |set, &(row, column)| set | 1 << (row * 3 + column))
        };
        let neighbours = rules.next_to(set(&[(1, 1)]));
        assert_eq!(neighbours, set(&[(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]));
        assert_eq!(rules.next_to(set(&[(1, 0)])), set(&[(0, 0), (0, 1), (1, 1), (2, 0)]));
        assert_eq!(rules.next_to(set(&[(1, 2)])), set(&[(0, 2), (1, 1), (2, 1), (2, 2)]));
        // Down to the left is a step, down to the right is none.
        assert!(rules.joins(Side::First, set(&[(0, 2), (1, 1), (2, 0)])));
        assert!(!rules.joins(Side::First, set(&[(0, 0), (1, 1), (2, 2)])));
        assert!(rules.joins(Side::Second, set(&[(2, 0), (1, 1), (0, 2)])));
        assert!(!rules.joins(Side::Second, set(&[(0, 0), (1, 1), (2, 2)])));
    }

    /// Whether the side to move wins with perfect play.
    fn wins(rules: &Hex, position: &Stones) -> bool {
        moves(rules, position).into_iter().any(|action| {
            let mut next = *position;
            rules.play(&mut next, action).is_some() || !wins(rules, &next)
        })
    }

    #[test]
    fn the_first_side_wins_without_a_swap_and_the_second_with_one() {
        assert!(wins(&hex(3, false), &hex(3, false).start()));
        assert!(!wins(&hex(3, true), &hex(3, true).start()));
    }

    #[test]
    fn rows_of_the_text_are_indented_and_names_are_counted_from_the_top() {
        let rules = hex(3, true);
        let position = after(&rules, &["a1", "c2"]);
        assert_eq!(rules.text(&position), ["X . .", " . . O", "  . . ."]);
        assert_eq!([0, 5, 8, 9].map(|action| rules.notation(action)), ["a1", "c2", "c3", "swap"]);
        assert!(rules.is_set(&position, 0, Side::First) && !rules.is_set(&position, 0, Side::Second));
    }

    #[test]
    fn pictures_show_stones_of_both_sides() {
        let rules = hex(3, true);
        let frames = [&[][..], &["b2"], &["b2", "swap"]].map(|names| rules.draw(&after(&rules, names)));
        assert!(frames[0] != frames[1] && frames[1] != frames[2] && frames[0] != frames[2]);
    }

    #[test]
    fn games_against_a_random_player_and_against_oneself_keep_the_contract() {
        let random = check_env(&Registry::builtin().get("Hex-v0").unwrap()).unwrap();
        assert!(random.episodes > 20 && random.seeds_differ && random.snapshots, "{random:?}");
        let own =
            EnvSpec::ecs("A-v0", |_: NoArguments| Ok(BoardGame::new(Hex::new(4, true)?, Opponent::SelfPlay)));
        let own = check_env(&own).unwrap();
        assert!(own.episodes > 50 && own.snapshots, "{own:?}");
    }

    #[test]
    fn arguments_that_are_unknown_or_out_of_range_are_refused() {
        let refusal = |name: &str, value: toml::Value| {
            let mut options = MakeOptions::default();
            options.args.insert(name.into(), value);
            Registry::builtin().make("Hex-v0", &options).unwrap_err().to_string()
        };
        assert!(refusal("size", 2.into()).contains("size must be 3 to 11, got 2"));
        assert!(refusal("size", 12.into()).contains("size must be 3 to 11, got 12"));
        assert!(refusal("opponent", "perfect".into()).contains("perfect"));
        assert!(refusal("komi", 1.into()).contains("komi"));
    }
}
