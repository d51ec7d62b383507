//! How a parameter gets its first values.

use rand::{Rng, RngExt as _};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;

/// The initialisation of one parameter, under PyTorch's names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// All zeros.
    Zeros,
    /// All the same value.
    Constant(f32),
    /// A (semi-)orthogonal matrix times `gain`, as `torch.nn.init.orthogonal_`: the `Q` of a Gaussian matrix' QR
    /// decomposition with positive diagonal of `R`. Further dimensions than the first are one.
    Orthogonal {
        /// Scale of the matrix: √2 before ReLU or tanh, 0.01 for a policy head, 1 for a value head.
        gain: f32,
    },
    /// Uniform within `±√(6 / ((1 + a²) · fan_in))`, as `torch.nn.init.kaiming_uniform_`.
    KaimingUniform {
        /// Negative slope; PyTorch's linear layers use √5, which gives `±1/√fan_in`.
        a: f32,
    },
    /// Uniform within `±1/√fan_in`: PyTorch's bias of a linear layer.
    UniformFanIn {
        /// The number of inputs of the layer.
        fan_in: usize,
    },
    /// Normal with mean zero.
    Normal {
        /// Standard deviation.
        std: f32,
    },
    /// The biases of a recurrent layer's gates by which its units remember spans of different lengths (Tallec and
    /// Ollivier 2018, arXiv:1804.11188): `ln u` with `u` uniform between 1 and `longest - 1`, one `u` a unit.
    Chrono {
        /// What `ln u` is multiplied by in each gate, whose biases follow each other; one number a gate, at least one.
        gates: &'static [f32],
        /// The longest span, in steps, at least 2.
        longest: usize,
    },
}

impl Init {
    /// PyTorch's default for a linear layer's weight.
    pub const PYTORCH_LINEAR: Self = Self::KaimingUniform { a: 2.236_068 };

    /// Fills `values` of the given shape from the random stream `stream` of `seed`.
    pub(crate) fn fill(self, seed: u64, stream: u64, shape: &[usize], values: &mut [f32]) {
        let mut rng = generator(seed, stream);
        let fan_in: usize = shape.iter().skip(1).product();
        match self {
            Self::Zeros => values.fill(0.0),
            Self::Constant(value) => values.fill(value),
            Self::Orthogonal { gain } => orthogonal(&mut rng, gain, fan_in, values),
            Self::KaimingUniform { a } => {
                let bound = (6.0 / ((1.0 + f64::from(a).powi(2)) * fan_in as f64)).sqrt();
                uniform(&mut rng, bound, values);
            }
            Self::UniformFanIn { fan_in } => uniform(&mut rng, (fan_in as f64).sqrt().recip(), values),
            Self::Normal { std } => {
                for value in values {
                    let z: f64 = rng.sample(StandardNormal);
                    *value = (f64::from(std) * z) as f32;
                }
            }
            Self::Chrono { gates, longest } => {
                let units = values.len() / gates.len();
                let spans: Vec<f64> =
                    (0..units).map(|_| 1.0 + unit(&mut rng) * (longest as f64 - 2.0)).collect();
                for (values, &scale) in values.chunks_exact_mut(units).zip(gates) {
                    for (value, span) in values.iter_mut().zip(&spans) {
                        *value = scale * span.ln() as f32;
                    }
                }
            }
        }
    }
}

/// A generator for one stream of a seed.
///
/// Neighbouring seeds as raw states give correlated values, so both are mixed first (`SplitMix64`).
fn generator(seed: u64, stream: u64) -> Pcg64 {
    let mut state = mix(seed) ^ stream;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(state)
    };
    let [high, low, stream_high, stream_low] = [next(), next(), next(), next()].map(u128::from);
    Pcg64::new(high << 64 | low, stream_high << 64 | stream_low)
}

/// The output function of `SplitMix64`.
fn mix(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn uniform(rng: &mut Pcg64, bound: f64, values: &mut [f32]) {
    for value in values {
        *value = (bound * (2.0 * unit(rng) - 1.0)) as f32;
    }
}

/// Uniform in 0..1, of 53 random bits.
fn unit(rng: &mut Pcg64) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Orthonormalises the shorter side of a Gaussian `[rows, columns]` matrix by modified Gram–Schmidt, in `f64`.
///
/// Gram–Schmidt gives `R` a positive diagonal by itself, so no sign correction is needed. Its loss of
/// orthogonality, about the condition number times 1e-16, is far below what `f32` shows.
fn orthogonal(rng: &mut Pcg64, gain: f32, columns: usize, values: &mut [f32]) {
    if values.is_empty() {
        return;
    }
    let rows = values.len() / columns;
    let (count, len) = (rows.min(columns), rows.max(columns));
    let gaussian: Vec<f64> = (0..rows * columns).map(|_| rng.sample(StandardNormal)).collect();
    // `count` vectors of `len` values: the matrix' columns if it is tall, its rows if it is wide.
    let (vector_stride, value_stride) = if rows >= columns { (1, columns) } else { (columns, 1) };
    let mut vectors: Vec<Vec<f64>> = (0..count)
        .map(|i| (0..len).map(|j| gaussian[i * vector_stride + j * value_stride]).collect())
        .collect();
    for i in 0..count {
        let (done, rest) = vectors.split_at_mut(i + 1);
        let current = &mut done[i];
        let norm = dot(current, current).sqrt();
        current.iter_mut().for_each(|x| *x /= norm);
        for vector in rest {
            let projection = dot(current, vector);
            vector.iter_mut().zip(&*current).for_each(|(x, y)| *x -= projection * y);
        }
    }
    for (i, vector) in vectors.iter().enumerate() {
        for (j, &x) in vector.iter().enumerate() {
            values[i * vector_stride + j * value_stride] = (f64::from(gain) * x) as f32;
        }
    }
}

/// Four interleaved partial sums, so that the compiler may use vectors.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    for (a, b) in a.iter().zip(b) {
        for i in 0..4 {
            sums[i] += a[i] * b[i];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(init: Init, shape: &[usize]) -> Vec<f32> {
        let mut values = vec![0.0; shape.iter().product()];
        init.fill(7, 0, shape, &mut values);
        values
    }

    #[test]
    fn orthogonal_matrices_have_orthogonal_rows_or_columns() {
        for (rows, columns) in [(5, 5), (8, 3), (3, 8), (64, 4), (1, 6)] {
            let w = filled(Init::Orthogonal { gain: 2.0 }, &[rows, columns]);
            let at = |i: usize, j: usize| f64::from(w[i * columns + j]);
            let (count, len) = (rows.min(columns), rows.max(columns));
            for a in 0..count {
                for b in 0..count {
                    let product: f64 = (0..len)
                        .map(|t| if rows >= columns { at(t, a) * at(t, b) } else { at(a, t) * at(b, t) })
                        .sum();
                    let expected = if a == b { 4.0 } else { 0.0 };
                    assert!((product - expected).abs() < 1e-5, "[{rows}, {columns}] {a} {b}: {product}");
                }
            }
        }
    }

    #[test]
    fn uniform_initialisations_fill_their_bounds() {
        for (init, bound) in [(Init::PYTORCH_LINEAR, 0.1), (Init::UniformFanIn { fan_in: 100 }, 0.1)] {
            let values = filled(init, &[64, 100]);
            let max = values.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
            assert!(max <= bound && max > 0.99 * bound, "{init:?}: {max}");
            let mean = values.iter().sum::<f32>() / values.len() as f32;
            assert!(mean.abs() < 0.01, "{init:?}: {mean}");
        }
    }

    #[test]
    fn normal_has_its_standard_deviation() {
        let values = filled(Init::Normal { std: 0.5 }, &[100, 100]);
        let variance = values.iter().map(|x| x * x).sum::<f32>() / values.len() as f32;
        assert!((variance - 0.25).abs() < 0.01, "{variance}");
    }

    #[test]
    fn streams_of_one_seed_differ() {
        let mut other = vec![0.0; 8];
        Init::Normal { std: 1.0 }.fill(7, 1, &[8], &mut other);
        assert_ne!(filled(Init::Normal { std: 1.0 }, &[8]), other);
    }

    /// The stream must not change between versions: a seed in a paper must keep its meaning.
    #[test]
    fn values_are_stable() {
        let values = filled(Init::Normal { std: 1.0 }, &[3]);
        assert_eq!(values, [-0.950_239_6, -0.044_566_024, 0.315_341_53]);
    }
}
