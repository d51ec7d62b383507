//! Activation functions on whole blocks, and their derivatives fused with the bias gradient.

use pulp::{Simd, WithSimd};

use super::elementwise::{MapInPlace, Relu, Sigmoid, Tanh, Unary};
use super::math;
use super::simd::{dispatch, first_lanes, load, store};
use crate::linear::{Activation, LEAKY_RELU_SLOPE};

/// `1 / √(2π)`.
const ONE_OVER_ROOT_TWO_PI: f32 = 0.398_942_3;

/// Replaces pre-activations by activations.
pub(crate) fn activate(activation: Activation, values: &mut [f32]) {
    match activation {
        Activation::Identity => {}
        Activation::Relu => dispatch(MapInPlace(values, Relu)),
        Activation::Tanh => dispatch(MapInPlace(values, Tanh)),
        Activation::Sigmoid => dispatch(MapInPlace(values, Sigmoid)),
        Activation::Silu => dispatch(MapInPlace(values, Silu)),
        Activation::Elu => dispatch(MapInPlace(values, Elu)),
        Activation::LeakyRelu => dispatch(MapInPlace(values, LeakyRelu)),
        Activation::Gelu => dispatch(MapInPlace(values, Gelu)),
    }
}

#[derive(Clone, Copy)]
struct Silu;

impl Unary for Silu {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        simd.mul_f32s(x, math::sigmoid(simd, x))
    }
}

#[derive(Clone, Copy)]
struct Elu;

impl Unary for Elu {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        let positive = simd.greater_than_f32s(x, simd.splat_f32s(0.0));
        simd.select_f32s(positive, x, math::exp_minus_one_of_negative(simd, x))
    }
}

#[derive(Clone, Copy)]
struct LeakyRelu;

impl Unary for LeakyRelu {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        let positive = simd.greater_than_f32s(x, simd.splat_f32s(0.0));
        simd.select_f32s(positive, x, simd.mul_f32s(x, simd.splat_f32s(LEAKY_RELU_SLOPE)))
    }
}

#[derive(Clone, Copy)]
struct Gelu;

impl Unary for Gelu {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        simd.mul_f32s(x, math::normal_cdf(simd, x).0)
    }
}

/// Turns gradients of activations into gradients of pre-activations, and sums them over the rows.
///
/// `kept` holds what [`Activation::keeps_preactivation`] says: the activations, or the pre-activations.
///
/// `delta[r, c] *= activation'(kept[r, c])`; `bias_gradient[c] += Σ_r delta[r, c]`.
pub(crate) fn differentiate(
    activation: Activation,
    columns: usize,
    kept: &[f32],
    delta: &mut [f32],
    bias_gradient: &mut [f32],
) {
    assert!(delta.len().is_multiple_of(columns) && bias_gradient.len() >= columns, "{columns} columns");
    assert!(activation == Activation::Identity || kept.len() >= delta.len(), "kept values for each gradient");
    let kept_or_delta = if activation == Activation::Identity { &[] } else { kept };
    macro_rules! run {
        ($derivative:expr) => {
            dispatch(Differentiate {
                derivative: $derivative,
                columns,
                kept: kept_or_delta,
                delta,
                bias_gradient,
            })
        };
    }
    match activation {
        Activation::Identity => run!(IdentityDerivative),
        Activation::Relu => run!(ReluDerivative(0.0)),
        Activation::LeakyRelu => run!(ReluDerivative(LEAKY_RELU_SLOPE)),
        Activation::Tanh => run!(TanhDerivative),
        Activation::Sigmoid => run!(SigmoidDerivative),
        Activation::Elu => run!(EluDerivative),
        Activation::Silu => run!(SiluDerivative),
        Activation::Gelu => run!(GeluDerivative),
    }
}

/// A derivative, given what the layer kept.
trait Derivative: Copy {
    /// Whether the derivative is one everywhere, so that nothing need be read.
    const IS_ONE: bool = false;

    fn apply<S: Simd>(self, simd: S, kept: S::f32s, delta: S::f32s) -> S::f32s;
}

#[derive(Clone, Copy)]
struct IdentityDerivative;

impl Derivative for IdentityDerivative {
    const IS_ONE: bool = true;

    #[inline(always)]
    fn apply<S: Simd>(self, _: S, _: S::f32s, delta: S::f32s) -> S::f32s {
        delta
    }
}

/// The slope below zero; NaN has slope one so that it is passed on.
#[derive(Clone, Copy)]
struct ReluDerivative(f32);

impl Derivative for ReluDerivative {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, kept: S::f32s, delta: S::f32s) -> S::f32s {
        let positive = simd.greater_than_f32s(kept, simd.splat_f32s(0.0));
        let below =
            if self.0 == 0.0 { simd.splat_f32s(0.0) } else { simd.mul_f32s(delta, simd.splat_f32s(self.0)) };
        simd.select_f32s(positive, delta, below)
    }
}

#[derive(Clone, Copy)]
struct TanhDerivative;

impl Derivative for TanhDerivative {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, kept: S::f32s, delta: S::f32s) -> S::f32s {
        let slope = simd.mul_add_e_f32s(simd.neg_f32s(kept), kept, simd.splat_f32s(1.0));
        simd.mul_f32s(delta, slope)
    }
}

#[derive(Clone, Copy)]
struct SigmoidDerivative;

impl Derivative for SigmoidDerivative {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, kept: S::f32s, delta: S::f32s) -> S::f32s {
        let slope = simd.mul_f32s(kept, simd.sub_f32s(simd.splat_f32s(1.0), kept));
        simd.mul_f32s(delta, slope)
    }
}

#[derive(Clone, Copy)]
struct EluDerivative;

impl Derivative for EluDerivative {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, kept: S::f32s, delta: S::f32s) -> S::f32s {
        let positive = simd.greater_than_f32s(kept, simd.splat_f32s(0.0));
        let below = simd.mul_add_e_f32s(delta, kept, delta);
        simd.select_f32s(positive, delta, below)
    }
}

#[derive(Clone, Copy)]
struct SiluDerivative;

impl Derivative for SiluDerivative {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, kept: S::f32s, delta: S::f32s) -> S::f32s {
        // s·(1 + x·(1 − s))
        let s = math::sigmoid(simd, kept);
        let one = simd.splat_f32s(1.0);
        let slope = simd.mul_f32s(s, simd.mul_add_e_f32s(kept, simd.sub_f32s(one, s), one));
        simd.mul_f32s(delta, slope)
    }
}

#[derive(Clone, Copy)]
struct GeluDerivative;

impl Derivative for GeluDerivative {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, kept: S::f32s, delta: S::f32s) -> S::f32s {
        // Φ(x) + x·φ(x)
        let (cdf, exponential) = math::normal_cdf(simd, kept);
        let density = simd.mul_f32s(simd.splat_f32s(ONE_OVER_ROOT_TWO_PI), exponential);
        simd.mul_f32s(delta, simd.mul_add_e_f32s(kept, density, cdf))
    }
}

struct Differentiate<'a, D> {
    derivative: D,
    columns: usize,
    kept: &'a [f32],
    delta: &'a mut [f32],
    bias_gradient: &'a mut [f32],
}

impl<D: Derivative> WithSimd for Differentiate<'_, D> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { derivative, columns, kept, delta, bias_gradient } = self;
        let task = Strips {
            derivative,
            rows: delta.len() / columns,
            columns,
            kept: kept.as_ptr(),
            delta: delta.as_mut_ptr(),
            bias_gradient: bias_gradient.as_mut_ptr(),
        };
        let mut column = 0;
        // SAFETY: `differentiate` has checked the lengths; each strip stays inside the columns.
        unsafe {
            while column + 4 * S::F32_LANES <= columns {
                strip::<S, D, 4>(simd, &task, column, |ptr| load::<S>(ptr), |ptr, x| store::<S>(ptr, x));
                column += 4 * S::F32_LANES;
            }
            while column + S::F32_LANES <= columns {
                strip::<S, D, 1>(simd, &task, column, |ptr| load::<S>(ptr), |ptr, x| store::<S>(ptr, x));
                column += S::F32_LANES;
            }
            if column < columns {
                let mask = first_lanes(simd, columns - column);
                let load = |ptr| simd.mask_load_ptr_f32s(mask, ptr);
                let store = |ptr, x| simd.mask_store_ptr_f32s(mask, ptr, x);
                strip::<S, D, 1>(simd, &task, column, load, store);
            }
        }
    }
}

/// What [`strip`] reads and writes.
struct Strips<D> {
    derivative: D,
    rows: usize,
    columns: usize,
    kept: *const f32,
    delta: *mut f32,
    bias_gradient: *mut f32,
}

/// `N` neighbouring vectors of columns, all rows.
///
/// # Safety
/// The vectors from `column` on, as `load` and `store` touch them, must lie inside the rows.
#[inline(always)]
unsafe fn strip<S: Simd, D: Derivative, const N: usize>(
    simd: S,
    task: &Strips<D>,
    column: usize,
    load: impl Fn(*const f32) -> S::f32s,
    store: impl Fn(*mut f32, S::f32s),
) {
    let mut sums = [simd.splat_f32s(0.0); N];
    for row in 0..task.rows {
        for (j, sum) in sums.iter_mut().enumerate() {
            let at = row * task.columns + column + j * S::F32_LANES;
            // SAFETY: row < rows, and the column lies inside the row.
            unsafe {
                let delta_ptr = task.delta.add(at);
                let mut delta = load(delta_ptr);
                if !D::IS_ONE {
                    delta = task.derivative.apply(simd, load(task.kept.add(at)), delta);
                    store(delta_ptr, delta);
                }
                *sum = simd.add_f32s(*sum, delta);
            }
        }
    }
    for (j, &sum) in sums.iter().enumerate() {
        // SAFETY: the column lies inside the bias gradient.
        unsafe {
            let ptr = task.bias_gradient.add(column + j * S::F32_LANES);
            store(ptr, simd.add_f32s(load(ptr), sum));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::simd::dispatch_to;
    use super::*;
    use crate::instruction_set::InstructionSet;

    #[derive(Clone, Copy)]
    struct NormalCdf;

    impl Unary for NormalCdf {
        #[inline(always)]
        fn apply<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
            math::normal_cdf(simd, x).0
        }
    }

    fn sets() -> impl Iterator<Item = InstructionSet> {
        InstructionSet::ALL.into_iter().filter(|set| set.is_available())
    }

    /// A dense range around zero, and far values of both signs; not a multiple of any vector width.
    fn inputs() -> Vec<f32> {
        let dense = (-600_000..=600_000_i32).map(|i| i as f32 * 1e-5);
        let far = [6.5, 8.0, 13.0, 100.0, 1e4, 1e30, f32::MAX].into_iter().flat_map(|x| [x, -x]);
        dense.chain(far).collect()
    }

    fn cdf(x: f64) -> f64 {
        0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
    }

    #[test]
    fn the_normal_distribution_function_is_close_to_libm() {
        for set in sets() {
            let inputs = inputs();
            let mut outputs = inputs.clone();
            dispatch_to(set, MapInPlace(&mut outputs, NormalCdf));
            for (&x, y) in inputs.iter().zip(outputs) {
                let exact = cdf(f64::from(x));
                let error = (f64::from(y) - exact).abs();
                assert!(error < 3e-7, "{set}: Φ({x}), got {y}, error {error}");
            }
        }
    }

    #[test]
    fn gelu_is_close_to_libm_on_every_instruction_set() {
        for set in sets() {
            let inputs = inputs();
            let mut outputs = inputs.clone();
            dispatch_to(set, MapInPlace(&mut outputs, Gelu));
            for (&x, y) in inputs.iter().zip(outputs) {
                let exact = f64::from(x) * cdf(f64::from(x));
                let error = (f64::from(y) - exact).abs();
                assert!(
                    error <= 1e-6_f64.max(1e-6 * exact.abs()),
                    "{set}: gelu({x}), got {y}, error {error}"
                );
            }
        }
    }

    #[test]
    fn the_derivative_of_gelu_is_close_to_libm_on_every_instruction_set() {
        for set in sets() {
            let inputs = inputs();
            let (mut delta, mut sums) = (vec![1.0; inputs.len()], vec![0.0; inputs.len()]);
            dispatch_to(
                set,
                Differentiate {
                    derivative: GeluDerivative,
                    columns: inputs.len(),
                    kept: &inputs,
                    delta: &mut delta,
                    bias_gradient: &mut sums,
                },
            );
            for (&x, slope) in inputs.iter().zip(delta) {
                let x = f64::from(x);
                let density = libm::exp(-0.5 * x * x) / (2.0 * std::f64::consts::PI).sqrt();
                let error = (f64::from(slope) - cdf(x) - x * density).abs();
                assert!(error < 1e-6, "{set}: gelu'({x}), got {slope}, error {error}");
            }
        }
    }

    #[test]
    fn gelu_passes_on_nan() {
        let mut values = [f32::NAN; 19];
        activate(Activation::Gelu, &mut values);
        assert!(values.iter().all(|x| x.is_nan()));
    }
}
