use super::*;
use crate::check::{check_env, random_actions};
use crate::{Pcg64, Simulator, Space};

fn tasks(ids: &[&str]) -> Vec<TaskConfig> {
    ids.iter().map(|id| TaskConfig::of(id)).collect()
}

fn options(tasks: Vec<TaskConfig>, mixture: MixtureConfig, num_envs: usize) -> MakeOptions {
    MakeOptions { num_envs, tasks, mixture, ..MakeOptions::default() }
}

fn made_of(ids: &[&str], mixture: MixtureConfig) -> Result<Simulator, EnvError> {
    Registry::builtin().make(ID, &options(tasks(ids), mixture, 4))
}

/// A registered environment that is such a mixture.
fn registered(tasks: Vec<TaskConfig>, mixture: MixtureConfig) -> EnvSpec {
    EnvSpec::mixture("Mixed-v0", move |given| {
        let options = MakeOptions { tasks: tasks.clone(), mixture: mixture.clone(), ..given.clone() };
        MixtureEnv::new(&Registry::builtin(), &options)
    })
}

#[test]
fn mixtures_keep_the_contract_of_environments() {
    let separate = MixtureConfig {
        observations: ObservationUnion::Separate,
        actions: ActionUnion::Separate,
        ..Default::default()
    };
    let random =
        MixtureConfig { sampling: TaskSampling::Random, normalize_rewards: true, ..Default::default() };
    let stacked = TaskConfig {
        wrappers: vec![WrapperConfig::FrameStack { num_stack: 3, padding: crate::frames::Padding::Reset }],
        ..TaskConfig::of("CartPole-v1")
    };
    for (tasks, mixture) in [
        (tasks(&["CartPole-v1", "Acrobot-v1", "MountainCar-v0"]), MixtureConfig::default()),
        (tasks(&["MinAtar/Breakout-v0", "MinAtar/SpaceInvaders-v0"]), random),
        (tasks(&["FrozenLake-v1", "MinAtar/Breakout-v0", "CartPole-v1"]), separate),
        (tasks(&["Pendulum-v1", "MountainCarContinuous-v0"]), MixtureConfig::default()),
        (
            vec![stacked, TaskConfig::of("TicTacToe-v0")],
            MixtureConfig {
                observations: ObservationUnion::Separate,
                sampling: TaskSampling::RoundRobin,
                ..Default::default()
            },
        ),
    ] {
        let names: Vec<String> = tasks.iter().map(|task| task.name().to_owned()).collect();
        let report =
            check_env(&registered(tasks, mixture)).unwrap_or_else(|error| panic!("{names:?}: {error}"));
        assert!(report.snapshots && report.seeds_differ && report.episodes > 3, "{names:?}: {report:?}");
    }
}

#[test]
fn an_environment_of_a_mixture_goes_as_its_task_does_alone() {
    let config = MixtureConfig { hide_task: true, ..Default::default() };
    let registry = Registry::builtin();
    let mut mixed = registry.make(ID, &options(tasks(&["CartPole-v1"]), config, 3)).unwrap();
    let mut alone = registry.make("CartPole-v1", &options(Vec::new(), MixtureConfig::default(), 3)).unwrap();
    let seeds: Vec<Seed> = (0..3).map(|env| Seed::derived(7, &[env])).collect();
    let children: Vec<Seed> = seeds.iter().map(|seed| seed.child(&[1])).collect();
    let (mut a, mut b) = (mixed.new_batch(), alone.new_batch());
    mixed.reset_with(&seeds, &mut a).unwrap();
    alone.reset_with(&children, &mut b).unwrap();
    let mut actions = ActionBatch::zeros(mixed.action_spec(), 3);
    let mut rng = Pcg64::seed_from(1);
    for _ in 0..300 {
        assert_eq!(
            (&a.observations, &a.rewards, &a.terminated),
            (&b.observations, &b.rewards, &b.terminated)
        );
        assert_eq!(a.episodes, b.episodes);
        random_actions(&alone, &b, &mut rng, &mut actions).unwrap();
        mixed.step(&actions, &mut a).unwrap();
        alone.step(&actions, &mut b).unwrap();
    }
}

#[test]
fn what_is_shown_is_padded_and_says_the_task() {
    let config = MixtureConfig { sampling: TaskSampling::RoundRobin, ..Default::default() };
    let mut simulator = made_of(&["CartPole-v1", "Acrobot-v1"], config).unwrap();
    let mut batch = simulator.new_batch();
    simulator.reset(0, &mut batch).unwrap();
    // Acrobot shows 6 numbers and takes 3 actions, CartPole 4 and 2.
    assert_eq!((simulator.observation_len(), simulator.mask_len()), (8, 3));
    let rows: Vec<&[f32]> = batch.observations.as_f32().chunks(8).collect();
    assert_eq!((&rows[0][4..], &rows[1][6..]), (&[0.0, 0.0, 1.0, 0.0][..], &[0.0, 1.0][..]));
    assert_eq!(batch.action_masks[..6], [true, true, false, true, true, true]);
    assert!(rows[1][0] > 0.9, "the cosine of a small angle: {:?}", rows[1]);
}

#[test]
fn whoever_asks_is_told_the_task_of_each_environment_through_wrappers_too() {
    let mixture = MixtureConfig { sampling: TaskSampling::RoundRobin, ..Default::default() };
    let wrappers = vec![WrapperConfig::ClipReward { min: -1.0, max: 1.0 }];
    let options = MakeOptions { wrappers, ..options(tasks(&["CartPole-v1", "Acrobot-v1"]), mixture, 4) };
    let mut simulator = Registry::builtin().make(ID, &options).unwrap();
    assert_eq!(simulator.info().tasks, ["CartPole-v1", "Acrobot-v1"]);
    let mut batch = simulator.new_batch();
    simulator.reset(0, &mut batch).unwrap();
    let (mut actions, mut rng) = (ActionBatch::zeros(simulator.action_spec(), 4), Pcg64::seed_from(1));
    let mut seen = [0, 0];
    for _ in 0..200 {
        for (env, row) in batch.observations.as_f32().chunks(8).enumerate() {
            let task = simulator.task(env);
            assert_eq!(row[6..].iter().position(|&x| x == 1.0), Some(task));
            seen[task] += 1;
        }
        random_actions(&simulator, &batch, &mut rng, &mut actions).unwrap();
        simulator.step(&actions, &mut batch).unwrap();
    }
    assert!(seen.iter().all(|&count| count > 0), "{seen:?}");
    let alone = Registry::builtin().make("CartPole-v1", &MakeOptions::default()).unwrap();
    assert!(alone.info().tasks.is_empty() && alone.task(0) == 0);
}

#[test]
fn images_get_the_planes_of_the_largest_and_one_a_task() {
    let mut simulator =
        made_of(&["MinAtar/Breakout-v0", "MinAtar/Seaquest-v0"], MixtureConfig::default()).unwrap();
    let mut batch = simulator.new_batch();
    simulator.reset(0, &mut batch).unwrap();
    let Space::Box(bounds) = simulator.observation_space() else { panic!("an image") };
    assert_eq!(bounds.shape(), [10, 10, 12]);
    let ObsBuffer::U8(pixels) = &batch.observations else { panic!("bytes") };
    for (row, image) in pixels.chunks(1200).enumerate() {
        for pixel in image.chunks(12) {
            assert_eq!(pixel[10..], if row % 2 == 0 { [255, 0] } else { [0, 255] });
            assert!(row % 2 == 1 || pixel[4..10] == [0; 6], "Breakout has four planes");
        }
        assert!(image.iter().filter(|&&value| value > 0).count() > 100);
    }
}

#[test]
fn separate_actions_are_the_tasks_own() {
    let config = MixtureConfig { actions: ActionUnion::Separate, ..Default::default() };
    let mut simulator = made_of(&["CartPole-v1", "Acrobot-v1"], config).unwrap();
    let mut batch = simulator.new_batch();
    simulator.reset(0, &mut batch).unwrap();
    assert_eq!(batch.action_masks[..10], [true, true, false, false, false, false, false, true, true, true]);
}

#[test]
fn returns_and_metrics_are_told_of_each_task() {
    let mut registry_tasks = tasks(&["CartPole-v1", "Acrobot-v1"]);
    registry_tasks[0].returns = Some([0.0, 500.0]);
    registry_tasks[1].returns = Some([-500.0, -100.0]);
    registry_tasks[1].max_episode_steps = Some(20);
    let config = MixtureConfig { sampling: TaskSampling::RoundRobin, ..Default::default() };
    let mut simulator = Registry::builtin().make(ID, &options(registry_tasks, config, 4)).unwrap();
    let names = ["CartPole-v1/return", "CartPole-v1/length", "Acrobot-v1/return", "Acrobot-v1/length"];
    assert_eq!(simulator.info().metrics, names);
    let mut batch = simulator.new_batch();
    simulator.reset(0, &mut batch).unwrap();
    let mut actions = ActionBatch::zeros(simulator.action_spec(), 4);
    let mut rng = Pcg64::seed_from(1);
    let mut seen = [0_u32, 0];
    for _ in 0..500 {
        random_actions(&simulator, &batch, &mut rng, &mut actions).unwrap();
        simulator.step(&actions, &mut batch).unwrap();
        for (stats, metrics) in batch.episodes.iter().zip(batch.episode_metrics.chunks(4)) {
            let length = f64::from(stats.episode_length);
            let task = usize::from(metrics[0].is_nan());
            seen[task] += 1;
            if task == 0 {
                assert!(metrics[2].is_nan() && metrics[..2] == [length, length]);
                assert!((stats.episode_return - length / 500.0).abs() < 1e-12);
            } else {
                assert!(length <= 20.0 && metrics[2..] == [-length, length]);
                assert!((stats.episode_return - (500.0 - length) / 400.0).abs() < 1e-12);
            }
        }
    }
    assert!(seen[0] > 10 && seen[0].abs_diff(seen[1]) <= 4, "{seen:?}");
}

#[test]
fn what_does_not_go_together_is_refused_by_name() {
    let separate = MixtureConfig { actions: ActionUnion::Separate, ..Default::default() };
    let message =
        |ids: &[&str], config: &MixtureConfig| made_of(ids, config.clone()).unwrap_err().to_string();
    let default = MixtureConfig::default();
    for (found, expected) in [
        (
            message(&["CartPole-v1", "Pendulum-v1"], &default),
            "actions of CartPole-v1 (Discrete(2)) and Pendulum-v1",
        ),
        (message(&["CartPole-v1", "FrozenLake-v1"], &default), "env.mixture.observations = \"separate\""),
        (message(&["Pendulum-v1", "MountainCarContinuous-v0"], &separate), "single choices can"),
        (message(&["CartPole-v1", "CartPole-v1"], &default), "got CartPole-v1 twice"),
        (message(&["CartPole-v1", "Foraging-8x8-2p-2f-v3"], &default), "has 2 agents"),
        (message(&["CartPole-v2"], &default), "unknown environment `CartPole-v2`"),
        (message(&[], &default), "at least one environment"),
    ] {
        assert!(found.contains(expected), "{found}\nlacks {expected}");
    }
    let weightless = vec![TaskConfig { weight: 0.0, ..TaskConfig::of("CartPole-v1") }];
    let error = Registry::builtin().make(ID, &options(weightless, default, 1)).unwrap_err().to_string();
    assert!(error.contains("weight of CartPole-v1 must be positive, got 0"), "{error}");
    let elsewhere = Registry::builtin()
        .make("CartPole-v1", &options(tasks(&["Acrobot-v1"]), MixtureConfig::default(), 1));
    assert!(elsewhere.unwrap_err().to_string().contains("env.tasks are of the environment `mixture`"));
}

#[test]
fn rows_of_a_task_come_back_through_the_mixture() {
    let registry = Registry::builtin();
    let options = MakeOptions {
        tasks: vec![TaskConfig::of("Pendulum-v1"), TaskConfig::of("MountainCarContinuous-v0")],
        ..MakeOptions::default()
    };
    let tasks = TaskRows::of(&registry, &options).unwrap();
    let own = ActionBatch::Continuous(vec![-2.0, 1.0, 0.0]);
    // Pendulum's torque goes from -2 to 2.
    let ActionBatch::Continuous(united) = tasks[0].actions(&own) else { panic!("numbers") };
    assert_eq!(united, [-1.0, 0.5, 0.0]);
    // Two numbers, a place that the other task has, and which task it is.
    let shown = tasks[1].observations(&ObsBuffer::F32(vec![0.25, -0.5]));
    assert_eq!(shown, ObsBuffer::F32(vec![0.25, -0.5, 0.0, 0.0, 1.0]));
    assert_eq!((tasks[1].id(), tasks[1].masks(&[], 1)), ("MountainCarContinuous-v0", Vec::new()));

    let options = MakeOptions {
        tasks: vec![TaskConfig::of("CartPole-v1"), TaskConfig::of("Acrobot-v1")],
        mixture: MixtureConfig { actions: ActionUnion::Separate, ..MixtureConfig::default() },
        ..MakeOptions::default()
    };
    let tasks = TaskRows::of(&registry, &options).unwrap();
    let ActionBatch::Discrete(united) = tasks[1].actions(&ActionBatch::Discrete(vec![0, 2])) else {
        panic!("choices")
    };
    assert_eq!(united, [2, 4]);
    assert_eq!(tasks[1].masks(&[], 1), [false, false, true, true, true]);
}
