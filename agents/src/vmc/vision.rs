//! V: observations as a few latent variables, by a variational autoencoder.

use agon_envs::spaces::Dtype;
use agon_nn::generative::{Likelihood, Vae, VaeConfig};
use agon_nn::losses::two_hot::{symexp, symlog};
use agon_nn::{
    Activation, ConvConfig, EncoderConfig, ImageShape, LayoutBuilder, Matrix, ModelConfig, Observation,
    Params, Rows, Tape,
};

use super::config::VmcConfig;
use crate::learner::Spaces;
use crate::slices::Sums;
use crate::{AgentError, network};

/// Pixels of an image's shorter side from which on the first convolutions are large.
const LARGE: usize = 32;

/// The autoencoder, and how observations lie before it.
pub(super) struct Vision {
    vae: Vae,
    /// Of an image whose channels lie last.
    channels_last: Option<ImageShape>,
    /// One over the standard deviation of numbers; none of bytes.
    precision: Option<f32>,
}

/// Sums over the moments of updates.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct VisionSums {
    pub(super) reconstruction: f64,
    pub(super) kl: f64,
    pub(super) moments: usize,
}

impl Sums for VisionSums {
    fn add(&mut self, other: &Self) {
        self.reconstruction += other.reconstruction;
        self.kl += other.kl;
        self.moments += other.moments;
    }
}

impl Vision {
    /// The autoencoder, and its parameters to be.
    pub(super) fn layout(
        config: &VmcConfig,
        network: &ModelConfig,
        spaces: &Spaces,
    ) -> Result<(Self, LayoutBuilder), AgentError> {
        let image = match network::observation("vmc", &spaces.observation)? {
            Observation::Vector(len) => Ok((ImageShape::new(1, 1, len), None)),
            Observation::Image { shape, channels_last } => Ok((shape, Some(channels_last))),
            Observation::Discrete(_) | Observation::Dict(_) => Err(AgentError::Unsupported {
                algorithm: "vmc",
                expected: "a vector or an image as observation",
                found: spaces.observation.to_string(),
            }),
        };
        let (shape, image) = image?;
        let bytes = network::dtype(&spaces.observation) == Dtype::U8;
        let vae = VaeConfig {
            latents: config.latents,
            likelihood: if bytes { Likelihood::Bernoulli } else { Likelihood::UnitGaussian },
            beta: config.beta as f32,
            ..layers(&network.encoder, image.map(|_| shape))?
        };
        let mut builder = LayoutBuilder::new();
        let vae =
            vae.build_for_images(&mut builder, "vae", shape).map_err(|error| error.within("encoder"))?;
        let channels_last = image.is_some_and(|last| last).then_some(shape);
        let precision = (!bytes).then_some((1.0 / config.observation_std) as f32);
        Ok((Self { vae, channels_last, precision }, builder))
    }

    pub(super) fn vae(&self) -> &Vae {
        &self.vae
    }

    /// Values of an observation, `O`.
    pub(super) fn len(&self) -> usize {
        self.vae.inputs()
    }

    /// Latent variables, `L`.
    pub(super) fn latents(&self) -> usize {
        self.vae.latents()
    }

    /// Observations as the autoencoder sees them, `[B, O]`: numbers by their logarithms in standard deviations, images with
    /// channels first.
    pub(super) fn read(&self, seen: Rows<'_>) -> Result<Matrix, AgentError> {
        let width = self.len();
        let mut lying = vec![0.0; seen.len()];
        seen.copy_to(&mut lying);
        let mut values = Matrix::zeros(seen.len() / width, width)?;
        let rows = values.as_mut_slice().chunks_exact_mut(width).zip(lying.chunks_exact(width));
        for (values, lying) in rows {
            for (index, value) in values.iter_mut().enumerate() {
                let x = lying[self.place(index)];
                *value = self.precision.map_or(x, |precision| precision * symlog(x));
            }
        }
        Ok(values)
    }

    /// What latent variables stand for, `[B, L]`, in the units of observations, `[B, O]`.
    pub(super) fn told(&self, params: &Params, latents: &[f32]) -> Result<Vec<f32>, AgentError> {
        let (rows, width) = (latents.len() / self.latents(), self.len());
        let means = self.vae.decode(params, &Matrix::from_slice(rows, self.latents(), latents)?)?;
        let mut told = vec![0.0; rows * width];
        for (told, means) in told.chunks_exact_mut(width).zip(means.as_slice().chunks_exact(width)) {
            for (index, &mean) in means.iter().enumerate() {
                told[self.place(index)] = match self.precision {
                    Some(precision) => symexp(mean / precision),
                    None => mean / network::BYTE_SCALE,
                };
            }
        }
        Ok(told)
    }

    /// Where a value that the autoencoder sees lies in an observation.
    fn place(&self, index: usize) -> usize {
        self.channels_last.map_or(index, |shape| {
            let pixels = shape.height * shape.width;
            index % pixels * shape.channels + index / pixels
        })
    }

    /// The gradient of the bound of observations, times `scale`, and the latent variables that were drawn.
    ///
    /// # Shapes
    /// `seen`: `[B, O]`, `noise` and what is given back: `[B, L]`.
    pub(super) fn backward(
        &self,
        params: &Params,
        (seen, noise): (&Matrix, &Matrix),
        scale: f32,
        grads: &mut [f32],
    ) -> Result<(VisionSums, Matrix), AgentError> {
        let mut tape = Tape::new();
        let step = self.vae.loss(params, seen, noise, &mut tape)?;
        tape.backward(params, &[(&step.loss, &vec![scale; seen.rows()])], grads)?;
        let moments = seen.rows();
        let [reconstruction, kl] =
            [step.reconstruction, step.kl].map(|mean| f64::from(mean) * moments as f64);
        Ok((VisionSums { reconstruction, kl, moments }, step.latents))
    }
}

/// The encoder's layers; `image` is the shape of observations that have one.
fn layers(encoder: &EncoderConfig, image: Option<ImageShape>) -> Result<VaeConfig, AgentError> {
    let (convs, hidden, activation) = match (encoder, image) {
        (EncoderConfig::Auto, None) => (Vec::new(), vec![64, 64], Activation::Relu),
        (EncoderConfig::Auto, Some(shape)) => (first_convs(shape), vec![128], Activation::Relu),
        (EncoderConfig::Mlp { hidden, activation, layer_norm: false }, _) => {
            (Vec::new(), hidden.clone(), *activation)
        }
        (EncoderConfig::Cnn { convs, hidden, activation, layer_norm: false }, Some(shape)) => {
            let convs = if convs.is_empty() { first_convs(shape) } else { convs.clone() };
            (convs, hidden.clone(), *activation)
        }
        (other, _) => {
            return Err(AgentError::Unsupported {
                algorithm: "vmc",
                expected: "network.encoder.kind = \"auto\", \"mlp\" or, of images, \"cnn\", without layer_norm",
                found: format!("{other:?}"),
            });
        }
    };
    Ok(VaeConfig { convs, hidden, activation, ..VaeConfig::default() })
}

/// The paper's convolutions with half as many channels, or one like `MinAtar`'s for small images; all with padding, so that the
/// decoder, which mirrors them, has no edge that it cannot paint.
fn first_convs(shape: ImageShape) -> Vec<ConvConfig> {
    if shape.height.min(shape.width) >= LARGE {
        [16, 32, 64, 128].map(|channels| ConvConfig::new(channels, 4).stride(2).padding(1)).to_vec()
    } else {
        vec![ConvConfig::new(16, 3).padding(1)]
    }
}
