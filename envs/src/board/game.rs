//! What the board games share: the rules of a game as pure functions of a position, and the environment around them.
//!
//! The main decision: a game against oneself has two rows, one for each side, so that every learner of several agents can
//! play it and every return is of one side. Who is not to move *waits*: only action 0 is legal for it, and is ignored. What
//! a side observes never depends on which row is asked about: own pieces, the other side's, and whose turn it is.

use std::marker::PhantomData;

use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::simulator::{
    ActionMasks, Actions, Arena, EcsEnv, EnvRng, Observations, Outcomes, Row, Scope, SimulatorBuilder,
};
use crate::{Frame, Pcg64, Space};

/// Who moves for the other side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Opponent {
    /// The environment answers with a uniformly random legal move: one row, whose side is drawn.
    #[default]
    Random,
    /// Each side is a row of its own.
    #[serde(rename = "self")]
    SelfPlay,
}

/// Arguments of every board game.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BoardArguments {
    /// Who moves for the other side.
    pub opponent: Opponent,
}

/// A side of a game.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Side {
    /// The side that moves first: black in Go and Othello, crosses in tic-tac-toe.
    #[default]
    First,
    /// The other one.
    Second,
}

impl Side {
    /// The other side.
    #[must_use]
    #[inline]
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }

    /// Zero for the first side, one for the second.
    #[inline]
    pub fn index(self) -> usize {
        self as usize
    }

    /// The side of a number, of which only the lowest bit counts.
    #[inline]
    pub fn of(index: usize) -> Self {
        if index & 1 == 0 { Self::First } else { Self::Second }
    }
}

/// A position of a game on at most 64 squares, from the side of whoever is to move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Bitboards {
    /// Bits of the squares that the side to move holds.
    pub own: u64,
    /// Bits of the squares that the other side holds.
    pub other: u64,
    /// Whose turn it is.
    pub to_move: Side,
}

impl Bitboards {
    /// The same position, from the other side.
    #[must_use]
    #[inline]
    pub fn swapped(self) -> Self {
        Self { own: self.other, other: self.own, to_move: self.to_move.other() }
    }

    /// Pieces of the side that moved first, and of the other one.
    pub fn colours(self) -> [u64; 2] {
        match self.to_move {
            Side::First => [self.own, self.other],
            Side::Second => [self.other, self.own],
        }
    }

    /// Who holds the square of a bit.
    #[inline]
    pub(super) fn holder(self, bit: u32) -> Option<Side> {
        if self.own >> bit & 1 == 1 {
            Some(self.to_move)
        } else {
            (self.other >> bit & 1 == 1).then(|| self.to_move.other())
        }
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
    /// 1, 0 or −1.
    pub(super) fn reward(self) -> f64 {
        match self {
            Self::Win => 1.0,
            Self::Draw => 0.0,
            Self::Loss => -1.0,
        }
    }
}

/// The rules of a game, and its looks. Sides move strictly in turn: a pass is a move.
pub trait Rules: Clone + Send + Sync + 'static {
    /// All that the future of a game depends on.
    type Position: Clone + Send + Sync + Serialize + DeserializeOwned + 'static;

    /// Planes of an observation beside those that all games have.
    const EXTRA_PLANES: usize = 0;

    /// The letters of an empty square, the first side's pieces and the second side's.
    const LETTERS: [char; 3];

    /// Rows and columns of the board.
    fn size(&self) -> [usize; 2];

    /// Number of actions.
    fn actions(&self) -> usize;

    /// The position that a game starts from.
    fn start(&self) -> Self::Position;

    /// Whose turn it is.
    fn to_move(&self, position: &Self::Position) -> Side;

    /// Writes which actions the side to move may take. There is one in every position of a running game.
    ///
    /// # Shapes
    /// `legal`: `[A]`, all false.
    fn legal(&self, position: &Self::Position, legal: &mut [bool]);

    /// Makes a legal move and hands the turn to the other side; how the game ended, if it did.
    fn play(&self, position: &mut Self::Position, action: usize) -> Option<Verdict>;

    /// By how much the side that made the last move won; below zero if it lost. Wins are alike unless the game counts them.
    fn margin(&self, _end: &Self::Position, verdict: Verdict) -> i32 {
        match verdict {
            Verdict::Win => 1,
            Verdict::Draw => 0,
            Verdict::Loss => -1,
        }
    }

    /// What the end is worth for the side that made the last move, −1 to 1; the other side's is as much below zero. A win is above
    /// zero.
    fn reward(&self, _end: &Self::Position, verdict: Verdict) -> f64 {
        verdict.reward()
    }

    /// Who holds a square; row 0 is the top one.
    fn piece(&self, position: &Self::Position, row: usize, column: usize) -> Option<Side>;

    /// Whether an extra plane is set, all of it, for who sees the position from a side.
    fn is_set(&self, _position: &Self::Position, _plane: usize, _seen_from: Side) -> bool {
        false
    }

    /// How a move is written.
    fn notation(&self, action: usize) -> String;

    /// A picture.
    fn draw(&self, position: &Self::Position) -> Frame;

    /// The position as lines of letters, without the line that says whose turn it is.
    fn text(&self, position: &Self::Position) -> Vec<String> {
        let [rows, columns] = self.size();
        let letter = |row, column| match self.piece(position, row, column) {
            None => Self::LETTERS[0],
            Some(side) => Self::LETTERS[1 + side.index()],
        };
        (0..rows).map(|row| (0..columns).map(|column| letter(row, column)).collect()).collect()
    }
}

/// A board game as an environment; see the pages of the games.
#[derive(Clone, Debug)]
pub struct BoardGame<R> {
    rules: R,
    opponent: Opponent,
}

/// The rules of a world's games.
#[derive(Resource)]
struct Table<R: Rules> {
    rules: R,
    opponent: Opponent,
}

/// One game.
#[derive(Component, Clone, Serialize, Deserialize)]
#[serde(bound = "")]
struct Game<R: Rules> {
    position: R::Position,
    /// The agent's side, if it plays against an opponent.
    agent: Side,
    over: bool,
    rules: PhantomData<fn() -> R>,
}

impl<R: Rules> BoardGame<R> {
    /// A game with these rules.
    pub fn new(rules: R, opponent: Opponent) -> Self {
        Self { rules, opponent }
    }
}

impl<R: Rules> EcsEnv for BoardGame<R> {
    #[expect(clippy::expect_used, reason = "constants of the rules")]
    fn observation_space(&self) -> Space {
        let [rows, columns] = self.rules.size();
        Space::image_u8(&[rows, columns, planes::<R>()]).expect("a board is not empty")
    }

    #[expect(clippy::expect_used, reason = "a constant of the rules")]
    fn action_space(&self) -> Space {
        Space::discrete(self.rules.actions()).expect("a game has moves")
    }

    fn num_agents(&self) -> Option<usize> {
        (self.opponent == Opponent::SelfPlay).then_some(2)
    }

    fn action_names(&self) -> Vec<String> {
        (0..self.rules.actions()).map(|action| self.rules.notation(action)).collect()
    }

    fn teams(&self) -> Vec<String> {
        let teams: &[&str] = if self.opponent == Opponent::SelfPlay { &["first", "second"] } else { &[] };
        teams.iter().map(|&team| team.to_owned()).collect()
    }

    fn has_action_mask(&self) -> bool {
        true
    }

    fn build(&self, simulator: &mut SimulatorBuilder) {
        let game =
            Game::<R> { position: self.rules.start(), agent: Side::First, over: false, rules: PhantomData };
        simulator
            .arena_component(game)
            .constant(Table { rules: self.rules.clone(), opponent: self.opponent })
            .dynamics(play::<R>)
            .observe((observe::<R>, mask::<R>))
            .reset(reset::<R>)
            .stays_in_scope();
        let rules = self.rules.clone();
        simulator.draw(move |world, arena| Some(rules.draw(&world.get::<Game<R>>(arena)?.position)));
        let rules = self.rules.clone();
        simulator.write(move |world, arena| Some(world.get::<Game<R>>(arena)?.text(&rules)));
        if self.opponent == Opponent::SelfPlay {
            let rules = self.rules.clone();
            simulator.turns(move |world, arena| {
                world.get::<Game<R>>(arena).map_or(0, |game| rules.to_move(&game.position).index())
            });
        }
    }
}

/// Planes of an observation: own pieces, the other side's, whether it is one's turn, and the game's own.
const fn planes<R: Rules>() -> usize {
    3 + R::EXTRA_PLANES
}

impl<R: Rules> Table<R> {
    /// The row of a side, if it has one.
    #[inline]
    fn row(&self, arena: Arena, game: &Game<R>, side: Side) -> Option<Row> {
        match self.opponent {
            Opponent::SelfPlay => Some(Row(2 * arena.0 + side.index() as u32)),
            Opponent::Random => (side == game.agent).then_some(Row(arena.0)),
        }
    }

    /// Makes a random move for the side to move.
    fn answer(&self, game: &mut Game<R>, rng: &mut Pcg64) -> Option<Verdict> {
        let mut legal = [false; MOST_ACTIONS];
        let legal = &mut legal[..self.rules.actions()];
        self.rules.legal(&game.position, legal);
        let count = legal.iter().filter(|&&legal| legal).count() as i64;
        let pick = rng.integers(0, count.max(1)) as usize;
        let mut moves = legal.iter().enumerate().filter(|&(_, &legal)| legal);
        let action = moves.nth(pick).map_or(0, |(action, _)| action);
        self.rules.play(&mut game.position, action)
    }
}

/// More actions than any game has: the largest board of 11 × 11 has one beside its squares.
const MOST_ACTIONS: usize = 128;

impl<R: Rules> Game<R> {
    fn text(&self, rules: &R) -> String {
        let mut lines = rules.text(&self.position);
        let turn = R::LETTERS[1 + rules.to_move(&self.position).index()];
        lines.push(if self.over { "game over".to_owned() } else { format!("{turn} to move") });
        lines.join("\n")
    }
}

fn play<R: Rules>(
    scope: Res<Scope>,
    table: Res<Table<R>>,
    actions: Res<Actions>,
    mut games: Query<(&Arena, &mut Game<R>, &mut EnvRng)>,
    mut outcomes: ResMut<Outcomes>,
) {
    scope.for_each(&mut games, |(&arena, mut game, mut rng)| {
        let mover = table.rules.to_move(&game.position);
        let Some(row) = table.row(arena, &game, mover) else { return };
        let mut verdict = table.rules.play(&mut game.position, actions.row(row).index());
        let reward = |game: &Game<R>, verdict: Option<Verdict>| {
            verdict.map_or(0.0, |verdict| table.rules.reward(&game.position, verdict))
        };
        let mut for_mover = reward(&game, verdict);
        if verdict.is_none() && table.opponent == Opponent::Random {
            verdict = table.answer(&mut game, &mut rng.0);
            for_mover = -reward(&game, verdict);
        }
        game.over = verdict.is_some();
        if game.over {
            for (side, reward) in [(mover, for_mover), (mover.other(), -for_mover)] {
                if let Some(row) = table.row(arena, &game, side) {
                    // `+ 0.0`: a draw is no negative zero.
                    outcomes.rewards[row.index()] = reward + 0.0;
                    outcomes.terminated[row.index()] = true;
                }
            }
        }
    });
}

fn reset<R: Rules>(scope: Res<Scope>, table: Res<Table<R>>, mut games: Query<(&mut Game<R>, &mut EnvRng)>) {
    scope.for_each(&mut games, |(mut game, mut rng)| {
        game.position = table.rules.start();
        game.over = false;
        if table.opponent == Opponent::Random {
            game.agent = Side::of(rng.0.integers(0, 2) as usize);
            if game.agent == Side::Second {
                table.answer(&mut game, &mut rng.0);
            }
        }
    });
}

fn observe<R: Rules>(
    scope: Res<Scope>,
    table: Res<Table<R>>,
    mut games: Query<(&Arena, &Game<R>)>,
    mut observations: ResMut<Observations>,
) {
    let [_, columns] = table.rules.size();
    let byte = |set: bool| if set { 255 } else { 0 };
    scope.for_each(&mut games, |(&arena, game)| {
        let to_move = table.rules.to_move(&game.position);
        for side in [Side::First, Side::Second] {
            let Some(row) = table.row(arena, game, side) else { continue };
            let turn = byte(side == to_move);
            let mut extra = [0_u8; MOST_EXTRA_PLANES];
            for (plane, extra) in extra[..R::EXTRA_PLANES].iter_mut().enumerate() {
                *extra = byte(table.rules.is_set(&game.position, plane, side));
            }
            let squares = observations.row_mut::<u8>(row).chunks_exact_mut(planes::<R>());
            for (i, square) in squares.enumerate() {
                let holder = table.rules.piece(&game.position, i / columns, i % columns);
                square[0] = byte(holder == Some(side));
                square[1] = byte(holder == Some(side.other()));
                square[2] = turn;
                square[3..].copy_from_slice(&extra[..R::EXTRA_PLANES]);
            }
        }
    });
}

/// More planes of its own than any game has.
const MOST_EXTRA_PLANES: usize = 4;

/// After the end every action is allowed: the next one is ignored.
fn mask<R: Rules>(
    scope: Res<Scope>,
    table: Res<Table<R>>,
    mut games: Query<(&Arena, &Game<R>)>,
    mut masks: ResMut<ActionMasks>,
) {
    scope.for_each(&mut games, |(&arena, game)| {
        let to_move = table.rules.to_move(&game.position);
        for side in [Side::First, Side::Second] {
            let Some(row) = table.row(arena, game, side) else { continue };
            let mask = masks.row_mut(row);
            mask.fill(game.over);
            if game.over {
                continue;
            }
            if side == to_move {
                table.rules.legal(&game.position, mask);
            } else {
                mask[0] = true;
            }
        }
    });
}

/// How a square is written: its column as a letter, its row as a number from the bottom.
pub(super) fn square_name(row: usize, column: usize, rows: usize) -> String {
    format!("{}{}", char::from(b'a' + column as u8), rows - row)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The legal actions of a position.
    pub(in crate::board) fn moves<R: Rules>(rules: &R, position: &R::Position) -> Vec<usize> {
        let mut legal = vec![false; rules.actions()];
        rules.legal(position, &mut legal);
        legal.iter().enumerate().filter(|&(_, &legal)| legal).map(|(action, _)| action).collect()
    }

    /// Number of positions that `depth` moves lead to, a pass counted as a move; games that end earlier count none.
    pub(in crate::board) fn perft<R: Rules>(rules: &R, position: &R::Position, depth: u32) -> u64 {
        let legal = moves(rules, position);
        if depth == 1 {
            return legal.len() as u64;
        }
        let after = |action| {
            let mut next = position.clone();
            if rules.play(&mut next, action).is_some() { 0 } else { perft(rules, &next, depth - 1) }
        };
        legal.into_iter().map(after).sum()
    }

    #[test]
    fn squares_are_named_from_the_bottom_left() {
        assert_eq!(square_name(7, 0, 8), "a1");
        assert_eq!(square_name(0, 7, 8), "h8");
    }
}
