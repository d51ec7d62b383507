use proptest::prelude::*;
use rand::Rng;

use super::*;

const DECK: [u32; 13] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10, 10];
const P: [f64; 4] = [0.1, 0.2, 0.3, 0.4];

/// Draws of numpy 2.4.6; each field starts from a freshly seeded generator.
struct Vectors {
    seed: u64,
    state: u128,
    increment: u128,
    words: [u64; 8],
    random: [f64; 8],
    /// `uniform(-0.05, 0.05)`.
    uniform: [f64; 8],
    integers_2: [i64; 8],
    integers_10: [i64; 8],
    integers_1_9: [i64; 8],
    integers_3221225472: [i64; 8],
    integers_2_pow_32: [i64; 8],
    integers_2_pow_40: [i64; 8],
    /// `integers(10)` and `random()` in turn.
    alternating: [(i64, f64); 4],
    choice_deck: [u32; 8],
    /// `choice(4, p=P)`.
    choice_weighted: [usize; 8],
    /// `categorical_sample(P)`.
    categorical: [usize; 8],
    /// `shuffle([0..7])`.
    shuffle: [usize; 8],
    permutation_20: [usize; 20],
    /// `choice(20, 8, replace=False)`.
    choice_20_8: [usize; 8],
    /// `integers(0, 100, 8, dtype=int8)`.
    bytes_100: [u8; 8],
    word_10000: u64,
}

const VECTORS: [Vectors; 3] = [
    Vectors {
        seed: 0,
        state: 0x1aa1b5345996452d09585eb7a69561e3,
        increment: 0x418ddadb3af71a82588133bc447873a9,
        words: [
            0xa30febcfd9c2825f,
            0x4510bdf882d9d721,
            0x0a7d3da94ecde8b8,
            0x043b27b61342f01d,
            0xd0327a782cde513b,
            0xe9aa5979a6401c4e,
            0x9b4c7b7180edb27f,
            0xbac0495ff8829a45,
        ],
        random: [
            0.6369616873214543,
            0.2697867137638703,
            0.04097352393619469,
            0.016527635528529094,
            0.8132702392002724,
            0.9127555772777217,
            0.6066357757671799,
            0.7294965609839984,
        ],
        uniform: [
            0.013696168732145436,
            -0.02302132862361297,
            -0.045902647606380534,
            -0.04834723644714709,
            0.031327023920027244,
            0.04127555772777218,
            0.010663577576717986,
            0.022949656098399843,
        ],
        integers_2: [1, 1, 1, 0, 0, 0, 0, 0],
        integers_10: [8, 6, 5, 2, 3, 0, 0, 0],
        integers_1_9: [7, 6, 5, 3, 3, 1, 1, 1],
        integers_3221225472: [
            2740052423, 2051797211, 1646485848, 131984958, 242365461, 53239240, 564575468, 2091914554,
        ],
        integers_2_pow_32: [
            3653403231, 2735729615, 2195314465, 1158725112, 1322117304, 175979945, 323153949, 70985654,
        ],
        integers_2_pow_40: [
            700346781657,
            296633628802,
            45050865998,
            18172327443,
            894200084524,
            1003585370534,
            667003089280,
            802089951224,
        ],
        alternating: [
            (8, 0.2697867137638703),
            (6, 0.04097352393619469),
            (0, 0.8132702392002724),
            (0, 0.9127555772777217),
        ],
        choice_deck: [10, 9, 7, 4, 5, 1, 1, 1],
        choice_weighted: [3, 1, 0, 0, 3, 3, 3, 3],
        categorical: [3, 1, 0, 0, 3, 3, 3, 3],
        shuffle: [2, 4, 3, 6, 5, 0, 1, 7],
        permutation_20: [4, 19, 6, 2, 13, 16, 3, 11, 10, 8, 0, 12, 7, 5, 18, 17, 14, 9, 1, 15],
        choice_20_8: [11, 1, 19, 7, 5, 4, 0, 8],
        bytes_100: [50, 75, 84, 80, 91, 5, 63, 12],
        word_10000: 0x059da252d85b48c2,
    },
    Vectors {
        seed: 1,
        state: 0x9c5b484bfedb756c2a6e7d6f320fbc7e,
        increment: 0x922af2da2645f895a19857b95740937b,
        words: [
            0x8306bdf37922e4ff,
            0xf35196bbc152a866,
            0x24e7a4f608ec18cd,
            0xf2dab0aed2ac6fd2,
            0x4fd42fa03fcd72a9,
            0x6c5f1f45de787048,
            0xd3e4513345ee6d24,
            0x68c1464c41ca3aca,
        ],
        random: [
            0.5118216247002567,
            0.9504636963259353,
            0.14415961271963373,
            0.9486494471372439,
            0.31183145201048545,
            0.42332644897257565,
            0.8277025938204418,
            0.4091991363691613,
        ],
        uniform: [
            0.0011821624700256717,
            0.045046369632593536,
            -0.03558403872803663,
            0.04486494471372439,
            -0.018816854798951455,
            -0.007667355102742433,
            0.032770259382044184,
            -0.00908008636308387,
        ],
        integers_2: [0, 1, 1, 1, 0, 0, 1, 1],
        integers_10: [4, 5, 7, 9, 0, 1, 8, 9],
        integers_1_9: [4, 5, 7, 8, 1, 2, 7, 8],
        integers_3221225472: [
            1524247487, 1648692854, 2432564812, 3061657868, 112267929, 464370616, 2650887133, 3055813762,
        ],
        integers_2_pow_32: [
            2032329983, 2198257139, 3243419750, 4082210491, 149690573, 619160822, 3534516178, 4074418350,
        ],
        integers_2_pow_40: [
            562753827705,
            1045045885889,
            158505170440,
            1043051097810,
            342862307391,
            465452352990,
            910068626245,
            449919208513,
        ],
        alternating: [
            (4, 0.9504636963259353),
            (5, 0.14415961271963373),
            (8, 0.31183145201048545),
            (9, 0.42332644897257565),
        ],
        choice_deck: [7, 7, 10, 10, 1, 2, 10, 10],
        choice_weighted: [2, 3, 1, 3, 2, 2, 3, 2],
        categorical: [2, 3, 1, 3, 2, 2, 3, 2],
        shuffle: [5, 0, 1, 4, 2, 6, 3, 7],
        permutation_20: [1, 10, 18, 16, 7, 11, 12, 17, 15, 2, 3, 4, 5, 8, 0, 9, 14, 13, 6, 19],
        choice_20_8: [15, 6, 0, 19, 18, 2, 11, 7],
        bytes_100: [99, 13, 47, 94, 73, 2, 39, 65],
        word_10000: 0x7b408ca295dd451b,
    },
    Vectors {
        seed: 42,
        state: 0xcea44f6798798f2aacbc7c9d68860ac8,
        increment: 0xfa505436c9a8416e66caf2e28d25abff,
        words: [
            0xc621fbcd16d92688,
            0x705a5661a791ffc1,
            0xdbcd12c26eda1624,
            0xb286b60e1600888d,
            0x181c01b5339381eb,
            0xf9c262ed86c7538c,
            0xc2da0d2fbc5a4471,
            0xc93b82a3b7ac9740,
        ],
        random: [
            0.7739560485559633,
            0.4388784397520523,
            0.8585979199113825,
            0.6973680290593639,
            0.09417734788764953,
            0.9756223516367559,
            0.761139701990353,
            0.7860643052769538,
        ],
        uniform: [
            0.027395604855596334,
            -0.006112156024794771,
            0.03585979199113824,
            0.019736802905936393,
            -0.04058226521123505,
            0.047562235163675595,
            0.026113970199035302,
            0.02860643052769539,
        ],
        integers_2: [0, 1, 1, 0, 0, 1, 0, 1],
        integers_10: [0, 7, 6, 4, 4, 8, 0, 6],
        integers_1_9: [1, 7, 6, 4, 4, 7, 1, 6],
        integers_3221225472: [
            2493086937, 2108522448, 1413726408, 2765737489, 276850281, 2246379658, 648978800, 303366471,
        ],
        integers_2_pow_32: [
            383329928, 3324115917, 2811363265, 1884968545, 1859786276, 3687649986, 369133709, 2995172878,
        ],
        integers_2_pow_40: [
            850973674774,
            482551947687,
            944038396526,
            766764256790,
            103549089075,
            1072708119942,
            836881952700,
            864286843831,
        ],
        alternating: [
            (0, 0.4388784397520523),
            (7, 0.8585979199113825),
            (0, 0.09417734788764953),
            (6, 0.9756223516367559),
        ],
        choice_deck: [2, 10, 9, 6, 6, 10, 2, 10],
        choice_weighted: [3, 2, 3, 3, 0, 3, 3, 3],
        categorical: [3, 2, 3, 3, 0, 3, 3, 3],
        shuffle: [3, 4, 2, 7, 6, 1, 5, 0],
        permutation_20: [15, 9, 14, 7, 12, 10, 6, 19, 3, 0, 16, 5, 11, 18, 2, 4, 17, 1, 13, 8],
        choice_20_8: [18, 13, 15, 9, 16, 7, 1, 10],
        bytes_100: [14, 84, 8, 12, 77, 75, 99, 56],
        word_10000: 0x7b1cc5965b55ba08,
    },
];

/// The results of calling `draw` on a fresh generator as often as the recorded draws need.
fn draws<T: std::fmt::Debug, const N: usize>(seed: u64, mut draw: impl FnMut(&mut Pcg64) -> T) -> [T; N] {
    let mut rng = Pcg64::seed_from(seed);
    std::array::from_fn(|_| draw(&mut rng))
}

#[test]
fn seeding_gives_the_state_of_numpy() {
    for v in VECTORS {
        assert_eq!(Pcg64::seed_from(v.seed).state(), (v.state, v.increment, None), "seed {}", v.seed);
    }
}

#[test]
fn words_and_doubles_are_those_of_numpy() {
    for v in VECTORS {
        assert_eq!(draws(v.seed, Pcg64::next_u64), v.words);
        assert_eq!(draws(v.seed, Pcg64::random), v.random);
        assert_eq!(draws(v.seed, |rng| rng.uniform(-0.05, 0.05)), v.uniform);
        assert_eq!(draws(v.seed, |rng| i64::from(rng.next_u32())), v.integers_2_pow_32);

        let mut rng = Pcg64::seed_from(v.seed);
        assert_eq!((0..10_000).map(|_| rng.next_u64()).last(), Some(v.word_10000));
    }
}

#[test]
fn bounded_integers_are_those_of_numpy() {
    for v in VECTORS {
        assert_eq!(draws(v.seed, |rng| rng.integers(0, 2)), v.integers_2);
        assert_eq!(draws(v.seed, |rng| rng.integers(0, 10)), v.integers_10);
        assert_eq!(draws(v.seed, |rng| rng.integers(1, 9)), v.integers_1_9);
        assert_eq!(draws(v.seed, |rng| rng.integers(0, 3_221_225_472)), v.integers_3221225472);
        assert_eq!(draws(v.seed, |rng| rng.integers(0, 1 << 32)), v.integers_2_pow_32);
        assert_eq!(draws(v.seed, |rng| rng.integers(0, 1 << 40)), v.integers_2_pow_40);
        assert_eq!(draws(v.seed, |rng| DECK[rng.bounded(12) as usize]), v.choice_deck);

        let mut bytes = [0; 8];
        Pcg64::seed_from(v.seed).bytes_bounded(99, &mut bytes);
        assert_eq!(bytes, v.bytes_100);
    }
}

#[test]
fn kept_half_word_survives_64_bit_draws() {
    for v in VECTORS {
        assert_eq!(draws(v.seed, |rng| (rng.integers(0, 10), rng.random())), v.alternating);
    }
}

#[test]
fn categorical_draws_are_those_of_numpy_and_gymnasium() {
    for v in VECTORS {
        assert_eq!(draws(v.seed, |rng| rng.choice_weighted(&P).unwrap()), v.choice_weighted);
        assert_eq!(draws(v.seed, |rng| rng.categorical_sample(&P)), v.categorical);
    }
}

#[test]
fn shuffles_and_choices_are_those_of_numpy() {
    for v in VECTORS {
        let mut items = [0, 1, 2, 3, 4, 5, 6, 7];
        Pcg64::seed_from(v.seed).shuffle(&mut items);
        assert_eq!(items, v.shuffle);
        assert_eq!(Pcg64::seed_from(v.seed).permutation(20), v.permutation_20);
        assert_eq!(Pcg64::seed_from(v.seed).choice_without_replacement(20, 8), v.choice_20_8);
    }
}

/// `rng.choice(n, k, replace=False)` of `default_rng(7)`: the first results and the `random()` that follows.
#[test]
fn choices_from_large_populations_are_those_of_numpy() {
    let recorded: [(usize, usize, &[usize], f64); 4] = [
        (20_000, 500, &[7349, 10231, 16198, 13269, 12921, 3744, 2608, 16458], 0.3717239527744183),
        (20_000, 300, &[2591, 14841, 4839, 19012, 19545, 3684, 18761, 10921], 0.6412291106098151),
        (20_000, 20_000, &[4588, 6130, 7474, 5631, 4154, 19034, 680, 12656], 0.5252521540510995),
        (5, 5, &[1, 0, 4, 3, 2], 0.30016628491122543),
    ];
    for (n, k, first, next) in recorded {
        let mut rng = Pcg64::seed_from(7);
        let mut chosen = rng.choice_without_replacement(n, k);
        assert_eq!(chosen[..first.len()], *first, "{k} of {n}");
        assert_eq!(rng.random(), next, "{k} of {n}");
        chosen.sort_unstable();
        chosen.dedup();
        assert_eq!(chosen.len(), k);
    }
}

/// Seed 7: the draw, then `random()` and `integers(10)` (which shows the half word left behind).
#[test]
fn byte_draws_are_those_of_numpy() {
    let mut rng = Pcg64::seed_from(7);
    let mut bytes = [0; 6];
    rng.bytes_bounded(255, &mut bytes);
    assert_eq!(bytes, [139, 74, 229, 241, 169, 65]);
    assert_eq!((rng.random(), rng.integers(0, 10)), (0.8972138009695755, 5));

    let mut rng = Pcg64::seed_from(7);
    rng.bytes_bounded(1, &mut bytes);
    assert_eq!(bytes, [1, 0, 1, 1, 1, 0]);
    assert_eq!((rng.random(), rng.integers(0, 10)), (0.8972138009695755, 5));

    let mut rng = Pcg64::seed_from(7);
    let mut bytes = [0; 7];
    rng.fill_bytes(&mut bytes);
    assert_eq!(bytes, [139, 74, 229, 241, 169, 65, 6]);
    assert_eq!((rng.random(), rng.integers(0, 10)), (0.8972138009695755, 5));
}

/// Seed 7, one draw after the other.
#[test]
fn integers_cover_the_whole_range_of_64_bits() {
    let mut rng = Pcg64::seed_from(7);
    assert_eq!(rng.integers(i64::MIN, i64::MAX), 2307604057237572234);
    assert_eq!(rng.bounded(u64::MAX).wrapping_add(i64::MIN as u64) as i64, 7327301329031162517);
    assert_eq!(rng.integers(-5, 5), 0);
    assert_eq!(rng.integers(0, i64::MAX), 2077169698657866656);
    assert_eq!(rng.random(), 0.30016628491122543);
}

#[test]
fn certain_outcomes_draw_nothing_but_categorical_draws_always() {
    let fresh = Pcg64::seed_from(3);
    let mut rng = fresh.clone();
    assert_eq!(rng.integers(4, 5), 4);
    assert_eq!((rng.bounded(0), rng.interval(0)), (0, 0));
    rng.bytes_bounded(0, &mut [1, 2]);
    rng.shuffle(&mut ["alone"]);
    assert_eq!(rng, fresh);

    assert_eq!(rng.categorical_sample(&[1.0]), 0);
    assert_ne!(rng, fresh);
}

#[test]
fn probabilities_that_fall_short_of_one_give_zero_or_are_scaled() {
    // The running sum never exceeds the draw: Gymnasium's rule falls back to 0, NumPy's divides by the total.
    let mut rng = Pcg64::seed_from(0);
    assert_eq!(rng.categorical_sample(&[1e-9, 1e-9]), 0);
    let mut rng = Pcg64::seed_from(0);
    assert_eq!(rng.choice_weighted(&[1e-9, 1e-9]), Ok(1));
}

#[test]
fn impossible_weights_are_errors_and_draw_nothing() {
    let mut rng = Pcg64::seed_from(0);
    assert_eq!(rng.choice_weighted(&[0.5, -0.1]), Err(RandomError::InvalidWeight { index: 1, weight: -0.1 }));
    assert!(rng.choice_weighted(&[f64::NAN]).is_err());
    assert_eq!(rng.choice_weighted(&[0.0, 0.0]), Err(RandomError::InvalidTotal { len: 2, sum: 0.0 }));
    let message = rng.choice_weighted(&[]).unwrap_err().to_string();
    assert_eq!(message, "weights must have a positive, finite sum, got 0 from 0 weights");
    assert_eq!(rng, Pcg64::seed_from(0));
}

#[test]
fn saved_state_keeps_the_half_word() {
    let mut rng = Pcg64::seed_from(11);
    rng.next_u32();
    let saved = postcard::to_allocvec(&rng).unwrap();
    let mut restored: Pcg64 = postcard::from_bytes(&saved).unwrap();
    assert_eq!(restored, rng);
    assert_eq!(restored.next_u32(), rng.next_u32());

    let (state, increment, half_word) = rng.state();
    assert_eq!(Pcg64::from_state(state, increment, half_word), Ok(rng));
}

#[test]
fn even_increments_are_refused() {
    let error = Pcg64::from_state(1, 2, None).unwrap_err();
    assert_eq!(error, RandomError::EvenIncrement { increment: 2 });
    let saved = SavedPcg64 { state: [0, 1], increment: [0, 2], half_word: None };
    assert!(postcard::from_bytes::<Pcg64>(&postcard::to_allocvec(&saved).unwrap()).is_err());
}

#[test]
#[should_panic(expected = "the range of integers must not be empty, got 3..3")]
fn empty_range_panics() {
    Pcg64::seed_from(0).integers(3, 3);
}

proptest! {
    #[test]
    fn bounded_integers_stay_in_bounds(seed: u64, max: u64, small in 0..300u64, byte: u8) {
        let mut rng = Pcg64::seed_from(seed);
        for bound in [max, max >> 32, small] {
            prop_assert!(rng.bounded(bound) <= bound);
            prop_assert!(rng.interval(bound) <= bound);
        }
        let mut bytes = [0; 9];
        rng.bytes_bounded(byte, &mut bytes);
        prop_assert!(bytes.iter().all(|&b| b <= byte));
    }

    #[test]
    fn permutations_hold_every_number_once(seed: u64, n in 0..200usize) {
        let mut order = Pcg64::seed_from(seed).permutation(n);
        order.sort_unstable();
        prop_assert_eq!(order, (0..n).collect::<Vec<_>>());
    }
}
