//! What the board games share: positions on bitboards, and the environment around a game's rules.
//!
//! The rules are pure functions of a [`Position`]; who answers the agent's moves, what is observed and what is rewarded
//! is the same for all games and decided here.

use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use crate::{Action, Env, Frame, Pcg64, Space, Step};

/// Who moves for the other side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Opponent {
    /// The same row acts for both sides in turn.
    #[default]
    #[serde(rename = "self")]
    SelfPlay,
    /// The environment answers with a uniformly random legal move.
    Random,
}

/// Arguments of every board game.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BoardArguments {
    /// Who moves for the other side.
    pub opponent: Opponent,
}

/// A position, from the side of whoever is to move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Bits of the squares that the side to move holds.
    pub own: u64,
    /// Bits of the squares that the other side holds.
    pub other: u64,
    /// Whether the side that moved first in the game is to move.
    pub first_to_move: bool,
}

impl Position {
    /// The same position, from the other side.
    #[must_use]
    pub fn swapped(self) -> Self {
        Self { own: self.other, other: self.own, first_to_move: !self.first_to_move }
    }

    /// Pieces of the side that moved first, and of the other one.
    pub fn colours(self) -> [u64; 2] {
        if self.first_to_move { [self.own, self.other] } else { [self.other, self.own] }
    }
}

/// How a game ended for the side that made the last move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It won.
    Win,
    /// Nobody won.
    Draw,
    /// It lost.
    Loss,
}

impl Verdict {
    fn reward(self) -> f64 {
        match self {
            Self::Win => 1.0,
            Self::Draw => 0.0,
            Self::Loss => -1.0,
        }
    }
}

/// The rules of a game on a board of at most 64 squares, and its looks.
pub trait Rules: Clone + Send + Sync + 'static {
    /// Rows of the board.
    const ROWS: usize;
    /// Columns of the board.
    const COLUMNS: usize;
    /// Number of actions; at most 128.
    const ACTIONS: usize;

    /// The position that a game starts from.
    fn start() -> Position;

    /// A bit for each action that the side to move may take. There is one in every position of a running game.
    fn legal(position: Position) -> u128;

    /// Makes a legal move and hands the turn to the other side; how the game ended, if it did.
    fn play(position: &mut Position, action: usize) -> Option<Verdict>;

    /// The bit of a square; row 0 is the top one.
    fn square(row: usize, column: usize) -> u32 {
        (row * Self::COLUMNS + column) as u32
    }

    /// A picture.
    fn draw(position: Position) -> Frame;

    /// The letters of an empty square, the first side's pieces and the second side's.
    const LETTERS: [char; 3];
}

/// A board game as an environment; see the pages of the games.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct BoardGame<R> {
    position: Position,
    opponent: Opponent,
    /// Whether the agent has the first move; drawn at reset if it plays against an opponent.
    agent_is_first: bool,
    over: bool,
    rules: PhantomData<fn() -> R>,
}

impl<R: Rules> BoardGame<R> {
    pub(super) fn new(arguments: BoardArguments) -> Self {
        Self {
            position: R::start(),
            opponent: arguments.opponent,
            agent_is_first: true,
            over: false,
            rules: PhantomData,
        }
    }

    /// The current position.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Makes the other side's move.
    fn answer(&mut self, rng: &mut Pcg64) -> Option<Verdict> {
        let legal = R::legal(self.position);
        let pick = rng.integers(0, i64::from(legal.count_ones()).max(1)) as u32;
        R::play(&mut self.position, nth_bit(legal, pick))
    }

    /// Writes the planes, from the side of the agent or, in self-play, of whoever is to move.
    fn observe(&self, obs: &mut [u8]) {
        let agents_turn = self.position.first_to_move == self.agent_is_first;
        let seen = if self.opponent == Opponent::Random && !agents_turn {
            self.position.swapped()
        } else {
            self.position
        };
        let plane = |board: u64, square: u32| if board >> square & 1 == 1 { 255 } else { 0 };
        let (squares, _) = obs.as_chunks_mut::<2>();
        for (i, out) in squares.iter_mut().enumerate() {
            let square = R::square(i / R::COLUMNS, i % R::COLUMNS);
            *out = [plane(seen.own, square), plane(seen.other, square)];
        }
    }
}

/// The place of the set bit number `n`, from the lowest.
fn nth_bit(mut bits: u128, n: u32) -> usize {
    for _ in 0..n {
        bits &= bits.wrapping_sub(1);
    }
    bits.trailing_zeros() as usize
}

impl<R: Rules> Env for BoardGame<R> {
    type Obs = u8;

    #[expect(clippy::expect_used, reason = "constants of the rules")]
    fn observation_space(&self) -> Space {
        Space::image_u8(&[R::ROWS, R::COLUMNS, 2]).expect("a board is not empty")
    }

    #[expect(clippy::expect_used, reason = "a constant of the rules")]
    fn action_space(&self) -> Space {
        Space::discrete(R::ACTIONS).expect("a game has moves")
    }

    fn reset(&mut self, rng: &mut Pcg64, obs: &mut [u8]) {
        self.position = R::start();
        self.over = false;
        if self.opponent == Opponent::Random {
            self.agent_is_first = rng.integers(0, 2) == 0;
            if !self.agent_is_first {
                self.answer(rng);
            }
        }
        self.observe(obs);
    }

    fn step(&mut self, action: Action<'_>, rng: &mut Pcg64, obs: &mut [u8]) -> Step {
        let mut reward = 0.0;
        let mut verdict = R::play(&mut self.position, action.index());
        if let Some(verdict) = verdict {
            reward = verdict.reward();
        } else if self.opponent == Opponent::Random {
            verdict = self.answer(rng);
            reward = verdict.map_or(0.0, |verdict| -verdict.reward());
        }
        self.over = verdict.is_some();
        self.observe(obs);
        // `+ 0.0`: a draw that the other side made is no negative zero.
        if self.over { Step::terminated(reward + 0.0) } else { Step::running(0.0) }
    }

    fn has_action_mask(&self) -> bool {
        true
    }

    /// After the end every action is allowed: the next one is ignored.
    fn action_mask(&self, mask: &mut [bool]) {
        let legal = if self.over { u128::MAX } else { R::legal(self.position) };
        for (action, allowed) in mask.iter_mut().enumerate() {
            *allowed = legal >> action & 1 == 1;
        }
    }

    fn render(&self) -> Option<Frame> {
        Some(R::draw(self.position))
    }

    fn render_text(&self) -> Option<String> {
        let [first, second] = self.position.colours();
        let letter = |row, column| {
            let bit = 1 << R::square(row, column);
            R::LETTERS[if first & bit != 0 { 1 } else { 2 * usize::from(second & bit != 0) }]
        };
        let line = |row| (0..R::COLUMNS).map(|column| letter(row, column)).collect::<String>();
        let mut lines: Vec<String> = (0..R::ROWS).map(line).collect();
        let turn = R::LETTERS[if self.position.first_to_move { 1 } else { 2 }];
        lines.push(if self.over { "game over".to_owned() } else { format!("{turn} to move") });
        Some(lines.join("\n"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Number of positions that `depth` moves lead to, a pass counted as a move; games that end earlier count none.
    pub(in crate::board) fn perft<R: Rules>(position: Position, depth: u32) -> u64 {
        let mut legal = R::legal(position);
        if depth == 1 {
            return u64::from(legal.count_ones());
        }
        let mut count = 0;
        while legal != 0 {
            let mut next = position;
            if R::play(&mut next, legal.trailing_zeros() as usize).is_none() {
                count += perft::<R>(next, depth - 1);
            }
            legal &= legal - 1;
        }
        count
    }

    #[test]
    fn the_set_bits_are_numbered_from_the_lowest() {
        let bits = 1 << 3 | 1 << 64 | 1 << 100;
        assert_eq!([0, 1, 2].map(|n| nth_bit(bits, n)), [3, 64, 100]);
    }
}
