//! `SeedSequence`: turns any integer, and a key, into well-mixed words that seed a generator.
//!
//! Streams that must not overlap (one for each shard, one for the learner, ...) are derived by key from a single seed
//! with [`SeedSequence::with_spawn_key`], never by adding small numbers to the seed.

use serde::{Deserialize, Serialize};

/// Words of the entropy pool.
const POOL_SIZE: usize = 4;

const INIT_A: u32 = 0x43b0_d7e5;
const MULT_A: u32 = 0x931e_8875;
const INIT_B: u32 = 0x8b51_f9dd;
const MULT_B: u32 = 0x58f3_8ded;
const MIX_MULT_L: u32 = 0xca01_f9dd;
const MIX_MULT_R: u32 = 0x4973_f715;

/// NumPy's `SeedSequence`: an entropy pool of four 32-bit words.
///
/// ```
/// # use agon_envs::random::SeedSequence;
/// assert_eq!(SeedSequence::new(0).generate_state(2), [0xb0f4_78be, 0xdb2c_d7e7]);
/// ```
///
/// # Source
/// `numpy.random.SeedSequence`, numpy 2.4.6.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedSequence {
    pool: [u32; POOL_SIZE],
}

impl SeedSequence {
    /// The pool of an integer: `SeedSequence(entropy)`.
    pub fn new(entropy: u64) -> Self {
        Self::from_words(words_of(&entropy_words(entropy)))
    }

    /// The pool of an integer of any size, given as little-endian 32-bit words.
    ///
    /// Leading zeros (zero words at the end) do not count, as NumPy reads the integer, not the words.
    pub fn from_words(entropy: &[u32]) -> Self {
        Self { pool: mix_entropy(words_of(entropy)) }
    }

    /// The pool of the child stream `key` of an integer: `SeedSequence(entropy, spawn_key=key)`.
    ///
    /// Children with different keys are independent of each other and of their parent, and `key = &[i]` is what
    /// `SeedSequence(entropy).spawn(n)[i]` returns. An empty key is the parent itself.
    pub fn with_spawn_key(entropy: u64, key: &[u32]) -> Self {
        if key.is_empty() {
            return Self::new(entropy);
        }
        // The entropy is padded to the pool size, so that an entropy and a key never read like a longer entropy.
        let [low, high] = entropy_words(entropy);
        let mut assembled = vec![low, high, 0, 0];
        assembled.extend_from_slice(key);
        Self { pool: mix_entropy(&assembled) }
    }

    /// The first `n_words` 32-bit words of the sequence. The same words come back at every call.
    pub fn generate_state(&self, n_words: usize) -> Vec<u32> {
        let mut state = vec![0; n_words];
        self.fill_state(&mut state);
        state
    }

    /// A 64-bit seed, for generators that take an integer: `generate_state(1, np.uint64)[0]`.
    pub fn seed(&self) -> u64 {
        let mut words = [0; 2];
        self.fill_state(&mut words);
        u64::from(words[0]) | u64::from(words[1]) << 32
    }

    /// Writes the first `state.len()` words of the sequence.
    pub(super) fn fill_state(&self, state: &mut [u32]) {
        let mut hash = INIT_B;
        for (i, out) in state.iter_mut().enumerate() {
            let mut word = self.pool[i % POOL_SIZE] ^ hash;
            hash = hash.wrapping_mul(MULT_B);
            word = word.wrapping_mul(hash);
            *out = word ^ (word >> 16);
        }
    }
}

/// Little-endian words of a 64-bit integer.
fn entropy_words(entropy: u64) -> [u32; 2] {
    [entropy as u32, (entropy >> 32) as u32]
}

/// The words of an integer without its leading zeros; zero keeps one word.
fn words_of(entropy: &[u32]) -> &[u32] {
    let len = entropy.iter().rposition(|&word| word != 0).map_or(1, |last| last + 1);
    entropy.get(..len).unwrap_or(&[])
}

fn mix_entropy(entropy: &[u32]) -> [u32; POOL_SIZE] {
    let mut pool = [0; POOL_SIZE];
    let mut hash = INIT_A;
    for (i, word) in pool.iter_mut().enumerate() {
        *word = hashmix(entropy.get(i).copied().unwrap_or(0), &mut hash);
    }
    for source in 0..POOL_SIZE {
        for target in (0..POOL_SIZE).filter(|&target| target != source) {
            pool[target] = mix(pool[target], hashmix(pool[source], &mut hash));
        }
    }
    for &word in entropy.iter().skip(POOL_SIZE) {
        for target in &mut pool {
            *target = mix(*target, hashmix(word, &mut hash));
        }
    }
    pool
}

fn hashmix(value: u32, hash: &mut u32) -> u32 {
    let mut value = value ^ *hash;
    *hash = hash.wrapping_mul(MULT_A);
    value = value.wrapping_mul(*hash);
    value ^ (value >> 16)
}

fn mix(x: u32, y: u32) -> u32 {
    let result = MIX_MULT_L.wrapping_mul(x).wrapping_sub(MIX_MULT_R.wrapping_mul(y));
    result ^ (result >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_give_the_words_of_numpy() {
        assert_eq!(
            SeedSequence::new(0).generate_state(8),
            [0xb0f478be, 0xdb2cd7e7, 0x2c71ba49, 0xabf4641a, 0x9d7b8d41, 0x20c6ed6d, 0x223c39d4, 0x2c4099de]
        );
        assert_eq!(
            SeedSequence::new(1).generate_state(8),
            [0x6d6791ff, 0x672d8ee5, 0x4eb1072c, 0x8ae19ca1, 0x1322fc4a, 0x4915796d, 0xaba049bd, 0xd0cc2bdc]
        );
        assert_eq!(
            SeedSequence::new(42).generate_state(8),
            [0xcd540ab7, 0x9f1e2e6d, 0x79fb94b6, 0xd57873dc, 0x64d420b7, 0x7d282a1b, 0x4692d5ff, 0x33657971]
        );
    }

    #[test]
    fn integers_of_several_words_give_the_words_of_numpy() {
        assert_eq!(
            SeedSequence::new(4294967296).generate_state(8),
            [0xec53f444, 0x50ff846c, 0xe8278562, 0x7a4918db, 0x362e2b19, 0x3bff9f6c, 0x9a0654e3, 0xbdb17753]
        );
        // 2^64 + 3
        assert_eq!(
            SeedSequence::from_words(&[3, 0, 1]).generate_state(8),
            [0xd55232de, 0x86bba298, 0x6a49aef2, 0xa38c2f46, 0x8a291c55, 0xdb3e92bd, 0x330d5416, 0x2887141d]
        );
        // 1361129467683753853853498429727072858169 = 2^130 + 12345
        assert_eq!(
            SeedSequence::from_words(&[12345, 0, 0, 0, 4]).generate_state(8),
            [0x3fa5f6db, 0x400ea14e, 0xfefa095f, 0x0c6468af, 0x9db945b7, 0x8746a3f6, 0x23ad5168, 0x756d56c6]
        );
    }

    #[test]
    fn spawn_keys_give_the_words_of_numpy() {
        let recorded: [(u64, &[u32], [u32; 8]); 4] = [
            (
                42,
                &[0],
                [
                    0xa001c6a4, 0xdff6ed7d, 0x64d84a1f, 0x43239888, 0x22be369b, 0x9c90dafb, 0x7416fa91,
                    0x77fd4b76,
                ],
            ),
            (
                42,
                &[3, 7],
                [
                    0x3927c788, 0x9a657355, 0x8ca1f134, 0xb8d58c50, 0xd07bfff4, 0x0ca6f966, 0x75e2c477,
                    0xef865e83,
                ],
            ),
            (
                0,
                &[0],
                [
                    0xdff7b411, 0x784dfb2c, 0x56cf8f57, 0xca65717f, 0x9bb52223, 0x66ba395b, 0x0fe1e0a9,
                    0x6f9b3211,
                ],
            ),
            (
                (1 << 40) + 5,
                &[1],
                [
                    0x5e468bdf, 0xa28f5698, 0xc4fbe9b5, 0xeee05dc0, 0xc0a895b1, 0x6f3ff2c8, 0x9df23e0c,
                    0x09096cf9,
                ],
            ),
        ];
        for (entropy, key, words) in recorded {
            assert_eq!(
                SeedSequence::with_spawn_key(entropy, key).generate_state(8),
                words,
                "{entropy} {key:?}"
            );
        }
        assert_eq!(SeedSequence::with_spawn_key(42, &[0]).seed(), 16138347438539916964);
        // SeedSequence(42).spawn(4)[3]
        assert_eq!(
            SeedSequence::with_spawn_key(42, &[3]).generate_state(4),
            [0xc34fc8c5, 0x34037e9d, 0x48019fd6, 0xed87f1b5]
        );
    }

    #[test]
    fn empty_spawn_key_is_the_parent() {
        assert_eq!(SeedSequence::with_spawn_key(42, &[]), SeedSequence::new(42));
    }

    #[test]
    fn leading_zeros_do_not_count() {
        assert_eq!(SeedSequence::from_words(&[7, 0, 0, 0, 0, 0]), SeedSequence::new(7));
        assert_eq!(SeedSequence::from_words(&[]), SeedSequence::new(0));
    }
}
