//! Learning on tasks whose answer is known; targets, exploration and the target network by hand; parity; settings.

use agon_envs::{ActionBatch, ActionSpec, EnvSpec, ObsBuffer, Space};
use agon_nn::{Activation, AdamConfig, HeadConfig, ModelConfig, OptimizerConfig, RmsPropConfig, Scratch};

use super::q_network::best;
use super::*;
use crate::FragmentShape;
use crate::policy::{ActInput, ActMode, ActOutput, Actor};
use crate::replay::PrioritizedConfig;
use crate::test_support::{
    Bandit, BrightHalf, FOUR_STATES, FourSteps, Identity, Trial, TrialConfig, Wheel,
    assert_continues_after_restore, assert_refuses_damage, assert_stops_at_a_lost_reward,
    assert_threads_do_not_matter, mlp, small_cnn, spec_of,
};

const GAMMA: f64 = 0.9;

// --- Learning.

fn small() -> DqnConfig {
    DqnConfig {
        buffer_size: 1000,
        learning_starts: 100,
        train_frequency: 8,
        gradient_steps: 2,
        batch_size: 32,
        learning_rate: 1e-2,
        gamma: GAMMA,
        target_network_frequency: 10,
        network: mlp(&[16], Activation::Tanh),
        ..DqnConfig::default()
    }
}

fn trial(spec: &EnvSpec, config: &DqnConfig, iterations: u64, seed: u64) -> Trial<Dqn> {
    let total_timesteps = iterations * config.train_frequency as u64;
    let sizes = TrialConfig { num_envs: 4, num_shards: 2, total_timesteps, seed };
    Trial::new(spec, sizes, |info| Dqn::new(config.clone(), info))
}

/// The action values of the four one-hot states, `[4, A]`.
fn q_values(dqn: &Dqn) -> Vec<f32> {
    let packed = dqn.network.pack(&dqn.network.silent(&dqn.params)).unwrap();
    let mut out = vec![0.0; 4 * dqn.network.actions];
    let (mut scratch, mut buffer) = (Scratch::default(), Vec::new());
    dqn.network.values(&packed, &FOUR_STATES, 4, &mut scratch, &mut buffer, &mut out).unwrap();
    out
}

#[test]
fn the_better_arm_of_a_bandit_is_learned() {
    for (seed, double) in [(0, false), (1, true), (2, false)] {
        let mut trial = trial(&spec_of(Bandit), &DqnConfig { double, ..small() }, 100, seed);
        trial.run();
        assert_eq!(trial.evaluate(20), 1.0, "seed {seed}");
        let last = &trial.episode_returns[trial.episode_returns.len() - 200..];
        let mean = last.iter().sum::<f64>() / 200.0;
        assert!(mean >= 0.9, "seed {seed}: the last episodes pay {mean}");
    }
}

#[test]
fn an_image_of_bytes_is_learned_from() {
    let config = DqnConfig { network: small_cnn(), learning_rate: 3e-3, gamma: 0.5, ..small() };
    let spec = spec_of(BrightHalf::default()).max_episode_steps(8);
    for seed in 0..3 {
        let mut trial = trial(&spec, &config, 300, seed);
        trial.run();
        assert_eq!(trial.evaluate(20), 1.0, "seed {seed}");
    }
}

#[test]
fn identity_is_learned() {
    for (seed, double) in [(0, false), (1, true), (2, false)] {
        let spec = spec_of(Identity::default()).max_episode_steps(8);
        let mut trial = trial(&spec, &DqnConfig { double, gamma: 0.5, ..small() }, 300, seed);
        trial.run();
        let accuracy = trial.evaluate(200);
        assert!(accuracy >= 0.95, "seed {seed}: {accuracy}");
    }
}

fn assert_values(wheel: &Wheel, gamma: f64, max_episode_steps: u32, seed: u64) {
    let expected = wheel.values(gamma);
    let spec = spec_of(wheel.clone()).max_episode_steps(max_episode_steps);
    let mut trial = trial(&spec, &DqnConfig { gamma, ..small() }, 500, seed);
    trial.run();
    for (state, got) in q_values(&trial.learner).chunks_exact(2).enumerate() {
        for &got in got {
            let want = expected[state];
            assert!(
                (f64::from(got) - want).abs() <= 0.1 * want,
                "seed {seed}: {state}: expected {want}, got {got}"
            );
        }
    }
}

#[test]
fn truncation_bootstraps_so_that_a_constant_reward_is_worth_one_over_one_minus_gamma() {
    let wheel = Wheel { rewards: [1.0; 4], state: 0 };
    assert!((wheel.values(0.9)[0] - 10.0).abs() < 1e-9);
    for seed in 0..3 {
        assert_values(&wheel, GAMMA, 3, seed);
    }
}

#[test]
fn truncation_bootstraps_from_the_final_observation_and_not_from_the_next_episode() {
    // Every step is truncated. Values double from state to state, 1.07 to 8.53; with the next episode's first
    // observation instead, which may be any state, they were 2, 2, 2 and 10.
    let wheel = Wheel { rewards: [0.0, 0.0, 0.0, 8.0], state: 0 };
    for seed in 0..3 {
        assert_values(&wheel, 0.5, 1, seed);
    }
}

#[test]
fn termination_does_not_bootstrap() {
    let expected = 1.0 + GAMMA + GAMMA.powi(2) + GAMMA.powi(3);
    for seed in 0..3 {
        let mut trial = trial(&spec_of(FourSteps::default()), &small(), 300, seed);
        trial.run();
        for got in &q_values(&trial.learner)[..2] {
            let close = (f64::from(*got) - expected).abs() <= 0.1 * expected;
            assert!(close, "seed {seed}: expected {expected}, got {got}");
        }
    }
}

// --- Exploration.

/// Acts once for `rows` rows; gives the actions and the generator after.
fn act(dqn: &Dqn, observations: Vec<f32>, rows: usize, env_steps: u64, mode: ActMode) -> (Vec<u32>, Pcg64) {
    let policy = dqn.policy().unwrap();
    let observations = ObsBuffer::F32(observations);
    let input = ActInput {
        observations: &observations,
        num_envs: rows,
        action_masks: &[],
        resets: &[],
        env_steps,
        mode,
    };
    let mut actions = ActionBatch::Discrete(vec![9; rows]);
    let mut actor = Actor::new(Pcg64::seed_from(2));
    policy.act(&input, &mut actor, ActOutput { actions: &mut actions, policy_data: &mut [] }).unwrap();
    (actions.indices().to_vec(), actor.rng)
}

/// ε falls from 1 to 0 over the first 800 of 1600 steps.
fn exploring() -> Dqn {
    let config = DqnConfig { start_e: Some(1.0), end_e: Some(0.0), exploration_fraction: 0.5, ..small() };
    trial(&spec_of(Identity::default()), &config, 200, 0).learner
}

#[test]
fn at_epsilon_one_every_action_is_random_and_the_network_is_not_asked() {
    // Without observations the network would refuse to run.
    let (actions, _) = act(&exploring(), vec![], 4000, 0, ActMode::Explore);
    let counts = [0, 1, 2, 3].map(|action| actions.iter().filter(|&&a| a == action).count());
    // 1000 each with a deviation of 27; five of them.
    assert!(counts.iter().all(|&count| count.abs_diff(1000) < 137), "{counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), 4000);
}

#[test]
fn at_epsilon_zero_every_action_is_greedy_and_nothing_is_drawn() {
    let dqn = exploring();
    let greedy: Vec<u32> = q_values(&dqn).chunks_exact(4).map(|q| best(q, None) as u32).collect();
    let observations = FOUR_STATES.repeat(50);
    for (env_steps, mode) in [(800, ActMode::Explore), (5000, ActMode::Explore), (0, ActMode::Deterministic)]
    {
        let (actions, rng) = act(&dqn, observations.clone(), 200, env_steps, mode);
        assert_eq!(actions, greedy.repeat(50));
        assert_eq!(rng, Pcg64::seed_from(2));
    }
}

#[test]
fn half_way_half_of_the_actions_are_random() {
    let dqn = exploring();
    let greedy: Vec<u32> = q_values(&dqn).chunks_exact(4).map(|q| best(q, None) as u32).collect();
    let (actions, _) = act(&dqn, FOUR_STATES.repeat(1000), 4000, 400, ActMode::Explore);
    let other = actions.iter().zip(greedy.repeat(1000)).filter(|(a, g)| **a != *g).count();
    // A random action is another one in 3 of 4 cases: 1500 with a deviation of 31; five of them.
    assert!(other.abs_diff(1500) < 155, "{other} of 4000");
}

#[test]
fn epsilon_is_reported_as_scheduled() {
    let config = DqnConfig { learning_starts: u64::MAX, end_e: Some(0.2), ..small() };
    let mut trial = trial(&spec_of(Bandit), &config, 4, 0);
    // Of 32 steps the first 16 explore less and less.
    let epsilons: Vec<f64> = (0..4).map(|_| trial.iterate().unwrap().metrics[1]).collect();
    let expected = [0.6, 0.2, 0.2, 0.2];
    assert!(epsilons.iter().zip(expected).all(|(e, want)| (e - want).abs() < 1e-12), "{epsilons:?}");
}

#[test]
fn equal_values_are_broken_by_the_first_action() {
    assert_eq!(best(&[1.0, 3.0, 3.0], None), 1);
    assert_eq!(best(&[f32::NEG_INFINITY, f32::NEG_INFINITY], None), 0);
    assert_eq!(best(&[5.0, 3.0, 3.0], Some(&[false, true, true])), 1);
    assert_eq!(best(&[f32::NAN; 3], Some(&[false, false, true])), 2);
}

// --- Updates.

/// One step of one environment, with a reward of 0.5 for action 0.
fn transition(terminated: bool) -> Fragment {
    let mut fragment = Fragment::new(&FragmentShape {
        num_steps: 1,
        num_envs: 1,
        observation_len: 4,
        dtype: agon_envs::spaces::Dtype::F32,
        action_spec: ActionSpec::Discrete { nvec: vec![2] },
        policy_data_width: 0,
        policy_state_len: 0,
        mask_len: 0,
    });
    fragment.rewards[0] = 0.5;
    fragment.terminated[0] = terminated;
    fragment
}

fn info() -> RunInfo {
    RunInfo {
        observation_space: Space::box_f32(&[0.0; 4], &[1.0; 4]).unwrap(),
        frames: None,
        action_spec: ActionSpec::Discrete { nvec: vec![2] },
        mask_len: 0,
        num_envs: 1,
        num_shards: 1,
        total_timesteps: 1000,
        seed: 0,
    }
}

/// A linear Q network that learns from each single step.
fn linear() -> DqnConfig {
    DqnConfig {
        learning_starts: 0,
        train_frequency: 1,
        gradient_steps: 1,
        gamma: 0.5,
        huber_delta: 100.0,
        network: mlp(&[], Activation::Tanh),
        ..small()
    }
}

/// A learner whose networks give the same action values everywhere.
fn with_values(config: DqnConfig, online: [f32; 2], target: [f32; 2]) -> Dqn {
    with_values_in(config, online, target, &info())
}

fn with_values_in(config: DqnConfig, online: [f32; 2], target: [f32; 2], info: &RunInfo) -> Dqn {
    let mut dqn = Dqn::new(config, info).unwrap();
    for (params, values) in [(&mut dqn.params, online), (&mut dqn.target_params, target)] {
        let bias = params.layout().find("q.0.bias").unwrap().range.range();
        params.as_mut_slice().fill(0.0);
        params.as_mut_slice()[bias].copy_from_slice(&values);
    }
    dqn.target = dqn.network.pack(&dqn.target_params).unwrap();
    dqn
}

#[test]
fn the_double_target_is_the_target_networks_value_of_the_online_choice() {
    // Online [1, 2] prefers action 1; the target network [5, 3] gives it 3, and 5 to its own choice.
    for (double, terminated, target) in [
        (false, false, 0.5 + 0.5 * 5.0),
        (true, false, 0.5 + 0.5 * 3.0),
        (false, true, 0.5),
        (true, true, 0.5),
    ] {
        let mut dqn = with_values(DqnConfig { double, ..linear() }, [1.0, 2.0], [5.0, 3.0]);
        let report = dqn.learn(&[transition(terminated)], 1).unwrap();
        let error: f64 = 1.0 - target;
        assert!(
            (report.metrics[2] - 0.5 * error * error).abs() < 1e-6,
            "double {double}: {}",
            report.metrics[2]
        );
        assert!((report.metrics[3] - 1.0).abs() < 1e-6, "double {double}: {}", report.metrics[3]);
        // The update moves the value of action 0 towards the target, and that of action 1 not at all.
        let bias = dqn.params.get("q.0.bias").unwrap();
        assert!((f64::from(bias[0]) - 1.0) * error < 0.0 && bias[1] == 2.0, "{bias:?}");
    }
}

#[test]
fn the_loss_is_linear_beyond_huber_delta() {
    let mut dqn = with_values(DqnConfig { huber_delta: 1.0, ..linear() }, [1.0, 2.0], [5.0, 3.0]);
    // An error of 2: 1 · (2 − 1/2).
    assert!((dqn.learn(&[transition(false)], 1).unwrap().metrics[2] - 1.5).abs() < 1e-6);
}

#[test]
fn the_target_network_is_copied_exactly_every_so_many_environment_steps() {
    // One step an iteration: at 3 and 6. Two: whenever a multiple of 3 was reached or passed, at 4, 6 and 10.
    for (stride, rounds, copied_at) in [(1, 7, [3, 6].as_slice()), (2, 5, &[4, 6, 10])] {
        let config = DqnConfig { target_network_frequency: 3, ..linear() };
        let mut dqn = with_values(config, [1.0, 2.0], [5.0, 3.0]);
        let mut expected = dqn.target_params.as_slice().to_vec();
        for round in 1..=rounds {
            let env_steps = round * stride;
            // The copy is made before the round's update.
            let online = dqn.params.as_slice().to_vec();
            let report = dqn.learn(&vec![transition(false); stride as usize], env_steps).unwrap();
            assert!(report.updates == round && dqn.params.as_slice() != online);
            if copied_at.contains(&env_steps) {
                assert_ne!(online, expected);
                expected = online;
            }
            assert_eq!(dqn.target_params.as_slice(), expected, "stride {stride}, after step {env_steps}");
            // The packed form that targets are computed with is the same network.
            let mut packed = [0.0; 2];
            dqn.network.infer(&dqn.target, &[0.0; 4], 1, &[], &mut Scratch::default(), &mut packed).unwrap();
            assert_eq!(packed, dqn.target_params.get("q.0.bias").unwrap());
        }
    }
}

#[test]
fn tau_moves_the_target_network_part_of_the_way() {
    let config = DqnConfig { target_network_frequency: 1, tau: 0.25, ..linear() };
    let mut dqn = with_values(config, [1.0, 2.0], [5.0, 3.0]);
    dqn.learn(&[transition(false)], 1).unwrap();
    let expected = [0.25 * 1.0 + 0.75 * 5.0, 0.25 * 2.0 + 0.75 * 3.0];
    assert_eq!(dqn.target_params.get("q.0.bias").unwrap(), expected);
}

#[test]
fn nothing_is_learned_before_learning_starts() {
    let mut dqn = Dqn::new(DqnConfig { learning_starts: 3, gradient_steps: 2, ..linear() }, &info()).unwrap();
    let first = dqn.params.as_slice().to_vec();
    for step in 1..=3 {
        let report = dqn.learn(&[transition(false)], step).unwrap();
        assert!(report.metrics[2].is_nan() && report.metrics[3].is_nan(), "{:?}", report.metrics);
    }
    assert!(dqn.updates == 0 && dqn.params.as_slice() == first && dqn.replay.len() == 3);
    assert!(dqn.learn(&[transition(false)], 4).unwrap().metrics[2].is_finite());
    assert_eq!(dqn.updates, 2);
}

// --- Parity.

/// Enough weights for Adam to take several threads.
fn sliced() -> DqnConfig {
    DqnConfig {
        buffer_size: 40,
        learning_starts: 10,
        gradient_slices: 5,
        double: true,
        network: mlp(&[256, 128], Activation::Relu),
        ..small()
    }
}

#[test]
fn threads_do_not_change_the_result() {
    let spec = spec_of(Identity::default()).max_episode_steps(5);
    assert_threads_do_not_matter(|seed| trial(&spec, &sliced(), 10, seed));
}

#[test]
fn a_restored_learner_continues_bit_for_bit() {
    // The replay buffer is full when it is saved, and its oldest transitions are replaced after.
    let config = DqnConfig { buffer_size: 20, batch_size: 16, ..sliced() };
    let spec = spec_of(Identity::default()).max_episode_steps(5);
    assert_continues_after_restore(trial(&spec, &config, 10, 1), |info| Dqn::new(config.clone(), info));
}

#[test]
fn damaged_states_are_refused() {
    let mut trial = trial(&spec_of(Bandit), &small(), 20, 0);
    trial.run();
    assert_refuses_damage(&mut trial.learner);
}

#[test]
fn states_of_another_network_are_refused() {
    let bandit = trial(&spec_of(Bandit), &small(), 1, 0).learner;
    let mut identity = trial(&spec_of(Identity::default()), &small(), 1, 0).learner;
    let error = identity.restore(&bandit.save().unwrap()).unwrap_err();
    let (expected, got) = (identity.params.len(), bandit.params.len());
    assert_eq!(
        error.to_string(),
        format!("saved learner cannot be restored: expected {expected} weights, got {got}")
    );
}

#[test]
fn states_of_another_optimizer_are_refused() {
    let mut learner = trial(&spec_of(Bandit), &small(), 1, 0).learner;
    let mut store = crate::chunks::MemoryStore::default();
    let mut saved: Saved = crate::learner::decode(&learner.save_with(&mut store).unwrap()).unwrap();
    let OptimizerState::Adam(adam) = &mut saved.optimizer else { panic!("the default is Adam") };
    adam.exp_avg.pop();
    adam.exp_avg_sq.pop();
    let error = learner.restore_with(&crate::learner::encode(&saved).unwrap(), &store);
    assert!(matches!(error, Err(AgentError::Restore(_))), "{error:?}");
}

#[test]
fn states_with_another_replay_buffer_are_refused() {
    let mut learner = trial(&spec_of(Bandit), &small(), 1, 0).learner;
    let larger = trial(&spec_of(Bandit), &DqnConfig { buffer_size: 2000, ..small() }, 1, 0).learner;
    let error = learner.restore(&larger.save().unwrap());
    assert!(matches!(error, Err(AgentError::Restore(_))), "{error:?}");
}

// --- Settings.

fn refusal(config: DqnConfig, info: &RunInfo) -> String {
    Dqn::new(config, info).err().map_or_else(|| "accepted".to_owned(), |error| error.to_string())
}

/// Spoils a setting; the message that refuses it.
type Case = (fn(&mut DqnConfig), &'static str);

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let cases: [Case; 33] = [
        (|c| c.batch_size = 0, "batch_size must be at least 1, got 0"),
        (|c| c.buffer_size = 127, "buffer_size must be at least batch_size, got 127"),
        (|c| c.buffer_size = 1 << 32, "buffer_size must be below 2^32, got 4294967296"),
        (|c| c.gradient_steps = 0, "gradient_steps must be at least 1, got 0"),
        (|c| c.learning_rate = 0.0, "learning_rate must be above 0, got 0"),
        (|c| c.learning_rate = f64::NAN, "learning_rate must be above 0, got NaN"),
        (|c| c.gamma = 1.5, "gamma must be between 0 and 1, got 1.5"),
        (|c| c.gamma = f64::NAN, "gamma must be between 0 and 1, got NaN"),
        (|c| c.target_network_frequency = 0, "target_network_frequency must be at least 1, got 0"),
        (|c| c.tau = 0.0, "tau must be above 0 and at most 1, got 0"),
        (|c| c.tau = 1.5, "tau must be above 0 and at most 1, got 1.5"),
        (|c| c.tau = f64::NAN, "tau must be above 0 and at most 1, got NaN"),
        (|c| c.huber_delta = 0.0, "huber_delta must be above 0, got 0"),
        (|c| c.max_grad_norm = -1.0, "max_grad_norm must be above 0, got -1"),
        (|c| c.start_e = Some(1.5), "start_e must be between 0 and 1, got 1.5"),
        (|c| c.start_e = Some(f64::NAN), "start_e must be between 0 and 1, got NaN"),
        (|c| c.end_e = Some(-0.5), "end_e must be between 0 and 1, got -0.5"),
        (|c| c.exploration_fraction = 2.0, "exploration_fraction must be between 0 and 1, got 2"),
        (|c| c.exploration_fraction = -1.0, "exploration_fraction must be between 0 and 1, got -1"),
        (|c| c.gradient_slices = 0, "gradient_slices must be between 1 and 64, got 0"),
        (|c| c.gradient_slices = 65, "gradient_slices must be between 1 and 64, got 65"),
        (|c| c.train_frequency = 0, "train_frequency must be a multiple of num_envs = 4, got 0"),
        (|c| c.train_frequency = 10, "train_frequency must be a multiple of num_envs = 4, got 10"),
        (|c| c.train_frequency = 2, "train_frequency must be a multiple of num_envs = 4, got 2"),
        (|c| c.n_step = 0, "n_step must be at least 1, got 0"),
        (|c| c.buffer_size = 3, "buffer_size must be at least batch_size, got 3"),
        (|c| (c.batch_size, c.buffer_size) = (1, 3), "buffer_size must be at least num_envs, got 3"),
        (
            |c| c.distribution = Distribution::C51(C51Config { v_min: 10.0, ..C51Config::default() }),
            "v_min must be finite and less than v_max, got 10 to 10",
        ),
        (
            |c| c.distribution = Distribution::Qr(QrConfig { quantiles: 0 }),
            "distribution.quantiles must be at least 1, got 0",
        ),
        (
            |c| c.distribution = Distribution::Iqn(IqnConfig { cosines: 0, ..IqnConfig::default() }),
            "distribution.cosines must be at least 1, got 0",
        ),
        (
            |c| {
                let alpha = PrioritizedConfig { alpha: 2.0, ..PrioritizedConfig::default() };
                c.replay = Sampling::Prioritized(alpha);
            },
            "replay.alpha must be between 0 and 1, got 2",
        ),
        (
            |c| c.optimizer = OptimizerConfig::Adam(AdamConfig { beta1: 1.0, ..AdamConfig::default() }),
            "beta1 must be",
        ),
        (|c| c.network = mlp(&[0], Activation::Tanh), "hidden must be widths of at least 1, got [0]"),
    ];
    let (valid, info) =
        (DqnConfig { train_frequency: 8, ..DqnConfig::default() }, RunInfo { num_envs: 4, ..info() });
    assert!(Dqn::new(valid.clone(), &info).is_ok());
    for (spoil, expected) in cases {
        let mut config = valid.clone();
        spoil(&mut config);
        let message = refusal(config, &info);
        assert!(message.starts_with(expected), "expected {expected}, got {message}");
    }
}

#[test]
fn unsupported_spaces_are_refused() {
    let continuous = ActionSpec::of(&Space::box_uniform(-1.0, 1.0, &[2]).unwrap()).unwrap();
    for spec in [continuous, ActionSpec::Discrete { nvec: vec![2, 3] }] {
        let message = refusal(linear(), &RunInfo { action_spec: spec, ..info() });
        assert!(message.starts_with("dqn needs a Discrete action space, got "), "{message}");
    }
    let shifted = Space::discrete_from(1, 5).unwrap();
    let message = refusal(linear(), &RunInfo { observation_space: shifted, ..info() });
    assert!(message.starts_with("dqn needs categories that begin with zero, got "), "{message}");
    let network = ModelConfig {
        memory: agon_nn::MemoryConfig::Gru { hidden: 4, init: agon_nn::RecurrentInit::default() },
        ..linear().network
    };
    let message = refusal(DqnConfig { network, ..linear() }, &info());
    assert!(message.starts_with("dqn needs network.memory.kind = \"none\", got "), "{message}");
}

#[test]
fn a_lost_reward_stops_learning_with_an_error() {
    // All 8 transitions of the first iteration are drawn 64 times over.
    let config = DqnConfig { learning_starts: 0, batch_size: 64, ..small() };
    assert_stops_at_a_lost_reward(|| trial(&spec_of(Bandit), &config, 1, 0));
}

// --- Variants.

fn noisy(config: DqnConfig) -> DqnConfig {
    let head = HeadConfig { noisy: true, ..HeadConfig::default() };
    DqnConfig { network: ModelConfig { head, ..config.network }, ..config }
}

/// As [`noisy`], with random actions besides, so that every action is tried.
fn noisy_and_random(config: DqnConfig) -> DqnConfig {
    DqnConfig { start_e: Some(1.0), end_e: Some(0.05), ..noisy(config) }
}

/// Small forms of the variants, each by its name. Values of the wheel lie between 0 and 10.
fn variants() -> Vec<(&'static str, DqnConfig)> {
    let prioritized = Sampling::Prioritized(PrioritizedConfig::default());
    let c51 = Distribution::C51(C51Config { v_min: 0.0, v_max: 12.0, atoms: 25 });
    let qr = Distribution::Qr(QrConfig { quantiles: 8 });
    let iqn = Distribution::Iqn(IqnConfig { samples: 8, target_samples: 8, acting_samples: 8, cosines: 16 });
    let rms = RmsPropConfig { alpha: 0.95, eps: 0.01, centered: true, ..RmsPropConfig::default() };
    vec![
        ("dueling", DqnConfig { dueling: true, ..small() }),
        ("3 steps", DqnConfig { n_step: 3, ..small() }),
        ("priorities", DqnConfig { replay: prioritized, ..small() }),
        ("squared error", DqnConfig { loss: Loss::Mse, ..small() }),
        (
            "centred RMSProp",
            DqnConfig { optimizer: OptimizerConfig::RmsProp(rms), learning_rate: 3e-3, ..small() },
        ),
        ("noisy", noisy_and_random(small())),
        ("c51", DqnConfig { distribution: c51, ..small() }),
        ("qr", DqnConfig { distribution: qr, ..small() }),
        ("iqn", DqnConfig { distribution: iqn, learning_rate: 3e-3, ..small() }),
        (
            "rainbow",
            noisy_and_random(DqnConfig {
                double: true,
                dueling: true,
                n_step: 3,
                replay: prioritized,
                distribution: c51,
                ..small()
            }),
        ),
        (
            "dueling noisy double iqn",
            noisy_and_random(DqnConfig { double: true, dueling: true, distribution: iqn, ..small() }),
        ),
    ]
}

#[test]
fn every_variant_learns_the_identity() {
    for (name, config) in variants() {
        let spec = spec_of(Identity::default()).max_episode_steps(8);
        let mut trial = trial(&spec, &DqnConfig { gamma: 0.5, ..config }, 300, 1);
        trial.run();
        let accuracy = trial.evaluate(200);
        assert!(accuracy >= 0.95, "{name}: {accuracy}");
    }
}

#[test]
fn every_variant_bootstraps_where_an_episode_is_cut() {
    let wheel = Wheel { rewards: [0.0, 0.0, 0.0, 8.0], state: 0 };
    let expected = wheel.values(0.5);
    for (name, config) in variants() {
        let spec = spec_of(wheel.clone()).max_episode_steps(2);
        let mut trial = trial(&spec, &DqnConfig { gamma: 0.5, ..config }, 600, 2);
        trial.run();
        for (state, got) in q_values(&trial.learner).chunks_exact(2).enumerate() {
            for &got in got {
                let (got, want) = (f64::from(got), expected[state]);
                assert!(
                    (got - want).abs() <= 0.15 * want + 0.1,
                    "{name}, {state}: expected {want}, got {got}"
                );
            }
        }
    }
}

#[test]
fn threads_do_not_change_what_a_variant_learns() {
    let spec = spec_of(Identity::default()).max_episode_steps(5);
    for (_, config) in variants() {
        let config = DqnConfig { buffer_size: 40, learning_starts: 10, gradient_slices: 5, ..config };
        assert_threads_do_not_matter(|seed| trial(&spec, &config, 10, seed));
    }
}

#[test]
fn a_restored_variant_continues_bit_for_bit() {
    let spec = spec_of(Identity::default()).max_episode_steps(5);
    for (_, config) in variants() {
        let config = DqnConfig { buffer_size: 20, batch_size: 16, learning_starts: 10, ..config };
        assert_continues_after_restore(trial(&spec, &config, 10, 1), |info| Dqn::new(config.clone(), info));
    }
}

#[test]
fn a_lost_reward_stops_every_variant() {
    for (_, config) in variants() {
        let config = DqnConfig { learning_starts: 0, batch_size: 64, n_step: 1, ..config };
        assert_stops_at_a_lost_reward(|| trial(&spec_of(Bandit), &config, 1, 0));
    }
}

#[test]
fn a_saved_state_without_priorities_is_refused_where_there_are_some() {
    let prioritized = DqnConfig { replay: Sampling::Prioritized(PrioritizedConfig::default()), ..small() };
    let saved = trial(&spec_of(Bandit), &small(), 1, 0).learner.save().unwrap();
    let error = trial(&spec_of(Bandit), &prioritized, 1, 0).learner.restore(&saved).unwrap_err();
    assert_eq!(
        error.to_string(),
        "saved learner cannot be restored: expected a replay buffer with priorities"
    );
}

#[test]
fn noisy_layers_explore_by_themselves_and_not_in_evaluation() {
    let config = noisy(small());
    assert_eq!(config.epsilon(), (0.0, 0.0));
    assert_eq!(DqnConfig { start_e: Some(0.5), ..config.clone() }.epsilon(), (0.5, 0.0));
    let mut dqn = trial(&spec_of(Identity::default()), &config, 200, 0).learner;
    let mut explored = std::collections::BTreeSet::new();
    let mut greedy = std::collections::BTreeSet::new();
    for _ in 0..50 {
        explored.insert(act(&dqn, FOUR_STATES.to_vec(), 4, 0, ActMode::Explore).0);
        greedy.insert(act(&dqn, FOUR_STATES.to_vec(), 4, 0, ActMode::Deterministic).0);
        let Dqn { network, params, rng, .. } = &mut dqn;
        network.resample_noise(params, rng);
    }
    assert!(explored.len() > 3 && greedy.len() == 1, "{explored:?} {greedy:?}");
}

// --- Masks.

#[test]
fn masked_actions_are_not_taken() {
    let dqn = exploring();
    let policy = dqn.policy().unwrap();
    let observations = ObsBuffer::F32(FOUR_STATES.repeat(100));
    let masks = [false, true, false, true].repeat(400);
    for (env_steps, mode) in [(0, ActMode::Explore), (400, ActMode::Explore), (0, ActMode::Deterministic)] {
        let input = ActInput {
            observations: &observations,
            num_envs: 400,
            action_masks: &masks,
            resets: &[],
            env_steps,
            mode,
        };
        let mut actions = ActionBatch::Discrete(vec![9; 400]);
        let mut actor = Actor::new(Pcg64::seed_from(2));
        policy.act(&input, &mut actor, ActOutput { actions: &mut actions, policy_data: &mut [] }).unwrap();
        let counts = [0, 1, 2, 3].map(|a| actions.indices().iter().filter(|&&action| action == a).count());
        assert!(counts[0] == 0 && counts[2] == 0, "{counts:?}");
        if env_steps == 0 && mode == ActMode::Explore {
            assert!(counts[1].abs_diff(200) < 50, "{counts:?}");
        }
    }
}

#[test]
fn targets_are_taken_over_allowed_actions() {
    // The target network [5, 3] is asked for action 1, as action 0 is not allowed.
    for double in [false, true] {
        let info = RunInfo { mask_len: 2, ..info() };
        let config = DqnConfig { double, ..linear() };
        let mut dqn = with_values_in(config, [1.0, 2.0], [5.0, 3.0], &info);
        let mut fragment = Fragment::new(&FragmentShape { mask_len: 2, ..transition(false).shape });
        fragment.rewards[0] = 0.5;
        fragment.action_masks = vec![true, true, false, true];
        let error: f64 = 1.0 - (0.5 + 0.5 * 3.0);
        let loss = dqn.learn(&[fragment], 1).unwrap().metrics[2];
        assert!((loss - 0.5 * error * error).abs() < 1e-6, "double {double}: {loss}");
    }
}

// --- The named combinations.

#[test]
fn named_combinations_are_valid() {
    let info = RunInfo { num_envs: 1, ..info() };
    for config in [DqnConfig::c51(), DqnConfig::qr_dqn(), DqnConfig::iqn(), DqnConfig::rainbow()] {
        assert!(Dqn::new(config, &info).is_ok());
    }
    let rainbow = DqnConfig::rainbow();
    assert!(rainbow.double && rainbow.dueling && rainbow.n_step == 3 && rainbow.epsilon() == (0.0, 0.0));
}
