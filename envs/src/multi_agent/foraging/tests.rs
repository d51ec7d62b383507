//! Hand-computed steps, rewards and observations of Foraging.

use super::*;
use crate::simulator::Autoreset;
use crate::{ActionBatch, MakeOptions, Registry, Simulator, StepBatch};

fn rules(layout: (u8, u8, u8), args: ForagingArgs) -> Foraging {
    let (size, agents, food) = layout;
    Foraging::new(args, Layout { size, agents, food, cooperative: false }).unwrap()
}

fn item(row: u8, column: u8, level: u8) -> Item {
    Item { row, column, level }
}

fn food(items: &[Item]) -> Food {
    let mut food = Food::default();
    food.items[..items.len()].copy_from_slice(items);
    food.spawned = items.iter().map(|item| u32::from(item.level)).sum();
    food
}

fn cells(foragers: &[Forager]) -> Vec<(u8, u8)> {
    foragers.iter().map(|forager| (forager.0.row, forager.0.column)).collect()
}

#[test]
fn agents_stop_at_borders_food_and_each_other_but_may_change_places() {
    let rules = rules((8, 3, 2), ForagingArgs::default());
    let food = food(&[item(1, 1, 2)]);
    let mut foragers = [item(0, 0, 1), item(0, 1, 1), item(7, 7, 1)].map(Forager);
    // Off the grid to the north, onto the food, off the grid to the east.
    rules.walk(&food, &mut foragers, &[1, 2, 4]);
    assert_eq!(cells(&foragers), [(0, 0), (0, 1), (7, 7)]);
    // The first walks into one that stays.
    rules.walk(&food, &mut foragers, &[4, 0, 3]);
    assert_eq!(cells(&foragers), [(0, 0), (0, 1), (7, 6)]);
    // They change places.
    rules.walk(&food, &mut foragers, &[4, 3, 1]);
    assert_eq!(cells(&foragers), [(0, 1), (0, 0), (6, 6)]);
    // Two want one cell; the third walks into the cell of one of them, which was held up.
    let mut foragers = [item(4, 2, 1), item(4, 4, 1), item(4, 1, 1)].map(Forager);
    rules.walk(&food, &mut foragers, &[4, 3, 4]);
    assert_eq!(cells(&foragers), [(4, 2), (4, 4), (4, 2)]);
}

#[test]
fn rewards_are_shares_of_all_food_and_sum_to_one() {
    let rules = rules((8, 2, 2), ForagingArgs::default());
    let mut field = food(&[item(2, 2, 3), item(5, 5, 1)]);
    let foragers = [item(1, 2, 1), item(2, 3, 2)].map(Forager);
    let mut rewards = [0.0; 2];
    rules.load(&mut field, &foragers, 0b11, &mut rewards);
    // 1 · 3 / (3 · 4) and 2 · 3 / (3 · 4).
    assert_eq!(rewards, [0.25, 0.5]);
    assert_eq!(field.items[0].level, 0);
    let foragers = [item(1, 2, 1), item(5, 6, 2)].map(Forager);
    let mut more = [0.0; 2];
    rules.load(&mut field, &foragers, 0b10, &mut more);
    assert_eq!(more, [0.0, 0.25]);
}

#[test]
fn a_load_that_is_too_weak_costs_the_penalty_and_leaves_the_food() {
    let rules = rules((8, 2, 2), ForagingArgs { penalty: 0.1, ..Default::default() });
    let mut field = food(&[item(2, 2, 3)]);
    let foragers = [item(1, 2, 1), item(2, 3, 2)].map(Forager);
    let mut rewards = [0.0; 2];
    rules.load(&mut field, &foragers, 0b10, &mut rewards);
    assert_eq!((rewards, field.items[0].level), ([0.0, -0.1], 3));
}

#[test]
fn shared_rewards_are_the_mean_and_raw_ones_the_product_of_levels() {
    let args = ForagingArgs { shared_reward: true, normalize_reward: false, ..Default::default() };
    let rules = rules((8, 2, 2), args);
    let mut field = food(&[item(2, 2, 2)]);
    let foragers = [item(7, 7, 1), item(2, 3, 2)].map(Forager);
    let mut rewards = [0.0; 2];
    rules.load(&mut field, &foragers, 0b10, &mut rewards);
    assert_eq!(rewards, [2.0, 2.0]);
}

#[test]
fn observations_list_food_then_oneself_then_the_others() {
    let everything = rules((8, 2, 2), ForagingArgs::default());
    let field = food(&[item(2, 6, 3), item(5, 5, 1)]);
    let foragers = [item(1, 2, 1), item(4, 4, 2)].map(Forager);
    let mut out = [9.0; 12];
    everything.see(&field, &foragers, 1, &mut out);
    assert_eq!(out, [2.0, 6.0, 3.0, 5.0, 5.0, 1.0, 4.0, 4.0, 2.0, 1.0, 2.0, 1.0]);
    // From (4, 4) a sight of one starts at (3, 3): only the second food is seen, at (2, 2) of that part.
    let near = rules((8, 2, 2), ForagingArgs { sight: Some(1), ..Default::default() });
    near.see(&field, &foragers, 1, &mut out);
    assert_eq!(out, [2.0, 2.0, 1.0, -1.0, -1.0, 0.0, 1.0, 1.0, 2.0, -1.0, -1.0, 0.0]);
}

fn make(id: &str, num_envs: usize, seed: u64) -> (Simulator, StepBatch) {
    let options = MakeOptions { num_envs, autoreset: Autoreset::SameStep, ..Default::default() };
    let mut simulator = Registry::builtin().make(id, &options).unwrap();
    let mut out = simulator.new_batch();
    simulator.reset(seed, &mut out).unwrap();
    (simulator, out)
}

#[test]
fn cooperative_food_is_as_heavy_as_all_agents_together() {
    let (_, out) = make("Foraging-8x8-2p-2f-coop-v3", 200, 0);
    for row in out.observations.as_f32().chunks_exact(12) {
        let agents = row[8] + row[11];
        assert_eq!((row[2], row[5]), (agents, agents));
    }
}

#[test]
fn food_lies_apart_and_off_the_border() {
    let (_, out) = make("Foraging-10x10-3p-3f-v3", 200, 3);
    for row in out.observations.as_f32().chunks_exact(18) {
        let food: Vec<&[f32]> = row[..9].chunks(3).collect();
        for (i, a) in food.iter().enumerate() {
            assert!((1.0..=8.0).contains(&a[0]) && (1.0..=8.0).contains(&a[1]) && a[2] >= 1.0, "{row:?}");
            for b in &food[..i] {
                let apart = ((a[0] - b[0]).abs(), (a[1] - b[1]).abs());
                assert!(apart.0.max(apart.1) > 1.0 && apart != (2.0, 0.0) && apart != (0.0, 2.0), "{row:?}");
            }
        }
    }
}

/// Walks to the food and loads it, both agents the same one.
#[test]
fn an_episode_that_loads_all_food_gives_the_agents_one_in_sum() {
    let (mut simulator, mut out) = make("Foraging-8x8-2p-2f-coop-v3", 64, 1);
    let mut returns = Vec::new();
    let mut rng = Pcg64::seed_from(5);
    for _ in 0..400 {
        let obs = out.observations.as_f32();
        let actions = obs.chunks_exact(12).map(|row| {
            let (down, right) = (row[0] - row[6], row[1] - row[7]);
            match rng.integers(0, 8) {
                0 => rng.integers(0, 6) as u32,
                _ if down.abs() + right.abs() == 1.0 => 5,
                _ if down.abs() > right.abs() => {
                    if down > 0.0 {
                        2
                    } else {
                        1
                    }
                }
                _ => {
                    if right > 0.0 {
                        4
                    } else {
                        3
                    }
                }
            }
        });
        let actions = ActionBatch::Discrete(actions.collect());
        simulator.step(&actions, &mut out).unwrap();
        for pair in out.episodes.chunks(2) {
            assert_eq!(pair[0].row + 1, pair[1].row, "agents end together");
            if out.terminated[pair[0].row as usize] {
                returns.push(pair[0].episode_return + pair[1].episode_return);
            }
        }
    }
    assert!(returns.len() > 200, "{}", returns.len());
    assert!(returns.iter().all(|total| (total - 1.0).abs() < 1e-12), "{returns:?}");
}

#[test]
fn starting_states_are_those_of_the_reference() {
    // `lbforaging` 3 with NumPy 2, agent 0's first observation for the seeds 0, 1 and 2.
    let (_, out) = make("Foraging-8x8-2p-2f-v3", 3, 0);
    let expected = [
        [2, 5, 2, 6, 4, 2, 5, 4, 1, 2, 0, 1],
        [2, 2, 4, 5, 2, 2, 4, 6, 2, 0, 1, 2],
        [3, 4, 2, 5, 6, 1, 2, 0, 1, 3, 6, 1],
    ];
    for (row, expected) in out.observations.as_f32().chunks_exact(12).step_by(2).zip(expected) {
        assert_eq!(row, expected.map(|value| value as f32));
    }
    let (_, out) = make("Foraging-15x15-4p-3f-coop-v3", 3, 0);
    let expected = [
        [4, 11, 5, 6, 12, 5, 9, 1, 5, 4, 0, 1, 0, 2, 2, 9, 13, 2, 9, 14, 2],
        [2, 1, 3, 11, 7, 3, 12, 10, 3, 0, 2, 2, 14, 3, 1, 13, 6, 1, 12, 3, 1],
        [2, 10, 5, 4, 3, 5, 9, 4, 5, 4, 6, 2, 6, 1, 1, 9, 12, 2, 14, 2, 2],
    ];
    for (row, expected) in out.observations.as_f32().chunks_exact(21).step_by(4).zip(expected) {
        assert_eq!(row, expected.map(|value| value as f32));
    }
}

#[test]
fn food_that_was_loaded_is_what_rewards_add_up_to() {
    let registry = Registry::builtin();
    let options = MakeOptions { num_envs: 64, ..Default::default() };
    let mut simulator = registry.make("Foraging-5x5-2p-1f-v3", &options).unwrap();
    assert_eq!(simulator.info().metrics, ["food_loaded"]);
    let mut out = simulator.new_batch();
    simulator.reset(1, &mut out).unwrap();
    let mut rng = Pcg64::seed_from(2);
    let mut actions = ActionBatch::zeros(simulator.action_spec(), simulator.num_rows());
    let (mut loaded, mut left) = (0, 0);
    for _ in 0..200 {
        crate::check::random_actions(&simulator, &out, &mut rng, &mut actions).unwrap();
        simulator.step(&actions, &mut out).unwrap();
        // Both agents of an arena end together, one after the other in the list.
        for (agents, metrics) in out.episodes.chunks(2).zip(out.episode_metrics.chunks(2)) {
            let gathered: f64 = agents.iter().map(|agent| agent.episode_return).sum();
            assert!((metrics[0] - gathered).abs() < 1e-12 && metrics[0] == metrics[1]);
            if metrics[0] == 1.0 { loaded += 1 } else { left += 1 }
        }
    }
    assert!(loaded > 10 && left > 10, "{loaded} episodes with all food loaded, {left} with some left");
}
