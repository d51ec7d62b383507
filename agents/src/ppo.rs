//! PPO: proximal policy optimisation with clipping.
//!
//! Each iteration takes one fragment of every shard, estimates advantages by GAE, and makes several passes of clipped
//! minibatch updates. Policy and value function are two separate networks, or two heads on one encoder.
//!
//! # Source
//! Schulman et al. (2017); CleanRL 1.0 `ppo.py`, whose names, defaults and metrics it keeps.
//!
//! # Deviations
//! 1. Values are computed by the learner in one batch over the fragment, with the weights that acted, instead of tick by
//!    tick; in asynchronous mode with the learner's newer weights.
//! 2. Truncated steps bootstrap from their final observation; CleanRL merges them with termination.
//! 3. A minibatch's gradient is summed over `gradient_slices` slices in a fixed order.

pub mod loss;
mod rollout;

use std::ops::Range;
use std::sync::Arc;

use agon_envs::Pcg64;
use agon_nn::losses::categorical;
use agon_nn::{
    AdamConfig, Head, HeadSpec, Init, Input, LayoutBuilder, Matrix, Model, ModelConfig, NnError, Optimizer,
    OptimizerConfig, OptimizerState, Packed, Params, Sequential, Summary, Tape,
};
use serde::{Deserialize, Serialize};

use crate::error::{ensure, positive};
use crate::learner::{
    LearnReport, Learner, RunInfo, decode, encode, restored_optimizer, restored_params, single_discrete,
    stream,
};
use crate::network;
use crate::policy::{ActInput, ActMode, ActOutput, Actor, Policy, log_softmax};
use crate::returns;
use crate::schedule::LinearSchedule;
use crate::slices::{awake, descend, for_each_slice, slice_range};
use crate::{AgentError, Fragment};
use loss::{LossCoefficients, LossInput, LossSums, ppo_loss};
use rollout::{Gathered, Rollout, ShardWork, normalise};

/// PPO's settings. The defaults are CleanRL's for classic control.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PpoConfig {
    /// Ticks of a rollout, in every environment; at least 1.
    pub num_steps: usize,
    /// Minibatches that a rollout is divided into; divides `num_envs * num_steps`.
    pub num_minibatches: usize,
    /// Passes over a rollout; at least 1.
    pub update_epochs: usize,
    /// The optimizer's step size; above 0.
    pub learning_rate: f64,
    /// Whether the step size falls linearly to zero over the run.
    pub anneal_lr: bool,
    /// Discount factor, 0 to 1.
    pub gamma: f64,
    /// λ of generalised advantage estimation, 0 to 1.
    pub gae_lambda: f64,
    /// Whether advantages are normalised in each minibatch.
    pub norm_adv: bool,
    /// How far the probability ratio may move, ε; above 0.
    pub clip_coef: f64,
    /// Whether ε falls linearly to zero over the run (Stable-Baselines3's `clip_range` schedules).
    pub anneal_clip_coef: bool,
    /// Whether value estimates are clipped to ε around the old ones.
    pub clip_vloss: bool,
    /// Weight of the entropy bonus; at least 0.
    pub ent_coef: f64,
    /// Weight of the value loss, which is half the squared error (Stable-Baselines3's is the whole one); at least 0.
    pub vf_coef: f64,
    /// Largest norm of a gradient; above 0.
    pub max_grad_norm: f64,
    /// Ends the passes once the approximate KL divergence of a pass's last minibatch exceeds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_kl: Option<f64>,
    /// What takes the gradient steps.
    pub optimizer: OptimizerConfig,
    /// Slices that a minibatch's gradient is summed over: as many threads can work on it. Part of the result.
    pub gradient_slices: usize,
    /// Whether policy and value function share encoder and memory; else each has its own.
    pub share_encoder: bool,
    /// The shape of the networks.
    pub network: ModelConfig,
}

impl Default for PpoConfig {
    fn default() -> Self {
        Self {
            num_steps: 128,
            num_minibatches: 4,
            update_epochs: 4,
            learning_rate: 2.5e-4,
            anneal_lr: true,
            gamma: 0.99,
            gae_lambda: 0.95,
            norm_adv: true,
            clip_coef: 0.2,
            anneal_clip_coef: false,
            clip_vloss: true,
            ent_coef: 0.01,
            vf_coef: 0.5,
            max_grad_norm: 0.5,
            target_kl: None,
            optimizer: OptimizerConfig::Adam(AdamConfig { eps: 1e-5, ..Default::default() }),
            gradient_slices: 2,
            share_encoder: false,
            network: ModelConfig::default(),
        }
    }
}

impl PpoConfig {
    /// Checks every setting's range.
    ///
    /// # Errors
    /// [`AgentError::Setting`] naming the setting, what is allowed and what was found.
    pub fn validate(&self, num_envs: usize) -> Result<(), AgentError> {
        ensure(self.num_steps > 0, "num_steps", "at least 1", self.num_steps)?;
        ensure(self.update_epochs > 0, "update_epochs", "at least 1", self.update_epochs)?;
        ensure(positive(self.learning_rate), "learning_rate", "above 0", self.learning_rate)?;
        ensure((0.0..=1.0).contains(&self.gamma), "gamma", "between 0 and 1", self.gamma)?;
        ensure((0.0..=1.0).contains(&self.gae_lambda), "gae_lambda", "between 0 and 1", self.gae_lambda)?;
        ensure(positive(self.clip_coef), "clip_coef", "above 0", self.clip_coef)?;
        ensure(self.ent_coef >= 0.0, "ent_coef", "at least 0", self.ent_coef)?;
        ensure(self.vf_coef >= 0.0, "vf_coef", "at least 0", self.vf_coef)?;
        ensure(positive(self.max_grad_norm), "max_grad_norm", "above 0", self.max_grad_norm)?;
        ensure(
            self.target_kl.is_none_or(|kl| kl > 0.0),
            "target_kl",
            "above 0",
            self.target_kl.unwrap_or_default(),
        )?;
        self.optimizer.validate()?;
        ensure(
            (1..=64).contains(&self.gradient_slices),
            "gradient_slices",
            "between 1 and 64",
            self.gradient_slices,
        )?;
        let batch_size = num_envs * self.num_steps;
        if self.num_minibatches == 0 || !batch_size.is_multiple_of(self.num_minibatches) {
            return Err(AgentError::setting(
                "num_minibatches",
                format!("a divisor of num_envs * num_steps = {batch_size}"),
                self.num_minibatches,
            ));
        }
        network::check_feed_forward("ppo", &self.network)
    }
}

/// PPO's policy and value function, as one buffer of parameters.
///
/// Separate networks are named `actor.encoder.*`, `actor.head.*`, `critic.encoder.*` and `critic.head.*`; with a shared
/// encoder it is `encoder.*`, `actor.*` and `critic.*`.
#[derive(Clone, Debug)]
struct Networks {
    actor: Sequential,
    critic: Sequential,
    /// Both heads on one encoder, if they share it.
    shared: Option<Model>,
    num_actions: usize,
    summary: Summary,
}

impl Networks {
    /// Orthogonal initialisation with CleanRL's gains: √2 for hidden layers, 0.01 for the policy, 1 for the value.
    fn new(config: &PpoConfig, info: &RunInfo, num_actions: usize) -> Result<(Self, Params), AgentError> {
        let observation = network::observation("ppo", &info.observation_space)?;
        let mut builder = LayoutBuilder::new();
        let orthogonal = |gain| Init::Orthogonal { gain };
        let spec = |name: &str, head, gain| HeadSpec { name: name.to_owned(), head, init: orthogonal(gain) };
        let mut model = |prefix: &str, heads: &[HeadSpec]| {
            let hidden = orthogonal(std::f32::consts::SQRT_2);
            Model::new(&mut builder, prefix, &observation, &config.network, heads, hidden)
        };
        let policy = Head::Categorical { actions: num_actions };
        let networks = if config.share_encoder {
            let shared = model("", &[spec("actor", policy, 0.01), spec("critic", Head::Value, 1.0)])?;
            Self {
                actor: shared.chain(0)?,
                critic: shared.chain(1)?,
                summary: shared.summary().clone(),
                shared: Some(shared),
                num_actions,
            }
        } else {
            let actor = model("actor.", &[spec("actor.head", policy, 0.01)])?;
            let critic = model("critic.", &[spec("critic.head", Head::Value, 1.0)])?;
            let parts = [actor.summary(), critic.summary()].map(|summary| summary.parts.clone()).concat();
            Self {
                actor: actor.chain(0)?,
                critic: critic.chain(0)?,
                summary: Summary { parts },
                shared: None,
                num_actions,
            }
        };
        Ok((networks, builder.build(stream(info.seed, 0))))
    }

    /// Logits and values of a batch.
    fn forward(&self, params: &Params, x: &Input, tape: &mut Tape) -> Result<[Matrix; 2], AgentError> {
        if let Some(shared) = &self.shared {
            let wrong = |heads: Vec<Matrix>| NnError::Length { name: "heads", expected: 2, got: heads.len() };
            return Ok(<[Matrix; 2]>::try_from(shared.forward(params, x, tape)?).map_err(wrong)?);
        }
        Ok([self.actor.forward_input(params, x, tape)?, self.critic.forward_input(params, x, tape)?])
    }
}

/// A snapshot of the actor.
struct PpoPolicy {
    actor: Sequential,
    packed: Packed,
    num_actions: usize,
}

impl Policy for PpoPolicy {
    /// The log-probability of the action.
    fn data_width(&self) -> usize {
        1
    }

    fn act(&self, input: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        let Actor { rng, scratch, outputs, buffer, .. } = actor;
        outputs.resize(input.num_envs * self.num_actions, 0.0);
        buffer.resize(outputs.len(), 0.0);
        let observations = network::rows(input.observations);
        self.actor.infer(&self.packed, observations, input.num_envs, scratch, outputs)?;
        log_softmax(outputs, self.num_actions, input.action_masks, buffer)?;
        let rows = buffer.chunks_exact(self.num_actions);
        for ((log_probs, action), log_prob) in rows.zip(output.actions.indices_mut()).zip(output.policy_data)
        {
            let chosen = match input.mode {
                ActMode::Explore => categorical::sample_log_probs(log_probs, rng.random() as f32),
                ActMode::Deterministic => categorical::mode(log_probs),
            };
            *action = chosen as u32;
            *log_prob = log_probs[chosen];
        }
        Ok(())
    }
}

/// Working memory of one gradient slice.
#[derive(Debug, Default)]
struct SliceWork {
    grads: Vec<f32>,
    sums: LossSums,
    gathered: Gathered,
}

/// The learner.
pub struct Ppo {
    config: PpoConfig,
    networks: Networks,
    params: Params,
    optimizer: Optimizer,
    rng: Pcg64,
    updates: u64,
    learning_rate: LinearSchedule,
    clip_coef: LinearSchedule,
    rollout: Rollout,
    shards: Vec<ShardWork>,
    slices: Vec<SliceWork>,
    /// Rows of the rollout in the order of this pass.
    order: Vec<u32>,
    /// The part of `order` that is the current minibatch.
    minibatch: Range<usize>,
    /// Advantages of the current minibatch.
    normalised: Vec<f32>,
    coefficients: LossCoefficients,
}

/// What is saved of a learner.
#[derive(Serialize, Deserialize)]
struct Saved {
    params: Vec<f32>,
    optimizer: OptimizerState,
    rng: Pcg64,
    updates: u64,
}

impl Ppo {
    /// Builds the learner with networks initialised from the run's seed.
    ///
    /// # Errors
    /// If a setting is out of range or the action space is not one `Discrete`.
    pub fn new(config: PpoConfig, info: &RunInfo) -> Result<Self, AgentError> {
        config.validate(info.num_envs)?;
        let num_actions = single_discrete("ppo", &info.action_spec)?;
        let (networks, params) = Networks::new(&config, info, num_actions)?;
        let optimizer = Optimizer::new(config.optimizer, params.len())?;
        let duration = info.total_timesteps as f64;
        let anneal = |start: f64, anneal: bool| LinearSchedule {
            start,
            end: if anneal { 0.0 } else { start },
            duration,
        };
        Ok(Self {
            learning_rate: anneal(config.learning_rate, config.anneal_lr),
            clip_coef: anneal(config.clip_coef, config.anneal_clip_coef),
            rollout: Rollout::new(network::dtype(&info.observation_space)),
            networks,
            params,
            optimizer,
            rng: Pcg64::seed_from(stream(info.seed, 1)),
            updates: 0,
            shards: (0..info.num_shards).map(|_| ShardWork::default()).collect(),
            slices: (0..config.gradient_slices).map(|_| SliceWork::default()).collect(),
            order: Vec::new(),
            minibatch: 0..0,
            normalised: Vec::new(),
            coefficients: LossCoefficients {
                clip_coef: config.clip_coef as f32,
                clip_vloss: config.clip_vloss,
                ent_coef: config.ent_coef as f32,
                vf_coef: config.vf_coef as f32,
            },
            config,
        })
    }

    /// Values, advantages and returns of every fragment, then everything flattened.
    fn estimate(&mut self, fragments: &[Fragment]) -> Result<(), AgentError> {
        let packed = Packed::new(&self.networks.critic, &self.params)?;
        let (critic, config) = (&self.networks.critic, &self.config);
        for_each_slice(&mut self.shards, |shard, work| {
            work.estimate(&fragments[shard], critic, &packed, config)
        })?;
        self.rollout.clear();
        for (fragment, work) in fragments.iter().zip(&self.shards) {
            self.rollout.extend(fragment, work);
        }
        Ok(())
    }

    /// Passes over the rollout; gives the sums over all updates, and over how many rows they are.
    fn passes(
        &mut self,
        slices: &mut [SliceWork],
        learning_rate: f64,
    ) -> Result<(LossSums, usize), AgentError> {
        let (mut sums, mut learned_rows) = (LossSums::default(), 0);
        for _ in 0..self.config.update_epochs {
            self.rng.shuffle(&mut self.order);
            let mut approx_kl = 0.0;
            for minibatch in 0..self.config.num_minibatches {
                self.minibatch = slice_range(self.order.len(), self.config.num_minibatches, minibatch);
                let rows = &self.order[self.minibatch.clone()];
                if rows.is_empty() {
                    // Where most agents have ended there can be fewer transitions than minibatches.
                    continue;
                }
                normalise(&self.rollout.advantages, rows, self.config.norm_adv, &mut self.normalised);
                for_each_slice(slices, |slice, work| self.backward(slice, work))?;
                let update = self.finish_update(slices, learning_rate)?;
                approx_kl = update.approx_kl / self.minibatch.len() as f64;
                sums.add(&update);
                learned_rows += self.minibatch.len();
            }
            if self.config.target_kl.is_some_and(|target| approx_kl > target) {
                break;
            }
        }
        Ok((sums, learned_rows))
    }

    /// Loss and gradient of one slice of the minibatch.
    fn backward(&self, slice: usize, work: &mut SliceWork) -> Result<(), AgentError> {
        let rows = &self.order[self.minibatch.clone()];
        let part = slice_range(rows.len(), self.config.gradient_slices, slice);
        work.grads.resize(self.params.len(), 0.0);
        if part.is_empty() {
            work.grads.fill(0.0);
            work.sums = LossSums::default();
            return Ok(());
        }
        let scale = 1.0 / rows.len() as f32;
        let advantages = &self.normalised[part.clone()];
        let observations =
            work.gathered.gather(&self.rollout, &rows[part], advantages, self.networks.num_actions)?;
        work.backward(&observations, &self.params, &self.networks, &self.coefficients, scale)
    }

    /// Sums the slices' gradients and takes the step.
    fn finish_update(
        &mut self,
        slices: &mut [SliceWork],
        learning_rate: f64,
    ) -> Result<LossSums, AgentError> {
        let Some((first, others)) = slices.split_first_mut() else { return Ok(LossSums::default()) };
        let mut sums = first.sums;
        others.iter().for_each(|work| sums.add(&work.sums));
        for (what, value) in [("policy loss", sums.policy_loss), ("value loss", sums.value_loss)] {
            if !value.is_finite() {
                return Err(AgentError::NotFinite { what, value, update: self.updates });
            }
        }
        let gradients: Vec<&[f32]> = others.iter().map(|work| work.grads.as_slice()).collect();
        let max_grad_norm = self.config.max_grad_norm;
        descend(
            &mut self.params,
            &mut self.optimizer,
            &mut first.grads,
            &gradients,
            max_grad_norm,
            learning_rate,
        )?;
        self.updates += 1;
        Ok(sums)
    }
}

impl Learner for Ppo {
    fn num_steps(&self) -> usize {
        self.config.num_steps
    }

    fn metric_names(&self) -> &'static [&'static str] {
        &[
            "charts/learning_rate",
            "losses/value_loss",
            "losses/policy_loss",
            "losses/entropy",
            "losses/old_approx_kl",
            "losses/approx_kl",
            "losses/clipfrac",
            "losses/explained_variance",
        ]
    }

    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        Ok(Arc::new(PpoPolicy {
            actor: self.networks.actor.clone(),
            packed: Packed::new(&self.networks.actor, &self.params)?,
            num_actions: self.networks.num_actions,
        }))
    }

    fn learn(&mut self, fragments: &[Fragment], env_steps: u64) -> Result<LearnReport, AgentError> {
        self.estimate(fragments)?;
        let steps: usize = fragments.iter().map(Fragment::rows).sum();
        // Schedules go by where the rollout began: the first update has the full step size.
        let began = env_steps - steps as u64;
        let learning_rate = self.learning_rate.at(began);
        self.coefficients.clip_coef = self.clip_coef.at(began) as f32;
        self.order.clear();
        self.order.extend(0..self.rollout.actions.len() as u32);

        // Taken out, so that slices can be written while they all read the rest of the learner.
        let mut slices = std::mem::take(&mut self.slices);
        let outcome = awake(slices.len() - 1, || self.passes(&mut slices, learning_rate));
        self.slices = slices;
        let (sums, rows) = outcome?;
        let mean = |sum: f64| sum / rows as f64;
        Ok(LearnReport {
            updates: self.updates,
            metrics: vec![
                learning_rate,
                mean(sums.value_loss),
                mean(sums.policy_loss),
                mean(sums.entropy),
                mean(sums.old_approx_kl),
                mean(sums.approx_kl),
                mean(sums.clipfrac),
                returns::explained_variance(&self.rollout.values, &self.rollout.returns),
            ],
        })
    }

    fn params(&self) -> Option<&Params> {
        Some(&self.params)
    }

    fn summary(&self) -> Option<Summary> {
        Some(self.networks.summary.clone())
    }

    fn save(&self) -> Result<Vec<u8>, AgentError> {
        encode(&Saved {
            params: self.params.as_slice().to_vec(),
            optimizer: self.optimizer.state(),
            rng: self.rng.clone(),
            updates: self.updates,
        })
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), AgentError> {
        let saved: Saved = decode(saved)?;
        // Everything is checked before anything is taken on.
        let params = restored_params(&self.params, &saved.params)?;
        let optimizer = restored_optimizer(&self.optimizer, saved.optimizer, &params)?;
        (self.params, self.optimizer) = (params, optimizer);
        self.rng = saved.rng;
        self.updates = saved.updates;
        Ok(())
    }
}

impl SliceWork {
    fn backward(
        &mut self,
        observations: &Input,
        params: &Params,
        networks: &Networks,
        coefficients: &LossCoefficients,
        scale: f32,
    ) -> Result<(), AgentError> {
        let gathered = &mut self.gathered;
        let mut tape = Tape::new();
        let [logits, values] = networks.forward(params, observations, &mut tape)?;
        let input = LossInput {
            num_actions: networks.num_actions,
            logits: logits.as_slice(),
            values: values.as_slice(),
            actions: &gathered.actions,
            old_log_probs: &gathered.log_probs,
            advantages: &gathered.advantages,
            returns: &gathered.returns,
            old_values: &gathered.values,
            action_masks: &gathered.action_masks,
        };
        let Gathered { probs, logit_grads, value_grads, .. } = gathered;
        self.sums = ppo_loss(&input, coefficients, scale, probs, logit_grads, value_grads)?;
        let outputs =
            [(&logits, gathered.logit_grads.as_slice()), (&values, gathered.value_grads.as_slice())];
        tape.backward(params, &outputs, &mut self.grads)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
