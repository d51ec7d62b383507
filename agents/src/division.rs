//! Into how many slices a minibatch is divided where its settings leave that open: as many as its work is worth.
//!
//! The number is part of the result, and so follows from the configuration alone, never from the machine. A slice costs the
//! time in which its threads are told and its gradient is added to the others; what is worth that is measured in
//! floating-point operations, of which a core does 100 to 250 in a nanosecond.

use agon_envs::spaces::Dtype;
use agon_nn::Summary;

use crate::learner::Spaces;
use crate::network;

/// Most slices that are chosen: cores that a small machine has.
const MOST: usize = 16;
/// Rows of a slice at least, below which products have too few to be fast: of halves, which even a small machine has the cores
/// for, and of smaller parts.
const ROWS: [usize; 2] = [32, 128];
/// Sequences of a slice at least, likewise.
const SEQUENCES: [usize; 2] = [4, 8];
/// Operations of a slice at least: about 10 µs.
const WORK: u64 = 1_500_000;
/// Operations from which a slice may have [`FEW_ROWS`]: about 100 µs.
const MUCH_WORK: u64 = 16_000_000;
/// Rows of a slice at least where each is much work.
const FEW_ROWS: usize = 16;
/// What it takes to write and add one value of another gradient, in operations: where all gradients stay in the cache beside a
/// core, and where they do not.
const ADDING: [u64; 2] = [8, 80];
/// Bytes of gradients that stay there.
const CACHE: usize = 1 << 20;
/// The share of the work that adding gradients may take, in percent.
const SHARE: u64 = 6;
/// Of the values of observations that are bytes, one in so many is not zero, and only those are computed with.
const NOT_ZERO: u64 = 8;

/// A minibatch, as far as its division goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Minibatch {
    /// What can be divided: rows, or sequences of them.
    pub(crate) units: usize,
    /// Rows of a unit.
    pub(crate) unit_rows: usize,
    /// Values of a gradient.
    pub(crate) parameters: usize,
    /// Operations on a row, for outputs and gradients.
    pub(crate) flops: u64,
}

impl Minibatch {
    /// Of a network.
    pub(crate) fn new(summary: &Summary, spaces: &Spaces, units: usize, unit_rows: usize) -> Self {
        let mut flops = summary.flops();
        if network::dtype(&spaces.observation) == Dtype::U8 {
            let encoders = summary.parts.iter().filter(|(name, _)| name.ends_with("encoder"));
            let first = encoders.filter_map(|(_, layers)| layers.first()).map(|layer| layer.flops);
            flops -= first.sum::<u64>() * (NOT_ZERO - 1) / NOT_ZERO;
        }
        // Outputs, gradients of the weights, gradients of the inputs.
        Self { units, unit_rows, parameters: summary.parameters(), flops: 3 * flops }
    }

    /// The most slices, a power of two, each of which is worth its cost.
    pub(crate) fn slices(&self) -> usize {
        let powers = std::iter::successors(Some(2), |slices| Some(2 * slices));
        powers.take_while(|&slices| slices <= MOST && self.is_worth(slices)).last().unwrap_or(1)
    }

    fn is_worth(&self, slices: usize) -> bool {
        let rows = self.units / slices * self.unit_rows;
        let work = self.flops.saturating_mul(rows as u64);
        let gradients = slices.saturating_mul(self.parameters).saturating_mul(size_of::<f32>());
        let per_value = ADDING[usize::from(gradients > CACHE)];
        let adding = ((slices - 1) as u64).saturating_mul(self.parameters as u64).saturating_mul(per_value);
        let total = work.saturating_mul(slices as u64);
        let further = usize::from(slices > 2);
        let has_rows = rows >= ROWS[further] && work >= WORK || rows >= FEW_ROWS && work >= MUCH_WORK;
        let is_large = has_rows && (self.unit_rows == 1 || self.units / slices >= SEQUENCES[further]);
        is_large && adding <= total / 100 * SHARE
    }
}

/// What whoever watches a run of so many threads should know, if its minibatches keep fewer busy; `settings` are those that make
/// minibatches larger, which are then divided further.
pub(crate) fn remark(rows: usize, slices: usize, threads: usize, settings: &str) -> Option<String> {
    let helps = format!("larger ones ({settings}) are divided further");
    remark_that(rows, slices, threads, &helps)
}

/// As [`remark`], where the settings say the number of slices.
pub(crate) fn remark_of_set(rows: usize, slices: usize, threads: usize) -> Option<String> {
    remark_that(rows, slices, threads, "more slices pay off with a larger agent.batch_size")
}

fn remark_that(rows: usize, slices: usize, threads: usize, helps: &str) -> Option<String> {
    (slices < threads).then(|| {
        let learn =
            if slices == 1 { "1 thread learns".to_owned() } else { format!("{slices} threads learn") };
        format!(
            "{learn} of {threads}: a minibatch has {rows} rows, in agent.gradient_slices = {slices}; {helps}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mlp(units: usize, parameters: usize) -> Minibatch {
        Minibatch { units, unit_rows: 1, parameters, flops: 6 * parameters as u64 }
    }

    #[test]
    fn work_decides_and_not_rows_alone() {
        // Two networks of 64-64 units on CartPole: rl-zoo's minibatch, CleanRL's, A2C's.
        assert_eq!([256, 128, 40].map(|rows| mlp(rows, 9_155).slices()), [2, 2, 1]);
        // 32-32 units: minibatches of the throughput preset, and a quarter and a sixteenth of them.
        assert_eq!([2048, 512, 128].map(|rows| mlp(rows, 2_627).slices()), [16, 4, 1]);
        // An MLP of 128-128 units on planes of bytes, with 64 environments and with 1,024.
        let breakout = |rows| Minibatch { flops: 140_000, ..mlp(rows, 68_356) };
        assert_eq!([1024, 16_384].map(|rows| breakout(rows).slices()), [2, 16]);
        // Convolutions: few rows are much work.
        let convolutions = Minibatch { flops: 3_000_000, ..mlp(128, 150_000) };
        assert_eq!(convolutions.slices(), 2);
        // Sequences are not cut.
        let sequences = Minibatch { units: 8, unit_rows: 16, parameters: 35_000, flops: 210_000 };
        assert_eq!(sequences.slices(), 2);
        assert_eq!(Minibatch { units: 32, unit_rows: 32, parameters: 6_500, flops: 39_000 }.slices(), 4);
        assert_eq!(Minibatch { units: 1, ..sequences }.slices(), 1);
    }

    #[test]
    fn a_minibatch_that_is_divided_further_has_no_smaller_slices_than_it_should() {
        for rows in [0, 1, 100, 1000, 10_000, 100_000, 1 << 40] {
            for parameters in [1, 1000, 100_000, 10_000_000] {
                let slices = mlp(rows, parameters).slices();
                assert!((1..=MOST).contains(&slices) && slices.is_power_of_two());
                assert!(slices == 1 || rows / slices >= FEW_ROWS, "{rows} {parameters}: {slices}");
            }
        }
    }

    #[test]
    fn idle_threads_are_told_of_with_what_helps() {
        assert_eq!(remark(256, 2, 2, "num_envs"), None);
        let expected = "2 threads learn of 16: a minibatch has 256 rows, in agent.gradient_slices = 2; larger ones \
                        (fewer agent.num_minibatches) are divided further";
        assert_eq!(remark(256, 2, 16, "fewer agent.num_minibatches").as_deref(), Some(expected));
        assert_eq!(remark_of_set(64, 2, 2), None);
        let expected = "2 threads learn of 4: a minibatch has 64 rows, in agent.gradient_slices = 2; more slices pay off \
                        with a larger agent.batch_size";
        assert_eq!(remark_of_set(64, 2, 4).as_deref(), Some(expected));
    }
}
