//! Arguments of `privacy`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Writes privacy.md with its picture, and privacy.json. An example is a whole trajectory.\n\nExamples:\n  agon privacy results/ppo_CartPole-v1_1 --out private\n  agon privacy account --sample-rate 0.01 --noise-multiplier 1.0 --steps 1000 --delta 1e-5"
)]
pub(in crate::cli) struct PrivacyArgs {
    #[command(subcommand)]
    pub(in crate::cli) account: Option<PrivacyCommand>,
    /// A run's directory or a weight file, whose trajectories students learn from.
    #[arg(required = true, value_hint = ValueHint::AnyPath)]
    pub(in crate::cli) source: Option<PathBuf>,
    /// The folder of the page, which is created.
    #[arg(long, required = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) out: Option<PathBuf>,
    /// Trajectories that a student learns from; three times as many are recorded.
    #[arg(long, default_value_t = 300)]
    pub(in crate::cli) trajectories: usize,
    /// Steps of a trajectory that are recorded.
    #[arg(long, default_value_t = 50)]
    pub(in crate::cli) steps: usize,
    /// The chance that a recorded action is drawn at random.
    #[arg(long, default_value_t = 0.1, value_name = "CHANCE")]
    pub(in crate::cli) random: f64,
    /// Steps that students learn for.
    #[arg(long, default_value_t = 500)]
    pub(in crate::cli) updates: u64,
    /// The chance with which a trajectory takes part in a step.
    #[arg(long, default_value_t = 0.1, value_name = "CHANCE")]
    pub(in crate::cli) sample_rate: f64,
    /// Standard deviation of the noise over the clipping norm.
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR", conflicts_with = "epsilon")]
    pub(in crate::cli) noise_multiplier: f64,
    /// Choose the noise so that ε is at most this, by moments.
    #[arg(long)]
    pub(in crate::cli) epsilon: Option<f64>,
    /// The δ of ε; by default a tenth of one trajectory's share.
    #[arg(long)]
    pub(in crate::cli) delta: Option<f64>,
    /// The norm that a trajectory's gradient is clipped to.
    #[arg(long, default_value_t = 1.0, value_name = "NORM")]
    pub(in crate::cli) clip_norm: f64,
    /// Adam's step size.
    #[arg(long, default_value_t = 1e-2, value_name = "RATE")]
    pub(in crate::cli) learning_rate: f64,
    /// Episodes that students are evaluated in.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(in crate::cli) episodes: u64,
    /// Seed of everything.
    #[arg(long, default_value_t = 0)]
    pub(in crate::cli) seed: u64,
    /// Of a run, take the best weights instead of the newest.
    #[arg(long)]
    pub(in crate::cli) best: bool,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum PrivacyCommand {
    /// Print what steps with noise give away: ε at a δ, by moments (RDP) and by the privacy loss (PRV).
    Account(AccountArgs),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct AccountArgs {
    /// The chance with which an example takes part in a step, above 0 and at most 1.
    #[arg(long, value_name = "CHANCE")]
    pub(in crate::cli) sample_rate: f64,
    /// Standard deviation of the noise over the clipping norm.
    #[arg(long, value_name = "FACTOR", required_unless_present = "epsilon")]
    pub(in crate::cli) noise_multiplier: Option<f64>,
    /// Find the smallest noise with which ε is at most this, by moments.
    #[arg(long, conflicts_with = "noise_multiplier")]
    pub(in crate::cli) epsilon: Option<f64>,
    /// Steps.
    #[arg(long)]
    pub(in crate::cli) steps: u64,
    /// The δ.
    #[arg(long)]
    pub(in crate::cli) delta: f64,
    /// Print JSON.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}
