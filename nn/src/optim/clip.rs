//! Gradient clipping and the check for lost gradients.

use super::{CHUNK, part_len};
use crate::error::NnError;
use crate::kernels::{add_in_pairs, all_finite, scale, sum_of_squares};
use crate::matrix::check_length;
use crate::params::Layout;
use crate::team;

/// Scales gradients down so that their norm is at most `max_norm`; returns the norm before.
///
/// `g ← g · min(1, max_norm / (‖g‖₂ + 1e-6))`. The sum runs in a fixed order. A norm that is not finite makes all
/// gradients NaN or zero, as in PyTorch; use [`check_finite`] to stop before that.
///
/// # Source
/// `torch.nn.utils.clip_grad_norm_` (PyTorch 2.9).
pub fn clip_grad_norm(grads: &mut [f32], max_norm: f32) -> f32 {
    let norm = sum_of_squares(grads).sqrt() as f32;
    let coefficient = clip_coefficient(norm, max_norm);
    if coefficient != 1.0 {
        scale(grads, coefficient);
    }
    norm
}

/// What gradients of a norm are scaled by so that their norm is at most `max_norm`: `min(1, max_norm / (‖g‖₂ + 1e-6))`.
#[must_use]
pub fn clip_coefficient(norm: f32, max_norm: f32) -> f32 {
    let coefficient = max_norm / (norm + 1e-6);
    if coefficient < 1.0 || coefficient.is_nan() { coefficient } else { 1.0 }
}

/// Adds gradients to `total`, in pairs of pairs, on the threads of the [team]; returns the norm of the sum.
///
/// `((total + others[0]) + (others[1] + others[2])) + …`: a tree whose form their number alone decides.
///
/// # Panics
/// If they differ in length.
pub fn sum_grads(total: &mut [f32], others: &[&[f32]]) -> f32 {
    assert!(others.iter().all(|other| other.len() == total.len()), "gradients of {} values", total.len());
    let len = part_len(total.len());
    let mut parts: Vec<(&mut [f32], Vec<f64>)> =
        total.chunks_mut(len).map(|part| (part, Vec::new())).collect();
    team::for_each(&mut parts, |index, (part, squares)| {
        let start = index * len;
        squares.extend(part.chunks_mut(CHUNK).enumerate().map(|(chunk, total)| {
            let start = start + chunk * CHUNK;
            add_in_pairs(total, others, start);
            sum_of_squares(total)
        }));
    });
    parts.iter().flat_map(|(_, squares)| squares).sum::<f64>().sqrt() as f32
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
    fn sums_and_their_norm_do_not_depend_on_threads() {
        for len in [5, CHUNK + 1, 9 * CHUNK + 3] {
            let grads =
                |seed: usize| (0..len).map(|i| ((i * 7 + seed) % 13) as f32 * 0.1).collect::<Vec<_>>();
            let (first, second, third) = (grads(1), grads(2), grads(3));
            let expected: Vec<f32> = (0..len).map(|i| (first[i] + second[i]) + third[i]).collect();
            let norm = clip_grad_norm(&mut expected.clone(), f32::INFINITY);
            for threads in [1, 2, 4] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut total = first.clone();
                let sum = || sum_grads(&mut total, &[&second, &third]);
                let got = pool.install(|| team::gather(threads - 1, sum));
                assert!(total == expected && got == norm, "{len} values, {threads} threads: {got}, {norm}");
            }
        }
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
