//! Acts by what the world model makes of all that was observed.

use std::sync::Arc;

use agon_nn::losses::mixed_categorical::MixedProbs;
use agon_nn::rssm::Latents;
use agon_nn::{Packed, PackedRssm, Params, Sequential};

use super::actions::Actions;
use super::dream::Heads;
use super::world::World;
use crate::AgentError;
use crate::policy::{ActInput, ActMode, ActOutput, Actor, Policy};
use crate::world_model::WorldModel;
use crate::world_model::acts::uniform;

/// A snapshot of world model and policy.
///
/// What it remembers of a row: the deterministic state, the class of each latent variable plus one, and what was done last. All
/// zeros are the state before an episode.
pub(super) struct DreamerPolicy {
    pub(super) world: Arc<World>,
    pub(super) actions: Actions,
    actor: Sequential,
    pub(super) encoder: Packed,
    pub(super) rssm: PackedRssm,
    of_actor: Packed,
    pub(super) heads: Heads,
}

/// How a remembered row is divided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remembered {
    deterministic: usize,
    latents: usize,
    classes: usize,
    actions: usize,
}

impl Remembered {
    pub(super) fn of(world: &World, actions: &Actions) -> Self {
        Self {
            deterministic: world.rssm.deterministic(),
            latents: world.rssm.latents(),
            classes: world.rssm.distribution().classes(),
            actions: actions.len(),
        }
    }

    /// Numbers of a row, `S`.
    pub(super) fn len(&self) -> usize {
        self.deterministic + self.latents + self.actions
    }

    /// Appends what a row remembers: its deterministic state, its latent variables as zeros and ones, and what was done.
    pub(super) fn read(
        &self,
        row: &[f32],
        deterministic: &mut Vec<f32>,
        latents: &mut Vec<f32>,
        actions: &mut Vec<f32>,
    ) {
        let (hidden, rest) = row.split_at(self.deterministic);
        let (classes, done) = rest.split_at(self.latents);
        deterministic.extend_from_slice(hidden);
        for class in classes {
            let at = latents.len();
            latents.resize(at + self.classes, 0.0);
            // Zero is none; what a damaged state says beyond the classes is none either.
            if let Some(latent) =
                (*class as usize).checked_sub(1).and_then(|class| latents[at..].get_mut(class))
            {
                *latent = 1.0;
            }
        }
        actions.extend_from_slice(done);
    }

    fn write(
        &self,
        deterministic: &[f32],
        classes: impl Iterator<Item = usize>,
        done: &[f32],
        row: &mut [f32],
    ) {
        let (hidden, rest) = row.split_at_mut(self.deterministic);
        let (latents, actions) = rest.split_at_mut(self.latents);
        hidden.copy_from_slice(deterministic);
        latents.iter_mut().zip(classes).for_each(|(latent, class)| *latent = (class + 1) as f32);
        actions.copy_from_slice(done);
    }
}

impl DreamerPolicy {
    /// A snapshot with these parameters.
    pub(super) fn of(
        world: &Arc<World>,
        of_world: &Params,
        actions: &Actions,
        (actor, of_actor): (&Sequential, &Params),
    ) -> Result<Arc<dyn Policy>, AgentError> {
        Ok(Arc::new(Self {
            encoder: Packed::new(&world.encoder, of_world)?,
            rssm: PackedRssm::new(&world.rssm, of_world)?,
            of_actor: Packed::new(actor, of_actor)?,
            heads: Heads::new(world, of_world)?,
            world: Arc::clone(world),
            actions: actions.clone(),
            actor: actor.clone(),
        }))
    }
}

impl Policy for DreamerPolicy {
    fn world_model(&self) -> Option<&dyn WorldModel> {
        Some(self)
    }

    fn state_len(&self) -> usize {
        Remembered::of(&self.world, &self.actions).len()
    }

    fn act(&self, input: &ActInput<'_>, actor: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
        let Actor { rng, state, scratch, rssm_scratch, outputs, buffer, .. } = actor;
        let (rows, rssm) = (input.num_rows, &self.world.rssm);
        let remembered = Remembered::of(&self.world, &self.actions);
        let (mut deterministic, mut latents, mut done) = (Vec::new(), Vec::new(), Vec::new());
        for (row, state) in state.chunks_exact_mut(remembered.len()).enumerate() {
            if input.resets.get(row) == Some(&true) {
                state.fill(0.0);
            }
            remembered.read(state, &mut deterministic, &mut latents, &mut done);
        }
        rssm.advance(&self.rssm, (&latents, &done), &[], &mut deterministic, rssm_scratch)?;
        let mut embedded = vec![0.0; rows * rssm.embedded()];
        let seen = self.world.sight.rows(input.observations, buffer);
        self.world.encoder.infer(&self.encoder, seen, rows, scratch, &mut embedded)?;
        let explores = input.mode == ActMode::Explore;
        let noise: Vec<f32> =
            (0..if explores { rows * rssm.latents() } else { 0 }).map(|_| uniform(rng)).collect();
        let chosen = if explores { Latents::Drawn(&noise) } else { Latents::MostProbable };
        rssm.posterior(&self.rssm, (&deterministic, &embedded), chosen, rssm_scratch, &mut latents)?;

        let mut features = Vec::with_capacity(rows * rssm.features());
        let pairs =
            deterministic.chunks_exact(rssm.deterministic()).zip(latents.chunks_exact(rssm.latent_values()));
        for (hidden, latents) in pairs.clone() {
            features.extend_from_slice(hidden);
            features.extend_from_slice(latents);
        }
        outputs.resize(rows * self.actor.outputs(), 0.0);
        self.actor.infer(&self.of_actor, &features, rows, scratch, outputs)?;
        let generator = if explores { Some(rng) } else { None };
        self.actions.choose(outputs, generator, &mut MixedProbs::default(), &mut done)?;
        self.actions.done(&mut done);
        self.actions.acts.write(&done, output.actions);
        let states = state.chunks_exact_mut(remembered.len());
        for (((hidden, latents), done), state) in pairs.zip(done.chunks_exact(self.actions.len())).zip(states)
        {
            remembered.write(hidden, rssm.classes_of(latents), done, state);
        }
        Ok(())
    }
}
