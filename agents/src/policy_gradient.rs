//! What policy-gradient algorithms share: a rollout, the gradient of a loss over a minibatch of it, and the step.
//!
//! An algorithm brings the [`PolicyLoss`] of one transition and says which minibatches there are.

use std::sync::Arc;

use agon_envs::{Pcg64, Space};
use agon_nn::team;
use agon_nn::{
    LayoutBuilder, Matrix, MemoryConfig, ModelConfig, OptimizerConfig, Schedule, Summary, Tape, Unroll,
};
use serde::{Deserialize, Serialize};

use crate::actor_critic::{ActorCritic, Values};
use crate::augmentation::PolicyAugmentation;
use crate::coefficient::Coefficient;
use crate::distribution::{Distribution, Evaluated};
use crate::divergence::Pair;
use crate::division::{self, Minibatch};
use crate::error::ensure;
use crate::estimator::{Estimator, ShardWork, Targets};
use crate::guide::Guide;
use crate::learner::{self, GivesUp, PolicyInfo, RunInfo, Spaces, stream};
use crate::minibatch::{Gathered, MinibatchScale};
use crate::network;
use crate::observations::Observations;
use crate::part::{self, Part, SavedPart};
use crate::permutation;
use crate::policy_loss::{LossSums, PolicyLoss, TransitionGradients, Transitions, sum};
use crate::popart::{PopArtConfig, task_of};
use crate::private_gradient::PrivateGradientConfig;
use crate::rnd::Bonus;
use crate::rollout::Rollout;
use crate::settings::{above_zero, at_least_one, at_least_zero, learning};
use crate::slices::{self, Slice, Sums, for_each, for_each_slice, slice_range, slices};
use crate::view_loss::{Said, ViewLoss};
use crate::{AgentError, Fragment, Policy, Weights, error};

/// The settings that every policy-gradient algorithm has.
pub struct Settings {
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
    /// Slices of a minibatch; as many as suit it if none.
    pub(crate) gradient_slices: Option<usize>,
    pub(crate) share_encoder: bool,
    /// Whether there is another value function, for a bonus.
    pub(crate) bonus: bool,
    pub(crate) popart: Option<PopArtConfig>,
    pub(crate) augmentation: Option<PolicyAugmentation>,
    pub(crate) private: Option<PrivateGradientConfig>,
}

impl Settings {
    fn layout(
        &self,
        network: &ModelConfig,
        spaces: &Spaces,
    ) -> Result<(ActorCritic, LayoutBuilder), AgentError> {
        let values = match (self.bonus, self.popart) {
            (true, _) => Values::WithBonus,
            (false, Some(_)) => Values::PerTask,
            (false, None) => Values::One,
        };
        ActorCritic::layout(self.algorithm, network, self.share_encoder, values, spaces)
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

    /// The slices of a minibatch: those that are set, or as many as it is worth. None if there can be no networks.
    pub(crate) fn slices(&self, network: &ModelConfig, info: &RunInfo) -> Option<usize> {
        let suitable = || Some(self.minibatch(&self.layout(network, &info.spaces).ok()?.0, info).slices());
        self.gradient_slices.or_else(suitable)
    }

    /// Ticks of what minibatches are made of: of a sequence, of a trajectory that is protected as a whole, or one.
    fn unit_rows(&self, networks: &ActorCritic) -> usize {
        let is_one = networks.state_len() == 0 && self.private.is_none();
        if is_one { 1 } else { self.sequence_length().max(1) }
    }

    fn minibatch(&self, networks: &ActorCritic, info: &RunInfo) -> Minibatch {
        let unit_rows = self.unit_rows(networks);
        let rows = info.num_rows().saturating_mul(self.num_steps);
        let units = rows / unit_rows / self.num_minibatches.max(1);
        Minibatch::new(networks.summary(), &info.spaces, units, unit_rows)
    }

    fn validate(&self, network: &ModelConfig, info: &RunInfo) -> Result<(), AgentError> {
        learning!(self).validate()?;
        at_least_one(&[("num_steps", self.num_steps as u64)])?;
        self.ent_coef.ensure_at_least_zero("ent_coef")?;
        at_least_zero(&[("vf_coef", self.vf_coef)])?;
        above_zero(&[("max_grad_norm", self.max_grad_norm)])?;
        if let Some(popart) = self.popart {
            popart.validate()?;
            ensure(!self.bonus, "popart", "none beside a bonus, which has a value of its own", "both")?;
            ensure(self.augmentation.is_none(), "popart", "none beside augmentation", "both")?;
        }
        let sequence_length = self.sequence_length();
        if sequence_length == 0 || !self.num_steps.is_multiple_of(sequence_length) {
            let expected = format!("a divisor of num_steps = {}", self.num_steps);
            return Err(AgentError::setting("sequence_length", expected, sequence_length));
        }
        if let Some(private) = self.private {
            private.validate()?;
            let (expected, found) =
                ("that of num_steps: what is protected is a whole rollout", sequence_length);
            ensure(sequence_length == self.num_steps, "sequence_length", expected, found)?;
            ensure(self.popart.is_none(), "popart", "none beside private, which it would undo", "both")?;
            let expected = "none in environments of several agents, which share a trajectory";
            ensure(info.num_agents == 1, "private", expected, format!("{} agents", info.num_agents))?;
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
pub struct PolicyGradient {
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
    minibatch: Minibatch,
    /// How far PopArt's statistics move in an iteration.
    beta: f64,
    view_loss: Option<ViewLoss>,
    teacher: Option<(Guide, f32)>,
    private: Option<PrivateGradientConfig>,
}

/// Passes whose orders are made at once.
const AHEAD: usize = 8;

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
        let rows_of = |space: &Space| Observations::new(network::dtype(space), space.packed_len());
        let rows = (rows_of(&info.spaces.observation), info.privileged.as_ref().map(rows_of));
        let minibatch = settings.minibatch(&networks, info);
        let count = settings.gradient_slices.unwrap_or_else(|| minibatch.slices());
        let view_loss = |augmentation| ViewLoss::new(augmentation, &info.spaces);
        Ok(Self {
            teacher: None,
            private: settings.private,
            beta: settings.popart.map_or(0.0, |popart| popart.beta),
            view_loss: settings.augmentation.as_ref().map(view_loss).transpose()?,
            minibatch,
            rollout: Rollout::new(&networks, rows, &info.spaces.action, settings.unit_rows(&networks)),
            part: Part::trained("", params, settings.optimizer)?,
            rng: Pcg64::seed_from(stream(info.seed, 1)),
            learning_rate: settings.learning_rate.annealed(settings.anneal_lr, info.total_timesteps),
            ent_coef: settings.ent_coef.schedule(info.total_timesteps),
            networks,
            updates: 0,
            shards: (0..info.num_shards).map(|_| ShardWork::default()).collect(),
            slices: slices(count),
            max_grad_norm: settings.max_grad_norm,
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
        if let Some(popart) = &self.networks.popart {
            popart.follow(&mut self.part.params, fragments, &self.shards, self.beta);
            let scales = popart.scales(&self.part.params);
            for_each(&mut self.shards, |position, work| {
                scales.normalise(&fragments[position], work);
                Ok::<_, AgentError>(())
            })?;
        }
        self.rollout.fill(fragments, &self.shards)?;
        match &self.teacher {
            Some((guide, coef)) if *coef > 0.0 => {
                self.rollout.ask(guide, self.networks.distribution.outputs())
            }
            _ => Ok(()),
        }
    }

    /// Learns from a teacher too.
    ///
    /// # Errors
    /// If its outputs are not what the policy's are.
    pub(crate) fn follow(&mut self, guide: Guide) -> Result<(), AgentError> {
        let discrete = matches!(self.networks.distribution, Distribution::Categorical { .. });
        if guide.chooses() != discrete {
            let (expected, found) = ("a teacher of the student's kind of actions", "another".to_owned());
            return Err(AgentError::Unsupported { algorithm: "learning from a teacher", expected, found });
        }
        self.teacher = Some((guide, 0.0));
        Ok(())
    }

    /// How much the teacher counts.
    pub(crate) fn set_guidance(&mut self, coef: f64) {
        self.teacher.iter_mut().for_each(|(_, now)| *now = coef as f32);
    }

    /// How much the teacher counts; NaN without one.
    pub(crate) fn guidance(&self) -> f64 {
        self.teacher.as_ref().map_or(f64::NAN, |(_, coef)| f64::from(*coef))
    }

    /// Threads beside one that have something to do in an iteration.
    pub(crate) fn helpers(&self) -> usize {
        self.slices.len().max(self.shards.len()) - 1
    }

    /// Slices of a minibatch.
    pub(crate) fn gradient_slices(&self) -> usize {
        self.slices.len()
    }

    /// As [`learner::Learner::remarks`]; `settings` are those that make minibatches larger.
    pub(crate) fn remarks(&self, threads: usize, settings: &str) -> Vec<String> {
        let rows = self.minibatch.units * self.minibatch.unit_rows;
        division::remark(rows, self.slices.len(), threads, settings).into_iter().collect()
    }

    /// Passes over the rollout, each in a new random order, if that matters, and minibatch by minibatch.
    ///
    /// Gives the sums over all updates, and over how many transitions they are.
    pub(crate) fn passes(
        &mut self,
        passes: &Passes,
        loss: &impl PolicyLoss,
        learning_rate: f64,
        gives_up: &mut GivesUp<'_>,
    ) -> Result<(LossSums, usize), AgentError> {
        let (mut sums, mut learned) = (LossSums::default(), 0);
        for first in (0..passes.update_epochs).step_by(AHEAD) {
            let (orders, scales) = self.orders(passes, AHEAD.min(passes.update_epochs - first));
            for (units, scales) in orders.iter().zip(scales.chunks(passes.num_minibatches)) {
                let mut approx_kl = 0.0;
                for (index, &scale) in scales.iter().enumerate() {
                    learner::go_on(gives_up)?;
                    if scale.transitions == 0 {
                        // Where most agents have ended there can be minibatches without a transition.
                        continue;
                    }
                    let units = &units[slice_range(units.len(), scales.len(), index)];
                    let update = self.update(units, loss, scale, learning_rate)?;
                    approx_kl = update.approx_kl / scale.transitions as f64;
                    sums.add(&update);
                    learned += scale.transitions;
                }
                if passes.target_kl.is_some_and(|target| approx_kl > target) {
                    return Ok((sums, learned));
                }
            }
        }
        Ok((sums, learned))
    }

    /// The orders of the next passes, and the scales of their minibatches, one pass after the other.
    fn orders(&mut self, passes: &Passes, count: usize) -> (Vec<Vec<u32>>, Vec<MinibatchScale>) {
        let (rollout, minibatches) = (&self.rollout, passes.num_minibatches);
        let seeds: Vec<u64> = (0..count).map(|_| self.rng.next_u64()).collect();
        let orders = match minibatches {
            // The order within a minibatch does not matter.
            1 => vec![(0..rollout.units() as u32).collect(); count],
            _ => permutation::orders(&seeds, rollout.units()),
        };
        let mut scales = vec![MinibatchScale::of(&[], false); count * minibatches];
        team::for_each(&mut scales, |index, scale| {
            let units = &orders[index / minibatches];
            let range = slice_range(units.len(), minibatches, index % minibatches);
            *scale = MinibatchScale::of(&rollout.advantages_of(&units[range]), passes.norm_adv);
        });
        (orders, scales)
    }

    /// One gradient step on some units of the rollout; gives the sums.
    fn update(
        &mut self,
        units: &[u32],
        loss: &impl PolicyLoss,
        scale: MinibatchScale,
        learning_rate: f64,
    ) -> Result<LossSums, AgentError> {
        // Taken out, so that slices can be written while they all read the rest.
        let mut slices = std::mem::take(&mut self.slices);
        let len = self.part.params.len();
        let seed = self.view_loss.as_ref().map_or(0, |_| self.rng.next_u64());
        let outcome =
            for_each_slice(&mut slices, units.len(), len, |range, work, grads| match self.private {
                None => work.backward(self, &units[range], loss, (scale, seed), grads),
                Some(private) => {
                    work.clipped(self, (&units[range], units.len()), loss, (scale, private), grads)
                }
            });
        if let Some(private) = self.private {
            let mut rng = Pcg64::seed_from(self.rng.next_u64());
            let layout = self.part.params.layout();
            slices::add(&mut slices, |mean| private.add_noise(mean, layout, units.len(), &mut rng));
        }
        let outcome = outcome.and_then(|sums| self.step(sums, &mut slices, learning_rate));
        self.slices = slices;
        outcome
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

    /// The weight of the entropy bonus after so many environment steps.
    pub(crate) fn ent_coef(&self, env_steps: u64) -> f32 {
        self.ent_coef.at(env_steps) as f32
    }

    /// The step size of updates on a rollout that began after so many environment steps: the first ones of a run have the
    /// full one.
    pub(crate) fn learning_rate(&self, began: u64) -> f64 {
        self.learning_rate.at(began)
    }

    pub(crate) fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        self.networks.policy(&self.part.params)
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
    columns: Columns,
    output_grads: Vec<f32>,
    /// The gradient of one trajectory.
    own: Vec<f32>,
}

/// A number for each row, `[B]`.
#[derive(Debug, Default)]
struct Columns {
    old_log_probs: Vec<f32>,
    advantages: Vec<f32>,
    values: Vec<f32>,
    old_values: Vec<f32>,
    targets: Vec<f32>,
    log_prob_grads: Vec<f32>,
    entropy_grads: Vec<f32>,
    of_values: Vec<f32>,
    /// `[B, V]`.
    value_grads: Vec<f32>,
}

impl SliceWork {
    /// Losses and gradient of one slice of so many trajectories, of which each has its own share, clipped.
    fn clipped(
        &mut self,
        learner: &PolicyGradient,
        (units, of): (&[u32], usize),
        loss: &impl PolicyLoss,
        (scale, private): (MinibatchScale, PrivateGradientConfig),
        grads: &mut [f32],
    ) -> Result<LossSums, AgentError> {
        grads.fill(0.0);
        let mut own = std::mem::take(&mut self.own);
        own.resize(grads.len(), 0.0);
        let mut total = LossSums::default();
        for unit in units {
            let transitions = learner.rollout.advantages_of(&[*unit]).len();
            if transitions == 0 {
                continue;
            }
            let scale = MinibatchScale { transitions, ..scale };
            total.add(&self.backward(learner, &[*unit], loss, (scale, 0), &mut own)?);
            total.clipped += f64::from(private.add(grads, &own, of, learner.updates)?);
        }
        self.own = own;
        Ok(total)
    }

    /// Losses and gradient of one slice of a minibatch.
    fn backward(
        &mut self,
        learner: &PolicyGradient,
        units: &[u32],
        loss: &impl PolicyLoss,
        (scale, seed): (MinibatchScale, u64),
        grads: &mut [f32],
    ) -> Result<LossSums, AgentError> {
        let PolicyGradient { networks, part: Part { params, .. }, rollout, view_loss, teacher, .. } = learner;
        let x = self.gathered.gather(rollout, units)?;
        let Self { gathered, evaluated, columns, output_grads, .. } = self;
        let mut tape = Tape::new();
        let unroll = Unroll::new(gathered.sequence_length(units.len())).resets(&gathered.resets);
        let [outputs, values] = networks.forward(params, &x, gathered.states.as_ref(), &unroll, &mut tape)?;
        let (distribution, actions) = (&networks.distribution, &gathered.actions);
        distribution.evaluate(outputs.as_slice(), &gathered.action_masks, actions, evaluated)?;
        let mut sums = columns.losses(rollout, &gathered.rows, &values, evaluated, loss, scale);
        output_grads.resize(outputs.as_slice().len(), 0.0);
        let weight = 1.0 / scale.transitions as f32;
        let weights = |weight: f32| -> Vec<f32> {
            let active = gathered.rows.iter().map(|&row| rollout.active[row as usize]);
            active.map(|active| if active { weight } else { 0.0 }).collect()
        };
        let Columns { log_prob_grads, entropy_grads, value_grads, .. } = columns;
        distribution.gradient(evaluated, actions, log_prob_grads, entropy_grads, output_grads)?;
        if teacher.as_ref().is_some_and(|(guide, _)| !guide.rewards()) {
            output_grads.fill(0.0);
        }
        if let Some((_, coef)) = teacher.as_ref().filter(|(_, coef)| *coef > 0.0) {
            let target = rollout.guidance_of(&gathered.rows);
            let weights = weights(coef * weight);
            let pair = Pair { target: &target, outputs: outputs.as_slice(), weights: &weights };
            let loss = distribution.add_divergence(pair, &gathered.action_masks, output_grads)?;
            sums.teacher_loss = loss / f64::from(coef * weight);
        }
        let mut gradients = vec![(&outputs, output_grads.as_slice()), (&values, value_grads.as_slice())];
        let of_view;
        if let Some(view_loss) = view_loss {
            let said = (&x, Said { outputs: &outputs, values: &values });
            let weights = weights(weight);
            of_view = view_loss.compare(networks, params, gathered, said, (&weights, seed), &mut tape)?;
            sums.view_loss = of_view.loss / f64::from(weight);
            gradients.push((&of_view.outputs, &of_view.output_grads));
            gradients.push((&of_view.values, &of_view.value_grads));
        }
        tape.backward(params, &gradients, grads)?;
        Ok(sums)
    }
}

impl Columns {
    /// The losses of some rows, and their gradients.
    fn losses(
        &mut self,
        rollout: &Rollout,
        rows: &[u32],
        values: &Matrix,
        evaluated: &mut Evaluated,
        loss: &impl PolicyLoss,
        scale: MinibatchScale,
    ) -> LossSums {
        let (count, width, values) = (rows.len(), values.columns(), values.as_slice());
        // Of each row the value as its task.
        let value_of = |(i, &row): (usize, &u32)| i * width + task_of(&rollout.tasks, row as usize);
        let weight = 1.0 / scale.transitions as f32;
        let picked = |to: &mut Vec<f32>, from: &[f32]| {
            to.clear();
            to.extend(rows.iter().map(|&row| from[row as usize]));
        };
        picked(&mut self.old_log_probs, &rollout.log_probs);
        picked(&mut self.advantages, &rollout.advantages);
        self.advantages.iter_mut().for_each(|advantage| *advantage = scale.scaled(*advantage));
        picked(&mut self.old_values, &rollout.values);
        picked(&mut self.targets, &rollout.returns);
        self.values.clear();
        self.values.extend(rows.iter().enumerate().map(|row| values[value_of(row)]));
        self.log_prob_grads.resize(count, 0.0);
        self.of_values.resize(count, 0.0);
        self.entropy_grads.clear();
        self.entropy_grads.resize(count, -weight * loss.ent_coef());
        self.leave_out(rollout, rows, evaluated);
        let transitions = Transitions {
            log_probs: &evaluated.log_probs,
            old_log_probs: &self.old_log_probs,
            advantages: &self.advantages,
            values: &self.values,
            old_values: &self.old_values,
            targets: &self.targets,
        };
        let gradients =
            TransitionGradients { log_probs: &mut self.log_prob_grads, values: &mut self.of_values };
        let mut sums = loss.gradients(&transitions, gradients);
        sums.entropy = sum(&evaluated.entropies);
        self.log_prob_grads.iter_mut().for_each(|grad| *grad *= weight);
        self.value_grads.clear();
        self.value_grads.resize(count * width, 0.0);
        for (row, grad) in rows.iter().enumerate().zip(&self.of_values) {
            self.value_grads[value_of(row)] = weight * grad;
        }
        if !rollout.bonus_returns.is_empty() {
            for (i, &row) in rows.iter().enumerate().filter(|(_, row)| rollout.active[**row as usize]) {
                let error = values[i * width + 1] - rollout.bonus_returns[row as usize];
                sums.value_loss += f64::from(0.5 * error * error);
                self.value_grads[i * width + 1] = weight * loss.vf_coef() * error;
            }
        }
        sums
    }

    /// Makes rows that are no transitions ones without loss or gradient.
    fn leave_out(&mut self, rollout: &Rollout, rows: &[u32], evaluated: &mut Evaluated) {
        if rollout.all_active {
            return;
        }
        for (i, _) in rows.iter().enumerate().filter(|(_, row)| !rollout.active[**row as usize]) {
            (evaluated.log_probs[i], evaluated.entropies[i]) = (0.0, 0.0);
            (self.old_log_probs[i], self.advantages[i], self.entropy_grads[i]) = (0.0, 0.0, 0.0);
            (self.values[i], self.old_values[i], self.targets[i]) = (0.0, 0.0, 0.0);
        }
    }
}

/// The environment steps that the fragments of an iteration hold.
pub(crate) fn steps_of(fragments: &[Fragment]) -> usize {
    fragments.iter().map(Fragment::env_steps).sum()
}

#[cfg(test)]
mod tests;
