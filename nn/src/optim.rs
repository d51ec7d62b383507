//! Adam, gradient clipping and the check for lost gradients.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::NnError;
use crate::kernels::{AdamScalars, adam, all_finite, scale, sum_of_squares};
use crate::matrix::check_length;
use crate::params::{Layout, Params};

/// Settings of [`Adam`]; the learning rate is an argument of each step.
///
/// # Source
/// Kingma and Ba 2015, arXiv:1412.6980; defaults of `torch.optim.Adam` (PyTorch 2.9).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamConfig {
    /// Decay of the mean of gradients, in 0..1.
    pub beta1: f64,
    /// Decay of the mean of squared gradients, in 0..1.
    pub beta2: f64,
    /// Added to the denominator, positive; CleanRL's PPO uses 1e-5.
    pub eps: f64,
    /// Factor of the parameters that is added to their gradients (L2 penalty, not `AdamW`), at least 0.
    pub weight_decay: f64,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 }
    }
}

impl AdamConfig {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`NnError::Config`] names the first field that breaks its bound.
    pub fn validate(&self) -> Result<(), NnError> {
        let config =
            |field, expected, got: f64| Err(NnError::Config { field, expected, got: got.to_string() });
        for (field, beta) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            if !(0.0..1.0).contains(&beta) {
                return config(field, "at least 0 and less than 1", beta);
            }
        }
        if !(self.eps > 0.0 && self.eps.is_finite()) {
            return config("eps", "positive and finite", self.eps);
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return config("weight_decay", "at least 0 and finite", self.weight_decay);
        }
        Ok(())
    }
}

/// The state of [`Adam`], complete: restored, it continues with the same bits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamState {
    /// Steps taken.
    pub step: u64,
    /// Running mean of the gradients.
    pub exp_avg: Vec<f32>,
    /// Running mean of the squared gradients.
    pub exp_avg_sq: Vec<f32>,
}

/// The Adam optimizer over flat parameters.
///
/// ```text
/// m ← β₁·m + (1 − β₁)·g        v ← β₂·v + (1 − β₂)·g²
/// θ ← θ − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)
/// ```
///
/// # Source
/// `torch.optim.Adam` (PyTorch 2.9), including the place of ε.
///
/// # Deviations
/// 1. Every 64th step, running means below the smallest normal `f32` (1.2e-38) become zero. Those of a dead unit
///    decay into denormals otherwise, stay there, and make a step take twice as long.
#[derive(Debug, Clone)]
pub struct Adam {
    config: AdamConfig,
    state: AdamState,
}

/// How many steps lie between two that set denormal means to zero: doing it always would cost a fifth of the step.
const FLUSH_EVERY: u64 = 64;

/// Values that one thread updates at a time in [`Adam::step_parallel`]; a multiple of every vector width.
const CHUNK: usize = 8192;

/// From this many values on [`Adam::step_parallel`] uses several threads.
const PARALLEL_FROM: usize = 32_768;

impl Adam {
    /// Before its first step, for `len` values.
    ///
    /// # Errors
    /// [`NnError::Config`] if the configuration breaks a bound.
    pub fn new(config: AdamConfig, len: usize) -> Result<Self, NnError> {
        Self::from_state(config, AdamState { step: 0, exp_avg: vec![0.0; len], exp_avg_sq: vec![0.0; len] })
    }

    /// Continues from a saved state.
    ///
    /// # Errors
    /// [`NnError::Config`] if the configuration breaks a bound, [`NnError::Length`] if the two means differ in length.
    pub fn from_state(config: AdamConfig, state: AdamState) -> Result<Self, NnError> {
        config.validate()?;
        check_length("exp_avg_sq", state.exp_avg.len(), state.exp_avg_sq.len())?;
        Ok(Self { config, state })
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &AdamConfig {
        &self.config
    }

    /// The state, to be saved.
    #[must_use]
    pub fn state(&self) -> &AdamState {
        &self.state
    }

    /// One step on the calling thread.
    ///
    /// # Errors
    /// [`NnError::Length`] if `params` or `grads` do not have this optimizer's length; nothing changes then.
    pub fn step(&mut self, params: &mut Params, grads: &[f32], learning_rate: f32) -> Result<(), NnError> {
        let scalars = self.begin(params, grads, learning_rate)?;
        adam(scalars, params.as_mut_slice(), grads, &mut self.state.exp_avg, &mut self.state.exp_avg_sq);
        Ok(())
    }

    /// One step on the threads of the current rayon pool; same bits as [`Self::step`].
    ///
    /// Few values, or a pool of one thread, are updated on the calling thread.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn step_parallel(
        &mut self,
        params: &mut Params,
        grads: &[f32],
        learning_rate: f32,
    ) -> Result<(), NnError> {
        if grads.len() < PARALLEL_FROM || rayon::current_num_threads() == 1 {
            return self.step(params, grads, learning_rate);
        }
        let scalars = self.begin(params, grads, learning_rate)?;
        // Every value is updated for itself, so the cut into chunks does not show in the result.
        params
            .as_mut_slice()
            .par_chunks_mut(CHUNK)
            .zip(grads.par_chunks(CHUNK))
            .zip(self.state.exp_avg.par_chunks_mut(CHUNK).zip(self.state.exp_avg_sq.par_chunks_mut(CHUNK)))
            .for_each(|((params, grads), (exp_avg, exp_avg_sq))| {
                adam(scalars, params, grads, exp_avg, exp_avg_sq);
            });
        Ok(())
    }

    /// Counts the step and computes what all values share.
    fn begin(&mut self, params: &Params, grads: &[f32], learning_rate: f32) -> Result<AdamScalars, NnError> {
        check_length("parameters", self.state.exp_avg.len(), params.len())?;
        check_length("gradients", self.state.exp_avg.len(), grads.len())?;
        self.state.step += 1;
        let AdamConfig { beta1, beta2, eps, weight_decay } = self.config;
        let step = self.state.step as f64;
        let correction1 = 1.0 - beta1.powf(step);
        let correction2 = 1.0 - beta2.powf(step);
        Ok(AdamScalars {
            weight_decay: weight_decay as f32,
            beta1: beta1 as f32,
            one_minus_beta1: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            one_minus_beta2: (1.0 - beta2) as f32,
            inverse_sqrt_correction2: correction2.sqrt().recip() as f32,
            eps: eps as f32,
            flush: self.state.step.is_multiple_of(FLUSH_EVERY),
            negative_step_size: (-f64::from(learning_rate) / correction1) as f32,
        })
    }
}

/// Scales gradients down so that their norm is at most `max_norm`; returns the norm before.
///
/// `g ← g · min(1, max_norm / (‖g‖₂ + 1e-6))`. The sum runs in a fixed order. A norm that is not finite makes all
/// gradients NaN or zero, as in PyTorch; use [`check_finite`] to stop before that.
///
/// # Source
/// `torch.nn.utils.clip_grad_norm_` (PyTorch 2.9).
pub fn clip_grad_norm(grads: &mut [f32], max_norm: f32) -> f32 {
    let norm = sum_of_squares(grads).sqrt() as f32;
    let coefficient = max_norm / (norm + 1e-6);
    if coefficient < 1.0 || coefficient.is_nan() {
        scale(grads, coefficient);
    }
    norm
}

/// Checks that a flat gradient holds neither NaN nor an infinity.
///
/// # Errors
/// [`NnError::NotFinite`] names the first parameter that has one, [`NnError::Length`] if the gradient belongs to
/// another layout.
pub fn check_finite(layout: &Layout, grads: &[f32]) -> Result<(), NnError> {
    check_length("gradients", layout.len(), grads.len())?;
    if all_finite(grads) {
        return Ok(());
    }
    for spec in layout.specs() {
        for (index, &value) in spec.range.of(grads).iter().enumerate() {
            if !value.is_finite() {
                return Err(NnError::NotFinite { name: spec.name.clone(), index, value });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::Init;
    use crate::params::LayoutBuilder;

    fn params(len: usize) -> Params {
        let mut builder = LayoutBuilder::new();
        builder.add("w", &[len], Init::Normal { std: 1.0 });
        builder.build(1)
    }

    fn gradient(len: usize, step: usize) -> Vec<f32> {
        (0..len).map(|i| (((i * 31 + step * 17) % 97) as f32 - 48.0) / 20.0).collect()
    }

    #[test]
    fn the_first_step_moves_by_the_learning_rate_against_the_sign() {
        let mut params = params(3);
        let before = params.as_slice().to_vec();
        let mut adam = Adam::new(AdamConfig::default(), 3).unwrap();
        adam.step(&mut params, &[0.3, -7.0, 0.0], 0.01).unwrap();
        for ((now, then), sign) in params.as_slice().iter().zip(before).zip([1.0, -1.0, 0.0]) {
            assert!((then - now - 0.01 * sign).abs() < 1e-6);
        }
    }

    #[test]
    fn a_restored_state_continues_with_the_same_bits() {
        let (mut straight, mut adam) = (params(37), Adam::new(AdamConfig::default(), 37).unwrap());
        for step in 0..3 {
            adam.step(&mut straight, &gradient(37, step), 3e-3).unwrap();
        }
        let saved: AdamState = serde_json::from_str(&serde_json::to_string(adam.state()).unwrap()).unwrap();
        assert_eq!(&saved, adam.state());
        let (mut resumed, mut other) = (straight.clone(), Adam::from_state(*adam.config(), saved).unwrap());
        for step in 3..6 {
            adam.step(&mut straight, &gradient(37, step), 3e-3).unwrap();
            other.step(&mut resumed, &gradient(37, step), 3e-3).unwrap();
        }
        assert_eq!(straight.as_slice(), resumed.as_slice());
        assert_eq!(adam.state(), other.state());
    }

    #[test]
    fn means_of_dead_parameters_become_zero() {
        let (mut params, mut adam) = (params(20), Adam::new(AdamConfig::default(), 20).unwrap());
        adam.step(&mut params, &[1e-3; 20], 1e-3).unwrap();
        for _ in 0..1024 {
            adam.step(&mut params, &[0.0; 20], 1e-3).unwrap();
        }
        assert_eq!(adam.state().exp_avg, [0.0; 20]);
        assert!(adam.state().exp_avg_sq.iter().all(|&v| v > 0.0));
    }

    #[test]
    fn threads_do_not_change_the_bits() {
        let len = 3 * CHUNK + PARALLEL_FROM + 5;
        let (mut one, mut many) = (params(len), params(len));
        let config = AdamConfig { weight_decay: 0.01, ..AdamConfig::default() };
        let (mut adam_one, mut adam_many) =
            (Adam::new(config, len).unwrap(), Adam::new(config, len).unwrap());
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        for step in 0..3 {
            let grads = gradient(len, step);
            adam_one.step(&mut one, &grads, 1e-3).unwrap();
            pool.install(|| adam_many.step_parallel(&mut many, &grads, 1e-3)).unwrap();
        }
        assert_eq!(one.as_slice(), many.as_slice());
        assert_eq!(adam_one.state(), adam_many.state());
    }

    #[test]
    fn a_published_snapshot_does_not_move() {
        let mut params = params(5);
        let snapshot = params.clone();
        let before = snapshot.as_slice().to_vec();
        Adam::new(AdamConfig::default(), 5).unwrap().step(&mut params, &[1.0; 5], 0.1).unwrap();
        assert_eq!(snapshot.as_slice(), before);
        assert_ne!(params.as_slice(), before);
    }

    #[test]
    fn clipping_leaves_short_gradients_alone() {
        let mut grads = vec![3.0, 4.0];
        assert_eq!(clip_grad_norm(&mut grads, 10.0), 5.0);
        assert_eq!(grads, [3.0, 4.0]);
        assert_eq!(clip_grad_norm(&mut grads, 1.0), 5.0);
        assert!((grads[0] - 0.6).abs() < 1e-6 && (grads[1] - 0.8).abs() < 1e-6);
    }

    #[test]
    fn lost_gradients_are_named() {
        let mut builder = LayoutBuilder::new();
        builder.add("a", &[40], Init::Zeros);
        builder.add("b", &[3], Init::Zeros);
        let layout = builder.build(0).layout().clone();
        let mut grads = vec![1.0; 43];
        check_finite(&layout, &grads).unwrap();
        for (index, value, message) in [
            (41, f32::NAN, "the gradient of b must be finite, got NaN at index 1"),
            (42, f32::INFINITY, "the gradient of b must be finite, got inf at index 2"),
            (7, f32::NEG_INFINITY, "the gradient of a must be finite, got -inf at index 7"),
        ] {
            grads.fill(1.0);
            grads[index] = value;
            assert_eq!(check_finite(&layout, &grads).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn bad_settings_are_refused() {
        let config = AdamConfig { beta1: 1.0, ..AdamConfig::default() };
        let error = Adam::new(config, 1).unwrap_err();
        assert_eq!(error.to_string(), "beta1 must be at least 0 and less than 1, got 1");
    }
}
