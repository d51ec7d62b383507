//! Activation functions on whole blocks, and their derivatives fused with the bias gradient.

use pulp::{Simd, WithSimd};

use super::elementwise::{MapInPlace, Relu, Sigmoid, Tanh, Unary};
use super::math;
use super::simd::{dispatch, first_lanes, load, store};
use crate::linear::{Activation, LEAKY_RELU_SLOPE};

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
        Activation::Gelu => values.iter_mut().for_each(|x| *x = gelu(*x)),
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

fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + libm::erff(x * std::f32::consts::FRAC_1_SQRT_2))
}

fn gelu_derivative(x: f32) -> f32 {
    let density =
        libm::expf(-0.5 * x * x) * (0.5 * std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2);
    0.5 * (1.0 + libm::erff(x * std::f32::consts::FRAC_1_SQRT_2)) + x * density
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
        Activation::Gelu => {
            for (delta, &x) in delta.iter_mut().zip(kept) {
                *delta *= gelu_derivative(x);
            }
            run!(IdentityDerivative);
        }
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
