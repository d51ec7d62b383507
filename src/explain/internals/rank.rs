//! How many directions activations really use.

use serde::Serialize;

use super::activations::Site;

/// Columns below this size are zero: their squares are.
const TINY: f64 = 1e-140;
/// The share of singular values that [`Ranks::srank`] leaves out.
const LEFT_OUT: f64 = 0.01;

/// Ranks of a layer's activations `[S, units]`, whose singular values are `σ_1 ≥ σ_2 ≥ …`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ranks {
    /// The least `k` with `Σ_{i ≤ k} σ_i ≥ 0.99 Σ σ_i` (Kumar et al. 2021, *Implicit under-parameterization*).
    pub srank: usize,
    /// `Σ σ_i² / σ_1²`.
    pub stable: f64,
    /// `exp(−Σ p_i log p_i)`, `p_i = σ_i / Σ σ_i` (Roy and Vetterli 2007, *The effective rank*).
    pub effective: f64,
}

/// Ranks of a layer.
pub fn ranks(site: &Site) -> Ranks {
    let (states, width) = (site.states(), site.width);
    let gram =
        if width <= states { columns_gram(&site.values, width) } else { rows_gram(&site.values, width) };
    let values = eigenvalues(gram, width.min(states));
    of_singular(&values.iter().map(|value| value.max(0.0).sqrt()).collect::<Vec<_>>())
}

/// Ranks by singular values in any order.
fn of_singular(singular: &[f64]) -> Ranks {
    let mut sorted = singular.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let sum: f64 = sorted.iter().sum();
    if sum <= 0.0 {
        return Ranks { srank: 0, stable: 0.0, effective: 0.0 };
    }
    let mut reached = 0.0;
    let enough = sorted.iter().position(|value| {
        reached += value;
        reached >= (1.0 - LEFT_OUT) * sum
    });
    let squares: f64 = sorted.iter().map(|value| value * value).sum();
    let shares = sorted.iter().map(|value| value / sum).filter(|share| *share > 0.0);
    let entropy: f64 = shares.map(|share| -share * share.ln()).sum();
    Ranks {
        srank: enough.map_or(sorted.len(), |at| at + 1),
        stable: squares / (sorted[0] * sorted[0]),
        effective: entropy.exp(),
    }
}

/// `X Xᵀ`, `[S, S]`.
pub(super) fn rows_gram(values: &[f32], width: usize) -> Vec<f64> {
    let rows: Vec<&[f32]> = values.chunks_exact(width).collect();
    let mut gram = vec![0.0; rows.len() * rows.len()];
    for (i, a) in rows.iter().enumerate() {
        for (j, b) in rows[..=i].iter().enumerate() {
            let sum: f64 = a.iter().zip(*b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            gram[i * rows.len() + j] = sum;
            gram[j * rows.len() + i] = sum;
        }
    }
    gram
}

/// `Xᵀ X`, `[width, width]`.
fn columns_gram(values: &[f32], width: usize) -> Vec<f64> {
    let mut gram = vec![0.0; width * width];
    for row in values.chunks_exact(width) {
        for (i, &a) in row.iter().enumerate().filter(|(_, a)| **a != 0.0) {
            let sums = gram[i * width..(i + 1) * width].iter_mut().zip(row);
            sums.for_each(|(sum, &b)| *sum += f64::from(a) * f64::from(b));
        }
    }
    gram
}

/// Eigenvalues of a symmetric matrix `[n, n]`, in no order: reflections make it tridiagonal, rotations with shifts diagonal.
///
/// # Source
/// Golub and Van Loan, *Matrix computations*, 4th edition, sections 8.3.1 and 8.3.3 to 8.3.5.
fn eigenvalues(mut a: Vec<f64>, n: usize) -> Vec<f64> {
    let (mut diagonal, mut beside) = tridiagonal(&mut a, n);
    let scale = diagonal.iter().chain(&beside).map(|value| value.abs()).fold(0.0, f64::max);
    let mut end = n;
    let mut turns = 0;
    while end > 1 {
        let is_small = |i: usize, beside: &[f64], diagonal: &[f64]| {
            beside[i].abs()
                <= f64::EPSILON * (diagonal[i].abs() + diagonal[i + 1].abs() + f64::EPSILON * scale)
        };
        // Where what is left falls apart nothing has to be rotated any more.
        if is_small(end - 2, &beside, &diagonal) || turns > 60 {
            (end, turns) = (end - 1, 0);
            continue;
        }
        let mut start = end - 2;
        while start > 0 && !is_small(start - 1, &beside, &diagonal) {
            start -= 1;
        }
        rotate(&mut diagonal[start..end], &mut beside[start..end - 1]);
        turns += 1;
    }
    diagonal
}

/// The diagonal and what stands beside it after reflections from both sides.
fn tridiagonal(a: &mut [f64], n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut beside = vec![0.0; n.saturating_sub(1)];
    let (mut v, mut p) = (vec![0.0; n], vec![0.0; n]);
    for k in 0..n.saturating_sub(2) {
        let first = k + 1;
        let norm = (first..n).map(|i| a[i * n + k].powi(2)).sum::<f64>().sqrt();
        if norm < TINY {
            continue;
        }
        let alpha = if a[first * n + k] > 0.0 { -norm } else { norm };
        beside[k] = alpha;
        // Of length one before it is turned: squares of tiny numbers would be lost.
        (first..n).for_each(|i| v[i] = a[i * n + k] / norm);
        v[first] -= alpha / norm;
        let length: f64 = v[first..].iter().map(|value| value * value).sum();
        // A ← A − v wᵀ − w vᵀ with p = 2 A v / vᵀv and w = p − (pᵀv / vᵀv) v.
        for i in first..n {
            let row = &a[i * n + first..(i + 1) * n];
            p[i] = 2.0 / length * row.iter().zip(&v[first..]).map(|(a, v)| a * v).sum::<f64>();
        }
        let along = p[first..].iter().zip(&v[first..]).map(|(p, v)| p * v).sum::<f64>() / length;
        (first..n).for_each(|i| p[i] -= along * v[i]);
        for i in first..n {
            let (own_v, own_p) = (v[i], p[i]);
            let row = &mut a[i * n + first..(i + 1) * n];
            for (value, (v, p)) in row.iter_mut().zip(v[first..].iter().zip(&p[first..])) {
                *value -= own_v * p + own_p * v;
            }
        }
    }
    if n > 1 {
        beside[n - 2] = a[(n - 1) * n + n - 2];
    }
    ((0..n).map(|i| a[i * n + i]).collect(), beside)
}

/// One turn of rotations with Wilkinson's shift over a part that does not fall apart.
fn rotate(diagonal: &mut [f64], beside: &mut [f64]) {
    let last = diagonal.len() - 1;
    let half = (diagonal[last - 1] - diagonal[last]) / 2.0;
    let b = beside[last - 1];
    let shift = diagonal[last] - b * b / (half + half.hypot(b).copysign(half));
    let (mut x, mut z) = (diagonal[0] - shift, beside[0]);
    for k in 0..last {
        let r = x.hypot(z);
        let (c, s) = if r > 0.0 { (x / r, z / r) } else { (1.0, 0.0) };
        if k > 0 {
            beside[k - 1] = r;
        }
        let (d0, d1, e) = (diagonal[k], diagonal[k + 1], beside[k]);
        diagonal[k] = c * c * d0 + 2.0 * c * s * e + s * s * d1;
        diagonal[k + 1] = s * s * d0 - 2.0 * c * s * e + c * c * d1;
        beside[k] = c * s * (d1 - d0) + (c * c - s * s) * e;
        if k + 1 < last {
            x = beside[k];
            z = s * beside[k + 1];
            beside[k + 1] *= c;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(values: &[f32], width: usize) -> Site {
        Site { name: "1 relu".to_owned(), image: None, width, values: values.to_vec() }
    }

    #[test]
    fn eigenvalues_are_those_of_the_books() {
        let sorted = |a: &[f64], n| {
            let mut values = eigenvalues(a.to_vec(), n);
            values.sort_by(f64::total_cmp);
            values
        };
        assert_eq!(sorted(&[3.0], 1), [3.0]);
        let found = sorted(&[2.0, 1.0, 1.0, 2.0], 2);
        assert!((found[0] - 1.0).abs() < 1e-12 && (found[1] - 3.0).abs() < 1e-12, "{found:?}");
        // The second difference of n points: 2 − 2 cos(k π / (n + 1)).
        let n = 9;
        let mut a = vec![0.0; n * n];
        for i in 0..n {
            a[i * n + i] = 2.0;
            if i + 1 < n {
                (a[i * n + i + 1], a[(i + 1) * n + i]) = (-1.0, -1.0);
            }
        }
        for (k, value) in sorted(&a, n).iter().enumerate() {
            let expected = 2.0 - 2.0 * (std::f64::consts::PI * (k + 1) as f64 / (n + 1) as f64).cos();
            assert!((value - expected).abs() < 1e-12, "{k}: {value} and {expected}");
        }
        // Any symmetric matrix: sums of eigenvalues and of their squares are those of its diagonal and of its values.
        let n = 40;
        let number = |i: usize, j: usize| ((i * j + 3 * (i + j)) % 17) as f64 - 8.0;
        let a: Vec<f64> = (0..n * n).map(|at| number(at / n, at % n)).collect();
        let found = sorted(&a, n);
        let trace: f64 = (0..n).map(|i| a[i * n + i]).sum();
        let squares: f64 = a.iter().map(|value| value * value).sum();
        assert!((found.iter().sum::<f64>() - trace).abs() < 1e-8);
        assert!((found.iter().map(|value| value * value).sum::<f64>() / squares - 1.0).abs() < 1e-10);
    }

    #[test]
    fn ranks_count_directions() {
        // Two orthogonal directions of sizes 3 and 4, in three columns.
        let found = ranks(&site(&[3.0, 0.0, 0.0, 0.0, 4.0, 0.0], 3));
        assert_eq!(found.srank, 2);
        assert!((found.stable - 25.0 / 16.0).abs() < 1e-9, "{found:?}");
        let entropy = -(3.0 / 7.0_f64) * (3.0 / 7.0_f64).ln() - (4.0 / 7.0_f64) * (4.0 / 7.0_f64).ln();
        assert!((found.effective - entropy.exp()).abs() < 1e-9);
        // Every row a multiple of one.
        let found = ranks(&site(&[1.0, 2.0, -2.0, -4.0, 0.5, 1.0], 2));
        assert_eq!(found.srank, 1);
        assert!((found.stable - 1.0).abs() < 1e-9);
        // Many columns that are zero, or a multiple of another one.
        let width = 60;
        let number = |i: usize| match (i / width % 7, i % width) {
            (row, column) if column % 3 == 0 => (row as f32 - 3.0) * (column as f32 + 1.0),
            (row, 1) => (row * row) as f32 * 1e-3,
            _ => 0.0,
        };
        let values: Vec<f32> = (0..width * 70).map(number).collect();
        let found = ranks(&site(&values, width));
        assert!(found.srank <= 2 && found.srank > 0 && found.stable >= 1.0, "{found:?}");
        assert_eq!(ranks(&site(&[0.0; 6], 2)), Ranks { srank: 0, stable: 0.0, effective: 0.0 });
    }
}
