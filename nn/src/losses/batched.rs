//! Vectorised functions inside loops over the elements of a batch, without buffers of the batch's size.

use crate::kernels::{exp, ln};

/// Values that a function is applied to together.
const CHUNK: usize = 256;

/// Gives `f` for each index below `len`, in order, `map` of the index's `K` arguments.
///
/// `map` works on each value for itself, so the cut into chunks does not show in the result.
fn for_each_mapped<const K: usize>(
    len: usize,
    map: impl Fn(&mut [f32]),
    mut arguments: impl FnMut(usize) -> [f32; K],
    mut f: impl FnMut(usize, [f32; K]),
) {
    let mut buffers = [[0.0; CHUNK]; K];
    for start in (0..len).step_by(CHUNK) {
        let count = CHUNK.min(len - start);
        for offset in 0..count {
            for (buffer, argument) in buffers.iter_mut().zip(arguments(start + offset)) {
                buffer[offset] = argument;
            }
        }
        buffers.iter_mut().for_each(|buffer| map(&mut buffer[..count]));
        for offset in 0..count {
            f(start + offset, buffers.each_ref().map(|buffer| buffer[offset]));
        }
    }
}

/// Gives `f` for each index below `len`, in order, the exponentials of the index's `K` arguments.
pub(super) fn for_each_exp<const K: usize>(
    len: usize,
    arguments: impl FnMut(usize) -> [f32; K],
    f: impl FnMut(usize, [f32; K]),
) {
    for_each_mapped(len, exp, arguments, f);
}

/// Gives `f` for each value, in order, `ln(1 + e^−|x|)` of the value `x`: what the softplus of `x` is above `max(0, x)`.
pub(super) fn for_each_softplus_rest(
    values: impl Fn(usize) -> f32,
    len: usize,
    mut f: impl FnMut(usize, f32),
) {
    let map = |x: &mut [f32]| {
        exp(x);
        x.iter_mut().for_each(|x| *x += 1.0);
        ln(x);
    };
    for_each_mapped(len, map, |i| [-values(i).abs()], |i, [rest]| f(i, rest));
}
