//! Distillation: a network learns to answer as a teacher does, on states that are shown to it.
//!
//! The student is a chain of layers, such as a smaller one or the teacher's own, whose weights may be pruned and rounded
//! meanwhile. Where the states come from and who the teachers are is the caller's: a row of inputs and a row of targets are all
//! that is seen here.

use agon_nn::{Adam, AdamConfig, Matrix, Params, Sequential, Tape, ToldChain, clip_grad_norm};
use serde::{Deserialize, Serialize};

use crate::AgentError;
use crate::divergence::{self, Pair};
use crate::pruning::{self, Mask};
use crate::settings;

/// The norm that gradients are clipped to.
const MAX_GRAD_NORM: f32 = 10.0;

/// Settings of a distillation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DistillationConfig {
    /// Gradient steps.
    pub updates: u64,
    /// Rows of a step, at most 10,000.
    pub batch_size: usize,
    /// Adam's step size at first; it falls linearly to zero.
    pub learning_rate: f64,
    /// What targets are divided by before they become probabilities, above 0. Below one, the best action counts for more.
    pub temperature: f64,
}

impl Default for DistillationConfig {
    fn default() -> Self {
        Self { updates: 10_000, batch_size: 256, learning_rate: 1e-3, temperature: 0.5 }
    }
}

impl DistillationConfig {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`AgentError::Setting`] names the first field that breaks its bound.
    pub fn validate(&self) -> Result<(), AgentError> {
        settings::above_zero(&[("learning_rate", self.learning_rate), ("temperature", self.temperature)])?;
        settings::at_least_one(&[("updates", self.updates)])?;
        settings::samples(&[("batch_size", self.batch_size as u64)])
    }
}

/// How far a student is from its teacher.
#[derive(Clone, Debug, PartialEq)]
pub enum DistillationLoss {
    /// Outputs are options of choices: `Σ KL(softmax(t / c) ‖ softmax(s / c))`, whether they are logits or values of actions.
    ///
    /// # Source
    /// Rusu et al. 2016, arXiv:1511.06295, equation 3; the student's outputs are divided by `c` too, so that a student that
    /// begins as its teacher stays on its scale.
    Choices {
        /// Options of each choice.
        nvec: Vec<usize>,
        /// `c`.
        divisor: f32,
    },
    /// Outputs are numbers: half the mean of the squared differences.
    Numbers,
}

impl DistillationLoss {
    /// The loss of choices, whose divisor is the temperature times the spread of the teacher's outputs: the mean over rows of
    /// the standard deviation of each choice's options, if they are values; 1 if they are logits.
    #[must_use]
    pub fn choices(nvec: &[usize], temperature: f64, values: Option<&[f32]>) -> Self {
        let width: usize = nvec.iter().sum();
        let spread = values.filter(|values| !values.is_empty() && width > 0).map_or(1.0, |values| {
            let rows = values.chunks_exact(width).map(|row| f64::from(deviation(row)));
            let count = (values.len() / width).max(1) as f64;
            (rows.sum::<f64>() / count).max(1e-6)
        });
        Self::Choices { nvec: nvec.to_vec(), divisor: (temperature * spread) as f32 }
    }

    /// The loss of a chain's answers to a batch, and its gradient with respect to the parameters if that is wanted.
    ///
    /// # Shapes
    /// `x`: `[B, inputs]`, `targets`: `[B, P]`.
    pub(crate) fn of_chain(
        &self,
        chain: &Sequential,
        params: &Params,
        (x, targets): (&[f32], &[f32]),
        gradient: Option<&mut [f32]>,
    ) -> Result<f32, AgentError> {
        let wrong = |field: &str, expected: String, found: usize| {
            Err(AgentError::Setting { field: field.to_owned(), expected, found: found.to_string() })
        };
        let (inputs, rows) = (chain.inputs(), x.len() / chain.inputs());
        if rows == 0 {
            return wrong("inputs", format!("rows of {inputs} values"), x.len());
        }
        let x = Matrix::from_slice(rows, inputs, x)?;
        let mut tape = if gradient.is_some() { Tape::new() } else { Tape::inference() };
        let out = chain.forward(params, &x, &mut tape)?;
        let expected = out.as_slice().len();
        if targets.len() != expected {
            return wrong("targets", format!("{expected} values"), targets.len());
        }
        let mut of_outputs = vec![0.0; expected];
        let loss = self.of(out.as_slice(), targets, rows, &mut of_outputs)?;
        if let Some(gradient) = gradient {
            tape.backward(params, &[(&out, &of_outputs)], gradient)?;
        }
        Ok(loss)
    }

    /// The loss of a batch, and its gradient in `gradient`.
    ///
    /// # Shapes
    /// All `[B, P]`.
    fn of(
        &self,
        student: &[f32],
        teacher: &[f32],
        rows: usize,
        gradient: &mut [f32],
    ) -> Result<f32, AgentError> {
        let weight = 1.0 / rows as f32;
        gradient.fill(0.0);
        let (nvec, divisor) = match self {
            Self::Numbers => {
                let mut sum = 0.0;
                for ((gradient, student), teacher) in gradient.iter_mut().zip(student).zip(teacher) {
                    *gradient = weight * (student - teacher);
                    sum += 0.5 * weight * (student - teacher) * (student - teacher);
                }
                return Ok(sum);
            }
            Self::Choices { nvec, divisor } => (nvec, *divisor),
        };
        let pair = Pair { target: teacher, outputs: student, weights: &vec![weight; rows] };
        Ok(divergence::add_of_choices(pair, &[], nvec, divisor, gradient)? as f32)
    }
}

/// The standard deviation of some values.
fn deviation(values: &[f32]) -> f32 {
    let count = values.len() as f32;
    let mean = values.iter().sum::<f32>() / count;
    (values.iter().map(|value| (value - mean) * (value - mean)).sum::<f32>() / count).sqrt()
}

/// A student that learns.
#[derive(Debug)]
pub struct Distiller {
    student: ToldChain,
    optimizer: Adam,
    config: DistillationConfig,
    loss: DistillationLoss,
    mask: Mask,
    /// Whether weights are rounded to integers in the forward pass, and the gradient passed straight through.
    rounds: bool,
    updates: u64,
    gradient: Vec<f32>,
}

impl Distiller {
    /// A student that begins as it is.
    ///
    /// # Errors
    /// If a setting is out of bounds.
    pub fn new(
        student: ToldChain,
        config: DistillationConfig,
        loss: DistillationLoss,
    ) -> Result<Self, AgentError> {
        config.validate()?;
        let len = student.params.len();
        let optimizer = Adam::new(AdamConfig::default(), len)?;
        let mask = Mask::of(&student);
        Ok(Self {
            student,
            optimizer,
            config,
            loss,
            mask,
            rounds: false,
            updates: 0,
            gradient: vec![0.0; len],
        })
    }

    /// As it is, with what is pruned set to zero.
    #[must_use]
    pub fn student(&self) -> &ToldChain {
        &self.student
    }

    /// Steps taken.
    #[must_use]
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// The share of weights that is pruned.
    #[must_use]
    pub fn sparsity(&self) -> f64 {
        self.mask.sparsity()
    }

    /// Prunes weights until so many are; what is pruned stays so.
    pub fn prune(&mut self, sparsity: f64) {
        self.mask.prune(&mut self.student.params, sparsity);
    }

    /// Takes weights that are zero now for pruned.
    pub fn keep_zeros(&mut self) {
        self.mask.keep_zeros(&self.student.params);
    }

    /// From now on, weights are integers of one byte in the forward pass, each row with its scale, and the gradient takes them for
    /// what they are made of.
    ///
    /// # Source
    /// Bengio, Léonard and Courville 2013, arXiv:1308.3432 (straight-through); Jacob et al. 2018, arXiv:1712.05877.
    pub fn round_weights(&mut self) {
        self.rounds = true;
    }

    /// One step; gives the loss before it.
    ///
    /// # Shapes
    /// `x`: `[B, inputs]`, `targets`: `[B, outputs]`.
    ///
    /// # Errors
    /// If sizes do not fit, or the loss or the gradient is not finite.
    pub fn update(&mut self, x: &[f32], targets: &[f32]) -> Result<f32, AgentError> {
        let rounded = self.rounds.then(|| pruning::rounded(&self.student));
        let params = rounded.as_ref().unwrap_or(&self.student.params);
        let loss = self.loss.of_chain(&self.student.chain, params, (x, targets), Some(&mut self.gradient))?;
        self.mask.apply(&mut self.gradient);
        let norm = clip_grad_norm(&mut self.gradient, MAX_GRAD_NORM);
        if !(loss.is_finite() && norm.is_finite()) {
            let (what, update) = ("distillation loss", self.updates);
            return Err(AgentError::NotFinite {
                what,
                value: f64::from(if loss.is_finite() { norm } else { loss }),
                update,
            });
        }
        let left = 1.0 - self.updates.min(self.config.updates) as f64 / self.config.updates as f64;
        let learning_rate = (self.config.learning_rate * left) as f32;
        self.optimizer.step(&mut self.student.params, &self.gradient, learning_rate)?;
        self.mask.apply(self.student.params.as_mut_slice());
        self.updates += 1;
        Ok(loss)
    }
}

#[cfg(test)]
mod tests {
    use agon_envs::Pcg64;
    use agon_nn::Activation;
    use agon_policy::{Operation, Parameter, Parameters};

    use super::*;

    /// Two maps of random weights.
    fn chain(hidden: usize, seed: u64) -> ToldChain {
        let mut rng = Pcg64::seed_from(seed);
        let (mut operations, mut parameters) = (Vec::new(), Parameters::new());
        for (layer, (inputs, outputs)) in [(3, hidden), (hidden, 4)].into_iter().enumerate() {
            let name = |part: &str| format!("{layer}.{part}");
            let bound = 1.0 / (inputs as f64).sqrt();
            let mut add = |part: &str, shape: Vec<usize>| {
                let values = (0..shape.iter().product()).map(|_| rng.uniform(-bound, bound) as f32).collect();
                parameters.insert(name(part), Parameter { shape, values });
            };
            add("weight", vec![outputs, inputs]);
            add("bias", vec![outputs]);
            operations.push(Operation::Linear {
                weight: name("weight"),
                bias: name("bias"),
                inputs,
                outputs,
            });
            operations.push(Operation::Activation { function: Activation::Tanh });
        }
        operations.pop();
        ToldChain::new(&operations, &parameters, 3).unwrap()
    }

    fn answers(chain: &ToldChain, x: &[f32]) -> Vec<f32> {
        let x = Matrix::from_slice(x.len() / 3, 3, x).unwrap();
        chain.chain.forward(&chain.params, &x, &mut Tape::inference()).unwrap().as_slice().to_vec()
    }

    fn states(rng: &mut Pcg64, rows: usize) -> Vec<f32> {
        (0..rows * 3).map(|_| rng.uniform(-2.0, 2.0) as f32).collect()
    }

    /// The share of new states on which the best action is the teacher's, after some updates.
    fn agreement(
        distiller: &mut Distiller,
        teacher: &ToldChain,
        updates: u64,
        each: impl Fn(&mut Distiller, u64),
    ) -> f64 {
        let mut rng = Pcg64::seed_from(9);
        for update in 0..updates {
            each(distiller, update);
            let x = states(&mut rng, 64);
            distiller.update(&x, &answers(teacher, &x)).unwrap();
        }
        let x = states(&mut rng, 1000);
        let best = |values: &[f32]| -> Vec<usize> {
            values
                .chunks_exact(4)
                .map(|row| (0..4).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap())
                .collect()
        };
        let of_student = best(&answers(distiller.student(), &x));
        of_student.iter().zip(best(&answers(teacher, &x))).filter(|(a, b)| **a == *b).count() as f64 / 1000.0
    }

    fn distiller(student: ToldChain, updates: u64, values: &[f32]) -> Distiller {
        let config = DistillationConfig { updates, batch_size: 64, learning_rate: 1e-2, temperature: 0.5 };
        let loss = DistillationLoss::choices(&[4], config.temperature, Some(values));
        Distiller::new(student, config, loss).unwrap()
    }

    #[test]
    fn a_smaller_student_takes_its_teachers_actions() {
        let teacher = chain(32, 1);
        let values = answers(&teacher, &states(&mut Pcg64::seed_from(3), 100));
        let mut student = distiller(chain(8, 2), 500, &values);
        let share = agreement(&mut student, &teacher, 500, |_, _| {});
        assert!(share > 0.93, "{share}");
    }

    #[test]
    fn a_student_that_is_its_teacher_has_nothing_to_learn() {
        let teacher = chain(8, 1);
        let x = states(&mut Pcg64::seed_from(3), 50);
        let targets = answers(&teacher, &x);
        let mut student = distiller(teacher.clone(), 10, &targets);
        assert!(student.update(&x, &targets).unwrap().abs() < 1e-6);
        let mut numbers = Distiller::new(teacher.clone(), student.config, DistillationLoss::Numbers).unwrap();
        assert_eq!(numbers.update(&x, &targets).unwrap(), 0.0);
        assert!(numbers.update(&x, &targets[1..]).is_err());
        let mut rng = Pcg64::seed_from(5);
        let other: Vec<f32> = targets.iter().map(|_| rng.uniform(0.0, 1.0) as f32).collect();
        let (a, b) = (student.update(&x, &other).unwrap(), student.update(&x, &other).unwrap());
        assert!(b < a, "{b} {a}");
    }

    #[test]
    fn gradual_pruning_while_it_learns_keeps_more_than_pruning_at_once() {
        let teacher = chain(32, 1);
        let values = answers(&teacher, &states(&mut Pcg64::seed_from(3), 100));
        let mut at_once = distiller(teacher.clone(), 500, &values);
        at_once.prune(0.7);
        let before = agreement(&mut at_once, &teacher, 0, |_, _| {});
        let mut gradual = distiller(teacher.clone(), 500, &values);
        let after = agreement(&mut gradual, &teacher, 500, |distiller, update| {
            distiller.prune(pruning::cubic(0.7, update as f64 / 350.0));
        });
        assert!((gradual.sparsity() - 0.7).abs() < 0.01, "{}", gradual.sparsity());
        assert!(after > before + 0.02, "{after} {before}");
    }

    #[test]
    fn weights_that_are_rounded_learn_what_rounding_needs() {
        let teacher = chain(8, 1);
        let x = states(&mut Pcg64::seed_from(3), 50);
        let targets = answers(&teacher, &x);
        let mut student = distiller(chain(8, 7), 50, &targets);
        student.round_weights();
        let first = student.update(&x, &targets).unwrap();
        let last = (0..49).map(|_| student.update(&x, &targets).unwrap()).last().unwrap();
        assert!(last < 0.5 * first, "{last} {first}");
    }
}
