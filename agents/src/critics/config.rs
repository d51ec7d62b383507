//! How many critics there are, and which of them are asked.

use agon_nn::{EncoderConfig, Matrix, MlpConfig, ModelConfig, Observation};
use serde::{Deserialize, Serialize};

use crate::AgentError;
use crate::error::ensure;

/// Most critics: beyond it nothing is gained, and each costs as much as the first.
const MOST: usize = 64;

/// What becomes of several critics' values of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// The smallest counts.
    Min,
    /// Their mean.
    Mean,
    /// Only the first critic is asked.
    First,
}

/// An ensemble of critics.
///
/// # Source
/// Chen et al. (2021), arXiv:2101.05982 (REDQ), for `count` and `targets`, N and M there; Hiraoka et al. (2022),
/// arXiv:2110.02034 (`DroQ`), for `dropout`, and with Ball et al. (2023), arXiv:2302.02948, for `layer_norm`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CriticsConfig {
    /// Critics, REDQ's N; 1 to 64.
    pub count: usize,
    /// Target networks that an update asks, REDQ's M: drawn anew for each update where they are fewer than `count`; 1 to `count`.
    pub targets: usize,
    /// What becomes of the values of those that are asked.
    pub target_reduction: Reduction,
    /// What becomes of the critics' values where the policy climbs them.
    pub policy_reduction: Reduction,
    /// Whether critics have a LayerNorm after each linear map, the policy's network being as `network` says; for encoders `mlp` and
    /// `cnn`.
    pub layer_norm: bool,
    /// Probability that a hidden value of a critic, and of its target, is left out in an update, drawn anew for each row, before the
    /// LayerNorm; at least 0, below 1. For the encoder `mlp` of numbers.
    pub dropout: f64,
}

impl Default for CriticsConfig {
    /// Clipped double Q-learning.
    fn default() -> Self {
        let (target_reduction, policy_reduction) = (Reduction::Min, Reduction::Min);
        Self { count: 2, targets: 2, target_reduction, policy_reduction, layer_norm: false, dropout: 0.0 }
    }
}

impl CriticsConfig {
    /// Checks every setting's range.
    ///
    /// # Errors
    /// [`AgentError::Setting`] naming the setting, what is allowed and what was found.
    pub fn validate(&self) -> Result<(), AgentError> {
        ensure((1..=MOST).contains(&self.count), "critics.count", "between 1 and 64", self.count)?;
        if !(1..=self.count).contains(&self.targets) {
            let expected = format!("between 1 and critics.count = {}", self.count);
            return Err(AgentError::setting("critics.targets", expected, self.targets));
        }
        let dropout = self.dropout;
        ensure((0.0..1.0).contains(&dropout), "critics.dropout", "at least 0 and below 1", dropout)
    }

    /// The hidden layers that dropout goes between, of a network that policy and critics have the shape of.
    pub(super) fn dropped(
        &self,
        observation: &Observation,
        network: &ModelConfig,
    ) -> Result<(MlpConfig, bool), AgentError> {
        match (&network.encoder, observation, &network.head.hidden[..]) {
            (EncoderConfig::Mlp { hidden, activation, layer_norm }, Observation::Vector(_), []) => {
                let config = MlpConfig { hidden: hidden.clone(), activation: *activation };
                Ok((config, *layer_norm || self.layer_norm))
            }
            _ => {
                let expected = "0 with an encoder that is not mlp, a head with hidden layers, or observations that are no vector";
                Err(AgentError::setting("critics.dropout", expected, self.dropout))
            }
        }
    }

    /// The critics' network, of one that policy and critics have the shape of.
    pub(super) fn network(&self, network: &ModelConfig) -> Result<ModelConfig, AgentError> {
        let mut network = network.clone();
        match &mut network.encoder {
            _ if !self.layer_norm => (),
            EncoderConfig::Mlp { layer_norm, .. } | EncoderConfig::Cnn { layer_norm, .. } => {
                *layer_norm = true;
            }
            _ => {
                let expected = "false with an encoder that is not mlp or cnn";
                return Err(AgentError::setting("critics.layer_norm", expected, true));
            }
        }
        Ok(network)
    }
}

impl Reduction {
    /// How many of so many networks are asked, the first ones.
    pub(super) fn reads(self, count: usize) -> usize {
        if self == Self::First { 1 } else { count }
    }

    /// Of values of each network, `[B, A]`.
    pub(super) fn of(self, outputs: &[Matrix]) -> Vec<f32> {
        let Some((first, others)) = outputs.split_first() else { return Vec::new() };
        let mut values = first.as_slice().to_vec();
        for other in others {
            let pairs = values.iter_mut().zip(other.as_slice());
            match self {
                // Not `f32::min`, which would hide a NaN.
                Self::Min => pairs.for_each(|(a, &b)| *a = if b < *a { b } else { *a }),
                Self::Mean => pairs.for_each(|(a, &b)| *a += b),
                Self::First => (),
            }
        }
        if self == Self::Mean {
            values.iter_mut().for_each(|value| *value /= outputs.len() as f32);
        }
        values
    }

    /// The gradient of the weighted sum of [`Self::of`] with respect to the values of each network.
    pub(super) fn weights(self, outputs: &[Matrix], weight: f32) -> Vec<Vec<f32>> {
        let len = outputs.first().map_or(0, |first| first.as_slice().len());
        match self {
            Self::Mean => vec![vec![weight / outputs.len() as f32; len]; outputs.len()],
            Self::First => vec![vec![weight; len]],
            Self::Min => {
                let mut weights = vec![vec![0.0; len]; outputs.len()];
                let smallest = |index: usize| {
                    let value = |network: usize| outputs[network].as_slice()[index];
                    let of_two = |best, next| if value(next) < value(best) { next } else { best };
                    (1..outputs.len()).fold(0, of_two)
                };
                (0..len).for_each(|index| weights[smallest(index)][index] = weight);
                weights
            }
        }
    }
}
