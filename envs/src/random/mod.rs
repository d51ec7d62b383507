//! NumPy's random streams: the same seed draws the same numbers as `np.random.default_rng(seed)`.
//!
//! Environments of the field are seeded through Gymnasium's `seeding.np_random`, which is NumPy's PCG64 behind its
//! `SeedSequence`. With the same generator and the same rules for turning words into numbers, a seed gives the
//! reference's own trajectory, so that an environment can be tested against recorded episodes instead of statistics.
//! Every generator is a plain value: it can be cloned, compared and saved, the half word it keeps included.
//!
//! # Source
//! numpy 2.4.6, `numpy/random/bit_generator.pyx`, `_pcg64.pyx`, `_generator.pyx`, `src/distributions/distributions.c`.

mod pcg64;
mod seed_sequence;

pub use pcg64::Pcg64;
pub use seed_sequence::SeedSequence;

/// Why a generator could not be restored or a draw could not be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RandomError {
    /// The increment of a PCG64 state is even: no generator has such a state.
    #[error("the increment of a PCG64 state must be odd, got {increment:#034x}")]
    EvenIncrement {
        /// The increment found.
        increment: u128,
    },
    /// A weight is negative, infinite or NaN.
    #[error("weights must be finite and not negative, got {weight} at index {index}")]
    InvalidWeight {
        /// Index of the first such weight.
        index: usize,
        /// The weight found.
        weight: f64,
    },
    /// The weights are empty or sum to zero (or to infinity).
    #[error("weights must have a positive, finite sum, got {sum} from {len} weights")]
    InvalidTotal {
        /// Number of weights.
        len: usize,
        /// Their sum.
        sum: f64,
    },
}
