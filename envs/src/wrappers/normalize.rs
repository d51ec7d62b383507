//! Normalisation by running statistics.

use serde::{Deserialize, Serialize};

use super::{Context, Moment, Wrapper, refused};
use crate::batch::ObsElement;
use crate::columns::{Column, from_bytes, to_bytes};
use crate::spaces::Dtype;
use crate::statistics::RunningStatistics;
use crate::vector::VectorInfo;
use crate::{EnvError, Space, StepBatch};

/// Shifts and scales observations to mean 0 and variance 1, by what was seen so far, and clips them.
///
/// # Source
/// `VecNormalize` of Stable-Baselines3: `(obs - mean) / sqrt(var + epsilon)`, clipped to ±`clip`.
#[derive(Serialize, Deserialize)]
pub struct NormalizeObservation {
    epsilon: f64,
    clip: f32,
    statistics: RunningStatistics,
    /// Mean of each number and one over its standard deviation, as of the last step.
    #[serde(skip)]
    scales: Vec<(f64, f64)>,
}

impl NormalizeObservation {
    /// Normalises the observations of an environment with numbers as observations.
    ///
    /// # Errors
    /// If they are not a box of numbers, or a setting is not positive.
    pub fn new(epsilon: f64, clip: f32, info: &VectorInfo) -> Result<Self, EnvError> {
        positive("normalize_observation", "epsilon", epsilon)?;
        positive("normalize_observation", "clip", f64::from(clip))?;
        match &info.observation_space {
            Space::Box(bounds) if bounds.dtype() == Dtype::F32 => Ok(Self {
                epsilon,
                clip,
                statistics: RunningStatistics::new(bounds.len()),
                scales: Vec::new(),
            }),
            other => Err(refused(
                "normalize_observation",
                format!("expected a Box of float32, got {other}; flatten it first"),
            )),
        }
    }
}

impl Wrapper for NormalizeObservation {
    fn name(&self) -> &'static str {
        "normalize_observation"
    }

    fn info(&self, inner: &VectorInfo) -> Result<VectorInfo, EnvError> {
        let shape = inner.observation_space.shape().unwrap_or_default();
        let observation_space = Space::box_uniform(-self.clip, self.clip, &shape)?;
        Ok(VectorInfo { observation_space, ..inner.clone() })
    }

    fn after(&mut self, context: Context<'_>, out: &mut StepBatch) -> Result<(), EnvError> {
        let width = self.statistics.moments().mean.len();
        // An inner space that is the outer one already is normalised in place.
        let source: &[f32] = match context.inner {
            Some(inner) => inner.as_f32(),
            None => &[],
        };
        let Some(target) = f32::slice_mut(&mut out.observations) else { return Ok(()) };
        if !source.is_empty() {
            for row in context.rows.iter() {
                target[row * width..(row + 1) * width]
                    .copy_from_slice(&source[row * width..(row + 1) * width]);
            }
        }
        for row in context.rows.iter() {
            // Statistics must not learn from it: one row's fault would be every row's.
            let numbers = &target[row * width..(row + 1) * width];
            if let Some((index, value)) = numbers.iter().enumerate().find(|(_, value)| !value.is_finite()) {
                let (env, value) = (String::new(), f64::from(*value));
                return Err(EnvError::NotANumber { env, row, index: Some(index), value });
            }
        }
        self.statistics.update(context.rows.iter().map(|row| &target[row * width..(row + 1) * width]));
        let moments = self.statistics.moments();
        let scale = |i: usize| 1.0 / (moments.variance(i) + self.epsilon).sqrt();
        self.scales.clear();
        self.scales.extend((0..width).map(|i| (moments.mean[i], scale(i))));
        for row in context.rows.iter() {
            for (value, (mean, scale)) in target[row * width..(row + 1) * width].iter_mut().zip(&self.scales)
            {
                *value = (((f64::from(*value) - mean) * scale) as f32).clamp(-self.clip, self.clip);
            }
        }
        Ok(())
    }

    fn statistics(&mut self) -> Option<&mut RunningStatistics> {
        Some(&mut self.statistics)
    }

    fn save_shared(&self) -> Result<Vec<u8>, EnvError> {
        to_bytes(&self.statistics)
    }

    fn load_shared(&mut self, bytes: &[u8]) -> Result<(), EnvError> {
        load_statistics(&mut self.statistics, bytes)
    }
}

/// Scales rewards by the standard deviation of the discounted return, by what was seen so far, and clips them.
///
/// # Source
/// `VecNormalize` of Stable-Baselines3: `reward / sqrt(var(return) + epsilon)`, clipped to ±`clip`, where the running
/// return is `return * gamma + reward` and begins anew with each episode.
pub struct NormalizeReward {
    gamma: f64,
    epsilon: f64,
    clip: f64,
    returns: Vec<f32>,
    statistics: RunningStatistics,
}

impl NormalizeReward {
    /// Normalises rewards.
    ///
    /// # Errors
    /// If `gamma` is not in [0, 1] or another setting is not positive.
    pub fn new(gamma: f64, epsilon: f64, clip: f64, info: &VectorInfo) -> Result<Self, EnvError> {
        positive("normalize_reward", "epsilon", epsilon)?;
        positive("normalize_reward", "clip", clip)?;
        if !(0.0..=1.0).contains(&gamma) {
            return Err(refused("normalize_reward", format!("gamma must be between 0 and 1, got {gamma}")));
        }
        let returns = vec![0.0; info.num_rows()];
        Ok(Self { gamma, epsilon, clip, returns, statistics: RunningStatistics::new(1) })
    }
}

impl Wrapper for NormalizeReward {
    fn name(&self) -> &'static str {
        "normalize_reward"
    }

    fn changes_observations(&self) -> bool {
        false
    }

    fn after(&mut self, context: Context<'_>, out: &mut StepBatch) -> Result<(), EnvError> {
        if context.moment == Moment::Reset {
            context.rows.iter().for_each(|row| self.returns[row] = 0.0);
            return Ok(());
        }
        for row in context.rows.iter() {
            let value = out.rewards[row];
            if !value.is_finite() {
                return Err(EnvError::NotANumber { env: String::new(), row, index: None, value });
            }
            self.returns[row] = (f64::from(self.returns[row]) * self.gamma + out.rewards[row]) as f32;
        }
        let returns = &self.returns;
        self.statistics.update(context.rows.iter().map(|row| &returns[row..=row]));
        let scale = 1.0 / (self.statistics.moments().variance(0) + self.epsilon).sqrt();
        for row in context.rows.iter() {
            out.rewards[row] = (out.rewards[row] * scale).clamp(-self.clip, self.clip);
        }
        Ok(())
    }

    fn statistics(&mut self) -> Option<&mut RunningStatistics> {
        Some(&mut self.statistics)
    }

    fn visit_columns(&mut self, visit: &mut dyn FnMut(&mut dyn Column)) {
        visit(&mut self.returns);
    }

    fn save_shared(&self) -> Result<Vec<u8>, EnvError> {
        to_bytes(&self.statistics)
    }

    fn load_shared(&mut self, bytes: &[u8]) -> Result<(), EnvError> {
        load_statistics(&mut self.statistics, bytes)
    }
}

/// Takes on statistics that were saved, if they are whole and of as many numbers.
pub(super) fn load_statistics(statistics: &mut RunningStatistics, bytes: &[u8]) -> Result<(), EnvError> {
    let saved: RunningStatistics = from_bytes(bytes)?;
    let (expected, found) = (statistics.moments().mean.len(), saved.moments().mean.len());
    if !saved.is_whole(expected) {
        let message = format!("expected whole statistics of {expected} numbers, found {found}");
        return Err(EnvError::Snapshot(message));
    }
    *statistics = saved;
    Ok(())
}

fn positive(wrapper: &'static str, field: &str, value: f64) -> Result<(), EnvError> {
    if value > 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err(refused(wrapper, format!("{field} must be positive, got {value}")))
    }
}
