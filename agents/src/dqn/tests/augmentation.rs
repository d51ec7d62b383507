//! Targets averaged over views, losses averaged over views, and actions that are moved with what is seen.

use super::*;
use crate::augmentation::ReplayAugmentation;

fn augmented(transformation: &str, target_views: usize, views: usize) -> Option<ReplayAugmentation> {
    let text = format!("transformations = [{{ {transformation} }}]");
    let settings: ReplayAugmentation = toml::from_str(&text).unwrap();
    Some(ReplayAugmentation { target_views, views, ..settings })
}

fn all_distributions() -> [Distribution; 4] {
    let c51 = C51Config { v_min: -5.0, v_max: 5.0, atoms: 11 };
    let qr = QrConfig { quantiles: 5 };
    [
        Distribution::None,
        Distribution::C51(c51),
        Distribution::Qr(qr),
        Distribution::Iqn(IqnConfig::default()),
    ]
}

#[test]
fn views_that_change_nothing_give_the_update_of_none() {
    let same = "kind = 'scale', low = 1.0, high = 1.0";
    for distribution in all_distributions() {
        for double in [false, true] {
            let config = DqnConfig { distribution, double, ..linear() };
            let learned = |augmentation| {
                let config = DqnConfig { augmentation, ..config.clone() };
                let mut dqn = Dqn::new(config, &network(), &info()).unwrap();
                let report = dqn.learn(&[transition(false)], 1).unwrap();
                (report.metrics[2..4].to_vec(), dqn.algorithm.online.params.as_slice().to_vec())
            };
            let ((metrics, params), (expected, expected_params)) =
                (learned(augmented(same, 3, 4)), learned(None));
            let near = |a: f64, b: f64| (a - b).abs() < 1e-5;
            assert!(metrics.iter().zip(&expected).all(|(&a, &b)| near(a, b)), "{metrics:?} {expected:?}");
            let pairs = params.iter().zip(&expected_params);
            // Adam's first step is by the sign of the gradient; with it zero, rounding decides.
            let apart = pairs.filter(|(a, b)| !near(f64::from(**a), f64::from(**b))).count();
            assert!(apart * 50 < params.len(), "{distribution:?}: {apart} of {}", params.len());
        }
    }
}

#[test]
fn an_action_is_learned_where_it_is_seen() {
    let augmentation = augmented("kind = 'negate', actions = [1, 0]", 1, 1);
    let mut dqn = with_values(DqnConfig { augmentation, ..linear() }, [1.0, 2.0], [5.0, 3.0]);
    let mut seen = std::collections::BTreeSet::new();
    for step in 1..=20 {
        dqn.algorithm.online.params.as_mut_slice().fill(0.0);
        let bias = dqn.algorithm.online.params.layout().find("q.0.bias").unwrap().range.range();
        dqn.algorithm.online.params.as_mut_slice()[bias].copy_from_slice(&[1.0, 2.0]);
        let report = dqn.learn(&[transition(true)], step).unwrap();
        let mean = report.metrics[3];
        // All of a minibatch are the same step, seen as it is or negated: values of 1 and 2.
        assert!((1.0..=2.0).contains(&mean));
        seen.insert((mean * 1000.0) as i64);
    }
    assert!(seen.len() > 5, "both actions are learned: {seen:?}");
}

#[test]
fn the_target_is_the_mean_over_views_of_each_ones_best() {
    // Values are those of a linear network in one noisy number, so that each view has others.
    let augmentation = augmented("kind = 'noise', std = 1.0, indices = [0]", 64, 1);
    let config = DqnConfig { augmentation, batch_size: 64, ..linear() };
    let mut dqn = with_values(config, [0.0, 0.0], [0.0, 0.0]);
    let params = &mut dqn.algorithm.target.part.params;
    let weight = params.layout().find("q.0.weight").unwrap().range.clone();
    // Q(s, 0) = s₀ and Q(s, 1) = −s₀: the best of both is |s₀|, whose mean is √(2/π) where s₀ is normal.
    weight.write(&[1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0], params.as_mut_slice());
    dqn.algorithm.refresh().unwrap();
    let report = dqn.learn(&[transition(false)], 1).unwrap();
    let target = 0.5 + 0.5 * (2.0 / std::f64::consts::PI).sqrt();
    // Targets vary by 0.5 · 0.6 / 8 around it, which the loss has the square of.
    let expected = 0.5 * target * target;
    assert!((report.metrics[2] - expected).abs() < 0.02, "{} {expected}", report.metrics[2]);
}

#[test]
fn threads_and_restoring_change_nothing() {
    let spec = spec_of(Identity::default()).max_episode_steps(5);
    for distribution in all_distributions() {
        let augmentation = augmented("kind = 'noise', std = 0.1", 2, 2);
        let config = DqnConfig {
            augmentation,
            distribution,
            buffer_size: 40,
            learning_starts: 10,
            gradient_slices: 3,
            ..small()
        };
        assert_threads_do_not_matter(|seed| trial(&spec, &config, 6, seed));
        assert_continues_after_restore(trial(&spec, &config, 6, 1), |info| {
            Dqn::new(config.clone(), &network(), info)
        });
    }
}
