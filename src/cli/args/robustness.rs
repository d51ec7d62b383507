//! Arguments of `robustness`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

#[derive(Debug, Args)]
#[command(
    after_help = "Writes robustness.md with its picture, and robustness.json. Of a run, its log is looked at for signs of reward hacking.\n\nExamples:\n  agon robustness results/ppo_CartPole-v1_1 --shift gravity=15 --shift length=1.0 --out robust"
)]
pub(in crate::cli) struct RobustnessArgs {
    /// A run's directory or a weight file.
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(in crate::cli) source: PathBuf,
    /// The folder of the page, which is created.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) out: PathBuf,
    /// Episodes under each disturbance.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(2..=100_000))]
    pub(in crate::cli) episodes: u64,
    /// Seed of environments and disturbances.
    #[arg(long, default_value_t = 0)]
    pub(in crate::cli) seed: u64,
    /// Standard deviations of noise, in those of what is seen; a list with commas.
    #[arg(long, value_delimiter = ',', default_values_t = [0.1, 0.3, 1.0], value_name = "SIZES")]
    pub(in crate::cli) noise: Vec<f64>,
    /// Radii of deceptions, likewise.
    #[arg(long, value_delimiter = ',', default_values_t = [0.05, 0.1, 0.2, 0.5], value_name = "SIZES")]
    pub(in crate::cli) radius: Vec<f64>,
    /// Steps of the stronger deception (PGD).
    #[arg(long, default_value_t = 10, value_name = "STEPS")]
    pub(in crate::cli) pgd_steps: usize,
    /// By how many steps actions are late; a list with commas.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4], value_name = "STEPS")]
    pub(in crate::cli) delay: Vec<usize>,
    /// An argument of the environment with another value, as `gravity=12`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(in crate::cli) shift: Vec<String>,
    /// Of a run, take the best weights instead of the newest.
    #[arg(long)]
    pub(in crate::cli) best: bool,
    /// Of a run, take the checkpoint after so many environment steps.
    #[arg(long, value_name = "STEP", conflicts_with = "best")]
    pub(in crate::cli) checkpoint: Option<u64>,
}
