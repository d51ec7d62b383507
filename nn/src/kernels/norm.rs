//! Normalisation of rows, and its gradient.

use pulp::{Simd, WithSimd};

use super::simd::{dispatch, first_lanes, load, store};

/// What a row is brought to: mean zero and variance one, or mean square one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NormKind {
    Layer,
    Rms,
}

/// `out = (x − mean) · factor · weight + bias` for each row; `kept`, if not empty, gets the rows' means and factors.
pub(crate) fn normalize_rows(
    kind: NormKind,
    eps: f32,
    weight: &[f32],
    bias: &[f32],
    x: &[f32],
    kept: &mut [f32],
    out: &mut [f32],
) {
    let width = weight.len();
    assert!(x.len().is_multiple_of(width) && out.len() == x.len() && bias.len() == width, "{width}");
    assert!(kept.is_empty() || kept.len() * width == 2 * x.len(), "two values a row");
    dispatch(Normalize { kind, eps, weight, bias, x, kept, out });
}

struct Normalize<'a> {
    kind: NormKind,
    eps: f32,
    weight: &'a [f32],
    bias: &'a [f32],
    x: &'a [f32],
    kept: &'a mut [f32],
    out: &'a mut [f32],
}

impl WithSimd for Normalize<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (width, rows) = (self.weight.len(), self.x.len() / self.weight.len());
        let Self { kind, eps, weight, bias, x, kept, out } = self;
        let mut row = 0;
        while row < rows {
            let left = rows - row;
            let range = |count: usize| row * width..(row + count) * width;
            let kept = if kept.is_empty() { &mut [] } else { &mut kept[2 * row..] };
            if left >= ROWS {
                let (x, out) = (&x[range(ROWS)], &mut out[range(ROWS)]);
                normalize_together::<S, ROWS>(simd, (kind, eps), [weight, bias], x, kept, out);
                row += ROWS;
            } else {
                let (x, out) = (&x[range(1)], &mut out[range(1)]);
                normalize_together::<S, 1>(simd, (kind, eps), [weight, bias], x, kept, out);
                row += 1;
            }
        }
    }
}

/// Rows whose sums are taken side by side: one sum alone waits for each of its additions.
const ROWS: usize = 4;

/// `R` rows, each with its own bits.
#[inline(always)]
fn normalize_together<S: Simd, const R: usize>(
    simd: S,
    (kind, eps): (NormKind, f32),
    [weight, bias]: [&[f32]; 2],
    x: &[f32],
    kept: &mut [f32],
    out: &mut [f32],
) {
    let width = weight.len();
    let per_value = 1.0 / width as f32;
    let mut means = [0.0; R];
    if kind == NormKind::Layer {
        let sums = sums::<S, 1, R>(simd, width, [x], |simd, _, [x]| (x, simd.splat_f32s(0.0)));
        for (mean, (sum, _)) in means.iter_mut().zip(sums) {
            *mean = per_value * sum;
        }
    }
    let squares = sums::<S, 1, R>(simd, width, [x], |simd, row, [x]| {
        let centered = simd.sub_f32s(x, simd.splat_f32s(means[row]));
        (centered, simd.mul_f32s(centered, centered))
    });
    for (row, (mean, (_, squares))) in means.into_iter().zip(squares).enumerate() {
        let factor = 1.0 / (per_value * squares + eps).sqrt();
        let (x, out) = (&x[row * width..(row + 1) * width], &mut out[row * width..(row + 1) * width]);
        map(simd, [x, weight, bias], out, |simd, [x, weight, bias]| {
            let unit = simd.mul_f32s(simd.sub_f32s(x, simd.splat_f32s(mean)), simd.splat_f32s(factor));
            simd.mul_add_e_f32s(unit, weight, bias)
        });
        if let Some(kept) = kept.get_mut(2 * row..2 * row + 2) {
            kept.copy_from_slice(&[mean, factor]);
        }
    }
}

/// The gradient of [`normalize_rows`]: adds `Σ delta · unit` and `Σ delta` to `sums`, and overwrites `dx`.
///
/// With `u = (x − mean) · factor` and `g = delta · weight`: `dx = factor · (g − mean(g) − u · mean(g · u))`, without
/// the mean of `g` for [`NormKind::Rms`].
pub(crate) fn normalize_rows_backward(
    kind: NormKind,
    weight: &[f32],
    x: &[f32],
    kept: &[f32],
    delta: &[f32],
    sums: &mut [f32],
    dx: Option<&mut [f32]>,
) {
    let width = weight.len();
    assert!(x.len().is_multiple_of(width) && delta.len() == x.len() && sums.len() == 2 * width, "{width}");
    assert!(kept.len() * width == 2 * x.len(), "two values a row");
    assert!(dx.as_ref().is_none_or(|dx| dx.len() == x.len()), "a gradient for each value");
    dispatch(NormalizeBackward { kind, weight, x, kept, delta, sums, dx });
}

struct NormalizeBackward<'a> {
    kind: NormKind,
    weight: &'a [f32],
    x: &'a [f32],
    kept: &'a [f32],
    delta: &'a [f32],
    sums: &'a mut [f32],
    dx: Option<&'a mut [f32]>,
}

impl WithSimd for NormalizeBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (width, rows) = (self.weight.len(), self.x.len() / self.weight.len());
        let Self { kind, weight, x, kept, delta, sums, mut dx } = self;
        let mut row = 0;
        while row < rows {
            let left = rows - row;
            let range = |count: usize| row * width..(row + count) * width;
            let kept = &kept[2 * row..];
            if left >= ROWS {
                let dx = dx.as_mut().map(|dx| &mut dx[range(ROWS)]);
                let rows = [&x[range(ROWS)], &delta[range(ROWS)], kept];
                differentiate_together::<S, ROWS>(simd, kind, weight, rows, sums, dx);
                row += ROWS;
            } else {
                let dx = dx.as_mut().map(|dx| &mut dx[range(1)]);
                let rows = [&x[range(1)], &delta[range(1)], kept];
                differentiate_together::<S, 1>(simd, kind, weight, rows, sums, dx);
                row += 1;
            }
        }
    }
}

/// The gradients of `R` rows, each with its own bits; those of weight and bias are added row by row.
#[inline(always)]
fn differentiate_together<S: Simd, const R: usize>(
    simd: S,
    kind: NormKind,
    weight: &[f32],
    [x, delta, kept]: [&[f32]; 3],
    total: &mut [f32],
    dx: Option<&mut [f32]>,
) {
    let width = weight.len();
    let per_value = 1.0 / width as f32;
    let (unit_sums, delta_sums) = total.split_at_mut(width);
    for row in 0..R {
        let (mean, factor) = (simd.splat_f32s(kept[2 * row]), simd.splat_f32s(kept[2 * row + 1]));
        let own = row * width..(row + 1) * width;
        let (x, delta) = (&x[own.clone()], &delta[own]);
        accumulate(simd, [x, delta], unit_sums, |simd, [x, delta], sum| {
            simd.mul_add_e_f32s(delta, simd.mul_f32s(simd.sub_f32s(x, mean), factor), sum)
        });
        accumulate(simd, [delta], delta_sums, |simd, [delta], sum| simd.add_f32s(sum, delta));
    }
    let Some(dx) = dx else { return };
    let sums = sums_with::<S, 2, R>(simd, width, [x, delta], weight, |simd, row, [x, delta], weight| {
        let (mean, factor) = (simd.splat_f32s(kept[2 * row]), simd.splat_f32s(kept[2 * row + 1]));
        let g = simd.mul_f32s(delta, weight);
        (simd.mul_f32s(g, simd.mul_f32s(simd.sub_f32s(x, mean), factor)), g)
    });
    for (row, (with_unit, plain)) in sums.into_iter().enumerate() {
        let (mean, factor) = (simd.splat_f32s(kept[2 * row]), simd.splat_f32s(kept[2 * row + 1]));
        let of_unit = simd.splat_f32s(-per_value * with_unit);
        let of_mean = match kind {
            NormKind::Layer => simd.splat_f32s(-per_value * plain),
            NormKind::Rms => simd.splat_f32s(0.0),
        };
        let own = row * width..(row + 1) * width;
        let (x, delta, dx) = (&x[own.clone()], &delta[own.clone()], &mut dx[own]);
        map(simd, [x, delta, weight], dx, |simd, [x, delta, weight]| {
            let unit = simd.mul_f32s(simd.sub_f32s(x, mean), factor);
            let g = simd.mul_add_e_f32s(delta, weight, of_mean);
            simd.mul_f32s(factor, simd.mul_add_e_f32s(unit, of_unit, g))
        });
    }
}

/// Loads one vector of each of equally long slices, lanes beyond the end as zeros.
///
/// # Safety
/// The vector at `at`, or its lanes in the mask, must lie inside the slices.
#[inline(always)]
unsafe fn vectors<S: Simd, const N: usize>(
    simd: S,
    slices: &[&[f32]; N],
    at: usize,
    mask: Option<pulp::MemMask<S::m32s>>,
) -> [S::f32s; N] {
    // A loop, because closures given to `array::map` are not compiled for the vectors.
    let mut vectors = [simd.splat_f32s(0.0); N];
    for (vector, slice) in vectors.iter_mut().zip(slices) {
        // SAFETY: passed on.
        unsafe {
            let ptr = slice.as_ptr().add(at);
            *vector = match mask {
                Some(mask) => simd.mask_load_ptr_f32s(mask, ptr),
                None => load::<S>(ptr),
            };
        }
    }
    vectors
}

/// The sums of two functions over the values of each of `R` rows.
#[inline(always)]
fn sums<S: Simd, const N: usize, const R: usize>(
    simd: S,
    width: usize,
    rows: [&[f32]; N],
    f: impl Fn(S, usize, [S::f32s; N]) -> (S::f32s, S::f32s),
) -> [(f32, f32); R] {
    // What is repeated is not looked at.
    sums_with::<S, N, R>(simd, width, rows, &rows[0][..width], |simd, row, x, _| f(simd, row, x))
}

/// As [`sums`], with values that all rows have in common.
#[inline(always)]
fn sums_with<S: Simd, const N: usize, const R: usize>(
    simd: S,
    width: usize,
    rows: [&[f32]; N],
    common: &[f32],
    f: impl Fn(S, usize, [S::f32s; N], S::f32s) -> (S::f32s, S::f32s),
) -> [(f32, f32); R] {
    assert!(rows.iter().all(|rows| rows.len() >= R * width) && common.len() >= width, "{R} rows of {width}");
    let (full, rest) = (width / S::F32_LANES * S::F32_LANES, width % S::F32_LANES);
    let mut sums = [[simd.splat_f32s(0.0); 2]; R];
    let mut at = 0;
    while at < full {
        // SAFETY (of both loads): at + F32_LANES <= width, in each of the rows and in what they have in common.
        let [shared] = unsafe { vectors(simd, &[common], at, None) };
        for (row, sums) in sums.iter_mut().enumerate() {
            let (a, b) = f(simd, row, unsafe { vectors(simd, &rows, row * width + at, None) }, shared);
            *sums = [simd.add_f32s(sums[0], a), simd.add_f32s(sums[1], b)];
        }
        at += S::F32_LANES;
    }
    let mut totals = [(0.0, 0.0); R];
    for (total, [first, second]) in totals.iter_mut().zip(sums) {
        *total = (simd.reduce_sum_f32s(first), simd.reduce_sum_f32s(second));
    }
    if rest > 0 {
        let mask = first_lanes(simd, rest);
        // Only the lanes of the row count: `f` of zeros need not be zero.
        let lanes = simd.mask_between_m32s(0, rest as u32).mask();
        let zero = simd.splat_f32s(0.0);
        // SAFETY (of both loads): the mask covers the `rest` values left of each row, and of what they have in common.
        let [shared] = unsafe { vectors(simd, &[common], full, Some(mask)) };
        for (row, total) in totals.iter_mut().enumerate() {
            let (a, b) =
                f(simd, row, unsafe { vectors(simd, &rows, row * width + full, Some(mask)) }, shared);
            total.0 += simd.reduce_sum_f32s(simd.select_f32s(lanes, a, zero));
            total.1 += simd.reduce_sum_f32s(simd.select_f32s(lanes, b, zero));
        }
    }
    totals
}

/// `target = f(slices)`, value by value.
#[inline(always)]
fn map<S: Simd, const N: usize>(
    simd: S,
    slices: [&[f32]; N],
    target: &mut [f32],
    f: impl Fn(S, [S::f32s; N]) -> S::f32s,
) {
    accumulate(simd, slices, target, |simd, x, _| f(simd, x));
}

/// `target = f(slices, target)`, value by value.
#[inline(always)]
fn accumulate<S: Simd, const N: usize>(
    simd: S,
    slices: [&[f32]; N],
    target: &mut [f32],
    f: impl Fn(S, [S::f32s; N], S::f32s) -> S::f32s,
) {
    let len = target.len();
    assert!(slices.iter().all(|slice| slice.len() == len), "equally long slices");
    let (full, rest) = (len / S::F32_LANES * S::F32_LANES, len % S::F32_LANES);
    let ptr = target.as_mut_ptr();
    let mut at = 0;
    while at < full {
        // SAFETY: at + F32_LANES <= full.
        unsafe {
            let x = vectors(simd, &slices, at, None);
            store::<S>(ptr.add(at), f(simd, x, load::<S>(ptr.add(at))));
        }
        at += S::F32_LANES;
    }
    if rest > 0 {
        let mask = first_lanes(simd, rest);
        // SAFETY: the mask covers the `rest` values left.
        unsafe {
            let x = vectors(simd, &slices, full, Some(mask));
            let old = simd.mask_load_ptr_f32s(mask, ptr.add(full));
            simd.mask_store_ptr_f32s(mask, ptr.add(full), f(simd, x, old));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_taken_together_have_the_bits_of_rows_by_themselves() {
        let value = |i: usize| ((i * 7919 + 13) % 101) as f32 / 50.0 - 1.0;
        for (width, kind) in [(5, NormKind::Layer), (37, NormKind::Layer), (37, NormKind::Rms)] {
            for rows in 1..=9 {
                let numbers =
                    |count: usize, from: usize| (from..from + count).map(value).collect::<Vec<f32>>();
                let (weight, bias) = (numbers(width, 3), numbers(width, 8));
                let (x, delta) = (numbers(rows * width, 0), numbers(rows * width, 17));
                let run = |x: &[f32], delta: &[f32]| {
                    let (mut kept, mut out) = (vec![0.0; 2 * x.len() / width], vec![0.0; x.len()]);
                    normalize_rows(kind, 1e-5, &weight, &bias, x, &mut kept, &mut out);
                    let (mut sums, mut dx) = (vec![0.0; 2 * width], vec![0.0; x.len()]);
                    normalize_rows_backward(kind, &weight, x, &kept, delta, &mut sums, Some(&mut dx));
                    [out, kept, dx]
                };
                let together = run(&x, &delta);
                let own =
                    x.chunks_exact(width).zip(delta.chunks_exact(width)).map(|(x, delta)| run(x, delta));
                for (row, alone) in own.enumerate() {
                    for (together, alone) in together.iter().zip(alone) {
                        let len = alone.len();
                        assert_eq!(together[row * len..(row + 1) * len], alone, "{rows} rows of {width}");
                    }
                }
            }
        }
    }
}
