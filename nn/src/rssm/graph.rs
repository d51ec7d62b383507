//! What happens between the layers of a step, as operations on a tape: all of them copies, but for draws.

use crate::error::NnError;
use crate::losses::mixed_categorical::{MixedCategorical, MixedProbs};
use crate::matrix::{Matrix, check_length};
use crate::params::Params;
use crate::tape::{Backward, Tape};

/// The steps of a batch of sequences, `[T · B, X]`, each by itself: `T` times `[B, X]`.
pub(super) fn each_step(
    params: &Params,
    x: &Matrix,
    steps: usize,
    tape: &mut Tape,
) -> Result<Vec<Matrix>, NnError> {
    let (rows, columns) = (x.rows() / steps.max(1), x.columns());
    let len = rows * columns;
    let parts = (0..steps).map(|step| {
        Matrix::output(rows, columns, |out| {
            out.copy_from_slice(&x.as_slice()[step * len..(step + 1) * len]);
        })
    });
    let parts: Vec<Matrix> = parts.collect::<Result<_, _>>()?;
    let outputs: Vec<&Matrix> = parts.iter().collect();
    tape.record(params, &[x], &outputs, move |flow| {
        let Backward { outputs, mut inputs, .. } = flow;
        let Some(target) = &mut inputs[0] else { return };
        target.fill(|gradient| {
            for (gradient, delta) in gradient.chunks_exact_mut(len).zip(&outputs) {
                match delta {
                    Some(delta) => gradient.copy_from_slice(delta),
                    None => gradient.fill(0.0),
                }
            }
        });
    });
    Ok(parts)
}

/// The steps of a batch of sequences one after the other: the inverse of [`each_step`].
pub(super) fn all_steps(params: &Params, steps: &[Matrix], tape: &mut Tape) -> Result<Matrix, NnError> {
    let (rows, columns) = steps.first().map_or((0, 0), |step| (step.rows(), step.columns()));
    let len = rows * columns;
    let out = Matrix::output(steps.len() * rows, columns, |out| {
        for (out, step) in out.chunks_exact_mut(len).zip(steps) {
            out.copy_from_slice(step.as_slice());
        }
    })?;
    let inputs: Vec<&Matrix> = steps.iter().collect();
    tape.record(params, &inputs, &[&out], move |flow| {
        let Backward { outputs, mut inputs, .. } = flow;
        let [Some(delta)] = &outputs[..] else { return };
        for (target, delta) in inputs.iter_mut().zip(delta.chunks_exact(len)) {
            if let Some(target) = target {
                target.fill(|gradient| gradient.copy_from_slice(delta));
            }
        }
    });
    Ok(out)
}

/// Draws of categorical variables, `[B, C · K]` zeros and ones, whose gradient is that of the probabilities.
///
/// # Shapes
/// `logits`: `[B, C · K]`; `noise`, numbers of `[0, 1)`: `[B, C]`.
pub(super) fn draw(
    params: &Params,
    mixed: MixedCategorical,
    logits: &Matrix,
    noise: &[f32],
    tape: &mut Tape,
) -> Result<Matrix, NnError> {
    let classes = mixed.classes();
    check_length("noise", logits.as_slice().len() / classes, noise.len())?;
    let mut probs = MixedProbs::default();
    mixed.probs(logits.as_slice(), &mut probs)?;
    let out = Matrix::output(logits.rows(), logits.columns(), |out| {
        one_hot(probs.as_slice(), noise, classes, out);
    })?;
    tape.record(params, &[logits], &[&out], move |flow| {
        let Backward { outputs, mut inputs, .. } = flow;
        let ([Some(delta)], Some(target)) = (&outputs[..], &mut inputs[0]) else { return };
        target.fill(|gradient| {
            gradient.copy_from_slice(delta);
            // The lengths are those of the forward pass.
            let differentiated = mixed.differentiate(&probs, gradient);
            debug_assert!(differentiated.is_ok(), "{differentiated:?}");
        });
    });
    Ok(out)
}

/// Writes a one for the class that each number draws.
pub(super) fn one_hot(probs: &[f32], noise: &[f32], classes: usize, out: &mut [f32]) {
    out.fill(0.0);
    for ((probs, &noise), out) in probs.chunks_exact(classes).zip(noise).zip(out.chunks_exact_mut(classes)) {
        out[MixedCategorical::draw(probs, noise)] = 1.0;
    }
}
