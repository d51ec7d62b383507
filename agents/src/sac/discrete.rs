//! Discrete actions: expectations over all actions instead of draws.

use std::sync::Arc;

use agon_nn::kernels::exp;
use agon_nn::losses::categorical;
use agon_nn::{Head, Packed, Params, Sequential, Tape};

use super::{SacSums, Update};
use crate::augmentation::repeated;
use crate::critics::CriticSums;
use crate::distribution::Distribution;
use crate::learner::{Spaces, single_discrete};
use crate::policy::{ActInput, ActMode, ActOutput, Actor, Policy};
use crate::program::Program;
use crate::{AgentError, network};

/// Share of the largest entropy that is kept by default. CleanRL keeps 0.89, which a policy with one clearly better action cannot:
/// the temperature then grows without bound.
const TARGET_ENTROPY_SCALE: f64 = 0.5;

#[derive(Clone)]
pub(super) struct Discrete {
    actions: usize,
}

impl Discrete {
    pub(super) fn new(spaces: &Spaces) -> Result<Self, AgentError> {
        let actions = single_discrete("sac", &spaces.action)?;
        if spaces.mask_len > 0 {
            let expected =
                "an environment without action masks (env.action_masks=false ignores those of a foreign one)";
            let found = format!("masks of {} choices", spaces.mask_len);
            return Err(AgentError::Unsupported { algorithm: "sac", expected, found });
        }
        Ok(Self { actions })
    }

    pub(super) fn head(&self) -> Head {
        Head::Categorical { actions: self.actions }
    }

    pub(super) fn critic_head(&self) -> Head {
        Head::Q { actions: self.actions }
    }

    pub(super) fn default_target_entropy(&self) -> f64 {
        TARGET_ENTROPY_SCALE * (self.actions as f64).ln()
    }

    /// Log-probabilities and probabilities of rows of logits.
    fn probabilities(&self, logits: &[f32]) -> Result<(Vec<f32>, Vec<f32>), AgentError> {
        let mut log_probs = vec![0.0; logits.len()];
        categorical::log_softmax_rows(logits, self.actions, &mut log_probs)?;
        let mut probs = log_probs.clone();
        exp(&mut probs);
        Ok((log_probs, probs))
    }

    /// Critics' gradient: `y = r + γ (1 − terminated) Σ_a' π(a'|s') (min Q_target(s', a') − α ln π(a'|s'))`.
    pub(super) fn critic_gradient(
        &self,
        update: &Update<'_>,
        slots: &[u32],
        first: usize,
        grads: &mut [f32],
    ) -> Result<CriticSums, AgentError> {
        let views = update.views;
        let next = update.replay.next_observations(&repeated(slots, views.of_targets))?;
        let next = views.targets(update.seed, first, next)?.input;
        let logits = update.actor.forward_input(update.actor_params, &next, &mut Tape::inference())?;
        let (log_probs, probs) = self.probabilities(logits.as_slice())?;
        let values = update.critics.target_values(&next)?;
        let mut following = vec![0.0; slots.len()];
        for (row, values) in values.chunks_exact(self.actions).enumerate() {
            let range = row * self.actions..(row + 1) * self.actions;
            let distribution = log_probs[range.clone()].iter().zip(&probs[range]);
            let expected = |(value, (log_prob, prob)): (&f32, (&f32, &f32))| {
                prob * (value - update.following_alpha * log_prob)
            };
            following[row % slots.len()] += values.iter().zip(distribution).map(expected).sum::<f32>();
        }
        let targets: Vec<f32> = update.targets(slots, &following);
        let all = repeated(slots, views.of_observations);
        let view = views.observations(update.seed, first, update.replay.observations(&all)?)?;
        let chosen: Vec<usize> = all
            .iter()
            .enumerate()
            .map(|(row, &slot)| view.actions.choice(row, update.replay.action(slot).index()))
            .collect();
        update.regress(&view.input, &chosen, &targets, grads)
    }

    /// The policy's gradient of `Σ_a π(a|s) (α ln π(a|s) − min Q(s, a))`.
    ///
    /// With `f_a = α ln π_a − Q_a` it is `π_a (f_a − Σ_b π_b f_b)` with respect to the logit of `a`.
    pub(super) fn actor_gradient(
        &self,
        update: &Update<'_>,
        slots: &[u32],
        first: usize,
        grads: &mut [f32],
    ) -> Result<SacSums, AgentError> {
        let observations = update.seen(slots, first)?;
        let values = update.critics.values(&observations)?;
        let mut tape = Tape::new();
        let logits = update.actor.forward_input(update.actor_params, &observations, &mut tape)?;
        let (log_probs, probs) = self.probabilities(logits.as_slice())?;
        let mut gradient = vec![0.0; probs.len()];
        let mut sums = SacSums::default();
        for (row, gradient) in gradient.chunks_exact_mut(self.actions).enumerate() {
            let range = row * self.actions..(row + 1) * self.actions;
            let (log_probs, probs) = (&log_probs[range.clone()], &probs[range.clone()]);
            for ((cost, log_prob), value) in gradient.iter_mut().zip(log_probs).zip(&values[range]) {
                *cost = update.alpha * log_prob - value;
            }
            let expected: f32 = gradient.iter().zip(probs).map(|(cost, prob)| cost * prob).sum();
            for (cost, prob) in gradient.iter_mut().zip(probs) {
                *cost = update.scale * prob * (*cost - expected);
            }
            sums.actor_loss += f64::from(expected);
            sums.entropy -= probs.iter().zip(log_probs).map(|(p, l)| f64::from(p * l)).sum::<f64>();
        }
        tape.backward(update.actor_params, &[(&logits, &gradient)], grads)?;
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
        let (actor, distribution) = (actor.clone(), Distribution::Categorical { nvec: vec![self.actions] });
        Ok(Arc::new(CategoricalPolicy { actor, packed, params, distribution, learning_starts }))
    }
}

/// A snapshot of the policy; random before learning starts.
struct CategoricalPolicy {
    actor: Sequential,
    packed: Packed,
    params: Params,
    distribution: Distribution,
    learning_starts: u64,
}

impl Policy for CategoricalPolicy {
    fn program(&self) -> Option<Program> {
        let operations = self.actor.operations(self.params.layout());
        Some(Program::of(operations, &self.params, self.distribution.decision()))
    }

    /// The log-probability of the action, which nobody reads.
    fn data_width(&self) -> usize {
        self.distribution.policy_data().width()
    }

    fn act(&self, input: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        let Actor { rng, scratch, outputs, choices, buffer, .. } = actor;
        outputs.clear();
        outputs.resize(input.num_rows * self.distribution.outputs(), 0.0);
        if input.mode == ActMode::Deterministic || input.env_steps >= self.learning_starts {
            let observations = network::rows(input.observations);
            self.actor.infer(&self.packed, observations, input.num_rows, scratch, outputs)?;
        }
        // Equal logits are random actions.
        self.distribution.act(outputs, &[], input.mode, rng, (choices, buffer), output)
    }
}
