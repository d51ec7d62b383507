//! Rates by hand, and reports of policies that were trained for a moment.

use agon_envs::Decision;

use super::measures::{measure, over_time};
use super::play::{Counts, Tally};
use crate::stats::Resampling;

fn decision(group: u32, favourable: bool, qualified: bool, count: u32) -> Decision {
    let reward = if favourable { f64::from(count) } else { 0.0 };
    Decision { group, favourable, qualified: Some(qualified), count, reward }
}

/// An episode of one part.
fn episode(decisions: &[Decision]) -> Tally {
    let mut groups = vec![Counts::default(); 2];
    decisions.iter().for_each(|decision| groups[decision.group as usize].add(decision));
    Tally { parts: vec![groups], ..Tally::default() }
}

const RESAMPLING: Resampling = Resampling { resamples: 500, seed: 1 };

fn names() -> Vec<String> {
    ["a", "b"].map(str::to_owned).to_vec()
}

#[test]
fn rates_and_differences_are_those_of_the_counts() {
    // Of 10 of group a 6 are favoured, of its 8 qualified 5. Of 20 of group b 6, of its 10 qualified 4.
    let whole = episode(&[
        decision(0, true, true, 5),
        decision(0, true, false, 1),
        decision(0, false, true, 3),
        decision(0, false, false, 1),
        decision(1, true, true, 4),
        decision(1, true, false, 2),
        decision(1, false, true, 6),
        decision(1, false, false, 8),
    ]);
    let measured = measure(&names(), &[whole.clone(), whole], RESAMPLING);
    let [a, b] = &measured.groups[..] else { panic!("two groups") };
    assert_eq!([a.members, a.favoured.value, a.true_positive.value], [10.0, 0.6, 0.625]);
    assert_eq!([a.qualified.value, a.false_positive.value, a.reward.value], [0.8, 0.5, 6.0]);
    assert_eq!([b.favoured.value, b.true_positive.value, b.false_positive.value], [0.3, 0.4, 0.2]);
    let parity = measured.demographic_parity.unwrap();
    assert_eq!((parity.highest.as_str(), parity.lowest.as_str()), ("a", "b"));
    assert!((parity.value.value - 0.3).abs() < 1e-12);
    // Two equal episodes: every resample is the same.
    assert!((parity.value.high - parity.value.low).abs() < 1e-12);
    assert!((measured.equal_opportunity.unwrap().value.value - 0.225).abs() < 1e-12);
    assert!((measured.disparate_impact.unwrap().value.value - 0.5).abs() < 1e-12);
}

#[test]
fn intervals_are_over_episodes_and_reach_zero_where_groups_do_not_differ() {
    // In half of the episodes one group is favoured, in the other half the other: 1000 members say no more than 10 episodes.
    let one = episode(&[decision(0, true, true, 100), decision(1, false, true, 100)]);
    let other = episode(&[decision(1, true, true, 100), decision(0, false, true, 100)]);
    let episodes: Vec<Tally> =
        (0..10).map(|i| if i % 2 == 0 { one.clone() } else { other.clone() }).collect();
    let measured = measure(&names(), &episodes, RESAMPLING);
    let gap = measured.demographic_parity.unwrap().value;
    assert!(gap.value.abs() < 1e-12 && gap.low < -0.3 && gap.high > 0.3, "{gap:?}");
}

#[test]
fn a_truth_that_nobody_knows_has_no_rate() {
    let unknown = Decision { qualified: None, ..decision(0, true, true, 3) };
    let measured = measure(&names(), &[episode(&[unknown]), episode(&[unknown])], RESAMPLING);
    assert_eq!(measured.groups[0].favoured.value, 1.0);
    assert!(measured.groups[0].true_positive.value.is_nan());
    assert!(measured.equal_opportunity.is_none() && measured.demographic_parity.is_none());
}

#[test]
fn parts_of_an_episode_that_were_not_reached_have_no_rate() {
    let mut tally = episode(&[decision(0, true, true, 1), decision(0, false, true, 3)]);
    tally.parts.push(vec![Counts::default(); 2]);
    let course = over_time(&[tally.clone(), tally], 0, false, RESAMPLING);
    assert_eq!([course[0].value, course[0].low, course[0].high], [0.25; 3]);
    assert!(course[1].value.is_nan());
}
