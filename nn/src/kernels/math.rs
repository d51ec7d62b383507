//! Elementary functions on one vector: polynomials and rational functions after range reduction.
//!
//! Every function is branch-free, so a lane's result depends on that lane's argument alone. Errors are the largest over a
//! dense sweep, against `f64`, on every instruction set (`tests.rs`).

use pulp::Simd;

use super::simd::{max_or_nan, min_or_nan};

/// Adding and subtracting `1.5 · 2²³` rounds a small `f32` to the nearest integer.
const ROUND: f32 = 12_582_912.0;

/// `Σ coefficients[i] · x^(n−1−i)`, highest power first.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, x: S::f32s, coefficients: [f32; N]) -> S::f32s {
    let mut sum = simd.splat_f32s(coefficients[0]);
    for &coefficient in &coefficients[1..] {
        sum = simd.mul_add_e_f32s(sum, x, simd.splat_f32s(coefficient));
    }
    sum
}

/// As [`ROUND`], and leaves twice the bias of an exponent in the lowest bits beside the integer.
const ROUND_BIASED: f32 = ROUND + 254.0;

/// `e^x`, within 1.1 ulp; overflows to infinity, underflows through denormals to zero.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // Beyond these bounds the result is infinity or zero in any case.
    let x = min_or_nan(simd, simd.splat_f32s(89.0), x);
    let x = max_or_nan(simd, simd.splat_f32s(-104.0), x);
    // x = n·ln 2 + r with |r| ≤ ln 2 / 2; ln 2 is split so that n·(high part) is exact.
    let log2_e = simd.splat_f32s(std::f32::consts::LOG2_E);
    let shifted = simd.mul_add_e_f32s(x, log2_e, simd.splat_f32s(ROUND_BIASED));
    let n = simd.sub_f32s(shifted, simd.splat_f32s(ROUND_BIASED));
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(-0.693_359_4), x);
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(2.121_944_4e-4), r);
    // Cephes expf.
    let p = polynomial(
        simd,
        r,
        [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5],
    );
    let y = simd.add_f32s(simd.mul_add_e_f32s(p, simd.mul_f32s(r, r), r), simd.splat_f32s(1.0));
    // 2^n in two factors, so that neither overflows nor is denormal: n + 254 is cut into halves that are their exponents.
    let exponents = simd.transmute_u32s_f32s(shifted);
    let first = simd.wrapping_dyn_shr_u32s(exponents, simd.splat_u32s(1));
    let second = simd.sub_u32s(exponents, first);
    simd.mul_f32s(simd.mul_f32s(y, power_of_two(simd, first)), power_of_two(simd, second))
}

/// `2^(e − 127)` for the lowest nine bits `e`, of which the highest is zero.
#[inline(always)]
fn power_of_two<S: Simd>(simd: S, exponent: S::u32s) -> S::f32s {
    simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(exponent, simd.splat_u32s(23)))
}

/// `ln x`, within 1 ulp; −∞ at zero, NaN below.
#[inline(always)]
pub(crate) fn ln<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    let denormal = simd.less_than_f32s(x, simd.splat_f32s(f32::MIN_POSITIVE));
    let scaled = simd.select_f32s(denormal, simd.mul_f32s(x, simd.splat_f32s(8_388_608.0)), x);
    let bias = simd.select_f32s(
        denormal,
        simd.splat_f32s(8_388_608.0 + 150.0),
        simd.splat_f32s(8_388_608.0 + 127.0),
    );
    // scaled = 2^e · m with m in √½..√2.
    let bits = simd.transmute_u32s_f32s(scaled);
    let offset = simd.add_u32s(bits, simd.splat_u32s(0x3f80_0000 - 0x3f35_04f3));
    let exponent = simd.wrapping_dyn_shr_u32s(offset, simd.splat_u32s(23));
    let exponent = simd.transmute_f32s_u32s(simd.or_u32s(exponent, simd.splat_u32s(0x4b00_0000)));
    let e = simd.sub_f32s(exponent, bias);
    let mantissa =
        simd.add_u32s(simd.and_u32s(offset, simd.splat_u32s(0x007f_ffff)), simd.splat_u32s(0x3f35_04f3));
    let f = simd.sub_f32s(simd.transmute_f32s_u32s(mantissa), simd.splat_f32s(1.0));
    // Cephes logf.
    let p = polynomial(
        simd,
        f,
        [
            7.037_683_6e-2,
            -1.151_461e-1,
            1.167_699_9e-1,
            -1.242_014_1e-1,
            1.424_932_3e-1,
            -1.666_805_7e-1,
            2.000_071_5e-1,
            -2.499_999_4e-1,
            3.333_333e-1,
        ],
    );
    let square = simd.mul_f32s(f, f);
    let y = simd.mul_f32s(simd.mul_f32s(p, f), square);
    let y = simd.mul_add_e_f32s(e, simd.splat_f32s(-2.121_944_4e-4), y);
    let y = simd.mul_add_e_f32s(square, simd.splat_f32s(-0.5), y);
    let y = simd.add_f32s(f, y);
    let y = simd.mul_add_e_f32s(e, simd.splat_f32s(0.693_359_4), y);
    // Where the reduction does not hold: NaN below zero and for NaN, ±∞ at the ends.
    let infinity = simd.splat_f32s(f32::INFINITY);
    let y = simd.select_f32s(simd.less_than_f32s(x, infinity), y, x);
    let y = simd.select_f32s(simd.equal_f32s(x, zero), simd.splat_f32s(f32::NEG_INFINITY), y);
    simd.select_f32s(simd.less_than_f32s(x, zero), simd.splat_f32s(f32::NAN), y)
}

/// Where the rational function of [`tanh`] is exactly one, with fused multiply-add and without.
const TANH_BOUND: f32 = 8.055_275;

/// `tanh x`, within 6 ulp; exactly ±1 from ±8.06 on.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let x = min_or_nan(simd, simd.splat_f32s(TANH_BOUND), x);
    let x = max_or_nan(simd, simd.splat_f32s(-TANH_BOUND), x);
    // Rational minimax approximation, odd over even (coefficients of Eigen's `ptanh_float`).
    let square = simd.mul_f32s(x, x);
    let numerator =
        polynomial(simd, square, [1.394_553_6e-8, 2.102_733_6e-5, 3.520_756_7e-3, 1.340_216_1e-1, 1.0]);
    let denominator =
        polynomial(simd, square, [8.015_777e-7, 3.326_951_4e-4, 2.597_254_5e-2, 4.673_548_3e-1, 1.0]);
    simd.div_f32s(simd.mul_f32s(x, numerator), denominator)
}

/// `1 / (1 + e^−x)`, within 2.5 ulp.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    simd.div_f32s(one, simd.add_f32s(one, exp(simd, simd.neg_f32s(x))))
}

/// `e^x − 1` for `x ≤ 0`, accurate near zero: `2t / (1 − t)` with `t = tanh(x / 2)`.
#[inline(always)]
pub(crate) fn exp_minus_one_of_negative<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let t = tanh(simd, simd.mul_f32s(x, simd.splat_f32s(0.5)));
    simd.div_f32s(simd.add_f32s(t, t), simd.sub_f32s(simd.splat_f32s(1.0), t))
}

/// The normal distribution function `Φ(x)`, within 3e-7 absolute, and `e^(−x²/2)`, which its density is made of.
#[inline(always)]
pub(crate) fn normal_cdf<S: Simd>(simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
    let one = simd.splat_f32s(1.0);
    let z = simd.abs_f32s(x);
    // erfc(z / √2) = q(t)·e^(−z²/2) with t = 1 / (1 + 0.3275911·z / √2): Abramowitz and Stegun 7.1.26, halved.
    let scale = simd.splat_f32s(0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2);
    let t = simd.div_f32s(one, simd.mul_add_e_f32s(z, scale, one));
    let q = polynomial(
        simd,
        t,
        [0.5 * 1.061_405_4, -0.5 * 1.453_152, 0.5 * 1.421_413_8, -0.5 * 0.284_496_72, 0.5 * 0.254_829_6],
    );
    let exponential = exp(simd, simd.mul_f32s(simd.mul_f32s(z, simd.splat_f32s(-0.5)), z));
    let tail = simd.mul_f32s(simd.mul_f32s(q, t), exponential);
    let positive = simd.greater_than_f32s(x, simd.splat_f32s(0.0));
    (simd.select_f32s(positive, simd.sub_f32s(one, tail), tail), exponential)
}
