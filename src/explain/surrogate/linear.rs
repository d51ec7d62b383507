//! Linear surrogates: each number of an action is a weighted sum of features, cut off at its bounds.

use serde::{Deserialize, Serialize};

use super::cart::Examples;

/// Added to the diagonal, as a share of its mean: what is not determined stays small.
const RIDGE: f64 = 1e-6;

/// Weights and offsets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Linear {
    /// `[A, F]`.
    pub weights: Vec<Vec<f32>>,
    /// `[A]`.
    pub offsets: Vec<f32>,
}

impl Linear {
    /// Weighted least squares of the targets.
    pub fn fit(examples: &Examples) -> Self {
        let (width, targets) = (examples.num_features, examples.num_targets);
        let size = width + 1;
        // Around the mean and in units of the deviation, so that one ridge suits all.
        let (means, scales) = moments(examples);
        let mut products = vec![0.0_f64; size * size];
        let mut sums = vec![0.0_f64; size * targets];
        let mut row = vec![1.0_f64; size];
        for i in 0..examples.len() {
            let weight = f64::from(examples.weights[i]);
            for (j, &value) in examples.row(i).iter().enumerate() {
                row[j] = (f64::from(value) - means[j]) * scales[j];
            }
            for a in 0..size {
                for b in 0..size {
                    products[a * size + b] += weight * row[a] * row[b];
                }
                for &(target, value) in &examples.targets[i] {
                    sums[a * targets + target as usize] += weight * row[a] * f64::from(value);
                }
            }
        }
        let mean = (0..size).map(|i| products[i * size + i]).sum::<f64>() / size as f64;
        for i in 0..size {
            products[i * size + i] += RIDGE * mean.max(f64::MIN_POSITIVE);
        }
        let solved = solve(products, sums, targets);
        let mut weights = vec![vec![0.0; width]; targets];
        let mut offsets = vec![0.0; targets];
        for target in 0..targets {
            let mut offset = solved[width * targets + target];
            for feature in 0..width {
                let weight = solved[feature * targets + target] * scales[feature];
                weights[target][feature] = weight as f32;
                offset -= weight * means[feature];
            }
            offsets[target] = offset as f32;
        }
        Self { weights, offsets }
    }

    /// The numbers for an example, before they are cut off.
    pub fn predict(&self, features: &[f32]) -> Vec<f32> {
        let sum = |(weights, offset): (&Vec<f32>, &f32)| {
            offset + weights.iter().zip(features).map(|(weight, value)| weight * value).sum::<f32>()
        };
        self.weights.iter().zip(&self.offsets).map(sum).collect()
    }
}

/// Means, and one divided by the standard deviation; zero for what never changes.
fn moments(examples: &Examples) -> (Vec<f64>, Vec<f64>) {
    let width = examples.num_features;
    let total: f64 =
        examples.weights.iter().map(|&weight| f64::from(weight)).sum::<f64>().max(f64::MIN_POSITIVE);
    let mean_of = |value: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
        let sum = |feature: usize| {
            (0..examples.len()).map(|i| f64::from(examples.weights[i]) * value(i, feature)).sum::<f64>()
        };
        (0..width).map(|feature| sum(feature) / total).collect()
    };
    let means = mean_of(&|i, feature| f64::from(examples.row(i)[feature]));
    let variances = mean_of(&|i, feature| (f64::from(examples.row(i)[feature]) - means[feature]).powi(2));
    let scale = |variance: &f64| if *variance > 1e-18 { 1.0 / variance.sqrt() } else { 0.0 };
    let scales = variances.iter().map(scale).collect();
    (means, scales)
}

/// Solves `A X = B` for a symmetric positive definite `A` by elimination.
fn solve(mut a: Vec<f64>, mut b: Vec<f64>, columns: usize) -> Vec<f64> {
    let size = b.len() / columns.max(1);
    for pivot in 0..size {
        let diagonal = a[pivot * size + pivot];
        if diagonal.abs() < f64::MIN_POSITIVE {
            continue;
        }
        for row in 0..size {
            let factor = a[row * size + pivot] / diagonal;
            if row == pivot || factor == 0.0 {
                continue;
            }
            for column in pivot..size {
                a[row * size + column] -= factor * a[pivot * size + column];
            }
            for column in 0..columns {
                b[row * columns + column] -= factor * b[pivot * columns + column];
            }
        }
    }
    for row in 0..size {
        let diagonal = a[row * size + row];
        for value in &mut b[row * columns..(row + 1) * columns] {
            *value = if diagonal.abs() < f64::MIN_POSITIVE { 0.0 } else { *value / diagonal };
        }
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linear_is_found_again() {
        let mut examples = Examples { num_features: 3, num_targets: 2, ..Examples::default() };
        for i in 0..50 {
            let (x, y) = ((i % 7) as f32, (i % 5) as f32 * 100.0);
            // The third never changes.
            examples.features.extend([x, y, 4.0]);
            examples.targets.push(vec![(0, 2.0 * x - 0.01 * y + 1.0), (1, -x)]);
            examples.weights.push(1.0 + (i % 3) as f32);
        }
        let linear = Linear::fit(&examples);
        let found = linear.predict(&[3.0, 200.0, 4.0]);
        assert!((found[0] - 5.0).abs() < 1e-3 && (found[1] + 3.0).abs() < 1e-3, "{found:?}");
        assert!((linear.weights[0][0] - 2.0).abs() < 1e-3);
        assert_eq!(linear.weights[0][2], 0.0);
    }

    #[test]
    fn weights_are_how_much_examples_count() {
        let mut examples = Examples { num_features: 0, num_targets: 1, ..Examples::default() };
        examples.targets = vec![vec![(0, 1.0)], vec![(0, 5.0)]];
        examples.weights = vec![3.0, 1.0];
        let found = Linear::fit(&examples).predict(&[]);
        assert!((found[0] - 2.0).abs() < 1e-4, "{found:?}");
    }
}
