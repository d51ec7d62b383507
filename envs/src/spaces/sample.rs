//! Sampling, by Gymnasium's rules and NumPy's numbers.
//!
//! # Deviations
//! 1. A container draws all its entries from one generator, in order; in Gymnasium every sub-space has its own.
//! 2. Unbounded and half-bounded elements of a `Box` have Gymnasium's distributions (standard normal, exponential from
//!    the bound), but drawn by `rand_distr`: other numbers than NumPy's for the same seed.

use rand_distr::{Distribution, Exp1, StandardNormal};

use super::{BoxSpace, Dtype, Space, SpaceError, Value};
use crate::random::Pcg64;

impl Space {
    /// A random value: uniform where the space is bounded, see [`Space::Box`] elements otherwise.
    ///
    /// Elements of a `Box` without bounds are standard normal, those with one bound lie beyond it by an exponential
    /// variable of mean 1.
    pub fn sample(&self, rng: &mut Pcg64) -> Value {
        match self {
            Self::Discrete { n, start } => Value::Discrete(start + rng.bounded(*n as u64 - 1) as i64),
            Self::Box(space) => match space.dtype() {
                Dtype::F32 => Value::Box(sample_f32(space, rng)),
                Dtype::U8 => Value::BoxU8(sample_u8(space, rng)),
            },
            Self::MultiDiscrete { nvec } => {
                Value::MultiDiscrete(nvec.iter().map(|&n| (rng.random() * n as f64) as i64).collect())
            }
            Self::MultiBinary { n } => Value::MultiBinary(sample_bits(*n, rng)),
            Self::Dict(spaces) => {
                Value::Dict(spaces.iter().map(|(name, space)| (name.clone(), space.sample(rng))).collect())
            }
            Self::Tuple(spaces) => Value::Tuple(spaces.iter().map(|space| space.sample(rng)).collect()),
        }
    }

    /// A random value among those that a mask allows; `true` allows.
    ///
    /// A mask has one entry for each alternative: `n` for `Discrete`, the sum of `nvec` for `MultiDiscrete` (factor by
    /// factor), two for each bit of `MultiBinary` (may it be 0, may it be 1), those of the entries one after the other
    /// for `Dict` and `Tuple`. Where nothing is allowed, the smallest value is taken and nothing is drawn for it.
    ///
    /// # Errors
    /// If the mask has another length, or the space contains a `Box`.
    pub fn sample_masked(&self, mask: &[bool], rng: &mut Pcg64) -> Result<Value, SpaceError> {
        let expected = self.mask_len()?;
        if mask.len() != expected {
            let mismatch =
                SpaceError::mismatch(format!("{expected} entries"), format!("{} entries", mask.len()));
            return Err(mismatch.within("mask"));
        }
        let mut rest = mask;
        self.sample_allowed(&mut rest, rng)
    }

    /// The number of entries of a mask for [`Space::sample_masked`].
    ///
    /// # Errors
    /// If the space contains a `Box`, which has no alternatives to mask.
    pub fn mask_len(&self) -> Result<usize, SpaceError> {
        match self {
            Self::Discrete { n, .. } => Ok(*n),
            Self::Box(_) => Err(SpaceError::NotMaskable { path: String::new(), kind: self.kind() }),
            Self::MultiDiscrete { nvec } => Ok(nvec.iter().sum()),
            Self::MultiBinary { n } => Ok(2 * n),
            Self::Dict(spaces) => {
                spaces.iter().map(|(name, space)| space.mask_len().map_err(|e| e.within(name))).sum()
            }
            Self::Tuple(spaces) => {
                spaces.iter().enumerate().map(|(i, space)| space.mask_len().map_err(|e| e.at(i))).sum()
            }
        }
    }

    /// Takes this space's entries off the front of a mask of sufficient length and samples by them.
    fn sample_allowed(&self, mask: &mut &[bool], rng: &mut Pcg64) -> Result<Value, SpaceError> {
        let mut take = |n: usize| {
            let (front, rest) = mask.split_at(n);
            *mask = rest;
            front
        };
        Ok(match self {
            Self::Discrete { n, start } => Value::Discrete(start + choose_allowed(take(*n), rng)),
            Self::Box(_) => return Err(SpaceError::NotMaskable { path: String::new(), kind: self.kind() }),
            Self::MultiDiscrete { nvec } => {
                Value::MultiDiscrete(nvec.iter().map(|&n| choose_allowed(take(n), rng)).collect())
            }
            Self::MultiBinary { n } => {
                // All bits are drawn, then forced ones are replaced: the rest of the stream does not depend on the mask.
                let bits = sample_bits(*n, rng);
                let allowed = take(2 * n).chunks_exact(2);
                Value::MultiBinary(
                    bits.into_iter()
                        .zip(allowed)
                        .map(|(bit, a)| if a[0] { bit && a[1] } else { a[1] })
                        .collect(),
                )
            }
            Self::Dict(spaces) => {
                let sample = |(name, space): (&String, &Self)| {
                    Ok((name.clone(), space.sample_allowed(mask, rng).map_err(|e| e.within(name))?))
                };
                Value::Dict(spaces.iter().map(sample).collect::<Result<_, _>>()?)
            }
            Self::Tuple(spaces) => {
                let sample =
                    |(i, space): (usize, &Self)| space.sample_allowed(mask, rng).map_err(|e| e.at(i));
                Value::Tuple(spaces.iter().enumerate().map(sample).collect::<Result<_, _>>()?)
            }
        })
    }
}

/// Gymnasium draws the elements group by group: the unbounded ones first, the bounded ones last.
fn sample_f32(space: &BoxSpace, rng: &mut Pcg64) -> Vec<f32> {
    let uniform = |low: f32, high: f32, rng: &mut Pcg64| rng.uniform(f64::from(low), f64::from(high)) as f32;
    let bounds = || space.low().iter().zip(space.high()).map(|(&low, &high)| (low, high));
    if space.is_bounded() {
        return bounds().map(|(low, high)| uniform(low, high, rng)).collect();
    }
    let mut sample = vec![0.0; space.len()];
    for group in [(false, false), (true, false), (false, true), (true, true)] {
        for (out, (low, high)) in sample.iter_mut().zip(bounds()) {
            if (low.is_finite(), high.is_finite()) != group {
                continue;
            }
            *out = match group {
                (false, false) => Distribution::<f64>::sample(&StandardNormal, rng) as f32,
                (true, false) => (f64::from(low) + Distribution::<f64>::sample(&Exp1, rng)) as f32,
                (false, true) => (f64::from(high) - Distribution::<f64>::sample(&Exp1, rng)) as f32,
                (true, true) => uniform(low, high, rng),
            };
        }
    }
    sample
}

fn sample_u8(space: &BoxSpace, rng: &mut Pcg64) -> Vec<u8> {
    let bounds = space.low().iter().zip(space.high());
    bounds.map(|(&low, &high)| rng.uniform(f64::from(low), f64::from(high) + 1.0) as u8).collect()
}

fn sample_bits(n: usize, rng: &mut Pcg64) -> Vec<bool> {
    let mut bits = vec![0; n];
    rng.bytes_bounded(1, &mut bits);
    bits.into_iter().map(|bit| bit == 1).collect()
}

/// The index of a random allowed entry; 0, and nothing drawn, if there is none.
fn choose_allowed(allowed: &[bool], rng: &mut Pcg64) -> i64 {
    let count = allowed.iter().filter(|&&a| a).count();
    if count == 0 {
        return 0;
    }
    let chosen = rng.bounded(count as u64 - 1) as usize;
    let index = allowed.iter().enumerate().filter(|&(_, &a)| a).nth(chosen).map(|(i, _)| i);
    index.unwrap_or(0) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three samples of Gymnasium 1.4.0 with numpy 2.4.6 after `space.seed(7)`.
    fn samples(space: &Space, n: usize) -> Vec<Value> {
        let mut rng = Pcg64::seed_from(7);
        (0..n).map(|_| space.sample(&mut rng)).collect()
    }

    #[test]
    fn discrete_samples_are_those_of_gymnasium() {
        let space = Space::discrete_from(-2, 5).unwrap();
        assert_eq!(samples(&space, 8), [2, 1, 1, 2, 0, 1, 2, -1].map(Value::Discrete));
    }

    #[test]
    fn box_samples_are_those_of_gymnasium() {
        let space = Space::box_f32(&[-1.0, 0.1, -4.8], &[1.0, 0.3, 1e10]).unwrap();
        let recorded = [
            [0.25019094347953796, 0.27944275736808777, 7756856832.0],
            [-0.5495856404304504, 0.16003325581550598, 8735534080.0],
            [-0.9894694089889526, 0.2642456889152527, 7970694144.0],
        ];
        assert_eq!(samples(&space, 3), recorded.map(|row| Value::Box(row.map(|x| x as f32).to_vec())));
    }

    #[test]
    fn byte_samples_are_those_of_gymnasium() {
        let recorded = [[160, 229, 198, 57], [76, 223, 1, 210], [204, 119, 77, 71]];
        let space = Space::image_u8(&[2, 2]).unwrap();
        assert_eq!(samples(&space, 3), recorded.map(|row| Value::BoxU8(row.to_vec())));

        let recorded = [[7, 9, 8, 4], [5, 9, 3, 8], [8, 6, 5, 4]];
        let space = Space::from(BoxSpace::uniform(3.0, 9.0, &[4], Dtype::U8).unwrap());
        assert_eq!(samples(&space, 3), recorded.map(|row| Value::BoxU8(row.to_vec())));
    }

    #[test]
    fn multi_discrete_and_multi_binary_samples_are_those_of_gymnasium() {
        let recorded = [[1, 4, 1], [0, 1, 1], [0, 4, 1], [1, 1, 0]];
        let space = Space::multi_discrete(&[3, 5, 2]).unwrap();
        assert_eq!(samples(&space, 4), recorded.map(|row| Value::MultiDiscrete(row.to_vec())));

        let recorded = [[1, 0, 1, 1, 1], [1, 0, 0, 1, 1], [0, 1, 0, 1, 0], [0, 0, 0, 1, 1]];
        let space = Space::multi_binary(5).unwrap();
        assert_eq!(samples(&space, 4), recorded.map(|row| Value::MultiBinary(row.map(|b| b == 1).to_vec())));
    }

    #[test]
    fn masked_samples_are_those_of_gymnasium() {
        let space = Space::discrete_from(10, 6).unwrap();
        let mask = [false, true, false, true, true, false];
        let mut rng = Pcg64::seed_from(7);
        for expected in [14, 13, 14, 14, 13, 14, 14, 11] {
            assert_eq!(space.sample_masked(&mask, &mut rng), Ok(Value::Discrete(expected)));
        }

        // Factors {0, 2} and {}, the latter falls back to 0.
        let space = Space::multi_discrete(&[3, 2]).unwrap();
        let mask = [true, false, true, false, false];
        let mut rng = Pcg64::seed_from(7);
        for _ in 0..6 {
            assert_eq!(space.sample_masked(&mask, &mut rng), Ok(Value::MultiDiscrete(vec![2, 0])));
        }

        // The first bit must be 0, the second 1, the others are free.
        let space = Space::multi_binary(5).unwrap();
        let mask = [true, false, false, true, true, true, true, true, true, true];
        let mut rng = Pcg64::seed_from(7);
        for expected in [[0, 1, 1, 1, 1], [0, 1, 0, 1, 1], [0, 1, 0, 1, 0], [0, 1, 0, 1, 1]] {
            let expected = Value::MultiBinary(expected.map(|b| b == 1).to_vec());
            assert_eq!(space.sample_masked(&mask, &mut rng), Ok(expected));
        }
    }

    #[test]
    fn mask_that_allows_nothing_gives_the_start_and_draws_nothing() {
        let mut rng = Pcg64::seed_from(7);
        let space = Space::discrete_from(10, 6).unwrap();
        assert_eq!(space.sample_masked(&[false; 6], &mut rng), Ok(Value::Discrete(10)));
        assert_eq!(rng, Pcg64::seed_from(7));
    }

    #[test]
    fn masks_of_containers_are_concatenated() {
        let space = Space::dict([
            ("b", Space::discrete(3).unwrap()),
            ("a", Space::tuple([Space::multi_discrete(&[2, 2]).unwrap()]).unwrap()),
        ])
        .unwrap();
        assert_eq!(space.mask_len(), Ok(7));
        let value =
            space.sample_masked(&[false, true, true, false, false, false, true], &mut Pcg64::seed_from(0));
        let expected =
            [("a", Value::Tuple(vec![Value::MultiDiscrete(vec![1, 0])])), ("b", Value::Discrete(2))];
        assert_eq!(value, Ok(Value::dict(expected)));
    }

    #[test]
    fn masks_that_do_not_fit_are_errors() {
        let mut rng = Pcg64::seed_from(0);
        let error = Space::discrete(3).unwrap().sample_masked(&[true], &mut rng).unwrap_err();
        assert_eq!(error.to_string(), "mask: expected 3 entries, got 1 entries");
        let space = Space::dict([("x", Space::box_uniform(0.0, 1.0, &[2]).unwrap())]).unwrap();
        let error = space.sample_masked(&[true, true], &mut rng).unwrap_err();
        assert_eq!(error.to_string(), "x: a Box space cannot be sampled with a mask");
    }

    #[test]
    fn half_bounded_and_unbounded_samples_lie_on_the_right_side() {
        let inf = f32::INFINITY;
        let space = Space::box_f32(&[3.0, -inf, -inf, -1.0], &[inf, -2.0, inf, 1.0]).unwrap();
        let mut rng = Pcg64::seed_from(5);
        let n = 4000;
        let mut sums = [0.0; 4];
        let mut squares = [0.0; 4];
        for _ in 0..n {
            let Value::Box(sample) = space.sample(&mut rng) else { panic!("a box samples a box") };
            assert!(sample[0] >= 3.0 && sample[1] <= -2.0 && sample[3].abs() <= 1.0);
            for (i, &x) in sample.iter().enumerate() {
                sums[i] += f64::from(x) / f64::from(n);
                squares[i] += f64::from(x).powi(2) / f64::from(n);
            }
        }
        // Means 3 + 1, -2 - 1, 0, 0 and variances 1, 1, 1, 1/3.
        for (i, (mean, variance)) in
            [(4.0, 1.0), (-3.0, 1.0), (0.0, 1.0), (0.0, 1.0 / 3.0)].into_iter().enumerate()
        {
            assert!((sums[i] - mean).abs() < 0.07, "mean of element {i}: {}", sums[i]);
            assert!((squares[i] - sums[i].powi(2) - variance).abs() < 0.12, "variance of element {i}");
        }
    }
}
