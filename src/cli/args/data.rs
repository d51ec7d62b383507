//! Arguments of `data`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum DataCommand {
    /// Record episodes into a data set that Minari reads: of a run's policy, of its checkpoints, or of random actions.
    #[command(
        after_help = "Data sets lie where MINARI_DATASETS_PATH says, or under ~/.minari/datasets, as Minari's own.\nEpisodes begin with seeds that follow each other: in environments that Gymnasium has too, its own reset(seed).\nWithout normalisation: a policy that sees normalised observations is recorded with what they were before.\n\nExamples:\n  agon data record CartPole-v1 --episodes 100 --out cartpole/random-v0\n  agon data record results/ppo_CartPole-v1_1 --episodes 100 --out cartpole/expert-v0\n  agon data record results/ppo_CartPole-v1_1 --checkpoint 100000 --stochastic --episodes 100 --out cartpole/medium-v0\n  agon data record results/ppo_CartPole-v1_1 --all-until 100000 --stochastic --episodes 100 --out cartpole/medium-replay-v0"
    )]
    Record(RecordDataArgs),
    /// Say what is in data sets: returns, lengths, what was observed and done; with a picture.
    #[command(
        after_help = "Example:\n  agon data info cartpole/random-v0 cartpole/expert-v0 --out returns.svg"
    )]
    Info(DataInfoArgs),
    /// Read a whole data set, and say what of it is not as it should be.
    Check(DataCheckArgs),
    /// Write a data set in another layout; episodes stay as they are.
    #[command(
        after_help = "Example:\n  agon data convert cartpole/expert-v0 --format parquet --out cartpole/expert-v1"
    )]
    Convert(DataConvertArgs),
    /// Write the episodes of several data sets as one, seeds and exact images included.
    #[command(
        after_help = "Example:\n  agon data mix cartpole/random-v0 cartpole/expert-v0 --each 50 --out cartpole/mixed-v0"
    )]
    Mix(DataMixArgs),
    /// Say what a trained policy is worth, from what others did: off-policy evaluation, in discounted return.
    #[command(
        after_help = "fqe learns the policy's action values (fitted Q evaluation); wis weighs what was done by how much likelier the policy would have\ndone it (weighted per-decision importance sampling), for policies of one choice. The interval of wis is a bootstrap over episodes,\nthat of fqe over first observations only.\n\nExamples:\n  agon data evaluate cartpole/random-v0 --policy results/dqn_CartPole-v1_1\n  agon data evaluate cartpole/random-v0 --policy results/ppo_CartPole-v1_1 --stochastic --method wis --behavior random"
    )]
    Evaluate(EvaluateDataArgs),
    /// List the data sets under the root.
    List,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RecordDataArgs {
    /// A run's directory, a weight file, or an environment's id for random actions.
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(in crate::cli) source: String,
    /// The data set's id, (namespace/)name-vN.
    #[arg(long = "out", value_name = "ID")]
    pub(in crate::cli) id: String,
    /// Episodes.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(in crate::cli) episodes: u64,
    /// Seed of the first episode; each one has the next.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=i64::MAX as u64))]
    pub(in crate::cli) seed: u64,
    /// Act as in training instead of by the best action.
    #[arg(long)]
    pub(in crate::cli) stochastic: bool,
    /// The best checkpoint instead of the newest.
    #[arg(long, conflicts_with_all = ["checkpoint", "all_until"])]
    pub(in crate::cli) best: bool,
    /// The checkpoint after so many environment steps, one of those that the run keeps.
    #[arg(long, value_name = "STEP", value_parser = crate::text::steps)]
    pub(in crate::cli) checkpoint: Option<u64>,
    /// Every checkpoint whose weights are kept (runtime.keep_models) up to so many steps, each as many episodes: much like what a
    /// run saw on its way.
    #[arg(long, value_name = "STEP", conflicts_with = "checkpoint", value_parser = crate::text::steps)]
    pub(in crate::cli) all_until: Option<u64>,
    /// An argument of the environment, where an id is given; may be repeated.
    #[arg(long = "arg", value_name = "NAME=VALUE")]
    pub(in crate::cli) args: Vec<String>,
    /// The layout of the files: hdf5, arrow or parquet.
    #[arg(long, default_value = "hdf5", value_parser = format)]
    pub(in crate::cli) format: agon_data::Format,
    /// Who made it.
    #[arg(long)]
    pub(in crate::cli) author: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DataInfoArgs {
    /// Ids of data sets, or their directories.
    #[arg(required = true)]
    pub(in crate::cli) sets: Vec<String>,
    /// Draw the returns of episodes, sorted; .svg or .png.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) out: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DataCheckArgs {
    /// Ids of data sets, or their directories.
    #[arg(required = true)]
    pub(in crate::cli) sets: Vec<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DataConvertArgs {
    /// The id of a data set, or its directory.
    pub(in crate::cli) set: String,
    /// The layout of the files: hdf5, arrow or parquet.
    #[arg(long, value_parser = format)]
    pub(in crate::cli) format: agon_data::Format,
    /// The id of the new one.
    #[arg(long = "out", value_name = "ID")]
    pub(in crate::cli) id: String,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DataMixArgs {
    /// Ids of data sets, or their directories.
    #[arg(required = true)]
    pub(in crate::cli) sets: Vec<String>,
    /// The first episodes of each, at most.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(in crate::cli) each: Option<u64>,
    /// The layout of the files: hdf5, arrow or parquet.
    #[arg(long, default_value = "hdf5", value_parser = format)]
    pub(in crate::cli) format: agon_data::Format,
    /// The id of the new one.
    #[arg(long = "out", value_name = "ID")]
    pub(in crate::cli) id: String,
}

fn format(name: &str) -> Result<agon_data::Format, String> {
    agon_data::Format::from_name(name).ok_or_else(|| "expected hdf5, arrow or parquet".to_owned())
}

#[derive(Debug, Args)]
pub(in crate::cli) struct EvaluateDataArgs {
    /// The id of a data set, or its directory.
    pub(in crate::cli) set: String,
    /// A run's directory, or a weight file.
    #[arg(long, value_name = "FILE|RUN", value_hint = ValueHint::AnyPath)]
    pub(in crate::cli) policy: PathBuf,
    /// How: fitted Q evaluation, or weighted importance sampling.
    #[arg(long, default_value = "fqe", value_parser = ["fqe", "wis"])]
    pub(in crate::cli) method: String,
    /// Evaluate what it does in training instead of its best actions: its probabilities of a choice.
    #[arg(long)]
    pub(in crate::cli) stochastic: bool,
    /// Who made the data, for wis: `random` for random actions, or a run whose actions were drawn from its probabilities; cloned
    /// from the data if nobody says.
    #[arg(long, value_name = "random|FILE|RUN")]
    pub(in crate::cli) behavior: Option<String>,
    /// Discount factor.
    #[arg(long, default_value_t = 0.99)]
    pub(in crate::cli) gamma: f64,
    /// Updates of fitted Q evaluation, or of the clone of who made the data.
    #[arg(long, default_value = "10000", value_name = "N", value_parser = crate::text::steps)]
    pub(in crate::cli) updates: u64,
    /// Seed of networks, minibatches and resamples.
    #[arg(long, default_value_t = 0)]
    pub(in crate::cli) seed: u64,
    /// As JSON.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}
