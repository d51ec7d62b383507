use super::*;
use crate::{MakeOptions, Outcome, Registry, check_env};

/// Return and length of an episode of random actions.
fn play(env: &mut BipedalWalker, seed: u64, limit: u32) -> (f64, f64) {
    let mut rng = Pcg64::seed_from(seed);
    let mut act = Pcg64::seed_from(seed ^ 0x5eed);
    let mut obs = [0.0; 24];
    env.reset(&mut rng, &mut obs);
    let mut total = 0.0;
    for length in 1..=limit {
        let action = [(); 4].map(|()| act.uniform(-1.0, 1.0) as f32);
        let step = env.step(Action::Continuous(&action), &mut rng, &mut obs);
        total += step.reward;
        if step.outcome == Outcome::Terminated {
            return (total, f64::from(length));
        }
    }
    (total, f64::from(limit))
}

fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    values.clone().sum::<f64>() / values.count() as f64
}

/// In 1000 episodes of 1600 steps Gymnasium 1.3's mean return is −99.6 (deviation 14.0); the module's page has the table.
#[test]
fn random_policy_falls_as_in_gymnasium() {
    let mut env = BipedalWalker::new(BipedalWalkerArgs::default());
    let total = mean((0..40).map(|seed| play(&mut env, seed, 400).0).collect::<Vec<_>>().into_iter());
    assert!((-115.0..-55.0).contains(&total), "mean return {total}");
}

#[test]
fn rewards_sum_to_the_gain_of_the_potential_less_the_effort() {
    let mut env = BipedalWalker::new(BipedalWalkerArgs::default());
    let (mut rng, mut obs) = (Pcg64::seed_from(2), [0.0; 24]);
    env.reset(&mut rng, &mut obs);
    let (first, mut total) = (env.shaping.unwrap(), 0.0);
    for _ in 0..20 {
        let step = env.step(Action::Continuous(&[0.5, 0.0, -0.25, 0.0]), &mut rng, &mut obs);
        assert!(step.outcome != Outcome::Terminated);
        total += step.reward + 0.00035 * 80.0 * 0.75;
    }
    assert!((total - (env.shaping.unwrap() - first)).abs() < 1e-9);
}

#[test]
fn lidars_of_a_standing_walker_see_flat_ground() {
    let mut env = BipedalWalker::new(BipedalWalkerArgs::default());
    let mut obs = [0.0; 24];
    env.reset(&mut Pcg64::seed_from(0), &mut obs);
    let height = f64::from(env.walker.position().y) - TERRAIN_HEIGHT;
    for i in 0..7 {
        let expected = height / LIDAR_RANGE / (0.15 * i as f64).cos();
        assert!((f64::from(obs[14 + i]) - expected).abs() < 1e-3, "lidar {i}: {} {expected}", obs[14 + i]);
    }
}

#[test]
fn falling_costs_a_hundred() {
    let mut env = BipedalWalker::new(BipedalWalkerArgs::default());
    let (mut rng, mut obs) = (Pcg64::seed_from(0), [0.0; 24]);
    env.reset(&mut rng, &mut obs);
    let mut act = Pcg64::seed_from(1);
    for _ in 0..10_000 {
        let action = [(); 4].map(|()| act.uniform(-1.0, 1.0) as f32);
        let step = env.step(Action::Continuous(&action), &mut rng, &mut obs);
        if step.outcome == Outcome::Terminated {
            assert_eq!(step.reward, -100.0);
            return;
        }
    }
    panic!("the walker never fell");
}

#[test]
fn hardcore_ground_has_obstacles() {
    let count = |hardcore| {
        (0..10).map(|seed| Terrain::draw(hardcore, &mut Pcg64::seed_from(seed)).boxes.len()).sum::<usize>()
    };
    assert_eq!(count(false), 0);
    assert!(count(true) > 50);
}

#[test]
fn unknown_arguments_are_refused() {
    let args = [("hard".to_owned(), toml::Value::Boolean(true))].into_iter().collect();
    let made = Registry::builtin().make("BipedalWalker-v3", &MakeOptions { args, ..Default::default() });
    assert!(made.is_err_and(|error| error.to_string().contains("hardcore")));
}

#[test]
fn contract_is_kept() {
    for id in ["BipedalWalker-v3", "BipedalWalkerHardcore-v3"] {
        check_env(&Registry::builtin().get(id).unwrap()).unwrap();
    }
}

/// Prints the table of the module's page.
#[test]
#[ignore = "slow: measures, asserts nothing"]
fn measure() {
    use std::io::Write;

    for (hardcore, limit) in [(false, 1600), (true, 2000)] {
        let mut env = BipedalWalker::new(BipedalWalkerArgs { hardcore });
        let episodes: Vec<_> = (0..200).map(|seed| play(&mut env, seed, limit)).collect();
        let steps: f64 = episodes.iter().map(|e| e.1).sum();
        let mut returns: Vec<f64> = episodes.iter().map(|e| e.0).collect();
        let center = mean(returns.iter().copied());
        let deviation = mean(returns.iter().map(|r| (r - center).powi(2))).sqrt();
        returns.sort_by(f64::total_cmp);
        let quantiles = [0.05, 0.25, 0.5, 0.75, 0.95].map(|p| returns[(returns.len() as f64 * p) as usize]);
        let length = steps / 200.0;
        writeln!(std::io::stdout(), "{hardcore} {center:.1} {deviation:.1} {quantiles:.1?} {length:.1}")
            .unwrap();
    }
}
