//! Mixtures of Gaussians: what a mixture density network says of a number.
//!
//! # Source
//! Bishop 1994, "Mixture Density Networks"; the temperature: Ha and Schmidhuber 2018, arXiv:1803.10122.

use super::mixed_categorical::most_probable;
use crate::error::NnError;
use crate::matrix::check_length;

/// `ln √(2π)`.
const LN_SQRT_2PI: f32 = 0.918_938_5;

/// Logarithms of standard deviations lie between these: beyond them there is no gradient.
const LOG_STD: (f32, f32) = (-7.0, 7.0);

/// A number's distribution as `K` Gaussians with weights.
///
/// # Shapes
/// Outputs of a network for a number, `[3 · K]`: the logits of the weights, then the means, then the logarithms of the standard
/// deviations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(alias = "MDN")]
pub struct GaussianMixture {
    components: usize,
}

impl GaussianMixture {
    /// Of `K` Gaussians.
    ///
    /// # Errors
    /// [`NnError::Config`] without any.
    pub fn new(components: usize) -> Result<Self, NnError> {
        if components == 0 {
            let got = "0".to_owned();
            return Err(NnError::Config { field: "components", expected: "at least 1", got });
        }
        Ok(Self { components })
    }

    /// The number of Gaussians, `K`.
    #[must_use]
    pub fn components(&self) -> usize {
        self.components
    }

    /// Outputs of a network for each number, `3 · K`.
    #[must_use]
    pub fn outputs(&self) -> usize {
        3 * self.components
    }

    /// `−ln p(x)` in nats, and its gradient times `weight`, which is added.
    ///
    /// # Shapes
    /// `outputs`, `gradient`: `[3 · K]`.
    ///
    /// # Errors
    /// [`NnError::Length`] if a length differs.
    pub fn add_loss(
        &self,
        x: f32,
        outputs: &[f32],
        weight: f32,
        gradient: &mut [f32],
    ) -> Result<f32, NnError> {
        check_length("outputs", self.outputs(), outputs.len())?;
        check_length("gradient", self.outputs(), gradient.len())?;
        let [logits, means, log_stds] = self.parts(outputs);
        let log_sum = log_sum_exp(logits.iter().copied());
        let joint = |component: usize| {
            let log_std = log_stds[component].clamp(LOG_STD.0, LOG_STD.1);
            let z = (x - means[component]) * (-log_std).exp();
            logits[component] - log_sum - 0.5 * z * z - log_std - LN_SQRT_2PI
        };
        let log_prob = log_sum_exp((0..self.components).map(joint));
        let (of_logits, rest) = gradient.split_at_mut(self.components);
        let (of_means, of_log_stds) = rest.split_at_mut(self.components);
        for component in 0..self.components {
            let log_std = log_stds[component].clamp(LOG_STD.0, LOG_STD.1);
            let precision = (-log_std).exp();
            let z = (x - means[component]) * precision;
            let share = (joint(component) - log_prob).exp();
            of_logits[component] += weight * ((logits[component] - log_sum).exp() - share);
            of_means[component] -= weight * share * z * precision;
            if log_std == log_stds[component] {
                of_log_stds[component] += weight * share * (1.0 - z * z);
            }
        }
        Ok(-log_prob)
    }

    /// A draw: `choice`, of `[0, 1)`, says which Gaussian, and `noise`, of the standard normal distribution, where in it. A
    /// temperature above one makes both less certain: logits are divided by it, and variances multiplied.
    ///
    /// # Panics
    /// If there are not `3 · K` outputs.
    #[must_use]
    pub fn draw(&self, outputs: &[f32], (choice, noise): (f32, f32), temperature: f32) -> f32 {
        let [logits, means, log_stds] = self.parts(outputs);
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let share = |logit: f32| ((logit - most) / temperature).exp();
        let mut left = choice * logits.iter().map(|&logit| share(logit)).sum::<f32>();
        let chosen = logits.iter().position(|&logit| {
            left -= share(logit);
            left < 0.0
        });
        let chosen = chosen.unwrap_or(self.components - 1);
        let std = log_stds[chosen].clamp(LOG_STD.0, LOG_STD.1).exp() * temperature.sqrt();
        means[chosen] + std * noise
    }

    /// The mean of the Gaussian with the greatest weight.
    ///
    /// # Panics
    /// If there are not `3 · K` outputs.
    #[must_use]
    pub fn likeliest(&self, outputs: &[f32]) -> f32 {
        let [logits, means, _] = self.parts(outputs);
        means[most_probable(logits)]
    }

    fn parts<'a>(&self, outputs: &'a [f32]) -> [&'a [f32]; 3] {
        let (logits, rest) = outputs.split_at(self.components);
        let (means, log_stds) = rest.split_at(self.components);
        [logits, means, log_stds]
    }
}

/// `ln Σ e^x`, without an overflow.
fn log_sum_exp(values: impl Iterator<Item = f32> + Clone) -> f32 {
    let most = values.clone().fold(f32::NEG_INFINITY, f32::max);
    most + values.map(|value| (value - most).exp()).sum::<f32>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUTS: [f32; 6] = [0.4, -0.3, -1.0, 0.8, 0.2, -0.6];

    fn two() -> GaussianMixture {
        GaussianMixture::new(2).unwrap()
    }

    /// `p(x)` by its definition.
    fn density(x: f64) -> f64 {
        let outputs = OUTPUTS.map(f64::from);
        let total = outputs[0].exp() + outputs[1].exp();
        let of = |component: usize| {
            let std = outputs[4 + component].exp();
            let z = (x - outputs[2 + component]) / std;
            outputs[component].exp() / total * (-0.5 * z * z).exp()
                / (std * (2.0 * std::f64::consts::PI).sqrt())
        };
        of(0) + of(1)
    }

    #[test]
    fn the_loss_is_the_logarithm_of_the_density_and_the_gradient_its_own() {
        for x in [-2.0, 0.1, 0.9] {
            let loss = |outputs: &[f32]| {
                let mut gradient = [0.0; 6];
                (two().add_loss(x, outputs, 0.5, &mut gradient).unwrap(), gradient)
            };
            let (value, gradient) = loss(&OUTPUTS);
            assert!((f64::from(value) + density(f64::from(x)).ln()).abs() < 1e-5);
            for index in 0..6 {
                let (mut up, mut down) = (OUTPUTS, OUTPUTS);
                up[index] += 1e-2;
                down[index] -= 1e-2;
                let expected = 0.5 * (loss(&up).0 - loss(&down).0) / 2e-2;
                assert!((gradient[index] - expected).abs() < 1e-3, "{index}: {gradient:?} and {expected}");
            }
        }
    }

    #[test]
    fn draws_have_the_distributions_mean_and_cold_ones_are_the_likeliest() {
        let shares = [0.4_f32.exp(), (-0.3_f32).exp()];
        let mean = (0.8 * shares[1] - shares[0]) / (shares[0] + shares[1]);
        let draws = (0..1000).map(|i| {
            // Both kinds of noise are spread evenly and symmetrically.
            let noise = if i % 2 == 0 { 1.0 } else { -1.0 };
            two().draw(&OUTPUTS, ((i / 2) as f32 / 500.0, noise), 1.0)
        });
        assert!((draws.sum::<f32>() / 1000.0 - mean).abs() < 0.02);
        for choice in [0.0, 0.5, 0.99] {
            assert!((two().draw(&OUTPUTS, (choice, 1.0), 1e-6) + 1.0).abs() < 2e-3);
        }
        assert_eq!(two().likeliest(&OUTPUTS), -1.0);
    }

    #[test]
    fn what_is_too_certain_is_bounded_and_has_no_gradient() {
        let mut gradient = [0.0; 3];
        let loss = GaussianMixture::new(1).unwrap().add_loss(0.0, &[0.0, 0.0, -90.0], 1.0, &mut gradient);
        assert!((loss.unwrap() - (LN_SQRT_2PI - 7.0)).abs() < 1e-5 && gradient == [0.0; 3]);
    }

    #[test]
    fn no_gaussians_are_refused() {
        assert!(GaussianMixture::new(0).unwrap_err().to_string().contains("components"));
    }
}
