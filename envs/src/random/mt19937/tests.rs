use super::*;
use crate::random::SeedSequence;

const DECK: [u32; 13] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10, 10];
const P: [f64; 4] = [0.1, 0.2, 0.3, 0.4];

/// Draws of numpy 2.4.6; each field starts from a freshly seeded generator.
struct Vectors {
    seed: u32,
    /// Words 0, 1, 2 and 623 after seeding.
    state: [u32; 4],
    words: [u32; 8],
    random: [f64; 8],
    /// `uniform(-0.05, 0.05)`.
    uniform: [f64; 8],
    randint_2: [i64; 8],
    randint_10: [i64; 8],
    randint_1_9: [i64; 8],
    randint_1_6: [i64; 8],
    randint_2_pow_32: [i64; 8],
    randint_2_pow_40: [i64; 8],
    /// `randint(10)` and `random_sample()` in turn.
    alternating: [(i64, f64); 4],
    choice_deck: [u32; 8],
    /// `choice(4, p=P)`.
    choice_weighted: [usize; 8],
    /// `shuffle([0..7])`.
    shuffle: [usize; 8],
    permutation_20: [usize; 20],
    /// `choice(20, 8, replace=False)`.
    choice_20_8: [usize; 8],
    word_10000: u32,
}

const VECTORS: [Vectors; 3] = [
    Vectors {
        seed: 0,
        state: [0x00000000, 0x00000001, 0x6c078967, 0x6b1a1930],
        words: [
            0x8c7f0aac, 0x97c4aa2f, 0xb716a675, 0xd821ccc0, 0x9a4eb343, 0xdba252fb, 0x8b7d76c3, 0xd8e57d67,
        ],
        random: [
            0.5488135039273248,
            0.7151893663724195,
            0.6027633760716439,
            0.5448831829968969,
            0.4236547993389047,
            0.6458941130666561,
            0.4375872112626925,
            0.8917730007820798,
        ],
        uniform: [
            0.004881350392732478,
            0.021518936637241942,
            0.010276337607164385,
            0.004488318299689688,
            -0.007634520066109526,
            0.014589411306665606,
            -0.00624127887373075,
            0.03917730007820798,
        ],
        randint_2: [0, 1, 1, 0, 1, 1, 1, 1],
        randint_10: [5, 0, 3, 3, 7, 9, 3, 5],
        randint_1_9: [5, 8, 6, 1, 4, 4, 4, 8],
        randint_1_6: [5, 1, 4, 4, 4, 2, 4, 3],
        randint_2_pow_32: [
            2357136044, 2546248239, 3071714933, 3626093760, 2588848963, 3684848379, 2340255427, 3638918503,
        ],
        randint_2_pow_40: [
            741280623151,
            506137267392,
            291447657211,
            841157541223,
            41332891347,
            91845220082,
            155896724055,
            300891291096,
        ],
        alternating: [
            (5, 0.8442657485810173),
            (3, 0.8472517387841254),
            (3, 0.6458941130666561),
            (4, 0.2975346065444723),
        ],
        choice_deck: [10, 6, 1, 4, 10, 4, 8, 10],
        choice_weighted: [2, 3, 3, 2, 2, 3, 2, 3],
        shuffle: [6, 2, 1, 7, 3, 0, 5, 4],
        permutation_20: [18, 1, 19, 8, 10, 17, 6, 13, 4, 2, 5, 14, 9, 7, 16, 11, 3, 0, 15, 12],
        choice_20_8: [18, 1, 19, 8, 10, 17, 6, 13],
        word_10000: 0x5bfaee80,
    },
    Vectors {
        seed: 1,
        state: [0x00000001, 0x6c078966, 0xdd5254a5, 0x7b5687a5],
        words: [
            0x6ac1f425, 0xff4780eb, 0xb8672f8c, 0xeebc1448, 0x00077eff, 0x20ccc389, 0x4d65aacb, 0xffc11e85,
        ],
        random: [
            0.417022004702574,
            0.7203244934421581,
            0.00011437481734488664,
            0.30233257263183977,
            0.14675589081711304,
            0.0923385947687978,
            0.1862602113776709,
            0.34556072704304774,
        ],
        uniform: [
            -0.008297799529742599,
            0.022032449344215804,
            -0.049988562518265514,
            -0.019766742736816025,
            -0.035324410918288696,
            -0.04076614052312022,
            -0.03137397886223291,
            -0.015443927295695228,
        ],
        randint_2: [1, 1, 0, 0, 1, 1, 1, 1],
        randint_10: [5, 8, 9, 5, 0, 0, 1, 7],
        randint_1_9: [6, 4, 5, 1, 8, 2, 4, 6],
        randint_1_6: [4, 5, 1, 2, 4, 1, 1, 2],
        randint_2_pow_32: [
            1791095845, 4282876139, 3093770124, 4005303368, 491263, 550290313, 1298508491, 4290846341,
        ],
        randint_2_pow_40: [
            163196666091,
            605300724808,
            1095766950793,
            876169207429,
            340316410816,
            620178591873,
            877839392327,
            1020783786492,
        ],
        alternating: [
            (5, 0.9971848109388686),
            (8, 0.00011437481734488664),
            (5, 0.14675589081711304),
            (0, 0.3965807272960261),
        ],
        choice_deck: [6, 10, 10, 9, 10, 10, 6, 1],
        choice_weighted: [2, 3, 0, 2, 1, 0, 1, 2],
        shuffle: [7, 2, 1, 6, 0, 4, 3, 5],
        permutation_20: [3, 16, 6, 10, 2, 14, 4, 17, 7, 1, 13, 0, 19, 18, 9, 15, 8, 12, 11, 5],
        choice_20_8: [3, 16, 6, 10, 2, 14, 4, 17],
        word_10000: 0x49c8cdbb,
    },
    Vectors {
        seed: 42,
        state: [0x0000002a, 0xb93c8a93, 0x71014437, 0x0197b52a],
        words: [
            0x5fe1dc66, 0xcbea3db3, 0xf362035c, 0x2ef5950e, 0xbb63f46a, 0xc799d447, 0x9941aebc, 0x98cb2c14,
        ],
        random: [
            0.3745401188473625,
            0.9507143064099162,
            0.7319939418114051,
            0.5986584841970366,
            0.15601864044243652,
            0.15599452033620265,
            0.05808361216819946,
            0.8661761457749352,
        ],
        uniform: [
            -0.012545988115263751,
            0.04507143064099162,
            0.023199394181140504,
            0.009865848419703657,
            -0.03439813595575635,
            -0.03440054796637974,
            -0.044191638783180054,
            0.03661761457749352,
        ],
        randint_2: [0, 1, 0, 0, 0, 1, 0, 0],
        randint_10: [6, 3, 7, 4, 6, 9, 2, 6],
        randint_1_9: [7, 4, 5, 7, 3, 8, 5, 5],
        randint_1_6: [4, 5, 3, 5, 5, 2, 3, 3],
        randint_2_pow_32: [
            1608637542, 3421126067, 4083286876, 787846414, 3143890026, 3348747335, 2571218620, 2563451924,
        ],
        randint_2_pow_40: [
            441507790259,
            395924837646,
            458615280711,
            810017303572,
            440001501305,
            902372521174,
            319800038858,
            375095422324,
        ],
        alternating: [
            (6, 0.7965429868602328),
            (7, 0.5986584841970366),
            (6, 0.44583275285359114),
            (6, 0.05808361216819946),
        ],
        choice_deck: [7, 4, 10, 10, 8, 10, 5, 7],
        choice_weighted: [2, 3, 3, 2, 1, 1, 0, 3],
        shuffle: [1, 5, 0, 7, 2, 4, 3, 6],
        permutation_20: [0, 17, 15, 1, 8, 5, 11, 3, 18, 16, 13, 2, 9, 19, 4, 12, 7, 10, 14, 6],
        choice_20_8: [0, 17, 15, 1, 8, 5, 11, 3],
        word_10000: 0x53693d74,
    },
];

fn draws<T: std::fmt::Debug, const K: usize>(seed: u32, mut draw: impl FnMut(&mut Mt19937) -> T) -> [T; K] {
    let mut rng = Mt19937::seed_from(seed);
    std::array::from_fn(|_| draw(&mut rng))
}

#[test]
fn seeding_gives_the_state_of_numpy() {
    for v in &VECTORS {
        let words = Mt19937::seed_from(v.seed).words;
        assert_eq!([words[0], words[1], words[2], words[N - 1]], v.state);
    }
}

#[test]
fn words_and_doubles_are_those_of_numpy() {
    for v in &VECTORS {
        assert_eq!(draws(v.seed, Mt19937::next_u32), v.words);
        assert_eq!(draws(v.seed, Mt19937::random_sample), v.random);
        assert_eq!(draws(v.seed, |rng| rng.uniform(-0.05, 0.05)), v.uniform);
        let mut rng = Mt19937::seed_from(v.seed);
        assert_eq!((0..10_000).map(|_| rng.next_u32()).last(), Some(v.word_10000));
    }
}

#[test]
fn bounded_integers_are_those_of_numpy() {
    for v in &VECTORS {
        assert_eq!(draws(v.seed, |rng| rng.randint(0, 2)), v.randint_2);
        assert_eq!(draws(v.seed, |rng| rng.randint(0, 10)), v.randint_10);
        assert_eq!(draws(v.seed, |rng| rng.randint(1, 9)), v.randint_1_9);
        assert_eq!(draws(v.seed, |rng| rng.randint(1, 6)), v.randint_1_6);
        assert_eq!(draws(v.seed, |rng| rng.randint(0, 1 << 32)), v.randint_2_pow_32);
        assert_eq!(draws(v.seed, |rng| rng.randint(0, 1 << 40)), v.randint_2_pow_40);
        assert_eq!(draws(v.seed, |rng| (rng.randint(0, 10), rng.random_sample())), v.alternating);
    }
}

#[test]
fn shuffles_and_choices_are_those_of_numpy() {
    for v in &VECTORS {
        assert_eq!(draws(v.seed, |rng| *rng.choice(&DECK)), v.choice_deck);
        assert_eq!(draws(v.seed, |rng| rng.choice_weighted(&P).unwrap()), v.choice_weighted);
        let mut items = [0, 1, 2, 3, 4, 5, 6, 7];
        Mt19937::seed_from(v.seed).shuffle(&mut items);
        assert_eq!(items, v.shuffle);
        assert_eq!(Mt19937::seed_from(v.seed).permutation(20), v.permutation_20);
        assert_eq!(Mt19937::seed_from(v.seed).choice_without_replacement(20, 8), v.choice_20_8);
    }
}

#[test]
fn keys_of_several_words_give_the_words_of_numpy() {
    let mut rng = Mt19937::from_key(&[0x123, 0x234, 0x345, 0x456]);
    let words: [u32; 8] = std::array::from_fn(|_| rng.next_u32());
    let expected = [
        0x3fa2_3623,
        0x38fa_935f,
        0x1c72_dc38,
        0xf4cf_2f5f,
        0xfc11_0f5c,
        0xc756_77aa,
        0xc802_152f,
        0x0d91_55da,
    ];
    assert_eq!(words, expected);
}

#[test]
fn seeds_over_32_bits_and_sequences_are_keys() {
    let seeded = |seed| Mt19937::from_seed(&seed);
    assert_eq!(seeded(Seed::Integer(5)), Mt19937::seed_from(5));
    assert_ne!(Mt19937::from_key(&[5]), Mt19937::seed_from(5));
    assert_eq!(seeded(Seed::Integer(7 << 32 | 5)), Mt19937::from_key(&[5, 7]));
    let sequence = SeedSequence::new(3);
    let key = sequence.generate_state(8);
    assert_eq!(seeded(Seed::Sequence(sequence)), Mt19937::from_key(&key));
}

#[test]
fn impossible_weights_are_errors_and_draw_nothing() {
    let mut rng = Mt19937::seed_from(1);
    for weights in [&[][..], &[0.0, 0.0], &[1.0, -1.0], &[f64::NAN]] {
        assert!(rng.choice_weighted(weights).is_err(), "{weights:?}");
    }
    assert_eq!(rng.below(1), 0);
    assert!(rng.is_fresh());
    rng.next_u32();
    assert!(!rng.is_fresh());
}

#[test]
fn a_restored_generator_draws_on() {
    let mut rng = Mt19937::seed_from(9);
    for _ in 0..700 {
        rng.next_u32();
    }
    let bytes = postcard::to_stdvec(&rng).unwrap();
    assert!(bytes.len() <= 2496 + 4, "{}", bytes.len());
    let mut restored: Mt19937 = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(restored, rng);
    assert_eq!(restored.next_u64(), rng.next_u64());
    let damaged = SavedMt19937 { words: vec![0; 2496], index: 626 };
    assert!(Mt19937::try_from(damaged).is_err());
}
