//! Board games for two players who move in turn.
//!
//! Each side is a row, or the environment moves for one of them ([`Opponent`]); legal moves are given as masks. A game is
//! the [`Rules`] of a file of its own; what is observed and rewarded is the same for all and decided in [`BoardGame`].

pub mod connect_four;
pub mod exact;
mod game;
pub mod go;
mod goban;
pub mod gomoku;
pub mod hex;
pub mod othello;
mod stones;
pub mod symmetry;
pub mod tic_tac_toe;

pub use connect_four::ConnectFour;
pub use exact::{Exact, Solver, Unsolved, solver};
pub use game::{Bitboards, BoardArguments, BoardGame, Opponent, Rules, Side, Verdict};
pub use go::{Go, GoArguments, GoPosition};
pub use gomoku::{Gomoku, GomokuArguments};
pub use hex::{Hex, HexArguments};
pub use othello::{Othello, OthelloArguments};
pub use stones::Stones;
pub use symmetry::square_symmetries;
pub use tic_tac_toe::TicTacToe;

use crate::{EnvError, EnvSpec, Registry};

/// Adds the environments of this module.
pub(crate) fn register(registry: &mut Registry) -> Result<(), EnvError> {
    registry.register(
        EnvSpec::ecs("TicTacToe-v0", |args: BoardArguments| Ok(BoardGame::new(TicTacToe, args.opponent)))
            .summary("Three in a row on nine squares, against a random player or oneself.")
            .page(include_str!("tic_tac_toe.rs")),
    )?;
    registry.register(
        EnvSpec::ecs("ConnectFour-v0", |args: BoardArguments| Ok(BoardGame::new(ConnectFour, args.opponent)))
            .summary("Four in a row of falling discs, against a random player or oneself.")
            .page(include_str!("connect_four.rs")),
    )?;
    registry.register(
        EnvSpec::ecs("Othello-v0", |args: OthelloArguments| {
            Ok(BoardGame::new(Othello::new(args.size)?, args.opponent))
        })
        .summary("Turn the other side's discs by enclosing them, against a random player or oneself.")
        .page(include_str!("othello.rs")),
    )?;
    registry.register(
        EnvSpec::ecs("Go-v0", |args: GoArguments| {
            let rules = Go::new(args.size, args.komi, args.max_moves)?.with_margin(args.margin)?;
            Ok(BoardGame::new(rules, args.opponent))
        })
        .summary("Surround more of a small board than the other side, against a random player or oneself.")
        .page(include_str!("go.rs")),
    )?;
    registry.register(
        EnvSpec::ecs("Hex-v0", |args: HexArguments| {
            Ok(BoardGame::new(Hex::new(args.size, args.swap)?, args.opponent))
        })
        .summary("Join two opposite edges of a rhombus of hexagons, against a random player or oneself.")
        .page(include_str!("hex.rs")),
    )?;
    registry.register(
        EnvSpec::ecs("Gomoku-v0", |args: GomokuArguments| {
            Ok(BoardGame::new(Gomoku::new(args.size, args.row)?, args.opponent))
        })
        .summary("Five in a row on a Go board, against a random player or oneself.")
        .page(include_str!("gomoku.rs")),
    )
}

#[cfg(test)]
mod tests;
