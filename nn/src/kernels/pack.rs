//! Transposed copies of weight matrices, in the order in which a product reads them.

use super::gemm::PANEL;

/// How many values [`pack_transposed`] writes for a `[rows, columns]` matrix.
pub(crate) fn packed_len(rows: usize, columns: usize) -> usize {
    rows.div_ceil(PANEL) * PANEL * columns
}

/// Writes `matrix[rows, columns]ᵀ` as panels of [`PANEL`] columns: `[rows / PANEL, columns, PANEL]`.
///
/// The last panel's unused columns keep what they held.
pub(crate) fn pack_transposed(matrix: &[f32], rows: usize, columns: usize, packed: &mut [f32]) {
    assert!(
        matrix.len() >= rows * columns && packed.len() >= packed_len(rows, columns),
        "[{rows}, {columns}]"
    );
    for (panel_rows, panel) in
        matrix[..rows * columns].chunks(PANEL * columns).zip(packed.chunks_exact_mut(PANEL * columns))
    {
        transpose_strided(panel_rows, panel_rows.len() / columns, columns, panel, PANEL);
    }
}

/// `target[columns, rows] (+)= matrix[rows, columns]ᵀ`.
pub(crate) fn transpose_into(
    matrix: &[f32],
    rows: usize,
    columns: usize,
    accumulate: bool,
    target: &mut [f32],
) {
    assert!(matrix.len() >= rows * columns && target.len() >= rows * columns, "[{rows}, {columns}]");
    if !accumulate {
        return transpose_strided(matrix, rows, columns, target, rows);
    }
    for (column, line) in target.chunks_exact_mut(rows).take(columns).enumerate() {
        for (row, value) in line.iter_mut().enumerate() {
            *value += matrix[row * columns + column];
        }
    }
}

/// Columns whose target lines are in the cache together.
const STRIP: usize = 16;

/// Rows and columns that go through registers together.
const BLOCK: usize = 4;

/// `target[c, r] = matrix[r, c]`, with `stride` between the rows of the target.
pub(crate) fn transpose_strided(
    matrix: &[f32],
    rows: usize,
    columns: usize,
    target: &mut [f32],
    stride: usize,
) {
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(
        matrix.len() >= rows * columns && target.len() >= (columns - 1) * stride + rows,
        "[{rows}, {columns}]"
    );
    let (full_rows, full_columns) = (rows / BLOCK * BLOCK, columns / BLOCK * BLOCK);
    for strip in (0..full_columns).step_by(STRIP) {
        for row in (0..full_rows).step_by(BLOCK) {
            for column in (strip..full_columns.min(strip + STRIP)).step_by(BLOCK) {
                // SAFETY: the block lies inside the matrix, and its transpose inside the target (asserted above).
                unsafe {
                    let from = matrix.as_ptr().add(row * columns + column);
                    transpose_block(from, columns, target.as_mut_ptr().add(column * stride + row), stride);
                }
            }
        }
    }
    for row in 0..rows {
        for column in if row < full_rows { full_columns } else { 0 }..columns {
            target[column * stride + row] = matrix[row * columns + column];
        }
    }
}

/// Transposes four by four values with SSE shuffles, which every x86-64 processor has.
///
/// # Safety
/// Four rows of four values must be readable at `from` and writable at `to`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn transpose_block(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
    use std::arch::x86_64::{_MM_TRANSPOSE4_PS, _mm_loadu_ps, _mm_storeu_ps};
    // SAFETY: the caller vouches for the rows.
    unsafe {
        let mut rows = [0, 1, 2, 3].map(|i| _mm_loadu_ps(from.add(i * from_stride)));
        let [a, b, c, d] = &mut rows;
        _MM_TRANSPOSE4_PS(a, b, c, d);
        for (i, row) in rows.into_iter().enumerate() {
            _mm_storeu_ps(to.add(i * to_stride), row);
        }
    }
}

/// Transposes four by four values.
///
/// # Safety
/// Four rows of four values must be readable at `from` and writable at `to`.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
unsafe fn transpose_block(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
    for i in 0..BLOCK {
        for j in 0..BLOCK {
            // SAFETY: the caller vouches for the rows.
            unsafe { *to.add(j * to_stride + i) = *from.add(i * from_stride + j) };
        }
    }
}
