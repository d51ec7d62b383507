//! What the command line accepts.

mod arena;
mod contexts;
mod data;
mod explain;
mod fairness;
mod models;
mod positions;
mod privacy;
mod robustness;
mod train;
mod transfer;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

use super::engine::EngineArgs;
use crate::stats::Resampling;
pub(super) use arena::{ArenaArgs, GtpArgs};
pub(super) use contexts::ContextsArgs;
pub(super) use data::{DataCommand, DataInfoArgs, EvaluateDataArgs, RecordDataArgs};
pub(super) use explain::ExplainArgs;
pub(super) use fairness::FairnessArgs;
pub(super) use models::{
    CalibrationArg, CardArgs, CompressArgs, ExportArgs, ExportFormat, ProvenanceArgs, PruneArg, QuantizeArg,
    SignArgs, VerifyModelArgs,
};
pub(super) use positions::{PositionsArgs, SolveArgs};
pub(super) use privacy::{AccountArgs, PrivacyArgs, PrivacyCommand};
pub(super) use robustness::RobustnessArgs;
pub(super) use train::{ResumeArgs, TrainArgs};
pub(super) use transfer::{ReportArgs, TransferCommand};

/// Train, resume, evaluate and plot reinforcement learning agents.
#[derive(Debug, Parser)]
#[command(
    name = "agon",
    version,
    max_term_width = 100,
    after_help = "Examples:\n  agon train ppo CartPole-v1\n  agon train ppo CartPole-v1 --seeds 5 --name ppo\n  agon resume results/ppo/seed_3\n  agon eval results/ppo/seed_3 --episodes 100\n  agon plot results/ppo results/dqn --out curve.svg\n  agon compare results/ppo results/dqn\n  agon envs list"
)]
pub(super) struct Cli {
    /// Load no policy that the private key of this public one has not signed; by default what AGON_REQUIRE_SIGNATURE names.
    #[arg(long, global = true, value_name = "PUBLIC_KEY", value_hint = ValueHint::FilePath, help_heading = "Trust")]
    pub(super) require_signature: Option<PathBuf>,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Train an agent.
    Train(TrainArgs),
    /// Continue a run, or every seed of an experiment, exactly where its last checkpoint left it.
    Resume(ResumeArgs),
    /// Play episodes with a trained agent and print its returns.
    Eval(EvalArgs),
    /// Say why a policy acts: what it depends on, and a tree that does the same, as a page with pictures.
    Explain(ExplainArgs),
    /// Say how a policy treats groups: rates, their differences with intervals, and how both go over an episode.
    Fairness(FairnessArgs),
    /// Say what students of a policy's trajectories give away, with and without protection; or what steps with noise do.
    Privacy(PrivacyArgs),
    /// Say what a policy withstands: noise, deceptions within a radius, late actions, other dynamics.
    Robustness(RobustnessArgs),
    /// Map what policies return where physics are what they were trained in, and where they are not.
    Contexts(ContextsArgs),
    /// Have agents and other programs play against each other: scores, and Elo ratings with intervals.
    Arena(ArenaArgs),
    /// Be an engine that speaks the Go Text Protocol, for other programs.
    Gtp(GtpArgs),
    /// Say how often an agent gives away a game in positions whose outcome is known.
    Positions(PositionsArgs),
    /// Solve positions of random games exactly, for `positions`.
    Solve(SolveArgs),
    /// Write a policy for other programs: an ONNX file, or one that the crate agon-policy acts with.
    Export(ExportArgs),
    /// Make a policy smaller and faster: a student, pruned weights, integers; and say what each step costs.
    Compress(CompressArgs),
    /// Say where a run comes from: what worked on it, and the runs that its weights came from. Checks every hash on the way.
    Provenance(ProvenanceArgs),
    /// Write a run's model card: a README with front matter, results with intervals, limits and origin.
    Card(CardArgs),
    /// Sign the files of a run, or a single file.
    Sign(SignArgs),
    /// Check that a run or a file is as somebody signed it.
    Verify(VerifyModelArgs),
    /// Draw learning curves of runs and experiments.
    Plot(PlotArgs),
    /// Search settings: a grid, at random, or by successive halving. Asked for again, it goes on where it was stopped.
    Sweep(SweepArgs),
    /// Train and measure the entries of a suite file that are not done, and write their plots and table.
    Suite(SuiteArgs),
    /// Compare algorithms: aggregate scores with intervals, probabilities of improvement, performance profiles.
    Compare(CompareArgs),
    /// Show runs on a page, while they learn and afterwards: curves, comparisons, episodes of any checkpoint.
    Serve(ServeArgs),
    /// Record, describe, check and convert data sets of episodes, which `train --data` learns from.
    #[command(subcommand)]
    Data(DataCommand),
    /// Record episodes as a film or a contact sheet.
    Record(RecordArgs),
    /// List, describe, check, verify and play environments.
    #[command(subcommand)]
    Envs(EnvsCommand),
    /// What a run takes over from another one, and what that brought.
    #[command(subcommand)]
    Transfer(TransferCommand),
    /// Print the layers of the networks that `train` would train with the same arguments.
    Network(TrainArgs),
    /// List the presets and where their numbers come from.
    Presets(PresetsArgs),
    /// Make a crate of one's own with an environment, a reward wrapper and this whole command line.
    New(NewArgs),
    /// Print every setting with its default and meaning.
    Settings(SettingsArgs),
    /// Measure speed on this machine.
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Print a completion script for a shell, which knows algorithms, environments and presets too.
    #[command(
        after_help = "Examples:\n  agon completions bash > ~/.local/share/bash-completion/completions/agon\n  agon completions zsh > ~/.zfunc/_agon\n  agon completions fish > ~/.config/fish/completions/agon.fish"
    )]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  agon new my-env\n  agon new my-env --agon ~/src/agon")]
pub(super) struct NewArgs {
    /// The crate's directory, whose name it has.
    #[arg(value_hint = ValueHint::DirPath)]
    pub(super) path: PathBuf,
    /// Where Agon's sources are, as seen from the crate.
    #[arg(long, value_name = "DIR", default_value = "../agon", value_hint = ValueHint::DirPath)]
    pub(super) agon: PathBuf,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  agon settings\n  agon settings sac\n  agon settings network\n  agon settings --out docs/settings.md --check"
)]
pub(super) struct SettingsArgs {
    /// A word in a section's title: an algorithm, `network`, `env`, …
    pub(super) word: Option<String>,
    /// Write a page in Markdown into this file.
    #[arg(long, value_name = "FILE", conflicts_with = "word")]
    pub(super) out: Option<PathBuf>,
    /// Write nothing; fail if the page is missing or differs.
    #[arg(long, requires = "out")]
    pub(super) check: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  agon presets\n  agon presets minatar\n  agon presets ppo --json")]
pub(super) struct PresetsArgs {
    /// Part of a preset's name, an algorithm or an environment.
    pub(super) word: Option<String>,
    /// Print their settings as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Of an experiment every seed is evaluated, and their mean is printed with its interval.\n\nExamples:\n  agon eval results/ppo_CartPole-v1_1\n  agon eval results/ppo\n  agon eval results/ppo/seed_3 --best --episodes 20 --stochastic\n  agon eval results/ppo/seed_3 --checkpoint 250112 --set env.max_episode_steps=1000\n  agon eval results/lake --arg is_slippery=false\n  agon eval results/ppo_MinAtar-Breakout-v0_1 --search simulations=16 --search outcomes=2\n  agon eval results/dt_CartPole-v1_1 --target-return 200\n  agon eval model.onnx CartPole-v1"
)]
pub(super) struct EvalArgs {
    /// The directory of a run or an experiment, a weight file, or an ONNX file.
    #[arg(value_name = "RUN|FILE", value_hint = ValueHint::AnyPath)]
    pub(super) run: PathBuf,
    /// Of an ONNX file, the environment; by default the one that `agon export` wrote down in it.
    pub(super) env: Option<String>,
    /// Episodes to play.
    #[arg(long, default_value_t = 100)]
    pub(super) episodes: usize,
    /// Seed of environments and sampling; by default one that training never used.
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// Act as in training instead of taking the best action.
    #[arg(long)]
    pub(super) stochastic: bool,
    /// Take the best checkpoint instead of the newest: by evaluations in training if there were any, else by mean return.
    #[arg(long)]
    pub(super) best: bool,
    /// Take the checkpoint after so many environment steps: one of those in the run's checkpoints/.
    #[arg(long, value_name = "STEP", conflicts_with = "best")]
    pub(super) checkpoint: Option<u64>,
    /// Another setting of the environment, such as `env.max_episode_steps=1000`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Another argument of the environment, such as `is_slippery=false`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) arg: Vec<String>,
    /// Search before each action in copies of the environment, with a setting such as `simulations=16` or `outcomes=4`, as those of
    /// `agent.search` of alphazero; may be repeated. For policies with a value function.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) search: Vec<String>,
    /// Aim at this return of an episode instead of the one that training settled: for dt.
    #[arg(long, value_name = "RETURN", allow_negative_numbers = true)]
    pub(super) target_return: Option<f64>,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "A curve of several seeds is their mean. It goes on, thinner, where fewer seeds are left, and the legend says how many. The band is the 95 % interval of that mean, bootstrapped over seeds, unless --band says otherwise; the picture says what it is. Of several directories those that cannot be drawn are left out, and named.\n\nExamples:\n  agon plot results/ppo\n  agon plot results/ppo results/dqn --x seconds --out plots/compare.png\n  agon plot small=results/a large=results/b --band seeds\n  agon plot results/ppo --y losses/value_loss --smooth 10 --log-y\n  agon plot results/ppo --y eval/mean_return"
)]
pub(super) struct PlotArgs {
    /// Directories of runs or experiments, each as `PATH` or `NAME=PATH`; each is a curve, and those of one name are one.
    #[arg(required = true, value_hint = ValueHint::DirPath)]
    pub(super) runs: Vec<String>,
    /// What the x axis counts.
    #[arg(long, value_enum, default_value = "steps")]
    pub(super) x: XAxisArg,
    /// The metric: a column of metrics.csv, timing.csv or evaluations.csv, or its last part.
    #[arg(long, default_value = crate::sinks::RETURN_METRIC)]
    pub(super) y: String,
    /// What surrounds the mean of several seeds.
    #[arg(long, value_enum, default_value = "ci")]
    pub(super) band: BandArg,
    /// A logarithmic x axis; points at or below 0 are left out.
    #[arg(long)]
    pub(super) log_x: bool,
    /// A logarithmic y axis; points at or below 0 are left out.
    #[arg(long)]
    pub(super) log_y: bool,
    /// The picture; .svg or .png. Its folder is created.
    #[arg(long, value_name = "FILE", default_value = "curve.svg")]
    pub(super) out: PathBuf,
    /// Points of the trailing moving average.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) smooth: usize,
    /// Title above the plot.
    #[arg(long, default_value = "")]
    pub(super) title: String,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Runs are grouped by algorithm, or by a name, as in `gru=results/a`; runs of a group differ in their seeds alone, and those of an algorithm with other settings are called after their directories.\nWhat is no finished run, or ran in another environment than most, is left out and named.\nWith several environments scores must be normalised.\n\nExamples:\n  agon compare results/ppo results/dqn --out profile.svg\n  agon compare small=results/a large=results/b --score training\n  agon compare results/* --normalize random..threshold\n  agon compare results/* --normalize CartPole-v1=20..500 --normalize Acrobot-v1=-500..-80 --json"
)]
pub(super) struct CompareArgs {
    /// Directories of runs or experiments, each as `PATH` or `NAME=PATH`.
    #[arg(required = true, value_hint = ValueHint::DirPath)]
    pub(super) runs: Vec<String>,
    /// The score of a run: `evaluation` for the mean return of the evaluation at its end, `training` for that of the last 100
    /// training episodes, or the last value of any metric, such as `env/success`; `auto` for evaluations if every run has one.
    #[arg(long, value_name = "SCORE", default_value = "auto")]
    pub(super) score: String,
    /// Scores that become 0 and 1: `LOW..HIGH` or `ENV=LOW..HIGH`, each a number, `random` or `threshold`; may be repeated.
    #[arg(long, value_name = "RANGE")]
    pub(super) normalize: Vec<String>,
    /// Resamples of the bootstrap.
    #[arg(long, value_name = "N", default_value_t = Resampling::default().resamples)]
    pub(super) resamples: usize,
    /// Seed of the bootstrap: the same one gives the same intervals.
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
    /// Draw performance profiles into this picture; .svg or .png.
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "A sweep writes trials.csv, table.md and plots to its directory, and ends by printing the command that trains its best trial. It goes on after Ctrl-C or a kill by being asked for again; its file must not change meanwhile.\n\nExamples:\n  agon sweep examples/sweeps/dqn_cartpole.toml\n  agon sweep mine.toml --name second-try --threads 8\n  agon sweep mine.toml --engine ray --address 10.0.0.1:6379"
)]
pub(super) struct SweepArgs {
    /// The sweep file.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(super) file: PathBuf,
    /// Threads, shared by the runs that are trained side by side; 0 for one a core. On a cluster those of each run, one by default.
    /// Never changes results.
    #[arg(long, default_value_t = 0)]
    pub(super) threads: usize,
    /// Directory that the sweep's is put in.
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub(super) out: PathBuf,
    /// Name of the sweep's directory; by default the file's.
    #[arg(long, value_parser = super::directory_name)]
    pub(super) name: Option<String>,
    /// Print the trials as JSON, and no progress.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) engine: EngineArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Raw runs go to suite/ beside the file, evidence to reference/, the table into README.md. Asked for again, it goes on where it was stopped; what is recorded with the same settings is not repeated.\n\nExamples:\n  agon suite results/suite.toml\n  agon suite results/suite.toml --only 'ppo-*'\n  agon suite results/suite.toml --table\n  agon suite results/suite.toml --engine ray"
)]
pub(super) struct SuiteArgs {
    /// The suite file.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(super) file: PathBuf,
    /// Entries whose names fit; `*` stands for any characters.
    #[arg(long, value_name = "GLOB")]
    pub(super) only: Option<String>,
    /// Train nothing; only write plots and table from what is recorded.
    #[arg(long)]
    pub(super) table: bool,
    /// Threads, shared by the runs that are trained side by side; 0 for one a core. On a cluster those of each run, one by default.
    /// Never changes results.
    #[arg(long, default_value_t = 0)]
    pub(super) threads: usize,
    #[command(flatten)]
    pub(super) engine: EngineArgs,
}

/// What surrounds a mean.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum BandArg {
    /// 95 % interval of the mean, by the percentile bootstrap over seeds; of 2 or 3 seeds their range.
    Ci,
    /// One standard error of the mean on both sides, within what was seen.
    Se,
    /// One standard deviation over seeds on both sides, within what was seen.
    Std,
    /// From the lowest to the highest seed.
    Minmax,
    /// No band: each seed as a thin line.
    Seeds,
    /// Nothing.
    None,
}

/// What the x axis counts.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum XAxisArg {
    /// Environment steps.
    Steps,
    /// Seconds of work.
    Seconds,
    /// Gradient updates.
    Updates,
}

#[derive(Debug, Subcommand)]
pub(super) enum EnvsCommand {
    /// List the environments.
    List {
        /// Those whose id, summary or spaces have this in them, whatever the case.
        #[arg(long, value_name = "TEXT")]
        filter: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Describe an environment: spaces, meanings of actions and numbers, arguments.
    Info {
        /// The environment's id.
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check that environments keep the contract.
    Check {
        /// The environments' ids; all if none is given.
        ids: Vec<String>,
    },
    /// Replay recorded reference trajectories and compare.
    Verify(VerifyArgs),
    /// Play an environment in the terminal with the keyboard.
    Play(PlayArgs),
    /// Write a page of documentation for each environment.
    Docs {
        /// Directory of the pages.
        #[arg(long, value_name = "DIR", default_value = "docs/envs")]
        out: PathBuf,
        /// Write nothing; fail if a page is missing or differs.
        #[arg(long)]
        check: bool,
    },
}

#[derive(Debug, Args)]
#[command(
    after_help = "The page is for this machine alone unless --host says otherwise; then whoever opens it needs the token.\nOf a machine that is reached by ssh, `ssh -L 6070:localhost:6070 MACHINE` brings the page here without either.\n\nExamples:\n  agon serve\n  agon serve results/ppo results/sweeps --port 8000\n  AGON_TOKEN=… agon serve --host 0.0.0.0"
)]
pub(super) struct ServeArgs {
    /// Directories that runs, experiments, sweeps and suites are looked for in.
    #[arg(value_name = "DIR", default_value = "results", value_hint = ValueHint::DirPath)]
    pub(super) directories: Vec<PathBuf>,
    /// The port; 0 for any. By default the first free one from 6070 on.
    #[arg(long, value_name = "N")]
    pub(super) port: Option<u16>,
    /// The address to listen at, such as 0.0.0.0 for all of this machine's. Needs a token.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(super) host: String,
    /// What whoever opens the page must have: at least 16 letters, digits, `-` and `_`. Others on this machine can read arguments:
    /// the variable AGON_TOKEN is read instead.
    #[arg(long, value_name = "TEXT", env = "AGON_TOKEN", hide_env_values = true)]
    pub(super) token: Option<String>,
    /// Another name that the page may be asked for under, such as this machine's; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub(super) allow_host: Vec<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  agon record results/ppo_CartPole-v1_1 --out cartpole.gif\n  agon record MinAtar/Breakout-v0 --episodes 3 --out sheet.png"
)]
pub(super) struct RecordArgs {
    /// A run's directory or a weight file, whose policy plays, or an environment's id, played at random.
    pub(super) source: String,
    /// Episodes to record.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(super) episodes: u64,
    /// The picture: a .gif is a film, a .webp one with all its colours, a .png a contact sheet. Its folder is created.
    #[arg(long, value_name = "FILE", default_value = "episode.gif")]
    pub(super) out: PathBuf,
    /// Seed of environments and actions.
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// Frames a second of a film.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=50))]
    pub(super) fps: u16,
    /// Most frames of an episode.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(super) max_frames: u64,
    /// Act as in training instead of taking the best action.
    #[arg(long)]
    pub(super) stochastic: bool,
    /// Of a run, take the best weights instead of the newest.
    #[arg(long)]
    pub(super) best: bool,
    /// Of a run, take the checkpoint after so many environment steps.
    #[arg(long, value_name = "STEP", conflicts_with = "best")]
    pub(super) checkpoint: Option<u64>,
    /// One argument of the environment, such as `is_slippery=false`; may be repeated. For an id only.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) arg: Vec<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Keys: arrows or WASD move, space and x are two more actions, digits choose an action by number, + and - turn a continuous one, r starts anew, q ends.\nOn a board: arrows or WASD move the cursor, Enter or space places, p is a move that is no square (pass, swap), u takes back.\n\nExamples:\n  agon envs play Taxi-v4\n  agon envs play ConnectFour-v0 --against results/alphazero_ConnectFour-v0_1"
)]
pub(super) struct PlayArgs {
    /// The environment's id.
    pub(super) id: String,
    /// Seed of the environment.
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
    /// Who plays the other side of a board game: a run or a weight file, `random` (the default), or `gtp:COMMAND`.
    #[arg(long, value_name = "PLAYER")]
    pub(super) against: Option<String>,
    /// Leave the first move of a board game to the other side.
    #[arg(long)]
    pub(super) second: bool,
    /// Simulations before each of its moves; by default as many as in training.
    #[arg(long, value_parser = clap::value_parser!(u64).range(0..=100_000))]
    pub(super) simulations: Option<u64>,
    /// Another setting of the search before each move, such as `looks=8` (mirrored and turned looks of a position that the network
    /// is asked about, whose mean counts) or `kind.gumbel.c_scale=0.5`, as those of `agent.search` of alphazero; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) search: Vec<String>,
    /// Steps a second without a key; 0 to step on keys only.
    #[arg(long)]
    pub(super) fps: Option<u32>,
    /// One argument of the environment, such as `is_slippery=false`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) arg: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Recordings, `Name-vN.csv` or `Name-vN.csv.gz`.
    #[arg(required = true)]
    pub(super) files: Vec<PathBuf>,
    /// Largest difference of an observation or reward that passes.
    #[arg(long, default_value_t = 1e-5)]
    pub(super) tolerance: f64,
    /// The environment, if not the file's name.
    #[arg(long)]
    pub(super) env: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum BenchCommand {
    /// Simulation: steps a second with random actions.
    Env {
        /// Environments' ids; all if none is given.
        ids: Vec<String>,
        /// Batch sizes.
        #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 1024])]
        num_envs: Vec<usize>,
        /// Numbers of threads, each with its own simulator.
        #[arg(long, value_delimiter = ',', default_values_t = [1])]
        threads: Vec<usize>,
        /// Seconds for each measurement.
        #[arg(long, default_value_t = 2.0)]
        seconds: f64,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Wrappers: nanoseconds that each adds to a step.
    Wrappers {
        /// Environments stepped together.
        #[arg(long, default_value_t = 1024)]
        num_envs: usize,
        /// Seconds for each wrapper.
        #[arg(long, default_value_t = 3.0)]
        seconds: f64,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Building: seconds and memory of many environments, each measured in a process of its own.
    Build {
        /// Environments' ids; all if none is given.
        ids: Vec<String>,
        /// Environments to build.
        #[arg(long, default_value_t = 1000)]
        num_envs: usize,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Searches: nodes a second on one core, with a network that costs nothing.
    Search {
        /// Games' ids; a few of them if none is given.
        ids: Vec<String>,
        /// Games searched in together.
        #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u64).range(1..=100_000))]
        num_envs: u64,
        /// Simulations of a move.
        #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=100_000))]
        simulations: u64,
        /// Seconds for each measurement.
        #[arg(long, default_value_t = 3.0)]
        seconds: f64,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Networks: microseconds of acting and of training steps on one core.
    Nn {
        /// Words in the networks' names; all if none is given.
        networks: Vec<String>,
        /// Seconds for each measurement.
        #[arg(long, default_value_t = 1.0)]
        seconds: f64,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// A trained policy: milliseconds to load it, microseconds of a decision.
    Policy {
        /// The directory of a run, or a weight file.
        path: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Training: steps a second and time until solved, over several seeds.
    Train {
        /// Presets; all if none is given.
        presets: Vec<String>,
        /// Seeds of each, run one after the other with all threads.
        #[arg(long, default_value_t = 5)]
        seeds: u64,
        /// Threads; 0 for one a core.
        #[arg(long, default_value_t = 0)]
        threads: usize,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}
