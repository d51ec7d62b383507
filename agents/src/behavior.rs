//! A policy that is regressed on recorded actions: what imitation and advantage-weighted algorithms have in common.
//!
//! Choices are learned by their log-probabilities. Numbers are one action between their bounds, learned by squared distances:
//! a normal distribution of fixed width, so that nothing runs away where data are deterministic.

use std::sync::Arc;

use agon_envs::{Action, ActionBatch, ActionSpec};
use agon_nn::kernels::{exp, tanh};
use agon_nn::losses::categorical;
use agon_nn::{
    HeadSpec, Init, Input, LayoutBuilder, Model, ModelConfig, Packed, Params, Sequential, Summary, Tape,
};
use rand_distr::{Distribution as _, StandardNormal};

use crate::action_box::ActionBox;
use crate::distribution::{Distribution, Evaluated, other_actions};
use crate::learner::Spaces;
use crate::policy::{ActInput, ActMode, ActOutput, Actor, Policy};
use crate::program::Program;
use crate::replay::ReplayBuffer;
use crate::slices::Sums;
use crate::{AgentError, network};

/// The network of a policy, `actor.encoder.*` and `actor.head.*`, and what it puts out.
#[derive(Clone, Debug)]
pub(crate) struct Behavior {
    chain: Sequential,
    kind: Kind,
    summary: Summary,
    /// Standard deviation of the noise on numbers while it explores.
    noise: f32,
}

/// What a policy puts out.
#[derive(Clone, Debug)]
enum Kind {
    /// Logits of one choice or several.
    Choices(Distribution),
    /// A number for each dimension, before its hyperbolic tangent.
    Numbers(ActionBox),
}

/// Sums over rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BehaviorSums {
    /// Of losses without their weights.
    pub(crate) loss: f64,
    pub(crate) rows: usize,
}

impl Sums for BehaviorSums {
    fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.rows += other.rows;
    }
}

impl Behavior {
    /// The network, and its parameters to be.
    pub(crate) fn layout(
        algorithm: &'static str,
        network: &ModelConfig,
        spaces: &Spaces,
    ) -> Result<(Self, LayoutBuilder), AgentError> {
        network::check_no_memory(algorithm, network)?;
        network::check_not_noisy(algorithm, network)?;
        let observation = network::observation(algorithm, &spaces.observation)?;
        let kind = match &spaces.action {
            ActionSpec::Discrete { .. } => Kind::Choices(Distribution::of(&spaces.action)),
            ActionSpec::Continuous { .. } => Kind::Numbers(ActionBox::of(algorithm, &spaces.action)?),
        };
        let head = match &kind {
            Kind::Choices(distribution) => distribution.head(),
            Kind::Numbers(bounds) => agon_nn::Head::Q { actions: bounds.dimensions() },
        };
        let (mut builder, init) = (LayoutBuilder::new(), Init::PYTORCH_LINEAR);
        let spec = HeadSpec { name: "actor.head".to_owned(), head, init };
        let model = Model::new(&mut builder, "actor.", &observation, network, &[spec], init)?;
        Ok((Self { chain: model.chain(0)?, kind, summary: model.summary().clone(), noise: 0.0 }, builder))
    }

    /// With noise of a standard deviation on numbers while it explores, where they count from −1 to 1.
    pub(crate) fn exploring(self, noise: f64) -> Self {
        Self { noise: noise as f32, ..self }
    }

    pub(crate) fn summary(&self) -> &Summary {
        &self.summary
    }

    /// A snapshot that acts.
    pub(crate) fn policy(&self, params: &Params) -> Result<Arc<dyn Policy>, AgentError> {
        Ok(Arc::new(BehaviorPolicy {
            packed: Packed::new(&self.chain, params)?,
            behavior: self.clone(),
            params: params.clone(),
        }))
    }

    /// What the policy does: the probabilities of one choice, `[B, A]`, or its numbers between −1 and 1, `[B, D]`.
    pub(crate) fn doing(&self, params: &Params, x: &Input) -> Result<Vec<f32>, AgentError> {
        let outputs = self.chain.forward_input(params, x, &mut Tape::inference())?;
        let mut doing = outputs.as_slice().to_vec();
        match &self.kind {
            Kind::Choices(_) => {
                categorical::log_softmax_rows(outputs.as_slice(), self.chain.outputs(), &mut doing)?;
                exp(&mut doing);
            }
            Kind::Numbers(_) => tanh(&mut doing),
        }
        Ok(doing)
    }

    /// Adds the gradient of `Σ_b weights[b] · loss_b`: of choices `−log π(a|s)`, of numbers the mean squared distance over
    /// dimensions, between −1 and 1.
    ///
    /// # Shapes
    /// `x`: `[B, O]`; `actions`: `[B, W]`; `weights`: `[B]`.
    pub(crate) fn regress(
        &self,
        params: &Params,
        x: &Input,
        actions: &ActionBatch,
        weights: &[f32],
        grads: &mut [f32],
    ) -> Result<BehaviorSums, AgentError> {
        let mut tape = Tape::new();
        let outputs = self.chain.forward_input(params, x, &mut tape)?;
        let mut gradient = vec![0.0; outputs.as_slice().len()];
        let loss = match (&self.kind, actions) {
            (Kind::Choices(distribution), actions) => {
                let mut evaluated = Evaluated::default();
                distribution.evaluate(outputs.as_slice(), &[], actions, &mut evaluated)?;
                let of_log_probs: Vec<f32> = weights.iter().map(|weight| -weight).collect();
                let of_entropies = vec![0.0; weights.len()];
                distribution.gradient(&evaluated, actions, &of_log_probs, &of_entropies, &mut gradient)?;
                -evaluated.log_probs.iter().map(|&log_prob| f64::from(log_prob)).sum::<f64>()
            }
            (Kind::Numbers(bounds), ActionBatch::Continuous(wanted)) => {
                let dimensions = bounds.dimensions();
                let mut own = outputs.as_slice().to_vec();
                tanh(&mut own);
                let (mut target, mut loss) = (vec![0.0; dimensions], 0.0);
                let rows = gradient.chunks_exact_mut(dimensions).zip(own.chunks_exact(dimensions));
                for ((gradient, own), (wanted, weight)) in
                    rows.zip(wanted.chunks_exact(dimensions).zip(weights))
                {
                    bounds.read(wanted, &mut target);
                    for ((gradient, action), target) in gradient.iter_mut().zip(own).zip(&target) {
                        // What is wanted may lie beyond the bounds.
                        let apart = action - target.clamp(-1.0, 1.0);
                        loss += f64::from(apart * apart) / dimensions as f64;
                        *gradient = weight * 2.0 / dimensions as f32 * apart * (1.0 - action * action);
                    }
                }
                loss
            }
            (Kind::Numbers(_), ActionBatch::Discrete(_)) => return Err(other_actions()),
        };
        tape.backward(params, &[(&outputs, &gradient)], grads)?;
        Ok(BehaviorSums { loss, rows: weights.len() })
    }
}

/// `min(exp(β (Q(s, a) − V(s))), w)`: how much steps count that a policy is regressed on, `[B]`.
///
/// # Source
/// Nair et al. (2020), arXiv:2006.09359, equation 13 (AWAC); Kostrikov et al. (2021), arXiv:2110.06169, equation 7 (IQL).
pub(crate) fn advantage_weights(action_values: &[f32], values: &[f32], beta: f32, most: f32) -> Vec<f32> {
    let pairs = action_values.iter().zip(values);
    pairs.map(|(action_value, value)| (beta * (action_value - value)).exp().min(most)).collect()
}

/// The actions of steps of a buffer, `[B, W]`.
pub(crate) fn recorded_actions(replay: &ReplayBuffer, slots: &[u32]) -> ActionBatch {
    let actions = slots.iter().map(|&slot| replay.action(slot));
    match slots.first().map(|&slot| replay.action(slot)) {
        Some(Action::Discrete(_)) => {
            ActionBatch::Discrete(actions.flat_map(|action| action.indices()).copied().collect())
        }
        _ => ActionBatch::Continuous(actions.flat_map(|action| action.values()).copied().collect()),
    }
}

/// A snapshot of the policy.
struct BehaviorPolicy {
    behavior: Behavior,
    packed: Packed,
    params: Params,
}

impl Policy for BehaviorPolicy {
    fn data_width(&self) -> usize {
        match &self.behavior.kind {
            Kind::Choices(distribution) => distribution.policy_data().width(),
            Kind::Numbers(_) => 0,
        }
    }

    fn program(&self) -> Option<Program> {
        let operations = self.behavior.chain.operations(self.params.layout());
        let decision = match &self.behavior.kind {
            Kind::Choices(distribution) => distribution.decision(),
            Kind::Numbers(bounds) => bounds.decision(),
        };
        Some(Program::of(operations, &self.params, decision))
    }

    /// Numbers are the same whether it explores or not, where there is no noise on them.
    fn act(&self, input: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        let Actor { rng, scratch, outputs, choices, buffer, .. } = actor;
        let width = self.behavior.chain.outputs();
        outputs.resize(input.num_rows * width, 0.0);
        let observations = network::rows(input.observations);
        self.behavior.chain.infer(&self.packed, observations, input.num_rows, scratch, outputs)?;
        match &self.behavior.kind {
            Kind::Choices(distribution) => {
                let scratch = (choices, buffer);
                distribution.act(outputs, input.action_masks, input.mode, rng, scratch, output)?;
            }
            Kind::Numbers(bounds) => {
                tanh(outputs);
                if input.mode == ActMode::Explore && self.behavior.noise > 0.0 {
                    for action in outputs.iter_mut() {
                        let noise: f32 = StandardNormal.sample(&mut *rng);
                        *action = (*action + self.behavior.noise * noise).clamp(-1.0, 1.0);
                    }
                }
                bounds.write(outputs, output.actions);
            }
        }
        Ok(())
    }
}
