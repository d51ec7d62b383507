//! Single passes over flat parameters and gradients.

use pulp::{Simd, WithSimd};

use super::elementwise::{MapInPlace, Unary};
use super::simd::{dispatch, first_lanes, load, max_or_nan, min_or_nan, store};

/// One step of an optimizer on one vector of parameters, with `N` running values for each.
pub(crate) trait Update<const N: usize>: Copy + Send + Sync {
    /// The new parameters and running values of each lane.
    ///
    /// Always inlined: as a function of its own it would not be compiled for the vectors it is called with.
    fn apply<S: Simd>(
        self,
        simd: S,
        param: S::f32s,
        grad: S::f32s,
        state: [S::f32s; N],
    ) -> (S::f32s, [S::f32s; N]);
}

/// The scalars of one Adam step, in the order in which the formula uses them.
///
/// Weight decay is decoupled from the gradient (AdamW) if `DECOUPLED`, else an L2 penalty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamUpdate<const DECOUPLED: bool> {
    /// Decoupled: the factor `1 − learning rate · λ` of the parameters. Else λ, the weight of the penalty.
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

impl<const DECOUPLED: bool> Update<2> for AdamUpdate<DECOUPLED> {
    #[inline(always)]
    fn apply<S: Simd>(
        self,
        simd: S,
        param: S::f32s,
        grad: S::f32s,
        [m, v]: [S::f32s; 2],
    ) -> (S::f32s, [S::f32s; 2]) {
        let (param, grad) = if DECOUPLED {
            (simd.mul_f32s(param, simd.splat_f32s(self.weight_decay)), grad)
        } else {
            (param, with_penalty(simd, self.weight_decay, param, grad))
        };
        let kept = simd.mul_f32s(simd.splat_f32s(self.beta1), m);
        let m = simd.mul_add_e_f32s(simd.splat_f32s(self.one_minus_beta1), grad, kept);
        let kept = simd.mul_f32s(simd.splat_f32s(self.beta2), v);
        let v = simd.mul_add_e_f32s(simd.mul_f32s(simd.splat_f32s(self.one_minus_beta2), grad), grad, kept);
        let [m, v] = flushed(simd, self.flush, [m, v]);
        let root = simd.mul_f32s(square_root(simd, v), simd.splat_f32s(self.inverse_sqrt_correction2));
        let ratio = simd.div_f32s(m, simd.add_f32s(root, simd.splat_f32s(self.eps)));
        (simd.mul_add_e_f32s(simd.splat_f32s(self.negative_step_size), ratio, param), [m, v])
    }
}

/// The scalars of one `RMSprop` step, in the order in which the formula uses them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RmsPropScalars {
    pub(crate) weight_decay: f32,
    pub(crate) alpha: f32,
    pub(crate) one_minus_alpha: f32,
    pub(crate) eps: f32,
    /// Whether `eps` is added before the root is taken.
    pub(crate) eps_inside_root: bool,
    pub(crate) momentum: f32,
    pub(crate) negative_learning_rate: f32,
    /// Whether running values that have become denormal are set to zero.
    pub(crate) flush: bool,
}

/// One `RMSprop` step. Its running values are the mean square of the gradient, its mean if `CENTERED`, and the
/// momentum buffer if `MOMENTUM`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RmsPropUpdate<const CENTERED: bool, const MOMENTUM: bool>(pub(crate) RmsPropScalars);

impl<const CENTERED: bool, const MOMENTUM: bool> RmsPropUpdate<CENTERED, MOMENTUM> {
    /// The step with all three running values, of which those that the variant lacks are ignored.
    #[inline(always)]
    fn step<S: Simd>(
        self,
        simd: S,
        param: S::f32s,
        grad: S::f32s,
        [square_avg, grad_avg, buffer]: [S::f32s; 3],
    ) -> (S::f32s, [S::f32s; 3]) {
        let Self(scalars) = self;
        let grad = with_penalty(simd, scalars.weight_decay, param, grad);
        let (alpha, rest) = (simd.splat_f32s(scalars.alpha), simd.splat_f32s(scalars.one_minus_alpha));
        let square_avg =
            simd.mul_add_e_f32s(simd.mul_f32s(rest, grad), grad, simd.mul_f32s(alpha, square_avg));
        let grad_avg = if CENTERED {
            simd.mul_add_e_f32s(rest, grad, simd.mul_f32s(alpha, grad_avg))
        } else {
            simd.splat_f32s(0.0)
        };
        let [square_avg, grad_avg] = flushed(simd, scalars.flush, [square_avg, grad_avg]);
        let mean_square = if CENTERED {
            // Rounding can leave a variance below zero where the gradient hardly varies.
            let variance = simd.negate_mul_add_e_f32s(grad_avg, grad_avg, square_avg);
            max_or_nan(simd, simd.splat_f32s(0.0), variance)
        } else {
            square_avg
        };
        let eps = simd.splat_f32s(scalars.eps);
        let denominator = if scalars.eps_inside_root {
            square_root(simd, simd.add_f32s(mean_square, eps))
        } else {
            simd.add_f32s(square_root(simd, mean_square), eps)
        };
        let mut direction = simd.div_f32s(grad, denominator);
        if MOMENTUM {
            direction = simd.mul_add_e_f32s(simd.splat_f32s(scalars.momentum), buffer, direction);
            [direction] = flushed(simd, scalars.flush, [direction]);
        }
        let param = simd.mul_add_e_f32s(simd.splat_f32s(scalars.negative_learning_rate), direction, param);
        (param, [square_avg, grad_avg, direction])
    }
}

impl Update<1> for RmsPropUpdate<false, false> {
    #[inline(always)]
    fn apply<S: Simd>(
        self,
        simd: S,
        param: S::f32s,
        grad: S::f32s,
        [square_avg]: [S::f32s; 1],
    ) -> (S::f32s, [S::f32s; 1]) {
        let none = simd.splat_f32s(0.0);
        let (param, [square_avg, ..]) = self.step(simd, param, grad, [square_avg, none, none]);
        (param, [square_avg])
    }
}

impl Update<2> for RmsPropUpdate<false, true> {
    #[inline(always)]
    fn apply<S: Simd>(
        self,
        simd: S,
        param: S::f32s,
        grad: S::f32s,
        [square_avg, buffer]: [S::f32s; 2],
    ) -> (S::f32s, [S::f32s; 2]) {
        let none = simd.splat_f32s(0.0);
        let (param, [square_avg, _, buffer]) = self.step(simd, param, grad, [square_avg, none, buffer]);
        (param, [square_avg, buffer])
    }
}

impl Update<2> for RmsPropUpdate<true, false> {
    #[inline(always)]
    fn apply<S: Simd>(
        self,
        simd: S,
        param: S::f32s,
        grad: S::f32s,
        [square_avg, grad_avg]: [S::f32s; 2],
    ) -> (S::f32s, [S::f32s; 2]) {
        let none = simd.splat_f32s(0.0);
        let (param, [square_avg, grad_avg, _]) = self.step(simd, param, grad, [square_avg, grad_avg, none]);
        (param, [square_avg, grad_avg])
    }
}

impl Update<3> for RmsPropUpdate<true, true> {
    #[inline(always)]
    fn apply<S: Simd>(
        self,
        simd: S,
        param: S::f32s,
        grad: S::f32s,
        state: [S::f32s; 3],
    ) -> (S::f32s, [S::f32s; 3]) {
        self.step(simd, param, grad, state)
    }
}

/// The scalars of one step of stochastic gradient descent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SgdUpdate {
    pub(crate) weight_decay: f32,
    pub(crate) momentum: f32,
    pub(crate) nesterov: bool,
    pub(crate) negative_learning_rate: f32,
    /// Whether a momentum buffer that has become denormal is set to zero.
    pub(crate) flush: bool,
}

/// Without momentum.
impl Update<0> for SgdUpdate {
    #[inline(always)]
    fn apply<S: Simd>(
        self,
        simd: S,
        param: S::f32s,
        grad: S::f32s,
        _: [S::f32s; 0],
    ) -> (S::f32s, [S::f32s; 0]) {
        let grad = with_penalty(simd, self.weight_decay, param, grad);
        (simd.mul_add_e_f32s(simd.splat_f32s(self.negative_learning_rate), grad, param), [])
    }
}

/// With momentum.
impl Update<1> for SgdUpdate {
    #[inline(always)]
    fn apply<S: Simd>(
        self,
        simd: S,
        param: S::f32s,
        grad: S::f32s,
        [buffer]: [S::f32s; 1],
    ) -> (S::f32s, [S::f32s; 1]) {
        let grad = with_penalty(simd, self.weight_decay, param, grad);
        let momentum = simd.splat_f32s(self.momentum);
        let [buffer] = flushed(simd, self.flush, [simd.mul_add_e_f32s(momentum, buffer, grad)]);
        let direction = if self.nesterov { simd.mul_add_e_f32s(momentum, buffer, grad) } else { buffer };
        (simd.mul_add_e_f32s(simd.splat_f32s(self.negative_learning_rate), direction, param), [buffer])
    }
}

/// The gradient with that of the penalty `weight_decay / 2 · param²` added.
#[inline(always)]
fn with_penalty<S: Simd>(simd: S, weight_decay: f32, param: S::f32s, grad: S::f32s) -> S::f32s {
    if weight_decay == 0.0 { grad } else { simd.mul_add_e_f32s(simd.splat_f32s(weight_decay), param, grad) }
}

/// The values, denormal ones set to zero if `flush`.
#[inline(always)]
fn flushed<S: Simd, const N: usize>(simd: S, flush: bool, mut values: [S::f32s; N]) -> [S::f32s; N] {
    // A loop, because closures given to `array::map` are not compiled for the vectors.
    if flush {
        for x in &mut values {
            *x = without_denormals(simd, *x);
        }
    }
    values
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

/// One step of an optimizer over equally long slices.
pub(crate) fn update<const N: usize>(
    update: impl Update<N>,
    params: &mut [f32],
    grads: &[f32],
    state: [&mut [f32]; N],
) {
    let len = params.len();
    assert!(grads.len() == len && state.iter().all(|part| part.len() == len), "equally long slices");
    dispatch(UpdateAll { update, params, grads, state });
}

struct UpdateAll<'a, U, const N: usize> {
    update: U,
    params: &'a mut [f32],
    grads: &'a [f32],
    state: [&'a mut [f32]; N],
}

impl<U: Update<N>, const N: usize> WithSimd for UpdateAll<'_, U, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { update, params, grads, state } = self;
        let (full, rest) = (params.len() / S::F32_LANES * S::F32_LANES, params.len() % S::F32_LANES);
        let (p, g) = (params.as_mut_ptr(), grads.as_ptr());
        let state = state.map(<[f32]>::as_mut_ptr);
        let mut i = 0;
        while i < full {
            // SAFETY: i + F32_LANES <= the length of all slices.
            unsafe {
                let mut values = [simd.splat_f32s(0.0); N];
                for (value, s) in values.iter_mut().zip(state) {
                    *value = load::<S>(s.add(i));
                }
                let (param, values) = update.apply(simd, load::<S>(p.add(i)), load::<S>(g.add(i)), values);
                store::<S>(p.add(i), param);
                for (&value, s) in values.iter().zip(state) {
                    store::<S>(s.add(i), value);
                }
            }
            i += S::F32_LANES;
        }
        if rest > 0 {
            let mask = first_lanes(simd, rest);
            // SAFETY: the mask covers the `rest` values left in all slices.
            unsafe {
                let load = |ptr| simd.mask_load_ptr_f32s(mask, ptr);
                let mut values = [simd.splat_f32s(0.0); N];
                for (value, s) in values.iter_mut().zip(state) {
                    *value = load(s.add(full).cast_const());
                }
                let (param, values) =
                    update.apply(simd, load(p.add(full).cast_const()), load(g.add(full)), values);
                simd.mask_store_ptr_f32s(mask, p.add(full), param);
                for (&value, s) in values.iter().zip(state) {
                    simd.mask_store_ptr_f32s(mask, s.add(full), value);
                }
            }
        }
    }
}

/// `Σ x²`: partial sums of 1024 values in `f32` vectors, added up in `f64`, in a fixed order.
pub(crate) fn sum_of_squares(values: &[f32]) -> f64 {
    const CHUNK: usize = 1024;
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

    /// Three steps of one rule from the same start.
    fn path<const N: usize>(set: InstructionSet, rule: impl Update<N>) -> Vec<f32> {
        const LEN: usize = 53;
        let at = |i: usize, step: usize| ((i * 31 + step * 17) % 97) as f32 / 40.0 - 1.2;
        let mut params: Vec<f32> = (0..LEN).map(|i| at(i, 5)).collect();
        let mut state = [const { [0.5; LEN] }; N];
        for step in 0..3 {
            let grads: Vec<f32> = (0..LEN).map(|i| at(i, step)).collect();
            let state = state.each_mut().map(<[f32; LEN]>::as_mut_slice);
            dispatch_to(set, UpdateAll { update: rule, params: &mut params, grads: &grads, state });
        }
        params.into_iter().chain(state.into_iter().flatten()).collect()
    }

    fn assert_sets_agree<const N: usize>(rule: impl Update<N>) {
        let expected = path(InstructionSet::Scalar, rule);
        for set in InstructionSet::ALL.into_iter().filter(|set| set.is_available()) {
            for (got, expected) in path(set, rule).into_iter().zip(&expected) {
                assert!((got - expected).abs() < 3e-6, "{set} {N}: expected {expected}, got {got}");
            }
        }
    }

    const RMSPROP: RmsPropScalars = RmsPropScalars {
        weight_decay: 0.1,
        alpha: 0.9,
        one_minus_alpha: 0.1,
        eps: 0.01,
        eps_inside_root: false,
        momentum: 0.5,
        negative_learning_rate: -0.1,
        flush: true,
    };

    #[test]
    fn a_variance_below_zero_counts_as_zero() {
        // Nothing is averaged in, so that the variance is 0.5 − 1.
        let scalars = RmsPropScalars { weight_decay: 0.0, alpha: 1.0, one_minus_alpha: 0.0, ..RMSPROP };
        for set in InstructionSet::ALL.into_iter().filter(|set| set.is_available()) {
            let (mut params, mut square_avg, mut grad_avg) = ([0.0; 19], [0.5; 19], [1.0; 19]);
            let op = UpdateAll {
                update: RmsPropUpdate::<true, false>(scalars),
                params: &mut params,
                grads: &[1.0; 19],
                state: [&mut square_avg, &mut grad_avg],
            };
            dispatch_to(set, op);
            assert!(params.iter().all(|w| (w + 0.1 / 0.01).abs() < 1e-4), "{set}: {params:?}");
        }
    }

    #[test]
    fn every_instruction_set_makes_the_same_steps() {
        for scalars in [RMSPROP, RmsPropScalars { eps_inside_root: true, ..RMSPROP }] {
            assert_sets_agree(RmsPropUpdate::<false, false>(scalars));
            assert_sets_agree(RmsPropUpdate::<false, true>(scalars));
            assert_sets_agree(RmsPropUpdate::<true, false>(scalars));
            assert_sets_agree(RmsPropUpdate::<true, true>(scalars));
        }
        for nesterov in [false, true] {
            let sgd = SgdUpdate {
                weight_decay: 0.1,
                momentum: 0.9,
                nesterov,
                negative_learning_rate: -0.1,
                flush: true,
            };
            assert_sets_agree::<0>(sgd);
            assert_sets_agree::<1>(sgd);
        }
        let decoupled = AdamUpdate::<true> {
            weight_decay: 0.99,
            beta1: 0.9,
            one_minus_beta1: 0.1,
            beta2: 0.99,
            one_minus_beta2: 0.01,
            inverse_sqrt_correction2: 1.5,
            eps: 1e-5,
            negative_step_size: -0.1,
            flush: true,
        };
        assert_sets_agree(decoupled);
    }
}
