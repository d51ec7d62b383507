//! The last episodes of a run, whose means are its learning curve.

use std::collections::VecDeque;

use agon_envs::EpisodeStats;
use serde::{Deserialize, Serialize};

use crate::sinks::RECENT_EPISODES;

/// The last episodes, whose means are shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recent {
    returns: VecDeque<f64>,
    lengths: VecDeque<f64>,
    /// The last values of each of the environment's own metrics: not every episode has one, such as those of other tasks.
    env_metrics: Vec<VecDeque<f64>>,
}

impl Recent {
    /// Whether every episode has so many metrics of the environment's own.
    pub(crate) fn has_metrics(&self, count: usize) -> bool {
        self.returns.is_empty() || self.env_metrics.len() == count
    }

    pub(crate) fn push(&mut self, stats: &EpisodeStats, env_metrics: &[f64]) {
        self.env_metrics.resize(env_metrics.len(), VecDeque::new());
        let metrics = self.env_metrics.iter_mut().zip(env_metrics.iter().copied());
        let own =
            [(&mut self.returns, stats.episode_return), (&mut self.lengths, f64::from(stats.episode_length))];
        for (values, value) in own.into_iter().chain(metrics.filter(|(_, value)| !value.is_nan())) {
            if values.len() == RECENT_EPISODES {
                values.pop_front();
            }
            values.push_back(value);
        }
    }

    pub(crate) fn mean_return(&self) -> f64 {
        mean(&self.returns)
    }

    pub(crate) fn mean_length(&self) -> f64 {
        mean(&self.lengths)
    }

    /// Means of the environment's own metrics; NaN of those that no episode had.
    pub(crate) fn env_metrics(&self, count: usize) -> Vec<f64> {
        (0..count).map(|i| self.env_metrics.get(i).map_or(f64::NAN, mean)).collect()
    }
}

fn mean(values: &VecDeque<f64>) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_the_mean_of_the_last_episodes_that_have_it() {
        let mut recent = Recent::default();
        for i in 0..4 * RECENT_EPISODES as u32 {
            let stats = EpisodeStats { row: 0, episode_return: f64::from(i), episode_length: 1 };
            let own = if i % 3 == 0 { f64::from(i) } else { f64::NAN };
            recent.push(&stats, &[own, f64::NAN]);
        }
        let last = 4.0 * RECENT_EPISODES as f64 - 1.0;
        assert_eq!(recent.mean_return(), last - (RECENT_EPISODES as f64 - 1.0) / 2.0);
        let metrics = recent.env_metrics(2);
        assert_eq!(metrics[0], last - 3.0 * (RECENT_EPISODES as f64 - 1.0) / 2.0);
        assert!(metrics[1].is_nan() && recent.has_metrics(2) && !recent.has_metrics(1));
    }
}
