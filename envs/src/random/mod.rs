//! NumPy's random streams: the same seed draws the same numbers as `np.random.default_rng(seed)`.
//!
//! Environments of the field are seeded through Gymnasium's `seeding.np_random`, which is NumPy's PCG64 behind its
//! `SeedSequence`. With the same generator and the same rules for turning words into numbers, a seed gives the
//! reference's own trajectory, so that an environment can be tested against recorded episodes instead of statistics.
//! Every generator is a plain value: it can be cloned, compared and saved, the half word it keeps included.
//!
//! # Source
//! numpy 2.4.6, `numpy/random/bit_generator.pyx`, `_pcg64.pyx`, `_generator.pyx`, `src/distributions/distributions.c`.

mod mt19937;
mod pcg64;
mod seed_sequence;

use serde::{Serialize, de::DeserializeOwned};

pub use mt19937::Mt19937;
pub use pcg64::Pcg64;
pub use seed_sequence::SeedSequence;

/// What a random stream grows from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seed {
    /// An integer, as a user gives it to `reset(seed)`: the stream is the reference's own.
    Integer(u64),
    /// A child of a run's seed: independent of all other children.
    Sequence(SeedSequence),
}

impl Seed {
    /// The independent child `key` of a run's seed.
    pub fn derived(seed: u64, key: &[u32]) -> Self {
        Self::Sequence(SeedSequence::with_spawn_key(seed, key))
    }

    /// The independent child `key` of this seed.
    pub fn child(&self, key: &[u32]) -> Self {
        match self {
            Self::Integer(seed) => Self::derived(*seed, key),
            Self::Sequence(sequence) => {
                let mut words = sequence.generate_state(8);
                words.extend_from_slice(key);
                // A last word that is not zero: zeros at the end of an integer do not count.
                words.push(1);
                Self::Sequence(SeedSequence::from_words(&words))
            }
        }
    }
}

/// A generator that an arena can own.
pub trait Generator: Clone + Send + Sync + Serialize + DeserializeOwned + 'static {
    /// The generator of a seed.
    fn from_seed(seed: &Seed) -> Self;
}

impl Generator for Pcg64 {
    fn from_seed(seed: &Seed) -> Self {
        match seed {
            Seed::Integer(seed) => Self::seed_from(*seed),
            Seed::Sequence(sequence) => Self::from_sequence(sequence),
        }
    }
}

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
