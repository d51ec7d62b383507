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
    // What whole cache lines leave goes in small blocks, and what those leave one by one.
    let (whole_rows, whole_columns) = transpose_lines(matrix, rows, columns, target, stride);
    let (full_rows, full_columns) = (rows / BLOCK * BLOCK, columns / BLOCK * BLOCK);
    for strip in (0..full_columns).step_by(STRIP) {
        let first_row = if strip < whole_columns { whole_rows } else { 0 };
        for row in (first_row..full_rows).step_by(BLOCK) {
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

/// Transposes as many rows and columns as fill whole cache lines, on processors that have such registers; says how many.
fn transpose_lines(
    matrix: &[f32],
    rows: usize,
    columns: usize,
    target: &mut [f32],
    stride: usize,
) -> (usize, usize) {
    #[cfg(target_arch = "x86_64")]
    if rows >= STRIP && columns >= STRIP && pulp::x86::V4::try_new().is_some() {
        let (whole_rows, whole_columns) = (rows / STRIP * STRIP, columns / STRIP * STRIP);
        for row in (0..whole_rows).step_by(STRIP) {
            for column in (0..whole_columns).step_by(STRIP) {
                // SAFETY: the square lies inside the matrix, and its transpose inside the target (`transpose_strided`); the
                // processor has the instructions.
                unsafe {
                    let from = matrix.as_ptr().add(row * columns + column);
                    transpose_square(from, columns, target.as_mut_ptr().add(column * stride + row), stride);
                }
            }
        }
        return (whole_rows, whole_columns);
    }
    let _ = (matrix, target, stride);
    (0, 0)
}

/// Transposes 16 by 16 values, so that whole cache lines are read and written.
///
/// # Safety
/// 16 rows of 16 values must be readable at `from` and writable at `to`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn transpose_square(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
    use std::arch::x86_64::{
        __m512, _mm512_castpd_ps, _mm512_castps_pd, _mm512_loadu_ps, _mm512_shuffle_f32x4, _mm512_storeu_ps,
        _mm512_unpackhi_pd, _mm512_unpackhi_ps, _mm512_unpacklo_pd, _mm512_unpacklo_ps,
    };
    /// Lanes of 128 bits with even numbers, of two vectors, and with odd ones.
    const EVEN: i32 = 0b10_00_10_00;
    const ODD: i32 = 0b11_01_11_01;
    // SAFETY: the caller vouches for the rows.
    let rows: [__m512; 16] = std::array::from_fn(|i| unsafe { _mm512_loadu_ps(from.add(i * from_stride)) });
    // Pairs of rows, then fours: vector 4 g + j holds in lane l what rows 4 g to 4 g + 3 have in column 4 l + j.
    let pairs: [__m512; 16] = std::array::from_fn(|i| match i % 2 {
        0 => _mm512_unpacklo_ps(rows[i], rows[i + 1]),
        _ => _mm512_unpackhi_ps(rows[i - 1], rows[i]),
    });
    let fours: [__m512; 16] = std::array::from_fn(|i| {
        let first = i / 4 * 4 + i % 4 / 2;
        let [a, b] = [pairs[first], pairs[first + 2]].map(|pair| _mm512_castps_pd(pair));
        _mm512_castpd_ps(if i % 2 == 0 { _mm512_unpacklo_pd(a, b) } else { _mm512_unpackhi_pd(a, b) })
    });
    for j in 0..4 {
        let [a, b, c, d] = [fours[j], fours[4 + j], fours[8 + j], fours[12 + j]];
        let [even, even_below] = [_mm512_shuffle_f32x4::<EVEN>(a, b), _mm512_shuffle_f32x4::<EVEN>(c, d)];
        let [odd, odd_below] = [_mm512_shuffle_f32x4::<ODD>(a, b), _mm512_shuffle_f32x4::<ODD>(c, d)];
        let columns = [
            _mm512_shuffle_f32x4::<EVEN>(even, even_below),
            _mm512_shuffle_f32x4::<EVEN>(odd, odd_below),
            _mm512_shuffle_f32x4::<ODD>(even, even_below),
            _mm512_shuffle_f32x4::<ODD>(odd, odd_below),
        ];
        for (lane, column) in columns.into_iter().enumerate() {
            // SAFETY: the caller vouches for the rows.
            unsafe { _mm512_storeu_ps(to.add((4 * lane + j) * to_stride), column) };
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
