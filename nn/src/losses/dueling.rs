//! Dueling heads: action values from the value of the state and the advantages of the actions.
//!
//! `q[b, a, z] = v[b, z] + a[b, a, z] − mean_a a[b, ·, z]`. `atoms` is the number of values for each action: 1 for
//! expected values, the number of atoms or quantiles for a distributional head.
//!
//! # Source
//! Wang et al. 2016, arXiv:1511.06581, equation 9; with atoms: Hessel et al. 2018, arXiv:1710.02298.

use crate::error::NnError;
use crate::matrix::check_length;

/// Combines the two streams into action values.
///
/// # Shapes
/// `values`: `[B, atoms]`, `advantages`, `out`: `[B, A, atoms]`.
///
/// # Errors
/// [`NnError::Empty`] if `num_actions` or `atoms` is zero, [`NnError::Length`] if a length differs.
pub fn combine(
    values: &[f32],
    advantages: &[f32],
    num_actions: usize,
    atoms: usize,
    out: &mut [f32],
) -> Result<(), NnError> {
    check(values.len(), advantages.len(), num_actions, atoms)?;
    check_length("output", advantages.len(), out.len())?;
    let rows = values.chunks_exact(atoms).zip(advantages.chunks_exact(num_actions * atoms));
    for ((values, advantages), out) in rows.zip(out.chunks_exact_mut(num_actions * atoms)) {
        combine_row(values, advantages, out);
    }
    Ok(())
}

/// As [`combine`], one row; there are as many atoms as values.
pub(crate) fn combine_row(values: &[f32], advantages: &[f32], out: &mut [f32]) {
    let atoms = values.len();
    let scale = 1.0 / (advantages.len() / atoms) as f32;
    for (z, value) in values.iter().enumerate() {
        let mean = scale * advantages[z..].iter().step_by(atoms).sum::<f32>();
        let pairs = out[z..].iter_mut().step_by(atoms).zip(advantages[z..].iter().step_by(atoms));
        pairs.for_each(|(out, advantage)| *out = value + (advantage - mean));
    }
}

/// Splits the gradient of the action values into those of the two streams, which it overwrites.
///
/// `dv = Σ_a dq`, `da = dq − mean_a dq`.
///
/// # Shapes
/// `value_gradient`: `[B, atoms]`, `gradient` (of the action values), `advantage_gradient`: `[B, A, atoms]`.
///
/// # Errors
/// As [`combine`].
pub fn split_gradient(
    gradient: &[f32],
    num_actions: usize,
    atoms: usize,
    value_gradient: &mut [f32],
    advantage_gradient: &mut [f32],
) -> Result<(), NnError> {
    check(value_gradient.len(), gradient.len(), num_actions, atoms)?;
    check_length("advantage gradient", gradient.len(), advantage_gradient.len())?;
    let rows = gradient.chunks_exact(num_actions * atoms).zip(value_gradient.chunks_exact_mut(atoms));
    for ((gradient, of_values), of_advantages) in
        rows.zip(advantage_gradient.chunks_exact_mut(num_actions * atoms))
    {
        split_gradient_row(gradient, of_values, of_advantages);
    }
    Ok(())
}

/// As [`split_gradient`], one row; there are as many atoms as values.
pub(crate) fn split_gradient_row(gradient: &[f32], of_values: &mut [f32], of_advantages: &mut [f32]) {
    let atoms = of_values.len();
    let scale = 1.0 / (gradient.len() / atoms) as f32;
    for (z, of_value) in of_values.iter_mut().enumerate() {
        *of_value = gradient[z..].iter().step_by(atoms).sum();
        let mean = scale * *of_value;
        let pairs = of_advantages[z..].iter_mut().zip(&gradient[z..]).step_by(atoms);
        pairs.for_each(|(of_advantage, of_q)| *of_advantage = of_q - mean);
    }
}

fn check(values: usize, advantages: usize, num_actions: usize, atoms: usize) -> Result<(), NnError> {
    if num_actions == 0 || atoms == 0 {
        return Err(NnError::Empty { name: "advantages", rows: num_actions, columns: atoms });
    }
    check_length("values", values.next_multiple_of(atoms), values)?;
    check_length("advantages", values * num_actions, advantages)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::test_support::{assert_derivative, values, widen};
    use super::*;

    #[test]
    fn action_values_are_those_computed_by_hand() {
        let mut q = [0.0; 6];
        combine(&[10.0, 20.0], &[1.0, 2.0, 6.0, 0.0, 0.0, 3.0], 3, 1, &mut q).unwrap();
        assert_eq!(q, [8.0, 9.0, 13.0, 19.0, 19.0, 22.0]);
        // Two actions of three atoms: the mean is over the actions.
        combine(&[0.0, 10.0, 20.0], &[1.0, 2.0, 3.0, 3.0, 6.0, 9.0], 2, 3, &mut q).unwrap();
        assert_eq!(q, [-1.0, 8.0, 17.0, 1.0, 12.0, 23.0]);
    }

    #[test]
    fn the_state_value_is_the_mean_of_the_action_values() {
        let (mut value, mut advantages) = ([0.0], [0.0; 4]);
        split_gradient(&[1.0, 2.0, 3.0, 6.0], 4, 1, &mut value, &mut advantages).unwrap();
        assert_eq!((value, advantages), ([12.0], [-2.0, -1.0, 0.0, 3.0]));
    }

    #[test]
    fn a_single_action_has_no_advantage() {
        let (mut q, mut value, mut advantage) = ([0.0], [0.0], [1.0]);
        combine(&[3.0], &[1e4], 1, 1, &mut q).unwrap();
        split_gradient(&[5.0], 1, 1, &mut value, &mut advantage).unwrap();
        assert_eq!((q, value, advantage), ([3.0], [5.0], [0.0]));
    }

    #[test]
    fn wrong_sizes_are_refused() {
        assert!(combine(&[0.0], &[], 0, 1, &mut []).is_err());
        assert!(combine(&[0.0; 3], &[0.0; 6], 2, 2, &mut [0.0; 6]).is_err());
        assert!(combine(&[0.0; 2], &[0.0; 3], 2, 1, &mut [0.0; 3]).is_err());
        assert!(combine(&[0.0; 2], &[0.0; 4], 2, 1, &mut [0.0; 3]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_gradient_agrees_with_finite_differences(
            (n, atoms, state, advantages, weights) in (1_usize..4, 1_usize..5, 1_usize..4).prop_flat_map(
                |(rows, n, atoms)| {
                    let count = rows * n * atoms;
                    (Just(n), Just(atoms), values(rows * atoms, 3.0), values(count, 3.0), values(count, 1.0))
                }
            )
        ) {
            let loss = |x: &[f64]| {
                let (state, advantages) = x.split_at(state.len());
                (0..advantages.len()).map(|i| {
                    let (row, z) = (i / (n * atoms), i % atoms);
                    let mean = (0..n).map(|a| advantages[(row * n + a) * atoms + z]).sum::<f64>() / n as f64;
                    f64::from(weights[i]) * (state[row * atoms + z] + advantages[i] - mean)
                }).sum::<f64>()
            };
            let (mut of_state, mut of_advantages) = (vec![0.0; state.len()], vec![0.0; advantages.len()]);
            split_gradient(&weights, n, atoms, &mut of_state, &mut of_advantages).unwrap();
            let at = [state.clone(), advantages.clone()].concat();
            assert_derivative(loss, &at, &[of_state, of_advantages].concat());
            let mut q = vec![0.0; advantages.len()];
            combine(&state, &advantages, n, atoms, &mut q).unwrap();
            let value: f32 = q.iter().zip(&weights).map(|(q, w)| q * w).sum();
            prop_assert!((f64::from(value) - loss(&widen(&at))).abs() < 1e-4);
        }
    }
}
