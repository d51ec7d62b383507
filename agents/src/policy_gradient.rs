//! What policy-gradient algorithms share: a rollout, the gradient of a loss over a minibatch of it, and the step.
//!
//! An algorithm brings the [`PolicyLoss`] of one transition and says which minibatches there are.

use std::sync::Arc;

use agon_envs::Pcg64;
use agon_nn::{LayoutBuilder, MemoryConfig, ModelConfig, OptimizerConfig, Schedule, Summary, Tape, Unroll};
use serde::{Deserialize, Serialize};

use crate::actor_critic::ActorCritic;
use crate::coefficient::Coefficient;
use crate::distribution::Evaluated;
use crate::estimator::{Estimator, ShardWork, Targets};
use crate::learner::{self, GivesUp, PolicyInfo, RunInfo, Spaces, stream};
use crate::minibatch::{Gathered, MinibatchScale};
use crate::network;
use crate::part::{self, Part, SavedPart};
use crate::rnd::Bonus;
use crate::rollout::Rollout;
use crate::settings::{above_zero, at_least_one, at_least_zero, learning};
use crate::slices::{Slice, Sums, awake, for_each, for_each_slice, slice_range, slices};
use crate::{AgentError, Fragment, Policy, Weights, error};

/// What a loss reads of one transition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Transition {
    /// Log-probability of the action under the current policy.
    pub(crate) log_prob: f32,
    /// Under the policy that acted.
    pub(crate) old_log_prob: f32,
    /// Advantage of the action.
    pub(crate) advantage: f32,
    /// The current value estimate.
    pub(crate) value: f32,
    /// The estimate before the update.
    pub(crate) old_value: f32,
    /// What values are regressed on.
    pub(crate) target: f32,
}

/// The derivatives of a transition's loss.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct TransitionGradient {
    /// With respect to the action's log-probability.
    pub(crate) log_prob: f32,
    /// With respect to the value.
    pub(crate) value: f32,
}

/// Sums over transitions; divided by their number they are CleanRL's metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct LossSums {
    /// Loss of the policy.
    pub(crate) policy_loss: f64,
    /// Half the squared error of the values.
    pub(crate) value_loss: f64,
    /// Entropy of the policy.
    pub(crate) entropy: f64,
    /// `−log ratio`.
    pub(crate) old_approx_kl: f64,
    /// `ratio − 1 − log ratio`: Schulman's estimator k3.
    pub(crate) approx_kl: f64,
    /// Transitions whose ratio was clipped.
    pub(crate) clipfrac: f64,
}

impl Sums for LossSums {
    fn add(&mut self, other: &Self) {
        self.policy_loss += other.policy_loss;
        self.value_loss += other.value_loss;
        self.entropy += other.entropy;
        self.old_approx_kl += other.old_approx_kl;
        self.approx_kl += other.approx_kl;
        self.clipfrac += other.clipfrac;
    }
}

/// The loss of one transition, without its entropy bonus.
pub(crate) trait PolicyLoss: Sync {
    /// Adds the transition to the sums and gives its gradient.
    fn gradient(&self, transition: &Transition, sums: &mut LossSums) -> TransitionGradient;

    /// Weight of the entropy bonus.
    fn ent_coef(&self) -> f32;

    /// Weight of the value loss.
    fn vf_coef(&self) -> f32;
}

/// `−A ln π + vf_coef · ½ (V − G)² − ent_coef · H` of a transition.
///
/// # Source
/// Mnih et al. (2016), arXiv:1602.01783, section 4.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ActorCriticLoss {
    /// Weight of the entropy bonus.
    pub(crate) ent_coef: f32,
    /// Weight of the value loss.
    pub(crate) vf_coef: f32,
}

impl PolicyLoss for ActorCriticLoss {
    fn gradient(&self, transition: &Transition, sums: &mut LossSums) -> TransitionGradient {
        let &Transition { log_prob, old_log_prob, advantage, value, target, .. } = transition;
        let (error, log_ratio) = (value - target, log_prob - old_log_prob);
        sums.policy_loss -= f64::from(advantage * log_prob);
        sums.value_loss += f64::from(0.5 * error * error);
        sums.old_approx_kl -= f64::from(log_ratio);
        sums.approx_kl += f64::from(log_ratio.exp() - 1.0 - log_ratio);
        TransitionGradient { log_prob: -advantage, value: self.vf_coef * error }
    }

    fn ent_coef(&self) -> f32 {
        self.ent_coef
    }

    fn vf_coef(&self) -> f32 {
        self.vf_coef
    }
}

/// The settings that every policy-gradient algorithm has.
pub(crate) struct Settings {
    pub(crate) algorithm: &'static str,
    pub(crate) num_steps: usize,
    /// Ticks of the sequences that a network with a memory learns from; whole rollouts if none.
    pub(crate) sequence_length: Option<usize>,
    pub(crate) num_minibatches: usize,
    pub(crate) learning_rate: Coefficient,
    pub(crate) anneal_lr: bool,
    pub(crate) gamma: f64,
    pub(crate) ent_coef: Coefficient,
    pub(crate) vf_coef: f64,
    pub(crate) max_grad_norm: f64,
    pub(crate) optimizer: OptimizerConfig,
    pub(crate) gradient_slices: usize,
    pub(crate) share_encoder: bool,
    /// Value functions: one, or another one for a bonus.
    pub(crate) values: usize,
}

impl Settings {
    fn layout(
        &self,
        network: &ModelConfig,
        spaces: &Spaces,
    ) -> Result<(ActorCritic, LayoutBuilder), AgentError> {
        ActorCritic::layout(self.algorithm, network, self.share_encoder, self.values, spaces)
    }

    /// The policy of given weights, but for those whose names begin with one of `others`.
    pub(crate) fn policy_from(
        &self,
        network: &ModelConfig,
        info: &PolicyInfo,
        weights: &Weights,
        others: &[&str],
    ) -> Result<Arc<dyn Policy>, AgentError> {
        let (networks, builder) = self.layout(network, &info.spaces)?;
        let params = weights.params(builder, others)?;
        networks.policy(&params)
    }

    fn sequence_length(&self) -> usize {
        self.sequence_length.unwrap_or(self.num_steps)
    }

    fn validate(&self, network: &ModelConfig, info: &RunInfo) -> Result<(), AgentError> {
        learning!(self).validate()?;
        at_least_one(&[("num_steps", self.num_steps as u64)])?;
        self.ent_coef.ensure_at_least_zero("ent_coef")?;
        at_least_zero(&[("vf_coef", self.vf_coef)])?;
        above_zero(&[("max_grad_norm", self.max_grad_norm)])?;
        let sequence_length = self.sequence_length();
        if sequence_length == 0 || !self.num_steps.is_multiple_of(sequence_length) {
            let expected = format!("a divisor of num_steps = {}", self.num_steps);
            return Err(AgentError::setting("sequence_length", expected, sequence_length));
        }
        let steps = info.num_rows().saturating_mul(self.num_steps);
        let (what, units) = match network.memory {
            MemoryConfig::None => ("num_envs * num_agents * num_steps", steps),
            _ => ("num_envs * num_agents * num_steps / sequence_length", steps / sequence_length),
        };
        if self.num_minibatches == 0 || !units.is_multiple_of(self.num_minibatches) {
            let expected = format!("a divisor of {what} = {units}");
            return Err(AgentError::setting("num_minibatches", expected, self.num_minibatches));
        }
        Ok(())
    }
}

/// How often a rollout is passed over.
pub(crate) struct Passes {
    pub(crate) update_epochs: usize,
    pub(crate) num_minibatches: usize,
    /// Whether advantages are normalised in each minibatch.
    pub(crate) norm_adv: bool,
    /// Ends the passes once `approx_kl` of a pass's last minibatch exceeds it.
    pub(crate) target_kl: Option<f64>,
}

/// Networks, rollout and optimizer of a policy-gradient learner.
pub(crate) struct PolicyGradient {
    pub(crate) networks: ActorCritic,
    pub(crate) part: Part,
    rng: Pcg64,
    learning_rate: Schedule,
    ent_coef: Schedule,
    pub(crate) updates: u64,
    pub(crate) rollout: Rollout,
    shards: Vec<ShardWork>,
    slices: Vec<Slice<SliceWork, LossSums>>,
    max_grad_norm: f64,
    /// Rows of the current minibatch.
    rows: Vec<u32>,
}

/// What is saved of one.
#[derive(Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) parts: Vec<SavedPart>,
    rng: Pcg64,
    updates: u64,
}

impl PolicyGradient {
    /// Checks the settings, and initialises networks from the run's seed.
    pub(crate) fn new(
        settings: &Settings,
        network: &ModelConfig,
        info: &RunInfo,
    ) -> Result<Self, AgentError> {
        settings.validate(network, info)?;
        let (networks, builder) = settings.layout(network, &info.spaces)?;
        let params = builder.build(stream(info.seed, 0));
        let dtype = network::dtype(&info.spaces.observation);
        Ok(Self {
            rollout: Rollout::new(&networks, dtype, &info.spaces.action, settings.sequence_length()),
            part: Part::trained("", params, settings.optimizer)?,
            rng: Pcg64::seed_from(stream(info.seed, 1)),
            learning_rate: settings.learning_rate.annealed(settings.anneal_lr, info.total_timesteps),
            ent_coef: settings.ent_coef.schedule(info.total_timesteps),
            networks,
            updates: 0,
            shards: (0..info.num_shards).map(|_| ShardWork::default()).collect(),
            slices: slices(settings.gradient_slices),
            max_grad_norm: settings.max_grad_norm,
            rows: Vec::new(),
        })
    }

    /// Values, advantages and targets of every fragment, then everything flattened.
    pub(crate) fn estimate(&mut self, fragments: &[Fragment], targets: Targets) -> Result<(), AgentError> {
        self.estimate_with(fragments, targets, None)
    }

    /// As [`Self::estimate`], with a bonus if there is one.
    pub(crate) fn estimate_with(
        &mut self,
        fragments: &[Fragment],
        targets: Targets,
        bonus: Option<&Bonus>,
    ) -> Result<(), AgentError> {
        let sequence_length = self.rollout.sequence_length;
        let estimator = Estimator::new(&self.networks, &self.part.params, sequence_length, targets)?;
        // Workspaces go by the fragments' positions: which shard one is of does not matter here.
        for_each(&mut self.shards, |position, work| {
            estimator.estimate(&fragments[position], work)?;
            if let Some(bonus) = bonus {
                estimator.add_bonus(&fragments[position], work, bonus, position);
            }
            Ok::<_, AgentError>(())
        })?;
        self.rollout.clear();
        let mut estimated = fragments.iter().zip(&self.shards);
        estimated.try_for_each(|(fragment, work)| self.rollout.extend(fragment, work))
    }

    /// Passes over the rollout, each in a new random order and minibatch by minibatch.
    ///
    /// Gives the sums over all updates, and over how many transitions they are.
    pub(crate) fn passes(
        &mut self,
        passes: &Passes,
        loss: &impl PolicyLoss,
        learning_rate: f64,
        gives_up: &mut GivesUp<'_>,
    ) -> Result<(LossSums, usize), AgentError> {
        awake(self.slices.len() - 1, || {
            let (mut sums, mut learned) = (LossSums::default(), 0);
            let mut order: Vec<u32> = (0..self.rollout.units() as u32).collect();
            for _ in 0..passes.update_epochs {
                self.rng.shuffle(&mut order);
                let mut approx_kl = 0.0;
                for index in 0..passes.num_minibatches {
                    learner::go_on(gives_up)?;
                    let units = &order[slice_range(order.len(), passes.num_minibatches, index)];
                    let (update, transitions) = self.update(units, loss, passes.norm_adv, learning_rate)?;
                    if transitions > 0 {
                        approx_kl = update.approx_kl / transitions as f64;
                    }
                    sums.add(&update);
                    learned += transitions;
                }
                if passes.target_kl.is_some_and(|target| approx_kl > target) {
                    break;
                }
            }
            Ok((sums, learned))
        })
    }

    /// One gradient step on some units of the rollout; gives the sums and how many transitions they are over.
    fn update(
        &mut self,
        units: &[u32],
        loss: &impl PolicyLoss,
        norm_adv: bool,
        learning_rate: f64,
    ) -> Result<(LossSums, usize), AgentError> {
        self.rollout.rows(units, &mut self.rows);
        let scale = MinibatchScale::of(&self.rollout.advantages_of(&self.rows), norm_adv);
        if scale.transitions == 0 {
            // Where most agents have ended there can be minibatches without a transition.
            return Ok((LossSums::default(), 0));
        }
        // Taken out, so that slices can be written while they all read the rest.
        let mut slices = std::mem::take(&mut self.slices);
        let len = self.part.params.len();
        let outcome = for_each_slice(&mut slices, units.len(), len, |range, work, grads| {
            work.backward(self, &units[range], loss, scale, grads)
        });
        let outcome = outcome.and_then(|sums| self.step(sums, &mut slices, learning_rate));
        self.slices = slices;
        Ok((outcome?, scale.transitions))
    }

    /// Takes the step of a minibatch whose sums are these.
    fn step(
        &mut self,
        sums: LossSums,
        slices: &mut [Slice<SliceWork, LossSums>],
        learning_rate: f64,
    ) -> Result<LossSums, AgentError> {
        for (what, value) in [("policy loss", sums.policy_loss), ("value loss", sums.value_loss)] {
            error::ensure_finite(what, value, self.updates)?;
        }
        self.part.descend(slices, self.max_grad_norm, learning_rate)?;
        self.updates += 1;
        Ok(sums)
    }

    /// The step size of updates on a rollout that began after so many environment steps: the first ones of a run have the
    /// The weight of the entropy bonus after so many environment steps.
    pub(crate) fn ent_coef(&self, env_steps: u64) -> f32 {
        self.ent_coef.at(env_steps) as f32
    }

    /// full one.
    pub(crate) fn learning_rate(&self, began: u64) -> f64 {
        self.learning_rate.at(began)
    }

    pub(crate) fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        self.networks.policy(&self.part.params)
    }

    pub(crate) fn weights(&self) -> Weights {
        part::weights(&[&self.part])
    }

    pub(crate) fn load_weights(&mut self, weights: &Weights) -> Result<(), AgentError> {
        part::load_weights(&mut [&mut self.part], weights)
    }

    pub(crate) fn summary(&self) -> Summary {
        self.networks.summary().clone()
    }

    pub(crate) fn save(&self) -> Saved {
        Saved { parts: part::save(&[&self.part]), rng: self.rng.clone(), updates: self.updates }
    }

    /// Takes on a saved state, after everything has been checked.
    pub(crate) fn restore(&mut self, saved: Saved) -> Result<(), AgentError> {
        part::restored(&[&self.part], saved.parts)?.put(&mut [&mut self.part]);
        (self.rng, self.updates) = (saved.rng, saved.updates);
        Ok(())
    }
}

/// Working memory of one gradient slice.
#[derive(Debug, Default)]
struct SliceWork {
    gathered: Gathered,
    evaluated: Evaluated,
    /// Gradients of log-probabilities, `[B]`, entropies, `[B]`, and values, `[B, V]`.
    by_row: [Vec<f32>; 3],
    output_grads: Vec<f32>,
}

impl SliceWork {
    /// Losses and gradient of one slice of a minibatch.
    fn backward(
        &mut self,
        learner: &PolicyGradient,
        units: &[u32],
        loss: &impl PolicyLoss,
        scale: MinibatchScale,
        grads: &mut [f32],
    ) -> Result<LossSums, AgentError> {
        let PolicyGradient { networks, part: Part { params, .. }, rollout, .. } = learner;
        let x = self.gathered.gather(rollout, units)?;
        let Self { gathered, evaluated, by_row, output_grads } = self;
        let mut sums = LossSums::default();
        let mut tape = Tape::new();
        let unroll = Unroll::new(gathered.sequence_length(units.len())).resets(&gathered.resets);
        let [outputs, values] = networks.forward(params, &x, gathered.states.as_ref(), &unroll, &mut tape)?;
        let (distribution, actions) = (&networks.distribution, &gathered.actions);
        distribution.evaluate(outputs.as_slice(), &gathered.action_masks, actions, evaluated)?;

        let rows = gathered.rows.len();
        let value_width = values.columns();
        let [log_prob_grads, entropy_grads, value_grads] = by_row;
        for (grads, width) in [(&mut *log_prob_grads, 1), (entropy_grads, 1), (value_grads, value_width)] {
            grads.clear();
            grads.resize(rows * width, 0.0);
        }
        let weight = 1.0 / scale.transitions as f32;
        for (i, &row) in gathered.rows.iter().enumerate() {
            let row = row as usize;
            if !rollout.active[row] {
                continue;
            }
            let transition = Transition {
                log_prob: evaluated.log_probs[i],
                old_log_prob: rollout.log_probs[row],
                advantage: scale.scaled(rollout.advantages[row]),
                value: values.as_slice()[i * value_width],
                old_value: rollout.values[row],
                target: rollout.returns[row],
            };
            let gradient = loss.gradient(&transition, &mut sums);
            sums.entropy += f64::from(evaluated.entropies[i]);
            log_prob_grads[i] = weight * gradient.log_prob;
            entropy_grads[i] = -weight * loss.ent_coef();
            value_grads[i * value_width] = weight * gradient.value;
            if let Some(target) = rollout.bonus_returns.get(row) {
                let error = values.as_slice()[i * value_width + 1] - target;
                sums.value_loss += f64::from(0.5 * error * error);
                value_grads[i * value_width + 1] = weight * loss.vf_coef() * error;
            }
        }
        output_grads.resize(outputs.as_slice().len(), 0.0);
        distribution.gradient(evaluated, actions, log_prob_grads, entropy_grads, output_grads)?;
        let gradients = [(&outputs, output_grads.as_slice()), (&values, value_grads.as_slice())];
        tape.backward(params, &gradients, grads)?;
        Ok(sums)
    }
}

/// The environment steps that the fragments of an iteration hold.
pub(crate) fn steps_of(fragments: &[Fragment]) -> usize {
    fragments.iter().map(Fragment::env_steps).sum()
}

#[cfg(test)]
mod tests;
