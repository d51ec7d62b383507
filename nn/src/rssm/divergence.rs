//! How far what was observed is from what was expected.

use super::Rssm;
use crate::error::NnError;
use crate::losses::mixed_categorical::MixedProbs;
use crate::matrix::check_length;

/// The balanced divergence, `dynamics · max(free, KL(sg(q) ‖ p)) + representation · max(free, KL(q ‖ sg(p)))`, where `sg` stops
/// the gradient: the prior is drawn to the posterior faster than the posterior to the prior.
///
/// # Source
/// Hafner et al. 2023, arXiv:2301.04104, equation 5.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Divergence {
    /// Weight of the prior's term.
    pub dynamics: f32,
    /// Weight of the posterior's.
    pub representation: f32,
    /// Divergence of a state, in nats, below which there is no gradient: the model may use it freely.
    pub free: f32,
}

/// The gradient of the logits of a batch of states, `[B, Z]` each.
#[derive(Debug, Clone, Default)]
pub struct DivergenceGradient {
    /// Of the posterior.
    pub posterior: Vec<f32>,
    /// Of the prior.
    pub prior: Vec<f32>,
    probs: [MixedProbs; 2],
}

impl Rssm {
    /// The divergence of each state in nats, summed over its latent variables, and the gradient of the balanced one, each row's times
    /// its weight, which it overwrites.
    ///
    /// # Shapes
    /// `posterior`, `prior`: `[B, Z]`, `weights`, `out`: `[B]`.
    ///
    /// # Errors
    /// [`NnError::Length`] if a length differs.
    pub fn divergence(
        &self,
        divergence: &Divergence,
        (posterior, prior): (&[f32], &[f32]),
        weights: &[f32],
        gradient: &mut DivergenceGradient,
        out: &mut [f32],
    ) -> Result<(), NnError> {
        let width = self.latent_values();
        check_length("posterior", out.len() * width, posterior.len())?;
        check_length("prior", out.len() * width, prior.len())?;
        check_length("weights", out.len(), weights.len())?;
        let DivergenceGradient { posterior: of_posterior, prior: of_prior, probs } = gradient;
        let [q, p] = probs;
        self.mixed.probs(posterior, q)?;
        self.mixed.probs(prior, p)?;
        [&mut *of_posterior, &mut *of_prior]
            .into_iter()
            .for_each(|gradient| gradient.resize(posterior.len(), 0.0));
        for (row, (out, weight)) in out.iter_mut().zip(weights).enumerate() {
            let range = row * width..(row + 1) * width;
            let (q, p) = (&q.as_slice()[range.clone()], &p.as_slice()[range.clone()]);
            let (of_q, of_p) = (&mut of_posterior[range.clone()], &mut of_prior[range]);
            let mut sum = 0.0;
            for ((q, p), (of_q, of_p)) in q.iter().zip(p).zip(of_q.iter_mut().zip(of_p.iter_mut())) {
                // Without a uniform share a probability may be zero, and then has no part in it.
                let log_ratio = if *q > 0.0 { q.ln() - p.max(f32::MIN_POSITIVE).ln() } else { 0.0 };
                sum += q * log_ratio;
                *of_q = log_ratio + 1.0;
                *of_p = -q / p.max(f32::MIN_POSITIVE);
            }
            *out = sum;
            let flows = if sum > divergence.free { *weight } else { 0.0 };
            of_q.iter_mut().for_each(|slope| *slope *= flows * divergence.representation);
            of_p.iter_mut().for_each(|slope| *slope *= flows * divergence.dynamics);
        }
        self.mixed.differentiate(q, of_posterior)?;
        self.mixed.differentiate(p, of_prior)
    }
}
