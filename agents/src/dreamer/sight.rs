//! What a world model sees, and what it must be able to tell again.

use agon_envs::ObsBuffer;
use agon_nn::losses::mixed_categorical::most_probable;
use agon_nn::losses::two_hot::{symexp, symlog};
use agon_nn::{Input, Matrix, Observation, Rows};

use crate::{AgentError, network};

/// What a byte's share is multiplied by to be the byte again.
const BYTES: f32 = 1.0 / network::BYTE_SCALE;

/// How a part of an observation is told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Numbers: by their symmetric logarithms, with squared errors.
    Numbers,
    /// Numbers between 0 and 1, such as pixels: by the logits of their probabilities.
    Shares,
    /// One of so many categories: by a logit for each.
    Category(usize),
}

/// An observation's values, in the order in which they lie.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sight {
    /// How many values follow each other, and how they are told.
    parts: Vec<(usize, Told)>,
    bytes: bool,
}

impl Sight {
    /// Of an observation that lies as bytes, or as floats.
    pub(super) fn new(observation: &Observation, bytes: bool) -> Self {
        let mut sight = Self { parts: Vec::new(), bytes };
        sight.add(observation);
        sight
    }

    fn add(&mut self, observation: &Observation) {
        match observation {
            Observation::Vector(len) => {
                self.parts.push((*len, if self.bytes { Told::Shares } else { Told::Numbers }));
            }
            Observation::Image { shape, .. } => {
                self.parts.push((shape.len(), if self.bytes { Told::Shares } else { Told::Numbers }));
            }
            Observation::Discrete(nvec) => {
                self.parts.extend(nvec.iter().map(|&choices| (1, Told::Category(choices))));
            }
            Observation::Dict(parts) => parts.iter().for_each(|(_, part)| self.add(part)),
        }
    }

    /// Values of an observation, `O`.
    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|(len, _)| len).sum()
    }

    /// Values by which it is told again, `Y`.
    pub(super) fn outputs(&self) -> usize {
        self.parts.iter().map(|&(len, told)| if let Told::Category(n) = told { n } else { len }).sum()
    }

    /// As a network reads them, `[B, O]`: numbers by their logarithms.
    pub(super) fn read(&self, input: Input) -> Input {
        let Input::Floats(mut matrix) = input else { return input };
        self.compress(matrix.as_mut_slice());
        Input::Floats(matrix)
    }

    /// As [`Self::read`], of what an actor sees; `buffer` holds it if it had to be changed.
    pub(super) fn rows<'a>(&self, observations: &'a ObsBuffer, buffer: &'a mut Vec<f32>) -> Rows<'a> {
        let rows = network::rows(observations);
        let Rows::F32(values) = rows else { return rows };
        buffer.clear();
        buffer.extend_from_slice(values);
        self.compress(buffer);
        Rows::F32(buffer)
    }

    fn compress(&self, rows: &mut [f32]) {
        for row in rows.chunks_exact_mut(self.len().max(1)) {
            let mut at = 0;
            for &(len, told) in &self.parts {
                if told == Told::Numbers {
                    row[at..at + len].iter_mut().for_each(|x| *x = symlog(*x));
                }
                at += len;
            }
        }
    }

    /// What has been read as floats, `[B, O]`.
    pub(super) fn targets(input: &Input) -> Result<Matrix, AgentError> {
        if let Input::Floats(matrix) = input {
            return Ok(matrix.clone());
        }
        let mut targets = Matrix::zeros(input.rows(), input.columns())?;
        Rows::from(input).copy_to(targets.as_mut_slice());
        Ok(targets)
    }

    /// Observations in their own units, `[B, O]`, of what a decoder puts out, `[B, Y]`: categories by the most probable one.
    pub(super) fn told(&self, outputs: &[f32]) -> Vec<f32> {
        let mut told = Vec::with_capacity(outputs.len());
        for mut row in outputs.chunks_exact(self.outputs().max(1)) {
            for &(len, kind) in &self.parts {
                let width = if let Told::Category(choices) = kind { choices } else { len };
                let (own, rest) = row.split_at(width);
                row = rest;
                match kind {
                    Told::Numbers => told.extend(own.iter().map(|&y| symexp(y))),
                    Told::Shares => told.extend(own.iter().map(|y| BYTES / (1.0 + (-y).exp()))),
                    Told::Category(_) => told.push(most_probable(own) as f32),
                }
            }
        }
        told
    }

    /// The loss of one row's outputs, `[Y]`, in nats or as squared errors; its gradient times `weight` overwrites `gradient`.
    pub(super) fn loss(&self, target: &[f32], outputs: &[f32], weight: f32, gradient: &mut [f32]) -> f32 {
        let (mut of, mut out, mut loss) = (0, 0, 0.0);
        for &(len, told) in &self.parts {
            let target = &target[of..of + len];
            let width = if let Told::Category(choices) = told { choices } else { len };
            let (outputs, gradient) = (&outputs[out..out + width], &mut gradient[out..out + width]);
            match told {
                Told::Numbers => {
                    for ((x, y), slope) in target.iter().zip(outputs).zip(gradient) {
                        let error = y - x;
                        loss += error * error;
                        *slope = 2.0 * weight * error;
                    }
                }
                Told::Shares => {
                    for ((x, y), slope) in target.iter().zip(outputs).zip(gradient) {
                        // ln(1 + e^y) − x y, without an overflow.
                        loss += y.max(0.0) - x * y + (-y.abs()).exp().ln_1p();
                        *slope = weight * (1.0 / (1.0 + (-y).exp()) - x);
                    }
                }
                Told::Category(choices) => {
                    let most = outputs.iter().fold(f32::NEG_INFINITY, |most, &y| most.max(y));
                    let sum: f32 = outputs.iter().map(|y| (y - most).exp()).sum();
                    let category = (target[0].max(0.0) as usize).min(choices - 1);
                    for (y, slope) in outputs.iter().zip(gradient.iter_mut()) {
                        *slope = weight * (y - most).exp() / sum;
                    }
                    gradient[category] -= weight;
                    loss += most + sum.ln() - outputs[category];
                }
            }
            (of, out) = (of + len, out + width);
        }
        loss
    }
}

#[cfg(test)]
mod tests {
    use agon_nn::ImageShape;

    use super::*;

    fn all() -> Observation {
        Observation::Dict(vec![
            ("a".to_owned(), Observation::Vector(2)),
            ("b".to_owned(), Observation::Discrete(vec![3, 2])),
        ])
    }

    #[test]
    fn numbers_are_read_by_their_logarithms_and_categories_as_they_are() {
        let sight = Sight::new(&all(), false);
        assert_eq!((sight.len(), sight.outputs()), (4, 7));
        let x = Matrix::from_slice(1, 4, &[1.0, -1.0, 2.0, 1.0]).unwrap();
        let read = Sight::targets(&sight.read(Input::Floats(x))).unwrap();
        let ln2 = std::f32::consts::LN_2;
        for (got, expected) in read.as_slice().iter().zip([ln2, -ln2, 2.0, 1.0]) {
            assert!((got - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn what_is_told_has_the_units_of_what_was_seen() {
        let sight = Sight::new(&all(), false);
        let told = sight.told(&[std::f32::consts::LN_2, 0.0, 0.1, 0.3, 0.2, 0.0, 1.0]);
        assert!((told[0] - 1.0).abs() < 1e-6 && told[1..] == [0.0, 1.0, 1.0]);
        let image = Observation::Image { shape: ImageShape::new(1, 1, 2), channels_last: false };
        let told = Sight::new(&image, true).told(&[0.0, 100.0]);
        assert!((told[0] - 127.5).abs() < 1e-3 && (told[1] - 255.0).abs() < 1e-3);
    }

    #[test]
    fn gradients_of_all_kinds_are_those_of_differences() {
        let image = Observation::Image { shape: ImageShape::new(1, 1, 3), channels_last: false };
        for (sight, target) in [
            (Sight::new(&all(), false), vec![0.4, -0.2, 2.0, 0.0]),
            (Sight::new(&image, true), vec![0.0, 1.0, 0.3]),
        ] {
            let outputs: Vec<f32> = (0..sight.outputs()).map(|index| (index as f32 * 1.3).sin()).collect();
            let loss = |outputs: &[f32]| {
                let mut gradient = vec![f32::NAN; outputs.len()];
                (sight.loss(&target, outputs, 0.5, &mut gradient), gradient)
            };
            let (_, gradient) = loss(&outputs);
            for (index, got) in gradient.iter().enumerate() {
                let moved = |by: f32| {
                    let mut outputs = outputs.clone();
                    outputs[index] += by;
                    loss(&outputs).0
                };
                let expected = 0.5 * (moved(1e-2) - moved(-1e-2)) / 2e-2;
                assert!((got - expected).abs() < 1e-3, "{index}: {got} and {expected}");
            }
        }
    }
}
