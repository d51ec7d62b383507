//! A Fourier transform of a power of two many numbers.

use std::f64::consts::TAU;

/// A complex number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Complex {
    pub(super) re: f64,
    pub(super) im: f64,
}

impl Complex {
    fn times(self, other: Self) -> Self {
        Self { re: self.re * other.re - self.im * other.im, im: self.re * other.im + self.im * other.re }
    }

    /// By squaring, which keeps more digits than going through angles.
    fn power(self, mut exponent: u64) -> Self {
        let (mut result, mut square) = (Self { re: 1.0, im: 0.0 }, self);
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = result.times(square);
            }
            square = square.times(square);
            exponent >>= 1;
        }
        result
    }
}

/// The `times`-fold cyclic convolution of some numbers with themselves.
///
/// # Panics
/// If there is not a power of two of them.
pub(super) fn self_convolution(values: &[f64], times: u64) -> Vec<f64> {
    let mut transform: Vec<Complex> = values.iter().map(|&re| Complex { re, im: 0.0 }).collect();
    fourier(&mut transform, false);
    transform.iter_mut().for_each(|value| *value = value.power(times));
    fourier(&mut transform, true);
    let scale = 1.0 / values.len() as f64;
    transform.iter().map(|value| value.re * scale).collect()
}

/// Cooley and Tukey's transform in place; the inverse is not scaled.
fn fourier(values: &mut [Complex], inverse: bool) {
    let len = values.len();
    assert!(len.is_power_of_two(), "a transform of {len} numbers");
    let bits = len.trailing_zeros();
    if bits == 0 {
        return;
    }
    for i in 0..len {
        let j = i.reverse_bits() >> (usize::BITS - bits);
        if i < j {
            values.swap(i, j);
        }
    }
    let sign = if inverse { 1.0 } else { -1.0 };
    // Roots by their own angles: products of them lose digits.
    let root = |i: usize| {
        let (sin, cos) = (sign * TAU * i as f64 / len as f64).sin_cos();
        Complex { re: cos, im: sin }
    };
    let roots: Vec<Complex> = (0..len / 2).map(root).collect();
    let mut width = 2;
    while width <= len {
        let stride = len / width;
        for block in values.chunks_exact_mut(width) {
            let (low, high) = block.split_at_mut(width / 2);
            for (i, (low, high)) in low.iter_mut().zip(high).enumerate() {
                let turned = high.times(roots[i * stride]);
                *high = Complex { re: low.re - turned.re, im: low.im - turned.im };
                *low = Complex { re: low.re + turned.re, im: low.im + turned.im };
            }
        }
        width *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_a_coin_are_binomial() {
        let mut coin = vec![0.0; 8];
        (coin[0], coin[1]) = (0.5, 0.5);
        let thrice = self_convolution(&coin, 3);
        for (found, expected) in thrice.iter().zip([0.125, 0.375, 0.375, 0.125, 0.0, 0.0, 0.0, 0.0]) {
            assert!((found - expected).abs() < 1e-15, "{thrice:?}");
        }
        // Nine throws go once around eight places: nine heads are one.
        let around = self_convolution(&coin, 9);
        assert!((around[1] - (9.0 + 1.0) / 512.0).abs() < 1e-15, "{around:?}");
        assert_eq!(self_convolution(&[2.0], 3), [8.0]);
    }
}
