//! RND: a bonus for observations that a network cannot predict yet, which so are new.
//!
//! A *predictor* learns the outputs of a fixed random *target* network. Its error on the observation that an action led
//! to is the intrinsic reward; it falls wherever the agent has been often. Intrinsic rewards never end with an episode
//! and have a value function and a discount factor of their own.
//!
//! # Source
//! Burda et al. (2018), arXiv:1810.12894; CleanRL 1.0 `ppo_rnd_envpool.py`.
//!
//! # Deviations
//! 1. The predictor makes one pass over a rollout with an optimizer of its own, on a share of its transitions that is drawn
//!    once (`update_proportion`); the paper trains it in every pass, with the policy's optimizer.
//! 2. Observations are normalised from the first step on; the paper lets a random agent play first.

use agon_envs::wrappers::{Moments, RunningStatistics};
use agon_envs::{ObsBuffer, Pcg64};
use agon_nn::{
    AdamConfig, Head, HeadConfig, HeadSpec, Init, Input, LayoutBuilder, Matrix, MemoryConfig, Model,
    ModelConfig, OptimizerConfig, Packed, Params, Scratch, Sequential, Tape,
};
use serde::{Deserialize, Serialize};

use crate::learner::{RunInfo, stream};
use crate::network;
use crate::part::{self, Part, SavedPart};
use crate::settings::{above_zero, at_least_one, at_least_zero, shares, shares_above_zero};
use crate::slices::{Slice, Sums, for_each_slice, slices};
use crate::{AgentError, Fragment};

/// What the tensors of both networks are called, before their own names.
pub(crate) const PREFIX: &str = "rnd.";
const TARGET: &str = "rnd.target.";
const PREDICTOR: &str = "rnd.predictor.";

/// Normalised observations are cut to ± this.
const CLIP: f32 = 5.0;
/// Rows of one gradient step of the predictor.
const BATCH: usize = 256;

/// Settings of the bonus. The defaults are the paper's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RndConfig {
    /// Weight of the environment's advantages; at least 0.
    pub ext_coef: f64,
    /// Weight of the bonus's advantages; above 0.
    pub int_coef: f64,
    /// Discount factor of the bonus, 0 to 1.
    pub int_gamma: f64,
    /// The predictor's step size; above 0.
    pub learning_rate: f64,
    /// Share of the transitions that the predictor learns from; above 0, at most 1.
    pub update_proportion: f64,
    /// Number of values that are predicted; at least 1.
    pub features: usize,
}

impl Default for RndConfig {
    fn default() -> Self {
        Self {
            ext_coef: 2.0,
            int_coef: 1.0,
            int_gamma: 0.99,
            learning_rate: 1e-4,
            update_proportion: 0.25,
            features: 64,
        }
    }
}

impl RndConfig {
    fn validate(&self) -> Result<(), AgentError> {
        at_least_zero(&[("rnd.ext_coef", self.ext_coef)])?;
        above_zero(&[("rnd.int_coef", self.int_coef), ("rnd.learning_rate", self.learning_rate)])?;
        shares(&[("rnd.int_gamma", self.int_gamma)])?;
        shares_above_zero(&[("rnd.update_proportion", self.update_proportion)])?;
        at_least_one(&[("rnd.features", self.features as u64)])
    }
}

/// The intrinsic rewards of an iteration.
#[derive(Debug, Default)]
pub(crate) struct Bonus {
    /// `[T, N]` of each fragment.
    pub(crate) rewards: Vec<Vec<f32>>,
    pub(crate) gamma: f32,
    pub(crate) ext_coef: f32,
    pub(crate) int_coef: f32,
}

/// Both networks, and what normalises their input and output.
pub(crate) struct Rnd {
    config: RndConfig,
    target: Sequential,
    packed_target: Packed,
    target_part: Part,
    predictor: Sequential,
    part: Part,
    rng: Pcg64,
    observations: RunningStatistics,
    /// Of discounted sums of errors.
    returns: RunningStatistics,
    /// The sums so far: of each row of each shard, by the shard's number.
    pub(crate) sums: Vec<Vec<f32>>,
    max_grad_norm: f64,
    /// Normalised observations that followed: `[B, O]`.
    inputs: Vec<f32>,
    /// Rows of `inputs` that took part in their tick.
    active: Vec<u32>,
    targets: Vec<f32>,
    errors: Vec<f32>,
    scratch: Scratch,
    slices: Vec<Slice<(), Loss>>,
}

/// A sum of squared errors.
#[derive(Debug, Default)]
struct Loss(f64);

impl Sums for Loss {
    fn add(&mut self, other: &Self) {
        self.0 += other.0;
    }
}

/// What is saved of them.
#[derive(Serialize, Deserialize)]
pub(crate) struct Saved {
    parts: Vec<SavedPart>,
    rng: Pcg64,
    observations: Moments,
    returns: Moments,
    pub(crate) sums: Vec<Vec<f32>>,
}

impl Rnd {
    /// Random networks with the agent's encoder; the predictor has two layers more, as in the paper.
    pub(crate) fn new(
        config: RndConfig,
        network: &ModelConfig,
        max_grad_norm: f64,
        gradient_slices: usize,
        info: &RunInfo,
    ) -> Result<Self, AgentError> {
        config.validate()?;
        let observation = network::observation("rnd", &info.spaces.observation)?;
        let hidden = Init::Orthogonal { gain: std::f32::consts::SQRT_2 };
        let build = |layers: &[usize], seed: u64| -> Result<(Sequential, Params), AgentError> {
            let head = HeadConfig { hidden: layers.to_vec(), ..HeadConfig::default() };
            let network = ModelConfig { memory: MemoryConfig::None, head, ..network.clone() };
            let init = Init::Orthogonal { gain: 1.0 };
            let head = Head::Q { actions: config.features };
            let spec = HeadSpec { name: "features".to_owned(), head, init };
            let mut builder = LayoutBuilder::new();
            let model = Model::new(&mut builder, "", &observation, &network, &[spec], hidden)?;
            Ok((model.chain(0)?, builder.build(stream(info.seed, seed as u32))))
        };
        let (target, target_params) = build(&[], 8)?;
        let (predictor, params) = build(&[config.features, config.features], 9)?;
        let rows = info.shard_rows();
        Ok(Self {
            packed_target: Packed::new(&target, &target_params)?,
            target_part: Part::fixed(TARGET, target_params),
            part: Part::trained(PREDICTOR, params, OptimizerConfig::Adam(AdamConfig::default()))?,
            rng: Pcg64::seed_from(stream(info.seed, 10)),
            observations: RunningStatistics::new(observation.len()),
            returns: RunningStatistics::new(1),
            sums: vec![vec![0.0; rows]; info.num_shards],
            max_grad_norm,
            inputs: Vec::new(),
            active: Vec::new(),
            targets: Vec::new(),
            errors: Vec::new(),
            scratch: Scratch::default(),
            slices: slices(gradient_slices),
            target,
            predictor,
            config,
        })
    }

    /// The intrinsic rewards of an iteration, and one pass of the predictor over it. Gives the rewards and the mean loss.
    pub(crate) fn learn(&mut self, fragments: &[Fragment]) -> Result<(Bonus, f64), AgentError> {
        self.read(fragments);
        let rows = self.inputs.len() / self.target.inputs();
        let width = self.target.outputs();
        self.targets.resize(rows * width, 0.0);
        self.target.infer(&self.packed_target, &self.inputs, rows, &mut self.scratch, &mut self.targets)?;
        self.predict(rows)?;
        let rewards = self.rewards(fragments);
        let loss = self.train()?;
        let RndConfig { ext_coef, int_coef, int_gamma, .. } = self.config;
        let bonus =
            Bonus { rewards, gamma: int_gamma as f32, ext_coef: ext_coef as f32, int_coef: int_coef as f32 };
        Ok((bonus, loss))
    }

    /// Observations that followed each step, counted and then normalised.
    fn read(&mut self, fragments: &[Fragment]) {
        let width = self.target.inputs();
        self.inputs.clear();
        for fragment in fragments {
            for row in 0..fragment.rows() {
                let (buffer, start) = fragment.next_observation(row);
                match buffer {
                    ObsBuffer::F32(values) => self.inputs.extend_from_slice(&values[start..start + width]),
                    ObsBuffer::U8(values) => {
                        self.inputs.extend(values[start..start + width].iter().map(|&byte| f32::from(byte)));
                    }
                }
            }
        }
        let flags = fragments.iter().flat_map(|fragment| &fragment.active).enumerate();
        self.active.clear();
        self.active.extend(flags.filter(|(_, active)| **active).map(|(row, _)| row as u32));
        let rows = self.active.iter().map(|&row| row as usize);
        self.observations.update(rows.map(|row| &self.inputs[row * width..(row + 1) * width]));
        let moments = self.observations.moments();
        let scales: Vec<(f32, f32)> = (0..width)
            .map(|i| (moments.mean[i] as f32, 1.0 / (moments.variance(i).sqrt() as f32 + 1e-8)))
            .collect();
        for row in self.inputs.chunks_exact_mut(width) {
            for (value, (mean, scale)) in row.iter_mut().zip(&scales) {
                *value = ((*value - mean) * scale).clamp(-CLIP, CLIP);
            }
        }
    }

    /// The predictor's mean squared error on each row.
    fn predict(&mut self, rows: usize) -> Result<(), AgentError> {
        let width = self.predictor.outputs();
        let packed = Packed::new(&self.predictor, &self.part.params)?;
        let mut predictions = vec![0.0; rows * width];
        self.predictor.infer(&packed, &self.inputs, rows, &mut self.scratch, &mut predictions)?;
        self.errors.clear();
        let pairs = predictions.chunks_exact(width).zip(self.targets.chunks_exact(width));
        self.errors.extend(pairs.map(|(predictions, targets)| {
            let squares = predictions.iter().zip(targets).map(|(p, t)| (p - t) * (p - t));
            squares.sum::<f32>() / width as f32
        }));
        Ok(())
    }

    /// Errors over the running deviation of their discounted sums.
    ///
    /// Rows that took no part in a tick have no reward in it, and their sums wait.
    fn rewards(&mut self, fragments: &[Fragment]) -> Vec<Vec<f32>> {
        let gamma = self.config.int_gamma as f32;
        let mut errors = self.errors.as_slice();
        let mut rewards = Vec::with_capacity(fragments.len());
        for fragment in fragments {
            let (own, rest) = errors.split_at(fragment.rows());
            errors = rest;
            let mut own = own.to_vec();
            let (sums, rows) = (&mut self.sums[fragment.shard], fragment.shape.num_rows());
            for (errors, active) in own.chunks_exact_mut(rows).zip(fragment.active.chunks_exact(rows)) {
                let taking_part = |row: &usize| active[*row];
                for row in 0..rows {
                    if active[row] {
                        sums[row] = gamma * sums[row] + errors[row];
                    } else {
                        errors[row] = 0.0;
                    }
                }
                self.returns.update((0..rows).filter(taking_part).map(|row| &sums[row..=row]));
            }
            rewards.push(own);
        }
        let scale = 1.0 / (self.returns.moments().variance(0).sqrt() as f32).max(1e-8);
        rewards.iter_mut().flatten().for_each(|reward| *reward *= scale);
        rewards
    }

    /// One pass of gradient steps on a share of the transitions; gives the mean loss.
    fn train(&mut self) -> Result<f64, AgentError> {
        let mut order = self.active.clone();
        self.rng.shuffle(&mut order);
        order.truncate(((order.len() as f64 * self.config.update_proportion) as usize).max(1));
        let mut loss = 0.0;
        for batch in order.chunks(BATCH) {
            // Taken out, so that slices can be written while they all read the rest.
            let mut slices = std::mem::take(&mut self.slices);
            let (scale, len) = (1.0 / batch.len() as f32, self.part.params.len());
            let outcome = for_each_slice(&mut slices, batch.len(), len, |range, (), grads| {
                self.backward(&batch[range], scale, grads)
            });
            self.slices = slices;
            loss += outcome?.0;
            self.part.descend(&mut self.slices, self.max_grad_norm, self.config.learning_rate)?;
        }
        Ok(loss / order.len() as f64)
    }

    pub(crate) fn parts(&self) -> [&Part; 2] {
        [&self.target_part, &self.part]
    }

    pub(crate) fn parts_mut(&mut self) -> [&mut Part; 2] {
        [&mut self.target_part, &mut self.part]
    }

    /// Makes anew what is derived from the networks, which were changed from outside.
    pub(crate) fn refresh(&mut self) -> Result<(), AgentError> {
        self.packed_target = Packed::new(&self.target, &self.target_part.params)?;
        Ok(())
    }

    pub(crate) fn save(&self) -> Saved {
        Saved {
            parts: part::save(&self.parts()),
            rng: self.rng.clone(),
            observations: self.observations.moments().clone(),
            returns: self.returns.moments().clone(),
            sums: self.sums.clone(),
        }
    }

    /// Takes on a saved state, after everything has been checked.
    pub(crate) fn restore(&mut self, saved: Saved) -> Result<(), AgentError> {
        let parts = part::restored(&self.parts(), saved.parts)?;
        let lengths = [
            (self.observations.moments().mean.len(), saved.observations.mean.len()),
            (1, saved.returns.mean.len()),
            (self.sums.len(), saved.sums.len()),
        ];
        if let Some((expected, found)) = lengths.iter().find(|(expected, found)| expected != found) {
            return Err(AgentError::Restore(format!("expected {expected} statistics, got {found}")));
        }
        if !(saved.observations.is_whole() && saved.returns.is_whole()) {
            return Err(AgentError::Restore("expected whole statistics of the bonus".to_owned()));
        }
        parts.put(&mut self.parts_mut());
        (self.rng, self.sums) = (saved.rng, saved.sums);
        self.observations.set_moments(&saved.observations);
        self.returns.set_moments(&saved.returns);
        self.refresh()
    }

    /// The squared errors of some rows, and their gradient times `scale`.
    fn backward(&self, rows: &[u32], scale: f32, grads: &mut [f32]) -> Result<Loss, AgentError> {
        let (inputs, width) = (self.predictor.inputs(), self.predictor.outputs());
        let mut loss = 0.0;
        let mut x = Matrix::zeros(rows.len(), inputs)?;
        for (&row, out) in rows.iter().zip(x.as_mut_slice().chunks_exact_mut(inputs)) {
            out.copy_from_slice(&self.inputs[row as usize * inputs..(row as usize + 1) * inputs]);
        }
        let mut tape = Tape::new();
        let predictions = self.predictor.forward_input(&self.part.params, &Input::Floats(x), &mut tape)?;
        let mut gradient = predictions.as_slice().to_vec();
        for (&row, gradient) in rows.iter().zip(gradient.chunks_exact_mut(width)) {
            let targets = &self.targets[row as usize * width..(row as usize + 1) * width];
            for (value, target) in gradient.iter_mut().zip(targets) {
                let error = *value - target;
                loss += f64::from(error * error) / width as f64;
                *value = 2.0 * scale * error / width as f32;
            }
        }
        tape.backward(&self.part.params, &[(&predictions, gradient.as_slice())], grads)?;
        Ok(Loss(loss))
    }
}
