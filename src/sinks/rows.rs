//! What sinks are told.

use std::collections::BTreeMap;

use agon_envs::EpisodeStats;
use serde::{Deserialize, Serialize};

/// Episodes that the running mean return is taken over, as everywhere in the field.
pub const RECENT_EPISODES: usize = 100;

/// The metric of learning curves: the mean return of the last [`RECENT_EPISODES`] episodes.
pub const RETURN_METRIC: &str = "charts/episodic_return";

/// An episode that has ended.
#[derive(Clone, Copy, Debug)]
pub struct EpisodeRow<'a> {
    /// Its number, from 1.
    pub episode: u64,
    /// Environment steps of the run when it ended.
    pub env_steps: u64,
    /// The environment.
    pub env: usize,
    /// The agent in it; 0 where there is one only.
    pub agent: usize,
    /// Return and length.
    pub stats: EpisodeStats,
    /// Values of the environment's own metrics.
    pub env_metrics: &'a [f64],
}

/// Metrics of the iterations since the last row. Decided by the configuration alone. What there is not yet is NaN.
#[derive(Clone, Copy, Debug)]
pub struct MetricsRow<'a> {
    /// Iterations so far.
    pub iteration: u64,
    /// Environment steps so far.
    pub env_steps: u64,
    /// Gradient updates so far.
    pub updates: u64,
    /// Episodes that have ended so far.
    pub episodes: u64,
    /// Mean return of the last episodes.
    pub mean_return: f64,
    /// Mean length of the last episodes.
    pub mean_length: f64,
    /// Means of the environment's own metrics over the last episodes.
    pub env_metrics: &'a [f64],
    /// Means of the learner's metrics over the iterations of the row.
    pub learner: &'a [f64],
}

/// What the clock says of the iteration of a row.
#[derive(Clone, Copy, Debug)]
pub struct TimingRow {
    /// Seconds of work so far, those before a resume included.
    pub seconds: f64,
    /// Environment steps a second since the run began.
    pub steps_per_second: f64,
    /// Policies published between acting and learning.
    pub policy_lag: f64,
    /// Seconds that the learner waited for fragments.
    pub learner_wait_s: f64,
    /// Seconds that workers waited for the learner.
    pub worker_blocked_s: f64,
    /// Seconds of learning.
    pub learn_s: f64,
}

/// Where a run stands after an iteration.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Environment steps so far.
    pub env_steps: u64,
    /// Environment steps of the whole run.
    pub total_timesteps: u64,
    /// Gradient updates so far.
    pub updates: u64,
    /// Mean return of the last [`RECENT_EPISODES`] episodes; NaN before the first has ended.
    pub mean_return: f64,
    /// Seconds of work so far, those before a resume included.
    pub seconds: f64,
    /// Environment steps a second since this process began.
    pub steps_per_second: f64,
    /// The learner's metrics.
    pub metrics: &'a [(&'static str, f64)],
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Whether it ran to its end, rather than being asked to stop.
    pub finished: bool,
    /// Environment steps taken.
    pub env_steps: u64,
    /// Mean return of the last [`RECENT_EPISODES`] episodes; NaN if none has ended.
    pub mean_return: f64,
    /// Seconds of work, those before a resume included.
    pub seconds: f64,
}

/// What an evaluation gave.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Environment steps that the policy was trained for.
    pub env_steps: u64,
    /// Number of episodes: of environments, whatever number of agents they have.
    pub episodes: usize,
    /// Episodes that were cut because nothing else ended them.
    pub cut: usize,
    /// Mean return. An episode's return is the mean over its agents' returns.
    pub mean_return: f64,
    /// Standard deviation of the returns.
    pub std_return: f64,
    /// Lowest return.
    pub min_return: f64,
    /// Highest return.
    pub max_return: f64,
    /// Mean episode length in steps, of the agent that went on longest.
    pub mean_length: f64,
    /// Return of every episode.
    pub returns: Vec<f64>,
    /// Mean return of each agent; empty where there is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<f64>,
    /// Mean over the episodes of the sum of a team's returns, by the team's name; empty where there is one agent.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub teams: BTreeMap<String, f64>,
    /// Means of the environment's own metrics, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env_metrics: BTreeMap<String, f64>,
}

impl Evaluation {
    /// Mean, standard deviation, minimum and maximum of the returns, and the mean length: the order of columns.
    pub fn summary(&self) -> [f64; 5] {
        [self.mean_return, self.std_return, self.min_return, self.max_return, self.mean_length]
    }
}
