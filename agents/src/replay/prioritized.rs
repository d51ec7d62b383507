//! Prioritised replay: steps whose error was large are drawn more often.

use agon_envs::Pcg64;
use agon_nn::Schedule;
use serde::{Deserialize, Serialize};

use super::SumTree;
use crate::AgentError;
use crate::error::positive;
use crate::settings::{above_zero, shares};

/// How minibatches are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Sampling {
    /// Every step alike.
    #[default]
    Uniform,
    /// Steps with a large error more often.
    Prioritized(PrioritizedConfig),
}

impl Sampling {
    /// Checks every setting's range.
    ///
    /// # Errors
    /// [`AgentError::Setting`].
    pub fn validate(&self) -> Result<(), AgentError> {
        match self {
            Self::Uniform => Ok(()),
            Self::Prioritized(prioritized) => prioritized.validate(),
        }
    }
}

/// Settings of prioritised replay.
///
/// # Source
/// Schaul et al. (2016), arXiv:1511.05952, table 3 (proportional).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrioritizedConfig {
    /// How much the error decides, 0 (not at all) to 1 (in proportion).
    pub alpha: f64,
    /// How much of the bias importance weights undo at first, 0 to 1.
    pub beta_start: f64,
    /// How much in the end, 0 to 1.
    pub beta_end: f64,
    /// Share of the run over which it changes linearly, 0 to 1.
    pub beta_fraction: f64,
    /// Added to every error, so that each step has a chance; above 0.
    pub epsilon: f64,
}

impl Default for PrioritizedConfig {
    fn default() -> Self {
        Self { alpha: 0.6, beta_start: 0.4, beta_end: 1.0, beta_fraction: 1.0, epsilon: 1e-6 }
    }
}

impl PrioritizedConfig {
    /// Checks every setting's range.
    ///
    /// # Errors
    /// [`AgentError::Setting`].
    pub fn validate(&self) -> Result<(), AgentError> {
        shares(&[
            ("replay.alpha", self.alpha),
            ("replay.beta_start", self.beta_start),
            ("replay.beta_end", self.beta_end),
            ("replay.beta_fraction", self.beta_fraction),
        ])?;
        above_zero(&[("replay.epsilon", self.epsilon)])
    }

    /// `β` of a run of so many environment steps.
    pub fn beta(&self, total_timesteps: u64) -> Schedule {
        Schedule::linear(self.beta_start, self.beta_end, self.beta_fraction * total_timesteps as f64)
    }
}

/// The priorities of a buffer's slots.
///
/// ```text
/// p_i = |error_i| + ε       P(i) = p_i^α / Σ_k p_k^α       w_i = (N · P(i))^−β / max_j w_j
/// ```
///
/// with the maximum over the minibatch. A new step gets the largest `p` so far.
///
/// # Source
/// Schaul et al. (2016), arXiv:1511.05952, section 3 and algorithm 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Priorities {
    config: PrioritizedConfig,
    /// `p^α`; zero for slots that hold no step.
    tree: SumTree,
    /// The largest `p` so far.
    largest: f64,
}

/// What is saved of priorities.
#[derive(Debug, Serialize, Deserialize)]
pub struct SavedPriorities {
    largest: f64,
    /// Up to the last slot that holds a step.
    tree: Vec<f64>,
}

impl Priorities {
    /// Of so many slots, none of which holds a step.
    pub fn new(config: PrioritizedConfig, slots: usize) -> Self {
        Self { config, tree: SumTree::new(slots), largest: 1.0 }
    }

    /// A slot holds a new step, or one that there is nothing to learn from.
    pub fn added(&mut self, slot: u32, learnable: bool) {
        let priority = if learnable { self.largest.powf(self.config.alpha) } else { 0.0 };
        self.tree.set(slot as usize, priority);
    }

    /// Draws `count` steps, one of each of as many equal shares of the priorities' sum, and their weights.
    ///
    /// `held` is the number of steps, `N`.
    pub fn sample(
        &self,
        count: usize,
        held: usize,
        beta: f64,
        rng: &mut Pcg64,
        slots: &mut Vec<u32>,
        weights: &mut Vec<f32>,
    ) {
        let (total, first) = (self.tree.total(), slots.len());
        let share = total / count as f64;
        slots.extend((0..count).map(|i| self.tree.find((i as f64 + rng.random()) * share) as u32));
        let weight = |slot: u32| (held as f64 * self.tree.get(slot as usize) / total).powf(-beta);
        let largest = slots[first..].iter().map(|&slot| weight(slot)).fold(0.0, f64::max);
        weights.extend(slots[first..].iter().map(|&slot| (weight(slot) / largest) as f32));
    }

    /// Sets the priorities of steps by the errors that they were learned from with.
    pub fn update(&mut self, slots: &[u32], errors: &[f32]) {
        for (&slot, &error) in slots.iter().zip(errors) {
            let priority = f64::from(error.abs()) + self.config.epsilon;
            self.largest = self.largest.max(priority);
            self.tree.set(slot as usize, priority.powf(self.config.alpha));
        }
    }

    /// Bytes that they take: a leaf and an inner node of eight bytes for each slot.
    pub fn memory_bytes(&self) -> u64 {
        16 * self.tree.len().next_power_of_two() as u64
    }

    /// The state to be saved.
    pub fn save(&self) -> SavedPriorities {
        let priorities = self.tree.priorities();
        let used = priorities.iter().rposition(|&p| p > 0.0).map_or(0, |last| last + 1);
        SavedPriorities { largest: self.largest, tree: priorities[..used].to_vec() }
    }

    /// Priorities of as many slots with a saved state.
    ///
    /// # Errors
    /// [`AgentError::Restore`] if it is of another size or damaged.
    pub fn restored(&self, mut saved: SavedPriorities) -> Result<Self, AgentError> {
        let slots = self.tree.len();
        let sound = |p: &f64| p.is_finite() && *p >= 0.0;
        if saved.tree.len() > slots || !saved.tree.iter().all(sound) || !positive(saved.largest) {
            return Err(AgentError::Restore(format!("expected priorities of {slots} steps")));
        }
        saved.tree.resize(slots, 0.0);
        Ok(Self { config: self.config, tree: SumTree::of(&saved.tree), largest: saved.largest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn priorities(alpha: f64) -> Priorities {
        let config = PrioritizedConfig { alpha, epsilon: 1e-9, ..PrioritizedConfig::default() };
        let mut priorities = Priorities::new(config, 8);
        (0..4).for_each(|slot| priorities.added(slot, slot != 2));
        priorities
    }

    fn draws(priorities: &Priorities, beta: f64) -> (Vec<u32>, Vec<f32>) {
        let (mut slots, mut weights) = (Vec::new(), Vec::new());
        priorities.sample(6000, 3, beta, &mut Pcg64::seed_from(1), &mut slots, &mut weights);
        (slots, weights)
    }

    #[test]
    fn steps_are_drawn_in_proportion_to_their_priorities() {
        let mut priorities = priorities(0.5);
        priorities.update(&[0, 1, 3], &[1.0, -4.0, 9.0]);
        let (slots, weights) = draws(&priorities, 1.0);
        let counts = [0, 1, 2, 3].map(|slot| slots.iter().filter(|&&s| s == slot).count());
        // Shares of 1, 2 and 3 sixths; drawn one of each 6000th of the sum.
        assert!(
            counts[0].abs_diff(1000) <= 1 && counts[1].abs_diff(2000) <= 1 && counts[3].abs_diff(3000) <= 1
        );
        assert_eq!(counts[2], 0, "what there is nothing to learn from is not drawn");
        // Weights are 1 / (3 · share), over their maximum.
        for (&slot, &weight) in slots.iter().zip(&weights) {
            let expected = [1.0, 0.5, f32::NAN, 1.0 / 3.0][slot as usize];
            assert!((weight - expected).abs() < 1e-6, "slot {slot}: {weight}");
        }
        assert!(draws(&priorities, 0.0).1.iter().all(|&weight| weight == 1.0));
    }

    #[test]
    fn a_new_step_has_the_largest_priority_so_far() {
        let mut priorities = priorities(1.0);
        priorities.update(&[0], &[5.0]);
        priorities.update(&[0], &[0.0]);
        priorities.added(7, true);
        assert!((priorities.tree.get(7) - 5.0).abs() < 1e-6 && priorities.tree.get(1) == 1.0);
    }

    #[test]
    fn saved_priorities_are_restored() {
        let mut priorities = priorities(0.6);
        priorities.update(&[0, 3], &[0.3, 7.0]);
        let fresh = Priorities::new(priorities.config, 8);
        assert_eq!(fresh.restored(priorities.save()).unwrap(), priorities);
        for broken in [
            SavedPriorities { largest: 1.0, tree: vec![1.0; 9] },
            SavedPriorities { largest: 1.0, tree: vec![f64::NAN] },
            SavedPriorities { largest: 0.0, tree: vec![] },
        ] {
            assert!(matches!(fresh.restored(broken), Err(AgentError::Restore(_))));
        }
    }

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let valid = PrioritizedConfig::default();
        assert!(valid.validate().is_ok());
        for (config, message) in [
            (PrioritizedConfig { alpha: 1.5, ..valid }, "replay.alpha must be between 0 and 1, got 1.5"),
            (
                PrioritizedConfig { beta_start: -1.0, ..valid },
                "replay.beta_start must be between 0 and 1, got -1",
            ),
            (PrioritizedConfig { epsilon: 0.0, ..valid }, "replay.epsilon must be above 0, got 0"),
        ] {
            assert_eq!(config.validate().unwrap_err().to_string(), message);
        }
    }
}
