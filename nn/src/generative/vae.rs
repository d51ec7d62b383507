//! Variational autoencoders with Gaussian latent variables.

mod config;
#[cfg(test)]
mod tests;

pub use config::VaeConfig;

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::standard_normal;
use crate::error::NnError;
use crate::kernels::{Pooled, exp, sigmoid};
use crate::losses::{add_gaussian_kl_standard_gradient, bce_with_logits, gaussian_kl_standard};
use crate::matrix::Matrix;
use crate::params::Params;
use crate::sequential::Sequential;
use crate::tape::{Backward, Tape};

/// `ln √(2π)`.
const LN_SQRT_2PI: f32 = 0.918_938_5;

/// The distribution of an observed value given the decoder's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Likelihood {
    /// Values within 0..1; the decoder puts out logits.
    #[default]
    Bernoulli,
    /// Normal with variance one; the decoder puts out means.
    UnitGaussian,
    /// Normal; the decoder puts out all means, then all logarithms of variances.
    Gaussian,
}

impl Likelihood {
    /// Outputs of the decoder for each observed value.
    #[must_use]
    pub fn outputs(self) -> usize {
        match self {
            Self::Bernoulli | Self::UnitGaussian => 1,
            Self::Gaussian => 2,
        }
    }

    /// `−ln p(x)` of a row; overwrites `gradient` with that of the decoder's outputs.
    fn loss(self, x: &[f32], outputs: &[f32], gradient: &mut [f32]) -> f32 {
        let (means, log_vars) = outputs.split_at(x.len());
        let (of_means, of_log_vars) = gradient.split_at_mut(x.len());
        let mut sum = 0.0;
        match self {
            Self::Bernoulli => {
                for ((&x, &logit), slope) in x.iter().zip(means).zip(of_means) {
                    let (value, derivative) = bce_with_logits(logit, x);
                    sum += value;
                    *slope = derivative;
                }
            }
            Self::UnitGaussian => {
                for ((&x, &mean), slope) in x.iter().zip(means).zip(of_means) {
                    *slope = mean - x;
                    sum += 0.5 * *slope * *slope + LN_SQRT_2PI;
                }
            }
            Self::Gaussian => {
                of_log_vars.iter_mut().zip(log_vars).for_each(|(to, log_var)| *to = -log_var);
                exp(of_log_vars);
                let outputs = means.iter().zip(log_vars).zip(of_means.iter_mut().zip(of_log_vars));
                for (&x, ((mean, log_var), (of_mean, precision))) in x.iter().zip(outputs) {
                    let difference = mean - x;
                    let squared = difference * difference * *precision;
                    sum += 0.5 * (log_var + squared) + LN_SQRT_2PI;
                    *of_mean = difference * *precision;
                    *precision = 0.5 * (1.0 - squared);
                }
            }
        }
        sum
    }
}

/// An encoder to the mean and logarithmic variance of latent variables, and a decoder from them.
///
/// It is trained by the negative evidence lower bound, `−ln p(x | z) + β · KL(N(mean, e^log_var) ‖ N(0, 1))` with
/// `z = mean + e^(log_var / 2) · noise`.
///
/// # Shapes
/// With `X` observed values and `L` latent variables: the encoder `[B, X]` to `[B, 2·L]`, all means, then all
/// logarithmic variances; the decoder `[B, L]` to `[B, X]` or, with [`Likelihood::Gaussian`], `[B, 2·X]`.
///
/// # Source
/// Kingma and Welling 2014, arXiv:1312.6114; β: Higgins et al. 2017.
///
/// # Example
/// ```
/// use agon_nn::generative::VaeConfig;
/// use agon_nn::{LayoutBuilder, Matrix, Tape};
///
/// let mut builder = LayoutBuilder::new();
/// let vae = VaeConfig { latents: 2, hidden: vec![16], ..VaeConfig::default() }.build(&mut builder, "vae", 9)?;
/// let params = builder.build(0);
/// let (x, noise) = (Matrix::zeros(4, 9)?, Matrix::zeros(4, 2)?);
/// let mut tape = Tape::new();
/// let step = vae.loss(&params, &x, &noise, &mut tape)?;
/// let mut gradient = vec![0.0; params.len()];
/// tape.backward(&params, &[(&step.loss, &[1.0 / 4.0; 4])], &mut gradient)?;
/// # Ok::<(), agon_nn::NnError>(())
/// ```
#[derive(Debug, Clone)]
#[doc(alias = "VariationalAutoencoder")]
pub struct Vae {
    encoder: Sequential,
    decoder: Sequential,
    likelihood: Likelihood,
    beta: f32,
}

/// The loss of a batch.
#[derive(Debug, Clone)]
pub struct VaeLoss {
    /// `[B, 1]`: each row's reconstruction loss plus `β` times its KL divergence, on the tape.
    pub loss: Matrix,
    /// The mean reconstruction loss, `−ln p(x | z)`, in nats.
    pub reconstruction: f32,
    /// The mean KL divergence, without `β`, in nats.
    pub kl: f32,
    /// `[B, L]`: the latent variables that were drawn.
    pub latents: Matrix,
}

impl Vae {
    /// Of two networks over the same parameters.
    ///
    /// # Errors
    /// [`NnError::Columns`] if the encoder does not put out two values for each input of the decoder, or the decoder
    /// not [`Likelihood::outputs`] values for each input of the encoder; [`NnError::Config`] if `beta` is not finite
    /// and at least zero.
    pub fn new(
        encoder: Sequential,
        decoder: Sequential,
        likelihood: Likelihood,
        beta: f32,
    ) -> Result<Self, NnError> {
        for (name, expected, got) in [
            ("the encoder's output", 2 * decoder.inputs(), encoder.outputs()),
            ("the decoder's output", likelihood.outputs() * encoder.inputs(), decoder.outputs()),
        ] {
            if expected != got {
                return Err(NnError::Columns { name, expected, got });
            }
        }
        if !(beta >= 0.0 && beta.is_finite()) {
            let got = beta.to_string();
            return Err(NnError::Config { field: "beta", expected: "finite and at least 0", got });
        }
        Ok(Self { encoder, decoder, likelihood, beta })
    }

    /// The encoder.
    #[must_use]
    pub fn encoder(&self) -> &Sequential {
        &self.encoder
    }

    /// The decoder.
    #[must_use]
    pub fn decoder(&self) -> &Sequential {
        &self.decoder
    }

    /// Number of values of a sample.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.encoder.inputs()
    }

    /// Number of latent variables.
    #[must_use]
    pub fn latents(&self) -> usize {
        self.decoder.inputs()
    }

    /// The distributions of the latent variables: all means of a row, then all logarithmic variances.
    ///
    /// # Shapes
    /// `x`: `[B, X]`; returns `[B, 2·L]`.
    ///
    /// # Errors
    /// As [`Sequential::forward`].
    pub fn encode(&self, params: &Params, x: &Matrix) -> Result<Matrix, NnError> {
        self.encoder.forward(params, x, &mut Tape::inference())
    }

    /// The mean of the samples that belong to latent variables: probabilities, with [`Likelihood::Bernoulli`].
    ///
    /// # Shapes
    /// `latents`: `[B, L]`; returns `[B, X]`.
    ///
    /// # Errors
    /// As [`Sequential::forward`].
    pub fn decode(&self, params: &Params, latents: &Matrix) -> Result<Matrix, NnError> {
        let outputs = self.decoder.forward(params, latents, &mut Tape::inference())?;
        let width = outputs.columns();
        Matrix::output(latents.rows(), self.inputs(), |means| {
            let rows = outputs.as_slice().chunks_exact(width);
            for (mean, outputs) in means.chunks_exact_mut(self.inputs()).zip(rows) {
                mean.copy_from_slice(&outputs[..self.inputs()]);
            }
            if self.likelihood == Likelihood::Bernoulli {
                sigmoid(means);
            }
        })
    }

    /// The means of `count` samples, whose latent variables are drawn from the standard normal distribution.
    ///
    /// # Shapes
    /// Returns `[count, X]`.
    ///
    /// # Errors
    /// [`NnError::Empty`] if `count` is zero, else as [`Sequential::forward`].
    pub fn sample(&self, params: &Params, count: usize, rng: &mut impl Rng) -> Result<Matrix, NnError> {
        self.decode(params, &standard_normal(count, self.latents(), rng)?)
    }

    /// The loss of a batch. On the tape `x` is a constant where the reconstruction is compared with it.
    ///
    /// # Shapes
    /// `x`: `[B, X]`; `noise`, draws of the standard normal distribution: `[B, L]`.
    ///
    /// # Errors
    /// [`NnError::Columns`] or [`NnError::Rows`] if a matrix has the wrong shape, [`NnError::Length`] if `params`
    /// belong to another network.
    pub fn loss(
        &self,
        params: &Params,
        x: &Matrix,
        noise: &Matrix,
        tape: &mut Tape,
    ) -> Result<VaeLoss, NnError> {
        if noise.columns() != self.latents() {
            let (expected, got) = (self.latents(), noise.columns());
            return Err(NnError::Columns { name: "noise", expected, got });
        }
        if noise.rows() != x.rows() {
            return Err(NnError::Rows { name: "noise", expected: x.rows(), got: noise.rows() });
        }
        let posterior = self.encoder.forward(params, x, tape)?;
        let latents = reparameterize(params, &posterior, noise, tape)?;
        let outputs = self.decoder.forward(params, &latents, tape)?;
        self.bound(params, x, (&posterior, latents), &outputs, tape)
    }

    /// The negative bound of each row as one operation on the tape.
    fn bound(
        &self,
        params: &Params,
        x: &Matrix,
        (posterior, drawn): (&Matrix, Matrix),
        outputs: &Matrix,
        tape: &mut Tape,
    ) -> Result<VaeLoss, NnError> {
        let (rows, latents, width) = (x.rows(), self.latents(), outputs.columns());
        let (mut of_posterior, mut of_outputs) =
            (Pooled::zeros(rows * 2 * latents), Pooled::take(rows * width));
        let (mut reconstruction, mut kl) = (0.0, 0.0);
        let mut bounds = vec![0.0; rows];
        for (row, bound) in bounds.iter_mut().enumerate() {
            let (means, log_vars) = row_of(posterior, row).split_at(latents);
            let slopes = &mut of_posterior[row * 2 * latents..(row + 1) * 2 * latents];
            let (of_means, of_log_vars) = slopes.split_at_mut(latents);
            let mut divergence = [0.0];
            gaussian_kl_standard(means, log_vars, &mut divergence)?;
            add_gaussian_kl_standard_gradient(means, log_vars, &[self.beta], of_means, of_log_vars)?;
            let slopes = &mut of_outputs[row * width..(row + 1) * width];
            let value = self.likelihood.loss(row_of(x, row), row_of(outputs, row), slopes);
            reconstruction += f64::from(value);
            kl += f64::from(divergence[0]);
            *bound = value + self.beta * divergence[0];
        }
        let loss = Matrix::output(rows, 1, |loss| loss.copy_from_slice(&bounds))?;
        tape.record(params, &[posterior, outputs], &[&loss], move |flow| {
            let Backward { outputs, mut inputs, .. } = flow;
            let [Some(weights)] = &outputs[..] else { return };
            for (target, slopes) in inputs.iter_mut().zip([&of_posterior, &of_outputs]) {
                let Some(target) = target else { continue };
                target.fill(|gradient| weigh_rows(weights, slopes, gradient));
            }
        });
        let [reconstruction, kl] = [reconstruction, kl].map(|sum: f64| (sum / rows as f64) as f32);
        Ok(VaeLoss { loss, reconstruction, kl, latents: drawn })
    }
}

fn row_of(matrix: &Matrix, row: usize) -> &[f32] {
    &matrix.as_slice()[row * matrix.columns()..(row + 1) * matrix.columns()]
}

/// Overwrites `out` with the rows of `values`, each times its weight.
fn weigh_rows(weights: &[f32], values: &[f32], out: &mut [f32]) {
    let width = values.len() / weights.len();
    let rows = out.chunks_exact_mut(width).zip(values.chunks_exact(width));
    for ((out, values), weight) in rows.zip(weights) {
        out.iter_mut().zip(values).for_each(|(out, value)| *out = weight * value);
    }
}

/// `mean + e^(log_var / 2) · noise`, on the tape.
fn reparameterize(
    params: &Params,
    posterior: &Matrix,
    noise: &Matrix,
    tape: &mut Tape,
) -> Result<Matrix, NnError> {
    let half = noise.columns();
    let mut spread = Pooled::take(noise.as_slice().len());
    for (spread, row) in spread.chunks_exact_mut(half).zip(posterior.as_slice().chunks_exact(2 * half)) {
        spread.iter_mut().zip(&row[half..]).for_each(|(spread, log_var)| *spread = 0.5 * log_var);
    }
    exp(&mut spread);
    spread.iter_mut().zip(noise.as_slice()).for_each(|(spread, noise)| *spread *= noise);
    let latents = Matrix::output(noise.rows(), half, |latents| {
        let rows = latents.chunks_exact_mut(half).zip(spread.chunks_exact(half));
        for ((latents, spread), row) in rows.zip(posterior.as_slice().chunks_exact(2 * half)) {
            for ((latent, spread), mean) in latents.iter_mut().zip(spread).zip(row) {
                *latent = mean + spread;
            }
        }
    })?;
    tape.record(params, &[posterior], &[&latents], move |flow| {
        let Backward { outputs, mut inputs, .. } = flow;
        let ([Some(delta)], Some(target)) = (&outputs[..], &mut inputs[0]) else { return };
        target.fill(|gradient| {
            let rows = gradient.chunks_exact_mut(2 * half).zip(spread.chunks_exact(half));
            for ((gradient, spread), delta) in rows.zip(delta.chunks_exact(half)) {
                let (of_means, of_log_vars) = gradient.split_at_mut(half);
                of_means.copy_from_slice(delta);
                for ((slope, spread), delta) in of_log_vars.iter_mut().zip(spread).zip(delta) {
                    *slope = 0.5 * spread * delta;
                }
            }
        });
    });
    Ok(latents)
}
