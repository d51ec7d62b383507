//! Matrix products: `C = init + A · B`, with `B` contiguous along its columns.
//!
//! The product is cut into tiles of `MR` rows by `NR` vectors of columns that stay in registers while the inner
//! dimension is walked once, in order. So an element of `C` is one chain of multiply-adds over `k`, whatever the
//! tile it falls in: results do not depend on how many rows are computed at once.

use pulp::{MemMask, Simd, WithSimd};

use super::simd::{dispatch, first_lanes, load, store};

/// Columns that lie next to each other in a packed `B`.
pub(crate) const PANEL: usize = 64;

/// What an element of `C` starts from.
#[derive(Clone, Copy)]
pub(crate) enum Init<'a> {
    /// Zero: `C` is overwritten.
    Zero,
    /// Its value: the product is added.
    Accumulate,
    /// One value a column.
    Bias(&'a [f32]),
}

/// The left operand `[m, k]`, read element by element with any strides.
#[derive(Clone, Copy)]
pub(crate) struct Left<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
}

/// The right operand `[k, n]`: panels of [`PANEL`] columns, each panel contiguous along its columns.
#[derive(Clone, Copy)]
pub(crate) struct Right<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) row_stride: usize,
    pub(crate) panel_stride: usize,
}

impl<'a> Right<'a> {
    /// A plain row-major matrix `[k, n]`.
    pub(crate) fn rows(data: &'a [f32], n: usize) -> Self {
        Self { data, row_stride: n, panel_stride: PANEL }
    }

    /// A matrix `[k, n]` packed by [`super::pack::pack_transposed`].
    pub(crate) fn packed(data: &'a [f32], k: usize) -> Self {
        Self { data, row_stride: PANEL, panel_stride: PANEL * k }
    }
}

/// `c[m, n] = init + left[m, k] · right[k, n]`, `c` row-major.
pub(crate) fn gemm(
    (m, n, k): (usize, usize, usize),
    left: Left<'_>,
    right: Right<'_>,
    init: Init<'_>,
    c: &mut [f32],
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(c.len() >= m * n, "c holds [{m}, {n}], got {}", c.len());
    if k > 0 {
        let left_end = (m - 1) * left.row_stride + (k - 1) * left.column_stride;
        assert!(left_end < left.data.len(), "left holds [{m}, {k}]");
        let last_panel = (n - 1) / PANEL;
        let right_end = last_panel * right.panel_stride + (k - 1) * right.row_stride + (n - 1) % PANEL;
        // Panels do not shrink along the matrix, so the last element of the last panel is the furthest one, except
        // that a full panel before it may reach as far.
        let full_end = last_panel.saturating_sub(1) * right.panel_stride
            + (k - 1) * right.row_stride
            + (n - 1).min(PANEL - 1);
        assert!(right_end.max(full_end) < right.data.len(), "right holds [{k}, {n}]");
    }
    if let Init::Bias(bias) = init {
        assert!(bias.len() >= n, "bias holds [{n}], got {}", bias.len());
    }
    dispatch(Gemm { m, n, k, left, right, init, c });
}

struct Gemm<'a> {
    m: usize,
    n: usize,
    k: usize,
    left: Left<'a>,
    right: Right<'a>,
    init: Init<'a>,
    c: &'a mut [f32],
}

impl WithSimd for Gemm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let wide = S::REGISTER_COUNT >= 32;
        let c = self.c.as_mut_ptr();
        let group = if wide { 4 } else { 2 } * S::F32_LANES;
        let mut column = 0;
        while column < self.n {
            let in_panel = column % PANEL;
            let width = group.min(self.n - column).min(PANEL - in_panel);
            let b = (column / PANEL) * self.right.panel_stride + in_panel;
            let columns = Columns { column, b, c, rest: width % S::F32_LANES };
            // SAFETY: `gemm` has checked the extents of all operands; `width` stays inside the panel and `n`.
            unsafe {
                match width.div_ceil(S::F32_LANES) {
                    1 => self.columns::<S, 1>(simd, columns),
                    2 => self.columns::<S, 2>(simd, columns),
                    3 if wide => self.columns::<S, 3>(simd, columns),
                    4 if wide => self.columns::<S, 4>(simd, columns),
                    _ => unreachable!("a group has at most {group} columns"),
                }
            }
            column += width;
        }
    }
}

/// A group of neighbouring columns, at most `NR` vectors wide.
#[derive(Clone, Copy)]
struct Columns {
    /// The first column of `C`.
    column: usize,
    /// Where that column starts in the right operand's data.
    b: usize,
    /// Where `C` starts.
    c: *mut f32,
    /// How many lanes of the last vector are used; 0 for all.
    rest: usize,
}

/// What a tile reads and writes.
struct Operands {
    a: *const f32,
    a_row: usize,
    a_column: usize,
    b: *const f32,
    b_row: usize,
    c: *mut f32,
    c_row: usize,
}

impl Gemm<'_> {
    /// Computes all rows of one group of columns.
    ///
    /// # Safety
    /// The operands must hold the extents `m`, `n`, `k`, and the group must lie inside them.
    #[inline(always)]
    unsafe fn columns<S: Simd, const NR: usize>(&self, simd: S, columns: Columns) {
        // SAFETY: passed on.
        unsafe {
            if columns.rest == 0 {
                self.rows::<S, NR, false>(simd, columns);
            } else {
                self.rows::<S, NR, true>(simd, columns);
            }
        }
    }

    /// # Safety
    /// As for [`Self::columns`].
    #[inline(always)]
    unsafe fn rows<S: Simd, const NR: usize, const PARTIAL: bool>(&self, simd: S, columns: Columns) {
        const MR: usize = 6;
        let bias = match self.init {
            // SAFETY: the bias holds `n` values, `column` is less than `n`.
            Init::Bias(bias) => unsafe { bias.as_ptr().add(columns.column) },
            Init::Zero | Init::Accumulate => std::ptr::null(),
        };
        let accumulate = matches!(self.init, Init::Accumulate);
        let mask = if PARTIAL { Some(first_lanes(simd, columns.rest)) } else { None };
        let mut row = 0;
        while row < self.m {
            // SAFETY: row < m, and the group of columns lies inside the operands.
            let operands = unsafe {
                Operands {
                    a: self.left.data.as_ptr().add(row * self.left.row_stride),
                    a_row: self.left.row_stride,
                    a_column: self.left.column_stride,
                    b: self.right.data.as_ptr().add(columns.b),
                    b_row: self.right.row_stride,
                    c: columns.c.add(row * self.n + columns.column),
                    c_row: self.n,
                }
            };
            // SAFETY: each tile has as many rows as are left, or fewer.
            unsafe {
                match self.m - row {
                    1 => tile::<S, 1, NR>(simd, self.k, &operands, bias, accumulate, mask),
                    2 => tile::<S, 2, NR>(simd, self.k, &operands, bias, accumulate, mask),
                    3 => tile::<S, 3, NR>(simd, self.k, &operands, bias, accumulate, mask),
                    4 => tile::<S, 4, NR>(simd, self.k, &operands, bias, accumulate, mask),
                    5 => tile::<S, 5, NR>(simd, self.k, &operands, bias, accumulate, mask),
                    _ => tile::<S, MR, NR>(simd, self.k, &operands, bias, accumulate, mask),
                }
            }
            row += MR;
        }
    }
}

/// One tile of `MR` rows by `NR` vectors.
///
/// # Safety
/// `a` must be readable at `[MR, k]`, `b` at `[k, NR vectors]` and `c` writable at `[MR, NR vectors]`, with their
/// strides; of the last vector only the lanes in `mask`, if there is one.
#[inline(always)]
unsafe fn tile<S: Simd, const MR: usize, const NR: usize>(
    simd: S,
    k: usize,
    operands: &Operands,
    bias: *const f32,
    accumulate: bool,
    mask: Option<MemMask<S::m32s>>,
) {
    let &Operands { mut a, a_row, a_column, mut b, b_row, c, c_row } = operands;
    let lanes = S::F32_LANES;
    // SAFETY (of both closures): the caller vouches for the vector at `ptr`, or its masked lanes.
    let load_at = |ptr: *const f32, j: usize| unsafe {
        match mask {
            Some(mask) if j == NR - 1 => simd.mask_load_ptr_f32s(mask, ptr.add(j * lanes)),
            _ => load::<S>(ptr.add(j * lanes)),
        }
    };
    let store_at = |ptr: *mut f32, j: usize, value: S::f32s| unsafe {
        match mask {
            Some(mask) if j == NR - 1 => simd.mask_store_ptr_f32s(mask, ptr.add(j * lanes), value),
            _ => store::<S>(ptr.add(j * lanes), value),
        }
    };

    let mut sums = [[simd.splat_f32s(0.0); NR]; MR];
    if accumulate {
        for (i, row) in sums.iter_mut().enumerate() {
            for (j, sum) in row.iter_mut().enumerate() {
                // SAFETY: row i < MR of the tile.
                *sum = load_at(unsafe { c.add(i * c_row) }, j);
            }
        }
    } else if !bias.is_null() {
        for j in 0..NR {
            let value = load_at(bias, j);
            for row in &mut sums {
                row[j] = value;
            }
        }
    }
    for _ in 0..k {
        let mut right = [simd.splat_f32s(0.0); NR];
        for (j, value) in right.iter_mut().enumerate() {
            *value = load_at(b, j);
        }
        for (i, row) in sums.iter_mut().enumerate() {
            // SAFETY: row i < MR of the left operand.
            let left = simd.splat_f32s(unsafe { *a.add(i * a_row) });
            for (sum, &right) in row.iter_mut().zip(&right) {
                *sum = simd.mul_add_e_f32s(left, right, *sum);
            }
        }
        // The step after the last one may leave the operands, hence the wrapping.
        a = a.wrapping_add(a_column);
        b = b.wrapping_add(b_row);
    }
    for (i, row) in sums.iter().enumerate() {
        for (j, &sum) in row.iter().enumerate() {
            // SAFETY: row i < MR of the tile.
            store_at(unsafe { c.add(i * c_row) }, j, sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_agree_with_the_definition_for_all_tile_remainders() {
        let value = |i: usize| ((i * 7919 + 13) % 101) as f32 / 50.0 - 1.0;
        for (m, n, k) in
            [(1, 1, 1), (6, 64, 8), (7, 65, 3), (13, 70, 17), (5, 15, 9), (12, 130, 4), (3, 33, 0)]
        {
            let a: Vec<f32> = (0..m * k).map(value).collect();
            let b: Vec<f32> = (0..k * n).map(|i| value(i + 5)).collect();
            let bias: Vec<f32> = (0..n).map(|i| value(i + 11)).collect();
            let mut c = vec![0.5; m * n];
            let left = Left { data: &a, row_stride: k, column_stride: 1 };
            let expect = |i: usize, j: usize, start: f64| {
                (0..k).fold(start, |sum, p| sum + f64::from(a[i * k + p]) * f64::from(b[p * n + j]))
            };
            for (init, start) in [(Init::Accumulate, 0.5), (Init::Zero, 0.0), (Init::Bias(&bias), f64::NAN)] {
                gemm((m, n, k), left, Right::rows(&b, n), init, &mut c);
                for i in 0..m {
                    for j in 0..n {
                        let start = if start.is_nan() { f64::from(bias[j]) } else { start };
                        let difference = f64::from(c[i * n + j]) - expect(i, j, start);
                        assert!(difference.abs() < 1e-5, "[{m}, {n}, {k}] at [{i}, {j}]: {difference}");
                    }
                }
            }
        }
    }
}
