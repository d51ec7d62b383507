//! Programs as policies that act in environments: what an exported or compressed file does.

use agon_agents::AgentError;
use agon_agents::policy::Actor;
use agon_agents::policy::{ActInput, ActOutput, Policy};
use agon_envs::{ActionBatch, ObsBuffer};
use agon_nn::{ToldNetwork, ToldScratch};
use agon_policy::{Action, ActionSpace, Observation, Parameters, PolicyError, PolicyProgram, PortablePolicy};

use crate::RunError;

/// A program that acts in rows of environments, without wrappers around these. It takes its best actions.
///
/// Networks of maps and activations run on all rows at once; others, such as those that remember, row by row.
#[derive(Debug)]
pub struct ToldPolicy {
    policy: PortablePolicy,
    network: Option<ToldNetwork>,
}

impl ToldPolicy {
    /// The policy of a program.
    ///
    /// # Errors
    /// If its parameters do not fit.
    pub fn new(program: PolicyProgram, parameters: &Parameters) -> Result<Self, RunError> {
        let policy = PortablePolicy::new(program, parameters)?;
        let operations = &policy.program().operations;
        let network = ToldNetwork::new(operations, parameters, policy.network_inputs()).ok();
        Ok(Self { policy, network })
    }

    /// The parts that act on single rows.
    #[must_use]
    pub fn portable(&self) -> &PortablePolicy {
        &self.policy
    }

    /// The network, if it runs on many rows at once.
    #[must_use]
    pub fn network(&self) -> Option<&ToldNetwork> {
        self.network.as_ref()
    }
}

/// One row of observations.
pub(crate) fn row_of(observations: &ObsBuffer, row: usize, rows: usize) -> Observation<'_> {
    let width = observations.len() / rows;
    match observations {
        ObsBuffer::F32(values) => Observation::Floats(&values[row * width..(row + 1) * width]),
        ObsBuffer::U8(values) => Observation::Bytes(&values[row * width..(row + 1) * width]),
    }
}

/// Writes the action of one row, as environments here have it: choices counted from zero.
pub(crate) fn write_action(
    action: &Action<'_>,
    space: &ActionSpace,
    (row, rows): (usize, usize),
    actions: &mut ActionBatch,
) -> Result<(), PolicyError> {
    let start = if let ActionSpace::Discrete { start, .. } = space { *start } else { 0 };
    let width = actions.len() / rows;
    let places = row * width..(row + 1) * width;
    let found = match (action, actions) {
        (Action::Discrete(found), ActionBatch::Discrete(all)) if found.len() == width => {
            let found = found.iter().map(|index| (index - start) as u32);
            all[places].iter_mut().zip(found).for_each(|(place, index)| *place = index);
            return Ok(());
        }
        (Action::Continuous(found), ActionBatch::Continuous(all)) if found.len() == width => {
            all[places].copy_from_slice(found);
            return Ok(());
        }
        (Action::Discrete(found), _) => found.len(),
        (Action::Continuous(found), _) => found.len(),
    };
    Err(PolicyError::Length { what: "an action of the environment's kind", expected: width, found })
}

impl Policy for ToldPolicy {
    fn state_len(&self) -> usize {
        self.policy.memory_len()
    }

    fn act(&self, input: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        let wrong = |error: PolicyError| AgentError::Policy(error.to_string());
        let (rows, mask_len) = (input.num_rows, self.policy.program().mask_len);
        let state_len = self.policy.memory_len();
        let space = &self.policy.program().action;
        if input.action_masks.len() != rows * mask_len {
            let (expected, found) = (rows * mask_len, input.action_masks.len());
            return Err(wrong(PolicyError::Length { what: "action masks", expected, found }));
        }
        let mask = |row: usize| &input.action_masks[row * mask_len..(row + 1) * mask_len];
        let (mut episode, mut prepared) = (self.policy.begin(), Vec::new());
        for row in 0..rows {
            let state = &mut actor.state[row * state_len..(row + 1) * state_len];
            if input.resets[row] {
                episode.begin_again();
            } else {
                episode.go_on_with(state).map_err(wrong)?;
            }
            let observation = row_of(input.observations, row, rows);
            if self.network.is_some() {
                self.policy.prepare(&mut episode, observation, &mut prepared).map_err(wrong)?;
            } else {
                let action = self.policy.act(&mut episode, observation, mask(row)).map_err(wrong)?;
                write_action(&action, space, (row, rows), output.actions).map_err(wrong)?;
            }
            state.copy_from_slice(episode.remembered());
        }
        if let Some(network) = &self.network {
            let mut outputs = Vec::new();
            network.run(&prepared, &mut ToldScratch::default(), &mut outputs)?;
            for (row, outputs) in outputs.chunks_exact(network.outputs()).enumerate() {
                let action = self.policy.decide(&mut episode, outputs, mask(row)).map_err(wrong)?;
                write_action(&action, space, (row, rows), output.actions).map_err(wrong)?;
            }
        }
        Ok(())
    }
}
