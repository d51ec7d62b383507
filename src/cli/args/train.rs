//! Arguments of `train` and `resume`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::cli::directory_name;
use crate::cli::engine::EngineArgs;

#[derive(Debug, Args)]
#[command(
    after_help = "Settings come in layers: the algorithm's defaults, a preset, a file, --set.\nWithout --preset, the default preset of the algorithm and environment is used if there is one.\n\nExamples:\n  agon train ppo CartPole-v1\n  agon train dqn CartPole-v1 --seeds 5 --name dqn\n  agon train ppo CartPole-v1 --preset ppo-cartpole-throughput\n  agon train ppo CartPole-v1 --set agent.learning_rate=3e-4 --set network.encoder.hidden=[128,128]\n  agon train ppo CartPole-v1 --set network.encoder.kind=identity\n  agon train ppo CartPole-v1 --eval-every 10000 --set eval.episodes=50\n  agon train ppo CartPole-v1 --serve\n  agon train iql CartPole-v1 --data cartpole/medium-v0\n  agon train sac Pendulum-v1 --data pendulum/medium-v0 --acts --preset rlpd\n  agon train ppo CartPole-v1 --config mine.toml --threads 1\n  agon train ppo CartPole-v1 --init-from results/ppo_CartPole-v1_1 --seed 2\n  agon train ppo MinAtar/Asterix-v0 --init-from results/breakout --matching --freeze actor.encoder. --freeze critic.encoder."
)]
pub(in crate::cli) struct TrainArgs {
    /// The algorithm, such as `ppo` or `dqn`.
    pub(in crate::cli) algorithm: String,
    /// The environment's id; `agon envs list` shows them.
    pub(in crate::cli) env: String,
    /// A preset; `agon presets` lists them. `none` for the algorithm's bare defaults.
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) preset: Option<String>,
    /// A TOML file of settings, like a run's config.toml.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) config: Option<PathBuf>,
    /// One setting, such as `agent.gamma=0.98`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(in crate::cli) set: Vec<String>,
    /// Learn from a data set instead of acting: its id, or its directory; may be repeated. Steps are updates then. `agon data`
    /// records and describes data sets.
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) data: Vec<String>,
    /// With --data, act too and learn from both: half of each minibatch is recorded (`data.share`). Steps are environment steps.
    #[arg(long)]
    pub(in crate::cli) acts: bool,
    /// Begin with the weights of a weight file, or of a run, instead of random ones.
    #[arg(long, value_name = "FILE|RUN")]
    pub(in crate::cli) init_from: Option<PathBuf>,
    /// Take over what fits of these weights, by name and shape, and begin anew with the rest: for another environment.
    #[arg(long, requires = "init_from")]
    pub(in crate::cli) matching: bool,
    /// Begin anew with the tensors whose names begin so, such as `q.`; may be repeated.
    #[arg(long, value_name = "PREFIX", requires = "init_from")]
    pub(in crate::cli) reset: Vec<String>,
    /// Leave the tensors whose names begin so as they are, such as `actor.encoder.`; may be repeated.
    #[arg(long, value_name = "PREFIX")]
    pub(in crate::cli) freeze: Vec<String>,
    /// The seed; the first one with --seeds.
    #[arg(long)]
    pub(in crate::cli) seed: Option<u64>,
    /// Train this many seeds under one curve with a confidence band.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(in crate::cli) seeds: Option<u64>,
    /// Threads; 0 for one a core. Never changes results.
    #[arg(long)]
    pub(in crate::cli) threads: Option<usize>,
    /// Environment steps to train for, such as 5000, 100_000, 1e6, 10k or 2M.
    #[arg(long, value_name = "N", value_parser = crate::text::steps)]
    pub(in crate::cli) total_timesteps: Option<u64>,
    /// Environment steps between checkpoints.
    #[arg(long, value_name = "N", value_parser = crate::text::steps)]
    pub(in crate::cli) checkpoint_every: Option<u64>,
    /// Environment steps between evaluations in environments of their own; 0 for none. See also `eval` in a config.toml.
    #[arg(long, value_name = "N", value_parser = crate::text::steps)]
    pub(in crate::cli) eval_every: Option<u64>,
    /// Give TensorBoard histograms of all parameters at every checkpoint.
    #[arg(long)]
    pub(in crate::cli) histograms: bool,
    /// Learn from experience as it comes, without waiting: fastest, not reproducible.
    #[arg(long = "async")]
    pub(in crate::cli) asynchronous: bool,
    /// Directory that runs are put in.
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub(in crate::cli) out: PathBuf,
    /// Name of the run's directory; by default made of algorithm, environment and seed, and a number where that exists already.
    /// With --seeds, the name of an experiment of fewer seeds and the same settings adds the others.
    #[arg(long, value_parser = directory_name)]
    pub(in crate::cli) name: Option<String>,
    /// Replace the run or experiment of this name.
    #[arg(long)]
    pub(in crate::cli) force: bool,
    /// Show the runs of --out on a page while this one trains, at the first free port from 6070 on or at the one that is named;
    /// `agon serve` shows them afterwards.
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true)]
    pub(in crate::cli) serve: Option<Option<u16>>,
    /// Print a summary as JSON, and no progress.
    #[arg(long)]
    pub(in crate::cli) json: bool,
    #[command(flatten)]
    pub(in crate::cli) engine: EngineArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Of an experiment (`train --seeds N`), seeds that are finished stay as they are, and seeds that have not begun begin.\n\nExamples:\n  agon resume results/ppo_CartPole-v1_1\n  agon resume results/ppo\n  agon resume results/ppo --total-timesteps 2M"
)]
pub(in crate::cli) struct ResumeArgs {
    /// The directory of the run or experiment.
    #[arg(value_hint = ValueHint::DirPath)]
    pub(in crate::cli) run: PathBuf,
    /// Environment steps to train for in all, such as 2M: more than the run is trained for. Schedules over the length of the
    /// run, such as the learning rate's, have the new length from there on.
    #[arg(long, value_name = "N", value_parser = crate::text::steps)]
    pub(in crate::cli) total_timesteps: Option<u64>,
    /// Threads; 0 for one a core. Never changes results.
    #[arg(long)]
    pub(in crate::cli) threads: Option<usize>,
    /// Print a summary as JSON, and no progress.
    #[arg(long)]
    pub(in crate::cli) json: bool,
    #[command(flatten)]
    pub(in crate::cli) engine: EngineArgs,
}
