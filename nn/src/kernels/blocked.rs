//! Products with a long inner dimension.

use super::gemm::{Left, Right, Start, gemm_strided};

/// Inner dimension of a product that is computed at once: the right operand's part stays in the nearest cache.
const BLOCK: usize = 96;

/// `c[m, n] = start + left[m, k] · right[k, n]`, `right` and `c` row-major with strides, a part of `k` at a time.
///
/// An element is the same chain of multiply-adds as that of [`super::gemm`].
pub(crate) fn gemm_blocked(
    (m, n, k): (usize, usize, usize),
    left: Left<'_>,
    right: &[f32],
    right_stride: usize,
    start: Start<'_>,
    c: &mut [f32],
    c_stride: usize,
) {
    for from in (0..k).step_by(BLOCK) {
        let left = Left { data: &left.data[from * left.column_stride..], ..left };
        let right = Right { row_stride: right_stride, ..Right::rows(&right[from * right_stride..], n) };
        let start = if from == 0 { start } else { Start::Accumulate };
        gemm_strided((m, n, BLOCK.min(k - from)), left, right, start, c, c_stride);
    }
}
