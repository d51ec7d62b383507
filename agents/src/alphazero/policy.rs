//! What acts: a network with two heads, and the search that asks it.

use std::sync::Arc;

use agon_envs::ObsBuffer;
use agon_nn::{MemoryState, Model, ModelScratch, PackedModel, Params};

use crate::actor_critic::ActorCritic;
use crate::distribution::Distribution;
use crate::policy::{ActInput, ActMode, ActOutput, Actor, Policy};
use crate::program::Program;
use crate::search::{Evaluator, Lookahead, Looks, SearchConfig, data_width};
use crate::{AgentError, network};

/// A snapshot of the network. Where it cannot look ahead it acts by its probabilities alone.
pub(super) struct SearchPolicy {
    both: Model,
    packed: PackedModel,
    actor: Model,
    params: Params,
    distribution: Distribution,
    search: SearchConfig,
    looks: Option<Arc<Looks>>,
    discount: f32,
}

impl SearchPolicy {
    pub(super) fn new(
        network: &ActorCritic,
        params: &Params,
        search: SearchConfig,
        looks: Option<Arc<Looks>>,
        discount: f32,
    ) -> Result<Self, AgentError> {
        let both = network.both()?.clone();
        Ok(Self {
            packed: PackedModel::new(&both, params)?,
            both,
            actor: network.actor.clone(),
            params: params.clone(),
            distribution: network.distribution.clone(),
            search,
            looks,
            discount,
        })
    }
}

impl Evaluator for SearchPolicy {
    fn evaluate(
        &self,
        observations: &ObsBuffer,
        num_rows: usize,
        scratch: &mut ModelScratch,
        logits: &mut [f32],
        values: &mut [f32],
    ) -> Result<(), AgentError> {
        let memory = &mut MemoryState { state: &mut [], resets: &[] };
        let x = network::rows(observations);
        Ok(self.both.infer(&self.packed, x, num_rows, memory, scratch, &mut [logits, values])?)
    }

    fn looks(&self) -> Option<&Looks> {
        self.looks.as_deref()
    }
}

impl Policy for SearchPolicy {
    fn program(&self) -> Option<Program> {
        let operations = self.actor.operations(0, self.params.layout());
        Some(Program::of(operations, &self.params, self.distribution.decision()))
    }

    fn data_width(&self) -> usize {
        data_width(self.actor.outputs(0))
    }

    fn values(&self, input: &ActInput<'_>, _: &[f32]) -> Result<Option<Vec<f32>>, AgentError> {
        let mut logits = vec![0.0; input.num_rows * self.actor.outputs(0)];
        let mut values = vec![0.0; input.num_rows];
        let scratch = &mut ModelScratch::default();
        self.evaluate(input.observations, input.num_rows, scratch, &mut logits, &mut values)?;
        Ok(Some(values))
    }

    fn evaluator(&self) -> Option<&dyn Evaluator> {
        Some(self)
    }

    fn lookahead(&self) -> Option<Lookahead<'_>> {
        Some(Lookahead { settings: &self.search, discount: self.discount, evaluator: self })
    }

    fn act(&self, input: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        let Actor { rng, model_scratch, outputs, choices, buffer, .. } = actor;
        let rows = input.num_rows;
        outputs.resize(rows * self.actor.outputs(0), 0.0);
        buffer.resize(rows, 0.0);
        self.evaluate(input.observations, rows, model_scratch, outputs, buffer)?;
        let mask = (!input.action_masks.is_empty()).then_some(input.action_masks);
        choices.evaluate(outputs, mask, &[self.actor.outputs(0)])?;
        for (row, action) in output.actions.indices_mut().iter_mut().enumerate() {
            let chosen = match input.mode {
                ActMode::Explore => choices.sample(row, 0, rng.random() as f32).0,
                ActMode::Deterministic => choices.mode(row, 0).0,
            };
            *action = chosen as u32;
        }
        // Nobody searched.
        output.policy_data.fill(0.0);
        Ok(())
    }
}
