//! Returns-to-go by hand, acting against learning, gradients, tasks whose answer is known, exact restoring, parity, refusals.

use agon_envs::{ActionBatch, ActionSpec, EnvSpec, ObsBuffer, Pcg64, Seed};
use agon_nn::RecurrentInit;

use super::network::Returns;
use super::*;
use crate::algorithm::Algorithm;
use crate::learner::Recorded;
use crate::policy::{ActInput, ActMode, ActOutput, Actor};
use crate::replay::ReplayShape;
use crate::test_support::{
    Aim, BrightHalf, Identity, Random, Trial, TrialConfig, assert_continues_after_restore,
    assert_refuses_damage, assert_threads_do_not_matter, info_of_four_numbers, mlp, shape_of_four_numbers,
    small_cnn, spec_of, with_spaces,
};
use crate::{Algorithms, EnvironmentLoop, Fragment, FragmentShape, Learner};

/// Right in half of the steps, and wrong in the others: in [`Identity`] another action, in [`Aim`] the number's opposite.
struct HalfRight;

impl Policy for HalfRight {
    fn act(&self, input: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        let ObsBuffer::F32(observations) = input.observations else { unreachable!("numbers") };
        match output.actions {
            ActionBatch::Discrete(actions) => {
                for (action, row) in actions.iter_mut().zip(observations.chunks_exact(4)) {
                    let state = row.iter().position(|&value| value > 0.5).unwrap_or(0) as u64;
                    let others = if actor.rng.bounded(1) == 0 { 0 } else { 1 + actor.rng.bounded(2) };
                    *action = ((state + others) % 4) as u32;
                }
            }
            ActionBatch::Continuous(actions) => {
                for (action, target) in actions.iter_mut().zip(observations) {
                    *action = if actor.rng.bounded(1) == 0 { *target } else { -target };
                }
            }
        }
        Ok(())
    }
}

fn identity() -> EnvSpec {
    spec_of(Identity::default()).max_episode_steps(5)
}

fn aim() -> EnvSpec {
    spec_of(Aim::default()).max_episode_steps(5)
}

fn network(window: usize) -> ModelConfig {
    let transformer = TransformerConfig {
        layers: 2,
        heads: 2,
        width: 16,
        feed_forward: 32,
        window,
        position: Position::Learned { positions: 5 },
    };
    ModelConfig { memory: MemoryConfig::Transformer(transformer), ..mlp(&[], Activation::Relu) }
}

fn config() -> DtConfig {
    DtConfig { batch_size: 16, learning_rate: 3e-3.into(), gradient_slices: 4, ..DtConfig::default() }
}

fn trial(spec: &EnvSpec, recorder: &dyn Policy, network: &ModelConfig, seed: u64) -> Trial<Dt> {
    let sizes = TrialConfig { num_envs: 1, num_shards: 1, total_timesteps: 1500, seed };
    Trial::recorded(spec, sizes, (recorder, 1500, false), |info| Dt::new(config(), network, info))
}

/// Steps with some rewards, whose episodes end where it says.
fn replay_of(rewards: &[f32], ends: &[usize]) -> ReplayBuffer {
    let info = info_of_four_numbers(1);
    let mut fragment = Fragment::new(&shape_of_four_numbers(rewards.len()));
    fragment.rewards = rewards.to_vec();
    fragment.resets[0] = true;
    for &end in ends {
        fragment.terminated[end] = true;
        fragment.resets.iter_mut().skip(end + 1).take(1).for_each(|reset| *reset = true);
    }
    fragment.final_rows = ends.iter().map(|&end| end as u32).collect();
    fragment.final_observations.resize(4 * ends.len());
    let mut replay = ReplayBuffer::new(rewards.len(), ReplayShape::of(&info));
    replay.extend(&fragment, |_, _| {});
    replay
}

#[test]
fn returns_to_go_are_sums_to_the_end_of_the_episode() {
    let replay = replay_of(&[1.0, 2.0, -7.0, 0.5, 4.0, 3.0], &[2, 4]);
    let of = |replay: &ReplayBuffer| Trajectories::of(replay, vec![0; replay.slots()], 1);
    let trajectories = of(&replay).unwrap();
    let returns: Vec<f32> = (0..6).map(|slot| trajectories.return_to_go(slot)).collect();
    // The last episode goes as far as the data do.
    assert_eq!(returns, [-4.0, -5.0, -7.0, 4.5, 4.0, 3.0]);
    let timesteps: Vec<u32> = (0..6).map(|slot| trajectories.timestep(slot)).collect();
    assert_eq!(timesteps, [0, 1, 2, 0, 1, 0]);
    assert_eq!(trajectories.returns(), [Returns { best: 4.5, scale: 7.0 }]);
    assert_eq!(of(&replay_of(&[0.0; 2], &[1])).unwrap().returns(), [Returns { best: 0.0, scale: 1.0 }]);
    // Summed from the end in twice the precision, and rounded once.
    let many = of(&replay_of(&[0.1; 1000], &[999])).unwrap();
    assert_eq!(many.return_to_go(0), (1000.0 * f64::from(0.1_f32)) as f32);
    let error = of(&replay_of(&[f32::MAX; 3], &[2])).unwrap_err().to_string();
    assert!(error.starts_with("return of an episode became inf"), "{error}");
    // Two tasks, an episode each, have returns of their own.
    let two = Trajectories::of(&replay_of(&[1.0, 2.0, -30.0], &[1, 2]), vec![0, 0, 1], 2).unwrap();
    assert_eq!(two.returns(), [Returns { best: 3.0, scale: 3.0 }, Returns { best: -30.0, scale: 30.0 }]);
    assert_eq!((two.task(1), two.task(2)), (0, 1));
}

#[test]
fn contexts_go_back_to_the_beginning_of_the_episode_or_as_far_as_the_window() {
    let replay = replay_of(&[0.0; 6], &[2, 4]);
    let contexts = Contexts::of(&replay, &[2, 0, 4, 5, 3, 2], 2);
    let found: Vec<&[u32]> = contexts.ranges.iter().map(|range| &contexts.slots[range.clone()]).collect();
    assert_eq!(found, [&[1, 2][..], &[0], &[3, 4], &[5], &[3], &[1, 2]]);
    assert_eq!(Contexts::of(&replay, &[2], 9).slots, [0, 1, 2]);
}

#[test]
fn asked_for_a_high_return_it_does_what_pays_and_for_a_low_one_what_does_not() {
    for spec in [identity(), aim()] {
        for seed in 0..3 {
            let mut trial = trial(&spec, &HalfRight, &network(3), seed);
            trial.run();
            let mean = |policy: Arc<dyn Policy>| {
                let (mut acting, mut total) = (acting(&spec, 1, 70 + seed), 0.0);
                for _ in 0..200 {
                    acting.tick(&*policy, 0, ActMode::Deterministic).unwrap();
                    total += acting.now.rewards[0];
                }
                total / 200.0
            };
            // The best of the data is what it aims at where nothing is said.
            let policy = trial.learner.policy().unwrap();
            let worst = trial.learner.algorithm.trajectories.as_ref().map_or(0.0, |all| {
                (0..1500).map(|slot| f64::from(all.return_to_go(slot))).fold(f64::INFINITY, f64::min)
            });
            let (high, low) = (mean(Arc::clone(&policy)), mean(policy.aiming_at(worst).unwrap()));
            // What is right pays one or loses nothing; what is wrong pays nothing, or loses 4/3 in the mean.
            let (good, bad) = if worst < 0.0 { (-0.1, -0.8) } else { (0.9, 0.2) };
            assert!(high > good && low < bad, "seed {seed}: {high} and {low}");
        }
    }
}

#[test]
fn pictures_are_learned_from_too() {
    let spec = spec_of(BrightHalf::default()).max_episode_steps(5);
    let cnn = ModelConfig { memory: network(3).memory, ..small_cnn() };
    let random = Random(ActionSpec::Discrete { nvec: vec![2] });
    let mut trial = trial(&spec, &random, &cnn, 1);
    trial.run();
    let mean = trial.evaluate(200);
    assert!(mean > 0.9, "{mean}");
}

/// Some environments to act in.
fn acting(spec: &EnvSpec, num_envs: usize, seed: u64) -> EnvironmentLoop {
    let mut simulator = spec.make(&agon_envs::MakeOptions { num_envs, ..Default::default() }).unwrap();
    let mut now = simulator.new_batch();
    let seeds: Vec<Seed> = (0..num_envs as u64).map(|env| Seed::Integer(seed + env)).collect();
    simulator.reset_with(&seeds, &mut now).unwrap();
    EnvironmentLoop::new(simulator, now, Pcg64::seed_from(seed))
}

/// What a row has seen and done in its episode.
#[derive(Clone, Default)]
struct Past {
    returns: Vec<f32>,
    observations: Vec<f32>,
    actions: Vec<f32>,
}

#[test]
fn acting_step_by_step_gives_the_bits_of_the_training_forward() {
    // Windows that hold an episode, and windows that slide.
    for (spec, window) in [(identity(), 5), (identity(), 2), (aim(), 3), (aim(), 1)] {
        let mut trial = trial(&spec, &HalfRight, &network(window), 3);
        trial.iterate().unwrap();
        let DecisionTransformer { network, model, .. } = &trial.learner.algorithm;
        let (policy, params) = (trial.learner.policy().unwrap(), &model.params);
        let Returns { best, scale } = network.returns(params)[0];
        let (rows, action_len) = (3, network.action_len());
        let mut acting = acting(&spec, rows, 9);
        let mut pasts = vec![Past::default(); rows];
        let width = acting.simulator.observation_len();
        for tick in 0..17 {
            for (row, past) in pasts.iter_mut().enumerate() {
                past.observations.extend(&acting.now.observations.as_f32()[row * width..(row + 1) * width]);
                let now = match past.returns.last() {
                    None => best,
                    Some(before) => (f64::from(*before) - acting.now.rewards[row]) as f32,
                };
                past.returns.push(now);
            }
            acting.tick(&*policy, 0, ActMode::Explore).unwrap();
            let done = network.actions(&acting.actions).unwrap();
            for (row, past) in pasts.iter_mut().enumerate() {
                past.actions.extend(&done.as_slice()[row * action_len..(row + 1) * action_len]);
                let steps = past.returns.len();
                let begin = steps.saturating_sub(window);
                let returns: Vec<f32> = past.returns[begin..].iter().map(|value| value / scale).collect();
                let input = |values, width| Input::Floats(Network::matrix(values, width).unwrap());
                let parts = [
                    input(&returns, 1),
                    input(&past.observations[begin * width..], width),
                    input(&past.actions[begin * action_len..], action_len),
                ];
                let positions: Vec<u32> = (begin as u32..steps as u32).collect();
                let wanted = [(steps - begin - 1) as u32];
                let x = GptInput { parts: &parts, positions: &positions, sequences: 1, wanted: &wanted };
                let mut expected = network.gpt.forward(params, &x, &mut Tape::inference()).unwrap();
                if matches!(acting.actions, ActionBatch::Continuous(_)) {
                    agon_nn::kernels::tanh(expected.as_mut_slice());
                }
                let outputs = network.gpt.outputs();
                let found = &acting.actor.outputs[row * outputs..(row + 1) * outputs];
                assert_eq!(found, expected.as_slice(), "window {window}, tick {tick}, row {row}");
                if acting.now.terminated[row] || acting.now.truncated[row] {
                    *past = Past::default();
                }
            }
        }
    }
}

#[test]
fn returns_to_go_fall_by_what_is_paid_and_stay_where_nobody_says() {
    let mut trial = trial(&identity(), &HalfRight, &network(3), 3);
    trial.iterate().unwrap();
    let policy = trial.learner.policy().unwrap().aiming_at(7.5).unwrap();
    let observations = ObsBuffer::F32(vec![1.0, 0.0, 0.0, 0.0]);
    let mut actor = Actor::new(Pcg64::seed_from(1));
    actor.state.resize(policy.state_len(), 0.0);
    let mut act = |rewards: &[f64], resets: &[bool]| {
        let input = ActInput {
            observations: &observations,
            num_rows: 1,
            action_masks: &[],
            resets,
            rewards,
            tasks: &[],
            env_steps: 0,
            mode: ActMode::Deterministic,
        };
        let (mut actions, mut data) = (ActionBatch::Discrete(vec![0]), vec![0.0]);
        let output = ActOutput { actions: &mut actions, policy_data: &mut data };
        policy.act(&input, &mut actor, output).map(|()| (actor.state[0], actor.state[1]))
    };
    // Nothing is remembered at first, whatever is said of resets.
    assert_eq!(act(&[100.0], &[false]).unwrap(), (7.5, 0.0));
    assert_eq!(act(&[2.0], &[false]).unwrap(), (5.5, 1.0));
    assert_eq!(act(&[], &[false]).unwrap(), (5.5, 2.0));
    assert_eq!(act(&[-1.0], &[]).unwrap(), (6.5, 3.0));
    // What was paid before an episode is the one before's.
    assert_eq!(act(&[3.0], &[true]).unwrap(), (7.5, 0.0));
    let error = act(&[1.0, 2.0], &[false]).unwrap_err().to_string();
    assert!(error.contains("1 rewards, or none, got") && error.ends_with("and 2"), "{error}");
    assert!(Random(ActionSpec::Discrete { nvec: vec![2] }).aiming_at(1.0).is_none());
}

#[test]
fn the_gradient_is_that_of_the_mean_loss_of_all_steps() {
    for spec in [identity(), aim()] {
        let mut trial = trial(&spec, &HalfRight, &network(3), 5);
        trial.iterate().unwrap();
        let Dt { algorithm, experience, .. } = &mut trial.learner;
        let trajectories = algorithm.trajectories.take().unwrap();
        let replay = &experience.replay;
        let contexts = Contexts::of(replay, &[3, 40, 41, 127, 5], 3);
        let mut grads = vec![f32::NAN; algorithm.model.params.len()];
        let mut backward = |algorithm: &DecisionTransformer, range: Range<usize>| {
            let sums = algorithm.backward(replay, &trajectories, &contexts, range, &mut grads).unwrap();
            (sums.loss / contexts.slots.len() as f64, grads.clone())
        };
        let (_, whole) = backward(algorithm, 0..5);
        // Slices are parts of the same mean.
        let [first, second] = [0..2, 2..5].map(|range| backward(algorithm, range).1);
        for ((whole, first), second) in whole.iter().zip(first).zip(second) {
            assert!((whole - (first + second)).abs() < 1e-5);
        }
        let scale = whole.iter().fold(0.1_f32, |most, value| most.max(value.abs()));
        const STEP: f32 = 1.0 / 128.0;
        for name in ["embed_return.weight", "position.weight", "layers.0.linear1.weight", "head.0.bias"] {
            let range = algorithm.model.params.layout().find(name).unwrap().range.range();
            for place in range.clone().step_by(range.len().div_ceil(4)) {
                let at = algorithm.model.params.as_slice()[place];
                let mut value = |x: f32| {
                    algorithm.model.params.as_mut_slice()[place] = x;
                    backward(algorithm, 0..5).0
                };
                let difference = (value(at + STEP) - value(at - STEP)) / f64::from(2.0 * STEP);
                value(at);
                let error = (difference - f64::from(whole[place])).abs();
                assert!(error < 5e-3 * f64::from(scale), "{name}: {difference}, {}", whole[place]);
            }
        }
    }
}

#[test]
fn what_is_known_of_the_data_is_saved_with_the_weights_and_not_learned() {
    let mut trial = trial(&identity(), &HalfRight, &network(3), 2);
    let known = |trial: &Trial<Dt>| {
        let DecisionTransformer { network, model, .. } = &trial.learner.algorithm;
        network.returns(&model.params)[0]
    };
    let before = known(&trial);
    assert_eq!(before, Returns { best: 5.0, scale: 5.0 }, "one of 300 episodes is right in all steps");
    trial.iterate().unwrap();
    assert_eq!(known(&trial), before);
    let weights = trial.learner.weights();
    assert!(weights.iter().any(|(name, _, values)| name == "returns" && values == [5.0, 5.0]));
    // Settings come before what is known.
    let sizes = TrialConfig { num_envs: 1, num_shards: 1, total_timesteps: 100, seed: 2 };
    let settings = DtConfig { return_scale: Some(2.0), target_return: Some(3.0), ..config() };
    let other = Trial::recorded(&identity(), sizes, (&HalfRight, 500, false), |info| {
        Dt::new(settings, &network(3), info)
    });
    assert_eq!(known(&other).scale, 2.0);
    let mut playing = acting(&identity(), 1, 1);
    playing.tick(&*other.learner.policy().unwrap(), 0, ActMode::Deterministic).unwrap();
    assert_eq!(playing.actor.state[0], 3.0);
}

#[test]
fn it_continues_after_restore_and_threads_do_not_matter() {
    for (spec, window) in [(identity(), 3), (aim(), 2)] {
        assert_threads_do_not_matter(|seed| trial(&spec, &HalfRight, &network(window), seed));
        assert_continues_after_restore(trial(&spec, &HalfRight, &network(window), 3), |info| {
            Dt::new(config(), &network(window), info)
        });
    }
    let mut trial = trial(&identity(), &HalfRight, &network(3), 3);
    trial.iterate().unwrap();
    assert_refuses_damage(&mut trial.learner);
}

#[test]
fn what_does_not_suit_is_refused() {
    let alone = info_of_four_numbers(1);
    let recorded =
        RunInfo { recorded: Some(Recorded { steps: 100, acts: false, share: 0.5 }), ..alone.clone() };
    let build = |settings: &str, network: &ModelConfig, info: &RunInfo| {
        let spec = Algorithms::builtin().get("dt").unwrap().clone();
        spec.build(&settings.parse().unwrap(), Some(network), info)
    };
    let refusal = |settings: &str, network: &ModelConfig, info: &RunInfo| {
        build(settings, network, info).err().unwrap().to_string()
    };
    assert_eq!(refusal("", &network(3), &alone), "dt needs recorded data (--data ID), got none");
    let error = refusal("", &mlp(&[8], Activation::Relu), &recorded);
    assert!(error.starts_with("dt needs network.memory.kind = \"transformer\", got None"), "{error}");
    let gru = MemoryConfig::Gru { hidden: 8, init: RecurrentInit::default() };
    let error = refusal("", &ModelConfig { memory: gru, ..network(3) }, &recorded);
    assert!(error.starts_with("dt needs network.memory.kind"), "{error}");
    for (settings, expected) in [
        ("batch_size = 0", "agent.batch_size must be at least 1"),
        ("return_scale = 0.0", "agent.return_scale must be above 0"),
        ("return_scale = 1e-60", "agent.return_scale must be a positive f32"),
        ("target_return = 1e60", "agent.target_return must be a finite f32"),
        ("max_grad_norm = -1.0", "agent.max_grad_norm must be above 0"),
        ("learning_rate = 0.0", "agent.learning_rate must be above 0"),
    ] {
        let error = refusal(settings, &network(3), &recorded);
        assert!(error.starts_with(expected), "{error}");
    }
    let unbounded = ActionSpec::Continuous { low: vec![f32::NEG_INFINITY], high: vec![1.0] };
    let unbounded = with_spaces(&recorded, |spaces| spaces.action = unbounded);
    let error = refusal("", &network(3), &unbounded);
    assert!(error.starts_with("dt needs actions with finite bounds"), "{error}");
    // Not before all of its data are there.
    let mut early = build("", &network(3), &recorded).unwrap();
    let part = trial(&identity(), &HalfRight, &network(3), 1).recorded.unwrap();
    let part = Fragment { shape: FragmentShape { num_steps: 50, ..part.shape.clone() }, ..part };
    early.remember(&part).unwrap();
    let error = early.learn(&[], 100).unwrap_err().to_string();
    assert_eq!(error, "dt needs all of its recorded data before it learns, got a part");
}
