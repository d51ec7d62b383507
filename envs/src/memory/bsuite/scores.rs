//! bsuite's scores: from the returns of an experiment's episodes to a number between 0 and 1.

use crate::EnvError;

/// Sizes of the memory and umbrella experiments: 1 to 10 and then about logarithmic.
const LOG_SPACED: [i64; 15] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 17, 20, 25];
/// Regret of a random policy in Catch.
const CATCH_REGRET: f64 = 1.6;
/// A memory task is learned when the share of wrong answers is below this share of a random policy's.
const MEMORY_THRESHOLD: f64 = 0.75;
/// The umbrella task is learned when the mean regret is below this.
const UMBRELLA_THRESHOLD: f64 = 0.5;
/// DeepSea is solved when the share of bad episodes first falls below this.
const DEEP_SEA_THRESHOLD: f64 = 0.9;
/// Episodes beyond 2^N that a solution of DeepSea may take.
const FORGIVENESS: f64 = 100.0;

/// How an experiment is scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Score {
    /// `bsuite/catch-v0`.
    Catch,
    /// `bsuite/memory_len-v0` and `bsuite/memory_size-v0`.
    Memory,
    /// `bsuite/umbrella_length-v0`.
    Umbrella,
    /// `bsuite/deep_sea-v0`; the argument is the grid's size. For the stochastic one pass whether each episode was bad
    /// yourself: its returns are noisy.
    DeepSea,
    /// `bsuite/discounting_chain-v0`.
    DiscountingChain,
}

impl Score {
    /// The score of an experiment.
    ///
    /// `runs` has, for each setting of [`settings`] that was run, its size and the returns of its episodes in order. For
    /// DeepSea a return below 0 or of 0 counts as a bad episode; for the umbrella task give the last step's rewards, which
    /// are the returns without the distracting ones.
    ///
    /// # Source
    /// `bsuite/experiments/*/analysis.py`.
    pub fn of(self, runs: &[(i64, Vec<f64>)]) -> f64 {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let share = |learned: &dyn Fn(&(i64, Vec<f64>)) -> bool| {
            runs.iter().filter(|run| learned(run)).count() as f64 / runs.len() as f64
        };
        match self {
            Self::Catch => {
                let regret = 1.0 - mean(&runs.iter().map(|(_, returns)| mean(returns)).collect::<Vec<_>>());
                ((CATCH_REGRET - regret) / CATCH_REGRET).clamp(0.0, 1.0)
            }
            Self::Memory => share(&|(_, returns)| {
                let wrong = returns.iter().filter(|&&value| value <= 0.0).count() as f64;
                wrong / returns.len() as f64 / 0.5 < MEMORY_THRESHOLD
            }),
            Self::Umbrella => share(&|(_, returns)| 1.0 - mean(returns) < UMBRELLA_THRESHOLD),
            Self::DeepSea => share(&|(size, returns)| {
                let mut bad = 0.0;
                let solved = returns.iter().zip(1..).find(|&(&value, episode)| {
                    bad += f64::from(u8::from(value <= 0.0));
                    bad / f64::from(episode) < DEEP_SEA_THRESHOLD
                });
                solved
                    .is_some_and(|(_, episode)| f64::from(episode) < 2.0_f64.powi(*size as i32) + FORGIVENESS)
            }),
            Self::DiscountingChain => {
                let all = mean(&runs.iter().map(|(_, returns)| mean(returns)).collect::<Vec<_>>());
                (1.0 - 10.0 * (1.1 - all)).clamp(0.0, 1.0)
            }
        }
    }
}

/// The argument that an experiment varies, bsuite's values for it, and its number of episodes.
///
/// # Errors
/// [`EnvError::UnknownId`] for an id that is no experiment of bsuite's.
///
/// # Source
/// `bsuite/experiments/*/sweep.py`.
pub fn settings(id: &str) -> Result<(&'static str, Vec<i64>, u32), EnvError> {
    let logarithmic = |last: i64| LOG_SPACED.into_iter().chain((30..=last).step_by(10)).collect();
    Ok(match id {
        "bsuite/catch-v0" => ("", vec![0; 20], 10_000),
        "bsuite/memory_len-v0" => ("memory_length", logarithmic(100), 10_000),
        "bsuite/memory_size-v0" => ("num_bits", logarithmic(40), 10_000),
        "bsuite/deep_sea-v0" | "bsuite/deep_sea_stochastic-v0" => {
            ("size", (10..=50).step_by(2).collect(), 10_000)
        }
        "bsuite/umbrella_length-v0" => ("chain_length", logarithmic(100), 10_000),
        "bsuite/discounting_chain-v0" => ("mapping_seed", (0..20).collect(), 1_000),
        other => return Err(EnvError::UnknownId { id: other.to_owned(), nearest: Vec::new() }),
    })
}
