//! What a MinAtar game is: rules on a 10 by 10 grid.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::random::Mt19937;
use crate::render::Color;

/// Cells in a row and rows of the grid.
pub const SIDE: usize = 10;
/// Cells of the grid.
pub const CELLS: usize = SIDE * SIDE;
/// What a set bit of an observation is written as: networks scale bytes by 1/255 and see 1.
const SET: u8 = u8::MAX;

/// An observation: for each cell, row by row, a byte for each of `C` channels.
pub type Image<const C: usize> = [[u8; C]; CELLS];

/// What a player can do. A game treats those it has no rule for as `Noop`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GameAction {
    /// Nothing.
    #[default]
    Noop,
    /// Go to the left.
    Left,
    /// Go up.
    Up,
    /// Go to the right.
    Right,
    /// Go down.
    Down,
    /// Shoot.
    Fire,
}

impl GameAction {
    /// All actions, by their number.
    pub const ALL: [Self; 6] = [Self::Noop, Self::Left, Self::Up, Self::Right, Self::Down, Self::Fire];

    /// The column that a player in column `x` goes to. Without a branch: a random action is mispredicted too often.
    #[inline]
    pub(super) fn column(self, x: u8) -> u8 {
        (x + u8::from(self == Self::Right)).min(SIDE as u8 - 1).saturating_sub(u8::from(self == Self::Left))
    }

    /// The row in `top..=bottom` that a player in row `y` goes to.
    #[inline]
    pub(super) fn row(self, y: u8, top: u8, bottom: u8) -> u8 {
        (y + u8::from(self == Self::Down)).min(bottom).saturating_sub(u8::from(self == Self::Up)).max(top)
    }
}

/// What a step gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Points.
    pub reward: u32,
    /// Whether the game is over.
    pub terminated: bool,
}

/// One channel of the observation, as it is shown to people.
#[derive(Clone, Copy, Debug)]
pub struct Channel {
    /// What it stands for.
    pub name: &'static str,
    /// Its letter in a text.
    pub letter: char,
    /// Its colour in a picture.
    pub color: Color,
}

/// The rules of a game whose observation has `C` channels.
pub trait Game<const C: usize>:
    Clone + Default + Send + Sync + Serialize + DeserializeOwned + 'static
{
    /// The actions that the game has a rule for, `Noop` first.
    const MINIMAL_ACTIONS: &'static [GameAction];

    /// The channels of the observation; in pictures a later one covers an earlier one.
    const CHANNELS: [Channel; C];

    /// Starts a new game. Sets every field.
    fn reset(&mut self, rng: &mut Mt19937);

    /// Takes a step of a game that is not over. Everything moves to the end of the step even where it ends the game.
    fn step(&mut self, action: GameAction, ramping: bool, rng: &mut Mt19937) -> Outcome;

    /// Sets the bytes of the observation that are not zero, given one that is.
    fn observe(&self, image: &mut Image<C>);
}

/// Sets a channel of the cell in column `x` and row `y`.
#[inline]
pub(super) fn set<const C: usize>(image: &mut Image<C>, x: u8, y: u8, channel: usize) {
    image[usize::from(y) * SIDE + usize::from(x)][channel] = SET;
}

/// Sets a channel of the cell in column `x` and row `y` where `condition` holds, without a branch: the channel must not
/// have been set there before, and `x` is clamped to the grid.
#[inline]
pub(super) fn set_if<const C: usize>(image: &mut Image<C>, condition: bool, x: u8, y: u8, channel: usize) {
    let x = usize::from(x).min(SIDE - 1);
    image[usize::from(y) * SIDE + x][channel] = if condition { SET } else { 0 };
}

/// The column that lies behind one that moves to the right, or to the left; outside of the grid it is 10 or more.
#[inline]
pub(super) fn behind(x: u8, right: bool) -> u8 {
    ahead(x, !right)
}

/// The column that lies ahead; outside of the grid it is 10 or more.
#[inline]
pub(super) fn ahead(x: u8, right: bool) -> u8 {
    if right { x.wrapping_add(1) } else { x.wrapping_sub(1) }
}

/// Whether a column is in the grid.
#[inline]
pub(super) fn in_grid(x: u8) -> bool {
    usize::from(x) < SIDE
}
