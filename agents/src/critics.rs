//! Action-value networks and the slowly following copies that targets are taken from: two, or more ([`CriticsConfig`]).
//!
//! The smallest of several estimates keeps errors from growing in the maximum over actions (clipped double Q-learning); of many
//! networks, a few that are drawn anew in each update are asked (REDQ), so that many updates can follow a step.
//!
//! # Source
//! Fujimoto et al. (2018), arXiv:1802.09477, section 4; Chen et al. (2021), arXiv:2101.05982, algorithm 1.

mod config;
mod reads;

use agon_envs::Pcg64;
use agon_nn::{
    Activation, EncoderConfig, Head, HeadSpec, Init, Input, LayerSummary, LayoutBuilder, Linear, Matrix,
    Model, ModelConfig, Observation, OptimizerConfig, Params, Sequential, Summary, Tape, dropout,
};

pub use config::{CriticsConfig, Reduction};
pub(crate) use reads::Reads;

use crate::AgentError;
use crate::part::Part;
use crate::slices::{Slice, Sums};

/// What the critics' tensors are called, before their own names.
pub(crate) const CRITICS: &str = "critics.";
/// What those of the copies are.
pub(crate) const TARGET_CRITICS: &str = "target_critics.";

/// All networks, `q1.*`, `q2.*` and so on, in one buffer of parameters, and their copies.
pub(crate) struct Critics {
    config: CriticsConfig,
    networks: Vec<Sequential>,
    /// What new networks are made of.
    layout: LayoutBuilder,
    pub(crate) online: Part,
    pub(crate) target: Part,
    pub(crate) summary: Summary,
    /// The target networks that are asked, in their order.
    asked: Vec<usize>,
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

impl Critics {
    /// Random networks from what they read to what the head puts out.
    ///
    /// # Errors
    /// If the network cannot read that, or cannot have what the settings say.
    pub(crate) fn new(
        config: CriticsConfig,
        observation: &Observation,
        network: &ModelConfig,
        head: &Head,
        optimizer: OptimizerConfig,
        seed: u64,
    ) -> Result<Self, AgentError> {
        let mut layout = LayoutBuilder::new();
        let init = Init::PYTORCH_LINEAR;
        let (mut networks, mut parts) = (Vec::new(), Vec::new());
        for number in 1..=config.count {
            let prefix = format!("q{number}.");
            let name = format!("{prefix}head");
            if config.dropout > 0.0 {
                let (chain, layers) = dropped(&mut layout, &prefix, &config, observation, network, head)?;
                parts.push((prefix.trim_end_matches('.').to_owned(), layers));
                networks.push(chain);
                continue;
            }
            let spec = HeadSpec { name, head: head.clone(), init };
            let network = config.network(network)?;
            let model = Model::new(&mut layout, &prefix, observation, &network, &[spec], init)?;
            parts.extend(model.summary().parts.iter().cloned());
            networks.push(model.chain(0)?);
        }
        let params = layout.clone().build(seed);
        Ok(Self {
            asked: (0..config.count).collect(),
            config,
            networks,
            layout,
            target: Part::fixed(TARGET_CRITICS, params.clone()),
            online: Part::trained(CRITICS, params, optimizer)?,
            summary: Summary { parts },
        })
    }

    /// Number of networks.
    pub(crate) fn count(&self) -> usize {
        self.networks.len()
    }

    /// Draws what is random in an update: which target networks are asked where not all are, and what they drop where they drop
    /// something.
    pub(crate) fn draw(&mut self, rng: &mut Pcg64) {
        if self.config.dropout > 0.0 {
            dropout::resample(&mut self.online.params, rng);
            dropout::resample(&mut self.target.params, rng);
        }
        if self.config.targets < self.count() {
            self.asked = rng.choice_without_replacement(self.count(), self.config.targets);
            self.asked.sort_unstable();
        }
    }

    /// What the target networks that are asked make of actions together, `[B, A]`.
    pub(crate) fn target_values(&self, x: &Input) -> Result<Vec<f32>, AgentError> {
        let asked = self.asked.iter().map(|&index| &self.networks[index]);
        let outputs = outputs(asked, x, &self.target.params, &mut Tape::inference())?;
        Ok(self.config.target_reduction.of(&outputs))
    }

    /// What a policy climbs, `[B, A]`.
    pub(crate) fn values(&self, x: &Input) -> Result<Vec<f32>, AgentError> {
        let reduction = self.config.policy_reduction;
        let networks = &self.networks[..reduction.reads(self.count())];
        Ok(reduction.of(&outputs(networks, x, &self.online.params, &mut Tape::inference())?))
    }

    /// The gradient of `½ Σ (Q(s, a) − y)²` over all networks, times `scale`; gives the sums of loss and values.
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
        let mut sums = CriticSums::default();
        self.gradient(x, grads, |values, gradient| {
            let columns = values.len() / targets.len();
            for (row, (&chosen, target)) in chosen.iter().zip(targets).enumerate() {
                let value = values[row * columns + chosen];
                let error = value - target;
                gradient[row * columns + chosen] = scale * error;
                sums.loss += f64::from(0.5 * error * error);
                sums.values += f64::from(value);
            }
        })?;
        Ok(sums)
    }

    /// The gradient of a loss of each network's values: `of_values` writes, over zeros, that with respect to these.
    ///
    /// # Shapes
    /// Values and their gradient: `[B, A]`; `grads`: all parameters.
    pub(crate) fn gradient(
        &self,
        x: &Input,
        grads: &mut [f32],
        mut of_values: impl FnMut(&[f32], &mut [f32]),
    ) -> Result<(), AgentError> {
        let mut tape = Tape::new();
        let outputs = outputs(&self.networks, x, &self.online.params, &mut tape)?;
        let gradients: Vec<Vec<f32>> = outputs
            .iter()
            .map(|values| {
                let mut gradient = vec![0.0; values.as_slice().len()];
                of_values(values.as_slice(), &mut gradient);
                gradient
            })
            .collect();
        let pairs: Vec<_> = outputs.iter().zip(gradients.iter().map(Vec::as_slice)).collect();
        tape.backward(&self.online.params, &pairs, grads)?;
        Ok(())
    }

    /// What a policy climbs, of actions, and the gradient of its weighted sum with respect to what was read. `others` are any
    /// parameters that the values do not depend on: the networks' own gradient is not computed.
    ///
    /// # Shapes
    /// `x`: `[B, F]`; gives `[B]` and `[B, F]`.
    pub(crate) fn input_gradient(
        &self,
        x: Matrix,
        weight: f32,
        others: &Params,
    ) -> Result<(Vec<f32>, Vec<f32>), AgentError> {
        let x = x.tracked();
        let input = Input::Floats(x.clone());
        let (mut tape, reduction) = (Tape::new(), self.config.policy_reduction);
        let networks = &self.networks[..reduction.reads(self.count())];
        let outputs = outputs(networks, &input, &self.online.params, &mut tape)?;
        let weights = reduction.weights(&outputs, weight);
        let pairs: Vec<_> = outputs.iter().zip(weights.iter().map(Vec::as_slice)).collect();
        let mut unwanted = vec![0.0; others.len()];
        let gradients = tape.backward(others, &pairs, &mut unwanted)?;
        let gradient = gradients.get(&x).map_or_else(|| vec![0.0; x.as_slice().len()], <[f32]>::to_vec);
        Ok((reduction.of(&outputs), gradient))
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

    /// Begins anew with random networks, which the target networks are copies of.
    pub(crate) fn reset(&mut self, seed: u64) -> Result<(), AgentError> {
        self.online.reset(&self.layout.clone().build(seed))?;
        self.target.reset(&self.online.params)
    }
}

/// A network with dropout after its hidden linear maps.
fn dropped(
    layout: &mut LayoutBuilder,
    prefix: &str,
    config: &CriticsConfig,
    observation: &Observation,
    network: &ModelConfig,
    head: &Head,
) -> Result<(Sequential, Vec<LayerSummary>), AgentError> {
    let init = Init::PYTORCH_LINEAR;
    let (hidden, layer_norm) = config.dropped(observation, network)?;
    let last = hidden.hidden.last().copied().unwrap_or(observation.len());
    let encoder = format!("{prefix}encoder");
    let drops = (layer_norm, config.dropout as f32);
    let mut layers = dropout::dropped_layers(layout, &encoder, observation.len(), &hidden, drops, init)?;
    let name = format!("{prefix}head.0");
    layers.push(Linear::new(layout, &name, last, head.outputs(), Activation::Identity, init).into());
    let summary = layers.iter().map(|layer| layer.describe()).collect();
    Ok((Sequential::new(layers)?, summary))
}

/// What some of the networks put out, `[B, A]` each.
fn outputs<'a>(
    networks: impl IntoIterator<Item = &'a Sequential>,
    x: &Input,
    params: &Params,
    tape: &mut Tape,
) -> Result<Vec<Matrix>, AgentError> {
    let outputs = networks.into_iter().map(|network| Ok(network.forward_input(params, x, tape)?));
    outputs.collect()
}

/// Sums over the rows of a slice and all networks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct CriticSums {
    pub(crate) loss: f64,
    pub(crate) values: f64,
    /// How far other actions are valued above those that were taken, where that is asked (CQL).
    pub(crate) gap: f64,
}

impl Sums for CriticSums {
    fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.values += other.values;
        self.gap += other.gap;
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

    fn critics() -> Critics {
        critics_of(CriticsConfig::default())
    }

    fn critics_of(config: CriticsConfig) -> Critics {
        let (network, optimizer) = (mlp(&[8], Activation::Tanh), OptimizerConfig::default());
        Critics::new(config, &Observation::Vector(3), &network, &Head::Value, optimizer, 5).unwrap()
    }

    fn rows(seed: u64) -> Vec<f32> {
        let mut rng = Pcg64::seed_from(seed);
        (0..4 * 3).map(|_| rng.uniform(-1.0, 1.0) as f32).collect()
    }

    #[test]
    fn the_gradient_of_what_is_read_equals_finite_differences() {
        let mut others = LayoutBuilder::new();
        others.add("unrelated", &[2], Init::Zeros);
        let (others, weight, step) = (others.build(0), -0.5, 1.0 / 256.0);
        for policy_reduction in [Reduction::First, Reduction::Min, Reduction::Mean] {
            let critics =
                critics_of(CriticsConfig { count: 3, policy_reduction, ..CriticsConfig::default() });
            let mut x = rows(1);
            let evaluate = |x: &[f32]| {
                let x = Matrix::from_slice(4, 3, x).unwrap();
                critics.input_gradient(x, weight, &others).unwrap()
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
                assert!(
                    (difference - f64::from(gradient[i])).abs() < 1e-4,
                    "{policy_reduction:?}, value {i}"
                );
            }
        }
    }

    #[test]
    fn the_smaller_value_is_taken_and_targets_follow_slowly() {
        let mut critics = critics();
        let x = Input::Floats(Matrix::from_slice(4, 3, &rows(2)).unwrap());
        let all = outputs(&critics.networks, &x, &critics.online.params, &mut Tape::inference()).unwrap();
        let [first, second] = all.as_slice() else { panic!("two networks") };
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
    fn what_is_dropped_is_drawn_for_each_update_and_nothing_before() {
        let config = CriticsConfig { layer_norm: true, dropout: 0.3, ..CriticsConfig::default() };
        let mut critics = critics_of(config);
        let x = Input::Floats(Matrix::from_slice(4, 3, &rows(3)).unwrap());
        let [quiet, of_targets] = [critics.values(&x).unwrap(), critics.target_values(&x).unwrap()];
        assert_eq!(quiet, of_targets);
        let mut rng = Pcg64::seed_from(3);
        let mut seen = vec![quiet];
        for _ in 0..3 {
            critics.draw(&mut rng);
            seen.extend([critics.values(&x).unwrap(), critics.target_values(&x).unwrap()]);
        }
        for (index, values) in seen.iter().enumerate() {
            assert!(!seen[..index].contains(values), "{index}");
        }
        // It learns all the same.
        let targets = [1.0, -1.0, 0.5, 2.0];
        let mut grads = vec![0.0; critics.online.params.len()];
        for _ in 0..2000 {
            critics.draw(&mut rng);
            critics.regress(&x, &[0; 4], &targets, 0.25, &mut grads).unwrap();
            critics.online.step(&grads, 1e-2).unwrap();
        }
        let mut mean = [0.0; 4];
        for _ in 0..200 {
            critics.draw(&mut rng);
            mean.iter_mut().zip(critics.values(&x).unwrap()).for_each(|(sum, value)| *sum += value / 200.0);
        }
        for (value, target) in mean.iter().zip(targets) {
            assert!((value - target).abs() < 0.3, "expected {target}, got {value}");
        }
    }

    #[test]
    fn dropout_that_cannot_be_is_named() {
        for dropout in [-0.1, 1.0, f64::NAN] {
            let error = CriticsConfig { dropout, ..CriticsConfig::default() }.validate().unwrap_err();
            let error = error.to_string();
            assert!(error.contains("critics.dropout") && error.contains("below 1"), "{error}");
        }
        let config = CriticsConfig { dropout: 0.1, ..CriticsConfig::default() };
        let network = ModelConfig { encoder: EncoderConfig::Identity, ..ModelConfig::default() };
        let observation = Observation::Vector(3);
        let made = Critics::new(config, &observation, &network, &Head::Value, OptimizerConfig::default(), 1);
        let error = made.err().unwrap().to_string();
        assert!(error.contains("critics.dropout") && error.contains("not mlp"), "{error}");
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

    #[test]
    fn a_few_of_many_networks_are_asked_and_all_in_turn() {
        let config = CriticsConfig { count: 5, targets: 2, ..CriticsConfig::default() };
        let mut critics = critics_of(config);
        let x = Input::Floats(Matrix::from_slice(4, 3, &rows(2)).unwrap());
        let all = outputs(&critics.networks, &x, &critics.target.params, &mut Tape::inference()).unwrap();
        let (mut rng, mut times) = (Pcg64::seed_from(3), [0; 5]);
        for _ in 0..400 {
            critics.draw(&mut rng);
            let [a, b] = critics.asked[..] else { panic!("two are asked") };
            assert!(a < b);
            let expected = [a, b].map(|index| all[index].as_slice());
            let smaller: Vec<f32> = expected[0].iter().zip(expected[1]).map(|(a, b)| a.min(*b)).collect();
            assert_eq!(critics.target_values(&x).unwrap(), smaller);
            [a, b].iter().for_each(|&index| times[index] += 1);
        }
        // Each is asked 160 times of 400 on average, with a standard deviation of 9.8.
        assert!(times.iter().all(|&times| (120..200).contains(&times)), "{times:?}");
        let before = rng.clone();
        critics_of(CriticsConfig::default()).draw(&mut rng);
        assert!(rng == before, "where all are asked, nothing is drawn");
    }

    #[test]
    fn resets_make_other_networks_and_equal_targets() {
        let mut critics = critics();
        let x = Input::Floats(Matrix::from_slice(4, 3, &rows(3)).unwrap());
        let before = critics.values(&x).unwrap();
        let grads = vec![1.0; critics.online.params.len()];
        critics.online.step(&grads, 1e-2).unwrap();
        critics.reset(5).unwrap();
        assert_eq!(critics.values(&x).unwrap(), before, "the same seed gives the first networks again");
        assert_eq!(critics.target_values(&x).unwrap(), before);
        critics.online.step(&grads, 1e-2).unwrap();
        let stepped = critics.values(&x).unwrap();
        let mut fresh = self::critics();
        fresh.online.step(&grads, 1e-2).unwrap();
        assert_eq!(stepped, fresh.values(&x).unwrap(), "the optimizer has forgotten its steps");
        critics.reset(6).unwrap();
        assert_ne!(critics.values(&x).unwrap(), before);
    }

    #[test]
    fn a_layer_norm_is_the_critics_own_or_refused() {
        let config = CriticsConfig { layer_norm: true, ..CriticsConfig::default() };
        let normed = critics_of(config).online.params.layout().len();
        assert!(normed > critics().online.params.layout().len());
        let network = ModelConfig { encoder: EncoderConfig::Identity, ..ModelConfig::default() };
        let error = config.network(&network).unwrap_err().to_string();
        assert_eq!(
            error,
            "critics.layer_norm must be false with an encoder that is not mlp or cnn, got true"
        );
    }
}
