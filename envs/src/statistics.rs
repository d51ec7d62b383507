//! Running mean and variance of what wrappers see, mergeable across the shards of a run.

use serde::{Deserialize, Serialize};

/// Count, mean and sum of squared deviations of each of `D` numbers.
///
/// # Source
/// Chan, Golub and LeVeque (1979), "Updating formulae and a pairwise algorithm for computing sample variances".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// Weight of what was seen.
    pub count: f64,
    /// `[D]`.
    pub mean: Vec<f64>,
    /// `[D]`: sums of squared deviations from the mean.
    pub squares: Vec<f64>,
}

impl Moments {
    /// Of nothing.
    pub fn empty(width: usize) -> Self {
        Self { count: 0.0, mean: vec![0.0; width], squares: vec![0.0; width] }
    }

    /// Adds what `other` has seen.
    pub fn merge(&mut self, other: &Self) {
        let total = self.count + other.count;
        if other.count == 0.0 {
            return;
        }
        for i in 0..self.mean.len() {
            let delta = other.mean[i] - self.mean[i];
            self.mean[i] += delta * other.count / total;
            self.squares[i] += other.squares[i] + delta * delta * self.count * other.count / total;
        }
        self.count = total;
    }

    /// Whether they can have come from counting: as many squares as means, finite numbers, none that is negative but a mean.
    pub fn is_whole(&self) -> bool {
        self.mean.len() == self.squares.len()
            && self.count >= 0.0
            && self.squares.iter().all(|square| *square >= 0.0)
            && self.mean.iter().chain(&self.squares).chain([&self.count]).all(|number| number.is_finite())
    }

    /// The variance of each number, 1 before anything was seen.
    pub fn variance(&self, index: usize) -> f64 {
        if self.count > 0.0 { self.squares[index] / self.count } else { 1.0 }
    }
}

/// Running statistics of a wrapper: everything seen, and what of it no other shard knows yet.
///
/// A shard adds to its own copy at each step. Between two iterations a run takes every shard's news
/// ([`RunningStatistics::take_news`]), merges them in shard order and hands the result back to all
/// ([`RunningStatistics::set_moments`]), so that all shards normalise alike whatever the number of threads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunningStatistics {
    moments: Moments,
    news: Moments,
    frozen: bool,
    #[serde(skip)]
    batch: Vec<f64>,
}

impl RunningStatistics {
    /// Mean 0 and variance 1, with a weight that the first numbers outweigh.
    ///
    /// # Source
    /// `RunningMeanStd(epsilon=1e-4)` of OpenAI baselines, Gymnasium and Stable-Baselines3.
    pub fn new(width: usize) -> Self {
        const PRIOR: f64 = 1e-4;
        let moments = Moments { count: PRIOR, mean: vec![0.0; width], squares: vec![PRIOR; width] };
        Self { moments, news: Moments::empty(width), frozen: false, batch: Vec::new() }
    }

    /// What was seen so far.
    pub fn moments(&self) -> &Moments {
        &self.moments
    }

    /// Whether both parts are whole and of so many numbers.
    pub(crate) fn is_whole(&self, width: usize) -> bool {
        [&self.moments, &self.news].iter().all(|moments| moments.mean.len() == width && moments.is_whole())
    }

    /// Goes on from other moments, to which its own news are added.
    pub fn set_moments(&mut self, moments: &Moments) {
        self.moments.clone_from(moments);
        self.moments.merge(&self.news);
    }

    /// What was seen since the last call.
    pub fn take_news(&mut self) -> Moments {
        std::mem::replace(&mut self.news, Moments::empty(self.moments.mean.len()))
    }

    /// Stops or resumes counting; frozen statistics are those of evaluation.
    pub fn freeze(&mut self, frozen: bool) {
        self.frozen = frozen;
    }

    /// Adds a batch of vectors of `D` numbers.
    pub fn update<'a>(&mut self, rows: impl Iterator<Item = &'a [f32]> + Clone) {
        if self.frozen {
            return;
        }
        let width = self.moments.mean.len();
        self.batch.clear();
        self.batch.resize(2 * width, 0.0);
        let (mean, squares) = self.batch.split_at_mut(width);
        let mut count = 0.0;
        for row in rows.clone() {
            count += 1.0;
            for (sum, &value) in mean.iter_mut().zip(row) {
                *sum += f64::from(value);
            }
        }
        if count == 0.0 {
            return;
        }
        mean.iter_mut().for_each(|sum| *sum /= count);
        for row in rows {
            for ((square, mean), &value) in squares.iter_mut().zip(mean.iter()).zip(row) {
                *square += (f64::from(value) - mean).powi(2);
            }
        }
        let batch = Moments { count, mean: mean.to_vec(), squares: squares.to_vec() };
        self.moments.merge(&batch);
        self.news.merge(&batch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[[f32; 2]]) -> impl Iterator<Item = &[f32]> + Clone {
        values.iter().map(<[f32; 2]>::as_slice)
    }

    #[test]
    fn mean_and_variance_are_those_of_all_rows_however_they_came() {
        let data = [[1.0, -2.0], [4.0, 0.5], [2.5, 9.0], [0.0, 3.0], [7.0, 1.0]];
        let mut whole = RunningStatistics::new(2);
        whole.update(rows(&data));
        let mut parts = RunningStatistics::new(2);
        parts.update(rows(&data[..2]));
        parts.update(rows(&data[2..]));
        for i in 0..2 {
            let mean = data.iter().map(|row| f64::from(row[i])).sum::<f64>() / 5.0;
            let variance = data.iter().map(|row| (f64::from(row[i]) - mean).powi(2)).sum::<f64>() / 5.0;
            for statistics in [&whole, &parts] {
                // The prior weighs 1e-4 against 5 rows.
                assert!((statistics.moments.mean[i] - mean).abs() < 1e-3);
                assert!((statistics.moments.variance(i) - variance).abs() < 2e-2 * variance);
            }
        }
    }

    #[test]
    fn merged_news_of_shards_are_what_one_shard_would_have_seen() {
        let data = [[1.0, -2.0], [4.0, 0.5], [2.5, 9.0], [0.0, 3.0]];
        let mut alone = RunningStatistics::new(2);
        alone.update(rows(&data));
        let mut shards = [RunningStatistics::new(2), RunningStatistics::new(2)];
        shards[0].update(rows(&data[..1]));
        shards[1].update(rows(&data[1..]));
        let mut merged = RunningStatistics::new(2).moments;
        for shard in &mut shards {
            merged.merge(&shard.take_news());
        }
        for i in 0..2 {
            assert!((merged.mean[i] - alone.moments.mean[i]).abs() < 1e-12);
            assert!((merged.squares[i] - alone.moments.squares[i]).abs() < 1e-9);
        }
        assert_eq!(shards[0].take_news().count, 0.0, "news are told once");
    }

    #[test]
    fn frozen_statistics_do_not_move() {
        let mut statistics = RunningStatistics::new(2);
        let before = statistics.moments.clone();
        statistics.freeze(true);
        statistics.update(rows(&[[5.0, 5.0]]));
        assert_eq!(statistics.moments, before);
    }
}
