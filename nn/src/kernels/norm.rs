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
        let Self { kind, eps, weight, bias, x, kept, out } = self;
        let width = weight.len();
        let per_value = 1.0 / width as f32;
        for (row, (x, out)) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)).enumerate() {
            let mean = match kind {
                NormKind::Layer => per_value * sum(simd, [x], |simd, [x]| (x, simd.splat_f32s(0.0))).0,
                NormKind::Rms => 0.0,
            };
            let shift = simd.splat_f32s(mean);
            let (_, squares) = sum(simd, [x], |simd, [x]| {
                let centered = simd.sub_f32s(x, shift);
                (centered, simd.mul_f32s(centered, centered))
            });
            let factor = 1.0 / (per_value * squares + eps).sqrt();
            map(simd, [x, weight, bias], out, |simd, [x, weight, bias]| {
                let unit = simd.mul_f32s(simd.sub_f32s(x, shift), simd.splat_f32s(factor));
                simd.mul_add_e_f32s(unit, weight, bias)
            });
            if let Some(kept) = kept.get_mut(2 * row..2 * row + 2) {
                kept.copy_from_slice(&[mean, factor]);
            }
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
        let Self { kind, weight, x, kept, delta, sums, mut dx } = self;
        let width = weight.len();
        let per_value = 1.0 / width as f32;
        let (unit_sums, delta_sums) = sums.split_at_mut(width);
        for (row, (x, delta)) in x.chunks_exact(width).zip(delta.chunks_exact(width)).enumerate() {
            let (mean, factor) = (simd.splat_f32s(kept[2 * row]), simd.splat_f32s(kept[2 * row + 1]));
            let unit = |simd: S, x| simd.mul_f32s(simd.sub_f32s(x, mean), factor);
            accumulate(simd, [x, delta], unit_sums, |simd, [x, delta], sum| {
                simd.mul_add_e_f32s(delta, unit(simd, x), sum)
            });
            accumulate(simd, [delta], delta_sums, |simd, [delta], sum| simd.add_f32s(sum, delta));
            let Some(dx) = &mut dx else { continue };
            let (with_unit, plain) = sum(simd, [x, delta, weight], |simd, [x, delta, weight]| {
                let g = simd.mul_f32s(delta, weight);
                (simd.mul_f32s(g, unit(simd, x)), g)
            });
            let of_unit = simd.splat_f32s(-per_value * with_unit);
            let of_mean = match kind {
                NormKind::Layer => simd.splat_f32s(-per_value * plain),
                NormKind::Rms => simd.splat_f32s(0.0),
            };
            let dx = &mut dx[row * width..(row + 1) * width];
            map(simd, [x, delta, weight], dx, |simd, [x, delta, weight]| {
                let g = simd.mul_add_e_f32s(delta, weight, of_mean);
                simd.mul_f32s(factor, simd.mul_add_e_f32s(unit(simd, x), of_unit, g))
            });
        }
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

/// The sums of two functions over the values of equally long slices.
#[inline(always)]
fn sum<S: Simd, const N: usize>(
    simd: S,
    slices: [&[f32]; N],
    f: impl Fn(S, [S::f32s; N]) -> (S::f32s, S::f32s),
) -> (f32, f32) {
    let len = slices[0].len();
    let (full, rest) = (len / S::F32_LANES * S::F32_LANES, len % S::F32_LANES);
    let (mut first, mut second) = (simd.splat_f32s(0.0), simd.splat_f32s(0.0));
    let mut at = 0;
    while at < full {
        // SAFETY: at + F32_LANES <= full.
        let (a, b) = f(simd, unsafe { vectors(simd, &slices, at, None) });
        (first, second) = (simd.add_f32s(first, a), simd.add_f32s(second, b));
        at += S::F32_LANES;
    }
    let (mut first_sum, mut second_sum) = (simd.reduce_sum_f32s(first), simd.reduce_sum_f32s(second));
    if rest > 0 {
        // SAFETY: the mask covers the `rest` values left.
        let (a, b) = f(simd, unsafe { vectors(simd, &slices, full, Some(first_lanes(simd, rest))) });
        // Only the lanes of the row count: `f` of zeros need not be zero.
        let lanes = simd.mask_between_m32s(0, rest as u32).mask();
        let zero = simd.splat_f32s(0.0);
        first_sum += simd.reduce_sum_f32s(simd.select_f32s(lanes, a, zero));
        second_sum += simd.reduce_sum_f32s(simd.select_f32s(lanes, b, zero));
    }
    (first_sum, second_sum)
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
