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
    /// The best checkpoint instead of the newest.
    #[arg(long, conflicts_with = "step")]
    pub(in crate::cli) best: bool,
    /// The checkpoint after so many environment steps, one of those that the run keeps.
    #[arg(long)]
    pub(in crate::cli) step: Option<u64>,
}
