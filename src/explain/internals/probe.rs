//! What can be read of a layer by a weighted sum: ridge regression of a named quantity, judged in other episodes.

use super::activations::Site;
use super::rank::rows_gram;
use crate::stats;

/// Penalties that are tried, as shares of the mean square of activations.
const PENALTIES: [f64; 6] = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0];

/// Which states are fitted, which choose the penalty, and which judge: by episodes, so that no neighbour of a fitted state
/// judges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    fitted: Vec<usize>,
    chosen_by: Vec<usize>,
    judged: Vec<usize>,
}

impl Split {
    /// Of states in order of their episodes: half, a fifth, and the rest.
    pub fn of(episodes: &[usize]) -> Self {
        let boundary = |share: f64| {
            let at = (share * episodes.len() as f64) as usize;
            let Some(&own) = episodes.get(at) else { return episodes.len() };
            let start = episodes.iter().position(|&episode| episode == own).unwrap_or(at);
            // An episode that is longer than a part is cut.
            if start as f64 > 0.5 * at as f64 && start > 0 { start } else { at }
        };
        let (first, second) = (boundary(0.5), boundary(0.7));
        let second = second.max(first);
        Self {
            fitted: (0..first).collect(),
            chosen_by: (first..second).collect(),
            judged: (second..episodes.len()).collect(),
        }
    }
}

/// Held-out `R²` of each quantity, `[Q][S]`, by a weighted sum of a layer's values: 1 if it is there, 0 or less if its mean is
/// as good. None of a quantity that does not change.
pub fn probe(site: &Site, quantities: &[Vec<f64>], split: &Split) -> Vec<Option<f64>> {
    let states = site.states();
    let gram = rows_gram(&site.values, site.width);
    // First the penalty, by states that are neither fitted nor judged; then both are fitted.
    let tried: Vec<Vec<Option<f64>>> = PENALTIES
        .iter()
        .map(|&penalty| fit(&gram, states, quantities, &split.fitted, &split.chosen_by, penalty))
        .collect();
    let known: Vec<usize> = split.fitted.iter().chain(&split.chosen_by).copied().collect();
    let judged: Vec<Vec<Option<f64>>> = PENALTIES
        .iter()
        .map(|&penalty| fit(&gram, states, quantities, &known, &split.judged, penalty))
        .collect();
    (0..quantities.len())
        .map(|quantity| {
            let of = |index: usize| tried[index][quantity].unwrap_or(f64::NEG_INFINITY);
            let best = (0..PENALTIES.len()).max_by(|&a, &b| of(a).total_cmp(&of(b)))?;
            judged[best][quantity]
        })
        .collect()
}

/// `R²` at some states of regressions that others were fitted on; by products of rows, so that the size of a layer does not
/// matter.
fn fit(
    gram: &[f64],
    states: usize,
    quantities: &[Vec<f64>],
    fitted: &[usize],
    judged: &[usize],
    penalty: f64,
) -> Vec<Option<f64>> {
    let count = fitted.len();
    if count < 2 || judged.len() < 2 {
        return vec![None; quantities.len()];
    }
    // About the mean of what is fitted: k(a, b) = g(a, b) − ḡ(a) − ḡ(b) + ḡ.
    let mean_with = |a: usize| fitted.iter().map(|&b| gram[a * states + b]).sum::<f64>() / count as f64;
    let means: Vec<f64> = (0..states).map(mean_with).collect();
    let mean = fitted.iter().map(|&a| means[a]).sum::<f64>() / count as f64;
    let product = |a: usize, b: usize| gram[a * states + b] - means[a] - means[b] + mean;
    let mut kernel: Vec<f64> = fitted
        .iter()
        .flat_map(|&a| fitted.iter().map(move |&b| (a, b)))
        .map(|(a, b)| product(a, b))
        .collect();
    let scale = (0..count).map(|i| kernel[i * count + i]).sum::<f64>() / count as f64;
    (0..count).for_each(|i| kernel[i * count + i] += (penalty * scale).max(1e-12));
    factorize(&mut kernel, count);
    quantities
        .iter()
        .map(|quantity| {
            let own: Vec<f64> = fitted.iter().map(|&state| quantity[state]).collect();
            let offset = stats::mean(&own);
            let weights = solve(&kernel, own.iter().map(|value| value - offset).collect());
            let (mut errors, mut real) = (0.0, Vec::new());
            for &state in judged {
                let sum: f64 =
                    fitted.iter().zip(&weights).map(|(&other, weight)| weight * product(state, other)).sum();
                errors += (quantity[state] - offset - sum).powi(2);
                real.push(quantity[state]);
            }
            let mean = stats::mean(&real);
            let spread: f64 = real.iter().map(|value| (value - mean).powi(2)).sum();
            (spread > 1e-12 * mean.abs().max(1.0)).then(|| 1.0 - errors / spread)
        })
        .collect()
}

/// The lower triangle `L` of `A = L Lᵀ`, in its place.
fn factorize(a: &mut [f64], n: usize) {
    for j in 0..n {
        for i in j..n {
            let (own, other) = (i * n, j * n);
            let sum: f64 = (0..j).map(|k| a[own + k] * a[other + k]).sum();
            let value = a[own + j] - sum;
            a[own + j] = if i == j { value.max(1e-300).sqrt() } else { value / a[other + j] };
        }
    }
}

/// Solves `L Lᵀ x = b`.
fn solve(l: &[f64], mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for i in 0..n {
        let sum: f64 = (0..i).map(|k| l[i * n + k] * b[k]).sum();
        b[i] = (b[i] - sum) / l[i * n + i];
    }
    for i in (0..n).rev() {
        let sum: f64 = (i + 1..n).map(|k| l[k * n + i] * b[k]).sum();
        b[i] = (b[i] - sum) / l[i * n + i];
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linear_is_read_and_what_is_not_there_is_not() {
        let mut rng = agon_envs::Pcg64::seed_from(1);
        let (states, width) = (120, 5);
        let values: Vec<f32> = (0..states * width).map(|_| rng.uniform(-1.0, 1.0) as f32).collect();
        let site = Site { name: String::new(), image: None, width, values };
        let linear = |state: usize| {
            let row = site.row(state);
            3.0 + 2.0 * f64::from(row[0]) - f64::from(row[3])
        };
        let there: Vec<f64> = (0..states).map(linear).collect();
        let noise: Vec<f64> = (0..states).map(|_| rng.uniform(-1.0, 1.0)).collect();
        let episodes: Vec<usize> = (0..states).map(|state| state / 10).collect();
        let found = probe(&site, &[there, noise, vec![4.0; states]], &Split::of(&episodes));
        assert!(found[0].unwrap() > 0.999, "{found:?}");
        assert!(found[1].unwrap() < 0.2, "{found:?}");
        assert_eq!(found[2], None);
    }

    #[test]
    fn no_episode_is_both_fitted_and_judged() {
        let episodes = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3];
        let split = Split::of(&episodes);
        let of = |states: &[usize]| states.iter().map(|&state| episodes[state]).collect::<Vec<_>>();
        assert_eq!(of(&split.fitted), [0, 0, 0, 1, 1, 1]);
        assert!(of(&split.judged).iter().all(|episode| *episode >= 2));
        assert_eq!(split.fitted.len() + split.chosen_by.len() + split.judged.len(), 12);
        // A single episode is cut.
        let split = Split::of(&[7; 10]);
        assert_eq!((split.fitted.len(), split.judged.len()), (5, 3));
    }
}
