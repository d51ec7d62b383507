//! V-M-C: vision, memory and controller, each learned by itself; the controller in what the memory makes up.
//!
//! V, a variational autoencoder ([`agon_nn::generative`]), makes a few latent variables of an observation. M, a recurrent network
//! that puts out mixtures of Gaussians, predicts those of the next moment, what it pays and whether it goes on. C, a linear map of
//! both, evolves by what its dreams in M pay.
//!
//! ```text
//! V   −ln p(o | z) + β KL(q(z | o) ‖ N(0, 1))
//! M   −ln p(z_t | h_t) − ln p(r_t | h_t, z_t) − ln p(c_t | h_t, z_t),   h_t = M(z_{t−1}, a_{t−1}, h_{t−1})
//! C   a_t = W [z_t, h_t] + b,   chosen for Σ_k γ^k r_k Π c over dreamed steps
//! ```
//!
//! # Source
//! Ha and Schmidhuber 2018, "Recurrent World Models Facilitate Policy Evolution", arXiv:1803.10122: the experiment that evolves in
//! dreams, and section 5's iterations, which gather experience with the controller while the others learn.
//!
//! # Deviations
//! 1. All three go on learning from a replay buffer, instead of one after the other from 10,000 episodes of random actions.
//! 2. Dreams begin at moments of replayed sequences instead of at the beginning of an episode, have a fixed length, and discount
//!    rewards.
//! 3. Rewards, as bins of their symmetric logarithms, and ends are predicted from the moment that was reached, its latent variables
//!    included.
//! 4. The covariance matrix of the evolution is diagonal: the full one's cost grows with the square of the weights.
//! 5. C sees the means of the latent variables; M learns with draws of them.
//! 6. Numbers are told too, not only pictures, by their symmetric logarithms.

mod config;
mod controller;
mod dream;
mod evolution;
mod foresight;
mod policy;
mod vision;

use std::sync::Arc;

use agon_envs::Pcg64;
use agon_nn::{
    EncoderConfig, Matrix, MemoryConfig, ModelConfig, Params, RecurrentInit, Rows, Schedule, Summary,
};
use rand_distr::{Distribution as _, StandardNormal};

pub use config::VmcConfig;

use crate::experience::Experience;
use crate::learner::{PolicyInfo, RunInfo, Spaces, stream};
use crate::part::Part;
use crate::policy::Policy;
use crate::replay::ReplayBuffer;
use crate::replay_learner::{Plan, ReplayAlgorithm, ReplayLearner};
use crate::settings::replaying_sequences;
use crate::slices::{self, Slice, Sums, for_each_slice};
use crate::world_model::acts::Acts;
use crate::world_model::sequences::Sequences;
use crate::{AgentError, Weights, error};
use controller::Controller;
use dream::{DreamScratch, Dreaming, Lessons};
use evolution::{Evolution, Generation};
use foresight::{Foresight, ForesightSums};
use policy::{Remembered, VmcPolicy};
use vision::{Vision, VisionSums};

/// What V's tensors are called, before their own names; M's are the acting network's.
const VISION: &str = "vision.";
/// What C's are.
const CONTROLLER: &str = "controller.";
/// What the evolution remembers.
const EVOLUTION: &str = "evolution.";

/// Most numbers of a generation, of all controllers.
const MOST_CANDIDATES: usize = 1 << 26;

/// The learner.
pub type Vmc = ReplayLearner<VmcNetworks>;

/// V, M and C, without their parameters.
struct Minds {
    config: VmcConfig,
    vision: Vision,
    foresight: Foresight,
    controller: Controller,
}

/// The parameters of all of them.
struct Parameters<'a> {
    vision: &'a Params,
    foresight: &'a Params,
    controller: &'a Params,
}

/// The networks of V-M-C.
pub struct VmcNetworks {
    minds: Arc<Minds>,
    evolution: Evolution,
    generation: Generation,
    of_foresight: Part,
    of_vision: Part,
    of_controller: Part,
    of_evolution: Part,
    learning_rate: Schedule,
}

/// Working memory of one slice of a minibatch, and what its phases hand on.
#[derive(Debug, Default)]
pub struct SliceWork {
    sequences: Sequences,
    scratch: DreamScratch,
    /// The sequences as M reads them, once V has seen them.
    lessons: Option<Lessons>,
    /// `[P]`: of the candidates, in this slice's dreams.
    fitness: Vec<f64>,
}

/// Sums over updates.
#[derive(Clone, Copy, Debug, Default)]
pub struct VmcSums {
    vision: VisionSums,
    foresight: ForesightSums,
    /// Mean fitness of generations.
    fitness: f64,
    generations: usize,
}

impl Sums for VmcSums {
    fn add(&mut self, other: &Self) {
        self.vision.add(&other.vision);
        self.foresight.add(&other.foresight);
        self.fitness += other.fitness;
        self.generations += other.generations;
    }
}

impl Minds {
    /// All three, and the parameters of V and M to be.
    fn layout(
        config: &VmcConfig,
        network: &ModelConfig,
        spaces: &Spaces,
    ) -> Result<(Self, [agon_nn::LayoutBuilder; 2]), AgentError> {
        let acts = Acts::new("vmc", spaces)?;
        let (vision, of_vision) = Vision::layout(config, network, spaces)?;
        let (foresight, of_foresight) = Foresight::layout(config, network, &acts)?;
        let controller = Controller::new(acts, config.latents + foresight.memory.outputs());
        let minds = Self { config: config.clone(), vision, foresight, controller };
        Ok((minds, [of_vision, of_foresight]))
    }

    fn remembered(&self) -> Remembered {
        Remembered {
            memory: self.foresight.memory.state_len(),
            latents: self.vision.latents(),
            action: self.controller.acts.len(),
        }
    }

    fn summary(&self) -> Summary {
        let mut parts = vec![
            ("vision.encoder".to_owned(), self.vision.vae().encoder().summary()),
            ("vision.decoder".to_owned(), self.vision.vae().decoder().summary()),
        ];
        parts.extend(self.foresight.summary.iter().cloned());
        Summary { parts }
    }

    /// V's gradient of the sequences that begin at some slots; keeps them and what was seen.
    fn see(
        &self,
        params: &Params,
        replay: &ReplayBuffer,
        starts: &[u32],
        seed: u64,
        work: &mut SliceWork,
        grads: &mut [f32],
    ) -> Result<VmcSums, AgentError> {
        let (remembered, steps) = (self.remembered(), self.config.sequence_length);
        let (mut states, mut before, mut done) = (Vec::new(), Vec::new(), Vec::new());
        for &start in starts {
            let [memory, latents, action] = remembered.parts(replay.state(start));
            states.extend_from_slice(memory);
            before.extend_from_slice(latents);
            done.extend_from_slice(action);
        }
        work.sequences.read(replay, &self.controller.acts, starts, &done, steps);
        let seen = replay.moments(work.sequences.moments.iter().copied())?;
        let seen = self.vision.read(Rows::from(&seen))?;
        let mut rng = Pcg64::seed_from(seed);
        let mut noise = Matrix::zeros(seen.rows(), self.vision.latents())?;
        noise.as_mut_slice().iter_mut().for_each(|value| *value = StandardNormal.sample(&mut rng));
        let (vision, latents) = self.vision.backward(params, (&seen, &noise), self.scale(), grads)?;
        let inputs = self.foresight.inputs(&work.sequences, &latents, &before)?;
        let states = Matrix::from_slice(starts.len(), remembered.memory, &states)?;
        work.lessons = Some(Lessons { inputs, latents, states });
        Ok(VmcSums { vision, ..VmcSums::default() })
    }

    /// M's gradient of the sequences that V has seen.
    fn foresee(&self, params: &Params, work: &SliceWork, grads: &mut [f32]) -> Result<VmcSums, AgentError> {
        let Some(Lessons { inputs, latents, states }) = &work.lessons else { return Ok(VmcSums::default()) };
        let lessons = (inputs, latents);
        let foresight =
            self.foresight.backward(params, &work.sequences, lessons, states, self.scale(), grads)?;
        Ok(VmcSums { foresight, ..VmcSums::default() })
    }

    /// One over the moments of an update.
    fn scale(&self) -> f32 {
        1.0 / (self.config.batch_size * self.config.sequence_length) as f32
    }
}

impl VmcNetworks {
    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            vision: &self.of_vision.params,
            foresight: &self.of_foresight.params,
            controller: &self.of_controller.params,
        }
    }

    /// A generation of controllers, which dream from moments of the sequences that the slices have seen; gives their mean fitness.
    fn evolve(
        &mut self,
        slices: &mut [Slice<SliceWork, VmcSums>],
        rng: &mut Pcg64,
    ) -> Result<f64, AgentError> {
        let Self { minds, evolution, generation, of_foresight, of_controller, of_evolution, .. } = self;
        let mean = minds.controller.weights_mut(&mut of_controller.params);
        evolution.draw(&of_evolution.params, mean, rng, generation);
        let seed = rng.next_u64();
        let foresight = (&minds.foresight, &of_foresight.params);
        let dreaming = Dreaming::new(&minds.config, foresight, &minds.controller)?;
        let (candidates, count, rows) = (&generation.candidates, slices.len(), minds.config.batch_size);
        slices::for_each(slices, |index, slice| {
            let SliceWork { sequences, lessons, scratch, fitness } = &mut slice.work;
            fitness.clear();
            fitness.resize(minds.config.population, 0.0);
            let Some(lessons) = lessons.take() else { return Ok(()) };
            let mut rng = Pcg64::seed_from(stream(seed, index as u32));
            // The same ones of the minibatch, however it is sliced.
            let (first, stride) =
                (slices::slice_range(rows, count, index).start, minds.config.dream_stride());
            let chosen = (0..lessons.states.rows()).filter(|row| (first + row).is_multiple_of(stride));
            let starts = dreaming.begin(sequences, &lessons, chosen, &mut rng)?;
            dreaming.trial(candidates, &starts, &mut rng, scratch, fitness)
        })?;
        let mut fitness = vec![0.0; minds.config.population];
        for slice in &*slices {
            fitness.iter_mut().zip(&slice.work.fitness).for_each(|(sum, one)| *sum += one);
        }
        fitness.iter_mut().for_each(|sum| *sum /= minds.config.dreams as f64);
        evolution.select(&mut of_evolution.params, mean, generation, &fitness);
        let kept = 1.0 - minds.config.weight_decay as f32;
        mean.iter_mut().for_each(|weight| *weight *= kept);
        Ok(fitness.iter().sum::<f64>() / minds.config.population as f64)
    }
}

impl ReplayAlgorithm for VmcNetworks {
    type Config = VmcConfig;
    type Work = SliceWork;
    type Sums = VmcSums;

    const METRICS: &'static [&'static str] = &[
        "charts/learning_rate",
        "losses/reconstruction_loss",
        "losses/kl",
        "charts/elbo",
        "losses/mixture_loss",
        "losses/reward_loss",
        "losses/continuation_loss",
        "charts/dreamed_return",
        "charts/evolution_step_size",
    ];

    fn default_network() -> ModelConfig {
        let memory = MemoryConfig::Lstm { hidden: 128, init: RecurrentInit::default() };
        ModelConfig { encoder: EncoderConfig::Auto, memory, ..ModelConfig::default() }
    }

    fn new(config: VmcConfig, network: &ModelConfig, info: &RunInfo) -> Result<(Self, Plan), AgentError> {
        config.validate(info)?;
        let (minds, [of_vision, of_foresight]) = Minds::layout(&config, network, &info.spaces)?;
        let len = minds.controller.len();
        if len.saturating_mul(config.population) > MOST_CANDIDATES {
            let expected = format!("at most {} for controllers of {len} weights", MOST_CANDIDATES / len);
            return Err(AgentError::setting("population", expected, config.population));
        }
        let remembered = minds.remembered().len();
        let plan = Plan::of_sequences("vmc", replaying_sequences!(config), remembered, info)?;
        let bounds = [config.least_std, config.greatest_std];
        let evolution = Evolution::new(len, config.population, bounds);
        let algorithm = Self {
            of_foresight: Part::trained("", of_foresight.build(stream(info.seed, 0)), config.optimizer)?,
            of_vision: Part::trained(VISION, of_vision.build(stream(info.seed, 2)), config.optimizer)?,
            of_controller: Part::fixed(CONTROLLER, minds.controller.layout().build(0)),
            of_evolution: Part::fixed(EVOLUTION, evolution.begin(config.initial_std)),
            learning_rate: config.learning_rate.schedule(info.total_timesteps),
            generation: Generation::default(),
            minds: Arc::new(minds),
            evolution,
        };
        Ok((algorithm, plan))
    }

    fn policy_from(
        config: &VmcConfig,
        network: &ModelConfig,
        info: &PolicyInfo,
        weights: &Weights,
    ) -> Result<Arc<dyn Policy>, AgentError> {
        let (minds, [of_vision, of_foresight]) = Minds::layout(config, network, &info.spaces)?;
        let networks = [("", of_foresight), (VISION, of_vision), (CONTROLLER, minds.controller.layout())];
        let [foresight, vision, controller]: [Params; 3] = weights.params_of(networks, &[EVOLUTION])?;
        let parameters = Parameters { vision: &vision, foresight: &foresight, controller: &controller };
        VmcPolicy::of(&Arc::new(minds), &parameters)
    }

    fn policy(&self) -> Result<Arc<dyn Policy>, AgentError> {
        VmcPolicy::of(&self.minds, &self.parameters())
    }

    fn summary(&self) -> Summary {
        self.minds.summary()
    }

    fn parts(&self) -> Vec<&Part> {
        vec![&self.of_foresight, &self.of_vision, &self.of_controller, &self.of_evolution]
    }

    fn parts_mut(&mut self) -> Vec<&mut Part> {
        vec![&mut self.of_foresight, &mut self.of_vision, &mut self.of_controller, &mut self.of_evolution]
    }

    /// One update of V and M, and a generation of C.
    fn update(
        &mut self,
        experience: &mut Experience,
        slices: &mut [Slice<SliceWork, VmcSums>],
        env_steps: u64,
    ) -> Result<VmcSums, AgentError> {
        let (rows, updates) = (experience.slots.len(), experience.updates);
        let (clip, rate) = (self.minds.config.max_grad_norm, self.learning_rate.at(env_steps));
        let seed = experience.rng.next_u64();
        let (minds, replay, slots) = (&self.minds, &experience.replay, &experience.slots);
        let params = &self.of_vision.params;
        let mut sums = for_each_slice(slices, rows, params.len(), |range, work, grads| {
            let seed = stream(seed, range.start as u32);
            minds.see(params, replay, &slots[range], seed, work, grads)
        })?;
        error::ensure_finite("V's loss", sums.vision.reconstruction + sums.vision.kl, updates)?;
        self.of_vision.descend(slices, clip, rate)?;

        let params = &self.of_foresight.params;
        let foresight =
            for_each_slice(slices, rows, params.len(), |_, work, grads| minds.foresee(params, work, grads))?;
        error::ensure_finite("M's loss", foresight.foresight.total(), updates)?;
        self.of_foresight.descend(slices, clip, rate)?;
        sums.add(&foresight);

        if updates >= self.minds.config.evolution_starts {
            let fitness = self.evolve(slices, &mut experience.rng)?;
            error::ensure_finite("return of dreams", fitness, updates)?;
            sums.add(&VmcSums { fitness, generations: 1, ..VmcSums::default() });
        }
        Ok(sums)
    }

    fn metrics(&self, sums: Option<&VmcSums>, _experience: &Experience, env_steps: u64) -> Vec<f64> {
        let rate = self.learning_rate.at(env_steps);
        let Some(VmcSums { vision, foresight, fitness, generations }) = sums else {
            return [&[rate][..], &[f64::NAN; 8][..]].concat();
        };
        let [reconstruction, kl] = [vision.reconstruction, vision.kl].map(|sum| sum / vision.moments as f64);
        let of_foresight = [foresight.mixture, foresight.reward, foresight.continuation];
        let [mixture, reward, continuation] = of_foresight.map(|sum| sum / foresight.moments as f64);
        let step = f64::from(Evolution::step_size(&self.of_evolution.params));
        let dreamed = fitness / *generations as f64;
        vec![rate, reconstruction, kl, -reconstruction - kl, mixture, reward, continuation, dreamed, step]
    }
}

#[cfg(test)]
mod tests;
