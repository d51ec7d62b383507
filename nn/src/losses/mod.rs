//! Numerics of the usual output heads: values together with their gradients.
//!
//! - Discrete actions: [`categorical`], [`multi_categorical`], and batches of either: [`choices`]. Continuous ones: [`gaussian`], [`squashed_gaussian`].
//! - Values: [`huber`], [`mse`]; [`dueling`] heads; [`distributional`] ones (C51, quantiles); numbers as bins: [`two_hot`].
//! - Discrete latent variables: [`mixed_categorical`]; numbers of several likely values: [`gaussian_mixture`].
//! - Generative models: [`bce_with_logits`], [`gaussian_kl_standard`], [`gan`].
//!
//! Functions named `add_…` add to gradients, so that the terms of a loss go one after another into one buffer. Their
//! weights carry the mean over the batch and the sign. Draws take their random numbers as arguments. Every row is
//! computed for itself, so its bits do not depend on the batch it is in.

mod batched;
mod bce;
pub mod categorical;
pub mod choices;
pub mod distributional;
pub mod dueling;
pub mod gan;
pub mod gaussian;
mod gaussian_kl_standard;
pub mod gaussian_mixture;
pub mod mixed_categorical;
pub mod multi_categorical;
mod regression;
pub mod squashed_gaussian;
pub mod two_hot;

#[cfg(test)]
mod test_support;

pub use bce::bce_with_logits;
pub use gaussian_kl_standard::{add_gaussian_kl_standard_gradient, gaussian_kl_standard};
pub use regression::{huber, mse};
