//! Tests of bsuite's tasks: hand-played episodes and scores.

use super::*;
use crate::{Action, Env, MakeOptions, Outcome, Pcg64, Registry};

/// Return and length of an episode in which `act` sees the observation.
fn episode(env: &mut impl Env<Obs = f32>, seed: u64, mut act: impl FnMut(&[f32], u32) -> u32) -> (f64, u32) {
    let mut rng = Pcg64::seed_from(seed);
    let mut obs = vec![0.0; env.observation_space().packed_len()];
    env.reset(&mut rng, &mut obs);
    let (mut total, mut steps) = (0.0, 0);
    loop {
        let step = env.step(Action::Discrete(&[act(&obs, steps)]), &mut rng, &mut obs);
        total += step.reward;
        steps += 1;
        if step.outcome == Outcome::Terminated {
            return (total, steps);
        }
    }
}

#[test]
fn following_the_ball_catches_it() {
    let follow = |obs: &[f32], _: u32| {
        let ball = obs.iter().position(|&cell| cell == 1.0).unwrap() % 5;
        let paddle = obs[45..].iter().position(|&cell| cell == 1.0).unwrap();
        (1 + i64::from(ball > paddle) - i64::from(ball < paddle)) as u32
    };
    for seed in 0..20 {
        assert_eq!(episode(&mut Catch::default(), seed, follow), (1.0, 9));
    }
    let stay = (0..20).map(|seed| episode(&mut Catch::default(), seed, |_, _| 1).0).sum::<f64>();
    assert!(stay < 0.0, "staying in the middle catches one ball of five");
}

#[test]
fn the_bit_shown_first_is_asked_for_last() {
    let args = MemoryChainArgs { memory_length: Some(7), num_bits: Some(3) };
    for seed in 0..20 {
        let mut env = MemoryChain::new(args, 1).unwrap();
        let (mut bits, mut query) = (Vec::new(), 0);
        let remember = |obs: &[f32], step: u32| {
            if step == 0 {
                bits = obs[2..].to_vec();
            }
            query = query.max(obs[1] as usize);
            u32::from(bits[query] == 1.0)
        };
        assert_eq!(episode(&mut env, seed, remember), (1.0, 8));
    }
}

#[test]
fn one_path_of_deep_sea_pays_and_its_mapping_is_numpys() {
    let mut env = DeepSea::new(DeepSeaArgs { size: 12, ..Default::default() }, false).unwrap();
    let plain = DeepSeaArgs { size: 12, randomize_actions: false, ..Default::default() };
    let (total, steps) = episode(&mut DeepSea::new(plain, false).unwrap(), 0, |_, _| 1);
    assert!((total - 0.99).abs() < 1e-9 && steps == 12);
    // RandomState(42) draws 0.3745, 0.9507, 0.7320, 0.5987, 0.1560: right is action 0, 1, 1, 1, 0 in the first cells.
    let mut obs = vec![0.0; 144];
    let mut rng = Pcg64::seed_from(0);
    env.reset(&mut rng, &mut obs);
    env.step(Action::Discrete(&[0]), &mut rng, &mut obs);
    assert_eq!(obs[12 + 1], 1.0, "action 0 means right in the first cell");
    let (total, _) = episode(&mut env, 0, |_, _| 1);
    assert!(total < 0.5, "one action all the way does not find the treasure");
}

#[test]
fn the_first_action_decides_about_the_umbrella() {
    let args = UmbrellaChainArgs { chain_length: 1, n_distractor: 3 };
    for seed in 0..10 {
        let (right, _) = episode(&mut UmbrellaChain::new(args).unwrap(), seed, |obs, _| obs[0] as u32);
        let (wrong, _) = episode(&mut UmbrellaChain::new(args).unwrap(), seed, |obs, _| 1 - obs[0] as u32);
        assert_eq!((right, wrong), (1.0, -1.0));
    }
}

#[test]
fn the_better_chain_pays_a_tenth_more() {
    for chain in 0..5 {
        let mut env = DiscountingChain::new(DiscountingChainArgs { mapping_seed: 7 }).unwrap();
        let (total, steps) = episode(&mut env, 0, |_, _| chain);
        assert_eq!((total, steps), (if chain == 2 { 1.1 } else { 1.0 }, 100));
    }
}

#[test]
fn scores_are_those_of_hand_computed_cases() {
    let run = |size: i64, returns: &[f64]| (size, returns.to_vec());
    assert_eq!(Score::Catch.of(&[run(0, &[1.0, 1.0])]), 1.0);
    assert!((Score::Catch.of(&[run(0, &[1.0, -1.0])]) - 0.375).abs() < 1e-12, "regret 1 of 1.6");
    assert_eq!(Score::Memory.of(&[run(1, &[1.0, 1.0, -1.0]), run(2, &[1.0, -1.0])]), 0.5);
    assert_eq!(Score::Umbrella.of(&[run(1, &[1.0, 1.0]), run(2, &[1.0, -1.0])]), 0.5);
    let late: Vec<f64> = (0..2000).map(|episode| if episode < 1900 { -0.01 } else { 0.99 }).collect();
    let early: Vec<f64> = (0..200).map(|episode| if episode < 100 { -0.01 } else { 0.99 }).collect();
    assert_eq!(Score::DeepSea.of(&[run(10, &early), run(10, &late)]), 0.5);
    assert!((Score::DiscountingChain.of(&[run(0, &[1.1, 1.05])]) - 0.75).abs() < 1e-9);
    assert_eq!(settings("bsuite/memory_len-v0").unwrap().1.len(), 23);
    assert_eq!(settings("bsuite/deep_sea-v0").unwrap().1.len(), 21);
    assert!(settings("bsuite/nothing-v0").is_err());
}

#[test]
fn sizes_out_of_range_are_refused() {
    for (id, argument) in [
        ("bsuite/deep_sea-v0", "size = 1"),
        ("bsuite/memory_len-v0", "memory_length = 0"),
        ("bsuite/umbrella_length-v0", "chain_length = 0"),
        ("bsuite/discounting_chain-v0", "seed = 1"),
    ] {
        let options = MakeOptions { args: argument.parse().unwrap(), ..Default::default() };
        let message = Registry::builtin().make(id, &options).unwrap_err().to_string();
        assert!(message.contains(argument.split(' ').next().unwrap()), "{id}: {message}");
    }
}
