//! Models that generate samples: variational autoencoders and generative adversarial networks.
//!
//! Both are pairs of [`crate::Sequential`]s. They run on the same tapes and optimizers as everything else, and take
//! their random numbers as arguments: a step is repeated by repeating its noise.

pub mod gan;
pub mod vae;

pub use gan::{Gan, GanConfig};
pub use vae::{Likelihood, Vae, VaeConfig, VaeLoss};

use rand::{Rng, RngExt as _};
use rand_distr::StandardNormal;

use crate::error::NnError;
use crate::matrix::Matrix;

/// Independent draws of the standard normal distribution, as both models take them.
///
/// # Errors
/// [`NnError::Empty`] without rows or columns.
pub fn standard_normal(rows: usize, columns: usize, rng: &mut impl Rng) -> Result<Matrix, NnError> {
    let mut noise = Matrix::zeros(rows, columns)?;
    for value in noise.as_mut_slice() {
        *value = rng.sample(StandardNormal);
    }
    Ok(noise)
}
