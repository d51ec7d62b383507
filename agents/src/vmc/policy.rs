//! Acts by what V sees now and what M remembers.

use std::sync::Arc;

use agon_nn::{Packed, Params, Rows, Scratch};

use super::dream::PackedForesight;
use super::{Minds, Parameters};
use crate::AgentError;
use crate::network;
use crate::policy::{ActInput, ActMode, ActOutput, Actor, Policy};
use crate::world_model::WorldModel;
use crate::world_model::acts::uniform;

/// A snapshot of V, M and C.
pub(super) struct VmcPolicy {
    pub(super) minds: Arc<Minds>,
    pub(super) of_vision: Params,
    encoder: Packed,
    pub(super) packed: PackedForesight,
    controller: Vec<f32>,
    learning_starts: u64,
    epsilon: f32,
}

/// How a remembered row is divided: the memory's state, what was seen, and what was done. All zeros are the state before an
/// episode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remembered {
    pub(super) memory: usize,
    pub(super) latents: usize,
    pub(super) action: usize,
}

impl Remembered {
    pub(super) fn len(&self) -> usize {
        self.memory + self.latents + self.action
    }

    pub(super) fn parts<'a>(&self, row: &'a [f32]) -> [&'a [f32]; 3] {
        let (memory, rest) = row.split_at(self.memory);
        let (latents, action) = rest.split_at(self.latents);
        [memory, latents, action]
    }
}

impl VmcPolicy {
    /// A snapshot with these parameters.
    pub(super) fn of(minds: &Arc<Minds>, parameters: &Parameters<'_>) -> Result<Arc<dyn Policy>, AgentError> {
        Ok(Arc::new(Self {
            of_vision: parameters.vision.clone(),
            encoder: Packed::new(minds.vision.vae().encoder(), parameters.vision)?,
            packed: PackedForesight::new(&minds.foresight, parameters.foresight)?,
            controller: minds.controller.weights(parameters.controller).to_vec(),
            learning_starts: minds.config.learning_starts,
            epsilon: minds.config.epsilon as f32,
            minds: Arc::clone(minds),
        }))
    }

    /// The means of the latent variables of observations, `[B, L]`.
    pub(super) fn encode(&self, seen: Rows<'_>, rows: usize) -> Result<Vec<f32>, AgentError> {
        let (vision, latents) = (&self.minds.vision, self.minds.vision.latents());
        let seen = vision.read(seen)?;
        let mut posterior = vec![0.0; rows * 2 * latents];
        let encoder = vision.vae().encoder();
        encoder.infer(&self.encoder, seen.as_slice(), rows, &mut Scratch::new(), &mut posterior)?;
        Ok(posterior.chunks_exact(2 * latents).flat_map(|row| &row[..latents]).copied().collect())
    }
}

impl Policy for VmcPolicy {
    fn world_model(&self) -> Option<&dyn WorldModel> {
        Some(self)
    }

    fn state_len(&self) -> usize {
        self.minds.remembered().len()
    }

    fn act(&self, input: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        let Actor { rng, state, buffer, .. } = actor;
        let (rows, remembered, memory) =
            (input.num_rows, self.minds.remembered(), &self.minds.foresight.memory);
        let (mut memories, mut inputs) = (Vec::new(), Vec::new());
        for (row, state) in state.chunks_exact_mut(remembered.len()).enumerate() {
            if input.resets.get(row) == Some(&true) {
                state.fill(0.0);
            }
            let [before, latents, action] = remembered.parts(state);
            memories.extend_from_slice(before);
            inputs.extend_from_slice(latents);
            inputs.extend_from_slice(action);
        }
        let mut hidden = vec![0.0; rows * memory.outputs()];
        memory.step(&self.packed.memory, &inputs, &[], &mut memories, &mut hidden)?;
        let latents = self.encode(network::rows(input.observations), rows)?;

        let controller = &self.minds.controller;
        let mut actions = vec![0.0; rows * controller.acts.len()];
        let seen = latents.chunks_exact(remembered.latents).zip(hidden.chunks_exact(memory.outputs()));
        for ((latents, hidden), action) in seen.zip(actions.chunks_exact_mut(controller.acts.len())) {
            let explores = input.mode == ActMode::Explore
                && (uniform(rng) < self.epsilon || input.env_steps < self.learning_starts);
            if explores {
                controller.explore(rng, action);
            } else {
                buffer.clear();
                buffer.extend_from_slice(latents);
                buffer.extend_from_slice(hidden);
                controller.act(&self.controller, buffer, action);
            }
        }
        controller.acts.write(&actions, output.actions);
        for (row, state) in state.chunks_exact_mut(remembered.len()).enumerate() {
            let part = |values: &[f32], width: usize| values[row * width..(row + 1) * width].to_vec();
            let all = [
                part(&memories, remembered.memory),
                part(&latents, remembered.latents),
                part(&actions, remembered.action),
            ];
            state.copy_from_slice(&all.concat());
        }
        Ok(())
    }
}
