//! What crosses from the server to the page: every type here is a JSON object of the same field names. What is not finite is
//! `null`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::stats::Estimate;

/// What something that was found is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// One run.
    Run,
    /// Runs that differ in their seeds.
    Experiment,
    /// Trials.
    Sweep,
    /// Entries, and what is recorded of them.
    Suite,
    /// What is recorded of an entry of a suite.
    Record,
}

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// It has come to its end.
    Finished,
    /// It has written down nothing yet.
    Waiting,
    /// It can go on, and no process has it.
    Stopped,
    /// An error ended it.
    Failed,
    /// A process has it.
    Running,
}

/// A line of the list. Of a group, numbers are those of its runs: steps added up, scores as means.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Item {
    /// What it is called in requests, as long as the server lives.
    pub(crate) key: u32,
    /// Its place below a named directory, which a link keeps.
    pub(crate) id: String,
    /// The last part of its path.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The key of the group that it is part of.
    pub(crate) parent: Option<u32>,
    pub(crate) state: State,
    /// Why it failed, or cannot be read.
    pub(crate) reason: Option<String>,
    pub(crate) algorithm: String,
    pub(crate) env: String,
    pub(crate) seed: Option<u64>,
    pub(crate) env_steps: u64,
    pub(crate) total_timesteps: u64,
    /// Mean return of the last 100 episodes.
    pub(crate) score: Option<f64>,
    /// Mean return of the last evaluation.
    pub(crate) evaluation: Option<f64>,
    /// Environment steps a second, over the whole run or, while it runs, lately.
    pub(crate) steps_per_second: Option<f64>,
    /// Seconds of work.
    pub(crate) seconds: Option<f64>,
    /// When its files last changed, in seconds since 1970.
    pub(crate) changed: f64,
    /// Its runs, and how many of them have finished; one of a run.
    pub(crate) runs: usize,
    pub(crate) finished: usize,
    /// Whether there are weights that could play.
    pub(crate) has_policy: bool,
    /// Settings that differ among what is of the same algorithm and environment.
    pub(crate) differs: BTreeMap<String, String>,
}

/// The list, or what of it has changed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct List {
    /// Which server it is: another one counts and names anew.
    pub(crate) server: String,
    /// To be named when it is asked for what has changed since.
    pub(crate) revision: u64,
    /// Names of the directories that are looked into.
    pub(crate) directories: Vec<String>,
    /// Names of all metrics.
    pub(crate) metrics: Vec<String>,
    pub(crate) items: Vec<Item>,
    /// Keys of what is gone.
    pub(crate) removed: Vec<u32>,
}

/// What the stream says, once a second at most.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Pulse {
    /// As that of [`List`].
    pub(crate) server: String,
    /// The list's.
    pub(crate) revision: u64,
    pub(crate) load: Load,
}

/// How busy the machine is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Load {
    /// Processors' time that is used, from 0 to 1.
    pub(crate) processors: f64,
    /// How many there are.
    pub(crate) cores: usize,
    /// Bytes of memory in use.
    pub(crate) memory_used: u64,
    pub(crate) memory_total: u64,
    /// Processes that want to run, averaged over a minute.
    pub(crate) load_average: f64,
}

/// Points that a curve does not show, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct LeftOut {
    /// `NaN` and infinities: gaps.
    pub(crate) not_finite: usize,
    /// At or below zero on a logarithmic axis.
    pub(crate) not_positive: usize,
    /// Rows of an x that a later row has too.
    pub(crate) repeated: usize,
    /// Lines that are no rows of numbers.
    pub(crate) broken: usize,
}

/// One curve: a run, or the mean of a group's runs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CurveOf {
    pub(crate) key: u32,
    /// How many runs are behind it.
    pub(crate) runs: usize,
    /// Increasing.
    pub(crate) x: Vec<f64>,
    /// A number a place; null for a gap.
    pub(crate) y: Vec<f64>,
    /// Ends of the band at each place; empty for none.
    pub(crate) low: Vec<f64>,
    pub(crate) high: Vec<f64>,
    /// Runs behind each place, if that changes; else empty.
    pub(crate) runs_at: Vec<usize>,
    /// First and last x that there is.
    pub(crate) range: (f64, f64),
    /// Rows in the window, and whether only the extremes among them are shown.
    pub(crate) rows: usize,
    pub(crate) is_thinned: bool,
    /// Whether rows are some that were picked for a first look, while the others are still to be read.
    pub(crate) is_sample: bool,
    pub(crate) left_out: LeftOut,
}

/// The curves of a chart.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Chart {
    pub(crate) metric: String,
    pub(crate) curves: Vec<CurveOf>,
    /// Keys of those that have nothing to draw, with the reason.
    pub(crate) missing: Vec<(u32, String)>,
}

/// The last lines of a file.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Lines {
    pub(crate) file: &'static str,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// What there is to know of one run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Detail {
    pub(crate) key: u32,
    pub(crate) config: Vec<(String, String)>,
    /// Environment steps of its checkpoints, increasing.
    pub(crate) checkpoints: Vec<u64>,
    /// Whether there are best weights.
    pub(crate) has_best: bool,
    pub(crate) logs: Vec<Lines>,
}

/// An episode that a policy has played, a number a step. Of several agents the first one's.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Replay {
    /// What its frames are asked for by.
    pub(crate) id: u64,
    /// Environment steps of training that the policy had.
    pub(crate) env_steps: u64,
    pub(crate) seed: u64,
    pub(crate) stochastic: bool,
    /// Pictures: one before the first step, and one after each.
    pub(crate) frames: usize,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Acting rows of the environment.
    pub(crate) agents: usize,
    /// Why it ended: `terminated`, `truncated`, or what cut it.
    pub(crate) end: String,
    /// What observations are, and what each of their numbers means where that is known.
    pub(crate) observation_space: String,
    pub(crate) meanings: Vec<String>,
    pub(crate) action_space: String,
    /// Whether `outputs` are `probabilities`, `values` of actions, `mean_and_deviation`, or `none`.
    pub(crate) outputs_are: &'static str,
    /// Options of each choice of an action; empty of continuous ones.
    pub(crate) options: Vec<usize>,
    /// `[T, O]`, the first numbers of long ones.
    pub(crate) observations: Vec<Vec<f32>>,
    /// `[T, P]`.
    pub(crate) outputs: Vec<Vec<f64>>,
    /// `[T]`.
    pub(crate) values: Vec<Option<f32>>,
    /// `[T, W]`.
    pub(crate) actions: Vec<Vec<f64>>,
    /// `[T]`.
    pub(crate) rewards: Vec<f64>,
}

/// A sweep: its trials, and what its settings say of their scores.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SweepOf {
    /// What scores are.
    pub(crate) metric: String,
    pub(crate) parameters: Vec<ParameterOf>,
    /// The best first, those without a score last.
    pub(crate) trials: Vec<TrialOf>,
    /// How many trials shares are taken over: those that were trained longest.
    pub(crate) compared: usize,
}

/// A setting that was searched.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ParameterOf {
    pub(crate) key: String,
    /// Whether its values are better seen on a logarithmic axis.
    pub(crate) is_log: bool,
    /// The share of the scores' variance that knowing this setting alone explains, beyond what chance would; none of too few
    /// trials.
    pub(crate) share: Option<f64>,
    /// The rank correlation with the score, of numbers.
    pub(crate) trend: Option<f64>,
}

/// A trial.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TrialOf {
    pub(crate) key: u32,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) env_steps: u64,
    pub(crate) score: Option<f64>,
    /// In the order of the parameters: as text, and as a number where it is one.
    pub(crate) values: Vec<(String, Option<f64>)>,
}

/// A comparison, as `agon compare` makes it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Compared {
    pub(crate) measure: String,
    pub(crate) is_normalised: bool,
    pub(crate) algorithms: Vec<ComparedOne>,
    /// The first, the second, and how probable it is that a run of the first is better.
    pub(crate) improvements: Vec<(String, String, Estimate)>,
    pub(crate) left_out: Vec<(String, String)>,
}

/// The aggregate scores of one that is compared.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ComparedOne {
    pub(crate) label: String,
    pub(crate) runs: usize,
    pub(crate) iqm: Estimate,
    pub(crate) mean: Estimate,
    pub(crate) median: Estimate,
    /// Its performance profile: scores, the share of runs above each, and the ends of its band.
    pub(crate) profile: [Vec<f64>; 4],
}
