//! Continuous actions: a Gaussian squashed to −1..1, whose draws carry the gradient of the critics' values.

use std::ops::Range;
use std::sync::Arc;

use agon_envs::Pcg64;
use agon_nn::losses::gaussian::{Gaussian, GaussianGradient};
use agon_nn::losses::squashed_gaussian::SquashedGaussian;
use agon_nn::{Head, Input, Packed, Params, Sequential, Tape};
use rand_distr::{Distribution as _, StandardNormal};

use super::{SacSums, Update};
use crate::action_box::ActionBox;
use crate::augmentation::repeated;
use crate::critics::{CriticSums, concatenated};
use crate::learner::Spaces;
use crate::policy::{ActInput, ActMode, ActOutput, Actor, Policy};
use crate::program::Program;
use crate::{AgentError, network};

/// Logarithms of standard deviations are cut to these, as in Stable-Baselines3.
const LOG_STD: (f32, f32) = (-20.0, 2.0);

#[derive(Clone)]
pub(super) struct Continuous {
    bounds: ActionBox,
}

/// Means and logarithms of standard deviations of a batch, `[B, D]` each.
#[derive(Default)]
pub(super) struct Parameters {
    means: Vec<f32>,
    log_stds: Vec<f32>,
    /// Where the logarithm was cut, so that it has no gradient.
    cut: Vec<bool>,
}

impl Parameters {
    pub(super) fn of(outputs: &[f32], dimensions: usize) -> Self {
        let mut parameters = Self::default();
        for row in outputs.chunks_exact(2 * dimensions) {
            parameters.means.extend_from_slice(&row[..dimensions]);
            for &log_std in &row[dimensions..] {
                parameters.log_stds.push(log_std.clamp(LOG_STD.0, LOG_STD.1));
                parameters.cut.push(log_std < LOG_STD.0 || log_std > LOG_STD.1);
            }
        }
        parameters
    }

    /// As many times the batch, one after the other.
    pub(super) fn repeated(&self, times: usize) -> Self {
        let Self { means, log_stds, cut } = self;
        Self { means: means.repeat(times), log_stds: log_stds.repeat(times), cut: cut.repeat(times) }
    }

    pub(super) fn distribution(&self, dimensions: usize) -> Result<SquashedGaussian<'_>, AgentError> {
        Ok(SquashedGaussian::new(Gaussian::new(&self.means, &self.log_stds, dimensions)?))
    }
}

impl Continuous {
    pub(super) fn new(spaces: &Spaces) -> Result<Self, AgentError> {
        Ok(Self { bounds: ActionBox::of("sac", &spaces.action)? })
    }

    pub(super) fn dimensions(&self) -> usize {
        self.bounds.dimensions()
    }

    pub(super) fn head(&self) -> Head {
        Head::SquashedGaussian { dimensions: self.dimensions() }
    }

    /// Draws the noise of an update: of the next actions in each of `K` views, and then of the current ones, `[K + 1, B, D]`.
    pub(super) fn draw_noise(&self, rows: usize, rng: &mut Pcg64, noise: &mut Vec<f32>) {
        noise.clear();
        noise.extend((0..rows * self.dimensions()).map(|_| -> f32 { StandardNormal.sample(rng) }));
    }

    /// The noise of some rows in some of the blocks, one after the other.
    fn noise(&self, update: &Update<'_>, blocks: Range<usize>, rows: &Range<usize>) -> Vec<f32> {
        let (dimensions, block) = (self.dimensions(), update.noise.len() / (update.views.of_targets + 1));
        let of_rows = rows.start * dimensions..rows.end * dimensions;
        blocks.flat_map(|index| &update.noise[index * block..][of_rows.clone()]).copied().collect()
    }

    /// Critics' gradient: `y = r + γ (1 − terminated) (min Q_target(s', a') − α ln π(a'|s'))`, or as `critics` and
    /// `backup_entropy` say.
    pub(super) fn critic_gradient(
        &self,
        update: &Update<'_>,
        slots: &[u32],
        range: Range<usize>,
        grads: &mut [f32],
    ) -> Result<CriticSums, AgentError> {
        let (dimensions, views, first) = (self.dimensions(), update.views, range.start);
        let next = update.replay.next_observations(&repeated(slots, views.of_targets))?;
        let next = views.targets(update.seed, first, next)?.input;
        let outputs = update.actor.forward_input(update.actor_params, &next, &mut Tape::inference())?;
        let parameters = Parameters::of(outputs.as_slice(), dimensions);
        let (mut actions, mut log_probs) = (vec![0.0; next.rows() * dimensions], vec![0.0; next.rows()]);
        let noise = self.noise(update, 0..views.of_targets, &range);
        parameters.distribution(dimensions)?.sample_with_log_prob(&noise, &mut actions, &mut log_probs)?;
        let next_values =
            update.critics.target_values(&Input::Floats(concatenated(&next, &actions, dimensions)?))?;
        let mut following = vec![0.0; slots.len()];
        for (row, (value, log_prob)) in next_values.iter().zip(&log_probs).enumerate() {
            following[row % slots.len()] += value - update.following_alpha * log_prob;
        }
        let targets = update.targets(slots, &following);
        let all = repeated(slots, views.of_observations);
        let view = views.observations(update.seed, first, update.replay.observations(&all)?)?;
        let mut taken = vec![0.0; all.len() * dimensions];
        for (row, (&slot, action)) in all.iter().zip(taken.chunks_exact_mut(dimensions)).enumerate() {
            self.bounds.read(update.replay.action(slot).values(), action);
            view.actions.values(row, action);
        }
        if let Some(conservative) = update.conservative {
            // Without augmentation there is one view of each.
            let seen = (&view.input, taken.as_slice(), &parameters);
            return conservative.gradient(self, update, (slots, range), seen, &targets, grads);
        }
        let x = concatenated(&view.input, &taken, dimensions)?;
        update.regress(&Input::Floats(x), &vec![0; all.len()], &targets, grads)
    }

    /// The policy's gradient of `α ln π(a|s) − min Q(s, a)`.
    pub(super) fn actor_gradient(
        &self,
        update: &Update<'_>,
        slots: &[u32],
        range: Range<usize>,
        grads: &mut [f32],
    ) -> Result<SacSums, AgentError> {
        let (rows, dimensions) = (slots.len(), self.dimensions());
        let observations = update.seen(slots, range.start)?;
        let mut tape = Tape::new();
        let outputs = update.actor.forward_input(update.actor_params, &observations, &mut tape)?;
        let parameters = Parameters::of(outputs.as_slice(), dimensions);
        let (mut actions, mut log_probs) = (vec![0.0; rows * dimensions], vec![0.0; rows]);
        let current = update.views.of_targets;
        let (noise, distribution) =
            (self.noise(update, current..current + 1, &range), parameters.distribution(dimensions)?);
        distribution.sample_with_log_prob(&noise, &mut actions, &mut log_probs)?;
        let x = concatenated(&observations, &actions, dimensions)?;
        let width = x.columns();
        let (values, of_input) = update.critics.input_gradient(x, -update.scale, update.actor_params)?;
        let of_actions: Vec<f32> =
            of_input.chunks_exact(width).flat_map(|row| &row[width - dimensions..]).copied().collect();
        let weights = vec![update.scale * update.alpha; rows];
        let (mut mean, mut log_std) = (vec![0.0; rows * dimensions], vec![0.0; rows * dimensions]);
        let mut gradient = GaussianGradient { mean: &mut mean, log_std: &mut log_std };
        let of_actions = Some(of_actions.as_slice());
        distribution.add_reparameterized_gradient(&noise, &actions, &weights, of_actions, &mut gradient)?;
        log_std.iter_mut().zip(&parameters.cut).filter(|(_, cut)| **cut).for_each(|(grad, _)| *grad = 0.0);
        let mut of_outputs = Vec::with_capacity(2 * mean.len());
        for (mean, log_std) in mean.chunks_exact(dimensions).zip(log_std.chunks_exact(dimensions)) {
            of_outputs.extend_from_slice(mean);
            of_outputs.extend_from_slice(log_std);
        }
        tape.backward(update.actor_params, &[(&outputs, &of_outputs)], grads)?;
        let mut sums = SacSums::default();
        for (log_prob, value) in log_probs.iter().zip(values) {
            sums.actor_loss += f64::from(update.alpha * log_prob - value);
            sums.entropy -= f64::from(*log_prob);
        }
        Ok(sums)
    }

    /// A snapshot that acts.
    pub(super) fn policy(
        &self,
        actor: &Sequential,
        params: &Params,
        learning_starts: u64,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        let (packed, params) = (Packed::new(actor, params)?, params.clone());
        let (kind, actor) = (self.clone(), actor.clone());
        Ok(Arc::new(SquashedPolicy { kind, actor, packed, params, learning_starts }))
    }
}

/// A snapshot of the policy; random before learning starts.
struct SquashedPolicy {
    kind: Continuous,
    actor: Sequential,
    packed: Packed,
    params: Params,
    learning_starts: u64,
}

impl Policy for SquashedPolicy {
    fn program(&self) -> Option<Program> {
        let operations = self.actor.operations(self.params.layout());
        Some(Program::of(operations, &self.params, self.kind.bounds.decision()))
    }

    fn act(&self, input: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        let Actor { rng, scratch, outputs, buffer, .. } = actor;
        let (rows, dimensions) = (input.num_rows, self.kind.dimensions());
        buffer.resize(rows * dimensions, 0.0);
        if input.mode == ActMode::Explore && input.env_steps < self.learning_starts {
            buffer.iter_mut().for_each(|action| *action = rng.uniform(-1.0, 1.0) as f32);
        } else {
            outputs.resize(rows * 2 * dimensions, 0.0);
            let observations = network::rows(input.observations);
            self.actor.infer(&self.packed, observations, rows, scratch, outputs)?;
            let parameters = Parameters::of(outputs, dimensions);
            let distribution = parameters.distribution(dimensions)?;
            match input.mode {
                ActMode::Explore => {
                    let noise: Vec<f32> =
                        (0..buffer.len()).map(|_| StandardNormal.sample(&mut *rng)).collect();
                    distribution.sample(&noise, buffer)?;
                }
                ActMode::Deterministic => distribution.mode(buffer)?,
            }
        }
        self.kind.bounds.write(buffer, output.actions);
        Ok(())
    }
}
