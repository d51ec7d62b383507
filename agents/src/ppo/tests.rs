//! The loss against PyTorch and finite differences; learning on tasks whose answer is known; parity; settings.

use agon_envs::{ActionBatch, ActionSpec, EnvSpec, ObsBuffer, Space};
use agon_nn::losses::categorical;
use agon_nn::{
    Activation, MemoryConfig, MemoryState, ModelScratch, OptimizerState, PackedModel, RecurrentInit,
    TransformerConfig,
};

use super::*;
use crate::distribution::{Distribution, Evaluated};
use crate::policy_gradient::{LossSums, PolicyLoss, Transition};
use crate::test_support::{
    Aim, Bandit, BrightHalf, Corridor, FOUR_STATES, FourSteps, Golden, Identity, Recall, Trial, TrialConfig,
    Wheel, assert_continues_after_restore, assert_refuses_damage, assert_stops_at_a_lost_reward,
    assert_threads_do_not_matter, mlp, small_cnn, spec_of,
};
use crate::{ActInput, ActMode, ActOutput, Actor};

const GAMMA: f64 = 0.9;

// --- The loss.

/// A batch of the loss's inputs, owned.
struct Batch {
    num_actions: usize,
    logits: Vec<f32>,
    values: Vec<f32>,
    actions: Vec<u32>,
    old_log_probs: Vec<f32>,
    advantages: Vec<f32>,
    returns: Vec<f32>,
    old_values: Vec<f32>,
    action_masks: Vec<bool>,
}

/// Sums, gradient of the logits, gradient of the values.
type LossAndGradients = (LossSums, Vec<f32>, Vec<f32>);

impl Batch {
    fn evaluate(&self, loss: &PpoLoss, scale: f32) -> LossAndGradients {
        self.try_evaluate(loss, scale).unwrap()
    }

    fn try_evaluate(&self, loss: &PpoLoss, scale: f32) -> Result<LossAndGradients, AgentError> {
        let distribution = Distribution::Categorical { nvec: vec![self.num_actions] };
        let (mut evaluated, mut sums) = (Evaluated::default(), LossSums::default());
        let actions = ActionBatch::Discrete(self.actions.clone());
        distribution.evaluate(&self.logits, &self.action_masks, &actions, &mut evaluated)?;
        let rows = self.values.len();
        let (mut log_prob_grads, mut value_grads) = (vec![0.0; rows], vec![0.0; rows]);
        for row in 0..rows {
            let transition = Transition {
                log_prob: evaluated.log_probs[row],
                old_log_prob: self.old_log_probs[row],
                advantage: self.advantages[row],
                value: self.values[row],
                old_value: self.old_values[row],
                target: self.returns[row],
            };
            let gradient = loss.gradient(&transition, &mut sums);
            sums.entropy += f64::from(evaluated.entropies[row]);
            (log_prob_grads[row], value_grads[row]) = (scale * gradient.log_prob, scale * gradient.value);
        }
        let entropy_grads = vec![-scale * loss.ent_coef(); rows];
        let mut logit_grads = vec![f32::NAN; self.logits.len()];
        distribution.gradient(&evaluated, &actions, &log_prob_grads, &entropy_grads, &mut logit_grads)?;
        Ok((sums, logit_grads, value_grads))
    }

    /// Every combination of the loss's branches, each away from where they meet: ratios inside and outside `1 ± 0.2`,
    /// both signs of the advantage, values moved by less and more than 0.2, targets on both sides.
    fn of_all_branches(masked: bool) -> Self {
        let num_actions = 4;
        let mut rng = Pcg64::seed_from(11);
        let mut batch = Self {
            num_actions,
            logits: vec![],
            values: vec![],
            actions: vec![],
            old_log_probs: vec![],
            advantages: vec![],
            returns: vec![],
            old_values: vec![],
            action_masks: vec![],
        };
        for case in 0..64 {
            let ratio = [0.5_f32, 0.9, 1.1, 1.6][case % 4];
            let advantage = [0.7, -1.3][case / 4 % 2];
            let moved = [-0.5, -0.1, 0.1, 0.5][case / 8 % 4];
            let error = [-1.0, 1.0][case / 32];
            let action = rng.bounded(3) as usize;
            let logits: Vec<f32> = (0..num_actions).map(|_| rng.uniform(-1.5, 1.5) as f32).collect();
            let mask: Vec<bool> = (0..num_actions).map(|a| a == action || rng.random() < 0.6).collect();
            let log_prob = match masked {
                true => categorical::masked_log_prob(&logits, &mask, action),
                false => categorical::log_prob(&logits, action),
            };
            let value = rng.uniform(-1.0, 1.0) as f32;
            batch.logits.extend(logits);
            batch.actions.push(action as u32);
            batch.old_log_probs.push(log_prob - ratio.ln());
            batch.advantages.push(advantage);
            batch.values.push(value);
            batch.old_values.push(value - moved);
            batch.returns.push(value - error);
            if masked {
                batch.action_masks.extend(mask);
            }
        }
        batch
    }
}

fn total(sums: &LossSums, coefficients: &PpoLoss) -> f64 {
    let (ent_coef, vf_coef) = (f64::from(coefficients.ent_coef), f64::from(coefficients.vf_coef));
    sums.policy_loss + vf_coef * sums.value_loss - ent_coef * sums.entropy
}

/// Within 1e-4 of the expected number, or 1e-5 absolutely.
fn assert_close(what: &str, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len());
    for (i, (got, want)) in got.iter().zip(expected).enumerate() {
        assert!(
            (got - want).abs() <= (1e-4 * want.abs()).max(1e-5),
            "{what} {i}: expected {want}, got {got}"
        );
    }
}

#[test]
fn loss_and_gradients_equal_the_reference() {
    let golden = Golden::load("loss_ppo_clip.safetensors");
    let batch = Batch {
        num_actions: 5,
        logits: golden.floats("x.logits"),
        values: golden.floats("x.value"),
        actions: golden.indices("c.action"),
        old_log_probs: golden.floats("c.old_log_prob"),
        advantages: golden.floats("c.advantage"),
        returns: golden.floats("c.ret"),
        old_values: golden.floats("c.old_value"),
        action_masks: vec![],
    };
    let coefficients = PpoLoss {
        clip_coef: golden.floats("c.clip_coef")[0],
        clip_vloss: true,
        ent_coef: golden.floats("c.ent_coef")[0],
        vf_coef: golden.floats("c.vf_coef")[0],
    };
    let scale = 1.0 / batch.values.len() as f32;
    let (sums, logit_grads, value_grads) = batch.evaluate(&coefficients, scale);
    assert_close("loss", &[total(&sums, &coefficients) as f32 * scale], &golden.floats("y"));
    assert_close("gradient of logit", &logit_grads, &golden.floats("dx.logits"));
    assert_close("gradient of value", &value_grads, &golden.floats("dx.value"));
}

#[test]
fn gradients_equal_finite_differences() {
    // A step of 2^-8 leaves rounding errors of some 1e-5 and truncation errors of some 1e-5.
    let (step, tolerance) = (1.0 / 256.0, 5e-4);
    for (masked, clip_vloss) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut batch = Batch::of_all_branches(masked);
        let coefficients = PpoLoss { clip_coef: 0.2, clip_vloss, ent_coef: 0.3, vf_coef: 0.8 };
        let (_, logit_grads, value_grads) = batch.evaluate(&coefficients, 1.0);
        let mut check = |what: &str, i: usize, grad: f32, input: fn(&mut Batch) -> &mut Vec<f32>| {
            let at = input(&mut batch)[i];
            let mut loss_at = |x: f32| {
                input(&mut batch)[i] = x;
                total(&batch.evaluate(&coefficients, 1.0).0, &coefficients)
            };
            let difference = (loss_at(at + step) - loss_at(at - step)) / (2.0 * f64::from(step));
            input(&mut batch)[i] = at;
            let close = (difference - f64::from(grad)).abs() <= tolerance;
            assert!(
                close,
                "{what} {i}, masked {masked}, clip_vloss {clip_vloss}: {difference} against {grad}"
            );
        };
        for (i, &grad) in logit_grads.iter().enumerate() {
            check("logit", i, grad, |batch| &mut batch.logits);
        }
        for (i, &grad) in value_grads.iter().enumerate() {
            check("value", i, grad, |batch| &mut batch.values);
        }
    }
}

#[test]
fn masked_actions_get_exactly_zero_gradient() {
    let batch = Batch::of_all_branches(true);
    let coefficients = PpoLoss { clip_coef: 0.2, clip_vloss: true, ent_coef: 0.3, vf_coef: 0.8 };
    let (_, logit_grads, _) = batch.evaluate(&coefficients, 1.0);
    let masked = logit_grads.iter().zip(&batch.action_masks).filter(|(_, legal)| !**legal);
    let grads: Vec<f32> = masked.map(|(&grad, _)| grad).collect();
    assert!(grads.len() > 40 && grads.iter().all(|&grad| grad == 0.0), "{grads:?}");
}

#[test]
fn a_mask_that_allows_nothing_is_an_error() {
    let mut batch = Batch::of_all_branches(true);
    batch.action_masks[8..12].fill(false);
    let coefficients = PpoLoss { clip_coef: 0.2, clip_vloss: true, ent_coef: 0.3, vf_coef: 0.8 };
    let error = batch.try_evaluate(&coefficients, 1.0).unwrap_err();
    assert_eq!(error.to_string(), "mask must allow at least one action in each row, got none in row 2");
}

#[test]
fn metrics_of_the_loss_count_what_they_say() {
    let batch = Batch::of_all_branches(false);
    let coefficients = PpoLoss { clip_coef: 0.2, clip_vloss: false, ent_coef: 0.0, vf_coef: 1.0 };
    let (sums, ..) = batch.evaluate(&coefficients, 1.0);
    // Of the ratios 0.5, 0.9, 1.1 and 1.6, sixteen rows each, two are outside 1 ± 0.2.
    assert_eq!(sums.clipfrac, 32.0);
    let log_ratios = [0.5_f64, 0.9, 1.1, 1.6].map(f64::ln);
    let old_approx_kl = -16.0 * log_ratios.iter().sum::<f64>();
    let approx_kl = 16.0 * (0.5 + 0.9 + 1.1 + 1.6 - 4.0) + old_approx_kl;
    assert!((sums.old_approx_kl - old_approx_kl).abs() < 1e-4, "{}", sums.old_approx_kl);
    assert!((sums.approx_kl - approx_kl).abs() < 1e-4, "{}", sums.approx_kl);
    // All errors are 1 in size.
    assert!((sums.value_loss - 32.0).abs() < 1e-4, "{}", sums.value_loss);
}

// --- Learning.

fn small() -> PpoConfig {
    PpoConfig {
        num_steps: 32,
        learning_rate: 1e-2,
        gamma: GAMMA,
        network: mlp(&[16], Activation::Tanh),
        ..PpoConfig::default()
    }
}

fn trial(spec: &EnvSpec, config: &PpoConfig, iterations: u64, seed: u64) -> Trial<Ppo> {
    let total_timesteps = iterations * 4 * config.num_steps as u64;
    let sizes = TrialConfig { num_envs: 4, num_shards: 2, total_timesteps, seed };
    Trial::new(spec, sizes, |info| Ppo::new(config.clone(), info))
}

/// The critic's values of the four one-hot states.
fn values(ppo: &Ppo) -> [f32; 4] {
    let critic = &ppo.core.networks.critic;
    let packed = PackedModel::new(critic, &ppo.core.params).unwrap();
    let (mut scratch, mut out) = (ModelScratch::default(), [0.0; 4]);
    critic.infer(&packed, &FOUR_STATES, 4, &mut MemoryState::none(), &mut scratch, &mut [&mut out]).unwrap();
    out
}

/// Acts for the rows of `observations`; gives actions and their log-probabilities.
fn act(ppo: &Ppo, observations: &[f32], rows: usize, masks: &[bool], mode: ActMode) -> (Vec<u32>, Vec<f32>) {
    let policy = ppo.policy().unwrap();
    let observations = ObsBuffer::F32(observations.to_vec());
    let input = ActInput {
        observations: &observations,
        num_envs: rows,
        action_masks: masks,
        resets: &[],
        env_steps: 0,
        mode,
    };
    let (mut actions, mut log_probs) = (ActionBatch::Discrete(vec![0; rows]), vec![0.0; rows]);
    let output = ActOutput { actions: &mut actions, policy_data: &mut log_probs };
    policy.act(&input, &mut Actor::new(Pcg64::seed_from(2)), output).unwrap();
    (actions.indices().to_vec(), log_probs)
}

#[test]
fn the_better_arm_of_a_bandit_is_learned() {
    for seed in 0..3 {
        let mut trial = trial(&spec_of(Bandit), &small(), 30, seed);
        trial.run();
        let (arm, log_prob) = act(&trial.learner, &[1.0], 1, &[], ActMode::Deterministic);
        let prob = log_prob[0].exp();
        assert!(arm == [1] && prob >= 0.95, "seed {seed}: arm {arm:?} with probability {prob}");
        let last = &trial.episode_returns[trial.episode_returns.len() - 200..];
        let mean = last.iter().sum::<f64>() / 200.0;
        assert!(mean >= 0.9, "seed {seed}: the last episodes pay {mean}");
    }
}

#[test]
fn an_image_of_bytes_is_learned_from_with_and_without_a_shared_encoder() {
    for (seed, share_encoder) in [(0, false), (1, true), (2, true)] {
        let config = PpoConfig { network: small_cnn(), share_encoder, ..small() };
        let spec = spec_of(BrightHalf::default()).max_episode_steps(8);
        let mut trial = trial(&spec, &config, 40, seed);
        trial.run();
        assert_eq!(trial.evaluate(20), 1.0, "seed {seed}");
    }
}

#[test]
fn a_shared_encoder_has_its_parameters_once() {
    let names = |share_encoder| {
        let learner = trial(&spec_of(Bandit), &PpoConfig { share_encoder, ..small() }, 1, 0).learner;
        let names: Vec<String> =
            learner.core.params.layout().specs().iter().map(|spec| spec.name.clone()).collect();
        (names, learner.summary().unwrap().parameters(), learner.core.params.len())
    };
    let (own, own_counted, own_len) = names(false);
    assert!(
        own.contains(&"actor.encoder.0.weight".to_owned()) && own.contains(&"critic.head.0.bias".to_owned())
    );
    let (shared, shared_counted, shared_len) = names(true);
    assert!(shared.contains(&"encoder.0.weight".to_owned()) && shared.contains(&"critic.0.bias".to_owned()));
    assert_eq!((own_counted, shared_counted), (own_len, shared_len));
}

#[test]
fn identity_is_learned() {
    for seed in 0..3 {
        let mut trial = trial(&spec_of(Identity::default()).max_episode_steps(8), &small(), 60, seed);
        trial.run();
        let accuracy = trial.evaluate(200);
        assert!(accuracy >= 0.95, "seed {seed}: {accuracy}");
    }
}

/// Settings for values far from zero: no clipping of what they may move, room for large gradients.
fn for_values() -> PpoConfig {
    PpoConfig { clip_vloss: false, max_grad_norm: 10.0, ..small() }
}

fn assert_values(wheel: &Wheel, gamma: f64, max_episode_steps: u32, seed: u64) {
    let expected = wheel.values(gamma);
    let spec = spec_of(wheel.clone()).max_episode_steps(max_episode_steps);
    let mut trial = trial(&spec, &PpoConfig { gamma, ..for_values() }, 120, seed);
    trial.run();
    for (state, (got, want)) in values(&trial.learner).into_iter().zip(expected).enumerate() {
        assert!(
            (f64::from(got) - want).abs() <= 0.1 * want,
            "seed {seed}: {state}: expected {want}, got {got}"
        );
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
        let mut trial = trial(&spec_of(FourSteps::default()), &for_values(), 60, seed);
        trial.run();
        let got = f64::from(values(&trial.learner)[0]);
        assert!((got - expected).abs() <= 0.1 * expected, "seed {seed}: expected {expected}, got {got}");
    }
}

#[test]
fn illegal_actions_are_never_taken() {
    let learner = trial(&spec_of(Identity::default()), &small(), 1, 0).learner;
    let mut rng = Pcg64::seed_from(8);
    let observations = FOUR_STATES.repeat(100);
    let masks: Vec<bool> = (0..400)
        .flat_map(|_| {
            let legal = rng.bounded(3);
            [0, 1, 2, 3].map(|action| action == legal || rng.random() < 0.3)
        })
        .collect();
    for mode in [ActMode::Explore, ActMode::Deterministic] {
        let (actions, log_probs) = act(&learner, &observations, 400, &masks, mode);
        for (row, (&action, &log_prob)) in actions.iter().zip(&log_probs).enumerate() {
            let mask = &masks[row * 4..(row + 1) * 4];
            assert!(mask[action as usize], "{mode:?} took {action} of {mask:?}");
            let alone = mask.iter().filter(|legal| **legal).count() == 1;
            assert!(log_prob <= 0.0 && (log_prob == 0.0) == alone, "{log_prob} of {mask:?}");
        }
    }
}

// --- Parity.

#[test]
fn a_step_in_which_an_agent_took_no_part_teaches_nothing() {
    let spec = spec_of(Identity::default());
    let learned = |active: bool, reward: f32| {
        let mut trial = trial(&spec, &small(), 1, 5);
        let mut fragments = trial.collect();
        let fragment = &mut fragments[0];
        let row = 3 * fragment.shape.num_envs;
        // The row's agent ended in the tick before.
        fragment.terminated[row - fragment.shape.num_envs] = true;
        fragment.active[row] = active;
        fragment.rewards[row] = reward;
        trial.learner.learn(&fragments, trial.env_steps).unwrap();
        trial.learner.core.params.as_slice().to_vec()
    };
    assert_eq!(learned(false, 0.0), learned(false, 1000.0), "its reward counts for nothing");
    assert_ne!(learned(true, 0.0), learned(true, 1000.0), "that of a transition counts");
}

fn sliced() -> PpoConfig {
    PpoConfig { gradient_slices: 5, ..small() }
}

#[test]
fn threads_do_not_change_the_result() {
    let spec = spec_of(Identity::default()).max_episode_steps(5);
    assert_threads_do_not_matter(|seed| trial(&spec, &sliced(), 10, seed));
}

#[test]
fn a_restored_learner_continues_bit_for_bit() {
    let spec = spec_of(Identity::default()).max_episode_steps(5);
    assert_continues_after_restore(trial(&spec, &sliced(), 10, 1), |info| Ppo::new(sliced(), info));
}

#[test]
fn damaged_states_are_refused() {
    assert_refuses_damage(&mut trial(&spec_of(Bandit), &small(), 1, 0).learner);
}

#[test]
fn states_of_another_network_are_refused() {
    let bandit = trial(&spec_of(Bandit), &small(), 1, 0).learner;
    let mut identity = trial(&spec_of(Identity::default()), &small(), 1, 0).learner;
    let error = identity.restore(&bandit.save().unwrap()).unwrap_err();
    let (expected, got) = (identity.core.params.len(), bandit.core.params.len());
    assert_eq!(
        error.to_string(),
        format!("saved learner cannot be restored: expected {expected} weights, got {got}")
    );
}

#[test]
fn states_of_another_optimizer_are_refused() {
    let mut learner = trial(&spec_of(Bandit), &small(), 1, 0).learner;
    let mut saved: Saved = crate::learner::decode(&learner.save().unwrap()).unwrap();
    let OptimizerState::Adam(adam) = &mut saved.core.optimizer else { panic!("the default is Adam") };
    adam.exp_avg.pop();
    adam.exp_avg_sq.pop();
    let error = learner.restore(&crate::learner::encode(&saved).unwrap());
    assert!(matches!(error, Err(AgentError::Restore(_))), "{error:?}");
}

#[test]
fn states_with_bytes_left_over_are_refused() {
    let mut learner = trial(&spec_of(Bandit), &small(), 1, 0).learner;
    let mut saved = learner.save().unwrap();
    saved.push(0);
    let error = learner.restore(&saved);
    assert!(matches!(error, Err(AgentError::Restore(_))), "{error:?}");
}

// --- Settings.

/// A run of 4 environments with a `Box` of 4 numbers and 2 actions.
fn info() -> RunInfo {
    RunInfo {
        observation_space: Space::box_f32(&[0.0; 4], &[1.0; 4]).unwrap(),
        frames: None,
        action_spec: ActionSpec::Discrete { nvec: vec![2] },
        mask_len: 0,
        num_envs: 4,
        num_shards: 1,
        total_timesteps: 1000,
        seed: 0,
    }
}

fn refusal(config: PpoConfig, info: &RunInfo) -> String {
    Ppo::new(config, info).err().map_or_else(|| "accepted".to_owned(), |error| error.to_string())
}

/// Spoils a setting; the message that refuses it.
type Case = (fn(&mut PpoConfig), &'static str);

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let cases: [Case; 25] = [
        (|c| c.num_steps = 0, "num_steps must be at least 1, got 0"),
        (|c| c.update_epochs = 0, "update_epochs must be at least 1, got 0"),
        (|c| c.learning_rate = 0.0, "learning_rate must be above 0, got 0"),
        (|c| c.learning_rate = -1.0, "learning_rate must be above 0, got -1"),
        (|c| c.learning_rate = f64::NAN, "learning_rate must be above 0, got NaN"),
        (|c| c.gamma = 1.5, "gamma must be between 0 and 1, got 1.5"),
        (|c| c.gamma = -0.5, "gamma must be between 0 and 1, got -0.5"),
        (|c| c.gamma = f64::NAN, "gamma must be between 0 and 1, got NaN"),
        (|c| c.gae_lambda = 1.5, "gae_lambda must be between 0 and 1, got 1.5"),
        (|c| c.gae_lambda = -0.5, "gae_lambda must be between 0 and 1, got -0.5"),
        (|c| c.clip_coef = 0.0, "clip_coef must be above 0, got 0"),
        (|c| c.clip_coef = f64::NAN, "clip_coef must be above 0, got NaN"),
        (|c| c.ent_coef = -0.5, "ent_coef must be at least 0, got -0.5"),
        (|c| c.ent_coef = f64::NAN, "ent_coef must be at least 0, got NaN"),
        (|c| c.vf_coef = -0.5, "vf_coef must be at least 0, got -0.5"),
        (|c| c.max_grad_norm = 0.0, "max_grad_norm must be above 0, got 0"),
        (|c| c.max_grad_norm = f64::NAN, "max_grad_norm must be above 0, got NaN"),
        (|c| c.target_kl = Some(0.0), "target_kl must be above 0, got "),
        (
            |c| c.optimizer = OptimizerConfig::Adam(AdamConfig { eps: 0.0, ..Default::default() }),
            "eps must be positive and finite, got 0",
        ),
        (|c| c.gradient_slices = 0, "gradient_slices must be between 1 and 64, got 0"),
        (|c| c.gradient_slices = 65, "gradient_slices must be between 1 and 64, got 65"),
        (|c| c.num_minibatches = 0, "num_minibatches must be a divisor of num_envs * num_steps = 512, got 0"),
        (|c| c.num_minibatches = 3, "num_minibatches must be a divisor of num_envs * num_steps = 512, got 3"),
        (
            |c| c.num_minibatches = 1024,
            "num_minibatches must be a divisor of num_envs * num_steps = 512, got 1024",
        ),
        (|c| c.network = mlp(&[64, 0], Activation::Tanh), "hidden must be widths of at least 1, got [64, 0]"),
    ];
    assert!(Ppo::new(PpoConfig::default(), &info()).is_ok());
    for (spoil, expected) in cases {
        let mut config = PpoConfig::default();
        spoil(&mut config);
        let message = refusal(config, &info());
        let matches =
            if expected.ends_with(' ') { message.starts_with(expected) } else { message == expected };
        assert!(matches, "expected `{expected}`, got `{message}`");
    }
}

#[test]
fn a_refused_target_kl_is_shown_as_it_was_written() {
    let message = refusal(PpoConfig { target_kl: Some(-0.5), ..PpoConfig::default() }, &info());
    assert_eq!(message, "target_kl must be above 0, got -0.5");
}

#[test]
fn unsupported_spaces_and_networks_are_refused() {
    let shifted = Space::discrete_from(1, 5).unwrap();
    let message = refusal(PpoConfig::default(), &RunInfo { observation_space: shifted, ..info() });
    assert!(message.starts_with("ppo needs categories that begin with zero, got "), "{message}");
    let noisy = ModelConfig {
        head: agon_nn::HeadConfig { noisy: true, ..Default::default() },
        ..ModelConfig::default()
    };
    let message = refusal(PpoConfig { network: noisy, ..PpoConfig::default() }, &info());
    assert_eq!(message, "ppo needs network.head.noisy = false, got true");
    let unsuitable = refusal(PpoConfig { network: small_cnn(), ..PpoConfig::default() }, &info());
    assert!(
        unsuitable.starts_with("encoder.kind must be") && unsuitable.contains("a vector of"),
        "{unsuitable}"
    );
}

#[test]
fn a_lost_reward_stops_learning_with_an_error() {
    assert_stops_at_a_lost_reward(|| trial(&spec_of(Bandit), &small(), 1, 0));
    let unnormalised = PpoConfig { norm_adv: false, ..small() };
    assert_stops_at_a_lost_reward(|| trial(&spec_of(Bandit), &unnormalised, 1, 0));
}

// --- What an iteration does.

/// The learner of `config` after one iteration that begins `began` steps into a run of 10 iterations.
fn after_one_iteration(config: &PpoConfig, began: u64) -> (Ppo, LearnReport) {
    let mut trial = trial(&spec_of(Identity::default()), config, 10, 7);
    let fragments = trial.collect();
    let report = trial.learner.learn(&fragments, began + 128).unwrap();
    (trial.learner, report)
}

#[test]
fn the_learning_rate_is_annealed_from_its_start_to_zero() {
    let config = PpoConfig { learning_rate: 2e-2, anneal_lr: true, ..small() };
    let constant = |learning_rate| PpoConfig { learning_rate, anneal_lr: false, ..small() };
    for (began, learning_rate) in [(0, 2e-2), (640, 1e-2), (960, 5e-3)] {
        let (annealed, report) = after_one_iteration(&config, began);
        assert!((report.metrics[0] - learning_rate).abs() < 1e-12, "{began}: {}", report.metrics[0]);
        let (expected, _) = after_one_iteration(&constant(learning_rate), 0);
        assert!(
            annealed.core.params.as_slice() == expected.core.params.as_slice(),
            "{began}: not a rate of {learning_rate}"
        );
    }
    let (_, unannealed) = after_one_iteration(&constant(2e-2), 640);
    assert_eq!(unannealed.metrics[0], 2e-2);
}

#[test]
fn the_clip_coefficient_is_annealed_if_asked_for() {
    let clipped_at = |clip_coef, anneal_clip_coef, began| {
        let config = PpoConfig { clip_coef, anneal_clip_coef, anneal_lr: false, ..small() };
        let (learner, report) = after_one_iteration(&config, began);
        (learner.core.params.as_slice().to_vec(), report.metrics[6])
    };
    assert!(clipped_at(0.25, true, 0) == clipped_at(0.25, false, 0));
    assert!(clipped_at(0.25, true, 640) == clipped_at(0.125, false, 0));
    assert!(clipped_at(0.25, false, 640) == clipped_at(0.25, false, 0));
    let (start, middle) = (clipped_at(0.25, true, 0).1, clipped_at(0.25, true, 640).1);
    assert!(middle > start, "clipfrac {start} at the start, {middle} in the middle");
}

#[test]
fn target_kl_ends_the_passes_early() {
    let updates = |target_kl| after_one_iteration(&PpoConfig { target_kl, ..small() }, 0).1.updates;
    assert_eq!(updates(None), 4 * 4);
    assert_eq!(updates(Some(1e3)), 4 * 4);
    // The first pass is always finished.
    assert_eq!(updates(Some(1e-9)), 4);
}

// --- Action spaces and memories.

/// The memories that there are, small.
fn memories() -> [MemoryConfig; 4] {
    let transformer = TransformerConfig {
        layers: 1,
        heads: 2,
        width: 16,
        feed_forward: 32,
        window: 6,
        ..Default::default()
    };
    [
        MemoryConfig::Lstm { hidden: 16, init: RecurrentInit::Orthogonal },
        MemoryConfig::Gru { hidden: 16, init: RecurrentInit::Orthogonal },
        MemoryConfig::Transformer(transformer),
        MemoryConfig::Gtrxl(transformer),
    ]
}

fn with_memory(memory: MemoryConfig) -> PpoConfig {
    PpoConfig {
        share_encoder: true,
        num_minibatches: 2,
        network: ModelConfig { memory, ..mlp(&[16], Activation::Tanh) },
        ..small()
    }
}

#[test]
fn what_was_shown_three_steps_ago_is_recalled_with_a_memory_only() {
    for memory in memories() {
        let config = PpoConfig { sequence_length: Some(16), ..with_memory(memory.clone()) };
        let mut trial = trial(&spec_of(Recall::default()), &config, 100, 3);
        trial.run();
        let last = &trial.episode_returns[trial.episode_returns.len() - 200..];
        let mean = last.iter().sum::<f64>() / 200.0;
        assert!(mean >= 0.95, "{memory:?}: {mean}");
    }
    let mut blind = trial(&spec_of(Recall::default()), &small(), 100, 3);
    blind.run();
    let last = &blind.episode_returns[blind.episode_returns.len() - 200..];
    let mean = last.iter().sum::<f64>() / 200.0;
    assert!(mean < 0.65, "without a memory: {mean}");
}

#[test]
fn learning_begins_with_the_very_probabilities_that_acted() {
    // Episodes of four steps begin within sequences of eight, at their starts, and within the second fragment.
    for memory in memories() {
        let config = PpoConfig {
            sequence_length: Some(8),
            num_minibatches: 1,
            update_epochs: 1,
            ..with_memory(memory.clone())
        };
        let mut trial = trial(&spec_of(Recall::default()), &config, 4, 1);
        for iteration in 0..3 {
            let report = trial.iterate().unwrap();
            assert_eq!(report.metrics[4..7], [0.0; 3], "{memory:?}, iteration {iteration}: {report:?}");
        }
    }
}

#[test]
fn a_memory_learns_the_same_for_any_number_of_threads_and_after_a_restore() {
    for memory in memories() {
        let config = PpoConfig { sequence_length: Some(8), gradient_slices: 3, ..with_memory(memory) };
        let make = |seed| trial(&spec_of(Recall::default()), &config, 10, seed);
        assert_threads_do_not_matter(make);
        assert_continues_after_restore(make(1), |info| Ppo::new(config.clone(), info));
    }
}

#[test]
fn a_memory_needs_a_shared_encoder_and_sequences_that_fit() {
    let gru = with_memory(memories()[1].clone());
    let message = refusal(PpoConfig { share_encoder: false, ..gru.clone() }, &info());
    assert_eq!(message, "share_encoder must be true for a network with a memory, got false");
    let message = refusal(PpoConfig { sequence_length: Some(5), ..gru.clone() }, &info());
    assert_eq!(message, "sequence_length must be a divisor of num_steps = 32, got 5");
    let message = refusal(PpoConfig { num_minibatches: 3, ..gru }, &info());
    assert_eq!(
        message,
        "num_minibatches must be a divisor of num_envs * num_steps / sequence_length = 4, got 3"
    );
}

#[test]
fn continuous_actions_are_learned_and_kept_within_bounds() {
    for seed in 0..3 {
        let spec = spec_of(Aim::default()).max_episode_steps(8);
        let mut trial = trial(&spec, &PpoConfig { ent_coef: 0.0, ..small() }, 80, seed);
        trial.run();
        let reward = trial.evaluate(100);
        assert!(reward > -0.05, "seed {seed}: {reward}");
    }
}

#[test]
fn several_choices_with_masks_and_a_memory_are_learned_together() {
    for seed in 0..3 {
        let mut trial = trial(&spec_of(Recall::masked()), &with_memory(memories()[1].clone()), 120, seed);
        trial.run();
        let last = &trial.episode_returns[trial.episode_returns.len() - 200..];
        let mean = last.iter().sum::<f64>() / 200.0;
        assert!(mean >= 0.95, "seed {seed}: {mean}");
    }
}

// --- The bonus.

fn curious() -> PpoConfig {
    let rnd = RndConfig { learning_rate: 1e-3, features: 16, ..RndConfig::default() };
    PpoConfig { rnd: Some(rnd), learning_rate: 3e-3, anneal_lr: false, gamma: 0.99, ..small() }
}

#[test]
fn a_long_corridor_is_passed_with_the_bonus_only() {
    let spec = spec_of(Corridor::default()).max_episode_steps(40);
    let found = |config: &PpoConfig, seed| {
        let mut trial = trial(&spec, config, 200, seed);
        trial.run();
        let last = &trial.episode_returns[trial.episode_returns.len() - 50..];
        last.iter().sum::<f64>() / 50.0
    };
    for seed in 0..3 {
        let with = found(&curious(), seed);
        assert!(with >= 0.9, "seed {seed}: {with}");
    }
    let without = found(&PpoConfig { rnd: None, ..curious() }, 0);
    assert!(without < 0.1, "without the bonus: {without}");
}

#[test]
fn the_bonus_of_what_is_seen_often_falls() {
    let mut trial = trial(&spec_of(Wheel { rewards: [0.0; 4], state: 0 }), &curious(), 60, 1);
    let loss = |report: LearnReport| report.metrics[8];
    let first = loss(trial.iterate().unwrap());
    let last = (0..59).map(|_| loss(trial.iterate().unwrap())).last().unwrap();
    assert!(last < 0.2 * first, "first {first}, last {last}");
}

#[test]
fn the_bonus_is_the_same_for_any_number_of_threads_and_after_a_restore() {
    let make = |seed| trial(&spec_of(Corridor::default()).max_episode_steps(9), &curious(), 10, seed);
    assert_threads_do_not_matter(make);
    assert_continues_after_restore(make(1), |info| Ppo::new(curious(), info));
    assert_refuses_damage(&mut make(0).learner);
    let mut without = trial(&spec_of(Corridor::default()), &small(), 1, 0).learner;
    let error = without.restore(&make(0).learner.save().unwrap()).unwrap_err();
    assert!(error.to_string().contains("expected no bonus"), "{error}");
}
