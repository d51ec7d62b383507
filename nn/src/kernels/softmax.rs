//! Softmax of the rows of attention, in parts: the sum in between is a product with ones, whose order does not depend on
//! how many masked keys lie in between.

use pulp::{Simd, WithSimd};

use super::simd::{dispatch, load_at, store_at};
use super::{gemm, math};
use crate::kernels::{Left, Pooled, Right, Start};

/// Replaces scores by probabilities: `softmax(scale · scores + mask)` along rows of `columns`.
///
/// `mask` has a value for each score, zero or minus infinity; empty for zeros. Where it is minus infinity the result is
/// exactly zero, in all places of a row without anything else too.
pub(crate) fn softmax_rows(columns: usize, scale: f32, mask: &[f32], scores: &mut [f32]) {
    softmax_numerators(columns, scale, mask, scores);
    let rows = scores.len() / columns;
    let mut memory = Pooled::take(rows + columns);
    let (sums, ones) = memory.split_at_mut(rows);
    ones.fill(1.0);
    gemm((rows, 1, columns), Left::rows(scores, columns), Right::rows(ones, 1), Start::Zero, sums);
    divide_rows(columns, sums, scores);
}

/// Replaces scores by `exp(scale · score + mask − m)`, where `m` is the greatest of a row.
pub(crate) fn softmax_numerators(columns: usize, scale: f32, mask: &[f32], scores: &mut [f32]) {
    assert!(columns > 0 && scores.len().is_multiple_of(columns), "rows of {columns}");
    assert!(mask.is_empty() || mask.len() == scores.len(), "a mask for each score");
    dispatch(Numerators { columns, scale, mask, scores });
}

/// Divides each row by its sum; rows whose sum is zero stay zeros.
pub(crate) fn divide_rows(columns: usize, sums: &[f32], values: &mut [f32]) {
    assert!(columns > 0 && values.len() == sums.len() * columns, "rows of {columns}");
    dispatch(DivideRows { columns, sums, values });
}

/// Turns the gradient of probabilities into that of scores: `scale · p · (delta − Σ p · delta)`.
pub(crate) fn softmax_gradient(columns: usize, scale: f32, probabilities: &[f32], delta: &mut [f32]) {
    assert!(columns > 0 && delta.len().is_multiple_of(columns), "rows of {columns}");
    assert_eq!(probabilities.len(), delta.len(), "a probability for each gradient");
    dispatch(SoftmaxGradient { columns, scale, probabilities, delta });
}

struct Numerators<'a> {
    columns: usize,
    scale: f32,
    mask: &'a [f32],
    scores: &'a mut [f32],
}

impl WithSimd for Numerators<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { columns, scale, mask, scores } = self;
        let scale = simd.splat_f32s(scale);
        let lowest = simd.splat_f32s(f32::NEG_INFINITY);
        for (row, scores) in scores.chunks_exact_mut(columns).enumerate() {
            let ptr = scores.as_mut_ptr();
            let mask = mask.get(row * columns..(row + 1) * columns);
            let mut greatest = lowest;
            let mut at = 0;
            // SAFETY (of both loops): at < columns, the length of the row, and of its mask.
            while at < columns {
                let mut x = simd.mul_f32s(scale, unsafe { load_at(simd, ptr, at, columns) });
                if let Some(mask) = mask {
                    x = simd.add_f32s(x, unsafe { load_at(simd, mask.as_ptr(), at, columns) });
                }
                unsafe { store_at(simd, ptr, at, columns, x) };
                if at + S::F32_LANES > columns {
                    let lanes = simd.mask_between_m32s(0, (columns - at) as u32).mask();
                    x = simd.select_f32s(lanes, x, lowest);
                }
                greatest = simd.max_f32s(greatest, x);
                at += S::F32_LANES;
            }
            let greatest = simd.reduce_max_f32s(greatest);
            // Without anything to attend to: minus infinity less zero, whose exponential is zero.
            let shift = simd.splat_f32s(if greatest == f32::NEG_INFINITY { 0.0 } else { greatest });
            let mut at = 0;
            while at < columns {
                let x = unsafe { load_at(simd, ptr, at, columns) };
                let value = math::exp(simd, simd.sub_f32s(x, shift));
                unsafe { store_at(simd, ptr, at, columns, value) };
                at += S::F32_LANES;
            }
        }
    }
}

struct DivideRows<'a> {
    columns: usize,
    sums: &'a [f32],
    values: &'a mut [f32],
}

impl WithSimd for DivideRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for (values, &sum) in self.values.chunks_exact_mut(self.columns).zip(self.sums) {
            let factor = simd.splat_f32s(if sum == 0.0 { 0.0 } else { 1.0 / sum });
            let ptr = values.as_mut_ptr();
            let mut at = 0;
            while at < self.columns {
                // SAFETY: at < columns, the length of the row.
                unsafe {
                    let x = load_at(simd, ptr, at, self.columns);
                    store_at(simd, ptr, at, self.columns, simd.mul_f32s(factor, x));
                }
                at += S::F32_LANES;
            }
        }
    }
}

struct SoftmaxGradient<'a> {
    columns: usize,
    scale: f32,
    probabilities: &'a [f32],
    delta: &'a mut [f32],
}

impl WithSimd for SoftmaxGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { columns, scale, probabilities, delta } = self;
        let scale = simd.splat_f32s(scale);
        for (p, delta) in probabilities.chunks_exact(columns).zip(delta.chunks_exact_mut(columns)) {
            let (p, ptr) = (p.as_ptr(), delta.as_mut_ptr());
            let mut sum = simd.splat_f32s(0.0);
            let mut at = 0;
            // SAFETY (of both loops): at < columns, the length of both rows.
            while at < columns {
                let (p, d) = unsafe { (load_at(simd, p, at, columns), load_at(simd, ptr, at, columns)) };
                sum = simd.mul_add_e_f32s(p, d, sum);
                at += S::F32_LANES;
            }
            let sum = simd.splat_f32s(simd.reduce_sum_f32s(sum));
            let mut at = 0;
            while at < columns {
                let (p, d) = unsafe { (load_at(simd, p, at, columns), load_at(simd, ptr, at, columns)) };
                let value = simd.mul_f32s(simd.mul_f32s(scale, p), simd.sub_f32s(d, sum));
                unsafe { store_at(simd, ptr, at, columns, value) };
                at += S::F32_LANES;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_sum_to_one_and_masked_places_are_zero() {
        for columns in [1, 5, 16, 33] {
            let mut scores: Vec<f32> = (0..3 * columns).map(|i| (i % 7) as f32 - 3.0).collect();
            let mut mask = vec![0.0; 3 * columns];
            mask[columns] = f32::NEG_INFINITY;
            mask[2 * columns..].fill(f32::NEG_INFINITY);
            softmax_rows(columns, 2.0, &mask, &mut scores);
            let sums: Vec<f32> = scores.chunks_exact(columns).map(|row| row.iter().sum()).collect();
            assert!((sums[0] - 1.0).abs() < 1e-6, "{columns}: {sums:?}");
            assert!(columns == 1 || (sums[1] - 1.0).abs() < 1e-6, "{columns}: {sums:?}");
            assert_eq!((scores[columns], sums[2]), (0.0, 0.0));
        }
    }

    #[test]
    fn large_scores_do_not_overflow() {
        let mut scores = [1e4, -1e4, 1e4, 0.0];
        softmax_rows(4, 1.0, &[], &mut scores);
        assert_eq!(scores, [0.5, 0.0, 0.5, 0.0]);
    }
}
