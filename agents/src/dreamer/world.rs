//! The world model: what is seen, what happens, what it pays and whether it goes on.

use agon_nn::losses::two_hot::TwoHot;
use agon_nn::rssm::{Divergence, DivergenceGradient, Sequence};
use agon_nn::{
    Head, HeadSpec, Init, Input, LayoutBuilder, Matrix, Model, ModelConfig, Params, Rssm, Sequential,
    Summary, Tape,
};

use super::actions::Actions;
use super::config::DreamerConfig;
use super::sight::Sight;
use crate::learner::Spaces;
use crate::network::perceptron;
use crate::slices::Sums;
use crate::world_model::numbers::reward_loss;
use crate::world_model::sequences::Sequences;
use crate::{AgentError, network};

/// The networks, all over one buffer of parameters.
pub(super) struct World {
    pub(super) sight: Sight,
    pub(super) encoder: Sequential,
    pub(super) rssm: Rssm,
    pub(super) decoder: Sequential,
    pub(super) reward: Sequential,
    pub(super) continuation: Sequential,
    pub(super) two_hot: TwoHot,
    divergence: Divergence,
    observation_coef: f32,
    pub(super) summary: Summary,
}

/// Sums over the moments of updates.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WorldSums {
    pub(super) observation: f64,
    pub(super) reward: f64,
    pub(super) continuation: f64,
    pub(super) divergence: f64,
    pub(super) moments: usize,
}

impl Sums for WorldSums {
    fn add(&mut self, other: &Self) {
        self.observation += other.observation;
        self.reward += other.reward;
        self.continuation += other.continuation;
        self.divergence += other.divergence;
        self.moments += other.moments;
    }
}

impl WorldSums {
    /// Of all terms.
    pub(super) fn total(&self) -> f64 {
        self.observation + self.reward + self.continuation + self.divergence
    }
}

/// A linear output of so many values.
fn values(count: usize) -> Head {
    Head::Q { actions: count }
}

impl World {
    /// The networks, and their parameters to be.
    pub(super) fn layout(
        config: &DreamerConfig,
        network: &ModelConfig,
        spaces: &Spaces,
        actions: &Actions,
    ) -> Result<(Self, LayoutBuilder), AgentError> {
        network::check_no_memory("dreamer", network)?;
        network::check_not_noisy("dreamer", network)?;
        let observation = network::observation("dreamer", &spaces.observation)?;
        let bytes = network::dtype(&spaces.observation) == agon_envs::spaces::Dtype::U8;
        let sight = Sight::new(&observation, bytes);
        let mut builder = LayoutBuilder::new();
        let head = HeadSpec {
            name: "embedding".to_owned(),
            head: values(config.hidden),
            init: Init::PYTORCH_LINEAR,
        };
        let encoder = Model::new(&mut builder, "", &observation, network, &[head], Init::PYTORCH_LINEAR)?;
        let rssm = Rssm::new(&mut builder, "rssm", (config.hidden, actions.len()), &config.rssm())?;
        let (features, two_hot) = (rssm.features(), config.two_hot()?);
        let (deep, flat) = ((config.hidden, config.head_layers), (config.hidden, 1));
        let told = (values(sight.outputs()), Init::PYTORCH_LINEAR);
        let decoder = perceptron(&mut builder, "decoder", features, deep, told)?;
        // Rewards begin as zeros, whatever the state.
        let reward =
            perceptron(&mut builder, "reward", features, flat, (values(two_hot.bins()), Init::Zeros))?;
        let continuation = (values(1), Init::PYTORCH_LINEAR);
        let continuation = perceptron(&mut builder, "continuation", features, flat, continuation)?;
        let mut parts = encoder.summary().parts.clone();
        parts.push(("rssm".to_owned(), rssm.summary()));
        for model in [&decoder, &reward, &continuation] {
            parts.extend(model.summary().parts.iter().cloned());
        }
        let world = Self {
            encoder: encoder.chain(0)?,
            decoder: decoder.chain(0)?,
            reward: reward.chain(0)?,
            continuation: continuation.chain(0)?,
            divergence: config.divergence(),
            observation_coef: config.observation_coef as f32,
            summary: Summary { parts },
            sight,
            rssm,
            two_hot,
        };
        Ok((world, builder))
    }

    /// The loss of sequences and its gradient, times `scale`; gives the sums, and the states, `[T · B, F]`.
    ///
    /// # Shapes
    /// `seen`: `[T · B, O]`, `noise`: `[T, B, C]`, `before`: `[B, D]` and `[B, Z]`.
    pub(super) fn backward(
        &self,
        params: &Params,
        sequences: &Sequences,
        seen: Input,
        (noise, before): (&[f32], (&Matrix, &Matrix)),
        scale: f32,
        grads: &mut [f32],
    ) -> Result<(WorldSums, Matrix), AgentError> {
        let seen = self.sight.read(seen);
        let mut tape = Tape::new();
        let embedded = self.encoder.forward_input(params, &seen, &mut tape)?;
        let sequence = Sequence {
            actions: &sequences.actions,
            resets: &sequences.resets,
            noise,
            deterministic: before.0,
            latents: before.1,
        };
        let observed = self.rssm.observe(params, &embedded, &sequence, &mut tape)?;
        let features = &observed.features;
        let told = self.decoder.forward(params, features, &mut tape)?;
        let rewards = self.reward.forward(params, features, &mut tape)?;
        let continues = self.continuation.forward(params, features, &mut tape)?;

        let moments = features.rows();
        let mut sums = WorldSums { moments, ..WorldSums::default() };
        let of_told = self.observation_loss(&seen, &told, scale * self.observation_coef, &mut sums)?;
        let (of_reward, of_rewards) =
            reward_loss(&self.two_hot, sequences, |row| sequences.paid[row], &rewards, scale)?;
        sums.reward += of_reward;
        let mut of_continues = vec![0.0; moments];
        let pairs = continues.as_slice().iter().zip(&sequences.continues);
        for ((logit, goes_on), slope) in pairs.zip(&mut of_continues) {
            let target = if *goes_on { 1.0 } else { 0.0 };
            sums.continuation += f64::from(logit.max(0.0) - target * logit + (-logit.abs()).exp().ln_1p());
            *slope = scale * (1.0 / (1.0 + (-logit).exp()) - target);
        }
        let (mut divergences, mut of_latents) = (vec![0.0; moments], DivergenceGradient::default());
        let logits = (observed.posterior.as_slice(), observed.prior.as_slice());
        let weights = vec![scale; moments];
        self.rssm.divergence(&self.divergence, logits, &weights, &mut of_latents, &mut divergences)?;
        sums.divergence += divergences.iter().copied().map(f64::from).sum::<f64>();
        let outputs = [
            (&told, of_told.as_slice()),
            (&rewards, of_rewards.as_slice()),
            (&continues, of_continues.as_slice()),
            (&observed.posterior, of_latents.posterior.as_slice()),
            (&observed.prior, of_latents.prior.as_slice()),
        ];
        tape.backward(params, &outputs, grads)?;
        Ok((sums, observed.features))
    }

    /// What is told of observations; gives the gradient of the decoder's outputs.
    fn observation_loss(
        &self,
        seen: &Input,
        told: &Matrix,
        scale: f32,
        sums: &mut WorldSums,
    ) -> Result<Vec<f32>, AgentError> {
        let targets = Sight::targets(seen)?;
        let mut gradient = vec![0.0; told.as_slice().len()];
        let rows = targets.as_slice().chunks_exact(targets.columns());
        let outputs = told.as_slice().chunks_exact(told.columns());
        for ((target, outputs), slopes) in rows.zip(outputs).zip(gradient.chunks_exact_mut(told.columns())) {
            sums.observation += f64::from(self.sight.loss(target, outputs, scale, slopes));
        }
        Ok(gradient)
    }
}
