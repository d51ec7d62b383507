//! Twenty thousand steps of each game, as digests of all observations, rewards and ends.

use super::*;
use Driver::{LookingAhead, Random, Upwards};

const STEPS: usize = 20_000;
const EARLY: usize = 1000;

/// How actions are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Driver {
    Random,
    /// Mostly up.
    Upwards,
    /// The first action that can be survived for four steps.
    LookingAhead,
}

/// Episodes that ended, the sum of rewards and the digest up to a step.
type Sums = (usize, u32, u64);

struct Row {
    driver: Driver,
    seed: u32,
    early: Sums,
    late: Sums,
    /// Steps of the longest episode that ended.
    longest: usize,
    /// A draw after the last step: the stream is in the same place.
    next: f64,
}

struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

struct Fnv1a(u64);

impl Fnv1a {
    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }

    /// The image's cells as bits, the first one highest.
    fn image<const C: usize>(&mut self, image: &Image<C>) {
        for bytes in image.as_flattened().chunks(8) {
            assert!(bytes.iter().all(|&byte| byte == 0 || byte == 255));
            self.byte(bytes.iter().enumerate().fold(0, |bits, (i, byte)| bits | (byte >> 7) << (7 - i)));
        }
    }
}

impl Driver {
    fn action<G: Game<C>, const C: usize>(self, played: &Played<G, C>, source: &mut SplitMix64) -> usize {
        let z = (source.next() >> 33) as usize;
        let survives = |&action: &usize| {
            let mut copy = played.clone();
            [action, 0, 0, 0].iter().all(|&action| !copy.act(action).terminated)
        };
        match self {
            Upwards if (z >> 8) % 10 < 7 => 2,
            Random | Upwards => z % 6,
            LookingAhead => (0..6).map(|j| (z + j) % 6).find(survives).unwrap_or(z % 6),
        }
    }
}

fn check<G: Game<C>, const C: usize>(rows: &[Row]) {
    for row in rows {
        let mut played = Played::<G, C>::new(row.seed, 0.1);
        let mut source = SplitMix64(u64::from(row.seed));
        let mut digest = Fnv1a(0xcbf2_9ce4_8422_2325);
        let (mut episodes, mut reward, mut length, mut longest, mut early) = (0, 0, 0, 0, None);
        digest.image(&played.image());
        for step in 1..=STEPS {
            let action = row.driver.action(&played, &mut source);
            let outcome = played.act(action);
            digest.byte(outcome.reward as u8);
            digest.byte(u8::from(outcome.terminated));
            digest.image(&played.image());
            reward += outcome.reward;
            length += 1;
            if outcome.terminated {
                played.reset();
                digest.image(&played.image());
                episodes += 1;
                longest = longest.max(length);
                length = 0;
            }
            if step == EARLY {
                early = Some((episodes, reward, digest.0));
            }
        }
        let name = format!("{:?}, seed {}", row.driver, row.seed);
        assert_eq!(early, Some(row.early), "{name}, the first thousand steps");
        assert_eq!((episodes, reward, digest.0), row.late, "{name}");
        assert_eq!((longest, played.rng.random_sample()), (row.longest, row.next), "{name}");
    }
}

#[test]
fn asterix_gives_the_digests_of_the_reference() {
    check::<Asterix, 4>(&[
        Row {
            driver: Random,
            seed: 0,
            early: (13, 5, 0x819a_7d73_676a_cf5a),
            late: (300, 136, 0xd350_4efd_9a24_cbdb),
            longest: 231,
            next: 0.45786645939729886,
        },
        Row {
            driver: Random,
            seed: 1,
            early: (14, 8, 0xfe82_d54b_6497_49d2),
            late: (258, 151, 0x0312_ad56_22d2_c814),
            longest: 363,
            next: 0.35081640220098265,
        },
        Row {
            driver: Random,
            seed: 42,
            early: (14, 4, 0xc736_d8ac_eb49_6e49),
            late: (288, 144, 0x7772_2540_8311_60df),
            longest: 314,
            next: 0.37379489004091204,
        },
        Row {
            driver: LookingAhead,
            seed: 0,
            early: (0, 14, 0x4ed8_cf8e_52ef_b840),
            late: (19, 435, 0x7bdc_e424_615c_e2dc),
            longest: 1575,
            next: 0.19896549369749872,
        },
        Row {
            driver: LookingAhead,
            seed: 1,
            early: (0, 19, 0x1ca8_3f5c_76f1_7f5f),
            late: (19, 417, 0xfa93_9396_2980_5fd6),
            longest: 1378,
            next: 0.9014764762968334,
        },
    ]);
}

#[test]
fn breakout_gives_the_digests_of_the_reference() {
    check::<Breakout, 4>(&[
        Row {
            driver: Random,
            seed: 0,
            early: (87, 47, 0x9db5_d5d1_7b5f_1651),
            late: (1769, 917, 0x507b_7411_1d40_e443),
            longest: 82,
            next: 0.7891692470459987,
        },
        Row {
            driver: Random,
            seed: 1,
            early: (90, 44, 0xcc06_f2ed_ef3b_f339),
            late: (1811, 894, 0x8de3_b986_c351_897a),
            longest: 60,
            next: 0.27605885577983846,
        },
        Row {
            driver: Random,
            seed: 42,
            early: (83, 49, 0x4e7f_5a37_a5e2_c90c),
            late: (1788, 906, 0xbc6a_3686_89ee_531d),
            longest: 74,
            next: 0.3358498680900046,
        },
        Row {
            driver: LookingAhead,
            seed: 0,
            early: (33, 75, 0xd7f7_3043_db49_5c26),
            late: (701, 1495, 0xd7ca_8728_a7aa_455e),
            longest: 116,
            next: 0.9304098415193366,
        },
        Row {
            driver: LookingAhead,
            seed: 1,
            early: (44, 70, 0xd6dd_d85e_6791_ae75),
            late: (719, 1487, 0xa683_2830_8392_dc25),
            longest: 92,
            next: 0.7227447201215563,
        },
    ]);
}

#[test]
fn freeway_gives_the_digests_of_the_reference() {
    check::<Freeway, 7>(&[
        Row {
            driver: Upwards,
            seed: 0,
            early: (0, 5, 0x9c07_9fc8_9174_cc2a),
            late: (7, 181, 0xebc7_8dd1_3739_ef5c),
            longest: 2501,
            next: 0.27289481290012363,
        },
        Row {
            driver: Upwards,
            seed: 1,
            early: (0, 11, 0x7a15_0915_560b_ce74),
            late: (7, 170, 0xd8ed_1741_14e9_5541),
            longest: 2501,
            next: 0.9933095092350821,
        },
        Row {
            driver: Upwards,
            seed: 42,
            early: (0, 12, 0x6a49_c26a_c2eb_46b3),
            late: (7, 177, 0x21c4_df0f_c2b6_a797),
            longest: 2501,
            next: 0.9701017643315615,
        },
    ]);
}

#[test]
fn seaquest_gives_the_digests_of_the_reference() {
    check::<Seaquest, 10>(&[
        Row {
            driver: Random,
            seed: 0,
            early: (38, 2, 0x29ad_0f99_540a_21ce),
            late: (707, 57, 0xf3db_5a9e_9ada_481b),
            longest: 210,
            next: 0.4281184829668767,
        },
        Row {
            driver: Random,
            seed: 1,
            early: (37, 5, 0x53d1_9086_b842_09b2),
            late: (619, 68, 0x531e_ba7c_a598_179c),
            longest: 244,
            next: 0.7017501839478701,
        },
        Row {
            driver: Random,
            seed: 42,
            early: (32, 5, 0x64de_5df9_3f2f_84bd),
            late: (677, 59, 0x7c46_66d8_1af2_9275),
            longest: 234,
            next: 0.8491630701436206,
        },
        Row {
            driver: LookingAhead,
            seed: 0,
            early: (1, 12, 0xec8d_9cf3_1d29_c3a0),
            late: (48, 122, 0x660d_f47e_f509_fdf2),
            longest: 1202,
            next: 0.17391393058800442,
        },
        Row {
            driver: LookingAhead,
            seed: 1,
            early: (3, 6, 0x131e_63b4_7b8c_d5d7),
            late: (68, 135, 0x3e21_03a2_e203_6247),
            longest: 692,
            next: 0.06936361426803983,
        },
    ]);
}

#[test]
fn space_invaders_gives_the_digests_of_the_reference() {
    check::<SpaceInvaders, 6>(&[
        Row {
            driver: Random,
            seed: 0,
            early: (18, 47, 0x8ee3_0d3a_e323_ab61),
            late: (379, 1127, 0x7b7d_6102_f2aa_df4c),
            longest: 303,
            next: 0.3921729613508653,
        },
        Row {
            driver: Random,
            seed: 1,
            early: (18, 46, 0xe1eb_97a9_fbab_cedf),
            late: (393, 1113, 0x7315_ef33_416d_0bb4),
            longest: 216,
            next: 0.8058020363002086,
        },
        Row {
            driver: Random,
            seed: 42,
            early: (16, 58, 0x1b5f_2ecd_dd63_50bb),
            late: (414, 1144, 0xf6f4_e6c6_0ae8_518d),
            longest: 195,
            next: 0.7299983109899704,
        },
        Row {
            driver: LookingAhead,
            seed: 0,
            early: (2, 47, 0x1f17_7d05_20e6_c9aa),
            late: (48, 828, 0xdd80_b926_aa89_f6a7),
            longest: 493,
            next: 0.3921729613508653,
        },
        Row {
            driver: LookingAhead,
            seed: 1,
            early: (2, 37, 0xb804_4f1b_5c19_d004),
            late: (49, 797, 0xd252_a90c_b963_d497),
            longest: 489,
            next: 0.8058020363002086,
        },
    ]);
}
