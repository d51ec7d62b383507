//! How alike two layers see states: linear centered kernel alignment.

use super::activations::Site;
use super::rank::rows_gram;

/// Inner products of a layer's activations at `S` states about their mean, `[S, S]`, divided by their size.
#[derive(Clone, Debug)]
pub struct Alignment(Vec<f64>);

impl Alignment {
    /// Of a layer; of one that gives the same at all states all products are zero.
    pub fn of(site: &Site) -> Self {
        let states = site.states();
        let mut gram = rows_gram(&site.values, site.width);
        let means: Vec<f64> =
            gram.chunks_exact(states).map(|row| row.iter().sum::<f64>() / states as f64).collect();
        let mean = means.iter().sum::<f64>() / states as f64;
        for (i, row) in gram.chunks_exact_mut(states).enumerate() {
            row.iter_mut().zip(&means).for_each(|(value, column)| *value += mean - means[i] - column);
        }
        let size = gram.iter().map(|value| value * value).sum::<f64>().sqrt();
        let rounding = f64::EPSILON * mean.abs().max(f64::MIN_POSITIVE) * states as f64;
        let factor = if size > rounding { 1.0 / size } else { 0.0 };
        gram.iter_mut().for_each(|value| *value *= factor);
        Self(gram)
    }

    /// `CKA(X, Y) = ‖Yᵀ X‖² / (‖Xᵀ X‖ ‖Yᵀ Y‖)` of centered activations at the same states: 1 if one is a rotation and scaling
    /// of the other, 0 if they have nothing in common.
    ///
    /// # Source
    /// Kornblith et al. 2019, *Similarity of neural network representations revisited*.
    pub fn with(&self, other: &Self) -> f64 {
        self.0.iter().zip(&other.0).map(|(a, b)| a * b).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(values: Vec<f32>, width: usize) -> Site {
        Site { name: String::new(), image: None, width, values }
    }

    fn numbers(count: usize) -> Vec<f32> {
        let mut rng = agon_envs::Pcg64::seed_from(3);
        (0..count).map(|_| rng.uniform(-1.0, 1.0) as f32).collect()
    }

    #[test]
    fn what_is_turned_scaled_and_moved_is_the_same() {
        let x = numbers(60);
        let own = Alignment::of(&site(x.clone(), 2));
        assert!((own.with(&own) - 1.0).abs() < 1e-12);
        let (sine, cosine) = 0.7_f32.sin_cos();
        let turned = x.chunks_exact(2).flat_map(|row| {
            [3.0 * (cosine * row[0] - sine * row[1]) + 5.0, 3.0 * (sine * row[0] + cosine * row[1]) - 1.0]
        });
        let turned = Alignment::of(&site(turned.collect(), 2));
        assert!((own.with(&turned) - 1.0).abs() < 1e-5, "{}", own.with(&turned));
        // Stretched it is another one.
        let stretched = x.chunks_exact(2).flat_map(|row| [10.0 * row[0], row[1]]).collect();
        assert!(own.with(&Alignment::of(&site(stretched, 2))) < 0.9);
    }

    #[test]
    fn what_has_nothing_in_common_is_zero() {
        // Centered columns that are orthogonal.
        let a = Alignment::of(&site(vec![1.0, 1.0, -1.0, -1.0], 1));
        let b = Alignment::of(&site(vec![1.0, -1.0, 1.0, -1.0], 1));
        assert!(a.with(&b).abs() < 1e-12);
        let constant = Alignment::of(&site(vec![2.0; 4], 1));
        assert_eq!(a.with(&constant), 0.0);
    }
}
