//! Two action-value networks and the slowly following copies that targets are taken from.
//!
//! The smaller of two estimates keeps errors from growing in the maximum over actions (clipped double Q-learning).
//!
//! # Source
//! Fujimoto et al. (2018), arXiv:1802.09477, section 4.

use agon_nn::{
    Activation, EncoderConfig, Head, HeadSpec, Init, Input, LayoutBuilder, Matrix, Model, ModelConfig,
    Observation, OptimizerConfig, Params, Sequential, Summary, Tape,
};

use crate::AgentError;
use crate::part::Part;
use crate::slices::{Slice, Sums};

/// What the critics' tensors are called, before their own names.
pub(crate) const CRITICS: &str = "critics.";
/// What those of the copies are.
pub(crate) const TARGET_CRITICS: &str = "target_critics.";

/// Both networks, `q1.*` and `q2.*`, in one buffer of parameters, and their copies.
pub(crate) struct TwinCritics {
    networks: [Sequential; 2],
    pub(crate) online: Part,
    pub(crate) target: Part,
    pub(crate) summary: Summary,
}

/// The shape of policy and critics where none is given, each a network of its own: Stable-Baselines3's.
pub(crate) fn default_network() -> ModelConfig {
    ModelConfig { encoder: EncoderConfig::mlp(&[256, 256], Activation::Relu), ..ModelConfig::default() }
}

/// As [`default_network`], with a LayerNorm after each linear map: what keeps values of actions that are not in recorded data
/// from growing.
pub(crate) fn normed_network() -> ModelConfig {
    let (hidden, activation, layer_norm) = (vec![256, 256], Activation::Relu, true);
    ModelConfig { encoder: EncoderConfig::Mlp { hidden, activation, layer_norm }, ..ModelConfig::default() }
}

impl TwinCritics {
    /// Random networks from what they read to what the head puts out.
    pub(crate) fn new(
        observation: &Observation,
        network: &ModelConfig,
        head: &Head,
        optimizer: OptimizerConfig,
        seed: u64,
    ) -> Result<Self, AgentError> {
        let mut builder = LayoutBuilder::new();
        let init = Init::PYTORCH_LINEAR;
        let mut build = |prefix: &str| {
            let spec = HeadSpec { name: format!("{prefix}head"), head: head.clone(), init };
            Model::new(&mut builder, prefix, observation, network, &[spec], init)
        };
        let models = [build("q1.")?, build("q2.")?];
        let parts = models.each_ref().map(|model| model.summary().parts.clone()).concat();
        let params = builder.build(seed);
        Ok(Self {
            networks: [models[0].chain(0)?, models[1].chain(0)?],
            target: Part::fixed(TARGET_CRITICS, params.clone()),
            online: Part::trained(CRITICS, params, optimizer)?,
            summary: Summary { parts },
        })
    }

    /// The smaller one of the target networks' values, `[B, A]`.
    pub(crate) fn target_values(&self, x: &Input) -> Result<Vec<f32>, AgentError> {
        self.smaller(x, &self.target.params)
    }

    /// The smaller one of the networks' values, `[B, A]`.
    pub(crate) fn values(&self, x: &Input) -> Result<Vec<f32>, AgentError> {
        self.smaller(x, &self.online.params)
    }

    fn smaller(&self, x: &Input, params: &Params) -> Result<Vec<f32>, AgentError> {
        let [first, second] = self.outputs(x, params, &mut Tape::inference())?;
        let pairs = first.as_slice().iter().zip(second.as_slice());
        // Not `f32::min`, which would hide a NaN.
        Ok(pairs.map(|(&a, &b)| if b < a { b } else { a }).collect())
    }

    fn outputs(&self, x: &Input, params: &Params, tape: &mut Tape) -> Result<[Matrix; 2], AgentError> {
        let [first, second] = &self.networks;
        Ok([first.forward_input(params, x, tape)?, second.forward_input(params, x, tape)?])
    }

    /// The gradient of `½ Σ (Q(s, a) − y)²` over both networks, times `scale`; gives the sums of loss and values.
    ///
    /// # Shapes
    /// `chosen`: the column of each row's action, `[B]`; `targets`: `[B]`; `grads`: all parameters.
    pub(crate) fn regress(
        &self,
        x: &Input,
        chosen: &[usize],
        targets: &[f32],
        scale: f32,
        grads: &mut [f32],
    ) -> Result<CriticSums, AgentError> {
        let mut tape = Tape::new();
        let outputs = self.outputs(x, &self.online.params, &mut tape)?;
        let mut sums = CriticSums::default();
        let gradients = outputs.each_ref().map(|values| {
            let columns = values.columns();
            let mut gradient = vec![0.0; values.as_slice().len()];
            for (row, (&chosen, target)) in chosen.iter().zip(targets).enumerate() {
                let value = values.as_slice()[row * columns + chosen];
                let error = value - target;
                gradient[row * columns + chosen] = scale * error;
                sums.loss += f64::from(0.5 * error * error);
                sums.values += f64::from(value);
            }
            gradient
        });
        let [first, second] = &gradients;
        tape.backward(&self.online.params, &[(&outputs[0], first), (&outputs[1], second)], grads)?;
        Ok(sums)
    }

    /// Values of actions, and the gradient of their weighted sum with respect to what was read.
    ///
    /// Of the smaller one of both networks if `both`, else of the first one. `others` are any parameters that the values do
    /// not depend on: the networks' own gradient is not computed.
    ///
    /// # Shapes
    /// `x`: `[B, F]`; gives `[B]` and `[B, F]`.
    pub(crate) fn input_gradient(
        &self,
        x: Matrix,
        both: bool,
        weight: f32,
        others: &Params,
    ) -> Result<(Vec<f32>, Vec<f32>), AgentError> {
        let x = x.tracked();
        let input = Input::Floats(x.clone());
        let mut tape = Tape::new();
        let mut unwanted = vec![0.0; others.len()];
        let gradients = if both {
            let [first, second] = self.outputs(&input, &self.online.params, &mut tape)?;
            let pairs = first.as_slice().iter().zip(second.as_slice());
            let (values, takes_second): (Vec<f32>, Vec<bool>) =
                pairs.map(|(&a, &b)| if b < a { (b, true) } else { (a, false) }).unzip();
            let weights = |of_second: bool| -> Vec<f32> {
                takes_second.iter().map(|&takes| if takes == of_second { weight } else { 0.0 }).collect()
            };
            let (of_first, of_second) = (weights(false), weights(true));
            let outputs = [(&first, of_first.as_slice()), (&second, of_second.as_slice())];
            (values, tape.backward(others, &outputs, &mut unwanted)?)
        } else {
            let first = self.networks[0].forward_input(&self.online.params, &input, &mut tape)?;
            let weights = vec![weight; first.as_slice().len()];
            let values = first.as_slice().to_vec();
            (values, tape.backward(others, &[(&first, weights.as_slice())], &mut unwanted)?)
        };
        let (values, gradients) = gradients;
        let gradient = gradients.get(&x).map_or_else(|| vec![0.0; x.as_slice().len()], <[f32]>::to_vec);
        Ok((values, gradient))
    }

    /// Takes a step against the gradient that is summed over slices, of the losses of [`Self::regress`].
    pub(crate) fn descend<W, S>(
        &mut self,
        slices: &mut [Slice<W, S>],
        learning_rate: f64,
    ) -> Result<(), AgentError> {
        self.online.descend(slices, f64::INFINITY, learning_rate)
    }

    /// Moves the target networks a part of the way.
    pub(crate) fn follow(&mut self, tau: f64) -> Result<(), AgentError> {
        self.target.follow(&self.online, tau)
    }
}

/// Sums over the rows of a slice and both networks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct CriticSums {
    pub(crate) loss: f64,
    pub(crate) values: f64,
}

impl Sums for CriticSums {
    fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.values += other.values;
    }
}

/// Rows of observations and actions next to each other, `[B, O + D]`.
pub(crate) fn concatenated(
    observations: &Input,
    actions: &[f32],
    dimensions: usize,
) -> Result<Matrix, AgentError> {
    let Input::Floats(observations) = observations else {
        let (algorithm, expected) = ("the critic", "observations that are numbers");
        return Err(AgentError::Unsupported { algorithm, expected, found: "bytes".to_owned() });
    };
    let (rows, width) = (observations.rows(), observations.columns());
    let mut joined = Matrix::zeros(rows, width + dimensions)?;
    let parts = observations.as_slice().chunks_exact(width).zip(actions.chunks_exact(dimensions));
    for (out, (observation, action)) in joined.as_mut_slice().chunks_exact_mut(width + dimensions).zip(parts)
    {
        out[..width].copy_from_slice(observation);
        out[width..].copy_from_slice(action);
    }
    Ok(joined)
}

#[cfg(test)]
mod learning_tests;

#[cfg(test)]
mod tests {
    use agon_envs::Pcg64;
    use agon_nn::Activation;

    use super::*;
    use crate::test_support::mlp;

    fn critics() -> TwinCritics {
        let (network, head) = (mlp(&[8], Activation::Tanh), Head::Value);
        TwinCritics::new(&Observation::Vector(3), &network, &head, OptimizerConfig::default(), 5).unwrap()
    }

    fn rows(seed: u64) -> Vec<f32> {
        let mut rng = Pcg64::seed_from(seed);
        (0..4 * 3).map(|_| rng.uniform(-1.0, 1.0) as f32).collect()
    }

    #[test]
    fn the_gradient_of_what_is_read_equals_finite_differences() {
        let (critics, mut others) = (critics(), LayoutBuilder::new());
        others.add("unrelated", &[2], Init::Zeros);
        let (others, weight, step) = (others.build(0), -0.5, 1.0 / 256.0);
        for both in [false, true] {
            let mut x = rows(1);
            let evaluate = |x: &[f32]| {
                let x = Matrix::from_slice(4, 3, x).unwrap();
                critics.input_gradient(x, both, weight, &others).unwrap()
            };
            let (_, gradient) = evaluate(&x);
            for i in 0..x.len() {
                let at = x[i];
                let mut sum = |value: f32| {
                    x[i] = value;
                    evaluate(&x).0.iter().map(|&value| f64::from(weight * value)).sum::<f64>()
                };
                let difference = (sum(at + step) - sum(at - step)) / f64::from(2.0 * step);
                x[i] = at;
                assert!((difference - f64::from(gradient[i])).abs() < 1e-4, "both {both}, value {i}");
            }
        }
    }

    #[test]
    fn the_smaller_value_is_taken_and_targets_follow_slowly() {
        let mut critics = critics();
        let x = Input::Floats(Matrix::from_slice(4, 3, &rows(2)).unwrap());
        let [first, second] = critics.outputs(&x, &critics.online.params, &mut Tape::inference()).unwrap();
        let smaller: Vec<f32> =
            first.as_slice().iter().zip(second.as_slice()).map(|(a, b)| a.min(*b)).collect();
        assert_eq!(critics.values(&x).unwrap(), smaller);
        assert_ne!(first.as_slice(), second.as_slice(), "the networks differ from the start");
        assert_eq!(critics.target_values(&x).unwrap(), smaller, "targets start as copies");
        critics.online.params.as_mut_slice().iter_mut().for_each(|value| *value += 1.0);
        let before = critics.target.params.as_slice()[0];
        critics.follow(0.25).unwrap();
        assert!((critics.target.params.as_slice()[0] - (before + 0.25)).abs() < 1e-6);
    }

    #[test]
    fn regression_reaches_its_targets() {
        let mut critics = critics();
        let x = Input::Floats(Matrix::from_slice(4, 3, &rows(3)).unwrap());
        let targets = [1.0, -1.0, 0.5, 2.0];
        let mut grads = vec![0.0; critics.online.params.len()];
        for _ in 0..2000 {
            critics.regress(&x, &[0; 4], &targets, 0.25, &mut grads).unwrap();
            critics.online.step(&grads, 1e-2).unwrap();
        }
        for (value, target) in critics.values(&x).unwrap().iter().zip(targets) {
            assert!((value - target).abs() < 0.02, "expected {target}, got {value}");
        }
    }
}
