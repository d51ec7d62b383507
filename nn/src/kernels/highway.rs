//! The gate beside a layer that replaces a residual sum, and its gradient.

use pulp::{Simd, WithSimd};

use super::gates::{one_minus_square, sigmoid_slope};
use super::math;
use super::rows::{RowFunction, map_rows, parts_mut};
use super::simd::dispatch;

/// `r = σ(a_r)`, `z = σ(a_z)` and `r ⊙ x`, in rows `[a_r, a_z, a_h, r ⊙ x]`.
pub(crate) fn highway_resets(width: usize, x: &[f32], gates: &mut [f32]) {
    assert!(width > 0 && x.len().is_multiple_of(width) && gates.len() == 4 * x.len(), "rows of {width}");
    dispatch(HighwayResets { width, x, gates });
}

/// `h = tanh(a_h)`, `out = x + z ⊙ (h − x)`, in rows `[r, z, a_h, r ⊙ x]`.
pub(crate) fn highway(width: usize, x: &[f32], gates: &mut [f32], out: &mut [f32]) {
    assert!(width > 0 && x.len().is_multiple_of(width) && gates.len() == 4 * x.len(), "rows of {width}");
    assert_eq!(x.len(), out.len(), "an output for each input");
    dispatch(Highway { width, x, gates, out });
}

/// What the gradient of [`highway`] and [`highway_resets`] reads and writes.
pub(crate) struct HighwayGradient<'a> {
    pub(crate) width: usize,
    pub(crate) x: &'a [f32],
    /// What the forward pass has left; overwritten by the pre-activations' gradients.
    pub(crate) gates: &'a mut [f32],
    /// The gradient of the output, or that of `r ⊙ x`.
    pub(crate) delta: &'a [f32],
    pub(crate) of_x: &'a mut [f32],
}

impl HighwayGradient<'_> {
    fn check(&self) {
        let Self { width, x, gates, delta, of_x } = self;
        assert!(
            *width > 0 && x.len().is_multiple_of(*width) && gates.len() == 4 * x.len(),
            "rows of {width}"
        );
        assert!(delta.len() == x.len() && of_x.len() == x.len(), "a gradient for each value");
    }
}

/// The gradient of [`highway`]: turns `z` and `h` into the gradients of `a_z` and `a_h`, and overwrites `of_x`.
pub(crate) fn highway_gradient(gradient: HighwayGradient<'_>) {
    gradient.check();
    dispatch(OfHighway(gradient));
}

/// The gradient of [`highway_resets`] with respect to `r`: turns it into that of `a_r`, and adds to `of_x`.
pub(crate) fn highway_reset_gradient(gradient: HighwayGradient<'_>) {
    gradient.check();
    dispatch(OfResets(gradient));
}

struct HighwayResets<'a> {
    width: usize,
    x: &'a [f32],
    gates: &'a mut [f32],
}

impl WithSimd for HighwayResets<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for (x, gates) in self.x.chunks_exact(self.width).zip(self.gates.chunks_exact_mut(4 * self.width)) {
            let [r, z, _, product] = parts_mut(gates, self.width);
            map_rows(simd, [x], [r, z], [product], ResetValues);
        }
    }
}

#[derive(Clone, Copy)]
struct ResetValues;

impl RowFunction<1, 2, 1> for ResetValues {
    #[inline(always)]
    fn apply<S: Simd>(
        self,
        simd: S,
        [x]: [S::f32s; 1],
        [r, z]: [S::f32s; 2],
    ) -> ([S::f32s; 2], [S::f32s; 1]) {
        let r = math::sigmoid(simd, r);
        ([r, math::sigmoid(simd, z)], [simd.mul_f32s(r, x)])
    }
}

struct Highway<'a> {
    width: usize,
    x: &'a [f32],
    gates: &'a mut [f32],
    out: &'a mut [f32],
}

impl WithSimd for Highway<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let rows = self.x.chunks_exact(self.width).zip(self.out.chunks_exact_mut(self.width));
        for ((x, out), gates) in rows.zip(self.gates.chunks_exact_mut(4 * self.width)) {
            let [_, z, h, _] = parts_mut(gates, self.width);
            map_rows(simd, [x, z], [h], [out], HighwayValues);
        }
    }
}

#[derive(Clone, Copy)]
struct HighwayValues;

impl RowFunction<2, 1, 1> for HighwayValues {
    #[inline(always)]
    fn apply<S: Simd>(
        self,
        simd: S,
        [x, z]: [S::f32s; 2],
        [h]: [S::f32s; 1],
    ) -> ([S::f32s; 1], [S::f32s; 1]) {
        let h = math::tanh(simd, h);
        ([h], [simd.mul_add_e_f32s(z, simd.sub_f32s(h, x), x)])
    }
}

struct OfHighway<'a>(HighwayGradient<'a>);

impl WithSimd for OfHighway<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let HighwayGradient { width, x, gates, delta, of_x } = self.0;
        let rows = x.chunks_exact(width).zip(delta.chunks_exact(width)).zip(of_x.chunks_exact_mut(width));
        for (((x, delta), of_x), gates) in rows.zip(gates.chunks_exact_mut(4 * width)) {
            let [_, z, h, _] = parts_mut(gates, width);
            map_rows(simd, [x, delta], [z, h], [of_x], HighwaySlopes);
        }
    }
}

#[derive(Clone, Copy)]
struct HighwaySlopes;

impl RowFunction<2, 2, 1> for HighwaySlopes {
    #[inline(always)]
    fn apply<S: Simd>(
        self,
        simd: S,
        [x, delta]: [S::f32s; 2],
        [z, h]: [S::f32s; 2],
    ) -> ([S::f32s; 2], [S::f32s; 1]) {
        let of_z = simd.mul_f32s(simd.mul_f32s(delta, simd.sub_f32s(h, x)), sigmoid_slope(simd, z));
        let of_h = simd.mul_f32s(simd.mul_f32s(delta, z), one_minus_square(simd, h));
        ([of_z, of_h], [simd.negate_mul_add_e_f32s(delta, z, delta)])
    }
}

struct OfResets<'a>(HighwayGradient<'a>);

impl WithSimd for OfResets<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let HighwayGradient { width, x, gates, delta, of_x } = self.0;
        let rows = x.chunks_exact(width).zip(delta.chunks_exact(width)).zip(of_x.chunks_exact_mut(width));
        for (((x, delta), of_x), gates) in rows.zip(gates.chunks_exact_mut(4 * width)) {
            let [r, ..] = parts_mut::<4>(gates, width);
            map_rows(simd, [x, delta], [r, of_x], [], ResetSlopes);
        }
    }
}

#[derive(Clone, Copy)]
struct ResetSlopes;

impl RowFunction<2, 2, 0> for ResetSlopes {
    #[inline(always)]
    fn apply<S: Simd>(
        self,
        simd: S,
        [x, delta]: [S::f32s; 2],
        [r, of_x]: [S::f32s; 2],
    ) -> ([S::f32s; 2], [S::f32s; 0]) {
        let of_r = simd.mul_f32s(simd.mul_f32s(delta, x), sigmoid_slope(simd, r));
        ([of_r, simd.mul_add_e_f32s(delta, r, of_x)], [])
    }
}
