//! Minibatches of a rollout: what networks read of some of its units, and how their advantages are scaled.

use agon_envs::ActionBatch;
use agon_nn::{Input, Matrix};

use crate::AgentError;
use crate::returns::sum;
use crate::rollout::Rollout;

/// The rows of one slice of a minibatch, gathered from the rollout.
#[derive(Debug)]
pub(crate) struct Gathered {
    /// Rows of the rollout, tick by tick.
    pub(crate) rows: Vec<u32>,
    pub(crate) actions: ActionBatch,
    pub(crate) action_masks: Vec<bool>,
    pub(crate) resets: Vec<bool>,
    /// `[units, S]`, for a network with a memory.
    pub(crate) states: Option<Matrix>,
}

impl Default for Gathered {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            actions: ActionBatch::Discrete(Vec::new()),
            action_masks: Vec::new(),
            resets: Vec::new(),
            states: None,
        }
    }
}

impl Gathered {
    /// Copies what networks read of the given units out of the rollout; gives their observations.
    pub(crate) fn gather(&mut self, rollout: &Rollout, units: &[u32]) -> Result<Input, AgentError> {
        rollout.rows(units, &mut self.rows);
        let (rows, all) = (&self.rows, rollout.active.len());
        let width = rollout.actions.len() / all;
        match (&mut self.actions, &rollout.actions) {
            (ActionBatch::Discrete(to), ActionBatch::Discrete(from)) => pick(to, from, rows, width),
            (ActionBatch::Continuous(to), ActionBatch::Continuous(from)) => pick(to, from, rows, width),
            // The first minibatch says which kind there is.
            (to, from) => {
                *to = match from {
                    ActionBatch::Discrete(from) => ActionBatch::Discrete(picked(from, rows, width)),
                    ActionBatch::Continuous(from) => ActionBatch::Continuous(picked(from, rows, width)),
                }
            }
        }
        pick(&mut self.action_masks, &rollout.action_masks, rows, rollout.action_masks.len() / all);
        if rollout.state_len > 0 {
            pick(&mut self.resets, &rollout.resets, rows, 1);
            let states = picked(&rollout.states, units, rollout.state_len);
            self.states = Some(Matrix::from_slice(units.len(), rollout.state_len, &states)?);
        }
        rollout.observations.gather(rows)
    }

    /// Ticks of a unit.
    pub(crate) fn sequence_length(&self, units: usize) -> usize {
        self.rows.len() / units
    }
}

/// Some rows of a column of `width` values.
fn pick<T: Copy>(to: &mut Vec<T>, from: &[T], rows: &[u32], width: usize) {
    to.clear();
    if width == 1 {
        to.extend(rows.iter().map(|&row| from[row as usize]));
    } else {
        rows.iter()
            .for_each(|&row| to.extend_from_slice(&from[row as usize * width..(row as usize + 1) * width]));
    }
}

/// As [`pick`], into a vector of its own.
fn picked<T: Copy>(from: &[T], rows: &[u32], width: usize) -> Vec<T> {
    let mut to = Vec::with_capacity(rows.len() * width);
    pick(&mut to, from, rows, width);
    to
}

/// What the rows of a whole minibatch have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct MinibatchScale {
    /// Transitions among its rows.
    pub(crate) transitions: usize,
    /// Taken from advantages.
    pub(crate) mean: f32,
    /// What they are then multiplied by.
    pub(crate) factor: f32,
}

impl MinibatchScale {
    /// Of the advantages of a minibatch's transitions; normalised to mean 0 and deviation 1 if asked for and there is more
    /// than one.
    pub(crate) fn of(advantages: &[f32], normalise: bool) -> Self {
        let transitions = advantages.len();
        if !normalise || transitions < 2 {
            return Self { transitions, mean: 0.0, factor: 1.0 };
        }
        let n = transitions as f64;
        let mean = sum(advantages.iter().map(|&a| f64::from(a))) / n;
        let squares = advantages.iter().map(|&a| (f64::from(a) - mean) * (f64::from(a) - mean));
        let variance = sum(squares) / (n - 1.0);
        Self { transitions, mean: mean as f32, factor: 1.0 / (variance.sqrt() as f32 + 1e-8) }
    }

    /// An advantage as the loss reads it.
    pub(crate) fn scaled(&self, advantage: f32) -> f32 {
        (advantage - self.mean) * self.factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advantages_are_normalised_to_mean_zero_and_deviation_one() {
        let advantages: Vec<f32> = (0..67).map(|i| ((i * 37) % 101) as f32 * 3.0 + 500.0).collect();
        let scaled = |advantages: &[f32], normalise| -> Vec<f32> {
            let scale = MinibatchScale::of(advantages, normalise);
            assert_eq!(scale.transitions, advantages.len());
            advantages.iter().map(|&a| scale.scaled(a)).collect()
        };
        let out = scaled(&advantages, true);
        let n = out.len() as f64;
        let mean = out.iter().map(|&a| f64::from(a)).sum::<f64>() / n;
        let variance = out.iter().map(|&a| (f64::from(a) - mean).powi(2)).sum::<f64>() / (n - 1.0);
        assert!(mean.abs() < 1e-6 && (variance.sqrt() - 1.0).abs() < 1e-6, "{mean} {variance}");
        assert_eq!(scaled(&advantages, false), advantages);
        // One advantage has no deviation, equal ones have none to divide by.
        assert_eq!(scaled(&[3.5], true), [3.5]);
        assert_eq!(scaled(&[0.7; 4], true), [0.0; 4]);
    }
}
