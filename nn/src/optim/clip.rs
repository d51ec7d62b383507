//! Gradient clipping and the check for lost gradients.

use crate::error::NnError;
use crate::kernels::{all_finite, scale, sum_of_squares};
use crate::matrix::check_length;
use crate::params::Layout;

/// Scales gradients down so that their norm is at most `max_norm`; returns the norm before.
///
/// `g ← g · min(1, max_norm / (‖g‖₂ + 1e-6))`. The sum runs in a fixed order. A norm that is not finite makes all
/// gradients NaN or zero, as in PyTorch; use [`check_finite`] to stop before that.
///
/// # Source
/// `torch.nn.utils.clip_grad_norm_` (PyTorch 2.9).
pub fn clip_grad_norm(grads: &mut [f32], max_norm: f32) -> f32 {
    let norm = sum_of_squares(grads).sqrt() as f32;
    let coefficient = max_norm / (norm + 1e-6);
    if coefficient < 1.0 || coefficient.is_nan() {
        scale(grads, coefficient);
    }
    norm
}

/// Checks that a flat gradient holds neither NaN nor an infinity.
///
/// # Errors
/// [`NnError::NotFinite`] names the first parameter that has one, [`NnError::Length`] if the gradient belongs to
/// another layout.
pub fn check_finite(layout: &Layout, grads: &[f32]) -> Result<(), NnError> {
    check_length("gradients", layout.len(), grads.len())?;
    if all_finite(grads) {
        return Ok(());
    }
    for spec in layout.specs() {
        for (index, &value) in spec.range.read(grads).iter().enumerate() {
            if !value.is_finite() {
                return Err(NnError::NotFinite { name: spec.name.clone(), index, value });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::Init;
    use crate::params::LayoutBuilder;

    #[test]
    fn clipping_leaves_short_gradients_alone() {
        let mut grads = vec![3.0, 4.0];
        assert_eq!(clip_grad_norm(&mut grads, 10.0), 5.0);
        assert_eq!(grads, [3.0, 4.0]);
        assert_eq!(clip_grad_norm(&mut grads, 1.0), 5.0);
        assert!((grads[0] - 0.6).abs() < 1e-6 && (grads[1] - 0.8).abs() < 1e-6);
    }

    #[test]
    fn lost_gradients_are_named() {
        let mut builder = LayoutBuilder::new();
        builder.add("a", &[40], Init::Zeros);
        builder.add("b", &[3], Init::Zeros);
        let layout = builder.build(0).layout().clone();
        let mut grads = vec![1.0; layout.len()];
        check_finite(&layout, &grads).unwrap();
        for (index, value, message) in [
            (49, f32::NAN, "the gradient of b must be finite, got NaN at index 1"),
            (50, f32::INFINITY, "the gradient of b must be finite, got inf at index 2"),
            (7, f32::NEG_INFINITY, "the gradient of a must be finite, got -inf at index 7"),
        ] {
            grads.fill(1.0);
            grads[index] = value;
            assert_eq!(check_finite(&layout, &grads).unwrap_err().to_string(), message);
        }
    }
}
