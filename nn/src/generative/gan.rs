//! Generative adversarial networks.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::NnError;
use crate::init::Init;
use crate::layer::Layer;
use crate::linear::Activation;
use crate::losses::gan;
use crate::matrix::{Matrix, check_length};
use crate::mlp::MlpConfig;
use crate::params::{LayoutBuilder, Params};
use crate::sequential::Sequential;
use crate::spectral_norm::SpectralNorm;
use crate::tape::Tape;

/// The shape of a generative adversarial network of multi-layer perceptrons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GanConfig {
    /// Number of values of the noise that a sample is made of, at least 1.
    pub latents: usize,
    /// The generator's hidden layers.
    pub generator: MlpConfig,
    /// The discriminator's hidden layers; all its weights are spectrally normalised.
    pub discriminator: MlpConfig,
}

impl Default for GanConfig {
    /// 32 values of noise, two hidden layers of 128: ReLU in the generator, leaky ReLU in the discriminator.
    fn default() -> Self {
        let mlp = |activation| MlpConfig { hidden: vec![128, 128], activation };
        Self { latents: 32, generator: mlp(Activation::Relu), discriminator: mlp(Activation::LeakyRelu) }
    }
}

impl GanConfig {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`NnError::Config`] names the first field that breaks its bound.
    pub fn validate(&self) -> Result<(), NnError> {
        if self.latents == 0 {
            return Err(NnError::Config { field: "latents", expected: "at least 1", got: "0".into() });
        }
        self.generator.validate()?;
        self.discriminator.validate()
    }

    /// Builds both networks for samples of `inputs` values, `generator.*` and `discriminator.*` in layouts of their
    /// own: each is trained while the other is constant.
    ///
    /// # Errors
    /// As [`Self::validate`], and [`NnError::Config`] if there are no inputs.
    ///
    /// # Panics
    /// If a name is taken.
    pub fn build(
        &self,
        generator: &mut LayoutBuilder,
        discriminator: &mut LayoutBuilder,
        inputs: usize,
    ) -> Result<Gan, NnError> {
        self.validate()?;
        if inputs == 0 {
            return Err(NnError::Config { field: "inputs", expected: "at least 1", got: "0".into() });
        }
        let init = Init::PYTORCH_LINEAR;
        let network = self.generator.build(generator, "generator", self.latents, inputs, init, init)?;
        let MlpConfig { hidden, activation } = &self.discriminator;
        let (mut norms, mut width) = (Vec::with_capacity(hidden.len() + 1), inputs);
        let widths = hidden.iter().map(|&width| (width, *activation)).chain([(1, Activation::Identity)]);
        for (index, (outputs, activation)) in widths.enumerate() {
            let name = format!("discriminator.{}", 2 * index);
            norms.push(SpectralNorm::linear(discriminator, &name, width, outputs, activation, init));
            width = outputs;
        }
        let layers: Vec<Arc<dyn Layer>> = norms.iter().map(|norm| norm.clone().into()).collect();
        Gan::new(network, Sequential::new(layers)?, norms)
    }
}

/// A generator of samples, and a discriminator that tells them from real ones.
///
/// The losses are [`gan::discriminator_loss`] and the non-saturating [`gan::generator_loss`]. What keeps the
/// discriminator's slope bounded, so that the two stay in balance, is [`SpectralNorm`].
///
/// # Shapes
/// The generator `[B, L]` to `[B, X]`, the discriminator `[B, X]` to `[B, 1]`, a logit.
///
/// # Source
/// Goodfellow et al. 2014, arXiv:1406.2661; Miyato et al. 2018, arXiv:1802.05957.
#[derive(Debug, Clone)]
#[doc(alias = "GenerativeAdversarialNetwork")]
pub struct Gan {
    generator: Sequential,
    discriminator: Sequential,
    norms: Vec<SpectralNorm>,
}

impl Gan {
    /// Of two networks, each over parameters of its own; `norms` are the discriminator's normalised layers.
    ///
    /// # Errors
    /// [`NnError::Columns`] if the discriminator does not read the generator's samples or puts out more than a logit.
    pub fn new(
        generator: Sequential,
        discriminator: Sequential,
        norms: Vec<SpectralNorm>,
    ) -> Result<Self, NnError> {
        for (name, expected, got) in [
            ("the discriminator's input", generator.outputs(), discriminator.inputs()),
            ("the discriminator's output", 1, discriminator.outputs()),
        ] {
            if expected != got {
                return Err(NnError::Columns { name, expected, got });
            }
        }
        Ok(Self { generator, discriminator, norms })
    }

    /// The generator.
    #[must_use]
    pub fn generator(&self) -> &Sequential {
        &self.generator
    }

    /// The discriminator.
    #[must_use]
    pub fn discriminator(&self) -> &Sequential {
        &self.discriminator
    }

    /// Number of values of the noise that a sample is made of.
    #[must_use]
    pub fn latents(&self) -> usize {
        self.generator.inputs()
    }

    /// Moves the singular vectors of the discriminator's layers towards those of their weights:
    /// [`SpectralNorm::FIRST_ITERATIONS`] times before training, once before each step of the discriminator.
    ///
    /// # Errors
    /// [`NnError::Length`] if `discriminator` belongs to another network.
    pub fn power_iteration(&self, discriminator: &mut Params, iterations: usize) -> Result<(), NnError> {
        self.norms.iter().try_for_each(|norm| norm.power_iteration(discriminator, iterations))
    }

    /// Makes samples of noise.
    ///
    /// # Shapes
    /// `noise`: `[B, L]`; returns `[B, X]`.
    ///
    /// # Errors
    /// As [`Sequential::forward`].
    pub fn generate(&self, generator: &Params, noise: &Matrix) -> Result<Matrix, NnError> {
        self.generator.forward(generator, noise, &mut Tape::inference())
    }

    /// The discriminator's loss on real samples and samples made of noise; writes its gradient.
    ///
    /// # Shapes
    /// `real`: `[R, X]`, `noise`: `[F, L]`, `gradient`: `discriminator.len()`.
    ///
    /// # Errors
    /// [`NnError::Columns`] if a matrix has the wrong width, [`NnError::Length`] if parameters belong to another
    /// network or the gradient has another length.
    pub fn discriminator_loss(
        &self,
        generator: &Params,
        discriminator: &Params,
        real: &Matrix,
        noise: &Matrix,
        gradient: &mut [f32],
    ) -> Result<f32, NnError> {
        check_length("gradient buffer", discriminator.len(), gradient.len())?;
        let samples = self.generate(generator, noise)?;
        let mut tape = Tape::new();
        let of_real = self.discriminator.forward(discriminator, real, &mut tape)?;
        // A copy is not tracked: nobody wants the samples' gradient here.
        let samples = Matrix::from_slice(samples.rows(), samples.columns(), samples.as_slice())?;
        let of_fake = self.discriminator.forward(discriminator, &samples, &mut tape)?;
        let (mut dreal, mut dfake) = (vec![0.0; real.rows()], vec![0.0; noise.rows()]);
        let loss = gan::discriminator_loss(of_real.as_slice(), of_fake.as_slice(), &mut dreal, &mut dfake)?;
        tape.backward(discriminator, &[(&of_real, &dreal), (&of_fake, &dfake)], gradient)?;
        Ok(loss)
    }

    /// The generator's loss on samples made of noise; writes its gradient.
    ///
    /// # Shapes
    /// `noise`: `[F, L]`, `gradient`: `generator.len()`.
    ///
    /// # Errors
    /// As [`Self::discriminator_loss`].
    pub fn generator_loss(
        &self,
        generator: &Params,
        discriminator: &Params,
        noise: &Matrix,
        gradient: &mut [f32],
    ) -> Result<f32, NnError> {
        check_length("gradient buffer", generator.len(), gradient.len())?;
        let mut tape = Tape::new();
        let samples = self.generator.forward(generator, noise, &mut tape)?;
        let logits = self.discriminator.forward(discriminator, &samples, &mut tape)?;
        let mut dlogits = vec![0.0; noise.rows()];
        let loss = gan::generator_loss(logits.as_slice(), &mut dlogits)?;
        tape.backward(generator, &[(&logits, &dlogits)], gradient)?;
        Ok(loss)
    }
}
