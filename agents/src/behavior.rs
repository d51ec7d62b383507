//! A policy that is regressed on recorded actions: what imitation and advantage-weighted algorithms have in common.
//!
//! Choices are learned by their log-probabilities. Numbers are one action between their bounds, learned by squared distances:
//! a normal distribution of fixed width, so that nothing runs away where data are deterministic.

use std::sync::Arc;

use agon_envs::{Action, ActionBatch, ActionSpec, Pcg64};
use agon_nn::kernels::{exp, tanh};
use agon_nn::losses::categorical;
use agon_nn::losses::choices::Choices;
use agon_nn::{
    Head, HeadSpec, Init, Input, LayoutBuilder, Matrix, MemoryState, Model, ModelConfig, PackedModel, Params,
    Summary, Tape, Unroll,
};
use rand_distr::{Distribution as _, StandardNormal};

use crate::action_box::ActionBox;
use crate::distribution::{Distribution, Evaluated, other_actions};
use crate::learner::Spaces;
use crate::policy::{ActInput, ActMode, ActOutput, Actor, Policy};
use crate::program::{Decision, Program};
use crate::replay::ReplayBuffer;
use crate::slices::Sums;
use crate::{AgentError, network};

/// The network of a policy, `actor.encoder.*` and `actor.head.*`, and what it puts out.
#[derive(Clone, Debug)]
pub(crate) struct Behavior {
    /// With one head, the outputs.
    model: Model,
    regressed: Regressed,
    /// Standard deviation of the noise on numbers while it explores.
    noise: f32,
}

/// What a policy that is regressed on actions puts out.
#[derive(Clone, Debug)]
pub(crate) enum Regressed {
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
    /// The network, without a memory, and its parameters to be.
    pub(crate) fn layout(
        algorithm: &'static str,
        network: &ModelConfig,
        spaces: &Spaces,
    ) -> Result<(Self, LayoutBuilder), AgentError> {
        network::check_no_memory(algorithm, network)?;
        Self::remembering(algorithm, network, spaces)
    }

    /// As [`Self::layout`], with a memory or without.
    pub(crate) fn remembering(
        algorithm: &'static str,
        network: &ModelConfig,
        spaces: &Spaces,
    ) -> Result<(Self, LayoutBuilder), AgentError> {
        network::check_not_noisy(algorithm, network)?;
        let observation = network::observation(algorithm, &spaces.observation)?;
        let regressed = Regressed::of(algorithm, &spaces.action)?;
        let (mut builder, init) = (LayoutBuilder::new(), Init::PYTORCH_LINEAR);
        let spec = HeadSpec { name: "actor.head".to_owned(), head: regressed.head(), init };
        let model = Model::new(&mut builder, "actor.", &observation, network, &[spec], init)?;
        Ok((Self { model: model.with_head(0)?, regressed, noise: 0.0 }, builder))
    }

    /// With noise of a standard deviation on numbers while it explores, where they count from −1 to 1.
    pub(crate) fn exploring(self, noise: f64) -> Self {
        Self { noise: noise as f32, ..self }
    }

    pub(crate) fn summary(&self) -> &Summary {
        self.model.summary()
    }

    /// Whether it remembers anything from step to step.
    pub(crate) fn remembers(&self) -> bool {
        self.model.state_len() > 0
    }

    /// A snapshot that acts.
    pub(crate) fn policy(&self, params: &Params) -> Result<Arc<dyn Policy>, AgentError> {
        Ok(Arc::new(BehaviorPolicy {
            packed: PackedModel::new(&self.model, params)?,
            behavior: self.clone(),
            params: params.clone(),
        }))
    }

    /// What the policy does: the probabilities of one choice, `[B, A]`, or its numbers between −1 and 1, `[B, D]`.
    pub(crate) fn doing(&self, params: &Params, x: &Input) -> Result<Vec<f32>, AgentError> {
        let outputs = &self.model.forward(params, x, &mut Tape::inference())?[0];
        let mut doing = outputs.as_slice().to_vec();
        match &self.regressed {
            Regressed::Choices(_) => {
                categorical::log_softmax_rows(outputs.as_slice(), self.model.outputs(0), &mut doing)?;
                exp(&mut doing);
            }
            Regressed::Numbers(_) => tanh(&mut doing),
        }
        Ok(doing)
    }

    /// Adds the gradient of `Σ_b weights[b] · loss_b`, see [`Regressed::loss`].
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
        let outputs = &self.model.forward(params, x, &mut tape)?[0];
        let mut gradient = vec![0.0; outputs.as_slice().len()];
        let loss = self.regressed.loss(outputs.as_slice(), actions, weights, &mut gradient)?;
        tape.backward(params, &[(outputs, &gradient)], grads)?;
        Ok(BehaviorSums { loss, rows: weights.len() })
    }

    /// As [`Self::regress`], of a network with a memory: the last steps of episodes up to some of them, each sequence from a memory
    /// of nothing on.
    ///
    /// # Shapes
    /// `ends`: `[B]`, of sequences of `len` steps at most; every step of them weighs `weight`.
    pub(crate) fn regress_sequences(
        &self,
        params: &Params,
        replay: &ReplayBuffer,
        (ends, len): (&[u32], usize),
        weight: f32,
        grads: &mut [f32],
    ) -> Result<BehaviorSums, AgentError> {
        let sequences: Vec<Vec<u32>> = ends.iter().map(|&end| replay.context(end, len).collect()).collect();
        let longest = sequences.iter().map(Vec::len).max().unwrap_or(1);
        // Row `t · B + b`. What follows a sequence's last step has no say, whatever it is.
        let (mut padded, mut wanted) = (Vec::with_capacity(longest * ends.len()), Vec::new());
        for step in 0..longest {
            for sequence in &sequences {
                if step < sequence.len() {
                    wanted.push(padded.len());
                }
                padded.push(sequence[step.min(sequence.len() - 1)]);
            }
        }
        let state = Matrix::zeros(ends.len(), self.model.state_len())?;
        let (x, unroll) = (replay.observations(&padded)?, Unroll::new(longest));
        let mut tape = Tape::new();
        let outputs =
            self.model.forward_sequence(params, &x, &state, &unroll, &mut tape)?.heads.swap_remove(0);
        let width = outputs.columns();
        let all = outputs.as_slice();
        let learned: Vec<u32> = wanted.iter().map(|&row| padded[row]).collect();
        let outputs_of: Vec<f32> =
            wanted.iter().flat_map(|&row| &all[row * width..(row + 1) * width]).copied().collect();
        let mut slopes = vec![0.0; outputs_of.len()];
        let (actions, weights) = (recorded_actions(replay, &learned), vec![weight; learned.len()]);
        let loss = self.regressed.loss(&outputs_of, &actions, &weights, &mut slopes)?;
        let mut gradient = vec![0.0; all.len()];
        for (&row, slopes) in wanted.iter().zip(slopes.chunks_exact(width)) {
            gradient[row * width..(row + 1) * width].copy_from_slice(slopes);
        }
        tape.backward(params, &[(&outputs, &gradient)], grads)?;
        Ok(BehaviorSums { loss, rows: learned.len() })
    }
}

impl Regressed {
    /// Of an action space; numbers must have finite bounds.
    pub(crate) fn of(algorithm: &'static str, spec: &ActionSpec) -> Result<Self, AgentError> {
        Ok(match spec {
            ActionSpec::Discrete { .. } => Self::Choices(Distribution::of(spec)),
            ActionSpec::Continuous { .. } => Self::Numbers(ActionBox::of(algorithm, spec)?),
        })
    }

    /// The head of a network that puts it out.
    pub(crate) fn head(&self) -> Head {
        match self {
            Self::Choices(distribution) => distribution.head(),
            Self::Numbers(bounds) => Head::Q { actions: bounds.dimensions() },
        }
    }

    /// Numbers recorded with an action, `P`.
    pub(crate) fn data_width(&self) -> usize {
        match self {
            Self::Choices(distribution) => distribution.policy_data().width(),
            Self::Numbers(_) => 0,
        }
    }

    /// How its best action is read from a row of outputs.
    fn decision(&self) -> Decision {
        match self {
            Self::Choices(distribution) => distribution.decision(),
            Self::Numbers(bounds) => bounds.decision(),
        }
    }

    /// The sum of losses: of choices `−log π(a|s)`, of numbers the mean squared distance over dimensions, between −1 and 1.
    /// `gradient`, zeros, becomes that of `Σ_b weights[b] · loss_b`.
    ///
    /// # Shapes
    /// `outputs`, `gradient`: `[B, outputs]`; `actions`: `[B, W]`; `weights`: `[B]`.
    pub(crate) fn loss(
        &self,
        outputs: &[f32],
        actions: &ActionBatch,
        weights: &[f32],
        gradient: &mut [f32],
    ) -> Result<f64, AgentError> {
        match (self, actions) {
            (Self::Choices(distribution), actions) => {
                let mut evaluated = Evaluated::default();
                distribution.evaluate(outputs, &[], actions, &mut evaluated)?;
                let of_log_probs: Vec<f32> = weights.iter().map(|weight| -weight).collect();
                let of_entropies = vec![0.0; weights.len()];
                distribution.gradient(&evaluated, actions, &of_log_probs, &of_entropies, gradient)?;
                Ok(-evaluated.log_probs.iter().map(|&log_prob| f64::from(log_prob)).sum::<f64>())
            }
            (Self::Numbers(bounds), ActionBatch::Continuous(wanted)) => {
                let dimensions = bounds.dimensions();
                let mut own = outputs.to_vec();
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
                Ok(loss)
            }
            (Self::Numbers(_), ActionBatch::Discrete(_)) => Err(other_actions()),
        }
    }

    /// Reads actions from outputs, which are used up. Numbers are the same whether it explores or not.
    ///
    /// # Shapes
    /// `outputs`: `[N, outputs]`, `masks`: `[N, A]` or empty.
    pub(crate) fn act(
        &self,
        outputs: &mut [f32],
        masks: &[bool],
        mode: ActMode,
        rng: &mut Pcg64,
        scratch: (&mut Choices, &mut Vec<f32>),
        to: ActOutput<'_>,
    ) -> Result<(), AgentError> {
        match self {
            Self::Choices(distribution) => distribution.act(outputs, masks, mode, rng, scratch, to),
            Self::Numbers(bounds) => {
                tanh(outputs);
                bounds.write(outputs, to.actions);
                Ok(())
            }
        }
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
    packed: PackedModel,
    params: Params,
}

impl Policy for BehaviorPolicy {
    fn state_len(&self) -> usize {
        self.behavior.model.state_len()
    }

    fn data_width(&self) -> usize {
        self.behavior.regressed.data_width()
    }

    fn program(&self) -> Option<Program> {
        let operations = self.behavior.model.operations(0, self.params.layout());
        Some(Program::of(operations, &self.params, self.behavior.regressed.decision()))
    }

    /// Numbers are the same whether it explores or not, where there is no noise on them.
    fn act(&self, input: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        let Actor { rng, state, model_scratch, outputs, choices, buffer, .. } = actor;
        let width = self.behavior.model.outputs(0);
        outputs.resize(input.num_rows * width, 0.0);
        let observations = network::rows(input.observations);
        let memory = &mut MemoryState { state, resets: input.resets };
        let (model, rows) = (&self.behavior.model, input.num_rows);
        model.infer(&self.packed, observations, rows, memory, model_scratch, &mut [outputs])?;
        match &self.behavior.regressed {
            Regressed::Numbers(bounds) if input.mode == ActMode::Explore && self.behavior.noise > 0.0 => {
                tanh(outputs);
                for action in outputs.iter_mut() {
                    let noise: f32 = StandardNormal.sample(&mut *rng);
                    *action = (*action + self.behavior.noise * noise).clamp(-1.0, 1.0);
                }
                bounds.write(outputs, output.actions);
                Ok(())
            }
            regressed => {
                regressed.act(outputs, input.action_masks, input.mode, rng, (choices, buffer), output)
            }
        }
    }
}
