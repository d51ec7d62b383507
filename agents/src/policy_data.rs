//! What a policy records with each action for its learner: the log-probability, and a continuous action before it was
//! clipped to its bounds.

use agon_envs::{ActionBatch, ActionSpec};

/// Where the numbers of a row lie: `[log-probability, action before clipping…]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PolicyData {
    /// Numbers of a continuous action, `D`; zero for discrete ones, which are not clipped.
    dimensions: usize,
}

impl PolicyData {
    /// Of actions of a kind.
    pub(crate) fn of(spec: &ActionSpec) -> Self {
        match spec {
            ActionSpec::Discrete { .. } => Self::discrete(),
            ActionSpec::Continuous { low, .. } => Self::continuous(low.len()),
        }
    }

    pub(crate) fn discrete() -> Self {
        Self { dimensions: 0 }
    }

    pub(crate) fn continuous(dimensions: usize) -> Self {
        Self { dimensions }
    }

    /// Numbers of a row, `P`.
    pub(crate) fn width(self) -> usize {
        1 + self.dimensions
    }

    /// Log-probabilities and actions before clipping, to be written row by row.
    ///
    /// # Shapes
    /// `data`: `[N, P]`; gives `N` numbers with `[D]` each.
    pub(crate) fn rows_mut(self, data: &mut [f32]) -> impl Iterator<Item = (&mut f32, &mut [f32])> {
        data.chunks_exact_mut(self.width()).filter_map(<[f32]>::split_first_mut)
    }

    /// The log-probability of every row.
    pub(crate) fn log_probs(self, data: &[f32]) -> impl Iterator<Item = f32> {
        data.iter().step_by(self.width()).copied()
    }

    /// The actions as they are learned from: those that were recorded if they were clipped since, else those that were
    /// taken.
    ///
    /// # Shapes
    /// `taken`: `[N, W]`, `data`: `[N, P]`.
    pub(crate) fn learned_actions(self, taken: &ActionBatch, data: &[f32]) -> ActionBatch {
        match taken {
            ActionBatch::Discrete(indices) => ActionBatch::Discrete(indices.clone()),
            ActionBatch::Continuous(_) => {
                let rows = data.chunks_exact(self.width());
                ActionBatch::Continuous(rows.flat_map(|row| &row[1..]).copied().collect())
            }
        }
    }
}
