//! Categorical distributions that are partly uniform: `p = (1 − u) · softmax(logits) + u / K`.
//!
//! No class ever has probability zero, so that logarithms stay bounded and what was never seen can still be drawn.
//!
//! # Source
//! Hafner et al. 2023, arXiv:2301.04104, "unimix".

use super::categorical::softmax_rows;
use crate::error::NnError;
use crate::matrix::check_length;

/// The distributions of one kind of choice: how many classes there are, and how much of them is uniform.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MixedCategorical {
    classes: usize,
    uniform: f32,
}

/// Probabilities of rows of logits.
#[derive(Debug, Clone, Default)]
pub struct MixedProbs {
    /// `softmax(logits)`, `[B, K]`.
    softmax: Vec<f32>,
    /// With the uniform share, `[B, K]`.
    probs: Vec<f32>,
}

impl MixedProbs {
    /// The probabilities, `[B, K]`.
    #[must_use]
    pub fn as_slice(&self) -> &[f32] {
        &self.probs
    }
}

impl MixedCategorical {
    /// Of `K` classes, with a share that is uniform.
    ///
    /// # Errors
    /// [`NnError::Config`] without classes, and unless the share is at least 0 and below 1.
    pub fn new(classes: usize, uniform: f32) -> Result<Self, NnError> {
        if classes == 0 {
            return Err(NnError::Config { field: "classes", expected: "at least 1", got: "0".to_owned() });
        }
        if !(0.0..1.0).contains(&uniform) {
            let expected = "at least 0 and below 1";
            return Err(NnError::Config { field: "uniform share", expected, got: uniform.to_string() });
        }
        Ok(Self { classes, uniform })
    }

    /// The number of classes, `K`.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The probabilities of all rows.
    ///
    /// # Shapes
    /// `logits`: `[B, K]`.
    ///
    /// # Errors
    /// [`NnError::Length`] if the length is no multiple of `K`.
    pub fn probs(&self, logits: &[f32], out: &mut MixedProbs) -> Result<(), NnError> {
        out.softmax.resize(logits.len(), 0.0);
        softmax_rows(logits, self.classes, &mut out.softmax)?;
        let (share, rest) = (self.uniform / self.classes as f32, 1.0 - self.uniform);
        out.probs.clear();
        out.probs.extend(out.softmax.iter().map(|softmax| rest * softmax + share));
        Ok(())
    }

    /// The class that a number of `[0, 1)` draws from a row's probabilities.
    #[must_use]
    pub fn draw(probs: &[f32], noise: f32) -> usize {
        let mut sum = 0.0;
        for (class, prob) in probs.iter().enumerate() {
            sum += prob;
            if noise < sum {
                return class;
            }
        }
        // Rounding may leave the sum a little below one.
        probs.len().saturating_sub(1)
    }

    /// The gradient of the logits that belongs to one of the probabilities, which overwrites it.
    ///
    /// # Shapes
    /// `gradient`: `[B, K]`, as `probs` has.
    ///
    /// # Errors
    /// [`NnError::Length`] if the lengths differ.
    pub fn differentiate(&self, probs: &MixedProbs, gradient: &mut [f32]) -> Result<(), NnError> {
        check_length("gradient", probs.softmax.len(), gradient.len())?;
        let rest = 1.0 - self.uniform;
        let rows = probs.softmax.chunks_exact(self.classes).zip(gradient.chunks_exact_mut(self.classes));
        for (softmax, gradient) in rows {
            let mean: f32 = softmax.iter().zip(&*gradient).map(|(softmax, slope)| softmax * slope).sum();
            for (softmax, slope) in softmax.iter().zip(gradient) {
                *slope = rest * softmax * (*slope - mean);
            }
        }
        Ok(())
    }
}

/// The most probable class of a row: the first of them.
#[must_use]
pub fn most_probable(probs: &[f32]) -> usize {
    let mut best = 0;
    for (class, prob) in probs.iter().enumerate() {
        if *prob > probs[best] {
            best = class;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probs(mixed: &MixedCategorical, logits: &[f32]) -> MixedProbs {
        let mut probs = MixedProbs::default();
        mixed.probs(logits, &mut probs).unwrap();
        probs
    }

    #[test]
    fn a_share_of_the_probabilities_is_uniform() {
        let mixed = MixedCategorical::new(4, 0.2).unwrap();
        let probs = probs(&mixed, &[100.0, 0.0, 0.0, 0.0]);
        assert!((probs.as_slice()[0] - 0.85).abs() < 1e-6 && (probs.as_slice()[1] - 0.05).abs() < 1e-6);
    }

    #[test]
    fn numbers_draw_classes_in_proportion() {
        let probs = [0.25, 0.5, 0.25];
        let drawn: Vec<usize> = [0.0, 0.24, 0.25, 0.74, 0.75, 0.999_999_9]
            .iter()
            .map(|&noise| MixedCategorical::draw(&probs, noise))
            .collect();
        assert_eq!(drawn, [0, 0, 1, 1, 2, 2]);
        assert_eq!(MixedCategorical::draw(&[0.3, 0.3], 0.9), 1, "what rounding loses is the last one's");
    }

    #[test]
    fn gradients_pass_to_the_logits() {
        let mixed = MixedCategorical::new(3, 0.1).unwrap();
        let (logits, weights) = ([0.2, -0.7, 1.1, 0.0, 0.4, -2.0], [1.0, -2.0, 0.5, 0.3, 0.0, 1.5]);
        let value = |logits: &[f32]| -> f64 {
            let probs = probs(&mixed, logits);
            probs.as_slice().iter().zip(weights).map(|(&prob, weight)| f64::from(prob * weight)).sum()
        };
        let mut gradient = weights;
        mixed.differentiate(&probs(&mixed, &logits), &mut gradient).unwrap();
        for (index, got) in gradient.iter().enumerate() {
            let (mut up, mut down) = (logits, logits);
            up[index] += 1e-2;
            down[index] -= 1e-2;
            let expected = (value(&up) - value(&down)) / 2e-2;
            assert!((f64::from(*got) - expected).abs() < 1e-3, "{index}: {got} and {expected}");
        }
    }

    #[test]
    fn sizes_that_make_no_sense_are_refused() {
        assert!(MixedCategorical::new(0, 0.0).is_err() && MixedCategorical::new(3, 1.0).is_err());
        let mixed = MixedCategorical::new(3, 0.0).unwrap();
        assert!(mixed.probs(&[0.0; 4], &mut MixedProbs::default()).is_err());
    }
}
