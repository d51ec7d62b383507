//! The normal distribution with independent components, given by mean and logarithm of the standard deviation.
//!
//! The logarithm is finite for every standard deviation, and values stay finite for `log_std` in −20..20. It may be
//! an output of the network, `[B, D]`, or one parameter for all rows, `[D]`; its gradient then has that shape too.

use super::batched::for_each_exp;
use crate::error::NnError;
use crate::matrix::check_length;

/// `ln(2π) / 2`.
pub(super) const HALF_LN_TWO_PI: f32 = 0.918_938_5;

/// The distributions of a batch.
#[derive(Debug, Clone, Copy)]
#[doc(alias = "Normal")]
#[doc(alias = "DiagonalGaussian")]
pub struct Gaussian<'a> {
    pub(super) mean: &'a [f32],
    pub(super) log_std: &'a [f32],
    pub(super) dim: usize,
}

/// Where gradients with respect to the parameters of a [`Gaussian`] are added, in the shapes of these.
#[derive(Debug)]
pub struct GaussianGradient<'a> {
    /// With respect to the means.
    pub mean: &'a mut [f32],
    /// With respect to the logarithms of the standard deviations.
    pub log_std: &'a mut [f32],
}

impl<'a> Gaussian<'a> {
    /// From the outputs of a network.
    ///
    /// # Shapes
    /// `mean`: `[B, dim]`, `log_std`: `[B, dim]`, or `[dim]` for all rows.
    ///
    /// # Errors
    /// [`NnError::Empty`] if `dim` is zero, [`NnError::Length`] if `mean` has no whole rows or `log_std` neither shape.
    pub fn new(mean: &'a [f32], log_std: &'a [f32], dim: usize) -> Result<Self, NnError> {
        if dim == 0 {
            return Err(NnError::Empty { name: "mean", rows: mean.len(), columns: 0 });
        }
        check_length("mean", mean.len().next_multiple_of(dim), mean.len())?;
        if log_std.len() != dim {
            check_length("log_std", mean.len(), log_std.len())?;
        }
        Ok(Self { mean, log_std, dim })
    }

    /// The number of rows, `B`.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.mean.len() / self.dim
    }

    /// `out[b] = Σ_d −z² / 2 − log_std − ln(2π) / 2` with `z = (actions − mean) / σ`.
    ///
    /// # Shapes
    /// `actions`: `[B, D]`, `out`: `[B]`.
    ///
    /// # Errors
    /// [`NnError::Length`] if a length differs.
    pub fn log_prob(&self, actions: &[f32], out: &mut [f32]) -> Result<(), NnError> {
        check_length("actions", self.mean.len(), actions.len())?;
        check_length("output", self.rows(), out.len())?;
        out.fill(0.0);
        self.visit(
            |at| [-self.log_std_at(at)],
            |at, [inverse_std]| {
                let z = (actions[at.index] - self.mean[at.index]) * inverse_std;
                out[at.row] += -0.5 * z * z - self.log_std_at(at) - HALF_LN_TWO_PI;
            },
        );
        Ok(())
    }

    /// Adds the gradient of `Σ_b weights[b] · log_prob[b]`: `w · z / σ` and `w · (z² − 1)`.
    ///
    /// # Shapes
    /// `actions`: `[B, D]`, `weights`: `[B]`.
    ///
    /// # Errors
    /// [`NnError::Length`] if a length differs.
    pub fn add_log_prob_gradient(
        &self,
        actions: &[f32],
        weights: &[f32],
        gradient: &mut GaussianGradient<'_>,
    ) -> Result<(), NnError> {
        check_length("actions", self.mean.len(), actions.len())?;
        self.check_gradient(weights, gradient)?;
        self.visit(
            |at| [-self.log_std_at(at)],
            |at, [inverse_std]| {
                let z = (actions[at.index] - self.mean[at.index]) * inverse_std;
                let weight = weights[at.row];
                gradient.mean[at.index] += weight * z * inverse_std;
                gradient.log_std[self.log_std_index(at)] += weight * (z * z - 1.0);
            },
        );
        Ok(())
    }

    /// `out[b] = Σ_d log_std + (1 + ln 2π) / 2`.
    ///
    /// # Shapes
    /// `out`: `[B]`.
    ///
    /// # Errors
    /// [`NnError::Length`] if the length differs.
    pub fn entropy(&self, out: &mut [f32]) -> Result<(), NnError> {
        check_length("output", self.rows(), out.len())?;
        out.fill(0.0);
        self.for_each(|at| out[at.row] += self.log_std_at(at) + (0.5 + HALF_LN_TWO_PI));
        Ok(())
    }

    /// Adds the gradient of `Σ_b weights[b] · entropy[b]`: `w` for each `log_std`, nothing for the means.
    ///
    /// # Shapes
    /// `weights`: `[B]`, `log_std_gradient`: that of `log_std`.
    ///
    /// # Errors
    /// [`NnError::Length`] if a length differs.
    pub fn add_entropy_gradient(&self, weights: &[f32], log_std_gradient: &mut [f32]) -> Result<(), NnError> {
        check_length("weights", self.rows(), weights.len())?;
        check_length("log_std gradient", self.log_std.len(), log_std_gradient.len())?;
        self.for_each(|at| log_std_gradient[self.log_std_index(at)] += weights[at.row]);
        Ok(())
    }

    /// `out[b] = KL(self ‖ other) = Σ_d ln(σ₂ / σ₁) + (σ₁² + (μ₁ − μ₂)²) / (2σ₂²) − ½`.
    ///
    /// # Shapes
    /// `out`: `[B]`.
    ///
    /// # Errors
    /// [`NnError::Length`] if a length differs.
    pub fn kl(&self, other: &Gaussian<'_>, out: &mut [f32]) -> Result<(), NnError> {
        self.check_other(other)?;
        check_length("output", self.rows(), out.len())?;
        out.fill(0.0);
        self.visit_pair(other, |at, pair| {
            let log_ratio = self.log_std_at(at) - other.log_std_at(at);
            out[at.row] += 0.5 * (pair.ratio * pair.ratio - 1.0) + 0.5 * pair.z * pair.z - log_ratio;
        });
        Ok(())
    }

    /// Adds the gradient of `Σ_b weights[b] · KL(self ‖ other)[b]` with respect to the parameters of `self`:
    /// `w · (μ₁ − μ₂) / σ₂²` and `w · (σ₁² / σ₂² − 1)`.
    ///
    /// # Shapes
    /// `weights`: `[B]`.
    ///
    /// # Errors
    /// [`NnError::Length`] if a length differs.
    pub fn add_kl_gradient(
        &self,
        other: &Gaussian<'_>,
        weights: &[f32],
        gradient: &mut GaussianGradient<'_>,
    ) -> Result<(), NnError> {
        self.check_other(other)?;
        self.check_gradient(weights, gradient)?;
        self.visit_pair(other, |at, Pair { ratio, z, inverse_std }| {
            gradient.mean[at.index] += weights[at.row] * z * inverse_std;
            gradient.log_std[self.log_std_index(at)] += weights[at.row] * (ratio * ratio - 1.0);
        });
        Ok(())
    }

    /// Adds the gradient of `Σ_b weights[b] · KL(self ‖ other)[b]` with respect to the parameters of `other`:
    /// `w · (μ₂ − μ₁) / σ₂²` and `w · (1 − (σ₁² + (μ₁ − μ₂)²) / σ₂²)`.
    ///
    /// # Shapes
    /// `weights`: `[B]`; the gradient has the shapes of `other`.
    ///
    /// # Errors
    /// [`NnError::Length`] if a length differs.
    pub fn add_kl_gradient_of_other(
        &self,
        other: &Gaussian<'_>,
        weights: &[f32],
        gradient: &mut GaussianGradient<'_>,
    ) -> Result<(), NnError> {
        self.check_other(other)?;
        other.check_gradient(weights, gradient)?;
        self.visit_pair(other, |at, Pair { ratio, z, inverse_std }| {
            gradient.mean[at.index] -= weights[at.row] * z * inverse_std;
            gradient.log_std[other.log_std_index(at)] += weights[at.row] * (1.0 - ratio * ratio - z * z);
        });
        Ok(())
    }

    /// Draws actions `mean + σ · noise`.
    ///
    /// # Shapes
    /// `noise`, standard normal, and `actions`: `[B, D]`.
    ///
    /// # Errors
    /// [`NnError::Length`] if a length differs.
    pub fn sample(&self, noise: &[f32], actions: &mut [f32]) -> Result<(), NnError> {
        check_length("noise", self.mean.len(), noise.len())?;
        check_length("actions", self.mean.len(), actions.len())?;
        self.visit(
            |at| [self.log_std_at(at)],
            |at, [std]| actions[at.index] = self.mean[at.index] + std * noise[at.index],
        );
        Ok(())
    }

    /// The most probable actions: the means.
    #[must_use]
    pub fn mode(&self) -> &'a [f32] {
        self.mean
    }

    /// Gives `f` every component of every row.
    pub(super) fn for_each(&self, mut f: impl FnMut(Place)) {
        let mut cursor = self.cursor();
        self.mean.iter().for_each(|_| f(cursor.step()));
    }

    /// Gives `f` for every component of every row the exponentials of its `arguments`.
    pub(super) fn visit<const K: usize>(
        &self,
        arguments: impl Fn(Place) -> [f32; K],
        mut f: impl FnMut(Place, [f32; K]),
    ) {
        let (mut ahead, mut cursor) = (self.cursor(), self.cursor());
        for_each_exp(self.mean.len(), |_| arguments(ahead.step()), |_, values| f(cursor.step(), values));
    }

    /// Gives `f` for every component of every row how the two distributions compare.
    fn visit_pair(&self, other: &Gaussian<'_>, mut f: impl FnMut(Place, Pair)) {
        self.visit(
            |at| [self.log_std_at(at) - other.log_std_at(at), -other.log_std_at(at)],
            |at, [ratio, inverse_std]| {
                let z = (self.mean[at.index] - other.mean[at.index]) * inverse_std;
                f(at, Pair { ratio, z, inverse_std });
            },
        );
    }

    pub(super) fn cursor(&self) -> Cursor {
        Cursor { next: Place { row: 0, column: 0, index: 0 }, dim: self.dim }
    }

    pub(super) fn log_std_at(&self, at: Place) -> f32 {
        self.log_std[self.log_std_index(at)]
    }

    pub(super) fn log_std_index(&self, at: Place) -> usize {
        if self.log_std.len() == self.dim { at.column } else { at.index }
    }

    pub(super) fn check_gradient(
        &self,
        weights: &[f32],
        gradient: &GaussianGradient<'_>,
    ) -> Result<(), NnError> {
        check_length("weights", self.rows(), weights.len())?;
        check_length("mean gradient", self.mean.len(), gradient.mean.len())?;
        check_length("log_std gradient", self.log_std.len(), gradient.log_std.len())
    }

    fn check_other(&self, other: &Gaussian<'_>) -> Result<(), NnError> {
        check_length("other mean", self.mean.len(), other.mean.len())?;
        check_length("other dim", self.dim, other.dim)
    }
}

/// A component of a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) row: usize,
    pub(super) column: usize,
    /// Of the component in the batch.
    pub(super) index: usize,
}

/// Goes through the places of a batch in order, without divisions.
pub(super) struct Cursor {
    next: Place,
    dim: usize,
}

impl Cursor {
    pub(super) fn step(&mut self) -> Place {
        let place = self.next;
        self.next.index += 1;
        self.next.column += 1;
        if self.next.column == self.dim {
            self.next.column = 0;
            self.next.row += 1;
        }
        place
    }
}

/// How one component of two distributions compares.
struct Pair {
    /// `σ₁ / σ₂`.
    ratio: f32,
    /// `(μ₁ − μ₂) / σ₂`.
    z: f32,
    /// `1 / σ₂`.
    inverse_std: f32,
}

#[cfg(test)]
mod tests;
