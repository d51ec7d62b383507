//! IMPALA and APPO: actor-critics that correct for the lag between the acting and the learning policy.
//!
//! Each iteration takes as many fragments as there are shards, computes the learning policy's probabilities of what was
//! done, corrects values and advantages by V-trace, and makes gradient steps on them. In asynchronous mode, for which
//! they are made, fragments come from policies of some versions ago (`policy_lag` in `timing.csv`); in lockstep mode
//! there is no lag, every ratio is 1, and V-trace is the n-step return.
//!
//! IMPALA makes one plain policy-gradient step. APPO (`clip_coef`) takes PPO's clipped objective with V-trace's values:
//! the ratio to the acting policy is in the objective, so the advantages carry none, and fragments may be passed over
//! more than once.
//!
//! # Source
//! Espeholt et al. (2018), arXiv:1802.01561; RLlib 2.x `appo.py` for the clipped form.
//!
//! # Deviations
//! 1. Losses are means over the steps, not sums (the paper's), so the learning rate does not depend on their number.
//! 2. Truncated steps bootstrap from their final observation.
//! 3. A gradient is summed over `gradient_slices` slices in a fixed order.

use agon_nn::{AdamConfig, ModelConfig, OptimizerConfig, RmsPropConfig, Schedule};
use serde::{Deserialize, Serialize};

use crate::coefficient::{Coefficient, auto, none};
use crate::error::{ensure, positive};
use crate::estimator::Targets;
use crate::learner::{GivesUp, RunInfo};
use crate::policy_gradient::{Passes, PolicyGradient, Settings, steps_of};
use crate::policy_gradient_learner::{PolicyGradientAlgorithm, PolicyGradientLearner};
use crate::policy_loss::ActorCriticLoss;
use crate::popart::PopArtConfig;
use crate::ppo::PpoLoss;
use crate::settings::{above_zero, updates};
use crate::{AgentError, Fragment};

/// Settings of IMPALA and APPO.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImpalaConfig {
    /// Ticks of a fragment; at least 1.
    pub num_steps: usize,
    /// Minibatches that an iteration's fragments are divided into; divides the number of its steps, or with a memory, of
    /// its sequences.
    pub num_minibatches: usize,
    /// Passes over an iteration's fragments; at least 1, the paper's.
    pub update_epochs: usize,
    /// The optimizer's step size; above 0, or a schedule.
    pub learning_rate: Coefficient,
    /// Whether a step size that is a plain number falls linearly to zero over the run; a schedule is its own.
    pub anneal_lr: bool,
    /// Discount factor, 0 to 1.
    pub gamma: f64,
    /// Bound of the importance weights of values, ρ̄; above 0.
    pub rho_bar: f64,
    /// Bound of the importance weights of traces, c̄; above 0 and at most `rho_bar`.
    pub c_bar: f64,
    /// APPO: how far the probability ratio may move in PPO's clipped objective, ε; IMPALA's has none.
    #[serde(with = "none")]
    pub clip_coef: Option<Coefficient>,
    /// Whether advantages are normalised in each minibatch.
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
    /// Steps of the sequences that a network with a memory learns from; divides `num_steps`. By default whole fragments.
    #[serde(with = "auto")]
    pub sequence_length: Option<usize>,
    /// Value targets normalised in each task (PopArt); none by default.
    #[serde(with = "none")]
    pub popart: Option<PopArtConfig>,
}

impl Default for ImpalaConfig {
    /// IMPALA's, as in the paper but for the scale of the loss (deviation 1).
    fn default() -> Self {
        let rmsprop = RmsPropConfig { alpha: 0.99, eps: 1e-5, ..Default::default() };
        Self {
            num_steps: 20,
            num_minibatches: 1,
            update_epochs: 1,
            learning_rate: Coefficient::Constant(6e-4),
            anneal_lr: true,
            gamma: 0.99,
            rho_bar: 1.0,
            c_bar: 1.0,
            clip_coef: None,
            norm_adv: false,
            ent_coef: Coefficient::Constant(0.01),
            vf_coef: 0.5,
            max_grad_norm: 0.5,
            optimizer: OptimizerConfig::RmsProp(rmsprop),
            gradient_slices: None,
            share_encoder: false,
            sequence_length: None,
            popart: None,
        }
    }
}

impl ImpalaConfig {
    /// APPO's: PPO's clipped objective, Adam, and a few passes.
    pub fn appo() -> Self {
        Self {
            num_steps: 32,
            num_minibatches: 4,
            update_epochs: 2,
            clip_coef: Some(Coefficient::Constant(0.2)),
            norm_adv: true,
            optimizer: OptimizerConfig::Adam(AdamConfig { eps: 1e-5, ..Default::default() }),
            ..Self::default()
        }
    }

    fn passes(&self) -> Passes {
        Passes {
            update_epochs: self.update_epochs,
            num_minibatches: self.num_minibatches,
            norm_adv: self.norm_adv,
            target_kl: None,
        }
    }
}

/// The learner.
pub type Impala = PolicyGradientLearner<ImportanceWeighted>;

/// What makes a policy-gradient learner IMPALA or APPO.
pub struct ImportanceWeighted {
    config: ImpalaConfig,
    clip_coef: Option<Schedule>,
}

impl PolicyGradientAlgorithm for ImportanceWeighted {
    type Config = ImpalaConfig;
    type Saved = ();

    const METRICS: &'static [&'static str] = &[
        "charts/learning_rate",
        "losses/value_loss",
        "losses/policy_loss",
        "losses/entropy",
        "losses/approx_kl",
        "losses/clipfrac",
        "losses/explained_variance",
    ];

    fn settings(config: &ImpalaConfig) -> Settings {
        Settings {
            algorithm: if config.clip_coef.is_some() { "appo" } else { "impala" },
            num_steps: config.num_steps,
            sequence_length: config.sequence_length,
            num_minibatches: config.num_minibatches,
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
            private: None,
        }
    }

    fn with_slices(config: ImpalaConfig, gradient_slices: Option<usize>) -> ImpalaConfig {
        ImpalaConfig { gradient_slices, ..config }
    }

    fn validate(config: &ImpalaConfig) -> Result<(), AgentError> {
        updates(&[("update_epochs", config.update_epochs as u64)])?;
        above_zero(&[("rho_bar", config.rho_bar)])?;
        let c_bar = config.c_bar;
        ensure(positive(c_bar) && c_bar <= config.rho_bar, "c_bar", "above 0 and at most rho_bar", c_bar)?;
        config.clip_coef.map_or(Ok(()), |clip_coef| clip_coef.ensure_above_zero("clip_coef"))
    }

    fn new(
        config: ImpalaConfig,
        _network: &ModelConfig,
        _core: &PolicyGradient,
        info: &RunInfo,
    ) -> Result<Self, AgentError> {
        let clip_coef = config.clip_coef.map(|clip_coef| clip_coef.schedule(info.total_timesteps));
        Ok(Self { config, clip_coef })
    }

    fn iterate(
        &mut self,
        core: &mut PolicyGradient,
        fragments: &[Fragment],
        env_steps: u64,
        gives_up: &mut GivesUp<'_>,
    ) -> Result<Vec<f64>, AgentError> {
        let ImpalaConfig { gamma, rho_bar, c_bar, vf_coef, .. } = self.config;
        let (gamma, vf_coef) = (gamma as f32, vf_coef as f32);
        let (rho_bar, c_bar, weighted) = (rho_bar as f32, c_bar as f32, self.clip_coef.is_none());
        let targets = Targets::Vtrace { gamma, rho_bar, c_bar, weighted };
        core.estimate(fragments, targets)?;
        let began = env_steps.saturating_sub(steps_of(fragments) as u64);
        let (learning_rate, ent_coef) = (core.learning_rate(began), core.ent_coef(began));
        let passes = self.config.passes();
        let (sums, learned) = match &self.clip_coef {
            Some(clip_coef) => {
                let clip_coef = clip_coef.at(began) as f32;
                let loss = PpoLoss { clip_coef, clip_vloss: false, ent_coef, vf_coef };
                core.passes(&passes, &loss, learning_rate, gives_up)?
            }
            None => {
                let loss = ActorCriticLoss { ent_coef, vf_coef };
                core.passes(&passes, &loss, learning_rate, gives_up)?
            }
        };
        let mean = |sum: f64| sum / learned as f64;
        Ok(vec![
            learning_rate,
            mean(sums.value_loss),
            mean(sums.policy_loss),
            mean(sums.entropy),
            mean(sums.approx_kl),
            mean(sums.clipfrac),
            core.rollout.explained_variance(),
        ])
    }

    fn save(&self) -> Result<(), AgentError> {
        Ok(())
    }

    fn restore(&mut self, (): ()) -> Result<(), AgentError> {
        Ok(())
    }
}
