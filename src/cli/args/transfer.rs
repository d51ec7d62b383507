//! Arguments of `transfer`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::TrainArgs;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TransferCommand {
    /// Print what `train` would take over with the same arguments, tensor by tensor, and what would begin anew.
    #[command(
        after_help = "Examples:\n  agon transfer show ppo MinAtar/Asterix-v0 --init-from results/breakout --matching\n  agon transfer show dqn Acrobot-v1 --init-from results/dqn_CartPole-v1_1 --matching --reset q.0"
    )]
    Show(Box<TrainArgs>),
    /// Compare runs that began with weights with runs that began anew: jump start, time to a threshold, mean and final score.
    #[command(
        after_help = "Examples:\n  agon transfer report results/scratch results/fine_tuned --threshold 475"
    )]
    Report(ReportArgs),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ReportArgs {
    /// A run, or an experiment of several seeds, that began anew.
    #[arg(value_hint = clap::ValueHint::DirPath)]
    pub(in crate::cli) scratch: PathBuf,
    /// One that began with weights.
    #[arg(value_hint = clap::ValueHint::DirPath)]
    pub(in crate::cli) transferred: PathBuf,
    /// The score that is to be reached; by default nine tenths of what learning from scratch brings.
    #[arg(long, allow_negative_numbers = true)]
    pub(in crate::cli) threshold: Option<f64>,
    /// The scores of a curve: `evaluation`, `training` (the last 100 episodes), the name of a metric, or `auto` for evaluations
    /// where there are some.
    #[arg(long, default_value = "auto")]
    pub(in crate::cli) score: String,
    /// Print JSON.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}
