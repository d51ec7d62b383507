//! Linear maps on one row, in the forms that weights are stored in.

use std::ops::Range;

use crate::arithmetic;
use crate::compressed::{Quantization, StoredMap};
use crate::error::PolicyError;
use crate::program::Parameters;

use super::build::transposed;
use super::layers::Pool;

/// A linear map, ready to run.
#[derive(Debug)]
pub(super) enum Linear {
    /// All of it.
    Dense {
        /// Transposed, `[inputs, outputs]`.
        weight: Vec<f32>,
        bias: Vec<f32>,
    },
    /// What is not zero, input by input.
    Sparse {
        /// Where each input's values begin, and where the last one's end.
        starts: Vec<u32>,
        /// The output of each value.
        outputs: Vec<u32>,
        values: Vec<f32>,
        bias: Vec<f32>,
    },
    /// Integers: sums are exact.
    Integer {
        weight: Integers,
        /// What a unit of each output's sum stands for.
        scale: Vec<f32>,
        bias: Vec<f32>,
        input: Quantization,
    },
}

/// A weight of integers.
#[derive(Debug)]
pub(super) enum Integers {
    /// Transposed, `[inputs, outputs]`, of so few inputs that sums of numbers are exact, too.
    Few(Vec<f32>),
    /// `[outputs, inputs]`.
    Many(Vec<i16>),
}

/// Inputs whose products with a byte add up to 2²⁴ at most, up to which numbers of single precision have every integer.
const FEW: usize = (1 << 24) / (255 * 127);

impl Linear {
    /// Some rows of a map as it is stored.
    pub(super) fn of(
        stored: &StoredMap<'_>,
        rows: Range<usize>,
        parameters: &Parameters,
    ) -> Result<Self, PolicyError> {
        let columns = stored.columns;
        let part = rows.start * columns..rows.end * columns;
        let bias = stored.biases(parameters)?[rows.clone()].to_vec();
        if let (Some(input), Some(scales)) = (stored.input, stored.scales(parameters)?) {
            let weight = &stored.stored(parameters)?[part];
            let weight = if columns <= FEW {
                Integers::Few(transposed(weight, columns))
            } else {
                Integers::Many(weight.iter().map(|&value| value as i16).collect())
            };
            let scale = scales[rows].iter().map(|scale| input.scale * scale).collect();
            return Ok(Self::Integer { weight, scale, bias, input });
        }
        let weight = &stored.weights(parameters)?[part];
        if stored.places.is_none() {
            return Ok(Self::Dense { weight: transposed(weight, columns), bias });
        }
        let (mut starts, mut outputs, mut values) = (vec![0], Vec::new(), Vec::new());
        for column in 0..columns {
            for (output, &value) in weight.iter().skip(column).step_by(columns).enumerate() {
                if value != 0.0 {
                    outputs.push(output as u32);
                    values.push(value);
                }
            }
            starts.push(values.len() as u32);
        }
        Ok(Self::Sparse { starts, outputs, values, bias })
    }

    pub(super) fn outputs(&self) -> usize {
        match self {
            Self::Dense { bias, .. } | Self::Sparse { bias, .. } | Self::Integer { bias, .. } => bias.len(),
        }
    }

    /// `Wᵀ g`, the gradient with respect to what is given, from that with respect to what comes out.
    pub(super) fn gradient(&self, grad: &[f32]) -> Result<Vec<f32>, PolicyError> {
        match self {
            Self::Dense { weight, bias } => {
                let rows = weight.chunks_exact(bias.len());
                Ok(rows.map(|row| row.iter().zip(grad).map(|(weight, grad)| weight * grad).sum()).collect())
            }
            Self::Sparse { starts, outputs, values, .. } => {
                let of_input = |ends: &[u32]| {
                    let own = ends[0] as usize..ends[1] as usize;
                    let pairs = values[own.clone()].iter().zip(&outputs[own]);
                    pairs.map(|(value, &output)| value * grad[output as usize]).sum()
                };
                Ok(starts.windows(2).map(of_input).collect())
            }
            // What is rounded goes up in steps, between which nothing changes.
            Self::Integer { .. } => Err(PolicyError::NoGradient("integer")),
        }
    }

    pub(super) fn run(&self, x: &[f32], out: &mut [f32], pool: &mut Pool) {
        match self {
            Self::Dense { weight, bias } => arithmetic::linear(weight, bias, x, out),
            Self::Sparse { starts, outputs, values, bias } => {
                out.copy_from_slice(bias);
                for (x, ends) in x.iter().zip(starts.windows(2)) {
                    if *x == 0.0 {
                        continue;
                    }
                    let of_input = ends[0] as usize..ends[1] as usize;
                    for (value, &output) in values[of_input.clone()].iter().zip(&outputs[of_input]) {
                        out[output as usize] += x * value;
                    }
                }
            }
            Self::Integer { weight, scale, bias, input } => {
                let (inverse, zero) = (input.inverse(), f32::from(input.zero_point));
                let steps = |x: f32| arithmetic::nearest((x * inverse).clamp(-zero, 255.0 - zero));
                match weight {
                    Integers::Few(weight) => {
                        let (mut row, mut none) = (pool.take(x.len()), pool.take(out.len()));
                        row.iter_mut().zip(x).for_each(|(steps_of, x)| *steps_of = steps(*x) as f32);
                        none.fill(0.0);
                        arithmetic::linear(weight, &none, &row, out);
                        pool.put(row);
                        pool.put(none);
                        let of_sums = scale.iter().zip(bias);
                        out.iter_mut()
                            .zip(of_sums)
                            .for_each(|(sum, (scale, bias))| *sum = *sum * scale + bias);
                    }
                    Integers::Many(weight) => {
                        let row = pool.integers(x.len());
                        row.iter_mut().zip(x).for_each(|(steps_of, x)| *steps_of = steps(*x) as i16);
                        let rows = weight.chunks_exact(x.len()).zip(scale.iter().zip(bias));
                        for (out, (weight, (scale, bias))) in out.iter_mut().zip(rows) {
                            *out = arithmetic::dot(weight, row) as f32 * scale + bias;
                        }
                    }
                }
            }
        }
    }
}
