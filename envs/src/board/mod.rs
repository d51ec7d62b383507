//! Board games for two players who move in turn.
//!
//! Both sides act in one row, or the environment moves for one of them ([`Opponent`]); legal moves are given as masks.

pub mod connect_four;
mod game;
pub mod othello;
pub mod tic_tac_toe;

pub use connect_four::ConnectFour;
pub use game::{BoardArguments, BoardGame, Opponent, Position, Rules, Verdict};
pub use othello::Othello;
pub use tic_tac_toe::TicTacToe;

use crate::{EnvError, EnvSpec, Registry};

/// Adds the environments of this module.
pub(crate) fn register(registry: &mut Registry) -> Result<(), EnvError> {
    registry.register(
        EnvSpec::single("TicTacToe-v0", |args| Ok(BoardGame::<TicTacToe>::new(args)))
            .summary("Three in a row on nine squares, against oneself or a random player.")
            .page(include_str!("tic_tac_toe.rs")),
    )?;
    registry.register(
        EnvSpec::single("ConnectFour-v0", |args| Ok(BoardGame::<ConnectFour>::new(args)))
            .summary("Four in a row of falling discs, against oneself or a random player.")
            .page(include_str!("connect_four.rs")),
    )?;
    registry.register(
        EnvSpec::single("Othello-v0", |args| Ok(BoardGame::<Othello>::new(args)))
            .summary("Turn the other side's discs by enclosing them, against oneself or a random player.")
            .page(include_str!("othello.rs")),
    )
}

#[cfg(test)]
mod tests;
