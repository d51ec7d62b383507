//! Arguments of `explain`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use crate::explain::{Baseline, By, SurrogateKind};

/// A way to explain.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum ByArg {
    /// What it gives out: along an episode, what it depends on, what would have changed it, where it matters.
    Output,
    /// What happens inside of its network: dead units, ranks, what units respond to, probes, similarity, checkpoints.
    Internals,
    /// How much each part of what it saw speaks for what it did: heat maps over frames, bars over named values.
    Pictures,
    /// What its search found: visits, values and principal variations beside each move of an episode.
    Search,
    /// What its world model imagines after some steps of an episode, beside what happened (dreamer, vmc).
    Dreams,
    /// A policy that can be read: a decision tree (VIPER), or weighted sums where actions are numbers.
    Surrogate,
}

impl From<ByArg> for By {
    fn from(by: ByArg) -> Self {
        match by {
            ByArg::Output => Self::Output,
            ByArg::Internals => Self::Internals,
            ByArg::Pictures => Self::Pictures,
            ByArg::Search => Self::Search,
            ByArg::Dreams => Self::Dreams,
            ByArg::Surrogate => Self::Surrogate,
        }
    }
}

/// What stands for nothing.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum BaselineArg {
    /// Zeros of what the network reads: an empty image; with normalised observations the mean.
    Zeros,
    /// The mean of what the network reads in episodes.
    Mean,
}

impl From<BaselineArg> for Baseline {
    fn from(baseline: BaselineArg) -> Self {
        match baseline {
            BaselineArg::Zeros => Self::Zeros,
            BaselineArg::Mean => Self::Mean,
        }
    }
}

/// Which surrogate.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum KindArg {
    /// A decision tree.
    Tree,
    /// A weighted sum for each number of an action.
    Linear,
}

impl From<KindArg> for SurrogateKind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Tree => Self::Tree,
            KindArg::Linear => Self::Linear,
        }
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Writes explain.md with its pictures, and explain.json.\n\nExamples:\n  agon explain results/dqn_CartPole-v1_1 --by surrogate --leaves 15 --out why\n  agon explain results/dqn_MinAtar_Breakout-v0_1 --by pictures --baseline mean --out why"
)]
pub(in crate::cli) struct ExplainArgs {
    /// A run's directory or a weight file.
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(in crate::cli) source: PathBuf,
    /// The ways to explain; may be repeated, or a list with commas.
    #[arg(long, required = true, value_delimiter = ',', value_name = "WAY")]
    pub(in crate::cli) by: Vec<ByArg>,
    /// The folder of the page, which is created.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) out: PathBuf,
    /// Seed of environments and of everything that is drawn.
    #[arg(long, default_value_t = 0)]
    pub(in crate::cli) seed: u64,
    /// Of a run, take the best weights instead of the newest.
    #[arg(long)]
    pub(in crate::cli) best: bool,
    /// Of a run, take the checkpoint after so many environment steps.
    #[arg(long, value_name = "STEP", conflicts_with = "best")]
    pub(in crate::cli) checkpoint: Option<u64>,
    /// States that activations are measured at.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u64).range(10..=2000), help_heading = "Internals")]
    pub(in crate::cli) states: u64,
    /// A part of the name of a quantity that layers are probed for, such as `velocity` or `return to come`; may be repeated.
    #[arg(long, value_name = "NAME", help_heading = "Internals")]
    pub(in crate::cli) probe: Vec<String>,
    /// What integrated gradients and occlusion compare with.
    #[arg(long, value_enum, default_value = "zeros", help_heading = "Pictures")]
    pub(in crate::cli) baseline: BaselineArg,
    /// Steps of the film, at most; 0 for none.
    #[arg(long, default_value_t = 150, value_parser = clap::value_parser!(u64).range(0..=2000), help_heading = "Pictures")]
    pub(in crate::cli) film: u64,
    /// Simulations before each move; by default as many as in training.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000), help_heading = "Search")]
    pub(in crate::cli) simulations: Option<u64>,
    /// Another setting of the search before each move, such as `looks=8` or `kind.gumbel.c_scale=0.5`, as those of `agent.search`
    /// of alphazero; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Search")]
    pub(in crate::cli) search: Vec<String>,
    /// Observations that a world model looks at before it goes on by itself.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=100_000), help_heading = "Dreams")]
    pub(in crate::cli) context: u64,
    /// Steps of the episode, at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000), help_heading = "Dreams")]
    pub(in crate::cli) steps: u64,
    /// Which surrogate; by default a tree where actions are choices, else weighted sums.
    #[arg(long, value_name = "KIND", help_heading = "Surrogate")]
    pub(in crate::cli) surrogate: Option<KindArg>,
    /// Leaves of the largest tree.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(2..=4096), help_heading = "Surrogate")]
    pub(in crate::cli) leaves: u64,
    /// Rounds of asking the policy where the surrogate leads.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1000), help_heading = "Surrogate")]
    pub(in crate::cli) rounds: u64,
    /// Steps of a round.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..=1_000_000), help_heading = "Surrogate")]
    pub(in crate::cli) samples: u64,
    /// Episodes that surrogates are measured in; nothing is chosen by them.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=100_000), help_heading = "Surrogate")]
    pub(in crate::cli) episodes: u64,
}
