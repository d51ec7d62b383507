//! Arguments of `positions`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

#[derive(Debug, Args)]
#[command(
    after_help = "A file has a line for each position: its set, the moves that lead to it with commas between (- for none), and a score of each action for the side to move, x where it is not allowed. An outcome error gives away a win or a draw.\n\nExample:\n  agon positions results/alphazero_ConnectFour-v0_1 results/alphazero/connect_four.txt --simulations 64"
)]
pub(in crate::cli) struct PositionsArgs {
    /// A run's directory or a weight file.
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(in crate::cli) source: PathBuf,
    /// Positions and what a solver says of their moves.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(in crate::cli) positions: PathBuf,
    /// Simulations before each move: 0 for the network alone, by default as many as in training.
    #[arg(long, value_parser = clap::value_parser!(u64).range(0..=100_000))]
    pub(in crate::cli) simulations: Option<u64>,
    /// Another setting of the search before each move, such as `looks=8` (mirrored and turned looks of a position that the network
    /// is asked about, whose mean counts) or `kind.gumbel.c_scale=0.5`, as those of `agent.search` of alphazero; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(in crate::cli) search: Vec<String>,
    /// The best checkpoint instead of the newest.
    #[arg(long, conflicts_with = "step")]
    pub(in crate::cli) best: bool,
    /// The checkpoint after so many environment steps, one of those that the run keeps.
    #[arg(long)]
    pub(in crate::cli) step: Option<u64>,
    /// Every checkpoint whose weights are kept (runtime.keep_models), of all runs if it is an experiment.
    #[arg(long, conflicts_with_all = ["step", "best"])]
    pub(in crate::cli) all: bool,
    /// With --all, draw outcome errors over hours of training; .svg or .png.
    #[arg(long, value_name = "FILE", requires = "all")]
    pub(in crate::cli) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Prints a file for `agon positions`: positions that differ, after so many random moves, with the score of every move if both sides then play without a mistake: discs in Othello, 1, 0 or -1 in TicTacToe and ConnectFour.\n\nExample:\n  agon solve Othello-v0 --arg size=6 --moves 20 --count 1000 > positions.txt"
)]
pub(in crate::cli) struct SolveArgs {
    /// The game.
    pub(in crate::cli) env: String,
    /// An argument of the game, as `size=6`; may be repeated.
    #[arg(long = "arg", value_name = "NAME=VALUE")]
    pub(in crate::cli) args: Vec<String>,
    /// Random moves that lead to a position.
    #[arg(long, value_parser = clap::value_parser!(u64).range(0..=1000))]
    pub(in crate::cli) moves: u64,
    /// Positions.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(in crate::cli) count: u64,
    /// Positions that may be looked at to solve one; those that take more are passed over.
    #[arg(long, default_value_t = 100_000_000)]
    pub(in crate::cli) most: u64,
    /// Seed of the random moves.
    #[arg(long, default_value_t = 0)]
    pub(in crate::cli) seed: u64,
    /// What the set is called.
    #[arg(long, default_value = "solved")]
    pub(in crate::cli) set: String,
}
