//! Rows of several matrices as one, and some rows of one: operations on a tape.

use std::rc::Rc;

use crate::error::NnError;
use crate::kernels::add;
use crate::matrix::{Matrix, check_length, check_not_empty};
use crate::params::Params;
use crate::tape::{Backward, Tape};

/// The rows of `M` matrices in turn: row `r · M + m` is row `r` of the `m`-th.
///
/// # Shapes
/// `[R, E]` each; returns `[R · M, E]`.
///
/// # Errors
/// [`NnError::Empty`] without matrices, [`NnError::Length`] if their sizes differ.
pub(super) fn interleave(params: &Params, parts: &[Matrix], tape: &mut Tape) -> Result<Matrix, NnError> {
    let (rows, width) = parts.first().map_or((0, 0), |part| (part.rows(), part.columns()));
    check_not_empty("tokens", rows, width)?;
    parts.iter().try_for_each(|part| check_length("tokens", rows * width, part.as_slice().len()))?;
    let count = parts.len();
    let out = Matrix::output(rows * count, width, |out| {
        for (index, part) in parts.iter().enumerate() {
            let places = out.chunks_exact_mut(width).skip(index).step_by(count);
            places.zip(part.as_slice().chunks_exact(width)).for_each(|(to, from)| to.copy_from_slice(from));
        }
    })?;
    let inputs: Vec<&Matrix> = parts.iter().collect();
    tape.record(params, &inputs, &[&out], move |flow| {
        let Backward { outputs, inputs, .. } = flow;
        let Some(Some(delta)) = outputs.into_iter().next() else { return };
        for (index, input) in inputs.into_iter().enumerate() {
            let Some(mut input) = input else { continue };
            input.fill(|target| {
                let places = delta.chunks_exact(width).skip(index).step_by(count);
                target.chunks_exact_mut(width).zip(places).for_each(|(to, from)| to.copy_from_slice(from));
            });
        }
    });
    Ok(out)
}

/// Some rows of a matrix, in their order.
///
/// # Shapes
/// `x`: `[R, E]`, `wanted`: `[W]`, below `R`; returns `[W, E]`.
///
/// # Errors
/// [`NnError::Empty`] if none are wanted.
pub(super) fn pick(
    params: &Params,
    x: &Matrix,
    wanted: &Rc<[u32]>,
    tape: &mut Tape,
) -> Result<Matrix, NnError> {
    let width = x.columns();
    let range = move |row: u32| row as usize * width..(row as usize + 1) * width;
    let out = Matrix::output(wanted.len(), width, |out| {
        for (to, &row) in out.chunks_exact_mut(width).zip(&**wanted) {
            to.copy_from_slice(&x.as_slice()[range(row)]);
        }
    })?;
    let wanted = Rc::clone(wanted);
    tape.record(params, &[x], &[&out], move |flow| {
        let Backward { outputs, inputs, .. } = flow;
        let Some(Some(delta)) = outputs.into_iter().next() else { return };
        for mut input in inputs.into_iter().flatten() {
            input.fill(|target| {
                target.fill(0.0);
                for (&row, delta) in wanted.iter().zip(delta.chunks_exact(width)) {
                    add(&mut target[range(row)], delta);
                }
            });
        }
    });
    Ok(out)
}
