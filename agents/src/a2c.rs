//! A2C: synchronous advantage actor-critic.
//!
//! Each iteration takes one fragment of every shard, estimates advantages by GAE (with λ = 1 n-step returns), and makes
//! one gradient step on all of them.
//!
//! # Source
//! Mnih et al. (2016), arXiv:1602.01783, without the asynchrony; Stable-Baselines3 2.x `a2c.py` for names and defaults.
//!
//! # Deviations
//! 1. The value loss is half the squared error (Stable-Baselines3's is the whole one), so its `vf_coef` 0.5 is 1 here.
//! 2. Truncated steps bootstrap from their final observation.
//! 3. Values are computed by the learner in one batch over the fragment.
//! 4. The gradient is summed over `gradient_slices` slices in a fixed order.

use agon_nn::{ModelConfig, OptimizerConfig, RmsPropConfig};
use serde::{Deserialize, Serialize};

use crate::coefficient::{Coefficient, auto, none};
use crate::error::ensure;
use crate::estimator::Targets;
use crate::learner::{GivesUp, RunInfo};
use crate::policy_gradient::{Passes, PolicyGradient, Settings, steps_of};
use crate::policy_gradient_learner::{PolicyGradientAlgorithm, PolicyGradientLearner};
use crate::policy_loss::ActorCriticLoss;
use crate::popart::PopArtConfig;
use crate::private_gradient::PrivateGradientConfig;
use crate::settings::shares;
use crate::{AgentError, Fragment};

/// A2C's settings. The defaults are Stable-Baselines3's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct A2cConfig {
    /// Ticks of a rollout, in every environment; at least 1.
    pub num_steps: usize,
    /// The optimizer's step size; above 0, or a schedule.
    pub learning_rate: Coefficient,
    /// Whether a step size that is a plain number falls linearly to zero over the run; a schedule is its own.
    pub anneal_lr: bool,
    /// Discount factor, 0 to 1.
    pub gamma: f64,
    /// λ of generalised advantage estimation, 0 to 1.
    pub gae_lambda: f64,
    /// Whether advantages are normalised.
    pub norm_adv: bool,
    /// Weight of the entropy bonus; at least 0.
    pub ent_coef: Coefficient,
    /// Weight of the value loss, which is half the squared error; at least 0.
    pub vf_coef: f64,
    /// Largest norm of a gradient; above 0.
    pub max_grad_norm: f64,
    /// What takes the gradient steps.
    pub optimizer: OptimizerConfig,
    /// Slices that a minibatch's gradient is summed over: as many threads can work on it. Part of the result. By default as
    /// many as its rows and the networks' size are worth, up to 16; never what the machine has.
    #[serde(with = "auto")]
    pub gradient_slices: Option<usize>,
    /// Whether policy and value function share encoder and memory, as they must with a memory; else each has its own.
    pub share_encoder: bool,
    /// Steps of the sequences that a network with a memory learns from; divides `num_steps`. By default whole rollouts.
    #[serde(with = "auto")]
    pub sequence_length: Option<usize>,
    /// Value targets normalised in each task (PopArt); none by default.
    #[serde(with = "none")]
    pub popart: Option<PopArtConfig>,
    /// Trajectories whose gradients are clipped one by one, and noise on their sum (DP-SGD): what one environment does in one
    /// rollout is protected; none by default. Advantages must not be normalised, which would mix them.
    #[serde(with = "none")]
    pub private: Option<PrivateGradientConfig>,
}

impl Default for A2cConfig {
    fn default() -> Self {
        let rmsprop = RmsPropConfig { alpha: 0.99, eps: 1e-5, ..Default::default() };
        Self {
            num_steps: 5,
            learning_rate: Coefficient::Constant(7e-4),
            anneal_lr: false,
            gamma: 0.99,
            gae_lambda: 1.0,
            norm_adv: false,
            ent_coef: Coefficient::Constant(0.0),
            vf_coef: 1.0,
            max_grad_norm: 0.5,
            optimizer: OptimizerConfig::RmsProp(rmsprop),
            gradient_slices: None,
            share_encoder: false,
            sequence_length: None,
            popart: None,
            private: None,
        }
    }
}

/// The learner.
pub type A2c = PolicyGradientLearner<AdvantageActorCritic>;

/// What makes a policy-gradient learner A2C.
pub struct AdvantageActorCritic {
    config: A2cConfig,
}

impl PolicyGradientAlgorithm for AdvantageActorCritic {
    type Config = A2cConfig;
    type Saved = ();

    const METRICS: &'static [&'static str] = &[
        "charts/learning_rate",
        "losses/value_loss",
        "losses/policy_loss",
        "losses/entropy",
        "losses/explained_variance",
        "losses/clipped_trajectories",
    ];
    const MORE_ROWS: &'static str = "more agent.num_steps or num_envs";

    fn settings(config: &A2cConfig) -> Settings {
        Settings {
            algorithm: "a2c",
            num_steps: config.num_steps,
            sequence_length: config.sequence_length,
            num_minibatches: 1,
            learning_rate: config.learning_rate,
            anneal_lr: config.anneal_lr,
            gamma: config.gamma,
            ent_coef: config.ent_coef,
            vf_coef: config.vf_coef,
            max_grad_norm: config.max_grad_norm,
            optimizer: config.optimizer,
            gradient_slices: config.gradient_slices,
            share_encoder: config.share_encoder,
            bonus: false,
            popart: config.popart,
            augmentation: None,
            private: config.private,
        }
    }

    fn with_slices(config: A2cConfig, gradient_slices: Option<usize>) -> A2cConfig {
        A2cConfig { gradient_slices, ..config }
    }

    fn validate(config: &A2cConfig) -> Result<(), AgentError> {
        shares(&[("gae_lambda", config.gae_lambda)])?;
        let alone = config.private.is_none() || !config.norm_adv;
        ensure(alone, "norm_adv", "false with private, since it mixes trajectories", true)
    }

    fn new(
        config: A2cConfig,
        _network: &ModelConfig,
        _core: &PolicyGradient,
        _info: &RunInfo,
    ) -> Result<Self, AgentError> {
        Ok(Self { config })
    }

    fn iterate(
        &mut self,
        core: &mut PolicyGradient,
        fragments: &[Fragment],
        env_steps: u64,
        gives_up: &mut GivesUp<'_>,
    ) -> Result<Vec<f64>, AgentError> {
        let A2cConfig { gamma, gae_lambda, norm_adv, vf_coef, .. } = self.config;
        core.estimate(fragments, Targets::Gae { gamma: gamma as f32, gae_lambda: gae_lambda as f32 })?;
        let began = env_steps - steps_of(fragments) as u64;
        let learning_rate = core.learning_rate(began);
        let loss = ActorCriticLoss { ent_coef: core.ent_coef(began), vf_coef: vf_coef as f32 };
        let once = Passes { update_epochs: 1, num_minibatches: 1, norm_adv, target_kl: None };
        let (sums, learned) = core.passes(&once, &loss, learning_rate, gives_up)?;
        let mean = |sum: f64| sum / learned as f64;
        let trajectories = core.rollout.units() as f64;
        Ok(vec![
            learning_rate,
            mean(sums.value_loss),
            mean(sums.policy_loss),
            mean(sums.entropy),
            core.rollout.explained_variance(),
            if self.config.private.is_some() { sums.clipped / trajectories } else { f64::NAN },
        ])
    }

    fn save(&self) -> Result<(), AgentError> {
        Ok(())
    }

    fn restore(&mut self, (): ()) -> Result<(), AgentError> {
        Ok(())
    }
}
