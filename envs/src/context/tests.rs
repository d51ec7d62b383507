use super::*;
use crate::check::{check_env, random_actions};
use crate::{ActionBatch, EnvSpec, MakeOptions, Pcg64, Registry, Simulator};

/// Environments with contexts, and for each a range and a name that is shown.
const FAMILY: [(&str, &str); 5] = [
    ("CartPole-v1", "length=[0.3, 1.2]\ngravity=[5.0, 15.0]\nshow_context=['length', 'gravity']"),
    ("Pendulum-v1", "mass=[0.5, 2.0]\nshow_context=['mass']"),
    ("MountainCar-v0", "force=[0.0008, 0.002]\nshow_context=['force']"),
    ("Acrobot-v1", "mass_2=[0.5, 1.5]\nlength_1=[0.8, 1.2]\nshow_context=['mass_2']"),
    ("LunarLander-v3", "gravity=[-11.0, -2.0]\nshow_context=['gravity']"),
];

fn options(arguments: &str, num_envs: usize) -> MakeOptions {
    MakeOptions { num_envs, args: toml::from_str(arguments).unwrap(), ..MakeOptions::default() }
}

fn made(id: &str, arguments: &str) -> Result<Simulator, EnvError> {
    Registry::builtin().make(id, &options(arguments, 3))
}

/// The registered environment with other arguments.
fn with_arguments(id: &'static str, arguments: &'static str) -> EnvSpec {
    EnvSpec::mixture(id, move |given| {
        let task = crate::TaskConfig { args: options(arguments, 1).args, ..crate::TaskConfig::of(id) };
        let options = MakeOptions { tasks: vec![task], ..given.clone() };
        crate::mixture::MixtureEnv::new(&Registry::builtin(), &options)
    })
}

#[test]
fn environments_with_contexts_keep_the_contract() {
    for (id, arguments) in FAMILY {
        let report =
            check_env(&with_arguments(id, arguments)).unwrap_or_else(|error| panic!("{id}: {error}"));
        assert!(report.snapshots && report.episodes > 0, "{id}: {report:?}");
    }
}

#[test]
fn what_is_shown_is_drawn_anew_in_each_episode_and_stays_within_it() {
    for (id, arguments) in FAMILY {
        let mut simulator = made(id, arguments).unwrap();
        let (mut batch, mut rng) = (simulator.new_batch(), Pcg64::seed_from(3));
        simulator.reset(3, &mut batch).unwrap();
        let len = simulator.observation_len();
        let last = |batch: &crate::StepBatch, row: usize| batch.observations.as_f32()[(row + 1) * len - 1];
        let mut actions = ActionBatch::zeros(simulator.action_spec(), 3);
        let mut seen = vec![last(&batch, 0)];
        for _ in 0..1500 {
            let before = last(&batch, 0);
            random_actions(&simulator, &batch, &mut rng, &mut actions).unwrap();
            simulator.step(&actions, &mut batch).unwrap();
            let now = last(&batch, 0);
            let ended = batch.episodes.iter().any(|episode| episode.row == 0);
            assert_eq!(ended, before != now, "{id}: {before} and {now}");
            seen.extend(ended.then_some(now));
        }
        let (low, high) = seen.iter().fold((f32::MAX, f32::MIN), |(low, high), &x| (low.min(x), high.max(x)));
        assert!(seen.len() > 2 && low > 0.1 && high < 2.5 && low < high, "{id}: {seen:?}");
    }
}

#[test]
fn the_standard_values_give_the_standard_trajectories_whatever_is_shown() {
    for (id, arguments) in FAMILY {
        let shown = arguments.lines().last().unwrap();
        let (mut plain, mut shows) = (made(id, "").unwrap(), made(id, shown).unwrap());
        let (mut a, mut b) = (plain.new_batch(), shows.new_batch());
        plain.reset(5, &mut a).unwrap();
        shows.reset(5, &mut b).unwrap();
        let (len, longer) = (plain.observation_len(), shows.observation_len());
        let (mut rng, mut actions) = (Pcg64::seed_from(1), ActionBatch::zeros(plain.action_spec(), 3));
        for _ in 0..400 {
            for (own, more) in a.observations.as_f32().chunks(len).zip(b.observations.as_f32().chunks(longer))
            {
                assert_eq!(own, &more[..len], "{id}");
                assert!(more[len..].iter().all(|&ratio| ratio == 1.0), "{id}: {more:?}");
            }
            assert_eq!((&a.rewards, &a.terminated), (&b.rewards, &b.terminated), "{id}");
            random_actions(&plain, &a, &mut rng, &mut actions).unwrap();
            plain.step(&actions, &mut a).unwrap();
            shows.step(&actions, &mut b).unwrap();
        }
    }
}

#[test]
fn heavier_and_longer_is_slower() {
    // The velocity after one push of a pole that hangs in the same place.
    let moved = |id: &str, arguments: &str, index: usize| {
        let mut simulator = Registry::builtin().make(id, &options(arguments, 1)).unwrap();
        let mut batch = simulator.new_batch();
        simulator.reset(1, &mut batch).unwrap();
        let before = batch.observations.as_f32()[index];
        let mut actions = ActionBatch::zeros(simulator.action_spec(), 1);
        match &mut actions {
            ActionBatch::Discrete(indices) => indices[0] = 0,
            ActionBatch::Continuous(values) => values[0] = -2.0,
        }
        simulator.step(&actions, &mut batch).unwrap();
        (batch.observations.as_f32()[index] - before).abs()
    };
    assert!(moved("CartPole-v1", "cart_mass=4.0", 1) < 0.5 * moved("CartPole-v1", "", 1));
    assert!(moved("CartPole-v1", "force=20.0", 1) > 1.9 * moved("CartPole-v1", "", 1));
    assert!(moved("Pendulum-v1", "mass=1e6", 2) > 0.0, "gravity still pulls");
    assert!(moved("MountainCar-v0", "force=0.01", 1) > 2.0 * moved("MountainCar-v0", "", 1));
}

#[test]
fn quantities_out_of_bounds_are_refused_by_name() {
    let error = |id: &str, arguments: &str| made(id, arguments).map(|_| ()).unwrap_err().to_string();
    for (found, expected) in [
        (error("CartPole-v1", "length=0.0"), "length must be positive, got 0"),
        (
            error("CartPole-v1", "gravity=[9.0, 8.0]"),
            "gravity must be a range [low, high], both positive, got [9, 8]",
        ),
        (error("Pendulum-v1", "g=nan"), "g must be a finite number, got NaN"),
        (
            error("Acrobot-v1", "show_context=['mass']"),
            "names mass, expected some of gravity, length_1, mass_1, mass_2",
        ),
        (error("LunarLander-v3", "gravity=[-13.0, -5.0]"), "both between -12 and 0"),
        (error("MountainCar-v0", "force='strong'"), "expected a number or a range [low, high]"),
    ] {
        assert!(found.contains(expected), "{found}\nlacks {expected}");
    }
}
