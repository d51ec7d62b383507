//! PPO: proximal policy optimisation with clipping.
//!
//! Each iteration takes one fragment of every shard, estimates advantages by GAE, and makes several passes of clipped
//! minibatch updates. Policy and value function are two separate networks, or two heads on one encoder.
//!
//! # Source
//! Schulman et al. (2017); CleanRL 1.0 `ppo.py`, whose names, defaults and metrics it keeps; Raileanu et al. (2021) for
//! `augmentation`; Ho and Ermon (2016) and Fu, Luo and Levine (2018) for `imitation`.
//!
//! # Deviations
//! 1. Values are computed by the learner in one batch over the fragment, with the weights that acted, instead of tick by
//!    tick; in asynchronous mode with the learner's newer weights.
//! 2. Truncated steps bootstrap from their final observation; CleanRL merges them with termination.
//! 3. A minibatch's gradient is summed over `gradient_slices` slices in a fixed order.

mod loss;

use agon_nn::{AdamConfig, ModelConfig, OptimizerConfig, Schedule};
use serde::{Deserialize, Serialize};

use crate::adversary::{self, Adversary, AdversaryReward, ImitationConfig};
use crate::augmentation::PolicyAugmentation;
use crate::coefficient::{Coefficient, auto, none};
use crate::estimator::Targets;
use crate::learner::{GivesUp, RunInfo, learns_of_itself};
use crate::part::Part;
use crate::policy_gradient::{Passes, PolicyGradient, Settings, steps_of};
use crate::policy_gradient_learner::{PolicyGradientAlgorithm, PolicyGradientLearner};
use crate::popart::PopArtConfig;
use crate::rnd::{self, Rnd, RndConfig};
use crate::settings::{above_zero, shares, updates};
use crate::{AgentError, Fragment};
pub(crate) use loss::PpoLoss;

/// PPO's settings. The defaults are CleanRL's for classic control.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PpoConfig {
    /// Ticks of a rollout, in every environment; at least 1.
    pub num_steps: usize,
    /// Minibatches that a rollout is divided into; divides the number of its steps, or with a memory, of its sequences.
    pub num_minibatches: usize,
    /// Passes over a rollout; at least 1.
    pub update_epochs: usize,
    /// The optimizer's step size; above 0, or a schedule.
    pub learning_rate: Coefficient,
    /// Whether a step size that is a plain number falls linearly to zero over the run; a schedule is its own.
    pub anneal_lr: bool,
    /// Discount factor, 0 to 1.
    pub gamma: f64,
    /// λ of generalised advantage estimation, 0 to 1.
    pub gae_lambda: f64,
    /// Whether advantages are normalised in each minibatch.
    pub norm_adv: bool,
    /// How far the probability ratio may move, ε; above 0, or a schedule.
    pub clip_coef: Coefficient,
    /// Whether ε, if it is a plain number, falls linearly to zero over the run.
    pub anneal_clip_coef: bool,
    /// Whether value estimates are clipped to ε around the old ones.
    pub clip_vloss: bool,
    /// Weight of the entropy bonus; at least 0, or a schedule.
    pub ent_coef: Coefficient,
    /// Weight of the value loss, which is half the squared error (Stable-Baselines3's is the whole one); at least 0.
    pub vf_coef: f64,
    /// Largest norm of a gradient; above 0.
    pub max_grad_norm: f64,
    /// Ends the passes once the approximate KL divergence of a pass's last minibatch exceeds it.
    #[serde(with = "none")]
    pub target_kl: Option<f64>,
    /// What takes the gradient steps.
    pub optimizer: OptimizerConfig,
    /// Slices that a minibatch's gradient is summed over: as many threads can work on it. Part of the result. By default as
    /// many as its rows and the networks' size are worth, up to 16; never what the machine has.
    #[serde(with = "auto")]
    pub gradient_slices: Option<usize>,
    /// Whether policy and value function share encoder and memory, as they must with a memory; else each has its own.
    pub share_encoder: bool,
    /// Steps of the sequences that a network with a memory learns from, and so how far gradients reach back; divides
    /// `num_steps`. By default whole rollouts, CleanRL's `ppo_atari_lstm.py`.
    #[serde(with = "auto")]
    pub sequence_length: Option<usize>,
    /// A bonus for what is new (random network distillation); none by default.
    #[serde(with = "none")]
    pub rnd: Option<RndConfig>,
    /// Rewards by a discriminator that learns what experts did, in place of the environment's; the environment's by default.
    #[serde(with = "none")]
    pub imitation: Option<ImitationConfig>,
    /// What policy and values are to say the same of, though it is changed; nothing by default.
    #[serde(with = "none")]
    pub augmentation: Option<PolicyAugmentation>,
    /// Value targets normalised in each task (PopArt); none by default.
    #[serde(with = "none")]
    pub popart: Option<PopArtConfig>,
}

impl Default for PpoConfig {
    fn default() -> Self {
        Self {
            num_steps: 128,
            num_minibatches: 4,
            update_epochs: 4,
            learning_rate: Coefficient::Constant(2.5e-4),
            anneal_lr: true,
            gamma: 0.99,
            gae_lambda: 0.95,
            norm_adv: true,
            clip_coef: Coefficient::Constant(0.2),
            anneal_clip_coef: false,
            clip_vloss: true,
            ent_coef: Coefficient::Constant(0.01),
            vf_coef: 0.5,
            max_grad_norm: 0.5,
            target_kl: None,
            optimizer: OptimizerConfig::Adam(AdamConfig { eps: 1e-5, ..Default::default() }),
            gradient_slices: None,
            share_encoder: false,
            sequence_length: None,
            rnd: None,
            imitation: None,
            augmentation: None,
            popart: None,
        }
    }
}

impl PpoConfig {
    /// GAIL (Ho and Ermon 2016) with PPO in place of TRPO.
    pub fn gail() -> Self {
        Self { imitation: Some(ImitationConfig::default()), ..Self::default() }
    }

    /// As [`Self::gail`], with AIRL's reward.
    pub fn airl() -> Self {
        let imitation = ImitationConfig { reward: AdversaryReward::Airl, ..ImitationConfig::default() };
        Self { imitation: Some(imitation), ..Self::default() }
    }

    fn passes(&self) -> Passes {
        Passes {
            update_epochs: self.update_epochs,
            num_minibatches: self.num_minibatches,
            norm_adv: self.norm_adv,
            target_kl: self.target_kl,
        }
    }
}

/// The learner.
pub type Ppo = PolicyGradientLearner<ProximalPolicy>;

/// What makes a policy-gradient learner PPO.
pub struct ProximalPolicy {
    config: PpoConfig,
    rnd: Option<Rnd>,
    adversary: Option<Adversary>,
    clip_coef: Schedule,
}

/// What is saved of its own.
#[derive(Serialize, Deserialize)]
pub struct Saved {
    rnd: Option<rnd::Saved>,
    adversary: Option<adversary::Saved>,
}

impl PolicyGradientAlgorithm for ProximalPolicy {
    type Config = PpoConfig;
    type Saved = Saved;

    const METRICS: &'static [&'static str] = &[
        "charts/learning_rate",
        "losses/value_loss",
        "losses/policy_loss",
        "losses/entropy",
        "losses/old_approx_kl",
        "losses/approx_kl",
        "losses/clipfrac",
        "losses/explained_variance",
        "losses/rnd_loss",
        "losses/view_loss",
        "losses/teacher_loss",
        "charts/teacher_coef",
        "losses/discriminator_loss",
        "charts/discriminator_accuracy",
    ];
    const LEARNING_ONLY: &'static [&'static str] = &[rnd::PREFIX, adversary::PREFIX];
    const FOLLOWS: bool = true;

    fn settings(config: &PpoConfig) -> Settings {
        Settings {
            algorithm: "ppo",
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
            bonus: config.rnd.is_some(),
            popart: config.popart,
            augmentation: config.augmentation.clone(),
            private: None,
        }
    }

    fn with_slices(config: PpoConfig, gradient_slices: Option<usize>) -> PpoConfig {
        PpoConfig { gradient_slices, ..config }
    }

    fn validate(config: &PpoConfig) -> Result<(), AgentError> {
        updates(&[("update_epochs", config.update_epochs as u64)])?;
        shares(&[("gae_lambda", config.gae_lambda)])?;
        config.clip_coef.ensure_above_zero("clip_coef")?;
        above_zero(&[("target_kl", config.target_kl.unwrap_or(1.0))])
    }

    fn new(
        config: PpoConfig,
        network: &ModelConfig,
        core: &PolicyGradient,
        info: &RunInfo,
    ) -> Result<Self, AgentError> {
        let build = |rnd: &RndConfig| {
            Rnd::new(rnd.clone(), network, config.max_grad_norm, core.gradient_slices(), info)
        };
        let rnd = config.rnd.as_ref().map(build).transpose()?;
        let judge =
            |imitation: &ImitationConfig| Adversary::new(imitation.clone(), core.gradient_slices(), info);
        let adversary = config.imitation.as_ref().map(judge).transpose()?;
        let clip_coef = config.clip_coef.annealed(config.anneal_clip_coef, info.total_timesteps);
        Ok(Self { config, rnd, adversary, clip_coef })
    }

    fn iterate(
        &mut self,
        core: &mut PolicyGradient,
        fragments: &[Fragment],
        env_steps: u64,
        gives_up: &mut GivesUp<'_>,
    ) -> Result<Vec<f64>, AgentError> {
        let PpoConfig { gamma, gae_lambda, clip_vloss, vf_coef, .. } = self.config;
        let targets = Targets::Gae { gamma: gamma as f32, gae_lambda: gae_lambda as f32 };
        let judged = match &mut self.adversary {
            Some(adversary) => Some(adversary.judge(fragments, core.updates)?),
            None => None,
        };
        let fragments = judged.as_ref().map_or(fragments, |judged| judged.fragments.as_slice());
        let (bonus, rnd_loss) = match &mut self.rnd {
            Some(rnd) => {
                let (bonus, loss) = rnd.learn(fragments)?;
                (Some(bonus), loss)
            }
            None => (None, f64::NAN),
        };
        core.estimate_with(fragments, targets, bonus.as_ref())?;
        let began = env_steps - steps_of(fragments) as u64;
        let learning_rate = core.learning_rate(began);
        let loss = PpoLoss {
            clip_coef: self.clip_coef.at(began) as f32,
            clip_vloss,
            ent_coef: core.ent_coef(began),
            vf_coef: vf_coef as f32,
        };
        let (sums, learned) = core.passes(&self.config.passes(), &loss, learning_rate, gives_up)?;
        let mean = |sum: f64| sum / learned as f64;
        Ok(vec![
            learning_rate,
            mean(sums.value_loss),
            mean(sums.policy_loss),
            mean(sums.entropy),
            mean(sums.old_approx_kl),
            mean(sums.approx_kl),
            mean(sums.clipfrac),
            core.rollout.explained_variance(),
            rnd_loss,
            if self.config.augmentation.is_some() { mean(sums.view_loss) } else { f64::NAN },
            if core.guidance() > 0.0 { mean(sums.teacher_loss) } else { f64::NAN },
            core.guidance(),
            judged.as_ref().map_or(f64::NAN, |judged| judged.loss),
            judged.as_ref().map_or(f64::NAN, |judged| judged.accuracy),
        ])
    }

    fn parts(&self) -> Vec<&Part> {
        let rnd = self.rnd.iter().flat_map(Rnd::parts);
        rnd.chain(self.adversary.iter().map(Adversary::part)).collect()
    }

    fn parts_mut(&mut self) -> Vec<&mut Part> {
        let rnd = self.rnd.iter_mut().flat_map(Rnd::parts_mut);
        rnd.chain(self.adversary.iter_mut().map(Adversary::part_mut)).collect()
    }

    fn refresh(&mut self) -> Result<(), AgentError> {
        self.rnd.iter_mut().try_for_each(Rnd::refresh)
    }

    fn takes_recorded(&self) -> Result<(), AgentError> {
        if self.adversary.is_some() {
            return Ok(());
        }
        Err(learns_of_itself("ppo without agent.imitation"))
    }

    fn remember(&mut self, recorded: &Fragment) -> Result<(), AgentError> {
        let Some(adversary) = &mut self.adversary else { return self.takes_recorded() };
        adversary.remember(recorded);
        Ok(())
    }

    fn memory_bytes(&self) -> u64 {
        self.adversary.as_ref().map_or(0, Adversary::memory_bytes)
    }

    fn save(&self) -> Result<Saved, AgentError> {
        Ok(Saved {
            rnd: self.rnd.as_ref().map(Rnd::save),
            adversary: self.adversary.as_ref().map(Adversary::save).transpose()?,
        })
    }

    fn restore(&mut self, saved: Saved) -> Result<(), AgentError> {
        match (&mut self.rnd, saved.rnd) {
            (Some(rnd), Some(saved)) => rnd.restore(saved)?,
            (None, None) => {}
            (Some(_), None) => return Err(AgentError::Restore("expected a bonus, found none".to_owned())),
            (None, Some(_)) => return Err(AgentError::Restore("expected no bonus, found one".to_owned())),
        }
        match (&mut self.adversary, saved.adversary) {
            (Some(adversary), Some(saved)) => adversary.restore(saved),
            (None, None) => Ok(()),
            (Some(_), None) => Err(AgentError::Restore("expected a discriminator, found none".to_owned())),
            (None, Some(_)) => Err(AgentError::Restore("expected no discriminator, found one".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests;
