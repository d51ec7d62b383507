//! Matrix products: `C = start + A · B`, with `B` contiguous along its columns.
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
pub(crate) enum Start<'a> {
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

impl<'a> Left<'a> {
    /// A row-major matrix `[m, k]`.
    pub(crate) fn rows(data: &'a [f32], k: usize) -> Self {
        Self { data, row_stride: k, column_stride: 1 }
    }

    /// The transpose of a row-major matrix `[k, m]`.
    pub(crate) fn transposed(data: &'a [f32], m: usize) -> Self {
        Self { data, row_stride: 1, column_stride: m }
    }
}

/// A left operand `[m, k]` whose element `[i, p]` lies at `rows[i] + columns[p]`: the patches of an image, in place.
#[derive(Clone, Copy)]
pub(crate) struct Gathered<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) rows: &'a [u32],
    pub(crate) columns: &'a [u32],
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

    /// Checks that a matrix `[k, n]` lies inside the data.
    fn check(&self, k: usize, n: usize) {
        let last_panel = (n - 1) / PANEL;
        let right_end = last_panel * self.panel_stride + (k - 1) * self.row_stride + (n - 1) % PANEL;
        // Panels do not shrink along the matrix, so the last element of the last panel is the furthest one, except
        // that a full panel before it may reach as far.
        let full_end = last_panel.saturating_sub(1) * self.panel_stride
            + (k - 1) * self.row_stride
            + (n - 1).min(PANEL - 1);
        assert!(right_end.max(full_end) < self.data.len(), "right holds [{k}, {n}]");
    }
}

/// `c[m, n] = start + left[m, k] · right[k, n]`, `c` row-major.
pub(crate) fn gemm(
    (m, n, k): (usize, usize, usize),
    left: Left<'_>,
    right: Right<'_>,
    start: Start<'_>,
    c: &mut [f32],
) {
    gemm_strided((m, n, k), left, right, start, c, n);
}

/// As [`gemm`], with `c_stride` from row to row of `c`.
pub(crate) fn gemm_strided(
    (m, n, k): (usize, usize, usize),
    left: Left<'_>,
    right: Right<'_>,
    start: Start<'_>,
    c: &mut [f32],
    c_stride: usize,
) {
    if m == 0 || n == 0 {
        return;
    }
    if k > 0 {
        let left_end = (m - 1) * left.row_stride + (k - 1) * left.column_stride;
        assert!(left_end < left.data.len(), "left holds [{m}, {k}]");
        right.check(k, n);
    }
    check_target(m, n, start, c, c_stride);
    dispatch(Gemm { m, n, k, left, right, start, c, c_stride });
}

/// As [`gemm_strided`], with a gathered left operand.
pub(crate) fn gemm_gathered(
    (m, n, k): (usize, usize, usize),
    left: Gathered<'_>,
    right: Right<'_>,
    start: Start<'_>,
    c: &mut [f32],
    c_stride: usize,
) {
    if m == 0 || n == 0 {
        return;
    }
    let (rows, columns) = (&left.rows[..m], &left.columns[..k]);
    if let (Some(&row), Some(&column)) = (rows.iter().max(), columns.iter().max()) {
        assert!(row as usize + (column as usize) < left.data.len(), "left holds [{m}, {k}]");
        right.check(k, n);
    }
    check_target(m, n, start, c, c_stride);
    dispatch(Gemm { m, n, k, left, right, start, c, c_stride });
}

fn check_target(m: usize, n: usize, start: Start<'_>, c: &[f32], c_stride: usize) {
    assert!(c_stride >= n && c.len() >= (m - 1) * c_stride + n, "c holds [{m}, {n}], got {}", c.len());
    match start {
        Start::Bias(bias) => assert!(bias.len() >= n, "bias holds [{n}], got {}", bias.len()),
        Start::Zero | Start::Accumulate => {}
    }
}

/// How a tile reads its rows of the left operand, one column after the other.
trait Address: Copy {
    /// Where a tile of `MR` rows is read.
    type Tile<const MR: usize>;

    /// The tile that begins with `row`.
    ///
    /// # Safety
    /// `row + MR` rows must be there.
    unsafe fn tile<const MR: usize>(self, row: usize) -> Self::Tile<MR>;

    /// The offset of column `p` in every row.
    ///
    /// # Safety
    /// The column must be there.
    unsafe fn column(self, p: usize) -> usize;

    /// The element in row `i` of the tile, at the offset of a column.
    ///
    /// # Safety
    /// The element must be there.
    unsafe fn get<const MR: usize>(self, tile: &Self::Tile<MR>, i: usize, column: usize) -> f32;
}

impl Address for Left<'_> {
    type Tile<const MR: usize> = *const f32;

    #[inline(always)]
    unsafe fn tile<const MR: usize>(self, row: usize) -> *const f32 {
        // SAFETY: the caller vouches for the row.
        unsafe { self.data.as_ptr().add(row * self.row_stride) }
    }

    #[inline(always)]
    unsafe fn column(self, p: usize) -> usize {
        p * self.column_stride
    }

    #[inline(always)]
    unsafe fn get<const MR: usize>(self, tile: &*const f32, i: usize, column: usize) -> f32 {
        // SAFETY: the caller vouches for the element.
        unsafe { *tile.add(column).add(i * self.row_stride) }
    }
}

impl Address for Gathered<'_> {
    type Tile<const MR: usize> = [*const f32; MR];

    #[inline(always)]
    unsafe fn tile<const MR: usize>(self, row: usize) -> [*const f32; MR] {
        // SAFETY: the caller vouches for the rows.
        std::array::from_fn(|i| unsafe { self.data.as_ptr().add(*self.rows.get_unchecked(row + i) as usize) })
    }

    #[inline(always)]
    unsafe fn column(self, p: usize) -> usize {
        // SAFETY: the caller vouches for the column.
        unsafe { *self.columns.get_unchecked(p) as usize }
    }

    #[inline(always)]
    unsafe fn get<const MR: usize>(self, tile: &[*const f32; MR], i: usize, column: usize) -> f32 {
        // SAFETY: the caller vouches for the element.
        unsafe { *tile[i].add(column) }
    }
}

struct Gemm<'a, L> {
    m: usize,
    n: usize,
    k: usize,
    left: L,
    right: Right<'a>,
    start: Start<'a>,
    c: &'a mut [f32],
    c_stride: usize,
}

impl<L: Address> WithSimd for Gemm<'_, L> {
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
            // SAFETY: the callers have checked the extents of all operands; `width` stays inside the panel and `n`.
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

/// What a tile reads and writes besides its rows of the left operand.
#[derive(Clone, Copy)]
struct Operands<M> {
    k: usize,
    b: *const f32,
    b_row: usize,
    c: *mut f32,
    c_row: usize,
    /// Where the columns' start values lie; null without.
    bias: *const f32,
    accumulate: bool,
    /// The lanes of the last vector, if not all are used.
    mask: Option<M>,
}

impl<L: Address> Gemm<'_, L> {
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
        let mut operands = Operands {
            k: self.k,
            // SAFETY: the group's first column lies inside the right operand.
            b: unsafe { self.right.data.as_ptr().add(columns.b) },
            b_row: self.right.row_stride,
            // SAFETY: and inside `c`.
            c: unsafe { columns.c.add(columns.column) },
            c_row: self.c_stride,
            bias: match self.start {
                // SAFETY: the bias holds `n` values, `column` is less than `n`.
                Start::Bias(bias) => unsafe { bias.as_ptr().add(columns.column) },
                _ => std::ptr::null(),
            },
            accumulate: matches!(self.start, Start::Accumulate),
            mask: if PARTIAL { Some(first_lanes(simd, columns.rest)) } else { None },
        };
        let wide = S::REGISTER_COUNT >= 32;
        let mut row = 0;
        while row < self.m {
            let left = self.m - row;
            // SAFETY: each tile has as many rows as are left, or fewer; `c` holds them.
            unsafe {
                let rows = match left {
                    // Narrow tiles are taller, so that enough sums are under way to hide a multiply-add's latency;
                    // and low enough that the compiler may load a whole column of `left` ahead.
                    12.. if NR == 1 && wide => tile::<S, L, 12, NR>(simd, self.left, row, &operands),
                    8.. if NR == 2 && wide => tile::<S, L, 8, NR>(simd, self.left, row, &operands),
                    6.. => tile::<S, L, 6, NR>(simd, self.left, row, &operands),
                    5 => tile::<S, L, 5, NR>(simd, self.left, row, &operands),
                    4 => tile::<S, L, 4, NR>(simd, self.left, row, &operands),
                    3 => tile::<S, L, 3, NR>(simd, self.left, row, &operands),
                    2 => tile::<S, L, 2, NR>(simd, self.left, row, &operands),
                    _ => tile::<S, L, 1, NR>(simd, self.left, row, &operands),
                };
                row += rows;
                operands.c = operands.c.wrapping_add(rows * self.c_stride);
            }
        }
    }
}

/// One tile of `MR` rows by `NR` vectors; returns `MR`.
///
/// # Safety
/// `left` must hold `[row + MR, k]`, `b` be readable at `[k, NR vectors]` and `c` writable at `[MR, NR vectors]`, with
/// their strides; of the last vector only the lanes in the mask, if there is one.
#[inline(always)]
unsafe fn tile<S: Simd, L: Address, const MR: usize, const NR: usize>(
    simd: S,
    left: L,
    row: usize,
    operands: &Operands<MemMask<S::m32s>>,
) -> usize {
    let &Operands { k, mut b, b_row, c, c_row, bias, accumulate, mask } = operands;
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
    // SAFETY: the caller vouches for the rows.
    let a = unsafe { left.tile::<MR>(row) };
    for p in 0..k {
        let mut right = [simd.splat_f32s(0.0); NR];
        for (j, value) in right.iter_mut().enumerate() {
            *value = load_at(b, j);
        }
        // SAFETY: p < k.
        let column = unsafe { left.column(p) };
        for (i, row) in sums.iter_mut().enumerate() {
            // SAFETY: row i < MR of the tile.
            let left = simd.splat_f32s(unsafe { left.get::<MR>(&a, i, column) });
            for (sum, &right) in row.iter_mut().zip(&right) {
                *sum = simd.mul_add_e_f32s(left, right, *sum);
            }
        }
        // The step after the last one may leave the operand, hence the wrapping.
        b = b.wrapping_add(b_row);
    }
    for (i, row) in sums.iter().enumerate() {
        for (j, &sum) in row.iter().enumerate() {
            // SAFETY: row i < MR of the tile.
            store_at(unsafe { c.add(i * c_row) }, j, sum);
        }
    }
    MR
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
            for (init, start) in
                [(Start::Accumulate, 0.5), (Start::Zero, 0.0), (Start::Bias(&bias), f64::NAN)]
            {
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

    #[test]
    fn gathered_products_read_patches_in_place() {
        let value = |i: usize| ((i * 7919 + 13) % 101) as f32 / 50.0 - 1.0;
        let data: Vec<f32> = (0..400).map(value).collect();
        for (m, n, k) in [(1, 1, 1), (13, 16, 9), (25, 33, 12), (7, 70, 5)] {
            let rows: Vec<u32> = (0..m as u32).map(|i| (i * 37) % 200).collect();
            let columns: Vec<u32> = (0..k as u32).map(|p| (p * 53) % 200).collect();
            let left: Vec<f32> = rows
                .iter()
                .flat_map(|r| columns.iter().map(move |c| (r + c) as usize))
                .map(|at| data[at])
                .collect();
            let b: Vec<f32> = (0..k * n).map(|i| value(i + 5)).collect();
            let (mut expected, mut got) = (vec![0.0; m * n], vec![9.0; m * (n + 3)]);
            gemm((m, n, k), Left::rows(&left, k), Right::rows(&b, n), Start::Zero, &mut expected);
            let gathered = Gathered { data: &data, rows: &rows, columns: &columns };
            gemm_gathered((m, n, k), gathered, Right::rows(&b, n), Start::Zero, &mut got, n + 3);
            for (expected, got) in expected.chunks(n).zip(got.chunks(n + 3)) {
                assert_eq!(&got[..n], expected, "[{m}, {n}, {k}]");
                assert_eq!(got[n..], [9.0; 3], "the gap between rows is left alone");
            }
        }
    }
}
