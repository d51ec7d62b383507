//! Products with rows that are mostly zero: bits, one-hot categories, what a rectifier leaves.
//!
//! An element of a product is one chain of multiply-adds over the inner dimension, in order ([`super::gemm`]), and a
//! multiply-add with a zero changes nothing: a chain over the elements that are not zero has the same bits. (A weight
//! that is not finite is the exception: zero times infinity is not zero.)

use std::cell::RefCell;

use pulp::{MemMask, Simd, WithSimd};

use super::nonzero::{Element, Places, ROWS, RowMask, WIDEST};
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
    places: Places,
    /// For each column of the rows, the rows where it is not zero.
    masks: Vec<RowMask>,
}

/// Rows of floats or bytes, of which few elements are not zero.
pub(crate) struct Sparse<'a, T> {
    rows: &'a [T],
    width: usize,
    /// What an element is multiplied by; 1 for floats.
    scale: f32,
}

impl<'a, T: Element> Sparse<'a, T> {
    /// If so few elements are not zero that a list of them pays.
    ///
    /// # Shapes
    /// `rows`: `[count, width]`.
    pub(crate) fn of(rows: &'a [T], width: usize, scale: f32) -> Option<Self> {
        if !(NARROWEST..=WIDEST).contains(&width) || rows.len() < width {
            return None;
        }
        let count = rows.len() / width;
        let sample = SAMPLE.min(count);
        let looked_at = (0..sample).map(|i| i * count / sample);
        let filled: usize = looked_at.map(|row| T::count(&rows[row * width..(row + 1) * width])).sum();
        (2 * filled <= sample * width).then_some(Self { rows, width, scale })
    }

    fn count(&self) -> usize {
        self.rows.len() / self.width
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
        if n == 0 {
            return;
        }
        assert!((self.width - 1) * stride + n <= right.len(), "right holds [{}, {n}]", self.width);
        assert!(self.count() * n <= c.len(), "c holds [{}, {n}], got {}", self.count(), c.len());
        assert!(bias.is_none_or(|bias| bias.len() >= n), "bias holds [{n}]");
        SCRATCH.with_borrow_mut(|Scratch { places, .. }| {
            places.find(self.rows, self.width);
            dispatch(Times { sparse: self, places, right, stride, bias, c, n });
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
        if n == 0 {
            return;
        }
        let count = self.count();
        assert!(count * n <= right.len(), "right holds [{count}, {n}], got {}", right.len());
        assert!((self.width - 1) * stride + n <= c.len(), "c holds [{}, {n}], got {}", self.width, c.len());
        SCRATCH.with_borrow_mut(|Scratch { places, masks }| {
            for (group, rows) in self.rows.chunks(ROWS * self.width).enumerate() {
                let right = &right[group * ROWS * n..];
                places.find(rows, self.width);
                masks.clear();
                masks.resize(self.width, [0; 2]);
                places.mark(masks);
                let accumulate = accumulate || group > 0;
                let part = Sparse { rows, ..*self };
                dispatch(TransposedTimes { sparse: &part, masks, right, accumulate, c: &mut *c, stride, n });
            }
        });
    }

    /// The value of an element.
    ///
    /// # Safety
    /// The element must be there.
    #[inline(always)]
    unsafe fn value(&self, row: usize, column: usize) -> f32 {
        // SAFETY: the caller vouches for the element.
        unsafe { self.rows.get_unchecked(row * self.width + column).value(self.scale) }
    }
}

struct Times<'a, T> {
    sparse: &'a Sparse<'a, T>,
    places: &'a Places,
    right: &'a [f32],
    stride: usize,
    bias: Option<&'a [f32]>,
    c: &'a mut [f32],
    n: usize,
}

impl<T: Element> WithSimd for Times<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for row in 0..self.sparse.count() {
            for columns in groups::<S>(self.n) {
                match columns {
                    Columns::Full { first, vectors: 8 } => self.row::<S, 8>(simd, row, first, None),
                    Columns::Full { first, vectors: 4 } => self.row::<S, 4>(simd, row, first, None),
                    Columns::Full { first, vectors: 2 } => self.row::<S, 2>(simd, row, first, None),
                    Columns::Full { first, .. } => self.row::<S, 1>(simd, row, first, None),
                    Columns::Rest { first, lanes } => {
                        self.row::<S, 1>(simd, row, first, Some(first_lanes(simd, lanes)));
                    }
                }
            }
        }
    }
}

impl<T: Element> Times<'_, T> {
    /// Some columns of one row.
    #[inline(always)]
    fn row<S: Simd, const N: usize>(
        &mut self,
        simd: S,
        row: usize,
        first: usize,
        mask: Option<MemMask<S::m32s>>,
    ) {
        let lanes = S::F32_LANES;
        let mut sums = [simd.splat_f32s(0.0); N];
        if let Some(bias) = self.bias {
            // SAFETY: the bias holds `n` values, of which the group's begin with `first`.
            sums = unsafe { vectors::<S, N>(simd, bias.as_ptr().add(first), mask) };
        }
        for &column in self.places.row(row) {
            // SAFETY: places are columns of rows that are there (`Places::find`), and `right` has a row for each column
            // (`times`).
            unsafe {
                let column = usize::from(column);
                let value = simd.splat_f32s(self.sparse.value(row, column));
                let from = self.right.as_ptr().add(column * self.stride + first);
                let values = vectors::<S, N>(simd, from, mask);
                for (sum, right) in sums.iter_mut().zip(values) {
                    *sum = simd.mul_add_e_f32s(value, right, *sum);
                }
            }
        }
        // SAFETY: `c` holds `n` values of every row (`times`).
        unsafe {
            let to = self.c.as_mut_ptr().add(row * self.n + first);
            match mask {
                Some(mask) => simd.mask_store_ptr_f32s(mask, to, sums[0]),
                None => sums.iter().enumerate().for_each(|(j, &sum)| store::<S>(to.add(j * lanes), sum)),
            }
        }
    }
}

struct TransposedTimes<'a, T> {
    sparse: &'a Sparse<'a, T>,
    masks: &'a [RowMask],
    right: &'a [f32],
    accumulate: bool,
    c: &'a mut [f32],
    stride: usize,
    n: usize,
}

impl<T: Element> WithSimd for TransposedTimes<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for (column, &rows) in self.masks.iter().enumerate() {
            if rows == [0; 2] {
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

impl<T: Element> TransposedTimes<'_, T> {
    /// Some columns of the row of `c` that belongs to a column of the sparse rows.
    #[inline(always)]
    fn column<S: Simd, const N: usize>(
        &mut self,
        simd: S,
        column: usize,
        first: usize,
        mask: Option<MemMask<S::m32s>>,
    ) {
        let lanes = S::F32_LANES;
        // SAFETY: `c` has a row of `n` values for every column (`transposed_times`).
        let to = unsafe { self.c.as_mut_ptr().add(column * self.stride + first) };
        let mut sums = [simd.splat_f32s(0.0); N];
        if self.accumulate {
            // SAFETY: as above.
            sums = unsafe { vectors::<S, N>(simd, to, mask) };
        }
        for (word, mut rows) in self.masks[column].into_iter().enumerate() {
            while rows != 0 {
                let row = 64 * word + rows.trailing_zeros() as usize;
                rows &= rows - 1;
                // SAFETY: the bits are rows that are there (`Places::mark`), each with a row of `right`.
                unsafe {
                    let value = simd.splat_f32s(self.sparse.value(row, column));
                    let from = self.right.as_ptr().add(row * self.n + first);
                    let values = vectors::<S, N>(simd, from, mask);
                    for (sum, right) in sums.iter_mut().zip(values) {
                        *sum = simd.mul_add_e_f32s(value, right, *sum);
                    }
                }
            }
        }
        // SAFETY: as above.
        unsafe {
            match mask {
                Some(mask) => simd.mask_store_ptr_f32s(mask, to, sums[0]),
                None => sums.iter().enumerate().for_each(|(j, &sum)| store::<S>(to.add(j * lanes), sum)),
            }
        }
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

#[cfg(test)]
mod tests {
    use super::super::gemm::{Left, Right, Start, gemm};
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
            let of_bytes = Sparse::of(&bytes[..], width, scale).unwrap();
            let of_floats = Sparse::of(&floats[..], width, 1.0).unwrap();
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
        assert!(Sparse::of(&[1.0_f32; 64][..], 64, 1.0).is_none());
        assert!(Sparse::of(&[0.0_f32; 16][..], 16, 1.0).is_none());
        let mut row = [0.0_f32; 64];
        (row[3], row[40]) = (f32::NAN, -0.0);
        let mut out = [0.0];
        let sparse = Sparse::of(&row[..], 64, 1.0).unwrap();
        sparse.times((&[1.0; 64], 1), None, &mut out, 1);
        assert!(out[0].is_nan());
    }
}
