//! How far the actions of one policy are from those of another: the Kullback-Leibler divergence, and its gradient.

use agon_nn::losses::categorical::{
    add_kl_gradient_of_other, kl_rows, log_softmax_rows, masked_log_softmax_rows,
};
use agon_nn::losses::gaussian::{Gaussian, GaussianGradient};

use crate::AgentError;

/// Two batches of outputs, of a policy that is followed and of the one that learns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<'a> {
    /// `[B, P]`.
    pub(crate) target: &'a [f32],
    /// `[B, P]`.
    pub(crate) outputs: &'a [f32],
    /// Weights of the rows, `[B]`.
    pub(crate) weights: &'a [f32],
}

/// `Σ_b w[b] Σ_k KL(softmax(t[b, k] / c) ‖ softmax(o[b, k] / c))` for outputs that are options of choices. Adds the gradient of
/// `c` times that, so that the divisor does not change how large steps are.
///
/// # Shapes
/// `masks`: `[B, P]` or empty; `gradient`: `[B, P]`.
pub(crate) fn add_of_choices(
    pair: Pair<'_>,
    masks: &[bool],
    nvec: &[usize],
    divisor: f32,
    gradient: &mut [f32],
) -> Result<f64, AgentError> {
    let Pair { target, outputs, weights } = pair;
    let width: usize = nvec.iter().sum();
    let (mut total, mut first) = (0.0, 0);
    for &options in nvec {
        let columns = first..first + options;
        let log_probs = |values: &[f32]| -> Result<Vec<f32>, AgentError> {
            let rows = values.chunks_exact(width);
            let part: Vec<f32> =
                rows.flat_map(|row| &row[columns.clone()]).map(|value| value / divisor).collect();
            let mut log_probs = vec![0.0; part.len()];
            if masks.is_empty() {
                log_softmax_rows(&part, options, &mut log_probs)?;
            } else {
                let rows = masks.chunks_exact(width);
                let mask: Vec<bool> = rows.flat_map(|row| &row[columns.clone()]).copied().collect();
                masked_log_softmax_rows(&part, &mask, options, &mut log_probs)?;
            }
            Ok(log_probs)
        };
        let (of_target, of_outputs) = (log_probs(target)?, log_probs(outputs)?);
        let [p, q] = [&of_target, &of_outputs]
            .map(|log_probs| log_probs.iter().map(|log_prob| log_prob.exp()).collect::<Vec<f32>>());
        let mut divergences = vec![0.0; weights.len()];
        kl_rows(&of_target, &p, &of_outputs, options, &mut divergences)?;
        total += divergences.iter().zip(weights).map(|(kl, weight)| f64::from(kl * weight)).sum::<f64>();
        let rows = p.chunks_exact(options).zip(q.chunks_exact(options)).zip(weights);
        for (((p, q), &weight), gradient) in rows.zip(gradient.chunks_exact_mut(width)) {
            add_kl_gradient_of_other(p, q, weight, &mut gradient[columns.clone()]);
        }
        first += options;
    }
    Ok(total)
}

/// `Σ_b w[b] KL(t[b] ‖ o[b])` for outputs that are means and logarithms of standard deviations; adds its gradient.
///
/// # Shapes
/// `gradient`: `[B, 2 D]`.
pub(crate) fn add_of_gaussians(
    pair: Pair<'_>,
    dimensions: usize,
    gradient: &mut [f32],
) -> Result<f64, AgentError> {
    let split = |rows: &[f32]| -> (Vec<f32>, Vec<f32>) {
        let halves = rows.chunks_exact(2 * dimensions).map(|row| row.split_at(dimensions));
        let (mut means, mut log_stds) = (Vec::new(), Vec::new());
        halves.for_each(|(mean, log_std)| {
            means.extend_from_slice(mean);
            log_stds.extend_from_slice(log_std);
        });
        (means, log_stds)
    };
    let (target, outputs) = (split(pair.target), split(pair.outputs));
    let target = Gaussian::new(&target.0, &target.1, dimensions)?;
    let outputs = Gaussian::new(&outputs.0, &outputs.1, dimensions)?;
    let mut divergences = vec![0.0; pair.weights.len()];
    target.kl(&outputs, &mut divergences)?;
    let mut halves = vec![0.0; gradient.len()];
    let (mean, log_std) = halves.split_at_mut(gradient.len() / 2);
    let mut of_halves = GaussianGradient { mean, log_std };
    target.add_kl_gradient_of_other(&outputs, pair.weights, &mut of_halves)?;
    let rows = mean.chunks_exact(dimensions).zip(log_std.chunks_exact(dimensions));
    for (to, (mean, log_std)) in gradient.chunks_exact_mut(2 * dimensions).zip(rows) {
        let (to_mean, to_log_std) = to.split_at_mut(dimensions);
        to_mean.iter_mut().zip(mean).for_each(|(to, from)| *to += from);
        to_log_std.iter_mut().zip(log_std).for_each(|(to, from)| *to += from);
    }
    Ok(divergences.iter().zip(pair.weights).map(|(kl, weight)| f64::from(kl * weight)).sum())
}

#[cfg(test)]
mod tests {
    use agon_envs::Pcg64;

    use super::*;

    fn numbers(rng: &mut Pcg64, len: usize) -> Vec<f32> {
        (0..len).map(|_| rng.uniform(-1.0, 1.0) as f32).collect()
    }

    /// Compares the gradient with finite differences of the sum, times `factor`.
    fn check(factor: f64, width: usize, of: impl Fn(Pair<'_>, &mut [f32]) -> f64) {
        let mut rng = Pcg64::seed_from(3);
        let (target, mut outputs) = (numbers(&mut rng, 3 * width), numbers(&mut rng, 3 * width));
        let weights = [0.5, 0.0, 2.0];
        let mut gradient = vec![0.0; 3 * width];
        of(Pair { target: &target, outputs: &outputs, weights: &weights }, &mut gradient);
        let step = 1.0 / 256.0;
        for at in 0..outputs.len() {
            let before = outputs[at];
            let mut sum = |value: f32| {
                outputs[at] = value;
                let pair = Pair { target: &target, outputs: &outputs, weights: &weights };
                of(pair, &mut vec![0.0; 3 * width])
            };
            let difference = factor * (sum(before + step) - sum(before - step)) / f64::from(2.0 * step);
            outputs[at] = before;
            assert!(
                (difference - f64::from(gradient[at])).abs() < 2e-3,
                "{at}: {difference} {}",
                gradient[at]
            );
        }
        let same = Pair { target: &outputs, outputs: &outputs, weights: &weights };
        gradient.fill(0.0);
        assert!(of(same, &mut gradient).abs() < 1e-6);
        assert!(gradient.iter().all(|gradient| gradient.abs() < 1e-6));
    }

    #[test]
    fn gradients_equal_finite_differences_and_a_policy_is_no_way_from_itself() {
        check(2.0, 5, |pair, gradient| add_of_choices(pair, &[], &[3, 2], 2.0, gradient).unwrap());
        let masks =
            [true, false, true, true, true, true, true, true, false, true, true, true, false, true, true];
        check(1.0, 5, |pair, gradient| add_of_choices(pair, &masks, &[3, 2], 1.0, gradient).unwrap());
        check(1.0, 4, |pair, gradient| add_of_gaussians(pair, 2, gradient).unwrap());
    }

    #[test]
    fn the_divergence_of_a_sure_policy_from_an_undecided_one_is_ln_2() {
        let (target, outputs) = ([50.0, 0.0], [1.0, 1.0]);
        let pair = Pair { target: &target, outputs: &outputs, weights: &[1.0] };
        let mut gradient = [0.0; 2];
        let divergence = add_of_choices(pair, &[], &[2], 1.0, &mut gradient).unwrap();
        assert!((divergence - std::f64::consts::LN_2).abs() < 1e-6);
        assert!((gradient[0] + 0.5).abs() < 1e-6 && (gradient[1] - 0.5).abs() < 1e-6);
    }
}
