//! What all environments with groups keep, and what lending does by hand.

use super::*;
use crate::{Action, ActionBatch, Autoreset, Env, MakeOptions, Pcg64, check, check_env};

const IDS: [&str; 4] = [
    lending::ID,
    "Fairness/CollegeAdmission-v0",
    "Fairness/AttentionAllocation-v0",
    "Fairness/InfectiousDisease-v0",
];

fn args(text: &str) -> toml::Table {
    text.parse().unwrap()
}

#[test]
fn all_keep_the_contract_of_environments() {
    let registry = Registry::builtin();
    for id in IDS {
        let report = check_env(registry.get(id).unwrap().as_ref()).unwrap();
        assert!(report.seeds_differ && report.snapshots && report.episodes > 0, "{id}: {report:?}");
    }
}

#[test]
fn decisions_are_told_after_each_step_and_their_rewards_sum_to_the_rows() {
    let registry = Registry::builtin();
    for id in IDS {
        let options = MakeOptions { num_envs: 3, autoreset: Autoreset::NextStep, ..Default::default() };
        let mut simulator = registry.make(id, &options).unwrap();
        let mut out = simulator.new_batch();
        simulator.reset(7, &mut out).unwrap();
        assert!(out.decisions.is_empty() && !simulator.info().groups.is_empty(), "{id}");
        let mut rng = Pcg64::seed_from(8);
        let mut actions = ActionBatch::zeros(simulator.action_spec(), 3);
        let mut waited = 0;
        for _ in 0..600 {
            check::random_actions(&simulator, &out, &mut rng, &mut actions).unwrap();
            simulator.step(&actions, &mut out).unwrap();
            for row in 0..3 {
                let own = out.decisions.iter().filter(|told| told.row == row);
                let (count, sum) = own
                    .fold((0, 0.0), |(n, sum), told| (n + told.decision.count, sum + told.decision.reward));
                assert!((sum - out.rewards[row as usize]).abs() < 1e-12, "{id}: {sum}");
                let active = out.active[row as usize];
                assert!(active || count == 0, "{id}: a row that waits decides nothing");
                waited += usize::from(!active);
            }
        }
        assert!(waited > 0, "{id}: no episode ended");
    }
}

#[test]
fn what_wrappers_hand_on_is_told_and_steps_that_are_repeated_are_not() {
    let registry = Registry::builtin();
    let groups = |wrapper: &str| {
        let wrapper = toml::from_str(wrapper).unwrap();
        let options = MakeOptions { wrappers: vec![wrapper], ..Default::default() };
        let mut simulator = registry.make(lending::ID, &options).unwrap();
        let mut out = simulator.new_batch();
        simulator.reset(1, &mut out).unwrap();
        simulator.step(&ActionBatch::Discrete(vec![1]), &mut out).unwrap();
        (simulator.info().groups.len(), out.decisions.len())
    };
    assert_eq!(groups("kind = \"normalize_observation\""), (2, 1));
    assert_eq!(groups("kind = \"action_repeat\"\nrepeats = 2"), (0, 0));
}

/// A bank whose applicants all belong to the advantaged group, have score 3 and repay with certainty, or never.
fn certain(repays: bool) -> Lending {
    let repayment = vec![if repays { 1.0 } else { 0.0 }; 7];
    let scores_advantaged = vec![0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0];
    let (interest_rate, starting_cash) = (0.5, 2.0);
    Lending::new(LendingArgs {
        advantaged: 1.0,
        scores_advantaged,
        repayment,
        interest_rate,
        starting_cash,
        shift: 0.25,
        ..LendingArgs::default()
    })
    .unwrap()
}

#[test]
fn a_repaid_loan_earns_interest_and_raises_a_quarter_of_the_group() {
    let (mut rng, mut obs) = (Pcg64::seed_from(1), [0.0; 10]);
    let mut bank = certain(true);
    bank.reset(&mut rng, &mut obs);
    assert_eq!(obs, [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0]);
    let step = bank.step(Action::Discrete(&[1]), &mut rng, &mut obs);
    assert_eq!(step, crate::Step::running(0.5));
    // 2.5 of 2.
    assert_eq!(obs[9], 1.25);
    let mut told = Vec::new();
    bank.decisions(&mut told);
    let expected =
        crate::Decision { group: 0, favourable: true, qualified: Some(true), count: 1, reward: 0.5 };
    assert_eq!(told, [expected]);
    let refused = bank.step(Action::Discrete(&[0]), &mut rng, &mut obs);
    assert_eq!((refused.reward, obs[9]), (0.0, 1.25));
}

#[test]
fn defaults_cost_the_loan_lower_scores_and_end_in_bankruptcy() {
    let (mut rng, mut obs) = (Pcg64::seed_from(1), [0.0; 10]);
    let mut bank = certain(false);
    bank.reset(&mut rng, &mut obs);
    assert_eq!(bank.step(Action::Discrete(&[1]), &mut rng, &mut obs), crate::Step::running(-1.0));
    assert_eq!(bank.step(Action::Discrete(&[1]), &mut rng, &mut obs), crate::Step::terminated(-1.0));
    bank.reset(&mut rng, &mut obs);
    assert_eq!(obs[9], 1.0, "what was lost is back in the next episode");
}

#[test]
fn scores_move_by_the_share_of_a_loan() {
    let (mut rng, mut obs) = (Pcg64::seed_from(1), [0.0; 10]);
    let mut bank = certain(true);
    bank.reset(&mut rng, &mut obs);
    let mut metrics = [0.0; 2];
    bank.metrics(&mut metrics);
    assert_eq!(metrics[0], 1.0);
    // Of score 3 a quarter goes to 4 with each loan, as long as the applicant drawn has that score.
    let arguments = LendingArgs { advantaged: 1.0, shift: 0.25, ..LendingArgs::default() };
    let arguments = LendingArgs { scores_advantaged: vec![0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], ..arguments };
    let mut bank = Lending::new(arguments).unwrap();
    bank.reset(&mut rng, &mut obs);
    bank.metrics(&mut metrics);
    assert_eq!(metrics[0], 0.6);
    let repaid = bank.step(Action::Discrete(&[1]), &mut rng, &mut obs).reward > 0.0;
    bank.metrics(&mut metrics);
    let expected = if repaid { 0.75 * 0.6 + 0.25 * 0.65 } else { 0.75 * 0.6 + 0.25 * 0.45 };
    assert!((metrics[0] - expected).abs() < 1e-12, "{metrics:?}");
}

#[test]
fn rules_lend_where_it_pays_and_alike_to_those_who_would_repay() {
    let arguments = LendingArgs::default();
    // At an interest of 1 a loan pays from a chance of one half on: scores 3 to 6.
    let greedy = LendingRule::max_reward(&arguments);
    assert_eq!(greedy.chances, [[0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]; 2]);
    let rate = |scores: &[f64], chances: &[f64; 7]| -> f64 {
        let good = |score: usize| scores[score] * arguments.repayment[score];
        let all: f64 = (0..7).map(good).sum();
        (0..7).map(|score| good(score) * chances[score]).sum::<f64>() / all
    };
    let scores = [&arguments.scores_advantaged, &arguments.scores_disadvantaged];
    // Of 0.59 good payers of the first group 0.525 are lent to, of 0.495 of the second 0.375.
    let greedy_rates = [0, 1].map(|group| rate(scores[group], &greedy.chances[group]));
    assert!((greedy_rates[0] - 0.525 / 0.59).abs() < 1e-12, "{greedy_rates:?}");
    assert!((greedy_rates[1] - 0.375 / 0.495).abs() < 1e-12, "{greedy_rates:?}");
    let equal = LendingRule::equal_opportunity(&arguments);
    let rates = [0, 1].map(|group| rate(scores[group], &equal.chances[group]));
    assert!((rates[0] - rates[1]).abs() < 1e-9, "{rates:?}");
    assert!(rates[0] > greedy_rates[1] - 1e-3 && rates[0] < greedy_rates[0] + 1e-3, "{rates:?}");
    let mut rng = Pcg64::seed_from(1);
    let mut observation = [0.0; 10];
    (observation[3], observation[8]) = (1.0, 1.0);
    assert!(greedy.lends(&observation, &mut rng));
    (observation[3], observation[2]) = (0.0, 1.0);
    assert!(!greedy.lends(&observation, &mut rng));
}

#[test]
fn arguments_out_of_range_are_refused_by_name() {
    let registry = Registry::builtin();
    for (id, text, word) in [
        (IDS[0], "advantaged = 2.0", "advantaged"),
        (IDS[0], "scores_advantaged = [1.0]", "scores_advantaged"),
        (IDS[0], "repayment = [0.5]", "repayment"),
        (IDS[0], "starting_cash = 0.5", "starting_cash"),
        (IDS[1], "num_applicants = 0", "num_applicants"),
        (IDS[1], "costs = [-1.0, 1.0]", "costs"),
        (IDS[2], "rates = [1.0]", "rates"),
        (IDS[2], "inspectors = 0", "inspectors"),
        (IDS[3], "treatments = 0", "treatments"),
        (IDS[3], "infection = 1.5", "infection"),
        (IDS[3], "unknown = 1", "unknown"),
    ] {
        let options = MakeOptions { args: args(text), ..Default::default() };
        let error = registry.make(id, &options).unwrap_err().to_string();
        assert!(error.contains(word), "{id} {text}: {error}");
    }
}
