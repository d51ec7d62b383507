//! Acting: asking for a return, and being told what was paid.

use std::sync::Arc;

use agon_nn::{GptTokens, PackedGpt, Params};

use super::network::{ACTION, Network, OBSERVATION, RETURN, Returns};
use crate::policy::{ActInput, ActOutput, Actor, Policy};
use crate::{AgentError, network};

/// Where the numbers of a row's state lie, before those of the transformer.
const RETURN_TO_GO: usize = 0;
const TIMESTEP: usize = 1;
const LAST_ACTION: usize = 2;

/// A snapshot of the network, and the return that it aims at.
///
/// A row's state: the return-to-go, the step of the episode, what the last action's token is made of, and the transformer's
/// window with keys and values ([`agon_nn::Gpt::state_len`]).
#[derive(Clone)]
pub(super) struct ReturnConditioned {
    network: Arc<Network>,
    packed: Arc<PackedGpt>,
    /// Of each task: the return that is aimed at, and what returns are divided by.
    aims: Vec<Returns>,
}

impl ReturnConditioned {
    /// A snapshot that aims at a return, or at the best of the data.
    pub(super) fn of(
        network: &Arc<Network>,
        params: &Params,
        target_return: Option<f64>,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        let policy = Self {
            packed: Arc::new(PackedGpt::new(&network.gpt, params)?),
            aims: network.returns(params),
            network: Arc::clone(network),
        };
        Ok(Arc::new(match target_return {
            Some(target) => policy.with_target(target as f32),
            None => policy,
        }))
    }

    /// Aiming at a return, whatever the task.
    fn with_target(mut self, target: f32) -> Self {
        self.aims.iter_mut().for_each(|aim| aim.best = target);
        self
    }

    /// What a row aims at.
    fn aim(&self, input: &ActInput<'_>, row: usize) -> Returns {
        let task = input.tasks.get(row).map_or(0, |task| *task as usize);
        self.aims.get(task).copied().unwrap_or(Returns { best: 0.0, scale: 1.0 })
    }

    /// Numbers of a row's state before those of the transformer.
    fn header_len(&self) -> usize {
        LAST_ACTION + self.network.action_len()
    }

    /// Brings return-to-go and timestep up to this tick; gives where episodes begin, `[N]`.
    fn go_on(&self, input: &ActInput<'_>, state: &mut [f32]) -> Vec<bool> {
        let (header, rows) = (self.header_len(), state.chunks_exact_mut(self.state_len()));
        let begin = |(row, state): (usize, &mut [f32])| {
            // Nothing is remembered before an episode, whoever says so.
            let begins = input.resets.get(row) == Some(&true) || state[header] == 0.0;
            if begins {
                state.fill(0.0);
                state[RETURN_TO_GO] = self.aim(input, row).best;
            } else {
                let reward = input.rewards.get(row).copied().unwrap_or(0.0);
                state[RETURN_TO_GO] = (f64::from(state[RETURN_TO_GO]) - reward) as f32;
                state[TIMESTEP] += 1.0;
            }
            begins
        };
        rows.enumerate().map(begin).collect()
    }
}

impl Policy for ReturnConditioned {
    fn data_width(&self) -> usize {
        self.network.regressed.data_width()
    }

    fn state_len(&self) -> usize {
        self.header_len() + self.network.gpt.state_len()
    }

    fn aiming_at(&self, target_return: f64) -> Option<Arc<dyn Policy>> {
        Some(Arc::new(self.clone().with_target(target_return as f32)))
    }

    fn act(&self, input: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        let Actor { rng, state, scratch, outputs, choices, buffer, .. } = actor;
        let (rows, gpt) = (input.num_rows, &self.network.gpt);
        let (header, len, width) = (self.header_len(), self.state_len(), gpt.width());
        if state.len() != rows * len || !(input.rewards.is_empty() || input.rewards.len() == rows) {
            let (states, rewards) = (state.len(), input.rewards.len());
            return Err(AgentError::Policy(format!(
                "a policy that aims at a return needs {} values of state and {rows} rewards, or none, got {states} and {rewards}",
                rows * len
            )));
        }
        let begins = self.go_on(input, state);
        let scaled = |(row, state): (usize, &[f32])| state[RETURN_TO_GO] / self.aim(input, row).scale;
        let returns: Vec<f32> = state.chunks_exact(len).enumerate().map(scaled).collect();
        let now: Vec<u32> = state.chunks_exact(len).map(|state| state[TIMESTEP] as u32).collect();
        let before: Vec<u32> = now.iter().map(|timestep| timestep.saturating_sub(1)).collect();
        let actions: Vec<f32> =
            state.chunks_exact(len).flat_map(|state| &state[LAST_ACTION..header]).copied().collect();

        // What was done in the step before, then this step's return-to-go and observation; `[N, 3, E]`.
        buffer.resize(4 * rows * width, 0.0);
        let (tokens, embedded) = buffer.split_at_mut(3 * rows * width);
        let parts = [
            (ACTION, agon_nn::Rows::F32(&actions), &before),
            (RETURN, agon_nn::Rows::F32(&returns), &now),
            (OBSERVATION, network::rows(input.observations), &now),
        ];
        for (place, (kind, x, positions)) in parts.into_iter().enumerate() {
            gpt.embed(&self.packed, kind, x, positions, scratch, embedded)?;
            let to = tokens.chunks_exact_mut(width).skip(place).step_by(parts.len());
            to.zip(embedded.chunks_exact(width)).for_each(|(to, from)| to.copy_from_slice(from));
        }
        let skipped: Vec<usize> = begins.iter().map(|&begins| usize::from(begins)).collect();
        let new = GptTokens { tokens, skipped: &skipped, resets: &begins };
        let mut windows: Vec<&mut [f32]> =
            state.chunks_exact_mut(len).map(|state| &mut state[header..]).collect();
        outputs.resize(rows * gpt.outputs(), 0.0);
        gpt.extend(&self.packed, &new, &mut windows, scratch, outputs)?;
        let ActOutput { actions, policy_data } = output;
        let to = ActOutput { actions: &mut *actions, policy_data };
        self.network.regressed.act(outputs, input.action_masks, input.mode, rng, (choices, buffer), to)?;
        let last = state.chunks_exact_mut(len).map(|state| &mut state[LAST_ACTION..header]);
        self.network.write_actions(actions, last)
    }
}
