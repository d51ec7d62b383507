//! Matrices beside each other, as an operation on a tape.

use crate::error::NnError;
use crate::matrix::{Matrix, check_length};
use crate::params::Params;
use crate::tape::{Backward, Tape};

/// Rows of several matrices beside each other: `[B, Σ columns]`. In flagged rows the first one counts as zeros; no flags are none.
///
/// # Errors
/// [`NnError::Rows`] if the matrices have not as many rows, [`NnError::Length`] if there are flags, but not one a row.
pub fn beside(
    params: &Params,
    parts: &[&Matrix],
    cleared: &[bool],
    tape: &mut Tape,
) -> Result<Matrix, NnError> {
    let rows = parts.first().map_or(0, |part| part.rows());
    for part in parts {
        if part.rows() != rows {
            return Err(NnError::Rows { name: "a part of the input", expected: rows, got: part.rows() });
        }
    }
    if !cleared.is_empty() {
        check_length("resets", rows, cleared.len())?;
    }
    let widths: Vec<usize> = parts.iter().map(|part| part.columns()).collect();
    let width = widths.iter().sum();
    let out = Matrix::output(rows, width, |out| {
        for (row, out) in out.chunks_exact_mut(width).enumerate() {
            let mut at = 0;
            for (index, part) in parts.iter().enumerate() {
                let columns = part.columns();
                let out = &mut out[at..at + columns];
                if index == 0 && cleared.get(row) == Some(&true) {
                    out.fill(0.0);
                } else {
                    out.copy_from_slice(&part.as_slice()[row * columns..(row + 1) * columns]);
                }
                at += columns;
            }
        }
    })?;
    let cleared = cleared.to_vec();
    tape.record(params, parts, &[&out], move |flow| {
        let Backward { outputs, mut inputs, .. } = flow;
        let [Some(delta)] = &outputs[..] else { return };
        let mut at = 0;
        for (index, (target, columns)) in inputs.iter_mut().zip(widths).enumerate() {
            if let Some(target) = target {
                target.fill(|gradient| {
                    let rows = gradient.chunks_exact_mut(columns).zip(delta.chunks_exact(width)).enumerate();
                    for (row, (gradient, delta)) in rows {
                        if index == 0 && cleared.get(row) == Some(&true) {
                            gradient.fill(0.0);
                        } else {
                            gradient.copy_from_slice(&delta[at..at + columns]);
                        }
                    }
                });
            }
            at += columns;
        }
    });
    Ok(out)
}
