//! ε-greedy actions of a recurrent Q network.

use std::sync::Arc;

use agon_nn::{MemoryState, Model, PackedModel, Params, Schedule};

use crate::policy::{ActInput, ActMode, ActOutput, Actor, Policy};
use crate::program::{Decision, Program};
use crate::{AgentError, exploration, network};

/// A snapshot of the recurrent Q network, with its exploration.
pub(super) struct RecurrentPolicy {
    model: Arc<Model>,
    packed: PackedModel,
    params: Params,
    epsilon: Schedule,
}

impl RecurrentPolicy {
    /// A snapshot of a network with these parameters.
    pub(super) fn of(
        model: &Arc<Model>,
        params: &Params,
        epsilon: Schedule,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        Ok(Arc::new(Self {
            packed: PackedModel::new(model, params)?,
            params: params.clone(),
            model: Arc::clone(model),
            epsilon,
        }))
    }
}

impl Policy for RecurrentPolicy {
    fn program(&self) -> Option<Program> {
        let decision = Decision::Values { actions: self.model.outputs(0) };
        let operations = self.model.operations(0, self.params.layout());
        Some(Program::of(operations, &self.params, decision))
    }

    fn state_len(&self) -> usize {
        self.model.state_len()
    }

    fn act(&self, input: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        let Actor { rng, state, model_scratch, outputs, .. } = actor;
        let epsilon = match input.mode {
            ActMode::Explore => self.epsilon.at(input.env_steps),
            ActMode::Deterministic => 0.0,
        };
        let (num_actions, masks) = (self.model.outputs(0), input.action_masks);
        outputs.resize(input.num_rows * num_actions, 0.0);
        let mut memory = MemoryState { state, resets: input.resets };
        let x = network::rows(input.observations);
        // Even where all actions are random: the state must move on.
        self.model.infer(&self.packed, x, input.num_rows, &mut memory, model_scratch, &mut [outputs])?;
        let actions = output.actions.indices_mut();
        if exploration::explore(epsilon, num_actions, masks, rng, actions) {
            exploration::exploit(outputs, num_actions, masks, actions);
        }
        Ok(())
    }
}
