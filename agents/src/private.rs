//! Learning from recorded data without giving single examples away: DP-SGD.
//!
//! An *example* is whatever one person has contributed: a state with its answer, or a whole trajectory of them. In each step an
//! example takes part with a chance of its own (Poisson sampling), its gradient is clipped as a whole, and noise is added to the
//! sum. What is learned is the caller's: actions ([`DistillationLoss::Choices`]: behaviour cloning) or numbers
//! ([`DistillationLoss::Numbers`]: regression of values).
//!
//! A step in which no example takes part is a step: its noise moves the parameters and is accounted for, and its loss is zero.
//!
//! # Source
//! Abadi et al. 2016, arXiv:1607.00133, algorithm 1; its lots are of a random size, and the sum is divided by the expected one.

use agon_envs::Pcg64;
use agon_nn::{Adam, AdamConfig, ToldChain};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::AgentError;
use crate::distillation::DistillationLoss;
use crate::settings;

/// Settings of private learning.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrivateConfig {
    /// Steps.
    pub updates: u64,
    /// The chance with which an example takes part in a step, above 0 and at most 1.
    pub sample_rate: f64,
    /// The norm that an example's gradient is clipped to, above 0; infinite for none, which no noise goes with.
    pub clip_norm: f64,
    /// Standard deviation of the noise over the clipping norm, at least 0; 0 protects nobody.
    pub noise_multiplier: f64,
    /// Adam's step size.
    pub learning_rate: f64,
}

impl Default for PrivateConfig {
    fn default() -> Self {
        Self { updates: 500, sample_rate: 0.1, clip_norm: 1.0, noise_multiplier: 1.0, learning_rate: 1e-2 }
    }
}

impl PrivateConfig {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`AgentError::Setting`] names the first field that breaks its bound.
    pub fn validate(&self) -> Result<(), AgentError> {
        settings::at_least_one(&[("updates", self.updates)])?;
        settings::above_zero(&[("learning_rate", self.learning_rate)])?;
        let wrong = |field: &str, expected: &str, found: f64| {
            let (field, expected) = (field.to_owned(), expected.to_owned());
            Err(AgentError::Setting { field, expected, found: found.to_string() })
        };
        if !(self.sample_rate > 0.0 && self.sample_rate <= 1.0) {
            return wrong("sample_rate", "above 0 and at most 1", self.sample_rate);
        }
        if self.clip_norm.is_nan() || self.clip_norm <= 0.0 {
            return wrong("clip_norm", "above 0", self.clip_norm);
        }
        if !(self.noise_multiplier >= 0.0 && self.noise_multiplier.is_finite()) {
            return wrong("noise_multiplier", "at least 0", self.noise_multiplier);
        }
        if self.noise_multiplier > 0.0 && self.clip_norm.is_infinite() {
            return wrong("clip_norm", "finite where there is noise", self.clip_norm);
        }
        Ok(())
    }
}

/// What one person has contributed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Example {
    /// `[T, inputs]`.
    pub inputs: Vec<f32>,
    /// `[T, outputs]`.
    pub targets: Vec<f32>,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrivateStep {
    /// How many examples took part.
    pub examples: usize,
    /// Their mean loss before it; 0 without any.
    pub loss: f32,
    /// The share of them whose gradient was clipped; 0 without any.
    pub clipped: f32,
}

/// A network that learns from examples.
#[derive(Debug)]
pub struct PrivateLearner {
    student: ToldChain,
    optimizer: Adam,
    config: PrivateConfig,
    loss: DistillationLoss,
    rng: Pcg64,
    updates: u64,
    /// Where learned parameters lie in the flat buffer: nothing else is given noise.
    places: Vec<usize>,
    gradient: Vec<f32>,
    sum: Vec<f64>,
}

impl PrivateLearner {
    /// A network that begins as it is, with a stream that decides who takes part and what the noise is.
    ///
    /// # Errors
    /// If a setting is out of bounds.
    pub fn new(
        student: ToldChain,
        config: PrivateConfig,
        loss: DistillationLoss,
        rng: Pcg64,
    ) -> Result<Self, AgentError> {
        config.validate()?;
        let len = student.params.len();
        let optimizer = Adam::new(AdamConfig::default(), len)?;
        let (gradient, sum) = (vec![0.0; len], vec![0.0; len]);
        let layout = student.params.layout();
        let learned =
            student.names.iter().filter_map(|(own, _)| layout.find(own)).filter(|spec| spec.learned);
        let places = learned.flat_map(|spec| spec.range.range()).collect();
        Ok(Self { student, optimizer, config, loss, rng, updates: 0, places, gradient, sum })
    }

    /// As it is.
    #[must_use]
    pub fn student(&self) -> &ToldChain {
        &self.student
    }

    /// Steps taken.
    #[must_use]
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// One step over examples, those that take part drawn among all.
    ///
    /// # Errors
    /// If sizes do not fit, or a loss or gradient is not finite.
    pub fn update(&mut self, examples: &[Example]) -> Result<PrivateStep, AgentError> {
        self.sum.fill(0.0);
        let (mut took_part, mut loss, mut clipped) = (0, 0.0, 0);
        for example in examples {
            if self.rng.random() >= self.config.sample_rate {
                continue;
            }
            took_part += 1;
            loss += self.gradient_of(example)?;
            let norm = self.gradient.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
            if !norm.is_finite() {
                let (what, update) = ("gradient of an example", self.updates);
                return Err(AgentError::NotFinite { what, value: norm, update });
            }
            clipped += usize::from(norm > self.config.clip_norm);
            let factor = if norm > self.config.clip_norm { self.config.clip_norm / norm } else { 1.0 };
            let scaled = self.gradient.iter().map(|&value| f64::from(value) * factor);
            self.sum.iter_mut().zip(scaled).for_each(|(sum, value)| *sum += value);
        }
        let expected = (self.config.sample_rate * examples.len() as f64).max(f64::MIN_POSITIVE);
        let noise = if self.config.noise_multiplier > 0.0 {
            self.config.noise_multiplier * self.config.clip_norm
        } else {
            0.0
        };
        self.gradient.fill(0.0);
        for &place in &self.places {
            let normal: f64 = if noise > 0.0 { StandardNormal.sample(&mut self.rng) } else { 0.0 };
            self.gradient[place] = ((self.sum[place] + noise * normal) / expected) as f32;
        }
        self.optimizer.step(&mut self.student.params, &self.gradient, self.config.learning_rate as f32)?;
        self.updates += 1;
        let mean = |sum: f32| if took_part == 0 { 0.0 } else { sum / took_part as f32 };
        Ok(PrivateStep { examples: took_part, loss: mean(loss), clipped: mean(clipped as f32) })
    }

    /// The mean loss over an example's states.
    ///
    /// # Errors
    /// If sizes do not fit.
    pub fn loss_of(&self, example: &Example) -> Result<f32, AgentError> {
        let ToldChain { chain, params, .. } = &self.student;
        self.loss.of_chain(chain, params, (&example.inputs, &example.targets), None)
    }

    /// The loss of an example, and its gradient.
    fn gradient_of(&mut self, example: &Example) -> Result<f32, AgentError> {
        let ToldChain { chain, params, .. } = &self.student;
        let pair = (example.inputs.as_slice(), example.targets.as_slice());
        let loss = self.loss.of_chain(chain, params, pair, Some(&mut self.gradient))?;
        if !loss.is_finite() {
            let (what, update) = ("loss of an example", self.updates);
            return Err(AgentError::NotFinite { what, value: f64::from(loss), update });
        }
        Ok(loss)
    }
}

#[cfg(test)]
mod tests {
    use agon_policy::{Operation, Parameter, Parameters};

    use super::*;

    /// One map from two numbers to one, all of whose weights are zero.
    fn line() -> ToldChain {
        let operation =
            Operation::Linear { weight: "w".to_owned(), bias: "b".to_owned(), inputs: 2, outputs: 1 };
        let mut parameters = Parameters::new();
        parameters.insert("w".to_owned(), Parameter { shape: vec![1, 2], values: vec![0.0, 0.0] });
        parameters.insert("b".to_owned(), Parameter { shape: vec![1], values: vec![0.0] });
        ToldChain::new(&[operation], &parameters, 2).unwrap()
    }

    fn learner(config: PrivateConfig) -> PrivateLearner {
        PrivateLearner::new(line(), config, DistillationLoss::Numbers, Pcg64::seed_from(1)).unwrap()
    }

    fn example(x: [f32; 2], y: f32) -> Example {
        Example { inputs: x.to_vec(), targets: vec![y] }
    }

    /// That the last step's gradient is this: of both weights, then of the bias.
    fn assert_gradient(learner: &PrivateLearner, expected: [f64; 3]) {
        let found: Vec<f64> =
            learner.places.iter().map(|&place| f64::from(learner.gradient[place])).collect();
        let near = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6);
        assert!(near && found.len() == 3, "{found:?} {expected:?}");
    }

    /// Without noise, clipping or luck.
    fn plain() -> PrivateConfig {
        PrivateConfig {
            sample_rate: 1.0,
            clip_norm: f64::INFINITY,
            noise_multiplier: 0.0,
            ..PrivateConfig::default()
        }
    }

    #[test]
    fn gradients_of_examples_are_clipped_one_by_one() {
        // At zero weights the gradient of an example is -y (x, 1): norms 3 for the first, 0.3 for the second.
        let examples = [example([2.0, 2.0], 1.0), example([2.0, -2.0], 0.1)];
        let mut whole = learner(plain());
        let step = whole.update(&examples).unwrap();
        assert_eq!((step.examples, step.clipped), (2, 0.0));
        let expected = [-2.0 - 0.2, -2.0 + 0.2, -1.0 - 0.1].map(|sum| sum / 2.0);
        assert_gradient(&whole, expected);
        let mut clipped = learner(PrivateConfig { clip_norm: 1.0, ..plain() });
        let step = clipped.update(&examples).unwrap();
        assert_eq!(step.clipped, 0.5);
        let expected = [-2.0 / 3.0 - 0.2, -2.0 / 3.0 + 0.2, -1.0 / 3.0 - 0.1].map(|sum| sum / 2.0);
        assert_gradient(&clipped, expected);
        // Half the squared distances: 1 and 0.01, on average.
        assert!((step.loss - 0.2525).abs() < 1e-6, "{step:?}");
    }

    #[test]
    fn whole_trajectories_are_one_example() {
        let trajectory = Example { inputs: vec![2.0, 2.0, 2.0, -2.0], targets: vec![1.0, 0.1] };
        let mut learner = learner(plain());
        learner.update(std::slice::from_ref(&trajectory)).unwrap();
        assert_gradient(&learner, [-1.1, -0.9, -0.55]);
    }

    #[test]
    fn noise_has_the_deviation_that_is_accounted_for_and_empty_steps_count() {
        let config = PrivateConfig { sample_rate: 1e-9, noise_multiplier: 2.0, clip_norm: 0.5, ..plain() };
        let mut learner = learner(config);
        let examples = vec![example([1.0, 1.0], 1.0); 1000];
        let expected_size = 1e-6;
        let mut squares = 0.0;
        for _ in 0..500 {
            let step = learner.update(&examples).unwrap();
            assert_eq!((step.examples, step.loss), (0, 0.0));
            squares += learner.gradient.iter().map(|&g| (f64::from(g) * expected_size).powi(2)).sum::<f64>();
        }
        assert_eq!(learner.updates(), 500);
        // 1500 draws of deviation 1: four standard errors of the variance.
        let variance = squares / 1500.0;
        assert!((variance - 1.0).abs() < 0.15, "{variance}");
        let params = learner.student().params.as_slice();
        assert!(learner.places.iter().all(|&place| params[place].is_finite() && params[place] != 0.0));
    }

    #[test]
    fn each_example_takes_part_with_its_chance() {
        let mut learner = learner(PrivateConfig { sample_rate: 0.3, ..plain() });
        let examples = vec![example([1.0, 0.0], 0.5); 100];
        let taken: usize = (0..100).map(|_| learner.update(&examples).unwrap().examples).sum();
        // 10,000 trials: four standard errors.
        assert!((taken as f64 / 10_000.0 - 0.3).abs() < 0.02, "{taken}");
    }

    #[test]
    fn values_are_learned_with_little_noise() {
        let mut rng = Pcg64::seed_from(2);
        let examples: Vec<Example> = (0..500)
            .map(|_| {
                let x = [rng.uniform(-1.0, 1.0) as f32, rng.uniform(-1.0, 1.0) as f32];
                example(x, 0.5 * x[0] - 0.25 * x[1] + 0.1)
            })
            .collect();
        let config = PrivateConfig { sample_rate: 0.2, noise_multiplier: 0.5, ..PrivateConfig::default() };
        let mut learner = learner(config);
        for _ in 0..400 {
            learner.update(&examples).unwrap();
        }
        let loss: f32 = examples.iter().map(|example| learner.loss_of(example).unwrap()).sum::<f32>() / 500.0;
        assert!(loss < 2e-3, "{loss}");
    }

    #[test]
    fn settings_and_sizes_that_do_not_fit_are_refused() {
        for config in [
            PrivateConfig { sample_rate: 0.0, ..plain() },
            PrivateConfig { clip_norm: 0.0, ..plain() },
            PrivateConfig { noise_multiplier: -1.0, ..plain() },
            PrivateConfig { noise_multiplier: 1.0, ..plain() },
        ] {
            assert!(config.validate().is_err(), "{config:?}");
        }
        let mut learner = learner(plain());
        assert!(learner.update(&[Example { inputs: vec![1.0, 1.0], targets: vec![1.0, 2.0] }]).is_err());
        assert!(learner.update(&[Example::default()]).is_err());
    }
}
