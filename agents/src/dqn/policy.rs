//! ε-greedy actions of a Q network.

use std::sync::Arc;

use agon_nn::Params;

use super::q_network::{PackedQ, QNetwork, best};
use crate::policy::{ActInput, ActMode, ActOutput, Actor, Policy};
use crate::schedule::LinearSchedule;
use crate::{AgentError, network};

/// A snapshot of the Q network, with its exploration.
pub(crate) struct DqnPolicy {
    pub(crate) network: Arc<QNetwork>,
    pub(crate) packed: PackedQ,
    /// The network without its noise, if it has some.
    pub(crate) silent: Option<PackedQ>,
    pub(crate) epsilon: LinearSchedule,
}

impl DqnPolicy {
    /// A snapshot of a network with these parameters.
    pub(crate) fn of(
        network: &Arc<QNetwork>,
        params: &Params,
        epsilon: LinearSchedule,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        let silent = network.is_noisy().then(|| network.silent(params));
        Ok(Arc::new(Self {
            network: Arc::clone(network),
            packed: network.pack(params)?,
            silent: silent.map(|params| network.pack(&params)).transpose()?,
            epsilon,
        }))
    }
}

/// Marks a row whose action the network chooses.
const EXPLOIT: u32 = u32::MAX;

impl Policy for DqnPolicy {
    fn act(&self, input: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        let Actor { rng, scratch, outputs, buffer, .. } = actor;
        let (epsilon, packed) = match input.mode {
            ActMode::Explore => (self.epsilon.at(input.env_steps), &self.packed),
            ActMode::Deterministic => (0.0, self.silent.as_ref().unwrap_or(&self.packed)),
        };
        let num_actions = self.network.actions;
        let mask_of = |row: usize| input.action_masks.get(row * num_actions..(row + 1) * num_actions);
        // Which rows explore is drawn first: if all do, the network need not run.
        let actions = output.actions.indices_mut();
        let mut greedy = false;
        for (row, action) in actions.iter_mut().enumerate() {
            *action = EXPLOIT;
            if epsilon > 0.0 && rng.random() < epsilon {
                *action = network::random_action(num_actions, mask_of(row), rng);
            }
            greedy |= *action == EXPLOIT;
        }
        if !greedy {
            return Ok(());
        }
        outputs.resize(input.num_rows * num_actions, 0.0);
        let observations = network::rows(input.observations);
        self.network.values(packed, observations, input.num_rows, scratch, buffer, outputs)?;
        for (row, (action, values)) in actions.iter_mut().zip(outputs.chunks_exact(num_actions)).enumerate() {
            if *action == EXPLOIT {
                *action = best(values, mask_of(row)) as u32;
            }
        }
        Ok(())
    }
}
