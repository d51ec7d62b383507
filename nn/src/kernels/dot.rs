//! Products with few columns: one dot product along the inner dimension for each element.

use pulp::{Simd, WithSimd};

use super::simd::{dispatch, first_lanes, load};

/// `c[m, n] = bias[n] + a[m, k] · b[n, k]ᵀ`, all row-major.
///
/// A row's sums do not depend on the other rows.
pub(crate) fn dot_rows((m, n, k): (usize, usize, usize), a: &[f32], b: &[f32], bias: &[f32], c: &mut [f32]) {
    assert!(a.len() >= m * k && b.len() >= n * k && bias.len() >= n && c.len() >= m * n, "[{m}, {n}, {k}]");
    dispatch(DotRows { m, n, k, a, b, bias, c });
}

struct DotRows<'a> {
    m: usize,
    n: usize,
    k: usize,
    a: &'a [f32],
    b: &'a [f32],
    bias: &'a [f32],
    c: &'a mut [f32],
}

impl WithSimd for DotRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { m, n, k, a, b, bias, c } = self;
        let mut row = 0;
        while row < m {
            let rows = (m - row).min(4);
            // SAFETY: the operands hold the extents (checked by `dot_rows`); row + rows <= m.
            unsafe {
                let (a, c) = (a.as_ptr().add(row * k), c.as_mut_ptr().add(row * n));
                match rows {
                    4 => columns::<S, 4>(simd, n, k, a, b, bias, c),
                    3 => columns::<S, 3>(simd, n, k, a, b, bias, c),
                    2 => columns::<S, 2>(simd, n, k, a, b, bias, c),
                    _ => columns::<S, 1>(simd, n, k, a, b, bias, c),
                }
            }
            row += rows;
        }
    }
}

/// `R` rows times all columns, two by two.
///
/// # Safety
/// `a` must be readable at `[R, k]`, `c` writable at `[R, n]`, and `b` hold `[n, k]`, `bias` `[n]`.
#[inline(always)]
unsafe fn columns<S: Simd, const R: usize>(
    simd: S,
    n: usize,
    k: usize,
    a: *const f32,
    b: &[f32],
    bias: &[f32],
    c: *mut f32,
) {
    let mut column = 0;
    // SAFETY: column < n, and column + 1 < n where two columns are computed.
    unsafe {
        while column + 1 < n {
            dots::<S, R, 2>(simd, n, k, a, b.as_ptr().add(column * k), &bias[column..], c.add(column));
            column += 2;
        }
        if column < n {
            dots::<S, R, 1>(simd, n, k, a, b.as_ptr().add(column * k), &bias[column..], c.add(column));
        }
    }
}

/// `R` rows times `C` columns.
///
/// # Safety
/// `a` must be readable at `[R, k]`, `b` at `[C, k]`, `c` writable at `[R, C]` with stride `n`.
#[inline(always)]
unsafe fn dots<S: Simd, const R: usize, const C: usize>(
    simd: S,
    n: usize,
    k: usize,
    a: *const f32,
    b: *const f32,
    bias: &[f32],
    c: *mut f32,
) {
    let (full, rest) = (k / S::F32_LANES * S::F32_LANES, k % S::F32_LANES);
    let mut sums = [[simd.splat_f32s(0.0); C]; R];
    let mut i = 0;
    while i < full {
        for (row, sums) in sums.iter_mut().enumerate() {
            for (column, sum) in sums.iter_mut().enumerate() {
                // SAFETY: i + F32_LANES <= k, in rows of both operands.
                let (left, right) =
                    unsafe { (load::<S>(a.add(row * k + i)), load::<S>(b.add(column * k + i))) };
                *sum = simd.mul_add_e_f32s(left, right, *sum);
            }
        }
        i += S::F32_LANES;
    }
    if rest > 0 {
        let mask = first_lanes(simd, rest);
        for (row, sums) in sums.iter_mut().enumerate() {
            for (column, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the mask covers the `rest` values left of both rows.
                let (left, right) = unsafe {
                    let left = simd.mask_load_ptr_f32s(mask, a.add(row * k + full));
                    (left, simd.mask_load_ptr_f32s(mask, b.add(column * k + full)))
                };
                *sum = simd.mul_add_e_f32s(left, right, *sum);
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        for (column, &sum) in sums.iter().enumerate() {
            // SAFETY: row < R and column < C.
            unsafe { *c.add(row * n + column) = simd.reduce_sum_f32s(sum) + bias[column] };
        }
    }
}
