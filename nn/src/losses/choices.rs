//! A batch of choices, given by logits, evaluated column by column: what policies act with and learn from.
//!
//! One choice is the distribution of [`categorical`](super::categorical), several that of
//! [`multi_categorical`](super::multi_categorical), with the same bits. Rows are worked on side by side, which is several times
//! faster than row by row where a row has few options.

use super::multi_categorical::row_len;
use crate::error::NnError;
use crate::kernels::{
    ChoiceGradient, Pooled, entropy_columns, gradient_columns, normalize_columns, transpose_into,
};
use crate::matrix::check_length;

/// Log-probabilities and probabilities of all options of a batch.
///
/// # Example
/// ```
/// use agon_nn::losses::choices::Choices;
///
/// let mut choices = Choices::default();
/// choices.evaluate(&[0.0, 0.0, 1.0, 1.0], None, &[2])?;
/// let mut log_probs = [0.0; 2];
/// choices.log_probs(&[0, 1], &mut log_probs)?;
/// assert!(log_probs.iter().all(|p| (p - 0.5_f32.ln()).abs() < 1e-6));
/// # Ok::<(), agon_nn::NnError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Choices {
    nvec: Vec<usize>,
    rows: usize,
    /// `[Σ nvec, B]`.
    log_probs: Vec<f32>,
    /// `[Σ nvec, B]`.
    probs: Vec<f32>,
}

impl Choices {
    /// Takes on a batch of logits. A mask has a flag for each, false where an option is not allowed.
    ///
    /// # Shapes
    /// `logits`, `mask` if there is one: `[B, Σ nvec]`.
    ///
    /// # Errors
    /// [`NnError::Config`] if a choice has no options or there is none, [`NnError::Length`] if lengths differ or are no
    /// multiple of a row, [`NnError::AllActionsMasked`] if a choice of a row allows no option.
    pub fn evaluate(&mut self, logits: &[f32], mask: Option<&[bool]>, nvec: &[usize]) -> Result<(), NnError> {
        if nvec.is_empty() || nvec.contains(&0) {
            let expected = "at least one component, each with at least one action";
            return Err(NnError::Config { field: "nvec", expected, got: format!("{nvec:?}") });
        }
        let width = row_len(nvec);
        check_length("logits", logits.len().next_multiple_of(width), logits.len())?;
        self.nvec.clear();
        self.nvec.extend_from_slice(nvec);
        self.rows = logits.len() / width;
        self.log_probs.resize(logits.len(), 0.0);
        self.probs.resize(logits.len(), 0.0);
        if self.rows == 0 {
            return Ok(());
        }
        transpose_into(logits, self.rows, width, false, &mut self.log_probs);
        if let Some(mask) = mask {
            check_length("mask", logits.len(), mask.len())?;
            self.mask(mask)?;
        }
        let mut start = 0;
        for n in nvec {
            let columns = start * self.rows..(start + n) * self.rows;
            normalize_columns(self.rows, &mut self.log_probs[columns.clone()], &mut self.probs[columns]);
            start += n;
        }
        Ok(())
    }

    /// Makes the logits of options that are not allowed minus infinity.
    fn mask(&mut self, mask: &[bool]) -> Result<(), NnError> {
        for (row, allowed) in mask.chunks_exact(row_len(&self.nvec)).enumerate() {
            let mut rest = allowed;
            for &n in &self.nvec {
                let (part, others) = rest.split_at(n);
                if part.iter().all(|&allowed| !allowed) {
                    return Err(NnError::AllActionsMasked { row });
                }
                rest = others;
            }
            for (option, _) in allowed.iter().enumerate().filter(|(_, allowed)| !**allowed) {
                self.log_probs[option * self.rows + row] = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }

    /// The choices: the first of their options, and how many they have.
    fn parts(&self) -> impl Iterator<Item = (usize, usize)> {
        self.nvec.iter().scan(0, |start, &n| {
            let first = *start;
            *start += n;
            Some((first, n))
        })
    }

    /// `out[b] = Σ_k ln p[b, k, actions[b, k]]`.
    ///
    /// # Shapes
    /// `actions`: `[B, K]`, `out`: `[B]`.
    ///
    /// # Errors
    /// [`NnError::Length`] if a length differs.
    ///
    /// # Panics
    /// If an action is out of range.
    pub fn log_probs(&self, actions: &[u32], out: &mut [f32]) -> Result<(), NnError> {
        self.check_actions(actions)?;
        check_length("output", self.rows, out.len())?;
        for (row, (actions, out)) in actions.chunks_exact(self.nvec.len()).zip(out).enumerate() {
            let chosen = self.parts().zip(actions);
            *out = chosen.fold(0.0, |sum, ((start, n), &action)| {
                assert!((action as usize) < n, "action {action} of {n}");
                sum + self.log_probs[(start + action as usize) * self.rows + row]
            });
        }
        Ok(())
    }

    /// `out[b] = −Σ_k Σ p ln p`.
    ///
    /// # Shapes
    /// `out`: `[B]`.
    ///
    /// # Errors
    /// [`NnError::Length`] if the length differs.
    pub fn entropies(&self, out: &mut [f32]) -> Result<(), NnError> {
        check_length("output", self.rows, out.len())?;
        entropy_columns(&self.log_probs, &self.probs, out);
        Ok(())
    }

    /// Overwrites `out` with the gradient of `Σ_b log_prob_weights[b] · ln p[b, actions[b]] + entropy_weights[b] · H[b]` with
    /// respect to the logits. Options that are not allowed have none.
    ///
    /// # Shapes
    /// `actions`: `[B, K]`, `log_prob_weights`, `entropy_weights`: `[B]`, `out`: `[B, Σ nvec]`.
    ///
    /// # Errors
    /// [`NnError::Length`] if a length differs.
    pub fn gradient(
        &self,
        actions: &[u32],
        log_prob_weights: &[f32],
        entropy_weights: &[f32],
        out: &mut [f32],
    ) -> Result<(), NnError> {
        self.check_actions(actions)?;
        check_length("log-probability weights", self.rows, log_prob_weights.len())?;
        check_length("entropy weights", self.rows, entropy_weights.len())?;
        check_length("output", self.probs.len(), out.len())?;
        if self.rows == 0 {
            return Ok(());
        }
        let (rows, width) = (self.rows, row_len(&self.nvec));
        let mut scratch = Pooled::take((width + 2) * rows);
        let (columns, rest) = scratch.split_at_mut(width * rows);
        let (chosen, entropies) = rest.split_at_mut(rows);
        for (choice, (start, n)) in self.parts().enumerate() {
            let part = start * rows..(start + n) * rows;
            let (log_probs, probs) = (&self.log_probs[part.clone()], &self.probs[part.clone()]);
            for (chosen, actions) in chosen.iter_mut().zip(actions.chunks_exact(self.nvec.len())) {
                *chosen = actions[choice] as f32;
            }
            entropy_columns(log_probs, probs, entropies);
            let choice =
                ChoiceGradient { log_probs, probs, chosen, log_prob_weights, entropies, entropy_weights };
            gradient_columns(&choice, &mut columns[part]);
        }
        transpose_into(columns, width, rows, false, out);
        Ok(())
    }

    /// Draws the option of a row's choice by inverting the distribution function at `u`, uniform in `0..1`; gives it and the
    /// logarithm of its probability. As [`categorical::sample_probs`](super::categorical::sample_probs).
    ///
    /// # Panics
    /// If there is no such row or choice.
    #[must_use]
    pub fn sample(&self, row: usize, choice: usize, u: f32) -> (usize, f32) {
        let (start, n) = self.part(choice);
        let (mut cumulative, mut last) = (0.0, 0);
        for option in 0..n {
            let prob = self.probs[(start + option) * self.rows + row];
            if prob > 0.0 {
                cumulative += prob;
                last = option;
                if cumulative > u {
                    break;
                }
            }
        }
        // Rounding may leave the sum just below u: then the last possible option.
        (last, self.log_probs[(start + last) * self.rows + row])
    }

    /// The most probable option of a row's choice, the first among equals, and the logarithm of its probability.
    ///
    /// # Panics
    /// If there is no such row or choice.
    #[must_use]
    #[doc(alias = "argmax")]
    pub fn mode(&self, row: usize, choice: usize) -> (usize, f32) {
        let (start, n) = self.part(choice);
        let log_prob = |option: usize| self.log_probs[(start + option) * self.rows + row];
        let best =
            (1..n).fold(0, |best, option| if log_prob(option) > log_prob(best) { option } else { best });
        (best, log_prob(best))
    }

    fn part(&self, choice: usize) -> (usize, usize) {
        (row_len(&self.nvec[..choice]), self.nvec[choice])
    }

    fn check_actions(&self, actions: &[u32]) -> Result<(), NnError> {
        check_length("actions", self.rows * self.nvec.len(), actions.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{categorical, multi_categorical};
    use super::*;

    const NVEC: [usize; 3] = [2, 5, 3];
    const WIDTH: usize = 10;

    fn logits(rows: usize) -> Vec<f32> {
        (0..rows * WIDTH).map(|i| ((i * 7919 + 13) % 101) as f32 / 10.0 - 5.0).collect()
    }

    /// Of which each choice has an option that is allowed.
    fn mask(rows: usize) -> Vec<bool> {
        (0..rows * WIDTH).map(|i| [0, 2, 7].contains(&(i % WIDTH)) || (i * 31) % 3 != 0).collect()
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|x| x.to_bits()).collect()
    }

    #[test]
    fn side_by_side_rows_have_the_bits_of_rows_by_themselves() {
        for rows in [1, 3, 16, 37] {
            for masked in [false, true] {
                let (logits, mask) = (logits(rows), mask(rows));
                let mask = masked.then_some(&mask[..]);
                let mut choices = Choices::default();
                choices.evaluate(&logits, mask, &NVEC).unwrap();
                let mut log_probs = vec![0.0; logits.len()];
                multi_categorical::log_softmax_rows(&logits, mask, &NVEC, &mut log_probs).unwrap();
                let mut probs = log_probs.clone();
                crate::kernels::exp(&mut probs);
                let (mut entropies, mut expected) = (vec![0.0; rows], vec![0.0; rows]);
                choices.entropies(&mut entropies).unwrap();
                multi_categorical::entropy_rows(&log_probs, &probs, &NVEC, &mut expected).unwrap();
                assert_eq!(bits(&entropies), bits(&expected));
                for row in 0..rows {
                    let own = &log_probs[row * WIDTH..(row + 1) * WIDTH];
                    for (choice, (start, n)) in [(0, 2), (2, 5), (7, 3)].into_iter().enumerate() {
                        let own = &own[start..start + n];
                        for u in [0.0, 0.3, 0.99, 1.0] {
                            let (option, log_prob) = choices.sample(row, choice, u);
                            assert_eq!(option, categorical::sample_log_probs(own, u));
                            assert_eq!(log_prob.to_bits(), own[option].to_bits());
                        }
                        assert_eq!(
                            choices.mode(row, choice),
                            (categorical::mode(own), own[categorical::mode(own)])
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn gradients_are_those_of_rows_by_themselves() {
        let rows = 21;
        let (logits, mask) = (logits(rows), mask(rows));
        let mut choices = Choices::default();
        choices.evaluate(&logits, Some(&mask), &NVEC).unwrap();
        let actions: Vec<u32> = [0, 0, 0].repeat(rows);
        let weights: Vec<f32> = (0..rows).map(|row| 0.7 - 0.1 * row as f32).collect();
        let entropy_weights: Vec<f32> = (0..rows).map(|row| 0.2 * row as f32 - 1.0).collect();
        let mut got = vec![f32::NAN; logits.len()];
        choices.gradient(&actions, &weights, &entropy_weights, &mut got).unwrap();
        let mut log_probs = vec![0.0; logits.len()];
        multi_categorical::log_softmax_rows(&logits, Some(&mask), &NVEC, &mut log_probs).unwrap();
        let mut probs = log_probs.clone();
        crate::kernels::exp(&mut probs);
        for row in 0..rows {
            let own = row * WIDTH..(row + 1) * WIDTH;
            let mut expected = [0.0; WIDTH];
            let (log_probs, probs) = (&log_probs[own.clone()], &probs[own.clone()]);
            multi_categorical::add_entropy_gradient(
                log_probs,
                probs,
                &NVEC,
                entropy_weights[row],
                &mut expected,
            );
            multi_categorical::add_log_prob_gradient(probs, &NVEC, &[0, 0, 0], weights[row], &mut expected);
            for (got, expected) in got[own].iter().zip(expected) {
                assert!((got - expected).abs() <= 1e-7, "row {row}: {got}, {expected}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut choices = Choices::default();
        assert!(choices.evaluate(&[0.0; 5], None, &[2]).is_err());
        assert!(choices.evaluate(&[0.0; 4], None, &[2, 0]).is_err());
        let error = choices.evaluate(&[0.0; 4], Some(&[true, true, false, false]), &[2]).unwrap_err();
        assert!(matches!(error, NnError::AllActionsMasked { row: 1 }), "{error}");
        choices.evaluate(&[0.0; 4], None, &[2]).unwrap();
        assert!(choices.log_probs(&[0], &mut [0.0; 2]).is_err());
        assert!(choices.entropies(&mut [0.0; 3]).is_err());
    }
}
