//! ε-greedy actions of a Q network.

use std::sync::Arc;

use agon_nn::{Params, Schedule};

use crate::policy::{ActInput, ActMode, ActOutput, Actor, Policy};
use crate::program::Program;
use crate::q_network::{PackedQ, QNetwork};
use crate::{AgentError, exploration, network};

/// A snapshot of the Q network, with its exploration.
pub(crate) struct QPolicy {
    network: Arc<QNetwork>,
    params: Params,
    packed: PackedQ,
    /// The network without its noise, if it has some.
    silent: Option<PackedQ>,
    epsilon: Schedule,
}

impl QPolicy {
    /// A snapshot of a network with these parameters.
    pub(crate) fn of(
        network: &Arc<QNetwork>,
        params: &Params,
        epsilon: Schedule,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        let silent = network.is_noisy().then(|| network.silent(params));
        Ok(Arc::new(Self {
            network: Arc::clone(network),
            params: params.clone(),
            packed: network.pack(params)?,
            silent: silent.map(|params| network.pack(&params)).transpose()?,
            epsilon,
        }))
    }
}

impl Policy for QPolicy {
    fn program(&self) -> Option<Program> {
        Some(self.network.program(&self.params))
    }

    fn act(&self, input: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        let Actor { rng, scratch, outputs, buffer, .. } = actor;
        let (epsilon, packed) = match input.mode {
            ActMode::Explore => (self.epsilon.at(input.env_steps), &self.packed),
            ActMode::Deterministic => (0.0, self.silent.as_ref().unwrap_or(&self.packed)),
        };
        let (num_actions, masks) = (self.network.actions, input.action_masks);
        let actions = output.actions.indices_mut();
        // Which rows explore is drawn first: if all do, the network need not run.
        if exploration::explore(epsilon, num_actions, masks, rng, actions) {
            outputs.resize(input.num_rows * num_actions, 0.0);
            let observations = network::rows(input.observations);
            self.network.values(packed, observations, input.num_rows, scratch, buffer, outputs)?;
            exploration::exploit(outputs, num_actions, masks, actions);
        }
        Ok(())
    }
}
