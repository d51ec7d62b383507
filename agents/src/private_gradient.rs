//! Policy gradients that give no trajectory away: each one's gradient is clipped as a whole, and noise is added to the sum.
//!
//! A *trajectory* is what one environment did in one rollout. It takes part in one step and in no other, so that a run of any
//! length gives away as much of it as that step: the Gaussian mechanism at a sample rate of one. An episode that goes on over
//! several rollouts takes part in as many steps. The noise follows from the run's seed: whoever knows that can take it away again.
//!
//! # Source
//! Abadi et al. 2016, arXiv:1607.00133, algorithm 1, whose examples are trajectories here.

use agon_envs::Pcg64;
use agon_nn::Layout;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::settings::{above_zero, at_least_zero};
use crate::{AgentError, error};

/// How trajectories are protected.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrivateGradientConfig {
    /// The norm that the gradient of a trajectory's mean loss is clipped to; above 0.
    pub clip_norm: f64,
    /// Standard deviation of the noise over the clipping norm, at least 0; 0 protects nobody.
    pub noise_multiplier: f64,
}

impl Default for PrivateGradientConfig {
    fn default() -> Self {
        Self { clip_norm: 1.0, noise_multiplier: 1.0 }
    }
}

impl PrivateGradientConfig {
    pub(crate) fn validate(self) -> Result<(), AgentError> {
        above_zero(&[("private.clip_norm", self.clip_norm)])?;
        at_least_zero(&[("private.noise_multiplier", self.noise_multiplier)])
    }

    /// Adds a trajectory's gradient, clipped, to the mean over so many trajectories; says whether it was clipped.
    ///
    /// # Errors
    /// If it is not finite.
    pub(crate) fn add(
        self,
        mean: &mut [f32],
        gradient: &[f32],
        trajectories: usize,
        update: u64,
    ) -> Result<bool, AgentError> {
        let norm = gradient.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
        error::ensure_finite("gradient of a trajectory", norm, update)?;
        let factor = (self.clip_norm / norm).min(1.0) / trajectories as f64;
        mean.iter_mut().zip(gradient).for_each(|(mean, &value)| *mean += (f64::from(value) * factor) as f32);
        Ok(norm > self.clip_norm)
    }

    /// Adds the noise of a mean over so many trajectories to what is learned.
    pub(crate) fn add_noise(self, mean: &mut [f32], layout: &Layout, trajectories: usize, rng: &mut Pcg64) {
        let deviation = self.noise_multiplier * self.clip_norm / trajectories as f64;
        if deviation == 0.0 {
            return;
        }
        for spec in layout.specs().iter().filter(|spec| spec.learned) {
            for value in &mut mean[spec.range.range()] {
                let normal: f64 = StandardNormal.sample(rng);
                *value += (deviation * normal) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests;
