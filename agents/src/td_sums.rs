//! What value-based learners report of their updates.

use crate::slices::Sums;

/// Sums over steps, of their losses and of the values of what was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct TdSums {
    pub(crate) loss: f64,
    pub(crate) q_values: f64,
    /// How far the preferences are from a teacher's.
    pub(crate) teacher_loss: f64,
    /// How far other actions are valued above those that were taken.
    pub(crate) cql_loss: f64,
    /// How many steps they are over.
    pub(crate) steps: usize,
}

impl Sums for TdSums {
    fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.q_values += other.q_values;
        self.teacher_loss += other.teacher_loss;
        self.cql_loss += other.cql_loss;
        self.steps += other.steps;
    }
}

impl TdSums {
    /// Means of losses and values; no numbers where there was no update.
    pub(crate) fn means(sums: Option<&Self>) -> [f64; 2] {
        let mean = |sums: &Self| [sums.loss, sums.q_values].map(|sum| sum / sums.steps as f64);
        sums.map_or([f64::NAN; 2], mean)
    }
}
