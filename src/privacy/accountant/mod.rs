//! Accountants: what training with noise gives away, as ε at a δ.
//!
//! A step of DP-SGD is the Poisson-subsampled Gaussian mechanism: each example takes part with a chance `q`, gradients are
//! clipped to a norm, and Gaussian noise of `σ` times that norm is added to their sum. Two accountants compose such steps:
//! [`rdp`] by moments, which is fast and an upper bound, and [`prv`] by the distribution of the privacy loss itself, which is
//! tight up to a stated error. Both are of one example added or removed.

mod fft;
pub mod prv;
pub mod rdp;
mod special;

use serde::Serialize;

use crate::RunError;

/// Steps that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Mechanism {
    /// The chance with which an example takes part in a step, above 0 and at most 1.
    pub sample_rate: f64,
    /// Standard deviation of the noise over the clipping norm, above 0.
    pub noise_multiplier: f64,
    /// How many there are, at least 1.
    pub steps: u64,
}

/// The largest number of steps that is accounted for.
const MOST_STEPS: u64 = 1_000_000_000;

impl Mechanism {
    /// Checks the bounds.
    ///
    /// # Errors
    /// If one is broken.
    pub fn validate(&self) -> Result<(), RunError> {
        let Self { sample_rate, noise_multiplier, steps } = *self;
        let wrong = |field: &str, bound: &str, found: String| {
            Err(RunError::Config(format!("{field} must be {bound}, got {found}")))
        };
        if !(sample_rate > 0.0 && sample_rate <= 1.0) {
            return wrong("sample_rate", "above 0 and at most 1", sample_rate.to_string());
        }
        if !(0.01..=1e6).contains(&noise_multiplier) {
            return wrong("noise_multiplier", "between 0.01 and 1e6", noise_multiplier.to_string());
        }
        if !(1..=MOST_STEPS).contains(&steps) {
            return wrong("steps", "between 1 and 1e9", steps.to_string());
        }
        Ok(())
    }
}

/// Checks a δ.
///
/// # Errors
/// If it is not between 0 and 1, both excluded.
pub fn validate_delta(delta: f64) -> Result<(), RunError> {
    if delta > 0.0 && delta < 1.0 {
        return Ok(());
    }
    Err(RunError::Config(format!("delta must be above 0 and below 1, got {delta}")))
}

/// What both accountants say.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spent {
    /// The steps.
    #[serde(flatten)]
    pub mechanism: Mechanism,
    /// The δ.
    pub delta: f64,
    /// By moments.
    pub rdp: rdp::Rdp,
    /// By the privacy loss; none where its grid would be too large.
    pub prv: Option<prv::Prv>,
}

impl Spent {
    /// Accounts for some steps.
    ///
    /// # Errors
    /// If a number is out of range.
    pub fn of(mechanism: Mechanism, delta: f64) -> Result<Self, RunError> {
        let rdp = rdp::epsilon(&mechanism, delta)?;
        Ok(Self { mechanism, delta, rdp, prv: prv::epsilon(&mechanism, delta)? })
    }

    /// The better of both upper bounds.
    pub fn epsilon(&self) -> f64 {
        self.prv.map_or(self.rdp.epsilon, |prv| prv.upper.min(self.rdp.epsilon))
    }
}

/// The smallest noise with which some steps give away at most so much, found by bisection over the RDP accountant.
///
/// # Errors
/// If a number is out of range, or no noise up to 1e6 is enough.
pub fn noise_for(sample_rate: f64, steps: u64, epsilon: f64, delta: f64) -> Result<f64, RunError> {
    let spent = |noise_multiplier: f64| {
        Ok::<f64, RunError>(rdp::epsilon(&Mechanism { sample_rate, noise_multiplier, steps }, delta)?.epsilon)
    };
    if !(epsilon > 0.0 && epsilon.is_finite()) {
        return Err(RunError::Config(format!("epsilon must be above 0, got {epsilon}")));
    }
    let (mut low, mut high) = (0.05, 0.1);
    while spent(high)? > epsilon {
        low = high;
        high *= 2.0;
        if high > 1e6 {
            return Err(RunError::Config(format!(
                "no noise is enough for an epsilon of {epsilon} at this delta"
            )));
        }
    }
    while high - low > 1e-4 * high {
        let middle = 0.5 * (low + high);
        if spent(middle)? > epsilon { low = middle } else { high = middle }
    }
    Ok(high)
}

#[cfg(test)]
mod tests;
