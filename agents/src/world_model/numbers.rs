//! Numbers that networks put out as logits of bins: rewards, values.

use agon_nn::Matrix;
use agon_nn::losses::categorical::softmax_rows;
use agon_nn::losses::two_hot::TwoHot;

use super::sequences::Sequences;
use crate::AgentError;

/// The loss of what was paid on the way to each moment that is `known`, summed, and the gradient of the logits, times `scale`.
///
/// # Shapes
/// `logits` and the gradient: `[T · B, K]`.
pub(crate) fn reward_loss(
    two_hot: &TwoHot,
    sequences: &Sequences,
    known: impl Fn(usize) -> bool,
    logits: &Matrix,
    scale: f32,
) -> Result<(f64, Vec<f32>), AgentError> {
    let (bins, mut sum) = (two_hot.bins(), 0.0);
    let mut gradient = vec![0.0; logits.as_slice().len()];
    let (log_probs, probs) = distributions(logits.as_slice(), bins)?;
    for (row, slopes) in gradient.chunks_exact_mut(bins).enumerate() {
        if known(row) {
            let (range, reward) = (row * bins..(row + 1) * bins, sequences.rewards[row]);
            let (log_probs, probs) = (&log_probs[range.clone()], &probs[range]);
            let loss = two_hot.add_loss(reward, log_probs, probs, scale, slopes)?;
            // Bins would hide that a reward is lost: they take anything for their last.
            sum += if reward.is_finite() { f64::from(loss) } else { f64::NAN };
        }
    }
    Ok((sum, gradient))
}

/// Logarithms of the probabilities of rows of logits, and these themselves.
pub(crate) fn distributions(logits: &[f32], classes: usize) -> Result<(Vec<f32>, Vec<f32>), AgentError> {
    let mut log_probs = vec![0.0; logits.len()];
    agon_nn::losses::categorical::log_softmax_rows(logits, classes, &mut log_probs)?;
    let mut probs = log_probs.clone();
    agon_nn::kernels::exp(&mut probs);
    Ok((log_probs, probs))
}

/// The numbers that rows of logits stand for.
pub(crate) fn numbers(two_hot: &TwoHot, logits: &[f32], out: &mut Vec<f32>) -> Result<(), AgentError> {
    let mut probs = vec![0.0; logits.len()];
    softmax_rows(logits, two_hot.bins(), &mut probs)?;
    out.extend(probs.chunks_exact(two_hot.bins()).map(|probs| two_hot.mean(probs)));
    Ok(())
}
