//! M: what is seen next, what that pays and whether it goes on, by a memory of what was seen and done.

use agon_nn::losses::gaussian_mixture::GaussianMixture;
use agon_nn::losses::two_hot::TwoHot;
use agon_nn::{
    Head, Init, LayerSummary, LayoutBuilder, Matrix, Memory, ModelConfig, Params, Sequential, Tape, beside,
};

use super::config::VmcConfig;
use crate::network::perceptron;
use crate::slices::Sums;
use crate::world_model::acts::Acts;
use crate::world_model::numbers::reward_loss;
use crate::world_model::sequences::Sequences;
use crate::{AgentError, network};

/// The networks, all over one buffer of parameters.
///
/// The memory reads the latent variables of the moment before and what was done there, zeros where an episode begins. What it puts
/// out predicts the latent variables of this moment; together with these it tells what the way here paid and whether it goes on.
pub(super) struct Foresight {
    pub(super) memory: Memory,
    pub(super) mixtures: Sequential,
    pub(super) reward: Sequential,
    pub(super) continuation: Sequential,
    pub(super) gaussians: GaussianMixture,
    pub(super) two_hot: TwoHot,
    pub(super) summary: Vec<(String, Vec<LayerSummary>)>,
}

/// Sums over the moments of updates.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ForesightSums {
    pub(super) mixture: f64,
    pub(super) reward: f64,
    pub(super) continuation: f64,
    pub(super) moments: usize,
}

impl Sums for ForesightSums {
    fn add(&mut self, other: &Self) {
        self.mixture += other.mixture;
        self.reward += other.reward;
        self.continuation += other.continuation;
        self.moments += other.moments;
    }
}

impl ForesightSums {
    /// Of all terms.
    pub(super) fn total(&self) -> f64 {
        self.mixture + self.reward + self.continuation
    }
}

impl Foresight {
    /// The networks, and their parameters to be.
    pub(super) fn layout(
        config: &VmcConfig,
        network: &ModelConfig,
        acts: &Acts,
    ) -> Result<(Self, LayoutBuilder), AgentError> {
        network::check_not_noisy("vmc", network)?;
        let (gaussians, two_hot) = (config.gaussians()?, config.two_hot()?);
        let mut builder = LayoutBuilder::new();
        let memory = Memory::new(&mut builder, "memory", config.latents + acts.len(), &network.memory)
            .map_err(|error| error.within("memory"))?;
        let memory = memory.ok_or(AgentError::Unsupported {
            algorithm: "vmc",
            expected: "network.memory.kind = \"lstm\" or another memory",
            found: "none".to_owned(),
        })?;
        let (width, deep) = (memory.outputs(), (config.hidden, 1));
        let values = |actions| (Head::Q { actions }, Init::PYTORCH_LINEAR);
        // Rewards begin as zeros, whatever happens.
        let paid = (Head::Q { actions: two_hot.bins() }, Init::Zeros);
        let predicted = values(config.latents * gaussians.outputs());
        let mixtures = perceptron(&mut builder, "mixtures", width, deep, predicted)?;
        let reward = perceptron(&mut builder, "reward", width + config.latents, deep, paid)?;
        let continuation = perceptron(&mut builder, "continuation", width + config.latents, deep, values(1))?;
        let mut summary = vec![("memory".to_owned(), memory.describe())];
        for model in [&mixtures, &reward, &continuation] {
            summary.extend(model.summary().parts.iter().cloned());
        }
        let foresight = Self {
            mixtures: mixtures.chain(0)?,
            reward: reward.chain(0)?,
            continuation: continuation.chain(0)?,
            memory,
            gaussians,
            two_hot,
            summary,
        };
        Ok((foresight, builder))
    }

    /// Latent variables, `L`.
    pub(super) fn latents(&self) -> usize {
        self.mixtures.outputs() / self.gaussians.outputs()
    }

    /// What the memory reads at each moment, `[T · B, L + A]`.
    ///
    /// # Shapes
    /// `latents`: `[T · B, L]`; `before`, of the moments before the first ones: `[B, L]`.
    pub(super) fn inputs(
        &self,
        sequences: &Sequences,
        latents: &Matrix,
        before: &[f32],
    ) -> Result<Matrix, AgentError> {
        let (width, rows) = (self.latents(), before.len() / self.latents());
        let mut inputs = Vec::with_capacity(latents.rows() * self.memory.inputs());
        let actions = sequences.actions.chunks_exact(self.memory.inputs() - width);
        for (at, action) in actions.enumerate() {
            match at.checked_sub(rows) {
                _ if sequences.resets[at] => inputs.resize(inputs.len() + width, 0.0),
                None => inputs.extend_from_slice(&before[at * width..(at + 1) * width]),
                Some(last) => {
                    inputs.extend_from_slice(&latents.as_slice()[last * width..(last + 1) * width]);
                }
            }
            inputs.extend_from_slice(action);
        }
        Ok(Matrix::from_slice(latents.rows(), self.memory.inputs(), &inputs)?)
    }

    /// The loss of sequences and its gradient, times `scale`.
    ///
    /// # Shapes
    /// `inputs`: as [`Self::inputs`] makes them, `latents`: `[T · B, L]`, `states`: `[B, S]`.
    pub(super) fn backward(
        &self,
        params: &Params,
        sequences: &Sequences,
        (inputs, latents): (&Matrix, &Matrix),
        states: &Matrix,
        scale: f32,
        grads: &mut [f32],
    ) -> Result<ForesightSums, AgentError> {
        let moments = latents.rows();
        let mut tape = Tape::new();
        let steps = moments / states.rows();
        let (hidden, _) = self.memory.forward(params, inputs, steps, states, &sequences.resets, &mut tape)?;
        let seen = beside(params, &[&hidden, latents], &[], &mut tape)?;
        let mixtures = self.mixtures.forward(params, &hidden, &mut tape)?;
        let rewards = self.reward.forward(params, &seen, &mut tape)?;
        let continues = self.continuation.forward(params, &seen, &mut tape)?;

        let mut sums = ForesightSums { moments, ..ForesightSums::default() };
        let mut of_mixtures = vec![0.0; mixtures.as_slice().len()];
        let each = self.gaussians.outputs();
        let outputs = mixtures.as_slice().chunks_exact(each).zip(of_mixtures.chunks_exact_mut(each));
        for (&latent, (outputs, slopes)) in latents.as_slice().iter().zip(outputs) {
            sums.mixture += f64::from(self.gaussians.add_loss(latent, outputs, scale, slopes)?);
        }
        // Where an episode begins, nothing led there.
        let known = |row: usize| sequences.paid[row] && !sequences.resets[row];
        let (reward, of_rewards) = reward_loss(&self.two_hot, sequences, known, &rewards, scale)?;
        sums.reward += reward;
        let mut of_continues = vec![0.0; moments];
        let pairs = continues.as_slice().iter().zip(&sequences.continues);
        for ((logit, goes_on), slope) in pairs.zip(&mut of_continues) {
            let target = if *goes_on { 1.0 } else { 0.0 };
            let (loss, derivative) = agon_nn::losses::bce_with_logits(*logit, target);
            sums.continuation += f64::from(loss);
            *slope = scale * derivative;
        }
        let outputs = [
            (&mixtures, of_mixtures.as_slice()),
            (&rewards, of_rewards.as_slice()),
            (&continues, of_continues.as_slice()),
        ];
        tape.backward(params, &outputs, grads)?;
        Ok(sums)
    }
}
