use super::*;
use crate::FragmentShape;
use crate::test_support::shape_of_four_numbers;

/// Four ticks of one row that saw 1, 2, 3 and 4; its episode is cut off after the second at 9, and ends after the third at 8.
fn an_end_and_a_cut() -> Fragment {
    let mut fragment = Fragment::new(&FragmentShape { observation_len: 1, ..shape_of_four_numbers(4) });
    fragment.observations = ObsBuffer::F32(vec![1.0, 2.0, 3.0, 4.0]);
    fragment.truncated = vec![false, true, false, false];
    fragment.terminated = vec![false, false, true, false];
    fragment.final_rows = vec![1, 2];
    fragment.final_observations = ObsBuffer::F32(vec![9.0, 8.0]);
    fragment
}

#[test]
fn an_end_becomes_a_cut_in_the_last_observation_that_values_learn() {
    let mut fragment = an_end_and_a_cut();
    hide_ends(&mut fragment);
    assert_eq!(fragment.terminated, [false; 4]);
    assert_eq!(fragment.truncated, [false, true, true, false]);
    assert_eq!(fragment.final_observations, ObsBuffer::F32(vec![9.0, 3.0]));
}

#[test]
fn rewards_lose_the_mean_and_deviation_of_the_last_iterations() {
    let mut paid = Paid::default();
    let mut rewards = [1.0, 3.0];
    paid.follow(&rewards);
    paid.normalize(&mut rewards);
    assert_eq!(rewards, [-1.0, 1.0], "the first iteration counts alone");

    // Half of each iteration: mean 3; variance of 1, 3, 3 and 5.
    paid.follow(&[3.0, 5.0]);
    assert_eq!((paid.mean, paid.variance), (3.0, 2.0));
    for _ in 0..500 {
        paid.follow(&[10.0, 14.0]);
    }
    assert!((paid.mean - 12.0).abs() < 1e-6 && (paid.variance - 4.0).abs() < 1e-6, "{paid:?}");

    let mut equal = [7.0, 7.0];
    let mut paid = Paid::default();
    paid.follow(&equal);
    paid.normalize(&mut equal);
    assert_eq!(equal, [0.0, 0.0], "rewards that do not vary are not blown up");
}

#[test]
fn saved_statistics_that_cannot_come_from_rewards_are_noticed() {
    assert!(Paid { iterations: 3, mean: -2.0, variance: 0.0 }.is_whole());
    assert!(!Paid { iterations: 3, mean: f64::NAN, variance: 1.0 }.is_whole());
    assert!(!Paid { iterations: 3, mean: 0.0, variance: -1.0 }.is_whole());
}
