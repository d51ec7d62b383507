//! Weights that become zero while a run learns: how many of them when.

use agon_agents::pruning::cubic;
use agon_agents::{AgentError, Learner};
use serde::{Deserialize, Serialize};

use crate::RunError;

/// Stages in which weights are pruned: ranking all of them takes longer than many an iteration.
const STAGES: f64 = 100.0;

/// Which weights become zero while a run learns, and when: gradual magnitude pruning.
///
/// # Source
/// Zhu and Gupta 2017, arXiv:1710.01878; Lee et al. 2021, arXiv:2010.07611 (LAMP), for how weights of different layers compare.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PruningConfig {
    /// Share of the weights that are zero in the end, at least 0 and below 1; 0 for no pruning.
    pub sparsity: f64,
    /// Share of the run after which the first go; at least 0.
    pub begin: f64,
    /// Share of the run after which no more go; above `begin`, at most 1.
    pub end: f64,
    /// Prefixes of names of weights that can go, such as `["actor."]`; where there are none, all of the acting network.
    pub weights: Vec<String>,
}

impl Default for PruningConfig {
    fn default() -> Self {
        Self { sparsity: 0.0, begin: 0.2, end: 0.8, weights: Vec::new() }
    }
}

impl PruningConfig {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether weights are pruned.
    pub fn is_on(&self) -> bool {
        self.sparsity > 0.0
    }

    /// Checks what can be checked before there are networks.
    ///
    /// # Errors
    /// Naming the field, what is allowed and what was found.
    pub fn validate(&self) -> Result<(), RunError> {
        let wrong = |field: &str, expected: &str, found: &dyn std::fmt::Display| {
            Err(RunError::Config(format!("pruning.{field} must be {expected}, got {found}")))
        };
        if !(0.0..1.0).contains(&self.sparsity) {
            return wrong("sparsity", "at least 0 and below 1", &self.sparsity);
        }
        if !self.is_on() && !self.is_default() {
            return wrong("sparsity", "above 0 where there are other settings of it", &self.sparsity);
        }
        if !(0.0..1.0).contains(&self.begin) {
            return wrong("begin", "at least 0 and below 1", &self.begin);
        }
        if !(self.end > self.begin && self.end <= 1.0) {
            return wrong("end", &format!("above pruning.begin = {} and at most 1", self.begin), &self.end);
        }
        Ok(())
    }

    /// Says to a learner which weights can be pruned.
    ///
    /// # Errors
    /// If a prefix is that of no weight, or the networks cannot be pruned.
    pub(crate) fn begin(&self, learner: &mut dyn Learner) -> Result<(), AgentError> {
        if !self.is_on() {
            return Ok(());
        }
        learner.set_pruned(&self.weights).map_err(|error| match error {
            AgentError::Setting { field, expected, found } => {
                AgentError::Setting { field: format!("pruning.{field}"), expected, found }
            }
            other => other,
        })
    }

    /// The share of weights that are zero after so many environment steps of a run.
    pub(crate) fn sparsity_at(&self, env_steps: u64, total_timesteps: u64) -> f64 {
        let share = env_steps as f64 / total_timesteps.max(1) as f64;
        let course = ((share - self.begin) / (self.end - self.begin)).clamp(0.0, 1.0);
        cubic(self.sparsity, (course * STAGES).floor() / STAGES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparsity_rises_in_stages_from_the_first_share_to_the_last() {
        let pruning = PruningConfig { sparsity: 0.9, begin: 0.2, end: 0.6, ..PruningConfig::default() };
        let at = |env_steps| pruning.sparsity_at(env_steps, 1000);
        assert_eq!([at(0), at(200), at(600), at(601), at(1000)], [0.0, 0.0, 0.9, 0.9, 0.9]);
        assert!((at(400) - 0.9 * 0.875).abs() < 1e-12);
        assert_eq!(at(401), at(403), "a stage is four steps");
        assert!(at(404) > at(403));
        assert_eq!(PruningConfig { begin: 0.0, end: 1.0, ..pruning }.sparsity_at(1000, 1000), 0.9);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let on = PruningConfig { sparsity: 0.5, ..PruningConfig::default() };
        for (config, part) in [
            (
                PruningConfig { sparsity: 1.0, ..on.clone() },
                "pruning.sparsity must be at least 0 and below 1, got 1",
            ),
            (PruningConfig { sparsity: f64::NAN, ..on.clone() }, "got NaN"),
            (PruningConfig { sparsity: 0.0, end: 0.5, ..on.clone() }, "pruning.sparsity must be above 0"),
            (
                PruningConfig { begin: -0.1, ..on.clone() },
                "pruning.begin must be at least 0 and below 1, got -0.1",
            ),
            (PruningConfig { begin: 0.8, ..on.clone() }, "pruning.end must be above pruning.begin = 0.8"),
            (PruningConfig { end: 1.5, ..on.clone() }, "and at most 1, got 1.5"),
        ] {
            let message = config.validate().unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
        assert!(on.validate().is_ok() && PruningConfig::default().validate().is_ok());
    }
}
