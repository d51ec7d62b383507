//! PCG64 (XSL-RR 128/64) and NumPy's rules for turning its words into numbers.
//!
//! The half word that a 32-bit draw leaves behind belongs to the generator: it survives any number of 64-bit draws
//! and serves the next 32-bit one. Bounded integers are drawn by Lemire's method, shuffles by masked rejection,
//! because that is what NumPy does and a rejected word shifts everything that follows.

use std::convert::Infallible;

use rand::rand_core::TryRng;
use serde::{Deserialize, Serialize};

use super::{RandomError, SeedSequence};

const MULTIPLIER: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;
/// 2^-53, the distance between the doubles that `random` returns.
const DOUBLE_STEP: f64 = 1.0 / 9_007_199_254_740_992.0;
/// Populations above this size are sampled by a partial shuffle when more than a fiftieth of them is wanted.
const TAIL_SHUFFLE_POPULATION: usize = 10_000;
const TAIL_SHUFFLE_FRACTION: usize = 50;

/// NumPy's `Generator(PCG64)`, bit for bit.
///
/// ```
/// # use agon_envs::random::Pcg64;
/// let mut rng = Pcg64::seed_from(42);
/// assert_eq!(rng.random(), 0.7739560485559633); // np.random.default_rng(42).random()
/// ```
///
/// It also implements [`rand::Rng`], so that distributions of `rand_distr` can be sampled from it; those have no
/// counterpart in NumPy and give other numbers than `Generator.normal` and the like.
///
/// # Source
/// numpy 2.4.6; O'Neill 2014, "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms for Random
/// Number Generation"; Lemire 2019, "Fast Random Integer Generation in an Interval".
#[doc(alias = "default_rng")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "SavedPcg64", try_from = "SavedPcg64")]
pub struct Pcg64 {
    state: u128,
    increment: u128,
    half_word: Option<u32>,
}

impl Pcg64 {
    /// The generator of a seed: `np.random.default_rng(seed)`, and Gymnasium's `seeding.np_random(seed)`.
    #[doc(alias = "np_random")]
    pub fn seed_from(seed: u64) -> Self {
        Self::from_sequence(&SeedSequence::new(seed))
    }

    /// The generator of an integer of any size, given as little-endian 32-bit words.
    pub fn from_entropy_words(entropy: &[u32]) -> Self {
        Self::from_sequence(&SeedSequence::from_words(entropy))
    }

    /// The generator of a seed sequence: `Generator(PCG64(sequence))`.
    pub fn from_sequence(sequence: &SeedSequence) -> Self {
        let mut words = [0; 8];
        sequence.fill_state(&mut words);
        // Within a 64-bit value the low word comes first, within a 128-bit value the high half does.
        let quad = |i: usize| u128::from(words[2 * i]) | u128::from(words[2 * i + 1]) << 32;
        let init_state = quad(0) << 64 | quad(1);
        let init_sequence = quad(2) << 64 | quad(3);

        let mut rng = Self { state: 0, increment: init_sequence << 1 | 1, half_word: None };
        rng.step();
        rng.state = rng.state.wrapping_add(init_state);
        rng.step();
        rng
    }

    /// The generator with exactly this state (`bit_generator.state` in NumPy).
    ///
    /// # Errors
    /// If the increment is even: no generator has such a state.
    pub fn from_state(state: u128, increment: u128, half_word: Option<u32>) -> Result<Self, RandomError> {
        if increment.is_multiple_of(2) {
            return Err(RandomError::EvenIncrement { increment });
        }
        Ok(Self { state, increment, half_word })
    }

    /// The state, the increment and the kept half word, as [`Pcg64::from_state`] takes them.
    pub fn state(&self) -> (u128, u128, Option<u32>) {
        (self.state, self.increment, self.half_word)
    }

    /// The next 64 random bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.step();
        let folded = (self.state >> 64) as u64 ^ self.state as u64;
        folded.rotate_right((self.state >> 122) as u32)
    }

    /// The next 32 random bits: the kept half word if there is one, else the low half of a new word, whose high half is
    /// kept.
    #[inline]
    pub fn next_u32(&mut self) -> u32 {
        if let Some(half) = self.half_word.take() {
            return half;
        }
        let word = self.next_u64();
        self.half_word = Some((word >> 32) as u32);
        word as u32
    }

    /// A double in [0, 1), a multiple of 2^-53: `rng.random()`.
    #[inline]
    pub fn random(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * DOUBLE_STEP
    }

    /// `low + (high - low) * random()`, in [low, high) up to rounding: `rng.uniform(low, high)`.
    #[inline]
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.random()
    }

    /// An integer in [low, high): `rng.integers(low, high)`. A range of one integer draws nothing.
    ///
    /// # Panics
    /// If the range is empty.
    #[inline]
    pub fn integers(&mut self, low: i64, high: i64) -> i64 {
        assert!(low < high, "the range of integers must not be empty, got {low}..{high}");
        let span = high.wrapping_sub(low).wrapping_sub(1) as u64;
        low.wrapping_add(self.bounded(span) as i64)
    }

    /// An integer in [0, `max`], `max` included, by Lemire's method; `max = 0` draws nothing.
    #[inline]
    pub fn bounded(&mut self, max: u64) -> u64 {
        if max == 0 {
            0
        } else if max < u64::from(u32::MAX) {
            u64::from(self.bounded_u32(max as u32))
        } else if max == u64::from(u32::MAX) {
            u64::from(self.next_u32())
        } else {
            self.bounded_u64(max)
        }
    }

    /// An integer in [0, `max`], `max` included, by masked rejection (the rule of [`Pcg64::shuffle`]).
    #[inline]
    pub fn interval(&mut self, max: u64) -> u64 {
        if max == 0 {
            return 0;
        }
        let mask = u64::MAX >> max.leading_zeros();
        loop {
            let value =
                if max <= u64::from(u32::MAX) { u64::from(self.next_u32()) } else { self.next_u64() } & mask;
            if value <= max {
                return value;
            }
        }
    }

    /// Fills `out` with integers in [0, `max`], `max` included, drawn from single bytes:
    /// `rng.integers(0, max, endpoint=True, size=len, dtype=np.uint8)`.
    ///
    /// Every call starts with a new 32-bit word and drops what is left of the last one; `max = 0` draws nothing.
    pub fn bytes_bounded(&mut self, max: u8, out: &mut [u8]) {
        if max == 0 {
            out.fill(0);
            return;
        }
        let range = u16::from(max) + 1;
        let threshold = (u16::from(u8::MAX) - u16::from(max)) % range;
        let mut word = 0;
        let mut bytes_left = 0;
        for slot in out {
            *slot = loop {
                if bytes_left == 0 {
                    word = self.next_u32();
                    bytes_left = 4;
                }
                let product = (word & 0xff) as u16 * range;
                word >>= 8;
                bytes_left -= 1;
                if product & 0xff >= threshold {
                    break (product >> 8) as u8;
                }
            };
        }
    }

    /// Shuffles in place, by masked rejection: `rng.shuffle(items)`.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.interval(i as u64) as usize);
        }
    }

    /// The numbers below `n` in random order: `rng.permutation(n)`.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        self.shuffle(&mut order);
        order
    }

    /// `k` different numbers below `n`, in random order: `rng.choice(n, k, replace=False)`.
    ///
    /// # Panics
    /// If `k > n`.
    pub fn choice_without_replacement(&mut self, n: usize, k: usize) -> Vec<usize> {
        assert!(k <= n, "k different numbers below n need k <= n, got k = {k} and n = {n}");
        if n > TAIL_SHUFFLE_POPULATION && k > n / TAIL_SHUFFLE_FRACTION {
            let mut population: Vec<usize> = (0..n).collect();
            self.shuffle_lemire(&mut population, (n - k).max(1));
            return population.split_off(n - k);
        }
        // Floyd's algorithm. The set is only asked, never iterated over.
        let mut chosen = Vec::with_capacity(k);
        let mut taken = std::collections::HashSet::with_capacity(k);
        for j in n - k..n {
            let draw = self.bounded(j as u64) as usize;
            let value = if taken.insert(draw) { draw } else { j };
            taken.insert(value);
            chosen.push(value);
        }
        self.shuffle_lemire(&mut chosen, 1);
        chosen
    }

    /// The index of a draw with the given weights: `rng.choice(len, p=weights)`.
    ///
    /// Takes the first index whose running sum, divided by the total, exceeds `random()`. Weights need not sum to one.
    ///
    /// # Errors
    /// If a weight is negative or not finite, or if they have no positive, finite sum. Nothing is drawn then.
    pub fn choice_weighted(&mut self, weights: &[f64]) -> Result<usize, RandomError> {
        let mut total = 0.0;
        for (index, &weight) in weights.iter().enumerate() {
            if !(weight.is_finite() && weight >= 0.0) {
                return Err(RandomError::InvalidWeight { index, weight });
            }
            total += weight;
        }
        if !(total.is_finite() && total > 0.0) {
            return Err(RandomError::InvalidTotal { len: weights.len(), sum: total });
        }
        let draw = self.random();
        let mut sum = 0.0;
        let found = weights.iter().position(|weight| {
            sum += weight;
            sum / total > draw
        });
        // The last running sum is exactly the total and a draw is below one, so there always is such an index.
        Ok(found.unwrap_or(weights.len() - 1))
    }

    /// The index of a draw with the given probabilities, by the rule of Gymnasium's toy-text environments.
    ///
    /// Takes the first index whose running sum exceeds `random()`, and 0 if there is none (probabilities that sum to
    /// just below one). Always draws once, also for a certain outcome. Nothing is checked: this is a hot path.
    ///
    /// # Source
    /// `gymnasium.envs.toy_text.utils.categorical_sample`, Gymnasium 1.3.0.
    #[inline]
    pub fn categorical_sample(&mut self, probabilities: &[f64]) -> usize {
        let draw = self.random();
        let mut sum = 0.0;
        for (index, probability) in probabilities.iter().enumerate() {
            sum += probability;
            if sum > draw {
                return index;
            }
        }
        0
    }

    #[inline]
    fn step(&mut self) {
        self.state = self.state.wrapping_mul(MULTIPLIER).wrapping_add(self.increment);
    }

    /// Lemire's method on 32-bit words, for 0 < `max` < 2^32 - 1.
    #[inline]
    fn bounded_u32(&mut self, max: u32) -> u32 {
        let range = max + 1;
        let mut product = u64::from(self.next_u32()) * u64::from(range);
        if (product as u32) < range {
            let threshold = (u32::MAX - max) % range;
            while (product as u32) < threshold {
                product = u64::from(self.next_u32()) * u64::from(range);
            }
        }
        (product >> 32) as u32
    }

    /// Lemire's method on 64-bit words, for `max` >= 2^32.
    #[inline]
    fn bounded_u64(&mut self, max: u64) -> u64 {
        if max == u64::MAX {
            return self.next_u64();
        }
        let range = max + 1;
        let mut product = u128::from(self.next_u64()) * u128::from(range);
        if (product as u64) < range {
            let threshold = (u64::MAX - max) % range;
            while (product as u64) < threshold {
                product = u128::from(self.next_u64()) * u128::from(range);
            }
        }
        (product >> 64) as u64
    }

    /// Shuffles the items from `first` on with all that stand before them, by Lemire's method.
    ///
    /// NumPy draws by it in `choice` only; its other shuffles reject under a mask.
    fn shuffle_lemire(&mut self, items: &mut [usize], first: usize) {
        for i in (first..items.len()).rev() {
            items.swap(i, self.bounded(i as u64) as usize);
        }
    }
}

impl TryRng for Pcg64 {
    type Error = Infallible;

    #[inline]
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.next_u32())
    }

    #[inline]
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next_u64())
    }

    /// `rng.bytes(n)`: 32-bit words, low byte first.
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for chunk in out.chunks_mut(4) {
            chunk.copy_from_slice(&self.next_u32().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// What is written of a generator: 128-bit values as halves, since not every format has integers of that size.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Pcg64", deny_unknown_fields)]
struct SavedPcg64 {
    /// High and low half.
    state: [u64; 2],
    /// High and low half.
    increment: [u64; 2],
    half_word: Option<u32>,
}

impl From<Pcg64> for SavedPcg64 {
    fn from(rng: Pcg64) -> Self {
        let halves = |value: u128| [(value >> 64) as u64, value as u64];
        Self { state: halves(rng.state), increment: halves(rng.increment), half_word: rng.half_word }
    }
}

impl TryFrom<SavedPcg64> for Pcg64 {
    type Error = RandomError;

    fn try_from(saved: SavedPcg64) -> Result<Self, RandomError> {
        let whole = |[high, low]: [u64; 2]| u128::from(high) << 64 | u128::from(low);
        Self::from_state(whole(saved.state), whole(saved.increment), saved.half_word)
    }
}

#[cfg(test)]
mod tests;
