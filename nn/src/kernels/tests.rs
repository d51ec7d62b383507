//! Accuracy of the elementary functions, on every instruction set that this processor has.

use super::elementwise::{Exp, Ln, MapInPlace, Relu, Sigmoid, Tanh, Unary};
use super::simd::dispatch_to;
use super::*;
use crate::instruction_set::InstructionSet;

fn sets() -> impl Iterator<Item = InstructionSet> {
    InstructionSet::ALL.into_iter().filter(|set| set.is_available())
}

fn apply(set: InstructionSet, function: impl Unary, inputs: &[f32]) -> Vec<f32> {
    let mut values = inputs.to_vec();
    dispatch_to(set, MapInPlace(&mut values, function));
    values
}

/// Distance in units in the last place.
fn ulps(got: f32, exact: f64) -> f64 {
    let rounded = exact as f32;
    if got == rounded || (got.is_nan() && rounded.is_nan()) {
        return 0.0;
    }
    let next = f32::from_bits(rounded.abs().to_bits() + 1);
    (f64::from(got) - exact).abs() / f64::from(next - rounded.abs())
}

/// All exponents, many mantissas, both signs.
fn spread() -> Vec<f32> {
    (0..f32::INFINITY.to_bits())
        .step_by(3571)
        .flat_map(|bits| [f32::from_bits(bits), -f32::from_bits(bits)])
        .collect()
}

/// `count` values from `from` to `to`.
fn grid(from: f32, to: f32, count: usize) -> impl Iterator<Item = f32> {
    (0..count).map(move |i| from + (to - from) * (i as f32 / count as f32))
}

/// Checks that the error stays within so many units in the last place for all inputs and instruction sets.
fn check(function: impl Unary, exact: impl Fn(f64) -> f64, inputs: &[f32], bound: f64) {
    for set in sets() {
        for (&x, y) in inputs.iter().zip(apply(set, function, inputs)) {
            let exact = exact(f64::from(x));
            // Denormal results have no more than an absolute precision.
            let is_denormal = exact.abs() < f64::from(f32::MIN_POSITIVE);
            let error = if is_denormal { (f64::from(y) - exact).abs() / 1e-44 } else { ulps(y, exact) };
            assert!(error <= bound, "{set}: f({x}) is {exact}, got {y}, error {error}");
        }
    }
}

#[test]
fn exp_is_within_one_and_a_tenth_ulp() {
    let inputs: Vec<f32> = spread().into_iter().chain(grid(-104.0, 89.0, 2_000_000)).collect();
    check(Exp, f64::exp, &inputs, 1.1);
}

#[test]
fn ln_is_within_one_ulp() {
    let positive = spread().into_iter().filter(|&x| x > 0.0);
    let inputs: Vec<f32> = positive.chain(grid(0.4, 2.5, 1_000_000)).collect();
    check(Ln, f64::ln, &inputs, 1.0);
}

#[test]
fn tanh_is_within_six_ulp_and_stays_within_one() {
    let inputs: Vec<f32> = spread().into_iter().chain(grid(-10.0, 10.0, 2_000_000)).collect();
    check(Tanh, f64::tanh, &inputs, 6.0);
    let near_bound: Vec<f32> = (7.0_f32.to_bits()..8.1_f32.to_bits()).map(f32::from_bits).collect();
    for set in sets() {
        let outputs = apply(set, Tanh, &near_bound);
        let above = near_bound.iter().zip(outputs).find(|(_, y)| *y > 1.0);
        assert_eq!(above, None, "{set}");
    }
}

#[test]
fn sigmoid_is_within_two_and_a_half_ulp() {
    // Below, where the result would be denormal, it is zero.
    let normal = spread().into_iter().filter(|&x| x > -87.0);
    let inputs: Vec<f32> = normal.chain(grid(-87.0, 20.0, 2_000_000)).collect();
    check(Sigmoid, |x| 1.0 / (1.0 + (-x).exp()), &inputs, 2.5);
}

#[test]
fn extremes_saturate_and_nan_stays() {
    fn at(set: InstructionSet, function: impl Unary, x: f32) -> f32 {
        // Long enough for full vectors and a rest.
        let values = apply(set, function, &[x; 19]);
        assert!(values.iter().all(|y| *y == values[0] || y.is_nan() && values[0].is_nan()));
        values[0]
    }
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    for set in sets() {
        for (x, expected) in [(inf, inf), (1e4, inf), (-inf, 0.0), (-1e4, 0.0), (0.0, 1.0)] {
            assert_eq!(at(set, Exp, x), expected, "{set} exp({x})");
        }
        for (x, expected) in [(0.0, -inf), (-0.0, -inf), (inf, inf), (1.0, 0.0)] {
            assert_eq!(at(set, Ln, x), expected, "{set} ln({x})");
        }
        for (x, expected) in [(inf, 1.0), (-inf, -1.0), (9.0, 1.0), (-1e9, -1.0), (0.0, 0.0)] {
            assert_eq!(at(set, Tanh, x), expected, "{set} tanh({x})");
        }
        for (x, expected) in [(inf, 1.0), (-inf, 0.0), (0.0, 0.5)] {
            assert_eq!(at(set, Sigmoid, x), expected, "{set} sigmoid({x})");
        }
        for (x, expected) in [(inf, inf), (-inf, 0.0), (2.5, 2.5)] {
            assert_eq!(at(set, Relu, x), expected, "{set} relu({x})");
        }
        assert!(at(set, Ln, -1.0).is_nan() && at(set, Ln, -inf).is_nan() && at(set, Ln, nan).is_nan());
        assert!(at(set, Exp, nan).is_nan() && at(set, Tanh, nan).is_nan());
        assert!(at(set, Sigmoid, nan).is_nan() && at(set, Relu, nan).is_nan());
    }
}

#[test]
fn packing_transposes() {
    for (rows, columns) in [(1, 1), (3, 5), (64, 7), (70, 33), (130, 2), (128, 48)] {
        let matrix: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
        let mut packed = vec![f32::NAN; packed_len(rows, columns)];
        pack_transposed(&matrix, rows, columns, &mut packed);
        let mut transposed = vec![f32::NAN; rows * columns];
        transpose_into(&matrix, rows, columns, false, &mut transposed);
        transpose_into(&matrix, rows, columns, true, &mut transposed);
        for row in 0..rows {
            for column in 0..columns {
                let value = matrix[row * columns + column];
                let at = (row / 64) * 64 * columns + column * 64 + row % 64;
                assert_eq!(packed[at], value, "[{rows}, {columns}] {row} {column}");
                assert_eq!(
                    transposed[column * rows + row],
                    2.0 * value,
                    "[{rows}, {columns}] {row} {column}"
                );
            }
        }
    }
}
