//! Agreement with views of observations.

use super::*;
use crate::augmentation::PolicyAugmentation;

fn augmented(transformation: &str) -> PpoConfig {
    let text = format!("transformations = [{{ {transformation} }}]\ncoef = 1.0");
    let augmentation: PolicyAugmentation = toml::from_str(&text).unwrap();
    PpoConfig { augmentation: Some(augmentation), gradient_slices: Some(3), ..small() }
}

/// The loss of views, one value an iteration.
fn view_losses(config: &PpoConfig, iterations: u64) -> Vec<f64> {
    let mut trial = trial(&spec_of(Identity::default()), config, iterations, 3);
    let place = trial.learner.metric_names().iter().position(|name| *name == "losses/view_loss").unwrap();
    (0..iterations).map(|_| trial.iterate().unwrap().metrics[place]).collect()
}

#[test]
fn views_that_change_nothing_cost_nothing() {
    let losses = view_losses(&augmented("kind = 'scale', low = 1.0, high = 1.0"), 3);
    assert!(losses.iter().all(|loss| loss.abs() < 1e-9), "{losses:?}");
    assert!(view_losses(&small(), 1)[0].is_nan(), "without augmentation there is no such loss");
}

#[test]
fn what_is_done_becomes_independent_of_noise_that_it_learns_with() {
    // At first differences grow with the policy; a policy that learns to agree has smaller ones than one that does not.
    let learned = |coef: f64| {
        let mut config = augmented("kind = 'noise', std = 0.5");
        config.augmentation.as_mut().unwrap().coef = coef;
        view_losses(&config, 40).iter().rev().take(10).sum::<f64>()
    };
    let (with, without) = (learned(1.0), learned(1e-9));
    assert!(with < 0.7 * without, "{with} {without}");
}

#[test]
fn threads_and_restoring_change_nothing() {
    let spec = spec_of(Identity::default()).max_episode_steps(5);
    let config = augmented("kind = 'noise', std = 0.1");
    assert_threads_do_not_matter(|seed| trial(&spec, &config, 6, seed));
    assert_continues_after_restore(trial(&spec, &config, 6, 1), |info| {
        Ppo::new(config.clone(), &network(), info)
    });
}
