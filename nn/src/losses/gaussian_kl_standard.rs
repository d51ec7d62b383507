//! How far a diagonal Gaussian is from the standard normal distribution: the prior's term of a variational autoencoder.

use super::batched::for_each_exp;
use crate::error::NnError;
use crate::matrix::check_length;

/// `out[b] = KL(N(mean, e^log_var) ‖ N(0, 1)) = Σ_d −½ (1 + log_var − mean² − e^log_var)`.
///
/// # Shapes
/// `mean`, `log_var`: `[B, D]`, `out`: `[B]`.
///
/// # Errors
/// [`NnError::Length`] if lengths differ, or `mean` is no multiple of `out`.
///
/// # Source
/// Kingma and Welling 2014, arXiv:1312.6114, appendix B.
pub fn gaussian_kl_standard(mean: &[f32], log_var: &[f32], out: &mut [f32]) -> Result<(), NnError> {
    let dim = check_rows(mean, log_var, out.len())?;
    out.fill(0.0);
    for_each_exp(
        mean.len(),
        |i| [log_var[i]],
        |i, [variance]| out[i / dim] += 0.5 * (mean[i] * mean[i] + (variance - 1.0 - log_var[i])),
    );
    Ok(())
}

/// Adds the gradient of `Σ_b weights[b] · KL[b]`: `w · mean` and `w · ½ (e^log_var − 1)`.
///
/// # Shapes
/// `mean`, `log_var` and their gradients: `[B, D]`, `weights`: `[B]`.
///
/// # Errors
/// [`NnError::Length`] if lengths differ, or `mean` is no multiple of `weights`.
pub fn add_gaussian_kl_standard_gradient(
    mean: &[f32],
    log_var: &[f32],
    weights: &[f32],
    mean_gradient: &mut [f32],
    log_var_gradient: &mut [f32],
) -> Result<(), NnError> {
    let dim = check_rows(mean, log_var, weights.len())?;
    check_length("mean gradient", mean.len(), mean_gradient.len())?;
    check_length("log_var gradient", mean.len(), log_var_gradient.len())?;
    for_each_exp(
        mean.len(),
        |i| [log_var[i]],
        |i, [variance]| {
            let weight = weights[i / dim];
            mean_gradient[i] += weight * mean[i];
            log_var_gradient[i] += weight * 0.5 * (variance - 1.0);
        },
    );
    Ok(())
}

/// Checks that there are `rows` rows; gives their length.
fn check_rows(mean: &[f32], log_var: &[f32], rows: usize) -> Result<usize, NnError> {
    check_length("log_var", mean.len(), log_var.len())?;
    let dim = mean.len().checked_div(rows).unwrap_or(0);
    check_length("mean", rows * dim, mean.len())?;
    Ok(dim)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::test_support::{assert_derivative, values};
    use super::*;

    #[test]
    fn the_standard_normal_distribution_has_none() {
        let (mut kl, mut mean, mut log_var) = ([f32::NAN; 2], [0.0; 6], [0.0; 6]);
        gaussian_kl_standard(&[0.0; 6], &[0.0; 6], &mut kl).unwrap();
        assert_eq!(kl, [0.0, 0.0]);
        add_gaussian_kl_standard_gradient(&[0.0; 6], &[0.0; 6], &[1.0; 2], &mut mean, &mut log_var).unwrap();
        assert_eq!((mean, log_var), ([0.0; 6], [0.0; 6]));
        // ½ (4 + e² − 1 − 2) for mean 2, variance e².
        gaussian_kl_standard(&[2.0], &[2.0], &mut kl[..1]).unwrap();
        assert!((kl[0] - 4.194_528).abs() < 1e-5);
    }

    #[test]
    fn extreme_variances_stay_finite() {
        let (mut kl, mut mean, mut log_var) = ([0.0; 1], [0.0; 2], [0.0; 2]);
        gaussian_kl_standard(&[1e4, -1e4], &[40.0, -40.0], &mut kl).unwrap();
        add_gaussian_kl_standard_gradient(&[1e4, -1e4], &[40.0, -40.0], &[1.0], &mut mean, &mut log_var)
            .unwrap();
        assert!(kl.iter().chain(&mean).chain(&log_var).all(|x| x.is_finite()));
    }

    #[test]
    fn wrong_lengths_are_refused() {
        assert!(gaussian_kl_standard(&[0.0; 5], &[0.0; 5], &mut [0.0; 2]).is_err());
        assert!(gaussian_kl_standard(&[0.0; 4], &[0.0; 3], &mut [0.0; 2]).is_err());
        assert!(gaussian_kl_standard(&[0.0; 4], &[0.0; 4], &mut []).is_err());
        assert!(gaussian_kl_standard(&[], &[], &mut []).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_gradient_agrees_with_finite_differences(
            (rows, dim, mean, log_var, weights) in (1_usize..4, 1_usize..300).prop_flat_map(|(rows, dim)| {
                let count = rows * dim;
                (Just(rows), Just(dim), values(count, 2.0), values(count, 2.0), values(rows, 1.0))
            })
        ) {
            let (mut of_mean, mut of_log_var) = (vec![0.0; rows * dim], vec![0.0; rows * dim]);
            add_gaussian_kl_standard_gradient(&mean, &log_var, &weights, &mut of_mean, &mut of_log_var).unwrap();
            let loss = |x: &[f64]| {
                let (mean, log_var) = x.split_at(rows * dim);
                let part = |i: usize| -0.5 * (1.0 + log_var[i] - mean[i] * mean[i] - log_var[i].exp());
                (0..rows * dim).map(|i| f64::from(weights[i / dim]) * part(i)).sum::<f64>()
            };
            let (at, gradient) = ([mean.clone(), log_var.clone()].concat(), [of_mean, of_log_var].concat());
            assert_derivative(loss, &at, &gradient);
            let mut kl = vec![0.0; rows];
            gaussian_kl_standard(&mean, &log_var, &mut kl).unwrap();
            let value: f32 = kl.iter().zip(&weights).map(|(kl, weight)| kl * weight).sum();
            let exact = loss(&super::super::test_support::widen(&at));
            prop_assert!((f64::from(value) - exact).abs() < 1e-5 * (rows * dim) as f64);
        }
    }
}
