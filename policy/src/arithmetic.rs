//! The arithmetic of a small network, one row at a time: plain loops that a compiler turns into vector instructions.

use crate::activation::{Activation, LEAKY_RELU_SLOPE};

/// `out = W x + b`, with the weight transposed: `[inputs, outputs]`.
pub(crate) fn linear(weight: &[f32], bias: &[f32], x: &[f32], out: &mut [f32]) {
    let zeros = x.iter().filter(|x| **x == 0.0).count();
    if 4 * zeros >= 3 * x.len() {
        return linear_of_few(weight, bias, x, out);
    }
    // Sums of so many columns at once stay in registers; a sum has the same order wherever its column lies.
    let mut done = columns::<32>(weight, bias, x, out, 0);
    done = columns::<8>(weight, bias, x, out, done);
    columns::<1>(weight, bias, x, out, done);
}

/// The same sums, row by row, without those rows whose factor is zero: planes of features and categories are mostly zeros.
fn linear_of_few(weight: &[f32], bias: &[f32], x: &[f32], out: &mut [f32]) {
    out.copy_from_slice(bias);
    for (row, x) in weight.chunks_exact(out.len()).zip(x).filter(|(_, x)| **x != 0.0) {
        out.iter_mut().zip(row).for_each(|(sum, weight)| *sum += x * weight);
    }
}

/// As many columns from `start` on as there are in whole blocks; gives the first that is left.
fn columns<const BLOCK: usize>(
    weight: &[f32],
    bias: &[f32],
    x: &[f32],
    out: &mut [f32],
    mut start: usize,
) -> usize {
    let width = out.len();
    while start + BLOCK <= width {
        let mut sums = [0.0_f32; BLOCK];
        sums.copy_from_slice(&bias[start..start + BLOCK]);
        for (row, &x) in weight.chunks_exact(width).zip(x) {
            for (sum, weight) in sums.iter_mut().zip(&row[start..start + BLOCK]) {
                *sum += x * weight;
            }
        }
        out[start..start + BLOCK].copy_from_slice(&sums);
        start += BLOCK;
    }
    start
}

/// The sum of products of integers, of which one is below 256 and one below 128, exactly.
pub(crate) fn dot(a: &[i16], b: &[i16]) -> i32 {
    // Sums that wrap become vector instructions where overflow is checked, too; none does.
    a.iter().zip(b).fold(0_i32, |sum, (&a, &b)| sum.wrapping_add(i32::from(a).wrapping_mul(i32::from(b))))
}

/// The nearest integer of a number below 2²², the even one of two.
pub(crate) fn nearest(x: f32) -> i32 {
    /// Added to such a number, it leaves its nearest integer in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    (x + ROUND).to_bits().wrapping_sub(ROUND.to_bits()).cast_signed()
}

/// Applies a function to each value.
pub(crate) fn activate(function: Activation, values: &mut [f32]) {
    match function {
        Activation::Identity => {}
        Activation::Relu => each(values, |x| x.max(0.0)),
        Activation::Tanh => each(values, tanh),
        Activation::Sigmoid => each(values, sigmoid),
        Activation::Silu => each(values, |x| x * sigmoid(x)),
        Activation::Gelu => {
            each(values, |x| 0.5 * x * (1.0 + libm::erff(x * core::f32::consts::FRAC_1_SQRT_2)));
        }
        Activation::Elu => each(values, |x| if x > 0.0 { x } else { libm::expm1f(x) }),
        Activation::LeakyRelu => each(values, |x| if x > 0.0 { x } else { LEAKY_RELU_SLOPE * x }),
    }
}

/// One loop for each function, so that it becomes vector instructions.
fn each(values: &mut [f32], function: impl Fn(f32) -> f32) {
    values.iter_mut().for_each(|value| *value = function(*value));
}

/// `1 / (1 + e^−x)`.
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `tanh x`, within a few units of the last place of 1.
pub(crate) fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

/// `e^x` with a relative error below 3e-7; arguments beyond what has a normal result are brought within.
pub(crate) fn exp(x: f32) -> f32 {
    /// Added to a number below 2²², it leaves its nearest integer in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    /// Parts of the logarithm of 2: the first has few bits, so that its product with an integer is exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * core::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN_2[0]) - n * LN_2[1];
    // Taylor's series: |r| is at most half of the logarithm of 2.
    let tail = 1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0));
    let series = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * tail))));
    series * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

/// Turns values into shares that sum to one. What is −∞ gets none; one at least is not.
pub(crate) fn softmax(values: &mut [f32]) {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for value in values.iter_mut() {
        *value = if *value == f32::NEG_INFINITY { 0.0 } else { exp(*value - largest) };
        sum += *value;
    }
    values.iter_mut().for_each(|value| *value /= sum);
}

/// `(x − mean) / √(variance + eps)`, in place.
pub(crate) fn normalize(values: &mut [f32], eps: f32) {
    let count = values.len() as f32;
    let mean = values.iter().sum::<f32>() / count;
    let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f32>() / count;
    let scale = 1.0 / libm::sqrtf(variance + eps);
    values.iter_mut().for_each(|value| *value = (*value - mean) * scale);
}

/// The index of the first of the largest values; zero if there is none.
pub(crate) fn arg_max(values: impl IntoIterator<Item = f32>) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (index, value) in values.into_iter().enumerate() {
        if value > best.1 {
            best = (index, value);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_those_of_double_precision() {
        for step in -2000..=2000 {
            let x = step as f32 * 0.01;
            let exact = f64::from(x);
            let relative = (f64::from(exp(x)) - exact.exp()).abs() / exact.exp();
            assert!(relative < 3e-7, "exp {x}: {relative}");
            assert!((f64::from(tanh(x)) - exact.tanh()).abs() < 3e-7, "tanh {x}");
            assert!((f64::from(sigmoid(x)) - 1.0 / (1.0 + (-exact).exp())).abs() < 3e-7, "sigmoid {x}");
        }
        assert_eq!((tanh(1e9), tanh(-1e9)), (1.0, -1.0));
    }

    #[test]
    fn a_product_has_the_sums_of_its_rows() {
        for outputs in [1, 3, 16, 21, 32, 43] {
            let weight: Vec<f32> = (0..2 * outputs).map(|i| i as f32).collect();
            let bias = vec![0.5; outputs];
            let mut out = vec![0.0; outputs];
            linear(&weight, &bias, &[2.0, -1.0], &mut out);
            let expected: Vec<f32> =
                (0..outputs).map(|j| 0.5 + 2.0 * j as f32 - (outputs + j) as f32).collect();
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn rows_of_zeros_change_no_bit() {
        let weight: Vec<f32> = (0..10 * 37).map(|i| (i as f32 * 0.7).sin()).collect();
        let bias: Vec<f32> = (0..37).map(|i| (i as f32).cos()).collect();
        let mut x = [0.0; 10];
        (x[2], x[7]) = (0.3, -1.7);
        let [mut few, mut all] = [[0.0; 37]; 2];
        linear_of_few(&weight, &bias, &x, &mut few);
        let done = columns::<32>(&weight, &bias, &x, &mut all, 0);
        columns::<1>(&weight, &bias, &x, &mut all, done);
        assert_eq!(few, all);
    }

    #[test]
    fn the_first_of_the_largest_is_best() {
        assert_eq!(arg_max([1.0, 3.0, 3.0]), 1);
        assert_eq!(arg_max([f32::NEG_INFINITY; 2]), 0);
    }
}
