//! What learns from recorded experience: tasks whose answer is known, exact restoring, parity, refusals.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use agon_envs::{ActionBatch, ActionSpec, EnvSpec, ObsBuffer};
use agon_nn::{Activation, MemoryConfig, ModelConfig, RecurrentInit};

use crate::learner::Recorded;
use crate::policy::{ActInput, ActOutput, Actor};
use crate::replay::RowStore;
use crate::test_support::{
    Aim, Boxed, Corridor, Identity, Random, Recall, Trial, TrialConfig, assert_continues_after_restore,
    assert_threads_do_not_matter, info_of_four_numbers, mlp, spec_of, untrained_teacher, with_spaces,
};
use crate::{AgentError, Algorithms, Learner, Policy, RunInfo};

/// Does what pays in [`Identity`], and something at random in a step of so many; never if that is zero.
pub(crate) struct Expert(pub(crate) u64);

impl Policy for Expert {
    fn act(&self, input: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        let ObsBuffer::F32(observations) = input.observations else { unreachable!("numbers") };
        let ActionBatch::Discrete(actions) = output.actions else { unreachable!("choices") };
        for (action, row) in actions.iter_mut().zip(observations.chunks_exact(4)) {
            let state = row.iter().position(|&value| value > 0.5).unwrap_or(0) as u32;
            *action = if self.0 > 0 && actor.rng.bounded(self.0 - 1) == 0 {
                actor.rng.bounded(3) as u32
            } else {
                state
            };
        }
        Ok(())
    }
}

pub(crate) fn identity() -> EnvSpec {
    spec_of(Identity::default()).max_episode_steps(5)
}

pub(crate) fn aim() -> EnvSpec {
    spec_of(Aim::default()).max_episode_steps(8)
}

pub(crate) fn build(name: &str, settings: &str, info: &RunInfo) -> Result<Boxed, AgentError> {
    let network = mlp(&[32], Activation::Relu);
    let spec = Algorithms::builtin().get(name)?.clone();
    spec.build(&settings.parse().unwrap(), Some(&network), info).map(Boxed)
}

pub(crate) fn trial(
    name: &str,
    settings: &str,
    spec: &EnvSpec,
    recorder: &dyn Policy,
    seed: u64,
) -> Trial<Boxed> {
    let sizes = TrialConfig { num_envs: 1, num_shards: 1, total_timesteps: 1500, seed };
    Trial::recorded(spec, sizes, (recorder, 1500, false), |info| build(name, settings, info))
}

pub(crate) fn random(spec: &EnvSpec) -> Random {
    Random(spec.make(&Default::default()).unwrap().action_spec().clone())
}

/// Rows in memory, that are told what is read soon.
#[derive(Debug, Default)]
struct Shelf {
    bytes: Mutex<Vec<u8>>,
    expected: Mutex<BTreeSet<(u64, usize)>>,
    unexpected: AtomicUsize,
    broken: bool,
}

impl RowStore for Shelf {
    fn keep(&self, bytes: &[u8]) -> Result<u64, AgentError> {
        let mut all = self.bytes.lock().unwrap();
        all.extend_from_slice(bytes);
        Ok((all.len() - bytes.len()) as u64)
    }

    fn read(&self, at: u64, out: &mut [u8]) -> Result<(), AgentError> {
        if self.broken {
            return Err(AgentError::Chunk { key: "rows".to_owned(), message: "broken".to_owned() });
        }
        if !self.expected.lock().unwrap().contains(&(at, out.len())) {
            self.unexpected.fetch_add(1, Ordering::Relaxed);
        }
        out.copy_from_slice(&self.bytes.lock().unwrap()[at as usize..at as usize + out.len()]);
        Ok(())
    }

    fn expect(&self, rows: Vec<(u64, usize)>) {
        self.expected.lock().unwrap().extend(rows);
    }
}

/// A run whose recorded observations are on a shelf.
fn shelved(name: &str, settings: &str, spec: &EnvSpec, acts: bool, shelf: &Arc<Shelf>) -> Trial<Boxed> {
    let sizes = TrialConfig { num_envs: 1, num_shards: 1, total_timesteps: 400, seed: 3 };
    Trial::recorded(spec, sizes, (&random(spec), 1500, acts), |info| {
        let mut learner = build(name, settings, info)?;
        let before = learner.0.memory_bytes();
        learner.0.keep_recorded_in(shelf.clone())?;
        assert!(learner.0.memory_bytes() < before);
        Ok(learner)
    })
}

#[test]
fn recorded_observations_can_be_kept_elsewhere_and_nothing_differs() {
    let beside = "buffer_size = 500\nlearning_starts = 10\nbatch_size = 8\ntrain_frequency = 10";
    for (name, settings, spec, acts) in [
        ("bc", "batch_size = 16", identity(), false),
        ("iql", "batch_size = 16", aim(), false),
        ("dqn", "batch_size = 16\nreplay = { kind = \"prioritized\" }", identity(), false),
        ("dqn", beside, identity(), true),
    ] {
        let sizes = TrialConfig { num_envs: 1, num_shards: 1, total_timesteps: 400, seed: 3 };
        let recorder = (&random(&spec) as &dyn Policy, 1500, acts);
        let mut held = Trial::recorded(&spec, sizes, recorder, |info| build(name, settings, info));
        let shelf = Arc::new(Shelf::default());
        let mut away = shelved(name, settings, &spec, acts, &shelf);
        assert!(!shelf.bytes.lock().unwrap().is_empty());
        [&mut held, &mut away].into_iter().for_each(Trial::run);
        assert!(held.learner.weights() == away.learner.weights(), "{name}, acts: {acts}");
        // All but the first minibatch is known before its turn, unless what is learned decides what is drawn.
        if !acts && name != "dqn" {
            let unexpected = shelf.unexpected.load(Ordering::Relaxed);
            assert!(unexpected <= 2 * 16 * 2, "{name}: {unexpected}");
        }
    }
}

#[test]
fn a_store_that_fails_stops_learning_with_an_error() {
    let shelf = Arc::new(Shelf { broken: true, ..Shelf::default() });
    let mut trial = shelved("bc", "batch_size = 16", &identity(), false, &shelf);
    assert!(trial.iterate().unwrap_err().to_string().contains("broken"));
}

const CHOICES: &str = "batch_size = 64\nlearning_rate = 5e-3\ngamma = 0.5";

#[test]
fn random_choices_teach_what_pays() {
    for (name, more) in [
        ("iql", "temperature = 10.0"),
        ("awac", "temperature = 10.0"),
        ("cql", "cql_alpha = 0.05\ntarget_network_frequency = 100"),
    ] {
        for seed in 0..3 {
            let spec = identity();
            let mut trial = trial(name, &format!("{CHOICES}\n{more}"), &spec, &random(&spec), seed);
            trial.run();
            let mean = trial.evaluate(200);
            assert!(mean > 0.95, "{name}, seed {seed}: {mean}");
        }
    }
}

#[test]
fn random_numbers_teach_what_pays() {
    let near = "behavior = { actor = 0.05 }";
    let conservative = "cql_alpha = 0.05\ncql_actions = 4\nent_coef = 0.01";
    for (name, more) in [
        ("iql", "temperature = 30.0"),
        ("awac", "temperature = 30.0"),
        ("cql-sac", conservative),
        ("cal-ql", conservative),
        ("td3-bc", near),
        ("rebrac", ""),
    ] {
        for seed in 0..3 {
            let spec = aim();
            let mut trial = trial(name, &format!("{CHOICES}\n{more}"), &spec, &random(&spec), seed);
            let before = trial.evaluate(200);
            trial.run();
            let mean = trial.evaluate(200);
            assert!(mean > -0.1 && mean > before, "{name}, seed {seed}: {before} to {mean}");
        }
    }
}

#[test]
fn cloning_does_what_was_mostly_done() {
    for seed in 0..3 {
        let mut trial = trial("bc", "batch_size = 64\nlearning_rate = 5e-3", &identity(), &Expert(4), seed);
        trial.run();
        assert_eq!(trial.evaluate(200), 1.0, "seed {seed}");
    }
}

/// A learner that acts and learns from what it does and from what was recorded, half and half.
fn both(name: &str, settings: &str, spec: &EnvSpec, recorder: &dyn Policy, seed: u64) -> Trial<Boxed> {
    let sizes = TrialConfig { num_envs: 2, num_shards: 2, total_timesteps: 800, seed };
    Trial::recorded(spec, sizes, (recorder, 300, true), |info| build(name, settings, info))
}

const BOTH: &str =
    "buffer_size = 400\nlearning_starts = 16\ntrain_frequency = 4\nbatch_size = 16\ngradient_slices = 4";

#[test]
fn runs_that_act_and_have_data_continue_after_restore_and_threads_do_not_matter() {
    for (name, spec) in [
        ("sac", aim()),
        ("sac", identity()),
        ("td3", aim()),
        ("td3-bc", aim()),
        ("dqn", identity()),
        ("cql", identity()),
        ("bootstrapped-dqn", identity()),
        ("iql", identity()),
        ("iql", aim()),
        ("awac", identity()),
        ("awac", aim()),
        ("cal-ql", aim()),
    ] {
        let make = |seed| {
            let mut trial = both(name, BOTH, &spec, &random(&spec), seed);
            (0..10).for_each(|_| drop(trial.iterate().unwrap()));
            trial
        };
        assert_threads_do_not_matter(make);
        assert_continues_after_restore(make(3), |info| build(name, BOTH, info));
    }
}

#[test]
fn experts_teach_a_learner_that_acts_what_it_does_not_find_alone() {
    // At random, one attempt of 16 million gets to the end of the corridor.
    let spec = spec_of(Corridor::default()).max_episode_steps(40);
    let settings = "buffer_size = 1000\nlearning_starts = 16\ntrain_frequency = 4\ngradient_steps = 4\nbatch_size = 32\n\
                    learning_rate = 2e-3\ngamma = 0.95\ntarget_network_frequency = 10\nstart_e = 0.1";
    for seed in 0..3 {
        let mut trial = both("dqn", settings, &spec, &Onward, seed);
        trial.run();
        // 24 steps an attempt.
        let mean = trial.evaluate(240);
        assert!((mean - 1.0 / 24.0).abs() < 1e-6, "seed {seed}: {mean}");
    }
}

/// Goes on, but for one step of 64.
struct Onward;

impl Policy for Onward {
    fn act(&self, _: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        output.actions.indices_mut().fill_with(|| u32::from(actor.rng.bounded(63) > 0));
        Ok(())
    }
}

#[test]
fn what_was_learned_from_data_goes_on_in_the_environment() {
    for (name, spec, offline, online, with_data) in [
        ("iql", aim(), "temperature = 30.0", "temperature = 30.0\nexploration_noise = 0.2", true),
        ("iql", identity(), "temperature = 10.0", "temperature = 10.0", true),
        (
            "td3-bc",
            aim(),
            "behavior = { actor = 0.05 }",
            "behavior = { actor = 0.05 }\nlearning_starts = 0",
            false,
        ),
        (
            "cql",
            identity(),
            "cql_alpha = 0.05\ntarget_network_frequency = 100",
            "cql_alpha = 0.05\ntarget_network_frequency = 100\nstart_e = 0.1\nlearning_starts = 0\ntrain_frequency = 1",
            false,
        ),
    ] {
        let mut before = trial(name, &format!("{CHOICES}\n{offline}"), &spec, &random(&spec), 1);
        before.run();
        let weights = before.learner.weights();
        let begin = |info: &RunInfo| {
            let mut learner = build(name, &format!("{CHOICES}\n{online}"), info)?;
            learner.0.load_weights(&weights)?;
            Ok(learner)
        };
        let sizes = TrialConfig { num_envs: 1, num_shards: 1, total_timesteps: 400, seed: 2 };
        let mut after = match with_data {
            true => Trial::recorded(&spec, sizes, (&random(&spec), 1500, true), begin),
            false => Trial::new(&spec, sizes, begin),
        };
        let first = after.evaluate(200);
        after.run();
        assert!(after.learner.weights() != weights, "{name} learned nothing");
        let last = after.evaluate(200);
        assert!(last > first - 0.05, "{name}: {first} to {last}");
    }
}

/// A learner that is told what to do where it comes to.
fn apprentice(spec: &EnvSpec, seed: u64) -> Trial<Boxed> {
    let sizes = TrialConfig { num_envs: 4, num_shards: 2, total_timesteps: 3000, seed };
    Trial::new(spec, sizes, build_apprentice)
}

fn build_apprentice(info: &RunInfo) -> Result<Boxed, AgentError> {
    let mut learner =
        build("dagger", "learning_starts = 32\ngradient_slices = 4\nlearning_rate = 5e-3", info)?;
    learner.follow(untrained_teacher(info))?;
    Ok(learner)
}

#[test]
fn an_apprentice_does_what_its_teacher_would() {
    for spec in [identity(), aim()] {
        let mut trial = apprentice(&spec, 2);
        trial.run();
        let loss = trial.iterate().unwrap().metrics[1];
        assert!(loss < 0.01, "{loss}");
        assert_threads_do_not_matter(|seed| apprentice(&spec, seed));
        assert_continues_after_restore(apprentice(&spec, 3), build_apprentice);
    }
    let mut alone = build("dagger", "learning_starts = 0", &info_of_four_numbers(1)).unwrap();
    let error = alone.learn(&[], 64).unwrap_err().to_string();
    assert_eq!(error, "dagger needs a teacher (teacher.policy), got none");
}

/// A learner that acts and is paid by a discriminator.
fn imitator(name: &str, more: &str, recorder: &dyn Policy, seed: u64) -> Trial<Boxed> {
    let settings = format!("num_steps = 16\nlearning_rate = 5e-3\nanneal_lr = false\n{more}");
    let sizes = TrialConfig { num_envs: 8, num_shards: 2, total_timesteps: 19_200, seed };
    Trial::recorded(&identity(), sizes, (recorder, 500, true), |info| build(name, &settings, info))
}

#[test]
fn adversaries_pay_for_what_experts_do_and_not_for_what_the_environment_does() {
    for name in ["gail", "airl"] {
        for seed in 0..3 {
            let mut trial = imitator(name, "", &Expert(0), seed);
            trial.run();
            let mean = trial.evaluate(200);
            assert!(mean > 0.9, "{name}, seed {seed}: {mean}");
        }
        // An expert that always does the same teaches to do the same.
        let mut trial = imitator(name, "", &First, 0);
        trial.run();
        let mean = trial.evaluate(400);
        assert!((mean - 0.25).abs() < 0.1, "{name}: {mean}");
    }
}

/// Does the first thing whatever it sees.
struct First;

impl Policy for First {
    fn act(&self, _: &ActInput<'_>, _: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        output.actions.indices_mut().fill(0);
        Ok(())
    }
}

#[test]
fn more_conservative_values_are_lower_where_nothing_was_done() {
    // Only one action is ever taken: the values of the others are a matter of belief.
    let mut trial = trial("cql", &format!("{CHOICES}\ncql_alpha = 5.0"), &identity(), &First, 1);
    trial.run();
    // Whatever it sees it does what it knows: right in one state of four.
    assert!((trial.evaluate(400) - 0.25).abs() < 0.1, "{}", trial.evaluate(400));
}

/// Always does the same number.
pub(crate) struct Half;

impl Policy for Half {
    fn act(&self, _: &ActInput<'_>, _: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        let ActionBatch::Continuous(actions) = output.actions else { unreachable!("numbers") };
        actions.fill(0.5);
        Ok(())
    }
}

#[test]
fn a_conservative_policy_does_what_was_done_and_calibrated_values_are_no_less_than_the_datas() {
    let settings = |alpha: f64| format!("{CHOICES}\ncql_alpha = {alpha:?}\ncql_actions = 4\nent_coef = 0.0");
    let miss = |name: &str, alpha: f64| {
        let mut trial = trial(name, &settings(alpha), &aim(), &Half, 1);
        let mut metrics = Vec::new();
        while trial.env_steps < trial.info.total_timesteps {
            metrics = trial.iterate().unwrap().metrics;
        }
        // Whoever always does 0.5 misses targets between −1 and 1 by 1/3 + 1/4 in the mean.
        ((trial.evaluate(400) + 1.0 / 3.0 + 0.25).abs(), metrics[2], metrics[6])
    };
    let (apart, value, gap) = miss("cql-sac", 5.0);
    assert!(apart < 0.1, "{apart} from what was done");
    assert!(gap < 0.0, "the integral is far below what was done: {gap}");
    let (_, calibrated, _) = miss("cal-ql", 5.0);
    // −0.58 a step and a discount of one half are worth −1.17: less than that is what conservative values say of it.
    assert!(value < -1.17 && calibrated > -1.17, "{value} and {calibrated}");
}

#[test]
fn learners_of_data_continue_after_restore_and_threads_do_not_matter() {
    for (name, spec) in [
        ("bc", identity()),
        ("iql", identity()),
        ("iql", aim()),
        ("cql", identity()),
        ("cql-sac", aim()),
        ("cal-ql", aim()),
        ("awac", identity()),
        ("awac", aim()),
        ("td3-bc", aim()),
        ("rebrac", aim()),
    ] {
        let make = |seed| trial(name, "batch_size = 16\ngradient_slices = 4", &spec, &random(&spec), seed);
        assert_threads_do_not_matter(make);
        assert_continues_after_restore(make(3), |info| {
            build(name, "batch_size = 16\ngradient_slices = 4", info)
        });
    }
    let adversary = "gradient_slices = 4\nimitation = { updates = 2, batch_size = 32 }";
    assert_threads_do_not_matter(|seed| imitator("gail", adversary, &Expert(0), seed));
    assert_continues_after_restore(imitator("gail", adversary, &Expert(0), 3), |info| {
        build("gail", &format!("num_steps = 16\nlearning_rate = 5e-3\nanneal_lr = false\n{adversary}"), info)
    });
}

#[test]
fn without_data_there_is_nothing_to_learn_and_others_do_not_take_any() {
    let info = info_of_four_numbers(1);
    let error = build("gail", "", &info).err().unwrap().to_string();
    assert_eq!(error, "imitation needs recorded data of experts (--data ID), got none");
    for name in ["awac", "bc", "iql"] {
        let error = build(name, "", &info).err().unwrap().to_string();
        assert_eq!(error, format!("{name} needs recorded data (--data ID), got none"));
    }
    let beside = RunInfo { recorded: Some(Recorded { steps: 100, acts: true, share: 0.5 }), ..info.clone() };
    for (name, expected) in [
        ("bc", "bc needs recorded data alone (data.acts = false), got a run that acts too"),
        (
            "rainbow",
            "agent.replay.kind must be \"uniform\" where a run acts and learns from recorded data, got \"prioritized\"",
        ),
    ] {
        assert_eq!(build(name, "", &beside).err().unwrap().to_string(), expected);
    }
    let recorded = RunInfo { recorded: Some(Recorded { steps: 100, acts: false, share: 0.5 }), ..info };
    let mut ppo = build("ppo", "", &recorded).unwrap();
    let cloned = trial("bc", "", &identity(), &Expert(4), 1);
    let error = ppo.remember(&cloned.recorded.unwrap()).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "learning from recorded data needs gail, airl, or an algorithm with a replay buffer"
        ),
        "{error}"
    );
    let numbers = with_spaces(&recorded, |spaces| {
        spaces.action = ActionSpec::Continuous { low: vec![-1.0], high: vec![1.0] };
    });
    let error = build("cql", "", &numbers).err().unwrap().to_string();
    assert!(error.starts_with("cql needs a Discrete action space, got Continuous"), "{error}");
    assert!(error.ends_with("; cql-sac is for continuous actions"), "{error}");
    let error = build("cql-sac", "", &recorded).err().unwrap().to_string();
    assert_eq!(error, "agent.cql_alpha must be 0 for discrete actions, which `cql` is for, got 5");
    let spec = ActionSpec::Continuous { low: vec![f32::NEG_INFINITY], high: vec![1.0] };
    let unbounded = with_spaces(&recorded, |spaces| spaces.action = spec);
    let error = build("bc", "", &unbounded).err().unwrap().to_string();
    assert!(error.starts_with("bc needs actions with finite bounds"), "{error}");
}

/// Does in [`Recall`] what was shown at the beginning of the episode.
struct Remembering;

impl Policy for Remembering {
    fn state_len(&self) -> usize {
        1
    }

    fn act(&self, input: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        let ObsBuffer::F32(observations) = input.observations else { unreachable!("numbers") };
        let ActionBatch::Discrete(actions) = output.actions else { unreachable!("choices") };
        for (row, action) in actions.iter_mut().enumerate() {
            let seen = &observations[4 * row..4 * row + 2];
            if seen != [0.0; 2] {
                actor.state[row] = seen[1];
            }
            *action = actor.state[row] as u32;
        }
        Ok(())
    }
}

#[test]
fn what_was_done_by_memory_is_cloned_by_one_with_a_memory() {
    let spec = spec_of(Recall::default());
    let of = |memory: MemoryConfig| {
        let network = ModelConfig { memory, ..mlp(&[16], Activation::Tanh) };
        let sizes = TrialConfig { num_envs: 1, num_shards: 1, total_timesteps: 1000, seed: 2 };
        let settings = "batch_size = 64\nsequence_length = 8\nlearning_rate = 5e-3".parse().unwrap();
        let mut trial = Trial::recorded(&spec, sizes, (&Remembering, 800, false), |info| {
            Algorithms::builtin().get("bc")?.build(&settings, Some(&network), info).map(Boxed)
        });
        trial.run();
        4.0 * trial.evaluate(400)
    };
    let gru = of(MemoryConfig::Gru { hidden: 16, init: RecurrentInit::default() });
    assert!(gru > 0.99, "{gru}");
    let none = of(MemoryConfig::None);
    assert!(none < 0.8, "{none}");
}
