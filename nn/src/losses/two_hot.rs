//! Numbers as a classification: symlog, and the two neighbouring bins that share a number.
//!
//! A value that is learned as probabilities of bins has gradients of the same size whatever its scale, and the bins are
//! spaced evenly in the logarithm, so that rewards of 0.01 and returns of 10,000 fit into one setting.
//!
//! # Source
//! Hafner et al. 2023, arXiv:2301.04104v1, equations 9 to 11: two neighbouring bins in the logarithm, whose mean is turned back.

use crate::error::NnError;
use crate::matrix::check_length;

/// `sign(x) · ln(|x| + 1)`.
#[must_use]
pub fn symlog(x: f32) -> f32 {
    x.abs().ln_1p().copysign(x)
}

/// `sign(x) · (e^|x| − 1)`: the inverse of [`symlog`].
#[must_use]
pub fn symexp(x: f32) -> f32 {
    x.abs().exp_m1().copysign(x)
}

/// Bins that are evenly spaced in the logarithm, from `−limit` to `limit`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TwoHot {
    bins: usize,
    limit: f32,
}

impl TwoHot {
    /// So many bins, an odd number so that one of them is zero; `limit` is the greatest logarithm.
    ///
    /// # Errors
    /// [`NnError::Config`] unless there is an odd number of at least 3 bins and `limit` is above zero and at most 80.
    pub fn new(bins: usize, limit: f32) -> Result<Self, NnError> {
        if bins < 3 || bins.is_multiple_of(2) {
            let expected = "an odd number of at least 3";
            return Err(NnError::Config { field: "bins", expected, got: bins.to_string() });
        }
        // Beyond it the numbers themselves are out of a float's range.
        if !(limit > 0.0 && limit <= 80.0) {
            let expected = "above 0 and at most 80";
            return Err(NnError::Config { field: "limit", expected, got: limit.to_string() });
        }
        Ok(Self { bins, limit })
    }

    /// The number of bins, `K`.
    #[must_use]
    pub fn bins(&self) -> usize {
        self.bins
    }

    /// The logarithm that a bin stands for.
    #[must_use]
    pub fn place(&self, bin: usize) -> f32 {
        let middle = (self.bins / 2) as f32;
        (bin as f32 - middle) / middle * self.limit
    }

    /// The two bins that share a number, as the lower one and the share of the upper one; numbers beyond the bins are the last's.
    #[must_use]
    pub fn bins_of(&self, x: f32) -> (usize, f32) {
        let middle = (self.bins / 2) as f32;
        let at = (symlog(x).clamp(-self.limit, self.limit) / self.limit + 1.0) * middle;
        // A NaN becomes bin 0 here; the loss of what it came from is checked where it is summed.
        let lower = (at as usize).min(self.bins - 2);
        (lower, at - lower as f32)
    }

    /// The number that probabilities stand for: `symexp(Σ p · place)`.
    ///
    /// # Panics
    /// If there is not a probability for each bin.
    #[must_use]
    pub fn mean(&self, probs: &[f32]) -> f32 {
        assert_eq!(probs.len(), self.bins, "a probability for each bin");
        // Both halves are summed from the middle on, so that what is symmetric is exactly zero.
        let middle = self.bins / 2;
        let (below, above) = (probs[..middle].iter().rev(), probs[middle + 1..].iter());
        let sum = |side: &mut dyn Iterator<Item = &f32>| -> f32 {
            side.enumerate().map(|(index, prob)| prob * self.place(middle + 1 + index)).sum()
        };
        let (mut below, mut above) = (below, above);
        symexp(sum(&mut above) - sum(&mut below))
    }

    /// The cross-entropy of a number, and its gradient times `weight`, which is added.
    ///
    /// # Shapes
    /// `log_probs`, `probs`, `gradient` of the logits: `[K]`.
    ///
    /// # Errors
    /// [`NnError::Length`] if a length differs.
    pub fn add_loss(
        &self,
        x: f32,
        log_probs: &[f32],
        probs: &[f32],
        weight: f32,
        gradient: &mut [f32],
    ) -> Result<f32, NnError> {
        check_length("log_probs", self.bins, log_probs.len())?;
        check_length("probs", self.bins, probs.len())?;
        check_length("gradient", self.bins, gradient.len())?;
        let (lower, upper) = self.bins_of(x);
        for (gradient, prob) in gradient.iter_mut().zip(probs) {
            *gradient += weight * prob;
        }
        gradient[lower] -= weight * (1.0 - upper);
        gradient[lower + 1] -= weight * upper;
        Ok(-(1.0 - upper) * log_probs[lower] - upper * log_probs[lower + 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::categorical::log_softmax_rows;

    #[test]
    fn logarithms_of_both_signs_come_back() {
        for x in [-1e6, -30.0, -1.0, -1e-4, 0.0, 0.5, 2.0, 1e5_f32] {
            let back = symexp(symlog(x));
            assert!((back - x).abs() <= 2e-5 * x.abs(), "{x} came back as {back}");
        }
        assert!((symlog(1.0) - 2.0_f32.ln()).abs() < 1e-7 && symlog(-1.0) == -symlog(1.0));
    }

    #[test]
    fn a_number_is_shared_by_its_neighbours_and_comes_back() {
        let two_hot = TwoHot::new(41, 20.0).unwrap();
        for x in [-400.0, -1.0, 0.0, 0.3, 7.0, 12345.0] {
            let (lower, upper) = two_hot.bins_of(x);
            let mut probs = vec![0.0; 41];
            probs[lower] = 1.0 - upper;
            probs[lower + 1] = upper;
            let back = two_hot.mean(&probs);
            assert!((back - x).abs() <= 1e-4 * x.abs().max(1.0), "{x} came back as {back}");
        }
        // A bin's own number is its own; ln(1 + x) = 1 is the one after the middle.
        let (lower, upper) = two_hot.bins_of(0.0);
        assert_eq!((lower, upper), (20, 0.0));
        let (lower, upper) = two_hot.bins_of(symexp(0.25));
        assert!(lower == 20 && (upper - 0.25).abs() < 1e-5);
    }

    #[test]
    fn equal_probabilities_are_exactly_zero() {
        let two_hot = TwoHot::new(255, 20.0).unwrap();
        assert_eq!(two_hot.mean(&[1.0 / 255.0; 255]), 0.0);
    }

    #[test]
    fn numbers_beyond_the_bins_are_the_last_ones() {
        let two_hot = TwoHot::new(5, 2.0).unwrap();
        assert_eq!(two_hot.bins_of(1e9), (3, 1.0));
        assert_eq!(two_hot.bins_of(-1e9), (0, 0.0));
    }

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        let two_hot = TwoHot::new(5, 2.0).unwrap();
        let logits = [0.3, -0.2, 0.9, 0.0, -1.1];
        let loss = |logits: &[f32]| {
            let mut log_probs = [0.0; 5];
            log_softmax_rows(logits, 5, &mut log_probs).unwrap();
            let probs = log_probs.map(f32::exp);
            let mut gradient = [0.0; 5];
            let loss = two_hot.add_loss(1.5, &log_probs, &probs, 0.5, &mut gradient).unwrap();
            (0.5 * loss, gradient)
        };
        let (_, gradient) = loss(&logits);
        for index in 0..5 {
            let (mut up, mut down) = (logits, logits);
            up[index] += 1e-2;
            down[index] -= 1e-2;
            let expected = (loss(&up).0 - loss(&down).0) / 2e-2;
            assert!((gradient[index] - expected).abs() < 1e-3, "{index}: {} and {expected}", gradient[index]);
        }
    }

    #[test]
    fn bins_that_make_no_sense_are_refused() {
        for (bins, limit, named) in
            [(4, 20.0, "bins"), (1, 20.0, "bins"), (5, 0.0, "limit"), (5, f32::NAN, "limit")]
        {
            let error = TwoHot::new(bins, limit).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
