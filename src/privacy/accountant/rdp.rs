//! The accountant of moments: Rényi differential privacy of the subsampled Gaussian mechanism.
//!
//! # Source
//! Mironov, Talwar and Zhang 2019, "Rényi Differential Privacy of the Sampled Gaussian Mechanism", section 3.3, for the
//! divergence at an order; Balle et al. 2020, arXiv:1905.09982, theorem 21, for ε. The orders are those of Opacus 1.5.

use serde::Serialize;
use statrs::function::gamma::ln_gamma;

use super::special::{ln_add, ln_erfc, ln_sub};
use super::{Mechanism, validate_delta};
use crate::RunError;

/// Terms of the series of a fractional order; each falls below `exp(-30)` long before.
const MOST_TERMS: usize = 100_000;

/// What the accountant says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rdp {
    /// The upper bound of ε.
    pub epsilon: f64,
    /// The order that gives it.
    pub order: f64,
}

/// The orders at which the divergence is looked at.
fn orders() -> impl Iterator<Item = f64> {
    (1..100).map(|tenth| 1.0 + f64::from(tenth) / 10.0).chain((12..64).map(f64::from))
}

/// ε of some steps at a δ.
///
/// # Errors
/// If a number is out of range.
pub fn epsilon(mechanism: &Mechanism, delta: f64) -> Result<Rdp, RunError> {
    mechanism.validate()?;
    validate_delta(delta)?;
    let at = |order: f64| {
        let divergence = mechanism.steps as f64 * divergence(mechanism, order);
        let epsilon = divergence - (delta.ln() + order.ln()) / (order - 1.0) + ((order - 1.0) / order).ln();
        Rdp { epsilon, order }
    };
    let all = orders().map(at).filter(|rdp| rdp.epsilon.is_finite());
    let best = all.min_by(|a, b| a.epsilon.total_cmp(&b.epsilon));
    let none = Rdp { epsilon: f64::INFINITY, order: f64::NAN };
    Ok(best.map_or(none, |best| Rdp { epsilon: best.epsilon.max(0.0), ..best }))
}

/// The Rényi divergence of one step at an order.
pub fn divergence(mechanism: &Mechanism, order: f64) -> f64 {
    let Mechanism { sample_rate: q, noise_multiplier: sigma, .. } = *mechanism;
    if q == 1.0 {
        return order / (2.0 * sigma * sigma);
    }
    let ln_a = if order.fract() == 0.0 {
        ln_a_whole(q, sigma, order as u32)
    } else {
        ln_a_fractional(q, sigma, order)
    };
    ln_a / (order - 1.0)
}

/// `ln A_α = ln Σ_k C(α, k) (1 − q)^(α − k) q^k exp((k² − k) / 2σ²)` at a whole order.
fn ln_a_whole(q: f64, sigma: f64, order: u32) -> f64 {
    let alpha = f64::from(order);
    let term = |k: u32| {
        let k = f64::from(k);
        let ln_choose = ln_gamma(alpha + 1.0) - ln_gamma(k + 1.0) - ln_gamma(alpha - k + 1.0);
        ln_choose + k * q.ln() + (alpha - k) * (-q).ln_1p() + (k * k - k) / (2.0 * sigma * sigma)
    };
    (0..=order).map(term).fold(f64::NEG_INFINITY, ln_add)
}

/// The same at any order, as two series over the half lines on both sides of `z0`.
fn ln_a_fractional(q: f64, sigma: f64, alpha: f64) -> f64 {
    let z0 = sigma * sigma * (1.0 / q - 1.0).ln() + 0.5;
    let scale = std::f64::consts::SQRT_2 * sigma;
    let (mut left, mut right) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
    // The generalised binomial coefficient: its logarithm and its sign.
    let (mut ln_coefficient, mut is_positive) = (0.0, true);
    for i in 0..MOST_TERMS {
        let i = i as f64;
        let j = alpha - i;
        let half = 0.5_f64.ln();
        let ln_left = ln_coefficient
            + i * q.ln()
            + j * (-q).ln_1p()
            + (i * i - i) / (2.0 * sigma * sigma)
            + half
            + ln_erfc((i - z0) / scale);
        let ln_right = ln_coefficient
            + j * q.ln()
            + i * (-q).ln_1p()
            + (j * j - j) / (2.0 * sigma * sigma)
            + half
            + ln_erfc((z0 - j) / scale);
        (left, right) = if is_positive {
            (ln_add(left, ln_left), ln_add(right, ln_right))
        } else {
            (ln_sub(left, ln_left), ln_sub(right, ln_right))
        };
        if ln_left.max(ln_right) < -30.0 {
            break;
        }
        let factor = (alpha - i) / (i + 1.0);
        ln_coefficient += factor.abs().ln();
        is_positive ^= factor < 0.0;
    }
    ln_add(left, right)
}
