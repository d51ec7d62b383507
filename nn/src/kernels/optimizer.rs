//! Single passes over flat parameters and gradients.

use pulp::{Simd, WithSimd};

use super::elementwise::{MapInPlace, Unary};
use super::simd::{dispatch, first_lanes, load, min_or_nan, store};

/// The scalars of one Adam step, in the order in which the formula uses them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamScalars {
    pub(crate) weight_decay: f32,
    pub(crate) beta1: f32,
    pub(crate) one_minus_beta1: f32,
    pub(crate) beta2: f32,
    pub(crate) one_minus_beta2: f32,
    /// `1 / √(1 − β₂ᵗ)`.
    pub(crate) inverse_sqrt_correction2: f32,
    pub(crate) eps: f32,
    /// `−learning rate / (1 − β₁ᵗ)`.
    pub(crate) negative_step_size: f32,
    /// Whether running means that have become denormal are set to zero.
    pub(crate) flush: bool,
}

impl AdamScalars {
    /// The new parameter and running means of each lane.
    ///
    /// Always inlined: as a function of its own it would not be compiled for the vectors it is called with.
    #[inline(always)]
    fn update<S: Simd>(
        self,
        simd: S,
        param: S::f32s,
        grad: S::f32s,
        m: S::f32s,
        v: S::f32s,
    ) -> (S::f32s, S::f32s, S::f32s) {
        let grad = if self.weight_decay == 0.0 {
            grad
        } else {
            simd.mul_add_e_f32s(simd.splat_f32s(self.weight_decay), param, grad)
        };
        let kept = simd.mul_f32s(simd.splat_f32s(self.beta1), m);
        let m = simd.mul_add_e_f32s(simd.splat_f32s(self.one_minus_beta1), grad, kept);
        let kept = simd.mul_f32s(simd.splat_f32s(self.beta2), v);
        let v = simd.mul_add_e_f32s(simd.mul_f32s(simd.splat_f32s(self.one_minus_beta2), grad), grad, kept);
        let (m, v) =
            if self.flush { (without_denormals(simd, m), without_denormals(simd, v)) } else { (m, v) };
        let root = simd.mul_f32s(square_root(simd, v), simd.splat_f32s(self.inverse_sqrt_correction2));
        let ratio = simd.div_f32s(m, simd.add_f32s(root, simd.splat_f32s(self.eps)));
        (simd.mul_add_e_f32s(simd.splat_f32s(self.negative_step_size), ratio, param), m, v)
    }
}

/// Zero where `x` is denormal: a mean that decays stays denormal for ever, and such arithmetic is slow.
#[inline(always)]
fn without_denormals<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let denormal = simd.less_than_f32s(simd.abs_f32s(x), simd.splat_f32s(f32::MIN_POSITIVE));
    simd.select_f32s(denormal, simd.splat_f32s(0.0), x)
}

/// `√x` for `x ≥ 0`, within 1 ulp; NaN for NaN, a huge number for infinity.
///
/// Processors divide and take roots in one slow unit. Goldschmidt's iteration runs beside the division instead.
#[inline(always)]
fn square_root<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    if S::IS_SCALAR {
        return simd.sqrt_f32s(x);
    }
    let x = min_or_nan(simd, simd.splat_f32s(f32::MAX), x);
    // Halving the exponent gives 1/√x within 3.5 %; one less in the exponent gives half of it.
    let halved = simd.wrapping_dyn_shr_u32s(simd.transmute_u32s_f32s(x), simd.splat_u32s(1));
    let inverse = simd.transmute_f32s_u32s(simd.sub_u32s(simd.splat_u32s(0x5f37_59df), halved));
    let mut half = simd.transmute_f32s_u32s(simd.sub_u32s(simd.splat_u32s(0x5f37_59df - (1 << 23)), halved));
    // √x and 1/(2√x) converge together, quadratically.
    let mut root = simd.mul_f32s(x, inverse);
    for _ in 0..2 {
        let rest = simd.negate_mul_add_e_f32s(root, half, simd.splat_f32s(0.5));
        root = simd.mul_add_e_f32s(root, rest, root);
        half = simd.mul_add_e_f32s(half, rest, half);
    }
    let rest = simd.negate_mul_add_e_f32s(root, root, x);
    simd.mul_add_e_f32s(rest, half, root)
}

/// One Adam step over equally long slices.
pub(crate) fn adam(
    scalars: AdamScalars,
    params: &mut [f32],
    grads: &[f32],
    exp_avg: &mut [f32],
    exp_avg_sq: &mut [f32],
) {
    let len = params.len();
    assert!(grads.len() == len && exp_avg.len() == len && exp_avg_sq.len() == len, "equally long slices");
    dispatch(AdamStep { scalars, params, grads, exp_avg, exp_avg_sq });
}

struct AdamStep<'a> {
    scalars: AdamScalars,
    params: &'a mut [f32],
    grads: &'a [f32],
    exp_avg: &'a mut [f32],
    exp_avg_sq: &'a mut [f32],
}

impl WithSimd for AdamStep<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { scalars, params, grads, exp_avg, exp_avg_sq } = self;
        let (full, rest) = (params.len() / S::F32_LANES * S::F32_LANES, params.len() % S::F32_LANES);
        let (p, g) = (params.as_mut_ptr(), grads.as_ptr());
        let (m, v) = (exp_avg.as_mut_ptr(), exp_avg_sq.as_mut_ptr());
        let mut i = 0;
        while i < full {
            // SAFETY: i + F32_LANES <= the length of all four slices.
            unsafe {
                let (param, first, second) = scalars.update(
                    simd,
                    load::<S>(p.add(i)),
                    load::<S>(g.add(i)),
                    load::<S>(m.add(i)),
                    load::<S>(v.add(i)),
                );
                store::<S>(p.add(i), param);
                store::<S>(m.add(i), first);
                store::<S>(v.add(i), second);
            }
            i += S::F32_LANES;
        }
        if rest > 0 {
            let mask = first_lanes(simd, rest);
            // SAFETY: the mask covers the `rest` values left in all four slices.
            unsafe {
                let load = |ptr| simd.mask_load_ptr_f32s(mask, ptr);
                let (param, first, second) = scalars.update(
                    simd,
                    load(p.add(full).cast_const()),
                    load(g.add(full)),
                    load(m.add(full).cast_const()),
                    load(v.add(full).cast_const()),
                );
                simd.mask_store_ptr_f32s(mask, p.add(full), param);
                simd.mask_store_ptr_f32s(mask, m.add(full), first);
                simd.mask_store_ptr_f32s(mask, v.add(full), second);
            }
        }
    }
}

/// `Σ x²`: partial sums of 4096 values in `f32` vectors, added up in `f64`, in a fixed order.
pub(crate) fn sum_of_squares(values: &[f32]) -> f64 {
    const CHUNK: usize = 4096;
    values.chunks(CHUNK).map(|chunk| f64::from(dispatch(SumOfSquares(chunk)))).sum()
}

struct SumOfSquares<'a>(&'a [f32]);

impl WithSimd for SumOfSquares<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let (vectors, rest) = S::as_simd_f32s(self.0);
        let (quads, last) = vectors.as_chunks::<4>();
        let mut sums = [simd.splat_f32s(0.0); 4];
        for quad in quads {
            for (sum, &x) in sums.iter_mut().zip(quad) {
                *sum = simd.mul_add_e_f32s(x, x, *sum);
            }
        }
        for (sum, &x) in sums.iter_mut().zip(last) {
            *sum = simd.mul_add_e_f32s(x, x, *sum);
        }
        let sum = simd.add_f32s(simd.add_f32s(sums[0], sums[1]), simd.add_f32s(sums[2], sums[3]));
        rest.iter().fold(simd.reduce_sum_f32s(sum), |sum, x| sum + x * x)
    }
}

#[derive(Clone, Copy)]
struct Scale(f32);

impl Unary for Scale {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        simd.mul_f32s(x, simd.splat_f32s(self.0))
    }
}

/// `values *= factor`.
pub(crate) fn scale(values: &mut [f32], factor: f32) {
    dispatch(MapInPlace(values, Scale(factor)));
}

/// Whether no value is NaN or infinite.
pub(crate) fn all_finite(values: &[f32]) -> bool {
    dispatch(AllFinite(values))
}

struct AllFinite<'a>(&'a [f32]);

impl WithSimd for AllFinite<'_> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> bool {
        let (vectors, rest) = S::as_simd_f32s(self.0);
        // 0 · x is NaN for NaN and infinities, and 0 else; NaN stays in the sum.
        let zero = simd.splat_f32s(0.0);
        let sum = vectors.iter().fold(zero, |sum, &x| simd.mul_add_e_f32s(x, zero, sum));
        simd.reduce_sum_f32s(sum) == 0.0 && rest.iter().all(|x| x.is_finite())
    }
}

/// `target = weight · source + (1 − weight) · target`.
pub(crate) fn lerp(target: &mut [f32], source: &[f32], weight: f32) {
    assert_eq!(target.len(), source.len(), "equally long slices");
    dispatch(Lerp { target, source, weight });
}

struct Lerp<'a> {
    target: &'a mut [f32],
    source: &'a [f32],
    weight: f32,
}

impl WithSimd for Lerp<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (targets, target_rest) = S::as_mut_simd_f32s(self.target);
        let (sources, source_rest) = S::as_simd_f32s(self.source);
        let (weight, keep) = (self.weight, 1.0 - self.weight);
        let (weights, keeps) = (simd.splat_f32s(weight), simd.splat_f32s(keep));
        for (target, &source) in targets.iter_mut().zip(sources) {
            *target = simd.mul_add_e_f32s(weights, source, simd.mul_f32s(keeps, *target));
        }
        for (target, &source) in target_rest.iter_mut().zip(source_rest) {
            *target = weight * source + keep * *target;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::simd::dispatch_to;
    use super::*;
    use crate::instruction_set::InstructionSet;

    #[derive(Clone, Copy)]
    struct Root;

    impl Unary for Root {
        #[inline(always)]
        fn apply<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
            square_root(simd, x)
        }
    }

    #[test]
    fn square_roots_are_within_one_ulp() {
        let normal = f32::MIN_POSITIVE.to_bits()..f32::INFINITY.to_bits();
        let inputs: Vec<f32> = normal.step_by(1009).map(f32::from_bits).collect();
        for set in InstructionSet::ALL.into_iter().filter(|set| set.is_available()) {
            let mut roots = inputs.clone();
            dispatch_to(set, MapInPlace(&mut roots, Root));
            for (x, root) in inputs.iter().zip(roots) {
                assert!(root.to_bits().abs_diff(x.sqrt().to_bits()) <= 1, "{set}: √{x}, got {root}");
            }
            let mut special = [0.0, f32::NAN, f32::INFINITY, 1e-45];
            dispatch_to(set, MapInPlace(&mut special, Root));
            assert_eq!(special[0], 0.0);
            assert!(special[1].is_nan() && special[2] > 1e19 && special[3] < 1e-18, "{set}: {special:?}");
        }
    }
}
