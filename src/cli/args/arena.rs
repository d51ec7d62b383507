//! Arguments of `arena` and `gtp`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

#[derive(Debug, Args)]
#[command(
    after_help = "Players are `random`, `solver` or `solver#POSITIONS` (perfect as soon as it sees the end within so many positions, random before; in TicTacToe, ConnectFour and Othello), `gtp:COMMAND` (a program that speaks the Go Text Protocol), and runs or weight files, as PATH, PATH#SIMULATIONS (0 for the network alone) or PATH@STEP (a checkpoint that the run keeps), PATH@all for all whose weights it keeps (runtime.keep_models). Both colours of each opening are played. Ratings have 95 % intervals, a draw counts half, and void games (a program that died or thought too long) count apart.\n\nExamples:\n  agon arena results/a results/b --games 200\n  agon arena results/a@all random --simulations 64\n  agon arena results/go gtp:\"gnugo --mode gtp --level 10 --chinese-rules\" --opening 4"
)]
pub(in crate::cli) struct ArenaArgs {
    /// Who plays: two or more.
    #[arg(required = true, num_args = 1..=64)]
    pub(in crate::cli) players: Vec<String>,
    /// Games of each pair, rounded up to an even number.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(in crate::cli) games: u64,
    /// Random moves at the beginning of each game, the same for both colours.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(0..=1000))]
    pub(in crate::cli) opening: u64,
    /// Only openings after which the first player that has an opinion expects a value within this distance from zero, 0 to 1: random
    /// moves often decide a game.
    #[arg(long, value_name = "VALUE", value_parser = share)]
    pub(in crate::cli) even: Option<f64>,
    /// Simulations before each move of those that search: 0 for networks alone, by default as many as in training.
    #[arg(long, value_parser = clap::value_parser!(u64).range(0..=100_000))]
    pub(in crate::cli) simulations: Option<u64>,
    /// Another setting of the search before each move, such as `looks=8` (mirrored and turned looks of a position that the network
    /// is asked about, whose mean counts) or `kind.gumbel.c_scale=0.5`, as those of `agent.search` of alphazero; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(in crate::cli) search: Vec<String>,
    /// The game, where none of the players is a run that says it.
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) env: Option<String>,
    /// An argument of the game, as `size=7`; may be repeated.
    #[arg(long = "arg", value_name = "NAME=VALUE")]
    pub(in crate::cli) args: Vec<String>,
    /// Pairs of games that are played beside each other. Agents that search in many games at once take less time for each move;
    /// for a comparison of times play one.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(in crate::cli) together: u64,
    /// Seconds that a program may think about a move.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(in crate::cli) timeout: u64,
    /// Seed of the openings and of what is random.
    #[arg(long, default_value_t = 0)]
    pub(in crate::cli) seed: u64,
    /// Draw the ratings of a run's checkpoints (PATH@all) over their steps; .svg or .png.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) out: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "For GoGui and other programs that use engines, and for `agon arena`. Moves are written as the game writes them: D4 and pass in Go, columns in Connect Four. Times that are set bound the simulations.\n\nExample:\n  gogui -program \"agon gtp results/go --simulations 400\""
)]
pub(in crate::cli) struct GtpArgs {
    /// A run's directory or a weight file.
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(in crate::cli) source: PathBuf,
    /// Simulations before each move at most: 0 for the network alone, by default as many as in training.
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
}

/// A number between 0 and 1.
fn share(text: &str) -> Result<f64, String> {
    let number = text.parse().map_err(|error| format!("{error}"))?;
    if (0.0..=1.0).contains(&number) {
        Ok(number)
    } else {
        Err("expected a number between 0 and 1".to_owned())
    }
}
