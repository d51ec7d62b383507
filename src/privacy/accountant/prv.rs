//! The accountant of privacy loss: its distribution over all steps, by numerical composition.
//!
//! The privacy loss of a step is a random variable. On a grid it is a list of probabilities, whose convolution with itself is
//! the loss of all steps; ε at a δ is read from that. The grid is so fine and so wide that the result is wrong by at most
//! [`EPSILON_ERROR`] and a thousandth of δ, which the upper bound includes.
//!
//! # Source
//! Gopi, Lee and Wutschitz 2021, "Numerical Composition of Differential Privacy", arXiv:2106.02848: algorithm 1, propositions B1
//! and B4, remark 5.6; mesh and width as Opacus 1.5 chooses them.
//!
//! # Deviations
//! 1. The grid has a power of two many points, so that it is wider than it would have to be.
//! 2. The mean loss of a step is an integral over the noise, not over the loss.

use serde::Serialize;
use statrs::function::erf::erfc;

use super::fft::self_convolution;
use super::{Mechanism, rdp, validate_delta};
use crate::RunError;

/// By how much ε may be wrong.
pub const EPSILON_ERROR: f64 = 0.01;
/// Points of the largest grid: 256 MiB.
const MOST_POINTS: usize = 1 << 24;

/// What the accountant says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Prv {
    /// The lower bound of ε.
    pub lower: f64,
    /// The best estimate of ε.
    pub estimate: f64,
    /// The upper bound of ε.
    pub upper: f64,
}

/// ε of some steps at a δ; none where the grid would be too large or its rounding errors as large as δ.
///
/// # Errors
/// If a number is out of range.
pub fn epsilon(mechanism: &Mechanism, delta: f64) -> Result<Option<Prv>, RunError> {
    mechanism.validate()?;
    validate_delta(delta)?;
    let delta_error = delta / 1000.0;
    let Some(grid) = Grid::of(mechanism, delta_error)? else { return Ok(None) };
    // As many places as are lost to rounding.
    if f64::EPSILON * grid.points as f64 > delta - delta_error {
        return Ok(None);
    }
    let Some((probabilities, shift)) = grid.discretized(mechanism) else { return Ok(None) };
    let composed = grid.composed(&probabilities, mechanism.steps);
    let first = grid.first() + shift * mechanism.steps as f64;
    let losses = Losses::new(&composed, first, grid.mesh);
    let read = |delta: f64| losses.epsilon(delta);
    Ok(read(delta - delta_error).zip(read(delta)).zip(read(delta + delta_error)).map(
        |((upper, estimate), lower)| Prv {
            lower: (lower - EPSILON_ERROR).max(0.0),
            estimate: estimate.max(0.0),
            upper: (upper + EPSILON_ERROR).max(0.0),
        },
    ))
}

/// `points` losses, `mesh` apart, from `−(points / 2 − 1) mesh` on.
struct Grid {
    points: usize,
    mesh: f64,
}

impl Grid {
    /// None if it would be too large.
    fn of(mechanism: &Mechanism, delta_error: f64) -> Result<Option<Self>, RunError> {
        let steps = mechanism.steps as f64;
        let all = rdp::epsilon(mechanism, delta_error / 4.0)?.epsilon;
        let one = rdp::epsilon(&Mechanism { steps: 1, ..*mechanism }, delta_error / (8.0 * steps))?.epsilon;
        let width = all.max(one).max(EPSILON_ERROR) + 3.0;
        let mesh = EPSILON_ERROR / (steps * (12.0 / delta_error).ln() / 2.0).sqrt();
        let needed = 2.0 * (width / mesh).ceil() + 2.0;
        if needed.is_nan() || needed > MOST_POINTS as f64 {
            return Ok(None);
        }
        Ok(Some(Self { points: (needed as usize).next_power_of_two(), mesh }))
    }

    fn first(&self) -> f64 {
        -((self.points / 2 - 1) as f64) * self.mesh
    }

    /// Probabilities of one step's loss, and what is added to all places so that its mean is right; none if that is more than
    /// half a place.
    fn discretized(&self, mechanism: &Mechanism) -> Option<(Vec<f64>, f64)> {
        let Self { points, mesh } = *self;
        let edge = |i: usize| self.first() + (i as f64 - 0.5) * mesh;
        let last = self.first() + (points - 1) as f64 * mesh;
        let (below, above) = (cdf(mechanism, self.first()), cdf(mechanism, last));
        let mass = above - below;
        let truncated = |loss: f64| ((cdf(mechanism, loss) - below) / mass).clamp(0.0, 1.0);
        let mut left = 0.0;
        let mut mean = 0.0;
        let mut probabilities = Vec::with_capacity(points);
        for i in 0..points {
            let right = if i + 1 == points { 1.0 } else { truncated(edge(i + 1)) };
            probabilities.push(right - left);
            mean += (right - left) * (self.first() + i as f64 * mesh);
            left = right;
        }
        let shift = mean_loss(mechanism, self.first(), last) / mass - mean;
        (shift.abs() < mesh / 2.0).then_some((probabilities, shift))
    }

    /// Probabilities of the sum of so many losses, on the same grid.
    fn composed(&self, probabilities: &[f64], steps: u64) -> Vec<f64> {
        let mut sums = self_convolution(probabilities, steps);
        // The sum of places counts from `steps` times the first one: it belongs `(steps − 1) (points / 2 − 1)` before.
        let points = self.points as u128;
        let ahead = u128::from(steps - 1) * (points / 2 - 1) % points;
        sums.rotate_left(ahead as usize);
        sums
    }
}

/// The probability that the loss of a step is at most so much.
fn cdf(mechanism: &Mechanism, loss: f64) -> f64 {
    let Mechanism { sample_rate: q, noise_multiplier: sigma, .. } = *mechanism;
    let likelihood = (loss.exp() + q - 1.0) / q;
    if likelihood <= 0.0 {
        return 0.0;
    }
    let z = sigma * likelihood.ln();
    let normal = |x: f64| 0.5 * erfc(-x / std::f64::consts::SQRT_2);
    q * normal(z - 0.5 / sigma) + (1.0 - q) * normal(z + 0.5 / sigma)
}

/// `E[l(X); low ≤ l(X) ≤ high]` of the loss `l(x) = ln(1 − q + q exp((2x − 1) / 2σ²))` of the noisy sum `x`, which is normal
/// around 1 with a chance of `q` and around 0 else.
fn mean_loss(mechanism: &Mechanism, low: f64, high: f64) -> f64 {
    const INTERVALS: usize = 40_000;
    let Mechanism { sample_rate: q, noise_multiplier: sigma, .. } = *mechanism;
    let (from, to) = (-14.0 * sigma, 1.0 + 14.0 * sigma);
    let width = (to - from) / INTERVALS as f64;
    let density = |x: f64, mean: f64| {
        let z = (x - mean) / sigma;
        (-0.5 * z * z).exp() / (sigma * (2.0 * std::f64::consts::PI).sqrt())
    };
    let integrand = |i: usize| {
        let x = from + width * i as f64;
        let exponent = (2.0 * x - 1.0) / (2.0 * sigma * sigma);
        // Written so that a small loss keeps its digits and a large one does not overflow.
        let loss = if exponent > 50.0 { exponent + q.ln() } else { (q * exponent.exp_m1()).ln_1p() };
        if (low..=high).contains(&loss) {
            loss * (q * density(x, 1.0) + (1.0 - q) * density(x, 0.0))
        } else {
            0.0
        }
    };
    (0..=INTERVALS).map(integrand).sum::<f64>() * width
}

/// Tails of a distribution of losses.
struct Losses {
    first: f64,
    mesh: f64,
    /// `Σ_{j ≥ i} p_j` and `Σ_{j ≥ i} p_j exp(−t_j)`.
    tails: Vec<(f64, f64)>,
}

impl Losses {
    fn new(probabilities: &[f64], first: f64, mesh: f64) -> Self {
        let mut tails = vec![(0.0, 0.0); probabilities.len()];
        let (mut sum, mut weighted) = (0.0, 0.0);
        for (i, &p) in probabilities.iter().enumerate().rev() {
            sum += p;
            weighted += p * (-(first + i as f64 * mesh)).exp();
            tails[i] = (sum, weighted);
        }
        Self { first, mesh, tails }
    }

    /// The ε at which `δ(ε) = Σ_{t_j ≥ ε} p_j (1 − exp(ε − t_j))` is so much; none if that is at no place of the grid.
    fn epsilon(&self, delta: f64) -> Option<f64> {
        let at = |i: usize| {
            let (sum, weighted) = self.tails[i];
            sum - (self.first + i as f64 * self.mesh).exp() * weighted
        };
        // δ falls from place to place.
        let (mut low, mut high) = (0, self.tails.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if at(middle) > delta { low = middle + 1 } else { high = middle }
        }
        let (sum, weighted) = *self.tails.get(low).filter(|_| low > 0)?;
        let epsilon = ((sum - delta) / weighted).ln();
        epsilon.is_finite().then_some(epsilon)
    }
}
