//! Arguments of `contexts`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::contexts::Axis;

#[derive(Debug, Args)]
#[command(
    after_help = "Writes contexts.md with a map, and contexts.json. Quantities are arguments of the environment: `agon envs info ID` names them.\n\nExamples:\n  agon train ppo CartPole-v1 --seeds 5 --name ranges --set env.args.length=[0.3,1.0] --set env.args.gravity=[7,13]\n  agon contexts results/ranges --grid length=0.2:2:10 --grid gravity=4:20:9 --out contexts"
)]
pub(in crate::cli) struct ContextsArgs {
    /// A run's directory, an experiment's (its seeds are averaged) or a weight file.
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(in crate::cli) source: PathBuf,
    /// A quantity and its values, as `length=0.2:2:10` (from, to, how many) or `length=0.5,1,2`; once or twice.
    #[arg(long, required = true, value_name = "NAME=VALUES", value_parser = |text: &str| text.parse::<Axis>().map_err(|error| error.to_string()))]
    pub(in crate::cli) grid: Vec<Axis>,
    /// The folder of the page, which is created.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) out: PathBuf,
    /// Another run, experiment or weight file, for a map beside it.
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(in crate::cli) beside: Option<PathBuf>,
    /// Episodes of each policy in each cell.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(in crate::cli) episodes: u64,
    /// Seed of the episodes, the same in every cell.
    #[arg(long, default_value_t = 0)]
    pub(in crate::cli) seed: u64,
}
