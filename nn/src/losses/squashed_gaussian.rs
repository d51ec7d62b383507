//! The hyperbolic tangent of a [`Gaussian`]: actions in −1..1, as in soft actor-critic.
//!
//! `a = tanh(u)` with `u = mean + σ · noise`, so `ln p(a) = ln p(u) − Σ ln(1 − tanh² u)`. The second term is
//! `−2 ln cosh u = −2 (ln 2 − u − softplus(−2u))`, in which nothing cancels or overflows.

use super::batched::for_each_softplus_rest;
use super::gaussian::{Gaussian, GaussianGradient, HALF_LN_TWO_PI};
use crate::error::NnError;
use crate::kernels::tanh;
use crate::matrix::check_length;

/// The distributions of a batch.
///
/// # Source
/// Haarnoja et al. 2018, arXiv:1801.01290, appendix C; the form of the correction is that of
/// `torch.distributions.TanhTransform` (PyTorch 2.9).
#[derive(Debug, Clone, Copy)]
#[doc(alias = "TanhNormal")]
pub struct SquashedGaussian<'a> {
    gaussian: Gaussian<'a>,
}

impl<'a> SquashedGaussian<'a> {
    /// The hyperbolic tangent of `gaussian`.
    #[must_use]
    pub fn new(gaussian: Gaussian<'a>) -> Self {
        Self { gaussian }
    }

    /// Draws actions `tanh(mean + σ · noise)`.
    ///
    /// # Shapes
    /// `noise`, standard normal, and `actions`: `[B, D]`.
    ///
    /// # Errors
    /// [`NnError::Length`] if a length differs.
    pub fn sample(&self, noise: &[f32], actions: &mut [f32]) -> Result<(), NnError> {
        self.gaussian.sample(noise, actions)?;
        tanh(actions);
        Ok(())
    }

    /// Draws as [`Self::sample`], and gives the log-probabilities of the actions.
    ///
    /// They come from the noise and not from the actions, so they are exact where the actions saturate.
    ///
    /// # Shapes
    /// `noise`, standard normal, and `actions`: `[B, D]`, `log_probs`: `[B]`.
    ///
    /// # Errors
    /// [`NnError::Length`] if a length differs.
    pub fn sample_with_log_prob(
        &self,
        noise: &[f32],
        actions: &mut [f32],
        log_probs: &mut [f32],
    ) -> Result<(), NnError> {
        check_length("log_probs", self.gaussian.rows(), log_probs.len())?;
        self.gaussian.sample(noise, actions)?;
        log_probs.fill(0.0);
        self.gaussian.for_each(|at| {
            let noise = noise[at.index];
            log_probs[at.row] += -0.5 * noise * noise - self.gaussian.log_std_at(at) - HALF_LN_TWO_PI;
        });
        self.add_correction(actions, log_probs);
        tanh(actions);
        Ok(())
    }

    /// The squashed modes of the Gaussians, `tanh(mean)`: what is played in evaluation.
    ///
    /// # Shapes
    /// `actions`: `[B, D]`.
    ///
    /// # Errors
    /// [`NnError::Length`] if the length differs.
    pub fn mode(&self, actions: &mut [f32]) -> Result<(), NnError> {
        check_length("actions", self.gaussian.mean.len(), actions.len())?;
        actions.copy_from_slice(self.gaussian.mean);
        tanh(actions);
        Ok(())
    }

    /// `out[b] = ln p(tanh u)` from the values `u` before the hyperbolic tangent.
    ///
    /// # Shapes
    /// `pre_tanh`: `[B, D]`, `out`: `[B]`.
    ///
    /// # Errors
    /// [`NnError::Length`] if a length differs.
    pub fn log_prob_of_pre_tanh(&self, pre_tanh: &[f32], out: &mut [f32]) -> Result<(), NnError> {
        self.gaussian.log_prob(pre_tanh, out)?;
        self.add_correction(pre_tanh, out);
        Ok(())
    }

    /// Adds the gradient of `Σ_b weights[b] · log_prob[b]` where the actions follow the parameters (the
    /// reparameterisation trick), and that of what a critic makes of the actions.
    ///
    /// With the noise `ε` held fixed, `ln p(a)` changes by `2 tanh u` with `u` and by −1 with `log_std`; `a` changes by
    /// `1 − a²` with `u`; `u` changes by 1 with the mean and by `σ ε` with `log_std`.
    ///
    /// # Shapes
    /// `noise`, and the `actions` that [`Self::sample`] made of it: `[B, D]`; `weights`: `[B]`; `action_gradient`, the
    /// gradient of the rest of the loss with respect to the actions, if there is one: `[B, D]`.
    ///
    /// # Errors
    /// [`NnError::Length`] if a length differs.
    pub fn add_reparameterized_gradient(
        &self,
        noise: &[f32],
        actions: &[f32],
        weights: &[f32],
        action_gradient: Option<&[f32]>,
        gradient: &mut GaussianGradient<'_>,
    ) -> Result<(), NnError> {
        let Gaussian { mean, .. } = self.gaussian;
        check_length("noise", mean.len(), noise.len())?;
        check_length("actions", mean.len(), actions.len())?;
        check_length("action gradient", mean.len(), action_gradient.map_or(mean.len(), <[f32]>::len))?;
        self.gaussian.check_gradient(weights, gradient)?;
        self.gaussian.visit(
            |at| [self.gaussian.log_std_at(at)],
            |at, [std]| {
                let (action, weight) = (actions[at.index], weights[at.row]);
                let of_action = action_gradient.map_or(0.0, |gradient| gradient[at.index]);
                let of_pre_tanh = weight * 2.0 * action + of_action * (1.0 - action * action);
                gradient.mean[at.index] += of_pre_tanh;
                gradient.log_std[self.gaussian.log_std_index(at)] +=
                    of_pre_tanh * std * noise[at.index] - weight;
            },
        );
        Ok(())
    }

    /// Adds `Σ_d 2 ln cosh u` to the log-probability of each row.
    fn add_correction(&self, pre_tanh: &[f32], log_probs: &mut [f32]) {
        let mut cursor = self.gaussian.cursor();
        for_each_softplus_rest(
            |i| 2.0 * pre_tanh[i],
            pre_tanh.len(),
            |i, rest| {
                // u + softplus(−2u) = |u| + ln(1 + e^−2|u|)
                log_probs[cursor.step().row] += 2.0 * (pre_tanh[i].abs() + rest - std::f32::consts::LN_2);
            },
        );
    }
}

/// The values before the hyperbolic tangent of given actions, in place: `u = artanh(a)`.
///
/// Actions beyond ±(1 − 2⁻²³) are taken to be there, where `u = ±8.3`: an action that has saturated in `f32` has no
/// other finite log-probability. With `u`, [`SquashedGaussian::log_prob_of_pre_tanh`] is the log-probability of a
/// recorded action, and [`Gaussian::add_log_prob_gradient`] its gradient.
pub fn unsquash(actions: &mut [f32]) {
    const BOUND: f32 = 1.0 - f32::EPSILON;
    actions.iter_mut().for_each(|a| *a = libm::atanhf(a.clamp(-BOUND, BOUND)));
}

#[cfg(test)]
mod tests;
