//! Vectorised functions over slices, in place.

use pulp::{Simd, WithSimd};

use super::math;
use super::simd::{dispatch, first_lanes, load, max_or_nan, store};

/// A function of one vector.
pub(crate) trait Unary: Copy {
    /// Applies the function to each lane.
    fn apply<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s;
}

/// Applies a [`Unary`] to every value of a slice.
pub(crate) struct MapInPlace<'a, F>(pub(crate) &'a mut [f32], pub(crate) F);

impl<F: Unary> WithSimd for MapInPlace<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self(values, function) = self;
        let (full, rest) = (values.len() / S::F32_LANES * S::F32_LANES, values.len() % S::F32_LANES);
        let ptr = values.as_mut_ptr();
        let mut i = 0;
        while i < full {
            // SAFETY: i + F32_LANES <= full <= values.len().
            unsafe { store::<S>(ptr.add(i), function.apply(simd, load::<S>(ptr.add(i)))) };
            i += S::F32_LANES;
        }
        if rest > 0 {
            let mask = first_lanes(simd, rest);
            // SAFETY: the mask covers the `rest` values left from `full` on.
            unsafe {
                let x = simd.mask_load_ptr_f32s(mask, ptr.add(full));
                simd.mask_store_ptr_f32s(mask, ptr.add(full), function.apply(simd, x));
            }
        }
    }
}

macro_rules! in_place {
    ($(#[$doc:meta])* $name:ident, $op:ident, $apply:expr) => {
        #[derive(Clone, Copy)]
        pub(crate) struct $op;

        impl Unary for $op {
            #[inline(always)]
            fn apply<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
                $apply(simd, x)
            }
        }

        $(#[$doc])*
        pub fn $name(values: &mut [f32]) {
            dispatch(MapInPlace(values, $op));
        }
    };
}

in_place!(
    /// Replaces each value by `e^x` (within 1.1 ulp).
    exp, Exp, math::exp
);
in_place!(
    /// Replaces each value by its natural logarithm (within 1 ulp); −∞ at zero, NaN below.
    ln, Ln, math::ln
);
in_place!(
    /// Replaces each value by `tanh x` (within 6 ulp).
    tanh, Tanh, math::tanh
);
in_place!(
    /// Replaces each value by `1 / (1 + e^−x)` (within 2.5 ulp).
    sigmoid, Sigmoid, math::sigmoid
);
in_place!(
    /// Replaces each value by `max(0, x)`; NaN stays NaN.
    relu, Relu, relu_of
);

#[inline(always)]
fn relu_of<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    max_or_nan(simd, simd.splat_f32s(0.0), x)
}

/// `target += values`.
///
/// # Panics
/// If the slices differ in length.
pub(crate) fn add(target: &mut [f32], values: &[f32]) {
    assert_eq!(target.len(), values.len(), "equally long slices");
    dispatch(Add { target, values });
}

struct Add<'a> {
    target: &'a mut [f32],
    values: &'a [f32],
}

impl WithSimd for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (targets, target_rest) = S::as_mut_simd_f32s(self.target);
        let (values, values_rest) = S::as_simd_f32s(self.values);
        for (target, &value) in targets.iter_mut().zip(values) {
            *target = simd.add_f32s(*target, value);
        }
        for (target, &value) in target_rest.iter_mut().zip(values_rest) {
            *target += value;
        }
    }
}

/// `out = scale · bytes`.
///
/// # Panics
/// If the slices differ in length.
pub(crate) fn scale_bytes(bytes: &[u8], scale: f32, out: &mut [f32]) {
    assert_eq!(bytes.len(), out.len(), "equally long slices");
    dispatch(ScaleBytes { bytes, scale, out });
}

/// A byte as a number.
#[inline(always)]
pub(super) fn byte_value(byte: u8, scale: f32) -> f32 {
    scale * f32::from(byte)
}

struct ScaleBytes<'a> {
    bytes: &'a [u8],
    scale: f32,
    out: &'a mut [f32],
}

impl WithSimd for ScaleBytes<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        // Compiled inside the chosen instruction set, where the compiler widens whole vectors by itself.
        for (out, &byte) in self.out.iter_mut().zip(self.bytes) {
            *out = byte_value(byte, self.scale);
        }
    }
}
