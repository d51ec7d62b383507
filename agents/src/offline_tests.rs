//! What learns from recorded experience: tasks whose answer is known, exact restoring, parity, refusals.

use agon_envs::{ActionBatch, ActionSpec, EnvSpec, ObsBuffer};
use agon_nn::Activation;

use crate::learner::Recorded;
use crate::policy::{ActInput, ActOutput, Actor};
use crate::test_support::{
    Aim, Boxed, Identity, Random, Trial, TrialConfig, assert_continues_after_restore,
    assert_threads_do_not_matter, info_of_four_numbers, mlp, spec_of, untrained_teacher, with_spaces,
};
use crate::{AgentError, Algorithms, Learner, Policy, RunInfo};

/// Does what pays in [`Identity`], and something at random in a step of so many; never if that is zero.
struct Expert(u64);

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

fn identity() -> EnvSpec {
    spec_of(Identity::default()).max_episode_steps(5)
}

fn aim() -> EnvSpec {
    spec_of(Aim::default()).max_episode_steps(8)
}

fn build(name: &str, settings: &str, info: &RunInfo) -> Result<Boxed, AgentError> {
    let network = mlp(&[32], Activation::Relu);
    let spec = Algorithms::builtin().get(name)?.clone();
    spec.build(&settings.parse().unwrap(), Some(&network), info).map(Boxed)
}

fn trial(name: &str, settings: &str, spec: &EnvSpec, recorder: &dyn Policy, seed: u64) -> Trial<Boxed> {
    let sizes = TrialConfig { num_envs: 1, num_shards: 1, total_timesteps: 1500, seed };
    Trial::recorded(spec, sizes, (recorder, 1500, false), |info| build(name, settings, info))
}

fn random(spec: &EnvSpec) -> Random {
    Random(spec.make(&Default::default()).unwrap().action_spec().clone())
}

const CHOICES: &str = "batch_size = 64\nlearning_rate = 5e-3\ngamma = 0.5";

#[test]
fn random_choices_teach_what_pays() {
    for (name, more) in
        [("iql", "temperature = 10.0"), ("cql", "cql_alpha = 0.05\ntarget_network_frequency = 100")]
    {
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
    for (name, more) in [("iql", "temperature = 30.0"), ("td3-bc", near), ("rebrac", "")] {
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

#[test]
fn learners_of_data_continue_after_restore_and_threads_do_not_matter() {
    for (name, spec) in [
        ("bc", identity()),
        ("iql", identity()),
        ("iql", aim()),
        ("cql", identity()),
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
    for name in ["bc", "iql"] {
        let error = build(name, "", &info).err().unwrap().to_string();
        assert_eq!(error, format!("{name} needs recorded data (--data ID), got none"));
    }
    let recorded = RunInfo { recorded: Some(Recorded { steps: 100, acts: false }), ..info };
    let mut ppo = build("ppo", "", &recorded).unwrap();
    let cloned = trial("bc", "", &identity(), &Expert(4), 1);
    let error = ppo.remember(&cloned.recorded.unwrap()).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "learning from recorded data needs gail, airl, or an algorithm with a replay buffer"
        ),
        "{error}"
    );
    let spec = ActionSpec::Continuous { low: vec![f32::NEG_INFINITY], high: vec![1.0] };
    let unbounded = with_spaces(&recorded, |spaces| spaces.action = spec);
    let error = build("bc", "", &unbounded).err().unwrap().to_string();
    assert!(error.starts_with("bc needs actions with finite bounds"), "{error}");
}
