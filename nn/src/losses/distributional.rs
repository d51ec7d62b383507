//! Distributional action values: a categorical distribution over fixed returns (C51), or quantiles (QR-DQN).

use super::regression::huber;
use crate::error::NnError;
use crate::matrix::check_length;

/// The returns that a categorical distribution is over: `atoms` of them, evenly from `v_min` to `v_max`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Support {
    v_min: f32,
    v_max: f32,
    atoms: usize,
}

impl Support {
    /// Evenly spaced returns; the paper has 51 from −10 to 10.
    ///
    /// # Errors
    /// [`NnError::Config`] unless `v_min` is less than `v_max`, both finite, and there are at least two atoms.
    pub fn new(v_min: f32, v_max: f32, atoms: usize) -> Result<Self, NnError> {
        if !(v_min < v_max && v_min.is_finite() && (v_max - v_min).is_finite()) {
            let got = format!("{v_min} to {v_max}");
            return Err(NnError::Config { field: "v_min", expected: "finite and less than v_max", got });
        }
        if atoms < 2 {
            return Err(NnError::Config { field: "atoms", expected: "at least 2", got: atoms.to_string() });
        }
        Ok(Self { v_min, v_max, atoms })
    }

    /// The number of atoms, `Z`.
    #[must_use]
    pub fn atoms(&self) -> usize {
        self.atoms
    }

    /// The return of an atom.
    #[must_use]
    pub fn value(&self, atom: usize) -> f32 {
        self.v_min + self.spacing() * atom as f32
    }

    /// How far apart two neighbouring atoms are.
    #[must_use]
    pub fn spacing(&self) -> f32 {
        (self.v_max - self.v_min) / (self.atoms - 1) as f32
    }

    /// `out[b] = Σ_z probs[b, z] · value(z)`.
    ///
    /// # Shapes
    /// `probs`: `[B, Z]`, `out`: `[B]`; the actions of a state may be rows.
    ///
    /// # Errors
    /// [`NnError::Length`] if a length differs.
    pub fn expected_values(&self, probs: &[f32], out: &mut [f32]) -> Result<(), NnError> {
        check_length("probs", out.len() * self.atoms, probs.len())?;
        for (probs, out) in probs.chunks_exact(self.atoms).zip(out) {
            *out = probs.iter().enumerate().map(|(atom, prob)| prob * self.value(atom)).sum();
        }
        Ok(())
    }
}

/// Projects the distribution of `reward + discount · Z` onto the support; `out` sums to what `probs` sums to.
///
/// Each shifted atom is clipped to the support, and its probability is shared between the two neighbours in proportion
/// to their nearness.
///
/// # Shapes
/// `probs`, of the next state's return `Z`, and `out`: `[B, Z]`; `rewards`, and `discounts`, `γⁿ` or zero where the
/// episode terminated: `[B]`.
///
/// # Errors
/// [`NnError::Length`] if a length differs.
///
/// # Source
/// Bellemare, Dabney and Munos 2017, arXiv:1707.06887, algorithm 1.
pub fn c51_project(
    support: &Support,
    probs: &[f32],
    rewards: &[f32],
    discounts: &[f32],
    out: &mut [f32],
) -> Result<(), NnError> {
    let atoms = support.atoms;
    check_length("probs", rewards.len() * atoms, probs.len())?;
    check_length("discounts", rewards.len(), discounts.len())?;
    check_length("output", probs.len(), out.len())?;
    out.fill(0.0);
    let rows = probs.chunks_exact(atoms).zip(rewards.iter().zip(discounts));
    for ((probs, (&reward, &discount)), out) in rows.zip(out.chunks_exact_mut(atoms)) {
        for (atom, &prob) in probs.iter().enumerate() {
            let shifted = (reward + discount * support.value(atom)).clamp(support.v_min, support.v_max);
            let place = (shifted - support.v_min) / support.spacing();
            let lower = (place as usize).min(atoms - 1);
            let above = place - lower as f32;
            out[lower] += prob * (1.0 - above);
            // Rounding may lead a little beyond the last atom, which then gets all.
            out[(lower + 1).min(atoms - 1)] += prob * above;
        }
    }
    Ok(())
}

/// `out[b] = −Σ_z targets[b, z] · log_probs[b, z]`: the cross-entropy with a projected distribution.
///
/// # Shapes
/// `log_probs`, `targets`: `[B, Z]`, `out`: `[B]`.
///
/// # Errors
/// [`NnError::Length`] if a length differs.
pub fn cross_entropy_rows(
    log_probs: &[f32],
    targets: &[f32],
    atoms: usize,
    out: &mut [f32],
) -> Result<(), NnError> {
    check_length("log_probs", out.len() * atoms, log_probs.len())?;
    check_length("targets", log_probs.len(), targets.len())?;
    for (row, out) in out.iter_mut().enumerate() {
        let range = row * atoms..(row + 1) * atoms;
        let pairs = targets[range.clone()].iter().zip(&log_probs[range]);
        *out = -pairs.map(|(&target, &log)| if target == 0.0 { 0.0 } else { target * log }).sum::<f32>();
    }
    Ok(())
}

/// Adds the gradient of `weight · cross-entropy` with respect to one row of logits:
/// `weight · (probs[z] · Σ targets − targets[z])`.
///
/// # Panics
/// If the slices differ in length.
pub fn add_cross_entropy_gradient(probs: &[f32], targets: &[f32], weight: f32, gradient: &mut [f32]) {
    assert!(probs.len() == gradient.len() && targets.len() == gradient.len(), "a gradient for each logit");
    let total: f32 = targets.iter().sum();
    for ((gradient, prob), target) in gradient.iter_mut().zip(probs).zip(targets) {
        *gradient += weight * (prob * total - target);
    }
}

/// The quantile regression loss of each row, with the gradient of `Σ_b weights[b] · out[b]`, which it overwrites.
///
/// ```text
/// out[b] = Σ_i mean_j |τ_i − 1[u_ij < 0]| · huber(u_ij) / κ     u_ij = targets[b, j] − quantiles[b, i]
/// ```
///
/// with `τ_i = (i + ½) / N` and the threshold `κ` of [`huber`].
///
/// # Shapes
/// `quantiles`, `gradient`: `[B, N]`, `targets`: `[B, M]`, `weights`, `out`: `[B]`.
///
/// # Errors
/// [`NnError::Config`] unless `kappa` is positive and finite, [`NnError::Empty`] without targets, [`NnError::Length`]
/// if a length is no multiple of the number of rows, or differs.
///
/// # Source
/// Dabney et al. 2018, arXiv:1710.10044, equations 9 and 10.
pub fn quantile_huber(
    quantiles: &[f32],
    targets: &[f32],
    kappa: f32,
    weights: &[f32],
    out: &mut [f32],
    gradient: &mut [f32],
) -> Result<(), NnError> {
    let n = quantiles.len().checked_div(weights.len()).unwrap_or(0);
    let midpoint = |entry: usize| ((entry % n) as f32 + 0.5) / n as f32;
    quantile_huber_with(quantiles, midpoint, targets, kappa, weights, out, gradient)
}

/// As [`quantile_huber`], with `τ_i` of each row given: the quantiles may lie anywhere.
///
/// # Shapes
/// `taus`: `[B, N]`.
///
/// # Errors
/// As [`quantile_huber`].
///
/// # Source
/// Dabney et al. 2018, arXiv:1806.06923, equation 3.
pub fn quantile_huber_at(
    quantiles: &[f32],
    taus: &[f32],
    targets: &[f32],
    kappa: f32,
    weights: &[f32],
    out: &mut [f32],
    gradient: &mut [f32],
) -> Result<(), NnError> {
    check_length("taus", quantiles.len(), taus.len())?;
    quantile_huber_with(quantiles, |entry| taus[entry], targets, kappa, weights, out, gradient)
}

fn quantile_huber_with(
    quantiles: &[f32],
    tau_of: impl Fn(usize) -> f32,
    targets: &[f32],
    kappa: f32,
    weights: &[f32],
    out: &mut [f32],
    gradient: &mut [f32],
) -> Result<(), NnError> {
    if !(kappa > 0.0 && kappa.is_finite()) {
        return Err(NnError::Config {
            field: "kappa",
            expected: "positive and finite",
            got: kappa.to_string(),
        });
    }
    let rows = weights.len();
    let [n, m] = [quantiles.len(), targets.len()].map(|len| len.checked_div(rows).unwrap_or(0));
    check_length("quantiles", rows * n, quantiles.len())?;
    check_length("targets", rows * m, targets.len())?;
    if m == 0 && rows > 0 {
        return Err(NnError::Empty { name: "targets", rows, columns: 0 });
    }
    check_length("output", rows, out.len())?;
    check_length("gradient", quantiles.len(), gradient.len())?;
    for (row, (&weight, out)) in weights.iter().zip(out).enumerate() {
        let targets = &targets[row * m..(row + 1) * m];
        let range = row * n..(row + 1) * n;
        let scale = 1.0 / (m as f32 * kappa);
        *out = 0.0;
        for (i, (&quantile, gradient)) in
            quantiles[range.clone()].iter().zip(&mut gradient[range]).enumerate()
        {
            let tau = tau_of(row * n + i);
            let (mut value, mut slope) = (0.0, 0.0);
            for target in targets {
                let error = target - quantile;
                let asymmetry = if error < 0.0 { 1.0 - tau } else { tau };
                let (huber, derivative) = huber(error, kappa);
                value += asymmetry * huber;
                slope += asymmetry * derivative;
            }
            *out += scale * value;
            *gradient = -weight * scale * slope;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
