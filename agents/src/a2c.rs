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

use std::collections::BTreeMap;
use std::sync::Arc;

use agon_nn::{ModelConfig, OptimizerConfig, RmsPropConfig, Summary};
use serde::{Deserialize, Serialize};

use crate::algorithm::Algorithm;
use crate::codec::{decode, encode};
use crate::coefficient::{Coefficient, auto, none};
use crate::error::ensure;
use crate::estimator::Targets;
use crate::learner::{GivesUp, LearnReport, Learner, Norms, PolicyInfo, RunInfo};
use crate::policy_gradient::{Passes, PolicyGradient, Settings, steps_of};
use crate::policy_loss::ActorCriticLoss;
use crate::popart::PopArtConfig;
use crate::private_gradient::PrivateGradientConfig;
use crate::settings::shares;
use crate::slices::awake;
use crate::{AgentError, Fragment, Policy, Weights};

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

impl A2cConfig {
    fn settings(&self) -> Settings {
        Settings {
            algorithm: "a2c",
            num_steps: self.num_steps,
            sequence_length: self.sequence_length,
            num_minibatches: 1,
            learning_rate: self.learning_rate,
            anneal_lr: self.anneal_lr,
            gamma: self.gamma,
            ent_coef: self.ent_coef,
            vf_coef: self.vf_coef,
            max_grad_norm: self.max_grad_norm,
            optimizer: self.optimizer,
            gradient_slices: self.gradient_slices,
            share_encoder: self.share_encoder,
            bonus: false,
            popart: self.popart,
            augmentation: None,
            private: self.private,
        }
    }
}

/// The learner.
pub struct A2c {
    config: A2cConfig,
    core: PolicyGradient,
}

impl A2c {
    #[cfg(test)]
    pub(crate) fn core(&self) -> &PolicyGradient {
        &self.core
    }

    /// One iteration, while the threads that will learn are awake.
    fn iterate(
        &mut self,
        fragments: &[Fragment],
        env_steps: u64,
        gives_up: &mut GivesUp<'_>,
    ) -> Result<LearnReport, AgentError> {
        let A2cConfig { gamma, gae_lambda, norm_adv, vf_coef, .. } = self.config;
        self.core.estimate(fragments, Targets::Gae { gamma: gamma as f32, gae_lambda: gae_lambda as f32 })?;
        let began = env_steps - steps_of(fragments) as u64;
        let learning_rate = self.core.learning_rate(began);
        let loss = ActorCriticLoss { ent_coef: self.core.ent_coef(began), vf_coef: vf_coef as f32 };
        let once = Passes { update_epochs: 1, num_minibatches: 1, norm_adv, target_kl: None };
        let (sums, learned) = self.core.passes(&once, &loss, learning_rate, gives_up)?;
        let mean = |sum: f64| sum / learned as f64;
        let trajectories = self.core.rollout.units() as f64;
        Ok(LearnReport {
            updates: self.core.updates,
            metrics: vec![
                learning_rate,
                mean(sums.value_loss),
                mean(sums.policy_loss),
                mean(sums.entropy),
                self.core.rollout.explained_variance(),
                if self.config.private.is_some() { sums.clipped / trajectories } else { f64::NAN },
            ],
        })
    }
}

impl Algorithm for A2c {
    type Config = A2cConfig;

    fn default_network() -> ModelConfig {
        ModelConfig::default()
    }

    fn new(config: A2cConfig, network: &ModelConfig, info: &RunInfo) -> Result<Self, AgentError> {
        shares(&[("gae_lambda", config.gae_lambda)])?;
        let alone = config.private.is_none() || !config.norm_adv;
        ensure(alone, "norm_adv", "false with private, since it mixes trajectories", true)?;
        Ok(Self { core: PolicyGradient::new(&config.settings(), network, info)?, config })
    }

    fn settled(config: A2cConfig, network: &ModelConfig, info: &RunInfo) -> A2cConfig {
        A2cConfig { gradient_slices: config.settings().slices(network, info), ..config }
    }

    fn policy_from(
        config: &A2cConfig,
        network: &ModelConfig,
        info: &PolicyInfo,
        weights: &Weights,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        config.settings().policy_from(network, info, weights, &[])
    }
}

impl Learner for A2c {
    fn num_steps(&self) -> usize {
        self.config.num_steps
    }

    fn metric_names(&self) -> &'static [&'static str] {
        &[
            "charts/learning_rate",
            "losses/value_loss",
            "losses/policy_loss",
            "losses/entropy",
            "losses/explained_variance",
            "losses/clipped_trajectories",
        ]
    }

    fn remarks(&self, threads: usize) -> Vec<String> {
        self.core.remarks(threads, "more agent.num_steps or num_envs")
    }

    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        self.core.policy()
    }

    fn learn_unless(
        &mut self,
        fragments: &[Fragment],
        env_steps: u64,
        gives_up: &mut GivesUp<'_>,
    ) -> Result<LearnReport, AgentError> {
        awake(self.core.helpers(), || self.iterate(fragments, env_steps, gives_up))
    }

    fn take_norms(&mut self) -> Option<Norms> {
        self.core.take_norms()
    }

    fn weights(&self) -> Weights {
        self.core.weights()
    }

    fn set_learning_rates(&mut self, rates: &BTreeMap<String, f64>) -> Result<(), AgentError> {
        self.core.set_learning_rates(rates)
    }

    fn set_pruned(&mut self, prefixes: &[String]) -> Result<(), AgentError> {
        self.core.set_pruned(prefixes)
    }

    fn prune(&mut self, sparsity: f64) -> Result<(), AgentError> {
        self.core.prune(sparsity);
        Ok(())
    }

    fn load_weights(&mut self, weights: &Weights) -> Result<(), AgentError> {
        self.core.load_weights(weights)
    }

    fn summary(&self) -> Option<Summary> {
        Some(self.core.summary())
    }

    fn save(&self) -> Result<Vec<u8>, AgentError> {
        encode(&self.core.save())
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), AgentError> {
        self.core.restore(decode(saved)?)
    }
}
