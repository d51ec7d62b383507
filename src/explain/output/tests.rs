use super::*;
use crate::explain::play::Step;
use crate::explain::tests::{setup, trained};

fn steps(subject: &Subject) -> Vec<Step> {
    episodes(&setup(), subject, 3, 3, 300, None).unwrap()
}

#[test]
fn shapley_values_share_out_the_difference_to_other_steps() {
    let subject = trained("dqn", "CartPole-v1");
    let steps = steps(&subject);
    let options = ImportanceOptions { episodes: 2, steps: 3, orders: 40, seed: 1 };
    let rng = || agon_envs::Pcg64::seed_from(5);
    let values = importance::shapley(&subject, &steps, &options, &mut rng()).unwrap();
    // The same draws once more: the sum of the parts is the mean difference of the scores, whatever the order.
    let mut rng = rng();
    for (found, index) in values.iter().zip(spaced(steps.len(), 3)) {
        let probe = Probe::new(&subject, &steps[index]);
        let score = |observation: &[f32]| f64::from(probe.scores(&probe.opinion(observation).unwrap())[0]);
        let mut expected = 0.0;
        for _ in 0..options.orders {
            let other = &steps[rng.bounded(steps.len() as u64 - 1) as usize];
            rng.permutation(subject.features.groups.len());
            expected += score(&steps[index].observation) - score(&other.observation);
        }
        let sum: f64 = found.iter().sum();
        assert!((sum - expected / 40.0).abs() < 1e-4, "expected {expected}, found {sum}");
    }
}

#[test]
fn counterfactuals_change_the_action_and_are_nearest() {
    let subject = trained("dqn", "CartPole-v1");
    let steps = steps(&subject);
    let places = Places::of(&subject, &steps);
    let mut found = 0;
    for index in spaced(steps.len(), 10) {
        let probe = Probe::new(&subject, &steps[index]);
        let (single, several) = counterfactuals(&probe, &places, index).unwrap();
        for (counterfactual, most) in [(&single, 1), (&several, 4)] {
            let Some(counterfactual) = counterfactual else { continue };
            assert!(counterfactual.changes.len() <= most);
            assert_ne!(counterfactual.action, counterfactual.other);
            // Nine tenths of the way change nothing.
            let mut observation = steps[index].observation.clone();
            for (name, from, to, _) in &counterfactual.changes {
                let at = subject.features.all.iter().position(|feature| feature.name == *name).unwrap();
                observation[at] = from + 0.9 * (to - from);
            }
            let action = probe.opinion(&observation).unwrap().action;
            assert_eq!(action, steps[index].opinion.action);
            found += 1;
        }
        if let (Some(single), Some(several)) = (&single, &several) {
            assert!(several.distance <= single.distance * 1.05, "{several:?} is no nearer than {single:?}");
        }
    }
    assert!(found >= 5, "{found}");
}

#[test]
fn a_page_of_outputs_is_written_and_the_same_again() {
    let subject = trained("ppo", "CartPole-v1");
    let write = || {
        let folder = tempfile::tempdir().unwrap();
        let mut page = Page::new(folder.path(), "explain", "why it acts", subject.trained.card()).unwrap();
        let options = ImportanceOptions { episodes: 2, steps: 2, orders: 3, seed: 7 };
        let report = explain(&setup(), &subject, &options, &mut page).unwrap();
        page.finish().unwrap();
        assert_eq!(report.importance.len(), 4);
        for name in
            ["actions.svg", "values.png", "criticality.svg", "critical.png", "permutation.svg", "shapley.png"]
        {
            assert!(folder.path().join(name).exists(), "{name}");
        }
        std::fs::read_to_string(folder.path().join("explain.json")).unwrap()
    };
    assert_eq!(write(), write());
}

#[test]
fn of_many_lines_those_that_vary_most_are_drawn() {
    let line = |i: usize| Line {
        label: i.to_string(),
        num_runs: 1,
        points: vec![(0.0, 0.0), (1.0, if i == 0 { f64::NAN } else { i as f64 }), (2.0, 0.5)],
        band: Vec::new(),
        joined: true,
    };
    let mut lines: Vec<Line> = [3, 0, 9, 1, 5, 2, 8, 4, 7, 6].map(line).into();
    assert_eq!(keep_most_varied(&mut lines), 2);
    let labels: Vec<&str> = lines.iter().map(|line| line.label.as_str()).collect();
    assert_eq!(labels, ["3", "9", "5", "2", "8", "4", "7", "6"]);
    assert_eq!((keep_most_varied(&mut lines), lines.len()), (0, 8));
}
