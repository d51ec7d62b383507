//! SAC: soft actor-critic, for continuous and for discrete actions.
//!
//! The policy maximises return and entropy; how much entropy is worth, the temperature α, is learned so that the entropy
//! stays at a target. Values come from two critics and their slowly following copies.
//!
//! # Source
//! Haarnoja et al. (2018), arXiv:1812.05905; Christodoulou (2019), arXiv:1910.07207, for discrete actions;
//! Kostrikov, Yarats and Fergus (2021), arXiv:2004.13649, for `augmentation`; Chen et al. (2021), arXiv:2101.05982, for
//! `critics` and `policy_frequency`; Kumar et al. (2020), arXiv:2006.04779, for `cql_alpha`; Stable-Baselines3 2.x `sac.py` and CleanRL 1.0 `sac_atari.py` for names and defaults.
//!
//! # Deviations
//! 1. The critics are updated first, then the policy against the new critics, then the temperature (Stable-Baselines3
//!    begins with the temperature).
//! 2. Truncated transitions bootstrap from their final observation.
//! 3. A minibatch's gradient is summed over `gradient_slices` slices in a fixed order.

mod config;
mod conservative;
mod continuous;
mod discrete;
mod update;

use std::sync::Arc;

use agon_envs::ActionSpec;
use agon_nn::{
    Head, HeadSpec, Init, LayoutBuilder, Model, ModelConfig, Observation, Params, Schedule, Sequential,
    Summary,
};

pub use config::SacConfig;

use crate::augmentation::ReplayViews;
use crate::critics::{CRITICS, CriticSums, Critics, TARGET_CRITICS};
pub use crate::critics::{CriticsConfig, Reduction};
use crate::experience::Experience;
use crate::learner::{PolicyInfo, RunInfo, Spaces, stream};
use crate::part::Part;
use crate::replay::Sampling;
use crate::replay_learner::{Plan, ReplayAlgorithm, ReplayLearner};
use crate::slices::{Slice, Sums, for_each_slice};
use crate::{AgentError, Policy, Weights, critics, error, network};
use conservative::Conservative;
use continuous::Continuous;
use discrete::Discrete;
use update::Update;

/// The learner.
pub type Sac = ReplayLearner<SoftActorCritic>;

/// The name of the temperature's logarithm.
const LOG_ALPHA: &str = "log_alpha";

/// What the two kinds of actions differ in.
enum Kind {
    Continuous(Continuous),
    Discrete(Discrete),
}

impl Kind {
    /// What the critics read, and their head.
    fn critics(&self, observation: Observation, spaces: &Spaces) -> Result<(Observation, Head), AgentError> {
        match (self, observation) {
            (Self::Discrete(discrete), observation) => Ok((observation, discrete.critic_head())),
            (Self::Continuous(continuous), Observation::Vector(width)) => {
                Ok((Observation::Vector(width + continuous.dimensions()), Head::Value))
            }
            (Self::Continuous(_), _) => {
                let (expected, found) = ("a vector of numbers", spaces.observation.to_string());
                Err(AgentError::Unsupported { algorithm: "sac", expected, found })
            }
        }
    }

    fn default_target_entropy(&self) -> f64 {
        match self {
            Self::Continuous(continuous) => -(continuous.dimensions() as f64),
            Self::Discrete(discrete) => discrete.default_target_entropy(),
        }
    }

    /// A snapshot that acts.
    fn policy(
        &self,
        actor: &Sequential,
        params: &Params,
        learning_starts: u64,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        match self {
            Self::Continuous(kind) => kind.policy(actor, params, learning_starts),
            Self::Discrete(kind) => kind.policy(actor, params, learning_starts),
        }
    }
}

/// Sums over the rows of updates.
#[derive(Clone, Copy, Debug, Default)]
pub struct SacSums {
    critic: CriticSums,
    actor_loss: f64,
    entropy: f64,
    rows: usize,
    /// Rows of those updates that were the policy's too.
    actor_rows: usize,
    /// The temperature that the first of the updates began with.
    alpha: f32,
}

impl Sums for SacSums {
    fn add(&mut self, other: &Self) {
        self.critic.add(&other.critic);
        self.actor_loss += other.actor_loss;
        self.entropy += other.entropy;
        self.rows += other.rows;
        self.actor_rows += other.actor_rows;
    }
}

/// The networks of SAC.
pub struct SoftActorCritic {
    config: SacConfig,
    kind: Kind,
    chain: Sequential,
    actor_summary: Summary,
    actor: Part,
    /// What a new policy and a new temperature are made of.
    layouts: [LayoutBuilder; 2],
    critics: Critics,
    /// The logarithm of the temperature.
    log_alpha: Part,
    target_entropy: f64,
    learning_rate: Schedule,
    /// Standard normal numbers of an update.
    noise: Vec<f32>,
    views: ReplayViews,
    conservative: Option<Conservative>,
}

impl SoftActorCritic {
    /// The kind of actions, the policy's network, and its parameters to be.
    fn layout(network: &ModelConfig, spaces: &Spaces) -> Result<(Kind, Model, LayoutBuilder), AgentError> {
        network::check_no_memory("sac", network)?;
        network::check_not_noisy("sac", network)?;
        let observation = network::observation("sac", &spaces.observation)?;
        let (kind, head) = match &spaces.action {
            ActionSpec::Discrete { .. } => {
                let discrete = Discrete::new(spaces)?;
                let head = discrete.head();
                (Kind::Discrete(discrete), head)
            }
            ActionSpec::Continuous { .. } => {
                let continuous = Continuous::new(spaces)?;
                let head = continuous.head();
                (Kind::Continuous(continuous), head)
            }
        };
        let mut builder = LayoutBuilder::new();
        let init = Init::PYTORCH_LINEAR;
        let spec = HeadSpec { name: "actor.head".to_owned(), head, init };
        let actor = Model::new(&mut builder, "actor.", &observation, network, &[spec], init)?;
        Ok((kind, actor, builder))
    }

    /// The temperature.
    fn alpha(&self) -> f32 {
        match self.config.ent_coef {
            Some(fixed) => fixed as f32,
            None => self.log_alpha.params.as_slice()[0].exp(),
        }
    }

    /// Begins anew: networks, temperature and optimizers.
    fn reset(&mut self, seed: u64) -> Result<(), AgentError> {
        let [policy, temperature] = &self.layouts;
        self.actor.reset(&policy.clone().build(stream(seed, 0)))?;
        self.critics.reset(stream(seed, 2))?;
        self.log_alpha.reset(&temperature.clone().build(0))
    }

    /// Updates the policy against the critics, and the temperature; gives the policy's sums.
    fn climb(
        &mut self,
        experience: &Experience,
        slices: &mut [Slice<(), SacSums>],
        seed: u64,
        rate: f64,
    ) -> Result<SacSums, AgentError> {
        let (slots, rows, reads) = (&experience.slots, experience.slots.len(), self.reads(experience, seed));
        let actor = for_each_slice(slices, rows, self.actor.params.len(), |range, (), grads| {
            let slots = &slots[range.clone()];
            match &self.kind {
                Kind::Continuous(kind) => kind.actor_gradient(&reads, slots, range, grads),
                Kind::Discrete(kind) => kind.actor_gradient(&reads, slots, range.start, grads),
            }
        })?;
        error::ensure_finite("actor loss", actor.actor_loss, experience.updates)?;
        self.actor.descend(slices, f64::INFINITY, rate)?;
        if self.config.ent_coef.is_none() {
            // The gradient of −ln α (H̄ − H): too little entropy raises α.
            let excess = actor.entropy / rows as f64 - self.target_entropy;
            self.log_alpha.step(&[excess as f32], rate)?;
        }
        Ok(SacSums { actor_rows: rows, ..actor })
    }

    /// What a slice of an update reads, and the rows of its minibatch.
    fn reads<'a>(&'a self, experience: &'a Experience, seed: u64) -> Update<'a> {
        Update {
            replay: &experience.replay,
            actor: &self.chain,
            actor_params: &self.actor.params,
            critics: &self.critics,
            views: &self.views,
            seed,
            noise: &self.noise,
            gamma: self.config.gamma as f32,
            alpha: self.alpha(),
            following_alpha: if self.config.backup_entropy { self.alpha() } else { 0.0 },
            conservative: self.conservative.as_ref(),
            scale: 1.0 / experience.slots.len() as f32,
        }
    }
}

impl ReplayAlgorithm for SoftActorCritic {
    type Config = SacConfig;
    type Work = ();
    type Sums = SacSums;

    const METRICS: &'static [&'static str] = &[
        "charts/learning_rate",
        "losses/qf_loss",
        "losses/qf_values",
        "losses/actor_loss",
        "losses/entropy",
        "losses/alpha",
        "losses/cql_loss",
    ];

    fn default_network() -> ModelConfig {
        critics::default_network()
    }

    fn new(config: SacConfig, network: &ModelConfig, info: &RunInfo) -> Result<(Self, Plan), AgentError> {
        config.validate(info)?;
        let (kind, model, builder) = Self::layout(network, &info.spaces)?;
        let params = builder.clone().build(stream(info.seed, 0));
        let actor = Part::trained("", params, config.optimizer)?;
        let observation = network::observation("sac", &info.spaces.observation)?;
        let (read, head) = kind.critics(observation, &info.spaces)?;
        let (optimizer, seed) = (config.optimizer, stream(info.seed, 2));
        let critics = Critics::new(config.critics, &read, network, &head, optimizer, seed)?;
        let mut temperature = LayoutBuilder::new();
        let alpha = config.ent_coef.unwrap_or(1.0).max(f64::MIN_POSITIVE);
        temperature.add(LOG_ALPHA, &[1], Init::Constant(alpha.ln() as f32));
        let plan = Plan::of_steps(config.replaying(), Sampling::Uniform, info);
        let (rate, total) = (config.learning_rate, info.total_timesteps);
        let algorithm = Self {
            chain: model.chain(0)?,
            actor_summary: model.summary().clone(),
            actor,
            critics,
            log_alpha: Part::trained("", temperature.clone().build(0), optimizer)?,
            layouts: [builder, temperature],
            target_entropy: config.target_entropy.unwrap_or_else(|| kind.default_target_entropy()),
            learning_rate: rate.annealed(config.anneal_lr, total),
            noise: Vec::new(),
            views: ReplayViews::of(config.augmentation.as_ref(), &info.spaces)?,
            conservative: Conservative::of(&config),
            kind,
            config,
        };
        Ok((algorithm, plan))
    }

    fn policy_from(
        config: &SacConfig,
        network: &ModelConfig,
        info: &PolicyInfo,
        weights: &Weights,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        let (kind, model, builder) = Self::layout(network, &info.spaces)?;
        let params = weights.params(builder, &[CRITICS, TARGET_CRITICS, LOG_ALPHA])?;
        kind.policy(&model.chain(0)?, &params, config.learning_starts)
    }

    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        self.kind.policy(&self.chain, &self.actor.params, self.config.learning_starts)
    }

    fn summary(&self) -> Summary {
        Summary { parts: [&self.actor_summary, &self.critics.summary].map(|s| s.parts.clone()).concat() }
    }

    fn parts(&self) -> Vec<&Part> {
        vec![&self.actor, &self.critics.online, &self.critics.target, &self.log_alpha]
    }

    fn parts_mut(&mut self) -> Vec<&mut Part> {
        vec![&mut self.actor, &mut self.critics.online, &mut self.critics.target, &mut self.log_alpha]
    }

    /// One update of the critics and, when their turn comes, of policy and temperature.
    fn update(
        &mut self,
        experience: &mut Experience,
        slices: &mut [Slice<(), SacSums>],
        env_steps: u64,
    ) -> Result<SacSums, AgentError> {
        let (rows, rate) = (experience.slots.len(), self.learning_rate.at(env_steps));
        if let Some(seed) = experience.reset_seed(self.config.reset_every) {
            self.reset(seed)?;
        }
        if let Kind::Continuous(continuous) = &self.kind {
            let blocks = self.views.of_targets + 1;
            continuous.draw_noise(blocks * rows, &mut experience.rng, &mut self.noise);
            if let Some(conservative) = &mut self.conservative {
                conservative.draw(rows, continuous.dimensions(), &mut experience.rng);
            }
        }
        let seed = self.views.seed(&mut experience.rng);
        self.critics.draw(&mut experience.rng);
        let (slots, updates) = (&experience.slots, experience.updates);
        let (alpha, reads) = (self.alpha(), self.reads(experience, seed));
        let len = self.critics.online.params.len();
        let critic = for_each_slice(slices, rows, len, |range, (), grads| {
            let slots = &slots[range.clone()];
            let critic = match &self.kind {
                Kind::Continuous(kind) => kind.critic_gradient(&reads, slots, range, grads)?,
                Kind::Discrete(kind) => kind.critic_gradient(&reads, slots, range.start, grads)?,
            };
            Ok::<_, AgentError>(SacSums { critic, ..SacSums::default() })
        })?;
        error::ensure_finite("critic loss", critic.critic.loss, updates)?;
        self.critics.descend(slices, rate)?;

        let mut sums = SacSums { critic: critic.critic, rows, alpha, ..SacSums::default() };
        if (updates + 1).is_multiple_of(self.config.policy_frequency) {
            sums =
                SacSums { critic: sums.critic, rows, alpha, ..self.climb(experience, slices, seed, rate)? };
        }
        self.critics.follow(self.config.tau)?;
        Ok(sums)
    }
    fn metrics(&self, sums: Option<&SacSums>, _experience: &Experience, env_steps: u64) -> Vec<f64> {
        let (mut means, mut alpha) = ([f64::NAN; 5], self.alpha());
        if let Some(sums) = sums {
            let (rows, actor_rows) = (sums.rows as f64, sums.actor_rows as f64);
            let values = sums.critic.values / self.critics.count() as f64;
            let gap = if self.conservative.is_some() { sums.critic.gap } else { f64::NAN };
            let [actor_loss, entropy] = [sums.actor_loss, sums.entropy].map(|sum| sum / actor_rows);
            means = [sums.critic.loss / rows, values / rows, actor_loss, entropy, gap / rows];
            alpha = sums.alpha;
        }
        let [qf_loss, qf_values, actor_loss, entropy, cql_loss] = means;
        let rate = self.learning_rate.at(env_steps);
        vec![rate, qf_loss, qf_values, actor_loss, entropy, f64::from(alpha), cql_loss]
    }
}
