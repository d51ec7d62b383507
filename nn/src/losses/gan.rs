//! Losses of generative adversarial networks, on the logits of the discriminator.
//!
//! The discriminator is taught that real samples have label 1 and generated ones 0. The generator has the
//! non-saturating loss `−ln D(G(z))`, whose gradient does not vanish where the discriminator is sure.
//!
//! # Source
//! Goodfellow et al. 2014, arXiv:1406.2661, section 3.

use super::bce::softplus;
use crate::error::NnError;
use crate::matrix::check_length;

/// The discriminator's loss, mean of `softplus(−real)` plus mean of `softplus(fake)`, with its gradients.
///
/// The gradients overwrite what the buffers hold. No samples of a kind contribute zero.
///
/// # Shapes
/// `real`, `real_gradient`: `[R]`; `fake`, `fake_gradient`: `[F]`.
///
/// # Errors
/// [`NnError::Length`] if a gradient has another length than its logits.
pub fn discriminator_loss(
    real: &[f32],
    fake: &[f32],
    real_gradient: &mut [f32],
    fake_gradient: &mut [f32],
) -> Result<f32, NnError> {
    check_length("real gradient", real.len(), real_gradient.len())?;
    check_length("fake gradient", fake.len(), fake_gradient.len())?;
    Ok(mean_softplus(real, -1.0, real_gradient) + mean_softplus(fake, 1.0, fake_gradient))
}

/// The generator's loss, mean of `softplus(−fake)`, with its gradient, which overwrites what the buffer holds.
///
/// # Shapes
/// `fake`, `gradient`: `[F]`.
///
/// # Errors
/// [`NnError::Length`] if the gradient has another length than the logits.
pub fn generator_loss(fake: &[f32], gradient: &mut [f32]) -> Result<f32, NnError> {
    check_length("fake gradient", fake.len(), gradient.len())?;
    Ok(mean_softplus(fake, -1.0, gradient))
}

/// Mean of `softplus(sign · x)` with its gradient.
fn mean_softplus(logits: &[f32], sign: f32, gradient: &mut [f32]) -> f32 {
    let weight = 1.0 / logits.len() as f32;
    let mut mean = 0.0;
    for (&logit, gradient) in logits.iter().zip(gradient) {
        let (value, derivative) = softplus(sign * logit);
        mean += weight * value;
        *gradient = weight * sign * derivative;
    }
    mean
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::test_support::{assert_derivative, values};
    use super::*;

    #[test]
    fn an_undecided_discriminator_loses_two_ln_two() {
        let (mut real, mut fake) = ([f32::NAN; 2], [f32::NAN; 1]);
        let loss = discriminator_loss(&[0.0; 2], &[0.0], &mut real, &mut fake).unwrap();
        assert!((loss - 2.0 * std::f32::consts::LN_2).abs() < 1e-6);
        assert_eq!((real, fake), ([-0.25, -0.25], [0.5]));
        let loss = generator_loss(&[0.0], &mut fake).unwrap();
        assert!((loss - std::f32::consts::LN_2).abs() < 1e-6);
        assert_eq!(fake, [-0.5]);
    }

    #[test]
    fn the_generator_learns_where_the_discriminator_is_sure() {
        let mut gradient = [0.0; 2];
        assert_eq!(generator_loss(&[-1e4, 1e4], &mut gradient).unwrap(), 5e3);
        assert_eq!(gradient, [-0.5, 0.0]);
    }

    #[test]
    fn without_samples_nothing_is_lost() {
        assert_eq!(discriminator_loss(&[], &[], &mut [], &mut []).unwrap(), 0.0);
        assert!(generator_loss(&[0.0], &mut []).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn gradients_agree_with_finite_differences(
            (real, fake) in (1_usize..9, 1_usize..9).prop_flat_map(|(r, f)| (values(r, 5.0), values(f, 5.0)))
        ) {
            let mean = |x: &[f64], sign: f64| {
                x.iter().map(|x| (1.0 + (sign * x).exp()).ln()).sum::<f64>() / x.len() as f64
            };
            let (mut of_real, mut of_fake) = (vec![0.0; real.len()], vec![0.0; fake.len()]);
            discriminator_loss(&real, &fake, &mut of_real, &mut of_fake).unwrap();
            let loss = |x: &[f64]| {
                let (real, fake) = x.split_at(real.len());
                mean(real, -1.0) + mean(fake, 1.0)
            };
            assert_derivative(loss, &[real.clone(), fake.clone()].concat(), &[of_real, of_fake].concat());
            let mut gradient = vec![0.0; fake.len()];
            generator_loss(&fake, &mut gradient).unwrap();
            assert_derivative(|x| mean(x, -1.0), &fake, &gradient);
        }
    }
}
