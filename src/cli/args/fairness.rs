//! Arguments of `fairness`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

#[derive(Debug, Args)]
#[command(
    after_help = "Writes fairness.md with its pictures, and fairness.json. The environment must say about whom it decides, as those of\nthe family Fairness do; `docs/fairness.md` says how one of your own does.\n\nExamples:\n  agon train ppo Fairness/Lending-v0 --total-timesteps 100k --name lending\n  agon fairness results/lending --episodes 100 --out fair"
)]
pub(in crate::cli) struct FairnessArgs {
    /// A run's directory or a weight file.
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(in crate::cli) source: PathBuf,
    /// The folder of the page, which is created.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) out: PathBuf,
    /// Episodes of the policy and of each rule beside it.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(2..=100_000))]
    pub(in crate::cli) episodes: u64,
    /// Seed of environments and of everything that is drawn.
    #[arg(long, default_value_t = 0)]
    pub(in crate::cli) seed: u64,
    /// Act as in training instead of with the best actions.
    #[arg(long)]
    pub(in crate::cli) stochastic: bool,
    /// Play no rules beside the policy.
    #[arg(long)]
    pub(in crate::cli) no_rules: bool,
    /// Of a run, take the best weights instead of the newest.
    #[arg(long)]
    pub(in crate::cli) best: bool,
    /// Of a run, take the checkpoint after so many environment steps.
    #[arg(long, value_name = "STEP", conflicts_with = "best")]
    pub(in crate::cli) checkpoint: Option<u64>,
}
