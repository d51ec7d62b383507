//! The last episodes of a run, whose means are its learning curve.

use std::collections::VecDeque;

use agon_envs::EpisodeStats;
use serde::{Deserialize, Serialize};

use crate::sinks::RECENT_EPISODES;

/// The last episodes, whose means are shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recent(VecDeque<(f64, u32, Vec<f64>)>);

impl Recent {
    /// Whether every episode has so many metrics of the environment's own.
    pub(crate) fn has_metrics(&self, count: usize) -> bool {
        self.0.iter().all(|(_, _, values)| values.len() == count)
    }

    pub(crate) fn push(&mut self, stats: &EpisodeStats, env_metrics: &[f64]) {
        if self.0.len() == RECENT_EPISODES {
            self.0.pop_front();
        }
        self.0.push_back((stats.episode_return, stats.episode_length, env_metrics.to_vec()));
    }

    pub(crate) fn mean_return(&self) -> f64 {
        self.0.iter().map(|(episode_return, _, _)| episode_return).sum::<f64>() / self.0.len() as f64
    }

    pub(crate) fn mean_length(&self) -> f64 {
        self.0.iter().map(|(_, length, _)| f64::from(*length)).sum::<f64>() / self.0.len() as f64
    }

    /// Means of the environment's own metrics, over the episodes that have a value.
    pub(crate) fn env_metrics(&self, count: usize) -> Vec<f64> {
        let values =
            |i: usize| self.0.iter().map(move |(_, _, values)| values[i]).filter(|value| !value.is_nan());
        (0..count).map(|i| values(i).sum::<f64>() / values(i).count() as f64).collect()
    }
}
