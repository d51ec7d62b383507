//! What M makes up: trials of controllers, and the course of an episode for whoever looks at it.

use agon_envs::Pcg64;
use agon_nn::{Matrix, Packed, PackedMemory, Params, Scratch};
use rand_distr::{Distribution as _, StandardNormal};

use super::config::VmcConfig;
use super::controller::Controller;
use super::foresight::Foresight;
use super::policy::VmcPolicy;
use crate::AgentError;
use crate::world_model::acts::uniform;
use crate::world_model::numbers::numbers;
use crate::world_model::sequences::Sequences;
use crate::world_model::{Dream, Lived, WorldModel};

/// M's networks as dreaming reads them.
pub(super) struct PackedForesight {
    pub(super) memory: PackedMemory,
    mixtures: Packed,
    reward: Packed,
    continuation: Packed,
}

impl PackedForesight {
    pub(super) fn new(foresight: &Foresight, params: &Params) -> Result<Self, AgentError> {
        Ok(Self {
            memory: PackedMemory::new(&foresight.memory, params)?,
            mixtures: Packed::new(&foresight.mixtures, params)?,
            reward: Packed::new(&foresight.reward, params)?,
            continuation: Packed::new(&foresight.continuation, params)?,
        })
    }
}

/// Replayed sequences as M has read them.
#[derive(Debug)]
pub(super) struct Lessons {
    /// `[T · B, L + A]`.
    pub(super) inputs: Matrix,
    /// `[T · B, L]`: what was seen.
    pub(super) latents: Matrix,
    /// `[B, S]`: the memory before.
    pub(super) states: Matrix,
}

/// Where dreams begin.
#[derive(Debug, Default)]
pub(super) struct Starts {
    /// `[N, S]`: the memory.
    states: Vec<f32>,
    /// `[N, H]`: what it puts out.
    hidden: Vec<f32>,
    /// `[N, L]`: what is seen.
    latents: Vec<f32>,
}

impl Starts {
    fn len(&self, latents: usize) -> usize {
        self.latents.len() / latents
    }
}

/// Working memory of dreams.
#[derive(Debug, Default)]
pub(super) struct DreamScratch {
    layers: Scratch,
    states: Vec<f32>,
    hidden: Vec<f32>,
    latents: Vec<f32>,
    inputs: Vec<f32>,
    features: Vec<f32>,
    mixtures: Vec<f32>,
    rewards: Vec<f32>,
    continues: Vec<f32>,
    alive: Vec<f32>,
    noise: Vec<(f32, f32)>,
}

/// Trials of controllers in dreams.
pub(super) struct Dreaming<'a> {
    config: &'a VmcConfig,
    foresight: &'a Foresight,
    controller: &'a Controller,
    packed: PackedForesight,
}

impl<'a> Dreaming<'a> {
    pub(super) fn new(
        config: &'a VmcConfig,
        (foresight, params): (&'a Foresight, &Params),
        controller: &'a Controller,
    ) -> Result<Self, AgentError> {
        Ok(Self { config, foresight, controller, packed: PackedForesight::new(foresight, params)? })
    }

    /// A moment of some sequences after which something follows, drawn for each of them; those without one are left out.
    ///
    /// # Errors
    /// If the sequences are of another network.
    pub(super) fn begin(
        &self,
        sequences: &Sequences,
        lessons: &Lessons,
        chosen: impl Iterator<Item = usize>,
        rng: &mut Pcg64,
    ) -> Result<Starts, AgentError> {
        let (memory, latents) = (&self.foresight.memory, &lessons.latents);
        let (rows, width) = (lessons.states.rows(), latents.columns());
        let steps = latents.rows() / rows;
        let mut starts = Starts::default();
        let of = |matrix: &Matrix, row: usize| {
            matrix.as_slice()[row * matrix.columns()..(row + 1) * matrix.columns()].to_vec()
        };
        for row in chosen {
            let begins: Vec<usize> =
                (0..steps).filter(|step| sequences.continues[step * rows + row]).collect();
            if begins.is_empty() {
                continue;
            }
            let begin = begins[rng.integers(0, begins.len() as i64) as usize];
            let (mut state, mut hidden) = (of(&lessons.states, row), vec![0.0; memory.outputs()]);
            for at in (0..=begin).map(|step| step * rows + row) {
                let resets = &sequences.resets[at..=at];
                memory.step(
                    &self.packed.memory,
                    &of(&lessons.inputs, at),
                    resets,
                    &mut state,
                    &mut hidden,
                )?;
            }
            starts.states.extend(state);
            starts.hidden.extend(hidden);
            let at = (begin * rows + row) * width;
            starts.latents.extend_from_slice(&latents.as_slice()[at..at + width]);
        }
        Ok(starts)
    }

    /// Adds to the fitness of each candidate, `[P]`, what it is paid, discounted, in a dream from each start. All candidates dream
    /// with the same noise.
    pub(super) fn trial(
        &self,
        candidates: &[f32],
        starts: &Starts,
        rng: &mut Pcg64,
        scratch: &mut DreamScratch,
        fitness: &mut [f64],
    ) -> Result<(), AgentError> {
        let (foresight, controller, packed) = (self.foresight, self.controller, &self.packed);
        let (memory, latents, acts) = (&foresight.memory, foresight.latents(), controller.acts.len());
        let (population, begun) = (fitness.len(), starts.len(latents));
        let rows = begun * population;
        if rows == 0 {
            return Ok(());
        }
        let DreamScratch { layers, states, hidden, latents: seen, inputs, features, .. } = scratch;
        let each = |values: &[f32], width: usize, out: &mut Vec<f32>| {
            out.clear();
            for row in values.chunks_exact(width) {
                (0..population).for_each(|_| out.extend_from_slice(row));
            }
        };
        each(&starts.states, memory.state_len(), states);
        each(&starts.hidden, memory.outputs(), hidden);
        each(&starts.latents, latents, seen);
        scratch.alive.clear();
        scratch.alive.resize(rows, 1.0);
        let each = foresight.gaussians.outputs();
        let mut action = vec![0.0; acts];
        scratch.mixtures.resize(rows * foresight.mixtures.outputs(), 0.0);
        for _ in 0..self.config.horizon {
            inputs.clear();
            for row in 0..rows {
                let of_row = row % population * controller.len();
                features.clear();
                features.extend_from_slice(&seen[row * latents..(row + 1) * latents]);
                features.extend_from_slice(&hidden[row * memory.outputs()..(row + 1) * memory.outputs()]);
                controller.act(&candidates[of_row..of_row + controller.len()], features, &mut action);
                inputs.extend_from_slice(&features[..latents]);
                inputs.extend_from_slice(&action);
            }
            memory.step(&packed.memory, inputs, &[], states, hidden)?;
            foresight.mixtures.infer(&packed.mixtures, &*hidden, rows, layers, &mut scratch.mixtures)?;
            scratch.noise.clear();
            scratch.noise.extend((0..begun * latents).map(|_| (uniform(rng), StandardNormal.sample(rng))));
            let outputs = scratch.mixtures.chunks_exact(each);
            for ((index, latent), outputs) in seen.iter_mut().enumerate().zip(outputs) {
                let (row, place) = (index / latents, index % latents);
                let noise = scratch.noise[row / population * latents + place];
                *latent = foresight.gaussians.draw(outputs, noise, self.config.temperature as f32);
            }
            told_of(
                foresight,
                packed,
                (hidden, seen),
                inputs,
                layers,
                [&mut scratch.rewards, &mut scratch.continues],
            )?;
            for row in 0..rows {
                fitness[row % population] += f64::from(scratch.alive[row] * scratch.rewards[row]);
                scratch.alive[row] *= self.config.gamma as f32 * scratch.continues[row];
            }
        }
        Ok(())
    }
}

/// What the way to each moment paid, and the probability that it goes on, `[B]` each, by what M puts out there, `[B, H]`, and the
/// latent variables, `[B, L]`.
fn told_of(
    foresight: &Foresight,
    packed: &PackedForesight,
    (hidden, latents): (&[f32], &[f32]),
    joined: &mut Vec<f32>,
    layers: &mut Scratch,
    [rewards, continues]: [&mut Vec<f32>; 2],
) -> Result<(), AgentError> {
    joined.clear();
    let widths = (foresight.memory.outputs(), foresight.latents());
    for (hidden, latents) in hidden.chunks_exact(widths.0).zip(latents.chunks_exact(widths.1)) {
        joined.extend_from_slice(hidden);
        joined.extend_from_slice(latents);
    }
    let rows = hidden.len() / widths.0;
    let mut logits = vec![0.0; rows * foresight.two_hot.bins()];
    foresight.reward.infer(&packed.reward, &*joined, rows, layers, &mut logits)?;
    rewards.clear();
    numbers(&foresight.two_hot, &logits, rewards)?;
    continues.resize(rows, 0.0);
    foresight.continuation.infer(&packed.continuation, &*joined, rows, layers, continues)?;
    agon_nn::kernels::sigmoid(continues);
    Ok(())
}

/// A memory that moves on, and all that it was told.
#[derive(Default)]
struct Course {
    state: Vec<f32>,
    hidden: Vec<f32>,
    latents: Vec<f32>,
    all_hidden: Vec<f32>,
    all_latents: Vec<f32>,
}

impl WorldModel for VmcPolicy {
    fn dream(&self, lived: &Lived<'_>, context: usize) -> Result<Dream, AgentError> {
        let (foresight, acts) = (&self.minds.foresight, &self.minds.controller.acts);
        let (latents, width) = (foresight.latents(), self.minds.vision.len());
        let moments = lived.moments((width, acts.width()), context)?;
        let encoded = self.encode(crate::network::rows(lived.observations), moments)?;
        let new = || Course {
            state: vec![0.0; foresight.memory.state_len()],
            hidden: vec![0.0; foresight.memory.outputs()],
            latents: vec![0.0; latents],
            ..Course::default()
        };
        let (mut layers, mut outputs) = (Scratch::new(), vec![0.0; foresight.mixtures.outputs()]);
        let (mut seeing, mut blind) = (new(), new());
        let mut action = vec![0.0; acts.len()];
        for moment in 0..moments {
            if let Some(before) = moment.checked_sub(1) {
                acts.read(lived.actions.row(before, acts.width()), &mut action);
            }
            for (course, sees) in [(&mut seeing, true), (&mut blind, moment < context)] {
                let input = [&course.latents[..], &action].concat();
                let memory = &self.packed.memory;
                foresight.memory.step(memory, &input, &[], &mut course.state, &mut course.hidden)?;
                if sees {
                    course.latents.copy_from_slice(&encoded[moment * latents..(moment + 1) * latents]);
                } else {
                    let hidden = &course.hidden[..];
                    foresight.mixtures.infer(&self.packed.mixtures, hidden, 1, &mut layers, &mut outputs)?;
                    let mixtures = outputs.chunks_exact(foresight.gaussians.outputs());
                    course
                        .latents
                        .iter_mut()
                        .zip(mixtures)
                        .for_each(|(latent, outputs)| *latent = foresight.gaussians.likeliest(outputs));
                }
                course.all_hidden.extend_from_slice(&course.hidden);
                course.all_latents.extend_from_slice(&course.latents);
            }
        }
        let (mut rewards, mut continues) = (Vec::new(), Vec::new());
        let dreamed = (&blind.all_hidden[..], &blind.all_latents[..]);
        told_of(
            foresight,
            &self.packed,
            dreamed,
            &mut Vec::new(),
            &mut layers,
            [&mut rewards, &mut continues],
        )?;
        rewards[0] = 0.0;
        Ok(Dream {
            reconstructed: self.minds.vision.told(&self.of_vision, &seeing.all_latents)?,
            imagined: self.minds.vision.told(&self.of_vision, &blind.all_latents)?,
            rewards,
            continues,
        })
    }
}
