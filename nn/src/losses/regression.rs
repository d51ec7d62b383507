//! Losses on an error, prediction minus target.

/// Huber loss of an error `x`, and its derivative.
///
/// `x² / 2` where `|x| ≤ delta`, else `delta · (|x| − delta / 2)`. With `delta = 1` it is PyTorch's
/// `smooth_l1_loss` with `beta = 1`, and `huber_loss` with `delta = 1`.
#[must_use]
#[inline]
pub fn huber(x: f32, delta: f32) -> (f32, f32) {
    if x.abs() > delta { (delta * (x.abs() - 0.5 * delta), delta.copysign(x)) } else { (0.5 * x * x, x) }
}

/// Squared error `x²` of an error `x`, and its derivative `2x` (PyTorch's `mse_loss`, without a factor ½).
#[must_use]
#[inline]
pub fn mse(x: f32) -> (f32, f32) {
    (x * x, 2.0 * x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huber_is_quadratic_inside_and_linear_outside() {
        assert_eq!(huber(0.5, 1.0), (0.125, 0.5));
        assert_eq!(huber(-3.0, 1.0), (2.5, -1.0));
        assert_eq!(huber(3.0, 2.0), (4.0, 2.0));
        assert!(huber(f32::NAN, 1.0).0.is_nan());
    }

    #[test]
    fn mse_is_the_square() {
        assert_eq!(mse(-3.0), (9.0, -6.0));
    }
}
