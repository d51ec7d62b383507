//! MT19937 and the rules of NumPy's legacy `RandomState` for turning its words into numbers.
//!
//! Bounded integers are drawn by masked rejection, never by Lemire's method, and doubles take two words: that is what
//! tells this class from NumPy's newer one, and environments written before 2019 are seeded through it. The 624 words
//! are renewed all at once, in loops that the compiler turns into vector instructions; the words are tempered one by one
//! as they are drawn.

use serde::{Deserialize, Serialize};

use super::{Generator, RandomError, Seed};

/// Words of the state.
const N: usize = 624;
/// How far ahead the word lies that is mixed into a renewed one.
const M: usize = 397;
/// The index after seeding: no word has been drawn, and the first draw renews the words.
const SEEDED: u16 = N as u16 + 1;
/// 2^-53, the distance between the doubles that `random_sample` returns.
const DOUBLE_STEP: f64 = 1.0 / 9_007_199_254_740_992.0;

/// NumPy's `RandomState`, bit for bit.
///
/// ```
/// # use agon_envs::random::Mt19937;
/// let mut rng = Mt19937::seed_from(42);
/// assert_eq!(rng.random_sample(), 0.3745401188473625); // np.random.RandomState(42).random_sample()
/// ```
///
/// # Source
/// numpy 2.4.6; Matsumoto and Nishimura 1998, "Mersenne Twister: A 623-Dimensionally Equidistributed Uniform
/// Pseudo-Random Number Generator".
#[doc(alias = "RandomState")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "SavedMt19937", try_from = "SavedMt19937")]
pub struct Mt19937 {
    words: [u32; N],
    /// The next word to draw; from 624 on all are renewed first.
    index: u16,
}

impl Mt19937 {
    /// The generator of an integer: `RandomState(seed)`.
    pub fn seed_from(seed: u32) -> Self {
        let mut words = [seed; N];
        for i in 1..N {
            let last = words[i - 1];
            words[i] = (last ^ last >> 30).wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        Self { words, index: SEEDED }
    }

    /// The generator of several words: `RandomState([...])`, also where the list has one element. An empty key counts as
    /// one zero.
    pub fn from_key(key: &[u32]) -> Self {
        let key = if key.is_empty() { &[0] } else { key };
        let mut words = Self::seed_from(19_650_218).words;
        let mixed = |words: &[u32; N], i: usize, factor: u32| {
            let last = words[i - 1];
            words[i] ^ (last ^ last >> 30).wrapping_mul(factor)
        };
        let (mut i, mut j) = (1, 0);
        for _ in 0..N.max(key.len()) {
            words[i] = mixed(&words, i, 1_664_525).wrapping_add(key[j]).wrapping_add(j as u32);
            j = if j + 1 == key.len() { 0 } else { j + 1 };
            i = next_place(&mut words, i);
        }
        for _ in 1..N {
            words[i] = mixed(&words, i, 1_566_083_941).wrapping_sub(i as u32);
            i = next_place(&mut words, i);
        }
        words[0] = 0x8000_0000;
        Self { words, index: SEEDED }
    }

    /// Whether nothing has been drawn since it was seeded.
    #[inline]
    pub fn is_fresh(&self) -> bool {
        self.index == SEEDED
    }

    /// The next 32 random bits.
    #[inline]
    pub fn next_u32(&mut self) -> u32 {
        if usize::from(self.index) >= N {
            self.renew();
        }
        let word = self.words[usize::from(self.index)];
        self.index += 1;
        temper(word)
    }

    /// The next 64 random bits, the high half first.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        let high = u64::from(self.next_u32());
        high << 32 | u64::from(self.next_u32())
    }

    /// A double in [0, 1), a multiple of 2^-53: `rng.random_sample()`.
    #[doc(alias = "rand")]
    #[inline]
    pub fn random_sample(&mut self) -> f64 {
        let high = u64::from(self.next_u32() >> 5);
        let low = u64::from(self.next_u32() >> 6);
        // Below 2^53: a signed conversion gives the same and is one instruction.
        (high << 26 | low) as i64 as f64 * DOUBLE_STEP
    }

    /// `low + (high - low) * random_sample()`, in [low, high) up to rounding: `rng.uniform(low, high)`.
    #[inline]
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.random_sample()
    }

    /// An integer in [low, high): `rng.randint(low, high)`. A range of one integer draws nothing.
    ///
    /// # Panics
    /// If the range is empty.
    #[inline]
    pub fn randint(&mut self, low: i64, high: i64) -> i64 {
        assert!(low < high, "the range of integers must not be empty, got {low}..{high}");
        let span = high.wrapping_sub(low).wrapping_sub(1) as u64;
        low.wrapping_add(self.bounded(span) as i64)
    }

    /// An index below `len`: `rng.randint(len)`, and what `rng.choice(items)` takes.
    ///
    /// # Panics
    /// If `len` is zero.
    #[inline]
    pub fn below(&mut self, len: usize) -> usize {
        assert!(len > 0, "an index below zero does not exist");
        self.bounded(len as u64 - 1) as usize
    }

    /// An integer in [0, `max`], `max` included, by masked rejection; `max = 0` draws nothing.
    #[doc(alias = "interval")]
    #[inline]
    pub fn bounded(&mut self, max: u64) -> u64 {
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

    /// One of the items: `rng.choice(items)`.
    ///
    /// # Panics
    /// If there are none.
    pub fn choice<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Shuffles in place: `rng.shuffle(items)`.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.bounded(i as u64) as usize);
        }
    }

    /// The numbers below `n` in random order: `rng.permutation(n)`.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        self.shuffle(&mut order);
        order
    }

    /// `k` different numbers below `n`, in random order: `rng.choice(n, k, replace=False)`. Draws as much as a whole
    /// permutation.
    ///
    /// # Panics
    /// If `k > n`.
    pub fn choice_without_replacement(&mut self, n: usize, k: usize) -> Vec<usize> {
        assert!(k <= n, "k different numbers below n need k <= n, got k = {k} and n = {n}");
        let mut order = self.permutation(n);
        order.truncate(k);
        order
    }

    /// The index of a draw with the given weights: `rng.choice(len, p=weights)`.
    ///
    /// Takes the first index whose running sum, divided by the total, exceeds `random_sample()`. Weights need not sum to
    /// one.
    ///
    /// # Errors
    /// If a weight is negative or not finite, or if they have no positive, finite sum. Nothing is drawn then.
    pub fn choice_weighted(&mut self, weights: &[f64]) -> Result<usize, RandomError> {
        if let Some(index) = weights.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
            return Err(RandomError::InvalidWeight { index, weight: weights[index] });
        }
        let total = weights.iter().fold(0.0, |sum, weight| sum + weight);
        if !(total.is_finite() && total > 0.0) {
            return Err(RandomError::InvalidTotal { len: weights.len(), sum: total });
        }
        let draw = self.random_sample();
        let mut sum = 0.0;
        let found = weights.iter().position(|weight| {
            sum += weight;
            sum / total > draw
        });
        // The last running sum is exactly the total and a draw is below one, so there always is such an index.
        Ok(found.unwrap_or(weights.len() - 1))
    }

    #[cold]
    fn renew(&mut self) {
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || twist_all(&mut self.words),
        );
        self.index = 0;
    }
}

impl Generator for Mt19937 {
    /// An integer below 2^32 gives `RandomState(seed)`, a larger one `RandomState([low, high])`; a sequence gives the
    /// generator of eight words drawn from it.
    fn from_seed(seed: &Seed) -> Self {
        match seed {
            Seed::Integer(seed) => match u32::try_from(*seed) {
                Ok(seed) => Self::seed_from(seed),
                Err(_) => Self::from_key(&[*seed as u32, (*seed >> 32) as u32]),
            },
            Seed::Sequence(sequence) => Self::from_key(&sequence.generate_state(8)),
        }
    }
}

/// The place after `i`; the first word is no place but follows the last one.
fn next_place(words: &mut [u32; N], i: usize) -> usize {
    if i + 1 < N {
        return i + 1;
    }
    words[0] = words[N - 1];
    1
}

/// Renews all words. The loops are split where the word ahead wraps around, so that none needs a remainder.
#[inline(always)]
fn twist_all(words: &mut [u32; N]) {
    for n in 0..N - M {
        words[n] = words[n + M] ^ twist(words[n], words[n + 1]);
    }
    for n in N - M..N - 1 {
        words[n] = words[n + M - N] ^ twist(words[n], words[n + 1]);
    }
    words[N - 1] = words[M - 1] ^ twist(words[N - 1], words[0]);
}

#[inline(always)]
fn twist(high: u32, low: u32) -> u32 {
    let word = high & 0x8000_0000 | low & 0x7fff_ffff;
    word >> 1 ^ (word & 1).wrapping_neg() & 0x9908_b0df
}

#[inline(always)]
fn temper(mut word: u32) -> u32 {
    word ^= word >> 11;
    word ^= word << 7 & 0x9d2c_5680;
    word ^= word << 15 & 0xefc6_0000;
    word ^ word >> 18
}

/// What is written of a generator: its words as little-endian bytes, which no format stretches, and its index.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Mt19937", deny_unknown_fields)]
struct SavedMt19937 {
    words: Vec<u8>,
    index: u16,
}

/// No generator has such a state.
#[derive(Debug, thiserror::Error)]
#[error("a state of MT19937 is 2496 bytes and an index of at most 625, got {bytes} bytes and index {index}")]
struct InvalidState {
    bytes: usize,
    index: u16,
}

impl From<Mt19937> for SavedMt19937 {
    fn from(rng: Mt19937) -> Self {
        Self { words: rng.words.iter().flat_map(|word| word.to_le_bytes()).collect(), index: rng.index }
    }
}

impl TryFrom<SavedMt19937> for Mt19937 {
    type Error = InvalidState;

    fn try_from(saved: SavedMt19937) -> Result<Self, InvalidState> {
        let (words, rest) = saved.words.as_chunks::<4>();
        if words.len() != N || !rest.is_empty() || saved.index > SEEDED {
            return Err(InvalidState { bytes: saved.words.len(), index: saved.index });
        }
        Ok(Self { words: std::array::from_fn(|i| u32::from_le_bytes(words[i])), index: saved.index })
    }
}

#[cfg(test)]
mod tests;
