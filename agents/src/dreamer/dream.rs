//! What the world model makes of an episode that was lived.

use agon_nn::rssm::Latents;
use agon_nn::{Packed, Params, RssmScratch, Scratch};

use super::policy::DreamerPolicy;
use super::world::World;
use crate::AgentError;
use crate::world_model::numbers::numbers;
use crate::world_model::{Dream, Lived, WorldModel};

/// The heads of a world model, which acting has no use for.
pub(super) struct Heads {
    decoder: Packed,
    reward: Packed,
    continuation: Packed,
}

impl Heads {
    pub(super) fn new(world: &World, params: &Params) -> Result<Self, AgentError> {
        Ok(Self {
            decoder: Packed::new(&world.decoder, params)?,
            reward: Packed::new(&world.reward, params)?,
            continuation: Packed::new(&world.continuation, params)?,
        })
    }

    /// What states say, `[B, F]`: observations, rewards and continuations.
    fn tell(
        &self,
        world: &World,
        states: &[f32],
        scratch: &mut Scratch,
    ) -> Result<[Vec<f32>; 3], AgentError> {
        let rows = states.len() / world.rssm.features();
        let mut outputs = vec![0.0; rows * world.sight.outputs()];
        world.decoder.infer(&self.decoder, states, rows, scratch, &mut outputs)?;
        let observations = world.sight.told(&outputs);
        let mut logits = vec![0.0; rows * world.two_hot.bins()];
        world.reward.infer(&self.reward, states, rows, scratch, &mut logits)?;
        let mut rewards = Vec::with_capacity(rows);
        numbers(&world.two_hot, &logits, &mut rewards)?;
        let mut continues = vec![0.0; rows];
        world.continuation.infer(&self.continuation, states, rows, scratch, &mut continues)?;
        agon_nn::kernels::sigmoid(&mut continues);
        Ok([observations, rewards, continues])
    }
}

/// A state that moves on, and all that it was.
struct Course {
    deterministic: Vec<f32>,
    latents: Vec<f32>,
    states: Vec<f32>,
}

impl Course {
    fn new(world: &World) -> Self {
        let (deterministic, latents) =
            (vec![0.0; world.rssm.deterministic()], vec![0.0; world.rssm.latent_values()]);
        Self { deterministic, latents, states: Vec::new() }
    }

    fn keep(&mut self) {
        self.states.extend_from_slice(&self.deterministic);
        self.states.extend_from_slice(&self.latents);
    }
}

impl WorldModel for DreamerPolicy {
    fn dream(&self, lived: &Lived<'_>, context: usize) -> Result<Dream, AgentError> {
        let (world, rssm) = (&self.world, &self.world.rssm);
        let (width, per_action) = (world.sight.len(), self.actions.acts.width());
        let moments = lived.moments((width, per_action), context)?;
        let (mut scratch, mut layers, mut buffer) = (RssmScratch::default(), Scratch::new(), Vec::new());
        let (mut seeing, mut blind) = (Course::new(world), Course::new(world));
        let mut action = vec![0.0; self.actions.len()];
        let mut embedded = vec![0.0; rssm.embedded()];
        let seen = world.sight.rows(lived.observations, &mut buffer);
        for moment in 0..moments {
            if let Some(before) = moment.checked_sub(1) {
                self.actions.acts.read(lived.actions.row(before, per_action), &mut action);
            }
            let observation = seen.of(width, &(moment..moment + 1));
            world.encoder.infer(&self.encoder, observation, 1, &mut layers, &mut embedded)?;
            for (course, sees) in [(&mut seeing, true), (&mut blind, moment < context)] {
                let Course { deterministic, latents, .. } = course;
                rssm.advance(&self.rssm, (latents, &action), &[], deterministic, &mut scratch)?;
                if sees {
                    let seen = (&deterministic[..], &embedded[..]);
                    rssm.posterior(&self.rssm, seen, Latents::MostProbable, &mut scratch, latents)?;
                } else {
                    rssm.prior(&self.rssm, deterministic, Latents::MostProbable, &mut scratch, latents)?;
                }
                course.keep();
            }
        }
        let [reconstructed, ..] = self.heads.tell(world, &seeing.states, &mut layers)?;
        let [imagined, rewards, continues] = self.heads.tell(world, &blind.states, &mut layers)?;
        Ok(Dream { reconstructed, imagined, rewards, continues })
    }
}
