//! A2C, IMPALA and APPO on tasks whose answer is known; parity; settings. PPO has its own tests.

use agon_envs::EnvSpec;
use agon_nn::{Activation, AdamConfig, MemoryConfig, MemoryState, ModelScratch, PackedModel, RecurrentInit};

use super::*;
use crate::a2c::{A2c, A2cConfig};
use crate::impala::{Impala, ImpalaConfig};
use crate::test_support::{
    Aim, Bandit, FOUR_STATES, FourSteps, Identity, Recall, Trial, TrialConfig, Wheel,
    assert_continues_after_restore, assert_refuses_damage, assert_stops_at_a_lost_reward,
    assert_threads_do_not_matter, mlp, spec_of,
};
use crate::{Algorithm, LearnReport, Learner};

const GAMMA: f64 = 0.9;

/// One of the learners, so that a test can go over all of them.
enum Any {
    A2c(Box<A2c>),
    Impala(Box<Impala>),
}

/// Which learner with which settings.
#[derive(Clone, Debug)]
enum AnyConfig {
    A2c(A2cConfig, ModelConfig),
    Impala(ImpalaConfig, ModelConfig),
}

impl AnyConfig {
    fn build(&self, info: &RunInfo) -> Result<Any, AgentError> {
        Ok(match self {
            Self::A2c(config, network) => Any::A2c(Box::new(A2c::new(config.clone(), network, info)?)),
            Self::Impala(config, network) => {
                Any::Impala(Box::new(Impala::new(config.clone(), network, info)?))
            }
        })
    }

    fn num_steps(&self) -> usize {
        match self {
            Self::A2c(config, _) => config.num_steps,
            Self::Impala(config, _) => config.num_steps,
        }
    }
}

impl Any {
    fn learner(&self) -> &dyn Learner {
        match self {
            Self::A2c(learner) => &**learner,
            Self::Impala(learner) => &**learner,
        }
    }

    fn learner_mut(&mut self) -> &mut dyn Learner {
        match self {
            Self::A2c(learner) => &mut **learner,
            Self::Impala(learner) => &mut **learner,
        }
    }
}

impl Learner for Any {
    fn num_steps(&self) -> usize {
        self.learner().num_steps()
    }

    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        self.learner().policy()
    }

    fn learn_unless(
        &mut self,
        fragments: &[Fragment],
        env_steps: u64,
        _gives_up: &mut crate::learner::GivesUp<'_>,
    ) -> Result<LearnReport, AgentError> {
        self.learner_mut().learn(fragments, env_steps)
    }

    fn weights(&self) -> Weights {
        self.learner().weights()
    }

    fn save(&self) -> Result<Vec<u8>, AgentError> {
        self.learner().save()
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), AgentError> {
        self.learner_mut().restore(saved)
    }
}

fn adam() -> OptimizerConfig {
    OptimizerConfig::Adam(AdamConfig::default())
}

/// All learners, with small networks of the given memory. A memory that learns in large steps is stuck now and then.
fn configs(memory: &MemoryConfig) -> [AnyConfig; 3] {
    let network = ModelConfig { memory: memory.clone(), ..mlp(&[16], Activation::Tanh) };
    let share_encoder = *memory != MemoryConfig::None;
    let learning_rate = if share_encoder { 3e-3 } else { 1e-2 };
    let a2c = A2cConfig {
        num_steps: 16,
        learning_rate: learning_rate.into(),
        gamma: GAMMA,
        max_grad_norm: 10.0,
        optimizer: adam(),
        share_encoder,
        ..A2cConfig::default()
    };
    let small = |config: ImpalaConfig| ImpalaConfig {
        num_steps: 16,
        learning_rate: learning_rate.into(),
        gamma: GAMMA,
        max_grad_norm: 10.0,
        anneal_lr: false,
        optimizer: adam(),
        share_encoder,
        ..config
    };
    let appo = ImpalaConfig { num_minibatches: 2, ..small(ImpalaConfig::appo()) };
    let impala = small(ImpalaConfig::default());
    [
        AnyConfig::A2c(a2c, network.clone()),
        AnyConfig::Impala(impala, network.clone()),
        AnyConfig::Impala(appo, network),
    ]
}

fn trial(spec: &EnvSpec, config: &AnyConfig, iterations: u64, seed: u64) -> Trial<Any> {
    let total_timesteps = iterations * 4 * config.num_steps() as u64;
    let sizes = TrialConfig { num_envs: 4, num_shards: 2, total_timesteps, seed };
    Trial::new(spec, sizes, |info| config.build(info))
}

fn recent_return(trial: &Trial<Any>) -> f64 {
    let returns = &trial.episode_returns[trial.episode_returns.len() - 200..];
    returns.iter().sum::<f64>() / 200.0
}

#[test]
fn the_better_arm_of_a_bandit_is_learned() {
    for config in configs(&MemoryConfig::None) {
        for seed in 0..3 {
            let mut trial = trial(&spec_of(Bandit), &config, 200, seed);
            trial.run();
            assert!(recent_return(&trial) >= 0.9, "seed {seed}, {config:?}: {}", recent_return(&trial));
        }
    }
}

#[test]
fn identity_is_learned() {
    for config in configs(&MemoryConfig::None) {
        for seed in 0..3 {
            let spec = spec_of(Identity::default()).max_episode_steps(8);
            let mut trial = trial(&spec, &config, 400, seed);
            trial.run();
            let accuracy = trial.evaluate(200);
            assert!(accuracy >= 0.95, "seed {seed}, {config:?}: {accuracy}");
        }
    }
}

#[test]
fn continuous_actions_are_learned() {
    for config in configs(&MemoryConfig::None) {
        let mut trial = trial(&spec_of(Aim::default()).max_episode_steps(8), &config, 1000, 2);
        trial.run();
        let reward = trial.evaluate(100);
        assert!(reward > -0.08, "{config:?}: {reward}");
    }
}

#[test]
fn what_was_shown_three_steps_ago_is_recalled_with_a_memory() {
    for config in configs(&MemoryConfig::Gru { hidden: 16, init: RecurrentInit::Orthogonal }) {
        for seed in 0..3 {
            let mut trial = trial(&spec_of(Recall::default()), &config, 500, seed);
            trial.run();
            assert!(recent_return(&trial) >= 0.95, "seed {seed}, {config:?}: {}", recent_return(&trial));
        }
    }
}

/// The critic's values of the four one-hot states.
fn values(learner: &Any) -> [f32; 4] {
    let core = match learner {
        Any::A2c(learner) => &learner.core,
        Any::Impala(learner) => &learner.core,
    };
    let packed = PackedModel::new(&core.networks.critic, &core.part.params).unwrap();
    let (mut scratch, mut out) = (ModelScratch::default(), [0.0; 4]);
    let memory = &mut MemoryState::none();
    core.networks.critic.infer(&packed, &FOUR_STATES, 4, memory, &mut scratch, &mut [&mut out]).unwrap();
    out
}

#[test]
fn truncation_bootstraps_from_the_final_observation() {
    // Every third step is truncated: rewards far ahead must come through.
    let wheel = Wheel { rewards: [0.0, 0.0, 0.0, 8.0], state: 0 };
    let expected = wheel.values(GAMMA);
    for config in configs(&MemoryConfig::None) {
        let mut trial = trial(&spec_of(wheel.clone()).max_episode_steps(3), &config, 1500, 1);
        trial.run();
        for (state, (got, want)) in values(&trial.learner).into_iter().zip(expected).enumerate() {
            let close = (f64::from(got) - want).abs() <= 0.1 * want;
            assert!(close, "{config:?}: state {state}: expected {want}, got {got}");
        }
    }
}

#[test]
fn termination_does_not_bootstrap() {
    let expected = 1.0 + GAMMA + GAMMA.powi(2) + GAMMA.powi(3);
    for config in configs(&MemoryConfig::None) {
        let mut trial = trial(&spec_of(FourSteps::default()), &config, 800, 1);
        trial.run();
        let got = f64::from(values(&trial.learner)[0]);
        assert!((got - expected).abs() <= 0.1 * expected, "{config:?}: expected {expected}, got {got}");
    }
}

#[test]
fn v_trace_corrects_for_what_another_policy_did() {
    // Values of the uniform policy, while a policy acts that takes arm 1 nine times of ten: what is recorded as its
    // log-probability is changed, so that the ratios say so.
    let config = &configs(&MemoryConfig::None)[1];
    let AnyConfig::Impala(config, network) = config else { panic!("the second one is IMPALA") };
    // Ratios of at most 0.5 / 0.1 are not cut: nothing is lost in expectation.
    let config = ImpalaConfig { rho_bar: 10.0, c_bar: 1.0, ent_coef: 1e3.into(), ..config.clone() };
    let mut trial = trial(&spec_of(Bandit), &AnyConfig::Impala(config, network.clone()), 600, 4);
    for _ in 0..600 {
        let mut fragments = trial.collect();
        for fragment in &mut fragments {
            let rows = fragment.actions.indices().to_vec();
            for (row, action) in rows.into_iter().enumerate() {
                // One of five pulls of arm 0 is kept and four are replaced by arm 1: 0.1 and 0.9 in all.
                let replaced = action == 0 && row % 5 != 0;
                if replaced {
                    fragment.rewards[row] = 1.0;
                    if let agon_envs::ActionBatch::Discrete(actions) = &mut fragment.actions {
                        actions[row] = 1;
                    }
                }
                let action = fragment.actions.indices()[row];
                fragment.policy_data[row] = if action == 1 { 0.9_f32.ln() } else { 0.1_f32.ln() };
            }
        }
        trial.learner.learn(&fragments, trial.env_steps).unwrap();
    }
    // A huge entropy bonus keeps the learning policy uniform: its value is 0.5, while the acting one earns 0.9.
    let Any::Impala(learner) = &trial.learner else { panic!("IMPALA was built") };
    let core = &learner.core;
    let packed = PackedModel::new(&core.networks.critic, &core.part.params).unwrap();
    let (mut scratch, mut out) = (ModelScratch::default(), [0.0]);
    let memory = &mut MemoryState::none();
    core.networks.critic.infer(&packed, &[1.0], 1, memory, &mut scratch, &mut [&mut out]).unwrap();
    assert!((out[0] - 0.5).abs() < 0.1, "expected 0.5, got {}", out[0]);
}

#[test]
fn threads_and_restores_change_nothing() {
    for memory in [MemoryConfig::None, MemoryConfig::Lstm { hidden: 8, init: RecurrentInit::Uniform }] {
        for config in configs(&memory) {
            let make = |seed| trial(&spec_of(Recall::default()), &config, 10, seed);
            assert_threads_do_not_matter(make);
            assert_continues_after_restore(make(1), |info| config.build(info));
            assert_refuses_damage(&mut make(0).learner);
        }
    }
}

#[test]
fn a_lost_reward_stops_learning_with_an_error() {
    for config in configs(&MemoryConfig::None) {
        assert_stops_at_a_lost_reward(|| trial(&spec_of(Bandit), &config, 1, 0));
    }
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let info = trial(&spec_of(Bandit), &configs(&MemoryConfig::None)[0], 1, 0).info;
    let refusal = |config: AnyConfig| config.build(&info).err().map_or_else(String::new, |e| e.to_string());
    let a2c = |spoil: fn(&mut A2cConfig)| {
        let mut config = A2cConfig::default();
        spoil(&mut config);
        refusal(AnyConfig::A2c(config, ModelConfig::default()))
    };
    let impala = |spoil: fn(&mut ImpalaConfig)| {
        let mut config = ImpalaConfig::default();
        spoil(&mut config);
        refusal(AnyConfig::Impala(config, ModelConfig::default()))
    };
    assert_eq!(a2c(|_| ()), "");
    assert_eq!(a2c(|c| c.gae_lambda = 2.0), "gae_lambda must be between 0 and 1, got 2");
    assert_eq!(a2c(|c| c.num_steps = 0), "num_steps must be at least 1, got 0");
    assert_eq!(impala(|_| ()), "");
    assert_eq!(impala(|c| c.rho_bar = 0.0), "rho_bar must be above 0, got 0");
    assert_eq!(impala(|c| c.c_bar = 2.0), "c_bar must be above 0 and at most rho_bar, got 2");
    assert_eq!(impala(|c| c.clip_coef = Some(0.0.into())), "clip_coef must be above 0, got 0");
    assert_eq!(impala(|c| c.update_epochs = 0), "update_epochs must be at least 1, got 0");
}
