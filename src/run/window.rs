//! Metrics of the iterations that one row of `metrics.csv` stands for.

use serde::{Deserialize, Serialize};

/// Sums and counts since the last row. Part of a checkpoint, so that a resumed run writes the same rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct MetricsWindow {
    sums: Vec<f64>,
    counts: Vec<u32>,
}

impl MetricsWindow {
    /// Adds an iteration. What it has no value of, NaN, is passed over.
    pub(crate) fn add(&mut self, metrics: &[f64]) {
        self.sums.resize(metrics.len(), 0.0);
        self.counts.resize(metrics.len(), 0);
        for ((sum, count), metric) in self.sums.iter_mut().zip(&mut self.counts).zip(metrics) {
            if !metric.is_nan() {
                *sum += metric;
                *count += 1;
            }
        }
    }

    /// The means since the last call; NaN of what had no value.
    pub(crate) fn take_means(&mut self) -> Vec<f64> {
        let Self { sums, counts } = std::mem::take(self);
        sums.iter().zip(counts).map(|(sum, count)| sum / f64::from(count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_those_of_the_values_there_are() {
        let mut window = MetricsWindow::default();
        window.add(&[1.0, f64::NAN, f64::NAN]);
        window.add(&[4.0, 7.0, f64::NAN]);
        let means = window.take_means();
        assert_eq!(means[..2], [2.5, 7.0]);
        assert!(means[2].is_nan());
        window.add(&[0.1, 0.2, 0.3]);
        assert_eq!(window.take_means(), [0.1, 0.2, 0.3], "one iteration keeps its bits");
    }
}
