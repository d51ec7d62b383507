//! Go: surround more of the board than the other side.
//!
//! # Description
//! Two players, black first, in turn place a stone on an empty point or pass. Stones of one colour that are joined along
//! the lines are a group, and the empty points next to it are its liberties; when a move takes a group of the other side
//! its last liberty, the group is removed. A move that leaves its own group without liberties is forbidden (no suicide), and
//! so is one that makes the board look as it did at any time before in this game, whoever was to move then (positional
//! superko). A pass is always allowed. When the game ends each side counts its stones and the empty points from which only
//! its stones are reached along empty points (area scoring); white is given `komi` points for moving second. Who has more
//! wins. Stones that stand at the end count as they stand: who wants dead ones gone must capture them.
//!
//! # Action space
//! `Discrete(82)`, in general `size * size + 1`: the point, row by row from the top left; the last one is a pass. All but
//! the legal moves are masked out.
//!
//! # Observation space
//! Bytes `[size, size, 5]`, 0 or 255, from the agent's side: plane 0 its own stones, plane 1 the other side's, plane 2 is 255
//! everywhere if it is the agent's turn, plane 3 if the agent is black, which decides what `komi` means, plane 4 if the
//! last move was a pass, so that another one ends the game.
//!
//! # Rewards
//! 1 for a win, −1 for a loss, else 0. It is a draw if the score with `komi` is exactly 0, which needs a whole number. With
//! `margin = m` a share of it is by how much: `(1 − m) · outcome + m · points / size²`, points at most a board's.
//!
//! # Starting state
//! An empty board. Against an opponent the agent's side is drawn; if it is white, the opponent has moved already.
//!
//! # Episode end
//! Terminated after two passes in a row or after `max_moves` moves, passes counted; the board is scored as it stands.
//!
//! # Arguments
//! | argument | default | meaning |
//! |---|---|---|
//! | `opponent` | `"random"` | `"random"`: the environment answers with a uniformly random legal move; `"self"`: two agents, a row for each side, of which the one that is not to move may only take action 0, which is ignored |
//! | `size` | 9 | rows and columns of the board: 2 to 9; below 5 there is little to play for |
//! | `komi` | 7.5 | points that white is given; with half a point there are no draws |
//! | `margin` | 0 | share of the reward that the difference in points makes, 0 to below 1: an agent that has won or lost goes on to
//! play for points |
//! | `max_moves` | 0 | moves after which the game ends, passes counted; 0: three for each point of the board |
//!
//! # Version history
//! v0: first version.
//!
//! # Source
//! John Tromp and Bill Taylor, The Game of Go, rules 1 to 10, with suicide forbidden as in the Chinese rules. The numbers of
//! legal positions that the tests count are those of Tromp and Farnebäck, Combinatorics of Go, 2016.
//!
//! # Deviations
//! 1. Suicide of several stones, which Tromp and Taylor allow, is forbidden.
//! 2. Games end after `max_moves` moves; how many are left is not observed, nor is which points superko forbids, save in the
//!    mask.
//! 3. Earlier positions are known by 64-bit hashes: a move is wrongly forbidden if two positions share one, which no game
//!    will see.

use serde::{Deserialize, Serialize};

use super::game::{Opponent, Rules, Side, Verdict};
use super::goban;
use super::stones::{Stones, bits, flood};
use crate::{EnvError, Frame};

/// Rows and columns of the largest board.
const LARGEST: usize = 9;
/// Bits from a point to the one below it: those of the longest row and one that is no point, so that no step leads from one
/// row into another.
const STRIDE: usize = LARGEST + 1;
/// The letters of the columns; there is no I.
const COLUMNS: &[u8; LARGEST] = b"ABCDEFGHJ";
/// A random number for each stone of either side; the hash of a board is the exclusive or of its stones'.
static KEYS: [[u64; STRIDE * LARGEST]; 2] = keys();

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GoArguments {
    /// Who moves for the other side.
    pub opponent: Opponent,
    /// Rows and columns: 2 to 9.
    pub size: usize,
    /// Points that the second side is given; finite.
    pub komi: f64,
    /// Share of the reward that the difference in points makes: 0 to below 1.
    pub margin: f64,
    /// Moves after which the game ends, passes counted; 0: three for each point of the board.
    pub max_moves: u32,
}

impl Default for GoArguments {
    fn default() -> Self {
        Self { opponent: Opponent::default(), size: 9, komi: 7.5, margin: 0.0, max_moves: 0 }
    }
}

/// The rules; see the [module's page](self).
#[derive(Clone, Copy, Debug)]
pub struct Go {
    size: usize,
    komi: f64,
    margin: f64,
    max_moves: u32,
    /// The bits that are points of the board.
    points: u128,
}

/// A position: what lies on the board, and what of the game so far decides how it may go on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoPosition {
    /// The stones, ten bits a row from the top, of which the lowest is the leftmost point; and whose turn it is.
    pub stones: Stones,
    /// Passes in a row that led here: 0, 1, or 2 at the end of a game.
    pub passes: u32,
    /// Moves so far, passes counted.
    pub moves: u32,
    /// Hash of the board.
    hash: u64,
    /// Hashes of all boards before this one.
    earlier: Vec<u64>,
    /// Points at which each side once lost a stone. A move that repeats a board puts a stone where its side once had one
    /// and has none now: nowhere else need the hashes be searched.
    lost: [u128; 2],
}

impl Go {
    /// On a board of `size` rows, with `komi` points for the second side, for at most `max_moves` moves, where 0 stands for
    /// three a point.
    ///
    /// # Errors
    /// If `size` is not 2 to 9, or `komi` not finite.
    pub fn new(size: usize, komi: f64, max_moves: u32) -> Result<Self, EnvError> {
        if !(2..=LARGEST).contains(&size) {
            return Err(EnvError::Setting { field: "size", expected: "2 to 9", found: size.to_string() });
        }
        if !komi.is_finite() {
            return Err(EnvError::Setting { field: "komi", expected: "finite", found: komi.to_string() });
        }
        let max_moves = if max_moves == 0 { 3 * (size * size) as u32 } else { max_moves };
        let row = (1_u128 << size) - 1;
        let points = (0..size).fold(0, |points, i| points | row << (i * STRIDE));
        Ok(Self { size, komi, margin: 0.0, max_moves, points })
    }

    /// The same rules with this share of the reward made by the difference in points.
    ///
    /// # Errors
    /// If it is not 0 to below 1.
    pub fn with_margin(self, margin: f64) -> Result<Self, EnvError> {
        if !(0.0..1.0).contains(&margin) {
            let (expected, found) = ("0 to below 1", margin.to_string());
            return Err(EnvError::Setting { field: "margin", expected, found });
        }
        Ok(Self { margin, ..self })
    }

    /// Points of the first side, stones and what they alone surround, less those of the second and `komi`.
    pub fn score(&self, position: &GoPosition) -> f64 {
        let [first, second] = position.stones.held;
        let empty = self.empty(position);
        let reached = |stones| flood(next_to(stones), empty, next_to);
        let (by_first, by_second) = (reached(first), reached(second));
        let area = |stones: u128, own: u128, other: u128| (stones | own & !other).count_ones();
        let margin =
            f64::from(area(first, by_first, by_second)) - f64::from(area(second, by_second, by_first));
        margin - self.komi
    }

    /// The action that is written so, in small or capital letters: the inverse of [`Rules::notation`].
    pub fn action_of(&self, name: &str) -> Option<usize> {
        (0..self.actions()).find(|&action| self.notation(action).eq_ignore_ascii_case(name))
    }

    /// The action of passing.
    fn pass(&self) -> usize {
        self.size * self.size
    }

    /// The bit of an action that is not a pass.
    #[inline]
    fn bit(&self, action: usize) -> u32 {
        (action / self.size * STRIDE + action % self.size) as u32
    }

    #[inline]
    fn empty(&self, position: &GoPosition) -> u128 {
        self.points & !position.stones.taken()
    }

    /// The points on which the side to move may place a stone.
    fn moves(&self, position: &GoPosition) -> u128 {
        let mover = position.stones.to_move;
        let [own, other] = [mover, mover.other()].map(|side| position.stones.held[side.index()]);
        let empty = self.empty(position);
        // A stone with an empty point beside it has a liberty.
        let open = empty & next_to(empty);
        let closed = empty & !open;
        let may_repeat = empty & position.lost[mover.index()];
        let mut moves = open;
        for group in groups(next_to(closed), own) {
            let liberties = next_to(group) & empty;
            if !liberties.is_power_of_two() {
                moves |= liberties;
            }
        }
        let mut captures = 0;
        for group in groups(next_to(closed | may_repeat), other) {
            let liberties = next_to(group) & empty;
            if liberties.is_power_of_two() {
                captures |= liberties;
            }
        }
        moves |= captures;
        for bit in bits(moves & may_repeat) {
            let point = 1 << bit;
            let taken = if captures & point == 0 { 0 } else { other & !alive(other, empty & !point) };
            if position.earlier.contains(&position.hash_after(bit, taken)) {
                moves &= !point;
            }
        }
        moves
    }

    /// What the score means for a side.
    fn verdict(&self, position: &GoPosition, side: Side) -> Verdict {
        let score = self.score(position);
        if score == 0.0 {
            Verdict::Draw
        } else if (score > 0.0) == (side == Side::First) {
            Verdict::Win
        } else {
            Verdict::Loss
        }
    }
}

impl GoPosition {
    /// Hash of the board after the side to move places a stone and takes those of the other side.
    #[inline]
    fn hash_after(&self, bit: u32, taken: u128) -> u64 {
        let mover = self.stones.to_move;
        let placed = self.hash ^ KEYS[mover.index()][bit as usize];
        bits(taken).fold(placed, |hash, bit| hash ^ KEYS[mover.other().index()][bit as usize])
    }

    /// Places a stone of the side to move and hands the turn over.
    fn place(&mut self, bit: u32, points: u128) {
        let other = self.stones.to_move.other().index();
        let empty = points & !self.stones.taken() & !(1 << bit);
        let taken = self.stones.held[other] & !alive(self.stones.held[other], empty);
        self.earlier.push(self.hash);
        self.hash = self.hash_after(bit, taken);
        self.lost[other] |= taken;
        self.stones.held[other] &= !taken;
        self.stones.place(bit);
    }
}

/// The neighbours of a set of points along the lines, and some bits that are no points.
#[inline]
fn next_to(set: u128) -> u128 {
    set << 1 | set >> 1 | set << STRIDE | set >> STRIDE
}

/// Those of one side's stones whose groups have a liberty among the empty points.
#[inline]
fn alive(stones: u128, empty: u128) -> u128 {
    flood(next_to(empty), stones, next_to)
}

/// The groups of one side's stones that have a stone among `seeds`.
#[inline]
fn groups(seeds: u128, stones: u128) -> impl Iterator<Item = u128> {
    let mut left = seeds & stones;
    std::iter::from_fn(move || {
        let bit = (left != 0).then(|| left.trailing_zeros())?;
        let group = flood(1 << bit, stones, next_to);
        left &= !group;
        Some(group)
    })
}

/// Numbers of Steele, Lea and Flood's SplitMix64, the same in every program.
const fn keys() -> [[u64; STRIDE * LARGEST]; 2] {
    let mut keys = [[0; STRIDE * LARGEST]; 2];
    let mut state = 0_u64;
    let mut i = 0;
    while i < 2 * STRIDE * LARGEST {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut key = state;
        key = (key ^ key >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        key = (key ^ key >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        keys[i / (STRIDE * LARGEST)][i % (STRIDE * LARGEST)] = key ^ key >> 31;
        i += 1;
    }
    keys
}

impl Rules for Go {
    type Position = GoPosition;

    const EXTRA_PLANES: usize = 2;

    const LETTERS: [char; 3] = ['.', 'X', 'O'];

    fn size(&self) -> [usize; 2] {
        [self.size; 2]
    }

    fn actions(&self) -> usize {
        self.pass() + 1
    }

    fn start(&self) -> GoPosition {
        GoPosition::default()
    }

    fn to_move(&self, position: &GoPosition) -> Side {
        position.stones.to_move
    }

    #[inline]
    fn legal(&self, position: &GoPosition, legal: &mut [bool]) {
        let moves = self.moves(position);
        let (points, pass) = legal.split_at_mut(self.pass());
        for (row, points) in points.chunks_exact_mut(self.size).enumerate() {
            let moves = (moves >> (row * STRIDE)) as u32;
            for (column, legal) in points.iter_mut().enumerate() {
                *legal = moves >> column & 1 == 1;
            }
        }
        pass.fill(true);
    }

    #[inline]
    fn play(&self, position: &mut GoPosition, action: usize) -> Option<Verdict> {
        let mover = position.stones.to_move;
        position.moves += 1;
        if action == self.pass() {
            position.passes += 1;
            position.stones.to_move = mover.other();
        } else {
            position.passes = 0;
            position.place(self.bit(action), self.points);
        }
        let over = position.passes >= 2 || position.moves >= self.max_moves;
        over.then(|| self.verdict(position, mover))
    }

    fn reward(&self, end: &GoPosition, verdict: Verdict) -> f64 {
        if self.margin == 0.0 {
            return verdict.reward();
        }
        let points = self.score(end) / (self.size * self.size) as f64;
        // Whose turn it would be is not who made the last move.
        let own = if end.stones.to_move == Side::Second { points } else { -points };
        (1.0 - self.margin) * verdict.reward() + self.margin * own.clamp(-1.0, 1.0)
    }

    #[inline]
    fn piece(&self, position: &GoPosition, row: usize, column: usize) -> Option<Side> {
        position.stones.holder((row * STRIDE + column) as u32)
    }

    /// Whether one is the first side; whether the last move was a pass.
    #[inline]
    fn is_set(&self, position: &GoPosition, plane: usize, seen_from: Side) -> bool {
        if plane == 0 { seen_from == Side::First } else { position.passes > 0 }
    }

    /// The column's letter and the row's number from the bottom, or `pass`.
    fn notation(&self, action: usize) -> String {
        if action == self.pass() {
            return "pass".to_owned();
        }
        let (row, column) = (action / self.size, action % self.size);
        format!("{}{}", char::from(COLUMNS[column]), self.size - row)
    }

    fn draw(&self, position: &GoPosition) -> Frame {
        goban::draw(self.size, COLUMNS, |row, column| self.piece(position, row, column))
    }
}

#[cfg(test)]
mod tests;
