//! Wrappers of outcomes: time limit, clipped rewards, episode statistics.

use super::{Context, Moment, Wrapper, refused};
use crate::batch::EpisodeStats;
use crate::columns::Column;
use crate::vector::VectorInfo;
use crate::{EnvError, StepBatch};

/// Truncates episodes after a number of steps, counted where the wrapper stands: outside an action repeat it counts the
/// agent's steps. An environment's registered limit counts the environment's own.
pub struct TimeLimit {
    limit: u32,
    lengths: Vec<u32>,
}

impl TimeLimit {
    /// Truncates after `limit` steps.
    ///
    /// # Errors
    /// If `limit` is zero.
    pub fn new(limit: u32, info: &VectorInfo) -> Result<Self, EnvError> {
        if limit == 0 {
            return Err(refused("time_limit", "max_episode_steps must be at least 1, got 0"));
        }
        Ok(Self { limit, lengths: vec![0; info.num_rows()] })
    }
}

impl Wrapper for TimeLimit {
    fn name(&self) -> &'static str {
        "time_limit"
    }

    fn changes_observations(&self) -> bool {
        false
    }

    fn after(&mut self, context: Context<'_>, out: &mut StepBatch) -> Result<(), EnvError> {
        for row in context.rows.iter() {
            self.lengths[row] = if context.moment == Moment::Reset { 0 } else { self.lengths[row] + 1 };
            out.truncated[row] |= self.lengths[row] >= self.limit;
        }
        Ok(())
    }

    fn visit_columns(&mut self, visit: &mut dyn FnMut(&mut dyn Column)) {
        visit(&mut self.lengths);
    }
}

/// Clips rewards to a range.
#[derive(Clone, Copy, Debug)]
pub struct ClipReward {
    min: f64,
    max: f64,
}

impl ClipReward {
    /// Clips to `min` and `max`.
    ///
    /// # Errors
    /// If the range is empty or has no end.
    pub fn new(min: f64, max: f64) -> Result<Self, EnvError> {
        if !(min < max && min.is_finite() && max.is_finite()) {
            let message = format!("min must be less than max, both finite, got {min} and {max}");
            return Err(refused("clip_reward", message));
        }
        Ok(Self { min, max })
    }
}

impl Wrapper for ClipReward {
    fn name(&self) -> &'static str {
        "clip_reward"
    }

    fn changes_observations(&self) -> bool {
        false
    }

    fn after(&mut self, context: Context<'_>, out: &mut StepBatch) -> Result<(), EnvError> {
        if context.moment == Moment::Step {
            // A reward that is not a number stays one: the simulator reports it.
            out.rewards.iter_mut().for_each(|reward| *reward = reward.clamp(self.min, self.max));
        }
        Ok(())
    }
}

/// Counts returns and lengths where it stands in the stack: outside [`ClipReward`], of clipped rewards. Without it,
/// statistics are of the environment's own rewards and steps.
pub struct RecordStatistics {
    returns: Vec<f64>,
    lengths: Vec<u32>,
}

impl RecordStatistics {
    /// Counts from zero.
    pub fn new(info: &VectorInfo) -> Self {
        Self { returns: vec![0.0; info.num_rows()], lengths: vec![0; info.num_rows()] }
    }
}

impl Wrapper for RecordStatistics {
    fn name(&self) -> &'static str {
        "record_statistics"
    }

    fn changes_observations(&self) -> bool {
        false
    }

    fn after(&mut self, context: Context<'_>, out: &mut StepBatch) -> Result<(), EnvError> {
        for row in context.rows.iter() {
            match context.moment {
                Moment::Reset => (self.returns[row], self.lengths[row]) = (0.0, 0),
                Moment::Step => {
                    self.returns[row] += out.rewards[row];
                    self.lengths[row] += 1;
                }
            }
        }
        Ok(())
    }

    fn episode(&self, row: usize) -> Option<EpisodeStats> {
        let (episode_return, episode_length) = (self.returns[row], self.lengths[row]);
        Some(EpisodeStats { row: row as u32, episode_return, episode_length })
    }

    fn visit_columns(&mut self, visit: &mut dyn FnMut(&mut dyn Column)) {
        visit(&mut self.returns);
        visit(&mut self.lengths);
    }
}
