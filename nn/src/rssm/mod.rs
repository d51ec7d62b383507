//! A recurrent state-space model with categorical latent variables: what happens next, learned so that it can be rolled out.
//!
//! ```text
//! deterministic   h_t = GRU(h_{t−1}, f(z_{t−1}, a_{t−1}))
//! posterior       z_t ~ q(z | h_t, e_t)       with what was observed, embedded
//! prior           ẑ_t ~ p(z | h_t)            without: what imagination goes on with
//! ```
//!
//! Each latent variable is one of `K` classes, and a row of `C` of them is `C · K` numbers, one of each `K` being one. Draws pass
//! their gradient straight through to the probabilities. Sequences are learned from on a tape ([`Rssm::observe`]); what acts or
//! imagines goes step by step on packed weights ([`Rssm::advance`]), with the same bits.
//!
//! # Source
//! Hafner et al. 2019, arXiv:1811.04551, for the model; 2021, arXiv:2010.02193, for categorical latents and the balanced
//! divergence; 2023, arXiv:2301.04104, for the uniform share and free bits.
//!
//! # Deviations
//! 1. The deterministic part is PyTorch's gated recurrent unit, without a normalisation inside.

mod divergence;
mod graph;
mod sequence;
mod step;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use divergence::{Divergence, DivergenceGradient};
pub use sequence::{Observed, Sequence};
pub use step::{Latents, PackedRssm, RssmScratch};

use crate::error::NnError;
use crate::init::Init;
use crate::layer::{Layer, LayerSummary};
use crate::linear::{Activation, Linear};
use crate::losses::mixed_categorical::MixedCategorical;
use crate::mlp::hidden_layers;
use crate::params::LayoutBuilder;
use crate::recurrent::{Cell, Recurrent, RecurrentInit};
use crate::sequential::Sequential;

/// The sizes of a recurrent state-space model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RssmConfig {
    /// Values of the deterministic state, `D`.
    pub deterministic: usize,
    /// Categorical latent variables, `C`.
    pub latents: usize,
    /// Classes of each, `K`.
    pub classes: usize,
    /// Width of the layers between.
    pub hidden: usize,
    /// Share of the latent variables' probabilities that is uniform; the paper's is 0.01.
    pub uniform: f32,
}

/// A recurrent state-space model: where its parameters lie.
#[derive(Debug, Clone)]
pub struct Rssm {
    /// From latent variables and action to what the cell reads.
    input: Sequential,
    cell: Recurrent,
    posterior: Sequential,
    prior: Sequential,
    latents: usize,
    mixed: MixedCategorical,
    actions: usize,
    embedded: usize,
}

impl Rssm {
    /// Adds the parameters to a layout: `<prefix>.input.*`, `<prefix>.cell.*`, `<prefix>.posterior.*` and `<prefix>.prior.*`.
    ///
    /// `embedded` values are observed in a step, and `actions` say what was done.
    ///
    /// # Errors
    /// [`NnError::Config`] if a size is zero or the uniform share no share.
    ///
    /// # Panics
    /// If a name is taken.
    pub fn new(
        builder: &mut LayoutBuilder,
        prefix: &str,
        (embedded, actions): (usize, usize),
        config: &RssmConfig,
    ) -> Result<Self, NnError> {
        let RssmConfig { deterministic, latents, classes, hidden, uniform } = *config;
        for (field, size) in [
            ("deterministic", deterministic),
            ("latents", latents),
            ("hidden", hidden),
            ("embedded", embedded),
            ("actions", actions),
        ] {
            if size == 0 {
                return Err(NnError::Config { field, expected: "at least 1", got: "0".to_owned() });
            }
        }
        let mixed = MixedCategorical::new(classes, uniform)?;
        let width = latents * classes;
        let layers = |builder: &mut LayoutBuilder, name: &str, inputs: usize, outputs: Option<usize>| {
            let (name, init) = (format!("{prefix}.{name}"), Init::PYTORCH_LINEAR);
            let layer = (&[hidden][..], Activation::Silu, true);
            let mut layers: Vec<Arc<dyn Layer>> = hidden_layers(builder, &name, 0, inputs, layer, init)?;
            if let Some(outputs) = outputs {
                let (name, identity) = (format!("{name}.3"), Activation::Identity);
                layers.push(Linear::new(builder, &name, hidden, outputs, identity, init).into());
            }
            Sequential::new(layers)
        };
        let input = layers(builder, "input", width + actions, None)?;
        let cell = Recurrent::new(
            builder,
            &format!("{prefix}.cell"),
            Cell::Gru,
            hidden,
            deterministic,
            RecurrentInit::Uniform,
        );
        let posterior = layers(builder, "posterior", deterministic + embedded, Some(width))?;
        let prior = layers(builder, "prior", deterministic, Some(width))?;
        Ok(Self { input, cell, posterior, prior, latents, mixed, actions, embedded })
    }

    /// Values of the deterministic state, `D`.
    #[must_use]
    pub fn deterministic(&self) -> usize {
        self.cell.state_len()
    }

    /// Latent variables, `C`.
    #[must_use]
    pub fn latents(&self) -> usize {
        self.latents
    }

    /// The distributions of each latent variable.
    #[must_use]
    pub fn distribution(&self) -> &MixedCategorical {
        &self.mixed
    }

    /// Values of the latent variables, and logits of their distributions, `Z = C · K`.
    #[must_use]
    pub fn latent_values(&self) -> usize {
        self.latents * self.mixed.classes()
    }

    /// Values that describe a state, `F = D + Z`: the deterministic ones, then the latent variables.
    #[must_use]
    pub fn features(&self) -> usize {
        self.deterministic() + self.latent_values()
    }

    /// Values of an embedded observation, `E`.
    #[must_use]
    pub fn embedded(&self) -> usize {
        self.embedded
    }

    /// Values of an action, `A`.
    #[must_use]
    pub fn actions(&self) -> usize {
        self.actions
    }

    /// A line for each layer.
    #[must_use]
    pub fn summary(&self) -> Vec<LayerSummary> {
        let mut lines = self.input.summary();
        lines.push(self.cell.describe());
        lines.extend(self.posterior.summary());
        lines.extend(self.prior.summary());
        lines
    }
}
