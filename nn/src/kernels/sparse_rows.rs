//! Products with rows that are mostly zero: bits, one-hot categories, what a rectifier leaves.
//!
//! An element of a product is one chain of multiply-adds over the inner dimension, in order ([`super::gemm`]), and a
//! multiply-add with a zero changes nothing: a chain over the elements that are not zero has the same bits. (A weight
//! that is not finite is the exception: zero times infinity is not zero.)

use std::cell::RefCell;

use pulp::{MemMask, Simd, WithSimd};

use super::nonzero::{Pair, Pairs, ROWS, Source, mark};
use super::simd::{dispatch, first_lanes, load, store};

/// Below this width a list costs more than it saves.
const NARROWEST: usize = 32;
/// Rows that are looked at before it is decided whether a list pays.
const SAMPLE: usize = 4;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

#[derive(Default)]
struct Scratch {
    pairs: Pairs,
    masks: Vec<u64>,
}

/// Rows of which few elements are not zero.
pub(crate) struct Sparse<S>(S);

impl<R: Source> Sparse<R> {
    /// If so few elements are not zero that a list of them pays.
    pub(crate) fn of(rows: R) -> Option<Self> {
        let (width, count) = (rows.width(), rows.count());
        if width < NARROWEST || count == 0 {
            return None;
        }
        let sample = SAMPLE.min(count);
        let looked_at = (0..sample).map(|i| i * count / sample);
        let filled = looked_at.map(|row| (0..width).filter(|&column| rows.is_filled(row, column)).count());
        (2 * filled.sum::<usize>() <= sample * width).then_some(Self(rows))
    }

    /// `c[rows, n] = bias + self · right`, without a bias from zero.
    ///
    /// # Shapes
    /// `right`: `[width, n]` with `stride` between its rows, `c`: `[rows, n]`.
    pub(crate) fn times(
        &self,
        (right, stride): (&[f32], usize),
        bias: Option<&[f32]>,
        c: &mut [f32],
        n: usize,
    ) {
        let (width, count) = (self.0.width(), self.0.count());
        if n == 0 {
            return;
        }
        assert!((width - 1) * stride + n <= right.len(), "right holds [{width}, {n}]");
        assert!(count * n <= c.len(), "c holds [{count}, {n}], got {}", c.len());
        assert!(bias.is_none_or(|bias| bias.len() >= n), "bias holds [{n}]");
        SCRATCH.with_borrow_mut(|Scratch { pairs, .. }| {
            pairs.find(self.0);
            dispatch(Times { pairs, count, right, stride, bias, c, n });
        });
    }

    /// `c[width, n] (+)= selfᵀ · right`.
    ///
    /// # Shapes
    /// `right`: `[rows, n]`, `c`: `[width, n]` with `stride` between its rows.
    pub(crate) fn transposed_times(
        &self,
        right: &[f32],
        accumulate: bool,
        (c, stride): (&mut [f32], usize),
        n: usize,
    ) {
        let (width, count) = (self.0.width(), self.0.count());
        if n == 0 {
            return;
        }
        assert!(count * n <= right.len(), "right holds [{count}, {n}], got {}", right.len());
        assert!((width - 1) * stride + n <= c.len(), "c holds [{width}, {n}], got {}", c.len());
        SCRATCH.with_borrow_mut(|Scratch { masks, .. }| {
            for first in (0..count).step_by(ROWS) {
                mark(self.0, first, masks);
                let accumulate = accumulate || first > 0;
                let c = &mut *c;
                dispatch(TransposedTimes { rows: self.0, first, masks, right, accumulate, c, stride, n });
            }
        });
    }
}

struct Times<'a> {
    pairs: &'a Pairs,
    /// Number of rows.
    count: usize,
    right: &'a [f32],
    stride: usize,
    bias: Option<&'a [f32]>,
    c: &'a mut [f32],
    n: usize,
}

impl WithSimd for Times<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for pair in 0..self.count.div_ceil(2) {
            for columns in groups::<S>(self.n) {
                match columns {
                    Columns::Full { first, vectors: 8 } => self.pair::<S, 8>(simd, pair, first, None),
                    Columns::Full { first, vectors: 4 } => self.pair::<S, 4>(simd, pair, first, None),
                    Columns::Full { first, vectors: 2 } => self.pair::<S, 2>(simd, pair, first, None),
                    Columns::Full { first, .. } => self.pair::<S, 1>(simd, pair, first, None),
                    Columns::Rest { first, lanes } => {
                        self.pair::<S, 1>(simd, pair, first, Some(first_lanes(simd, lanes)));
                    }
                }
            }
        }
    }
}

impl Times<'_> {
    /// Some columns of two rows.
    #[inline(always)]
    fn pair<S: Simd, const N: usize>(
        &mut self,
        simd: S,
        pair: usize,
        first: usize,
        mask: Option<MemMask<S::m32s>>,
    ) {
        let mut start = [simd.splat_f32s(0.0); N];
        if let Some(bias) = self.bias {
            // SAFETY: the bias holds `n` values, of which the group's begin with `first`.
            start = unsafe { vectors::<S, N>(simd, bias.as_ptr().add(first), mask) };
        }
        let (mut sums, mut others) = (start, start);
        let Pair { columns, values: [values, of_other] } = self.pairs.get(pair);
        for ((&column, &value), &other) in columns.iter().zip(values).zip(of_other) {
            // SAFETY: `right` has a row for each column (`times`).
            let right = unsafe {
                let from = self.right.as_ptr().add(column as usize * self.stride + first);
                vectors::<S, N>(simd, from, mask)
            };
            let (value, other) = (simd.splat_f32s(value), simd.splat_f32s(other));
            for ((sum, of_other), right) in sums.iter_mut().zip(&mut others).zip(right) {
                *sum = simd.mul_add_e_f32s(value, right, *sum);
                *of_other = simd.mul_add_e_f32s(other, right, *of_other);
            }
        }
        // SAFETY: `c` holds `n` values of every row (`times`), and the second row is written only if it is there.
        unsafe {
            let to = self.c.as_mut_ptr().add(2 * pair * self.n + first);
            put::<S, N>(simd, to, sums, mask);
            if 2 * pair + 1 < self.count {
                put::<S, N>(simd, to.add(self.n), others, mask);
            }
        }
    }
}

struct TransposedTimes<'a, R> {
    rows: R,
    /// The row of the masks' lowest bit.
    first: usize,
    masks: &'a [u64],
    right: &'a [f32],
    accumulate: bool,
    c: &'a mut [f32],
    stride: usize,
    n: usize,
}

impl<R: Source> WithSimd for TransposedTimes<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for (column, &rows) in self.masks[..self.rows.width()].iter().enumerate() {
            if rows == 0 {
                if !self.accumulate {
                    self.c[column * self.stride..][..self.n].fill(0.0);
                }
                continue;
            }
            for columns in groups::<S>(self.n) {
                match columns {
                    Columns::Full { first, vectors: 8 } => self.column::<S, 8>(simd, column, first, None),
                    Columns::Full { first, vectors: 4 } => self.column::<S, 4>(simd, column, first, None),
                    Columns::Full { first, vectors: 2 } => self.column::<S, 2>(simd, column, first, None),
                    Columns::Full { first, .. } => self.column::<S, 1>(simd, column, first, None),
                    Columns::Rest { first, lanes } => {
                        self.column::<S, 1>(simd, column, first, Some(first_lanes(simd, lanes)));
                    }
                }
            }
        }
    }
}

impl<R: Source> TransposedTimes<'_, R> {
    /// Some columns of the row of `c` that belongs to a column of the sparse rows.
    #[inline(always)]
    fn column<S: Simd, const N: usize>(
        &mut self,
        simd: S,
        column: usize,
        first: usize,
        mask: Option<MemMask<S::m32s>>,
    ) {
        // SAFETY: `c` has a row of `n` values for every column (`transposed_times`).
        let to = unsafe { self.c.as_mut_ptr().add(column * self.stride + first) };
        let mut sums = [simd.splat_f32s(0.0); N];
        if self.accumulate {
            // SAFETY: as above.
            sums = unsafe { vectors::<S, N>(simd, to, mask) };
        }
        let mut rows = self.masks[column];
        while rows != 0 {
            let row = self.first + rows.trailing_zeros() as usize;
            rows &= rows - 1;
            // SAFETY: the bits are rows that are there (`mark`), each with a row of `right`.
            unsafe {
                let value = simd.splat_f32s(self.rows.value(row, column));
                let from = self.right.as_ptr().add(row * self.n + first);
                let values = vectors::<S, N>(simd, from, mask);
                for (sum, right) in sums.iter_mut().zip(values) {
                    *sum = simd.mul_add_e_f32s(value, right, *sum);
                }
            }
        }
        // SAFETY: as above.
        unsafe { put::<S, N>(simd, to, sums, mask) };
    }
}

/// Neighbouring columns whose sums lie in registers.
enum Columns {
    /// 1, 2, 4 or 8 whole vectors.
    Full { first: usize, vectors: usize },
    /// Less than a vector.
    Rest { first: usize, lanes: usize },
}

/// Cuts `n` columns.
#[inline(always)]
fn groups<S: Simd>(n: usize) -> impl Iterator<Item = Columns> {
    let mut first = 0;
    std::iter::from_fn(move || {
        let (vectors, left) = ((n - first) / S::F32_LANES, n - first);
        let columns = match vectors {
            0 if left == 0 => return None,
            0 => Columns::Rest { first, lanes: left },
            8.. => Columns::Full { first, vectors: 8 },
            4.. => Columns::Full { first, vectors: 4 },
            2.. => Columns::Full { first, vectors: 2 },
            _ => Columns::Full { first, vectors: 1 },
        };
        first += match columns {
            Columns::Full { vectors, .. } => vectors * S::F32_LANES,
            Columns::Rest { lanes, .. } => lanes,
        };
        Some(columns)
    })
}

/// Loads neighbouring vectors, or the masked lanes of one.
///
/// # Safety
/// What is loaded must be readable.
#[inline(always)]
unsafe fn vectors<S: Simd, const N: usize>(
    simd: S,
    from: *const f32,
    mask: Option<MemMask<S::m32s>>,
) -> [S::f32s; N] {
    let mut values = [simd.splat_f32s(0.0); N];
    for (j, value) in values.iter_mut().enumerate() {
        // SAFETY: the caller vouches for the range.
        *value = unsafe {
            match mask {
                Some(mask) => simd.mask_load_ptr_f32s(mask, from),
                None => load::<S>(from.add(j * S::F32_LANES)),
            }
        };
    }
    values
}

/// Stores neighbouring vectors, or the masked lanes of one.
///
/// # Safety
/// What is stored must be writable.
#[inline(always)]
unsafe fn put<S: Simd, const N: usize>(
    simd: S,
    to: *mut f32,
    values: [S::f32s; N],
    mask: Option<MemMask<S::m32s>>,
) {
    for (j, value) in values.into_iter().enumerate() {
        // SAFETY: the caller vouches for the range.
        unsafe {
            match mask {
                Some(mask) => simd.mask_store_ptr_f32s(mask, to, value),
                None => store::<S>(to.add(j * S::F32_LANES), value),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gemm::{Left, Right, Start, gemm};
    use super::super::nonzero::{Bytes, Floats};
    use super::*;

    /// Rows a sixth of whose elements are not zero.
    fn rows(count: usize, width: usize) -> Vec<u8> {
        (0..count * width).map(|i| if i * 7919 % 97 < 16 { (i % 255 + 1) as u8 } else { 0 }).collect()
    }

    fn values(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 31 + seed) as f32 * 0.7).sin()).collect()
    }

    #[test]
    fn sparse_rows_have_the_bits_of_dense_ones() {
        for (count, width, n) in
            [(1, 400, 128), (9, 33, 64), (96, 100, 20), (200, 64, 129), (130, 40, 7), (3, 50, 1)]
        {
            let bytes = rows(count, width);
            let scale = 1.0 / 255.0;
            let floats: Vec<f32> = bytes.iter().map(|&byte| scale * f32::from(byte)).collect();
            let (weight, bias, delta) = (values(width * n, 1), values(n, 2), values(count * n, 3));
            let mut expected = vec![0.0; count * n];
            let (left, right) = (Left::rows(&floats, width), Right::rows(&weight, n));
            gemm((count, n, width), left, right, Start::Bias(&bias), &mut expected);
            let of_bytes = Sparse::of(Bytes::new(&bytes, width, scale)).unwrap();
            let of_floats = Sparse::of(Floats::new(&floats, width)).unwrap();
            let mut got = vec![f32::NAN; count * n];
            of_bytes.times((&weight, n), Some(&bias), &mut got, n);
            assert_eq!(got, expected, "{count} rows of {width} bytes");
            got.fill(f32::NAN);
            of_floats.times((&weight, n), Some(&bias), &mut got, n);
            assert_eq!(got, expected, "{count} rows of {width} floats");

            for accumulate in [false, true] {
                let start = if accumulate { Start::Accumulate } else { Start::Zero };
                let mut expected = values(width * n, 4);
                let (mut by_bytes, mut by_floats) = (expected.clone(), expected.clone());
                let left = Left::transposed(&floats, width);
                gemm((width, n, count), left, Right::rows(&delta, n), start, &mut expected);
                of_bytes.transposed_times(&delta, accumulate, (&mut by_bytes, n), n);
                of_floats.transposed_times(&delta, accumulate, (&mut by_floats, n), n);
                assert_eq!(by_bytes, expected, "{width} columns of {count} bytes");
                assert_eq!(by_floats, expected, "{width} columns of {count} floats");
            }
        }
    }

    #[test]
    fn dense_and_narrow_rows_make_no_list_and_nan_is_not_zero() {
        assert!(Sparse::of(Floats::new(&[1.0; 64], 64)).is_none());
        assert!(Sparse::of(Floats::new(&[0.0; 16], 16)).is_none());
        let mut row = [0.0_f32; 64];
        (row[3], row[40]) = (f32::NAN, -0.0);
        let mut out = [0.0];
        let sparse = Sparse::of(Floats::new(&row, 64)).unwrap();
        sparse.times((&[1.0; 64], 1), None, &mut out, 1);
        assert!(out[0].is_nan());
    }
}
