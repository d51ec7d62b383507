//! A policy and a value function as networks: what every policy-gradient algorithm trains.

use std::sync::{Arc, OnceLock};

use agon_envs::ObsBuffer;
use agon_nn::{
    Head, HeadSpec, Init, Input, LayoutBuilder, Matrix, MemoryConfig, MemoryState, Model, ModelConfig,
    ModelScratch, NnError, PackedModel, Params, Summary, Tape, Unroll,
};

use crate::AgentError;
use crate::distribution::Distribution;
use crate::error::ensure;
use crate::learner::Spaces;
use crate::network;
use crate::policy::{ActInput, ActOutput, Actor, Policy};
use crate::popart::{PopArt, Scales, task_of};
use crate::program::Program;
use crate::search::Evaluator;

/// What a critic puts out of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Values {
    /// Its value.
    One,
    /// Its value, and that of a bonus.
    WithBonus,
    /// Its normalised value as each task.
    PerTask,
}

/// Policy and value function, as one buffer of parameters.
///
/// Separate networks are named `actor.encoder.*`, `actor.head.*`, `critic.encoder.*` and `critic.head.*`; with a shared
/// encoder it is `encoder.*`, `memory.*`, `actor.*` and `critic.*`.
#[derive(Clone, Debug)]
pub(crate) struct ActorCritic {
    pub(crate) distribution: Distribution,
    pub(crate) actor: Model,
    pub(crate) critic: Model,
    /// Both heads on one encoder, if they share it.
    shared: Option<Model>,
    /// What scales the critic's outputs, if something does.
    pub(crate) popart: Option<PopArt>,
    summary: Summary,
}

impl ActorCritic {
    /// The networks, and their parameters to be.
    ///
    /// Orthogonal initialisation with CleanRL's gains: √2 for hidden layers, 0.01 for the policy, 1 for the value.
    pub(crate) fn layout(
        algorithm: &'static str,
        network: &ModelConfig,
        share_encoder: bool,
        values: Values,
        spaces: &Spaces,
    ) -> Result<(Self, LayoutBuilder), AgentError> {
        network::check_not_noisy(algorithm, network)?;
        let remembers = network.memory != MemoryConfig::None;
        ensure(
            !remembers || share_encoder,
            "share_encoder",
            "true for a network with a memory",
            share_encoder,
        )?;
        let observation = network::observation(algorithm, &spaces.observation)?;
        let distribution = Distribution::of(&spaces.action);
        let mut builder = LayoutBuilder::new();
        let orthogonal = |gain| Init::Orthogonal { gain };
        let spec = |name: &str, head, gain| HeadSpec { name: name.to_owned(), head, init: orthogonal(gain) };
        let mut model = |prefix: &str, heads: &[HeadSpec]| {
            let hidden = orthogonal(std::f32::consts::SQRT_2);
            Model::new(&mut builder, prefix, &observation, network, heads, hidden)
        };
        let policy = distribution.head();
        let value = match values {
            Values::One => Head::Value,
            Values::WithBonus => Head::Q { actions: 2 },
            Values::PerTask => Head::Q { actions: spaces.tasks.len().max(1) },
        };
        let networks = if share_encoder {
            let shared = model("", &[spec("actor", policy, 0.01), spec("critic", value, 1.0)])?;
            Self {
                actor: shared.with_head(0)?,
                critic: shared.with_head(1)?,
                summary: shared.summary().clone(),
                shared: Some(shared),
                popart: None,
                distribution,
            }
        } else {
            let actor = model("actor.", &[spec("actor.head", policy, 0.01)])?;
            let critic = model("critic.", &[spec("critic.head", value, 1.0)])?;
            let parts = [actor.summary(), critic.summary()].map(|summary| summary.parts.clone()).concat();
            Self { actor, critic, summary: Summary { parts }, shared: None, popart: None, distribution }
        };
        let popart = (values == Values::PerTask).then(|| {
            let head = if share_encoder { "critic" } else { "critic.head" };
            PopArt::new(&mut builder, head, networks.critic.outputs(0))
        });
        let networks = Self { popart: popart.transpose()?, ..networks };
        Ok((networks, builder))
    }

    /// Values remembered of a row, `S`.
    pub(crate) fn state_len(&self) -> usize {
        self.actor.state_len()
    }

    pub(crate) fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Policy and value in one go.
    ///
    /// # Errors
    /// If they share nothing.
    pub(crate) fn both(&self) -> Result<&Model, AgentError> {
        let apart = || AgentError::setting("share_encoder", "true".to_owned(), false);
        self.shared.as_ref().ok_or_else(apart)
    }

    /// A snapshot that acts.
    pub(crate) fn policy(&self, params: &Params) -> Result<Arc<dyn Policy>, AgentError> {
        Ok(Arc::new(ActorPolicy {
            packed: PackedModel::new(&self.actor, params)?,
            model: self.actor.clone(),
            critic: self.critic.clone(),
            packed_critic: OnceLock::new(),
            shared: self.shared.clone(),
            packed_shared: OnceLock::new(),
            scales: self.popart.as_ref().map(|popart| popart.scales(params)),
            params: params.clone(),
            distribution: self.distribution.clone(),
        }))
    }

    /// The policy's outputs and the values of a batch of sequences, from the states before them.
    ///
    /// # Shapes
    /// `x`: `[T·B, O]`, `state`: `[B, S]`; gives `[T·B, P]` and `[T·B, V]`.
    pub(crate) fn forward(
        &self,
        params: &Params,
        x: &Input,
        state: Option<&Matrix>,
        unroll: &Unroll<'_>,
        tape: &mut Tape,
    ) -> Result<[Matrix; 2], AgentError> {
        let wrong = |heads: Vec<Matrix>| NnError::Length { name: "heads", expected: 2, got: heads.len() };
        let heads = match (&self.shared, state) {
            (Some(shared), Some(state)) => shared.forward_sequence(params, x, state, unroll, tape)?.heads,
            (Some(shared), None) => shared.forward(params, x, tape)?,
            (None, _) => {
                let mut heads = self.actor.forward(params, x, tape)?;
                heads.append(&mut self.critic.forward(params, x, tape)?);
                heads
            }
        };
        Ok(<[Matrix; 2]>::try_from(heads).map_err(wrong)?)
    }
}

/// A snapshot of the actor.
struct ActorPolicy {
    model: Model,
    packed: PackedModel,
    critic: Model,
    /// Made when somebody asks for a value: acting does not.
    packed_critic: OnceLock<PackedModel>,
    /// Both, if they share an encoder, for who asks for both.
    shared: Option<Model>,
    packed_shared: OnceLock<PackedModel>,
    scales: Option<Scales>,
    params: Params,
    distribution: Distribution,
}

impl ActorPolicy {
    /// A network's parameters as it infers with them, made when they are needed first.
    fn packed<'a>(
        &self,
        place: &'a OnceLock<PackedModel>,
        model: &Model,
    ) -> Result<&'a PackedModel, AgentError> {
        if let Some(packed) = place.get() {
            return Ok(packed);
        }
        let packed = PackedModel::new(model, &self.params)?;
        Ok(place.get_or_init(|| packed))
    }
}

impl Evaluator for ActorPolicy {
    fn evaluate(
        &self,
        observations: &ObsBuffer,
        num_rows: usize,
        scratch: &mut ModelScratch,
        logits: &mut [f32],
        values: &mut [f32],
    ) -> Result<(), AgentError> {
        let x = network::rows(observations);
        let memory = &mut MemoryState { state: &mut [], resets: &[] };
        // With a bonus there is a second one, of the bonus.
        let width = self.critic.outputs(0);
        let mut wide = vec![0.0; num_rows * width];
        match &self.shared {
            Some(both) => {
                let packed = self.packed(&self.packed_shared, both)?;
                both.infer(packed, x, num_rows, memory, scratch, &mut [logits, &mut wide])?;
            }
            None => {
                self.model.infer(&self.packed, x, num_rows, memory, scratch, &mut [logits])?;
                let packed = self.packed(&self.packed_critic, &self.critic)?;
                let x = network::rows(observations);
                self.critic.infer(packed, x, num_rows, memory, scratch, &mut [&mut wide])?;
            }
        }
        values.iter_mut().zip(wide.iter().step_by(width)).for_each(|(value, &wide)| *value = wide);
        Ok(())
    }
}

impl Policy for ActorPolicy {
    fn program(&self) -> Option<Program> {
        let operations = self.model.operations(0, self.params.layout());
        Some(Program::of(operations, &self.params, self.distribution.decision()))
    }

    fn data_width(&self) -> usize {
        self.distribution.policy_data().width()
    }

    fn state_len(&self) -> usize {
        self.model.state_len()
    }

    fn evaluator(&self) -> Option<&dyn Evaluator> {
        let one_choice = matches!(&self.distribution, Distribution::Categorical { nvec } if nvec.len() == 1);
        (one_choice && self.model.state_len() == 0 && self.scales.is_none()).then_some(self as _)
    }

    fn values(&self, input: &ActInput<'_>, state: &[f32]) -> Result<Option<Vec<f32>>, AgentError> {
        if self.scales.as_ref().is_some_and(|scales| scales.tasks() > 1 && input.tasks.is_empty()) {
            // Nobody says in which task.
            return Ok(None);
        }
        let packed = self.packed(&self.packed_critic, &self.critic)?;
        let width = self.critic.outputs(0);
        let mut values = vec![0.0; input.num_rows * width];
        let mut state = state.to_vec();
        let mut memory = MemoryState { state: &mut state, resets: input.resets };
        let observations = network::rows(input.observations);
        let scratch = &mut ModelScratch::default();
        let heads = &mut [values.as_mut_slice()];
        self.critic.infer(packed, observations, input.num_rows, &mut memory, scratch, heads)?;
        if let Some(scales) = &self.scales {
            let rows = values.chunks_exact(width).enumerate();
            return Ok(Some(rows.map(|(row, own)| scales.value(own, task_of(input.tasks, row))).collect()));
        }
        // With a bonus there is a second one, of the bonus.
        Ok(Some(values.into_iter().step_by(width).collect()))
    }

    fn act(&self, input: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        let Actor { rng, state, model_scratch, outputs, choices, buffer, .. } = actor;
        outputs.resize(input.num_rows * self.distribution.outputs(), 0.0);
        let observations = network::rows(input.observations);
        let mut memory = MemoryState { state, resets: input.resets };
        let heads = &mut [outputs.as_mut_slice()];
        self.model.infer(&self.packed, observations, input.num_rows, &mut memory, model_scratch, heads)?;
        self.distribution.act(outputs, input.action_masks, input.mode, rng, (choices, buffer), output)
    }
}
