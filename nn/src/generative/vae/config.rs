//! Encoders and decoders that mirror each other.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Likelihood, Vae};
use crate::conv::{Conv2d, ConvConfig, ConvTranspose2d, ConvTransposeConfig};
use crate::error::NnError;
use crate::image::ImageShape;
use crate::init::Init;
use crate::layer::Layer;
use crate::linear::{Activation, Linear};
use crate::params::LayoutBuilder;
use crate::sequential::Sequential;

/// The shape of a variational autoencoder, whose decoder has the encoder's layers in reverse.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VaeConfig {
    /// Number of latent variables, at least 1.
    pub latents: usize,
    /// How the decoder's outputs are read.
    pub likelihood: Likelihood,
    /// Weight of the KL term, at least 0; 1 is the evidence lower bound.
    pub beta: f32,
    /// The encoder's convolutions, of images only; without groups or dilation.
    pub convs: Vec<ConvConfig>,
    /// Width of each hidden linear layer of the encoder, from the input on.
    pub hidden: Vec<usize>,
    /// What follows each layer but the last of both networks.
    pub activation: Activation,
}

impl Default for VaeConfig {
    /// 20 latent variables and one hidden layer of 400 with ReLU, as PyTorch's example `vae/main.py`.
    fn default() -> Self {
        Self {
            latents: 20,
            likelihood: Likelihood::Bernoulli,
            beta: 1.0,
            convs: Vec::new(),
            hidden: vec![400],
            activation: Activation::Relu,
        }
    }
}

impl VaeConfig {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`NnError::Config`] names the first field that breaks its bound.
    pub fn validate(&self) -> Result<(), NnError> {
        let config = |field, expected, got| Err(NnError::Config { field, expected, got });
        if self.latents == 0 {
            return config("latents", "at least 1", "0".into());
        }
        if !(self.beta >= 0.0 && self.beta.is_finite()) {
            return config("beta", "finite and at least 0", self.beta.to_string());
        }
        if self.hidden.contains(&0) {
            return config("hidden", "widths of at least 1", format!("{:?}", self.hidden));
        }
        match self.convs.iter().find(|conv| conv.groups != 1 || conv.dilation != [1, 1]) {
            Some(conv) => {
                let got = format!("{} groups and dilation {:?}", conv.groups, conv.dilation);
                config("convs", "without groups and dilation", got)
            }
            None => Ok(()),
        }
    }

    /// Builds an autoencoder of rows of `inputs` values.
    ///
    /// Parameters are named as those of two `torch.nn.Sequential`s, `<prefix>.encoder` and `<prefix>.decoder`.
    ///
    /// # Errors
    /// As [`Self::validate`], and [`NnError::Config`] with convolutions or without inputs.
    ///
    /// # Panics
    /// If a name is taken.
    pub fn build(&self, builder: &mut LayoutBuilder, prefix: &str, inputs: usize) -> Result<Vae, NnError> {
        if !self.convs.is_empty() {
            let got = self.convs.len().to_string();
            return Err(NnError::Config { field: "convs", expected: "none, for rows without shape", got });
        }
        self.build_for_images(builder, prefix, ImageShape::new(1, 1, inputs))
    }

    /// Builds an autoencoder of images; without convolutions it sees them as rows of values.
    ///
    /// Flattening and its inverse count in the parameters' names, as in PyTorch's `Sequential`, if there are
    /// convolutions.
    ///
    /// # Errors
    /// As [`Self::validate`], and as [`ConvConfig::output_shape`].
    ///
    /// # Panics
    /// If a name is taken.
    pub fn build_for_images(
        &self,
        builder: &mut LayoutBuilder,
        prefix: &str,
        image: ImageShape,
    ) -> Result<Vae, NnError> {
        self.validate()?;
        if image.is_empty() {
            let got = image.to_string();
            return Err(NnError::Config { field: "image shape", expected: "sizes of at least 1", got });
        }
        let mut shapes = vec![image];
        for conv in &self.convs {
            shapes.push(conv.output_shape(shapes[shapes.len() - 1])?);
        }
        let encoder = self.encoder(builder, &format!("{prefix}.encoder"), &shapes)?;
        let decoder = self.decoder(builder, &format!("{prefix}.decoder"), &shapes)?;
        Vae::new(encoder, decoder, self.likelihood, self.beta)
    }

    /// The shapes are those of the input and after each convolution.
    fn encoder(
        &self,
        builder: &mut LayoutBuilder,
        name: &str,
        shapes: &[ImageShape],
    ) -> Result<Sequential, NnError> {
        let mut layers: Vec<Arc<dyn Layer>> = Vec::new();
        for (index, (conv, &shape)) in self.convs.iter().zip(shapes).enumerate() {
            let name = format!("{name}.{}", 2 * index);
            let conv = Conv2d::new(builder, &name, shape, conv.clone(), self.activation, INIT)?;
            layers.push(conv.into());
        }
        let first = if self.convs.is_empty() { 0 } else { 2 * self.convs.len() + 1 };
        let widths: Vec<usize> = std::iter::once(shapes[shapes.len() - 1].len())
            .chain(self.hidden.iter().copied())
            .chain([2 * self.latents])
            .collect();
        self.linears(builder, name, first, &widths, &mut layers, false);
        Sequential::new(layers)
    }

    fn decoder(
        &self,
        builder: &mut LayoutBuilder,
        name: &str,
        shapes: &[ImageShape],
    ) -> Result<Sequential, NnError> {
        let outputs = self.likelihood.outputs();
        let features = shapes[shapes.len() - 1].len() * if self.convs.is_empty() { outputs } else { 1 };
        let widths: Vec<usize> = std::iter::once(self.latents)
            .chain(self.hidden.iter().rev().copied())
            .chain([features])
            .collect();
        let mut layers: Vec<Arc<dyn Layer>> = Vec::new();
        self.linears(builder, name, 0, &widths, &mut layers, !self.convs.is_empty());
        let first = 2 * self.hidden.len() + 3;
        for (index, (conv, pair)) in self.convs.iter().zip(shapes.windows(2)).rev().enumerate() {
            let last = index + 1 == self.convs.len();
            let config = transposed(conv, pair[0], if last { outputs } else { 1 });
            let activation = if last { Activation::Identity } else { self.activation };
            let name = format!("{name}.{}", first + 2 * index);
            layers.push(ConvTranspose2d::new(builder, &name, pair[1], config, activation, INIT)?.into());
        }
        Sequential::new(layers)
    }

    /// Linear layers between the widths, numbered as with their activations between them.
    fn linears(
        &self,
        builder: &mut LayoutBuilder,
        name: &str,
        first: usize,
        widths: &[usize],
        layers: &mut Vec<Arc<dyn Layer>>,
        last_is_hidden: bool,
    ) {
        for (index, pair) in widths.windows(2).enumerate() {
            let hidden = last_is_hidden || index + 2 < widths.len();
            let activation = if hidden { self.activation } else { Activation::Identity };
            let name = format!("{name}.{}", first + 2 * index);
            layers.push(Linear::new(builder, &name, pair[0], pair[1], activation, INIT).into());
        }
    }
}

const INIT: Init = Init::PYTORCH_LINEAR;

/// The transposed convolution that brings a convolution's output back to the shape of its input.
fn transposed(conv: &ConvConfig, input: ImageShape, outputs: usize) -> ConvTransposeConfig {
    let unread =
        |axis: usize, size: usize| (size + 2 * conv.padding[axis] - conv.kernel[axis]) % conv.stride[axis];
    ConvTransposeConfig {
        channels: input.channels * outputs,
        kernel: conv.kernel,
        stride: conv.stride,
        padding: conv.padding,
        // What the convolution's last stride did not reach.
        output_padding: [unread(0, input.height), unread(1, input.width)],
    }
}
